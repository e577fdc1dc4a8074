//! One order: all that is known of it, live.

use axum::{
    Router,
    extract::{Path, RawQuery},
    http::StatusCode,
    routing::get,
};
use domain::{OrderId, api_key::Scope};

use super::{Shown, accounts, notice, order_actions::offered, order_facts as facts, stream::live};
use crate::{
    Console,
    api_client::{Asked, query},
    documents::{
        Change, Delivery, Entry, Exception, List, Mail, Movement, NextStep, Order, Payment, Problem, Refund,
    },
    failure::Failure,
    fields::Fields,
    operator::{Operator, Watcher},
    render::{Page, fragment, page},
    view::{Link, Section},
};

/// What is said after something was done.
const SAID: [(&str, &str); 8] = [
    ("cancel", "The order is cancelled."),
    ("extend", "The customer has more time to pay."),
    ("fulfil", "The order is completed."),
    ("refund", "The refund is on its way."),
    ("new-code", "A new code is on its way to the guests."),
    ("revoke-links", "The links in its mails are good no more."),
    ("placed", "The order is placed."),
    ("accepted", "It is stored, and not decided yet: what becomes of it stands below, where it was asked."),
];

pub fn routes() -> Router<Console> {
    Router::new()
        .route("/console/orders/{id}", get(one))
        .route("/console/orders/{id}/sections", get(sections))
}

/// What cannot be an order's id names no page.
pub fn path_of(operator: &Operator, id: &str) -> Result<String, Failure> {
    match id.parse::<OrderId>() {
        Ok(id) => Ok(format!("/v1/orders/{id}")),
        Err(_) => Err(operator.fail(Problem::own(StatusCode::NOT_FOUND, "There is no order with this id."))),
    }
}

async fn one(operator: Operator, Path(id): Path<String>, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let mut shown: Vec<Section> = notice(&asked, &SAID).into_iter().collect();
    shown.extend(load(&operator, &id, &asked).await?);
    // What is loaded anew is the same part of each list.
    let after = [facts::EXCEPTIONS_AFTER, facts::DELIVERIES_AFTER, facts::MOVEMENTS_AFTER];
    let here = query(&after.map(|name| (name, asked.given(name))));
    let live = live(&operator, Some(&id), &[], format!("/console/orders/{id}/sections{here}"));
    Ok(page(&Page::new(format!("Order {id}"), shown).live(live), &operator.frame()))
}

async fn sections(Watcher(operator): Watcher, Path(id): Path<String>, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    Ok(fragment(&load(&operator, &id, &asked).await?, &operator.frame()))
}

/// What there is about an order. The page is there without any of it.
struct Parts {
    next: Asked<NextStep>,
    timeline: Asked<List<Entry>>,
    changes: Asked<List<Change>>,
    payments: Asked<List<Payment>>,
    refunds: Asked<List<Refund>>,
    mails: Asked<List<Mail>>,
    exceptions: Asked<List<Exception>>,
    deliveries: Asked<List<Delivery>>,
    movements: Asked<List<Movement>>,
}

/// Everything at once: the API reads each of them by itself.
async fn parts(operator: &Operator, path: &str, id: &str, asked: &Fields) -> Result<Parts, Failure> {
    let [next, timeline, changes, payments, refunds, mails] =
        ["next", "timeline", "changes", "payments", "refunds", "mails"].map(|of| format!("{path}/{of}"));
    let page = |of: &str, after: &str, (name, value): (&str, &str)| {
        let after = asked.given(after);
        format!("{of}{}", query(&[(name, Some(value)), ("limit", Some("100")), ("starting_after", after)]))
    };
    let exceptions = page("/v1/exceptions", facts::EXCEPTIONS_AFTER, ("order", id));
    let movements = page("/v1/ledger", facts::MOVEMENTS_AFTER, ("order", id));
    let deliveries = page(&format!("{path}/deliveries"), facts::DELIVERIES_AFTER, ("newest_first", "true"));
    let all = tokio::try_join!(
        operator.part::<NextStep>(Scope::OrdersRead, &next),
        operator.part::<List<Entry>>(Scope::OrdersRead, &timeline),
        operator.part::<List<Change>>(Scope::OrdersRead, &changes),
        operator.part::<List<Payment>>(Scope::PaymentsRead, &payments),
        operator.part::<List<Refund>>(Scope::PaymentsRead, &refunds),
        operator.part::<List<Mail>>(Scope::OrdersRead, &mails),
        operator.part::<List<Exception>>(Scope::PaymentsRead, &exceptions),
        operator.part::<List<Delivery>>(Scope::EventsRead, &deliveries),
        operator.part::<List<Movement>>(Scope::Operations, &movements),
    )?;
    let (next, timeline, changes, payments, refunds, mails, exceptions, deliveries, movements) = all;
    Ok(Parts { next, timeline, changes, payments, refunds, mails, exceptions, deliveries, movements })
}

async fn load(operator: &Operator, id: &str, asked: &Fields) -> Result<Vec<Section>, Failure> {
    let path = path_of(operator, id)?;
    let order: Order = operator.get(&path).await?;
    let parts = parts(operator, &path, id, asked).await?;
    let mut sections = vec![facts::of(&order)];
    sections.extend(parts.next.shown("What happens next", |next| facts::next(&next, &order)));
    sections.push(Section::Links(links(operator, &order, parts.payments.told())));
    let is_empty = |all: &List<Exception>| all.data.is_empty();
    if !parts.exceptions.told().is_some_and(is_empty) {
        let shown = parts.exceptions.shown("Its exceptions", |all| facts::exceptions(&all, id));
        sections.extend(shown);
    }
    sections.push(facts::lines(&order));
    let has_none = |all: &List<Change>| all.data.is_empty();
    if !parts.changes.told().is_some_and(has_none) {
        sections.extend(parts.changes.shown("What was asked of it", |all| facts::changes(&all.data)));
    }
    sections.extend(parts.timeline.shown("Its timeline", |all| facts::timeline(&all.data)));
    sections.extend(parts.payments.shown("Its payments", |all| facts::payments(&all.data)));
    sections.extend(parts.refunds.shown("Its refunds", |all| facts::refunds(&all.data)));
    sections.extend(parts.mails.shown("Its mails", |all| facts::mails(&all.data)));
    sections.extend(parts.deliveries.shown("Webhooks about it", |all| facts::deliveries(&all, id)));
    sections.extend(parts.movements.shown("The stock it moved", |all| facts::movements(&all, id)));
    Ok(sections)
}

/// What is to be done with it, and where there is more.
fn links(operator: &Operator, order: &Order, payments: Option<&List<Payment>>) -> Vec<Link> {
    let mut links = offered(operator, order, payments);
    links.extend(accounts::link(operator, &order.customer.id));
    if operator.console.settings.dev.is_some() {
        links.push(Link::new("Play with this order", format!("/console/dev/orders/{}", order.id)));
    }
    links.extend(order.workflow.url.as_ref().map(|url| Link::new("Its workflow in Temporal", url)));
    links
}
