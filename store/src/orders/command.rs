//! The worker's commands that end an order's holds: it is paid, cancelled or expires. Those that arrive
//! together are decided in ONE transaction. It locks payments, then orders, each in their order; decides one
//! command after the other; and moves the stock of all of them at the very end, so that a SKU that everybody
//! wants is locked for one statement and the commit. [`crate::settlement_batcher`] brings together what
//! arrives at the same time.

use std::sync::Arc;

use domain::{
    ChangeId, OrderId, Timestamp,
    change::{Answer, ChangeOutcome, Changed},
    order::Status,
    payment::{Outcome, PaymentReport},
    public_event::Cause,
    settlement::Settlement,
};

use super::{
    Locked, change, close,
    pay::{self, Capture},
};
use crate::{
    Db, Fault, Result, Tx, cause, changes, locks, orders,
    retry::retry,
    stock::{self, End},
};

/// One command for one order.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub order: OrderId,
    pub command: OrderCommand,
    pub at: Timestamp,
    cause: Arc<Cause>,
}

#[derive(Debug)]
pub(crate) enum OrderCommand {
    Settle(PaymentReport),
    /// `unclear`: nobody can tell whether an attempt to pay will bring money.
    Cancel {
        reason: String,
        unclear: bool,
    },
    Expire {
        unclear: bool,
    },
    Change {
        id: ChangeId,
        unclear: bool,
    },
}

/// What became of a command.
#[derive(Debug)]
pub(crate) enum CommandResult {
    Settled { settlement: Settlement, is_news: bool },
    Ended(ChangeOutcome),
    Changed(Changed),
}

/// Decides one command by itself.
pub(crate) async fn decide(db: &Db, submitted: Submitted) -> Result<CommandResult> {
    let order = submitted.order;
    decide_all(db, &[submitted]).await?.pop().flatten().ok_or(Fault::UnknownOrder(order))
}

/// Answers a change of an order that has ended, and whose workflow has, too.
///
/// # Errors
/// [`Fault::Engine`] if the order has not ended: a workflow is to decide, and somebody must have ended that
/// by hand.
pub async fn refuse_ended(db: &Db, order: OrderId, id: ChangeId, at: Timestamp) -> Result<()> {
    let known = orders::get(db, order).await?.ok_or(Fault::UnknownOrder(order))?;
    if !known.status.is_terminal() {
        return Err(Fault::Engine(format!("the workflow of {order} has ended, the order has not")));
    }
    let command = OrderCommand::Change { id, unclear: false };
    decide(db, Submitted::new(order, command, at)).await.map(|_| ())
}

/// Decides commands in one transaction: one result each, in the same order. None for those that must be
/// decided by themselves: of orders that do not exist or have a command in front already, and those of
/// [`Submitted::needs_stock`]. An error means that nothing at all was done.
///
/// Whoever is refused was refused before anything was written for it, so there is nothing to undo among
/// others.
pub(crate) async fn decide_all(db: &Db, batch: &[Submitted]) -> Result<Vec<Option<CommandResult>>> {
    // Of two for one order the first is decided here.
    let causes = batch.iter().rev().map(|submitted| (submitted.order, submitted.cause.clone())).collect();
    let decided = retry(|| async {
        let mut tx = db.begin().await?;
        lock_payments(&mut tx, batch).await?;
        let ids: Vec<OrderId> = batch.iter().map(|submitted| submitted.order).collect();
        let mut orders = locks::orders(&mut tx, &ids).await?;
        let orders: Vec<Option<Locked>> =
            batch.iter().map(|submitted| orders.remove(&submitted.order)).collect();
        let mut ends = Vec::with_capacity(batch.len());
        let exact: Vec<Capture> = batch.iter().zip(&orders).filter_map(exact).collect();
        let mut paid = pay::settle_exact(&mut tx, &mut ends, &exact).await?;
        let asked: Vec<ChangeId> = batch.iter().filter_map(Submitted::change).collect();
        let mut changes = Changes { asked: changes::load(&mut tx, &asked).await?, answers: Vec::new() };
        let mut results = Vec::with_capacity(batch.len());
        for (submitted, order) in batch.iter().zip(&orders) {
            let order = order.as_ref().filter(|order| batch.len() == 1 || !submitted.needs_stock(order));
            results.push(match order {
                None => None,
                Some(order) => Some(match paid.remove(&order.id) {
                    Some(settlement) => CommandResult::Settled { settlement, is_news: true },
                    None => submitted.decide(&mut tx, &mut ends, &mut changes, order).await?,
                }),
            });
        }
        changes::answer(&mut tx, &changes.answers).await?;
        stock::end_holds(&mut tx, &ends).await?;
        tx.commit().await?;
        Ok(results)
    });
    cause::caused_each(causes, Box::pin(decided)).await // too big to be held twice
}

