//! Fanning out: each event becomes a delivery for every endpoint that wants it, in one transaction with how
//! far this has come. So none is made twice, and none is left out.

use domain::{Timestamp, WebhookEndpointId};

use crate::{Db, Result, Tx, locks, retry::retry, sql};

/// Under this name stands how far it has come.
pub const CURSOR: &str = "webhooks";
/// So many events are read at once.
const EVENTS: i64 = 1000;
/// So many deliveries are made in one transaction, about. Their endpoints are locked meanwhile.
const DELIVERIES: i64 = 5000;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FannedOut {
    pub deliveries: u64,
    /// Events that were looked at, each once for every endpoint, whether it wants them or not.
    pub looked_through: usize,
    /// Whether there may be more.
    pub is_behind: bool,
}

/// Makes the next deliveries, of events up to a position that the horizon has reached. None if somebody else
/// is at it.
pub async fn fan_out(db: &Db, up_to: i64, at: Timestamp) -> Result<Option<FannedOut>> {
    retry(async || {
        let mut tx = db.begin().await?;
        let Some(after) = cursor(&mut tx).await? else { return Ok(None) };
        if after >= up_to {
            return Ok(Some(FannedOut { deliveries: 0, looked_through: 0, is_behind: false }));
        }
        let endpoints = sqlx::query_scalar!("SELECT id FROM webhook_endpoints WHERE deleted_at IS NULL");
        let endpoints = endpoints.fetch_all(&mut *tx).await?;
        let (last, events) = batch(&mut tx, after, up_to, endpoints.len()).await?;
        let deliveries = match endpoints.is_empty() {
            true => 0,
            false => insert(&mut tx, &endpoints, (after, last), at).await?,
        };
        sqlx::query!("UPDATE event_cursors SET position = $2 WHERE name = $1", CURSOR, last)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        let looked_through = events.saturating_mul(endpoints.len());
        Ok(Some(FannedOut { deliveries, looked_through, is_behind: last < up_to }))
    })
    .await
}

/// How far it has come, for this transaction alone.
async fn cursor(tx: &mut Tx) -> Result<Option<i64>> {
    let position = sqlx::query_scalar!(
        "SELECT position FROM event_cursors WHERE name = $1 FOR NO KEY UPDATE SKIP LOCKED",
        CURSOR
    );
    Ok(position.fetch_optional(&mut **tx).await?)
}

/// Where the next batch ends, and how many events it has.
async fn batch(tx: &mut Tx, after: i64, up_to: i64, endpoints: usize) -> Result<(i64, usize)> {
    let most = match i64::try_from(endpoints) {
        Ok(0) | Err(_) => return Ok((up_to, 0)),
        Ok(endpoints) => (DELIVERIES / endpoints).clamp(1, EVENTS),
    };
    let next = sqlx::query!(
        r#"SELECT count(*) AS "count!", max(position) AS last
           FROM (SELECT position FROM events WHERE position > $1 AND position <= $2
                 ORDER BY position LIMIT $3) AS next"#,
        after,
        up_to,
        most
    )
    .fetch_one(&mut **tx)
    .await?;
    let last = next.last.filter(|_| next.count == most).unwrap_or(up_to);
    Ok((last, usize::try_from(next.count).unwrap_or(0)))
}

/// What has an earlier one of its subject before it is not due yet.
async fn insert(
    tx: &mut Tx,
    endpoints: &[WebhookEndpointId],
    (after, last): (i64, i64),
    at: Timestamp,
) -> Result<u64> {
    locks::webhook_endpoints(tx, endpoints).await?;
    let inserted = sqlx::query!(
        "WITH fresh AS (
             SELECT w.id AS endpoint_id, e.position, e.salt, e.order_id, e.type, e.at,
                    coalesce(e.subject, 'ord_' || replace(e.order_id::text, '-', '')) AS subject
             FROM events e
             JOIN webhook_endpoints w
               ON w.id = ANY($1) AND w.begins_after < e.position AND (w.types = '{}' OR e.type = ANY(w.types))
             WHERE e.position > $2 AND e.position <= $3
         )
         INSERT INTO webhook_deliveries (endpoint_id, event, salt, order_id, subject, type, at, created_at,
           due_at)
         SELECT f.endpoint_id, f.position, f.salt, f.order_id, f.subject, f.type, f.at, $4::timestamptz,
                CASE WHEN row_number() OVER (PARTITION BY f.endpoint_id, f.subject ORDER BY f.position) = 1
                      -- In the order of subject and event: one index alone has it.
                      AND (SELECT p.event FROM webhook_deliveries p
                           WHERE p.endpoint_id = f.endpoint_id AND p.state = 'pending'
                             AND p.subject >= f.subject AND p.subject <= f.subject
                           ORDER BY p.subject, p.event LIMIT 1) IS NULL
                     THEN $4::timestamptz END
         FROM fresh f
         ON CONFLICT DO NOTHING",
        endpoints as _,
        after,
        last,
        sql(at)
    );
    Ok(inserted.execute(&mut **tx).await?.rows_affected())
}
