//! One order from the shelf to its end.

use serde_json::json;

use crate::harness::{Shop, eventually, time};

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
    assert_eq!(shop.level("tea").await, (10, 2));
    let (placed_at, due) = (time(&order, "placed_at"), time(&order, "payment_due_at"));
    assert_eq!(due.duration_since(placed_at).as_hours(), 24);
    let mut customer = body["customer"].clone();
    customer["locale"] = json!(null);
    let expected = json!({
        "object": "order",
        "id": id,
        "status": "awaiting_payment",
        "payment_status": "unpaid",
        "currency": "EUR",
        "total": 2 * 1250 + 990,
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
        "metadata": {"basket": "b-7"},
        "workflow": {"id": id, "url": format!("http://ui.test/namespaces/default/workflows/{id}")},
    });
    assert_eq!(order, expected);
    shop.until_told(id, "workflow.started").await;
    assert_eq!(shop.order(id).await, expected);

    shop.pay(id).await;
    let order = shop.until(id, "completed").await;
    assert_eq!(order["payment_status"], "paid");
    assert!(time(&order, "paid_at") >= placed_at && time(&order, "closed_at") >= time(&order, "paid_at"));
    assert_eq!(shop.level("tea").await, (8, 0));
    assert_eq!(shop.level("mug").await, (9, 0));
    shop.close();
}
