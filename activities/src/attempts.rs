//! Attempts to pay, closed at their providers.

use domain::{
    Timestamp,
    payment::{Outcome, PaymentReport, PaymentState},
};
use providers::{AttemptRef, AttemptState, Error, NewAttempt, Provider, Providers};
use serde_json::Value;
use store::{
    Db, inbox,
    payments::{self, Payment},
};
use workflows::contract::At;

/// Closes every attempt of an order that could still bring money. Gives what turned out to be captured, to be
/// settled by the order's workflow. Fails if one provider does not say; the others are closed all the same.
/// Money that was told and is stored comes first: it may be all that the order waits for, whatever a provider
/// says or does not say.
pub(crate) async fn close(db: &Db, providers: &Providers, input: At) -> anyhow::Result<Vec<PaymentReport>> {
    let mut captured = inbox::waiting_money(db, input.order).await?;
    if !captured.is_empty() {
        return Ok(captured);
    }
    let mut fault = None;
    for payment in payments::unfinished(db, input.order).await? {
        match close_one(db, providers, &payment, input.at).await {
            Ok(report) => captured.extend(report),
            Err(error) => fault = Some(error),
        }
    }
    fault.map_or(Ok(captured), Err)
}

async fn close_one(
    db: &Db,
    providers: &Providers,
    payment: &Payment,
    at: Timestamp,
) -> anyhow::Result<Option<PaymentReport>> {
    let Some(provider) = providers.get(&payment.provider) else {
        anyhow::bail!("the payment provider {} is not configured", payment.provider);
    };
    let attempt = match reference(db, provider, payment, at).await {
        Ok(attempt) => provider.cancel(&attempt).await,
        Err(error) => Err(error),
    };
    match attempt {
        Ok(attempt) => match attempt.state {
            AttemptState::Succeeded => Ok(Some(PaymentReport {
                provider: payment.provider.clone(),
                event_id: format!("asked-{}", payment.id),
                payment_id: attempt.provider_payment_id,
                outcome: Outcome::Succeeded,
                money: attempt.money,
            })),
            AttemptState::Open => anyhow::bail!("{} is still open ({})", payment.id, attempt.state_text),
            AttemptState::Failed => {
                payments::close(db, payment.id, PaymentState::Failed, &attempt.state_text, at).await?;
                Ok(None)
            }
            AttemptState::Cancelled => {
                payments::close(db, payment.id, PaymentState::Cancelled, &attempt.state_text, at).await?;
                Ok(None)
            }
        },
        // Nobody can pay what the provider does not have.
        Err(Error::NotFound) => {
            payments::close(db, payment.id, PaymentState::Failed, "unknown to the provider", at).await?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The attempt at its provider. We may have died before we heard its id there: asked again under our own id,
/// the provider tells.
async fn reference(
    db: &Db,
    provider: &dyn Provider,
    payment: &Payment,
    at: Timestamp,
) -> Result<AttemptRef, Error> {
    if let Some(id) = &payment.provider_payment_id {
        return Ok(AttemptRef { payment: payment.id, provider_payment_id: id.clone() });
    }
    let opened = match provider.create(&new_attempt(payment)).await {
        // It was never opened, and the provider would not do it now.
        Err(Error::Refused { .. }) => return Err(Error::NotFound),
        opened => opened?.attempt,
    };
    let noted =
        payments::opened(db, payment, &opened.provider_payment_id, &opened.state_text, &Value::Null, at);
    noted.await.map_err(|error| Error::Unavailable(error.to_string()))?;
    Ok(AttemptRef { payment: payment.id, provider_payment_id: opened.provider_payment_id })
}

/// What to ask of a provider. The same for every try: providers compare.
pub fn new_attempt(payment: &Payment) -> NewAttempt {
    NewAttempt {
        order: payment.order,
        payment: payment.id,
        money: payment.money,
        expires_at: payment.expires_at.unwrap_or(payment.created_at),
        description: format!("Order {}", payment.order),
        payer: None,
    }
}
