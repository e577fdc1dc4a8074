//! `/`, and `/console` itself.

use axum::{
    Router,
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};

use crate::{
    Console,
    operator::Operator,
    render::{Frame, Page, page},
    view::{Link, Section},
};

pub fn routes() -> Router<Console> {
    Router::new().route("/", get(root)).route("/console", get(console))
}

/// Who tries Holdfast out comes to the console; others find what there is.
async fn root(State(console): State<Console>) -> Response {
    if console.settings.dev.is_some() {
        return Redirect::to("/console").into_response();
    }
    let documents = [
        ("Try the API", "/docs"),
        ("OpenAPI document", "/openapi.json"),
        ("AsyncAPI document", "/asyncapi.json"),
    ];
    let documents = documents.into_iter().filter(|_| console.settings.with_docs);
    let others = [("Console", "/console"), ("Health", "/healthz"), ("Readiness", "/readyz")];
    let links = others.into_iter().chain(documents).map(|(text, to)| Link::new(text, to)).collect();
    let said = "Holdfast holds stock until the money arrives. This is its API.";
    let sections = vec![Section::text(said), Section::Links(links)];
    page(&Page::new("Holdfast", sections), &Frame::of_nobody(&console.assets))
}

/// The first page that is open to them.
async fn console(operator: Operator) -> Response {
    match operator.frame().first() {
        Some(place) => Redirect::to(place).into_response(),
        None => {
            let said = "Your key has no scope that opens a page here.";
            page(&Page::new("Console", vec![Section::text(said)]), &operator.frame())
        }
    }
}
