//! Stock: levels are the sum of an append-only ledger of movements.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{Invalid, money, stay, text};

pub const MAX_QUANTITY: i64 = 10_000;
pub const MAX_ADJUSTMENT: i64 = 1_000_000_000;
/// As large as a number in an answer may be.
pub const MAX_ON_HAND: i64 = money::MAX_AMOUNT;

/// A stock keeping unit: 1-64 characters out of letters, digits, `.`, `_`, `-`, `/`, `+` and spaces, but none
/// around it.
///
/// What a client sends goes through [`Sku::parse`]. serde and sqlx read what is stored, and that as it is:
/// the rules have become stricter since the first SKUs, and those must stay readable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
pub struct Sku(String);

impl Sku {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text.trim() == text {
            true => text::token("sku", text, 64, "._-/+ ").map(Self),
            false => Err(Invalid::new("sku", "must not begin or end with a space")),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A stock unit as the ledger names it: a SKU, or a night of one, such as `room@2026-07-01`.
    pub fn parse_unit(text: &str) -> Result<Self, Invalid> {
        match text.split_once('@') {
            None => Self::parse(text),
            Some((sku, night)) => Ok(Self::parse(sku)?.night(stay::date("sku", night)?)),
        }
    }

    /// The stock unit of one night of this product. No client's SKU has an `@`.
    pub fn night(&self, night: Date) -> Self {
        Self(format!("{}@{night}", self.0))
    }

    /// A stock unit's product, and which night of it.
    pub fn split(&self) -> (Self, Option<Date>) {
        match self.0.split_once('@') {
            Some((sku, night)) => (Self(sku.to_owned()), night.parse().ok()),
            None => (self.clone(), None),
        }
    }
}

impl std::fmt::Display for Sku {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many pieces, or rooms, an order wants of one SKU: 1 to [`MAX_QUANTITY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity(i64);

impl Quantity {
    /// The one that is closest to what was asked.
    pub fn nearest(quantity: i64) -> Self {
        Self(quantity.clamp(1, MAX_QUANTITY))
    }

    pub fn parse(quantity: i64) -> Result<Self, Invalid> {
        match quantity {
            1..=MAX_QUANTITY => Ok(Self(quantity)),
            _ => Err(Invalid::new("quantity", format!("must be 1 to {MAX_QUANTITY}"))),
        }
    }

    pub const fn get(self) -> i64 {
        self.0
    }
}

text_enum! {
    /// What moves stock by hand, without an order.
    #[derive(Default)]
    pub enum ByHand("kind") {
        /// A correction, up or down.
        #[default]
        Adjusted = "adjusted",
        /// A delivery: up.
        Received = "received",
    }
}

impl From<ByHand> for Movement {
    fn from(by_hand: ByHand) -> Self {
        match by_hand {
            ByHand::Adjusted => Self::Adjusted,
            ByHand::Received => Self::Received,
        }
    }
}

/// Checks the delta of a movement by hand.
pub fn adjustment(kind: ByHand, delta: i64) -> Result<i64, Invalid> {
    match delta {
        ..=0 if kind == ByHand::Received => {
            Err(Invalid::new("delta", "must be positive for what was received"))
        }
        0 => Err(Invalid::new("delta", "must not be zero")),
        d if d.unsigned_abs() > MAX_ADJUSTMENT.unsigned_abs() => {
            Err(Invalid::new("delta", format!("must be within ±{MAX_ADJUSTMENT}")))
        }
        d => Ok(d),
    }
}

/// What is on hand after an adjustment by `delta`, if it can be said.
pub fn adjusted(on_hand: i64, delta: i64) -> Result<i64, Invalid> {
    let after = on_hand.checked_add(delta).filter(|after| *after <= MAX_ON_HAND);
    after.ok_or_else(|| Invalid::new("delta", format!("would bring more than {MAX_ON_HAND} on hand")))
}

/// Checks the reason of an adjustment.
pub fn reason(reason: &str) -> Result<String, Invalid> {
    text::line("reason", reason, 200)
}

/// What there is of a SKU. `available + held = on_hand`, none negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Level {
    pub on_hand: i64,
    pub held: i64,
}

impl Level {
    pub const fn available(self) -> i64 {
        self.on_hand - self.held
    }
}

text_enum! {
    /// A kind of ledger entry.
    pub enum Movement("kind" as "MovementKind") {
        /// Delivered: new on the shelf.
        Received = "received",
        /// Counted, or written off; `quantity` is signed.
        Adjusted = "adjusted",
        /// Set aside for an order.
        Held = "held",
        /// Sold: leaves the house.
        Committed = "committed",
        /// No longer set aside.
        Released = "released",
        /// Sold, and back on the shelf.
        Returned = "returned",
    }
}

impl Movement {
    /// What the movement adds to (on hand, held).
    pub const fn deltas(self, quantity: i64) -> (i64, i64) {
        match self {
            Self::Received | Self::Adjusted | Self::Returned => (quantity, 0),
            Self::Held => (0, quantity),
            Self::Committed => (-quantity, -quantity),
            Self::Released => (0, -quantity),
        }
    }
}

/// Why a hold was refused: one entry per SKU, or night of it, that fell short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Shortage {
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub sku: Sku,
    /// Of a stay: which of its nights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub night: Option<Date>,
    pub requested: i64,
    pub available: i64,
}
