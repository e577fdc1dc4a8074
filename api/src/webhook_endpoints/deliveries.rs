//! What became of events that were to be sent.

use axum::extract::State;
use domain::{Invalid, WebhookEndpointId, public_event::EventId, webhook::DeliveryState};
use serde::Deserialize;
use store::{
    orders,
    webhook_endpoints::{self as endpoints, deliveries},
};
use utoipa::IntoParams;

use super::{EndpointPath, document::DeliveryDocument, not_found};
use crate::{
    app::App,
    error::Problem,
    extract::{OrderPath, order_not_found},
    list::{self, List, Parameters},
    query::Query,
};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListDeliveries {
    /// `pending`, `delivered` or `failed`.
    #[param(value_type = Option<DeliveryState>)]
    status: Option<String>,
    /// 1-100, default 20.
    limit: Option<String>,
    /// The id of an event; the page starts after it.
    starting_after: Option<String>,
}

/// List what became of each event for an endpoint, the newest event first. What has come to its end is
/// forgotten after 30 days.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{id}/deliveries", operation_id = "list_webhook_deliveries",
    tag = "Events", params(("id" = String, Path), ListDeliveries),
    responses((status = 200, body = List<DeliveryDocument>)),
)]
pub async fn list(
    State(app): State<App>,
    EndpointPath(id): EndpointPath,
    Query(query): Query<ListDeliveries>,
) -> Result<axum::Json<List<DeliveryDocument>>, Problem> {
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let state = parameters.optional(query.status, DeliveryState::parse);
    let before = parameters.optional(query.starting_after, list::cursor("the id of an event"));
    parameters.finish()?;
    endpoints::get(&app.db, id).await?.ok_or_else(not_found)?;
    let found = deliveries::list(&app.db, id, state, before, limit + 1).await?;
    let documents = found.into_iter().map(DeliveryDocument::from).collect();
    Ok(axum::Json(List::page(documents, limit, |delivery| delivery.event_id.clone())))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListOrderDeliveries {
    /// `true` begins with the newest event. Default `false`.
    newest_first: Option<String>,
    /// 1-100, default 20.
    limit: Option<String>,
    /// A cursor; the page starts after it.
    starting_after: Option<String>,
}

/// List what became of an order's events, oldest first unless it is asked otherwise: for each of them every
/// endpoint that wants it.
#[utoipa::path(
    get, path = "/v1/orders/{id}/deliveries", operation_id = "list_order_deliveries", tag = "Events",
    params(("id" = String, Path), ListOrderDeliveries),
    responses((status = 200, body = List<DeliveryDocument>)),
)]
pub async fn of_order(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    Query(query): Query<ListOrderDeliveries>,
) -> Result<axum::Json<List<DeliveryDocument>>, Problem> {
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let after = parameters.optional(query.starting_after, place);
    let newest_first = parameters.optional(query.newest_first, list::flag("newest_first"));
    parameters.finish()?;
    let found = match newest_first.unwrap_or_default() {
        true => deliveries::newest_of_order(&app.db, id, after, limit + 1).await?,
        false => deliveries::of_order(&app.db, id, after, limit + 1).await?,
    };
    if found.is_empty() {
        orders::get(&app.db, id).await?.ok_or_else(order_not_found)?;
    }
    let documents = found.into_iter().map(DeliveryDocument::from).collect();
    let cursor = |it: &DeliveryDocument| format!("{}.{}", it.event_id, it.endpoint_id);
    Ok(axum::Json(List::page(documents, limit, cursor)))
}

/// An event's id, a dot, and an endpoint's.
fn place(text: &str) -> Result<(EventId, WebhookEndpointId), Invalid> {
    let parsed = text.split_once('.').and_then(|(event, id)| Some((event.parse().ok()?, id.parse().ok()?)));
    parsed.ok_or_else(|| Invalid::new("starting_after", "must be a next_cursor"))
}
