//! When an order is reminded of and when it ends. A snapshot travels with the order, so a change
//! of defaults never touches an order already placed.

mod durations;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Invalid,
    order::{self, Line, Status},
};

pub use durations::{CustomerExtension, FreeCancellation, Grace, duration};

const MIN_PAYMENT_WINDOW: SignedDuration = SignedDuration::from_secs(1);
const MAX_PAYMENT_WINDOW: SignedDuration = SignedDuration::from_hours(90 * 24);
const MAX_REMINDERS: usize = 10;

text_enum! {
    /// What happens once an order is paid.
    #[derive(Default)]
    pub enum Fulfilment("fulfilment") {
        /// Completed at once.
        #[default]
        Immediate = "immediate",
        /// Waits as `paid` until the shop calls `fulfil`.
        Manual = "manual",
        /// Waits as `paid` until the guest checks in, or the stay is over. What an order with a stay does.
        CheckIn = "check_in",
    }
}

impl Fulfilment {
    /// What an order is once it is paid.
    pub const fn status_once_paid(self) -> Status {
        match self {
            Self::Immediate => Status::Completed,
            Self::Manual | Self::CheckIn => Status::Paid,
        }
    }
}

/// Offsets count from the moment the order was placed.
///
/// What a client sends goes through [`Policy::parse`]. serde reads what is stored, and that as it is: an
/// order keeps the rules it was placed under, also where no new order could have them any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    payment_window: SignedDuration,
    /// Ascending, each shorter than the payment window.
    reminders: Vec<SignedDuration>,
    #[serde(default)]
    pub fulfilment: Fulfilment,
    #[serde(default)]
    pub money: MoneyRules,
    #[serde(default)]
    pub cancel_paid: CancelPaid,
    /// How long before its stay begins an order can be cancelled; until it begins if absent. Days have 24
    /// hours.
    #[serde(default)]
    pub free_cancellation: Option<FreeCancellation>,
    /// How much longer than its window the customer may make it wait; none if absent: the shop alone does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_extension: Option<CustomerExtension>,
    /// Money that comes at this time or after it is late, whatever the window, an extension or the grace say:
    /// the end of the first stay's day of arrival. None without a stay. Of the order, not of what the client
    /// sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_by: Option<Timestamp>,
}

json_in_sql!(Policy);

text_enum! {
    /// Whether an order that is paid, but not handed over, can be cancelled.
    #[derive(Default)]
    pub enum CancelPaid("cancel_paid") {
        /// Yes, and its money goes back.
        #[default]
        Refund = "refund",
        Refuse = "refuse",
    }
}

text_enum! {
    /// Money for an order that has ended.
    #[derive(Default)]
    pub enum LatePayment("late_payment") {
        Reinstate = "reinstate",
        #[default]
        Refund = "refund",
        Exception = "exception",
    }
}

text_enum! {
    /// More money than the order costs.
    #[derive(Default)]
    pub enum Overpayment("overpayment") {
        /// Pays the order; the difference goes back.
        RefundDifference = "refund_difference",
        /// Does not pay the order; a person looks.
        #[default]
        Exception = "exception",
    }
}

text_enum! {
    /// Money that cannot be the order's.
    pub enum Settle("underpayment") {
        Refund = "refund",
        Exception = "exception",
    }
}

text_enum! {
    /// Less money than the order costs, as a client says it.
    pub enum Underpayment("underpayment") {
        Refund = "refund",
        Exception = "exception",
        /// Parts add up until the order is paid.
        Accumulate = "accumulate",
    }
}

impl Underpayment {
    /// As [`MoneyRules`] have it: what becomes of the money, and whether parts add up.
    pub const fn rules(self) -> (Settle, bool) {
        match self {
            Self::Refund => (Settle::Refund, false),
            Self::Exception => (Settle::Exception, false),
            Self::Accumulate => (Settle::Exception, true),
        }
    }
}

/// What happens to money that does not simply pay the order, and how long an ended window stays open for
/// money that is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MoneyRules {
    /// Between the deadline and the expiry.
    pub grace: Grace,
    pub late_payment: LatePayment,
    pub overpayment: Overpayment,
    /// Too little, or in a wrong currency.
    pub underpayment: Settle,
    pub duplicate_payment: Settle,
    /// Too little counts towards the order, and parts add up. Beside `underpayment` and not a value of it,
    /// since versions that know nothing of it read stored policies, too: they raise an exception for each
    /// part.
    pub accumulate: bool,
}

