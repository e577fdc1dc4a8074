//! A payment provider of our own: it signs by Standard Webhooks 1.0, independently of the product.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Answer, Api, unique};

pub const SECRET: &str = "whsec_dGVzdC1zZWNyZXQtb2YtdGhlLXRlc3Rz";

/// A webhook before it is sent; change a part to spoil it.
#[derive(Clone)]
pub struct Webhook {
    pub provider: String,
    pub id: Option<String>,
    pub timestamp: Option<String>,
    pub signature: Option<String>,
    pub body: Vec<u8>,
}

/// `payment.succeeded` of this much for the order.
pub fn paid(order: &str, amount: i64) -> Value {
    payment("payment.succeeded", order, amount)
}

pub fn payment(kind: &str, order: &str, amount: i64) -> Value {
    let payment_id = format!("pi_{}", unique());
    json!({"type": kind,
           "data": {"order_id": order, "payment_id": payment_id, "amount": amount, "currency": "EUR"}})
}

impl Webhook {
    /// Correctly signed, now, under a new id.
    pub fn new(body: &Value) -> Self {
        Self::raw(body.to_string().into_bytes())
    }

    pub fn raw(body: Vec<u8>) -> Self {
        Self::at(Timestamp::now().as_second(), body)
    }

    /// Correctly signed at that second.
    pub fn at(timestamp_s: i64, body: Vec<u8>) -> Self {
        let id = format!("evt_{}", unique());
        let signature = sign(&id, timestamp_s, &body);
        Self {
            provider: "sandbox".to_owned(),
            id: Some(id),
            timestamp: Some(timestamp_s.to_string()),
            signature: Some(signature),
            body,
        }
    }

    pub async fn send(&self, api: &Api) -> Answer {
        let mut request = api.bare(Method::POST, &format!("/v1/webhooks/{}", self.provider));
        let headers = [
            ("webhook-id", &self.id),
            ("webhook-timestamp", &self.timestamp),
            ("webhook-signature", &self.signature),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        api.send(request.header("content-type", "application/json").body(self.body.clone())).await
    }
}

fn sign(id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let key = BASE64_STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp_s}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}
