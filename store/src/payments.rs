//! Payment attempts, one row per try to collect money: those we open at a provider, and those a provider
//! tells us of.

mod applied;

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    OrderId, PaymentId, Timestamp,
    money::Money,
    order::Status,
    payment::{PaymentReport, PaymentState},
};
use serde_json::Value;

use crate::{Db, Fault, Result, Tx, locks, or_fault, orders::Capture, random, retry::retry, sql};

pub(crate) use applied::{apply, apply_more, captured, is_replaced, pays};

/// A try to collect money for an order.
#[derive(Debug, Clone)]
pub struct Payment {
    pub id: PaymentId,
    pub order: OrderId,
    pub provider: String,
    /// Not known while the provider is being asked.
    pub provider_payment_id: Option<String>,
    pub state: PaymentState,
    /// The provider's own word for it.
    pub state_text: String,
    pub money: Money,
    /// What of it pays the order.
    pub applied: i64,
    pub expires_at: Option<Timestamp>,
    pub captured_at: Option<Timestamp>,
    /// What the payer's client needs, while the attempt is open.
    pub client: Option<Value>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Why no attempt was begun.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such order")]
    NotFound,
    #[error("the order is {0}")]
    WrongStatus(Status),
    #[error("the idempotency key was used before with another request")]
    KeyReused,
    #[error(transparent)]
    Fault(Fault),
}
or_fault!(Error);

/// A statement that gives payments, from before its columns to what follows them.
macro_rules! payments {
    ($begin:literal, $end:literal $(, $arguments:expr)+) => {
        sqlx::query!(
            $begin
                + " id, order_id, provider, provider_payment_id, state, state_text, amount, currency, applied,
                    expires_at, captured_at, client, created_at, updated_at "
                + $end
            $(, $arguments)+
        )
        .map(|row| Payment {
            id: row.id,
            order: row.order_id,
            provider: row.provider,
            provider_payment_id: row.provider_payment_id,
            state: row.state,
            state_text: row.state_text,
            money: Money::new(row.amount, row.currency),
            applied: row.applied,
            expires_at: row.expires_at.map(|at| at.to_jiff()),
            captured_at: row.captured_at.map(|at| at.to_jiff()),
            client: row.client,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
        })
    };
}

/// Records what providers reported, each of another order, and what of it pays the order, as far as that is
/// known. Only success is news about an attempt that we know. Gives the payments of which something new was
/// learnt.
pub(crate) async fn record(
    tx: &mut Tx,
    captures: &[(&Capture<'_>, i64)],
) -> Result<BTreeMap<OrderId, PaymentId>> {
    let column =
        |of: fn(&PaymentReport) -> &str| captures.iter().map(|(it, _)| of(it.report)).collect::<Vec<_>>();
    let recorded = sqlx::query!(
        "INSERT INTO payments (id, order_id, provider, provider_payment_id, state, state_text, amount,
                               currency, applied, created_at, updated_at, captured_at)
         SELECT id, order_id, provider, payment_id, outcome, outcome, amount, currency, applied, at, at,
                CASE WHEN outcome = 'succeeded' THEN at END
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],
                     $8::bigint[], $9::timestamptz[])
              AS r (id, order_id, provider, payment_id, outcome, amount, currency, applied, at)
         ON CONFLICT (order_id, provider, provider_payment_id) DO UPDATE
             SET state = excluded.state, state_text = excluded.state_text, amount = excluded.amount,
                 currency = excluded.currency, applied = excluded.applied,
                 captured_at = excluded.captured_at, updated_at = excluded.updated_at, client = NULL
             WHERE payments.state <> 'succeeded' AND excluded.state = 'succeeded'
         RETURNING order_id, id",
        &captures.iter().map(|(it, _)| PaymentId::new(it.at, random()).uuid()).collect::<Vec<_>>(),
        &captures.iter().map(|(it, _)| it.order.id.uuid()).collect::<Vec<_>>(),
        column(|report| &report.provider) as _,
        column(|report| &report.payment_id) as _,
        column(|report| report.outcome.as_str()) as _,
        &captures.iter().map(|(it, _)| it.report.money.amount).collect::<Vec<_>>(),
        column(|report| report.money.currency.code()) as _,
        &captures.iter().map(|(_, applied)| *applied).collect::<Vec<_>>(),
        captures.iter().map(|(it, _)| sql(it.at)).collect::<Vec<_>>() as _
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(recorded.into_iter().map(|payment| (payment.order_id, payment.id)).collect())
}

