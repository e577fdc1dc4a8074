//! An order that is changed again and again goes on in a new run, before its history comes near the engine's
//! limits.

use std::collections::VecDeque;

use domain::{Timestamp, mail::MailKind, order::Status};
use serde::{Deserialize, Serialize};
use temporalio_workflow::{ContinueAsNewOptions, WorkflowContext, WorkflowTermination};

use super::{OrderInput, OrderWorkflow};
use crate::contract::Facts;

/// What a run leaves to the next one. It ends only while nothing waits, so there are no events among it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resumed {
    facts: Facts,
    entered: Option<Status>,
    mails: VecDeque<MailKind>,
    reminders_begun: usize,
    attempts_open: bool,
    asking_since: Option<Timestamp>,
    unclear: bool,
}

impl OrderWorkflow {
    pub(crate) fn resume(self, resumed: Resumed) -> Self {
        let Resumed { facts, entered, mails, reminders_begun, attempts_open, asking_since, unclear } =
            resumed;
        let facts = Some(facts);
        Self { facts, entered, mails, reminders_begun, attempts_open, asking_since, unclear, ..self }
    }

    /// A signal that comes in this very moment makes the server refuse the end of the run; then the loop goes
    /// on.
    pub(crate) fn continue_as_new(ctx: &WorkflowContext<Self>) -> Result<(), WorkflowTermination> {
        let input = ctx.state(|s| OrderInput {
            order: s.order(),
            resumed: Some(Resumed {
                facts: s.facts().clone(),
                entered: s.entered,
                mails: s.mails.clone(),
                reminders_begun: s.reminders_begun,
                attempts_open: s.attempts_open,
                asking_since: s.asking_since,
                unclear: s.unclear,
            }),
        });
        ctx.continue_as_new(input, ContinueAsNewOptions::default()).map(|never| match never {})
    }
}
