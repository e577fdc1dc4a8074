//! The keys by which anybody can check our tokens.

use axum::{
    extract::State,
    http::{HeaderName, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{app::App, error::Problem};

/// A JSON Web Key Set (RFC 7517).
#[derive(Serialize, ToSchema)]
pub struct JwkSet {
    #[schema(value_type = Vec<Object>)]
    keys: serde_json::Value,
}

/// The public keys of access tokens. A key stands here before the first token is signed with it, and for as
/// long as one may be.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", operation_id = "get_jwks", tag = "Accounts", security(()),
    responses((status = 200, body = JwkSet)),
)]
pub async fn jwks(
    State(app): State<App>,
) -> Result<([(HeaderName, &'static str); 1], axum::Json<serde_json::Value>), Problem> {
    let keys = app.accounts()?.jwks.clone();
    Ok(([(header::CACHE_CONTROL, "public, max-age=300")], axum::Json(keys)))
}
