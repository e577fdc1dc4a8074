//! What time brings to an order next: one rule for the workflow that does it, and for whoever asks.

use jiff::Timestamp;

use crate::{
    order::{Order, Status},
    policy::Policy,
};

/// What happens to an order if nobody does anything about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// The payment reminder of this number (from 1) goes out.
    Reminder(u8),
    /// It is not paid, and expires.
    Expiry,
    /// Its stay is over, whether or not the guests came.
    EndOfStay,
}

/// What decides about it.
#[derive(Debug, Clone, Copy)]
pub struct Outlook<'a> {
    pub status: Status,
    pub payment_due_at: Timestamp,
    /// From here on it expires, if it is unpaid.
    pub expires_at: Timestamp,
    /// Those that are still to come, ascending.
    pub reminders_at: &'a [Timestamp],
    /// How many there were before them.
    pub reminders_before: u8,
    /// None: it has no stay.
    pub stays_end_at: Option<Timestamp>,
}

impl Outlook<'_> {
    /// Number (from 1) and time of the reminder that comes next, if one is left before the deadline.
    pub fn next_reminder(&self) -> Option<(u8, Timestamp)> {
        let at = *self.reminders_at.first()?;
        let number = self.reminders_before.checked_add(1)?;
        (self.status == Status::AwaitingPayment && at < self.payment_due_at).then_some((number, at))
    }

    /// The next reminder or the expiry; of a paid order, the end of its stay. None: it waits for the shop, or
    /// has ended.
    pub fn next(&self) -> Option<(NextStep, Timestamp)> {
        match self.status {
            Status::AwaitingPayment => Some(match self.next_reminder() {
                Some((number, at)) => (NextStep::Reminder(number), at),
                None => (NextStep::Expiry, self.expires_at),
            }),
            status if status.is_terminal() => None,
            _ => self.stays_end_at.map(|at| (NextStep::EndOfStay, at)),
        }
    }
}

text_enum! {
    /// What an order waits for, in one word.
    pub enum Action("action" as "NextAction") {
        SendReminder = "send_reminder",
        Expire = "expire",
        /// The stay is over.
        EndStay = "end_stay",
        /// Until the shop hands it over.
        AwaitFulfilment = "await_fulfilment",
        /// It has ended.
        Nothing = "nothing",
    }
}

text_enum! {
    /// The part of an order's policy that says so.
    pub enum Rule("rule" as "NextRule") {
        Reminders = "reminders",
        PaymentWindow = "payment_window",
        /// Between the deadline and the expiry.
        Grace = "grace",
        /// Money for a stay is due by the end of the day of arrival.
        Arrival = "arrival",
        /// The shop or the customer has asked for more time.
        Extension = "extension",
        Fulfilment = "fulfilment",
    }
}

/// What happens next to an order, when, and by which rule of its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    pub action: Action,
    pub at: Option<Timestamp>,
    /// Of a reminder, its number.
    pub number: Option<u8>,
    pub rule: Option<Rule>,
    /// What the policy has there: a duration, or a word.
    pub value: Option<String>,
}

impl Explained {
    /// `reminded`: the number of the last reminder that went out (0: none), and when it did.
    pub fn of(order: &Order, reminded: (u8, Option<Timestamp>)) -> Self {
        let (reminders_before, last) = reminded;
        let reminders_at = order.policy.reminders_to_come(order.placed_at, order.payment_due_at, last);
        let outlook = Outlook {
            status: order.status,
            payment_due_at: order.payment_due_at,
            expires_at: order.policy.expires_at(order.payment_due_at),
            reminders_at: &reminders_at,
            reminders_before,
            stays_end_at: order.stays_end_at(),
        };
        let fulfilment = || (Some(Rule::Fulfilment), Some(order.policy.fulfilment.as_str().to_owned()));
        let (action, at, number, (rule, value)) = match outlook.next() {
            Some((NextStep::Reminder(number), at)) => {
                (Action::SendReminder, Some(at), Some(number), reminder(order, at))
            }
            Some((NextStep::Expiry, at)) => (Action::Expire, Some(at), None, expiry(order, at)),
            Some((NextStep::EndOfStay, at)) => (Action::EndStay, Some(at), None, fulfilment()),
            None if order.status.is_terminal() => (Action::Nothing, None, None, (None, None)),
            None => (Action::AwaitFulfilment, None, None, fulfilment()),
        };
        Self { action, at, number, rule, value }
    }
}

type Because = (Option<Rule>, Option<String>);

fn reminder(order: &Order, at: Timestamp) -> Because {
    let all = order.policy.reminders_at(order.placed_at, order.payment_due_at);
    let offset = all.iter().position(|it| *it == at).and_then(|i| order.policy.reminders().get(i).copied());
    (Some(Rule::Reminders), offset.map(|offset| offset.to_string()))
}

fn expiry(order: &Order, at: Timestamp) -> Because {
    let policy = &order.policy;
    let grace = policy.money.grace.get();
    if policy.due_by == Some(at) {
        (Some(Rule::Arrival), None)
    } else if !grace.is_zero() {
        (Some(Rule::Grace), Some(grace.to_string()))
    } else if order.payment_due_at > policy.payment_due_at(order.placed_at) {
        (Some(Rule::Extension), None)
    } else {
        (Some(Rule::PaymentWindow), Some(policy.payment_window().to_string()))
    }
}

/// The rule of an order's policy that was asked about money which became an exception.
pub fn money_rule(
    policy: &Policy,
    kind: crate::exception::Kind,
    is_less: bool,
) -> Option<(&'static str, &str)> {
    use crate::exception::Kind;
    let money = &policy.money;
    Some(match kind {
        Kind::WrongAmount if is_less => ("underpayment", money.underpayment.as_str()),
        Kind::WrongAmount | Kind::Overpaid => ("overpayment", money.overpayment.as_str()),
        Kind::WrongCurrency => ("underpayment", money.underpayment.as_str()),
        Kind::PaidTwice => ("duplicate_payment", money.duplicate_payment.as_str()),
        Kind::OrderClosed => ("late_payment", money.late_payment.as_str()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn outlook(status: Status, reminders_at: &[Timestamp], stays_end_at: Option<Timestamp>) -> Outlook<'_> {
        Outlook {
            status,
            payment_due_at: time("2026-07-02T12:00:00Z"),
            expires_at: time("2026-07-02T14:00:00Z"),
            reminders_at,
            reminders_before: 1,
            stays_end_at,
        }
    }

    #[test]
    fn reminders_come_before_the_expiry_and_never_after_the_deadline() {
        let (early, late) = (time("2026-07-02T00:00:00Z"), time("2026-07-02T13:00:00Z"));
        let next = |reminders: &[Timestamp]| outlook(Status::AwaitingPayment, reminders, None).next();
        assert_eq!(next(&[early, late]), Some((NextStep::Reminder(2), early)));
        let expiry = Some((NextStep::Expiry, time("2026-07-02T14:00:00Z")));
        assert_eq!((next(&[late]), next(&[])), (expiry, expiry));
    }

    #[test]
    fn what_is_paid_waits_for_its_stay_or_for_the_shop() {
        let (end, reminders) = (time("2026-07-09T10:00:00Z"), [time("2026-07-02T00:00:00Z")]);
        let next = |status, stay| outlook(status, &reminders, stay).next();
        assert_eq!(next(Status::Paid, Some(end)), Some((NextStep::EndOfStay, end)));
        assert_eq!(next(Status::Paid, None), None);
        for ended in [Status::Completed, Status::Cancelled, Status::Expired] {
            assert_eq!(next(ended, Some(end)), None);
        }
    }
}
