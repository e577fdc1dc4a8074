//! Events on their way to Kafka: each at least once, in the order of its subject, and none that did not
//! happen, whoever dies or hangs. Read back by a client that nobody here wrote.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{
    SeededRng, Setup, Shop,
    kafka::{Broker, Record, read},
};

const TOPICS: [&str; 3] = ["holdfast.orders", "holdfast.payments", "holdfast.products"];

/// A shop whose workers publish.
async fn publishing(broker: &str) -> Shop {
    let env = vec![("HOLDFAST_KAFKA_BROKERS", broker.to_owned())];
    let shop = Shop::with(Setup { env, ..Setup::default() }).await;
    shop.stock("tea", 1250, 10_000).await;
    shop
}

/// What is stored, in the order of the stream: the id, the topic's key, and the type.
async fn stored(shop: &Shop) -> Vec<(String, String, String)> {
    let all = "SELECT 'evt_' || lpad(to_hex(position), 16, '0') || lpad(to_hex(salt), 16, '0'),
                      coalesce('ord_' || replace(order_id::text, '-', ''), subject), type
               FROM events ORDER BY position";
    sqlx::query_as(all).fetch_all(&mut shop.sql().await).await.unwrap()
}

async fn until_all_published(shop: &Shop) {
    let all = "SELECT (SELECT max(position) FROM events)
                    = (SELECT position FROM event_cursors WHERE name = 'kafka')";
    shop.until_true("all events are published", all).await;
}

/// Each stored event is there, nothing else is, and at first sight the events of a key are in the order of
/// the stream. Gives how many records there are.
async fn check_all_there(shop: &Shop, broker: &str) -> usize {
    let (stored, records) = (stored(shop).await, read(broker, &TOPICS).await);
    let mut seen: HashMap<&str, &Record> = HashMap::new();
    let mut by_key: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for record in &records {
        let (id, key) = (record.header("ce_id"), record.key.as_deref().unwrap());
        if seen.insert(id, record).is_none() {
            by_key.entry((&record.topic, key)).or_default().push(id);
        }
    }
    for (id, key, kind) in &stored {
        let record = seen.remove(id.as_str()).unwrap_or_else(|| panic!("{id} {kind} of {key} is missing"));
        assert_eq!((record.header("ce_type"), record.key.as_ref().unwrap()), (kind.as_str(), key));
    }
    assert!(seen.is_empty(), "nobody stored these: {seen:?}");
    for ((topic, key), ids) in by_key {
        assert!(ids.is_sorted(), "{topic} {key}: {ids:?}"); // ids sort by their place in the stream
    }
    records.len()
}

async fn events_are_read_back_as_they_were_stored(broker: Broker) {
    let shop = publishing(&broker.address()).await;
    let sold = shop.sell(&[("tea", 2)]).await;
    let cancelled = shop.place(&[("tea", 1)]).await;
    shop.api.post(&format!("/v1/orders/{cancelled}/cancel"), &json!({})).await.is(200);
    until_all_published(&shop).await;
    assert_eq!(check_all_there(&shop, &broker.address()).await, stored(&shop).await.len());

    let records = read(&broker.address(), &TOPICS[..1]).await;
    let of =
        |id: &str| -> Vec<&Record> { records.iter().filter(|it| it.key.as_deref() == Some(id)).collect() };
    let types: Vec<&str> = of(&sold).iter().map(|it| it.header("ce_type")).collect();
    assert_eq!(types, ["order.placed", "order.paid", "order.completed"]);
    let placed = of(&sold)[0];
    for (name, value) in [
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_source", "holdfast"),
        ("ce_subject", sold.as_str()),
        ("ce_partitionkey", sold.as_str()),
        ("ce_dataschema", "urn:holdfast:event:order.placed:1"),
        ("ce_version", "1"),
        ("ce_sequence", "1"),
    ] {
        assert_eq!(placed.header(name), value, "{name}");
    }
    assert!(placed.header("ce_time").ends_with('Z'));
    assert_eq!(placed.json()["lines"][0]["sku"], "tea");
    assert_eq!(of(&cancelled).last().unwrap().header("ce_type"), "order.cancelled");
    let figures = shop.figures().await;
    assert!(!figures.contains("holdfast_events_published_total"), "the API does not publish: {figures}");
    shop.close();
}

