//! The one program of Holdfast.

mod config;
mod dev;
mod run;
mod stop;

use clap::{Parser, Subcommand};
use telemetry::Format;

/// Holds stock until the money arrives.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything on this machine: PostgreSQL, Temporal, a mail catcher, the API and a worker
    Dev(dev::Args),
    /// Serve the HTTP API
    Api,
    /// Run workflows and activities
    Worker,
    /// Bring the database's schema up to date
    Migrate,
    /// Prove the invariants on the database; exits with 1 if one is broken
    Audit,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Cli::parse().command;
    let format = match command {
        Command::Dev(_) => Format::Text,
        _ => Format::Json,
    };
    let _guard = telemetry::init("holdfast", format)?;
    match command {
        Command::Dev(args) => dev::run(args).await,
        Command::Api => run::api().await,
        Command::Worker => run::worker().await,
        Command::Migrate => run::migrate().await,
        Command::Audit => run::audit().await,
    }
}
