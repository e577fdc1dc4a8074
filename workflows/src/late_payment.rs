//! Money for an order whose workflow has ended: it is recorded, and matched or shown to a person.

use domain::{OrderId, payment::PaymentReport, settlement::Settlement};
use serde::{Deserialize, Serialize};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{WorkflowContext, WorkflowResult};

use crate::{
    contract::{OrderSteps, SettlePaymentInput},
    step::{now, step},
    timeouts,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LatePaymentInput {
    pub order: OrderId,
    pub report: PaymentReport,
}

#[workflow]
#[derive(Default)]
pub struct LatePaymentWorkflow;

#[workflow_methods]
impl LatePaymentWorkflow {
    #[run(name = "late-payment")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: LatePaymentInput) -> WorkflowResult<Settlement> {
        let LatePaymentInput { order, report } = input;
        let input = SettlePaymentInput { order, at: now(ctx), report };
        let settled =
            step(ctx, OrderSteps::settle_payment, input, timeouts::DATABASE, "match late money").await?;
        Ok(settled)
    }
}
