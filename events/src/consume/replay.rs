//! Puts back what failed: each message of the fail topics that is of a route goes to its own topic again, for
//! that route alone.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use super::{retry, routes::Route};
use crate::kafka::{Assigned, Cluster, Error, Group, Incoming, Partition, Producer, Settings};

const POLL: Duration = Duration::from_millis(500);
/// How long nothing comes until it is believed that nothing is left.
const QUIET_POLLS: u32 = 20;

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
/// If Kafka does not do it: what was put back until then is noted.
pub async fn replay_failed(route: &Route, settings: &Settings) -> Result<u64, Error> {
    let topics: Vec<String> = route.topics.iter().map(|topic| format!("{}{topic}", retry::FAIL)).collect();
    let cluster = Cluster::connect(settings).await?;
    cluster.ensure_topics(&topics).await?;
    let sender = cluster.sender().await?;
    let group = cluster.group(&format!("{}-replay", route.group), &topics, Alone).await?;
    let mut replay = Replay { sender, group, route, begun: now(), ended: HashSet::new(), put_back: 0 };
    let result = replay.run().await;
    replay.group.close().await;
    replay.sender.close().await;
    result.map(|()| replay.put_back)
}

struct Replay<'r> {
    sender: Producer,
    group: Group,
    route: &'r Route,
    /// What failed after that is the next run's.
    begun: i64,
    /// Where such a message was met.
    ended: HashSet<Partition>,
    put_back: u64,
}

impl Replay<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let mut quiet = 0;
        loop {
            let polled = self.group.poll(POLL).await?;
            quiet = if polled.is_empty() { quiet + 1 } else { 0 };
            let is_read = polled.is_empty() && self.group.left().await == Some(0);
            if is_read || quiet > QUIET_POLLS {
                return Ok(());
            }
            for message in polled {
                self.put(message).await?;
            }
        }
    }

    async fn put(&mut self, message: Incoming) -> Result<(), Error> {
        if message.timestamp > self.begun || self.ended.contains(&message.partition) {
            self.ended.insert(message.partition);
            return Ok(());
        }
        if retry::is_of(&message, &self.route.group) {
            self.sender.send(retry::put_back(&message, &self.route.group)).await?;
            self.put_back += 1;
        }
        self.group.commit(&BTreeMap::from([(message.partition, message.offset + 1)])).await
    }
}

/// In milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a run of the program is the edge")]
fn now() -> i64 {
    domain::Timestamp::now().as_millisecond()
}
