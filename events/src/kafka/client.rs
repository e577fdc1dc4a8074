//! The Kafka client: the one module that knows which crate it is, so that another can take its place.

mod error;
mod offsets;

use std::{collections::BTreeMap, time::Duration};

use krafka::{
    CloseOptions, Kafka, KrafkaError, Record,
    admin::{ConfigResource, CreateTopicsOptions, DescribeConfigsOptions, DescribeTopicsOptions, NewTopic},
    auth::{AuthConfig, TlsConfig},
    consumer::{
        AutoOffsetReset, Consumer, ConsumerRebalanceListener, ConsumerRecord, OffsetAndMetadata,
        PartitionAssignmentStrategy, TopicPartition,
    },
    error::ErrorCode,
    producer::Acks,
};
use tokio::time::{Instant, sleep, timeout};

pub use error::{Error, Result};

use super::{
    message::{Incoming, Mark, Outgoing, Partition},
    settings::{Mechanism, Settings},
};

/// How long a request may take, the connection to its broker included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the cluster has to say where a topic is.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a record may be under way. Whoever publishes has the lease for longer than that.
pub(super) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(8);
/// A round is put together for so long at most; no batch of it leaves before [`LINGER`] has passed.
const ENQUEUE_TIMEOUT: Duration = Duration::from_millis(1500);
const LINGER: Duration = Duration::from_secs(2);
/// Of a producer that sends one record at a time.
const LINGER_OF_ONE: Duration = Duration::from_millis(2);
/// One batch of one partition: as much as a broker takes unless it is told otherwise.
const BATCH_BYTES: usize = 1024 * 1024;
/// A round never has more, so that none of its batches is cut in two; less, if a topic takes less at once.
pub const MAX_ROUND_BYTES: usize = 800 * 1024;
/// Of what is fetched and not worked off yet.
const FETCH_BYTES: i32 = 8 * 1024 * 1024;
/// The same of one partition, also of one that is paused while there is something of it.
const PARTITION_FETCH_BYTES: i32 = 1024 * 1024;
/// Records that one look at the cluster brings.
const MAX_POLLED: i32 = 500;
/// Whoever is told at once that nothing has come waits for so long before asking again.
const IDLE: Duration = Duration::from_millis(10);
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);
/// Whoever leaves has so long to say so.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

impl From<Outgoing> for Record {
    fn from(outgoing: Outgoing) -> Self {
        let mut record = match outgoing.value {
            Some(value) => Record::new(outgoing.topic, value),
            // Of a compacted topic it deletes its key, which an empty value does not.
            None => Record::new(outgoing.topic, Vec::new()).without_value(),
        };
        if let Some(key) = outgoing.key {
            record = record.key(key);
        }
        if let Some(timestamp) = outgoing.timestamp {
            record = record.timestamp(timestamp);
        }
        for (name, value) in outgoing.headers {
            record = match value {
                Some(value) => record.header(name, value),
                None => record.null_header(name),
            };
        }
        record
    }
}

impl From<ConsumerRecord> for Incoming {
    fn from(record: ConsumerRecord) -> Self {
        let headers = record.headers.into_iter();
        Self {
            partition: Partition { topic: record.topic.to_string(), number: record.partition },
            offset: record.offset,
            key: record.key.map(Into::into),
            value: record.value.map(Into::into),
            headers: headers.map(|(name, value)| (name, value.map(Into::into))).collect(),
            timestamp: record.timestamp,
        }
    }
}

/// A cluster that answers.
#[derive(Clone)]
pub struct Cluster {
    kafka: Kafka,
    partitions: i32,
}

