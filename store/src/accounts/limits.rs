//! What may happen only so often, exactly, however many processes are asked at once: trying passwords and
//! codes, and mailing codes.

use domain::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::{Db, Result, sql};

/// So much of something is allowed in so long.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    pub name: &'static str,
    pub at_most: i32,
    pub within: SignedDuration,
}

/// What is left of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Allowed,
    /// It is allowed again after so long.
    RetryAfter(SignedDuration),
}

/// Takes one of what a limit allows to `whom`: an address, an account. What is refused is not counted.
pub async fn take(db: &Db, limit: &Limit, whom: &str, at: Timestamp) -> Result<Taken> {
    let ends_at = at.saturating_add(limit.within).unwrap_or(at);
    let taken = sqlx::query!(
        r#"INSERT INTO rate_limits AS l (key, used, ends_at) VALUES ($1, 1, $2)
           ON CONFLICT (key) DO UPDATE
               SET used = CASE WHEN l.ends_at <= $3 THEN 1 ELSE l.used + 1 END,
                   ends_at = CASE WHEN l.ends_at <= $3 THEN excluded.ends_at ELSE l.ends_at END
               WHERE l.ends_at <= $3 OR l.used < $4"#,
        key(limit, whom),
        sql(ends_at),
        sql(at) as _,
        limit.at_most
    )
    .execute(db.pool())
    .await?;
    if taken.rows_affected() == 1 {
        return Ok(Taken::Allowed);
    }
    let ends_at = sqlx::query_scalar!("SELECT ends_at FROM rate_limits WHERE key = $1", key(limit, whom));
    // It may be forgotten by now.
    let left = ends_at.fetch_optional(db.pool()).await?.map(|ends_at| ends_at.to_jiff().duration_since(at));
    Ok(Taken::RetryAfter(left.unwrap_or_default().max(SignedDuration::ZERO)))
}

/// Gives back one that was taken: it is not to count.
pub async fn give_back(db: &Db, limit: &Limit, whom: &str) -> Result<()> {
    sqlx::query!("UPDATE rate_limits SET used = greatest(used - 1, 0) WHERE key = $1", key(limit, whom))
        .execute(db.pool())
        .await?;
    Ok(())
}

/// Whom it is about is nobody's business who reads the table.
fn key(limit: &Limit, whom: &str) -> Vec<u8> {
    Sha256::new().chain_update(limit.name).chain_update([0]).chain_update(whom).finalize().to_vec()
}
