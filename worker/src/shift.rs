//! A shift: one of the SDK's workers, from its start to the end of its drain, on a thread of its own.
//!
//! The SDK keeps a few hundred bytes of each activity, so its worker is relieved after many of them: the next one
//! starts, on a connection of its own, and then the old one drains. Sleeping orders that the old one had in memory are
//! replayed from their histories when they wake. See docs/adr/0022.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Context as _;
use temporalio_client::Client;
use temporalio_sdk::{
    Runtime, WorkerOptions,
    interceptors::{ActivityInboundInterceptor, ExecuteActivityInput, ExecuteActivityOutput, Next},
};
use tokio::{
    sync::{
        Notify,
        oneshot::{self, error::RecvError},
    },
    task::LocalSet,
};

use crate::{DRAIN_DEADLINE, RECONNECT_EVERY};

pub(crate) struct Shift {
    stop: oneshot::Sender<()>,
    done: oneshot::Receiver<anyhow::Result<()>>,
    tired: Arc<Notify>,
}

impl Shift {
    /// Starts working. `activities` later it is tired, see [`Self::ended_or_tired`].
    pub fn start(
        runtime: Arc<Runtime>,
        client: Client,
        mut options: WorkerOptions,
        activities: u64,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (tell, done) = oneshot::channel();
        let tired = Arc::new(Notify::new());
        options
            .activity_inbound_interceptor(Count { left: AtomicU64::new(activities), tired: tired.clone() });
        let tokio = tokio::runtime::Handle::current();
        // The future of the SDK's worker is not `Send`.
        let work = move || {
            let poll = poll(&runtime, client, options, stopped);
            tell.send(tokio.block_on(LocalSet::new().run_until(poll))).ok(); // nobody listens after the drain's deadline
        };
        std::thread::Builder::new().name("temporal-worker".to_owned()).spawn(work)?;
        Ok(Self { stop, done, tired })
    }

    /// How it ended, by itself; or none when it has done as many activities as it should.
    pub async fn ended_or_tired(&mut self) -> Option<anyhow::Result<()>> {
        tokio::select! {
            result = &mut self.done => Some(ended(result)),
            () = self.tired.notified() => None,
        }
    }

    /// It could not be relieved: it is tired again in a while.
    pub fn not_yet(&self) {
        let tired = self.tired.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RECONNECT_EVERY).await;
            tired.notify_one();
        });
    }

    /// Takes no more work, and waits until what is under way is done, or the drain's deadline.
    pub async fn end(self) -> anyhow::Result<()> {
        self.stop.send(()).ok(); // it may have ended by itself a moment ago
        if let Ok(result) = tokio::time::timeout(DRAIN_DEADLINE, self.done).await {
            return ended(result);
        }
        tracing::warn!("the drain took too long; what is left is done by another worker");
        Ok(())
    }
}

fn ended(told: Result<anyhow::Result<()>, RecvError>) -> anyhow::Result<()> {
    told.context("the worker's thread panicked")?
}

async fn poll(
    runtime: &Runtime,
    client: Client,
    options: WorkerOptions,
    stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let mut worker = temporalio_sdk::Worker::new(runtime, client, options)?;
    let shut_down = worker.shutdown_handle();
    tokio::task::spawn_local(async move {
        // Sent, or dropped with its owner: either way it is time to stop.
        let _ = stopped.await;
        shut_down();
    });
    Ok(worker.run().await?)
}

/// Counts activities down, local ones too.
struct Count {
    left: AtomicU64,
    tired: Arc<Notify>,
}

impl ActivityInboundInterceptor for Count {
    fn execute_activity<'a>(
        &'a self,
        input: ExecuteActivityInput,
        next: Next<'a, ExecuteActivityInput, ExecuteActivityOutput<'a>>,
    ) -> ExecuteActivityOutput<'a> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.tired.notify_one();
        }
        next.run(input)
    }
}
