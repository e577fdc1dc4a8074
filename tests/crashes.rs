//! `kill -9` in the middle of things: everything that was answered is found again and ends once.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{
    SOLD, Shop,
    documents::Order,
    try_send, unique, wait_until,
    webhook::{Webhook, paid},
};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

#[tokio::test]
async fn a_worker_dies_between_placement_and_payment() {
    let mut shop = Shop::with_tea(10).await;
    let (new, reminded) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    shop.until_told(&new, "workflow.started").await;
    shop.fast_forward(&reminded, "PT5H").await;
    shop.kill_worker();
    for id in [&new, &reminded] {
        shop.pay(id).await;
        assert_eq!(shop.order(id).await.status, "awaiting_payment");
    }
    shop.start_worker();
    for (id, mails) in [(&new, &["paid"][..]), (&reminded, &["reminder_1", "paid"])] {
        shop.until(id, "completed").await;
        assert_eq!(shop.until_mailed(id, "paid").await, mails);
    }
    shop.close();
}

#[tokio::test]
async fn a_worker_dies_while_a_batch_is_being_paid() {
    let mut shop = Shop::with_tea(100).await;
    let ids = join_all((0..30).map(|_| shop.place(&[("tea", 1)]))).await;
    join_all(ids.iter().map(|id| shop.pay(id))).await;
    let completed =
        async |shop: &Shop| shop.api.list::<Order>("/v1/orders?status=completed&limit=100").await.data.len();
    wait_until("some are paid", async || completed(&shop).await > 0).await;
    shop.kill_worker();
    shop.start_worker();
    wait_until("all are paid", async || completed(&shop).await == ids.len()).await;
    for id in &ids {
        check_completed_once(&shop, id).await;
    }
    assert_eq!(shop.level("tea").await, (70, 0));
    shop.close();
}

/// Each step once, whatever was repeated.
async fn check_completed_once(shop: &Shop, id: &str) {
    let mut story = shop.until_told(id, "mail.sent").await;
    story.sort();
    let mut expected = SOLD;
    expected.sort_unstable();
    assert_eq!(story, expected);
    // A mail that was sent in the moment of the crash may come again, as the same mail.
    let ids: BTreeSet<String> = shop.mails(id).await.into_iter().map(|mail| mail.message_id).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

/// The provider has closed an attempt to pay, and the worker that asked for it dies without its answer.
#[tokio::test]
async fn a_worker_dies_before_it_heard_that_an_attempt_is_closed() {
    let mut shop = Shop::with_tea(10).await;
    let id = shop.place_with(&[("tea", 1)], json!({"reminders": []})).await;
    shop.attempt(&id).await;
    shop.until_told(&id, "workflow.started").await;
    shop.kill_worker();
    let mut deaf = shop.another_worker(&[("HOLDFAST_SANDBOX_URL", shop.provider.deaf_line().await)]).await;
    let cancel = format!("/v1/orders/{id}/cancel");
    shop.api.impatient().post(&cancel, &json!({})).await.is(202);
    shop.provider.until_states(&id, &["cancelled"]).await;
    deaf.kill();
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");

    shop.start_worker();
    assert_eq!(shop.until_mailed(&id, "cancelled").await, ["cancelled"]);
    assert_eq!(shop.attempt_states(&id).await, ["cancelled"]);
    let story = shop.story(&id).await;
    assert_eq!(story.iter().filter(|told| *told == "stock.released").count(), 1, "{story:?}");
    shop.close();
}

/// An API that cannot reach the engine answers, and dies: a worker's sweeper takes over.
#[tokio::test]
async fn an_api_dies_after_its_answers_before_the_engine_knew() {
    let mut shop = Shop::with_tea(10).await;
    shop.kill_worker();
    let (api, mut process) = shop.start_api(&[("TEMPORAL_ADDRESS", NOWHERE.into())]).await;
    let body = shop.order_body(&[("tea", 1)]);
    let place = async || api.post("/v1/orders", &body).await.of::<Order>().is(201).id;
    let (unpaid, prepaid) = (place().await, place().await);
    Webhook::new(&paid(&prepaid, 1250)).send(&api).await.is(200);
    process.kill();

    assert_eq!(shop.story(&prepaid).await, ["order.placed", "stock.held"]);
    shop.start_worker();
    shop.until(&prepaid, "completed").await;
    check_completed_once(&shop, &prepaid).await;
    shop.until_told(&unpaid, "workflow.started").await;
    shop.fast_forward(&unpaid, "PT25H").await;
    shop.until(&unpaid, "expired").await;
    shop.close();
}

#[tokio::test]
async fn an_api_dies_among_its_answers() {
    let mut shop = Shop::with_tea(1000).await;
    let body = shop.order_body(&[("tea", 1)]);
    let request =
        || shop.api.request(reqwest::Method::POST, "/v1/orders").header("idempotency-key", unique());
    let under_way: Vec<_> = (0..40).map(|_| tokio::spawn(try_send(request().json(&body)))).collect();
    wait_until("some are answered", async || {
        under_way.iter().filter(|answer| answer.is_finished()).count() >= 5
    })
    .await;
    shop.restart_api().await;
    let answers = join_all(under_way).await;
    let answered: Vec<_> = answers.into_iter().filter_map(|answer| answer.unwrap().ok()).collect();
    assert!(answered.len() >= 5);
    for answer in answered {
        let id = answer.of::<Order>().is(201).id;
        shop.until_told(&id, "workflow.started").await;
    }
    // Those that were not answered are there or not, never half.
    shop.close();
}

#[tokio::test]
async fn sigterm_lets_an_api_answer_what_it_has_taken_on() {
    let mut shop = Shop::with_tea(10).await;
    let (api, mut process) = shop.start_api(&[]).await;
    let body = shop.order_body(&[("tea", 1)]).to_string();
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: x\r\n\
         authorization: Bearer test-key-of-32-bytes-or-about-it\r\nidempotency-key: {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\
         connection: close\r\n\r\n",
        unique(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    // Now it waits for the body.
    process.terminate();
    process.says("stopping").await;
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(process.ended().await.success());
    let orders = shop.api.list::<Order>("/v1/orders").await.data;
    assert_eq!(orders.len(), 1);
    shop.until_told(&orders[0].id, "workflow.started").await;
    shop.api_process.terminate();
    assert!(shop.api_process.ended().await.success(), "an idle API stops, too");
    shop.close();
}

#[tokio::test]
async fn sigterm_drains_a_worker_and_another_goes_on() {
    let mut shop = Shop::with_tea(100).await;
    let ids = join_all((0..10).map(|_| shop.place_with(&[("tea", 1)], json!({"reminders": []})))).await;
    shop.until_told(&ids[0], "workflow.started").await;
    join_all(ids.iter().map(|id| shop.pay(id))).await;
    shop.stop_worker().await;
    shop.start_worker();
    for id in &ids {
        shop.until(id, "completed").await;
        check_completed_once(&shop, id).await;
    }
    shop.close();
}
