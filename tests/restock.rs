//! What was sold comes back line by line, as often as it takes, and never more than was sold; what came back
//! is not owed to the customer any more: neither pieces nor nights have two owners.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Shop, eventually, unique},
    stays::day,
};

/// Tea at 10.00 and mugs at 18.00, ten of each.
pub async fn shop() -> Shop {
    let shop = Shop::open().await;
    shop.stock("tea", 1000, 10).await;
    shop.stock("mug", 1800, 10).await;
    shop
}

pub async fn paid(shop: &Shop, lines: &[(&str, i64)], policy: Value, status: &str) -> String {
    let id = shop.place_with(lines, policy).await;
    let attempt = shop.attempt(&id).await;
    shop.capture(attempt["id"].as_str().unwrap(), json!({})).await.is(200);
    shop.until(&id, status).await;
    id
}

pub fn nights(sku: &str, from: i64, to: i64) -> Value {
    json!({"sku": sku, "stay": {"from": day(from), "to": day(to)}})
}

impl Shop {
    pub async fn bring_back(&self, order: &str, lines: Value) -> Answer {
        self.ask_refund(order, &json!({"reason": "came back", "lines": lines})).await
    }

    /// Waits until this many refunds of the order brought something back; gives what each did.
    pub async fn until_back(&self, order: &str, times: usize) -> Vec<Value> {
        self.until_told_times(order, "stock.returned", times).await;
        let told = self.timeline(order).await.into_iter().filter(|it| it["type"] == "stock.returned");
        told.map(|it| it["data"]["lines"].clone()).collect()
    }

    /// How much of each line came back, as the order shows it.
    pub async fn returned(&self, order: &str) -> Vec<Value> {
        let order = self.order(order).await;
        order["lines"].as_array().unwrap().iter().map(|line| line["returned"].clone()).collect()
    }

    /// What the ledger says came back for an order.
    pub async fn ledger_returned(&self, order: &str) -> Vec<(String, i64)> {
        let list = self.api.get(&format!("/v1/ledger?limit=100&order={order}")).await.is(200);
        let returned = list["data"].as_array().unwrap().iter().filter(|it| it["kind"] == "returned");
        let mut returned: Vec<_> = returned
            .map(|it| (it["sku"].as_str().unwrap().to_owned(), it["quantity"].as_i64().unwrap()))
            .collect();
        returned.sort();
        returned
    }
}

#[tokio::test]
async fn pieces_come_back_in_steps_and_never_more_than_were_sold() {
    let shop = shop().await;
    let id = paid(&shop, &[("mug", 2), ("tea", 3)], json!(null), "completed").await;
    let refund = shop.bring_back(&id, json!([{"sku": "tea", "quantity": 1}])).await.is(201);
    assert_eq!((&refund["amount"], &refund["restock"]), (&json!(1000), &json!(true)));
    assert_eq!(refund["lines"], json!([{"sku": "tea", "quantity": 1}]));
    assert_eq!(shop.until_back(&id, 1).await, [json!([{"sku": "tea", "quantity": 1}])]);
    assert_eq!((shop.level("tea").await, shop.level("mug").await), ((8, 0), (8, 0)));
    assert_eq!(shop.returned(&id).await, [Value::Null, json!(1)]);

    // Of one SKU, lines are summed; the amount may be another one.
    let two =
        json!([{"sku": "tea", "quantity": 1}, {"sku": "mug", "quantity": 1}, {"sku": "tea", "quantity": 1}]);
    let too_much =
        json!([{"sku": "tea", "quantity": 1}, {"sku": "tea", "quantity": 2}, {"sku": "mug", "quantity": 1}]);
    let problem = shop.bring_back(&id, too_much).await.problem(409, "restock_exceeds_sold");
    assert_eq!(problem["returnable"], json!([{"sku": "mug", "quantity": 2}, {"sku": "tea", "quantity": 2}]));
    let refund = json!({"reason": "two", "amount": 1, "restock": true, "lines": two});
    assert_eq!(shop.ask_refund(&id, &refund).await.is(201)["amount"], 1);
    shop.until_back(&id, 2).await;
    assert_eq!((shop.level("tea").await, shop.level("mug").await), ((10, 0), (9, 0)));
    let problem = shop.bring_back(&id, json!([{"sku": "tea", "quantity": 1}])).await;
    let problem = problem.problem(409, "restock_exceeds_sold");
    assert_eq!(problem["returnable"], json!([{"sku": "tea", "quantity": 0}]));

    // What is left of the pieces, and of the money.
    let problem = json!({"reason": "x", "amount": 5600, "restock": true});
    assert_eq!(
        shop.ask_refund(&id, &problem).await.problem(409, "refund_exceeds_captured")["refundable"],
        6600 - 1001
    );
    let rest = shop.ask_refund(&id, &json!({"reason": "rest", "restock": true})).await.is(201);
    assert_eq!((&rest["amount"], &rest["lines"]), (&json!(5599), &json!([{"sku": "mug", "quantity": 1}])));
    shop.until_back(&id, 3).await;
    shop.until_payment_status(&id, "refunded").await;
    assert_eq!((shop.level("tea").await, shop.level("mug").await), ((10, 0), (10, 0)));
    assert_eq!(shop.returned(&id).await, [json!(2), json!(3)]);
    let returned = [("mug", 1), ("mug", 1), ("tea", 1), ("tea", 2)].map(|(sku, n)| (sku.to_owned(), n));
    assert_eq!(shop.ledger_returned(&id).await, returned);
    shop.close();
}

