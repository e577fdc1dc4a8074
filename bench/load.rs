//! The load generator: buyers with a connection each, who ask and wait, ask and wait. It speaks just enough
//! HTTP/1.1, and spends as little of the shared processors on it as possible.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Barrier,
};

use crate::{
    harness::{
        Shop, unique,
        webhook::{self, Webhook},
    },
    report::{per_second, percentile},
};

/// What came of a storm of requests.
pub struct Storm {
    pub latencies: Vec<Duration>,
    pub statuses: BTreeMap<u16, usize>,
    pub elapsed: Duration,
}

impl Storm {
    pub fn rate(&self) -> f64 {
        per_second(self.latencies.len(), self.elapsed)
    }

    pub fn p(&self, share: f64) -> Duration {
        percentile(&self.latencies, share)
    }

    /// Every answer must have this status.
    pub fn all(self, status: u16) -> Self {
        assert_eq!(self.statuses.keys().copied().collect::<Vec<_>>(), [status], "{:?}", self.statuses);
        self
    }
}

/// So many buyers make `total` requests together, each as soon as it has its last answer. All are connected
/// before the first asks.
pub async fn storm(
    address: &str,
    buyers: usize,
    total: usize,
    request: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
) -> Storm {
    let next = Arc::new(AtomicUsize::new(0));
    let ready = Arc::new(Barrier::new(buyers + 1));
    let request = Arc::new(request);
    let mut tasks = Vec::with_capacity(buyers);
    for _ in 0..buyers {
        let (next, ready, request) = (next.clone(), ready.clone(), request.clone());
        let mut connection = Connection::open(address).await;
        tasks.push(tokio::spawn(async move {
            ready.wait().await;
            let mut answers = Vec::with_capacity(total / buyers + 1);
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= total {
                    return answers;
                }
                let request = request(n);
                let asked = Instant::now();
                let (status, _) = connection.call(&request).await;
                answers.push((status, asked.elapsed()));
            }
        }));
    }
    ready.wait().await;
    let started = Instant::now();
    let mut storm =
        Storm { latencies: Vec::with_capacity(total), statuses: BTreeMap::new(), elapsed: Duration::ZERO };
    for task in tasks {
        for (status, latency) in task.await.unwrap() {
            storm.latencies.push(latency);
            *storm.statuses.entry(status).or_insert(0) += 1;
        }
    }
    storm.elapsed = started.elapsed();
    storm
}

/// The requests that place orders for one of each SKU in turn, each under a key of its own.
pub fn placements(shop: &Shop, skus: Vec<String>) -> impl Fn(usize) -> Vec<u8> + Send + Sync + 'static {
    let (host, run) = (shop.api.address().to_owned(), unique());
    let bodies: Vec<String> = skus.iter().map(|sku| shop.order_body(&[(sku, 1)]).to_string()).collect();
    move |n| post(&host, "/v1/orders", &format!("{run}-{n}"), &bodies[n % bodies.len()])
}

pub fn post(host: &str, path: &str, key: &str, body: &str) -> Vec<u8> {
    post_as(host, path, crate::harness::http::API_KEY, key, body)
}

/// The same by somebody else than the shop.
pub fn post_as(host: &str, path: &str, bearer: &str, key: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {bearer}\r\n\
         content-type: application/json\r\nidempotency-key: {key}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A signed webhook that pays the order.
pub fn webhook(host: &str, order: &str, amount: i64) -> Vec<u8> {
    let Webhook { id, timestamp, signature, body, .. } = Webhook::new(&webhook::paid(order, amount));
    let mut request = format!(
        "POST /v1/webhooks/sandbox HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
         webhook-id: {}\r\nwebhook-timestamp: {}\r\nwebhook-signature: {}\r\ncontent-length: {}\r\n\r\n",
        id.unwrap(),
        timestamp.unwrap(),
        signature.unwrap(),
        body.len()
    )
    .into_bytes();
    request.extend(body);
    request
}

pub fn get(host: &str, path: &str) -> Vec<u8> {
    let key = crate::harness::http::API_KEY;
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\r\n").into_bytes()
}

/// A client's connection, kept.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(4096) }
    }

    /// Asks, and reads the answer to its end; gives its status and its body.
    pub async fn call(&mut self, request: &[u8]) -> (u16, &[u8]) {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "hung up in the middle of an answer");
            if let Some((status, head, length)) = head(&self.buffer)
                && self.buffer.len() >= length
            {
                return (status, &self.buffer[head..length]);
            }
        }
    }
}

/// The status of an answer, the length of its head, and its length in all, once the head is there.
fn head(answer: &[u8]) -> Option<(u16, usize, usize)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..end]).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Some((status, end, end + length.map_or(0, |length| length.parse::<usize>().unwrap())))
}
