//! Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`, compared in constant time.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::Sha256;

pub const ID: &str = "webhook-id";
pub const TIMESTAMP: &str = "webhook-timestamp";
pub const SIGNATURE: &str = "webhook-signature";

/// How far the sender's clock may be from ours.
const TOLERANCE_S: u64 = 300;
const MAX_ID_BYTES: usize = 255;
/// What is shorter is found by trying.
const MIN_SECRET_BYTES: usize = 16;

/// A signing secret, written `whsec_` and base64. Not shown by `Debug`.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn parse(text: &str) -> Result<Self, String> {
        let base64 = text.strip_prefix("whsec_").unwrap_or(text);
        let key =
            BASE64_STANDARD.decode(base64).map_err(|error| format!("must be whsec_ and base64: {error}"))?;
        match key.len() < MIN_SECRET_BYTES {
            true => Err(format!("must be at least {MIN_SECRET_BYTES} bytes in base64, and is {}", key.len())),
            false => Ok(Self(key)),
        }
    }

    /// As it is written, out of bytes that must come from the operating system.
    pub fn write(random: [u8; 24]) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(random))
    }

    fn mac(&self, id: &str, timestamp_s: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        mac
    }

    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let tag = self.mac(id, timestamp_s, body).finalize().into_bytes();
        format!("v1,{}", BASE64_STANDARD.encode(tag))
    }

    /// The id of a genuine event. Several signatures may be sent while a secret is rotated.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now_s: i64) -> Result<String, &'static str> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let id =
            header(ID).filter(|id| (1..=MAX_ID_BYTES).contains(&id.len())).ok_or("webhook-id is missing")?;
        let sent_s: i64 =
            header(TIMESTAMP).and_then(|text| text.parse().ok()).ok_or("webhook-timestamp is missing")?;
        let signatures = header(SIGNATURE).ok_or("webhook-signature is missing")?;
        if now_s.abs_diff(sent_s) > TOLERANCE_S {
            return Err("webhook-timestamp is too far from now");
        }
        let genuine = |signature: &str| {
            let tag = signature.strip_prefix("v1,").and_then(|base64| BASE64_STANDARD.decode(base64).ok());
            tag.is_some_and(|tag| self.mac(id, sent_s, body).verify_slice(&tag).is_ok())
        };
        match signatures.split(' ').any(genuine) {
            true => Ok(id.to_owned()),
            false => Err("the signature does not fit the body"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn signs_as_the_reference_libraries_do() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("valid");
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn one_byte_changed_or_an_old_timestamp_is_refused() {
        let secret = Secret::parse("whsec_c2VjcmV0LW9mLTIxLWJ5dGVzLWE=").expect("valid");
        assert!(Secret::parse("whsec_c2VjcmV0").is_err(), "too easily guessed");
        let headers = |timestamp: &str| {
            let signature = format!("v1,AAAA {}", secret.sign("evt_1", 1000, b"{}"));
            let pairs = [(ID, "evt_1"), (TIMESTAMP, timestamp), (SIGNATURE, &signature)];
            pairs.into_iter().map(|(k, v)| (k.parse().expect("name"), v.parse().expect("value"))).collect()
        };
        let good: HeaderMap = headers("1000");
        assert_eq!(secret.verify(&good, b"{}", 1300), Ok("evt_1".to_owned()));
        assert!(secret.verify(&good, b"{ }", 1000).is_err());
        assert!(secret.verify(&good, b"{}", 1301).is_err());
        assert!(secret.verify(&headers("-9223372036854775808"), b"{}", 1000).is_err());
        assert!(secret.verify(&HeaderMap::new(), b"{}", 1000).is_err());
    }
}
