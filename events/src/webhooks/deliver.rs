//! Delivering: what is due is claimed, sent side by side, and what came of it is noted, many at a time.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use domain::{
    SignedDuration, Timestamp, WebhookEndpointId,
    webhook::{DeliveryState, DisabledReason, Verdict, retry_in},
};
use futures_util::FutureExt as _;
use opentelemetry::{global, propagation::Extractor};
use store::{
    Db, random,
    webhook_endpoints::{Claimed, Disabled, Lease, Outcome, claim, note},
};
use tokio::{runtime::Handle, sync::Notify, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::pace::rest;

use super::{
    Message, PAUSE, Said, Sender,
    message::TRACEPARENT,
    sender::{ANSWER_TIMEOUT, Answer},
};

/// So many requests of one endpoint at once in one process. There is no bound for all of them together: with
/// a hundred endpoints it is five hundred, and so no endpoint waits for another.
const OF_EACH: i64 = 5;
/// And of one that fails.
const OF_FAILING: i64 = 1;
/// A request has its answer by then, and that is noted: twice what it may take.
const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// How often is looked for what is due, if nobody tells of something new.
const LOOKED_EVERY: Duration = Duration::from_millis(200);
/// What ends together is noted together, and the next claimed with it.
const GATHERED: Duration = Duration::from_millis(10);
/// What a request takes of this machine's processors, beyond what the database does: it belongs to the round
/// that begins it.
const SENDING: Duration = Duration::from_micros(200);
/// The end lets requests finish for so long; the others are sent again.
const GRACE: Duration = Duration::from_secs(8);

/// What is on its way, and what came of it that is not noted yet.
#[derive(Default)]
struct UnderWay {
    requests: JoinSet<Outcome>,
    of_each: BTreeMap<WebhookEndpointId, i64>,
    unnoted: Vec<Outcome>,
}

/// Delivers until `stop`.
#[expect(clippy::disallowed_methods, reason = "a round is the edge: nobody has called it with a time")]
pub(super) async fn run(
    db: &Db,
    sender: &Arc<Sender>,
    background: &Handle,
    news: &Notify,
    stop: &CancellationToken,
) {
    let (mut under_way, mut said) = (UnderWay::default(), Said::default());
    while !stop.is_cancelled() {
        let began = Instant::now();
        let round = async {
            // What is not noted is claimed again by somebody; so nothing more is begun before.
            under_way.note(db, Timestamp::now()).await?;
            under_way.begin(db, sender, background, Timestamp::now()).await
        };
        let begun = round.await;
        let took = began.elapsed();
        said.note("deliver", begun.as_ref().err());
        if begun.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
        tokio::select! {
            () = under_way.some_end() => {}
            () = news.notified() => {}
            () = tokio::time::sleep(LOOKED_EVERY) => {}
            () = stop.cancelled() => {}
        }
        tokio::select! {
            () = tokio::time::sleep(GATHERED.max(pause(begun.unwrap_or(0), took))) => {}
            () = stop.cancelled() => {}
        }
    }
    let deadline = Instant::now() + GRACE;
    while under_way.are_some() && tokio::time::timeout_at(deadline, under_way.some_end()).await.is_ok() {}
    if let Err(error) = under_way.note(db, Timestamp::now()).await {
        tracing::warn!(%error, "what came of the last webhooks is not noted: they are sent again");
    }
}

/// After a round that has begun so many requests.
fn pause(begun: usize, took: Duration) -> Duration {
    rest(begun, took + SENDING * u32::try_from(begun).unwrap_or(u32::MAX))
}

impl UnderWay {
    fn are_some(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Claims what is due, and sends it. Gives how many.
    async fn begin(
        &mut self,
        db: &Db,
        sender: &Arc<Sender>,
        background: &Handle,
        now: Timestamp,
    ) -> store::Result<usize> {
        let claimed_at = Instant::now();
        let lease = Lease { now, until: now + LEASE, of_each: OF_EACH, of_failing: OF_FAILING };
        let busy: Vec<(WebhookEndpointId, i64)> =
            self.of_each.iter().map(|(id, count)| (*id, *count)).collect();
        let all_claimed = claim(db, lease, &busy).await?;
        let count = all_claimed.len();
        for claimed in all_claimed {
            *self.of_each.entry(claimed.target.id).or_default() += 1;
            let sender = sender.clone();
            let delivering = async move { deliver(&sender, &claimed, claimed_at).await };
            #[expect(clippy::disallowed_methods, reason = "bounded by the room that each endpoint has")]
            self.requests.spawn_on(delivering, background);
        }
        Ok(count)
    }

    /// Waits until one has ended, and takes all that have.
    async fn some_end(&mut self) {
        let Some(first) = self.requests.join_next().await else { return std::future::pending().await };
        let mut ended = Some(first);
        while let Some(outcome) = ended {
            // None has panicked, for that is caught.
            if let Ok(outcome) = outcome {
                if let Some(count) = self.of_each.get_mut(&outcome.endpoint) {
                    *count -= 1;
                }
                if outcome.error.as_deref() != Some(TOO_LATE) {
                    self.unnoted.push(outcome);
                }
            }
            ended = self.requests.try_join_next();
        }
        self.of_each.retain(|_, count| *count > 0);
    }

    async fn note(&mut self, db: &Db, now: Timestamp) -> store::Result<()> {
        if self.unnoted.is_empty() {
            return Ok(());
        }
        let disabled = note(db, &self.unnoted, now).await?;
        self.unnoted.clear();
        for Disabled { endpoint, reason } in disabled {
            telemetry::metrics().webhook_endpoints_disabled.with_label_values(&[reason.as_str()]).inc();
            let why = match reason {
                DisabledReason::Gone => "it answered 410",
                DisabledReason::Failing => "it did nothing but fail for days",
                DisabledReason::ByOperator => "somebody asked for it",
            };
            tracing::warn!(endpoint_id = %endpoint, why, "a webhook endpoint is disabled");
        }
        Ok(())
    }
}

/// One try, in the trace of what caused the event.
async fn deliver(sender: &Sender, claimed: &Claimed, claimed_at: Instant) -> Outcome {
    let span = tracing::info_span!(
        "webhook",
        "otel.kind" = "producer",
        endpoint_id = %claimed.target.id,
        event_id = %claimed.event,
        attempt = claimed.attempts + 1
    );
    if let Some(traceparent) = claimed.content.as_ref().and_then(|event| event.cause.traceparent.as_deref()) {
        // Fails only where traces are not exported.
        let _ = span.set_parent(global::get_text_map_propagator(|it| it.extract(&Caused(traceparent))));
    }
    let trying = AssertUnwindSafe(answer(sender, claimed, claimed_at)).catch_unwind();
    async {
        let answer = trying.await.unwrap_or(Err(PANICKED));
        outcome(claimed, answer)
    }
    .instrument(span)
    .await
}

struct Caused<'a>(&'a str);

impl Extractor for Caused<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// The receiver's answer, or why it was not asked.
#[expect(clippy::disallowed_methods, reason = "a signature has the time at which it is made")]
async fn answer(sender: &Sender, claimed: &Claimed, claimed_at: Instant) -> Result<Answer, &'static str> {
    let Some(event) = &claimed.content else { return Err(FORGOTTEN) };
    // Whoever stood still for so long has it no more: somebody else may be sending it.
    let lease = Duration::try_from(LEASE).unwrap_or_default();
    if claimed_at.elapsed() + ANSWER_TIMEOUT > lease {
        return Err(TOO_LATE);
    }
    Ok(sender.send(&claimed.target, &Message::of(event), Timestamp::now()).await)
}

