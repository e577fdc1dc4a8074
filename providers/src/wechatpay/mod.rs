//! WeChat Pay, API v3, for a merchant of its own (not a service provider's sub-merchant). CNY only.
//!
//! **Ids.** An attempt is known by its `out_trade_no`: the 32 hex digits of our [`domain::PaymentId`]. That
//! is also its `provider_payment_id`, since WeChat Pay's own `transaction_id` exists only once it is paid.
//! A refund is known by its `out_refund_no`, the 32 hex digits of our [`domain::RefundId`]: the only id by
//! which the API finds a refund, also one that was made in the merchant's dashboard.
//!
//! **States of an attempt.** `state_text` is WeChat Pay's word.
//!
//! | `trade_state` | [`AttemptState`](crate::AttemptState) | |
//! |---|---|---|
//! | `SUCCESS` | `Succeeded` | |
//! | `REFUND` | `Succeeded` | captured, and some of it given back since |
//! | `NOTPAY` | `Open` | also after a try that failed |
//! | `USERPAYING` | `Open` | the payer types a password. Documented for payment codes only |
//! | `PAYERROR` | `Open`; `Failed` once we closed it | documented for payment codes only |
//! | `CLOSED` | `Cancelled` | by us, or by its `time_expire` |
//! | `REVOKED` | `Failed` | taken back by a cashier. Documented for payment codes only |
//!
//! **States of a refund.** `PROCESSING` is `Pending`, `SUCCESS` is `Succeeded`, `CLOSED` is `Failed`.
//! `ABNORMAL` is `Failed` too: the payer's card did not take it, and a person settles it in the dashboard.
//!
//! A word that is not in these lists is no answer: [`Error::Unavailable`].

mod bill;
mod client;
mod config;
mod keys;
mod payments;
mod refunds;
mod signing;
mod types;
mod webhook;

use async_trait::async_trait;
use domain::{
    Timestamp, collect::Collects, money::Currency, payment::RefundReport, provider_event::ProviderEvent,
    statement::Statement,
};
use http::HeaderMap;
use serde_json::Value;

pub use config::{Config, ConfigError, Method};

use crate::{
    Attempt, AttemptRef, Envelope, Error, NewAttempt, NewRefund, Opened, PayBy, Provider, RefundRef,
    WebhookError, not_possible,
};
use client::Client;
use keys::ResourceKey;

/// As in `payment_method`.
pub const NAME: &str = "wechatpay";

/// The only currency that a domestic merchant takes.
const CURRENCY: &str = "CNY";
/// Its own libraries count fen in 32 bits.
const MAX_FEN: i64 = i32::MAX as i64;

pub struct WechatPay {
    app_id: String,
    notify_url: String,
    method: Method,
    client: Client,
    resource_key: ResourceKey,
}

impl WechatPay {
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Ok(Self {
            client: Client::new(&config)?,
            resource_key: ResourceKey::parse(&config.api_v3_key)?,
            app_id: config.app_id,
            notify_url: config.notify_url,
            method: config.method,
        })
    }
}

impl std::fmt::Debug for WechatPay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WechatPay").field("app_id", &self.app_id).finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for WechatPay {
    fn name(&self) -> &'static str {
        NAME
    }

    fn collects(&self, currency: Currency) -> Collects {
        match currency.code() {
            CURRENCY => Collects::Amounts { min: 1, max: MAX_FEN, step: 1 },
            _ => Collects::Nothing,
        }
    }

    fn is_paid_in_browser(&self) -> bool {
        self.method == Method::Native
    }

    fn pay_by(&self, client: &Value) -> Option<PayBy> {
        client["code_url"].as_str().map(|code| PayBy::Code(code.to_owned()))
    }

    async fn create(&self, new: &NewAttempt) -> Result<Opened, Error> {
        self.collects(new.money.currency).check(new.money).map_err(not_possible)?;
        self.open_attempt(new).await
    }

    async fn look_up(&self, attempt: &AttemptRef) -> Result<Attempt, Error> {
        self.find_attempt(&attempt.provider_payment_id).await
    }

    async fn cancel(&self, attempt: &AttemptRef) -> Result<Attempt, Error> {
        self.close_attempt(&attempt.provider_payment_id).await
    }

    async fn refund(&self, new: &NewRefund) -> Result<RefundReport, Error> {
        self.make_refund(new).await
    }

    async fn look_up_refund(&self, refund: &RefundRef) -> Result<RefundReport, Error> {
        self.find_refund(&refund.provider_refund_id).await
    }

    fn webhook(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<ProviderEvent, WebhookError> {
        self.read_webhook(headers, body, now)
    }

    /// What it is about is encrypted: who could read that would not ask here.
    fn envelope(&self, _: &HeaderMap, body: &[u8]) -> Envelope {
        Envelope::read(body, "event_type", |_, _| ())
    }

    async fn statement(&self, from: Timestamp, until: Timestamp) -> Result<Statement, Error> {
        self.read_bills(from, until).await
    }
}
