//! Orders with a policy of their own.

use jiff::ToSpan as _;
use serde_json::json;

use crate::harness::Shop;

#[tokio::test]
async fn a_manual_order_waits_for_the_shop_after_payment() {
    let shop = Shop::with_tea(10).await;
    let policy = json!({"fulfilment": "manual", "cancel_paid": "refuse"});
    let id = shop.place_with(&[("tea", 1)], policy).await;
    let early = shop.fulfil(&id).await.problem(409, "order_not_fulfillable");
    assert_eq!(early.current_status, "awaiting_payment");

    shop.until_told(&id, "workflow.started").await;
    shop.pay(&id).await;
    let order = shop.until(&id, "paid").await;
    assert_eq!((order.payment_status.as_str(), order.closed_at), ("paid", None));
    assert_eq!(shop.level("tea").await, (9, 0));
    assert_eq!(shop.cancel(&id).await.problem(409, "order_not_cancellable").current_status, "paid");
    shop.until_mailed(&id, "paid").await;

    let order = shop.fulfil(&id).await.is(200);
    assert_eq!(order.status, "completed");
    assert!(order.closed_at.unwrap() >= order.paid_at.unwrap());
    assert_eq!(shop.until_mailed(&id, "completed").await, ["paid", "completed"]);
    assert_eq!(shop.fulfil(&id).await.problem(409, "order_not_fulfillable").current_status, "completed");
    shop.cancel(&id).await.problem(409, "order_not_cancellable");
    let story = shop.until_told_times(&id, "mail.sent", 2).await;
    let expected =
        ["payment.received", "order.paid", "stock.committed", "mail.sent", "order.completed", "mail.sent"];
    assert_eq!(story[3..], expected);
    shop.close();
}

#[tokio::test]
async fn a_window_and_reminders_of_ones_own() {
    let shop = Shop::with_tea(10).await;
    let policy = json!({"payment_window": "PT2H", "reminders": ["PT1H", "PT30M"]});
    let id = shop.place_with(&[("tea", 1)], policy).await;
    let order = shop.order(&id).await;
    assert_eq!(order.payment_due_at, order.placed_at + 2.hours());
    shop.fast_forward(&id, "PT45M").await;
    assert_eq!(shop.until_mailed(&id, "reminder_1").await, ["reminder_1"]);
    shop.fast_forward(&id, "PT2H").await;
    assert_eq!(shop.until_mailed(&id, "expired").await, ["reminder_1", "reminder_2", "expired"]);
    shop.close();
}

#[tokio::test]
async fn a_short_window_has_room_for_few_reminders_or_none() {
    let shop = Shop::with_tea(10).await;
    let short = shop.place_with(&[("tea", 1)], json!({"payment_window": "PT5H"})).await;
    let silent = shop.place_with(&[("tea", 1)], json!({"payment_window": "P1D", "reminders": []})).await;
    shop.fast_forward(&short, "PT6H").await;
    shop.fast_forward(&silent, "PT25H").await;
    assert_eq!(shop.until_mailed(&short, "expired").await, ["reminder_1", "expired"]);
    assert_eq!(shop.until_mailed(&silent, "expired").await, ["expired"]);
    shop.close();
}
