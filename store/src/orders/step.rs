//! The worker's steps that end an order's holds: it is paid, cancelled or expires. Those that arrive together are
//! decided in ONE transaction. It locks payments, then orders, each in their order; decides one step after the
//! other; and moves the stock of all of them at the very end, so that a SKU that everybody wants is locked for one
//! statement and the commit. [`crate::till`] brings together what arrives at the same time.

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
    pay::{self, News, Settlement},
};
use crate::{
    Db, Error, Result, Tx, changes, orders, refunds,
    retry::retry,
    stock::{self, End},
};

/// One step of one order.
#[derive(Debug)]
pub(crate) struct Step {
    pub order: OrderId,
    pub what: What,
    pub at: Timestamp,
}

#[derive(Debug)]
pub(crate) enum What {
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
pub(crate) enum Decision {
    Settled(Settlement),
    Closed(Closed),
    Changed(Changed),
}

/// Decides one step by itself.
pub(crate) async fn decide(db: &Db, step: Step) -> Result<Decision> {
    decide_all(db, &[step]).await?.pop().flatten().ok_or(Error::NotFound)
}

/// Answers a change of an order that has ended, and whose workflow has, too.
///
/// # Errors
/// [`Error::Engine`] if the order has not ended: a workflow is to decide, and somebody must have ended that by hand.
pub async fn refuse_ended(db: &Db, order: OrderId, id: ChangeId, at: Timestamp) -> Result<()> {
    if !orders::get(db, order).await?.status.is_terminal() {
        return Err(Error::Engine(format!("the workflow of {order} has ended, the order has not")));
    }
    decide(db, Step { order, what: What::Change { id, unclear: false }, at }).await.map(|_| ())
}

/// Decides steps in one transaction: one decision each, in the same order. None for those that must be decided by
/// themselves: of orders that do not exist or have a step in front already, and those of [`Step::needs_stock`].
/// An error means that nothing at all was done.
///
/// Whoever is refused was refused before anything was written for it, so there is nothing to undo among others.
pub(crate) async fn decide_all(db: &Db, steps: &[Step]) -> Result<Vec<Option<Decision>>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        lock_payments(&mut tx, steps).await?;
        let ids: Vec<OrderId> = steps.iter().map(|step| step.order).collect();
        let mut orders = lock_all(&mut tx, &ids).await?;
        let orders: Vec<Option<Locked>> = steps.iter().map(|step| orders.remove(&step.order)).collect();
        let mut ends = Vec::with_capacity(steps.len());
        let exact: Vec<News> = steps.iter().zip(&orders).filter_map(exact).collect();
        let mut paid = pay::settle_exact(&mut tx, &mut ends, &exact).await?;
        let asked =
            changes::load(&mut tx, &steps.iter().filter_map(Step::change).collect::<Vec<_>>()).await?;
        let mut answers = Vec::new();
        let mut decisions = Vec::with_capacity(steps.len());
        for (step, order) in steps.iter().zip(&orders) {
            let order = order.as_ref().filter(|order| steps.len() == 1 || !step.needs_stock(order));
            let Some(order) = order else {
                decisions.push(None);
                continue;
            };
            decisions.push(Some(match (paid.remove(&order.id), &step.what) {
                (Some(settlement), _) => Decision::Settled(settlement),
                (None, What::Change { id, unclear }) => {
                    match asked.iter().find(|change| change.id == *id && change.order == order.id) {
                        Some(change) => {
                            let news = change::News { order, change, unclear: *unclear, at: step.at };
                            Decision::Changed(change::decide(&mut tx, &mut ends, &mut answers, &news).await?)
                        }
                        // The database is an older one than the workflow's, or somebody told it of something by hand.
                        None => Decision::Changed(Changed::Refused),
                    }
                }
                (None, _) => step.decide(&mut tx, &mut ends, order).await?,
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
fn exact<'a>((step, order): (&'a Step, &'a Option<Locked>)) -> Option<News<'a>> {
    let What::Settle(report) = &step.what else { return None };
    let news = News { order: order.as_ref()?, report, at: step.at };
    news.is_exact().then_some(news)
}

async fn lock_payments(tx: &mut Tx, steps: &[Step]) -> Result<()> {
    let payments: Vec<(&str, &str)> = steps
        .iter()
        .filter_map(|step| match &step.what {
            What::Settle(report) => Some((report.provider.as_str(), report.payment_id.as_str())),
            _ => None,
        })
        .collect();
    match payments.is_empty() {
        true => Ok(()),
        false => refunds::lock_payments(tx, &payments).await,
    }
}

impl Step {
    /// Money for an order that is not open may bring a new order in its place, and the end of one that is paid gives
    /// back what it was sold: both lock the shelf in the middle of things.
    fn needs_stock(&self, order: &Locked) -> bool {
        let moves = match &self.what {
            What::Settle(report) => report.outcome == Outcome::Succeeded,
            What::Change { .. } => true,
            What::Cancel { .. } | What::Expire { .. } => false,
        };
        moves && order.status != Status::AwaitingPayment
    }

    fn change(&self) -> Option<ChangeId> {
        match self.what {
            What::Change { id, .. } => Some(id),
            _ => None,
        }
    }

    async fn decide(&self, tx: &mut Tx, ends: &mut Vec<End>, order: &Locked) -> Result<Decision> {
        match &self.what {
            What::Settle(report) => {
                pay::settle(tx, ends, &News { order, report, at: self.at }).await.map(Decision::Settled)
            }
            What::Cancel { reason, unclear } => {
                close::cancel(tx, ends, order, reason, *unclear, self.at).await.map(Decision::Closed)
            }
            What::Expire { unclear } => {
                close::expire(tx, ends, order, *unclear, self.at).await.map(Decision::Closed)
            }
            What::Change { .. } => Err(Error::corrupt("a change is decided by what was asked")),
        }
    }
}
