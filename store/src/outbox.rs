//! Our events, stored in the transaction of the change they tell of.

use domain::{OrderId, Timestamp};
use serde_json::Value;

use crate::{
    Result, Tx, sql,
    timeline::{Columns, New},
};

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
pub(crate) async fn append_all(tx: &mut Tx, events: &[New<OrderId>]) -> Result<()> {
    let (orders, times, kinds, data): Columns<'_> =
        events.iter().map(|(order, at, kind, data)| (order.uuid(), sql(*at), *kind, data)).collect();
    sqlx::query!(
        "INSERT INTO outbox (order_id, at, type, data)
         SELECT order_id, at, type, data
         FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[])
              WITH ORDINALITY AS e (order_id, at, type, data, position)
         ORDER BY position",
        &orders,
        times as _,
        kinds as _,
        data as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