/// The changes that a batch is asked for, and the answers to be written at its end.
struct Changes {
    asked: Vec<changes::Change>,
    answers: Vec<(ChangeId, Answer, Timestamp)>,
}

/// What can be settled together.
fn exact<'a>((submitted, order): (&'a Submitted, &'a Option<Locked>)) -> Option<Capture<'a>> {
    let OrderCommand::Settle(report) = &submitted.command else { return None };
    let capture = Capture { order: order.as_ref()?, report, at: submitted.at };
    capture.is_exact().then_some(capture)
}

async fn lock_payments(tx: &mut Tx, batch: &[Submitted]) -> Result<()> {
    let payments: Vec<(&str, &str)> = batch
        .iter()
        .filter_map(|submitted| match &submitted.command {
            OrderCommand::Settle(report) => Some((report.provider.as_str(), report.payment_id.as_str())),
            _ => None,
        })
        .collect();
    match payments.is_empty() {
        true => Ok(()),
        false => locks::payments(tx, &payments).await,
    }
}

impl Submitted {
    pub fn new(order: OrderId, command: OrderCommand, at: Timestamp) -> Self {
        Self { order, command, at, cause: cause::current() }
    }

    /// Money for an order that is not open may bring a new order in its place, and the end of one that is
    /// paid gives back what it was sold: both lock stock in the middle of the transaction.
    fn needs_stock(&self, order: &Locked) -> bool {
        let moves = match &self.command {
            OrderCommand::Settle(report) => report.outcome == Outcome::Succeeded,
            OrderCommand::Change { .. } => true,
            OrderCommand::Cancel { .. } | OrderCommand::Expire { .. } => false,
        };
        moves && order.status != Status::AwaitingPayment
    }

    fn change(&self) -> Option<ChangeId> {
        match self.command {
            OrderCommand::Change { id, .. } => Some(id),
            _ => None,
        }
    }

    /// The request that asked for a change caused it, though it is done elsewhere and later.
    fn cause_of(&self, change: &changes::Change) -> Arc<Cause> {
        let traceparent = self.cause.traceparent.clone().or_else(|| change.cause.traceparent.clone());
        Arc::new(Cause { traceparent, ..change.cause.clone() })
    }

    async fn decide(
        &self,
        tx: &mut Tx,
        ends: &mut Vec<End>,
        changes: &mut Changes,
        order: &Locked,
    ) -> Result<CommandResult> {
        let at = self.at;
        Ok(match &self.command {
            OrderCommand::Settle(report) => {
                let (settlement, is_news) = pay::settle(tx, ends, &Capture { order, report, at }).await?;
                CommandResult::Settled { settlement, is_news }
            }
            OrderCommand::Cancel { reason, unclear } => {
                CommandResult::Ended(close::cancel(tx, ends, order, reason, *unclear, None, at).await?)
            }
            OrderCommand::Expire { unclear } => {
                CommandResult::Ended(close::expire(tx, ends, order, *unclear, at).await?)
            }
            OrderCommand::Change { id, unclear } => {
                let Changes { asked, answers } = changes;
                CommandResult::Changed(match asked.iter().find(|it| it.id == *id && it.order == order.id) {
                    Some(change) => {
                        let pending = change::PendingChange { order, change, unclear: *unclear, at };
                        let decided = change::decide(tx, ends, answers, &pending);
                        cause::caused_by(self.cause_of(change), decided).await?
                    }
                    // The database is an older one than the workflow's, or somebody told it of something by
                    // hand.
                    None => Changed::Refused,
                })
            }
        })
    }
}
