//! A product as clients see it.

use domain::{Timestamp, product};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub struct Product {
    /// Always `product`.
    object: &'static str,
    pub sku: String,
    /// `goods` or `stay`.
    kind: product::Kind,
    name: String,
    description: String,
    unit_price: i64,
    currency: &'static str,
    /// Whether it can be ordered.
    active: bool,
    /// Counts its changes; its `ETag` is this number in quotes.
    version: i32,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Since when it is out of the catalogue.
    retired_at: Option<Timestamp>,
}

impl From<product::Product> for Product {
    fn from(product: product::Product) -> Self {
        let product::Product { sku, details, version, created_at, updated_at, retired_at } = product;
        Self {
            object: "product",
            sku: sku.to_string(),
            kind: details.kind,
            name: details.name,
            description: details.description,
            unit_price: details.unit_price,
            currency: details.currency.code(),
            active: details.active,
            version,
            created_at,
            updated_at,
            retired_at,
        }
    }
}
