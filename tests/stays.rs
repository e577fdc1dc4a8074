//! Stays: nights of a product that is sold by the night, from the booking to the check-in.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use prost::Message as _;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::harness::{
    Answer, Mail, Shop,
    documents::{List, Movement, Night, Order},
};

const ZONE: &str = "Pacific/Auckland";

/// A day from today on, where the rooms are.
pub fn day(from_today: i64) -> Date {
    let today = Timestamp::now().in_tz(ZONE).unwrap().date();
    today.checked_add(from_today.days()).unwrap()
}

/// When a day begins there.
pub fn midnight(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::get(ZONE).unwrap()).unwrap().timestamp()
}

impl Shop {
    /// Puts rooms on offer: so many of each night from tomorrow on for four weeks, 80.00 a night, up to 3
    /// guests, breakfast and parking.
    pub async fn rooms(&self, sku: &str, capacity: i64) {
        let product = json!({"kind": "stay", "name": "Garden room", "unit_price": 8000, "currency": "EUR"});
        self.put_product(sku, &product).await.is(201);
        let breakfast =
            json!({"code": "breakfast", "name": "Breakfast", "unit_price": 1250, "per": "guest_night"});
        let parking = json!({"code": "parking", "name": "Parking", "unit_price": 999, "per": "stay"});
        let terms = json!({"max_guests": 3, "time_zone": ZONE, "extras": [breakfast, parking]});
        let path = format!("/v1/products/{sku}/stay");
        assert_eq!(self.api.put(&path, &terms).await.is(200), terms);
        assert_eq!(self.api.get(&path).await.is(200), terms);
        self.offer(sku, 1, 29, json!({"capacity": capacity})).await.is(200);
    }

    pub async fn offer(&self, sku: &str, from: i64, to: i64, offer: Value) -> Answer {
        let mut body = json!({"from": day(from), "to": day(to)});
        body.as_object_mut().unwrap().extend(offer.as_object().unwrap().clone());
        self.api.put(&format!("/v1/products/{sku}/nights"), &body).await
    }

    /// (held, sold) of each night.
    pub async fn nights(&self, sku: &str, from: i64, to: i64) -> Vec<(i64, i64)> {
        let path = format!("/v1/products/{sku}/nights?from={}&to={}", day(from), day(to));
        let night = |night: Night| {
            assert_eq!(night.available, night.capacity - night.held - night.sold, "{night:?}");
            (night.held, night.sold)
        };
        self.api.list::<Night>(&path).await.data.into_iter().map(night).collect()
    }

    pub fn stay_body(&self, sku: &str, from: i64, to: i64) -> Value {
        let mut body = self.order_body(&[]);
        body["lines"] = json!([{"sku": sku, "stay": {"from": day(from), "to": day(to)}, "guests": 2}]);
        body
    }

    pub async fn book(&self, sku: &str, from: i64, to: i64) -> String {
        self.try_place(&self.stay_body(sku, from, to)).await.is(201).id
    }

    pub async fn check_in(&self, id: &str, code: &str) -> Answer<Order> {
        self.change(id, "check-in", &json!({"code": code})).await
    }

    /// Pays, and waits for both mails; gives the second one.
    pub async fn pay_stay(&self, id: &str) -> Mail {
        self.pay(id).await;
        assert_eq!(self.until_mailed(id, "check_in").await, ["paid", "check_in"]);
        self.until_told_times(id, "mail.sent", 2).await;
        self.mails(id).await.pop().unwrap()
    }
}

/// The code in a mail: alone in its line.
pub fn code(mail: &Mail) -> String {
    let is_code =
        |line: &&str| line.len() == 8 && line.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
    mail.text.lines().map(str::trim).find(is_code).unwrap_or_else(|| panic!("{}", mail.text)).to_owned()
}

