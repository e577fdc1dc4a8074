//! What may happen to a payment. Pure: a payment changes or stays, and at most one event tells of it.

use domain::{Timestamp, money::Currency};

use crate::{
    answer::{Answer, Refusal},
    faults::{Capturing, Faults, Refunding},
    model::{Captured, Event, Payment, PaymentState, Refund, RefundState, amount, line, new_id},
};

const MAX_REFUNDS: usize = 100;

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
    let left = captured.amount - given_back(payment);
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

/// What is on its way back to the payer, or there.
fn given_back(payment: &Payment) -> i64 {
    payment.refunds.iter().filter(|it| it.state != RefundState::Failed).map(|it| it.amount).sum()
}

/// Ends a pending refund; a repeat changes nothing.
pub fn settle(
    payment: &mut Payment,
    refund_id: &str,
    to: RefundState,
    at: Timestamp,
) -> Answer<(Refund, Option<Event>)> {
    let found =
        payment.refunds.iter_mut().find(|it| it.id == refund_id || it.key.as_deref() == Some(refund_id));
    let refund = found.ok_or_else(|| Refusal::not_found("refund"))?;
    if refund.state == to {
        return Ok((refund.clone(), None));
    }
    if refund.state != RefundState::Pending || to == RefundState::Pending {
        return Err(Refusal::conflict("refund_settled", "only a pending refund can succeed or fail"));
    }
    refund.state = to;
    refund.settled_at = Some(at);
    Ok((refund.clone(), Some(refund.event())))
}

/// It travels in a header.
pub fn event_id(text: &str) -> Answer<String> {
    domain::payment::event_id(text).map_err(|invalid| Refusal::invalid(invalid.to_string()))
}

fn already_captured(payment: &Payment) -> Refusal {
    Refusal::of_payment("already_captured", "the money was captured", payment)
}
