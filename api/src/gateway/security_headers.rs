//! What browsers are told about any answer, unless its handler says something else.

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};

/// An answer is data: whoever shows it as a page gets one that does nothing.
const ALWAYS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// Answers tell of customers and money: no cache keeps them. What has an entity tag may be kept by who asked,
/// to ask whether it is still so.
const NO_STORE: &str = "no-store";
const ASK_AGAIN: &str = "private, no-cache";

/// `Strict-Transport-Security`, if it is wanted.
pub fn hsts(max_age: Option<Duration>) -> Option<HeaderValue> {
    max_age.and_then(|age| format!("max-age={}", age.as_secs()).parse().ok())
}

pub async fn add(State(hsts): State<Option<HeaderValue>>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    let caching = if headers.contains_key(header::ETAG) { ASK_AGAIN } else { NO_STORE };
    for (name, value) in ALWAYS.into_iter().chain([(header::CACHE_CONTROL, caching)]) {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Some(hsts) = hsts {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
    response
}
