//! Signatures by `WECHATPAY2-SHA256-RSA2048`: what is signed, and in which headers it stands.

use domain::Timestamp;
use http::HeaderMap;
use ring::error::Unspecified;

use super::keys::{MerchantKey, PlatformKeys};

const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";
pub const SERIAL: &str = "wechatpay-serial";
const TIMESTAMP: &str = "wechatpay-timestamp";
const NONCE: &str = "wechatpay-nonce";
const SIGNATURE: &str = "wechatpay-signature";

/// How far WeChat Pay's clock may be from ours.
const TOLERANCE_S: u64 = 300;

/// Who signs requests.
pub struct Merchant {
    pub id: String,
    pub serial: String,
    pub key: MerchantKey,
}

impl Merchant {
    /// The `Authorization` of a request. `target` is the path with its query, as it is sent.
    pub fn authorization(
        &self,
        method: &str,
        target: &str,
        now: Timestamp,
        body: &str,
    ) -> Result<String, Unspecified> {
        let (timestamp_s, nonce) = (now.as_second(), self.key.nonce()?);
        let message = format!("{method}\n{target}\n{timestamp_s}\n{nonce}\n{body}\n");
        let signature = self.key.sign(message.as_bytes())?;
        let Self { id, serial, .. } = self;
        Ok(format!(
            "{SCHEME} mchid=\"{id}\",nonce_str=\"{nonce}\",timestamp=\"{timestamp_s}\",\
             serial_no=\"{serial}\",signature=\"{signature}\""
        ))
    }
}

/// Did WeChat Pay say this, and lately? For answers and webhooks alike. WeChat Pay sends some with a false
/// signature (`WECHATPAY/SIGNTEST/...`) to see whether anyone looks: they are not genuine.
pub fn verify(keys: &PlatformKeys, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), String> {
    let timestamp = header(headers, TIMESTAMP)?;
    let nonce = header(headers, NONCE)?;
    let serial = header(headers, SERIAL)?;
    let signature = header(headers, SIGNATURE)?;
    let sent_s: i64 = timestamp.parse().map_err(|_| format!("{TIMESTAMP} is no number"))?;
    if now.as_second().abs_diff(sent_s) > TOLERANCE_S {
        return Err(format!("{TIMESTAMP} is too far from now"));
    }
    let message = [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", body, b"\n"].concat();
    keys.verify(serial, &message, signature).map_err(str::to_owned)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, String> {
    headers.get(name).and_then(|value| value.to_str().ok()).ok_or_else(|| format!("{name} is missing"))
}
