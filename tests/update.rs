//! An update that adds columns, while the version before it goes on serving.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::{
    accounts, accounts_by_shop, bounces,
    harness::{
        Answer, Api, Shop,
        documents::{CreatedApiKey, Order, Payment},
        send, unique, webhook,
    },
    stays::{code, day},
};

/// Statements are prepared on each connection: with few of them, two rounds have prepared all.
const CONNECTIONS: &str = "2";
/// Our migrations add to any of them; PostgreSQL's own and the migrations' list stay as they are.
const ADD_COLUMNS: &str = "DO $$ DECLARE t text; BEGIN
    FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('ALTER TABLE %I ADD COLUMN added_by_an_update text DEFAULT ''x''', t);
    END LOOP;
END $$";

#[tokio::test]
async fn the_running_version_outlives_new_columns_in_every_table() {
    let env = vec![("HOLDFAST_DATABASE_MAX_CONNECTIONS", CONNECTIONS.to_owned())];
    let shop = Shop::with_env(env).await;
    let before = Walk::around(&shop, "before").await;
    Walk::around(&shop, "again").await;
    assert_eq!(before, documented(&shop).await, "each route has to be walked here, and no other");

    shop.sql().await.execute(ADD_COLUMNS).await.unwrap();
    Walk::around(&shop, "after").await;
    let figures = shop.figures().await;
    let faults = figures.lines().filter(|line| line.contains("status=\"5"));
    assert_eq!(faults.collect::<Vec<_>>(), Vec::<&str>::new());
    shop.close();
}

/// Whoever waits for a table has all others wait behind it, so `migrate` does so only for a moment, again and
/// again.
#[tokio::test]
async fn a_migration_waits_for_a_long_reader_and_nobody_waits_for_it() {
    let shop = Shop::without_worker().await;
    shop.stock("tea", 1250, 100).await;
    let mut sql = shop.sql().await;
    // The last ones have to be done again: one of them locks `mails`.
    sql.execute(
        "ALTER TABLE mails DROP COLUMN rejected_at; ALTER TABLE check_ins DROP COLUMN drawn_for;
         ALTER TABLE order_changes DROP COLUMN asked_by; ALTER TABLE stock_movements DROP COLUMN asked_by;
         ALTER TABLE refunds DROP COLUMN asked_by; ALTER TABLE exceptions DROP COLUMN asked_by;
         DROP TRIGGER outbox_becomes_events ON outbox; DROP TRIGGER tell_of_level ON stock_levels;
         DROP TRIGGER tell_of_product ON product_events;
         DROP FUNCTION outbox_becomes_events, tell_of_level, tell_of_product, timeline_end;
         ALTER TABLE timeline DROP COLUMN told; ALTER TABLE exceptions DROP COLUMN told;
         ALTER TABLE stock_levels DROP COLUMN told, DROP COLUMN low_stock_threshold;
         ALTER TABLE orders DROP COLUMN cause; ALTER TABLE order_changes DROP COLUMN cause;
         DROP TABLE console_sessions;
         DROP INDEX order_lines_by_sku, timeline_by_time, refunds_by_end, provider_movements_by_payment,
                    inbox_of_no_order, exceptions_by_kind, provider_movements_unmatched;
         DROP TABLE order_links, mail_bounces, webhook_deliveries, webhook_endpoints, events, event_cursors;
         DROP SEQUENCE events_position;
         DROP TABLE api_keys, account_codes, sessions, accounts, registrations, rate_limits, erasures;
         DELETE FROM _sqlx_migrations WHERE version >= 19",
    )
    .await
    .unwrap();
    let mut reader = shop.sql().await;
    reader
        .execute("BEGIN; SELECT FROM mails; SELECT FROM order_changes; SELECT FROM check_ins")
        .await
        .unwrap();
    let mut migrate = shop.start("migrate", &[]);
    migrate.says("another transaction is in the way: the migration is done again").await;
    let asked = Instant::now();
    for _ in 0..20 {
        sql.execute("SELECT FROM mails LIMIT 1").await.unwrap();
    }
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    reader.execute("COMMIT").await.unwrap();
    assert!(migrate.ended().await.success(), "{}", migrate.log());
    shop.close();
}

/// Going back a version: the older `migrate` finds nothing to do, and leaves what it does not know.
#[tokio::test]
async fn an_older_program_takes_a_newer_schema() {
    let shop = Shop::without_worker().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (999999, 'to come', true, ''::bytea, 0)";
    shop.sql().await.execute(newer).await.unwrap();
    let mut migrate = shop.start("migrate", &[]);
    assert!(migrate.ended().await.success(), "{}", migrate.log());
    shop.close();
}

