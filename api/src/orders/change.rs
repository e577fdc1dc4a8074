//! Changes of an order. The workflow decides; we ask it and report what it said.

use axum::extract::State;
use domain::{
    Invalid, OrderId, SignedDuration, Timestamp,
    order::{Order, Status},
};
use engine::Error;
use serde::Deserialize;
use store::orders::Start;
use utoipa::ToSchema;
use uuid::Uuid;
use workflows::contract::Outcome;

use super::{OrderDocument, read::load};
use crate::{
    App, Problem,
    error::ProblemDocument,
    extract::{Json, OptionalJson, OrderPath},
};

/// A deadline may lie at most this long after the placement.
const MAX_EXTENSION: SignedDuration = SignedDuration::from_hours(365 * 24);

pub(super) type Answer = Result<axum::Json<OrderDocument>, Problem>;

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// Shown as `close_reason`; at most 200 characters.
    reason: Option<String>,
}

/// Cancel an unpaid order: its stock is released and the customer is told.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancel", tag = "Orders", params(("id" = String, Path)),
    request_body = Option<CancelOrder>,
    responses(
        (status = 200, body = OrderDocument),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`order_not_cancellable`, with `current_status`"),
    ),
)]
pub async fn cancel(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    OptionalJson(request): OptionalJson<CancelOrder>,
) -> Answer {
    let reason = match &request.reason {
        Some(reason) => domain::stock::reason(reason)?,
        None => "requested".to_owned(),
    };
    let asked = Asked { id, wants: Status::AwaitingPayment, refusal: "order_not_cancellable" };
    let start = asked.check(&load(&app, id).await?)?;
    let outcome = app.engine.cancel_order(&start, reason, &call_id()).await;
    asked.answer(&app, outcome).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendOrder {
    /// RFC 3339, later than the current one. Of an order with a stay: by the end of the first day of arrival, there.
    #[schema(value_type = String, format = DateTime)]
    payment_due_at: Timestamp,
}

/// Give the customer more time to pay.
#[utoipa::path(
    post, path = "/v1/orders/{id}/extend", tag = "Orders", params(("id" = String, Path)),
    responses(
        (status = 200, body = OrderDocument),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`order_not_extendable`, with `current_status`"),
        (status = 422, body = ProblemDocument, description = "not later than the current deadline"),
    ),
)]
pub async fn extend(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    Json(request): Json<ExtendOrder>,
) -> Answer {
    let asked = Asked { id, wants: Status::AwaitingPayment, refusal: "order_not_extendable" };
    let order = load(&app, id).await?;
    let start = asked.check(&order)?;
    let due = check_due(&order, request.payment_due_at)?;
    let outcome = app.engine.extend_order(&start, due, &call_id()).await;
    asked.answer(&app, outcome).await
}

fn check_due(order: &Order, due: Timestamp) -> Result<Timestamp, Invalid> {
    let bad = |why: String| Invalid::new("payment_due_at", why);
    let due = due.round(jiff::Unit::Microsecond).map_err(|_| bad("is out of range".to_owned()))?;
    if due <= order.payment_due_at {
        return Err(bad(format!("must be later than {}", order.payment_due_at)));
    }
    if due.duration_since(order.placed_at) > MAX_EXTENSION {
        return Err(bad("must be within a year of the placement".to_owned()));
    }
    if let Some(latest) = order.latest_payment_due().filter(|latest| due > *latest) {
        return Err(bad(format!("must be {latest} at the latest, when the day of arrival ends")));
    }
    Ok(due)
}

/// Complete a paid order whose policy is manual fulfilment. One with a stay is `used` then: this is how guests get in who
/// have lost their code.
#[utoipa::path(
    post, path = "/v1/orders/{id}/fulfil", tag = "Orders", params(("id" = String, Path)),
    responses(
        (status = 200, body = OrderDocument),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`order_not_fulfillable`, with `current_status`"),
    ),
)]
pub async fn fulfil(State(app): State<App>, OrderPath(id): OrderPath) -> Answer {
    let asked = Asked { id, wants: Status::Paid, refusal: "order_not_fulfillable" };
    let start = asked.check(&load(&app, id).await?)?;
    let outcome = app.engine.fulfil_order(&start, &call_id()).await;
    asked.answer(&app, outcome).await
}

/// Each call is asked once; the client's own retry is a new call.
pub(super) fn call_id() -> String {
    Uuid::new_v4().to_string()
}

/// A change that was asked for, the status it needs, and the code of its refusal.
pub(super) struct Asked {
    pub id: OrderId,
    pub wants: Status,
    pub refusal: &'static str,
}

impl Asked {
    /// Refuses at once what the stored order already forbids, also while the engine is down.
    pub fn check(&self, order: &Order) -> Result<Start, Problem> {
        match order.status == self.wants {
            true => Ok(Start::from(order)),
            false => Err(Problem::wrong_status(self.refusal, order.status)),
        }
    }

    /// What the workflow said, with the order as it is now.
    pub async fn answer(&self, app: &App, outcome: Result<Outcome, Error>) -> Answer {
        match outcome {
            Ok(Outcome::Done) => {
                let order = load(app, self.id).await?;
                Ok(axum::Json(OrderDocument::new(order, &app.engine)))
            }
            Ok(Outcome::Refused(status)) => Err(Problem::wrong_status(self.refusal, status)),
            // Said to the deadline, within the workflow, and to check-ins.
            Ok(Outcome::NotDue(_) | Outcome::AttemptsOpen | Outcome::Refunded) => Err(Problem::internal()),
            Err(Error::Closed | Error::Refused(_)) => self.refused(app).await,
            Err(error @ Error::Misconfigured(_)) => {
                tracing::error!(%error, "the engine will not take a change");
                Err(Problem::internal())
            }
            Err(error @ (Error::Unavailable(_) | Error::Interrupted(_))) => {
                tracing::warn!(%error, "the engine does not answer");
                let detail = "The order is safe, but cannot be changed right now. Try again.";
                Err(Problem::unavailable("engine_unavailable", detail))
            }
        }
    }

    /// The order moved on between our look and the workflow's.
    async fn refused(&self, app: &App) -> Answer {
        let order = load(app, self.id).await?;
        if order.status != self.wants {
            return Err(Problem::wrong_status(self.refusal, order.status));
        }
        if self.refusal == "order_not_extendable" {
            let message = format!("must be later than {}", order.payment_due_at);
            return Err(Invalid::new("payment_due_at", message).into());
        }
        Err(Problem::unavailable("engine_unavailable", "The order is being changed. Try again."))
    }
}
