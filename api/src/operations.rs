//! For those who run Holdfast: alive, ready, figures. No key: they hold nothing private.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    extract::{FromRef, State},
    http::{StatusCode, header},
    response::IntoResponse,
};
use engine::Engine;
use serde_json::{Value, json};
use store::{Db, Readiness};
use telemetry::SdkMetrics;
use tokio::sync::Mutex;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::figures::{Figures, MailProbe};

/// What is asked. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    pub db: Db,
    pub engine: Arc<Engine>,
    pub sdk_metrics: SdkMetrics,
    mail: Option<MailProbe>,
    figures: Figures,
    rendered: Rendered,
}

/// Whoever asks in the same moment gets the same text, which is there once, however many do not take it.
type Rendered = Arc<Mutex<Option<(Instant, Bytes)>>>;
const SHARED_FOR: Duration = Duration::from_millis(100);

impl Operations {
    pub fn new(db: Db, engine: Arc<Engine>, sdk_metrics: SdkMetrics) -> Self {
        Self {
            db,
            engine,
            sdk_metrics,
            mail: None,
            figures: Figures::default(),
            rendered: Rendered::default(),
        }
    }

    /// Tells in `/metrics` whether mails can be sent.
    pub fn with_mail(self, probe: MailProbe) -> Self {
        Self { mail: Some(probe), ..self }
    }
}

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Operations: FromRef<S>,
{
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// The process runs.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "Operations", security(()),
    responses((status = 200, body = Value)),
)]
async fn healthz() -> axum::Json<Value> {
    axum::Json(json!({"status": "ok"}))
}

/// Whether requests should be sent here. Without PostgreSQL nothing works: 503. Without Temporal orders are
/// still accepted and their workflows start later: ready, and it says what is missing. With a Temporal that
/// refuses us (no such namespace, no permission) they never start until somebody mends the configuration:
/// 503, with why. While requests wait for a connection we are busy, not away: ready, and it says so.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "Operations", security(()),
    responses(
        (status = 200, body = Value),
        (status = 503, body = Value, description = "`missing` names what is away, `checks` why"),
    ),
)]
async fn readyz(State(asked): State<Operations>) -> (StatusCode, axum::Json<Value>) {
    let database = asked.db.ready().await.map_err(|error| match error {
        outdated @ store::Fault::SchemaOutdated => outdated.to_string(),
        error => silent("PostgreSQL", &error),
    });
    let engine = asked.engine.ready().await;
    let (status, word) = match (&database, &engine) {
        (Err(_), _) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        (Ok(_), Err(engine::Error::Misconfigured(_))) => (StatusCode::SERVICE_UNAVAILABLE, "misconfigured"),
        (Ok(_), Err(_)) => (StatusCode::OK, "degraded"),
        (Ok(Readiness::Busy), Ok(())) => (StatusCode::OK, "busy"),
        (Ok(Readiness::Ready), Ok(())) => (StatusCode::OK, "ok"),
    };
    let temporal = engine.map_err(|error| match error {
        engine::Error::Misconfigured(why) => why,
        error => silent("Temporal", &error),
    });
    let missing: Vec<&str> = [("postgresql", database.is_err()), ("temporal", temporal.is_err())]
        .into_iter()
        .filter_map(|(name, is_missing)| is_missing.then_some(name))
        .collect();
    let database = match &database {
        Ok(Readiness::Ready) => "ok",
        Ok(Readiness::Busy) => "answers, but requests wait for a connection",
        Err(why) => why,
    };
    let checks = json!({"postgresql": database, "temporal": word_for(&temporal)});
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
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "Operations", security(()),
    responses((status = 200, body = String)),
)]
async fn metrics(State(asked): State<Operations>) -> impl IntoResponse {
    let mut rendered = asked.rendered.lock().await;
    let text = match &*rendered {
        Some((at, text)) if at.elapsed() < SHARED_FOR => text.clone(),
        _ => {
            asked.figures.refresh(asked.db.clone(), asked.engine.clone(), asked.mail.clone()).await;
            let text = Bytes::from(telemetry::render(&asked.sdk_metrics).await);
            rendered.insert((Instant::now(), text)).1.clone()
        }
    };
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
