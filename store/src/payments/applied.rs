//! What captured money pays: its own order, another one in its place, or none.

use domain::{OrderId, PaymentId, money::Money};

use crate::{Result, Tx};

/// Notes that captured money pays an order: its own, or the one that took its place.
pub(crate) async fn apply(tx: &mut Tx, id: PaymentId, amount: i64, instead: Option<OrderId>) -> Result<()> {
    sqlx::query!(
        "UPDATE payments SET applied = $2, pays_order = $3 WHERE id = $1",
        id.uuid(),
        amount,
        instead.map(OrderId::uuid)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that more of captured money pays its order.
pub(crate) async fn apply_more(tx: &mut Tx, id: PaymentId, amount: i64) -> Result<()> {
    sqlx::query!(
        "UPDATE payments SET applied = applied + $2, pays_order = NULL WHERE id = $1",
        id.uuid(),
        amount
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a payment of ours captured.
pub(crate) async fn captured(tx: &mut Tx, id: PaymentId) -> Result<Money> {
    let captured = sqlx::query!(
        "SELECT amount, currency FROM payments WHERE id = $1 AND state = 'succeeded'",
        id.uuid()
    )
    .map(|payment| Money::new(payment.amount, payment.currency));
    Ok(captured.fetch_one(&mut **tx).await?)
}

/// Whether this very payment pays the order.
pub(crate) async fn pays(
    tx: &mut Tx,
    order: OrderId,
    provider: &str,
    provider_payment_id: &str,
) -> Result<bool> {
    let pays = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM payments
                          WHERE order_id = $1 AND provider = $2 AND provider_payment_id = $3
                            AND applied > 0 AND pays_order IS NULL) AS "pays!""#,
        order.uuid(),
        provider,
        provider_payment_id
    );
    Ok(pays.fetch_one(&mut **tx).await?)
}

/// Whether money for this order, which had ended, pays another in its place.
pub(crate) async fn is_replaced(tx: &mut Tx, order: OrderId) -> Result<bool> {
    let is_replaced = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM payments WHERE order_id = $1 AND pays_order IS NOT NULL)
           AS "is_replaced!""#,
        order.uuid()
    );
    Ok(is_replaced.fetch_one(&mut **tx).await?)
}
