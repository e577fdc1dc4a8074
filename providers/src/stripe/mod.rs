//! Stripe: PaymentIntents and Refunds over its REST API.
//!
//! A PaymentIntent has no expiry of its own: it can be paid until it is cancelled. So `expires_at` is not
//! sent, and whoever opened an attempt cancels it when its order's time is over.
//!
//! Stripe remembers an idempotency key for 24 hours at least, then forgets it. A refund that is repeated
//! later is found by our id in its metadata. An attempt that is opened again later is a second
//! PaymentIntent; nobody was ever given the client secret of the first.

mod amount;
mod client;
mod signature;
mod statement;
mod types;
mod webhook;

use std::fmt;

use async_trait::async_trait;
use domain::{
    Timestamp, collect::Collects, money::Currency, payment::RefundReport, provider_event::ProviderEvent,
    statement::Statement,
};
use http::HeaderMap;
use serde_json::json;
use uuid::Uuid;

use self::client::Client;
use self::types::{List, PaymentIntent, Refund, metadata};
use crate::{
    Attempt, AttemptRef, AttemptState, Envelope, Error, NewAttempt, NewRefund, Opened, Provider, RefundRef,
    WebhookError, not_possible,
};

/// Where Stripe itself answers.
pub const BASE_URL: &str = "https://api.stripe.com";

const NAME: &str = "stripe";
const PAYMENT_INTENTS: [&str; 2] = ["v1", "payment_intents"];
const REFUNDS: [&str; 2] = ["v1", "refunds"];
/// As many pages of 100 refunds of one payment are looked through.
const MAX_REFUND_PAGES: usize = 10;

/// How to reach Stripe. `Debug` shows no secret.
#[derive(Clone)]
pub struct Config {
    /// `sk_...`, or a restricted key `rk_...` that may write PaymentIntents and Refunds and read the balance.
    pub api_key: String,
    /// `whsec_...` of the webhook endpoint; several while one is replaced by the next.
    pub webhook_secrets: Vec<String>,
    /// [`BASE_URL`], or a simulator's.
    pub base_url: String,
    /// `pk_...`, handed to clients with each client secret.
    pub publishable_key: Option<String>,
}

impl Config {
    pub fn new(api_key: impl Into<String>, webhook_secrets: Vec<String>) -> Self {
        let base_url = BASE_URL.to_owned();
        Self { api_key: api_key.into(), webhook_secrets, base_url, publishable_key: None }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("webhook_secrets", &self.webhook_secrets.len())
            .field("base_url", &self.base_url)
            .field("publishable_key", &self.publishable_key)
            .finish_non_exhaustive()
    }
}

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
#[error("Stripe: {0}")]
pub struct ConfigError(&'static str);

pub struct Stripe {
    client: Client,
    webhook_secrets: Vec<String>,
    publishable_key: Option<String>,
}

impl Stripe {
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let Config { api_key, webhook_secrets, base_url, publishable_key } = config;
        // Anybody can sign with an empty secret.
        if webhook_secrets.is_empty() || webhook_secrets.iter().any(|secret| secret.trim().is_empty()) {
            return Err(ConfigError("at least one webhook secret is needed, and none may be empty"));
        }
        let client = Client::new(&base_url, &api_key)?;
        Ok(Self { client, webhook_secrets, publishable_key })
    }

    async fn intent(&self, id: &str) -> Result<PaymentIntent, Error> {
        let expand = [("expand[]", "latest_charge.balance_transaction".to_owned())];
        self.client.get(&["v1", "payment_intents", types::path_id(id)?], &expand).await
    }

    /// The refund that carries our id, if it was made before.
    async fn refund_made(&self, new: &NewRefund) -> Result<Option<Refund>, Error> {
        let ours = new.refund.to_string();
        let mut query = vec![
            ("payment_intent", new.attempt.provider_payment_id.clone()),
            ("limit", client::PAGE_ITEMS.to_string()),
        ];
        for _ in 0..MAX_REFUND_PAGES {
            let page: List<Refund> = self.client.get(&REFUNDS, &query).await?;
            let last = page.data.last().map(|refund| refund.id.clone());
            let found = page.data.into_iter().find(|it| it.metadata.get(metadata::REFUND) == Some(&ours));
            match (found, last) {
                (Some(refund), _) => return Ok(Some(refund)),
                (None, Some(last)) if page.has_more => {
                    query.retain(|(name, _)| *name != "starting_after");
                    query.push(("starting_after", last));
                }
                (None, _) => return Ok(None),
            }
        }
        Err(Error::Unavailable("the payment has too many refunds to look through".to_owned()))
    }
}

