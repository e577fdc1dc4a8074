//! Changes of an order: stored, told to the order's workflow, which decides, and answered from what it wrote
//! down.

use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use domain::{
    Invalid, OrderId, SignedDuration, Timestamp,
    change::{Answer, Request},
    order::{Order, Status},
};
use serde::{Deserialize, Serialize};
use store::{
    Idempotency,
    changes::{self, Change},
    orders::Start,
    stock::Replayed,
};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::{
    OrderDocument,
    change_document::ChangeDocument,
    read::{load, unknown_order},
};
use crate::{
    App, Problem,
    error::ProblemDocument,
    extract::{IdempotencyKey, Json, OptionalJson, OrderPath, idempotency, time},
    inventory::with_replayed,
    now,
};

/// A deadline may lie at most this long after the placement.
const MAX_EXTENSION: SignedDuration = SignedDuration::from_hours(365 * 24);
/// How long the workflow has to hear of a change, and then to decide about it, before the caller is told to
/// come back.
const TELLING: Duration = Duration::from_secs(5);
const DECIDING: Duration = Duration::from_secs(10);
/// So many callers are waited for at once, each looking at the database ten times a second; the others look
/// again themselves.
static WAITING: Semaphore = Semaphore::const_new(200);

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
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "The same key gets the first answer again")),
    request_body = Option<CancelOrder>,
    responses(
        (status = 200, body = OrderDocument, headers(("Idempotent-Replayed" = Option<String>))),
        (status = 202, body = ChangeDocument, headers(("Location" = String)), description = "Stored, and not decided yet"),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`order_not_cancellable`, with `current_status`; \
            `cancellation_closed`, with `closed_at`"),
        (status = 422, body = ProblemDocument),
        (status = 429, body = ProblemDocument, description = "`too_many_changes` of this order wait"),
    ),
)]
pub async fn cancel(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
    OptionalJson(request): OptionalJson<CancelOrder>,
) -> Result<Response, Problem> {
    let reason = match &request.reason {
        Some(reason) => domain::stock::reason(reason)?,
        None => "requested".to_owned(),
    };
    let change = Request::Cancel { reason, force: request.force };
    ChangeRequest::new(id, change, key).answer(&app).await
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendOrder {
    /// RFC 3339, later than the current one. Of an order with a stay: by the end of the first day of arrival,
    /// there.
    #[serde(deserialize_with = "time")]
    #[schema(value_type = String, format = DateTime)]
    payment_due_at: Timestamp,
}

/// Give the customer more time to pay. A mail says so, and reminders go out before the new deadline.
#[utoipa::path(
    post, path = "/v1/orders/{id}/extend", operation_id = "extend_order", tag = "Orders",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "The same key gets the first answer again")),
    responses(
        (status = 200, body = OrderDocument, headers(("Idempotent-Replayed" = Option<String>))),
        (status = 202, body = ChangeDocument, headers(("Location" = String)), description = "Stored, and not decided yet"),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`order_not_extendable`, with `current_status`"),
        (status = 422, body = ProblemDocument, description = "not later than the current deadline"),
        (status = 429, body = ProblemDocument, description = "`too_many_changes` of this order wait"),
    ),
)]
pub async fn extend(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
    Json(request): Json<ExtendOrder>,
) -> Result<Response, Problem> {
    let bad = |why: &str| Invalid::new("payment_due_at", why);
    let due = request.payment_due_at.round(jiff::Unit::Microsecond).map_err(|_| bad("is out of range"))?;
    let asked = ChangeRequest::new(id, Request::Extend { payment_due_at: due }, key);
    if asked.is_known(&app).await? {
        return asked.answer(&app).await;
    }
    check_due(&load(&app, id).await?, due)?;
    asked.answer(&app).await
}

/// What no deadline of this order can be. The order itself is looked at under its lock.
fn check_due(order: &Order, due: Timestamp) -> Result<(), Invalid> {
    let bad = |why: String| Err(Invalid::new("payment_due_at", why));
    if order.status != Status::AwaitingPayment {
        return Ok(()); // which is said instead
    }
    if due.duration_since(order.placed_at) > MAX_EXTENSION {
        return bad("must be within a year of the placement".to_owned());
    }
    match order.latest_payment_due() {
        Some(latest) if due > latest => {
            bad(format!("must be {latest} at the latest, when the day of arrival ends"))
        }
        _ => Ok(()),
    }
}

/// Complete a paid order whose policy is manual fulfilment. One with a stay is `used` then: this is how
/// guests get in who have lost their code.
#[utoipa::path(
    post, path = "/v1/orders/{id}/fulfil", operation_id = "fulfil_order", tag = "Orders",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "The same key gets the first answer again")),
    responses(
        (status = 200, body = OrderDocument, headers(("Idempotent-Replayed" = Option<String>))),
        (status = 202, body = ChangeDocument, headers(("Location" = String)), description = "Stored, and not decided yet"),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`order_not_fulfillable`, with `current_status`; \
            `order_refunded`: its money goes back"),
        (status = 429, body = ProblemDocument, description = "`too_many_changes` of this order wait"),
    ),
)]
pub async fn fulfil(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
) -> Result<Response, Problem> {
    ChangeRequest::new(id, Request::Fulfil, key).answer(&app).await
}

