//! The webhook's door: what is let in, and what is not.

use jiff::Timestamp;
use serde_json::json;

use crate::harness::{
    Shop, eventually,
    webhook::{Webhook, paid},
};

#[tokio::test]
async fn what_is_not_genuine_is_refused_and_leaves_no_trace() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let good = Webhook::new(&paid(&id, 1250));
    let now = Timestamp::now().as_second();
    let spoiled = |spoil: &dyn Fn(&mut Webhook)| {
        let mut webhook = good.clone();
        spoil(&mut webhook);
        webhook
    };
    let at = |seconds| Webhook { id: good.id.clone(), ..Webhook::at(seconds, good.body.clone()) };
    let refused = [
        ("a changed body", spoiled(&|w| w.body.push(b' '))),
        ("a changed id", spoiled(&|w| w.id = Some("evt_other".into()))),
        ("no signature", spoiled(&|w| w.signature = None)),
        ("no id", spoiled(&|w| w.id = None)),
        ("no timestamp", spoiled(&|w| w.timestamp = None)),
        ("a timestamp that is none", spoiled(&|w| w.timestamp = Some("soon".into()))),
        (
            "another version of signature",
            spoiled(&|w| w.signature = w.signature.as_ref().map(|s| s.replace("v1,", "v2,"))),
        ),
        ("a signature that is none", spoiled(&|w| w.signature = Some("v1,%%%".into()))),
        ("an old timestamp", at(now - 3600)),
        ("a future timestamp", at(now + 3600)),
        ("a rubbish body", spoiled(&|w| w.body = b"\xff\x00{".to_vec())),
    ];
    for (what, webhook) in refused {
        let problem = webhook.send(&shop.api).await;
        assert_eq!(problem.status, 400, "{what}");
        problem.problem(400, "bad_signature");
    }
    assert_eq!(shop.order(&id).await["status"], "awaiting_payment");
    // Nothing was stored under its id: the genuine one is still news.
    good.send(&shop.api).await.is(200);
    shop.until(&id, "completed").await;
    assert_eq!(shop.payments(&id).await.len(), 1);
    shop.close();
}

/// Old and new signature side by side, as while a secret is changed.
#[tokio::test]
async fn one_right_signature_among_several_is_enough() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let mut webhook = Webhook::new(&paid(&id, 1250));
    webhook.signature = webhook.signature.map(|right| format!("v1,AAAA v1a,xyz {right}"));
    webhook.send(&shop.api).await.is(200);
    shop.until(&id, "completed").await;
    shop.close();
}

#[tokio::test]
async fn genuine_events_that_we_cannot_use() {
    let shop = Shop::open().await;
    let malformed = [
        json!("a string"),
        json!({"data": {}}),
        json!({"type": "payment.succeeded"}),
        json!({"type": "payment.succeeded", "data": {"order_id": "ord_1", "payment_id": "p", "amount": "12", "currency": "EUR"}}),
        json!({"type": "payment.succeeded", "data": {"order_id": "ord_1", "payment_id": "", "amount": 1, "currency": "EUR"}}),
        json!({"type": "payment.succeeded", "data": {"order_id": "ord_1", "payment_id": "p", "amount": 1, "currency": "€"}}),
        json!({"type": "nul\0", "data": {}}),
    ];
    for body in malformed {
        Webhook::new(&body).send(&shop.api).await.problem(400, "malformed_event");
    }
    Webhook::raw(b"not json".to_vec()).send(&shop.api).await.problem(400, "malformed_event");
    // A type of tomorrow is none of our business yet.
    Webhook::new(&json!({"type": "dispute.opened", "data": {"any": 1}})).send(&shop.api).await.is(200);
    assert!(shop.open_exceptions().await.is_empty());
    shop.close();
}

#[tokio::test]
async fn money_for_an_order_that_nobody_knows_is_an_exception() {
    let shop = Shop::open().await;
    for order in ["ord_01920000000070008000000000000000", "order-7 of another shop", "nul\0"] {
        let known = shop.open_exceptions().await.len();
        Webhook::new(&paid(order, 500)).send(&shop.api).await.is(200);
        eventually("the exception", async || (shop.open_exceptions().await.len() > known).then_some(()))
            .await;
    }
    assert_eq!(shop.open_exceptions().await, ["unknown_order"; 3]);
    shop.close();
}

#[tokio::test]
async fn strangers_and_floods_are_turned_away() {
    let shop = Shop::open().await;
    let mut webhook = Webhook::new(&json!({"type": "x", "data": {}}));
    webhook.provider = "nobody".into();
    webhook.send(&shop.api).await.problem(404, "provider_not_found");
    Webhook::raw(vec![b' '; 300 * 1024]).send(&shop.api).await.problem(413, "payload_too_large");
    shop.close();
}
