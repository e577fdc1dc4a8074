//! A provider's payment: which of ours it is, and who may act on what is told of it.

use domain::{OrderId, PaymentId, event::ReceivedMoney, money::Money};

use crate::{Result, Tx, orders};

/// A provider's payment, and which of ours it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PaymentRef<'a> {
    pub provider: &'a str,
    pub provider_payment_id: &'a str,
    /// None: money for no order of ours, or not known yet.
    pub payment: Option<PaymentId>,
    pub order: Option<OrderId>,
}

impl PaymentRef<'_> {
    /// So much of it, as events tell.
    pub fn received(&self, money: Money) -> ReceivedMoney {
        ReceivedMoney::new(self.provider, self.provider_payment_id, money)
    }
}

/// Which of our payments a provider's is, its order locked; none if it is not captured (yet), as far as we know.
pub(crate) async fn find_payment<'a>(
    tx: &mut Tx,
    provider: &'a str,
    provider_payment_id: &'a str,
) -> Result<PaymentRef<'a>> {
    let found = sqlx::query!(
        r#"SELECT id AS "id: PaymentId", coalesce(pays_order, order_id) AS "order!: OrderId" FROM payments
           WHERE provider = $1 AND provider_payment_id = $2 AND state = 'succeeded'
           ORDER BY applied DESC LIMIT 1"#,
        provider,
        provider_payment_id
    )
    .fetch_optional(&mut **tx)
    .await?;
    let (payment, order) = (found.as_ref().map(|it| it.id), found.as_ref().map(|it| it.order));
    if let Some(order) = order {
        orders::lock(tx, order).await?;
    }
    Ok(PaymentRef { provider, provider_payment_id, payment, order })
}

/// One report at a time about one payment, of its capture or of its refunds: two at once about a new refund
/// would both insert it, and a capture would not see a refund that came before it. Taken before an order's
/// lock.
pub(crate) async fn lock_payment(tx: &mut Tx, provider: &str, provider_payment_id: &str) -> Result<()> {
    lock_payments(tx, &[(provider, provider_payment_id)]).await
}

/// The same of many, in an order of their own, so that those who lock several wait and never deadlock.
pub(crate) async fn lock_payments(tx: &mut Tx, payments: &[(&str, &str)]) -> Result<()> {
    let names = payments.iter().map(|(provider, payment)| format!("{provider}/{payment}"));
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(key) FROM (
             SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest($1::text[]) AS p (name) ORDER BY key
         ) AS payment",
        &names.collect::<Vec<_>>()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
