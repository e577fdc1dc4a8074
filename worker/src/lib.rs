//! Runs workflows and activities, and the two sweepers beside them; drains when told to stop.

use std::{sync::Arc, time::Duration};

use activities::{Activities, mail::Mailer};
use anyhow::Context as _;
use engine::{Engine, Sweeper};
use providers::Providers;
use store::Db;
use telemetry::SdkMetrics;
use temporalio_common::telemetry::TelemetryOptions;
use temporalio_sdk::{Runtime, WorkerOptions, runtime::RuntimeOptions};
use tokio::{sync::oneshot, task::LocalSet};
use workflows::{LatePaymentWorkflow, OrderWorkflow, ReconcileWorkflow, RefundWorkflow};

/// Sleeping orders kept in memory. One that was evicted is replayed from its history when it wakes.
const MAX_CACHED_WORKFLOWS: usize = 10_000;
/// A drain lets running activities finish for this long, and ends at the deadline in any case: what
/// is cut off is done again by another worker.
const GRACE: Duration = Duration::from_secs(8);
const DRAIN_DEADLINE: Duration = Duration::from_secs(15);
const RECONNECT_EVERY: Duration = Duration::from_secs(1);

pub struct Worker {
    db: Db,
    engine: Arc<Engine>,
    mailer: Mailer,
    metrics: SdkMetrics,
    providers: Providers,
}

impl Worker {
    pub fn new(
        db: Db,
        engine: Arc<Engine>,
        mailer: Mailer,
        providers: Providers,
        metrics: SdkMetrics,
    ) -> Self {
        Self { db, engine, mailer, metrics, providers }
    }

    /// Works until `stop` resolves and everything under way is done, or the drain's deadline.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let sweeper = tokio::spawn(Sweeper::new(self.db.clone(), self.engine.clone()).run());
        let result = self.work(stop).await;
        sweeper.abort();
        result
    }

    async fn work(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::pin!(stop);
        tokio::select! {
            () = self.connected() => {}
            () = &mut stop => return Ok(()),
        }
        if let Err(error) = self.engine.schedule_reconciliation().await {
            tracing::warn!(%error, "the providers' books are not read by themselves until a worker starts again");
        }
        let (running, mut done) = self.spawn()?;
        tracing::info!("worker started");
        tokio::select! {
            result = &mut done => return result.context("the worker's thread panicked")?,
            () = &mut stop => {}
        }
        running.send(()).ok(); // it may have ended by itself a moment ago
        match tokio::time::timeout(DRAIN_DEADLINE, done).await {
            Ok(result) => result.context("the worker's thread panicked")?,
            Err(_) => {
                tracing::warn!("the drain took too long; what is left is done by another worker");
                Ok(())
            }
        }
    }

    /// Waits for Temporal. Says so once, not at every try.
    async fn connected(&self) {
        let mut said = false;
        while let Err(error) = self.engine.client().await {
            if !said {
                tracing::warn!(%error, "waiting for Temporal");
                said = true;
            }
            tokio::time::sleep(RECONNECT_EVERY).await;
        }
    }

    /// Runs the SDK's worker on a thread of its own: its future is not `Send`. The first channel stops
    /// it, the second tells how it ended.
    fn spawn(self) -> anyhow::Result<(oneshot::Sender<()>, oneshot::Receiver<anyhow::Result<()>>)> {
        let (stop, stopped) = oneshot::channel();
        let (tell, done) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        let work = move || {
            let result = runtime.block_on(LocalSet::new().run_until(self.poll(stopped)));
            tell.send(result).ok(); // nobody listens after the drain's deadline
        };
        std::thread::Builder::new().name("temporal-worker".to_owned()).spawn(work)?;
        Ok((stop, done))
    }

    async fn poll(self, stopped: oneshot::Receiver<()>) -> anyhow::Result<()> {
        let telemetry = TelemetryOptions::builder().metrics(self.metrics.meter()).build();
        let options =
            RuntimeOptions::builder().telemetry_options(telemetry).build().map_err(anyhow::Error::msg)?;
        let runtime = Runtime::from_current_tokio(options)?;
        let client = self.engine.client().await?.clone();
        let options = WorkerOptions::new(self.engine.task_queue())
            .register_workflow::<OrderWorkflow>()?
            .register_workflow::<LatePaymentWorkflow>()?
            .register_workflow::<RefundWorkflow>()?
            .register_workflow::<ReconcileWorkflow>()?
            .register_activities(Activities::new(self.db, self.mailer, self.providers))
            .max_cached_workflows(MAX_CACHED_WORKFLOWS)
            .graceful_shutdown_period(GRACE)
            .build();
        let mut worker = temporalio_sdk::Worker::new(&runtime, client, options)?;
        let shut_down = worker.shutdown_handle();
        tokio::task::spawn_local(async move {
            // Sent, or dropped with its owner: either way it is time to stop.
            let _ = stopped.await;
            shut_down();
        });
        Ok(worker.run().await?)
    }
}
