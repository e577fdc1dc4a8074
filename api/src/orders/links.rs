//! `DELETE /v1/orders/{id}/links`: the links in an order's mails are good no more.

use axum::{extract::State, http::StatusCode};
use store::order_links;

use super::read::load;
use crate::{
    app::App,
    clock::now,
    error::{Problem, ProblemDocument},
    extract::OrderPath,
};

/// Revoke the links to an order that stand in mails: who has one sees, pays and cancels nothing by it any
/// more. Later mails bring new ones.
#[utoipa::path(
    delete, path = "/v1/orders/{id}/links", operation_id = "revoke_order_links", tag = "Orders",
    params(("id" = String, Path)),
    responses((status = 204, description = "Revoked"), (status = 404, body = ProblemDocument)),
)]
pub async fn revoke_links(State(app): State<App>, OrderPath(id): OrderPath) -> Result<StatusCode, Problem> {
    load(&app, id).await?; // an unknown order is a 404
    order_links::revoke(&app.db, id, now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
