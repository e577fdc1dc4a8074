//! What goes on with Kafka beside a worker, where `HOLDFAST_KAFKA_BROKERS` is set (docs/kafka.md).

use std::{net::IpAddr, sync::Arc};

use anyhow::{Context as _, ensure};
use events::{
    commands,
    kafka::{Mechanism, Publisher, Sasl, Settings, Tls},
};

use tokio::task::JoinSet;

use crate::{config, stop::Stop};

const MAX_PARTITIONS: u32 = 1000;
/// What means nothing without `HOLDFAST_KAFKA_BROKERS`.
const OTHERS: [&str; 8] = [
    "HOLDFAST_KAFKA_TLS",
    "HOLDFAST_KAFKA_TLS_CA",
    "HOLDFAST_KAFKA_SASL_MECHANISM",
    "HOLDFAST_KAFKA_SASL_USERNAME",
    "HOLDFAST_KAFKA_SASL_PASSWORD",
    "HOLDFAST_KAFKA_TOPIC_PREFIX",
    "HOLDFAST_KAFKA_PARTITIONS",
    "HOLDFAST_KAFKA_COMMANDS",
];

/// `HOLDFAST_KAFKA_BROKERS`, `HOLDFAST_KAFKA_TLS`, `_TLS_CA`, `_SASL_MECHANISM`, `_SASL_USERNAME`,
/// `_SASL_PASSWORD`, `_TOPIC_PREFIX`, `_PARTITIONS`. None: there is no Kafka.
pub fn settings() -> anyhow::Result<Option<Settings>> {
    let Some(brokers) = config::optional("HOLDFAST_KAFKA_BROKERS") else {
        for name in OTHERS.into_iter().filter(|name| config::optional(name).is_some()) {
            tracing::warn!("{name} is set, and HOLDFAST_KAFKA_BROKERS is not: there is no Kafka");
        }
        return Ok(None);
    };
    let is_address =
        |it: &str| it.trim().rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    ensure!(
        brokers.split(',').all(is_address),
        "HOLDFAST_KAFKA_BROKERS must look like host:9092, or several with commas between them"
    );
    let is_far = !brokers.split(',').all(is_loopback);
    let mut settings = Settings::plain(brokers);
    settings.tls = tls()?;
    settings.sasl = sasl()?;
    if let (Some(sasl), None) = (&settings.sasl, &settings.tls)
        && is_far
    {
        ensure!(
            sasl.mechanism != Mechanism::Plain,
            "HOLDFAST_KAFKA_SASL_MECHANISM=PLAIN needs HOLDFAST_KAFKA_TLS=on: \
             the password could be read on its way"
        );
        tracing::warn!("HOLDFAST_KAFKA_TLS is not on: what Kafka is sent can be read on its way");
    }
    if let Some(prefix) = config::optional("HOLDFAST_KAFKA_TOPIC_PREFIX") {
        let is_good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        ensure!(
            prefix.chars().all(is_good) && prefix.len() <= 100,
            "HOLDFAST_KAFKA_TOPIC_PREFIX must be of letters, digits, `.`, `_` and `-`, 100 at most"
        );
        ensure!(
            !["retry-", "fail-"].iter().any(|failures| prefix.starts_with(failures)),
            "HOLDFAST_KAFKA_TOPIC_PREFIX must not begin like the topics of failures, retry- and fail-"
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
        Some("off") if ca.is_some() => {
            anyhow::bail!("HOLDFAST_KAFKA_TLS_CA is set, and HOLDFAST_KAFKA_TLS is off: leave one out")
        }
        None | Some("off") => Ok(None),
        Some(_) => anyhow::bail!("HOLDFAST_KAFKA_TLS must be on or off"),
    }
}

/// Whether what is sent to this broker stays on this machine.
fn is_loopback(broker: &str) -> bool {
    let host = broker.trim().rsplit_once(':').map_or(broker, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn sasl() -> anyhow::Result<Option<Sasl>> {
    let username = config::optional("HOLDFAST_KAFKA_SASL_USERNAME");
    let password = config::optional("HOLDFAST_KAFKA_SASL_PASSWORD");
    ensure!(
        username.is_some() || password.is_none(),
        "HOLDFAST_KAFKA_SASL_PASSWORD is set, and HOLDFAST_KAFKA_SASL_USERNAME is not"
    );
    let mechanism = match (config::optional("HOLDFAST_KAFKA_SASL_MECHANISM"), &username) {
        (None, None) => return Ok(None),
        (None, Some(_)) => "SCRAM-SHA-512".to_owned(),
        (Some(mechanism), _) => mechanism,
    };
    let known = "HOLDFAST_KAFKA_SASL_MECHANISM must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
    let mechanism = Mechanism::parse(&mechanism).context(known)?;
    let username = username.context("HOLDFAST_KAFKA_SASL_USERNAME is not set")?;
    let password = password.context("HOLDFAST_KAFKA_SASL_PASSWORD is not set")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_on_this_machine_or_is_not() {
        for near in ["localhost:9092", " 127.0.0.1:9092", "127.8.0.1:1", "[::1]:9092"] {
            assert!(is_loopback(near), "{near}");
        }
        for far in ["kafka:9092", "localhost.shop.test:9092", "10.0.0.1:9092", "[2001:db8::1]:9092"] {
            assert!(!is_loopback(far), "{far}");
        }
    }
}
