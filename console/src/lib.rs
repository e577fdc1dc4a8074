//! Pages for those who run the shop (docs/adr/0043). They are a client of the API, called within its process
//! as whoever is signed in: rights, limits, errors and who has done what are the API's own. No page reads the
//! database.

mod api_client;
mod assets;
mod documents;
mod failure;
mod faults;
mod fields;
mod guard;
mod operator;
mod pages;
mod render;
mod view;
mod words;

use std::sync::Arc;

use api::InProcess;
use axum::{Router, extract::FromRef, middleware, routing::get};
use tokio::sync::Notify;

use assets::Assets;
pub use faults::{Fault, Part};

/// How the pages are served.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Of `holdfast dev` alone: pages to play with, and the key by which this machine signs in by one click.
    pub dev: Option<Dev>,
    /// Whether `/docs`, `/openapi.json` and `/asyncapi.json` are served beside them.
    pub with_docs: bool,
}

/// What `holdfast dev` offers.
#[derive(Debug, Clone)]
pub struct Dev {
    /// It has all scopes, and is on no page.
    pub key: String,
    /// Where mails are to be seen.
    pub mails: Option<String>,
    /// Where the Temporal UI is.
    pub temporal_ui: Option<String>,
    /// Where what webhooks bring is to be seen.
    pub events: Option<String>,
    /// What can be taken away.
    pub faults: Vec<Fault>,
    /// Has the provider's books read now.
    pub read_books: Arc<Notify>,
}

/// What the pages share. Cheap to clone.
#[derive(Clone)]
struct Console {
    api: InProcess,
    settings: Arc<Settings>,
    assets: Arc<Assets>,
}

impl FromRef<Console> for Arc<Assets> {
    fn from_ref(console: &Console) -> Self {
        console.assets.clone()
    }
}

/// The pages, below `/console`, and the one at `/`.
pub fn routes(api: InProcess, settings: Settings) -> Router {
    let is_dev = settings.dev.is_some();
    let console = Console { api, settings: Arc::new(settings), assets: Arc::new(Assets::new()) };
    let pages = Router::new().merge(pages::routes());
    let pages = match is_dev {
        true => pages.merge(pages::dev::routes()).merge(pages::sign_in::dev_routes()),
        false => pages,
    };
    pages
        .route("/console/{*rest}", get(pages::missing))
        .layer(middleware::map_response(guard::headers))
        .route("/console/assets/{name}", get(assets::serve))
        .with_state(console)
}
