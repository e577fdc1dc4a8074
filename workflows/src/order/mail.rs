//! Telling the customer. Reminders, and the mail that ends the story.

use std::time::Duration;

use domain::{Timestamp, mail::MailKind};
use futures_util::FutureExt as _;
use temporalio_workflow::{WorkflowCancellationToken, WorkflowContext, select};

use super::OrderWorkflow;
use crate::{
    contract::{OrderSteps, SendMailInput},
    step::{give_up_mail, now},
    timeouts::{MAIL, RetryProfile},
};

impl OrderWorkflow {
    /// Sends one mail: a quick local try, then durable. A mail server that is down must not keep
    /// the order from its decisions, so the durable try gives way to any event, and is taken up
    /// again afterwards if there is still something to tell.
    pub(crate) async fn mail(ctx: &WorkflowContext<Self>, kind: MailKind) {
        let Some(profile) = Self::profile(ctx, kind) else {
            return; // a reminder that the next deadline overtook, or a stay that is over
        };
        let input = SendMailInput { order: ctx.state(Self::order), at: now(ctx), kind };
        let summary = format!("mail: {}", kind.name());
        let token = WorkflowCancellationToken::new();
        let local = profile.local(&token, &summary);
        if ctx.execute_local_activity(OrderSteps::send_mail, input.clone(), local).await.is_ok() {
            return;
        }
        ctx.set_current_details(format!(
            "The mail server does not take the mail `{}`: trying again.",
            kind.name()
        ));
        let mut durable =
            ctx.execute_activity(OrderSteps::send_mail, input, profile.durable(&token, &summary));
        select! {
            () = Self::event(ctx).fuse() => {
                token.cancel();
                ctx.state_mut(|s| s.mails.push_front(kind));
            }
            tried = &mut durable => {
                if tried.is_err() {
                    give_up_mail(ctx, ctx.state(Self::order), kind).await;
                }
            }
        }
    }

    fn profile(ctx: &WorkflowContext<Self>, kind: MailKind) -> Option<RetryProfile> {
        let Some(until) = ctx.state(|s| s.worth_until(kind)) else { return Some(MAIL) };
        let left = until.duration_since(now(ctx));
        let left = Duration::try_from(left).ok().filter(|left| !left.is_zero())?;
        Some(MAIL.within(left))
    }

    /// A reminder is worth sending until the next one, or the deadline; a check-in code until the stay is
    /// over.
    fn worth_until(&self, kind: MailKind) -> Option<Timestamp> {
        match kind {
            MailKind::Reminder(_) => {
                Some(self.outlook().next_reminder().map_or(self.facts().payment_due_at, |(_, at)| at))
            }
            MailKind::Extended(due) => Some(due),
            MailKind::CheckIn | MailKind::NewCheckInCode(_) => self.facts().stays_end_at,
            _ => None,
        }
    }
}
