//! The worker's steps that end an order's holds: it is paid, cancelled or expires. Those that arrive together are
//! decided in ONE transaction. It locks payments, then orders, each in their order; decides one step after the
//! other; and moves the stock of all of them at the very end, so that a SKU that everybody wants is locked for one
//! statement and the commit. [`crate::till`] brings together what arrives at the same time.

use domain::{
    OrderId, Timestamp,
    order::Status,
    payment::{Outcome, PaymentReport},
};

use super::{
    Locked,
    close::{self, Closed},
    lock_all,
    pay::{self, News, Settlement},
};
use crate::{
    Db, Error, Result, Tx, refunds,
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
}

/// What became of a step.
#[derive(Debug)]
pub(crate) enum Decision {
    Settled(Settlement),
    Closed(Closed),
}

/// Decides one step by itself.
pub(crate) async fn decide(db: &Db, step: Step) -> Result<Decision> {
    decide_all(db, &[step]).await?.pop().flatten().ok_or(Error::NotFound)
}

/// Decides steps in one transaction: one decision each, in the same order. None for those that must be decided by
/// themselves: of orders that do not exist or have a step in front already, and those of [`Step::needs_stock`].
/// An error means that nothing at all was done.
///
/// Whoever is refused was refused before anything was written for it, so there is nothing to undo among others.
pub(crate) async fn decide_all(db: &Db, steps: &[Step]) -> Result<Vec<Option<Decision>>> {
    let mut tx = db.begin().await?;
    lock_payments(&mut tx, steps).await?;
    let ids: Vec<OrderId> = steps.iter().map(|step| step.order).collect();
    let mut orders = lock_all(&mut tx, &ids).await?;
    let orders: Vec<Option<Locked>> = steps.iter().map(|step| orders.remove(&step.order)).collect();
    let mut ends = Vec::with_capacity(steps.len());
    let exact: Vec<News> = steps.iter().zip(&orders).filter_map(exact).collect();
    let mut paid = pay::settle_exact(&mut tx, &mut ends, &exact).await?;
    let mut decisions = Vec::with_capacity(steps.len());
    for (step, order) in steps.iter().zip(&orders) {
        let order = order.as_ref().filter(|order| steps.len() == 1 || !step.needs_stock(order));
        decisions.push(match order {
            Some(order) => match paid.remove(&order.id) {
                Some(settlement) => Some(Decision::Settled(settlement)),
                None => Some(step.decide(&mut tx, &mut ends, order).await?),
            },
            None => None,
        });
    }
    stock::end_holds(&mut tx, &ends).await?;
    tx.commit().await?;
    Ok(decisions)
}

/// What can be settled together.
fn exact<'a>((step, order): (&'a Step, &'a Option<Locked>)) -> Option<News<'a>> {
    let What::Settle(report) = &step.what else { return None };
    let news = News { order: order.as_ref()?, report, at: step.at };
    news.is_exact().then_some(news)
}

async fn lock_payments(tx: &mut Tx<'_>, steps: &[Step]) -> Result<()> {
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
    /// Money for an order that is not open may bring a new order in its place, which looks at the shelf, and locks
    /// it, in the middle of things.
    fn needs_stock(&self, order: &Locked) -> bool {
        let is_money = matches!(&self.what, What::Settle(report) if report.outcome == Outcome::Succeeded);
        is_money && order.status != Status::AwaitingPayment
    }

    async fn decide(&self, tx: &mut Tx<'_>, ends: &mut Vec<End>, order: &Locked) -> Result<Decision> {
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
        }
    }
}
