//! `POST /v1/orders/{id}/check-in`: the code is looked at here, and goes no further; the workflow decides.

use axum::{extract::State, http::StatusCode};
use domain::{Timestamp, check_in::Code, order::Order};
use serde::Deserialize;
use store::check_ins::{self, Verdict};
use utoipa::ToSchema;
use workflows::contract::Outcome;

use super::{
    change::{Answer, Asked, call_id},
    read::load,
};
use crate::{
    App, Problem,
    error::ProblemDocument,
    extract::{Json, OrderPath},
    now,
};
use domain::order::Status;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckInOrder {
    /// As it stands in the guest's mail; small letters, spaces and dashes do not matter.
    code: String,
}

/// Let guests in by the code of their mail: completes the paid order as `used`. After five wrong codes there is only
/// `fulfil`, once the shop knows its guests otherwise.
#[utoipa::path(
    post, path = "/v1/orders/{id}/check-in", tag = "Orders", params(("id" = String, Path)),
    responses(
        (status = 200, body = super::OrderDocument),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`already_checked_in`; `check_in_too_early`, with \
            `opens_at`; `check_in_locked`; `order_refunded`; `order_has_no_stay`; `check_in_not_possible`, with \
            `current_status`"),
        (status = 422, body = ProblemDocument, description = "`check_in_code_wrong`, with `attempts_left`"),
    ),
)]
pub async fn check_in(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    Json(request): Json<CheckInOrder>,
) -> Answer {
    let code = Code::parse(&request.code)?;
    let asked = Asked { id, wants: Status::Paid, refusal: "check_in_not_possible" };
    let order = load(&app, id).await?;
    refuse(&order)?;
    let start = asked.check(&order)?;
    match check_ins::verify(&app.db, id, &code, now()).await {
        Ok(Verdict::Right) => {}
        Ok(Verdict::Wrong(left)) => {
            tracing::warn!(order_id = %id, attempts_left = left, "wrong check-in code");
            return Err(Problem::wrong_code(left));
        }
        Ok(Verdict::Locked) => return Err(conflict("check_in_locked", "There were too many wrong codes.")),
        Err(store::Error::WrongStatus(_)) => return closed_meanwhile(&app, &asked).await,
        Err(error) => return Err(error.into()),
    }
    match app.engine.check_in_order(&start, &call_id()).await {
        Ok(Outcome::NotDue(opens_at)) => Err(too_early(opens_at)),
        Ok(Outcome::Refunded) => Err(conflict("order_refunded", "The order's money went back.")),
        Ok(Outcome::Refused(_)) => closed_meanwhile(&app, &asked).await,
        outcome => asked.answer(&app, outcome).await,
    }
}

/// What the stored order already says, whatever the code.
fn refuse(order: &Order) -> Result<(), Problem> {
    if order.stays_end_at().is_none() {
        return Err(conflict("order_has_no_stay", "Nobody checks in with this order."));
    }
    if order.status == Status::Completed && order.close_reason.as_deref() == Some("used") {
        return Err(conflict("already_checked_in", "The guests of this order have checked in before."));
    }
    Ok(())
}

/// Somebody else was faster, or the stay ended in this moment.
async fn closed_meanwhile(app: &App, asked: &Asked) -> Answer {
    let order = load(app, asked.id).await?;
    refuse(&order)?;
    Err(Problem::wrong_status(asked.refusal, order.status))
}

fn too_early(opens_at: Timestamp) -> Problem {
    conflict("check_in_too_early", format!("The stay begins at {opens_at}.")).with("opens_at", opens_at)
}

fn conflict(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, detail)
}
