//! Stock: levels, the ledger with its running balance, nights, deliveries and corrections.

use axum::{
    Router,
    extract::{Path, RawQuery},
    http::Method,
    routing::{get, post},
};
use domain::api_key::Scope;
use serde::Deserialize;
use serde_json::json;

use super::{Shown, done, notice, order_facts as facts, refused, show};
use crate::{
    Console,
    api_client::{Ask, part, query},
    documents::{Level, List, Movement, Night, Problem, Product, Stocked},
    failure::Failure,
    fields::{Fields, Form as Sent},
    operator::Operator,
    view::{Cell, Field, Form, Link, Section, Table},
};

const ADDRESS: &str = "/console/stock";
const SAID: [(&str, &str); 2] =
    [("adjusted", "It is in the ledger."), ("threshold", "From now on it is told of at that.")];

/// At how much others are told that there is little.
#[derive(Deserialize)]
struct Threshold {
    threshold: Option<i64>,
}

pub fn routes() -> Router<Console> {
    Router::new()
        .route(ADDRESS, get(list))
        .route("/console/stock/{sku}", get(one))
        .route("/console/stock/{sku}/adjust", post(adjust))
        .route("/console/stock/{sku}/threshold", post(set_threshold))
}

async fn list(operator: Operator, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let path = query(&[("limit", Some("100")), ("starting_after", asked.given("starting_after"))]);
    let found: List<Stocked> = operator.get(&format!("/v1/inventory{path}")).await?;
    let more = found.next_cursor.as_deref();
    let more = more.map(|after| format!("{ADDRESS}{}", query(&[("starting_after", Some(after))])));
    let row = |stocked: &Stocked| {
        vec![
            Cell::link(&stocked.sku, format!("{ADDRESS}/{}", part(&stocked.sku))),
            Cell::text(&stocked.name),
            Cell::number(stocked.on_hand),
            Cell::number(stocked.held),
            Cell::number(stocked.available),
            stocked.low_stock_threshold.map_or(Cell::Nothing, Cell::number),
        ]
    };
    let columns = ["SKU", "Name", "On hand", "Held", "Available", "Told of from"];
    let rows = found.data.iter().map(row).collect();
    let said = "What is sold by the night has its calendar on its own page: see the catalogue.";
    let table = Table::new("Stock", &columns, rows).with_more(more);
    Ok(show(&operator, "Stock", vec![Section::text(said), Section::Table(table)]))
}

async fn one(operator: Operator, Path(sku): Path<String>, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let mut sections: Vec<Section> = notice(&asked, &SAID).into_iter().collect();
    sections.extend(load(&operator, &sku, &asked).await?);
    if operator.may(Scope::StockWrite) && !sku.contains('@') {
        sections.push(Section::Form(form(&sku)));
        // What is sold by the night has none.
        if let Some(now) = operator.find::<Threshold>(&threshold_path(&sku)).await? {
            sections.push(Section::Form(threshold_form(&sku, &now)));
        }
    }
    Ok(show(&operator, format!("Stock of {sku}"), sections))
}

/// A level and its ledger; of what is sold by the night, the calendar.
async fn load(operator: &Operator, sku: &str, asked: &Fields) -> Result<Vec<Section>, Failure> {
    let mut sections = Vec::new();
    let level: Option<Level> = operator.find(&format!("/v1/inventory/{}", part(sku))).await?;
    if let Some(level) = &level {
        sections.push(Section::Facts(vec![
            ("On hand", Cell::number(level.on_hand)),
            ("Held for orders", Cell::number(level.held)),
            ("Available", Cell::number(level.available)),
        ]));
    } else if !sku.contains('@') && operator.may(Scope::CatalogueRead) {
        sections.extend(nights(operator, sku, asked).await?);
    }
    let after = asked.given("starting_after");
    let path = query(&[("sku", Some(sku)), ("limit", Some("50")), ("starting_after", after)]);
    match operator.get::<List<Movement>>(&format!("/v1/ledger{path}")).await {
        Ok(ledger) => {
            let more = ledger.next_cursor.as_deref().map(|after| query(&[("starting_after", Some(after))]));
            let more = more.map(|query| format!("{ADDRESS}/{}{query}", part(sku)));
            let rows = ledger.data.iter().map(facts::movement).collect();
            let table = Table::new("Ledger, newest first", &facts::MOVEMENT, rows).with_more(more);
            sections.push(Section::Table(table));
        }
        Err(failure) if failure.is("scope_missing") => {}
        Err(failure) => return Err(failure),
    }
    Ok(sections)
}

