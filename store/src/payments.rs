//! Payment attempts, one row per try to collect money.

use domain::{OrderId, PaymentId, Timestamp, payment::PaymentReport};

use crate::{Db, Result, SqlTime, Tx, random, sql};

#[derive(Debug, Clone)]
pub struct Payment {
    pub id: PaymentId,
    pub provider: String,
    pub provider_payment_id: String,
    pub state: String,
    pub amount: i64,
    pub currency: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

type Row = (uuid::Uuid, String, String, String, i64, String, SqlTime, SqlTime);

/// Records what a provider reported. A failed attempt may still succeed, never the other way round.
/// False if nothing new was learnt.
pub(crate) async fn record(
    tx: &mut Tx<'_>,
    order: OrderId,
    report: &PaymentReport,
    at: Timestamp,
) -> Result<bool> {
    let recorded = sqlx::query(
        "INSERT INTO payments (id, order_id, provider, provider_payment_id, state, amount, currency,
                               created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
         ON CONFLICT (order_id, provider, provider_payment_id) DO UPDATE
             SET state = excluded.state, amount = excluded.amount, currency = excluded.currency,
                 updated_at = excluded.updated_at
             WHERE payments.state = 'failed' AND excluded.state = 'succeeded'",
    )
    .bind(PaymentId::new(at, random()).uuid())
    .bind(order.uuid())
    .bind(&report.provider)
    .bind(&report.payment_id)
    .bind(report.outcome.as_str())
    .bind(report.money.amount)
    .bind(report.money.currency.code())
    .bind(sql(at))
    .execute(&mut **tx)
    .await?;
    Ok(recorded.rows_affected() == 1)
}

/// All attempts of an order, oldest first.
pub async fn of_order(db: &Db, order: OrderId) -> Result<Vec<Payment>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, provider, provider_payment_id, state, amount, currency, created_at, updated_at
         FROM payments WHERE order_id = $1 ORDER BY id",
    )
    .bind(order.uuid())
    .fetch_all(db.pool())
    .await?;
    let payment =
        |(id, provider, provider_payment_id, state, amount, currency, created, updated): Row| Payment {
            id: PaymentId::from_uuid(id),
            provider,
            provider_payment_id,
            state,
            amount,
            currency,
            created_at: created.to_jiff(),
            updated_at: updated.to_jiff(),
        };
    Ok(rows.into_iter().map(payment).collect())
}
