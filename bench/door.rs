//! Orders at the door: through HTTP, with group commit, against
//! - one transaction per order: the same code path (`store::orders::place`), the same pool size and schema,
//!   as many buyers, but called directly. It is spared HTTP, so the ratio errs on its side;
//! - `pgbench` with a bare update of one row: what this PostgreSQL can do at all.
//!
//! The engine is out of reach: an order is accepted all the same.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{
    OrderId,
    collect::Collects,
    customer::{Customer, UncheckedCustomer},
    metadata::Metadata,
    money::Currency,
    order::{Placement, Requested},
    policy::Policy,
    stock::{Quantity, Sku},
};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use store::{Db, Idempotency, orders::PlaceOrder};

use crate::{
    harness::{test_dir, unique},
    house::{CONNECTIONS, House},
    load::{self, Storm, storm},
    report::{Report, median, ms, ratio},
};

const SKUS: usize = 1000;
const STOCK: i64 = 1_000_000;
const PGBENCH_SECONDS: &str = "3";

/// Each is measured so many times (`rounds`), in turn; the median counts.
pub async fn run(rounds: usize) -> Report {
    let mut report = Report::new(
        "door",
        "orders per second through HTTP, against one transaction per order called directly (same pool, same \
         schema), and pgbench updating one bare row",
    );
    let house = House::with_door_alone().await;
    let hot = vec!["hot".to_owned()];
    let many: Vec<String> = (0..SKUS).map(|n| format!("sku-{n}")).collect();
    for sku in hot.iter().chain(&many) {
        house.shop.stock(sku, 1250, STOCK).await;
    }
    bare_rows(&house).await;
    for (skus, name) in [(&hot, "one hot SKU"), (&many, "1,000 SKUs")] {
        let mut lone = Duration::ZERO;
        for (buyers, through_http, one_by_one) in
            [(1, 1000, 300), (20, 10_000, 600), (100, 40_000, 1000), (1000, 40_000, 2000)]
        {
            let (mut door, mut single, mut bare) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rounds {
                let requests = load::placements(&house.shop, skus.clone());
                door.push(storm(house.shop.api.address(), buyers, through_http, requests).await.all(201));
                single.push(one_transaction_each(&house, skus, buyers, one_by_one).await);
                bare.push(pgbench(&house, buyers, skus.len()).await);
            }
            if buyers == 1 {
                lone = middle(&door, |it| it.p(0.99));
            }
            report.row(row(name, buyers, &door, &single, &bare, lone));
        }
    }
    house.shop.audit();
    report
}

fn row(skus: &str, buyers: usize, door: &[Storm], single: &[Storm], bare: &[f64], lone: Duration) -> Value {
    let rate = |storms: &[Storm]| median(&storms.iter().map(Storm::rate).collect::<Vec<_>>());
    let p99 = middle(door, |it| it.p(0.99));
    json!({
        "skus": skus,
        "buyers": buyers,
        "orders/s": rate(door),
        "p50 ms": ms(middle(door, |it| it.p(0.5))),
        "p99 ms": ms(p99),
        "p99 / lone p99": ratio(ms(p99), ms(lone)),
        "one tx each/s": rate(single),
        "its p99 ms": ms(middle(single, |it| it.p(0.99))),
        "orders / one tx each": ratio(rate(door), rate(single)),
        "bare updates/s": median(bare),
        "orders / bare updates": ratio(rate(door), median(bare)),
    })
}

fn middle(storms: &[Storm], of: impl Fn(&Storm) -> Duration) -> Duration {
    crate::report::percentile(&storms.iter().map(of).collect::<Vec<_>>(), 0.5)
}

async fn one_transaction_each(house: &House, skus: &[String], buyers: usize, total: usize) -> Storm {
    let db = Db::open(&house.shop.database_url, CONNECTIONS).unwrap();
    let (next, run, skus) = (Arc::new(AtomicUsize::new(0)), unique(), Arc::new(skus.to_vec()));
    let started = Instant::now();
    let tasks: Vec<_> = (0..buyers)
        .map(|_| {
            let (db, next, run, skus) = (db.clone(), next.clone(), run.clone(), skus.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= total {
                        return latencies;
                    }
                    let asked = Instant::now();
                    store::orders::place(&db, ask(&run, n, &skus[n % skus.len()])).await.unwrap();
                    latencies.push(asked.elapsed());
                }
            })
        })
        .collect();
    let mut latencies = Vec::with_capacity(total);
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let elapsed = started.elapsed();
    db.close().await;
    Storm { latencies, statuses: [(201, total)].into(), elapsed }
}

/// What the API makes of the same request.
pub fn ask(run: &str, n: usize, sku: &str) -> PlaceOrder {
    let at = jiff::Timestamp::now();
    PlaceOrder {
        id: OrderId::new(at, store::random()),
        placement: Placement {
            customer: customer("cust-42"),
            currency: Currency::parse("EUR").unwrap(),
            lines: [(Sku::parse(sku).unwrap(), Requested::Pieces(Quantity::nearest(1)))].into(),
            policy: Policy::default(),
            payment_method: None,
            metadata: Metadata::default(),
        },
        collects: Collects::Anything,
        idempotency: Idempotency { key: format!("{run}-{n}"), request_hash: vec![0; 32] },
        at,
        cause: Default::default(),
    }
}

pub fn customer(id: &str) -> Customer {
    let customer = UncheckedCustomer {
        id: id.to_owned(),
        email: "zaphod@example.org".to_owned(),
        name: Some("Zaphod".to_owned()),
        locale: None,
        time_zone: Some("Europe/Vienna".to_owned()),
    };
    Customer::parse(&customer).unwrap()
}

async fn bare_rows(house: &House) {
    let mut sql = PgConnection::connect(&house.shop.database_url).await.unwrap();
    sql.execute("CREATE TABLE bare (id integer PRIMARY KEY, n bigint NOT NULL)").await.unwrap();
    sql.execute("INSERT INTO bare SELECT id, 0 FROM generate_series(0, 999) AS id").await.unwrap();
}

/// Updates per second.
async fn pgbench(house: &House, buyers: usize, rows: usize) -> f64 {
    let script = test_dir().join("bare.sql");
    let text = format!("\\set id random(0, {})\nUPDATE bare SET n = n + 1 WHERE id = :id;\n", rows - 1);
    std::fs::write(&script, text).unwrap();
    let clients = buyers.min(CONNECTIONS as usize).to_string();
    let mut pgbench = Command::new(house.postgres.program("pgbench"));
    pgbench.args(["-n", "-M", "prepared", "-j", "1", "-T", PGBENCH_SECONDS, "-c", &clients, "-f"]);
    pgbench.arg(&script).arg(&house.shop.database_url);
    let output = tokio::task::spawn_blocking(move || pgbench.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let tps = said.lines().find_map(|line| line.strip_prefix("tps = ")).unwrap();
    tps.split(' ').next().unwrap().parse::<f64>().unwrap().round()
}
