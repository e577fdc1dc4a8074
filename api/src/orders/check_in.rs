//! `POST /v1/orders/{id}/check-in`: the code is looked at here, and goes no further; the workflow decides.

use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    change::Request,
    check_in::Code,
    order::{CloseReason, Order, Status},
};
use serde::Deserialize;
use store::check_ins::{self, Verdict};
use utoipa::ToSchema;

use super::{change::ChangeRequest, read::load};
use crate::{
    App, Problem,
    error::ProblemDocument,
    extract::{IdempotencyKey, Json, OrderPath},
    now,
};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckInOrder {
    /// As it stands in the guest's mail; small letters, spaces and dashes do not matter.
    code: String,
}

/// Let guests in by the code of their mail: completes the paid order as `used`. After five wrong codes there
/// is only a new code, or `fulfil`, once the shop knows its guests otherwise.
#[utoipa::path(
    post, path = "/v1/orders/{id}/check-in", operation_id = "check_in_order", tag = "Orders",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "The same key gets the first answer again")),
    responses(
        (status = 200, body = super::OrderDocument, headers(("Idempotent-Replayed" = Option<String>))),
        (status = 202, body = super::ChangeDocument, headers(("Location" = String)), description = "Stored, and not decided yet"),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`already_checked_in`; `check_in_too_early`, with \
            `opens_at`; `check_in_locked`; `order_refunded`; `order_has_no_stay`; `check_in_not_possible`, with \
            `current_status`"),
        (status = 422, body = ProblemDocument, description = "`check_in_code_wrong`, with `attempts_left`"),
        (status = 429, body = ProblemDocument, description = "`too_many_changes` of this order wait"),
    ),
)]
pub async fn check_in(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
    Json(request): Json<CheckInOrder>,
) -> Result<Response, Problem> {
    let code = Code::parse(&request.code)?;
    let asked = ChangeRequest::by(id, Request::CheckIn { code: None }, key, code.as_str());
    if asked.is_known(&app).await? {
        return asked.answer(&app).await; // the code was right
    }
    let order = load(&app, id).await?;
    if order.status != Status::Paid || order.stays_end_at().is_none() {
        return Err(not_possible(&order));
    }
    match check_ins::verify(&app.db, id, &code, now()).await {
        Ok(Verdict::Right(code)) => asked.with(Request::CheckIn { code: Some(code) }).answer(&app).await,
        Ok(Verdict::Wrong(left)) => {
            tracing::warn!(order_id = %id, attempts_left = left, "wrong check-in code");
            Err(Problem::wrong_code(left))
        }
        Ok(Verdict::Locked) => Err(conflict("check_in_locked", "There were too many wrong codes.")),
        Err(store::Error::WrongStatus(_)) => Err(not_possible(&load(&app, id).await?)), // a moment ago
        Err(error) => Err(error.into()),
    }
}

/// Send the guests a new code, if theirs was lost, or locked by wrong attempts. It comes by mail, and is
/// shown nowhere else; the one before it is worth nothing from the answer on.
#[utoipa::path(
    post, path = "/v1/orders/{id}/check-in-code", operation_id = "renew_check_in_code", tag = "Orders",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "The same key gets the first answer again, and no second code")),
    responses(
        (status = 200, body = super::OrderDocument, headers(("Idempotent-Replayed" = Option<String>))),
        (status = 202, body = super::ChangeDocument, headers(("Location" = String)), description = "Stored, and not decided yet"),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`already_checked_in`; `order_refunded`; \
            `order_has_no_stay`; `check_in_not_possible`, with `current_status`"),
        (status = 422, body = ProblemDocument, description = "`idempotency_key_reused`"),
        (status = 429, body = ProblemDocument, description = "`too_many_changes` of this order wait"),
    ),
)]
pub async fn new_code(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
) -> Result<Response, Problem> {
    ChangeRequest::new(id, Request::NewCheckInCode, key).answer(&app).await
}

/// What an order that waits for no guests says, whatever the code.
pub(super) fn not_possible(order: &Order) -> Problem {
    if order.stays_end_at().is_none() {
        return conflict("order_has_no_stay", "Nobody checks in with this order.");
    }
    if order.status == Status::Completed && order.close_reason.as_deref() == Some(CloseReason::Used.as_str())
    {
        return conflict("already_checked_in", "The guests of this order have checked in before.");
    }
    Problem::wrong_status("check_in_not_possible", order.status)
}

fn conflict(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, detail)
}
