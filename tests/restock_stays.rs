//! Nights come back like pieces, and then they are not the guests' any more: no room has two.

use futures_util::future::join_all;
use serde_json::json;
use sqlx::Executor as _;

use crate::{
    harness::{Setup, Shop, servers},
    restock::nights,
    stays::{code, day, midnight},
};

/// The issue's own: one cent goes back, all nights are on sale, and the next guests come.
#[tokio::test]
async fn a_room_is_not_given_to_two_guests() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let first = shop.book("room", 2, 5).await;
    let first_code = code(&shop.pay_stay(&first).await);
    shop.ask_refund(&first, &json!({"amount": 1, "reason": "x", "restock": true})).await.is(201);
    assert_eq!(
        shop.until_back(&first, 1).await,
        [json!([{"sku": "room", "quantity": 1, "from": day(2), "to": day(5)}])]
    );
    assert_eq!(shop.nights("room", 2, 5).await, [(0, 0); 3]);
    assert_eq!(shop.returned(&first).await, [3]);
    let second = shop.book("room", 2, 5).await;
    let second_code = code(&shop.pay_stay(&second).await);
    shop.check_in(&first, &first_code).await.problem(409, "order_refunded");
    shop.fulfil(&first).await.problem(409, "order_refunded");
    shop.fast_forward(&first, "P3D").await;
    shop.fast_forward(&second, "P3D").await;
    shop.check_in(&first, &first_code).await.problem(409, "order_refunded");
    shop.check_in(&second, &second_code).await.is(200);
    // Money alone leaves the code good.
    let third = shop.book("room", 6, 7).await;
    let third_code = code(&shop.pay_stay(&third).await);
    shop.ask_refund(&third, &json!({"amount": 7999, "reason": "x"})).await.is(201);
    shop.until_refunds(&third, &["succeeded"]).await;
    shop.fast_forward(&third, "P7D").await;
    shop.check_in(&third, &third_code).await.is(200);
    shop.close();
}

#[tokio::test]
async fn the_code_is_good_for_the_nights_that_are_left() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let (late, early) = (shop.book("room", 2, 6).await, shop.book("room", 8, 12).await);
    let (late_code, early_code) = (code(&shop.pay_stay(&late).await), code(&shop.pay_stay(&early).await));
    // They come two days later.
    let refund = shop.bring_back(&late, json!([nights("room", 2, 4)])).await.is(201);
    assert_eq!(refund.amount, 2 * 8000);
    let told = json!([{"sku": "room", "stay": {"from": day(2), "to": day(4)}, "quantity": 1}]);
    assert_eq!(refund.lines, told);
    let too_early = shop.check_in(&late, &late_code).await.problem(409, "check_in_too_early");
    assert_eq!(too_early.opens_at, Some(midnight(day(4))));
    shop.until_back(&late, 1).await;
    assert_eq!(shop.nights("room", 2, 6).await, [(0, 0), (0, 0), (0, 1), (0, 1)]);
    let line = shop.order(&late).await.lines.remove(0);
    let nights_back: Vec<i64> = line.stay.unwrap().nights.iter().map(|night| night.returned).collect();
    assert_eq!((line.returned, nights_back), (2, vec![1, 1, 0, 0]));
    let again = shop.bring_back(&late, json!([nights("room", 3, 5)])).await;
    let left = json!([{"sku": "room", "stay": {"from": day(4), "to": day(6)}, "quantity": 1}]);
    assert_eq!(again.problem(409, "restock_exceeds_sold").returnable, left);
    let other = shop.book("room", 2, 4).await;
    let other_code = code(&shop.pay_stay(&other).await);
    for id in [&late, &other] {
        shop.fast_forward(id, "P3D").await;
    }
    shop.check_in(&other, &other_code).await.is(200);
    shop.check_in(&late, &late_code).await.problem(409, "check_in_too_early");
    shop.fast_forward(&late, "P2D").await;
    shop.check_in(&late, &late_code).await.is(200);

    // They leave two days earlier, and come when that is past.
    shop.bring_back(&early, json!([nights("room", 10, 12)])).await.is(201);
    shop.until_back(&early, 1).await;
    shop.fast_forward(&early, "P12D").await;
    let gone = shop.check_in(&early, &early_code).await.problem(409, "check_in_not_possible");
    assert_eq!(gone.current_status, "paid");
    shop.fast_forward(&early, "P3D").await;
    assert_eq!(shop.until(&early, "completed").await.close_reason, "unused");
    shop.close();
}

