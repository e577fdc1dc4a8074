//! Attempts to pay: opened at the provider, superseded, repeated, asked about, and left behind by a crash.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Shop, eventually, time, try_send, unique};

async fn shop() -> Shop {
    let shop = Shop::open().await;
    shop.stock("tea", 1250, 100).await;
    shop
}

fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    document[field].as_str().unwrap_or_else(|| panic!("{field} of {document}"))
}

/// Waits until the provider's own books show these states.
async fn until_booked(shop: &Shop, order: &str, states: &[&str]) {
    eventually(&format!("{order} is booked {states:?}"), async || {
        let mut booked = shop.booked(order).await;
        booked.sort();
        (booked == states).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_attempt_is_opened_at_the_provider_and_its_money_completes_the_order() {
    let shop = shop().await;
    let id = shop.place(&[("tea", 2)]).await;
    assert_eq!(shop.payments(&id).await, [] as [Value; 0]);
    let answer = shop.ask_attempt(&id, "k-1").await;
    assert_eq!(answer.header("location"), Some(format!("/v1/orders/{id}/payments").as_str()));
    assert_eq!(answer.header("idempotent-replayed"), None);
    let attempt = answer.is(201);
    assert_eq!((&attempt["state"], &attempt["state_text"]), (&json!("open"), &json!("open")));
    assert_eq!((&attempt["amount"], &attempt["currency"]), (&json!(2500), &json!("EUR")));
    assert_eq!(attempt["expires_at"], shop.order(&id).await["payment_due_at"]);
    assert!(text(&attempt["client"], "pay_url").starts_with(shop.sandbox.url()));
    let booked = &shop.books(&id).await[0];
    assert_eq!(booked["id"], attempt["provider_payment_id"]);
    assert_eq!((&booked["key"], &booked["amount"]), (&attempt["id"], &json!(2500)));
    assert_eq!(time(booked, "expires_at"), time(&attempt, "expires_at"));

    let pay_url = text(&attempt["client"], "pay_url").to_owned();
    let path = pay_url.strip_prefix(shop.sandbox.url()).unwrap();
    shop.provider(reqwest::Method::POST, path, &json!({})).await.is(200);
    let order = shop.until(&id, "completed").await;
    let listed = shop.payments(&id).await;
    assert_eq!(listed.len(), 1);
    let paid = &listed[0];
    assert_eq!(
        (&paid["id"], &paid["state"], &paid["applied"]),
        (&attempt["id"], &json!("succeeded"), &json!(2500))
    );
    assert_eq!(paid["client"], Value::Null);
    assert!(time(paid, "captured_at") <= time(&order, "closed_at"));
    assert!(time(paid, "created_at") <= time(paid, "updated_at"));
    assert_eq!(shop.until_mailed(&id, "paid").await, ["paid"]);
    shop.close();
}

#[tokio::test]
async fn a_second_attempt_supersedes_the_first() {
    let shop = shop().await;
    let id = shop.place(&[("tea", 1)]).await;
    let first = shop.attempt(&id).await;
    let second = shop.attempt(&id).await;
    assert_ne!(first["id"], second["id"]);
    until_booked(&shop, &id, &["cancelled", "open"]).await;
    eventually("the first is cancelled here, too", async || {
        (shop.attempt_states(&id).await == ["cancelled", "open"]).then_some(())
    })
    .await;
    shop.capture(text(&first, "id"), json!({})).await.is(409);
    shop.capture(text(&second, "id"), json!({})).await.is(200);
    shop.until(&id, "completed").await;
    assert_eq!(shop.attempt_states(&id).await, ["cancelled", "succeeded"]);
    shop.close();
}

/// The payer was faster than the one who wanted to supersede.
#[tokio::test]
async fn a_superseded_attempt_that_was_paid_pays() {
    let shop = shop().await;
    let id = shop.place(&[("tea", 1)]).await;
    let first = shop.attempt(&id).await;
    shop.faults("", json!({"webhooks": "lose"})).await;
    shop.capture(text(&first, "id"), json!({})).await.is(200);
    let second = shop.ask_attempt(&id, &unique()).await.is(201);
    shop.until(&id, "completed").await;
    until_booked(&shop, &id, &["cancelled", "succeeded"]).await;
    let states: Vec<_> = shop.payments(&id).await.iter().map(|it| it["id"].clone()).collect();
    assert_eq!(states, [first["id"].clone(), second["id"].clone()]);
    shop.temporal.until_closed(&id).await;
    assert_eq!(shop.attempt_states(&id).await, ["succeeded", "cancelled"]);
    shop.close();
}

#[tokio::test]
async fn ten_requests_at_once_leave_one_open_attempt() {
    let shop = shop().await;
    let (same, different) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    let key = unique();
    let answers = join_all((0..10).map(|_| shop.ask_attempt(&same, &key))).await;
    let ids: Vec<_> = answers.iter().map(|it| it.is(201)["id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(shop.booked(&same).await, ["open"]);
    assert_eq!(shop.attempt_states(&same).await, ["open"]);
    let replayed = shop.ask_attempt(&same, &key).await;
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    assert_eq!(replayed.is(201)["id"], ids[0]);
    // Another order's key is not ours.
    shop.ask_attempt(&different, &key).await.problem(422, "idempotency_key_reused");

    let keys: Vec<_> = (0..10).map(|_| unique()).collect();
    join_all(keys.iter().map(|key| shop.ask_attempt(&different, key))).await.iter().for_each(|it| {
        it.is(201);
    });
    let mut states = vec!["cancelled"; 9];
    states.push("open");
    until_booked(&shop, &different, &states).await;
    eventually("one is open here", async || {
        let mut ours = shop.attempt_states(&different).await;
        ours.sort();
        (ours == states).then_some(())
    })
    .await;
    shop.close();
}

/// One key for two orders at once: one of them has it.
#[tokio::test]
async fn a_key_that_two_orders_use_at_once_is_one_orders() {
    let shop = shop().await;
    let ids = join_all((0..8).map(|_| shop.place(&[("tea", 1)]))).await;
    let answers = join_all(ids.iter().map(|id| shop.ask_attempt(id, "k-shared"))).await;
    let (opened, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 201);
    assert_eq!(opened.len(), 1);
    for answer in refused {
        answer.problem(422, "idempotency_key_reused");
    }
    shop.close();
}

#[tokio::test]
async fn a_provider_that_is_out_or_loses_its_answer_is_asked_again_under_the_same_key() {
    let shop = shop().await;
    let (out, lost) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    shop.outage().await;
    shop.ask_attempt(&out, "k-out").await.problem(503, "provider_unavailable");
    shop.faults("", json!({"outage": {"answer": "unavailable"}})).await;
    shop.ask_attempt(&out, "k-out").await.problem(503, "provider_unavailable");
    shop.no_faults().await;
    assert_eq!(shop.booked(&out).await, [""; 0]);
    assert_eq!(shop.attempt_states(&out).await, ["opening"]);
    let attempt = shop.ask_attempt(&out, "k-out").await.is(201);
    assert_eq!(attempt["state"], "open");
    assert_eq!(shop.booked(&out).await, ["open"]);

    shop.faults("", json!({"answers_lost": 1})).await;
    shop.ask_attempt(&lost, "k-lost").await.problem(503, "provider_unavailable");
    assert_eq!(shop.booked(&lost).await, ["open"]);
    let attempt = shop.ask_attempt(&lost, "k-lost").await.is(201);
    assert_eq!(shop.booked(&lost).await, ["open"]);
    let replayed = shop.ask_attempt(&lost, "k-lost").await;
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    assert_eq!(replayed.is(201), attempt);
    shop.capture(text(&attempt, "id"), json!({})).await.is(200);
    shop.until(&lost, "completed").await;
    assert_eq!(shop.attempt_states(&lost).await, ["succeeded"]);
    shop.close();
}

#[tokio::test]
async fn what_is_not_to_be_paid_has_no_attempts() {
    let shop = shop().await;
    let [paid, cancelled, expired] =
        [shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await];
    let attempt = shop.ask_attempt(&paid, "k-paid").await.is(201);
    shop.capture(text(&attempt, "id"), json!({})).await.is(200);
    shop.until(&paid, "completed").await;
    shop.cancel(&cancelled).await.is(200);
    shop.fast_forward(&expired, "PT25H").await;
    shop.until(&expired, "expired").await;
    for (id, status) in [(&paid, "completed"), (&cancelled, "cancelled"), (&expired, "expired")] {
        let problem = shop.ask_attempt(id, &unique()).await.problem(409, "order_not_payable");
        assert_eq!(problem["current_status"], status);
    }
    // A repeat still finds what was made.
    assert_eq!(shop.ask_attempt(&paid, "k-paid").await.is(201)["state"], "succeeded");

    let nobody = "ord_01920000000070008000000000000000";
    let stray = "pay_01920000000070008000000000000000";
    shop.ask_attempt(nobody, &unique()).await.problem(404, "order_not_found");
    shop.api.get(&format!("/v1/orders/{nobody}/payments")).await.problem(404, "order_not_found");
    shop.refresh(nobody, text(&attempt, "id")).await.problem(404, "not_found");
    shop.refresh(&cancelled, text(&attempt, "id")).await.problem(404, "not_found");
    for id in [stray, "pay_x", "x"] {
        shop.refresh(&paid, id).await.problem(404, "not_found");
    }
    shop.ask_attempt("x", &unique()).await.problem(404, "order_not_found");

    let id = shop.place(&[("tea", 1)]).await;
    let path = format!("/v1/orders/{id}/payments");
    assert_eq!(shop.api.post(&path, &json!({"payer": "a b"})).await.bad_fields(), ["payer"]);
    assert_eq!(shop.api.post(&path, &json!({"amount": 1})).await.bad_fields(), ["amount"]);
    let mut body = shop.order_body(&[("tea", 1)]);
    body["payment_method"] = json!("barter");
    assert_eq!(shop.try_place(&body).await.bad_fields(), ["payment_method"]);
    assert_eq!(shop.order(&id).await["payment_method"], "sandbox");
    // An order that came from elsewhere has no payment method.
    let mut sql = shop.sql().await;
    sqlx::query("UPDATE orders SET payment_method = NULL").execute(&mut sql).await.unwrap();
    shop.ask_attempt(&id, &unique()).await.problem(409, "no_payment_method");
    shop.close();
}

#[tokio::test]
async fn a_refresh_asks_the_provider_for_the_truth() {
    let shop = shop().await;
    shop.faults("", json!({"webhooks": "lose"})).await;
    let open = shop.place(&[("tea", 1)]).await;
    let attempt = shop.attempt(&open).await;
    assert_eq!(shop.refresh(&open, text(&attempt, "id")).await.is(200)["state"], "open");
    shop.outage().await;
    shop.refresh(&open, text(&attempt, "id")).await.problem(503, "provider_unavailable");
    shop.faults("", json!({"webhooks": "lose"})).await;
    shop.capture(text(&attempt, "id"), json!({})).await.is(200);
    assert_eq!(shop.order(&open).await["status"], "awaiting_payment");
    let fresh = shop.refresh(&open, text(&attempt, "id")).await.is(200);
    assert_eq!((&fresh["state"], &fresh["applied"]), (&json!("succeeded"), &json!(1250)));
    shop.until(&open, "completed").await;
    assert_eq!(shop.refresh(&open, text(&attempt, "id")).await.is(200)["state_text"], "succeeded");

    let failing = shop.place(&[("tea", 1)]).await;
    let attempt = shop.attempt(&failing).await;
    let path = format!("/payer/payments/{}/fail", text(&attempt, "id"));
    shop.provider(reqwest::Method::POST, &path, &json!({})).await.is(200);
    assert_eq!(shop.refresh(&failing, text(&attempt, "id")).await.is(200)["state"], "failed");
    let attempt = shop.attempt(&failing).await;
    let path = format!("/v1/payments/{}/cancel", text(&attempt, "id"));
    shop.provider(reqwest::Method::POST, &path, &json!({})).await.is(200);
    let fresh = shop.refresh(&failing, text(&attempt, "id")).await.is(200);
    assert_eq!((&fresh["state"], &fresh["client"]), (&json!("cancelled"), &Value::Null));
    assert_eq!(shop.order(&failing).await["status"], "awaiting_payment");
    shop.close();
}

/// The API dies after the provider opened the attempt, before it heard so.
#[tokio::test]
async fn an_api_dies_before_it_heard_the_provider() {
    let shop = shop().await;
    let [paid, expired, again, other] = [
        shop.place(&[("tea", 1)]).await,
        shop.place(&[("tea", 1)]).await,
        shop.place(&[("tea", 1)]).await,
        shop.place(&[("tea", 1)]).await,
    ];
    let ids = [&paid, &expired, &again, &other];
    let (api, mut process) = shop.start_api(&[("HOLDFAST_SANDBOX_URL", shop.deaf_line().await)]).await;
    let asks: Vec<_> = ids
        .iter()
        .map(|id| {
            let path = format!("/v1/orders/{id}/payments");
            let request =
                api.request(reqwest::Method::POST, &path).header("idempotency-key", format!("k-{id}"));
            tokio::spawn(try_send(request.json(&json!({}))))
        })
        .collect();
    for id in ids {
        until_booked(&shop, id, &["open"]).await;
    }
    process.kill();
    for answer in join_all(asks).await {
        assert!(answer.unwrap().is_err());
    }

    // Somebody pays it all the same, and the provider names an attempt whose name we have not heard.
    let booked = shop.books(&paid).await[0].clone();
    shop.capture(text(&booked, "id"), json!({})).await.is(200);
    shop.until(&paid, "completed").await;
    shop.temporal.until_closed(&paid).await;
    let attempt = shop.ask_attempt(&paid, &format!("k-{paid}")).await.is(201);
    assert_eq!(attempt["provider_payment_id"], booked["id"]);
    assert_eq!(attempt["state"], "succeeded");
    let states = shop.attempt_states(&paid).await;
    assert!(states.iter().all(|state| state != "opening" && state != "closing"), "{states:?}");

    // Nobody pays it: at the deadline it is found and closed.
    shop.fast_forward(&expired, "PT25H").await;
    shop.until(&expired, "expired").await;
    assert_eq!(shop.booked(&expired).await, ["cancelled"]);
    assert_eq!(shop.attempt_states(&expired).await, ["cancelled"]);

    // The same key finds it.
    let attempt = shop.ask_attempt(&again, &format!("k-{again}")).await.is(201);
    assert_eq!(shop.booked(&again).await, ["open"]);
    shop.capture(text(&attempt, "id"), json!({})).await.is(200);
    shop.until(&again, "completed").await;

    // Another key supersedes it, and it is cancelled though we never heard its name.
    let second = shop.attempt(&other).await;
    until_booked(&shop, &other, &["cancelled", "open"]).await;
    shop.capture(text(&second, "id"), json!({})).await.is(200);
    shop.until(&other, "completed").await;
    assert_eq!(shop.level("tea").await, (97, 0));
    shop.close();
}