/// The pieces do not follow the money by themselves.
#[tokio::test]
async fn a_refund_of_one_piece_that_restocks_without_lines_brings_back_all_that_is_there() {
    let shop = shop().await;
    let id = paid(&shop, &[("tea", 3)], json!(null), "completed").await;
    shop.ask_refund(&id, &json!({"reason": "x", "amount": 1000})).await.is(201);
    shop.until_refunds(&id, &["succeeded"]).await;
    assert_eq!(shop.level("tea").await, (7, 0));
    shop.bring_back(&id, json!([{"sku": "tea", "quantity": 1}])).await.is(201);
    shop.until_back(&id, 1).await;
    let all = shop.ask_refund(&id, &json!({"reason": "x", "amount": 1, "restock": true})).await.is(201);
    assert_eq!(all["lines"], json!([{"sku": "tea", "quantity": 2}]));
    shop.until_back(&id, 2).await;
    assert_eq!(shop.level("tea").await, (10, 0));
    // Nothing is there any more: the money alone goes back.
    let none = shop.ask_refund(&id, &json!({"reason": "x", "amount": 1, "restock": true})).await.is(201);
    assert_eq!(none["lines"], json!([]));
    shop.until_refunds(&id, &["succeeded"; 4]).await;
    assert_eq!((shop.level("tea").await, shop.returned(&id).await), ((10, 0), vec![json!(3)]));
    // More than is left of what was paid.
    let id = paid(&shop, &[("tea", 2)], json!(null), "completed").await;
    shop.ask_refund(&id, &json!({"reason": "x", "amount": 1})).await.is(201);
    let problem = shop.bring_back(&id, json!([{"sku": "tea", "quantity": 2}])).await;
    assert_eq!(problem.problem(409, "refund_exceeds_captured")["refundable"], 1999);
    shop.close();
}

