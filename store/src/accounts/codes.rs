//! Codes by mail, from when one is asked for to its end. The workflow of a code has it drawn and mailed, and
//! lets it die; what is asked for is stored before that workflow is started.

use domain::{
    AccountCodeId, AccountId, Timestamp,
    account::{CODE_LIFE, Code, CodePurpose, MAX_WRONG},
    customer::Customer,
};
use uuid::Uuid;

use crate::{
    Db, Lease, Result, Tx,
    lease::{GRACE, put_off},
    random,
    retry::retry,
    sql,
};

/// Whom a code is for. Nobody: an address that nobody has registered, for which the same is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    Registration(AccountId),
    Account(AccountId),
    Nobody,
}

/// Stores that a code is to be mailed, in place of one that was before it. One for nobody costs as much time,
/// and is never mailed.
pub(super) async fn ask(
    tx: &mut Tx,
    purpose: CodePurpose,
    of: Of,
    at: Timestamp,
) -> Result<Option<AccountCodeId>> {
    let id = AccountCodeId::new(at, random());
    let (registration, account) = match of {
        Of::Registration(id) => (Some(id.uuid()), None),
        Of::Account(id) => (None, Some(id.uuid())),
        Of::Nobody => (None, None),
    };
    let is_mailed = registration.or(account).is_some();
    sqlx::query!(
        "DELETE FROM account_codes
         WHERE purpose = $1 AND used_at IS NULL AND (registration_id = $2 OR account_id = $3)",
        purpose.as_str(),
        registration,
        account
    )
    .execute(&mut **tx)
    .await?;
    let seed: [u8; 16] = random();
    sqlx::query!(
        "INSERT INTO account_codes (id, purpose, registration_id, account_id, requested_at, dispatch_after,
                                    workflow_started_at, seed)
         VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN NOT $7 THEN $5::timestamptz END, $8)",
        id.uuid(),
        purpose.as_str(),
        registration,
        account,
        sql(at) as _,
        sql(at.saturating_add(GRACE).unwrap_or(at)),
        is_mailed,
        &seed[..]
    )
    .execute(&mut **tx)
    .await?;
    Ok(is_mailed.then_some(id))
}

/// A mail to be written.
pub struct Mail {
    pub purpose: CodePurpose,
    /// None: the mail has none.
    pub code: Option<Code>,
    pub to: Customer,
    pub expires_at: Timestamp,
}

