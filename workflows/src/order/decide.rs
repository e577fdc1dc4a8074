//! Decisions. Each is one step that looks at the stored order under its lock, so that repeating it
//! after a crash changes nothing.

use domain::{
    ChangeId, Timestamp,
    change::{ChangeOutcome, Changed, Kind},
    exception,
    mail::MailKind,
    order::Status,
    payment::PaymentReport,
    settlement::Settled,
};
use temporalio_workflow::{WorkflowContext, WorkflowTermination};

use super::{Event, OrderWorkflow, attempts::AttemptsClosed, requests::Request};
use crate::{
    contract::{
        CancelInput, DecideChangeInput, ExpireInput, ExtendInput, OrderAt, OrderSteps, SettlePaymentInput,
    },
    names,
    step::{now, step},
    timeouts::DATABASE,
};

type Decided<T = ()> = Result<T, WorkflowTermination>;

impl OrderWorkflow {
    pub(crate) async fn decide(ctx: &WorkflowContext<Self>, event: Event) -> Decided {
        match event {
            Event::Payment(report) => Self::settle(ctx, report).await,
            Event::Change(change) => Self::change_order(ctx, change).await,
            Event::WorkflowCancelled => {
                let outcome = Self::cancel_order(ctx, "workflow_cancelled".to_owned()).await?;
                if outcome == ChangeOutcome::AttemptsOpen {
                    ctx.state_mut(|s| s.waiting.push(Event::WorkflowCancelled));
                }
                Ok(())
            }
            Event::Request(ticket, request) => {
                let outcome = match request.clone() {
                    Request::Cancel(cancel) => Self::cancel_order(ctx, cancel.reason).await?,
                    Request::Extend(extend) => Self::extend_order(ctx, extend.payment_due_at).await?,
                    Request::Fulfil => Self::fulfil_order(ctx).await?,
                    Request::CheckIn => Self::check_in_order(ctx).await?,
                };
                ctx.state_mut(|s| match outcome {
                    ChangeOutcome::AttemptsOpen => s.waiting.push(Event::Request(ticket, request)),
                    decided => drop(s.answers.insert(ticket, decided)),
                });
                Ok(())
            }
        }
    }

    /// Money came. At any time: what does not fit the order becomes an exception.
    async fn settle(ctx: &WorkflowContext<Self>, report: PaymentReport) -> Decided {
        let input = SettlePaymentInput { order: ctx.state(Self::order), at: now(ctx), report };
        let settlement = step(ctx, OrderSteps::settle_payment, input, DATABASE, "settle the payment").await?;
        ctx.state_mut(|s| {
            s.attempts_open = settlement.attempts_open;
            if let Some(due) = settlement.still_due {
                s.facts_mut().still_due = Some(due);
            }
        });
        match settlement.settled {
            Settled::Paid(status) => Self::enter(ctx, status, Some(MailKind::Paid)),
            // An end of which we do not know: it was decided in a task that was thrown away.
            Settled::Unmatched(exception::Kind::OrderClosed) if !ctx.state(Self::status).is_terminal() => {
                Self::expire(ctx).await?;
            }
            Settled::Unmatched(_) | Settled::Reinstated(_) | Settled::AttemptFailed | Settled::Known => {}
        }
        Ok(())
    }

    /// The deadline passed. Compensates: the stock goes back, the customer is told.
    pub(crate) async fn expire(ctx: &WorkflowContext<Self>) -> Decided {
        let (order, unclear) = ctx.state(|s| (s.order(), s.unclear));
        let input = ExpireInput { order, at: now(ctx), unclear };
        match step(ctx, OrderSteps::expire, input, DATABASE, "expire and restock").await? {
            ChangeOutcome::Done => Self::enter(ctx, Status::Expired, Some(MailKind::Expired)),
            ChangeOutcome::NotDue(due) => Self::set_due(ctx, due),
            // Then we come here again: the deadline stays past.
            ChangeOutcome::AttemptsOpen => {
                let unclear = Self::close_attempts(ctx).await == AttemptsClosed::Unclear;
                ctx.state_mut(|s| s.unclear |= unclear);
            }
            // It ended otherwise, in a task that was thrown away before the customer was told.
            ChangeOutcome::Refused(status) => Self::enter(ctx, status, mail_of(status)),
            ChangeOutcome::Refunded => {} // said to check-ins alone
        }
        Ok(())
    }

