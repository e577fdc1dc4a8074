//! From a registration to an account.

use domain::{AccountCodeId, AccountId, SignedDuration, Timestamp, account::CodePurpose, customer::Customer};
use uuid::Uuid;

use super::{
    account_of,
    codes::{self, Of},
};
use crate::{Db, Result, Tx, locks, retry::retry, sql};

/// So many registrations with other passwords stand side by side for one address.
const MAX_SIDE_BY_SIDE: i64 = 3;
/// Mails of registrations are taken for one another, if they are not further apart.
const CONTESTED: SignedDuration = SignedDuration::from_hours(1);

/// Who registers. Their id is their account's, once it is verified.
pub struct Registration {
    pub id: AccountId,
    pub email_key: String,
    pub customer: Customer,
    pub password_hash: String,
}

/// The newest registration of an address, and its password.
#[tracing::instrument(name = "sql accounts.newest_registration", skip_all, err(level = "debug"))]
pub async fn newest_registration(db: &Db, email_key: &str) -> Result<Option<(AccountId, String)>> {
    let newest = sqlx::query!(
        "SELECT id, password_hash FROM registrations WHERE email_key = $1 ORDER BY id DESC LIMIT 1",
        email_key
    );
    Ok(newest.fetch_optional(db.pool()).await?.map(|it| (it.id, it.password_hash)))
}

/// Stores a registration, and, if a mail is to be sent, that its code is to be mailed. If the address has an
/// account, its owner is told of it instead. `same`: the registration that has the same password already.
#[tracing::instrument(name = "sql accounts.register", skip_all, err(level = "debug"))]
pub async fn register(
    db: &Db,
    new: &Registration,
    same: Option<AccountId>,
    is_mailed: bool,
    at: Timestamp,
) -> Result<Option<AccountCodeId>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        locks::email(&mut tx, &new.email_key).await?;
        let registration = insert(&mut tx, new, same, at).await?;
        let of_account = account_of(&mut tx, &new.email_key).await?.map(Of::Account);
        let code = match (is_mailed, of_account, registration) {
            (false, ..) => None,
            (true, Some(of), _) => codes::ask(&mut tx, CodePurpose::AlreadyRegistered, of, at).await?,
            (true, None, Some(id)) => {
                codes::ask(&mut tx, CodePurpose::VerifyEmail, Of::Registration(id), at).await?
            }
            (true, None, None) => None,
        };
        tx.commit().await?;
        Ok(code)
    })
    .await
}

/// Which registration it is now; none if too many others stand there.
async fn insert(
    tx: &mut Tx,
    new: &Registration,
    same: Option<AccountId>,
    at: Timestamp,
) -> Result<Option<AccountId>> {
    let registration = sqlx::query_scalar!(
        r#"WITH same AS (
               UPDATE registrations SET registered_at = $5 WHERE id = $6 AND email_key = $2 RETURNING id
           ), new AS (
               INSERT INTO registrations (id, email_key, customer, password_hash, registered_at)
               SELECT $1, $2, $3, $4, $5
               WHERE NOT EXISTS (SELECT FROM same)
                 AND (SELECT count(*) FROM registrations WHERE email_key = $2) < $7
               RETURNING id
           )
           SELECT id AS "id!: AccountId" FROM same UNION ALL SELECT id FROM new"#,
        new.id.uuid(),
        new.email_key,
        &new.customer as _,
        new.password_hash,
        sql(at) as _,
        same.map(AccountId::uuid),
        MAX_SIDE_BY_SIDE
    );
    Ok(registration.fetch_optional(&mut **tx).await?)
}

/// Asks for another code of the newest registration of an address.
#[tracing::instrument(name = "sql accounts.resend", skip_all, err(level = "debug"))]
pub async fn resend(db: &Db, email_key: &str, at: Timestamp) -> Result<Option<AccountCodeId>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        locks::email(&mut tx, email_key).await?;
        let newest = sqlx::query_scalar!(
            "SELECT id FROM registrations
             WHERE email_key = $1 AND NOT EXISTS (SELECT FROM accounts WHERE email_key = $1)
             ORDER BY id DESC LIMIT 1",
            email_key
        );
        let of = newest.fetch_optional(&mut *tx).await?.map_or(Of::Nobody, Of::Registration);
        let code = codes::ask(&mut tx, CodePurpose::VerifyEmail, of, at).await?;
        tx.commit().await?;
        Ok(code)
    })
    .await
}

/// A registration whose code was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    pub account: AccountId,
    pub code: AccountCodeId,
    /// Whether the account has the password of its registration.
    pub has_password: bool,
}

/// Makes an account of the registration whose code was typed. None if there is no such code.
///
/// Who typed it has the mailbox. If registrations with other passwords stand beside it, nobody can say whose
/// mail it was that they read: then the account has no password, until its owner chooses one by another code.
#[tracing::instrument(name = "sql accounts.verify", skip_all, err(level = "debug"))]
pub async fn verify(
    db: &Db,
    email_key: &str,
    matches: impl Fn(Uuid, &[u8]) -> bool,
    at: Timestamp,
) -> Result<Option<Verified>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        locks::email(&mut tx, email_key).await?;
        let found = codes::find(&mut tx, CodePurpose::VerifyEmail, email_key, &matches, at).await?;
        let verified = match found.and_then(|code| Some((code.registration?, code.id))) {
            Some((registration, code)) => open(&mut tx, registration, code, at).await?,
            None => None,
        };
        tx.commit().await?;
        Ok(verified)
    })
    .await
}

async fn open(
    tx: &mut Tx,
    registration: AccountId,
    code: AccountCodeId,
    at: Timestamp,
) -> Result<Option<Verified>> {
    let opened = sqlx::query!(
        r#"INSERT INTO accounts (id, email_key, customer, password_hash, verified_at, password_changed_at)
           SELECT id, email_key, customer,
                  CASE WHEN NOT EXISTS (SELECT FROM registrations other
                                        WHERE other.email_key = r.email_key AND other.id <> r.id
                                          AND other.registered_at > $3)
                       THEN password_hash END,
                  $2, registered_at
           FROM registrations r WHERE id = $1
           ON CONFLICT (email_key) DO NOTHING
           RETURNING email_key, password_hash IS NOT NULL AS "has_password!""#,
        registration.uuid(),
        sql(at) as _,
        sql(at.saturating_sub(CONTESTED).unwrap_or(at)) as _
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(opened) = opened else { return Ok(None) };
    codes::use_up(tx, code, registration, at).await?;
    // Whoever else registered the address has not shown that it is theirs.
    sqlx::query!("DELETE FROM registrations WHERE email_key = $1", opened.email_key)
        .execute(&mut **tx)
        .await?;
    Ok(Some(Verified { account: registration, code, has_password: opened.has_password }))
}
