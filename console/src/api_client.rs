//! The API, asked as whoever is signed in.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{Method, StatusCode, header},
    response::Response,
};
use domain::api_key::Scope;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

use crate::{documents::Problem, failure::Failure, operator::Operator, view::Section};

/// No answer that a page shows is longer: a list of a hundred orders with a hundred lines each.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// What stands for itself in a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A part of a path, with everything encoded that means something there.
pub fn part(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// A query out of those that are given.
pub fn query(parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        query if query.is_empty() => query,
        query => format!("?{query}"),
    }
}

/// What is asked for, beyond a path.
#[derive(Default)]
pub struct Ask<'a> {
    pub body: Option<Value>,
    /// `Idempotency-Key`: the form's own, so that it does once what it does.
    pub key: Option<&'a str>,
    /// `If-Match`.
    pub only_if: Option<&'a str>,
}

/// An answer that is no refusal.
pub struct Answer {
    pub status: StatusCode,
    bytes: Vec<u8>,
}

/// What came of asking for a part of a page.
pub enum Asked<T> {
    Told(T),
    /// It is not theirs to see, and was not asked for.
    NotTheirs,
    /// It cannot be had now, and the page is there without it.
    Missing(Problem),
}

impl<T> Asked<T> {
    pub const fn told(&self) -> Option<&T> {
        match self {
            Self::Told(document) => Some(document),
            Self::NotTheirs | Self::Missing(_) => None,
        }
    }

    /// The part as it is shown, or why it is not there.
    pub fn shown(self, what: &str, show: impl FnOnce(T) -> Section) -> Option<Section> {
        match self {
            Self::Told(document) => Some(show(document)),
            Self::NotTheirs => None,
            Self::Missing(problem) => {
                let detail = format!("{what} cannot be shown now. {}", problem.detail);
                Some(Section::Problem(Problem { detail, errors: Vec::new(), ..problem }))
            }
        }
    }
}

impl Operator {
    /// Reads a document.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        // In a box: a page asks for many at once.
        let answer = Box::pin(self.ask(Method::GET, path, Ask::default())).await?;
        self.read(&answer)
    }

    /// Reads a document; none if there is nothing of that name.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        match self.get(path).await {
            Ok(document) => Ok(Some(document)),
            Err(failure) if failure.problem().is_some_and(|it| matches!(it.status, 404 | 409)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Reads what is only part of a page, if they have the right to it. A refusal that is known before is not
    /// asked for: it would be counted and logged as one.
    pub async fn part<T: DeserializeOwned>(&self, scope: Scope, path: &str) -> Result<Asked<T>, Failure> {
        if !self.may(scope) {
            return Ok(Asked::NotTheirs);
        }
        match self.get(path).await {
            Ok(document) => Ok(Asked::Told(document)),
            Err(failure) => match failure.problem() {
                // Of who is nobody any more the page shows nothing at all.
                Some(problem) if problem.status != StatusCode::UNAUTHORIZED.as_u16() => {
                    Ok(Asked::Missing(problem.clone()))
                }
                _ => Err(failure),
            },
        }
    }

    pub fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Failure> {
        serde_json::from_slice(&answer.bytes).map_err(|error| {
            tracing::error!(%error, "the console does not understand the API");
            self.fail(Problem::own(StatusCode::INTERNAL_SERVER_ERROR, "The answer was not understood."))
        })
    }

    /// Posts a form's document under its key.
    pub async fn post(&self, path: &str, key: &str, body: Value) -> Result<Answer, Failure> {
        self.ask(Method::POST, path, Ask { body: Some(body), key: Some(key), only_if: None }).await
    }

    /// Asks for anything. An error of the API becomes a page, or stands beside the fields of a form.
    pub async fn ask(&self, method: Method, path: &str, ask: Ask<'_>) -> Result<Answer, Failure> {
        let response = self.call(method, path, ask).await?;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, MAX_ANSWER_BYTES).await.map(|bytes| bytes.to_vec()).unwrap_or_default();
        if parts.status.is_client_error() || parts.status.is_server_error() {
            let problem = serde_json::from_slice(&bytes);
            return Err(self.fail(problem.unwrap_or_else(|_| {
                Problem::own(parts.status, "The request was refused, and it was not said why.")
            })));
        }
        Ok(Answer { status: parts.status, bytes })
    }

    /// The same, with an answer that may go on and on.
    pub async fn call(&self, method: Method, path: &str, ask: Ask<'_>) -> Result<Response, Failure> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = ask.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(etag) = ask.only_if {
            request = request.header(header::IF_MATCH, etag);
        }
        let body = match ask.body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body);
        let request = request
            .map_err(|_| self.fail(Problem::own(StatusCode::BAD_REQUEST, "This cannot be asked for.")))?;
        Ok(self.console.api.call(&self.caller, request).await)
    }
}
