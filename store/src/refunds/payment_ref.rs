//! A provider's payment, and which of ours it is.

use domain::{OrderId, PaymentId, event::ReceivedMoney, money::Money};

use crate::{Result, Tx, locks};

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

/// Which of our payments a provider's is, its order locked; none if, as far as we know, it is not captured
/// (yet).
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
        locks::order(tx, order).await?;
    }
    Ok(PaymentRef { provider, provider_payment_id, payment, order })
}
