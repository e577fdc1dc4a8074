//! What of a request stands in the events that it causes: its place in the trace, and its own `x-*` headers.

use std::sync::Arc;

use axum::{extract::Request, http::HeaderMap, middleware::Next, response::Response};
use domain::public_event::Cause;

use crate::headers;

/// So much of the headers is kept; what is longer, or too many, is left out.
const MAX_HEADERS: usize = 16;
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 256;
/// Headers that proxies add: they say who somebody is and where, and are nobody's business behind the door.
const OF_PROXIES: [&str; 7] =
    ["x-forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-original", "x-envoy", "x-amz"];
/// What a header with a secret is called by.
const SECRET: [&str; 6] = ["auth", "token", "secret", "key", "cookie", "password"];

/// Does what a request asks for with the request as its cause.
pub async fn of_request(request: Request, next: Next) -> Response {
    let cause = Arc::new(cause(request.headers()));
    store::cause::caused_by(cause, next.run(request)).await
}

fn cause(all: &HeaderMap) -> Cause {
    let traceparent = headers::traceparent(all).and_then(|value| value.to_str().ok().map(str::to_owned));
    let kept = all.keys().filter_map(|name| {
        let value = headers::only(all, name).filter(|value| value.len() <= MAX_VALUE)?;
        is_kept(name.as_str()).then(|| (name.as_str().to_owned(), value.to_owned()))
    });
    Cause { traceparent, headers: kept.take(MAX_HEADERS).collect() }
}

/// Names are in lower case.
fn is_kept(name: &str) -> bool {
    name.starts_with("x-")
        && name.len() <= MAX_NAME
        && !OF_PROXIES.iter().any(|prefix| name.starts_with(prefix))
        && !SECRET.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn what_is_the_shops_is_kept_and_nothing_that_says_who_or_opens_something() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter();
            let pairs = pairs.map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
            cause(&pairs.collect())
        };
        let kept = of(&[
            ("x-tenant", "north"),
            ("x-request-id", "r-1"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-real-ip", "192.0.2.1"),
            ("x-api-key", "hf_123"),
            ("x-auth-user", "ann"),
            ("accept", "*/*"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ]);
        assert_eq!(kept.headers.keys().collect::<Vec<_>>(), ["x-request-id", "x-tenant"]);
        assert!(kept.traceparent.is_some());
        let long: &'static str = Box::leak("v".repeat(MAX_VALUE + 1).into_boxed_str());
        assert_eq!(of(&[("x-long", long)]), Cause::default());
    }
}
