//! The provider's books, page by page.

use domain::Timestamp;
use domain::statement::LineKind;
use providers::{Error, Provider as _};
use serde_json::{Value, json};

use crate::harness::{Peer, eur, new_refund};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[tokio::test]
async fn captures_and_refunds_are_told_by_the_time_they_were_booked() {
    let peer = Peer::start().await;
    peer.faults("", json!({"fee": {"basis_points": 140, "fixed": 25}})).await;
    let (new, attempt) = peer.open().await;
    peer.capture(&attempt, json!({"amount": 2599, "at": "2020-05-02T10:00:00Z"})).await;
    let by_hand = format!("/dashboard/payments/{}/refunds", attempt.provider_payment_id);
    peer.done("POST", &by_hand, json!({"amount": 9, "at": "2020-05-03T00:00:00Z"})).await;
    let ours = peer.client.refund(&new_refund(&new, &attempt, 100)).await.unwrap();
    peer.faults(new.order, json!({"refunds": "fail"})).await;
    peer.client.refund(&new_refund(&new, &attempt, 100)).await.unwrap();
    peer.open().await; // moves nothing

    let all =
        peer.client.statement(at("2020-05-02T10:00:00Z"), at("2100-01-01T00:00:00Z")).await.unwrap().lines;
    assert_eq!(all.iter().map(|it| it.money).collect::<Vec<_>>(), [eur(2599), eur(9), eur(100)]);
    assert!(all.iter().all(|it| it.order == Some(new.order)));
    assert_eq!((all[0].fee, all[1].fee), (Some(36 + 25), None)); // 1.4 % of 25.99 is 0.36386
    assert!(all.iter().all(|it| it.provider_payment_id == attempt.provider_payment_id));
    assert_eq!(all[0].kind, LineKind::Captured);
    assert!(matches!(all[1].kind, LineKind::Refunded { refund: None, .. }));
    let kind = LineKind::Refunded { refund: ours.refund, provider_refund_id: ours.provider_refund_id };
    assert_eq!(all[2].kind, kind);

    let day =
        peer.client.statement(at("2020-05-02T10:00:01Z"), at("2020-05-03T00:00:00Z")).await.unwrap().lines;
    assert_eq!(day, []); // the end is not in it
    peer.faults("", json!({"outage": {"answer": "unavailable", "calls": 1}})).await;
    let out = peer.client.statement(at("2020-05-02T10:00:01Z"), at("2020-05-03T00:00:00Z")).await;
    assert!(matches!(out, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn pages_join_without_gap_or_repeat() {
    let peer = Peer::start().await;
    peer.faults("", json!({"webhooks": "lose"})).await;
    for number in 0..7 {
        let at = format!("2020-01-01T00:00:0{}Z", number / 3); // some at the same time
        let pay = json!({"order_id": "o", "amount": number + 1, "currency": "EUR", "at": at});
        peer.done("POST", "/payer/pay", pay).await;
    }
    let range = "/v1/movements?from=2020-01-01T00:00:00Z&until=2021-01-01T00:00:00Z";
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = peer.done("GET", &format!("{range}&limit=2{after}"), Value::Null).await;
        seen.extend(page["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let whole = peer.done("GET", range, Value::Null).await;
    let whole: Vec<_> =
        whole["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!((seen.len(), seen), (7, whole.into_iter().map(str::to_owned).collect()));
    for spoiled in ["&limit=0", "&limit=1001", "&after=x", "&what=1"] {
        assert_eq!(peer.call("GET", &format!("{range}{spoiled}"), Value::Null).await.0, 422, "{spoiled}");
    }
}

/// More than the client asks for at once.
#[tokio::test]
async fn the_client_reads_every_page() {
    let peer = Peer::start().await;
    peer.faults("", json!({"webhooks": "lose"})).await;
    for _ in 0..1003 {
        let pay = json!({"order_id": "o", "amount": 1, "currency": "EUR"});
        peer.done("POST", "/payer/pay", pay).await;
    }
    let all = peer.client.statement(Timestamp::UNIX_EPOCH, Timestamp::MAX).await.unwrap().lines;
    assert_eq!(all.len(), 1003);
}
