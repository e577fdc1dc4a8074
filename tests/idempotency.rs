//! The same request twice is one request.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Answer, Shop, send};

/// Sends the same order twenty times at once under one key.
async fn twenty(shop: &Shop, key: &str, lines: &[(&str, i64)]) -> Vec<Answer> {
    let body = shop.order_body(lines);
    join_all((0..20).map(|_| shop.api.post_as(key, "/v1/orders", &body))).await
}

fn check_one_order(answers: &[Answer]) {
    for answer in answers {
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.body, answers[0].body);
        assert_eq!(answer.header("location"), answers[0].header("location"));
    }
    let replayed = answers.iter().filter(|answer| answer.header("idempotent-replayed") == Some("true"));
    assert_eq!(replayed.count(), answers.len() - 1);
}

#[tokio::test]
async fn twenty_equal_requests_are_one_order() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 10).await;
    check_one_order(&twenty(&shop, "k-1", &[("tea", 2)]).await);
    assert_eq!(shop.level("tea").await, (10, 2));
    assert_eq!(shop.api.get("/v1/orders").await.is(200)["data"].as_array().unwrap().len(), 1);
    shop.close();
}

/// The nineteen must find the order, not an empty shelf.
#[tokio::test]
async fn twenty_equal_requests_for_the_last_piece_are_one_order() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 1).await;
    check_one_order(&twenty(&shop, "k-1", &[("tea", 1)]).await);
    shop.close();
}

#[tokio::test]
async fn the_first_answer_is_repeated_whatever_became_of_the_order() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 10).await;
    let body = shop.order_body(&[("tea", 1)]);
    let first = shop.api.post_as("k-1", "/v1/orders", &body).await;
    let id = first.is(201)["id"].as_str().unwrap().to_owned();
    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    shop.reprice("tea", 9900).await;
    let again = shop.api.post_as("k-1", "/v1/orders", &body).await;
    assert_eq!(again.is(201), first.json());
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));

    let mut other = body.clone();
    other["lines"][0]["quantity"] = json!(2);
    shop.api.post_as("k-1", "/v1/orders", &other).await.problem(422, "idempotency_key_reused");
    // Also where the other request is for another SKU, whose row the first never locked.
    shop.stock("mug", 990, 1).await;
    let other = shop.order_body(&[("mug", 1)]);
    shop.api.post_as("k-1", "/v1/orders", &other).await.problem(422, "idempotency_key_reused");
    assert_eq!((shop.level("tea").await, shop.level("mug").await), ((9, 0), (1, 0)));
    shop.close();
}

#[tokio::test]
async fn a_key_is_needed_and_must_be_decent() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 10).await;
    let body = shop.order_body(&[("tea", 1)]);
    let post = || shop.api.request(reqwest::Method::POST, "/v1/orders").json(&body);
    send(post()).await.problem(400, "idempotency_key_required");
    for bad in ["", &"k".repeat(256), "k\u{e9}"] {
        send(post().header("idempotency-key", bad)).await.problem(400, "idempotency_key_invalid");
    }
    // A refused order takes no key: mended, it may come under the same one.
    let short = shop.order_body(&[("tea", 11)]);
    shop.api.post_as("k-1", "/v1/orders", &short).await.problem(409, "insufficient_stock");
    shop.api.post_as("k-1", "/v1/orders", &body).await.is(201);
    shop.close();
}
