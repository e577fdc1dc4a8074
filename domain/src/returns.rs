//! What of an order comes back with a refund: pieces, or nights of a stay, each counted in stock units
//! ([`Sku::night`]). What is claimed by a refund, or came back, is no longer owed to the order's customer.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _, civil::Date};

use crate::{
    Invalid,
    order::Line,
    stay::{self, Charge, Night, Per, Stay},
    stock::Sku,
};

/// How many of each stock unit.
pub type Units = BTreeMap<Sku, i64>;

/// What of one stock unit is no longer the order's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Back {
    /// On the shelf again.
    pub returned: i64,
    /// On its way: it comes back once the money of its refund has.
    pub claimed: i64,
}

impl Back {
    pub const fn gone(self) -> i64 {
        self.returned + self.claimed
    }
}

/// Of each stock unit of an order of which anything came back, or will.
pub type Gone = BTreeMap<Sku, Back>;

text_enum! {
    /// What became of a stock unit that a refund is to bring back.
    pub enum UnitState("state") {
        /// It waits for the money.
        Claimed = "claimed",
        /// It is on the shelf again.
        Returned = "returned",
        /// The refund failed for good: it is owed again, and waits for the refund that is made in its place.
        Freed = "freed",
        /// That has claimed it, or the order was handed over as a whole.
        Void = "void",
    }
}

/// What a client wants to come back of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// As it was asked: what is no SKU is one that the order does not have.
    pub sku: String,
    /// Of a stay: its nights from one day to another.
    pub stay: Option<(Date, Date)>,
    /// Pieces, or rooms; of a stay all that are left if absent.
    pub quantity: Option<i64>,
}

/// Pieces of a SKU, or as many rooms in each night from one day to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub sku: Sku,
    pub stay: Option<(Date, Date)>,
    pub quantity: i64,
}

/// Why something cannot come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request does not fit the order.
    Invalid(Vec<Invalid>),
    /// It is more than can come back; this is how much can.
    Beyond(Vec<Run>),
}

/// What was sold with an order, and what of it is gone.
#[derive(Debug, Clone)]
pub struct Sold {
    pub lines: Vec<Line>,
    pub gone: Gone,
    /// The time, if the order's guests have checked in: a night that somebody sleeps in does not come back.
    pub in_use: Option<Timestamp>,
}

impl Sold {
    /// Everything that is still there. The guests who are in the house keep what they have not slept in yet,
    /// unless somebody names those nights.
    pub fn all(&self) -> Result<Units, Refusal> {
        let to_come = |line: &Line, unit: &Sku| match (self.in_use, &line.stay, unit.split().1) {
            (Some(at), Some(stay), Some(night)) => self.left(line, unit) > 0 && night >= stay.day(at),
            _ => false,
        };
        if self.each().any(|(line, unit)| to_come(line, &unit)) {
            return Err(Refusal::Beyond(self.returnable(&self.lines.iter().collect::<Vec<_>>())));
        }
        Ok(self
            .each()
            .map(|(line, unit)| (unit.clone(), self.left(line, &unit)))
            .filter(|it| it.1 > 0)
            .collect())
    }

