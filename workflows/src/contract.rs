//! The steps that workflows ask for. `activities` implements each by `#[activity(definition = ...)]`, so
//! a mismatch does not compile.
//!
//! The types here are a wire format: they stand in histories for as long as an order sleeps, and so do those
//! of `domain` that steps take and answer with. Change them by adding fields with `#[serde(default)]`, never
//! otherwise.

// The macro wants bodies that say so: these are declarations.
#![expect(clippy::unimplemented)]

use domain::{
    AccountCodeId, ChangeId, OrderId, RefundId, SignedDuration, Timestamp,
    change::{ChangeOutcome, Changed},
    mail::MailKind,
    money::Money,
    order::Status,
    payment::{PaymentReport, RefundState},
    policy::expires_at,
    settlement::Settlement,
};
use serde::{Deserialize, Serialize};
use temporalio_common::ActivityError;
use temporalio_macros::activity_definitions;

/// Every step takes its time `at` from the workflow and is safe to repeat.
pub struct OrderSteps;

#[activity_definitions]
impl OrderSteps {
    /// Makes sure that the order exists and holds its stock, and tells its facts.
    #[activity(name = "reserve")]
    pub fn reserve(_: ReserveInput) -> Result<Reserved, ActivityError> {
        unimplemented!()
    }

    /// Records money, and pays the order if it fits.
    #[activity(name = "settle-payment")]
    pub fn settle_payment(_: SettlePaymentInput) -> Result<Settlement, ActivityError> {
        unimplemented!()
    }

    /// Decides about a change that was asked for and stored, or tells again how it was decided.
    #[activity(name = "decide-change")]
    pub fn decide_change(_: DecideChangeInput) -> Result<Changed, ActivityError> {
        unimplemented!()
    }

    /// Moves the payment deadline. This, `cancel`, `fulfil` and `check-in` are asked for by workflows that
    /// took changes as updates, before changes were stored; no new one does.
    #[activity(name = "extend")]
    pub fn extend(_: ExtendInput) -> Result<ChangeOutcome, ActivityError> {
        unimplemented!()
    }

    /// Ends the unpaid order and gives its stock back.
    #[activity(name = "cancel")]
    pub fn cancel(_: CancelInput) -> Result<ChangeOutcome, ActivityError> {
        unimplemented!()
    }

    /// Ends the unpaid order at its deadline and gives its stock back.
    #[activity(name = "expire")]
    pub fn expire(_: ExpireInput) -> Result<ChangeOutcome, ActivityError> {
        unimplemented!()
    }

    /// Closes every attempt to pay at its provider. Gives what turned out to be captured.
    #[activity(name = "close-attempts")]
    pub fn close_attempts(_: OrderAt) -> Result<Vec<PaymentReport>, ActivityError> {
        unimplemented!()
    }

    /// Completes the paid order that the shop has fulfilled.
    #[activity(name = "fulfil")]
    pub fn fulfil(_: OrderAt) -> Result<ChangeOutcome, ActivityError> {
        unimplemented!()
    }

    /// Completes the paid order whose guest has shown the code.
    #[activity(name = "check-in")]
    pub fn check_in(_: OrderAt) -> Result<ChangeOutcome, ActivityError> {
        unimplemented!()
    }

    /// Completes the paid order whose stay is over, unused.
    #[activity(name = "end-stay")]
    pub fn end_stay(_: OrderAt) -> Result<ChangeOutcome, ActivityError> {
        unimplemented!()
    }

    /// Tells the customer, unless there is no longer anything to tell.
    #[activity(name = "send-mail")]
    pub fn send_mail(_: SendMailInput) -> Result<MailOutcome, ActivityError> {
        unimplemented!()
    }

    /// Notes that the mail is tried no more, unless it was sent after all or there is no longer anything to
    /// tell.
    #[activity(name = "give-up-mail")]
    pub fn give_up_mail(_: SendMailInput) -> Result<MailOutcome, ActivityError> {
        unimplemented!()
    }
}

/// What moves money at providers, outside of an order's own story.
pub struct MoneySteps;

#[activity_definitions]
impl MoneySteps {
    /// Asks the provider for the refund, or what became of it. Money goes back once, however often.
    #[activity(name = "drive-refund")]
    pub fn drive_refund(_: RefundStep) -> Result<RefundState, ActivityError> {
        unimplemented!()
    }

    /// Reads a provider's statement since the last time, matches them with ours, and heals what is missing.
    #[activity(name = "reconcile-provider")]
    pub fn reconcile_provider(_: ReconcileStep) -> Result<Reconciled, ActivityError> {
        unimplemented!()
    }

    /// The providers whose statements there are to read.
    #[activity(name = "list-providers")]
    pub fn list_providers() -> Result<Vec<String>, ActivityError> {
        unimplemented!()
    }
}

