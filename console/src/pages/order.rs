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
    documents::{
        Delivery, Entry, Exception, List, Mail, Movement, NextStep, Order, Payment, Problem, Refund,
    },
    failure::Failure,
    fields::Fields,
    operator::{Operator, Watcher},
    render::{Page, fragment, page},
    view::{Link, Section},
};

/// What is said after something was done.
const SAID: [(&str, &str); 7] = [
    ("cancel", "The order is cancelled."),
    ("extend", "The customer has more time to pay."),
    ("fulfil", "The order is completed."),
    ("refund", "The refund is on its way."),
    ("new-code", "A new code is on its way to the guests."),
    ("placed", "The order is placed."),
    ("accepted", "It is stored, and not decided yet: look again in a moment."),
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
    let said = notice(&Fields::parse(&asked.unwrap_or_default()), &SAID);
    let mut shown: Vec<Section> = said.into_iter().collect();
    shown.extend(load(&operator, &id).await?);
    let live = live(&operator, Some(&id), &[], format!("/console/orders/{id}/sections"));
    Ok(page(&Page::new(format!("Order {id}"), shown).live(live), &operator.frame()))
}

async fn sections(Watcher(operator): Watcher, Path(id): Path<String>) -> Shown {
    Ok(fragment(&load(&operator, &id).await?, &operator.frame()))
}

/// Everything at once: the API reads each of them by itself.
async fn load(operator: &Operator, id: &str) -> Result<Vec<Section>, Failure> {
    let path = path_of(operator, id)?;
    let [timeline, payments, refunds, mails, deliveries, next] =
        ["timeline", "payments", "refunds", "mails", "deliveries", "next"].map(|of| format!("{path}/{of}"));
    let exceptions = format!("/v1/exceptions?order={id}&limit=100");
    let movements = format!("/v1/ledger?order={id}&limit=100");
    let order: Order = operator.get(&path).await?;
    let (timeline, next, payments, refunds, mails, deliveries, exceptions, movements) = tokio::try_join!(
        operator.get::<List<Entry>>(&timeline),
        operator.get::<NextStep>(&next),
        operator.part::<Payment>(&payments),
        operator.part::<Refund>(&refunds),
        operator.part::<Mail>(&mails),
        operator.part::<Delivery>(&deliveries),
        operator.part::<Exception>(&exceptions),
        operator.part::<Movement>(&movements),
    )?;
    let mut sections = vec![facts::of(&order), facts::next(&next, &order)];
    let mut links = offered(operator, &order);
    links.extend(accounts::link(operator, &order.customer.id));
    if operator.console.settings.dev.is_some() {
        links.push(Link::new("Play with this order", format!("/console/dev/orders/{id}")));
    }
    links.extend(order.workflow.url.as_ref().map(|url| Link::new("Its workflow in Temporal", url)));
    sections.push(Section::Links(links));
    sections.extend(exceptions.filter(|all| !all.is_empty()).map(|all| facts::exceptions(&all)));
    sections.push(facts::lines(&order));
    sections.push(facts::timeline(&timeline.data));
    sections.extend(payments.map(|all| facts::payments(&all)));
    sections.extend(refunds.map(|all| facts::refunds(&all)));
    sections.extend(mails.map(|all| facts::mails(&all)));
    if operator.may(Scope::EventsRead) {
        sections.extend(deliveries.map(|all| facts::deliveries(&all)));
    }
    sections.extend(movements.map(|all| facts::movements(&all)));
    Ok(sections)
}
