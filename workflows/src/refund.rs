//! Money that goes back: driven at the provider until it is there, then the customer is told.

use std::time::Duration;

use domain::{OrderId, RefundId, mail::MailKind, payment::RefundState};
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    SyncWorkflowContext, TimerOptions, WorkflowCancellationToken, WorkflowContext, WorkflowResult, select,
};

use crate::{
    contract::{MoneySteps, OrderSteps, RefundStep, SendMailInput},
    step::{give_up_mail, now, step},
    timeouts::{MAIL, PROVIDER, REFUND_POLL},
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefundInput {
    pub refund: RefundId,
    /// None: money for no order of ours, and nobody to tell.
    pub order: Option<OrderId>,
}

#[workflow]
#[derive(Default)]
pub struct RefundWorkflow {
    /// The provider told us something: look.
    news: bool,
}

#[workflow_methods]
impl RefundWorkflow {
    #[run(name = "refund")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: RefundInput) -> WorkflowResult<RefundState> {
        let mut poll_after = *REFUND_POLL.start();
        loop {
            ctx.state_mut(|s| s.news = false);
            let refund = RefundStep { refund: input.refund, at: now(ctx) };
            let state =
                step(ctx, MoneySteps::drive_refund, refund, PROVIDER, "refund at the provider").await?;
            if state.is_final() {
                Self::tell_customer(ctx, &input, state).await;
                return Ok(state);
            }
            ctx.set_current_details("The provider has the refund; the money is on its way.");
            Self::wait_for_news(ctx, poll_after).await;
            poll_after = (poll_after * 2).min(*REFUND_POLL.end());
        }
    }

    /// The provider's webhook was stored: no need to wait for the next look.
    #[signal(name = "news")]
    pub fn news(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.news = true;
    }
}

impl RefundWorkflow {
    async fn wait_for_news(ctx: &WorkflowContext<Self>, at_most: Duration) {
        let token = WorkflowCancellationToken::new();
        let summary = "ask the provider again".to_owned();
        let timer = TimerOptions::builder(at_most).cancellation_token(token.clone()).summary(summary).build();
        select! {
            _ = ctx.wait_condition(|s| s.news).fuse() => token.cancel(),
            _ = ctx.timer(timer) => {}
        }
    }

    /// The money is back, whether or not its mail can be sent.
    async fn tell_customer(ctx: &WorkflowContext<Self>, input: &RefundInput, state: RefundState) {
        if let (Some(order), RefundState::Succeeded) = (input.order, state) {
            let kind = MailKind::Refunded(input.refund);
            let mail = SendMailInput { order, at: now(ctx), kind };
            if step(ctx, OrderSteps::send_mail, mail, MAIL, "mail: refunded").await.is_err() {
                give_up_mail(ctx, order, kind).await;
            }
        }
    }
}
