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
use sha2::{Digest as _, Sha256};
use temporalio_common::{
    data_converters::{
        DataConverter, DefaultFailureConverter, PayloadCodec, PayloadConversionError, PayloadConverter,
        SerializationContextData,
    },
    protos::temporal::api::common::v1::Payload,
};

const ENCODING: &[u8] = b"binary/encrypted";
const CIPHER: &[u8] = b"AES-256-GCM";
/// Names the key of a payload.
const KEY_ID: &str = "encryption-key-id";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const NAME_BYTES: usize = 8;
/// How the SDK's answer about a workflow's current details begins. Like the summaries it holds no
/// personal data, and people are to read it in a Temporal UI that has no key.
const CURRENT_DETAILS: &[u8] = b"{\"currentDetails\":";

/// A 256-bit key, and the name by which payloads tell that it is theirs. Not shown by `Debug`.
#[derive(Clone)]
struct Key {
    /// Tells keys apart, and nothing of what they are.
    name: String,
    cipher: Aes256Gcm,
}

/// The first of these keys encrypts, and each of them decrypts: so one takes the place of another.
#[derive(Clone)]
pub struct PayloadKeys(Arc<[Key]>);

impl std::fmt::Debug for PayloadKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PayloadKeys(..)")
    }
}

impl PayloadKeys {
    /// From 32 bytes in base64 for each key, with commas between them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
        let keys = keys.map(Key::parse).collect::<Result<Vec<_>, _>>()?;
        match keys.is_empty() {
            true => Err("must be 32 bytes in base64".to_owned()),
            false => Ok(Self(keys.into())),
        }
    }

    /// A new key, in base64.
    pub fn generate() -> String {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).expect("the operating system has randomness once it runs programs");
        BASE64_STANDARD.encode(key)
    }

    pub(crate) fn data_converter(&self) -> DataConverter {
        let codec = Codec(self.clone());
        // `true`: messages of failures are encrypted, too.
        DataConverter::new(PayloadConverter::default(), DefaultFailureConverter::new(true), codec)
    }

    pub(crate) fn seal(&self, payload: &Payload) -> Result<Payload, PayloadConversionError> {
        if payload.data.starts_with(CURRENT_DETAILS) {
            return Ok(payload.clone());
        }
        let key = self.0.first().ok_or_else(|| failure("there is no key to encrypt with"))?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| failure(&error.to_string()))?;
        let plain = payload.encode_to_vec();
        let sealed = key
            .cipher
            .encrypt(&Nonce::from(nonce), Sealed { msg: &plain, aad: ENCODING })
            .map_err(|_| failure("a payload could not be encrypted"))?;
        let metadata = [("encoding", ENCODING), ("encryption-cipher", CIPHER), (KEY_ID, key.name.as_bytes())];
        Ok(Payload {
            metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_vec())).into(),
            data: [nonce.as_slice(), &sealed].concat(),
            ..Payload::default()
        })
    }

    /// What is not encrypted (typed in by hand, or from before there was a key) passes as it is.
    pub(crate) fn open(&self, payload: Payload) -> Result<Payload, PayloadConversionError> {
        if payload.metadata.get("encoding").map(Vec::as_slice) != Some(ENCODING) {
            return Ok(payload);
        }
        let (nonce, sealed) = payload
            .data
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(|| failure("an encrypted payload is too short"))?;
        let name = payload.metadata.get(KEY_ID).map(|name| String::from_utf8_lossy(name));
        // Payloads from before keys had names may be any key's.
        let keys = self.0.iter().filter(|key| name.as_ref().is_none_or(|name| key.name == *name));
        let opened =
            |key: &Key| key.cipher.decrypt(&Nonce::from(*nonce), Sealed { msg: sealed, aad: ENCODING }).ok();
        let plain = keys.map(opened).find_map(|plain| plain).ok_or_else(|| unknown_key(name.as_deref()))?;
        Payload::decode(plain.as_slice()).map_err(|error| failure(&error.to_string()))
    }
}

impl Key {
    fn parse(text: &str) -> Result<Self, String> {
        let bytes = BASE64_STANDARD.decode(text).map_err(|error| error.to_string())?;
        let key: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| "must be 32 bytes in base64".to_owned())?;
        Ok(Self { name: name_of(&key), cipher: Aes256Gcm::new((&key).into()) })
    }
}

/// A hash of its own kind, so that it is of no use against anything else that is made of the key.
fn name_of(key: &[u8; KEY_BYTES]) -> String {
    let hash = Sha256::new().chain_update(b"holdfast payload key").chain_update(key).finalize();
    hash.iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

fn unknown_key(name: Option<&str>) -> PayloadConversionError {
    match name {
        Some(name) => {
            failure(&format!("a payload was encrypted with key {name}, which HOLDFAST_PAYLOAD_KEY has not"))
        }
        None => failure("a payload was encrypted with another key than HOLDFAST_PAYLOAD_KEY"),
    }
}

struct Codec(PayloadKeys);

impl PayloadCodec for Codec {
    fn encode(
        &self,
        _: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        Box::pin(ready(payloads.iter().map(|payload| self.0.seal(payload)).collect()))
    }

    fn decode(
        &self,
        _: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        Box::pin(ready(payloads.into_iter().map(|payload| self.0.open(payload)).collect()))
    }
}

fn failure(what: &str) -> PayloadConversionError {
    PayloadConversionError::EncodingError(what.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> String {
        BASE64_STANDARD.encode([byte; KEY_BYTES])
    }

    fn keys(text: &str) -> PayloadKeys {
        PayloadKeys::parse(text).expect("keys")
    }

    fn plain() -> Payload {
        Payload { data: b"ann@example.org".to_vec(), ..Payload::default() }
    }

    #[test]
    fn sealed_payloads_open_with_their_key_only() {
        let sealed = keys(&key(1)).seal(&plain()).expect("sealed");
        assert!(!String::from_utf8_lossy(&sealed.data).contains("ann"));
        assert_eq!(keys(&key(1)).open(sealed.clone()).expect("opened"), plain());
        assert!(keys(&key(2)).open(sealed).is_err());
        assert_eq!(keys(&key(1)).open(plain()).expect("clear text passes"), plain());
    }

    #[test]
    fn one_key_takes_the_place_of_another() {
        let (old, both) = (keys(&key(1)), keys(&format!(" {}, {} ,", key(2), key(1))));
        let before = old.seal(&plain()).expect("sealed");
        let after = both.seal(&plain()).expect("sealed");
        assert_eq!(both.open(before.clone()).expect("the old one is known"), plain());
        assert_eq!(keys(&key(2)).open(after.clone()).expect("the first one sealed it"), plain());
        let why = old.open(after).expect_err("it is not known yet").to_string();
        assert!(why.contains(&name_of(&[2; KEY_BYTES])), "{why}");

        let mut nameless = before;
        nameless.metadata.remove(KEY_ID);
        assert_eq!(both.open(nameless).expect("any key is tried"), plain());
        for bad in ["", " , ", "AAAA", &format!("{},short", key(1))] {
            assert!(PayloadKeys::parse(bad).is_err(), "{bad}");
        }
    }
}
