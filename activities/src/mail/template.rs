//! What the mails say: which sentences, and what stands in them. The sentences and the frames around them are
//! in the crate `wording`, or the shop's own.

use domain::{
    Date,
    account::{Code as SixDigits, CodePurpose},
    check_in::Code,
    customer::Customer,
    mail::MailKind,
    money::Money,
    order::{Order, Status},
    returns::{Run, rest as rest_of_line},
    webhook::DisabledReason,
    zone,
};
use store::{received::Came, webhook_endpoints::owners::Untold};
use wording::{
    Error, Local, Notice, Shop, Templates, Text,
    mail::{Case, Kind, Line, Mail, OrderFacts, StayFacts},
};

use super::links::Links;

/// Writes mails as a shop wants them written.
pub struct Writer {
    templates: Templates,
    shop: Shop,
    links: Links,
}

/// What is to be told beside the order itself.
#[derive(Debug)]
pub enum About {
    Order,
    /// Something that came for it may not be what was due.
    Undecided(Vec<Money>),
    /// It ended unpaid, though this had come for it.
    Ended(Vec<Came>),
    /// So much went back.
    Refunded(Money),
}

/// A mail, ready to be addressed.
#[derive(Debug)]
pub struct Letter {
    pub text: Text,
    /// Where its reader asks for no more of its kind.
    pub stop_url: Option<String>,
}

impl From<Text> for Letter {
    fn from(text: Text) -> Self {
        Self { text, stop_url: None }
    }
}

impl Writer {
    pub const fn new(templates: Templates, shop: Shop, links: Links) -> Self {
        Self { templates, shop, links }
    }

    /// How a customer reads. Who does not say gets what the shop prefers.
    fn local(&self, customer: &Customer) -> Local {
        Local::of(customer.locale().or(self.shop.locale.as_deref()))
    }

    /// A mail about an order. `generation`: of its links.
    pub fn order(
        &self,
        order: &Order,
        kind: MailKind,
        about: &About,
        generation: u32,
    ) -> Result<Letter, Error> {
        let local = self.local(&order.customer);
        let lines = match hands_over(kind) {
            true => self.rest(order, &local)?,
            false => self.lines(order, &local)?,
        };
        let gone = order.total - lines.iter().map(|line| line.amount.amount).sum::<i64>();
        let came = match about {
            About::Undecided(sums) => sums.clone(),
            About::Ended(came) => came.iter().map(|came| came.money).collect(),
            About::Order | About::Refunded(_) => Vec::new(),
        };
        let zone = zone::stored(order.customer.time_zone().unwrap_or("UTC"));
        let asks = kind.asks_for_payment();
        let stop_url = kind.is_reminder().then(|| self.links.stop_url(order.id)).flatten();
        let facts = OrderFacts {
            name: order.customer.name().map(str::to_owned),
            order: order.id.to_string(),
            lines,
            gone: (gone != 0).then_some(Money::new(gone, order.currency)),
            total: order.total(),
            paid: order.amount_paid(),
            unpaid: order.amount_due(),
            due_at: local.moment(order.payment_due_at, zone),
            is_due: order.status == Status::AwaitingPayment && !order.is_free(),
            came: (!came.is_empty()).then(|| self.templates.sums(&local, &came)).transpose()?,
            refunded: match about {
                About::Refunded(money) => Some(*money),
                _ => None,
            },
            pay_url: asks.then(|| self.links.pay_url(order, generation)).flatten(),
            stop_url: stop_url.clone(),
        };
        let mail = Mail::of_order(mail_kind(kind), case(order, kind, about), facts, &local);
        Ok(Letter { text: self.templates.mail(&mail, &local, &self.shop)?, stop_url })
    }

    /// The code stands in the text alone: subjects are shown on locked screens, and logged on the way.
    pub fn check_in(&self, order: &Order, code: &Code, is_new: bool) -> Result<Letter, Error> {
        let local = self.local(&order.customer);
        let facts = StayFacts {
            name: order.customer.name().map(str::to_owned),
            order: order.id.to_string(),
            lines: self.rest(order, &local)?,
            is_free: order.is_free(),
            code: code.as_str().to_owned(),
        };
        let case = if is_new { Case::NewCheckInCode } else { Case::CheckIn };
        Ok(self.templates.mail(&Mail::of_stay(case, facts, &local), &local, &self.shop)?.into())
    }

    /// A mail of an account. As for check-in: the code stands in the text alone.
    pub fn account(
        &self,
        to: &Customer,
        purpose: CodePurpose,
        code: Option<&SixDigits>,
    ) -> Result<Letter, Error> {
        let case = match purpose {
            CodePurpose::VerifyEmail => Case::VerifyEmail,
            CodePurpose::ResetPassword => Case::ResetPassword,
            CodePurpose::AlreadyRegistered => Case::AlreadyRegistered,
            CodePurpose::PasswordChanged => Case::PasswordChanged,
        };
        self.of_account(to, case, code.map(SixDigits::as_str))
    }

    /// Tells what a code was used for.
    pub fn account_code_used(
        &self,
        to: &Customer,
        purpose: CodePurpose,
        has_password: bool,
    ) -> Result<Letter, Error> {
        let case = match purpose {
            CodePurpose::VerifyEmail if !has_password => Case::VerifiedWithoutPassword,
            CodePurpose::VerifyEmail | CodePurpose::AlreadyRegistered => Case::Verified,
            CodePurpose::ResetPassword | CodePurpose::PasswordChanged => Case::PasswordReset,
        };
        self.of_account(to, case, None)
    }

