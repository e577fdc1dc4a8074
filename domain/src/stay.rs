//! Stays: what a product that is sold by the night offers, what a client books of it, and what that costs.
//!
//! Each night is a stock unit of its own ([`crate::stock::Sku::night`]), held and sold as any piece is.

use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan as _, civil::Date};
use serde::{Deserialize, Serialize};

use crate::{Invalid, Invalids, money, stock::Quantity, text, zone};

pub const MAX_NIGHTS: i64 = 90;
pub const MAX_ROOMS: i64 = 100;
/// In one room.
pub const MAX_GUESTS: i64 = 50;
pub const MAX_EXTRAS: usize = 20;
/// In one order: each of them locks a stock level for each of its nights.
pub const MAX_STAYS: usize = 10;
/// Nights that can be offered or read at once.
pub const MAX_OFFERED: i64 = 366;

/// A calendar date, as `2026-07-01`.
pub fn date(field: &str, text: &str) -> Result<Date, Invalid> {
    let date = text.parse().ok().filter(|_| text.len() == 10 && text.is_ascii());
    date.ok_or_else(|| Invalid::new(field, "must be a date such as 2026-07-01"))
}

/// The nights from one day to another: the last one ends on the morning of `to`.
pub fn nights(from: Date, to: Date) -> impl Iterator<Item = Date> {
    from.series(1.day()).take_while(move |night| *night < to)
}

/// How many nights lie between two days, at least one and at most `max`.
pub fn count_nights(field: &str, from: Date, to: Date, max: i64) -> Result<i64, Invalid> {
    match to.duration_since(from).as_hours() / 24 {
        ..=0 => Err(Invalid::new(field, "must be later than `from`")),
        nights if nights > max => {
            Err(Invalid::new(field, format!("must be at most {max} nights after `from`")))
        }
        nights => Ok(nights),
    }
}

/// Checks how many rooms there are of a night.
pub fn capacity(capacity: i64) -> Result<i64, Invalid> {
    match capacity {
        0..=crate::stock::MAX_QUANTITY => Ok(capacity),
        _ => Err(Invalid::new("capacity", format!("must be 0 to {}", crate::stock::MAX_QUANTITY))),
    }
}

/// What a client wants to book of a product, beside the rooms.
#[derive(Debug)]
pub struct UncheckedBooking {
    pub from: Date,
    /// The day of departure.
    pub to: Date,
    /// In all rooms together.
    pub guests: i64,
    /// Codes of extras.
    pub extras: Vec<String>,
}

/// What a client books of a product. All is right with it that can be checked without the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    rooms: i64,
    from: Date,
    to: Date,
    guests: i64,
    extras: Vec<String>,
}

impl Booking {
    /// Complaints name fields of an order's line.
    pub fn parse(rooms: Quantity, booking: UncheckedBooking) -> Result<Self, Vec<Invalid>> {
        let UncheckedBooking { from, to, guests, extras } = booking;
        let mut invalids = Invalids::default();
        if rooms.get() > MAX_ROOMS {
            invalids.push(Invalid::new("quantity", format!("must be at most {MAX_ROOMS} rooms")));
        }
        invalids.check_in("stay", count_nights("to", from, to, MAX_NIGHTS));
        if guests < 1 {
            invalids.push(Invalid::new("guests", "must be 1 or more"));
        }
        if extras.len() > MAX_EXTRAS {
            invalids.push(Invalid::new("extras", format!("must be at most {MAX_EXTRAS}")));
        }
        for (i, code) in extras.iter().enumerate().take(MAX_EXTRAS) {
            if extras[..i].contains(code) {
                invalids.push(Invalid::new(format!("extras[{i}].code"), "is named twice"));
            }
        }
        match invalids.is_empty() {
            true => Ok(Self { rooms: rooms.get(), from, to, guests, extras }),
            false => Err(invalids.into_vec()),
        }
    }

