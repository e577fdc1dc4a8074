//! The catalogue: products as their events make them. How they are found: [`search`]; their events:
//! [`history`].

use std::slice;

use domain::{
    Invalid, Timestamp,
    product::{self, Condition, Details, Wanted},
    public_event,
    stock::Sku,
};

pub use domain::product::Product;

use crate::{Db, Fault, Result, SqlTime, Tx, events, or_fault, retry::retry, sql};

/// Products as they stand in a relation, on which conditions follow; before it, what the relation is made of.
macro_rules! products {
    ($from:literal $(, $argument:expr)*) => {
        products!("" => $from $(, $argument)*)
    };
    ($with:literal => $from:literal $(, $argument:expr)*) => {
        sqlx::query!(
            $with
                + "SELECT sku, kind, name, description, unit_price, currency, active, stay, nights, version,
                          created_at, updated_at, retired_at FROM "
                + $from
            $(, $argument)*
        )
        .map(|row| Product {
            details: Details {
                kind: row.kind,
                name: row.name,
                description: row.description,
                unit_price: row.unit_price,
                currency: row.currency,
                active: row.active,
                retired: row.retired_at.is_some(),
                stay: row.stay,
                nights: row.nights,
            },
            sku: row.sku,
            version: row.version,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            retired_at: row.retired_at.map(SqlTime::to_jiff),
        })
    };
}

pub mod history;
pub mod search;

/// Who asks for a change, when, and under which condition.
#[derive(Debug, Clone)]
pub struct Edit {
    pub by: String,
    pub at: Timestamp,
    pub condition: Condition,
}

/// Why a product was not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such product")]
    NotFound,
    #[error("the request does not fit the product")]
    Invalid(Invalid),
    /// It is at another version than the client expects, or is not there.
    #[error("the product is at version {0:?}")]
    Stale(Option<i32>),
    #[error(transparent)]
    Fault(Fault),
}
or_fault!(Error);

/// Creates or replaces a product; a new one starts with no stock. Gives the product as stored, and whether it
/// is new. What is so already is left as it is, without an event.
#[tracing::instrument(name = "sql products.put", skip_all, err(level = "debug"))]
pub async fn put(db: &Db, sku: &Sku, wanted: &Wanted, edit: &Edit) -> Result<(Product, bool), Error> {
    change(db, sku, edit, |before| wanted.clone().details(before).map_err(Error::Invalid)).await
}

/// Takes a product out of the catalogue. It can be read still, and orders keep it.
#[tracing::instrument(name = "sql products.retire", skip_all, err(level = "debug"))]
pub async fn retire(db: &Db, sku: &Sku, edit: &Edit) -> Result<Product, Error> {
    let (product, _) =
        change(db, sku, edit, |before| before.map(Product::retired).ok_or(Error::NotFound)).await?;
    Ok(product)
}

/// Makes a product what `decide` says, under the lock of its row. Gives whether it is new.
async fn change(
    db: &Db,
    sku: &Sku,
    edit: &Edit,
    decide: impl Fn(Option<&Product>) -> Result<Details, Error>,
) -> Result<(Product, bool), Error> {
    retry(|| async {
        // There is no row to lock before there is a product. Who is second to create it looks again, and
        // finds it.
        for _ in 0..2 {
            let mut tx = db.begin().await?;
            let before = lock(&mut tx, sku).await?;
            let details = decide(before.as_ref())?;
            let is_new = before.is_none();
            if let Some(product) = write(&mut tx, sku, before, &details, edit).await? {
                tx.commit().await?;
                return Ok((product, is_new));
            }
        }
        Err(behind(sku).into())
    })
    .await
}

/// What a product's events say has not come to its row, by somebody's hand.
pub(crate) fn behind(sku: &Sku) -> Fault {
    Fault::corrupt(format!("{sku} has events that its row does not know: run `holdfast rebuild-catalogue`"))
}

