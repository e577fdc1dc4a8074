//! For those who run Holdfast: alive, ready, figures. No key: they hold nothing private.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::App;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// The process runs.
#[utoipa::path(get, path = "/healthz", tag = "Operations", security(()), responses((status = 200, body = Value)))]
async fn healthz() -> axum::Json<Value> {
    axum::Json(json!({"status": "ok"}))
}

/// Whether requests should be sent here. Without PostgreSQL nothing works: 503. Without Temporal
/// orders are still accepted and their workflows start later: ready, and it says what is missing.
#[utoipa::path(
    get, path = "/readyz", tag = "Operations", security(()),
    responses((status = 200, body = Value), (status = 503, body = Value, description = "`missing` names what is away")),
)]
async fn readyz(State(app): State<App>) -> (StatusCode, axum::Json<Value>) {
    let database = app.db.ready().await.map_err(|error| match error {
        store::Error::Corrupt(why) => why,
        error => silent("PostgreSQL", &error),
    });
    let temporal = app.engine.ready().await.map_err(|error| silent("Temporal", &error));
    let (status, word) = match (&database, &temporal) {
        (Err(_), _) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        (Ok(()), Err(_)) => (StatusCode::OK, "degraded"),
        (Ok(()), Ok(())) => (StatusCode::OK, "ok"),
    };
    let missing: Vec<&str> = [("postgresql", database.is_err()), ("temporal", temporal.is_err())]
        .into_iter()
        .filter_map(|(name, is_missing)| is_missing.then_some(name))
        .collect();
    let checks = json!({"postgresql": word_for(&database), "temporal": word_for(&temporal)});
    (status, axum::Json(json!({"status": word, "missing": missing, "checks": checks})))
}

/// The reason may name hosts and users: it is for our log, at a level that probes do not flood.
fn silent(what: &str, error: &dyn std::error::Error) -> String {
    tracing::debug!(%error, "{what} is not ready");
    "does not answer".to_owned()
}

fn word_for(check: &Result<(), String>) -> &str {
    check.as_ref().map_or_else(String::as_str, |()| "ok")
}

/// Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "Operations", security(()), responses((status = 200, body = String)))]
async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let text = telemetry::render(app.sdk_metrics.as_ref()).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
