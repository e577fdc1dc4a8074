//! The catalogue: found, edited and looked back at.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, RawQuery, Request},
    http::{Method, StatusCode, header},
    routing::get,
};
use domain::{
    api_key::Scope,
    money::{Currency, from_decimal},
};
use serde_json::{Value, json};

use super::{Shown, done, notice, refused, show};
use crate::{
    Console,
    api_client::{Ask, part, query},
    documents::{List, Problem, Product, ProductEvent},
    failure::Failure,
    fields::{Fields, Form as Sent},
    operator::Operator,
    view::{Cell, Field, Form, Link, Section, Table, money},
    words,
};

const ADDRESS: &str = "/console/catalogue";
const SAID: [(&str, &str); 2] =
    [("saved", "It is saved."), ("retired", "It is out of the catalogue. Saving it brings it back.")];
/// The API's fields whose names here are others.
const NAMES: [(&str, &str); 1] = [("unit_price", "price")];
/// A product that was saved, or why it was not.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

pub fn routes() -> Router<Console> {
    Router::new()
        .route(ADDRESS, get(list))
        .route("/console/catalogue-new", get(new).post(create))
        .route("/console/catalogue/{sku}", get(one).post(save))
        .route("/console/catalogue/{sku}/retire", get(ask_retire).post(retire))
}

async fn list(operator: Operator, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let with_retired = asked.is_on("include_retired").then_some("true");
    let path = query(&[
        ("q", asked.given("q")),
        ("include_retired", with_retired),
        ("limit", Some("50")),
        ("starting_after", asked.given("starting_after")),
    ]);
    let found: List<Product> = operator.get(&format!("/v1/products{path}")).await?;
    let more = found.next_cursor.as_deref().map(|after| {
        let kept = asked.is_on("include_retired").then_some("on");
        let next =
            query(&[("q", asked.given("q")), ("include_retired", kept), ("starting_after", Some(after))]);
        format!("{ADDRESS}{next}")
    });
    let fields = vec![
        Field::line("q", "Words or the beginning of a SKU"),
        Field::tick("include_retired", "Also retired"),
    ];
    let search = Form::search(ADDRESS, fields).filled(&asked);
    let row = |product: &Product| {
        vec![
            Cell::link(&product.sku, address(&product.sku)),
            Cell::text(&product.name),
            Cell::text(words::spoken(&product.kind)),
            Cell::money(product.unit_price, &product.currency),
            Cell::state(state(product)),
            Cell::Time(product.updated_at),
        ]
    };
    let columns = ["SKU", "Name", "Kind", "Price", "State", "Changed"];
    let table = Table::new("Products", &columns, found.data.iter().map(row).collect()).with_more(more);
    let mut sections = vec![Section::Form(search), Section::Table(table)];
    if operator.may(Scope::CatalogueWrite) {
        sections.push(Section::Links(vec![Link::new("Add a product", "/console/catalogue-new")]));
    }
    Ok(show(&operator, "Catalogue", sections))
}

fn address(sku: &str) -> String {
    format!("{ADDRESS}/{}", part(sku))
}

fn state(product: &Product) -> &'static str {
    match (product.retired_at, product.active) {
        (Some(_), _) => "retired",
        (None, true) => "active",
        (None, false) => "not_for_sale",
    }
}

async fn one(operator: Operator, Path(sku): Path<String>, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let path = format!("/v1/products/{}", part(&sku));
    let product: Product = operator.get(&path).await?;
    let after = query(&[("limit", Some("20")), ("starting_after", asked.given("starting_after"))]);
    let history: List<ProductEvent> = operator.get(&format!("{path}/history{after}")).await?;
    let mut sections: Vec<Section> = notice(&asked, &SAID).into_iter().collect();
    sections.push(Section::Facts(vec![
        ("State", Cell::state(state(&product))),
        ("Kind", Cell::text(words::spoken(&product.kind))),
        ("Version", Cell::number(product.version)),
        ("Stock", Cell::link("levels and ledger", format!("/console/stock/{}", part(&sku)))),
    ]));
    if operator.may(Scope::CatalogueWrite) {
        sections.push(Section::Form(form_of(&product)));
        if product.retired_at.is_none() {
            let retire = Link::grave("Take it out of the catalogue", format!("{}/retire", address(&sku)));
            sections.push(Section::Links(vec![retire]));
        }
    }
    let more = history.next_cursor.as_deref().map(|after| query(&[("starting_after", Some(after))]));
    let rows = history.data.iter().map(event).collect();
    let table = Table::new("History, newest first", &["Version", "When", "What", "By whom", "Changes"], rows);
    sections.push(Section::Table(table.with_more(more.map(|query| format!("{}{query}", address(&sku))))));
    Ok(show(&operator, format!("{} ({sku})", product.name), sections))
}