/// A change that was asked for, and which request this is.
pub(super) struct ChangeRequest {
    id: OrderId,
    change: Request,
    asked: Idempotency,
    is_keyed: bool,
}

impl ChangeRequest {
    pub fn new(id: OrderId, change: Request, key: IdempotencyKey) -> Self {
        Self::by(id, change, key, "")
    }

    /// `proof` is what only this very request has shown, beyond what it asks for.
    pub fn by(id: OrderId, change: Request, key: IdempotencyKey, proof: &str) -> Self {
        let is_keyed = key.0.is_some();
        let asked = match proof {
            "" => idempotency(key.0.unwrap_or_default(), &change),
            proof => idempotency(key.0.unwrap_or_default(), &(id, &change, proof)),
        };
        Self { id, change, asked, is_keyed }
    }

    /// The same request, with what was found out since; that is no part of what tells it from others.
    pub fn with(self, change: Request) -> Self {
        Self { change, ..self }
    }

    /// Whether this very request was made before: then it gets the first answer, whatever has become of the
    /// order.
    pub async fn is_known(&self, app: &App) -> Result<bool, Problem> {
        Ok(self.is_keyed && changes::find(&app.db, self.id, &self.asked).await?.is_some())
    }

    /// Stores the change, has the workflow decide, and tells what it said; 202 if that takes long.
    pub async fn answer(&self, app: &App) -> Result<Response, Problem> {
        let stored =
            changes::request(&app.db, self.id, &self.change, &self.asked, self.is_keyed, now()).await;
        let (change, how) = stored.map_err(unknown_order)?;
        let replayed = how == changes::Submission::Replayed;
        let answer = match change.answer {
            None if how != changes::Submission::New || self.is_told(app, &change).await? => {
                self.decided(app, &change).await?
            }
            answer => answer,
        };
        match answer {
            Some(answer) => self.say(app, answer, replayed).await,
            None => Ok(with_replayed(replayed, later(change))),
        }
    }

    /// Whether the workflow knows: if not, it may take long until it does.
    async fn is_told(&self, app: &App, change: &Change) -> Result<bool, Problem> {
        let start = Start::from(&load(app, self.id).await?);
        let told = app.dispatcher.tell_change(&start, change.id);
        Ok(tokio::time::timeout(TELLING, told).await.unwrap_or(false))
    }

    /// Looks for the answer, ever more seldom.
    async fn decided(&self, app: &App, change: &Change) -> Result<Option<Answer>, Problem> {
        let Ok(_place) = WAITING.try_acquire() else { return Ok(None) };
        let deadline = tokio::time::Instant::now() + DECIDING;
        let mut pause = Duration::from_millis(5);
        loop {
            tokio::time::sleep(pause).await;
            if let Some(answer) = changes::get(&app.db, self.id, change.id).await?.answer {
                return Ok(Some(answer));
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(None);
            }
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    async fn say(&self, app: &App, answer: Answer, replayed: Replayed) -> Result<Response, Problem> {
        if answer.is_done() {
            let order = OrderDocument::new(load(app, self.id).await?, &app.engine);
            return Ok(with_replayed(replayed, axum::Json(order)));
        }
        let problem = match answer {
            Answer::WrongStatus(_)
                if matches!(self.change, Request::CheckIn { .. } | Request::NewCheckInCode) =>
            {
                super::check_in::not_possible(&load(app, self.id).await?)
            }
            answer => refused(&self.change, answer),
        };
        Ok(with_replayed(replayed, problem))
    }
}

fn later(change: Change) -> impl axum::response::IntoResponse {
    let location = format!("/v1/orders/{}/changes/{}", change.order, change.id);
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], axum::Json(ChangeDocument::from(change)))
}

/// Why a change was not made.
pub(super) fn refused(change: &Request, answer: Answer) -> Problem {
    let conflict = |code, detail: String| Problem::new(StatusCode::CONFLICT, code, detail);
    match answer {
        Answer::Done => Problem::internal(), // not refused
        Answer::WrongStatus(status) => Problem::wrong_status(not_possible(change), status),
        Answer::NotLater(due) => Invalid::new("payment_due_at", format!("must be later than {due}")).into(),
        Answer::NotYet(opens_at) => conflict("check_in_too_early", format!("The stay begins at {opens_at}."))
            .with("opens_at", opens_at),
        Answer::CancellationClosed(closed_at) => {
            conflict("cancellation_closed", format!("The order could be cancelled until {closed_at}."))
                .with("closed_at", closed_at)
        }
        Answer::Refunded => conflict(
            "order_refunded",
            "Nothing is left: the order's money went back, or what was sold with it.".to_owned(),
        ),
    }
}

fn not_possible(change: &Request) -> &'static str {
    match change {
        Request::Cancel { .. } | Request::EndRefunded => "order_not_cancellable",
        Request::Extend { .. } => "order_not_extendable",
        Request::Fulfil => "order_not_fulfillable",
        Request::CheckIn { .. } | Request::NewCheckInCode => "check_in_not_possible",
    }
}
