//! What happened to an order, oldest first. It is written by [`crate::order_events`].

use domain::{OrderId, Timestamp};
use serde_json::Value;

use crate::{Db, Result};

/// One thing that happened to an order.
#[derive(Debug, Clone)]
pub struct Entry {
    pub at: Timestamp,
    /// As it was written, also by another version of us.
    pub kind: String,
    pub data: Value,
}

/// Empty if there is no such order: each has at least `order.placed`.
#[tracing::instrument(name = "sql timeline.of_order", skip_all, err(level = "debug"))]
pub async fn of_order(db: &Db, order: OrderId) -> Result<Vec<Entry>> {
    let entries = sqlx::query_as!(
        Entry,
        "SELECT at, type AS kind, data FROM timeline WHERE order_id = $1 ORDER BY id",
        order.uuid()
    )
    .fetch_all(db.pool())
    .await?;
    Ok(entries)
}
