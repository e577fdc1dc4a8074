//! What may happen to a payment. Pure: a payment changes or stays, and at most one event tells of it.

use domain::{Timestamp, money::Currency, payment::DisputeState};

use crate::{
    answer::{Answer, Refusal},
    faults::{Capturing, Faults, Refunding},
    model::{Captured, Dispute, Event, Payment, PaymentState, Refund, RefundState, amount, line, new_id},
};

const MAX_REFUNDS: usize = 100;
const MAX_DISPUTES: usize = 20;

/// What the payer does.
#[derive(Debug, Default)]
pub struct Capture {
    /// Minor units; default: what is asked for.
    pub amount: Option<i64>,
    pub currency: Option<Currency>,
    pub event_id: Option<String>,
    /// Captures though the payment expired, failed or was cancelled.
    pub late: bool,
}

pub fn capture(payment: &mut Payment, ask: Capture, faults: &Faults, at: Timestamp) -> Answer<Option<Event>> {
    let event_id = ask.event_id.map(|it| event_id(&it)).transpose()?;
    match payment.state_at(at) {
        PaymentState::Succeeded if event_id.is_some() && event_id == payment.event_id => {
            return Ok(Some(payment.event("payment.succeeded"))); // the same event again
        }
        PaymentState::Succeeded => return Err(already_captured(payment)),
        PaymentState::Open => {}
        _ if ask.late || faults.late => {}
        closed => {
            let message = format!("the payment is {}", closed.as_str());
            let shown = Payment { state: closed, ..payment.clone() };
            return Err(Refusal::of_payment("payment_closed", message, &shown));
        }
    }
    if faults.capture == Capturing::Fail {
        return fail(payment, event_id, false);
    }
    let amount = amount(ask.amount.unwrap_or(payment.amount))?;
    let currency = ask.currency.unwrap_or(payment.currency);
    payment.captured = Some(Captured { amount, currency, fee: faults.fee.map(|fee| fee.of(amount)), at });
    payment.state = PaymentState::Succeeded;
    payment.event_id = Some(event_id.unwrap_or_else(|| new_id("evt_")));
    Ok(Some(payment.event("payment.succeeded")))
}

/// `retry`: the payer may try again.
pub fn fail(payment: &mut Payment, id: Option<String>, retry: bool) -> Answer<Option<Event>> {
    let id = id.map(|it| event_id(&it)).transpose()?;
    match payment.state {
        PaymentState::Succeeded => return Err(already_captured(payment)),
        PaymentState::Failed | PaymentState::Open if id.is_some() && id == payment.event_id => {
            return Ok(Some(payment.event("payment.failed"))); // the same event again
        }
        PaymentState::Failed | PaymentState::Cancelled => {
            let message = format!("the payment is {}", payment.state.as_str());
            return Err(Refusal::of_payment("payment_closed", message, payment));
        }
        PaymentState::Open | PaymentState::Expired => {}
    }
    match retry {
        true => payment.failed_tries += 1,
        false => payment.state = PaymentState::Failed,
    }
    payment.event_id = Some(id.unwrap_or_else(|| new_id("evt_")));
    Ok(Some(payment.event("payment.failed")))
}

/// Nobody can pay it any more. A captured payment stays what it is, and the refusal shows it.
pub fn cancel(payment: &mut Payment) -> Answer<Option<Event>> {
    match payment.state {
        PaymentState::Succeeded => return Err(already_captured(payment)),
        PaymentState::Failed | PaymentState::Cancelled => {}
        PaymentState::Open | PaymentState::Expired => payment.state = PaymentState::Cancelled,
    }
    Ok(None)
}

/// Money to give back.
pub struct GiveBack {
    /// None from the dashboard.
    pub key: Option<String>,
    /// Default: all that is left.
    pub amount: Option<i64>,
    /// Default: the captured one.
    pub currency: Option<Currency>,
    pub reason: Option<String>,
}

