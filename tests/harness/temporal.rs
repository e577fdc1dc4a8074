//! The Temporal server's own view of the orders, by its ordinary client.

use std::time::Duration;

use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions, NamespacedClient as _, Url, WorkflowCountOptions,
    WorkflowDescribeOptions, WorkflowExecutionDescription, WorkflowExecutionStatus,
    WorkflowFetchHistoryOptions, WorkflowHandle, tonic::Request,
};
use temporalio_common::HasWorkflowDefinition;
use temporalio_common::protos::temporal::api::{
    common::v1::{FastForwardConfig, TimeSkippingConfig, WorkflowExecution},
    history::v1::HistoryEvent,
    workflowservice::v1::UpdateWorkflowExecutionOptionsRequest,
};
use tokio::sync::OnceCell;
use workflows::OrderWorkflow;

use super::{eventually, unique};

pub struct Temporal {
    pub address: String,
    client: OnceCell<Client>,
}

impl Temporal {
    pub fn new(address: String) -> Self {
        Self { address, client: OnceCell::new() }
    }

    /// A client without the payload key, as a person with the Temporal CLI has it.
    pub async fn client(&self) -> &Client {
        self.client.get_or_init(|| self.connect()).await
    }

    async fn connect(&self) -> Client {
        let target = Url::parse(&format!("http://{}", self.address)).unwrap();
        let connection = Connection::connect(ConnectionOptions::new(target).build()).await.unwrap();
        Client::new(connection, ClientOptions::new("default").build()).unwrap()
    }

    pub async fn order(
        &self,
        id: &str,
    ) -> WorkflowHandle<Client, <OrderWorkflow as HasWorkflowDefinition>::Run> {
        self.client().await.get_workflow_handle(id)
    }

    pub async fn history(&self, id: &str) -> Vec<HistoryEvent> {
        let handle = self.order(id).await;
        handle.fetch_history(WorkflowFetchHistoryOptions::default()).into_events().await.unwrap()
    }

    pub async fn describe(&self, id: &str) -> WorkflowExecutionDescription {
        self.order(id).await.describe(WorkflowDescribeOptions::default()).await.unwrap()
    }

    /// Waits until the workflow has ended; gives how.
    pub async fn until_closed(&self, id: &str) -> WorkflowExecutionStatus {
        eventually(&format!("the workflow {id} ends"), async || {
            let status = self.describe(id).await.status();
            (status != WorkflowExecutionStatus::Running).then_some(status)
        })
        .await
    }

    /// Skips the time of any workflow.
    pub async fn skip(&self, id: &str, duration: Duration) {
        let client = self.client().await;
        let mut request = UpdateWorkflowExecutionOptionsRequest {
            namespace: client.namespace(),
            workflow_execution: Some(WorkflowExecution { workflow_id: id.to_owned(), ..Default::default() }),
            ..Default::default()
        };
        request.update_mask.get_or_insert_default().paths.push("time_skipping_config".to_owned());
        let config = TimeSkippingConfig {
            enabled: true,
            fast_forward_config: Some(FastForwardConfig {
                id: unique(),
                duration: Some(duration.try_into().unwrap()),
            }),
            ..Default::default()
        };
        request.workflow_execution_options.get_or_insert_default().time_skipping_config = Some(config);
        let mut service = client.connection().workflow_service();
        service.update_workflow_execution_options(Request::new(request)).await.unwrap();
    }

    /// How many workflows a query finds.
    pub async fn count(&self, query: &str) -> usize {
        self.client().await.count_workflows(query, WorkflowCountOptions::default()).await.unwrap().count()
    }
}
