use domain::{OrderId, Timestamp, change::ChangeOutcome, event::OrderEvent, order::Status};

use super::Locked;
use crate::{Db, Result, Tx, locks, order_events, retry::retry, sql};

/// Moves the payment deadline of an unpaid order to a later time. Safe to repeat.
#[tracing::instrument(name = "sql orders.extend", skip_all, err(level = "debug"))]
pub async fn extend(db: &Db, id: OrderId, due: Timestamp, at: Timestamp) -> Result<ChangeOutcome> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let order = locks::order(&mut tx, id).await?;
        if order.status != Status::AwaitingPayment {
            return Ok(ChangeOutcome::Refused(order.status));
        }
        // Otherwise an earlier run of this step did it.
        if due > order.payment_due_at {
            write(&mut tx, &order, due, None, at).await?;
            tx.commit().await?;
        }
        Ok(ChangeOutcome::Done)
    })
    .await
}

/// Writes a new deadline.
pub(super) async fn write(
    tx: &mut Tx,
    order: &Locked,
    due: Timestamp,
    by: Option<&str>,
    at: Timestamp,
) -> Result<()> {
    sqlx::query!("UPDATE orders SET payment_due_at = $2 WHERE id = $1", order.id.uuid(), sql(due))
        .execute(&mut **tx)
        .await?;
    let event = OrderEvent::OrderExtended { from: order.payment_due_at, to: due };
    order_events::append_by(tx, order.id, at, by, &[event]).await
}
