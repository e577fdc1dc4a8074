//! What others are told: complete, in order, never before it has happened, and by whose request.

use std::collections::BTreeMap;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::harness::{Shop, eventually, send, unique, wait_until};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// All events, page by page.
async fn all(shop: &Shop, query: &str) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), String::new());
    loop {
        let page = shop.api.list::<Value>(&format!("/v1/events?limit=7{query}{after}")).await;
        events.extend(page.data);
        let Some(next) = page.next_cursor else { return events };
        after = format!("&after={next}");
    }
}

async fn types(shop: &Shop, query: &str) -> Vec<String> {
    let events = all(shop, query).await;
    events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

/// Waits until these are told: transactions of other tests, too, keep events back for as long as they last.
async fn until_types(shop: &Shop, query: &str, wanted: &[&str]) {
    wait_until("events are told", async || types(shop, query).await == wanted).await;
}

/// The events of each subject are numbered from one, in the order in which they are read.
fn assert_numbered(events: &[Value]) {
    let mut counts = BTreeMap::<String, i64>::new();
    for event in events {
        let count = counts.entry(event["subject"].as_str().unwrap().to_owned()).or_default();
        *count += 1;
        assert_eq!(event["sequence"], *count, "{event}");
    }
}

#[tokio::test]
async fn an_order_is_told_from_its_placement_to_its_refund() {
    let shop = Shop::with_tea(3).await;
    let body = shop.order_body(&[("tea", 3)]);
    let request = shop.api.request(Method::POST, "/v1/orders").header("idempotency-key", unique());
    let request = request.header("x-tenant-id", "north").header("x-auth-token", "hidden");
    let request = request.header("x-forwarded-for", "192.0.2.7").header("traceparent", TRACEPARENT);
    let id = send(request.json(&body)).await.is(201)["id"].as_str().unwrap().to_owned();
    let of_order = format!("&subject={id}");
    until_types(&shop, &of_order, &["order.placed"]).await;
    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    shop.refund(&id, json!({"reason": "torn", "lines": [{"sku": "tea", "quantity": 1}]})).await;
    shop.until_told(&id, "stock.returned").await;

    let told = [
        "order.placed",
        "payment.received",
        "order.paid",
        "order.completed",
        "refund.requested",
        "payment.refunded",
    ];
    until_types(&shop, &of_order, &told).await;
    let events = all(&shop, &of_order).await;
    for event in &events {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["dataschema"], format!("urn:holdfast:event:{}:1", event["type"].as_str().unwrap()));
        assert_eq!(event["xtenantid"], "north", "also of what happens later: {event}");
        assert!(event["traceparent"].as_str().unwrap().starts_with(&TRACEPARENT[..35]), "{event}");
        let text = event.to_string();
        for hidden in ["hidden", "192.0.2.7", &shop.email, "Zaphod"] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
    let lines = json!([{"sku": "tea", "quantity": 3}]);
    let data = json!({"customer_id": "cust-42", "total": 3750, "currency": "EUR", "lines": lines});
    assert_eq!(events[0]["data"], data);

    let everything = all(&shop, "").await;
    assert_numbered(&everything);
    let of_tea = ["stock.restocked", "stock.depleted", "stock.restocked"];
    until_types(&shop, "&subject=inventory:tea", &of_tea).await;
    until_types(&shop, "&subject=tea", &["product.created"]).await;
    until_types(&shop, "&type=order.paid,product.created", &["product.created", "order.paid"]).await;
    shop.close();
}

#[tokio::test]
async fn thresholds_products_and_changes_are_told() {
    let shop = Shop::with_tea(10).await;
    let threshold = "/v1/inventory/tea/low-stock-threshold";
    for bad in [json!({"threshold": 0}), json!({})] {
        shop.api.put(threshold, &bad).await.problem(422, "invalid_request");
    }
    let shown = async || shop.api.get("/v1/inventory/tea").await.is(200)["low_stock_threshold"].clone();
    assert_eq!(shown().await, Value::Null);
    shop.api.put(threshold, &json!({"threshold": 4})).await.is(200);
    assert_eq!(shop.api.get(threshold).await.is(200), json!({"threshold": 4}));
    assert_eq!(shown().await, 4);
    let id = shop.place_started(&[("tea", 6)]).await;
    let path = format!("/v1/orders/{id}/cancel");
    let cancel = shop.api.request(Method::POST, &path).header("idempotency-key", unique());
    send(cancel.header("x-clerk", "7").json(&json!({}))).await.is(200);
    let crossed = ["stock.restocked", "stock.low", "stock.recovered"];
    until_types(&shop, "&subject=inventory:tea", &crossed).await;
    let of_level = all(&shop, "&subject=inventory:tea").await;
    let of_level: Vec<_> =
        of_level.iter().map(|it| (it["type"].as_str().unwrap(), it["data"]["available"].as_i64())).collect();
    let wanted = [("stock.restocked", Some(10)), ("stock.low", Some(4)), ("stock.recovered", Some(10))];
    assert_eq!(of_level, wanted);
    let of_cancel = format!("&subject={id}&type=order.cancelled");
    until_types(&shop, &of_cancel, &["order.cancelled"]).await;
    let cancelled = all(&shop, &of_cancel).await;
    assert_eq!(cancelled[0]["xclerk"], "7", "the request that asked for it is not the one that did it");

    let cheaper = json!({"name": "Tea", "unit_price": 1100, "currency": "EUR"});
    shop.put_product("tea", &cheaper).await.is(200);
    shop.api.delete("/v1/products/tea").await.is(200);
    let changed = ["product.created", "product.changed", "product.retired"];
    until_types(&shop, "&subject=tea", &changed).await;
    let products = all(&shop, "&subject=tea").await;
    let kinds: Vec<_> = products.iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, changed);
    assert_eq!(products[1]["data"]["unit_price"], 1100);
    assert!(products[1]["data"]["changed"].as_array().unwrap().contains(&json!("unit_price")));
    assert_numbered(&all(&shop, "").await);

    for (query, field) in [
        ("after=evt_1", "after"),
        ("after=ord_01920000000070008000000000000000", "after"),
        ("type=order.eaten", "type"),
        ("subject=", "subject"),
        ("subject=%00", "subject"),
        ("limit=0", "limit"),
    ] {
        let refused = shop.api.get(&format!("/v1/events?{query}")).await.problem(422, "invalid_request");
        assert_eq!(refused.errors[0].field, field, "{query}");
    }
    shop.close();
}

