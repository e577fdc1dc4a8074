//! Who is signed in to the console. A session is known by a random token, of which there is only the hash
//! here.

use domain::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::{Db, Result, sql};

/// A session ends after this, whatever is done in it.
pub const SESSION_LIFE: SignedDuration = SignedDuration::from_hours(12);
/// And after this, if nothing is.
pub const SESSION_IDLE: SignedDuration = SignedDuration::from_hours(1);
/// That something was done is noted only if the last time that was noted is as old as this.
const SEEN_NOTED_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// Sessions that have ended are forgotten by who signs in: so many at once.
const FORGOTTEN_AT_ONCE: i64 = 100;

/// What the browser has.
pub type Token = [u8; 32];

/// By what the key of a session is known again, without the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyProof {
    pub hash: [u8; 32],
    /// It is a MAC under the session's token, of a key of the environment.
    pub of_environment: bool,
}

fn hash(token: &Token) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

/// Begins a session.
#[tracing::instrument(name = "sql console_sessions.begin", skip_all, err(level = "debug"))]
pub async fn begin(db: &Db, token: &Token, key: &KeyProof, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "DELETE FROM console_sessions WHERE token_hash = ANY(ARRAY(
             SELECT token_hash FROM console_sessions WHERE ends_at <= $1 ORDER BY ends_at LIMIT $2))",
        sql(at),
        FORGOTTEN_AT_ONCE
    )
    .execute(db.pool())
    .await?;
    sqlx::query!(
        "INSERT INTO console_sessions (token_hash, key_hash, of_environment, created_at, seen_at, ends_at)
         VALUES ($1, $2, $3, $4, $4, $5)",
        hash(token),
        &key.hash[..],
        key.of_environment,
        sql(at),
        sql(at.saturating_add(SESSION_LIFE).unwrap_or(at))
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// A session that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    pub key: KeyProof,
    /// It is a while ago that something was noted to be done in it.
    pub is_to_be_noted: bool,
}

/// The session of a token. None if there is none, or it has ended.
#[tracing::instrument(name = "sql console_sessions.find", skip_all, err(level = "debug"))]
pub async fn find(db: &Db, token: &Token, at: Timestamp) -> Result<Option<Session>> {
    let found = sqlx::query!(
        r#"SELECT key_hash, of_environment, seen_at <= $4 AS "is_to_be_noted!" FROM console_sessions
           WHERE token_hash = $1 AND ends_at > $2 AND seen_at > $3"#,
        hash(token),
        sql(at),
        sql(at.saturating_sub(SESSION_IDLE).unwrap_or(at)) as _,
        sql(at.saturating_sub(SEEN_NOTED_EVERY).unwrap_or(at)) as _
    )
    .fetch_optional(db.pool())
    .await?;
    // The table takes no hash of another length.
    Ok(found.and_then(|found| {
        let hash = <[u8; 32]>::try_from(found.key_hash.as_slice()).ok()?;
        let key = KeyProof { hash, of_environment: found.of_environment };
        Some(Session { key, is_to_be_noted: found.is_to_be_noted })
    }))
}

/// Notes that something is done in a session, unless somebody else has just noted it.
#[tracing::instrument(name = "sql console_sessions.note_seen", skip_all, err(level = "debug"))]
pub async fn note_seen(db: &Db, token: &Token, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "UPDATE console_sessions SET seen_at = $2 WHERE token_hash = $1 AND seen_at <= $3",
        hash(token),
        sql(at),
        sql(at.saturating_sub(SEEN_NOTED_EVERY).unwrap_or(at))
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Ends a session.
#[tracing::instrument(name = "sql console_sessions.end", skip_all, err(level = "debug"))]
pub async fn end(db: &Db, token: &Token) -> Result<()> {
    sqlx::query!("DELETE FROM console_sessions WHERE token_hash = $1", hash(token))
        .execute(db.pool())
        .await?;
    Ok(())
}
