//! How PostgreSQL runs what Holdfast asks of it: every statement of the hot paths, as its log has it, must
//! find its rows by an index.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::{
    accounts, accounts_by_shop,
    harness::{
        Api, Setup, Shop, database,
        documents::{ApiKey, CreatedApiKey},
        postgres_log, servers,
        visitor::Visitor,
        wait_until,
    },
    stays::code,
};

/// Read as a whole on purpose, or never more than a handful of rows.
const SMALL: [&str; 6] = [
    "reconciliations",
    "_sqlx_migrations",
    "erasures",
    "webhook_endpoints",
    "event_cursors",
    "events_position",
];

#[tokio::test]
async fn every_statement_on_a_hot_path_uses_an_index() {
    let database_url = database(&servers().await.postgres).await;
    log_statements(&database_url).await;
    let shop = Shop::with(Setup { database_url: Some(database_url), ..Setup::default() }).await;
    for n in 1..=3 {
        shop.stock(&format!("sku-{n}"), 1250, 10).await;
    }
    live(&shop).await;
    let statements = logged_statements();
    shop.audit();

    let mut sql = shop.sql().await;
    sql.execute(include_str!("plans.sql")).await.unwrap();
    assert!(statements.len() > 60, "only {} statements were logged", statements.len());
    // An index of the few rows that wait for something is read as a whole on purpose.
    let partial =
        sqlx::query_scalar("SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL");
    let partial: Vec<String> = partial.fetch_all(&mut sql).await.unwrap();
    let mut slow = Vec::new();
    for (n, statement) in statements.iter().enumerate() {
        let plan = plan(&mut sql, n, statement).await;
        let found = scans(&plan[0]["Plan"], &partial);
        slow.extend(found.into_iter().map(|scan| format!("{scan}, in:\n{statement}\n")));
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}

/// Statements are prepared while there are five orders. What was planned then must not be what runs when
/// there are thousands, though nobody has analysed the tables since.
#[tokio::test]
async fn a_plan_for_small_tables_does_not_outlive_them() {
    let env = vec![("HOLDFAST_DATABASE_MAX_CONNECTIONS", "2".to_owned())];
    let mut shop = Shop::with_env(env).await;
    shop.stock("sku-1", 1250, 1000).await;
    ordinary_day(&shop, "sku-1").await;
    let mut sql = shop.sql().await;
    sql.execute(WITHOUT_AUTOVACUUM).await.unwrap();
    sql.execute("ANALYZE").await.unwrap();
    for _ in 0..8 {
        ordinary_day(&shop, "sku-1").await;
    }
    let (fill, _) = include_str!("plans.sql").rsplit_once("ANALYZE;").unwrap();
    sql.execute(sqlx::AssertSqlSafe(fill)).await.unwrap();
    sql.close().await.unwrap();

    let before = rows_walked(&shop).await;
    shop.stock("sku-new", 1250, 10).await; // the copies are no ledger to go on from
    ordinary_day(&shop, "sku-new").await;
    for process in [&mut shop.api_process, shop.worker.as_mut().unwrap()] {
        process.terminate(); // what a session has read is counted for good when it ends
        process.ended().await;
    }
    let mut walked = rows_walked(&shop).await;
    // One walk through a filled table reads more than that; sessions from before it was filled are counted
    // late.
    walked.retain(|table, rows| *rows - before[table] > 10_000);
    assert!(walked.is_empty(), "{walked:?} rows were walked through, {before:?} of them before");
}

const WITHOUT_AUTOVACUUM: &str = "DO $$ DECLARE t text; BEGIN
    FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = false)', t);
    END LOOP;
    -- Its summaries are made by the same process, whose reading counts as a walk.
    ALTER INDEX timeline_by_time SET (autosummarize = off);
END $$";

/// An order from its placement to a refund, and what is read of it.
async fn ordinary_day(shop: &Shop, sku: &str) {
    let id = shop.sell(&[(sku, 1)]).await;
    shop.until_mailed(&id, "paid").await;
    shop.refund(&id, json!({"amount": 100, "reason": "scratched"})).await;
    shop.until_refunds(&id, &["succeeded"]).await;
    for path in
        ["/v1/orders?limit=5", "/v1/orders?customer=cust-42", "/v1/ledger?sku=sku-1", "/v1/products/sku-1"]
    {
        shop.api.get(path).await.is(200);
    }
}

/// Rows that were read by walks through a table, as far as the sessions that read them have ended.
async fn rows_walked(shop: &Shop) -> BTreeMap<String, i64> {
    let gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database()
                      AND pid <> pg_backend_pid() AND application_name <> 'holdfast'";
    shop.until_true("the sessions of the test are gone", gone).await;
    let mut sql = shop.sql().await;
    let walked = sqlx::query_as("SELECT relname::text, seq_tup_read FROM pg_stat_user_tables");
    let walked: Vec<(String, i64)> = walked.fetch_all(&mut sql).await.unwrap();
    walked.into_iter().filter(|(table, _)| !SMALL.contains(&table.as_str())).collect()
}

