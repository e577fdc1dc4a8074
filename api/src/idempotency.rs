//! Requests that may be repeated: the `Idempotency-Key` header, which request a key stands for, and the mark
//! of an answer that repeats an earlier one.

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use store::Idempotency;

use crate::{auth::Caller, error::Problem, headers::only};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The `Idempotency-Key` header, if it was sent.
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if !parts.headers.contains_key(&IDEMPOTENCY_KEY) {
            return Ok(Self(None));
        }
        let valid = |text: &&str| {
            !text.is_empty() && text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        };
        let key = only(&parts.headers, &IDEMPOTENCY_KEY).filter(valid).ok_or_else(|| {
            Problem::bad_request(
                "idempotency_key_invalid",
                "An Idempotency-Key has 1-255 printable ASCII characters, and there is one of them.",
            )
        })?;
        Ok(Self(Some(match parts.extensions.get::<Caller>().and_then(Caller::customer) {
            Some(customer) => customers_own(&customer.id, key),
            None => key.to_owned(),
        })))
    }
}

/// A customer's keys are their own: the same key of another is another. The id as a hash, so that no two
/// pairs of id and key make the same text.
fn customers_own(id: &str, key: &str) -> String {
    let id = Sha256::digest(id);
    let id: String = id.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("customer:{id}/{key}")
}

impl IdempotencyKey {
    pub fn required(self) -> Result<String, Problem> {
        self.0.ok_or_else(|| {
            Problem::bad_request(
                "idempotency_key_required",
                "Send an Idempotency-Key header, new for each order.",
            )
        })
    }
}

/// Which request this is: the key, and a hash of what was asked for, as we understood it.
pub fn idempotency(key: String, request: &impl Serialize) -> Idempotency {
    // Requests are plain data with string keys; they always serialise.
    let canonical = serde_json::to_vec(request).unwrap_or_default();
    Idempotency { key, request_hash: Sha256::digest(canonical).to_vec() }
}

/// Set on answers that repeat an earlier one.
const REPLAYED: (HeaderName, &str) = (HeaderName::from_static("idempotent-replayed"), "true");

/// Marks an answer that repeats an earlier one.
pub fn with_replayed(replayed: bool, answer: impl IntoResponse) -> Response {
    match replayed {
        true => ([REPLAYED], answer).into_response(),
        false => answer.into_response(),
    }
}
