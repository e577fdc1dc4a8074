//! What is swept: orders without a workflow, events and changes that the engine has not got, and refunds
//! without a workflow.

use domain::{ChangeId, OrderId, RefundId, Timestamp};
use store::{
    Db, Lease, Result, changes,
    inbox::{self, Pending},
    orders::{self, Start},
    refunds,
};

use super::Backlog;
use crate::{
    Engine, Error,
    dispatch::{hand_over, tell_change},
};

pub(super) struct Orders<'a> {
    pub db: &'a Db,
    pub engine: &'a Engine,
}

impl Backlog for Orders<'_> {
    type Item = Start;
    type Id = OrderId;

    fn name(&self) -> &'static str {
        "order"
    }

    async fn claim(&self, lease: &Lease) -> Result<Vec<Start>> {
        orders::claim_unstarted(self.db, lease).await
    }

    fn id(&self, start: &Start) -> OrderId {
        start.id
    }

    async fn hand_over(&self, start: &Start) -> Result<()> {
        match self.engine.start_order(start).await {
            Ok(()) | Err(Error::Closed) => Ok(()),
            Err(error) => Err(store::Fault::Engine(error.to_string())),
        }
    }

    async fn mark(&self, ids: &[OrderId], at: Timestamp) -> Result<()> {
        orders::mark_started(self.db, ids, at).await
    }

    async fn put_off(&self, ids: &[OrderId], until: Timestamp) -> Result<()> {
        orders::put_off_start(self.db, ids, until).await
    }
}

pub(super) struct Events<'a> {
    pub db: &'a Db,
    pub engine: &'a Engine,
}

impl Backlog for Events<'_> {
    type Item = Pending;
    type Id = i64;

    fn name(&self) -> &'static str {
        "payment"
    }

    async fn claim(&self, lease: &Lease) -> Result<Vec<Pending>> {
        inbox::claim_pending(self.db, lease).await
    }

    fn id(&self, event: &Pending) -> i64 {
        event.id
    }

    async fn hand_over(&self, event: &Pending) -> Result<()> {
        hand_over(self.db, self.engine, event).await
    }

    async fn mark(&self, ids: &[i64], at: Timestamp) -> Result<()> {
        inbox::note_dispatched(self.db, ids, at).await
    }

    async fn put_off(&self, ids: &[i64], until: Timestamp) -> Result<()> {
        inbox::put_off(self.db, ids, until).await
    }
}

pub(super) struct Refunds<'a> {
    pub db: &'a Db,
    pub engine: &'a Engine,
}

impl Backlog for Refunds<'_> {
    type Item = (RefundId, Option<OrderId>);
    type Id = RefundId;

    fn name(&self) -> &'static str {
        "refund"
    }

    async fn claim(&self, lease: &Lease) -> Result<Vec<Self::Item>> {
        refunds::claim_unstarted(self.db, lease).await
    }

    fn id(&self, (refund, _): &Self::Item) -> RefundId {
        *refund
    }

    async fn hand_over(&self, (refund, order): &Self::Item) -> Result<()> {
        let started = self.engine.start_refund(*refund, *order).await;
        started.map_err(|error| store::Fault::Engine(error.to_string()))
    }

    async fn mark(&self, ids: &[RefundId], at: Timestamp) -> Result<()> {
        refunds::note_started(self.db, ids, at).await
    }

    async fn put_off(&self, ids: &[RefundId], until: Timestamp) -> Result<()> {
        refunds::put_off_start(self.db, ids, until).await
    }
}

pub(super) struct Changes<'a> {
    pub db: &'a Db,
    pub engine: &'a Engine,
}

impl Backlog for Changes<'_> {
    type Item = (ChangeId, Start);
    type Id = ChangeId;

    fn name(&self) -> &'static str {
        "change"
    }

    async fn claim(&self, lease: &Lease) -> Result<Vec<Self::Item>> {
        changes::claim_undecided(self.db, lease).await
    }

    fn id(&self, (change, _): &Self::Item) -> ChangeId {
        *change
    }

    async fn hand_over(&self, (change, start): &Self::Item) -> Result<()> {
        tell_change(self.db, self.engine, start, *change).await
    }

    async fn mark(&self, ids: &[ChangeId], at: Timestamp) -> Result<()> {
        changes::note_told(self.db, ids, at).await
    }

    async fn put_off(&self, ids: &[ChangeId], until: Timestamp) -> Result<()> {
        changes::put_off(self.db, ids, until).await
    }
}
