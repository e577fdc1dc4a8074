//! What a property or parameter may hold, by its name: a name means the same wherever it stands. The types of
//! the handlers say string or integer; this adds bounds, patterns and enumerations, which client generators
//! make types of.

use domain::{
    api_key::{self, Scope},
    email, exception,
    money::{MAX_AMOUNT, MAX_UNIT_PRICE},
    order::{MAX_LINES, Status},
    payment::PaymentState,
    policy::{CancelPaid, Fulfilment, LatePayment, Overpayment, Settle, Underpayment},
    product,
    public_event::PublicEventType,
    stay::{MAX_EXTRAS, MAX_GUESTS, MAX_ROOMS, Per},
    stock::{ByHand, MAX_ADJUSTMENT, MAX_QUANTITY},
    webhook,
};
use serde_json::{Value, json};

/// What the property `name` of `schema` holds, to be merged into what its type says. A parameter's schema is
/// `""`, that of an id in a path the resource's.
pub fn of(schema: &str, name: &str, kind: &str) -> Option<Value> {
    match kind {
        "integer" => {
            let (min, max) = number(schema, name);
            Some(json!({"minimum": min, "maximum": max}))
        }
        "array" => items(schema, name).map(|(min, max)| json!({"minItems": min, "maxItems": max})),
        "string" => id(schema, name)
            .map(|prefix| json!({"pattern": format!("^{prefix}_[0-9a-f]{{32}}$")}))
            .or_else(|| text(schema, name)),
        _ => None,
    }
}

/// A closed set of words, which is a schema of its own, where the handler reads or writes plain text.
pub struct Words {
    pub name: &'static str,
    pub words: Vec<&'static str>,
}

pub fn words(schema: &str, name: &str) -> Option<Words> {
    let (name, words) = match (schema, name) {
        ("", "status") => ("OrderStatus", Status::WORDS.to_vec()),
        ("Payment", "state") => ("PaymentState", PaymentState::WORDS.to_vec()),
        ("", "state") => ("ExceptionState", exception::State::WORDS.to_vec()),
        ("", "kind") => ("ExceptionKind", exception::Kind::WORDS.to_vec()),
        ("Adjustment", "kind") => ("AdjustmentKind", ByHand::WORDS.to_vec()),
        ("PutProduct", "kind") => ("ProductKind", product::Kind::WORDS.to_vec()),
        (_, "per") => ("ExtraPer", Per::WORDS.to_vec()),
        ("PlacePolicy", "fulfilment") => {
            // What has a stay waits for its guests, whatever was asked for.
            ("Fulfilment", [Fulfilment::Immediate, Fulfilment::Manual].map(Fulfilment::as_str).to_vec())
        }
        ("PlacePolicy", "late_payment") => ("LatePayment", LatePayment::WORDS.to_vec()),
        ("PlacePolicy", "overpayment") => ("Overpayment", Overpayment::WORDS.to_vec()),
        ("PlacePolicy", "underpayment") => ("Underpayment", Underpayment::WORDS.to_vec()),
        ("PlacePolicy", "duplicate_payment") => ("DuplicatePayment", Settle::WORDS.to_vec()),
        ("PlacePolicy", "cancel_paid") => ("CancelPaid", CancelPaid::WORDS.to_vec()),
        _ => return None,
    };
    Some(Words { name, words })
}

/// The prefix of an id of ours.
fn id(schema: &str, name: &str) -> Option<&'static str> {
    Some(match (schema, name) {
        ("Order", "id") | (_, "order_id" | "order") => "ord",
        ("Payment", "id") | ("ExceptionRecord" | "ExceptionWithEvidence" | "", "payment_id") => "pay",
        ("Refund", "id") => "re",
        ("ExceptionRecord" | "ExceptionWithEvidence", "id") | (_, "exception_id") => "exc",
        ("ApiKey" | "CreatedApiKey", "id") => "key",
        ("OrderChange", "id") | ("", "change_id") => "chg",
        ("", "account_id") => "acc",
        ("WebhookEndpoint" | "WebhookEndpointWithSecret", "id") | (_, "endpoint_id") => "whe",
        _ => return None,
    })
}

