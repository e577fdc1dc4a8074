//! Orders over HTTP: place, read, change.

mod change;
mod change_document;
mod change_request;
mod check_in;
mod document;
mod links;
mod next;
mod own;
mod place;
mod read;
mod refusal;

use utoipa_axum::routes;

use crate::scoped::{Scope, Scoped};

pub use change_request::ChangeRequest;
pub use document::{CustomerDocument, OrderDocument};
pub use read::load;
pub use refusal::refusal;

pub fn routes() -> Scoped {
    Scoped::new()
        .shared(Scope::OrdersRead, routes!(read::list))
        .shared(Scope::OrdersRead, routes!(read::get))
        .shared(Scope::OrdersRead, routes!(read::timeline))
        .shared(Scope::OrdersRead, routes!(next::next))
        .with(Scope::OrdersRead, routes!(next::mails))
        .shared(Scope::OrdersRead, routes!(change_document::list_changes))
        .shared(Scope::OrdersRead, routes!(change_document::get_change))
        .shared(Scope::OrdersWrite, routes!(place::place))
        .shared(Scope::OrdersWrite, routes!(change::cancel))
        .shared(Scope::OrdersWrite, routes!(change::extend))
        .with(Scope::OrdersWrite, routes!(change::fulfil))
        .with(Scope::OrdersWrite, routes!(links::revoke_links))
        .shared(Scope::OrdersWrite, routes!(check_in::check_in))
        .shared(Scope::OrdersWrite, routes!(check_in::new_code))
}
