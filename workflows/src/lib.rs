//! The stories: what happens to an order, and to money that comes too late, told as durable
//! workflows. This crate knows no database, no HTTP and no mail server; it names the steps it needs
//! in [`contract`], and the `activities` crate does them.

mod account_code;
pub mod contract;
mod late_payment;
pub mod names;
mod order;
mod reconcile;
mod refund;
mod step;
pub mod timeouts;

pub use account_code::{AccountCodeInput, AccountCodeWorkflow};
pub use late_payment::{LatePaymentInput, LatePaymentWorkflow};
pub use order::{ChangeNotice, OrderInput, OrderState, OrderWorkflow, requests};
pub use reconcile::ReconcileWorkflow;
pub use refund::{RefundInput, RefundWorkflow};
