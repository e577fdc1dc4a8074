//! An endpoint is tried out.

use axum::extract::State;
use events::webhooks::Message;
use serde::Serialize;
use store::{random, webhook_endpoints::target};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::{EndpointPath, not_found};
use crate::{app::App, clock::now, error::Problem};

/// Whoever asks waits for the receiver: so many at once, then 503.
const MAX_TESTS: usize = 16;
static PLACES: Semaphore = Semaphore::const_new(MAX_TESTS);

/// What the receiver said.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTest)]
pub struct Document {
    /// Always `webhook_test`.
    object: &'static str,
    /// The message's `webhook-id`. It is in no list of events.
    event_id: String,
    /// Whether this would have been delivered: the answer was 2xx.
    delivered: bool,
    answer_code: Option<u16>,
    /// How the answer began: 1 KB at most.
    answer: Option<String>,
    /// Why there was no answer, as in a delivery.
    error: Option<&'static str>,
}

/// Send a signed `webhook.test` now, and tell what the receiver said. It is tried once, also if the endpoint
/// is disabled.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{id}/test", operation_id = "test_webhook_endpoint", tag = "Events",
    params(("id" = String, Path)),
    responses((status = 200, body = Document)),
)]
pub async fn test(
    State(app): State<App>,
    EndpointPath(id): EndpointPath,
) -> Result<axum::Json<Document>, Problem> {
    let at = now();
    let target = target(&app.db, id, at).await?.ok_or_else(not_found)?;
    let Ok(_place) = PLACES.try_acquire() else {
        return Err(Problem::unavailable("busy", "Too many webhook endpoints are being tested. Try again."));
    };
    let message = Message::test(id, u128::from_le_bytes(random()), at);
    let answer = app.webhooks.send(&target, &message, at).await;
    Ok(axum::Json(Document {
        object: "webhook_test",
        event_id: message.id,
        delivered: answer.status.is_ok_and(|status| (200..300).contains(&status)),
        answer_code: answer.status.ok(),
        answer: answer.body,
        error: answer.status.err(),
    }))
}
