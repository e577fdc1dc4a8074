//! An order, and what there is about it.

use domain::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Problem;

#[derive(Debug, Deserialize)]
pub struct Order {
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
    pub close_reason: Option<String>,
    pub payment_method: Option<String>,
    #[serde(default)]
    pub metadata: Map<String, Value>,
    pub workflow: Workflow,
}

#[derive(Debug, Deserialize)]
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

#[derive(Debug, Deserialize)]
pub struct Stay {
    pub from: String,
    pub to: String,
    pub guests: i64,
}

#[derive(Debug, Deserialize)]
pub struct Customer {
    pub id: String,
    pub email: String,
    pub name: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Workflow {
    pub id: String,
    pub url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    pub r#type: String,
    pub by: Option<String>,
    pub data: Value,
}

#[derive(Debug, Deserialize)]
pub struct NextStep {
    pub action: String,
    pub at: Option<Timestamp>,
    pub is_due: bool,
    pub number: Option<u8>,
    pub rule: Option<String>,
    pub value: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Payment {
    pub id: String,
    pub provider: String,
    pub provider_payment_id: Option<String>,
    pub state: String,
    pub amount: i64,
    pub currency: String,
    pub applied: i64,
    /// What of it can go back now.
    pub refundable: i64,
    pub captured_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

#[derive(Debug, Deserialize)]
pub struct Refund {
    pub id: String,
    pub amount: i64,
    pub currency: String,
    pub reason: String,
    pub source: String,
    pub by: Option<String>,
    pub state: String,
    pub created_at: Timestamp,
}

#[derive(Debug, Deserialize)]
pub struct Mail {
    pub kind: String,
    pub state: String,
    pub message_id: String,
    pub at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub struct Delivery {
    pub endpoint_id: String,
    pub event_id: String,
    pub r#type: String,
    pub subject: String,
    pub at: Timestamp,
    pub status: String,
    pub attempts: i64,
    pub answer_code: Option<i64>,
    pub error: Option<String>,
}

/// Something that was asked of the order.
#[derive(Debug, Deserialize)]
pub struct Change {
    pub kind: String,
    pub state: String,
    /// Why it was refused.
    pub problem: Option<Problem>,
    pub requested_at: Timestamp,
    pub by: Option<String>,
    pub decided_at: Option<Timestamp>,
}
