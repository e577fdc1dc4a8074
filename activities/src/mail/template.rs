//! What the mails say. The texts stand in `activities/templates`, checked when this crate is built.

mod account;
mod webhook;

use askama::Template;
use domain::{
    Date, Timestamp,
    check_in::Code,
    customer::Customer,
    mail::MailKind,
    money::Money,
    order::{Order, Status},
    returns::{Run, rest as rest_of_line},
    zone,
};
use store::received::Came;

pub(super) use account::{account, account_code_used};
pub(super) use webhook::webhook_disabled;

/// A mail, ready to be addressed.
#[derive(Debug)]
pub(super) struct Text {
    pub subject: String,
    pub plain: String,
    pub html: String,
}

/// Everything a template may show.
struct Facts {
    greeting: String,
    order: String,
    lines: Vec<Line>,
    /// What was paid for that is not the customer's any more, in a mail that tells what is.
    gone: Option<Money>,
    total: Money,
    /// In the customer's time zone, with its offset and name. None if nothing is due, or not any more.
    due: Option<String>,
    /// The sentences that differ from mail to mail.
    headline: &'static str,
    message: String,
}

struct Line {
    quantity: i64,
    name: String,
    amount: Money,
}

#[derive(Template)]
#[template(path = "order.txt", escape = "none")]
struct Plain<'a>(&'a Facts);

#[derive(Template)]
#[template(path = "order.html")]
struct Html<'a>(&'a Facts);

/// What the mail with the check-in code shows.
struct CheckIn {
    headline: &'static str,
    /// Empty, or that the code before is worth nothing any more.
    instead: &'static str,
    greeting: String,
    order: String,
    lines: Vec<Line>,
    standing: &'static str,
    code: String,
    warning: &'static str,
}

const CHECK_IN: &str = "Your check-in code";
const NEW_CODE: &str = "Your new check-in code";
const INSTEAD: &str = "It takes the place of any code that we sent you before, which is not good any more.";
const WARNING: &str = "Do not share this code with anybody before you arrive. We never ask for it by phone, \
                       mail or chat: whoever does is not us.";

#[derive(Template)]
#[template(path = "check_in.txt", escape = "none")]
struct CheckInPlain<'a>(&'a CheckIn);

#[derive(Template)]
#[template(path = "check_in.html")]
struct CheckInHtml<'a>(&'a CheckIn);

/// The code stands in the text alone: subjects are shown on locked screens, and logged on the way.
pub(super) fn check_in(order: &Order, code: &Code, is_new: bool) -> Result<Text, askama::Error> {
    let (headline, instead) = if is_new { (NEW_CODE, INSTEAD) } else { (CHECK_IN, "") };
    let facts = CheckIn {
        headline,
        instead,
        greeting: greeting(&order.customer),
        order: order.id.to_string(),
        lines: rest(order),
        standing: stay_is(order),
        code: code.as_str().to_owned(),
        warning: WARNING,
    };
    Ok(Text {
        subject: format!("{headline}: {}", order.id),
        plain: CheckInPlain(&facts).render()?,
        html: CheckInHtml(&facts).render()?,
    })
}

fn stay_is(order: &Order) -> &'static str {
    if order.is_free() { "Your stay is confirmed." } else { "Your stay is paid." }
}

/// `refunded` is how much went back, in a mail that says so.
pub(super) fn render(order: &Order, kind: MailKind, refunded: Option<Money>) -> Result<Text, askama::Error> {
    let due = local_time(order.payment_due_at, &order.customer);
    let (headline, message) = words(kind, &due, order, refunded);
    compose(order, kind, due, headline, message)
}

/// The order awaits payment; something that came for it may not be what was due.
pub(super) fn asking(order: &Order, kind: MailKind, undecided: &[Money]) -> Result<Text, askama::Error> {
    let due = local_time(order.payment_due_at, &order.customer);
    let (headline, message) = words(kind, &due, order, None);
    let (headline, message) = match undecided.is_empty() {
        true => (headline, message),
        false => (
            "We are looking at your payment",
            format!(
                "We are holding your order for you until {due}. {} reached us for it, and not the {} that \
                 was due. We will get in touch with you about it; please do not pay again before.",
                list(undecided),
                order.amount_due()
            ),
        ),
    };
    compose(order, kind, due, headline, message)
}