#[tokio::test]
async fn what_does_not_fit_the_order_is_named() {
    let shop = shop().await;
    shop.rooms("room", 3).await;
    let mut body = shop.stay_body("room", 2, 5);
    body["lines"].as_array_mut().unwrap().push(json!({"sku": "tea", "quantity": 2}));
    let order = shop.try_place(&body).await.is(201);
    let id = order["id"].as_str().unwrap();
    let unpaid = shop.bring_back(id, json!([{"sku": "tea", "quantity": 1}])).await;
    assert_eq!(unpaid.problem(409, "refund_exceeds_captured")["refundable"], 0);
    shop.pay(id).await;
    shop.until(id, "paid").await;
    let room = |from, to| nights("room", from, to);
    let tea = json!({"sku": "tea", "quantity": 1});
    for (lines, fields) in [
        (json!([]), vec!["lines"]),
        (json!(vec![tea.clone(); 101]), vec!["lines"]),
        (json!([{"sku": "tea"}]), vec!["lines[0].quantity"]),
        (
            json!([{"sku": "tea", "quantity": 0}, {"sku": "tea", "quantity": -1}]),
            vec!["lines[0].quantity", "lines[1].quantity"],
        ),
        (json!([tea, {"sku": "mug", "quantity": 1}]), vec!["lines[1].sku"]),
        (json!([{"sku": "no such", "quantity": 1}]), vec!["lines[0].sku"]),
        (json!([{"sku": format!("room@{}", day(2)), "quantity": 1}]), vec!["lines[0].sku"]),
        (json!([{"sku": "room", "quantity": 1}]), vec!["lines[0].stay"]),
        (
            json!([{"sku": "tea", "quantity": 1, "stay": {"from": day(2), "to": day(3)}}]),
            vec!["lines[0].stay"],
        ),
        (json!([room(1, 3), room(4, 6)]), vec!["lines[0].stay", "lines[1].stay"]),
        (json!([room(2, 4), room(3, 5)]), vec!["lines[1].stay"]),
        (json!([room(3, 3)]), vec!["lines[0].stay.to"]),
        (
            json!([{"sku": "room", "stay": {"from": "2026-13-01", "to": "x"}}]),
            vec!["lines[0].stay.from", "lines[0].stay.to"],
        ),
        (json!([{"sku": "tea", "quantity": 1, "amount": 1}]), vec!["lines[0].amount"]),
    ] {
        assert_eq!(shop.bring_back(id, lines.clone()).await.bad_fields(), fields, "{lines}");
    }
    let not = json!({"reason": "x", "restock": false, "lines": [tea]});
    assert_eq!(shop.ask_refund(id, &not).await.bad_fields(), ["restock"]);
    let huge = json!([{"sku": "tea", "quantity": i64::MAX}, {"sku": "tea", "quantity": i64::MAX}]);
    shop.bring_back(id, huge).await.problem(409, "restock_exceeds_sold");
    let rooms = json!([{"sku": "room", "stay": {"from": day(2), "to": day(3)}, "quantity": 2}]);
    let problem = shop.bring_back(id, rooms).await.problem(409, "restock_exceeds_sold");
    let whole = json!([{"sku": "room", "stay": {"from": day(2), "to": day(5)}, "quantity": 1}]);
    assert_eq!(problem["returnable"], whole);
    assert_eq!(shop.refunds(id).await, [] as [Value; 0]);
    shop.close();
}

