//! The twenty-four hours of an order, skipped.

use jiff::ToSpan as _;
use serde_json::json;

use crate::harness::{Shop, documents::Entry};

#[tokio::test]
async fn an_unpaid_order_is_reminded_of_three_times_and_expires() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 3)]).await;
    assert_eq!(shop.level("tea").await, (10, 3));
    let placed_at = shop.order(&id).await.placed_at;

    shop.fast_forward(&id, "PT25H").await;
    let order = shop.until(&id, "expired").await;
    let due = order.payment_due_at;
    assert_eq!([&order.payment_status, &order.close_reason], ["unpaid", "payment_overdue"]);
    assert_eq!(due, placed_at + 24.hours());
    assert!(order.closed_at.unwrap() >= due);
    assert_eq!(shop.level("tea").await, (10, 0));

    let mailed = shop.until_mailed(&id, "expired").await;
    assert_eq!(mailed, ["reminder_1", "reminder_2", "reminder_3", "expired"]);
    let story = shop.until_told(&id, "mail.sent").await;
    let reminders = ["reminder.sent"; 3];
    let end = ["order.expired", "stock.released", "mail.sent"];
    assert_eq!(story, [&["order.placed", "stock.held", "workflow.started"][..], &reminders, &end].concat());
    check_reminder_times(&shop.timeline(&id).await, placed_at);
    for mail in &shop.mails(&id).await[..3] {
        assert!(mail.text.contains("Please pay by") && mail.text.contains("€37.50"), "{}", mail.text);
    }
    shop.close();
}

/// Each is sent when it is due, by the order's own clock, not when the next one is.
fn check_reminder_times(timeline: &[Entry], placed_at: jiff::Timestamp) {
    let sent = timeline.iter().filter(|entry| entry.kind == "reminder.sent");
    for ((entry, hours), number) in sent.zip([4, 12, 22]).zip(1..) {
        let (at, due) = (entry.at, placed_at + hours.hours());
        assert!((due..due + 1.hour()).contains(&at), "{entry:?}, placed at {placed_at}");
        assert_eq!(entry.data["number"], number);
    }
}

#[tokio::test]
async fn payment_ends_the_reminders() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let order = shop.fast_forward(&id, "PT13H").await;
    assert_eq!(order.status, "awaiting_payment");
    assert_eq!(shop.until_mailed(&id, "reminder_2").await, ["reminder_1", "reminder_2"]);

    shop.pay(&id).await;
    let order = shop.until(&id, "completed").await;
    assert!(order.paid_at.unwrap() >= order.placed_at + 13.hours(), "{order:?}");
    assert_eq!(shop.fast_forward(&id, "PT24H").await.status, "completed");
    assert_eq!(shop.until_mailed(&id, "paid").await, ["reminder_1", "reminder_2", "paid"]);
    shop.temporal.until_closed(&id).await;
    assert_eq!(shop.mails(&id).await.len(), 3);
    assert_eq!(shop.level("tea").await, (9, 0));
    shop.close();
}

#[tokio::test]
async fn a_cancelled_order_gives_its_stock_back_and_stays_cancelled() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 4)]).await;
    let order = shop.change(&id, "cancel", &json!({"reason": "changed my mind"})).await.is(200);
    assert_eq!([&order.status, &order.close_reason], ["cancelled", "changed my mind"]);
    assert_eq!(shop.level("tea").await, (10, 0));
    assert_eq!(shop.until_mailed(&id, "cancelled").await, ["cancelled"]);
    let story = shop.until_told(&id, "mail.sent").await;
    assert_eq!(story[3..], ["order.cancelled", "stock.released", "mail.sent"]);

    for again in [shop.cancel(&id).await, shop.cancel(&id).await] {
        assert_eq!(again.problem(409, "order_not_cancellable").current_status, "cancelled");
    }
    let due = order.payment_due_at + 1.hour();
    assert_eq!(shop.extend(&id, due).await.problem(409, "order_not_extendable").current_status, "cancelled");
    assert_eq!(shop.fast_forward(&id, "PT25H").await.status, "cancelled");
    assert_eq!(shop.story(&id).await.len(), 6);
    shop.close();
}

#[tokio::test]
async fn an_extended_order_expires_at_its_new_deadline_only() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let due = shop.order(&id).await.payment_due_at;
    let later = due + 12.hours();
    let order = shop.extend(&id, later).await.is(200);
    assert_eq!(order.payment_due_at, later);
    for refused in [due, later, due + (366 * 24).hours()] {
        assert_eq!(shop.extend(&id, refused).await.bad_fields(), ["payment_due_at"], "{refused}");
    }

    assert_eq!(shop.fast_forward(&id, "PT25H").await.status, "awaiting_payment");
    assert_eq!(shop.level("tea").await, (10, 1));
    shop.fast_forward(&id, "PT12H").await;
    let order = shop.until(&id, "expired").await;
    assert!(order.closed_at.unwrap() >= later, "{order:?}");
    let mailed = shop.until_mailed(&id, "expired").await;
    assert_eq!(mailed, ["extended", "reminder_1", "reminder_2", "reminder_3", "expired"]);
    let vienna =
        later.in_tz("Europe/Vienna").unwrap().strftime("%-d %B %Y at %H:%M %:z (Europe/Vienna)").to_string();
    for mail in &shop.mails(&id).await[..4] {
        assert!(mail.text.contains(&vienna), "the mail names the new deadline");
    }
    assert_eq!(shop.level("tea").await, (10, 0));
    shop.close();
}