/// The code of a mail that is written now: the same at each try, and good from now on. None if the mail is
/// worth nothing any more.
#[tracing::instrument(name = "sql account_codes.draw", skip_all, err(level = "debug"))]
pub async fn draw(
    db: &Db,
    id: AccountCodeId,
    at: Timestamp,
    drawn: impl Fn(Uuid, &[u8]) -> (Code, Vec<u8>),
) -> Result<Option<Mail>> {
    let expires_at = at.saturating_add(CODE_LIFE).unwrap_or(at);
    retry(|| async {
        let mut tx = db.begin().await?;
        let mail = sqlx::query!(
            r#"SELECT purpose, seed, coalesce(r.customer, a.customer) AS "to!: Customer",
                      r.id IS NOT NULL AS "is_registration!"
               FROM account_codes c LEFT JOIN registrations r ON r.id = c.registration_id
                                    LEFT JOIN accounts a ON a.id = c.account_id
               WHERE c.id = $1 AND c.used_at IS NULL AND (r.id IS NOT NULL OR a.id IS NOT NULL)
               FOR NO KEY UPDATE OF c"#,
            id.uuid()
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(mail) = mail else { return Ok(None) };
        let code = mail.purpose.has_code().then(|| drawn(id.uuid(), &mail.seed));
        if let Some((_, hash)) = &code {
            sqlx::query!(
                "UPDATE account_codes SET code_hash = $2, expires_at = $3 WHERE id = $1",
                id.uuid(),
                hash,
                sql(expires_at)
            )
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
        }
        let code = code.map(|(code, _)| code);
        // What a stranger calls somebody is in no mail of ours.
        let to = if mail.is_registration { mail.to.without_name() } else { mail.to };
        Ok(Some(Mail { purpose: mail.purpose, code, to, expires_at }))
    })
    .await
}

/// What a code was used for, and whom to tell.
pub struct Used {
    pub purpose: CodePurpose,
    pub to: Customer,
    /// Whether they can sign in by it.
    pub has_password: bool,
}

/// Lets a code die. Whom to tell what it was used for.
#[tracing::instrument(name = "sql account_codes.end", skip_all, err(level = "debug"))]
pub async fn end(db: &Db, id: AccountCodeId) -> Result<Option<Used>> {
    let ended = sqlx::query!(
        r#"UPDATE account_codes c SET code_hash = NULL, expires_at = NULL
           FROM account_codes before LEFT JOIN accounts a ON a.id = before.account_id
           WHERE c.id = $1 AND before.id = c.id
           RETURNING c.purpose, c.used_at IS NOT NULL AS "is_used!", a.customer AS "customer?",
                     a.password_hash IS NOT NULL AS "has_password!""#,
        id.uuid()
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(ended
        .filter(|it| it.is_used)
        .and_then(|it| Some(Used { purpose: it.purpose, to: it.customer?, has_password: it.has_password })))
}

/// A code that may be what somebody typed.
pub(super) struct Live {
    pub id: AccountCodeId,
    pub registration: Option<AccountId>,
    pub account: Option<AccountId>,
    hash: Vec<u8>,
}

/// Which of the live codes of an address was typed. If none: each of them had one more wrong attempt, under
/// its lock, so that no number of guesses at once gets more than the others.
pub(super) async fn find(
    tx: &mut Tx,
    purpose: CodePurpose,
    email_key: &str,
    matches: impl Fn(Uuid, &[u8]) -> bool,
    at: Timestamp,
) -> Result<Option<Live>> {
    let live = sqlx::query_as!(
        Live,
        r#"SELECT c.id, c.registration_id AS registration, c.account_id AS account, c.code_hash AS "hash!"
           FROM account_codes c
           WHERE c.purpose = $1 AND c.used_at IS NULL AND c.expires_at > $3 AND c.wrong_attempts < $4
             AND c.code_hash IS NOT NULL
             AND (c.registration_id = ANY(ARRAY(SELECT id FROM registrations WHERE email_key = $2))
                  OR c.account_id = (SELECT id FROM accounts WHERE email_key = $2))
           ORDER BY c.id FOR NO KEY UPDATE"#,
        purpose.as_str(),
        email_key,
        sql(at) as _,
        MAX_WRONG
    )
    .fetch_all(&mut **tx)
    .await?;
    let ids: Vec<Uuid> = live.iter().map(|code| code.id.uuid()).collect();
    let found = live.into_iter().find(|code| matches(code.id.uuid(), &code.hash));
    if found.is_some() {
        return Ok(found);
    }
    if ids.is_empty() {
        // The commit takes as long as if there were a code.
        sqlx::query_scalar!("SELECT pg_logical_emit_message(true, 'holdfast', '')::text")
            .fetch_one(&mut **tx)
            .await?;
    } else {
        sqlx::query!("UPDATE account_codes SET wrong_attempts = wrong_attempts + 1 WHERE id = ANY($1)", &ids)
            .execute(&mut **tx)
            .await?;
    }
    Ok(None)
}

/// Notes that a code was used, and for which account.
pub(super) async fn use_up(
    tx: &mut Tx,
    code: AccountCodeId,
    account: AccountId,
    at: Timestamp,
) -> Result<()> {
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

/// Leases codes that have no workflow yet, and are not on their way by the ordinary road.
pub async fn claim_unstarted(db: &Db, lease: &Lease) -> Result<Vec<AccountCodeId>> {
    let leased = sqlx::query_scalar!(
        "WITH due AS (
             SELECT id FROM account_codes
             WHERE workflow_started_at IS NULL AND coalesce(dispatch_after, requested_at) < $1
             ORDER BY coalesce(dispatch_after, requested_at) LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
         )
         UPDATE account_codes SET dispatch_after = $3 WHERE id = ANY(ARRAY(SELECT id FROM due))
         RETURNING id",
        sql(lease.now),
        lease.limit,
        sql(lease.until)
    )
    .fetch_all(db.pool())
    .await?;
    Ok(leased)
}

/// Gives leased codes back, to be taken again after `until`.
pub async fn put_off_start(db: &Db, ids: &[AccountCodeId], until: Timestamp) -> Result<()> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    put_off!("account_codes", &ids, until).execute(db.pool()).await?;
    Ok(())
}

/// Notes that the engine has these codes.
pub async fn note_started(db: &Db, ids: &[AccountCodeId], at: Timestamp) -> Result<()> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "UPDATE account_codes SET workflow_started_at = $2
         WHERE id = ANY(ARRAY(SELECT id FROM account_codes WHERE id = ANY($1) AND workflow_started_at IS NULL
                      FOR NO KEY UPDATE SKIP LOCKED))",
        &ids,
        sql(at)
    )
    .execute(db.pool())
    .await?;
    Ok(())
}
