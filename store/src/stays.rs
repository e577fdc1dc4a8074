//! What products that are sold by the night offer: their terms, and how many rooms each night has, at what
//! price. A night is a stock level of its own; what is booked of it stands in the ledger like everything
//! else.

use domain::{
    Date, Timestamp,
    product::{Details, Kind},
    stay::{self, Offer, Terms},
    stock::{Level, Movement, Sku},
};
use jiff_sqlx::{Date as SqlDate, ToSqlx as _};

use crate::{
    Db, Fault, Result, Tx, locks, or_fault,
    products::{self, Edit},
    retry::retry,
    sql,
};

/// Why nights were not told, or offered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such product")]
    NotFound,
    #[error("the product is not sold by the night")]
    NotAStay,
    /// The nights of which more is held and sold than there would be.
    #[error("more is held and sold than there would be")]
    CapacityBelowSold(Vec<Night>),
    #[error(transparent)]
    Product(products::Error),
    #[error(transparent)]
    Fault(Fault),
}
or_fault!(Error);

impl From<products::Error> for Error {
    fn from(error: products::Error) -> Self {
        match error {
            products::Error::Fault(fault) => Self::Fault(fault),
            refused => Self::Product(refused),
        }
    }
}

/// What a product offers with its nights.
#[tracing::instrument(name = "sql stays.terms", skip_all, err(level = "debug"))]
pub async fn terms(db: &Db, sku: &Sku) -> Result<Terms, Error> {
    let product = sqlx::query!("SELECT kind, stay FROM products WHERE sku = $1", sku.as_str());
    let product = product.fetch_optional(db.pool()).await?.ok_or(Error::NotFound)?;
    match product.kind {
        Kind::Goods => Err(Error::NotAStay),
        Kind::Stay => Ok(product.stay.unwrap_or_default()),
    }
}

/// Sets what a product offers with its nights. Orders that were placed keep what they booked.
#[tracing::instrument(name = "sql stays.put_terms", skip_all, err(level = "debug"))]
pub async fn put_terms(db: &Db, sku: &Sku, terms: &Terms, edit: &Edit) -> Result<(), Error> {
    retry(|| async {
        let mut tx = db.begin().await?;
        write(&mut tx, sku, edit, |details| details.stay = Some(terms.clone())).await?;
        tx.commit().await?;
        Ok(())
    })
    .await
}

/// An event of the product, and its row.
async fn write(tx: &mut Tx, sku: &Sku, edit: &Edit, change: impl FnOnce(&mut Details)) -> Result<(), Error> {
    let product = products::lock(tx, sku).await?.ok_or(Error::NotFound)?;
    if product.details.kind != Kind::Stay {
        return Err(Error::NotAStay);
    }
    let mut details = product.details.clone();
    change(&mut details);
    let written = products::write(tx, sku, Some(product), &details, edit).await?;
    written.map(drop).ok_or_else(|| products::behind(sku).into())
}

/// A night on offer.
#[derive(Debug, Clone)]
pub struct Night {
    pub date: Date,
    pub capacity: i64,
    pub level: Level,
    /// For one room, in minor units: its own price, or the product's.
    pub unit_price: i64,
}

impl Night {
    /// How many rooms of the night are sold.
    pub fn sold(&self) -> i64 {
        self.capacity - self.level.on_hand
    }
}

/// The nights on offer from one day to another, in order. Days without an offer are left out.
#[tracing::instrument(name = "sql stays.nights", skip_all, err(level = "debug"))]
pub async fn nights(db: &Db, sku: &Sku, from: Date, to: Date) -> Result<Vec<Night>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        nights_in(&mut tx, sku, from, to).await
    })
    .await
}

async fn nights_in(tx: &mut Tx, sku: &Sku, from: Date, to: Date) -> Result<Vec<Night>> {
    let nights = sqlx::query!(
        r#"SELECT night AS "night!", capacity AS "capacity!", on_hand, held,
                  coalesce(s.unit_price, p.unit_price) AS "unit_price!"
           FROM stock_levels s JOIN products p ON p.sku = s.product
           WHERE product = $1 AND night >= $2 AND night < $3 ORDER BY night"#,
        sku.as_str(),
        from.to_sqlx(),
        to.to_sqlx()
    )
    .map(|it| Night {
        date: it.night.to_jiff(),
        capacity: it.capacity,
        level: Level { on_hand: it.on_hand, held: it.held },
        unit_price: it.unit_price,
    });
    Ok(nights.fetch_all(&mut **tx).await?)
}

/// Offers nights, all or none. Gives them as they are now.
#[tracing::instrument(name = "sql stays.put_nights", skip_all, err(level = "debug"))]
pub async fn put_nights(db: &Db, sku: &Sku, offer: &Offer, edit: &Edit) -> Result<Vec<Night>, Error> {
    retry(|| async {
        let mut tx = db.begin().await?;
        write(&mut tx, sku, edit, |details| details.nights = Some(offer.clone())).await?;
        add_missing(&mut tx, sku, offer).await?;
        locks::levels_of_nights(&mut tx, sku, offer.from, offer.to).await?;
        let before = nights_in(&mut tx, sku, offer.from, offer.to).await?;
        let taken = |night: &Night| night.sold() + night.level.held;
        let short: Vec<Night> = before.into_iter().filter(|night| taken(night) > offer.capacity).collect();
        if !short.is_empty() {
            return Err(Error::CapacityBelowSold(short));
        }
        change(&mut tx, sku, offer, edit.at).await?;
        let after = nights_in(&mut tx, sku, offer.from, offer.to).await?;
        tx.commit().await?;
        Ok(after)
    })
    .await
}

/// Every night gets its level: at first without rooms, so that all that changes is a movement. In the order
/// of their keys, as stock is locked everywhere.
async fn add_missing(tx: &mut Tx, sku: &Sku, offer: &Offer) -> Result<()> {
    let (keys, dates): (Vec<Sku>, Vec<SqlDate>) =
        stay::nights(offer.from, offer.to).map(|night| (sku.night(night), night.to_sqlx())).unzip();
    sqlx::query!(
        "INSERT INTO stock_levels (sku, night, on_hand, held, capacity)
         SELECT sku, night, 0, 0, 0 FROM unnest($1::text[], $2::date[]) AS n (sku, night) ORDER BY sku
         ON CONFLICT (sku) DO NOTHING",
        keys as _,
        dates as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn change(tx: &mut Tx, sku: &Sku, offer: &Offer, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "WITH before AS (
             SELECT sku, capacity FROM stock_levels WHERE product = $1 AND night >= $2 AND night < $3
         ), level AS (
             UPDATE stock_levels s
             SET on_hand = s.on_hand + $4 - s.capacity, capacity = $4, unit_price = $5
             FROM before WHERE s.sku = before.sku
             RETURNING s.sku, $4 - before.capacity AS delta, s.on_hand, s.held
         )
         INSERT INTO stock_movements (sku, kind, on_hand_delta, held_delta, on_hand_after, held_after, reason,
                                      at)
         SELECT sku, $6, delta, 0, on_hand, held, 'capacity', $7 FROM level WHERE delta <> 0 ORDER BY sku",
        sku.as_str(),
        offer.from.to_sqlx(),
        offer.to.to_sqlx(),
        offer.capacity,
        offer.unit_price,
        Movement::Adjusted.as_str(),
        sql(at)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
