//! A provider's statement: its own list of captures, refunds and disputes.

use crate::{OrderId, RefundId, Timestamp, money::Money, payment::DisputeState};

/// What a statement says of some time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statement {
    pub lines: Vec<StatementLine>,
    /// Lines that may be about our money. One that nobody can read does not keep us from reading the others.
    pub unreadable: Vec<UnreadableLine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableLine {
    /// The same whenever the line is read.
    pub reference: String,
    /// What the provider names, if that can be read.
    pub order: Option<OrderId>,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StatementLine {
    pub kind: LineKind,
    /// The provider's id of the payment whose money moved.
    pub provider_payment_id: String,
    /// What the provider names, if that is an order's id at all.
    pub order: Option<OrderId>,
    pub money: Money,
    /// What the provider kept of it, in the same minor units, if it says.
    pub fee: Option<i64>,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineKind {
    Captured,
    /// `refund` is ours, if the provider names it.
    Refunded {
        refund: Option<RefundId>,
        provider_refund_id: String,
    },
    /// A dispute took the money away, or, won, gave it back (`is_reversal`). It is told as it is by now.
    Disputed {
        is_reversal: bool,
        provider_dispute_id: String,
        state: DisputeState,
        state_text: String,
    },
}

impl StatementLine {
    /// The provider's id of what the line tells of: of the payment, the refund or the dispute.
    pub fn reference(&self) -> &str {
        match &self.kind {
            LineKind::Captured => &self.provider_payment_id,
            LineKind::Refunded { provider_refund_id, .. } => provider_refund_id,
            LineKind::Disputed { provider_dispute_id, .. } => provider_dispute_id,
        }
    }
}

impl LineKind {
    /// As lines are stored.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Captured => "captured",
            Self::Refunded { .. } => "refunded",
            Self::Disputed { is_reversal: false, .. } => "disputed",
            Self::Disputed { is_reversal: true, .. } => "dispute_reversed",
        }
    }

    /// Where a dispute stands by now.
    pub const fn dispute_state(&self) -> Option<DisputeState> {
        match self {
            Self::Captured | Self::Refunded { .. } => None,
            Self::Disputed { state, .. } => Some(*state),
        }
    }
}