    /// What was asked for, line by line, if it is there.
    pub fn parts(&self, parts: &[Part]) -> Result<Units, Refusal> {
        let mut asked = Units::new();
        let mut invalids = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let units = self.units(part).and_then(|units| no_night_twice(&asked, units));
            match units.map_err(|invalid| invalid.within(&format!("lines[{i}]"))) {
                Err(invalid) => invalids.push(invalid),
                Ok(units) => {
                    for (unit, quantity) in units {
                        let sum = asked.entry(unit).or_default();
                        *sum = sum.saturating_add(quantity);
                    }
                }
            }
        }
        if !invalids.is_empty() {
            return Err(Refusal::Invalid(invalids));
        }
        let too_much = |(line, unit): (&Line, Sku)| {
            asked.get(&unit).is_some_and(|quantity| *quantity > self.free(line, &unit))
        };
        if self.each().any(too_much) {
            let named = |line: &&Line| parts.iter().any(|part| part.sku == line.sku.as_str());
            return Err(Refusal::Beyond(
                self.returnable(&self.lines.iter().filter(named).collect::<Vec<_>>()),
            ));
        }
        Ok(asked)
    }

    /// As many of these as are still there.
    pub fn as_far_as_there(&self, units: Units) -> Units {
        let left = |unit: &Sku| {
            self.each().find(|(_, it)| it == unit).map_or(0, |(line, unit)| self.left(line, &unit))
        };
        let fit = units.into_iter().map(|(unit, quantity)| (unit.clone(), quantity.min(left(&unit))));
        fit.filter(|(_, quantity)| *quantity > 0).collect()
    }

    /// What was paid for these: pieces and nights at their price. Extras that are charged by the night go
    /// with the nights, each in proportion; those that are charged once go with the last night of all rooms.
    pub fn paid_for(&self, units: &Units) -> i64 {
        let of_line = |line: &Line| {
            let more = |unit: &Sku| units.get(unit).copied().unwrap_or_default();
            value(line, &|unit| self.gone(unit) + more(unit)) - value(line, &|unit| self.gone(unit))
        };
        self.lines.iter().map(of_line).sum()
    }

    /// The spans of time in which the guests of each night that is still owed can check in.
    pub fn spans(&self) -> Vec<(Timestamp, Timestamp)> {
        let owed = self.each().filter(|(line, unit)| self.left(line, unit) > 0);
        owed.filter_map(|(line, unit)| Some(line.stay.as_ref()?.span(unit.split().1?))).collect()
    }

    fn each(&self) -> impl Iterator<Item = (&Line, Sku)> {
        self.lines.iter().flat_map(|line| line.units().into_iter().map(move |unit| (line, unit)))
    }

    fn gone(&self, unit: &Sku) -> i64 {
        self.gone.get(unit).map_or(0, |back| back.gone())
    }

    fn left(&self, line: &Line, unit: &Sku) -> i64 {
        line.quantity - self.gone(unit)
    }

    /// What of it can come back now.
    fn free(&self, line: &Line, unit: &Sku) -> i64 {
        match (self.in_use, &line.stay, unit.split().1) {
            (Some(at), Some(stay), Some(night)) if night == stay.day(at) => 0,
            _ => self.left(line, unit),
        }
    }

    /// The stock units that a part of a request is about, and how many of each.
    fn units(&self, part: &Part) -> Result<Units, Invalid> {
        let line = self.lines.iter().find(|line| line.sku.as_str() == part.sku);
        let line =
            line.ok_or_else(|| Invalid::new("sku", format!("there is no {} in this order", part.sku)))?;
        match (&line.stay, part.stay) {
            (None, None) => {
                let quantity = part.quantity.ok_or_else(|| Invalid::new("quantity", "is required"))?;
                Ok(Units::from([(line.sku.clone(), quantity)]))
            }
            (None, Some(_)) => Err(Invalid::new("stay", format!("{} is not sold by the night", line.sku))),
            (Some(_), None) => {
                Err(Invalid::new("stay", format!("is required: {} is sold by the night", line.sku)))
            }
            (Some(stay), Some((from, to))) if from < stay.from || to > stay.to => {
                Err(Invalid::new("stay", format!("must lie within {} to {}", stay.from, stay.to)))
            }
            (Some(_), Some((from, to))) => {
                let rooms = |unit: &Sku| part.quantity.unwrap_or_else(|| self.left(line, unit).max(1));
                let units = stay::nights(from, to).map(|night| line.sku.night(night));
                Ok(units.map(|unit| (unit.clone(), rooms(&unit))).collect())
            }
        }
    }

    /// What can come back of these lines; of a SKU of which nothing can, zero.
    fn returnable(&self, lines: &[&Line]) -> Vec<Run> {
        let mut all = Vec::new();
        for line in lines {
            let units = line.units().into_iter().map(|unit| (unit.clone(), self.free(line, &unit)));
            let mut found = runs(&units.filter(|(_, free)| *free > 0).collect());
            if found.is_empty() {
                found.push(Run { sku: line.sku.clone(), stay: None, quantity: 0 });
            }
            all.append(&mut found);
        }
        all
    }
}

