//! Where a request comes from.

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{error::Problem, gateway::ClientAddress};

/// From where somebody calls, as far as limits tell places apart.
pub struct Place(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let address = parts.extensions.get::<ClientAddress>();
        Ok(Self(address.map(|address| address.network().to_string()).unwrap_or_default()))
    }
}
