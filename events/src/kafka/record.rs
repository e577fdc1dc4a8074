//! An event as a record: CloudEvents 1.0 in the binary mode of its Kafka binding.

use domain::public_event::{PublicEvent, SOURCE};

use super::{message::Outgoing, settings::Settings};

/// The record of an event. Its key is the subject, so that what is told of one order stays in its order.
pub(super) fn record(event: &PublicEvent, settings: &Settings) -> Outgoing {
    let mut headers: Vec<(String, Option<Vec<u8>>)> = Vec::with_capacity(16);
    let mut add = |name: &str, value: String| headers.push((name.to_owned(), Some(value.into_bytes())));
    add("content-type", "application/json".to_owned());
    add("ce_specversion", "1.0".to_owned());
    add("ce_id", event.id.to_string());
    add("ce_source", SOURCE.to_owned());
    add("ce_type", event.event_type.as_str().to_owned());
    add("ce_subject", event.subject.clone());
    add("ce_time", event.at.to_string());
    add("ce_dataschema", event.data_schema());
    add("ce_version", event.version.to_string());
    add("ce_partitionkey", event.subject.clone());
    if let Some(sequence) = event.sequence {
        add("ce_sequence", sequence.to_string());
    }
    if let Some(traceparent) = &event.cause.traceparent {
        add("traceparent", traceparent.clone());
    }
    for (name, value) in &event.cause.headers {
        add(name, value.clone());
    }
    Outgoing {
        topic: settings.topic(event.event_type.topic().as_str()),
        key: Some(event.subject.clone().into_bytes()),
        value: Some(event.data.to_string().into_bytes()),
        headers,
        timestamp: Some(event.at.as_millisecond()),
    }
}

#[cfg(test)]
mod tests {
    use domain::public_event::{Cause, EventId, PublicEventType};
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_a_cloud_event_in_binary_mode() {
        let event = PublicEvent {
            id: EventId::new(258, 1),
            event_type: PublicEventType::PaymentReceived,
            version: 1,
            subject: "ord_1".to_owned(),
            sequence: Some(3),
            at: "2026-11-27T01:02:03.004Z".parse().unwrap(),
            cause: Cause {
                traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
                headers: [("x-shop".to_owned(), "tea".to_owned())].into(),
            },
            data: json!({"amount": 5}),
        };
        let record = record(&event, &Settings::plain("x:1"));
        let headers = record.headers.iter().map(|(name, value)| {
            let value = value.as_deref().map(|it| String::from_utf8_lossy(it).into_owned());
            format!("{name}: {}", value.unwrap_or_default())
        });
        assert_eq!(
            headers.collect::<Vec<_>>(),
            [
                "content-type: application/json",
                "ce_specversion: 1.0",
                "ce_id: evt_00000000000001020000000000000001",
                "ce_source: holdfast",
                "ce_type: payment.received",
                "ce_subject: ord_1",
                "ce_time: 2026-11-27T01:02:03.004Z",
                "ce_dataschema: urn:holdfast:event:payment.received:1",
                "ce_version: 1",
                "ce_partitionkey: ord_1",
                "ce_sequence: 3",
                "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "x-shop: tea",
            ]
        );
        assert_eq!((record.topic.as_str(), record.key), ("holdfast.payments", Some(b"ord_1".to_vec())));
        assert_eq!(
            (record.value, record.timestamp),
            (Some(br#"{"amount":5}"#.to_vec()), Some(1_795_741_323_004))
        );
    }
}
