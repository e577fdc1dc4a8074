//! How many requests are answered to each who calls: GCRA, kept in this process alone (docs/adr/0037).
//!
//! Who shows a good key is counted by it, for each group of routes; who does not, by address. Told in
//! `RateLimit-Policy` and `RateLimit`, as in draft-ietf-httpapi-ratelimit-headers-11.

mod buckets;
mod limiter;
mod settings;

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{Extensions, HeaderName, Method, StatusCode},
    middleware::Next,
    response::Response,
};
use governor::clock::DefaultClock;

use super::ClientAddress;
use crate::{auth::Caller, in_process::Stranger, request::OfStranger};
use buckets::Who;
use limiter::Limiter;
pub use limiter::Told;
pub use settings::{Group, RateLimit, RateLimits};

pub static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Routes that add up what is in much of the database.
const REPORTS: [&str; 2] = ["/v1/settlements", "/v1/overview"];

/// A limiter for each group that has a limit. Cheap to clone.
#[derive(Clone)]
pub struct Limiters(Arc<[(Group, Limiter)]>);

impl Limiters {
    pub fn new(limits: &RateLimits) -> Self {
        let limiter = |group| Some((group, Limiter::new(group, limits.of(group)?, DefaultClock::default())?));
        Self(Group::ALL.into_iter().filter_map(limiter).collect())
    }

    fn of(&self, group: Group) -> Option<&Limiter> {
        self.0.iter().find(|(of, _)| *of == group).map(|(_, limiter)| limiter)
    }

    fn of_strangers(&self, request: &Extensions) -> Option<(&Limiter, Who)> {
        let address = request.get::<ClientAddress>()?;
        Some((self.of(Group::Strangers)?, Who::Network(address.network())))
    }

    /// Counts a request as a stranger's before it is looked at who it is. None: strangers have no limit.
    ///
    /// # Errors
    /// The answer, 429: it is one too many.
    pub fn count_stranger(&self, request: &Extensions) -> Result<Option<Told>, Box<Response>> {
        match self.of_strangers(request) {
            Some((limiter, who)) => limiter.check(&who).map(Some).map_err(of_stranger),
            None => Ok(None),
        }
    }
}

/// Figures of routes are not made by who is nobody.
fn of_stranger(mut refusal: Box<Response>) -> Box<Response> {
    refusal.extensions_mut().insert(OfStranger);
    refusal
}

/// Who is known is counted before anything is done for them, and after their key was looked at.
pub async fn of_callers(
    State(limiters): State<Limiters>,
    path: MatchedPath,
    caller: Caller,
    request: Request,
    next: Next,
) -> Response {
    let group = match caller.customer() {
        Some(_) => Group::Customers,
        None => group(request.method(), path.as_str()),
    };
    let Some(limiter) = limiters.of(group) else {
        return next.run(request).await;
    };
    match limiter.check(&Who::Caller(caller.identity().clone())) {
        Err(refusal) => *refusal,
        Ok(told) => {
            let mut response = next.run(request).await;
            told.add_to(response.headers_mut());
            response
        }
    }
}

/// What limits a request of the shop's.
fn group(method: &Method, path: &str) -> Group {
    match *method {
        _ if REPORTS.contains(&path) => Group::Reports,
        Method::GET | Method::HEAD => Group::Reads,
        _ => Group::Writes,
    }
}

/// Who turns out to be a stranger is counted by address. Who has a good key is not refused for others that
/// come from there: so this is asked after the key, which costs us as much either way.
pub async fn of_strangers(State(limiters): State<Limiters>, request: Request, next: Next) -> Response {
    let Some((limiter, who)) = limiters.of_strangers(request.extensions()) else {
        return next.run(request).await;
    };
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Stranger>() {
        // Counted already, before anybody looked.
        Some(Stranger(Some(told))) => {
            told.add_to(response.headers_mut());
            return response;
        }
        Some(Stranger(None)) => {}
        None if response.status() == StatusCode::UNAUTHORIZED => {}
        None => return response,
    }
    match limiter.check(&who) {
        Ok(told) => told.add_to(response.headers_mut()),
        Err(refusal) => response = *of_stranger(refusal),
    }
    response
}

/// For pages that anybody may read: refused before they are made.
pub async fn of_visitors(State(limiters): State<Limiters>, request: Request, next: Next) -> Response {
    let Some((limiter, who)) = limiters.of_strangers(request.extensions()) else {
        return next.run(request).await;
    };
    match limiter.check(&who) {
        Err(refusal) => *refusal,
        Ok(told) => {
            let mut response = next.run(request).await;
            told.add_to(response.headers_mut());
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_routes_of_ours() {
        let (routes, _) = crate::openapi::routes(false, false).into_parts();
        for path in REPORTS {
            assert!(routes.get_openapi().paths.paths.contains_key(path), "{path}");
        }
    }
}