async fn nights(operator: &Operator, sku: &str, asked: &Fields) -> Result<Vec<Section>, Failure> {
    let span = query(&[("from", asked.given("from")), ("to", asked.given("to"))]);
    let path = format!("/v1/products/{}", part(sku));
    let product: Product = operator.get(&path).await?;
    let found: List<Night> = operator.get(&format!("{path}/nights{span}")).await?;
    let row = |night: &Night| {
        vec![
            Cell::link(&night.date, format!("{ADDRESS}/{}", part(&format!("{sku}@{}", night.date)))),
            Cell::number(night.capacity),
            Cell::number(night.held),
            Cell::number(night.sold),
            Cell::number(night.available),
            Cell::money(night.unit_price, &product.currency),
        ]
    };
    let columns = ["Night", "Rooms", "Held", "Sold", "Available", "Price"];
    let search = Form::search(
        format!("{ADDRESS}/{}", part(sku)),
        vec![Field::day("from", "From"), Field::day("to", "To")],
    );
    let table = Table::new("Nights", &columns, found.data.iter().map(row).collect());
    let empty = "No night is on offer then.";
    Ok(vec![Section::Form(search.filled(asked)), Section::Table(Table { empty, ..table })])
}

fn form(sku: &str) -> Form {
    let kinds = [("received", "A delivery came"), ("adjusted", "Counted anew: a correction")];
    let kinds = kinds.map(|(value, text)| (value.to_owned(), text.to_owned())).to_vec();
    Form::new(format!("{ADDRESS}/{}/adjust", part(sku)), "Write it into the ledger")
        .titled("Deliveries and corrections")
        .with(vec![
            Field::choice("kind", "What happened", kinds),
            Field::number("delta", "Pieces").required().hint("To be added; with a minus, taken away."),
            Field::line("reason", "Reason").required().hint("For the ledger."),
        ])
        .once()
}

async fn adjust(Path(sku): Path<String>, Sent(operator, fields): Sent) -> Shown {
    let title = format!("Stock of {sku}");
    let path = format!("/v1/inventory/{}/adjustments", part(&sku));
    let asked = match fields.text("delta").parse::<i64>() {
        Ok(delta) => {
            let body = json!({"kind": fields.text("kind"), "delta": delta, "reason": fields.text("reason")});
            operator.post(&path, fields.text("key"), body).await.map(drop)
        }
        Err(_) => Err(operator.fail(Problem::field("delta", "must be a whole number"))),
    };
    match asked {
        Ok(()) => Ok(done(&format!("{ADDRESS}/{}?done=adjusted", part(&sku)))),
        Err(failure) => {
            let back = Section::Links(vec![Link::new(&title, format!("{ADDRESS}/{}", part(&sku)))]);
            refused(&operator, &title, vec![back], form(&sku), &fields, failure, &[])
        }
    }
}

fn threshold_path(sku: &str) -> String {
    format!("/v1/inventory/{}/low-stock-threshold", part(sku))
}

fn threshold_form(sku: &str, now: &Threshold) -> Form {
    let value = now.threshold.map(|pieces| pieces.to_string()).unwrap_or_default();
    let field = Field::number("threshold", "Pieces").value(value);
    let field =
        field.hint("Who listens to events is told when no more are available. Empty: nobody is told.");
    Form::new(format!("{ADDRESS}/{}/threshold", part(sku)), "Tell of it")
        .titled("When there is little")
        .with(vec![field])
}

async fn set_threshold(Path(sku): Path<String>, Sent(operator, fields): Sent) -> Shown {
    let asked = match fields.given("threshold").map(str::parse::<i64>).transpose() {
        Ok(threshold) => {
            let ask = Ask { body: Some(json!({"threshold": threshold})), ..Ask::default() };
            operator.ask(Method::PUT, &threshold_path(&sku), ask).await.map(drop)
        }
        Err(_) => Err(operator.fail(Problem::field("threshold", "must be a whole number"))),
    };
    let address = format!("{ADDRESS}/{}", part(&sku));
    match asked {
        Ok(()) => Ok(done(&format!("{address}?done=threshold"))),
        Err(failure) => {
            let title = format!("Stock of {sku}");
            let back = Section::Links(vec![Link::new(&title, address)]);
            let form = threshold_form(&sku, &Threshold { threshold: None });
            refused(&operator, &title, vec![back], form, &fields, failure, &[])
        }
    }
}
