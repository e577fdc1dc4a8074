//! Placing an order: ONE transaction takes the hold on every line and writes the order, its price
//! snapshot, its timeline and its outbox row. All lines or none.

use std::collections::BTreeMap;

use domain::{
    Invalid, OrderId, Timestamp,
    money::Currency,
    order::{Line, Order, PaymentStatus, Placement, Status},
    stock::{Shortage, Sku},
};
use serde_json::json;
use sqlx::types::Json;

use crate::{Db, Error, Idempotency, Result, Tx, outbox, sql, stock, timeline};

/// The answer to a placement.
#[derive(Debug)]
pub enum Placed {
    New(Box<Order>),
    /// The key was used before for the same request; this is the order of then.
    Replayed(OrderId),
}

/// Places an order under the client's idempotency key.
///
/// The key is looked up after the stock is locked: of twenty equal requests for the last piece, the
/// nineteen that waited for the lock must find the first one's order, not an empty shelf.
#[tracing::instrument(name = "sql orders.place", skip_all, err(level = "debug"))]
pub async fn place(
    db: &Db,
    id: OrderId,
    placement: &Placement,
    idempotency: &Idempotency,
    at: Timestamp,
) -> Result<Placed> {
    let mut tx = db.begin().await?;
    let offers = lock_offers(&mut tx, placement).await?;
    if let Some(id) = replay(&mut tx, idempotency).await? {
        return Ok(Placed::Replayed(id));
    }
    let order = decide(id, placement, &offers, at)?;
    if !insert(&mut tx, &order, idempotency).await? {
        // The same key, for other SKUs, was committed while we waited for it.
        return match replay(&mut tx, idempotency).await? {
            Some(id) => Ok(Placed::Replayed(id)),
            None => Err(Error::KeyReused),
        };
    }
    stock::hold(&mut tx, id, order.lines.iter().map(|l| (&l.sku, l.quantity)), at).await?;
    let lines =
        json!(order.lines.iter().map(|l| json!({"sku": l.sku, "quantity": l.quantity})).collect::<Vec<_>>());
    let placed = json!({"total": order.total, "currency": order.currency});
    let entries = [("order.placed", placed), ("stock.held", json!({"lines": lines}))];
    timeline::append(&mut tx, id, at, &entries).await?;
    let event = json!({"customer_id": order.customer.id, "total": order.total, "currency": order.currency, "lines": lines});
    outbox::append(&mut tx, id, at, "order.placed", event).await?;
    tx.commit().await?;
    Ok(Placed::New(Box::new(order)))
}

/// What the catalogue and the shelf say about one SKU, its level locked.
#[derive(sqlx::FromRow)]
struct Offer {
    sku: String,
    name: String,
    unit_price: i64,
    currency: String,
    active: bool,
    available: i64,
}

async fn lock_offers(tx: &mut Tx<'_>, placement: &Placement) -> Result<BTreeMap<String, Offer>> {
    let skus: Vec<&str> = placement.lines.keys().map(Sku::as_str).collect();
    let offers: Vec<Offer> = sqlx::query_as(
        "SELECT sku, name, unit_price, currency, active, available
         FROM stock_levels s JOIN products p USING (sku)
         WHERE sku = ANY($1) ORDER BY sku FOR NO KEY UPDATE OF s",
    )
    .bind(skus)
    .fetch_all(&mut **tx)
    .await?;
    Ok(offers.into_iter().map(|offer| (offer.sku.clone(), offer)).collect())
}

async fn replay(tx: &mut Tx<'_>, idempotency: &Idempotency) -> Result<Option<OrderId>> {
    let row: Option<(uuid::Uuid, Vec<u8>)> =
        sqlx::query_as("SELECT id, request_hash FROM orders WHERE idempotency_key = $1")
            .bind(&idempotency.key)
            .fetch_optional(&mut **tx)
            .await?;
    match row {
        None => Ok(None),
        Some((_, hash)) if hash != idempotency.request_hash => Err(Error::KeyReused),
        Some((id, _)) => Ok(Some(OrderId::from_uuid(id))),
    }
}

