//! The ends of an order that is not paid. Each gives back "whatever this order holds", so repeating a step,
//! or running it after a crash in the middle, changes nothing.

use domain::{
    OrderId, Timestamp,
    change::ChangeOutcome,
    event::OrderEvent,
    exception,
    money::Money,
    order::{CloseReason, Status},
    policy::Fulfilment,
    stock::Movement,
};

use super::{Change, Locked, parts, set_status, stay::USED};
use crate::{
    Db, Fault, Result, Tx, check_ins,
    exceptions::{self, About},
    inbox, locks, order_events, payments,
    refunds::PaymentRef,
    retry::retry,
    returns,
    stock::End,
};

/// Expires an unpaid order whose deadline (with its grace) has passed at `at`, and restocks. While an attempt
/// to pay could still bring money, or money is stored that the workflow has not heard of, it does not, unless
/// nobody can tell (`unclear`): that is an exception.
pub(super) async fn expire(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    order: &Locked,
    unclear: bool,
    at: Timestamp,
) -> Result<ChangeOutcome> {
    match order.status {
        Status::Expired => return Ok(ChangeOutcome::Done),
        Status::AwaitingPayment if at < order.expires_at() => {
            return Ok(ChangeOutcome::NotDue(order.payment_due_at));
        }
        Status::AwaitingPayment => {}
        other => return Ok(ChangeOutcome::Refused(other)),
    }
    if !attempts_closed(tx, order, unclear, at).await? {
        return Ok(ChangeOutcome::AttemptsOpen);
    }
    give_back(tx, ends, order, Status::Expired, CloseReason::PaymentOverdue.as_str(), None, at).await?;
    Ok(ChangeOutcome::Done)
}

/// Cancels an unpaid order and restocks; about attempts, see [`expire`].
pub(super) async fn cancel(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    order: &Locked,
    reason: &str,
    unclear: bool,
    by: Option<&str>,
    at: Timestamp,
) -> Result<ChangeOutcome> {
    match order.status {
        Status::Cancelled => return Ok(ChangeOutcome::Done),
        Status::AwaitingPayment => {}
        other => return Ok(ChangeOutcome::Refused(other)),
    }
    if !attempts_closed(tx, order, unclear, at).await? {
        return Ok(ChangeOutcome::AttemptsOpen);
    }
    give_back(tx, ends, order, Status::Cancelled, reason, by, at).await?;
    Ok(ChangeOutcome::Done)
}

/// Whether no money can come any more. What is unclear is given up with an exception.
async fn attempts_closed(tx: &mut Tx, order: &Locked, unclear: bool, at: Timestamp) -> Result<bool> {
    if payments::with_unfinished(tx, &[order.id]).await?.is_empty() {
        return Ok(unclear || inbox::money_that_waits(&mut **tx, order.id).await?.is_empty());
    }
    if unclear {
        for payment in payments::give_up(tx, order.id, at).await? {
            let about = About {
                payment: PaymentRef {
                    provider: &payment.provider,
                    provider_payment_id: payment.provider_payment_id.as_deref().unwrap_or_default(),
                    payment: Some(payment.id),
                    order: Some(order.id),
                },
                money: Money::new(0, order.currency), // none that we know of
                captured: 0,
                part: &payment.id.to_string(),
                subject: None,
            };
            exceptions::raise(tx, exception::Kind::AttemptUncertain, &about, at).await?;
        }
    }
    Ok(unclear)
}

/// The compensation: status, stock, timeline and public event together.
async fn give_back(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    order: &Locked,
    status: Status,
    reason: &str,
    by: Option<&str>,
    at: Timestamp,
) -> Result<()> {
    set_status(tx, &[Change { order, status, close_reason: Some(reason), at }]).await?;
    ends.push(End { order: order.id, movement: Movement::Released, at });
    let (reason, customer_id) = (reason.to_owned(), order.customer_id.clone());
    let ended = match status {
        Status::Expired => OrderEvent::OrderExpired { reason, customer_id },
        _ => OrderEvent::OrderCancelled { reason, customer_id },
    };
    order_events::append_by(tx, order.id, at, by, &[ended, OrderEvent::StockReleased {}]).await?;
    parts::release(tx, ends, order, at).await
}

/// Completes a paid order that was waiting for the shop. One with a stay is used then: the shop lets guests
/// in who have lost their code.
#[tracing::instrument(name = "sql orders.fulfil", skip_all, err(level = "debug"))]
pub async fn fulfil(db: &Db, id: OrderId, at: Timestamp) -> Result<ChangeOutcome> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let order = locks::order(&mut tx, id).await?;
        let closed = fulfil_locked(&mut tx, &order, None, at).await?;
        tx.commit().await?;
        Ok(closed)
    })
    .await
}

pub(super) async fn fulfil_locked(
    tx: &mut Tx,
    order: &Locked,
    by: Option<&str>,
    at: Timestamp,
) -> Result<ChangeOutcome> {
    match order.status {
        Status::Completed => return Ok(ChangeOutcome::Done),
        Status::Paid => {}
        other => return Ok(ChangeOutcome::Refused(other)),
    }
    let reason = match order.policy.fulfilment {
        Fulfilment::Immediate => {
            return Err(Fault::corrupt(format!("order {} is paid but has nothing to fulfil", order.id)));
        }
        Fulfilment::Manual => None,
        Fulfilment::CheckIn => Some(USED),
    };
    if returns::is_nothing_left(tx, order.id).await? {
        return Ok(ChangeOutcome::Refunded);
    }
    check_ins::close(tx, order.id, true, at).await?;
    complete(tx, order, reason, by, at).await?;
    Ok(ChangeOutcome::Done)
}

/// Status, timeline and public event of a paid order that has waited.
pub(super) async fn complete(
    tx: &mut Tx,
    order: &Locked,
    reason: Option<&str>,
    by: Option<&str>,
    at: Timestamp,
) -> Result<()> {
    set_status(tx, &[Change { order, status: Status::Completed, close_reason: reason, at }]).await?;
    returns::hand_over(tx, order.id).await?;
    let (reason, customer_id) = (reason.map(str::to_owned), order.customer_id.clone());
    let event = OrderEvent::OrderCompleted { reason, customer_id };
    order_events::append_by(tx, order.id, at, by, &[event]).await
}
