//! Disputes: a payer wants the money back by way of the bank.

use serde_json::json;

use crate::harness::{Shop, documents::Settlement, webhook::Webhook};

const TOTAL: i64 = 5000;

/// An order of 50.00 that is paid; gives its id and the provider's id of the payment.
async fn paid(shop: &Shop) -> (String, String) {
    let id = shop.sell_by_attempt(&[("tea", 4)], json!(null), "completed").await;
    let payment = shop.provider_payment(&id).await;
    (id, payment)
}

/// A webhook about a dispute of all of it.
fn event(order: &str, payment: &str, kind: &str, state: &str) -> Webhook {
    let data = json!({"order_id": order, "payment_id": payment, "dispute_id": "dp_1", "amount": TOTAL,
                      "currency": "EUR", "state": state});
    Webhook::new(&json!({"type": kind, "data": data}))
}

#[tokio::test]
async fn disputed_money_cannot_be_refunded_until_the_dispute_is_won() {
    let shop = Shop::with_tea(100).await;
    let (id, payment) = paid(&shop).await;
    let first = shop.provider.dispute(&payment, json!({"amount": 3000})).await;
    shop.until_told(&id, "payment.disputed").await;
    assert_eq!(shop.open_of(&id).await, [("disputed".to_owned(), 3000)]);
    assert_eq!(shop.refundable(&id).await, 2000);
    assert_eq!(shop.order(&id).await.payment_status, "paid");
    let exception = shop.until_exception(&id, "disputed").await;
    shop.resolve(&exception, "refund").await.problem(409, "refund_exceeds_captured");
    // Two at once, and a part goes back meanwhile.
    let second = shop.provider.dispute(&payment, json!({"amount": 500})).await;
    shop.until_told_times(&id, "payment.disputed", 2).await;
    shop.ask_refund(&id, &json!({"amount": 1500, "reason": "damaged"})).await.is(201);
    shop.until_refunds(&id, &["succeeded"]).await;
    assert_eq!(shop.refundable(&id).await, 0);
    shop.provider.close_dispute(&first, "won").await;
    shop.until_told(&id, "dispute.won").await;
    assert_eq!(shop.open_of(&id).await, [("disputed".to_owned(), 500)]);
    assert_eq!(shop.refundable(&id).await, 3000);
    shop.provider.close_dispute(&second, "lost").await;
    shop.until_told(&id, "dispute.lost").await;
    assert_eq!(shop.open_of(&id).await, []);
    assert_eq!(shop.order(&id).await.payment_status, "partially_refunded");
    shop.ask_refund(&id, &json!({"reason": "the rest"})).await.is(201);
    shop.until_money(&id, "refunded").await;
    assert_eq!(shop.provider.balance(&id).await, (5000, 4500, 2));
    shop.close();
}

/// Told before its capture, its end before its beginning, and everything twice.
#[tokio::test]
async fn a_dispute_is_told_in_any_order() {
    let shop = Shop::with_tea(100).await;
    let (id, payment) = paid(&shop).await;
    for (kind, state) in [
        ("dispute.closed", "lost"),
        ("dispute.created", "open"),
        ("dispute.updated", "open"),
        ("dispute.closed", "lost"),
    ] {
        let webhook = event(&id, &payment, kind, state);
        webhook.send(&shop.api).await.is(200);
        webhook.send(&shop.api).await.is(200);
        shop.until_told(&id, "dispute.lost").await;
    }
    shop.until_money(&id, "refunded").await;
    shop.until_true("all of it is settled", "SELECT bool_and(settled_at IS NOT NULL) FROM inbox").await;
    let story = shop.story(&id).await;
    let told = |kind: &str| story.iter().filter(|it| *it == kind).count();
    assert_eq!((told("payment.disputed"), told("dispute.lost"), told("exception.raised")), (1, 1, 0));
    assert_eq!(shop.list_exceptions("").await, []);
    assert_eq!(shop.refundable(&id).await, 0);
    shop.close();
}

/// A refund was asked for when the dispute came: the provider refuses it, and that is nobody's task while the
/// money is disputed.
#[tokio::test]
async fn a_refund_that_a_dispute_forestalls_waits_for_its_end() {
    let shop = Shop::with_tea(100).await;
    let (id, payment) = paid(&shop).await;
    shop.provider.outage().await;
    shop.ask_refund(&id, &json!({"reason": "returned"})).await.is(201);
    let dispute = shop.provider.dispute(&payment, json!({})).await;
    shop.until_told(&id, "payment.disputed").await;
    shop.provider.no_faults().await;
    shop.until_refunds(&id, &["failed"]).await;
    assert_eq!(shop.open_of(&id).await, [("disputed".to_owned(), TOTAL)]);
    shop.provider.close_dispute(&dispute, "won").await;
    let failed = shop.until_exception(&id, "refund_failed").await;
    assert_eq!(shop.open_of(&id).await, [("refund_failed".to_owned(), TOTAL)]);
    shop.resolve(&failed, "refund").await.is(200);
    shop.until_money(&id, "refunded").await;
    assert_eq!(shop.open_of(&id).await, []);
    shop.close();
}

