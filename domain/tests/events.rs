//! Each event type by its JSON, which is stored for good and read by others.

use std::collections::BTreeSet;

use domain::{
    ChangeId, ExceptionId, OrderId, RefundId, Timestamp,
    event::{
        Cause, Dispute, EventLine, EventType, ExceptionData, OrderEvent, ReceivedMoney, Refund, RefundSaid,
        Span,
    },
    exception::{Kind, ResolvedBy},
    mail::MailKind,
    money::{Currency, Money},
    payment::{Action, RefundSource, RefundState},
    stock::Sku,
};
use jiff::civil::date;
use serde_json::{Value, json};

const UUID: uuid::Uuid = uuid::Uuid::from_u128(7);
const HEX: &str = "00000000000000000000000000000007";

/// An event, its data on the timeline, and in the outbox.
type Case = (OrderEvent, Value, Option<Value>);

fn eur() -> Currency {
    Currency::parse("EUR").expect("a currency")
}

fn received() -> ReceivedMoney {
    ReceivedMoney::new("sandbox", "p1", Money::new(5, eur()))
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn lines() -> Vec<EventLine> {
    let stay = Span { from: date(2026, 7, 1), to: date(2026, 7, 3) };
    vec![
        EventLine { sku: Sku::parse("tea").expect("a SKU"), quantity: 2, stay: None },
        EventLine { sku: Sku::parse("room").expect("a SKU"), quantity: 1, stay: Some(stay) },
    ]
}

fn of_the_order() -> Vec<Case> {
    let (order, customer) = (OrderId::from_uuid(UUID), || "c1".to_owned());
    let told = json!([{"sku": "tea", "quantity": 2},
                      {"sku": "room", "quantity": 1, "from": "2026-07-01", "to": "2026-07-03"}]);
    let placed = |in_place_of| OrderEvent::OrderPlaced {
        total: 5,
        currency: eur(),
        in_place_of,
        customer_id: customer(),
        lines: lines(),
    };
    let both =
        |reason: &str| (json!({"reason": reason}), Some(json!({"reason": reason, "customer_id": "c1"})));
    let completed = |reason: Option<&str>| OrderEvent::OrderCompleted {
        reason: reason.map(str::to_owned),
        customer_id: customer(),
    };
    let (cancelled, cancelled_out) = both("out of tea");
    let (expired, expired_out) = both("payment_overdue");
    let (used, used_out) = both("used");
    vec![
        (
            placed(None),
            json!({"total": 5, "currency": "EUR"}),
            Some(json!({"total": 5, "currency": "EUR", "customer_id": "c1", "lines": told})),
        ),
        (
            placed(Some(order)),
            json!({"total": 5, "currency": "EUR", "in_place_of": format!("ord_{HEX}")}),
            Some(json!({"total": 5, "currency": "EUR", "in_place_of": format!("ord_{HEX}"),
                       "customer_id": "c1", "lines": told})),
        ),
        (
            OrderEvent::OrderExtended {
                from: time("2026-07-01T10:00:00Z"),
                to: time("2026-07-01T11:00:00.5Z"),
            },
            json!({"from": "2026-07-01T10:00:00Z", "to": "2026-07-01T11:00:00.5Z"}),
            None,
        ),
        (OrderEvent::OrderPaid { customer_id: customer() }, json!({}), Some(json!({"customer_id": "c1"}))),
        (OrderEvent::OrderCheckedIn {}, json!({}), None),
        (OrderEvent::StayUnused {}, json!({}), None),
        (completed(None), json!({}), Some(json!({"customer_id": "c1"}))),
        (completed(Some("used")), used, used_out),
        (
            OrderEvent::OrderCancelled { reason: "out of tea".to_owned(), customer_id: customer() },
            cancelled,
            cancelled_out,
        ),
        (
            OrderEvent::OrderExpired { reason: "payment_overdue".to_owned(), customer_id: customer() },
            expired,
            expired_out,
        ),
        (OrderEvent::OrderReinstated { successor: order }, json!({"as": format!("ord_{HEX}")}), None),
        (OrderEvent::StockHeld { lines: lines() }, json!({"lines": told}), None),
        (OrderEvent::StockHeld { lines: Vec::new() }, json!({}), None),
        (OrderEvent::StockCommitted {}, json!({}), None),
        (OrderEvent::StockReleased {}, json!({}), None),
        (
            OrderEvent::StockReturned { refund_id: Some(RefundId::from_uuid(UUID)), lines: lines() },
            json!({"refund_id": format!("re_{HEX}"), "lines": told}),
            None,
        ),
        (OrderEvent::StockReturned { refund_id: None, lines: lines() }, json!({"lines": told}), None),
    ]
}

fn of_its_workflow_and_mails() -> Vec<Case> {
    let (change, refund) = (ChangeId::from_uuid(UUID), RefundId::from_uuid(UUID));
    let rejected = |kind: MailKind, code| OrderEvent::MailRejected {
        mail: kind.into(),
        code,
        reason: "refused".to_owned(),
    };
    vec![
        (OrderEvent::WorkflowStarted {}, json!({}), None),
        (OrderEvent::ReminderSent { number: 1 }, json!({"number": 1}), None),
        (OrderEvent::MailSent(MailKind::Paid.into()), json!({"kind": "paid"}), None),
        (
            OrderEvent::MailSent(MailKind::Refunded(refund).into()),
            json!({"kind": format!("refund_{HEX}")}),
            None,
        ),
        (
            OrderEvent::MailSent(MailKind::Extended(time("2026-07-01T10:00:00Z")).into()),
            json!({"kind": "extended", "payment_due_at": "2026-07-01T10:00:00Z"}),
            None,
        ),
        (
            rejected(MailKind::NewCheckInCode(change), Some(550)),
            json!({"kind": "new_check_in_code", "change_id": format!("chg_{HEX}"), "code": 550,
                   "reason": "refused"}),
            None,
        ),
        (
            rejected(MailKind::Reminder(2), None),
            json!({"kind": "reminder_2", "code": null, "reason": "refused"}),
            None,
        ),
        (OrderEvent::CodeRenewed { change_id: change }, json!({"change_id": format!("chg_{HEX}")}), None),
        (OrderEvent::CheckInLocked { wrong_attempts: 5 }, json!({"wrong_attempts": 5}), None),
    ]
}

fn of_money() -> Vec<Case> {
    let refund_id = RefundId::from_uuid(UUID);
    let refund = || Refund { refund_id, money: Money::new(5, eur()), reason: "broken".to_owned() };
    let dispute = || Dispute {
        dispute_id: "d1".to_owned(),
        money: Money::new(5, eur()),
        state_text: "needs_response".to_owned(),
    };
    let money = json!({"provider": "sandbox", "payment_id": "p1", "amount": 5, "currency": "EUR"});
    let with = |data: &Value, key: &str, value: Value| {
        let mut data = data.clone();
        data[key] = value;
        data
    };
    let told = json!({"refund_id": format!("re_{HEX}"), "amount": 5, "currency": "EUR", "reason": "broken"});
    let disputed =
        json!({"dispute_id": "d1", "amount": 5, "currency": "EUR", "state_text": "needs_response"});
    let applied = with(&money, "amount_due", json!(7));
    let said = RefundSaid { money: received(), state: RefundState::Failed };
    vec![
        (OrderEvent::PaymentReceived(received()), money.clone(), None),
        (OrderEvent::PaymentApplied { money: received(), amount_due: 7 }, applied.clone(), Some(applied)),
        (OrderEvent::PaymentRefunded(refund()), told.clone(), Some(told.clone())),
        (OrderEvent::PaymentDisputed(dispute()), disputed.clone(), Some(disputed.clone())),
        (OrderEvent::DisputeWon(dispute()), disputed.clone(), Some(disputed.clone())),
        (OrderEvent::DisputeLost(dispute()), disputed.clone(), Some(disputed)),
        (
            OrderEvent::RefundRequested { refund: refund(), source: RefundSource::Rule },
            with(&told, "source", json!("rule")),
            None,
        ),
        (
            OrderEvent::RefundFailed { refund: refund(), state_text: "no account".to_owned() },
            with(&told, "state_text", json!("no account")),
            None,
        ),
        (
            OrderEvent::RefundContradicted { refund_id, said },
            json!({"refund_id": format!("re_{HEX}"), "said": with(&money, "state", json!("failed"))}),
            None,
        ),
    ]
}

fn of_exceptions() -> Vec<Case> {
    let exception_id = ExceptionId::from_uuid(UUID);
    let id = format!("exc_{HEX}");
    let raised =
        |kind, cause| OrderEvent::ExceptionRaised { exception_id, about: ExceptionData { kind, cause } };
    let resolved = |by| OrderEvent::ExceptionResolved {
        exception_id,
        action: Action::Accept,
        note: "kept".to_owned(),
        by,
    };
    vec![
        (
            raised(Kind::PaidTwice, Cause::Money(received())),
            json!({"exception_id": id, "kind": "paid_twice", "provider": "sandbox", "payment_id": "p1",
                   "amount": 5, "currency": "EUR"}),
            None,
        ),
        (
            raised(Kind::CodeUndelivered, Cause::Mail { code: None, reason: "refused".to_owned() }),
            json!({"exception_id": id, "kind": "check_in_code_undelivered", "code": null,
                   "reason": "refused"}),
            None,
        ),
        (
            OrderEvent::ExceptionReopened { exception_id, amount: 5 },
            json!({"exception_id": id, "amount": 5}),
            None,
        ),
        (
            resolved(Some(ResolvedBy::Rule)),
            json!({"exception_id": id, "action": "accept", "note": "kept", "by": "rule"}),
            None,
        ),
        (resolved(None), json!({"exception_id": id, "action": "accept", "note": "kept"}), None),
    ]
}

#[test]
fn every_event_type_has_its_json() {
    let cases = [of_the_order(), of_its_workflow_and_mails(), of_money(), of_exceptions()].concat();
    let mut seen = BTreeSet::new();
    for (event, timeline, told) in cases {
        let public = event.public().map(|data| json!(data));
        assert_eq!((event.data(), public), (timeline, told), "{}", event.event_type());
        seen.insert(event.event_type());
    }
    assert_eq!(seen, EventType::ALL.into(), "each type is listed");
}

/// What was stored with an exception is read again when its order is found.
#[test]
fn what_an_exception_is_about_is_read_as_it_was_written() {
    for cause in [Cause::Money(received()), Cause::Mail { code: Some(550), reason: "refused".to_owned() }] {
        let about = ExceptionData { kind: Kind::Disputed, cause };
        assert_eq!(serde_json::from_value::<ExceptionData>(json!(about)).unwrap(), about);
    }
}
