//! Claiming: what is due comes into somebody's hands for as long as a lease lasts, and nothing is locked
//! while the network is asked (docs/adr/0026). Only the first of its subject is ever due.

use std::{collections::HashMap, sync::Arc};

use domain::{
    Timestamp, WebhookEndpointId,
    public_event::{EventId, PublicEvent},
};

use super::Target;
use crate::{Db, Result, events, sql};

/// What a deliverer asks for.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    pub now: Timestamp,
    /// Until then the deliveries are the deliverer's.
    pub until: Timestamp,
    /// So many of one endpoint at once in one process,
    pub of_each: i64,
    /// and of one that fails.
    pub of_failing: i64,
}

/// A delivery in somebody's hands.
pub struct Claimed {
    pub target: Target,
    pub event: EventId,
    /// By which it is known that it still is.
    pub leased_until: Timestamp,
    /// Tries before this one.
    pub attempts: i32,
    /// None: it is not kept any more.
    pub content: Option<Arc<PublicEvent>>,
}

/// Takes what is due of each endpoint, as far as there is room: `under_way` says how many of it the caller
/// has already.
#[tracing::instrument(name = "sql webhooks.claim", skip_all, err(level = "debug"))]
pub async fn claim(db: &Db, lease: Lease, under_way: &[(WebhookEndpointId, i64)]) -> Result<Vec<Claimed>> {
    let (busy, counts): (Vec<WebhookEndpointId>, Vec<i64>) = under_way.iter().copied().unzip();
    // By their places, which no plan can look for in any other way. A row that has moved meanwhile is left to
    // the next claim.
    let rows = sqlx::query!(
        r#"UPDATE webhook_deliveries d SET leased_until = $2
           FROM webhook_endpoints w
           WHERE w.id = d.endpoint_id AND d.ctid = ANY(ARRAY(
               SELECT c.place
               FROM webhook_endpoints e
               LEFT JOIN unnest($3::uuid[], $4::bigint[]) AS busy (id, count) ON busy.id = e.id
               CROSS JOIN LATERAL (
                   SELECT c.ctid AS place FROM webhook_deliveries c
                   WHERE c.endpoint_id = e.id AND c.state = 'pending' AND c.due_at <= $1
                     AND (c.leased_until IS NULL OR c.leased_until <= $1)
                   ORDER BY c.due_at
                   LIMIT greatest(
                       CASE WHEN e.failing_since IS NULL THEN $5::bigint ELSE $6::bigint END
                           - coalesce(busy.count, 0), 0)
                   FOR NO KEY UPDATE SKIP LOCKED
               ) AS c
               WHERE e.status = 'enabled' AND e.deleted_at IS NULL))
           RETURNING d.endpoint_id, d.event, d.salt, d.attempts, d.leased_until AS "leased_until!", w.url,
             w.secret,
                     CASE WHEN w.previous_secret_until > $1 THEN w.previous_secret END AS previous_secret"#,
        sql(lease.now),
        sql(lease.until),
        &busy as _,
        &counts,
        lease.of_each,
        lease.of_failing
    )
    .fetch_all(db.pool())
    .await?;
    let mut positions: Vec<i64> = rows.iter().map(|row| row.event).collect();
    positions.sort_unstable();
    positions.dedup();
    // Many deliveries are of one event.
    let events = events::at(db, &positions).await?.into_iter();
    let contents: HashMap<EventId, Arc<PublicEvent>> =
        events.map(|event| (event.id, Arc::new(event))).collect();
    let claimed = rows.into_iter().map(|row| {
        let event = EventId::new(row.event, row.salt);
        let (id, url, secret, previous_secret) = (row.endpoint_id, row.url, row.secret, row.previous_secret);
        Claimed {
            target: Target { id, url, secret, previous_secret },
            event,
            leased_until: row.leased_until.to_jiff(),
            attempts: row.attempts,
            content: contents.get(&event).cloned(),
        }
    });
    Ok(claimed.collect())
}
