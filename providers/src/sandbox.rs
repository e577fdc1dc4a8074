//! `sandbox`: the built-in provider of play money, for development and tests. It runs as a service of its
//! own (crate `sandbox`) and is asked over HTTP, as any other.

mod client;
mod documents;
mod event;

use async_trait::async_trait;
use domain::{
    OrderId, Timestamp,
    collect::Collects,
    money::{Currency, Money},
    payment::RefundReport,
    provider_event::ProviderEvent,
    statement::{Statement, StatementLine},
};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    Attempt, AttemptRef, Envelope, Error, NewAttempt, NewRefund, Opened, PayBy, Provider, RefundRef,
    WebhookError, standard_webhooks::Secret,
};
use client::Client;
use documents::{Page, Paid, PaymentDocument, RefundDocument};

pub use documents::Outcome;

pub const NAME: &str = "sandbox";
/// The most that the sandbox takes at once.
const MAX_AMOUNT: i64 = 100_000_000_000_000_000;
/// Of a statement, of 1,000 movements each.
const MAX_PAGES: usize = 1000;

/// The client of a running sandbox.
pub struct Sandbox {
    client: Client,
    secret: Secret,
}

/// A payment without an attempt, made by the sandbox itself.
#[derive(Debug, Clone)]
pub struct Pay {
    pub order: OrderId,
    pub money: Money,
    /// Default: a new one. One event is one payment: the same again is the same event again.
    pub event_id: Option<String>,
    pub outcome: Outcome,
    /// When the sandbox's books say it was; default: now.
    pub at: Option<Timestamp>,
}

/// What the sandbox did for [`Pay`]. For an event sent again, this is what it told at first.
#[derive(Debug, Clone, PartialEq)]
pub struct PaidDirectly {
    /// As the sandbox heard it at first.
    pub order_id: String,
    pub event_id: String,
    pub provider_payment_id: String,
    pub money: Money,
    pub outcome: Outcome,
    /// What our webhook endpoint answered; none if a fault keeps the webhook back.
    pub webhook_status: Option<u16>,
}

impl Sandbox {
    /// `base_url`: such as `http://127.0.0.1:9000`. `secret`: `whsec_` and base64; it signs the webhooks.
    ///
    /// # Errors
    /// What is wrong with either of them.
    pub fn new(base_url: &str, secret: &str) -> Result<Self, String> {
        let secret = Secret::parse(secret).map_err(|why| format!("the sandbox's webhook secret {why}"))?;
        Ok(Self { client: Client::new(base_url)?, secret })
    }

    /// With the key that the sandbox wants of payers, if it wants one.
    pub fn with_key(self, key: Option<String>) -> Self {
        Self { client: self.client.with_key(key), ..self }
    }

    /// Pays an attempt that is open, as its payer. The webhook is on its way when this answers.
    ///
    /// # Errors
    /// [`Error::Refused`] also if it was paid before.
    pub async fn capture(&self, provider_payment_id: &str) -> Result<(), Error> {
        let path = ["payer", "payments", provider_payment_id, "capture"];
        self.client.post::<PaymentDocument>(&path, &json!({})).await.map(drop)
    }

    /// Pays an order without an attempt: a signed webhook is sent once before this answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] also if the webhook had no answer at all.
    pub async fn pay(&self, pay: &Pay) -> Result<PaidDirectly, Error> {
        let body = json!({
            "order_id": pay.order, "amount": pay.money.amount, "currency": pay.money.currency,
            "event_id": pay.event_id, "outcome": pay.outcome, "at": pay.at,
        });
        self.client.post::<Paid>(&["payer", "pay"], &body).await.map(PaidDirectly::from)
    }
}

#[async_trait]
impl Provider for Sandbox {
    fn name(&self) -> &'static str {
        NAME
    }

    fn collects(&self, _: Currency) -> Collects {
        Collects::Amounts { min: 1, max: MAX_AMOUNT, step: 1 }
    }

    async fn create(&self, new: &NewAttempt) -> Result<Opened, Error> {
        let body = json!({
            "key": new.payment, "order_id": new.order, "amount": new.money.amount,
            "currency": new.money.currency, "expires_at": new.expires_at, "description": new.description,
        });
        let payment: PaymentDocument = self.client.post(&["v1", "payments"], &body).await?;
        let client = json!({"payment_id": payment.id, "pay_url": payment.pay_url});
        Ok(Opened { attempt: payment.into(), client })
    }

    fn is_paid_in_browser(&self) -> bool {
        true
    }

    fn pay_by(&self, client: &Value) -> Option<PayBy> {
        client["pay_url"].is_string().then_some(PayBy::Play)
    }

    async fn look_up(&self, attempt: &AttemptRef) -> Result<Attempt, Error> {
        let path = ["v1", "payments", &attempt.provider_payment_id];
        Ok(self.client.get::<PaymentDocument>(&path, &[]).await?.into())
    }

    async fn cancel(&self, attempt: &AttemptRef) -> Result<Attempt, Error> {
        let path = ["v1", "payments", &attempt.provider_payment_id, "cancel"];
        match self.client.post::<PaymentDocument>(&path, &json!({})).await {
            // The money was faster: that is an answer, too.
            Err(Error::Refused { code, .. }) if code == "already_captured" => self.look_up(attempt).await,
            answer => Ok(answer?.into()),
        }
    }

    async fn refund(&self, new: &NewRefund) -> Result<RefundReport, Error> {
        let body = json!({
            "key": new.refund, "payment_id": new.attempt.provider_payment_id, "amount": new.money.amount,
            "currency": new.money.currency, "reason": new.reason,
        });
        Ok(self.client.post::<RefundDocument>(&["v1", "refunds"], &body).await?.into())
    }

    async fn look_up_refund(&self, refund: &RefundRef) -> Result<RefundReport, Error> {
        let path = ["v1", "refunds", &refund.provider_refund_id];
        Ok(self.client.get::<RefundDocument>(&path, &[]).await?.into())
    }

    fn webhook(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<ProviderEvent, WebhookError> {
        let verified = self.secret.verify(headers, body, now.as_second());
        let id = verified.map_err(|why| WebhookError::NotGenuine(why.to_owned()))?;
        event::parse(id, body)
    }

    fn envelope(&self, headers: &HeaderMap, body: &[u8]) -> Envelope {
        event::envelope(headers, body)
    }

    async fn statement(&self, from: Timestamp, until: Timestamp) -> Result<Statement, Error> {
        let range = [("from", from.to_string()), ("until", until.to_string()), ("limit", "1000".to_owned())];
        let mut query = range.to_vec();
        let mut movements = Vec::new();
        for _ in 0..MAX_PAGES {
            let page: Page = self.client.get(&["v1", "movements"], &query).await?;
            movements.extend(page.data.into_iter().map(StatementLine::from));
            let Some(next) = page.next else {
                return Ok(Statement { lines: movements, unreadable: Vec::new() });
            };
            query.truncate(range.len());
            query.push(("after", next));
        }
        Err(Error::Unavailable(format!("the statement has more than {MAX_PAGES} pages")))
    }
}
