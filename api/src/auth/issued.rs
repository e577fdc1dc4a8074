//! Keys that were issued: all of them are in memory, as they were a few seconds ago at most, so that a
//! request costs no look into the database (docs/adr/0036).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use domain::{ApiKeyId, Timestamp};
use store::{
    Db,
    api_keys::{self, Hash, IssuedKey, USE_NOTED_EVERY},
};
use tokio::time::{Instant, sleep_until};

use super::{Caller, Refusal};
use crate::{behind::Behind, clock::now, error::Problem};

/// So long what was read is believed: as long may a key be used that another process has revoked.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// So far apart are two reads at least, whatever strangers send.
const PAUSE: Duration = Duration::from_millis(100);

pub struct IssuedKeys {
    db: Db,
    behind: Behind,
    known: RwLock<Known>,
    /// Who has it reads; the others wait for what was read. Holds when the last read began.
    reading: tokio::sync::Mutex<Option<Instant>>,
    used: Mutex<HashMap<ApiKeyId, Instant>>,
}

/// What was read last.
#[derive(Default)]
struct Known {
    keys: HashMap<Hash, Arc<Issued>>,
    /// When the reading of these began.
    as_of: Option<Instant>,
    /// When the last try began that came to an end, in whatever way.
    tried: Option<Instant>,
    /// What was read before is not believed: we have changed it ourselves.
    changed: Option<Instant>,
}

/// A key, and who has it.
pub struct Issued {
    pub id: ApiKeyId,
    pub caller: Caller,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl Issued {
    fn new(key: IssuedKey) -> Self {
        let IssuedKey { id, name, scopes, expires_at, revoked_at, .. } = key;
        Self { id, caller: Caller::new(name.as_str(), Some(id), scopes), expires_at, revoked_at }
    }

    pub fn refusal(&self, at: Timestamp) -> Option<Refusal> {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => Some(Refusal::Revoked),
            (_, Some(expires_at)) if expires_at <= at => Some(Refusal::Expired),
            _ => None,
        }
    }
}

impl IssuedKeys {
    pub fn new(db: Db, behind: Behind) -> Self {
        let (known, reading, used) = (RwLock::default(), tokio::sync::Mutex::default(), Mutex::default());
        Self { db, behind, known, reading, used }
    }

    /// A key that is not known, or has been known for too long, is looked for among all of them, read anew.
    /// Whoever waits for that at the same time is answered by one read: strangers cannot make more of them.
    ///
    /// # Errors
    /// 503 if they cannot be read: nobody can say then whether the key is good.
    pub async fn find(&self, hash: &Hash) -> Result<Option<Arc<Issued>>, Problem> {
        let asked = Instant::now();
        if let Some(issued) = self.believed(hash) {
            return Ok(Some(issued));
        }
        let mut last = self.reading.lock().await;
        if self.tried() < Some(asked) {
            if let Some(last) = *last {
                sleep_until(last + PAUSE).await;
            }
            self.read(&mut last).await;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.as_of >= Some(asked) {
            true => Ok(known.keys.get(hash).cloned()),
            false => Err(Problem::keys_unavailable()),
        }
    }

    fn believed(&self, hash: &Hash) -> Option<Arc<Issued>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let is_believed =
            known.as_of > known.changed && known.as_of.is_some_and(|as_of| as_of.elapsed() < BELIEVED_FOR);
        known.keys.get(hash).filter(|_| is_believed).cloned()
    }

    fn tried(&self) -> Option<Instant> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).tried
    }

    /// A request that is given up meanwhile leaves all as it was, and the next one reads.
    async fn read(&self, last: &mut Option<Instant>) {
        let began = Instant::now();
        *last = Some(began);
        let read = api_keys::all(&self.db, now()).await;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.tried = Some(began);
        match read {
            Ok(keys) => {
                known.keys = keys.into_iter().map(|(hash, key)| (hash, Arc::new(Issued::new(key)))).collect();
                known.as_of = Some(began);
            }
            Err(error) => tracing::error!(%error, "the API keys cannot be read"),
        }
    }

    /// A key was revoked by this process: it is good no more, from now on.
    pub fn forget(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).changed = Some(Instant::now());
    }

    /// Behind the answer, and now and then: the use of a key costs its holder nothing.
    pub fn note_use(&self, id: ApiKeyId) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.get(&id).is_some_and(|at| at.elapsed() < USE_NOTED_EVERY) {
            return;
        }
        used.retain(|_, at| at.elapsed() < USE_NOTED_EVERY); // so that it does not grow with the years
        used.insert(id, Instant::now());
        let db = self.db.clone();
        self.behind.spawn(async move {
            if let Err(error) = api_keys::note_use(&db, id, now()).await {
                tracing::warn!(key_id = %id, %error, "the use of an API key is not noted");
            }
        });
    }
}
