//! The OpenAPI document, made from the handlers themselves, and a page to try it.

mod asyncapi;
mod complete;
mod flatten;
mod meaning;
mod timeline;

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    http::{HeaderValue, header},
    middleware,
    response::{Html, Response},
    routing::{MethodRouter, get},
};
use domain::api_key::Scope;
use serde_json::{Value, json};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    accounts,
    app::App,
    error::{Problem, ProblemDocument},
    events, exceptions, inventory, keys, ledger, orders, overview, payments, products, refunds, sandbox,
    scoped::{CUSTOMER_SCHEME, SECURITY_SCHEME, Scoped},
    settlements, stays, webhook_endpoints,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Holdfast",
        description = "Holds stock until the money arrives. Amounts are integer minor units; times are \
                       RFC 3339 UTC; durations ISO 8601. Errors are RFC 9457 problem details with a stable \
                       `code`. Answers to who has a key tell in `RateLimit-Policy` and `RateLimit` how many \
                       requests are left; one too many is answered 429 with `Retry-After`."
    ),
    servers((url = "/", description = "Where this document is served")),
    tags(
        (name = "Orders", description = "From the placement to the end, and what happened in between"),
        (name = "Payments",
            description = "Attempts to pay, refunds, money that no rule settled, and settlements"),
        (name = "Catalogue", description = "What is sold, and the history of it"),
        (name = "Stays", description = "What is sold by the night"),
        (name = "Stock", description = "Pieces on hand and held, and every movement of them"),
        (name = "Events", description = "What others are told: read, followed, sent to webhooks"),
        (name = "Accounts", description = "Customers who sign in with an address and a password"),
        (name = "Keys", description = "Who may call, and for what"),
        (name = "Webhooks", description = "For payment providers"),
        (name = "Sandbox",
            description = "To play: payments of a provider that is none, and time that passes"),
        (name = "Operations", description = "Health and figures")
    ),
    components(schemas(ProblemDocument)),
    modifiers(&BearerKey)
)]
struct Api;

struct BearerKey;

const ABOUT_KEYS: &str = "An API key: of the environment, good for everything, or one that was issued by \
    `POST /v1/keys` with some scopes. Each operation names the one scope that it wants; none includes \
    another.";

const ABOUT_TOKENS: &str = "An access token of a customer: of an account here (`POST /v1/sessions`), or of \
    the shop's identity provider. It opens what is the customer's own, and nothing else.";

impl Modify for BearerKey {
    fn modify(&self, document: &mut Document) {
        let scopes = Scope::ALL.map(|scope| format!("- `{scope}`: {}", scope.meaning()));
        let description = format!("{ABOUT_KEYS}\n\n{}", scopes.join("\n"));
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(SECURITY_SCHEME, SecurityScheme::Http(scheme));
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
        let token = token.description(Some(ABOUT_TOKENS)).build();
        components.add_security_scheme(CUSTOMER_SCHEME, SecurityScheme::Http(token));
        document.security = Some(vec![SecurityRequirement::new(SECURITY_SCHEME, Vec::<String>::new())]);
    }
}

/// Every route that wants a key, with its documentation.
pub fn routes(with_sandbox: bool, with_accounts: bool) -> Scoped {
    let routes = Scoped::within(Api::openapi())
        .merge(products::routes())
        .merge(stays::routes())
        .merge(inventory::routes())
        .merge(ledger::routes())
        .merge(orders::routes())
        .merge(payments::routes())
        .merge(refunds::routes())
        .merge(exceptions::routes())
        .merge(settlements::routes())
        .merge(overview::routes())
        .merge(events::routes())
        .merge(webhook_endpoints::routes())
        .merge(keys::routes());
    let routes = if with_accounts { routes.merge(accounts::routes()) } else { routes };
    match with_sandbox {
        true => routes.merge(sandbox::routes()),
        false => routes,
    }
}

/// `/openapi.json`, and `/docs` to try it, `/asyncapi.json` and the schemas of events, served from the
/// program itself.
pub fn pages(document: &Document) -> Router<App> {
    let config = Config::new([DOCUMENT]).persist_authorization(true).try_it_out_enabled(true);
    // Written once: anybody may ask, and need not take the answer.
    let document = complete::complete(json!(document));
    let mut pages = Router::from(SwaggerUi::new(FILES).config(config))
        .route(DOCUMENT, served("application/json", &document))
        .route("/asyncapi.json", served("application/json", &asyncapi::asyncapi(&document)))
        .route("/docs", get(page))
        .route(asyncapi::SCHEMAS, get(async || no_schema()));
    for (address, schema) in asyncapi::data_schemas(&document) {
        pages = pages.route(&address, served("application/schema+json", &schema));
    }
    pages.layer(middleware::map_response(guard))
}

fn no_schema() -> Problem {
    let detail = "There is no event of this type, or its data never had this version.";
    Problem::not_found("event_schema_not_found", detail)
}

/// A document that is always the same.
fn served(content_type: &'static str, document: &Value) -> MethodRouter<App> {
    let text = Bytes::from(document.to_string());
    get(async move || ([(header::CONTENT_TYPE, content_type)], text.clone()))
}

/// The page holds the API key that somebody types in: it runs no script but its own, talks to nobody but us,
/// and is shown in nobody's frame.
async fn guard(mut response: Response) -> Response {
    let guards = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "max-age=300"), // the same for everybody, until the next release
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let headers = response.headers_mut();
    headers.extend(guards.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// Swagger UI writes styles into its elements, and has its pictures in them.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
    base-uri 'self'; form-action 'none'; frame-ancestors 'none'";
const DOCUMENT: &str = "/openapi.json";
const FILES: &str = "/docs/files";

/// The page at its own address, without a redirect; its files are found below [`FILES`].
async fn page() -> Result<Html<String>, Problem> {
    let file = utoipa_swagger_ui::serve("index.html", Arc::new(Config::default()));
    let page = file.ok().flatten().and_then(|file| String::from_utf8(file.bytes.into_owned()).ok());
    let page = page.ok_or_else(Problem::internal)?; // it is compiled into this program
    Ok(Html(page.replacen("<head>", &format!("<head><base href=\"{FILES}/\">"), 1)))
}

#[cfg(test)]
mod tests;
