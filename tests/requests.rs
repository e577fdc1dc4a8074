//! What a request may be: its headers, its body, and the texts in it.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Shop, Socket, documents::Order, send};

#[tokio::test]
async fn an_array_is_no_object_at_any_depth() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let order = |verb: &str| format!("/v1/orders/{id}/{verb}");
    let sandbox = |verb: &str| format!("/v1/sandbox/orders/{id}/{verb}");
    for (path, body) in [
        (order("cancel"), json!(["because"])),
        (order("extend"), json!(["2030-01-01T00:00:00Z"])),
        (order("check-in"), json!(["ABCD2345"])),
        (order("refunds"), json!([100, "r"])),
        (sandbox("pay"), json!([1250, "EUR"])),
        (sandbox("fast-forward"), json!(["PT1H"])),
        ("/v1/inventory/tea/adjustments".to_owned(), json!([1, "r"])),
        ("/v1/orders".to_owned(), json!([])),
    ] {
        let problem = shop.api.post(&path, &body).await.problem(422, "invalid_request");
        assert_eq!(problem.errors[0].message, "must be an object", "{path}: {problem:?}");
    }
    assert_eq!(shop.api.put("/v1/products/x", &json!(["X", "", 1, "EUR"])).await.bad_fields(), [""]);
    let mut deep = shop.order_body(&[("tea", 1)]);
    deep["lines"] = json!([["tea", 1]]);
    assert_eq!(shop.try_place(&deep).await.bad_fields(), ["lines[0]"]);
    let mut deep = shop.order_body(&[("tea", 1)]);
    deep["customer"] = json!(["cust-42", "ann@example.org"]);
    assert_eq!(shop.try_place(&deep).await.bad_fields(), ["customer"]);
    let mut deep = shop.order_body(&[("tea", 1)]);
    deep["policy"] = json!({"fulfilment": {"manual": null}});
    assert_eq!(shop.try_place(&deep).await.bad_fields(), ["policy.fulfilment"]);
    let mut wrong = shop.order_body(&[("tea", 1)]);
    wrong["lines"][0]["quantity"] = json!("1");
    let problem = shop.try_place(&wrong).await.problem(422, "invalid_request");
    assert_eq!(problem.errors.len(), 1);
    assert_eq!(
        [&problem.errors[0].field, &problem.errors[0].message],
        ["lines[0].quantity", "must be an integer"]
    );
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    shop.close();
}

