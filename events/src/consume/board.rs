//! What a member of a group has taken and not done yet. Of each partition all up to the first message that is
//! not done may be committed.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::tries::{self, Tries};
use crate::kafka::{Incoming, Mark, Partition};

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
    /// Those that are not done, and how many bytes each has.
    pending: BTreeMap<i64, usize>,
    /// All before it was taken.
    taken: i64,
    committed: Mark,
    /// Of an ordered route: keys of which a message is under way, with what waits behind it.
    lanes: HashMap<Key, VecDeque<Incoming>>,
    /// Of those that are under way, or were with whoever had the partition before.
    tries: Tries,
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

    fn open(&mut self, partition: &Partition, at: i64, tries: Tries) -> &mut Window {
        self.of.entry(partition.clone()).or_insert_with(|| {
            self.opened += 1;
            Window {
                id: self.opened,
                halt: CancellationToken::new(),
                pending: BTreeMap::new(),
                taken: at,
                committed: Mark { offset: at, note: tries::write(tries.range(at..)) },
                lanes: HashMap::new(),
                tries,
                attempts: 0,
            }
        })
    }
}

impl Window {
    fn done(&self) -> i64 {
        self.pending.first_key_value().map_or(self.taken, |(offset, _)| *offset)
    }

    fn mark(&self) -> Mark {
        let offset = self.done();
        Mark { offset, note: tries::write(self.tries.range(offset..)) }
    }

    fn bytes(&self) -> usize {
        self.pending.values().sum()
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message. Given back, it is to be begun with; otherwise it waits behind another of its key.
    pub fn take(&self, message: Incoming, is_ordered: bool) -> Option<(Place, Incoming)> {
        let mut windows = self.lock();
        let window = windows.open(&message.partition, message.offset, Tries::new());
        window.pending.insert(message.offset, message.bytes());
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
        let window = windows.open(&message.partition, message.offset, Tries::new());
        window.taken = window.taken.max(message.offset + 1);
        window.tries.remove(&message.offset);
    }

    /// One is done; gives the next of its key.
    pub fn done(&self, place: &Place, message: &Incoming) -> Option<Incoming> {
        let mut windows = self.lock();
        let window = windows.find(place)?;
        window.pending.remove(&message.offset);
        window.tries.remove(&message.offset);
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

    /// Whether so many messages, or so many bytes of them, are not done.
    pub fn is_full(&self, messages: usize, bytes: usize) -> bool {
        let windows = self.lock();
        let count: usize = windows.of.values().map(|window| window.pending.len()).sum();
        count >= messages || windows.of.values().map(Window::bytes).sum::<usize>() >= bytes
    }

    /// Partitions of which so many messages, or so many bytes, are not done.
    pub fn full(&self, messages: usize, bytes: usize) -> Vec<Partition> {
        let windows = self.lock();
        let is_full = |window: &Window| window.pending.len() >= messages || window.bytes() >= bytes;
        let full = windows.of.iter().filter(|(_, window)| is_full(window));
        full.map(|(partition, _)| partition.clone()).collect()
    }

    /// Partitions of which nothing was taken since they were assigned, and which message is the first.
    pub fn new_ones(&self, messages: &[Incoming]) -> BTreeMap<Partition, i64> {
        let windows = self.lock();
        let mut first = BTreeMap::new();
        for message in messages.iter().filter(|message| !windows.of.contains_key(&message.partition)) {
            first.entry(message.partition.clone()).or_insert(message.offset);
        }
        first
    }

    /// A partition comes, with what whoever had it before noted.
    pub fn begin(&self, partition: &Partition, at: i64, note: &str) {
        self.lock().open(partition, at, tries::read(note));
    }

    /// How often a message was tried by whoever had the partition before.
    pub fn tries(&self, place: &Place, offset: i64) -> u32 {
        self.lock().find(place).and_then(|window| window.tries.get(&offset).copied()).unwrap_or(0)
    }

    /// A message was tried so often by now, and is tried again in its place.
    pub fn tried(&self, place: &Place, offset: i64, tries: u32) {
        if let Some(window) = self.lock().find(place) {
            window.tries.insert(offset, tries);
        }
    }

    /// How far each is done, where that is further than it was, or more tries are to be noted.
    pub fn to_commit(&self, of: Option<&[Partition]>) -> BTreeMap<Partition, Mark> {
        let windows = self.lock();
        let all = windows.of.iter().filter(|(partition, _)| of.is_none_or(|of| of.contains(partition)));
        all.map(|(partition, window)| (partition, window.mark(), &window.committed))
            .filter(|(_, mark, committed)| mark.offset > committed.offset || mark.note != committed.note)
            .map(|(partition, mark, _)| (partition.clone(), mark))
            .collect()
    }

    pub fn committed(&self, marks: BTreeMap<Partition, Mark>) {
        let mut windows = self.lock();
        for (partition, mark) in marks {
            if let Some(window) = windows.of.get_mut(&partition)
                && window.committed.offset <= mark.offset
            {
                window.committed = mark;
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
        board.to_commit(None).into_values().next().map(|mark| mark.offset)
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
        board.committed(board.to_commit(None));
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
        assert!(board.is_full(1, usize::MAX), "another's window is not touched");
    }

    #[test]
    fn what_is_large_fills_it_sooner() {
        let board = Board::default();
        let large = Incoming { value: Some(vec![0; 1000]), ..message(0, "a") };
        let (place, large) = board.take(large, false).unwrap();
        board.take(message(1, "a"), false).unwrap();
        assert!(board.is_full(3, 1000) && board.is_full(2, 5000) && !board.is_full(3, 5000));
        assert_eq!((board.full(3, 1000).len(), board.full(3, 5000).len()), (1, 0));
        board.done(&place, &large);
        assert!(!board.is_full(3, 1000) && board.full(3, 1000).is_empty());
    }

    #[test]
    fn tries_are_noted_until_their_message_is_done() {
        let board = Board::default();
        let partition = message(0, "a").partition;
        assert_eq!(board.new_ones(&[message(5, "a"), message(6, "b")]), [(partition.clone(), 5)].into());
        board.begin(&partition, 5, "3:9 5:2 6:1");
        assert!(board.new_ones(&[message(5, "a")]).is_empty() && committable(&board).is_none());
        let noted = || board.to_commit(None).remove(&partition);
        let (place, first) = board.take(message(5, "a"), true).unwrap();
        let (_, other) = board.take(message(6, "b"), true).unwrap();
        assert_eq!((board.tries(&place, 5), board.tries(&place, 6), board.tries(&place, 7)), (2, 1, 0));
        board.tried(&place, 5, 3);
        assert_eq!(noted(), Some(Mark { offset: 5, note: "5:3 6:1".to_owned() }));
        board.committed(board.to_commit(None));
        assert_eq!(noted(), None);
        board.done(&place, &first);
        assert_eq!(noted(), Some(Mark { offset: 6, note: "6:1".to_owned() }));
        board.done(&place, &other);
        assert_eq!(noted(), Some(Mark::at(7)));
    }
}