#[tokio::test]
async fn rooms_and_extras_come_back_in_parts() {
    let shop = Shop::open().await;
    shop.rooms("room", 2).await;
    shop.offer("room", 4, 5, json!({"capacity": 2, "unit_price": 9999})).await.is(200);
    let mut body = shop.stay_body("room", 3, 6);
    body["lines"][0]["extras"] = json!([{"code": "parking"}, {"code": "breakfast"}]);
    body["lines"][0]["quantity"] = json!(2);
    body["lines"][0]["guests"] = json!(5);
    let order = shop.try_place(&body).await.is(201);
    let (id, total) = (&order.id, order.total);
    let the_code = code(&shop.pay_stay(id).await);
    // One room in one night: its price, and a sixth of 15 breakfasts.
    let mut part = nights("room", 4, 5);
    part["quantity"] = json!(1);
    let first = shop.bring_back(id, json!([part])).await.is(201).amount;
    assert_eq!(first, 9999 + 18750 / 6);
    let mut part = nights("room", 3, 6);
    part["quantity"] = json!(2);
    let problem = shop.bring_back(id, json!([part])).await.problem(409, "restock_exceeds_sold");
    assert_eq!(problem.returnable.as_array().unwrap().len(), 3, "{problem:?}");
    shop.until_back(id, 1).await;
    assert_eq!(shop.nights("room", 3, 6).await, [(0, 2), (0, 1), (0, 2)]);
    // The other room's guests, and in the first and last night all.
    let second = shop.bring_back(id, json!([nights("room", 4, 5)])).await.is(201).amount;
    assert_eq!(second, 9999 + 18750 / 6);
    shop.until_back(id, 2).await;
    shop.fast_forward(id, "P4D").await;
    let rest = shop.bring_back(id, json!([nights("room", 3, 4), nights("room", 5, 6)])).await.is(201);
    assert_eq!(rest.amount, total - first - second);
    shop.check_in(id, &the_code).await.problem(409, "order_refunded");
    shop.until_money(id, "refunded").await;
    assert_eq!(shop.nights("room", 3, 6).await, [(0, 0); 3]);
    shop.close();
}

/// Either the guests are in, or their nights are on sale.
#[tokio::test]
async fn guests_come_as_their_nights_go_back() {
    let shop = Shop::open().await;
    shop.rooms("room", 6).await;
    let mut orders = Vec::new();
    for _ in 0..6 {
        let id = shop.book("room", 2, 5).await;
        let code = code(&shop.pay_stay(&id).await);
        shop.fast_forward(&id, "P3D").await;
        orders.push((id, code));
    }
    let meet = orders.iter().enumerate().map(async |(i, (id, code))| {
        let mut refund = json!({"amount": 1, "reason": "x", "restock": true});
        if i % 2 == 0 {
            refund["lines"] = json!([nights("room", 2, 5)]);
        }
        let (came, went) = tokio::join!(shop.check_in(id, code), shop.ask_refund(id, &refund));
        if came.status == 200 {
            went.problem(409, "restock_exceeds_sold");
        } else {
            went.is(201);
            came.problem(409, "order_refunded");
            shop.until_back(id, 1).await;
        }
        i64::from(came.status == 200)
    });
    let used: i64 = join_all(meet).await.into_iter().sum();
    assert_eq!(shop.nights("room", 2, 5).await, [(0, used); 3]);
    shop.close();
}

