//! The key of payers: play money is what tests and demonstrations go by, and no stranger's to move.

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::answer::Refusal;

/// As a hash, so all keys have one length.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    pub fn new(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// In constant time.
    fn is(&self, candidate: &str) -> bool {
        self.0.ct_eq(&Self::new(candidate).0).into()
    }
}

pub async fn require(State(key): State<Key>, request: Request, next: Next) -> Response {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let candidate = header.and_then(|text| text.split_once(' '));
    match candidate {
        Some((scheme, candidate)) if scheme.eq_ignore_ascii_case("bearer") && key.is(candidate.trim()) => {
            next.run(request).await
        }
        _ => {
            let message = "send the API key as `Authorization: Bearer <key>`";
            Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", message).into_response()
        }
    }
}