impl Cluster {
    pub async fn connect(settings: &Settings) -> Result<Self> {
        let builder = Kafka::builder(settings.brokers.clone())
            .client_id("holdfast")
            .request_timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT);
        let builder = match security(settings) {
            Some(security) => builder.security(security),
            None => builder,
        };
        let connected = timeout(REQUEST_TIMEOUT, builder.connect()).await;
        let kafka = connected.map_err(|_| Error::TimedOut("the connection to Kafka"))??;
        Ok(Self { kafka, partitions: settings.partitions })
    }

    /// Creates those of the topics that are missing.
    pub async fn ensure_topics(&self, topics: &[String]) -> Result<()> {
        let admin = self.kafka.admin();
        let described = admin.describe_topics(topics, DescribeTopicsOptions::default()).await?;
        let is_missing = |topic: &&String| match described.get(*topic) {
            // If it is there, and we may not look at it, writing will tell.
            Some(described) => described.as_ref().is_err_and(is_missing),
            None => true,
        };
        let missing: Vec<&String> = topics.iter().filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let new = missing.iter().map(|topic| NewTopic::new(topic.as_str(), self.partitions, -1));
        let new = new.collect::<Result<Vec<_>, _>>()?;
        let created = admin.create_topics(new, CreateTopicsOptions::default()).await?;
        for (topic, created) in created {
            match created {
                Ok(()) => tracing::info!(topic, partitions = self.partitions, "topic created"),
                Err(KrafkaError::Broker { code: ErrorCode::TopicAlreadyExists, .. }) => {}
                Err(error) => return Err(Error::TopicMissing { topic, why: error.to_string() }),
            }
        }
        Ok(())
    }

    /// How many partitions each of these has; none: it is missing. What we may not look at is left out.
    pub async fn partitions(&self, topics: &[String]) -> Result<BTreeMap<String, Option<usize>>> {
        let described = self.kafka.admin().describe_topics(topics, DescribeTopicsOptions::default()).await?;
        let known = described.into_iter().filter(|(_, it)| it.as_ref().err().is_none_or(is_missing));
        Ok(known.map(|(topic, it)| (topic, it.ok().map(|it| it.partitions.len()))).collect())
    }

    /// The least that these topics take at once. None: the broker does not say.
    pub async fn max_message_bytes(&self, topics: &[String]) -> Option<usize> {
        let resources = topics.iter().map(ConfigResource::topic);
        let admin = self.kafka.admin();
        let asked = admin.describe_configs(resources, DescribeConfigsOptions::default());
        let described = timeout(REQUEST_TIMEOUT, asked).await.ok()?.ok()?;
        let entries = described.into_values().flatten().flatten();
        let limits = entries.filter(|entry| entry.name == "max.message.bytes");
        limits.filter_map(|entry| entry.value?.parse().ok()).min()
    }

    /// Sends rounds of records.
    pub async fn producer(&self) -> Result<Producer> {
        self.produce_after(LINGER).await
    }

    /// Sends records one by one.
    pub async fn sender(&self) -> Result<Producer> {
        self.produce_after(LINGER_OF_ONE).await
    }

    async fn produce_after(&self, linger: Duration) -> Result<Producer> {
        let producer = self
            .kafka
            .producer()
            .acks(Acks::All)
            .idempotent(true)
            .linger(linger)
            .batch_size(BATCH_BYTES)
            .max_request_size(2 * BATCH_BYTES)
            .delivery_timeout(DELIVERY_TIMEOUT)
            .max_block(METADATA_TIMEOUT)
            .metrics_push(false)
            .build()
            .await?;
        Ok(Producer { producer })
    }

    /// Reads topics as a member of a group. Where the group has not been, it begins with the oldest record.
    pub async fn group(&self, group: &str, topics: &[String], assigned: impl Assigned) -> Result<Group> {
        let consumer = self
            .kafka
            .consumer(group)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .enable_auto_commit(false)
            .session_timeout(SESSION_TIMEOUT)
            .heartbeat_interval(HEARTBEAT_EVERY)
            .fetch_max_bytes(FETCH_BYTES)
            .max_partition_fetch_bytes(PARTITION_FETCH_BYTES)
            .max_poll_records(MAX_POLLED)
            // No limit: those of a paused partition would count, and nothing more of the others be fetched.
            // A partition of which something is there is not fetched again, so the bytes are limited.
            .max_buffered_records(0)
            .partition_assignment_strategies([
                PartitionAssignmentStrategy::CooperativeSticky,
                PartitionAssignmentStrategy::Range,
            ])
            .rebalance_listener(Listener(assigned))
            .metrics_push(false)
            .build()
            .await?;
        consumer.subscribe(topics).await?;
        Ok(Group { consumer })
    }
}

fn is_missing(error: &KrafkaError) -> bool {
    use KrafkaError::{Broker, UnknownTopic};
    matches!(error, Broker { code: ErrorCode::UnknownTopicOrPartition, .. } | UnknownTopic { .. })
}

fn security(settings: &Settings) -> Option<AuthConfig> {
    let tls = settings.tls.as_ref().map(|tls| match &tls.ca {
        Some(file) => TlsConfig::new().with_ca_cert(file.clone()),
        None => TlsConfig::new().with_native_roots(),
    });
    let sasl = settings.sasl.as_ref().map(|sasl| {
        let (user, password) = (sasl.username.clone(), sasl.password.clone());
        match sasl.mechanism {
            Mechanism::Plain => AuthConfig::sasl_plain(user, password),
            Mechanism::ScramSha256 => AuthConfig::sasl_scram_sha256(user, password),
            Mechanism::ScramSha512 => AuthConfig::sasl_scram_sha512(user, password),
        }
    });
    match (sasl, tls) {
        (Some(sasl), Some(tls)) => Some(sasl.with_tls(tls)),
        (None, Some(tls)) => Some(AuthConfig::ssl(tls)),
        (sasl, None) => sasl,
    }
}

/// Writes records: idempotent, acknowledged by all in-sync replicas.
pub struct Producer {
    producer: krafka::producer::Producer,
}

