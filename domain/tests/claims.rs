//! A model of what comes back of one paid order, checked exhaustively: refunds that claim pieces of it,
//! succeed, fail, succeed after all, or are made again, while the order is handed over. Whoever meets
//! whomever, whoever dies, and whatever is told again: each piece has one owner.
//!
//! As in `holds.rs`, a process locks, reads, and commits all at once, or dies; nobody remembers what was
//! done. A model that cannot fail proves nothing: each [`Flaw`] must be found.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use stateright::{Checker as _, Model, Property};

const SOLD: u8 = 2;
/// How many pieces each refund is about; the last is made in place of the first, if that fails.
const ASKED: [u8; 3] = [1, 2, 0];
const AGAIN: usize = 2;
const PROCESSES: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// What is there is looked at before the order is locked.
    LooksFirst,
    /// A success that is told again brings the pieces back again.
    DoesItAgain,
    /// What is about to come back can be claimed once more.
    ClaimsTwice,
    /// What is about to come back is handed over.
    HandsOverClaims,
    /// What was freed comes back, though it was handed over since.
    ForgetsTheHandover,
    /// What was freed comes back, though another refund has claimed it since.
    ForgetsTheSuccessor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lines {
    Claimed(u8),
    Returned(u8),
    Freed(u8),
    Void,
}

