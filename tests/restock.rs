//! What was sold comes back line by line, as often as it takes, and never more than was sold; what came back
//! is not owed to the customer any more: neither pieces nor nights have two owners.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    harness::{
        Answer, Shop,
        documents::{Movement, Refund},
        unique, wait_until,
    },
    stays::day,
};

/// Tea at 10.00 and mugs at 18.00, ten of each.
pub async fn shop() -> Shop {
    let shop = Shop::open().await;
    shop.stock("tea", 1000, 10).await;
    shop.stock("mug", 1800, 10).await;
    shop
}

pub fn nights(sku: &str, from: i64, to: i64) -> Value {
    json!({"sku": sku, "stay": {"from": day(from), "to": day(to)}})
}

impl Shop {
    pub async fn bring_back(&self, order: &str, lines: Value) -> Answer<Refund> {
        self.ask_refund(order, &json!({"reason": "came back", "lines": lines})).await
    }

    /// Waits until this many refunds of the order brought something back; gives what each did.
    pub async fn until_back(&self, order: &str, times: usize) -> Vec<Value> {
        self.until_told_times(order, "stock.returned", times).await;
        self.told(order, "stock.returned").await.into_iter().map(|mut data| data["lines"].take()).collect()
    }

    /// How much of each line came back, as the order shows it.
    pub async fn returned(&self, order: &str) -> Vec<i64> {
        self.order(order).await.lines.iter().map(|line| line.returned).collect()
    }

    /// What the ledger says came back for an order.
    pub async fn ledger_returned(&self, order: &str) -> Vec<(String, i64)> {
        let ledger = self.api.list::<Movement>(&format!("/v1/ledger?limit=100&order={order}")).await.data;
        let returned = ledger.into_iter().filter(|it| it.kind == "returned");
        let mut returned: Vec<_> = returned.map(|it| (it.sku, it.quantity)).collect();
        returned.sort();
        returned
    }
}

#[tokio::test]
async fn pieces_come_back_in_steps_and_never_more_than_were_sold() {
    let shop = shop().await;
    let id = shop.sell_by_attempt(&[("mug", 2), ("tea", 3)], json!(null), "completed").await;
    let refund = shop.bring_back(&id, json!([{"sku": "tea", "quantity": 1}])).await.is(201);
    assert_eq!((refund.amount, refund.restock), (1000, true));
    assert_eq!(refund.lines, json!([{"sku": "tea", "quantity": 1}]));
    assert_eq!(shop.until_back(&id, 1).await, [json!([{"sku": "tea", "quantity": 1}])]);
    assert_eq!((shop.level("tea").await, shop.level("mug").await), ((8, 0), (8, 0)));
    assert_eq!(shop.returned(&id).await, [0, 1]);

    // Of one SKU, lines are summed; the amount may be another one.
    let two =
        json!([{"sku": "tea", "quantity": 1}, {"sku": "mug", "quantity": 1}, {"sku": "tea", "quantity": 1}]);
    let too_much =
        json!([{"sku": "tea", "quantity": 1}, {"sku": "tea", "quantity": 2}, {"sku": "mug", "quantity": 1}]);
    let problem = shop.bring_back(&id, too_much).await.problem(409, "restock_exceeds_sold");
    assert_eq!(problem.returnable, json!([{"sku": "mug", "quantity": 2}, {"sku": "tea", "quantity": 2}]));
    let refund = json!({"reason": "two", "amount": 1, "restock": true, "lines": two});
    assert_eq!(shop.ask_refund(&id, &refund).await.is(201).amount, 1);
    shop.until_back(&id, 2).await;
    assert_eq!((shop.level("tea").await, shop.level("mug").await), ((10, 0), (9, 0)));
    let problem = shop.bring_back(&id, json!([{"sku": "tea", "quantity": 1}])).await;
    let problem = problem.problem(409, "restock_exceeds_sold");
    assert_eq!(problem.returnable, json!([{"sku": "tea", "quantity": 0}]));

    // What is left of the pieces, and of the money.
    assert_eq!(shop.refundable(&id).await, 6600 - 1001);
    let rest = shop.ask_refund(&id, &json!({"reason": "rest", "restock": true})).await.is(201);
    assert_eq!((rest.amount, rest.lines), (5599, json!([{"sku": "mug", "quantity": 1}])));
    shop.until_back(&id, 3).await;
    shop.until_money(&id, "refunded").await;
    assert_eq!((shop.level("tea").await, shop.level("mug").await), ((10, 0), (10, 0)));
    assert_eq!(shop.returned(&id).await, [2, 3]);
    let returned = [("mug", 1), ("mug", 1), ("tea", 1), ("tea", 2)].map(|(sku, n)| (sku.to_owned(), n));
    assert_eq!(shop.ledger_returned(&id).await, returned);
    shop.close();
}

