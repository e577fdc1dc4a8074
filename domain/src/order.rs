//! Orders: what a client may ask for, and the states an order passes through.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    Invalid, Invalids, OrderId,
    customer::Customer,
    metadata::Metadata,
    money::{Currency, MAX_AMOUNT, Money},
    policy::Policy,
    returns::Gone,
    stay::{Booking, MAX_STAYS, Stay, UncheckedBooking},
    stock::{Quantity, Sku},
};

pub const MAX_LINES: usize = 100;

text_enum! {
    /// Where an order stands. It reaches exactly one terminal state and never leaves it.
    pub enum Status("status" as "OrderStatus") {
        AwaitingPayment = "awaiting_payment",
        /// Paid, and waiting to be fulfilled: by hand, or by the guest's check-in.
        Paid = "paid",
        Completed = "completed",
        Cancelled = "cancelled",
        Expired = "expired",
    }
}

impl Status {
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Expired)
    }
}

/// What a client asks for: SKUs and quantities, no prices. Its parts are parsed by [`Customer::parse`],
/// [`parse_lines`], [`Policy::parse`] and [`Metadata::parse`].
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    pub customer: Customer,
    pub currency: Currency,
    /// A map is walked in SKU order, which is the order in which stock is locked.
    pub lines: BTreeMap<Sku, Requested>,
    pub policy: Policy,
    /// The provider that collects the money, if we do that for the shop.
    pub payment_method: Option<String>,
    pub metadata: Metadata,
}

/// What is wanted of one SKU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requested {
    Pieces(Quantity),
    /// Of a product that is sold by the night.
    Rooms(Booking),
}

impl Placement {
    /// The stock units it wants: each SKU, or each of its nights.
    pub fn units(&self) -> impl Iterator<Item = Sku> {
        self.lines.iter().flat_map(|(sku, requested)| match requested {
            Requested::Pieces(_) => vec![sku.clone()],
            Requested::Rooms(booking) => booking.nights().map(|night| sku.night(night)).collect(),
        })
    }
}

/// A line as a client asks for it.
#[derive(Debug)]
pub struct UncheckedLine<'a> {
    pub sku: &'a str,
    /// Pieces, or rooms.
    pub quantity: i64,
    pub stay: Option<UncheckedBooking>,
}

/// Reads the lines of an order. Pieces of one SKU are summed; a SKU with a stay stands in one line only. What
/// is wrong with stays is said after what is wrong with all SKUs and quantities.
pub fn parse_lines(unchecked: Vec<UncheckedLine<'_>>, invalids: &mut Invalids) -> BTreeMap<Sku, Requested> {
    let has_lines = (1..=MAX_LINES).contains(&unchecked.len());
    let (mut of_lines, mut of_stays) = (Invalids::default(), Invalids::default());
    let (mut lines, mut sums, mut seen) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (i, UncheckedLine { sku: name, quantity, stay }) in unchecked.into_iter().enumerate() {
        let line = format!("lines[{i}]");
        let sku = of_lines.check_in(&line, Sku::parse(name));
        // A bad number of rooms is said here; the rest of the booking is looked at as if it were a good one.
        let rooms = Quantity::nearest(quantity);
        let quantity = of_lines.check_in(&line, Quantity::parse(quantity));
        if seen.insert(name, stay.is_some()).is_some_and(|before| before || stay.is_some()) {
            of_stays.push(Invalid::new(format!("{line}.sku"), "can have one stay in an order"));
        }
        let booking = stay.map(|stay| of_stays.check_all_in(&line, Booking::parse(rooms, stay)));
        let (Some(sku), Some(quantity)) = (sku, quantity) else { continue };
        let sum = sums.entry(name).or_insert(0);
        *sum += quantity.get();
        let sum = of_lines.check_in(&line, Quantity::parse(*sum));
        let requested = match booking {
            Some(booking) => booking.map(Requested::Rooms),
            None => sum.map(Requested::Pieces),
        };
        lines.extend(requested.map(|requested| (sku, requested)));
    }
    match has_lines {
        true => invalids.append(of_lines),
        false => invalids.push(Invalid::new("lines", format!("must have 1 to {MAX_LINES} entries"))),
    }
    invalids.append(of_stays);
    if seen.into_values().filter(|is_stay| *is_stay).count() > MAX_STAYS {
        invalids.push(Invalid::new("lines", format!("must have at most {MAX_STAYS} stays")));
    }
    lines
}