/// With payloads in clear, so that nothing hides in them.
#[tokio::test]
async fn a_stay_is_booked_paid_and_used() {
    let shop = Shop::in_clear().await;
    shop.rooms("room", 5).await;
    shop.stock("tea", 1250, 10).await;
    shop.offer("room", 4, 5, json!({"capacity": 5, "unit_price": 9999})).await.is(200);

    let mut body = shop.stay_body("room", 3, 6);
    let extras = json!([{"code": "parking"}, {"code": "breakfast"}]);
    body["lines"][0]["extras"] = extras;
    body["lines"][0]["quantity"] = json!(2);
    body["lines"][0]["guests"] = json!(5);
    body["lines"].as_array_mut().unwrap().push(json!({"sku": "tea", "quantity": 1}));
    let order = shop.try_place(&body).await.is(201);
    let id = order.id.as_str();
    let stay = order.lines.iter().find_map(|line| line.stay.as_ref()).expect("a stay");
    assert_eq!((stay.from, stay.to), (day(3), day(6)));
    assert_eq!(stay.nights.iter().map(|night| night.date).collect::<Vec<_>>(), [day(3), day(4), day(5)]);
    assert_eq!(order.total, 2 * (8000 + 9999 + 8000) + 2 * 999 + 15 * 1250 + 1250);
    assert_eq!(shop.nights("room", 2, 7).await, [(0, 0), (2, 0), (2, 0), (2, 0), (0, 0)]);
    assert_eq!(
        shop.check_in(id, "ABCD2345").await.problem(409, "check_in_not_possible").current_status,
        "awaiting_payment"
    );

    shop.until_told(id, "workflow.started").await;
    let mail = shop.pay_stay(id).await;
    let paid = shop.order(id).await;
    assert_eq!((paid.status.as_str(), paid.closed_at), ("paid", None));
    assert_eq!(paid.lines, order.lines);
    assert_eq!(shop.nights("room", 3, 6).await, [(0, 2), (0, 2), (0, 2)]);
    let code = code(&mail);
    assert!(!mail.subject.contains(&code) && mail.html.contains(&code), "{mail:?}");
    for part in [&mail.text, &mail.html] {
        assert!(
            part.contains("Do not share this code") && part.contains("2 ") && part.contains("Garden room"),
            "{part}"
        );
    }
    let kept: Option<String> = shop.query("SELECT code FROM check_ins").await;
    assert_eq!(kept, None, "the mail server has it");

    let early = shop.check_in(id, &code).await.problem(409, "check_in_too_early");
    assert_eq!(early.opens_at, Some(midnight(day(3))));
    let wrong = if code.starts_with('Z') { "YZZZ-ZZZZ" } else { "ZZZZ-ZZZZ" };
    assert_eq!(shop.check_in(id, wrong).await.problem(422, "check_in_code_wrong").attempts_left, Some(4));
    shop.fast_forward(id, "P4D").await;
    let typed = format!("{} {}", &code[..4], &code[4..]).to_lowercase();
    let answers = join_all((0..4).map(|_| shop.check_in(id, &typed))).await;
    let mut count = BTreeMap::new();
    answers.iter().for_each(|answer| *count.entry(answer.status.as_u16()).or_insert(0) += 1);
    assert_eq!(count, BTreeMap::from([(200, 1), (409, 3)]), "{answers:?}");
    shop.check_in(id, &code).await.problem(409, "already_checked_in");
    let used = shop.order(id).await;
    assert_eq!([&used.status, &used.close_reason], ["completed", "used"]);
    assert!(used.closed_at.unwrap() >= midnight(day(3)));
    let story = shop.story(id).await;
    let expected =
        ["order.paid", "stock.committed", "mail.sent", "mail.sent", "order.checked_in", "order.completed"];
    assert_eq!(story[4..], expected);
    shop.temporal.until_closed(id).await;
    nobody_else_knows(&shop, id, &code).await;
    shop.close();
}

/// The code is in the mail alone.
async fn nobody_else_knows(shop: &Shop, id: &str, code: &str) {
    let mut kept = shop.temporal.describe(id).await.into_raw().encode_to_vec();
    shop.temporal.history(id).await.iter().for_each(|event| kept.extend(event.encode_to_vec()));
    let mut told = String::from_utf8_lossy(&kept).into_owned();
    told += &shop.api_process.log();
    told += &shop.worker.as_ref().unwrap().log();
    told += &format!("{:?}", shop.timeline(id).await);
    assert!(told.contains("check-in"));
    assert!(!told.to_uppercase().contains(code), "{code} is in:\n{told}");
}