/// Nothing was sent, so it is no try: whoever claims it next sends it.
const TOO_LATE: &str = "too_late_to_send";
/// Of an event that is not kept any more.
const FORGOTTEN: &str = "event_forgotten";
const PANICKED: &str = "it_panicked";

#[expect(clippy::disallowed_methods, reason = "a try ends when it ends")]
fn outcome(claimed: &Claimed, answer: Result<Answer, &'static str>) -> Outcome {
    let is_forgotten = answer.as_ref().err() == Some(&FORGOTTEN);
    let is_ours = answer.is_err();
    let answer = answer.unwrap_or_else(|why| Answer { status: Err(why), body: None, retry_after: None });
    let verdict = match answer.status {
        Ok(status) => Verdict::of(status, answer.retry_after),
        Err(_) => Verdict::Failed { retry_after: None },
    };
    let tries = claimed.attempts.saturating_add(1);
    let again = |retry_after| retry_in(tries, retry_after, u16::from_le_bytes(random()));
    let pause = match verdict {
        Verdict::Delivered => None,
        Verdict::Failed { .. } if is_forgotten => None,
        Verdict::Failed { retry_after } => again(retry_after),
        Verdict::Gone => again(None),
    };
    let state = match (verdict, pause) {
        (Verdict::Delivered, _) => DeliveryState::Delivered,
        (_, Some(_)) => DeliveryState::Pending,
        (_, None) => DeliveryState::Failed,
    };
    tell(claimed, &answer, state, tries);
    Outcome {
        endpoint: claimed.target.id,
        event: claimed.event,
        leased_until: claimed.leased_until,
        state,
        due_at: pause.map(|pause| Timestamp::now() + pause),
        is_gone: verdict == Verdict::Gone,
        is_ours,
        answer_code: answer.status.ok().and_then(|status| i16::try_from(status).ok()),
        error: answer.status.err().map(str::to_owned),
        answer: answer.body,
    }
}

