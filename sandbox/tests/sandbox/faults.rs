//! The service misbehaves: it is out, loses answers, or takes money too late.

use providers::{AttemptState, Error, Provider as _};
use serde_json::{Value, json};

use crate::harness::{Peer, named, new_attempt, new_refund};

#[tokio::test]
async fn an_outage_lasts_as_many_calls_as_asked_for() {
    let peer = Peer::start().await;
    let (_, attempt) = peer.open().await;
    for answer in ["unavailable", "hang_up"] {
        peer.faults("", json!({"outage": {"answer": answer, "calls": 2}})).await;
        assert!(matches!(peer.client.look_up(&attempt).await, Err(Error::Unavailable(_))));
        assert!(matches!(peer.client.cancel(&attempt).await, Err(Error::Unavailable(_))));
        assert_eq!(peer.look_up(&attempt).await.state, AttemptState::Open);
    }
    let left = peer.done("GET", "/dashboard/faults", Value::Null).await;
    assert_eq!(left["outage"], Value::Null);
}

#[tokio::test]
async fn an_outage_until_cleared_stops_the_merchant_but_not_the_payer() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.open().await;
    let (_, other) = peer.open().await;
    peer.faults(new.order, json!({"outage": {"answer": "unavailable"}})).await;
    for _ in 0..3 {
        assert!(matches!(peer.client.look_up(&attempt).await, Err(Error::Unavailable(_))));
    }
    let again = peer.client.create(&new).await;
    assert!(matches!(again, Err(Error::Unavailable(_))));
    let refund = peer.client.refund(&new_refund(&new, &attempt, 1)).await;
    assert!(matches!(refund, Err(Error::Unavailable(_))));
    assert_eq!(peer.look_up(&other).await.state, AttemptState::Open); // only this order
    peer.capture(&attempt, json!({})).await;
    peer.events(1).await;
    peer.done("DELETE", &format!("/dashboard/faults/{}", new.order), Value::Null).await;
    assert_eq!(peer.look_up(&attempt).await.state, AttemptState::Succeeded);
}

#[tokio::test]
async fn a_lost_answer_was_done_nevertheless_and_a_repeat_finds_it() {
    let peer = Peer::start().await;
    let new = new_attempt();
    peer.faults(new.order, json!({"answers_lost": 1})).await;
    assert!(matches!(peer.client.create(&new).await, Err(Error::Unavailable(_))));
    let made = peer.done("GET", &format!("/v1/payments/{}", new.payment), Value::Null).await;
    let opened = peer.client.create(&new).await.unwrap();
    assert_eq!(made["id"], opened.attempt.provider_payment_id.as_str());

    let attempt = named(&new, &opened);
    peer.capture(&attempt, json!({})).await;
    peer.faults(new.order, json!({"answers_lost": 1})).await;
    let refund = new_refund(&new, &attempt, 2000);
    assert!(matches!(peer.client.refund(&refund).await, Err(Error::Unavailable(_))));
    let found = peer.client.refund(&refund).await.unwrap();
    assert_eq!(found.refund, Some(refund.refund));
    let payment = peer.done("GET", &format!("/v1/payments/{}", new.payment), Value::Null).await;
    assert_eq!(payment["refunds"].as_array().unwrap().len(), 1);

    let (cancelled, attempt) = peer.open().await;
    peer.faults(cancelled.order, json!({"answers_lost": 1})).await;
    assert!(matches!(peer.client.cancel(&attempt).await, Err(Error::Unavailable(_))));
    assert_eq!(peer.client.cancel(&attempt).await.unwrap().state, AttemptState::Cancelled);
}

#[tokio::test]
async fn a_capture_may_come_late_or_fail() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.open().await;
    peer.faults(new.order, json!({"late": true})).await;
    assert_eq!(peer.client.cancel(&attempt).await.unwrap().state, AttemptState::Cancelled);
    peer.capture(&attempt, json!({})).await;
    assert_eq!(peer.look_up(&attempt).await.state, AttemptState::Succeeded);

    let (_, attempt) = peer.open().await;
    peer.faults("", json!({"capture": "fail"})).await;
    peer.capture(&attempt, json!({})).await;
    assert_eq!(peer.look_up(&attempt).await.state, AttemptState::Failed);
    let mut kinds = peer.kinds(2).await;
    kinds.sort();
    assert_eq!(kinds, ["payment.failed", "payment.succeeded"]);
    peer.done("DELETE", "/dashboard/faults", Value::Null).await;
    peer.captured().await;
}

#[tokio::test]
async fn unknown_faults_are_refused() {
    let peer = Peer::start().await;
    for spoiled in [json!({"webhook": "lose"}), json!({"outage": {}})] {
        assert_eq!(peer.call("PUT", "/dashboard/faults", spoiled).await.0, 422);
    }
}