impl Default for MoneyRules {
    fn default() -> Self {
        Self {
            grace: Grace::default(),
            late_payment: LatePayment::default(),
            overpayment: Overpayment::default(),
            underpayment: Settle::Exception,
            duplicate_payment: Settle::Refund,
            accumulate: false,
        }
    }
}

impl Default for Policy {
    /// 24 hours to pay, reminders after 4, 12 and 22.
    fn default() -> Self {
        Self {
            payment_window: SignedDuration::from_hours(24),
            reminders: [4, 12, 22].map(SignedDuration::from_hours).to_vec(),
            fulfilment: Fulfilment::Immediate,
            money: MoneyRules::default(),
            cancel_paid: CancelPaid::default(),
            free_cancellation: None,
            customer_extension: None,
            due_by: None,
        }
    }
}

impl Policy {
    /// The default policy with what a client sent of these two. Default reminders that a shorter window
    /// leaves no room for are dropped; reminders the client named must fit.
    pub fn parse(payment_window: Option<&str>, reminders: Option<&[String]>) -> Result<Self, Invalid> {
        let default = Self::default();
        let payment_window = match payment_window {
            Some(text) => window(text)?,
            None => default.payment_window,
        };
        let reminders = match reminders {
            Some(texts) => parse_reminders(texts, payment_window)?,
            None => default.reminders.iter().copied().filter(|r| *r < payment_window).collect(),
        };
        Ok(Self { payment_window, reminders, ..default })
    }

    /// By when a customer may have the order paid at the latest; none if they may not extend it.
    pub fn latest_by_customer(&self, placed_at: Timestamp) -> Option<Timestamp> {
        let extension = self.customer_extension?.get();
        placed_at.saturating_add(self.payment_window).and_then(|due| due.saturating_add(extension)).ok()
    }

    /// The policy of an order with these lines.
    pub fn for_lines(self, lines: &[Line]) -> Self {
        // Guests check in, whatever else is in the order; and where there are none, nobody would.
        let fulfilment = match (lines.iter().any(|line| line.stay.is_some()), self.fulfilment) {
            (true, _) => Fulfilment::CheckIn,
            (false, Fulfilment::CheckIn) => Fulfilment::Manual,
            (false, asked) => asked,
        };
        Self { fulfilment, due_by: order::latest_payment_due(lines), ..self }
    }

    pub fn payment_due_at(&self, placed_at: Timestamp) -> Timestamp {
        // A window is at most 90 days: only a clock in the year 9999 could overflow.
        let due = placed_at.saturating_add(self.payment_window).unwrap_or(placed_at);
        self.due_by.map_or(due, |by| due.min(by))
    }

    /// Whether it is too late for money, also if nobody has noted the order's expiry yet.
    pub fn is_too_late(&self, at: Timestamp) -> bool {
        self.due_by.is_some_and(|by| at >= by)
    }

    /// Absolute times of the reminders, ascending. They keep their distance to the deadline: if it is moved,
    /// they move with it.
    pub fn reminders_at(&self, placed_at: Timestamp, payment_due_at: Timestamp) -> Vec<Timestamp> {
        let moved = payment_due_at.duration_since(self.payment_due_at(placed_at)).max(SignedDuration::ZERO);
        let at = |r: &SignedDuration| {
            let offset = r.saturating_add(moved);
            placed_at.saturating_add(offset).unwrap_or(placed_at)
        };
        self.reminders.iter().map(at).collect()
    }

    /// Those of them that come after the last one that went out.
    pub fn reminders_to_come(
        &self,
        placed_at: Timestamp,
        payment_due_at: Timestamp,
        last: Option<Timestamp>,
    ) -> Vec<Timestamp> {
        let mut reminders_at = self.reminders_at(placed_at, payment_due_at);
        reminders_at.retain(|at| last.is_none_or(|last| *at > last));
        reminders_at
    }

    /// How long after its placement an order is reminded, ascending.
    pub fn reminders(&self) -> &[SignedDuration] {
        &self.reminders
    }

    pub const fn payment_window(&self) -> SignedDuration {
        self.payment_window
    }

    /// From here on an unpaid order expires.
    pub fn expires_at(&self, payment_due_at: Timestamp) -> Timestamp {
        expires_at(payment_due_at, self.money.grace.get(), self.due_by)
    }