#[tokio::test]
async fn many_at_once_bring_back_what_was_sold_and_a_repeat_nothing() {
    let shop = shop().await;
    let id = paid(&shop, &[("tea", 3)], json!(null), "completed").await;
    let one = json!({"reason": "x", "amount": 100, "lines": [{"sku": "tea", "quantity": 1}]});
    let path = format!("/v1/orders/{id}/refunds");
    let key = unique();
    let same = join_all((0..4).map(|_| shop.api.post_as(&key, &path, &one)));
    let others = join_all((0..8).map(|_| shop.ask_refund(&id, &one)));
    let (same, others) = tokio::join!(same, others);
    let given = others.iter().filter(|it| it.status == 201).count() + usize::from(same[0].status == 201);
    assert_eq!(given, 3, "{same:?} {others:?}");
    for refused in others.iter().filter(|it| it.status != 201) {
        let problem = refused.problem(409, "restock_exceeds_sold");
        assert_eq!(problem["returnable"], json!([{"sku": "tea", "quantity": 0}]));
    }
    if same[0].status == 201 {
        assert!(same.iter().all(|it| it.is(201)["id"] == same[0].json()["id"]));
        let again = shop.api.post_as(&key, &path, &one).await;
        assert_eq!(again.is(201)["lines"], one["lines"]);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    shop.until_refunds(&id, &["succeeded"; 3]).await;
    shop.until_back(&id, 3).await;
    assert_eq!((shop.level("tea").await, shop.balance(&id).await), ((10, 0), (3000, 300, 3)));
    shop.close();
}

/// What is claimed is not owed; what the claim cannot bring back is.
#[tokio::test]
async fn a_refund_that_fails_owes_its_pieces_again() {
    let shop = shop().await;
    let manual = json!({"fulfilment": "manual"});
    let (id, other) = (
        paid(&shop, &[("tea", 3)], manual.clone(), "paid").await,
        paid(&shop, &[("tea", 2)], manual, "paid").await,
    );
    shop.faults("", json!({"refunds": "pend"})).await;
    let settle = async |order: &str, n: usize, state: &str| {
        let refund = shop.refunds(order).await[n]["id"].as_str().unwrap().to_owned();
        let path = format!("/dashboard/refunds/{refund}/settle");
        shop.provider(Method::POST, &path, &json!({"state": state})).await.is(200);
    };
    // All is claimed, at one cent: there is money, but nothing to hand over.
    shop.ask_refund(&id, &json!({"reason": "x", "amount": 1, "restock": true})).await.is(201);
    shop.until_refunds(&id, &["pending"]).await;
    assert_eq!(shop.level("tea").await, (5, 0));
    shop.fulfil(&id).await.problem(409, "order_refunded");
    let problem = shop.bring_back(&id, json!([{"sku": "tea", "quantity": 1}])).await;
    problem.problem(409, "restock_exceeds_sold");
    settle(&id, 0, "failed").await;
    let failed = shop.until_exception(&id, "refund_failed").await;

    // Two of the three come back otherwise; the refund in place of the failed one brings back what is there.
    shop.no_faults().await;
    shop.bring_back(&id, json!([{"sku": "tea", "quantity": 2}])).await.is(201);
    shop.until_back(&id, 1).await;
    shop.resolve(&failed, "refund").await.is(200);
    let back = shop.until_back(&id, 2).await;
    assert_eq!(back[1], json!([{"sku": "tea", "quantity": 1}]));
    assert_eq!((shop.level("tea").await, shop.returned(&id).await), ((8, 0), vec![json!(3)]));
    shop.fulfil(&id).await.problem(409, "order_refunded");

    // What was handed over after all does not come back by itself.
    shop.faults("", json!({"refunds": "fail"})).await;
    shop.bring_back(&other, json!([{"sku": "tea", "quantity": 2}])).await.is(201);
    let failed = shop.until_exception(&other, "refund_failed").await;
    shop.fulfil(&other).await.is(200);
    shop.no_faults().await;
    shop.resolve(&failed, "refund").await.is(200);
    shop.until_payment_status(&other, "refunded").await;
    assert_eq!((shop.level("tea").await, shop.returned(&other).await), ((8, 0), vec![Value::Null]));
    shop.close();
}

#[tokio::test]
async fn the_rest_is_handed_over_and_told() {
    let shop = shop().await;
    let id = paid(&shop, &[("mug", 1), ("tea", 3)], json!({"fulfilment": "manual"}), "paid").await;
    shop.bring_back(&id, json!([{"sku": "mug", "quantity": 1}, {"sku": "tea", "quantity": 1}])).await.is(201);
    shop.until_back(&id, 1).await;
    shop.fulfil(&id).await.is(200);
    shop.until_mailed(&id, "completed").await;
    let mail = shop.mails(&id).await.into_iter().find(|mail| mail.kind() == "completed").unwrap();
    for part in
        ["2 x Nice tea: 20.00 EUR", "No longer part of your order: 28.00 EUR", "Total: 48.00 EUR", "left of"]
    {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
    assert!(!mail.text.contains("Nice mug") && mail.html.contains("28.00 EUR"), "{mail:?}");
    // Customers send back what they got, step by step.
    shop.bring_back(&id, json!([{"sku": "tea", "quantity": 2}])).await.is(201);
    shop.until_back(&id, 2).await;
    assert_eq!((shop.level("tea").await, shop.level("mug").await), ((10, 0), (10, 0)));
    shop.close();
}

/// Worker and API die between the claim, the money and the stock.
#[tokio::test]
async fn whatever_dies_the_pieces_come_back_once() {
    let mut shop = shop().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(paid(&shop, &[("tea", 3)], json!(null), "completed").await);
    }
    shop.kill_worker();
    let one = json!({"reason": "x", "lines": [{"sku": "tea", "quantity": 1}]});
    let key = unique();
    let path = format!("/v1/orders/{}/refunds", ids[0]);
    let first = shop.api.post_as(&key, &path, &one).await.is(201);
    shop.restart_api().await;
    assert_eq!(shop.api.post_as(&key, &path, &one).await.is(201)["id"], first["id"]);
    // The provider does it, and the worker dies while it waits for the answer.
    let mut deaf = shop.another_worker(&[("HOLDFAST_SANDBOX_URL", shop.deaf_line().await)]).await;
    shop.ask_refund(&ids[1], &one).await.is(201);
    eventually("the provider did it", async || (shop.balance(&ids[1]).await.2 == 1).then_some(())).await;
    deaf.kill();
    // Webhook and answer both tell of it.
    shop.start_worker();
    shop.ask_refund(&ids[2], &one).await.is(201);
    for id in &ids {
        shop.until_refunds(id, &["succeeded"]).await;
        assert_eq!(shop.until_back(id, 1).await.len(), 1);
        assert_eq!(shop.ledger_returned(id).await, [("tea".to_owned(), 1)]);
    }
    assert_eq!(shop.level("tea").await, (4, 0));
    shop.close();
}
