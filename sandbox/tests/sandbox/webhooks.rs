//! Webhooks: tried again, kept back, repeated, reordered; read by the rules of today.

use domain::{Timestamp, provider_event::Notice};
use http::HeaderMap;
use providers::{Provider as _, WebhookError, standard_webhooks as sw};
use serde_json::{Value, json};

use crate::harness::{Peer, SECRET};

#[tokio::test]
async fn an_event_is_sent_until_it_is_taken_and_always_under_the_same_id() {
    let peer = Peer::start().await;
    peer.endpoint.answer(&[500, 302]);
    let (new, _) = peer.captured().await;
    let events = peer.events(3).await;
    assert!(events.iter().all(|event| *event == events[0]));
    let deliveries = peer.wait_for_deliveries(new.order, &["delivered"]).await;
    assert_eq!((&deliveries[0]["tries"], &deliveries[0]["last_status"]), (&json!(3), &json!(200)));
    assert_eq!(peer.endpoint.so_far(), 3);
}

#[tokio::test]
async fn a_lost_event_is_never_sent_unless_released() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.open().await;
    peer.faults(new.order, json!({"webhooks": "lose"})).await;
    peer.capture(&attempt, json!({})).await;
    let lost = peer.deliveries(new.order).await;
    assert_eq!((&lost[0]["state"], &lost[0]["tries"]), (&json!("lost"), &json!(0)));
    peer.captured().await; // of another order, so it comes
    peer.endpoint.webhooks(1).await;
    assert_eq!(peer.endpoint.so_far(), 1);
    peer.done("POST", "/dashboard/deliveries/release", json!({"ids": [lost[0]["id"]]})).await;
    let Some(Notice::Payment { order, .. }) = peer.events(2).await.remove(1).notice else { panic!() };
    assert_eq!(order, Some(new.order));
}

#[tokio::test]
async fn held_events_come_when_released_in_the_order_asked_for() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.open().await;
    peer.faults("", json!({"webhooks": "hold", "refunds": "pend"})).await;
    peer.capture(&attempt, json!({})).await;
    let path = format!("/dashboard/payments/{}/refunds", attempt.provider_payment_id);
    let refund = peer.done("POST", &path, json!({})).await;
    let path = format!("/dashboard/refunds/{}/settle", refund["id"].as_str().unwrap());
    peer.done("POST", &path, json!({"state": "succeeded"})).await;
    peer.wait_for_deliveries(new.order, &["held", "held", "held"]).await;
    assert_eq!(peer.endpoint.so_far(), 0);

    let all = json!({"order_id": new.order, "reverse": true});
    let released = peer.done("POST", "/dashboard/deliveries/release", all.clone()).await;
    assert_eq!(peer.kinds(3).await, ["refund.succeeded", "refund.pending", "payment.succeeded"]);
    let states: Vec<_> = released["data"].as_array().unwrap().iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["delivered", "delivered", "delivered"]);
    let none = peer.done("POST", "/dashboard/deliveries/release", all).await;
    assert_eq!(none["data"], json!([]));
}

#[tokio::test]
async fn a_released_event_that_is_not_taken_is_tried_again() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.open().await;
    peer.faults(new.order, json!({"webhooks": "hold"})).await;
    peer.capture(&attempt, json!({})).await;
    peer.endpoint.answer(&[500]);
    let released = peer.done("POST", "/dashboard/deliveries/release", json!({})).await;
    assert_eq!(
        (&released["data"][0]["state"], &released["data"][0]["last_status"]),
        (&json!("sending"), &json!(500))
    );
    peer.wait_for_deliveries(new.order, &["delivered"]).await;
}

#[tokio::test]
async fn an_event_may_come_several_times() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.open().await;
    peer.faults(&attempt.provider_payment_id, json!({"copies": 3})).await;
    peer.capture(&attempt, json!({})).await;
    let events = peer.events(3).await;
    assert!(events.iter().all(|event| *event == events[0]));
    peer.wait_for_deliveries(new.order, &["delivered", "delivered", "delivered"]).await;
    assert_eq!(peer.call("PUT", "/dashboard/faults", json!({"copies": 11})).await.0, 422);
}

/// Correctly signed, now.
fn signed(body: &[u8]) -> HeaderMap {
    let now_s = Timestamp::now().as_second();
    let signature = sw::Secret::parse(SECRET).unwrap().sign("evt_1", now_s, body);
    let pairs =
        [(sw::ID, "evt_1".to_owned()), (sw::TIMESTAMP, now_s.to_string()), (sw::SIGNATURE, signature)];
    pairs.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[tokio::test]
async fn what_is_genuine_is_read_and_what_is_not_is_refused() {
    let peer = Peer::start().await;
    let read = |body: &[u8]| peer.client.webhook(&signed(body), body, Timestamp::now());
    let unknown = read(br#"{"type": "dispute.opened", "more": 1}"#).unwrap();
    assert_eq!(
        (unknown.event_id.as_str(), unknown.kind.as_str(), unknown.notice),
        ("evt_1", "dispute.opened", None)
    );
    let foreign = json!({"order_id": "ord_1", "payment_id": "p", "amount": 1, "currency": "EUR"});
    let foreign = read(json!({"type": "payment.failed", "data": foreign}).to_string().as_bytes()).unwrap();
    assert!(matches!(foreign.notice, Some(Notice::Payment { order: None, .. })));

    let data = |field: &str, value: Value| {
        let mut data = json!({
            "order_id": "ord_1", "payment_id": "p", "amount": 1, "currency": "EUR", "provider_refund_id": "r",
        });
        data[field] = value;
        data
    };
    let malformed = [
        json!([]),
        json!({"type": ""}),
        json!({"type": "payment.succeeded"}),
        json!({"type": "payment.succeeded", "data": data("amount", json!("12"))}),
        json!({"type": "payment.succeeded", "data": data("payment_id", json!(""))}),
        json!({"type": "payment.succeeded", "data": data("currency", json!("€"))}),
        json!({"type": "refund.failed", "data": data("provider_refund_id", Value::Null)}),
        json!({"type": "refund.failed", "data": data("provider_refund_id", json!(""))}),
    ];
    for body in malformed {
        let error = read(body.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, WebhookError::Malformed(_)), "{body}: {error}");
    }

    let body = br#"{"type": "x"}"#;
    let spoiled = peer.client.webhook(&signed(body), br#"{"type": "y"}"#, Timestamp::now());
    assert!(matches!(spoiled, Err(WebhookError::NotGenuine(_))));
    let later = Timestamp::now() + domain::SignedDuration::from_secs(302);
    let old = peer.client.webhook(&signed(body), body, later);
    assert!(matches!(old, Err(WebhookError::NotGenuine(_))));
}
