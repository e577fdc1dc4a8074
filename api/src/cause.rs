//! What of a request stands in the events that it causes: its place in the trace, and the shop's own `x-*`
//! headers.

use std::sync::Arc;

use axum::{extract::Request, http::HeaderMap, middleware::Next, response::Response};
use domain::public_event::Cause;

use crate::headers::{self, TRACEPARENT};

/// Does what a request asks for with its place in the trace as the cause: of who has no key, the headers are
/// not the shop's, and would be sent to its receivers as if they were.
pub async fn of_request(request: Request, next: Next) -> Response {
    let cause = Cause::kept(headers::only(request.headers(), &TRACEPARENT), []);
    store::cause::caused_by(Arc::new(cause), next.run(request)).await
}

/// The same of a request by who has a key.
pub async fn of_key(request: Request, next: Next) -> Response {
    let cause = with_headers(request.headers());
    store::cause::caused_by(Arc::new(cause), next.run(request)).await
}

fn with_headers(all: &HeaderMap) -> Cause {
    let own = all.keys().filter_map(|name| Some((name.as_str(), headers::only(all, name)?)));
    Cause::kept(headers::only(all, &TRACEPARENT), own)
}
