//! A member of a consumer group: takes messages, has them handled, and notes how far it is. Nothing is
//! committed that is not done, or in a topic of failures.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::Timestamp;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    board::{Board, Place},
    keeper::{Keeper, commit},
    policy::Policy,
    retry,
    routes::Mode,
    sender::Sender,
    watch::Watch,
};
use crate::kafka::{Cluster, Error, Group, Incoming, Outgoing, Settings};

/// How long is waited for messages before what was done is committed.
const POLL: Duration = Duration::from_millis(200);
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// So many messages are taken and not done, at most; then no more are fetched until there are fewer.
const MAX_OUTSTANDING: usize = 1000;
/// The same of one partition: one whose messages fail does not take the place of the others.
const MAX_OF_PARTITION: usize = 250;
/// Or so many bytes of them: a message may have a megabyte.
const MAX_OUTSTANDING_BYTES: usize = 64 * 1024 * 1024;
const MAX_OF_PARTITION_BYTES: usize = 16 * 1024 * 1024;
/// At the end, and before a partition is given up, so long is waited for those that are being handled.
pub(super) const DRAIN: Duration = Duration::from_secs(20);
/// The pause after Kafka, or what a handler needs, could not be had: at first and at last.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(10);
/// Once Kafka could not be read for so long, everything is connected anew.
const GIVE_UP: Duration = Duration::from_secs(30);

/// What came of a message.
#[derive(Debug)]
pub(crate) enum Verdict {
    Done,
    /// It may go better another time.
    Failed(String),
    /// It never will.
    Refused(String),
    /// It is not the message's fault: it is tried until it goes.
    Unavailable(String),
}

/// Whoever does something about messages.
pub(crate) trait Handler: Send + Sync + 'static {
    /// `attempt` counts from 1.
    fn handle(&self, message: &Incoming, attempt: u32) -> impl Future<Output = Verdict> + Send;
}

pub(crate) struct Runner<H> {
    settings: Settings,
    policy: Policy,
    handler: Arc<H>,
}

/// Why a session is over.
enum Ended {
    Stopped,
    /// There are other partitions than there were.
    Changed,
}

/// From one connection to the next.
struct Session<H> {
    policy: Policy,
    handler: Arc<H>,
    board: Arc<Board>,
    places: Semaphore,
    cluster: Cluster,
    sender: Sender,
}

impl<H: Handler> Runner<H> {
    pub fn new(settings: Settings, policy: Policy, handler: Arc<H>) -> Self {
        Self { settings, policy, handler }
    }

    /// Runs until told to stop, and then until what is being handled is done. A fault is logged when it
    /// appears and when it is gone.
    pub async fn run(self, stop: CancellationToken) {
        let route = self.policy.name.as_str();
        let (mut pause, mut is_away, mut missing) = (RETRY_FIRST, false, Vec::new());
        loop {
            let begun = Instant::now();
            let error = match self.session(&stop, &mut is_away, &mut missing).await {
                Ok(Ended::Stopped) => return,
                Ok(Ended::Changed) => {
                    tracing::info!(route, "topics have changed, and are read anew");
                    continue;
                }
                Err(error) => error,
            };
            if !is_away {
                tracing::warn!(route, %error, "messages cannot be read from Kafka, trying on");
            }
            is_away = true;
            pause = if begun.elapsed() > RETRY_LAST { RETRY_FIRST } else { pause };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY_LAST);
        }
    }

    /// Which topics are read. None: there are none of those that may be missing.
    fn topics(&self, watch: &Watch, missing: &mut Vec<String>) -> Option<Vec<String>> {
        let told = std::mem::replace(missing, watch.missing());
        let topics = self.policy.topics.iter();
        if self.policy.may_be_missing {
            let topics: Vec<String> = topics.filter(|topic| !missing.contains(topic)).cloned().collect();
            return (!topics.is_empty()).then_some(topics);
        }
        for topic in missing.iter().filter(|topic| !told.contains(topic)) {
            tracing::warn!(route = self.policy.name, topic, "there is no such topic yet");
        }
        Some(topics.cloned().collect())
    }

    async fn session(
        &self,
        stop: &CancellationToken,
        is_away: &mut bool,
        missing: &mut Vec<String>,
    ) -> Result<Ended, Error> {
        let cluster = Cluster::connect(&self.settings).await?;
        cluster.ensure_topics(&self.policy.created).await?;
        let session = Arc::new(Session {
            policy: self.policy.clone(),
            handler: self.handler.clone(),
            board: Arc::default(),
            places: Semaphore::new(self.policy.concurrency),
            cluster: cluster.clone(),
            sender: Sender::new(cluster.clone()).await?,
        });
        let watch = Watch::new(cluster.clone(), &self.policy.topics).await?;
        let Some(topics) = self.topics(&watch, missing) else {
            return tokio::select! {
                () = watch.changed() => Ok(Ended::Changed),
                () = stop.cancelled() => Ok(Ended::Stopped),
            };
        };
        let keeper = Keeper { board: session.board.clone(), group: Arc::default() };
        let of_keeper = keeper.group.clone();
        let group = Arc::new(cluster.group(&self.policy.group, &topics, keeper).await?);
        let _ = of_keeper.set(Arc::downgrade(&group)); // it is set here alone
        let Policy { name: route, group: of, .. } = &self.policy;
        match std::mem::take(is_away) {
            true => tracing::info!(route, group = of, "messages are read from Kafka again"),
            false => tracing::info!(route, group = of, "messages are read from Kafka"),
        }
        let ended = tokio::select! {
            ended = session.clone().take_in(&group, stop) => ended.map(|()| Ended::Stopped),
            () = watch.changed() => Ok(Ended::Changed),
        };
        session.board.halt(None);
        let _ = timeout(DRAIN, session.board.quiet(None)).await; // the others are given to somebody again
        commit(&session.board, &group, None).await;
        group.close().await;
        ended
    }
}

