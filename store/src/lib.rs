//! All SQL of Holdfast, one file per aggregate. Nothing outside this crate writes a query.
//!
//! Every change of an order is one transaction that locks the order's row, checks its status, and
//! writes the change together with its timeline entries and outbox rows.

pub mod audit;
mod batcher;
pub mod changes;
pub mod check_ins;
mod database_url;
pub mod disputes;
mod error;
pub mod exceptions;
mod executor;
pub mod figures;
pub mod inbox;
mod lease;
pub mod ledger;
pub mod mails;
mod migrate;
mod order_events;
pub mod orders;
pub mod payments;
mod placement_batcher;
mod pool;
pub mod products;
mod reach;
pub mod received;
pub mod refunds;
mod retry;
mod returns;
mod settlement_batcher;
pub mod settlements;
pub mod stays;
pub mod stock;
pub mod timeline;

pub use error::{Error, Result};
pub use executor::{Connection, Tx};
pub use lease::{GRACE, Lease};
pub use migrate::Readiness;
pub use placement_batcher::PlacementBatcher;
pub use pool::{Db, Pooler};
pub use settlement_batcher::SettlementBatcher;

use domain::Timestamp;
use jiff_sqlx::ToSqlx as _;

/// A time as PostgreSQL stores it.
type SqlTime = jiff_sqlx::Timestamp;

fn sql(at: Timestamp) -> SqlTime {
    at.to_sqlx()
}

/// Random bytes from the operating system: for ids, and for secrets.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness once it runs programs");
    bytes
}

/// Which request this is: the client's key, and a hash of what it asked for.
#[derive(Debug, Clone)]
pub struct Idempotency {
    pub key: String,
    pub request_hash: Vec<u8>,
}
