//! Money that is stored before its order's workflow hears of it.

use domain::{
    OrderId,
    money::Money,
    payment::{Outcome, PaymentReport},
};
use sqlx::PgExecutor;

use crate::{Db, Result};

/// Money for an order that is stored, and that its workflow has not heard of yet: the engine was away.
pub async fn waiting_money(db: &Db, order: OrderId) -> Result<Vec<PaymentReport>> {
    money_that_waits(db.pool(), order).await
}

pub(crate) async fn money_that_waits(
    from: impl PgExecutor<'_>,
    order: OrderId,
) -> Result<Vec<PaymentReport>> {
    let reports = sqlx::query!(
        r#"SELECT provider, event_id, payment_id AS "payment_id!", amount AS "amount!",
                  currency AS "currency!" FROM inbox
           WHERE order_id = $1 AND settled_at IS NULL AND outcome = 'succeeded' ORDER BY id"#,
        order.uuid()
    )
    .map(|row| PaymentReport {
        provider: row.provider,
        event_id: row.event_id,
        payment_id: row.payment_id,
        outcome: Outcome::Succeeded,
        money: Money::new(row.amount, row.currency),
    });
    Ok(reports.fetch_all(from).await?)
}
