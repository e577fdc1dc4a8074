//! What came of tries, and what follows for the endpoint and for what waits behind.

use std::collections::{BTreeSet, HashMap};

use domain::{
    Timestamp, WebhookEndpointId,
    public_event::EventId,
    webhook::{DeliveryState, DisabledReason, FAILING_AT_MOST},
};

use crate::{Db, Result, SqlTime, Tx, locks, retry::retry, sql};

/// What came of one try.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub endpoint: WebhookEndpointId,
    pub event: EventId,
    /// Of the claim: it counts only if nobody else has the delivery by now.
    pub leased_until: Timestamp,
    pub state: DeliveryState,
    /// When it is tried again, if it is pending.
    pub due_at: Option<Timestamp>,
    /// The receiver wants nothing any more.
    pub is_gone: bool,
    /// Nothing was sent, for a reason of ours: it says nothing of the endpoint.
    pub is_ours: bool,
    pub answer_code: Option<i16>,
    /// How the answer begins.
    pub answer: Option<String>,
    /// Why there is none, or not a good one.
    pub error: Option<String>,
}

/// An endpoint that was disabled because of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disabled {
    pub endpoint: WebhookEndpointId,
    pub reason: DisabledReason,
}

/// Notes what came of tries. What waits behind a delivery that came to its end is due now.
#[tracing::instrument(name = "sql webhooks.note", skip_all, err(level = "debug"))]
pub async fn note(db: &Db, outcomes: &[Outcome], at: Timestamp) -> Result<Vec<Disabled>> {
    let endpoints: BTreeSet<WebhookEndpointId> = outcomes.iter().map(|outcome| outcome.endpoint).collect();
    let endpoints: Vec<WebhookEndpointId> = endpoints.into_iter().collect();
    retry(async || {
        let mut tx = db.begin().await?;
        locks::webhook_endpoints(&mut tx, &endpoints).await?;
        let noted = note_tries(&mut tx, outcomes, at).await?;
        // What somebody else has by now says nothing of the endpoint as it is now.
        let subject = |it: &Outcome| noted.get(&(it.endpoint, it.event.position()));
        let outcomes: Vec<Outcome> = outcomes.iter().filter(|it| subject(it).is_some()).cloned().collect();
        let ended = outcomes.iter().filter(|it| it.state != DeliveryState::Pending);
        let subjects = ended.filter_map(|it| Some((it.endpoint, subject(it)?.as_str()))).collect();
        release(&mut tx, subjects, at).await?;
        let disabled = judge_endpoints(&mut tx, &outcomes, at).await?;
        tx.commit().await?;
        Ok(disabled)
    })
    .await
}

/// Gives the subjects of those that were noted.
async fn note_tries(
    tx: &mut Tx,
    outcomes: &[Outcome],
    at: Timestamp,
) -> Result<HashMap<(WebhookEndpointId, i64), String>> {
    let endpoints: Vec<WebhookEndpointId> = outcomes.iter().map(|it| it.endpoint).collect();
    let events: Vec<i64> = outcomes.iter().map(|it| it.event.position()).collect();
    let leases: Vec<SqlTime> = outcomes.iter().map(|it| sql(it.leased_until)).collect();
    let states: Vec<&str> = outcomes.iter().map(|it| it.state.as_str()).collect();
    let due: Vec<Option<SqlTime>> = outcomes.iter().map(|it| it.due_at.map(sql)).collect();
    let codes: Vec<Option<i16>> = outcomes.iter().map(|it| it.answer_code).collect();
    let answers: Vec<Option<&str>> = outcomes.iter().map(|it| it.answer.as_deref()).collect();
    let errors: Vec<Option<&str>> = outcomes.iter().map(|it| it.error.as_deref()).collect();
    // Each is looked for by its key, and changed by its place: PostgreSQL could also go through all that is
    // due, and look each up among the outcomes. (So the row itself is asked for its lease alone: by its
    // state it could be looked for.) If an earlier one of the subject is to be delivered again meanwhile,
    // this one goes behind it.
    let noted = sqlx::query!(
        "UPDATE webhook_deliveries d
         SET state = o.state, leased_until = NULL, attempts = d.attempts + 1, answer_code = o.code,
             answer = o.answer, error = o.error, tried_at = $9::timestamptz,
             delivered_at = CASE WHEN o.state = 'delivered' THEN $9::timestamptz END,
             due_at = CASE WHEN d.event = (SELECT p.event FROM webhook_deliveries p
                                           WHERE p.endpoint_id = d.endpoint_id AND p.state = 'pending'
                                             AND p.subject >= d.subject AND p.subject <= d.subject
                                           ORDER BY p.subject, p.event LIMIT 1)
                           THEN o.due_at END
         FROM (SELECT o.state, o.due_at, o.code, o.answer, o.error, o.leased_until, ours.place
               FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::timestamptz[],
                           $6::smallint[], $7::text[], $8::text[])
                    AS o (endpoint_id, event, leased_until, state, due_at, code, answer, error)
               CROSS JOIN LATERAL (SELECT p.ctid AS place FROM webhook_deliveries p
                                   WHERE p.endpoint_id = o.endpoint_id AND p.event = o.event
                                     AND p.state = 'pending' AND p.leased_until = o.leased_until
                                   OFFSET 0) AS ours) AS o
         WHERE d.ctid = o.place AND d.leased_until = o.leased_until
         RETURNING d.endpoint_id, d.event, d.subject",
        &endpoints as _,
        &events,
        &leases as _,
        &states as _,
        &due as _,
        &codes as _,
        &answers as _,
        &errors as _,
        sql(at)
    );
    let noted = noted.fetch_all(&mut **tx).await?.into_iter();
    Ok(noted.map(|row| ((row.endpoint_id, row.event), row.subject)).collect())
}

