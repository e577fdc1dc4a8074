//! Group commit: what arrives together is decided together, in one transaction. Nobody waits for company: a
//! batch is what has arrived while the one before it was being written.
//!
//! A batcher is served by a thread of its own, on connections of its own: a batch is some ten statements, one
//! after the other, and with the requests of a storm on the same threads each answer of PostgreSQL would wait
//! for its turn (docs/adr/0023).

use std::{io, panic::AssertUnwindSafe, sync::Arc, thread};

use futures_util::FutureExt as _;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use crate::{Fault, Result};

/// How many members a batch has at most, and how many may wait for the next ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub batch: usize,
    pub waiting: usize,
}

/// What becomes of a batch.
pub(crate) trait BatchHandler: Send + Sync + 'static {
    type Command: Send + Sync + 'static;
    type Answer: Send + 'static;
    type Error: From<Fault> + Send + 'static;

    /// Decides all in one transaction: one answer each, in the same order; none for a member that has to be
    /// decided by itself. A fault means that nothing at all was done.
    fn handle_batch(&self, commands: &[Self::Command]) -> impl Future<Output = Result<Answers<Self>>> + Send;

    /// Decides one in a transaction of its own.
    fn handle_one(
        &self,
        command: Self::Command,
    ) -> impl Future<Output = Result<Self::Answer, Self::Error>> + Send;
}

pub(crate) type Answers<H> = Vec<Option<Answer<H>>>;
type Answer<H> = Result<<H as BatchHandler>::Answer, <H as BatchHandler>::Error>;

/// A bounded queue, and one thread that serves it. Cheap to clone; the thread ends when the last clone is
/// dropped, after those who wait were served.
pub(crate) struct Batcher<H: BatchHandler> {
    queue: mpsc::Sender<Waiting<H>>,
}

impl<H: BatchHandler> Clone for Batcher<H> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

struct Waiting<H: BatchHandler> {
    command: H::Command,
    answer: oneshot::Sender<Answer<H>>,
}

impl<H: BatchHandler> Batcher<H> {
    /// # Errors
    /// If the system has no thread for it.
    pub fn open(name: &str, handler: H, limits: Limits) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(limits.waiting);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = move || runtime.block_on(serve(Arc::new(handler), waiting, limits.batch));
        thread::Builder::new().name(name.to_owned()).spawn(served)?;
        Ok(Self { queue })
    }

    /// Has it decided. It is decided also if the caller does not wait for the answer.
    ///
    /// # Errors
    /// [`Fault::Busy`] if too many are waiting already, [`Fault::Panicked`] if a bug ended the work on it.
    pub async fn submit(&self, command: H::Command) -> Answer<H> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Waiting { command, answer }).map_err(|error| match error {
            TrySendError::Full(_) => Fault::Busy,
            TrySendError::Closed(_) => Fault::Panicked,
        })?;
        answered.await.map_err(|_| Fault::Panicked)?
    }
}

async fn serve<H: BatchHandler>(handler: Arc<H>, mut waiting: mpsc::Receiver<Waiting<H>>, limit: usize) {
    let mut batch = Vec::with_capacity(limit);
    while waiting.recv_many(&mut batch, limit).await > 0 {
        let members = std::mem::replace(&mut batch, Vec::with_capacity(limit));
        // A task of its own: were it to panic, the next batch is served all the same.
        #[expect(clippy::disallowed_methods, reason = "bounded by the loop: one batch at a time")]
        let _ = tokio::spawn(serve_batch(handler.clone(), members)).await;
    }
}

/// One transaction for all. If that fails, or panics, each gets one of its own: what is wrong with one member
/// is not the others' fault. If the database is away, all are told so.
async fn serve_batch<H: BatchHandler>(handler: Arc<H>, members: Vec<Waiting<H>>) {
    let (commands, answers): (Vec<_>, Vec<_>) =
        members.into_iter().map(|member| (member.command, member.answer)).unzip();
    let decided = match caught(handler.handle_batch(&commands)).await {
        Ok(decided) => decided,
        Err(fault) if fault.is_outage() => commands.iter().map(|_| Some(Err(fault.again().into()))).collect(),
        Err(_) => commands.iter().map(|_| None).collect(),
    };
    let mut left = Vec::new();
    for ((command, answer), decided) in commands.into_iter().zip(answers).zip(decided) {
        match decided {
            Some(decided) => respond(answer, decided),
            None => left.push((command, answer)),
        }
    }
    for (command, answer) in left {
        respond(answer, caught(handler.handle_one(command)).await);
    }
}

/// A panic is a bug, and is told as one to who asked. (What it said is in the log: see the program's panic
/// hook.)
async fn caught<T, E: From<Fault>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(Fault::Panicked.into()))
}

