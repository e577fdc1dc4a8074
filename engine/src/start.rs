//! Starting an order's workflow, asleep: the server gives it its first task when time brings something (a
//! reminder, the expiry), or when it is told of money or asked for a change. Most orders are paid before
//! that, and have one task in all; until then a worker knows nothing of them.
//! (`docs/adr/0024-orders-sleep-before-they-start.md`)

use std::{collections::HashMap, time::Duration};

use domain::Timestamp;
use futures_util::TryFutureExt as _;
use opentelemetry::global;
use store::orders::Start;
use temporalio_client::{Client, NamespacedClient as _, grpc::WorkflowService as _, tonic::Request};
use temporalio_common::{
    WorkflowDefinition as _,
    data_converters::{
        GenericPayloadConverter as _, PayloadConversionError, PayloadConverter, SerializationContext,
        SerializationContextData, TemporalSerializable, WorkflowSerializationContext,
    },
    protos::temporal::api::{
        common::v1::{Header, Payload, Payloads, WorkflowType},
        enums::v1::{WorkflowIdConflictPolicy, WorkflowIdReusePolicy},
        sdk::v1::UserMetadata,
        taskqueue::v1::TaskQueue,
        workflowservice::v1::StartWorkflowExecutionRequest,
    },
};
use temporalio_sdk::opentelemetry::TRACE_HEADER_KEY;
use workflows::{OrderWorkflow, names};

use crate::{
    CALL_TIMEOUT, Engine, Error,
    orders::{CONFLICT, REUSE, input, search_attributes, summary},
    within,
};

impl Engine {
    /// Starts an order's workflow. `Closed` if it has run and ended.
    #[tracing::instrument(name = "StartWorkflow:order", skip_all)]
    pub async fn start_order(&self, start: &Start) -> Result<(), Error> {
        let mut client = self.client().await?.clone();
        let request = self.start_request(&client, start).await.map_err(Error::misconfigured)?;
        let call = client.start_workflow_execution(Request::new(request));
        within(CALL_TIMEOUT, call.map_err(Error::of_start)).await.map(|_| ())
    }

    /// By hand, since the SDK's options leave out the delay.
    async fn start_request(
        &self,
        client: &Client,
        start: &Start,
    ) -> Result<StartWorkflowExecutionRequest, PayloadConversionError> {
        let context = SerializationContextData::Workflow(WorkflowSerializationContext::new());
        let input = client.data_converter().to_payloads(&context, &input(start)).await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the engine takes a delay, and what it counts from is this moment"
        )]
        let delay = start.first_alarm.map(|at| Duration::try_from(at.duration_since(Timestamp::now())));
        let metadata = UserMetadata {
            summary: Some(clear(&summary(start))?),
            details: details(start).map(|details| clear(&details)).transpose()?,
        };
        Ok(StartWorkflowExecutionRequest {
            namespace: client.namespace(),
            identity: client.identity(),
            request_id: uuid::Uuid::new_v4().to_string(),
            workflow_id: names::order_workflow(start.id),
            workflow_id_reuse_policy: WorkflowIdReusePolicy::from(REUSE) as i32,
            workflow_id_conflict_policy: WorkflowIdConflictPolicy::from(CONFLICT) as i32,
            workflow_type: Some(WorkflowType { name: OrderWorkflow::run.name().to_owned() }),
            task_queue: Some(TaskQueue { name: self.task_queue().to_owned(), ..TaskQueue::default() }),
            input: Some(Payloads { payloads: input }),
            search_attributes: Some(search_attributes(start).into_proto()),
            user_metadata: Some(metadata),
            header: Some(Header { fields: trace()? }),
            // What is past needs no delay.
            workflow_start_delay: delay.and_then(Result::ok).and_then(|delay| delay.try_into().ok()),
            ..StartWorkflowExecutionRequest::default()
        })
    }
}

/// What the Temporal UI shows of an unpaid order that has had no task yet. No personal data: it is stored in
/// clear.
fn details(start: &Start) -> Option<String> {
    let Start { total, payment_due_at, first_alarm, .. } = start;
    Some(format!(
        "Placed, waiting for a payment of {total} until {payment_due_at}. It sleeps until {} if nothing \
         wakes it before, and has current details from then on.",
        (*first_alarm)?
    ))
}

/// The trace that goes on in the workflow, where the SDK's plugin looks for it.
fn trace() -> Result<HashMap<String, Payload>, PayloadConversionError> {
    let mut carrier = HashMap::<String, String>::new();
    global::get_text_map_propagator(|propagator| propagator.inject(&mut carrier));
    match carrier.is_empty() {
        true => Ok(HashMap::new()),
        false => Ok([(TRACE_HEADER_KEY.to_owned(), clear(&carrier)?)].into()),
    }
}

/// A payload that is not sealed.
fn clear<T: TemporalSerializable + 'static>(value: &T) -> Result<Payload, PayloadConversionError> {
    let converter = PayloadConverter::default();
    let data = SerializationContextData::Workflow(WorkflowSerializationContext::new());
    converter.to_payload(&SerializationContext::new(&data, &converter), value)
}
