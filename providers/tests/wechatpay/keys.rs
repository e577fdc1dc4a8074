//! Keys of both sides, made anew for each run. Requests are verified and resources encrypted by other
//! libraries than those under test.

use std::sync::LazyLock;

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rsa::{
    RsaPrivateKey, RsaPublicKey,
    pkcs1v15::{Signature, VerifyingKey},
    pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding},
    rand_core::OsRng,
    sha2::Sha256,
    signature::Verifier as _,
};

pub const API_V3_KEY: &str = "an APIv3 key of thirty-two bytes";
pub const CERTIFICATE: &str = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1";
pub const PUBLIC_KEY: &str = "PUB_KEY_ID_0000000000000024101100397200000006";

/// Signs requests.
pub static MERCHANT: LazyLock<Pair> = LazyLock::new(|| Pair::new("3775B6A45ACD588826D15E583A95F5DD00000001"));
/// Sign answers: the older way, by a certificate, and the newer.
pub static PLATFORM: LazyLock<Pair> = LazyLock::new(|| Pair::new(CERTIFICATE));
pub static NEXT_PLATFORM: LazyLock<Pair> = LazyLock::new(|| Pair::new(PUBLIC_KEY));

pub struct Pair {
    pub serial: &'static str,
    pub private_pem: String,
    pub public_pem: String,
    public: RsaPublicKey,
    signer: RsaKeyPair,
}

impl Pair {
    fn new(serial: &'static str) -> Self {
        let private = RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
        let public = private.to_public_key();
        Self {
            serial,
            private_pem: private.to_pkcs8_pem(LineEnding::LF).unwrap().to_string(),
            public_pem: public.to_public_key_pem(LineEnding::LF).unwrap(),
            signer: RsaKeyPair::from_pkcs8(private.to_pkcs8_der().unwrap().as_bytes()).unwrap(),
            public,
        }
    }

    pub fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.signer.public().modulus_len()];
        self.signer.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        BASE64_STANDARD.encode(signature)
    }

    pub fn signed(&self, message: &str, signature: &str) -> bool {
        let Ok(signature) = BASE64_STANDARD.decode(signature) else { return false };
        let Ok(signature) = Signature::try_from(signature.as_slice()) else { return false };
        VerifyingKey::<Sha256>::new(self.public.clone()).verify(message.as_bytes(), &signature).is_ok()
    }

    /// A certificate over this key, with a serial number of its own.
    pub fn certificate(&self, serial_hex: &str) -> String {
        let key =
            rcgen::KeyPair::from_pkcs8_pem_and_sign_algo(&self.private_pem, &rcgen::PKCS_RSA_SHA256).unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["platform.test".to_owned()]).unwrap();
        let serial: Vec<u8> = (0..serial_hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&serial_hex[at..at + 2], 16).unwrap())
            .collect();
        params.serial_number = Some(serial.into());
        params.self_signed(&key).unwrap().pem()
    }
}

pub fn encrypt(key: &str, nonce: &str, associated_data: &str, text: &str) -> String {
    let cipher = Aes256Gcm::new_from_slice(key.as_bytes()).unwrap();
    let nonce: [u8; 12] = nonce.as_bytes().try_into().unwrap();
    let payload = Payload { msg: text.as_bytes(), aad: associated_data.as_bytes() };
    BASE64_STANDARD.encode(cipher.encrypt(&nonce.into(), payload).unwrap())
}
