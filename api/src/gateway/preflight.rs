//! Which requests are about what a page in a browser may do. tower-http takes each `OPTIONS` for a preflight
//! and answers it 200; one that asks for no method is a method that we do not have, as it is without CORS.

use std::task::{Context, Poll, ready};

use axum::{
    extract::Request,
    http::{Method, header},
    response::Response,
};
use futures_util::future::Either;
use tower::{Layer, Service};
use tower_http::cors::{Cors, CorsLayer};

/// The layer, for all but those.
#[derive(Clone)]
pub struct ForPages(pub CorsLayer);

impl<S: Clone> Layer<S> for ForPages {
    type Service = PagesOrOthers<S>;

    fn layer(&self, inner: S) -> PagesOrOthers<S> {
        PagesOrOthers { pages: self.0.layer(inner.clone()), others: inner }
    }
}

#[derive(Clone)]
pub struct PagesOrOthers<S> {
    pages: Cors<S>,
    others: S,
}

impl<S> Service<Request> for PagesOrOthers<S>
where
    S: Service<Request, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<<Cors<S> as Service<Request>>::Future, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.pages.poll_ready(context))?;
        self.others.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let asks_for_nothing = request.method() == Method::OPTIONS
            && !request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        match asks_for_nothing {
            true => Either::Right(self.others.call(request)),
            false => Either::Left(self.pages.call(request)),
        }
    }
}
