//! Clients that are slow, idle or too many: none of them keeps others from an answer, or the program from its
//! end.

use std::time::Duration;

use crate::harness::{Shop, Socket, documents::Order, send};

const HEADER: &str = "HOLDFAST_HEADER_TIMEOUT";
const BODY: &str = "HOLDFAST_BODY_TIMEOUT";
const IDLE: &str = "HOLDFAST_IDLE_TIMEOUT";
const DRAIN: &str = "HOLDFAST_DRAIN_TIMEOUT";

/// A shop whose API has these timeouts, in seconds.
async fn shop(timeouts: &[(&'static str, u32)]) -> Shop {
    let env = timeouts.iter().map(|(name, seconds)| (*name, seconds.to_string())).collect();
    Shop::with_env(env).await
}

const PLACE: &str = "POST /v1/orders HTTP/1.1\r\nHost: a\r\n\
    Authorization: Bearer test-key-of-32-bytes-or-about-it\r\n\
    Content-Type: application/json\r\nIdempotency-Key: k\r\nContent-Length: 900\r\n\r\n{\"customer\":";
const WEBHOOK: &str = "POST /v1/webhooks/sandbox HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n{";

#[tokio::test]
async fn more_idle_connections_than_files_leave_the_door_open() {
    web::raise_file_limit(); // ours; the program's is as small as it was found
    let shop = Shop::with_tea(10).await;
    let (api, mut process) = shop.start_api(&[("TEST_MAX_FILES", "1024".to_owned())]).await;
    let mut crowd = Vec::new();
    for n in 0..1_500 {
        let mut socket = Socket::open(api.address()).await;
        match n % 3 {
            0 => {}
            1 => drop(socket.send("GET /healthz HTTP/1.1\r\nHo").await),
            _ => drop(socket.send(WEBHOOK).await),
        }
        crowd.push(socket);
        if n % 300 == 299 {
            assert_eq!(api.get("/healthz").await.status, 200, "with {n} others");
        }
    }
    api.post("/v1/orders", &shop.order_body(&[("tea", 1)])).await.is(201);
    assert_eq!(api.readiness(200).await.status, "ok");
    process.terminate();
    assert!(process.ended().await.success(), "{}", process.log());
    drop(crowd);
    shop.close();
}

/// A connection that is closed with bytes in it is reset, and the reset overtakes the answer.
#[tokio::test]
async fn who_sends_too_much_hears_so() {
    let shop = Shop::without_worker().await;
    let body = "x".repeat(8_000_000);
    for (key, path, status) in [
        ("wrong", "/v1/orders", 401),
        ("test-key-of-32-bytes-or-about-it", "/v1/orders", 413),
        ("", "/v1/webhooks/sandbox", 413),
        ("", "/nowhere", 404),
        ("", "/healthz", 405),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut socket = Socket::open(shop.api.address()).await;
        assert!(socket.send(&head).await && socket.send(&body).await, "{path} {key}: all is taken");
        let answer = socket.answer().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {key}: {answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    // Who asks before it sends is told at once.
    let asks = "POST /v1/webhooks/sandbox HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
                Content-Length: 20000000\r\n\r\n";
    let answer = Socket::ask(shop.api.address(), asks).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    shop.close();
}

#[tokio::test]
async fn who_has_sent_all_and_says_so_gets_its_answers() {
    let shop = Shop::without_worker().await;
    let mut socket = Socket::open(shop.api.address()).await;
    socket.send(&"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5)).await;
    socket.has_sent_all().await;
    let (answers, _) = socket.until_closed().await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 5, "{answers}");
    shop.close();
}

#[tokio::test]
async fn a_full_house_makes_room_for_who_comes() {
    let shop = Shop::open().await;
    let (api, _process) = shop.start_api(&[("HOLDFAST_MAX_CONNECTIONS", "5".to_owned())]).await;
    let mut crowd = Vec::new();
    for start in ["", "GET", WEBHOOK, PLACE] {
        for _ in 0..10 {
            let mut socket = Socket::open(api.address()).await;
            socket.send(start).await;
            crowd.push(socket);
        }
        assert_eq!(api.get("/healthz").await.status, 200, "after {start:?}");
    }
    // Who came first has waited longest, and was closed for it.
    crowd[0].until_closed().await;
    shop.close();
}

#[tokio::test]
async fn who_is_slow_is_cut_off_in_time() {
    let shop = shop(&[(HEADER, 1), (BODY, 1), (IDLE, 2)]).await;
    let address = shop.api.address().to_owned();
    let mut half = Socket::open(&address).await;
    half.send("GET /healthz HTTP/1.1\r\nHo").await;
    let (said, took) = half.until_closed().await;
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(20), "{took:?} {said}");

    // Bytes that drip do not count.
    let mut drip = Socket::open(&address).await;
    let mut drops = 0;
    while drip.send("G").await && drops < 200 {
        drops += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(drops < 200, "a header may drip for ever");

    // A connection that has served may be used again for a while.
    let mut kept = Socket::open(&address).await;
    for _ in 0..2 {
        kept.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(kept.answer().await.starts_with("HTTP/1.1 200"));
    }
    let (_, took) = kept.until_closed().await;
    assert!(took >= Duration::from_millis(1_500), "{took:?}");

    for request in [PLACE, WEBHOOK] {
        let answer = Socket::ask(&address, request).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
        assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    }
    // Whoever has no key is told so at once.
    let stranger = PLACE.replace("test-key-of-32-bytes-or-about-it", "another");
    assert!(Socket::ask(&address, &stranger).await.starts_with("HTTP/1.1 401"));
    assert_eq!(shop.api.list::<Order>("/v1/orders").await.data, []);
    shop.close();
}

#[tokio::test]
async fn the_end_waits_for_no_slow_client() {
    let mut shop = shop(&[(HEADER, 600), (BODY, 25), (IDLE, 600), (DRAIN, 1)]).await;
    let address = shop.api.address().to_owned();
    let mut slow = Vec::new();
    // The last one asks for much, and reads nothing of it.
    let much = "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200);
    for start in ["", "GET /healthz HT", PLACE, WEBHOOK, &much] {
        let mut socket = Socket::open(&address).await;
        socket.send(start).await;
        slow.push(socket);
    }
    let mut drip = slow.swap_remove(2);
    tokio::spawn(async move {
        while drip.send(" ").await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(send(shop.api.bare(reqwest::Method::GET, "/healthz")).await.status, 200);
    let told = std::time::Instant::now();
    shop.api_process.terminate();
    assert!(shop.api_process.ended().await.success(), "{}", shop.api_process.log());
    assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
    assert!(shop.api_process.log().contains("clients are too slow"), "{}", shop.api_process.log());
    shop.close();
}
