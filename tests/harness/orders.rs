//! Orders, as the tests handle them.

use serde_json::{Value, json};

use super::{Answer, Shop, eventually, shop::NAME};

impl Shop {
    /// A valid body for `POST /v1/orders`.
    pub fn order_body(&self, lines: &[(&str, i64)]) -> Value {
        let lines: Vec<Value> =
            lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect();
        let customer =
            json!({"id": "cust-42", "email": self.email, "name": NAME, "time_zone": "Europe/Vienna"});
        json!({"customer": customer, "currency": "EUR", "lines": lines})
    }

    pub async fn try_place(&self, body: &Value) -> Answer {
        self.api.post("/v1/orders", body).await
    }

    /// Places an order; gives its id.
    pub async fn place(&self, lines: &[(&str, i64)]) -> String {
        self.place_with(lines, json!(null)).await
    }

    /// Places an order with a policy of its own; gives its id.
    pub async fn place_with(&self, lines: &[(&str, i64)], policy: Value) -> String {
        let mut body = self.order_body(lines);
        body["policy"] = policy;
        let order = self.try_place(&body).await.is(201);
        order["id"].as_str().unwrap().to_owned()
    }

    pub async fn order(&self, id: &str) -> Value {
        self.api.get(&format!("/v1/orders/{id}")).await.is(200)
    }

    /// Waits until the order has this status; gives the order.
    pub async fn until(&self, id: &str, status: &str) -> Value {
        eventually(&format!("{id} is {status}"), async || {
            Some(self.order(id).await).filter(|order| order["status"] == status)
        })
        .await
    }

    pub async fn timeline(&self, id: &str) -> Vec<Value> {
        let list = self.api.get(&format!("/v1/orders/{id}/timeline")).await.is(200);
        list["data"].as_array().unwrap().clone()
    }

    /// The types on the timeline, oldest first.
    pub async fn story(&self, id: &str) -> Vec<String> {
        self.timeline(id).await.iter().map(|entry| entry["type"].as_str().unwrap().to_owned()).collect()
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

    /// The kinds of the exceptions on the order's timeline.
    pub async fn exceptions(&self, id: &str) -> Vec<String> {
        let raised = |entry: &Value| entry["data"]["kind"].as_str().unwrap_or_default().to_owned();
        let timeline = self.timeline(id).await;
        timeline.iter().filter(|entry| entry["type"] == "exception.raised").map(raised).collect()
    }

    /// Pays by the sandbox, exactly what is due.
    pub async fn pay(&self, id: &str) {
        self.pay_with(id, json!({})).await;
    }

    /// Sends a payment event by the sandbox; our webhook must take it.
    pub async fn pay_with(&self, id: &str, event: Value) {
        let sent = self.api.post(&format!("/v1/sandbox/orders/{id}/pay"), &event).await.is(200);
        assert_eq!(sent["webhook_status"], 200, "{sent}");
    }

    pub async fn payments(&self, id: &str) -> Vec<Value> {
        let list = self.api.get(&format!("/v1/orders/{id}/payments")).await.is(200);
        list["data"].as_array().unwrap().clone()
    }

    /// Asks for money back; gives the refund.
    pub async fn refund(&self, id: &str, refund: Value) -> Value {
        self.api.post(&format!("/v1/orders/{id}/refunds"), &refund).await.is(201)
    }

    /// Waits until the order's money stands like this.
    pub async fn until_money(&self, id: &str, payment_status: &str) -> Value {
        eventually(&format!("the money of {id} is {payment_status}"), async || {
            Some(self.order(id).await).filter(|order| order["payment_status"] == payment_status)
        })
        .await
    }

    /// Skips the order's time; gives the order as it is then.
    pub async fn fast_forward(&self, id: &str, duration: &str) -> Value {
        let path = format!("/v1/sandbox/orders/{id}/fast-forward");
        self.api.post(&path, &json!({"duration": duration})).await.is(200)
    }

    /// The changes that were asked of an order, oldest first.
    pub async fn changes(&self, id: &str) -> Vec<Value> {
        let list = self.api.get(&format!("/v1/orders/{id}/changes")).await.is(200);
        list["data"].as_array().unwrap().clone()
    }

    pub async fn cancel(&self, id: &str) -> Answer {
        self.change(id, "cancel", &json!({})).await
    }

    pub async fn fulfil(&self, id: &str) -> Answer {
        self.change(id, "fulfil", &json!({})).await
    }

    pub async fn extend(&self, id: &str, due: jiff::Timestamp) -> Answer {
        self.change(id, "extend", &json!({"payment_due_at": due})).await
    }

    /// Asks for a change, and again under the same key while it is not decided, as a client does.
    pub async fn change(&self, id: &str, what: &str, body: &Value) -> Answer {
        let (path, key) = (format!("/v1/orders/{id}/{what}"), super::unique());
        eventually(&format!("{what} of {id} is decided"), async || {
            let answer = self.api.post_as(&key, &path, body).await;
            (answer.status != 202).then_some(answer)
        })
        .await
    }
}

/// A time field of an order.
pub fn time(order: &Value, field: &str) -> jiff::Timestamp {
    order[field].as_str().unwrap_or_else(|| panic!("{field} of {order}")).parse().unwrap()
}