/// A line with its price snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub sku: Sku,
    pub name: String,
    /// Pieces, or rooms.
    pub quantity: i64,
    /// Of one piece, or of all nights for one room.
    pub unit_price: i64,
    pub stay: Option<Stay>,
}

impl Line {
    /// Minor units. Cannot overflow an `i64`: see [`crate::money::MAX_UNIT_PRICE`] and the limits in
    /// [`crate::stay`].
    pub fn amount(&self) -> i64 {
        self.quantity * self.unit_price + self.stay.as_ref().map_or(0, Stay::extras_amount)
    }

    /// The stock units it holds, each `quantity` times.
    pub fn units(&self) -> Vec<Sku> {
        match &self.stay {
            None => vec![self.sku.clone()],
            Some(stay) => stay.nights.iter().map(|night| self.sku.night(night.date)).collect(),
        }
    }
}

/// What lines cost together, if that is an amount of money.
pub fn total(lines: &[Line]) -> Result<i64, Invalid> {
    let total: i128 = lines.iter().map(|line| i128::from(line.amount())).sum();
    let total = i64::try_from(total).ok().filter(|total| *total <= MAX_AMOUNT);
    total.ok_or_else(|| Invalid::new("lines", format!("must cost at most {MAX_AMOUNT} minor units in all")))
}

/// By when an order with these lines has to be paid. None: nothing in them waits for a day.
pub fn latest_payment_due(lines: &[Line]) -> Option<Timestamp> {
    lines.iter().filter_map(|line| line.stay.as_ref()).map(Stay::due_by).min()
}

/// An order as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub id: OrderId,
    pub status: Status,
    pub payment_status: PaymentStatus,
    pub currency: Currency,
    pub total: i64,
    /// What came towards an order that is not paid yet.
    pub parts_paid: i64,
    pub lines: Vec<Line>,
    /// What of the lines came back, or will.
    pub gone: Gone,
    pub customer: Customer,
    pub policy: Policy,
    pub payment_method: Option<String>,
    pub placed_at: Timestamp,
    pub payment_due_at: Timestamp,
    pub paid_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    pub close_reason: Option<String>,
    pub metadata: Metadata,
}

impl Order {
    pub const fn total(&self) -> Money {
        Money::new(self.total, self.currency)
    }

    /// Whether a night of its stays is still its guests'.
    pub fn has_nights_left(&self) -> bool {
        let gone = |unit: &Sku| self.gone.get(unit).map_or(0, |back| back.gone());
        let stays = self.lines.iter().filter(|line| line.stay.is_some());
        stays
            .flat_map(|line| line.units().into_iter().map(|unit| (line.quantity, unit)))
            .any(|(rooms, unit)| rooms > gone(&unit))
    }

    /// Nobody has to pay for it.
    pub const fn is_free(&self) -> bool {
        self.total == 0
    }

    /// What came and counts towards it, whether or not it went back since.
    pub const fn amount_paid(&self) -> Money {
        let paid = if self.paid_at.is_some() { self.total } else { self.parts_paid };
        Money::new(paid, self.currency)
    }

    /// What is still to come: nothing, if it does not wait for money.
    pub const fn amount_due(&self) -> Money {
        let due = match self.status {
            Status::AwaitingPayment => self.total - self.parts_paid,
            _ => 0,
        };
        Money::new(due, self.currency)
    }

