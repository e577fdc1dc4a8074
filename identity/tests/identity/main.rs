//! Tokens and passwords as whoever takes them meets them: the RFCs' own examples, tokens of another tool, and
//! attacks.
#![allow(clippy::unwrap_used)]

mod access_tokens;
mod attacks;
mod harness;
mod keys;
mod passwords;
mod vectors;
