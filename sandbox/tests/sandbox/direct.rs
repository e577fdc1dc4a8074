//! Payments without an attempt: the webhook is sent once, before the answer.

use domain::{money::Currency, provider_event::Notice};
use providers::{
    Error,
    sandbox::{Outcome, Pay},
};
use serde_json::{Value, json};

use crate::harness::{Peer, eur, order_id};

fn pay(event_id: Option<&str>) -> Pay {
    let event_id = event_id.map(str::to_owned);
    Pay { order: order_id(), money: eur(700), event_id, outcome: Outcome::Succeeded, at: None }
}

#[tokio::test]
async fn one_event_is_one_payment_and_the_same_again_is_the_same() {
    let peer = Peer::start().await;
    let first = pay(Some("evt_one"));
    let paid = peer.client.pay(&first).await.unwrap();
    assert_eq!((paid.event_id.as_str(), paid.provider_payment_id.as_str()), ("evt_one", "sandbox_one"));
    assert_eq!((paid.money, paid.outcome, paid.webhook_status), (eur(700), Outcome::Succeeded, Some(200)));
    assert_eq!(peer.endpoint.so_far(), 1);

    let again = Pay { outcome: Outcome::Failed, money: eur(1), ..first.clone() };
    assert_eq!(peer.client.pay(&again).await.unwrap(), paid);
    let events = peer.events(2).await;
    assert_eq!(events[0], events[1]);
    let Some(Notice::Payment { order, report }) = &events[0].notice else { panic!("tells of a payment") };
    assert_eq!(
        (*order, report.money, report.payment_id.as_str()),
        (Some(first.order), eur(700), "sandbox_one")
    );

    let payment = peer.done("GET", "/v1/payments/sandbox_one", Value::Null).await;
    assert_eq!(payment["state"], "succeeded");
}

#[tokio::test]
async fn the_answer_has_the_shape_that_clients_know() {
    let peer = Peer::start().await;
    let ask =
        json!({"order_id": "ord_1", "amount": 5, "currency": "USD", "event_id": "e", "outcome": "failed"});
    let answer = peer.done("POST", "/payer/pay", ask).await;
    let expected = json!({
        "object": "sandbox_payment", "order_id": "ord_1", "event_id": "e", "payment_id": "sandbox_e",
        "amount": 5, "currency": "USD", "outcome": "failed", "webhook_status": 200,
    });
    assert_eq!(answer, expected);
    let (_, body) = peer.endpoint.webhooks(1).await.remove(0);
    let data = json!({"order_id": "ord_1", "payment_id": "sandbox_e", "amount": 5, "currency": "USD"});
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body, json!({"type": "payment.failed", "data": data}));
}

#[tokio::test]
async fn the_webhooks_status_is_told_and_it_is_sent_only_once() {
    let peer = Peer::start().await;
    peer.endpoint.answer(&[503]);
    let ask = pay(None);
    let paid = peer.client.pay(&ask).await.unwrap();
    assert_eq!(paid.webhook_status, Some(503));
    let deliveries = peer.deliveries(ask.order).await;
    assert_eq!((&deliveries[0]["state"], &deliveries[0]["tries"]), (&json!("given_up"), &json!(1)));

    peer.sandbox.send_webhooks_to("http://127.0.0.1:1/nobody".to_owned());
    let gone = peer.client.pay(&pay(Some("evt_gone"))).await.unwrap_err();
    assert!(matches!(gone, Error::Unavailable(_)));
    let payment = peer.done("GET", "/v1/payments/sandbox_gone", Value::Null).await;
    assert_eq!(payment["state"], "succeeded");
}

#[tokio::test]
async fn a_webhook_kept_back_has_no_status() {
    let peer = Peer::start().await;
    let ask = pay(None);
    peer.faults(ask.order, json!({"webhooks": "hold", "capture": "fail"})).await;
    let paid = peer.client.pay(&ask).await.unwrap();
    assert_eq!((paid.webhook_status, paid.outcome), (None, Outcome::Failed));
    let invalid = Pay { event_id: Some("a b".to_owned()), ..pay(None) };
    assert!(matches!(peer.client.pay(&invalid).await, Err(Error::Refused { .. })));
    let usd = Pay { money: domain::money::Money::new(1, Currency::parse("USD").unwrap()), ..pay(None) };
    assert_eq!(peer.client.pay(&usd).await.unwrap().money, usd.money);
}
