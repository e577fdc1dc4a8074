//! The rules of Holdfast: ids, money, orders, stock, stays, payments, policy.
//!
//! Pure by construction: no I/O, no async, no clock and no randomness. Callers bring the time and
//! the random bytes. Everything that enters through [`Invalid`]-returning constructors is valid from
//! then on and is not checked again.

#[macro_use]
#[doc(hidden)]
pub mod text_enum;
#[macro_use]
mod in_sql;

pub mod account;
pub mod api_key;
pub mod attribution;
pub mod change;
pub mod check_in;
pub mod collect;
pub mod customer;
pub mod email;
pub mod event;
pub mod exception;
mod fold;
pub mod id;
mod invalid;
mod locale;
pub mod mail;
pub mod metadata;
pub mod money;
pub mod next_step;
pub mod order;
pub mod payment;
pub mod policy;
pub mod product;
pub mod provider_event;
pub mod public_event;
pub mod refusal;
pub mod returns;
pub mod search;
pub mod settlement;
pub mod statement;
pub mod stay;
pub mod stock;
mod text;
pub mod webhook;
pub mod zone;

pub use id::{
    AccountCodeId, AccountId, ApiKeyId, ChangeId, DisputeId, ExceptionId, MovementId, OrderId, PaymentId,
    RefundId, SessionId, WebhookEndpointId,
};
pub use invalid::{Invalid, Invalids};
pub use jiff::{SignedDuration, Timestamp, civil::Date};
#[cfg(feature = "sqlx")]
#[doc(hidden)]
pub use sqlx;
#[cfg(feature = "utoipa")]
#[doc(hidden)]
pub use utoipa;
