//! The payment provider, as its payers, its dashboard and its own books see it. All of it goes on during an
//! outage, but what it says of its books.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncWriteExt as _, copy, sink},
    net::{TcpListener, TcpStream},
};

use super::{Answer, Api, wait_until};

#[derive(Clone)]
pub struct Provider {
    api: Api,
}

/// A payment in the provider's books.
#[derive(Debug, Clone, Deserialize)]
pub struct ProviderPayment {
    pub id: String,
    /// Our id of it; none of a payment without an attempt.
    pub key: Option<String>,
    pub state: String,
    pub amount: i64,
    pub expires_at: Option<Timestamp>,
    pub captured: Option<Captured>,
    pub refunds: Vec<ProviderRefund>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Captured {
    pub amount: i64,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ProviderRefund {
    pub id: String,
    pub state: String,
    pub amount: i64,
}

/// A line of the provider's statement.
#[derive(Debug, Clone, Deserialize)]
pub struct StatementLine {
    /// `captured`, `refunded`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// Of the payment or of the refund.
    pub id: String,
    pub order_id: String,
    pub amount: i64,
    pub currency: String,
    pub fee: Option<i64>,
}

#[derive(Deserialize)]
struct Statement {
    data: Vec<StatementLine>,
    next: Option<String>,
}

impl Provider {
    pub fn at(url: &str) -> Self {
        Self { api: Api::new(url.trim_start_matches("http://")) }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.api.post(path, body).await
    }

    /// What a list of its shows.
    async fn list(&self, path: &str) -> Value {
        self.api.get(path).await.is(200)["data"].take()
    }

    /// How it misbehaves from now on.
    pub async fn faults(&self, faults: Value) {
        self.api.put("/dashboard/faults", &faults).await.is(200);
    }

    /// The same about an order alone.
    pub async fn faults_of(&self, order: &str, faults: Value) {
        self.api.put(&format!("/dashboard/faults/{order}"), &faults).await.is(200);
    }

    pub async fn no_faults(&self) {
        assert_eq!(self.api.delete("/dashboard/faults").await.status, 204);
    }

    pub async fn no_faults_of(&self, order: &str) {
        assert_eq!(self.api.delete(&format!("/dashboard/faults/{order}")).await.status, 204);
    }

    /// It cannot be reached.
    pub async fn outage(&self) {
        self.faults(json!({"outage": {"answer": "hang_up"}})).await;
    }

    /// What its books say about an order, oldest first.
    pub async fn payments(&self, order: &str) -> Vec<ProviderPayment> {
        serde_json::from_value(self.list(&format!("/v1/payments?order_id={order}")).await).unwrap()
    }

    /// The states of an order's payments in its books.
    pub async fn states(&self, order: &str) -> Vec<String> {
        self.payments(order).await.into_iter().map(|payment| payment.state).collect()
    }

    /// Waits until its books show these states, in the order of the alphabet.
    pub async fn until_states(&self, order: &str, states: &[&str]) {
        wait_until(&format!("the payments of {order} are {states:?}"), async || {
            let mut booked = self.states(order).await;
            booked.sort();
            booked == states
        })
        .await;
    }

    /// What it has captured for an order, what it has given back, and in how many refunds.
    pub async fn balance(&self, order: &str) -> (i64, i64, usize) {
        let payments = self.payments(order).await;
        let captured = payments.iter().filter_map(|it| it.captured.as_ref()).map(|it| it.amount).sum();
        let refunds = payments.iter().flat_map(|it| &it.refunds).filter(|it| it.state == "succeeded");
        let back: Vec<i64> = refunds.map(|it| it.amount).collect();
        (captured, back.iter().sum(), back.len())
    }

    /// Its whole statement.
    pub async fn statement(&self) -> Vec<StatementLine> {
        let (mut lines, mut after) = (Vec::new(), String::new());
        loop {
            let range = "from=2000-01-01T00:00:00Z&until=2200-01-01T00:00:00Z&limit=1000";
            let page = self.api.get(&format!("/v1/movements?{range}{after}")).await;
            let page: Statement = page.of().is(200);
            lines.extend(page.data);
            let Some(next) = page.next else { return lines };
            after = format!("&after={next}");
        }
    }

    /// The payer pays an attempt, named by the provider's id or ours.
    pub async fn capture(&self, payment: &str, how: Value) -> Answer {
        self.post(&format!("/payer/payments/{payment}/capture"), &how).await
    }

    /// The payer's try fails.
    pub async fn fail(&self, payment: &str, how: Value) -> Answer {
        self.post(&format!("/payer/payments/{payment}/fail"), &how).await
    }

    /// Money comes without an attempt, as by a bank transfer: in EUR, unless it is said how.
    pub async fn pay(&self, order: &str, amount: i64, how: Value) -> Answer {
        let mut pay = json!({"order_id": order, "amount": amount, "currency": "EUR"});
        pay.as_object_mut().unwrap().extend(how.as_object().cloned().unwrap_or_default());
        self.post("/payer/pay", &pay).await
    }

    /// Somebody sends money back in the dashboard; gives the provider's id of the refund.
    pub async fn refund(&self, payment: &str, amount: i64) -> String {
        self.dashboard("payments", payment, "refunds", json!({"amount": amount})).await
    }

    /// A refund, named by the provider's id or ours, comes to this end, whatever it had come to before, as
    /// soon as the provider knows it.
    pub async fn settle(&self, refund: &str, state: &str) {
        let path = format!("/dashboard/refunds/{refund}/settle");
        wait_until(&format!("the provider has the refund {refund}"), async || {
            let settled = self.post(&path, &json!({"state": state, "late": true})).await;
            settled.status == 200
        })
        .await;
    }

    /// The payer disputes a payment; gives the provider's id of the dispute.
    pub async fn dispute(&self, payment: &str, how: Value) -> String {
        self.dashboard("payments", payment, "disputes", how).await
    }

    pub async fn close_dispute(&self, dispute: &str, state: &str) {
        self.dashboard("disputes", dispute, "close", json!({"state": state})).await;
    }

    async fn dashboard(&self, what: &str, id: &str, verb: &str, body: Value) -> String {
        let done = self.post(&format!("/dashboard/{what}/{id}/{verb}"), &body).await.is(200);
        done["id"].as_str().unwrap().to_owned()
    }

    /// Sends webhooks that were held: those of an order or, without one, all.
    pub async fn release(&self, which: Value) {
        self.post("/dashboard/deliveries/release", &which).await.is(200);
    }

    /// Sends whatever was ever to be sent for an order once more.
    pub async fn release_again(&self, order: &str) {
        let deliveries = self.list(&format!("/dashboard/deliveries?order_id={order}")).await;
        let ids: Vec<&Value> = deliveries.as_array().unwrap().iter().map(|it| &it["id"]).collect();
        self.release(json!({"ids": ids})).await;
    }

    /// Whether webhooks are under way.
    pub async fn is_sending(&self) -> bool {
        self.list("/dashboard/deliveries?state=sending").await != json!([])
    }

    /// The way to it by a line on which its answers get lost: what is asked is done, and who asks waits.
    pub async fn deaf_line(&self) -> String {
        let provider = self.api.address().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let provider = TcpStream::connect(&provider).await.unwrap();
                tokio::spawn(async move {
                    let (mut asked, _open) = caller.into_split();
                    let (mut answer, mut ask) = provider.into_split();
                    let swallowed = async { copy(&mut answer, &mut sink()).await };
                    let passed = async {
                        let passed = copy(&mut asked, &mut ask).await;
                        let _ = ask.shutdown().await;
                        passed
                    };
                    let _ = tokio::join!(swallowed, passed);
                });
            }
        });
        url
    }
}
