//! Work that goes on behind an answer: so much at once, and finished before the program ends. It is never the
//! only way for something to happen; what finds no place is left to the other.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tracing::Instrument as _;

const MAX_UNDER_WAY: u32 = 64;

#[derive(Clone)]
pub struct Behind(Arc<Semaphore>);

impl Behind {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_UNDER_WAY as usize)))
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Ok(place) = self.0.clone().try_acquire_owned() {
            let task = async move {
                task.await;
                drop(place);
            };
            #[expect(clippy::disallowed_methods, reason = "bounded by `MAX_UNDER_WAY`")]
            tokio::spawn(task.in_current_span());
        }
    }

    /// Waits until nothing is under way, but not longer than this. For shutdown.
    pub async fn drain(&self, patience: Duration) {
        // Closed nowhere, so it has every place at the end, unless that takes too long.
        let _ = tokio::time::timeout(patience, self.0.acquire_many(MAX_UNDER_WAY)).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn so_much_at_once_and_the_end_waits_for_it() {
        let behind = Behind::new();
        let (done, told) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        for _ in 0..MAX_UNDER_WAY + 10 {
            let (done, told) = (done.clone(), told.clone());
            behind.spawn(async move {
                told.acquire().await.unwrap().forget();
                done.add_permits(1);
            });
        }
        told.add_permits(100);
        behind.drain(LONG).await;
        assert_eq!(done.available_permits(), MAX_UNDER_WAY as usize);
    }

    #[tokio::test]
    async fn the_end_does_not_wait_for_ever_and_a_panic_frees_its_place() {
        let behind = Behind::new();
        behind.spawn(async { panic!("a bug") });
        behind.drain(LONG).await;
        assert_eq!(behind.0.available_permits(), MAX_UNDER_WAY as usize);
        let (_never, told) = oneshot::channel::<()>();
        behind.spawn(async move {
            let _ = told.await;
        });
        behind.drain(Duration::from_millis(1)).await;
        assert_eq!(behind.0.available_permits(), MAX_UNDER_WAY as usize - 1);
    }
}
