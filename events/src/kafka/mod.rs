//! Kafka: what it takes to reach a cluster, and the publisher of our events (docs/kafka.md, docs/adr/0041).

mod client;
mod message;
mod publisher;
mod record;
mod settings;

pub use client::{Assigned, Cluster, Error, Group, Producer};
pub use message::{Incoming, Mark, Outgoing, Partition};
pub use publisher::Publisher;
pub use settings::{Mechanism, Sasl, Settings, Tls};
