//! Attempts to pay: opened at the provider, superseded, repeated, asked about, and left behind by a crash.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Shop, try_send, unique, wait_until};

#[tokio::test]
async fn an_attempt_is_opened_at_the_provider_and_its_money_completes_the_order() {
    let shop = Shop::with_tea(100).await;
    let id = shop.place(&[("tea", 2)]).await;
    assert_eq!(shop.payments(&id).await, []);
    let answer = shop.ask_attempt(&id, "k-1").await;
    assert_eq!(answer.header("location"), Some(format!("/v1/orders/{id}/payments").as_str()));
    assert!(!answer.is_replayed());
    let attempt = answer.is(201);
    assert_eq!([&attempt.state, &attempt.state_text], ["open", "open"]);
    assert_eq!((attempt.amount, attempt.expires_at), (2500, Some(shop.order(&id).await.payment_due_at)));
    let at_provider = shop.provider.payments(&id).await.remove(0);
    assert_eq!([&at_provider.id, &attempt.id], [&attempt.provider_payment_id, &at_provider.key.unwrap()]);
    assert_eq!((at_provider.amount, at_provider.expires_at), (2500, attempt.expires_at));

    let pay_url = attempt.client["pay_url"].as_str().unwrap();
    let path = pay_url.strip_prefix(shop.sandbox.url()).unwrap();
    shop.provider.post(path, &json!({})).await.is(200);
    let order = shop.until(&id, "completed").await;
    let listed = shop.payments(&id).await;
    assert_eq!(listed.len(), 1);
    let paid = &listed[0];
    assert_eq!((&paid.id, paid.state.as_str(), paid.applied), (&attempt.id, "succeeded", 2500));
    assert!(paid.client.is_null());
    assert!(paid.captured_at.unwrap() <= order.closed_at.unwrap());
    assert!(paid.created_at <= paid.updated_at);
    assert_eq!(shop.until_mailed(&id, "paid").await, ["paid"]);
    shop.close();
}

#[tokio::test]
async fn a_second_attempt_supersedes_the_first() {
    let shop = Shop::with_tea(100).await;
    let id = shop.place(&[("tea", 1)]).await;
    let first = shop.attempt(&id).await;
    let second = shop.attempt(&id).await;
    assert_ne!(first.id, second.id);
    shop.provider.until_states(&id, &["cancelled", "open"]).await;
    wait_until("the first is cancelled here, too", async || {
        shop.attempt_states(&id).await == ["cancelled", "open"]
    })
    .await;
    shop.provider.capture(&first.id, json!({})).await.is(409);
    shop.provider.capture(&second.id, json!({})).await.is(200);
    shop.until(&id, "completed").await;
    assert_eq!(shop.attempt_states(&id).await, ["cancelled", "succeeded"]);
    shop.close();
}

/// The payer was faster than the one who wanted to supersede.
#[tokio::test]
async fn a_superseded_attempt_that_was_paid_pays() {
    let shop = Shop::with_tea(100).await;
    let id = shop.place(&[("tea", 1)]).await;
    let first = shop.attempt(&id).await;
    shop.provider.faults(json!({"webhooks": "lose"})).await;
    shop.provider.capture(&first.id, json!({})).await.is(200);
    let second = shop.ask_attempt(&id, &unique()).await.is(201);
    shop.until(&id, "completed").await;
    shop.provider.until_states(&id, &["cancelled", "succeeded"]).await;
    let states: Vec<_> = shop.payments(&id).await.iter().map(|it| it.id.clone()).collect();
    assert_eq!(states, [first.id.clone(), second.id.clone()]);
    shop.temporal.until_closed(&id).await;
    assert_eq!(shop.attempt_states(&id).await, ["succeeded", "cancelled"]);
    shop.close();
}