pub type Route = (Method, String);

/// Every route that the API documents.
pub async fn documented(shop: &Shop) -> BTreeSet<Route> {
    let document = shop.api.get("/openapi.json").await.is(200);
    let paths = document["paths"].as_object().unwrap();
    let methods = |(path, of): (&String, &Value)| {
        let of = of.as_object().unwrap().keys().filter_map(|it| it.to_uppercase().parse().ok());
        let standard = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH];
        of.filter(|it| standard.contains(it)).map(|it| (it, path.clone())).collect::<Vec<Route>>()
    };
    paths.iter().flat_map(methods).collect()
}

/// A day in the shop that takes every route.
pub struct Walk<'a> {
    shop: &'a Shop,
    /// A word for what this day brings.
    word: &'a str,
    walked: BTreeSet<Route>,
}

impl<'a> Walk<'a> {
    pub async fn around(shop: &'a Shop, word: &'a str) -> BTreeSet<Route> {
        let mut walk = Self { shop, word, walked: BTreeSet::new() };
        walk.products().await;
        walk.goods().await;
        walk.ends().await;
        walk.stay().await;
        walk.odd_money().await;
        walk.keys().await;
        walk.events().await;
        walk.webhooks().await;
        let accounts = accounts::walk(shop).await.into_iter().chain(accounts_by_shop::walk(shop).await);
        walk.walked.extend(accounts.map(|(method, route)| (method, route.to_owned())));
        for path in ["/healthz", "/readyz", "/metrics"] {
            walk.get(path, "").await;
        }
        shop.reconcile().await;
        walk.get("/v1/settlements", "").await;
        walk.get("/v1/settlements/unmatched", "").await;
        walk.ask(Method::GET, "/v1/overview", &[], "?hours=48").await;
        walk.walked
    }

    async fn products(&mut self) {
        let (tea, room) = (format!("tea-{}", self.word), format!("room-{}", self.word));
        self.shop.stock(&tea, 1250, 10).await;
        self.shop.rooms(&room, 3).await;
        let product = json!({"name": "Tea", "unit_price": 1250, "currency": "EUR"});
        self.call(Method::PUT, "/v1/products/{sku}", &[&tea], "", &product).await;
        self.get("/v1/products/{sku}", &tea).await;
        self.get("/v1/products/{sku}/history", &tea).await;
        for query in ["", "?q=garden", "?q=gardn+rooom"] {
            self.ask(Method::GET, "/v1/products", &[], query).await;
        }
        let room = [room.as_str()];
        let terms = json!({"max_guests": 3, "time_zone": "Pacific/Auckland"});
        self.call(Method::PUT, "/v1/products/{sku}/stay", &room, "", &terms).await;
        self.ask(Method::GET, "/v1/products/{sku}/stay", &room, "").await;
        let offer = json!({"from": day(1), "to": day(9), "capacity": 3});
        self.call(Method::PUT, "/v1/products/{sku}/nights", &room, "", &offer).await;
        self.ask(Method::GET, "/v1/products/{sku}/nights", &room, "").await;
        let counted = json!({"delta": 5, "reason": "counted"});
        self.call(Method::POST, "/v1/inventory/{sku}/adjustments", &[&tea], "", &counted).await;
        self.get("/v1/inventory/{sku}", &tea).await;
        self.ask(Method::GET, "/v1/inventory", &[], "?limit=1").await;
        self.ask(Method::GET, "/v1/ledger", &[], &format!("?sku={tea}")).await;
        let gone = format!("gone-{}", self.word);
        self.shop.stock(&gone, 1, 0).await;
        self.ask(Method::DELETE, "/v1/products/{sku}", &[&gone], "").await;
    }

