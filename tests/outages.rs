//! What Holdfast needs goes away, and comes back.

use std::{collections::BTreeSet, path::Path, time::Duration};

use devstack::{MailCatcher, Postgres, PostgresOptions, Temporal, TemporalOptions, free_port};
use serde_json::json;
use temporalio_client::RpcOptions;

use crate::{
    harness::{Mail, Setup, Shop, Wire, database, eventually, mails, servers, test_dir, tools, wait_until},
    stays::code,
};

async fn temporal(dir: &Path, port: u16) -> Temporal {
    let options = TemporalOptions {
        port: Some(port),
        ui_port: None,
        ui_codec: None,
        db_file: Some(dir.join("temporal.db")),
        log_file: dir.join("temporal.log"),
        settings: Vec::new(),
    };
    Temporal::start(&tools(), options).await.unwrap()
}

#[tokio::test]
async fn temporal_is_away_and_orders_are_taken_all_the_same() {
    let (dir, port) = (test_dir(), free_port());
    let setup = Setup { temporal_address: Some(format!("127.0.0.1:{port}")), ..Setup::default() };
    let shop = Shop::with(setup).await;
    shop.stock("tea", 1250, 10).await;
    let (first, unpaid) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    let cancelled = shop.place(&[("tea", 1)]).await;
    shop.pay(&first).await;
    let answer = shop.api.post(&format!("/v1/orders/{cancelled}/cancel"), &json!({})).await;
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(answer.is(202)["state"], "pending");
    assert_eq!(shop.api.get(&location).await.is(200)["state"], "pending");
    assert_eq!(shop.api.readiness(200).await.missing, ["temporal"]);
    assert_eq!(shop.level("tea").await, (10, 3));

    let mut server = temporal(&dir, port).await;
    shop.until(&first, "completed").await;
    shop.until(&cancelled, "cancelled").await;
    assert_eq!(shop.api.get(&location).await.is(200)["state"], "done");
    assert_eq!(shop.until_mailed(&cancelled, "cancelled").await, ["cancelled"]);
    shop.until_told(&unpaid, "workflow.started").await;

    // A crash of the engine, with its data.
    server.kill().await;
    let second = shop.place(&[("tea", 1)]).await;
    shop.pay(&second).await;
    shop.pay(&unpaid).await;
    let _server = temporal(&dir, port).await;
    for id in [&second, &unpaid] {
        shop.until(id, "completed").await;
        assert_eq!(shop.until_mailed(id, "paid").await, ["paid"]);
    }
    assert_eq!(shop.open_exceptions().await, [""; 0]);
    assert_eq!(shop.level("tea").await, (7, 0));
    shop.close();
}

/// Worse than away: it takes what it is asked and never answers. Nobody else waits for it, though the
/// sweepers do.
#[tokio::test]
async fn temporal_hangs_and_only_the_sweepers_wait() {
    let wire = Wire::to(servers().await.temporal.address()).await;
    let setup = Setup { temporal_address: Some(wire.address.clone()), ..Setup::default() };
    let shop = Shop::with(setup).await;
    shop.stock("tea", 1250, 10).await;
    let refunded = shop.sell(&[("tea", 1)]).await;

    wire.hang();
    let (paid, unpaid) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    shop.pay(&paid).await;
    shop.refund(&refunded, json!({"reason": "scratched", "amount": 50})).await;
    let leased = "SELECT (SELECT count(*) FROM orders WHERE dispatch_after > now()) = 2
                         AND (SELECT count(*) FROM inbox WHERE dispatch_after > now()) = 1
                         AND (SELECT count(*) FROM refunds WHERE dispatch_after > now()) = 1";
    shop.until_true("the sweepers are asking for all of them", leased).await;
    let busy = async {
        for _ in 0..3 {
            shop.attempt(&unpaid).await;
            shop.refund(&refunded, json!({"reason": "scratched", "amount": 50})).await;
        }
        shop.pay(&unpaid).await;
    };
    tokio::time::timeout(Duration::from_secs(5), busy).await.expect("nobody waits for Temporal");

    wire.go_on();
    shop.until(&paid, "completed").await;
    shop.until(&unpaid, "completed").await;
    shop.until_refunds(&refunded, &["succeeded"; 4]).await;
    shop.close();
}

