//! A paid order that is not handed over can end: it is cancelled, or all of its money goes back.

use serde_json::{Value, json};

use crate::{
    harness::{Shop, documents::Order, wait_until},
    restock::nights,
    stays::code,
};

async fn paid(shop: &Shop, policy: Value) -> String {
    let mut policy = policy;
    policy["fulfilment"] = json!("manual");
    let id = shop.place_with(&[("tea", 3), ("mug", 1)], policy).await;
    shop.pay(&id).await;
    shop.until(&id, "paid").await;
    shop.until_mailed(&id, "paid").await;
    id
}

async fn shop() -> Shop {
    let shop = Shop::with_tea(10).await;
    shop.stock("mug", 900, 10).await;
    shop
}

#[tokio::test]
async fn a_paid_order_is_cancelled_refunded_and_restocked() {
    let shop = shop().await;
    let id = paid(&shop, json!({})).await;
    assert_eq!(shop.level("tea").await, (7, 0));
    let order = shop.cancel(&id).await.is(200);
    assert_eq!([&order.status, &order.close_reason], ["cancelled", "requested"]);
    assert_eq!(shop.level("tea").await, (10, 0));
    assert_eq!(shop.level("mug").await, (10, 0));
    shop.until_money(&id, "refunded").await;
    assert_eq!(shop.provider.balance(&id).await, (4650, 4650, 1));
    shop.temporal.until_closed(&id).await;
    wait_until("both mails went out", async || shop.mails(&id).await.len() == 3).await;
    shop.fulfil(&id).await.problem(409, "order_not_fulfillable");
    shop.cancel(&id).await.problem(409, "order_not_cancellable");
    assert_eq!(shop.api.list::<Order>("/v1/orders?status=paid").await.data, []);
    assert_eq!(shop.open_exceptions().await, [""; 0]);
    assert_eq!(shop.level("tea").await, (10, 0));
    shop.close();
}

#[tokio::test]
async fn a_stay_is_cancelled_free_until_so_long_before_it_begins() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let book = async |from: i64, free: Value| {
        let mut body = shop.stay_body("room", from, from + 2);
        body["policy"] = json!({"free_cancellation": free});
        let id = shop.try_place(&body).await.is(201).id;
        let mail = shop.pay_stay(&id).await;
        (id, code(&mail))
    };
    let (free, old_code) = book(10, json!("P2D")).await;
    assert_eq!(shop.cancel(&free).await.is(200).status, "cancelled");
    shop.until_money(&free, "refunded").await;
    assert_eq!(shop.nights("room", 10, 12).await, [(0, 0), (0, 0)]);
    shop.check_in(&free, &old_code).await.problem(409, "check_in_not_possible");
    // The room is sold again, to other guests.
    let (_, _) = book(10, json!("P2D")).await;

    let (late, _) = book(3, json!("P5D")).await;
    let problem = shop.cancel(&late).await.problem(409, "cancellation_closed");
    assert!(problem.closed_at.is_some(), "{problem:?}");
    let path = format!("/v1/orders/{late}/cancel");
    shop.api.post(&path, &json!({"force": true, "reason": "the roof leaks"})).await.is(200);
    shop.until_money(&late, "refunded").await;
    assert_eq!(shop.nights("room", 3, 5).await, [(0, 0), (0, 0)]);

    // Guests who gave their first night back arrive a day later, and so ends their time to cancel.
    let (later, _) = book(6, json!("P6D")).await;
    shop.cancel(&later).await.problem(409, "cancellation_closed");
    shop.bring_back(&later, json!([nights("room", 6, 7)])).await.is(201);
    shop.until_back(&later, 1).await;
    shop.cancel(&later).await.is(200);
    shop.until_money(&later, "refunded").await;
    assert_eq!(shop.nights("room", 6, 8).await, [(0, 0), (0, 0)]);

    // Those who gave all their nights back for part of the money cannot cancel for the rest of it.
    let (gone, _) = book(8, json!("P30D")).await;
    let most = json!({"reason": "x", "amount": 1, "restock": true});
    shop.ask_refund(&gone, &most).await.is(201);
    shop.until_back(&gone, 1).await;
    shop.cancel(&gone).await.problem(409, "cancellation_closed");

    let mut body = shop.stay_body("room", 5, 6);
    body["policy"] = json!({"free_cancellation": "soon"});
    assert_eq!(shop.try_place(&body).await.bad_fields(), ["policy.free_cancellation"]);
    shop.close();
}

#[tokio::test]
async fn an_order_whose_money_all_went_back_ends() {
    let shop = shop().await;
    // In parts, by the API; and all at once, in the provider's dashboard.
    let by_parts = paid(&shop, json!({})).await;
    for amount in [650, 2000] {
        shop.refund(&by_parts, json!({"amount": amount, "reason": "scratched"})).await;
        shop.until_money(&by_parts, "partially_refunded").await;
    }
    assert_eq!(shop.order(&by_parts).await.status, "paid");
    shop.refund(&by_parts, json!({"reason": "never mind"})).await;
    let by_hand = paid(&shop, json!({})).await;
    shop.refund_in_dashboard(&by_hand, 4650).await;
    for id in [&by_parts, &by_hand] {
        let order = shop.until(id, "cancelled").await;
        assert_eq!([&order.close_reason, &order.payment_status], ["refunded", "refunded"]);
        shop.fulfil(id).await.problem(409, "order_not_fulfillable");
        shop.temporal.until_closed(id).await;
        let mails = shop.until_mailed(id, "cancelled").await;
        assert!(!mails.iter().any(|mail| mail == "completed"), "{mails:?}");
    }
    assert_eq!(shop.level("tea").await, (10, 0));
    shop.close();
}
