//! What a merchant copies from the WeChat Pay dashboard.

use std::{collections::BTreeMap, fmt};

/// WeChat Pay's own address.
const BASE_URL: &str = "https://api.mch.weixin.qq.com";

#[derive(Clone)]
pub struct Config {
    /// `appid`: the official account or mini program that is bound to the merchant.
    pub app_id: String,
    /// `mchid`.
    pub merchant_id: String,
    /// Serial number of the merchant's API certificate, in hex.
    pub merchant_serial: String,
    /// The merchant's private key, `apiclient_key.pem` (PEM, PKCS#8). Secret.
    pub merchant_key: String,
    /// The APIv3 key: 32 bytes, set in the dashboard. Secret.
    pub api_v3_key: String,
    /// By what `Wechatpay-Serial` says: the serial number of a platform certificate, or the id of a WeChat
    /// Pay public key (`PUB_KEY_ID_...`). To each its PEM. Several, while keys are rotated.
    pub platform_keys: BTreeMap<String, String>,
    /// Where WeChat Pay sends webhooks: https, without a query.
    pub notify_url: String,
    /// Normally [`Config::default_base_url`].
    pub base_url: String,
    pub method: Method,
}

/// How the payer gets to the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A QR code. The client gets `{code_url}`.
    Native,
    /// Inside WeChat, for a payer whose `openid` is known. The client gets what `requestPayment` and
    /// `getBrandWCPayRequest` want: `{appId, timeStamp, nonceStr, package, signType, paySign}`.
    Jsapi,
}

impl Config {
    pub fn default_base_url() -> String {
        BASE_URL.to_owned()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("app_id", &self.app_id)
            .field("merchant_id", &self.merchant_id)
            .field("merchant_serial", &self.merchant_serial)
            .field("platform_keys", &self.platform_keys.keys())
            .field("notify_url", &self.notify_url)
            .field("base_url", &self.base_url)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a [`Config`]. Never says a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("WeChat Pay: {0}")]
pub struct ConfigError(pub(super) String);
