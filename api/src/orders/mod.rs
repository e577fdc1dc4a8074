//! Orders over HTTP: place, read, change.

mod change;
mod change_document;
mod change_request;
mod check_in;
mod document;
mod place;
mod read;
mod refusal;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub use document::OrderDocument;
pub use read::load;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(place::place, read::list))
        .routes(routes!(read::get))
        .routes(routes!(read::timeline))
        .routes(routes!(change::cancel))
        .routes(routes!(change::extend))
        .routes(routes!(change::fulfil))
        .routes(routes!(check_in::check_in))
        .routes(routes!(check_in::new_code))
        .routes(routes!(change_document::list_changes))
        .routes(routes!(change_document::get_change))
}
