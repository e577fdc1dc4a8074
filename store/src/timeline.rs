//! What happened to an order, oldest first. It is written by [`crate::order_events`].

use domain::{OrderId, Timestamp};
use serde_json::Value;

use crate::{Db, Result, order_events::ASKED_BY};

/// One thing that happened to an order.
#[derive(Debug, Clone)]
pub struct Entry {
    pub at: Timestamp,
    /// As it was written, also by another version of us.
    pub kind: String,
    /// Who asked for it; see `migrations/0022_by.sql`. None also of what happened by itself.
    pub by: Option<String>,
    pub data: Value,
}

/// Empty if there is no such order: each has at least `order.placed`.
#[tracing::instrument(name = "sql timeline.of_order", skip_all, err(level = "debug"))]
pub async fn of_order(db: &Db, order: OrderId) -> Result<Vec<Entry>> {
    let entries = sqlx::query!(
        "SELECT at, type AS kind, data FROM timeline WHERE order_id = $1 ORDER BY id",
        order.uuid()
    )
    .map(|mut row| {
        let by = row.data.as_object_mut().and_then(|data| data.remove(ASKED_BY));
        let by = by.and_then(|by| by.as_str().map(str::to_owned));
        Entry { at: row.at.to_jiff(), kind: row.kind, by, data: row.data }
    })
    .fetch_all(db.pool())
    .await?;
    Ok(entries)
}
