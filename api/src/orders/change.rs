//! `POST /v1/orders/{id}/cancel`, `extend` and `fulfil`: parsed here, decided by the order's workflow.

use axum::{extract::State, response::Response};
use domain::{
    Invalid, Timestamp,
    change::{OrderChange, check_extension},
    order::Order,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    change_document::ChangeDocument, change_request::ChangeRequest, document::OrderDocument, read::load,
};
use crate::{
    app::App,
    auth::Caller,
    error::{Problem, ProblemDocument},
    extract::{Json, OptionalJson, OrderPath, time},
    idempotency::IdempotencyKey,
};

#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// Shown as `close_reason`; at most 200 characters.
    reason: Option<String>,
    /// Cancel a paid stay although the time for it has passed.
    #[serde(default)]
    force: bool,
}

/// Cancel an order that is not handed over: its stock is released, what was paid goes back, and the customer
/// is told.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancel", operation_id = "cancel_order", tag = "Orders",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header,
            description = "The same key gets the first answer again"),
    ),
    request_body = Option<CancelOrder>,
    responses(
        (status = 200, body = OrderDocument, headers(("Idempotent-Replayed" = Option<String>))),
        (status = 202, body = ChangeDocument, headers(("Location" = String)),
            description = "Stored, and not decided yet"),
        (status = 409, body = ProblemDocument, description = "`order_not_cancellable`, with \
            `current_status`; `cancellation_closed`, with `closed_at`"),
        (status = 429, body = ProblemDocument, description = "`too_many_changes` of this order wait"),
    ),
)]
pub async fn cancel(
    State(app): State<App>,
    caller: Caller,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
    OptionalJson(request): OptionalJson<CancelOrder>,
) -> Result<Response, Problem> {
    if request.force && caller.customer().is_some() {
        return Err(Invalid::new("force", "is the shop's to decide: leave it out").into());
    }
    let reason = match &request.reason {
        Some(reason) => domain::stock::reason(reason)?,
        None => "requested".to_owned(),
    };
    let change = OrderChange::Cancel { reason, force: request.force };
    ChangeRequest::new(id, change, key).submit(&app, &caller).await
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendOrder {
    /// RFC 3339, later than the current one. Of an order with a stay: by the end of the first day of arrival,
    /// there.
    #[serde(deserialize_with = "time")]
    payment_due_at: Timestamp,
}

/// Give the customer more time to pay. A mail says so, and reminders go out before the new deadline.
#[utoipa::path(
    post, path = "/v1/orders/{id}/extend", operation_id = "extend_order", tag = "Orders",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header,
            description = "The same key gets the first answer again"),
    ),
    responses(
        (status = 200, body = OrderDocument, headers(("Idempotent-Replayed" = Option<String>))),
        (status = 202, body = ChangeDocument, headers(("Location" = String)),
            description = "Stored, and not decided yet"),
        (status = 409, body = ProblemDocument, description = "`order_not_extendable`, with \
            `current_status`; `extension_not_allowed`: by the customer"),
        (status = 422, body = ProblemDocument, description = "not later than the current deadline"),
        (status = 429, body = ProblemDocument, description = "`too_many_changes` of this order wait"),
    ),
)]
pub async fn extend(
    State(app): State<App>,
    caller: Caller,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
    Json(request): Json<ExtendOrder>,
) -> Result<Response, Problem> {
    let bad = |why: &str| Invalid::new("payment_due_at", why);
    let due = request.payment_due_at.round(jiff::Unit::Microsecond).map_err(|_| bad("is out of range"))?;
    let change = ChangeRequest::new(id, OrderChange::Extend { payment_due_at: due }, key);
    if !change.is_known(&app).await? {
        let order = load(&app, id).await?;
        check_extension(&order, due)?;
        if caller.customer().is_some() {
            check_customer_may_extend(&order, due)?;
        }
    }
    change.submit(&app, &caller).await
}

/// Customers extend as far as the shop lets them.
fn check_customer_may_extend(order: &Order, due: Timestamp) -> Result<(), Problem> {
    match order.policy.latest_by_customer(order.placed_at) {
        None => {
            let detail = "Ask the shop: its policy does not let you extend this order.";
            Err(Problem::conflict("extension_not_allowed", detail))
        }
        Some(latest) if due > latest => {
            Err(Invalid::new("payment_due_at", format!("must be {latest} at the latest")).into())
        }
        Some(_) => Ok(()),
    }
}

/// Complete a paid order whose policy is manual fulfilment. One with a stay is `used` then: this is how
/// guests get in who have lost their code.
#[utoipa::path(
    post, path = "/v1/orders/{id}/fulfil", operation_id = "fulfil_order", tag = "Orders",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header,
            description = "The same key gets the first answer again"),
    ),
    responses(
        (status = 200, body = OrderDocument, headers(("Idempotent-Replayed" = Option<String>))),
        (status = 202, body = ChangeDocument, headers(("Location" = String)),
            description = "Stored, and not decided yet"),
        (status = 409, body = ProblemDocument, description = "`order_not_fulfillable`, with \
            `current_status`; `order_refunded`: its money goes back"),
        (status = 429, body = ProblemDocument, description = "`too_many_changes` of this order wait"),
    ),
)]
pub async fn fulfil(
    State(app): State<App>,
    caller: Caller,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
) -> Result<Response, Problem> {
    ChangeRequest::new(id, OrderChange::Fulfil, key).submit(&app, &caller).await
}
