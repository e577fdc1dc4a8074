//! HTTP in and out. Handlers parse, call `store` or `engine`, and answer; they decide nothing.

mod auth;
mod behind;
mod codec;
mod condition;
mod error;
mod exceptions;
mod extract;
mod inventory;
mod ledger;
mod list;
mod openapi;
mod operations;
mod orders;
mod payments;
mod products;
mod refunds;
mod request;
mod sandbox;
mod settlements;
mod stays;
mod webhooks;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use engine::{Dispatcher, Engine};
use jiff::{Timestamp, Unit};
use providers::{Providers, sandbox::Sandbox};
use store::{Db, Door};
use telemetry::SdkMetrics;
use tokio::net::TcpListener;

pub use auth::ApiKeys;
use behind::Behind;
pub use codec::serve_codec;
use error::Problem;
pub use operations::Operations;

/// The largest request body. An order of 100 lines with full metadata is about 30 KB.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// How long the end of the program waits for what goes on behind answers.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub db: Db,
    pub door: Door,
    pub engine: Arc<Engine>,
    pub dispatcher: Dispatcher,
    behind: Behind,
    pub api_keys: ApiKeys,
    /// Routes to play with the sandbox provider. Never in production.
    pub sandbox: Option<Arc<Sandbox>>,
    pub sdk_metrics: SdkMetrics,
    pub providers: Providers,
}

impl App {
    pub fn new(
        db: Db,
        door: Door,
        engine: Arc<Engine>,
        api_keys: ApiKeys,
        providers: Providers,
        sdk_metrics: SdkMetrics,
    ) -> Self {
        let dispatcher = Dispatcher::new(db.clone(), engine.clone());
        let behind = Behind::new();
        Self { db, door, engine, dispatcher, behind, api_keys, sandbox: None, sdk_metrics, providers }
    }

    /// Adds the routes to play with the sandbox payment provider.
    pub fn with_sandbox(self, sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox: Some(sandbox), ..self }
    }
}

/// Now, as PostgreSQL can store it: an answer must show the same time as a later read.
fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Microsecond).unwrap_or(now)
}

pub fn router(app: App) -> Router {
    let with_key = middleware::from_fn_with_state(app.clone(), auth::require_key);
    let (documented, openapi) = openapi::routes(app.sandbox.is_some())
        .route_layer(with_key)
        .merge(webhooks::routes())
        .merge(operations::routes())
        .split_for_parts();
    documented
        .merge(openapi::pages(openapi))
        .fallback(|| async { Problem::not_found("route_not_found", "There is nothing at this address.") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(request::frame))
        .with_state(app)
}

/// Health and metrics alone, for a process that has no other HTTP.
pub async fn serve_operations(asked: Operations, listener: TcpListener) -> anyhow::Result<()> {
    let (routes, _) = operations::routes().with_state(asked).split_for_parts();
    Ok(axum::serve(listener, routes).await?)
}

/// Where a process on this machine reaches a listener that may be bound to every address.
pub fn loopback(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => SocketAddr::from(([127, 0, 0, 1], address.port())),
        false => address,
    }
}

/// Serves until `stop` resolves, then lets what is under way finish: answers first, then hand-overs.
pub async fn serve(
    app: App,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let (dispatcher, behind) = (app.dispatcher.clone(), app.behind.clone());
    axum::serve(listener, router(app)).with_graceful_shutdown(stop).await?;
    tokio::join!(dispatcher.drain(), behind.drain(DRAIN_PATIENCE));
    Ok(())
}
