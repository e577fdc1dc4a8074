//! Where shops want our events sent: endpoints, and in the modules below what becomes of each delivery
//! (docs/adr/0040).

mod claim;
pub mod deliveries;
mod fan_out;
mod forget;
mod note;
pub mod owners;
mod redeliver;

use domain::{
    Timestamp, WebhookEndpointId,
    public_event::PublicEventType,
    webhook::{BOTH_SIGN_FOR, DisabledReason, EndpointStatus, MAX_ENDPOINTS},
};

pub use claim::{Claimed, Lease, claim};
pub use fan_out::{CURSOR, FannedOut, fan_out};
pub use forget::forget;
pub use note::{Disabled, Outcome, note};
pub use redeliver::{Place, Redelivered, place, redeliver, redeliver_since};

use crate::{Db, Result, SqlTime, locks, random, retry::retry, sql};

/// An endpoint, without its secrets.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub id: WebhookEndpointId,
    pub url: String,
    /// All, if it is empty.
    pub types: Vec<PublicEventType>,
    pub description: String,
    pub status: EndpointStatus,
    pub disabled_reason: Option<DisabledReason>,
    pub disabled_at: Option<Timestamp>,
    /// The first failure since something was delivered.
    pub failing_since: Option<Timestamp>,
    /// Until then the secret before this one signs, too.
    pub previous_secret_until: Option<Timestamp>,
    pub created_at: Timestamp,
    pub created_by: String,
    pub updated_at: Timestamp,
}

/// What a new endpoint is to be.
#[derive(Debug)]
pub struct NewEndpoint<'a> {
    pub url: &'a str,
    pub types: &'a [PublicEventType],
    pub description: &'a str,
    pub secret: &'a str,
    /// A position up to which all is decided: it gets what comes behind.
    pub after: i64,
    /// Who makes it.
    pub by: &'a str,
    pub at: Timestamp,
}

/// What is to be different. None stays.
#[derive(Debug, Default)]
pub struct Change {
    pub url: Option<String>,
    pub types: Option<Vec<PublicEventType>>,
    pub description: Option<String>,
    pub enabled: Option<bool>,
}

/// A row as PostgreSQL gives it.
struct Row {
    id: WebhookEndpointId,
    url: String,
    types: Vec<String>,
    description: String,
    status: EndpointStatus,
    disabled_reason: Option<DisabledReason>,
    disabled_at: Option<SqlTime>,
    failing_since: Option<SqlTime>,
    previous_secret_until: Option<SqlTime>,
    created_at: SqlTime,
    created_by: String,
    updated_at: SqlTime,
}

impl From<Row> for Endpoint {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            url: row.url,
            // A type that a newer program knows is none that this one sends.
            types: row.types.iter().filter_map(|word| PublicEventType::parse(word).ok()).collect(),
            description: row.description,
            status: row.status,
            disabled_reason: row.disabled_reason,
            disabled_at: row.disabled_at.map(|at| at.to_jiff()),
            failing_since: row.failing_since.map(|at| at.to_jiff()),
            previous_secret_until: row.previous_secret_until.map(|at| at.to_jiff()),
            created_at: row.created_at.to_jiff(),
            created_by: row.created_by,
            updated_at: row.updated_at.to_jiff(),
        }
    }
}

fn words(types: &[PublicEventType]) -> Vec<&'static str> {
    types.iter().map(|it| it.as_str()).collect()
}

/// Stores an endpoint. It gets what happens from now on, and a few events from the moments before: the last
/// number that was taken would be too much, for a transaction that has a lower one may commit after this.
/// None if there are [`MAX_ENDPOINTS`].
pub async fn create(db: &Db, new: &NewEndpoint<'_>) -> Result<Option<Endpoint>> {
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO webhook_endpoints (id, url, types, description, secret, created_at, created_by,
                                        updated_at, begins_after)
         SELECT $1, $2, $3, $4, $5, $6, $7, $6, $8
         WHERE (SELECT count(*) FROM webhook_endpoints WHERE deleted_at IS NULL) < $9
         RETURNING id, url, types, description, status, disabled_reason, disabled_at, failing_since,
                   previous_secret_until, created_at, created_by, updated_at",
        WebhookEndpointId::new(new.at, random()).uuid(),
        new.url,
        &words(new.types) as _,
        new.description,
        new.secret,
        sql(new.at),
        new.by,
        new.after,
        MAX_ENDPOINTS
    );
    Ok(row.fetch_optional(db.pool()).await?.map(Endpoint::from))
}

pub async fn get(db: &Db, id: WebhookEndpointId) -> Result<Option<Endpoint>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, url, types, description, status, disabled_reason, disabled_at, failing_since,
                previous_secret_until, created_at, created_by, updated_at
         FROM webhook_endpoints WHERE id = $1 AND deleted_at IS NULL",
        id.uuid()
    );
    Ok(row.fetch_optional(db.pool()).await?.map(Endpoint::from))
}

