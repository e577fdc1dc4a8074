//! Attempts to pay at their providers: opened for a client, asked about, and closed, when another one takes
//! their place or their order ends.

use domain::{
    OrderId, Timestamp,
    payment::{Outcome, PaymentReport, PaymentState},
    provider_event::{Notice, ProviderEvent},
};
use providers::{Attempt, AttemptRef, AttemptState, NewAttempt, Provider, Providers};
use serde_json::json;
use store::{
    Db,
    inbox::{self, Pending, Stored},
    payments::{self, Payment},
};
use workflows::contract::OrderAt;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Provider(#[from] providers::Error),
    #[error(transparent)]
    Store(#[from] store::Fault),
}

/// Opens a payment that was begun at its provider. If we die before the answer is noted, a repeat under the
/// same key, or the order's end, asks again: the provider knows our id.
///
/// # Errors
/// One that the provider refuses has failed, which is noted.
pub async fn open(
    db: &Db,
    provider: &dyn Provider,
    begun: &Payment,
    payer: Option<String>,
    at: Timestamp,
) -> Result<Payment, Error> {
    // The same for every try: providers compare.
    let new = NewAttempt {
        order: begun.order,
        payment: begun.id,
        money: begun.money,
        expires_at: begun.expires_at.unwrap_or(begun.created_at),
        description: format!("Order {}", begun.order),
        payer,
    };
    let opened = provider.create(&new).await;
    if let Err(providers::Error::Refused { code, detail }) = &opened {
        payments::close(db, begun.id, PaymentState::Failed, &format!("{code}: {detail}"), at).await?;
    }
    let opened = opened?;
    let Attempt { provider_payment_id, state_text, .. } = &opened.attempt;
    Ok(payments::opened(db, begun, provider_payment_id, state_text, &opened.client, at).await?)
}

/// Asks the provider for the truth about an attempt, and notes it. Money that was captured, and that we did
/// not know of, is stored as if its webhook had come.
pub async fn refresh(
    db: &Db,
    provider: &dyn Provider,
    payment: &Payment,
    at: Timestamp,
) -> Result<Option<Stored>, Error> {
    let Some(provider_payment_id) = payment.provider_payment_id.clone() else {
        return Ok(None); // the provider has not heard of it yet
    };
    let attempt = match provider.look_up(&AttemptRef { payment: payment.id, provider_payment_id }).await {
        Err(providers::Error::NotFound) => return Ok(None),
        attempt => attempt?,
    };
    let captured = note(db, payment, attempt, at).await?;
    Ok(take_up(db, payment, captured, at).await?)
}

/// Closes the attempts of an order that another one has superseded. What this does not reach is closed at the
/// order's end. Gives the money that was faster, stored as if its webhook had come.
pub async fn close_superseded(db: &Db, providers: &Providers, order: OrderId, at: Timestamp) -> Vec<Pending> {
    let mut captured = Vec::new();
    let unfinished = payments::unfinished(db, order).await.unwrap_or_default();
    for payment in unfinished.iter().filter(|payment| payment.state == PaymentState::Closing) {
        match close_and_take_up(db, providers, payment, at).await {
            Ok(Some(Stored::Pending(pending))) => captured.push(pending),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(order_id = %order, %error, "a superseded attempt is closed later");
            }
        }
    }
    captured
}

async fn close_and_take_up(
    db: &Db,
    providers: &Providers,
    payment: &Payment,
    at: Timestamp,
) -> anyhow::Result<Option<Stored>> {
    let captured = close_one(db, providers, payment, at).await?;
    Ok(take_up(db, payment, captured, at).await?)
}

