//! A receiver of webhooks, as a shop would have one: it verifies what arrives, and shows it on a web page.

use std::{
    collections::VecDeque,
    future::pending,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use ::web::{Limits, standard_webhooks::Secret};
use anyhow::{Context as _, Result};
use askama::Template;
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Html,
    routing::get,
};
use serde::Serialize;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};

use crate::ports;

/// So many are shown; what came before them is forgotten.
const KEPT: usize = 500;

/// A running receiver, on 127.0.0.1 only. Dropping it stops it.
pub struct EventReceiver {
    port: u16,
    /// The server; aborted when dropped.
    _tasks: JoinSet<()>,
}

struct Received {
    secret: Secret,
    /// Newest first.
    messages: Mutex<VecDeque<Arc<Message>>>,
}

/// One message.
#[derive(Serialize)]
struct Message {
    /// Seconds since 1970.
    received_s: u64,
    /// Whether its signature is good; the others are refused.
    is_genuine: bool,
    /// How often this event has arrived, this time included.
    times: usize,
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: String,
    /// As it was sent, to be read.
    body: String,
}

#[derive(Template)]
#[template(path = "events.html")]
struct Page {
    messages: Vec<Arc<Message>>,
}

impl EventReceiver {
    /// Starts to take messages that are signed with `secret`, and to show them.
    ///
    /// # Errors
    /// [`PortTaken`](crate::PortTaken) when the port is in use.
    pub async fn start(port: u16, secret: Secret) -> Result<Self> {
        let port = ports::choose(Some(port), "events page")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("could not listen on port {port} (events page)"))?;
        let received = Arc::new(Received { secret, messages: Mutex::default() });
        let routes = Router::new()
            .route("/", get(page).post(receive))
            .route("/api/v1/events", get(list))
            .with_state(received);
        let mut tasks = JoinSet::new();
        #[expect(clippy::disallowed_methods, reason = "one for each receiver")]
        tasks.spawn(::web::serve(listener, routes, Limits::small(), pending()));
        Ok(Self { port, _tasks: tasks })
    }

    /// The web page, and where messages are to be sent.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

impl Received {
    fn messages(&self) -> MutexGuard<'_, VecDeque<Arc<Message>>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Message>> {
        self.messages().iter().cloned().collect()
    }
}

async fn receive(State(received): State<Arc<Received>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let received_s = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let verified = received.secret.verify(&headers, &body, received_s.cast_signed());
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let mut messages = received.messages();
    let id = text("id");
    let message = Message {
        received_s,
        is_genuine: verified.is_ok(),
        times: messages.iter().filter(|it| it.id == id).count() + 1,
        id,
        event_type: text("type"),
        subject: text("subject"),
        body: serde_json::to_string_pretty(&event).unwrap_or_default(),
    };
    messages.push_front(Arc::new(message));
    messages.truncate(KEPT);
    match verified {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::UNAUTHORIZED,
    }
}

async fn page(State(received): State<Arc<Received>>) -> Result<Html<String>, StatusCode> {
    let page = Page { messages: received.all() };
    page.render().map(Html).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn list(State(received): State<Arc<Received>>) -> Json<Vec<Arc<Message>>> {
    Json(received.all())
}
