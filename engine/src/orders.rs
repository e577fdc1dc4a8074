//! What an order's workflow is told. Each call also starts the workflow if it does not run yet, so nothing
//! has to wait for a start that is still on its way. What it tells of was stored before, so a call that fails
//! loses nothing.

use domain::{ChangeId, OrderId, payment::PaymentReport};
use store::orders::Start;
use temporalio_client::{WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowStartOptions};
use temporalio_common::search_attributes::SearchAttributes;
use workflows::{ChangeNotice, LatePaymentInput, LatePaymentWorkflow, OrderInput, OrderWorkflow, names};

use crate::{CALL_TIMEOUT, Engine, Error, within};

/// An ended order is never started anew, unless its workflow was terminated or failed.
pub(crate) const REUSE: WorkflowIdReusePolicy = WorkflowIdReusePolicy::AllowDuplicateFailedOnly;
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

    /// Tells an order's workflow that a change was asked for. `Closed` if the order has ended.
    pub async fn tell_change(&self, start: &Start, change: ChangeId) -> Result<(), Error> {
        let client = self.client().await?;
        let call = client.signal_with_start_workflow(
            OrderWorkflow::run,
            input(start),
            OrderWorkflow::change,
            ChangeNotice { change },
            self.start_options(start),
        );
        within(CALL_TIMEOUT, call).await.map(|_| ())
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
    OrderInput { order: start.id, resumed: None }
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
