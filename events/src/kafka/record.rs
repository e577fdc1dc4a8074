//! An event as a record: CloudEvents 1.0 in the binary mode of its Kafka binding.

use domain::public_event::{PublicEvent, SOURCE};

use super::{client::Outgoing, settings::Settings};

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
