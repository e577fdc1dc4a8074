//! Accounts as the shop sees them: whose they are, and whether anybody is signed in. Unlike all else about
//! accounts it tells who has one, to those who may ask for that. No hash of a password is read here.

use domain::{AccountId, Timestamp, customer::Customer};
use uuid::Uuid;

use super::sessions::open_after;
use crate::{Db, Result};

/// An account, as the shop sees it.
pub struct KnownAccount {
    pub id: AccountId,
    pub customer: Customer,
    pub verified_at: Timestamp,
    pub password_changed_at: Timestamp,
    /// False until its owner chooses one.
    pub has_password: bool,
    /// Sessions whose refresh token is good.
    pub open_sessions: i64,
    /// When one of its sessions was used last, as far as these are remembered.
    pub last_seen_at: Option<Timestamp>,
}

/// Accounts by what follows `FROM accounts`, each with one look at its sessions: those of a page are found
/// first. Which sessions are open is said by the first two parameters, as in [`super::sessions::rotate`].
macro_rules! accounts {
    ($which:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query!(
            r#"SELECT a.id AS "id!: AccountId", a.customer AS "customer!: Customer",
                      a.verified_at AS "verified_at!", a.password_changed_at AS "password_changed_at!",
                      a.has_password AS "has_password!", s.open_sessions AS "open_sessions!",
                      s.last_seen_at AS "last_seen_at?"
               FROM (SELECT id, customer, verified_at, password_changed_at,
                            password_hash IS NOT NULL AS has_password
                     FROM accounts "#
                + $which
                + r#") AS a
               CROSS JOIN LATERAL (
                   SELECT count(*) FILTER (WHERE ended_at IS NULL AND refreshed_at > $1 AND started_at > $2)
                              AS open_sessions,
                          max(refreshed_at) AS last_seen_at
                   FROM sessions WHERE account_id = a.id
               ) AS s
               ORDER BY a.id DESC"#,
            $($argument),+
        )
        .map(|it| KnownAccount {
            id: it.id,
            customer: it.customer,
            verified_at: it.verified_at.to_jiff(),
            password_changed_at: it.password_changed_at.to_jiff(),
            has_password: it.has_password,
            open_sessions: it.open_sessions,
            last_seen_at: it.last_seen_at.map(|at| at.to_jiff()),
        })
    };
}

/// Newest first, those before the given one.
#[tracing::instrument(name = "sql accounts.list", skip_all, err(level = "debug"))]
pub async fn list(
    db: &Db,
    before: Option<AccountId>,
    limit: i64,
    at: Timestamp,
) -> Result<Vec<KnownAccount>> {
    let [used_after, begun_after] = open_after(at);
    let before = before.map_or(Uuid::max(), AccountId::uuid);
    let page = accounts!(
        "WHERE id < $3 ORDER BY id DESC LIMIT $4",
        used_after as _,
        begun_after as _,
        before,
        limit
    );
    Ok(page.fetch_all(db.pool()).await?)
}

/// The account of an address. None if it has none.
#[tracing::instrument(name = "sql accounts.of_address", skip_all, err(level = "debug"))]
pub async fn of_address(db: &Db, email_key: &str, at: Timestamp) -> Result<Option<KnownAccount>> {
    let [used_after, begun_after] = open_after(at);
    let account = accounts!("WHERE email_key = $3", used_after as _, begun_after as _, email_key);
    Ok(account.fetch_optional(db.pool()).await?)
}

/// None if there is none, or not any more.
#[tracing::instrument(name = "sql accounts.known", skip_all, err(level = "debug"))]
pub async fn get(db: &Db, id: AccountId, at: Timestamp) -> Result<Option<KnownAccount>> {
    let [used_after, begun_after] = open_after(at);
    let account = accounts!("WHERE id = $3", used_after as _, begun_after as _, id.uuid());
    Ok(account.fetch_optional(db.pool()).await?)
}
