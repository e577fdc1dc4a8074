//! Attempts to pay, at the order's end: closed at the provider first, since one that stays open could bring
//! money for stock that is sold to somebody else.

use std::time::Duration;

use domain::{order::Status, payment::PaymentReport};
use futures_util::FutureExt as _;
use temporalio_workflow::{WorkflowCancellationToken, WorkflowContext, select};

use super::{Event, OrderWorkflow};
use crate::{
    contract::{OrderAt, OrderSteps},
    step::now,
    timeouts::{PROVIDER, PROVIDER_GIVE_UP_AFTER},
};

/// What came of asking the provider.
#[derive(PartialEq, Eq)]
pub(crate) enum AttemptsClosed {
    /// No attempt can bring money any more. What had been captured waits as an event.
    Closed,
    /// The provider does not say, and we have waited long enough.
    Unclear,
    /// Something happened to the order that comes first.
    Interrupted,
}

impl OrderWorkflow {
    /// Closes every attempt: a quick local try, then durable, for as long as patience lasts. Like a mail it
    /// gives way to any event: money that is known must not wait for money that is not.
    pub(crate) async fn close_attempts(ctx: &WorkflowContext<Self>) -> AttemptsClosed {
        let now = now(ctx);
        let since = ctx.state_mut(|s| *s.asking_since.get_or_insert(now));
        let asked_for = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        let left = PROVIDER_GIVE_UP_AFTER.saturating_sub(asked_for);
        if left.is_zero() {
            return AttemptsClosed::Unclear;
        }
        let input = OrderAt { order: ctx.state(Self::order), at: now };
        let token = WorkflowCancellationToken::new();
        let summary = "close attempts to pay";
        let local = PROVIDER.local(&token, summary);
        if let Ok(captured) =
            ctx.execute_local_activity(OrderSteps::close_attempts, input.clone(), local).await
        {
            return Self::closed(ctx, captured);
        }
        ctx.set_current_details("The payment provider does not say whether money came: asking again.");
        let profile = PROVIDER.within(left);
        let mut durable =
            ctx.execute_activity(OrderSteps::close_attempts, input, profile.durable(&token, summary));
        select! {
            () = Self::event(ctx).fuse() => {
                token.cancel();
                AttemptsClosed::Interrupted
            }
            answer = &mut durable => match answer {
                Ok(captured) => Self::closed(ctx, captured),
                Err(_) => AttemptsClosed::Unclear,
            }
        }
    }

    fn closed(ctx: &WorkflowContext<Self>, captured: Vec<PaymentReport>) -> AttemptsClosed {
        ctx.state_mut(|s| {
            s.asking_since = None;
            s.attempts_open = false;
            for report in captured.into_iter().rev() {
                s.events.push_front(Event::Payment(report));
            }
        });
        AttemptsClosed::Closed
    }

    /// Closes the attempts that stand in the way of what waits, which then comes again; or, after the money
    /// came, those by which somebody could pay a second time. What then stays unclear is found by
    /// reconciliation.
    pub(crate) async fn close_attempts_in_the_way(ctx: &WorkflowContext<Self>) {
        let asked = Self::close_attempts(ctx).await;
        ctx.state_mut(|s| {
            if asked == AttemptsClosed::Interrupted {
                return;
            }
            let unclear = asked == AttemptsClosed::Unclear;
            match s.status() {
                Status::AwaitingPayment => s.unclear |= unclear,
                _ => s.attempts_open &= !unclear,
            }
            s.wait_no_longer();
        });
    }
}
