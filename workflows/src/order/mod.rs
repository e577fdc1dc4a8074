//! The order workflow: one per order, from the hold to its end.
//!
//! One thing is decided at a time. Payments, cancellations and so on queue up as [`Event`]s; the
//! main loop takes what [`OrderWorkflow::next`] says is due (an event, a mail, a deadline) and deals
//! with it before it looks again. So payment and expiry cannot race.

mod attempts;
mod decide;
mod mail;
mod next;
pub mod requests;
mod resume;

use std::collections::{BTreeMap, VecDeque};

use domain::{
    ChangeId, OrderId, Timestamp, change::ChangeOutcome, mail::MailKind, next_step::Outlook, order::Status,
    payment::PaymentReport,
};
use serde::{Deserialize, Serialize};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    SyncWorkflowContext, WaitConditionOptions, WorkflowCancellationToken, WorkflowContext,
    WorkflowContextView, WorkflowResult,
};

use crate::{
    contract::{Facts, OrderSteps, ReserveInput, Reserved},
    names,
    step::{now, step},
    timeouts,
};
use decide::mail_of;
use next::Todo;
use requests::{CancelRequest, ExtendRequest, Request};
pub use resume::Resumed;

/// `{"order": "ord_..."}`: an order that was placed through the API.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderInput {
    pub order: OrderId,
    /// How far the run before came, whose history had grown long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
}

/// A change was asked for and stored: decide about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChangeNotice {
    pub change: ChangeId,
}

/// What the `state` query answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderState {
    pub status: Status,
    pub payment_due_at: Timestamp,
    pub next_reminder_at: Option<Timestamp>,
    /// In words.
    pub details: String,
}

/// Something that happened to the order and wants a decision.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Payment(PaymentReport),
    Change(ChangeId),
    /// Asked for by an update, as changes were before they were stored.
    Request(Ticket, Request),
    /// Somebody pressed "cancel" in the Temporal UI.
    WorkflowCancelled,
}

/// Numbers a request, so that its caller finds the answer.
pub(crate) type Ticket = u64;

#[workflow]
pub struct OrderWorkflow {
    order: OrderId,
    /// What `reserve` told, the first step; a run that goes on has it from the run before.
    facts: Option<Facts>,
    /// The status that was entered last, with its mail.
    entered: Option<Status>,
    events: VecDeque<Event>,
    /// Events that can be decided only once no attempt can bring money any more.
    waiting: Vec<Event>,
    tickets: Ticket,
    answers: BTreeMap<Ticket, ChangeOutcome>,
    /// Mails that are due now, in order.
    mails: VecDeque<MailKind>,
    /// Of `facts.reminders_at`.
    reminders_begun: usize,
    cancel_seen: bool,
    /// An attempt to pay is not closed at its provider.
    attempts_open: bool,
    /// Since when we ask the provider what became of attempts.
    asking_since: Option<Timestamp>,
    /// The provider did not say in time: the order may end all the same.
    unclear: bool,
    details: String,
}

#[workflow_methods]
impl OrderWorkflow {
    #[init]
    fn new(_ctx: &WorkflowContextView, input: OrderInput) -> Self {
        let begun = Self::begun(input.order);
        match input.resumed {
            Some(resumed) => begun.resume(resumed),
            None => begun,
        }
    }

    #[run(name = "order")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<String> {
        let is_new = ctx.state(|s| s.facts.is_none());
        if is_new && let Err(why) = Self::reserve(ctx).await? {
            Self::refuse_all(ctx).await;
            return Ok(why);
        }
        while let Some(todo) = Self::next(ctx).await {
            match todo {
                Todo::Decide(event) => Self::decide(ctx, event).await?,
                Todo::Mail(kind) => Self::mail(ctx, kind).await,
                Todo::CloseAttempts => Self::close_attempts_in_the_way(ctx).await,
                Todo::Expire => Self::expire(ctx).await?,
                Todo::EndStay => Self::end_stay(ctx).await?,
                Todo::ContinueAsNew => Self::continue_as_new(ctx)?,
            }
        }
        Ok(ctx.state(|s| s.status().to_string()))
    }

    /// A provider reported money. Deduplicated by payment when it is settled.
    #[signal(name = "payment")]
    pub fn payment(&mut self, _ctx: &mut SyncWorkflowContext<Self>, report: PaymentReport) {
        self.events.push_back(Event::Payment(report));
    }

    /// Somebody asked for a change, which was stored first. Told again, it is decided once.
    #[signal(name = "change")]
    pub fn change(&mut self, _ctx: &mut SyncWorkflowContext<Self>, notice: ChangeNotice) {
        let is_known = |event: &Event| matches!(event, Event::Change(waiting) if *waiting == notice.change);
        if !self.events.iter().chain(&self.waiting).any(is_known) {
            self.events.push_back(Event::Change(notice.change));
        }
    }

    #[update(name = "cancel")]
    pub async fn cancel(ctx: &mut WorkflowContext<Self>, request: CancelRequest) -> ChangeOutcome {
        Self::ask(ctx, Request::Cancel(request)).await
    }

    #[update_validator(cancel)]
    fn validate_cancel(&self, _ctx: &WorkflowContextView, _: &CancelRequest) -> requests::Verdict {
        self.must_be(Status::AwaitingPayment)
    }

    #[update(name = "extend")]
    pub async fn extend(ctx: &mut WorkflowContext<Self>, request: ExtendRequest) -> ChangeOutcome {
        Self::ask(ctx, Request::Extend(request)).await
    }

    #[update_validator(extend)]
    fn validate_extend(&self, _ctx: &WorkflowContextView, request: &ExtendRequest) -> requests::Verdict {
        self.must_be(Status::AwaitingPayment)?;
        self.must_be_later(request.payment_due_at)
    }

    #[update(name = "fulfil")]
    pub async fn fulfil(ctx: &mut WorkflowContext<Self>, _request: requests::FulfilRequest) -> ChangeOutcome {
        Self::ask(ctx, Request::Fulfil).await
    }

    #[update_validator(fulfil)]
    fn validate_fulfil(&self, _ctx: &WorkflowContextView, _: &requests::FulfilRequest) -> requests::Verdict {
        self.must_be(Status::Paid)
    }

    #[update(name = "check-in")]
    pub async fn check_in(
        ctx: &mut WorkflowContext<Self>,
        _request: requests::CheckInRequest,
    ) -> ChangeOutcome {
        Self::ask(ctx, Request::CheckIn).await
    }

    #[update_validator(check_in)]
    fn validate_check_in(
        &self,
        _ctx: &WorkflowContextView,
        _: &requests::CheckInRequest,
    ) -> requests::Verdict {
        self.must_be(Status::Paid)
    }

    #[query(name = "state")]
    pub fn state(&self, _ctx: &WorkflowContextView) -> Option<OrderState> {
        let facts = self.facts.as_ref()?;
        Some(OrderState {
            status: facts.status,
            payment_due_at: facts.payment_due_at,
            next_reminder_at: self.outlook().next_reminder().map(|(_, at)| at),
            details: self.details.clone(),
        })
    }
}

