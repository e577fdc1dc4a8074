//! Placing orders: ONE transaction takes the holds and writes orders, price snapshots, timelines and outbox
//! rows. It decides any number of placements in order of their arrival: all lines of an order or none. The
//! door ([`crate::placement_batcher`]) brings together what arrives at the same time.

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
    stays::{self, StayProduct},
    stock::{self, Held},
};

/// A placement under the client's idempotency key.
#[derive(Debug, Clone)]
pub struct PlaceOrder {
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
pub async fn place(db: &Db, command: PlaceOrder) -> Result<Placed> {
    match place_all(db, std::slice::from_ref(&command)).await {
        // The same key, for other SKUs, was committed between our look and our insert: look again.
        Err(Error::Raced) => {
            let answers = place_all(db, std::slice::from_ref(&command)).await;
            answers?.pop().unwrap_or(Err(Error::KeyReused))
        }
        answers => answers?.pop().unwrap_or(Err(Error::KeyReused)),
    }
}

/// Places many orders in one transaction; one answer each, in the same order. An error means that nothing at
/// all was done.
///
/// Keys are looked up after the stock is locked: of twenty equal requests for the last piece, the nineteen
/// that waited for the lock must find the first one's order, not an empty shelf.
pub(crate) async fn place_all(db: &Db, commands: &[PlaceOrder]) -> Result<Vec<Result<Placed>>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let mut snapshot = lock_snapshot(&mut tx, commands).await?;
        let mut known = known_keys(&mut tx, commands).await?;
        let mut answers = Vec::with_capacity(commands.len());
        let mut holds = Vec::new();
        for command in commands {
            answers.push(decide(command, &mut snapshot, &mut known, &mut holds));
        }
        let placed = answers.iter().zip(commands).filter_map(|(answer, command)| match answer {
            Ok(Placed::New(order)) => Some((&**order, &command.idempotency)),
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
pub(super) struct StockUnit {
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
pub(super) struct StockSnapshot {
    pub units: BTreeMap<Sku, StockUnit>,
    /// Of the SKUs that somebody wants to stay at.
    pub stay_products: BTreeMap<Sku, StayProduct>,
}

async fn lock_snapshot(tx: &mut Tx, commands: &[PlaceOrder]) -> Result<StockSnapshot> {
    let units: BTreeSet<Sku> = commands.iter().flat_map(|command| command.placement.units()).collect();
    let units = sqlx::query_as!(
        StockUnit,
        r#"SELECT s.sku, kind, name, coalesce(s.unit_price, p.unit_price) AS "unit_price!", currency, active,
                  on_hand, held
           FROM stock_levels s JOIN products p ON p.sku = s.product
           WHERE s.sku = ANY($1) ORDER BY s.sku FOR NO KEY UPDATE OF s"#,
        units.iter().collect::<Vec<_>>() as _
    )
    .fetch_all(&mut **tx)
    .await?;
    let units = units.into_iter().map(|unit| (unit.sku.clone(), unit)).collect();
    let stays: BTreeSet<&Sku> = commands.iter().flat_map(|command| command.placement.stays.keys()).collect();
    let stay_products = match stays.is_empty() {
        true => BTreeMap::new(),
        false => stays::stay_products(tx, &stays.into_iter().collect::<Vec<_>>()).await?,
    };
    Ok(StockSnapshot { units, stay_products })
}

/// Which order a key made, and of what request.
type Known = HashMap<String, (OrderId, Vec<u8>)>;

async fn known_keys(tx: &mut Tx, commands: &[PlaceOrder]) -> Result<Known> {
    let keys: Vec<&str> = commands.iter().map(|command| command.idempotency.key.as_str()).collect();
    let known = sqlx::query!(
        "SELECT idempotency_key, id, request_hash FROM orders WHERE idempotency_key = ANY($1)",
        keys as _
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(known.into_iter().map(|order| (order.idempotency_key, (order.id, order.request_hash))).collect())
}

/// Decides one placement against what is left after those before it, and takes its stock.
fn decide(
    command: &PlaceOrder,
    snapshot: &mut StockSnapshot,
    known: &mut Known,
    holds: &mut Vec<Held>,
) -> Result<Placed> {
    let Idempotency { key, request_hash } = &command.idempotency;
    if let Some((id, hash)) = known.get(key) {
        return if hash == request_hash { Ok(Placed::Replayed(*id)) } else { Err(Error::KeyReused) };
    }
    let order = price_order(command, snapshot)?;
    for (unit, quantity) in
        order.lines.iter().flat_map(|line| line.units().into_iter().map(|unit| (unit, line.quantity)))
    {
        if let Some(stock) = snapshot.units.get_mut(&unit) {
            stock.held += quantity;
            let level = Level { on_hand: stock.on_hand, held: stock.held };
            holds.push(Held { order: order.id, sku: unit, quantity, level, at: command.at });
        }
    }
    known.insert(key.clone(), (order.id, request_hash.clone()));
    Ok(Placed::New(Box::new(order)))
}

/// A line as it would be placed and what is missing for it, or what is wrong with it.
pub(super) type Priced = Result<(Line, Vec<Shortage>), Vec<Invalid>>;

/// All lines or none: every line must be on sale, in the order's currency, and on the shelf.
fn price_order(command: &PlaceOrder, snapshot: &StockSnapshot) -> Result<Order> {
    let placement = &command.placement;
    let mut invalids = Vec::new();
    let mut shortages = Vec::new();
    let mut lines = Vec::with_capacity(placement.lines.len());
    for (sku, &quantity) in &placement.lines {
        let priced = match placement.stays.get(sku) {
            None => price_goods(sku, quantity, placement.currency, snapshot),
            Some(booking) => {
                place_stay::price_stay(sku, quantity, booking, placement.currency, snapshot, command.at)
            }
        };
        match priced {
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
    let order = placed(command, lines, total);
    if let Err(why) = command.collects.check(order.total()) {
        let method = order.payment_method.as_deref().unwrap_or_default();
        return Err(Error::Invalid(vec![Invalid::new("payment_method", format!("{method} {why}"))]));
    }
    if !shortages.is_empty() {
        return Err(Error::Shortage(shortages));
    }
    Ok(order)
}

fn price_goods(sku: &Sku, quantity: i64, currency: Currency, snapshot: &StockSnapshot) -> Priced {
    let unit = snapshot.units.get(sku).ok_or_else(|| no_product(sku))?;
    on_sale(sku, unit.active, unit.currency, currency)?;
    if unit.kind == Kind::Stay {
        return Err(refused(sku, "stay", format!("is required: {sku} is sold by the night")));
    }
    let available = unit.on_hand - unit.held;
    let short = Shortage { sku: sku.clone(), night: None, requested: quantity, available };
    let (name, unit_price) = (unit.name.clone(), unit.unit_price);
    let line = Line { sku: sku.clone(), name, quantity, unit_price, stay: None };
    Ok((line, (available < quantity).then_some(short).into_iter().collect()))
}

fn placed(command: &PlaceOrder, lines: Vec<Line>, total: i64) -> Order {
    let Placement { customer, currency, policy, payment_method, metadata, .. } = command.placement.clone();
    // Guests check in, whatever else is in the order; and where there are none, nobody would.
    let fulfilment = match (lines.iter().any(|line| line.stay.is_some()), policy.fulfilment) {
        (true, _) => Fulfilment::CheckIn,
        (false, Fulfilment::CheckIn) => Fulfilment::Manual,
        (false, asked) => asked,
    };
    let order = Order {
        id: command.id,
        status: Status::AwaitingPayment,
        payment_status: PaymentStatus::Unpaid,
        currency,
        total,
        gone: Gone::new(),
        parts_paid: 0,
        customer,
        payment_due_at: command.at,
        policy: Policy { fulfilment, due_by: order::latest_payment_due(&lines), ..policy },
        lines,
        payment_method,
        placed_at: command.at,
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
