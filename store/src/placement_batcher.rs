//! Places orders in batches: those that arrive together share a transaction (see [`crate::batcher`]).

use std::{io, num::NonZeroUsize};

use crate::{
    Db, Result,
    batcher::{Answers, BatchHandler, Batcher, Limits},
    orders::{self, PlaceOrder, Placed, place},
};

/// More at once make a transaction longer, and each of them wait longer, without more throughput.
const MAX_BATCH: usize = 200;
/// Those who come when so many are waiting are sent away, before anything was done.
const MAX_WAITING: NonZeroUsize = NonZeroUsize::new(20_000).expect("20,000 is not zero");

/// Takes placements, and answers each. Cheap to clone.
#[derive(Clone)]
pub struct PlacementBatcher(Batcher<Placements>);

struct Placements(Db);

impl PlacementBatcher {
    /// Starts the thread, which ends when the last clone is dropped, after those who wait were answered.
    ///
    /// # Errors
    /// If the system has no thread for it.
    pub fn open(db: &Db) -> io::Result<Self> {
        Self::with_max_waiting(MAX_WAITING, db)
    }

    /// The same with another number of those who may wait.
    ///
    /// # Errors
    /// If the system has no thread for it.
    pub fn with_max_waiting(waiting: NonZeroUsize, db: &Db) -> io::Result<Self> {
        let limits = Limits { batch: MAX_BATCH, waiting: waiting.get() };
        Ok(Self(Batcher::open("placements", Placements(db.apart()), limits)?))
    }

    /// Places an order. It is placed also if the caller does not wait for the answer.
    ///
    /// # Errors
    /// [`crate::Fault::Busy`] if too many are waiting already.
    #[tracing::instrument(name = "sql orders.place_batched", skip_all, err(level = "debug"))]
    pub async fn place(&self, command: PlaceOrder) -> Result<Placed, place::Error> {
        self.0.submit(command).await
    }
}

impl BatchHandler for Placements {
    type Command = PlaceOrder;
    type Answer = Placed;
    type Error = place::Error;

    async fn handle_batch(&self, commands: &[PlaceOrder]) -> Result<Answers<Self>> {
        Ok(match orders::place_all(&self.0, commands).await? {
            Some(answers) => answers.into_iter().map(Some).collect(),
            None => commands.iter().map(|_| None).collect(),
        })
    }

    async fn handle_one(&self, command: PlaceOrder) -> Result<Placed, place::Error> {
        orders::place(&self.0, command).await
    }
}
