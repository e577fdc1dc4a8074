//! Signatures that were found good. A browser sends its token with each request, and to check the signature
//! anew each time is most of what judging one costs.
//!
//! Remembered is only that a key has signed these very bytes, which stays true for ever. Whether the key is
//! still one of the issuer's, and whether the token's time has come or is over, is asked anew each time.

use std::{
    collections::HashMap,
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{Refused, jwk::PublicKey, jws::Unverified};

/// For each issuer. Bad ones are not remembered, so strangers take no place of anybody's.
const MAX_SIGNATURES: usize = 10_000;

/// By a hash of the token: the tokens themselves are not in memory to be leaked.
type Signers = HashMap<[u8; 32], PublicKey>;

/// Clones share what they know.
#[derive(Clone, Default)]
pub struct KnownSignatures(Arc<Mutex<Known>>);

/// When the new ones are half of what may be remembered, the old ones are forgotten and the new ones are old.
/// So whoever comes often enough stays known, and none has to be looked for to make room.
#[derive(Default)]
struct Known {
    new: Signers,
    old: Signers,
}

impl fmt::Debug for KnownSignatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownSignatures(..)")
    }
}

impl KnownSignatures {
    /// The same as [`Unverified::verify`], and cheaper from the second time on.
    ///
    /// # Errors
    /// Those of [`Unverified::verify`].
    pub fn verify(&self, token: Unverified<'_>, key: &PublicKey) -> Result<Vec<u8>, Refused> {
        let token_hash = token.hash();
        if self.known().is_signer(&token_hash, key) {
            return Ok(token.into_payload());
        }
        let payload = token.verify(key)?;
        self.known().insert(token_hash, key.clone());
        Ok(payload)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_signer(&mut self, token_hash: &[u8; 32], key: &PublicKey) -> bool {
        if self.new.get(token_hash) == Some(key) {
            return true;
        }
        let is_signer = self.old.get(token_hash) == Some(key);
        if is_signer {
            self.insert(*token_hash, key.clone());
        }
        is_signer
    }

    fn insert(&mut self, token_hash: [u8; 32], key: PublicKey) {
        if self.new.len() >= MAX_SIGNATURES / 2 {
            self.old = mem::take(&mut self.new);
        }
        self.new.insert(token_hash, key);
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;
    use crate::jws;

    fn key(seed: u8) -> (Ed25519KeyPair, PublicKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = PublicKey::ed25519(pair.public_key().as_ref());
        (pair, public)
    }

    #[test]
    fn what_one_key_has_signed_no_other_has() {
        let (known, (pair, public), (_, other)) = (KnownSignatures::default(), key(1), key(2));
        let token = jws::sign_ed25519(&pair, &json!({"alg": "EdDSA"}), b"{}");
        let verify = |key: &PublicKey| known.verify(Unverified::parse(&token).unwrap(), key);
        assert_eq!(verify(&other), Err(Refused::Signature));
        assert_eq!(verify(&public), Ok(b"{}".to_vec()));
        assert_eq!(verify(&public), Ok(b"{}".to_vec()));
        assert_eq!(verify(&other), Err(Refused::Signature));
        let (signed, _) = token.rsplit_once('.').unwrap();
        let forged = format!("{signed}.{}", "A".repeat(86));
        let forged = known.verify(Unverified::parse(&forged).unwrap(), &public);
        assert_eq!(forged, Err(Refused::Signature));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let (mut known, (_, public)) = (Known::default(), key(1));
        let hash = |n: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_le_bytes());
            hash
        };
        for n in 1..=3 * MAX_SIGNATURES {
            known.insert(hash(n), public.clone());
            assert!(known.new.len() + known.old.len() <= MAX_SIGNATURES);
            // Whoever comes all the time is known all the time.
            if n % 100 == 0 {
                known.insert(hash(0), public.clone());
            }
            assert!(n < 100 || known.is_signer(&hash(0), &public));
        }
        assert!(known.is_signer(&hash(3 * MAX_SIGNATURES), &public));
        assert!(!known.is_signer(&hash(1), &public));
    }
}
