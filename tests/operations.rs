//! For those who run Holdfast: health, readiness, figures, documentation.

use reqwest::Method;
use serde_json::json;
use sqlx::Executor as _;

use crate::harness::{Api, Shop, documents::Order, eventually, send};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

#[tokio::test]
async fn strangers_do_not_grow_the_figures() {
    let shop = Shop::open().await;
    for n in 0..50 {
        let method = Method::from_bytes(format!("INVENTED{n}").as_bytes()).unwrap();
        for path in [format!("/nowhere/{n}"), "/healthz".to_owned(), format!("/v1/webhooks/none{n}")] {
            send(shop.api.bare(method.clone(), &path)).await;
        }
        send(shop.api.bare(Method::POST, &format!("/v1/webhooks/none{n}")))
            .await
            .problem(404, "provider_not_found");
    }
    let figures = shop.figures().await;
    assert!(figures.contains("method=\"_OTHER\""), "{figures}");
    assert!(
        !figures.contains("INVENTED") && !figures.contains("none1") && !figures.contains("nowhere"),
        "{figures}"
    );
    let requests = figures.lines().filter(|line| line.starts_with("holdfast_http_requests_total")).count();
    assert!(requests < 20, "{figures}");
    shop.close();
}

#[tokio::test]
async fn gauges_tell_what_waits_and_who_answers() {
    let shop = Shop::without_worker().await;
    let wait_for = async |api: &Api, lines: &[&str]| {
        eventually(&format!("{lines:?}"), async || {
            let figures = String::from_utf8(send(api.bare(Method::GET, "/metrics")).await.body).unwrap();
            lines.iter().all(|line| figures.lines().any(|it| it == *line)).then_some(figures)
        })
        .await
    };
    let quiet = [
        "holdfast_orders_unstarted 0",
        "holdfast_inbox_oldest_unsettled_seconds 0",
        "holdfast_exceptions_open 0",
        "holdfast_postgresql_reachable 1",
        "holdfast_temporal_reachable 1",
        "holdfast_mail_reachable 1",
        "holdfast_database_connections_max 20",
    ];
    wait_for(&shop.api, &quiet).await;

    let away = [("TEMPORAL_ADDRESS", NOWHERE.into()), ("HOLDFAST_SMTP_URL", format!("smtp://{NOWHERE}"))];
    let (api, _process) = shop.start_api(&away).await;
    shop.stock("tea", 1250, 5).await;
    let order: Order = api.post("/v1/orders", &shop.order_body(&[("tea", 1)])).await.of().is(201);
    shop.pay(&order.id).await; // nobody settles it
    let loud = ["holdfast_orders_unstarted 1", "holdfast_temporal_reachable 0", "holdfast_mail_reachable 0"];
    let figures = wait_for(&api, &loud).await;
    assert!(figures.contains("\nholdfast_outbox_unpublished "), "{figures}");
    eventually("the event grows old", async || {
        let figures = shop.figures().await;
        figures.contains("holdfast_inbox_oldest_unsettled_seconds").then_some(())?;
        (!figures.contains("holdfast_inbox_oldest_unsettled_seconds 0\n")).then_some(())
    })
    .await;

    let (api, _process) = shop.start_api(&[("DATABASE_URL", format!("postgres://x:x@{NOWHERE}/x"))]).await;
    let figures = wait_for(&api, &["holdfast_postgresql_reachable 0"]).await;
    assert!(!figures.contains("holdfast_orders_unstarted "), "{figures}");
    shop.close();
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let shop = Shop::open().await;
    assert_eq!(shop.api.get("/healthz").await.is(200)["status"], "ok");
    let ready = shop.api.readiness(200).await;
    assert_eq!((ready.status.as_str(), ready.missing.len()), ("ok", 0));

    let dead_database = ("DATABASE_URL", format!("postgres://x:x@{NOWHERE}/x"));
    let (api, _process) = shop.start_api(&[dead_database]).await;
    assert_eq!(api.get("/healthz").await.is(200)["status"], "ok");
    let ready = api.readiness(503).await;
    assert_eq!(ready.status, "unavailable");
    assert_eq!(ready.missing, ["postgresql"]);
    let answer = api.impatient().get("/v1/orders").await;
    answer.problem(503, "database_unavailable");
    assert!(answer.header("retry-after").is_some());

    let (api, _process) = shop.start_api(&[("TEMPORAL_ADDRESS", NOWHERE.into())]).await;
    let ready = api.readiness(200).await;
    assert_eq!(ready.status, "degraded");
    assert_eq!(ready.missing, ["temporal"]);
    shop.close();
}

