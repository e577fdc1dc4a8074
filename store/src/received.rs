//! Money that came, whatever became of it.

use domain::{
    OrderId, PaymentId,
    money::{Currency, MAX_AMOUNT, Money},
};

use crate::{Db, Error, Result, Tx};

/// A payment that was captured.
pub(crate) struct Captured {
    pub id: PaymentId,
    pub provider: String,
    pub provider_payment_id: String,
    pub money: Money,
}

pub(crate) async fn captured(tx: &mut Tx, id: PaymentId) -> Result<Captured> {
    let row: Option<(String, String, i64, String)> = sqlx::query_as(
        "SELECT provider, provider_payment_id, amount, currency FROM payments
         WHERE id = $1 AND state = 'succeeded'",
    )
    .bind(id.uuid())
    .fetch_optional(&mut **tx)
    .await?;
    let (provider, provider_payment_id, amount, currency) = row.ok_or(Error::NotFound)?;
    let currency = Currency::parse(&currency).map_err(Error::corrupt)?;
    Ok(Captured { id, provider, provider_payment_id, money: Money::new(amount, currency) })
}

/// What came for an order in one currency before it ended, and whether all of it goes back.
#[derive(Debug, Clone, Copy)]
pub struct Came {
    pub money: Money,
    pub goes_back: bool,
}

/// What came for an order that ended unpaid, as its timeline has it.
pub async fn came_before_end(db: &Db, order: OrderId) -> Result<Vec<Came>> {
    let rows: Vec<(String, i64, bool)> = sqlx::query_as(
        "SELECT currency, least(amount, $2)::bigint,
                amount <= (SELECT coalesce(sum(r.amount), 0) FROM refunds r
                           WHERE r.order_id = $1 AND r.currency = came.currency AND r.state <> 'failed')
         FROM (SELECT data->>'currency' AS currency, sum((data->>'amount')::numeric) AS amount FROM timeline
               WHERE order_id = $1 AND type = 'payment.received'
                 AND id < (SELECT min(id) FROM timeline
                           WHERE order_id = $1 AND type IN ('order.expired', 'order.cancelled'))
               GROUP BY 1) AS came
         ORDER BY currency",
    )
    .bind(order.uuid())
    .bind(MAX_AMOUNT)
    .fetch_all(db.pool())
    .await?;
    let came = |(currency, amount, goes_back): (String, i64, bool)| {
        let currency = Currency::parse(&currency).map_err(Error::corrupt)?;
        Ok(Came { money: Money::new(amount, currency), goes_back })
    };
    rows.into_iter().map(came).collect()
}
