//! A running sandbox, its client, and a merchant's webhook endpoint.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use domain::{
    OrderId, PaymentId, RefundId, Timestamp,
    money::{Currency, Money},
    payment::RefundReport,
    provider_event::ProviderEvent,
};
use providers::{Attempt, AttemptRef, NewAttempt, NewRefund, Opened, Provider as _, RefundRef, sandbox};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};

pub const SECRET: &str = "whsec_c2FuZGJveC1zZWNyZXQtb2YtdGVzdHM=";
const PATIENCE: Duration = Duration::from_secs(20);

pub type Received = Vec<(HeaderMap, Bytes)>;

/// Takes webhooks, and answers as it is told.
pub struct Endpoint {
    pub url: String,
    received: watch::Receiver<Received>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    _server: JoinSet<()>,
}

type Taking = (watch::Sender<Received>, Arc<Mutex<VecDeque<u16>>>);

impl Endpoint {
    pub async fn start() -> Self {
        let (sender, received) = watch::channel(Vec::new());
        let answers = Arc::<Mutex<VecDeque<u16>>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let routes = Router::new().route("/hooks", post(take)).with_state((sender, Arc::clone(&answers)));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, received, answers, _server: server }
    }

    /// The next webhooks get these answers, then 200 again.
    pub fn answer(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    /// Waits until so many webhooks came; gives all.
    pub async fn webhooks(&self, at_least: usize) -> Received {
        let mut received = self.received.clone();
        let enough = received.wait_for(|received| received.len() >= at_least);
        timeout(PATIENCE, enough).await.expect("webhooks should come").unwrap().clone()
    }

    pub fn so_far(&self) -> usize {
        self.received.borrow().len()
    }
}

async fn take(State((sender, answers)): State<Taking>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let status = answers.lock().unwrap().pop_front().unwrap_or(200);
    sender.send_modify(|received| received.push((headers, body)));
    StatusCode::from_u16(status).unwrap()
}

pub struct Peer {
    pub sandbox: ::sandbox::Sandbox,
    pub client: sandbox::Sandbox,
    pub endpoint: Endpoint,
    http: reqwest::Client,
}

impl Peer {
    pub async fn start() -> Self {
        Self::start_in(None, Endpoint::start().await).await
    }

    pub async fn start_in(storage: Option<PathBuf>, endpoint: Endpoint) -> Self {
        let webhook_url = endpoint.url.clone();
        let options = ::sandbox::Options {
            listen: None,
            webhook_url,
            secret: SECRET.to_owned(),
            payer_key: None,
            storage,
        };
        let sandbox = ::sandbox::Sandbox::start(options).await.unwrap();
        let client = sandbox::Sandbox::new(sandbox.url(), SECRET).unwrap();
        Self { sandbox, client, endpoint, http: providers::http_client().no_proxy().build().unwrap() }
    }

    /// Stops the sandbox, and starts another with its storage.
    pub async fn restart_in(self, storage: PathBuf) -> Self {
        self.sandbox.stop().await;
        Self::start_in(Some(storage), self.endpoint).await
    }

    /// Any call: status and body. No body: `Value::Null`.
    pub async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}{path}", self.sandbox.url());
        let mut request = self.http.request(method.parse().unwrap(), url);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    /// A call that must be done.
    pub async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    pub async fn faults(&self, name: impl ToString, faults: Value) {
        let path = match name.to_string() {
            name if name.is_empty() => "/dashboard/faults".to_owned(),
            name => format!("/dashboard/faults/{name}"),
        };
        self.done("PUT", &path, faults).await;
    }

    pub async fn open(&self) -> (NewAttempt, AttemptRef) {
        let new = new_attempt();
        let opened = self.client.create(&new).await.unwrap();
        let attempt = named(&new, &opened);
        (new, attempt)
    }

    /// An attempt that was captured.
    pub async fn captured(&self) -> (NewAttempt, AttemptRef) {
        let (new, attempt) = self.open().await;
        self.capture(&attempt, json!({})).await;
        (new, attempt)
    }

    pub async fn capture(&self, attempt: &AttemptRef, how: Value) -> Value {
        let path = format!("/payer/payments/{}/capture", attempt.provider_payment_id);
        self.done("POST", &path, how).await
    }

    pub async fn look_up(&self, attempt: &AttemptRef) -> Attempt {
        self.client.look_up(attempt).await.unwrap()
    }

    pub async fn look_up_refund(&self, refund: &RefundReport) -> RefundReport {
        let (refund, provider_refund_id) = (refund.refund, refund.provider_refund_id.clone());
        self.client.look_up_refund(&RefundRef { refund, provider_refund_id }).await.unwrap()
    }

    /// Waits until so many webhooks came; gives all, verified and read.
    pub async fn events(&self, at_least: usize) -> Vec<ProviderEvent> {
        let received = self.endpoint.webhooks(at_least).await;
        received.iter().map(|it| self.client.webhook(&it.0, &it.1, Timestamp::now()).unwrap()).collect()
    }

    pub async fn kinds(&self, at_least: usize) -> Vec<String> {
        self.events(at_least).await.into_iter().map(|event| event.kind).collect()
    }

    pub async fn deliveries(&self, order: OrderId) -> Vec<Value> {
        let list = self.done("GET", &format!("/dashboard/deliveries?order_id={order}"), Value::Null).await;
        list["data"].as_array().unwrap().clone()
    }

    /// Asks until all of an order's deliveries are in these states.
    pub async fn wait_for_deliveries(&self, order: OrderId, states: &[&str]) -> Vec<Value> {
        let asked = async {
            loop {
                let deliveries = self.deliveries(order).await;
                if deliveries.iter().map(|it| it["state"].as_str().unwrap()).eq(states.iter().copied()) {
                    return deliveries;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asked).await.expect("deliveries should get there")
    }
}

pub fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::parse("EUR").unwrap())
}

pub fn order_id() -> OrderId {
    OrderId::from_uuid(uuid())
}

/// 25.00 EUR, for an hour.
pub fn new_attempt() -> NewAttempt {
    NewAttempt {
        order: order_id(),
        payment: PaymentId::from_uuid(uuid()),
        money: eur(2500),
        expires_at: Timestamp::now() + Duration::from_secs(3600),
        description: "Order 1".to_owned(),
        payer: None,
    }
}

pub fn named(new: &NewAttempt, opened: &Opened) -> AttemptRef {
    let provider_payment_id = opened.attempt.provider_payment_id.clone();
    AttemptRef { payment: new.payment, provider_payment_id }
}

pub fn new_refund(new: &NewAttempt, attempt: &AttemptRef, amount: i64) -> NewRefund {
    NewRefund {
        order: new.order,
        refund: RefundId::from_uuid(uuid()),
        attempt: attempt.clone(),
        money: eur(amount),
        captured: new.money,
        reason: "damaged".to_owned(),
    }
}

pub fn uuid() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}
