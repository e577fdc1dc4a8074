//! Configuration: from the environment alone, one small struct per concern. Secrets have no flags, so
//! they never show in a list of processes.

use std::{env, num::NonZeroUsize, time::Duration};

use activities::mail::MailerConfig;
use anyhow::Context as _;
use domain::SignedDuration;
use engine::PayloadKeys;
use web::Limits;

use crate::gateway;

const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
const DEFAULT_MAIL_FROM: &str = "Holdfast <orders@holdfast.localhost>";
const DEFAULT_MAX_CONNECTIONS: u32 = 20;
const MAX_BODY_TIMEOUT: Duration = Duration::from_secs(25);
/// Of anything that HTTP waits for.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// What is shorter is found by trying.
const MIN_SECRET_BYTES: usize = 16;

/// `DATABASE_URL`, `HOLDFAST_DATABASE_MAX_CONNECTIONS`, `HOLDFAST_DATABASE_POOLER`.
pub struct Database {
    pub url: String,
    pub max_connections: u32,
    pub pooler: store::Pooler,
}

impl Database {
    pub fn load() -> anyhow::Result<Self> {
        let max_connections = count("HOLDFAST_DATABASE_MAX_CONNECTIONS")?.unwrap_or(DEFAULT_MAX_CONNECTIONS);
        let url = required("DATABASE_URL", "postgres://user:password@host/database")?;
        Ok(Self { url, max_connections, pooler: pooler()? })
    }

    pub fn open(&self) -> anyhow::Result<store::Db> {
        let is_ours = self.url.starts_with("postgres://") || self.url.starts_with("postgresql://");
        anyhow::ensure!(is_ours, "DATABASE_URL must look like postgres://user:password@host/database");
        store::Db::open_behind(self.pooler, &self.url, self.max_connections).context("DATABASE_URL")
    }
}

pub fn pooler() -> anyhow::Result<store::Pooler> {
    match optional("HOLDFAST_DATABASE_POOLER").as_deref() {
        None | Some("session") => Ok(store::Pooler::Session),
        Some("transaction") => Ok(store::Pooler::Transaction),
        Some(_) => anyhow::bail!("HOLDFAST_DATABASE_POOLER must be `session` or `transaction`"),
    }
}

/// What `TEMPORAL_*` does not say: `HOLDFAST_TASK_QUEUE`, `HOLDFAST_PAYLOAD_KEY`,
/// `HOLDFAST_TEMPORAL_UI_URL`.
pub struct Temporal {
    /// Instead of `TEMPORAL_ADDRESS`.
    pub address: Option<String>,
    pub payload_keys: Option<PayloadKeys>,
    pub task_queue: String,
    pub ui_url: Option<String>,
}

impl Temporal {
    pub fn load() -> anyhow::Result<Self> {
        let parse = |text: String| {
            PayloadKeys::parse(&text).map_err(|why| anyhow::anyhow!("HOLDFAST_PAYLOAD_KEY: {why}"))
        };
        let payload_keys = optional("HOLDFAST_PAYLOAD_KEY").map(parse).transpose()?;
        Ok(Self {
            address: None,
            payload_keys,
            task_queue: optional("HOLDFAST_TASK_QUEUE")
                .unwrap_or_else(|| engine::DEFAULT_TASK_QUEUE.to_owned()),
            ui_url: ui_url()?,
        })
    }

    pub fn open(&self, metrics: &telemetry::SdkMetrics) -> anyhow::Result<engine::Engine> {
        if self.payload_keys.is_none() {
            tracing::warn!("HOLDFAST_PAYLOAD_KEY is not set: Temporal stores payloads in clear");
        }
        let config = engine::Config::load(engine::Options {
            address: self.address.as_deref(),
            payload_keys: self.payload_keys.as_ref(),
            task_queue: self.task_queue.clone(),
            ui_url: self.ui_url.clone(),
            metrics: Some(metrics),
        })?;
        Ok(engine::Engine::new(config))
    }
}

fn ui_url() -> anyhow::Result<Option<String>> {
    let url = optional("HOLDFAST_TEMPORAL_UI_URL");
    let is_page = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    anyhow::ensure!(
        url.as_ref().is_none_or(is_page),
        "HOLDFAST_TEMPORAL_UI_URL must look like http://host:port"
    );
    Ok(url)
}

