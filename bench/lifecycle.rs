//! Whole orders (placed through HTTP, paid by a webhook, completed, the customer told by mail) per second,
//! against empty workflows (started, one signal, ended) on the same server. In turns, so many at once, and
//! each waited for by a long poll for the end of its workflow. Twice:
//!
//! - each is paid, or signalled, at once;
//! - all are placed, or started; when all sleep, all are paid, or signalled.
//!
//! And all of that twice: on processors that everybody shares, where what an order costs PostgreSQL and
//! Holdfast is taken from the engine, too; and with the engine on half of them, so that the engine is what
//! limits both.

use std::{
    sync::Mutex,
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
    processors::Halves,
    report::{Report, median, per_second, ratio},
};

/// The engine gets slower with what it has done, so an even number of rounds, in which the others go first.
const ROUNDS: usize = 6;
const AT_ONCE: usize = 100;
const PRICE: i64 = 1250;

pub async fn run(orders: usize) -> Report {
    let mut report = Report::new(
        "lifecycle",
        "whole orders per second (HTTP, webhook, mail), against empty workflows on the same server",
    );
    compare(&mut report, "shared", House::whole().await, orders / ROUNDS).await;
    if let Some(halves) = Halves::of_machine() {
        compare(&mut report, "engine apart", House::apart(&halves).await, orders / ROUNDS).await;
    }
    report
}

async fn compare(report: &mut Report, processors: &str, house: House, count: usize) {
    house.shop.stock("tea", PRICE, 1_000_000).await;
    let empties = Empties::open(&house.shop).await;
    warm_up(&house.shop, &empties).await;
    let (mut at_once, mut asleep) = (Vec::new(), Vec::new());
    let row = |paid, whole, empty| {
        json!({"processors": processors, "paid": paid, "orders/s": whole, "empty workflows/s": empty,
               "orders / empty": ratio(whole, empty)})
    };
    for round in 0..ROUNDS {
        let orders_first = round % 2 == 0;
        let (whole, empty) =
            in_turn(orders_first, whole_orders(&house.shop, count), empty_workflows(&empties, count)).await;
        at_once.push(ratio(whole, empty));
        report.row(row("at once", whole, empty));
        let (whole, empty) =
            in_turn(orders_first, sleeping_orders(&house.shop, count), sleeping_workflows(&empties, count))
                .await;
        asleep.push(ratio(whole, empty));
        report.row(row("asleep", whole, empty));
    }
    let median = |paid, ratios: &[f64]| {
        let median = median(ratios);
        json!({"processors": processors, "paid": paid, "median orders / empty": median})
    };
    report.row(median("at once", &at_once));
    report.row(median("asleep", &asleep));
    house.shop.audit();
}

async fn in_turn(in_order: bool, a: impl Future<Output = f64>, b: impl Future<Output = f64>) -> (f64, f64) {
    if in_order {
        return (a.await, b.await);
    }
    let b = b.await;
    (a.await, b)
}

async fn warm_up(shop: &Shop, empties: &Empties) {
    whole_orders(shop, AT_ONCE).await;
    empty_workflows(empties, AT_ONCE).await;
}

pub async fn whole_orders(shop: &Shop, count: usize) -> f64 {
    let connections = Connections::open(shop).await;
    let started = Instant::now();
    stream::iter(0..count)
        .for_each_concurrent(AT_ONCE, |_| async {
            let id = connections.lend(async |connection| {
                let id = place(shop, connection, "tea").await;
                pay(shop, connection, &id).await;
                id
            });
            ended(shop, &id.await).await;
        })
        .await;
    let elapsed = started.elapsed();
    all_ended(shop).await;
    per_second(count, elapsed)
}

pub async fn sleeping_orders(shop: &Shop, count: usize) -> f64 {
    let connections = Connections::open(shop).await;
    let started = Instant::now();
    let ids: Vec<String> = stream::iter(0..count)
        .map(|_| connections.lend(async |connection| place(shop, connection, "tea").await))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let awake = "SELECT count(*) FROM orders WHERE workflow_started_at IS NULL";
    let mut sql = shop.sql().await;
    while sqlx::query_scalar::<_, i64>(awake).fetch_one(&mut sql).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stream::iter(&ids)
        .for_each_concurrent(AT_ONCE, |id| async {
            connections.lend(async |connection| pay(shop, connection, id).await).await;
            ended(shop, id).await;
        })
        .await;
    let elapsed = started.elapsed();
    all_ended(shop).await;
    per_second(count, elapsed)
}

async fn all_ended(shop: &Shop) {
    assert_eq!(shop.api.get("/v1/orders?status=awaiting_payment&limit=1").await.is(200)["data"], json!([]));
}

/// As many as are used at once, each by one order after the other.
struct Connections(Mutex<Vec<Connection>>);

impl Connections {
    async fn open(shop: &Shop) -> Self {
        let mut connections = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE {
            connections.push(Connection::open(shop.api.address()).await);
        }
        Self(Mutex::new(connections))
    }

    async fn lend<T>(&self, to: impl AsyncFnOnce(&mut Connection) -> T) -> T {
        let mut connection = self.0.lock().unwrap().pop().expect("one for each at once");
        let result = to(&mut connection).await;
        self.0.lock().unwrap().push(connection);
        result
    }
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
        tokio::time::sleep(Duration::from_millis(25)).await;
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

async fn sleeping_workflows(empties: &Empties, count: usize) -> f64 {
    let started = Instant::now();
    let all: Vec<_> =
        stream::iter(0..count).map(|_| empties.start()).buffer_unordered(AT_ONCE).collect().await;
    stream::iter(&all)
        .for_each_concurrent(AT_ONCE, |empty| async {
            empty.signal().await;
            empty.ended().await;
        })
        .await;
    per_second(count, started.elapsed())
}
