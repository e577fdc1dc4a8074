//! Webhook endpoints: what they got, and what they get again.

use axum::{
    Router,
    extract::{Path, RawQuery},
    http::Method,
    routing::{get, post},
};
use domain::api_key::Scope;
use serde_json::{Value, json};

use super::{Shown, done, notice, order_facts as facts, refused, show};
use crate::{
    Console,
    api_client::{Ask, part, query},
    documents::{Delivery, Endpoint, List},
    fields::{Fields, Form as Sent},
    operator::Operator,
    pages::orders::as_time,
    view::{Cell, Field, Form, Link, Section, Table},
    words,
};

const ADDRESS: &str = "/console/events";
const SAID: [(&str, &str); 3] = [
    ("redelivered", "It is due again."),
    ("enabled", "It gets what was missed, and what happens."),
    ("disabled", "It gets nothing; what happens is kept for it."),
];

pub fn routes() -> Router<Console> {
    Router::new()
        .route(ADDRESS, get(list))
        .route("/console/events/{id}", get(one))
        .route("/console/events/{id}/redeliver", post(redeliver))
        .route("/console/events/{id}/test", post(test))
        .route("/console/events/{id}/enable", post(enable))
        .route("/console/events/{id}/disable", get(ask_disable).post(disable))
}

async fn list(operator: Operator, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let path = query(&[("limit", Some("100")), ("starting_after", asked.given("starting_after"))]);
    let found: List<Endpoint> = operator.get(&format!("/v1/webhook-endpoints{path}")).await?;
    let more = found.next_cursor.as_deref();
    let more = more.map(|after| format!("{ADDRESS}{}", query(&[("starting_after", Some(after))])));
    let row = |endpoint: &Endpoint| {
        vec![
            Cell::link(&endpoint.url, format!("{ADDRESS}/{}", endpoint.id)),
            Cell::state(&endpoint.status),
            Cell::text(types(endpoint)),
            Cell::text(&endpoint.description),
            Cell::time(endpoint.failing_since),
            Cell::text(&endpoint.created_by),
        ]
    };
    let columns = ["Address", "State", "Types", "What for", "Failing since", "Made by"];
    let rows = found.data.iter().map(row).collect();
    let table = Table::new("Webhook endpoints", &columns, rows).with_more(more);
    Ok(show(&operator, "Events", vec![Section::Table(table)]))
}

fn types(endpoint: &Endpoint) -> String {
    if endpoint.types.is_empty() { "all".to_owned() } else { endpoint.types.join(", ") }
}

async fn one(operator: Operator, Path(id): Path<String>, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let path = format!("/v1/webhook-endpoints/{}", part(&id));
    let endpoint: Endpoint = operator.get(&path).await?;
    let filter = query(&[
        ("status", asked.given("status")),
        ("limit", Some("50")),
        ("starting_after", asked.given("starting_after")),
    ]);
    let found: List<Delivery> = operator.get(&format!("{path}/deliveries{filter}")).await?;
    let here = format!("{ADDRESS}/{}", part(&id));
    let mut sections: Vec<Section> = notice(&asked, &SAID).into_iter().collect();
    sections.push(Section::Facts(vec![
        ("Address", Cell::text(&endpoint.url)),
        ("State", Cell::state(&endpoint.status)),
        ("Why", Cell::maybe(endpoint.disabled_reason.as_deref().map(words::spoken))),
        ("Failing since", Cell::time(endpoint.failing_since)),
        ("Types", Cell::text(types(&endpoint))),
        ("What for", Cell::text(&endpoint.description)),
        ("Made", Cell::Time(endpoint.created_at)),
        ("By whom", Cell::text(&endpoint.created_by)),
    ]));
    let link =
        |text: &str, status: &str| Link::new(text, format!("{here}{}", query(&[("status", Some(status))])));
    sections.push(Section::Links(vec![
        Link::new("All deliveries", here.clone()),
        link("Pending", "pending"),
        link("Failed", "failed"),
        link("Delivered", "delivered"),
    ]));
    let more = found.next_cursor.as_deref().map(|after| {
        format!("{here}{}", query(&[("status", asked.given("status")), ("starting_after", Some(after))]))
    });
    let rows = found.data.iter().map(delivery).collect();
    let columns = ["Happened", "What", "About", "State", "Tries", "Answer", "Event"];
    sections.push(Section::Table(Table::new("Deliveries, newest first", &columns, rows).with_more(more)));
    if operator.may(Scope::EventsWrite) {
        sections.extend(acts(&here, &endpoint));
    }
    Ok(show(&operator, "Webhook endpoint", sections))
}

