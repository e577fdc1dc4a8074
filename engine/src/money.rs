//! Workflows about money that are not an order's own: refunds, and the reconciliation.

use std::{collections::BTreeMap, time::Duration};

use domain::{OrderId, RefundId};
use temporalio_client::{
    WorkflowGetResultOptions, WorkflowSignalOptions, WorkflowStartOptions,
    schedules::{
        CreateScheduleOptions, ScheduleAction, ScheduleIntervalSpec, ScheduleOverlapPolicy, SchedulePolicies,
        ScheduleSpec,
    },
};
use workflows::{ReconcileWorkflow, RefundInput, RefundWorkflow, contract::Reconciled, names};

use crate::{CALL_TIMEOUT, Engine, Error, within};

/// How often the providers' books are read.
const EVERY: Duration = Duration::from_secs(3600);

impl Engine {
    /// Starts a refund's workflow. Told twice, it runs once.
    pub async fn start_refund(&self, refund: RefundId, order: Option<OrderId>) -> Result<(), Error> {
        let client = self.client().await?;
        let summary = match order {
            Some(order) => format!("refund for {order}"),
            None => "refund of money for no order of ours".to_owned(),
        };
        let options = WorkflowStartOptions::new(self.task_queue(), names::refund_workflow(refund))
            .static_summary(summary)
            .build();
        let call = client.start_workflow(RefundWorkflow::run, RefundInput { refund, order }, options);
        match within(CALL_TIMEOUT, call).await {
            Ok(_) | Err(Error::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