    /// When time first brings something to an order: its first reminder, or its expiry. None if it does not
    /// wait for money.
    pub fn first_alarm(
        &self,
        status: Status,
        placed_at: Timestamp,
        payment_due_at: Timestamp,
    ) -> Option<Timestamp> {
        let reminders = self.reminders_at(placed_at, payment_due_at);
        let reminder = reminders.into_iter().find(|at| *at < payment_due_at);
        let alarm = reminder.unwrap_or_else(|| self.expires_at(payment_due_at));
        (status == Status::AwaitingPayment).then_some(alarm)
    }
}

/// When an unpaid order expires: its grace after its deadline, but not after the time by which money is due
/// at the latest.
pub fn expires_at(payment_due_at: Timestamp, grace: SignedDuration, due_by: Option<Timestamp>) -> Timestamp {
    let end = payment_due_at.saturating_add(grace).unwrap_or(payment_due_at);
    due_by.map_or(end, |by| end.min(by.max(payment_due_at)))
}

fn window(text: &str) -> Result<SignedDuration, Invalid> {
    let window = duration("payment_window", text)?;
    if !(MIN_PAYMENT_WINDOW..=MAX_PAYMENT_WINDOW).contains(&window) {
        return Err(Invalid::new("payment_window", "must be from PT1S to P90D"));
    }
    Ok(window)
}

fn parse_reminders(texts: &[String], window: SignedDuration) -> Result<Vec<SignedDuration>, Invalid> {
    if texts.len() > MAX_REMINDERS {
        return Err(Invalid::new("reminders", format!("must be at most {MAX_REMINDERS}")));
    }
    let mut reminders = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        let field = format!("reminders[{i}]");
        let offset = duration(&field, text)?;
        if !offset.is_positive() || offset >= window {
            return Err(Invalid::new(field, "must lie between zero and the payment window"));
        }
        reminders.push(offset);
    }
    reminders.sort_unstable();
    reminders.dedup();
    Ok(reminders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_window_drops_default_reminders_but_refuses_named_ones() {
        let policy = Policy::parse(Some("PT10H"), None).expect("valid");
        assert_eq!(policy.reminders, [SignedDuration::from_hours(4)]);
        let named = ["PT4H".to_owned(), "PT12H".to_owned()];
        let refused = Policy::parse(Some("PT10H"), Some(&named)).expect_err("12 h > 10 h");
        assert_eq!(refused.field, "reminders[1]");
    }

    #[test]
    fn a_deadline_and_its_grace_end_where_money_would_be_late() {
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        let (placed, by) = (time("2026-07-01T12:00:00Z"), time("2026-07-01T22:00:00Z"));
        let money = MoneyRules { grace: Grace::parse("PT2H").expect("valid"), ..MoneyRules::default() };
        let policy = Policy { due_by: Some(by), money, ..Policy::default() };
        assert_eq!(policy.payment_due_at(placed), by);
        assert_eq!(policy.expires_at(by), by);
        assert_eq!(policy.expires_at(time("2026-07-01T19:00:00Z")), time("2026-07-01T21:00:00Z"));
        assert_eq!(policy.expires_at(time("2026-07-01T21:00:00Z")), by);
        assert!(policy.is_too_late(by) && !policy.is_too_late(time("2026-07-01T21:59:59Z")));
        assert_eq!(
            policy.first_alarm(Status::AwaitingPayment, placed, by),
            Some(time("2026-07-01T16:00:00Z"))
        );
        let at_night = time("2026-07-01T21:30:00Z");
        assert_eq!(
            policy.first_alarm(Status::AwaitingPayment, at_night, by),
            Some(by),
            "reminders come too late"
        );

        let free = Policy { due_by: None, ..policy };
        assert_eq!(free.payment_due_at(placed), time("2026-07-02T12:00:00Z"));
        assert_eq!(free.expires_at(by), time("2026-07-02T00:00:00Z"));
        assert!(!free.is_too_late(time("2099-01-01T00:00:00Z")));
    }

    #[test]
    fn durations_are_iso_8601_and_bounded() {
        assert_eq!(duration("f", "P1DT1H"), Ok(SignedDuration::from_hours(25)));
        assert_eq!(duration("f", "PT1.0000019S"), Ok(SignedDuration::from_micros(1_000_001)));
        for bad in ["", "4h", "PT", "P1M", "P1Y", "-PT4H", "PT4X"] {
            assert!(duration("f", bad).is_err(), "{bad}");
        }
        for bad in ["PT0S", "P91D"] {
            assert!(Policy::parse(Some(bad), None).is_err(), "{bad}");
        }
    }
}
