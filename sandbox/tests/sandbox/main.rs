//! The sandbox by its client and over bare HTTP; webhooks arrive at a listener of the test.
#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "a test is an edge: its clock is the machine's")]

mod attempts;
mod direct;
mod faults;
mod harness;
mod refunds;
mod restart;
mod statement;
mod webhooks;
