//! `POST /v1/orders/{id}/check-in`: the code is looked at here, and goes no further; the workflow decides.

use axum::{extract::State, response::Response};
use domain::{
    SignedDuration,
    change::{Kind, OrderChange},
    check_in::Code,
};
use serde::Deserialize;
use store::{
    accounts::limits::{self, Limit, Taken},
    check_ins::{self, Verdict},
};
use utoipa::ToSchema;

use super::{
    change_document::ChangeDocument, change_request::ChangeRequest, document::OrderDocument, read::load,
    refusal::check_in_not_possible,
};
use crate::{
    app::App,
    auth::Caller,
    clock::now,
    error::{Problem, ProblemDocument},
    extract::{Json, OrderPath},
    idempotency::IdempotencyKey,
};

/// New codes of one order that its customer asks for: each is a mail. The shop helps its guests as often as
/// it must.
const NEW_CODES: Limit = Limit { name: "check-in-codes", at_most: 1, within: SignedDuration::from_mins(1) };

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
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header,
            description = "The same key gets the first answer again"),
    ),
    responses(
        (status = 200, body = OrderDocument, headers(("Idempotent-Replayed" = Option<String>))),
        (status = 202, body = ChangeDocument, headers(("Location" = String)),
            description = "Stored, and not decided yet"),
        (status = 409, body = ProblemDocument, description = "`already_checked_in`; `check_in_too_early`, \
            with `opens_at`; `check_in_locked`; `order_refunded`; `order_has_no_stay`; \
            `check_in_not_possible`, with `current_status`"),
        (status = 422, body = ProblemDocument, description = "`check_in_code_wrong`, with `attempts_left`"),
        (status = 429, body = ProblemDocument, description = "`too_many_changes` of this order wait"),
    ),
)]
pub async fn check_in(
    State(app): State<App>,
    caller: Caller,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
    Json(request): Json<CheckInOrder>,
) -> Result<Response, Problem> {
    let code = Code::parse(&request.code)?;
    let change = ChangeRequest::with_proof(id, OrderChange::CheckIn { code: None }, key, code.as_str());
    if change.is_known(&app).await? {
        return change.submit(&app, &caller).await; // the code was right
    }
    let order = load(&app, id).await?;
    let is_expected = Kind::CheckIn.required_status().contains(&order.status);
    if !is_expected || order.stays_end_at().is_none() {
        return Err(check_in_not_possible(&order));
    }
    match check_ins::verify(&app.db, id, &code, now()).await {
        Ok(Verdict::Right(code)) => {
            change.with(OrderChange::CheckIn { code: Some(code) }).submit(&app, &caller).await
        }
        Ok(Verdict::Wrong(left)) => {
            tracing::warn!(order_id = %id, attempts_left = left, "wrong check-in code");
            Err(Problem::wrong_code(left))
        }
        Ok(Verdict::Locked) => Err(Problem::conflict("check_in_locked", "There were too many wrong codes.")),
        Err(check_ins::Error::WrongStatus(_)) => {
            Err(check_in_not_possible(&load(&app, id).await?)) // its status changed a moment ago
        }
        Err(error) => Err(error.into()),
    }
}

/// Send the guests a new code, if theirs was lost, or locked by wrong attempts. It comes by mail, and is
/// shown nowhere else; the one before it is worth nothing from the answer on.
#[utoipa::path(
    post, path = "/v1/orders/{id}/check-in-code", operation_id = "renew_check_in_code", tag = "Orders",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header,
            description = "The same key gets the first answer again, and no second code"),
    ),
    responses(
        (status = 200, body = OrderDocument, headers(("Idempotent-Replayed" = Option<String>))),
        (status = 202, body = ChangeDocument, headers(("Location" = String)),
            description = "Stored, and not decided yet"),
        (status = 409, body = ProblemDocument, description = "`already_checked_in`; `order_refunded`; \
            `order_has_no_stay`; `check_in_not_possible`, with `current_status`"),
        (status = 422, body = ProblemDocument, description = "`idempotency_key_reused`"),
        (status = 429, body = ProblemDocument, description = "`too_many_changes` of this order wait; \
            `too_many_attempts`, with `Retry-After`: a customer asked for another a minute ago"),
    ),
)]
pub async fn new_code(
    State(app): State<App>,
    caller: Caller,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
) -> Result<Response, Problem> {
    let change = ChangeRequest::new(id, OrderChange::NewCheckInCode, key);
    if caller.customer().is_some()
        && !change.is_known(&app).await?
        && let Taken::RetryAfter(wait) = limits::take(&app.db, &NEW_CODES, &id.to_string(), now()).await?
    {
        return Err(Problem::too_many_attempts(wait));
    }
    change.submit(&app, &caller).await
}
