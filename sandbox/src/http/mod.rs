//! The sandbox's calls: `/v1` is what a merchant's program may call, `/payer` is what the payer does on a
//! phone, `/dashboard` is what people do by hand, and where tests set faults.

mod dashboard;
mod key;
mod merchant;
mod payer;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, rejection::QueryRejection},
    middleware,
    routing::get,
};
use domain::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    answer::{Answer, Refusal},
    app::{App, Service},
    model::{Payment, Refund},
};

const MAX_BODY_BYTES: usize = 64 * 1024;

pub fn routes(app: App, payer_key: Option<String>) -> Router {
    let mut with_key = payer::routes().merge(dashboard::routes());
    if let Some(key) = payer_key {
        with_key = with_key.route_layer(middleware::from_fn_with_state(key::Key::new(&key), key::require));
    }
    Router::new()
        .route("/healthz", get(|| async { Json(json!({"status": "ok"})) }))
        .merge(merchant::routes())
        .merge(with_key)
        .fallback(|| async { Refusal::not_found("call") })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app)
}

#[derive(Serialize)]
struct PaymentDocument {
    /// Always `payment`.
    object: &'static str,
    #[serde(flatten)]
    payment: Payment,
    /// Where the payer pays: POST.
    pay_url: String,
}

#[derive(Serialize)]
struct RefundDocument {
    /// Always `refund`.
    object: &'static str,
    #[serde(flatten)]
    refund: Refund,
}

impl Service {
    fn document(&self, mut payment: Payment) -> PaymentDocument {
        payment.state = payment.state_at(Timestamp::now());
        let pay_url = format!("{}/payer/payments/{}/capture", self.url, payment.id);
        PaymentDocument { object: "payment", payment, pay_url }
    }
}

impl From<Refund> for RefundDocument {
    fn from(refund: Refund) -> Self {
        Self { object: "refund", refund }
    }
}

/// Reads a JSON body; none at all is an empty object.
fn read<T: DeserializeOwned>(body: &Bytes) -> Answer<T> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    web::json::read(body).map_err(|error| Refusal::invalid(error.to_string()))
}

fn list(data: impl Serialize) -> Json<Value> {
    Json(json!({"object": "list", "data": data}))
}

impl From<QueryRejection> for Refusal {
    fn from(error: QueryRejection) -> Self {
        Self::invalid(error.body_text())
    }
}
