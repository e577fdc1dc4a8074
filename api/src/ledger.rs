//! The stock ledger: every movement, and the balance that it left.

use axum::extract::State;
use domain::{
    Timestamp,
    stock::{self, Sku},
};
use serde::{Deserialize, Serialize};
use store::ledger::{self, Filter, Movement};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    app::App,
    error::Problem,
    list::{self, List, Parameters},
    query::Query,
    scoped::{Scope, Scoped},
};

pub fn routes() -> Scoped {
    Scoped::new().with(Scope::Operations, routes!(list))
}

#[derive(Serialize, ToSchema)]
#[schema(as = Movement)]
struct MovementDocument {
    /// Always `movement`.
    object: &'static str,
    id: String,
    sku: String,
    /// `received` (a delivery), `adjusted` (a correction), `held` (for an order), `committed` (sold),
    /// `released` (no longer held) or `returned` (sold, and back on the shelf).
    kind: stock::Movement,
    /// Pieces; negative only where stock was corrected downwards.
    quantity: i64,
    on_hand_delta: i64,
    held_delta: i64,
    /// The SKU's balance once it had moved.
    on_hand_after: i64,
    held_after: i64,
    /// None for what was received or adjusted.
    order_id: Option<String>,
    /// Why, of what was received or adjusted.
    reason: Option<String>,
    /// Who did that: the name of an API key.
    by: Option<String>,
    at: Timestamp,
}

impl From<Movement> for MovementDocument {
    fn from(movement: Movement) -> Self {
        Self {
            object: "movement",
            id: movement.id.to_string(),
            order_id: movement.order_id.map(|id| id.to_string()),
            at: movement.at,
            sku: movement.sku.to_string(),
            kind: movement.kind,
            quantity: movement.quantity,
            on_hand_delta: movement.on_hand_delta,
            held_delta: movement.held_delta,
            on_hand_after: movement.on_hand_after,
            held_after: movement.held_after,
            reason: movement.reason,
            by: movement.asked_by,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListMovements {
    /// A SKU, or a night of one, such as `room@2026-07-01`.
    sku: Option<String>,
    /// An order's id.
    order: Option<String>,
    /// 1-100, default 20.
    limit: Option<String>,
    /// A movement's id; the page starts after it.
    starting_after: Option<String>,
}

/// List the movements of stock, newest first.
#[utoipa::path(
    get, path = "/v1/ledger", operation_id = "list_movements", tag = "Stock", params(ListMovements),
    responses((status = 200, body = List<MovementDocument>)),
)]
async fn list(
    State(app): State<App>,
    Query(query): Query<ListMovements>,
) -> Result<axum::Json<List<MovementDocument>>, Problem> {
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let filter = Filter {
        sku: parameters.optional(query.sku, Sku::parse_unit),
        order: parameters.optional(query.order, list::order_id),
        after: parameters.optional(query.starting_after, list::cursor("a movement id")),
    };
    parameters.finish()?;
    let found = ledger::list(&app.db, &filter, limit + 1).await?;
    let documents = found.into_iter().map(MovementDocument::from).collect();
    Ok(axum::Json(List::page(documents, limit, |movement| movement.id.clone())))
}
