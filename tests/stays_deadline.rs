//! A stay has to be paid before its first night: the deadline, its grace and its extensions know of it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde_json::{Value, json};

use crate::{
    harness::{
        Shop,
        documents::Order,
        webhook::{Webhook, paid},
    },
    stays::{day, midnight},
};

impl Shop {
    /// Books these nights under a policy; gives the order.
    async fn book_with(&self, from: i64, to: i64, policy: Value) -> Order {
        let mut body = self.stay_body("room", from, to);
        body["policy"] = policy;
        self.try_place(&body).await.is(201)
    }

    /// Skips the order's time until just after `to`.
    async fn skip_to(&self, id: &str, to: Timestamp) {
        let left = to.duration_since(Timestamp::now()) + SignedDuration::from_mins(1);
        self.fast_forward(id, &left.to_string()).await;
    }
}

#[tokio::test]
async fn what_begins_tonight_can_be_paid_tonight_and_not_tomorrow() {
    let shop = Shop::open().await;
    shop.rooms("room", 5).await;
    shop.offer("room", 0, 1, json!({"capacity": 5})).await.is(200);
    let tonight = midnight(day(1));
    for policy in [json!(null), json!({"payment_window": "P90D", "grace": "PT24H"})] {
        let order = shop.book_with(0, 2, policy).await;
        assert_eq!(order.payment_due_at, tonight, "{order:?}");
    }
    // A shorter window is the shop's own wish; and a long one ends with the day of arrival, too.
    let order = shop.book_with(0, 2, json!({"payment_window": "PT1S", "reminders": []})).await;
    assert_eq!(order.payment_due_at, (order.placed_at + 1.seconds()).min(tonight));
    let order = shop.book_with(3, 5, json!({"payment_window": "P90D"})).await;
    assert_eq!(order.payment_due_at, midnight(day(4)));
    // With other things in the order, and with another stay after it.
    shop.stock("tea", 1250, 10).await;
    let mut body = shop.stay_body("room", 0, 1);
    body["lines"].as_array_mut().unwrap().push(json!({"sku": "tea", "quantity": 1}));
    assert_eq!(shop.try_place(&body).await.is(201).payment_due_at, tonight);

    // It can be paid before; the answer of then is repeated.
    let body = shop.stay_body("room", 0, 1);
    let first = shop.try_place_as("k", &body).await;
    let id = first.is(201).id;
    shop.pay(&id).await;
    shop.until(&id, "paid").await;
    assert_eq!(shop.try_place_as("k", &body).await.body, first.body);
    shop.close();
}

#[tokio::test]
async fn an_unpaid_stay_expires_when_its_day_of_arrival_ends_and_money_after_that_is_late() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    shop.offer("room", 0, 1, json!({"capacity": 1})).await.is(200);
    let policy = json!({"grace": "PT24H", "late_payment": "reinstate"});
    let order = shop.book_with(0, 2, policy).await;
    let id = order.id.as_str();
    let due = order.payment_due_at;
    shop.until_told(id, "workflow.started").await;
    shop.skip_to(id, due).await;
    let expired = shop.until(id, "expired").await;
    let closed = expired.closed_at.unwrap();
    assert!(closed >= due && closed < due + 1.hours(), "the grace ends there, too: {expired:?}");
    let reminders = [4, 12, 22].iter().filter(|h| order.placed_at + h.hours() < due).count();
    let sent = shop.until_mailed(id, "expired").await;
    assert_eq!(sent.len(), reminders + 1, "{sent:?}");
    assert_eq!(shop.nights("room", 0, 2).await, [(0, 0), (0, 0)]);

    shop.pay(id).await;
    shop.until_told(id, "payment.refunded").await;
    assert_eq!(shop.exceptions(id).await, ["order_closed"]);
    shop.close();
}

#[tokio::test]
async fn an_extension_ends_with_the_day_of_arrival_too() {
    let shop = Shop::open().await;
    shop.rooms("room", 5).await;
    let order = shop.book_with(3, 5, json!(null)).await;
    let id = order.id.as_str();
    let end = midnight(day(4));
    for late in [end + 1.seconds(), end + 24.hours(), midnight(day(6)), midnight(day(20))] {
        assert_eq!(shop.extend(id, late).await.bad_fields(), ["payment_due_at"], "{late}");
    }
    assert_eq!(shop.order(id).await.payment_due_at, order.payment_due_at);
    assert_eq!(shop.extend(id, end).await.is(200).payment_due_at, end);
    shop.skip_to(id, end).await;
    assert!(shop.until(id, "expired").await.closed_at.unwrap() >= end);
    shop.close();
}

/// Money was told in time, while the engine was away and until after the deadline. Nobody tells the workflow
/// of it before it lets the order expire: it looks.
#[tokio::test]
async fn money_that_was_stored_in_time_pays_though_the_engine_was_away() {
    let mut shop = Shop::with_tea(10).await;
    shop.rooms("room", 1).await;
    let stay = shop.book_with(3, 5, json!({"reminders": []})).await;
    let tea = shop.place_with(&[("tea", 1)], json!({"reminders": []})).await;
    let part = shop.place_with(&[("tea", 1)], json!({"reminders": []})).await;
    let room = stay.id.as_str();
    for id in [room, &tea, &part] {
        shop.until_told(id, "workflow.started").await;
    }
    shop.kill_worker();
    let (api, mut process) = shop.start_api(&[("TEMPORAL_ADDRESS", "127.0.0.1:1".into())]).await;
    for (id, amount) in [(room, stay.total), (&tea, 1250), (&part, 1249)] {
        Webhook::new(&paid(id, amount)).send(&api).await.is(200);
    }
    process.kill();
    let late = "UPDATE inbox SET dispatch_after = now() + interval '1 hour'";
    sqlx::query(late).execute(&mut shop.sql().await).await.unwrap();
    for id in [room, &tea, &part] {
        shop.temporal.skip(id, Duration::from_hours(6 * 24)).await;
    }
    shop.start_worker();
    shop.until(&tea, "completed").await;
    shop.until(room, "paid").await;
    assert_eq!(shop.until_mailed(&tea, "paid").await, ["paid"]);
    // What is not the right amount pays nothing, and stands in nobody's way.
    shop.until(&part, "expired").await;
    assert_eq!(shop.exceptions(&part).await, ["wrong_amount"]);
    assert_eq!(shop.list_exceptions("state=open").await.len(), 1);
    shop.close();
}
