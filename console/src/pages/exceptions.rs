//! The inbox of what no rule could settle.

mod at_once;

use axum::{
    Router,
    extract::{Path, RawQuery},
    http::{Method, StatusCode},
    routing::{get, post},
};
use domain::{ExceptionId, api_key::Scope, exception::Kind};
use serde_json::json;

use super::{Shown, done, notice, order_facts as facts, refused, show, stream::live};
use crate::{
    Console,
    api_client::{Ask, query},
    documents::{Exception, List, Movement, Problem, StatementLine},
    failure::Failure,
    fields::{Fields, Form as Sent},
    operator::{Operator, Watcher},
    render::{Page, fragment, page},
    view::{Cell, Choice, Field, Form, Link, Section, Table},
    words,
};

const ADDRESS: &str = "/console/exceptions";
const TYPES: [&str; 3] = ["exception.raised", "exception.reopened", "exception.resolved"];
const SAID: [(&str, &str); 1] = [("resolved", "It is decided, and on record.")];

pub fn routes() -> Router<Console> {
    Router::new()
        .route(ADDRESS, get(list))
        .route("/console/exceptions/sections", get(sections))
        .route("/console/exceptions/all/{kind}", get(at_once::ask).post(at_once::resolve))
        .route("/console/exceptions/{id}", get(one))
        .route("/console/exceptions/{id}/resolve", post(resolve))
}

async fn list(operator: Operator, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let mut shown: Vec<Section> = at_once::said(&asked).into_iter().collect();
    shown.extend(load(&operator, &asked).await?);
    let here = query(&[("state", asked.given("state")), ("starting_after", asked.given("starting_after"))]);
    let live = live(&operator, None, &TYPES, format!("{ADDRESS}/sections{here}"));
    Ok(page(&Page::new("Exceptions", shown).live(live), &operator.frame()))
}

async fn sections(Watcher(operator): Watcher, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    Ok(fragment(&load(&operator, &asked).await?, &operator.frame()))
}

/// Open ones, those that wait longest first; resolved ones, newest first.
async fn load(operator: &Operator, asked: &Fields) -> Result<Vec<Section>, Failure> {
    let is_resolved = asked.text("state") == "resolved";
    let state = if is_resolved { "resolved" } else { "open" };
    let path = query(&[
        ("state", Some(state)),
        ("oldest_first", Some(if is_resolved { "false" } else { "true" })),
        ("starting_after", asked.given("starting_after")),
        ("limit", Some("100")),
    ]);
    let found: List<Exception> = operator.get(&format!("/v1/exceptions{path}")).await?;
    let more = found.next_cursor.as_deref();
    let more = more.map(|after| {
        format!("{ADDRESS}{}", query(&[("state", Some(state)), ("starting_after", Some(after))]))
    });
    let row = |exception: &Exception| {
        vec![
            Cell::Time(exception.raised_at),
            Cell::link(words::spoken(&exception.kind), format!("{ADDRESS}/{}", exception.id)),
            facts::amount(exception),
            Cell::maybe_order(exception.order_id.as_deref()),
            Cell::maybe(exception.provider.as_deref()),
            Cell::maybe(exception.action.as_deref().map(words::spoken)),
        ]
    };
    let caption = if is_resolved { "Resolved, newest first" } else { "Open, oldest first" };
    let columns = ["Raised", "What", "Amount", "Order", "Provider", "Decided"];
    let table = Table::new(caption, &columns, found.data.iter().map(row).collect()).with_more(more);
    let table = Table { empty: "Nobody has to decide about anything.", ..table };
    let mut links = vec![Link::new("Open", ADDRESS)];
    links.push(Link::new("Resolved", format!("{ADDRESS}?state=resolved")));
    if !is_resolved && operator.may(Scope::PaymentsWrite) {
        links.extend(of_one_kind(&found.data));
    }
    Ok(vec![Section::Links(links), Section::Table(table)])
}

