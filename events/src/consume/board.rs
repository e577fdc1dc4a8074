//! What a member of a group has taken and not done yet. Of each partition all up to the first message that is
//! not done may be committed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::kafka::{Incoming, Partition};

type Key = Option<Vec<u8>>;

#[derive(Default)]
pub(super) struct Board {
    windows: Mutex<Windows>,
    /// An attempt has ended.
    quieter: Notify,
}

#[derive(Default)]
struct Windows {
    of: HashMap<Partition, Window>,
    opened: u64,
}

/// From the assignment of a partition until it is taken away.
struct Window {
    id: u64,
    /// What waits is not to be tried any more.
    halt: CancellationToken,
    pending: BTreeSet<i64>,
    /// All before it was taken.
    taken: i64,
    committed: i64,
    /// Of an ordered route: keys of which a message is under way, with what waits behind it.
    lanes: HashMap<Key, VecDeque<Incoming>>,
    attempts: usize,
}

/// Where a message belongs that is under way.
#[derive(Clone)]
pub(super) struct Place {
    partition: Partition,
    window: u64,
    pub halt: CancellationToken,
}

/// While a message is with its handler.
pub(super) struct Attempt<'b> {
    board: &'b Board,
    place: &'b Place,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(window) = self.board.lock().find(self.place) {
            window.attempts -= 1;
        }
        self.board.quieter.notify_waiters();
    }
}

impl Windows {
    fn find(&mut self, place: &Place) -> Option<&mut Window> {
        self.of.get_mut(&place.partition).filter(|window| window.id == place.window)
    }

    fn open(&mut self, partition: &Partition, at: i64) -> &mut Window {
        self.of.entry(partition.clone()).or_insert_with(|| {
            self.opened += 1;
            Window {
                id: self.opened,
                halt: CancellationToken::new(),
                pending: BTreeSet::new(),
                taken: at,
                committed: at,
                lanes: HashMap::new(),
                attempts: 0,
            }
        })
    }
}