#[tokio::test]
async fn the_last_room_is_sold_once() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    // Nine nights; each stay shares one with the next. Meanwhile their price is changed.
    let spans: Vec<(i64, i64)> = (0..8).map(|i| (1 + i, 3 + i)).collect();
    let book = join_all((0..80).map(|i| {
        let (from, to) = spans[i % spans.len()];
        let shop = &shop;
        async move { shop.try_place(&shop.stay_body("room", from, to)).await }
    }));
    let reprice = join_all(
        (0..20).map(|i| shop.offer("room", 1 + i % 8, 40, json!({"capacity": 1, "unit_price": i + 1}))),
    );
    let (answers, repriced) = tokio::join!(book, reprice);
    assert!(repriced.iter().all(|answer| answer.status == 200), "{repriced:?}");
    let placed: Vec<Order> = answers.iter().filter(|answer| answer.status == 201).map(Answer::json).collect();
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        let shortages = refused.problem(409, "insufficient_stock").shortages;
        assert_eq!((&shortages[0]["sku"], &shortages[0]["available"]), (&json!("room"), &json!(0)));
        assert!(shortages[0]["night"].is_string(), "{shortages}");
    }
    let nights = shop.nights("room", 1, 29).await;
    assert_eq!(nights.iter().map(|(held, _)| held).sum::<i64>(), 2 * placed.len() as i64);
    assert!((3..=4).contains(&placed.len()) && nights.iter().all(|(held, _)| *held <= 1), "{nights:?}");

    let stay = placed[0].lines[0].stay.clone().unwrap();
    let mut close = json!({"from": stay.from, "to": stay.to, "capacity": 0});
    let put_nights = async |offer: &Value| shop.api.put("/v1/products/room/nights", offer).await;
    let below = put_nights(&close).await.problem(409, "capacity_below_sold");
    assert_eq!(below.nights[0], json!({"date": stay.from, "held": 1, "sold": 0}));
    shop.cancel(&placed[0].id).await.is(200);
    let path = format!("/v1/products/room/nights?from={}&to={}", stay.from, stay.to);
    assert!(shop.api.list::<Night>(&path).await.data.iter().all(|night| night.held == 0));
    assert_eq!(put_nights(&close).await.of::<List<Night>>().is(200).data.len(), 2);
    close["capacity"] = json!(2);
    close["unit_price"] = json!(1);
    let opened = put_nights(&close).await.of::<List<Night>>().is(200).data;
    assert_eq!((opened[0].available, opened[1].unit_price), (2, 1));
    let ledger = shop.api.list::<Movement>(&format!("/v1/ledger?sku=room@{}", stay.from)).await.data;
    let moved: Vec<_> = ledger.iter().map(|it| (it.kind.as_str(), it.quantity)).take(3).collect();
    assert_eq!(moved, [("adjusted", 2), ("adjusted", -1), ("released", 1)]);
    shop.close();
}

#[tokio::test]
async fn a_stay_that_nobody_comes_to_is_closed_as_unused() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let (unpaid, id) = (shop.book("room", 1, 3).await, shop.book("room", 3, 5).await);
    shop.until_told(&id, "workflow.started").await;
    let code = code(&shop.pay_stay(&id).await);
    shop.fast_forward(&unpaid, "PT25H").await;
    assert_eq!(shop.until(&unpaid, "expired").await.close_reason, "payment_overdue");
    assert_eq!(shop.nights("room", 1, 5).await, [(0, 0), (0, 0), (0, 1), (0, 1)]);

    let order = shop.fast_forward(&id, "P7D").await;
    assert_eq!([&order.status, &order.close_reason], ["completed", "unused"]);
    assert!(order.closed_at.unwrap() >= midnight(day(6)), "the day of departure is the guests'");
    assert!(order.closed_at.unwrap() < midnight(day(6)) + 1.hour(), "{order:?}");
    assert_eq!(shop.story(&id).await[8..], ["stay.unused", "order.completed"]);
    assert_eq!(
        shop.check_in(&id, &code).await.problem(409, "check_in_not_possible").current_status,
        "completed"
    );
    shop.temporal.until_closed(&id).await;
    assert_eq!(shop.until_mailed(&id, "check_in").await, ["paid", "check_in"]);
    shop.close();
}

