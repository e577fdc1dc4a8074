//! The API key: everything but health, metrics, docs and webhooks wants it.

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::Response,
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{App, Problem, headers::only};

/// What histories call whoever has the key: there is one, so we know no more of a caller.
pub const CALLER: &str = "api";

/// Kept as a hash: the key itself is not in memory to be leaked, and hashes have one length.
#[derive(Clone)]
pub struct ApiKey([u8; 32]);

impl ApiKey {
    pub fn new(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// In constant time.
    fn is(&self, candidate: &str) -> bool {
        self.0.ct_eq(&Self::new(candidate).0).into()
    }
}

pub async fn require_key(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let candidate = only(request.headers(), &header::AUTHORIZATION).and_then(bearer);
    match candidate {
        Some(key) if app.api_key.is(key) => Ok(next.run(request).await),
        _ => Err(Problem::unauthorized()),
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
