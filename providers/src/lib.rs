//! Payment providers: the edge of the world where money moves. One trait, one module for each provider.
//!
//! A provider is a peer over HTTP. It may not answer, answer twice, or tell us by webhook before it
//! answers; nothing here decides about orders. Calls that move money are safe to repeat: each carries an
//! id of ours by which the provider knows a repeat.

mod client;
mod registry;
pub mod sandbox;
pub mod stripe;
pub mod wechatpay;

pub use registry::Providers;
pub use web::{http_client, standard_webhooks};

use async_trait::async_trait;
use domain::{
    Invalid, OrderId, PaymentId, RefundId, Timestamp,
    collect::Collects,
    money::{Currency, Money},
    payment::RefundReport,
    provider_event::ProviderEvent,
    statement::Statement,
};
use http::HeaderMap;
use serde_json::Value;

#[async_trait]
pub trait Provider: Send + Sync {
    /// As in `payment_method`, and in the path of its webhooks.
    fn name(&self) -> &'static str;

    /// What it can collect in a currency. An order of another total is not placed.
    fn collects(&self, currency: Currency) -> Collects;

    /// Whether a browser can pay there without a program of the provider's own.
    fn is_paid_in_browser(&self) -> bool {
        false
    }

    /// How an attempt that is open is paid in a browser, by what its client needs.
    fn pay_by(&self, _client: &Value) -> Option<PayBy> {
        None
    }

    /// Opens an attempt to collect money. Repeated for the same `payment`, it gives the same attempt.
    async fn create(&self, new: &NewAttempt) -> Result<Opened, Error>;

    /// The truth about an attempt. [`Error::NotFound`] if the provider never heard of it.
    async fn look_up(&self, attempt: &AttemptRef) -> Result<Attempt, Error>;

    /// Makes sure that nobody can pay the attempt any more, and gives what became of it:
    /// [`AttemptState::Succeeded`] if the money was faster. An error means: not certain, ask again.
    async fn cancel(&self, attempt: &AttemptRef) -> Result<Attempt, Error>;

    /// Gives money back. Repeated for the same `refund`, money goes back once.
    async fn refund(&self, new: &NewRefund) -> Result<RefundReport, Error>;

    /// The truth about a refund.
    async fn look_up_refund(&self, refund: &RefundRef) -> Result<RefundReport, Error>;

    /// Verifies a webhook over its raw body, and reads it. `now` is compared with the time it was signed.
    fn webhook(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<ProviderEvent, WebhookError>;

    /// What can be said of a genuine webhook, whether or not [`Self::webhook`] can read all of it.
    fn envelope(&self, headers: &HeaderMap, body: &[u8]) -> Envelope;

    /// Every capture, refund and dispute that the provider's statement date at or after `from` and before
    /// `until`, oldest first. What a provider books later (by days, with some) is found by asking again.
    async fn statement(&self, from: Timestamp, until: Timestamp) -> Result<Statement, Error>;
}

/// How somebody without a program of the provider's pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayBy {
    /// With the provider's own app, which scans this text as a code.
    Code(String),
    /// With play money, by a button of ours.
    Play,
}

/// What to collect.
#[derive(Debug, Clone)]
pub struct NewAttempt {
    pub order: OrderId,
    /// Our id of the attempt, and its idempotency key at the provider.
    pub payment: PaymentId,
    pub money: Money,
    /// After this the provider is to take no money any more, as far as it can do that.
    pub expires_at: Timestamp,
    /// One line for the payer. No personal data.
    pub description: String,
    /// The provider's own id of the payer, where it wants one (an `openid`).
    pub payer: Option<String>,
}

/// An attempt that was opened at a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    pub attempt: Attempt,
    /// What the client needs to pay, as the provider's own libraries want it: a client secret, a QR code's
    /// text... Shown to the client as it is; never logged.
    pub client: Value,
}

/// An attempt of ours, by both its ids.
#[derive(Debug, Clone)]
pub struct AttemptRef {
    pub payment: PaymentId,
    pub provider_payment_id: String,
}

/// An attempt as the provider sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub provider_payment_id: String,
    pub state: AttemptState,
    /// The provider's own word for the state, such as `requires_action` or `USERPAYING`.
    pub state_text: String,
    /// What was captured, or is to be. Zero if nothing is captured and the provider does not say what is to
    /// be.
    pub money: Money,
    pub captured_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptState {
    /// The payer may still pay, also after a failed try.
    Open,
    /// The money was captured, whether or not some of it was refunded since.
    Succeeded,
    /// It will never be captured.
    Failed,
    /// Closed before anyone paid.
    Cancelled,
}

/// What to give back.
#[derive(Debug, Clone)]
pub struct NewRefund {
    pub order: OrderId,
    /// Our id of the refund, and its idempotency key at the provider.
    pub refund: RefundId,
    pub attempt: AttemptRef,
    pub money: Money,
    /// What the attempt had captured in all: some providers want to hear it.
    pub captured: Money,
    /// One line. No personal data.
    pub reason: String,
}

/// A refund by both its ids. Refunds made in a provider's dashboard have no id of ours.
#[derive(Debug, Clone)]
pub struct RefundRef {
    pub refund: Option<RefundId>,
    pub provider_refund_id: String,
}

/// What stands on an event, as far as it can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    pub id: Option<String>,
    pub kind: Option<String>,
    pub order: Option<OrderId>,
    /// The provider's id of the payment that it is about.
    pub payment: Option<String>,
}

impl Envelope {
    /// Of a body in JSON; where in it the rest stands differs.
    pub fn read(body: &[u8], kind: &str, rest: impl FnOnce(&Value, &mut Self)) -> Self {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return Self::default() };
        let text = |field: &str| body[field].as_str().map(str::to_owned);
        let mut envelope = Self { id: text("id"), kind: text(kind), ..Self::default() };
        rest(&body, &mut envelope);
        envelope
    }
}

/// Why a provider did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer, or none that tells: it may have been done. Ask again.
    #[error("the provider does not answer: {0}")]
    Unavailable(String),
    /// The provider said no, and will say so again.
    #[error("the provider refused ({code}): {detail}")]
    Refused { code: String, detail: String },
    #[error("the provider does not know it")]
    NotFound,
}

/// The refusal of an attempt that the provider could not collect.
fn not_possible(why: String) -> Error {
    Error::Refused { code: "amount_not_possible".to_owned(), detail: why }
}

/// Why a webhook is not taken.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Not signed by the provider, or too long ago.
    #[error("{0}")]
    NotGenuine(String),
    /// Genuine, but not to be understood.
    #[error("{0}")]
    Malformed(String),
}

impl From<Invalid> for WebhookError {
    fn from(invalid: Invalid) -> Self {
        Self::Malformed(invalid.to_string())
    }
}
