//! The webhook's door: what is let in, and what is not.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{
    Shop, wait_until,
    webhook::{Webhook, paid},
};

#[tokio::test]
async fn what_is_not_genuine_is_refused_and_leaves_no_trace() {
    let shop = Shop::with_tea(10).await;
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
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    // Nothing was stored under its id: the genuine one is still news.
    good.send(&shop.api).await.is(200);
    shop.until(&id, "completed").await;
    assert_eq!(shop.payments(&id).await.len(), 1);
    shop.close();
}

/// Old and new signature side by side, as while a secret is changed.
#[tokio::test]
async fn one_right_signature_among_several_is_enough() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let mut webhook = Webhook::new(&paid(&id, 1250));
    webhook.signature = webhook.signature.map(|right| format!("v1,AAAA v1a,xyz {right}"));
    webhook.send(&shop.api).await.is(200);
    shop.until(&id, "completed").await;
    shop.close();
}

/// Kept, and an exception each; not refused, since the provider would send the same for ever.
#[tokio::test]
async fn genuine_events_that_we_cannot_read_are_exceptions() {
    let shop = Shop::open().await;
    let data = |field: &str, value: Value| {
        let mut data = json!({"order_id": "ord_1", "payment_id": "p", "provider_refund_id": "r",
                              "amount": 12, "currency": "EUR"});
        data[field] = value;
        data
    };
    let mut unreadable: Vec<Vec<u8>> = [
        json!("a string"),
        json!({"data": {}}),
        json!({"type": "payment.succeeded"}),
        json!({"type": "nul\0", "data": {}}),
        json!({"type": "x".repeat(200), "data": {}}),
    ]
    .map(|body| body.to_string().into_bytes())
    .into();
    for (field, value) in [
        ("amount", json!("12")),
        ("amount", json!(0)),
        ("amount", json!(-1)),
        ("amount", json!(1.5)),
        ("amount", json!(1_u64 << 53)),
        ("amount", json!(i64::MAX)),
        ("currency", json!("\u{20ac}")),
        ("currency", json!("XXY")),
        ("currency", json!("eur")),
        ("payment_id", json!("")),
        ("payment_id", json!("p".repeat(256))),
        ("payment_id", json!("nul\0")),
        ("payment_id", json!(null)),
    ] {
        for kind in ["payment.succeeded", "refund.succeeded"] {
            let body = json!({"type": kind, "data": data(field, value.clone())});
            unreadable.push(body.to_string().into_bytes());
        }
    }
    unreadable.extend([b"not json".to_vec(), b"\xff\xfe".to_vec(), Vec::new(), b"[".repeat(5_000)]);
    for (i, body) in unreadable.iter().enumerate() {
        let webhook = Webhook::raw(body.clone());
        for _ in 0..2 {
            webhook.send(&shop.api).await.is(200);
        }
        assert_eq!(shop.open_exceptions().await.len(), i + 1, "{}", String::from_utf8_lossy(body));
    }
    assert!(shop.open_exceptions().await.iter().all(|kind| kind == "unreadable_event"));

    let last = shop.list_exceptions("state=open&limit=1").await.remove(0);
    assert!(last.event["id"].as_str().unwrap().starts_with("evt_"), "{last:?}");
    assert!(!last.event["detail"].as_str().unwrap().is_empty(), "{last:?}");
    assert_eq!((last.amount, last.currency.as_str(), last.order_id.as_str()), (0, "", ""));
    let answer = shop.resolve(&last, "refund").await;
    assert!(answer.status.is_client_error(), "there is nothing to refund: {answer:?}");
    assert_eq!(shop.resolve(&last, "dismiss").await.is(200).state, "resolved");

    // A type of tomorrow is none of our business yet.
    let known = shop.open_exceptions().await.len();
    Webhook::new(&json!({"type": "weather.changed", "data": {"any": 1}})).send(&shop.api).await.is(200);
    assert_eq!(shop.open_exceptions().await.len(), known);
    shop.close();
}

#[tokio::test]
async fn money_for_an_order_that_nobody_knows_is_an_exception() {
    let shop = Shop::open().await;
    for order in ["ord_01920000000070008000000000000000", "order-7 of another shop", "nul\0"] {
        let known = shop.open_exceptions().await.len();
        Webhook::new(&paid(order, 500)).send(&shop.api).await.is(200);
        wait_until("the exception", async || shop.open_exceptions().await.len() > known).await;
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
