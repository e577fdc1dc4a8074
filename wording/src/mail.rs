//! The mails that there are: what each shows, and which sentences it has.

use std::collections::BTreeMap;

use domain::{
    Date, Timestamp,
    money::{Currency, Money},
};
use jiff::{civil, tz::TimeZone};
use minijinja::{Value, context};

use crate::{Error, Local, Templates};

/// An enum, and the word of each of its values.
macro_rules! words {
    ($(#[$meta:meta])* $enum:ident by $word:ident, $count:literal:
     $( $(#[$doc:meta])* $variant:ident = $text:literal, )+) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $enum { $( $(#[$doc])* $variant, )+ }

        impl $enum {
            pub const ALL: [Self; $count] = [ $( Self::$variant, )+ ];

            pub const fn $word(self) -> &'static str {
                match self { $( Self::$variant => $text, )+ }
            }
        }
    };
}

words! {
    /// What a mail is about. By its name a shop gives it a frame of its own.
    Kind by name, 14:
    Reminder = "reminder",
    Extended = "extended",
    Paid = "paid",
    Completed = "completed",
    Expired = "expired",
    Cancelled = "cancelled",
    Refunded = "refunded",
    CheckIn = "check_in",
    NewCheckInCode = "new_check_in_code",
    VerifyEmail = "verify_email",
    ResetPassword = "reset_password",
    AlreadyRegistered = "already_registered",
    PasswordChanged = "password_changed",
    /// What a code was used for.
    CodeUsed = "code_used",
}

words! {
    /// What stands around the sentences.
    Frame by name, 3:
    /// An order, its lines and what is due.
    Order = "order",
    /// A check-in code.
    Stay = "stay",
    /// Something of an account.
    Account = "account",
}

words! {
    /// Which sentences a mail has: the table in `words/mail/`.
    Case by section, 25:
    Reminder = "reminder",
    ReminderRest = "reminder_rest",
    Undecided = "undecided",
    Extended = "extended",
    Paid = "paid",
    PaidFree = "paid_free",
    Completed = "completed",
    CompletedRest = "completed_rest",
    Expired = "expired",
    ExpiredMoneyBack = "expired_money_back",
    ExpiredMoneyOpen = "expired_money_open",
    Cancelled = "cancelled",
    CancelledPaid = "cancelled_paid",
    CancelledMoneyBack = "cancelled_money_back",
    CancelledMoneyOpen = "cancelled_money_open",
    Refunded = "refunded",
    CheckIn = "check_in",
    NewCheckInCode = "new_check_in_code",
    VerifyEmail = "verify_email",
    ResetPassword = "reset_password",
    AlreadyRegistered = "already_registered",
    PasswordChanged = "password_changed",
    Verified = "verified",
    VerifiedWithoutPassword = "verified_without_password",
    PasswordReset = "password_reset",
}

impl Kind {
    pub(crate) const fn frame(self) -> Frame {
        match self {
            Self::CheckIn | Self::NewCheckInCode => Frame::Stay,
            Self::VerifyEmail
            | Self::ResetPassword
            | Self::AlreadyRegistered
            | Self::PasswordChanged
            | Self::CodeUsed => Frame::Account,
            _ => Frame::Order,
        }
    }
}

impl Case {
    /// Whether each mail with these sentences tells of money that is not what was due.
    const fn tells_what_came(self) -> bool {
        matches!(
            self,
            Self::Undecided
                | Self::ExpiredMoneyBack
                | Self::ExpiredMoneyOpen
                | Self::CancelledMoneyBack
                | Self::CancelledMoneyOpen
        )
    }

    /// Whether each mail with these sentences brings a code of an account.
    const fn has_six_digits(self) -> bool {
        matches!(self, Self::VerifyEmail | Self::ResetPassword)
    }

    /// What a mail with these sentences is usually about. (Money that is not decided upon is told of in a
    /// reminder and when there is more time.)
    pub const fn kind(self) -> Kind {
        match self {
            Self::Reminder | Self::ReminderRest | Self::Undecided => Kind::Reminder,
            Self::Extended => Kind::Extended,
            Self::Paid | Self::PaidFree => Kind::Paid,
            Self::Completed | Self::CompletedRest => Kind::Completed,
            Self::Expired | Self::ExpiredMoneyBack | Self::ExpiredMoneyOpen => Kind::Expired,
            Self::Cancelled | Self::CancelledPaid | Self::CancelledMoneyBack | Self::CancelledMoneyOpen => {
                Kind::Cancelled
            }
            Self::Refunded => Kind::Refunded,
            Self::CheckIn => Kind::CheckIn,
            Self::NewCheckInCode => Kind::NewCheckInCode,
            Self::VerifyEmail => Kind::VerifyEmail,
            Self::ResetPassword => Kind::ResetPassword,
            Self::AlreadyRegistered => Kind::AlreadyRegistered,
            Self::PasswordChanged => Kind::PasswordChanged,
            Self::Verified | Self::VerifiedWithoutPassword | Self::PasswordReset => Kind::CodeUsed,
        }
    }
}

/// A line of an order.
#[derive(Debug, Clone)]
pub struct Line {
    pub quantity: i64,
    /// With its nights, if it is a stay.
    pub name: String,
    pub amount: Money,
}

/// What a mail about an order shows.
#[derive(Debug, Clone)]
pub struct OrderFacts {
    pub name: Option<String>,
    pub order: String,
    pub lines: Vec<Line>,
    /// What was paid for that is not the customer's any more, in a mail that tells what is.
    pub gone: Option<Money>,
    pub total: Money,
    pub paid: Money,
    /// What is still to come.
    pub unpaid: Money,
    /// In the customer's time zone.
    pub due_at: String,
    pub is_due: bool,
    /// Money that came and is not what was due, as a sentence has it.
    pub came: Option<String>,
    pub refunded: Option<Money>,
    pub pay_url: Option<String>,
    /// Where the customer asks for no more reminders.
    pub stop_url: Option<String>,
}

/// What a mail with a check-in code shows.
#[derive(Debug, Clone)]
pub struct StayFacts {
    pub name: Option<String>,
    pub order: String,
    pub lines: Vec<Line>,
    pub is_free: bool,
    pub code: String,
}

/// A mail to be written.
#[derive(Debug, Clone)]
pub struct Mail {
    kind: Kind,
    case: Case,
    facts: Value,
}

impl Mail {
    pub fn of_order(kind: Kind, case: Case, facts: OrderFacts, local: &Local) -> Self {
        let OrderFacts { name, order, lines, gone, total, paid, unpaid, due_at, is_due, .. } = facts;
        let OrderFacts { came, refunded, pay_url, stop_url, .. } = facts;
        let money = |money: Money| local.money(money);
        let due = is_due.then(|| due_at.clone());
        let items: i64 = lines.iter().map(|line| line.quantity).sum();
        let facts = context! {
            name, order, items, due_at, due, came, pay_url, stop_url,
            lines => shown(lines, local),
            gone => gone.map(money),
            total => money(total),
            paid => money(paid),
            unpaid => money(unpaid),
            refunded => refunded.map(money),
        };
        Self { kind, case, facts }
    }

    pub fn of_stay(case: Case, facts: StayFacts, local: &Local) -> Self {
        let StayFacts { name, order, lines, is_free, code } = facts;
        let facts = context! {
            name, order, code, free => is_free, lines => shown(lines, local), stop_url => None::<String>,
        };
        Self { kind: case.kind(), case, facts }
    }

    pub fn of_account(case: Case, name: Option<&str>, code: Option<&str>) -> Self {
        let facts = context! { name, code, order => None::<String>, stop_url => None::<String> };
        Self { kind: case.kind(), case, facts }
    }

    pub(crate) fn facts(&self) -> Value {
        self.facts.clone()
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    pub const fn case(&self) -> Case {
        self.case
    }

    /// A mail as it could be, to show it and to try its templates.
    pub(crate) fn sample(case: Case, templates: &Templates, local: &Local) -> Result<Self, Error> {
        Ok(match case.kind().frame() {
            Frame::Order => Self::of_order(case.kind(), case, sample_order(case, templates, local)?, local),
            Frame::Stay => Self::of_stay(case, sample_stay(templates, local)?, local),
            Frame::Account => {
                Self::of_account(case, Some(SAMPLE_NAME), case.has_six_digits().then_some("271828"))
            }
        })
    }

    /// The same mail with as little as it can have: of a customer without a name, where nobody has said where
    /// to pay.
    pub(crate) fn bare(case: Case, templates: &Templates, local: &Local) -> Result<Self, Error> {
        Ok(match case.kind().frame() {
            Frame::Order => {
                let full = sample_order(case, templates, local)?;
                let came = full.came.filter(|_| case.tells_what_came());
                let refunded = full.refunded.filter(|_| case == Case::Refunded);
                let (name, gone, pay_url, stop_url) = (None, None, None, None);
                let facts = OrderFacts { name, gone, came, refunded, pay_url, stop_url, ..full };
                Self::of_order(case.kind(), case, facts, local)
            }
            Frame::Stay => {
                let facts = StayFacts { name: None, is_free: true, ..sample_stay(templates, local)? };
                Self::of_stay(case, facts, local)
            }
            Frame::Account => Self::of_account(case, None, case.has_six_digits().then_some("271828")),
        })
    }

    /// The same with one more of what another has: each thing that is missing here, by its name.
    pub(crate) fn filled_from(&self, other: &Self) -> impl Iterator<Item = (String, Self)> {
        let (facts, others) = (by_name(&self.facts), by_name(&other.facts));
        let missing = others.into_iter().filter({
            let facts = facts.clone();
            move |(name, value)| !value.is_none() && facts.get(name).is_none_or(Value::is_none)
        });
        let (kind, case) = (self.kind, self.case);
        missing.map(move |(name, value)| {
            let mut facts = facts.clone();
            facts.insert(name.clone(), value);
            (name, Self { kind, case, facts: Value::from(facts) })
        })
    }
}

fn by_name(facts: &Value) -> BTreeMap<String, Value> {
    let names = facts.try_iter().into_iter().flatten();
    names.filter_map(|name| Some((name.to_string(), facts.get_item(&name).ok()?))).collect()
}

pub(crate) fn shown(lines: Vec<Line>, local: &Local) -> Vec<Value> {
    let shown = |Line { quantity, name, amount }| {
        context! { quantity => local.number(quantity), name, amount => local.money(amount) }
    };
    lines.into_iter().map(shown).collect()
}

const SAMPLE_NAME: &str = "Ann Example";
const SAMPLE_ORDER: &str = "ord_0195f2b1c4d87a3e9b60123456789abc";
const SAMPLE_ZONE: &str = "Europe/Vienna";

fn euros(amount: i64) -> Money {
    Money::new(amount, Currency::parse("EUR").expect("ISO 4217 has it"))
}

fn days() -> (Date, Date) {
    (civil::date(2026, 7, 1), civil::date(2026, 7, 3))
}

fn sample_lines(templates: &Templates, local: &Local) -> Result<Vec<Line>, Error> {
    let room = templates.stay(local, "Double room", days())?;
    Ok(vec![
        Line { quantity: 2, name: "Green tea <fine>".to_owned(), amount: euros(2_500) },
        Line { quantity: 1, name: room, amount: euros(121_050) },
    ])
}

fn sample_order(case: Case, templates: &Templates, local: &Local) -> Result<OrderFacts, Error> {
    let awaits = matches!(case.kind(), Kind::Reminder | Kind::Extended);
    let zone = TimeZone::get(SAMPLE_ZONE).unwrap_or(TimeZone::UTC);
    let due = Timestamp::from_second(1_782_900_000).unwrap_or(Timestamp::UNIX_EPOCH);
    let has_gone = case == Case::CompletedRest;
    Ok(OrderFacts {
        name: Some(SAMPLE_NAME.to_owned()),
        order: SAMPLE_ORDER.to_owned(),
        lines: sample_lines(templates, local)?,
        gone: has_gone.then(|| euros(1_250)),
        total: euros(123_550),
        paid: euros(23_550),
        unpaid: euros(100_000),
        due_at: local.moment(due, zone),
        is_due: awaits,
        came: Some(templates.sums(local, &[euros(2_400), euros(100)])?),
        refunded: Some(euros(1_250)),
        pay_url: awaits.then(|| "https://shop.example/pay/ord_0195f2b1?token=abc&x=1".to_owned()),
        stop_url: (case.kind() == Kind::Reminder)
            .then(|| "https://shop.example/o/abc/unsubscribe".to_owned()),
    })
}

fn sample_stay(templates: &Templates, local: &Local) -> Result<StayFacts, Error> {
    Ok(StayFacts {
        name: Some(SAMPLE_NAME.to_owned()),
        order: SAMPLE_ORDER.to_owned(),
        lines: sample_lines(templates, local)?.split_off(1),
        is_free: false,
        code: "27182818".to_owned(),
    })
}
