//! Nonsense of every kind: answered, never with a 5xx.

use futures_util::{StreamExt as _, stream};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{SeededRng, Shop, send};

const REQUESTS: usize = 600;
const AT_ONCE: usize = 8;
/// The same nonsense at every run.
const SEED: u64 = 0x005e_ed0f_401d_fa57;

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
        11 => json!(rng.pick(&times).unwrap()),
        12 => json!(rng.next() as i64 % 20_000),
        _ => json!(rng.pick(&texts).unwrap()),
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
        4 => text = (0..rng.below(200)).map(|_| rng.next() as u8).collect(),
        _ => {
            let i = rng.below(text.len());
            text[i] = rng.next() as u8;
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
        0 => (*rng.pick(&nasty).unwrap()).to_owned(),
        1 => "x".repeat(1 + rng.below(5_000)),
        _ => real.to_owned(),
    }
}

fn query(rng: &mut SeededRng) -> String {
    let names: Vec<&str> = "limit status customer placed_from placed_to starting_after \
                            q include_retired from to %00 limit[]"
        .split_whitespace()
        .collect();
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
    let pairs: Vec<String> = (0..rng.below(4))
        .map(|_| format!("{}={}", rng.pick(&names).unwrap(), rng.pick(&values).unwrap()))
        .collect();
    format!("?{}", pairs.join("&"))
}

fn headers(mut request: RequestBuilder, rng: &mut SeededRng) -> RequestBuilder {
    let values: [&[u8]; 6] =
        [b"", b"\xff\xfe", b"00-zz-yy-01", b"v1,", b"-9223372036854775808", &[b'x'; 3_000]];
    let names: Vec<&str> =
        "idempotency-key traceparent tracestate x-request-id content-type accept-encoding webhook-id \
                            webhook-timestamp webhook-signature authorization baggage if-match if-none-match"
            .split_whitespace()
            .collect();
    for _ in 0..rng.below(3) {
        let value: &[u8] = values[rng.below(values.len())];
        let value = reqwest::header::HeaderValue::from_bytes(value).unwrap();
        request = request.header(*rng.pick(&names).unwrap(), value);
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
    let offer = json!({"from": "2999-01-01", "to": "2999-01-03", "capacity": 5, "unit_price": 1});
    let terms = json!({"max_guests": 2, "time_zone": "Europe/Vienna", "extras": [extra]});
    let payment = json!({"amount": 1, "currency": "USD", "outcome": "failed", "event_id": "e"});
    let told = json!({"type": "payment.succeeded", "data": {"order_id": order}});
    let nobody = "ord_01920000000070008000000000000000";
    let (get, put, post) = (Method::GET, Method::PUT, Method::POST);
    let routes = [
        (&post, "/v1/orders", "", "", booking),
        (&put, "/v1/products/", "room", "/nights", offer),
        (&get, "/v1/products/", "room", "/nights", Value::Null),
        (&put, "/v1/products/", "room", "/stay", terms),
        (&post, "/v1/orders/", order, "/check-in", json!({"code": "ABCD2345"})),
        (&put, "/v1/products/", "tea", "", product),
        (&get, "/v1/products/", "tea", "", Value::Null),
        (&Method::DELETE, "/v1/products/", "cup", "", Value::Null),
        (&get, "/v1/products/", "tea", "/history", Value::Null),
        (&get, "/v1/products", "", "", Value::Null),
        (&post, "/v1/inventory/", "tea", "/adjustments", json!({"delta": 1, "reason": "r"})),
        (&get, "/v1/inventory/", "tea", "", Value::Null),
        (&get, "/v1/ledger", "", "", Value::Null),
        (&post, "/v1/orders", "", "", placement.clone()),
        (&post, "/v1/orders", "", "", placement),
        (&get, "/v1/orders", "", "", Value::Null),
        (&get, "/v1/orders/", order, "/timeline", Value::Null),
        (&post, "/v1/orders/", order, "/extend", json!({"payment_due_at": "2030-01-01T00:00:00Z"})),
        (&post, "/v1/orders/", order, "/fulfil", json!({})),
        (&post, "/v1/orders/", nobody, "/cancel", json!({"reason": "r"})),
        (&post, "/v1/webhooks/", "sandbox", "", told),
        (&post, "/v1/sandbox/orders/", order, "/pay", payment),
    ];
    let (method, prefix, real, suffix, mut body) = rng.pick(&routes).unwrap().clone();
    let segment = if real.is_empty() { String::new() } else { segment(rng, real) };
    let request = shop.api.request(method.clone(), &format!("{prefix}{segment}{suffix}{}", query(rng)));
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
    let mut rng = SeededRng::new(SEED);
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
