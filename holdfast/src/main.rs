//! The one program of Holdfast.

mod config;
mod consume;
mod dev;
mod gateway;
mod identity;
mod kafka;
mod keys;
mod mails;
mod providers;
mod run;
mod stop;
mod webhooks;

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use telemetry::Format;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
    /// Give messages of Kafka to services' HTTP routes
    Consume(consume::Args),
    /// Bring the database's schema up to date
    Migrate,
    /// Read the payment providers' statements now, and match them with ours
    Reconcile,
    /// Write the catalogue anew from the history of each product
    RebuildCatalogue,
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Look at the mails that customers get
    #[command(subcommand)]
    Mails(mails::Command),
    /// Prove the invariants on the database; exits with 1 if one is broken
    Audit,
}

#[tokio::main]
async fn main() -> ExitCode {
    // One cryptography library for all TLS. Fails only if it was done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    web::raise_file_limit();
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "holdfast: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error with its causes, each said once: many libraries repeat their cause in their own words.
/// Where in our code it arose helps nobody at a terminal.
fn sentence(error: &anyhow::Error) -> String {
    let mut said = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

async fn run(command: Command) -> anyhow::Result<()> {
    let format = match command {
        Command::Dev(_) => Format::Text,
        _ => Format::Json,
    };
    let _guard = telemetry::init("holdfast", format)?;
    match command {
        Command::Dev(args) => Box::pin(dev::execute(args)).await, // all of them in one: too big for the stack
        Command::Api => run::api().await,
        Command::Worker => run::worker().await,
        Command::Consume(args) => consume::execute(args).await,
        Command::Migrate => run::migrate().await,
        Command::Reconcile => run::reconcile().await,
        Command::RebuildCatalogue => run::rebuild_catalogue().await,
        Command::Keys(command) => keys::execute(command).await,
        Command::Mails(command) => mails::execute(&command),
        Command::Audit => run::audit().await,
    }
}
