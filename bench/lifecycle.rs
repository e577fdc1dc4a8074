//! Whole orders (placed through HTTP, paid by a webhook, completed, the customer told by mail) per second, against
//! empty workflows (started, one signal, ended) on the same server. In turns, so many at once, and each waited for by
//! a long poll for the end of its workflow.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use temporalio_client::WorkflowGetResultOptions;

use crate::{
    empty::Empties,
    harness::{Shop, unique},
    house::House,
    load::{Connection, post, webhook},
    report::{Report, median, per_second, ratio},
};

const ROUNDS: usize = 3;
const AT_ONCE: usize = 50;
const PRICE: i64 = 1250;

pub async fn run(orders: usize) -> Report {
    let mut report = Report::new(
        "lifecycle",
        "whole orders per second (HTTP, webhook, mail), against empty workflows on the same server",
    );
    let house = House::whole().await;
    house.shop.stock("tea", PRICE, 1_000_000).await;
    let empties = Empties::open(&house.shop).await;
    warm_up(&house.shop, &empties).await;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let whole = whole_orders(&house.shop, orders / ROUNDS).await;
        let empty = empty_workflows(&empties, orders / ROUNDS).await;
        ratios.push(ratio(whole, empty));
        report.row(json!({"round": round, "orders/s": whole, "empty workflows/s": empty,
                          "orders / empty": ratio(whole, empty)}));
    }
    report.row(json!({"median orders / empty": median(&ratios)}));
    house.shop.audit();
    report
}

async fn warm_up(shop: &Shop, empties: &Empties) {
    whole_orders(shop, AT_ONCE).await;
    empty_workflows(empties, AT_ONCE).await;
}

async fn whole_orders(shop: &Shop, count: usize) -> f64 {
    let started = Instant::now();
    // As many connections as are used at once, each by one order after the other.
    let connections = Arc::new(tokio::sync::Mutex::new(Vec::new()));
    for _ in 0..AT_ONCE {
        connections.lock().await.push(Connection::open(shop.api.address()).await);
    }
    stream::iter(0..count)
        .for_each_concurrent(AT_ONCE, |_| async {
            let mut connection = connections.lock().await.pop().expect("one for each at once");
            let id = place(shop, &mut connection, "tea").await;
            pay(shop, &mut connection, &id).await;
            connections.lock().await.push(connection);
            ended(shop, &id).await;
        })
        .await;
    let elapsed = started.elapsed();
    assert_eq!(shop.api.get("/v1/orders?status=awaiting_payment&limit=1").await.is(200)["data"], json!([]));
    per_second(count, elapsed)
}

pub async fn place(shop: &Shop, connection: &mut Connection, sku: &str) -> String {
    let body = shop.order_body(&[(sku, 1)]).to_string();
    let (status, answer) = connection.call(&post(shop.api.address(), "/v1/orders", &unique(), &body)).await;
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(answer));
    let order: Value = serde_json::from_slice(answer).unwrap();
    order["id"].as_str().unwrap().to_owned()
}

pub async fn pay(shop: &Shop, connection: &mut Connection, id: &str) {
    let (status, answer) = connection.call(&webhook(shop.api.address(), id, PRICE)).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(answer));
}

/// Waits for the end of the order's workflow, which may not have been started yet.
pub async fn ended(shop: &Shop, id: &str) {
    let workflow = shop.temporal.order(id).await;
    while let Err(error) = workflow.get_result(WorkflowGetResultOptions::default()).await {
        if !error.to_string().to_lowercase().contains("not found") {
            return; // it has ended; its result is sealed, and this client has no key
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn empty_workflows(empties: &Empties, count: usize) -> f64 {
    let started = Instant::now();
    stream::iter(0..count)
        .for_each_concurrent(AT_ONCE, |_| async {
            let empty = empties.start().await;
            empty.signal().await;
            empty.ended().await;
        })
        .await;
    per_second(count, started.elapsed())
}
