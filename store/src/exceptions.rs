//! Exceptions: money that no rule could settle. Never silent, raised once.

use domain::{
    ExceptionId, OrderId, Timestamp,
    payment::{Mismatch, PaymentReport},
};
use serde_json::json;

use crate::{Result, Tx, random, sql, timeline};

/// Raises an exception about a payment, and shows it on the order's timeline. Repeats do nothing.
pub(crate) async fn raise(
    tx: &mut Tx<'_>,
    order: Option<OrderId>,
    kind: Mismatch,
    report: &PaymentReport,
    at: Timestamp,
) -> Result<()> {
    let id = ExceptionId::new(at, random());
    let data = json!({
        "kind": kind,
        "provider": report.provider,
        "payment_id": report.payment_id,
        "amount": report.money.amount,
        "currency": report.money.currency,
    });
    let raised = sqlx::query(
        "INSERT INTO exceptions (id, order_id, kind, source, data, state, raised_at)
         VALUES ($1, $2, $3, $4, $5, 'open', $6) ON CONFLICT (kind, source) DO NOTHING",
    )
    .bind(id.uuid())
    .bind(order.map(OrderId::uuid))
    .bind(kind.as_str())
    .bind(source(order, report))
    .bind(&data)
    .bind(sql(at))
    .execute(&mut **tx)
    .await?;
    if let (1, Some(order)) = (raised.rows_affected(), order) {
        let mut data = data;
        data["exception_id"] = json!(id);
        timeline::append(tx, order, at, &[("exception.raised", data)]).await?;
    }
    Ok(())
}

/// Whether an exception was raised about a payment.
pub(crate) async fn is_about(tx: &mut Tx<'_>, order: OrderId, report: &PaymentReport) -> Result<bool> {
    let exists = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM exceptions WHERE source = $1)");
    Ok(exists.bind(source(Some(order), report)).fetch_one(&mut **tx).await?)
}

/// What the exception is about: one provider payment, for one order.
fn source(order: Option<OrderId>, report: &PaymentReport) -> String {
    let order = order.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
    format!("{order}/{}/{}", report.provider, report.payment_id)
}
