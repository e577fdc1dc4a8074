//! Money that is stored before its order's workflow hears of it.

use domain::{
    OrderId,
    money::{Currency, Money},
    payment::{Outcome, PaymentReport},
};
use sqlx::PgExecutor;

use crate::{Db, Error, Result};

/// Money for an order that is stored, and that its workflow has not heard of yet: the engine was away.
pub async fn waiting_money(db: &Db, order: OrderId) -> Result<Vec<PaymentReport>> {
    money_that_waits(db.pool(), order).await
}

pub(crate) async fn money_that_waits(
    from: impl PgExecutor<'_>,
    order: OrderId,
) -> Result<Vec<PaymentReport>> {
    let rows: Vec<(String, String, String, i64, String)> = sqlx::query_as(
        "SELECT provider, event_id, payment_id, amount, currency::text FROM inbox
         WHERE order_id = $1 AND settled_at IS NULL AND outcome = 'succeeded' ORDER BY id",
    )
    .bind(order.uuid())
    .fetch_all(from)
    .await?;
    let report = |(provider, event_id, payment_id, amount, currency): (_, _, _, _, String)| {
        let money = Money::new(amount, Currency::parse(&currency).map_err(Error::corrupt)?);
        Ok(PaymentReport { provider, event_id, payment_id, outcome: Outcome::Succeeded, money })
    };
    rows.into_iter().map(report).collect()
}
