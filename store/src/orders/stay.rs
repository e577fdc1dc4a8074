//! The ends of a paid order with a stay: its guests check in, or do not come.

use domain::{
    OrderId, Timestamp,
    change::ChangeOutcome,
    event::OrderEvent,
    order::{CloseReason, Status},
    returns::{CheckInWindow, check_in_window},
};

use super::{Locked, close::complete};
use crate::{Db, Result, Tx, check_ins, locks, order_events, refunds, retry::retry, returns};

pub(crate) const USED: &str = CloseReason::Used.as_str();
const UNUSED: &str = CloseReason::Unused.as_str();

/// Completes the order as used. Its code was looked at before; here is what the order itself says.
#[tracing::instrument(name = "sql orders.check_in", skip_all, err(level = "debug"))]
pub async fn check_in(db: &Db, id: OrderId, at: Timestamp) -> Result<ChangeOutcome> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let order = locks::order(&mut tx, id).await?;
        let closed = check_in_locked(&mut tx, &order, None, at).await?;
        tx.commit().await?;
        Ok(closed)
    })
    .await
}

pub(super) async fn check_in_locked(
    tx: &mut Tx,
    order: &Locked,
    by: Option<&str>,
    at: Timestamp,
) -> Result<ChangeOutcome> {
    let Some(check_in) = check_ins::get(tx, order.id).await? else {
        return Ok(ChangeOutcome::Refused(order.status));
    };
    match order.status {
        Status::Completed if check_in.used => return Ok(ChangeOutcome::Done),
        Status::Paid => {}
        other => return Ok(ChangeOutcome::Refused(other)),
    }
    // What came back, or is about to, is not the guests' any more: somebody else may have it.
    let spans = returns::sold(tx, order.id, at).await?.spans();
    if spans.is_empty() || refunds::is_all_asked_back(tx, order.id).await? {
        return Ok(ChangeOutcome::Refunded);
    }
    match check_in_window(&spans, at) {
        CheckInWindow::Open => {}
        CheckInWindow::Opens(begin) => return Ok(ChangeOutcome::NotDue(begin)),
        CheckInWindow::Shut => return Ok(ChangeOutcome::Refused(order.status)),
    }
    check_ins::close(tx, order.id, true, at).await?;
    order_events::append_by(tx, order.id, at, by, &[OrderEvent::OrderCheckedIn {}]).await?;
    complete(tx, order, Some(USED), by, at).await?;
    Ok(ChangeOutcome::Done)
}

/// Completes the order as unused: its stays are over, and nobody came.
#[tracing::instrument(name = "sql orders.end_stay", skip_all, err(level = "debug"))]
pub async fn end_stay(db: &Db, id: OrderId, at: Timestamp) -> Result<ChangeOutcome> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let order = locks::order(&mut tx, id).await?;
        match order.status {
            Status::Completed => return Ok(ChangeOutcome::Done),
            Status::Paid => {}
            other => return Ok(ChangeOutcome::Refused(other)),
        }
        check_ins::close(&mut tx, id, false, at).await?;
        order_events::append(&mut tx, id, at, &[OrderEvent::StayUnused {}]).await?;
        complete(&mut tx, &order, Some(UNUSED), None, at).await?;
        tx.commit().await?;
        Ok(ChangeOutcome::Done)
    })
    .await
}
