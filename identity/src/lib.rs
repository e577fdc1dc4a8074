//! Who a customer is, and how that is proved: access tokens of our own accounts, tokens of the shop's
//! identity provider, and passwords.
//!
//! There is no SQL in here, no route and no clock: times are parameters, and who calls keeps what is to be
//! kept. Cryptography is ring's, and argon2 for passwords. No secret, token or password is shown by `Debug`,
//! and none is logged.
//!
//! - [`jws`] reads and makes signed tokens, [`jwk`] the public keys that judge them. The key says which
//!   algorithm it is for, and the token has no say in it (RFC 8725).
//! - [`keys`] derives our keys from secrets of the environment.
//! - [`access_token`] has the tokens of our accounts (RFC 9068), [`identity_provider`] those of the shop's
//!   own provider, and [`tokens`] takes both.
//! - [`order_link`] has the links in mails by which one order is paid or cancelled.
//! - [`password`] says which passwords are taken, and [`password_hashing`] hashes them, a few at a time.

pub mod access_token;
mod claims;
mod error;
pub mod identity_provider;
mod json;
pub mod jwk;
pub mod jws;
pub mod keys;
mod known_signatures;
pub mod order_link;
pub mod password;
pub mod password_hashing;
mod provider_keys;
pub mod tokens;

pub use access_token::{AccessClaims, AccessTokens, IssuedToken};
pub use error::{Error, Refused, Unavailable};
pub use identity_provider::{IdentityProvider, ProviderClaims};
pub use keys::{CodeKeys, Secret, SigningKeys};
pub use order_link::{LinkKeys, OrderLink, Purpose};
pub use password::Password;
pub use password_hashing::{Busy, Passwords};
pub use tokens::{Subject, Tokens};
