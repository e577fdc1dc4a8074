//! Changes that were asked of an order, to look at: those that were answered 202 above all.

use axum::extract::State;
use domain::{
    ChangeId, Timestamp,
    change::{self, Kind},
};
use serde::Serialize;
use serde_json::{Value, json};
use store::changes::{self, Change};
use utoipa::ToSchema;

use super::{read::load, refusal::refusal};
use crate::{
    app::App,
    auth::{CUSTOMER, Caller},
    error::Problem,
    extract::{OrderPartPath, OrderPath},
    list::List,
};

#[derive(Serialize, ToSchema)]
#[schema(as = OrderChange)]
pub struct ChangeDocument {
    /// Always `order_change`.
    object: &'static str,
    id: String,
    order_id: String,
    /// `cancel`, `extend`, `fulfil`, `check_in`, `new_check_in_code`, or `end_refunded`: Holdfast's own, once
    /// all money has gone back.
    kind: Kind,
    /// `pending`, `done` or `refused`.
    state: change::State,
    /// Of a refusal: why, as a problem's `code`, `detail` and what else it tells.
    problem: Option<Value>,
    requested_at: Timestamp,
    /// Who asked: the name of an API key, or `customer`. None: Holdfast itself.
    by: Option<String>,
    decided_at: Option<Timestamp>,
}

impl From<Change> for ChangeDocument {
    fn from(change: Change) -> Self {
        let kind = change.request.kind();
        let refused = change.answer.filter(|answer| !answer.is_done());
        Self {
            object: "order_change",
            id: change.id.to_string(),
            order_id: change.order.to_string(),
            kind,
            state: change::State::of(change.answer),
            problem: refused.map(|answer| json!(refusal(kind, answer))),
            requested_at: change.requested_at,
            by: change.by,
            decided_at: change.decided_at,
        }
    }
}

impl ChangeDocument {
    /// As whoever calls may see it: who works in the shop is the shop's.
    fn told(change: Change, caller: &Caller) -> Self {
        let document = Self::from(change);
        let by = document.by.filter(|by| caller.customer().is_none() || by == CUSTOMER);
        Self { by, ..document }
    }
}

/// Look at a change that was asked of an order: whether it is decided yet.
#[utoipa::path(
    get, path = "/v1/orders/{id}/changes/{change_id}", operation_id = "get_order_change", tag = "Orders",
    params(("id" = String, Path), ("change_id" = String, Path)),
    responses((status = 200, body = ChangeDocument)),
)]
pub async fn get_change(
    State(app): State<App>,
    caller: Caller,
    OrderPartPath(order, id): OrderPartPath<ChangeId>,
) -> Result<axum::Json<ChangeDocument>, Problem> {
    let change = changes::get(&app.db, order, id).await?.ok_or_else(Problem::nothing)?;
    Ok(axum::Json(ChangeDocument::told(change, &caller)))
}

/// List the changes that were asked of an order, oldest first.
#[utoipa::path(
    get, path = "/v1/orders/{id}/changes", operation_id = "list_order_changes", tag = "Orders",
    params(("id" = String, Path)),
    responses((status = 200, body = List<ChangeDocument>)),
)]
pub async fn list_changes(
    State(app): State<App>,
    caller: Caller,
    OrderPath(id): OrderPath,
) -> Result<axum::Json<List<ChangeDocument>>, Problem> {
    let changes = changes::of_order(&app.db, id).await?;
    if changes.is_empty() {
        load(&app, id).await?; // an unknown order is a 404, not an empty list
    }
    let told = |change| ChangeDocument::told(change, &caller);
    Ok(axum::Json(List::whole(changes.into_iter().map(told).collect())))
}
