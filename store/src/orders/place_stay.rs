//! Judging one line of a placement that is a stay: every night must be on offer and free, and the guests must fit.

use domain::{
    Date, Invalid, Timestamp,
    money::Currency,
    order::Line,
    stay::{Booking, Night},
    stock::{Shortage, Sku},
};

use super::place::{Judged, Shelf, no_product, on_sale, refused};

pub(super) fn judge(
    sku: &Sku,
    rooms: i64,
    booking: &Booking,
    currency: Currency,
    shelf: &Shelf,
    at: Timestamp,
) -> Judged {
    let lodging = shelf.lodgings.get(sku).ok_or_else(|| no_product(sku))?;
    on_sale(sku, lodging.active, lodging.currency, currency)?;
    if !lodging.is_stay() {
        return Err(refused(sku, "stay", format!("{sku} is not sold by the night")));
    }
    let terms = lodging.terms();
    let wrong = terms.check(booking, rooms, at);
    if !wrong.is_empty() {
        return Err(wrong.into_iter().map(|invalid| invalid.within(&format!("lines[{sku}]"))).collect());
    }
    let (nights, short) = nights(sku, rooms, booking, shelf)?;
    let stay = terms.book(booking, rooms, nights);
    let line = Line {
        sku: sku.clone(),
        name: lodging.name.clone(),
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
    shelf: &Shelf,
) -> Result<(Vec<Night>, Vec<Shortage>), Vec<Invalid>> {
    let mut nights = Vec::new();
    let mut short = Vec::new();
    for date in booking.nights() {
        let Some(offer) = shelf.offers.get(&sku.night(date)) else {
            return Err(not_offered(sku, booking, date));
        };
        let available = offer.on_hand - offer.held;
        if available < rooms {
            short.push(Shortage { sku: sku.clone(), night: Some(date), requested: rooms, available });
        }
        nights.push(Night { date, unit_price: offer.unit_price });
    }
    Ok((nights, short))
}

/// A stay that begins too early or too far out is wrong at its beginning; one that runs on too long, at its end.
fn not_offered(sku: &Sku, booking: &Booking, night: Date) -> Vec<Invalid> {
    let field = if night == booking.from { "stay.from" } else { "stay.to" };
    refused(sku, field, format!("the night of {night} is not on offer"))
}
