//! What the sandbox keeps: payments with their refunds, and the events it tells of them.

use domain::{
    Timestamp,
    money::{self, Currency},
    payment::DisputeState,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Refusal;

/// A payment, as kept and as answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// `sbx_...`; of a payment without an attempt `sandbox_` and its event's id without `evt_`.
    pub id: String,
    /// The merchant's own id of it, and its idempotency key.
    pub key: Option<String>,
    pub order_id: String,
    /// What is asked for, in minor units.
    pub amount: i64,
    pub currency: Currency,
    pub description: String,
    pub state: PaymentState,
    /// Tries of the payer that failed and left the payment open.
    pub failed_tries: u32,
    pub created_at: Timestamp,
    /// After this a capture is refused, unless it is forced.
    pub expires_at: Option<Timestamp>,
    pub captured: Option<Captured>,
    /// The latest event of the payment itself.
    pub event_id: Option<String>,
    pub refunds: Vec<Refund>,
    #[serde(default)]
    pub disputes: Vec<Dispute>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    Open,
    Succeeded,
    Failed,
    Cancelled,
    /// Only shown, never kept: open, and past its time.
    Expired,
}

impl PaymentState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// What the payer paid, which may differ from what was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Captured {
    pub amount: i64,
    pub currency: Currency,
    /// What the sandbox keeps of it, in the same minor units.
    pub fee: Option<i64>,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refund {
    /// `sbr_...`
    pub id: String,
    /// The merchant's own id of it, and its idempotency key; none if made in the dashboard.
    pub key: Option<String>,
    pub payment_id: String,
    pub order_id: String,
    pub amount: i64,
    pub currency: Currency,
    pub reason: String,
    pub state: RefundState,
    pub created_at: Timestamp,
    /// When it succeeded or failed; the books date a refund by it.
    pub settled_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundState {
    Pending,
    Succeeded,
    Failed,
}

/// The payer wants money back by way of the bank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dispute {
    /// `sbd_...`
    pub id: String,
    pub payment_id: String,
    pub order_id: String,
    pub amount: i64,
    pub currency: Currency,
    pub state: DisputeState,
    pub created_at: Timestamp,
    pub closed_at: Option<Timestamp>,
}

impl Dispute {
    pub fn event(&self) -> Event {
        let data = json!({
            "order_id": self.order_id, "payment_id": self.payment_id, "dispute_id": self.id,
            "amount": self.amount, "currency": self.currency, "state": self.state,
            "told_at": Timestamp::now(),
        });
        let kind = if self.state == DisputeState::Open { "dispute.created" } else { "dispute.closed" };
        let (payment_id, order_id) = (self.payment_id.clone(), self.order_id.clone());
        Event { id: new_id("evt_"), kind, payment_id, order_id, data }
    }
}

/// Something that happened, before it is put into webhooks.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: String,
    pub kind: &'static str,
    pub payment_id: String,
    pub order_id: String,
    pub data: Value,
}

impl Payment {
    /// The state at `now`: what is open expires by itself.
    pub fn state_at(&self, now: Timestamp) -> PaymentState {
        match (self.state, self.expires_at) {
            (PaymentState::Open, Some(end)) if end <= now => PaymentState::Expired,
            (state, _) => state,
        }
    }

    /// `payment.succeeded` or `payment.failed`, under the payment's latest event id.
    pub fn event(&self, kind: &'static str) -> Event {
        let (amount, currency) =
            self.captured.as_ref().map_or((self.amount, self.currency), |it| (it.amount, it.currency));
        let data = json!({
            "order_id": self.order_id, "payment_id": self.id, "amount": amount, "currency": currency,
        });
        Event {
            id: self.event_id.clone().unwrap_or_else(|| new_id("evt_")),
            kind,
            payment_id: self.id.clone(),
            order_id: self.order_id.clone(),
            data,
        }
    }
}

impl Refund {
    pub fn event(&self) -> Event {
        let mut data = json!({
            "order_id": self.order_id, "payment_id": self.payment_id,
            "amount": self.amount, "currency": self.currency, "provider_refund_id": self.id,
            "told_at": Timestamp::now(),
        });
        if let Some(key) = &self.key {
            data["refund_id"] = json!(key);
        }
        let kind = match self.state {
            RefundState::Pending => "refund.pending",
            RefundState::Succeeded => "refund.succeeded",
            RefundState::Failed => "refund.failed",
        };
        let (payment_id, order_id) = (self.payment_id.clone(), self.order_id.clone());
        Event { id: new_id("evt_"), kind, payment_id, order_id, data }
    }
}

/// `prefix` and 32 hex digits that sort by time.
pub fn new_id(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::now_v7().simple())
}

pub fn amount(amount: i64) -> Result<i64, Refusal> {
    money::asked(amount).map_err(|invalid| Refusal::invalid(invalid.to_string()))
}

/// An id or key from outside: 1 to 255 characters without blanks.
pub fn id(field: &str, text: &str) -> Result<String, Refusal> {
    match (1..=255).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err(Refusal::invalid(format!("{field}: must be 1 to 255 visible ASCII characters"))),
    }
}

/// A line for people: at most 500 bytes.
pub fn line(field: &str, text: Option<String>) -> Result<String, Refusal> {
    match text {
        Some(text) if text.len() > 500 => Err(Refusal::invalid(format!("{field}: at most 500 bytes"))),
        text => Ok(text.unwrap_or_default()),
    }
}
