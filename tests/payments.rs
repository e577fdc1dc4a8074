//! Money: what pays an order, what does not, and what then becomes of it.

use serde_json::json;

use crate::harness::{
    Setup, Shop,
    webhook::{Webhook, paid, payment},
};

#[tokio::test]
async fn money_that_does_not_fit_is_an_exception_and_the_right_money_still_pays() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 10).await;
    let id = shop.place(&[("tea", 1)]).await;
    for (wrong, kind) in [
        (json!({"amount": 1249}), "wrong_amount"),
        (json!({"amount": 1251}), "wrong_amount"),
        (json!({"currency": "USD"}), "wrong_currency"),
    ] {
        let known = shop.exceptions(&id).await.len();
        shop.pay_with(&id, wrong).await;
        shop.until_told_times(&id, "exception.raised", known + 1).await;
        assert_eq!(shop.exceptions(&id).await.last().unwrap(), kind);
        let order = shop.order(&id).await;
        assert_eq!(
            (&order["status"], &order["payment_status"]),
            (&json!("awaiting_payment"), &json!("unpaid"))
        );
    }
    assert_eq!(shop.level("tea").await, (10, 1));

    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    let payments = shop.payments(&id).await;
    assert!(
        payments.iter().all(|payment| payment["state"] == "succeeded" && payment["provider"] == "sandbox")
    );
    let amounts: Vec<_> = payments.iter().map(|payment| payment["amount"].as_i64().unwrap()).collect();
    assert_eq!(amounts, [1249, 1251, 1250, 1250]);
    assert_eq!(shop.open_exceptions().await, ["wrong_amount", "wrong_amount", "wrong_currency"]);
    shop.close();
}

#[tokio::test]
async fn a_failed_attempt_keeps_the_hold_and_a_later_one_may_succeed() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let mut event = payment("payment.failed", &id, 1250);
    Webhook::new(&event).send(&shop.api).await.is(200);
    crate::harness::eventually("the failed attempt is listed", async || {
        (shop.payments(&id).await.first()?["state"] == "failed").then_some(())
    })
    .await;
    assert_eq!(shop.order(&id).await["status"], "awaiting_payment");
    assert_eq!(shop.level("tea").await, (10, 1));

    // The provider's same payment, which got through at last.
    event["type"] = json!("payment.succeeded");
    Webhook::new(&event).send(&shop.api).await.is(200);
    shop.until(&id, "completed").await;
    let payments = shop.payments(&id).await;
    assert_eq!(payments.len(), 1);
    assert_eq!(payments[0]["state"], "succeeded");
    assert!(shop.open_exceptions().await.is_empty());
    shop.close();
}

#[tokio::test]
async fn money_for_an_order_that_has_ended_is_an_exception() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 10).await;
    let ids =
        [shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await];
    let [cancelled, expired, completed] = &ids;
    shop.cancel(cancelled).await.is(200);
    shop.fast_forward(expired, "PT25H").await;
    shop.pay(completed).await;
    for id in &ids {
        shop.temporal.until_closed(id).await;
        shop.pay(id).await;
        shop.until_told(id, "exception.raised").await;
    }
    for (id, status, kind) in [
        (cancelled, "cancelled", "order_closed"),
        (expired, "expired", "order_closed"),
        (completed, "completed", "paid_twice"),
    ] {
        assert_eq!(shop.order(id).await["status"], status);
        assert_eq!(shop.exceptions(id).await, [kind]);
    }
    assert_eq!(shop.open_exceptions().await.len(), 3);
    assert_eq!(shop.level("tea").await, (9, 0));
    shop.close();
}

#[tokio::test]
async fn an_event_that_is_sent_three_times_counts_once() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let event = Webhook::new(&paid(&id, 1250));
    let (first, second) = tokio::join!(event.send(&shop.api), event.send(&shop.api));
    first.is(200);
    second.is(200);
    shop.until(&id, "completed").await;
    event.send(&shop.api).await.is(200);
    // The same payment once more, as another event.
    Webhook::raw(event.body.clone()).send(&shop.api).await.is(200);
    // What comes after them proves that they have been dealt with.
    shop.pay(&id).await;
    shop.until_told(&id, "exception.raised").await;
    assert_eq!(shop.exceptions(&id).await, ["paid_twice"]);
    assert_eq!(shop.payments(&id).await.len(), 2);
    let story = shop.story(&id).await;
    assert_eq!(story.iter().filter(|told| *told == "payment.received").count(), 2, "{story:?}");
    shop.close();
}

#[tokio::test]
async fn money_that_comes_before_the_workflow_runs_pays_the_order() {
    let mut shop = Shop::with(Setup { without_worker: true, ..Setup::default() }).await;
    shop.stock("tea", 1250, 10).await;
    let id = shop.place(&[("tea", 1)]).await;
    shop.pay(&id).await;
    assert_eq!(shop.story(&id).await, ["order.placed", "stock.held"]);
    shop.start_worker();
    shop.until(&id, "completed").await;
    assert_eq!(shop.until_mailed(&id, "paid").await, ["paid"]);
    shop.close();
}
