//! Money for an order: recorded always, judged against the order as it stands under its lock, and matched: it
//! pays the order, or is an exception that the order's rules settle at once, or a person later.

use std::collections::BTreeMap;

use domain::{
    OrderId, PaymentId, Timestamp,
    event::{OrderEvent, ReceivedMoney},
    exception,
    money::Money,
    order::Status,
    payment::{self, Fit, Outcome, PaymentReport, Resolution},
    policy::Fulfilment,
    stock::Movement,
};

use super::{
    Change, Locked, lock,
    parts::{self, Part},
    reinstate::reinstate,
    set_status,
};
use crate::{
    Db, Result, Tx, check_ins,
    exceptions::{self, About},
    inbox,
    order_events::{self, New},
    payments::{self, Reported},
    refunds,
    retry::retry,
    stock::End,
};

/// What a payment report did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    pub settled: Settled,
    /// What is still to come of an order that goes on waiting for money.
    pub still_due: Option<Money>,
    /// Another attempt could still bring money.
    pub attempts_open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It paid the order; with immediate fulfilment the order is completed, too.
    Paid { completed: bool },
    /// The attempt failed. The hold stays and the customer may try again.
    AttemptFailed,
    /// It counts towards the order, which waits for the rest.
    Part,
    /// This very payment was recorded before. If it is the one that paid the order: the order's status.
    Known(Option<Status>),
    /// The order had ended; this new one took its place and is paid.
    Reinstated(OrderId),
    /// The money does not settle the order: an exception, which a rule may have settled already.
    Unmatched(exception::Kind),
}

/// A report of an order's money.
pub(super) struct Capture<'a> {
    pub order: &'a Locked,
    pub report: &'a PaymentReport,
    pub at: Timestamp,
}

impl Capture<'_> {
    /// It brings what is due to the cent, as nearly all do.
    pub fn is_exact(&self) -> bool {
        self.report.outcome == Outcome::Succeeded && judge(self) == Ok(Fit::Pays { excess: 0 })
    }

    fn received(&self) -> New<&Locked> {
        let PaymentReport { provider, payment_id, money, .. } = self.report;
        let money = ReceivedMoney::new(provider, payment_id, *money);
        (self.order, self.at, OrderEvent::PaymentReceived(money))
    }

    fn part(&self, payment: PaymentId, amount: i64) -> Part<'_> {
        let PaymentReport { provider, payment_id, .. } = self.report;
        Part { payment, provider, provider_payment_id: payment_id, amount }
    }

    fn reported(&self, applied: i64) -> Reported<'_> {
        Reported { order: self.order.id, report: self.report, applied, at: self.at }
    }

    fn event(&self) -> (&str, &str, Timestamp) {
        (&self.report.provider, &self.report.event_id, self.at)
    }

    fn payment(&self) -> (&str, &str, Timestamp) {
        (&self.report.provider, &self.report.payment_id, self.at)
    }
}

