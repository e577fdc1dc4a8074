//! Money that arrives, and whether it pays the order.

use serde::{Deserialize, Serialize};

use crate::{Invalid, money::Money, text};

/// What a provider reports about one payment attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentReport {
    pub provider: String,
    /// The provider's id of the event, unique per provider.
    pub event_id: String,
    /// The provider's own id of the payment.
    pub payment_id: String,
    pub outcome: Outcome,
    pub money: Money,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    Failed,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    pub fn from_store(text: &str) -> Self {
        match text {
            "succeeded" => Self::Succeeded,
            _ => Self::Failed,
        }
    }
}

/// Why captured money did not pay the order it named. Each becomes an open exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    WrongAmount,
    WrongCurrency,
    /// The order was paid already by another payment.
    PaidTwice,
    /// The order was expired or cancelled when the money came.
    OrderClosed,
    /// No order has the id the provider named.
    UnknownOrder,
}

impl Mismatch {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongAmount => "wrong_amount",
            Self::WrongCurrency => "wrong_currency",
            Self::PaidTwice => "paid_twice",
            Self::OrderClosed => "order_closed",
            Self::UnknownOrder => "unknown_order",
        }
    }
}

/// Does `paid` settle an order of `total` that awaits payment?
pub fn judge(total: Money, paid: Money) -> Result<(), Mismatch> {
    if paid.currency != total.currency {
        return Err(Mismatch::WrongCurrency);
    }
    if paid.amount != total.amount {
        return Err(Mismatch::WrongAmount);
    }
    Ok(())
}

/// Checks a provider's id of a payment.
pub fn provider_id(id: &str) -> Result<String, Invalid> {
    text::line("payment_id", id, 255)
}

/// Checks the type of a provider's event.
pub fn event_type(kind: &str) -> Result<String, Invalid> {
    text::line("type", kind, 100)
}

/// Checks a provider's id of an event: it travels in a header.
pub fn event_id(id: &str) -> Result<String, Invalid> {
    text::token("event_id", id, 255, "_-.:")
}
