//! The mails a customer can get about an order.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ChangeId, RefundId};

/// Each kind is sent at most once per order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// Payment reminder number 1, 2, 3...
    Reminder(u8),
    /// Payment received; the order is paid, and completed if nothing is left to do.
    Paid,
    /// The code by which the guest of a stay checks in. A secret, so it has a mail of its own.
    CheckIn,
    /// Fulfilled by the shop (only orders with manual fulfilment).
    Completed,
    Expired,
    Cancelled,
    /// Money went back.
    Refunded(RefundId),
    /// There is time to pay until then, more than before.
    Extended(Timestamp),
    /// The code that a change has drawn in place of the one before it.
    NewCheckInCode(ChangeId),
}

impl MailKind {
    /// Stable name: part of the Message-ID and of the row that keeps a kind from being sent twice.
    pub fn name(self) -> String {
        match self {
            Self::Reminder(number) => format!("reminder_{number}"),
            Self::Paid => "paid".to_owned(),
            Self::CheckIn => "check_in".to_owned(),
            Self::Completed => "completed".to_owned(),
            Self::Expired => "expired".to_owned(),
            Self::Cancelled => "cancelled".to_owned(),
            Self::Refunded(refund) => format!("refund_{}", refund.uuid().simple()),
            Self::Extended(due) => format!("extended_{}", due.as_microsecond()),
            Self::NewCheckInCode(change) => format!("new_check_in_code_{}", change.uuid().simple()),
        }
    }

    pub const fn is_reminder(self) -> bool {
        matches!(self, Self::Reminder(_))
    }

    /// It carries the code that this change has drawn, or (none) the one that was drawn when the order was
    /// paid.
    pub const fn code_drawn_for(self) -> Option<Option<ChangeId>> {
        match self {
            Self::CheckIn => Some(None),
            Self::NewCheckInCode(change) => Some(Some(change)),
            _ => None,
        }
    }

    /// Moot once the order is paid or has ended.
    pub const fn asks_for_payment(self) -> bool {
        matches!(self, Self::Reminder(_) | Self::Extended(_))
    }
}