/// Records what [`Capture::is_exact`], and pays the orders: for many with as many statements as for one. What
/// was recorded before is left out, to be settled by itself. Safe to repeat.
pub(super) async fn settle_exact(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    all: &[Capture<'_>],
) -> Result<BTreeMap<OrderId, Settlement>> {
    if all.is_empty() {
        return Ok(BTreeMap::new());
    }
    let reported: Vec<Reported> =
        all.iter().map(|capture| capture.reported(capture.report.money.amount)).collect();
    let recorded = payments::record(tx, &reported).await?;
    let new = || all.iter().filter(|capture| recorded.contains_key(&capture.order.id));
    order_events::append_all(tx, &new().map(Capture::received).collect::<Vec<_>>()).await?;
    for (capture, payment) in new().filter_map(|capture| Some((capture, *recorded.get(&capture.order.id)?))) {
        if capture.order.parts_paid > 0 {
            parts::append_entry(
                tx,
                capture.order,
                &capture.part(payment, capture.report.money.amount),
                capture.at,
            )
            .await?;
        }
    }
    pay(tx, ends, &new().map(|capture| (capture.order, capture.at)).collect::<Vec<_>>()).await?;
    refunds::match_early_refunds(tx, &new().map(Capture::payment).collect::<Vec<_>>()).await?;
    inbox::mark_settled(tx, &new().map(Capture::event).collect::<Vec<_>>()).await?;
    let unfinished =
        payments::with_unfinished(tx, &new().map(|capture| capture.order.id).collect::<Vec<_>>()).await?;
    let settlement = |Capture { order, .. }: &Capture| {
        let attempts_open = unfinished.contains(&order.id);
        (order.id, Settlement { settled: paid(order), still_due: None, attempts_open })
    };
    Ok(new().map(settlement).collect())
}

/// Records a payment report, and pays the order if the money fits. Safe to repeat.
pub(super) async fn settle(tx: &mut Tx, ends: &mut Vec<End>, capture: &Capture<'_>) -> Result<Settlement> {
    let Capture { order, report, .. } = *capture;
    let recorded = payments::record(tx, &[capture.reported(0)]).await?.remove(&order.id);
    let settled = match (recorded, report.outcome) {
        (None, _) => Settled::Known(paid_before(tx, order, report).await?),
        (Some(_), Outcome::Failed) => Settled::AttemptFailed,
        (Some(payment), Outcome::Succeeded) => receive(tx, ends, capture, payment).await?,
    };
    inbox::mark_settled(tx, &[capture.event()]).await?;
    let attempts_open = !payments::with_unfinished(tx, &[order.id]).await?.is_empty();
    Ok(Settlement { settled, still_due: parts::still_due(tx, order).await?, attempts_open })
}

/// A worker that died right after it paid the order asks again, and must hear that it is paid: else
/// the order's workflow would sleep on and the customer would never be told.
async fn paid_before(tx: &mut Tx, order: &Locked, report: &PaymentReport) -> Result<Option<Status>> {
    let is_paid = matches!(order.status, Status::Paid | Status::Completed);
    let paid = is_paid
        && report.outcome == Outcome::Succeeded
        && payments::pays(tx, order.id, &report.provider, &report.payment_id).await?;
    Ok(paid.then_some(order.status))
}

async fn receive(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    capture: &Capture<'_>,
    payment: PaymentId,
) -> Result<Settled> {
    let Capture { order, report, at } = *capture;
    order_events::append_all(tx, &[capture.received()]).await?;
    let about = About::report(Some(order.id), Some(payment), report);
    let settled = match judge_as_received(tx, capture).await? {
        Ok(Fit::Part) => {
            parts::count(tx, order, &capture.part(payment, report.money.amount), at).await?;
            Settled::Part
        }
        Ok(Fit::Pays { excess }) => {
            let (due, excess) = (order.due().amount, Money::new(excess, order.currency));
            let about = About { money: excess, ..about };
            parts::complete(tx, ends, order, &capture.part(payment, due), &about, at).await?;
            paid(order)
        }
        Err(mismatch) => follow(tx, ends, order, mismatch, &about, at).await?,
    };
    refunds::match_early_refunds(tx, &[capture.payment()]).await?;
    refunds::refresh_payment_status(tx, order.id).await?;
    Ok(settled)
}

/// Money counts from the moment its event was stored: if it waited for us past the last moment, it is not
/// late.
async fn judge_as_received(tx: &mut Tx, capture: &Capture<'_>) -> Result<Result<Fit, exception::Kind>> {
    let Capture { order, report, at } = *capture;
    if order.status != Status::AwaitingPayment || !order.is_too_late(at) {
        return Ok(judge(capture));
    }
    let received = inbox::received_at(tx, &report.provider, &report.event_id).await?;
    Ok(judge(&Capture { order, report, at: received.map_or(at, |received| received.min(at)) }))
}

/// What the payment is to the order, or why it is nothing.
fn judge(Capture { order, report, at }: &Capture<'_>) -> Result<Fit, exception::Kind> {
    match order.status {
        // The first night has begun. Its workflow hears this and expires it.
        Status::AwaitingPayment if order.is_too_late(*at) => Err(exception::Kind::OrderClosed),
        Status::AwaitingPayment => payment::judge(order.due(), report.money, &order.policy.money),
        Status::Paid | Status::Completed => Err(exception::Kind::PaidTwice),
        Status::Cancelled | Status::Expired => Err(exception::Kind::OrderClosed),
    }
}

/// Money that does not simply pay the order becomes an exception, and the order's rules may settle it.
pub(super) async fn follow(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    order: &Locked,
    mismatch: exception::Kind,
    about: &About<'_>,
    at: Timestamp,
) -> Result<Settled> {
    let too_little = about.money.amount < order.due().amount;
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
    refunds::match_early_refunds(tx, &[(about.provider, about.provider_payment_id, at)]).await?;
    // A part of an order that ends may be on its way back, or in dispute: that does not go back once more.
    refunds::update_attribution(tx, &about.payment_ref(), at).await?;
    if let (Some(raised), Resolution::Refund | Resolution::Reinstate) = (raised, resolution) {
        refunds::refund_exception_by_rule(tx, raised, about, mismatch, at).await?;
    }
    Ok(Settled::Unmatched(mismatch))
}

pub(super) fn paid(order: &Locked) -> Settled {
    Settled::Paid { completed: order.status_when_paid().is_terminal() }
}

/// Commits what the orders hold, and writes that they are paid.
pub(super) async fn pay(tx: &mut Tx, ends: &mut Vec<End>, orders: &[(&Locked, Timestamp)]) -> Result<()> {
    let (mut events, mut changes) = (Vec::new(), Vec::new());
    for (order, at) in orders.iter().copied() {
        ends.push(End { order: order.id, movement: Movement::Committed, at });
        if order.policy.fulfilment == Fulfilment::CheckIn {
            check_ins::open(tx, order.id).await?;
        }
        let status = order.status_when_paid();
        changes.push(Change { order, status, close_reason: None, at });
        let customer_id = order.customer_id.clone();
        events.push((order, at, OrderEvent::OrderPaid { customer_id: customer_id.clone() }));
        events.push((order, at, OrderEvent::StockCommitted {}));
        if status.is_terminal() {
            events.push((order, at, OrderEvent::OrderCompleted { reason: None, customer_id }));
        }
    }
    set_status(tx, &changes).await?;
    order_events::append_all(tx, &events).await
}

/// Pays a new order that took the place of an ended one.
pub(super) async fn pay_successor(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    id: OrderId,
    at: Timestamp,
) -> Result<()> {
    let order = lock(tx, id).await?;
    pay(tx, ends, &[(&order, at)]).await
}

/// Money for an order that we do not know: kept, and shown as an exception.
pub async fn raise_unknown_order(db: &Db, report: &PaymentReport, at: Timestamp) -> Result<()> {
    retry(|| async {
        let mut tx = db.begin().await?;
        if report.outcome == Outcome::Succeeded {
            unknown_order(&mut tx, report, at).await?;
        }
        inbox::mark_settled(&mut tx, &[(&report.provider, &report.event_id, at)]).await?;
        tx.commit().await
    })
    .await
}

pub(crate) async fn unknown_order(tx: &mut Tx, report: &PaymentReport, at: Timestamp) -> Result<()> {
    refunds::lock_payment(tx, &report.provider, &report.payment_id).await?;
    exceptions::raise(tx, exception::Kind::UnknownOrder, &About::report(None, None, report), at).await?;
    refunds::match_early_refunds(tx, &[(&report.provider, &report.payment_id, at)]).await
}
