//! The web page and the JSON interface behind it.

use std::future::pending;
use std::sync::Arc;

use ::web::Limits;
use askama::Template;
use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::message::{Detail, Summary};
use super::store::{Mail, Store};

/// How many mails the page lists.
const PAGE_LENGTH: usize = 500;

/// The page: a list that needs no script, which its script replaces by a livelier one.
#[derive(Template)]
#[template(path = "mail.html")]
struct Page {
    mails: Vec<Arc<Mail>>,
}

/// One mail, for readers without scripts: its HTML beside its text.
#[derive(Template)]
#[template(path = "one_mail.html")]
struct OneMail {
    summary: Summary,
    html: String,
    text: String,
}

/// Serves until it is aborted.
pub(super) async fn serve(listener: TcpListener, store: Arc<Store>) {
    let routes = Router::new()
        .route("/", get(page))
        .route("/mails/{id}", get(one))
        .route("/api/v1/messages", get(list).delete(clear))
        .route("/api/messages", get(list))
        .route("/api/v1/message/{id}", get(show))
        .route("/api/v1/message/{id}/raw", get(raw))
        .with_state(store);
    ::web::serve(listener, routes, Limits::small(), pending()).await;
}

/// Which part of the list: as many as there are unless a limit is given.
#[derive(Deserialize)]
struct Window {
    #[serde(default)]
    start: usize,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct List {
    /// How many mails there are, listed here or not.
    total: usize,
    messages: Vec<Summary>,
}

async fn page(State(store): State<Arc<Store>>) -> Result<Html<String>, StatusCode> {
    let mut mails = store.list();
    mails.truncate(PAGE_LENGTH);
    Page { mails }.render().map(Html).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn one(State(store): State<Arc<Store>>, Path(id): Path<String>) -> Result<Html<String>, StatusCode> {
    let mail = find(&store, &id)?;
    let Detail { summary, html, text, .. } = Detail::of(&mail.summary, &mail.raw);
    let html = if html.is_empty() { html } else { format!("<base target=\"_blank\">{html}") };
    let page = OneMail { summary, html, text };
    page.render().map(Html).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn list(State(store): State<Arc<Store>>, Query(window): Query<Window>) -> Json<List> {
    let mails = store.list();
    let shown = mails.iter().skip(window.start).take(window.limit.unwrap_or(usize::MAX));
    let messages = shown.map(|mail| mail.summary.clone()).collect();
    Json(List { total: mails.len(), messages })
}

async fn clear(State(store): State<Arc<Store>>) -> &'static str {
    store.clear();
    "ok"
}

async fn show(State(store): State<Arc<Store>>, Path(id): Path<String>) -> Result<Json<Detail>, StatusCode> {
    let mail = find(&store, &id)?;
    Ok(Json(Detail::of(&mail.summary, &mail.raw)))
}

async fn raw(
    State(store): State<Arc<Store>>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, StatusCode> {
    let mail = find(&store, &id)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], mail.raw.clone()))
}

fn find(store: &Store, id: &str) -> Result<Arc<Mail>, StatusCode> {
    store.get(id).ok_or(StatusCode::NOT_FOUND)
}
