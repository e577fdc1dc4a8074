//! `holdfast consume`: each message reaches the service's route, in its order where that counts, whatever the
//! service answers and whoever dies. Commands, which are done once: [`commands`].

mod commands;
mod stuck;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{
    Holdfast,
    kafka::{Broker, read, write},
    test_dir, unique, wait_until,
};

/// What the service was sent.
#[derive(Debug, Clone)]
pub struct Call {
    at: Instant,
    pub id: String,
    key: String,
    pub headers: HeaderMap,
    body: Vec<u8>,
    answered: StatusCode,
}

type Answers = dyn Fn(&str, usize) -> StatusCode + Send + Sync;

/// A service that answers as it is told: by the id, and how often that came before.
#[derive(Clone)]
pub struct Service {
    pub url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    answers: Arc<Mutex<Arc<Answers>>>,
}

impl Service {
    pub async fn start(answers: impl Fn(&str, usize) -> StatusCode + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let answers: Arc<Answers> = Arc::new(answers);
        let service = Self { url, calls: Arc::default(), answers: Arc::new(Mutex::new(answers)) };
        let routes = Router::new().route("/events", post(called)).with_state(service.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        service
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn answer(&self, answers: impl Fn(&str, usize) -> StatusCode + Send + Sync + 'static) {
        *self.answers.lock().unwrap() = Arc::new(answers);
    }

    /// Ids that were answered 2xx, in this order.
    fn done(&self) -> Vec<String> {
        let calls = self.calls();
        calls.iter().filter(|call| call.answered.is_success()).map(|call| call.id.clone()).collect()
    }

    pub async fn until_done(&self, count: usize) {
        let what = format!("{count} are done");
        wait_until(&what, async || {
            let mut done = self.done();
            done.sort();
            done.dedup();
            done.len() >= count
        })
        .await;
    }
}

async fn called(State(service): State<Service>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name: &str| headers.get(name).map_or("", |it| it.to_str().unwrap()).to_owned();
    let (id, key) = (text("idempotency-key"), text("x-kafka-key"));
    let answers = service.answers.lock().unwrap().clone();
    tokio::time::sleep(Duration::from_millis(2)).await;
    let mut calls = service.calls.lock().unwrap();
    let before = calls.iter().filter(|call| call.id == id).count();
    let answered = answers(&id, before);
    calls.push(Call { at: Instant::now(), id, key, headers: headers.clone(), body: body.to_vec(), answered });
    answered
}

/// A `holdfast consume` with one route.
struct Consumer {
    process: Holdfast,
    config: String,
    broker: String,
    topic: String,
}

impl Consumer {
    fn start(broker: &str, service: &Service, topic: &str, more: &str) -> Self {
        let config = test_dir().join("routes.toml");
        let url = &service.url;
        let route = format!(
            "[[route]]\nname = \"r\"\ntopics = [\"{topic}\"]\ngroup = \"g-{topic}\"\n\
             url = \"{url}\"\n{more}\n"
        );
        std::fs::write(&config, route).unwrap();
        let config = config.display().to_string();
        let process = Self::process(broker, &config, &[]);
        Self { process, config, broker: broker.to_owned(), topic: topic.to_owned() }
    }

    fn process(broker: &str, config: &str, more: &[&str]) -> Holdfast {
        let mut arguments = vec!["--config", config, "--allow-short-intervals"];
        arguments.extend(more);
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let env = vec![("HOLDFAST_KAFKA_BROKERS", broker.to_owned())];
        Holdfast::start_with("consume", &arguments, &env, &test_dir())
    }

    /// One more of the same group.
    fn another(&self) -> Holdfast {
        Self::process(&self.broker, &self.config, &[])
    }

    async fn failed(&self) -> Vec<crate::harness::kafka::Record> {
        read(&self.broker, &[&format!("fail-{}", self.topic)]).await
    }

    async fn replay(&self, more: &[&str]) {
        let mut process = self.replaying(more);
        assert!(process.ended().await.success(), "{}", process.log());
    }

    fn replaying(&self, more: &[&str]) -> Holdfast {
        Self::process(&self.broker, &self.config, &[&["--replay-failed", "r"][..], more].concat())
    }
}

/// `count` messages of `keys` keys: `k0-0`, `k1-0`, ... `k0-1`, ...
async fn messages(broker: &Broker, topic: &str, count: usize, keys: usize) -> Vec<String> {
    let message = |number: usize| {
        let (key, id) = (format!("k{}", number % keys), format!("k{}-{:05}", number % keys, number / keys));
        json!({"topic": topic, "key": key, "value": format!("{{\"n\":{number}}}"), "headers": {
            "ce_id": id, "ce_type": "tested", "content-type": "application/json", "x-shop": "tea",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "authorization": "secret",
        }})
    };
    let all: Vec<Value> = (0..count).map(message).collect();
    write(&broker.address(), &all).await;
    all.iter().map(|message| message["headers"]["ce_id"].as_str().unwrap().to_owned()).collect()
}

pub fn ok(_: &str, _: usize) -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Of each key the ids in the order in which each was done at first.
fn check_order_per_key(service: &Service) {
    let mut last: HashMap<String, String> = HashMap::new();
    let mut seen = std::collections::HashSet::new();
    for id in service.done().into_iter().filter(|id| seen.insert(id.clone())) {
        let key = id.split('-').next().unwrap().to_owned();
        let before = last.insert(key, id.clone());
        assert!(before.is_none_or(|before| before < id), "{id} came late");
    }
}

/// A topic that is there before anybody reads it.
async fn topic(broker: &Broker) -> String {
    let topic = format!("t{}", unique());
    let cluster =
        events::kafka::Cluster::connect(&events::kafka::Settings::plain(broker.address())).await.unwrap();
    cluster.ensure_topics(std::slice::from_ref(&topic)).await.unwrap();
    topic
}

async fn parallel_route(broker: Broker) {
    let topic = topic(&broker).await;
    // One fails once, one always, one is redirected once.
    let service = Service::start(|id, before| match (id, before) {
        ("k1-00000", 0) => StatusCode::INTERNAL_SERVER_ERROR,
        ("k2-00000", _) => StatusCode::CONFLICT,
        ("k3-00000", 0) => StatusCode::FOUND,
        _ => StatusCode::OK,
    })
    .await;
    let ids = messages(&broker, &topic, 200, 10).await;
    let route = "mode = \"parallel\"\nretry_interval_s = 2\nretries = 2\nconcurrency = 5";
    let mut consumer = Consumer::start(&broker.address(), &service, &topic, route);
    service.until_done(ids.len() - 1).await;
    let calls = service.calls();
    let first = calls.iter().find(|call| call.id == "k0-00000").unwrap();
    assert_eq!((first.key.as_str(), first.body.as_slice()), ("k0", &br#"{"n":0}"#[..]));
    for (name, value) in [
        ("ce-id", "k0-00000"),
        ("ce-type", "tested"),
        ("content-type", "application/json"),
        ("x-shop", "tea"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-kafka-attempt", "1"),
    ] {
        assert_eq!(first.headers[name], value, "{name}");
    }
    assert!(!first.headers.contains_key("authorization"));
    wait_until("one has failed for good", async || consumer.failed().await.len() == 1).await;
    let failed = &consumer.failed().await[0];
    assert_eq!((failed.header("ce_id"), failed.header("holdfast-reason")), ("k2-00000", "it answered 409"));
    assert_eq!((failed.header("holdfast-attempts"), failed.key.as_deref()), ("3", Some("k2")));
    let tries: Vec<Instant> =
        service.calls().iter().filter(|call| call.id == "k2-00000").map(|call| call.at).collect();
    assert_eq!(tries.len(), 3);
    assert!(tries.windows(2).all(|two| two[1] - two[0] >= Duration::from_millis(1900)), "{tries:?}");

    // Put back, it is done, once.
    service.answer(ok);
    let mut unknown = consumer.replaying(&[]);
    assert!(
        !unknown.ended().await.success() && unknown.log().contains("--failed-since"),
        "{}",
        unknown.log()
    );
    consumer.replay(&["--all"]).await;
    service.until_done(ids.len()).await;
    consumer.replay(&[]).await;
    consumer.process.terminate();
    assert!(consumer.process.ended().await.success(), "{}", consumer.process.log());
    let done = service.done();
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    done.iter().for_each(|id| *counted.entry(id).or_default() += 1);
    assert!(counted.values().all(|count| *count == 1), "{counted:?}");
}

#[tokio::test]
async fn a_parallel_route_on_tansu() {
    parallel_route(Broker::tansu().await).await;
}

#[tokio::test]
async fn a_parallel_route_on_apache_kafka() {
    if let Some(broker) = Broker::apache().await {
        parallel_route(broker).await;
    }
}

async fn ordered_route(broker: Broker) {
    let topic = topic(&broker).await;
    let service = Service::start(|id, before| match (id, before) {
        ("k1-00003", 0..2) => StatusCode::SERVICE_UNAVAILABLE,
        ("k2-00001", _) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::OK,
    })
    .await;
    let ids = messages(&broker, &topic, 300, 10).await;
    let route = "mode = \"ordered\"\nretry_interval_s = 1\nretries = 2";
    let consumer = Consumer::start(&broker.address(), &service, &topic, route);
    service.until_done(ids.len() - 1).await;
    check_order_per_key(&service);
    wait_until("one has failed for good", async || consumer.failed().await.len() == 1).await;
    let failed = &consumer.failed().await[0];
    assert_eq!((failed.header("ce_id"), failed.header("holdfast-reason")), ("k2-00001", "it answered 422"));
    service.answer(ok);
    consumer.replay(&["--failed-since", "2026-01-01T00:00:00Z"]).await;
    service.until_done(ids.len()).await;
}

#[tokio::test]
async fn an_ordered_route_on_tansu() {
    ordered_route(Broker::tansu().await).await;
}

#[tokio::test]
async fn an_ordered_route_on_apache_kafka() {
    if let Some(broker) = Broker::apache().await {
        ordered_route(broker).await;
    }
}

/// Members come, go in order, and are killed: each message is done, and of a key in its order.
async fn members_come_and_go(broker: Broker) {
    let topic = topic(&broker).await;
    let service = Service::start(|id, before| match before == 0 && id.ends_with('7') {
        true => StatusCode::INTERNAL_SERVER_ERROR,
        false => StatusCode::OK,
    })
    .await;
    let ids = messages(&broker, &topic, 4000, 40).await;
    let route = "mode = \"ordered\"\nretry_interval_s = 0\nconcurrency = 4";
    let mut consumer = Consumer::start(&broker.address(), &service, &topic, route);
    service.until_done(ids.len() / 10).await;
    let mut second = consumer.another();
    service.until_done(ids.len() / 4).await;
    let third = consumer.another();
    second.terminate();
    assert!(second.ended().await.success(), "{}", second.log());
    service.until_done(ids.len() / 2).await;
    consumer.process.kill();
    service.until_done(ids.len()).await;
    let done = service.done();
    eprintln!("{} messages, {} done twice", ids.len(), done.len() - ids.len());
    check_order_per_key(&service);
    drop(third);
}

#[tokio::test]
async fn members_come_and_go_on_tansu() {
    members_come_and_go(Broker::tansu().await).await;
}

#[tokio::test]
async fn members_come_and_go_on_apache_kafka() {
    if let Some(broker) = Broker::apache_if_wanted().await {
        members_come_and_go(broker).await;
    }
}

#[tokio::test]
async fn a_file_that_is_wrong_is_refused() {
    let config = test_dir().join("routes.toml");
    let route = "[[route]]\nname = \"r\"\ntopics = [\"t\"]\ngroup = \"g\"\nurl = \"http://127.0.0.1:1\"\n\
                 mode = \"ordered\"\nretry_interval_s = 44\n";
    std::fs::write(&config, route).unwrap();
    let arguments = ["consume", "--config", config.to_str().unwrap()];
    let env = [("HOLDFAST_KAFKA_BROKERS", "127.0.0.1:1".to_owned())];
    let (done, _, said) = crate::harness::printed(&arguments, &env);
    assert!(!done && said.contains("`retry_interval_s` must be 45 to 86400"), "{said}");
    let (done, _, said) = crate::harness::printed(&arguments, &[]);
    assert!(!done && said.contains("HOLDFAST_KAFKA_BROKERS is not set"), "{said}");
}
