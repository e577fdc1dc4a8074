//! HTTP/2, by who knows that we speak it (prior knowledge: TLS ends before us). It opens no way around what
//! holds for HTTP/1.

use std::time::{Duration, Instant};

use axum::{
    body::Bytes,
    http::{Request, Response, StatusCode},
};
use h2::{
    Reason,
    client::{Builder, SendRequest},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

use crate::harness::{Shop, documents::Order, eventually, http::API_KEY};

const PATIENCE: Duration = Duration::from_secs(60);

/// One connection, with this much room for what a stream was answered.
struct Connection {
    address: String,
    requests: SendRequest<Bytes>,
    ended: JoinHandle<Result<(), h2::Error>>,
}

impl Connection {
    async fn open(address: &str, window_bytes: u32) -> Self {
        let tcp = TcpStream::connect(address).await.unwrap();
        let (requests, connection) =
            Builder::new().initial_window_size(window_bytes).handshake(tcp).await.unwrap();
        Self { address: address.to_owned(), requests, ended: tokio::spawn(connection) }
    }

    fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        let uri = format!("http://{}{path}", self.address);
        Request::builder().method(method).uri(uri).header("authorization", format!("Bearer {API_KEY}"))
    }

    async fn ask(&self, request: Request<()>, body: Option<Vec<u8>>) -> Result<Response<Vec<u8>>, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut stream) = requests.send_request(request, body.is_none())?;
        if let Some(body) = body {
            stream.send_data(body.into(), true)?;
        }
        let (head, mut body) = timeout(PATIENCE, response).await.expect("an answer")?.into_parts();
        let mut read = Vec::new();
        while let Some(data) = body.data().await {
            read.extend_from_slice(&data?);
        }
        Ok(Response::from_parts(head, read))
    }

    async fn get(&self, path: &str) -> Result<Response<Vec<u8>>, h2::Error> {
        self.ask(self.request("GET", path).body(()).unwrap(), None).await
    }
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let mut shop = Shop::with_tea(30).await;
    let connection = Connection::open(shop.api.address(), 65_535).await;
    let body = shop.order_body(&[("tea", 1)]).to_string();
    let place = async |n: usize| {
        let request = connection
            .request("POST", "/v1/orders")
            .header("content-type", "application/json")
            .header("idempotency-key", format!("key-{n}"));
        let placed =
            connection.ask(request.body(()).unwrap(), Some(body.clone().into_bytes())).await.unwrap();
        assert_eq!(placed.status(), 201, "{}", String::from_utf8_lossy(placed.body()));
        assert!(placed.headers().contains_key("ratelimit") && placed.headers().contains_key("x-request-id"));
        serde_json::from_slice::<Order>(placed.body()).unwrap().id
    };
    let ids = futures_util::future::join_all((0..30).map(place)).await;
    assert_eq!(shop.level("tea").await, (30, 30));
    for id in &ids[..3] {
        let read = connection.get(&format!("/v1/orders/{id}")).await.unwrap();
        assert_eq!(serde_json::from_slice::<Order>(read.body()).unwrap().id, *id);
    }
    assert_eq!(connection.requests.current_max_send_streams(), 100);

    // An idle connection does not keep the program from its end, and hears of it.
    let told = Instant::now();
    shop.api_process.terminate();
    assert!(shop.api_process.ended().await.success(), "{}", shop.api_process.log());
    assert!(told.elapsed() < Duration::from_secs(12), "{:?}", told.elapsed());
    connection.ended.await.unwrap().unwrap();
    shop.close();
}

/// A stream has the deadlines of a request, and the connection goes on.
#[tokio::test]
async fn a_slow_stream_is_cut_off_and_others_are_not() {
    let env = vec![("HOLDFAST_BODY_TIMEOUT", "1".to_owned()), ("HOLDFAST_IDLE_TIMEOUT", "3".to_owned())];
    let shop = Shop::with_env(env).await;
    let connection = Connection::open(shop.api.address(), 100).await;
    let request = connection.request("POST", "/v1/orders").header("content-type", "application/json");
    let request = request.header("idempotency-key", "k").body(()).unwrap();
    let (response, mut stream) = connection.requests.clone().send_request(request, false).unwrap();
    stream.send_data(Bytes::from_static(b"{\"customer\":"), false).unwrap();
    let answer = timeout(PATIENCE, response).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    let status: Value = serde_json::from_slice(connection.get("/healthz").await.unwrap().body()).unwrap();
    assert_eq!(status["status"], "ok");

    // Who asks for much and takes nothing of it is cut off, though it goes on asking for little.
    let much = connection.request("GET", "/openapi.json").body(()).unwrap();
    let (untaken, _) = connection.requests.clone().send_request(much, true).unwrap();
    let untaken = timeout(PATIENCE, untaken).await.unwrap().unwrap();
    assert_eq!(untaken.status(), 200);
    eventually("the connection ends", async || connection.get("/healthz").await.err()).await;
    drop(untaken);
    shop.close();
}

/// Requests of all streams together are bounded as connections are. More of them wait, and who lets them wait
/// for nothing is cut off.
#[tokio::test]
async fn streams_share_the_places_there_are() {
    let shop = Shop::with_tea(30).await;
    let (api, _process) = shop.start_api(&[("HOLDFAST_MAX_CONNECTIONS", "4".to_owned())]).await;
    let honest = Connection::open(api.address(), 65_535).await;
    let lists = (0..30).map(|_| honest.get("/v1/products"));
    for list in futures_util::future::join_all(lists).await {
        assert_eq!(list.unwrap().status(), 200);
    }
    let greedy = Connection::open(api.address(), 100).await;
    let mut untaken = Vec::new();
    for _ in 0..4 {
        let much = greedy.request("GET", "/openapi.json").body(()).unwrap();
        let (answer, _) = greedy.requests.clone().send_request(much, true).unwrap();
        untaken.push(timeout(PATIENCE, answer).await.unwrap().unwrap());
    }
    assert_eq!(honest.get("/v1/products").await.unwrap().status(), 200);
    drop(timeout(PATIENCE, greedy.ended).await.expect("it is cut off"));
    shop.close();
}

/// Asking and taking it back costs a client next to nothing, and us a request: it may do that a few times.
#[tokio::test]
async fn who_takes_back_what_it_asked_for_again_and_again_is_cut_off() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    /// GET http://a/, by the static table of RFC 7541.
    const GET: &[u8] = b"\x82\x86\x84\x41\x01a";
    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }
    let shop = Shop::without_worker().await;
    let mut tcp = TcpStream::connect(shop.api.address()).await.unwrap();
    let mut sent = [PREFACE, &frame(4, 0, 0, b"")].concat();
    for stream in (1..2_000).step_by(2) {
        sent.extend(frame(1, 0b101, stream, GET)); // HEADERS, all of it
        sent.extend(frame(3, 0, stream, &u32::from(Reason::CANCEL).to_be_bytes())); // RST_STREAM
    }
    let _ = tcp.write_all(&sent).await; // it may be closed before all is sent
    let mut read = Vec::new();
    let _ = timeout(PATIENCE, tcp.read_to_end(&mut read)).await.expect("the server closes");
    let calm = u32::from(Reason::ENHANCE_YOUR_CALM).to_be_bytes();
    assert!(read.windows(4).any(|it| it == calm), "{read:?}");
    assert_eq!(shop.api.get("/healthz").await.status, 200);
    shop.close();
}
