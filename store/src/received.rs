//! Money that came, whatever became of it.

use domain::{
    OrderId,
    money::{Currency, MAX_AMOUNT, Money},
};

use crate::{Db, Result};

/// What came for an order in one currency before it ended, and whether all of it goes back.
#[derive(Debug, Clone, Copy)]
pub struct Came {
    pub money: Money,
    pub goes_back: bool,
}

/// What came for an order that ended unpaid, as its timeline has it.
pub async fn came_before_end(db: &Db, order: OrderId) -> Result<Vec<Came>> {
    let came = sqlx::query!(
        r#"SELECT currency AS "currency!: Currency", least(amount, $2::bigint)::bigint AS "amount!",
                  amount <= (SELECT coalesce(sum(r.amount), 0) FROM refunds r
                             WHERE r.order_id = $1 AND r.currency = came.currency AND r.state <> 'failed')
                      AS "goes_back!"
           FROM (SELECT data->>'currency' AS currency, sum((data->>'amount')::numeric) AS amount FROM timeline
                 WHERE order_id = $1 AND type = 'payment.received'
                   AND id < (SELECT min(id) FROM timeline
                             WHERE order_id = $1 AND type IN ('order.expired', 'order.cancelled'))
                 GROUP BY 1) AS came
           ORDER BY currency"#,
        order.uuid(),
        MAX_AMOUNT
    )
    .fetch_all(db.pool())
    .await?;
    Ok(came
        .into_iter()
        .map(|it| Came { money: Money::new(it.amount, it.currency), goes_back: it.goes_back })
        .collect())
}

/// What came for an order that awaits payment and is not what was due: a person has yet to say what becomes
/// of it.
pub async fn undecided(db: &Db, order: OrderId) -> Result<Vec<Money>> {
    let sums = sqlx::query!(
        r#"SELECT currency AS "currency!", least(sum(amount), $2::bigint)::bigint AS "amount!" FROM exceptions
           WHERE order_id = $1 AND state = 'open' AND kind IN ('wrong_amount', 'wrong_currency')
             AND currency IS NOT NULL AND amount > 0
           GROUP BY currency ORDER BY currency"#,
        order.uuid(),
        MAX_AMOUNT
    )
    .fetch_all(db.pool())
    .await?;
    Ok(sums.into_iter().map(|sum| Money::new(sum.amount, sum.currency)).collect())
}
