//! The same request twice is one request.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Answer, Shop, documents::Order, send};

/// Sends the same order twenty times at once under one key.
async fn twenty(shop: &Shop, key: &str, lines: &[(&str, i64)]) -> Vec<Answer<Order>> {
    let body = shop.order_body(lines);
    join_all((0..20).map(|_| shop.try_place_as(key, &body))).await
}

fn check_one_order(answers: &[Answer<Order>]) {
    for answer in answers {
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.body, answers[0].body);
        assert_eq!(answer.header("location"), answers[0].header("location"));
    }
    let replayed = answers.iter().filter(|answer| answer.is_replayed());
    assert_eq!(replayed.count(), answers.len() - 1);
}

/// Of the last piece, too: the nineteen must find the order, not an empty shelf.
#[tokio::test]
async fn twenty_equal_requests_are_one_order() {
    let shop = Shop::with_tea(3).await;
    for (key, pieces) in [("k-1", 2), ("k-2", 1)] {
        check_one_order(&twenty(&shop, key, &[("tea", pieces)]).await);
    }
    assert_eq!(shop.level("tea").await, (3, 3));
    assert_eq!(shop.api.list::<Order>("/v1/orders").await.data.len(), 2);
    shop.close();
}

#[tokio::test]
async fn the_first_answer_is_repeated_whatever_became_of_the_order() {
    let shop = Shop::with_tea(10).await;
    let body = shop.order_body(&[("tea", 1)]);
    let first = shop.try_place_as("k-1", &body).await;
    let id = first.is(201).id;
    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    let dearer = json!({"name": "Renamed", "unit_price": 9900, "currency": "EUR"});
    shop.put_product("tea", &dearer).await.is(200);
    let again = shop.try_place_as("k-1", &body).await;
    assert_eq!(again.is(201), first.json());
    assert_eq!(again.body, first.body);
    assert!(again.is_replayed());

    let mut other = body.clone();
    other["lines"][0]["quantity"] = json!(2);
    shop.try_place_as("k-1", &other).await.problem(422, "idempotency_key_reused");
    // Also where the other request is for another SKU, whose row the first never locked.
    shop.stock("mug", 990, 1).await;
    let other = shop.order_body(&[("mug", 1)]);
    shop.try_place_as("k-1", &other).await.problem(422, "idempotency_key_reused");
    assert_eq!((shop.level("tea").await, shop.level("mug").await), ((9, 0), (1, 0)));
    shop.close();
}

#[tokio::test]
async fn a_key_is_needed_and_must_be_decent() {
    let shop = Shop::with_tea(10).await;
    let body = shop.order_body(&[("tea", 1)]);
    let post = || shop.api.request(reqwest::Method::POST, "/v1/orders").json(&body);
    send(post()).await.problem(400, "idempotency_key_required");
    for bad in ["", &"k".repeat(256), "k\u{e9}"] {
        send(post().header("idempotency-key", bad)).await.problem(400, "idempotency_key_invalid");
    }
    // A refused order takes no key: mended, it may come under the same one.
    let short = shop.order_body(&[("tea", 11)]);
    shop.try_place_as("k-1", &short).await.problem(409, "insufficient_stock");
    shop.try_place_as("k-1", &body).await.is(201);
    shop.close();
}
