//! Hands stored things to the engine: an order to start, an event to report. Whoever stored one calls
//! this right after its commit; what fails here is found by the [`crate::Sweeper`].

#![expect(
    clippy::disallowed_methods,
    reason = "a hand-over is dated when it happens: its caller has no time"
)]

use std::{sync::Arc, time::Duration};

use domain::{
    ChangeId, OrderId, RefundId, Timestamp, exception,
    payment::{DisputeState, PaymentReport},
    provider_event::Notice,
};
use store::{
    Db, changes, disputes,
    inbox::{self, Pending},
    orders::{self, Start},
    refunds,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::Instrument as _;

use crate::{Engine, Error, sweep::caught};

/// Hand-overs under way at once. More are left to the sweeper: a queue in memory would only grow
/// while the engine is down.
const MAX_UNDER_WAY: usize = 512;
/// How long a note that something was handed over waits for others. Nobody waits for it, and whose note a
/// crash takes along is handed over once more.
const NOTED_EVERY: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub struct Dispatcher {
    db: Db,
    engine: Arc<Engine>,
    places: Arc<Semaphore>,
    handed_over: mpsc::Sender<HandedOver>,
}

/// What the engine has, and is to be noted. Its place is free then.
struct HandedOver {
    what: Handed,
    _place: OwnedSemaphorePermit,
}

enum Handed {
    Order(OrderId),
    /// By its id in the inbox.
    Event(i64),
    Refund(RefundId),
}

impl Dispatcher {
    pub fn new(db: Db, engine: Arc<Engine>) -> Self {
        let (handed_over, to_note) = mpsc::channel(MAX_UNDER_WAY);
        #[expect(clippy::disallowed_methods, reason = "one for each process")]
        tokio::spawn(note_handed_over(db.clone(), to_note));
        Self { db, engine, places: Arc::new(Semaphore::new(MAX_UNDER_WAY)), handed_over }
    }

    /// Starts an order's workflow after the response.
    pub fn start(&self, start: Start) {
        let (engine, handed_over) = (self.engine.clone(), self.handed_over.clone());
        self.spawn(async move |place| match engine.start_order(&start).await {
            Ok(()) | Err(Error::Closed) => {
                let order = HandedOver { what: Handed::Order(start.id), _place: place };
                let _ = handed_over.send(order).await; // the other end is there as long as this one
            }
            Err(error) => {
                // The sweeper says once that it fails; here it would be a line for each order.
                tracing::debug!(order_id = %start.id, %error, "order accepted, its workflow starts later");
            }
        });
    }

    /// Reports a stored event after the response.
    pub fn report(&self, pending: Pending) {
        let (db, engine, handed_over) = (self.db.clone(), self.engine.clone(), self.handed_over.clone());
        self.spawn(async move |place| match hand_over(&db, &engine, &pending).await {
            Ok(()) => {
                let event = HandedOver { what: Handed::Event(pending.id), _place: place };
                let _ = handed_over.send(event).await; // as above
            }
            Err(error) => {
                tracing::warn!(inbox_id = pending.id, %error, "event stored, it is reported later");
            }
        });
    }

    /// Tells an order's workflow of a change that was stored. Whether it knows: if not, the sweeper tells it.
    pub async fn tell_change(&self, start: &Start, change: ChangeId) -> bool {
        let told = tell_change(&self.db, &self.engine, start, change).await;
        let noted = match told {
            Ok(()) => changes::note_told(&self.db, &[change], Timestamp::now()).await,
            Err(error) => Err(error),
        };
        match noted {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    order_id = %start.id, change_id = %change, %error, "change stored, it is decided later"
                );
                false
            }
        }
    }

    /// Starts the workflow of a refund after the response. The sweeper starts it if this fails.
    pub fn refund(&self, refund: RefundId, order: Option<OrderId>) {
        let (engine, handed_over) = (self.engine.clone(), self.handed_over.clone());
        self.spawn(async move |place| match engine.start_refund(refund, order).await {
            Ok(()) => {
                let refund = HandedOver { what: Handed::Refund(refund), _place: place };
                let _ = handed_over.send(refund).await; // as above
            }
            Err(error) => {
                tracing::warn!(refund_id = %refund, %error, "refund accepted, its workflow starts later");
            }
        });
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce(OwnedSemaphorePermit) -> F) {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            #[expect(clippy::disallowed_methods, reason = "bounded by `places`")]
            tokio::spawn(task(place).in_current_span());
        }
    }

    /// Waits until everything under way is handed over. For shutdown.
    pub async fn drain(&self) {
        // Closed nowhere, so this cannot fail; it waits for every place to be free.
        let _ = self.places.acquire_many(MAX_UNDER_WAY as u32).await;
    }
}

