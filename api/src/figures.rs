//! The gauges of `/metrics`: what waits, and who answers. Anybody may ask, so they are read anew every few seconds, whoever
//! asks how often.

use std::{sync::Arc, time::Duration};

use engine::Engine;
use futures_util::future::BoxFuture;
use store::{
    Db,
    figures::{Backlog, backlog, connections},
};
use tokio::{sync::Mutex, time::Instant};

const FRESH: Duration = Duration::from_secs(5);
const MAIL_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether the mail server answers.
pub type MailProbe = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// When the gauges were read last. Cheap to clone.
#[derive(Clone, Default)]
pub struct Figures(Arc<Mutex<Option<Instant>>>);

impl Figures {
    /// Reads the gauges, unless that was done a moment ago.
    pub async fn refresh(&self, db: &Db, engine: &Engine, mail: Option<&MailProbe>) {
        let mut read_at = self.0.lock().await;
        if read_at.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        let mail = async {
            let answers = mail?();
            Some(tokio::time::timeout(MAIL_TIMEOUT, answers).await.unwrap_or(false))
        };
        let (backlog, temporal, mail) = tokio::join!(backlog(db), engine.ready(), mail);
        if let Err(error) = &backlog {
            tracing::debug!(%error, "what waits could not be counted");
        }
        tell(db, backlog.ok(), temporal.is_ok(), mail);
        *read_at = Some(Instant::now());
    }
}

/// What is not known is not told: no figure is better than a wrong one.
fn tell(db: &Db, backlog: Option<Backlog>, temporal: bool, mail: Option<bool>) {
    let metrics = telemetry::metrics();
    let oldest = backlog.map(|backlog| {
        let since = backlog.oldest_unsettled;
        since.map_or(0, |at| crate::now().duration_since(at).as_secs().max(0))
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
