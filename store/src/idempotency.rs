//! Which request this is: the client's key, and a hash of what it asked for.

/// A client's `Idempotency-Key`, and what tells its request from others.
#[derive(Debug, Clone)]
pub struct Idempotency {
    pub key: String,
    pub request_hash: Vec<u8>,
}