/// The next of each subject whose first has come to its end. By the order of subject and event, which no
/// other index has: by that of events all that waits at the endpoint would be looked through.
async fn release(tx: &mut Tx, ended: BTreeSet<(WebhookEndpointId, &str)>, at: Timestamp) -> Result<()> {
    let (endpoints, subjects): (Vec<WebhookEndpointId>, Vec<&str>) = ended.into_iter().unzip();
    if subjects.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE webhook_deliveries d SET due_at = $3
         FROM unnest($1::uuid[], $2::text[]) AS s (endpoint_id, subject)
         CROSS JOIN LATERAL (SELECT n.ctid AS place, n.due_at FROM webhook_deliveries n
                             WHERE n.endpoint_id = s.endpoint_id AND n.state = 'pending'
                               AND n.subject >= s.subject AND n.subject <= s.subject
                             ORDER BY n.subject, n.event LIMIT 1) AS next
         WHERE next.due_at IS NULL AND d.ctid = next.place",
        &endpoints as _,
        &subjects as _,
        sql(at)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One that takes something is well. One that does nothing but fail has its time, and then is disabled.
async fn judge_endpoints(tx: &mut Tx, outcomes: &[Outcome], at: Timestamp) -> Result<Vec<Disabled>> {
    let of = |is_so: fn(&Outcome) -> bool| -> BTreeSet<WebhookEndpointId> {
        outcomes.iter().filter(|outcome| is_so(outcome)).map(|outcome| outcome.endpoint).collect()
    };
    let well = of(|outcome| outcome.state == DeliveryState::Delivered);
    let (gone, tried) = (of(|outcome| outcome.is_gone), of(|outcome| !outcome.is_ours));
    let failed: Vec<WebhookEndpointId> = tried.difference(&well).copied().collect();
    let (well, gone): (Vec<_>, Vec<_>) = (well.into_iter().collect(), gone.into_iter().collect());
    sqlx::query!(
        "UPDATE webhook_endpoints SET failing_since = NULL WHERE id = ANY($1) AND failing_since IS NOT NULL",
        &well as _
    )
    .execute(&mut **tx)
    .await?;
    let disabled = sqlx::query!(
        r#"UPDATE webhook_endpoints
           SET failing_since = coalesce(failing_since, $3::timestamptz),
               status = CASE WHEN id = ANY($2) OR failing_since <= $4 THEN 'disabled' ELSE status END,
               disabled_reason = CASE WHEN id = ANY($2) THEN 'gone'
                 WHEN failing_since <= $4 THEN 'failing' END,
               disabled_at = CASE WHEN id = ANY($2) OR failing_since <= $4 THEN $3::timestamptz END,
               owner_told_at = NULL, owner_told_by = NULL
           WHERE (id = ANY($1) OR id = ANY($2)) AND status = 'enabled'
             AND (id = ANY($2) OR failing_since IS NULL OR failing_since <= $4)
           RETURNING id, disabled_reason"#,
        &failed as _,
        &gone as _,
        sql(at),
        sql(at - FAILING_AT_MOST)
    )
    .fetch_all(&mut **tx)
    .await?;
    let told = |row: &Option<DisabledReason>, endpoint| row.map(|reason| Disabled { endpoint, reason });
    Ok(disabled.iter().filter_map(|row| told(&row.disabled_reason, row.id)).collect())
}
