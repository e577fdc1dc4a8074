//! The ends of an order that is not paid. Each gives back "whatever this order holds", so repeating a step,
//! or running it after a crash in the middle, changes nothing.

use domain::{
    OrderId, Timestamp,
    event::OrderEvent,
    exception,
    money::Money,
    order::{CloseReason, Status},
    policy::Fulfilment,
    stock::Movement,
};

use super::{Change, Locked, lock, parts, set_status, stay::USED};
use crate::{
    Db, Error, Result, Tx, check_ins,
    exceptions::{self, About},
    inbox, order_events, payments,
    retry::retry,
    returns,
    stock::End,
};

/// What a step that ends an order found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The order is in the state that was asked for, by this step or by an earlier run of it.
    Done,
    /// Not due yet: the deadline was moved to this time.
    NotDue(Timestamp),
    /// An attempt to pay is not closed at its provider yet: money may still come. Or it has come, and waits.
    AttemptsOpen,
    /// The order is in another state that forbids this end.
    Refused(Status),
    /// All of the order's money went back, or all that was sold with it; or it is on its way.
    Refunded,
}

/// Expires an unpaid order whose deadline (with its grace) has passed at `at`, and restocks. While an attempt
/// to pay could still bring money, or money is stored that the workflow has not heard of, it does not, unless
/// nobody can tell (`unclear`): that is an exception.
pub(super) async fn expire(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    order: &Locked,
    unclear: bool,
    at: Timestamp,
) -> Result<Closed> {
    match order.status {
        Status::Expired => return Ok(Closed::Done),
        Status::AwaitingPayment if at < order.expires_at() => {
            return Ok(Closed::NotDue(order.payment_due_at));
        }
        Status::AwaitingPayment => {}
        other => return Ok(Closed::Refused(other)),
    }
    if !attempts_closed(tx, order, unclear, at).await? {
        return Ok(Closed::AttemptsOpen);
    }
    give_back(tx, ends, order, Status::Expired, CloseReason::PaymentOverdue.as_str(), at).await?;
    Ok(Closed::Done)
}

/// Cancels an unpaid order and restocks; about attempts, see [`expire`].
pub(super) async fn cancel(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    order: &Locked,
    reason: &str,
    unclear: bool,
    at: Timestamp,
) -> Result<Closed> {
    match order.status {
        Status::Cancelled => return Ok(Closed::Done),
        Status::AwaitingPayment => {}
        other => return Ok(Closed::Refused(other)),
    }
    if !attempts_closed(tx, order, unclear, at).await? {
        return Ok(Closed::AttemptsOpen);
    }
    give_back(tx, ends, order, Status::Cancelled, reason, at).await?;
    Ok(Closed::Done)
}

/// Whether no money can come any more. What is unclear is given up with an exception.
async fn attempts_closed(tx: &mut Tx, order: &Locked, unclear: bool, at: Timestamp) -> Result<bool> {
    if payments::with_unfinished(tx, &[order.id]).await?.is_empty() {
        return Ok(unclear || inbox::money_that_waits(&mut **tx, order.id).await?.is_empty());
    }
    if unclear {
        for payment in payments::give_up(tx, order.id, at).await? {
            let about = About {
                order: Some(order.id),
                payment: Some(payment.id),
                provider: &payment.provider,
                provider_payment_id: payment.provider_payment_id.as_deref().unwrap_or_default(),
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

/// The compensation: status, stock, timeline and outbox together.
async fn give_back(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    order: &Locked,
    status: Status,
    reason: &str,
    at: Timestamp,
) -> Result<()> {
    set_status(tx, &[Change { order, status, close_reason: Some(reason), at }]).await?;
    ends.push(End { order: order.id, movement: Movement::Released, at });
    let (reason, customer_id) = (reason.to_owned(), order.customer_id.clone());
    let ended = match status {
        Status::Expired => OrderEvent::OrderExpired { reason, customer_id },
        _ => OrderEvent::OrderCancelled { reason, customer_id },
    };
    order_events::append(tx, order.id, at, &[ended, OrderEvent::StockReleased {}]).await?;
    parts::release(tx, ends, order, at).await
}

/// Completes a paid order that was waiting for the shop. One with a stay is used then: the shop lets guests
/// in who have lost their code.
#[tracing::instrument(name = "sql orders.fulfil", skip_all, err(level = "debug"))]
pub async fn fulfil(db: &Db, id: OrderId, at: Timestamp) -> Result<Closed> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let order = lock(&mut tx, id).await?;
        let closed = fulfil_locked(&mut tx, &order, at).await?;
        tx.commit().await?;
        Ok(closed)
    })
    .await
}

pub(super) async fn fulfil_locked(tx: &mut Tx, order: &Locked, at: Timestamp) -> Result<Closed> {
    match order.status {
        Status::Completed => return Ok(Closed::Done),
        Status::Paid => {}
        other => return Ok(Closed::Refused(other)),
    }
    let reason = match order.policy.fulfilment {
        Fulfilment::Immediate => {
            return Err(Error::corrupt(format!("order {} is paid but has nothing to fulfil", order.id)));
        }
        Fulfilment::Manual => None,
        Fulfilment::CheckIn => Some(USED),
    };
    if returns::is_nothing_left(tx, order.id).await? {
        return Ok(Closed::Refunded);
    }
    check_ins::close(tx, order.id, true, at).await?;
    complete(tx, order, reason, at).await?;
    Ok(Closed::Done)
}

/// Status, timeline and outbox of a paid order that has waited.
pub(super) async fn complete(tx: &mut Tx, order: &Locked, reason: Option<&str>, at: Timestamp) -> Result<()> {
    set_status(tx, &[Change { order, status: Status::Completed, close_reason: reason, at }]).await?;
    returns::hand_over(tx, order.id).await?;
    let (reason, customer_id) = (reason.map(str::to_owned), order.customer_id.clone());
    let event = OrderEvent::OrderCompleted { reason, customer_id };
    order_events::append(tx, order.id, at, &[event]).await
}
