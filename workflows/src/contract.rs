//! The steps that workflows ask for. `activities` implements each by `#[activity(definition = ...)]`, so
//! a mismatch does not compile.
//!
//! The types here are a wire format: they stand in histories for as long as an order sleeps. Change
//! them by adding fields with `#[serde(default)]`, never otherwise.

// The macro wants bodies that say so: these are declarations.
#![expect(clippy::unimplemented)]

use domain::{
    OrderId, Timestamp,
    mail::MailKind,
    money::Money,
    order::{Placement, Status},
    payment::{Mismatch, PaymentReport},
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
    pub fn settle_payment(_: SettlePaymentInput) -> Result<Settled, ActivityError> {
        unimplemented!()
    }

    /// Moves the payment deadline.
    #[activity(name = "extend")]
    pub fn extend(_: ExtendInput) -> Result<Outcome, ActivityError> {
        unimplemented!()
    }

    /// Ends the unpaid order and gives its stock back.
    #[activity(name = "cancel")]
    pub fn cancel(_: CancelInput) -> Result<Outcome, ActivityError> {
        unimplemented!()
    }

    /// Ends the unpaid order at its deadline and gives its stock back.
    #[activity(name = "expire")]
    pub fn expire(_: At) -> Result<Outcome, ActivityError> {
        unimplemented!()
    }

    /// Completes the paid order that the shop has fulfilled.
    #[activity(name = "fulfil")]
    pub fn fulfil(_: At) -> Result<Outcome, ActivityError> {
        unimplemented!()
    }

    /// Tells the customer, unless there is no longer anything to tell.
    #[activity(name = "send-mail")]
    pub fn send_mail(_: SendMailInput) -> Result<MailOutcome, ActivityError> {
        unimplemented!()
    }
}

pub use order_steps::{Cancel, Expire, Extend, Fulfil, Reserve, SendMail, SettlePayment};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReserveInput {
    pub order: OrderId,
    pub at: Timestamp,
    /// What to place if there is no such order yet: absent for orders that came through the door.
    #[serde(default)]
    pub placement: Option<Placement>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reserved {
    Held(Facts),
    /// There is no such order, and it could not be placed: why, in one sentence.
    Refused(String),
}

/// What the workflow needs to know of its order. No personal data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    pub status: Status,
    pub customer_id: String,
    pub total: Money,
    pub payment_due_at: Timestamp,
    pub reminders_at: Vec<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SettlePaymentInput {
    pub order: OrderId,
    pub at: Timestamp,
    pub report: PaymentReport,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// The order is paid and now has this status.
    Paid(Status),
    AttemptFailed,
    Known,
    Unmatched(Mismatch),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct At {
    pub order: OrderId,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CancelInput {
    pub order: OrderId,
    pub at: Timestamp,
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExtendInput {
    pub order: OrderId,
    pub at: Timestamp,
    pub payment_due_at: Timestamp,
}

/// How a change of an order went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done, now or by an earlier run of the step.
    Done,
    /// Not yet: payment is due only then.
    NotDue(Timestamp),
    /// The order's status forbids it.
    Refused(Status),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendMailInput {
    pub order: OrderId,
    pub at: Timestamp,
    pub kind: MailKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailOutcome {
    Sent,
    AlreadySent,
    /// A reminder after the money came, or after the order ended.
    Moot,
    /// The mail server refused it for good.
    Rejected,
}