fn list(sums: &[Money]) -> String {
    sums.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// The order ended unpaid, though something had come for it.
pub(super) fn ended(order: &Order, kind: MailKind, came: &[Came]) -> Result<Text, askama::Error> {
    let due = local_time(order.payment_due_at, &order.customer);
    let (headline, message) = words(kind, &due, order, None);
    let sums = list(&came.iter().map(|came| came.money).collect::<Vec<_>>());
    let then = match came.iter().all(|came| came.goes_back) {
        true => "It goes back to you, if it has not already.",
        false => "We will get in touch with you about it.",
    };
    let message = match (kind, sums.is_empty()) {
        (_, true) => message,
        (MailKind::Expired, false) => format!(
            "Until {due}, {sums} reached us for this order, and not the {} that it costs, so we have \
             released what we held for you. {then} You are welcome to order again.",
            order.total()
        ),
        (_, false) => format!("{message} {sums} had reached us for it. {then}"),
    };
    compose(order, kind, due, headline, message)
}

fn compose(
    order: &Order,
    kind: MailKind,
    due: String,
    headline: &'static str,
    message: String,
) -> Result<Text, askama::Error> {
    let lines = if hands_over(kind) { rest(order) } else { lines(order) };
    let gone = order.total - lines.iter().map(|line| line.amount.amount).sum::<i64>();
    let facts = Facts {
        greeting: greeting(&order.customer),
        order: order.id.to_string(),
        lines,
        gone: (gone != 0).then_some(Money::new(gone, order.currency)),
        total: order.total(),
        due: (order.status == Status::AwaitingPayment && !order.is_free()).then_some(due),
        headline,
        message,
    };
    Ok(Text {
        subject: format!("{headline}: {}", order.id),
        plain: Plain(&facts).render()?,
        html: Html(&facts).render()?,
    })
}

/// Whether a mail tells what the customer gets, or got.
fn hands_over(kind: MailKind) -> bool {
    matches!(kind, MailKind::Paid | MailKind::CheckIn | MailKind::NewCheckInCode(_) | MailKind::Completed)
}

fn greeting(customer: &Customer) -> String {
    customer.name().map_or("Hello,".to_owned(), |name| format!("Hello {name},"))
}

/// All that was ordered.
fn lines(order: &Order) -> Vec<Line> {
    let line = |line: &domain::order::Line| {
        let stay = line.stay.as_ref().map(|stay| (stay.from, stay.to));
        show(order, line, stay, line.quantity, line.amount())
    };
    order.lines.iter().map(line).collect()
}

/// What of it is the customer's: not what came back, or is about to.
fn rest(order: &Order) -> Vec<Line> {
    let of = |line| rest_of_line(line, &order.gone).into_iter().map(move |rest| (line, rest));
    let line = |(line, (run, amount)): (_, (Run, i64))| show(order, line, run.stay, run.quantity, amount);
    order.lines.iter().flat_map(of).map(line).collect()
}

fn show(
    order: &Order,
    line: &domain::order::Line,
    stay: Option<(Date, Date)>,
    quantity: i64,
    amount: i64,
) -> Line {
    let name = match stay {
        None => line.name.clone(),
        Some((from, to)) => format!("{}, {} to {}", line.name, day(from), day(to)),
    };
    Line { quantity, name, amount: Money::new(amount, order.currency) }
}

fn words(kind: MailKind, due: &str, order: &Order, refunded: Option<Money>) -> (&'static str, String) {
    let total = order.total();
    match kind {
        MailKind::Reminder(_) if order.parts_paid > 0 => (
            "Please pay the rest of your order",
            format!(
                "We are holding your order for you. Of {total}, {} has reached us, and {} is still due. \
                 Please pay it until {due}; after that the order expires.",
                order.amount_paid(),
                order.amount_due()
            ),
        ),
        MailKind::Reminder(_) => (
            "Please pay your order",
            format!(
                "We are holding your order for you, but have not received your payment of {total} yet. \
                     Please pay until {due}; after that the order expires."
            ),
        ),
        MailKind::Paid if order.is_free() => (
            "We have received your order",
            "Thank you! There is nothing to pay: your order is confirmed.".to_owned(),
        ),
        MailKind::Paid => {
            ("We have received your payment", format!("Thank you! Your payment of {total} has arrived."))
        }
        MailKind::CheckIn => (CHECK_IN, stay_is(order).to_owned()),
        MailKind::NewCheckInCode(_) => (NEW_CODE, stay_is(order).to_owned()),
        MailKind::Completed if order.gone.is_empty() => {
            ("Your order is complete", "Everything you ordered has been handed over.".to_owned())
        }
        MailKind::Completed => (
            "Your order is complete",
            "Everything that was left of your order has been handed over.".to_owned(),
        ),
        MailKind::Expired => (
            "Your order has expired",
            format!(
                "No payment reached us until {due}, so we have released what we held for you. \
                     You are welcome to order again."
            ),
        ),
        MailKind::Extended(_) => (
            "You have more time to pay",
            format!(
                "We are holding your order for you until {due}. Please pay {} by then.",
                order.amount_due()
            ),
        ),
        MailKind::Cancelled => (
            "Your order was cancelled",
            match order.paid_at {
                Some(_) if !order.is_free() => {
                    "Your order has been cancelled. What you paid for it goes back to you, \
                     if it has not already."
                        .to_owned()
                }
                _ => "Your order has been cancelled and nothing is due any more.".to_owned(),
            },
        ),
        MailKind::Refunded(_) => (
            "Your money is on its way back",
            match refunded {
                Some(money) => format!("We have sent {money} back to you, the way it came."),
                None => "We have sent your money back to you, the way it came.".to_owned(),
            },
        ),
    }
}

/// `22 November 2026`.
fn day(day: Date) -> String {
    day.strftime("%-d %B %Y").to_string()
}

/// `Sunday, 22 November 2026, 14:05 +01:00 (Europe/Vienna)`. The offset tells apart the two hours of the same
/// name when the clocks go back.
fn local_time(at: Timestamp, customer: &Customer) -> String {
    let zoned = at.to_zoned(zone::stored(customer.time_zone().unwrap_or("UTC")));
    let name = zoned.time_zone().iana_name().unwrap_or("UTC");
    format!("{} ({name})", zoned.strftime("%A, %-d %B %Y, %H:%M %:z"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn due_dates_are_in_the_customers_time_zone() {
        let customer = |time_zone: Option<&str>| -> Customer {
            let stored = json!({"id": "c1", "email": "ann@example.org", "time_zone": time_zone});
            serde_json::from_value(stored).expect("a customer")
        };
        let at: Timestamp = "2026-07-01T22:30:00Z".parse().expect("a time");
        assert_eq!(local_time(at, &customer(None)), "Wednesday, 1 July 2026, 22:30 +00:00 (UTC)");
        let vienna = customer(Some("Europe/Vienna"));
        assert_eq!(local_time(at, &vienna), "Thursday, 2 July 2026, 00:30 +02:00 (Europe/Vienna)");
        let twice = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"].map(|at| {
            let at: Timestamp = at.parse().expect("a time");
            (local_time(at, &vienna), local_time(at, &customer(Some("America/St_Johns"))))
        });
        assert_eq!(twice[0].0, "Sunday, 25 October 2026, 02:30 +02:00 (Europe/Vienna)");
        assert_eq!(twice[1].0, "Sunday, 25 October 2026, 02:30 +01:00 (Europe/Vienna)");
        assert_eq!(twice[1].1, "Saturday, 24 October 2026, 23:00 -02:30 (America/St_Johns)");
        // Of an order that is older than the rule for zones.
        assert_eq!(local_time(at, &customer(Some("Factory"))), "Wednesday, 1 July 2026, 22:30 +00:00 (UTC)");
    }
}