    pub const fn rooms(&self) -> i64 {
        self.rooms
    }

    /// The day of arrival.
    pub const fn from(&self) -> Date {
        self.from
    }

    pub fn nights(&self) -> impl Iterator<Item = Date> {
        nights(self.from, self.to)
    }
}

text_enum! {
    /// How often an extra is paid for.
    pub enum Per("per") {
        /// Once for each room.
        Stay = "stay",
        /// For each room and night.
        Night = "night",
        /// Once for each guest.
        Guest = "guest",
        /// For each guest and night.
        GuestNight = "guest_night",
    }
}

/// Something that can be had with a stay, such as breakfast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    pub code: String,
    pub name: String,
    pub unit_price: i64,
    pub per: Per,
}

/// How many rooms the nights from one day to another have, and what each costs if not the product's price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub from: Date,
    pub to: Date,
    pub capacity: i64,
    pub unit_price: Option<i64>,
}

json_in_sql!(Offer);

/// What a product offers with its nights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// In one room.
    pub max_guests: i64,
    /// IANA name: where its days begin and end.
    pub time_zone: String,
    pub extras: Vec<Extra>,
}

json_in_sql!(Terms);

impl Default for Terms {
    /// Until the shop says otherwise.
    fn default() -> Self {
        Self { max_guests: 4, time_zone: "UTC".to_owned(), extras: Vec::new() }
    }
}

impl Terms {
    pub fn parse(self) -> Result<Self, Vec<Invalid>> {
        let mut invalids = Invalids::default();
        if !(1..=MAX_GUESTS).contains(&self.max_guests) {
            invalids.push(Invalid::new("max_guests", format!("must be 1 to {MAX_GUESTS}")));
        }
        let time_zone = invalids.check(zone::parse("time_zone", &self.time_zone));
        if self.extras.len() > MAX_EXTRAS {
            invalids.push(Invalid::new("extras", format!("must be at most {MAX_EXTRAS}")));
        }
        let mut codes = BTreeSet::new();
        for (i, extra) in self.extras.iter().enumerate().take(MAX_EXTRAS) {
            let field = format!("extras[{i}]");
            invalids.check_in(&field, text::token("code", &extra.code, 64, "._-"));
            invalids.check_in(&field, text::line("name", &extra.name, 200));
            invalids.check_in(&field, money::unit_price(extra.unit_price));
            if !codes.insert(&extra.code) {
                invalids.push(Invalid::new(format!("{field}.code"), "is named twice"));
            }
        }
        match time_zone {
            Some(time_zone) if invalids.is_empty() => Ok(Self { time_zone, ..self }),
            _ => Err(invalids.into_vec()),
        }
    }

    /// The day it is there.
    pub fn today(&self, at: Timestamp) -> Date {
        at.to_zoned(zone::stored(&self.time_zone)).date()
    }

    /// Checks a booking against what is offered, at the time of the request.
    pub fn check(&self, booking: &Booking, at: Timestamp) -> Vec<Invalid> {
        let mut invalids = Vec::new();
        if booking.from < self.today(at) {
            invalids.push(Invalid::new("stay.from", "must not be in the past"));
        }
        let max = self.max_guests * booking.rooms;
        if booking.guests > max {
            invalids.push(Invalid::new(
                "guests",
                format!("must be at most {max}, {} in each room", self.max_guests),
            ));
        }
        for (i, code) in booking.extras.iter().enumerate() {
            if self.extra(code).is_none() {
                invalids.push(Invalid::new(format!("extras[{i}].code"), "is not offered with this stay"));
            }
        }
        invalids
    }

    fn extra(&self, code: &str) -> Option<&Extra> {
        self.extras.iter().find(|extra| extra.code == code)
    }

