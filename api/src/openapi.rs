//! The OpenAPI document, made from the handlers themselves, and a page to try it.

use axum::Router;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{App, error::ProblemDocument, inventory, orders, products, sandbox};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Holdfast",
        description = "Holds stock until the money arrives. Amounts are integer minor units; times are RFC 3339 UTC; \
                       durations ISO 8601. Errors are RFC 9457 problem details with a stable `code`."
    ),
    components(schemas(ProblemDocument)),
    modifiers(&BearerKey)
)]
struct Api;

struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("api_key", scheme);
        document.security = Some(vec![SecurityRequirement::new("api_key", Vec::<String>::new())]);
    }
}

/// Every route that wants a key, with its documentation.
pub fn routes(with_sandbox: bool) -> OpenApiRouter<App> {
    let routes = OpenApiRouter::with_openapi(Api::openapi())
        .merge(products::routes())
        .merge(inventory::routes())
        .merge(orders::routes());
    match with_sandbox {
        true => routes.merge(sandbox::routes()),
        false => routes,
    }
}

/// `/openapi.json`, and `/docs` to try it (served from the program itself, nothing is loaded from elsewhere).
pub fn pages(document: Document) -> Router<App> {
    SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .config(Config::default().persist_authorization(true).try_it_out_enabled(true))
        .into()
}
