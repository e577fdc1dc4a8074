//! Every error of the contract, in its one shape.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Shop, http, send},
    update::documented,
};

/// Routes for anybody, and the webhooks, which have signatures of their own.
/// What strangers may ask for; those of accounts by their method.
const WITHOUT_KEY: [&str; 6] = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/webhooks/{provider}",
    "/v1/webhooks/bounces",
    "/.well-known/jwks.json",
];
const OF_STRANGERS: [&str; 7] = [
    "/v1/accounts",
    "/v1/accounts/resend-code",
    "/v1/accounts/verify",
    "/v1/accounts/password/reset-code",
    "/v1/accounts/password/reset",
    "/v1/sessions",
    "/v1/sessions/refresh",
];

#[tokio::test]
async fn every_route_wants_the_key() {
    // More strangers from one address than there may be in a minute.
    let shop = Shop::with_env(vec![("HOLDFAST_RATE_LIMITS", "off".to_owned())]).await;
    shop.stock("tea", 1250, 10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let (key, mut seen) = (http::API_KEY, 0);
    for (method, route) in documented(&shop).await {
        let is_of_strangers = method == Method::POST && OF_STRANGERS.contains(&route.as_str());
        if is_of_strangers || WITHOUT_KEY.contains(&route.as_str()) {
            continue;
        }
        seen += 1;
        let path = route.replace("{sku}", "tea").replace("{id}", &id);
        let request = || shop.api.bare(method.clone(), &path);
        for stranger in [
            request(),
            request().bearer_auth("wrong"),
            request().bearer_auth(""),
            request().header("authorization", key),
            request().basic_auth(key, Some(key)),
        ] {
            let answer = send(stranger).await;
            answer.problem(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{method} {route}");
        }
    }
    assert!(seen > 30, "{seen} routes");
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    shop.close();
}

const EXTEND: &str = r#"{"payment_due_at":"2030-01-01T00:00:00Z"}"#;
const ADJUST: &str = r#"{"delta":1,"reason":"x"}"#;

#[tokio::test]
async fn what_is_not_there_and_what_is_not_understood() {
    let shop = Shop::open().await;
    let big = " ".repeat(300 * 1024);
    for (method, path, body, status, code) in [
        ("GET", "/v1/nothing", None, 404, "route_not_found"),
        ("GET", "/v1/orders/", None, 404, "route_not_found"),
        ("GET", "/v1/orders/{id}", None, 404, "order_not_found"),
        ("GET", "/v1/orders/7", None, 404, "order_not_found"),
        ("GET", "/v1/orders/%ff", None, 404, "order_not_found"),
        ("GET", "/v1/orders/{id}/timeline", None, 404, "order_not_found"),
        ("GET", "/v1/orders/{id}/payments", None, 404, "order_not_found"),
        ("POST", "/v1/orders/{id}/cancel", None, 404, "order_not_found"),
        ("POST", "/v1/orders/{id}/fulfil", None, 404, "order_not_found"),
        ("POST", "/v1/orders/{id}/extend", Some(EXTEND), 404, "order_not_found"),
        ("POST", "/v1/sandbox/orders/{id}/pay", None, 404, "order_not_found"),
        (
            "POST",
            "/v1/sandbox/orders/{id}/fast-forward",
            Some(r#"{"duration":"PT1H"}"#),
            404,
            "order_not_found",
        ),
        ("GET", "/v1/products/none", None, 404, "product_not_found"),
        ("GET", "/v1/products/%00", None, 404, "product_not_found"),
        ("GET", "/v1/inventory/none", None, 404, "product_not_found"),
        ("POST", "/v1/inventory/none/adjustments", Some(ADJUST), 404, "product_not_found"),
        ("GET", "/v1/event-schemas/order.eaten/1", None, 404, "event_schema_not_found"),
        ("GET", "/v1/event-schemas/order.paid/2", None, 404, "event_schema_not_found"),
        ("DELETE", "/v1/orders", None, 405, "method_not_allowed"),
        ("PATCH", "/v1/products/tea", None, 405, "method_not_allowed"),
        ("GET", "/v1/webhooks/sandbox", None, 405, "method_not_allowed"),
        ("POST", "/v1/orders", Some("{"), 400, "malformed_json"),
        ("POST", "/v1/orders", Some(""), 400, "malformed_json"),
        (
            "POST",
            "/v1/inventory/tea/adjustments",
            Some(r#"{"delta":1,"reason":"x"} {}"#),
            400,
            "malformed_json",
        ),
        ("POST", "/v1/orders", Some(big.as_str()), 413, "payload_too_large"),
    ] {
        let path = path.replace("{id}", "ord_01920000000070008000000000000000");
        let mut request = shop.api.request(method.parse().unwrap(), &path).header("idempotency-key", "k");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        send(request).await.problem(status, code);
    }
    let post = || shop.api.request(Method::POST, "/v1/orders").header("idempotency-key", "k").body("{}");
    for request in [post(), post().header("content-type", "text/plain")] {
        send(request).await.problem(415, "unsupported_media_type");
    }
    shop.close();
}

/// (where in a valid order, what stands there instead, which fields the answer complains about)
fn bad_orders() -> Vec<(&'static str, Value, Vec<&'static str>)> {
    let lines = |n: usize| json!(vec![json!({"sku": "tea", "quantity": 1}); n]);
    vec![
        ("/customer/email", json!("zaphod"), vec!["customer.email"]),
        ("/customer/email", json!("a\0b@example.org"), vec!["customer.email"]),
        ("/customer/id", json!("zaphod@example.org"), vec!["customer.id"]),
        ("/customer/name", json!("two\nlines"), vec!["customer.name"]),
        ("/customer/time_zone", json!("Mars/Olympus"), vec!["customer.time_zone"]),
        ("/customer/locale", json!("de AT"), vec!["customer.locale"]),
        ("/customer", json!({"id": ""}), vec!["customer"]),
        ("/customer/id", json!(7), vec!["customer.id"]),
        ("/customer/shoe_size", json!(44), vec!["customer.shoe_size"]),
        ("/currency", json!("EURO"), vec!["currency"]),
        ("/currency", json!("USD"), vec!["currency", "currency"]), // once for each product
        ("/lines", json!([]), vec!["lines"]),
        ("/lines", lines(101), vec!["lines"]),
        ("/lines/1/quantity", json!(0), vec!["lines[1].quantity"]),
        ("/lines/1/quantity", json!(-3), vec!["lines[1].quantity"]),
        ("/lines/1/quantity", json!(10_001), vec!["lines[1].quantity"]),
        ("/lines/1/quantity", json!(1.5), vec!["lines[1].quantity"]),
        ("/lines/1/quantity", json!("1"), vec!["lines[1].quantity"]),
        ("/lines/1/sku", json!("none"), vec!["lines[1].sku"]),
        ("/lines/1/sku", json!("old"), vec!["lines[1].sku"]),
        ("/lines/1/sku", json!("not a sku?"), vec!["lines[1].sku"]),
        ("/lines/1/colour", json!("red"), vec!["lines[1].colour"]),
        ("/policy", json!({"payment_window": "4h"}), vec!["policy.payment_window"]),
        ("/policy", json!({"payment_window": "PT0S"}), vec!["policy.payment_window"]),
        ("/policy", json!({"payment_window": "P91D"}), vec!["policy.payment_window"]),
        ("/policy", json!({"payment_window": "P1M"}), vec!["policy.payment_window"]),
        ("/policy", json!({"reminders": ["PT25H"]}), vec!["policy.reminders[0]"]),
        ("/policy", json!({"reminders": ["PT4H", "-PT4H"]}), vec!["policy.reminders[1]"]),
        ("/policy", json!({"reminders": vec!["PT1H"; 11]}), vec!["policy.reminders"]),
        ("/policy", json!({"fulfilment": "magic"}), vec!["policy.fulfilment"]),
        ("/policy", json!({"grace": "PT25H"}), vec!["policy.grace"]),
        ("/policy", json!({"late_payment": "shrug"}), vec!["policy.late_payment"]),
        ("/policy", json!({"patience": "PT1H"}), vec!["policy.patience"]),
        ("/payment_method", json!("barter"), vec!["payment_method"]),
        ("/metadata", json!({"big": "x".repeat(17 * 1024)}), vec!["metadata"]),
        ("/metadata", json!({"nul": "\0"}), vec!["metadata"]),
        ("/metadata", json!([]), vec!["metadata"]),
        ("/coupon", json!("X"), vec!["coupon"]),
    ]
}

#[tokio::test]
async fn a_bad_order_is_told_which_fields_are_wrong() {
    let shop = Shop::with_tea(1000).await;
    shop.stock("mug", 990, 10).await;
    let old = json!({"name": "Old", "unit_price": 1, "currency": "EUR", "active": false});
    shop.api.put("/v1/products/old", &old).await.is(201);
    for (at, value, fields) in bad_orders() {
        let mut body = shop.order_body(&[("tea", 1), ("mug", 1)]);
        body["metadata"] = json!({});
        let (parent, name) = at.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value.clone();
        assert_eq!(shop.try_place(&body).await.bad_fields(), fields, "{at} = {value}");
    }
    // All at once.
    let mut body = shop.order_body(&[("t?a", 0), ("tea", 0)]);
    body["customer"]["email"] = json!("x");
    body["currency"] = json!("xxx");
    body["policy"] = json!({"payment_window": "x"});
    let expected = [
        "customer.email",
        "currency",
        "lines[0].sku",
        "lines[0].quantity",
        "lines[1].quantity",
        "policy.payment_window",
    ];
    assert_eq!(shop.try_place(&body).await.bad_fields(), expected);
    assert_eq!(shop.level("tea").await, (1000, 0));
    shop.close();
}

#[tokio::test]
async fn other_bad_requests_name_their_fields_too() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let product = |field: &str, value: Value| {
        let mut product = json!({"name": "Tea", "unit_price": 1, "currency": "EUR"});
        product[field] = value;
        product
    };
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("a\0b")),
        ("description", json!("x".repeat(100_000))),
        ("unit_price", json!(-1)),
        ("unit_price", json!(i64::MAX)),
        ("currency", json!("eur")),
        ("colour", json!("red")),
    ] {
        assert_eq!(shop.api.put("/v1/products/x", &product(field, value)).await.bad_fields(), [field]);
    }
    assert_eq!(
        shop.api.put("/v1/products/no%3Fsku", &product("name", json!("x"))).await.bad_fields(),
        ["sku"]
    );
    let adjustments = "/v1/inventory/tea/adjustments";
    for (body, field) in [
        (json!({"delta": 0, "reason": "x"}), "delta"),
        (json!({"delta": i64::MIN, "reason": "x"}), "delta"),
        (json!({"delta": 1, "reason": " "}), "reason"),
    ] {
        assert_eq!(shop.api.post(adjustments, &body).await.bad_fields(), [field]);
    }
    // All of a body is wrong, and no field of it.
    for body in [json!([]), json!(7), json!("x")] {
        let refused = shop.api.post(adjustments, &body).await.problem(422, "invalid_request");
        assert_eq!(refused.detail, "The body must be an object.");
    }
    let order = |verb: &str| format!("/v1/orders/{id}/{verb}");
    let sandbox = |verb: &str| format!("/v1/sandbox/orders/{id}/{verb}");
    for (path, body, field) in [
        (order("cancel"), json!({"reason": "x".repeat(201)}), "reason"),
        (order("extend"), json!({"payment_due_at": "tomorrow"}), "payment_due_at"),
        (sandbox("pay"), json!({"currency": "x"}), "currency"),
        (sandbox("pay"), json!({"event_id": "a b"}), "event_id"),
        (sandbox("fast-forward"), json!({"duration": "-PT1H"}), "duration"),
        (sandbox("fast-forward"), json!({"duration": "P500D"}), "duration"),
    ] {
        assert_eq!(shop.api.post(&path, &body).await.bad_fields(), [field], "{path}");
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("status=lost", "status"),
        ("customer=a%40b", "customer"),
        ("placed_from=yesterday", "placed_from"),
        ("placed_to=7", "placed_to"),
        ("starting_after=x", "starting_after"),
        ("colour=red", "colour"),
    ] {
        assert_eq!(shop.api.get(&format!("/v1/orders?{query}")).await.bad_fields(), [field], "{query}");
    }
    shop.close();
}

#[tokio::test]
async fn ids_of_requests_and_traces_come_back() {
    let shop = Shop::open().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for path in ["/v1/orders", "/v1/orders/none", "/healthz"] {
        let request = shop
            .api
            .request(Method::GET, path)
            .header("x-request-id", "my-id.7")
            .header("traceparent", trace);
        let answer = send(request).await;
        assert_eq!(answer.header("x-request-id"), Some("my-id.7"));
        assert_eq!(answer.header("traceparent"), Some(trace));
    }
    let request = shop.api.request(Method::GET, "/v1/orders/none").header("x-request-id", "not decent!");
    let made = send(request).await.problem(404, "order_not_found");
    assert!(made.request_id.starts_with("req_"));
    shop.close();
}
