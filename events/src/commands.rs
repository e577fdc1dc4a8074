//! Others' commands, read from Kafka: what they may ask of an order, each done once. They take the way of the
//! API's requests: the change is stored, and the order's workflow decides (docs/kafka.md).

use std::{sync::Arc, time::Duration};

use domain::{
    OrderId, Timestamp,
    change::{Answer, OrderChange, check_extension},
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

impl Command {
    /// # Errors
    /// What is wrong with it, for its sender.
    fn parse(message: &Incoming) -> Result<Self, String> {
        let value = message.value.as_deref().unwrap_or_default();
        if value.len() > MAX_COMMAND_BYTES {
            return Err(format!("it has more than {MAX_COMMAND_BYTES} bytes"));
        }
        let body: Value = serde_json::from_slice(value).map_err(|error| format!("it is no JSON: {error}"))?;
        let is_structured = message
            .header("content-type")
            .is_some_and(|it| it.trim_start().to_ascii_lowercase().starts_with("application/cloudevents"));
        let given = |name: &str| match is_structured {
            true => body.get(name).and_then(Value::as_str),
            false => message.header(&format!("ce_{name}")),
        };
        if given("specversion").is_some_and(|version| version != "1.0") {
            return Err("only version 1.0 of CloudEvents is known".to_owned());
        }
        let attribute = |name: &str| -> Result<String, String> {
            given(name)
                .filter(|it| !it.is_empty() && it.len() <= MAX_ID_BYTES)
                .map(str::to_owned)
                .ok_or_else(|| format!("the attribute `{name}` is missing, or too long"))
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

fn change(kind: &str, data: Value) -> Result<(OrderId, OrderChange), String> {
    match kind {
        "order.cancel" => {
            let Cancel { order_id, reason, force } = read(data)?;
            let reason = match reason {
                Some(reason) => stock::reason(&reason).map_err(|invalid| invalid.to_string())?,
                None => "requested".to_owned(),
            };
            Ok((order_id, OrderChange::Cancel { reason, force }))
        }
        "order.extend" => {
            let Extend { order_id, payment_due_at } = read(data)?;
            let due = payment_due_at.round(jiff::Unit::Microsecond);
            let payment_due_at = due.map_err(|_| "payment_due_at is out of range".to_owned())?;
            Ok((order_id, OrderChange::Extend { payment_due_at }))
        }
        "order.fulfil" => {
            let Fulfil { order_id } = read(data)?;
            Ok((order_id, OrderChange::Fulfil))
        }
        _ => Err("there is no command of this type".to_owned()),
    }
}

fn read<T: DeserializeOwned>(data: Value) -> Result<T, String> {
    serde_json::from_value(data).map_err(|error| format!("data: {error}"))
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
                return Ok(Verdict::Refused(invalid.to_string()));
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
            None | Some(Answer::Done) => Ok(Verdict::Done),
            Some(answer) => Ok(Verdict::Refused(format!("{}: {answer:?}", change.kind().problem_code()))),
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
            Err(why) => return Verdict::Refused(why),
        };
        let asked = cause::caused_by(Arc::new(command.cause.clone()), self.ask(&command)).await;
        match asked {
            Ok(verdict) => verdict,
            Err(Error::NotFound) => Verdict::Refused("there is no such order".to_owned()),
            Err(Error::KeyReused) => {
                Verdict::Refused("an event of this id asked for something else".to_owned())
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
            (&headers[..], "{", "it is no JSON"),
            (&headers[1..], "{}", "`id` is missing"),
            (&headers[..], r#"{"order_id":"x"}"#, "data: "),
            (&headers[..2], "{}", "`type` is missing"),
            (&[("ce_specversion", "0.3")], "{}", "only version 1.0"),
            (&headers[..], &format!(r#"{{"order_id":"{ID}","x":1}}"#), "unknown field `x`"),
        ] {
            let refused = Command::parse(&message(headers, value)).err().unwrap();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
