//! Events on their way to Kafka: each at least once, in the order of its subject, and none that did not
//! happen, whoever dies or hangs. Read back by a client that nobody here wrote.

mod guarded;
mod kills;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{
    SeededRng, Setup, Shop,
    apache::{Apache, Tests},
    kafka::{Broker, Record, read},
    unique,
};

/// Without their prefix.
const TOPICS: [&str; 3] = ["orders", "payments", "products"];

/// A shop whose workers publish, in topics of its own.
struct Publishing {
    shop: Shop,
    /// Where the topics are read.
    broker: String,
    prefix: String,
}

/// What a reader finds beside what is stored.
#[derive(Debug)]
struct Found {
    events: usize,
    records: usize,
    missing: Vec<String>,
    invented: Vec<String>,
    /// Of those that are seen for the first time, such as come before an earlier one of their key.
    out_of_order: usize,
    /// How often each is there.
    times: HashMap<String, usize>,
}

impl Publishing {
    async fn open(broker: &str) -> Self {
        Self::with(broker, vec![("HOLDFAST_KAFKA_BROKERS", broker.to_owned())]).await
    }

    async fn with(broker: &str, mut env: Vec<(&'static str, String)>) -> Self {
        let prefix = format!("shop{}.", unique());
        env.push(("HOLDFAST_KAFKA_TOPIC_PREFIX", prefix.clone()));
        let shop = Shop::with(Setup { env, ..Setup::default() }).await;
        shop.stock("tea", 1250, 10_000).await;
        Self { shop, broker: broker.to_owned(), prefix }
    }

    async fn read(&self, topics: &[&str]) -> Vec<Record> {
        let topics: Vec<String> = topics.iter().map(|topic| format!("{}{topic}", self.prefix)).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        read(&self.broker, &topics).await
    }

    /// What is stored, in the order of the stream: the id, the topic's key, and the type.
    async fn stored(&self) -> Vec<(String, String, String)> {
        let all = "SELECT 'evt_' || lpad(to_hex(position), 16, '0') || lpad(to_hex(salt), 16, '0'),
                          coalesce('ord_' || replace(order_id::text, '-', ''), subject), type
                   FROM events ORDER BY position";
        sqlx::query_as(all).fetch_all(&mut self.shop.sql().await).await.unwrap()
    }

    async fn until_all_published(&self) {
        let all = "SELECT (SELECT max(position) FROM events)
                        = (SELECT position FROM event_cursors WHERE name = 'kafka')";
        self.shop.until_true("all events are published", all).await;
    }

    /// As if the time of the lease had passed.
    async fn expire_lease(&self) {
        let expired =
            "UPDATE event_cursors SET leased_until = now() - interval '1 minute' WHERE name = 'kafka'";
        sqlx::query(expired).execute(&mut self.shop.sql().await).await.unwrap();
    }

    async fn find(&self) -> Found {
        let (stored, records) = (self.stored().await, self.read(&TOPICS).await);
        let (mut times, mut by_key) = (HashMap::new(), BTreeMap::<(&str, &str), Vec<&str>>::new());
        let mut seen: HashMap<&str, &Record> = HashMap::new();
        for record in &records {
            let (id, key) = (record.header("ce_id"), record.key.as_deref().unwrap());
            *times.entry(id.to_owned()).or_default() += 1;
            if seen.insert(id, record).is_none() {
                by_key.entry((&record.topic, key)).or_default().push(id);
            }
        }
        let mut missing = Vec::new();
        for (id, key, kind) in &stored {
            match seen.remove(id.as_str()) {
                Some(it) => {
                    assert_eq!((it.header("ce_type"), it.key.as_ref().unwrap()), (kind.as_str(), key));
                }
                None => missing.push(format!("{id} {kind} of {key}")),
            }
        }
        // Ids sort by their place in the stream.
        let disorder = |ids: &Vec<&str>| ids.windows(2).filter(|two| two[0] > two[1]).count();
        Found {
            events: stored.len(),
            records: records.len(),
            missing,
            invented: seen.into_keys().map(str::to_owned).collect(),
            out_of_order: by_key.values().map(disorder).sum(),
            times,
        }
    }

    /// Each stored event is there, nothing else is, and at first sight the events of a key are in the order
    /// of the stream.
    async fn check_all_there(&self) -> Found {
        let found = self.find().await;
        let Found { events, records, missing, invented, out_of_order, .. } = &found;
        eprintln!(
            "{events} events, {records} records, {} missing, {} invented, {out_of_order} out of order",
            missing.len(),
            invented.len()
        );
        assert!(missing.is_empty(), "{missing:?} are missing");
        assert!(invented.is_empty(), "nobody stored these: {invented:?}");
        assert_eq!(*out_of_order, 0);
        found
    }
}

async fn events_are_read_back_as_they_were_stored(broker: Broker) {
    let publishing = Publishing::open(&broker.address()).await;
    let shop = &publishing.shop;
    let sold = shop.sell(&[("tea", 2)]).await;
    let cancelled = shop.place(&[("tea", 1)]).await;
    shop.api.post(&format!("/v1/orders/{cancelled}/cancel"), &json!({})).await.is(200);
    publishing.until_all_published().await;
    let found = publishing.check_all_there().await;
    assert_eq!(found.records, found.events);

    let records = publishing.read(&TOPICS[..1]).await;
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
    publishing.shop.close();
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

/// Whoever publishes dies again and again, at any time; two share the work.
async fn publishers_die_and_nothing_is_lost(broker: Broker) {
    let mut publishing = Publishing::open(&broker.address()).await;
    let rounds = kills::wanted(12);
    let mut other = publishing.shop.another_worker(&[]).await;
    let (mut random, mut paid) = (SeededRng::new(15), Vec::new());
    for round in 0..rounds {
        let shop = &mut publishing.shop;
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
        publishing.expire_lease().await;
        join_all(ids.iter().step_by(4).map(|id| publishing.shop.pay(id))).await;
        paid.extend(ids.into_iter().step_by(4));
    }
    join_all(paid.iter().map(|id| publishing.shop.until(id, "completed"))).await;
    publishing.until_all_published().await;
    eprintln!("{rounds} kills at random times:");
    publishing.check_all_there().await;
    publishing.shop.close();
}

#[tokio::test]
async fn publishers_to_tansu_die_and_nothing_is_lost() {
    publishers_die_and_nothing_is_lost(Broker::tansu().await).await;
}

#[tokio::test]
async fn publishers_to_apache_kafka_die_and_nothing_is_lost() {
    if let Some(broker) = Broker::apache_if_wanted().await {
        publishers_die_and_nothing_is_lost(broker).await;
    }
}

#[tokio::test]
async fn a_broker_that_is_away_or_hangs_is_waited_for() {
    let port = devstack::free_port();
    let mut publishing = Publishing::open(&format!("127.0.0.1:{port}")).await;
    publishing.shop.sell(&[("tea", 1)]).await;
    let worker = publishing.shop.worker.as_mut().unwrap();
    worker.says("events cannot be published to Kafka, trying on").await;
    let broker = Broker::tansu_at(Some(port)).await;
    worker.says("events are published to Kafka again").await;
    publishing.until_all_published().await;
    broker.freeze(true);
    let during = publishing.shop.sell(&[("tea", 1)]).await;
    tokio::time::sleep(Duration::from_secs(12)).await; // longer than a round may take
    publishing.shop.place(&[("tea", 1)]).await;
    broker.freeze(false);
    publishing.until_all_published().await;
    publishing.check_all_there().await;
    publishing.shop.until(&during, "completed").await;
    publishing.shop.close();
}

#[tokio::test]
async fn apache_kafka_is_killed_and_starts_again() {
    let Some(mut broker) = Apache::own(Tests::All).await else { return };
    let publishing = Publishing::open(&broker.address()).await;
    for _ in 0..3 {
        let placed = async { join_all((0..50).map(|_| publishing.shop.place(&[("tea", 1)]))).await };
        tokio::join!(placed, broker.restart(Duration::from_secs(3)));
    }
    publishing.until_all_published().await;
    publishing.check_all_there().await;
    publishing.shop.close();
}