async fn note_handed_over(db: Db, mut to_note: mpsc::Receiver<HandedOver>) {
    let mut handed_over = Vec::new();
    while to_note.recv_many(&mut handed_over, MAX_UNDER_WAY).await > 0 {
        tokio::time::sleep(NOTED_EVERY).await;
        while let Ok(more) = to_note.try_recv() {
            handed_over.push(more);
        }
        if let Err(error) = caught(note(&db, &handed_over)).await {
            let (number, error) = (handed_over.len(), error.to_string());
            tracing::warn!(number, error, "handed over and not noted: they are handed over again");
        }
        handed_over.clear();
    }
}

async fn note(db: &Db, handed_over: &[HandedOver]) -> Result<(), store::Fault> {
    let (mut orders, mut events, mut back) = (Vec::new(), Vec::new(), Vec::new());
    for handed in handed_over {
        match handed.what {
            Handed::Order(id) => orders.push(id),
            Handed::Event(id) => events.push(id),
            Handed::Refund(id) => back.push(id),
        }
    }
    let now = Timestamp::now();
    if !orders.is_empty() {
        orders::note_started(db, &orders, now).await?;
    }
    if !events.is_empty() {
        inbox::note_dispatched(db, &events, now).await?;
    }
    if !back.is_empty() {
        refunds::note_started(db, &back, now).await?;
    }
    Ok(())
}

/// Gives an event to whom it is for.
pub(crate) async fn hand_over(db: &Db, engine: &Engine, pending: &Pending) -> Result<(), store::Fault> {
    match &pending.notice {
        Notice::Payment { order: Some(order), report } => hand_over_payment(db, engine, *order, report).await,
        Notice::Payment { order: None, report } => raise_unknown_order(db, None, report).await,
        Notice::Refund { report, .. } => {
            if let Some(end) = refunds::record_event(db, report, Timestamp::now()).await? {
                telemetry::metrics().refunds.with_label_values(&[&report.provider, end.as_str()]).inc();
            }
            let Some(refund) = report.refund else { return Ok(()) };
            // The news is stored; its workflow looks by itself, only later.
            engine.tell_refund(refund).await.map_err(|error| store::Fault::Engine(error.to_string()))
        }
        Notice::Dispute(report) => {
            if let Some(state) = disputes::record_event(db, report, Timestamp::now()).await? {
                telemetry::metrics()
                    .exceptions
                    .with_label_values(&[exception::Kind::Disputed.as_str()])
                    .inc_by(u64::from(state == DisputeState::Open));
                tracing::warn!(payment_id = report.payment_id, state = state.as_str(), "payment disputed");
            }
            Ok(())
        }
    }
}

/// A change goes to the workflow of its order. If that has ended, so has the order, and the change is refused
/// here.
pub(crate) async fn tell_change(
    db: &Db,
    engine: &Engine,
    start: &Start,
    change: ChangeId,
) -> Result<(), store::Fault> {
    match engine.tell_change(start, change).await {
        Ok(()) => Ok(()),
        Err(Error::Closed) => orders::refuse_ended(db, start.id, change, Timestamp::now()).await,
        Err(error) => Err(store::Fault::Engine(error.to_string())),
    }
}

/// Money goes to the workflow of its order, or, if that has ended, to one of its own.
async fn hand_over_payment(
    db: &Db,
    engine: &Engine,
    order: OrderId,
    report: &PaymentReport,
) -> Result<(), store::Fault> {
    let Some(start) = orders::start_of(db, order).await? else {
        return raise_unknown_order(db, Some(order), report).await;
    };
    let reported = match engine.report_payment(&start, report).await {
        Err(Error::Closed) => engine.report_late_payment(order, report).await,
        reported => reported,
    };
    reported.map_err(|error| store::Fault::Engine(error.to_string()))
}

async fn raise_unknown_order(
    db: &Db,
    order: Option<OrderId>,
    report: &PaymentReport,
) -> Result<(), store::Fault> {
    orders::raise_unknown_order(db, report, Timestamp::now()).await?;
    telemetry::metrics().exceptions.with_label_values(&[exception::Kind::UnknownOrder.as_str()]).inc();
    let order_id = order.map(tracing::field::display);
    tracing::warn!(order_id, payment_id = report.payment_id, "payment for an unknown order");
    Ok(())
}
