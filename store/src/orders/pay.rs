//! Money for an order: recorded always, judged against the order as it stands under its lock, and matched: it
//! pays the order, or is an exception that the order's rules settle at once, or a person later.

use std::collections::BTreeMap;

use domain::{
    OrderId, PaymentId, Timestamp,
    event::{OrderEvent, ReceivedMoney},
    exception,
    order::Status,
    payment::{self, Fit, Outcome, PaymentReport, Resolution},
    policy::Fulfilment,
    settlement::{Settled, Settlement},
    stock::Movement,
};

use super::{Change, Locked, parts, reinstate::reinstate, set_status};
use crate::{
    Db, Result, Tx, check_ins,
    exceptions::{self, About},
    inbox, locks,
    order_events::{self, New},
    payments,
    refunds::{self, PaymentRef},
    retry::retry,
    stock::End,
};

/// A report of an order's money.
pub(crate) struct Capture<'a> {
    pub order: &'a Locked,
    pub report: &'a PaymentReport,
    pub at: Timestamp,
}

impl Capture<'_> {
    /// It brings what is due to the cent, as nearly all do.
    pub fn is_exact(&self) -> bool {
        self.report.outcome == Outcome::Succeeded && judge(self) == Ok(Fit::Pays { excess: 0 })
    }

    fn payment_ref(&self, payment: Option<PaymentId>) -> PaymentRef<'_> {
        let PaymentReport { provider, payment_id, .. } = self.report;
        PaymentRef { provider, provider_payment_id: payment_id, payment, order: Some(self.order.id) }
    }

    fn received(&self) -> ReceivedMoney {
        self.payment_ref(None).received(self.report.money)
    }

    fn received_event(&self) -> New<&Locked> {
        (self.order, self.at, OrderEvent::PaymentReceived(self.received()))
    }

    fn inbox_event(&self) -> (&str, &str, Timestamp) {
        (&self.report.provider, &self.report.event_id, self.at)
    }

    fn provider_payment(&self) -> (&str, &str, Timestamp) {
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
    let applied: Vec<_> = all.iter().map(|capture| (capture, capture.report.money.amount)).collect();
    let recorded = payments::record(tx, &applied).await?;
    let new: Vec<_> = all.iter().filter(|capture| recorded.contains_key(&capture.order.id)).collect();
    let mut events = Vec::new();
    for capture in &new {
        events.push(capture.received_event());
        if capture.order.parts_paid > 0 {
            events.push(parts::applied(capture.order, capture.received(), capture.at));
        }
    }
    pay(tx, ends, &new.iter().map(|it| (it.order, it.at)).collect::<Vec<_>>(), events).await?;
    refunds::match_early_refunds(tx, &new.iter().map(|it| it.provider_payment()).collect::<Vec<_>>()).await?;
    inbox::mark_settled(tx, &new.iter().map(|it| it.inbox_event()).collect::<Vec<_>>()).await?;
    let ids: Vec<_> = new.iter().map(|capture| capture.order.id).collect();
    let unfinished = payments::with_unfinished(tx, &ids).await?;
    let settlement = |capture: &&Capture| {
        let id = capture.order.id;
        let settled = Settled::Paid(capture.order.status_when_paid());
        (id, Settlement { settled, still_due: None, attempts_open: unfinished.contains(&id) })
    };
    Ok(new.iter().map(settlement).collect())
}

/// Records a payment report, and pays the order if the money fits. Safe to repeat; says whether it is news.
pub(super) async fn settle(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    capture: &Capture<'_>,
) -> Result<(Settlement, bool)> {
    let Capture { order, report, .. } = *capture;
    let recorded = payments::record(tx, &[(capture, 0)]).await?.remove(&order.id);
    let settled = match (recorded, report.outcome) {
        (None, _) => settled_before(tx, order, report).await?,
        (Some(_), Outcome::Failed) => Settled::AttemptFailed,
        (Some(payment), Outcome::Succeeded) => receive(tx, ends, capture, payment).await?,
    };
    inbox::mark_settled(tx, &[capture.inbox_event()]).await?;
    let attempts_open = !payments::with_unfinished(tx, &[order.id]).await?.is_empty();
    let settlement = Settlement { settled, still_due: parts::still_due(tx, order).await?, attempts_open };
    Ok((settlement, recorded.is_some()))
}

/// A worker that died right after it paid the order asks again, and must hear that it is paid: else
/// the order's workflow would sleep on and the customer would never be told.
async fn settled_before(tx: &mut Tx, order: &Locked, report: &PaymentReport) -> Result<Settled> {
    let is_paid = matches!(order.status, Status::Paid | Status::Completed);
    let pays = is_paid
        && report.outcome == Outcome::Succeeded
        && payments::pays(tx, order.id, &report.provider, &report.payment_id).await?;
    Ok(if pays { Settled::Paid(order.status) } else { Settled::Known })
}

async fn receive(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    capture: &Capture<'_>,
    payment: PaymentId,
) -> Result<Settled> {
    let Capture { order, report, at } = *capture;
    order_events::append_all(tx, &[capture.received_event()]).await?;
    let about = About::all(capture.payment_ref(Some(payment)), report.money);
    let settled = match judge_as_received(tx, capture).await? {
        Ok(Fit::Part) => {
            parts::count(tx, order, payment, &about, at).await?;
            Settled::Known
        }
        Ok(Fit::Pays { .. }) => {
            parts::complete(tx, ends, order, payment, &about, at).await?;
            Settled::Paid(order.status_when_paid())
        }
        Err(mismatch) => follow(tx, ends, order, mismatch, &about, at).await?,
    };
    refunds::match_early_refunds(tx, &[capture.provider_payment()]).await?;
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
    let received = inbox::event(tx, &report.provider, &report.event_id).await?.received_at;
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
    let PaymentRef { provider, provider_payment_id, .. } = about.payment;
    refunds::match_early_refunds(tx, &[(provider, provider_payment_id, at)]).await?;
    // A part of an order that ends may be on its way back, or in dispute: that does not go back once more.
    refunds::update_attribution(tx, &about.payment, at).await?;
    if let (Some(raised), Resolution::Refund | Resolution::Reinstate) = (raised, resolution) {
        refunds::refund_exception_by_rule(tx, raised, about, mismatch, at).await?;
    }
    Ok(Settled::Unmatched(mismatch))
}

/// Commits what the orders hold, and writes that they are paid.
/// What led to it stands before it among the `events`.
pub(super) async fn pay<'a>(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    orders: &[(&'a Locked, Timestamp)],
    mut events: Vec<New<&'a Locked>>,
) -> Result<()> {
    let mut changes = Vec::new();
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
    let order = locks::order(tx, id).await?;
    pay(tx, ends, &[(&order, at)], Vec::new()).await
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
    locks::payment(tx, &report.provider, &report.payment_id).await?;
    let payment = PaymentRef {
        provider: &report.provider,
        provider_payment_id: &report.payment_id,
        payment: None,
        order: None,
    };
    exceptions::raise(tx, exception::Kind::UnknownOrder, &About::all(payment, report.money), at).await?;
    refunds::match_early_refunds(tx, &[(&report.provider, &report.payment_id, at)]).await
}