    /// An order as it is placed now, with what its lines cost.
    pub fn new(
        id: OrderId,
        placement: Placement,
        lines: Vec<Line>,
        total: i64,
        placed_at: Timestamp,
    ) -> Self {
        let Placement { customer, currency, lines: _, policy, payment_method, metadata } = placement;
        let order = Self {
            id,
            status: Status::AwaitingPayment,
            payment_status: PaymentStatus::Unpaid,
            currency,
            total,
            parts_paid: 0,
            policy: policy.for_lines(&lines),
            lines,
            gone: Gone::new(),
            customer,
            payment_method,
            placed_at,
            payment_due_at: placed_at,
            paid_at: None,
            closed_at: None,
            close_reason: None,
            metadata,
        };
        order.as_placed()
    }

    /// As it was the moment it was placed: waiting for its money, or paid already if it is free.
    pub fn as_placed(self) -> Self {
        let (status, payment_status) = match self.is_free() {
            true => (self.policy.fulfilment.status_once_paid(), PaymentStatus::Paid),
            false => (Status::AwaitingPayment, PaymentStatus::Unpaid),
        };
        let placed_at = self.placed_at;
        Self {
            status,
            payment_status,
            parts_paid: 0,
            payment_due_at: self.policy.payment_due_at(placed_at),
            paid_at: self.is_free().then_some(placed_at),
            closed_at: status.is_terminal().then_some(placed_at),
            close_reason: None,
            gone: Gone::new(),
            ..self
        }
    }

    /// By when it has to be paid at the latest, however often it is extended: before the first of its stays'
    /// nights.
    pub fn latest_payment_due(&self) -> Option<Timestamp> {
        latest_payment_due(&self.lines)
    }

    /// When the last of its stays is over, if it has one.
    pub fn stays_end_at(&self) -> Option<Timestamp> {
        self.lines.iter().filter_map(|line| line.stay.as_ref()).map(Stay::ends_at).max()
    }
}

text_enum! {
    pub enum PaymentStatus("payment_status" as "PaymentStatus") {
        Unpaid = "unpaid",
        Paid = "paid",
        RefundPending = "refund_pending",
        Refunded = "refunded",
        PartiallyRefunded = "partially_refunded",
    }
}

text_enum! {
    /// Why we closed an order ourselves. A shop that cancels one says why in its own words.
    pub enum CloseReason("close_reason") {
        PaymentOverdue = "payment_overdue",
        /// The guests have checked in, or the shop has let them in.
        Used = "used",
        /// The stay is over, and nobody came.
        Unused = "unused",
        /// All of its money went back.
        Refunded = "refunded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_sku_are_summed_and_bounded_together() {
        let read = |entries: &[(&'static str, i64)]| {
            let mut invalids = Invalids::default();
            let line = |&(sku, quantity)| UncheckedLine { sku, quantity, stay: None };
            let lines = parse_lines(entries.iter().map(line).collect(), &mut invalids);
            let fields: Vec<String> = invalids.into_vec().into_iter().map(|i| i.field).collect();
            let pieces = |requested| match requested {
                Requested::Pieces(quantity) => quantity.get(),
                Requested::Rooms(booking) => panic!("{booking:?}"),
            };
            (lines.into_values().map(pieces).collect::<Vec<_>>(), fields)
        };
        assert_eq!(read(&[("tea", 6_000), ("mug", 1), ("tea", 4_000)]), (vec![1, 10_000], vec![]));
        assert_eq!(read(&[("tea", 6_000), ("tea", 4_001)]).1, ["lines[1].quantity"]);
        assert_eq!(
            read(&[("t?a", 0), ("tea", -1)]).1,
            ["lines[0].sku", "lines[0].quantity", "lines[1].quantity"]
        );
        assert_eq!(read(&[]).1, ["lines"]);
        assert_eq!(read(&[("tea", 1); 101]).1, ["lines"]);
    }
}
