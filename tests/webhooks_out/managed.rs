//! Endpoints: disabled, changed, refused; secrets rotated, and events sent again.

use super::*;

#[tokio::test]
async fn five_days_of_failures_disable_an_endpoint_and_its_owner_is_told() {
    let owner = format!("owner-{}@shop.test", unique());
    let shop = open_with(vec![("HOLDFAST_WEBHOOK_OWNER_EMAIL", owner.clone())]).await;
    let receiver = Receiver::start().await;
    receiver.answer("/hook", Answer::Status(500));
    let hook = endpoint(&shop, &receiver.url("/hook"), &["order.placed"]).await;
    shop.place(&[("tea", 1)]).await;
    let failing = eventually("it fails", async || read(&shop, &hook.id).await.failing_since).await;
    let event = deliveries(&shop, &hook.id, "").await[0].event_id.clone();
    // The days pass here alone.
    let mut sql = shop.sql().await;
    let age = |interval: &str| {
        format!("UPDATE webhook_endpoints SET failing_since = failing_since - interval '{interval}'")
    };
    sql.execute(sqlx::AssertSqlSafe(age("119 hours"))).await.unwrap();
    redeliver(&shop, &hook.id, &json!({"event_id": event})).await;
    receiver.until("/hook", 2).await;
    wait_until("the try is noted", async || deliveries(&shop, &hook.id, "").await[0].attempts == 1).await;
    let not_yet = read(&shop, &hook.id).await;
    assert_eq!(not_yet.status, "enabled", "{not_yet:?}");
    assert_eq!(not_yet.failing_since.unwrap(), failing - SignedDuration::from_hours(119));
    sql.execute(sqlx::AssertSqlSafe(age("2 hours"))).await.unwrap();
    redeliver(&shop, &hook.id, &json!({"event_id": event})).await;
    let disabled = eventually("it is disabled", async || {
        Some(read(&shop, &hook.id).await).filter(|it| it.status == "disabled")
    })
    .await;
    assert_eq!(disabled.disabled_reason.as_deref(), Some("failing"));
    let mail = &mails_to(&owner, 1).await[0];
    assert!(mail.text.contains(&hook.id) && mail.subject.contains("disabled"), "{}", mail.text);

    let tries = receiver.received("/hook").len();
    let later = shop.place(&[("tea", 1)]).await;
    wait_until("it is kept", async || deliveries(&shop, &hook.id, "&status=pending").await.len() == 2).await;
    assert_eq!(receiver.received("/hook").len(), tries);
    receiver.answer("/hook", Answer::Status(200));
    change(&shop, &hook.id, &json!({"enabled": true})).await;
    until_delivered(&shop, &hook.id, 2).await;
    // The two are of different orders, which come side by side.
    let received = receiver.received("/hook");
    assert!(received[tries..].iter().any(|it| it.subject() == later), "{later}");
    shop.close();
}

