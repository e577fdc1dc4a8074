//! Money: what the providers' statements say, day by day, and which of their lines nothing of ours matches.

use axum::{Router, extract::RawQuery, routing::get};

use super::{Shown, show};
use crate::{
    Console,
    api_client::query,
    documents::{List, Settlement, UnmatchedLine},
    failure::Failure,
    fields::Fields,
    operator::Operator,
    view::{Cell, Link, Section, Table},
    words,
};

const ADDRESS: &str = "/console/money";

pub fn routes() -> Router<Console> {
    Router::new().route(ADDRESS, get(list))
}

async fn list(operator: Operator, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let path = query(&[("limit", Some("50")), ("starting_after", asked.given("starting_after"))]);
    let found: List<Settlement> = operator.get(&format!("/v1/settlements{path}")).await?;
    let more = found.next_cursor.as_deref();
    let more = more.map(|after| format!("{ADDRESS}{}", query(&[("starting_after", Some(after))])));
    let row = |settlement: &Settlement| {
        let money = |amount| Cell::money(amount, &settlement.currency);
        vec![
            Cell::text(&settlement.day),
            Cell::text(&settlement.provider),
            money(settlement.captured),
            money(settlement.refunded),
            settlement.fees.map_or(Cell::Nothing, money),
            money(settlement.open),
            money(settlement.disputed),
            Cell::number(settlement.unmatched),
        ]
    };
    let columns =
        ["Day", "Provider", "Captured", "Refunded", "Fees", "Open exceptions", "Disputed", "Unmatched lines"];
    let rows = found.data.iter().map(row).collect();
    let table = Table::new("Settlements, newest day first", &columns, rows).with_more(more);
    let empty = "No statement has been read yet. They are read every hour.";
    let unmatched = unmatched(&operator, asked.given("unmatched_after")).await?;
    let said = "As the providers' statements have it, in UTC. A line that is unmatched for long tells of \
                money that we do not know, or know otherwise: it is, or becomes, an exception.";
    let exceptions = Section::Links(vec![Link::new("Exceptions", "/console/exceptions")]);
    let sections = vec![Section::text(said), exceptions, unmatched, Section::Table(Table { empty, ..table })];
    Ok(show(&operator, "Money", sections))
}

async fn unmatched(operator: &Operator, after: Option<&str>) -> Result<Section, Failure> {
    let path = query(&[("limit", Some("50")), ("starting_after", after)]);
    let found: List<UnmatchedLine> = operator.get(&format!("/v1/settlements/unmatched{path}")).await?;
    let more = found.next_cursor.as_deref();
    let more = more.map(|after| format!("{ADDRESS}{}", query(&[("unmatched_after", Some(after))])));
    let row = |line: &UnmatchedLine| {
        vec![
            Cell::Time(line.at),
            Cell::text(&line.provider),
            Cell::text(words::spoken(&line.kind)),
            Cell::money(line.amount, &line.currency),
            Cell::code(&line.reference),
            Cell::maybe_order(line.order_id.as_deref()),
        ]
    };
    let columns = ["When", "Provider", "What", "Amount", "Reference", "Order"];
    let rows = found.data.iter().map(row).collect();
    let table = Table::new("Unmatched lines, oldest first", &columns, rows).with_more(more);
    Ok(Section::Table(Table { empty: "Each line that was read is ours, too.", ..table }))
}
