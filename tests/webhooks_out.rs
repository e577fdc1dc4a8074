//! Webhooks that we send: signed, at least once, in order for each subject, whatever receivers do and whoever
//! dies. How endpoints are managed: [`managed`].

mod customers;
mod managed;

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::harness::{
    Setup, Shop,
    documents::List,
    eventually, mails_to,
    receiver::{Answer, Received, Receiver},
    send, unique, wait_until,
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    pub object: String,
    pub id: String,
    pub url: String,
    pub types: Vec<String>,
    pub description: String,
    pub status: String,
    pub disabled_reason: Option<String>,
    pub disabled_at: Option<Timestamp>,
    pub failing_since: Option<Timestamp>,
    pub previous_secret_until: Option<Timestamp>,
    pub created_at: Timestamp,
    pub created_by: String,
    pub updated_at: Timestamp,
    /// In the answers alone that make one.
    pub secret: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Delivery {
    object: String,
    endpoint_id: String,
    event_id: String,
    r#type: String,
    subject: String,
    #[expect(dead_code, reason = "it has to be there")]
    at: Timestamp,
    status: String,
    attempts: i32,
    due_at: Option<Timestamp>,
    answer_code: Option<i16>,
    answer: Option<String>,
    error: Option<String>,
    tried_at: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
}

/// A shop whose webhooks may go to this machine.
async fn open() -> Shop {
    open_with(vec![]).await
}

async fn open_with(more: Vec<(&'static str, String)>) -> Shop {
    let mut env = vec![("HOLDFAST_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8".to_owned())];
    env.extend(more);
    let shop = Shop::with(Setup { env, ..Setup::default() }).await;
    shop.stock("tea", 1250, 1000).await;
    shop
}

async fn endpoint(shop: &Shop, url: &str, types: &[&str]) -> Endpoint {
    let body = json!({"url": url, "types": types, "description": "a test"});
    shop.api.post("/v1/webhook-endpoints", &body).await.of().is(201)
}

async fn read(shop: &Shop, id: &str) -> Endpoint {
    shop.api.get(&format!("/v1/webhook-endpoints/{id}")).await.of().is(200)
}

async fn deliveries(shop: &Shop, id: &str, query: &str) -> Vec<Delivery> {
    shop.api.list(&format!("/v1/webhook-endpoints/{id}/deliveries?limit=100{query}")).await.data
}

async fn change(shop: &Shop, id: &str, body: &Value) -> Endpoint {
    let path = format!("/v1/webhook-endpoints/{id}");
    shop.api.send(shop.api.request(Method::PATCH, &path).json(body)).await.of().is(200)
}

async fn redeliver(shop: &Shop, id: &str, body: &Value) -> Value {
    shop.api.post(&format!("/v1/webhook-endpoints/{id}/redeliver"), body).await.is(200)
}

/// Waits until all of an endpoint is delivered, and so much it was.
async fn until_delivered(shop: &Shop, id: &str, number: usize) {
    wait_until("all is delivered", async || {
        let all = deliveries(shop, id, "").await;
        all.len() == number && all.iter().all(|it| it.status == "delivered")
    })
    .await;
}

/// The sequences of each subject go up, repeats aside.
fn check_order(received: &[Received]) {
    let mut last = std::collections::HashMap::new();
    let mut seen = std::collections::HashSet::new();
    for it in received.iter().filter(|it| seen.insert(it.id().to_owned())) {
        let sequence = it.event["sequence"].as_i64().unwrap();
        let before = last.insert(it.subject().to_owned(), sequence);
        assert!(before.is_none_or(|before| before < sequence), "{} {sequence} {before:?}", it.subject());
    }
}

#[tokio::test]
async fn events_are_delivered_signed_and_with_what_caused_them() {
    let (shop, receiver) = (open().await, Receiver::start().await);
    let all = endpoint(&shop, &receiver.url("/all"), &[]).await;
    let paid = endpoint(&shop, &receiver.url("/paid"), &["order.paid", "order.placed", "order.paid"]).await;
    assert_eq!((paid.types.len(), paid.status.as_str(), paid.created_by.as_str()), (2, "enabled", "api"));
    assert_eq!((paid.object.as_str(), paid.description.as_str()), ("webhook_endpoint", "a test"));
    assert!(paid.url == receiver.url("/paid") && paid.created_at == paid.updated_at, "{paid:?}");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = shop.api.request(Method::POST, "/v1/orders").header("idempotency-key", unique());
    let request = request.header("traceparent", trace).header("x-tenant", "berlin");
    let order = shop.api.send(request.json(&shop.order_body(&[("tea", 1)]))).await.is(201);
    let id = order["id"].as_str().unwrap();
    shop.pay(id).await;
    shop.until(id, "completed").await;

    let received = receiver.until("/paid", 2).await;
    assert_eq!([received[0].kind(), received[1].kind()], ["order.placed", "order.paid"]);
    let secret = paid.secret.as_deref().unwrap();
    for it in &received {
        it.verify(secret);
        assert_eq!(it.subject(), id);
        assert!(it.header("content-type").starts_with("application/cloudevents+json"));
        assert_eq!(it.event["specversion"], "1.0");
        assert_eq!(it.signatures_by(all.secret.as_deref().unwrap()), 0);
    }
    assert_eq!(received[0].header("x-tenant"), "berlin");
    assert_eq!(received[0].header("traceparent").split('-').nth(1), trace.split('-').nth(1));
    let mut of_order = Vec::new();
    wait_until("all of the order is delivered", async || {
        let path = format!("/v1/orders/{id}/deliveries?limit=100");
        of_order = shop.api.list::<Delivery>(&path).await.data;
        of_order.iter().any(|it| it.r#type == "order.completed")
            && of_order.iter().all(|it| it.status == "delivered")
    })
    .await;
    let placed: Vec<_> = of_order.iter().filter(|it| it.r#type == "order.placed").collect();
    assert_eq!(placed.len(), 2, "{of_order:?}");
    assert!(placed.iter().all(|it| it.answer_code == Some(204) && it.attempts == 1 && it.error.is_none()));
    let pages = shop.api.pages::<Delivery>(&format!("/v1/orders/{id}/deliveries?limit=2")).await;
    assert_eq!(pages.concat().len(), of_order.len());
    let newest = format!("/v1/orders/{id}/deliveries?newest_first=true&limit=2");
    let newest = shop.api.pages::<Delivery>(&newest).await.concat();
    let places = |all: &[Delivery]| -> Vec<(String, String)> {
        all.iter().map(|it| (it.event_id.clone(), it.endpoint_id.clone())).collect()
    };
    let mut backwards = places(&of_order);
    backwards.reverse();
    assert_eq!(places(&newest), backwards);
    check_order(&receiver.received("/all"));
    let of_paid = deliveries(&shop, &paid.id, "&status=delivered").await;
    assert_eq!(
        of_paid.iter().map(|it| it.r#type.as_str()).collect::<Vec<_>>(),
        ["order.paid", "order.placed"]
    );
    let told = &of_paid[0];
    assert_eq!(
        (told.object.as_str(), &told.endpoint_id, told.subject.as_str()),
        ("webhook_delivery", &paid.id, id)
    );
    assert!(told.due_at.is_none() && told.tried_at == told.delivered_at && told.answer.is_none(), "{told:?}");
    let figures = shop.figures().await;
    assert!(figures.contains("holdfast_webhook_deliveries_pending 0"), "{figures}");
    shop.close();
}

#[tokio::test]
async fn what_follows_waits_for_what_failed_and_nobody_else_does() {
    let (shop, receiver) = (open().await, Receiver::start().await);
    receiver.answer_once("/hook", Answer::Body(500, "no\0 luck".to_owned()));
    let hook = endpoint(&shop, &receiver.url("/hook"), &["order.placed", "order.cancelled"]).await;
    let first = shop.place(&[("tea", 1)]).await;
    receiver.until("/hook", 1).await;
    shop.cancel(&first).await.is(200);
    let other = shop.place(&[("tea", 1)]).await;
    let received = receiver.until("/hook", 4).await;
    let story = |subject: &str| -> Vec<String> {
        received.iter().filter(|it| it.subject() == subject).map(|it| it.kind().to_owned()).collect()
    };
    assert_eq!(story(&first), ["order.placed", "order.placed", "order.cancelled"]);
    assert_eq!(story(&other), ["order.placed"]);
    let ids: Vec<&str> = received.iter().filter(|it| it.subject() == first).map(Received::id).collect();
    assert_eq!(ids[0], ids[1], "it is the same event");
    until_delivered(&shop, &hook.id, 3).await;
    let of_first = deliveries(&shop, &hook.id, "").await.pop().unwrap();
    assert_eq!((of_first.attempts, of_first.answer_code), (2, Some(204)));
    assert!(read(&shop, &hook.id).await.failing_since.is_none(), "what was delivered makes up for it");
    shop.close();
}

#[tokio::test]
async fn odd_receivers_cost_nothing_and_delay_nobody() {
    let owner = format!("owner-{}@shop.test", unique());
    let shop = open_with(vec![("HOLDFAST_WEBHOOK_OWNER_EMAIL", owner.clone())]).await;
    let receiver = Receiver::start().await;
    receiver.answer("/never", Answer::Never);
    receiver.answer("/slow", Answer::After(Duration::from_secs(3)));
    receiver.answer("/moved", Answer::With(302, "location", receiver.url("/elsewhere")));
    receiver.answer("/gone", Answer::Status(410));
    receiver.answer("/endless", Answer::Endless);
    receiver.answer("/trickle", Answer::Trickle);
    receiver.answer("/broken", Answer::HangUp);
    receiver.answer("/failing", Answer::Body(500, "no luck".to_owned()));
    receiver.answer("/busy", Answer::With(503, "retry-after", "7200".to_owned()));
    let mut ids = std::collections::HashMap::new();
    let odd = ["/never", "/slow", "/moved", "/gone", "/endless", "/trickle", "/broken", "/failing", "/busy"];
    for path in odd.into_iter().chain(["/good"]) {
        ids.insert(path, endpoint(&shop, &receiver.url(path), &["order.placed"]).await.id);
    }
    let away = endpoint(&shop, "http://127.0.0.1:1/", &["order.placed"]).await;
    ids.insert("/away", away.id);
    let begun = Instant::now();
    for _ in 0..20 {
        shop.place(&[("tea", 1)]).await;
    }
    receiver.until("/good", 20).await;
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    until_delivered(&shop, &ids["/endless"], 20).await;
    assert!(receiver.sent_bytes() < 400 << 20, "{} bytes", receiver.sent_bytes());
    let endless = deliveries(&shop, &ids["/endless"], "").await;
    assert!(endless.iter().all(|it| it.answer.as_ref().unwrap().len() == 1024));

    // Its status is what counts: nobody waits for the rest.
    until_delivered(&shop, &ids["/trickle"], 20).await;
    let trickle = deliveries(&shop, &ids["/trickle"], "").await;
    assert!(trickle.iter().all(|it| it.attempts == 1 && it.answer_code == Some(200)), "{trickle:?}");

    let tried = async |path: &str| {
        eventually(path, async || {
            deliveries(&shop, &ids[path], "&status=pending").await.into_iter().find(|it| it.attempts > 0)
        })
        .await
    };
    let moved = tried("/moved").await;
    assert_eq!((moved.answer_code, moved.error), (Some(302), None));
    assert!(receiver.received("/elsewhere").is_empty());
    let busy = tried("/busy").await;
    let wait = busy.due_at.unwrap().duration_since(busy.tried_at.unwrap());
    assert!((7190..7210).contains(&wait.as_secs()), "{wait}");
    let never = tried("/never").await;
    assert_eq!((never.answer_code, never.error.as_deref()), (None, Some("timeout")));
    for (path, error) in [("/broken", "connection_broke"), ("/away", "no_connection")] {
        let tried = tried(path).await;
        assert_eq!((tried.answer_code, tried.error.as_deref()), (None, Some(error)), "{path}");
    }
    let failing = tried("/failing").await;
    assert_eq!((failing.answer_code, failing.answer.as_deref()), (Some(500), Some("no luck")));

    let gone = eventually("it is disabled", async || {
        Some(read(&shop, &ids["/gone"]).await).filter(|it| it.status == "disabled")
    })
    .await;
    assert_eq!(gone.disabled_reason.as_deref(), Some("gone"));
    let mail = &mails_to(&owner, 1).await[0];
    assert!(mail.text.contains(&gone.id) && mail.text.contains("410"), "{}", mail.text);
    let missed = deliveries(&shop, &gone.id, "").await;
    assert!(missed.len() == 20 && missed.iter().all(|it| it.status == "pending"), "what it missed is kept");
    receiver.answer("/gone", Answer::Status(200));
    let asked = receiver.received("/gone").len();
    let enabled = change(&shop, &gone.id, &json!({"enabled": true})).await;
    assert_eq!((enabled.status.as_str(), enabled.disabled_at), ("enabled", None));
    until_delivered(&shop, &gone.id, 20).await;
    assert_eq!(receiver.received("/gone").len(), asked + 20);
    shop.close();
}

#[tokio::test]
async fn a_worker_dies_between_the_request_and_its_note() {
    let (mut shop, receiver) = (open().await, Receiver::start().await);
    let hook = endpoint(&shop, &receiver.url("/hook"), &["order.placed", "order.cancelled"]).await;
    receiver.answer("/hook", Answer::Never);
    let id = shop.place(&[("tea", 1)]).await;
    shop.cancel(&id).await.is(200);
    receiver.until("/hook", 1).await;
    shop.kill_worker();
    receiver.answer("/hook", Answer::Status(200));
    shop.start_worker();
    let _second = shop.another_worker(&[]).await;
    until_delivered(&shop, &hook.id, 2).await;
    let received = receiver.received("/hook");
    assert_eq!(received.len(), 3, "once for the dead worker, and then each once");
    assert_eq!(received[0].id(), received[1].id());
    assert_eq!([received[1].kind(), received[2].kind()], ["order.placed", "order.cancelled"]);
    shop.close();
}

#[tokio::test]
async fn workers_share_the_work_and_one_after_the_other_is_killed() {
    let (mut shop, receiver) = (open().await, Receiver::start().await);
    let hook = endpoint(&shop, &receiver.url("/hook"), &["order.placed", "order.cancelled"]).await;
    let _second = shop.another_worker(&[]).await;
    let mut orders = Vec::new();
    for round in 0..30 {
        orders.push(shop.place(&[("tea", 1)]).await);
        if round % 10 == 9 {
            shop.kill_worker();
            shop.start_worker();
        }
    }
    for id in &orders {
        let status = shop.cancel(id).await.status.as_u16();
        assert!([200, 202].contains(&status), "{status}");
    }
    until_delivered(&shop, &hook.id, 60).await;
    let received = receiver.received("/hook");
    let distinct: std::collections::BTreeSet<&str> = received.iter().map(Received::id).collect();
    assert_eq!(distinct.len(), 60);
    check_order(&received);
    received.iter().for_each(|it| it.verify(hook.secret.as_deref().unwrap()));
    shop.close();
}

/// The event has its number from before the endpoint was made, and happens after that.
#[tokio::test]
async fn what_is_committed_after_an_endpoint_was_made_is_sent_there() {
    let (shop, receiver) = (open().await, Receiver::start().await);
    shop.api.get("/v1/events").await.is(200); // from here on something is decided
    let mut sql = shop.sql().await;
    sql.execute("BEGIN").await.unwrap();
    let late = "INSERT INTO events (subject, sequence, type, at, data)
                VALUES ('inventory:late', 1, 'stock.low', now(), '{}')";
    sql.execute(late).await.unwrap();
    // Others take higher numbers meanwhile.
    shop.place(&[("tea", 1)]).await;
    endpoint(&shop, &receiver.url("/hook"), &["stock.low"]).await;
    sql.execute("COMMIT").await.unwrap();
    assert_eq!(receiver.until("/hook", 1).await[0].subject(), "inventory:late");
    shop.close();
}