/// Where several of one kind are decided about at once.
fn of_one_kind(open: &[Exception]) -> Vec<Link> {
    let several = Kind::WORDS.iter().filter_map(|kind| {
        let are_several = open.iter().filter(|exception| exception.kind == *kind).nth(1).is_some();
        are_several.then(|| {
            let text = format!("Decide about those of `{}` at once", words::spoken(kind));
            Link::new(text, format!("{ADDRESS}/all/{kind}"))
        })
    });
    several.collect()
}

fn path_of(operator: &Operator, id: &str) -> Result<String, Failure> {
    match id.parse::<ExceptionId>() {
        Ok(id) => Ok(format!("/v1/exceptions/{id}")),
        Err(_) => {
            Err(operator.fail(Problem::own(StatusCode::NOT_FOUND, "There is no exception with this id.")))
        }
    }
}

async fn one(operator: Operator, Path(id): Path<String>, RawQuery(asked): RawQuery) -> Shown {
    let exception: Exception = operator.get(&path_of(&operator, &id)?).await?;
    let mut sections: Vec<Section> =
        notice(&Fields::parse(&asked.unwrap_or_default()), &SAID).into_iter().collect();
    sections.extend(evidence(&operator, &exception).await?);
    if exception.state == "open" && operator.may(Scope::PaymentsWrite) {
        sections.push(Section::heading("What is to be done"));
        sections.extend(meanings(&exception.kind));
        sections.push(Section::Form(form(&exception)));
    }
    Ok(show(&operator, format!("Exception: {}", words::spoken(&exception.kind)), sections))
}

