//! What we have against the providers' statements: once an hour by a schedule, or on demand.

use std::collections::BTreeMap;

use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{WorkflowContext, WorkflowResult};

use crate::{
    contract::{MoneySteps, ReconcileStep, Reconciled},
    step::{now, step},
    timeouts::{DATABASE, STATEMENT},
};

#[workflow]
#[derive(Default)]
pub struct ReconcileWorkflow;

#[workflow_methods]
impl ReconcileWorkflow {
    /// What was found, by provider; none if its statement could not be read. The next run reads on from
    /// where the last one got to.
    #[run(name = "reconcile")]
    pub async fn run(
        ctx: &mut WorkflowContext<Self>,
    ) -> WorkflowResult<BTreeMap<String, Option<Reconciled>>> {
        let providers = step(ctx, MoneySteps::list_providers, (), DATABASE, "list the providers").await?;
        let mut found = BTreeMap::new();
        for provider in providers {
            let input = ReconcileStep { provider: provider.clone(), at: now(ctx) };
            let summary = format!("statement of {provider}");
            let read = step(ctx, MoneySteps::reconcile_provider, input, STATEMENT, &summary).await;
            found.insert(provider, read.ok());
        }
        Ok(found)
    }
}