/// Each try is counted. In the log stands what nobody tries any more; the rest is the endpoint's list.
fn tell(claimed: &Claimed, answer: &Answer, state: DeliveryState, tries: i32) {
    let metrics = telemetry::metrics();
    let result = match state {
        DeliveryState::Delivered => "delivered",
        DeliveryState::Pending => "retried",
        DeliveryState::Failed => "failed",
    };
    metrics.webhook_deliveries.with_label_values(&[result]).inc();
    let status = answer.status.map_or_else(str::to_owned, |status| status.to_string());
    match state {
        DeliveryState::Failed => {
            tracing::warn!(endpoint_id = %claimed.target.id, event_id = %claimed.event, status, tries,
                           "a webhook is given up");
        }
        _ => tracing::debug!(status, tries, result, "webhook"),
    }
}

#[cfg(test)]
mod tests {
    use domain::public_event::EventId;
    use store::webhook_endpoints::Target;

    use super::*;

    #[test]
    fn what_is_our_fault_says_nothing_of_the_endpoint() {
        let (id, now) = ("whe_01920000000070008000000000000000".parse().unwrap(), Timestamp::UNIX_EPOCH);
        let (url, secret) = ("http://localhost:1/".to_owned(), "whsec_x".to_owned());
        let target = Target { id, url, secret, previous_secret: None };
        let event = EventId::new(1, 2);
        let claimed = Claimed { target, event, leased_until: now, attempts: 0, content: None };
        let answered = |status| Ok(Answer { status, body: None, retry_after: None });
        for (answer, state, is_ours, is_gone) in [
            (Err(FORGOTTEN), DeliveryState::Failed, true, false),
            (Err(PANICKED), DeliveryState::Pending, true, false),
            (answered(Err("timeout")), DeliveryState::Pending, false, false),
            (answered(Ok(410)), DeliveryState::Pending, false, true),
            (answered(Ok(204)), DeliveryState::Delivered, false, false),
        ] {
            let outcome = outcome(&claimed, answer);
            assert_eq!((outcome.state, outcome.is_ours, outcome.is_gone), (state, is_ours, is_gone));
        }
    }
}
