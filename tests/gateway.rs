//! Between the network and the routes: how many requests are answered, to whom, and what browsers are told.

use std::io::Read as _;

use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

use crate::harness::{Answer, Api, Shop, documents::Order, send};

const SHOP: &str = "https://shop.example";

fn text<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.header(name).unwrap_or_else(|| panic!("no {name}: {:?}", answer.headers))
}

async fn get_from(api: &Api, address: &str, path: &str) -> Answer {
    send(api.bare(Method::GET, path).bearer_auth("wrong").header("x-forwarded-for", address)).await
}

/// Each caller and each address has its own limit, in each group of routes; and what is one too many does
/// nothing.
#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let shop = Shop::with_tea(10).await;
    let limits = "reads=3/3600, writes=2/3600, reports=1/3600, strangers=2/3600".to_owned();
    let env = [("HOLDFAST_RATE_LIMITS", limits), ("HOLDFAST_TRUSTED_PROXIES", "127.0.0.0/8".to_owned())];
    let (api, _process) = shop.start_api(&env).await;
    let api = api.impatient();
    for remaining in [2, 1, 0] {
        let answer = api.get("/v1/orders").await;
        assert_eq!(answer.status, 200);
        assert_eq!(text(&answer, "ratelimit-policy"), "\"reads\";q=3;w=3600");
        assert_eq!(text(&answer, "ratelimit"), format!("\"reads\";r={remaining};t=1200"));
    }
    let refused = api.get("/v1/orders").await;
    refused.problem(429, "rate_limited");
    let wait: u32 = text(&refused, "retry-after").parse().unwrap();
    assert!((1_100..=1_200).contains(&wait), "{wait}");
    assert_eq!(text(&refused, "ratelimit"), format!("\"reads\";r=0;t={wait}"));

    // Each group by itself; what fails counts, too.
    let order = shop.order_body(&[("tea", 1)]);
    api.post_as("one", "/v1/orders", &order).await.is(201);
    api.post("/v1/orders", &json!({})).await.problem(422, "invalid_request");
    api.post("/v1/orders", &order).await.problem(429, "rate_limited");
    assert_eq!(shop.api.list::<Order>("/v1/orders").await.data.len(), 1, "nothing was done");
    api.get("/v1/settlements").await.is(200);
    api.get("/v1/settlements").await.problem(429, "rate_limited");

    // Another key of another name has limits of its own.
    let key = json!({"name": "till", "scopes": ["orders:read"]});
    let made = shop.api.post("/v1/keys", &key).await.is(201);
    let other = Api::with_key(api.address(), made["key"].as_str().unwrap().to_owned().leak()).impatient();
    assert_eq!(text(&other.get("/v1/orders").await, "ratelimit"), "\"reads\";r=2;t=1200");
    other.get("/v1/keys").await.problem(403, "scope_missing");
    assert_eq!(text(&other.get("/v1/orders").await, "ratelimit"), "\"reads\";r=0;t=1200");

    // Strangers are counted by address, of IPv6 by network; who has a key is not refused for them.
    for address in ["192.0.2.1", "6.6.6.6, 192.0.2.1"] {
        get_from(&api, address, "/v1/orders").await.problem(401, "unauthorized");
    }
    let refused = get_from(&api, "192.0.2.1", "/v1/orders").await;
    refused.problem(429, "rate_limited");
    assert_eq!(text(&refused, "ratelimit-policy"), "\"strangers\";q=2;w=3600");
    assert_eq!(get_from(&api, "192.0.2.1", "/docs").await.status, 429);
    let known = other.request(Method::GET, "/v1/orders").header("x-forwarded-for", "192.0.2.1");
    send(known).await.problem(429, "rate_limited"); // of its own limit: three were asked for
    for (n, status) in [(1, 401), (2, 401), (3, 429)] {
        assert_eq!(get_from(&api, &format!("2001:db8::{n}"), "/v1/orders").await.status, status);
    }
    assert_eq!(get_from(&api, "2001:db8:0:1::1", "/v1/orders").await.status, 401);

    // Never counted: probes, scrapes, and the webhooks of those who bring money.
    for _ in 0..5 {
        for path in ["/healthz", "/readyz", "/metrics"] {
            let answer = get_from(&api, "192.0.2.1", path).await;
            assert_eq!((answer.status.as_u16(), answer.header("ratelimit")), (200, None), "{path}");
        }
        let webhook = api.bare(Method::POST, "/v1/webhooks/sandbox").header("x-forwarded-for", "192.0.2.1");
        send(webhook.json(&json!({}))).await.problem(400, "bad_signature");
    }
    let figures = String::from_utf8(send(api.bare(Method::GET, "/metrics")).await.body).unwrap();
    for line in ["{limit=\"reads\"} 2", "{limit=\"writes\"} 1", "{limit=\"strangers\"} 3"] {
        assert!(figures.contains(&format!("holdfast_rate_limited_total{line}")), "{line} in {figures}");
    }

    // Without proxies that are trusted nobody chooses an address; and all of it can be switched off.
    let (api, _process) = shop.start_api(&[("HOLDFAST_RATE_LIMITS", "strangers=1/3600".to_owned())]).await;
    assert_eq!(get_from(&api, "192.0.2.1", "/v1/orders").await.status, 401);
    assert_eq!(get_from(&api, "192.0.2.2", "/v1/orders").await.status, 429);
    let (api, _process) = shop.start_api(&[("HOLDFAST_RATE_LIMITS", "off".to_owned())]).await;
    assert_eq!(api.get("/v1/orders").await.header("ratelimit"), None);
    shop.close();
}