#[async_trait]
impl Provider for Stripe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn collects(&self, currency: Currency) -> Collects {
        amount::collects(currency)
    }

    async fn create(&self, new: &NewAttempt) -> Result<Opened, Error> {
        amount::collects(new.money.currency).check(new.money).map_err(not_possible)?;
        let (amount, currency) = amount::to_stripe(new.money)?;
        let mut form = vec![
            ("amount", amount.to_string()),
            ("currency", currency),
            ("metadata[order_id]", new.order.to_string()),
            ("metadata[payment_id]", new.payment.to_string()),
            ("description", new.description.clone()),
        ];
        let key = new.payment.to_string();
        let mut answer = self.client.post(&PAYMENT_INTENTS, &form, &key).await;
        if client::parameter_unknown(&answer) {
            // Simulators do not know them all; this one is for people's eyes only.
            form.retain(|(name, _)| *name != "description");
            answer = self.client.post(&PAYMENT_INTENTS, &form, &key).await;
        }
        let intent: PaymentIntent = answer?;
        let client_secret = intent
            .client_secret
            .as_deref()
            .ok_or_else(|| Error::Unavailable("a PaymentIntent without a client secret".to_owned()))?;
        let mut client = json!({ "client_secret": client_secret });
        if let Some(key) = &self.publishable_key {
            client["publishable_key"] = json!(key);
        }
        Ok(Opened { attempt: intent.attempt()?, client })
    }

    async fn look_up(&self, attempt: &AttemptRef) -> Result<Attempt, Error> {
        self.intent(&attempt.provider_payment_id).await?.attempt()
    }

    async fn cancel(&self, attempt: &AttemptRef) -> Result<Attempt, Error> {
        let id = types::path_id(&attempt.provider_payment_id)?;
        // A new key each time: Stripe would repeat a refusal for 24 hours, also when a payment that was
        // `processing` has failed since. What is cancelled cannot be cancelled twice.
        let key = format!("cancel-{}-{}", attempt.payment, Uuid::now_v7());
        let cancelled = self.client.post(&["v1", "payment_intents", id, "cancel"], &[], &key).await;
        let intent: PaymentIntent = match cancelled {
            Err(Error::Refused { .. }) => self.intent(id).await?,
            answer => answer?,
        };
        let attempt = intent.attempt()?;
        match attempt.state {
            AttemptState::Succeeded | AttemptState::Cancelled => Ok(attempt),
            AttemptState::Open | AttemptState::Failed => {
                Err(Error::Unavailable(format!("cannot be cancelled while it is {}", attempt.state_text)))
            }
        }
    }

    async fn refund(&self, new: &NewRefund) -> Result<RefundReport, Error> {
        // Stripe takes no currency here: an amount of another one would be read as the payment's.
        if new.money.currency != new.captured.currency {
            let detail = "a refund has the currency of its payment".to_owned();
            return Err(Error::Refused { code: "wrong_currency".to_owned(), detail });
        }
        let (amount, _) = amount::to_stripe(new.money)?;
        if let Some(made) = self.refund_made(new).await? {
            return made.report();
        }
        let form = [
            ("payment_intent", new.attempt.provider_payment_id.clone()),
            ("amount", amount.to_string()),
            ("metadata[order_id]", new.order.to_string()),
            ("metadata[payment_id]", new.attempt.payment.to_string()),
            ("metadata[refund_id]", new.refund.to_string()),
            // Stripe's own `reason` knows three words only.
            ("metadata[reason]", new.reason.clone()),
        ];
        let made: Refund = self.client.post(&REFUNDS, &form, &new.refund.to_string()).await?;
        made.report()
    }

    async fn look_up_refund(&self, refund: &RefundRef) -> Result<RefundReport, Error> {
        let id = types::path_id(&refund.provider_refund_id)?;
        self.client.get::<Refund>(&["v1", "refunds", id], &[]).await?.report()
    }

    fn webhook(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<ProviderEvent, WebhookError> {
        signature::verify(&self.webhook_secrets, headers, body, now.as_second())
            .map_err(|reason| WebhookError::NotGenuine(reason.to_owned()))?;
        webhook::read(body).map_err(WebhookError::Malformed)
    }

    fn envelope(&self, _: &HeaderMap, body: &[u8]) -> Envelope {
        webhook::envelope(body)
    }

    async fn statement(&self, from: Timestamp, until: Timestamp) -> Result<Statement, Error> {
        statement::read(&self.client, from, until).await
    }
}
