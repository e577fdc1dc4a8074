//! One change at a time: decided by the rules, written to the books and the journal, then told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use domain::Timestamp;
use providers::standard_webhooks::Secret;
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    answer::{Answer, Refusal},
    book::{Book, Delivery, DeliveryState},
    faults::{FaultTable, Faults, Webhooks},
    journal::{Journal, Line},
    model::{Event, Payment},
};

pub type App = Arc<Service>;

pub struct Service {
    /// `http://127.0.0.1:port`.
    pub url: String,
    pub secret: Secret,
    pub webhook_url: Mutex<String>,
    pub http: reqwest::Client,
    /// Webhooks under way at once.
    pub sending: Semaphore,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    pub books: Mutex<Books>,
    pub faults: Mutex<FaultTable>,
    /// Whatever the faults say.
    pub webhooks_are_lost: watch::Sender<bool>,
}

pub struct Books {
    pub book: Book,
    pub journal: Option<Journal>,
}

/// A change as it was done: what came of it, and the webhooks that are to be sent now.
pub struct Done<T> {
    pub outcome: T,
    pub payment: Payment,
    pub deliveries: Vec<Delivery>,
}

/// A panic elsewhere does not make these unreadable.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    /// Changes the payment that `find` finds. The rule works on a copy, so a refusal changes nothing.
    pub fn change<T>(
        &self,
        find: impl FnOnce(&Book) -> Answer<Payment>,
        rule: impl FnOnce(&mut Payment, &Faults) -> Answer<(T, Option<Event>)>,
    ) -> Answer<Done<T>> {
        let mut books = locked(&self.books);
        let mut payment = find(&books.book)?;
        let mut faults = locked(&self.faults).of(&names(&payment));
        if *self.webhooks_are_lost.borrow() {
            faults.webhooks = Webhooks::Lose;
        }
        let (outcome, event) = rule(&mut payment, &faults)?;
        let changed = books.book.payment(&payment.id).ok() != Some(&payment);
        if changed {
            books.book.put(payment.clone());
        }
        let now = Timestamp::now();
        let deliveries = event.map(|event| books.book.deliver(&event, &faults, now)).unwrap_or_default();
        if changed || !deliveries.is_empty() {
            let payment = changed.then(|| payment.clone());
            books.write(&Line { payment, deliveries: deliveries.clone() })?;
        }
        Ok(Done { outcome, payment, deliveries })
    }

    /// The same, and sends the webhooks behind the answer's back.
    pub fn change_and_tell<T>(
        self: &Arc<Self>,
        find: impl FnOnce(&Book) -> Answer<Payment>,
        rule: impl FnOnce(&mut Payment, &Faults) -> Answer<(T, Option<Event>)>,
    ) -> Answer<Done<T>> {
        let done = self.change(find, rule)?;
        done.deliveries.iter().for_each(|delivery| self.send_behind(delivery));
        Ok(done)
    }

    /// A merchant's call that reads: refused while there is an outage.
    pub fn read<T>(&self, names: &[String], work: impl FnOnce(&Book) -> Answer<T>) -> Answer<T> {
        locked(&self.faults).gate(names)?;
        work(&locked(&self.books).book)
    }

    /// A merchant's call that changes: the same, and its answer may be lost after it was done.
    pub fn merchant<T>(&self, names: &[String], work: impl FnOnce() -> Answer<T>) -> Answer<T> {
        locked(&self.faults).gate(names)?;
        let answer = work()?;
        if locked(&self.faults).lose_answer(names) {
            let message = "the sandbox did it, and pretends to have failed";
            return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "answer_lost", message));
        }
        Ok(answer)
    }

    /// Every name under which a payment may have faults of its own.
    pub fn names_of(&self, payment: &str) -> Vec<String> {
        locked(&self.books).book.payment(payment).map_or_else(|_| vec![payment.to_owned()], names)
    }

    pub fn names_of_refund(&self, refund: &str) -> Vec<String> {
        locked(&self.books).book.payment_of_refund(refund).map(names).unwrap_or_default()
    }

    /// Notes how a delivery went; one that was forgotten meanwhile stays forgotten.
    pub fn note(&self, id: u64, note: impl FnOnce(&mut Delivery)) -> Option<Delivery> {
        let mut books = locked(&self.books);
        let mut delivery = books.book.delivery(id).ok()?.clone();
        note(&mut delivery);
        books.book.put_delivery(delivery.clone());
        if delivery.state != DeliveryState::Sending {
            // An error was logged; a delivery that is forgotten is sent once more after a restart.
            let _ = books.write(&Line { payment: None, deliveries: vec![delivery.clone()] });
        }
        Some(delivery)
    }
}

impl Books {
    fn write(&mut self, line: &Line) -> Answer<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.append(line, &self.book).map_err(|error| {
            tracing::error!(error = format!("{error:#}"), "the sandbox could not write its journal");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "journal", "the journal could not be written")
        })
    }
}

fn names(payment: &Payment) -> Vec<String> {
    let key = payment.key.iter().cloned();
    [payment.id.clone()].into_iter().chain(key).chain([payment.order_id.clone()]).collect()
}
