//! What the API answers, as far as the pages show it.

mod order;

use axum::http::StatusCode;
use domain::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use order::{Change, Customer, Delivery, Entry, Line, Mail, NextStep, Order, Payment, Refund};

/// One page of a list.
#[derive(Debug, Deserialize)]
pub struct List<T> {
    pub data: Vec<T>,
    pub next_cursor: Option<String>,
}

/// An error, as RFC 9457 has it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Problem {
    pub status: u16,
    #[serde(default)]
    pub code: String,
    pub detail: String,
    #[serde(default)]
    pub errors: Vec<FieldError>,
    pub request_id: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct FieldError {
    pub field: String,
    pub message: String,
}

impl Problem {
    /// One of the pages' own.
    pub fn own(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status: status.as_u16(), detail: detail.into(), ..Self::default() }
    }

    /// A field of a form that the API need not be asked about.
    pub fn field(field: &str, message: &str) -> Self {
        let error = FieldError { field: field.to_owned(), message: message.to_owned() };
        let detail = "One field is not as it should be.".to_owned();
        Self { status: 422, detail, errors: vec![error], ..Self::default() }
    }
}

impl From<&api::Problem> for Problem {
    fn from(problem: &api::Problem) -> Self {
        Self::own(problem.status(), problem.detail())
    }
}

/// A customer's account.
#[derive(Debug, Deserialize)]
pub struct Account {
    pub id: String,
    pub customer: Customer,
    pub verified_at: Timestamp,
    pub password_changed_at: Timestamp,
    pub has_password: bool,
    pub open_sessions: i64,
    pub last_seen_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub struct Movement {
    pub sku: String,
    pub kind: String,
    pub on_hand_delta: i64,
    pub held_delta: i64,
    pub on_hand_after: i64,
    pub held_after: i64,
    pub order_id: Option<String>,
    pub reason: Option<String>,
    pub by: Option<String>,
    pub at: Timestamp,
}

#[derive(Debug, Deserialize)]
pub struct Exception {
    pub id: String,
    pub order_id: Option<String>,
    pub kind: String,
    pub state: String,
    pub provider: Option<String>,
    pub provider_payment_id: Option<String>,
    pub event: Option<UnreadableEvent>,
    pub amount: i64,
    pub back: i64,
    pub currency: Option<String>,
    pub action: Option<String>,
    pub effect: Option<String>,
    pub note: Option<String>,
    pub resolved_by: Option<String>,
    pub by: Option<String>,
    pub raised_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    /// Of one exception alone.
    #[serde(default)]
    pub provider_events: Vec<ProviderEvent>,
    #[serde(default)]
    pub statement_lines: Vec<StatementLine>,
    pub rule: Option<Rule>,
}

#[derive(Debug, Deserialize)]
pub struct UnreadableEvent {
    pub id: String,
    pub r#type: String,
    pub detail: String,
}

#[derive(Debug, Deserialize)]
pub struct ProviderEvent {
    pub event_id: String,
    pub r#type: String,
    pub received_at: Timestamp,
    pub settled_at: Option<Timestamp>,
    pub body: String,
}

#[derive(Debug, Deserialize)]
pub struct StatementLine {
    pub kind: String,
    pub reference: String,
    pub amount: i64,
    pub currency: String,
    pub fee: Option<i64>,
    pub at: Timestamp,
    pub matched: bool,
}

#[derive(Debug, Deserialize)]
pub struct Rule {
    pub name: String,
    pub value: String,
}

#[derive(Debug, Deserialize)]
pub struct Overview {
    pub hours: Vec<Hour>,
    pub money: Vec<Flow>,
    pub waiting: Waiting,
    pub away: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Hour {
    pub at: Timestamp,
    pub placed: i64,
    pub paid: i64,
    pub expired: i64,
    pub cancelled: i64,
}

#[derive(Debug, Deserialize)]
pub struct Flow {
    pub currency: String,
    pub captured: i64,
    pub refunded: i64,
}

#[derive(Debug, Deserialize)]
pub struct Waiting {
    pub open_exceptions: i64,
    pub unstarted_orders: i64,
    pub unpublished_events: i64,
    pub oldest_unsettled_at: Option<Timestamp>,
    pub pending_deliveries: i64,
    pub disabled_endpoints: i64,
}

#[derive(Debug, Deserialize)]
pub struct Stocked {
    pub sku: String,
    pub name: String,
    pub on_hand: i64,
    pub held: i64,
    pub available: i64,
    pub low_stock_threshold: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct Level {
    pub on_hand: i64,
    pub held: i64,
    pub available: i64,
}

#[derive(Debug, Deserialize)]
pub struct Night {
    pub date: String,
    pub capacity: i64,
    pub held: i64,
    pub sold: i64,
    pub available: i64,
    pub unit_price: i64,
}

#[derive(Debug, Deserialize)]
pub struct Product {
    pub sku: String,
    pub kind: String,
    pub name: String,
    pub description: String,
    pub unit_price: i64,
    pub currency: String,
    pub active: bool,
    pub version: i64,
    pub updated_at: Timestamp,
    pub retired_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub struct ProductEvent {
    pub version: i64,
    pub r#type: String,
    pub at: Timestamp,
    pub by: String,
    pub changes: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
pub struct Settlement {
    pub day: String,
    pub provider: String,
    pub currency: String,
    pub captured: i64,
    pub refunded: i64,
    pub fees: Option<i64>,
    pub open: i64,
    pub disputed: i64,
    pub unmatched: i64,
}

#[derive(Debug, Deserialize)]
pub struct UnmatchedLine {
    pub provider: String,
    pub kind: String,
    pub reference: String,
    pub order_id: Option<String>,
    pub amount: i64,
    pub currency: String,
    pub at: Timestamp,
}

#[derive(Debug, Deserialize)]
pub struct Endpoint {
    pub id: String,
    pub url: String,
    pub types: Vec<String>,
    pub description: String,
    pub status: String,
    pub disabled_reason: Option<String>,
    pub failing_since: Option<Timestamp>,
    pub created_at: Timestamp,
    pub created_by: String,
}

#[derive(Debug, Deserialize)]
pub struct Key {
    pub id: String,
    pub name: String,
    pub prefix: String,
    pub scopes: Vec<String>,
    pub created_at: Timestamp,
    pub created_by: String,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// The only answer that has a new key.
#[derive(Debug, Deserialize)]
pub struct CreatedKey {
    pub key: String,
    pub name: String,
}