#[tokio::test]
async fn events_are_read_back_from_tansu() {
    events_are_read_back_as_they_were_stored(Broker::tansu().await).await;
}

#[tokio::test]
async fn events_are_read_back_from_apache_kafka() {
    if let Some(broker) = Broker::apache().await {
        events_are_read_back_as_they_were_stored(broker).await;
    }
}

/// Whoever publishes dies again and again, also between the writing and the note of it; two share the work.
async fn publishers_die_and_nothing_is_lost(broker: Broker) {
    let shop = publishing(&broker.address()).await;
    let rounds = std::env::var("HOLDFAST_TEST_KILLS").map_or(12, |rounds| rounds.parse().unwrap());
    let mut other = shop.another_worker(&[]).await;
    let (mut shop, mut random, mut paid) = (shop, SeededRng::new(15), Vec::new());
    for round in 0..rounds {
        let placed = join_all((0..20).map(|_| shop.place(&[("tea", 1)])));
        let killed = async { tokio::time::sleep(Duration::from_millis(random.below(400) as u64)).await };
        let (ids, ()) = tokio::join!(placed, killed);
        match round % 2 {
            0 => {
                shop.kill_worker();
                shop.start_worker();
            }
            _ => {
                other.kill();
                other = shop.start("worker", &[]);
            }
        }
        // As if the time of its lease had passed.
        let expired =
            "UPDATE event_cursors SET leased_until = now() - interval '1 second' WHERE name = 'kafka'";
        sqlx::query(expired).execute(&mut shop.sql().await).await.unwrap();
        join_all(ids.iter().step_by(4).map(|id| shop.pay(id))).await;
        paid.extend(ids.into_iter().step_by(4));
    }
    join_all(paid.iter().map(|id| shop.until(id, "completed"))).await;
    until_all_published(&shop).await;
    let (records, events) = (check_all_there(&shop, &broker.address()).await, stored(&shop).await.len());
    eprintln!("{rounds} kills: {events} events, {records} records");
    shop.close();
}

#[tokio::test]
async fn publishers_to_tansu_die_and_nothing_is_lost() {
    publishers_die_and_nothing_is_lost(Broker::tansu().await).await;
}

#[tokio::test]
async fn publishers_to_apache_kafka_die_and_nothing_is_lost() {
    if let Some(broker) = Broker::apache().await {
        publishers_die_and_nothing_is_lost(broker).await;
    }
}

#[tokio::test]
async fn a_broker_that_is_away_or_hangs_is_waited_for() {
    let port = devstack::free_port();
    let mut shop = publishing(&format!("127.0.0.1:{port}")).await;
    shop.sell(&[("tea", 1)]).await;
    let worker = shop.worker.as_mut().unwrap();
    worker.says("events cannot be published to Kafka, trying on").await;
    let broker = Broker::tansu_at(Some(port)).await;
    worker.says("events are published to Kafka again").await;
    until_all_published(&shop).await;
    broker.freeze(true);
    let during = shop.sell(&[("tea", 1)]).await;
    tokio::time::sleep(Duration::from_secs(12)).await; // longer than a round may take
    shop.place(&[("tea", 1)]).await;
    broker.freeze(false);
    until_all_published(&shop).await;
    check_all_there(&shop, &broker.address()).await;
    shop.until(&during, "completed").await;
    shop.close();
}

#[tokio::test]
async fn apache_kafka_is_killed_and_starts_again() {
    let Some(mut broker) = Broker::apache().await else { return };
    let shop = publishing(&broker.address()).await;
    for _ in 0..3 {
        let placed = async { join_all((0..50).map(|_| shop.place(&[("tea", 1)]))).await };
        let restarted = async {
            if let Broker::Apache(apache) = &mut broker {
                apache.restart(Duration::from_secs(3)).await;
            }
        };
        tokio::join!(placed, restarted);
    }
    until_all_published(&shop).await;
    check_all_there(&shop, &broker.address()).await;
    shop.close();
}
