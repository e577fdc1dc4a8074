//! The money of orders: attempts to pay, refunds and exceptions, as the tests handle them.

use serde_json::{Value, json};

use super::{
    Answer, Shop,
    documents::{Exception, Payment, Refund},
    eventually, unique,
};

impl Shop {
    /// Pays by the sandbox, exactly what is due.
    pub async fn pay(&self, id: &str) {
        self.pay_with(id, json!({})).await;
    }

    /// Sends a payment event by the sandbox; our webhook must take it.
    pub async fn pay_with(&self, id: &str, event: Value) {
        let sent = self.api.post(&format!("/v1/sandbox/orders/{id}/pay"), &event).await.is(200);
        assert_eq!(sent["webhook_status"], 200, "{sent}");
    }

    pub async fn payments(&self, id: &str) -> Vec<Payment> {
        self.api.list(&format!("/v1/orders/{id}/payments")).await.data
    }

    /// The provider's id of the order's first payment.
    pub async fn provider_payment(&self, order: &str) -> String {
        self.payments(order).await.remove(0).provider_payment_id
    }

    /// Asks for an attempt to pay.
    pub async fn ask_attempt(&self, order: &str, key: &str) -> Answer<Payment> {
        self.api.post_as(key, &format!("/v1/orders/{order}/payments"), &json!({})).await.of()
    }

    /// An open attempt to pay.
    pub async fn attempt(&self, order: &str) -> Payment {
        let attempt = self.ask_attempt(order, &unique()).await.is(201);
        assert_eq!(attempt.state, "open", "{attempt:?}");
        attempt
    }

    pub async fn refresh(&self, order: &str, payment: &str) -> Answer<Payment> {
        self.api.post(&format!("/v1/orders/{order}/payments/{payment}/refresh"), &json!({})).await.of()
    }

    /// The states of the attempts as we have them.
    pub async fn attempt_states(&self, order: &str) -> Vec<String> {
        self.payments(order).await.into_iter().map(|payment| payment.state).collect()
    }

    pub async fn ask_refund(&self, order: &str, body: &Value) -> Answer<Refund> {
        self.api.post(&format!("/v1/orders/{order}/refunds"), body).await.of()
    }

    /// Asks for money back; gives the refund.
    pub async fn refund(&self, order: &str, body: Value) -> Refund {
        self.ask_refund(order, &body).await.is(201)
    }

    pub async fn refunds(&self, order: &str) -> Vec<Refund> {
        self.api.list(&format!("/v1/orders/{order}/refunds")).await.data
    }

    /// Waits until an order's refunds are in these states.
    pub async fn until_refunds(&self, order: &str, states: &[&str]) -> Vec<Refund> {
        eventually(&format!("the refunds of {order} are {states:?}"), async || {
            let refunds = self.refunds(order).await;
            refunds.iter().map(|refund| refund.state.as_str()).eq(states.iter().copied()).then_some(refunds)
        })
        .await
    }

    /// What can go back now, as the refusal of too much says, and the payments do, too.
    pub async fn refundable(&self, order: &str) -> i64 {
        let too_much = json!({"amount": 9_007_199_254_740_991_i64, "reason": "test"});
        let refused = self.ask_refund(order, &too_much).await.problem(409, "refund_exceeds_captured");
        let of_payments: i64 = self.payments(order).await.iter().map(|payment| payment.refundable).sum();
        assert_eq!(refused.refundable, Some(of_payments), "{order}");
        of_payments
    }

    /// Somebody sends money of the order's first payment back in the provider's dashboard.
    pub async fn refund_in_dashboard(&self, order: &str, amount: i64) {
        self.provider.refund(&self.provider_payment(order).await, amount).await;
    }

    /// A page of exceptions.
    pub async fn list_exceptions(&self, query: &str) -> Vec<Exception> {
        self.api.list(&format!("/v1/exceptions?{query}")).await.data
    }

    /// Kind and amount of an order's open exceptions.
    pub async fn open_of(&self, order: &str) -> Vec<(String, i64)> {
        let list = self.list_exceptions(&format!("state=open&order={order}")).await;
        list.into_iter().map(|exception| (exception.kind, exception.amount)).collect()
    }

    /// Waits for an open exception of this kind about an order (or anything).
    pub async fn until_exception(&self, order: &str, kind: &str) -> Exception {
        let query = if order.is_empty() { String::new() } else { format!("&order={order}") };
        eventually(&format!("an exception {kind} of {order}"), async || {
            let open = self.list_exceptions(&format!("state=open{query}")).await;
            open.into_iter().find(|exception| exception.kind == kind)
        })
        .await
    }

    pub async fn resolve(&self, exception: &Exception, action: &str) -> Answer<Exception> {
        let decision = json!({"action": action, "note": "looked at it"});
        self.api.post(&format!("/v1/exceptions/{}/resolve", exception.id), &decision).await.of()
    }
}
