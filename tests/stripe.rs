//! Whole orders over Stripe, played by localstripe, a simulator that nobody here wrote.

use axum::{Router, body::Bytes, http::HeaderMap, routing::post};
use devstack::LocalStripe;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::harness::{Answer, Api, Shop, documents::Settlement, send, tools, wait_until};

const KEY: &str = "sk_test_holdfast";
const SECRET: &str = "whsec_in_use_until_tomorrow";
const NEXT_SECRET: &str = "whsec_of_tomorrow_and_after";
const VISA: &str = "pm_card_visa";
const DECLINED: &str = "pm_card_chargeCustomerFail";

/// A shop whose money comes by Stripe, and Stripe.
struct Setting {
    shop: Shop,
    /// Stripe as its payers and its dashboard see it.
    stripe: Api,
    _server: LocalStripe,
}

impl Setting {
    /// Stripe tells nobody of anything yet.
    async fn new() -> Self {
        let server = LocalStripe::start(&tools()).await.unwrap();
        let env = vec![
            ("HOLDFAST_STRIPE_API_KEY", KEY.to_owned()),
            ("HOLDFAST_STRIPE_WEBHOOK_SECRETS", format!("{SECRET}, {NEXT_SECRET}")),
            ("HOLDFAST_STRIPE_PUBLISHABLE_KEY", "pk_test_holdfast".to_owned()),
            ("HOLDFAST_STRIPE_URL", server.url().to_owned()),
        ];
        let mut shop = Shop::with_env(env).await;
        shop.until_worker_works().await;
        shop.stock("tea", 1250, 10).await;
        let stripe = Api::with_key(server.url().trim_start_matches("http://"), KEY);
        Self { shop, stripe, _server: server }
    }

    async fn tell(&self, url: &str, secret: &str) {
        let hook = json!({"url": url, "secret": secret});
        assert_eq!(self.stripe.post("/_config/webhooks/shop", &hook).await.status, 200);
    }

    async fn tell_the_shop(&self) {
        self.tell(&format!("http://{}/v1/webhooks/stripe", self.shop.api.address()), SECRET).await;
    }

    async fn place(&self) -> String {
        let mut body = self.shop.order_body(&[("tea", 1)]);
        body["payment_method"] = json!("stripe");
        self.shop.try_place(&body).await.is(201).id
    }

    /// Opens an attempt; gives Stripe's id of it.
    async fn open(&self, order: &str) -> String {
        let attempt = self.shop.attempt(order).await;
        assert_eq!([&attempt.provider, &attempt.state], ["stripe", "open"]);
        let intent = attempt.provider_payment_id.clone();
        assert!(attempt.client["client_secret"].as_str().unwrap().starts_with(&intent), "{attempt:?}");
        assert_eq!(attempt.client["publishable_key"], "pk_test_holdfast");
        intent
    }

    /// What the payer's browser does with the client secret; gives the status it sees. After a decline
    /// localstripe takes no second try, though Stripe does, unless the declined charge is forgotten.
    async fn pay(&self, intent: &str, card: &str) -> u16 {
        let path = format!("/v1/payment_intents/{intent}");
        let chosen = json!({"payment_method": card, "latest_charge": null});
        self.stripe.post(&path, &chosen).await.is(200);
        self.stripe.post(&format!("{path}/confirm"), &json!({})).await.status.as_u16()
    }

    async fn paid(&self, order: &str) -> String {
        let intent = self.open(order).await;
        assert_eq!(self.pay(&intent, VISA).await, 200);
        intent
    }

    async fn state_at_stripe(&self, intent: &str) -> Value {
        self.stripe.get(&format!("/v1/payment_intents/{intent}")).await.is(200)["status"].clone()
    }

    async fn refunds_at_stripe(&self, intent: &str) -> Vec<i64> {
        let list = self.stripe.get(&format!("/v1/refunds?payment_intent={intent}")).await.is(200);
        let amount = |refund: &Value| refund["amount"].as_i64().unwrap();
        list["data"].as_array().unwrap().iter().map(amount).collect()
    }

    async fn until_webhooks(&self, stored: u32) {
        let line = format!("holdfast_webhooks_total{{provider=\"stripe\",result=\"stored\"}} {stored}");
        wait_until(&line, async || self.shop.figures().await.contains(&line)).await;
    }
}

#[tokio::test]
async fn an_order_is_paid_after_a_decline_and_refunded_in_part_and_in_full() {
    let it = Setting::new().await;
    it.tell_the_shop().await;
    let order = it.place().await;
    let intent = it.open(&order).await;
    assert_eq!(it.pay(&intent, DECLINED).await, 402);
    it.until_webhooks(1).await;
    assert_eq!(it.shop.order(&order).await.status, "awaiting_payment");
    assert_eq!(it.shop.level("tea").await, (10, 1));

    assert_eq!(it.pay(&intent, VISA).await, 200);
    it.shop.until(&order, "completed").await;
    let payments = it.shop.payments(&order).await;
    assert_eq!((payments.len(), payments[0].state.as_str()), (1, "succeeded"), "{payments:?}");
    assert_eq!((payments[0].applied, payments[0].client.is_null()), (1250, true));
    it.shop.until_mailed(&order, "paid").await;

    let refund = it.shop.refund(&order, json!({"amount": 400, "reason": "one leaf was torn"})).await;
    assert_eq!(refund.provider_payment_id, intent.as_str());
    it.shop.until_money(&order, "partially_refunded").await;
    assert_eq!(it.refunds_at_stripe(&intent).await, [400]);
    it.shop.refund(&order, json!({"reason": "all of them were", "restock": true})).await;
    it.shop.until_money(&order, "refunded").await;
    let mut refunds = it.refunds_at_stripe(&intent).await;
    refunds.sort_unstable();
    assert_eq!(refunds, [400, 850]);
    assert_eq!(it.shop.level("tea").await, (10, 0));
    assert!(it.shop.open_exceptions().await.is_empty());
    it.shop.close();
}

