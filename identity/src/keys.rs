//! Our own keys, derived from secrets of the environment: each purpose has keys of its own, so that what one
//! gives away tells nothing about another. While one secret takes the place of another both are given; the
//! first signs, and each of them verifies.

use std::{fmt, sync::Arc};

use ring::{
    hkdf, hmac,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{jwk::PublicKey, jws};

const MIN_SECRET_BYTES: usize = 32;
const KEY_BYTES: usize = 32;
const SALT: &[u8] = b"holdfast identity";
const ACCESS_TOKENS: &[u8] = b"access tokens, Ed25519, 1";
const CODES: &[u8] = b"six-digit codes, HMAC-SHA256, 1";

/// There has to be a secret to derive keys from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at least one secret is needed")]
pub struct NoSecret;

/// A secret of the environment. Not shown by `Debug`, and wiped from memory when it is done with.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Any text of at least 32 bytes, as `openssl rand -base64 32` gives it.
    ///
    /// # Errors
    /// What has to be different, for whoever set it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.len() < MIN_SECRET_BYTES {
            true => Err(format!("must be at least {MIN_SECRET_BYTES} bytes, and is {}", text.len())),
            false => Ok(Self(Zeroizing::new(text.as_bytes().to_vec()))),
        }
    }

    /// HKDF with SHA-256, RFC 5869.
    pub(crate) fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&self.0);
        let purpose = [purpose];
        let expanded = extracted.expand(&purpose, hkdf::HKDF_SHA256);
        expanded.and_then(|it| it.fill(key.as_mut())).expect("HKDF-SHA256 gives this many bytes");
        key
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

struct SigningKey {
    /// The name of its public part, which follows from it.
    id: String,
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    fn derive(secret: &Secret) -> Self {
        let seed = secret.derive(ACCESS_TOKENS);
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).expect("any 32 bytes are a seed");
        let public = PublicKey::ed25519(pair.public_key().as_ref());
        Self { id: public.thumbprint(), pair, public }
    }
}

/// The keys that access tokens are signed with.
#[derive(Clone)]
pub struct SigningKeys(Arc<[SigningKey]>);

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl SigningKeys {
    /// # Errors
    /// [`NoSecret`] if there is none.
    pub fn derive(secrets: &[Secret]) -> Result<Self, NoSecret> {
        match secrets.is_empty() {
            true => Err(NoSecret),
            false => Ok(Self(secrets.iter().map(SigningKey::derive).collect())),
        }
    }

    /// The public keys, for others to verify our tokens by: the document of RFC 7517.
    pub fn jwks(&self) -> Value {
        let published = |key: &SigningKey| {
            let mut jwk = key.public.required_members();
            jwk["kid"] = json!(key.id);
            jwk["use"] = json!("sig");
            jwk["alg"] = json!("EdDSA");
            jwk
        };
        json!({ "keys": self.0.iter().map(published).collect::<Vec<_>>() })
    }

    /// Signs claims with the first key, as a token of the kind.
    pub(crate) fn sign(&self, kind: &str, claims: &Value) -> String {
        let key = &self.0[0];
        let header = json!({ "alg": "EdDSA", "typ": kind, "kid": key.id });
        jws::sign_ed25519(&key.pair, &header, claims.to_string().as_bytes())
    }

    /// The key of a name.
    pub(crate) fn find(&self, id: &str) -> Option<&PublicKey> {
        self.0.iter().find(|key| key.id == id).map(|key| &key.public)
    }
}

/// The keys under which six-digit codes are kept. There are a million codes: whoever reads a table of plain
/// hashes has them all in a moment, and without the key has none.
#[derive(Clone)]
pub struct CodeKeys(Arc<[hmac::Key]>);

impl fmt::Debug for CodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeKeys(..)")
    }
}

impl CodeKeys {
    /// # Errors
    /// [`NoSecret`] if there is none.
    pub fn derive(secrets: &[Secret]) -> Result<Self, NoSecret> {
        let key = |secret: &Secret| hmac::Key::new(hmac::HMAC_SHA256, secret.derive(CODES).as_ref());
        match secrets.is_empty() {
            true => Err(NoSecret),
            false => Ok(Self(secrets.iter().map(key).collect())),
        }
    }

    /// What is kept of a code, 32 bytes. With the id of what it is for, so that equal codes do not look equal
    /// and none is good for anything else.
    pub fn hash(&self, id: Uuid, code: &str) -> Vec<u8> {
        hmac::sign(&self.0[0], &message(id, code)).as_ref().to_vec()
    }

    /// Whether this is the code that was kept, under whichever key. In constant time: each key is tried, also
    /// behind the one that it is.
    pub fn matches(&self, id: Uuid, code: &str, hash: &[u8]) -> bool {
        let message = message(id, code);
        self.0.iter().fold(false, |found, key| found | hmac::verify(key, &message, hash).is_ok())
    }
}

/// An id is of one length, so no two pairs make the same bytes.
fn message(id: Uuid, code: &str) -> Vec<u8> {
    [id.as_bytes(), code.as_bytes()].concat()
}
