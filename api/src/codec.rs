//! The codec server: lets the Temporal UI, in a browser, and the Temporal CLI show payloads in clear. It
//! decrypts for whoever reaches it, so it listens on an address of its own that only operators reach.

use std::{future::pending, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, StatusCode},
    routing::post,
};
use engine::{Engine, Payloads};
use tokio::net::TcpListener;
use tower_http::cors::{AllowHeaders, CorsLayer};
use web::Limits;

use crate::bodies::MAX_BODY_BYTES;

/// Histories hold more than one request may.
const MAX_BYTES: usize = 16 * MAX_BODY_BYTES;

type Answer = Result<Json<Payloads>, (StatusCode, String)>;

/// Serves until it is aborted. Browsers may ask from pages of `ui_url` alone.
pub async fn serve_codec(engine: Arc<Engine>, ui_url: Option<&str>, listener: TcpListener) {
    let pages = ui_url.and_then(|url| HeaderValue::from_str(url.trim_end_matches('/')).ok());
    let cors = CorsLayer::new().allow_headers(AllowHeaders::mirror_request()).allow_credentials(true);
    let cors = pages.map_or(cors.clone(), |pages| cors.allow_origin(pages));
    let routes = Router::new()
        .route("/decode", post(decode))
        .route("/encode", post(encode))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BYTES))
        .layer(cors)
        .with_state(engine);
    web::serve(listener, routes, Limits::small(), pending()).await;
}

async fn decode(State(engine): State<Arc<Engine>>, Json(payloads): Json<Payloads>) -> Answer {
    engine.decode(payloads).map(Json).map_err(|why| (StatusCode::BAD_REQUEST, why))
}

async fn encode(State(engine): State<Arc<Engine>>, Json(payloads): Json<Payloads>) -> Answer {
    engine.encode(payloads).map(Json).map_err(|why| (StatusCode::BAD_REQUEST, why))
}
