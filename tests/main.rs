//! The black-box tests: the real program, as its users run it, against real servers.
//!
//! One PostgreSQL, one Temporal server (with time skipping) and one mail catcher are started per run
//! and end with it, however it ends; see `harness/servers.rs`. Each test opens a [`harness::Shop`]: a
//! database of its own, a task queue of its own, and its own `holdfast api` and `holdfast worker`
//! processes on free ports. So tests run side by side, may kill whatever they started, and skip the
//! hours of their own orders only. A failing test prints the end of its processes' logs.
//!
//! What the API answers is declared in `harness/documents.rs`, as a client would; what documents and mails
//! say as a whole is compared with `tests/snapshots`.
//!
//! `Shop::close` ends each test: it proves the invariants with `holdfast audit` and that no personal
//! data reached a log.
//!
//! Rules: tests speak to Holdfast as its users do, by HTTP and mail, and by Temporal's client where its view
//! is the subject. `repeats.rs`, `batches.rs` and `interleavings.rs` alone play a process by themselves and
//! call `store`. Tests wait for conditions with a deadline, never for a time, and nothing is tried twice to
//! make it pass.
#![allow(clippy::unwrap_used)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test is an edge: its clock and environment are the machine's"
)]

mod harness;

mod accounts;
mod accounts_attacked;
mod accounts_by_shop;
mod accounts_erased;
mod api_keys;
mod attempts;
mod bad_stays;
mod batches;
mod bounces;
mod busy;
mod cancel_paid;
mod catalogue;
mod changes;
mod clients;
mod conflicts;
mod connections;
mod console;
mod console_browser;
mod console_orders;
mod console_pages;
mod console_stock;
mod consume;
mod crashes;
mod day;
mod deadline;
mod dev;
mod dev_browser;
mod disputes;
mod errors;
mod events;
mod examples;
mod exceptions;
mod fuzz;
mod gateway;
mod happy_path;
mod hosted_page;
mod http2;
mod idempotency;
mod interleavings;
mod kafka;
mod keys;
mod large_amounts;
mod ledger;
mod limits;
mod local_times;
mod mails;
mod mails_languages;
mod mails_signed;
mod money;
mod names;
mod operations;
mod outages;
mod parts_back;
mod payable;
mod payments;
mod pgbouncer;
mod planned_once;
mod plans;
mod policy;
mod reach;
mod reads;
mod reconcile;
mod refunds;
mod refunds_told;
mod repeats;
mod replay;
mod requests;
mod restock;
mod restock_failed;
mod restock_stays;
mod snapshots;
mod spellings;
mod stays;
mod stays_deadline;
mod steps;
mod stock;
mod stripe;
mod temporal_view;
mod timelines;
mod tls;
mod underpayment;
mod update;
mod webhooks;
mod webhooks_out;
mod wechat;
mod who_asked;
mod zero;
