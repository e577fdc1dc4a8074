//! Group commit: what arrives together is one transaction, and still everybody gets what is theirs.

use std::collections::BTreeSet;

use domain::{
    OrderId, change::ChangeOutcome, exception, order::Status, policy::LatePayment, settlement::Settled,
};
use futures_util::{StreamExt as _, future::join_all, stream};
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use store::{Fault, orders::Placed};

use crate::harness::{
    Answer, Shop,
    documents::Order,
    test_process::{TestProcess, ask, money},
    unique, wait_until,
};

async fn without_worker() -> Shop {
    let shop = Shop::without_worker().await;
    for sku in ["a", "b"] {
        shop.stock(sku, 100, 50).await;
    }
    shop
}

/// How many transactions wrote these orders last.
async fn transactions(shop: &Shop, orders: &[OrderId]) -> usize {
    let orders: Vec<_> = orders.iter().map(|id| id.uuid()).collect();
    let written = sqlx::query_scalar("SELECT xmin::text FROM orders WHERE id = ANY($1)").bind(orders);
    let written: Vec<String> = written.fetch_all(&mut shop.sql().await).await.unwrap();
    written.into_iter().collect::<BTreeSet<_>>().len()
}

/// Makes every change of an order of this customer a fault of the database.
async fn poison(shop: &Shop, customer: &str) {
    let poison = format!(
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'poison'; END $$;
         CREATE TRIGGER poison BEFORE INSERT OR UPDATE OF status ON orders FOR EACH ROW
         WHEN (NEW.customer_id = '{customer}') EXECUTE FUNCTION poison();"
    );
    shop.sql().await.execute(sqlx::AssertSqlSafe(poison)).await.unwrap();
}

/// Keeps every writer of a SKU waiting until it is dropped.
async fn block(shop: &Shop, sku: &str) -> PgConnection {
    let mut connection = shop.sql().await;
    connection.execute("BEGIN").await.unwrap();
    let lock = sqlx::query("SELECT 1 FROM stock_levels WHERE sku = $1 FOR UPDATE").bind(sku.to_owned());
    connection.execute(lock).await.unwrap();
    connection
}

/// Lets the writers go on, once all who are asked beside this have come.
async fn unblock(blocked: PgConnection) {
    tokio::task::yield_now().await;
    blocked.close().await.unwrap();
}

/// A full door sends those away who come then, and nobody else; and a member that fails does so by itself.
#[tokio::test]
async fn a_full_door_sends_away_and_a_poisoned_batch_hurts_nobody_else() {
    let shop = without_worker().await;
    let (api, _process) = shop.start_api(&[("HOLDFAST_MAX_WAITING", "8".into())]).await;
    poison(&shop, "poison").await;
    let place = |customer: &str| {
        let (api, mut body) = (api.clone(), shop.order_body(&[("a", 1)]));
        body["customer"]["id"] = json!(customer);
        tokio::spawn(async move { api.impatient().post("/v1/orders", &body).await })
    };
    let blocked = block(&shop, "a").await;
    let first = place("good");
    shop.until_one_waits().await;
    // Eight of these find room, so at least one of them is poisoned.
    let others: Vec<_> = (0..11).map(|i| place(if i % 3 == 0 { "poison" } else { "good" })).collect();
    wait_until("three are sent away", async || {
        others.iter().filter(|answer| answer.is_finished()).count() == 3
    })
    .await;
    blocked.close().await.unwrap();

    first.await.unwrap().is(201);
    let answers: Vec<Answer> = join_all(others).await.into_iter().map(Result::unwrap).collect();
    let (mut busy, mut failed, mut placed) = (0, 0, Vec::new());
    for (i, answer) in answers.iter().enumerate() {
        match answer.status.as_u16() {
            503 => {
                answer.problem(503, "busy");
                assert!(answer.header("retry-after").is_some());
                busy += 1;
            }
            500 => {
                assert_eq!(i % 3, 0, "an innocent one: {answer:?}");
                failed += 1;
            }
            _ => placed.push(answer.clone().of::<Order>().is(201).id.parse::<OrderId>().unwrap()),
        }
    }
    assert_eq!((busy, failed + placed.len()), (3, 8));
    assert!(failed > 0);
    assert_eq!(shop.level("a").await, (50, 1 + i64::try_from(placed.len()).unwrap()));

    // Without poison those who come while one is being served share one transaction.
    let process = TestProcess::of(&shop);
    let blocked = block(&shop, "a").await;
    let placements = process.placements.clone();
    let first = tokio::spawn(async move { placements.place(ask(&[("a", 1)], LatePayment::Refund)).await });
    shop.until_one_waits().await;
    let asks: Vec<_> = (0..20).map(|_| ask(&[("b", 1)], LatePayment::Refund)).collect();
    let ids: Vec<_> = asks.iter().map(|ask| ask.id).collect();
    let placed = join_all(asks.into_iter().map(|ask| process.placements.place(ask)));
    let (answers, ()) = tokio::join!(placed, unblock(blocked));
    assert!(matches!(first.await.unwrap(), Ok(Placed::New(_))));
    for answer in answers {
        assert!(matches!(answer.unwrap(), Placed::New(_)));
    }
    assert_eq!(transactions(&shop, &ids).await, 1);
    shop.close();
}

