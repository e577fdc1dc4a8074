//! One order from the shelf to its end.

use prost::Message as _;
use serde_json::{Value, json};

use crate::harness::{Mail, NAME, Setup, Shop, time};

#[tokio::test]
async fn an_order_is_placed_paid_and_completed() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 10).await;
    shop.stock("mug", 990, 10).await;

    let mut body = shop.order_body(&[("tea", 2), ("mug", 1)]);
    body["metadata"] = json!({"basket": "b-7"});
    let placed = shop.try_place(&body).await;
    let order = placed.is(201);
    let id = order["id"].as_str().unwrap();
    assert_eq!(placed.header("location"), Some(format!("/v1/orders/{id}").as_str()));
    assert_eq!(placed.header("idempotent-replayed"), None);
    assert_eq!(order, expected(&order, &body));
    assert_eq!(shop.level("tea").await, (10, 2));
    shop.until_told(id, "workflow.started").await;

    shop.pay(id).await;
    let paid = shop.until(id, "completed").await;
    assert_eq!(paid["payment_status"], "paid");
    assert!(time(&paid, "paid_at") >= time(&order, "placed_at"));
    assert_eq!(paid["closed_at"], paid["paid_at"]);
    assert_eq!((shop.level("tea").await, shop.level("mug").await), ((8, 0), (9, 0)));
    let story = shop.until_told(id, "mail.sent").await;
    let expected = [
        "order.placed",
        "stock.held",
        "workflow.started",
        "payment.received",
        "order.paid",
        "stock.committed",
        "order.completed",
        "mail.sent",
    ];
    assert_eq!(story, expected);
    let mails = shop.mails(id).await;
    assert_eq!(mails.len(), 1);
    check_paid_mail(&shop, &mails[0], &paid);
    shop.close();
}

/// The whole document, but for what only the server can know.
fn expected(order: &Value, body: &Value) -> Value {
    let (id, placed_at, due) = (&order["id"], time(order, "placed_at"), time(order, "payment_due_at"));
    assert_eq!(due.duration_since(placed_at).as_hours(), 24);
    let mut customer = body["customer"].clone();
    customer["locale"] = json!(null);
    json!({
        "object": "order",
        "id": id,
        "status": "awaiting_payment",
        "payment_status": "unpaid",
        "currency": "EUR",
        "total": 2 * 1250 + 990,
        "amount_paid": 0,
        "amount_due": 2 * 1250 + 990,
        "lines": [
            {"sku": "mug", "name": "Nice mug", "quantity": 1, "unit_price": 990, "amount": 990},
            {"sku": "tea", "name": "Nice tea", "quantity": 2, "unit_price": 1250, "amount": 2500},
        ],
        "customer": customer,
        "placed_at": placed_at,
        "payment_due_at": due,
        "paid_at": null,
        "closed_at": null,
        "close_reason": null,
        "payment_method": "sandbox",
        "metadata": {"basket": "b-7"},
        "workflow": {
            "id": id,
            "url": format!("http://ui.test/namespaces/default/workflows/{}", id.as_str().unwrap()),
        },
    })
}

fn check_paid_mail(shop: &Shop, mail: &Mail, order: &Value) {
    let id = order["id"].as_str().unwrap();
    assert_eq!(mail.to, shop.email);
    assert_eq!(mail.message_id, format!("{id}.paid@shop.test"));
    assert!(mail.subject.contains(id), "{}", mail.subject);
    let vienna = time(order, "payment_due_at").in_tz("Europe/Vienna").unwrap();
    let due = vienna.strftime("%A, %-d %B %Y, %H:%M %:z (Europe/Vienna)").to_string();
    for part in [&mail.text, &mail.html] {
        for said in [NAME, id, "Nice tea", "25.00 EUR", "Nice mug", "9.90 EUR", "34.90 EUR"] {
            assert!(part.contains(said), "`{said}` is missing in:\n{part}");
        }
        assert!(!part.contains("due") && !part.contains(&due), "nothing is due any more:\n{part}");
    }
}

/// With payloads in clear, so that nothing hides in them.
#[tokio::test]
async fn the_engine_keeps_few_events_and_nothing_personal() {
    let shop = Shop::with(Setup { without_payload_key: true, ..Setup::default() }).await;
    shop.stock("tea", 1250, 10).await;
    let id = shop.place(&[("tea", 1)]).await;
    shop.until_told(&id, "workflow.started").await;
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
    shop.api.put("/v1/products/tea", &product).await.is(201);
    shop.adjust("tea", 1).await.is(201);
    let mut body = shop.order_body(&[("tea", 1)]);
    body["currency"] = json!("JPY");
    body["customer"]["name"] = json!("Zoë <script>");
    body["customer"]["time_zone"] = json!(null);
    let order = shop.try_place(&body).await.is(201);
    let id = order["id"].as_str().unwrap();
    shop.pay(id).await;
    shop.until_mailed(id, "paid").await;
    let mail = &shop.mails(id).await[0];
    assert!(mail.text.contains("Hello Zoë <script>") && mail.text.contains("<b>Tea</b> & \"co\": 100 JPY"));
    assert!(!mail.html.contains("<script>") && !mail.html.contains("<b>Tea"), "{}", mail.html);
    assert!(mail.html.contains("Zoë ") && mail.html.contains("100 JPY"), "{}", mail.html);
    shop.close();
}
