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

/// Appends entries within the transaction of the change they tell of. Clocks of several machines
/// meet here, so an entry is never dated before the one it follows.
pub(crate) async fn append(
    tx: &mut Tx<'_>,
    order: OrderId,
    at: Timestamp,
    entries: &[(&str, Value)],
) -> Result<()> {
    let (kinds, data): (Vec<String>, Vec<Value>) =
        entries.iter().map(|(kind, data)| ((*kind).to_owned(), data.clone())).unzip();
    sqlx::query(
        "INSERT INTO timeline (order_id, at, type, data)
         SELECT $1, greatest($2, (SELECT max(at) FROM timeline WHERE order_id = $1)), e.type, e.data
         FROM unnest($3::text[], $4::jsonb[]) WITH ORDINALITY AS e (type, data, position)
         ORDER BY e.position",
    )
    .bind(order.uuid())
    .bind(sql(at))
    .bind(kinds)
    .bind(data)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes the first entries of new orders.
pub(crate) async fn begin(
    tx: &mut Tx<'_>,
    entries: &[(OrderId, Timestamp, &'static str, Value)],
) -> Result<()> {
    sqlx::query(
        "INSERT INTO timeline (order_id, at, type, data)
         SELECT order_id, at, type, data
         FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[])
              WITH ORDINALITY AS e (order_id, at, type, data, position)
         ORDER BY position",
    )
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
