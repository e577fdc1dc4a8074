//! Deliveries: so many events to a hundred endpoints that answer at once, by one worker. How many a second,
//! and how late; and the door's orders per second while a backlog drains, against the same without one.
//!
//! Events are inserted by SQL, as the outbox's transactions do it, so that the door is not what is measured.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use serde_json::json;
use sqlx::PgConnection;

use crate::{
    harness::{
        Shop,
        receiver::{Answer, Receiver},
        unique,
    },
    house::House,
    load::{Connection, post},
    report::{Report, ratio},
};

const ENDPOINTS: usize = 100;
/// Of these each endpoint gets every one.
const EVENTS: i64 = 500;
const BUYERS: usize = 20;
const AT_THE_DOOR: Duration = Duration::from_secs(10);

pub async fn run(backlog: i64) -> Report {
    let mut report = Report::new(
        "deliveries",
        "events to a hundred endpoints by one worker, and the door while a backlog drains",
    );
    let env = vec![("HOLDFAST_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8".to_owned())];
    let house = House::whole_with(env).await;
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
    let begun = Instant::now();
    tell(&mut sql, 0..EVENTS).await;
    until_drained(shop, EVENTS * ENDPOINTS as i64).await;
    let took = begun.elapsed().as_secs_f64();
    report.row(json!({
        "what": "delivered",
        "deliveries": EVENTS * ENDPOINTS as i64,
        "seconds": (took * 10.0).round() / 10.0,
        "a second": ((EVENTS * ENDPOINTS as i64) as f64 / took).round(),
    }));
    let alone = door(shop).await;
    tell(&mut sql, EVENTS..EVENTS + backlog / ENDPOINTS as i64).await;
    let begun = Instant::now();
    let beside = door(shop).await;
    until_drained(shop, (EVENTS + backlog / ENDPOINTS as i64) * ENDPOINTS as i64).await;
    report.row(json!({
        "what": "the door beside a backlog",
        "deliveries": backlog,
        "seconds": begun.elapsed().as_secs_f64().round(),
        "orders/s alone": alone.round(),
        "orders/s beside": beside.round(),
        "beside / alone": ratio(beside, alone),
    }));
    report
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
    let delivered: i64 =
        shop.query("SELECT count(*) FROM webhook_deliveries WHERE state = 'delivered'").await;
    assert_eq!(delivered, number);
}

/// Orders per second.
async fn door(shop: &Shop) -> f64 {
    let body = shop.order_body(&[("tea", 1)]).to_string();
    let begun = Instant::now();
    let buyers = (0..BUYERS).map(|_| async {
        let mut connection = Connection::open(shop.api.address()).await;
        let mut placed = 0;
        while begun.elapsed() < AT_THE_DOOR {
            let request = post(shop.api.address(), "/v1/orders", &unique(), &body);
            let (status, _) = connection.call(&request).await;
            assert_eq!(status, 201);
            placed += 1;
        }
        placed
    });
    let placed: i32 = futures_util::future::join_all(buyers).await.into_iter().sum();
    f64::from(placed) / begun.elapsed().as_secs_f64()
}
