//! Events are sent again.

use axum::extract::State;
use domain::{Invalid, public_event::EventId};
use serde::{Deserialize, Serialize};
use store::webhook_endpoints::{Redelivered, place, redeliver as send_again, redeliver_since};
use utoipa::ToSchema;

use super::{EndpointPath, not_found};
use crate::{
    app::App,
    auth::Caller,
    clock::now,
    error::{Problem, ProblemDocument},
    extract::{Json, parse_time},
};

#[derive(Deserialize, ToSchema)]
#[schema(as = Redeliver)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// One event, whatever became of it.
    event_id: Option<String>,
    /// Instead: every event that happened at this time or later, whatever became of it. Receivers know by its
    /// id what they have already.
    since: Option<String>,
    /// With `since`: the `next_cursor` of the call before, to go on.
    starting_after: Option<String>,
}

/// What is sent again.
#[derive(Serialize, ToSchema)]
#[schema(as = Redelivery)]
pub struct Document {
    /// Always `webhook_redelivery`.
    object: &'static str,
    /// So many deliveries are due again.
    count: u64,
    has_more: bool,
    /// Give it as `starting_after` to go on: one call takes some thousand.
    next_cursor: Option<String>,
}

/// Send one event again, or all since a time. Each has all its tries before it again, and those of one
/// subject go out in their order.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{id}/redeliver", operation_id = "redeliver_webhooks", tag = "Events",
    params(("id" = String, Path)), request_body = Request,
    responses(
        (status = 200, body = Document),
        (status = 404, body = ProblemDocument,
            description = "`webhook_endpoint_not_found`, or `webhook_delivery_not_found`: the event was \
            never for \
                           this endpoint, or is not kept any more"),
    ),
)]
pub async fn redeliver(
    State(app): State<App>,
    caller: Caller,
    EndpointPath(id): EndpointPath,
    Json(request): Json<Request>,
) -> Result<axum::Json<Document>, Problem> {
    let at = now();
    let event = |field: &'static str, text: &str| -> Result<EventId, Invalid> {
        text.parse().map_err(|_| Invalid::new(field, "must be the id of an event"))
    };
    let redelivered = match (request.event_id, request.since) {
        (Some(text), None) => {
            if request.starting_after.is_some() {
                return Err(Invalid::new("starting_after", "goes with `since`").into());
            }
            let redelivered = send_again(&app.db, id, event("event_id", &text)?, at).await?;
            let redelivered = redelivered.ok_or_else(not_found)?;
            if redelivered.count == 0 {
                let detail = "This endpoint has no delivery of this event, or it is not kept any more.";
                return Err(Problem::not_found("webhook_delivery_not_found", detail));
            }
            redelivered
        }
        (None, Some(text)) => {
            let since = parse_time(&text).map_err(|why| Invalid::new("since", why))?;
            let after = match request.starting_after {
                Some(text) => {
                    Some(place(&app.db, id, event("starting_after", &text)?).await?.ok_or_else(gone)?)
                }
                None => None,
            };
            redeliver_since(&app.db, id, since, after, at).await?.ok_or_else(not_found)?
        }
        _ => return Err(Invalid::new("event_id", "must be there, or `since`, and not both").into()),
    };
    let Redelivered { count, next, .. } = redelivered;
    tracing::info!(endpoint_id = %id, count, by = caller.name(), "webhooks are sent again");
    let next_cursor = next.map(|event| event.to_string());
    let has_more = next_cursor.is_some();
    Ok(axum::Json(Document { object: "webhook_redelivery", count, has_more, next_cursor }))
}

/// Whoever began anew instead would be sent again what was sent again already.
fn gone() -> Invalid {
    Invalid::new("starting_after", "is of no delivery that is kept; begin with a later `since`")
}
