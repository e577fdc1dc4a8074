//! Money given back: once for each key, in parts, never more than was captured.

use domain::{
    payment::{RefundReport, RefundState},
    provider_event::Notice,
};
use providers::{Error, NewRefund, Provider as _};
use serde_json::json;

use crate::harness::{Peer, eur, new_refund};

fn code(error: Error) -> String {
    match error {
        Error::Refused { code, .. } => code,
        other => panic!("should be refused: {other}"),
    }
}

#[tokio::test]
async fn a_refund_is_made_once_for_its_key_and_told_by_webhook() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.captured().await;
    peer.events(1).await;
    let ask = new_refund(&new, &attempt, 1000);
    let made = peer.client.refund(&ask).await.unwrap();
    assert_eq!((made.refund, made.state, made.money), (Some(ask.refund), RefundState::Succeeded, eur(1000)));
    assert!(made.provider_refund_id.starts_with("sbr_"));
    assert_eq!(peer.client.refund(&ask).await.unwrap(), made);
    assert_eq!(peer.look_up_refund(&made).await, made);
    let other = NewRefund { money: eur(1), ..ask.clone() };
    assert_eq!(code(peer.client.refund(&other).await.unwrap_err()), "key_reused");
    let (new_other, attempt_other) = peer.captured().await;
    let elsewhere = NewRefund { refund: ask.refund, ..new_refund(&new_other, &attempt_other, 1) };
    assert_eq!(code(peer.client.refund(&elsewhere).await.unwrap_err()), "key_reused");

    let events = peer.events(3).await;
    let told: Vec<_> = events.into_iter().filter(|it| it.kind == "refund.succeeded").collect();
    assert_eq!(told.len(), 1);
    let report = RefundReport { event_id: told[0].event_id.clone(), ..made };
    assert_eq!(told[0].notice, Some(Notice::Refund { order: Some(new.order), report }));
}

#[tokio::test]
async fn parts_are_given_back_up_to_what_was_captured() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.open().await;
    let early = peer.client.refund(&new_refund(&new, &attempt, 1)).await.unwrap_err();
    assert_eq!(code(early), "not_captured");
    peer.capture(&attempt, json!({})).await;
    peer.client.refund(&new_refund(&new, &attempt, 2000)).await.unwrap();
    let above = peer.client.refund(&new_refund(&new, &attempt, 501)).await.unwrap_err();
    assert_eq!(code(above), "refund_above_captured");
    peer.client.refund(&new_refund(&new, &attempt, 500)).await.unwrap();
    let none_left = peer.client.refund(&new_refund(&new, &attempt, 1)).await.unwrap_err();
    assert_eq!(code(none_left), "refund_above_captured");
    let usd = domain::money::Money::new(1, domain::money::Currency::parse("USD").unwrap());
    let foreign = NewRefund { money: usd, ..new_refund(&new, &attempt, 1) };
    assert_eq!(code(peer.client.refund(&foreign).await.unwrap_err()), "invalid");
}

#[tokio::test]
async fn a_pending_refund_counts_until_it_is_settled() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.captured().await;
    peer.faults(new.order, json!({"refunds": "pend"})).await;
    let refund = peer.client.refund(&new_refund(&new, &attempt, 2500)).await.unwrap();
    assert_eq!(refund.state, RefundState::Pending);
    let more = peer.client.refund(&new_refund(&new, &attempt, 1)).await.unwrap_err();
    assert_eq!(code(more), "refund_above_captured");

    let path = format!("/dashboard/refunds/{}/settle", refund.provider_refund_id);
    peer.done("POST", &path, json!({"state": "failed"})).await;
    peer.done("POST", &path, json!({"state": "failed"})).await; // again: nothing new
    assert_eq!(peer.call("POST", &path, json!({"state": "succeeded"})).await.0, 409);
    assert_eq!(peer.look_up_refund(&refund).await.state, RefundState::Failed);
    let again = peer.client.refund(&new_refund(&new, &attempt, 2500)).await.unwrap();
    let path = format!("/dashboard/refunds/{}/settle", again.refund.unwrap());
    peer.done("POST", &path, json!({"state": "succeeded"})).await;
    assert_eq!(peer.look_up_refund(&again).await.state, RefundState::Succeeded);
    let mut kinds = peer.kinds(5).await;
    kinds.sort();
    let told = ["payment.succeeded", "refund.failed", "refund.pending", "refund.pending", "refund.succeeded"];
    assert_eq!(kinds, told);
}

