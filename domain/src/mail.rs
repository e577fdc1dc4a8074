//! The mails a customer can get about an order.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

    /// The kind of a name.
    pub fn parse(name: &str) -> Option<Self> {
        let uuid = |text: &str| Uuid::parse_str(text).ok();
        let kind = match name {
            "paid" => Self::Paid,
            "check_in" => Self::CheckIn,
            "completed" => Self::Completed,
            "expired" => Self::Expired,
            "cancelled" => Self::Cancelled,
            _ => {
                let after = |word| name.strip_prefix(word);
                let reminder = || after("reminder_")?.parse().ok().map(Self::Reminder);
                let refund = || uuid(after("refund_")?).map(|id| Self::Refunded(RefundId::from_uuid(id)));
                let extended = || {
                    let due = after("extended_")?.parse().ok()?;
                    Timestamp::from_microsecond(due).ok().map(Self::Extended)
                };
                let code = || {
                    let change = uuid(after("new_check_in_code_")?)?;
                    Some(Self::NewCheckInCode(ChangeId::from_uuid(change)))
                };
                reminder().or_else(refund).or_else(extended).or_else(code)?
            }
        };
        (kind.name() == name).then_some(kind)
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

text_enum! {
    /// What became of a mail.
    pub enum MailState("state" as "OrderMailState") {
        Sending = "sending",
        /// The mail server took it.
        Sent = "sent",
        /// The mail server will never take it.
        Rejected = "rejected",
        /// The mail server took it, and it came back later.
        Bounced = "bounced",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_its_name() {
        let (refund, change) =
            (RefundId::from_uuid(Uuid::from_u128(7)), ChangeId::from_uuid(Uuid::from_u128(8)));
        for kind in [
            MailKind::Reminder(255),
            MailKind::Paid,
            MailKind::CheckIn,
            MailKind::Completed,
            MailKind::Expired,
            MailKind::Cancelled,
            MailKind::Refunded(refund),
            MailKind::Extended(Timestamp::UNIX_EPOCH),
            MailKind::NewCheckInCode(change),
        ] {
            assert_eq!(MailKind::parse(&kind.name()), Some(kind));
        }
        for name in ["", "reminder_", "reminder_256", "reminder_01", "refund_7", "extended_", "Paid", "paid "]
        {
            assert_eq!(MailKind::parse(name), None, "{name}");
        }
    }
}
