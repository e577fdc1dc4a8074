//! Payments opened, paid, failed and cancelled.

use std::time::Duration;

use domain::{PaymentId, Timestamp, payment::Outcome, provider_event::Notice};
use futures_util::future::join_all;
use providers::{AttemptRef, AttemptState, Error, NewAttempt, Provider as _};
use serde_json::{Value, json};

use crate::harness::{Peer, eur, named, new_attempt, new_refund, uuid};

#[tokio::test]
async fn an_attempt_is_opened_once_for_its_key() {
    let peer = Peer::start().await;
    let new = new_attempt();
    let first = peer.client.create(&new).await.unwrap();
    assert!(first.attempt.provider_payment_id.starts_with("sbx_"));
    assert_eq!((first.attempt.state, first.attempt.money), (AttemptState::Open, eur(2500)));
    assert_eq!(first.attempt.captured_at, None);
    assert_eq!(peer.client.create(&new).await.unwrap(), first);

    let other = NewAttempt { money: eur(1), ..new.clone() };
    let refused = peer.client.create(&other).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { code, .. } if code == "key_reused"));
    let list = peer.done("GET", &format!("/v1/payments?order_id={}", new.order), Value::Null).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    let invalid = NewAttempt { money: eur(0), ..new_attempt() };
    let refused = peer.client.create(&invalid).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { code, .. } if code == "invalid"));
}

#[tokio::test]
async fn the_payer_pays_where_the_client_is_sent_and_a_webhook_tells() {
    let peer = Peer::start().await;
    let new = new_attempt();
    let opened = peer.client.create(&new).await.unwrap();
    let pay_url = opened.client["pay_url"].as_str().unwrap();
    peer.done("POST", pay_url.strip_prefix(peer.sandbox.url()).unwrap(), Value::Null).await;

    let attempt = named(&new, &opened);
    let found = peer.look_up(&attempt).await;
    assert_eq!((found.state, found.state_text.as_str()), (AttemptState::Succeeded, "succeeded"));
    assert!(found.captured_at.is_some());
    let event = peer.events(1).await.remove(0);
    assert_eq!(event.kind, "payment.succeeded");
    let Some(Notice::Payment { order, report }) = event.notice else { panic!("tells of a payment") };
    assert_eq!((order, report.outcome, report.money), (Some(new.order), Outcome::Succeeded, eur(2500)));
    assert_eq!((report.event_id, report.payment_id), (event.event_id, attempt.provider_payment_id));
    assert_eq!(report.provider, "sandbox");
}

#[tokio::test]
async fn the_payer_may_pay_something_else_than_was_asked_for() {
    let peer = Peer::start().await;
    let (_, attempt) = peer.open().await;
    let how = json!({"amount": 99, "currency": "USD", "event_id": "evt_other", "at": "2020-01-01T00:00:00Z"});
    peer.capture(&attempt, how.clone()).await;
    let found = peer.look_up(&attempt).await;
    assert_eq!(found.money.to_string(), "0.99 USD");
    // Expiry is in an hour, by this clock: the payer of 2030 is too late without that hour in mind.
    assert_eq!(found.captured_at.unwrap().to_string(), "2020-01-01T00:00:00Z");
    let event = peer.events(1).await.remove(0);
    assert_eq!(event.event_id, "evt_other");
    peer.capture(&attempt, how).await; // the same event again
    assert_eq!(peer.events(2).await[1], event);
    let path = format!("/payer/payments/{}/capture", attempt.payment);
    let (status, refusal) = peer.call("POST", &path, Value::Null).await;
    assert_eq!((status, &refusal["error"]["code"]), (409, &json!("already_captured")));
}

#[tokio::test]
async fn after_a_failed_try_the_payer_may_try_again_if_that_was_not_the_end() {
    let peer = Peer::start().await;
    let (_, attempt) = peer.open().await;
    let path = format!("/payer/payments/{}/fail", attempt.provider_payment_id);
    peer.done("POST", &path, json!({"retry": true})).await;
    assert_eq!(peer.look_up(&attempt).await.state, AttemptState::Open);
    peer.done("POST", &path, json!({})).await;
    assert_eq!(peer.look_up(&attempt).await.state, AttemptState::Failed);
    assert_eq!(peer.kinds(2).await, ["payment.failed", "payment.failed"]);
    assert_eq!(peer.client.cancel(&attempt).await.unwrap().state, AttemptState::Failed);
}