    /// A change that was stored is decided by one step, which writes the answer with what it does.
    async fn change_order(ctx: &WorkflowContext<Self>, change: ChangeId) -> Decided {
        let (order, unclear) = ctx.state(|s| (s.order(), s.unclear));
        let input = DecideChangeInput { order, change, at: now(ctx), unclear };
        match step(ctx, OrderSteps::decide_change, input, DATABASE, "decide about a change").await? {
            // After a crash in our first task, `reserve` has found the order ended already, and knew not by
            // what.
            Changed::Ended { change, status } if ctx.state(|s| s.entered) == Some(status) => {
                ctx.state_mut(|s| {
                    let mail = mail_after(change).filter(|mail| !s.mails.contains(mail));
                    s.mails.extend(mail);
                });
            }
            Changed::Ended { change, status } => Self::enter(ctx, status, mail_after(change)),
            Changed::Extended { payment_due_at, reminders_at } => {
                Self::set_due(ctx, payment_due_at);
                Self::set_reminders(ctx, reminders_at);
                ctx.state_mut(|s| {
                    s.mails.retain(|mail| !mail.asks_for_payment());
                    s.mails.push_back(MailKind::Extended(payment_due_at));
                });
            }
            // A code that waits in the queue is not good any more; its mail finds that out, and says nothing.
            Changed::NewCheckInCode => ctx.state_mut(|s| {
                let mail = Some(MailKind::NewCheckInCode(change)).filter(|mail| !s.mails.contains(mail));
                s.mails.extend(mail);
            }),
            Changed::Refused => {}
            Changed::AttemptsOpen => ctx.state_mut(|s| s.waiting.push(Event::Change(change))),
        }
        Ok(())
    }

    async fn cancel_order(ctx: &WorkflowContext<Self>, reason: String) -> Decided<ChangeOutcome> {
        let (order, unclear) = ctx.state(|s| (s.order(), s.unclear));
        let input = CancelInput { order, at: now(ctx), reason, unclear };
        let outcome = step(ctx, OrderSteps::cancel, input, DATABASE, "cancel and restock").await?;
        if outcome == ChangeOutcome::Done {
            Self::enter(ctx, Status::Cancelled, Some(MailKind::Cancelled));
        }
        Ok(outcome)
    }

    async fn extend_order(ctx: &WorkflowContext<Self>, due: Timestamp) -> Decided<ChangeOutcome> {
        let input = ExtendInput { order: ctx.state(Self::order), at: now(ctx), payment_due_at: due };
        let outcome = step(ctx, OrderSteps::extend, input, DATABASE, "extend the deadline").await?;
        if outcome == ChangeOutcome::Done {
            Self::set_due(ctx, due);
        }
        Ok(outcome)
    }

    async fn fulfil_order(ctx: &WorkflowContext<Self>) -> Decided<ChangeOutcome> {
        let input = OrderAt { order: ctx.state(Self::order), at: now(ctx) };
        let outcome = step(ctx, OrderSteps::fulfil, input, DATABASE, "complete the order").await?;
        if outcome == ChangeOutcome::Done {
            Self::enter(ctx, Status::Completed, Some(MailKind::Completed));
        }
        Ok(outcome)
    }

