//! Our Stripe against localstripe, and against the signer of Stripe's own library.
#![expect(clippy::disallowed_methods, reason = "a test is an edge: its clock is the machine's")]

mod attempts;
mod events;
mod gateway;
mod refunds;

use std::path::Path;

use devstack::{LocalStripe, Tools};
use domain::{OrderId, PaymentId, RefundId, SignedDuration, Timestamp, money::Currency, money::Money};
use gateway::Gateway;
use providers::stripe::{Config, Stripe};
use providers::{AttemptRef, AttemptState, NewAttempt, NewRefund, Provider};
use serde_json::{Value, json};
use uuid::Uuid;

const KEY: &str = "sk_test_holdfast";
const SECRET: &str = "whsec_of_the_test";
const VISA: &str = "pm_card_visa";
const DECLINED: &str = "pm_card_chargeCustomerFail";

/// Our side, Stripe's side, and what stands between them.
struct Setup {
    stripe: Stripe,
    gateway: Gateway,
    payer: Payer,
    _server: LocalStripe,
}

impl Setup {
    async fn new() -> Self {
        let server = LocalStripe::start(&tools()).await.expect("localstripe starts");
        let gateway = Gateway::start(server.url()).await;
        let stripe = stripe_at(&gateway.url, KEY);
        let payer = Payer { http: http_client(), url: server.url().to_owned() };
        Self { stripe, gateway, payer, _server: server }
    }

    async fn open(&self, money: Money) -> (NewAttempt, AttemptRef) {
        let new = new_attempt(money);
        let provider_payment_id = self.stripe.create(&new).await.expect("opened").attempt.provider_payment_id;
        let attempt = AttemptRef { payment: new.payment, provider_payment_id };
        (new, attempt)
    }

    async fn paid(&self, money: Money) -> (NewAttempt, AttemptRef) {
        let (new, attempt) = self.open(money).await;
        assert_eq!(self.payer.pay(&attempt, VISA).await, 200);
        (new, attempt)
    }

    async fn state(&self, attempt: &AttemptRef) -> (AttemptState, String) {
        let attempt = self.stripe.look_up(attempt).await.expect("known");
        (attempt.state, attempt.state_text)
    }
}

fn tools() -> Tools {
    Tools::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.holdfast/bin"))
}

fn stripe_at(url: &str, key: &str) -> Stripe {
    let mut config = Config::new(key, vec!["whsec_next".to_owned(), SECRET.to_owned()]);
    config.base_url = url.to_owned();
    config.publishable_key = Some("pk_test_holdfast".to_owned());
    Stripe::new(config).expect("a good configuration")
}

fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

fn euros(amount: i64) -> Money {
    Money::new(amount, Currency::parse("EUR").expect("known"))
}

fn new_attempt(money: Money) -> NewAttempt {
    NewAttempt {
        order: OrderId::from_uuid(Uuid::now_v7()),
        payment: PaymentId::from_uuid(Uuid::now_v7()),
        money,
        expires_at: Timestamp::now() + SignedDuration::from_hours(1),
        description: "Two teas & a mug".to_owned(),
        payer: None,
    }
}

fn new_refund(order: OrderId, attempt: &AttemptRef, amount: i64, captured: i64) -> NewRefund {
    NewRefund {
        order,
        refund: RefundId::from_uuid(Uuid::now_v7()),
        attempt: attempt.clone(),
        money: euros(amount),
        captured: euros(captured),
        reason: "out of stock".to_owned(),
    }
}

/// Who pays, past our side, as a browser would.
struct Payer {
    http: reqwest::Client,
    url: String,
}

impl Payer {
    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(KEY).json(&body);
        let response = request.send().await.expect("localstripe answers");
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(KEY);
        request.send().await.expect("localstripe answers").json().await.expect("JSON")
    }

    /// The status that the payer's browser sees. After a decline localstripe takes no second try, though
    /// Stripe does; forgetting the declined charge is its way to another.
    async fn pay(&self, attempt: &AttemptRef, method: &str) -> u16 {
        let path = format!("/v1/payment_intents/{}", attempt.provider_payment_id);
        let chosen = self.post(&path, json!({ "payment_method": method, "latest_charge": null })).await;
        assert_eq!(chosen.0, 200, "{}", chosen.1);
        self.post(&format!("{path}/confirm"), json!({})).await.0
    }
}
