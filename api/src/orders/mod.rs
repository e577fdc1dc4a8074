//! Orders over HTTP: place, read, change.

mod change;
mod check_in;
mod document;
mod place;
mod read;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::App;

pub use document::OrderDocument;
pub use read::{load, unknown_order};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(place::place, read::list))
        .routes(routes!(read::get))
        .routes(routes!(read::timeline))
        .routes(routes!(change::cancel))
        .routes(routes!(change::extend))
        .routes(routes!(change::fulfil))
        .routes(routes!(check_in::check_in))
}
