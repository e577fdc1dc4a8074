//! Whatever somebody asked of an order is on its timeline with who that was, as far as that is anybody's.

use jiff::SignedDuration;
use serde_json::json;

use crate::{
    accounts::Person,
    api_keys::key,
    harness::{
        Api, Shop,
        documents::{Entry, List, Order},
    },
};

/// What was asked for, and by whom.
fn asked(timeline: List<Entry>) -> Vec<(String, String)> {
    timeline.data.into_iter().filter_map(|entry| Some((entry.kind, entry.by?))).collect()
}

async fn asked_of(api: &Api, order: &Order) -> Vec<(String, String)> {
    let timeline = api.list(&format!("/v1/orders/{}/timeline", order.id)).await;
    asked(timeline)
}

fn by(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    entries.iter().map(|(kind, by)| ((*kind).to_owned(), (*by).to_owned())).collect()
}

const SCOPES: &[&str] = &["orders:read", "orders:write", "payments:read", "payments:write"];

#[tokio::test]
async fn of_changes_the_timeline_tells_a_customer_only_of_their_own() {
    let shop = Shop::with_tea(5).await;
    let (_, till) = key(&shop.api, "till", SCOPES).await;
    let (_, _, ann) = Person::signed_in(&shop).await;
    let body = json!({"currency": "EUR", "lines": [{"sku": "tea", "quantity": 1}]});
    let order: Order = ann.post_as("k", "/v1/orders", &body).await.of().is(201);
    let due = json!({"payment_due_at": order.payment_due_at + SignedDuration::from_hours(1)});
    till.post(&format!("/v1/orders/{}/extend", order.id), &due).await.is(200);
    ann.post(&format!("/v1/orders/{}/cancel", order.id), &json!({})).await.is(200);
    let ended = [("order.cancelled", "customer"), ("stock.released", "customer")];
    let all = by(&[&[("order.extended", "till")], &ended[..]].concat());
    assert_eq!(asked_of(&shop.api, &order).await, all);
    assert_eq!(asked_of(&ann, &order).await, by(&ended));
    shop.close();
}

#[tokio::test]
async fn a_decided_exception_says_which_key_it_was() {
    let shop = Shop::with_tea(5).await;
    let (_, till) = key(&shop.api, "till", SCOPES).await;
    let order = shop.order(&shop.place(&[("tea", 1)]).await).await;
    shop.pay_with(&order.id, json!({"amount": 100})).await;
    let exception = shop.until_exception(&order.id, "wrong_amount").await;
    let decision = json!({"action": "accept", "note": "kept"});
    till.post(&format!("/v1/exceptions/{}/resolve", exception.id), &decision).await.is(200);
    assert_eq!(asked_of(&shop.api, &order).await, by(&[("exception.resolved", "till")]));
    shop.close();
}

#[tokio::test]
async fn refunds_and_deliveries_say_which_key_it_was() {
    let shop = Shop::with_tea(5).await;
    let (_, till) = key(&shop.api, "till", SCOPES).await;
    let mut body = shop.order_body(&[("tea", 2)]);
    body["policy"] = json!({"fulfilment": "manual"});
    let order = shop.try_place(&body).await.is(201);
    shop.pay(&order.id).await;
    shop.until(&order.id, "paid").await;
    let refund = json!({"amount": 1250, "reason": "one is broken"});
    till.post_as("r", &format!("/v1/orders/{}/refunds", order.id), &refund).await.is(201);
    shop.until_refunds(&order.id, &["succeeded"]).await;
    shop.fulfil(&order.id).await.is(200);
    let all = by(&[("refund.requested", "till"), ("order.completed", "api")]);
    assert_eq!(asked_of(&shop.api, &order).await, all);
    shop.close();
}
