//! What the API answers, as a client declares it. A field that is not declared here is an error. A text that
//! is null is empty here, so that tests compare it with a word.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List<T> {
    pub object: String,
    pub data: Vec<T>,
    pub has_more: bool,
    pub next_cursor: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub object: String,
    pub id: String,
    pub status: String,
    pub payment_status: String,
    pub currency: String,
    pub total: i64,
    pub amount_paid: i64,
    pub amount_due: i64,
    pub lines: Vec<Line>,
    pub customer: Customer,
    pub placed_at: Timestamp,
    pub payment_due_at: Timestamp,
    pub paid_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    #[serde(deserialize_with = "text")]
    pub close_reason: String,
    #[serde(deserialize_with = "text")]
    pub payment_method: String,
    pub metadata: Value,
    pub workflow: Value,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub sku: String,
    pub name: String,
    pub quantity: i64,
    pub unit_price: i64,
    pub amount: i64,
    #[serde(default)]
    pub returned: i64,
    pub stay: Option<Stay>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stay {
    pub from: Date,
    pub to: Date,
    pub guests: i64,
    pub time_zone: String,
    pub nights: Vec<BookedNight>,
    pub extras: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BookedNight {
    pub date: Date,
    pub unit_price: i64,
    pub amount: i64,
    #[serde(default)]
    pub returned: i64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    pub id: String,
    pub email: String,
    #[serde(deserialize_with = "text")]
    pub name: String,
    #[serde(deserialize_with = "text")]
    pub locale: String,
    #[serde(deserialize_with = "text")]
    pub time_zone: String,
}

/// Something on an order's timeline.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub at: Timestamp,
    #[serde(rename = "type")]
    pub kind: String,
    pub by: Option<String>,
    pub data: Value,
}

/// A change that was asked of an order.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub object: String,
    pub id: String,
    pub order_id: String,
    pub kind: String,
    pub state: String,
    pub problem: Value,
    pub requested_at: Timestamp,
    pub by: Option<String>,
    pub decided_at: Option<Timestamp>,
}

/// An attempt to pay.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    pub object: String,
    pub id: String,
    pub provider: String,
    #[serde(deserialize_with = "text")]
    pub provider_payment_id: String,
    pub state: String,
    pub state_text: String,
    pub amount: i64,
    pub currency: String,
    pub applied: i64,
    pub refundable: i64,
    pub expires_at: Option<Timestamp>,
    pub captured_at: Option<Timestamp>,
    pub client: Value,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    pub object: String,
    pub id: String,
    #[serde(deserialize_with = "text")]
    pub order_id: String,
    #[serde(deserialize_with = "text")]
    pub exception_id: String,
    pub provider: String,
    pub provider_payment_id: String,
    #[serde(deserialize_with = "text")]
    pub provider_refund_id: String,
    pub amount: i64,
    pub currency: String,
    pub reason: String,
    pub restock: bool,
    pub lines: Value,
    pub also: Vec<String>,
    pub source: String,
    pub by: Option<String>,
    pub state: String,
    pub state_text: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    pub object: String,
    pub id: String,
    #[serde(deserialize_with = "text")]
    pub order_id: String,
    #[serde(deserialize_with = "text")]
    pub payment_id: String,
    pub kind: String,
    pub state: String,
    #[serde(deserialize_with = "text")]
    pub provider: String,
    #[serde(deserialize_with = "text")]
    pub provider_payment_id: String,
    #[serde(default)]
    pub event: Value,
    pub amount: i64,
    pub back: i64,
    #[serde(deserialize_with = "text")]
    pub currency: String,
    #[serde(deserialize_with = "text")]
    pub action: String,
    #[serde(deserialize_with = "text")]
    pub effect: String,
    #[serde(deserialize_with = "text")]
    pub note: String,
    #[serde(deserialize_with = "text")]
    pub resolved_by: String,
    pub by: Option<String>,
    pub raised_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    pub object: String,
    pub sku: String,
    pub kind: String,
    pub name: String,
    pub description: String,
    pub unit_price: i64,
    pub currency: String,
    pub active: bool,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub retired_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductEvent {
    pub object: String,
    pub version: i64,
    #[serde(rename = "type")]
    pub kind: String,
    pub at: Timestamp,
    pub by: String,
    pub changes: serde_json::Map<String, Value>,
}

/// What there is of a SKU.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    pub sku: String,
    pub on_hand: i64,
    pub held: i64,
    pub available: i64,
    /// Not told by what moves it.
    #[serde(default)]
    pub low_stock_threshold: Option<i64>,
}

/// A night on offer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Night {
    pub date: Date,
    pub capacity: i64,
    pub held: i64,
    pub sold: i64,
    pub available: i64,
    pub unit_price: i64,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Movement {
    pub object: String,
    pub id: String,
    pub sku: String,
    pub kind: String,
    pub quantity: i64,
    pub on_hand_delta: i64,
    pub held_delta: i64,
    pub on_hand_after: i64,
    pub held_after: i64,
    #[serde(deserialize_with = "text")]
    pub order_id: String,
    #[serde(deserialize_with = "text")]
    pub reason: String,
    pub by: Option<String>,
    pub at: Timestamp,
}

/// What a provider's statement comes to, in one currency on one day.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    pub object: String,
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

/// Whether an API can serve, and what it lacks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Readiness {
    pub status: String,
    pub missing: Vec<String>,
    pub checks: BTreeMap<String, String>,
}

/// A customer's account, as the shop sees it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerAccount {
    pub object: String,
    pub id: String,
    pub customer: Customer,
    pub verified_at: Timestamp,
    pub password_changed_at: Timestamp,
    pub has_password: bool,
    pub open_sessions: i64,
    pub last_seen_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    pub object: String,
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

/// The one answer that has the key itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreatedApiKey {
    pub key: String,
    pub object: String,
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

/// Why a request was refused. What is said of some refusals only stands below `request_id`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    pub code: String,
    pub request_id: String,
    #[serde(default)]
    pub errors: Vec<FieldError>,
    #[serde(default)]
    pub scope: String,
    #[serde(default)]
    pub shortages: Value,
    #[serde(default)]
    pub current_status: String,
    #[serde(default)]
    pub nights: Value,
    pub attempts_left: Option<i64>,
    pub opens_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    pub current_etag: Option<String>,
    pub refundable: Option<i64>,
    #[serde(default)]
    pub returnable: Value,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldError {
    pub field: String,
    pub message: String,
}

/// A text that must be there, or null.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
