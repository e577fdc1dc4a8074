//! What happened lately, added up: for those who run the shop.

use domain::{
    Timestamp,
    money::{Currency, MAX_AMOUNT},
};

use crate::{Db, Result, sql};

/// What became of orders within one hour.
#[derive(Debug, Clone)]
pub struct Hour {
    /// When it began.
    pub at: Timestamp,
    pub placed: i64,
    pub paid: i64,
    pub expired: i64,
    pub cancelled: i64,
}

/// Money of one currency, in minor units. What is more than [`MAX_AMOUNT`] is given as that.
#[derive(Debug, Clone)]
pub struct Flow {
    pub currency: Currency,
    pub captured: i64,
    pub refunded: i64,
}

/// What happened from `from` on, before `to`.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Hours in which something happened, in order.
    pub hours: Vec<Hour>,
    pub money: Vec<Flow>,
}

/// Adds up what happened.
#[tracing::instrument(name = "sql overview.read", skip_all, err(level = "debug"))]
pub async fn read(db: &Db, from: Timestamp, to: Timestamp) -> Result<Overview> {
    let mut report = db.begin_report().await?;
    let hours = sqlx::query!(
        r#"SELECT date_bin('1 hour', at, 'epoch') AS "at!",
                  count(*) FILTER (WHERE type = 'order.placed') AS "placed!",
                  count(*) FILTER (WHERE type = 'order.paid') AS "paid!",
                  count(*) FILTER (WHERE type = 'order.expired') AS "expired!",
                  count(*) FILTER (WHERE type = 'order.cancelled') AS "cancelled!"
           FROM timeline
           WHERE at >= $1 AND at < $2
             AND type IN ('order.placed', 'order.paid', 'order.expired', 'order.cancelled')
           GROUP BY 1 ORDER BY 1"#,
        sql(from),
        sql(to)
    )
    .fetch_all(&mut *report)
    .await?;
    let money = sqlx::query!(
        r#"SELECT currency AS "currency!: Currency",
                  least(coalesce(sum(captured), 0), $3::bigint)::bigint AS "captured!",
                  least(coalesce(sum(refunded), 0), $3)::bigint AS "refunded!"
           FROM (SELECT currency::text, amount AS captured, 0 AS refunded FROM payments
                 WHERE state = 'succeeded' AND captured_at >= $1 AND captured_at < $2
                 UNION ALL
                 SELECT currency::text, 0, amount FROM refunds
                 WHERE state = 'succeeded' AND updated_at >= $1 AND updated_at < $2) AS moved
           GROUP BY currency ORDER BY currency"#,
        sql(from),
        sql(to),
        MAX_AMOUNT
    )
    .fetch_all(&mut *report)
    .await?;
    let hours = hours.into_iter().map(|it| Hour {
        at: it.at.to_jiff(),
        placed: it.placed,
        paid: it.paid,
        expired: it.expired,
        cancelled: it.cancelled,
    });
    let money = money.into_iter().map(|it| Flow {
        currency: it.currency,
        captured: it.captured,
        refunded: it.refunded,
    });
    Ok(Overview { hours: hours.collect(), money: money.collect() })
}
