//! Where all money is.

use domain::exception::Kind;

use crate::{Db, Fault, Result};

/// Where every cent of one currency is, in minor units. Sums of any number of amounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    pub currency: String,
    /// By providers, for our orders and for none of ours.
    pub captured: i128,
    /// Paid for orders and not asked back.
    pub orders: i128,
    pub refunded: i128,
    /// Refunds on their way.
    pub refunding: i128,
    /// In dispute, or lost by one.
    pub disputed: i128,
    /// Open exceptions.
    pub open: i128,
    /// Exceptions that a person accepted or dismissed.
    pub decided: i128,
}

impl Money {
    /// Whether every captured cent is somewhere.
    pub fn adds_up(&self) -> bool {
        self.captured
            == self.orders + self.refunded + self.refunding + self.disputed + self.open + self.decided
    }
}

/// Adds up all money, by currency. What went back and nobody can explain was never captured here, and is left
/// out on both sides. An open exception about a refund that failed tells of money that would be an order's
/// else.
pub async fn money(db: &Db) -> Result<Vec<Money>> {
    let sums = sqlx::query!(
        r#"WITH held AS (
                 SELECT currency, state, amount, back, CASE
                     WHEN state = 'open' THEN 'open'
                     -- Until its refund has it.
                     WHEN action = 'refund' AND resolved_by <> 'provider' THEN 'orders'
                     ELSE 'decided' END AS what
                 FROM exceptions
                 WHERE kind = ANY($1) AND action IS DISTINCT FROM 'apply' AND currency IS NOT NULL
             ), part AS (
                 SELECT currency, 'captured' AS what, amount FROM payments WHERE state = 'succeeded'
                 UNION ALL
                 SELECT currency, 'captured', amount FROM exceptions
                 WHERE kind = 'unknown_order' AND currency IS NOT NULL
                 UNION ALL
                 SELECT currency, 'orders', applied FROM payments WHERE applied > 0
                 UNION ALL
                 SELECT currency, 'orders', -own FROM refunds WHERE state <> 'failed'
                 UNION ALL
                 SELECT currency, 'orders', -own FROM disputes WHERE state <> 'won'
                 UNION ALL
                 SELECT currency, CASE state WHEN 'succeeded' THEN 'refunded' ELSE 'refunding' END, own + held
                 FROM refunds WHERE state <> 'failed'
                 UNION ALL
                 SELECT currency, 'disputed', own + held FROM disputes WHERE state <> 'won'
                 UNION ALL
                 SELECT currency, what, amount - back FROM held
                 UNION ALL
                 SELECT currency, what, CASE what WHEN 'open' THEN amount ELSE -amount END
                 FROM exceptions, (VALUES ('open'), ('orders')) AS side (what)
                 WHERE kind = 'refund_failed' AND state = 'open' AND currency IS NOT NULL
             )
             SELECT currency::text AS "currency!",
                    coalesce(sum(amount) FILTER (WHERE what = 'captured'), 0)::text AS "captured!",
                    coalesce(sum(amount) FILTER (WHERE what = 'orders'), 0)::text AS "orders!",
                    coalesce(sum(amount) FILTER (WHERE what = 'refunded'), 0)::text AS "refunded!",
                    coalesce(sum(amount) FILTER (WHERE what = 'refunding'), 0)::text AS "refunding!",
                    coalesce(sum(amount) FILTER (WHERE what = 'disputed'), 0)::text AS "disputed!",
                    coalesce(sum(amount) FILTER (WHERE what = 'open'), 0)::text AS "open!",
                    coalesce(sum(amount) FILTER (WHERE what = 'decided'), 0)::text AS "decided!"
             FROM part GROUP BY 1 ORDER BY 1"#,
        &Kind::holding_money()
    )
    .fetch_all(&mut *db.begin_long_report().await?)
    .await?;
    // As text, since a sum may be larger than any of PostgreSQL's integers.
    let read = |sum: &str| sum.parse::<i128>().map_err(Fault::corrupt);
    let money = sums.into_iter().map(|it| {
        Ok(Money {
            currency: it.currency,
            captured: read(&it.captured)?,
            orders: read(&it.orders)?,
            refunded: read(&it.refunded)?,
            refunding: read(&it.refunding)?,
            disputed: read(&it.disputed)?,
            open: read(&it.open)?,
            decided: read(&it.decided)?,
        })
    });
    money.collect()
}
