//! The publisher of our events: one of all workers, by the lease of a cursor (docs/adr/0041).
//!
//! It reads a round of events after the cursor, writes it, and once all of it is acknowledged moves the
//! cursor on. If anything fails, it begins again from the cursor: an event may be there twice, but none is
//! missing, and the first time that each is there, it is in the order of its subject: a round begins where
//! all before it is acknowledged, and what of it goes to one partition is written as a whole or not at all.

use std::{collections::VecDeque, time::Duration};

use domain::{
    SignedDuration, Timestamp,
    public_event::{PublicEvent, Topic},
};
use store::{
    Db,
    events::{self, Filter, Horizon, Range},
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    client::{Cluster, DELIVERY_TIMEOUT, Error, MAX_ROUND_BYTES, Producer},
    message::Outgoing,
    record::record,
    settings::Settings,
};
use crate::pace::rest;

/// The name of the cursor.
pub const CURSOR: &str = "kafka";
/// For so long nobody else publishes.
const LEASE: Duration = Duration::from_secs(15);
/// Nothing is sent with less than this left: what is under way has ended before another begins.
const MIN_LEFT: Duration = Duration::from_secs(10);
const _: () = assert!(MIN_LEFT.as_secs() > DELIVERY_TIMEOUT.as_secs());
/// How often is looked for new events, and by those who do not publish whether they are to.
const POLL: Duration = Duration::from_millis(100);
const STAND_BY: Duration = Duration::from_secs(2);
/// How long is waited, at most, for what is being written to be decided.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much is read at once.
const MAX_READ: i64 = 2000;
/// The pause after a failure, at first and at last.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(10);

/// Why a round was not published.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Kafka(#[from] Error),
    #[error(transparent)]
    Store(#[from] store::Fault),
}

impl Fault {
    /// A word for the metrics.
    const fn of(&self) -> &'static str {
        match self {
            Self::Kafka(_) => "kafka",
            Self::Store(_) => "database",
        }
    }
}

/// What came of a turn.
enum Turn {
    /// There may be more, after a rest.
    Published(Duration),
    Nothing,
    /// Somebody else publishes.
    StandBy,
}

pub struct Publisher {
    db: Db,
    settings: Settings,
    holder: Uuid,
    horizon: Horizon,
}

/// What rounds are written with.
struct Writer {
    producer: Producer,
    round_bytes: usize,
}

/// So much has a round, if a topic takes so much at once: some is left for what a batch has around it.
fn round_bytes(limit: Option<usize>) -> usize {
    limit.map_or(MAX_ROUND_BYTES, |limit| MAX_ROUND_BYTES.min(limit - limit / 5))
}

/// While we publish.
struct Hold {
    position: i64,
    until: Instant,
    /// What was read after the position, and is not written yet.
    ahead: VecDeque<PublicEvent>,
}

impl Publisher {
    pub fn new(db: Db, settings: Settings) -> Self {
        Self { db, settings, holder: Uuid::new_v4(), horizon: Horizon::default() }
    }

