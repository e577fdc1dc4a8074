//! Webhooks out, by Standard Webhooks 1.0: events are fanned out to endpoints, and each delivery is tried
//! until it is taken or its tries are used up (docs/adr/0040).

mod address;
mod background;
mod deliver;
mod message;
#[cfg(test)]
mod rebinding;
mod sender;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use domain::Timestamp;
use futures_util::FutureExt as _;
use store::{
    Db,
    events::Horizon,
    webhook_endpoints::{FannedOut, fan_out, forget},
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::pace::rest;

use background::Background;

pub use address::{BadNetwork, Networks};
pub use message::Message;
pub use sender::{Answer, Sender};
pub use web::standard_webhooks::Secret;

/// How often is looked for new events.
const LOOKED_EVERY: Duration = Duration::from_millis(200);
/// So long is waited until what was written is decided; what takes longer comes with the next look.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often is forgotten what is old.
const FORGOTTEN_EVERY: Duration = Duration::from_secs(60);
/// While there is more to forget.
const FORGOTTEN_ON_AFTER: Duration = Duration::from_millis(500);
/// After a fault.
const PAUSE: Duration = Duration::from_secs(1);

/// Carries events to endpoints. Several processes may do so side by side.
pub struct Webhooks {
    db: Db,
    sender: Arc<Sender>,
}

impl Webhooks {
    pub fn new(db: Db, sender: Arc<Sender>) -> Self {
        Self { db, sender }
    }

    /// Works until `stop` is cancelled, and what was begun has had a moment to end.
    pub async fn run(self, stop: CancellationToken) {
        let Self { db, sender } = &self;
        let news = Notify::new();
        let beside = async {
            tokio::join!(unharmed(|| keep_fanning_out(db, &news)), unharmed(|| keep_forgetting(db)));
        };
        let deliver = async {
            while !stop.is_cancelled() {
                let background = match Background::start() {
                    Ok(background) => background,
                    Err(error) => {
                        tracing::warn!(%error, "there is no thread to send webhooks on, trying on");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                };
                let delivering = deliver::run(db, sender, background.handle(), &news, &stop);
                if AssertUnwindSafe(delivering).catch_unwind().await.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        tokio::select! {
            () = beside => {}
            () = deliver => {}
        }
    }
}

/// A bug in one round is a fault like another: it goes on. The panic's hook has told of it.
async fn unharmed<F: Future<Output = ()>>(work: impl Fn() -> F) {
    loop {
        let _ = AssertUnwindSafe(work()).catch_unwind().await;
        tokio::time::sleep(PAUSE).await;
    }
}

/// A fault is logged when it appears and when it is gone, not at every round in between.
#[derive(Default)]
struct Said(Option<String>);

impl Said {
    fn note(&mut self, what: &'static str, fault: Option<&store::Fault>) {
        let now = fault.map(ToString::to_string);
        match &now {
            Some(error) if now != self.0 => tracing::warn!(what, error, "webhooks wait, trying on"),
            None if self.0.is_some() => tracing::info!(what, "webhooks go on"),
            _ => {}
        }
        self.0 = now;
    }
}

#[expect(clippy::disallowed_methods, reason = "a round is the edge: nobody has called it with a time")]
async fn keep_fanning_out(db: &Db, news: &Notify) {
    let (horizon, mut said) = (Horizon::default(), Said::default());
    loop {
        let (mut begun, up_to) = (Instant::now(), horizon.reach(db, PATIENCE).await);
        let fanned = match up_to {
            Ok(Some(up_to)) => {
                begun = Instant::now();
                fan_out(db, up_to, Timestamp::now()).await
            }
            Ok(None) => Ok(None),
            Err(fault) => Err(fault),
        };
        said.note("fan out", fanned.as_ref().err());
        match fanned {
            Ok(Some(fanned)) => {
                if fanned.deliveries > 0 {
                    news.notify_one();
                }
                tokio::time::sleep(pause(fanned, begun.elapsed())).await;
            }
            Ok(None) => tokio::time::sleep(LOOKED_EVERY).await,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// How long to wait after a round that took so long. Events that nobody wants are work, too.
fn pause(fanned: FannedOut, took: Duration) -> Duration {
    match fanned.is_behind {
        true => rest(fanned.looked_through, took),
        false => LOOKED_EVERY,
    }
}

#[expect(clippy::disallowed_methods, reason = "a round is the edge: nobody has called it with a time")]
async fn keep_forgetting(db: &Db) {
    let mut said = Said::default();
    loop {
        let forgotten = forget(db, Timestamp::now()).await;
        said.note("forget", forgotten.as_ref().err());
        tokio::time::sleep(if matches!(forgotten, Ok(true)) { FORGOTTEN_ON_AFTER } else { FORGOTTEN_EVERY })
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_that_nobody_wants_rests_too() {
        let took = Duration::from_millis(100);
        let fanned = FannedOut { deliveries: 0, looked_through: 1000, is_behind: true };
        assert_eq!(pause(fanned, took), took * 2);
        assert_eq!(pause(FannedOut { is_behind: false, ..fanned }, took), LOOKED_EVERY);
    }
}
