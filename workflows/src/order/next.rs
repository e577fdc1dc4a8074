//! What an order does next, and the one timer it sleeps on.

use std::time::Duration;

use domain::{Timestamp, mail::MailKind, next_step::NextStep, order::Status};
use futures_util::FutureExt as _;
use temporalio_workflow::{TimerOptions, WorkflowCancellationToken, WorkflowContext, select};

use super::{Event, OrderWorkflow};
use crate::step::now;

pub(crate) enum Todo {
    Decide(Event),
    Mail(MailKind),
    CloseAttempts,
    Expire,
    EndStay,
    ContinueAsNew,
}

enum Wake {
    Event,
    Alarm,
}

impl OrderWorkflow {
    /// The next thing to do: events first, then mails, then whatever time brings. `None` when the
    /// order has ended and everything is said and answered.
    pub(crate) async fn next(ctx: &WorkflowContext<Self>) -> Option<Todo> {
        loop {
            if let Some(todo) = ctx.state_mut(Self::at_hand) {
                return Some(todo);
            }
            if ctx.state(|s| s.status().is_terminal()) {
                Self::handlers_finished(ctx).await;
                if ctx.state(|s| s.events.is_empty()) {
                    return None;
                }
                continue;
            }
            // Histories from before this was done have the suggestion, and go on after it.
            if ctx.continue_as_new_suggested()
                && ctx.all_handlers_finished()
                && ctx.patched("continue-as-new")
            {
                return Some(Todo::ContinueAsNew);
            }
            ctx.set_current_details(ctx.state_mut(Self::describe));
            let alarm = ctx.state(Self::alarm);
            if let Wake::Alarm = Self::sleep(ctx, alarm).await
                && let Some(todo) = ctx.state_mut(Self::on_alarm)
            {
                return Some(todo);
            }
        }
    }

    fn at_hand(&mut self) -> Option<Todo> {
        let unpaid = self.status() == Status::AwaitingPayment;
        if !unpaid {
            self.wait_no_longer();
        }
        if let Some(event) = self.events.pop_front() {
            return Some(Todo::Decide(event));
        }
        if !self.waiting.is_empty() {
            return Some(Todo::CloseAttempts);
        }
        let paid_otherwise = self.attempts_open && !unpaid;
        let mail = self.mails.pop_front().map(Todo::Mail);
        mail.or_else(|| paid_otherwise.then_some(Todo::CloseAttempts))
    }

    /// What waited for attempts to be closed is decided again.
    pub(crate) fn wait_no_longer(&mut self) {
        self.events.extend(std::mem::take(&mut self.waiting));
    }

    /// When time brings something. Never for an order that waits for the shop.
    fn alarm(&self) -> Option<Timestamp> {
        self.outlook().next().map(|(_, at)| at)
    }

    fn on_alarm(&mut self) -> Option<Todo> {
        match self.outlook().next()?.0 {
            NextStep::Reminder(number) => {
                self.reminders_begun += 1;
                self.mails.push_back(MailKind::Reminder(number));
                None // the loop takes it from the queue
            }
            NextStep::Expiry => Some(Todo::Expire),
            NextStep::EndOfStay => Some(Todo::EndStay),
        }
    }

    /// Sleeps until something happens or the alarm rings. The loser of the race is cancelled: a timer
    /// left behind would fire later and wake the workflow for nothing.
    async fn sleep(ctx: &WorkflowContext<Self>, alarm: Option<Timestamp>) -> Wake {
        let Some(alarm) = alarm else {
            Self::event(ctx).await;
            return Wake::Event;
        };
        let left = alarm.duration_since(now(ctx));
        let Ok(left) = Duration::try_from(left) else {
            return Wake::Alarm; // it is past already
        };
        if left.is_zero() {
            return Wake::Alarm;
        }
        let token = WorkflowCancellationToken::new();
        let summary = ctx.state(Self::alarm_summary);
        let timer = TimerOptions::builder(left).cancellation_token(token.clone()).summary(summary).build();
        select! {
            () = Self::event(ctx).fuse() => {
                token.cancel();
                Wake::Event
            }
            _ = ctx.timer(timer) => Wake::Alarm,
        }
    }

    /// Waits for an event; a cancellation of the workflow itself becomes one, once.
    pub(crate) async fn event(ctx: &WorkflowContext<Self>) {
        if ctx.state(|s| s.cancel_seen) {
            return Self::until(ctx, |s| !s.events.is_empty()).await;
        }
        if ctx.wait_condition(|s| !s.events.is_empty()).await.is_err() {
            ctx.state_mut(|s| {
                s.cancel_seen = true;
                s.events.push_back(Event::WorkflowCancelled);
            });
        }
    }

    fn alarm_summary(&self) -> String {
        match self.outlook().next() {
            Some((NextStep::Reminder(number), _)) => format!("payment reminder {number}"),
            Some((NextStep::EndOfStay, _)) => "the stay is over".to_owned(),
            Some((NextStep::Expiry, _)) | None => "payment due".to_owned(),
        }
    }

    /// What the Temporal UI shows: what the order waits for, until when.
    fn describe(&mut self) -> String {
        let facts = self.facts();
        let due = facts.still_due.unwrap_or(facts.total);
        let details = match (facts.status, self.outlook().next_reminder()) {
            (Status::AwaitingPayment, Some((number, at))) => format!(
                "Waiting for a payment of {} until {}. Reminder {number} goes out at {at}.",
                due, facts.payment_due_at
            ),
            (Status::AwaitingPayment, None) => format!(
                "Waiting for a payment of {} until {}. No reminder is left; then the order expires and its \
                 stock is released.",
                due, facts.payment_due_at
            ),
            (Status::Paid, _) => match facts.stays_end_at {
                Some(end) => format!("Paid. Waiting for the guests to check in until {end}."),
                None => "Paid. Waiting for the shop to call fulfil.".to_owned(),
            },
            (status, _) => format!("The order is {status}."),
        };
        self.details.clone_from(&details);
        details
    }
}