#[tokio::test]
async fn five_wrong_codes_lock_the_check_in_and_the_shop_opens_the_door() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let id = shop.book("room", 1, 2).await;
    let code = code(&shop.pay_stay(&id).await);
    let wrong = if code.starts_with('2') { "3222 2222" } else { "2222 2222" };
    for not_a_code in ["", "2222222", "222222222", "2222222?"] {
        assert_eq!(shop.check_in(&id, not_a_code).await.bad_fields(), ["code"]);
    }
    let answers = join_all((0..20).map(|_| shop.check_in(&id, wrong))).await;
    let wrong = answers.iter().filter(|answer| answer.status == 422);
    let mut left: Vec<_> =
        wrong.filter_map(|it| it.problem(422, "check_in_code_wrong").attempts_left).collect();
    left.sort_unstable();
    assert_eq!(left, [0, 1, 2, 3, 4]);
    for locked in answers.iter().filter(|answer| answer.status != 422) {
        locked.problem(409, "check_in_locked");
    }
    shop.check_in(&id, &code).await.problem(409, "check_in_locked");
    let used = shop.fulfil(&id).await.is(200);
    assert_eq!([&used.status, &used.close_reason], ["completed", "used"]);
    shop.check_in(&id, &code).await.problem(409, "already_checked_in");
    assert_eq!(shop.story(&id).await.iter().filter(|told| *told == "check_in.locked").count(), 1);
    shop.close();
}

/// Money that comes too late books the nights again, if they are still to be had.
#[tokio::test]
async fn a_late_payment_books_the_stay_again() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let late = async |from, to| {
        let mut body = shop.stay_body("room", from, to);
        body["policy"] = json!({"late_payment": "reinstate"});
        let id = shop.try_place(&body).await.is(201).id;
        shop.cancel(&id).await.is(200);
        id
    };
    let (lucky, unlucky) = (late(3, 5).await, late(8, 10).await);
    shop.book("room", 9, 11).await;
    shop.pay(&lucky).await;
    let successor = shop.until_reinstated(&lucky).await;
    assert_eq!(shop.until_mailed(&successor, "check_in").await, ["paid", "check_in"]);
    assert_eq!(shop.order(&successor).await.lines, shop.order(&lucky).await.lines);
    assert_eq!(shop.nights("room", 3, 5).await, [(0, 1), (0, 1)]);
    shop.pay(&unlucky).await;
    shop.until_money(&unlucky, "refunded").await;
    assert_eq!(shop.nights("room", 8, 10).await, [(0, 0), (1, 0)]);
    shop.close();
}

/// Somebody terminated the workflow: the sweeper starts it anew, and it closes what is long over.
#[tokio::test]
async fn a_lost_stay_is_closed_all_the_same() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let id = shop.book("room", 1, 2).await;
    shop.pay_stay(&id).await;
    shop.temporal.order(&id).await.terminate(Default::default()).await.unwrap();
    let past = "UPDATE check_ins SET closes_at = closes_at - interval '30 days',
                                     opens_at = opens_at - interval '30 days';
                UPDATE order_lines SET stay = jsonb_set(jsonb_set(stay, '{from}', '\"2026-01-01\"'),
                                                        '{to}', '\"2026-01-02\"');
                UPDATE orders SET workflow_started_at = workflow_started_at - interval '1 day'";
    shop.sql().await.execute(past).await.unwrap();
    assert_eq!(shop.until(&id, "completed").await.close_reason, "unused");
    shop.close();
}

/// One invariant after the other is broken, and found.
#[tokio::test]
async fn the_audit_knows_nights() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    shop.book("room", 1, 3).await;
    shop.audit();
    // The database refuses some of it by itself, unless somebody turns its triggers off.
    let hold = "SET session_replication_role = replica;
                DELETE FROM holds WHERE ctid IN (SELECT ctid FROM holds LIMIT 1)";
    let capacity = "UPDATE stock_levels SET capacity = capacity + 1 WHERE night IS NOT NULL";
    for (statement, broken) in [(hold, "2. every line has its hold"), (capacity, "1. a night's capacity")] {
        shop.sql().await.execute(statement).await.unwrap();
        shop.audit_finds(broken);
    }
    // What the database itself does not let happen.
    for statement in [
        "UPDATE stock_levels SET on_hand = capacity + 1 WHERE night IS NOT NULL",
        "UPDATE stock_levels SET capacity = NULL",
        "INSERT INTO stock_levels (sku, on_hand, held) VALUES ('room@2026-01-01', 0, 0)",
        "INSERT INTO stock_levels (sku, on_hand, held) VALUES ('nowhere', 0, 0)",
    ] {
        assert!(shop.sql().await.execute(statement).await.is_err(), "{statement}");
    }
}