/// All lines or none: every line must be on sale, in the order's currency, and on the shelf.
fn decide(
    id: OrderId,
    placement: &Placement,
    offers: &BTreeMap<String, Offer>,
    at: Timestamp,
) -> Result<Order> {
    let mut invalids = Vec::new();
    let mut shortages = Vec::new();
    let mut lines = Vec::with_capacity(placement.lines.len());
    for (sku, &quantity) in &placement.lines {
        match on_sale(sku, placement.currency, offers) {
            Err(invalid) => invalids.push(invalid),
            Ok(offer) => {
                if offer.available < quantity {
                    let available = offer.available;
                    shortages.push(Shortage { sku: sku.clone(), requested: quantity, available });
                }
                lines.push(Line {
                    sku: sku.clone(),
                    name: offer.name.clone(),
                    quantity,
                    unit_price: offer.unit_price,
                });
            }
        }
    }
    if !invalids.is_empty() {
        return Err(Error::Invalid(invalids));
    }
    if !shortages.is_empty() {
        return Err(Error::Shortage(shortages));
    }
    Ok(Order {
        id,
        status: Status::AwaitingPayment,
        payment_status: PaymentStatus::Unpaid,
        currency: placement.currency,
        total: lines.iter().map(Line::amount).sum(),
        lines,
        customer: placement.customer.clone(),
        policy: placement.policy.clone(),
        payment_method: placement.payment_method.clone(),
        placed_at: at,
        payment_due_at: placement.policy.payment_due_at(at),
        paid_at: None,
        closed_at: None,
        close_reason: None,
        metadata: placement.metadata.clone(),
    })
}

fn on_sale<'a>(
    sku: &Sku,
    currency: Currency,
    offers: &'a BTreeMap<String, Offer>,
) -> Result<&'a Offer, Invalid> {
    let refuse = |why: String| Invalid::new(format!("lines[{sku}].sku"), why);
    let offer = offers.get(sku.as_str()).ok_or_else(|| refuse(format!("there is no product {sku}")))?;
    if !offer.active {
        return Err(refuse(format!("{sku} is not on sale")));
    }
    if offer.currency != currency.code() {
        return Err(Invalid::new(
            "currency",
            format!("{sku} is sold in {}, not in {currency}", offer.currency),
        ));
    }
    Ok(offer)
}

/// Writes the order and its lines, unless the idempotency key is taken.
async fn insert(tx: &mut Tx<'_>, order: &Order, idempotency: &Idempotency) -> Result<bool> {
    let inserted = sqlx::query(
        "INSERT INTO orders (id, status, payment_status, version, currency, total, customer_id, customer,
                             policy, metadata, placed_at, payment_due_at, idempotency_key, request_hash, payment_method)
         VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (idempotency_key) DO NOTHING",
    )
    .bind(order.id.uuid())
    .bind(order.status.as_str())
    .bind(order.payment_status.as_str())
    .bind(order.currency.code())
    .bind(order.total)
    .bind(&order.customer.id)
    .bind(Json(&order.customer))
    .bind(Json(&order.policy))
    .bind(Json(&order.metadata))
    .bind(sql(order.placed_at))
    .bind(sql(order.payment_due_at))
    .bind(&idempotency.key)
    .bind(&idempotency.request_hash)
    .bind(&order.payment_method)
    .execute(&mut **tx)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(false);
    }
    let lines = || order.lines.iter();
    sqlx::query(
        "INSERT INTO order_lines (order_id, sku, name, quantity, unit_price)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[])",
    )
    .bind(order.id.uuid())
    .bind(lines().map(|l| l.sku.as_str()).collect::<Vec<_>>())
    .bind(lines().map(|l| l.name.as_str()).collect::<Vec<_>>())
    .bind(lines().map(|l| l.quantity).collect::<Vec<_>>())
    .bind(lines().map(|l| l.unit_price).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(true)
}
