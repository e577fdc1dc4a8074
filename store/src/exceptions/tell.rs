//! What is told of exceptions.

use domain::{ExceptionId, OrderId, Timestamp, event::OrderEvent};

use crate::{Result, Tx, events, order_events};

/// What becomes of an exception stands on its order's timeline; of one without an order only others are told.
pub(super) async fn tell(
    tx: &mut Tx,
    id: ExceptionId,
    order: Option<OrderId>,
    at: Timestamp,
    event: OrderEvent,
) -> Result<()> {
    tell_by(tx, id, order, at, None, event).await
}

/// The same of what somebody asked for.
pub(super) async fn tell_by(
    tx: &mut Tx,
    id: ExceptionId,
    order: Option<OrderId>,
    at: Timestamp,
    by: Option<&str>,
    event: OrderEvent,
) -> Result<()> {
    if let Some(order) = order {
        return order_events::append_by(tx, order, at, by, &[event]).await;
    }
    let Some(public) = event.public() else { return Ok(()) };
    let count =
        sqlx::query_scalar!("UPDATE exceptions SET told = told + 1 WHERE id = $1 RETURNING told", id.uuid());
    let count = count.fetch_one(&mut **tx).await?;
    events::append(tx, &id.to_string(), count, at, &public).await
}
