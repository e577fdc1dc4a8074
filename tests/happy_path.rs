//! One order from the shelf to its end.

use prost::Message as _;
use serde_json::json;

use crate::harness::{NAME, SOLD, Shop};

/// What its documents and its mail say, whole, is in `snapshots.rs`.
#[tokio::test]
async fn an_order_is_placed_paid_and_completed() {
    let shop = Shop::with_tea(10).await;
    shop.stock("mug", 990, 10).await;
    let placed = shop.try_place(&shop.order_body(&[("tea", 2), ("mug", 1)])).await;
    let order = placed.is(201);
    let id = order.id.as_str();
    assert_eq!(placed.header("location"), Some(format!("/v1/orders/{id}").as_str()));
    assert!(!placed.is_replayed());
    assert_eq!(order.total, 2 * 1250 + 990);
    assert_eq!(order.payment_due_at.duration_since(order.placed_at).as_hours(), 24);
    assert_eq!(shop.level("tea").await, (10, 2));
    shop.until_told(id, "workflow.started").await;

    shop.pay(id).await;
    let paid = shop.until(id, "completed").await;
    assert_eq!(paid.payment_status, "paid");
    assert!(paid.paid_at.unwrap() >= order.placed_at);
    assert_eq!(paid.closed_at, paid.paid_at);
    assert_eq!((shop.level("tea").await, shop.level("mug").await), ((8, 0), (9, 0)));
    assert_eq!(shop.until_told(id, "mail.sent").await, SOLD);
    let mails = shop.mails(id).await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to, shop.email);
    let id_of_mail = &mails[0].message_id;
    assert!(id_of_mail.starts_with(&format!("{id}.paid.")) && id_of_mail.ends_with("@shop.test"));
    shop.close();
}

/// With payloads in clear, so that nothing hides in them.
#[tokio::test]
async fn the_engine_keeps_few_events_and_nothing_personal() {
    let shop = Shop::in_clear().await;
    shop.stock("tea", 1250, 10).await;
    let id = shop.place_started(&[("tea", 1)]).await;
    assert_eq!(shop.temporal.history(&id).await.len(), 1, "it sleeps before its first task");
    shop.pay(&id).await;
    shop.temporal.until_closed(&id).await;

    let history = shop.temporal.history(&id).await;
    assert!(history.len() <= 10, "{} events", history.len());
    let mut kept = shop.temporal.describe(&id).await.into_raw().encode_to_vec();
    history.iter().for_each(|event| kept.extend(event.encode_to_vec()));
    let kept = String::from_utf8_lossy(&kept);
    for personal in [&shop.email, NAME, "Zaphod"] {
        assert!(!kept.contains(personal), "`{personal}` is in:\n{kept}");
    }
    for needed in ["cust-42", "sandbox", "completed"] {
        assert!(kept.contains(needed), "`{needed}` is not in:\n{kept}");
    }
    shop.close();
}

/// Names come from outside: in HTML they are text, in plain text they are themselves.
#[tokio::test]
async fn a_mail_shows_names_as_they_are() {
    let shop = Shop::open().await;
    let product = json!({"name": "<b>Tea</b> & \"co\"", "unit_price": 100, "currency": "JPY"});
    shop.put_product("tea", &product).await.is(201);
    shop.adjust("tea", 1).await.is(201);
    let mut body = shop.order_body(&[("tea", 1)]);
    body["currency"] = json!("JPY");
    body["customer"]["name"] = json!("Zoë <script>");
    body["customer"]["time_zone"] = json!(null);
    let id = shop.try_place(&body).await.is(201).id;
    shop.pay(&id).await;
    let mail = shop.mail(&id, "paid").await;
    assert!(mail.text.contains("Hello Zoë <script>") && mail.text.contains("<b>Tea</b> & \"co\": ¥100"));
    assert!(!mail.html.contains("<script>") && !mail.html.contains("<b>Tea"), "{}", mail.html);
    assert!(mail.html.contains("Zoë ") && mail.html.contains("¥100"), "{}", mail.html);
    shop.close();
}