/// Begins an attempt for all that is still due of an unpaid order, before its provider is asked. An attempt
/// that was open is superseded: it is `closing` from here on. The same key gives the same attempt.
#[tracing::instrument(name = "sql payments.begin", skip_all, err(level = "debug"))]
pub async fn begin(
    db: &Db,
    order: OrderId,
    provider: &str,
    key: Option<&str>,
    at: Timestamp,
) -> Result<Payment, Error> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let locked = locks::order_if_known(&mut tx, order).await?.ok_or(Error::NotFound)?;
        if let Some(key) = key
            && let Some(payment) = replay(&mut tx, order, key).await?
        {
            return Ok(payment);
        }
        if locked.status != Status::AwaitingPayment || locked.is_too_late(at) {
            return Err(Error::WrongStatus(locked.status));
        }
        sqlx::query!(
            "UPDATE payments SET state = 'closing', client = NULL, updated_at = $2
             WHERE order_id = $1 AND state IN ('opening', 'open')",
            order.uuid(),
            sql(at)
        )
        .execute(&mut *tx)
        .await?;
        let begun = payments!(
            "INSERT INTO payments (id, order_id, provider, state, amount, currency, expires_at,
                                   idempotency_key, created_at, updated_at)
             VALUES ($1, $2, $3, 'opening', $4, $5, $6, $7, $8, $8)
             ON CONFLICT (idempotency_key) DO NOTHING RETURNING",
            "",
            PaymentId::new(at, random()).uuid(),
            order.uuid(),
            provider,
            locked.due().amount,
            locked.currency.code(),
            sql(locked.payment_due_at),
            key,
            sql(at)
        );
        // Our order is locked: whoever took the key since we looked did so for another one.
        let begun = begun.fetch_optional(&mut *tx).await?.ok_or(Error::KeyReused)?;
        tx.commit().await?;
        Ok(begun)
    })
    .await
}

async fn replay(tx: &mut Tx, order: OrderId, key: &str) -> Result<Option<Payment>, Error> {
    match payments!("SELECT", "FROM payments WHERE idempotency_key = $1", key)
        .fetch_optional(&mut **tx)
        .await?
    {
        Some(payment) if payment.order != order => Err(Error::KeyReused),
        payment => Ok(payment),
    }
}

/// Notes that the provider has opened an attempt. One that was superseded meanwhile stays `closing`. If the
/// provider told of it before it answered us, its own entry is the attempt, and ours stands aside.
pub async fn opened(
    db: &Db,
    payment: &Payment,
    provider_payment_id: &str,
    state_text: &str,
    client: &Value,
    at: Timestamp,
) -> Result<Payment> {
    retry(|| async {
        let mut tx = db.begin().await?;
        // As `record` does: only one of us sees the other's absence.
        locks::order(&mut tx, payment.order).await?;
        let told = stand_aside(&mut tx, payment, provider_payment_id, at).await?;
        let opened = match told {
            Some(told) => told,
            None => {
                payments!(
                    "UPDATE payments SET provider_payment_id = $2, state_text = $3, updated_at = $5,
                            state = CASE state WHEN 'opening' THEN 'open' ELSE state END,
                            client = CASE state WHEN 'opening' THEN $4 ELSE client END
                     WHERE id = $1 RETURNING",
                    "",
                    payment.id.uuid(),
                    provider_payment_id,
                    state_text,
                    client,
                    sql(at)
                )
                .fetch_one(&mut *tx)
                .await?
            }
        };
        tx.commit().await?;
        Ok(opened)
    })
    .await
}

