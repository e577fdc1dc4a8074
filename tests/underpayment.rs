//! Orders that are paid in parts: as their policy allows, or because a person applied money that was not what
//! was due.

use serde_json::{Value, json};

use crate::harness::{
    Shop,
    documents::{Exception, Refund},
    unique, wait_until,
};

/// A shop in which tea costs 10.00.
pub async fn shop() -> Shop {
    let shop = Shop::open().await;
    shop.stock("tea", 1000, 100).await;
    shop
}

pub fn accumulate() -> Value {
    json!({"underpayment": "accumulate"})
}

/// (paid, due), as the order says.
pub async fn stands(shop: &Shop, id: &str) -> (i64, i64) {
    let order = shop.order(id).await;
    (order.amount_paid, order.amount_due)
}

pub async fn until_paid(shop: &Shop, id: &str, amount: i64) {
    wait_until(&format!("{amount} of {id} is paid"), async || stands(shop, id).await.0 == amount).await;
}

/// Pays with a wrong amount, and gives the exception that it is.
async fn wrong(shop: &Shop, id: &str, amount: i64) -> Exception {
    shop.pay_with(id, json!({"amount": amount})).await;
    let exception = shop.until_exception(id, "wrong_amount").await;
    assert_eq!(exception.amount, amount);
    exception
}

