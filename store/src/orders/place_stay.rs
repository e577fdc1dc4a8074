//! Judging one line of a placement that is a stay: every night must be on offer and free, and the guests must
//! fit.

use domain::{
    Date, Invalid, Timestamp,
    money::Currency,
    order::Line,
    stay::{Booking, Night},
    stock::{Shortage, Sku},
};

use super::place::{Priced, StockSnapshot, no_product, on_sale, refused};

pub(super) fn price_stay(
    sku: &Sku,
    rooms: i64,
    booking: &Booking,
    currency: Currency,
    snapshot: &StockSnapshot,
    at: Timestamp,
) -> Priced {
    let product = snapshot.stay_products.get(sku).ok_or_else(|| no_product(sku))?;
    on_sale(sku, product.active, product.currency, currency)?;
    if !product.is_stay() {
        return Err(refused(sku, "stay", format!("{sku} is not sold by the night")));
    }
    let terms = product.terms();
    let wrong = terms.check(booking, rooms, at);
    if !wrong.is_empty() {
        return Err(wrong.into_iter().map(|invalid| invalid.within(&format!("lines[{sku}]"))).collect());
    }
    let (nights, short) = nights(sku, rooms, booking, snapshot)?;
    let stay = terms.book(booking, rooms, nights);
    let line = Line {
        sku: sku.clone(),
        name: product.name.clone(),
        quantity: rooms,
        unit_price: stay.room_price(),
        stay: Some(stay),
    };
    Ok((line, short))
}

/// The nights with their prices, and those of which there are too few.
fn nights(
    sku: &Sku,
    rooms: i64,
    booking: &Booking,
    snapshot: &StockSnapshot,
) -> Result<(Vec<Night>, Vec<Shortage>), Vec<Invalid>> {
    let mut nights = Vec::new();
    let mut short = Vec::new();
    for date in booking.nights() {
        let Some(unit) = snapshot.units.get(&sku.night(date)) else {
            return Err(not_offered(sku, booking, date));
        };
        let available = unit.on_hand - unit.held;
        if available < rooms {
            short.push(Shortage { sku: sku.clone(), night: Some(date), requested: rooms, available });
        }
        nights.push(Night { date, unit_price: unit.unit_price });
    }
    Ok((nights, short))
}

/// A stay that begins too early or too far out is wrong at its beginning; one that runs on too long, at its
/// end.
fn not_offered(sku: &Sku, booking: &Booking, night: Date) -> Vec<Invalid> {
    let field = if night == booking.from { "stay.from" } else { "stay.to" };
    refused(sku, field, format!("the night of {night} is not on unit"))
}
