//! The ledger: it shows every movement, and nobody can break it.

use serde_json::json;
use sqlx::Executor as _;

use crate::harness::{Shop, documents::Movement};

/// Kind, quantity, and (on hand, held) after it.
type Row = (String, i64, (i64, i64));

async fn rows(shop: &Shop, query: &str) -> Vec<Row> {
    let list = shop.api.list::<Movement>(&format!("/v1/ledger?limit=100&{query}")).await;
    list.data.into_iter().map(|it| (it.kind, it.quantity, (it.on_hand_after, it.held_after))).collect()
}

fn row(kind: &str, quantity: i64, after: (i64, i64)) -> Row {
    (kind.to_owned(), quantity, after)
}

#[tokio::test]
async fn every_movement_is_told_newest_first() {
    let shop = Shop::with_tea(0).await;
    shop.stock("mug", 1800, 5).await;
    let adjustments = "/v1/inventory/tea/adjustments";
    let delivery = json!({"kind": "received", "delta": 10, "reason": "delivery 12"});
    shop.api.post(adjustments, &delivery).await.is(201);
    let loss = json!({"kind": "adjusted", "delta": -1, "reason": "broken"});
    shop.api.post(adjustments, &loss).await.is(201);
    let (paid, cancelled) = (shop.place(&[("tea", 2), ("mug", 1)]).await, shop.place(&[("tea", 3)]).await);
    shop.pay(&paid).await;
    shop.until(&paid, "completed").await;
    shop.cancel(&cancelled).await.is(200);
    shop.ask_refund(&paid, &json!({"reason": "unhappy", "restock": true})).await.is(201);
    shop.until_told(&paid, "stock.returned").await;

    let tea = [
        row("returned", 2, (9, 0)),
        row("released", 3, (7, 0)),
        row("committed", 2, (7, 3)),
        row("held", 3, (9, 5)),
        row("held", 2, (9, 2)),
        row("adjusted", -1, (9, 0)),
        row("received", 10, (10, 0)),
    ];
    assert_eq!(rows(&shop, "sku=tea").await, tea);
    let of_order = rows(&shop, &format!("order={cancelled}")).await;
    assert_eq!(of_order, [tea[1].clone(), tea[3].clone()]);
    assert_eq!(rows(&shop, &format!("order={paid}")).await.len(), 6);
    assert_eq!(
        rows(&shop, &format!("order={paid}&sku=mug")).await,
        [row("returned", 1, (5, 0)), row("committed", 1, (4, 0)), row("held", 1, (5, 1))]
    );
    assert_eq!(rows(&shop, "").await.len(), 11);
    assert_eq!(rows(&shop, "sku=none").await, []);
    assert_eq!(rows(&shop, "order=ord_01920000000070008000000000000000").await, []);

    let pages = shop.api.pages::<Movement>("/v1/ledger?sku=tea&limit=6").await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [6, 1]);
    assert_eq!(pages[0][1].order_id, cancelled);
    let received = &pages[1][0];
    assert_eq!([&received.order_id, &received.reason], ["", "delivery 12"]);
    assert_eq!(received.on_hand_delta, 10);
    shop.close();
}

#[tokio::test]
async fn what_is_malformed_is_named() {
    let shop = Shop::with_tea(0).await;
    for (query, field) in [
        ("sku=no%23sku", "sku"),
        ("sku=room@tonight", "sku"),
        ("order=tea", "order"),
        ("limit=0", "limit"),
        ("starting_after=7", "starting_after"),
        ("starting_after=mov_-7", "starting_after"),
        ("kind=held", "kind"),
    ] {
        assert_eq!(shop.api.get(&format!("/v1/ledger?{query}")).await.bad_fields(), [field], "{query}");
    }
    for (body, field) in [
        (json!({"kind": "received", "delta": -1, "reason": "x"}), "delta"),
        (json!({"kind": "received", "delta": 0, "reason": "x"}), "delta"),
        (json!({"kind": "held", "delta": 1, "reason": "x"}), "kind"),
    ] {
        assert_eq!(shop.api.post("/v1/inventory/tea/adjustments", &body).await.bad_fields(), [field]);
    }
    assert_eq!(rows(&shop, "").await, []);
    shop.close();
}