#[tokio::test]
async fn a_refund_may_fail_at_once_and_a_repeat_says_the_same() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.captured().await;
    peer.faults(attempt.payment, json!({"refunds": "fail"})).await;
    let ask = new_refund(&new, &attempt, 2500);
    let failed = peer.client.refund(&ask).await.unwrap();
    assert_eq!((failed.state, failed.state_text.as_str()), (RefundState::Failed, "failed"));
    peer.done("DELETE", &format!("/dashboard/faults/{}", attempt.payment), json!({})).await;
    assert_eq!(peer.client.refund(&ask).await.unwrap(), failed);
    let another = peer.client.refund(&new_refund(&new, &attempt, 2500)).await.unwrap();
    assert_eq!(another.state, RefundState::Succeeded);
}

#[tokio::test]
async fn a_refund_from_the_dashboard_has_no_id_of_ours() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.captured().await;
    peer.events(1).await;
    let path = format!("/dashboard/payments/{}/refunds", attempt.provider_payment_id);
    peer.done("POST", &path, json!({"amount": 100})).await;
    let event = peer.events(2).await.remove(1);
    let Some(Notice::Refund { order, report: refund }) = event.notice else { panic!("tells of a refund") };
    assert_eq!((order, refund.refund, refund.money), (Some(new.order), None, eur(100)));
    let event_id = refund.event_id.clone();
    assert_eq!(RefundReport { event_id, ..peer.look_up_refund(&refund).await }, refund);
    let rest = peer.done("POST", &path, json!({})).await;
    assert_eq!(rest["amount"], 2400);
}

/// A bank takes a success back, and a failure is settled by hand, if what it was to give back is still there.
#[tokio::test]
async fn a_refund_may_come_to_another_end() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.captured().await;
    let made = peer.client.refund(&new_refund(&new, &attempt, 2000)).await.unwrap();
    let path = format!("/dashboard/refunds/{}/settle", made.provider_refund_id);
    assert_eq!(peer.call("POST", &path, json!({"state": "failed"})).await.0, 409);
    peer.done("POST", &path, json!({"state": "failed", "late": true})).await;
    assert_eq!(peer.look_up_refund(&made).await.state, RefundState::Failed);
    let instead = peer.client.refund(&new_refund(&new, &attempt, 1000)).await.unwrap();
    assert_eq!(peer.call("POST", &path, json!({"state": "succeeded", "late": true})).await.0, 409);
    let other = format!("/dashboard/refunds/{}/settle", instead.provider_refund_id);
    peer.done("POST", &other, json!({"state": "failed", "late": true})).await;
    peer.done("POST", &path, json!({"state": "succeeded", "late": true})).await;
    assert_eq!(peer.look_up_refund(&made).await.state, RefundState::Succeeded);
}

#[tokio::test]
async fn disputed_money_cannot_be_given_back_until_the_dispute_is_won() {
    let peer = Peer::start().await;
    let (new, attempt) = peer.captured().await;
    let path = format!("/dashboard/payments/{}/disputes", attempt.provider_payment_id);
    assert_eq!(peer.call("POST", &path, json!({"amount": 2501})).await.0, 409);
    let dispute = peer.done("POST", &path, json!({"amount": 2000})).await;
    assert_eq!((&dispute["state"], &dispute["amount"]), (&json!("open"), &json!(2000)));
    let above = peer.client.refund(&new_refund(&new, &attempt, 501)).await.unwrap_err();
    assert_eq!(code(above), "refund_above_captured");
    let close = format!("/dashboard/disputes/{}/close", dispute["id"].as_str().unwrap());
    peer.done("POST", &close, json!({"state": "won"})).await;
    peer.done("POST", &close, json!({"state": "won"})).await; // again: nothing new
    assert_eq!(peer.call("POST", &close, json!({"state": "lost"})).await.0, 409);
    peer.client.refund(&new_refund(&new, &attempt, 2500)).await.unwrap();
    let mut kinds = peer.kinds(4).await;
    kinds.sort();
    assert_eq!(kinds, ["dispute.closed", "dispute.created", "payment.succeeded", "refund.succeeded"]);
}