/// No webhook came: the books tell of disputes, too, and of what became of them.
#[tokio::test]
async fn disputes_that_no_webhook_told_are_in_the_books() {
    let shop = Shop::with_tea(100).await;
    let ((won, payment), (lost, other)) = (paid(&shop).await, paid(&shop).await);
    shop.provider.faults(json!({"webhooks": "lose"})).await;
    let reconcile = async |healed: u32| {
        let (whole, said) = shop.reconcile().await;
        assert!(whole && said.contains(&format!("{healed} taken up now, 0 unmatched")), "{said}");
    };
    let first = shop.provider.dispute(&payment, json!({})).await;
    reconcile(1).await;
    shop.until_exception(&won, "disputed").await;
    let second = shop.provider.dispute(&other, json!({"amount": 2000})).await;
    shop.provider.close_dispute(&first, "won").await;
    shop.provider.close_dispute(&second, "lost").await;
    let (whole, said) = shop.reconcile().await;
    assert!(whole, "{said}");
    shop.until_told(&won, "dispute.won").await;
    shop.until_told(&lost, "dispute.lost").await;
    shop.until_money(&lost, "partially_refunded").await;
    reconcile(0).await;
    assert_eq!(shop.list_exceptions("state=open").await, []);
    let settled = shop.api.list::<Settlement>("/v1/settlements").await.data.remove(0);
    assert_eq!((settled.captured, settled.refunded, settled.disputed), (10_000, 0, 2000));
    assert_eq!((settled.open, settled.unmatched), (0, 0));
    shop.close();
}

/// A paid order is cancelled while part of its money is in dispute: that part goes back once the shop has it
/// again, and stays with the payer if not. Either way all of it went back once.
#[tokio::test]
async fn disputed_money_of_a_cancelled_order_goes_back_when_it_is_won() {
    let shop = Shop::with_tea(100).await;
    for state in ["won", "lost"] {
        let id = shop.sell_by_attempt(&[("tea", 4)], json!({"fulfilment": "manual"}), "paid").await;
        let payment = shop.provider_payment(&id).await;
        let dispute = shop.provider.dispute(&payment, json!({"amount": 3000})).await;
        shop.until_told(&id, "payment.disputed").await;
        assert_eq!(shop.cancel(&id).await.is(200).status, "cancelled");
        shop.until_refunds(&id, &["succeeded"]).await;
        assert_eq!(shop.refunds(&id).await[0].amount, 2000);
        shop.until_money(&id, "partially_refunded").await;
        shop.provider.close_dispute(&dispute, state).await;
        shop.until_money(&id, "refunded").await;
        let expected: &[_] = if state == "won" { &[2000, 3000] } else { &[2000] };
        let amounts: Vec<_> = shop.refunds(&id).await.iter().map(|it| it.amount).collect();
        assert_eq!(amounts, expected);
        assert_eq!(shop.open_of(&id).await, []);
    }
    assert_eq!(shop.level("tea").await, (100, 0));
    shop.close();
}

/// A bank takes money that went back before: what it took beyond what was left is an exception, as long as it
/// is so.
#[tokio::test]
async fn what_a_bank_takes_twice_is_an_exception() {
    let shop = Shop::with_tea(100).await;
    let (id, payment) = paid(&shop).await;
    shop.ask_refund(&id, &json!({"amount": 3000, "reason": "returned"})).await.is(201);
    shop.until_refunds(&id, &["succeeded"]).await;
    let tell = async |kind: &str, state: &str| {
        event(&id, &payment, kind, state).send(&shop.api).await.is(200);
    };
    tell("dispute.created", "open").await;
    shop.until_told(&id, "payment.disputed").await;
    assert_eq!(shop.open_of(&id).await, [("disputed".to_owned(), TOTAL)]);
    tell("dispute.closed", "lost").await;
    shop.until_told(&id, "dispute.lost").await;
    let beyond = shop.until_exception(&id, "refund_unexplained").await;
    assert_eq!(shop.open_of(&id).await, [("refund_unexplained".to_owned(), 3000)]);
    shop.until_money(&id, "refunded").await;
    shop.resolve(&beyond, "refund").await.problem(409, "refund_exceeds_captured");
    assert_eq!(shop.refundable(&id).await, 0);
    // The bank gives it back after all: there is nothing to explain any more.
    tell("dispute.closed", "won").await;
    shop.until_told(&id, "dispute.won").await;
    assert_eq!(shop.open_of(&id).await, []);
    assert_eq!(shop.refundable(&id).await, 2000);
    shop.close();
}
