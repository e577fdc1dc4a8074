//! Our events, stored in the transaction of the change they tell of.

use domain::{OrderId, Timestamp};
use serde_json::Value;

use crate::{Result, Tx, sql};

pub(crate) async fn append(
    tx: &mut Tx<'_>,
    order: OrderId,
    at: Timestamp,
    kind: &str,
    data: Value,
) -> Result<()> {
    sqlx::query("INSERT INTO outbox (order_id, type, data, at) VALUES ($1, $2, $3, $4)")
        .bind(order.uuid())
        .bind(kind)
        .bind(data)
        .bind(sql(at))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
