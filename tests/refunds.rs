//! Refunds: money of a paid order that goes back, once, whatever dies or fails on the way.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Shop, documents::Refund, eventually, send, unique, wait_until};

/// An order of four, paid by an attempt: 50.00.
pub async fn paid(shop: &Shop) -> String {
    shop.sell_by_attempt(&[("tea", 4)], json!(null), "completed").await
}

pub fn some(amount: i64) -> Value {
    json!({"amount": amount, "reason": "damaged"})
}

/// The texts of the mails about refunds.
pub async fn refund_mails(shop: &Shop, order: &str, at_least: usize) -> Vec<String> {
    eventually(&format!("{at_least} mails about refunds of {order}"), async || {
        let mails = shop.mails(order).await;
        let mails = mails.into_iter().filter(|mail| mail.kind().starts_with("refund_"));
        let texts: Vec<String> = mails.map(|mail| mail.text).collect();
        (texts.len() >= at_least).then_some(texts)
    })
    .await
}

#[tokio::test]
async fn money_goes_back_in_parts_and_never_more_than_came() {
    let shop = Shop::with_tea(100).await;
    let id = paid(&shop).await;
    assert_eq!(shop.refunds(&id).await, []);
    let first = shop.ask_refund(&id, &some(1000)).await.is(201);
    assert_eq!((first.amount, first.currency.as_str()), (1000, "EUR"));
    assert_eq!([&first.reason, &first.source], ["damaged", "api"]);
    shop.until_money(&id, "partially_refunded").await;
    let problem = shop.ask_refund(&id, &some(4001)).await.problem(409, "refund_exceeds_captured");
    assert_eq!(problem.refundable, Some(4000));
    shop.ask_refund(&id, &some(1500)).await.is(201);
    shop.until_refunds(&id, &["succeeded", "succeeded"]).await;
    assert_eq!(shop.order(&id).await.payment_status, "partially_refunded");
    // The rest; twice restocking brings the pieces back once.
    shop.ask_refund(&id, &json!({"reason": "all of it", "amount": 500, "restock": true})).await.is(201);
    let rest = shop.ask_refund(&id, &json!({"reason": "the rest", "restock": true})).await.is(201);
    assert_eq!(rest.amount, 2000);
    shop.until_money(&id, "refunded").await;
    let refunds = shop.until_refunds(&id, &["succeeded"; 4]).await;
    assert!(refunds.iter().all(|it| it.provider_refund_id.starts_with("sbr_")));
    let problem = shop.ask_refund(&id, &some(1)).await.problem(409, "refund_exceeds_captured");
    assert_eq!(problem.refundable, Some(0));
    assert_eq!(shop.provider.balance(&id).await, (5000, 5000, 4));
    assert_eq!(shop.level("tea").await, (100, 0));
    let story = shop.story(&id).await;
    let told = |kind: &str| story.iter().filter(|it| *it == kind).count();
    assert_eq!((told("refund.requested"), told("payment.refunded"), told("stock.returned")), (4, 4, 1));
    assert_eq!(shop.order(&id).await.status, "completed");
    let mails = refund_mails(&shop, &id, 4).await;
    assert_eq!(mails.len(), 4);
    for amount in ["10.00", "15.00", "5.00", "20.00"] {
        assert!(mails.iter().any(|mail| mail.contains(amount)), "{amount}: {mails:?}");
    }
    shop.close();
}

#[tokio::test]
async fn many_at_once_do_not_give_back_more_than_came() {
    let shop = Shop::with_tea(100).await;
    let id = paid(&shop).await;
    let answers = join_all((0..12).map(|_| async { shop.ask_refund(&id, &some(600)).await })).await;
    let (given, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 201);
    assert_eq!(given.len(), 8);
    for answer in refused {
        assert_eq!(answer.problem(409, "refund_exceeds_captured").refundable, Some(200));
    }
    shop.until_refunds(&id, &["succeeded"; 8]).await;
    shop.until_money(&id, "partially_refunded").await;
    assert_eq!(shop.provider.balance(&id).await, (5000, 4800, 8));
    assert_eq!(refund_mails(&shop, &id, 8).await.len(), 8);
    shop.close();
}

