//! Money that arrives, and whether it pays the order.

use serde::{Deserialize, Serialize};

use crate::{
    Invalid, RefundId, exception,
    money::Money,
    policy::{LatePayment, MoneyRules, Overpayment, Settle},
    text,
};

/// What a provider reports about one payment attempt. It stands in histories, so only ever add to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentReport {
    pub provider: String,
    /// The provider's id of the event, unique per provider.
    pub event_id: String,
    /// The provider's own id of the payment.
    pub payment_id: String,
    pub outcome: Outcome,
    pub money: Money,
}

text_enum! {
    pub enum Outcome("outcome") {
        Succeeded = "succeeded",
        Failed = "failed",
    }
}

text_enum! {
    /// Where an attempt to collect money stands.
    pub enum PaymentState("state") {
        /// The provider is being asked for it.
        Opening = "opening",
        /// The payer can pay.
        Open = "open",
        /// Superseded by another, and about to be cancelled at the provider.
        Closing = "closing",
        Succeeded = "succeeded",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

/// What a provider reports about money that goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundReport {
    pub provider: String,
    /// Empty in a provider's answer to us, which is no event.
    pub event_id: String,
    /// Ours, if we made it; none if it was made at the provider.
    pub refund: Option<RefundId>,
    pub provider_refund_id: String,
    /// The provider's own id of the payment.
    pub payment_id: String,
    pub state: RefundState,
    /// The provider's own word for the state.
    pub state_text: String,
    pub money: Money,
}

text_enum! {
    pub enum RefundState("state" as "RefundState") {
        /// Ours alone so far: the provider has not confirmed it.
        Requested = "requested",
        /// On its way.
        Pending = "pending",
        Succeeded = "succeeded",
        /// The money is still with the provider.
        Failed = "failed",
    }
}

impl RefundState {
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    /// Whether a provider may say this of a refund that was so before. A bank may take success back days
    /// later, and a failure may be settled by hand.
    pub const fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Requested, Self::Pending | Self::Succeeded | Self::Failed)
            | (Self::Pending | Self::Failed, Self::Succeeded)
            | (Self::Pending | Self::Succeeded, Self::Failed) => true,
            (_, Self::Requested | Self::Pending)
            | (Self::Succeeded, Self::Succeeded)
            | (Self::Failed, Self::Failed) => false,
        }
    }
}

text_enum! {
    /// Who asked for a refund.
    pub enum RefundSource("source" as "RefundSource") {
        /// The shop.
        Api = "api",
        /// A rule of the order's policy.
        Rule = "rule",
        /// Somebody in the provider's dashboard.
        Provider = "provider",
    }
}

/// What a provider reports about a payer who wants the money back by way of the bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeReport {
    pub provider: String,
    /// Empty on a statement's line, which is no event.
    pub event_id: String,
    pub provider_dispute_id: String,
    /// The provider's own id of the payment.
    pub payment_id: String,
    pub state: DisputeState,
    /// The provider's own word for the state.
    pub state_text: String,
    pub money: Money,
}

text_enum! {
    pub enum DisputeState("state") {
        /// The money is withdrawn, or may be.
        Open = "open",
        /// The money is ours again.
        Won = "won",
        /// The money is the payer's.
        Lost = "lost",
    }
}

impl DisputeState {
    /// Whether a provider may say this of a dispute that was so before. One that has ended opens no more,
    /// though its end may be told otherwise later.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(self, Self::Open) || !matches!(next, Self::Open)
    }
}

/// What money does for an order that awaits payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It pays what is due, and brings this much too much.
    Pays { excess: i64 },
    /// It counts towards the order, which waits for the rest.
    Part,
}

/// Is `paid` for an order of which `due` is still to come? Without a person being asked.
pub fn judge(due: Money, paid: Money, rules: &MoneyRules) -> Result<Fit, exception::Kind> {
    if paid.currency != due.currency {
        return Err(exception::Kind::WrongCurrency);
    }
    match paid.amount.checked_sub(due.amount) {
        Some(0) => Ok(Fit::Pays { excess: 0 }),
        Some(excess) if excess > 0 && rules.overpayment == Overpayment::RefundDifference => {
            Ok(Fit::Pays { excess })
        }
        Some(..0) if paid.amount > 0 && rules.accumulate => Ok(Fit::Part),
        _ => Err(exception::Kind::WrongAmount),
    }
}

/// What becomes of money without anybody being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// It goes back.
    Refund,
    /// It pays a new order in place of the one that had ended, if the stock is there; else it goes back.
    Reinstate,
    /// A person looks.
    Leave,
}

/// What an order's rules say about money that does not simply pay it.
pub fn resolution(mismatch: exception::Kind, too_little: bool, rules: &MoneyRules) -> Resolution {
    let refund_if = |refund: bool| if refund { Resolution::Refund } else { Resolution::Leave };
    match mismatch {
        exception::Kind::WrongAmount if !too_little => Resolution::Leave,
        exception::Kind::WrongAmount | exception::Kind::WrongCurrency => {
            refund_if(rules.underpayment == Settle::Refund)
        }
        exception::Kind::PaidTwice => refund_if(rules.duplicate_payment == Settle::Refund),
        exception::Kind::Overpaid => refund_if(rules.overpayment == Overpayment::RefundDifference),
        exception::Kind::OrderClosed => match rules.late_payment {
            LatePayment::Reinstate => Resolution::Reinstate,
            LatePayment::Refund => Resolution::Refund,
            LatePayment::Exception => Resolution::Leave,
        },
        exception::Kind::UnknownOrder
        | exception::Kind::RefundFailed
        | exception::Kind::RefundUnexplained
        | exception::Kind::RefundContradicted
        | exception::Kind::Disputed
        | exception::Kind::AttemptUncertain
        | exception::Kind::NotInBooks
        | exception::Kind::UnreadableEvent
        | exception::Kind::CodeUndelivered => Resolution::Leave,
    }
}

text_enum! {
    /// What a person decides about an exception.
    pub enum Action("action" as "ExceptionAction") {
        /// The money goes back.
        Refund = "refund",
        /// The money is kept, for a reason that the note gives.
        Accept = "accept",
        /// There is nothing to do, for a reason that the note gives.
        Dismiss = "dismiss",
        /// The money counts towards its order, though it is not what was due.
        Apply = "apply",
    }
}

impl Action {
    /// What it does and does not do, for people.
    pub const fn effect(self) -> &'static str {
        match self {
            Self::Refund => "The money goes back by a refund. The order is as it was.",
            Self::Accept => {
                "The money is kept, and that is all: it does not pay the order. One that awaits payment \
                 still asks for all that is due, and expires without it; \
                 `apply` would have counted the money towards it."
            }
            Self::Dismiss => "Nothing was done. No money moves, and the order is as it was.",
            Self::Apply => {
                "The money counts towards the order, as far as it was due. The order is paid once nothing is \
                 due any more; if it ends before, the money is dealt with as money for an ended order."
            }
        }
    }
}

/// Checks a provider's id of a payment.
pub fn provider_id(id: &str) -> Result<String, Invalid> {
    text::line("payment_id", id, 255)
}

/// Checks a provider's id of a payer.
pub fn payer(id: &str) -> Result<String, Invalid> {
    text::token("payer", id, 128, "_-.:")
}
