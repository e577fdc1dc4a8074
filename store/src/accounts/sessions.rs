//! Sessions: families of refresh tokens. A token says which session it is of, and of which generation; the
//! one of the last is good, once. One from before was copied by somebody, and ends them all.

use domain::{
    AccountId, SessionId, Timestamp,
    account::{SESSION_IDLE, SESSION_LIFE},
};

use crate::{Db, Result, SqlTime, random, retry::retry, sql};

/// Sessions of one account. Who begins another ends the one that was not used for the longest time.
const MAX_SESSIONS: i64 = 50;

/// Begins a session of whoever has shown this password. None if it was changed meanwhile: what was looked at
/// before is not to outlive that.
#[tracing::instrument(name = "sql sessions.begin", skip_all, err(level = "debug"))]
pub async fn begin(
    db: &Db,
    account: AccountId,
    password_hash: &str,
    at: Timestamp,
) -> Result<Option<SessionId>> {
    let id = SessionId::new(at, random());
    retry(|| async {
        let mut tx = db.begin().await?;
        let begun = sqlx::query!(
            "INSERT INTO sessions (id, account_id, started_at, refreshed_at)
             SELECT $1, id, $4, $4 FROM accounts WHERE id = $2 AND password_hash = $3 FOR SHARE",
            id.uuid(),
            account.uuid(),
            password_hash,
            sql(at)
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "DELETE FROM sessions
             WHERE id = ANY(ARRAY(SELECT id FROM sessions WHERE account_id = $1
                                  ORDER BY refreshed_at DESC, id DESC OFFSET $2))",
            account.uuid(),
            MAX_SESSIONS
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok((begun.rows_affected() == 1).then_some(id))
    })
    .await
}

/// An open session was used after the first of these, and begun after the second.
pub(super) fn open_after(at: Timestamp) -> [SqlTime; 2] {
    [SESSION_IDLE, SESSION_LIFE].map(|life| sql(at.saturating_sub(life).unwrap_or(at)))
}

/// What became of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// It was good; the next one is of this generation.
    Good { account: AccountId, generation: i32 },
    /// It was used before: the session is ended.
    Reused(AccountId),
    /// The session has ended, or there is none.
    Ended,
}

/// Uses a refresh token up. Of two that come at the same time one is used before the other.
#[tracing::instrument(name = "sql sessions.rotate", skip_all, err(level = "debug"))]
pub async fn rotate(db: &Db, id: SessionId, generation: i32, at: Timestamp) -> Result<Rotated> {
    let [used_after, begun_after] = open_after(at);
    retry(|| async {
        let mut tx = db.begin().await?;
        let session = sqlx::query!(
            r#"SELECT account_id, generation,
                      ended_at IS NULL AND refreshed_at > $2 AND started_at > $3 AS "is_open!"
               FROM sessions WHERE id = $1 FOR NO KEY UPDATE"#,
            id.uuid(),
            used_after as _,
            begun_after as _
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(session) = session.filter(|session| session.is_open) else { return Ok(Rotated::Ended) };
        let is_last = session.generation == generation;
        sqlx::query!(
            "UPDATE sessions SET generation = generation + 1, refreshed_at = $2,
                    ended_at = CASE WHEN NOT $3 THEN $2::timestamptz END
             WHERE id = $1",
            id.uuid(),
            sql(at) as _,
            is_last
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(match is_last {
            true => Rotated::Good { account: session.account_id, generation: generation + 1 },
            false => Rotated::Reused(session.account_id),
        })
    })
    .await
}

/// Ends a session, if it has not ended.
pub async fn end(db: &Db, id: SessionId, at: Timestamp) -> Result<()> {
    sqlx::query!("UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL", id.uuid(), sql(at))
        .execute(db.pool())
        .await?;
    Ok(())
}

/// Ends all sessions of an account.
pub async fn end_all(db: &Db, account: AccountId, at: Timestamp) -> Result<()> {
    retry(|| async {
        let mut tx = db.begin().await?;
        end_all_in(&mut tx, account, at).await?;
        tx.commit().await
    })
    .await
}

pub(super) async fn end_all_in(tx: &mut crate::Tx, account: AccountId, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "UPDATE sessions SET ended_at = $2 WHERE account_id = $1 AND ended_at IS NULL",
        account.uuid(),
        sql(at)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
