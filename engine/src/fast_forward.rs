//! Skips an order's time on a Temporal server that allows it (development and tests only).

use std::time::Duration;

use domain::OrderId;
use futures_util::TryFutureExt as _;
use store::orders::Start;
use temporalio_client::{NamespacedClient as _, tonic::Request};
use temporalio_common::protos::temporal::api::{
    common::v1::{FastForwardConfig, TimeSkippingConfig, WorkflowExecution},
    enums::v1::FastForwardPollingResult,
    workflow::v1::WorkflowExecutionOptions,
    workflowservice::v1::{PollWorkflowExecutionTimeSkippingRequest, UpdateWorkflowExecutionOptionsRequest},
};

use crate::{CALL_TIMEOUT, Engine, Error, within};

/// How long a fast-forward may take: about a second of real time per timer that fires on the way.
const LIMIT: Duration = Duration::from_secs(60);

impl Engine {
    /// Moves the order's clock forward by `duration` and waits until it got there, or until the order
    /// has ended on the way.
    pub async fn fast_forward(&self, start: &Start, duration: Duration) -> Result<(), Error> {
        let skip = async {
            self.start_order(start).await?;
            let id = uuid::Uuid::new_v4().to_string();
            self.set_fast_forward(start.id, &id, duration).await?;
            within(LIMIT, self.poll_fast_forward(start.id, &id)).await
        };
        match skip.await {
            Err(Error::Closed) => Ok(()), // the order has ended: no clock is left to move
            result => result,
        }
    }

    async fn set_fast_forward(&self, order: OrderId, id: &str, duration: Duration) -> Result<(), Error> {
        let client = self.client().await?;
        let duration = prost_wkt_types::Duration::try_from(duration).map_err(Error::misconfigured)?;
        let config = TimeSkippingConfig {
            enabled: true,
            fast_forward_config: Some(FastForwardConfig { id: id.to_owned(), duration: Some(duration) }),
            ..TimeSkippingConfig::default()
        };
        let request = UpdateWorkflowExecutionOptionsRequest {
            namespace: client.namespace(),
            workflow_execution: Some(execution(order)),
            workflow_execution_options: Some(WorkflowExecutionOptions {
                time_skipping_config: Some(config),
                ..WorkflowExecutionOptions::default()
            }),
            update_mask: Some(prost_wkt_types::FieldMask { paths: vec!["time_skipping_config".to_owned()] }),
            ..UpdateWorkflowExecutionOptionsRequest::default()
        };
        let mut service = client.connection().workflow_service();
        let call = service.update_workflow_execution_options(Request::new(request));
        within(CALL_TIMEOUT, call.map_err(Error::of_running)).await.map(|_| ())
    }

    async fn poll_fast_forward(&self, order: OrderId, id: &str) -> Result<(), Error> {
        let client = self.client().await?;
        let mut service = client.connection().workflow_service();
        loop {
            let request = PollWorkflowExecutionTimeSkippingRequest {
                namespace: client.namespace(),
                workflow_execution: Some(execution(order)),
                fast_forward_id: id.to_owned(),
            };
            let answer = service.poll_workflow_execution_time_skipping(Request::new(request)).await;
            let answer = answer.map_err(Error::of_running)?.into_inner();
            match answer.fast_forward_polling_result() {
                FastForwardPollingResult::PollTimeout => {}
                // "Failed": the order ended before the time was reached.
                FastForwardPollingResult::FastForwardCompleted
                | FastForwardPollingResult::FastForwardFailed => return Ok(()),
                FastForwardPollingResult::Unspecified => {
                    return Err(Error::Unavailable("the server does not know how to skip time".to_owned()));
                }
            }
        }
    }
}

fn execution(order: OrderId) -> WorkflowExecution {
    WorkflowExecution { workflow_id: workflows::names::order_workflow(order), run_id: String::new() }
}
