//! Temporal, seen from its client's side: start an order's workflow, tell it of money, ask it for a
//! change, and hand over what a crash left behind. The worker's side is in `worker`.

mod accounts;
mod codec;
mod config;
mod dispatch;
mod error;
mod fast_forward;
mod money;
mod orders;
mod remote_codec;
mod start;
mod sweep;

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use temporalio_client::{Client, Connection, NamespacedClient as _, tonic::Request};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeNamespaceRequest;
use tokio::sync::OnceCell;

pub use codec::PayloadKeys;
pub use config::{Config, Options};
pub use dispatch::Dispatcher;
pub use error::Error;
pub use remote_codec::Payloads;
pub use sweep::Sweeper;
pub use workflows::names::DEFAULT_TASK_QUEUE;

/// How long one call to the engine may take, retries of the client included.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a readiness probe waits for the engine.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// After a try to connect that failed, nobody tries again for so long: the door is not to be slowed by it.
const RECONNECT_BACKOFF: Duration = Duration::from_millis(500);

/// A connection to Temporal, made on first use: the API takes orders while the engine is down.
pub struct Engine {
    config: Config,
    client: OnceCell<Client>,
    /// When connecting failed last, and why.
    failed: Mutex<Option<(Instant, Error)>>,
}

impl Engine {
    pub fn new(config: Config) -> Self {
        Self { config, client: OnceCell::new(), failed: Mutex::new(None) }
    }

    /// The client; connects if that has not succeeded yet.
    pub async fn client(&self) -> Result<&Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Boxed: connecting is large, and happens once; every other call would carry its space along.
        within(CALL_TIMEOUT, self.client.get_or_try_init(|| Box::pin(self.connect_after_backoff()))).await
    }

    async fn connect_after_backoff(&self) -> Result<Client, Error> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, why)) = failed
            && at.elapsed() < RECONNECT_BACKOFF
        {
            return Err(why);
        }
        let connected = self.connect().await;
        if let Err(why) = &connected {
            let failed = Some((Instant::now(), why.clone()));
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        }
        connected
    }

    /// A client with a connection of its own.
    pub async fn connect(&self) -> Result<Client, Error> {
        let connection = within(CALL_TIMEOUT, Connection::connect(self.config.connection.clone())).await;
        let connection = connection.map_err(|error| error.at(&self.config.place()))?;
        let client = Client::new(connection, self.config.client.clone()).map_err(Error::misconfigured)?;
        config::ensure_search_attributes(&client).await?;
        Ok(client)
    }

    /// Makes sure that the server has what we need of it: our search attributes, without which it refuses
    /// every start, and the schedule of the reconciliation.
    pub(crate) async fn introduce(&self) -> Result<(), Error> {
        config::ensure_search_attributes(self.client().await?).await?;
        self.schedule_reconciliation().await
    }

    /// Answers for our namespace, or says what is wrong.
    pub async fn ready(&self) -> Result<(), Error> {
        let ask = async {
            let client = self.client().await?;
            let mut service = client.connection().workflow_service();
            let ours = DescribeNamespaceRequest {
                namespace: client.namespace(),
                ..DescribeNamespaceRequest::default()
            };
            service.describe_namespace(Request::new(ours)).await?;
            Ok::<_, Error>(())
        };
        within(READY_TIMEOUT, ask).await
    }

    pub fn task_queue(&self) -> &str {
        &self.config.task_queue
    }

    /// Where the Temporal UI shows a workflow, if it is known where the UI is.
    pub fn ui_link(&self, workflow_id: &str) -> Option<String> {
        let base = self.config.ui_url.as_deref()?;
        Some(format!("{base}/namespaces/{}/workflows/{workflow_id}", self.config.client.namespace))
    }
}

/// Puts a limit on a call that crosses to the engine.
async fn within<T, E: Into<Error>>(
    limit: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(Error::Unavailable(format!("no answer within {} s", limit.as_secs()))),
    }
}
