//! The sandbox's JSON, and what it says in our words. Its unknown fields are none of our business.

use domain::{
    Timestamp,
    money::{self, Currency, Money},
    payment::{DisputeState, RefundReport, RefundState},
    statement::{LineKind, StatementLine},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{NAME, PaidDirectly};
use crate::{Attempt, AttemptState};

#[derive(Debug, Deserialize)]
pub(super) struct PaymentDocument {
    pub id: String,
    #[serde(deserialize_with = "told")]
    amount: i64,
    currency: Currency,
    state: PaymentState,
    captured: Option<Captured>,
    pub pay_url: String,
}

/// An amount, as far as we take any.
fn told<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    money::told(i64::deserialize(deserializer)?).map_err(D::Error::custom)
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PaymentState {
    Open,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
}

#[derive(Debug, Deserialize)]
struct Captured {
    #[serde(deserialize_with = "told")]
    amount: i64,
    currency: Currency,
    at: Timestamp,
}

impl From<PaymentDocument> for Attempt {
    fn from(payment: PaymentDocument) -> Self {
        let (state, text) = match payment.state {
            PaymentState::Open => (AttemptState::Open, "open"),
            PaymentState::Succeeded => (AttemptState::Succeeded, "succeeded"),
            PaymentState::Failed => (AttemptState::Failed, "failed"),
            PaymentState::Cancelled => (AttemptState::Cancelled, "cancelled"),
            PaymentState::Expired => (AttemptState::Cancelled, "expired"),
        };
        let captured = payment.captured;
        let asked = (payment.amount, payment.currency);
        let (amount, currency) = captured.as_ref().map_or(asked, |it| (it.amount, it.currency));
        Self {
            provider_payment_id: payment.id,
            state,
            state_text: text.to_owned(),
            money: Money::new(amount, currency),
            captured_at: captured.map(|it| it.at),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct RefundDocument {
    id: String,
    key: Option<String>,
    payment_id: String,
    #[serde(deserialize_with = "told")]
    amount: i64,
    currency: Currency,
    state: RefundState,
}

impl From<RefundDocument> for RefundReport {
    fn from(refund: RefundDocument) -> Self {
        Self {
            provider: NAME.to_owned(),
            event_id: String::new(),
            refund: refund.key.and_then(|key| key.parse().ok()),
            provider_refund_id: refund.id,
            payment_id: refund.payment_id,
            state: refund.state,
            state_text: refund.state.as_str().to_owned(),
            money: Money::new(refund.amount, refund.currency),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub data: Vec<MovementDocument>,
    pub next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct MovementDocument {
    r#type: MovementType,
    id: String,
    payment_id: String,
    order_id: String,
    refund_id: Option<String>,
    amount: i64,
    currency: Currency,
    fee: Option<i64>,
    at: Timestamp,
    /// Of a dispute, by now.
    state: Option<DisputeState>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MovementType {
    Captured,
    Refunded,
    Disputed,
    DisputeReversed,
}

impl From<MovementDocument> for StatementLine {
    fn from(movement: MovementDocument) -> Self {
        let money = Money::new(movement.amount, movement.currency);
        let dispute = |is_reversal, provider_dispute_id, or: DisputeState| {
            let state = movement.state.unwrap_or(or);
            let state_text = state.as_str().to_owned();
            LineKind::Disputed { is_reversal, provider_dispute_id, state, state_text }
        };
        let kind = match movement.r#type {
            MovementType::Captured => LineKind::Captured,
            MovementType::Refunded => LineKind::Refunded {
                refund: movement.refund_id.and_then(|id| id.parse().ok()),
                provider_refund_id: movement.id,
            },
            MovementType::Disputed => dispute(false, movement.id, DisputeState::Open),
            MovementType::DisputeReversed => dispute(true, movement.id, DisputeState::Won),
        };
        Self {
            kind,
            provider_payment_id: movement.payment_id,
            order: movement.order_id.parse().ok(),
            money,
            fee: movement.fee,
            at: movement.at,
        }
    }
}

/// How a payment without an attempt ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    #[default]
    Succeeded,
    Failed,
}

#[derive(Debug, Deserialize)]
pub(super) struct Paid {
    order_id: String,
    event_id: String,
    payment_id: String,
    amount: i64,
    currency: Currency,
    outcome: Outcome,
    webhook_status: Option<u16>,
}

impl From<Paid> for PaidDirectly {
    fn from(paid: Paid) -> Self {
        Self {
            order_id: paid.order_id,
            event_id: paid.event_id,
            provider_payment_id: paid.payment_id,
            money: Money::new(paid.amount, paid.currency),
            outcome: paid.outcome,
            webhook_status: paid.webhook_status,
        }
    }
}
