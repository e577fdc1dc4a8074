//! Stripe's objects, as far as we read them, and what they are to us.

use std::collections::HashMap;

use domain::{
    OrderId, Timestamp,
    money::Money,
    payment::{DisputeReport, DisputeState, RefundReport, RefundState},
};
use serde::{Deserialize, Deserializer};

use super::{NAME, amount};
use crate::{Attempt, AttemptState, Error};

/// What we write to objects, to know them again.
pub(super) mod metadata {
    pub(in crate::stripe) const ORDER: &str = "order_id";
    pub(in crate::stripe) const REFUND: &str = "refund_id";
}

pub(super) type Metadata = HashMap<String, String>;

/// The order that metadata name, if that is an order's id at all.
pub(super) fn order(metadata: &Metadata) -> Option<OrderId> {
    metadata.get(metadata::ORDER)?.parse().ok()
}

#[derive(Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    pub(super) has_more: bool,
}

/// An object, or only its id: as asked by `expand[]`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Expandable<T> {
    Id(String),
    Object(T),
}

impl<T> Expandable<T> {
    pub(super) fn object(&self) -> Option<&T> {
        match self {
            Self::Id(_) => None,
            Self::Object(object) => Some(object),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct PaymentIntent {
    pub(super) id: String,
    amount: i64,
    /// Stripe always says it; the simulator localstripe does not.
    amount_received: Option<i64>,
    currency: String,
    status: String,
    pub(super) client_secret: Option<String>,
    latest_charge: Option<Expandable<LatestCharge>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
}

#[derive(Deserialize)]
struct LatestCharge {
    created: i64,
    /// A payment by card is booked up to an hour later, and until then this is null.
    balance_transaction: Option<Expandable<Booked>>,
}

#[derive(Deserialize)]
struct Booked {
    created: i64,
}

impl PaymentIntent {
    fn succeeded(&self) -> bool {
        self.status == "succeeded"
    }

    /// What was captured, or is to be.
    pub(super) fn money(&self) -> Option<Money> {
        let amount = match self.amount_received {
            Some(received) if self.succeeded() => received,
            _ => self.amount,
        };
        amount::from_stripe(amount, &self.currency)
    }

    /// A direct debit is charged days before it is booked: only the booking tells when the money came.
    fn captured_at(&self) -> Option<Timestamp> {
        let charge = self.latest_charge.as_ref().filter(|_| self.succeeded())?.object()?;
        let booked = charge.balance_transaction.as_ref().and_then(Expandable::object);
        Timestamp::from_second(booked.map_or(charge.created, |booked| booked.created)).ok()
    }

    pub(super) fn attempt(self) -> Result<Attempt, Error> {
        let state = match self.status.as_str() {
            "succeeded" => AttemptState::Succeeded,
            "canceled" => AttemptState::Cancelled,
            // A declined try leads back to `requires_payment_method`: an intent never fails for good.
            _ => AttemptState::Open,
        };
        let money = self.money().ok_or_else(unreadable)?;
        let captured_at = self.captured_at();
        Ok(Attempt { provider_payment_id: self.id, state, state_text: self.status, money, captured_at })
    }
}

/// Only what a reference to a PaymentIntent is read for.
#[derive(Deserialize)]
pub(super) struct IntentBehind {
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    metadata: Metadata,
}

impl Expandable<IntentBehind> {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Id(id) => id,
            Self::Object(intent) => &intent.id,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Refund {
    pub(super) id: String,
    amount: i64,
    currency: String,
    status: Option<String>,
    /// Null for charges that were made without one: those are not ours.
    pub(super) payment_intent: Option<Expandable<IntentBehind>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
}

impl Refund {
    pub(super) fn order(&self) -> Option<OrderId> {
        order_behind(&self.metadata, self.payment_intent.as_ref())
    }

    pub(super) fn report(self) -> Result<RefundReport, Error> {
        let state_text = self.status.unwrap_or_default();
        let state = match state_text.as_str() {
            "succeeded" => RefundState::Succeeded,
            "failed" | "canceled" => RefundState::Failed,
            _ => RefundState::Pending,
        };
        Ok(RefundReport {
            provider: NAME.to_owned(),
            event_id: String::new(),
            refund: self.metadata.get(metadata::REFUND).and_then(|id| id.parse().ok()),
            payment_id: self.payment_intent.ok_or_else(unreadable)?.id().to_owned(),
            provider_refund_id: self.id,
            state,
            state_text,
            money: amount::from_stripe(self.amount, &self.currency).ok_or_else(unreadable)?,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Dispute {
    id: String,
    amount: i64,
    currency: String,
    status: String,
    /// Null for charges that were made without one: those are not ours.
    pub(super) payment_intent: Option<Expandable<IntentBehind>>,
}

impl Dispute {
    pub(super) fn order(&self) -> Option<OrderId> {
        order_behind(&Metadata::new(), self.payment_intent.as_ref())
    }

    /// An inquiry (`warning_...`) may become a dispute, so its money is in question, too. `prevented` ones
    /// never do.
    pub(super) fn report(self) -> Result<DisputeReport, Error> {
        let state = match self.status.as_str() {
            "won" | "warning_closed" | "prevented" => DisputeState::Won,
            "lost" => DisputeState::Lost,
            _ => DisputeState::Open,
        };
        Ok(DisputeReport {
            provider: NAME.to_owned(),
            event_id: String::new(),
            provider_dispute_id: self.id,
            payment_id: self.payment_intent.ok_or_else(unreadable)?.id().to_owned(),
            state,
            state_text: self.status,
            money: amount::from_stripe(self.amount, &self.currency).ok_or_else(unreadable)?,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Charge {
    amount: i64,
    /// Stripe always says it; the simulator localstripe does not.
    amount_captured: Option<i64>,
    currency: String,
    pub(super) payment_intent: Option<Expandable<IntentBehind>>,
    #[serde(default, deserialize_with = "or_default")]
    metadata: Metadata,
}

impl Charge {
    pub(super) fn order(&self) -> Option<OrderId> {
        order_behind(&self.metadata, self.payment_intent.as_ref())
    }

    pub(super) fn money(&self) -> Option<Money> {
        amount::from_stripe(self.amount_captured.unwrap_or(self.amount), &self.currency)
    }
}

fn order_behind(metadata: &Metadata, intent: Option<&Expandable<IntentBehind>>) -> Option<OrderId> {
    order(metadata).or_else(|| order(&intent?.object()?.metadata))
}

/// An id as a part of a path. What cannot be an id is not known to Stripe.
pub(super) fn path_id(id: &str) -> Result<&str, Error> {
    let fits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fits { Ok(id) } else { Err(Error::NotFound) }
}

pub(super) fn unreadable() -> Error {
    Error::Unavailable(
        "an object that we cannot read: an amount or a reference is not as ours are".to_owned(),
    )
}

/// Stripe writes null for empty metadata of some objects.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
