//! What the placements of a batch choose from, and whether and at what price a placement can be had.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Date, Invalid, Timestamp,
    money::Currency,
    order::{self, Line, Order, Placement, Requested},
    product::Kind,
    stay::{Booking, Night, Terms},
    stock::{Shortage, Sku},
};

use super::place::{Error, PlaceOrder};
use crate::{Result, Tx};

/// What catalogue and stock say about one stock unit (a SKU, or one night of it), its level locked.
pub(super) struct StockUnit {
    sku: Sku,
    kind: Kind,
    name: String,
    unit_price: i64,
    currency: Currency,
    active: bool,
    pub on_hand: i64,
    pub held: i64,
}

impl StockUnit {
    /// What is missing of it.
    fn shortage(&self, sku: &Sku, night: Option<Date>, requested: i64) -> Option<Shortage> {
        let available = self.on_hand - self.held;
        (available < requested).then(|| Shortage { sku: sku.clone(), night, requested, available })
    }
}

/// A product as bookings see it, whatever its kind.
struct StayProduct {
    sku: Sku,
    name: String,
    kind: Kind,
    currency: Currency,
    active: bool,
    /// None until the shop says so.
    stay: Option<Terms>,
}

/// What all orders of a batch choose from.
pub(super) struct StockSnapshot {
    pub units: BTreeMap<Sku, StockUnit>,
    /// Of the SKUs of which somebody wants to book rooms.
    stay_products: BTreeMap<Sku, StayProduct>,
}

impl StockSnapshot {
    /// Locks the stock levels of all that is wanted, in SKU order.
    pub async fn lock(tx: &mut Tx, commands: &[PlaceOrder]) -> Result<Self> {
        let units: BTreeSet<Sku> = commands.iter().flat_map(|command| command.placement.units()).collect();
        let units = sqlx::query_as!(
            StockUnit,
            r#"SELECT s.sku, kind, name, coalesce(s.unit_price, p.unit_price) AS "unit_price!", currency,
                      active, on_hand, held
               FROM stock_levels s JOIN products p ON p.sku = s.product
               WHERE s.sku = ANY($1) ORDER BY s.sku FOR NO KEY UPDATE OF s"#,
            units.iter().collect::<Vec<_>>() as _
        )
        .fetch_all(&mut **tx)
        .await?;
        let units = units.into_iter().map(|unit| (unit.sku.clone(), unit)).collect();
        let lines = commands.iter().flat_map(|command| &command.placement.lines);
        let stays = lines.filter(|(_, requested)| matches!(requested, Requested::Rooms(_)));
        let stays: BTreeSet<&Sku> = stays.map(|(sku, _)| sku).collect();
        let stay_products = match stays.is_empty() {
            true => BTreeMap::new(),
            false => stay_products(tx, &stays.into_iter().collect::<Vec<_>>()).await?,
        };
        Ok(Self { units, stay_products })
    }
}

async fn stay_products(tx: &mut Tx, skus: &[&Sku]) -> Result<BTreeMap<Sku, StayProduct>> {
    let products = sqlx::query_as!(
        StayProduct,
        "SELECT sku, name, kind, currency, active, stay FROM products WHERE sku = ANY($1)",
        skus as _
    );
    let products = products.fetch_all(&mut **tx).await?;
    Ok(products.into_iter().map(|product| (product.sku.clone(), product)).collect())
}

/// All lines or none. What is missing is said only of a placement with which nothing else is wrong.
pub(super) fn price_order(command: &PlaceOrder, snapshot: &StockSnapshot) -> Result<Order, Error> {
    let placement = &command.placement;
    let (lines, shortages) = price_lines(placement, snapshot, command.at).map_err(Error::Invalid)?;
    let total = order::total(&lines).map_err(|invalid| Error::Invalid(vec![invalid]))?;
    let order = Order::new(command.id, placement.clone(), lines, total, command.at);
    if let Err(why) = command.collects.check(order.total()) {
        let method = order.payment_method.as_deref().unwrap_or_default();
        return Err(Error::Invalid(vec![Invalid::new("payment_method", format!("{method} {why}"))]));
    }
    if !shortages.is_empty() {
        return Err(Error::Shortage(shortages));
    }
    Ok(order)
}

