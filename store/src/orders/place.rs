//! Placing orders: ONE transaction takes the holds and writes orders, price snapshots, timelines and outbox rows.
//! It decides any number of placements in order of their arrival: all lines of an order or none. The door
//! ([`crate::door`]) brings together what arrives at the same time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    Invalid, OrderId, Timestamp,
    money::Currency,
    order::{Line, Order, PaymentStatus, Placement, Status},
    stock::{Level, Shortage, Sku},
};

use super::write;
use crate::{
    Db, Error, Idempotency, Result, Tx,
    stock::{self, Held},
};

/// A placement under the client's idempotency key.
#[derive(Debug, Clone)]
pub struct Ask {
    pub id: OrderId,
    pub placement: Placement,
    pub idempotency: Idempotency,
    pub at: Timestamp,
}

/// The answer to a placement.
#[derive(Debug)]
pub enum Placed {
    New(Box<Order>),
    /// The key was used before for the same request; this is the order of then.
    Replayed(OrderId),
}

/// Places one order by itself.
#[tracing::instrument(name = "sql orders.place", skip_all, err(level = "debug"))]
pub async fn place(db: &Db, ask: Ask) -> Result<Placed> {
    match place_all(db, std::slice::from_ref(&ask)).await {
        // The same key, for other SKUs, was committed between our look and our insert: look again.
        Err(Error::Raced) => {
            let answers = place_all(db, std::slice::from_ref(&ask)).await;
            answers?.pop().unwrap_or(Err(Error::KeyReused))
        }
        answers => answers?.pop().unwrap_or(Err(Error::KeyReused)),
    }
}

/// Places many orders in one transaction; one answer each, in the same order. An error means that nothing at all
/// was done.
///
/// Keys are looked up after the stock is locked: of twenty equal requests for the last piece, the nineteen
/// that waited for the lock must find the first one's order, not an empty shelf.
pub(crate) async fn place_all(db: &Db, asks: &[Ask]) -> Result<Vec<Result<Placed>>> {
    let mut tx = db.begin().await?;
    let mut offers = lock_offers(&mut tx, asks).await?;
    let mut known = known_keys(&mut tx, asks).await?;
    let mut answers = Vec::with_capacity(asks.len());
    let mut holds = Vec::new();
    for ask in asks {
        answers.push(decide(ask, &mut offers, &mut known, &mut holds));
    }
    let placed = answers.iter().zip(asks).filter_map(|(answer, ask)| match answer {
        Ok(Placed::New(order)) => Some((&**order, &ask.idempotency)),
        _ => None,
    });
    let placed: Vec<(&Order, &Idempotency)> = placed.collect();
    if placed.is_empty() {
        return Ok(answers);
    }
    write::orders(&mut tx, &placed).await?;
    stock::hold(&mut tx, &holds).await?;
    tx.commit().await?;
    Ok(answers)
}

/// What the catalogue and the shelf say about one SKU, its level locked.
#[derive(sqlx::FromRow)]
struct Offer {
    sku: String,
    name: String,
    unit_price: i64,
    currency: String,
    active: bool,
    on_hand: i64,
    held: i64,
}

type Offers = BTreeMap<String, Offer>;

async fn lock_offers(tx: &mut Tx<'_>, asks: &[Ask]) -> Result<Offers> {
    let skus: BTreeSet<&str> =
        asks.iter().flat_map(|ask| ask.placement.lines.keys().map(Sku::as_str)).collect();
    let offers: Vec<Offer> = sqlx::query_as(
        "SELECT sku, name, unit_price, currency, active, on_hand, held
         FROM stock_levels s JOIN products p USING (sku)
         WHERE sku = ANY($1) ORDER BY sku FOR NO KEY UPDATE OF s",
    )
    .bind(skus.into_iter().collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await?;
    Ok(offers.into_iter().map(|offer| (offer.sku.clone(), offer)).collect())
}

/// Which order a key made, and of what request.
type Known = HashMap<String, (OrderId, Vec<u8>)>;

async fn known_keys(tx: &mut Tx<'_>, asks: &[Ask]) -> Result<Known> {
    let keys: Vec<&str> = asks.iter().map(|ask| ask.idempotency.key.as_str()).collect();
    let rows: Vec<(String, uuid::Uuid, Vec<u8>)> = sqlx::query_as(
        "SELECT idempotency_key, id, request_hash FROM orders WHERE idempotency_key = ANY($1)",
    )
    .bind(keys)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|(key, id, hash)| (key, (OrderId::from_uuid(id), hash))).collect())
}

/// Decides one placement against what is left after those before it, and takes its stock.
fn decide(ask: &Ask, offers: &mut Offers, known: &mut Known, holds: &mut Vec<Held>) -> Result<Placed> {
    let Idempotency { key, request_hash } = &ask.idempotency;
    if let Some((id, hash)) = known.get(key) {
        return if hash == request_hash { Ok(Placed::Replayed(*id)) } else { Err(Error::KeyReused) };
    }
    let order = judge(ask, offers)?;
    for line in &order.lines {
        if let Some(offer) = offers.get_mut(line.sku.as_str()) {
            offer.held += line.quantity;
            let level = Level { on_hand: offer.on_hand, held: offer.held };
            let (sku, quantity) = (line.sku.clone(), line.quantity);
            holds.push(Held { order: order.id, sku, quantity, level, at: ask.at });
        }
    }
    known.insert(key.clone(), (order.id, request_hash.clone()));
    Ok(Placed::New(Box::new(order)))
}

/// All lines or none: every line must be on sale, in the order's currency, and on the shelf.
fn judge(ask: &Ask, offers: &Offers) -> Result<Order> {
    let placement = &ask.placement;
    let mut invalids = Vec::new();
    let mut shortages = Vec::new();
    let mut lines = Vec::with_capacity(placement.lines.len());
    for (sku, &quantity) in &placement.lines {
        match on_sale(sku, placement.currency, offers) {
            Err(invalid) => invalids.push(invalid),
            Ok(offer) => {
                let available = offer.on_hand - offer.held;
                if available < quantity {
                    shortages.push(Shortage { sku: sku.clone(), requested: quantity, available });
                }
                let (name, unit_price) = (offer.name.clone(), offer.unit_price);
                lines.push(Line { sku: sku.clone(), name, quantity, unit_price });
            }
        }
    }
    if !invalids.is_empty() {
        return Err(Error::Invalid(invalids));
    }
    if !shortages.is_empty() {
        return Err(Error::Shortage(shortages));
    }
    Ok(order(ask, lines))
}

fn order(ask: &Ask, lines: Vec<Line>) -> Order {
    let Placement { customer, currency, policy, payment_method, metadata, .. } = ask.placement.clone();
    Order {
        id: ask.id,
        status: Status::AwaitingPayment,
        payment_status: PaymentStatus::Unpaid,
        currency,
        total: lines.iter().map(Line::amount).sum(),
        lines,
        customer,
        payment_due_at: policy.payment_due_at(ask.at),
        policy,
        payment_method,
        placed_at: ask.at,
        paid_at: None,
        closed_at: None,
        close_reason: None,
        metadata,
    }
}

fn on_sale<'a>(sku: &Sku, currency: Currency, offers: &'a Offers) -> Result<&'a Offer, Invalid> {
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
