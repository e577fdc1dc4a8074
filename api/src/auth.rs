//! The API key: everything but health, metrics, docs and webhooks wants it.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::Response,
};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::{error::Problem, headers::only};

/// What histories call whoever has a key: keys have no names, so we know no more of a caller.
pub const CALLER: &str = "api";

/// Kept as hashes: the keys themselves are not in memory to be leaked, and hashes have one length.
#[derive(Clone)]
pub struct ApiKeys(Arc<[[u8; 32]]>);

impl ApiKeys {
    /// Each of the keys is good: while one takes the place of another, clients use both.
    pub fn new(keys: &[String]) -> Self {
        Self(keys.iter().map(|key| hash(key)).collect())
    }

    /// In constant time: each key is looked at, also behind the one that it is.
    fn have(&self, candidate: &str) -> bool {
        let candidate = hash(candidate);
        let one = |found, key: &[u8; 32]| found | key.ct_eq(&candidate);
        self.0.iter().fold(Choice::from(0), one).into()
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

pub async fn require_key(
    State(keys): State<ApiKeys>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let candidate = only(request.headers(), &header::AUTHORIZATION).and_then(bearer);
    match candidate {
        Some(key) if keys.have(key) => Ok(next.run(request).await),
        _ => Err(Problem::unauthorized()),
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
