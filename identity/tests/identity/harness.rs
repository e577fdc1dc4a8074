//! What the tests share: our keys, a provider's keys that the test signs with, and the moment it is.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use identity::{AccessTokens, Secret, SigningKeys, jws};
use jiff::Timestamp;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};

pub const OUR_ISSUER: &str = "https://shop.example";
pub const PROVIDER: &str = "https://id.example";
pub const AUDIENCE: &str = "holdfast";
/// An account id of ours.
pub const ACCOUNT: &str = "acc_0190163d8694739baea5966c26f8ad91";

/// When it is, in all tests that ask. The stored tokens are good for a quarter of an hour from then.
pub fn now() -> Timestamp {
    after_s(0)
}

pub fn after_s(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub fn secret(text: &str) -> Secret {
    Secret::parse(&text.repeat(32)).unwrap()
}

pub fn our_tokens() -> AccessTokens {
    tokens_of(&[secret("a")])
}

pub fn tokens_of(secrets: &[Secret]) -> AccessTokens {
    AccessTokens::new(SigningKeys::derive(secrets).unwrap(), OUR_ISSUER.to_owned(), AUDIENCE.to_owned())
}

/// Header and payload of a token, with whatever signature.
pub fn assemble(header: &Value, claims: &Value, signature: impl AsRef<[u8]>) -> String {
    format!("{}.{}.{}", b64(header.to_string()), b64(claims.to_string()), b64(signature))
}

/// What a token of ours says, for tests to change.
pub fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (json(), json())
}

/// A provider's Ed25519 key.
pub struct Ed25519(pub Ed25519KeyPair);

impl Ed25519 {
    pub fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    pub fn jwk(&self, id: &str) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": b64(self.0.public_key()) })
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        jws::sign_ed25519(&self.0, header, claims.to_string().as_bytes())
    }

    /// A token as the provider makes them.
    pub fn token(&self, id: &str, claims: &Value) -> String {
        self.sign(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": id }), claims)
    }
}

/// A provider's P-256 key.
pub struct P256(EcdsaKeyPair);

impl P256 {
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
        Self(pair.unwrap())
    }

    pub fn jwk(&self, id: &str) -> Value {
        let point = self.0.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": b64(&point[1..33]), "y": b64(&point[33..]) })
    }

    pub fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": id });
        let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", b64(signature))
    }
}

/// What the provider says of a customer.
pub fn provider_claims() -> Value {
    json!({
        "iss": PROVIDER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "iat": now().as_second(),
        "exp": now().as_second() + 900,
        "email": "ann@example.org",
        "name": "Ann",
    })
}

/// The same with one claim different.
pub fn provider_claims_with(name: &str, value: Value) -> Value {
    let mut claims = provider_claims();
    claims[name] = value;
    claims
}