#[tokio::test]
async fn ten_requests_at_once_leave_one_open_attempt() {
    let shop = Shop::with_tea(100).await;
    let (same, different) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    let key = unique();
    let answers = join_all((0..10).map(|_| shop.ask_attempt(&same, &key))).await;
    let ids: Vec<_> = answers.iter().map(|it| it.is(201).id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(shop.provider.states(&same).await, ["open"]);
    assert_eq!(shop.attempt_states(&same).await, ["open"]);
    let replayed = shop.ask_attempt(&same, &key).await;
    assert!(replayed.is_replayed());
    assert_eq!(replayed.is(201).id, ids[0]);
    // Another order's key is not ours.
    shop.ask_attempt(&different, &key).await.problem(422, "idempotency_key_reused");

    let keys: Vec<_> = (0..10).map(|_| unique()).collect();
    for answer in join_all(keys.iter().map(|key| shop.ask_attempt(&different, key))).await {
        answer.is(201);
    }
    let mut states = vec!["cancelled"; 9];
    states.push("open");
    shop.provider.until_states(&different, &states).await;
    wait_until("one is open here", async || {
        let mut ours = shop.attempt_states(&different).await;
        ours.sort();
        ours == states
    })
    .await;
    shop.close();
}

/// One key for two orders at once: one of them has it.
#[tokio::test]
async fn a_key_that_two_orders_use_at_once_is_one_orders() {
    let shop = Shop::with_tea(100).await;
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
    let shop = Shop::with_tea(100).await;
    let (out, lost) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    shop.provider.outage().await;
    shop.ask_attempt(&out, "k-out").await.problem(503, "provider_unavailable");
    shop.provider.faults(json!({"outage": {"answer": "unavailable"}})).await;
    shop.ask_attempt(&out, "k-out").await.problem(503, "provider_unavailable");
    shop.provider.no_faults().await;
    assert_eq!(shop.provider.states(&out).await, [""; 0]);
    assert_eq!(shop.attempt_states(&out).await, ["opening"]);
    let attempt = shop.ask_attempt(&out, "k-out").await.is(201);
    assert_eq!(attempt.state, "open");
    assert_eq!(shop.provider.states(&out).await, ["open"]);

    shop.provider.faults(json!({"answers_lost": 1})).await;
    shop.ask_attempt(&lost, "k-lost").await.problem(503, "provider_unavailable");
    assert_eq!(shop.provider.states(&lost).await, ["open"]);
    let attempt = shop.ask_attempt(&lost, "k-lost").await.is(201);
    assert_eq!(shop.provider.states(&lost).await, ["open"]);
    let replayed = shop.ask_attempt(&lost, "k-lost").await;
    assert!(replayed.is_replayed());
    assert_eq!(replayed.is(201), attempt);
    shop.provider.capture(&attempt.id, json!({})).await.is(200);
    shop.until(&lost, "completed").await;
    assert_eq!(shop.attempt_states(&lost).await, ["succeeded"]);
    shop.close();
}

#[tokio::test]
async fn what_is_not_to_be_paid_has_no_attempts() {
    let shop = Shop::with_tea(100).await;
    let [paid, cancelled, expired] =
        [shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await];
    let attempt = shop.ask_attempt(&paid, "k-paid").await.is(201);
    shop.provider.capture(&attempt.id, json!({})).await.is(200);
    shop.until(&paid, "completed").await;
    shop.cancel(&cancelled).await.is(200);
    shop.fast_forward(&expired, "PT25H").await;
    shop.until(&expired, "expired").await;
    for (id, status) in [(&paid, "completed"), (&cancelled, "cancelled"), (&expired, "expired")] {
        let problem = shop.ask_attempt(id, &unique()).await.problem(409, "order_not_payable");
        assert_eq!(problem.current_status, status);
    }
    // A repeat still finds what was made.
    assert_eq!(shop.ask_attempt(&paid, "k-paid").await.is(201).state, "succeeded");

    let nobody = "ord_01920000000070008000000000000000";
    let stray = "pay_01920000000070008000000000000000";
    shop.ask_attempt(nobody, &unique()).await.problem(404, "order_not_found");
    shop.api.get(&format!("/v1/orders/{nobody}/payments")).await.problem(404, "order_not_found");
    shop.refresh(nobody, &attempt.id).await.problem(404, "not_found");
    shop.refresh(&cancelled, &attempt.id).await.problem(404, "not_found");
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
    assert_eq!(shop.order(&id).await.payment_method, "sandbox");
    // An order that came from elsewhere has no payment method.
    let mut sql = shop.sql().await;
    sqlx::query("UPDATE orders SET payment_method = NULL").execute(&mut sql).await.unwrap();
    shop.ask_attempt(&id, &unique()).await.problem(409, "no_payment_method");
    shop.close();
}

#[tokio::test]
async fn a_refresh_asks_the_provider_for_the_truth() {
    let mut shop = Shop::with_tea(100).await;
    shop.until_worker_works().await;
    shop.provider.faults(json!({"webhooks": "lose"})).await;
    let open = shop.place(&[("tea", 1)]).await;
    let attempt = shop.attempt(&open).await;
    assert_eq!(shop.refresh(&open, &attempt.id).await.is(200).state, "open");
    shop.provider.outage().await;
    shop.refresh(&open, &attempt.id).await.problem(503, "provider_unavailable");
    shop.provider.faults(json!({"webhooks": "lose"})).await;
    shop.provider.capture(&attempt.id, json!({})).await.is(200);
    assert_eq!(shop.order(&open).await.status, "awaiting_payment");
    let fresh = shop.refresh(&open, &attempt.id).await.is(200);
    assert_eq!((fresh.state.as_str(), fresh.applied), ("succeeded", 1250));
    shop.until(&open, "completed").await;
    assert_eq!(shop.refresh(&open, &attempt.id).await.is(200).state_text, "succeeded");

    let failing = shop.place(&[("tea", 1)]).await;
    let attempt = shop.attempt(&failing).await;
    shop.provider.fail(&attempt.id, json!({})).await.is(200);
    assert_eq!(shop.refresh(&failing, &attempt.id).await.is(200).state, "failed");
    let attempt = shop.attempt(&failing).await;
    shop.provider.post(&format!("/v1/payments/{}/cancel", attempt.id), &json!({})).await.is(200);
    let fresh = shop.refresh(&failing, &attempt.id).await.is(200);
    assert_eq!((fresh.state.as_str(), fresh.client.is_null()), ("cancelled", true));
    assert_eq!(shop.order(&failing).await.status, "awaiting_payment");
    shop.close();
}

/// The API dies after the provider opened the attempt, before it heard so.
#[tokio::test]
async fn an_api_dies_before_it_heard_the_provider() {
    let shop = Shop::with_tea(100).await;
    let [paid, expired, again, other] = [
        shop.place(&[("tea", 1)]).await,
        shop.place(&[("tea", 1)]).await,
        shop.place(&[("tea", 1)]).await,
        shop.place(&[("tea", 1)]).await,
    ];
    let ids = [&paid, &expired, &again, &other];
    let (api, mut process) =
        shop.start_api(&[("HOLDFAST_SANDBOX_URL", shop.provider.deaf_line().await)]).await;
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
        shop.provider.until_states(id, &["open"]).await;
    }
    process.kill();
    for answer in join_all(asks).await {
        assert!(answer.unwrap().is_err());
    }

    // Somebody pays it all the same, and the provider names an attempt whose name we have not heard.
    let booked = shop.provider.payments(&paid).await[0].clone();
    shop.provider.capture(&booked.id, json!({})).await.is(200);
    shop.until(&paid, "completed").await;
    shop.temporal.until_closed(&paid).await;
    let attempt = shop.ask_attempt(&paid, &format!("k-{paid}")).await.is(201);
    assert_eq!(attempt.provider_payment_id, booked.id);
    assert_eq!(attempt.state, "succeeded");
    let states = shop.attempt_states(&paid).await;
    assert!(states.iter().all(|state| state != "opening" && state != "closing"), "{states:?}");

    // Nobody pays it: at the deadline it is found and closed.
    shop.fast_forward(&expired, "PT25H").await;
    shop.until(&expired, "expired").await;
    assert_eq!(shop.provider.states(&expired).await, ["cancelled"]);
    assert_eq!(shop.attempt_states(&expired).await, ["cancelled"]);

    // The same key finds it.
    let attempt = shop.ask_attempt(&again, &format!("k-{again}")).await.is(201);
    assert_eq!(shop.provider.states(&again).await, ["open"]);
    shop.provider.capture(&attempt.id, json!({})).await.is(200);
    shop.until(&again, "completed").await;

    // Another key supersedes it, and it is cancelled though we never heard its name.
    let second = shop.attempt(&other).await;
    shop.provider.until_states(&other, &["cancelled", "open"]).await;
    shop.provider.capture(&second.id, json!({})).await.is(200);
    shop.until(&other, "completed").await;
    assert_eq!(shop.level("tea").await, (97, 0));
    shop.close();
}
