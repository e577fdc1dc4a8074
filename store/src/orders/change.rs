//! Deciding about changes that were asked of an order ([`crate::changes`]), under its lock. The answer is
//! written in the same transaction, so a step that is repeated after a crash finds it, and tells the workflow
//! the same again.

use domain::{
    ChangeId, Timestamp,
    change::{Answer, ChangeOutcome, Changed, OrderChange},
    event::OrderEvent,
    order::{CloseReason, Status},
    policy::CancelPaid,
    stay::Stay,
};

use super::{Change as Enter, Locked, close, extend, set_status, stay};
use crate::{Fault, Result, Tx, changes, check_ins, order_events, refunds, returns, stock::End};

/// A change to be decided, or decided before.
pub(super) struct PendingChange<'a> {
    pub order: &'a Locked,
    pub change: &'a changes::Change,
    /// Nobody can tell whether an attempt to pay will bring money.
    pub unclear: bool,
    pub at: Timestamp,
}

/// Decides, if that has not happened yet. The answer is added to `answers`, to be written before the commit.
pub(super) async fn decide(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    answers: &mut Vec<(ChangeId, Answer, Timestamp)>,
    pending: &PendingChange<'_>,
) -> Result<Changed> {
    let PendingChange { order, change, at, .. } = *pending;
    let answer = match change.answer {
        Some(answer) => answer,
        None => match make(tx, ends, pending).await? {
            Some(answer) => {
                answers.push((change.id, answer, at));
                answer
            }
            None => return Ok(Changed::AttemptsOpen),
        },
    };
    Ok(match (&change.request, answer) {
        (OrderChange::Extend { payment_due_at }, Answer::Done) => {
            let due = order.payment_due_at.max(*payment_due_at);
            let reminders_at = order.policy.reminders_at(order.placed_at, due);
            Changed::Extended { payment_due_at: due, reminders_at }
        }
        (OrderChange::Fulfil | OrderChange::CheckIn { .. }, Answer::Done) => {
            Changed::Ended { change: change.request.kind(), status: Status::Completed }
        }
        (OrderChange::Cancel { .. } | OrderChange::EndRefunded, Answer::Done) => {
            Changed::Ended { change: change.request.kind(), status: Status::Cancelled }
        }
        (OrderChange::NewCheckInCode, Answer::Done) => Changed::NewCheckInCode,
        _ => Changed::Refused,
    })
}

/// Makes the change, or says why not. None: not yet.
async fn make(tx: &mut Tx, ends: &mut Vec<End>, pending: &PendingChange<'_>) -> Result<Option<Answer>> {
    let PendingChange { order, change, unclear, at } = *pending;
    if let Some(refusal) = refusal(tx, order, &change.request, at).await? {
        return Ok(Some(refusal));
    }
    let by = change.by.as_deref();
    match &change.request {
        OrderChange::Cancel { reason, .. } if order.status == Status::Paid => {
            cancel_paid(tx, order, reason, by, at).await?;
            refunds::refund_all(tx, order.id, reason, at).await?;
            Ok(Some(Answer::Done))
        }
        OrderChange::Cancel { reason, .. } => {
            answer(close::cancel(tx, ends, order, reason, unclear, by, at).await?, order)
        }
        OrderChange::Extend { payment_due_at } => {
            extend::write(tx, order, *payment_due_at, by, at).await?;
            Ok(Some(Answer::Done))
        }
        OrderChange::Fulfil => answer(close::fulfil_locked(tx, order, by, at).await?, order),
        OrderChange::CheckIn { .. } => answer(stay::check_in_locked(tx, order, by, at).await?, order),
        OrderChange::EndRefunded => {
            cancel_paid(tx, order, CloseReason::Refunded.as_str(), by, at).await?;
            Ok(Some(Answer::Done))
        }
        OrderChange::NewCheckInCode => {
            check_ins::renew(tx, order.id, change.id, by, at).await?;
            Ok(Some(Answer::Done))
        }
    }
}

