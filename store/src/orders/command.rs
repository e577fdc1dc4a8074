//! The worker's submitted that end an order's holds: it is paid, cancelled or expires. Those that arrive
//! together are decided in ONE transaction. It locks payments, then orders, each in their order; decides one
//! step after the other; and moves the stock of all of them at the very end, so that a SKU that everybody
//! wants is locked for one statement and the commit. [`crate::settlement_batcher`] brings together what
//! arrives at the same time.

use domain::{
    ChangeId, OrderId, Timestamp,
    order::Status,
    payment::{Outcome, PaymentReport},
};

use super::{
    Locked,
    change::{self, Changed},
    close::{self, Closed},
    lock_all,
    pay::{self, Capture, Settlement},
};
use crate::{
    Db, Error, Result, Tx, changes, orders, refunds,
    retry::retry,
    stock::{self, End},
};

/// One step of one order.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub order: OrderId,
    pub command: OrderCommand,
    pub at: Timestamp,
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

/// What became of a step.
#[derive(Debug)]
pub(crate) enum CommandResult {
    Settled(Settlement),
    Closed(Closed),
    Changed(Changed),
}

/// Decides one step by itself.
pub(crate) async fn decide(db: &Db, submitted: Submitted) -> Result<CommandResult> {
    decide_all(db, &[submitted]).await?.pop().flatten().ok_or(Error::NotFound)
}

/// Answers a change of an order that has ended, and whose workflow has, too.
///
/// # Errors
/// [`Error::Engine`] if the order has not ended: a workflow is to decide, and somebody must have ended that
/// by hand.
pub async fn refuse_ended(db: &Db, order: OrderId, id: ChangeId, at: Timestamp) -> Result<()> {
    if !orders::get(db, order).await?.status.is_terminal() {
        return Err(Error::Engine(format!("the workflow of {order} has ended, the order has not")));
    }
    decide(db, Submitted { order, command: OrderCommand::Change { id, unclear: false }, at })
        .await
        .map(|_| ())
}

/// Decides submitted in one transaction: one decision each, in the same order. None for those that must be
/// decided by themselves: of orders that do not exist or have a step in front already, and those of
/// [`Submitted::needs_stock`]. An error means that nothing at all was done.
///
/// Whoever is refused was refused before anything was written for it, so there is nothing to undo among
/// others.
pub(crate) async fn decide_all(db: &Db, batch: &[Submitted]) -> Result<Vec<Option<CommandResult>>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        lock_payments(&mut tx, batch).await?;
        let ids: Vec<OrderId> = batch.iter().map(|submitted| submitted.order).collect();
        let mut orders = lock_all(&mut tx, &ids).await?;
        let orders: Vec<Option<Locked>> =
            batch.iter().map(|submitted| orders.remove(&submitted.order)).collect();
        let mut ends = Vec::with_capacity(batch.len());
        let exact: Vec<Capture> = batch.iter().zip(&orders).filter_map(exact).collect();
        let mut paid = pay::settle_exact(&mut tx, &mut ends, &exact).await?;
        let asked =
            changes::load(&mut tx, &batch.iter().filter_map(Submitted::change).collect::<Vec<_>>()).await?;
        let mut answers = Vec::new();
        let mut decisions = Vec::with_capacity(batch.len());
        for (submitted, order) in batch.iter().zip(&orders) {
            let order = order.as_ref().filter(|order| batch.len() == 1 || !submitted.needs_stock(order));
            let Some(order) = order else {
                decisions.push(None);
                continue;
            };
            decisions.push(Some(match (paid.remove(&order.id), &submitted.command) {
                (Some(settlement), _) => CommandResult::Settled(settlement),
                (None, OrderCommand::Change { id, unclear }) => {
                    match asked.iter().find(|change| change.id == *id && change.order == order.id) {
                        Some(change) => {
                            let pending =
                                change::PendingChange { order, change, unclear: *unclear, at: submitted.at };
                            CommandResult::Changed(
                                change::decide(&mut tx, &mut ends, &mut answers, &pending).await?,
                            )
                        }
                        // The database is an older one than the workflow's, or somebody told it of something
                        // by hand.
                        None => CommandResult::Changed(Changed::Refused),
                    }
                }
                (None, _) => submitted.decide(&mut tx, &mut ends, order).await?,
            }));
        }
        changes::answer(&mut tx, &answers).await?;
        stock::end_holds(&mut tx, &ends).await?;
        tx.commit().await?;
        Ok(decisions)
    })
    .await
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
        false => refunds::lock_payments(tx, &payments).await,
    }
}

impl Submitted {
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

    async fn decide(&self, tx: &mut Tx, ends: &mut Vec<End>, order: &Locked) -> Result<CommandResult> {
        match &self.command {
            OrderCommand::Settle(report) => pay::settle(tx, ends, &Capture { order, report, at: self.at })
                .await
                .map(CommandResult::Settled),
            OrderCommand::Cancel { reason, unclear } => {
                close::cancel(tx, ends, order, reason, *unclear, self.at).await.map(CommandResult::Closed)
            }
            OrderCommand::Expire { unclear } => {
                close::expire(tx, ends, order, *unclear, self.at).await.map(CommandResult::Closed)
            }
            OrderCommand::Change { .. } => Err(Error::corrupt("a change is decided by what was asked")),
        }
    }
}
