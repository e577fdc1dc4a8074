//! The benchmarks: `cargo measure <name>`. Each starts servers of its own, on this machine, prints a table,
//! and writes the same as JSON to `bench/results/`. What each compares with what is told at the top of its
//! file.
//!
//! Every figure that matters is a ratio, and both its sides are measured in the same run: machines differ,
//! and are busy. The load generator is in this process, on the same processors as what it loads.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![expect(clippy::disallowed_methods, reason = "a benchmark is an edge: its clock is the machine's")]

#[path = "../tests/harness/mod.rs"]
#[allow(dead_code, unused_imports)] // the benchmarks stand on a part of what the tests stand on
mod harness;

mod accounts;
mod console;
mod cost;
mod deliveries;
mod door;
mod empty;
mod events;
mod flash_sale;
mod history;
mod house;
mod lifecycle;
mod load;
mod processors;
mod reads;
mod report;
mod sleeping;
mod soak;
mod webhook;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// The product's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
    /// Given by cargo.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Orders through HTTP, against one transaction per order and against a bare one-row update.
    Door {
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// 100 units, 10,000 buyers at once.
    FlashSale,
    /// Whole orders, against empty workflows.
    Lifecycle {
        #[arg(long, default_value_t = 2400)]
        orders: usize,
    },
    /// Processor time of a whole order by process, and how often its statements are planned.
    Cost {
        #[arg(long, default_value_t = 2400)]
        orders: usize,
    },
    /// From a payment's webhook to `completed`, against an empty workflow from its signal to its end.
    Webhook,
    /// Many open orders: the worker's memory, the speed among them, timers that are due together.
    Sleeping {
        #[arg(long, default_value_t = 20_000)]
        orders: usize,
        /// Of the worker; default as in production.
        #[arg(long)]
        cache: Option<usize>,
    },
    /// History events and bytes for each way an order can end.
    History,
    /// Reading orders among more and more of them, against a bare route with the same query.
    Reads {
        #[arg(long, default_value_t = 100_000)]
        orders: usize,
    },
    /// Customers with tokens: placing, signing in, among many.
    Accounts {
        #[arg(long, default_value_t = 100_000)]
        accounts: i64,
    },
    /// The console's pages against the API's answers; open timelines beside the door.
    Console {
        #[arg(long, default_value_t = 100_000)]
        orders: usize,
    },
    /// Webhooks to a hundred endpoints, and the door beside a backlog of them.
    Deliveries {
        #[arg(long, default_value_t = 200_000)]
        backlog: i64,
    },
    /// Events to Kafka: a backlog that is drained, and the door beside it.
    Events {
        #[arg(long, default_value_t = 1_000_000)]
        events: i64,
    },
    /// The worker's memory over very many activities.
    Soak {
        #[arg(long, default_value_t = 1_000_000)]
        activities: u64,
    },
}

#[tokio::main]
async fn main() {
    let report = match Arguments::parse().benchmark {
        Benchmark::Door { rounds } => door::run(rounds).await,
        Benchmark::FlashSale => flash_sale::run().await,
        Benchmark::Lifecycle { orders } => lifecycle::run(orders).await,
        Benchmark::Cost { orders } => cost::run(orders).await,
        Benchmark::Webhook => webhook::run().await,
        Benchmark::Sleeping { orders, cache } => sleeping::run(orders, cache).await,
        Benchmark::History => history::run().await,
        Benchmark::Reads { orders } => reads::run(orders).await,
        Benchmark::Accounts { accounts } => accounts::run(accounts).await,
        Benchmark::Console { orders } => console::run(orders).await,
        Benchmark::Deliveries { backlog } => deliveries::run(backlog).await,
        Benchmark::Events { events } => events::run(events).await,
        Benchmark::Soak { activities } => soak::run(activities).await,
    };
    report.publish();
}
