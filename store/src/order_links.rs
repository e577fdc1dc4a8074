//! What became of the links in an order's mails: which were revoked, and whether its reminders are wanted.

use domain::{OrderId, Timestamp};

use crate::{Db, Result, sql};

/// Links of this generation are good. The first is 0.
#[tracing::instrument(name = "sql order_links.generation", skip_all, err(level = "debug"))]
pub async fn generation(db: &Db, order: OrderId) -> Result<u32> {
    let found = sqlx::query_scalar!("SELECT generation FROM order_links WHERE order_id = $1", order.uuid());
    let generation = found.fetch_optional(db.pool()).await?;
    Ok(generation.map_or(0, i32::unsigned_abs)) // a CHECK keeps it from being negative
}

/// Makes all links that were given for the order good for nothing. Repeated, it does so again.
#[tracing::instrument(name = "sql order_links.revoke", skip_all, err(level = "debug"))]
pub async fn revoke(db: &Db, order: OrderId, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "INSERT INTO order_links (order_id, generation, revoked_at) VALUES ($1, 1, $2)
         ON CONFLICT (order_id) DO UPDATE
             SET generation = order_links.generation + 1, revoked_at = excluded.revoked_at",
        order.uuid(),
        sql(at)
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// The customer wants no more reminders.
#[tracing::instrument(name = "sql order_links.unsubscribe", skip_all, err(level = "debug"))]
pub async fn unsubscribe(db: &Db, order: OrderId, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "INSERT INTO order_links (order_id, unsubscribed_at) VALUES ($1, $2)
         ON CONFLICT (order_id) DO UPDATE
             SET unsubscribed_at = coalesce(order_links.unsubscribed_at, excluded.unsubscribed_at)",
        order.uuid(),
        sql(at)
    )
    .execute(db.pool())
    .await?;
    Ok(())
}
