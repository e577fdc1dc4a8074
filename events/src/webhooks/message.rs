//! What is sent: the event as a CloudEvent, and what its headers say.

use domain::{
    Timestamp, WebhookEndpointId,
    public_event::{PublicEvent, SOURCE},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use web::standard_webhooks::{ID, SIGNATURE, Secret, TIMESTAMP};

pub(super) const TRACEPARENT: &str = "traceparent";
/// One body is one event, of which the type says all.
const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// A message before it is signed.
pub struct Message {
    pub id: String,
    pub body: Vec<u8>,
    /// The request that caused it: its trace, and its `x-*` headers.
    pub headers: HeaderMap,
}

impl Message {
    pub fn of(event: &PublicEvent) -> Self {
        let mut headers = HeaderMap::new();
        let x_headers = event.cause.headers.iter().filter(|(name, _)| name.starts_with("x-"));
        let traceparent = event.cause.traceparent.iter().map(|value| (TRACEPARENT, value.as_str()));
        for (name, value) in x_headers.map(|(name, value)| (name.as_str(), value.as_str())).chain(traceparent)
        {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        Self { id: event.id.to_string(), body: json!(event.cloud_event()).to_string().into_bytes(), headers }
    }

    /// To try an endpoint out: of an event that is none.
    pub fn test(endpoint: WebhookEndpointId, unique: u128, at: Timestamp) -> Self {
        let id = format!("evt_test_{unique:032x}");
        let event = json!({
            "specversion": "1.0",
            "id": id,
            "source": SOURCE,
            "type": "webhook.test",
            "subject": endpoint,
            "time": at,
            "datacontenttype": "application/json",
            "data": {"endpoint_id": endpoint},
        });
        Self { id, body: event.to_string().into_bytes(), headers: HeaderMap::new() }
    }

    /// The headers, with a signature by each secret that can be read.
    pub(super) fn signed<'a>(&self, secrets: impl IntoIterator<Item = &'a str>, now: Timestamp) -> HeaderMap {
        let seconds = now.as_second();
        let sign = |secret: &str| Some(Secret::parse(secret).ok()?.sign(&self.id, seconds, &self.body));
        let signatures: Vec<String> = secrets.into_iter().filter_map(sign).collect();
        let mut headers = self.headers.clone();
        let ours = [
            (http::header::CONTENT_TYPE.as_str(), CONTENT_TYPE),
            (ID, &self.id),
            (TIMESTAMP, &seconds.to_string()),
            (SIGNATURE, &signatures.join(" ")),
        ];
        for (name, value) in ours {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::public_event::{Cause, EventId, PublicEventType};

    use super::*;

    #[test]
    fn a_message_is_signed_by_each_secret_and_carries_its_cause() {
        let named = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let headers =
            named(&[("x-shop", "berlin"), ("x-odd", "line\nbreak"), ("host", "evil"), ("x-request-id", "7")]);
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
        let event = PublicEvent {
            id: EventId::new(7, 8),
            event_type: PublicEventType::OrderPaid,
            version: 1,
            subject: "ord_1".to_owned(),
            sequence: Some(1),
            at: Timestamp::UNIX_EPOCH,
            cause: Cause { traceparent: Some(traceparent.clone()), headers },
            data: json!({"customer_id": "c"}),
        };
        let message = Message::of(&event);
        let (old, new) = (Secret::write([1; 24]), Secret::write([2; 24]));
        let headers = message.signed([new.as_str(), old.as_str()], Timestamp::from_second(1000).unwrap());
        for secret in [&old, &new] {
            let id = Secret::parse(secret).unwrap().verify(&headers, &message.body, 1000);
            assert_eq!(id, Ok(event.id.to_string()));
        }
        let has = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((has("x-shop"), has("x-request-id")), (Some("berlin"), Some("7")));
        assert_eq!((has("x-odd"), has("host"), has("traceparent")), (None, None, Some(traceparent.as_str())));
    }
}
