//! The routes within what every request goes through, and how they are served.

use std::{future::pending, net::SocketAddr, time::Duration};

use axum::{Router, middleware};
use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;
use web::Limits;

use crate::{
    accounts,
    app::App,
    auth, cause,
    error::Problem,
    gateway::{Gateway, Layers, rate_limits},
    hosted,
    in_process::InProcess,
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
    let layers = Layers::new(app.gateway.clone());
    let known = query::Known::new(routes.get_openapi());
    let (documented, openapi) = routes
        .route_layer(middleware::from_fn_with_state(known, query::refuse_unknown))
        .route_layer(middleware::from_fn_with_state(gate.clone(), auth::authorize))
        .route_layer(middleware::from_fn_with_state(layers.limiters.clone(), rate_limits::of_callers))
        .route_layer(middleware::from_fn_with_state(gate, auth::authenticate))
        .route_layer(middleware::from_fn_with_state(layers.limiters.clone(), rate_limits::of_strangers))
        .merge(if with_accounts { strangers(&layers) } else { OpenApiRouter::new() })
        .merge(webhooks::routes())
        .split_for_parts();
    let (operations, of_operations) = operations::routes().split_for_parts();
    let openapi = openapi.merge_from(of_operations);
    let pages = if app.with_docs { openapi::pages(&openapi) } else { Router::new() };
    let hosted = app.hosted.clone().map(hosted::routes).unwrap_or_default();
    let visitors = middleware::from_fn_with_state(layers.limiters.clone(), rate_limits::of_visitors);
    let api = framed(documented.fallback(nothing));
    let beside = beside(&app, &layers, &api);
    layers
        .around_api(api)
        .merge(layers.around(framed(operations)))
        .merge(layers.around_pages(framed(pages.merge(hosted).layer(visitors))))
        .with_state(app)
        .merge(beside)
}

/// Pages that call the API within this process. Whoever comes without a session is counted by address.
fn beside(app: &App, layers: &Layers, api: &Router<App>) -> Router {
    let Some(pages) = &app.pages else { return Router::new() };
    let api = api.clone().with_state(app.clone());
    let in_process = InProcess::new(api, app, layers.limiters.clone());
    let strangers = middleware::from_fn_with_state(layers.limiters.clone(), rate_limits::of_strangers);
    layers.around_pages(framed(pages(in_process).layer(strangers)))
}

/// What may be asked for without a key or a token: counted by address before anything is done.
fn strangers(layers: &Layers) -> OpenApiRouter<App> {
    let visitors = middleware::from_fn_with_state(layers.limiters.clone(), rate_limits::of_visitors);
    accounts::public_routes().route_layer(visitors)
}

/// The routes, within what every request of ours goes through.
fn framed<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(middleware::from_fn(cause::of_request))
        .layer(middleware::from_fn(request::frame))
}

async fn nothing() -> Problem {
    Problem::not_found("route_not_found", "There is nothing at this address.")
}

/// Health and metrics alone, for a process that has no other HTTP.
pub async fn serve_operations(asked: Operations, listener: TcpListener) {
    let (routes, _) = operations::routes().with_state(asked).split_for_parts();
    let routes = Layers::new(Gateway::default()).around(framed(routes.fallback(nothing)));
    web::serve(listener, routes, Limits::small(), pending()).await;
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
    let (dispatcher, behind, feed) = (app.dispatcher.clone(), app.behind.clone(), app.feed.clone());
    let stop = async move {
        stop.await;
        feed.end(); // streams have no end of their own
    };
    web::serve(listener, router(app), limits, stop).await;
    tokio::join!(dispatcher.drain(), behind.drain(DRAIN_PATIENCE));
}
