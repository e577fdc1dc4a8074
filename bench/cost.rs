//! The processor time of a whole order (placed through HTTP, paid by a webhook, completed, the customer told
//! by mail), by process, and how often PostgreSQL planned the statements that it ran for it. Our own time is
//! that of the API, the worker and PostgreSQL; the engine and this load generator stand beside it.

use std::{fs, time::Duration};

use crate::{
    harness::Shop,
    house::House,
    lifecycle::{sleeping_orders, whole_orders},
    report::{Report, median},
};
use serde_json::{Value, json};

const ROUNDS: usize = 4;
const WARM_UP: usize = 200;

pub async fn run(orders: usize) -> Report {
    let mut report = Report::new("cost", "processor time of a whole order, by process, in milliseconds");
    let house = House::counting_statements().await;
    house.shop.stock("tea", 1250, 1_000_000).await;
    whole_orders(&house.shop, WARM_UP).await;
    let count = orders / ROUNDS / 2;
    let (mut at_once, mut asleep) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = Spent::now(&house);
        whole_orders(&house.shop, count).await;
        let spent = Spent::now(&house).since(&before);
        report.row(spent.row("at once", count));
        at_once.push(spent.ours(count));

        let before = Spent::now(&house);
        sleeping_orders(&house.shop, count).await;
        let spent = Spent::now(&house).since(&before);
        report.row(spent.row("asleep", count));
        asleep.push(spent.ours(count));
    }
    for row in planned(&house).await {
        report.row(row);
    }
    report.row(json!({"paid at once, ours ms": median(&at_once), "paid asleep, ours ms": median(&asleep)}));
    house.shop.audit();
    report
}

/// Processor time that the processes have used so far.
struct Spent {
    api: Duration,
    worker: Duration,
    postgres: Duration,
    engine: Duration,
    generator: Duration,
}

impl Spent {
    fn now(house: &House) -> Self {
        let Shop { api_process, worker, .. } = &house.shop;
        let postmaster = house.postgres.pid().unwrap();
        let sessions: Duration = children(postmaster).into_iter().map(|pid| processor_time(pid).own).sum();
        let ProcessorTime { own, ended } = processor_time(postmaster);
        Self {
            api: processor_time(api_process.child.id()).own,
            worker: processor_time(worker.as_ref().unwrap().child.id()).own,
            postgres: own + ended + sessions,
            engine: processor_time(house.engine_pid().unwrap()).own,
            generator: processor_time(std::process::id()).own,
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            api: self.api - before.api,
            worker: self.worker - before.worker,
            postgres: self.postgres - before.postgres,
            engine: self.engine - before.engine,
            generator: self.generator - before.generator,
        }
    }

    fn ours(&self, orders: usize) -> f64 {
        each(self.api + self.worker + self.postgres, orders)
    }

    fn row(&self, paid: &str, orders: usize) -> Value {
        json!({
            "paid": paid,
            "API ms": each(self.api, orders),
            "worker ms": each(self.worker, orders),
            "PostgreSQL ms": each(self.postgres, orders),
            "ours ms": self.ours(orders),
            "engine ms": each(self.engine, orders),
            "generator ms": each(self.generator, orders),
        })
    }
}

fn each(time: Duration, orders: usize) -> f64 {
    (time.as_secs_f64() * 100_000.0 / orders as f64).round() / 100.0
}

struct ProcessorTime {
    own: Duration,
    /// Of its children that have ended.
    ended: Duration,
}

/// As Linux counts it, in hundredths of a second.
fn processor_time(pid: u32) -> ProcessorTime {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name of the program may have spaces; what follows it does not.
    let fields: Vec<u64> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').skip(11).take(4).filter_map(|field| field.parse().ok()).collect())
        .unwrap_or_default();
    let ticks = |from: usize| Duration::from_millis(10 * fields.iter().skip(from).take(2).sum::<u64>());
    ProcessorTime { own: ticks(0), ended: ticks(2) }
}

fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// How often statements were run and planned since the start, if this PostgreSQL counts that: in all, and of
/// those that took longest.
async fn planned(house: &House) -> Vec<Value> {
    let mut sql = house.shop.sql().await;
    let all = "SELECT sum(calls)::bigint, sum(plans)::bigint, sum(total_exec_time), sum(total_plan_time)
               FROM pg_stat_statements
               WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let Ok((calls, plans, run_ms, plan_ms)) =
        sqlx::query_as::<_, (i64, i64, f64, f64)>(all).fetch_one(&mut sql).await
    else {
        return Vec::new();
    };
    let mut rows = vec![
        json!({"statement": "all", "calls": calls, "plans": plans, "run ms": run_ms, "plan ms": plan_ms}),
    ];
    let each = "SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 60), calls, plans, total_exec_time,
                       total_plan_time
                FROM pg_stat_statements
                WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                ORDER BY total_exec_time + total_plan_time DESC LIMIT 40";
    for (statement, calls, plans, run_ms, plan_ms) in
        sqlx::query_as::<_, (String, i64, i64, f64, f64)>(each).fetch_all(&mut sql).await.unwrap()
    {
        rows.push(json!({"statement": statement, "calls": calls, "plans": plans,
                         "run ms": run_ms, "plan ms": plan_ms}));
    }
    rows
}
