//! Routes that want an API key or a customer's token, each beside who may use it.

use std::collections::HashMap;

use axum::http::Method;
use utoipa::openapi::{OpenApi, path::PathItem, security::SecurityRequirement};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::app::App;
pub use domain::api_key::Scope;

/// What the OpenAPI document calls the way to send a key.
pub const SECURITY_SCHEME: &str = "api_key";
/// And the way to send a customer's token.
pub const CUSTOMER_SCHEME: &str = "customer_token";

const NO_SCOPES: [&str; 0] = [];

/// Routes with who may use them: [`Scoped::with`] for keys, [`Scoped::shared`] for keys and customers,
/// [`Scoped::for_customers`] for customers alone. There is no way to add one without: it does not compile.
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
    pub fn with(self, scope: Scope, routes: UtoipaMethodRouter<App>) -> Self {
        self.add(scope, false, routes)
    }

    /// The same; customers may use them, too, for what is theirs.
    pub fn shared(self, scope: Scope, routes: UtoipaMethodRouter<App>) -> Self {
        self.add(scope, true, routes)
    }

    /// Adds handlers that are for customers alone.
    pub fn for_customers(mut self, routes: UtoipaMethodRouter<App>) -> Self {
        let (schemas, mut paths, methods) = routes;
        for (path, item) in &mut paths.paths {
            for (method, security) in operations(item) {
                *security = Some(vec![SecurityRequirement::new(CUSTOMER_SCHEME, NO_SCOPES)]);
                let access = Access { scope: None, customers: true };
                self.wanted.0.entry(path.clone()).or_default().push((method, access));
            }
        }
        Self { router: self.router.routes((schemas, paths, methods)), wanted: self.wanted }
    }

    fn add(mut self, scope: Scope, customers: bool, routes: UtoipaMethodRouter<App>) -> Self {
        let (schemas, mut paths, methods) = routes;
        for (path, item) in &mut paths.paths {
            for (method, security) in operations(item) {
                let with_key = SecurityRequirement::new(SECURITY_SCHEME, [scope.as_str()]);
                let with_token = customers.then(|| SecurityRequirement::new(CUSTOMER_SCHEME, NO_SCOPES));
                *security = Some([Some(with_key), with_token].into_iter().flatten().collect());
                self.wanted
                    .0
                    .entry(path.clone())
                    .or_default()
                    .push((method, Access { scope: Some(scope), customers }));
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

    /// The routes, to be put behind [`crate::auth::authenticate`] and [`crate::auth::authorize`], and who may
    /// use each.
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

/// Who may use a route.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// Which scope a key must have. None: it is no route for keys.
    pub scope: Option<Scope>,
    /// Whether customers may use it.
    pub customers: bool,
}

/// Who may use each route.
#[derive(Default)]
pub struct Wanted(HashMap<String, Vec<(Method, Access)>>);

impl Wanted {
    /// None: the path has no such method.
    pub fn access(&self, method: &Method, path: &str) -> Option<Access> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let (_, access) = self.0.get(path)?.iter().find(|(of, _)| of == method)?;
        Some(*access)
    }
}
