//! A receiver of webhooks that answers as a test wants it to. It verifies signatures by itself, independently
//! of the product.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::stream;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

use super::eventually;

/// How it answers.
#[derive(Clone)]
pub enum Answer {
    Status(u16),
    /// With a header.
    With(u16, &'static str, String),
    /// With this body.
    Body(u16, String),
    /// Not at all, as long as the connection lasts.
    Never,
    /// After so long.
    After(Duration),
    /// 200, and then ten gigabytes.
    Endless,
    /// 200, and then a byte every tenth of a second, without an end.
    Trickle,
    /// The connection is closed in the middle of the answer's head.
    HangUp,
}

/// One request, as it came.
#[derive(Clone)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub event: Value,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn kind(&self) -> &str {
        self.event["type"].as_str().unwrap()
    }

    pub fn subject(&self) -> &str {
        self.event["subject"].as_str().unwrap()
    }

    /// How many of its signatures are by this secret.
    pub fn signatures_by(&self, secret: &str) -> usize {
        let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.", self.id(), self.header("webhook-timestamp")).as_bytes());
        mac.update(&self.body);
        let expected = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature").split(' ').filter(|it| *it == expected).count()
    }

    /// It is what it says it is, and was signed just now.
    #[track_caller]
    pub fn verify(&self, secret: &str) {
        assert_eq!(self.signatures_by(secret), 1, "{}", self.header("webhook-signature"));
        let sent: i64 = self.header("webhook-timestamp").parse().unwrap();
        assert!(Timestamp::now().as_second().abs_diff(sent) < 300, "{sent}");
        assert_eq!(self.id(), self.event["id"]);
    }
}

/// For the next ones, and for all behind them.
type Answers = (Vec<Answer>, Option<Answer>);

#[derive(Default)]
struct Book {
    received: Mutex<Vec<Received>>,
    /// By path.
    answers: Mutex<HashMap<String, Answers>>,
    sent_bytes: AtomicU64,
}

#[derive(Clone)]
pub struct Receiver {
    address: String,
    book: Arc<Book>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let book = Arc::new(Book::default());
        let routes = Router::new().fallback(receive).with_state(book.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, book }
    }

    /// Where it receives.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }

    /// Answers so at this path from now on.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.book.answers.lock().unwrap().entry(path.to_owned()).or_default().1 = Some(answer);
    }

    /// Answers so to the next request at this path alone.
    pub fn answer_once(&self, path: &str, answer: Answer) {
        self.book.answers.lock().unwrap().entry(path.to_owned()).or_default().0.push(answer);
    }

    /// What came at this path.
    pub fn received(&self, path: &str) -> Vec<Received> {
        self.book.received.lock().unwrap().iter().filter(|it| it.path == path).cloned().collect()
    }

    /// Waits until so much has come at this path.
    pub async fn until(&self, path: &str, number: usize) -> Vec<Received> {
        eventually(&format!("{number} come at {path}"), async || {
            Some(self.received(path)).filter(|received| received.len() >= number)
        })
        .await
    }

    /// Of bodies without an end, what was taken.
    pub fn sent_bytes(&self) -> u64 {
        self.book.sent_bytes.load(Ordering::Relaxed)
    }
}

const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 10 * 1024 * 1024 * 1024 / CHUNK;

async fn receive(State(book): State<Arc<Book>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let event = serde_json::from_slice(&body).unwrap_or_default();
    let received = Received { path: path.clone(), headers, body, event };
    book.received.lock().unwrap().push(received);
    let answer = {
        let mut answers = book.answers.lock().unwrap();
        let (once, always) = answers.entry(path).or_default();
        if once.is_empty() { always.clone() } else { Some(once.remove(0)) }
    };
    match answer.unwrap_or(Answer::Status(204)) {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::With(status, name, value) => {
            (StatusCode::from_u16(status).unwrap(), [(name, value)]).into_response()
        }
        Answer::Body(status, body) => (StatusCode::from_u16(status).unwrap(), body).into_response(),
        Answer::Never => std::future::pending().await,
        Answer::After(time) => {
            tokio::time::sleep(time).await;
            StatusCode::OK.into_response()
        }
        Answer::Trickle => {
            let bytes = stream::unfold((), async |()| {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
            });
            Body::from_stream(bytes).into_response()
        }
        // The server gives up a connection whose handler panics, without a word.
        Answer::HangUp => std::panic::resume_unwind(Box::new("hung up")),
        Answer::Endless => {
            let chunks = stream::iter((0..CHUNKS).map(move |_| {
                book.sent_bytes.fetch_add(CHUNK as u64, Ordering::Relaxed);
                Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; CHUNK]))
            }));
            Body::from_stream(chunks).into_response()
        }
    }
}
