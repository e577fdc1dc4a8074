//! Nonsense of every kind: answered, never with a 5xx.

use futures_util::{StreamExt as _, stream};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Shop, send};

const REQUESTS: usize = 600;
const AT_ONCE: usize = 8;
const SEED: u64 = 0x005e_ed0f_401d_fa57;

/// A generator of one's own: the same nonsense at every run.
struct SeededRng(u64);

impl SeededRng {
    fn roll(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, n: usize) -> usize {
        (self.roll() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

fn nasty_value(rng: &mut SeededRng) -> Value {
    let texts = [
        "",
        "\0",
        "a\0b",
        " ",
        "\u{202e}",
        "💥",
        "'; DROP TABLE orders; --",
        "-PT1S",
        "P9999999999D",
        "PT1S",
        "PT0.1S",
    ];
    let times =
        ["9999-12-31T23:59:59Z", "-009999-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2999-01-01T00:00:00Z"];
    match rng.below(14) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(i64::MAX),
        3 => json!(i64::MIN),
        4 => json!(u64::MAX),
        5 => json!(1e308),
        6 => json!(-0.5),
        7 => json!([]),
        8 => json!({"\0": {"": [null]}}),
        9 => (0..100).fold(json!(1), |inside, _| json!([inside])),
        10 => json!("x".repeat(rng.below(70_000))),
        11 => json!(rng.pick(&times)),
        12 => json!(rng.roll() as i64 % 20_000),
        _ => json!(rng.pick(&texts)),
    }
}

/// Replaces, removes or adds something somewhere.
fn spoil(value: &mut Value, rng: &mut SeededRng) {
    let stop = rng.one_in(3);
    match value {
        Value::Object(fields) if !stop && !fields.is_empty() => {
            let name = fields.keys().nth(rng.below(fields.len())).unwrap().clone();
            match rng.below(8) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert("surprise".into(), nasty_value(rng))),
                _ => spoil(&mut fields[&name], rng),
            }
        }
        Value::Array(items) if !stop && !items.is_empty() => {
            let i = rng.below(items.len());
            spoil(&mut items[i], rng);
        }
        other => *other = nasty_value(rng),
    }
}

/// Bytes that are not JSON at all, or only almost.
fn nasty_bytes(rng: &mut SeededRng, near: &Value) -> Vec<u8> {
    let mut text = near.to_string().into_bytes();
    match rng.below(6) {
        0 => text.truncate(rng.below(text.len())),
        1 => text = "[".repeat(50_000).into_bytes(),
        2 => text = format!("{{\"lines\":{}}}", "9".repeat(5_000)).into_bytes(),
        3 => text = br#"{"currency":"\ud800"}"#.to_vec(),
        4 => text = (0..rng.below(200)).map(|_| rng.roll() as u8).collect(),
        _ => {
            let i = rng.below(text.len());
            text[i] = rng.roll() as u8;
        }
    }
    text
}

fn segment(rng: &mut SeededRng, real: &str) -> String {
    let nasty = [
        "%00",
        "%ff%fe",
        "%2e%2e",
        "%2F",
        "ord_",
        "ord_0",
        "%F0%9F%92%A5",
        "a%0ab",
        "ORD_01920000000070008000000000000000",
    ];
    match rng.below(4) {
        0 => (*rng.pick(&nasty)).to_owned(),
        1 => "x".repeat(1 + rng.below(5_000)),
        _ => real.to_owned(),
    }
}

fn query(rng: &mut SeededRng) -> String {
    let names = [
        "limit",
        "status",
        "customer",
        "placed_from",
        "placed_to",
        "starting_after",
        "q",
        "include_retired",
        "from",
        "to",
        "%00",
        "limit[]",
    ];
    let values = [
        "",
        "0",
        "-1",
        "99999999999999999999",
        "%00",
        "%ff",
        "100",
        "completed",
        "%25",
        "_",
        "a%5C",
        "2026-01-01T00:00:00Z",
        "2999-01-01",
        "9999-12-31",
        "-009999-01-02T01:59:59Z",
        "9999-12-30T22:00:00Z",
        "ord_ffffffffffffffffffffffffffffffff",
        "💥",
    ];
    let pairs: Vec<String> =
        (0..rng.below(4)).map(|_| format!("{}={}", rng.pick(&names), rng.pick(&values))).collect();
    format!("?{}", pairs.join("&"))
}

fn headers(mut request: RequestBuilder, rng: &mut SeededRng) -> RequestBuilder {
    let values: [&[u8]; 6] =
        [b"", b"\xff\xfe", b"00-zz-yy-01", b"v1,", b"-9223372036854775808", &[b'x'; 3_000]];
    let names = [
        "idempotency-key",
        "traceparent",
        "tracestate",
        "x-request-id",
        "content-type",
        "accept-encoding",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "authorization",
        "baggage",
        "if-match",
        "if-none-match",
    ];
    for _ in 0..rng.below(3) {
        let value: &[u8] = values[rng.below(values.len())];
        let value = reqwest::header::HeaderValue::from_bytes(value).unwrap();
        request = request.header(*rng.pick(&names), value);
    }
    request
}