#[tokio::test]
async fn figures_of_our_own_and_of_the_engine() {
    let shop = Shop::with_tea(1).await;
    let id = shop.place(&[("tea", 1)]).await;
    shop.try_place(&shop.order_body(&[("tea", 1)])).await.problem(409, "insufficient_stock");
    shop.until_told(&id, "workflow.started").await;
    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    let figures = shop.figures().await;
    for line in [
        "holdfast_orders_total{outcome=\"placed\"} 1",
        "holdfast_holds_total{result=\"held\"} 1",
        "holdfast_holds_total{result=\"refused\"} 1",
        "holdfast_webhooks_total{provider=\"sandbox\",result=\"stored\"} 1",
        "holdfast_http_requests_total{method=\"POST\",route=\"/v1/orders\",status=\"201\"} 1",
    ] {
        assert!(figures.contains(line), "`{line}` is missing in:\n{figures}");
    }
    assert!(figures.contains("\ntemporal_request_total{"), "{figures}");
    assert!(!figures.contains(&id) && !figures.contains("cust-42"), "labels must be few:\n{figures}");
    shop.close();
}

/// The SDK's worker keeps something of each activity, so it is replaced now and then; no order notices.
#[tokio::test]
async fn a_worker_is_relieved_while_orders_sleep_and_others_are_paid() {
    let env = vec![("HOLDFAST_WORKER_MAX_ACTIVITIES", "10".to_owned())];
    let mut shop = Shop::with_env(env).await;
    shop.stock("tea", 1250, 100).await;
    let sleeping = shop.place(&[("tea", 1)]).await;
    shop.fast_forward(&sleeping, "PT5H").await; // it has had a task, and is in the worker's cache
    for _ in 0..12 {
        shop.sell(&[("tea", 1)]).await;
    }
    let worker = shop.worker.as_mut().unwrap();
    worker.says("worker recycled").await;
    let relieved = worker.log().matches("worker recycled").count();
    assert!(relieved >= 2, "{relieved}");
    shop.pay(&sleeping).await;
    shop.until(&sleeping, "completed").await;
    assert_eq!(shop.until_mailed(&sleeping, "paid").await, ["reminder_1", "paid"]);
    shop.stop_worker().await;
    shop.close();
}

/// Each refund counts once, where its end was heard first: by the workflow that asks, or by a webhook.
#[tokio::test]
async fn refunds_are_counted_however_they_end() {
    let listen = format!("127.0.0.1:{}", devstack::free_port());
    let env = vec![("HOLDFAST_METRICS_LISTEN", listen.clone())];
    let shop = Shop::without_worker().await;
    let _worker = shop.another_worker(&env).await;
    shop.stock("tea", 1250, 1).await;
    let id = shop.sell(&[("tea", 1)]).await;
    let ends = ["succeeded", "succeeded", "failed"];
    for (n, faults) in [
        json!({"webhooks": "lose"}), // the workflow hears it
        json!({"refunds": "pend"}),  // only a webhook tells
        json!({"refunds": "fail"}),
    ]
    .into_iter()
    .enumerate()
    {
        let is_pending = faults["refunds"] == "pend";
        shop.provider.faults(faults).await;
        let refund = shop.refund(&id, json!({"amount": 100, "reason": "late"})).await;
        if is_pending {
            shop.provider.settle(&refund.id, "succeeded").await;
        }
        shop.until_refunds(&id, &ends[..=n]).await;
    }
    shop.provider.no_faults().await;
    shop.refund_in_dashboard(&id, 50).await;
    let worker = Api::new(&listen);
    for (result, times) in [("succeeded", 3), ("failed", 1)] {
        let name = format!("holdfast_refunds_total{{provider=\"sandbox\",result=\"{result}\"}} ");
        eventually(&format!("{name}{times}"), async || {
            let there = String::from_utf8(worker.get("/metrics").await.body).unwrap();
            let both = [shop.figures().await, there].join("\n");
            let counts = both.lines().filter_map(|line| line.strip_prefix(&name)?.parse::<u32>().ok());
            (counts.sum::<u32>() == times).then_some(())
        })
        .await;
    }
    shop.close();
}

#[tokio::test]
async fn the_contract_is_served_and_can_be_tried() {
    let shop = Shop::open().await;
    let page = send(shop.api.bare(Method::GET, "/docs")).await;
    assert_eq!(page.status, 200);
    let html = String::from_utf8(page.body).unwrap();
    assert!(html.contains("swagger-ui"), "{html}");
    let script = send(shop.api.bare(Method::GET, "/docs/files/swagger-initializer.js")).await;
    assert!(String::from_utf8_lossy(&script.body).contains("/openapi.json"));
    for path in ["/docs", "/docs/files/swagger-initializer.js", "/openapi.json"] {
        let answer = send(shop.api.bare(Method::GET, path)).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    }
    let (api, _process) = shop.start_api(&[("HOLDFAST_DOCS", "off".to_owned())]).await;
    for path in ["/docs", "/docs/files/swagger-initializer.js", "/openapi.json"] {
        send(api.bare(Method::GET, path)).await.problem(404, "route_not_found");
    }
    assert_eq!(api.get("/healthz").await.status, 200);
    shop.close();
}

