//! The routes within what every request goes through, and how they are served.

use std::{future::pending, net::SocketAddr, time::Duration};

use axum::{Router, middleware};
use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;
use web::Limits;

use crate::{
    accounts,
    app::App,
    auth,
    error::Problem,
    openapi,
    operations::{self, Operations},
    query, request, webhooks,
};

/// How long the end of the program waits for what goes on after responses.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

fn router(app: App) -> Router {
    let with_accounts = app.accounts.is_some();
    let (routes, wanted) = openapi::routes(app.sandbox.is_some(), with_accounts).into_parts();
    let gate = auth::Gate::new(app.keys.clone(), wanted);
    let known = query::Known::new(routes.get_openapi());
    let (documented, openapi) = routes
        .route_layer(middleware::from_fn_with_state(known, query::refuse_unknown))
        .route_layer(middleware::from_fn_with_state(gate, auth::require))
        .merge(if with_accounts { accounts::public_routes() } else { OpenApiRouter::new() })
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