/// The lines of a placement with their prices, and what is missing for them. Every line must be on sale in
/// the order's currency.
fn price_lines(
    placement: &Placement,
    snapshot: &StockSnapshot,
    at: Timestamp,
) -> Result<(Vec<Line>, Vec<Shortage>), Vec<Invalid>> {
    let (mut lines, mut shortages, mut invalids) = (Vec::new(), Vec::new(), Vec::new());
    for (sku, requested) in &placement.lines {
        let priced = match requested {
            Requested::Pieces(quantity) => price_goods(sku, quantity.get(), placement.currency, snapshot),
            Requested::Rooms(booking) => price_stay(sku, booking, placement.currency, snapshot, at),
        };
        match priced {
            Err(wrong) => invalids.extend(wrong),
            Ok((line, short)) => {
                lines.push(line);
                shortages.extend(short);
            }
        }
    }
    if invalids.is_empty() { Ok((lines, shortages)) } else { Err(invalids) }
}

/// A line as it would be placed and what is missing for it, or what is wrong with it.
type Priced = Result<(Line, Vec<Shortage>), Vec<Invalid>>;

fn price_goods(sku: &Sku, quantity: i64, currency: Currency, snapshot: &StockSnapshot) -> Priced {
    let unit = snapshot.units.get(sku).ok_or_else(|| no_product(sku))?;
    on_sale(sku, unit.active, unit.currency, currency)?;
    if unit.kind == Kind::Stay {
        return Err(refused(sku, "stay", format!("is required: {sku} is sold by the night")));
    }
    let (name, unit_price) = (unit.name.clone(), unit.unit_price);
    let line = Line { sku: sku.clone(), name, quantity, unit_price, stay: None };
    Ok((line, unit.shortage(sku, None, quantity).into_iter().collect()))
}

/// Every night must be on offer and free, and the guests must fit.
fn price_stay(
    sku: &Sku,
    booking: &Booking,
    currency: Currency,
    snapshot: &StockSnapshot,
    at: Timestamp,
) -> Priced {
    let product = snapshot.stay_products.get(sku).ok_or_else(|| no_product(sku))?;
    on_sale(sku, product.active, product.currency, currency)?;
    if product.kind != Kind::Stay {
        return Err(refused(sku, "stay", format!("{sku} is not sold by the night")));
    }
    let terms = product.stay.clone().unwrap_or_default();
    let wrong = terms.check(booking, at);
    if !wrong.is_empty() {
        return Err(wrong.into_iter().map(|invalid| invalid.within(&format!("lines[{sku}]"))).collect());
    }
    let (mut nights, mut short) = (Vec::new(), Vec::new());
    for date in booking.nights() {
        let unit = snapshot.units.get(&sku.night(date)).ok_or_else(|| not_offered(sku, booking, date))?;
        short.extend(unit.shortage(sku, Some(date), booking.rooms()));
        nights.push(Night { date, unit_price: unit.unit_price });
    }
    let stay = terms.book(booking, nights);
    let (name, unit_price) = (product.name.clone(), stay.room_price());
    Ok((Line { sku: sku.clone(), name, quantity: booking.rooms(), unit_price, stay: Some(stay) }, short))
}

/// A stay that begins too early or too far out is wrong at its beginning; one that runs on too long, at its
/// end.
fn not_offered(sku: &Sku, booking: &Booking, night: Date) -> Vec<Invalid> {
    let field = if night == booking.from() { "stay.from" } else { "stay.to" };
    refused(sku, field, format!("the night of {night} is not on offer"))
}

fn no_product(sku: &Sku) -> Vec<Invalid> {
    refused(sku, "sku", format!("there is no product {sku}"))
}

fn on_sale(sku: &Sku, active: bool, sold_in: Currency, currency: Currency) -> Result<(), Vec<Invalid>> {
    if !active {
        return Err(refused(sku, "sku", format!("{sku} is not on sale")));
    }
    if sold_in != currency {
        let why = format!("{sku} is sold in {sold_in}, not in {currency}");
        return Err(vec![Invalid::new("currency", why)]);
    }
    Ok(())
}

/// What is wrong with a field of a line, which is named by its SKU.
fn refused(sku: &Sku, field: &str, why: String) -> Vec<Invalid> {
    vec![Invalid::new(format!("lines[{sku}].{field}"), why)]
}
