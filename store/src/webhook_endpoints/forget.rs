//! Forgetting: deliveries of endpoints that were deleted, and those that came to their end long ago.

use domain::{SignedDuration, Timestamp, webhook::KEPT_FOR};

use crate::{Db, Result, sql};

/// So many of one endpoint at once.
const CHUNK: i64 = 500;
/// Whoever makes deliveries knows within so long that an endpoint was deleted.
const KNOWN_TO_ALL: SignedDuration = SignedDuration::from_hours(1);

/// Forgets some. True if there are more.
pub async fn forget(db: &Db, at: Timestamp) -> Result<bool> {
    let of_deleted = sqlx::query!(
        "DELETE FROM webhook_deliveries d
         USING webhook_endpoints w
         CROSS JOIN LATERAL (SELECT o.event FROM webhook_deliveries o WHERE o.endpoint_id = w.id
                             ORDER BY o.event LIMIT $1) AS o
         WHERE w.deleted_at IS NOT NULL AND d.endpoint_id = w.id AND d.event = o.event",
        CHUNK
    )
    .execute(db.pool())
    .await?
    .rows_affected();
    let old = sqlx::query!(
        "DELETE FROM webhook_deliveries d
         USING webhook_endpoints w
         CROSS JOIN unnest(ARRAY['delivered', 'failed']) AS s (state)
         CROSS JOIN LATERAL (SELECT o.event, o.tried_at FROM webhook_deliveries o
                             WHERE o.endpoint_id = w.id AND o.state = s.state ORDER BY o.event LIMIT $1) AS o
         WHERE o.tried_at < $2 AND d.endpoint_id = w.id AND d.event = o.event AND d.state = s.state",
        CHUNK,
        sql(at - KEPT_FOR)
    )
    .execute(db.pool())
    .await?
    .rows_affected();
    sqlx::query!(
        "DELETE FROM webhook_endpoints w
         WHERE w.deleted_at < $1
           AND NOT EXISTS (SELECT FROM webhook_deliveries d WHERE d.endpoint_id = w.id)",
        sql(at - KNOWN_TO_ALL)
    )
    .execute(db.pool())
    .await?;
    Ok(of_deleted + old > 0)
}
