//! Signed tokens in compact form: RFC 7515, as RFC 8725 wants them used. Three parts, a header that names an
//! algorithm with a public key, and a signature. Whatever else a header brings along, a key of its own
//! (`jwk`, `x5c`) or an address of one (`jku`, `x5u`), is not looked at.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{digest, signature::Ed25519KeyPair};
use serde_json::{Map, Value};

use crate::{
    Refused, json,
    jwk::{Algorithm, PublicKey},
};

/// Longer ones do not fit into a header of HTTP either, as most servers take it.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Signs a payload with Ed25519. The header is as given, and has to say `alg: EdDSA`.
pub fn sign_ed25519(key: &Ed25519KeyPair, header: &Value, payload: &[u8]) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let mut token = format!("{}.{}", encode(header.to_string().as_bytes()), encode(payload));
    let signature = key.sign(token.as_bytes());
    token.push('.');
    token.push_str(&encode(signature.as_ref()));
    token
}

/// A token that was read, and that nobody has judged yet.
pub struct Unverified<'a> {
    header: Map<String, Value>,
    algorithm: Algorithm,
    /// What is signed: header and payload as they came.
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// # Errors
    /// [`Refused::Malformed`], or [`Refused::Algorithm`] for one that no key can be for: `none`, and those
    /// with a shared secret, are among them.
    pub fn parse(token: &'a str) -> Result<Self, Refused> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refused::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refused::Malformed)?;
        // Neither padding nor other letters for the same bytes; a fourth part is no base64url either.
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Malformed);
        let header = json::object(&decode(header)?).ok_or(Refused::Malformed)?;
        // Extensions that have to be understood: we understand none.
        if header.contains_key("crit") {
            return Err(Refused::Malformed);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Refused::Malformed)?;
        let algorithm = Algorithm::parse(algorithm).ok_or(Refused::Algorithm)?;
        Ok(Self { header, algorithm, signed, payload: decode(payload)?, signature: decode(signature)? })
    }

    /// The name of the key that it says to be signed by.
    ///
    /// # Errors
    /// [`Refused::Malformed`] if that is no text.
    pub fn key_id(&self) -> Result<Option<&str>, Refused> {
        self.text("kid")
    }

    /// Of which kind it says to be, as it is written without its optional `application/`.
    ///
    /// # Errors
    /// [`Refused::Malformed`] if that is no text.
    pub fn kind(&self) -> Result<Option<String>, Refused> {
        let kind = self.text("typ")?.map(str::to_ascii_lowercase);
        Ok(kind.map(|kind| kind.strip_prefix("application/").map(str::to_owned).unwrap_or(kind)))
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Refused> {
        self.header.get(name).map(|it| it.as_str().ok_or(Refused::Malformed)).transpose()
    }

    /// Who says to have issued it: good for choosing who is to judge the token, and for nothing else.
    pub fn claimed_issuer(&self) -> Option<String> {
        json::object(&self.payload)?.get("iss")?.as_str().map(str::to_owned)
    }

    /// Of all that there is of it, the signature included.
    pub(crate) fn hash(&self) -> [u8; digest::SHA256_OUTPUT_LEN] {
        let mut hash = digest::Context::new(&digest::SHA256);
        // What is signed has one point, so the next one is where the signature begins.
        for part in [self.signed.as_bytes(), b".", &self.signature] {
            hash.update(part);
        }
        hash.finish().as_ref().try_into().expect("SHA-256 gives this many bytes")
    }

    /// What it says, without asking whether anybody has signed it.
    pub(crate) fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// What it says, if this key has signed it.
    ///
    /// # Errors
    /// [`Refused::Algorithm`] if the key is not for the algorithm that the token names,
    /// [`Refused::Signature`] if the key has not signed it.
    pub fn verify(self, key: &PublicKey) -> Result<Vec<u8>, Refused> {
        if self.algorithm != key.algorithm() {
            return Err(Refused::Algorithm);
        }
        match key.has_signed(self.signed.as_bytes(), &self.signature) {
            true => Ok(self.payload),
            false => Err(Refused::Signature),
        }
    }
}
