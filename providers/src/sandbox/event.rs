//! A webhook's body: `{type, data}`. Types we do not know are kept for a version of us that does.

use domain::{
    Invalid, Timestamp,
    money::{Currency, Money},
    payment::{DisputeReport, DisputeState, Outcome, PaymentReport, RefundReport, RefundState},
    provider_event::{Notice, ProviderEvent},
};
use http::HeaderMap;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::NAME;
use crate::{Envelope, WebhookError};

#[derive(Deserialize)]
struct Body {
    r#type: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct PaymentData {
    order_id: String,
    payment_id: String,
    amount: i64,
    currency: String,
}

#[derive(Deserialize)]
struct RefundData {
    order_id: String,
    payment_id: String,
    amount: i64,
    currency: String,
    refund_id: Option<String>,
    provider_refund_id: String,
}

#[derive(Deserialize)]
struct DisputeData {
    payment_id: String,
    dispute_id: String,
    amount: i64,
    currency: String,
    state: DisputeState,
}

/// When the sandbox says that it came about.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    told_at: Option<Timestamp>,
}

pub(super) fn parse(event_id: String, body: &[u8]) -> Result<ProviderEvent, WebhookError> {
    let malformed = |error: serde_json::Error| WebhookError::Malformed(error.to_string());
    let Body { r#type: kind, data } = serde_json::from_slice(body).map_err(malformed)?;
    let told_at = Told::deserialize(&data).unwrap_or_default().told_at;
    let id = event_id.clone();
    let notice = match kind.as_str() {
        "payment.succeeded" => Some(payment(id, Outcome::Succeeded, data)?),
        "payment.failed" => Some(payment(id, Outcome::Failed, data)?),
        "refund.pending" => Some(refund(id, RefundState::Pending, data)?),
        "refund.succeeded" => Some(refund(id, RefundState::Succeeded, data)?),
        "refund.failed" => Some(refund(id, RefundState::Failed, data)?),
        "dispute.created" | "dispute.updated" | "dispute.closed" => Some(dispute(id, data)?),
        _ => None,
    };
    let (provider, body) = (NAME.to_owned(), body.to_vec());
    Ok(ProviderEvent { provider, event_id, kind, body, told_at, notice }.checked()?)
}

/// What stands on an event. Its id stands in a header, which is signed, too.
pub(super) fn envelope(headers: &HeaderMap, body: &[u8]) -> Envelope {
    let envelope = Envelope::read(body, "type", |body, envelope| {
        let text = |field: &str| body["data"][field].as_str();
        envelope.order = text("order_id").and_then(|id| id.parse().ok());
        envelope.payment = text("payment_id").map(str::to_owned);
    });
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    Envelope { id, ..envelope }
}

fn data<T: DeserializeOwned>(data: Value) -> Result<T, WebhookError> {
    serde_json::from_value(data).map_err(|error| WebhookError::Malformed(format!("data: {error}")))
}

fn money(amount: i64, currency: &str) -> Result<Money, Invalid> {
    Money::parse(amount, Currency::parse(currency)?)
}

fn payment(event_id: String, outcome: Outcome, from: Value) -> Result<Notice, WebhookError> {
    let PaymentData { order_id, payment_id, amount, currency } = data(from)?;
    let money = money(amount, &currency)?;
    let report = PaymentReport { provider: NAME.to_owned(), event_id, payment_id, outcome, money };
    Ok(Notice::Payment { order: order_id.parse().ok(), report })
}

fn refund(event_id: String, state: RefundState, from: Value) -> Result<Notice, WebhookError> {
    let refund: RefundData = data(from)?;
    let report = RefundReport {
        provider: NAME.to_owned(),
        event_id,
        refund: refund.refund_id.and_then(|id| id.parse().ok()),
        provider_refund_id: refund.provider_refund_id,
        payment_id: refund.payment_id,
        state,
        state_text: state.as_str().to_owned(),
        money: money(refund.amount, &refund.currency)?,
    };
    Ok(Notice::Refund { order: refund.order_id.parse().ok(), report })
}

fn dispute(event_id: String, from: Value) -> Result<Notice, WebhookError> {
    let dispute: DisputeData = data(from)?;
    Ok(Notice::Dispute(DisputeReport {
        provider: NAME.to_owned(),
        event_id,
        provider_dispute_id: dispute.dispute_id,
        payment_id: dispute.payment_id,
        state: dispute.state,
        state_text: dispute.state.as_str().to_owned(),
        money: money(dispute.amount, &dispute.currency)?,
    }))
}