fn number(schema: &str, name: &str) -> (i64, i64) {
    match (schema, name) {
        ("PutProduct" | "PutNights" | "Extra", "unit_price") => (0, MAX_UNIT_PRICE),
        ("RequestRefund" | "PayOrder", "amount") => (1, MAX_AMOUNT),
        ("PlaceLine" | "ReturnLine", "quantity") => (1, MAX_QUANTITY),
        ("PlaceLine", "guests") => (1, MAX_GUESTS * MAX_ROOMS),
        ("StayTerms", "max_guests") => (1, MAX_GUESTS),
        ("PutNights", "capacity") => (0, MAX_QUANTITY),
        ("Adjustment", "delta") => (-MAX_ADJUSTMENT, MAX_ADJUSTMENT),
        // Corrections go down, and a day's refunds may be of money that came before.
        ("Movement", "quantity" | "on_hand_delta" | "held_delta") | ("Settlement", _) => {
            (-MAX_AMOUNT, MAX_AMOUNT)
        }
        ("Problem", "status") => (400, 599),
        ("Paid", "webhook_status") => (100, 599),
        (_, "version") => (1, i32::MAX.into()),
        ("", "limit") => (1, 100),
        ("", "hours") => (1, 168),
        ("NextStep", "number") => (1, 255),
        _ => (0, MAX_AMOUNT),
    }
}

/// Lists in requests.
fn items(schema: &str, name: &str) -> Option<(usize, usize)> {
    Some(match (schema, name) {
        ("PlaceOrder" | "RequestRefund", "lines") => (1, MAX_LINES),
        ("PlaceLine" | "StayTerms", "extras") => (0, MAX_EXTRAS),
        ("PlacePolicy", "reminders") => (0, 10),
        ("CreateApiKey", "scopes") => (1, Scope::ALL.len()),
        ("CreateWebhookEndpoint" | "ChangeWebhookEndpoint", "types") => (0, PublicEventType::ALL.len()),
        _ => return None,
    })
}

const SKU: &str = r"^([._/+-][._/+ -]*)?[A-Za-z0-9]([A-Za-z0-9._/+ -]*[A-Za-z0-9._/+-])?$";
const CUSTOMER: &str =
    r"^[^\s@\u0000-\u001f\u007f-\u009f]([^@\u0000-\u001f\u007f-\u009f]*[^\s@\u0000-\u001f\u007f-\u009f])?$";
const PAYER: &str = "^[_.:-]*[0-9A-Za-z][0-9A-Za-z_.:-]*$";
const LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
const ENTITY_TAGS: &str = r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#;

/// What a page can start after.
pub fn cursor(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "list_orders" => "^ord_[0-9a-f]{32}$",
        "list_exceptions" => "^exc_[0-9a-f]{32}$",
        "list_movements" => "^mov_[0-9]+$",
        "list_settlements" => r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\.[!-~]{1,32}\.[!-~]{1,32}$",
        "list_unmatched_lines" => {
            r"^[1-9][0-9]{0,15}\.[a-z]{1,32}\.(captured|refunded|disputed|dispute_reversed)\.[!-~]{1,128}$"
        }
        "list_inventory" => return Some(SKU),
        "list_accounts" => "^acc_[0-9a-f]{32}$",
        "list_api_keys" => "^key_[0-9a-f]{32}$",
        "list_webhook_endpoints" => "^whe_[0-9a-f]{32}$",
        "list_webhook_deliveries" => "^evt_[0-9a-f]{32}$",
        "list_order_deliveries" => r"^evt_[0-9a-f]{32}\.whe_[0-9a-f]{32}$",
        "list_product_events" => "^[1-9][0-9]{0,8}$",
        _ => return None,
    })
}

/// What each item of a list of text in a request is.
pub fn item(schema: &str, name: &str) -> Option<Value> {
    matches!((schema, name), ("PlacePolicy", "reminders")).then(|| json!({"format": "duration"}))
}

