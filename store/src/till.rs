//! The till: the worker's steps that arrive together are decided together (see [`crate::group`]).

use std::io;

use domain::{ChangeId, OrderId, Timestamp, payment::PaymentReport};

use crate::{
    Db, Error, Result,
    group::{Answers, Decide, Group, Limits},
    orders::{self, Changed, Closed, Decision, Settlement, Step, What},
};

/// A step takes some ten statements, and its order is locked until the batch is written.
const MAX_BATCH: usize = 50;
/// More than a worker has slots for activities; what is sent away is asked again by the engine.
const MAX_WAITING: usize = 2_000;

/// Where orders are paid, cancelled and expire. Each step is safe to repeat. Cheap to clone.
#[derive(Clone)]
pub struct Till(Group<Steps>);

struct Steps(Db);

impl Till {
    /// Opens the till; it closes when the last clone is dropped, after those who wait were served.
    ///
    /// # Errors
    /// If the system has no thread for it.
    pub fn open(db: &Db) -> io::Result<Self> {
        let limits = Limits { batch: MAX_BATCH, waiting: MAX_WAITING };
        Ok(Self(Group::open("till", Steps(db.apart()), limits)?))
    }

    /// Records a payment report, and pays the order if the money fits.
    ///
    /// # Errors
    /// [`Error::Busy`] if too many are waiting already; also of [`Till::cancel`] and [`Till::expire`].
    #[tracing::instrument(name = "sql till.settle", skip_all, err(level = "debug"))]
    pub async fn settle(&self, order: OrderId, report: &PaymentReport, at: Timestamp) -> Result<Settlement> {
        match self.0.ask(Step { order, what: What::Settle(report.clone()), at }).await? {
            Decision::Settled(settlement) => Ok(settlement),
            Decision::Closed(_) | Decision::Changed(_) => Err(mixed_up()),
        }
    }

    /// Decides about a change that was asked of an order; about `unclear`, see [`Till::cancel`].
    #[tracing::instrument(name = "sql till.change", skip_all, err(level = "debug"))]
    pub async fn change(
        &self,
        order: OrderId,
        id: ChangeId,
        unclear: bool,
        at: Timestamp,
    ) -> Result<Changed> {
        match self.0.ask(Step { order, what: What::Change { id, unclear }, at }).await? {
            Decision::Changed(changed) => Ok(changed),
            Decision::Closed(_) | Decision::Settled(_) => Err(mixed_up()),
        }
    }

    /// Cancels an unpaid order, and restocks. While an attempt to pay could still bring money it does not, unless
    /// nobody can tell (`unclear`).
    #[tracing::instrument(name = "sql till.cancel", skip_all, err(level = "debug"))]
    pub async fn cancel(&self, order: OrderId, reason: &str, unclear: bool, at: Timestamp) -> Result<Closed> {
        self.close(Step { order, what: What::Cancel { reason: reason.to_owned(), unclear }, at }).await
    }

    /// Expires an unpaid order whose deadline has passed at `at`, and restocks; about attempts, see [`Till::cancel`].
    #[tracing::instrument(name = "sql till.expire", skip_all, err(level = "debug"))]
    pub async fn expire(&self, order: OrderId, unclear: bool, at: Timestamp) -> Result<Closed> {
        self.close(Step { order, what: What::Expire { unclear }, at }).await
    }

    async fn close(&self, step: Step) -> Result<Closed> {
        match self.0.ask(step).await? {
            Decision::Closed(closed) => Ok(closed),
            Decision::Settled(_) | Decision::Changed(_) => Err(mixed_up()),
        }
    }
}

fn mixed_up() -> Error {
    Error::corrupt("a step was given another's answer")
}

impl Decide for Steps {
    type Ask = Step;
    type Answer = Decision;

    async fn together(&self, steps: &[Step]) -> Result<Answers<Decision>> {
        let decisions = orders::decide_all(&self.0, steps).await?;
        Ok(decisions.into_iter().map(|decision| decision.map(Ok)).collect())
    }

    async fn alone(&self, step: Step) -> Result<Decision> {
        orders::decide(&self.0, step).await
    }
}
