//! A webhook's body: `{type, data}`. Types we do not know are kept for a version of us that does.

use domain::{
    Timestamp,
    money::{Currency, Money},
    payment::{DisputeState, Outcome, PaymentReport},
};
use http::HeaderMap;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::NAME;
use crate::{Dispute, Envelope, Event, Notice, Refund, RefundState};

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

pub(super) fn parse(id: String, body: &[u8]) -> Result<Event, String> {
    let body: Body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let told_at = Told::deserialize(&body.data).unwrap_or_default().told_at;
    let notice = match body.r#type.as_str() {
        "payment.succeeded" => Some(payment(&id, Outcome::Succeeded, read(body.data)?)),
        "payment.failed" => Some(payment(&id, Outcome::Failed, read(body.data)?)),
        "refund.pending" => Some(refund(RefundState::Pending, "pending", read(body.data)?)),
        "refund.succeeded" => Some(refund(RefundState::Succeeded, "succeeded", read(body.data)?)),
        "refund.failed" => Some(refund(RefundState::Failed, "failed", read(body.data)?)),
        "dispute.created" | "dispute.updated" | "dispute.closed" => Some(dispute(read(body.data)?)),
        _ => None,
    };
    let notice = notice.transpose().map_err(|invalid| format!("data: {invalid}"))?;
    let kind = domain::payment::event_type(&body.r#type).map_err(|invalid| invalid.to_string())?;
    Ok(Event { id, kind, told_at, notice })
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

fn read<T: DeserializeOwned>(data: Value) -> Result<T, String> {
    serde_json::from_value(data).map_err(|error| format!("data: {error}"))
}

fn payment(event_id: &str, outcome: Outcome, data: PaymentData) -> Result<Notice, domain::Invalid> {
    let report = PaymentReport {
        provider: NAME.to_owned(),
        event_id: event_id.to_owned(),
        payment_id: domain::payment::provider_id(&data.payment_id)?,
        outcome,
        money: Money::parse(data.amount, Currency::parse(&data.currency)?)?,
    };
    Ok(Notice::Payment { order: data.order_id.parse().ok(), report })
}

fn provider_id(field: &str, id: &str) -> Result<String, domain::Invalid> {
    domain::payment::provider_id(id).map_err(|invalid| domain::Invalid::new(field, invalid.message))
}

fn dispute(data: DisputeData) -> Result<Notice, domain::Invalid> {
    Ok(Notice::Dispute(Dispute {
        provider_dispute_id: provider_id("dispute_id", &data.dispute_id)?,
        provider_payment_id: provider_id("payment_id", &data.payment_id)?,
        state: data.state,
        state_text: data.state.as_str().to_owned(),
        money: Money::parse(data.amount, Currency::parse(&data.currency)?)?,
    }))
}

fn refund(state: RefundState, state_text: &str, data: RefundData) -> Result<Notice, domain::Invalid> {
    let refund = Refund {
        refund: data.refund_id.and_then(|id| id.parse().ok()),
        provider_refund_id: provider_id("provider_refund_id", &data.provider_refund_id)?,
        provider_payment_id: provider_id("payment_id", &data.payment_id)?,
        state,
        state_text: state_text.to_owned(),
        money: Money::parse(data.amount, Currency::parse(&data.currency)?)?,
    };
    Ok(Notice::Refund { order: data.order_id.parse().ok(), refund })
}