/// Adds a refund as the payment's last, or finds the one that was made by the same key.
pub fn refund(
    payment: &mut Payment,
    ask: GiveBack,
    faults: &Faults,
    at: Timestamp,
) -> Answer<(Refund, Option<Event>)> {
    if let Some(made) = payment.refunds.iter().find(|made| made.key.is_some() && made.key == ask.key) {
        let same = ask.amount.is_none_or(|it| it == made.amount)
            && ask.currency.is_none_or(|it| it == made.currency);
        return if same { Ok((made.clone(), None)) } else { Err(Refusal::key_reused()) };
    }
    let Some(captured) = &payment.captured else {
        return Err(Refusal::of_payment("not_captured", "nothing was captured", payment));
    };
    let left = left(payment, captured.amount);
    let amount = amount(ask.amount.unwrap_or(left))?;
    let currency = ask.currency.unwrap_or(captured.currency);
    if currency != captured.currency {
        return Err(Refusal::invalid(format!("currency: {} was captured", captured.currency)));
    }
    if amount > left {
        let message = format!("only {left} of the captured {} are left", captured.amount);
        return Err(Refusal::of_payment("refund_above_captured", message, payment));
    }
    if payment.refunds.len() == MAX_REFUNDS {
        return Err(Refusal::conflict("too_many_refunds", format!("at most {MAX_REFUNDS} for a payment")));
    }
    let state = match faults.refunds {
        Refunding::Succeed => RefundState::Succeeded,
        Refunding::Pend => RefundState::Pending,
        Refunding::Fail => RefundState::Failed,
    };
    let refund = Refund {
        id: new_id("sbr_"),
        key: ask.key,
        payment_id: payment.id.clone(),
        order_id: payment.order_id.clone(),
        amount,
        currency,
        reason: line("reason", ask.reason)?,
        state,
        created_at: at,
        settled_at: (state != RefundState::Pending).then_some(at),
    };
    payment.refunds.push(refund.clone());
    let event = refund.event();
    Ok((refund, Some(event)))
}

/// What is neither on its way back to the payer nor there, nor disputed or lost by a dispute.
fn left(payment: &Payment, captured: i64) -> i64 {
    let back = payment.refunds.iter().filter(|it| it.state != RefundState::Failed).map(|it| it.amount);
    let disputed = payment.disputes.iter().filter(|it| it.state != DisputeState::Won).map(|it| it.amount);
    (captured - back.sum::<i64>() - disputed.sum::<i64>()).max(0)
}

/// The payer disputes the payment, or a part of it.
pub fn dispute(
    payment: &mut Payment,
    wanted: Option<i64>,
    at: Timestamp,
) -> Answer<(Dispute, Option<Event>)> {
    let Some(captured) = payment.captured.clone() else {
        return Err(Refusal::of_payment("not_captured", "nothing was captured", payment));
    };
    let amount = amount(wanted.unwrap_or(captured.amount))?;
    if amount > captured.amount {
        let message = format!("only {} were captured", captured.amount);
        return Err(Refusal::of_payment("dispute_above_captured", message, payment));
    }
    if payment.disputes.len() == MAX_DISPUTES {
        return Err(Refusal::conflict("too_many_disputes", format!("at most {MAX_DISPUTES} for a payment")));
    }
    let dispute = Dispute {
        id: new_id("sbd_"),
        payment_id: payment.id.clone(),
        order_id: payment.order_id.clone(),
        amount,
        currency: captured.currency,
        state: DisputeState::Open,
        created_at: at,
        closed_at: None,
    };
    payment.disputes.push(dispute.clone());
    let event = dispute.event();
    Ok((dispute, Some(event)))
}

/// The bank decides; a repeat changes nothing.
pub fn close_dispute(
    payment: &mut Payment,
    id: &str,
    to: DisputeState,
    at: Timestamp,
) -> Answer<(Dispute, Option<Event>)> {
    let found = payment.disputes.iter_mut().find(|it| it.id == id);
    let dispute = found.ok_or_else(|| Refusal::not_found("dispute"))?;
    if dispute.state == to {
        return Ok((dispute.clone(), None));
    }
    if dispute.state != DisputeState::Open {
        return Err(Refusal::conflict("dispute_closed", "the bank has decided"));
    }
    dispute.state = to;
    dispute.closed_at = Some(at);
    Ok((dispute.clone(), Some(dispute.event())))
}

/// Ends a pending refund; a repeat changes nothing. `late`: whatever it had come to. A bank takes a success
/// back days later, and people settle a failure by hand.
pub fn settle(
    payment: &mut Payment,
    refund_id: &str,
    to: RefundState,
    late: bool,
    at: Timestamp,
) -> Answer<(Refund, Option<Event>)> {
    let left = payment.captured.as_ref().map_or(0, |it| left(payment, it.amount));
    let found =
        payment.refunds.iter_mut().find(|it| it.id == refund_id || it.key.as_deref() == Some(refund_id));
    let refund = found.ok_or_else(|| Refusal::not_found("refund"))?;
    if refund.state == to {
        return Ok((refund.clone(), None));
    }
    if (refund.state != RefundState::Pending && !late) || to == RefundState::Pending {
        return Err(Refusal::conflict("refund_settled", "only a pending refund can succeed or fail"));
    }
    if refund.state == RefundState::Failed && refund.amount > left {
        return Err(Refusal::conflict("refund_above_captured", format!("only {left} are left")));
    }
    refund.state = to;
    refund.settled_at = Some(at);
    Ok((refund.clone(), Some(refund.event())))
}

/// It travels in a header.
pub fn event_id(text: &str) -> Answer<String> {
    domain::provider_event::event_id(text).map_err(|invalid| Refusal::invalid(invalid.to_string()))
}

fn already_captured(payment: &Payment) -> Refusal {
    Refusal::of_payment("already_captured", "the money was captured", payment)
}
