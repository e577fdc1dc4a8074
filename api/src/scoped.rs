//! Routes that want an API key, each beside the scope that the key must have.

use std::collections::HashMap;

use axum::http::Method;
use utoipa::openapi::{OpenApi, path::PathItem, security::SecurityRequirement};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::app::App;
pub use domain::api_key::Scope;

/// What the OpenAPI document calls the way to send a key.
pub const SECURITY_SCHEME: &str = "api_key";

/// Routes with their scopes. There is no way to add one without: it does not compile.
#[derive(Default)]
pub struct Scoped {
    router: OpenApiRouter<App>,
    wanted: Wanted,
}

impl Scoped {
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, within a document.
    pub fn within(document: OpenApi) -> Self {
        Self { router: OpenApiRouter::with_openapi(document), wanted: Wanted::default() }
    }

    /// Adds handlers (by `routes!`) for which a key must have this scope. The document says so, too.
    pub fn with(mut self, scope: Scope, routes: UtoipaMethodRouter<App>) -> Self {
        let (schemas, mut paths, methods) = routes;
        for (path, item) in &mut paths.paths {
            for (method, security) in operations(item) {
                *security = Some(vec![SecurityRequirement::new(SECURITY_SCHEME, [scope.as_str()])]);
                self.wanted.0.entry(path.clone()).or_default().push((method, scope));
            }
        }
        Self { router: self.router.routes((schemas, paths, methods)), wanted: self.wanted }
    }

    pub fn merge(mut self, other: Self) -> Self {
        for (path, methods) in other.wanted.0 {
            self.wanted.0.entry(path).or_default().extend(methods);
        }
        Self { router: self.router.merge(other.router), wanted: self.wanted }
    }

    /// The routes, to be put behind [`crate::auth::authenticate`] and [`crate::auth::authorize`], and what they want.
    pub fn into_parts(self) -> (OpenApiRouter<App>, Wanted) {
        (self.router, self.wanted)
    }
}

type Security = Option<Vec<SecurityRequirement>>;

/// What each operation of a path wants.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Security)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
        (Method::HEAD, &mut item.head),
        (Method::OPTIONS, &mut item.options),
        (Method::TRACE, &mut item.trace),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, &mut operation.as_mut()?.security)))
}

/// Which scope each route wants.
#[derive(Default)]
pub struct Wanted(HashMap<String, Vec<(Method, Scope)>>);

impl Wanted {
    /// None: the path has no such method.
    pub fn scope(&self, method: &Method, path: &str) -> Option<Scope> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let (_, scope) = self.0.get(path)?.iter().find(|(of, _)| of == method)?;
        Some(*scope)
    }
}
