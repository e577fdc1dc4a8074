//! Orders that nobody could pay, and events of money that is not ours.

use futures_util::future::join_all;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Api, Shop, unique, wait_until};

const SECRET: &str = "whsec_of_a_test_that_pays";

/// A shop with a Stripe that nobody answers for: what is told here needs no call.
async fn with_stripe(more: &[(&'static str, &str)]) -> Shop {
    let mut env = vec![
        ("HOLDFAST_STRIPE_API_KEY", "sk_test_holdfast".to_owned()),
        ("HOLDFAST_STRIPE_WEBHOOK_SECRETS", SECRET.to_owned()),
        ("HOLDFAST_STRIPE_URL", "http://127.0.0.1:1".to_owned()),
    ];
    env.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Shop::with_env(env).await
}

/// Tells the API an event as Stripe does, signed.
async fn tell(api: &Api, kind: &str, object: &Value) {
    let event = json!({"id": format!("evt_{}", unique()), "object": "event", "type": kind,
                       "data": {"object": object}});
    let (at, body) = (Timestamp::now().as_second(), event.to_string());
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let request = api.bare(Method::POST, "/v1/webhooks/stripe");
    api.send(request.header("stripe-signature", format!("t={at},v1={digits}")).body(body)).await.is(200);
}

impl Shop {
    /// Puts a piece of this price on sale; gives a body that orders one of them.
    async fn one_of(&self, currency: &str, unit_price: i64, method: Option<&str>) -> Value {
        let sku = format!("{currency}-{unit_price}");
        let product = json!({"name": "Thing", "unit_price": unit_price, "currency": currency});
        self.put_product(&sku, &product).await;
        self.adjust(&sku, 1).await.is(201);
        let mut body = self.order_body(&[(&sku, 1)]);
        body["currency"] = json!(currency);
        body["payment_method"] = json!(method);
        body
    }
}

const TAKEN: [(&str, i64); 9] = [
    ("EUR", 50),
    ("EUR", 99_999_999),
    ("KWD", 5_120),
    ("JPY", 50),
    ("ISK", 5),
    ("MGA", 1_200),
    ("HUF", 17_501),
    ("TWD", 1_001),
    ("IDR", 100_000_000),
];
const NOT_TAKEN: [(&str, i64); 11] = [
    ("UGX", 500),
    ("UGX", 50_000),
    ("KWD", 5_123),
    ("BHD", 11),
    ("MGA", 1_250),
    ("ISK", 1_000_000),
    ("EUR", 49),
    ("EUR", 100_000_000),
    ("JPY", 100_000_000),
    ("JPY", 1),
    ("XAU", 100),
];

#[tokio::test]
async fn what_the_payment_method_cannot_collect_is_not_placed() {
    let shop = with_stripe(&[]).await;
    for (currency, price) in TAKEN {
        let body = shop.one_of(currency, price, Some("stripe")).await;
        assert_eq!(shop.try_place(&body).await.is(201).payment_method, "stripe", "{price} {currency}");
    }
    for (currency, price) in NOT_TAKEN {
        let mut body = shop.one_of(currency, price, Some("stripe")).await;
        assert_eq!(shop.try_place(&body).await.bad_fields(), ["payment_method"], "{price} {currency}");
        let sku = format!("{currency}-{price}");
        assert_eq!(shop.level(&sku).await, (1, 0), "nothing was done");
        // Without a method the shop collects by itself; and the sandbox takes everything.
        body["payment_method"] = json!("sandbox");
        shop.try_place(&body).await.is(201);
        assert_eq!(shop.level(&sku).await, (1, 1));
        // Sold out, or not to be paid: the second would not go away.
        body["payment_method"] = json!("stripe");
        assert_eq!(shop.try_place(&body).await.bad_fields(), ["payment_method"], "{price} {currency}");
    }
    // The sum counts, not the pieces.
    shop.stock("tea", 25, 10).await;
    for (pieces, status) in [(1, 422), (2, 201)] {
        let mut body = shop.order_body(&[("tea", pieces)]);
        body["payment_method"] = json!("stripe");
        assert_eq!(shop.try_place(&body).await.status, status, "{pieces}");
    }
    let gift = shop.one_of("UGX", 0, Some("stripe")).await;
    assert_eq!(shop.try_place(&gift).await.is(201).status, "completed");
    shop.close();
}

/// Also where the method is the default one; and those who arrive together are refused one by one.
#[tokio::test]
async fn the_default_method_is_asked_too_and_others_are_placed() {
    let shop = with_stripe(&[("HOLDFAST_PAYMENT_METHOD", "stripe")]).await;
    shop.stock("tea", 1250, 40).await;
    let odd = shop.one_of("KWD", 5_123, None).await;
    let tea = shop.order_body(&[("tea", 1)]);
    let bodies: Vec<&Value> = (0..40).map(|i| if i % 4 == 0 { &odd } else { &tea }).collect();
    let answers = join_all(bodies.iter().map(|body| shop.try_place(body))).await;
    for (i, answer) in answers.iter().enumerate() {
        match i % 4 {
            0 => assert_eq!(answer.bad_fields(), ["payment_method"]),
            _ => assert_eq!(answer.is(201).payment_method, "stripe"),
        }
    }
    assert_eq!((shop.level("tea").await, shop.level("KWD-5123").await), ((40, 30), (1, 0)));
    shop.close();
}

fn intent(currency: &str, order: Option<&str>) -> Value {
    let metadata = order.map_or(json!({}), |order| json!({"order_id": order}));
    json!({"id": format!("pi_{}", unique()), "object": "payment_intent", "amount": 5_000,
           "amount_received": 5_000, "currency": currency, "status": "succeeded", "metadata": metadata})
}

#[tokio::test]
async fn others_money_on_a_shared_account_is_ignored_if_the_shop_says_so() {
    let shop = with_stripe(&[("HOLDFAST_SHARED_PROVIDER_ACCOUNTS", "stripe")]).await;
    let (alone, _process) = shop.start_api(&[("HOLDFAST_SHARED_PROVIDER_ACCOUNTS", String::new())]).await;
    let refund = |intent: &str| {
        json!({"id": format!("re_{}", unique()), "object": "refund", "amount": 500, "currency": "eur",
               "status": "succeeded", "payment_intent": intent, "metadata": {}})
    };
    let foreign = [
        ("payment_intent.succeeded", intent("eur", None)),
        ("payment_intent.succeeded", intent("eur", Some("order 7 of another shop"))),
        ("payment_intent.succeeded", intent("ugx", None)),
        ("payment_intent.payment_failed", intent("ugx", None)),
        ("refund.updated", refund("pi_of_others")),
    ];
    for (kind, object) in &foreign {
        tell(&shop.api, kind, object).await;
        assert!(shop.open_exceptions().await.is_empty(), "{kind}: {object}");
    }
    // An order of ours, though we do not have it; and one of which we cannot read what it got.
    for (currency, kind) in [("eur", "unknown_order"), ("ugx", "unreadable_event")] {
        let object = intent(currency, Some("ord_01920000000070008000000000000000"));
        tell(&shop.api, "payment_intent.succeeded", &object).await;
        wait_until(kind, async || shop.open_exceptions().await.contains(&kind.to_owned())).await;
    }
    let known = shop.open_exceptions().await.len();
    let kinds =
        ["unknown_order", "unknown_order", "unreadable_event", "unreadable_event", "refund_unexplained"];
    for (i, (kind, object)) in foreign.iter().enumerate() {
        tell(&alone, kind, object).await;
        wait_until(kinds[i], async || {
            let open = shop.open_exceptions().await;
            open.len() == known + i + 1 && open.iter().any(|it| it == kinds[i])
        })
        .await;
    }
    shop.close();
}
