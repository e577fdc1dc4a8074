//! API keys. Of a key itself there is only its hash here.

use std::{collections::BTreeSet, time::Duration};

use domain::{
    ApiKeyId, SignedDuration, Timestamp,
    api_key::{ApiKey, KeyName, Scope},
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{Db, Result, SqlTime, random, sql};

/// So many keys that are good, or were of late, there may be: each API has them all in memory.
pub const MAX_KEYS: i64 = 1000;
/// So long a key that is good no more is still told from one that never was.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A use is noted only if the last one that was is as old as this. Each process, too, tries no more often.
pub const USE_NOTED_EVERY: Duration = Duration::from_secs(60);
/// Requests wait for it: so long at most.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

pub type Hash = [u8; 32];

pub fn hash(key: &ApiKey) -> Hash {
    Sha256::digest(key.as_str()).into()
}

/// What is known of a key, without the key.
#[derive(Debug, Clone)]
pub struct IssuedKey {
    pub id: ApiKeyId,
    pub name: KeyName,
    /// The beginning of the key.
    pub prefix: String,
    pub scopes: BTreeSet<Scope>,
    pub created_at: Timestamp,
    pub created_by: String,
    pub expires_at: Option<Timestamp>,
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// What a new key is to be.
#[derive(Debug)]
pub struct NewKey<'a> {
    pub name: KeyName,
    pub scopes: BTreeSet<Scope>,
    pub expires_at: Option<Timestamp>,
    /// Who makes it.
    pub by: &'a str,
    pub at: Timestamp,
}

/// A row as PostgreSQL gives it.
struct Row {
    id: ApiKeyId,
    name: KeyName,
    hash: Vec<u8>,
    prefix: String,
    scopes: Vec<String>,
    created_at: SqlTime,
    created_by: String,
    expires_at: Option<SqlTime>,
    last_used_at: Option<SqlTime>,
    revoked_at: Option<SqlTime>,
}

impl From<Row> for IssuedKey {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            // A scope that a newer program knows opens no door of this one, and must not close the others.
            scopes: row.scopes.iter().filter_map(|word| Scope::parse(word).ok()).collect(),
            created_at: row.created_at.to_jiff(),
            created_by: row.created_by,
            expires_at: row.expires_at.map(|at| at.to_jiff()),
            last_used_at: row.last_used_at.map(|at| at.to_jiff()),
            revoked_at: row.revoked_at.map(|at| at.to_jiff()),
        }
    }
}

/// Draws a key and stores what is known of it. The key is given this once. None if there are [`MAX_KEYS`].
pub async fn create(db: &Db, new: NewKey<'_>) -> Result<Option<(ApiKey, IssuedKey)>> {
    let key = ApiKey::draw(random());
    let issued = IssuedKey {
        id: ApiKeyId::new(new.at, random()),
        name: new.name,
        prefix: key.prefix().to_owned(),
        scopes: new.scopes,
        created_at: new.at,
        created_by: new.by.to_owned(),
        expires_at: new.expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    let words: Vec<&str> = issued.scopes.iter().map(|scope| scope.as_str()).collect();
    let stored = sqlx::query!(
        "INSERT INTO api_keys (id, name, hash, prefix, scopes, created_at, created_by, expires_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8
         WHERE (SELECT count(*) FROM (
                    SELECT FROM api_keys WHERE coalesce(least(expires_at, revoked_at), 'infinity') > $9
                    ORDER BY coalesce(least(expires_at, revoked_at), 'infinity') DESC LIMIT $10) AS k) < $10",
        issued.id.uuid(),
        issued.name.as_str(),
        &hash(&key)[..],
        issued.prefix,
        &words as _,
        sql(issued.created_at),
        issued.created_by,
        issued.expires_at.map(sql) as _,
        sql(new.at - REMEMBERED),
        MAX_KEYS
    )
    .execute(db.pool())
    .await?;
    Ok((stored.rows_affected() == 1).then_some((key, issued)))
}

/// Newest first, those before the given one.
pub async fn list(db: &Db, before: Option<ApiKeyId>, limit: i64) -> Result<Vec<IssuedKey>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, name, hash, prefix, scopes, created_at, created_by, expires_at, last_used_at, revoked_at
         FROM api_keys WHERE id < $1 ORDER BY id DESC LIMIT $2",
        before.map_or(Uuid::max(), ApiKeyId::uuid),
        limit
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(IssuedKey::from).collect())
}

/// What is known of a key, also of one that is good no more.
pub async fn get(db: &Db, id: ApiKeyId) -> Result<Option<IssuedKey>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, hash, prefix, scopes, created_at, created_by, expires_at, last_used_at, revoked_at
         FROM api_keys WHERE id = $1",
        id.uuid()
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(IssuedKey::from))
}

/// Ends a key. One that was revoked before stays as it is. None if there is no such key.
pub async fn revoke(db: &Db, id: ApiKeyId, at: Timestamp) -> Result<Option<IssuedKey>> {
    let row = sqlx::query_as!(
        Row,
        "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1
         RETURNING id, name, hash, prefix, scopes, created_at, created_by, expires_at, last_used_at,
                   revoked_at",
        id.uuid(),
        sql(at)
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(IssuedKey::from))
}

/// Every key that is good at `at`, or was until a few days before, with its hash. By the connection for
/// probes: requests that wait for connections keep nobody from being known.
pub async fn all(db: &Db, at: Timestamp) -> Result<Vec<(Hash, IssuedKey)>> {
    let probe = db.by_probe();
    let query = sqlx::query_as!(
        Row,
        "SELECT id, name, hash, prefix, scopes, created_at, created_by, expires_at, last_used_at, revoked_at
         FROM api_keys WHERE coalesce(least(expires_at, revoked_at), 'infinity') > $1
         ORDER BY coalesce(least(expires_at, revoked_at), 'infinity') DESC LIMIT $2",
        sql(at - REMEMBERED),
        MAX_KEYS
    );
    let read = query.fetch_all(&probe);
    let rows = tokio::time::timeout(READ_TIMEOUT, read).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    // The table takes no hash of another length.
    let hashed = |row: Row| Some((Hash::try_from(row.hash.as_slice()).ok()?, row.into()));
    Ok(rows.into_iter().filter_map(hashed).collect())
}

/// Notes that a key was used, unless that was noted a moment ago.
pub async fn note_use(db: &Db, id: ApiKeyId, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "UPDATE api_keys SET last_used_at = $2
         WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)",
        id.uuid(),
        sql(at),
        sql(at - USE_NOTED_EVERY)
    )
    .execute(db.pool())
    .await?;
    Ok(())
}
