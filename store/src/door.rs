//! The door: placements that arrive together are decided together (see [`crate::group`]).

use std::{io, num::NonZeroUsize};

use crate::{
    Db, Result,
    group::{Answers, Decide, Group, Limits},
    orders::{self, Ask, Placed},
};

/// More at once make a transaction longer, and each of them wait longer, without more throughput.
const MAX_BATCH: usize = 200;
/// Those who come when so many are waiting are sent away, before anything was done.
const MAX_WAITING: NonZeroUsize = NonZeroUsize::new(20_000).expect("20,000 is not zero");

/// Where orders come in. Cheap to clone.
#[derive(Clone)]
pub struct Door(Group<Placements>);

struct Placements(Db);

impl Door {
    /// Opens the door; it closes when the last clone is dropped, after those inside were served.
    ///
    /// # Errors
    /// If the system has no thread for it.
    pub fn open(db: &Db) -> io::Result<Self> {
        Self::with_room_for(MAX_WAITING, db)
    }

    /// The same with another number of those who may wait.
    ///
    /// # Errors
    /// If the system has no thread for it.
    pub fn with_room_for(waiting: NonZeroUsize, db: &Db) -> io::Result<Self> {
        let limits = Limits { batch: MAX_BATCH, waiting: waiting.get() };
        Ok(Self(Group::open("door", Placements(db.apart()), limits)?))
    }

    /// Places an order. It is placed also if the caller does not wait for the answer.
    ///
    /// # Errors
    /// [`crate::Error::Busy`] if too many are waiting already.
    #[tracing::instrument(name = "sql door.place", skip_all, err(level = "debug"))]
    pub async fn place(&self, ask: Ask) -> Result<Placed> {
        self.0.ask(ask).await
    }
}

impl Decide for Placements {
    type Ask = Ask;
    type Answer = Placed;

    async fn together(&self, asks: &[Ask]) -> Result<Answers<Placed>> {
        Ok(orders::place_all(&self.0, asks).await?.into_iter().map(Some).collect())
    }

    async fn alone(&self, ask: Ask) -> Result<Placed> {
        orders::place(&self.0, ask).await
    }
}
