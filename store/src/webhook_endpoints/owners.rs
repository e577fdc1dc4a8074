//! Owners are told by mail that an endpoint was disabled, which nobody asked for.

use domain::{Timestamp, WebhookEndpointId, webhook::DisabledReason};

use crate::{Db, Result, sql};

/// What there is to tell.
#[derive(Debug, Clone)]
pub struct Untold {
    pub endpoint: WebhookEndpointId,
    pub url: String,
    pub description: String,
    pub reason: DisabledReason,
    pub disabled_at: Timestamp,
    pub failing_since: Option<Timestamp>,
}

/// Takes what is to be told, for as long as the lease lasts.
pub async fn claim(db: &Db, now: Timestamp, until: Timestamp) -> Result<Vec<Untold>> {
    let rows = sqlx::query!(
        r#"UPDATE webhook_endpoints SET owner_told_by = $2
           WHERE disabled_reason IN ('gone', 'failing') AND deleted_at IS NULL AND owner_told_at IS NULL
             AND (owner_told_by IS NULL OR owner_told_by <= $1)
           RETURNING id, url, description, disabled_reason AS "reason!", disabled_at AS "disabled_at!",
                     failing_since"#,
        sql(now),
        sql(until)
    )
    .fetch_all(db.pool())
    .await?;
    let untold = rows.into_iter().map(|row| Untold {
        endpoint: row.id,
        url: row.url,
        description: row.description,
        reason: row.reason,
        disabled_at: row.disabled_at.to_jiff(),
        failing_since: row.failing_since.map(|at| at.to_jiff()),
    });
    Ok(untold.collect())
}

/// Notes that it was told, or never will be.
pub async fn told(db: &Db, endpoint: WebhookEndpointId, disabled_at: Timestamp, at: Timestamp) -> Result<()> {
    let told = sqlx::query!(
        "UPDATE webhook_endpoints SET owner_told_at = $3 WHERE id = $1 AND disabled_at = $2",
        endpoint.uuid(),
        sql(disabled_at),
        sql(at)
    );
    told.execute(db.pool()).await?;
    Ok(())
}
