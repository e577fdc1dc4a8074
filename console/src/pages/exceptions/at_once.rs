//! Deciding about all exceptions of one kind at once.

use axum::{extract::Path, http::StatusCode};
use domain::api_key::Scope;

use super::{ADDRESS, actions, decide, facts, meanings, note, path_of};
use crate::{
    api_client::{Asked, query},
    documents::{Exception, List, Problem},
    failure::Failure,
    fields::{Fields, Form as Sent},
    operator::Operator,
    pages::{Shown, done, notice, refused, show},
    view::{Cell, Form, Section, Table},
    words,
};

/// So many of one kind are decided about at once, those that have waited longest.
const MAX_AT_ONCE: usize = 100;

/// What the list says after something was decided.
pub fn said(asked: &Fields) -> Option<Section> {
    let count: Option<usize> = asked.given("count").and_then(|count| count.parse().ok());
    match count.filter(|_| asked.text("done") == "all") {
        Some(count) => Some(Section::Notice(decided(count))),
        None => notice(asked, &super::SAID),
    }
}

fn decided(count: usize) -> String {
    format!("Decided, and on record: {count}.")
}

fn title(kind: &str) -> String {
    format!("All of `{}`", words::spoken(kind))
}

fn path_of_open(kind: &str) -> String {
    let asked = [("state", "open"), ("kind", kind), ("oldest_first", "true"), ("limit", "100")];
    format!("/v1/exceptions{}", query(&asked.map(|(name, value)| (name, Some(value)))))
}

/// Which they are stands in the form: those alone are decided about that were shown.
fn form(kind: &str, ids: &[&str]) -> Form {
    let form = Form::new(format!("{ADDRESS}/all/{kind}"), "").with(vec![note()]).or_back(ADDRESS);
    Form { choices: actions(kind), ..form }.hide("ids", ids.join(" "))
}

fn table(open: &[&Exception]) -> Section {
    let row = |exception: &&Exception| {
        vec![
            Cell::Time(exception.raised_at),
            Cell::link(&exception.id, format!("{ADDRESS}/{}", exception.id)),
            facts::amount(exception),
            Cell::maybe_order(exception.order_id.as_deref()),
        ]
    };
    let columns = ["Raised", "Exception", "Amount", "Order"];
    Section::Table(Table::new("These are decided about", &columns, open.iter().map(row).collect()))
}

pub async fn ask(operator: Operator, Path(kind): Path<String>) -> Shown {
    let open: List<Exception> = operator.get(&path_of_open(&kind)).await?;
    let all: Vec<&Exception> = open.data.iter().collect();
    let ids: Vec<&str> = all.iter().map(|exception| exception.id.as_str()).collect();
    let mut sections = vec![Section::text(words::exception(&kind)), table(&all)];
    if open.next_cursor.is_some() {
        let text = format!("There are more: these are the {MAX_AT_ONCE} that have waited longest.");
        sections.push(Section::Text(text));
    }
    sections.extend(meanings(&kind));
    sections.push(Section::Form(form(&kind, &ids)));
    Ok(show(&operator, title(&kind), sections))
}

/// What came of it, one after the other.
#[derive(Default)]
struct Outcome<'a> {
    decided: Vec<&'a str>,
    refused: Vec<(&'a str, Problem)>,
    /// Why the rest was not asked for.
    ended_by: Option<Failure>,
}

/// What is refused of one of them, and may be done with the next. What is wrong with the note, the key or the
/// API is so for all.
fn is_of_one(problem: &Problem) -> bool {
    (400..500).contains(&problem.status) && !matches!(problem.status, 401 | 403 | 422 | 429)
}

async fn decide_all<'a>(operator: &Operator, ids: &[&'a str], fields: &Fields) -> Outcome<'a> {
    let mut outcome = Outcome::default();
    for id in ids.iter().copied() {
        match decide(operator, id, fields).await {
            Ok(()) => outcome.decided.push(id),
            Err(failure) => match failure.problem().filter(|problem| is_of_one(problem)).cloned() {
                Some(problem) => outcome.refused.push((id, problem)),
                None => {
                    outcome.ended_by = Some(failure);
                    break;
                }
            },
        }
    }
    outcome
}

/// What somebody else has decided meanwhile, or cannot be done, keeps nobody from deciding about the others.
pub async fn resolve(Path(kind): Path<String>, Sent(operator, fields): Sent) -> Shown {
    let ids: Vec<&str> = fields.text("ids").split_whitespace().take(MAX_AT_ONCE).collect();
    for id in &ids {
        path_of(&operator, id)?;
    }
    let outcome = decide_all(&operator, &ids, &fields).await;
    if outcome.refused.is_empty() && outcome.ended_by.is_none() {
        return Ok(done(&format!("{ADDRESS}?done=all&count={}", outcome.decided.len())));
    }
    let left: Vec<&str> = ids.iter().copied().filter(|id| !outcome.decided.contains(id)).collect();
    let mut sections = report(&outcome);
    let open = operator.part::<List<Exception>>(Scope::PaymentsRead, &path_of_open(&kind)).await?;
    let (ids, shown) = still_open(open, &left);
    sections.extend(shown);
    sections.extend(meanings(&kind));
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let form = form(&kind, &ids);
    if let Some(failure) = outcome.ended_by {
        return refused(&operator, &title(&kind), sections, form, &fields, failure, &[]);
    }
    if !ids.is_empty() {
        sections.push(Section::Form(form.filled(&fields)));
    }
    let mut response = show(&operator, title(&kind), sections);
    *response.status_mut() = StatusCode::CONFLICT;
    Ok(response)
}

fn report(outcome: &Outcome<'_>) -> Vec<Section> {
    let mut sections = Vec::new();
    if !outcome.decided.is_empty() {
        sections.push(Section::Notice(decided(outcome.decided.len())));
    }
    if !outcome.refused.is_empty() {
        let row = |(id, problem): &(&str, Problem)| {
            vec![Cell::link(*id, format!("{ADDRESS}/{id}")), Cell::text(&problem.detail)]
        };
        let rows = outcome.refused.iter().map(row).collect();
        sections.push(Section::Table(Table::new("These were refused", &["Exception", "Why"], rows)));
    }
    sections
}

/// Those of them that are open, and how they are shown. If that cannot be read now, it may be any of them.
fn still_open(open: Asked<List<Exception>>, ids: &[&str]) -> (Vec<String>, Option<Section>) {
    let is_left = |exception: &&Exception| ids.contains(&exception.id.as_str());
    let found: Option<Vec<String>> = open
        .told()
        .map(|all| all.data.iter().filter(is_left).map(|exception| exception.id.clone()).collect());
    let shown = open
        .shown("Which of them are open", |all| table(&all.data.iter().filter(is_left).collect::<Vec<_>>()));
    (found.unwrap_or_else(|| ids.iter().map(|id| (*id).to_owned()).collect()), shown)
}
