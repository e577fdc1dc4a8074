//! Many open orders at once:
//! - the worker's memory as their number grows: of orders that have not been woken yet, and then of as many
//!   that have had a reminder, beyond what its cache holds;
//! - the time to place and to pay one order among them, against the same on the empty system before;
//! - 2,000 orders that expire in the same second: how late each does, by the engine's clock.

use std::{
    fs,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use temporalio_client::{NamespacedClient as _, tonic::Request};
use temporalio_common::protos::temporal::api::{
    enums::v1::TaskQueueType, taskqueue::v1::TaskQueue, workflowservice::v1::DescribeTaskQueueRequest,
};

use crate::{
    harness::{Shop, unique},
    house::House,
    lifecycle::place,
    load::{Connection, post, storm},
    report::{Report, ms, percentile, ratio},
    webhook::paid,
};

const STEPS: usize = 5;
const SAMPLES: usize = 50;
const DUE_TOGETHER: usize = 2000;
/// Room for placing them and starting their workflows.
const DUE_IN: Duration = Duration::from_secs(120);

pub async fn run(orders: usize, cache: Option<usize>) -> Report {
    let mut report = Report::new(
        "sleeping",
        "the worker's memory and the latencies among open orders, against an empty system; \
         timers due together",
    );
    let cache = cache.map(|cache| ("HOLDFAST_MAX_CACHED_WORKFLOWS", cache.to_string()));
    let house = House::whole_with(cache.into_iter().collect()).await;
    let shop = &house.shop;
    let worker = shop.worker.as_ref().unwrap();
    shop.stock("tea", 1250, 10_000_000).await;
    let before = latencies(shop).await;
    let empty = memory(worker.child.id());
    report.row(json!({"open orders": 0, "worker MiB": mib(empty)}));
    let mut open = 0;
    for (reminders, told) in [(json!([]), "not woken yet"), (json!(["PT1S"]), "reminded")] {
        let before = memory(worker.child.id());
        for step in 1..=STEPS {
            let started = Instant::now();
            place_many(shop, orders / STEPS, &reminders).await;
            open += orders / STEPS;
            let (these, now) = (step * (orders / STEPS), memory(worker.child.id()));
            report.row(json!({
                "open orders": open,
                "of them": format!("{these} {told}"),
                "worker MiB": mib(now),
                "bytes for each of these": (now.saturating_sub(before) / these as u64),
                "took s": started.elapsed().as_secs(),
            }));
        }
    }
    let among = latencies(shop).await;
    for (what, before, among) in [("place", &before.0, &among.0), ("paid to completed", &before.1, &among.1)]
    {
        let at = |values: &[Duration], share| ms(percentile(values, share));
        report.row(json!({
            "latency": what,
            "p50 ms, none open": at(before, 0.5),
            "p50 ms among them": at(among, 0.5),
            "ratio of p50": ratio(at(among, 0.5), at(before, 0.5)),
            "p99 ms, none open": at(before, 0.99),
            "p99 ms among them": at(among, 0.99),
        }));
    }
    let late = due_together(shop).await;
    report.row(json!({
        "due in the same second": late.len(),
        "late p50 ms": ms(percentile(&late, 0.5)),
        "late p99 ms": ms(percentile(&late, 0.99)),
        "latest ms": ms(percentile(&late, 1.0)),
        "expiries/s": ratio(late.len() as f64, percentile(&late, 1.0).as_secs_f64()),
    }));
    shop.audit();
    report
}

/// To place an order, and from its payment to `completed`.
async fn latencies(shop: &Shop) -> (Vec<Duration>, Vec<Duration>) {
    let (mut placed, mut completed) = (Vec::new(), Vec::new());
    let mut connection = Connection::open(shop.api.address()).await;
    for _ in 0..SAMPLES {
        let asked = Instant::now();
        place(shop, &mut connection, "tea").await;
        placed.push(asked.elapsed());
        completed.push(paid(shop).await.0);
    }
    (placed, completed)
}

/// Places orders, and waits until the workflow of each sleeps, after its reminder if it has one.
async fn place_many(shop: &Shop, count: usize, reminders: &Value) {
    let mut body = shop.order_body(&[("tea", 1)]);
    body["policy"] = json!({"payment_window": "PT24H", "reminders": reminders});
    body["metadata"] = json!({"reminders": reminders});
    let (host, run, body) = (shop.api.address().to_owned(), unique(), body.to_string());
    let request = move |n| post(&host, "/v1/orders", &format!("{run}-{n}"), &body);
    storm(shop.api.address(), 20, count, request).await.all(201);
    asleep(shop).await;
    let mut sql = shop.sql().await;
    let unreminded = "SELECT count(*) FROM orders o
        WHERE metadata -> 'reminders' ->> 0 = 'PT1S' AND NOT EXISTS (
            SELECT 1 FROM mails m
            WHERE m.order_id = o.id AND m.kind = 'reminder_1' AND m.sent_at IS NOT NULL)";
    while sqlx::query_scalar::<_, i64>(unreminded).fetch_one(&mut sql).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until every workflow has been handed to the engine, and no task waits for a worker.
async fn asleep(shop: &Shop) {
    let mut sql = shop.sql().await;
    let client = shop.temporal.client().await;
    loop {
        let unstarted = sqlx::query_scalar("SELECT count(*) FROM orders WHERE workflow_started_at IS NULL");
        let unstarted: i64 = unstarted.fetch_one(&mut sql).await.unwrap();
        let request = DescribeTaskQueueRequest {
            namespace: client.namespace(),
            task_queue: Some(TaskQueue { name: shop.task_queue.clone(), ..TaskQueue::default() }),
            task_queue_type: TaskQueueType::Workflow.into(),
            report_stats: true,
            ..DescribeTaskQueueRequest::default()
        };
        let mut service = client.connection().workflow_service();
        let answer = service.describe_task_queue(Request::new(request)).await.unwrap().into_inner();
        if unstarted == 0 && answer.stats.is_some_and(|stats| stats.approximate_backlog_count == 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How late each order expired.
async fn due_together(shop: &Shop) -> Vec<Duration> {
    let due = Timestamp::now() + DUE_IN;
    let mut body = shop.order_body(&[("tea", 1)]);
    let (host, run) = (shop.api.address().to_owned(), unique());
    body["metadata"] = json!({"due": run});
    let key = run.clone();
    let request = move |n| {
        // From its own placement, in whole seconds: all fall into the same one.
        let window = due.duration_since(Timestamp::now()).as_secs().max(1);
        let mut body = body.clone();
        body["policy"] = json!({"payment_window": format!("PT{window}S"), "reminders": []});
        post(&host, "/v1/orders", &format!("{key}-{n}"), &body.to_string())
    };
    storm(shop.api.address(), 20, DUE_TOGETHER, request).await.all(201);
    asleep(shop).await;
    let mut sql = shop.sql().await;
    assert!(Timestamp::now() < due, "they were due before all had started");
    loop {
        let late: Vec<f64> = sqlx::query_scalar(
            "SELECT extract(epoch FROM closed_at - payment_due_at)::float8 FROM orders
             WHERE metadata ->> 'due' = $1 AND status = 'expired'",
        )
        .bind(&run)
        .fetch_all(&mut sql)
        .await
        .unwrap();
        if late.len() == DUE_TOGETHER {
            return late.into_iter().map(|late| Duration::from_secs_f64(late.max(0.0))).collect();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Resident, in bytes.
pub fn memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

pub fn mib(bytes: u64) -> f64 {
    (bytes as f64 / 104_857.6).round() / 10.0
}
