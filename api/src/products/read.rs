//! Reading, listing and searching products, and their histories.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use domain::{
    Invalid, Timestamp,
    product::{Changes, Event, EventKind},
    search::Query as Words,
    stock::Sku,
};
use serde::{Deserialize, Serialize};
use store::products::{
    self, history,
    search::{self, Found, Place},
};
use utoipa::{IntoParams, ToSchema};

use super::document::Product;
use crate::{
    app::App,
    auth::Caller,
    condition::{Conditions, etag},
    error::{Problem, ProblemDocument},
    extract::{SkuPath, product_not_found},
    list::{List, Parameters},
    query::Query,
};

/// Read a product, also a retired one.
#[utoipa::path(
    get, path = "/v1/products/{sku}", operation_id = "get_product", tag = "Catalogue",
    params(
        ("sku" = String, Path),
        ("If-None-Match" = Option<String>, Header,
            description = "An `ETag`: 304 if the product still has it"),
    ),
    responses(
        (status = 200, body = Product, headers(("ETag" = String))),
        (status = 304, description = "As it was", headers(("ETag" = String))),
        (status = 400, body = ProblemDocument, description = "`precondition_invalid`"),
        (status = 412, body = ProblemDocument, description = "`precondition_failed`, only with `If-Match`"),
    ),
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    sku: SkuPath,
    Conditions(condition): Conditions,
) -> Result<Response, Problem> {
    let product = products::get(&app.db, &sku.existing()?).await?.ok_or_else(product_not_found)?;
    if product.retired_at.is_some() && caller.customer().is_some() {
        return Err(product_not_found());
    }
    let current = Some(product.version);
    if condition.only_if.is_some_and(|versions| !versions.include(current)) {
        return Err(Problem::stale(current));
    }
    let etag = etag(product.version);
    if condition.unless.is_some_and(|versions| versions.include(current)) {
        return Ok((StatusCode::NOT_MODIFIED, etag).into_response());
    }
    Ok((etag, axum::Json(Product::from(product))).into_response())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListProducts {
    /// Words, or the beginning of a SKU. Every word (the first eight count) must be in name or description; a
    /// word that is misspelt finds those like it. Capitals, accents and full width do not matter.
    q: Option<String>,
    /// `true` shows retired products, too. Default `false`.
    include_retired: Option<String>,
    /// 1-100, default 20.
    limit: Option<String>,
    /// A SKU or a cursor; the page starts after it.
    starting_after: Option<String>,
}

/// List products in SKU order; with `q`, those that fit best come first: by the beginning of their SKU, by
/// name, by description, and then by words that are only alike.
#[utoipa::path(
    get, path = "/v1/products", operation_id = "list_products", tag = "Catalogue", params(ListProducts),
    responses((status = 200, body = List<Product>)),
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListProducts>,
) -> Result<axum::Json<List<Product>>, Problem> {
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let words = parameters.optional(query.q, Words::parse).flatten();
    let flag = |text: &str| flag(text, caller.customer().is_some());
    let with_retired = parameters.optional(query.include_retired, flag).unwrap_or_default();
    let after = parameters.optional(query.starting_after, place);
    parameters.finish()?;
    let Some(words) = words else {
        let after = after.map(|place| place.sku);
        let found = products::list(&app.db, with_retired, after.as_ref(), limit + 1).await?;
        let found = found.into_iter().map(Product::from).collect();
        return Ok(axum::Json(List::page(found, limit, |product| product.sku.clone())));
    };
    let found = search::search(&app.db, &words, with_retired, after.as_ref(), limit + 1).await?;
    let found = found.ok_or_else(|| Invalid::new("starting_after", "is not found by this search"))?;
    let page = List::page(found, limit, cursor);
    Ok(axum::Json(page.map(|found| found.product.into())))
}

fn flag(text: &str, is_customer: bool) -> Result<bool, Invalid> {
    match text.parse() {
        Ok(true) if is_customer => Err(Invalid::new("include_retired", "is for the shop alone")),
        Ok(wanted) => Ok(wanted),
        Err(_) => Err(Invalid::new("include_retired", "must be true or false")),
    }
}

/// No SKU has a `~`.
fn cursor(found: &Found) -> String {
    format!("{}~{}", found.tier, found.product.sku)
}

fn place(text: &str) -> Result<Place, Invalid> {
    let bad = || Invalid::new("starting_after", "must be a SKU or a next_cursor");
    let (tier, sku) = match text.split_once('~') {
        None => (None, text),
        Some((tier, sku)) => {
            let tier = tier.parse().ok().filter(|tier| *tier < search::TIERS);
            (Some(tier.ok_or_else(bad)?), sku)
        }
    };
    Ok(Place { tier, sku: Sku::parse(sku).map_err(|_| bad())? })
}

/// One change of a product.
#[derive(Serialize, ToSchema)]
pub struct ProductEvent {
    /// Always `product_event`.
    object: &'static str,
    /// The product's version since then.
    version: i32,
    /// `product.created`, `product.changed`, `product.retired` or `product.restored`.
    r#type: EventKind,
    at: Timestamp,
    /// Who asked for it: the name of an API key, `api` for one of the environment, or `seed` and `migration`
    /// for what Holdfast did by itself.
    by: String,
    /// By field, what it was (null when it was created) and what it became: `{"name": {"from": "Te", "to":
    /// "Tea"}}`. Of a stay, `stay` has its terms and `nights` the last offer of nights.
    #[schema(value_type = Object)]
    changes: Changes,
}

impl From<Event> for ProductEvent {
    fn from(event: Event) -> Self {
        let Event { version, kind, at, by, changes } = event;
        Self { object: "product_event", version, r#type: kind, at, by, changes }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListEvents {
    /// 1-100, default 20.
    limit: Option<String>,
    /// A version or a cursor; the page starts after it, with what was before.
    starting_after: Option<String>,
}

/// What became of a product, newest first.
#[utoipa::path(
    get, path = "/v1/products/{sku}/history", operation_id = "list_product_events", tag = "Catalogue",
    params(("sku" = String, Path), ListEvents),
    responses((status = 200, body = List<ProductEvent>)),
)]
pub async fn history(
    State(app): State<App>,
    sku: SkuPath,
    Query(query): Query<ListEvents>,
) -> Result<axum::Json<List<ProductEvent>>, Problem> {
    let sku = sku.existing()?;
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let before = parameters.optional(query.starting_after, version);
    parameters.finish()?;
    let events = history::of_product(&app.db, &sku, before, limit + 1).await?;
    if events.is_empty() && before.is_none() {
        return Err(product_not_found());
    }
    let events = events.into_iter().map(ProductEvent::from).collect();
    Ok(axum::Json(List::page(events, limit, |event| event.version.to_string())))
}

fn version(text: &str) -> Result<i32, Invalid> {
    text.parse()
        .ok()
        .filter(|version| *version > 0)
        .ok_or_else(|| Invalid::new("starting_after", "must be a version or a next_cursor"))
}
