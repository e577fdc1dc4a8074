//! Orders over HTTP: place, read, change.

mod change;
mod change_document;
mod change_request;
mod check_in;
mod document;
mod place;
mod read;
mod refusal;

use utoipa_axum::routes;

use crate::scoped::{Scope, Scoped};

pub use document::OrderDocument;
pub use read::load;

pub fn routes() -> Scoped {
    Scoped::new()
        .with(Scope::OrdersRead, routes!(read::list))
        .with(Scope::OrdersRead, routes!(read::get))
        .with(Scope::OrdersRead, routes!(read::timeline))
        .with(Scope::OrdersRead, routes!(change_document::list_changes))
        .with(Scope::OrdersRead, routes!(change_document::get_change))
        .with(Scope::OrdersWrite, routes!(place::place))
        .with(Scope::OrdersWrite, routes!(change::cancel))
        .with(Scope::OrdersWrite, routes!(change::extend))
        .with(Scope::OrdersWrite, routes!(change::fulfil))
        .with(Scope::OrdersWrite, routes!(check_in::check_in))
        .with(Scope::OrdersWrite, routes!(check_in::new_code))
}