/// Payments, cancellations and expiries in one transaction: each is decided as if it were alone.
#[tokio::test]
async fn the_workers_steps_share_a_transaction() {
    let shop = without_worker().await;
    let process = TestProcess::of(&shop);
    let place = async |lines: &[(&str, i64)], late| {
        let ask = ask(lines, late);
        let id = ask.id;
        process.placements.place(ask).await.unwrap();
        id
    };
    let mut ids = Vec::new();
    for i in 0..12 {
        ids.push(place(&[[("a", 2), ("b", 1)], [("b", 2), ("a", 1)]][i % 2], LatePayment::Refund).await);
    }
    let late = place(&[("a", 1), ("b", 1)], LatePayment::Reinstate).await;
    let now = Timestamp::now();
    let tomorrow = now + 25.hours();
    process.settlements.cancel(late, "x", false, now).await.unwrap();

    let first = place(&[("a", 1)], LatePayment::Refund).await;
    let blocked = block(&shop, "a").await;
    let settlements = process.settlements.clone();
    let first = tokio::spawn(async move { settlements.settle(first, &money("before", 100), now).await });
    shop.until_one_waits().await;

    let settlements = &process.settlements;
    let settle = async |id, payment: &str, amount| {
        settlements
            .settle(id, &money(payment, amount), now)
            .await
            .map(|(settlement, is_news)| (settlement.settled, is_news))
    };
    let nobody = ask(&[], LatePayment::Refund).id;
    // All of these come while the till is busy with the first one.
    let (paid, cancelled, expired, reinstated, unknown, again, not_due, ()) = tokio::join!(
        join_all((0..4).map(|i| settle(ids[i], "first", 300))),
        join_all((4..8).map(|i| settlements.cancel(ids[i], "x", false, now))),
        join_all((8..11).map(|i| settlements.expire(ids[i], false, tomorrow))),
        settle(late, "late", 200),
        settle(nobody, "lost", 200),
        settle(ids[0], "second", 300),
        settlements.expire(ids[11], false, now),
        unblock(blocked),
    );
    assert!(matches!(first.await.unwrap().unwrap().0.settled, Settled::Paid(_)));
    assert!(paid.into_iter().all(|settled| settled.unwrap() == (Settled::Paid(Status::Completed), true)));
    assert!(cancelled.into_iter().chain(expired).all(|closed| closed.unwrap() == ChangeOutcome::Done));
    assert!(matches!(reinstated, Ok((Settled::Reinstated(_), true))), "{reinstated:?}");
    assert!(matches!(unknown, Err(Fault::UnknownOrder(_))), "{unknown:?}");
    assert_eq!(again.unwrap(), (Settled::Unmatched(exception::Kind::PaidTwice), true));
    assert!(matches!(not_due, Ok(ChangeOutcome::NotDue(_))), "{not_due:?}");
    assert_eq!(transactions(&shop, &ids[1..11]).await, 1);
    // Each order comes once more, with what would end it otherwise.
    let (refused, known) = tokio::join!(
        join_all((0..4).map(|i| settlements.cancel(ids[i], "y", false, now))),
        join_all((0..4).map(|i| settle(ids[i], "first", 300))),
    );
    for (refused, known) in refused.into_iter().zip(known) {
        assert_eq!(refused.unwrap(), ChangeOutcome::Refused(Status::Completed));
        assert_eq!(known.unwrap(), (Settled::Paid(Status::Completed), false));
    }
    // Five orders and the reinstated one were sold, one is open still.
    assert_eq!((shop.level("a").await, shop.level("b").await), ((42, 1), (43, 2)));
    shop.close();
}

