//! What payment providers tell us: an event as it is stored, and what it says about money.

use jiff::Timestamp;

use crate::{
    Invalid, OrderId,
    money::{self, Money},
    payment::{DisputeReport, DisputeState, Outcome, PaymentReport, RefundReport, RefundState, provider_id},
    text,
};

/// A genuine event of a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderEvent {
    pub provider: String,
    /// Unique per provider: a repeat has the same.
    pub event_id: String,
    /// The provider's type of event.
    pub kind: String,
    /// As it was signed.
    pub body: Vec<u8>,
    /// When it came about, by the provider's clock, if the event says so.
    pub told_at: Option<Timestamp>,
    /// What it says about money, if it does.
    pub notice: Option<Notice>,
}

impl ProviderEvent {
    /// The event as it can be stored: what a provider names must fit the columns, whoever signed it.
    ///
    /// # Errors
    /// Says what does not fit.
    pub fn checked(self) -> Result<Self, Invalid> {
        self.notice.as_ref().map_or(Ok(()), Notice::check)?;
        Ok(Self { event_id: provider_id(&self.event_id)?, kind: event_type(&self.kind)?, ..self })
    }
}

/// What an event says about money. `order` is what the provider names, if that is an order's id at all.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    Payment { order: Option<OrderId>, report: PaymentReport },
    Refund { order: Option<OrderId>, report: RefundReport },
    Dispute(DisputeReport),
}

impl Notice {
    pub const fn order(&self) -> Option<OrderId> {
        match self {
            Self::Payment { order, .. } | Self::Refund { order, .. } => *order,
            Self::Dispute(_) => None,
        }
    }

    /// The provider's own id of the payment.
    pub fn payment_id(&self) -> &str {
        match self {
            Self::Payment { report, .. } => &report.payment_id,
            Self::Refund { report, .. } => &report.payment_id,
            Self::Dispute(report) => &report.payment_id,
        }
    }

    pub const fn money(&self) -> Money {
        match self {
            Self::Payment { report, .. } => report.money,
            Self::Refund { report, .. } => report.money,
            Self::Dispute(report) => report.money,
        }
    }

    pub const fn outcome(&self) -> EventOutcome {
        match self {
            Self::Payment { report, .. } => EventOutcome::Payment(report.outcome),
            Self::Refund { report, .. } => EventOutcome::Refund(report.state),
            Self::Dispute(report) => EventOutcome::Dispute(report.state),
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        provider_id(self.payment_id())?;
        let amount = self.money().amount;
        match self {
            // A failed try brings nothing, whatever it was about.
            Self::Payment { report, .. } if report.outcome == Outcome::Failed => money::told(amount)?,
            Self::Payment { .. } => money::asked(amount)?,
            Self::Refund { report, .. } => {
                provider_id(&report.provider_refund_id)?;
                state_text(&report.state_text)?;
                money::asked(amount)?
            }
            Self::Dispute(report) => {
                provider_id(&report.provider_dispute_id)?;
                state_text(&report.state_text)?;
                money::told(amount)?
            }
        };
        Ok(())
    }
}

/// What an event is about, and what became of it. It is stored as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOutcome {
    Payment(Outcome),
    Refund(RefundState),
    Dispute(DisputeState),
}

impl EventOutcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment(outcome) => outcome.as_str(),
            // No provider reports what was only requested: it has it, so it is on its way.
            Self::Refund(RefundState::Requested | RefundState::Pending) => "refund_pending",
            Self::Refund(RefundState::Succeeded) => "refund_succeeded",
            Self::Refund(RefundState::Failed) => "refund_failed",
            Self::Dispute(DisputeState::Open) => "dispute_open",
            Self::Dispute(DisputeState::Won) => "dispute_won",
            Self::Dispute(DisputeState::Lost) => "dispute_lost",
        }
    }

    /// # Errors
    /// If it is none of these words.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text.split_once('_') {
            Some(("refund", state)) => RefundState::parse(state).map(Self::Refund),
            Some(("dispute", state)) => DisputeState::parse(state).map(Self::Dispute),
            _ => Outcome::parse(text).map(Self::Payment),
        }
    }
}

text_enum_in_sql!(EventOutcome);

/// Checks a provider's id of an event: it travels in a header.
pub fn event_id(id: &str) -> Result<String, Invalid> {
    text::token("event_id", id, 255, "_-.:")
}

/// Checks the type of a provider's event.
pub fn event_type(kind: &str) -> Result<String, Invalid> {
    text::line("type", kind, 100)
}

/// Checks a provider's own word for a state. It may have none.
fn state_text(text: &str) -> Result<String, Invalid> {
    text::unseen_line("state_text", text, 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_read_back_as_it_was_stored() {
        let payments = Outcome::ALL.map(EventOutcome::Payment);
        let disputes = DisputeState::ALL.map(EventOutcome::Dispute);
        let refunds = [RefundState::Pending, RefundState::Succeeded, RefundState::Failed];
        for outcome in payments.into_iter().chain(refunds.map(EventOutcome::Refund)).chain(disputes) {
            assert_eq!(EventOutcome::parse(outcome.as_str()), Ok(outcome));
        }
        for unknown in ["", "refund", "refund_", "dispute_succeeded", "chargeback"] {
            assert!(EventOutcome::parse(unknown).is_err(), "{unknown}");
        }
    }
}
