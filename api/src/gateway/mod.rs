//! What stands between the network and the routes (docs/adr/0037): who may read answers in a browser, how
//! answers travel, where a request comes from, and how many of them are answered.

mod address;
mod compression;
mod cors;
mod preflight;
pub mod rate_limits;
mod security_headers;

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware};

pub use address::{ClientAddress, TrustedProxies};
pub use cors::Origin;
pub use rate_limits::{RateLimit, RateLimits};

use rate_limits::Limiters;

/// How the API meets the network. By default: no other origin, no proxy that is believed, and the default
/// rate limits.
#[derive(Debug, Clone, Default)]
pub struct Gateway {
    /// Origins whose pages may read answers.
    pub origins: Vec<Origin>,
    pub proxies: TrustedProxies,
    pub rate_limits: RateLimits,
    /// How long browsers are told to come by TLS alone. None: they are told nothing.
    pub hsts: Option<Duration>,
}

/// What is made of it for the router.
#[derive(Clone)]
pub struct Layers {
    gateway: Arc<Gateway>,
    pub limiters: Limiters,
}

impl Layers {
    pub fn new(gateway: Gateway) -> Self {
        Self { limiters: Limiters::new(&gateway.rate_limits), gateway: Arc::new(gateway) }
    }

    /// For routes of the API, also where an answer is an error: else a browser shows its page nothing of it.
    pub fn around_api<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>) -> Router<S> {
        let routes = self.around(routes.layer(compression::layer()));
        match self.gateway.origins.as_slice() {
            [] => routes,
            origins => routes.layer(cors::layer(origins)),
        }
    }

    /// For pages to read, of any origin.
    pub fn around_pages<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>) -> Router<S> {
        self.around(routes.layer(compression::layer()))
    }

    /// For everything.
    pub fn around<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>) -> Router<S> {
        let hsts = security_headers::hsts(self.gateway.hsts);
        routes
            .layer(middleware::from_fn_with_state(self.gateway.clone(), address::resolve))
            .layer(middleware::map_response_with_state(hsts, security_headers::add))
    }
}
