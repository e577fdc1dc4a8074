//! Others' commands, read from Kafka: what they may ask of an order, each done once. They take the way of the
//! API's requests: the change is stored, and the order's workflow decides (docs/kafka.md).

use std::{sync::Arc, time::Duration};

use domain::{
    Invalid, OrderId, Timestamp,
    change::{OrderChange, check_extension},
    public_event::Cause,
    stock,
};
use engine::Dispatcher;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use store::{
    Db, Fault, Idempotency, cause,
    changes::{self, Error, Submission},
    orders::{self, Start},
};
use tokio_util::sync::CancellationToken;

use crate::{
    consume::{Handler, Mode, Policy, Runner, Verdict},
    kafka::{Incoming, Settings},
};

/// The topic, without the prefix. The group that reads it has its name: shops that share a cluster, each with
/// its prefix, share no group.
const TOPIC: &str = "commands";
/// Who asked, where that is told.
const BY: &str = "kafka";
const CONCURRENCY: usize = 16;
/// Of what failed for a reason that nobody foresaw.
const RETRIES: u32 = 5;
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
const MAX_COMMAND_BYTES: usize = 64 * 1024;
const MAX_ID_BYTES: usize = 1024;

/// Does what commands ask for, until told to stop.
pub async fn run(db: Db, dispatcher: Dispatcher, settings: Settings, stop: CancellationToken) {
    let topic = settings.topic(TOPIC);
    let topics = vec![topic.clone()];
    let mut created = Policy::of_failures(&topics, Mode::Ordered);
    created.push(topic.clone());
    let policy = Policy {
        name: topic.clone(),
        group: topic.clone(),
        mark: topic,
        topics,
        created,
        mode: Mode::Ordered,
        concurrency: CONCURRENCY,
        retries: RETRIES,
        interval: RETRY_INTERVAL,
        may_be_missing: false,
    };
    Runner::new(settings, policy, Arc::new(Commands { db, dispatcher })).run(stop).await;
}

struct Commands {
    db: Db,
    dispatcher: Dispatcher,
}

