//! Disputes: a payer wants the money back by way of the bank.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Shop, eventually, webhook::Webhook};

const TOTAL: i64 = 5000;

async fn shop() -> Shop {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 100).await;
    shop
}

/// An order of 50.00 that is paid; gives its id and the provider's id of the payment.
async fn paid(shop: &Shop) -> (String, String) {
    let id = shop.place(&[("tea", 4)]).await;
    let attempt = shop.attempt(&id).await;
    shop.capture(attempt["id"].as_str().unwrap(), json!({})).await.is(200);
    shop.until(&id, "completed").await;
    (id, attempt["provider_payment_id"].as_str().unwrap().to_owned())
}

async fn dispute(shop: &Shop, payment: &str, how: Value) -> String {
    let path = format!("/dashboard/payments/{payment}/disputes");
    let dispute = shop.provider(Method::POST, &path, &how).await.is(200);
    dispute["id"].as_str().unwrap().to_owned()
}

async fn close(shop: &Shop, dispute: &str, state: &str) {
    let path = format!("/dashboard/disputes/{dispute}/close");
    shop.provider(Method::POST, &path, &json!({"state": state})).await.is(200);
}

/// What can go back now, as the refusal of too much says.
async fn refundable(shop: &Shop, order: &str) -> i64 {
    let too_much = json!({"amount": TOTAL + 1, "reason": "test"});
    let problem = shop.ask_refund(order, &too_much).await.problem(409, "refund_exceeds_captured");
    problem["refundable"].as_i64().unwrap()
}

async fn open(shop: &Shop, order: &str) -> Vec<(String, i64)> {
    let list = shop.list_exceptions(&format!("state=open&order={order}")).await;
    list.iter().map(|it| (it["kind"].as_str().unwrap().to_owned(), it["amount"].as_i64().unwrap())).collect()
}

#[tokio::test]
async fn disputed_money_cannot_be_refunded_until_the_dispute_is_won() {
    let shop = shop().await;
    let (id, payment) = paid(&shop).await;
    let first = dispute(&shop, &payment, json!({"amount": 3000})).await;
    shop.until_told(&id, "payment.disputed").await;
    assert_eq!(open(&shop, &id).await, [("disputed".to_owned(), 3000)]);
    assert_eq!(refundable(&shop, &id).await, 2000);
    assert_eq!(shop.order(&id).await["payment_status"], "paid");
    let exception = shop.until_exception(&id, "disputed").await;
    shop.resolve(&exception, "refund").await.problem(409, "refund_exceeds_captured");
    // Two at once, and a part goes back meanwhile.
    let second = dispute(&shop, &payment, json!({"amount": 500})).await;
    shop.until_told_times(&id, "payment.disputed", 2).await;
    shop.ask_refund(&id, &json!({"amount": 1500, "reason": "damaged"})).await.is(201);
    shop.until_refunds(&id, &["succeeded"]).await;
    assert_eq!(refundable(&shop, &id).await, 0);
    close(&shop, &first, "won").await;
    shop.until_told(&id, "dispute.won").await;
    assert_eq!(open(&shop, &id).await, [("disputed".to_owned(), 500)]);
    assert_eq!(refundable(&shop, &id).await, 3000);
    close(&shop, &second, "lost").await;
    shop.until_told(&id, "dispute.lost").await;
    assert_eq!(open(&shop, &id).await, []);
    assert_eq!(shop.order(&id).await["payment_status"], "partially_refunded");
    shop.ask_refund(&id, &json!({"reason": "the rest"})).await.is(201);
    shop.until_payment_status(&id, "refunded").await;
    assert_eq!(shop.balance(&id).await, (5000, 4500, 2));
    shop.close();
}

/// Told before its capture, its end before its beginning, and everything twice.
#[tokio::test]
async fn a_dispute_is_told_in_any_order() {
    let shop = shop().await;
    let (id, payment) = paid(&shop).await;
    let event = |kind: &str, state: &str| {
        json!({"type": kind, "data": {"order_id": id, "payment_id": payment, "dispute_id": "dp_1", "amount": TOTAL,
                                      "currency": "EUR", "state": state}})
    };
    for (kind, state) in [
        ("dispute.closed", "lost"),
        ("dispute.created", "open"),
        ("dispute.updated", "open"),
        ("dispute.closed", "lost"),
    ] {
        let webhook = Webhook::new(&event(kind, state));
        webhook.send(&shop.api).await.is(200);
        webhook.send(&shop.api).await.is(200);
        shop.until_told(&id, "dispute.lost").await;
    }
    shop.until_payment_status(&id, "refunded").await;
    let mut sql = shop.sql().await;
    eventually("all of it is settled", async || {
        let waits: i64 = sqlx::query_scalar("SELECT count(*) FROM inbox WHERE settled_at IS NULL")
            .fetch_one(&mut sql)
            .await
            .unwrap();
        (waits == 0).then_some(())
    })
    .await;
    let story = shop.story(&id).await;
    let told = |kind: &str| story.iter().filter(|it| *it == kind).count();
    assert_eq!((told("payment.disputed"), told("dispute.lost"), told("exception.raised")), (1, 1, 0));
    assert_eq!(shop.list_exceptions("").await, [] as [Value; 0]);
    assert_eq!(refundable(&shop, &id).await, 0);
    shop.close();
}

