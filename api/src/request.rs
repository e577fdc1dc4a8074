//! The frame around every request: its id, its span, its time limit, its log line, its metrics, and
//! the last word on errors.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use opentelemetry::{global, propagation::Extractor};
use tracing::{Instrument as _, Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{
    error::Problem,
    headers::{self, REQUEST_ID, TRACEPARENT},
};

const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Skipping an order's time takes about a second per timer.
const SANDBOX_TIME_LIMIT: Duration = Duration::from_secs(90);

/// In an answer's extensions: who asked has shown no good key, though the answer is not 401.
#[derive(Debug, Clone, Copy)]
pub struct OfStranger;

pub async fn frame(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = headers::request_id(request.headers());
    let traceparent = headers::traceparent(request.headers());
    let method = headers::known_method(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    // The console's pages to play with ask for the sandbox's routes.
    let plays = ["/v1/sandbox", "/console/dev"].iter().any(|beginning| route.starts_with(beginning));
    let limit = if plays { SANDBOX_TIME_LIMIT } else { TIME_LIMIT };
    let span = tracing::info_span!(
        "http",
        "otel.name" = format!("{method} {route}"),
        "otel.kind" = "server",
        request_id = id,
        order_id = Empty,
        key_id = Empty
    );
    if traceparent.is_some() {
        // Fails only where traces are not exported.
        let _ = span.set_parent(global::get_text_map_propagator(|p| p.extract(&Headers(request.headers()))));
    }

    let mut response = run(request, next, limit).instrument(span.clone()).await;
    let is_stranger = response.extensions_mut().remove::<OfStranger>().is_some();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let rendered = problem.render(id.clone());
        let headers = std::mem::replace(&mut response, rendered).into_parts().0.headers;
        response.headers_mut().extend(headers); // what the handler added, such as `Idempotent-Replayed`
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    if let Some(value) = traceparent {
        response.headers_mut().insert(TRACEPARENT.clone(), value);
    }
    span.in_scope(|| record(method, &route, is_stranger, &response, started.elapsed()));
    response
}

async fn run(request: Request, next: Next, limit: Duration) -> Response {
    if let Err(problem) = headers::check_host(request.version(), request.uri(), request.headers()) {
        return problem.into_response();
    }
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(response)) => response,
        // The panic's message went to stderr by the panic hook.
        Ok(Err(_)) => Problem::internal().into_response(),
        Err(_) => Problem::timeout().into_response(),
    }
}

/// One line and two figures per request. Probes and scrapes are counted, not logged.
fn record(method: &str, route: &str, is_stranger: bool, response: &Response, took: Duration) {
    let status = response.status().as_u16();
    let metrics = telemetry::metrics();
    // Whoever has no key could otherwise make a series of each route and method; the log has them.
    let route_label = if is_stranger || matches!(status, 401 | 405) { "unmatched" } else { route };
    metrics.http_requests.with_label_values(&[route_label, method, &status.to_string()]).inc();
    metrics.http_seconds.with_label_values(&[route_label, method]).observe(took.as_secs_f64());
    if matches!(route, "/healthz" | "/readyz" | "/metrics") {
        return;
    }
    let took_ms = took.as_secs_f64() * 1000.0;
    tracing::info!(method, route, status, took_ms, "request");
    if status >= 500 {
        // Marks the span for the trace view; the cause was logged where it happened.
        Span::current().set_attribute("error", true);
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
