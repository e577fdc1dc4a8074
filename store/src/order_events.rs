//! Writing what happened to orders, in the transaction of the change: to the timeline always, and to the
//! outbox what others should know ([`OrderEvent::outbox_data`]).

use domain::{
    OrderId, Timestamp,
    event::{EventType, OrderEvent},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{Result, SqlTime, Tx, orders::Locked, sql};

/// An event: whose, when, what.
pub(crate) type New<Of> = (Of, Timestamp, OrderEvent);

/// Events as a statement takes them, a list of each column.
#[derive(Default)]
struct Columns {
    orders: Vec<Uuid>,
    times: Vec<SqlTime>,
    types: Vec<EventType>,
    data: Vec<Value>,
}

impl Columns {
    fn push(&mut self, order: OrderId, at: Timestamp, of: EventType, data: Value) {
        self.orders.push(order.uuid());
        self.times.push(sql(at));
        self.types.push(of);
        self.data.push(data);
    }
}

/// The rows of the timeline, and those of the outbox.
fn rows<'a>(events: impl Iterator<Item = (OrderId, Timestamp, &'a OrderEvent)>) -> (Columns, Columns) {
    let (mut timeline, mut outbox) = (Columns::default(), Columns::default());
    for (order, at, event) in events {
        timeline.push(order, at, event.event_type(), event.data());
        if let Some(data) = event.outbox_data() {
            outbox.push(order, at, event.event_type(), data);
        }
    }
    (timeline, outbox)
}

/// Clocks of several machines meet on a timeline, so an event is never dated there before the one it follows.
/// Locks the order, if that has not been done.
pub(crate) async fn append(tx: &mut Tx, order: OrderId, at: Timestamp, events: &[OrderEvent]) -> Result<()> {
    let (timeline, outbox) = rows(events.iter().map(|event| (order, at, event)));
    // The entries get their numbers behind the sort, which is behind the lock.
    sqlx::query!(
        "INSERT INTO timeline (order_id, at, type, data)
         SELECT $1, (SELECT timeline_at($1, $2)), type, data
         FROM unnest($3::text[], $4::jsonb[]) WITH ORDINALITY AS e (type, data, position)
         ORDER BY position",
        order.uuid(),
        sql(at),
        timeline.types as _,
        &timeline.data
    )
    .execute(&mut **tx)
    .await?;
    publish(tx, outbox).await
}

/// The same for many orders. A statement sees what was committed before it began, and one that waits for a
/// lock sees no more: so the lock must be had before this one. Who holds a [`Locked`] has it.
pub(crate) async fn append_all(tx: &mut Tx, events: &[New<&Locked>]) -> Result<()> {
    let (timeline, outbox) = rows(events.iter().map(|(order, at, event)| (order.id, *at, event)));
    sqlx::query!(
        "INSERT INTO timeline (order_id, at, type, data)
         SELECT order_id, greatest(at, (SELECT t.at FROM timeline t WHERE t.order_id = e.order_id
                                        ORDER BY t.id DESC LIMIT 1)), type, data
         FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[])
              WITH ORDINALITY AS e (order_id, at, type, data, position)
         ORDER BY position",
        &timeline.orders,
        timeline.times as _,
        timeline.types as _,
        &timeline.data
    )
    .execute(&mut **tx)
    .await?;
    publish(tx, outbox).await
}

/// The first events of new orders, in one statement: nobody else writes of them yet.
pub(crate) async fn begin(tx: &mut Tx, events: &[New<OrderId>]) -> Result<()> {
    let (timeline, outbox) = rows(events.iter().map(|(order, at, event)| (*order, *at, event)));
    sqlx::query!(
        "WITH published AS (
             INSERT INTO outbox (order_id, at, type, data)
             SELECT order_id, at, type, data
             FROM unnest($5::uuid[], $6::timestamptz[], $7::text[], $8::jsonb[])
                  WITH ORDINALITY AS e (order_id, at, type, data, position)
             ORDER BY position
         )
         INSERT INTO timeline (order_id, at, type, data)
         SELECT order_id, at, type, data
         FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[])
              WITH ORDINALITY AS e (order_id, at, type, data, position)
         ORDER BY position",
        &timeline.orders,
        timeline.times as _,
        timeline.types as _,
        &timeline.data,
        &outbox.orders,
        outbox.times as _,
        outbox.types as _,
        &outbox.data
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn publish(tx: &mut Tx, events: Columns) -> Result<()> {
    if events.orders.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO outbox (order_id, at, type, data)
         SELECT order_id, at, type, data
         FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[])
              WITH ORDINALITY AS e (order_id, at, type, data, position)
         ORDER BY position",
        &events.orders,
        events.times as _,
        events.types as _,
        &events.data
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
