//! A timeline never goes back, though several write it, each with a clock of its own.

use sqlx::{Executor as _, PgConnection};

use crate::harness::{Setup, Shop, Wire, servers, wait_until};

/// Somebody changes the order just now: holds its row, and has told of something that is dated later than
/// what comes next.
async fn change(shop: &Shop) -> PgConnection {
    let mut sql = shop.sql().await;
    sql.execute(
        "BEGIN;
         SELECT FROM orders FOR NO KEY UPDATE;
         INSERT INTO timeline (order_id, at, type, data)
         SELECT o.id, max(t.at) + interval '1 day', 'order.extended', '{}'
         FROM orders o JOIN timeline t ON t.order_id = o.id GROUP BY o.id",
    )
    .await
    .unwrap();
    sql
}

/// Commits the change once another has told of this, or waits to do so.
async fn commit_before(shop: &Shop, mut change: PgConnection, kind: &str) {
    let mut sql = shop.sql().await;
    wait_until("another has something to tell, too", async || {
        let told_or_waits = sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT FROM timeline WHERE type = $1)
                 OR EXISTS (SELECT FROM pg_stat_activity
                            WHERE datname = current_database() AND wait_event_type = 'Lock')",
        );
        told_or_waits.bind(kind).fetch_one(&mut sql).await.unwrap()
    })
    .await;
    change.execute("COMMIT").await.unwrap();
}

async fn never_goes_back(shop: Shop, id: &str, kind: &str) {
    let story = shop.until_told(id, kind).await;
    let told: Vec<_> = shop.timeline(id).await.iter().map(|entry| entry.at).collect();
    assert!(told.is_sorted(), "{told:?}: {story:?}");
    shop.close();
}

#[tokio::test]
async fn not_when_a_mail_is_sent_while_the_order_changes() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place_started(&[("tea", 1)]).await;
    let change = change(&shop).await;
    let (_, ()) = tokio::join!(shop.fast_forward(&id, "PT5H"), commit_before(&shop, change, "reminder.sent"));
    never_goes_back(shop, &id, "reminder.sent").await;
}

#[tokio::test]
async fn not_when_its_workflow_starts_while_the_order_changes() {
    let wire = Wire::to(servers().await.temporal.address()).await;
    let setup = Setup { temporal_address: Some(wire.address.clone()), ..Setup::default() };
    let shop = Shop::with(setup).await;
    shop.stock("tea", 1250, 10).await;
    let first = shop.place(&[("tea", 1)]).await;
    shop.pay(&first).await;
    shop.until_mailed(&first, "paid").await;
    wire.hang();
    let id = shop.place(&[("tea", 1)]).await;
    let change = change(&shop).await;
    wire.go_on();
    commit_before(&shop, change, "nothing").await;
    never_goes_back(shop, &id, "workflow.started").await;
}

/// An audit that finds nothing must be able to find something.
#[tokio::test]
async fn the_audit_finds_one_that_does() {
    let shop = Shop::with_tea(10).await;
    shop.place_started(&[("tea", 1)]).await;
    shop.audit();
    let back = "INSERT INTO timeline (order_id, at, type, data)
                SELECT id, placed_at - interval '1 second', 'order.extended', '{}' FROM orders";
    shop.sql().await.execute(back).await.unwrap();
    shop.audit_finds("7. the timeline of an order never goes back: 1");
}
