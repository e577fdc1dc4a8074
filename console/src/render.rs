//! Pages as HTML.

use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use domain::api_key::Scope;

use crate::{
    assets::Assets,
    operator::Operator,
    view::{Cell, Input, Link, Section},
};

/// Where an operator finds what, and what their key must be good for.
const PLACES: [(&str, &str, Scope); 9] = [
    ("Today", "/console/today", Scope::Operations),
    ("Orders", "/console/orders", Scope::OrdersRead),
    ("Accounts", "/console/accounts", Scope::AccountsRead),
    ("Exceptions", "/console/exceptions", Scope::PaymentsRead),
    ("Stock", "/console/stock", Scope::StockRead),
    ("Catalogue", "/console/catalogue", Scope::CatalogueRead),
    ("Money", "/console/money", Scope::Operations),
    ("Events", "/console/events", Scope::EventsRead),
    ("Keys", "/console/keys", Scope::KeysWrite),
];

pub struct Place {
    pub text: &'static str,
    pub to: &'static str,
    pub is_here: bool,
}

/// What stands around a page.
pub struct Frame {
    css: String,
    script: String,
    icon: String,
    /// Who is signed in. None: nobody.
    operator: Option<String>,
    form_token: String,
    places: Vec<Place>,
}

impl Frame {
    pub fn of_nobody(assets: &Assets) -> Self {
        Self {
            css: assets.css.clone(),
            script: assets.script.clone(),
            icon: assets.icon.clone(),
            operator: None,
            form_token: String::new(),
            places: Vec::new(),
        }
    }

    pub fn of_operator(operator: &Operator, path: &str) -> Self {
        let is_here = |to: &str| {
            path.strip_prefix(to).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        };
        let place = |(text, to)| Place { text, to, is_here: is_here(to) };
        let has_accounts = operator.console.api.has_accounts();
        let is_open = |scope| operator.may(scope) && (has_accounts || scope != Scope::AccountsRead);
        let allowed = PLACES.iter().filter(|(.., scope)| is_open(*scope)).map(|(text, to, _)| (*text, *to));
        let is_dev = operator.console.settings.dev.is_some();
        let play = is_dev.then_some(("Play", "/console/dev"));
        Self {
            operator: Some(operator.caller.name().to_owned()),
            form_token: operator.form_token(),
            places: allowed.chain(play).map(place).collect(),
            ..Self::of_nobody(&operator.console.assets)
        }
    }

    /// The first place that is open to them.
    pub fn first(&self) -> Option<&'static str> {
        self.places.first().map(|place| place.to)
    }
}

/// What is shown anew when something happens.
pub struct Live {
    /// Where events come from.
    pub stream: String,
    /// What they are called, with spaces between them.
    pub types: String,
    /// Where the page's sections are.
    pub fragment: String,
}

/// A page of sections.
pub struct Page {
    pub title: String,
    pub sections: Vec<Section>,
    pub live: Option<Live>,
}

impl Page {
    pub fn new(title: impl Into<String>, sections: Vec<Section>) -> Self {
        Self { title: title.into(), sections, live: None }
    }

    pub fn live(self, live: Option<Live>) -> Self {
        Self { live, ..self }
    }
}

#[derive(Template)]
#[template(path = "page.html")]
struct PageTemplate<'a> {
    frame: &'a Frame,
    page: &'a Page,
    /// What was done just now: it stays when the sections are loaded anew.
    notices: &'a [Section],
    sections: &'a [Section],
}

#[derive(Template)]
#[template(path = "sections.html")]
struct SectionsTemplate<'a> {
    frame: &'a Frame,
    sections: &'a [Section],
}

pub fn page(page: &Page, frame: &Frame) -> Response {
    let is_notice = |section: &&Section| matches!(section, Section::Notice(_));
    let (notices, sections) = page.sections.split_at(page.sections.iter().take_while(is_notice).count());
    html(&PageTemplate { frame, page, notices, sections })
}

/// The sections alone, for a page that is open.
pub fn fragment(sections: &[Section], frame: &Frame) -> Response {
    html(&SectionsTemplate { frame, sections })
}

fn html(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Cells as they stand in tables and beside names.
#[derive(Template)]
#[template(path = "cell.html")]
struct CellTemplate<'a> {
    cell: &'a Cell,
}

impl Cell {
    fn html(&self) -> String {
        CellTemplate { cell: self }.render().unwrap_or_default() // writing into memory does not fail
    }
}

impl Link {
    fn is_elsewhere(&self) -> bool {
        !self.to.starts_with('/')
    }
}

impl Input {
    const fn html_type(&self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Time => "datetime-local",
            Self::Day => "date",
            Self::Password => "password",
            _ => "text",
        }
    }
}
