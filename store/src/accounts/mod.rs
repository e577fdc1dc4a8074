//! Accounts of customers. But for the shop ([`by_shop`]) nothing in here is answered in another way, or
//! another time, for an address that has an account than for one that has none: who asks learns of its
//! mailbox alone what there is.

pub mod by_shop;
pub mod codes;
mod erase;
pub mod limits;
mod register;
pub mod sessions;

use std::collections::HashSet;

use domain::{AccountCodeId, AccountId, Timestamp, account::CodePurpose, customer::Customer};
use uuid::Uuid;

use crate::{Db, Result, Tx, locks, retry::retry, sql};
use codes::Of;
pub use erase::{delete, forget};
pub use register::{Registration, Verified, newest_registration, register, resend, verify};

/// Asks for a code to reset a password.
#[tracing::instrument(name = "sql accounts.ask_reset", skip_all, err(level = "debug"))]
pub async fn ask_reset(db: &Db, email_key: &str, at: Timestamp) -> Result<Option<AccountCodeId>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        locks::email(&mut tx, email_key).await?;
        let of = account_of(&mut tx, email_key).await?.map_or(Of::Nobody, Of::Account);
        let code = codes::ask(&mut tx, CodePurpose::ResetPassword, of, at).await?;
        tx.commit().await?;
        Ok(code)
    })
    .await
}

async fn account_of(tx: &mut Tx, email_key: &str) -> Result<Option<AccountId>> {
    let account = sqlx::query_scalar!("SELECT id FROM accounts WHERE email_key = $1", email_key);
    Ok(account.fetch_optional(&mut **tx).await?)
}

/// Sets another password with a code. All sessions end. None if there is no such code.
#[tracing::instrument(name = "sql accounts.reset_password", skip_all, err(level = "debug"))]
pub async fn reset_password(
    db: &Db,
    email_key: &str,
    matches: impl Fn(Uuid, &[u8]) -> bool,
    password_hash: &str,
    at: Timestamp,
) -> Result<Option<(AccountId, AccountCodeId)>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        locks::email(&mut tx, email_key).await?;
        let found = codes::find(&mut tx, CodePurpose::ResetPassword, email_key, &matches, at).await?;
        let reset = found.and_then(|code| Some((code.account?, code.id)));
        if let Some((account, code)) = reset {
            codes::use_up(&mut tx, code, account, at).await?;
            set_password(&mut tx, account, password_hash, at).await?;
        }
        tx.commit().await?;
        Ok(reset)
    })
    .await
}

/// Sets another password in place of the one that was shown, and asks for the mail that says so. All sessions
/// end. None if it was changed meanwhile: who has shown an old password does not undo a reset.
#[tracing::instrument(name = "sql accounts.change_password", skip_all, err(level = "debug"))]
pub async fn change_password(
    db: &Db,
    id: AccountId,
    shown: Option<&str>,
    password_hash: &str,
    at: Timestamp,
) -> Result<Option<AccountCodeId>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let is_still = sqlx::query_scalar!(
            r#"SELECT password_hash = $2 AS "it!" FROM accounts
               WHERE id = $1 AND password_hash IS NOT NULL FOR NO KEY UPDATE"#,
            id.uuid(),
            shown
        );
        if is_still.fetch_optional(&mut *tx).await? != Some(true) {
            return Ok(None);
        }
        set_password(&mut tx, id, password_hash, at).await?;
        let mail = codes::ask(&mut tx, CodePurpose::PasswordChanged, Of::Account(id), at).await?;
        tx.commit().await?;
        Ok(mail)
    })
    .await
}

/// Codes that were mailed before are worth nothing any more.
async fn set_password(tx: &mut Tx, id: AccountId, password_hash: &str, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "UPDATE accounts SET password_hash = $2, password_changed_at = $3 WHERE id = $1",
        id.uuid(),
        password_hash,
        sql(at) as _
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!("DELETE FROM account_codes WHERE account_id = $1 AND used_at IS NULL", id.uuid())
        .execute(&mut **tx)
        .await?;
    sessions::end_all_in(tx, id, at).await
}

/// What signing in needs to know of an address.
pub struct Credentials {
    pub account: Option<AccountId>,
    /// None also for an account that has no password yet.
    pub password_hash: Option<String>,
    /// Of the newest registration, which may stand beside an account: it is told of whatever there is.
    pub registered_hash: Option<String>,
}

/// Of an address.
#[tracing::instrument(name = "sql accounts.credentials", skip_all, err(level = "debug"))]
pub async fn credentials(db: &Db, email_key: &str) -> Result<Credentials> {
    let found = sqlx::query_as!(
        Credentials,
        r#"SELECT a.id AS "account?: AccountId", a.password_hash,
                  (SELECT password_hash FROM registrations WHERE email_key = $1 ORDER BY id DESC LIMIT 1)
                  AS registered_hash
           FROM (SELECT) AS one LEFT JOIN accounts a ON a.email_key = $1"#,
        email_key
    );
    Ok(found.fetch_one(db.pool()).await?)
}

/// An account, as its owner sees it.
pub struct Account {
    pub customer: Customer,
    pub password_hash: Option<String>,
    pub verified_at: Timestamp,
    pub password_changed_at: Timestamp,
}

/// None if there is none, or not any more.
#[tracing::instrument(name = "sql accounts.get", skip_all, err(level = "debug"))]
pub async fn get(db: &Db, id: AccountId) -> Result<Option<Account>> {
    let account = sqlx::query!(
        "SELECT customer, password_hash, verified_at, password_changed_at FROM accounts WHERE id = $1",
        id.uuid()
    )
    .map(|it| Account {
        customer: it.customer,
        password_hash: it.password_hash,
        verified_at: it.verified_at.to_jiff(),
        password_changed_at: it.password_changed_at.to_jiff(),
    });
    Ok(account.fetch_optional(db.pool()).await?)
}

/// Those of the accounts that are there, in the transaction of what they ask for.
pub(crate) async fn there(tx: &mut Tx, accounts: HashSet<AccountId>) -> Result<HashSet<AccountId>> {
    let ids: Vec<Uuid> = accounts.into_iter().map(AccountId::uuid).collect();
    let there = sqlx::query_scalar!("SELECT id FROM accounts WHERE id = ANY($1)", &ids);
    Ok(there.fetch_all(&mut **tx).await?.into_iter().collect())
}
