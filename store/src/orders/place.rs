//! Placing orders: ONE transaction takes the holds and writes orders, price snapshots, timelines and outbox rows.
//! It decides any number of placements in order of their arrival: all lines of an order or none. The door
//! ([`crate::door`]) brings together what arrives at the same time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    Invalid, OrderId, Timestamp,
    collect::Collects,
    money::Currency,
    order::{self, Line, Order, PaymentStatus, Placement, Status},
    policy::{Fulfilment, Policy},
    product::Kind,
    returns::Gone,
    stock::{Level, Shortage, Sku},
};

use super::{place_free::pay_free, place_stay, write};
use crate::{
    Db, Error, Idempotency, Result, Tx,
    retry::retry,
    stays::{self, Lodging},
    stock::{self, Held},
};

/// A placement under the client's idempotency key.
#[derive(Debug, Clone)]
pub struct Ask {
    pub id: OrderId,
    pub placement: Placement,
    /// What its payment method can collect in its currency.
    pub collects: Collects,
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
    retry(|| async {
        let mut tx = db.begin().await?;
        let mut shelf = lock_shelf(&mut tx, asks).await?;
        let mut known = known_keys(&mut tx, asks).await?;
        let mut answers = Vec::with_capacity(asks.len());
        let mut holds = Vec::new();
        for ask in asks {
            answers.push(decide(ask, &mut shelf, &mut known, &mut holds));
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
        pay_free(&mut tx, placed.iter().map(|(order, _)| *order)).await?;
        tx.commit().await?;
        Ok(answers)
    })
    .await
}

/// What the catalogue and the shelf say about one stock unit (a SKU, or one night of it), its level locked.
pub(super) struct Offer {
    sku: Sku,
    kind: Kind,
    name: String,
    pub unit_price: i64,
    currency: Currency,
    active: bool,
    pub on_hand: i64,
    pub held: i64,
}

/// What all orders of a batch choose from.
pub(super) struct Shelf {
    pub offers: BTreeMap<Sku, Offer>,
    /// Of the SKUs that somebody wants to stay at.
    pub lodgings: BTreeMap<Sku, Lodging>,
}

async fn lock_shelf(tx: &mut Tx, asks: &[Ask]) -> Result<Shelf> {
    let units: BTreeSet<Sku> = asks.iter().flat_map(|ask| ask.placement.units()).collect();
    let offers = sqlx::query_as!(
        Offer,
        r#"SELECT s.sku, kind, name, coalesce(s.unit_price, p.unit_price) AS "unit_price!", currency, active,
                  on_hand, held
           FROM stock_levels s JOIN products p ON p.sku = s.product
           WHERE s.sku = ANY($1) ORDER BY s.sku FOR NO KEY UPDATE OF s"#,
        units.iter().collect::<Vec<_>>() as _
    )
    .fetch_all(&mut **tx)
    .await?;
    let offers = offers.into_iter().map(|offer| (offer.sku.clone(), offer)).collect();
    let stays: BTreeSet<&Sku> = asks.iter().flat_map(|ask| ask.placement.stays.keys()).collect();
    let lodgings = match stays.is_empty() {
        true => BTreeMap::new(),
        false => stays::lodgings(tx, &stays.into_iter().collect::<Vec<_>>()).await?,
    };
    Ok(Shelf { offers, lodgings })
}

/// Which order a key made, and of what request.
type Known = HashMap<String, (OrderId, Vec<u8>)>;

async fn known_keys(tx: &mut Tx, asks: &[Ask]) -> Result<Known> {
    let keys: Vec<&str> = asks.iter().map(|ask| ask.idempotency.key.as_str()).collect();
    let known = sqlx::query!(
        "SELECT idempotency_key, id, request_hash FROM orders WHERE idempotency_key = ANY($1)",
        keys as _
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(known.into_iter().map(|order| (order.idempotency_key, (order.id, order.request_hash))).collect())
}

/// Decides one placement against what is left after those before it, and takes its stock.
fn decide(ask: &Ask, shelf: &mut Shelf, known: &mut Known, holds: &mut Vec<Held>) -> Result<Placed> {
    let Idempotency { key, request_hash } = &ask.idempotency;
    if let Some((id, hash)) = known.get(key) {
        return if hash == request_hash { Ok(Placed::Replayed(*id)) } else { Err(Error::KeyReused) };
    }
    let order = judge(ask, shelf)?;
    for (unit, quantity) in
        order.lines.iter().flat_map(|line| line.units().into_iter().map(|unit| (unit, line.quantity)))
    {
        if let Some(offer) = shelf.offers.get_mut(&unit) {
            offer.held += quantity;
            let level = Level { on_hand: offer.on_hand, held: offer.held };
            holds.push(Held { order: order.id, sku: unit, quantity, level, at: ask.at });
        }
    }
    known.insert(key.clone(), (order.id, request_hash.clone()));
    Ok(Placed::New(Box::new(order)))
}

/// A line as it would be placed and what is missing for it, or what is wrong with it.
pub(super) type Judged = Result<(Line, Vec<Shortage>), Vec<Invalid>>;

/// All lines or none: every line must be on sale, in the order's currency, and on the shelf.
fn judge(ask: &Ask, shelf: &Shelf) -> Result<Order> {
    let placement = &ask.placement;
    let mut invalids = Vec::new();
    let mut shortages = Vec::new();
    let mut lines = Vec::with_capacity(placement.lines.len());
    for (sku, &quantity) in &placement.lines {
        let judged = match placement.stays.get(sku) {
            None => goods(sku, quantity, placement.currency, shelf),
            Some(booking) => place_stay::judge(sku, quantity, booking, placement.currency, shelf, ask.at),
        };
        match judged {
            Err(wrong) => invalids.extend(wrong),
            Ok((line, short)) => {
                lines.push(line);
                shortages.extend(short);
            }
        }
    }
    if !invalids.is_empty() {
        return Err(Error::Invalid(invalids));
    }
    let total = order::total(&lines).map_err(|invalid| Error::Invalid(vec![invalid]))?;
    let order = placed(ask, lines, total);
    if let Err(why) = ask.collects.check(order.total()) {
        let method = order.payment_method.as_deref().unwrap_or_default();
        return Err(Error::Invalid(vec![Invalid::new("payment_method", format!("{method} {why}"))]));
    }
    if !shortages.is_empty() {
        return Err(Error::Shortage(shortages));
    }
    Ok(order)
}

fn goods(sku: &Sku, quantity: i64, currency: Currency, shelf: &Shelf) -> Judged {
    let offer = shelf.offers.get(sku).ok_or_else(|| no_product(sku))?;
    on_sale(sku, offer.active, offer.currency, currency)?;
    if offer.kind == Kind::Stay {
        return Err(refused(sku, "stay", format!("is required: {sku} is sold by the night")));
    }
    let available = offer.on_hand - offer.held;
    let short = Shortage { sku: sku.clone(), night: None, requested: quantity, available };
    let (name, unit_price) = (offer.name.clone(), offer.unit_price);
    let line = Line { sku: sku.clone(), name, quantity, unit_price, stay: None };
    Ok((line, (available < quantity).then_some(short).into_iter().collect()))
}

fn placed(ask: &Ask, lines: Vec<Line>, total: i64) -> Order {
    let Placement { customer, currency, policy, payment_method, metadata, .. } = ask.placement.clone();
    // Guests check in, whatever else is in the order; and where there are none, nobody would.
    let fulfilment = match (lines.iter().any(|line| line.stay.is_some()), policy.fulfilment) {
        (true, _) => Fulfilment::CheckIn,
        (false, Fulfilment::CheckIn) => Fulfilment::Manual,
        (false, asked) => asked,
    };
    let order = Order {
        id: ask.id,
        status: Status::AwaitingPayment,
        payment_status: PaymentStatus::Unpaid,
        currency,
        total,
        gone: Gone::new(),
        parts_paid: 0,
        customer,
        payment_due_at: ask.at,
        policy: Policy { fulfilment, due_by: order::latest_payment_due(&lines), ..policy },
        lines,
        payment_method,
        placed_at: ask.at,
        paid_at: None,
        closed_at: None,
        close_reason: None,
        metadata,
    };
    order.as_placed()
}

/// What is wrong with a field of a line. The door names a line by its SKU.
pub(super) fn refused(sku: &Sku, field: &str, why: String) -> Vec<Invalid> {
    vec![Invalid::new(format!("lines[{sku}].{field}"), why)]
}

pub(super) fn no_product(sku: &Sku) -> Vec<Invalid> {
    refused(sku, "sku", format!("there is no product {sku}"))
}

pub(super) fn on_sale(
    sku: &Sku,
    active: bool,
    sold_in: Currency,
    currency: Currency,
) -> Result<(), Vec<Invalid>> {
    if !active {
        return Err(refused(sku, "sku", format!("{sku} is not on sale")));
    }
    if sold_in != currency {
        let why = format!("{sku} is sold in {sold_in}, not in {currency}");
        return Err(vec![Invalid::new("currency", why)]);
    }
    Ok(())
}
