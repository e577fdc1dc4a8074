//! The door: placements that arrive together are decided together, in one transaction (group commit). Nobody
//! waits for company: a batch is what has arrived while the one before it was being written.

use tokio::sync::{mpsc, oneshot};

use crate::{
    Db, Error, Result,
    orders::{self, Ask, Placed},
};

/// More at once make a transaction longer, and each of them wait longer, without more throughput.
const MAX_BATCH: usize = 200;
/// Those who come when so many are waiting are sent away, before anything was done.
const MAX_WAITING: usize = 2_000;

/// Where orders come in. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    queue: mpsc::Sender<Waiting>,
}

struct Waiting {
    ask: Ask,
    answer: oneshot::Sender<Result<Placed>>,
}

impl Door {
    /// Opens the door; it closes when the last clone is dropped, after those inside were served.
    pub fn open(db: Db) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        tokio::spawn(serve(db, waiting));
        Self { queue }
    }

    /// Places an order. It is placed also if the caller does not wait for the answer.
    ///
    /// # Errors
    /// [`Error::Busy`] if too many are waiting already.
    #[tracing::instrument(name = "sql door.place", skip_all, err(level = "debug"))]
    pub async fn place(&self, ask: Ask) -> Result<Placed> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Waiting { ask, answer }).map_err(|_| Error::Busy)?;
        answered.await.map_err(|_| Error::Busy)?
    }
}

async fn serve(db: Db, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let (asks, answers): (Vec<Ask>, Vec<_>) =
            batch.drain(..).map(|waiting: Waiting| (waiting.ask, waiting.answer)).unzip();
        for (answer, decided) in answers.into_iter().zip(decide(&db, asks).await) {
            let _ = answer.send(decided); // who left does not hear it
        }
    }
}

/// One transaction for all. If that fails, each gets one of its own: what is wrong with one member is not the
/// others' fault.
async fn decide(db: &Db, asks: Vec<Ask>) -> Vec<Result<Placed>> {
    let together = orders::place_all(db, &asks).await;
    match together {
        Ok(answers) => answers,
        Err(fault) if fault.is_outage() => asks.iter().map(|_| Err(fault.again())).collect(),
        Err(_) => {
            let mut answers = Vec::with_capacity(asks.len());
            for ask in asks {
                answers.push(orders::place(db, ask).await);
            }
            answers
        }
    }
}
