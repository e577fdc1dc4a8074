//! Orders: searched and listed.

use axum::{
    Router,
    extract::RawQuery,
    response::{IntoResponse as _, Redirect},
    routing::get,
};
use domain::{OrderId, Timestamp, order::Status};

use super::{Shown, refused, show};
use crate::{
    Console,
    api_client::query,
    documents::{List, Order, Problem},
    fields::Fields,
    operator::Operator,
    view::{Cell, Field, Form, Section, Table},
    words,
};

const ADDRESS: &str = "/console/orders";
/// The query's parameters as the API calls them.
const NAMES: [(&str, &str); 4] =
    [("placed_from", "from"), ("placed_to", "to"), ("customer", "customer"), ("sku", "sku")];

pub fn routes() -> Router<Console> {
    Router::new().route(ADDRESS, get(list))
}

fn form(with: &Fields) -> Form {
    let word = |word: &&str| ((*word).to_owned(), words::spoken(word));
    let any = [(String::new(), "any".to_owned())];
    let statuses = any.into_iter().chain(Status::WORDS.iter().map(word)).collect();
    let fields = vec![
        Field::line("id", "Order id"),
        Field::line("customer", "Customer's id"),
        Field::line("sku", "SKU"),
        Field::choice("status", "Status", statuses),
        Field::time("from", "Placed from"),
        Field::time("to", "Placed before"),
    ];
    Form::search(ADDRESS, fields).filled(with)
}

async fn list(operator: Operator, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    if let Some(id) = asked.given("id") {
        return match id.parse::<OrderId>() {
            Ok(id) => Ok(Redirect::to(&format!("{ADDRESS}/{id}")).into_response()),
            Err(_) => {
                let problem = Problem::field("id", "is no order's id: they look like ord_0192...");
                refused(&operator, "Orders", Vec::new(), form(&asked), &asked, operator.fail(problem), &[])
            }
        };
    }
    let [from, to] = ["from", "to"].map(|name| asked.given(name).map(as_time));
    let path = query(&[
        ("status", asked.given("status")),
        ("customer", asked.given("customer")),
        ("sku", asked.given("sku")),
        ("placed_from", from.as_deref()),
        ("placed_to", to.as_deref()),
        ("starting_after", asked.given("starting_after")),
        ("limit", Some("50")),
    ]);
    let found: List<Order> = match operator.get(&format!("/v1/orders{path}")).await {
        Ok(found) => found,
        Err(failure) => {
            return refused(&operator, "Orders", Vec::new(), form(&asked), &asked, failure, &NAMES);
        }
    };
    let more = found.next_cursor.map(|cursor| {
        let same = ["status", "customer", "sku", "from", "to"].map(|name| (name, asked.given(name)));
        let mut next = same.to_vec();
        next.push(("starting_after", Some(cursor.as_str())));
        format!("{ADDRESS}{}", query(&next))
    });
    let columns = ["Order", "Placed", "Status", "Money", "Total", "Customer", "What"];
    let rows = found.data.iter().map(row).collect();
    let table = Table::new("Orders, newest first", &columns, rows).with_more(more);
    let table = Table { empty: "No order is like that.", ..table };
    Ok(show(&operator, "Orders", vec![Section::Form(form(&asked)), Section::Table(table)]))
}

/// As browsers write a day and a time, which is meant in UTC here.
pub fn as_time(text: &str) -> String {
    let whole =
        if text.len() == "2026-07-01T12:00".len() { format!("{text}:00Z") } else { format!("{text}Z") };
    match whole.parse::<Timestamp>() {
        Ok(_) => whole,
        Err(_) => text.to_owned(), // the API says what is wrong with it
    }
}

fn row(order: &Order) -> Vec<Cell> {
    let what: Vec<String> =
        order.lines.iter().take(3).map(|line| format!("{} × {}", line.quantity, line.name)).collect();
    let and_more = if order.lines.len() > 3 { ", ..." } else { "" };
    vec![
        Cell::order(&order.id),
        Cell::Time(order.placed_at),
        Cell::state(&order.status),
        Cell::state(&order.payment_status),
        Cell::money(order.total, &order.currency),
        Cell::text(&order.customer.id),
        Cell::text(format!("{}{and_more}", what.join(", "))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_form_are_utc() {
        assert_eq!(as_time("2026-07-01T12:00"), "2026-07-01T12:00:00Z");
        assert_eq!(as_time("2026-07-01T12:00:07"), "2026-07-01T12:00:07Z");
        assert_eq!(as_time("yesterday"), "yesterday");
    }
}