    /// Placed, paid and refunded.
    async fn goods(&mut self) {
        let shop = self.shop;
        let order = self.place().await;
        let id = order.as_str();
        let attempt = self.ask(Method::POST, "/v1/orders/{id}/payments", &[id], "").await;
        let payment = &attempt.of::<Payment>().is(201).id;
        self.ask(Method::POST, "/v1/orders/{id}/payments/{payment_id}/refresh", &[id, payment], "").await;
        shop.provider.capture(payment, json!({})).await.is(200);
        shop.until(id, "completed").await;
        shop.until_mailed(id, "paid").await;
        let refund = json!({"amount": 250, "reason": "scratched"});
        self.call(Method::POST, "/v1/orders/{id}/refunds", &[id], "", &refund).await.is(201);
        shop.until_refunds(id, &["succeeded"]).await;
        let torn = json!({"reason": "torn", "lines": [{"sku": format!("tea-{}", self.word), "quantity": 1}]});
        self.call(Method::POST, "/v1/orders/{id}/refunds", &[id], "", &torn).await.is(201);
        shop.until_told(id, "stock.returned").await;
        for path in ["", "/timeline", "/payments", "/refunds", "/changes", "/next", "/mails"] {
            self.get(&format!("/v1/orders/{{id}}{path}"), id).await.is(200);
        }
        for query in ["", "?status=completed", "?customer=cust-42", "?sku=tea-before"] {
            self.ask(Method::GET, "/v1/orders", &[], query).await.is(200);
        }
    }

    /// The other ways that an order goes.
    async fn ends(&mut self) {
        let shop = self.shop;
        let cancelled = self.place().await;
        let later = shop.order(&cancelled).await.payment_due_at + jiff::SignedDuration::from_hours(1);
        let extend = json!({"payment_due_at": later});
        self.call(Method::POST, "/v1/orders/{id}/extend", &[&cancelled], "", &extend).await;
        self.ask(Method::POST, "/v1/orders/{id}/cancel", &[&cancelled], "").await;
        shop.until(&cancelled, "cancelled").await;
        self.ask(Method::DELETE, "/v1/orders/{id}/links", &[&cancelled], "").await;
        let change = &shop.changes(&cancelled).await[0].id;
        self.ask(Method::GET, "/v1/orders/{id}/changes/{change_id}", &[&cancelled, change], "").await.is(200);
        let expired = self.place().await;
        let skip = json!({"duration": "PT26H"});
        self.call(Method::POST, "/v1/sandbox/orders/{id}/fast-forward", &[&expired], "", &skip).await.is(200);
        shop.until(&expired, "expired").await;
        self.ask(Method::POST, "/v1/sandbox/orders/{id}/pay", &[&expired], "").await.is(200);
        shop.until_refunds(&expired, &["succeeded"]).await;
        let fulfilled = shop.place_with(&self.lines(), json!({"fulfilment": "manual"})).await;
        shop.pay(&fulfilled).await;
        shop.until(&fulfilled, "paid").await;
        self.ask(Method::POST, "/v1/orders/{id}/fulfil", &[&fulfilled], "").await;
        shop.until(&fulfilled, "completed").await;
    }

    async fn stay(&mut self) {
        let booked = self.shop.book(&format!("room-{}", self.word), 1, 3).await;
        self.shop.pay_stay(&booked).await;
        self.call(Method::POST, "/v1/orders/{id}/check-in-code", &[&booked], "", &json!({})).await.is(200);
        let code = code(&self.shop.mail(&booked, "new_check_in_code").await);
        self.shop.fast_forward(&booked, "P2D").await;
        let shown = json!({"code": code});
        self.call(Method::POST, "/v1/orders/{id}/check-in", &[&booked], "", &shown).await;
        self.shop.until(&booked, "completed").await;
    }

    /// An exception, by a webhook, and its end.
    async fn odd_money(&mut self) {
        let shop = self.shop;
        let order = self.place().await;
        let sent = webhook::Webhook::new(&webhook::paid(&order, 7)).send(&self.shop.api).await;
        assert_eq!(sent.status, 200);
        self.walked.insert((Method::POST, "/v1/webhooks/{provider}".to_owned()));
        assert_eq!(bounces::send(shop, b"no report").await.status, 200);
        self.walked.insert((Method::POST, "/v1/webhooks/bounces".to_owned()));
        let exception = self.shop.until_exception(&order, "wrong_amount").await;
        self.ask(Method::GET, "/v1/exceptions", &[], "?state=open&kind=wrong_amount").await.is(200);
        let decision = json!({"action": "accept", "note": "looked at it"});
        let id = exception.id.as_str();
        self.get("/v1/exceptions/{id}", id).await.is(200);
        self.call(Method::POST, "/v1/exceptions/{id}/resolve", &[id], "", &decision).await.is(200);
    }

