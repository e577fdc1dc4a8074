//! The gauges of `/metrics`: what waits, and who answers. Anybody may ask, so they are read anew every few
//! seconds, whoever asks how often, and whether they wait for the answer or not.

use std::{sync::Arc, time::Duration};

use engine::Engine;
use futures_util::future::BoxFuture;
use store::{
    Db,
    figures::{Backlog, backlog, connections},
    webhook_endpoints::deliveries,
};
use tokio::{sync::Mutex, time::Instant};

use crate::clock::now;

const FRESH: Duration = Duration::from_secs(5);
const MAIL_TIMEOUT: Duration = Duration::from_secs(3);
/// Who asks waits no longer than this for new figures, and is told the last ones.
const PATIENCE: Duration = Duration::from_secs(8);

/// Whether the mail server answers.
pub type MailProbe = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// When the gauges were read last. Cheap to clone.
#[derive(Clone, Default)]
pub struct Figures(Arc<Mutex<Option<Instant>>>);

impl Figures {
    /// Reads the gauges, unless that was done a moment ago.
    pub async fn refresh(&self, db: Db, engine: Arc<Engine>, mail: Option<MailProbe>) {
        let refreshed = self.at_most_so_often(move || read(db, engine, mail));
        let _ = tokio::time::timeout(PATIENCE, refreshed).await;
    }

    /// One reading at a time. Once begun it goes to its end, also if nobody waits for it any more.
    async fn at_most_so_often<F>(&self, read: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut read_at = self.0.clone().lock_owned().await;
        if read_at.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        let reading = read();
        #[expect(clippy::disallowed_methods, reason = "bounded by the lock: one reading at a time")]
        let task = tokio::spawn(async move {
            reading.await;
            *read_at = Some(Instant::now());
        });
        let _ = task.await; // of a panic the hook has told
    }
}

async fn read(db: Db, engine: Arc<Engine>, mail: Option<MailProbe>) {
    let mail = async {
        let answers = mail?();
        Some(tokio::time::timeout(MAIL_TIMEOUT, answers).await.unwrap_or(false))
    };
    let (backlog, webhooks, temporal, mail) =
        tokio::join!(backlog(&db), store::figures::webhooks(&db), engine.ready(), mail);
    if let Err(error) = &backlog {
        tracing::debug!(%error, "what waits could not be counted");
    }
    tell(&db, backlog.ok(), temporal.is_ok(), mail);
    tell_of_webhooks(webhooks.ok());
}

/// What is not known is not told: no figure is better than a wrong one.
fn tell(db: &Db, backlog: Option<Backlog>, temporal: bool, mail: Option<bool>) {
    let metrics = telemetry::metrics();
    let oldest = backlog.map(|backlog| {
        let since = backlog.oldest_unsettled;
        since.map_or(0, |at| now().duration_since(at).as_secs().max(0))
    });
    metrics.orders_unstarted.tell(backlog.map(|backlog| backlog.unstarted_orders));
    metrics.exceptions_open.tell(backlog.map(|backlog| backlog.open_exceptions));
    metrics.outbox_unpublished.tell(backlog.map(|backlog| backlog.unpublished_events));
    metrics.inbox_oldest_unsettled_seconds.tell(oldest);
    let connections = connections(db);
    metrics.database_connections_in_use.tell(Some(connections.in_use.into()));
    metrics.database_connections_open.tell(Some(connections.open.into()));
    metrics.database_connections_max.tell(Some(connections.max.into()));
    metrics.postgresql_reachable.tell(Some(backlog.is_some().into()));
    metrics.temporal_reachable.tell(Some(temporal.into()));
    metrics.mail_reachable.tell(mail.map(i64::from));
}

fn tell_of_webhooks(backlog: Option<deliveries::Backlog>) {
    let metrics = telemetry::metrics();
    let age = |at| now().duration_since(at).as_secs().max(0);
    metrics.webhook_deliveries_pending.tell(backlog.map(|it| it.pending));
    metrics.webhook_deliveries_oldest_pending_seconds.tell(backlog.map(|it| it.oldest.map_or(0, age)));
    metrics.webhook_endpoints_disabled_now.tell(backlog.map(|it| it.disabled_endpoints));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn who_hangs_up_makes_nobody_read_again() {
        let (figures, readings) = (Figures::default(), Arc::new(AtomicUsize::new(0)));
        let read = || {
            let readings = readings.clone();
            async move {
                readings.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        for _ in 0..100 {
            let mut asked = Box::pin(figures.at_most_so_often(read));
            assert!(poll!(&mut asked).is_pending());
            tokio::task::yield_now().await;
        }
        figures.at_most_so_often(read).await;
        assert_eq!(readings.load(Ordering::Relaxed), 1);
        *figures.0.lock().await = None;
        figures.at_most_so_often(read).await;
        assert_eq!(readings.load(Ordering::Relaxed), 2);
    }
}