/// Whatever happens often: each way to end, money back, and every read.
async fn live(shop: &Shop) {
    let paid = shop.sell(&[("sku-1", 2), ("sku-2", 1)]).await;
    shop.until_mailed(&paid, "paid").await;
    shop.refund(&paid, json!({"amount": 100, "reason": "scratched"})).await;
    shop.until_money(&paid, "partially_refunded").await;
    let lines = json!([{"sku": "sku-1", "quantity": 1}]);
    shop.refund(&paid, json!({"reason": "torn", "lines": lines})).await;
    shop.until_told(&paid, "stock.returned").await;
    let fulfilled = shop.sell_by_attempt(&[("sku-3", 1)], json!({"fulfilment": "manual"}), "paid").await;
    shop.fulfil(&fulfilled).await.is(200);
    let cancelled = shop.place(&[("sku-1", 1)]).await;
    shop.cancel(&cancelled).await.is(200);
    let expired = shop.place(&[("sku-1", 1)]).await;
    let due = shop.order(&expired).await.payment_due_at;
    shop.extend(&expired, due + jiff::SignedDuration::from_hours(1)).await.is(200);
    shop.fast_forward(&expired, "PT26H").await;
    shop.until(&expired, "expired").await;
    shop.pay(&expired).await; // late: goes back
    shop.until_refunds(&expired, &["succeeded"]).await;
    stay(shop).await;
    shop.reconcile().await;
    for path in [
        "/v1/orders?limit=5",
        "/v1/orders?status=completed",
        "/v1/orders?customer=cust-42",
        "/v1/orders?customer=cust-42&status=expired",
        "/v1/orders?sku=sku-1",
        "/v1/orders?sku=sku-1&status=completed&limit=2",
        "/v1/exceptions?state=open",
        "/v1/exceptions?state=open&oldest_first=true",
        "/v1/exceptions?state=open&kind=not_in_books&oldest_first=true",
        "/v1/settlements/unmatched",
        "/v1/inventory",
        "/v1/inventory?starting_after=sku-1",
        "/v1/inventory/sku-1",
        "/v1/ledger",
        "/v1/ledger?sku=sku-1",
        "/v1/products/sku-1",
        "/v1/products?limit=5",
        "/v1/products?q=sku",
        "/v1/products?q=gardn+rooom",
        "/v1/products/sku-1/history",
        "/v1/products/room/nights",
        "/v1/products/room/stay",
    ] {
        shop.api.get(path).await.is(200);
    }
    for path in [
        format!("/v1/orders?limit=2&starting_after={cancelled}"),
        format!("/v1/ledger?order={cancelled}"),
        "/v1/ledger?sku=sku-1&starting_after=mov_9".to_owned(),
    ] {
        shop.api.get(&path).await.is(200);
    }
    for path in ["next", "mails"] {
        shop.api.get(&format!("/v1/orders/{cancelled}/{path}")).await.is(200);
    }
    let exception = &shop.list_exceptions("").await[0].id;
    shop.api.get(&format!("/v1/exceptions/{exception}")).await.is(200);
    console(shop).await;
    keys(shop).await;
    webhooks(shop).await;
    accounts::walk(shop).await;
    accounts_by_shop::walk(shop).await;
    shop.api.get("/readyz").await.is(200);
    shop.figures().await;
}

/// A key is made, looked for, used and revoked.
async fn keys(shop: &Shop) {
    let body = json!({"name": "reader", "scopes": ["stock:read"]});
    let key: CreatedApiKey = shop.api.post("/v1/keys", &body).await.of().is(201);
    let reader = Api::with_key(shop.api.address(), String::leak(key.key));
    reader.get("/v1/inventory/sku-1").await.is(200);
    let is_noted = async || shop.api.list::<ApiKey>("/v1/keys").await.data[0].last_used_at.is_some();
    wait_until("the use is noted", is_noted).await;
    shop.api.delete(&format!("/v1/keys/{}", key.id)).await.is(200);
}

/// Somebody signs in to the console, looks at a page, and goes.
async fn console(shop: &Shop) {
    let visitor = Visitor::signed_in(shop.api.address()).await;
    let page = visitor.get("/console/orders").await.is(200);
    visitor.fill_in(&page, "/console/sign-out", &[]).await.leads_to();
}