#[tokio::test]
async fn a_repeat_is_harmless_and_bad_requests_are_told() {
    let shop = Shop::with_tea(100).await;
    let (id, unpaid, other) = (paid(&shop).await, shop.place(&[("tea", 1)]).await, paid(&shop).await);
    let path = format!("/v1/orders/{id}/refunds");
    let (key, once) = (unique(), some(700));
    let ask = async || shop.api.post_as(&key, &path, &once).await.of::<Refund>();
    let answers = join_all((0..6).map(|_| ask())).await;
    let first = answers[0].is(201);
    assert!(answers.iter().all(|it| it.is(201).id == first.id));
    assert_eq!(answers.iter().filter(|it| it.is_replayed()).count(), 5);
    shop.until_refunds(&id, &["succeeded"]).await;
    assert_eq!(ask().await.is(201).state, "succeeded");
    shop.api.post_as(&key, &path, &some(701)).await.problem(422, "idempotency_key_reused");
    let elsewhere = format!("/v1/orders/{other}/refunds");
    shop.api.post_as(&key, &elsewhere, &once).await.problem(422, "idempotency_key_reused");
    // One key for both orders at once.
    let ten = some(10);
    let (a, b) =
        tokio::join!(shop.api.post_as("k-both", &path, &ten), shop.api.post_as("k-both", &elsewhere, &ten));
    let mut statuses = [a.status.as_u16(), b.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422]);
    // Without a key each request is a new refund.
    let bare = || send(shop.api.request(Method::POST, &path).json(&json!({"amount": 1, "reason": "x"})));
    assert_ne!(bare().await.is(201)["id"], bare().await.is(201)["id"]);

    for (body, field) in [
        (json!({"amount": 0, "reason": "x"}), "amount"),
        (json!({"amount": -5, "reason": "x"}), "amount"),
        (json!({"amount": "5", "reason": "x"}), "amount"),
        (json!({"amount": 5}), "reason"),
        (json!({"amount": 5, "reason": " "}), "reason"),
        (json!({"amount": 5, "reason": "x".repeat(201)}), "reason"),
        (json!({"amount": 5, "reason": "x", "restock": 1}), "restock"),
        (json!({"amount": 5, "reason": "x", "currency": "EUR"}), "currency"),
    ] {
        assert_eq!(shop.api.post(&path, &body).await.bad_fields(), [field], "{body}");
    }
    let nothing = shop.ask_refund(&unpaid, &some(1)).await.problem(409, "refund_exceeds_captured");
    assert_eq!(nothing.refundable, Some(0));
    let nobody = "ord_01920000000070008000000000000000";
    shop.ask_refund(nobody, &some(1)).await.problem(404, "order_not_found");
    shop.api.get(&format!("/v1/orders/{nobody}/refunds")).await.problem(404, "order_not_found");
    shop.close();
}

#[tokio::test]
async fn a_refund_that_pends_ends_when_its_webhook_comes() {
    let shop = Shop::with_tea(100).await;
    let (good, bad) = (paid(&shop).await, paid(&shop).await);
    shop.provider.faults(json!({"refunds": "pend"})).await;
    for id in [&good, &bad] {
        shop.ask_refund(id, &json!({"reason": "returned", "restock": true})).await.is(201);
        shop.until_refunds(id, &["pending"]).await;
        assert_eq!(shop.order(id).await.payment_status, "refund_pending");
        shop.ask_refund(id, &some(1)).await.problem(409, "refund_exceeds_captured");
    }
    assert_eq!(shop.level("tea").await, (92, 0));
    let refund = async |id: &str| shop.refunds(id).await.remove(0).id;
    shop.provider.settle(&refund(&good).await, "succeeded").await;
    shop.until_money(&good, "refunded").await;
    assert_eq!(refund_mails(&shop, &good, 1).await.len(), 1);
    shop.provider.settle(&refund(&bad).await, "failed").await;
    shop.until_exception(&bad, "refund_failed").await;
    assert_eq!(shop.order(&bad).await.payment_status, "paid");
    assert_eq!(shop.level("tea").await, (96, 0));
    shop.close();
}

