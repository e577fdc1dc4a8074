//! Webhooks come in any order: a refund or a dispute may be told before its capture, and is nobody's until
//! then. Now that the capture is known, it is taken up as if it had been told after it.

use domain::{OrderId, PaymentId, Timestamp, payment::RefundState};

use super::{Refund, Whose, note_request, query_refunds, rebalance, transition::consequences};
use crate::{Result, Tx, disputes, exceptions, orders};

/// A captured payment of ours, its order locked; nothing if we do not know it (yet).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Origin {
    pub order: Option<OrderId>,
    pub payment: Option<PaymentId>,
    pub captured: Option<i64>,
}

impl Origin {
    pub fn whose<'a>(&self, provider: &'a str, provider_payment_id: &'a str) -> Whose<'a> {
        Whose { provider, provider_payment_id, payment: self.payment, order: self.order }
    }
}

pub(crate) async fn origin(tx: &mut Tx, provider: &str, provider_payment_id: &str) -> Result<Origin> {
    let found = sqlx::query!(
        r#"SELECT id AS "id: PaymentId", coalesce(pays_order, order_id) AS "order!: OrderId", amount FROM payments
           WHERE provider = $1 AND provider_payment_id = $2 AND state = 'succeeded'
           ORDER BY applied DESC LIMIT 1"#,
        provider,
        provider_payment_id
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(found) = found else { return Ok(Origin::default()) };
    orders::lock(tx, found.order).await?;
    Ok(Origin { order: Some(found.order), payment: Some(found.id), captured: Some(found.amount) })
}

/// Takes up what was told of these payments (by provider and its id) before they were captured.
pub(crate) async fn match_early_refunds(tx: &mut Tx, captured: &[(&str, &str, Timestamp)]) -> Result<()> {
    let early = sqlx::query!(
        r#"SELECT provider AS "provider!", provider_payment_id AS "payment!" FROM refunds
           WHERE (provider, provider_payment_id) IN (
                     SELECT it.provider, it.payment FROM unnest($1::text[], $2::text[]) AS it (provider, payment))
             AND payment_id IS NULL
           UNION
           SELECT provider, provider_payment_id FROM disputes
           WHERE (provider, provider_payment_id) IN (
                     SELECT it.provider, it.payment FROM unnest($1::text[], $2::text[]) AS it (provider, payment))
             AND payment_id IS NULL"#,
        &captured.iter().map(|(provider, ..)| (*provider).to_owned()).collect::<Vec<_>>(),
        &captured.iter().map(|(_, payment, _)| (*payment).to_owned()).collect::<Vec<_>>()
    )
    .fetch_all(&mut **tx)
    .await?;
    for told in early {
        let is_it = |it: &&(&str, &str, Timestamp)| (it.0, it.1) == (&*told.provider, &*told.payment);
        if let Some((provider, payment, at)) = captured.iter().find(is_it) {
            take_up(tx, provider, payment, *at).await?;
        }
    }
    Ok(())
}

async fn take_up(tx: &mut Tx, provider: &str, provider_payment_id: &str, at: Timestamp) -> Result<()> {
    let origin = origin(tx, provider, provider_payment_id).await?;
    let (Some(order), Some(payment)) = (origin.order, origin.payment) else {
        return rebalance(tx, &origin.whose(provider, provider_payment_id), at).await;
    };
    let found = found_order(tx, provider, provider_payment_id, order, payment).await?;
    disputes::found_order(tx, provider, provider_payment_id, order, payment, at).await?;
    let raised = exceptions::found_order(tx, provider, provider_payment_id, order, payment).await?;
    for refund in &found {
        note_request(tx, refund, at).await?;
    }
    rebalance(tx, &origin.whose(provider, provider_payment_id), at).await?;
    exceptions::show_open(tx, &raised, order, at).await?;
    for refund in found.iter().filter(|it| it.state == RefundState::Succeeded) {
        consequences(tx, refund, at).await?;
    }
    Ok(())
}

/// Gives early refunds to the order whose money it was.
async fn found_order(
    tx: &mut Tx,
    provider: &str,
    provider_payment_id: &str,
    order: OrderId,
    payment: PaymentId,
) -> Result<Vec<Refund>> {
    let found = query_refunds!(
        "UPDATE refunds SET order_id = $3, payment_id = $4, captured = p.amount
         FROM payments p
         WHERE p.id = $4 AND refunds.provider = $1 AND refunds.provider_payment_id = $2
           AND refunds.payment_id IS NULL AND refunds.source = 'provider'
         RETURNING",
        "",
        provider,
        provider_payment_id,
        order.uuid(),
        payment.uuid()
    );
    let mut refunds = found.fetch_all(&mut **tx).await?;
    refunds.sort_by_key(|it| it.id);
    Ok(refunds)
}
