//! A process's process without its HTTP and its workflows: for tests that need to say exactly what meets
//! what.

use domain::{
    OrderId,
    collect::Collects,
    money::{Currency, Money},
    order::Placement,
    payment::{Outcome, PaymentReport},
    policy::{LatePayment, Policy},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use store::{Db, Idempotency, PlacementBatcher, SettlementBatcher, orders::PlaceOrder};

use super::{Shop, unique};

/// The API's door and the worker's till, with connections of their own.
#[derive(Clone)]
pub struct TestProcess {
    pub db: Db,
    pub placements: PlacementBatcher,
    pub settlements: SettlementBatcher,
}

impl TestProcess {
    pub fn of(shop: &Shop) -> Self {
        let db = Db::open(&shop.database_url, 6).unwrap();
        Self {
            placements: PlacementBatcher::open(&db).unwrap(),
            settlements: SettlementBatcher::open(&db).unwrap(),
            db,
        }
    }
}

/// Asks for an order in EUR under a key of its own.
pub fn ask(lines: &[(&str, i64)], late_payment: LatePayment) -> PlaceOrder {
    let mut policy = Policy::default();
    policy.money.late_payment = late_payment;
    let lines: Value = lines.iter().map(|(sku, quantity)| ((*sku).to_owned(), json!(quantity))).collect();
    let placement = json!({"customer": {"id": "cust-42", "email": "zaphod@example.org"}, "currency": "EUR",
                           "lines": lines, "policy": policy});
    let placement: Placement = serde_json::from_value(placement).unwrap();
    let at = Timestamp::now();
    let idempotency = Idempotency { key: unique(), request_hash: Vec::new() };
    PlaceOrder {
        id: OrderId::new(at, store::random()),
        placement,
        collects: Collects::Anything,
        idempotency,
        at,
    }
}

/// A provider captured this much.
pub fn money(payment: &str, amount: i64) -> PaymentReport {
    PaymentReport {
        provider: "sandbox".into(),
        event_id: format!("evt_{payment}"),
        payment_id: payment.into(),
        outcome: Outcome::Succeeded,
        money: Money::new(amount, Currency::parse("EUR").unwrap()),
    }
}
