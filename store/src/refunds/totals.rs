//! What refunds and disputes add up to, as SQL that several statements share: each of these macros is such a
//! statement, from what stands in it before the shared part and after.

use domain::OrderId;

use crate::{Result, Tx, locks};

/// What can go back of the order's own money in the payment `p`: it has not gone back, is not on its way and
/// not in dispute, and the provider still has it.
macro_rules! left_of_payment {
    ($query:ident!($($record:ident,)? $before:literal, $after:literal $(, $argument:expr)* $(,)?)) => {
        sqlx::$query!($($record,)? $before + "(
         SELECT greatest(0, least(p.applied - back.own, p.amount - back.amount))::bigint
         FROM (SELECT coalesce(sum(own), 0) AS own, coalesce(sum(amount), 0) AS amount
               FROM (SELECT own, amount FROM refunds
                     WHERE payment_id = p.id AND state <> 'failed' AND currency = p.currency
                     UNION ALL
                     SELECT own, amount FROM disputes
                     WHERE payment_id = p.id AND state <> 'won' AND currency = p.currency) AS taken
              ) AS back)" + $after $(, $argument)*)
    };
}
pub(crate) use left_of_payment;

/// What the payments, refunds and lost disputes of the order `o` add up to. What a payer got by a dispute
/// went back as much as what was refunded.
macro_rules! payment_status {
    ($query:ident!($($record:ident,)? $before:literal, $after:literal $(, $argument:expr)* $(,)?)) => {
        sqlx::$query!($($record,)? $before + "(
         SELECT CASE
             WHEN under_way > 0 THEN 'refund_pending'
             WHEN o.total = 0 THEN 'paid' -- whatever money came and went back: none of it was for the order
             WHEN refunded > 0 AND refunded >= captured THEN 'refunded'
             WHEN applied > 0 AND own >= applied THEN 'refunded'
             WHEN applied > 0 AND own > 0 THEN 'partially_refunded'
             WHEN applied > 0 THEN 'paid'
             ELSE 'unpaid' END
         FROM (
             -- parts of an order that is not paid yet are not what it was paid with
             SELECT coalesce(sum(amount), 0) AS captured,
                    CASE WHEN sum(applied) >= o.total THEN sum(applied) ELSE 0 END AS applied
             FROM payments
             WHERE state = 'succeeded' AND ((order_id = o.id AND pays_order IS NULL) OR pays_order = o.id)
         ) AS paid, (
             SELECT count(*) FILTER (WHERE state IN ('requested', 'pending')) AS under_way,
                    coalesce(sum(own + held) FILTER (WHERE state IN ('succeeded', 'lost')), 0) AS refunded,
                    coalesce(sum(own) FILTER (WHERE state IN ('succeeded', 'lost')), 0) AS own
             FROM (SELECT state, own, held FROM refunds WHERE order_id = o.id
                   UNION ALL
                   SELECT state, own, held FROM disputes WHERE order_id = o.id) AS taken
         ) AS back)" + $after $(, $argument)*)
    };
}
pub(crate) use payment_status;

/// Writes what an order's payments and refunds add up to. Under its lock first: a statement that waited for
/// the lock would not see the refund that the other transaction wrote.
pub(crate) async fn refresh_payment_status(tx: &mut Tx, order: OrderId) -> Result<()> {
    locks::order(tx, order).await?;
    payment_status!(query!("UPDATE orders o SET payment_status = ", " WHERE o.id = $1", order.uuid()))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