/// What is committed. The ledger counts what each refund brought back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Database {
    refunds: [Option<Lines>; ASKED.len()],
    ledger: [u8; ASKED.len()],
    handed_over: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Task {
    Ask(usize),
    Succeed(usize),
    Fail(usize),
    MakeAgain,
    HandOver,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Process {
    Idle,
    Waits(Task, Database),
    Locked(Task, Database),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    database: Database,
    processes: [Process; PROCESSES],
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Take(usize, Task),
    Lock(usize),
    Commit(usize),
    Crash(usize),
}

struct Order(Flaw);

impl Database {
    fn returned(&self) -> u8 {
        self.ledger.iter().sum()
    }

    fn claimed(&self) -> u8 {
        let claimed = |lines: &Option<Lines>| if let Some(Lines::Claimed(n)) = lines { *n } else { 0 };
        self.refunds.iter().map(claimed).sum()
    }
}

impl Order {
    /// What can be claimed, as far as it is known.
    fn there(&self, known: &Database) -> u8 {
        let claimed = if self.0 == Flaw::ClaimsTwice { 0 } else { known.claimed() };
        SOLD.saturating_sub(known.returned() + claimed)
    }

    fn decide(&self, task: Task, known: &Database, database: &mut Database) {
        match task {
            Task::Ask(r) if database.refunds[r].is_none() && ASKED[r] <= self.there(known) => {
                database.refunds[r] = Some(Lines::Claimed(ASKED[r]));
            }
            Task::Succeed(r) => match database.refunds[r] {
                Some(Lines::Claimed(n)) => self.bring_back(r, n, database),
                Some(Lines::Freed(n)) => {
                    let n = n.min(self.there(known));
                    self.bring_back(r, n, database);
                }
                Some(Lines::Returned(n)) if self.0 == Flaw::DoesItAgain => self.bring_back(r, n, database),
                _ => {}
            },
            Task::Fail(r) => {
                if let Some(Lines::Claimed(n)) = database.refunds[r] {
                    database.refunds[r] = Some(Lines::Freed(n));
                }
            }
            Task::MakeAgain => {
                if let (Some(Lines::Freed(n)), None) = (database.refunds[0], database.refunds[AGAIN]) {
                    database.refunds[AGAIN] = Some(Lines::Claimed(n.min(self.there(known))));
                    if self.0 != Flaw::ForgetsTheSuccessor {
                        database.refunds[0] = Some(Lines::Void);
                    }
                }
            }
            Task::HandOver if database.handed_over.is_none() => {
                let claimed = if self.0 == Flaw::HandsOverClaims { 0 } else { known.claimed() };
                let left = SOLD.saturating_sub(known.returned() + claimed);
                if left > 0 {
                    database.handed_over = Some(left);
                    if self.0 != Flaw::ForgetsTheHandover {
                        let freed = |lines: &&mut Lines| matches!(lines, Lines::Freed(_));
                        let all = database.refunds.iter_mut().flatten().filter(freed);
                        all.for_each(|lines| *lines = Lines::Void);
                    }
                }
            }
            Task::Ask(_) | Task::HandOver => {}
        }
    }

    fn bring_back(&self, refund: usize, pieces: u8, database: &mut Database) {
        database.ledger[refund] += pieces;
        database.refunds[refund] = Some(Lines::Returned(pieces));
    }
}

impl Model for Order {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let database = Database { refunds: [None; ASKED.len()], ledger: [0; ASKED.len()], handed_over: None };
        vec![World { database, processes: [Process::Idle, Process::Idle] }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let locked = world.processes.iter().any(|it| matches!(it, Process::Locked(..)));
        // A customer's own return after the handover is another matter: nothing is asked for then.
        let asked = (0..AGAIN).filter(|_| world.database.handed_over.is_none()).map(Task::Ask);
        let told = (0..ASKED.len()).flat_map(|r| [Task::Succeed(r), Task::Fail(r)]);
        let tasks: Vec<Task> = asked.chain(told).chain([Task::MakeAgain, Task::HandOver]).collect();
        for (process, state) in world.processes.iter().enumerate() {
            match state {
                Process::Idle => {
                    actions.extend(tasks.iter().map(|task| Action::Take(process, *task)));
                    continue;
                }
                Process::Waits(..) if locked => {}
                Process::Waits(..) => actions.push(Action::Lock(process)),
                Process::Locked(..) => actions.push(Action::Commit(process)),
            }
            actions.push(Action::Crash(process));
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Take(process, task) => {
                world.processes[process] = Process::Waits(task, before.database.clone());
            }
            Action::Lock(process) => {
                let Process::Waits(task, early) = &before.processes[process] else { return None };
                let seen = if self.0 == Flaw::LooksFirst { early.clone() } else { before.database.clone() };
                world.processes[process] = Process::Locked(*task, seen);
            }
            Action::Commit(process) => {
                let Process::Locked(task, seen) = &before.processes[process] else { return None };
                let late = matches!(task, Task::Ask(_)) && seen.handed_over.is_some();
                if !late {
                    self.decide(*task, seen, &mut world.database);
                }
                world.processes[process] = Process::Idle;
            }
            Action::Crash(process) => world.processes[process] = Process::Idle,
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_OWNER, |_, world: &World| {
                let Database { handed_over, .. } = &world.database;
                world.database.returned() + handed_over.unwrap_or(0) <= SOLD
            }),
            Property::always(ONCE, |_, world: &World| {
                let agrees = |(lines, ledger): (&Option<Lines>, &u8)| {
                    *ledger == if let Some(Lines::Returned(n)) = lines { *n } else { 0 }
                };
                let ledger = &world.database.ledger;
                let one_of_both = ledger[0] == 0 || ledger[AGAIN] == 0;
                one_of_both && world.database.refunds.iter().zip(ledger).all(agrees)
            }),
            Property::always(CLAIMS_FIT, |_, world: &World| {
                world.database.returned() + world.database.claimed() <= SOLD
            }),
            Property::sometimes("all comes back", |_, world: &World| world.database.returned() == SOLD),
            Property::sometimes("a part comes back, and the rest is handed over", |_, world: &World| {
                world.database.returned() == 1 && world.database.handed_over == Some(1)
            }),
            Property::sometimes("what failed comes back after all", |_, world: &World| {
                world.database.refunds[0] == Some(Lines::Void) && world.database.ledger[AGAIN] == ASKED[0]
            }),
        ]
    }
}

const ONE_OWNER: &str = "no piece is on the shelf and the customer's, too";
const ONCE: &str = "a refund, or the one in its place, brings back what it claimed, once";
const CLAIMS_FIT: &str = "no more is claimed than is there";

#[test]
fn each_piece_has_one_owner() {
    let checker = Order(Flaw::None).checker().threads(2).spawn_bfs().join();
    eprintln!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn every_flaw_is_found() {
    for (flaw, property) in [
        (Flaw::LooksFirst, CLAIMS_FIT),
        (Flaw::DoesItAgain, ONCE),
        (Flaw::ClaimsTwice, CLAIMS_FIT),
        (Flaw::HandsOverClaims, ONE_OWNER),
        (Flaw::ForgetsTheHandover, ONE_OWNER),
        (Flaw::ForgetsTheSuccessor, ONCE),
    ] {
        let finished = stateright::HasDiscoveries::AnyOf(BTreeSet::from([property]));
        let checker = Order(flaw).checker().finish_when(finished).spawn_bfs().join();
        checker.assert_any_discovery(property);
    }
}