    /// A checked booking with its prices, as the order keeps it.
    pub fn book(&self, booking: &Booking, nights: Vec<Night>) -> Stay {
        let Booking { rooms, from, to, guests, ref extras } = *booking;
        let count = nights.len() as i64;
        let charge = |extra: &Extra| {
            let quantity = match extra.per {
                Per::Stay => rooms,
                Per::Night => rooms * count,
                Per::Guest => guests,
                Per::GuestNight => guests * count,
            };
            let Extra { code, name, unit_price, per } = extra.clone();
            Charge { code, name, per, quantity, unit_price, amount: quantity * unit_price }
        };
        let extras = extras.iter().filter_map(|code| self.extra(code)).map(charge).collect();
        Stay { from, to, guests, time_zone: self.time_zone.clone(), nights, extras }
    }
}

/// A night and what it costs for one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Night {
    pub date: Date,
    pub unit_price: i64,
}

/// An extra of an order. `amount = quantity * unit_price`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    pub code: String,
    pub name: String,
    pub per: Per,
    pub quantity: i64,
    pub unit_price: i64,
    pub amount: i64,
}

/// A stay as it was booked: a snapshot, kept with the order's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    pub from: Date,
    pub to: Date,
    pub guests: i64,
    pub time_zone: String,
    pub nights: Vec<Night>,
    pub extras: Vec<Charge>,
}

json_in_sql!(Stay);

impl Stay {
    /// All nights, for one room.
    pub fn room_price(&self) -> i64 {
        self.nights.iter().map(|night| night.unit_price).sum()
    }

    pub fn extras_amount(&self) -> i64 {
        self.extras.iter().map(|charge| charge.amount).sum()
    }

    /// From here on the guests can check in.
    pub fn begins_at(&self) -> Timestamp {
        midnight(self.from, &self.time_zone)
    }

    /// The end of the day of arrival: who comes tonight can pay until then, and nobody pays for a night that
    /// has gone by.
    pub fn due_by(&self) -> Timestamp {
        midnight(self.from.saturating_add(1.day()), &self.time_zone)
    }

    /// The end of the day of departure.
    pub fn ends_at(&self) -> Timestamp {
        midnight(self.to.saturating_add(1.day()), &self.time_zone)
    }

    /// Whether its first day is over.
    pub fn is_past(&self, at: Timestamp) -> bool {
        self.from < self.day(at)
    }

    /// The day it is there.
    pub fn day(&self, at: Timestamp) -> Date {
        at.to_zoned(zone::stored(&self.time_zone)).date()
    }

    /// From when on the guests of one night can check in, and until when: the day after it is theirs.
    pub fn span(&self, night: Date) -> (Timestamp, Timestamp) {
        let end = night.saturating_add(2.days());
        (midnight(night, &self.time_zone), midnight(end, &self.time_zone))
    }
}

/// When a day begins there.
fn midnight(day: Date, time_zone: &str) -> Timestamp {
    day.to_zoned(zone::stored(time_zone)).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_place() {
        let terms = Terms { time_zone: "Europe/Vienna".to_owned(), ..Terms::default() };
        let booking = Booking {
            rooms: 1,
            from: Date::constant(2026, 10, 24),
            to: Date::constant(2026, 10, 25), // a day of 25 hours
            guests: 4,
            extras: Vec::new(),
        };
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        let wrong = |at| terms.check(&booking, time(at)).into_iter().map(|i| i.field).collect::<Vec<_>>();
        assert_eq!(wrong("2026-10-24T21:59:59Z"), [""; 0]);
        assert_eq!(wrong("2026-10-24T22:00:00Z"), ["stay.from"]);

        let stay = terms.book(&booking, Vec::new());
        assert_eq!(stay.begins_at(), time("2026-10-23T22:00:00Z"));
        assert_eq!(stay.due_by(), time("2026-10-24T22:00:00Z"));
        assert_eq!(stay.ends_at(), time("2026-10-25T23:00:00Z"));
        assert!(!stay.is_past(time("2026-10-24T21:59:59Z")) && stay.is_past(time("2026-10-24T22:00:00Z")));
    }
}