/// An endpoint that nobody is at gets an order's events, and is looked at, changed and deleted.
async fn webhooks(shop: &Shop) {
    let body = json!({"url": "https://holdfast.invalid/"});
    let made = shop.api.post("/v1/webhook-endpoints", &body).await.is(201);
    let path = format!("/v1/webhook-endpoints/{}", made["id"].as_str().unwrap());
    let order = shop.place(&[("sku-1", 1)]).await;
    let pending = format!("{path}/deliveries?status=pending");
    let tried = async || shop.api.get(&pending).await.is(200)["data"][0]["attempts"].as_i64() >= Some(1);
    wait_until("it was tried", tried).await;
    for path in [
        "/v1/webhook-endpoints",
        &path,
        &format!("{path}/deliveries"),
        &format!("/v1/orders/{order}/deliveries"),
        &format!("/v1/orders/{order}/deliveries?newest_first=true"),
    ] {
        shop.api.get(path).await.is(200);
    }
    let since = json!({"since": "2026-01-01T00:00:00Z"});
    shop.api.post(&format!("{path}/redeliver"), &since).await.is(200);
    shop.api.post(&format!("{path}/rotate-secret"), &json!({})).await.is(200);
    shop.api.post(&format!("{path}/test"), &json!({})).await.is(200);
    for enabled in [false, true] {
        let change = shop.api.request(reqwest::Method::PATCH, &path).json(&json!({"enabled": enabled}));
        shop.api.send(change).await.is(200);
    }
    shop.api.delete(&path).await.is(200);
}

/// Both ways for a stay to end.
async fn stay(shop: &Shop) {
    shop.rooms("room", 5).await;
    let (used, unused) = (shop.book("room", 1, 3).await, shop.book("room", 2, 4).await);
    let code = code(&shop.pay_stay(&used).await);
    shop.check_in(&used, "22222222").await.problem(422, "check_in_code_wrong");
    shop.fast_forward(&used, "P2D").await;
    shop.check_in(&used, &code).await.is(200);
    shop.pay_stay(&unused).await;
    shop.fast_forward(&unused, "P6D").await;
    shop.until(&unused, "completed").await;
}

async fn log_statements(database_url: &str) {
    let mut sql = PgConnection::connect(database_url).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut sql).await.unwrap();
    let alter = format!("ALTER DATABASE {name} SET log_statement = 'all'");
    sql.execute(sqlx::AssertSqlSafe(alter)).await.unwrap();
}

/// What was asked with parameters: by us, and only in the one database that logs it.
fn logged_statements() -> BTreeSet<String> {
    let log = postgres_log();
    let mut statements: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in log.lines() {
        if let Some((_, statement)) =
            line.split_once("LOG:  execute ").and_then(|(_, it)| it.split_once(": "))
        {
            statements.push(statement.to_owned());
            goes_on = true;
        } else if let Some(more) = line.strip_prefix('\t').filter(|_| goes_on) {
            let statement = statements.last_mut().unwrap();
            statement.push('\n');
            statement.push_str(more);
        } else {
            goes_on = false;
        }
    }
    statements.into_iter().filter(|it| looks_for_rows(it)).collect()
}

fn looks_for_rows(statement: &str) -> bool {
    let verb = statement.split_whitespace().next().unwrap_or_default();
    match verb {
        "INSERT" => statement.contains("SELECT"),
        verb => ["SELECT", "UPDATE", "DELETE", "WITH"].contains(&verb),
    }
}

/// The plan for any parameters.
async fn plan(sql: &mut PgConnection, n: usize, statement: &str) -> Value {
    let parameters = (1..).take_while(|n| statement.contains(&format!("${n}"))).count();
    let nulls = vec!["NULL"; parameters].join(", ");
    let arguments = if parameters == 0 { String::new() } else { format!("({nulls})") };
    for command in
        ["SET plan_cache_mode = force_generic_plan".to_owned(), format!("PREPARE ask_{n} AS {statement}")]
    {
        sql.execute(sqlx::AssertSqlSafe(command))
            .await
            .unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE ask_{n}{arguments}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).fetch_one(sql).await.unwrap()
}

/// The parts of a plan that look at every row of a table, or of an index.
fn scans(plan: &Value, partial: &[String]) -> Vec<String> {
    let table = plan["Relation Name"].as_str().unwrap_or_default();
    let all = match plan["Node Type"].as_str().unwrap() {
        "Seq Scan" => true,
        "Index Scan" | "Index Only Scan" => {
            let whole = plan["Index Cond"].is_null() && !plan["Filter"].is_null();
            whole && !partial.iter().any(|index| plan["Index Name"] == **index)
        }
        _ => false,
    };
    let mut found = Vec::new();
    if all && !SMALL.contains(&table) {
        found.push(format!("{} of all {table}", plan["Node Type"].as_str().unwrap()));
    }
    found.extend(plan["Plans"].as_array().into_iter().flatten().flat_map(|part| scans(part, partial)));
    found
}
