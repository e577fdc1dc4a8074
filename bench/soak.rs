//! The worker's memory over very many activities: the product's own worker, relieving itself as in
//! production, runs real activities (each asks PostgreSQL) in this process, and its memory is looked at on
//! the way. The SDK keeps some of each activity for as long as its worker lives; the curve shows whether
//! relief gives it back.

use std::sync::Arc;

use activities::mail::{Mailer, MailerConfig};
use domain::OrderId;
use engine::{Config, Engine, Options};
use futures_util::future::join_all;
use jiff::Timestamp;
use providers::Providers;
use serde_json::json;
use store::Db;
use telemetry::SdkMetrics;
use temporalio_client::{WorkflowGetResultOptions, WorkflowStartOptions};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{LocalActivityOptions, WorkerOptions, WorkflowContext, WorkflowResult};
use tokio::sync::oneshot;
use worker::Worker;
use workflows::contract::{OrderAt, OrderSteps};

use crate::{
    harness::unique,
    house::{CONNECTIONS, House},
    report::Report,
    sleeping::{memory, mib},
};

/// Of one workflow: its history stays short.
const ACTIVITIES: u64 = 1000;
const AT_ONCE: u64 = 10;
const WORKFLOWS_AT_ONCE: usize = 4;
const SAMPLES: u64 = 40;

/// Asks for activities, ten at once, until it has had a thousand.
#[workflow]
#[derive(Default)]
pub struct SoakWorkflow;

#[workflow_methods]
impl SoakWorkflow {
    #[run(name = "soak")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, order: OrderId) -> WorkflowResult<()> {
        for _ in 0..ACTIVITIES / AT_ONCE {
            let at = OrderAt { order, at: Timestamp::UNIX_EPOCH };
            let many = (0..AT_ONCE).map(|_| {
                ctx.execute_local_activity(
                    OrderSteps::close_attempts,
                    at.clone(),
                    LocalActivityOptions::default(),
                )
            });
            for result in temporalio_workflow::workflows::join_all(many).await {
                result?;
            }
        }
        Ok(())
    }
}

pub async fn run(activities: u64) -> Report {
    let mut report =
        Report::new("soak", "the worker's memory over very many activities, relieved as in production");
    let house = House::whole().await;
    let shop = &house.shop;
    shop.stock("tea", 1250, 10).await;
    let order: OrderId = shop.place(&[("tea", 1)]).await.parse().unwrap();
    let (stop, working) = start_worker(&house).await;
    let client = shop.temporal.client().await;
    let queue = format!("{}-soak", shop.task_queue);
    let workflows = activities / ACTIVITIES;
    let batch = (workflows / SAMPLES).max(1);
    let mut done = 0;
    report.row(json!({"activities": 0, "process MiB": mib(memory(std::process::id()))}));
    while done < workflows {
        for _ in 0..batch.div_ceil(WORKFLOWS_AT_ONCE as u64) {
            let many = (0..WORKFLOWS_AT_ONCE).map(|_| async {
                let options = WorkflowStartOptions::new(&queue, unique()).build();
                let soak = client.start_workflow(SoakWorkflow::run, order, options).await.unwrap();
                soak.get_result(WorkflowGetResultOptions::default()).await.unwrap();
            });
            join_all(many).await;
            done += WORKFLOWS_AT_ONCE as u64;
        }
        report.row(json!({"activities": done * ACTIVITIES, "process MiB": mib(memory(std::process::id()))}));
    }
    stop.send(()).unwrap();
    working.await.unwrap().unwrap();
    report
}

type Working = tokio::task::JoinHandle<anyhow::Result<()>>;

/// The product's worker, in this process and on a queue of its own.
async fn start_worker(house: &House) -> (oneshot::Sender<()>, Working) {
    let shop = &house.shop;
    let metrics = SdkMetrics::start().await.unwrap();
    let address = &shop.temporal.address;
    let config = Config::load(Options {
        address: Some(address),
        payload_keys: None,
        task_queue: format!("{}-soak", shop.task_queue),
        ui_url: None,
        metrics: Some(&metrics),
    });
    let engine = Arc::new(Engine::new(config.unwrap()));
    let mail = MailerConfig {
        smtp_url: "smtp://127.0.0.1:1".to_owned(),
        from: "a@example.org".to_owned(),
        ..MailerConfig::default()
    };
    let db = Db::open(&shop.database_url, CONNECTIONS).unwrap();
    let mailer = Mailer::new(&mail).unwrap();
    let worker = Worker::new(db, engine, mailer, Providers::default(), metrics).unwrap().with(
        |options: &mut WorkerOptions| {
            options.register_workflow::<SoakWorkflow>().expect("its name is its own");
        },
    );
    let (stop, stopped) = oneshot::channel();
    let working = tokio::spawn(worker.run(async {
        let _ = stopped.await;
    }));
    (stop, working)
}