#[tokio::test]
async fn a_cancelled_attempt_takes_no_money_and_cancelling_again_says_the_same() {
    let peer = Peer::start().await;
    let (_, attempt) = peer.open().await;
    let cancelled = peer.client.cancel(&attempt).await.unwrap();
    assert_eq!(cancelled.state, AttemptState::Cancelled);
    assert_eq!(peer.client.cancel(&attempt).await.unwrap(), cancelled);
    let path = format!("/payer/payments/{}/capture", attempt.provider_payment_id);
    let (status, refusal) = peer.call("POST", &path, Value::Null).await;
    assert_eq!((status, &refusal["error"]["code"]), (409, &json!("payment_closed")));
    assert_eq!(refusal["payment"]["state"], "cancelled");
    peer.capture(&attempt, json!({"late": true})).await;
    assert_eq!(peer.look_up(&attempt).await.state, AttemptState::Succeeded);
}

#[tokio::test]
async fn cancelling_what_was_captured_gives_the_truth() {
    let peer = Peer::start().await;
    let (_, attempt) = peer.captured().await;
    let truth = peer.client.cancel(&attempt).await.unwrap();
    assert_eq!(truth, peer.look_up(&attempt).await);
    assert_eq!(truth.state, AttemptState::Succeeded);
}

#[tokio::test]
async fn an_expired_attempt_is_closed_unless_forced() {
    let peer = Peer::start().await;
    let new = NewAttempt { expires_at: Timestamp::now() - Duration::from_secs(1), ..new_attempt() };
    let opened = peer.client.create(&new).await.unwrap();
    let attempt = named(&new, &opened);
    let found = peer.look_up(&attempt).await;
    assert_eq!((found.state, found.state_text.as_str()), (AttemptState::Cancelled, "expired"));
    let path = format!("/payer/payments/{}/capture", attempt.provider_payment_id);
    let (status, refusal) = peer.call("POST", &path, Value::Null).await;
    assert_eq!((status, &refusal["payment"]["state"]), (409, &json!("expired")));
    peer.capture(&attempt, json!({"late": true})).await;
    assert_eq!(peer.look_up(&attempt).await.state, AttemptState::Succeeded);
}

#[tokio::test]
async fn what_was_never_opened_is_not_found_and_nobody_there_is_no_answer() {
    let peer = Peer::start().await;
    let payment = PaymentId::from_uuid(uuid());
    let nobody = AttemptRef { payment, provider_payment_id: "sbx_nobody".to_owned() };
    assert!(matches!(peer.client.look_up(&nobody).await, Err(Error::NotFound)));
    assert!(matches!(peer.client.cancel(&nobody).await, Err(Error::NotFound)));
    let (status, answer) = peer.call("GET", "/v1/nothing", Value::Null).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")));
    let large = json!({"description": "x".repeat(100_000)});
    assert_eq!(peer.call("POST", "/v1/payments", large).await.0, 413);
    peer.sandbox.stop().await;
    assert!(matches!(peer.client.look_up(&nobody).await, Err(Error::Unavailable(_))));
    assert!(matches!(peer.client.create(&new_attempt()).await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn expiry_goes_by_the_time_a_call_brings() {
    let peer = Peer::start().await;
    let (_, attempt) = peer.open().await;
    let path = format!("/payer/payments/{}/capture", attempt.payment);
    let in_a_year = Timestamp::now() + Duration::from_secs(365 * 24 * 3600);
    assert_eq!(peer.call("POST", &path, json!({"at": in_a_year})).await.0, 409);
    assert_eq!(peer.look_up(&attempt).await.state, AttemptState::Open);
    peer.capture(&attempt, json!({"at": in_a_year, "late": true})).await;
    assert_eq!(peer.look_up(&attempt).await.captured_at, Some(in_a_year));
}

#[tokio::test]
async fn of_many_at_once_one_is_done() {
    let peer = Peer::start().await;
    let new = new_attempt();
    let opened = join_all((0..20).map(|_| peer.client.create(&new))).await;
    let first = opened[0].as_ref().unwrap();
    assert!(opened.iter().all(|it| it.as_ref().unwrap() == first));

    let attempt = named(&new, first);
    peer.capture(&attempt, json!({})).await;
    let refund = new_refund(&new, &attempt, 2500);
    let refunds = join_all((0..20).map(|_| peer.client.refund(&refund))).await;
    assert!(refunds.iter().all(|it| it.as_ref().unwrap() == refunds[0].as_ref().unwrap()));

    for _ in 0..20 {
        let (_, attempt) = peer.open().await;
        let path = format!("/payer/payments/{}/capture", attempt.payment);
        let (captured, cancelled) =
            tokio::join!(peer.call("POST", &path, Value::Null), peer.client.cancel(&attempt));
        let expected = if captured.0 == 200 { AttemptState::Succeeded } else { AttemptState::Cancelled };
        assert_eq!(cancelled.unwrap().state, expected);
    }
}
