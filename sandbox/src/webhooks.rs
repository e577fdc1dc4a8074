//! Sends events: signed anew for each try, tried again with growing pauses, and given up at last.

use std::{sync::Arc, time::Duration};

use domain::Timestamp;
use providers::standard_webhooks::{ID, SIGNATURE, TIMESTAMP};

use crate::{
    answer::Answer,
    app::{Service, locked},
    book::{Delivery, DeliveryState},
};

/// Of one try.
pub const TIMEOUT: Duration = Duration::from_secs(10);
pub const MAX_AT_ONCE: usize = 64;
/// With pauses of 0.1 s, doubled each time: for 51 s, if answers come at once.
const MAX_TRIES: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

impl Service {
    /// Sends a delivery that is to be sent, until it is taken or given up.
    pub fn send_behind(self: &Arc<Self>, delivery: &Delivery) {
        if delivery.state != DeliveryState::Sending {
            return;
        }
        let (service, id) = (Arc::clone(self), delivery.id);
        #[expect(clippy::disallowed_methods, reason = "bounded by the deliveries that the book keeps")]
        self.tasks.spawn(async move { service.keep_trying(id).await });
    }

    async fn keep_trying(&self, id: u64) {
        let mut pause = FIRST_PAUSE;
        for left in (0..MAX_TRIES).rev() {
            let waiting = locked(&self.books).book.delivery(id).map(|it| it.state == DeliveryState::Sending);
            if !waiting.unwrap_or(false) {
                return; // forgotten, or released meanwhile
            }
            let tried = self.try_once(id, left == 0).await;
            if tried.is_none_or(|it| it.state != DeliveryState::Sending) {
                return;
            }
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            pause *= 2;
        }
    }

    /// Sends it once, whatever became of it before. With `last`, a failure is the end of it.
    pub async fn try_once(&self, id: u64, last: bool) -> Option<Delivery> {
        let delivery = locked(&self.books).book.delivery(id).ok()?.clone();
        let answer = self.stop.run_until_cancelled(self.post(&delivery)).await?; // a stop is no try
        self.note(id, |delivery| {
            delivery.tries += 1;
            delivery.last_status = answer.as_ref().ok().copied();
            delivery.last_error = answer.err();
            delivery.state = match delivery.last_status {
                Some(200..=299) => DeliveryState::Delivered,
                _ if last => DeliveryState::GivenUp,
                _ => DeliveryState::Sending,
            };
            if delivery.state == DeliveryState::GivenUp {
                let (event_id, status) = (&delivery.event_id, delivery.last_status);
                tracing::warn!(event_id, status, "the sandbox gave a webhook up");
            }
        })
    }

    async fn post(&self, delivery: &Delivery) -> Result<u16, String> {
        let _one_of_few = self.sending.acquire().await.map_err(|error| error.to_string())?;
        let url = locked(&self.webhook_url).clone();
        let timestamp_s = Timestamp::now().as_second();
        let signature = self.secret.sign(&delivery.event_id, timestamp_s, delivery.body.as_bytes());
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .header(ID, &delivery.event_id)
            .header(TIMESTAMP, timestamp_s)
            .header(SIGNATURE, signature)
            .body(delivery.body.clone());
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        Ok(answer.status().as_u16())
    }

    /// Sends held, lost or old deliveries one after the other, each once and answered before the next;
    /// one that fails is tried again behind the answer's back.
    pub async fn release(self: &Arc<Self>, ids: Vec<u64>) -> Answer<Vec<Delivery>> {
        let mut released = Vec::new();
        for id in ids {
            locked(&self.books).book.delivery(id)?;
            let Some(delivery) = self.try_once(id, false).await else { continue };
            self.send_behind(&delivery);
            released.push(delivery);
        }
        Ok(released)
    }
}