fn respond<T>(answer: oneshot::Sender<T>, decided: T) {
    let _ = answer.send(decided); // The caller may have gone.
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tasks of a test end with it")]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::sync::Semaphore;

    use super::*;

    /// Says which batch an ask was in; 13 brings its batch down, 99 is decided by itself.
    struct RecordingHandler {
        begun: Arc<AtomicUsize>,
        permits: Arc<Semaphore>,
        batches: Arc<Mutex<Vec<Vec<u32>>>>,
    }

    impl BatchHandler for RecordingHandler {
        type Command = u32;
        type Answer = u32;
        type Error = Fault;

        async fn handle_batch(&self, commands: &[u32]) -> Result<Answers<Self>> {
            self.begun.fetch_add(1, Ordering::Relaxed);
            self.permits.acquire().await.unwrap().forget();
            self.batches.lock().unwrap().push(commands.to_vec());
            assert!(!commands.contains(&666), "a bug");
            match commands {
                _ if commands.contains(&13) => Err(Fault::corrupt("13")),
                _ if commands.contains(&503) => Err(Fault::Outage("away".to_owned())),
                _ => Ok(commands.iter().map(|&command| (command != 99).then_some(Ok(command))).collect()),
            }
        }

        async fn handle_one(&self, command: u32) -> Result<u32> {
            self.batches.lock().unwrap().push(vec![command]);
            assert!(command != 666, "a bug");
            if command == 13 { Err(Fault::corrupt("13")) } else { Ok(command) }
        }
    }

    struct Fixture {
        batcher: Batcher<RecordingHandler>,
        begun: Arc<AtomicUsize>,
        permits: Arc<Semaphore>,
        batches: Arc<Mutex<Vec<Vec<u32>>>>,
    }

    fn fixture() -> Fixture {
        let (begun, permits, batches) = (Arc::default(), Arc::new(Semaphore::new(0)), Arc::default());
        let handler = RecordingHandler {
            begun: Arc::clone(&begun),
            permits: permits.clone(),
            batches: Arc::clone(&batches),
        };
        let batcher = Batcher::open("fixture", handler, Limits { batch: 4, waiting: 6 }).unwrap();
        Fixture { batcher, begun, permits, batches }
    }

    type Answered = tokio::task::JoinHandle<Result<u32>>;

    impl Fixture {
        /// The first is taken at once, and by itself; the others come while it is being decided.
        async fn command(&self, first: u32, others: &[u32]) -> Vec<Answered> {
            let command = |command| {
                let batcher = self.batcher.clone();
                tokio::spawn(async move { batcher.submit(command).await })
            };
            let begun = self.begun.load(Ordering::Relaxed);
            let mut answered = vec![command(first)];
            while self.begun.load(Ordering::Relaxed) == begun {
                tokio::task::yield_now().await;
            }
            for other in others {
                answered.push(command(*other));
                tokio::task::yield_now().await;
            }
            answered
        }

        async fn answers(&self, asked: Vec<Answered>) -> Vec<Option<u32>> {
            self.permits.add_permits(100);
            let mut answers = Vec::new();
            for answer in asked {
                answers.push(answer.await.unwrap().ok());
            }
            self.permits.forget_permits(100);
            answers
        }

        fn batches(&self) -> Vec<Vec<u32>> {
            self.batches.lock().unwrap().clone()
        }
    }

    #[tokio::test]
    async fn a_batch_is_what_came_meanwhile() {
        let fixture = fixture();
        let asked = fixture.command(1, &[2, 3, 4, 5, 6]).await;
        assert_eq!(fixture.answers(asked).await, [1, 2, 3, 4, 5, 6].map(Some));
        assert_eq!(fixture.batches(), [vec![1], vec![2, 3, 4, 5], vec![6]]);
    }

    #[tokio::test]
    async fn who_fails_or_cannot_be_decided_with_others_does_not_hurt_them() {
        let fixture = fixture();
        let asked = fixture.command(1, &[2, 13, 3, 99, 4]).await;
        assert_eq!(fixture.answers(asked).await, [Some(1), Some(2), None, Some(3), Some(99), Some(4)]);
        assert_eq!(fixture.batches()[2..], [vec![2], vec![13], vec![3], vec![99], vec![4]]);
        let asked = fixture.command(1, &[5, 99, 6]).await;
        assert_eq!(fixture.answers(asked).await, [1, 5, 99, 6].map(Some));
        assert_eq!(fixture.batches()[8..], [vec![5, 99, 6], vec![99]]);
    }

    #[tokio::test]
    async fn too_many_are_sent_away_and_the_others_are_served() {
        let fixture = fixture();
        let asked = fixture.command(1, &[2, 3, 4, 5, 6, 7, 8, 9]).await;
        assert_eq!(fixture.batches(), Vec::<Vec<u32>>::new());
        let answers = fixture.answers(asked).await;
        assert_eq!(answers[..7], [1, 2, 3, 4, 5, 6, 7].map(Some));
        assert_eq!(answers[7..], [None, None]);
    }

    #[tokio::test]
    async fn an_outage_is_told_to_all_and_a_bug_to_whom_it_concerns() {
        let fixture = fixture();
        let asked = fixture.command(1, &[503, 2]).await;
        assert_eq!(fixture.answers(asked).await, [Some(1), None, None]);
        assert_eq!(
            fixture.batches(),
            [vec![1], vec![503, 2]],
            "nobody commands again while the database is away"
        );
        let asked = fixture.command(1, &[666, 3]).await;
        assert_eq!(fixture.answers(asked).await, [Some(1), None, Some(3)]);
        let asked = fixture.command(666, &[]).await.pop().unwrap();
        fixture.permits.add_permits(100);
        assert!(matches!(asked.await.unwrap(), Err(Fault::Panicked)), "not too many, and not nothing done");
    }
}
