//! Much at once: what is slow does not keep the rest from being served, and a probe says what is the matter.

use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::harness::{Setup, Shop, eventually, wait_until};

/// A table that nobody else can read, until the session ends.
async fn locked(shop: &Shop, table: &str) -> PgConnection {
    let mut sql = shop.sql().await;
    let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    sql.execute(sqlx::AssertSqlSafe(lock)).await.unwrap();
    sql
}

#[tokio::test]
async fn reports_leave_connections_to_others() {
    let shop = Shop::with(few_connections("8")).await;
    shop.stock("tea", 1250, 10).await;
    let lock = locked(&shop, "provider_movements").await;
    let api = shop.api.clone();
    let reports = tokio::spawn(async move { join_all((0..40).map(|_| api.get("/v1/settlements"))).await });
    wait_until("reports wait for the table", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE wait_event_type = 'Lock' AND query LIKE 'WITH back%'";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut shop.sql().await).await.unwrap();
        waiting > 0
    })
    .await;
    let id = shop.place(&[("tea", 1)]).await;
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    assert_eq!(shop.api.readiness(200).await.status, "ok");
    // Those for whom there was no place have their answer before the others'.
    wait_until("reports are turned away", async || {
        shop.figures().await.contains("route=\"/v1/settlements\",status=\"503\"")
    })
    .await;
    lock.close().await.unwrap();
    for answer in reports.await.unwrap() {
        match answer.status.as_u16() {
            200 => {}
            503 => {
                let problem = answer.json();
                assert!(
                    ["busy", "database_unavailable"].iter().any(|it| problem["code"] == *it),
                    "{problem}"
                );
                assert!(answer.header("retry-after").is_some());
            }
            other => panic!("{other}"),
        }
    }
    shop.api.get("/v1/settlements").await.is(200);
    shop.close();
}

#[tokio::test]
async fn a_probe_tells_busy_from_away() {
    let shop = Shop::with(Setup { without_worker: true, ..few_connections("2") }).await;
    let lock = locked(&shop, "orders").await;
    let api = shop.api.clone();
    let reads = tokio::spawn(async move { join_all((0..6).map(|_| api.get("/v1/orders"))).await });
    let ready = eventually("the probe says busy", async || {
        let ready = shop.api.readiness(200).await;
        (ready.status == "busy").then_some(ready)
    })
    .await;
    assert!(ready.missing.is_empty());
    assert!(ready.checks["postgresql"].starts_with("answers"), "{ready:?}");
    lock.close().await.unwrap();
    reads.await.unwrap();
    assert_eq!(shop.api.readiness(200).await.status, "ok");
    shop.close();
}

/// Who asks for a report and goes away has its connection, not its place: no number of them takes the pool.
#[tokio::test]
async fn reports_that_nobody_waits_for_take_no_connections() {
    let shop = Shop::with(few_connections("8")).await;
    shop.stock("tea", 1250, 10).await;
    let lock = locked(&shop, "provider_movements").await;
    for _ in 0..20 {
        let api = shop.api.clone();
        let report = tokio::spawn(async move { api.get("/v1/settlements").await });
        tokio::time::sleep(Duration::from_millis(50)).await; // not a wait: so long does the client stay
        report.abort();
    }
    let id = shop.place(&[("tea", 1)]).await;
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    assert_eq!(shop.api.readiness(200).await.status, "ok");
    lock.close().await.unwrap();
    shop.close();
}

fn few_connections(connections: &str) -> Setup {
    let env = vec![("HOLDFAST_DATABASE_MAX_CONNECTIONS", connections.to_owned())];
    Setup { env, ..Setup::default() }
}
