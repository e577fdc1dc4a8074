//! Reading an order and the list, among 1,000 to as many orders as asked for, against a bare axum route that
//! runs the same query. The engine is out of reach: reads do not need it.

use axum::{Router, extract::Path, routing::get as route};
use domain::order::Status;
use serde_json::{Value, json};
use sqlx::Executor as _;
use store::{Db, PlacementBatcher, orders::Filter};
use tokio::net::TcpListener;

use crate::{
    door::{ask, customer},
    harness::unique,
    house::{CONNECTIONS, House},
    load::{Storm, get, storm},
    report::{Report, ms, ratio},
};

const READERS: usize = 20;
const REQUESTS: usize = 3000;
/// Few enough that a page is full among 1,000 orders already.
const CUSTOMERS: usize = 45;
/// At once, while the orders are made.
const MAKERS: usize = 400;

pub async fn run(orders: usize) -> Report {
    let mut report = Report::new(
        "reads",
        "GET /v1/orders/{id} and the list among more and more orders, \
         against a bare axum route with the same query",
    );
    let house = House::with_door_alone().await;
    house.shop.stock("tea", 1250, 10_000_000).await;
    let db = Db::open(&house.shop.database_url, CONNECTIONS).unwrap();
    let bare = bare_routes(db.clone()).await;
    let mut ids = Vec::new();
    let mut first: Option<[f64; 2]> = None;
    for size in [1000, 10_000, 100_000].into_iter().filter(|size| *size <= orders) {
        fill(&house, &db, &mut ids, size).await;
        let api = house.shop.api.address().to_owned();
        let order = |host: &str| {
            let (host, ids) = (host.to_owned(), ids.clone());
            move |n: usize| get(&host, &format!("/v1/orders/{}", ids[n * 7919 % ids.len()]))
        };
        let list = |host: &str| {
            let host = host.to_owned();
            move |_| get(&host, "/v1/orders?status=awaiting_payment&customer=cust-42&limit=20")
        };
        storm(&api, READERS, REQUESTS / 3, order(&api)).await.all(200); // warms the caches
        let ours = (
            storm(&api, READERS, REQUESTS, order(&api)).await.all(200),
            storm(&api, READERS, REQUESTS, list(&api)).await.all(200),
        );
        let theirs = (
            storm(&bare, READERS, REQUESTS, order(&bare)).await.all(200),
            storm(&bare, READERS, REQUESTS, list(&bare)).await.all(200),
        );
        let first = *first.get_or_insert([ms(ours.0.p(0.5)), ms(ours.1.p(0.5))]);
        report.row(row("order", size, &ours.0, &theirs.0, first[0]));
        report.row(row("list", size, &ours.1, &theirs.1, first[1]));
    }
    report
}

fn row(what: &str, orders: usize, ours: &Storm, bare: &Storm, first: f64) -> Value {
    json!({
        "read": what,
        "orders": orders,
        "reads/s": ours.rate(),
        "p50 ms": ms(ours.p(0.5)),
        "p99 ms": ms(ours.p(0.99)),
        "p50 / p50 among 1,000": ratio(ms(ours.p(0.5)), first),
        "bare/s": bare.rate(),
        "bare p50 ms": ms(bare.p(0.5)),
        "reads / bare": ratio(ours.rate(), bare.rate()),
    })
}

/// Makes orders until there are so many, by the door.
pub async fn fill(house: &House, db: &Db, ids: &mut Vec<String>, size: usize) {
    let (door, run) = (PlacementBatcher::open(db).unwrap(), unique());
    while ids.len() < size {
        let many = (0..MAKERS.min(size - ids.len())).map(|n| {
            let mut ask = ask(&run, ids.len() + n, "tea");
            ask.placement.customer = customer(&format!("cust-{}", (ids.len() + n) % CUSTOMERS));
            let (door, id) = (door.clone(), ask.id.to_string());
            async move {
                door.place(ask).await.unwrap();
                id
            }
        });
        ids.extend(futures_util::future::join_all(many).await);
    }
    // As PostgreSQL does by itself, a minute later.
    let mut sql = house.shop.sql().await;
    sql.execute("ANALYZE").await.unwrap();
}

/// Nothing but the query, and JSON of its answer. On a runtime of its own, as the API has one.
async fn bare_routes(db: Db) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let one = db.clone();
    let router = Router::new()
        .route("/v1/orders/{id}", route(async move |Path(id): Path<String>| bare_order(&one, &id).await))
        .route("/v1/orders", route(async move || bare_list(&db).await));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            axum::serve(TcpListener::from_std(listener).unwrap(), router).await.unwrap();
        });
    });
    address
}

async fn bare_order(db: &Db, id: &str) -> axum::Json<Value> {
    let order = store::orders::get(db, id.parse().unwrap()).await.unwrap().unwrap();
    axum::Json(json!({"id": id, "total": order.total, "lines": order.lines, "metadata": order.metadata}))
}

async fn bare_list(db: &Db) -> axum::Json<Value> {
    let filter = Filter {
        status: Some(Status::AwaitingPayment),
        customer_id: Some("cust-42".to_owned()),
        ..Filter::default()
    };
    let orders = store::orders::list(db, &filter, 21).await.unwrap();
    let orders = orders.iter().map(|it| json!({"id": it.id, "total": it.total, "lines": it.lines}));
    axum::Json(orders.collect())
}