#[tokio::test]
async fn a_body_says_what_it_is_also_where_it_may_be_left_out() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let cancel = |headers: &[(&'static str, &'static str)]| {
        let mut request = shop.api.request(Method::POST, &format!("/v1/orders/{id}/cancel"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request.body(r#"{"reason":"r"}"#))
    };
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/json"), ("content-type", "text/plain")],
        &[("content-type", "application/json; charset=iso-8859-1")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        cancel(headers).await.problem(415, "unsupported_media_type");
    }
    let two_keys = [("content-type", "application/json"), ("idempotency-key", "a"), ("idempotency-key", "b")];
    cancel(&two_keys).await.problem(400, "idempotency_key_invalid");
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    cancel(&[("content-type", "application/json; charset=UTF-8")]).await.is(200);
    shop.close();
}

#[tokio::test]
async fn there_is_one_host_and_a_trace_goes_on_if_it_is_one() {
    let shop = Shop::open().await;
    let ask = async |headers: &str| {
        let request = format!("GET /healthz HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        Socket::ask(shop.api.address(), &request).await
    };
    assert!(ask("Host: shop.example:8080\r\n").await.starts_with("HTTP/1.1 200"));
    for bad in [
        "",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: u@a\r\n",
    ] {
        let answer = ask(bad).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{bad:?}: {answer}");
        assert!(answer.contains("\"code\":\"host_invalid\""), "{bad:?}: {answer}");
    }
    for bad in [
        "00-zz-yy-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "<script>",
    ] {
        let answer = send(shop.api.request(Method::GET, "/v1/orders").header("traceparent", bad)).await;
        assert_eq!(answer.header("traceparent"), None, "{bad}");
    }
    shop.close();
}

#[tokio::test]
async fn texts_are_what_they_look_like() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    for c in ['\u{200b}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{ad}', '\u{2028}', '\u{e0041}'] {
        let text = format!("Tea{c}pot");
        let product = |field: &str| {
            let mut product = json!({"name": "Tea", "unit_price": 1, "currency": "EUR"});
            product[field] = json!(text);
            product
        };
        for field in ["name", "description"] {
            assert_eq!(shop.api.put("/v1/products/x", &product(field)).await.bad_fields(), [field], "{c:?}");
        }
        let mut body = shop.order_body(&[("tea", 1)]);
        body["customer"]["name"] = json!(text);
        assert_eq!(shop.try_place(&body).await.bad_fields(), ["customer.name"], "{c:?}");
        let reason = json!({"reason": text});
        assert_eq!(shop.api.post(&format!("/v1/orders/{id}/cancel"), &reason).await.bad_fields(), ["reason"]);
    }
    // What scripts and emoji need.
    let mut body = shop.order_body(&[("tea", 1)]);
    body["customer"]["name"] =
        json!("\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645} \u{1f468}\u{200d}\u{1f33e}");
    shop.try_place(&body).await.is(201);
    let late = shop.api.get("/v1/orders?placed_from=2026-07-01T12:00:00+02:00").await;
    let problem = late.problem(422, "invalid_request");
    let message = &problem.errors[0].message;
    assert!(message.contains("%2B"), "{message}");
    assert_eq!(shop.api.get("/v1/orders?placed_from=2026-07-01T12:00:00%2B02:00").await.status, 200);
    shop.close();
}

/// The part of an answer that stands behind `"metadata":`, byte for byte.
fn metadata(body: &[u8]) -> String {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let start = text.find("\"metadata\":").unwrap() + "\"metadata\":".len();
    let end = text[start..].find(",\"workflow\":").unwrap();
    text[start..start + end].to_owned()
}

#[tokio::test]
async fn metadata_is_read_as_it_was_sent() {
    let shop = Shop::with_tea(100).await;
    let place = async |key: &str, metadata: &str| {
        let mut body = shop.order_body(&[("tea", 1)]).to_string();
        body.insert_str(body.len() - 1, &format!(",\"metadata\":{metadata}"));
        let request = shop.api.request(Method::POST, "/v1/orders").header("idempotency-key", key);
        send(request.header("content-type", "application/json").body(body)).await
    };
    let many = format!("{{\"n\":[{}]}}", vec!["1e308"; 2300].join(","));
    let sent = [
        r#"{"z":-0,"a":1.0,"b":1e300,"c":18446744073709551616,"d":123456789012345678901234567890.10,"e":1E-400}"#,
        r#"{"path":"C:\\u0000","é":"\"\\"}"#,
        many.as_str(),
        "{}",
    ];
    for (n, sent) in sent.into_iter().enumerate() {
        let placed = place(&format!("m{n}"), sent).await;
        let id = placed.clone().of::<Order>().is(201).id;
        assert_eq!(metadata(&placed.body), sent);
        let read = shop.api.get(&format!("/v1/orders/{id}")).await;
        assert_eq!(metadata(&read.body), sent);
        assert_eq!(metadata(&place(&format!("m{n}"), sent).await.body), sent, "replayed");
        let listed = shop.api.get("/v1/orders?limit=1").await;
        assert_eq!(metadata(&listed.body), sent);
        // 715 KB once, which every list read.
        assert!(listed.body.len() < 40_000, "{} bytes", listed.body.len());
        let size: i32 =
            shop.query("SELECT pg_column_size(metadata) FROM orders ORDER BY id DESC LIMIT 1").await;
        assert!(size < 1_000, "{size} bytes for the version before");
    }
    place("m0", r#"{"z":0}"#).await.problem(422, "idempotency_key_reused");
    for bad in
        [r#"{"a":"\u0000"}"#, r#"{"\u0000":1}"#, "[]", "null", "7", r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#]
    {
        assert_eq!(place("bad", bad).await.bad_fields(), ["metadata"], "{bad}");
    }
    // Fields in another order are the same request.
    place("order", r#"{"a":1,"b":[2]}"#).await.is(201);
    let again = place("order", r#"{ "b":[2], "a":1 }"#).await;
    again.is(201);
    assert!(again.is_replayed());
    // A row of the version before.
    let mut sql = shop.sql().await;
    sqlx::query(
        "UPDATE orders SET metadata_sent = NULL, metadata = '{\"old\": [1]}' WHERE idempotency_key = 'order'",
    )
    .execute(&mut sql)
    .await
    .unwrap();
    let id = again.of::<Order>().is(201).id;
    assert_eq!(shop.order(&id).await.metadata, json!({"old": [1]}));
    shop.close();
}

#[tokio::test]
async fn times_are_read_as_they_were_answered() {
    let shop = Shop::with_tea(10).await;
    let mut body = shop.order_body(&[("tea", 1)]);
    body["policy"] = json!({"payment_window": "PT2H0.123456789S", "reminders": ["PT1H0.0000001S"]});
    let placed = shop.try_place(&body).await.is(201);
    let id = placed.id.as_str();
    let times = |order: &Order| [order.placed_at, order.payment_due_at];
    assert_eq!(times(&shop.order(id).await), times(&placed));
    let later = json!({"payment_due_at": "2026-12-31T00:00:00.123456789Z"});
    let extended = shop.change(id, "extend", &later).await.is(200);
    assert_eq!(times(&shop.order(id).await), times(&extended));
    shop.close();
}

#[tokio::test]
async fn a_query_holds_what_is_known_and_once() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    for (path, field) in [
        (format!("/v1/orders/{id}?expand=lines"), "expand"),
        (format!("/v1/orders/{id}/timeline?limit=1"), "limit"),
        (format!("/v1/orders/{id}/payments?a&b=1"), "a"),
        ("/v1/products/tea?q=%ff".to_owned(), "query"),
        ("/v1/products?q=%ED%A0%80".to_owned(), "query"),
        ("/v1/orders?limit=1&limit=2".to_owned(), "limit"),
        ("/v1/orders?customer=a&customer=b".to_owned(), "customer"),
        ("/v1/products?include_retired=true&include_retired=true".to_owned(), "include_retired"),
        ("/v1/orders?colour=red".to_owned(), "colour"),
        ("/v1/orders?placed_from=2026-01-01T00:00Z".to_owned(), "placed_from"),
        ("/v1/orders?placed_from=2026-01-01T00:00:00Z[UTC]".to_owned(), "placed_from"),
        ("/v1/orders?placed_to=9999-12-31T23:59:59Z".to_owned(), "placed_to"),
        ("/v1/orders?placed_to=2026-02-30T00:00:00Z".to_owned(), "placed_to"),
    ] {
        assert_eq!(shop.api.get(&path).await.bad_fields(), [field], "{path}");
    }
    let cancel = format!("/v1/orders/{id}/cancel?force=true");
    assert_eq!(shop.api.post(&cancel, &json!({"reason": "r"})).await.bad_fields(), ["force"]);
    for good in ["2026-01-01T00:00:00.123456789123Z", "2026-01-01t00:00:00z", "2026-01-01T00:00:00-08:00"] {
        shop.api.get(&format!("/v1/orders?placed_from={good}")).await.is(200);
    }
    shop.api.get("/v1/orders?").await.is(200);
    assert_eq!(send(shop.api.request(Method::HEAD, "/v1/orders?limit=1")).await.status, 200);
    assert_eq!(shop.api.get("/healthz?from=balancer").await.status, 200);
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    for (body, code) in [("{}x", 400), ("{} {}", 400), ("{\"payment_due_at\":1,}", 400), ("{}", 422)] {
        let request = shop.api.request(Method::POST, &format!("/v1/orders/{id}/extend"));
        let request = request.header("content-type", "application/json").body(body);
        assert_eq!(send(request).await.status, code, "{body}");
    }
    shop.close();
}
