//! What a payment report did to its order.
//!
//! These types stand in histories for as long as an order sleeps. Change them by adding fields with
//! `#[serde(default)]`, never otherwise.

use serde::{Deserialize, Serialize};

use crate::{OrderId, exception, money::Money, order::Status};

/// How a payment report was matched with its order. A report that is settled again gives the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SettlementOnTheWire")]
pub struct Settlement {
    pub settled: Settled,
    /// Another attempt could still bring money.
    pub attempts_open: bool,
    /// What is still to come, if the order goes on waiting for money.
    #[serde(default)]
    pub still_due: Option<Money>,
}

/// Histories from before there were attempts hold the first part alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum SettlementOnTheWire {
    Now {
        settled: Settled,
        attempts_open: bool,
        #[serde(default)]
        still_due: Option<Money>,
    },
    Before(Settled),
}

impl From<SettlementOnTheWire> for Settlement {
    fn from(wire: SettlementOnTheWire) -> Self {
        match wire {
            SettlementOnTheWire::Now { settled, attempts_open, still_due } => {
                Self { settled, attempts_open, still_due }
            }
            SettlementOnTheWire::Before(settled) => Self { settled, attempts_open: false, still_due: None },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// This payment pays the order, which now has this status.
    Paid(Status),
    /// The attempt failed. The hold stays, and the customer may try again.
    AttemptFailed,
    /// It counts towards the order, which waits for the rest; or it was recorded before, and does not pay
    /// the order.
    Known,
    /// The order had ended; this new one took its place and is paid.
    Reinstated(OrderId),
    /// The money does not settle the order: an exception, which a rule may have settled already.
    Unmatched(exception::Kind),
}
