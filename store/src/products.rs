//! The catalogue.

use domain::{Invalid, Timestamp, money::Currency, product::Kind, stock::Sku};

use crate::{Db, Error, Result, SqlTime, sql};

#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    pub sku: Sku,
    pub kind: Kind,
    pub name: String,
    pub description: String,
    pub unit_price: i64,
    pub currency: Currency,
    pub active: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    sku: String,
    kind: String,
    name: String,
    description: String,
    unit_price: i64,
    currency: String,
    active: bool,
    created_at: SqlTime,
    updated_at: SqlTime,
}

impl TryFrom<Row> for Product {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            sku: Sku::from_store(row.sku),
            kind: Kind::parse(&row.kind).map_err(Error::corrupt)?,
            name: row.name,
            description: row.description,
            unit_price: row.unit_price,
            currency: Currency::parse(&row.currency).map_err(Error::corrupt)?,
            active: row.active,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
        })
    }
}

/// Creates or replaces a product; a new one starts with no stock. Without a `kind` a product keeps its own, and a new
/// one is [`Kind::Goods`]. Gives the product as stored, and whether it is new.
#[tracing::instrument(name = "sql products.put", skip_all, err(level = "debug"))]
pub async fn put(db: &Db, product: &Product, kind: Option<Kind>) -> Result<(Product, bool)> {
    let mut tx = db.begin().await?;
    let stored: Option<(bool, SqlTime, String)> = sqlx::query_as(
        "INSERT INTO products (sku, kind, name, description, unit_price, currency, active, created_at, updated_at)
         VALUES ($1, coalesce($8, 'goods'), $2, $3, $4, $5, $6, $7, $7)
         ON CONFLICT (sku) DO UPDATE SET
             name = excluded.name, description = excluded.description,
             unit_price = excluded.unit_price, currency = excluded.currency,
             active = excluded.active, updated_at = excluded.updated_at
         WHERE products.kind = coalesce($8, products.kind)
         RETURNING xmax = 0, created_at, kind",
    )
    .bind(product.sku.as_str())
    .bind(&product.name)
    .bind(&product.description)
    .bind(product.unit_price)
    .bind(product.currency.code())
    .bind(product.active)
    .bind(sql(product.updated_at))
    .bind(kind.map(Kind::as_str))
    .fetch_optional(&mut *tx)
    .await?;
    let Some((created, created_at, kind)) = stored else {
        return Err(Error::Invalid(vec![Invalid::new(
            "kind",
            "cannot be changed: it was set when the product was created",
        )]));
    };
    sqlx::query("INSERT INTO stock_levels (sku, on_hand, held) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING")
        .bind(product.sku.as_str())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let kind = Kind::parse(&kind).map_err(Error::corrupt)?;
    Ok((Product { kind, created_at: created_at.to_jiff(), ..product.clone() }, created))
}

pub async fn get(db: &Db, sku: &Sku) -> Result<Product> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM products WHERE sku = $1")
        .bind(sku.as_str())
        .fetch_optional(db.pool())
        .await?;
    row.ok_or(Error::NotFound)?.try_into()
}

/// Products in SKU order whose name or description contains `q`, after the SKU `after`.
#[tracing::instrument(name = "sql products.list", skip_all, err(level = "debug"))]
pub async fn list(db: &Db, q: Option<&str>, after: Option<&str>, limit: i64) -> Result<Vec<Product>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT * FROM products
         WHERE ($1::text IS NULL OR name ILIKE $1 OR description ILIKE $1 OR sku ILIKE $1)
           AND ($2::text IS NULL OR sku > $2)
         ORDER BY sku LIMIT $3",
    )
    .bind(q.map(like))
    .bind(after)
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    rows.into_iter().map(Product::try_from).collect()
}

/// A LIKE pattern that matches `text` anywhere and literally.
fn like(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
