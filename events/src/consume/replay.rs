//! Puts back what failed: each message of the fail topics that is of a route goes to its own topic again, for
//! that route alone.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use domain::Timestamp;
use tokio::time::Instant;

use super::{retry, routes::Route};
use crate::kafka::{
    Assigned, Cluster, Error as KafkaError, Group, Incoming, Mark, Partition, Producer, Settings,
};

const POLL: Duration = Duration::from_millis(500);
/// How long nothing comes until we give up what is left.
const QUIET: Duration = Duration::from_secs(30);

/// What is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// What was not put back before, as far as that is known.
    New,
    /// The same; where nothing is known, all that is there.
    All,
    /// The same of what failed at this time or later.
    Since(Timestamp),
}

/// Why not all was put back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(
        "the group `{group}` has noted nothing, or Kafka has forgotten it: what failed may have been put \
         back before. Give --failed-since TIME to put back what failed since the last time, or --all"
    )]
    NothingKnown { group: String },
    #[error(
        "{count} were put back, and not all is read: nothing came any more of {left}. Run it again; if \
         another one runs, it has them"
    )]
    NotRead { count: u64, left: String },
}

/// Nobody else is in the group for long.
struct Alone;

impl Assigned for Alone {
    async fn revoked(&self, _: &[Partition]) {}

    fn lost(&self, _: &[Partition]) {}
}

/// Gives how many messages were put back. Each is noted as soon as it is; what fails again meanwhile is put
/// back by the next run, for this one ends where the topics ended.
///
/// # Errors
/// If not all was put back: what was until then is noted.
pub async fn replay_failed(route: &Route, settings: &Settings, wanted: Wanted) -> Result<u64, Error> {
    let topics: Vec<String> = route.topics.iter().map(|topic| format!("{}{topic}", retry::FAIL)).collect();
    let cluster = Cluster::connect(settings).await?;
    cluster.ensure_topics(&topics).await?;
    let bounds = cluster.bounds(&topics).await?;
    let group = format!("{}-replay", route.group);
    let is_anything_there = bounds.values().any(|bounds| !bounds.is_empty());
    if wanted == Wanted::New && is_anything_there && cluster.marks(&group, bounds.keys()).await?.is_empty() {
        return Err(Error::NothingKnown { group });
    }
    let sender = cluster.sender().await?;
    let group = cluster.group(&group, &topics, Alone).await?;
    let mut replay = Replay { sender, group, route, wanted, bounds, put_back: 0 };
    let result = replay.run().await;
    replay.group.close().await;
    replay.sender.close().await;
    result.map(|()| replay.put_back)
}

struct Replay<'r> {
    sender: Producer,
    group: Group,
    route: &'r Route,
    wanted: Wanted,
    /// As they were at the beginning: what fails behind them is the next run's.
    bounds: BTreeMap<Partition, Range<i64>>,
    put_back: u64,
}

impl Replay<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let mut heard = Instant::now();
        loop {
            let polled = self.group.poll(POLL).await?;
            let ours: Vec<Incoming> =
                polled.into_iter().filter(|message| self.is_before_end(message)).collect();
            heard = if ours.is_empty() { heard } else { Instant::now() };
            for message in ours {
                self.put(message).await?;
            }
            let left = self.left().await;
            if left.is_empty() {
                return Ok(());
            }
            if heard.elapsed() > QUIET {
                return Err(Error::NotRead { count: self.put_back, left: left.join(", ") });
            }
        }
    }

    fn is_before_end(&self, message: &Incoming) -> bool {
        self.bounds.get(&message.partition).is_some_and(|bounds| message.offset < bounds.end)
    }

    /// Those partitions that are not read to their ends.
    async fn left(&self) -> Vec<String> {
        let positions = self.group.positions().await;
        let is_read = |partition: &Partition, bounds: &Range<i64>| {
            bounds.is_empty() || positions.get(partition).is_some_and(|position| *position >= bounds.end)
        };
        let left = self.bounds.iter().filter(|it| !is_read(it.0, it.1));
        left.map(|(Partition { topic, number }, _)| format!("{topic}-{number}")).collect()
    }

    async fn put(&mut self, message: Incoming) -> Result<(), Error> {
        let is_wanted = match self.wanted {
            Wanted::New | Wanted::All => true,
            Wanted::Since(time) => message.timestamp >= time.as_millisecond(),
        };
        if is_wanted && retry::is_of(&message, &self.route.group) {
            self.sender.send(retry::put_back(&message, &self.route.group)).await?;
            self.put_back += 1;
        }
        let mark = Mark::at(message.offset + 1);
        Ok(self.group.commit(&BTreeMap::from([(message.partition, mark)])).await?)
    }
}