/// The pieces do not follow the money by themselves.
#[tokio::test]
async fn a_refund_of_one_piece_that_restocks_without_lines_brings_back_all_that_is_there() {
    let shop = shop().await;
    let id = shop.sell_by_attempt(&[("tea", 3)], json!(null), "completed").await;
    shop.ask_refund(&id, &json!({"reason": "x", "amount": 1000})).await.is(201);
    shop.until_refunds(&id, &["succeeded"]).await;
    assert_eq!(shop.level("tea").await, (7, 0));
    shop.bring_back(&id, json!([{"sku": "tea", "quantity": 1}])).await.is(201);
    shop.until_back(&id, 1).await;
    let all = shop.ask_refund(&id, &json!({"reason": "x", "amount": 1, "restock": true})).await.is(201);
    assert_eq!(all.lines, json!([{"sku": "tea", "quantity": 2}]));
    shop.until_back(&id, 2).await;
    assert_eq!(shop.level("tea").await, (10, 0));
    // Nothing is there any more: the money alone goes back.
    let none = shop.ask_refund(&id, &json!({"reason": "x", "amount": 1, "restock": true})).await.is(201);
    assert_eq!(none.lines, json!([]));
    shop.until_refunds(&id, &["succeeded"; 4]).await;
    assert_eq!((shop.level("tea").await, shop.returned(&id).await), ((10, 0), vec![3]));
    // More than is left of what was paid.
    let id = shop.sell_by_attempt(&[("tea", 2)], json!(null), "completed").await;
    shop.ask_refund(&id, &json!({"reason": "x", "amount": 1})).await.is(201);
    let problem = shop.bring_back(&id, json!([{"sku": "tea", "quantity": 2}])).await;
    assert_eq!(problem.problem(409, "refund_exceeds_captured").refundable, Some(1999));
    shop.close();
}

#[tokio::test]
async fn what_does_not_fit_the_order_is_named() {
    let shop = shop().await;
    shop.rooms("room", 3).await;
    let mut body = shop.stay_body("room", 2, 5);
    body["lines"].as_array_mut().unwrap().push(json!({"sku": "tea", "quantity": 2}));
    let order = shop.try_place(&body).await.is(201);
    let id = order.id.as_str();
    let unpaid = shop.bring_back(id, json!([{"sku": "tea", "quantity": 1}])).await;
    assert_eq!(unpaid.problem(409, "refund_exceeds_captured").refundable, Some(0));
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
    assert_eq!(problem.returnable, whole);
    assert_eq!(shop.refunds(id).await, []);
    shop.close();
}

#[tokio::test]
async fn many_at_once_bring_back_what_was_sold_and_a_repeat_nothing() {
    let shop = shop().await;
    let id = shop.sell_by_attempt(&[("tea", 3)], json!(null), "completed").await;
    let one = json!({"reason": "x", "amount": 100, "lines": [{"sku": "tea", "quantity": 1}]});
    let path = format!("/v1/orders/{id}/refunds");
    let key = unique();
    let ask = async || shop.api.post_as(&key, &path, &one).await.of::<Refund>();
    let same = join_all((0..4).map(|_| ask()));
    let others = join_all((0..8).map(|_| shop.ask_refund(&id, &one)));
    let (same, others) = tokio::join!(same, others);
    let given = others.iter().filter(|it| it.status == 201).count() + usize::from(same[0].status == 201);
    assert_eq!(given, 3, "{same:?} {others:?}");
    for refused in others.iter().filter(|it| it.status != 201) {
        let problem = refused.problem(409, "restock_exceeds_sold");
        assert_eq!(problem.returnable, json!([{"sku": "tea", "quantity": 0}]));
    }
    if same[0].status == 201 {
        assert!(same.iter().all(|it| it.is(201).id == same[0].json().id));
        let again = ask().await;
        assert_eq!(again.is(201).lines, one["lines"]);
        assert!(again.is_replayed());
    }
    shop.until_refunds(&id, &["succeeded"; 3]).await;
    shop.until_back(&id, 3).await;
    assert_eq!((shop.level("tea").await, shop.provider.balance(&id).await), ((10, 0), (3000, 300, 3)));
    shop.close();
}

