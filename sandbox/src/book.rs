//! The books: payments and deliveries in the order they were made, and found by their names.
//! Bounded: when full, the oldest make room, with all that belongs to them.

use std::collections::{BTreeMap, HashMap};

use domain::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    answer::{Answer, Refusal},
    faults::{Faults, Webhooks},
    model::{Event, Payment},
};

pub const MAX_PAYMENTS: usize = 50_000;
pub const MAX_DELIVERIES: usize = 50_000;

/// One event on its way to the merchant. Copies of an event are deliveries of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Counts up.
    pub id: u64,
    pub event_id: String,
    pub r#type: String,
    pub payment_id: String,
    pub order_id: String,
    pub state: DeliveryState,
    pub tries: u32,
    /// What the merchant answered last.
    pub last_status: Option<u16>,
    pub last_error: Option<String>,
    pub created_at: Timestamp,
    pub body: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits to be released.
    Held,
    /// Never sent, unless released.
    Lost,
    /// Tried until it is taken, or often enough.
    Sending,
    /// Answered 2xx.
    Delivered,
    GivenUp,
}

#[derive(Debug, Default)]
pub struct Book {
    payments: BTreeMap<u64, Payment>,
    next_payment: u64,
    /// Payment ids and keys.
    payment_names: HashMap<String, u64>,
    /// Refund ids and keys, to their payments.
    refund_names: HashMap<String, u64>,
    /// Dispute ids, to their payments.
    dispute_names: HashMap<String, u64>,
    deliveries: BTreeMap<u64, Delivery>,
    next_delivery: u64,
}

impl Book {
    /// By id or key.
    pub fn payment(&self, name: &str) -> Answer<&Payment> {
        let found = self.payment_names.get(name).and_then(|number| self.payments.get(number));
        found.ok_or_else(|| Refusal::not_found("payment"))
    }

    /// The payment of a refund, by the refund's id or key.
    pub fn payment_of_refund(&self, name: &str) -> Answer<&Payment> {
        let found = self.refund_names.get(name).and_then(|number| self.payments.get(number));
        found.ok_or_else(|| Refusal::not_found("refund"))
    }

    pub fn payment_of_dispute(&self, id: &str) -> Answer<&Payment> {
        let found = self.dispute_names.get(id).and_then(|number| self.payments.get(number));
        found.ok_or_else(|| Refusal::not_found("dispute"))
    }

    /// Oldest first.
    pub fn payments(&self) -> impl Iterator<Item = &Payment> {
        self.payments.values()
    }

    /// Puts a payment in, in its old one's place if there is one.
    pub fn put(&mut self, payment: Payment) {
        let number = self.payment_names.get(&payment.id).copied().unwrap_or_else(|| {
            self.next_payment += 1;
            self.next_payment
        });
        for name in std::iter::once(&payment.id).chain(&payment.key) {
            self.payment_names.insert(name.clone(), number);
        }
        for refund in &payment.refunds {
            for name in std::iter::once(&refund.id).chain(&refund.key) {
                self.refund_names.insert(name.clone(), number);
            }
        }
        for dispute in &payment.disputes {
            self.dispute_names.insert(dispute.id.clone(), number);
        }
        self.payments.insert(number, payment);
        while self.payments.len() > MAX_PAYMENTS {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, payment)) = self.payments.pop_first() else { return };
        for name in std::iter::once(&payment.id).chain(&payment.key) {
            self.payment_names.remove(name);
        }
        for name in payment.refunds.iter().flat_map(|it| std::iter::once(&it.id).chain(&it.key)) {
            self.refund_names.remove(name);
        }
        for dispute in &payment.disputes {
            self.dispute_names.remove(&dispute.id);
        }
    }

    /// Makes the deliveries of an event, as the faults want them.
    pub fn deliver(&mut self, event: &Event, faults: &Faults, now: Timestamp) -> Vec<Delivery> {
        let state = match faults.webhooks {
            Webhooks::Send => DeliveryState::Sending,
            Webhooks::Lose => DeliveryState::Lost,
            Webhooks::Hold => DeliveryState::Held,
        };
        let body = json!({"type": event.kind, "data": event.data}).to_string();
        let copy = |_| {
            self.next_delivery += 1;
            let delivery = Delivery {
                id: self.next_delivery,
                event_id: event.id.clone(),
                r#type: event.kind.to_owned(),
                payment_id: event.payment_id.clone(),
                order_id: event.order_id.clone(),
                state,
                tries: 0,
                last_status: None,
                last_error: None,
                created_at: now,
                body: body.clone(),
            };
            self.put_delivery(delivery.clone());
            delivery
        };
        (0..faults.copies.unwrap_or(1)).map(copy).collect()
    }

    pub fn delivery(&self, id: u64) -> Answer<&Delivery> {
        self.deliveries.get(&id).ok_or_else(|| Refusal::not_found("delivery"))
    }

    /// Oldest first.
    pub fn deliveries(&self) -> impl DoubleEndedIterator<Item = &Delivery> {
        self.deliveries.values()
    }

    pub fn put_delivery(&mut self, delivery: Delivery) {
        self.next_delivery = self.next_delivery.max(delivery.id);
        self.deliveries.insert(delivery.id, delivery);
        while self.deliveries.len() > MAX_DELIVERIES {
            self.deliveries.pop_first();
        }
    }

    /// Payments and deliveries.
    pub fn len(&self) -> usize {
        self.payments.len() + self.deliveries.len()
    }
}
