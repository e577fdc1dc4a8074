//! A shift: work from its start to the end of its drain, on a thread of its own. How one follows the other: `rota.rs`.

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

pub(crate) struct Shift {
    stop: oneshot::Sender<()>,
    done: oneshot::Receiver<anyhow::Result<()>>,
    tired: Arc<Notify>,
    panics: watch::Receiver<String>,
}

/// What becomes of a shift before somebody ends it.
pub(crate) enum News {
    /// It has done as much as it should.
    Tired,
    /// A part of it is gone, and the rest does not know.
    Crippled(String),
    Ended(anyhow::Result<()>),
}

impl Shift {
    /// Starts working. The work ends when it is told to stop, and says when it is tired.
    pub fn start<W>(
        work: impl FnOnce(oneshot::Receiver<()>, Arc<Notify>) -> W + Send + 'static,
    ) -> io::Result<Self>
    where
        W: Future<Output = anyhow::Result<()>>,
    {
        let (stop, stopped) = oneshot::channel();
        let (tell, done) = oneshot::channel();
        let tired = Arc::new(Notify::new());
        let tires = tired.clone();
        let panics = panics::heard();
        let tokio = tokio::runtime::Handle::current();
        // The future of the SDK's worker is not `Send`.
        let whole = move || {
            let work = || tokio.block_on(LocalSet::new().run_until(work(stopped, tires)));
            let ended = panic::catch_unwind(AssertUnwindSafe(work));
            let ended =
                ended.unwrap_or_else(|panicked| Err(anyhow::anyhow!("it panicked: {}", message(&*panicked))));
            tell.send(ended).ok(); // nobody listens after the drain's deadline
        };
        thread::Builder::new().name("temporal-worker".to_owned()).spawn(whole)?;
        Ok(Self { stop, done, tired, panics })
    }

    /// Waits for news of it. Once it has ended there is none.
    pub async fn news(&mut self) -> News {
        tokio::select! {
            ended = &mut self.done => News::Ended(ended.unwrap_or_else(|_| Err(anyhow::anyhow!("its thread is gone")))),
            Ok(()) = self.panics.changed() => News::Crippled(self.panics.borrow_and_update().clone()),
            () = self.tired.notified() => News::Tired,
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