fn preflight(api: &Api, origin: &str, path: &str) -> reqwest::RequestBuilder {
    api.bare(Method::OPTIONS, path)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,idempotency-key")
}

/// What a page of a configured origin may see: answers and errors; what others see: nothing.
#[tokio::test]
async fn pages_of_configured_origins_may_call() {
    let shop = Shop::with_tea(10).await;
    let env = [
        ("HOLDFAST_CORS_ORIGINS", format!("http://localhost:5173, {SHOP}")),
        ("HOLDFAST_RATE_LIMITS", "reads=2/3600,strangers=1/3600".to_owned()),
    ];
    let (api, _process) = shop.start_api(&env).await;
    for _ in 0..3 {
        let answer = send(preflight(&api, SHOP, "/v1/orders")).await;
        assert_eq!((answer.status.as_u16(), answer.header("ratelimit")), (200, None));
        assert_eq!(text(&answer, "access-control-allow-origin"), SHOP);
        assert!(text(&answer, "access-control-allow-methods").contains("DELETE"));
        let allowed = text(&answer, "access-control-allow-headers");
        for name in
            ["authorization", "idempotency-key", "if-match", "if-none-match", "content-type", "traceparent"]
        {
            assert!(allowed.contains(name), "{name}: {allowed}");
        }
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    let from = |origin: &str, key: &str, path: &str| {
        send(api.bare(Method::GET, path).bearer_auth(key).header("origin", origin))
    };
    let key = crate::harness::http::API_KEY;
    for (key, path, status) in [
        (key, "/v1/orders", 200),
        (key, "/v1/orders/none", 404),
        (key, "/v1/orders", 429),
        ("wrong", "/v1/orders", 401),
        ("wrong", "/v1/orders", 429),
        (key, "/nowhere", 404),
        (key, "/v1/webhooks/sandbox", 405),
    ] {
        let answer = from(SHOP, key, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(text(&answer, "access-control-allow-origin"), SHOP, "{path} {status}");
        let shown = text(&answer, "access-control-expose-headers");
        for name in [
            "location",
            "etag",
            "idempotent-replayed",
            "retry-after",
            "ratelimit",
            "ratelimit-policy",
            "x-request-id",
        ] {
            assert!(shown.split(',').any(|it| it == name), "{name}: {shown}");
        }
        assert!(text(&answer, "vary").contains("origin"), "caches tell origins apart");
    }
    for answer in [from("https://other.example", key, "/nowhere").await, from(SHOP, key, "/metrics").await] {
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let other = send(preflight(&api, "https://other.example", "/v1/orders")).await;
    assert_eq!(other.header("access-control-allow-origin"), None);
    // What asks for nothing is no preflight.
    let plain = send(api.bare(Method::OPTIONS, "/v1/orders").header("origin", SHOP)).await;
    plain.problem(405, "method_not_allowed");
    // By default there is no other origin, and a preflight is a method that is not there.
    send(preflight(&shop.api, SHOP, "/v1/orders")).await.problem(405, "method_not_allowed");
    for wrong in ["*", "https://shop.example/", "shop.example"] {
        let mut process = shop.start("api", &[("HOLDFAST_CORS_ORIGINS", wrong.to_owned())]);
        assert!(!process.ended().await.success());
        assert!(process.log().contains("HOLDFAST_CORS_ORIGINS"), "{}", process.log());
    }
    shop.close();
}

/// Large answers travel small, to who can unpack them. What an entity tag names is not touched.
#[tokio::test]
async fn large_answers_are_compressed() {
    let shop = Shop::with_tea(10).await;
    for n in 0..10 {
        shop.stock(&format!("mug-{n}"), 900, 0).await;
    }
    let as_ = |coding: &str, path: &str| {
        send(shop.api.request(Method::GET, path).header("accept-encoding", coding))
    };
    let plain = as_("identity", "/v1/products").await;
    assert_eq!((plain.header("content-encoding"), text(&plain, "vary")), (None, "accept-encoding"));
    for (coding, magic) in [("gzip", &[0x1f, 0x8b][..]), ("zstd", &[0x28, 0xb5, 0x2f, 0xfd]), ("br", &[])] {
        let packed = as_(coding, "/v1/products").await;
        assert_eq!(text(&packed, "content-encoding"), coding);
        assert_eq!(text(&packed, "vary"), "accept-encoding");
        assert!(packed.body.len() * 2 < plain.body.len() && packed.body.starts_with(magic), "{coding}");
        if coding == "gzip" {
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&*packed.body).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, plain.body);
        }
    }
    for path in ["/openapi.json", "/docs/files/swagger-ui.css"] {
        assert_eq!(text(&as_("gzip", path).await, "content-encoding"), "gzip", "{path}");
    }
    assert_eq!(as_("gzip", "/v1/inventory/tea").await.header("content-encoding"), None, "it is small");
    // A tag is strong, and of use in the next change.
    let long = "x".repeat(2_000);
    let body = json!({"name": "Tea", "description": long, "unit_price": 900, "currency": "EUR"});
    shop.put_product("tea", &body).await.is(200);
    let tagged = as_("gzip, br, zstd", "/v1/products/tea").await;
    assert!(tagged.body.len() > 2_000 && tagged.header("content-encoding").is_none());
    let tag = text(&tagged, "etag").to_owned();
    let change = shop.api.request(Method::PUT, "/v1/products/tea").header("if-match", &tag).json(&body);
    assert!(send(change).await.status.is_success());
    shop.close();
}

#[tokio::test]
async fn browsers_are_told_what_an_answer_is() {
    let shop = Shop::with_tea(10).await;
    let (api, _process) = shop.start_api(&[("HOLDFAST_HSTS_MAX_AGE", "31536000".to_owned())]).await;
    let of = |answer: &Answer| -> Vec<Option<String>> {
        let names = ["x-content-type-options", "referrer-policy", "content-security-policy", "cache-control"];
        let header = |headers: &HeaderMap, name| Some(headers.get(name)?.to_str().unwrap().to_owned());
        names.iter().map(|name| header(&answer.headers, *name)).collect()
    };
    let told = |caching: &str| {
        ["nosniff", "no-referrer", "default-src 'none'; frame-ancestors 'none'", caching]
            .map(|it| Some(it.to_owned()))
            .to_vec()
    };
    for path in ["/v1/orders", "/v1/orders/none", "/nowhere", "/healthz", "/metrics"] {
        assert_eq!(of(&shop.api.get(path).await), told("no-store"), "{path}");
    }
    assert_eq!(of(&send(shop.api.bare(Method::GET, "/v1/orders")).await), told("no-store"), "a refusal");
    let product = shop.api.get("/v1/products/tea").await;
    assert_eq!(of(&product), told("private, no-cache"));
    assert_eq!(product.header("strict-transport-security"), None);
    assert_eq!(text(&api.get("/healthz").await, "strict-transport-security"), "max-age=31536000");
    // The page to try the API runs its own scripts, as ever.
    assert!(text(&api.get("/docs").await, "content-security-policy").contains("script-src 'self'"));
    let _: Value = api.get("/openapi.json").await.is(200);
    shop.close();
}