/// The text of the order's mail of this kind.
async fn mail(shop: &Shop, id: &str, kind: &str) -> String {
    shop.mail(id, kind).await.text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn nearly_the_right_amount_is_applied_by_a_person_and_the_rest_pays_the_order() {
    let shop = shop().await;
    let id = shop.place(&[("tea", 1)]).await;
    assert_eq!(stands(&shop, &id).await, (0, 1000));
    let exception = wrong(&shop, &id, 999).await;
    assert_eq!(exception.effect, "");
    let applied = shop.resolve(&exception, "apply").await.is(200);
    assert_eq!([&applied.state, &applied.action], ["resolved", "apply"]);
    assert!(applied.effect.contains("counts towards the order"), "{applied:?}");
    assert_eq!(stands(&shop, &id).await, (999, 1));
    let order = shop.order(&id).await;
    assert_eq!([&order.status, &order.payment_status], ["awaiting_payment", "unpaid"]);
    for again in ["apply", "refund", "accept"] {
        shop.resolve(&exception, again).await.problem(409, "exception_resolved");
    }
    // Nothing of it can be refunded while the order waits.
    assert_eq!(shop.refundable(&id).await, 0);
    // The reminder asks for the rest, and so does an attempt.
    shop.fast_forward(&id, "PT5H").await;
    let reminder = mail(&shop, &id, "reminder_1").await;
    assert!(reminder.contains("€9.99 has reached us, and €0.01 is still due"), "{reminder}");
    let attempt = shop.attempt(&id).await;
    assert_eq!(attempt.amount, 1);
    shop.provider.capture(&attempt.id, json!({})).await.is(200);
    let order = shop.until(&id, "completed").await;
    assert_eq!((order.payment_status.as_str(), order.amount_paid), ("paid", 1000));
    assert_eq!(order.amount_due, 0);
    assert_eq!(shop.until_mailed(&id, "paid").await, ["reminder_1", "paid"]);
    shop.temporal.until_closed(&id).await;
    let story = shop.story(&id).await;
    assert_eq!(story.iter().filter(|told| *told == "payment.applied").count(), 2, "{story:?}");
    assert_eq!(shop.list_exceptions("state=open").await, []);
    assert_eq!(shop.level("tea").await, (99, 0));
    shop.close();
}

/// More than was still due is too much, though it is less than the order costs.
#[tokio::test]
async fn the_rule_that_was_asked_goes_by_what_was_due_then() {
    let shop = shop().await;
    let id = shop.place(&[("tea", 1)]).await;
    let rule = async |exception: &Exception| {
        shop.api.get(&format!("/v1/exceptions/{}", exception.id)).await.is(200)["rule"].clone()
    };
    let first = wrong(&shop, &id, 800).await;
    shop.resolve(&first, "apply").await.is(200);
    let second = wrong(&shop, &id, 300).await;
    assert_eq!(rule(&first).await, json!({"name": "underpayment", "value": "exception"}));
    assert_eq!(rule(&second).await["name"], "overpayment");
    // What was decided since changes nothing of it.
    shop.resolve(&second, "apply").await.is(200);
    shop.until(&id, "completed").await;
    assert_eq!(rule(&second).await["name"], "overpayment");
    shop.close();
}

#[tokio::test]
async fn the_right_amount_in_two_parts_needs_no_person_if_the_policy_says_so() {
    let shop = shop().await;
    let id = shop.place_with(&[("tea", 1)], accumulate()).await;
    for (part, paid) in [(999, 999), (1, 1000)] {
        shop.pay_with(&id, json!({"amount": part})).await;
        until_paid(&shop, &id, paid).await;
    }
    shop.until(&id, "completed").await;
    // Three parts, the last of them by default: what is due.
    let three = shop.place_with(&[("tea", 1)], accumulate()).await;
    for (part, paid) in [(300, 300), (300, 600)] {
        shop.pay_with(&three, json!({"amount": part})).await;
        until_paid(&shop, &three, paid).await;
    }
    assert_eq!(shop.level("tea").await, (99, 1));
    shop.pay(&three).await;
    shop.until(&three, "completed").await;
    for id in [&id, &three] {
        assert_eq!(shop.until_mailed(id, "paid").await, ["paid"]);
        assert_eq!(shop.exceptions(id).await, [""; 0]);
        assert_eq!(shop.order(id).await.payment_status, "paid");
    }
    let amounts: Vec<_> = shop.payments(&three).await.iter().map(|it| it.applied).collect();
    assert_eq!(amounts, [300, 300, 400]);
    shop.close();
}

#[tokio::test]
async fn what_cannot_be_applied_is_told() {
    let shop = shop().await;
    let none = "exception_not_applicable";
    // The order has ended since.
    let expired = shop.place(&[("tea", 1)]).await;
    let exception = wrong(&shop, &expired, 999).await;
    shop.fast_forward(&expired, "PT25H").await;
    shop.until(&expired, "expired").await;
    assert_eq!(shop.resolve(&exception, "apply").await.problem(409, none).current_status, "expired");
    // It stays open, and the mail does not say that nothing came.
    let text = mail(&shop, &expired, "expired").await;
    assert!(text.contains("€9.99 had reached us") && text.contains("We will get in touch"), "{text}");
    assert!(!text.contains("No payment"), "{text}");
    shop.resolve(&exception, "refund").await.is(200);
    shop.until_money(&expired, "refunded").await;
    // The order was paid since, or by the rest.
    let paid = shop.place(&[("tea", 1)]).await;
    let exception = wrong(&shop, &paid, 999).await;
    shop.pay(&paid).await;
    shop.until(&paid, "completed").await;
    assert_eq!(shop.resolve(&exception, "apply").await.problem(409, none).current_status, "completed");
    // Money of another kind.
    let policy = json!({"duplicate_payment": "exception", "late_payment": "exception"});
    let twice = shop.place_with(&[("tea", 1)], policy.clone()).await;
    shop.pay_with(&twice, json!({"currency": "USD"})).await;
    let other = shop.until_exception(&twice, "wrong_currency").await;
    shop.resolve(&other, "apply").await.problem(409, none);
    shop.pay(&twice).await;
    shop.until(&twice, "completed").await;
    shop.pay(&twice).await;
    let second = shop.until_exception(&twice, "paid_twice").await;
    shop.resolve(&second, "apply").await.problem(409, none);
    let late = shop.place_with(&[("tea", 1)], policy).await;
    shop.cancel(&late).await.is(200);
    shop.temporal.until_closed(&late).await;
    shop.pay(&late).await;
    let late = shop.until_exception(&late, "order_closed").await;
    assert_eq!(shop.resolve(&late, "apply").await.problem(409, none).current_status, "cancelled");
    shop.provider.pay("ord_01920000000070008000000000000000", 7, json!({})).await.is(200);
    let stray = shop.until_exception("", "unknown_order").await;
    shop.resolve(&stray, "apply").await.problem(409, none);
    shop.close();
}

#[tokio::test]
async fn too_much_that_is_applied_pays_the_order_and_the_rest_goes_by_its_rules() {
    let shop = shop().await;
    let id = shop.place(&[("tea", 1)]).await;
    let part = wrong(&shop, &id, 400).await;
    shop.resolve(&part, "apply").await.is(200);
    // More than the rest, less than the order.
    let much = wrong(&shop, &id, 700).await;
    shop.resolve(&much, "apply").await.is(200);
    let order = shop.until(&id, "completed").await;
    assert_eq!((order.payment_status.as_str(), order.amount_due), ("paid", 0));
    let excess = shop.until_exception(&id, "overpaid").await;
    assert_eq!(excess.amount, 100);
    shop.resolve(&excess, "apply").await.problem(409, "exception_not_applicable");
    assert_eq!(shop.until_mailed(&id, "paid").await, ["paid"]);
    shop.resolve(&excess, "refund").await.is(200);
    shop.until_refunds(&id, &["succeeded"]).await;
    assert_eq!(shop.provider.balance(&id).await, (1100, 100, 1));
    assert_eq!(shop.order(&id).await.payment_status, "paid");
    shop.close();
}

#[tokio::test]
async fn parts_that_bring_too_much_follow_the_rule_about_too_much() {
    let shop = shop().await;
    let both = json!({"underpayment": "accumulate", "overpayment": "refund_difference"});
    let back = shop.place_with(&[("tea", 1)], both).await;
    let asks = shop.place_with(&[("tea", 1)], accumulate()).await;
    for id in [&back, &asks] {
        shop.pay_with(id, json!({"amount": 600})).await;
        until_paid(&shop, id, 600).await;
        // Another currency is no part, and neither is nothing.
        shop.pay_with(id, json!({"amount": 400, "currency": "USD"})).await;
        shop.until_exception(id, "wrong_currency").await;
        shop.pay_with(id, json!({"amount": 500})).await;
    }
    shop.until(&back, "completed").await;
    shop.until_refunds(&back, &["succeeded"]).await;
    assert_eq!(shop.exceptions(&back).await, ["wrong_currency", "overpaid"]);
    let much = shop.until_exception(&asks, "wrong_amount").await;
    assert_eq!(stands(&shop, &asks).await, (600, 400));
    shop.resolve(&much, "apply").await.is(200);
    shop.until(&asks, "completed").await;
    assert_eq!(shop.until_exception(&asks, "overpaid").await.amount, 100);
    shop.close();
}

#[tokio::test]
async fn parts_of_an_order_that_ends_unpaid_go_back() {
    let shop = shop().await;
    let expired = shop.place_with(&[("tea", 1)], accumulate()).await;
    let cancelled = shop.place_with(&[("tea", 1)], accumulate()).await;
    let policy = json!({"underpayment": "accumulate", "late_payment": "exception"});
    let waits = shop.place_with(&[("tea", 1)], policy).await;
    for (id, parts) in [(&expired, &[300, 200, 100][..]), (&cancelled, &[999]), (&waits, &[500])] {
        let mut paid = 0;
        for part in parts {
            shop.pay_with(id, json!({"amount": part})).await;
            paid += part;
            until_paid(&shop, id, paid).await;
        }
    }
    shop.fast_forward(&expired, "PT25H").await;
    shop.until(&expired, "expired").await;
    shop.cancel(&cancelled).await.is(200);
    shop.cancel(&waits).await.is(200);

    shop.until_refunds(&expired, &["succeeded"; 3]).await;
    shop.until_refunds(&cancelled, &["succeeded"]).await;
    for id in [&expired, &cancelled] {
        shop.until_money(id, "refunded").await;
        assert_eq!(stands(&shop, id).await, (0, 0));
    }
    assert_eq!(shop.provider.balance(&expired).await, (600, 600, 3));
    let text = mail(&shop, &expired, "expired").await;
    assert!(text.contains("€6.00 had reached us") && text.contains("It goes back to you"), "{text}");
    assert!(!text.contains("No payment"), "{text}");
    let text = mail(&shop, &cancelled, "cancelled").await;
    assert!(text.contains("€9.99 had reached us") && text.contains("It goes back to you"), "{text}");
    // Or a person looks, if the order says so of money that comes too late.
    let open = shop.until_exception(&waits, "order_closed").await;
    assert_eq!(open.amount, 500);
    shop.resolve(&open, "apply").await.problem(409, "exception_not_applicable");
    let text = mail(&shop, &waits, "cancelled").await;
    assert!(text.contains("€5.00") && text.contains("We will get in touch"), "{text}");
    shop.resolve(&open, "refund").await.is(200);
    shop.until_money(&waits, "refunded").await;
    // The rest that comes now is late money.
    shop.temporal.until_closed(&expired).await;
    shop.pay_with(&expired, json!({"amount": 400})).await;
    shop.until_refunds(&expired, &["succeeded"; 4]).await;
    assert_eq!(shop.level("tea").await, (100, 0));
    shop.close();
}

#[tokio::test]
async fn a_refund_larger_than_any_of_the_payments_is_several() {
    let shop = shop().await;
    let id = shop.place_with(&[("tea", 1)], accumulate()).await;
    for (part, paid) in [(300, 300), (500, 800), (200, 1000)] {
        shop.pay_with(&id, json!({"amount": part})).await;
        until_paid(&shop, &id, paid).await;
    }
    shop.until(&id, "completed").await;
    // What one of them has is one refund.
    let one = shop.ask_refund(&id, &json!({"amount": 100, "reason": "x"})).await.is(201);
    assert_eq!((one.amount, one.also.len()), (100, 0));
    assert_eq!(shop.refundable(&id).await, 900);
    let (key, path) = (unique(), format!("/v1/orders/{id}/refunds"));
    let all = json!({"reason": "all of it", "restock": true});
    let ask = async || shop.api.post_as(&key, &path, &all).await.of::<Refund>();
    let first = ask().await.is(201);
    assert_eq!((first.amount, first.also.len()), (400, 2));
    let again = ask().await;
    assert!(again.is_replayed());
    assert_eq!((again.is(201).id, again.is(201).also), (first.id, first.also.clone()));
    let refunds = shop.until_refunds(&id, &["succeeded"; 4]).await;
    let sum: i64 = refunds.iter().map(|refund| refund.amount).sum();
    assert_eq!(sum, 1000);
    let others = refunds.iter().filter(|it| first.also.contains(&it.id));
    assert_eq!(others.filter(|it| it.also.len() == 2).count(), 2);
    shop.until_money(&id, "refunded").await;
    assert_eq!(shop.provider.balance(&id).await, (1000, 1000, 4));
    assert_eq!(shop.level("tea").await, (100, 0));
    shop.close();
}

/// The order is paid with the decision; whatever dies then, its workflow hears of it and tells the customer.
#[tokio::test]
async fn whatever_dies_after_money_was_applied_the_customer_is_told() {
    let mut shop = Shop::open().await;
    shop.stock("tea", 1000, 10).await;
    for fulfilment in ["immediate", "manual"] {
        let id = shop.place_with(&[("tea", 1)], json!({"fulfilment": fulfilment})).await;
        let exception = wrong(&shop, &id, 1100).await;
        shop.kill_worker();
        let (api, mut process) = shop.start_api(&[("TEMPORAL_ADDRESS", "127.0.0.1:1".into())]).await;
        let path = format!("/v1/exceptions/{}/resolve", exception.id);
        api.post(&path, &json!({"action": "apply", "note": "x"})).await.is(200);
        process.kill();
        shop.restart_api().await;
        assert_eq!(shop.order(&id).await.payment_status, "paid");
        shop.start_worker();
        assert_eq!(shop.until_mailed(&id, "paid").await, ["paid"]);
        if fulfilment == "manual" {
            assert_eq!(shop.order(&id).await.status, "paid");
            shop.fulfil(&id).await.is(200);
        }
        shop.temporal.until_closed(&id).await;
        assert_eq!(shop.order(&id).await.status, "completed");
    }
    shop.close();
}

#[tokio::test]
async fn accept_says_what_it_does_and_does_not_do() {
    let shop = shop().await;
    let id = shop.place(&[("tea", 1)]).await;
    let exception = wrong(&shop, &id, 999).await;
    let accepted = shop.resolve(&exception, "accept").await.is(200);
    assert!(accepted.effect.contains("does not pay the order"), "{accepted:?}");
    assert_eq!(stands(&shop, &id).await, (0, 1000));
    shop.fast_forward(&id, "PT25H").await;
    shop.until(&id, "expired").await;
    let text = mail(&shop, &id, "expired").await;
    assert!(text.contains("€9.99 had reached us") && !text.contains("No payment"), "{text}");
    shop.close();
}
