//! A code by mail: drawn and mailed, good for a while, and dead after that.

use std::time::Duration;

use domain::{AccountCodeId, Timestamp};
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    SyncWorkflowContext, TimerOptions, WorkflowCancellationToken, WorkflowContext, WorkflowResult, select,
};

use crate::{
    contract::{AccountSteps, CodeStep},
    step::{now, step},
    timeouts::{CODE_MAIL, DATABASE, MAIL},
};

/// So often is a mail tried for as long as [`CODE_MAIL`] says, with such a pause after each. What could not
/// be mailed by then is of no use to anybody.
const ROUNDS: u32 = 15;
const PAUSE: Duration = Duration::from_secs(10);

/// A code that was asked for and stored. Not the code itself, which is in its mail alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccountCodeInput {
    pub code: AccountCodeId,
}

#[workflow]
#[derive(Default)]
pub struct AccountCodeWorkflow {
    /// Somebody typed it.
    is_used: bool,
}

#[workflow_methods]
impl AccountCodeWorkflow {
    #[run(name = "account-code")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: AccountCodeInput) -> WorkflowResult<()> {
        let at = |ctx: &WorkflowContext<Self>| CodeStep { code: input.code, at: now(ctx) };
        // Each round has a time of its own: a code is good for as long as its mail says, whenever that is
        // taken.
        for _ in 0..ROUNDS {
            match step(ctx, AccountSteps::send_code, at(ctx), CODE_MAIL, "mail: code").await {
                Ok(Some(expires_at)) => {
                    Self::wait_until_used(ctx, expires_at).await;
                    break;
                }
                Ok(None) => break,
                Err(_) => Self::pause(ctx).await,
            }
        }
        if step(ctx, AccountSteps::end_code, at(ctx), DATABASE, "let the code die").await? {
            // The account is what it is, whether or not its owner can be told.
            let _ = step(ctx, AccountSteps::send_code_used, at(ctx), MAIL, "mail: code used").await;
        }
        Ok(())
    }

    /// It was used: there is nothing to wait for any more.
    #[signal(name = "used")]
    pub fn used(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.is_used = true;
    }
}

impl AccountCodeWorkflow {
    async fn pause(ctx: &WorkflowContext<Self>) {
        let summary = "the mail server is tried again".to_owned();
        ctx.timer(TimerOptions::builder(PAUSE).summary(summary).build()).await;
    }

    async fn wait_until_used(ctx: &WorkflowContext<Self>, expires_at: Timestamp) {
        let Ok(left) = Duration::try_from(expires_at.duration_since(now(ctx))) else { return };
        let token = WorkflowCancellationToken::new();
        let summary = "the code dies".to_owned();
        let timer = TimerOptions::builder(left).cancellation_token(token.clone()).summary(summary).build();
        select! {
            _ = ctx.wait_condition(|s| s.is_used).fuse() => token.cancel(),
            _ = ctx.timer(timer) => {}
        }
    }
}
