//! An identity provider's server of keys, which can be told what to answer and counts how often it is asked.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use identity::{IdentityProvider, identity_provider::Config};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

use crate::harness::{AUDIENCE, PROVIDER};

/// What is answered.
#[derive(Clone)]
pub enum Answer {
    Keys(Vec<Value>),
    Status(u16),
    Text(String),
    Redirect(String),
    /// Nothing, ever.
    Silence,
}

pub struct KeyServer {
    state: Arc<Shared>,
    provider: IdentityProvider,
    pub url: String,
    task: JoinHandle<()>,
}

struct Shared {
    answer: Mutex<Answer>,
    fetches: AtomicUsize,
    /// Each answer takes one: without, the server has been asked and has not answered.
    permits: Semaphore,
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl KeyServer {
    pub async fn start(keys: &[Value]) -> Self {
        let state = Arc::new(Shared {
            answer: Mutex::new(Answer::Keys(keys.to_vec())),
            fetches: AtomicUsize::new(0),
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let router = Router::new().route("/keys", get(answer)).with_state(Arc::clone(&state));
        #[expect(clippy::disallowed_methods, reason = "one for each server, which ends with it")]
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let config =
            Config { issuer: PROVIDER.to_owned(), jwks_url: url.clone(), audience: AUDIENCE.to_owned() };
        Self { state, provider: IdentityProvider::new(config).unwrap(), url, task }
    }

    pub fn provider(&self) -> IdentityProvider {
        self.provider.clone()
    }

    pub fn answers(&self, answer: Answer) {
        *self.state.answer.lock().unwrap() = answer;
    }

    pub fn fetches(&self) -> usize {
        self.state.fetches.load(Ordering::SeqCst)
    }

    /// From now on it takes a request, and answers once it is let go on.
    pub fn holds_back(&self) {
        self.state.permits.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn goes_on(&self) {
        self.state.permits.add_permits(Semaphore::MAX_PERMITS);
    }

    /// Waits until it has been asked so often.
    pub async fn was_asked(&self, times: usize) {
        while self.fetches() < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn answer(State(state): State<Arc<Shared>>) -> Response {
    state.fetches.fetch_add(1, Ordering::SeqCst);
    let _permit = state.permits.acquire().await.unwrap();
    let answer = state.answer.lock().unwrap().clone();
    match answer {
        Answer::Keys(keys) => json!({ "keys": keys }).to_string().into_response(),
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Text(text) => text.into_response(),
        Answer::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Answer::Silence => std::future::pending().await,
    }
}
