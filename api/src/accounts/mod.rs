//! Accounts of customers: registering, signing in, and what becomes of passwords. What is answered here is
//! the same for an address that has an account and for one that has none; its mailbox alone learns which.

mod by_shop;
mod customers;
mod jwks;
mod limits;
mod me;
mod password;
mod refresh_token;
mod register;
mod session;
mod signed_in;

use std::{io, num::NonZeroUsize, thread::available_parallelism};

use domain::account::email_key;
use identity::{AccessTokens, CodeKeys, Passwords, SigningKeys};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, error::Problem, scoped::Scoped};
use customers::Customers;
pub use signed_in::SignedIn;

/// One password is hashed at the same time for so many processors: it takes one of them for as long as it
/// lasts, and the others are for placing orders.
const PROCESSORS_PER_PASSWORD: usize = 2;

/// What accounts are made with, if this shop has them.
pub struct Accounts {
    tokens: AccessTokens,
    codes: CodeKeys,
    passwords: Passwords,
    jwks: serde_json::Value,
    /// Whose they are, for the orders that they place.
    pub(crate) customers: Customers,
}

impl Accounts {
    /// # Errors
    /// If the system has no threads for passwords.
    pub fn new(keys: &SigningKeys, codes: CodeKeys, tokens: AccessTokens) -> io::Result<Self> {
        let processors = available_parallelism().map_or(1, NonZeroUsize::get);
        let passwords = Passwords::new(processors / PROCESSORS_PER_PASSWORD)?;
        Ok(Self { tokens, codes, passwords, jwks: keys.jwks(), customers: Customers::new() })
    }
}

/// For those who have no key and no token yet.
pub fn public_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(register::resend))
        .routes(routes!(register::verify))
        .routes(routes!(password::ask_reset))
        .routes(routes!(password::reset))
        .routes(routes!(session::sign_in))
        .routes(routes!(session::refresh))
        .routes(routes!(jwks::jwks))
}

/// For those who are signed in; and for the shop, by its keys.
pub fn routes() -> Scoped {
    Scoped::new()
        .for_customers(routes!(me::get, me::delete))
        .for_customers(routes!(password::change))
        .for_customers(routes!(session::sign_out))
        .for_customers(routes!(session::sign_out_everywhere))
        .merge(by_shop::routes())
}

impl App {
    /// # Errors
    /// None of these routes is there without accounts; so it is a bug.
    pub(crate) fn accounts(&self) -> Result<&Accounts, Problem> {
        self.accounts.as_deref().ok_or_else(Problem::internal)
    }
}

/// The name of an address, and what is wrong with it.
fn key_of(email: &str) -> Result<String, Problem> {
    Ok(email_key("email", email)?)
}