impl Producer {
    /// Writes a round, or says that some of it may be missing; then this producer is not to be used again.
    /// What of it goes to one partition leaves in one batch, which is written as a whole or not at all: so
    /// whatever happens, what is there of a key is the beginning of the round, in its order.
    pub async fn send_round(&self, round: Vec<Outgoing>) -> Result<()> {
        let topics: std::collections::BTreeSet<&str> = round.iter().map(|it| it.topic.as_str()).collect();
        for topic in topics {
            // Asked before, so that no record waits for it while another's time to linger passes.
            self.producer.partitions_for(topic).await?;
        }
        let mut acknowledgements = Vec::with_capacity(round.len());
        let enqueue = async {
            for outgoing in round {
                acknowledgements.push(self.producer.enqueue(outgoing.into()).await?);
            }
            Ok::<_, Error>(())
        };
        timeout(ENQUEUE_TIMEOUT, enqueue)
            .await
            .map_err(|_| Error::TimedOut("putting a round together"))??;
        let acknowledged = async {
            self.producer.flush().await?;
            for acknowledgement in acknowledgements {
                let _written = acknowledgement.await?;
            }
            Ok(())
        };
        // The client's own limit comes first.
        timeout(DELIVERY_TIMEOUT + REQUEST_TIMEOUT, acknowledged)
            .await
            .map_err(|_| Error::TimedOut("writing a round"))?
    }

    /// Writes one record.
    pub async fn send(&self, outgoing: Outgoing) -> Result<()> {
        let sent = timeout(DELIVERY_TIMEOUT + METADATA_TIMEOUT, self.producer.send(outgoing.into())).await;
        let _written = sent.map_err(|_| Error::TimedOut("writing a record"))??;
        Ok(())
    }

    /// Gives up what is not written yet.
    pub async fn close(self) {
        // Nobody waits for what is left: it is sent again, from the cursor.
        let _ = self.producer.close_with(CloseOptions::new().timeout(Duration::from_millis(100))).await;
    }
}

/// Hears which partitions a member of a group loses.
pub trait Assigned: Send + Sync + 'static {
    /// They are still ours, and go once this ends; it gives how far each was worked off, to be committed.
    fn revoked(&self, partitions: &[Partition]) -> impl Future<Output = ()> + Send;

    /// They are somebody else's already.
    fn lost(&self, partitions: &[Partition]);
}

struct Listener<A>(A);

fn partitions(of: &[TopicPartition]) -> Vec<Partition> {
    of.iter().map(|it| Partition { topic: it.topic().to_owned(), number: it.partition() }).collect()
}

impl<A: Assigned> ConsumerRebalanceListener for Listener<A> {
    async fn on_partitions_assigned(&self, _: &[TopicPartition]) {}

    async fn on_partitions_revoked(&self, revoked: &[TopicPartition]) {
        self.0.revoked(&partitions(revoked)).await;
    }

    async fn on_partitions_lost(&self, lost: &[TopicPartition]) {
        self.0.lost(&partitions(lost));
    }
}

/// A member of a consumer group.
pub struct Group {
    consumer: Consumer,
}

impl Group {
    /// What has come, after this long at the latest. May be dropped at any time.
    pub async fn poll(&self, wait: Duration) -> Result<Vec<Incoming>> {
        let begun = Instant::now();
        let polled = self.consumer.poll(wait).await?;
        // Asked in a loop, a client that says so without waiting would leave no time to anybody else.
        if polled.is_empty() && begun.elapsed() < IDLE {
            sleep(IDLE.min(wait)).await;
        }
        Ok(polled.into_iter().map(Incoming::from).collect())
    }

    /// Notes how far we are in these.
    pub async fn commit(&self, marks: &BTreeMap<Partition, Mark>) -> Result<()> {
        let offsets = marks.iter().map(|(partition, Mark { offset, note })| {
            let partition = TopicPartition::new(partition.topic.clone(), partition.number);
            let committed = match note.is_empty() {
                true => OffsetAndMetadata::new(*offset),
                false => OffsetAndMetadata::with_metadata(*offset, note.as_str()),
            };
            (partition, committed)
        });
        let committed = timeout(REQUEST_TIMEOUT * 2, self.consumer.commit_offsets(offsets)).await;
        Ok(committed.map_err(|_| Error::TimedOut("committing offsets"))??)
    }

    /// Fetches nothing more of these, but stays a member; goes on with the others.
    pub async fn pause(&self, is_paused: impl Fn(&Partition) -> bool) {
        for (topic, numbers) in self.consumer.assignment().await {
            let of = |number: &i32| Partition { topic: topic.clone(), number: *number };
            let (paused, others): (Vec<i32>, Vec<i32>) = numbers.iter().partition(|it| is_paused(&of(it)));
            self.consumer.pause(&topic, &paused).await;
            self.consumer.resume(&topic, &others).await;
        }
    }

    pub fn is_closed(&self) -> bool {
        self.consumer.is_closed()
    }

    /// Leaves the group.
    pub async fn close(&self) {
        let _ = self.consumer.close_with(CloseOptions::new().timeout(CLOSE_TIMEOUT)).await;
    }
}
