//! The catalogue. Put and retire: `change`; read, list, search, history: `read`.

mod change;
mod document;
mod read;

use utoipa_axum::routes;

use crate::scoped::{Scope, Scoped};

pub fn routes() -> Scoped {
    Scoped::new()
        .shared(Scope::CatalogueRead, routes!(read::get))
        .shared(Scope::CatalogueRead, routes!(read::list))
        .with(Scope::CatalogueRead, routes!(read::history))
        .with(Scope::CatalogueWrite, routes!(change::put, change::retire))
}
