//! Accounts of customers. Nothing in here is answered in another way, or another time, for an address that has
//! an account than for one that has none: who asks learns of its mailbox alone what there is.

pub mod codes;
pub mod limits;
pub mod sessions;

use domain::{
    AccountCodeId, AccountId, Timestamp,
    account::{CodePurpose, REGISTRATION_LIFE},
    customer::Customer,
};
use uuid::Uuid;

use crate::{Db, Result, Tx, retry::retry, sql};
use codes::Of;

/// Who registers. Their id is their account's, once it is verified.
pub struct Registration {
    pub id: AccountId,
    pub email_key: String,
    pub customer: Customer,
    pub password_hash: String,
}

/// Stores a registration, and that its code is to be mailed; if the address has an account, that its owner is to
/// be told of it.
#[tracing::instrument(name = "sql accounts.register", skip_all, err(level = "debug"))]
pub async fn register(db: &Db, new: &Registration, at: Timestamp) -> Result<Option<AccountCodeId>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let known = account_of(&mut tx, &new.email_key).await?;
        // Also in vain, so that both take as long.
        sqlx::query!(
            "INSERT INTO registrations (id, email_key, customer, password_hash, registered_at)
             SELECT $1, $2, $3, $4, $5 WHERE NOT $6",
            new.id.uuid(),
            new.email_key,
            &new.customer as _,
            new.password_hash,
            sql(at) as _,
            known.is_some()
        )
        .execute(&mut *tx)
        .await?;
        let code = match known {
            Some(account) => {
                codes::ask(&mut tx, CodePurpose::AlreadyRegistered, Of::Account(account), at).await?
            }
            None => codes::ask(&mut tx, CodePurpose::VerifyEmail, Of::Registration(new.id), at).await?,
        };
        tx.commit().await?;
        Ok(code)
    })
    .await
}

/// Asks for another code of the newest registration of an address.
#[tracing::instrument(name = "sql accounts.resend", skip_all, err(level = "debug"))]
pub async fn resend(db: &Db, email_key: &str, at: Timestamp) -> Result<Option<AccountCodeId>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let newest = sqlx::query_scalar!(
            "SELECT id FROM registrations WHERE email_key = $1 ORDER BY id DESC LIMIT 1",
            email_key
        );
        let of = newest.fetch_optional(&mut *tx).await?.map_or(Of::Nobody, Of::Registration);
        let code = codes::ask(&mut tx, CodePurpose::VerifyEmail, of, at).await?;
        tx.commit().await?;
        Ok(code)
    })
    .await
}

/// Asks for a code to reset a password.
#[tracing::instrument(name = "sql accounts.ask_reset", skip_all, err(level = "debug"))]
pub async fn ask_reset(db: &Db, email_key: &str, at: Timestamp) -> Result<Option<AccountCodeId>> {
    retry(|| async {
        let mut tx = db.begin().await?;
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

/// Makes an account of the registration whose code was typed. None if there is no such code.
#[tracing::instrument(name = "sql accounts.verify", skip_all, err(level = "debug"))]
pub async fn verify(
    db: &Db,
    email_key: &str,
    matches: impl Fn(Uuid, &[u8]) -> bool,
    at: Timestamp,
) -> Result<Option<(AccountId, AccountCodeId)>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let found = codes::find(&mut tx, CodePurpose::VerifyEmail, email_key, &matches, at).await?;
        let verified = found.and_then(|code| Some((code.registration?, code.id)));
        if let Some((registration, code)) = verified {
            sqlx::query!(
                "INSERT INTO accounts (id, email_key, customer, password_hash, verified_at, password_changed_at)
                 SELECT id, email_key, customer, password_hash, $2, registered_at FROM registrations WHERE id = $1",
                registration.uuid(),
                sql(at) as _
            )
            .execute(&mut *tx)
            .await?;
            use_up(&mut tx, code, registration, at).await?;
            // Whoever else registered the address has not shown that it is theirs.
            sqlx::query!("DELETE FROM registrations WHERE email_key = $1", email_key)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(verified)
    })
    .await
}

async fn use_up(tx: &mut Tx, code: AccountCodeId, account: AccountId, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "UPDATE account_codes SET used_at = $2, code_hash = NULL, registration_id = NULL, account_id = $3
         WHERE id = $1",
        code.uuid(),
        sql(at),
        account.uuid()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
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
        let found = codes::find(&mut tx, CodePurpose::ResetPassword, email_key, &matches, at).await?;
        let reset = found.and_then(|code| Some((code.account?, code.id)));
        if let Some((account, code)) = reset {
            set_password(&mut tx, account, password_hash, at).await?;
            use_up(&mut tx, code, account, at).await?;
        }
        tx.commit().await?;
        Ok(reset)
    })
    .await
}