/// Newest first, those before the given one.
pub async fn list(db: &Db, before: Option<WebhookEndpointId>, limit: i64) -> Result<Vec<Endpoint>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, url, types, description, status, disabled_reason, disabled_at, failing_since,
                previous_secret_until, created_at, created_by, updated_at
         FROM webhook_endpoints WHERE id < $1 AND deleted_at IS NULL ORDER BY id DESC LIMIT $2",
        before.map_or(uuid::Uuid::max(), WebhookEndpointId::uuid),
        limit
    );
    Ok(rows.fetch_all(db.pool()).await?.into_iter().map(Endpoint::from).collect())
}

/// Where it is, and what it is signed with: the secret, and for a day the one before it.
#[derive(Clone)]
pub struct Target {
    pub id: WebhookEndpointId,
    pub url: String,
    pub secret: String,
    pub previous_secret: Option<String>,
}

pub async fn target(db: &Db, id: WebhookEndpointId, now: Timestamp) -> Result<Option<Target>> {
    let row = sqlx::query!(
        r#"SELECT url, secret,
                  CASE WHEN previous_secret_until > $2 THEN previous_secret END AS previous_secret
           FROM webhook_endpoints WHERE id = $1 AND deleted_at IS NULL"#,
        id.uuid(),
        sql(now)
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|row| Target { id, url: row.url, secret: row.secret, previous_secret: row.previous_secret }))
}

/// Changes an endpoint. One that is enabled again goes on with what it missed. None if there is no such one.
pub async fn change(
    db: &Db,
    id: WebhookEndpointId,
    change: &Change,
    at: Timestamp,
) -> Result<Option<Endpoint>> {
    retry(async || {
        let mut tx = db.begin().await?;
        locks::webhook_endpoints(&mut tx, &[id]).await?;
        let row = sqlx::query_as!(
            Row,
            "UPDATE webhook_endpoints
             SET url = coalesce($2, url), types = coalesce($3, types),
                 description = coalesce($4, description),
                 status = CASE $5::boolean WHEN true THEN 'enabled' WHEN false THEN 'disabled'
                   ELSE status END,
                 disabled_reason = CASE $5::boolean WHEN true THEN NULL
                   WHEN false THEN coalesce(disabled_reason, 'by_operator') ELSE disabled_reason END,
                 disabled_at = CASE $5::boolean WHEN true THEN NULL
                   WHEN false THEN coalesce(disabled_at, $6::timestamptz) ELSE disabled_at END,
                 failing_since = CASE WHEN $5::boolean AND status = 'disabled' THEN NULL
                   ELSE failing_since END,
                 owner_told_at = CASE WHEN $5::boolean THEN NULL ELSE owner_told_at END,
                 owner_told_by = CASE WHEN $5::boolean THEN NULL ELSE owner_told_by END, updated_at = $6
             WHERE id = $1 AND deleted_at IS NULL
             RETURNING id, url, types, description, status, disabled_reason, disabled_at, failing_since,
                       previous_secret_until, created_at, created_by, updated_at",
            id.uuid(),
            change.url,
            change.types.as_deref().map(words) as _,
            change.description,
            change.enabled,
            sql(at)
        )
        .fetch_optional(&mut *tx)
        .await?;
        if change.enabled == Some(true) {
            redeliver::go_on(&mut tx, id, at).await?;
        }
        tx.commit().await?;
        Ok(row.map(Endpoint::from))
    })
    .await
}

/// Gives an endpoint another secret. The one before it signs, too, for a day.
pub async fn rotate(db: &Db, id: WebhookEndpointId, secret: &str, at: Timestamp) -> Result<Option<Endpoint>> {
    let row = sqlx::query_as!(
        Row,
        "UPDATE webhook_endpoints
         SET previous_secret = secret, previous_secret_until = $3, secret = $2, updated_at = $4
         WHERE id = $1 AND deleted_at IS NULL
         RETURNING id, url, types, description, status, disabled_reason, disabled_at, failing_since,
                   previous_secret_until, created_at, created_by, updated_at",
        id.uuid(),
        secret,
        sql(at + BOTH_SIGN_FOR),
        sql(at)
    );
    Ok(row.fetch_optional(db.pool()).await?.map(Endpoint::from))
}

/// Deletes an endpoint: nothing is sent there any more, and what became of its deliveries is forgotten behind
/// it. None if there is no such one.
pub async fn delete(db: &Db, id: WebhookEndpointId, at: Timestamp) -> Result<Option<Endpoint>> {
    let row = sqlx::query_as!(
        Row,
        "UPDATE webhook_endpoints
         SET deleted_at = $2, updated_at = $2, secret = '', previous_secret = NULL,
           previous_secret_until = NULL
         WHERE id = $1 AND deleted_at IS NULL
         RETURNING id, url, types, description, status, disabled_reason, disabled_at, failing_since,
                   previous_secret_until, created_at, created_by, updated_at",
        id.uuid(),
        sql(at)
    );
    Ok(row.fetch_optional(db.pool()).await?.map(Endpoint::from))
}
