//! Claiming: what is due comes into somebody's hands for as long as a lease lasts, and nothing is locked while
//! the network is asked (docs/adr/0026). Only the first of its subject is ever due.

use domain::{
    Timestamp, WebhookEndpointId,
    public_event::{EventId, PublicEvent},
};

use super::Target;
use crate::{Db, Result, sql};

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
    pub content: Option<PublicEvent>,
}

/// Takes what is due of each endpoint, as far as there is room: `under_way` says how many of it the caller has
/// already.
#[tracing::instrument(name = "sql webhooks.claim", skip_all, err(level = "debug"))]
pub async fn claim(db: &Db, lease: Lease, under_way: &[(WebhookEndpointId, i64)]) -> Result<Vec<Claimed>> {
    let (busy, counts): (Vec<WebhookEndpointId>, Vec<i64>) = under_way.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"WITH ready AS MATERIALIZED (
               SELECT d.endpoint_id, d.event, w.url, w.secret,
                      CASE WHEN w.previous_secret_until > $1 THEN w.previous_secret END AS previous_secret
               FROM webhook_endpoints w
               LEFT JOIN unnest($3::uuid[], $4::bigint[]) AS busy (id, count) ON busy.id = w.id
               CROSS JOIN LATERAL (
                   SELECT c.endpoint_id, c.event FROM webhook_deliveries c
                   WHERE c.endpoint_id = w.id AND c.state = 'pending' AND c.due_at <= $1
                     AND (c.leased_until IS NULL OR c.leased_until <= $1)
                   ORDER BY c.due_at
                   LIMIT greatest(
                       CASE WHEN w.failing_since IS NULL THEN $5::bigint ELSE $6::bigint END - coalesce(busy.count, 0), 0)
                   FOR NO KEY UPDATE SKIP LOCKED
               ) AS d
               WHERE w.status = 'enabled' AND w.deleted_at IS NULL
           )
           UPDATE webhook_deliveries d SET leased_until = $2
           FROM ready r LEFT JOIN events e ON e.position = r.event
           WHERE d.endpoint_id = r.endpoint_id AND d.event = r.event
           RETURNING d.endpoint_id, d.event, d.salt, d.attempts, d.leased_until AS "leased_until!", d.subject,
                     d.type, d.at, r.url AS "url!", r.secret AS "secret!", r.previous_secret, e.sequence AS "sequence?",
                     e.version AS "version?", e.data AS "data?", e.cause AS "cause?""#,
        sql(lease.now),
        sql(lease.until),
        &busy as _,
        &counts,
        lease.of_each,
        lease.of_failing
    )
    .fetch_all(db.pool())
    .await?;
    let claimed = rows.into_iter().map(|row| {
        let event = EventId::new(row.event, row.salt);
        let content = row.version.zip(row.data).map(|(version, data)| PublicEvent {
            id: event,
            event_type: row.r#type,
            version,
            subject: row.subject,
            sequence: row.sequence,
            at: row.at.to_jiff(),
            cause: row.cause.unwrap_or_default(),
            data,
        });
        let (id, url, secret, previous_secret) = (row.endpoint_id, row.url, row.secret, row.previous_secret);
        let target = Target { id, url, secret, previous_secret };
        Claimed { target, event, leased_until: row.leased_until.to_jiff(), attempts: row.attempts, content }
    });
    Ok(claimed.collect())
}