/// Makes the product that was locked what `details` say: an event, and the row. None if there is such an
/// event already: somebody else created the product a moment ago, or see [`behind`].
pub(crate) async fn write(
    tx: &mut Tx,
    sku: &Sku,
    before: Option<Product>,
    details: &Details,
    edit: &Edit,
) -> Result<Option<Product>, Error> {
    let version = before.as_ref().map(|product| product.version);
    if !edit.condition.holds(version) {
        return Err(Error::Stale(version));
    }
    let Some(event) = product::change(before.as_ref(), details, edit.at, &edit.by) else {
        return before.map(Some).ok_or(Error::NotFound);
    };
    if !history::append(tx, sku, &event).await? {
        return Ok(None);
    }
    let product = product::apply(sku, before, &event).map_err(Fault::corrupt)?;
    project(tx, slice::from_ref(&product)).await?;
    let told = public_event::of_product(&product, &event);
    events::append(tx, sku.as_str(), event.version, event.at, &told).await?;
    Ok(Some(product))
}

pub(crate) async fn lock(tx: &mut Tx, sku: &Sku) -> Result<Option<Product>> {
    let product = products!("products WHERE sku = $1 FOR NO KEY UPDATE", sku.as_str());
    Ok(product.fetch_optional(&mut **tx).await?)
}

/// Writes the rows that stand for what the events of products add up to, and the words by which they are
/// found.
async fn project(tx: &mut Tx, products: &[Product]) -> Result<()> {
    for product in products {
        project_one(tx, product).await?;
    }
    search::learn(tx, products).await
}

async fn project_one(tx: &mut Tx, product: &Product) -> Result<()> {
    let Product { sku, details, version, created_at, updated_at, retired_at } = product;
    sqlx::query!(
        "INSERT INTO products (sku, kind, name, description, unit_price, currency, active, version,
                               created_at, updated_at, retired_at, search, stay, nights)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::text::tsvector, $13, $14)
         ON CONFLICT (sku) DO UPDATE SET
             kind = excluded.kind, name = excluded.name, description = excluded.description,
             unit_price = excluded.unit_price, currency = excluded.currency, active = excluded.active,
             version = excluded.version, created_at = excluded.created_at, updated_at = excluded.updated_at,
             retired_at = excluded.retired_at, search = excluded.search, stay = excluded.stay,
             nights = excluded.nights",
        sku.as_str(),
        details.kind.as_str(),
        details.name,
        details.description,
        details.unit_price,
        details.currency.code(),
        details.active,
        version,
        sql(*created_at),
        sql(*updated_at),
        retired_at.map(sql),
        search::index(details),
        details.stay.as_ref() as _,
        details.nights.as_ref() as _
    )
    .execute(&mut **tx)
    .await?;
    let level = sqlx::query!(
        "INSERT INTO stock_levels (sku, on_hand, held) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING",
        sku.as_str()
    );
    level.execute(&mut **tx).await?;
    Ok(())
}

/// A product as it is now, retired or not.
pub async fn get(db: &Db, sku: &Sku) -> Result<Option<Product>> {
    let product = products!("products WHERE sku = $1", sku.as_str());
    Ok(product.fetch_optional(db.pool()).await?)
}

/// Products in SKU order, after the SKU `after`.
#[tracing::instrument(name = "sql products.list", skip_all, err(level = "debug"))]
pub async fn list(db: &Db, with_retired: bool, after: Option<&Sku>, limit: i64) -> Result<Vec<Product>> {
    let after = after.map_or("", Sku::as_str);
    // Two queries: only the one without retired products can use the index of those.
    let products = match with_retired {
        true => {
            products!("products WHERE sku > $1 ORDER BY sku LIMIT $2", after, limit)
                .fetch_all(db.pool())
                .await
        }
        false => {
            let listed = products!(
                "products WHERE sku > $1 AND retired_at IS NULL ORDER BY sku LIMIT $2",
                after,
                limit
            );
            listed.fetch_all(db.pool()).await
        }
    };
    Ok(products?)
}