#[tokio::test]
async fn secrets_are_rotated_and_events_sent_again() {
    let (shop, receiver) = (open().await, Receiver::start().await);
    let hook = endpoint(&shop, &receiver.url("/hook"), &["order.placed"]).await;
    let old = hook.secret.clone().unwrap();
    let before = Timestamp::now();
    let ids = [shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await];
    receiver.until("/hook", 2).await[0].verify(&old);
    until_delivered(&shop, &hook.id, 2).await;
    let path = format!("/v1/webhook-endpoints/{}", hook.id);
    let rotate = async || -> Endpoint {
        shop.api.post(&format!("{path}/rotate-secret"), &json!({})).await.of().is(200)
    };
    let rotated = rotate().await;
    let new = rotated.secret.clone().unwrap();
    let both_until = rotated.previous_secret_until.unwrap().duration_since(before);
    assert!((86_300..86_500).contains(&both_until.as_secs()), "{both_until}");

    let event = deliveries(&shop, &hook.id, "").await.pop().unwrap().event_id;
    assert_eq!(redeliver(&shop, &hook.id, &json!({"event_id": event})).await["count"], 1);
    let again = receiver.until("/hook", 3).await.pop().unwrap();
    again.verify(&old);
    again.verify(&new);
    assert_eq!((again.id(), again.subject()), (event.as_str(), ids[0].as_str()));
    let newest = rotate().await.secret.unwrap();
    let since = redeliver(&shop, &hook.id, &json!({"since": before})).await;
    assert_eq!((&since["count"], &since["has_more"]), (&json!(2), &json!(false)));
    let received = receiver.until("/hook", 5).await;
    received[4].verify(&newest);
    received[4].verify(&new);
    assert_eq!(received[4].signatures_by(&old), 0);
    until_delivered(&shop, &hook.id, 2).await;

    let tested = shop.api.post(&format!("{path}/test"), &json!({})).await.is(200);
    assert_eq!((&tested["delivered"], &tested["answer_code"]), (&json!(true), &json!(204)));
    let test = receiver.until("/hook", 6).await.pop().unwrap();
    test.verify(&newest);
    assert_eq!(
        (test.kind(), test.subject(), test.id()),
        ("webhook.test", &*hook.id, tested["event_id"].as_str().unwrap())
    );

    shop.api.delete(&path).await.is(200);
    shop.api.get(&path).await.problem(404, "webhook_endpoint_not_found");
    shop.place(&[("tea", 1)]).await;
    let forgotten = "SELECT count(*) = 0 FROM webhook_deliveries";
    shop.until_true("what became of its deliveries is forgotten", forgotten).await;
    assert_eq!(receiver.received("/hook").len(), 6);
    shop.close();
}