/// A refund was asked for when the dispute came: the provider refuses it, and that is nobody's task while the
/// money is disputed.
#[tokio::test]
async fn a_refund_that_a_dispute_forestalls_waits_for_its_end() {
    let shop = shop().await;
    let (id, payment) = paid(&shop).await;
    shop.outage().await;
    shop.ask_refund(&id, &json!({"reason": "returned"})).await.is(201);
    let dispute = dispute(&shop, &payment, json!({})).await;
    shop.until_told(&id, "payment.disputed").await;
    shop.no_faults().await;
    shop.until_refunds(&id, &["failed"]).await;
    assert_eq!(open(&shop, &id).await, [("disputed".to_owned(), TOTAL)]);
    close(&shop, &dispute, "won").await;
    let failed = shop.until_exception(&id, "refund_failed").await;
    assert_eq!(open(&shop, &id).await, [("refund_failed".to_owned(), TOTAL)]);
    shop.resolve(&failed, "refund").await.is(200);
    shop.until_payment_status(&id, "refunded").await;
    assert_eq!(open(&shop, &id).await, []);
    shop.close();
}

/// No webhook came: the books tell of disputes, too, and of what became of them.
#[tokio::test]
async fn disputes_that_no_webhook_told_are_in_the_books() {
    let shop = shop().await;
    let ((won, payment), (lost, other)) = (paid(&shop).await, paid(&shop).await);
    shop.faults("", json!({"webhooks": "lose"})).await;
    let reconcile = async |healed: u32| {
        let (whole, said) = shop.reconcile().await;
        assert!(whole && said.contains(&format!("{healed} taken up now, 0 unmatched")), "{said}");
    };
    let first = dispute(&shop, &payment, json!({})).await;
    reconcile(1).await;
    shop.until_exception(&won, "disputed").await;
    let second = dispute(&shop, &other, json!({"amount": 2000})).await;
    close(&shop, &first, "won").await;
    close(&shop, &second, "lost").await;
    let (whole, said) = shop.reconcile().await;
    assert!(whole, "{said}");
    shop.until_told(&won, "dispute.won").await;
    shop.until_told(&lost, "dispute.lost").await;
    shop.until_payment_status(&lost, "partially_refunded").await;
    reconcile(0).await;
    assert_eq!(shop.list_exceptions("state=open").await, [] as [Value; 0]);
    let settled = shop.api.get("/v1/settlements").await.is(200)["data"][0].clone();
    let shown =
        ["captured", "refunded", "disputed", "open", "unmatched"].map(|it| settled[it].as_i64().unwrap());
    assert_eq!(shown, [10_000, 0, 2000, 0, 0]);
    shop.close();
}

/// A paid order is cancelled while part of its money is in dispute: that part goes back once the shop has it
/// again, and stays with the payer if not. Either way all of it went back once.
#[tokio::test]
async fn disputed_money_of_a_cancelled_order_goes_back_when_it_is_won() {
    let shop = shop().await;
    for state in ["won", "lost"] {
        let id = shop.place_with(&[("tea", 4)], json!({"fulfilment": "manual"})).await;
        let attempt = shop.attempt(&id).await;
        shop.capture(attempt["id"].as_str().unwrap(), json!({})).await.is(200);
        shop.until(&id, "paid").await;
        let dispute =
            dispute(&shop, attempt["provider_payment_id"].as_str().unwrap(), json!({"amount": 3000})).await;
        shop.until_told(&id, "payment.disputed").await;
        assert_eq!(shop.cancel(&id).await.is(200)["status"], "cancelled");
        shop.until_refunds(&id, &["succeeded"]).await;
        assert_eq!(shop.refunds(&id).await[0]["amount"], 2000);
        shop.until_payment_status(&id, "partially_refunded").await;
        close(&shop, &dispute, state).await;
        shop.until_payment_status(&id, "refunded").await;
        let expected: &[_] = if state == "won" { &[2000, 3000] } else { &[2000] };
        let amounts: Vec<_> =
            shop.refunds(&id).await.iter().map(|it| it["amount"].as_i64().unwrap()).collect();
        assert_eq!(amounts, expected);
        assert_eq!(open(&shop, &id).await, []);
    }
    assert_eq!(shop.level("tea").await, (100, 0));
    shop.close();
}

/// A bank takes money that went back before: what it took beyond what was left is an exception, as long as it
/// is so.
#[tokio::test]
async fn what_a_bank_takes_twice_is_an_exception() {
    let shop = shop().await;
    let (id, payment) = paid(&shop).await;
    shop.ask_refund(&id, &json!({"amount": 3000, "reason": "returned"})).await.is(201);
    shop.until_refunds(&id, &["succeeded"]).await;
    let tell = async |kind: &str, state: &str| {
        let data = json!({"order_id": id, "payment_id": payment, "dispute_id": "dp_2", "amount": TOTAL,
                          "currency": "EUR", "state": state});
        Webhook::new(&json!({"type": kind, "data": data})).send(&shop.api).await.is(200);
    };
    tell("dispute.created", "open").await;
    shop.until_told(&id, "payment.disputed").await;
    assert_eq!(open(&shop, &id).await, [("disputed".to_owned(), TOTAL)]);
    tell("dispute.closed", "lost").await;
    shop.until_told(&id, "dispute.lost").await;
    let beyond = shop.until_exception(&id, "refund_unexplained").await;
    assert_eq!(open(&shop, &id).await, [("refund_unexplained".to_owned(), 3000)]);
    shop.until_payment_status(&id, "refunded").await;
    shop.resolve(&beyond, "refund").await.problem(409, "refund_exceeds_captured");
    assert_eq!(refundable(&shop, &id).await, 0);
    // The bank gives it back after all: there is nothing to explain any more.
    tell("dispute.closed", "won").await;
    shop.until_told(&id, "dispute.won").await;
    assert_eq!(open(&shop, &id).await, []);
    assert_eq!(refundable(&shop, &id).await, 2000);
    shop.close();
}
