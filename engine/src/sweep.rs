//! The sweepers: each picks up what waits in one table for the engine. That is what a crash or an outage left
//! behind, and what has no other road. Rows are leased, never locked, while the engine is asked; several
//! sweepers may run side by side, and none holds up another table's (docs/adr/0026).

mod backlogs;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use domain::{SignedDuration, Timestamp};
use futures_util::{FutureExt as _, future::join_all};
use store::{Db, GRACE, Lease, accounts, events};

use crate::Engine;
use backlogs::{AccountCodes, Changes, Events, Orders, Refunds};

const EVERY: Duration = Duration::from_secs(2);
/// About as long as handing over takes when the engine hangs. To hand over twice does no harm.
const LEASE: SignedDuration = SignedDuration::from_secs(15);
/// What the engine did not take is handed over again after so long.
const RETRY: SignedDuration = SignedDuration::from_secs(1);
/// How often it is seen to that the reconciliation is scheduled.
const SCHEDULED_EVERY: Duration = Duration::from_secs(60);
/// How often is forgotten what accounts leave behind, and events that are old.
const FORGOTTEN_EVERY: Duration = Duration::from_secs(600);
/// How much is taken, and handed over side by side.
const BATCH: usize = 100;

/// What waits in one table until the engine has it.
trait Backlog: Send + Sync {
    type Item: Send + Sync;
    type Id: Send + Sync;

    /// What it is called in the log and the metrics.
    fn name(&self) -> &'static str;

    /// Takes what is due, for the time of the lease.
    fn claim(&self, lease: &Lease) -> impl Future<Output = store::Result<Vec<Self::Item>>> + Send;

    fn id(&self, item: &Self::Item) -> Self::Id;

    /// Gives one to the engine. Nothing of the database may be held meanwhile.
    fn hand_over(&self, item: &Self::Item) -> impl Future<Output = store::Result<()>> + Send;

    /// Notes that the engine has these.
    fn mark(&self, ids: &[Self::Id], at: Timestamp) -> impl Future<Output = store::Result<()>> + Send;

    /// Gives back those that it did not take.
    fn put_off(&self, ids: &[Self::Id], until: Timestamp) -> impl Future<Output = store::Result<()>> + Send;
}

pub struct Sweeper {
    db: Db,
    engine: Arc<Engine>,
    events_kept: SignedDuration,
}

impl Sweeper {
    /// Public events that were carried away are forgotten after `events_kept`.
    pub fn new(db: Db, engine: Arc<Engine>, events_kept: SignedDuration) -> Self {
        Self { db, engine, events_kept }
    }

    /// Sweeps until the program ends.
    pub async fn run(self) {
        let Self { db, engine, events_kept } = &self;
        tokio::join!(
            sweep(engine, Orders { db, engine }),
            sweep(engine, Events { db, engine }),
            sweep(engine, Refunds { db, engine }),
            sweep(engine, Changes { db, engine }),
            sweep(engine, AccountCodes { db, engine }),
            keep_reconciling(engine),
            keep_forgetting(db, *events_kept),
        );
    }
}

/// A fault is logged when it appears and when it is gone, not at every round in between.
async fn sweep(engine: &Engine, backlog: impl Backlog) {
    let of = backlog.name();
    let mut fault: Option<String> = None;
    loop {
        let swept = caught(round(&backlog)).await;
        let now = swept.as_ref().err().map(ToString::to_string);
        match &now {
            Some(error) if now != fault => tracing::warn!(of, error, "sweeping fails, trying on"),
            None if fault.is_some() => tracing::info!(of, "sweeping works again"),
            _ => {}
        }
        fault = now;
        if !matches!(swept, Ok(BATCH)) {
            tokio::time::sleep(EVERY).await;
        }
        if fault.is_some() {
            // Perhaps the server is another one than before, and does not know us yet. If this
            // fails, too, the next round says why.
            let _ = engine.introduce().await;
        }
    }
}

/// Gives how much was due, to go on at once while there is more.
#[expect(clippy::disallowed_methods, reason = "a round is the edge: nobody has called it with a time")]
async fn round<B: Backlog>(backlog: &B) -> store::Result<usize> {
    let now = Timestamp::now();
    let lease = Lease {
        now,
        older_than: now.saturating_sub(GRACE).unwrap_or(now),
        until: now.saturating_add(LEASE).unwrap_or(now),
        limit: BATCH as i64,
    };
    let items = backlog.claim(&lease).await?;
    if items.is_empty() {
        return Ok(0);
    }
    // One that panics is one that failed: the others are not to wait for the end of their lease.
    let handed_over = join_all(items.iter().map(|item| caught(backlog.hand_over(item)))).await;
    let (mut done, mut left, mut fault) = (Vec::new(), Vec::new(), None);
    for (item, result) in items.iter().zip(handed_over) {
        match result {
            Ok(()) => done.push(backlog.id(item)),
            Err(error) => {
                left.push(backlog.id(item));
                fault = Some(error);
            }
        }
    }
    let now = Timestamp::now();
    if !done.is_empty() {
        backlog.mark(&done, now).await?;
        telemetry::metrics().swept.with_label_values(&[backlog.name()]).inc_by(done.len() as u64);
    }
    if !left.is_empty() {
        backlog.put_off(&left, now.saturating_add(RETRY).unwrap_or(now)).await?;
    }
    fault.map_or(Ok(items.len()), Err)
}

/// A bug in one round, or in one row's, is a fault like another: the others go on.
pub(crate) async fn caught<T>(work: impl Future<Output = store::Result<T>>) -> store::Result<T> {
    let panicked = |_| Err(store::Fault::Engine("it panicked; why stands above in the log".to_owned()));
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(panicked)
}

/// Forgets what accounts leave behind, for as long as the program runs.
#[expect(clippy::disallowed_methods, reason = "a round is the edge: nobody has called it with a time")]
async fn keep_forgetting(db: &Db, events_kept: SignedDuration) {
    loop {
        let now = Timestamp::now();
        if let Err(error) = accounts::forget(db, now).await {
            tracing::warn!(%error, "what accounts left behind is forgotten later");
        }
        let cutoff = now.saturating_sub(events_kept).unwrap_or(now);
        if let Err(error) = events::prune(db, cutoff).await {
            tracing::warn!(%error, "old events are forgotten later");
        }
        tokio::time::sleep(FORGOTTEN_EVERY).await;
    }
}

/// Sees to it that the schedule of the reconciliation is there, for as long as the program runs: it could not
/// be made yet, or somebody deleted it.
async fn keep_reconciling(engine: &Engine) {
    let mut said = None;
    loop {
        let fault = engine.schedule_reconciliation().await.err().map(|error| error.to_string());
        match &fault {
            Some(error) if fault != said => {
                tracing::warn!(error, "the providers' statements are not read by themselves yet")
            }
            None if said.is_some() => tracing::info!("the providers' statements are read by themselves"),
            _ => {}
        }
        tokio::time::sleep(if fault.is_some() { EVERY } else { SCHEDULED_EVERY }).await;
        said = fault;
    }
}
