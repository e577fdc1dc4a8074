//! Provider events, stored before they are answered. Whoever stored one tries to hand it to the
//! engine at once; the sweeper hands over what a crash or an outage left.

use domain::{
    OrderId, SignedDuration, Timestamp,
    money::{Currency, Money},
    payment::{Mismatch, Outcome, PaymentReport},
};

use crate::{Db, Error, Result, Tx, exceptions, sql};

/// A verified event.
#[derive(Debug, Clone)]
pub struct Event {
    pub provider: String,
    pub event_id: String,
    pub kind: String,
    pub body: Vec<u8>,
    /// What it says about a payment, if it does.
    pub payment: Option<Payment>,
}

/// A payment report and the order it names, if that is an order's id at all.
#[derive(Debug, Clone)]
pub struct Payment {
    pub order: Option<OrderId>,
    pub report: PaymentReport,
}

/// A stored event that the engine has not got yet.
#[derive(Debug, Clone)]
pub struct Pending {
    pub id: i64,
    pub order: OrderId,
    pub report: PaymentReport,
}

/// What became of an event.
#[derive(Debug)]
pub enum Stored {
    /// Known already; nothing was done.
    Repeated,
    /// Kept; nothing is to be done about it.
    Kept,
    /// Kept. It tells of money for no order of ours, which is an exception now.
    UnknownOrder,
    /// Kept, and to be handed to the engine.
    Pending(Pending),
}

/// Stores an event. Money that names no order of ours becomes an exception at once.
#[tracing::instrument(name = "sql inbox.store", skip_all, err(level = "debug"))]
pub async fn store(db: &Db, event: &Event, at: Timestamp) -> Result<Stored> {
    let order = event.payment.as_ref().and_then(|payment| payment.order);
    let report = event.payment.as_ref().map(|payment| &payment.report);
    let mut tx = db.begin().await?;
    let id: Option<i64> = sqlx::query_scalar(
        "INSERT INTO inbox (provider, event_id, type, body, received_at, order_id, payment_id, outcome,
                            amount, currency, settled_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CASE WHEN $6 IS NULL THEN $5 END)
         ON CONFLICT (provider, event_id) DO NOTHING RETURNING id",
    )
    .bind(&event.provider)
    .bind(&event.event_id)
    .bind(&event.kind)
    .bind(&event.body)
    .bind(sql(at))
    .bind(order.map(OrderId::uuid))
    .bind(report.map(|report| &report.payment_id))
    .bind(report.map(|report| report.outcome.as_str()))
    .bind(report.map(|report| report.money.amount))
    .bind(report.map(|report| report.money.currency.code()))
    .fetch_optional(&mut *tx)
    .await?;
    let Some(id) = id else {
        return Ok(Stored::Repeated);
    };
    let stored = match (order, report) {
        (Some(order), Some(report)) => Stored::Pending(Pending { id, order, report: report.clone() }),
        (None, Some(report)) if report.outcome == Outcome::Succeeded => {
            exceptions::raise(&mut tx, None, Mismatch::UnknownOrder, report, at).await?;
            Stored::UnknownOrder
        }
        _ => Stored::Kept,
    };
    tx.commit().await?;
    Ok(stored)
}

type Row = (i64, uuid::Uuid, String, String, String, String, i64, String);

/// An event that the engine had for this long without settling it was lost there: somebody terminated
/// the workflow that should have done so.
const LOST: SignedDuration = SignedDuration::from_mins(10);

/// Takes events that wait since before `received_before`, hidden from other sweepers until the
/// transaction ends.
pub async fn claim_pending(
    db: &Db,
    now: Timestamp,
    received_before: Timestamp,
    limit: i64,
) -> Result<(Tx<'static>, Vec<Pending>)> {
    let mut tx = db.begin().await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, order_id, provider, event_id, payment_id, outcome, amount, currency
         FROM inbox
         WHERE settled_at IS NULL AND received_at < $1 AND (dispatched_at IS NULL OR dispatched_at < $2)
         ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED",
    )
    .bind(sql(received_before))
    .bind(sql(now.saturating_sub(LOST).unwrap_or(now)))
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    let pending = rows.into_iter().map(pending).collect::<Result<_>>()?;
    Ok((tx, pending))
}

fn pending(row: Row) -> Result<Pending> {
    let (id, order, provider, event_id, payment_id, outcome, amount, currency) = row;
    let currency = Currency::parse(&currency).map_err(Error::corrupt)?;
    let report = PaymentReport {
        provider,
        event_id,
        payment_id,
        outcome: Outcome::from_store(&outcome),
        money: Money::new(amount, currency),
    };
    Ok(Pending { id, order: OrderId::from_uuid(order), report })
}

/// Notes that the engine has these events.
pub async fn mark_dispatched(tx: Option<Tx<'static>>, db: &Db, ids: &[i64], at: Timestamp) -> Result<()> {
    let mut tx = match tx {
        Some(tx) => tx,
        None => db.begin().await?,
    };
    sqlx::query("UPDATE inbox SET dispatched_at = $2 WHERE id = ANY($1)")
        .bind(ids)
        .bind(sql(at))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Notes that what an event says was acted on. A report that came by another way has no event.
pub(crate) async fn mark_settled(tx: &mut Tx<'_>, report: &PaymentReport, at: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE inbox SET settled_at = $3 WHERE provider = $1 AND event_id = $2 AND settled_at IS NULL",
    )
    .bind(&report.provider)
    .bind(&report.event_id)
    .bind(sql(at))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
