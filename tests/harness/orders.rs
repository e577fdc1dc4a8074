//! Orders, as the tests handle them.

use serde_json::{Value, json};

use super::{
    Answer, Shop,
    documents::{Change, Entry, Order},
    eventually,
    shop::NAME,
    unique,
};

/// The story of an order that is sold at once.
pub const SOLD: [&str; 8] = [
    "order.placed",
    "stock.held",
    "workflow.started",
    "payment.received",
    "order.paid",
    "stock.committed",
    "order.completed",
    "mail.sent",
];

impl Shop {
    /// A valid body for `POST /v1/orders`.
    pub fn order_body(&self, lines: &[(&str, i64)]) -> Value {
        let lines: Vec<Value> =
            lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect();
        let customer =
            json!({"id": "cust-42", "email": self.email, "name": NAME, "time_zone": "Europe/Vienna"});
        json!({"customer": customer, "currency": "EUR", "lines": lines})
    }

    pub async fn try_place(&self, body: &Value) -> Answer<Order> {
        self.try_place_as(&unique(), body).await
    }

    pub async fn try_place_as(&self, key: &str, body: &Value) -> Answer<Order> {
        self.api.post_as(key, "/v1/orders", body).await.of()
    }

    /// Places an order; gives its id.
    pub async fn place(&self, lines: &[(&str, i64)]) -> String {
        self.place_with(lines, json!(null)).await
    }

    /// Places an order with a policy of its own; gives its id.
    pub async fn place_with(&self, lines: &[(&str, i64)], policy: Value) -> String {
        let mut body = self.order_body(lines);
        body["policy"] = policy;
        self.try_place(&body).await.is(201).id
    }

    /// Places an order that is paid and completed; gives its id.
    pub async fn sell(&self, lines: &[(&str, i64)]) -> String {
        let id = self.place(lines).await;
        self.pay(&id).await;
        self.until(&id, "completed").await;
        id
    }

    /// Places an order that is paid, and handed over only when the shop says so; gives its id.
    pub async fn sell_by_hand(&self, lines: &[(&str, i64)]) -> String {
        let id = self.place_with(lines, json!({"fulfilment": "manual"})).await;
        self.pay(&id).await;
        self.until(&id, "paid").await;
        id
    }

    /// Places an order that is paid by an attempt, until it has this status; gives its id.
    pub async fn sell_by_attempt(&self, lines: &[(&str, i64)], policy: Value, status: &str) -> String {
        let id = self.place_with(lines, policy).await;
        let attempt = self.attempt(&id).await;
        self.provider.capture(&attempt.id, json!({})).await.is(200);
        self.until(&id, status).await;
        id
    }

    /// Places an order whose workflow has begun; gives its id.
    pub async fn place_started(&self, lines: &[(&str, i64)]) -> String {
        self.place_started_with(lines, json!(null)).await
    }

    pub async fn place_started_with(&self, lines: &[(&str, i64)], policy: Value) -> String {
        let id = self.place_with(lines, policy).await;
        self.until_told(&id, "workflow.started").await;
        id
    }

    pub async fn order(&self, id: &str) -> Order {
        self.api.get(&format!("/v1/orders/{id}")).await.of().is(200)
    }

    /// Waits until the order has this status; gives the order.
    pub async fn until(&self, id: &str, status: &str) -> Order {
        eventually(&format!("{id} is {status}"), async || {
            Some(self.order(id).await).filter(|order| order.status == status)
        })
        .await
    }

    /// Waits until the order's money stands like this.
    pub async fn until_money(&self, id: &str, payment_status: &str) -> Order {
        eventually(&format!("the money of {id} is {payment_status}"), async || {
            Some(self.order(id).await).filter(|order| order.payment_status == payment_status)
        })
        .await
    }

    pub async fn timeline(&self, id: &str) -> Vec<Entry> {
        self.api.list(&format!("/v1/orders/{id}/timeline")).await.data
    }

    /// The types on the timeline, oldest first.
    pub async fn story(&self, id: &str) -> Vec<String> {
        self.timeline(id).await.into_iter().map(|entry| entry.kind).collect()
    }

    /// What the timeline tells of this type, oldest first.
    pub async fn told(&self, id: &str, kind: &str) -> Vec<Value> {
        let timeline = self.timeline(id).await.into_iter();
        timeline.filter(|entry| entry.kind == kind).map(|entry| entry.data).collect()
    }

    /// Waits until the timeline has this type; gives the types then.
    pub async fn until_told(&self, id: &str, kind: &str) -> Vec<String> {
        self.until_told_times(id, kind, 1).await
    }

    /// Waits until the timeline has this type so many times.
    pub async fn until_told_times(&self, id: &str, kind: &str, times: usize) -> Vec<String> {
        eventually(&format!("{kind} of {id}, {times} times"), async || {
            let story = self.story(id).await;
            (story.iter().filter(|told| *told == kind).count() >= times).then_some(story)
        })
        .await
    }

    /// Waits until another order took this one's place; gives its id.
    pub async fn until_reinstated(&self, id: &str) -> String {
        self.until_told(id, "order.reinstated").await;
        self.told(id, "order.reinstated").await[0]["as"].as_str().unwrap().to_owned()
    }

    /// The kinds of the exceptions on the order's timeline.
    pub async fn exceptions(&self, id: &str) -> Vec<String> {
        let raised = self.told(id, "exception.raised").await;
        raised.iter().map(|data| data["kind"].as_str().unwrap().to_owned()).collect()
    }

    /// Skips the order's time; gives the order as it is then.
    pub async fn fast_forward(&self, id: &str, duration: &str) -> Order {
        let path = format!("/v1/sandbox/orders/{id}/fast-forward");
        self.api.post(&path, &json!({"duration": duration})).await.of().is(200)
    }

    /// The changes that were asked of an order, oldest first.
    pub async fn changes(&self, id: &str) -> Vec<Change> {
        self.api.list(&format!("/v1/orders/{id}/changes")).await.data
    }

    pub async fn cancel(&self, id: &str) -> Answer<Order> {
        self.change(id, "cancel", &json!({})).await
    }

    pub async fn fulfil(&self, id: &str) -> Answer<Order> {
        self.change(id, "fulfil", &json!({})).await
    }

    pub async fn extend(&self, id: &str, due: jiff::Timestamp) -> Answer<Order> {
        self.change(id, "extend", &json!({"payment_due_at": due})).await
    }

    /// Asks for a change under a key of its own.
    pub async fn change(&self, id: &str, what: &str, body: &Value) -> Answer<Order> {
        self.change_as(&unique(), id, what, body).await
    }

    /// Asks for a change, and again under the same key while it is not decided, as a client does.
    pub async fn change_as(&self, key: &str, id: &str, what: &str, body: &Value) -> Answer<Order> {
        let path = format!("/v1/orders/{id}/{what}");
        eventually(&format!("{what} of {id} is decided"), async || {
            let answer = self.api.post_as(key, &path, body).await;
            (answer.status != 202).then_some(answer.of())
        })
        .await
    }
}
