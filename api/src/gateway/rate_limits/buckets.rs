//! A bucket for each who calls, and never more than so many of them: a stranger with many addresses must not
//! grow our memory.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use governor::{
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore, keyed::ShrinkableKeyedStateStore},
};

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    Caller(Arc<str>),
    Network(IpAddr),
}

/// A power of two: locks are apart, so callers do not wait for each other.
const SHARDS: usize = 16;
/// Buckets of each group: some 100 bytes each. Beyond it, who is new shares one with all who are.
const MAX_BUCKETS: usize = 32_768;

/// Cheap to clone.
#[derive(Clone)]
pub struct Buckets(Arc<Inner>);

struct Inner {
    shards: [RwLock<HashMap<Who, InMemoryState>>; SHARDS],
    hasher: RandomState,
    /// For who finds no place.
    shared: InMemoryState,
    was_crowded: AtomicBool,
}

impl Buckets {
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            shards: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::new(),
            shared: InMemoryState::default(),
            was_crowded: AtomicBool::new(false),
        }))
    }

    /// Whether somebody found no place since this was asked last.
    pub fn was_crowded(&self) -> bool {
        // Nearly always not: to look costs other processors nothing.
        self.0.was_crowded.load(Ordering::Relaxed) && self.0.was_crowded.swap(false, Ordering::Relaxed)
    }
}

/// Who is known costs a look and a compare-and-swap, however many ask at once; who is new, a lock for a
/// moment.
impl StateStore for Buckets {
    type Key = Who;

    fn measure_and_replace<T, F, E>(&self, who: &Who, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let hash = self.0.hasher.hash_one(who) as usize;
        let shard = &self.0.shards[hash % SHARDS];
        if let Some(bucket) = shard.read().unwrap_or_else(PoisonError::into_inner).get(who) {
            return bucket.measure_and_replace(&NotKeyed::NonKey, measure);
        }
        let mut buckets = shard.write().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS / SHARDS && !buckets.contains_key(who) {
            self.0.was_crowded.store(true, Ordering::Relaxed);
            return self.0.shared.measure_and_replace(&NotKeyed::NonKey, measure);
        }
        buckets.entry(who.clone()).or_default().measure_and_replace(&NotKeyed::NonKey, measure)
    }
}

impl ShrinkableKeyedStateStore<Who> for Buckets {
    fn retain_recent(&self, drop_below: Nanos) {
        for shard in &self.0.shards {
            let mut buckets = shard.write().unwrap_or_else(PoisonError::into_inner);
            buckets.retain(|_, bucket| level(bucket).is_some_and(|level| level > drop_below));
        }
    }

    fn len(&self) -> usize {
        self.0.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is in a bucket, which stays as it is.
fn level(bucket: &InMemoryState) -> Option<Nanos> {
    bucket.measure_and_replace(&NotKeyed::NonKey, Err::<((), Nanos), _>).err().flatten()
}
