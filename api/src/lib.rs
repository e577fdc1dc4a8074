//! HTTP in and out. Handlers parse, call `store` or `engine`, and answer; they decide nothing.

mod auth;
mod behind;
mod bodies;
mod codec;
mod condition;
mod error;
mod exceptions;
mod extract;
mod figures;
mod headers;
mod inventory;
mod ledger;
mod list;
mod openapi;
mod operations;
mod orders;
mod payments;
mod products;
mod query;
mod refunds;
mod request;
mod sandbox;
mod settlements;
mod stays;
mod webhooks;

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, middleware};
use engine::{Dispatcher, Engine};
use jiff::{Timestamp, Unit};
use providers::{Providers, sandbox::Sandbox};
use store::{Db, PlacementBatcher};
use telemetry::SdkMetrics;
use tokio::net::TcpListener;
use web::Limits;

pub use auth::ApiKeys;
use behind::Behind;
pub use codec::serve_codec;
use error::Problem;
pub use figures::MailProbe;
pub use operations::Operations;

/// The largest request body. An order of 100 lines with full metadata is about 30 KB.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// How long the end of the program waits for what goes on behind answers.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub db: Db,
    pub placements: PlacementBatcher,
    pub engine: Arc<Engine>,
    pub dispatcher: Dispatcher,
    behind: Behind,
    pub api_keys: ApiKeys,
    /// Routes to play with the sandbox provider. Never in production.
    pub sandbox: Option<Arc<Sandbox>>,
    pub providers: Providers,
    operations: Operations,
    /// Whether `/docs` and `/openapi.json` are served.
    with_docs: bool,
}

impl App {
    pub fn new(
        db: Db,
        placements: PlacementBatcher,
        engine: Arc<Engine>,
        api_keys: ApiKeys,
        providers: Providers,
        sdk_metrics: SdkMetrics,
    ) -> Self {
        let dispatcher = Dispatcher::new(db.clone(), engine.clone());
        let behind = Behind::new();
        let operations = Operations::new(db.clone(), engine.clone(), sdk_metrics);
        Self {
            db,
            placements,
            engine,
            dispatcher,
            behind,
            api_keys,
            sandbox: None,
            providers,
            operations,
            with_docs: true,
        }
    }

    /// Tells in `/metrics` whether mails can be sent.
    pub fn with_mail(self, probe: MailProbe) -> Self {
        Self { operations: self.operations.with_mail(probe), ..self }
    }

    /// Serves no page to try the API on.
    pub fn without_docs(self) -> Self {
        Self { with_docs: false, ..self }
    }

    /// Adds the routes to play with the sandbox payment provider.
    pub fn with_sandbox(self, sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox: Some(sandbox), ..self }
    }
}

/// Now, as PostgreSQL can store it: an answer must show the same time as a later read.
#[expect(clippy::disallowed_methods, reason = "the edge: every request takes its time from here")]
fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Microsecond).unwrap_or(now)
}

pub fn router(app: App) -> Router {
    let with_key = middleware::from_fn_with_state(app.clone(), auth::require_key);
    let routes = openapi::routes(app.sandbox.is_some());
    let known = query::Known::new(routes.get_openapi());
    let (documented, openapi) = routes
        .route_layer(middleware::from_fn_with_state(known, query::refuse_unknown))
        .route_layer(with_key)
        .merge(webhooks::routes())
        .merge(operations::routes())
        .split_for_parts();
    let pages = if app.with_docs { openapi::pages(&openapi) } else { Router::new() };
    framed(documented.merge(pages)).with_state(app)
}

/// The routes, within what every request of ours goes through.
fn framed<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .fallback(|| async { Problem::not_found("route_not_found", "There is nothing at this address.") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(middleware::from_fn(request::frame))
}

/// Health and metrics alone, for a process that has no other HTTP.
pub async fn serve_operations(asked: Operations, listener: TcpListener) {
    let (routes, _) = operations::routes().with_state(asked).split_for_parts();
    web::serve(listener, framed(routes), Limits::small(), pending()).await;
}

/// Where a process on this machine reaches a listener that may be bound to every address.
pub fn loopback(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => SocketAddr::from(([127, 0, 0, 1], address.port())),
        false => address,
    }
}

/// Serves until `stop` resolves, then lets what is under way finish: answers first, then hand-overs.
pub async fn serve(app: App, listener: TcpListener, limits: Limits, stop: impl Future<Output = ()>) {
    let (dispatcher, behind) = (app.dispatcher.clone(), app.behind.clone());
    web::serve(listener, router(app), limits, stop).await;
    tokio::join!(dispatcher.drain(), behind.drain(DRAIN_PATIENCE));
}