/// What is claimed is not owed; what the claim cannot bring back is.
#[tokio::test]
async fn a_refund_that_fails_owes_its_pieces_again() {
    let shop = shop().await;
    let manual = json!({"fulfilment": "manual"});
    let (id, other) = (
        shop.sell_by_attempt(&[("tea", 3)], manual.clone(), "paid").await,
        shop.sell_by_attempt(&[("tea", 2)], manual, "paid").await,
    );
    shop.provider.faults(json!({"refunds": "pend"})).await;
    // All is claimed, at one cent: there is money, but nothing to hand over.
    shop.ask_refund(&id, &json!({"reason": "x", "amount": 1, "restock": true})).await.is(201);
    shop.until_refunds(&id, &["pending"]).await;
    assert_eq!(shop.level("tea").await, (5, 0));
    shop.fulfil(&id).await.problem(409, "order_refunded");
    let problem = shop.bring_back(&id, json!([{"sku": "tea", "quantity": 1}])).await;
    problem.problem(409, "restock_exceeds_sold");
    shop.provider.settle(&shop.refunds(&id).await[0].id, "failed").await;
    let failed = shop.until_exception(&id, "refund_failed").await;

    // Two of the three come back otherwise; the refund in place of the failed one brings back what is there.
    shop.provider.no_faults().await;
    shop.bring_back(&id, json!([{"sku": "tea", "quantity": 2}])).await.is(201);
    shop.until_back(&id, 1).await;
    shop.resolve(&failed, "refund").await.is(200);
    let back = shop.until_back(&id, 2).await;
    assert_eq!(back[1], json!([{"sku": "tea", "quantity": 1}]));
    assert_eq!((shop.level("tea").await, shop.returned(&id).await), ((8, 0), vec![3]));
    shop.fulfil(&id).await.problem(409, "order_refunded");

    // What was handed over after all does not come back by itself.
    shop.provider.faults(json!({"refunds": "fail"})).await;
    shop.bring_back(&other, json!([{"sku": "tea", "quantity": 2}])).await.is(201);
    let failed = shop.until_exception(&other, "refund_failed").await;
    shop.fulfil(&other).await.is(200);
    shop.provider.no_faults().await;
    shop.resolve(&failed, "refund").await.is(200);
    shop.until_money(&other, "refunded").await;
    assert_eq!((shop.level("tea").await, shop.returned(&other).await), ((8, 0), vec![0]));
    shop.close();
}

#[tokio::test]
async fn the_rest_is_handed_over_and_told() {
    let shop = shop().await;
    let id = shop.sell_by_attempt(&[("mug", 1), ("tea", 3)], json!({"fulfilment": "manual"}), "paid").await;
    shop.bring_back(&id, json!([{"sku": "mug", "quantity": 1}, {"sku": "tea", "quantity": 1}])).await.is(201);
    shop.until_back(&id, 1).await;
    shop.fulfil(&id).await.is(200);
    let mail = shop.mail(&id, "completed").await;
    for part in ["2 x Nice tea: €20.00", "No longer part of your order: €28.00", "Total: €48.00", "left of"]
    {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
    assert!(!mail.text.contains("Nice mug") && mail.html.contains("€28.00"), "{mail:?}");
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
        ids.push(shop.sell_by_attempt(&[("tea", 3)], json!(null), "completed").await);
    }
    shop.kill_worker();
    let one = json!({"reason": "x", "lines": [{"sku": "tea", "quantity": 1}]});
    let key = unique();
    let path = format!("/v1/orders/{}/refunds", ids[0]);
    let ask = async |shop: &Shop| shop.api.post_as(&key, &path, &one).await.of::<Refund>().is(201).id;
    let first = ask(&shop).await;
    shop.restart_api().await;
    assert_eq!(ask(&shop).await, first);
    // The provider does it, and the worker dies while it waits for the answer.
    let mut deaf = shop.another_worker(&[("HOLDFAST_SANDBOX_URL", shop.provider.deaf_line().await)]).await;
    shop.ask_refund(&ids[1], &one).await.is(201);
    wait_until("the provider did it", async || shop.provider.balance(&ids[1]).await.2 == 1).await;
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
