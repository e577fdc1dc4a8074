//! Our events, stored in the transaction of the change they tell of.

use domain::{OrderId, Timestamp};
use serde_json::Value;

use crate::{Result, Tx, sql};

pub(crate) async fn append(
    tx: &mut Tx,
    order: OrderId,
    at: Timestamp,
    kind: &'static str,
    data: Value,
) -> Result<()> {
    append_all(tx, &[(order, at, kind, data)]).await
}

/// The same for many orders.
pub(crate) async fn append_all(
    tx: &mut Tx,
    events: &[(OrderId, Timestamp, &'static str, Value)],
) -> Result<()> {
    sqlx::query(
        "INSERT INTO outbox (order_id, at, type, data)
         SELECT order_id, at, type, data
         FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[])
              WITH ORDINALITY AS e (order_id, at, type, data, position)
         ORDER BY position",
    )
    .bind(events.iter().map(|(order, ..)| order.uuid()).collect::<Vec<_>>())
    .bind(events.iter().map(|(_, at, ..)| sql(*at)).collect::<Vec<_>>())
    .bind(events.iter().map(|(_, _, kind, _)| *kind).collect::<Vec<_>>())
    .bind(events.iter().map(|(.., data)| data).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
