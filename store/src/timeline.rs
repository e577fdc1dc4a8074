//! What happened to an order, oldest first.

use domain::{OrderId, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use crate::{Db, Error, Result, SqlTime, Tx, orders::Locked, sql};

#[derive(Debug, Clone)]
pub struct Entry {
    pub at: Timestamp,
    pub kind: String,
    pub data: Value,
}

/// An entry: whose, when, what.
pub(crate) type New<Of> = (Of, Timestamp, &'static str, Value);
/// The same of many entries, a list each.
pub(crate) type Columns<'a> = (Vec<Uuid>, Vec<SqlTime>, Vec<&'static str>, Vec<&'a Value>);

/// Appends entries within the transaction of the change they tell of. Clocks of several machines
/// meet here, so an entry is never dated before the one it follows. Locks the order, if that has not been done.
pub(crate) async fn append(
    tx: &mut Tx,
    order: OrderId,
    at: Timestamp,
    entries: &[(&'static str, Value)],
) -> Result<()> {
    // The entries get their numbers behind the sort, which is behind the lock.
    let (kinds, data): (Vec<&str>, Vec<&Value>) = entries.iter().map(|(kind, data)| (*kind, data)).unzip();
    sqlx::query!(
        "INSERT INTO timeline (order_id, at, type, data)
         SELECT $1, (SELECT timeline_at($1, $2)), type, data
         FROM unnest($3::text[], $4::jsonb[]) WITH ORDINALITY AS e (type, data, position)
         ORDER BY position",
        order.uuid(),
        sql(at),
        kinds as _,
        data as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The same for many orders. A statement sees what was committed before it began, and one that waits for a lock sees no
/// more: so the lock must be had before this one. Who holds a [`Locked`] has it.
pub(crate) async fn append_all(tx: &mut Tx, entries: &[New<&Locked>]) -> Result<()> {
    let (orders, times, kinds, data): Columns<'_> =
        entries.iter().map(|(order, at, kind, data)| (order.id.uuid(), sql(*at), *kind, data)).collect();
    sqlx::query!(
        "INSERT INTO timeline (order_id, at, type, data)
         SELECT order_id, greatest(at, (SELECT t.at FROM timeline t WHERE t.order_id = e.order_id
                                        ORDER BY t.id DESC LIMIT 1)), type, data
         FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[])
              WITH ORDINALITY AS e (order_id, at, type, data, position)
         ORDER BY position",
        &orders,
        times as _,
        kinds as _,
        data as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes the first entries of new orders.
pub(crate) async fn begin(tx: &mut Tx, entries: &[New<OrderId>]) -> Result<()> {
    let (orders, times, kinds, data): Columns<'_> =
        entries.iter().map(|(order, at, kind, data)| (order.uuid(), sql(*at), *kind, data)).collect();
    sqlx::query!(
        "INSERT INTO timeline (order_id, at, type, data)
         SELECT order_id, at, type, data
         FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[])
              WITH ORDINALITY AS e (order_id, at, type, data, position)
         ORDER BY position",
        &orders,
        times as _,
        kinds as _,
        data as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[tracing::instrument(name = "sql timeline.of_order", skip_all, err(level = "debug"))]
pub async fn of_order(db: &Db, order: OrderId) -> Result<Vec<Entry>> {
    let entries = sqlx::query_as!(
        Entry,
        "SELECT at, type AS kind, data FROM timeline WHERE order_id = $1 ORDER BY id",
        order.uuid()
    )
    .fetch_all(db.pool())
    .await?;
    match entries.is_empty() {
        true => Err(Error::NotFound), // every order has at least `order.placed`
        false => Ok(entries),
    }
}