/// Another server in its place, or one that lost its data: it knows neither us nor our orders.
#[tokio::test]
async fn temporal_comes_back_with_nothing() {
    let (dir, port) = (test_dir(), free_port());
    let mut server = temporal(&dir, port).await;
    let setup = Setup { temporal_address: Some(server.address()), ..Setup::default() };
    let shop = Shop::with(setup).await;
    shop.stock("tea", 1250, 10).await;
    shop.sell(&[("tea", 1)]).await;

    server.kill().await;
    let _server = temporal(&test_dir(), port).await;
    shop.place_started(&[("tea", 1)]).await;
    let schedule = shop.temporal.client().await.get_schedule_handle(format!("{}-reconcile", shop.task_queue));
    eventually("the providers' books are read by themselves", async || {
        schedule.describe(RpcOptions::default()).await.ok()
    })
    .await;
    shop.close();
}

/// Nothing is there under the name that we were given: not even the namespace.
#[tokio::test]
async fn a_namespace_that_does_not_exist_is_named_and_starts_nothing() {
    let setup = Setup { env: vec![("TEMPORAL_NAMESPACE", "nowhere".to_owned())], ..Setup::default() };
    let mut shop = Shop::with(setup).await;
    shop.stock("tea", 1250, 10).await;
    let (paid, unpaid) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    shop.pay(&paid).await;
    let ready = shop.api.readiness(503).await;
    assert_eq!(ready.status, "misconfigured");
    assert_eq!(ready.missing, ["temporal"]);
    assert_eq!(ready.checks["temporal"], "there is no namespace `nowhere`");
    let mut worker = shop.worker.take().unwrap();
    let said = worker.says("sweeping fails, trying on").await;
    assert!(said["error"].as_str().unwrap().contains("`nowhere`"), "{said}");
    let mut database = shop.sql().await;
    let last_try = "SELECT max(dispatch_after)::text FROM orders WHERE workflow_started_at IS NULL";
    let mut tries = BTreeSet::new();
    wait_until("they are tried again and again", async || {
        let last: Option<String> = sqlx::query_scalar(last_try).fetch_one(&mut database).await.unwrap();
        tries.extend(last);
        tries.len() > 3
    })
    .await;
    for id in [&paid, &unpaid] {
        assert_eq!(shop.story(id).await, ["order.placed", "stock.held"]);
    }
    let says = |line: &&str| line.contains("sweeping fails") && line.contains("\"of\":\"order\"");
    assert_eq!(worker.log().lines().filter(says).count(), 1, "said once");
    worker.kill();

    let right = [("TEMPORAL_NAMESPACE", "default".to_owned())];
    let (api, _process) = shop.start_api(&right).await;
    api.get("/readyz").await.is(200);
    let _worker = shop.another_worker(&right).await;
    shop.until_told(&unpaid, "workflow.started").await;
    shop.until(&paid, "completed").await;
    shop.close();
}

#[tokio::test]
async fn postgresql_is_away_while_orders_wait() {
    let data_dir = test_dir().join("postgres");
    let options = |port| PostgresOptions { data_dir: data_dir.clone(), port, durable: true };
    let mut postgres = Postgres::start(&tools(), options(None)).await.unwrap();
    let port = postgres.port();
    let database_url = Some(database(&postgres).await);
    let shop = Shop::with(Setup { database_url, ..Setup::default() }).await;
    shop.stock("tea", 1250, 10).await;
    let (paid, unpaid) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    shop.until_told(&paid, "workflow.started").await;
    shop.until_told(&unpaid, "workflow.started").await;

    postgres.kill().await;
    let impatient = shop.api.impatient();
    impatient.get(&format!("/v1/orders/{paid}")).await.problem(503, "database_unavailable");
    assert_eq!(shop.api.readiness(503).await.missing, ["postgresql"]);
    let body = shop.order_body(&[("tea", 1)]);
    impatient.post_as("k-1", "/v1/orders", &body).await.problem(503, "database_unavailable");

    let _postgres = Postgres::start(&tools(), options(Some(port))).await.unwrap();
    wait_until("it is ready again", async || shop.api.get("/readyz").await.status == 200).await;
    shop.api.post_as("k-1", "/v1/orders", &body).await.is(201);
    shop.pay(&paid).await;
    shop.until(&paid, "completed").await;
    shop.fast_forward(&unpaid, "PT25H").await;
    shop.until(&unpaid, "expired").await;
    assert_eq!(shop.level("tea").await, (9, 1));
    shop.close();
}