/// All that is known of it, on one page.
async fn evidence(operator: &Operator, exception: &Exception) -> Result<Vec<Section>, Failure> {
    let mut sections = vec![Section::text(words::exception(&exception.kind)), about(exception)];
    if let Some(event) = &exception.event {
        sections.push(Section::text(format!("The event {} ({}): {}", event.id, event.r#type, event.detail)));
    }
    for event in &exception.provider_events {
        let acted =
            event.settled_at.map_or_else(|| "nothing done yet".to_owned(), |at| format!("acted on {at}"));
        let title =
            format!("{} as it came at {} ({}; {acted})", event.r#type, event.received_at, event.event_id);
        sections.push(Section::Quote { title, text: event.body.clone() });
    }
    if exception.provider.is_some() {
        let rows = exception.statement_lines.iter().map(statement_line).collect();
        let columns = ["When", "What", "Amount", "Fee", "Reference", "Ours say the same"];
        let table = Table::new("The provider's statement", &columns, rows);
        let empty = "It has no line of this payment, as far as it was read.";
        sections.push(Section::Table(Table { empty, ..table }));
    }
    if let Some(order) = &exception.order_id {
        let path = format!("/v1/ledger?order={order}&limit=100");
        let movements = operator.part::<List<Movement>>(Scope::Operations, &path).await?;
        sections.extend(movements.shown("The stock it moved", |all| facts::movements(&all, order)));
    }
    Ok(sections)
}

fn about(exception: &Exception) -> Section {
    let currency = exception.currency.as_deref().unwrap_or_default();
    let mut all = vec![
        ("State", Cell::state(&exception.state)),
        ("Amount", facts::amount(exception)),
        (
            "Of it back, or on its way",
            if currency.is_empty() { Cell::Nothing } else { Cell::money(exception.back, currency) },
        ),
        ("Order", Cell::maybe_order(exception.order_id.as_deref())),
        ("Provider", Cell::maybe(exception.provider.as_deref())),
        ("Provider's payment", exception.provider_payment_id.as_deref().map_or(Cell::Nothing, Cell::code)),
        ("Raised", Cell::Time(exception.raised_at)),
        ("Id", Cell::code(&exception.id)),
    ];
    if let Some(rule) = &exception.rule {
        let said = format!("{}: {}", words::spoken(&rule.name), words::spoken(&rule.value));
        all.push(("Rule that was asked", Cell::text(said)));
    }
    if let Some(action) = &exception.action {
        let by = exception.by.as_deref().or(exception.resolved_by.as_deref());
        all.push(("Decided", Cell::text(words::spoken(action))));
        all.push(("By whom", Cell::maybe(by)));
        all.push(("When", Cell::time(exception.resolved_at)));
        all.push(("Note", Cell::maybe(exception.note.as_deref())));
        all.push(("What it does", Cell::maybe(exception.effect.as_deref())));
    }
    Section::Facts(all)
}

fn statement_line(line: &StatementLine) -> Vec<Cell> {
    vec![
        Cell::Time(line.at),
        Cell::text(words::spoken(&line.kind)),
        Cell::money(line.amount, &line.currency),
        line.fee.map_or(Cell::Nothing, |fee| Cell::money(fee, &line.currency)),
        Cell::code(&line.reference),
        Cell::text(if line.matched { "yes" } else { "no" }),
    ]
}

/// Of one kind; whether it is possible the API knows.
fn actions(kind: &str) -> Vec<Choice> {
    let holds_money = Kind::parse(kind).is_ok_and(Kind::holds_money) || kind == "refund_failed";
    let choice = |value, text, is_grave| Choice { value, text, is_grave };
    let mut all = Vec::new();
    if holds_money {
        all.push(choice("refund", "Refund", true));
        all.push(choice("accept", "Accept", false));
    }
    if kind == "wrong_amount" {
        all.push(choice("apply", "Apply", false));
    }
    all.push(choice("dismiss", "Dismiss", false));
    all
}

fn meanings(kind: &str) -> Vec<Section> {
    let said = |choice: Choice| Section::text(format!("{}: {}", choice.text, words::action(choice.value)));
    actions(kind).into_iter().map(said).collect()
}

fn note() -> Field {
    Field::line("note", "Note").required().hint("Why. It stays on record; at most 200 characters.")
}

fn form(exception: &Exception) -> Form {
    let form = Form::new(format!("{ADDRESS}/{}/resolve", exception.id), "").with(vec![note()]);
    Form { choices: actions(&exception.kind), ..form }
}

async fn resolve(Path(id): Path<String>, Sent(operator, fields): Sent) -> Shown {
    let path = path_of(&operator, &id)?;
    let exception: Exception = operator.get(&path).await?;
    match decide(&operator, &exception.id, &fields).await {
        Ok(()) => Ok(done(&format!("{ADDRESS}/{id}?done=resolved"))),
        Err(failure) => {
            let before = evidence(&operator, &exception).await?;
            let title = format!("Exception: {}", words::spoken(&exception.kind));
            refused(&operator, &title, before, form(&exception), &fields, failure, &[])
        }
    }
}

/// It is decided once, so that it needs no key. Whoever presses twice hears the second time what they have
/// decided the first time.
async fn decide(operator: &Operator, id: &str, fields: &Fields) -> Result<(), Failure> {
    let body = json!({"action": fields.text("action"), "note": fields.text("note")});
    let path = format!("/v1/exceptions/{id}/resolve");
    let ask = Ask { body: Some(body), ..Ask::default() };
    match operator.ask(Method::POST, &path, ask).await {
        Ok(_) => Ok(()),
        Err(failure) => match failure.is("exception_resolved") && is_theirs(operator, id, fields).await {
            true => Ok(()),
            false => Err(failure),
        },
    }
}

/// Whether it was this operator who decided so. If that cannot be read, it is not said.
async fn is_theirs(operator: &Operator, id: &str, fields: &Fields) -> bool {
    let decided = operator.get::<Exception>(&format!("/v1/exceptions/{id}")).await;
    decided.is_ok_and(|exception| {
        exception.action.as_deref() == Some(fields.text("action"))
            && exception.by.as_deref() == Some(operator.caller.name())
    })
}
