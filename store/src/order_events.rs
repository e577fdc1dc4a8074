//! Writing what happened to orders, in the transaction of the change: to the timeline always, and to the
//! stream of public events what others are told ([`OrderEvent::public`]).

use std::collections::HashMap;

use domain::{
    OrderId, Timestamp,
    event::{EventType, OrderEvent},
    public_event::Cause,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Result, SqlTime, Tx, cause, events::salt, orders::Locked, sql};

/// An event: whose, when, what.
pub(crate) type New<Of> = (Of, Timestamp, OrderEvent);

/// Where an entry has it, beside the data of its event, who asked for what happened. No event has such a
/// field, and others are not told.
pub(crate) const ASKED_BY: &str = "asked_by";

/// Events as a statement takes them, a list of each column.
#[derive(Default)]
struct Columns {
    orders: Vec<Uuid>,
    times: Vec<SqlTime>,
    types: Vec<EventType>,
    data: Vec<Value>,
    /// What others are told of each, if anything.
    public: Vec<Option<Value>>,
    /// How many public events of its order there are among these, up to each.
    told: Vec<i32>,
    causes: Vec<Option<Cause>>,
    salts: Vec<i64>,
}

impl Columns {
    fn of<'a>(events: impl Iterator<Item = (OrderId, Timestamp, &'a OrderEvent)>) -> Self {
        let mut columns = Self::default();
        let mut told: HashMap<OrderId, i32> = HashMap::new();
        for (order, at, event) in events {
            let public = event.public();
            let told = told.entry(order).or_default();
            *told += i32::from(public.is_some());
            let cause = cause::of_order(order);
            columns.orders.push(order.uuid());
            columns.times.push(sql(at));
            columns.types.push(event.event_type());
            columns.data.push(event.data());
            columns.public.push(public.map(|data| json!(data)));
            columns.told.push(*told);
            columns.causes.push(cause.unless_empty().cloned());
            columns.salts.push(salt());
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

/// Writes events in their order, behind `$end`: what there is of an event's order so far. The timeline comes
/// first, so that an event has its number behind the order's lock. `$cause` is the event's, completed by that
/// of its order.
macro_rules! write {
    ($tx:ident, $end:literal, $cause:literal, $events:expr) => {{
        let events: Columns = $events;
        let written = sqlx::query!(
            "WITH event AS MATERIALIZED (
                 SELECT e.order_id, e.at, greatest(e.at, so_far.at) AS dated, type, data, public,
                        so_far.told + e.told AS told, cause, salt, position
                 FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[], $5::jsonb[], $6::int[],
                             $7::jsonb[], $8::bigint[])
                      WITH ORDINALITY AS e (order_id, at, type, data, public, told, cause, salt, position)
                 CROSS JOIN LATERAL ("
                + $end
                + ") AS so_far
             ), entered AS (
                 INSERT INTO timeline (order_id, at, type, data, told)
                 SELECT order_id, dated, type, data, told FROM event ORDER BY position RETURNING 1
             )
             INSERT INTO events (order_id, sequence, type, at, data, cause, salt)
             SELECT order_id, told, type, at, public, "
                + $cause
                + ", salt
             FROM event WHERE public IS NOT NULL AND EXISTS (SELECT FROM entered)
             ORDER BY position",
            &events.orders,
            events.times as _,
            events.types as _,
            &events.data,
            &events.public as _,
            &events.told,
            events.causes as _,
            &events.salts
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
    write!(
        tx,
        "SELECT at, told FROM timeline_end($1[1], $2[1])",
        "(SELECT nullif(coalesce(o.cause, '{}') || coalesce(event.cause, '{}'), '{}')
          FROM orders o WHERE o.id = order_id)",
        events
    )
}

/// The same for many orders. A statement sees what was committed before it began, and one that waits for a
/// lock sees no more: so the lock must be had before this one. Who holds a [`Locked`] has it.
pub(crate) async fn append_all(tx: &mut Tx, events: &[New<&Locked>]) -> Result<()> {
    write!(
        tx,
        "SELECT max(t.at) AS at, coalesce(max(t.told), 0) AS told FROM timeline t
         WHERE t.order_id = e.order_id",
        "(SELECT nullif(coalesce(o.cause, '{}') || coalesce(event.cause, '{}'), '{}')
          FROM orders o WHERE o.id = order_id)",
        Columns::of(events.iter().map(|(order, at, event)| (order.id, *at, event)))
    )
}

/// The first events of new orders.
pub(crate) async fn begin(tx: &mut Tx, events: &[New<OrderId>]) -> Result<()> {
    write!(
        tx,
        "SELECT NULL::timestamptz AS at, 0 AS told",
        "cause",
        Columns::of(events.iter().map(|(order, at, event)| (*order, *at, event)))
    )
}
