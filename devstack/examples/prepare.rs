//! What the compiler knows of the database: checks every statement of `store` against a PostgreSQL of its own
//! that has all migrations, and writes what it found to `.sqlx`, from where any other build reads it.
//! `--check` only compares.
//!
//! It is what `cargo sqlx prepare` does, without another program to install and a database to have at hand.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context as _, ensure};
use devstack::{Postgres, PostgresOptions, Tools};
use sqlx::{Connection as _, PgConnection, migrate::Migrator};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let only_checks = std::env::args().any(|argument| argument == "--check");
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let scratch = repository.join(format!("target/prepare-{}", std::process::id()));
    let prepared = scratch.join("sqlx");
    fs::create_dir_all(&prepared)?;
    let found = found(&repository, &scratch, &prepared).await;
    let ended = found.and_then(|()| match only_checks {
        true => compare(&read(&repository.join(".sqlx"))?, &read(&prepared)?),
        false => replace(&repository.join(".sqlx"), &prepared),
    });
    fs::remove_dir_all(&scratch)?;
    ended
}

/// Compiles `store` against the database; the macros leave there what they found.
async fn found(repository: &Path, scratch: &Path, prepared: &Path) -> anyhow::Result<()> {
    let tools = Tools::new(repository.join(".holdfast/bin"));
    let options = PostgresOptions { data_dir: scratch.join("postgres"), port: None, durable: false };
    let postgres = Postgres::start(&tools, options).await?;
    let url = postgres.url("postgres");
    let mut connection = PgConnection::connect(&url).await?;
    Migrator::new(repository.join("migrations")).await?.run(&mut connection).await?;
    let root = repository.join("store/src/lib.rs");
    // So that cargo compiles it again.
    fs::File::options().append(true).open(root)?.set_modified(SystemTime::now())?;
    let compiled = Command::new(env!("CARGO"))
        .current_dir(repository)
        .args(["check", "--locked", "--package", "store"])
        .env("DATABASE_URL", url)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", prepared)
        .status()?;
    postgres.stop().await?;
    ensure!(compiled.success(), "`store` does not compile");
    Ok(())
}

/// By file name, which is a hash of the statement.
fn read(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let files = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    files
        .map(|file| {
            let file = file?;
            Ok((file.file_name().into(), fs::read(file.path())?))
        })
        .collect()
}

fn compare(committed: &BTreeMap<PathBuf, Vec<u8>>, now: &BTreeMap<PathBuf, Vec<u8>>) -> anyhow::Result<()> {
    ensure!(
        committed == now,
        "`.sqlx` is not what the statements are now: run `cargo prepare`, and commit it"
    );
    Ok(())
}

fn replace(committed: &Path, prepared: &Path) -> anyhow::Result<()> {
    if committed.exists() {
        fs::remove_dir_all(committed)?;
    }
    fs::create_dir_all(committed)?;
    for (name, content) in read(prepared)? {
        fs::write(committed.join(name), content)?;
    }
    Ok(())
}