/// The entry that a provider's event made of our attempt, if there is one: it gets our key, and we are
/// closed.
async fn stand_aside(
    tx: &mut Tx,
    ours: &Payment,
    provider_payment_id: &str,
    at: Timestamp,
) -> Result<Option<Payment>> {
    let told = sqlx::query_scalar!(
        "SELECT id FROM payments
         WHERE order_id = $1 AND provider = $2 AND provider_payment_id = $3 AND id <> $4",
        ours.order.uuid(),
        ours.provider,
        provider_payment_id,
        ours.id.uuid()
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(told) = told else { return Ok(None) };
    let key = sqlx::query_scalar!(
        "SELECT idempotency_key FROM payments WHERE id = $1 FOR NO KEY UPDATE",
        ours.id.uuid()
    )
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE payments SET state = 'failed', state_text = $2, idempotency_key = NULL, client = NULL,
                updated_at = $3
         WHERE id = $1",
        ours.id.uuid(),
        format!("the provider told of it: {told}"),
        sql(at)
    )
    .execute(&mut **tx)
    .await?;
    let told = payments!(
        "UPDATE payments SET idempotency_key = coalesce(idempotency_key, $2) WHERE id = $1 RETURNING",
        "",
        told.uuid(),
        key
    );
    Ok(Some(told.fetch_one(&mut **tx).await?))
}

/// Notes that an attempt will bring no money: it failed, or was cancelled. What was captured stays captured.
pub async fn close(
    db: &Db,
    id: PaymentId,
    state: PaymentState,
    state_text: &str,
    at: Timestamp,
) -> Result<()> {
    sqlx::query!(
        "UPDATE payments SET state = $2, state_text = $3, client = NULL, updated_at = $4
         WHERE id = $1 AND state IN ('opening', 'open', 'closing')",
        id.uuid(),
        state.as_str(),
        state_text,
        sql(at)
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Notes the provider's own word for the state of an attempt.
pub async fn note_state_text(db: &Db, id: PaymentId, text: &str, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "UPDATE payments SET state_text = $2, updated_at = $3 WHERE id = $1 AND state_text <> $2",
        id.uuid(),
        text,
        sql(at)
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// The attempts of an order that could still bring money.
pub async fn unfinished(db: &Db, order: OrderId) -> Result<Vec<Payment>> {
    let unfinished = payments!(
        "SELECT",
        "FROM payments WHERE order_id = $1 AND state IN ('opening', 'open', 'closing') ORDER BY id",
        order.uuid()
    );
    Ok(unfinished.fetch_all(db.pool()).await?)
}

/// Those of the orders that an attempt could still bring money for.
pub(crate) async fn with_unfinished(tx: &mut Tx, orders: &[OrderId]) -> Result<BTreeSet<OrderId>> {
    let orders: Vec<_> = orders.iter().map(|id| id.uuid()).collect();
    let unfinished = sqlx::query_scalar!(
        "SELECT order_id FROM payments WHERE order_id = ANY($1) AND state IN ('opening', 'open', 'closing')",
        &orders
    );
    Ok(unfinished.fetch_all(&mut **tx).await?.into_iter().collect())
}

/// Gives up the attempts of which the provider does not say what became.
pub(crate) async fn give_up(tx: &mut Tx, order: OrderId, at: Timestamp) -> Result<Vec<Payment>> {
    let given_up = payments!(
        "UPDATE payments SET state = 'failed', state_text = 'the provider did not say', client = NULL,
                updated_at = $2
         WHERE order_id = $1 AND state IN ('opening', 'open', 'closing') RETURNING",
        "",
        order.uuid(),
        sql(at)
    );
    Ok(given_up.fetch_all(&mut **tx).await?)
}

/// An attempt to pay this order.
pub async fn get(db: &Db, order: OrderId, id: PaymentId) -> Result<Option<Payment>> {
    let payment =
        payments!("SELECT", "FROM payments WHERE id = $1 AND order_id = $2", id.uuid(), order.uuid());
    Ok(payment.fetch_optional(db.pool()).await?)
}

/// All attempts of an order, and what paid it in place of another, oldest first.
pub async fn of_order(db: &Db, order: OrderId) -> Result<Vec<Payment>> {
    let payments =
        payments!("SELECT", "FROM payments WHERE order_id = $1 OR pays_order = $1 ORDER BY id", order.uuid());
    Ok(payments.fetch_all(db.pool()).await?)
}
