//! Keys that are set in the environment: good for everything, and known without PostgreSQL.

use std::{collections::BTreeSet, sync::Arc};

use domain::api_key::Scope;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use store::console_sessions::Token;
use subtle::{Choice, ConstantTimeEq as _};

use super::Caller;

/// What histories call whoever has such a key: they have no names.
const NAME: &str = "api";

/// Kept as hashes: the keys themselves are not in memory to be leaked, and hashes have one length.
#[derive(Clone)]
pub struct ApiKeys {
    hashes: Arc<[[u8; 32]]>,
    caller: Caller,
}

impl ApiKeys {
    /// Each of the keys is good: while one takes the place of another, clients use both.
    pub fn new(keys: &[String]) -> Self {
        let caller = Caller::new(NAME, None, BTreeSet::from(Scope::ALL));
        Self { hashes: keys.iter().map(|key| hash(key)).collect(), caller }
    }

    /// In constant time: each key is looked at, also behind the one that it is.
    pub fn find(&self, candidate: &str) -> Option<Caller> {
        let candidate = hash(candidate);
        let one = |found, key: &[u8; 32]| found | key.ct_eq(&candidate);
        let is_one: bool = self.hashes.iter().fold(Choice::from(0), one).into();
        is_one.then(|| self.caller.clone())
    }

    /// By what a key is known again in the session of that token; none if it is none of these.
    pub fn proof(&self, candidate: &str, token: &Token) -> Option<[u8; 32]> {
        self.find(candidate).map(|_| mac(&hash(candidate), token))
    }

    /// Whose key has this proof.
    pub fn find_by(&self, proof: &[u8; 32], token: &Token) -> Option<Caller> {
        let one = |found, key: &[u8; 32]| found | mac(key, token).ct_eq(proof);
        let is_one: bool = self.hashes.iter().fold(Choice::from(0), one).into();
        is_one.then(|| self.caller.clone())
    }
}

fn mac(key: &[u8; 32], token: &Token) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(token).expect("a key of HMAC has any length");
    mac.update(key);
    mac.finalize().into_bytes().into()
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}
