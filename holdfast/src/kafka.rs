//! What goes on with Kafka beside a worker, where `HOLDFAST_KAFKA_BROKERS` is set (docs/kafka.md).

use anyhow::{Context as _, ensure};
use events::kafka::{Mechanism, Publisher, Sasl, Settings, Tls};

use crate::{config, stop::Stop};

const MAX_PARTITIONS: u32 = 1000;

/// `HOLDFAST_KAFKA_BROKERS`, `HOLDFAST_KAFKA_TLS`, `_TLS_CA`, `_SASL_MECHANISM`, `_SASL_USERNAME`, `_SASL_PASSWORD`,
/// `_TOPIC_PREFIX`, `_PARTITIONS`. None: there is no Kafka.
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

/// Publishes our events until told to stop, if there is a Kafka to publish them to.
pub async fn beside(settings: Option<Settings>, db: store::Db, stop: Stop) {
    if let Some(settings) = settings {
        Publisher::new(db, settings).run(stop.wait()).await;
    }
}
