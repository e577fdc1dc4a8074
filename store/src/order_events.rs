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

/// Where an entry has it, beside the data of its event, who asked for what happened. No event has such a
/// field, and the outbox has none of it.
pub(crate) const ASKED_BY: &str = "asked_by";

/// Events as a statement takes them, a list of each column.
#[derive(Default)]
struct Columns {
    orders: Vec<Uuid>,
    times: Vec<SqlTime>,
    types: Vec<EventType>,
    data: Vec<Value>,
    /// What the outbox gets of each, if it gets anything.
    outbox_data: Vec<Option<Value>>,
}

impl Columns {
    fn of<'a>(events: impl Iterator<Item = (OrderId, Timestamp, &'a OrderEvent)>) -> Self {
        let mut columns = Self::default();
        for (order, at, event) in events {
            columns.orders.push(order.uuid());
            columns.times.push(sql(at));
            columns.types.push(event.event_type());
            columns.data.push(event.data());
            columns.outbox_data.push(event.outbox_data());
        }
        columns
    }

    /// All of them happened because somebody asked.
    fn asked_by(mut self, by: Option<&str>) -> Self {
        if let Some(by) = by {
            self.data.iter_mut().for_each(|data| data[ASKED_BY] = by.into());
        }
        self
    }
}

/// Writes events in their order. `$at` is their time on the timeline; the outbox has it as it was given, and
/// gets its rows after that, so behind the order's lock.
macro_rules! write {
    ($tx:ident, $at:literal, $events:expr) => {{
        let events: Columns = $events;
        let written = sqlx::query!(
            "WITH event AS (
                 SELECT order_id, at, type, data, outbox_data, position
                 FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[], $5::jsonb[])
                      WITH ORDINALITY AS e (order_id, at, type, data, outbox_data, position)
             ), told AS (
                 INSERT INTO timeline (order_id, at, type, data)
                 SELECT order_id, "
                + $at
                + ", type, data FROM event ORDER BY position RETURNING 1
             )
             INSERT INTO outbox (order_id, at, type, data)
             SELECT order_id, at, type, outbox_data FROM event
             WHERE outbox_data IS NOT NULL AND EXISTS (SELECT FROM told)
             ORDER BY position",
            &events.orders,
            events.times as _,
            events.types as _,
            &events.data,
            &events.outbox_data as _
        );
        written.execute(&mut **$tx).await?;
        Ok(())
    }};
}

/// Clocks of several machines meet on a timeline, so an event is never dated there before the one it follows.
/// Locks the order, if that has not been done.
pub(crate) async fn append(tx: &mut Tx, order: OrderId, at: Timestamp, events: &[OrderEvent]) -> Result<()> {
    append_by(tx, order, at, None, events).await
}

/// The same of what somebody asked for; none if nobody did, or nobody knows who.
pub(crate) async fn append_by(
    tx: &mut Tx,
    order: OrderId,
    at: Timestamp,
    by: Option<&str>,
    events: &[OrderEvent],
) -> Result<()> {
    let events = Columns::of(events.iter().map(|event| (order, at, event))).asked_by(by);
    // The entries get their numbers behind the sort, which is behind the lock.
    write!(tx, "(SELECT timeline_at($1[1], $2[1]))", events)
}

/// The same for many orders. A statement sees what was committed before it began, and one that waits for a
/// lock sees no more: so the lock must be had before this one. Who holds a [`Locked`] has it.
pub(crate) async fn append_all(tx: &mut Tx, events: &[New<&Locked>]) -> Result<()> {
    write!(
        tx,
        "greatest(at, (SELECT t.at FROM timeline t
                       WHERE t.order_id = event.order_id ORDER BY t.id DESC LIMIT 1))",
        Columns::of(events.iter().map(|(order, at, event)| (order.id, *at, event)))
    )
}

/// The first events of new orders.
pub(crate) async fn begin(tx: &mut Tx, events: &[New<OrderId>]) -> Result<()> {
    write!(tx, "at", Columns::of(events.iter().map(|(order, at, event)| (*order, *at, event))))
}
