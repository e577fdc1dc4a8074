//! What an event says, once it is known to be genuine.

use domain::{
    Timestamp,
    payment::{DisputeReport, Outcome, PaymentReport, RefundReport},
    provider_event::{self, Notice, ProviderEvent},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::NAME;
use super::types::{Dispute, PaymentIntent, Refund, metadata, order};

/// Every type of event that tells of money of a PaymentIntent. Others are kept, and tell us nothing: a
/// capture comes as `payment_intent.succeeded` too, `charge.refunded` as `refund.created`, and what Stripe
/// pays out, charges for itself or moves between accounts is no order's.
const OF_MONEY: [(&str, Of); 14] = [
    ("payment_intent.succeeded", Of::Payment(Outcome::Succeeded)),
    ("payment_intent.payment_failed", Of::Payment(Outcome::Failed)),
    ("refund.created", Of::Refund),
    ("refund.updated", Of::Refund),
    ("refund.failed", Of::Refund),
    // What accounts with an older API version are sent instead of the others.
    ("charge.refund.updated", Of::Refund),
    ("charge.dispute.created", Of::Dispute),
    ("charge.dispute.updated", Of::Dispute),
    ("charge.dispute.funds_withdrawn", Of::Dispute),
    ("charge.dispute.funds_reinstated", Of::Dispute),
    ("charge.dispute.closed", Of::Dispute),
    // Told by another event of this table, too.
    ("charge.succeeded", Of::Told),
    ("charge.captured", Of::Told),
    ("charge.refunded", Of::Told),
];

#[derive(Clone, Copy)]
enum Of {
    Payment(Outcome),
    Refund,
    Dispute,
    Told,
}

#[derive(Deserialize)]
struct Envelope {
    id: String,
    r#type: String,
    /// Seconds; some events have a text here.
    created: Option<Value>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

/// Reads an event. Says why, if it cannot; never what it could not read.
pub(super) fn read(body: &[u8]) -> Result<ProviderEvent, String> {
    let Envelope { id, r#type: kind, created, data } =
        serde_json::from_slice(body).map_err(|_| "not an event of Stripe")?;
    let event_id = provider_event::event_id(&id).map_err(|error| error.to_string())?;
    let object = data.map_or(Value::Null, |data| data.object);
    let notice = match OF_MONEY.iter().find(|(name, _)| *name == kind).map(|(_, of)| *of) {
        Some(Of::Payment(outcome)) => Some(payment(event_id.clone(), outcome, object)?),
        Some(Of::Refund) => refund(event_id.clone(), object)?,
        Some(Of::Dispute) => dispute(event_id.clone(), object)?,
        Some(Of::Told) | None => None,
    };
    let told_at = created.and_then(|at| at.as_i64()).and_then(|at| Timestamp::from_second(at).ok());
    let (provider, body) = (NAME.to_owned(), body.to_vec());
    let event = ProviderEvent { provider, event_id, kind, body, told_at, notice };
    event.checked().map_err(|error| error.to_string())
}

/// What stands on an event. Its object names the order in its metadata, and the payment, if it is none
/// itself.
pub(super) fn envelope(body: &[u8]) -> crate::Envelope {
    crate::Envelope::read(body, "type", |body, envelope| {
        let object = &body["data"]["object"];
        let id = |value: &Value| value.as_str().or(value["id"].as_str()).map(str::to_owned);
        let is_intent = envelope.kind.as_deref().is_some_and(|kind| kind.starts_with("payment_intent."));
        envelope.payment = id(if is_intent { &object["id"] } else { &object["payment_intent"] });
        envelope.order = object["metadata"][metadata::ORDER].as_str().and_then(|id| id.parse().ok());
    })
}

fn payment(event_id: String, outcome: Outcome, object: Value) -> Result<Notice, String> {
    let intent: PaymentIntent = parse(object, "a PaymentIntent")?;
    let money = intent.money().ok_or("the PaymentIntent has an amount that we cannot read")?;
    let (provider, order) = (NAME.to_owned(), order(&intent.metadata));
    let report = PaymentReport { provider, event_id, payment_id: intent.id, outcome, money };
    Ok(Notice::Payment { order, report })
}

fn refund(event_id: String, object: Value) -> Result<Option<Notice>, String> {
    let refund: Refund = parse(object, "a Refund")?;
    if refund.payment_intent.is_none() {
        return Ok(None);
    }
    let order = refund.order();
    let report = refund.report().map_err(|_| "the Refund has an amount that we cannot read")?;
    Ok(Some(Notice::Refund { order, report: RefundReport { event_id, ..report } }))
}

fn dispute(event_id: String, object: Value) -> Result<Option<Notice>, String> {
    let dispute: Dispute = parse(object, "a Dispute")?;
    if dispute.payment_intent.is_none() {
        return Ok(None);
    }
    let report = dispute.report().map_err(|_| "the Dispute has an amount that we cannot read")?;
    Ok(Some(Notice::Dispute(DisputeReport { event_id, ..report })))
}

fn parse<T: DeserializeOwned>(object: Value, what: &str) -> Result<T, String> {
    serde_json::from_value(object).map_err(|_| format!("the event's object is not {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use domain::payment::{DisputeState, RefundState};

    use super::*;

    const ORDER: &str = "ord_01890a5d96c5774b916f4be1d2b2f1a1";
    const REFUND: &str = "re_01890a5d96c5774b916f4be1d2b2f1a2";

    fn event(kind: &str, object: &Value) -> Result<ProviderEvent, String> {
        let event = json!({ "id": "evt_1", "object": "event", "type": kind, "data": { "object": object } });
        read(event.to_string().as_bytes())
    }

    /// Shaped as in Stripe's reference; the id of the charge instead of the charge.
    fn intent() -> Value {
        json!({ "id": "pi_1", "object": "payment_intent", "amount": 2000, "amount_received": 1500,
            "currency": "usd", "status": "succeeded", "client_secret": "pi_1_secret_2",
            "latest_charge": "ch_1", "metadata": { "order_id": ORDER } })
    }

    #[test]
    fn a_success_reports_what_was_received_and_a_failure_what_was_asked() {
        let told = |kind: &str, object: &Value| match event(kind, object).expect("readable").notice {
            Some(Notice::Payment { order, report }) => (order.map(|o| o.to_string()), report),
            other => panic!("{other:?}"),
        };
        let (order, report) = told("payment_intent.succeeded", &intent());
        assert_eq!(order.as_deref(), Some(ORDER));
        assert_eq!((report.outcome, report.money.to_string()), (Outcome::Succeeded, "15.00 USD".to_owned()));
        assert_eq!((report.event_id.as_str(), report.payment_id.as_str()), ("evt_1", "pi_1"));

        let mut declined = intent();
        declined["status"] = json!("requires_payment_method");
        declined["amount_received"] = json!(0);
        declined["metadata"] = json!({ "order_id": "1234" });
        let (order, report) = told("payment_intent.payment_failed", &declined);
        assert_eq!((order, report.outcome), (None, Outcome::Failed));
        assert_eq!(report.money.to_string(), "20.00 USD");
    }

    #[test]
    fn a_refund_is_told_in_each_of_its_states() {
        let cases = [
            ("pending", RefundState::Pending),
            ("requires_action", RefundState::Pending),
            ("succeeded", RefundState::Succeeded),
            ("failed", RefundState::Failed),
            ("canceled", RefundState::Failed),
        ];
        for kind in ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"] {
            for (status, state) in cases {
                let object = json!({ "id": "re_9", "object": "refund", "amount": 500, "currency": "isk",
                    "charge": "ch_1", "payment_intent": "pi_1", "status": status,
                    "metadata": { "order_id": ORDER, "refund_id": REFUND } });
                let Some(Notice::Refund { order, report }) = event(kind, &object).expect("readable").notice
                else {
                    panic!("{kind} tells nothing");
                };
                assert_eq!(order.map(|o| o.to_string()).as_deref(), Some(ORDER));
                assert_eq!(report.refund.map(|r| r.to_string()).as_deref(), Some(REFUND));
                assert_eq!((report.state, report.state_text.as_str()), (state, status));
                assert_eq!((report.payment_id.as_str(), report.money.amount), ("pi_1", 5));
                assert_eq!((report.provider.as_str(), report.event_id.as_str()), ("stripe", "evt_1"));
            }
        }
    }

    #[test]
    fn a_refund_from_the_dashboard_has_no_id_of_ours_and_one_without_an_intent_is_not_ours() {
        let mut object = json!({ "id": "re_9", "amount": 500, "currency": "eur", "status": "succeeded",
            "payment_intent": "pi_1", "metadata": null });
        let Some(Notice::Refund { order, report }) =
            event("refund.updated", &object).expect("readable").notice
        else {
            panic!("tells nothing");
        };
        assert_eq!((order, report.refund), (None, None));
        object["payment_intent"] = Value::Null;
        assert_eq!(event("refund.updated", &object).expect("readable").notice, None);
    }

    #[test]
    fn a_dispute_is_told_in_each_of_its_states_and_dated_by_stripe() {
        let cases = [
            ("warning_needs_response", DisputeState::Open),
            ("needs_response", DisputeState::Open),
            ("under_review", DisputeState::Open),
            ("won", DisputeState::Won),
            ("warning_closed", DisputeState::Won),
            ("lost", DisputeState::Lost),
        ];
        for kind in ["created", "updated", "funds_withdrawn", "funds_reinstated", "closed"] {
            for (status, state) in cases {
                let object = json!({ "id": "dp_1", "object": "dispute", "amount": 1500, "currency": "usd",
                    "charge": "ch_1", "payment_intent": "pi_1", "status": status });
                let event = json!({ "id": "evt_1", "type": format!("charge.dispute.{kind}"), "created": 1000,
                    "data": { "object": object } });
                let event = read(event.to_string().as_bytes()).expect("readable");
                assert_eq!(event.told_at.map(Timestamp::as_second), Some(1000));
                let Some(Notice::Dispute(dispute)) = event.notice else { panic!("{kind} tells nothing") };
                assert_eq!((dispute.state, dispute.state_text.as_str()), (state, status));
                assert_eq!(dispute.provider_dispute_id, "dp_1");
                assert_eq!((dispute.payment_id.as_str(), dispute.money.amount), ("pi_1", 1500));
            }
        }
        let foreign =
            json!({ "id": "dp_1", "amount": 1, "currency": "usd", "status": "lost", "payment_intent": null });
        assert_eq!(event("charge.dispute.closed", &foreign).expect("readable").notice, None);
    }

    #[test]
    fn other_events_tell_nothing_and_broken_ones_are_malformed() {
        assert_eq!(event("customer.created", &json!({ "id": 7 })).expect("readable").notice, None);
        assert_eq!(event("charge.refunded", &json!({})).expect("readable").notice, None);
        let thin = br#"{"id":"evt_2","object":"v2.core.event","type":"v1.billing.meter.no_meter_found"}"#;
        assert_eq!(read(thin).expect("readable").notice, None);

        assert!(event("payment_intent.succeeded", &json!({ "id": "pi_1" })).is_err());
        let mut unknown_unit = intent();
        unknown_unit["currency"] = json!("ugx");
        assert!(event("payment_intent.succeeded", &unknown_unit).is_err());
        for body in [&b"{"[..], b"[]", br#"{"id":"a b","type":"x"}"#, b"\xff\xfe"] {
            assert!(read(body).is_err());
        }
    }
}