    /// Publishes until `stop` resolves. A fault is logged when it appears and when it is gone.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let (mut hold, mut writer) = (None, None);
        let (mut said, mut pause) = (None::<String>, RETRY_FIRST);
        loop {
            // A round is not broken off: it ends within its limits.
            let turned = self.turn(&mut hold, &mut writer).await;
            let wait = match turned {
                Ok(turn) => {
                    if said.take().is_some() {
                        tracing::info!("events are published to Kafka again");
                    }
                    pause = RETRY_FIRST;
                    match turn {
                        Turn::Published(rest) => rest,
                        Turn::Nothing => POLL,
                        Turn::StandBy => STAND_BY,
                    }
                }
                Err(fault) => {
                    telemetry::metrics().events_failed.with_label_values(&[fault.of()]).inc();
                    let error = fault.to_string();
                    if said.is_none() {
                        tracing::warn!(error, "events cannot be published to Kafka, trying on");
                    }
                    said = Some(error);
                    self.let_go(&mut hold, &mut writer).await;
                    let wait = pause;
                    pause = (pause * 2).min(RETRY_LAST);
                    wait
                }
            };
            tokio::select! {
                () = &mut stop => break,
                () = sleep(wait) => {}
            }
        }
        self.let_go(&mut hold, &mut writer).await;
    }

    /// Publishes a round, if it is ours to publish.
    async fn turn(&mut self, hold: &mut Option<Hold>, writer: &mut Option<Writer>) -> Result<Turn, Fault> {
        let begun = Instant::now();
        let Some(held) = self.hold(hold).await? else {
            if let Some(Writer { producer, .. }) = writer.take() {
                producer.close().await;
            }
            tell_lag(None, None);
            return Ok(Turn::StandBy);
        };
        if held.ahead.is_empty() {
            self.read_ahead(held).await?;
        }
        if held.ahead.is_empty() {
            return Ok(Turn::Nothing);
        }
        let Writer { producer, round_bytes } = match writer {
            Some(writer) => writer,
            None => writer.insert(self.connect().await?),
        };
        let (round, last) = self.round(&held.ahead, *round_bytes);
        // Reading and connecting took their time, too.
        if held.until.saturating_duration_since(Instant::now()) < MIN_LEFT {
            return Ok(Turn::Published(Duration::ZERO));
        }
        let (count, sending) = (round.len(), Instant::now());
        producer.send_round(round).await?;
        let sent = sending.elapsed();
        if !events::advance(&self.db, CURSOR, self.holder, last).await? {
            *hold = None; // somebody else has it by now, and sends this round once more
            return Ok(Turn::StandBy);
        }
        held.position = last;
        tell_published(held.ahead.drain(..count));
        let rest = rest(count, begun.elapsed());
        tracing::debug!(count, ?sent, took = ?begun.elapsed(), ?rest, "events published");
        Ok(Turn::Published(rest))
    }

    /// Reads what comes next.
    async fn read_ahead(&mut self, held: &mut Hold) -> Result<(), Fault> {
        let up_to = self.horizon.reach(&self.db, PATIENCE).await?.unwrap_or(held.position);
        if up_to > held.position {
            let range = Range { after: held.position, up_to, limit: MAX_READ };
            held.ahead = events::read(&self.db, range, &Filter::default()).await?.into();
        }
        tell_lag(Some((held.position, up_to)), held.ahead.front());
        Ok(())
    }

    /// As many of these events as one batch takes, and where the last one stands.
    fn round(&self, events: &VecDeque<PublicEvent>, max_bytes: usize) -> (Vec<Outgoing>, i64) {
        let (mut round, mut bytes, mut last) = (Vec::with_capacity(events.len()), 0, 0);
        for event in events {
            let outgoing = record(event, &self.settings);
            bytes += outgoing.bytes();
            if bytes > max_bytes && !round.is_empty() {
                break;
            }
            round.push(outgoing);
            last = event.id.position();
        }
        (round, last)
    }

    /// Takes the cursor in hand, or keeps it. None if somebody else publishes.
    async fn hold<'h>(&self, hold: &'h mut Option<Hold>) -> Result<Option<&'h mut Hold>, Fault> {
        let now = Instant::now();
        if hold.as_ref().is_none_or(|held| held.until.saturating_duration_since(now) < MIN_LEFT + PATIENCE) {
            if hold.is_none() {
                events::begin_at(&self.db, CURSOR, 0).await?;
            }
            #[expect(clippy::disallowed_methods, reason = "a lease goes by the machine's clock")]
            let at = Timestamp::now();
            let lease = SignedDuration::try_from(LEASE).unwrap_or(SignedDuration::MAX);
            let until = at.saturating_add(lease).unwrap_or(at);
            let position = events::lease(&self.db, CURSOR, self.holder, at, until).await?;
            let Some(position) = position else {
                *hold = None;
                return Ok(None);
            };
            let until = now + LEASE;
            match hold {
                Some(held) if held.position == position => held.until = until,
                _ => {
                    *hold = Some(Hold { position, until, ahead: VecDeque::new() });
                    tracing::info!("this process publishes events to Kafka");
                }
            }
        }
        Ok(hold.as_mut())
    }

    async fn connect(&self) -> Result<Writer, Fault> {
        let cluster = Cluster::connect(&self.settings).await?;
        let topics = Topic::ALL.map(|topic| self.settings.topic(topic.as_str()));
        cluster.ensure_topics(&topics).await?;
        let limit = cluster.max_message_bytes(&topics).await;
        Ok(Writer { producer: cluster.producer().await?, round_bytes: round_bytes(limit) })
    }

    /// Another may have it, who perhaps reaches what we do not.
    async fn let_go(&self, hold: &mut Option<Hold>, writer: &mut Option<Writer>) {
        if let Some(Writer { producer, .. }) = writer.take() {
            producer.close().await;
        }
        if hold.take().is_some() {
            // If this fails, the lease ends by itself.
            let _ = events::release(&self.db, CURSOR, self.holder).await;
        }
    }
}

fn tell_published(events: impl Iterator<Item = PublicEvent>) {
    let mut counts = [0; Topic::ALL.len()];
    for event in events {
        let topic = event.event_type.topic();
        for (_, count) in Topic::ALL.iter().zip(&mut counts).filter(|(it, _)| **it == topic) {
            *count += 1;
        }
    }
    for (topic, count) in Topic::ALL.iter().zip(counts) {
        telemetry::metrics().events_published.with_label_values(&[topic.as_str()]).inc_by(count);
    }
}

/// How far we are behind: the numbers between the cursor and the horizon, not all of which are taken, and the
/// age of the oldest event.
fn tell_lag(from_to: Option<(i64, i64)>, oldest: Option<&PublicEvent>) {
    let metrics = telemetry::metrics();
    let behind = from_to.map(|(position, up_to)| if oldest.is_some() { up_to - position } else { 0 });
    metrics.events_behind.tell(behind);
    #[expect(clippy::disallowed_methods, reason = "an age is told by the machine's clock")]
    let age = |event: &PublicEvent| Timestamp::now().duration_since(event.at).as_secs().max(0);
    metrics.events_oldest_seconds.tell(behind.map(|_| oldest.map_or(0, age)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_fits_the_topics() {
        assert_eq!(round_bytes(None), MAX_ROUND_BYTES);
        assert_eq!(round_bytes(Some(1_048_588)), MAX_ROUND_BYTES);
        assert_eq!(round_bytes(Some(100_000)), 80_000);
        assert_eq!(round_bytes(Some(usize::MAX)), MAX_ROUND_BYTES);
    }
}
