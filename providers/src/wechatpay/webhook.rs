//! Webhooks: signed over the raw body, their facts encrypted with the APIv3 key.

use domain::{
    Timestamp,
    payment::{Outcome, PaymentReport, RefundReport},
    provider_event::{Notice, ProviderEvent, event_id},
};
use http::HeaderMap;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    NAME, WechatPay,
    types::{RefundAnswer, Transaction},
};
use crate::{AttemptState, WebhookError};

const ALGORITHM: &str = "AEAD_AES_256_GCM";

#[derive(Deserialize)]
struct Notification {
    id: String,
    /// When it came about.
    create_time: Option<String>,
    event_type: String,
    resource: Resource,
}

#[derive(Deserialize)]
struct Resource {
    algorithm: String,
    ciphertext: String,
    nonce: String,
    #[serde(default)]
    associated_data: String,
}

impl WechatPay {
    pub(super) fn read_webhook(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<ProviderEvent, WebhookError> {
        self.client.verify(headers, body, now).map_err(WebhookError::NotGenuine)?;
        let Notification { id, create_time, event_type: kind, resource } =
            serde_json::from_slice(body).map_err(|_| malformed("the notification is not as documented"))?;
        let event_id = event_id(&id).map_err(|_| malformed("the notification has no usable id"))?;
        // All that moves money: `TRANSACTION.SUCCESS`, `REFUND.SUCCESS`, `REFUND.ABNORMAL` and
        // `REFUND.CLOSED`. A complaint moves none; the merchant settles it by a refund.
        let notice = match kind.split_once('.') {
            Some(("TRANSACTION", _)) => self.payment(event_id.clone(), self.open(&resource)?)?,
            Some(("REFUND", _)) => Some(self.refund_notice(event_id.clone(), self.open(&resource)?)?),
            _ => None,
        };
        let told_at = create_time.and_then(|at| at.parse().ok());
        let (provider, body) = (NAME.to_owned(), body.to_vec());
        Ok(ProviderEvent { provider, event_id, kind, body, told_at, notice }.checked()?)
    }

    fn open<T: DeserializeOwned>(&self, resource: &Resource) -> Result<T, WebhookError> {
        let Resource { algorithm, ciphertext, nonce, associated_data } = resource;
        if algorithm != ALGORITHM {
            return Err(malformed("the resource is encrypted in an unknown way"));
        }
        let text = self
            .resource_key
            .open(nonce, associated_data, ciphertext)
            .ok_or_else(|| malformed("the resource does not open with the APIv3 key"))?;
        serde_json::from_slice(&text).map_err(|_| malformed("the resource is not as documented"))
    }

    fn payment(&self, event_id: String, transaction: Transaction) -> Result<Option<Notice>, WebhookError> {
        self.for_us(&transaction.mchid)?;
        let order = transaction.order();
        let attempt = transaction.attempt().ok_or_else(|| malformed("the payment is not understood"))?;
        let outcome = match (attempt.state, attempt.state_text.as_str()) {
            (AttemptState::Succeeded, _) => Outcome::Succeeded,
            (AttemptState::Open, "PAYERROR") => Outcome::Failed,
            (AttemptState::Open, _) => return Ok(None),
            (AttemptState::Failed | AttemptState::Cancelled, _) => Outcome::Failed,
        };
        let (provider, payment_id) = (NAME.to_owned(), attempt.provider_payment_id);
        let report = PaymentReport { provider, event_id, payment_id, outcome, money: attempt.money };
        Ok(Some(Notice::Payment { order, report }))
    }

    /// A refund does not say the order.
    fn refund_notice(&self, event_id: String, answer: RefundAnswer) -> Result<Notice, WebhookError> {
        self.for_us(answer.mchid.as_deref().unwrap_or_default())?;
        let report = answer.report().ok_or_else(|| malformed("the refund is not understood"))?;
        Ok(Notice::Refund { order: None, report: RefundReport { event_id, ..report } })
    }

    fn for_us(&self, merchant_id: &str) -> Result<(), WebhookError> {
        match merchant_id == self.client.merchant().id {
            true => Ok(()),
            false => Err(malformed("the notification is about another merchant")),
        }
    }
}

/// Never with a parser's words: they quote what they could not read, and that may be the payer's.
fn malformed(why: &str) -> WebhookError {
    WebhookError::Malformed(why.to_owned())
}
