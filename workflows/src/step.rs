//! How a workflow takes a step: one quick local try, then durable.

use domain::{OrderId, Timestamp, mail::MailKind};
use temporalio_common::ActivityDefinition;
use temporalio_common::data_converters::TemporalDeserializable;
use temporalio_workflow::{ActivityExecutionError, WorkflowCancellationToken, WorkflowContext};

use crate::{
    contract::{OrderSteps, SendMailInput},
    timeouts::{DATABASE, RetryProfile},
};

/// Takes a step to its end, whatever happens to the workflow meanwhile: it runs under a token of its
/// own, since a cancelled workflow must still give its stock back.
pub(crate) async fn step<W, A>(
    ctx: &WorkflowContext<W>,
    activity: A,
    input: A::Input,
    profile: RetryProfile,
    summary: &str,
) -> Result<A::Output, ActivityExecutionError>
where
    A: ActivityDefinition,
    A::Input: Clone,
    A::Output: TemporalDeserializable,
{
    let detached = WorkflowCancellationToken::new();
    let local = profile.local(&detached, summary);
    if let Ok(output) = ctx.execute_local_activity(Named(&activity), input.clone(), local).await {
        return Ok(output);
    }
    ctx.execute_activity(activity, input, profile.durable(&detached, summary)).await
}

/// Tells that a mail was tried as long as it was worth it. Histories from before this was told end without
/// it.
pub(crate) async fn give_up_mail<W>(ctx: &WorkflowContext<W>, order: OrderId, kind: MailKind) {
    if ctx.patched("give-up-mail") {
        let mail = SendMailInput { order, at: now(ctx), kind };
        // It is tried for ever: only a step that cannot be repeated fails, and shows in the history.
        let _ = step(ctx, OrderSteps::give_up_mail, mail, DATABASE, "give the mail up").await;
    }
}

/// An activity by reference: the macro's marker types cannot be copied, and a step names its
/// activity twice.
struct Named<'a, A>(&'a A);

impl<A: ActivityDefinition> ActivityDefinition for Named<'_, A> {
    type Input = A::Input;
    type Output = A::Output;

    fn name(&self) -> &str {
        self.0.name()
    }
}

/// The workflow's own clock.
pub(crate) fn now<W>(ctx: &WorkflowContext<W>) -> Timestamp {
    let now = ctx.workflow_time().expect("the server dates every workflow task");
    Timestamp::try_from(now).expect("the server's clock is between the years -9999 and 9999")
}