/// A shop with a mail catcher of its own, which is down at first.
async fn without_mail() -> (Shop, u16) {
    let port = free_port();
    let smtp_url = Some(format!("smtp://127.0.0.1:{port}"));
    let shop = Shop::with(Setup { smtp_url, ..Setup::default() }).await;
    shop.stock("tea", 1250, 10).await;
    (shop, port)
}

async fn catch_mails(port: u16) -> MailCatcher {
    MailCatcher::start(Some(port), None, None).await.unwrap()
}

/// Waits until the catcher has got a mail; gives the kinds of all.
async fn kinds(catcher: &MailCatcher) -> Vec<String> {
    eventually("a mail", async || {
        let kinds: Vec<String> =
            mails(catcher, "ord_").await.iter().map(|mail| mail.kind().to_owned()).collect();
        (!kinds.is_empty()).then_some(kinds)
    })
    .await
}

#[tokio::test]
async fn the_mail_server_is_away_when_orders_end() {
    let (shop, port) = without_mail().await;
    let policy = json!({"payment_window": "PT1H", "reminders": ["PT30M"]});
    let (expired, paid) = (shop.place_with(&[("tea", 1)], policy).await, shop.place(&[("tea", 1)]).await);
    shop.fast_forward(&expired, "PT65M").await;
    shop.pay(&paid).await;
    // Reminders and mails do not go out, and nothing waits for them.
    shop.until(&expired, "expired").await;
    shop.until(&paid, "completed").await;
    assert_eq!(shop.level("tea").await, (9, 0));
    for id in [&expired, &paid] {
        let story = shop.story(id).await;
        assert!(!story.iter().any(|told| told.ends_with(".sent")), "{story:?}");
    }

    let catcher = catch_mails(port).await;
    for id in [&expired, &paid] {
        shop.fast_forward(id, "PT20M").await; // the next try is up to ten minutes away
        shop.until_told(id, "mail.sent").await;
        shop.temporal.until_closed(id).await;
    }
    let mut kinds = kinds(&catcher).await;
    kinds.sort();
    assert_eq!(kinds, ["expired", "paid"]);
    catcher.stop().await;
    shop.close();
}

/// The code waits with its mail, and is forgotten with it.
#[tokio::test]
async fn the_mail_server_is_away_when_a_stay_is_paid() {
    let (shop, port) = without_mail().await;
    shop.rooms("room", 1).await;
    let id = shop.book("room", 1, 9).await;
    shop.pay(&id).await;
    shop.until(&id, "paid").await;
    shop.fast_forward(&id, "PT1H").await;
    let kept = async || shop.query::<Option<String>>("SELECT code FROM check_ins").await;
    let waiting = kept().await.expect("nobody else knows it yet");

    let catcher = catch_mails(port).await;
    wait_until("both mails", async || {
        shop.fast_forward(&id, "PT20M").await; // the next try is up to ten minutes away
        shop.story(&id).await.iter().filter(|told| *told == "mail.sent").count() == 2
    })
    .await;
    let mails = mails(&catcher, "ord_").await;
    assert_eq!(mails.iter().map(Mail::kind).collect::<Vec<_>>(), ["paid", "check_in"]);
    let code = code(mails.last().unwrap());
    assert_eq!((&code, kept().await), (&waiting, None));
    shop.fast_forward(&id, "P3D").await;
    shop.check_in(&id, &code).await.is(200);
    catcher.stop().await;
    shop.close();
}

#[tokio::test]
async fn the_mail_server_is_away_when_a_reminder_is_due() {
    let (shop, port) = without_mail().await;
    let id = shop.place(&[("tea", 1)]).await;
    shop.fast_forward(&id, "PT5H").await;
    let catcher = catch_mails(port).await;
    shop.fast_forward(&id, "PT20M").await;
    shop.until_told(&id, "reminder.sent").await;
    assert_eq!(kinds(&catcher).await, ["reminder_1"]);
    // Money that comes while a reminder is tried pays at once, and the reminder is forgotten.
    catcher.stop().await;
    shop.fast_forward(&id, "PT7H").await;
    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    let catcher = catch_mails(port).await;
    shop.fast_forward(&id, "PT20M").await;
    shop.temporal.until_closed(&id).await;
    assert_eq!(kinds(&catcher).await, ["paid"]);
    catcher.stop().await;
    shop.close();
}