/// Text with a form or a length.
fn text(schema: &str, name: &str) -> Option<Value> {
    // On one line, without control characters.
    let line = |max: usize| json!({"minLength": 1, "maxLength": max, "pattern": LINE});
    Some(match (schema, name) {
        ("Movement", "id") => json!({"pattern": "^mov_[0-9]+$"}),
        (_, "currency") => json!({"pattern": "^[A-Z]{3}$"}),
        (_, "payment_window" | "grace" | "free_cancellation" | "customer_extension" | "duration") => {
            json!({"format": "duration"})
        }
        ("", "from" | "to") | (_, "day") => json!({"format": "date"}),
        ("", "placed_from" | "placed_to") => json!({"format": "date-time"}),
        // No `format`: validators know fewer addresses than mail servers (docs/adr/0033).
        (_, "email") => json!({"minLength": 3, "maxLength": email::MAX_WRITTEN, "pattern": "^[^@]+@[^@]+$"}),
        ("Customer", "id") | ("", "customer") => {
            json!({"minLength": 1, "maxLength": 128, "pattern": CUSTOMER})
        }
        // Of the ledger, also a night of one.
        ("" | "Movement", "sku") => line(80),
        (_, "sku") => json!({"maxLength": 64, "pattern": SKU}),
        ("CheckInOrder", "code") => json!({"maxLength": 64, "pattern": "^[ -]*([0-9A-Za-z][ -]*){8}$"}),
        ("Extra" | "PlaceExtra" | "BookedExtra", "code") => line(64),
        (_, "locale") => line(35),
        ("CreateApiKey" | "ApiKey" | "CreatedApiKey", "name") => json!({"pattern": api_key::NAME_PATTERN}),
        ("CreatedApiKey", "key") => json!({"pattern": api_key::PATTERN}),
        (_, "time_zone") => line(64),
        ("Customer" | "Register" | "PutProduct" | "Extra", "name") => line(200),
        ("Verify" | "ResetPassword", "code") => json!({"maxLength": 32, "pattern": "^[ -]*([0-9][ -]*){6}$"}),
        ("Register" | "ChangePassword" | "ResetPassword", "password") => {
            json!({"minLength": 12, "maxLength": 128})
        }
        (_, "password" | "current_password") => json!({"maxLength": 512}),
        ("Refresh", "refresh_token") => json!({"maxLength": 128}),
        ("PutProduct", "description") => json!({"maxLength": 5000}),
        ("CreateWebhookEndpoint" | "ChangeWebhookEndpoint", "url") => {
            json!({"maxLength": webhook::MAX_URL, "format": "uri"})
        }
        ("CreateWebhookEndpoint" | "ChangeWebhookEndpoint", "description") => {
            json!({"maxLength": webhook::MAX_DESCRIPTION, "pattern": LINE})
        }
        ("WebhookEndpointWithSecret", "secret") => json!({"pattern": "^whsec_[A-Za-z0-9+/]{32}$"}),
        ("Redeliver" | "WebhookDelivery", "event_id") | ("Redeliver", "starting_after") => {
            json!({"pattern": "^evt_[0-9a-f]{32}$"})
        }
        ("Redeliver", "since") => json!({"format": "date-time"}),
        (_, "reason" | "note") => line(200),
        ("", "after" | "Last-Event-ID") => json!({"pattern": "^evt_[0-9a-f]{32}$"}),
        // Types, with commas between them.
        ("", "type") => json!({"pattern": "^[a-z_.]+(,[a-z_.]+)*$"}),
        ("", "subject") => line(200),
        ("", "q") => json!({"maxLength": 200}),
        ("", "starting_after") => line(200),
        ("" | "PlaceOrder", "provider" | "payment_method") => line(64),
        ("", "If-Match" | "If-None-Match") => json!({"minLength": 1, "pattern": ENTITY_TAGS}),
        ("OpenPayment", "payer") => json!({"maxLength": 128, "pattern": PAYER}),
        ("PayOrder", "event_id") => line(255),
        ("", "Idempotency-Key") => json!({"minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}),
        _ => return None,
    })
}
