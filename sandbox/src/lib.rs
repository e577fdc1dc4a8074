//! The sandbox: a payment provider that moves play money. A small HTTP service with its own books, for
//! development and tests: it is asked over HTTP, tells by signed webhooks, and misbehaves when asked to.
//!
//! Bounded: the latest 50,000 payments and 50,000 webhooks are kept; older ones are forgotten.
//! The clock is the machine's. Who skips time in a test gives `at` to the calls that book money, and the
//! statement dates them by it; nothing but expiry compares it with anything.

#![expect(clippy::disallowed_methods, reason = "a provider of its own: its clock is the machine's")]

mod answer;
mod app;
mod book;
mod faults;
mod http;
mod journal;
mod model;
mod rules;
mod statement;
mod webhooks;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use providers::standard_webhooks::Secret;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use web::Limits;

use app::{App, Books, Service, locked};
use book::{Book, DeliveryState};
use faults::FaultTable;
use journal::Journal;

/// What open calls get to end by themselves.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

pub struct Options {
    /// Default: a free port of 127.0.0.1.
    pub listen: Option<SocketAddr>,
    /// Where webhooks go, such as `http://127.0.0.1:8080/v1/webhooks/sandbox`.
    pub webhook_url: String,
    /// That webhooks are signed with: `whsec_` and base64.
    pub secret: String,
    /// What payers, and who plays on the dashboard, must send as `Authorization: Bearer <key>`. Default:
    /// nothing.
    pub payer_key: Option<String>,
    /// A folder in which the books survive a restart; made if it is not there. For one sandbox at a time.
    pub storage: Option<PathBuf>,
}

/// A running sandbox. Dropping it stops it.
pub struct Sandbox {
    service: App,
    server: JoinHandle<()>,
    stop: DropGuard,
}

impl Sandbox {
    /// Starts to serve, and goes on with the webhooks that were under way.
    ///
    /// # Errors
    /// When the secret is not valid, the port is taken, or the storage cannot be read.
    pub async fn start(options: Options) -> Result<Sandbox> {
        let secret = Secret::parse(&options.secret).map_err(|why| anyhow!("the webhook secret {why}"))?;
        let listen = options.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("could not listen on {listen} (sandbox payment provider)"))?;
        let (journal, book) = match &options.storage {
            Some(folder) => Journal::open(folder).map(|(journal, book)| (Some(journal), book))?,
            None => (None, Book::default()),
        };
        let http = providers::http_client()
            .timeout(webhooks::TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let stop = CancellationToken::new();
        let mut address = listener.local_addr()?;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into()); // as this machine reaches it
        }
        let service = Arc::new(Service {
            url: format!("http://{address}"),
            secret,
            webhook_url: Mutex::new(options.webhook_url),
            http,
            sending: Semaphore::new(webhooks::MAX_AT_ONCE),
            stop: stop.clone(),
            tasks: TaskTracker::new(),
            books: Mutex::new(Books { book, journal }),
            faults: Mutex::new(FaultTable::default()),
            webhooks_are_lost: watch::Sender::new(false),
        });
        resume(&service);
        #[expect(clippy::disallowed_methods, reason = "one for each sandbox, which ends with it")]
        let server = tokio::spawn(serve(listener, Arc::clone(&service), options.payer_key));
        Ok(Sandbox { service, server, stop: stop.drop_guard() })
    }

    /// The base of its calls: `http://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.service.url
    }

    /// From now on webhooks go here, for a merchant whose address was not known before.
    pub fn send_webhooks_to(&self, url: String) {
        *locked(&self.service.webhook_url) = url;
    }

    /// A switch: while it is on, webhooks are lost. What was lost is not sent later, either: for that there
    /// are books, which can be read.
    pub fn webhooks_are_lost(&self) -> watch::Sender<bool> {
        self.service.webhooks_are_lost.clone()
    }

    /// Stops serving and sending. With storage, the next start goes on from here.
    pub async fn stop(mut self) {
        drop(self.stop); // cancels
        self.service.tasks.close();
        if timeout(STOP_TIMEOUT, &mut self.server).await.is_err() {
            self.server.abort();
        }
        self.service.tasks.wait().await;
    }
}

fn resume(service: &App) {
    let books = locked(&service.books);
    let under_way = books.book.deliveries().filter(|it| it.state == DeliveryState::Sending).cloned();
    let under_way: Vec<_> = under_way.collect();
    drop(books);
    under_way.iter().for_each(|delivery| service.send_behind(delivery));
}

async fn serve(listener: TcpListener, service: App, payer_key: Option<String>) {
    let stop = service.stop.clone();
    web::serve(listener, http::routes(service, payer_key), Limits::small(), stop.cancelled_owned()).await;
}
