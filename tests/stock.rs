//! Stock: never sold twice, never lost.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::Shop;

#[tokio::test]
async fn two_hundred_buyers_for_fifty_pieces() {
    let shop = Shop::with_tea(50).await;
    let body = shop.order_body(&[("tea", 1)]);
    let answers = join_all((0..200).map(|_| shop.try_place(&body))).await;
    let mut count = BTreeMap::new();
    for answer in &answers {
        *count.entry(answer.status.as_u16()).or_insert(0) += 1;
        if answer.status == 409 {
            let problem = answer.problem(409, "insufficient_stock");
            assert_eq!(problem.shortages, json!([{"sku": "tea", "requested": 1, "available": 0}]));
        }
    }
    assert_eq!(count, BTreeMap::from([(201, 50), (409, 150)]));
    assert_eq!(shop.level("tea").await, (50, 50));
    shop.audit();

    // Whoever gives back makes room for one more, and one only.
    let first = answers.iter().find(|answer| answer.status == 201).unwrap().json();
    shop.cancel(&first.id).await.is(200);
    let answers = join_all((0..5).map(|_| shop.try_place(&body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    shop.close();
}

#[tokio::test]
async fn all_lines_or_none() {
    let shop = Shop::open().await;
    for (sku, on_hand) in [("a", 5), ("b", 1), ("c", 0)] {
        shop.stock(sku, 100, on_hand).await;
    }
    let refused = shop.try_place(&shop.order_body(&[("c", 1), ("a", 5), ("b", 2)])).await;
    let expected =
        json!([{"sku": "b", "requested": 2, "available": 1}, {"sku": "c", "requested": 1, "available": 0}]);
    assert_eq!(refused.problem(409, "insufficient_stock").shortages, expected);
    for sku in ["a", "b", "c"] {
        assert_eq!(shop.level(sku).await.1, 0, "{sku}");
    }
    // Lines of one SKU are one line.
    let order = shop.try_place(&shop.order_body(&[("a", 2), ("b", 1), ("a", 3)])).await.is(201);
    assert_eq!(order.total, 600);
    assert_eq!(order.lines[0].quantity, 5);
    assert_eq!((shop.level("a").await, shop.level("b").await), ((5, 5), (1, 1)));
    shop.close();
}

#[tokio::test]
async fn adjustments_respect_holds_and_repeat_harmlessly() {
    let shop = Shop::with_tea(10).await;
    shop.place(&[("tea", 4)]).await;
    shop.adjust("tea", -7).await.problem(409, "stock_below_held");
    assert_eq!(shop.level("tea").await, (10, 4));
    shop.adjust("tea", -6).await.is(201);
    assert_eq!(shop.level("tea").await, (4, 4));

    let path = "/v1/inventory/tea/adjustments";
    let body = json!({"delta": 5, "reason": "delivery 12"});
    let first = shop.api.post_as("delivery-12", path, &body).await;
    assert!(!first.is_replayed());
    shop.adjust("tea", 1).await.is(201);
    let again = shop.api.post_as("delivery-12", path, &body).await;
    assert!(again.is_replayed());
    assert_eq!((again.is(201), again.body), (first.is(201), first.body));
    assert_eq!(shop.level("tea").await, (10, 4));
    let other = json!({"delta": 6, "reason": "delivery 12"});
    shop.api.post_as("delivery-12", path, &other).await.problem(422, "idempotency_key_reused");
    assert_eq!(shop.level("tea").await, (10, 4));
    shop.close();
}