/// A number is taken before the transaction that has it commits.
#[tokio::test]
async fn an_event_that_is_still_being_written_keeps_back_those_after_it() {
    let shop = Shop::with_tea(10).await;
    until_types(&shop, "", &["product.created", "stock.restocked"]).await;
    let before = all(&shop, "").await.len();
    let mut slow = shop.sql().await;
    let insert = "INSERT INTO events (subject, sequence, type, at, data)
                  VALUES ('slow', 1, 'product.created', '2026-01-01', '{}')";
    slow.execute("BEGIN").await.unwrap();
    slow.execute(insert).await.unwrap();
    let id = shop.place(&[("tea", 1)]).await;
    assert_eq!(all(&shop, "").await.len(), before, "nothing is shown that something could come before");
    slow.execute("COMMIT").await.unwrap();
    wait_until("both are told", async || all(&shop, "").await.len() == before + 2).await;
    let after = all(&shop, "").await;
    let subjects: Vec<_> = after[before..].iter().map(|it| it["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["slow", id.as_str()]);

    // One that began first has the later number, and ends first. Nobody else writes meanwhile.
    let (mut first, before) = (shop.sql().await, after.len());
    first.execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
    slow.execute("BEGIN").await.unwrap();
    slow.execute(
        "INSERT INTO events (subject, sequence, type, at, data)
                  VALUES ('slow', 2, 'product.changed', '2026-01-01', '{}')",
    )
    .await
    .unwrap();
    assert_eq!(all(&shop, "").await.len(), before);
    first
        .execute(
            "INSERT INTO events (subject, sequence, type, at, data)
                   VALUES ('first', 1, 'product.created', '2026-01-01', '{}'); COMMIT",
        )
        .await
        .unwrap();
    assert_eq!(all(&shop, "").await.len(), before, "an earlier number is still to come");
    slow.execute("COMMIT").await.unwrap();
    wait_until("both are told", async || all(&shop, "").await.len() == before + 2).await;
    let after = all(&shop, "").await;
    let subjects: Vec<_> = after[before..].iter().map(|it| it["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["slow", "first"]);
    shop.close();
}

/// Eight who write at once, one that reads all the while: it sees each event once.
#[tokio::test]
async fn a_reader_among_writers_misses_nothing_and_sees_nothing_twice() {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let shop = Shop::with_tea(1_000).await;
    let writer = async |_| {
        for _ in 0..EACH {
            shop.place(&[("tea", 1)]).await;
        }
    };
    let reader = async {
        let (mut seen, mut after) = (Vec::<Value>::new(), String::new());
        while seen.iter().filter(|it| it["type"] == "order.placed").count() < WRITERS * EACH {
            let page = shop.api.list::<Value>(&format!("/v1/events?limit=100{after}")).await;
            if let Some(last) = page.data.last() {
                after = format!("&after={}", last["id"].as_str().unwrap());
            }
            seen.extend(page.data);
        }
        seen
    };
    let (_, seen) = futures_util::join!(futures_util::future::join_all((0..WRITERS).map(writer)), reader);
    let known = all(&shop, "").await;
    assert!(known.starts_with(&seen), "it has seen what everybody sees, in the same order");
    assert_numbered(&known);
    shop.close();
}

/// Server-sent events, as a client reads them: each as its id, its name and its data.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(shop: &Shop, query: &str, last: Option<&str>) -> Self {
        let request = shop.api.request(Method::GET, &format!("/v1/events/stream{query}"));
        let request = last.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(|it| it.trim().to_owned())
                };
                let Some(id) = field("id:") else { continue };
                let data = serde_json::from_str(&field("data:").unwrap()).unwrap();
                return Some((id, field("event:").unwrap(), data));
            }
            let chunk = tokio::time::timeout(std::time::Duration::from_secs(60), self.response.chunk());
            let chunk = chunk.await.expect("an event within a minute").ok().flatten()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn events_are_followed_and_gone_on_with_after_a_break() {
    let mut shop = Shop::with_tea(100).await;
    let mut live = Stream::open(&shop, "?type=order.placed,order.paid", None).await;
    let first = shop.place(&[("tea", 1)]).await;
    let (id, name, data) = live.next().await.unwrap();
    assert_eq!((name.as_str(), &data["subject"], &data["id"]), ("order.placed", &json!(first), &json!(id)));
    drop(live);

    let missed = shop.place(&[("tea", 1)]).await;
    shop.pay(&first).await;
    let mut again = Stream::open(&shop, "?type=order.placed,order.paid", Some(&id)).await;
    let (_, _, event) = again.next().await.unwrap();
    assert_eq!((&event["type"], &event["subject"]), (&json!("order.placed"), &json!(missed)));
    let (_, _, event) = again.next().await.unwrap();
    assert_eq!((&event["type"], &event["subject"]), (&json!("order.paid"), &json!(first)));

    let request = shop.api.request(Method::GET, "/v1/events/stream").header("last-event-id", "7");
    send(request).await.problem(422, "invalid_request");
    shop.api_process.terminate();
    assert!(again.next().await.is_none(), "the end of the program ends the stream");
    assert!(shop.api_process.ended().await.success());
}

#[tokio::test]
async fn old_events_are_forgotten_once_they_were_carried_away() {
    let mut shop = Shop::with_env(vec![("HOLDFAST_EVENTS_KEPT", "PT1H".to_owned())]).await;
    shop.stock("tea", 1250, 10).await;
    let first = all(&shop, "").await[0]["id"].as_str().unwrap().to_owned();
    let id = shop.place(&[("tea", 1)]).await;
    let carried = "SELECT coalesce(min(c.position), 0) >= (SELECT max(position) FROM events)
                   FROM event_cursors c WHERE name <> 'pruned'";
    shop.until_true("all is carried away", carried).await;
    let old = "UPDATE events SET at = now() - interval '2 hours' WHERE order_id IS NULL";
    shop.sql().await.execute(old).await.unwrap();
    shop.stop_worker().await;
    shop.start_worker();
    eventually("they are forgotten", async || {
        let left = all(&shop, "").await;
        (left.len() == 1).then(|| assert_eq!(left[0]["subject"], json!(id)))
    })
    .await;
    shop.api.get(&format!("/v1/events?after={first}")).await.problem(410, "events_pruned");
    shop.close();
}

/// What waits behind an endpoint that is disabled stays, and what comes after it is forgotten all the same:
/// by several windows.
#[tokio::test]
async fn events_behind_a_disabled_endpoint_stay_and_later_ones_go() {
    let mut shop = Shop::with_env(vec![("HOLDFAST_EVENTS_KEPT", "PT1H".to_owned())]).await;
    let body = json!({"url": "https://holdfast.invalid/", "types": ["order.placed"]});
    let made = shop.api.post("/v1/webhook-endpoints", &body).await.is(201);
    let path = format!("/v1/webhook-endpoints/{}", made["id"].as_str().unwrap());
    let disabled = shop.api.request(Method::PATCH, &path).json(&json!({"enabled": false}));
    shop.api.send(disabled).await.is(200);
    shop.stop_worker().await;
    // Every second one of the first thousands is somebody's, and none of the last.
    let mut sql = shop.sql().await;
    let old = "INSERT INTO events (subject, sequence, type, at, data)
               SELECT 'kept', n, 'stock.low', now() - interval '2 hours', '{}'
               FROM generate_series(1, 4500) n";
    sql.execute(old).await.unwrap();
    let kept = "INSERT INTO webhook_deliveries (endpoint_id, event, salt, subject, type, at, created_at)
                SELECT w.id, e.position, e.salt, e.subject, e.type, e.at, now()
                FROM events e, webhook_endpoints w
                WHERE e.subject = 'kept' AND e.sequence % 2 = 0 AND e.sequence <= 3000";
    sql.execute(kept).await.unwrap();
    shop.start_worker();
    let carried = "SELECT coalesce(min(c.position), 0) >= (SELECT max(position) FROM events)
                   FROM event_cursors c WHERE name <> 'pruned'";
    shop.until_true("all is carried away", carried).await;
    // Events are forgotten when a worker starts, and then every ten minutes.
    shop.stop_worker().await;
    shop.start_worker();
    let left = "SELECT count(*) = 1500 AND bool_and(sequence % 2 = 0 AND sequence <= 3000)
                FROM events WHERE subject = 'kept'";
    shop.until_true("what nobody needs is forgotten, and nothing else", left).await;
    shop.close();
}