fn delivery(delivery: &Delivery) -> Vec<Cell> {
    let mut cells = facts::delivery(delivery);
    cells.remove(5); // the endpoint is this one
    let about = match delivery.subject.starts_with("ord_") {
        true => Cell::order(&delivery.subject),
        false => Cell::text(&delivery.subject),
    };
    cells.insert(2, about);
    cells
}

fn redeliver_form(here: &str) -> Form {
    Form::new(format!("{here}/redeliver"), "Deliver again").titled("Deliver again").with(vec![
        Field::line("event_id", "One event").hint("Its id, whatever became of it."),
        Field::time("since", "Or all since"),
    ])
}

fn acts(here: &str, endpoint: &Endpoint) -> [Section; 3] {
    let test = Form::new(format!("{here}/test"), "Send a test now");
    let turn = match endpoint.status.as_str() {
        "enabled" => Section::Links(vec![Link::grave("Disable it", format!("{here}/disable"))]),
        _ => Section::Form(Form::new(format!("{here}/enable"), "Enable it")),
    };
    [Section::Form(redeliver_form(here)), Section::Form(test), turn]
}

async fn redeliver(Path(id): Path<String>, Sent(operator, fields): Sent) -> Shown {
    let path = format!("/v1/webhook-endpoints/{}/redeliver", part(&id));
    let here = format!("{ADDRESS}/{}", part(&id));
    let mut body = json!({});
    if let Some(event) = fields.given("event_id") {
        body["event_id"] = json!(event);
    }
    if let Some(since) = fields.given("since") {
        body["since"] = json!(as_time(since));
    }
    match operator.ask(Method::POST, &path, Ask { body: Some(body), ..Ask::default() }).await {
        Ok(_) => Ok(done(&format!("{here}?done=redelivered"))),
        Err(failure) => {
            let back = Section::Links(vec![Link::new("The endpoint", here.clone())]);
            refused(&operator, "Deliver again", vec![back], redeliver_form(&here), &fields, failure, &[])
        }
    }
}

/// What the receiver said, as it said it.
async fn test(Path(id): Path<String>, Sent(operator, _): Sent) -> Shown {
    let path = format!("/v1/webhook-endpoints/{}/test", part(&id));
    let answer = operator.ask(Method::POST, &path, Ask { body: Some(json!({})), ..Ask::default() }).await?;
    let told: Value = operator.read(&answer)?;
    let is_delivered = told["delivered"] == true;
    let text = |name: &str| told[name].as_str().map(str::to_owned);
    let code = told["answer_code"].as_i64().map(|code| code.to_string());
    let sections = vec![
        Section::Facts(vec![
            ("Would it have been delivered", Cell::state(if is_delivered { "delivered" } else { "failed" })),
            ("Answer", Cell::maybe(code)),
            ("Why not", Cell::maybe(text("error").map(|error| words::spoken(&error)))),
        ]),
        Section::Quote { title: "What it said".to_owned(), text: text("answer").unwrap_or_default() },
        Section::Links(vec![Link::new("The endpoint", format!("{ADDRESS}/{}", part(&id)))]),
    ];
    Ok(show(&operator, "A test of the endpoint", sections))
}

async fn enable(Path(id): Path<String>, Sent(operator, _): Sent) -> Shown {
    turn(&operator, &id, true).await
}

/// What it comes to, before it is done.
async fn ask_disable(operator: Operator, Path(id): Path<String>) -> Shown {
    let endpoint: Endpoint = operator.get(&format!("/v1/webhook-endpoints/{}", part(&id))).await?;
    let here = format!("{ADDRESS}/{}", part(&id));
    let said = "Nothing is sent there from then on. What happens is kept for it as long as events are kept, \
                and is sent once it is enabled again.";
    let form = Form::new(format!("{here}/disable"), "Disable it").grave().or_back(here);
    let sections = vec![Section::heading(&endpoint.url), Section::text(said), Section::Form(form)];
    Ok(show(&operator, "Disable a webhook endpoint", sections))
}

async fn disable(Path(id): Path<String>, Sent(operator, _): Sent) -> Shown {
    turn(&operator, &id, false).await
}

async fn turn(operator: &Operator, id: &str, is_on: bool) -> Shown {
    let path = format!("/v1/webhook-endpoints/{}", part(id));
    let ask = Ask { body: Some(json!({"enabled": is_on})), ..Ask::default() };
    operator.ask(Method::PATCH, &path, ask).await?;
    let word = if is_on { "enabled" } else { "disabled" };
    Ok(done(&format!("{ADDRESS}/{}?done={word}", part(id))))
}
