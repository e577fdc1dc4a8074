//! What is known of an order, as it is shown.

use serde_json::Value;

use crate::{
    api_client::query,
    documents::{Change, Delivery, Entry, Exception, List, Mail, Movement, NextStep, Order, Payment, Refund},
    view::{Cell, Section, Table, money},
    words,
};

pub fn of(order: &Order) -> Section {
    let customer = &order.customer;
    let mut facts = vec![
        ("Status", Cell::state(&order.status)),
        ("Money", Cell::state(&order.payment_status)),
        ("Total", Cell::money(order.total, &order.currency)),
        ("Paid", Cell::money(order.amount_paid, &order.currency)),
        ("Due", Cell::money(order.amount_due, &order.currency)),
        ("Placed", Cell::Time(order.placed_at)),
        ("To be paid until", Cell::Time(order.payment_due_at)),
        ("Paid at", Cell::time(order.paid_at)),
        ("Ended", Cell::time(order.closed_at)),
        ("Why", Cell::maybe(order.close_reason.as_deref())),
        ("Collected by", Cell::text(order.payment_method.as_deref().unwrap_or("the shop itself"))),
        ("Customer", Cell::link(&customer.id, format!("/console/orders?customer={}", encoded(&customer.id)))),
        ("Name", Cell::maybe(customer.name.as_deref())),
        ("E-mail", Cell::text(&customer.email)),
        ("Language", Cell::maybe(customer.locale.as_deref())),
        ("Time zone", Cell::maybe(customer.time_zone.as_deref())),
    ];
    if !order.metadata.is_empty() {
        facts.push(("Metadata", Cell::code(Value::Object(order.metadata.clone()).to_string())));
    }
    Section::Facts(facts)
}

fn encoded(text: &str) -> String {
    crate::api_client::part(text)
}

/// What happens if nobody does anything, when, and by which rule.
pub fn next(next: &NextStep, order: &Order) -> Section {
    let by = next.rule.as_deref().map(|rule| words::rule(rule, next.value.as_deref()));
    let mut facts = vec![("What happens next", Cell::text(words::next_step(&next.action, next.number)))];
    if next.at.is_some() {
        facts.push((if next.is_due { "When (it is due now)" } else { "When" }, Cell::time(next.at)));
    }
    if let Some(by) = by {
        facts.push(("By which rule", Cell::text(by)));
    }
    facts.push(("Its workflow", Cell::code(&order.workflow.id)));
    Section::Facts(facts)
}

pub fn lines(order: &Order) -> Section {
    let row = |line: &crate::documents::Line| {
        let nights =
            line.stay.as_ref().map(|stay| format!("{} to {}, {} guests", stay.from, stay.to, stay.guests));
        vec![
            Cell::link(&line.sku, format!("/console/stock/{}", encoded(&line.sku))),
            Cell::text(&line.name),
            Cell::maybe(nights),
            Cell::number(line.quantity),
            Cell::money(line.unit_price, &order.currency),
            Cell::money(line.amount, &order.currency),
            Cell::number(line.returned),
        ]
    };
    let columns = ["SKU", "Name", "Nights", "Quantity", "Price", "Amount", "Came back"];
    Section::Table(Table::new("Lines", &columns, order.lines.iter().map(row).collect()))
}

