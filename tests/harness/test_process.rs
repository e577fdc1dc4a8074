//! A process's process without its HTTP and its workflows: for tests that need to say exactly what meets
//! what.

use domain::{
    OrderId,
    collect::Collects,
    customer::{Customer, UncheckedCustomer},
    metadata::Metadata,
    money::{Currency, Money},
    order::{Placement, Requested},
    payment::{Outcome, PaymentReport},
    policy::{LatePayment, Policy},
    stock::{Quantity, Sku},
};
use jiff::Timestamp;
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
    let line = |(sku, quantity): &(&str, i64)| {
        (Sku::parse(sku).unwrap(), Requested::Pieces(Quantity::parse(*quantity).unwrap()))
    };
    let placement = Placement {
        customer: customer("cust-42"),
        currency: Currency::parse("EUR").unwrap(),
        lines: lines.iter().map(line).collect(),
        policy,
        payment_method: None,
        metadata: Metadata::default(),
    };
    let at = Timestamp::now();
    let idempotency = Idempotency { key: unique(), request_hash: Vec::new() };
    PlaceOrder {
        id: OrderId::new(at, store::random()),
        placement,
        collects: Collects::Anything,
        idempotency,
        at,
        cause: Default::default(),
    }
}

pub fn customer(id: &str) -> Customer {
    let (id, email) = (id.to_owned(), "zaphod@example.org".to_owned());
    Customer::parse(&UncheckedCustomer { id, email, name: None, locale: None, time_zone: None }).unwrap()
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