fn answer(outcome: ChangeOutcome, order: &Locked) -> Result<Option<Answer>> {
    match outcome {
        ChangeOutcome::Done => Ok(Some(Answer::Done)),
        ChangeOutcome::NotDue(at) => Ok(Some(Answer::NotYet(at))),
        ChangeOutcome::Refused(status) => Ok(Some(Answer::WrongStatus(status))),
        ChangeOutcome::Refunded => Ok(Some(Answer::Refunded)),
        ChangeOutcome::AttemptsOpen if order.status == Status::AwaitingPayment => Ok(None),
        ChangeOutcome::AttemptsOpen => Err(Fault::corrupt("an order that is paid waits for attempts")),
    }
}

/// What the order as it stands forbids, before the change is looked at any closer.
pub(crate) async fn refusal(
    tx: &mut Tx,
    order: &Locked,
    change: &OrderChange,
    at: Timestamp,
) -> Result<Option<Answer>> {
    let wrong_status = Some(Answer::WrongStatus(order.status));
    if !change.kind().required_status().contains(&order.status) {
        return Ok(wrong_status);
    }
    Ok(match change {
        OrderChange::Cancel { force, .. } if order.status == Status::Paid => match order.policy.cancel_paid {
            CancelPaid::Refuse => wrong_status,
            CancelPaid::Refund if *force => None,
            CancelPaid::Refund => cancellation_closed(tx, order, at).await?,
        },
        OrderChange::Cancel { .. } => None,
        OrderChange::Extend { payment_due_at } => {
            (*payment_due_at <= order.payment_due_at).then_some(Answer::NotLater(order.payment_due_at))
        }
        // By refunds, or by a dispute that was lost.
        OrderChange::Fulfil | OrderChange::CheckIn { .. }
            if refunds::is_all_asked_back(tx, order.id).await?
                || refunds::is_refunded(tx, order.id).await? =>
        {
            Some(Answer::Refunded)
        }
        // Another code took its place after it was found right.
        OrderChange::CheckIn { code: Some(code) } if !check_ins::is_good(tx, order.id, *code).await? => {
            wrong_status
        }
        OrderChange::Fulfil | OrderChange::CheckIn { .. } => None,
        OrderChange::NewCheckInCode => no_code_needed(tx, order, at).await?,
        OrderChange::EndRefunded if refunds::is_refunded(tx, order.id).await? => None,
        OrderChange::EndRefunded => wrong_status,
    })
}

/// A code is good as long as guests of a paid order can still come.
async fn no_code_needed(tx: &mut Tx, order: &Locked, at: Timestamp) -> Result<Option<Answer>> {
    let Some(check_in) = check_ins::get(tx, order.id).await? else {
        return Ok(Some(Answer::WrongStatus(order.status))); // it has no stay
    };
    if check_in.closed || refunds::is_all_asked_back(tx, order.id).await? {
        return Ok(Some(Answer::Refunded));
    }
    Ok((at >= check_in.closes_at).then_some(Answer::WrongStatus(order.status)))
}

/// A stay can be cancelled until so long before it begins: the nights of it that are still owed, or, if none
/// are, that were booked.
async fn cancellation_closed(tx: &mut Tx, order: &Locked, at: Timestamp) -> Result<Option<Answer>> {
    let spans = returns::sold(tx, order.id, at).await?.spans();
    let begins_at = match spans.into_iter().map(|(begins_at, _)| begins_at).min() {
        None => check_ins::stays(tx, order.id).await?.iter().map(Stay::begins_at).min(),
        owed => owed,
    };
    let Some(begins_at) = begins_at else { return Ok(None) };
    let free = order.policy.free_cancellation.unwrap_or_default().get();
    let closes_at = begins_at.saturating_sub(free).unwrap_or(begins_at);
    Ok((at >= closes_at).then_some(Answer::CancellationClosed(closes_at)))
}

/// The compensation of an order that was paid and not handed over: what it was sold and still has goes back
/// on the shelf, and its code lets nobody in any more.
async fn cancel_paid(
    tx: &mut Tx,
    order: &Locked,
    reason: &str,
    by: Option<&str>,
    at: Timestamp,
) -> Result<()> {
    let status = Status::Cancelled;
    set_status(tx, &[Enter { order, status, close_reason: Some(reason), at }]).await?;
    check_ins::close(tx, order.id, false, at).await?;
    let (reason, customer_id) = (reason.to_owned(), order.customer_id.clone());
    let event = OrderEvent::OrderCancelled { reason, customer_id };
    order_events::append_by(tx, order.id, at, by, &[event]).await?;
    returns::give_back_rest(tx, order.id, at).await
}
