//! All SQL of Holdfast, one file per aggregate. Nothing outside this crate writes a query.
//!
//! Every change of an order is one transaction that locks the order's row, checks its status, and
//! writes the change together with its timeline entries and public events.

pub mod accounts;
pub mod api_keys;
pub mod audit;
mod batcher;
pub mod bounces;
pub mod cause;
pub mod changes;
pub mod check_ins;
pub mod console_sessions;
mod database_url;
pub mod disputes;
mod error;
pub mod events;
pub mod exceptions;
mod executor;
pub mod figures;
mod idempotency;
pub mod inbox;
mod lease;
pub mod ledger;
mod locks;
pub mod mails;
mod migrate;
mod order_events;
pub mod order_links;
pub mod orders;
pub mod overview;
pub mod payments;
mod placement_batcher;
mod pool;
pub mod products;
mod random;
mod reach;
pub mod received;
pub mod refunds;
mod retry;
mod returns;
mod settlement_batcher;
pub mod settlements;
pub mod stays;
pub mod stock;
mod time;
pub mod timeline;
pub mod webhook_endpoints;

pub use error::{Fault, Result};
use error::{OrFault, or_fault};
pub use executor::{Connection, Tx};
pub use idempotency::Idempotency;
pub use lease::{GRACE, Lease};
pub use migrate::Readiness;
pub use placement_batcher::PlacementBatcher;
pub use pool::{Db, Pooler};
pub use random::random;
pub use settlement_batcher::SettlementBatcher;

use time::{SqlTime, sql};
