//! The rota: there is always a generation. One that is tired is relieved: the next one starts, and then it
//! drains. One that ends by itself, panics, or loses a part is followed by another, after a pause that grows
//! while that does not help.

use std::time::Duration;

use anyhow::anyhow;
use tokio::{task::JoinSet, time::Instant};

use crate::generation::{GenerationEvent, WorkerGeneration};

/// Who lasted this long did not fail at its start.
const LASTED: Duration = Duration::from_secs(60);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Keeps a generation at work until `stop` resolves and everything under way is done, or the drain's
/// deadline.
pub(crate) async fn run<S>(
    first_pause: Duration,
    start: impl Fn() -> S,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()>
where
    S: Future<Output = anyhow::Result<WorkerGeneration>>,
{
    tokio::pin!(stop);
    let mut current = None;
    let mut draining = JoinSet::new();
    let mut pause = first_pause;
    loop {
        let began = Instant::now();
        let why = tokio::select! {
            () = &mut stop => break,
            why = work(&start, &mut current, &mut draining) => why,
        };
        if began.elapsed() > LASTED {
            pause = first_pause;
        }
        let error = format!("{why:#}");
        tracing::error!(error, pause_s = pause.as_secs_f64(), "the worker is gone, another one starts");
        tokio::select! {
            () = &mut stop => break,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(MAX_PAUSE);
    }
    let last = async {
        match current {
            Some(generation) => generation.end().await,
            None => Ok(()),
        }
    };
    let (ended, _) = tokio::join!(last, draining.join_all());
    ended
}

/// One generation after the other. Ends when nobody is at work, and says why.
async fn work<S>(
    start: &impl Fn() -> S,
    current: &mut Option<WorkerGeneration>,
    draining: &mut JoinSet<()>,
) -> anyhow::Error
where
    S: Future<Output = anyhow::Result<WorkerGeneration>>,
{
    let generation = match start().await {
        Ok(first) => current.insert(first),
        Err(error) => return error.context("it could not start"),
    };
    tracing::info!("worker started");
    loop {
        match generation.next_event().await {
            GenerationEvent::Ended(ended) => {
                *current = None;
                return ended.err().unwrap_or_else(|| anyhow!("it ended by itself"));
            }
            GenerationEvent::PartLost(why) => {
                draining.extend(current.take().map(drain));
                return anyhow!("the SDK's workflow thread panicked: {why}");
            }
            GenerationEvent::RecycleDue => match start().await {
                Ok(next) => {
                    let old = std::mem::replace(generation, next);
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "one for each generation, whose drain has a deadline"
                    )]
                    draining.spawn(drain(old));
                    while draining.try_join_next().is_some() {}
                }
                Err(error) => {
                    tracing::warn!(%error, "the worker goes on, it is recycled later");
                    generation.not_yet();
                }
            },
        }
    }
}

async fn drain(generation: WorkerGeneration) {
    match generation.end().await {
        Ok(()) => tracing::info!("worker recycled"),
        Err(error) => tracing::warn!(%error, "a recycled worker did not end well"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use tokio::sync::{Notify, Semaphore, oneshot};

    use super::*;

    /// Counts the shifts that started, and holds a permit for each that works and for each that was told to
    /// stop.
    #[derive(Clone)]
    struct Book {
        started: Arc<AtomicUsize>,
        working: Arc<Semaphore>,
        stopped: Arc<Semaphore>,
    }

    /// Keeps a rota until one generation works that has no bad fate; the shifts before it have these.
    async fn kept(fates: &'static [fn()], working: u32) -> Book {
        let none = || Arc::new(Semaphore::new(0));
        let book = Book { started: Arc::default(), working: none(), stopped: none() };
        let start = || {
            let (book, number) = (book.clone(), book.started.fetch_add(1, Ordering::Relaxed));
            let work = move |stop: oneshot::Receiver<()>, _: Arc<Notify>| async move {
                if let Some(fate) = fates.get(number) {
                    fate();
                }
                book.working.add_permits(1);
                let _ = stop.await;
                book.stopped.add_permits(1);
                Ok(())
            };
            async { Ok(WorkerGeneration::start(work)?) }
        };
        let stop = async { book.working.acquire_many(working).await.unwrap().forget() };
        run(Duration::from_millis(1), start, stop).await.unwrap();
        book
    }

    fn loses_the_thread_of_its_workflows() {
        let thread = thread::Builder::new().name("workflow-processing".to_owned());
        let dies = thread.spawn(|| panic!("Trying to send a new WFT for a run which already has one!"));
        assert!(dies.unwrap().join().is_err());
    }

    // One test: whoever runs beside it would hear of its panics, too.
    #[tokio::test]
    async fn a_shift_that_comes_to_grief_is_followed_by_another() {
        let book = kept(&[|| panic!("a bug"), || panic!("{} bugs", 2)], 1).await;
        assert_eq!(book.started.load(Ordering::Relaxed), 3);
        assert_eq!(book.stopped.available_permits(), 1, "the last one was drained");
        // One that goes on as if nothing had happened is told to stop; so is the one that follows.
        let book = kept(&[loses_the_thread_of_its_workflows], 2).await;
        assert_eq!(book.started.load(Ordering::Relaxed), 2);
        assert_eq!(book.stopped.available_permits(), 2);
    }
}
