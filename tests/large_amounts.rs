//! Amounts so large that sums of them leave every integer: refused where they enter, and harmless where they
//! stand.

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::harness::{
    Shop,
    webhook::{Webhook, paid},
};

/// 2^53 - 1: the largest integer that JavaScript reads exactly.
const MAX: i64 = 9_007_199_254_740_991;
const TOO_MUCH: i64 = 100_000_000_000_000_000;
/// Of [`TOO_MUCH`], they are more than 2^63.
const MANY: usize = 96;

/// Every integer in it can be read exactly.
#[track_caller]
fn readable(answer: &Value) {
    match answer {
        Value::Number(number) => {
            assert!(number.as_i64().is_some_and(|it| it.abs() <= MAX), "{number}");
        }
        Value::Array(items) => items.iter().for_each(readable),
        Value::Object(fields) => fields.values().for_each(readable),
        _ => {}
    }
}

#[tokio::test]
async fn captures_that_add_up_to_more_than_an_integer_break_nothing() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let send = |amount: i64| {
        let (event, api) = (Webhook::new(&paid(&id, amount)), shop.api.clone());
        async move { event.send(&api).await }
    };
    let told: Vec<_> = stream::iter((0..MANY).map(|_| send(TOO_MUCH))).buffer_unordered(8).collect().await;
    assert!(told.iter().all(|answer| answer.status == 400 || answer.status == 200), "{told:?}");
    assert_eq!(shop.payments(&id).await, []);

    // The largest that is taken, captured at the provider, so that its books have it, too.
    stream::iter(0..MANY)
        .for_each_concurrent(8, async |_| shop.pay_with(&id, json!({"amount": MAX})).await)
        .await;
    shop.until_told_times(&id, "exception.raised", MANY).await;
    let (_, said) = shop.reconcile().await;
    let settlements = shop.api.get("/v1/settlements").await.is(200);
    readable(&settlements);
    assert_eq!(settlements["data"][0]["captured"], MAX, "{said}");
    shop.close();
}

/// What an older version let in, or a person wrote, is added up all the same.
#[tokio::test]
async fn sums_beyond_every_integer_are_told() {
    let shop = Shop::open().await;
    let mut connection = shop.sql().await;
    for statement in [
        "INSERT INTO provider_movements (provider, kind, reference, payment, amount, currency, fee, at,
                                         matched)
         SELECT 'sandbox', kind, 'x' || n, left(kind, 1) || n, 100000000000000000, 'EUR',
                100000000000000000, now(), false
         FROM generate_series(1, 200) AS n, unnest(ARRAY['captured', 'refunded']) AS kind",
        "INSERT INTO exceptions (id, kind, source, data, state, raised_at, provider, provider_payment_id,
                                 amount, currency)
         SELECT gen_random_uuid(), 'unknown_order', 'c' || n, jsonb_build_object('payment_id', 'c' || n),
                'open', now(), 'sandbox', 'c' || n, 100000000000000000, 'EUR'
         FROM generate_series(1, 200) AS n",
    ] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    let settlements = shop.api.get("/v1/settlements").await.is(200);
    readable(&settlements);
    let sums = |it: &Value| ["captured", "refunded", "fees", "open"].map(|field| it[field].as_i64().unwrap());
    assert_eq!(sums(&settlements["data"][0]), [MAX; 4]);
    let (_, report) = shop.run("audit");
    let line = "EUR: captured 20000000000000000000 = orders 0 + refunded 0 + being refunded 0 \
                + open exceptions 20000000000000000000";
    assert!(report.contains(line), "{report}");
}

