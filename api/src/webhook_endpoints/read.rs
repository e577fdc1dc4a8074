//! Endpoints are read, without their secrets.

use axum::extract::State;
use serde::Deserialize;
use store::webhook_endpoints as endpoints;
use utoipa::IntoParams;

use super::{EndpointPath, document::EndpointDocument, not_found};
use crate::{
    app::App,
    error::Problem,
    list::{self, List, Parameters},
    query::Query,
};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListEndpoints {
    /// 1-100, default 20.
    limit: Option<String>,
    /// The id of a webhook endpoint; the page starts after it.
    starting_after: Option<String>,
}

/// List webhook endpoints, newest first.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints", operation_id = "list_webhook_endpoints", tag = "Events",
    params(ListEndpoints),
    responses((status = 200, body = List<EndpointDocument>)),
)]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<ListEndpoints>,
) -> Result<axum::Json<List<EndpointDocument>>, Problem> {
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let before = parameters.optional(query.starting_after, list::cursor("the id of a webhook endpoint"));
    parameters.finish()?;
    let found = endpoints::list(&app.db, before, limit + 1).await?;
    let documents = found.into_iter().map(EndpointDocument::from).collect();
    Ok(axum::Json(List::page(documents, limit, |endpoint| endpoint.id.clone())))
}

/// Read a webhook endpoint.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{id}", operation_id = "get_webhook_endpoint", tag = "Events",
    params(("id" = String, Path)),
    responses((status = 200, body = EndpointDocument)),
)]
pub async fn get(
    State(app): State<App>,
    EndpointPath(id): EndpointPath,
) -> Result<axum::Json<EndpointDocument>, Problem> {
    let endpoint = endpoints::get(&app.db, id).await?.ok_or_else(not_found)?;
    Ok(axum::Json(endpoint.into()))
}
