//! Erasing accounts, and forgetting what is of no use any more.

use domain::{
    AccountId, SignedDuration, Timestamp,
    account::{REGISTRATION_LIFE, SESSION_LIFE},
};

use crate::{Db, Result, Tx, locks, retry::retry, sql};

/// Codes are told of for so long.
const CODES_KEPT: SignedDuration = SignedDuration::from_hours(24);
/// So long a request may be under way that knew the account still.
const REQUESTS_END: SignedDuration = SignedDuration::from_hours(1);

/// Erases an account with all that stands for it, and who placed what ends, or has ended, without money. What
/// was paid keeps the name and the address, as its invoice does (docs/adr/0038). False if there is none.
#[tracing::instrument(name = "sql accounts.delete", skip_all, err(level = "debug"))]
pub async fn delete(db: &Db, id: AccountId, at: Timestamp) -> Result<bool> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let email_key = sqlx::query_scalar!("SELECT email_key FROM accounts WHERE id = $1", id.uuid());
        let Some(email_key) = email_key.fetch_optional(&mut *tx).await? else { return Ok(false) };
        locks::email(&mut tx, &email_key).await?;
        sqlx::query!("DELETE FROM registrations WHERE email_key = $1", email_key).execute(&mut *tx).await?;
        let erased = sqlx::query!("DELETE FROM accounts WHERE id = $1", id.uuid()).execute(&mut *tx).await?;
        sqlx::query!(
            "INSERT INTO erasures (account_id, erased_at) VALUES ($1, $2)
             ON CONFLICT (account_id) DO NOTHING",
            id.uuid(),
            sql(at) as _
        )
        .execute(&mut *tx)
        .await?;
        erase_in_orders(&mut tx, &[id.to_string()]).await?;
        tx.commit().await?;
        Ok(erased.rows_affected() == 1)
    })
    .await
}

async fn erase_in_orders(tx: &mut Tx, customers: &[String]) -> Result<()> {
    sqlx::query!(
        "UPDATE orders SET customer = jsonb_build_object('id', customer_id, 'email', 'erased@erased.invalid'),
                cause = NULL
         WHERE id = ANY(ARRAY(SELECT id FROM orders
                              WHERE customer_id = ANY($1) AND status IN ('cancelled', 'expired')
                                AND payment_status = 'unpaid'
                                AND customer ->> 'email' <> 'erased@erased.invalid'
                              ORDER BY id FOR NO KEY UPDATE))",
        customers
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets registrations that nobody verified, codes, sessions and limits of before, and who placed what has
/// ended since its account was erased.
pub async fn forget(db: &Db, at: Timestamp) -> Result<()> {
    let before = |life| sql(at.saturating_sub(life).unwrap_or(at));
    let pool = db.pool();
    sqlx::query!("DELETE FROM registrations WHERE registered_at < $1", before(REGISTRATION_LIFE))
        .execute(pool)
        .await?;
    sqlx::query!("DELETE FROM account_codes WHERE requested_at < $1", before(CODES_KEPT))
        .execute(pool)
        .await?;
    sqlx::query!("DELETE FROM sessions WHERE refreshed_at < $1", before(SESSION_LIFE)).execute(pool).await?;
    sqlx::query!("DELETE FROM rate_limits WHERE ends_at < $1", sql(at)).execute(pool).await?;
    retry(|| async {
        let mut tx = db.begin().await?;
        let erased = sqlx::query!("SELECT account_id, erased_at FROM erasures").fetch_all(&mut *tx).await?;
        if erased.is_empty() {
            return Ok(());
        }
        let customer = |id| AccountId::from_uuid(id).to_string();
        let customers: Vec<String> = erased.iter().map(|it| customer(it.account_id)).collect();
        erase_in_orders(&mut tx, &customers).await?;
        sqlx::query!(
            "DELETE FROM erasures e USING unnest($1::uuid[], $2::text[]) AS c (account_id, customer_id)
             WHERE e.account_id = c.account_id AND e.erased_at < $3
               AND NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.customer_id
                                                      AND o.status IN ('awaiting_payment', 'paid'))",
            &erased.iter().map(|it| it.account_id).collect::<Vec<_>>(),
            &customers,
            before(REQUESTS_END) as _
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    })
    .await
}
