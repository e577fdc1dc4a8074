//! A change of an order on its way: it is stored, the order's workflow is notified and decides, and the
//! answer is what the workflow wrote down.

use std::time::Duration;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    OrderId,
    change::{Answer, Kind, OrderChange},
};
use store::{
    Idempotency,
    changes::{self, Change, Submission},
    orders::Start,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use super::{
    change_document::ChangeDocument,
    document::OrderDocument,
    read::load,
    refusal::{check_in_not_possible, refusal},
};
use crate::{
    app::App,
    auth::Caller,
    clock::now,
    error::Problem,
    idempotency::{IdempotencyKey, idempotency, with_replayed},
};

/// How long the workflow has to hear of a change, and then to decide about it, before the caller is told to
/// come back.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(5);
const DECISION_TIMEOUT: Duration = Duration::from_secs(10);
/// So many callers wait for a decision at once, each looking at the database ten times a second; the others
/// look again themselves.
static WAITERS: Semaphore = Semaphore::const_new(200);

/// A change that was asked for, and which request this is.
pub struct ChangeRequest {
    order: OrderId,
    change: OrderChange,
    identity: Idempotency,
    is_keyed: bool,
}

/// A change that is stored, and what was decided about it.
pub struct Decided {
    change: Change,
    submission: Submission,
    /// None: nothing yet, and whoever asked need not wait for it.
    pub answer: Option<Answer>,
}

impl ChangeRequest {
    pub fn new(order: OrderId, change: OrderChange, key: IdempotencyKey) -> Self {
        let is_keyed = key.0.is_some();
        let identity = idempotency(key.0.unwrap_or_default(), &change);
        Self { order, change, identity, is_keyed }
    }

    /// `proof` is what only this very request has shown, beyond what it asks for.
    pub fn with_proof(order: OrderId, change: OrderChange, key: IdempotencyKey, proof: &str) -> Self {
        let is_keyed = key.0.is_some();
        let identity = idempotency(key.0.unwrap_or_default(), &(order, &change, proof));
        Self { order, change, identity, is_keyed }
    }

    /// The same request, with what was found out since; that is no part of what tells it from others.
    pub fn with(self, change: OrderChange) -> Self {
        Self { change, ..self }
    }

    /// Whether this very request was made before: then it gets the first answer, whatever has become of the
    /// order.
    pub async fn is_known(&self, app: &App) -> Result<bool, Problem> {
        Ok(self.is_keyed && changes::find(&app.db, self.order, &self.identity).await?.is_some())
    }

    /// Stores the change, and has the workflow decide.
    pub async fn decide(&self, app: &App, asked_by: &str) -> Result<Decided, Problem> {
        let Self { order, change, identity, is_keyed } = self;
        let stored = changes::request(&app.db, *order, change, identity, *is_keyed, asked_by, now());
        let (change, submission) = stored.await?;
        let answer = match change.answer {
            None if submission != Submission::New || notify_workflow(app, &change).await? => {
                wait_for_answer(app, &change).await?
            }
            answer => answer,
        };
        Ok(Decided { change, submission, answer })
    }

    /// The same, and responds with what the workflow decided; 202 if that takes long.
    pub async fn submit(&self, app: &App, caller: &Caller) -> Result<Response, Problem> {
        let Decided { change, submission, answer } = self.decide(app, caller.name()).await?;
        let response = match answer {
            None => accepted(change),
            Some(Answer::Done) => {
                let order = load(app, self.order).await?;
                axum::Json(OrderDocument::told(order, app, caller)).into_response()
            }
            Some(answer) => self.refused(app, answer).await?.into_response(),
        };
        Ok(with_replayed(submission == Submission::Replayed, response))
    }

    async fn refused(&self, app: &App, answer: Answer) -> Result<Problem, Problem> {
        let kind = self.change.kind();
        Ok(match (kind, answer) {
            (Kind::CheckIn | Kind::NewCheckInCode, Answer::WrongStatus(_)) => {
                check_in_not_possible(&load(app, self.order).await?)
            }
            _ => refusal(kind, answer),
        })
    }
}

/// Whether the workflow knows of the change: if not, it may take long until it does.
async fn notify_workflow(app: &App, change: &Change) -> Result<bool, Problem> {
    let start = Start::from(&load(app, change.order).await?);
    let told = app.dispatcher.tell_change(&start, change.id);
    Ok(timeout(NOTIFY_TIMEOUT, told).await.unwrap_or(false))
}

/// Looks for the answer, ever more seldom.
async fn wait_for_answer(app: &App, change: &Change) -> Result<Option<Answer>, Problem> {
    let Ok(_place) = WAITERS.try_acquire() else { return Ok(None) };
    let deadline = Instant::now() + DECISION_TIMEOUT;
    let mut pause = Duration::from_millis(5);
    loop {
        sleep(pause).await;
        let answer = changes::get(&app.db, change.order, change.id).await?.and_then(|change| change.answer);
        if answer.is_some() || Instant::now() >= deadline {
            return Ok(answer);
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// The change is stored, and can be looked at until it is decided.
fn accepted(change: Change) -> Response {
    let location = format!("/v1/orders/{}/changes/{}", change.order, change.id);
    let document = axum::Json(ChangeDocument::from(change));
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], document).into_response()
}