/// Whatever a program gets wrong, PostgreSQL does not write it.
#[tokio::test]
async fn the_database_refuses_what_would_break_the_books() {
    let shop = Shop::with_tea(10).await;
    let (paid, _open) = (shop.place(&[("tea", 2)]).await, shop.place(&[("tea", 3)]).await);
    shop.pay(&paid).await;
    shop.until(&paid, "completed").await;
    let movement = |kind: &str, deltas: &str, after: &str, order: &str| {
        format!(
            "INSERT INTO stock_movements (sku, kind, on_hand_delta, held_delta, on_hand_after, held_after,
                                          order_id, at)
             SELECT 'tea', '{kind}', {deltas}, {after}, {order}, placed_at FROM orders LIMIT 1"
        )
    };
    let open = "(SELECT order_id FROM holds WHERE state = 'held')";
    let sold = "(SELECT order_id FROM holds WHERE state = 'committed')";
    let with_level = |level: &str, movement: String| format!("UPDATE stock_levels SET {level}; {movement}");
    for (statement, refusal) in [
        ("UPDATE stock_movements SET reason = 'x'".to_owned(), "append-only"),
        ("DELETE FROM stock_movements".into(), "append-only"),
        ("TRUNCATE stock_movements".into(), "append-only"),
        ("TRUNCATE orders CASCADE".into(), "stays on record"),
        ("DELETE FROM orders".into(), "stays on record"),
        ("DELETE FROM holds".into(), "stays on record"),
        ("UPDATE holds SET state = 'held' WHERE state = 'committed'".into(), "a hold moves once"),
        ("UPDATE holds SET quantity = quantity + 1".into(), "moves_the_whole_hold"),
        ("UPDATE stock_levels SET on_hand = held - 1".into(), "stock_never_negative"),
        ("UPDATE stock_levels SET on_hand = on_hand + 1".into(), "the level of tea"),
        (movement("received", "-1, 0", "7, 3", "NULL"), "deltas_fit_the_kind"),
        (movement("committed", "-3, 0", "5, 3", open), "deltas_fit_the_kind"),
        (movement("adjusted", "-9, 0", "-1, 3", "NULL"), "balance_never_negative"),
        (movement("adjusted", "1, 0", "9, 3", open), "an_order_exactly_where_one_moves"),
        (movement("released", "0, -3", "8, 0", "NULL"), "an_order_exactly_where_one_moves"),
        // Books that look right, but for one thing each.
        (movement("adjusted", "1, 0", "9, 3", "NULL"), "does not add up"),
        (with_level("on_hand = 9", movement("adjusted", "2, 0", "9, 3", "NULL")), "does not add up"),
        (with_level("held = 1", movement("released", "0, -2", "8, 1", open)), "moves_the_whole_hold"),
        (
            with_level("on_hand = 6, held = 1", movement("committed", "-2, -2", "6, 1", sold)),
            "order_id_sku_kind",
        ),
        (with_level("held = 1", movement("released", "0, -2", "8, 1", sold)), "a_hold_ends_once"),
        // More than was sold, what was not sold, and what no movement tells of.
        (with_level("on_hand = 11", movement("returned", "3, 0", "11, 3", sold)), "no_more_comes_back"),
        (with_level("on_hand = 9", movement("returned", "1, 0", "9, 3", open)), "no_more_comes_back"),
        ("UPDATE holds SET returned = 1 WHERE state = 'committed'".into(), "not what its ledger says"),
    ] {
        let refused = shop.sql().await.execute(sqlx::AssertSqlSafe(statement.clone())).await;
        let refused = refused.map(|_| ()).expect_err(&statement).to_string();
        assert!(refused.contains(refusal), "{statement}: {refused}");
    }
    shop.close();
}
