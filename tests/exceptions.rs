//! Exceptions: money that does not simply pay an order, what the rules make of it, and what people decide.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{
    Shop,
    documents::Exception,
    wait_until,
    webhook::{Webhook, paid},
};

fn ids(exceptions: &[Exception]) -> Vec<&str> {
    exceptions.iter().map(|it| it.id.as_str()).collect()
}

#[tokio::test]
async fn exceptions_are_listed_by_state_and_order_page_by_page() {
    let shop = Shop::with_tea(100).await;
    let (id, other) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    for known in 0..3 {
        shop.pay_with(&id, json!({"amount": 100 + known})).await;
        shop.until_told_times(&id, "exception.raised", known + 1).await;
    }
    shop.pay_with(&other, json!({"amount": 7})).await;
    let last = shop.until_exception(&other, "wrong_amount").await;
    let all = shop.list_exceptions("").await;
    assert_eq!(all[0], last);
    let amounts: Vec<_> = all.iter().map(|it| it.amount).collect();
    assert_eq!(amounts, [7, 102, 101, 100]);
    assert_eq!([&last.order_id, &last.payment_id], [&other, &shop.payments(&other).await[0].id]);

    shop.resolve(&all[2], "accept").await.is(200);
    let open = shop.list_exceptions("state=open").await;
    assert_eq!(ids(&open), [ids(&all)[0], ids(&all)[1], ids(&all)[3]]);
    assert_eq!(ids(&shop.list_exceptions("state=resolved").await), [ids(&all)[2]]);
    assert_eq!(ids(&shop.list_exceptions(&format!("order={id}")).await), ids(&all)[1..]);
    assert_eq!(ids(&shop.list_exceptions(&format!("order={id}&state=open")).await).len(), 2);
    assert_eq!(ids(&shop.list_exceptions("kind=wrong_amount&state=open").await), ids(&open));
    assert!(shop.list_exceptions("kind=paid_twice").await.is_empty());

    let pages = shop.api.pages::<Exception>("/v1/exceptions?limit=3").await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(pages.concat(), shop.list_exceptions("").await);
    for (query, field) in [
        ("state=closed", "state"),
        ("kind=odd", "kind"),
        ("order=x", "order"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("starting_after=x", "starting_after"),
        ("colour=red", "colour"),
    ] {
        assert_eq!(shop.api.get(&format!("/v1/exceptions?{query}")).await.bad_fields(), [field], "{query}");
    }
    shop.close();
}

#[tokio::test]
async fn a_person_decides_once_and_it_stays_on_record() {
    let shop = Shop::with_tea(100).await;
    let id = shop.place(&[("tea", 1)]).await;
    for known in 0..3 {
        shop.pay_with(&id, json!({"amount": 100 + known})).await;
        shop.until_told_times(&id, "exception.raised", known + 1).await;
    }
    let [third, second, first] = <[Exception; 3]>::try_from(shop.list_exceptions("").await).unwrap();
    for (exception, action) in [(&first, "refund"), (&second, "accept"), (&third, "dismiss")] {
        let resolved = shop.resolve(exception, action).await.is(200);
        assert_eq!((resolved.state.as_str(), resolved.action.as_str()), ("resolved", action));
        assert_eq!([&resolved.note, &resolved.resolved_by], ["looked at it", "api"]);
        assert!(resolved.resolved_at.is_some());
        for again in ["refund", "accept", "dismiss"] {
            shop.resolve(exception, again).await.problem(409, "exception_resolved");
        }
    }
    let refunds = shop.until_refunds(&id, &["succeeded"]).await;
    assert_eq!((&refunds[0].exception_id, refunds[0].amount), (&first.id, 100));
    assert_eq!(shop.provider.balance(&id).await, (303, 100, 1));
    let told = shop.told(&id, "exception.resolved").await;
    assert_eq!(told.len(), 3);
    assert_eq!(told[1], json!({"exception_id": second.id, "action": "accept", "note": "looked at it"}));

    // Many at once: one of them decides.
    shop.pay_with(&id, json!({"amount": 104})).await;
    let exception = shop.until_exception(&id, "wrong_amount").await;
    let answers = join_all((0..8).map(|_| shop.resolve(&exception, "refund"))).await;
    assert_eq!(answers.iter().filter(|it| it.status == 200).count(), 1);
    assert!(answers.iter().all(|it| it.status == 200 || it.status == 409));
    shop.until_refunds(&id, &["succeeded"; 2]).await;

    for unknown in ["exc_01920000000070008000000000000000", "x"] {
        let unknown = Exception { id: unknown.to_owned(), ..exception.clone() };
        shop.resolve(&unknown, "accept").await.problem(404, "exception_not_found");
    }
    let path = format!("/v1/exceptions/{}/resolve", first.id);
    for (body, field) in [
        (json!({"action": "burn", "note": "x"}), "action"),
        (json!({"action": "accept"}), "note"),
        (json!({"action": "accept", "note": " "}), "note"),
        (json!({"action": "accept", "note": "x".repeat(201)}), "note"),
        (json!({"action": "accept", "note": "x", "amount": 1}), "amount"),
        (json!({"note": "x"}), "action"),
    ] {
        assert_eq!(shop.api.post(&path, &body).await.bad_fields(), [field], "{body}");
    }
    shop.close();
}

#[tokio::test]
async fn money_for_an_unknown_order_can_be_sent_back() {
    let shop = Shop::with_tea(100).await;
    let order = "ord_01920000000070008000000000000000";
    shop.provider.pay(order, 777, json!({})).await.is(200);
    let exception = shop.until_exception("", "unknown_order").await;
    assert_eq!((exception.order_id.as_str(), exception.amount), ("", 777));
    shop.resolve(&exception, "refund").await.is(200);
    wait_until("it goes back", async || shop.provider.balance(order).await == (777, 777, 1)).await;
    // Money that the provider does not know: its refund fails, and a person hears of it.
    Webhook::new(&paid(order, 500)).send(&shop.api).await.is(200);
    let stray = shop.until_exception("", "unknown_order").await;
    shop.resolve(&stray, "refund").await.is(200);
    let failed = shop.until_exception("", "refund_failed").await;
    assert_eq!((failed.amount, failed.order_id.as_str()), (500, ""));
    shop.resolve(&failed, "dismiss").await.is(200);
    shop.close();
}

/// Expired, and then paid.
async fn paid_late(shop: &Shop, policy: Value) -> String {
    let id = shop.place_with(&[("tea", 2)], policy).await;
    shop.fast_forward(&id, "PT25H").await;
    shop.until(&id, "expired").await;
    shop.temporal.until_closed(&id).await;
    shop.pay(&id).await;
    shop.until_told(&id, "payment.received").await;
    id
}

#[tokio::test]
async fn late_money_takes_the_order_back_if_its_stock_is_there() {
    let shop = Shop::with_tea(100).await;
    for (fulfilment, status) in [("immediate", "completed"), ("manual", "paid")] {
        let policy = json!({"late_payment": "reinstate", "fulfilment": fulfilment});
        let id = paid_late(&shop, policy).await;
        let successor = shop.until_reinstated(&id).await;
        let successor = successor.as_str();
        let order = shop.order(successor).await;
        assert_eq!((order.status.as_str(), order.payment_status.as_str()), (status, "paid"));
        assert_eq!(order.total, 2500);
        assert_eq!(shop.order(&id).await.status, "expired");
        assert_eq!(shop.order(&id).await.payment_status, "unpaid");
        assert_eq!(shop.payments(successor).await[0].applied, 2500);
        assert_eq!(shop.until_mailed(successor, "paid").await, ["paid"]);
        if status == "paid" {
            assert_eq!(shop.fulfil(successor).await.is(200).status, "completed");
            shop.until_mailed(successor, "completed").await;
        }
        shop.temporal.until_closed(successor).await;
        // It is an order as any other: its money can go back.
        shop.ask_refund(&id, &json!({"reason": "x"})).await.problem(409, "refund_exceeds_captured");
        shop.ask_refund(successor, &json!({"amount": 500, "reason": "x"})).await.is(201);
        shop.until_money(successor, "partially_refunded").await;
        // Paid once more, late: another order takes its place, once more.
        assert_eq!(shop.exceptions(&id).await, [""; 0]);
    }
    assert_eq!(shop.level("tea").await, (96, 0));
    shop.close();
}

#[tokio::test]
async fn late_money_goes_back_if_the_stock_is_gone_or_the_amount_is_another() {
    let shop = Shop::with_tea(100).await;
    let id = shop.place_with(&[("tea", 2)], json!({"late_payment": "reinstate"})).await;
    shop.cancel(&id).await.is(200);
    shop.temporal.until_closed(&id).await;
    shop.adjust("tea", -99).await.is(201);
    shop.pay(&id).await;
    shop.until_money(&id, "refunded").await;
    assert_eq!(shop.exceptions(&id).await, ["order_closed"]);
    assert_eq!(shop.level("tea").await, (1, 0));
    shop.adjust("tea", 9).await.is(201);
    shop.pay_with(&id, json!({"amount": 2499})).await;
    shop.until_refunds(&id, &["succeeded"; 2]).await;
    assert_eq!(shop.level("tea").await, (10, 0));
    assert_eq!(shop.provider.balance(&id).await, (4999, 4999, 2));
    shop.close();
}

#[tokio::test]
async fn late_money_goes_back_or_waits_as_the_policy_says() {
    let shop = Shop::with_tea(100).await;
    let back = paid_late(&shop, json!({"late_payment": "refund"})).await;
    let waits = paid_late(&shop, json!({"late_payment": "exception"})).await;
    shop.until_money(&back, "refunded").await;
    assert_eq!(shop.provider.balance(&back).await, (2500, 2500, 1));
    let resolved = shop.list_exceptions(&format!("order={back}")).await;
    assert_eq!([&resolved[0].kind, &resolved[0].resolved_by], ["order_closed", "rule"]);
    let open = shop.until_exception(&waits, "order_closed").await;
    assert_eq!(shop.refunds(&waits).await, []);
    shop.resolve(&open, "refund").await.is(200);
    shop.until_money(&waits, "refunded").await;
    shop.close();
}

#[tokio::test]
async fn too_much_too_little_and_twice_as_the_policy_says() {
    let shop = Shop::with_tea(100).await;
    // Too much: the order is paid, and the difference goes back.
    let much = shop.place_with(&[("tea", 1)], json!({"overpayment": "refund_difference"})).await;
    shop.pay_with(&much, json!({"amount": 1300})).await;
    shop.until(&much, "completed").await;
    shop.until_refunds(&much, &["succeeded"]).await;
    assert_eq!(shop.provider.balance(&much).await, (1300, 50, 1));
    shop.until_money(&much, "paid").await;
    assert_eq!(shop.exceptions(&much).await, ["overpaid"]);
    assert_eq!(shop.refundable(&much).await, 1250);
    shop.ask_refund(&much, &json!({"reason": "x"})).await.is(201);
    shop.until_money(&much, "refunded").await;
    // Too much, and a person looks: the order is not paid.
    let asks = shop.place_with(&[("tea", 1)], json!({"overpayment": "exception"})).await;
    shop.pay_with(&asks, json!({"amount": 1300})).await;
    shop.until_exception(&asks, "wrong_amount").await;
    assert_eq!(shop.order(&asks).await.status, "awaiting_payment");
    // Too little, or in another currency: it goes back, and the right money still pays.
    let little = shop.place_with(&[("tea", 1)], json!({"underpayment": "refund"})).await;
    shop.pay_with(&little, json!({"amount": 1})).await;
    shop.pay_with(&little, json!({"amount": 1250, "currency": "USD"})).await;
    shop.until_refunds(&little, &["succeeded"; 2]).await;
    assert_eq!(shop.order(&little).await.status, "awaiting_payment");
    shop.pay(&little).await;
    shop.until(&little, "completed").await;
    shop.until_money(&little, "paid").await;
    // Twice: a person looks. The order's own money is refunded when all of it has gone back.
    let twice = shop.place_with(&[("tea", 1)], json!({"duplicate_payment": "exception"})).await;
    shop.pay(&twice).await;
    shop.until(&twice, "completed").await;
    shop.pay(&twice).await;
    let open = shop.until_exception(&twice, "paid_twice").await;
    assert_eq!(shop.provider.balance(&twice).await, (2500, 0, 0));
    shop.ask_refund(&twice, &json!({"reason": "x"})).await.is(201);
    shop.until_money(&twice, "refunded").await;
    shop.resolve(&open, "refund").await.is(200);
    shop.until_refunds(&twice, &["succeeded"; 2]).await;
    assert_eq!(shop.provider.balance(&twice).await, (2500, 2500, 2));
    shop.close();
}
