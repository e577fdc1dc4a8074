//! The sweepers: orders without a workflow, and events the engine has not got (both only after a crash or an
//! outage), and refunds that a rule decided on. Several may run side by side: no two take the same at once.

use std::{sync::Arc, time::Duration};

use domain::{SignedDuration, Timestamp};
use futures_util::future::join_all;
use store::{Db, inbox, orders, refunds};

use crate::{Engine, Error, dispatch::hand_over};

const EVERY: Duration = Duration::from_secs(2);
/// Younger rows are still on their way by the ordinary road.
const GRACE: SignedDuration = SignedDuration::from_secs(3);
const BATCH: i64 = 100;

pub struct Sweeper {
    db: Db,
    engine: Arc<Engine>,
}

impl Sweeper {
    pub fn new(db: Db, engine: Arc<Engine>) -> Self {
        Self { db, engine }
    }

    /// Sweeps until the program ends. A fault is logged when it appears and when it is gone, not
    /// at every round in between.
    pub async fn run(self) {
        let mut fault: Option<String> = None;
        loop {
            let swept = self.sweep().await;
            let now = swept.as_ref().err().map(ToString::to_string);
            match &now {
                Some(error) if now != fault => tracing::warn!(error, "sweeping fails, trying on"),
                None if fault.is_some() => tracing::info!("sweeping works again"),
                _ => {}
            }
            fault = now;
            if !matches!(swept, Ok(n) if n >= BATCH) {
                tokio::time::sleep(EVERY).await;
            }
            if fault.is_some() {
                // Perhaps the server is another one than before, and does not know us yet. If this
                // fails, too, the next round says why.
                let _ = self.engine.introduce().await;
            }
        }
    }

    /// One round. Gives the size of the larger batch, to go on at once while there is more.
    async fn sweep(&self) -> Result<i64, store::Error> {
        let now = Timestamp::now();
        let before = now.saturating_sub(GRACE).unwrap_or(now);
        let orders = self.start_orders(now, before).await?;
        let events = self.report_events(now, before).await?;
        Ok(orders.max(events).max(self.start_refunds(now).await?))
    }

    async fn start_orders(&self, now: Timestamp, before: Timestamp) -> Result<i64, store::Error> {
        let (tx, starts) = orders::claim_unstarted(&self.db, now, before, BATCH).await?;
        if starts.is_empty() {
            return Ok(0);
        }
        let started = join_all(starts.iter().map(|start| self.engine.start_order(start))).await;
        let mut ids = Vec::with_capacity(starts.len());
        let mut fault = None;
        for (start, result) in starts.iter().zip(started) {
            match result {
                Ok(()) | Err(Error::Closed) => ids.push(start.id),
                Err(error) => fault = Some(error),
            }
        }
        orders::mark_started(tx, &ids, now).await?;
        telemetry::metrics().swept.with_label_values(&["order"]).inc_by(ids.len() as u64);
        match fault {
            Some(fault) => Err(store::Error::Engine(fault.to_string())),
            None => Ok(starts.len() as i64),
        }
    }

    async fn report_events(&self, now: Timestamp, before: Timestamp) -> Result<i64, store::Error> {
        let (tx, events) = inbox::claim_pending(&self.db, now, before, BATCH).await?;
        if events.is_empty() {
            return Ok(0);
        }
        let reported = join_all(events.iter().map(|event| hand_over(&self.db, &self.engine, event))).await;
        let mut ids = Vec::with_capacity(events.len());
        let mut fault = None;
        for (event, result) in events.iter().zip(reported) {
            match result {
                Ok(()) => ids.push(event.id),
                Err(error) => fault = Some(error),
            }
        }
        inbox::mark_dispatched(tx, &ids, now).await?;
        telemetry::metrics().swept.with_label_values(&["payment"]).inc_by(ids.len() as u64);
        fault.map_or(Ok(events.len() as i64), Err)
    }

    async fn start_refunds(&self, now: Timestamp) -> Result<i64, store::Error> {
        let (tx, unstarted) = refunds::claim_unstarted(&self.db, BATCH).await?;
        if unstarted.is_empty() {
            return Ok(0);
        }
        let started =
            join_all(unstarted.iter().map(|(refund, order)| self.engine.start_refund(*refund, *order))).await;
        let mut ids = Vec::with_capacity(unstarted.len());
        let mut fault = None;
        for ((refund, _), result) in unstarted.iter().zip(started) {
            match result {
                Ok(()) => ids.push(*refund),
                Err(error) => fault = Some(error),
            }
        }
        refunds::mark_started(tx, &ids, now).await?;
        match fault {
            Some(fault) => Err(store::Error::Engine(fault.to_string())),
            None => Ok(unstarted.len() as i64),
        }
    }
}