/// Pieces of one SKU are summed; of nights nobody could tell what was meant.
fn no_night_twice(asked: &Units, units: Units) -> Result<Units, Invalid> {
    let twice = units.keys().any(|unit| unit.split().1.is_some() && asked.contains_key(unit));
    if twice { Err(Invalid::new("stay", "names a night that an earlier line names")) } else { Ok(units) }
}

/// What is worth so many of each unit of a line, in minor units.
fn value(line: &Line, gone: &dyn Fn(&Sku) -> i64) -> i64 {
    let Some(stay) = &line.stay else { return gone(&line.sku) * line.unit_price };
    let (mut nights, mut count) = (0, 0);
    for Night { date, unit_price } in &stay.nights {
        let rooms = gone(&line.sku.night(*date));
        nights += rooms * unit_price;
        count += rooms;
    }
    let all = line.quantity * stay.nights.len() as i64;
    let extra = |charge: &Charge| match charge.per {
        _ if count >= all => charge.amount,
        Per::Stay | Per::Guest => 0,
        // In between, what is smaller than any coin is kept until the last night.
        Per::Night | Per::GuestNight => {
            i64::try_from(i128::from(charge.amount) * i128::from(count) / i128::from(all.max(1)))
                .unwrap_or(charge.amount)
        }
    };
    nights + stay.extras.iter().map(extra).sum::<i64>()
}

/// Units as people read them: consecutive nights with as many rooms are one run.
pub fn runs(units: &Units) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (unit, &quantity) in units {
        let (sku, night) = unit.split();
        let goes_on = |run: &&mut Run| run.sku == sku && run.quantity == quantity;
        match (night, runs.last_mut().filter(goes_on).and_then(|run| run.stay.as_mut())) {
            (Some(night), Some((_, to))) if *to == night => *to = night.saturating_add(1.day()),
            (night, _) => {
                let stay = night.map(|night| (night, night.saturating_add(1.day())));
                runs.push(Run { sku, stay, quantity });
            }
        }
    }
    runs
}

/// What is left of a line, and what was paid for that.
pub fn rest(line: &Line, gone: &Gone) -> Vec<(Run, i64)> {
    let gone = |unit: &Sku| gone.get(unit).map_or(0, |back| back.gone());
    let left = line.units().into_iter().map(|unit| (unit.clone(), line.quantity - gone(&unit)));
    let worth = line.amount() - value(line, &gone);
    let runs = runs(&left.filter(|(_, left)| *left > 0).collect());
    let mut priced: Vec<(Run, i64)> =
        runs.into_iter().map(|run| (run.clone(), price(line.stay.as_ref(), line.unit_price, &run))).collect();
    // The extras that are left stand with the first.
    let extras = worth - priced.iter().map(|(_, price)| price).sum::<i64>();
    if let Some((_, first)) = priced.first_mut() {
        *first += extras;
    }
    priced
}

fn price(stay: Option<&Stay>, unit_price: i64, run: &Run) -> i64 {
    let one = match (stay, run.stay) {
        (Some(stay), Some((from, to))) => {
            stay.nights.iter().filter(|it| (from..to).contains(&it.date)).map(|it| it.unit_price).sum()
        }
        _ => unit_price,
    };
    run.quantity * one
}

/// Where a time lies among the spans in which guests can check in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckInWindow {
    Open,
    /// The next span begins then.
    Opens(Timestamp),
    /// All are over.
    Shut,
}

pub fn check_in_window(spans: &[(Timestamp, Timestamp)], at: Timestamp) -> CheckInWindow {
    if spans.iter().any(|(begin, end)| *begin <= at && at < *end) {
        return CheckInWindow::Open;
    }
    spans
        .iter()
        .map(|(begin, _)| *begin)
        .filter(|begin| *begin > at)
        .min()
        .map_or(CheckInWindow::Shut, CheckInWindow::Opens)
}