/// `HOLDFAST_LISTEN`, `HOLDFAST_API_KEY` (several with commas between them),
/// `HOLDFAST_SANDBOX_WEBHOOK_SECRET`, `HOLDFAST_MAX_WAITING`, `HOLDFAST_DOCS`, `HOLDFAST_CONSOLE`, and what
/// [`limits`] and [`gateway::load`] read.
pub struct Http {
    pub listen: String,
    /// Each of them is good.
    pub api_keys: Vec<String>,
    pub sandbox_secret: Option<String>,
    /// Orders that wait at the door; who comes when it is full is answered 503.
    pub max_waiting: Option<NonZeroUsize>,
    pub limits: Limits,
    /// `/docs` and `/openapi.json` are served, unless `HOLDFAST_DOCS` is `off`.
    pub with_docs: bool,
    /// `/console` is served, unless `HOLDFAST_CONSOLE` is `off`.
    pub with_console: bool,
    pub gateway: api::Gateway,
}

impl Http {
    pub fn load() -> anyhow::Result<Self> {
        let api_keys = secrets("HOLDFAST_API_KEY")?
            .context("HOLDFAST_API_KEY is not set; it should be the key your shop will send")?;
        anyhow::ensure!(
            api_keys.iter().all(|key| key.bytes().all(|byte| byte.is_ascii_graphic())),
            "HOLDFAST_API_KEY must be of ASCII letters, digits and signs: it travels in a header"
        );
        let max_waiting = count("HOLDFAST_MAX_WAITING")?.and_then(NonZeroUsize::new);
        Ok(Self {
            max_waiting,
            limits: limits()?,
            with_docs: with_docs()?,
            with_console: with_console()?,
            gateway: gateway::load(api::RateLimits::default())?,
            listen: optional("HOLDFAST_LISTEN").unwrap_or_else(|| DEFAULT_LISTEN.to_owned()),
            api_keys,
            sandbox_secret: secret("HOLDFAST_SANDBOX_WEBHOOK_SECRET")?,
        })
    }
}

pub fn with_docs() -> anyhow::Result<bool> {
    is_on("HOLDFAST_DOCS")
}

pub fn with_console() -> anyhow::Result<bool> {
    is_on("HOLDFAST_CONSOLE")
}

/// Of what is on unless it is switched off.
fn is_on(name: &str) -> anyhow::Result<bool> {
    match optional(name).as_deref() {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(_) => anyhow::bail!("{name} must be on or off"),
    }
}

/// `HOLDFAST_MAX_CONNECTIONS`, and in seconds `HOLDFAST_HEADER_TIMEOUT`, `_BODY_TIMEOUT`, `_IDLE_TIMEOUT` and
/// `_DRAIN_TIMEOUT`.
pub fn limits() -> anyhow::Result<Limits> {
    let default = Limits::default();
    let seconds = |name: &str, default: Duration| -> anyhow::Result<Duration> {
        Ok(count(name)?.map_or(default, Duration::from_secs))
    };
    let limits = Limits {
        connections: count::<u32>("HOLDFAST_MAX_CONNECTIONS")?
            .map_or(default.connections, |max| max as usize),
        header: seconds("HOLDFAST_HEADER_TIMEOUT", default.header)?,
        body: seconds("HOLDFAST_BODY_TIMEOUT", default.body)?,
        idle: seconds("HOLDFAST_IDLE_TIMEOUT", default.idle)?,
        drain: seconds("HOLDFAST_DRAIN_TIMEOUT", default.drain)?,
    };
    anyhow::ensure!(
        limits.body <= MAX_BODY_TIMEOUT,
        "HOLDFAST_BODY_TIMEOUT must be at most {} s: a request has 30 s in all",
        MAX_BODY_TIMEOUT.as_secs()
    );
    let longest = [limits.header, limits.body, limits.idle, limits.drain].into_iter().max();
    anyhow::ensure!(
        longest <= Some(MAX_TIMEOUT),
        "HOLDFAST_..._TIMEOUT must be at most {} s",
        MAX_TIMEOUT.as_secs()
    );
    Ok(limits)
}

/// `HOLDFAST_WORKER_MAX_ACTIVITIES`, `HOLDFAST_MAX_CACHED_WORKFLOWS`, `HOLDFAST_EVENTS_KEPT`.
pub fn worker_limits() -> anyhow::Result<worker::Limits> {
    let default = worker::Limits::default();
    Ok(worker::Limits {
        max_activities: count_up_to(
            u32::MAX,
            renamed("HOLDFAST_ACTIVITIES_PER_SHIFT", "HOLDFAST_WORKER_MAX_ACTIVITIES"),
        )?
        .unwrap_or(default.max_activities),
        cached_workflows: count("HOLDFAST_MAX_CACHED_WORKFLOWS")?.unwrap_or(default.cached_workflows),
        events_kept: events_kept()?.unwrap_or(default.events_kept),
    })
}

