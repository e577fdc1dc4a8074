//! Events on their way to Kafka:
//! - a backlog, drained by one publisher: events a second, to Tansu (in memory, in Rust) and to Apache
//!   Kafka, where that can be had;
//! - placing orders while one of a million is drained, against placing with nobody publishing.
//!
//! The publisher is a worker whose engine cannot be reached: it does nothing else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::{
    harness::{Holdfast, Shop, eventually, kafka::Broker},
    house::House,
    load::{Storm, placements, storm},
    report::{Report, ratio},
};

/// Of which it is measured how fast they leave.
const DRAINED: i64 = 100_000;
const SUBJECTS: i64 = 10_000;
const BUYERS: usize = 20;
const PLACEMENTS: usize = 6000;
const ROUNDS: usize = 7;
/// What a consumer of ours is promised.
const WANTED: f64 = 5000.0;

pub async fn run(events: i64) -> Report {
    let mut report = Report::new("events", "events to Kafka from one publisher, and orders placed beside it");
    let brokers = [Some(Broker::tansu().await), Broker::apache().await];
    for (name, broker) in ["Tansu", "Apache Kafka"].into_iter().zip(&brokers) {
        if let Some(broker) = broker {
            report.row(drained(name, broker, DRAINED).await);
        }
    }
    report.row(beside_the_door(&brokers[0], events).await);
    report
}

/// Events as those of orders are, of many orders in turn.
async fn fill(shop: &Shop, events: i64) {
    let fill = sqlx::query(
        "INSERT INTO events (order_id, sequence, type, at, data, cause)
         SELECT ('019abc00-0000-7000-8000-' || lpad(to_hex(n % $2), 12, '0'))::uuid, 1 + n / $2,
           'order.placed', now(),
                jsonb_build_object('customer_id', 'cust-' || n, 'total', 2500, 'currency', 'EUR', 'lines',
                    jsonb_build_array(jsonb_build_object('sku', 'tea-green', 'quantity', 2, 'unit_price',
                      1250))),
                jsonb_build_object('traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
                    'headers', jsonb_build_object('x-request-id', 'request-' || n))
         FROM generate_series(1, $1::bigint) AS n",
    );
    let mut sql = shop.sql().await;
    fill.bind(events).bind(SUBJECTS).execute(&mut sql).await.unwrap();
    sql.execute("VACUUM ANALYZE events").await.unwrap();
}

async fn passed(shop: &Shop) -> i64 {
    let position = "SELECT coalesce((SELECT position FROM event_cursors WHERE name = 'kafka'), 0)";
    shop.query(position).await
}

async fn last(shop: &Shop) -> i64 {
    shop.query("SELECT coalesce(max(position), 0) FROM events").await
}

fn publisher(shop: &Shop, broker: &Broker) -> Holdfast {
    let no_commands = ("HOLDFAST_KAFKA_COMMANDS", "off".to_owned());
    shop.start("worker", &[("HOLDFAST_KAFKA_BROKERS", broker.address()), no_commands])
}

async fn drained(name: &str, broker: &Broker, events: i64) -> Value {
    let house = House::with_door_alone().await;
    fill(&house.shop, events).await;
    let (shop, last) = (&house.shop, last(&house.shop).await);
    let _worker = publisher(shop, broker);
    eventually("the first are published", async || (passed(shop).await > 0).then_some(())).await;
    let (begun, from) = (Instant::now(), passed(shop).await);
    loop {
        let position = passed(shop).await;
        if position >= last {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rate = (last - from) as f64 / begun.elapsed().as_secs_f64();
    json!({ "broker": name, "events": events, "events/s": rate, "events/s / 5,000": ratio(rate, WANTED) })
}

/// Rounds in turn, with and without somebody who publishes; the backlog lasts for all of them, and is
/// drained at the end.
async fn beside_the_door(broker: &Option<Broker>, events: i64) -> Value {
    let broker = broker.as_ref().unwrap();
    let house = House::with_door_alone().await;
    let shop = &house.shop;
    shop.stock("tea", 1250, 10_000_000).await;
    fill(shop, events).await;
    let (mut alone, mut beside, mut published, mut seconds) = (Vec::new(), Vec::new(), 0, 0.0);
    for _ in 0..ROUNDS {
        alone.push(place(shop).await);
        let mut worker = publishing(shop, broker).await;
        let (from, begun) = (passed(shop).await, Instant::now());
        beside.push(place(shop).await);
        published += passed(shop).await - from;
        seconds += begun.elapsed().as_secs_f64();
        worker.terminate();
        worker.ended().await;
    }
    let _worker = publishing(shop, broker).await;
    let (from, begun, last) = (passed(shop).await, Instant::now(), last(shop).await);
    assert!(from < last, "the backlog has not lasted: give more --events");
    while passed(shop).await < last {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let rate = |storms: &[Storm]| crate::report::median(&storms.iter().map(Storm::rate).collect::<Vec<_>>());
    json!({
        "backlog": events,
        "orders/s alone": rate(&alone), "orders/s beside": rate(&beside),
        "beside / alone": ratio(rate(&beside), rate(&alone)),
        "events/s meanwhile": published as f64 / seconds,
        "events/s of the rest": (last - from) as f64 / begun.elapsed().as_secs_f64(),
    })
}

/// A publisher that has begun.
async fn publishing(shop: &Shop, broker: &Broker) -> Holdfast {
    let (worker, before) = (publisher(shop, broker), passed(shop).await);
    eventually("some are published", async || (passed(shop).await > before).then_some(())).await;
    worker
}

async fn place(shop: &Shop) -> Storm {
    let requests = placements(shop, vec!["tea".to_owned()]);
    storm(shop.api.address(), BUYERS, PLACEMENTS, requests).await.all(201)
}
