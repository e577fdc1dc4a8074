//! Refunds, driven at their providers.

use anyhow::Context as _;
use domain::payment::RefundState;
use providers::{AttemptRef, Error, NewRefund, Providers, RefundRef};
use store::{
    Db,
    refunds::{self, Refund},
};
use workflows::contract::RefundStep;

/// Asks the provider for the refund, or what became of it, and notes the answer. The provider knows a repeat
/// by our id, so a crash between its answer and our note gives nothing back twice.
pub(crate) async fn drive(db: &Db, providers: &Providers, step: RefundStep) -> anyhow::Result<RefundState> {
    let refund = refunds::get(db, step.refund).await?;
    let refund = refund.with_context(|| format!("there is no refund {}", step.refund))?;
    if refund.state.is_final() {
        return Ok(refund.state);
    }
    let Some(provider) = providers.get(&refund.provider) else {
        anyhow::bail!("the payment provider {} is not configured", refund.provider);
    };
    let answer = match &refund.provider_refund_id {
        None => provider.refund(&new_refund(&refund)).await,
        Some(id) => {
            let id = RefundRef { refund: Some(refund.id), provider_refund_id: id.clone() };
            provider.look_up_refund(&id).await
        }
    };
    let seen = match answer {
        Ok(seen) => seen,
        Err(error @ Error::Unavailable(_)) => return Err(error.into()),
        // The provider has it, and says otherwise for now: it is asked again later.
        Err(error) if refund.provider_refund_id.is_some() => {
            tracing::warn!(refund_id = %refund.id, %error, "the provider does not find a refund that it has");
            return Ok(refund.state);
        }
        Err(Error::Refused { code, detail }) => refund.failure(&format!("{code}: {detail}")),
        Err(Error::NotFound) => refund.failure("unknown to the provider"),
    };
    let (state, is_news) = refunds::record_answer(db, refund.id, &seen, step.at).await?;
    if is_news && state.is_final() {
        telemetry::metrics().refunds.with_label_values(&[&refund.provider, state.as_str()]).inc();
        tracing::info!(refund_id = %refund.id, order_id = refund.order_id.map(tracing::field::display),
                       state = state.as_str(), "refund ended");
    }
    Ok(state)
}

fn new_refund(refund: &Refund) -> NewRefund {
    // A refund belongs to no order only if its money named none; the provider then hears the refund's own id.
    let order = refund.order_id.unwrap_or_else(|| domain::OrderId::from_uuid(refund.id.uuid()));
    NewRefund {
        order,
        refund: refund.id,
        attempt: AttemptRef {
            payment: refund.payment_id.unwrap_or_else(|| domain::PaymentId::from_uuid(refund.id.uuid())),
            provider_payment_id: refund.provider_payment_id.clone(),
        },
        money: refund.money(),
        captured: domain::money::Money::new(refund.captured, refund.currency),
        reason: refund.reason.clone(),
    }
}
