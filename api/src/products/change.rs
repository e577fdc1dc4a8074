//! Creating, changing and retiring products.

use axum::{
    extract::State,
    http::{HeaderName, StatusCode},
};
use domain::{
    Invalid, Invalids, money,
    money::Currency,
    product::{Kind, Wanted},
    stock::Sku,
};
use serde::Deserialize;
use store::products::{self, Edit};
use utoipa::ToSchema;

use super::document::Product;
use crate::{
    app::App,
    auth::Caller,
    clock::now,
    condition::{Conditions, etag},
    error::{Problem, ProblemDocument},
    extract::{Json, SkuPath},
};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutProduct {
    /// `goods`, sold by the piece, or `stay`, sold by the night. Cannot be changed. Default `goods`.
    kind: Option<String>,
    name: String,
    #[serde(default)]
    description: String,
    /// Minor units (cents), 0 (a gift) to 10,000,000,000. Of a `stay`, the price of a night that has none of
    /// its own.
    unit_price: i64,
    /// ISO 4217, such as `EUR`.
    currency: String,
    /// Whether it can be ordered. Default true.
    active: Option<bool>,
}

type Tagged = ([(HeaderName, String); 1], axum::Json<Product>);

/// Create or replace a product, or bring a retired one back. Orders already placed keep their price and name.
/// What changes nothing leaves the version as it is.
#[utoipa::path(
    put, path = "/v1/products/{sku}", operation_id = "put_product", tag = "Catalogue",
    params(
        ("sku" = String, Path),
        ("If-Match" = Option<String>, Header,
            description = "An `ETag`: change the product only if it still has it; `*`: only if there is one"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only create"),
    ),
    responses(
        (status = 200, body = Product, headers(("ETag" = String))),
        (status = 201, body = Product, headers(("ETag" = String))),
        (status = 400, body = ProblemDocument, description = "`precondition_invalid`"),
        (status = 412, body = ProblemDocument, description = "`precondition_failed`: somebody was faster"),
    ),
)]
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    sku: SkuPath,
    Conditions(condition): Conditions,
    Json(request): Json<PutProduct>,
) -> Result<(StatusCode, Tagged), Problem> {
    let (sku, wanted) = parse(sku, request)?;
    let edit = Edit { by: caller.name().to_owned(), at: now(), condition };
    let (product, created) = products::put(&app.db, &sku, &wanted, &edit).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, (etag(product.version), axum::Json(product.into()))))
}

fn parse(sku: SkuPath, request: PutProduct) -> Result<(Sku, Wanted), Vec<Invalid>> {
    let mut invalids = Invalids::default();
    let sku = invalids.check(sku.0);
    let kind = invalids.check(request.kind.as_deref().map(Kind::parse).transpose());
    let name = invalids.check(domain::product::name(&request.name));
    let description = invalids.check(domain::product::description(&request.description));
    let unit_price = invalids.check(money::unit_price(request.unit_price));
    let currency = invalids.check(Currency::parse(&request.currency));
    match (sku, kind, name, description, unit_price, currency) {
        (Some(sku), Some(kind), Some(name), Some(description), Some(unit_price), Some(currency)) => {
            let active = request.active.unwrap_or(true);
            Ok((sku, Wanted { kind, name, description, unit_price, currency, active }))
        }
        _ => Err(invalids.into_vec()),
    }
}

/// Retire a product: it is no longer listed, found or sold. It can be read still, orders keep it, and a PUT
/// brings it back. Retiring it again changes nothing.
#[utoipa::path(
    delete, path = "/v1/products/{sku}", operation_id = "retire_product", tag = "Catalogue",
    params(
        ("sku" = String, Path),
        ("If-Match" = Option<String>, Header,
            description = "An `ETag`: retire the product only if it still has it"),
    ),
    responses(
        (status = 200, body = Product, headers(("ETag" = String))),
        (status = 400, body = ProblemDocument, description = "`precondition_invalid`"),
        (status = 412, body = ProblemDocument, description = "`precondition_failed`: somebody was faster"),
    ),
)]
pub async fn retire(
    State(app): State<App>,
    caller: Caller,
    sku: SkuPath,
    Conditions(condition): Conditions,
) -> Result<Tagged, Problem> {
    let sku = sku.existing()?;
    let edit = Edit { by: caller.name().to_owned(), at: now(), condition };
    let product = products::retire(&app.db, &sku, &edit).await?;
    Ok((etag(product.version), axum::Json(product.into())))
}