    fn of_account(&self, to: &Customer, case: Case, code: Option<&str>) -> Result<Letter, Error> {
        let mail = Mail::of_account(case, to.name(), code);
        Ok(self.templates.mail(&mail, &self.local(to), &self.shop)?.into())
    }

    /// To the owner of a webhook endpoint, who is one of the shop's people.
    pub fn webhook_disabled(&self, untold: &Untold) -> Result<Letter, Error> {
        let Untold { endpoint, url, description, .. } = untold;
        let named = if description.is_empty() { String::new() } else { format!(" ({description})") };
        let why = match untold.reason {
            DisabledReason::Gone => "it answered 410 Gone".to_owned(),
            _ => match untold.failing_since {
                Some(since) => format!("nothing could be delivered there since {since:.0}"),
                None => "nothing could be delivered there for days".to_owned(),
            },
        };
        let message = format!(
            "The webhook endpoint {endpoint}{named} at {url} is disabled, because {why}. Nothing is sent \
             there any more. What happens meanwhile is kept for it."
        );
        let notice = Notice {
            headline: "A webhook endpoint is disabled",
            message: &message,
            warning: "Once it works again, enable it: PATCH /v1/webhook-endpoints/{id} with {\"enabled\": \
                      true} sends what it missed. What was given up before is sent again by POST \
                      .../redeliver.",
        };
        Ok(self.templates.notice(notice, &self.shop)?.into())
    }

    /// All that was ordered.
    fn lines(&self, order: &Order, local: &Local) -> Result<Vec<Line>, Error> {
        let line = |line: &domain::order::Line| {
            let stay = line.stay.as_ref().map(|stay| (stay.from, stay.to));
            self.line(order, local, line, (stay, line.quantity, line.amount()))
        };
        order.lines.iter().map(line).collect()
    }

    /// What of it is the customer's: not what came back, or is about to.
    fn rest(&self, order: &Order, local: &Local) -> Result<Vec<Line>, Error> {
        let of = |line| rest_of_line(line, &order.gone).into_iter().map(move |rest| (line, rest));
        let line = |(line, (run, amount)): (_, (Run, i64))| {
            self.line(order, local, line, (run.stay, run.quantity, amount))
        };
        order.lines.iter().flat_map(of).map(line).collect()
    }

    fn line(
        &self,
        order: &Order,
        local: &Local,
        line: &domain::order::Line,
        (stay, quantity, amount): (Option<(Date, Date)>, i64, i64),
    ) -> Result<Line, Error> {
        let name = match stay {
            None => line.name.clone(),
            Some(days) => self.templates.stay(local, &line.name, days)?,
        };
        Ok(Line { quantity, name, amount: Money::new(amount, order.currency) })
    }
}

/// Whether a mail tells what the customer gets, or got.
fn hands_over(kind: MailKind) -> bool {
    matches!(kind, MailKind::Paid | MailKind::CheckIn | MailKind::NewCheckInCode(_) | MailKind::Completed)
}

const fn mail_kind(kind: MailKind) -> Kind {
    match kind {
        MailKind::Reminder(_) => Kind::Reminder,
        MailKind::Paid => Kind::Paid,
        MailKind::CheckIn => Kind::CheckIn,
        MailKind::Completed => Kind::Completed,
        MailKind::Expired => Kind::Expired,
        MailKind::Cancelled => Kind::Cancelled,
        MailKind::Refunded(_) => Kind::Refunded,
        MailKind::Extended(_) => Kind::Extended,
        MailKind::NewCheckInCode(_) => Kind::NewCheckInCode,
    }
}

/// Which sentences.
fn case(order: &Order, kind: MailKind, about: &About) -> Case {
    let came = match about {
        About::Ended(came) if !came.is_empty() => Some(came.iter().all(|came| came.goes_back)),
        _ => None,
    };
    let is_undecided = matches!(about, About::Undecided(sums) if !sums.is_empty());
    match (kind, came) {
        (MailKind::Reminder(_) | MailKind::Extended(_), _) if is_undecided => Case::Undecided,
        (MailKind::Reminder(_), _) if order.parts_paid > 0 => Case::ReminderRest,
        (MailKind::Reminder(_), _) => Case::Reminder,
        (MailKind::Extended(_), _) => Case::Extended,
        (MailKind::Paid, _) if order.is_free() => Case::PaidFree,
        (MailKind::Paid, _) => Case::Paid,
        (MailKind::CheckIn, _) => Case::CheckIn,
        (MailKind::NewCheckInCode(_), _) => Case::NewCheckInCode,
        (MailKind::Completed, _) if order.gone.is_empty() => Case::Completed,
        (MailKind::Completed, _) => Case::CompletedRest,
        (MailKind::Expired, None) => Case::Expired,
        (MailKind::Expired, Some(true)) => Case::ExpiredMoneyBack,
        (MailKind::Expired, Some(false)) => Case::ExpiredMoneyOpen,
        (MailKind::Cancelled, Some(true)) => Case::CancelledMoneyBack,
        (MailKind::Cancelled, Some(false)) => Case::CancelledMoneyOpen,
        (MailKind::Cancelled, None) if order.paid_at.is_some() && !order.is_free() => Case::CancelledPaid,
        (MailKind::Cancelled, None) => Case::Cancelled,
        (MailKind::Refunded(_), _) => Case::Refunded,
    }
}
