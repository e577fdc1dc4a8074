//! Deliveries: so many events to a hundred endpoints that answer at once, by one worker. How many a second;
//! and the door's orders per second while a backlog drains, against the same without one.
//!
//! Events are inserted by SQL, as the outbox's transactions do it, so that the door is not what is measured.
//! The worker's engine cannot be reached: it does nothing else.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use serde_json::json;
use sqlx::PgConnection;

use crate::{
    harness::{
        Holdfast, Shop, eventually,
        receiver::{Answer, Receiver},
    },
    house::House,
    load::{Storm, placements, storm},
    report::{Report, median, ratio},
};

const ENDPOINTS: i64 = 100;
/// Of these each endpoint gets every one.
const EVENTS: i64 = 500;
const BUYERS: usize = 20;
const PLACEMENTS: usize = 12_000;
const ROUNDS: usize = 7;

pub async fn run(backlog: i64) -> Report {
    let mut report = Report::new(
        "deliveries",
        "events to a hundred endpoints by one worker, and the door while a backlog drains",
    );
    let env = vec![("HOLDFAST_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8".to_owned())];
    let house = House::with_door_alone_and(env).await;
    let shop = &house.shop;
    shop.stock("tea", 1250, 10_000_000).await;
    let receiver = Receiver::start().await;
    receiver.answer("/hook", Answer::Status(204));
    for n in 0..ENDPOINTS {
        let body =
            json!({"url": receiver.url("/hook"), "types": ["stock.low"], "description": n.to_string()});
        shop.api.post("/v1/webhook-endpoints", &body).await.is(201);
    }
    let mut sql = shop.sql().await;
    tell(&mut sql, 0..EVENTS).await;
    let (begun, worker) = (Instant::now(), shop.start("worker", &[]));
    until_drained(shop, EVENTS * ENDPOINTS).await;
    let took = begun.elapsed().as_secs_f64();
    ended(worker).await;
    report.row(json!({
        "what": "delivered",
        "deliveries": EVENTS * ENDPOINTS,
        "seconds": (took * 10.0).round() / 10.0,
        "a second": ((EVENTS * ENDPOINTS) as f64 / took).round(),
    }));
    let (mut alone, mut beside, mut meanwhile, mut seconds) = (Vec::new(), Vec::new(), 0, 0.0);
    tell(&mut sql, EVENTS..EVENTS + backlog / ENDPOINTS).await;
    for _ in 0..ROUNDS {
        alone.push(place(shop).await.rate());
        let before = delivered(shop).await;
        let worker = shop.start("worker", &[]);
        eventually("some are delivered", async || (delivered(shop).await > before).then_some(())).await;
        let (from, begun) = (delivered(shop).await, Instant::now());
        beside.push(place(shop).await.rate());
        seconds += begun.elapsed().as_secs_f64();
        meanwhile += delivered(shop).await - from;
        ended(worker).await;
    }
    report.row(json!({
        "what": "the door beside a backlog",
        "deliveries": backlog,
        "deliveries/s meanwhile": (meanwhile as f64 / seconds).round(),
        "orders/s alone": median(&alone).round(),
        "orders/s beside": median(&beside).round(),
        "beside / alone": ratio(median(&beside), median(&alone)),
    }));
    let (begun, worker) = (Instant::now(), shop.start("worker", &[]));
    let left = (EVENTS + backlog / ENDPOINTS) * ENDPOINTS - delivered(shop).await;
    assert!(left > 0, "the backlog has not lasted: give a larger one");
    until_drained(shop, (EVENTS + backlog / ENDPOINTS) * ENDPOINTS).await;
    report.row(json!({
        "what": "the rest of it",
        "deliveries": left,
        "a second": (left as f64 / begun.elapsed().as_secs_f64()).round(),
    }));
    ended(worker).await;
    report
}

async fn ended(mut worker: Holdfast) {
    worker.terminate();
    worker.ended().await;
}

async fn place(shop: &Shop) -> Storm {
    let requests = placements(shop, vec!["tea".to_owned()]);
    storm(shop.api.address(), BUYERS, PLACEMENTS, requests).await.all(201)
}

/// Events of as many subjects.
async fn tell(sql: &mut PgConnection, numbers: Range<i64>) {
    let insert = sqlx::query(
        "INSERT INTO events (subject, sequence, type, at, data)
         SELECT 'inventory:sku-' || n, 1, 'stock.low', now(), '{\"sku\": \"x\"}'
         FROM generate_series($1::bigint, $2 - 1) AS n",
    );
    insert.bind(numbers.start).bind(numbers.end).execute(sql).await.unwrap();
}

/// Until so many were delivered, and nothing waits. They are counted at the end alone: to count a million
/// rows takes a while, and a processor.
async fn until_drained(shop: &Shop, number: i64) {
    let waits = "SELECT EXISTS (SELECT FROM webhook_deliveries WHERE state = 'pending')
             OR (SELECT position FROM event_cursors WHERE name = 'webhooks')
                < (SELECT max(position) FROM events)";
    while shop.query::<bool>(waits).await {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(delivered(shop).await, number);
}

async fn delivered(shop: &Shop) -> i64 {
    shop.query("SELECT count(*) FROM webhook_deliveries WHERE state = 'delivered'").await
}
