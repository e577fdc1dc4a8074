//! The catalogue: put, read, list.

use axum::{extract::State, http::StatusCode};
use domain::{Invalid, Invalids, Timestamp, money, money::Currency, product::Kind};
use serde::{Deserialize, Serialize};
use store::products;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, Problem,
    error::ProblemDocument,
    extract::{Json, Query, SkuPath, product_not_found},
    list::{self, List},
    now,
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(put, get)).routes(routes!(list))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PutProduct {
    /// `goods`, sold by the piece, or `stay`, sold by the night. Cannot be changed. Default `goods`.
    kind: Option<String>,
    name: String,
    #[serde(default)]
    description: String,
    /// Minor units (cents), 1 to 10,000,000,000. Of a `stay`, the price of a night that has none of its own.
    unit_price: i64,
    /// ISO 4217, such as `EUR`.
    currency: String,
    /// Whether it can be ordered. Default true.
    active: Option<bool>,
}

#[derive(Serialize, ToSchema)]
struct Product {
    /// Always `product`.
    object: &'static str,
    sku: String,
    /// `goods` or `stay`.
    kind: &'static str,
    name: String,
    description: String,
    unit_price: i64,
    currency: &'static str,
    active: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<products::Product> for Product {
    fn from(product: products::Product) -> Self {
        Self {
            object: "product",
            sku: product.sku.to_string(),
            kind: product.kind.as_str(),
            name: product.name,
            description: product.description,
            unit_price: product.unit_price,
            currency: product.currency.code(),
            active: product.active,
            created_at: product.created_at,
            updated_at: product.updated_at,
        }
    }
}

/// Create or replace a product. Orders already placed keep their price and name.
#[utoipa::path(
    put, path = "/v1/products/{sku}", tag = "Catalogue", params(("sku" = String, Path)),
    responses((status = 200, body = Product), (status = 201, body = Product), (status = 422, body = ProblemDocument)),
)]
async fn put(
    State(app): State<App>,
    sku: SkuPath,
    Json(request): Json<PutProduct>,
) -> Result<(StatusCode, axum::Json<Product>), Problem> {
    let (product, kind) = parse(sku, request)?;
    let (product, created) = products::put(&app.db, &product, kind).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(product.into())))
}

fn parse(sku: SkuPath, request: PutProduct) -> Result<(products::Product, Option<Kind>), Vec<Invalid>> {
    let mut invalids = Invalids::default();
    let at = now();
    let sku = invalids.check(sku.0);
    let kind = invalids.check(request.kind.as_deref().map(Kind::parse).transpose());
    let name = invalids.check(domain::product::name(&request.name));
    let description = invalids.check(domain::product::description(&request.description));
    let unit_price = invalids.check(money::unit_price(request.unit_price));
    let currency = invalids.check(Currency::parse(&request.currency));
    match (sku, kind, name, description, unit_price, currency) {
        (Some(sku), Some(kind), Some(name), Some(description), Some(unit_price), Some(currency)) => {
            let product = products::Product {
                sku,
                kind: kind.unwrap_or_default(),
                name,
                description,
                unit_price,
                currency,
                active: request.active.unwrap_or(true),
                created_at: at,
                updated_at: at,
            };
            Ok((product, kind))
        }
        _ => Err(invalids.into_vec()),
    }
}

/// Read a product.
#[utoipa::path(
    get, path = "/v1/products/{sku}", tag = "Catalogue", params(("sku" = String, Path)),
    responses((status = 200, body = Product), (status = 404, body = ProblemDocument)),
)]
async fn get(State(app): State<App>, sku: SkuPath) -> Result<axum::Json<Product>, Problem> {
    let sku = sku.existing()?;
    match products::get(&app.db, &sku).await {
        Err(store::Error::NotFound) => Err(product_not_found()),
        product => Ok(axum::Json(product?.into())),
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListProducts {
    /// Searched in SKU, name and description.
    q: Option<String>,
    /// 1-100, default 20.
    limit: Option<String>,
    /// The SKU or cursor after which the page starts.
    starting_after: Option<String>,
}

/// List products in SKU order.
#[utoipa::path(
    get, path = "/v1/products", tag = "Catalogue", params(ListProducts),
    responses((status = 200, body = List<Product>), (status = 422, body = ProblemDocument)),
)]
async fn list(
    State(app): State<App>,
    Query(query): Query<ListProducts>,
) -> Result<axum::Json<List<Product>>, Problem> {
    let limit = list::limit(query.limit.as_deref())?;
    let q = query.q.as_deref().map(domain::product::search).transpose()?;
    let after = query.starting_after.as_deref().map(domain::stock::Sku::parse).transpose();
    let after = after.map_err(|invalid| Invalid::new("starting_after", invalid.message))?;
    let q = q.as_deref().filter(|q| !q.is_empty());
    let after = after.as_ref().map(domain::stock::Sku::as_str);
    let products = products::list(&app.db, q, after, limit + 1).await?;
    let products = products.into_iter().map(Product::from).collect();
    Ok(axum::Json(List::page(products, limit, |product| product.sku.clone())))
}
