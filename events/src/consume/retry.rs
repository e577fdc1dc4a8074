//! Messages that failed: what is noted about them in their headers, and where they go.

use crate::kafka::{Incoming, Outgoing};

/// What topics of messages begin with that are tried again later, and that are not.
pub(super) const RETRY: &str = "retry-";
pub(super) const FAIL: &str = "fail-";

/// What headers of ours begin with. Services do not get them.
pub(super) const OURS: &str = "holdfast-";
/// The group whose message it is: others pass it by. A route may get another name, its group may not.
const GROUP: &str = "holdfast-group";
/// Set: the value is left out, for no topic takes it.
const LEFT_OUT: &str = "holdfast-left-out";
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
    note(message, ATTEMPTS).and_then(|it| it.parse().ok()).unwrap_or(0)
}

pub(super) fn due(message: &Incoming) -> Option<i64> {
    note(message, DUE)?.parse().ok()
}

/// Whether another group's, put back or to be tried again.
pub(super) fn is_of_another(message: &Incoming, group: &str) -> bool {
    note(message, GROUP).is_some_and(|it| it != group)
}

/// Whether it is this group's, and no other's, and all of it is there.
pub(super) fn is_of(message: &Incoming, group: &str) -> bool {
    note(message, GROUP) == Some(group) && note(message, LEFT_OUT).is_none()
}

/// The topic that it was in at first: told by where it is, whatever its headers say.
pub(super) fn topic(message: &Incoming) -> &str {
    let topic = message.partition.topic.as_str();
    topic.strip_prefix(RETRY).or_else(|| topic.strip_prefix(FAIL)).unwrap_or(topic)
}

/// What we noted about it. Anybody may write such headers, or copy a message into another topic with them:
/// they count only beside the name of its own.
fn note<'m>(message: &'m Incoming, name: &str) -> Option<&'m str> {
    message.header(name).filter(|_| message.header(TOPIC) == Some(topic(message)))
}

/// What tells a message from others if it has no id: where it was at first.
pub(super) fn origin(message: &Incoming) -> String {
    let Incoming { partition, offset, .. } = message;
    let number = note(message, PARTITION).map_or_else(|| partition.number.to_string(), str::to_owned);
    let offset = note(message, OFFSET).map_or_else(|| offset.to_string(), str::to_owned);
    format!("{}-{number}-{offset}", topic(message))
}

/// The message, to be tried again.
pub(super) fn again(message: &Incoming, group: &str, attempts: u32, due: i64, reason: &str) -> Outgoing {
    let mut outgoing = noted(message, group, RETRY, attempts, reason);
    add(&mut outgoing, DUE, due.to_string());
    outgoing
}

/// The message, for somebody to look at.
pub(super) fn failed(message: &Incoming, group: &str, attempts: u32, reason: &str) -> Outgoing {
    noted(message, group, FAIL, attempts, reason)
}

/// What is left of a message that the topic of its failure does not take: that it failed, and why. At first
/// without its value, and then also without what others said in its key and headers.
pub(super) fn left_out(message: &Incoming, group: &str, attempts: u32, why: &str) -> [Outgoing; 2] {
    let mut first = failed(message, group, attempts, why);
    first.value = Some(Vec::new());
    add(&mut first, LEFT_OUT, "value".to_owned());
    let mut second = first.clone();
    second.key = None;
    second.headers.retain(|(name, _)| name.starts_with(OURS));
    [first, second]
}

/// The message, for this group alone, as if it had never been tried.
pub(super) fn put_back(message: &Incoming, group: &str) -> Outgoing {
    copied(message, group, topic(message).to_owned())
}

fn noted(message: &Incoming, group: &str, prefix: &str, attempts: u32, reason: &str) -> Outgoing {
    let mut outgoing = copied(message, group, format!("{prefix}{}", topic(message)));
    add(&mut outgoing, ATTEMPTS, attempts.to_string());
    let end = reason.floor_char_boundary(MAX_REASON_BYTES.min(reason.len()));
    add(&mut outgoing, REASON, reason[..end].to_owned());
    outgoing
}

fn copied(message: &Incoming, group: &str, to: String) -> Outgoing {
    let headers = message.headers.iter().filter(|(name, _)| !name.starts_with(OURS)).cloned().collect();
    let mut outgoing = Outgoing {
        topic: to,
        key: message.key.clone(),
        value: message.value.clone(),
        headers,
        timestamp: None,
    };
    let Incoming { partition, offset, .. } = message;
    let kept = |name: &str, now: String| note(message, name).map_or(now, str::to_owned);
    add(&mut outgoing, GROUP, group.to_owned());
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

    fn told(topic: &str, told: &str) -> Incoming {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        let headers =
            vec![header(TOPIC, told), header(GROUP, "s"), header(ATTEMPTS, "9"), header(OFFSET, "5")];
        let partition = Partition { topic: topic.to_owned(), number: 1 };
        Incoming { partition, offset: 7, key: None, value: Some(vec![1]), headers, timestamp: 0 }
    }

    #[test]
    fn what_headers_say_counts_only_in_their_own_topic() {
        for topic in ["t", "retry-t", "fail-t"] {
            let foreign = told(topic, "other");
            assert!(!is_of_another(&foreign, "r") && !is_of(&foreign, "s"), "{topic}");
            assert_eq!((attempts(&foreign), origin(&foreign).as_str()), (0, "t-1-7"));
            assert_eq!(failed(&foreign, "r", 1, "no").topic, "fail-t");
            let ours = told(topic, "t");
            assert!(is_of_another(&ours, "r") && is_of(&ours, "s"), "{topic}");
            assert_eq!((attempts(&ours), origin(&ours).as_str()), (9, "t-1-5"));
        }
    }

    #[test]
    fn what_is_too_large_leaves_its_reason() {
        let mut large = told("t", "t");
        large.headers.push(("x".to_owned(), None));
        let [first, second] = left_out(&large, "r", 2, "too large").map(|it| incoming(it, 1));
        assert_eq!(
            (first.value.as_deref(), first.headers.iter().any(|(name, _)| name == "x")),
            (Some(&[][..]), true)
        );
        assert!(second.headers.iter().all(|(name, _)| name.starts_with(OURS)));
        for left in [first, second] {
            assert_eq!((left.partition.topic.as_str(), left.header(REASON)), ("fail-t", Some("too large")));
            assert!(!is_of(&left, "r"), "there is nothing to be put back");
        }
    }
}
