//! Hands stored things to the engine: an order to start, an event to report. Whoever stored one calls
//! this right after its commit; what fails here is found by the [`crate::Sweeper`].

use std::sync::Arc;

use domain::{
    OrderId, RefundId, Timestamp,
    payment::{Mismatch, PaymentReport},
};
use store::{
    Db,
    inbox::{self, Pending, What},
    orders::{self, Start},
    refunds,
};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::{Engine, Error};

/// Hand-overs under way at once. More are left to the sweeper: a queue in memory would only grow
/// while the engine is down.
const MAX_UNDER_WAY: usize = 512;

#[derive(Clone)]
pub struct Dispatcher {
    db: Db,
    engine: Arc<Engine>,
    places: Arc<Semaphore>,
}

impl Dispatcher {
    pub fn new(db: Db, engine: Arc<Engine>) -> Self {
        Self { db, engine, places: Arc::new(Semaphore::new(MAX_UNDER_WAY)) }
    }

    /// Starts an order's workflow behind the answer's back. The workflow itself notes that it runs.
    pub fn start(&self, start: Start) {
        let engine = self.engine.clone();
        self.spawn(async move {
            if let Err(error @ Error::Unavailable(_)) = engine.start_order(&start).await {
                // The sweeper says once that it fails; here it would be a line for each order.
                tracing::debug!(order_id = %start.id, %error, "order accepted, its workflow starts later");
            }
        });
    }

    /// Reports a stored event behind the answer's back.
    pub fn report(&self, pending: Pending) {
        let (db, engine) = (self.db.clone(), self.engine.clone());
        self.spawn(async move {
            let handed_over = hand_over(&db, &engine, &pending).await;
            let noted = match handed_over {
                Ok(()) => inbox::mark_dispatched(None, &db, &[pending.id], Timestamp::now()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = noted {
                tracing::warn!(inbox_id = pending.id, %error, "event stored, it is reported later");
            }
        });
    }

    /// Starts the workflow of a refund behind the answer's back. The sweeper starts it if this fails.
    pub fn refund(&self, refund: RefundId, order: Option<OrderId>) {
        let engine = self.engine.clone();
        self.spawn(async move {
            if let Err(error @ Error::Unavailable(_)) = engine.start_refund(refund, order).await {
                tracing::warn!(refund_id = %refund, %error, "refund accepted, its workflow starts later");
            }
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            let task = async move {
                task.await;
                drop(place);
            };
            tokio::spawn(task.in_current_span());
        }
    }

    /// Waits until everything under way is handed over. For shutdown.
    pub async fn drain(&self) {
        // Closed nowhere, so this cannot fail; it waits for every place to be free.
        let _ = self.places.acquire_many(MAX_UNDER_WAY as u32).await;
    }
}

/// Gives an event to whom it is for.
pub(crate) async fn hand_over(db: &Db, engine: &Engine, pending: &Pending) -> Result<(), store::Error> {
    match &pending.what {
        What::Payment(order, report) => hand_over_payment(db, engine, *order, report).await,
        What::Refund(report) => {
            if let Some(end) = refunds::report(db, report, Timestamp::now()).await? {
                telemetry::metrics().refunds.with_label_values(&[&report.provider, end.as_str()]).inc();
            }
            let Some(refund) = report.refund else { return Ok(()) };
            // The news is stored; its workflow looks by itself, only later.
            engine.tell_refund(refund).await.map_err(|error| store::Error::Engine(error.to_string()))
        }
    }
}

/// Money goes to the workflow of its order, or, if that has ended, to one of its own.
async fn hand_over_payment(
    db: &Db,
    engine: &Engine,
    order: OrderId,
    report: &PaymentReport,
) -> Result<(), store::Error> {
    let start = match orders::start_of(db, order).await {
        Err(store::Error::NotFound) => {
            orders::raise_unknown_order(db, report, Timestamp::now()).await?;
            telemetry::metrics().exceptions.with_label_values(&[Mismatch::UnknownOrder.as_str()]).inc();
            tracing::warn!(order_id = %order, payment_id = report.payment_id, "payment for an unknown order");
            return Ok(());
        }
        start => start?,
    };
    let reported = match engine.report_payment(&start, report).await {
        Err(Error::Closed) => engine.report_late_payment(order, report).await,
        reported => reported,
    };
    reported.map_err(|error| store::Error::Engine(error.to_string()))
}