/// No webhook, so the workflow's own question finds out.
#[tokio::test]
async fn a_refund_that_pends_is_asked_about() {
    let shop = Shop::with_tea(100).await;
    let id = paid(&shop).await;
    shop.provider.faults(json!({"refunds": "pend", "webhooks": "lose"})).await;
    let refund = shop.refund(&id, some(5000)).await.id;
    shop.until_refunds(&id, &["pending"]).await;
    shop.provider.settle(&refund, "succeeded").await;
    shop.temporal.skip(&refund, Duration::from_mins(10)).await;
    shop.until_money(&id, "refunded").await;
    assert_eq!(refund_mails(&shop, &id, 1).await.len(), 1);
    shop.close();
}

#[tokio::test]
async fn a_refund_that_fails_is_an_exception_and_may_be_tried_again() {
    let shop = Shop::with_tea(100).await;
    let (id, whole) = (paid(&shop).await, paid(&shop).await);
    shop.provider.faults(json!({"refunds": "fail"})).await;
    shop.ask_refund(&id, &some(2000)).await.is(201);
    shop.ask_refund(&whole, &json!({"reason": "returned", "restock": true})).await.is(201);
    let failed = shop.until_exception(&id, "refund_failed").await;
    assert_eq!(failed.amount, 2000);
    let whole_failed = shop.until_exception(&whole, "refund_failed").await;
    shop.until_refunds(&id, &["failed"]).await;
    assert_eq!(shop.order(&id).await.payment_status, "paid");
    // What failed waits for a person, and is still there: all of it can be asked for.
    assert_eq!(shop.refundable(&id).await, 5000);
    assert_eq!(shop.resolve(&failed, "refund").await.is(200).action, "refund");
    shop.until_refunds(&id, &["failed", "failed"]).await;
    let again = shop.until_exception(&id, "refund_failed").await;
    assert_ne!(again.id, failed.id);

    shop.provider.no_faults().await;
    shop.resolve(&again, "refund").await.is(200);
    shop.until_refunds(&id, &["failed", "failed", "succeeded"]).await;
    shop.until_money(&id, "partially_refunded").await;
    assert_eq!(shop.provider.balance(&id).await, (5000, 2000, 1));
    shop.ask_refund(&id, &some(3000)).await.is(201);
    shop.until_money(&id, "refunded").await;
    assert_eq!(refund_mails(&shop, &id, 2).await.len(), 2);
    // The pieces come back with the refund that takes the failed one's place.
    assert_eq!(shop.level("tea").await, (92, 0));
    shop.resolve(&whole_failed, "refund").await.is(200);
    shop.until_money(&whole, "refunded").await;
    assert_eq!(shop.level("tea").await, (96, 0));
    assert_eq!(shop.list_exceptions("state=open").await, []);
    shop.close();
}

#[tokio::test]
async fn refunds_from_the_providers_dashboard_are_matched() {
    let shop = Shop::with_tea(100).await;
    let id = paid(&shop).await;
    let payment = shop.provider_payment(&id).await;
    let by_hand = async |amount: i64| shop.provider.refund(&payment, amount).await;
    let made = by_hand(1500).await;
    shop.until_money(&id, "partially_refunded").await;
    let ours = shop.refunds(&id).await;
    assert_eq!((ours[0].source.as_str(), ours[0].amount), ("provider", 1500));
    assert_eq!(ours[0].provider_refund_id, made);
    assert_eq!(shop.refundable(&id).await, 3500);
    // Ours and theirs at once, and then the rest in the dashboard.
    let part = some(1000);
    let (ours, _) = tokio::join!(shop.ask_refund(&id, &part), by_hand(1000));
    ours.is(201);
    shop.until_refunds(&id, &["succeeded"; 3]).await;
    by_hand(1500).await;
    shop.until_money(&id, "refunded").await;
    assert_eq!(shop.provider.balance(&id).await, (5000, 5000, 4));
    assert_eq!(shop.list_exceptions("").await, []);
    shop.close();
}