/// Closes every attempt of an order that could still bring money. Gives what turned out to be captured, to be
/// settled by the order's workflow. Fails if one provider does not say; the others are closed all the same.
/// Money that was told and is stored comes first: it may be all that the order waits for, whatever a provider
/// says or does not say.
pub(crate) async fn close_all(
    db: &Db,
    providers: &Providers,
    input: OrderAt,
) -> anyhow::Result<Vec<PaymentReport>> {
    let mut reports = inbox::waiting_money(db, input.order).await?;
    if !reports.is_empty() {
        return Ok(reports);
    }
    let mut fault = None;
    for payment in payments::unfinished(db, input.order).await? {
        match close_one(db, providers, &payment, input.at).await {
            Ok(captured) => reports.extend(captured.map(|captured| report(&payment, &captured))),
            Err(error) => fault = Some(error),
        }
    }
    fault.map_or(Ok(reports), Err)
}

/// Makes sure that nobody can pay an attempt any more. Gives it if its money was faster.
async fn close_one(
    db: &Db,
    providers: &Providers,
    payment: &Payment,
    at: Timestamp,
) -> anyhow::Result<Option<Attempt>> {
    let Some(provider) = providers.get(&payment.provider) else {
        anyhow::bail!("the payment provider {} is not configured", payment.provider);
    };
    match cancel(db, provider, payment, at).await {
        Ok(attempt) if attempt.state == AttemptState::Open => {
            anyhow::bail!("{} is still open ({})", payment.id, attempt.state_text)
        }
        Ok(attempt) => Ok(note(db, payment, attempt, at).await?),
        // Nobody can pay what the provider does not have.
        Err(Error::Provider(providers::Error::NotFound)) => {
            payments::close(db, payment.id, PaymentState::Failed, "unknown to the provider", at).await?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// We may have died before we heard the attempt's id at its provider: opened again under our own id, the
/// provider tells.
async fn cancel(
    db: &Db,
    provider: &dyn Provider,
    payment: &Payment,
    at: Timestamp,
) -> Result<Attempt, Error> {
    let known = match payment.provider_payment_id.clone() {
        None => match open(db, provider, payment, None, at).await {
            // It was never opened, and the provider would not do it now.
            Err(Error::Provider(providers::Error::Refused { .. })) => None,
            opened => opened?.provider_payment_id,
        },
        known => known,
    };
    let provider_payment_id = known.ok_or(providers::Error::NotFound)?;
    Ok(provider.cancel(&AttemptRef { payment: payment.id, provider_payment_id }).await?)
}

/// Notes what a provider says of an attempt. Gives it if it has captured money that we do not know of.
async fn note(db: &Db, payment: &Payment, attempt: Attempt, at: Timestamp) -> store::Result<Option<Attempt>> {
    let state = match attempt.state {
        AttemptState::Succeeded if payment.state != PaymentState::Succeeded => return Ok(Some(attempt)),
        AttemptState::Succeeded | AttemptState::Open => {
            payments::note_state_text(db, payment.id, &attempt.state_text, at).await?;
            return Ok(None);
        }
        AttemptState::Failed => PaymentState::Failed,
        AttemptState::Cancelled => PaymentState::Cancelled,
    };
    payments::close(db, payment.id, state, &attempt.state_text, at).await?;
    Ok(None)
}

fn report(payment: &Payment, captured: &Attempt) -> PaymentReport {
    PaymentReport {
        provider: payment.provider.clone(),
        event_id: format!("asked-{}", payment.id),
        payment_id: captured.provider_payment_id.clone(),
        outcome: Outcome::Succeeded,
        money: captured.money,
    }
}

/// Stores the event that would have told of a capture.
async fn take_up(
    db: &Db,
    payment: &Payment,
    captured: Option<Attempt>,
    at: Timestamp,
) -> store::Result<Option<Stored>> {
    let Some(captured) = captured else { return Ok(None) };
    let report = report(payment, &captured);
    let body = json!({"state": captured.state_text, "amount": captured.money.amount});
    let event = ProviderEvent {
        provider: report.provider.clone(),
        event_id: report.event_id.clone(),
        kind: "asked.captured".to_owned(),
        body: body.to_string().into_bytes(),
        told_at: None,
        notice: Some(Notice::Payment { order: Some(payment.order), report }),
    };
    inbox::store(db, &event, at).await.map(Some)
}