/// What the code of an account needs.
pub struct AccountSteps;

#[activity_definitions]
impl AccountSteps {
    /// Draws a code and mails it; one that was drawn before for the same mail is worth nothing from then on.
    /// Until when it is good; none if there is nothing to wait for.
    #[activity(name = "send-code")]
    pub fn send_code(_: CodeStep) -> Result<Option<Timestamp>, ActivityError> {
        unimplemented!()
    }

    /// Lets the code die. Whether its owner is to be told that it was used.
    #[activity(name = "end-code")]
    pub fn end_code(_: CodeStep) -> Result<bool, ActivityError> {
        unimplemented!()
    }

    /// Tells the owner of an account what a code was used for.
    #[activity(name = "send-code-used")]
    pub fn send_code_used(_: CodeStep) -> Result<(), ActivityError> {
        unimplemented!()
    }
}

pub use account_steps::{EndCode, SendCode, SendCodeUsed};
pub use money_steps::{DriveRefund, ListProviders, ReconcileProvider};
pub use order_steps::{
    Cancel, CheckIn, CloseAttempts, DecideChange, EndStay, Expire, Extend, Fulfil, GiveUpMail, Reserve,
    SendMail, SettlePayment,
};

/// The order whose hold is looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReserveInput {
    pub order: OrderId,
    pub at: Timestamp,
}

/// What the first step found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reserved {
    Held(Facts),
    /// There is no such order: an order is placed by the API, or it does not exist.
    Refused(String),
}

/// What the workflow needs to know of its order. No personal data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    pub status: Status,
    pub customer_id: String,
    pub total: Money,
    pub payment_due_at: Timestamp,
    /// Those that are still to come, ascending.
    pub reminders_at: Vec<Timestamp>,
    /// How many were sent before them.
    #[serde(default)]
    pub reminders_sent: u8,
    /// Between the deadline and the expiry.
    #[serde(default)]
    pub grace: SignedDuration,
    /// What of the total is still to come; none in histories from before orders were paid in parts.
    #[serde(default)]
    pub still_due: Option<Money>,
    /// When the last of its stays is over. None: it has no stay, and waits for no check-in.
    #[serde(default)]
    pub stays_end_at: Option<Timestamp>,
    /// By when it has to be paid at the latest. None: whenever its deadline is.
    #[serde(default)]
    pub due_by: Option<Timestamp>,
}

impl Facts {
    /// From here on an unpaid order expires.
    pub(crate) fn expires_at(&self) -> Timestamp {
        expires_at(self.payment_due_at, self.grace, self.due_by)
    }
}

/// What a provider told of an order's money.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SettlePaymentInput {
    pub order: OrderId,
    pub at: Timestamp,
    pub report: PaymentReport,
}

/// An order, and the time of a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderAt {
    pub order: OrderId,
    pub at: Timestamp,
}

/// An unpaid order to be cancelled, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CancelInput {
    pub order: OrderId,
    pub at: Timestamp,
    pub reason: String,
    /// Nobody could tell what became of an attempt: end the order all the same.
    #[serde(default)]
    pub unclear: bool,
}

/// An unpaid order whose deadline has passed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExpireInput {
    pub order: OrderId,
    pub at: Timestamp,
    /// As for [`CancelInput`].
    #[serde(default)]
    pub unclear: bool,
}

/// A stored change to be decided about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DecideChangeInput {
    pub order: OrderId,
    pub change: ChangeId,
    pub at: Timestamp,
    /// As for [`CancelInput`].
    #[serde(default)]
    pub unclear: bool,
}

/// An unpaid order, and its new deadline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExtendInput {
    pub order: OrderId,
    pub at: Timestamp,
    pub payment_due_at: Timestamp,
}

/// A mail to an order's customer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendMailInput {
    pub order: OrderId,
    pub at: Timestamp,
    pub kind: MailKind,
}

/// What became of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailOutcome {
    Sent,
    AlreadySent,
    /// A reminder after the money came, or after the order ended.
    Moot,
    /// The mail server refused it for good, or for too long.
    Rejected,
}

/// A code that was asked for, and the time of a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CodeStep {
    pub code: AccountCodeId,
    pub at: Timestamp,
}

/// A refund to be driven on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefundStep {
    pub refund: RefundId,
    pub at: Timestamp,
}

/// A provider whose statement is to be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReconcileStep {
    pub provider: String,
    pub at: Timestamp,
}

/// What a reconciliation found in a provider's statement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    /// Lines read.
    pub lines: u64,
    /// Captures and refunds that we had not heard of: taken up now, as if their webhook had come.
    pub healed: u64,
    /// Lines that contradict what we have on record, or that nobody can read.
    pub unmatched: u64,
    /// Captures of ours that the statement does not have, found now: exceptions.
    #[serde(default)]
    pub missing: u64,
}
