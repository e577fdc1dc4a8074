//! The catalogue. Put and retire: `change`; read, list, search, history: `read`.

mod change;
mod document;
mod read;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(change::put, change::retire, read::get))
        .routes(routes!(read::list))
        .routes(routes!(read::history))
}
