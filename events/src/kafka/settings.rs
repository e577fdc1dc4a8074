//! Where the cluster is, and how it is spoken to.

/// What a topic of ours begins with, unless the shop gives another prefix.
pub const TOPIC_PREFIX: &str = "holdfast.";
/// Of a topic that we create: as many consumers of a group can share it.
pub const PARTITIONS: i32 = 12;

/// Where the cluster is, and how it is spoken to. No `Debug`: a password is in it.
#[derive(Clone)]
pub struct Settings {
    /// `host:port`, with commas between them.
    pub brokers: String,
    /// None: plain TCP.
    pub tls: Option<Tls>,
    pub sasl: Option<Sasl>,
    pub topic_prefix: String,
    /// Of a topic that is created because it is missing.
    pub partitions: i32,
}

#[derive(Clone)]
pub struct Tls {
    /// A file in PEM. None: the certificates that the machine trusts.
    pub ca: Option<String>,
}

#[derive(Clone)]
pub struct Sasl {
    pub mechanism: Mechanism,
    pub username: String,
    pub password: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Mechanism {
    /// As Kafka calls it.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "PLAIN" => Self::Plain,
            "SCRAM-SHA-256" => Self::ScramSha256,
            "SCRAM-SHA-512" => Self::ScramSha512,
            _ => return None,
        })
    }
}

impl Settings {
    /// A cluster that asks for nothing: in `dev`, and for tests.
    pub fn plain(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            tls: None,
            sasl: None,
            topic_prefix: TOPIC_PREFIX.to_owned(),
            partitions: PARTITIONS,
        }
    }

    /// The topic of ours with this name.
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.topic_prefix)
    }
}