/// A request that was sensible once.
fn nonsense(shop: &Shop, order: &str, rng: &mut SeededRng) -> RequestBuilder {
    let product =
        json!({"name": "Tea", "description": "green", "unit_price": 5, "currency": "EUR", "active": true});
    let mut placement = shop.order_body(&[("tea", 1), ("mug", 1)]);
    placement["policy"] = json!({"payment_window": "PT24H", "reminders": ["PT4H"], "fulfilment": "manual"});
    placement["metadata"] = json!({"a": {"b": [1, "c"]}});
    let stay = json!({"from": "2999-01-01", "to": "2999-01-03"});
    let mut booking = shop.order_body(&[]);
    booking["lines"] = json!([{"sku": "room", "stay": stay, "guests": 2, "extras": [{"code": "b"}]}]);
    let extra = json!({"code": "b", "name": "Breakfast", "unit_price": 1, "per": "guest_night"});
    let routes = [
        (Method::POST, "/v1/orders", "", "", booking),
        (
            Method::PUT,
            "/v1/products/",
            "room",
            "/nights",
            json!({"from": "2999-01-01", "to": "2999-01-03", "capacity": 5, "unit_price": 1}),
        ),
        (Method::GET, "/v1/products/", "room", "/nights", Value::Null),
        (
            Method::PUT,
            "/v1/products/",
            "room",
            "/stay",
            json!({"max_guests": 2, "time_zone": "Europe/Vienna", "extras": [extra]}),
        ),
        (Method::POST, "/v1/orders/", order, "/check-in", json!({"code": "ABCD2345"})),
        (Method::PUT, "/v1/products/", "tea", "", product),
        (Method::GET, "/v1/products/", "tea", "", Value::Null),
        (Method::DELETE, "/v1/products/", "cup", "", Value::Null),
        (Method::GET, "/v1/products/", "tea", "/history", Value::Null),
        (Method::GET, "/v1/products", "", "", Value::Null),
        (Method::POST, "/v1/inventory/", "tea", "/adjustments", json!({"delta": 1, "reason": "r"})),
        (Method::GET, "/v1/inventory/", "tea", "", Value::Null),
        (Method::GET, "/v1/ledger", "", "", Value::Null),
        (Method::POST, "/v1/orders", "", "", placement.clone()),
        (Method::POST, "/v1/orders", "", "", placement),
        (Method::GET, "/v1/orders", "", "", Value::Null),
        (Method::GET, "/v1/orders/", order, "/timeline", Value::Null),
        (Method::POST, "/v1/orders/", order, "/extend", json!({"payment_due_at": "2030-01-01T00:00:00Z"})),
        (Method::POST, "/v1/orders/", order, "/fulfil", json!({})),
        (
            Method::POST,
            "/v1/orders/",
            "ord_01920000000070008000000000000000",
            "/cancel",
            json!({"reason": "r"}),
        ),
        (
            Method::POST,
            "/v1/webhooks/",
            "sandbox",
            "",
            json!({"type": "payment.succeeded", "data": {"order_id": order}}),
        ),
        (
            Method::POST,
            "/v1/sandbox/orders/",
            order,
            "/pay",
            json!({"amount": 1, "currency": "USD", "outcome": "failed", "event_id": "e"}),
        ),
    ];
    let (method, prefix, real, suffix, mut body) = rng.pick(&routes).clone();
    let segment = if real.is_empty() { String::new() } else { segment(rng, real) };
    let request = shop.api.request(method, &format!("{prefix}{segment}{suffix}{}", query(rng)));
    let request = request.header("idempotency-key", crate::harness::unique());
    if body.is_null() {
        return headers(request, rng);
    }
    let bytes = match rng.one_in(4) {
        true => nasty_bytes(rng, &body),
        false => {
            (0..=rng.below(3)).for_each(|_| spoil(&mut body, rng));
            body.to_string().into_bytes()
        }
    };
    headers(request.header("content-type", "application/json").body(bytes), rng)
}

#[tokio::test]
async fn nonsense_is_never_our_fault() {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 1_000_000).await;
    shop.stock("mug", 990, 1_000_000).await;
    shop.rooms("room", 5).await;
    let order = shop.place(&[("tea", 1)]).await;
    let mut rng = SeededRng(SEED);
    let requests: Vec<RequestBuilder> = (0..REQUESTS).map(|_| nonsense(&shop, &order, &mut rng)).collect();
    let refused = stream::iter(requests).map(async |request| {
        let shown = format!("{request:?}");
        let sent = request.try_clone().unwrap().build().unwrap();
        let body = String::from_utf8_lossy(sent.body().and_then(|body| body.as_bytes()).unwrap_or_default())
            .into_owned();
        let answer = send(request).await;
        let start = body.chars().take(2_000).collect::<String>();
        assert!(answer.status.as_u16() < 500, "{answer:?}\nto {shown}\n{start}");
        if answer.status.is_client_error() {
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json"),
                "{answer:?}\nto {shown}"
            );
        }
        usize::from(answer.status.is_client_error())
    });
    let refused: usize = refused.buffer_unordered(AT_ONCE).fold(0, async |sum, one| sum + one).await;
    // Nonsense that is never understood would test the door only.
    assert!((REQUESTS / 4..REQUESTS).contains(&refused), "{refused} of {REQUESTS} were refused");
    assert_eq!(shop.api.get("/v1/orders").await.status, 200);
    shop.audit();
}
