//! The sandbox provider, as its payers, its dashboard and its faults are driven.

use std::collections::BTreeMap;

use reqwest::Client;
use serde_json::{Value, json};

use crate::harness::Shop;

#[derive(Clone)]
pub struct Bank {
    url: String,
    http: Client,
}

/// A line of the sandbox's own books.
#[derive(Debug, Clone)]
pub struct Movement {
    pub is_capture: bool,
    /// Of the payment or of the refund.
    pub id: String,
    pub order: String,
    pub amount: i64,
    pub currency: String,
}

/// Minor units by currency.
pub type Sums = BTreeMap<String, i64>;

impl Bank {
    pub fn of(shop: &Shop) -> Self {
        Self {
            url: shop.sandbox.url().to_owned(),
            http: providers::http_client().no_proxy().build().unwrap(),
        }
    }

    /// Any call: status and body.
    pub async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    /// A call that must be done.
    pub async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    pub async fn capture(&self, payment: &str, how: Value) -> Value {
        self.done("POST", &format!("/payer/payments/{payment}/capture"), how).await
    }

    /// A payment without an attempt, such as a bank transfer; gives its id.
    pub async fn pay(&self, order: &str, how: Value) -> String {
        let mut body = json!({"order_id": order, "currency": "EUR"});
        body.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
        let paid = self.done("POST", "/payer/pay", body).await;
        paid["payment_id"].as_str().unwrap().to_owned()
    }

    /// Somebody gives money back by hand.
    pub async fn give_back(&self, payment: &str, how: Value) -> Value {
        self.done("POST", &format!("/dashboard/payments/{payment}/refunds"), how).await
    }

    pub async fn set_faults(&self, order: &str, faults: Value) {
        self.done("PUT", &format!("/dashboard/faults/{order}"), faults).await;
    }

    pub async fn clear_faults(&self, order: &str) {
        self.done("DELETE", &format!("/dashboard/faults/{order}"), Value::Null).await;
    }

    /// Sends what is held for an order, one after the other.
    pub async fn release(&self, order: &str, reverse: bool) {
        let body = json!({"order_id": order, "reverse": reverse});
        self.done("POST", "/dashboard/deliveries/release", body).await;
    }

    /// Sends whatever was ever to be sent for an order once more.
    pub async fn release_again(&self, order: &str) {
        let ids: Vec<u64> =
            self.deliveries(order).await.iter().map(|it| it["id"].as_u64().unwrap()).collect();
        self.done("POST", "/dashboard/deliveries/release", json!({"ids": ids})).await;
    }

    pub async fn deliveries(&self, order: &str) -> Vec<Value> {
        let path = format!("/dashboard/deliveries?order_id={order}");
        let list = self.done("GET", &path, Value::Null).await;
        list["data"].as_array().unwrap().clone()
    }

    /// Whether webhooks are under way.
    pub async fn is_sending(&self) -> bool {
        let list = self.done("GET", "/dashboard/deliveries?state=sending", Value::Null).await;
        !list["data"].as_array().unwrap().is_empty()
    }

    pub async fn state(&self, payment: &str) -> String {
        let payment = self.done("GET", &format!("/v1/payments/{payment}"), Value::Null).await;
        payment["state"].as_str().unwrap().to_owned()
    }

    /// The sandbox's books, all of them.
    pub async fn movements(&self) -> Vec<Movement> {
        let (mut movements, mut after) = (Vec::new(), String::new());
        loop {
            let range = "from=2000-01-01T00:00:00Z&until=2200-01-01T00:00:00Z&limit=1000";
            let page = self.done("GET", &format!("/v1/movements?{range}{after}"), Value::Null).await;
            movements.extend(page["data"].as_array().unwrap().iter().map(movement));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return movements,
            }
        }
    }
}

fn movement(line: &Value) -> Movement {
    let text = |field: &str| line[field].as_str().unwrap().to_owned();
    Movement {
        is_capture: line["type"] == "captured",
        id: text("id"),
        order: text("order_id"),
        amount: line["amount"].as_i64().unwrap(),
        currency: text("currency"),
    }
}
