//! Delivering again, and going on.

use domain::{Timestamp, WebhookEndpointId, public_event::EventId};

use super::{Endpoint, get};
use crate::{Db, Result, Tx, locks, retry::retry, sql};

/// So many are made due again in one transaction.
const CHUNK: i64 = 1000;
/// So many are looked at in one request, whether they are made due or not.
const AT_ONCE: usize = 20_000;

/// What was asked for.
#[derive(Debug)]
pub struct Redelivered {
    pub endpoint: Endpoint,
    pub count: u64,
    /// There are more after this one.
    pub next: Option<EventId>,
}

/// Makes one delivery due now, whatever became of it, with all its tries before it. None if there is no such
/// endpoint; a count of 0 if it has no delivery of this event, or the event is not kept any more.
pub async fn redeliver(
    db: &Db,
    id: WebhookEndpointId,
    event: EventId,
    at: Timestamp,
) -> Result<Option<Redelivered>> {
    let Some(endpoint) = get(db, id).await? else { return Ok(None) };
    let count = retry(async || {
        let mut tx = db.begin().await?;
        locks::webhook_endpoints(&mut tx, &[id]).await?;
        let count = again(&mut tx, id, &[event.position()], at).await?;
        tx.commit().await?;
        Ok::<_, crate::Fault>(count)
    })
    .await?;
    Ok(Some(Redelivered { endpoint, count, next: None }))
}

/// Where a call for many goes on: after a delivery that is there.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    at: Timestamp,
    event: i64,
}

/// The place of a delivery. None if the endpoint has none of this event, or it is forgotten.
pub async fn place(db: &Db, id: WebhookEndpointId, event: EventId) -> Result<Option<Place>> {
    let at = sqlx::query_scalar!(
        "SELECT at FROM webhook_deliveries WHERE endpoint_id = $1 AND event = $2",
        id.uuid(),
        event.position()
    );
    let at = at.fetch_optional(db.pool()).await?;
    Ok(at.map(|at| Place { at: at.to_jiff(), event: event.position() }))
}

/// The same as [`redeliver`] for every delivery of what happened at a time or later, some thousand in one
/// call, after the one that the last call ended with. None if there is no such endpoint.
pub async fn redeliver_since(
    db: &Db,
    id: WebhookEndpointId,
    since: Timestamp,
    after: Option<Place>,
    at: Timestamp,
) -> Result<Option<Redelivered>> {
    let Some(endpoint) = get(db, id).await? else { return Ok(None) };
    let (mut count, mut looked_at, mut last) = (0, 0, None);
    // What happens meanwhile is delivered anyway.
    let mut from = after.map_or((since, i64::MIN), |Place { at, event }| (at, event));
    // Of what is not kept any more nothing is made due, and it costs as much to look at.
    while looked_at < AT_ONCE {
        let (chunk, found, next) = retry(async || {
            let mut tx = db.begin().await?;
            locks::webhook_endpoints(&mut tx, &[id]).await?;
            let found = sqlx::query!(
                "SELECT event, salt, at FROM webhook_deliveries
                 WHERE endpoint_id = $1 AND (at, event) > ($2, $3) AND at <= $4 ORDER BY at, event LIMIT $5",
                id.uuid(),
                sql(from.0),
                from.1,
                sql(at),
                CHUNK
            )
            .fetch_all(&mut *tx)
            .await?;
            let events: Vec<i64> = found.iter().map(|row| row.event).collect();
            let chunk = again(&mut tx, id, &events, at).await?;
            tx.commit().await?;
            let last = found.last().map(|row| (row.at.to_jiff(), EventId::new(row.event, row.salt)));
            Ok::<_, crate::Fault>((chunk, found.len(), last))
        })
        .await?;
        count += chunk;
        looked_at += found;
        last = next.map(|(_, event)| event);
        match next {
            Some((at, event)) => from = (at, event.position()),
            None => break,
        }
    }
    Ok(Some(Redelivered { endpoint, count, next: last }))
}

/// One that is on its way keeps its lease: what comes of that counts.
async fn again(tx: &mut Tx, id: WebhookEndpointId, events: &[i64], at: Timestamp) -> Result<u64> {
    let subjects = sqlx::query_scalar!(
        "UPDATE webhook_deliveries d
         SET state = 'pending', attempts = 0, error = NULL, delivered_at = NULL, due_at = NULL
         WHERE d.endpoint_id = $1 AND d.event = ANY($2)
           AND EXISTS (SELECT FROM events e WHERE e.position = d.event AND e.salt = d.salt)
         RETURNING subject",
        id.uuid(),
        events
    )
    .fetch_all(&mut **tx)
    .await?;
    // Of each subject the first that is pending is due, and it alone.
    sqlx::query!(
        "UPDATE webhook_deliveries d SET due_at = CASE WHEN d.event = first.event THEN $3::timestamptz END
         FROM (SELECT DISTINCT subject FROM unnest($2::text[]) AS s (subject)) AS s
         CROSS JOIN LATERAL (SELECT p.event FROM webhook_deliveries p
                             WHERE p.endpoint_id = $1 AND p.state = 'pending'
                               AND p.subject >= s.subject AND p.subject <= s.subject
                             ORDER BY p.subject, p.event LIMIT 1) AS first
         WHERE d.endpoint_id = $1 AND d.subject = s.subject AND d.state = 'pending'
           AND (d.due_at IS NOT NULL OR d.event = first.event)",
        id.uuid(),
        &subjects,
        sql(at)
    )
    .execute(&mut **tx)
    .await?;
    Ok(subjects.len() as u64)
}

/// What waits for its next try at an endpoint that was disabled is due now. What is beyond the limit comes
/// with its time, within hours.
pub(super) async fn go_on(tx: &mut Tx, id: WebhookEndpointId, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "UPDATE webhook_deliveries SET due_at = $2
         WHERE endpoint_id = $1 AND state = 'pending' AND event IN (
             SELECT event FROM webhook_deliveries
             WHERE endpoint_id = $1 AND state = 'pending' AND due_at > $2 ORDER BY due_at LIMIT $3)",
        id.uuid(),
        sql(at),
        i64::try_from(AT_ONCE).unwrap_or(i64::MAX)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
