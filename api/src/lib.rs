//! HTTP in and out. Handlers parse, call `store` or `engine`, and answer; they decide nothing.

mod app;
mod auth;
mod behind;
mod bodies;
mod clock;
mod codec;
mod condition;
mod details;
mod error;
mod exceptions;
mod extract;
mod figures;
mod headers;
mod idempotency;
mod inventory;
mod ledger;
mod list;
mod openapi;
mod operations;
mod orders;
mod payments;
mod products;
mod query;
mod refunds;
mod request;
mod router;
mod sandbox;
mod settlements;
mod stays;
mod webhooks;

pub use app::App;
pub use auth::ApiKeys;
pub use codec::serve_codec;
pub use figures::MailProbe;
pub use operations::Operations;
pub use router::{loopback, serve, serve_operations};
