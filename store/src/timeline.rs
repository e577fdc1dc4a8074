//! What happened to an order, oldest first.

use domain::{OrderId, Timestamp};
use serde_json::Value;

use crate::{Db, Error, Result, SqlTime, Tx, sql};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Entry {
    at: SqlTime,
    #[sqlx(rename = "type")]
    pub kind: String,
    pub data: Value,
}

impl Entry {
    pub fn at(&self) -> Timestamp {
        self.at.to_jiff()
    }
}

/// An entry: whose, when, what.
pub(crate) type New = (OrderId, Timestamp, &'static str, Value);

/// Appends entries within the transaction of the change they tell of. Clocks of several machines
/// meet here, so an entry is never dated before the one it follows.
pub(crate) async fn append(
    tx: &mut Tx<'_>,
    order: OrderId,
    at: Timestamp,
    entries: &[(&'static str, Value)],
) -> Result<()> {
    let entries: Vec<New> = entries.iter().map(|(kind, data)| (order, at, *kind, data.clone())).collect();
    append_all(tx, &entries).await
}

/// The same for many orders.
pub(crate) async fn append_all(tx: &mut Tx<'_>, entries: &[New]) -> Result<()> {
    write(
        tx,
        entries,
        "INSERT INTO timeline (order_id, at, type, data)
         SELECT order_id, greatest(at, (SELECT max(at) FROM timeline t WHERE t.order_id = e.order_id)), type, data
         FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[])
              WITH ORDINALITY AS e (order_id, at, type, data, position)
         ORDER BY position",
    )
    .await
}

/// Writes the first entries of new orders.
pub(crate) async fn begin(tx: &mut Tx<'_>, entries: &[New]) -> Result<()> {
    write(
        tx,
        entries,
        "INSERT INTO timeline (order_id, at, type, data)
         SELECT order_id, at, type, data
         FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[])
              WITH ORDINALITY AS e (order_id, at, type, data, position)
         ORDER BY position",
    )
    .await
}

async fn write(tx: &mut Tx<'_>, entries: &[New], statement: &'static str) -> Result<()> {
    sqlx::query(statement)
        .bind(entries.iter().map(|(order, ..)| order.uuid()).collect::<Vec<_>>())
        .bind(entries.iter().map(|(_, at, ..)| sql(*at)).collect::<Vec<_>>())
        .bind(entries.iter().map(|(_, _, kind, _)| *kind).collect::<Vec<_>>())
        .bind(entries.iter().map(|(.., data)| data).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

#[tracing::instrument(name = "sql timeline.of_order", skip_all, err(level = "debug"))]
pub async fn of_order(db: &Db, order: OrderId) -> Result<Vec<Entry>> {
    let entries: Vec<Entry> =
        sqlx::query_as("SELECT at, type, data FROM timeline WHERE order_id = $1 ORDER BY id")
            .bind(order.uuid())
            .fetch_all(db.pool())
            .await?;
    match entries.is_empty() {
        true => Err(Error::NotFound), // every order has at least `order.placed`
        false => Ok(entries),
    }
}
