//! Money: what pays an order, what does not, and what then becomes of it.

use futures_util::future::join_all;
use jiff::ToSpan as _;
use serde_json::json;

use crate::harness::{
    Setup, Shop, eventually, time,
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
    eventually("the failed attempt is listed", async || {
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
async fn money_for_an_order_that_has_ended_goes_back() {
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
    for (id, kept) in [(cancelled, "refunded"), (expired, "refunded"), (completed, "paid")] {
        shop.until_told(id, "payment.refunded").await;
        assert_eq!(shop.order(id).await["payment_status"], kept);
    }
    assert!(shop.open_exceptions().await.is_empty());
    assert_eq!(shop.level("tea").await, (9, 0));
    shop.close();
}

/// Without the mail that there is more time to pay.
fn ends(mails: Vec<String>) -> Vec<String> {
    mails.into_iter().filter(|mail| mail != "extended").collect()
}

/// Payment, cancellation and extension at once: one of them comes first, and none is lost.
#[tokio::test]
async fn payment_and_cancellation_at_once_have_one_winner() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 100).await;
    let ids = join_all((0..12).map(|_| shop.place(&[("tea", 1)]))).await;
    let due = time(&shop.order(&ids[0]).await, "payment_due_at") + 1.hour();
    let at_once =
        ids.iter().map(|id| async { tokio::join!(shop.pay(id), shop.cancel(id), shop.extend(id, due)) });
    let mut completed = 0;
    for (id, ((), cancel, extend)) in ids.iter().zip(join_all(at_once).await) {
        assert!(extend.status == 200 || extend.status == 409, "{extend:?}");
        shop.temporal.until_closed(id).await;
        let order = shop.order(id).await;
        if order["status"] == "cancelled" {
            assert!(cancel.status == 200 || cancel.json()["current_status"] == "cancelled", "{cancel:?}");
            shop.until_told(id, "exception.raised").await;
            assert_eq!(shop.exceptions(id).await, ["order_closed"]);
            shop.until_told(id, "payment.refunded").await;
            assert_eq!(ends(shop.until_mailed(id, "cancelled").await)[0], "cancelled");
        } else {
            assert_eq!(cancel.problem(409, "order_not_cancellable")["current_status"], "completed");
            assert_eq!(order["status"], "completed");
            assert_eq!(ends(shop.until_mailed(id, "paid").await), ["paid"]);
            completed += 1;
        }
    }
    assert_eq!(shop.level("tea").await, (100 - completed, 0));
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
    let figures = shop.figures().await;
    for (result, times) in [("stored", 3), ("repeated", 2)] {
        let line = format!("holdfast_webhooks_total{{provider=\"sandbox\",result=\"{result}\"}} {times}");
        assert!(figures.contains(&line), "{line}:\n{figures}");
    }
    shop.close();
}

#[tokio::test]
async fn money_that_comes_before_the_workflow_runs_pays_the_order() {
    let mut shop = Shop::with(Setup { without_worker: true, ..Setup::default() }).await;
    shop.stock("tea", 1250, 10).await;
    let id = shop.place(&[("tea", 1)]).await;
    shop.pay(&id).await;
    shop.until_told(&id, "workflow.started").await;
    assert_eq!(shop.story(&id).await, ["order.placed", "stock.held", "workflow.started"]);
    shop.start_worker();
    shop.until(&id, "completed").await;
    assert_eq!(shop.until_mailed(&id, "paid").await, ["paid"]);
    shop.close();
}
