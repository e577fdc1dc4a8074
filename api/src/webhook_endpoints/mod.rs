//! Webhooks out: where a shop wants events sent, and what became of them (docs/adr/0040).

mod change;
mod deliveries;
mod document;
mod read;
mod redeliver;
mod test;

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use domain::WebhookEndpointId;
use utoipa_axum::routes;

use crate::{
    error::Problem,
    scoped::{Scope, Scoped},
};

pub fn routes() -> Scoped {
    Scoped::new()
        .with(Scope::EventsWrite, routes!(change::create))
        .with(Scope::EventsRead, routes!(read::list))
        .with(Scope::EventsRead, routes!(read::get))
        .with(Scope::EventsWrite, routes!(change::change, change::delete))
        .with(Scope::EventsWrite, routes!(change::rotate_secret))
        .with(Scope::EventsWrite, routes!(test::test))
        .with(Scope::EventsWrite, routes!(redeliver::redeliver))
        .with(Scope::EventsRead, routes!(deliveries::list))
        .with(Scope::EventsRead, routes!(deliveries::of_order))
}

/// The id in the path. What is not an id names no endpoint.
pub struct EndpointPath(WebhookEndpointId);

impl<S: Send + Sync> FromRequestParts<S> for EndpointPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.ok().and_then(|path| path.0.parse().ok()).map(Self).ok_or_else(not_found)
    }
}

fn not_found() -> Problem {
    Problem::not_found("webhook_endpoint_not_found", "There is no webhook endpoint with this id.")
}