/// A step that the database will not write fails by itself, until it can be written.
#[tokio::test]
async fn a_poisoned_step_waits_while_the_others_go_on() {
    let mut shop = without_worker().await;
    let mut body = shop.order_body(&[("a", 1)]);
    let good = join_all((0..12).map(|_| shop.place(&[("a", 1)]))).await;
    body["customer"]["id"] = json!("poison");
    let bad = shop.try_place(&body).await.is(201).id;
    poison(&shop, "poison").await;
    for id in good.iter().chain([&bad]) {
        shop.pay(id).await;
    }
    shop.start_worker();
    for id in &good {
        shop.until(id, "completed").await;
    }
    assert_eq!(shop.order(&bad).await.status, "awaiting_payment");
    assert_eq!(shop.level("a").await, (38, 1));
    shop.sql().await.execute("DROP TRIGGER poison ON orders").await.unwrap();
    shop.until(&bad, "completed").await;
    shop.close();
}

/// Three APIs and two workers on the same SKUs, named in every order: nobody waits for somebody who waits for
/// them.
#[tokio::test]
async fn several_processes_on_the_same_stock() {
    let shop = Shop::open().await;
    for sku in ["a", "b", "c"] {
        shop.stock(sku, 100, 40).await;
    }
    let _worker = shop.another_worker(&[]).await;
    let ((second, _p), (third, _q)) = (shop.start_api(&[]).await, shop.start_api(&[]).await);
    let apis = [&shop.api, &second, &third];
    let bodies = [
        shop.order_body(&[("a", 1), ("b", 1), ("c", 1)]),
        shop.order_body(&[("c", 1), ("a", 1)]),
        shop.order_body(&[("b", 1), ("c", 1)]),
        shop.order_body(&[("b", 2), ("a", 1)]),
    ];
    let lives = (0..120).map(async |i| {
        let placed = apis[i % 3].post_as(&unique(), "/v1/orders", &bodies[i % 4]).await;
        if placed.status == 409 {
            placed.problem(409, "insufficient_stock");
            return None;
        }
        let id = placed.of::<Order>().is(201).id;
        match i % 2 {
            0 => shop.pay(&id).await,
            _ => drop(shop.cancel(&id).await.is(200)),
        }
        Some((i, id))
    });
    // As many at once as an engine under test can answer in time.
    let placed: Vec<_> = stream::iter(lives).buffer_unordered(24).collect().await;
    let placed: Vec<_> = placed.into_iter().flatten().collect();
    assert!(placed.len() >= 40, "{}", placed.len());
    for (i, id) in &placed {
        shop.until(id, ["completed", "cancelled"][i % 2]).await;
    }
    for sku in ["a", "b", "c"] {
        assert_eq!(shop.level(sku).await.1, 0, "{sku}");
    }
    let deadlocks: i64 =
        shop.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await;
    assert_eq!(deadlocks, 0);
    shop.close();
}
