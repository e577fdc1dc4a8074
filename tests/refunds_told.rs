//! What is told of refunds, by whomever and in whatever order: the money went back once, and is one exception
//! at most.

use serde_json::json;

use crate::{
    harness::{Shop, wait_until, webhook::Webhook},
    refunds::{paid, refund_mails, some},
};

/// The same money is asked for here and goes back in the dashboard. Whichever is told first, it went back
/// once, and there is nothing for a person to look at.
#[tokio::test]
async fn what_goes_back_here_and_in_the_dashboard_is_explained_whichever_is_told_first() {
    let shop = Shop::with_tea(100).await;
    for dashboard_is_told_first in [true, false] {
        let id = paid(&shop).await;
        let payment = shop.provider_payment(&id).await;
        shop.provider.faults(json!({"outage": {"answer": "hang_up"}, "webhooks": "hold"})).await;
        shop.ask_refund(&id, &some(5000)).await.is(201);
        shop.provider.refund(&payment, 5000).await;
        let release = async || shop.provider.release(json!({"order_id": id})).await;
        if dashboard_is_told_first {
            release().await;
            shop.until_refunds(&id, &["requested", "succeeded"]).await;
            shop.provider.no_faults().await;
            shop.until_refunds(&id, &["failed", "succeeded"]).await;
        } else {
            shop.provider.faults(json!({"webhooks": "hold"})).await;
            shop.until_exception(&id, "refund_failed").await;
            release().await;
            shop.until_refunds(&id, &["failed", "succeeded"]).await;
            shop.provider.no_faults().await;
        }
        shop.until_money(&id, "refunded").await;
        assert_eq!(shop.open_of(&id).await, []);
        let none = shop.ask_refund(&id, &some(1)).await.problem(409, "refund_exceeds_captured");
        assert_eq!(none.refundable, Some(0));
        assert_eq!(shop.provider.balance(&id).await, (5000, 5000, 1));
    }
    shop.close();
}

/// A part went back by hand, and nobody has told us: a full refund fails, and so does its repeat. Then the
/// rest goes back.
#[tokio::test]
async fn after_a_part_went_back_by_hand_the_rest_can_go_back() {
    let shop = Shop::with_tea(100).await;
    for by_exception in [true, false] {
        let id = paid(&shop).await;
        let payment = shop.provider_payment(&id).await;
        shop.provider.faults(json!({"webhooks": "hold"})).await;
        shop.provider.refund(&payment, 1500).await;
        shop.ask_refund(&id, &some(5000)).await.is(201);
        let failed = shop.until_exception(&id, "refund_failed").await;
        shop.resolve(&failed, "refund").await.is(200);
        shop.until_refunds(&id, &["failed", "failed"]).await;
        shop.provider.no_faults().await;
        shop.provider.release(json!({"order_id": id})).await;
        shop.until_refunds(&id, &["failed", "failed", "succeeded"]).await;
        let open = shop.list_exceptions(&format!("state=open&order={id}")).await;
        assert_eq!(open.len(), 1);
        assert_eq!((open[0].kind.as_str(), open[0].amount), ("refund_failed", 3500));
        if by_exception {
            shop.resolve(&open[0], "refund").await.is(200);
        } else {
            let rest = shop.ask_refund(&id, &json!({"reason": "the rest"})).await.is(201);
            assert_eq!(rest.amount, 3500);
        }
        shop.until_money(&id, "refunded").await;
        assert_eq!(shop.open_of(&id).await, []);
        assert_eq!(shop.provider.balance(&id).await, (5000, 5000, 2));
    }
    shop.close();
}

/// Part of a second payment, which a person still looks at, goes back in the dashboard: the rest is still to
/// be looked at. It fails, and the second payment is held as before.
#[tokio::test]
async fn a_part_of_held_money_goes_back_by_hand_and_fails() {
    let shop = Shop::with_tea(100).await;
    let id = shop.place_with(&[("tea", 1)], json!({"duplicate_payment": "exception"})).await;
    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    shop.pay(&id).await;
    let twice = shop.until_exception(&id, "paid_twice").await;
    shop.provider.faults(json!({"refunds": "pend"})).await;
    let made = shop.provider.refund(&twice.provider_payment_id, 47).await;
    shop.until_refunds(&id, &["pending"]).await;
    let open = shop.list_exceptions("state=open").await;
    assert_eq!((open.len(), &open[0].id, open[0].back), (1, &twice.id, 47));
    shop.provider.settle(&made, "failed").await;
    shop.until_refunds(&id, &["failed"]).await;
    assert_eq!(shop.list_exceptions("state=open").await, [twice]);
    shop.close();
}

