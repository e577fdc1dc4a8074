//! Applies the commands of workflows in batches: those that arrive together share a transaction (see
//! [`crate::batcher`]).

use std::io;

use domain::{
    ChangeId, OrderId, Timestamp,
    change::{ChangeOutcome, Changed},
    payment::PaymentReport,
    settlement::Settlement,
};

use crate::{
    Db, Fault, Result,
    batcher::{Answers, BatchHandler, Batcher, Limits},
    orders::{self, CommandResult, OrderCommand, Submitted},
};

/// A command takes some ten statements, and its order is locked until the batch is written.
const MAX_BATCH: usize = 50;
/// More than a worker has slots for activities; what is sent away is asked again by the engine.
const MAX_WAITING: usize = 2_000;

/// Where orders are paid, cancelled and expire. Each command is safe to repeat. Cheap to clone.
#[derive(Clone)]
pub struct SettlementBatcher(Batcher<Settlements>);

struct Settlements(Db);

impl SettlementBatcher {
    /// Starts the thread, which ends when the last clone is dropped, after those who wait were answered.
    ///
    /// # Errors
    /// If the system has no thread for it.
    pub fn open(db: &Db) -> io::Result<Self> {
        let limits = Limits { batch: MAX_BATCH, waiting: MAX_WAITING };
        Ok(Self(Batcher::open("settlements", Settlements(db.apart()), limits)?))
    }

    /// Records a payment report, and pays the order if the money fits. Also says whether that is news: a
    /// report that is settled again is not.
    ///
    /// # Errors
    /// [`Fault::Busy`] if too many are waiting already; also of the others.
    #[tracing::instrument(name = "sql settlements.settle", skip_all, err(level = "debug"))]
    pub async fn settle(
        &self,
        order: OrderId,
        report: &PaymentReport,
        at: Timestamp,
    ) -> Result<(Settlement, bool)> {
        match self.submit(order, OrderCommand::Settle(report.clone()), at).await? {
            CommandResult::Settled { settlement, is_news } => Ok((settlement, is_news)),
            other => Err(mixed_up(&other)),
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
        match self.submit(order, OrderCommand::Change { id, unclear }, at).await? {
            CommandResult::Changed(changed) => Ok(changed),
            other => Err(mixed_up(&other)),
        }
    }

    /// Cancels an unpaid order, and restocks. While an attempt to pay could still bring money it does not,
    /// unless nobody can tell (`unclear`).
    #[tracing::instrument(name = "sql settlements.cancel", skip_all, err(level = "debug"))]
    pub async fn cancel(
        &self,
        order: OrderId,
        reason: &str,
        unclear: bool,
        at: Timestamp,
    ) -> Result<ChangeOutcome> {
        self.end(order, OrderCommand::Cancel { reason: reason.to_owned(), unclear }, at).await
    }

    /// Expires an unpaid order whose deadline has passed at `at`, and restocks; about attempts, see
    /// [`SettlementBatcher::cancel`].
    #[tracing::instrument(name = "sql settlements.expire", skip_all, err(level = "debug"))]
    pub async fn expire(&self, order: OrderId, unclear: bool, at: Timestamp) -> Result<ChangeOutcome> {
        self.end(order, OrderCommand::Expire { unclear }, at).await
    }

    async fn end(&self, order: OrderId, command: OrderCommand, at: Timestamp) -> Result<ChangeOutcome> {
        match self.submit(order, command, at).await? {
            CommandResult::Ended(outcome) => Ok(outcome),
            other => Err(mixed_up(&other)),
        }
    }

    async fn submit(&self, order: OrderId, command: OrderCommand, at: Timestamp) -> Result<CommandResult> {
        self.0.submit(Submitted::new(order, command, at)).await
    }
}

fn mixed_up(result: &CommandResult) -> Fault {
    Fault::corrupt(format!("a command was given the result of another: {result:?}"))
}

impl BatchHandler for Settlements {
    type Command = Submitted;
    type Answer = CommandResult;
    type Error = Fault;

    async fn handle_batch(&self, batch: &[Submitted]) -> Result<Answers<Self>> {
        let results = orders::decide_all(&self.0, batch).await?;
        Ok(results.into_iter().map(|result| result.map(Ok)).collect())
    }

    async fn handle_one(&self, submitted: Submitted) -> Result<CommandResult> {
        orders::decide(&self.0, submitted).await
    }
}
