//! The events of products: the truth that the rows of `products` are made from.

use std::collections::HashMap;

use domain::{
    product::{self, Changes, Event},
    stock::Sku,
};
use sqlx::types::Json;

use super::{
    Product, Row, columns, project,
    search::{forget_unused, made_by},
};
use crate::{Db, Error, Result, SqlTime, Tx, audit::SHOWN, retry::retry, sql};

/// Products that are read at once.
const PAGE: i64 = 500;
/// Products that are written in one transaction.
const BATCH: usize = 100;

#[derive(sqlx::FromRow)]
struct EventRow {
    sku: String,
    version: i32,
    #[sqlx(rename = "type")]
    kind: String,
    at: SqlTime,
    by: String,
    changes: Json<Changes>,
}

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Self {
        let EventRow { version, kind, by, .. } = row;
        Self { version, kind, at: row.at.to_jiff(), by, changes: row.changes.0 }
    }
}

/// Appends an event; `false` if another one got its number first.
pub(super) async fn append(tx: &mut Tx, sku: &Sku, event: &Event) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO product_events (sku, version, type, at, by, changes) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING",
    )
    .bind(sku.as_str())
    .bind(event.version)
    .bind(&event.kind)
    .bind(sql(event.at))
    .bind(&event.by)
    .bind(Json(&event.changes))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The events of a product, newest first, from before the version `before`.
#[tracing::instrument(name = "sql products.history", skip_all, err(level = "debug"))]
pub async fn of_product(db: &Db, sku: &Sku, before: Option<i32>, limit: i64) -> Result<Vec<Event>> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "SELECT sku, version, type, at, by, changes FROM product_events
         WHERE sku = $1 AND version < $2 ORDER BY version DESC LIMIT $3",
    )
    .bind(sku.as_str())
    .bind(before.unwrap_or(i32::MAX))
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    match rows.is_empty() && before.is_none() {
        true => Err(Error::NotFound), // every product has at least `product.created`
        false => Ok(rows.into_iter().map(Event::from).collect()),
    }
}

/// Writes every product anew from its events. Gives how many; an error if the events of some add up to none.
pub async fn rebuild(db: &Db) -> Result<usize> {
    let next =
        "SELECT DISTINCT sku FROM product_events WHERE sku > $1 AND $3::text IS NULL ORDER BY sku LIMIT $2";
    match rebuild_all(db, next, None).await? {
        Rebuilt { done, unfit: 0 } => Ok(done),
        Rebuilt { done, unfit } => {
            Err(Error::corrupt(format!("{unfit} products, which the log names; {done} are written anew")))
        }
    }
}

/// The same for those whose words are of another idea of a word, or that have none: rows from before there was this one. A
/// product that cannot be written anew is as it was, and in the log; it keeps nobody from a new program.
pub(crate) async fn index_rest(db: &Db) -> Result<()> {
    let next = "SELECT sku FROM products
                WHERE sku > $1 AND (search IS NULL OR NOT search @@ $3::text::tsquery) ORDER BY sku LIMIT $2";
    rebuild_all(db, next, Some(made_by())).await?;
    Ok(())
}

#[derive(Default)]
struct Rebuilt {
    done: usize,
    unfit: usize,
}

async fn rebuild_all(db: &Db, next: &'static str, made_by: Option<String>) -> Result<Rebuilt> {
    let mut rebuilt = Rebuilt::default();
    let mut after = String::new();
    loop {
        let skus = sqlx::query_scalar(next).bind(&after).bind(PAGE).bind(&made_by);
        let skus: Vec<String> = skus.fetch_all(db.pool()).await?;
        let Some(last) = skus.last() else { break };
        after.clone_from(last);
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

/// Together if all of them can be written; else one by one, which finds those that cannot.
async fn rebuild_batch(db: &Db, skus: &[String], rebuilt: &mut Rebuilt) -> Result<()> {
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
                tracing::error!(sku, %error, "the product cannot be written anew from its events");
                rebuilt.unfit += 1;
            }
            Ok(()) => rebuilt.done += 1,
        }
    }
    Ok(())
}

async fn rebuild_some(db: &Db, skus: &[String]) -> Result<()> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let locks = sqlx::query("SELECT FROM products WHERE sku = ANY($1) ORDER BY sku FOR NO KEY UPDATE");
        locks.bind(skus).execute(&mut *tx).await?;
        let mut events = of(&mut tx, skus).await?;
        let mut products = Vec::new();
        for sku in skus {
            let events = events.remove(sku).unwrap_or_default();
            let product = product::fold(&Sku::from_store(sku.clone()), &events);
            products.extend(product.map_err(|unfit| Error::corrupt(format!("{sku}: {unfit}")))?);
        }
        project(&mut tx, &products).await?;
        tx.commit().await?;
        Ok(())
    })
    .await
}

/// All events of some products, oldest first.
async fn of(tx: &mut Tx, skus: &[String]) -> Result<HashMap<String, Vec<Event>>> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "SELECT sku, version, type, at, by, changes FROM product_events WHERE sku = ANY($1) ORDER BY sku, version",
    )
    .bind(skus)
    .fetch_all(&mut **tx)
    .await?;
    let mut events: HashMap<String, Vec<Event>> = HashMap::new();
    for row in rows {
        events.entry(row.sku.clone()).or_default().push(row.into());
    }
    Ok(events)
}

/// For the audit: how many rows are not what their events add up to, and some of them, each as a line of text.
pub(crate) async fn differing(db: &Db) -> Result<(usize, Vec<String>)> {
    let (mut broken, mut shown) = (0, Vec::new());
    let mut after = String::new();
    let mut tx = db.begin().await?;
    // A product that is changed meanwhile must not look torn.
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
    loop {
        let rows: Vec<Row> = sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM products WHERE sku > $1 ORDER BY sku LIMIT $2"
        ))
        .bind(&after)
        .bind(PAGE)
        .fetch_all(&mut *tx)
        .await?;
        let Some(last) = rows.last() else { return Ok((broken, shown)) };
        after.clone_from(&last.sku);
        let skus: Vec<String> = rows.iter().map(|row| row.sku.clone()).collect();
        let mut events = of(&mut tx, &skus).await?;
        for row in rows {
            let events = events.remove(&row.sku).unwrap_or_default();
            if let Some(difference) = difference(row, &events) {
                broken += 1;
                shown.extend((shown.len() < SHOWN).then_some(difference));
            }
        }
    }
}

fn difference(row: Row, events: &[Event]) -> Option<String> {
    let sku = Sku::from_store(row.sku.clone());
    let product = match Product::try_from(row) {
        Ok(product) => product,
        Err(error) => return Some(format!("{sku}: {error}")),
    };
    match product::fold(&sku, events) {
        Ok(Some(folded)) if folded == product => None,
        Ok(Some(folded)) => {
            Some(format!("{sku}: the row is version {}, its events make {}", product.version, folded.version))
        }
        Ok(None) => Some(format!("{sku}: has no events")),
        Err(unfit) => Some(format!("{sku}: {unfit}")),
    }
}