#[tokio::test]
async fn nothing_goes_to_private_addresses_and_what_is_wrong_is_named() {
    let (shop, receiver) = (Shop::without_worker().await, Receiver::start().await);
    let create = async |body: Value| shop.api.post("/v1/webhook-endpoints", &body).await;
    let port = receiver.port();
    for url in [
        receiver.url("/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://2130706433:{port}/"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "ftp://shop.example/".to_owned(),
        "https://user:password@shop.example/".to_owned(),
        format!("https://shop.example/{}", "x".repeat(2000)),
        "shop.example".to_owned(),
        "https:///shop.example/".to_owned(),
        "https://shop.example:0/".to_owned(),
        "https://shop.example/\0".to_owned(),
        "https://shop.example/\r\nX-A: b".to_owned(),
        "https://shop.example/a b".to_owned(),
    ] {
        let refused = create(json!({"url": url})).await;
        assert_eq!(refused.bad_fields(), ["url"], "{url}");
    }
    let types = ["order.placed", "order.eaten"];
    let body = json!({"url": "https://shop.example/", "types": types, "description": "a\nb"});
    let refused = create(body).await;
    assert_eq!(refused.bad_fields(), ["types[1]", "description"]);
    // A name is looked at when it is asked for, each time.
    let named: Endpoint = create(json!({"url": format!("http://localhost:{port}/")})).await.of().is(201);
    let tested = shop.api.post(&format!("/v1/webhook-endpoints/{}/test", named.id), &json!({})).await.is(200);
    assert_eq!((&tested["delivered"], &tested["error"]), (&json!(false), &json!("address_refused")));
    assert!(receiver.received("/").is_empty());
    let path = format!("/v1/webhook-endpoints/{}", named.id);
    for field in ["url", "types", "description", "enabled"] {
        let refused = shop.api.send(shop.api.request(Method::PATCH, &path).json(&json!({field: null}))).await;
        assert_eq!(refused.bad_fields(), [field]);
    }
    // What is shown is what is asked for.
    let odd = json!({"url": "HTTPS://SHOP.example:443/a/../h\u{fc}te?x=\u{e4}"});
    assert_eq!(change(&shop, &named.id, &odd).await.url, "https://shop.example/h%C3%BCte?x=%C3%A4");
    for body in [
        json!({}),
        json!({"event_id": "evt_1"}),
        json!({"event_id": "evt_1", "since": "2026-01-01T00:00:00Z"}),
    ] {
        shop.api.post(&format!("{path}/redeliver"), &body).await.problem(422, "invalid_request");
    }
    let unknown = json!({"event_id": format!("evt_{:032x}", 7)});
    shop.api.post(&format!("{path}/redeliver"), &unknown).await.problem(404, "webhook_delivery_not_found");
    let nobody = "/v1/webhook-endpoints/whe_01920000000070008000000000000000";
    for (method, path) in [
        (Method::GET, nobody.to_owned()),
        (Method::DELETE, nobody.to_owned()),
        (Method::GET, format!("{nobody}/deliveries")),
        (Method::POST, format!("{nobody}/test")),
        (Method::POST, format!("{nobody}/rotate-secret")),
    ] {
        send(shop.api.request(method, &path)).await.problem(404, "webhook_endpoint_not_found");
    }
    shop.api
        .get("/v1/orders/ord_01920000000070008000000000000000/deliveries")
        .await
        .problem(404, "order_not_found");
    let listed: List<Endpoint> = shop.api.list("/v1/webhook-endpoints").await;
    assert_eq!(listed.data.iter().map(|it| (&it.id, &it.secret)).collect::<Vec<_>>(), [(&named.id, &None)]);
    shop.close();
}

/// Of events that are not kept any more nothing is sent again, and one call does not look through all.
#[tokio::test]
async fn a_call_to_redeliver_looks_at_so_many_and_the_next_goes_on() {
    let shop = Shop::without_worker().await;
    let hook = endpoint(&shop, "https://shop.example/hook", &["order.placed"]).await;
    let mut sql = shop.sql().await;
    let forgotten =
        "INSERT INTO webhook_deliveries (endpoint_id, event, salt, subject, type, at, created_at, state)
                     SELECT w.id, 1000000 + n, 1, 'gone', 'stock.low',
                            now() - interval '1 day' + n * interval '1 ms', now(), 'failed'
                     FROM webhook_endpoints w, generate_series(1, 20500) n";
    sql.execute(forgotten).await.unwrap();
    let since = Timestamp::now() - SignedDuration::from_hours(48);
    let first = redeliver(&shop, &hook.id, &json!({"since": since})).await;
    assert_eq!((&first["count"], &first["has_more"]), (&json!(0), &json!(true)));
    let on = json!({"since": since, "starting_after": first["next_cursor"]});
    let next = redeliver(&shop, &hook.id, &on).await;
    assert_eq!((&next["count"], &next["has_more"]), (&json!(0), &json!(false)));
    sql.execute("DELETE FROM webhook_deliveries").await.unwrap();
    let path = format!("/v1/webhook-endpoints/{}/redeliver", hook.id);
    assert_eq!(shop.api.post(&path, &on).await.bad_fields(), ["starting_after"]);
    shop.close();
}

#[tokio::test]
async fn an_event_that_is_not_kept_says_nothing_of_the_endpoint() {
    let (shop, receiver) = (open().await, Receiver::start().await);
    let hook = endpoint(&shop, &receiver.url("/hook"), &["order.placed"]).await;
    let of_none =
        "INSERT INTO webhook_deliveries (endpoint_id, event, salt, subject, type, at, created_at, due_at)
                   SELECT w.id, 0, 1, 'gone', 'stock.low', now(), now(), now() FROM webhook_endpoints w";
    shop.sql().await.execute(of_none).await.unwrap();
    let failed = eventually("it is given up", async || {
        deliveries(&shop, &hook.id, "&status=failed").await.into_iter().next()
    })
    .await;
    assert_eq!(failed.error.as_deref(), Some("event_forgotten"));
    let read = read(&shop, &hook.id).await;
    assert!(read.failing_since.is_none() && receiver.received("/hook").is_empty(), "{read:?}");
    shop.close();
}
