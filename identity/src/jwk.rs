//! Public keys, as RFC 7517 and RFC 8037 write them.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{digest, signature};
use serde_json::{Map, Value, json};

/// RFC 8017 wants a modulus of 2048 bits at least, and ring none above 8192.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// In bytes. Real ones have three.
const MAX_RSA_EXPONENT: usize = 4;
const COORDINATE_BYTES: usize = 32;
const MAX_KEY_ID: usize = 256;
/// How SEC 1 writes a point with both its coordinates.
const UNCOMPRESSED: u8 = 4;

/// What a signature is made by. There is no entry for a shared secret, and none for no signature at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519, RFC 8037.
    EdDsa,
    /// ECDSA on P-256 with SHA-256, both numbers in 32 bytes.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// By its name. RFC 9864 calls Ed25519 by a name of its own.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }
}

/// A key that judges signatures. Which algorithm it is for follows from what it is: no token has a say in it.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Ed25519(Vec<u8>),
    /// The point, uncompressed.
    P256(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?})", self.algorithm())
    }
}

impl PublicKey {
    /// An Ed25519 key, by its 32 bytes.
    pub(crate) fn ed25519(public: &[u8]) -> Self {
        Self(Kind::Ed25519(public.to_vec()))
    }

    /// None for a key that signs nothing we take: a symmetric one, one for encryption, an RSA key below 2048
    /// bits, another curve, or one that its owner means for another algorithm.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(text(name)?).ok();
        if jwk.get("use").is_some_and(|usage| usage != "sig") || !may_verify(jwk.get("key_ops")) {
            return None;
        }
        let kind = match (text("kty")?, text("crv")) {
            ("OKP", Some("Ed25519")) => Kind::Ed25519(bytes("x").filter(|x| x.len() == COORDINATE_BYTES)?),
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                let is_point = x.len() == COORDINATE_BYTES && y.len() == COORDINATE_BYTES;
                is_point.then(|| Kind::P256([&[UNCOMPRESSED], x.as_slice(), &y].concat()))?
            }
            ("RSA", _) => rsa(&bytes("n")?, &bytes("e")?)?,
            _ => return None,
        };
        let key = Self(kind);
        let means = jwk.get("alg").map(|alg| alg.as_str().and_then(Algorithm::parse));
        means.is_none_or(|alg| alg == Some(key.algorithm())).then_some(key)
    }

    /// The one algorithm that this key is for.
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            Kind::Ed25519(_) => Algorithm::EdDsa,
            Kind::P256(_) => Algorithm::Es256,
            Kind::Rsa { .. } => Algorithm::Rs256,
        }
    }

    /// Whether the signature is one of these bytes, by this key.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm, key: &[u8]| {
            signature::UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match &self.0 {
            Kind::Ed25519(key) => by(&signature::ED25519, key),
            Kind::P256(key) => by(&signature::ECDSA_P256_SHA256_FIXED, key),
            Kind::Rsa { n, e } => signature::RsaPublicKeyComponents { n, e }
                .verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
        }
    }

    /// The members that make the key what it is, in the order of their names.
    pub(crate) fn required_members(&self) -> Value {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match &self.0 {
            Kind::Ed25519(x) => json!({ "crv": "Ed25519", "kty": "OKP", "x": text(x) }),
            Kind::P256(point) => {
                let (x, y) = point[1..].split_at(COORDINATE_BYTES);
                json!({ "crv": "P-256", "kty": "EC", "x": text(x), "y": text(y) })
            }
            Kind::Rsa { n, e } => json!({ "e": text(e), "kty": "RSA", "n": text(n) }),
        }
    }

    /// A name that follows from the key: RFC 7638, with SHA-256.
    pub fn thumbprint(&self) -> String {
        // serde_json keeps the names of an object in their order, as the RFC wants them.
        let canonical = self.required_members().to_string();
        BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
    }
}

/// Whether a key's list of operations, if it has one, is of one that verifies.
fn may_verify(operations: Option<&Value>) -> bool {
    operations.is_none_or(|operations| {
        operations.as_array().is_some_and(|operations| operations.iter().any(|it| it == "verify"))
    })
}

/// Some write a number with zeros before it, which the RFC does not allow and nobody needs to suffer from.
fn rsa(n: &[u8], e: &[u8]) -> Option<Kind> {
    let without_zeros = |number: &[u8]| -> Option<Vec<u8>> {
        let first = number.iter().position(|byte| *byte != 0)?;
        Some(number[first..].to_vec())
    };
    let (n, e) = (without_zeros(n)?, without_zeros(e)?);
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    (RSA_BITS.contains(&bits) && e.len() <= MAX_RSA_EXPONENT).then_some(Kind::Rsa { n, e })
}

/// A set of public keys, each with the name that tokens name it by, if it has one (RFC 7517, section 5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet(Vec<(Option<String>, PublicKey)>);

impl KeySet {
    /// No set has more, and what stands behind them is not looked at.
    pub const MAX_KEYS: usize = 64;

    /// Reads a document. Keys in it that we have no use for are left out. None: it is no set of keys.
    pub fn parse(document: &[u8]) -> Option<Self> {
        let document = crate::json::object(document)?;
        let keys = document.get("keys")?.as_array()?.iter().filter_map(Value::as_object);
        let named = |jwk: &Map<String, Value>| {
            let id = match jwk.get("kid") {
                None => None,
                Some(id) => Some(id.as_str().filter(|id| id.len() <= MAX_KEY_ID)?.to_owned()),
            };
            Some((id, PublicKey::from_jwk(jwk)?))
        };
        Some(Self(keys.filter_map(named).take(Self::MAX_KEYS).collect()))
    }

    /// The key that a token names. A token that names none is by the only key, if there is but one.
    pub fn find(&self, id: Option<&str>) -> Option<&PublicKey> {
        match (id, self.0.as_slice()) {
            (None, [(_, only)]) => Some(only),
            (None, _) => None,
            (id, keys) => keys.iter().find(|(name, _)| name.as_deref() == id).map(|(_, key)| key),
        }
    }

    /// How many keys there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