/// Worker and API die between any two steps of a refund.
#[tokio::test]
async fn whatever_dies_the_money_goes_back_once() {
    let mut shop = Shop::with_tea(100).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(paid(&shop).await);
    }
    let refunded = async |shop: &Shop, id: &str| shop.provider.balance(id).await.2 == 1;

    // The API dies as soon as it has answered, and no worker runs.
    shop.kill_worker();
    shop.ask_refund(&ids[0], &json!({"reason": "x", "restock": true})).await.is(201);
    shop.restart_api().await;
    shop.start_worker();

    // The provider does it, and the worker dies while it waits for the answer.
    shop.kill_worker();
    let mut deaf = shop.another_worker(&[("HOLDFAST_SANDBOX_URL", shop.provider.deaf_line().await)]).await;
    shop.provider.faults(json!({"webhooks": "lose"})).await;
    for id in &ids[1..3] {
        shop.ask_refund(id, &json!({"reason": "x", "restock": true})).await.is(201);
    }
    for id in &ids[..3] {
        wait_until("the provider did it", async || refunded(&shop, id).await).await;
    }
    deaf.kill();
    // Their answers get lost, and then everything dies.
    shop.provider.faults(json!({"answers_lost": 3})).await;
    for id in &ids[3..5] {
        shop.ask_refund(id, &json!({"reason": "x", "restock": true})).await.is(201);
    }
    let mut worker = shop.another_worker(&[]).await;
    wait_until("the provider did it", async || refunded(&shop, &ids[4]).await).await;
    worker.kill();
    shop.restart_api().await;
    // The provider is out, and the worker dies while it tries.
    shop.provider.outage().await;
    shop.ask_refund(&ids[5], &json!({"reason": "x", "restock": true})).await.is(201);
    let mut worker = shop.another_worker(&[]).await;
    wait_until("it was tried", async || {
        let history = shop.temporal.count(&format!("TaskQueue = '{}'", shop.task_queue)).await;
        history > 0
    })
    .await;
    worker.kill();
    shop.provider.no_faults().await;

    shop.start_worker();
    for id in &ids {
        shop.until_money(id, "refunded").await;
        shop.until_refunds(id, &["succeeded"]).await;
        assert_eq!(shop.provider.balance(id).await, (5000, 5000, 1));
        let story = shop.story(id).await;
        assert_eq!(story.iter().filter(|told| *told == "payment.refunded").count(), 1);
        let mut mails = refund_mails(&shop, id, 1).await;
        mails.dedup();
        assert_eq!(mails.len(), 1);
    }
    assert_eq!(shop.level("tea").await, (100, 0));
    assert_eq!(shop.list_exceptions("").await, []);
    shop.close();
}

/// What an API handed over is noted by it: no sweeper starts it once more.
#[tokio::test]
async fn a_refund_is_started_once() {
    let mut shop = Shop::with_tea(100).await;
    let id = paid(&shop).await;
    shop.kill_worker();
    shop.ask_refund(&id, &json!({"reason": "x"})).await.is(201);
    let noted =
        "SELECT workflow_started_at IS NOT NULL AND dispatch_after < created_at + interval '10 seconds'
                 FROM refunds";
    shop.until_true("it is noted that it was started", noted).await;
    shop.start_worker();
    shop.until_refunds(&id, &["succeeded"]).await;
    shop.close();
}