#[tokio::test]
async fn no_larger_amount_comes_in() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let refunds = format!("/v1/orders/{id}/refunds");
    let pay = format!("/v1/sandbox/orders/{id}/pay");
    for beyond in [MAX + 1, TOO_MUCH, i64::MAX, 0, -1, i64::MIN] {
        assert_eq!(shop.api.post(&pay, &json!({"amount": beyond})).await.bad_fields(), ["amount"]);
        let refund = json!({"amount": beyond, "reason": "x"});
        assert_eq!(shop.api.post(&refunds, &refund).await.bad_fields(), ["amount"]);
        assert_eq!(shop.provider.pay(&id, beyond, json!({})).await.status, 422);
    }
    assert_eq!(shop.payments(&id).await, []);

    // Each line is an amount, and all of them together are none.
    let skus: Vec<String> = (0..91).map(|n| format!("gold-{n}")).collect();
    stream::iter(&skus)
        .for_each_concurrent(8, async |sku| shop.stock(sku, 10_000_000_000, 10_000).await)
        .await;
    let lines: Vec<(&str, i64)> = skus.iter().map(|sku| (sku.as_str(), 10_000)).collect();
    let placed = shop.try_place(&shop.order_body(&lines)).await;
    assert_eq!(placed.bad_fields(), ["lines"]);
    assert_eq!(shop.level("gold-0").await, (10_000, 0));
    let placed = shop.try_place(&shop.order_body(&lines[..90])).await.of::<Value>().is(201);
    readable(&placed);
    assert_eq!(placed["total"], 9_000_000_000_000_000_i64);
    let id = placed["id"].as_str().unwrap();
    shop.pay(id).await;
    shop.until(id, "completed").await;
    shop.refund(id, json!({"reason": "x"})).await;
    shop.until_money(id, "refunded").await;
    shop.close();
}

/// A stay of many guests with many extras is worth more than money can say.
#[tokio::test]
async fn extras_do_not_make_a_total_too_large() {
    let shop = Shop::open().await;
    let product =
        json!({"name": "Palace", "unit_price": 10_000_000_000_i64, "currency": "EUR", "kind": "stay"});
    shop.put_product("palace", &product).await.is(201);
    let extras: Vec<Value> = (0..20)
        .map(|n| {
            let code = format!("x{n}");
            json!({"code": code, "name": "x", "unit_price": 10_000_000_000_i64, "per": "guest_night"})
        })
        .collect();
    let terms = json!({"max_guests": 50, "time_zone": "UTC", "extras": extras});
    shop.api.put("/v1/products/palace/stay", &terms).await.is(200);
    let nights = json!({"from": "2030-01-01", "to": "2030-04-01", "capacity": 100});
    shop.api.put("/v1/products/palace/nights", &nights).await.is(200);
    let mut body = shop.order_body(&[]);
    let codes: Vec<Value> = (0..20).map(|n| json!({"code": format!("x{n}")})).collect();
    body["lines"] = json!([{"sku": "palace", "quantity": 100, "guests": 5000, "extras": codes,
                            "stay": {"from": "2030-01-01", "to": "2030-04-01"}}]);
    assert_eq!(shop.try_place(&body).await.bad_fields(), ["lines"]);
    shop.close();
}

#[tokio::test]
async fn stock_stays_a_number_that_can_be_told() {
    let shop = Shop::with_tea(0).await;
    let mut connection = shop.sql().await;
    let mut transaction = sqlx::Connection::begin(&mut connection).await.unwrap();
    for statement in [
        "UPDATE stock_levels SET on_hand = 9007199254740990 WHERE sku = 'tea'",
        "INSERT INTO stock_movements (sku, kind, on_hand_delta, held_delta, on_hand_after, held_after, reason,
                                      at)
         VALUES ('tea', 'received', 9007199254740990, 0, 9007199254740990, 0, 'x', now())",
    ] {
        sqlx::query(statement).execute(&mut *transaction).await.unwrap();
    }
    transaction.commit().await.unwrap();
    assert_eq!(shop.adjust("tea", 2).await.bad_fields(), ["delta"]);
    readable(&shop.adjust("tea", 1).await.of::<Value>().is(201));
    assert_eq!(shop.adjust("tea", 1).await.bad_fields(), ["delta"]);
    assert_eq!(shop.level("tea").await, (MAX, 0));
    shop.close();
}
