//! Encrypts every payload before it leaves for Temporal: AES-256-GCM, a fresh nonce each time. The
//! key is local and the work is done inline, so the polling loop never waits for a network.

use std::sync::Arc;

use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload as Sealed},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::future::{BoxFuture, ready};
use prost::Message as _;
use temporalio_common::{
    data_converters::{
        DataConverter, DefaultFailureConverter, PayloadCodec, PayloadConversionError, PayloadConverter,
        SerializationContextData,
    },
    protos::temporal::api::common::v1::Payload,
};

const ENCODING: &[u8] = b"binary/encrypted";
const CIPHER: &[u8] = b"AES-256-GCM";
const NONCE_BYTES: usize = 12;
/// How the SDK's answer about a workflow's current details begins. Like the summaries it holds no
/// personal data, and people are to read it in a Temporal UI that has no key.
const CURRENT_DETAILS: &[u8] = b"{\"currentDetails\":";

/// A 256-bit key. Not shown by `Debug`.
#[derive(Clone)]
pub struct PayloadKey([u8; 32]);

impl std::fmt::Debug for PayloadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PayloadKey(..)")
    }
}

impl PayloadKey {
    /// From 32 bytes in base64.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|error| error.to_string())?;
        let key = bytes.try_into().map_err(|_| "must be 32 bytes in base64".to_owned())?;
        Ok(Self(key))
    }

    /// A new key, in base64.
    pub fn generate() -> String {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the operating system has randomness once it runs programs");
        BASE64_STANDARD.encode(key)
    }

    pub(crate) fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new((&self.0).into())
    }

    pub(crate) fn data_converter(&self) -> DataConverter {
        let codec = Codec(Arc::new(self.cipher()));
        // `true`: messages of failures are encrypted, too.
        DataConverter::new(PayloadConverter::default(), DefaultFailureConverter::new(true), codec)
    }
}

struct Codec(Arc<Aes256Gcm>);

impl PayloadCodec for Codec {
    fn encode(
        &self,
        _: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        Box::pin(ready(payloads.iter().map(|payload| seal(&self.0, payload)).collect()))
    }

    fn decode(
        &self,
        _: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        Box::pin(ready(payloads.into_iter().map(|payload| open(&self.0, payload)).collect()))
    }
}

pub(crate) fn seal(cipher: &Aes256Gcm, payload: &Payload) -> Result<Payload, PayloadConversionError> {
    if payload.data.starts_with(CURRENT_DETAILS) {
        return Ok(payload.clone());
    }
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|error| failure(&error.to_string()))?;
    let plain = payload.encode_to_vec();
    let sealed = cipher
        .encrypt(&Nonce::from(nonce), Sealed { msg: &plain, aad: ENCODING })
        .map_err(|_| failure("a payload could not be encrypted"))?;
    let metadata = [("encoding", ENCODING), ("encryption-cipher", CIPHER)];
    Ok(Payload {
        metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_vec())).into(),
        data: [nonce.as_slice(), &sealed].concat(),
        ..Payload::default()
    })
}

/// What is not encrypted (typed in by hand, or from before there was a key) passes as it is.
pub(crate) fn open(cipher: &Aes256Gcm, payload: Payload) -> Result<Payload, PayloadConversionError> {
    if payload.metadata.get("encoding").map(Vec::as_slice) != Some(ENCODING) {
        return Ok(payload);
    }
    let (nonce, sealed) = payload
        .data
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or_else(|| failure("an encrypted payload is too short"))?;
    let plain = cipher
        .decrypt(&Nonce::from(*nonce), Sealed { msg: sealed, aad: ENCODING })
        .map_err(|_| failure("a payload was encrypted with another key than HOLDFAST_PAYLOAD_KEY"))?;
    Payload::decode(plain.as_slice()).map_err(|error| failure(&error.to_string()))
}

fn failure(what: &str) -> PayloadConversionError {
    PayloadConversionError::EncodingError(what.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_payloads_open_with_their_key_only() {
        let cipher = |byte| Aes256Gcm::new((&[byte; 32]).into());
        let plain = Payload { data: b"ann@example.org".to_vec(), ..Payload::default() };
        let sealed = seal(&cipher(1), &plain).expect("sealed");
        assert!(!String::from_utf8_lossy(&sealed.data).contains("ann"));
        assert_eq!(open(&cipher(1), sealed.clone()).expect("opened"), plain);
        assert!(open(&cipher(2), sealed).is_err());
        assert_eq!(open(&cipher(1), plain.clone()).expect("clear text passes"), plain);
    }
}
