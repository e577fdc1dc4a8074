//! Rounds of records, against a broker in this process that fails as it is told.

#![allow(clippy::unwrap_used)]

use events::kafka::{Cluster, Outgoing, Producer, Settings};
use krafka::testing::{ApiKey, Control, FakeBroker};

const TOPIC: &str = "holdfast.orders";

async fn producer(broker: &FakeBroker) -> Producer {
    let cluster = Cluster::connect(&Settings::plain(broker.bootstrap_servers())).await.unwrap();
    cluster.ensure_topics(&[TOPIC.to_owned()]).await.unwrap();
    cluster.producer().await.unwrap()
}

/// 600 records of 50 keys.
fn round() -> Vec<Outgoing> {
    let record = |number: usize| Outgoing {
        topic: TOPIC.to_owned(),
        key: Some(format!("key-{}", number % 50).into_bytes()),
        value: Some(vec![b'x'; 500]),
        headers: vec![("ce_id".to_owned(), Some(number.to_string().into_bytes()))],
        timestamp: None,
    };
    (0..600).map(record).collect()
}

fn written(broker: &FakeBroker) -> i64 {
    (0..12).filter_map(|partition| broker.next_offset(TOPIC, partition)).sum()
}

/// The order of a key stands on it: see docs/adr/0041.
#[tokio::test]
async fn a_round_leaves_in_one_request() {
    let broker = FakeBroker::start().await.unwrap();
    let producer = producer(&broker).await;
    for rounds in 1..=3 {
        producer.send_round(round()).await.unwrap();
        assert_eq!(broker.request_count(ApiKey::Produce), rounds);
        assert_eq!(written(&broker), 600 * i64::try_from(rounds).unwrap());
    }
    producer.close().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_writes_nothing_twice() {
    let broker = FakeBroker::start().await.unwrap();
    let producer = producer(&broker).await;
    broker.on_once(ApiKey::Produce, |_| Control::ApplyThen(Box::new(Control::Disconnect)));
    producer.send_round(round()).await.unwrap();
    assert_eq!(written(&broker), 600);
    producer.close().await;
}

#[tokio::test]
async fn a_broker_that_is_silent_ends_the_round_within_its_time() {
    let broker = FakeBroker::start().await.unwrap();
    let first = producer(&broker).await;
    broker.on(ApiKey::Produce, |_| Control::Silence);
    let begun = std::time::Instant::now();
    first.send_round(round()).await.unwrap_err();
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    first.close().await;
    broker.clear_hooks();
    let second = producer(&broker).await;
    second.send_round(round()).await.unwrap();
    assert!(written(&broker) >= 600);
    second.close().await;
}
