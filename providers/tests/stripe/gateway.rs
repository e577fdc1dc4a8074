//! What Stripe has and localstripe lacks: idempotency keys, as Stripe documents them, and `description`. It
//! notes every call, and can lose an answer after the work was done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

/// A call as it arrived.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

type Saved = (String, StatusCode, Vec<u8>);

#[derive(Clone)]
pub struct Gateway {
    pub url: String,
    behind: String,
    http: reqwest::Client,
    calls: Arc<Mutex<Vec<Call>>>,
    saved: Arc<Mutex<HashMap<String, Saved>>>,
    lose_next_post: Arc<AtomicBool>,
    hide_refunds: Arc<AtomicBool>,
    drop_filters: Arc<AtomicBool>,
}

impl Gateway {
    pub async fn start(behind: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let gateway = Self {
            url: format!("http://{}", listener.local_addr().expect("bound")),
            behind: behind.to_owned(),
            http: super::http_client(),
            calls: Arc::default(),
            saved: Arc::default(),
            lose_next_post: Arc::default(),
            hide_refunds: Arc::default(),
            drop_filters: Arc::default(),
        };
        let app = Router::new().fallback(pass).with_state(gateway.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        gateway
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("not poisoned").clone()
    }

    pub fn lose_the_answer_to_the_next_post(&self) {
        self.lose_next_post.store(true, Ordering::SeqCst);
    }

    /// Answers lists of refunds as they were before the first.
    pub fn hide_refunds(&self) {
        self.hide_refunds.store(true, Ordering::SeqCst);
    }

    /// Takes filters by time, which localstripe refuses, and gives what it has.
    pub fn drop_filters(&self) {
        self.drop_filters.store(true, Ordering::SeqCst);
    }

    /// As Stripe does it after 24 hours.
    pub fn forget_keys(&self) {
        self.saved.lock().expect("not poisoned").clear();
    }

    async fn forward(&self, call: &Call) -> (StatusCode, Vec<u8>) {
        if call.path.starts_with("/v1/refunds?") && self.hide_refunds.load(Ordering::SeqCst) {
            return (StatusCode::OK, br#"{"object":"list","data":[],"has_more":false}"#.to_vec());
        }
        let mut url = Url::parse(&format!("{}{}", self.behind, call.path)).expect("a URL");
        if self.drop_filters.load(Ordering::SeqCst) {
            let pairs = url.clone();
            let kept = pairs.query_pairs().filter(|(name, _)| !name.starts_with("created"));
            url.query_pairs_mut().clear().extend_pairs(kept);
        }
        let mut headers = call.headers.clone();
        headers.remove(http::header::HOST);
        headers.remove(http::header::CONTENT_LENGTH);
        let fields = form_urlencoded::parse(call.body.as_bytes()).filter(|(name, _)| name != "description");
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.http.request(call.method.clone(), url).headers(headers).body(body);
        let response = request.send().await.expect("localstripe answers");
        (response.status(), response.bytes().await.expect("a body").to_vec())
    }
}

async fn pass(State(gateway): State<Gateway>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a small body");
    let call = Call {
        method: parts.method,
        path: parts.uri.to_string(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).expect("a form"),
    };
    gateway.calls.lock().expect("not poisoned").push(call.clone());
    let key = call.headers.get("idempotency-key").map(|key| key.to_str().expect("text").to_owned());
    let asked = format!("{} {}", call.path, call.body);
    let saved = key.as_ref().and_then(|key| gateway.saved.lock().expect("not poisoned").get(key).cloned());
    let (status, body) = match saved {
        Some((before, status, body)) if before == asked => (status, body),
        Some(_) => (StatusCode::BAD_REQUEST, br#"{"error":{"type":"idempotency_error"}}"#.to_vec()),
        None => {
            let (status, body) = gateway.forward(&call).await;
            if let Some(key) = key {
                let saved = (asked, status, body.clone());
                gateway.saved.lock().expect("not poisoned").insert(key, saved);
            }
            (status, body)
        }
    };
    let lose = call.method == Method::POST
        && status.is_success()
        && gateway.lose_next_post.swap(false, Ordering::SeqCst);
    let answer = if lose { (StatusCode::BAD_GATEWAY, Vec::new()) } else { (status, body) };
    Response::builder().status(answer.0).body(Body::from(answer.1)).expect("a response")
}