/// The sandbox that the API runs itself: its port is open to whoever finds it.
#[tokio::test]
async fn payers_of_the_apis_own_sandbox_have_the_key() {
    let shop = Shop::with_tea(5).await;
    let id = shop.place(&[("tea", 1)]).await;
    let address = format!("127.0.0.1:{}", devstack::free_port());
    let own = [("HOLDFAST_SANDBOX_URL", String::new()), ("HOLDFAST_SANDBOX_LISTEN", address.clone())];
    let (api, _process) = shop.start_api(&own).await;
    let payer = Api::new(&address);
    for path in
        ["/payer/pay", "/payer/payments/x/capture", "/dashboard/faults", "/dashboard/deliveries/release"]
    {
        for stranger in [payer.bare(Method::POST, path), payer.bare(Method::POST, path).bearer_auth("x")] {
            let answer = send(stranger.json(&json!({}))).await;
            assert!(
                answer.status == 401 || (path.ends_with("faults") && answer.status == 405),
                "{path} {answer:?}"
            );
        }
    }
    let pay = json!({"order_id": id, "amount": 1250, "currency": "EUR"});
    assert_eq!(payer.post("/payer/pay", &pay).await.is(200)["outcome"], "succeeded");
    shop.until(&id, "completed").await;
    let second = shop.place(&[("tea", 1)]).await;
    api.post(&format!("/v1/sandbox/orders/{second}/pay"), &json!({})).await.is(200);
    shop.until(&second, "completed").await;
    shop.close();
}

/// Without its secret there is no sandbox: nobody pays with play money in production.
#[tokio::test]
async fn the_sandbox_is_there_only_with_its_secret() {
    let shop = Shop::with_tea(1).await;
    let id = shop.place(&[("tea", 1)]).await;
    let (api, _process) = shop.start_api(&[("HOLDFAST_SANDBOX_WEBHOOK_SECRET", String::new())]).await;
    api.post(&format!("/v1/sandbox/orders/{id}/pay"), &json!({})).await.problem(404, "route_not_found");
    api.post("/v1/webhooks/sandbox", &json!({})).await.problem(404, "provider_not_found");
    shop.close();
}

/// Every test ends with an audit; here it is audited itself. Each statement breaks one invariant.
#[tokio::test]
async fn the_audit_finds_what_is_wrong() {
    let breaks = [
        ("UPDATE stock_levels SET on_hand = on_hand + 1", "1. levels are the sum"),
        ("UPDATE stock_levels SET held = 0", "1. held stock"),
        (
            "UPDATE stock_movements SET on_hand_after = on_hand_after + 1 WHERE kind = 'held'",
            "1. each movement goes on",
        ),
        (
            "ALTER TABLE stock_movements DROP CONSTRAINT deltas_fit_the_kind;
             UPDATE stock_movements SET held_delta = held_delta - 1 WHERE kind = 'committed'",
            "1. each movement does what its kind says",
        ),
        ("DELETE FROM stock_movements WHERE kind = 'committed'", "2. a hold moved once"),
        (
            "INSERT INTO events (order_id, type, data, at)
             VALUES (gen_random_uuid(), 'order.placed', '{}', now())",
            "2. every line, timeline entry",
        ),
        ("DELETE FROM events WHERE type = 'order.paid'", "13. the events of each subject"),
        ("UPDATE holds SET state = 'released'", "2. every line has its hold"),
        (
            "UPDATE orders SET payment_status = 'unpaid' WHERE status = 'completed'",
            "3. an order's payment status",
        ),
        ("UPDATE payments SET applied = applied - 1 WHERE applied > 0", "3. every captured cent"),
        ("DELETE FROM payments", "3. what payments bring an order"),
        ("UPDATE products SET unit_price = unit_price + 1", "9. every product is"),
        (
            "INSERT INTO timeline (order_id, at, type, data)
             SELECT id, placed_at, 'order.expired', '{}' FROM orders",
            "4. ",
        ),
    ];
    let shop = Shop::with_tea(10).await;
    let (paid, _unpaid) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    shop.pay(&paid).await;
    shop.until_told(&paid, "mail.sent").await;
    shop.audit();
    for (statement, invariant) in breaks {
        // The database refuses most of these by itself, unless somebody turns its triggers off.
        let statement = format!("SET session_replication_role = replica; {statement}");
        shop.sql().await.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        shop.audit_finds(invariant);
    }
}
