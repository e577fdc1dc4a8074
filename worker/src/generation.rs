//! A generation of the worker: from its start to the end of its drain, on a thread of its own. How one
//! follows the other: `supervisor.rs`.

use std::{
    any::Any,
    io,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
};

use tokio::{
    sync::{Notify, oneshot, watch},
    task::LocalSet,
};

use crate::{DRAIN_DEADLINE, RECONNECT_EVERY, panics};

pub(crate) struct WorkerGeneration {
    stop: oneshot::Sender<()>,
    done: oneshot::Receiver<anyhow::Result<()>>,
    recycle_due: Arc<Notify>,
    panics: watch::Receiver<String>,
}

/// What becomes of a generation before somebody ends it.
pub(crate) enum GenerationEvent {
    /// It has done as much as it should.
    RecycleDue,
    /// A part of it is gone, and the rest does not know.
    PartLost(String),
    Ended(anyhow::Result<()>),
}

impl WorkerGeneration {
    /// Starts working. The work ends when it is told to stop, and says when it should be recycled.
    pub fn start<W>(
        work: impl FnOnce(oneshot::Receiver<()>, Arc<Notify>) -> W + Send + 'static,
    ) -> io::Result<Self>
    where
        W: Future<Output = anyhow::Result<()>>,
    {
        let (stop, stopped) = oneshot::channel();
        let (tell, done) = oneshot::channel();
        let recycle_due = Arc::new(Notify::new());
        let due = recycle_due.clone();
        let panics = panics::heard();
        let tokio = tokio::runtime::Handle::current();
        // The future of the SDK's worker is not `Send`.
        let whole = move || {
            let work = || tokio.block_on(LocalSet::new().run_until(work(stopped, due)));
            let ended = panic::catch_unwind(AssertUnwindSafe(work));
            let ended =
                ended.unwrap_or_else(|panicked| Err(anyhow::anyhow!("it panicked: {}", message(&*panicked))));
            tell.send(ended).ok(); // nobody listens after the drain's deadline
        };
        thread::Builder::new().name("temporal-worker".to_owned()).spawn(whole)?;
        Ok(Self { stop, done, recycle_due, panics })
    }

    /// Waits for the next event. There is none once it has ended.
    pub async fn next_event(&mut self) -> GenerationEvent {
        tokio::select! {
            ended = &mut self.done => {
                GenerationEvent::Ended(ended.unwrap_or_else(|_| Err(anyhow::anyhow!("its thread is gone"))))
            }
            Ok(()) = self.panics.changed() => {
                GenerationEvent::PartLost(self.panics.borrow_and_update().clone())
            }
            () = self.recycle_due.notified() => GenerationEvent::RecycleDue,
        }
    }

    /// It could not be recycled: that is due again in a while.
    pub fn not_yet(&self) {
        let recycle_due = self.recycle_due.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "one at a time: the next follows the event of this one"
        )]
        tokio::spawn(async move {
            tokio::time::sleep(RECONNECT_EVERY).await;
            recycle_due.notify_one();
        });
    }

    /// Takes no more work, and waits until what is under way is done, or the drain's deadline.
    pub async fn end(self) -> anyhow::Result<()> {
        self.stop.send(()).ok(); // it may have ended by itself a moment ago
        match tokio::time::timeout(DRAIN_DEADLINE, self.done).await {
            Ok(ended) => ended.unwrap_or(Ok(())), // it ended before, and said so then
            Err(_) => {
                tracing::warn!("the drain took too long; what is left is done by another worker");
                Ok(())
            }
        }
    }
}

/// What a panic said.
fn message(panicked: &(dyn Any + Send)) -> &str {
    let text = panicked.downcast_ref::<&str>().copied();
    text.or_else(|| panicked.downcast_ref::<String>().map(String::as_str)).unwrap_or("it did not say why")
}
