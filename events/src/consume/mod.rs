//! Messages of topics, given to whoever is to do something about them: to a service's own HTTP route
//! (`holdfast consume`, docs/kafka.md), or to ourselves.

mod board;
mod http;
mod keeper;
mod policy;
mod replay;
mod retry;
mod routes;
mod runner;
mod sender;
#[cfg(test)]
mod tests;
mod tries;
mod watch;

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::kafka::Settings;

pub(crate) use policy::Policy;
pub use replay::{Error as ReplayError, Wanted, replay_failed};
pub use routes::{Mode, Route, Routes};
pub(crate) use runner::{Handler, Runner, Verdict};

/// Serves routes until told to stop, and then until what is under way is done.
///
/// # Errors
/// If there can be no HTTP client, or a bug ended a route.
pub async fn serve(routes: Vec<Route>, settings: Settings, stop: CancellationToken) -> Result<(), String> {
    let mut runners = Vec::new();
    for route in routes {
        let service = Arc::new(http::Service::new(&route)?);
        let policy = Policy::of(&route);
        runners.push(Runner::new(settings.clone(), policy.of_retries(), service.clone()));
        runners.push(Runner::new(settings.clone(), policy, service));
    }
    // Each in a task of its own, so that none holds up another; dropped, they end.
    let mut tasks = JoinSet::new();
    for runner in runners {
        #[expect(clippy::disallowed_methods, reason = "as many as there are routes")]
        tasks.spawn(runner.run(stop.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| format!("a route ended by a bug: {error}"))?;
    }
    Ok(())
}