/// Guests who are in the house keep the night; when they leave early, the nights to come can be sold again.
#[tokio::test]
async fn guests_who_are_in_leave_early() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let id = shop.book("room", 1, 5).await;
    let the_code = code(&shop.pay_stay(&id).await);
    shop.fast_forward(&id, "P2D").await;
    shop.check_in(&id, &the_code).await.is(200);
    let closed_at = shop.order(&id).await.closed_at.unwrap();
    let today = (1..5).find(|n| closed_at < midnight(day(n + 1))).unwrap();
    let bare = shop.ask_refund(&id, &json!({"amount": 1, "reason": "x", "restock": true})).await;
    bare.problem(409, "restock_exceeds_sold");
    shop.bring_back(&id, json!([nights("room", 1, 5)])).await.problem(409, "restock_exceeds_sold");
    shop.bring_back(&id, json!([nights("room", today, today + 1)]))
        .await
        .problem(409, "restock_exceeds_sold");
    shop.ask_refund(&id, &json!({"amount": 1, "reason": "money alone"})).await.is(201);
    shop.bring_back(&id, json!([nights("room", today + 1, 5)])).await.is(201);
    shop.until_back(&id, 1).await;
    assert_eq!(shop.nights("room", today, 5).await[..2], [(0, 1), (0, 0)]);
    shop.close();
}

/// The mail server was down while a part of the stay went back: the mails tell the rest.
#[tokio::test]
async fn late_mails_tell_what_is_left() {
    let mut shop =
        Shop::with(Setup { smtp_url: Some("smtp://127.0.0.1:1".into()), ..Setup::default() }).await;
    shop.rooms("room", 1).await;
    let id = shop.book("room", 2, 6).await;
    shop.pay(&id).await;
    shop.until(&id, "paid").await;
    shop.bring_back(&id, json!([nights("room", 3, 4)])).await.is(201);
    shop.until_back(&id, 1).await;
    shop.kill_worker();
    let worker = shop.another_worker(&[("HOLDFAST_SMTP_URL", servers().await.mail.smtp_url())]).await;
    shop.until_mailed(&id, "check_in").await;
    let date = |n| day(n).strftime("%-d %B %Y").to_string();
    let mails = shop.mails(&id).await;
    for mail in mails.iter().filter(|mail| ["paid", "check_in"].contains(&mail.kind())) {
        for (nights, from, to) in [("1\u{a0}night", 2, 3), ("2\u{a0}nights", 4, 6)] {
            let left = format!("1 x Garden room, {nights}, {} to {}", date(from), date(to));
            assert!(mail.text.contains(&left), "{left}: {}", mail.text);
        }
        assert_eq!(mail.text.matches("Garden room").count(), 2, "{}", mail.text);
    }
    drop(worker);
    shop.close();
}

/// One after the other is broken, and found, and mended.
#[tokio::test]
async fn the_audit_knows_who_is_owed_what() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let id = shop.book("room", 1, 3).await;
    shop.pay_stay(&id).await;
    shop.bring_back(&id, json!([nights("room", 1, 2)])).await.is(201);
    shop.until_back(&id, 1).await;
    shop.audit();
    let back = format!("WHERE sku = 'room@{}'", day(1));
    for (breaks, mends, broken) in [
        (
            "UPDATE refund_lines SET state = 'claimed'".to_owned(),
            "UPDATE refund_lines SET state = 'returned'".to_owned(),
            ["no more of an order came back", "what a refund is to bring back waits"].as_slice(),
        ),
        (
            format!("UPDATE holds SET returned = 0 {back}"),
            format!("UPDATE holds SET returned = 1 {back}"),
            &["what came back is what the ledger says", "of each unit, what is not on the shelf"],
        ),
        (
            "UPDATE refund_lines SET quantity = 2".into(),
            "UPDATE refund_lines SET quantity = 1".into(),
            &["what a refund brought back is in the ledger"],
        ),
        (
            format!("UPDATE stock_levels SET on_hand = 0 {back}"),
            format!("UPDATE stock_levels SET on_hand = 1 {back}"),
            &["of each unit, what is not on the shelf"],
        ),
        (
            "UPDATE check_ins SET opens_at = opens_at - interval '30 hours'".into(),
            "UPDATE check_ins SET opens_at = opens_at + interval '30 hours'".into(),
            &["an open check-in is of a paid order"],
        ),
    ] {
        // The database refuses it by itself, unless somebody turns its triggers off.
        let by_hand = async |statement: &str| {
            let statement = format!("SET session_replication_role = replica; {statement}");
            shop.sql().await.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        };
        by_hand(&breaks).await;
        for broken in broken {
            shop.audit_finds(&format!("10. {broken}"));
        }
        by_hand(&mends).await;
    }
    shop.close();
}