/// A refund failed, and is settled at the provider by hand: the money went back, and what was to be made
/// instead is not.
#[tokio::test]
async fn a_refund_that_failed_and_then_succeeded_went_back() {
    let shop = Shop::with_tea(100).await;
    let id = paid(&shop).await;
    shop.provider.faults(json!({"refunds": "fail"})).await;
    let refund = shop.ask_refund(&id, &some(2000)).await.is(201);
    let failed = shop.until_exception(&id, "refund_failed").await;
    shop.provider.outage().await;
    shop.resolve(&failed, "refund").await.is(200);
    shop.provider.settle(&refund.id, "succeeded").await;
    let refunds = shop.until_refunds(&id, &["succeeded", "failed"]).await;
    assert!(refunds[1].state_text.starts_with("superseded"), "{refunds:?}");
    shop.provider.no_faults().await;
    shop.until_money(&id, "partially_refunded").await;
    assert_eq!(refund_mails(&shop, &id, 1).await.len(), 1);
    assert_eq!(shop.list_exceptions("state=open").await, []);
    // The webhook of another is lost: the books tell.
    let other = paid(&shop).await;
    shop.provider.faults(json!({"refunds": "fail"})).await;
    let refund = shop.ask_refund(&other, &some(5000)).await.is(201);
    shop.until_exception(&other, "refund_failed").await;
    shop.provider.faults(json!({"webhooks": "lose"})).await;
    shop.provider.settle(&refund.id, "succeeded").await;
    let (whole, said) = shop.reconcile().await;
    assert!(whole, "{said}");
    shop.until_money(&other, "refunded").await;
    assert_eq!(shop.list_exceptions("state=open").await, []);
    assert_eq!(shop.provider.balance(&id).await, (5000, 2000, 1));
    shop.close();
}

/// What is said of a refund is compared with what was asked for.
#[tokio::test]
async fn a_report_that_contradicts_what_was_asked_is_an_exception_and_not_taken_up() {
    let shop = Shop::with_tea(100).await;
    let (id, other) = (paid(&shop).await, paid(&shop).await);
    shop.provider.outage().await;
    let refund = shop.ask_refund(&id, &some(2000)).await.is(201);
    let payment = &refund.provider_payment_id;
    let elsewhere = shop.payments(&other).await[0].provider_payment_id.clone();
    let told = [
        json!({"payment_id": payment, "amount": 1999, "currency": "EUR"}),
        json!({"payment_id": payment, "amount": 2000, "currency": "USD"}),
        json!({"payment_id": elsewhere, "amount": 2000, "currency": "EUR"}),
    ];
    for (n, mut data) in told.into_iter().enumerate() {
        data["order_id"] = json!(id);
        data["refund_id"] = json!(refund.id);
        data["provider_refund_id"] = json!(format!("sbr_{n}"));
        let body = json!({"type": "refund.succeeded", "data": data});
        Webhook::new(&body).send(&shop.api).await.is(200);
        wait_until("it is an exception", async || shop.list_exceptions("state=open").await.len() == n + 1)
            .await;
    }
    assert!(shop.list_exceptions("").await.iter().all(|it| it.kind == "refund_contradicted"));
    assert_eq!(shop.refunds(&id).await[0].state, "requested");
    assert_eq!(shop.refunds(&other).await, []);
    shop.provider.no_faults().await;
    shop.until_money(&id, "partially_refunded").await;
    for exception in shop.list_exceptions("").await {
        shop.resolve(&exception, "refund").await.problem(409, "refund_exceeds_captured");
        shop.resolve(&exception, "dismiss").await.is(200);
    }
    shop.close();
}
