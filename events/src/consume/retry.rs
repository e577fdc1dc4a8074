//! Messages that failed: what is noted about them in their headers, and where they go.

use crate::kafka::{Incoming, Outgoing};

/// What topics of messages begin with that are tried again later, and that are not.
pub(super) const RETRY: &str = "retry-";
pub(super) const FAIL: &str = "fail-";

/// What headers of ours begin with. Services do not get them.
pub(super) const OURS: &str = "holdfast-";
/// The route whose message it is: others pass it by.
const ROUTE: &str = "holdfast-route";
/// How often it was tried.
const ATTEMPTS: &str = "holdfast-attempts";
/// When it is to be tried again, in milliseconds since 1970.
const DUE: &str = "holdfast-due";
/// Why it failed.
const REASON: &str = "holdfast-reason";
/// Where it was at first.
const TOPIC: &str = "holdfast-topic";
const PARTITION: &str = "holdfast-partition";
const OFFSET: &str = "holdfast-offset";
const MAX_REASON_BYTES: usize = 500;

/// How often a message was tried before.
pub(super) fn attempts(message: &Incoming) -> u32 {
    message.header(ATTEMPTS).and_then(|it| it.parse().ok()).unwrap_or(0)
}

pub(super) fn due(message: &Incoming) -> Option<i64> {
    message.header(DUE)?.parse().ok()
}

/// Whether another route's, put back or to be tried again.
pub(super) fn is_of_another(message: &Incoming, route: &str) -> bool {
    message.header(ROUTE).is_some_and(|it| it != route)
}

/// Whether it is this route's, and no other's.
pub(super) fn is_of(message: &Incoming, route: &str) -> bool {
    message.header(ROUTE) == Some(route)
}

/// The topic that it was in at first.
pub(super) fn topic(message: &Incoming) -> &str {
    message.header(TOPIC).unwrap_or(&message.partition.topic)
}

/// What tells a message from others if it has no id: where it was at first.
pub(super) fn origin(message: &Incoming) -> String {
    let Incoming { partition, offset, .. } = message;
    let number = message.header(PARTITION).map_or_else(|| partition.number.to_string(), str::to_owned);
    let offset = message.header(OFFSET).map_or_else(|| offset.to_string(), str::to_owned);
    format!("{}-{number}-{offset}", topic(message))
}

/// The message, to be tried again.
pub(super) fn again(message: &Incoming, route: &str, attempts: u32, due: i64, reason: &str) -> Outgoing {
    let mut outgoing = noted(message, route, RETRY, attempts, reason);
    add(&mut outgoing, DUE, due.to_string());
    outgoing
}

/// The message, for somebody to look at.
pub(super) fn failed(message: &Incoming, route: &str, attempts: u32, reason: &str) -> Outgoing {
    noted(message, route, FAIL, attempts, reason)
}

/// The message, for this route alone, as if it had never been tried.
pub(super) fn put_back(message: &Incoming, route: &str) -> Outgoing {
    copied(message, route, topic(message).to_owned())
}

fn noted(message: &Incoming, route: &str, prefix: &str, attempts: u32, reason: &str) -> Outgoing {
    let mut outgoing = copied(message, route, format!("{prefix}{}", topic(message)));
    add(&mut outgoing, ATTEMPTS, attempts.to_string());
    let end = reason.floor_char_boundary(MAX_REASON_BYTES.min(reason.len()));
    add(&mut outgoing, REASON, reason[..end].to_owned());
    outgoing
}

fn copied(message: &Incoming, route: &str, to: String) -> Outgoing {
    let headers = message.headers.iter().filter(|(name, _)| !name.starts_with(OURS)).cloned().collect();
    let mut outgoing = Outgoing {
        topic: to,
        key: message.key.clone(),
        value: message.value.clone(),
        headers,
        timestamp: None,
    };
    let Incoming { partition, offset, .. } = message;
    let kept = |name: &str, now: String| message.header(name).map_or(now, str::to_owned);
    add(&mut outgoing, ROUTE, route.to_owned());
    add(&mut outgoing, TOPIC, topic(message).to_owned());
    add(&mut outgoing, PARTITION, kept(PARTITION, partition.number.to_string()));
    add(&mut outgoing, OFFSET, kept(OFFSET, offset.to_string()));
    outgoing
}

fn add(outgoing: &mut Outgoing, name: &str, value: String) {
    outgoing.headers.push((name.to_owned(), Some(value.into_bytes())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::Partition;

    fn incoming(outgoing: Outgoing, offset: i64) -> Incoming {
        Incoming {
            partition: Partition { topic: outgoing.topic, number: 1 },
            offset,
            key: outgoing.key,
            value: outgoing.value,
            headers: outgoing.headers,
            timestamp: 0,
        }
    }

    #[test]
    fn a_message_goes_round_and_stays_itself() {
        let first = Outgoing {
            topic: "t".to_owned(),
            key: Some(b"k".to_vec()),
            value: Some(b"v".to_vec()),
            headers: vec![("ce_id".to_owned(), Some(b"1".to_vec())), ("empty".to_owned(), None)],
            timestamp: None,
        };
        let first = incoming(first, 7);
        assert_eq!((attempts(&first), due(&first), origin(&first).as_str()), (0, None, "t-1-7"));
        let retried = incoming(again(&first, "r", 1, 99, "no"), 3);
        assert_eq!(retried.partition.topic, "retry-t");
        assert_eq!((attempts(&retried), due(&retried), origin(&retried).as_str()), (1, Some(99), "t-1-7"));
        assert!(is_of(&retried, "r") && is_of_another(&retried, "s") && !is_of_another(&first, "s"));
        let failed = incoming(failed(&retried, "r", 2, &"ä".repeat(400)), 4);
        assert_eq!((failed.partition.topic.as_str(), failed.header(REASON).unwrap().len()), ("fail-t", 500));
        assert_eq!(failed.headers.iter().filter(|(name, _)| name == TOPIC).count(), 1);
        let back = incoming(put_back(&failed, "r"), 8);
        assert_eq!((back.partition.topic.as_str(), attempts(&back)), ("t", 0));
        assert_eq!((origin(&back).as_str(), back.header("ce_id")), ("t-1-7", Some("1")));
        assert!(back.headers.contains(&("empty".to_owned(), None)));
    }
}