    /// The guests are there. Those who come second with the same code are told that it was used.
    async fn check_in_order(ctx: &WorkflowContext<Self>) -> Decided<ChangeOutcome> {
        let status = ctx.state(Self::status);
        if status != Status::Paid {
            return Ok(ChangeOutcome::Refused(status));
        }
        let input = OrderAt { order: ctx.state(Self::order), at: now(ctx) };
        let outcome = step(ctx, OrderSteps::check_in, input, DATABASE, "check in").await?;
        if outcome == ChangeOutcome::Done {
            Self::enter(ctx, Status::Completed, None);
        }
        Ok(outcome)
    }

    /// The stay is over, and nobody has checked in.
    pub(crate) async fn end_stay(ctx: &WorkflowContext<Self>) -> Decided {
        let input = OrderAt { order: ctx.state(Self::order), at: now(ctx) };
        match step(ctx, OrderSteps::end_stay, input, DATABASE, "close as unused").await? {
            ChangeOutcome::Done => Self::enter(ctx, Status::Completed, None),
            // Some of its nights were given back: what is left ends at another time.
            ChangeOutcome::NotDue(end) => ctx.state_mut(|s| s.facts_mut().stays_end_at = Some(end)),
            // It ended otherwise, in a task that was thrown away before the customer was told.
            ChangeOutcome::Refused(status) => Self::enter(ctx, status, mail_of(status)),
            ChangeOutcome::AttemptsOpen | ChangeOutcome::Refunded => {} // said to others
        }
        Ok(())
    }

    /// The order has a new status: say so in the UI, drop reminders that are moot, queue the mail.
    /// Whether it is new is judged by what was said, not by what is stored: after a crash in our first
    /// task, `reserve` finds the order as a step that was already done had left it.
    pub(crate) fn enter(ctx: &WorkflowContext<Self>, status: Status, mail: Option<MailKind>) {
        if ctx.state_mut(|s| s.entered.replace(status)) == Some(status) {
            return;
        }
        ctx.upsert_search_attributes([names::ORDER_STATUS.value_set(status.to_string())]);
        ctx.state_mut(|s| {
            s.facts_mut().status = status;
            s.mails.retain(|mail| !mail.asks_for_payment());
            s.mails.extend(mail);
            if status == Status::Paid && s.facts().stays_end_at.is_some() {
                s.mails.push_back(MailKind::CheckIn);
            }
        });
    }

    /// A new deadline: the provider has all its time again to answer.
    fn set_due(ctx: &WorkflowContext<Self>, due: Timestamp) {
        ctx.state_mut(|s| {
            s.asking_since = None;
            s.unclear = false;
            s.facts_mut().payment_due_at = due;
        });
    }
}

impl OrderWorkflow {
    /// The reminders before a new deadline. They are numbered on from those that went out before the old one.
    fn set_reminders(ctx: &WorkflowContext<Self>, reminders_at: Vec<Timestamp>) {
        let now = now(ctx);
        ctx.state_mut(|s| {
            let begun = u8::try_from(s.reminders_begun).unwrap_or(u8::MAX);
            s.reminders_begun = 0;
            let facts = s.facts_mut();
            facts.reminders_sent = facts.reminders_sent.saturating_add(begun);
            facts.reminders_at = reminders_at.into_iter().filter(|at| *at > now).collect();
        });
    }
}

/// What the customer hears of an order that a change has ended.
fn mail_after(change: Kind) -> Option<MailKind> {
    match change {
        Kind::Cancel | Kind::EndRefunded => Some(MailKind::Cancelled),
        Kind::Fulfil => Some(MailKind::Completed),
        Kind::CheckIn | Kind::Extend | Kind::NewCheckInCode => None,
    }
}

/// What the customer hears of an order that has come to this.
pub(crate) fn mail_of(status: Status) -> Option<MailKind> {
    match status {
        Status::AwaitingPayment => None,
        Status::Paid | Status::Completed => Some(MailKind::Paid),
        Status::Cancelled => Some(MailKind::Cancelled),
        Status::Expired => Some(MailKind::Expired),
    }
}