impl OrderWorkflow {
    /// An order of which no more is known than that it was placed.
    fn begun(order: OrderId) -> Self {
        Self {
            order,
            facts: None,
            entered: None,
            events: VecDeque::new(),
            waiting: Vec::new(),
            tickets: 0,
            answers: BTreeMap::new(),
            mails: VecDeque::new(),
            reminders_begun: 0,
            cancel_seen: false,
            attempts_open: false,
            asking_since: None,
            unclear: false,
            details: String::new(),
        }
    }

    /// The first step: the order exists and holds its stock.
    async fn reserve(ctx: &WorkflowContext<Self>) -> WorkflowResult<Result<(), String>> {
        let input = ReserveInput { order: ctx.state(Self::order), at: now(ctx) };
        let facts = match step(ctx, OrderSteps::reserve, input, timeouts::DATABASE, "hold the stock").await? {
            Reserved::Refused(why) => return Ok(Err(why)),
            Reserved::Held(facts) => facts,
        };
        if ctx.search_attributes().get(&names::ORDER_STATUS).is_none() {
            // Started by hand: say who and how far, as the API does when it starts us.
            let status = names::ORDER_STATUS.value_set(facts.status.to_string());
            ctx.upsert_search_attributes([status, names::CUSTOMER_ID.value_set(facts.customer_id.clone())]);
        }
        let status = facts.status;
        ctx.state_mut(|s| s.facts = Some(facts));
        if status != Status::AwaitingPayment {
            // It took the place of an ended order, or somebody terminated the workflow that was here before.
            Self::enter(ctx, status, mail_of(status));
        }
        Ok(Ok(()))
    }

    /// Without an order there is nothing to decide: whoever asked meanwhile is told so.
    async fn refuse_all(ctx: &WorkflowContext<Self>) {
        ctx.state_mut(|s| {
            for event in std::mem::take(&mut s.events) {
                if let Event::Request(ticket, _) = event {
                    s.answers.insert(ticket, ChangeOutcome::Refused(Status::Cancelled));
                }
            }
        });
        Self::handlers_finished(ctx).await;
    }

    /// Queues a request for the main loop and waits for its answer.
    async fn ask(ctx: &WorkflowContext<Self>, request: Request) -> ChangeOutcome {
        let ticket = ctx.state_mut(|s| {
            s.tickets += 1;
            s.events.push_back(Event::Request(s.tickets, request));
            s.tickets
        });
        Self::until(ctx, move |s| s.answers.contains_key(&ticket)).await;
        ctx.state_mut(|s| s.answers.remove(&ticket)).expect("waited until there is an answer")
    }

    /// Waits for a condition, also in a workflow that was cancelled.
    async fn until(ctx: &WorkflowContext<Self>, condition: impl FnMut(&Self) -> bool) {
        let detached =
            WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
        // A token that nobody holds is never cancelled, so the wait ends only with the condition.
        let _ = ctx.wait_condition_with_options(condition, detached).await;
    }

    async fn handlers_finished(ctx: &WorkflowContext<Self>) {
        let same = ctx.clone();
        Self::until(ctx, move |_| same.all_handlers_finished()).await;
    }

    fn order(&self) -> OrderId {
        self.order
    }

    fn facts(&self) -> &Facts {
        self.facts.as_ref().expect("set by reserve, before the main loop")
    }

    fn facts_mut(&mut self) -> &mut Facts {
        self.facts.as_mut().expect("set by reserve, before the main loop")
    }

    fn status(&self) -> Status {
        self.facts().status
    }

    /// What time brings.
    fn outlook(&self) -> Outlook<'_> {
        let facts = self.facts();
        let begun = u8::try_from(self.reminders_begun).unwrap_or(u8::MAX);
        Outlook {
            status: facts.status,
            payment_due_at: facts.payment_due_at,
            expires_at: facts.expires_at(),
            reminders_at: facts.reminders_at.get(self.reminders_begun..).unwrap_or_default(),
            reminders_before: begun.saturating_add(facts.reminders_sent),
            stays_end_at: facts.stays_end_at,
        }
    }
}
