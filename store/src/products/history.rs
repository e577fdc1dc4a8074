//! The events of products: the truth that the rows of `products` are made from.

use std::collections::HashMap;

use domain::{
    product::{self, Event},
    stock::Sku,
};
use sqlx::types::Json;

use super::{
    Details, Product, SqlTime, project,
    search::{forget_unused, made_by},
};
use crate::{Db, Fault, Result, Tx, audit::SHOWN, locks, retry::retry, sql};

/// Products that are read at once.
const PAGE: i64 = 500;
/// Products that are written in one transaction.
const BATCH: usize = 100;

/// Events of which a condition is true, each with its product's SKU.
macro_rules! events {
    ($condition:literal, $($argument:expr),+) => {
        sqlx::query!(
            "SELECT sku, version, type AS kind, at, by, changes FROM product_events WHERE " + $condition,
            $($argument),+
        )
        .map(|row| {
            let (at, changes) = (row.at.to_jiff(), row.changes.0);
            (row.sku, Event { version: row.version, kind: row.kind, at, by: row.by, changes })
        })
    };
}

/// Appends an event; `false` if another one got its number first.
pub(super) async fn append(tx: &mut Tx, sku: &Sku, event: &Event) -> Result<bool> {
    let done = sqlx::query!(
        "INSERT INTO product_events (sku, version, type, at, by, changes) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING",
        sku.as_str(),
        event.version,
        event.kind.as_str(),
        sql(event.at),
        event.by,
        Json(&event.changes) as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The events of a product, newest first, from before the version `before`. Without one there are none only
/// if there is no such product: each has at least `product.created`.
#[tracing::instrument(name = "sql products.history", skip_all, err(level = "debug"))]
pub async fn of_product(db: &Db, sku: &Sku, before: Option<i32>, limit: i64) -> Result<Vec<Event>> {
    let events = events!(
        "sku = $1 AND version < $2 ORDER BY version DESC LIMIT $3",
        sku.as_str(),
        before.unwrap_or(i32::MAX),
        limit
    );
    Ok(events.fetch_all(db.pool()).await?.into_iter().map(|(_, event)| event).collect())
}

/// Writes every product anew from its events. Gives how many; an error if the events of some add up to none.
pub async fn rebuild(db: &Db) -> Result<usize> {
    match rebuild_all(db, None).await? {
        Rebuilt { done, unfit: 0 } => Ok(done),
        Rebuilt { done, unfit } => {
            Err(Fault::corrupt(format!("{unfit} products, which the log names; {done} are written anew")))
        }
    }
}

/// The same for those whose words are of another idea of a word, or that have none: rows from before there
/// was this one. A product that cannot be written anew is as it was, and in the log; it keeps nobody from a
/// new program.
pub(crate) async fn index_rest(db: &Db) -> Result<()> {
    rebuild_all(db, Some(&made_by())).await?;
    Ok(())
}

#[derive(Default)]
struct Rebuilt {
    done: usize,
    unfit: usize,
}

/// Of all products, or of those that are not made by this idea of a word.
async fn rebuild_all(db: &Db, unless_made_by: Option<&str>) -> Result<Rebuilt> {
    let mut rebuilt = Rebuilt::default();
    let mut after = String::new();
    loop {
        let skus = next(db, &after, unless_made_by).await?;
        let Some(last) = skus.last() else { break };
        last.as_str().clone_into(&mut after);
        for batch in skus.chunks(BATCH) {
            rebuild_batch(db, batch, &mut rebuilt).await?;
        }
    }
    if rebuilt.done > 0
        && let Err(error) = forget_unused(db).await
    {
        tracing::warn!(%error, "words that no product has any more are kept");
    }
    Ok(rebuilt)
}

async fn next(db: &Db, after: &str, unless_made_by: Option<&str>) -> Result<Vec<Sku>> {
    let skus = match unless_made_by {
        None => {
            let all = sqlx::query_scalar!(
                "SELECT DISTINCT sku FROM product_events WHERE sku > $1 ORDER BY sku LIMIT $2",
                after,
                PAGE
            );
            all.fetch_all(db.pool()).await
        }
        Some(made_by) => {
            let rest = sqlx::query_scalar!(
                "SELECT sku FROM products
                 WHERE sku > $1 AND (search IS NULL OR NOT search @@ $3::text::tsquery)
                 ORDER BY sku LIMIT $2",
                after,
                PAGE,
                made_by
            );
            rest.fetch_all(db.pool()).await
        }
    };
    Ok(skus?)
}

/// Together if all of them can be written; else one by one, which finds those that cannot.
async fn rebuild_batch(db: &Db, skus: &[Sku], rebuilt: &mut Rebuilt) -> Result<()> {
    match rebuild_some(db, skus).await {
        Err(error) if error.is_outage() => return Err(error),
        Err(_) => {}
        Ok(()) => {
            rebuilt.done += skus.len();
            return Ok(());
        }
    }
    for sku in skus {
        match rebuild_some(db, std::slice::from_ref(sku)).await {
            Err(error) if error.is_outage() => return Err(error),
            Err(error) => {
                tracing::error!(%sku, %error, "the product cannot be written anew from its events");
                rebuilt.unfit += 1;
            }
            Ok(()) => rebuilt.done += 1,
        }
    }
    Ok(())
}

async fn rebuild_some(db: &Db, skus: &[Sku]) -> Result<()> {
    retry(|| async {
        let mut tx = db.begin().await?;
        locks::products(&mut tx, skus).await?;
        let mut events = of(&mut tx, skus).await?;
        let mut products = Vec::new();
        for sku in skus {
            let events = events.remove(sku).unwrap_or_default();
            let product = product::fold(sku, &events);
            products.extend(product.map_err(|unfit| Fault::corrupt(format!("{sku}: {unfit}")))?);
        }
        project(&mut tx, &products).await?;
        tx.commit().await?;
        Ok(())
    })
    .await
}

/// All events of some products, oldest first.
async fn of(tx: &mut Tx, skus: &[Sku]) -> Result<HashMap<Sku, Vec<Event>>> {
    let all = events!("sku = ANY($1) ORDER BY sku, version", skus as _);
    let mut events: HashMap<Sku, Vec<Event>> = HashMap::new();
    for (sku, event) in all.fetch_all(&mut **tx).await? {
        events.entry(sku).or_default().push(event);
    }
    Ok(events)
}

/// For the audit: how many rows are not what their events add up to, and some of them, each as a line of
/// text.
pub(crate) async fn differing(db: &Db) -> Result<(usize, Vec<String>)> {
    let (mut broken, mut shown) = (0, Vec::new());
    let mut after = String::new();
    let mut tx = db.begin().await?;
    // A product that is changed meanwhile must not look torn.
    sqlx::query!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
    loop {
        let products = products!("products WHERE sku > $1 ORDER BY sku LIMIT $2", after, PAGE);
        let products = products.fetch_all(&mut *tx).await?;
        let Some(last) = products.last() else { return Ok((broken, shown)) };
        last.sku.as_str().clone_into(&mut after);
        let skus: Vec<Sku> = products.iter().map(|product| product.sku.clone()).collect();
        let mut events = of(&mut tx, &skus).await?;
        for product in products {
            let events = events.remove(&product.sku).unwrap_or_default();
            if let Some(difference) = difference(&product, &events) {
                broken += 1;
                shown.extend((shown.len() < SHOWN).then_some(difference));
            }
        }
    }
}

fn difference(product: &Product, events: &[Event]) -> Option<String> {
    let sku = &product.sku;
    match product::fold(sku, events) {
        Ok(Some(folded)) if folded == *product => None,
        Ok(Some(folded)) => {
            Some(format!("{sku}: the row is version {}, its events make {}", product.version, folded.version))
        }
        Ok(None) => Some(format!("{sku}: has no events")),
        Err(unfit) => Some(format!("{sku}: {unfit}")),
    }
}
