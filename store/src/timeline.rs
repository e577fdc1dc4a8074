//! What happened to an order, oldest first.

use domain::{OrderId, Timestamp};
use serde_json::Value;

use crate::{Db, Error, Result, SqlTime, Tx, orders::Locked, sql};

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
pub(crate) type New<Of> = (Of, Timestamp, &'static str, Value);

/// Appends entries within the transaction of the change they tell of. Clocks of several machines
/// meet here, so an entry is never dated before the one it follows. Locks the order, if that has not been done.
pub(crate) async fn append(
    tx: &mut Tx,
    order: OrderId,
    at: Timestamp,
    entries: &[(&'static str, Value)],
) -> Result<()> {
    // The entries get their numbers behind the sort, which is behind the lock.
    sqlx::query(
        "INSERT INTO timeline (order_id, at, type, data)
         SELECT $1, (SELECT timeline_at($1, $2)), type, data
         FROM unnest($3::text[], $4::jsonb[]) WITH ORDINALITY AS e (type, data, position)
         ORDER BY position",
    )
    .bind(order.uuid())
    .bind(sql(at))
    .bind(entries.iter().map(|(kind, _)| *kind).collect::<Vec<_>>())
    .bind(entries.iter().map(|(_, data)| data).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The same for many orders. A statement sees what was committed before it began, and one that waits for a lock sees no
/// more: so the lock must be had before this one. Who holds a [`Locked`] has it.
pub(crate) async fn append_all(tx: &mut Tx, entries: &[New<&Locked>]) -> Result<()> {
    let entries: Vec<New<OrderId>> =
        entries.iter().map(|(order, at, kind, data)| (order.id, *at, *kind, data.clone())).collect();
    write(
        tx,
        &entries,
        "INSERT INTO timeline (order_id, at, type, data)
         SELECT order_id, greatest(at, (SELECT t.at FROM timeline t WHERE t.order_id = e.order_id ORDER BY t.id DESC LIMIT 1)),
                type, data
         FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[])
              WITH ORDINALITY AS e (order_id, at, type, data, position)
         ORDER BY position",
    )
    .await
}

/// Writes the first entries of new orders.
pub(crate) async fn begin(tx: &mut Tx, entries: &[New<OrderId>]) -> Result<()> {
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

async fn write(tx: &mut Tx, entries: &[New<OrderId>], statement: &'static str) -> Result<()> {
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
