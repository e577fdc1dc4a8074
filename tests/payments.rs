//! Money: what pays an order, what does not, and what then becomes of it.

use futures_util::future::join_all;
use jiff::ToSpan as _;
use serde_json::json;

use crate::harness::{
    Shop, eventually,
    webhook::{Webhook, paid, payment},
};

#[tokio::test]
async fn money_that_does_not_fit_is_an_exception_and_the_right_money_still_pays() {
    let shop = Shop::with_tea(10).await;
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
        assert_eq!([&order.status, &order.payment_status], ["awaiting_payment", "unpaid"]);
    }
    assert_eq!(shop.level("tea").await, (10, 1));

    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    let payments = shop.payments(&id).await;
    assert!(payments.iter().all(|it| it.state == "succeeded" && it.provider == "sandbox"));
    let amounts: Vec<_> = payments.iter().map(|payment| payment.amount).collect();
    assert_eq!(amounts, [1249, 1251, 1250, 1250]);
    assert_eq!(shop.open_exceptions().await, ["wrong_amount", "wrong_amount", "wrong_currency"]);
    shop.close();
}

#[tokio::test]
async fn a_failed_attempt_keeps_the_hold_and_a_later_one_may_succeed() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let mut event = payment("payment.failed", &id, 1250);
    Webhook::new(&event).send(&shop.api).await.is(200);
    eventually("the failed attempt is listed", async || {
        (shop.payments(&id).await.first()?.state == "failed").then_some(())
    })
    .await;
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    assert_eq!(shop.level("tea").await, (10, 1));

    // The provider's same payment, which got through at last.
    event["type"] = json!("payment.succeeded");
    Webhook::new(&event).send(&shop.api).await.is(200);
    shop.until(&id, "completed").await;
    let payments = shop.payments(&id).await;
    assert_eq!(payments.len(), 1);
    assert_eq!(payments[0].state, "succeeded");
    assert!(shop.open_exceptions().await.is_empty());
    shop.close();
}

/// Without the mail that there is more time to pay.
fn ends(mails: Vec<String>) -> Vec<String> {
    mails.into_iter().filter(|mail| mail != "extended").collect()
}

/// Payment, cancellation and extension at once: one of them comes first, and none is lost.
#[tokio::test]
async fn payment_and_cancellation_at_once_have_one_winner() {
    let shop = Shop::with_tea(100).await;
    let ids = join_all((0..12).map(|_| shop.place(&[("tea", 1)]))).await;
    let due = shop.order(&ids[0]).await.payment_due_at + 1.hour();
    let at_once =
        ids.iter().map(|id| async { tokio::join!(shop.pay(id), shop.cancel(id), shop.extend(id, due)) });
    let mut completed = 0;
    for (id, ((), cancel, extend)) in ids.iter().zip(join_all(at_once).await) {
        assert!(extend.status == 200 || extend.status == 409, "{extend:?}");
        shop.temporal.until_closed(id).await;
        let order = shop.order(id).await;
        if order.status == "cancelled" {
            if cancel.status != 200 {
                assert_eq!(cancel.problem(409, "order_not_cancellable").current_status, "cancelled");
            }
            shop.until_told(id, "exception.raised").await;
            assert_eq!(shop.exceptions(id).await, ["order_closed"]);
            shop.until_told(id, "payment.refunded").await;
            assert_eq!(ends(shop.until_mailed(id, "cancelled").await)[0], "cancelled");
        } else {
            assert_eq!(cancel.problem(409, "order_not_cancellable").current_status, "completed");
            assert_eq!(order.status, "completed");
            assert_eq!(ends(shop.until_mailed(id, "paid").await), ["paid"]);
            completed += 1;
        }
    }
    assert_eq!(shop.level("tea").await, (100 - completed, 0));
    shop.close();
}

#[tokio::test]
async fn an_event_that_is_sent_three_times_counts_once() {
    let shop = Shop::with_tea(10).await;
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
    let figures = shop.figures().await;
    for (result, times) in [("stored", 3), ("repeated", 2)] {
        let line = format!("holdfast_webhooks_total{{provider=\"sandbox\",result=\"{result}\"}} {times}");
        assert!(figures.contains(&line), "{line}:\n{figures}");
    }
    shop.close();
}
