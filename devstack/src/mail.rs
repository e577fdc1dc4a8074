//! The mail catcher: takes every mail, delivers none, and shows them on a web page.

mod message;
mod smtp;
mod store;
mod web;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::ports;
use store::Store;

/// A running mail catcher, on 127.0.0.1 only. Dropping it stops it.
pub struct MailCatcher {
    smtp_port: u16,
    http_port: u16,
    is_away: watch::Sender<bool>,
    /// The two servers; aborted when dropped.
    tasks: JoinSet<()>,
}

impl MailCatcher {
    /// Starts to take mail, without encryption or log-in, and to show it. With a `storage` folder,
    /// mails survive a restart: one `.eml` file each. `None` as a port picks a free one.
    ///
    /// # Errors
    /// [`PortTaken`](crate::PortTaken) when a port asked for is in use.
    pub async fn start(
        smtp_port: Option<u16>,
        http_port: Option<u16>,
        storage: Option<PathBuf>,
    ) -> Result<MailCatcher> {
        let smtp = listen(smtp_port, "mail catcher SMTP").await?;
        let http = listen(http_port, "mail catcher web page").await?;
        let smtp_port = smtp.local_addr()?.port();
        let http_port = http.local_addr()?.port();
        let store = Arc::new(Store::open(storage)?);
        let (is_away, away) = watch::channel(false);
        let mut tasks = JoinSet::new();
        #[expect(clippy::disallowed_methods, reason = "one for each mail catcher")]
        tasks.spawn(smtp::serve(smtp, Arc::clone(&store), away));
        #[expect(clippy::disallowed_methods, reason = "one for each mail catcher")]
        tasks.spawn(web::serve(http, store));
        Ok(MailCatcher { smtp_port, http_port, is_away, tasks })
    }

    /// Where to send mail: `smtp://127.0.0.1:port`.
    pub fn smtp_url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.smtp_port)
    }

    /// The web page, and the base of its JSON interface.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// A switch: while it is on nobody listens for mail, as if the server were down.
    pub fn is_away(&self) -> watch::Sender<bool> {
        self.is_away.clone()
    }

    /// Stops both servers; open SMTP connections are cut.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn listen(asked: Option<u16>, what: &'static str) -> Result<TcpListener> {
    let port = match asked {
        Some(_) => ports::choose(asked, what)?,
        None => 0,
    };
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("could not listen on port {port} ({what})"))
}
