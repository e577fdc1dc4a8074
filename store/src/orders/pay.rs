//! Money for an order: recorded always, judged against the order as it stands under its lock, and matched: it
//! pays the order, or is an exception that the order's rules settle at once, or a person later.

use domain::{
    OrderId, PaymentId, Timestamp,
    money::Money,
    order::Status,
    payment::{self, Mismatch, Outcome, PaymentReport, Resolution},
    policy::Fulfilment,
    stock::Movement,
};
use serde_json::json;

use super::{Locked, lock, reinstate::reinstate, set_status};
use crate::{
    Db, Result, Tx, check_ins,
    exceptions::{self, About},
    inbox, outbox, payments, refunds,
    stock::End,
    timeline,
};

/// What a payment report did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    pub settled: Settled,
    /// Another attempt could still bring money.
    pub attempts_open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It paid the order; with immediate fulfilment the order is completed, too.
    Paid { completed: bool },
    /// The attempt failed. The hold stays and the customer may try again.
    AttemptFailed,
    /// This very payment was recorded before. If it is the one that paid the order: the order's status.
    Known(Option<Status>),
    /// The order had ended; this new one took its place and is paid.
    Reinstated(OrderId),
    /// The money does not settle the order: an exception, which a rule may have settled already.
    Unmatched(Mismatch),
}

/// Records a payment report, and pays the order if the money fits. Safe to repeat.
pub(super) async fn settle(
    tx: &mut Tx<'_>,
    ends: &mut Vec<End>,
    order: &Locked,
    report: &PaymentReport,
    at: Timestamp,
) -> Result<Settlement> {
    let settled = match (payments::record(tx, order.id, report, at).await?, report.outcome) {
        (None, _) => Settled::Known(paid_before(tx, order, report).await?),
        (Some(_), Outcome::Failed) => Settled::AttemptFailed,
        (Some(payment), Outcome::Succeeded) => receive(tx, ends, order, payment, report, at).await?,
    };
    inbox::mark_settled(tx, &report.provider, &report.event_id, at).await?;
    let attempts_open = payments::has_unfinished(tx, order.id).await?;
    Ok(Settlement { settled, attempts_open })
}

/// A worker that died right after it paid the order asks again, and must hear that it is paid: else
/// the order's workflow would sleep on and the customer would never be told.
async fn paid_before(tx: &mut Tx<'_>, order: &Locked, report: &PaymentReport) -> Result<Option<Status>> {
    let is_paid = matches!(order.status, Status::Paid | Status::Completed);
    let paid = is_paid
        && report.outcome == Outcome::Succeeded
        && payments::pays(tx, order.id, &report.provider, &report.payment_id).await?;
    Ok(paid.then_some(order.status))
}

async fn receive(
    tx: &mut Tx<'_>,
    ends: &mut Vec<End>,
    order: &Locked,
    payment: PaymentId,
    report: &PaymentReport,
    at: Timestamp,
) -> Result<Settled> {
    let data = json!({
        "provider": report.provider,
        "payment_id": report.payment_id,
        "amount": report.money.amount,
        "currency": report.money.currency,
    });
    timeline::append(tx, order.id, at, &[("payment.received", data)]).await?;
    let about = About::report(Some(order.id), Some(payment), report);
    let settled = match judge(order, report) {
        Ok(excess) => {
            payments::apply(tx, payment, order.total, None).await?;
            let paid = pay(tx, ends, order, at).await?;
            if excess > 0 {
                let excess = Money::new(excess, order.currency);
                follow(tx, ends, order, Mismatch::Overpaid, &About { money: excess, ..about }, at).await?;
            }
            paid
        }
        Err(mismatch) => follow(tx, ends, order, mismatch, &about, at).await?,
    };
    refunds::take_up_early(tx, &report.provider, &report.payment_id, at).await?;
    refunds::refresh_payment_status(tx, order.id).await?;
    Ok(settled)
}

