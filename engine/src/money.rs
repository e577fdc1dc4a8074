//! Workflows about money that are not an order's own: refunds, and the reconciliation.

use std::{collections::BTreeMap, time::Duration};

use domain::{OrderId, RefundId};
use temporalio_client::{
    WorkflowGetResultOptions, WorkflowSignalOptions, WorkflowStartOptions,
    schedules::{CreateScheduleOptions, ScheduleAction, ScheduleError, ScheduleSpec},
    tonic::Code,
};
use workflows::{ReconcileWorkflow, RefundInput, RefundWorkflow, contract::Reconciled, names};

use crate::{CALL_TIMEOUT, Engine, Error, orders::REUSE, within};

/// How often the providers' statements are read.
const EVERY: Duration = Duration::from_secs(3600);
/// How long somebody who asked for a reconciliation waits for its result.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

impl Engine {
    /// Starts a refund's workflow. Told twice, it runs once; told after its end, since the refund came to
    /// another one, a second runs, once.
    pub async fn start_refund(&self, refund: RefundId, order: Option<OrderId>) -> Result<(), Error> {
        match self.try_start_refund(names::refund_workflow(refund), refund, order).await {
            Err(Error::Closed) => {}
            started => return started,
        }
        match self.signal_refund(refund).await {
            Err(Error::Closed) => {}
            told => return told,
        }
        match self.try_start_refund(names::refund_again_workflow(refund), refund, order).await {
            Ok(()) | Err(Error::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn try_start_refund(
        &self,
        id: String,
        refund: RefundId,
        order: Option<OrderId>,
    ) -> Result<(), Error> {
        let client = self.client().await?;
        let summary = match order {
            Some(order) => format!("Refund for {order}"),
            None => "Refund of money for no order of ours".to_owned(),
        };
        let options = WorkflowStartOptions::new(self.task_queue(), id)
            .id_reuse_policy(REUSE)
            .static_summary(summary)
            .build();
        let call = client.start_workflow(RefundWorkflow::run, RefundInput { refund, order }, options);
        within(CALL_TIMEOUT, call).await.map(|_| ())
    }

    /// Wakes a refund's workflow: there is news of it. One that has ended needs none.
    pub async fn tell_refund(&self, refund: RefundId) -> Result<(), Error> {
        match self.signal_refund(refund).await {
            Ok(()) | Err(Error::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn signal_refund(&self, refund: RefundId) -> Result<(), Error> {
        let client = self.client().await?;
        let handle = client.get_workflow_handle::<RefundWorkflow>(names::refund_workflow(refund));
        let call = handle.signal(RefundWorkflow::news, (), WorkflowSignalOptions::default());
        within(CALL_TIMEOUT, call).await
    }

    /// Makes sure that the providers' statements are read every hour.
    pub async fn schedule_reconciliation(&self) -> Result<(), Error> {
        let client = self.client().await?;
        let id = names::reconcile_schedule(self.task_queue());
        let action = ScheduleAction::start_workflow(ReconcileWorkflow::run, (), self.task_queue(), &id);
        let options =
            CreateScheduleOptions::builder().action(action).spec(ScheduleSpec::from_interval(EVERY)).build();
        match tokio::time::timeout(CALL_TIMEOUT, client.create_schedule(id, options)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(ScheduleError::Rpc(status))) if status.code() == Code::AlreadyExists => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Error::unavailable("no answer")),
        }
    }

    /// Reads the providers' statements now, and tells what was found; none where they could not be read.
    pub async fn reconcile(&self, call_id: &str) -> Result<BTreeMap<String, Option<Reconciled>>, Error> {
        let client = self.client().await?;
        let id = format!("{}-{call_id}", names::reconcile_schedule(self.task_queue()));
        let options = WorkflowStartOptions::new(self.task_queue(), id).build();
        let started = client.start_workflow(ReconcileWorkflow::run, (), options);
        let handle = within(CALL_TIMEOUT, started).await?;
        let result = handle.get_result(WorkflowGetResultOptions::default());
        match tokio::time::timeout(PATIENCE, result).await {
            Ok(result) => result.map_err(Error::unavailable),
            Err(_) => Err(Error::unavailable("the reconciliation takes long; its workflow goes on")),
        }
    }
}