    async fn keys(&mut self) {
        let wanted = json!({"name": self.word, "scopes": ["operations"]});
        let key = self.call(Method::POST, "/v1/keys", &[], "", &wanted).await.of::<CreatedApiKey>().is(201);
        self.ask(Method::GET, "/v1/keys", &[], "").await.is(200);
        let caller = Api::with_key(self.shop.api.address(), String::leak(key.key));
        caller.get("/v1/settlements").await.is(200);
        self.get("/v1/keys/{id}", &key.id).await.is(200);
        self.ask(Method::DELETE, "/v1/keys/{id}", &[&key.id], "").await.is(200);
    }

    async fn events(&mut self) {
        for query in ["", "?type=order.paid,order.placed", &format!("?subject=tea-{}", self.word)] {
            self.ask(Method::GET, "/v1/events", &[], query).await.is(200);
        }
        let stream = "/v1/events/stream";
        let opened = self.shop.api.request(Method::GET, stream).send().await.unwrap();
        assert_eq!(opened.status(), 200); // it has no end
        self.walked.insert((Method::GET, stream.to_owned()));
        let (route, tea) = ("/v1/inventory/{sku}/low-stock-threshold", format!("tea-{}", self.word));
        self.call(Method::PUT, route, &[&tea], "", &json!({"threshold": 3})).await.is(200);
        self.get(route, &tea).await.is(200);
    }

    /// Nobody is there to receive: what is sent fails, is noted, and is sent again.
    async fn webhooks(&mut self) {
        let wanted = json!({"url": "https://holdfast.invalid/", "types": ["order.placed"]});
        let made = self.call(Method::POST, "/v1/webhook-endpoints", &[], "", &wanted).await.is(201);
        let id = made["id"].as_str().unwrap();
        self.ask(Method::GET, "/v1/webhook-endpoints", &[], "").await.is(200);
        self.get("/v1/webhook-endpoints/{id}", id).await.is(200);
        let order = self.place().await;
        let shop = self.shop;
        let tried = async || {
            let path = format!("/v1/webhook-endpoints/{id}/deliveries?status=pending");
            shop.api.get(&path).await.is(200)["data"][0]["attempts"].as_i64() >= Some(1)
        };
        crate::harness::wait_until("it was tried", tried).await;
        self.get("/v1/webhook-endpoints/{id}/deliveries", id).await.is(200);
        self.get("/v1/orders/{id}/deliveries", &order).await.is(200);
        self.ask(Method::POST, "/v1/webhook-endpoints/{id}/test", &[id], "").await.is(200);
        self.ask(Method::POST, "/v1/webhook-endpoints/{id}/rotate-secret", &[id], "").await.is(200);
        let since = json!({"since": "2026-01-01T00:00:00Z"});
        self.call(Method::POST, "/v1/webhook-endpoints/{id}/redeliver", &[id], "", &since).await.is(200);
        for enabled in [false, true] {
            let enabled = json!({"enabled": enabled});
            self.call(Method::PATCH, "/v1/webhook-endpoints/{id}", &[id], "", &enabled).await.is(200);
        }
        self.ask(Method::DELETE, "/v1/webhook-endpoints/{id}", &[id], "").await.is(200);
    }

    fn lines(&self) -> [(&'static str, i64); 1] {
        match self.word {
            "before" => [("tea-before", 2)],
            "again" => [("tea-again", 2)],
            _ => [("tea-after", 2)],
        }
    }

    async fn place(&mut self) -> String {
        let body = self.shop.order_body(&self.lines());
        self.call(Method::POST, "/v1/orders", &[], "", &body).await.of::<Order>().is(201).id
    }

    async fn get(&mut self, route: &str, of: &str) -> Answer {
        self.ask(Method::GET, route, &[of], "").await
    }

    async fn ask(&mut self, method: Method, route: &str, parts: &[&str], query: &str) -> Answer {
        self.call(method, route, parts, query, &Value::Null).await
    }

    /// Takes a route, with its parts put in; whatever it answers is no fault of ours.
    async fn call(
        &mut self,
        method: Method,
        route: &str,
        parts: &[&str],
        query: &str,
        body: &Value,
    ) -> Answer {
        let mut path = route.to_owned();
        for part in parts {
            if let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
                path.replace_range(from..=to, part);
            }
        }
        let request = self.shop.api.request(method.clone(), &format!("{path}{query}"));
        let request = match method {
            Method::GET | Method::DELETE => request,
            _ if body.is_null() => request.header("idempotency-key", unique()).json(&json!({})),
            _ => request.header("idempotency-key", unique()).json(body),
        };
        let answer = send(request).await;
        assert!(answer.status.as_u16() < 400, "{} {method} {path}: {answer:?}", self.word);
        self.walked.insert((method, route.to_owned()));
        answer
    }
}
