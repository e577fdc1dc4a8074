//! What can be asked of an order's workflow. Each call also starts the workflow if it does not run
//! yet, so nothing has to wait for a start that is still on its way.

use domain::{OrderId, Timestamp, payment::PaymentReport};
use store::orders::Start;
use temporalio_client::{
    WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowStartOptions, WorkflowUpdateWithStartOptions,
};
use temporalio_common::{HasWorkflowDefinition, UpdateDefinition, search_attributes::SearchAttributes};
use workflows::{
    LatePaymentInput, LatePaymentWorkflow, OrderInput, OrderWorkflow,
    contract::Outcome,
    names,
    requests::{CancelRequest, CheckInRequest, ExtendRequest, FulfilRequest},
};

use crate::{CALL_TIMEOUT, Engine, Error, within};

/// An ended order is never started anew, unless its workflow was terminated or failed.
pub(crate) const REUSE: WorkflowIdReusePolicy = WorkflowIdReusePolicy::AllowDuplicateFailedOnly;
/// How often a question that was interrupted is asked.
const MAX_TRIES: u32 = 5;
pub(crate) const CONFLICT: WorkflowIdConflictPolicy = WorkflowIdConflictPolicy::UseExisting;

impl Engine {
    /// Tells an order's workflow of money. `Closed` if the order has ended.
    pub async fn report_payment(&self, start: &Start, report: &PaymentReport) -> Result<(), Error> {
        let client = self.client().await?;
        let call = client.signal_with_start_workflow(
            OrderWorkflow::run,
            input(start),
            OrderWorkflow::payment,
            report.clone(),
            self.start_options(start),
        );
        within(CALL_TIMEOUT, call).await.map(|_| ())
    }

    /// Starts the story of money that came after its order had ended. Told twice, it runs once.
    pub async fn report_late_payment(&self, order: OrderId, report: &PaymentReport) -> Result<(), Error> {
        let client = self.client().await?;
        let options =
            WorkflowStartOptions::new(self.task_queue(), names::late_payment_workflow(order, report))
                .id_reuse_policy(REUSE)
                .id_conflict_policy(CONFLICT)
                .static_summary(format!("{} {} for an ended order", report.outcome.as_str(), report.money))
                .build();
        let input = LatePaymentInput { order, report: report.clone() };
        let call = client.start_workflow(LatePaymentWorkflow::run, input, options);
        match within(CALL_TIMEOUT, call).await {
            Ok(_) | Err(Error::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub async fn cancel_order(&self, start: &Start, reason: String, call_id: &str) -> Result<Outcome, Error> {
        self.ask(start, || OrderWorkflow::cancel, CancelRequest { reason }, call_id).await
    }

    pub async fn extend_order(&self, start: &Start, due: Timestamp, call_id: &str) -> Result<Outcome, Error> {
        self.ask(start, || OrderWorkflow::extend, ExtendRequest { payment_due_at: due }, call_id).await
    }

    pub async fn fulfil_order(&self, start: &Start, call_id: &str) -> Result<Outcome, Error> {
        self.ask(start, || OrderWorkflow::fulfil, FulfilRequest {}, call_id).await
    }

    pub async fn check_in_order(&self, start: &Start, call_id: &str) -> Result<Outcome, Error> {
        self.ask(start, || OrderWorkflow::check_in, CheckInRequest {}, call_id).await
    }

    /// Asks the workflow and waits for its decision. Asked again under the same `call_id`, the
    /// workflow answers what it answered before; a decision that was lost on the way is made again.
    async fn ask<U>(
        &self,
        start: &Start,
        update: impl Fn() -> U,
        request: U::Input,
        call_id: &str,
    ) -> Result<Outcome, Error>
    where
        U: UpdateDefinition<Workflow = <OrderWorkflow as HasWorkflowDefinition>::Run, Output = Outcome>,
        U::Input: Send + Clone,
    {
        let client = self.client().await?;
        let mut tries_left = MAX_TRIES;
        loop {
            let call = client.execute_update_with_start_workflow(
                OrderWorkflow::run,
                input(start),
                update(),
                request.clone(),
                self.update_options(start, call_id),
            );
            tries_left -= 1;
            match within(CALL_TIMEOUT, call).await {
                Err(Error::Interrupted(_)) if tries_left > 0 => {}
                Err(Error::Interrupted(why)) => return Err(Error::Unavailable(why)),
                answer => return answer,
            }
        }
    }

    fn update_options(&self, start: &Start, call_id: &str) -> WorkflowUpdateWithStartOptions {
        let id = names::order_workflow(start.id);
        WorkflowUpdateWithStartOptions::new(self.task_queue(), id, CONFLICT)
            .id_reuse_policy(REUSE)
            .search_attributes(search_attributes(start))
            .static_summary(summary(start))
            .update_id(call_id.to_owned())
            .build()
    }

    fn start_options(&self, start: &Start) -> WorkflowStartOptions {
        WorkflowStartOptions::new(self.task_queue(), names::order_workflow(start.id))
            .id_reuse_policy(REUSE)
            .id_conflict_policy(CONFLICT)
            .search_attributes(search_attributes(start))
            .static_summary(summary(start))
            .build()
    }
}

pub(crate) fn input(start: &Start) -> OrderInput {
    OrderInput { order: start.id, placement: None }
}

pub(crate) fn search_attributes(start: &Start) -> SearchAttributes {
    let status = domain::order::Status::AwaitingPayment.to_string();
    SearchAttributes::new([
        names::ORDER_STATUS.value_set(status),
        names::CUSTOMER_ID.value_set(start.customer_id.clone()),
    ])
}

/// One line for lists in the Temporal UI. No personal data: it is stored in clear.
pub(crate) fn summary(start: &Start) -> String {
    format!("Order of {} for customer {}", start.total, start.customer_id)
}
