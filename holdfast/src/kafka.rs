//! What goes on with Kafka beside a worker, where `HOLDFAST_KAFKA_BROKERS` is set (docs/kafka.md).

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use events::{
    commands,
    kafka::{Mechanism, Publisher, Sasl, Settings, Tls},
};

use tokio::task::JoinSet;

use crate::{config, stop::Stop};

const MAX_PARTITIONS: u32 = 1000;

/// `HOLDFAST_KAFKA_BROKERS`, `HOLDFAST_KAFKA_TLS`, `_TLS_CA`, `_SASL_MECHANISM`, `_SASL_USERNAME`,
/// `_SASL_PASSWORD`, `_TOPIC_PREFIX`, `_PARTITIONS`. None: there is no Kafka.
pub fn settings() -> anyhow::Result<Option<Settings>> {
    let Some(brokers) = config::optional("HOLDFAST_KAFKA_BROKERS") else { return Ok(None) };
    let is_address =
        |it: &str| it.trim().rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    ensure!(
        brokers.split(',').all(is_address),
        "HOLDFAST_KAFKA_BROKERS must look like host:9092, or several with commas between them"
    );
    let mut settings = Settings::plain(brokers);
    settings.tls = tls()?;
    settings.sasl = sasl()?;
    if let (Some(_), None) = (&settings.sasl, &settings.tls) {
        tracing::warn!("HOLDFAST_KAFKA_TLS is not on: the password of Kafka can be read on its way");
    }
    if let Some(prefix) = config::optional("HOLDFAST_KAFKA_TOPIC_PREFIX") {
        let is_good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        ensure!(
            prefix.chars().all(is_good) && prefix.len() <= 100,
            "HOLDFAST_KAFKA_TOPIC_PREFIX must be of letters, digits, `.`, `_` and `-`, 100 at most"
        );
        settings.topic_prefix = prefix;
    }
    if let Some(partitions) = config::count_up_to(MAX_PARTITIONS, "HOLDFAST_KAFKA_PARTITIONS")? {
        settings.partitions = partitions;
    }
    Ok(Some(settings))
}

fn tls() -> anyhow::Result<Option<Tls>> {
    let ca = config::optional("HOLDFAST_KAFKA_TLS_CA");
    match config::optional("HOLDFAST_KAFKA_TLS").as_deref() {
        Some("on") => Ok(Some(Tls { ca })),
        None if ca.is_some() => Ok(Some(Tls { ca })),
        None | Some("off") => Ok(None),
        Some(_) => anyhow::bail!("HOLDFAST_KAFKA_TLS must be on or off"),
    }
}

fn sasl() -> anyhow::Result<Option<Sasl>> {
    let username = config::optional("HOLDFAST_KAFKA_SASL_USERNAME");
    let mechanism = match (config::optional("HOLDFAST_KAFKA_SASL_MECHANISM"), &username) {
        (None, None) => return Ok(None),
        (None, Some(_)) => "SCRAM-SHA-512".to_owned(),
        (Some(mechanism), _) => mechanism,
    };
    let known = "HOLDFAST_KAFKA_SASL_MECHANISM must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
    let mechanism = Mechanism::parse(&mechanism).context(known)?;
    let username = username.context("HOLDFAST_KAFKA_SASL_USERNAME is not set")?;
    let password = config::optional("HOLDFAST_KAFKA_SASL_PASSWORD")
        .context("HOLDFAST_KAFKA_SASL_PASSWORD is not set")?;
    Ok(Some(Sasl { mechanism, username, password }))
}

/// `HOLDFAST_KAFKA_COMMANDS`: whether orders can be asked for changes by way of Kafka.
fn with_commands() -> anyhow::Result<bool> {
    match config::optional("HOLDFAST_KAFKA_COMMANDS").as_deref() {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(_) => anyhow::bail!("HOLDFAST_KAFKA_COMMANDS must be on or off"),
    }
}

/// What a worker does with Kafka besides its work.
pub struct Beside {
    settings: Option<Settings>,
    with_commands: bool,
}

impl Beside {
    /// # Errors
    /// What is wrong with the settings. Without any there is nothing to do.
    pub fn new(settings: Option<Settings>) -> anyhow::Result<Self> {
        Ok(Self { settings, with_commands: with_commands()? })
    }

    /// Publishes our events and does what others' ask for, until told to stop.
    pub async fn run(self, db: store::Db, engine: Arc<engine::Engine>, stop: Stop) {
        let Some(settings) = self.settings else { return };
        // Each in a task of its own, so that neither holds up the other; dropped, they end.
        let mut tasks = JoinSet::new();
        let publisher = Publisher::new(db.clone(), settings.clone());
        #[expect(clippy::disallowed_methods, reason = "one")]
        tasks.spawn(publisher.run(stop.clone().wait()));
        if self.with_commands {
            let dispatcher = engine::Dispatcher::new(db.clone(), engine);
            #[expect(clippy::disallowed_methods, reason = "one")]
            tasks.spawn(commands::run(db, dispatcher, settings, stop.token()));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic()); // as if it had been here
            }
        }
    }
}
