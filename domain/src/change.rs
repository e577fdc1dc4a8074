//! Changes of an order that somebody asks for: what is asked, what it needs, and what the answer can be.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Invalid, SignedDuration,
    order::{Order, Status},
};

/// A deadline may lie at most this long after the placement.
const MAX_EXTENSION: SignedDuration = SignedDuration::from_hours(365 * 24);

/// A change that is asked of an order. Stored as it is, so only ever add to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OrderChange {
    /// End the order before it is handed over; what was paid goes back.
    Cancel {
        reason: String,
        /// The shop says so, although the time for it has passed.
        #[serde(default)]
        force: bool,
    },
    /// Give the customer until then to pay.
    Extend { payment_due_at: Timestamp },
    /// Everything was handed over.
    Fulfil,
    /// The guests have shown the right code.
    CheckIn {
        /// Which one that was, by what it was drawn for: the order, or a change of it. None: asked before
        /// that was noted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<Uuid>,
    },
    /// End the order if all of its money has gone back. Asked by Holdfast itself, once a refund has
    /// succeeded.
    EndRefunded,
    /// Draw another code for the guests to check in by; the one before it is worth nothing any more.
    NewCheckInCode,
}

impl OrderChange {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Cancel { .. } => Kind::Cancel,
            Self::Extend { .. } => Kind::Extend,
            Self::Fulfil => Kind::Fulfil,
            Self::CheckIn { .. } => Kind::CheckIn,
            Self::EndRefunded => Kind::EndRefunded,
            Self::NewCheckInCode => Kind::NewCheckInCode,
        }
    }
}

text_enum! {
    pub enum Kind("kind" as "ChangeKind") {
        Cancel = "cancel",
        Extend = "extend",
        Fulfil = "fulfil",
        CheckIn = "check_in",
        EndRefunded = "end_refunded",
        NewCheckInCode = "new_check_in_code",
    }
}

impl Kind {
    /// What each change needs: the statuses in which its order allows it, and the `code` of the problem that
    /// says so in any other.
    const fn requirements(self) -> (&'static [Status], &'static str) {
        use Status::{AwaitingPayment, Paid};
        match self {
            Self::Cancel => (&[AwaitingPayment, Paid], "order_not_cancellable"),
            Self::Extend => (&[AwaitingPayment], "order_not_extendable"),
            Self::Fulfil => (&[Paid], "order_not_fulfillable"),
            Self::CheckIn | Self::NewCheckInCode => (&[Paid], "check_in_not_possible"),
            Self::EndRefunded => (&[Paid], "order_not_cancellable"),
        }
    }

    pub const fn required_status(self) -> &'static [Status] {
        self.requirements().0
    }

    /// Stable: clients act upon it.
    pub const fn problem_code(self) -> &'static str {
        self.requirements().1
    }
}

/// What no deadline of this order can be, whoever asks for it. The order itself is looked at under its lock.
///
/// # Errors
/// What is wrong with it.
pub fn check_extension(order: &Order, due: Timestamp) -> Result<(), Invalid> {
    let bad = |why: String| Err(Invalid::new("payment_due_at", why));
    if !Kind::Extend.required_status().contains(&order.status) {
        return Ok(()); // the refusal says so instead
    }
    if due.duration_since(order.placed_at) > MAX_EXTENSION {
        return bad("must be within a year of the placement".to_owned());
    }
    match order.latest_payment_due() {
        Some(latest) if due > latest => {
            bad(format!("must be {latest} at the latest, when the day of arrival ends"))
        }
        _ => Ok(()),
    }
}

/// The decision about a change, written down together with what it did. Stored as it is, so only ever add to
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    /// The order's status forbids it.
    WrongStatus(Status),
    /// Payment is due at this time already, or later.
    NotLater(Timestamp),
    /// The stay begins only then.
    NotYet(Timestamp),
    /// It could be cancelled until then.
    CancellationClosed(Timestamp),
    /// The order's money went back, or is on its way, and there is nothing left to hand over.
    Refunded,
}

impl Answer {
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Done)
    }

    /// Why the change was not made: a stable code, and a sentence. None: it was.
    pub fn refusal(self, change: Kind) -> Option<(&'static str, String)> {
        Some(match self {
            Self::Done => return None,
            Self::WrongStatus(status) => (change.problem_code(), format!("The order is {status}.")),
            Self::NotLater(due) => ("invalid_request", format!("payment_due_at: must be later than {due}")),
            Self::NotYet(opens_at) => ("check_in_too_early", format!("The stay begins at {opens_at}.")),
            Self::CancellationClosed(closed_at) => {
                ("cancellation_closed", format!("The order could be cancelled until {closed_at}."))
            }
            Self::Refunded => (
                "order_refunded",
                "Nothing is left: the order's money went back, or what was sold with it.".to_owned(),
            ),
        })
    }
}

/// What the order's workflow has to know of a decision; whoever asked finds the answer with the change. It
/// stands in histories, so only ever add to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// It brought the order to this end, now or by an earlier run of the step.
    Ended { change: Kind, status: Status },
    /// Payment is due only then; reminders that are past by now are among these.
    Extended { payment_due_at: Timestamp, reminders_at: Vec<Timestamp> },
    /// The order is as it was.
    Refused,
    /// Not decided yet: an attempt to pay is not closed at its provider.
    AttemptsOpen,
    /// It has drawn another code for the check-in, whose mail is to go out.
    NewCheckInCode,
}

/// How a step went that ends an order, or would have. It stands in histories, so only ever add to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeOutcome {
    /// The order is as it was to be, by this step or by an earlier run of it.
    Done,
    /// Not yet: payment is due, or the stay begins, only then.
    NotDue(Timestamp),
    /// An attempt to pay is not closed at its provider yet: money may still come. Or it has come, and waits.
    AttemptsOpen,
    /// The order's status forbids it.
    Refused(Status),
    /// All of the order's money went back, or all that was sold with it; or it is on its way.
    Refunded,
}

text_enum! {
    pub enum State("state" as "ChangeState") {
        /// It is not decided yet.
        Pending = "pending",
        Done = "done",
        Refused = "refused",
    }
}

impl State {
    pub const fn of(answer: Option<Answer>) -> Self {
        match answer {
            None => Self::Pending,
            Some(answer) if answer.is_done() => Self::Done,
            Some(_) => Self::Refused,
        }
    }
}
