//! Tokens and passwords as whoever takes them meets them: the RFCs' own examples, tokens of another tool, and
//! attacks.
#![allow(clippy::unwrap_used)]

mod access_tokens;
mod attacks;
mod harness;
mod key_server;
mod keys;
mod passwords;
mod provider;
mod provider_keys;
mod tokens;
mod vectors;
