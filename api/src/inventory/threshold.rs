//! At how much others are told that there is little of a SKU.

use axum::extract::State;
use domain::Invalid;
use serde::{Deserialize, Serialize};
use store::stock;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    app::App,
    error::{Problem, ProblemDocument},
    extract::{Json, SkuPath},
    scoped::{Scope, Scoped},
};

/// No level gets higher.
const HIGHEST: i64 = 1_000_000_000_000;

pub fn routes() -> Scoped {
    Scoped::new().with(Scope::StockRead, routes!(get)).with(Scope::StockWrite, routes!(set))
}

/// The event `stock.low` is told when what is available falls to the threshold, `stock.recovered` when it
/// rises above it. `stock.depleted` and `stock.restocked` are told of every SKU.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LowStockThreshold)]
struct Threshold {
    /// Pieces. Null: nobody is told.
    #[serde(deserialize_with = "Option::deserialize")] // null is said, not left out
    #[schema(required, minimum = 1, maximum = 1_000_000_000_000_i64)]
    threshold: Option<i64>,
}

/// Read at how much others are told that there is little.
#[utoipa::path(
    get, path = "/v1/inventory/{sku}/low-stock-threshold", operation_id = "get_low_stock_threshold",
    tag = "Stock",
    params(("sku" = String, Path)),
    responses(
        (status = 200, body = Threshold),
        (status = 409, body = ProblemDocument, description = "`product_not_goods`: see its nights"),
    ),
)]
async fn get(State(app): State<App>, sku: SkuPath) -> Result<axum::Json<Threshold>, Problem> {
    let (_, threshold) = stock::level(&app.db, &sku.existing()?).await?;
    Ok(axum::Json(Threshold { threshold }))
}

/// Set at how much others are told that there is little.
#[utoipa::path(
    put, path = "/v1/inventory/{sku}/low-stock-threshold", operation_id = "set_low_stock_threshold",
    tag = "Stock",
    params(("sku" = String, Path)),
    request_body = Threshold,
    responses(
        (status = 200, body = Threshold),
        (status = 409, body = ProblemDocument, description = "`product_not_goods`: see its nights"),
        (status = 422, body = ProblemDocument),
    ),
)]
async fn set(
    State(app): State<App>,
    sku: SkuPath,
    Json(request): Json<Threshold>,
) -> Result<axum::Json<Threshold>, Problem> {
    let sku = sku.existing()?;
    if request.threshold.is_some_and(|threshold| !(1..=HIGHEST).contains(&threshold)) {
        let message = format!("must be between 1 and {HIGHEST}, or null");
        return Err(vec![Invalid::new("threshold", message)].into());
    }
    stock::set_low_stock_threshold(&app.db, &sku, request.threshold).await?;
    Ok(axum::Json(request))
}