#[tokio::test]
async fn what_the_shop_does_not_wait_for_any_more_cannot_be_paid() {
    let it = Setting::new().await;
    it.tell_the_shop().await;
    let [cancelled, expired] = [it.place().await, it.place().await];
    let superseded = it.open(&cancelled).await;
    let cancelled_intent = it.open(&cancelled).await;
    wait_until("the superseded attempt is closed", async || {
        it.state_at_stripe(&superseded).await == "canceled"
    })
    .await;
    it.shop.cancel(&cancelled).await.is(200);
    it.shop.until(&cancelled, "cancelled").await;
    let expired_intent = it.open(&expired).await;
    it.shop.fast_forward(&expired, "PT25H").await;
    it.shop.until(&expired, "expired").await;
    for intent in [&superseded, &cancelled_intent, &expired_intent] {
        assert_eq!(it.state_at_stripe(intent).await, "canceled");
        assert_eq!(it.pay(intent, VISA).await, 400);
    }
    for order in [&cancelled, &expired] {
        let payments = it.shop.payments(order).await;
        assert!(payments.iter().all(|payment| payment.state == "cancelled"), "{payments:?}");
    }
    assert_eq!(it.shop.level("tea").await, (10, 0));
    it.shop.close();
}

/// Nothing is told here at all; the sandbox, which is down at first, does not keep Stripe's books from being
/// read.
#[tokio::test]
async fn money_of_which_no_webhook_came_is_found_by_asking() {
    let it = Setting::new().await;
    let [asked, read] = [it.place().await, it.place().await];
    it.paid(&asked).await;
    let payment = it.shop.payments(&asked).await.remove(0).id;
    assert_eq!(it.shop.refresh(&asked, &payment).await.is(200).state, "succeeded");
    it.shop.until(&asked, "completed").await;

    let intent = it.paid(&read).await;
    it.shop.provider.faults(json!({"outage": {"answer": "unavailable"}})).await;
    let (whole, said) = it.shop.reconcile().await;
    assert!(!whole && said.contains("some books could not be read"), "{said}");
    assert!(said.contains("sandbox: could not be read"), "{said}");
    assert!(said.contains("stripe: 2 lines read, 1 taken up now, 0 unmatched"), "{said}");
    it.shop.until(&read, "completed").await;

    // By hand, in the dashboard.
    let refund = json!({"payment_intent": intent, "amount": 250});
    it.stripe.post("/v1/refunds", &refund).await.is(200);
    it.shop.provider.no_faults().await;
    let (whole, said) = it.shop.reconcile().await;
    assert!(whole && said.contains("sandbox: 0 lines read"), "{said}");
    assert!(said.contains("stripe: 3 lines read, 1 taken up now, 0 unmatched"), "{said}");
    it.shop.until_money(&read, "partially_refunded").await;
    let settled = it.shop.api.list::<Settlement>("/v1/settlements").await.data.remove(0);
    assert_eq!([&settled.provider, &settled.currency], ["stripe", "EUR"]);
    assert_eq!((settled.captured, settled.refunded, settled.fees), (2500, 250, Some(0)));
    assert_eq!((settled.open, settled.unmatched), (0, 0));
    it.shop.close();
}

type Sent = (HeaderMap, Vec<u8>);

/// Takes in the shop's place what Stripe sends.
async fn intercept() -> (String, UnboundedReceiver<Sent>) {
    let (sender, receiver) = unbounded_channel();
    let take = async move |headers: HeaderMap, body: Bytes| {
        let _ = sender.send((headers, body.to_vec()));
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(take))).await });
    (url, receiver)
}

async fn pass_on(shop: &Shop, (headers, body): Sent) -> Answer {
    let request = shop.api.bare(Method::POST, "/v1/webhooks/stripe");
    send(request.header("stripe-signature", &headers["stripe-signature"]).body(body)).await
}

#[tokio::test]
async fn each_of_two_secrets_will_do_and_no_byte_may_change() {
    let it = Setting::new().await;
    let (url, mut sent) = intercept().await;
    for secret in [SECRET, NEXT_SECRET] {
        it.tell(&url, secret).await;
        let order = it.place().await;
        it.paid(&order).await;
        let (headers, body) = sent.recv().await.unwrap();
        let amount = String::from_utf8_lossy(&body).find("1250").unwrap();
        for (at, changed) in [(amount, b'9'), (body.len() - 1, b' ')] {
            let mut spoilt = body.clone();
            spoilt[at] = changed;
            pass_on(&it.shop, (headers.clone(), spoilt)).await.problem(400, "bad_signature");
        }
        assert_eq!(it.shop.order(&order).await.paid_at, None);
        for _ in 0..2 {
            pass_on(&it.shop, (headers.clone(), body.clone())).await.is(200);
        }
        it.shop.until(&order, "completed").await;
    }
    it.tell(&url, "whsec_of_somebody").await;
    let order = it.place().await;
    it.paid(&order).await;
    pass_on(&it.shop, sent.recv().await.unwrap()).await.problem(400, "bad_signature");
    assert_eq!(it.shop.order(&order).await.status, "awaiting_payment");
    let figures = it.shop.figures().await;
    for (result, times) in [("stored", 2), ("repeated", 2), ("refused", 5)] {
        let line = format!("holdfast_webhooks_total{{provider=\"stripe\",result=\"{result}\"}} {times}");
        assert!(figures.contains(&line), "{line}:\n{figures}");
    }
    it.shop.close();
}
