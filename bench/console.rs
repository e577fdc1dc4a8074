//! The console's pages among as many orders as asked for and 10,000 open exceptions, against what the API
//! takes for the same data; and the door while a hundred timelines are open, against the door alone. The
//! engine is out of reach: pages do not need it.
//!
//! A page is compared with the API's answers that it is made of, asked for one after the other.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Executor as _;
use store::Db;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    harness::visitor::Visitor,
    house::{CONNECTIONS, House},
    load::{Storm, get, placements, storm},
    reads::fill,
    report::{Report, median, ms, ratio},
};

const EXCEPTIONS: i64 = 10_000;
const READERS: usize = 4;
const REQUESTS: usize = 400;
const TIMELINES: usize = 100;
const BUYERS: usize = 20;
const PLACEMENTS: usize = 6000;
const ROUNDS: usize = 7;

pub async fn run(orders: usize) -> Report {
    let mut report =
        Report::new("console", "pages against the API's answers for the same data; open timelines");
    let house = House::with_door_alone().await;
    house.shop.stock("tea", 1250, 10_000_000).await;
    let db = Db::open(&house.shop.database_url, CONNECTIONS).unwrap();
    let mut ids = Vec::new();
    fill(&house, &db, &mut ids, orders).await;
    raise(&house).await;
    let host = house.shop.api.address().to_owned();
    let cookie = Visitor::signed_in(&host).await.cookie.unwrap();
    let exceptions = house.shop.list_exceptions("state=open&limit=1").await;
    let id = &exceptions[0].id;
    let pages = [
        ("/console/today".to_owned(), vec!["/v1/overview".to_owned()]),
        ("/console/orders".to_owned(), vec!["/v1/orders?limit=50".to_owned()]),
        (format!("/console/orders/{}", ids[0]), of_order(&ids[0])),
        (
            "/console/exceptions".to_owned(),
            vec!["/v1/exceptions?state=open&oldest_first=true&limit=100".to_owned()],
        ),
        (format!("/console/exceptions/{id}"), vec![format!("/v1/exceptions/{id}")]),
        ("/console/stock".to_owned(), vec!["/v1/inventory?limit=50".to_owned()]),
        ("/console/catalogue".to_owned(), vec!["/v1/products?limit=50".to_owned()]),
        (
            "/console/money".to_owned(),
            vec!["/v1/settlements?limit=50".to_owned(), "/v1/settlements/unmatched?limit=50".to_owned()],
        ),
    ];
    for (page, answers) in pages {
        report.row(compare(&host, &cookie, &page, &answers, orders).await);
    }
    report.row(beside_timelines(&house, &cookie, &ids).await);
    report
}

/// What an order's page asks the API for.
fn of_order(id: &str) -> Vec<String> {
    let deliveries = "/deliveries?newest_first=true&limit=100";
    let of_id = ["", "/timeline", "/next", "/changes", "/payments", "/refunds", "/mails", deliveries];
    let of_id = of_id.map(|of| format!("/v1/orders/{id}{of}"));
    let lists = ["exceptions", "ledger"].map(|of| format!("/v1/{of}?order={id}&limit=100"));
    of_id.into_iter().chain(lists).collect()
}

/// Money for orders that nobody knows.
async fn raise(house: &House) {
    let raise = sqlx::query(
        "INSERT INTO exceptions (id, kind, source, data, state, raised_at, provider, provider_payment_id,
                                 amount, currency)
         SELECT ('019abc00-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'unknown_order',
                'bench/' || n, '{}', 'open', now() - n * interval '1 second', 'sandbox', 'bench-' || n, n,
                'EUR'
         FROM generate_series(1, $1::bigint) AS n",
    );
    let mut sql = house.shop.sql().await;
    raise.bind(EXCEPTIONS).execute(&mut sql).await.unwrap();
    sql.execute("ANALYZE").await.unwrap();
}

async fn compare(host: &str, cookie: &str, page: &str, answers: &[String], orders: usize) -> Value {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut sum = 0.0;
        for path in answers {
            sum += p50(host, get(host, path)).await;
        }
        theirs.push(sum);
        ours.push(p50(host, get_page(host, page, cookie)).await);
    }
    let api = median(&theirs);
    let name = page.split("/ord_").next().unwrap().split("/exc_").next().unwrap();
    json!({
        "page": if name == page { name.to_owned() } else { format!("{name}/{{id}}") },
        "orders": orders,
        "page p50 ms": median(&ours),
        "API p50 ms": (api * 100.0).round() / 100.0,
        "page / API": ratio(median(&ours), api),
    })
}

async fn p50(host: &str, request: Vec<u8>) -> f64 {
    let requests = move |_| request.clone();
    ms(storm(host, READERS, REQUESTS, requests).await.all(200).p(0.5))
}

fn get_page(host: &str, path: &str, cookie: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\n\r\n").into_bytes()
}

/// Rounds in turn, with and without open timelines, each of another order.
async fn beside_timelines(house: &House, cookie: &str, ids: &[String]) -> Value {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(place(house).await.rate());
        let open = timelines(house.shop.api.address(), cookie, ids).await;
        beside.push(place(house).await.rate());
        drop(open);
    }
    json!({
        "timelines": TIMELINES,
        "orders/s alone": median(&alone), "orders/s beside": median(&beside),
        "beside / alone": ratio(median(&beside), median(&alone)),
    })
}

async fn place(house: &House) -> Storm {
    let requests = placements(&house.shop, vec!["tea".to_owned()]);
    storm(house.shop.api.address(), BUYERS, PLACEMENTS, requests).await.all(201)
}

/// As browsers have them open; each has begun.
async fn timelines(host: &str, cookie: &str, ids: &[String]) -> JoinSet<()> {
    let mut open = JoinSet::new();
    for id in ids.iter().take(TIMELINES) {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = get_page(host, &format!("/console/stream?subject={id}"), cookie);
        stream.write_all(&request).await.unwrap();
        let mut buffer = vec![0; 4096];
        let begun = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await;
        let length = begun.unwrap().unwrap();
        assert!(buffer[..length].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer));
        open.spawn(async move { while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {} });
    }
    open
}
