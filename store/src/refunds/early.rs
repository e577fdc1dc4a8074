//! Webhooks come in any order: a refund or a dispute may be told before its capture, and is nobody's until
//! then. Now that the capture is known, it is taken up as if it had been told after it.

use domain::{OrderId, PaymentId, Timestamp, payment::RefundState};

use super::{
    PaymentRef, Refund, append_requested, find_payment, query_refunds, transition::follow_up,
    update_attribution,
};
use crate::{Result, Tx, disputes, exceptions};

/// Takes up what was told of these payments (by provider and its id) before they were captured.
pub(crate) async fn match_early_refunds(tx: &mut Tx, captured: &[(&str, &str, Timestamp)]) -> Result<()> {
    let early = sqlx::query!(
        r#"SELECT provider AS "provider!", provider_payment_id AS "payment!" FROM refunds
           WHERE (provider, provider_payment_id) IN (
                     SELECT it.provider, it.payment
                     FROM unnest($1::text[], $2::text[]) AS it (provider, payment))
             AND payment_id IS NULL
           UNION
           SELECT provider, provider_payment_id FROM disputes
           WHERE (provider, provider_payment_id) IN (
                     SELECT it.provider, it.payment
                     FROM unnest($1::text[], $2::text[]) AS it (provider, payment))
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
    let captured = find_payment(tx, provider, provider_payment_id).await?;
    let Some(order) = captured.order else { return update_attribution(tx, &captured, at).await };
    let refunds = assign_to_order(tx, &captured).await?;
    disputes::assign_to_order(tx, &captured, order, at).await?;
    let raised = exceptions::assign_to_order(tx, &captured).await?;
    for refund in &refunds {
        append_requested(tx, refund, at).await?;
    }
    update_attribution(tx, &captured, at).await?;
    exceptions::show_open(tx, &raised, order, at).await?;
    for refund in refunds.iter().filter(|it| it.state == RefundState::Succeeded) {
        follow_up(tx, refund, at).await?;
    }
    Ok(())
}

/// Gives early refunds to the order whose money it was.
async fn assign_to_order(tx: &mut Tx, captured: &PaymentRef<'_>) -> Result<Vec<Refund>> {
    let found = query_refunds!(
        "UPDATE refunds SET order_id = $3, payment_id = $4, captured = p.amount
         FROM payments p
         WHERE p.id = $4 AND refunds.provider = $1 AND refunds.provider_payment_id = $2
           AND refunds.payment_id IS NULL AND refunds.source = 'provider'
         RETURNING",
        "",
        captured.provider,
        captured.provider_payment_id,
        captured.order.map(OrderId::uuid),
        captured.payment.map(PaymentId::uuid)
    );
    let mut refunds = found.fetch_all(&mut **tx).await?;
    refunds.sort_by_key(|it| it.id);
    Ok(refunds)
}
