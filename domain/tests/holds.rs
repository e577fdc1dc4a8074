//! A model of what the processes do to stock, checked exhaustively: whoever meets whomever, whoever dies, and
//! whatever is done again because nobody heard that it was done.
//!
//! A process takes a batch of tasks, locks rows one by one, decides by what it read under its locks, and
//! commits all at once, as `store` does in SQL. It may die before each of these steps; what it had not
//! committed is gone. Nobody remembers what was done: each task is done again and again, also by two at the
//! same time. Retries cannot do worse.
//!
//! A model that cannot fail proves nothing: each [`Flaw`] must be found.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    order::Status,
    stock::{Level, Movement},
};
use stateright::{Checker as _, Model, Property};

const ORDERS: usize = 2;
/// Of one SKU, and one piece for each order: not enough for all.
const ON_SHELF: i64 = 1;
const PROCESSES: usize = 2;

/// What a program could get wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// What was done is done again: nobody looks at the order first.
    DoesItAgain,
    /// The order is looked at before it is locked.
    LooksAtTheOrderFirst,
    /// The shelf is looked at before it is locked.
    LooksAtTheShelfFirst,
    /// Orders are written in one transaction, their stock in the next.
    TwoTransactions,
    /// Half of the processes lock their orders in the other sequence.
    AnySequence,
    /// Half of the processes lock stock before orders.
    StockFirst,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Task {
    Place(usize),
    Settle(usize),
    Cancel(usize),
    Expire(usize),
    /// Sold, and back on the shelf: a refund's restock.
    GiveBack(usize),
    /// A piece is broken.
    WriteOff,
}

