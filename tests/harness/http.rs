//! Holdfast's HTTP, as a client speaks it.

use std::{marker::PhantomData, sync::LazyLock, time::Duration};

use reqwest::{Client, Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    documents::{List, Problem, Readiness},
    unique,
};

pub const API_KEY: &str = "test-key-of-32-bytes-or-about-it";
/// On a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The last: tests share a PostgreSQL, and a transaction of any of them keeps events back.
const PASSING: [&str; 6] =
    ["busy", "database_unavailable", "engine_unavailable", "timeout", "too_many_changes", "events_undecided"];

#[derive(Clone)]
pub struct Api {
    base: String,
    key: &'static str,
    client: Client,
    is_patient: bool,
}

/// An answer, read to its end; unless it is a refusal, its document is a `T`.
#[derive(Debug, Clone)]
pub struct Answer<T = Value> {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    document: PhantomData<fn() -> T>,
}

/// One for all: to make one reads every root certificate of the machine, and a thousand payers at once would
/// keep the provider, which lives in this process, from answering.
static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    // A server closes a connection whose request it refused unread, and a client that is about to
    // use it again cannot know: each request gets a connection of its own.
    providers::http_client().no_proxy().pool_max_idle_per_host(0).build().unwrap()
});

impl Api {
    pub fn new(address: &str) -> Self {
        Self::with_key(address, API_KEY)
    }

    pub fn with_key(address: &str, key: &'static str) -> Self {
        Self { base: format!("http://{address}"), key, client: CLIENT.clone(), is_patient: true }
    }

    /// The same, for tests about answers that tell to come again.
    pub fn impatient(&self) -> Self {
        Self { is_patient: false, ..self.clone() }
    }

    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// A request with the API key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(self.key)
    }

    /// A request without it.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// A page of these.
    pub async fn list<T: DeserializeOwned>(&self, path: &str) -> List<T> {
        let list = self.get(path).await.of::<List<T>>().is(200);
        assert_eq!((list.object.as_str(), list.has_more), ("list", list.next_cursor.is_some()), "{path}");
        list
    }

    /// All of them, page by page. The path has a query.
    pub async fn pages<T: DeserializeOwned>(&self, path: &str) -> Vec<Vec<T>> {
        let (mut pages, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.list(&format!("{path}{after}")).await;
            pages.push(page.data);
            let Some(next) = page.next_cursor else { return pages };
            after = format!("&starting_after={}", encoded(&next));
        }
    }

    pub async fn readiness(&self, status: u16) -> Readiness {
        self.get("/readyz").await.of().is(status)
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// A post under an idempotency key of its own.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_as(&unique(), path, body).await
    }

    pub async fn post_as(&self, key: &str, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).header("idempotency-key", key).json(body)).await
    }

    /// As a good client does: told that something is busy or away, it comes again when it is told to.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = send(request.try_clone().expect("bodies of tests are in memory")).await;
            match answer.retry_after() {
                Some(wait) if self.is_patient && Instant::now() + wait < deadline => sleep(wait).await,
                _ => return answer,
            }
        }
    }
}

/// Text in a path or a query, with everything encoded that could be.
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

pub async fn send(request: RequestBuilder) -> Answer {
    try_send(request).await.unwrap()
}

/// For requests whose server may die on the way.
pub async fn try_send(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    Ok(Answer { status, headers, body: response.bytes().await?.to_vec(), document: PhantomData })
}

impl<T: DeserializeOwned> Answer<T> {
    /// The same, with a document of another type.
    pub fn of<U>(self) -> Answer<U> {
        let Self { status, headers, body, document: _ } = self;
        Answer { status, headers, body, document: PhantomData }
    }

    /// When to come again, of an answer that says so for a reason that passes by itself.
    fn retry_after(&self) -> Option<Duration> {
        if !matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            return None;
        }
        let problem: Value = serde_json::from_slice(&self.body).ok()?;
        PASSING.iter().find(|code| problem["code"] == **code)?;
        self.header("retry-after")?.parse().ok().map(Duration::from_secs)
    }

    pub fn json(&self) -> T {
        self.read()
    }

    #[track_caller]
    fn read<D: DeserializeOwned>(&self) -> D {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn is_replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// The document of an answer that must have this status.
    #[track_caller]
    pub fn is(&self, status: u16) -> T {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.read()
    }

    /// An answer that has no document.
    #[track_caller]
    pub fn done(&self) {
        assert_eq!((self.status.as_u16(), &*self.body), (204, &[][..]));
    }

    /// The problem document, which must be complete and of this status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Problem {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        let problem: Problem = self.read();
        assert_eq!((problem.code.as_str(), problem.status), (code, status), "{problem:?}");
        assert_eq!(problem.kind, format!("urn:holdfast:problem:{code}"));
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("x-request-id"), Some(problem.request_id.as_str()));
        assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{problem:?}");
        problem
    }

    /// The fields a 422 complains about, in order.
    #[track_caller]
    pub fn bad_fields(&self) -> Vec<String> {
        let errors = self.problem(422, "invalid_request").errors;
        assert!(errors.iter().all(|error| !error.message.is_empty()));
        errors.into_iter().map(|error| error.field).collect()
    }
}
