//! The pages, each group of them with its routes.

mod accounts;
mod catalogue;
pub mod dev;
mod events;
mod exceptions;
mod home;
mod keys;
mod money;
mod order;
mod order_actions;
mod order_facts;
mod orders;
pub mod sign_in;
mod stock;
mod stream;
mod today;

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
};

use crate::{
    Console,
    documents::Problem,
    failure::Failure,
    fields::Fields,
    operator::Operator,
    render::{Page, page},
    view::{Form, Section},
};

pub fn routes() -> Router<Console> {
    Router::new()
        .merge(home::routes())
        .merge(sign_in::routes())
        .merge(today::routes())
        .merge(orders::routes())
        .merge(order::routes())
        .merge(order_actions::routes())
        .merge(accounts::routes())
        .merge(exceptions::routes())
        .merge(stock::routes())
        .merge(catalogue::routes())
        .merge(money::routes())
        .merge(events::routes())
        .merge(keys::routes())
        .merge(stream::routes())
}

/// What a handler shows.
type Shown = Result<Response, Failure>;

/// There is no such page.
pub async fn missing(operator: Operator) -> Failure {
    operator.fail(Problem::own(StatusCode::NOT_FOUND, "There is no page at this address."))
}

/// A page of these sections.
fn show(operator: &Operator, title: impl Into<String>, sections: Vec<Section>) -> Response {
    page(&Page::new(title, sections), &operator.frame())
}

/// Something was done: the page that shows it, by an address that can be loaded again.
fn done(to: &str) -> Response {
    Redirect::to(to).into_response()
}

/// What a page says after something was done, by the word in its address.
fn notice(fields: &Fields, said: &[(&str, &str)]) -> Option<Section> {
    let word = fields.given("done")?;
    let (_, text) = said.iter().find(|(name, _)| *name == word)?;
    Some(Section::Notice((*text).to_owned()))
}

/// A form that the API has refused, with what is wrong beside its fields. What is no fault of the form
/// becomes a page of its own.
fn refused(
    operator: &Operator,
    title: &str,
    before: Vec<Section>,
    form: Form,
    with: &Fields,
    failure: Failure,
    names: &[(&str, &str)],
) -> Shown {
    let Some(problem) = failure.problem().cloned() else { return Err(failure) };
    let Ok(status) = StatusCode::from_u16(problem.status) else { return Err(failure) };
    if matches!(problem.code.as_str(), "scope_missing" | "unauthorized") {
        return Err(failure);
    }
    // Whoever was not answered sends the same once more; whoever was, something else.
    let is_unanswered = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    let mut form = form.filled(with);
    if is_unanswered && let Some(key) = with.given("key") {
        for (name, value) in &mut form.hidden {
            if *name == "key" {
                key.clone_into(value);
            }
        }
    }
    let (form, rest) = form.refused(&problem, names);
    let mut sections = before;
    let told = Problem { errors: Vec::new(), ..problem };
    sections.push(Section::Problem(told));
    sections.extend(rest.into_iter().map(Section::Text));
    sections.push(Section::Form(form));
    let mut response = show(operator, title, sections);
    *response.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().remove(header::WWW_AUTHENTICATE);
    }
    Ok(response)
}