/// Sets another password. All sessions end.
#[tracing::instrument(name = "sql accounts.change_password", skip_all, err(level = "debug"))]
pub async fn change_password(db: &Db, id: AccountId, password_hash: &str, at: Timestamp) -> Result<()> {
    retry(|| async {
        let mut tx = db.begin().await?;
        set_password(&mut tx, id, password_hash, at).await?;
        Ok(tx.commit().await?)
    })
    .await
}

async fn set_password(tx: &mut Tx, id: AccountId, password_hash: &str, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "UPDATE accounts SET password_hash = $2, password_changed_at = $3 WHERE id = $1",
        id.uuid(),
        password_hash,
        sql(at) as _
    )
    .execute(&mut **tx)
    .await?;
    sessions::end_all_in(tx, id, at).await
}

/// What signing in needs to know of an address.
pub struct Credentials {
    pub id: AccountId,
    pub password_hash: String,
    pub is_verified: bool,
}

/// Of an account, or of the newest registration of its address.
#[tracing::instrument(name = "sql accounts.credentials", skip_all, err(level = "debug"))]
pub async fn credentials(db: &Db, email_key: &str) -> Result<Option<Credentials>> {
    let found = sqlx::query_as!(
        Credentials,
        r#"(SELECT id AS "id!: AccountId", password_hash AS "password_hash!", true AS "is_verified!" FROM accounts
            WHERE email_key = $1)
           UNION ALL
           (SELECT id, password_hash, false FROM registrations WHERE email_key = $1 ORDER BY id DESC LIMIT 1)
           LIMIT 1"#,
        email_key
    );
    Ok(found.fetch_optional(db.pool()).await?)
}

/// An account, as its owner sees it.
pub struct Account {
    pub customer: Customer,
    pub password_hash: String,
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

/// Erases an account with all that stands for it, and who placed what was never paid for. What was paid keeps
/// the name and the address, as its invoice does (docs/adr/0038).
#[tracing::instrument(name = "sql accounts.delete", skip_all, err(level = "debug"))]
pub async fn delete(db: &Db, id: AccountId) -> Result<()> {
    retry(|| async {
        let mut tx = db.begin().await?;
        sqlx::query!("DELETE FROM accounts WHERE id = $1", id.uuid()).execute(&mut *tx).await?;
        sqlx::query!(
            "UPDATE orders SET customer = jsonb_build_object('id', customer_id, 'email', 'erased@erased.invalid')
             WHERE customer_id = $1 AND status IN ('cancelled', 'expired') AND payment_status = 'unpaid'",
            id.to_string()
        )
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    })
    .await
}

/// Forgets what is of no use any more: registrations that nobody verified, codes, sessions and limits of before.
pub async fn forget(db: &Db, at: Timestamp) -> Result<()> {
    let before = |life| sql(at.saturating_sub(life).unwrap_or(at));
    let pool = db.pool();
    let registrations = before(REGISTRATION_LIFE);
    sqlx::query!("DELETE FROM registrations WHERE registered_at < $1", registrations).execute(pool).await?;
    let codes = before(domain::SignedDuration::from_hours(24));
    sqlx::query!("DELETE FROM account_codes WHERE requested_at < $1", codes).execute(pool).await?;
    let sessions = before(domain::account::SESSION_LIFE);
    sqlx::query!("DELETE FROM sessions WHERE refreshed_at < $1", sessions).execute(pool).await?;
    sqlx::query!("DELETE FROM rate_limits WHERE ends_at < $1", sql(at)).execute(pool).await?;
    Ok(())
}
