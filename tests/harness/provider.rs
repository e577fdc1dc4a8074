//! The payment provider, as its payers, its dashboard and its own books see it.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncWriteExt as _, copy, sink},
    net::{TcpListener, TcpStream},
};

use super::{Answer, Api, Shop, eventually, send};

impl Shop {
    /// A call of the provider itself.
    pub async fn provider(&self, method: Method, path: &str, body: &Value) -> Answer {
        let provider = Api::new(self.sandbox.url().trim_start_matches("http://"));
        send(provider.bare(method, path).json(body)).await
    }

    /// How the provider misbehaves from now on, about an order or (without a name) altogether.
    pub async fn faults(&self, name: &str, faults: Value) {
        let path = if name.is_empty() { String::new() } else { format!("/{name}") };
        self.provider(Method::PUT, &format!("/dashboard/faults{path}"), &faults).await.is(200);
    }

    pub async fn no_faults(&self) {
        assert_eq!(self.provider(Method::DELETE, "/dashboard/faults", &json!({})).await.status, 204);
    }

    /// The provider cannot be reached.
    pub async fn outage(&self) {
        self.faults("", json!({"outage": {"answer": "hang_up"}})).await;
    }

    /// What the provider's books say about an order, oldest first. Not while it is out.
    pub async fn books(&self, order: &str) -> Vec<Value> {
        let path = format!("/v1/payments?order_id={order}");
        let list = self.provider(Method::GET, &path, &json!({})).await.is(200);
        list["data"].as_array().unwrap().clone()
    }

    /// The states of an order's payments in the provider's books.
    pub async fn booked(&self, order: &str) -> Vec<String> {
        self.books(order).await.iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect()
    }

    /// What the provider has captured for an order, what it has given back, and in how many refunds.
    pub async fn balance(&self, order: &str) -> (i64, i64, usize) {
        let (mut captured, mut back, mut times) = (0, 0, 0);
        for payment in self.books(order).await {
            captured += payment["captured"]["amount"].as_i64().unwrap_or_default();
            let refunds = payment["refunds"].as_array().unwrap();
            for refund in refunds.iter().filter(|it| it["state"] == "succeeded") {
                back += refund["amount"].as_i64().unwrap();
                times += 1;
            }
        }
        (captured, back, times)
    }

    /// The payer pays an attempt, named by the provider's id or ours.
    pub async fn capture(&self, payment: &str, how: Value) -> Answer {
        self.provider(Method::POST, &format!("/payer/payments/{payment}/capture"), &how).await
    }

    /// Asks for an attempt to pay.
    pub async fn ask_attempt(&self, order: &str, key: &str) -> Answer {
        self.api.post_as(key, &format!("/v1/orders/{order}/payments"), &json!({})).await
    }

    /// An open attempt to pay.
    pub async fn attempt(&self, order: &str) -> Value {
        let attempt = self.ask_attempt(order, &super::unique()).await.is(201);
        assert_eq!(attempt["state"], "open", "{attempt}");
        attempt
    }

    pub async fn refresh(&self, order: &str, payment: &str) -> Answer {
        self.api.post(&format!("/v1/orders/{order}/payments/{payment}/refresh"), &json!({})).await
    }

    /// The states of the attempts as we have them.
    pub async fn attempt_states(&self, order: &str) -> Vec<String> {
        self.payments(order).await.iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn ask_refund(&self, order: &str, body: &Value) -> Answer {
        self.api.post(&format!("/v1/orders/{order}/refunds"), body).await
    }

    pub async fn refunds(&self, order: &str) -> Vec<Value> {
        let list = self.api.get(&format!("/v1/orders/{order}/refunds")).await.is(200);
        list["data"].as_array().unwrap().clone()
    }

    /// Waits until an order's refunds are in these states.
    pub async fn until_refunds(&self, order: &str, states: &[&str]) -> Vec<Value> {
        eventually(&format!("the refunds of {order} are {states:?}"), async || {
            let refunds = self.refunds(order).await;
            refunds
                .iter()
                .map(|it| it["state"].as_str().unwrap())
                .eq(states.iter().copied())
                .then_some(refunds)
        })
        .await
    }

    pub async fn until_payment_status(&self, order: &str, status: &str) {
        eventually(&format!("the payment of {order} is {status}"), async || {
            (self.order(order).await["payment_status"] == status).then_some(())
        })
        .await;
    }

    /// A page of exceptions.
    pub async fn list_exceptions(&self, query: &str) -> Vec<Value> {
        let list = self.api.get(&format!("/v1/exceptions?{query}")).await.is(200);
        list["data"].as_array().unwrap().clone()
    }

    /// Waits for an open exception of this kind about an order (or anything).
    pub async fn until_exception(&self, order: &str, kind: &str) -> Value {
        let query = if order.is_empty() { String::new() } else { format!("&order={order}") };
        eventually(&format!("an exception {kind} of {order}"), async || {
            let open = self.list_exceptions(&format!("state=open{query}")).await;
            open.into_iter().find(|it| it["kind"] == kind)
        })
        .await
    }

    pub async fn resolve(&self, exception: &Value, action: &str) -> Answer {
        let path = format!("/v1/exceptions/{}/resolve", exception["id"].as_str().unwrap());
        self.api.post(&path, &json!({"action": action, "note": "looked at it"})).await
    }

    /// The provider by a line on which its answers get lost: what is asked is done, and who asks waits.
    pub async fn deaf_line(&self) -> String {
        let provider = self.sandbox.url().trim_start_matches("http://").to_owned();
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

    /// Somebody sends money of the order's first payment back in the provider's dashboard.
    pub async fn refund_in_dashboard(&self, order: &str, amount: i64) {
        let payment = self.payments(order).await.remove(0);
        let payment = payment["provider_payment_id"].as_str().unwrap();
        let path = format!("/dashboard/payments/{payment}/refunds");
        self.provider(Method::POST, &path, &json!({"amount": amount})).await.is(200);
    }
}
