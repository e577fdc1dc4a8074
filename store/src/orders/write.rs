//! Writing many new orders at once: a statement per table, whatever their number.

use domain::{
    OrderId,
    event::{EventLine, OrderEvent},
    metadata::Metadata,
    order::{Line, Order},
};
use serde_json::{Value, json};

use crate::{Error, Idempotency, Result, SqlTime, Tx, order_events, sql};

/// Writes orders with their lines, timelines and outbox rows. Each begins unpaid, also one that is free.
/// [`Error::Raced`] if a key was taken since it was looked up.
pub(super) async fn orders(tx: &mut Tx, orders: &[(&Order, &Idempotency)]) -> Result<()> {
    if heads(tx, orders).await? != orders.len() as u64 {
        return Err(Error::Raced);
    }
    lines(tx, orders).await?;
    let mut events = Vec::with_capacity(2 * orders.len());
    for (order, _) in orders {
        let lines: Vec<EventLine> = order.lines.iter().map(EventLine::from).collect();
        let placed = OrderEvent::OrderPlaced {
            total: order.total,
            currency: order.currency,
            in_place_of: None,
            customer_id: order.customer.id.clone(),
            lines: lines.clone(),
        };
        events.push((order.id, order.placed_at, placed));
        events.push((order.id, order.placed_at, OrderEvent::StockHeld { lines }));
    }
    order_events::begin(tx, &events).await
}

async fn heads(tx: &mut Tx, orders: &[(&Order, &Idempotency)]) -> Result<u64> {
    let times = |of: fn(&Order) -> SqlTime| orders.iter().map(|(order, _)| of(order)).collect::<Vec<_>>();
    let texts = |of: fn(&Order) -> &str| orders.iter().map(|(order, _)| of(order)).collect::<Vec<_>>();
    let written = sqlx::query!(
        "INSERT INTO orders (id, status, payment_status, version, currency, total, customer_id, customer, policy,
                             metadata, placed_at, payment_due_at, idempotency_key, request_hash, payment_method,
                             metadata_sent)
         SELECT id, 'awaiting_payment', 'unpaid', 1, currency, total, customer_id, customer, policy, metadata,
                placed_at, payment_due_at, idempotency_key, request_hash, payment_method, metadata_sent::json
         FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::jsonb[], $6::jsonb[], $7::jsonb[],
                     $8::timestamptz[], $9::timestamptz[], $10::text[], $11::bytea[], $12::text[], $13::text[])
              AS o (id, currency, total, customer_id, customer, policy, metadata, placed_at, payment_due_at,
                    idempotency_key, request_hash, payment_method, metadata_sent)
         ON CONFLICT (idempotency_key) DO NOTHING",
        orders.iter().map(|(order, _)| order.id).collect::<Vec<_>>() as _,
        texts(|order| order.currency.code()) as _,
        &orders.iter().map(|(order, _)| order.total).collect::<Vec<_>>(),
        texts(|order| &order.customer.id) as _,
        orders.iter().map(|(order, _)| &order.customer).collect::<Vec<_>>() as _,
        orders.iter().map(|(order, _)| &order.policy).collect::<Vec<_>>() as _,
        &orders.iter().map(|(order, _)| for_the_version_before(&order.metadata)).collect::<Vec<_>>(),
        times(|order| sql(order.placed_at)) as _,
        times(|order| sql(order.payment_due_at)) as _,
        orders.iter().map(|(_, idempotency)| idempotency.key.as_str()).collect::<Vec<_>>() as _,
        orders.iter().map(|(_, idempotency)| idempotency.request_hash.as_slice()).collect::<Vec<_>>() as _,
        orders.iter().map(|(order, _)| order.payment_method.as_deref()).collect::<Vec<_>>() as _,
        texts(|order| order.metadata.as_str()) as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(written.rows_affected())
}

/// Metadata as the version before reads it, which may run beside this one: in jsonb. With numbers that would
/// become many digits there, it is nothing.
fn for_the_version_before(metadata: &Metadata) -> Value {
    let value = serde_json::from_str(metadata.as_str()).ok().filter(is_short_in_jsonb);
    value.unwrap_or_else(|| json!({}))
}

fn is_short_in_jsonb(value: &Value) -> bool {
    match value {
        Value::Number(number) => match number.as_f64().map(f64::abs) {
            Some(size) => number.is_i64() || number.is_u64() || size == 0.0 || (1e-15..1e15).contains(&size),
            None => false,
        },
        Value::Array(items) => items.iter().all(is_short_in_jsonb),
        Value::Object(fields) => fields.values().all(is_short_in_jsonb),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

async fn lines(tx: &mut Tx, orders: &[(&Order, &Idempotency)]) -> Result<()> {
    let all: Vec<(OrderId, &Line)> =
        orders.iter().flat_map(|(order, _)| order.lines.iter().map(|line| (order.id, line))).collect();
    sqlx::query!(
        "INSERT INTO order_lines (order_id, sku, name, quantity, unit_price, stay)
         SELECT order_id, sku, name, quantity, unit_price, stay
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::jsonb[])
              AS line (order_id, sku, name, quantity, unit_price, stay)",
        all.iter().map(|(order, _)| *order).collect::<Vec<_>>() as _,
        all.iter().map(|(_, line)| &line.sku).collect::<Vec<_>>() as _,
        all.iter().map(|(_, line)| line.name.as_str()).collect::<Vec<_>>() as _,
        &all.iter().map(|(_, line)| line.quantity).collect::<Vec<_>>(),
        &all.iter().map(|(_, line)| line.unit_price).collect::<Vec<_>>(),
        all.iter().map(|(_, line)| line.stay.as_ref()).collect::<Vec<_>>() as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