fn event(event: &ProductEvent) -> Vec<Cell> {
    let side = |value: &Value| match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => other.to_string(),
    };
    let change = |(name, change): (&String, &Value)| {
        format!("{}: {} to {}", words::spoken(name), side(&change["from"]), side(&change["to"]))
    };
    vec![
        Cell::number(event.version),
        Cell::Time(event.at),
        Cell::text(words::spoken(&event.r#type)),
        Cell::text(&event.by),
        Cell::text(event.changes.iter().map(change).collect::<Vec<_>>().join("; ")),
    ]
}

fn fields() -> Vec<Field> {
    vec![
        Field::line("name", "Name").required(),
        Field::lines("description", "Description"),
        Field::line("price", "Price")
            .required()
            .hint("Such as 12.50; of a stay, of a night that has none of its own."),
        Field::line("currency", "Currency").required().hint("Three capital letters, such as EUR."),
        Field::tick("active", "For sale"),
    ]
}

/// It saves only what was shown: the version goes with it.
fn form_of(product: &Product) -> Form {
    let price = money(product.unit_price, &product.currency);
    let price = price.split(' ').next().unwrap_or_default();
    let active = if product.active { "on" } else { "" };
    let values = [product.name.as_str(), &product.description, price, &product.currency, active];
    let fields = fields().into_iter().zip(values).map(|(field, value)| field.value(value)).collect();
    form(&address(&product.sku), fields)
        .hide("version", product.version.to_string())
        .hide("kind", product.kind.clone())
}

fn form(action: &str, fields: Vec<Field>) -> Form {
    Form::new(action, "Save").titled("Edit").with(fields)
}

async fn save(Path(sku): Path<String>, Sent(operator, fields): Sent) -> Shown {
    let path = format!("/v1/products/{}", part(&sku));
    let etag = format!("\"{}\"", fields.text("version"));
    let asked = match document(&fields) {
        Ok(body) => {
            let ask = Ask { body: Some(body), only_if: Some(&etag), key: None };
            operator.ask(Method::PUT, &path, ask).await.map(drop)
        }
        Err(problem) => Err(operator.fail(problem)),
    };
    let saved = format!("{}?done=saved", address(&sku));
    let Err(failure) = asked else { return Ok(done(&saved)) };
    // Pressed twice: it is as it is to be.
    if failure.is("precondition_failed") && is_saved(&operator, &path, &fields).await? {
        return Ok(done(&saved));
    }
    let back = Section::Links(vec![Link::new("As it is now", address(&sku))]);
    let form = form(&address(&sku), self::fields());
    let form = form.hide("version", fields.text("version")).hide("kind", fields.text("kind"));
    refused(&operator, &sku, vec![back], form, &fields, failure, &NAMES)
}

/// Whether a product is what the form wants of it.
async fn is_saved(operator: &Operator, path: &str, fields: &Fields) -> Result<bool, Failure> {
    let Ok(wanted) = document(fields) else { return Ok(false) };
    let product: Product = operator.get(path).await?;
    let is = json!({
        "name": product.name,
        "description": product.description,
        "unit_price": product.unit_price,
        "currency": product.currency,
        "active": product.active,
        "kind": product.kind,
    });
    let mut wanted = wanted.as_object().into_iter().flatten();
    Ok(product.retired_at.is_none() && wanted.all(|(name, value)| is[name] == *value))
}

fn document(fields: &Fields) -> Result<Value, Problem> {
    let currency = Currency::parse(fields.text("currency"));
    let currency = currency.map_err(|invalid| Problem::field("currency", &invalid.message))?;
    let price = from_decimal(fields.text("price"), currency);
    let price = price.ok_or_else(|| Problem::field("price", "must be an amount such as 12.50"))?;
    let mut body = json!({
        "name": fields.text("name"),
        "description": fields.text("description"),
        "unit_price": price,
        "currency": currency.code(),
        "active": fields.is_on("active"),
    });
    if let Some(kind) = fields.given("kind") {
        body["kind"] = json!(kind);
    }
    Ok(body)
}

fn new_form() -> Form {
    let kinds = [("goods", "Sold by the piece"), ("stay", "Sold by the night")];
    let kinds = kinds.map(|(value, text)| (value.to_owned(), text.to_owned())).to_vec();
    let mut all = vec![Field::line("sku", "SKU").required(), Field::choice("kind", "Kind", kinds)];
    all.extend(fields());
    if let Some(active) = all.last_mut() {
        "on".clone_into(&mut active.value);
    }
    Form::new("/console/catalogue-new", "Add it").with(all)
}

async fn new(operator: Operator) -> Shown {
    Ok(show(&operator, "A new product", vec![Section::Form(new_form())]))
}

async fn create(Sent(operator, fields): Sent) -> Shown {
    let sku = fields.text("sku");
    let path = format!("/v1/products/{}", part(sku));
    let asked = match document(&fields) {
        _ if sku.is_empty() => Err(operator.fail(Problem::field("sku", "must be there"))),
        Ok(body) => put_new(&operator, &path, &body).await,
        Err(problem) => Err(operator.fail(problem)),
    };
    match asked {
        Ok(()) => Ok(done(&format!("{}?done=saved", address(sku)))),
        Err(failure) => refused(&operator, "A new product", Vec::new(), new_form(), &fields, failure, &NAMES),
    }
}

/// Only if there is none, which the API itself sees to: two who add one at once do not both have it.
async fn put_new(operator: &Operator, path: &str, body: &Value) -> Result<(), Failure> {
    let request = Request::put(path)
        .header(header::IF_NONE_MATCH, "*")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()));
    let request = request.map_err(|_| operator.fail(Problem::field("sku", "cannot be a SKU")))?;
    let answer = operator.console.api.call(&operator.caller, request).await;
    let status = answer.status();
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::PRECONDITION_FAILED => Err(operator.fail(Problem::field("sku", "is another product's"))),
        _ => {
            let bytes = to_bytes(answer.into_body(), MAX_ANSWER_BYTES).await.unwrap_or_default();
            let problem = serde_json::from_slice(&bytes);
            Err(operator.fail(problem.unwrap_or_else(|_| Problem::own(status, "It was refused."))))
        }
    }
}

/// What it comes to, before it is done.
async fn ask_retire(operator: Operator, Path(sku): Path<String>) -> Shown {
    let product: Product = operator.get(&format!("/v1/products/{}", part(&sku))).await?;
    let said = "It is found, listed and sold no more. Orders that have it go on, and its stock stays as it \
                is. Saving it again brings it back.";
    let form = Form::new(format!("{}/retire", address(&sku)), "Take it out of the catalogue");
    let form = form.hide("version", product.version.to_string()).grave().or_back(address(&sku));
    let name = Section::heading(format!("{} ({sku})", product.name));
    let sections = vec![name, Section::text(said), Section::Form(form)];
    Ok(show(&operator, "Take a product out of the catalogue", sections))
}

async fn retire(Path(sku): Path<String>, Sent(operator, fields): Sent) -> Shown {
    let etag = format!("\"{}\"", fields.text("version"));
    let ask = Ask { only_if: Some(&etag), ..Ask::default() };
    operator.ask(Method::DELETE, &format!("/v1/products/{}", part(&sku)), ask).await?;
    Ok(done(&format!("{}?done=retired", address(&sku))))
}
