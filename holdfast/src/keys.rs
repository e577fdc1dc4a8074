//! `holdfast keys`: API keys without the API, such as the first one. Whoever has the database may.

use std::io::Write as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use domain::{
    ApiKeyId, SignedDuration, Timestamp,
    api_key::{self, KeyName},
};
use store::{
    Db,
    api_keys::{self, IssuedKey, NewKey},
};

use crate::config;

/// What histories call whoever made a key here.
const BY: &str = "cli";
/// Read at once; more are listed page by page.
const PAGE: i64 = 500;
const HOURS_PER_DAY: i64 = 24;
/// Longer is as good as for ever.
const MAX_DAYS: i64 = 100 * 366;

#[derive(Subcommand)]
pub enum Command {
    /// Make a key, and print it, alone: it is shown this once
    Create(Create),
    /// List the keys, newest first, also those that are good no more
    List,
    /// Revoke a key; within five seconds it is good nowhere any more
    Revoke {
        /// As `list` shows it: `key_...`
        id: ApiKeyId,
    },
}

#[derive(Args)]
pub struct Create {
    /// What histories call the key's holder: 1-64 of a-z, 0-9, `-`, `_` and `.`
    #[arg(long, value_parser = KeyName::parse)]
    name: KeyName,
    /// What the key lets its holder do, such as `orders:write`; may be given several times
    #[arg(long = "scope", required = true)]
    scopes: Vec<String>,
    /// How long the key is good: `90d` or `12h` [default: for ever]
    #[arg(long, value_parser = duration)]
    expires: Option<SignedDuration>,
}

pub async fn execute(command: Command) -> anyhow::Result<()> {
    let db = config::Database::load()?.open()?;
    db.usable().await?;
    match command {
        Command::Create(asked) => create(&db, asked).await,
        Command::List => list(&db).await,
        Command::Revoke { id } => revoke(&db, id).await,
    }
}

async fn create(db: &Db, asked: Create) -> anyhow::Result<()> {
    let scopes = api_key::scopes(&asked.scopes).map_err(|unknown| {
        let said: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("--scope: {}", said.join("; "))
    })?;
    let at = now();
    let expires_at = asked.expires.map(|long| at.checked_add(long)).transpose().context("--expires")?;
    let new = NewKey { name: asked.name, scopes, expires_at, by: BY, at };
    let created = api_keys::create(db, new).await?;
    let (key, known) = created.with_context(|| format!("there are {} keys already", api_keys::MAX_KEYS))?;
    let IssuedKey { id, name, scopes, .. } = known;
    tracing::info!(created_key_id = %id, %name, ?scopes, by = BY, "API key created");
    print(&[key.as_str().to_owned()])
}

async fn list(db: &Db) -> anyhow::Result<()> {
    let mut before = None;
    loop {
        let page = api_keys::list(db, before, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        before = Some(last.id);
        print(&page.iter().map(|key| line(key, now())).collect::<Vec<_>>())?;
    }
}

/// A line for people and for `awk`: nothing in it has a space of its own.
fn line(key: &IssuedKey, at: Timestamp) -> String {
    let IssuedKey { id, name, prefix, scopes, created_at, created_by, last_used_at, .. } = key;
    let state = match (key.revoked_at, key.expires_at) {
        (Some(revoked_at), _) => format!("revoked={revoked_at:.0}"),
        (None, Some(expires_at)) if expires_at <= at => format!("expired={expires_at:.0}"),
        (None, Some(expires_at)) => format!("expires={expires_at:.0}"),
        (None, None) => "good".to_owned(),
    };
    let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    let used = last_used_at.map_or("never".to_owned(), |at| format!("{at:.0}"));
    let scopes = scopes.join(",");
    format!(
        "{id}  {name}  {prefix}...  {state}  {scopes}  created={created_at:.0} by={created_by} used={used}"
    )
}

async fn revoke(db: &Db, id: ApiKeyId) -> anyhow::Result<()> {
    let key = api_keys::revoke(db, id, now()).await?.with_context(|| format!("there is no key {id}"))?;
    tracing::info!(revoked_key_id = %id, name = %key.name, by = BY, "API key revoked");
    Ok(())
}

/// Whoever reads may have enough before the end.
fn print(lines: &[String]) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{}", lines.join("\n"))?)
}

#[expect(clippy::disallowed_methods, reason = "the edge: a command takes its time from here")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// `90d` or `12h`.
fn duration(text: &str) -> anyhow::Result<SignedDuration> {
    let hours = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((days, "d")) => days.parse::<u32>().ok().map(|days| i64::from(days) * HOURS_PER_DAY),
        Some((hours, "h")) => hours.parse::<u32>().ok().map(i64::from),
        _ => None,
    };
    let hours = hours.filter(|hours| (1..=MAX_DAYS * HOURS_PER_DAY).contains(hours));
    hours.map(SignedDuration::from_hours).context("must be such as 90d or 12h")
}