/// Between an hour and ten years.
fn events_kept() -> anyhow::Result<Option<SignedDuration>> {
    let Some(text) = optional("HOLDFAST_EVENTS_KEPT") else { return Ok(None) };
    let kept =
        domain::policy::duration("HOLDFAST_EVENTS_KEPT", &text).map_err(|it| anyhow::anyhow!("{it}"))?;
    let bounds = SignedDuration::from_hours(1)..=SignedDuration::from_hours(10 * 365 * 24);
    anyhow::ensure!(
        bounds.contains(&kept),
        "HOLDFAST_EVENTS_KEPT must be an hour to ten years, such as P30D"
    );
    Ok(Some(kept))
}

/// The name by which a variable is set: the old one is still read.
fn renamed(old: &'static str, new: &'static str) -> &'static str {
    match optional(new).is_none() && optional(old).is_some() {
        true => {
            tracing::warn!("{old} is called {new} now");
            old
        }
        false => new,
    }
}

/// More of anything is a slip of the finger.
const MAX_COUNT: u32 = 1_000_000;

fn count<T: TryFrom<u32>>(name: &str) -> anyhow::Result<Option<T>> {
    count_up_to(MAX_COUNT, name)
}

pub fn count_up_to<T: TryFrom<u32>>(max: u32, name: &str) -> anyhow::Result<Option<T>> {
    let read = |text: String| {
        let count = text.parse().ok().filter(|count| (1..=max).contains(count));
        let count = count.and_then(|count| T::try_from(count).ok());
        count.with_context(|| format!("{name} must be a number, 1 to {max}"))
    };
    optional(name).map(read).transpose()
}

/// `HOLDFAST_SMTP_URL`, `HOLDFAST_MAIL_FROM`, for a process that watches the mail server and sends nothing.
pub fn optional_mail() -> Option<MailerConfig> {
    let smtp_url = optional("HOLDFAST_SMTP_URL")?;
    Some(MailerConfig { smtp_url, from: mail_from(), ..MailerConfig::default() })
}

pub fn mail_from() -> String {
    optional("HOLDFAST_MAIL_FROM").unwrap_or_else(|| DEFAULT_MAIL_FROM.to_owned())
}

/// A variable that is set and not empty, without the white space around it: files and forms leave a line's
/// end behind.
#[expect(clippy::disallowed_methods, reason = "this is where settings are read")]
pub fn optional(name: &str) -> Option<String> {
    env::var_os(name)
        .map(|value| value.to_string_lossy().into_owned())
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

/// A key or a secret, if it is set.
pub fn secret(name: &str) -> anyhow::Result<Option<String>> {
    let checked = |secret: String| check_secret(name, &secret).map(|()| secret);
    optional(name).map(checked).transpose()
}

/// Keys or secrets with commas between them: while one takes the place of another, both are good.
pub fn secrets(name: &str) -> anyhow::Result<Option<Vec<String>>> {
    let Some(text) = optional(name) else { return Ok(None) };
    let secrets: Vec<String> =
        text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect();
    for secret in &secrets {
        check_secret(name, secret)?;
    }
    anyhow::ensure!(!secrets.is_empty(), "{name} has commas, and nothing between them");
    Ok(Some(secrets))
}

/// The first of several keys, for ourselves.
pub fn first_key(name: &str) -> Option<String> {
    optional(name)?.split(',').map(str::trim).find(|key| !key.is_empty()).map(str::to_owned)
}

/// Says which variable, and never what is in it.
fn check_secret(name: &str, secret: &str) -> anyhow::Result<()> {
    // `whsec_` says what it is, and hides nothing.
    let hidden = secret.strip_prefix("whsec_").unwrap_or(secret);
    anyhow::ensure!(
        is_long(hidden),
        "{name} is too easily guessed: {} bytes, and it must have at least {MIN_SECRET_BYTES}",
        hidden.len()
    );
    Ok(())
}

pub fn is_long(secret: &str) -> bool {
    secret.len() >= MIN_SECRET_BYTES
}

pub fn required(name: &str, example: &str) -> anyhow::Result<String> {
    optional(name).with_context(|| format!("{name} is not set; it should be {example}"))
}
