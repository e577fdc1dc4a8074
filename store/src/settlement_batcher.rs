//! Applies the commands of workflows in batches: those that arrive together share a transaction (see
//! [`crate::batcher`]).

use std::io;

use domain::{ChangeId, OrderId, Timestamp, payment::PaymentReport};

use crate::{
    Db, Error, Result,
    batcher::{Answers, BatchHandler, Batcher, Limits},
    orders::{self, Changed, Closed, CommandResult, OrderCommand, Settlement, Submitted},
};

/// A step takes some ten statements, and its order is locked until the batch is written.
const MAX_BATCH: usize = 50;
/// More than a worker has slots for activities; what is sent away is asked again by the engine.
const MAX_WAITING: usize = 2_000;

/// Where orders are paid, cancelled and expire. Each step is safe to repeat. Cheap to clone.
#[derive(Clone)]
pub struct SettlementBatcher(Batcher<Steps>);

struct Steps(Db);

impl SettlementBatcher {
    /// Starts the thread, which ends when the last clone is dropped, after those who wait were answered.
    ///
    /// # Errors
    /// If the system has no thread for it.
    pub fn open(db: &Db) -> io::Result<Self> {
        let limits = Limits { batch: MAX_BATCH, waiting: MAX_WAITING };
        Ok(Self(Batcher::open("settlements", Steps(db.apart()), limits)?))
    }

    /// Records a payment report, and pays the order if the money fits.
    ///
    /// # Errors
    /// [`Error::Busy`] if too many are waiting already; also of [`SettlementBatcher::cancel`] and
    /// [`SettlementBatcher::expire`].
    #[tracing::instrument(name = "sql settlements.settle", skip_all, err(level = "debug"))]
    pub async fn settle(&self, order: OrderId, report: &PaymentReport, at: Timestamp) -> Result<Settlement> {
        match self.0.submit(Submitted { order, command: OrderCommand::Settle(report.clone()), at }).await? {
            CommandResult::Settled(settlement) => Ok(settlement),
            CommandResult::Closed(_) | CommandResult::Changed(_) => Err(mixed_up()),
        }
    }

    /// Decides about a change that was asked of an order; about `unclear`, see [`SettlementBatcher::cancel`].
    #[tracing::instrument(name = "sql settlements.change", skip_all, err(level = "debug"))]
    pub async fn change(
        &self,
        order: OrderId,
        id: ChangeId,
        unclear: bool,
        at: Timestamp,
    ) -> Result<Changed> {
        match self.0.submit(Submitted { order, command: OrderCommand::Change { id, unclear }, at }).await? {
            CommandResult::Changed(changed) => Ok(changed),
            CommandResult::Closed(_) | CommandResult::Settled(_) => Err(mixed_up()),
        }
    }

    /// Cancels an unpaid order, and restocks. While an attempt to pay could still bring money it does not,
    /// unless nobody can tell (`unclear`).
    #[tracing::instrument(name = "sql settlements.cancel", skip_all, err(level = "debug"))]
    pub async fn cancel(&self, order: OrderId, reason: &str, unclear: bool, at: Timestamp) -> Result<Closed> {
        self.close(Submitted {
            order,
            command: OrderCommand::Cancel { reason: reason.to_owned(), unclear },
            at,
        })
        .await
    }

    /// Expires an unpaid order whose deadline has passed at `at`, and restocks; about attempts, see
    /// [`SettlementBatcher::cancel`].
    #[tracing::instrument(name = "sql settlements.expire", skip_all, err(level = "debug"))]
    pub async fn expire(&self, order: OrderId, unclear: bool, at: Timestamp) -> Result<Closed> {
        self.close(Submitted { order, command: OrderCommand::Expire { unclear }, at }).await
    }

    async fn close(&self, submitted: Submitted) -> Result<Closed> {
        match self.0.submit(submitted).await? {
            CommandResult::Closed(closed) => Ok(closed),
            CommandResult::Settled(_) | CommandResult::Changed(_) => Err(mixed_up()),
        }
    }
}

fn mixed_up() -> Error {
    Error::corrupt("a submitted was given another's answer")
}

impl BatchHandler for Steps {
    type Command = Submitted;
    type Answer = CommandResult;

    async fn handle_batch(&self, submitted: &[Submitted]) -> Result<Answers<CommandResult>> {
        let decisions = orders::decide_all(&self.0, submitted).await?;
        Ok(decisions.into_iter().map(|decision| decision.map(Ok)).collect())
    }

    async fn handle_one(&self, submitted: Submitted) -> Result<CommandResult> {
        orders::decide(&self.0, submitted).await
    }
}
