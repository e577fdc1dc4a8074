//! Somebody else in the database, who locks in another order than we do, and what nobody of ours has written.

use futures_util::future::join_all;
use serde_json::json;
use sqlx::{Executor as _, PgConnection};

use crate::harness::Shop;

/// A person in a transaction, who locks rows with `FOR UPDATE` and is not the one whom PostgreSQL sends back.
async fn person(shop: &Shop) -> PgConnection {
    let mut sql = shop.sql().await;
    sql.execute("SET deadlock_timeout = '30s'; BEGIN").await.unwrap();
    sql
}

async fn lock(sql: &mut PgConnection, rows: String) {
    sql.execute(sqlx::AssertSqlSafe(format!("SELECT FROM {rows} FOR UPDATE"))).await.unwrap();
}

#[tokio::test]
async fn an_order_that_meets_a_deadlock_is_placed_all_the_same() {
    let shop = Shop::open().await;
    shop.stock("one", 100, 10).await;
    shop.stock("two", 100, 10).await;
    let mut person = person(&shop).await;
    lock(&mut person, "stock_levels WHERE sku = 'two'".to_owned()).await;
    let (api, body) = (shop.api.clone(), shop.order_body(&[("one", 1), ("two", 1)]));
    let placed = tokio::spawn(async move { api.post("/v1/orders", &body).await });
    shop.until_one_waits().await;
    lock(&mut person, "stock_levels WHERE sku = 'one'".to_owned()).await;
    person.execute("COMMIT").await.unwrap();
    placed.await.unwrap().is(201);
    assert_eq!((shop.level("one").await, shop.level("two").await), ((10, 1), (10, 1)));
    assert!(shop.api_process.log().contains("a transaction is done again"));
    shop.close();
}

#[tokio::test]
async fn a_decision_that_meets_a_deadlock_is_made_all_the_same() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    shop.pay_with(&id, json!({"amount": 7})).await;
    let exception = shop.until_exception(&id, "wrong_amount").await;
    let mut person = person(&shop).await;
    lock(&mut person, "exceptions".to_owned()).await;
    let (api, path) = (shop.api.clone(), format!("/v1/exceptions/{}/resolve", exception.id));
    let decision = json!({"action": "accept", "note": "looked at it"});
    let resolved = tokio::spawn(async move { api.post(&path, &decision).await });
    shop.until_one_waits().await;
    lock(&mut person, "orders".to_owned()).await;
    person.execute("COMMIT").await.unwrap();
    assert_eq!(resolved.await.unwrap().is(200)["state"], "resolved");
    shop.close();
}

/// Some set it for all their databases. Then a lone statement, too, would be undone where it only has to
/// wait.
#[tokio::test]
async fn a_database_that_is_strict_by_default_undoes_nothing_of_ours() {
    let shop = Shop::without_worker().await;
    shop.stock("tea", 1250, 1000).await;
    let strict =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable',
                  current_database()); END $$";
    shop.sql().await.execute(strict).await.unwrap();
    let (api, process) = shop.start_api(&[]).await;
    let api = &api;
    let body = shop.order_body(&[("tea", 1)]);
    let placed = join_all((0..40).map(|_| api.post("/v1/orders", &body)));
    let adjustment = json!({"delta": 1, "reason": "found"});
    let adjusted = join_all((0..40).map(|_| api.post("/v1/inventory/tea/adjustments", &adjustment)));
    for answer in std::iter::chain(placed.await, adjusted.await) {
        answer.is(201);
    }
    assert_eq!(shop.level("tea").await, (1040, 40));
    assert!(!process.log().contains("a transaction is done again"));
    shop.close();
}

/// A word that no version of ours writes is no failed refund.
#[tokio::test]
async fn an_unknown_word_is_told_as_a_fault() {
    let shop = Shop::with_tea(10).await;
    let id = shop.sell(&[("tea", 1)]).await;
    shop.refund(&id, json!({"amount": 100, "reason": "scratched"})).await;
    shop.until_refunds(&id, &["succeeded"]).await;
    let mut sql = shop.sql().await;
    sql.execute("ALTER TABLE refunds DROP CONSTRAINT IF EXISTS refunds_state_check").await.unwrap();
    sql.execute("UPDATE refunds SET state = 'perhaps'").await.unwrap();
    shop.api.get(&format!("/v1/orders/{id}/refunds")).await.problem(500, "internal_error");
    assert!(shop.api_process.log().contains("a stored value cannot be read"));
    sql.execute("UPDATE refunds SET state = 'succeeded'").await.unwrap();
    shop.close();
}
