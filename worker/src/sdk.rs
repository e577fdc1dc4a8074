//! What a generation does: it runs one of the SDK's workers. The SDK keeps a few hundred bytes of each
//! activity, so a generation is tired after many of them. Sleeping orders that the old one had in memory are
//! replayed from their histories when they wake. See docs/adr/0022.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use temporalio_client::Client;
use temporalio_sdk::{
    Runtime, WorkerOptions,
    interceptors::{ActivityInboundInterceptor, ExecuteActivityInput, ExecuteActivityOutput, Next},
};
use tokio::sync::{Notify, oneshot};

/// Runs the SDK's worker until it is told to stop. `activities` later it is tired.
pub(crate) async fn poll(
    runtime: Arc<Runtime>,
    client: Client,
    mut options: WorkerOptions,
    activities: u64,
    (stopped, recycle_due): (oneshot::Receiver<()>, Arc<Notify>),
) -> anyhow::Result<()> {
    options.activity_inbound_interceptor(Count { left: AtomicU64::new(activities), recycle_due });
    let mut worker = temporalio_sdk::Worker::new(&runtime, client, options)?;
    let shut_down = worker.shutdown_handle();
    #[expect(clippy::disallowed_methods, reason = "one for each generation, whose thread ends with it")]
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
    recycle_due: Arc<Notify>,
}

impl ActivityInboundInterceptor for Count {
    fn execute_activity<'a>(
        &'a self,
        input: ExecuteActivityInput,
        next: Next<'a, ExecuteActivityInput, ExecuteActivityOutput<'a>>,
    ) -> ExecuteActivityOutput<'a> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.recycle_due.notify_one();
        }
        next.run(input)
    }
}