impl<H: Handler> Session<H> {
    /// Takes messages until told to stop.
    async fn take_in(self: Arc<Self>, group: &Group, stop: &CancellationToken) -> Result<(), Error> {
        let (mut paused, mut committed, mut silent_since) = (false, Instant::now(), None::<Instant>);
        loop {
            let is_full = self.board.is_full(MAX_OUTSTANDING, MAX_OUTSTANDING_BYTES);
            let full = self.board.full(MAX_OF_PARTITION, MAX_OF_PARTITION_BYTES);
            let is_any_full = is_full || !full.is_empty();
            // At every turn: partitions that come meanwhile are to be paused, too.
            if is_any_full || paused {
                group.pause(|partition| is_full || full.contains(partition)).await;
            }
            paused = is_any_full;
            let polled = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                polled = group.poll(POLL) => polled,
            };
            match polled {
                Ok(messages) => {
                    silent_since = None;
                    self.begin(&messages).await;
                    messages.into_iter().for_each(|message| self.clone().take(message));
                }
                Err(error) => {
                    let since = *silent_since.get_or_insert_with(Instant::now);
                    if group.is_closed() || since.elapsed() > GIVE_UP {
                        return Err(error);
                    }
                    sleep(RETRY_FIRST).await;
                }
            }
            if committed.elapsed() > COMMIT_EVERY {
                commit(&self.board, group, None).await;
                committed = Instant::now();
            }
        }
    }

    /// Of partitions that are new here it is asked how often their messages were tried before.
    async fn begin(&self, messages: &[Incoming]) {
        if self.policy.mode != Mode::Ordered {
            return;
        }
        let new_ones = self.board.new_ones(messages);
        if new_ones.is_empty() {
            return;
        }
        let marks = self.cluster.marks(&self.policy.group, new_ones.keys()).await;
        let marks = marks.unwrap_or_else(|error| {
            tracing::warn!(route = self.policy.name, %error, "tries are counted anew");
            BTreeMap::new()
        });
        for (partition, at) in new_ones {
            self.board.begin(&partition, at, marks.get(&partition).map_or("", |mark| mark.note.as_str()));
        }
    }

    fn take(self: Arc<Self>, message: Incoming) {
        if retry::is_of_another(&message, &self.policy.mark) {
            self.count("skipped");
            return self.board.pass(&message);
        }
        let begun = self.board.take(message, self.policy.mode == Mode::Ordered);
        if let Some((place, message)) = begun {
            #[expect(clippy::disallowed_methods, reason = "bounded by what may be outstanding")]
            tokio::spawn(async move { self.work(place, message).await });
        }
    }

    /// Brings a message to its end, and those after it that waited for it.
    async fn work(&self, place: Place, message: Incoming) {
        let mut next = Some(message);
        while let Some(message) = next {
            if !self.settle(&place, &message).await {
                return;
            }
            next = self.board.done(&place, &message);
        }
    }

    /// Whether it is done, or where failures are kept; if not, somebody else will have it.
    async fn settle(&self, place: &Place, message: &Incoming) -> bool {
        let before = self.board.tries(place, message.offset);
        let (mut attempts, mut pause) = (retry::attempts(message).max(before), RETRY_FIRST);
        // It is not tried sooner because its partition has come to us.
        if before > 0 && !self.waited(place, self.policy.interval).await {
            return false;
        }
        // No longer than we would have said ourselves, whatever the header says.
        if let Some(due) = retry::due(message)
            && !self.waited(place, until(due).min(self.policy.interval)).await
        {
            return false;
        }
        loop {
            let Some(verdict) = self.attempt(place, message, attempts + 1).await else { return false };
            let (name, mark) = (&self.policy.name, &self.policy.mark);
            match verdict {
                Verdict::Done => {
                    self.count("done");
                    return true;
                }
                Verdict::Unavailable(why) => {
                    tracing::debug!(route = name, why, "a message waits");
                    if !self.waited(place, pause).await {
                        return false;
                    }
                    pause = (pause * 2).min(RETRY_LAST);
                }
                Verdict::Failed(why) if attempts < self.policy.retries => {
                    attempts += 1;
                    self.count("retried");
                    if self.policy.mode == Mode::Parallel {
                        let due = now().saturating_add(self.interval_ms());
                        return self
                            .put(place, message, retry::again(message, mark, attempts, due, &why))
                            .await;
                    }
                    if !self.waited(place, self.policy.interval).await {
                        return false;
                    }
                }
                Verdict::Failed(why) | Verdict::Refused(why) => {
                    self.count("failed");
                    tracing::warn!(route = name, origin = retry::origin(message), why, "a message failed");
                    return self.put(place, message, retry::failed(message, mark, attempts + 1, &why)).await;
                }
            }
        }
    }

    async fn attempt(&self, place: &Place, message: &Incoming, attempt: u32) -> Option<Verdict> {
        let _place = tokio::select! {
            () = place.halt.cancelled() => return None,
            place = self.places.acquire() => place.ok()?,
        };
        let _attempt = self.board.attempt(place)?;
        let verdict = self.handler.handle(message, attempt).await;
        // While it counts as being handled: whoever waits for its end notes this.
        if self.policy.mode == Mode::Ordered && matches!(verdict, Verdict::Failed(_)) {
            self.board.tried(place, message.offset, attempt);
        }
        Some(verdict)
    }

    /// Whether the time has passed, and the message is still ours.
    async fn waited(&self, place: &Place, wait: Duration) -> bool {
        tokio::select! {
            () = place.halt.cancelled() => false,
            () = sleep(wait) => true,
        }
    }

    /// Writes a failure to its topic, for as long as it takes. If no topic takes it, then what is left of it
    /// without its value.
    async fn put(&self, place: &Place, message: &Incoming, mut failure: Outgoing) -> bool {
        let (mut pause, mut smaller) = (RETRY_FIRST, None);
        loop {
            let Some(attempt) = self.board.attempt(place) else { return false };
            let sent = self.sender.send(failure.clone()).await;
            drop(attempt);
            let Err(error) = sent else { return true };
            let (route, topic) = (self.policy.name.as_str(), failure.topic.as_str());
            tracing::warn!(route, topic, %error, "a failure is not written yet");
            if error.is_of_record() {
                let tried = retry::attempts(message) + 1;
                let why = format!("it cannot be written to {topic}: {error}");
                let left = || retry::left_out(message, &self.policy.mark, tried, &why).into_iter();
                if let Some(next) = smaller.get_or_insert_with(left).next() {
                    failure = next;
                    continue;
                }
            }
            if !self.waited(place, pause).await {
                return false;
            }
            pause = (pause * 2).min(RETRY_LAST);
        }
    }

    fn interval_ms(&self) -> i64 {
        i64::try_from(self.policy.interval.as_millis()).unwrap_or(i64::MAX)
    }

    fn count(&self, result: &str) {
        telemetry::metrics().consumed.with_label_values(&[self.policy.name.as_str(), result]).inc();
    }
}

/// In milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "when a failure is due goes by the machine's clock")]
fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

fn until(due: i64) -> Duration {
    Duration::from_millis(u64::try_from(due.saturating_sub(now())).unwrap_or(0))
}