/// What of the payment is too much, or why it does not pay the order.
fn judge(order: &Locked, report: &PaymentReport) -> Result<i64, Mismatch> {
    match order.status {
        Status::AwaitingPayment => {
            payment::judge(Money::new(order.total, order.currency), report.money, &order.policy.money)
        }
        Status::Paid | Status::Completed => Err(Mismatch::PaidTwice),
        Status::Cancelled | Status::Expired => Err(Mismatch::OrderClosed),
    }
}

/// Money that does not simply pay the order becomes an exception, and the order's rules may settle it.
async fn follow(
    tx: &mut Tx<'_>,
    ends: &mut Vec<End>,
    order: &Locked,
    mismatch: Mismatch,
    about: &About<'_>,
    at: Timestamp,
) -> Result<Settled> {
    let too_little = about.money.amount < order.total;
    let resolution = match about.money.amount > 0 {
        true => payment::resolution(mismatch, too_little, &order.policy.money),
        false => Resolution::Leave, // nothing that could go back
    };
    if resolution == Resolution::Reinstate
        && let Some(successor) = reinstate(tx, ends, order, about, at).await?
    {
        return Ok(Settled::Reinstated(successor));
    }
    let raised = exceptions::raise(tx, mismatch, about, at).await?;
    refunds::take_up_early(tx, about.provider, about.provider_payment_id, at).await?;
    if let (Some(raised), Resolution::Refund | Resolution::Reinstate) = (raised, resolution) {
        refunds::by_rule(tx, raised.0, about, mismatch, at).await?;
    }
    Ok(Settled::Unmatched(mismatch))
}

async fn pay(tx: &mut Tx<'_>, ends: &mut Vec<End>, order: &Locked, at: Timestamp) -> Result<Settled> {
    ends.push(End { order: order.id, movement: Movement::Committed, at });
    if order.policy.fulfilment == Fulfilment::CheckIn {
        check_ins::open(tx, order.id).await?;
    }
    let status = order.status_when_paid();
    set_status(tx, order, status, None, at).await?;
    let mut entries = vec![("order.paid", json!({})), ("stock.committed", json!({}))];
    if status.is_terminal() {
        entries.push(("order.completed", json!({})));
    }
    timeline::append(tx, order.id, at, &entries).await?;
    let customer = json!({"customer_id": order.customer_id});
    let mut events = vec![(order.id, at, "order.paid", customer.clone())];
    if status.is_terminal() {
        events.push((order.id, at, "order.completed", customer));
    }
    outbox::append_all(tx, &events).await?;
    Ok(Settled::Paid { completed: status.is_terminal() })
}

/// Pays a new order that took the place of an ended one.
pub(super) async fn pay_successor(
    tx: &mut Tx<'_>,
    ends: &mut Vec<End>,
    id: OrderId,
    at: Timestamp,
) -> Result<()> {
    let order = lock(tx, id).await?;
    pay(tx, ends, &order, at).await?;
    refunds::refresh_payment_status(tx, id).await
}

/// Money for an order that we do not know: kept, and shown as an exception.
pub async fn raise_unknown_order(db: &Db, report: &PaymentReport, at: Timestamp) -> Result<()> {
    let mut tx = db.begin().await?;
    if report.outcome == Outcome::Succeeded {
        unknown_order(&mut tx, report, at).await?;
    }
    inbox::mark_settled(&mut tx, &report.provider, &report.event_id, at).await?;
    Ok(tx.commit().await?)
}

pub(crate) async fn unknown_order(tx: &mut Tx<'_>, report: &PaymentReport, at: Timestamp) -> Result<()> {
    refunds::lock_payment(tx, &report.provider, &report.payment_id).await?;
    exceptions::raise(tx, Mismatch::UnknownOrder, &About::report(None, None, report), at).await?;
    refunds::take_up_early(tx, &report.provider, &report.payment_id, at).await
}
