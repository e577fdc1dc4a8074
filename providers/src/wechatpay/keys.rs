//! The three kinds of keys: the merchant's signs requests, the platform's verify what WeChat Pay says, and
//! the APIv3 key opens what a webhook carries.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject as _};
use webpki::{EndEntityCert, RawPublicKeyEntity, ring::RSA_PKCS1_2048_8192_SHA256};

use super::config::ConfigError;

/// Ids of the newer WeChat Pay public keys, which have no certificate.
const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_";

fn wrong(what: impl Into<String>) -> ConfigError {
    ConfigError(what.into())
}

/// The merchant's private key. Signs.
pub struct MerchantKey {
    key: RsaKeyPair,
    random: SystemRandom,
}

impl MerchantKey {
    pub fn parse(pem: &str) -> Result<Self, ConfigError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| wrong("the merchant's key is not PEM of a PKCS#8 private key"))?;
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
            .map_err(|_| wrong("the merchant's key is not an RSA key of 2048 bits or more"))?;
        Ok(Self { key, random: SystemRandom::new() })
    }

    /// RSA with SHA-256 (PKCS#1 v1.5), in base64.
    pub fn sign(&self, message: &[u8]) -> Result<String, ring::error::Unspecified> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)?;
        Ok(BASE64_STANDARD.encode(signature))
    }

    /// 32 hex digits that nobody can guess.
    pub fn nonce(&self) -> Result<String, ring::error::Unspecified> {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes)?;
        Ok(hex(&bytes))
    }
}

/// WeChat Pay's public keys by serial number or id. Verify.
pub struct PlatformKeys(HashMap<String, SubjectPublicKeyInfoDer<'static>>);

impl PlatformKeys {
    pub fn parse(pems: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        if pems.is_empty() {
            return Err(wrong("no platform key is given: nothing could be verified"));
        }
        let keys = pems.iter().map(|(serial, pem)| Ok((serial.clone(), public_key(serial, pem)?)));
        keys.collect::<Result<_, ConfigError>>().map(Self)
    }

    /// The WeChat Pay public key, if there is one. Requests name it, so that answers are signed with it
    /// while a merchant moves away from certificates.
    pub fn public_key_id(&self) -> Option<&str> {
        self.0.keys().map(String::as_str).filter(|id| id.starts_with(PUBLIC_KEY_ID)).max()
    }

    pub fn verify(&self, serial: &str, message: &[u8], signature: &str) -> Result<(), &'static str> {
        let key = self.0.get(serial).ok_or("it is signed with a key that is not known here")?;
        let signature = BASE64_STANDARD.decode(signature).map_err(|_| "the signature is not base64")?;
        let key = RawPublicKeyEntity::try_from(key).map_err(|_| "the platform key cannot be read")?;
        key.verify_signature(RSA_PKCS1_2048_8192_SHA256, message, &signature)
            .map_err(|_| "the signature does not fit")
    }
}

/// The key in a certificate or in `PUBLIC KEY` PEM.
fn public_key(serial: &str, pem: &str) -> Result<SubjectPublicKeyInfoDer<'static>, ConfigError> {
    let key = match CertificateDer::from_pem_slice(pem.as_bytes()) {
        Ok(certificate) => key_of_certificate(serial, &certificate)?,
        Err(_) => SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| wrong(format!("platform key {serial} is no PEM of a certificate or public key")))?,
    };
    let probe = RawPublicKeyEntity::try_from(&key)
        .map(|key| key.verify_signature(RSA_PKCS1_2048_8192_SHA256, b"", b""));
    match probe {
        Ok(Err(webpki::Error::InvalidSignatureForPublicKey)) => Ok(key),
        _ => Err(wrong(format!("platform key {serial} is not an RSA key"))),
    }
}

fn key_of_certificate(
    serial: &str,
    certificate: &CertificateDer<'_>,
) -> Result<SubjectPublicKeyInfoDer<'static>, ConfigError> {
    let certificate = EndEntityCert::try_from(certificate)
        .map_err(|_| wrong(format!("platform certificate {serial} cannot be read")))?;
    let own = hex(certificate.serial());
    if !own.trim_start_matches('0').eq_ignore_ascii_case(serial.trim_start_matches('0')) {
        return Err(wrong(format!("platform certificate {serial} has another serial number: {own}")));
    }
    Ok(certificate.subject_public_key_info())
}

/// The APIv3 key. Opens what is encrypted for the merchant.
pub struct ResourceKey(LessSafeKey);

impl ResourceKey {
    pub fn parse(key: &str) -> Result<Self, ConfigError> {
        UnboundKey::new(&AES_256_GCM, key.as_bytes())
            .map(|key| Self(LessSafeKey::new(key)))
            .map_err(|_| wrong("the APIv3 key must have 32 bytes"))
    }

    /// `AEAD_AES_256_GCM`, the ciphertext in base64 with the tag at its end.
    pub fn open(&self, nonce: &str, associated_data: &str, ciphertext: &str) -> Option<Vec<u8>> {
        let mut data = BASE64_STANDARD.decode(ciphertext).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(nonce.as_bytes()).ok()?;
        let length = self.0.open_in_place(nonce, Aad::from(associated_data), &mut data).ok()?.len();
        data.truncate(length);
        Some(data)
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
