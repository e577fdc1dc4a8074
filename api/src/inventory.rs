//! Stock levels and their adjustment by hand.

use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    Invalid, Invalids, stock as rules,
    stock::{ByHand, Level},
};
use serde::{Deserialize, Serialize};
use store::stock;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    app::App,
    auth::Caller,
    clock::now,
    error::{Problem, ProblemDocument},
    extract::{Json, SkuPath},
    idempotency::{IdempotencyKey, idempotency, with_replayed},
    list::{List, Parameters},
    query::Query,
    scoped::{Scope, Scoped},
};

mod threshold;

pub fn routes() -> Scoped {
    Scoped::new()
        .with(Scope::StockRead, routes!(list))
        .with(Scope::StockRead, routes!(get))
        .with(Scope::StockWrite, routes!(adjust))
        .merge(threshold::routes())
}

/// `available + held = on_hand`, none negative.
#[derive(Serialize, ToSchema)]
struct Inventory {
    sku: String,
    on_hand: i64,
    /// Set aside for orders that are not paid yet.
    held: i64,
    available: i64,
}

impl Inventory {
    fn new(sku: &rules::Sku, level: Level) -> Self {
        let Level { on_hand, held } = level;
        Self { sku: sku.to_string(), on_hand, held, available: level.available() }
    }
}

/// A stock level, and what is to be told of it.
#[derive(Serialize, ToSchema)]
struct InventoryWithThreshold {
    #[serde(flatten)]
    level: Inventory,
    /// At how much `stock.low` is told. Null: nobody is told.
    #[schema(required, minimum = 1, maximum = 1_000_000_000_000_i64)]
    low_stock_threshold: Option<i64>,
}

/// What there is of a product, with its name.
#[derive(Serialize, ToSchema)]
#[schema(as = StockedProduct)]
struct StockedDocument {
    sku: String,
    name: String,
    on_hand: i64,
    /// Set aside for orders that are not paid yet.
    held: i64,
    available: i64,
    /// At how much and less others are told that there is little. None: nobody is told.
    low_stock_threshold: Option<i64>,
}

impl From<stock::Stocked> for StockedDocument {
    fn from(stocked: stock::Stocked) -> Self {
        let stock::Stocked { sku, name, level, low_stock_threshold } = stocked;
        let Level { on_hand, held } = level;
        let sku = sku.to_string();
        Self { sku, name, on_hand, held, available: level.available(), low_stock_threshold }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListInventory {
    /// 1-100, default 20.
    limit: Option<String>,
    /// A SKU; the page starts after it.
    starting_after: Option<String>,
}

/// List what there is of the products in the catalogue that are sold by the piece, in SKU order.
#[utoipa::path(
    get, path = "/v1/inventory", operation_id = "list_inventory", tag = "Stock", params(ListInventory),
    responses((status = 200, body = List<StockedDocument>)),
)]
async fn list(
    State(app): State<App>,
    Query(query): Query<ListInventory>,
) -> Result<axum::Json<List<StockedDocument>>, Problem> {
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let after = parameters.optional(query.starting_after, |text| {
        rules::Sku::parse(text).map_err(|_| Invalid::new("starting_after", "must be a SKU or a next_cursor"))
    });
    parameters.finish()?;
    let found = stock::list(&app.db, after.as_ref(), limit + 1).await?;
    let documents = found.into_iter().map(StockedDocument::from).collect();
    Ok(axum::Json(List::page(documents, limit, |stocked| stocked.sku.clone())))
}

/// Read a stock level.
#[utoipa::path(
    get, path = "/v1/inventory/{sku}", operation_id = "get_inventory", tag = "Stock",
    params(("sku" = String, Path)),
    responses(
        (status = 200, body = InventoryWithThreshold),
        (status = 409, body = ProblemDocument, description = "`product_not_goods`: see its nights"),
    ),
)]
async fn get(State(app): State<App>, sku: SkuPath) -> Result<axum::Json<InventoryWithThreshold>, Problem> {
    let sku = sku.existing()?;
    let (level, low_stock_threshold) = stock::level(&app.db, &sku).await?;
    let level = Inventory::new(&sku, level);
    Ok(axum::Json(InventoryWithThreshold { level, low_stock_threshold }))
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Adjustment {
    /// `adjusted`: a correction, up or down. `received`: a delivery, up.
    #[serde(default, skip_serializing_if = "is_usual")] // a key's request keeps its hash
    #[schema(value_type = String, default = "adjusted")]
    kind: ByHand,
    /// Pieces to add, or to take away if negative.
    delta: i64,
    /// Why, for the ledger.
    reason: String,
}

/// Adjust the stock on hand, or receive a delivery.
#[utoipa::path(
    post, path = "/v1/inventory/{sku}/adjustments", operation_id = "adjust_inventory", tag = "Stock",
    params(
        ("sku" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless"),
    ),
    responses(
        (status = 201, body = Inventory),
        (status = 409, body = ProblemDocument,
            description = "`stock_below_held`; `product_not_goods` for what is sold by the night"),
    ),
)]
async fn adjust(
    State(app): State<App>,
    caller: Caller,
    sku: SkuPath,
    key: IdempotencyKey,
    Json(request): Json<Adjustment>,
) -> Result<Response, Problem> {
    let sku = sku.existing()?;
    let reason = parse(&request)?;
    let idempotency = key.0.map(|key| idempotency(key, &(&sku, &request)));
    let Adjustment { kind, delta, .. } = request;
    let adjustment = stock::Adjustment { kind, delta, reason: &reason, by: caller.name() };
    let (level, replayed) = stock::adjust(&app.db, &sku, &adjustment, idempotency.as_ref(), now()).await?;
    let answer = (StatusCode::CREATED, axum::Json(Inventory::new(&sku, level)));
    Ok(with_replayed(replayed, answer))
}

fn is_usual(kind: &ByHand) -> bool {
    *kind == ByHand::default()
}

fn parse(request: &Adjustment) -> Result<String, Vec<Invalid>> {
    let mut invalids = Invalids::default();
    let delta = invalids.check(rules::adjustment(request.kind, request.delta));
    let reason = invalids.check(rules::reason(&request.reason));
    match (delta, reason) {
        (Some(_), Some(reason)) => Ok(reason),
        _ => Err(invalids.into_vec()),
    }
}
