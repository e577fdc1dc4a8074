//! Runs workflows and activities, and the sweepers beside them; drains when told to stop.

mod generation;
mod panics;
mod sdk;
mod supervisor;
mod webhooks;

use std::{
    io,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use activities::{Activities, mail::Mailer};
use domain::{SignedDuration, customer::Customer};
use engine::{Engine, Sweeper};
use events::webhooks::{Sender, Webhooks};
use identity::CodeKeys;
use providers::Providers;
use store::Db;
use telemetry::SdkMetrics;
use temporalio_common::telemetry::TelemetryOptions;
use temporalio_sdk::{Runtime, WorkerOptions, runtime::RuntimeOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use workflows::{AccountCodeWorkflow, LatePaymentWorkflow, OrderWorkflow, ReconcileWorkflow, RefundWorkflow};

use generation::WorkerGeneration;
use webhooks::keep_telling_owners;

/// A drain lets running activities finish for this long, and ends at the deadline in any case: what
/// is cut off is done again by another worker.
const GRACE: Duration = Duration::from_secs(8);
const DRAIN_DEADLINE: Duration = Duration::from_secs(15);
const RECONNECT_EVERY: Duration = Duration::from_secs(1);

/// Unless the shop says otherwise.
const EVENTS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What bounds what the worker keeps, in memory and in the database.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sleeping orders kept in memory. One that was evicted is replayed from its history when it wakes.
    pub cached_workflows: usize,
    /// After so many the SDK's worker is replaced by a new one, because of what it keeps of each.
    pub max_activities: u64,
    /// Public events are kept for so long, and until they were carried away.
    pub events_kept: SignedDuration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cached_workflows: 10_000, max_activities: 100_000, events_kept: EVENTS_KEPT }
    }
}

pub struct Worker {
    db: Db,
    engine: Arc<Engine>,
    activities: Activities,
    metrics: SdkMetrics,
    limits: Limits,
    webhooks: Option<(Arc<Sender>, Option<Customer>)>,
    also: fn(&mut WorkerOptions),
}

impl Worker {
    /// # Errors
    /// If the system has no thread for it.
    pub fn new(
        db: Db,
        engine: Arc<Engine>,
        mailer: Mailer,
        providers: Providers,
        metrics: SdkMetrics,
    ) -> io::Result<Self> {
        let activities = Activities::new(db.clone(), mailer, providers)?;
        let limits = Limits::default();
        Ok(Self { db, engine, activities, metrics, limits, webhooks: None, also: |_| {} })
    }

    /// Mails codes to those who register.
    pub fn with_accounts(self, keys: CodeKeys) -> Self {
        Self { activities: self.activities.with_accounts(keys), ..self }
    }

    /// Sends webhooks, and tells their owner by mail what became of endpoints.
    pub fn with_webhooks(self, sender: Arc<Sender>, owner: Option<Customer>) -> Self {
        Self { webhooks: Some((sender, owner)), ..self }
    }

    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Registers more than an order needs.
    pub fn with(self, also: fn(&mut WorkerOptions)) -> Self {
        Self { also, ..self }
    }

    /// Works until `stop` resolves and everything under way is done, or the drain's deadline.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        #[expect(clippy::disallowed_methods, reason = "one for each worker, aborted at its end")]
        let sweeper =
            tokio::spawn(Sweeper::new(self.db.clone(), self.engine.clone(), self.limits.events_kept).run());
        let stop_webhooks = CancellationToken::new();
        let mut webhooks = self.start_webhooks(&stop_webhooks);
        let (activities, stopped_at) = (self.activities.clone(), OnceLock::new());
        let result = self
            .work(async {
                stop.await;
                stopped_at.get_or_init(Instant::now);
                stop_webhooks.cancel();
            })
            .await;
        sweeper.abort();
        stop_webhooks.cancel();
        let since = stopped_at.get().map_or(Duration::ZERO, Instant::elapsed);
        let left = DRAIN_DEADLINE.saturating_sub(since);
        let webhooks = async {
            let _ = tokio::time::timeout(left, async { while webhooks.join_next().await.is_some() {} }).await;
        };
        tokio::join!(activities.drain(left), webhooks);
        result
    }

    fn start_webhooks(&self, stop: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let Some((sender, owner)) = &self.webhooks else { return tasks };
        let sending = Webhooks::new(self.db.clone(), sender.clone()).run(stop.clone());
        #[expect(clippy::disallowed_methods, reason = "one for each worker, which ends with it")]
        tasks.spawn(sending);
        if let Some(owner) = owner.clone() {
            let telling = keep_telling_owners(self.db.clone(), self.activities.mailer().clone(), owner);
            let stop = stop.clone();
            #[expect(clippy::disallowed_methods, reason = "one for each worker, which ends with it")]
            tasks.spawn(async move { stop.run_until_cancelled(telling).await.unwrap_or_default() });
        }
        tasks
    }

    async fn work(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::pin!(stop);
        tokio::select! {
            () = self.connected() => {}
            () = &mut stop => return Ok(()),
        }
        let telemetry = TelemetryOptions::builder().metrics(self.metrics.meter()).build();
        let options =
            RuntimeOptions::builder().telemetry_options(telemetry).build().map_err(anyhow::Error::msg)?;
        let runtime = Arc::new(Runtime::from_current_tokio(options)?);
        let (worker, runtime) = (&self, &runtime);
        supervisor::run(RECONNECT_EVERY, move || worker.start_generation(runtime), stop).await
    }

    /// Waits for Temporal. Says why, not at every try.
    async fn connected(&self) {
        let mut said = String::new();
        while let Err(error) = self.engine.client().await {
            let error = error.to_string();
            if error != said {
                tracing::warn!(error, "waiting for Temporal");
                said = error;
            }
            tokio::time::sleep(RECONNECT_EVERY).await;
        }
    }

    /// On a connection of its own: the SDK has no two workers for the same queue on one.
    async fn start_generation(&self, runtime: &Arc<Runtime>) -> anyhow::Result<WorkerGeneration> {
        let client = Box::pin(self.engine.connect()).await?; // large, and seldom
        let mut options = WorkerOptions::new(self.engine.task_queue())
            .register_workflow::<OrderWorkflow>()?
            .register_workflow::<LatePaymentWorkflow>()?
            .register_workflow::<RefundWorkflow>()?
            .register_workflow::<ReconcileWorkflow>()?
            .register_workflow::<AccountCodeWorkflow>()?
            .register_activities(self.activities.clone())
            .max_cached_workflows(self.limits.cached_workflows)
            .graceful_shutdown_period(GRACE)
            .build();
        (self.also)(&mut options);
        let (runtime, activities) = (runtime.clone(), self.limits.max_activities);
        let work = move |stopped, recycle_due| {
            sdk::poll(runtime, client, options, activities, (stopped, recycle_due))
        };
        Ok(WorkerGeneration::start(work)?)
    }
}