pub fn timeline(entries: &[Entry]) -> Section {
    let row = |entry: &Entry| {
        vec![
            Cell::Time(entry.at),
            Cell::text(words::spoken(&entry.r#type)),
            Cell::maybe(entry.by.as_deref()),
            told(&entry.data),
        ]
    };
    let rows = entries.iter().rev().map(row).collect();
    Section::Table(Table::new("Timeline, newest first", &["When", "What", "By whom", "More"], rows))
}

/// What is in an entry, in one line.
fn told(data: &Value) -> Cell {
    let Some(fields) = data.as_object().filter(|fields| !fields.is_empty()) else { return Cell::Nothing };
    let currency = fields.get("currency").and_then(Value::as_str);
    let one = |(name, value): (&String, &Value)| match (name.as_str(), value, currency) {
        ("currency", ..) => None,
        (_, Value::Number(number), Some(currency)) if number.is_i64() && is_amount(name) => {
            Some(format!("{}: {}", words::spoken(name), money(number.as_i64()?, currency)))
        }
        (_, Value::String(text), _) => Some(format!("{}: {text}", words::spoken(name))),
        (_, Value::Null, _) => None,
        (_, other, _) => Some(format!("{}: {other}", words::spoken(name))),
    };
    Cell::text(fields.iter().filter_map(one).collect::<Vec<_>>().join("; "))
}

fn is_amount(name: &str) -> bool {
    matches!(name, "amount" | "total" | "amount_due")
}

pub fn payments(payments: &[Payment]) -> Section {
    let row = |payment: &Payment| {
        vec![
            Cell::Time(payment.captured_at.unwrap_or(payment.created_at)),
            Cell::state(&payment.state),
            Cell::money(payment.amount, &payment.currency),
            Cell::money(payment.applied, &payment.currency),
            Cell::money(payment.refundable, &payment.currency),
            Cell::text(&payment.provider),
            payment.provider_payment_id.as_deref().map_or(Cell::Nothing, Cell::code),
            Cell::code(&payment.id),
        ]
    };
    let columns =
        ["When", "State", "Amount", "Pays the order", "Can go back", "Provider", "Provider's id", "Id"];
    Section::Table(Table::new("Payments", &columns, payments.iter().map(row).collect()))
}

pub fn refunds(refunds: &[Refund]) -> Section {
    let row = |refund: &Refund| {
        vec![
            Cell::Time(refund.created_at),
            Cell::state(&refund.state),
            Cell::money(refund.amount, &refund.currency),
            Cell::text(&refund.reason),
            Cell::text(refund.by.as_deref().unwrap_or(&refund.source)),
            Cell::code(&refund.id),
        ]
    };
    let columns = ["When", "State", "Amount", "Reason", "By whom", "Id"];
    Section::Table(Table::new("Refunds", &columns, refunds.iter().map(row).collect()))
}

pub fn mails(mails: &[Mail]) -> Section {
    let row = |mail: &Mail| {
        vec![
            Cell::time(mail.at),
            Cell::text(words::spoken(&mail.kind)),
            Cell::state(&mail.state),
            Cell::code(&mail.message_id),
        ]
    };
    Section::Table(Table::new(
        "Mails",
        &["When", "Mail", "State", "Message-ID"],
        mails.iter().map(row).collect(),
    ))
}

/// What was asked of the order, also what is not decided yet.
pub fn changes(changes: &[Change]) -> Section {
    let row = |change: &Change| {
        vec![
            Cell::Time(change.requested_at),
            Cell::text(words::spoken(&change.kind)),
            Cell::state(&change.state),
            Cell::maybe(change.by.as_deref()),
            Cell::time(change.decided_at),
            Cell::maybe(change.problem.as_ref().map(|problem| problem.detail.as_str())),
        ]
    };
    let columns = ["When", "What", "State", "By whom", "Decided", "Why not"];
    let rows = changes.iter().rev().map(row).collect();
    Section::Table(Table::new("What was asked of it, newest first", &columns, rows))
}

/// The lists of an order's page that go on: by what in its address the next part of each is found.
pub const EXCEPTIONS_AFTER: &str = "exceptions_after";
pub const DELIVERIES_AFTER: &str = "deliveries_after";
pub const MOVEMENTS_AFTER: &str = "movements_after";

/// Where the next part of such a list is.
fn more<T>(list: &List<T>, order: &str, name: &str) -> Option<String> {
    let after = list.next_cursor.as_deref()?;
    Some(format!("/console/orders/{order}{}", query(&[(name, Some(after))])))
}

pub fn deliveries(deliveries: &List<Delivery>, order: &str) -> Section {
    let rows = deliveries.data.iter().map(delivery).collect();
    let table = Table::new("Webhooks about it, newest first", &DELIVERY, rows);
    Section::Table(table.with_more(more(deliveries, order, DELIVERIES_AFTER)))
}

pub const DELIVERY: [&str; 7] = ["Happened", "What", "State", "Tries", "Answer", "Endpoint", "Event"];

pub fn delivery(delivery: &Delivery) -> Vec<Cell> {
    let answer = match (&delivery.error, delivery.answer_code) {
        (Some(error), _) => Cell::text(words::spoken(error)),
        (None, Some(code)) => Cell::text(code.to_string()),
        (None, None) => Cell::Nothing,
    };
    vec![
        Cell::Time(delivery.at),
        Cell::text(&delivery.r#type),
        Cell::state(&delivery.status),
        Cell::number(delivery.attempts),
        answer,
        Cell::link(&delivery.endpoint_id, format!("/console/events/{}", delivery.endpoint_id)),
        Cell::code(&delivery.event_id),
    ]
}

pub fn movements(movements: &List<Movement>, order: &str) -> Section {
    let rows = movements.data.iter().map(movement).collect();
    let table = Table::new("Stock it moved, newest first", &MOVEMENT, rows);
    Section::Table(table.with_more(more(movements, order, MOVEMENTS_AFTER)))
}

pub const MOVEMENT: [&str; 9] =
    ["When", "SKU", "What", "On hand", "Held", "On hand after", "Held after", "Order or reason", "By whom"];

/// A line of the ledger, with the balance that it left.
pub fn movement(movement: &Movement) -> Vec<Cell> {
    let why = match (&movement.order_id, &movement.reason) {
        (Some(order), _) => Cell::order(order),
        (None, reason) => Cell::maybe(reason.as_deref()),
    };
    vec![
        Cell::Time(movement.at),
        Cell::text(&movement.sku),
        Cell::text(words::spoken(&movement.kind)),
        signed(movement.on_hand_delta),
        signed(movement.held_delta),
        Cell::number(movement.on_hand_after),
        Cell::number(movement.held_after),
        why,
        Cell::maybe(movement.by.as_deref()),
    ]
}

fn signed(number: i64) -> Cell {
    let sign = if number > 0 { "+" } else { "" };
    Cell::Number(format!("{sign}{}", words::grouped(number)))
}

pub fn exceptions(exceptions: &List<Exception>, order: &str) -> Section {
    let row = |exception: &Exception| {
        vec![
            Cell::link(words::spoken(&exception.kind), format!("/console/exceptions/{}", exception.id)),
            Cell::state(&exception.state),
            amount(exception),
            Cell::Time(exception.raised_at),
        ]
    };
    let rows = exceptions.data.iter().map(row).collect();
    let table = Table::new("Exceptions, newest first", &["What", "State", "Amount", "Raised"], rows);
    Section::Table(table.with_more(more(exceptions, order, EXCEPTIONS_AFTER)))
}

pub fn amount(exception: &Exception) -> Cell {
    match &exception.currency {
        Some(currency) => Cell::money(exception.amount, currency),
        None => Cell::Nothing,
    }
}