impl Window {
    fn done(&self) -> i64 {
        self.pending.first().copied().unwrap_or(self.taken)
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message. Given back, it is to be begun with; otherwise it waits behind another of its key.
    pub fn take(&self, message: Incoming, is_ordered: bool) -> Option<(Place, Incoming)> {
        let mut windows = self.lock();
        let window = windows.open(&message.partition, message.offset);
        window.pending.insert(message.offset);
        window.taken = window.taken.max(message.offset + 1);
        if is_ordered {
            if let Some(lane) = window.lanes.get_mut(&message.key) {
                lane.push_back(message);
                return None;
            }
            window.lanes.insert(message.key.clone(), VecDeque::new());
        }
        let place =
            Place { partition: message.partition.clone(), window: window.id, halt: window.halt.clone() };
        Some((place, message))
    }

    /// Takes a message that is not ours to do anything about.
    pub fn pass(&self, message: &Incoming) {
        let mut windows = self.lock();
        let window = windows.open(&message.partition, message.offset);
        window.taken = window.taken.max(message.offset + 1);
    }

    /// One is done; gives the next of its key.
    pub fn done(&self, place: &Place, message: &Incoming) -> Option<Incoming> {
        let mut windows = self.lock();
        let window = windows.find(place)?;
        window.pending.remove(&message.offset);
        let next = window.lanes.get_mut(&message.key)?.pop_front();
        if next.is_none() {
            window.lanes.remove(&message.key);
        }
        next
    }

    /// Begins to try. None: the partition is not ours any more, or will not be.
    pub fn attempt<'b>(&'b self, place: &'b Place) -> Option<Attempt<'b>> {
        let mut windows = self.lock();
        let window = windows.find(place).filter(|window| !window.halt.is_cancelled())?;
        window.attempts += 1;
        Some(Attempt { board: self, place })
    }

    pub fn outstanding(&self) -> usize {
        self.lock().of.values().map(|window| window.pending.len()).sum()
    }

    /// Those of which so many messages are not done.
    pub fn full(&self, limit: usize) -> Vec<Partition> {
        let windows = self.lock();
        let full = windows.of.iter().filter(|(_, window)| window.pending.len() >= limit);
        full.map(|(partition, _)| partition.clone()).collect()
    }

    /// How far each is done, where that is further than it was.
    pub fn to_commit(&self, of: Option<&[Partition]>) -> BTreeMap<Partition, i64> {
        let windows = self.lock();
        let all = windows.of.iter().filter(|(partition, _)| of.is_none_or(|of| of.contains(partition)));
        all.filter(|(_, window)| window.done() > window.committed)
            .map(|(partition, window)| (partition.clone(), window.done()))
            .collect()
    }

    pub fn committed(&self, offsets: &BTreeMap<Partition, i64>) {
        let mut windows = self.lock();
        for (partition, offset) in offsets {
            if let Some(window) = windows.of.get_mut(partition) {
                window.committed = window.committed.max(*offset);
            }
        }
    }

    /// Nothing more of these is begun with; of all, if none are named.
    pub fn halt(&self, of: Option<&[Partition]>) {
        for (partition, window) in &self.lock().of {
            if of.is_none_or(|of| of.contains(partition)) {
                window.halt.cancel();
            }
        }
    }

    /// Waits until no message of these is with its handler.
    pub async fn quiet(&self, of: Option<&[Partition]>) {
        loop {
            let quieter = self.quieter.notified();
            tokio::pin!(quieter);
            quieter.as_mut().enable();
            let is_quiet = |(partition, window): (&Partition, &Window)| {
                window.attempts == 0 || of.is_some_and(|of| !of.contains(partition))
            };
            if self.lock().of.iter().all(is_quiet) {
                return;
            }
            quieter.await;
        }
    }

    pub fn forget(&self, partitions: &[Partition]) {
        let mut windows = self.lock();
        for partition in partitions {
            if let Some(window) = windows.of.remove(partition) {
                window.halt.cancel();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(offset: i64, key: &str) -> Incoming {
        Incoming {
            partition: Partition { topic: "t".to_owned(), number: 0 },
            offset,
            key: Some(key.as_bytes().to_vec()),
            value: None,
            headers: Vec::new(),
            timestamp: 0,
        }
    }

    fn committable(board: &Board) -> Option<i64> {
        board.to_commit(None).into_values().next()
    }

    #[test]
    fn what_is_committed_has_no_gap() {
        let board = Board::default();
        let taken: Vec<_> = (5..8).map(|offset| board.take(message(offset, "k"), false).unwrap()).collect();
        assert_eq!(committable(&board), None);
        board.done(&taken[1].0, &taken[1].1);
        assert_eq!(committable(&board), None);
        board.done(&taken[0].0, &taken[0].1);
        assert_eq!(committable(&board), Some(7));
        board.committed(&board.to_commit(None));
        assert_eq!(committable(&board), None);
        board.pass(&message(8, "k"));
        assert_eq!(committable(&board), None, "7 is not done");
        board.done(&taken[2].0, &taken[2].1);
        assert_eq!(committable(&board), Some(9));
    }

    #[test]
    fn a_key_has_one_message_under_way() {
        let board = Board::default();
        let (place, first) = board.take(message(0, "a"), true).unwrap();
        assert!(board.take(message(1, "a"), true).is_none());
        let (_, other) = board.take(message(2, "b"), true).unwrap();
        assert_eq!(other.offset, 2);
        assert_eq!(board.done(&place, &first).unwrap().offset, 1);
        assert_eq!(committable(&board), Some(1));
        assert!(board.done(&place, &message(1, "a")).is_none());
        assert!(board.take(message(3, "a"), true).is_some(), "the lane is free again");
    }

    #[tokio::test]
    async fn what_was_taken_away_is_nobodys_to_commit() {
        let board = Board::default();
        let (place, first) = board.take(message(0, "a"), false).unwrap();
        let attempt = board.attempt(&place).unwrap();
        let partitions = [first.partition.clone()];
        board.halt(Some(&partitions));
        assert!(board.attempt(&place).is_none());
        let quiet = board.quiet(Some(&partitions));
        tokio::pin!(quiet);
        assert!(futures_util::poll!(quiet.as_mut()).is_pending());
        drop(attempt);
        quiet.await;
        board.forget(&partitions);
        board.take(message(0, "a"), false).unwrap();
        assert!(board.done(&place, &first).is_none());
        assert_eq!(board.outstanding(), 1, "another's window is not touched");
    }
}
