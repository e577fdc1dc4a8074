//! What is new in the stream of events, for all who follow it in this process: one of them reads, and hands
//! on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::public_event::PublicEvent;
use store::{
    Db,
    events::{self, Filter, Horizon, Range},
};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

/// Streams at once in this process: each has a connection for as long as it lasts.
const MAX_STREAMS: usize = 1_000;
/// How often is looked for new events while somebody follows.
const LOOKED_EVERY: Duration = Duration::from_millis(100);
/// How long new events wait for others that are being written before them.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many are read at once.
const PAGE: i64 = 500;
/// So many pages behind, a stream reads on by itself.
const MAX_BEHIND: usize = 16;

/// Events that follow each other without a gap: all after one position, up to another.
pub struct Chapter {
    pub after: i64,
    pub up_to: i64,
    pub events: Vec<PublicEvent>,
    /// There are more, which are decided already.
    pub is_behind: bool,
}

/// Where all streams of this process hear what is new.
pub struct Feed {
    pub(super) db: Db,
    horizon: Horizon,
    chapters: broadcast::Sender<Arc<Chapter>>,
    /// Whether somebody reads for all.
    is_read: Mutex<bool>,
    pub(super) places: Arc<Semaphore>,
    pub(super) ended: CancellationToken,
}

impl Feed {
    pub fn new(db: Db) -> Self {
        Self {
            db,
            horizon: Horizon::default(),
            chapters: broadcast::channel(MAX_BEHIND).0,
            is_read: Mutex::new(false),
            places: Arc::new(Semaphore::new(MAX_STREAMS)),
            ended: CancellationToken::new(),
        }
    }

    /// Up to where events are decided; waits as long as `patience` for those that are being written.
    pub async fn horizon(&self, patience: Duration) -> store::Result<Option<i64>> {
        self.horizon.reach(&self.db, patience).await
    }

    /// Reads on by oneself, as far as events are decided. None if what follows was forgotten meanwhile.
    pub async fn read(&self, after: i64, filter: &Filter) -> store::Result<Option<Chapter>> {
        let horizon = self.horizon(PATIENCE).await?.unwrap_or(after).max(after);
        let up_to = filter.window(after, horizon);
        let events = events::read(&self.db, Range { after, up_to, limit: PAGE }, filter).await?;
        if events::pruned(&self.db).await? > after {
            return Ok(None);
        }
        let up_to = if events.len() < PAGE as usize { up_to } else { last(&events, up_to) };
        Ok(Some(Chapter { after, up_to, events, is_behind: up_to < horizon }))
    }

    /// Hears what is new from now on.
    pub fn follow(self: &Arc<Self>) -> broadcast::Receiver<Arc<Chapter>> {
        let mut is_read = self.is_read.lock().unwrap_or_else(PoisonError::into_inner);
        let chapters = self.chapters.subscribe();
        if !std::mem::replace(&mut *is_read, true) {
            #[expect(clippy::disallowed_methods, reason = "one at a time in each process")]
            tokio::spawn(self.clone().read_for_all());
        }
        chapters
    }

    /// Reads as long as anybody follows.
    async fn read_for_all(self: Arc<Self>) {
        let mut after = None;
        while self.is_wanted() {
            let mut is_behind = false;
            match self.read_on(after).await {
                Ok(read) => (after, is_behind) = read,
                Err(error) => tracing::debug!(%error, "events cannot be read now"),
            }
            if !is_behind {
                tokio::time::sleep(LOOKED_EVERY).await;
            }
        }
    }

    /// Gives up to where it was read, and whether there is more.
    async fn read_on(&self, after: Option<i64>) -> store::Result<(Option<i64>, bool)> {
        let Some(after) = after else { return Ok((self.begin().await?, false)) };
        let Some(chapter) = self.read(after, &Filter::default()).await? else { return Ok((None, false)) };
        let (up_to, is_behind) = (chapter.up_to, chapter.is_behind);
        if up_to > after {
            let _ = self.chapters.send(Arc::new(chapter)); // the last one may have gone
        }
        Ok((Some(up_to), is_behind))
    }

    /// Says where the reading begins: whoever followed before, and has not come so far, reads up to there by
    /// itself.
    async fn begin(&self) -> store::Result<Option<i64>> {
        let Some(at) = self.horizon(PATIENCE).await? else { return Ok(None) };
        let _ = self.chapters.send(Arc::new(Chapter {
            after: at,
            up_to: at,
            events: Vec::new(),
            is_behind: false,
        }));
        Ok(Some(at))
    }

    fn is_wanted(&self) -> bool {
        let mut is_read = self.is_read.lock().unwrap_or_else(PoisonError::into_inner);
        *is_read = self.chapters.receiver_count() > 0 && !self.ended.is_cancelled();
        *is_read
    }

    /// Ends all streams: the program does.
    pub fn end(&self) {
        self.ended.cancel();
    }
}

fn last(events: &[PublicEvent], otherwise: i64) -> i64 {
    events.last().map_or(otherwise, |event| event.id.position())
}
