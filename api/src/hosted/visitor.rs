//! Who comes by a link: what the link opens, in which language they read, and whether a request is theirs.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Path},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Redirect, Response},
};
use domain::order::Order;
use identity::{OrderLink, Purpose};
use store::{Fault, order_links, orders};
use wording::{Local, page::Message};

use super::HostedPages;
use crate::{app::App, clock::now, error::Problem, headers::only};

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Somebody with a token, which may be anything.
pub struct Visitor {
    pub pages: Arc<HostedPages>,
    token: String,
    pub local: Local,
    headers: HeaderMap,
}

/// Why they do not get what they came for.
pub enum Refusal {
    /// The link is none of ours, has ended, or was revoked: which of these, nobody learns.
    Nothing,
    /// Another page has sent them.
    Elsewhere,
    Problem(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Problem(fault.into())
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let pages = app.hosted.clone().ok_or_else(Problem::internal)?; // the routes exist only with them
        // One that is not UTF-8 is none of ours.
        let token =
            Path::<String>::from_request_parts(parts, app).await.map_or_else(|_| String::new(), |it| it.0);
        let local = Local::of(preferred(&parts.headers).or(pages.shop.locale.as_deref()));
        Ok(Self { pages, token, local, headers: parts.headers.clone() })
    }
}

/// The first language that a browser asks for.
fn preferred(headers: &HeaderMap) -> Option<&str> {
    let first = only(headers, &header::ACCEPT_LANGUAGE)?.split([',', ';']).next()?.trim();
    Some(first).filter(|tag| !tag.is_empty() && *tag != "*")
}

impl Visitor {
    /// The order that the link opens. From here on its customer's language is spoken.
    pub async fn order(&mut self, app: &App) -> Result<Order, Refusal> {
        let link = self.link(Purpose::Page)?;
        if order_links::generation(&app.db, link.order).await? != link.generation {
            return Err(Refusal::Nothing);
        }
        self.load(app, &link).await
    }

    /// The order whose reminders the link stops. Such links are not revoked.
    pub async fn reminded_order(&mut self, app: &App) -> Result<Order, Refusal> {
        let link = self.link(Purpose::Unsubscribe)?;
        self.load(app, &link).await
    }

    fn link(&self, purpose: Purpose) -> Result<OrderLink, Refusal> {
        self.pages.keys.verify(&self.token, purpose, now()).ok_or(Refusal::Nothing)
    }

    async fn load(&mut self, app: &App, link: &OrderLink) -> Result<Order, Refusal> {
        let order = orders::get(&app.db, link.order).await?.ok_or(Refusal::Nothing)?;
        if order.customer.is_erased() {
            return Err(Refusal::Nothing);
        }
        tracing::Span::current().record("order_id", tracing::field::display(order.id));
        if let Some(locale) = order.customer.locale() {
            self.local = Local::of(Some(locale));
        }
        Ok(order)
    }

    /// Where this order's page is, and below it this one.
    pub fn path(&self, page: &str) -> String {
        format!("{}/o/{}{page}", self.pages.prefix, self.token)
    }

    pub fn to_order(&self) -> Response {
        Redirect::to(&self.path("")).into_response() // 303: it is to be read, not done again
    }

    /// That a button was pressed on our own page. The token is a secret, so nobody else could press it by
    /// guessing; this keeps out whoever has it from somewhere. Without a referrer browsers give no origin.
    pub fn check_origin(&self) -> Result<(), Refusal> {
        let is_ours = match only(&self.headers, &SEC_FETCH_SITE) {
            Some(site) => matches!(site, "same-origin" | "none"),
            None => match self.headers.get(&header::ORIGIN) {
                Some(origin) => origin == "null" || *origin == self.pages.origin,
                None => true,
            },
        };
        if is_ours { Ok(()) } else { Err(Refusal::Elsewhere) }
    }

    /// The answer, or the page that says why there is none.
    pub fn answer(&self, result: Result<Response, Refusal>) -> Response {
        let (what, status) = match result {
            Ok(response) => return response,
            Err(Refusal::Nothing) => (Message::Nothing, StatusCode::NOT_FOUND),
            Err(Refusal::Elsewhere) => (Message::Elsewhere, StatusCode::FORBIDDEN),
            Err(Refusal::Problem(problem)) => match problem.status() {
                status if status.is_client_error() => (Message::NotPossible, status),
                status => (Message::Unavailable, status),
            },
        };
        let back = (what != Message::Nothing).then(|| self.path(""));
        self.pages.message(what, back, &self.local, status)
    }
}