impl Task {
    fn order(self) -> Option<usize> {
        match self {
            Self::Place(o) | Self::Settle(o) | Self::Cancel(o) | Self::Expire(o) | Self::GiveBack(o) => {
                Some(o)
            }
            Self::WriteOff => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Row {
    Order(usize),
    Level,
}

/// What is committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Database {
    orders: [Option<Status>; ORDERS],
    level: Level,
    /// How often each movement of each order (or none) happened.
    ledger: BTreeMap<(Option<usize>, Movement), u8>,
}

/// One entry in the books: it changes an order, moves a piece, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Entry {
    order: Option<usize>,
    status: Option<Status>,
    movement: Option<Movement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Process {
    Idle,
    /// In a transaction: the rows it has locked, and those it will.
    Open {
        batch: Vec<Task>,
        locked: Vec<Row>,
        to_lock: Vec<Row>,
        early: Option<Database>,
    },
    /// Only with [`Flaw::TwoTransactions`]: what the second will write.
    Between {
        left: Vec<Entry>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    database: Database,
    processes: [Process; PROCESSES],
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Take(usize, Vec<Task>),
    Lock(usize),
    Commit(usize),
    CommitTheRest(usize),
    Crash(usize),
}

struct Holdfast(Flaw);

impl Database {
    fn times(&self, order: Option<usize>, movement: Movement) -> u8 {
        self.ledger.get(&(order, movement)).copied().unwrap_or(0)
    }

    fn holds(&self, order: usize) -> bool {
        let times = |movement| self.times(Some(order), movement);
        times(Movement::Held) > times(Movement::Committed) + times(Movement::Released)
    }

    fn write(&mut self, entry: Entry) {
        if let (Some(order), Some(status)) = (entry.order, entry.status) {
            self.orders[order] = Some(status);
        }
        if let Some(movement) = entry.movement {
            let quantity = if movement == Movement::Adjusted { -1 } else { 1 };
            let (on_hand, held) = movement.deltas(quantity);
            self.level.on_hand += on_hand;
            self.level.held += held;
            *self.ledger.entry((entry.order, movement)).or_default() += 1;
        }
    }
}

/// Decides one task against what is known; nothing if it is refused, or was done before.
fn decide(task: Task, known: &Database, flaw: Flaw) -> Option<Entry> {
    let again = flaw == Flaw::DoesItAgain;
    let order = task.order();
    let status = order.and_then(|order| known.orders[order]);
    let is_open = status == Some(Status::AwaitingPayment) || again;
    let entry = |status, movement| Some(Entry { order, status, movement: Some(movement) });
    match task {
        Task::Place(_) if status.is_none() && known.level.available() >= 1 => {
            entry(Some(Status::AwaitingPayment), Movement::Held)
        }
        Task::Settle(_) if is_open => entry(Some(Status::Completed), Movement::Committed),
        Task::Cancel(_) if is_open => entry(Some(Status::Cancelled), Movement::Released),
        Task::Expire(_) if is_open => entry(Some(Status::Expired), Movement::Released),
        Task::GiveBack(_)
            if status == Some(Status::Completed)
                && (known.times(order, Movement::Returned) == 0 || again) =>
        {
            entry(None, Movement::Returned)
        }
        Task::WriteOff if known.times(None, Movement::Adjusted) == 0 && known.level.available() >= 1 => {
            entry(None, Movement::Adjusted)
        }
        _ => None,
    }
}

impl Holdfast {
    /// The rows of a batch, in the sequence in which they are locked.
    fn rows(&self, process: usize, batch: &[Task]) -> Vec<Row> {
        let existing = batch.iter().filter(|task| !matches!(task, Task::Place(_)));
        let mut rows: Vec<Row> = existing.filter_map(|task| task.order()).map(Row::Order).collect();
        rows.sort_unstable();
        if self.0 == Flaw::AnySequence && process == 1 {
            rows.reverse();
        }
        let level = if self.0 == Flaw::StockFirst && process == 1 { 0 } else { rows.len() };
        rows.insert(level, Row::Level);
        rows
    }

    /// What can be asked for now, for the first time or again.
    fn tasks(world: &World) -> Vec<Task> {
        let orders = (0..ORDERS).flat_map(|order| match world.database.orders[order] {
            None => vec![Task::Place(order)],
            Some(_) => vec![
                Task::Place(order),
                Task::Settle(order),
                Task::Cancel(order),
                Task::Expire(order),
                Task::GiveBack(order),
            ],
        });
        orders.chain([Task::WriteOff]).collect()
    }

    /// What can be decided together: placements at the door, ends of different orders by the worker.
    fn fit(a: Task, b: Task) -> bool {
        let is_end = |task| matches!(task, Task::Settle(_) | Task::Cancel(_) | Task::Expire(_));
        let both_placed = matches!((a, b), (Task::Place(_), Task::Place(_)));
        a.order() != b.order() && (both_placed || (is_end(a) && is_end(b)))
    }

    fn may_lock(world: &World, process: usize) -> Option<Result<(), usize>> {
        let Process::Open { to_lock, .. } = &world.processes[process] else { return None };
        let row = to_lock.first()?;
        let holds = |other: &Process| matches!(other, Process::Open { locked, .. } if locked.contains(row));
        Some(match world.processes.iter().position(holds) {
            Some(other) => Err(other),
            None => Ok(()),
        })
    }

    /// Everything that is looked at is locked, so it is looked at last, but for two flaws.
    fn commit(&self, database: &mut Database, batch: &[Task], early: Option<Database>) -> Vec<Entry> {
        let mut seen = match early {
            Some(early) if self.0 == Flaw::LooksAtTheOrderFirst => {
                Database { orders: early.orders, ..database.clone() }
            }
            Some(early) => early,
            None => database.clone(),
        };
        let mut left = Vec::new();
        for task in batch {
            let Some(entry) = decide(*task, &seen, self.0) else { continue };
            seen.write(entry);
            if self.0 == Flaw::TwoTransactions && entry.status.is_some_and(Status::is_terminal) {
                database.write(Entry { movement: None, ..entry });
                left.push(Entry { status: None, ..entry });
            } else {
                database.write(entry);
            }
        }
        left
    }
}

impl Model for Holdfast {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let database = Database {
            orders: [None; ORDERS],
            level: Level { on_hand: ON_SHELF, held: 0 },
            ledger: BTreeMap::from([((None, Movement::Received), u8::try_from(ON_SHELF).unwrap())]),
        };
        let processes = [Process::Idle, Process::Idle];
        vec![World { database, processes }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (process, state) in world.processes.iter().enumerate() {
            match state {
                Process::Idle => {
                    let tasks = Self::tasks(world);
                    actions.extend(tasks.iter().map(|task| Action::Take(process, vec![*task])));
                    let pairs = tasks.iter().flat_map(|a| tasks.iter().map(|b| vec![*a, *b]));
                    let pairs = pairs.filter(|pair| Self::fit(pair[0], pair[1]));
                    actions.extend(pairs.map(|pair| Action::Take(process, pair)));
                    continue; // who does nothing loses nothing
                }
                Process::Open { to_lock, .. } if to_lock.is_empty() => actions.push(Action::Commit(process)),
                Process::Open { .. } => {
                    if Self::may_lock(world, process) == Some(Ok(())) {
                        actions.push(Action::Lock(process));
                    }
                }
                Process::Between { .. } => actions.push(Action::CommitTheRest(process)),
            }
            actions.push(Action::Crash(process));
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Take(process, batch) => {
                let to_lock = self.rows(process, &batch);
                let looks_early = matches!(self.0, Flaw::LooksAtTheOrderFirst | Flaw::LooksAtTheShelfFirst);
                let early = looks_early.then(|| world.database.clone());
                world.processes[process] = Process::Open { batch, locked: Vec::new(), to_lock, early };
            }
            Action::Lock(process) => {
                let Process::Open { locked, to_lock, .. } = &mut world.processes[process] else {
                    return None;
                };
                locked.push(to_lock.remove(0));
            }
            Action::Commit(process) => {
                let state = std::mem::replace(&mut world.processes[process], Process::Idle);
                let Process::Open { batch, early, .. } = state else { return None };
                let left = self.commit(&mut world.database, &batch, early);
                world.processes[process] = match left.is_empty() {
                    true => Process::Idle,
                    false => Process::Between { left },
                };
            }
            Action::CommitTheRest(process) => {
                let state = std::mem::replace(&mut world.processes[process], Process::Idle);
                let Process::Between { left } = state else { return None };
                left.into_iter().for_each(|entry| world.database.write(entry));
            }
            Action::Crash(process) => world.processes[process] = Process::Idle,
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NEVER_OVERSOLD, |_, world: &World| {
                let Level { on_hand, held } = world.database.level;
                on_hand >= 0 && held >= 0 && held <= on_hand
            }),
            Property::always(MOVES_ONCE, |_, world: &World| {
                (0..ORDERS).map(Some).all(|order| {
                    let times = |movement| world.database.times(order, movement);
                    let ended = times(Movement::Committed) + times(Movement::Released);
                    times(Movement::Held) <= 1
                        && ended <= times(Movement::Held)
                        && times(Movement::Returned) <= times(Movement::Committed)
                })
            }),
            Property::always(AGREE, |_, world: &World| {
                (0..ORDERS).all(|order| {
                    let committed = world.database.times(Some(order), Movement::Committed) > 0;
                    match world.database.orders[order] {
                        None => !world.database.holds(order) && !committed,
                        Some(Status::AwaitingPayment) => world.database.holds(order),
                        Some(Status::Completed) => !world.database.holds(order) && committed,
                        Some(_) => !world.database.holds(order) && !committed,
                    }
                })
            }),
            Property::always(SUM, |_, world: &World| {
                let sum =
                    world.database.ledger.iter().fold((0, 0), |(on_hand, held), ((_, movement), times)| {
                        let quantity = if *movement == Movement::Adjusted { -1 } else { 1 };
                        let (on_hand_delta, held_delta) = movement.deltas(quantity * i64::from(*times));
                        (on_hand + on_hand_delta, held + held_delta)
                    });
                sum == (world.database.level.on_hand, world.database.level.held)
            }),
            Property::always(NO_DEADLOCK, |_, world: &World| {
                let waits = |process| Self::may_lock(world, process).and_then(Result::err);
                !(0..PROCESSES)
                    .any(|process| waits(process).is_some_and(|other| waits(other) == Some(process)))
            }),
            Property::sometimes("an order expires", |_, world: &World| {
                world.database.orders.contains(&Some(Status::Expired))
            }),
            Property::sometimes("what was given back is sold again", |_, world: &World| {
                let sold = |order| world.database.times(Some(order), Movement::Committed);
                (0..ORDERS).map(sold).sum::<u8>() > u8::try_from(ON_SHELF).unwrap()
            }),
        ]
    }
}

const NEVER_OVERSOLD: &str = "never oversold";
const MOVES_ONCE: &str = "a hold moves once";
const AGREE: &str = "an order and its hold agree: closed orders hold nothing";
const SUM: &str = "levels are the sum of the ledger";
const NO_DEADLOCK: &str = "nobody waits for somebody who waits for them";

#[test]
fn whoever_meets_whomever_and_whoever_dies_the_books_are_right() {
    let checker = Holdfast(Flaw::None).checker().threads(2).spawn_bfs().join();
    eprintln!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn every_flaw_is_found() {
    for (flaw, property) in [
        (Flaw::DoesItAgain, MOVES_ONCE),
        (Flaw::LooksAtTheOrderFirst, AGREE),
        (Flaw::LooksAtTheShelfFirst, NEVER_OVERSOLD),
        (Flaw::TwoTransactions, AGREE),
        (Flaw::AnySequence, NO_DEADLOCK),
        (Flaw::StockFirst, NO_DEADLOCK),
    ] {
        let finished = stateright::HasDiscoveries::AnyOf(BTreeSet::from([property]));
        let checker = Holdfast(flaw).checker().finish_when(finished).spawn_bfs().join();
        let path = checker.discovery(property);
        eprintln!("{flaw:?}: {:?}", path.map(|path| path.into_actions()));
        checker.assert_any_discovery(property);
    }
}