/// A command as CloudEvents has it, in binary or structured mode.
struct Command {
    order: OrderId,
    change: OrderChange,
    identity: Idempotency,
    cause: Cause,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    order_id: OrderId,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extend {
    order_id: OrderId,
    payment_due_at: Timestamp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fulfil {
    order_id: OrderId,
}

/// Why a command is not done, for its sender: a stable code, for programs, and a sentence.
#[derive(Debug)]
struct Refusal {
    code: &'static str,
    detail: String,
}

impl Refusal {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// It is no command as it should be.
    fn invalid(detail: impl Into<String>) -> Self {
        Self::new("invalid_command", detail)
    }
}

impl From<Refusal> for Verdict {
    fn from(Refusal { code, detail }: Refusal) -> Self {
        Self::Refused(format!("{code}: {detail}"))
    }
}

impl Command {
    fn parse(message: &Incoming) -> Result<Self, Refusal> {
        let value = message.value.as_deref().unwrap_or_default();
        if value.len() > MAX_COMMAND_BYTES {
            let detail = format!("It has more than {MAX_COMMAND_BYTES} bytes.");
            return Err(Refusal::new("command_too_large", detail));
        }
        let no_json = |error| Refusal::new("malformed_json", format!("It is not JSON: {error}."));
        let body: Value = serde_json::from_slice(value).map_err(no_json)?;
        let is_structured = message
            .header("content-type")
            .is_some_and(|it| it.trim_start().to_ascii_lowercase().starts_with("application/cloudevents"));
        let given = |name: &str| match is_structured {
            true => body.get(name).and_then(Value::as_str),
            false => message.header(&format!("ce_{name}")),
        };
        if given("specversion").is_some_and(|version| version != "1.0") {
            return Err(Refusal::invalid("Only version 1.0 of CloudEvents is known."));
        }
        let attribute = |name: &str| -> Result<String, Refusal> {
            given(name)
                .filter(|it| !it.is_empty() && it.len() <= MAX_ID_BYTES)
                .map(str::to_owned)
                .ok_or_else(|| Refusal::invalid(format!("Its attribute `{name}` is missing, or too long.")))
        };
        let (id, source, kind) = (attribute("id")?, attribute("source")?, attribute("type")?);
        let data = if is_structured { body.get("data").cloned().unwrap_or_default() } else { body };
        let (order, change) = change(&kind, data)?;
        // Plain data with string keys; it always serialises.
        let canonical = serde_json::to_vec(&change).unwrap_or_default();
        let identity =
            Idempotency { key: key(&source, &id), request_hash: Sha256::digest(canonical).to_vec() };
        Ok(Self { order, change, identity, cause: cause_of(message) })
    }
}

/// An event is told by its source and its id: with these as its key a change is stored once, however often
/// the event comes.
fn key(source: &str, id: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(source.len().to_be_bytes());
    hash.update(source);
    hash.update(id);
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("kafka:{hex}")
}

fn change(kind: &str, data: Value) -> Result<(OrderId, OrderChange), Refusal> {
    match kind {
        "order.cancel" => {
            let Cancel { order_id, reason, force } = read(data)?;
            let reason = match reason {
                Some(reason) => stock::reason(&reason).map_err(of_field)?,
                None => "requested".to_owned(),
            };
            Ok((order_id, OrderChange::Cancel { reason, force }))
        }
        "order.extend" => {
            let Extend { order_id, payment_due_at } = read(data)?;
            let due = payment_due_at.round(jiff::Unit::Microsecond);
            let out_of_range = |_| of_field(Invalid::new("payment_due_at", "is out of range"));
            let payment_due_at = due.map_err(out_of_range)?;
            Ok((order_id, OrderChange::Extend { payment_due_at }))
        }
        "order.fulfil" => {
            let Fulfil { order_id } = read(data)?;
            Ok((order_id, OrderChange::Fulfil))
        }
        _ => Err(Refusal::new("unknown_command", "There is no command of this type.")),
    }
}

fn read<T: DeserializeOwned>(data: Value) -> Result<T, Refusal> {
    serde_json::from_value(data).map_err(|error| Refusal::invalid(format!("Its data: {error}.")))
}

/// In the words of the API.
fn of_field(invalid: Invalid) -> Refusal {
    Refusal::new("invalid_request", invalid.to_string())
}

/// What is kept of a request's headers is kept of a message's, too.
fn cause_of(message: &Incoming) -> Cause {
    let text = |(name, value): &(String, Option<Vec<u8>>)| {
        Some((name.to_ascii_lowercase(), std::str::from_utf8(value.as_deref()?).ok()?.to_owned()))
    };
    let headers: Vec<(String, String)> = message.headers.iter().filter_map(text).collect();
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Cause::kept(message.header("traceparent"), headers)
}

impl Commands {
    async fn ask(&self, command: &Command) -> Result<Verdict, Error> {
        let Command { order, change, identity, .. } = command;
        if let OrderChange::Extend { payment_due_at } = change
            && changes::find(&self.db, *order, identity).await?.is_none()
        {
            let found = orders::get(&self.db, *order).await?.ok_or(Error::NotFound)?;
            if let Err(invalid) = check_extension(&found, *payment_due_at) {
                return Ok(of_field(invalid).into());
            }
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a message is the edge: it is asked for when it is read"
        )]
        let at = Timestamp::now();
        let (stored, submission) = changes::request(&self.db, *order, change, identity, true, BY, at).await?;
        match stored.answer {
            None if submission == Submission::New => {
                // If the workflow cannot be told now, the sweeper tells it.
                if let Some(start) = orders::start_of(&self.db, *order).await? {
                    self.tell(&start, stored.id).await;
                }
                Ok(Verdict::Done)
            }
            None => Ok(Verdict::Done),
            Some(answer) => Ok(match answer.refusal(change.kind()) {
                None => Verdict::Done,
                Some((code, detail)) => Refusal { code, detail }.into(),
            }),
        }
    }

    async fn tell(&self, start: &Start, change: domain::ChangeId) {
        let told = self.dispatcher.tell_change(start, change);
        let _ = tokio::time::timeout(RETRY_INTERVAL, told).await;
    }
}

/// Only what passes by itself is waited for. What PostgreSQL refuses, it may always refuse: such a command is
/// not to hold up all behind it.
fn verdict(fault: &Fault) -> Verdict {
    let why = fault.to_string();
    match fault.is_outage() || matches!(fault, Fault::Busy | Fault::ReportsBusy) {
        true => Verdict::Unavailable(why),
        false => Verdict::Failed(why),
    }
}

impl Handler for Commands {
    async fn handle(&self, message: &Incoming, _: u32) -> Verdict {
        let command = match Command::parse(message) {
            Ok(command) => command,
            Err(refusal) => return refusal.into(),
        };
        let asked = cause::caused_by(Arc::new(command.cause.clone()), self.ask(&command)).await;
        match asked {
            Ok(verdict) => verdict,
            Err(Error::NotFound) => Refusal::new("order_not_found", "There is no order with this id.").into(),
            Err(Error::KeyReused) => {
                let detail = "An event with this source and id asked for something else.";
                Refusal::new("event_id_reused", detail).into()
            }
            Err(Error::TooManyWaiting) => {
                Verdict::Unavailable("too many changes of the order wait".to_owned())
            }
            Err(Error::Fault(fault)) => verdict(&fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::Partition;

    fn message(headers: &[(&str, &str)], value: &str) -> Incoming {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), Some(value.as_bytes().to_vec()));
        Incoming {
            partition: Partition { topic: "holdfast.commands".to_owned(), number: 0 },
            offset: 0,
            key: None,
            value: Some(value.as_bytes().to_vec()),
            headers: headers.iter().map(header).collect(),
            timestamp: 0,
        }
    }

    const ID: &str = "ord_019abc00000070008000000000000001";

    #[test]
    fn both_modes_say_the_same() {
        let binary = [("ce_id", "1"), ("ce_source", "erp"), ("ce_type", "order.cancel"), ("x-a", "b")];
        let binary = message(&binary, &format!(r#"{{"order_id":"{ID}"}}"#));
        let structured = message(
            &[("content-type", "application/cloudevents+json; charset=utf-8")],
            &format!(r#"{{"id":"1","source":"erp","type":"order.cancel","data":{{"order_id":"{ID}"}}}}"#),
        );
        let [binary, structured] = [binary, structured].map(|it| Command::parse(&it).unwrap());
        assert_eq!(binary.order.to_string(), ID);
        assert_eq!(binary.identity.key, structured.identity.key);
        assert_eq!(binary.change, OrderChange::Cancel { reason: "requested".to_owned(), force: false });
        assert_eq!((binary.change, binary.order), (structured.change, structured.order));
        assert_eq!(binary.cause.headers["x-a"], "b");
    }

    #[test]
    fn only_what_passes_is_waited_for() {
        let outage = Fault::Outage("away".to_owned());
        assert!(matches!(verdict(&outage), Verdict::Unavailable(_)));
        assert!(matches!(verdict(&Fault::Busy), Verdict::Unavailable(_)));
        for fault in [Fault::Panicked, Fault::SchemaOutdated, Fault::Corrupt("x".to_owned())] {
            assert!(matches!(verdict(&fault), Verdict::Failed(_)), "{fault}");
        }
    }

    #[test]
    fn a_cause_has_no_secrets() {
        let headers = [("X-Shop", "tea"), ("x-nul", "a\0b"), ("authorization", "no"), ("traceparent", "no")];
        let cause = cause_of(&message(&headers, "{}"));
        assert_eq!(cause.traceparent, None);
        assert_eq!(cause.headers.into_iter().collect::<Vec<_>>(), [("x-shop".to_owned(), "tea".to_owned())]);
    }

    #[test]
    fn what_is_no_command_is_refused() {
        let headers = [("ce_id", "1"), ("ce_source", "erp"), ("ce_type", "order.cancel")];
        for (headers, value, why) in [
            (&headers[..], "{", "malformed_json: It is not JSON: "),
            (&headers[1..], "{}", "invalid_command: Its attribute `id` is missing"),
            (&headers[..], r#"{"order_id":"x"}"#, "invalid_command: Its data: "),
            (&headers[..2], "{}", "`type` is missing"),
            (&[("ce_specversion", "0.3")], "{}", "Only version 1.0"),
            (&headers[..], &format!(r#"{{"order_id":"{ID}","x":1}}"#), "unknown field `x`"),
            (&headers[..], &format!(r#"{{"order_id":"{ID}","reason":""}}"#), "invalid_request: reason: "),
            (
                &[("ce_id", "1"), ("ce_source", "erp"), ("ce_type", "order.eat")],
                "{}",
                "unknown_command: There is no command of this type.",
            ),
        ] {
            let refused = Command::parse(&message(headers, value)).err().unwrap();
            let Verdict::Refused(refused) = refused.into() else { panic!("{value} is taken") };
            assert!(refused.contains(why), "{refused}");
        }
    }
}
