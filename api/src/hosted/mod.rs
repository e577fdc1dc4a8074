//! `/o/{token}`: the pages that a customer sees, by the link in a mail. All that a server renders for
//! customers is here; the templates and the words are in the crate `wording`.
//!
//! Whoever has the link may see one order, pay it and cancel it, and nothing else: there is no cookie and no
//! session. The same functions do it that serve the API.

mod act;
mod order_page;
mod qr;
mod visitor;

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware,
    response::{Html, IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use identity::LinkKeys;
use reqwest::Url;
use sha2::{Digest as _, Sha256};
use wording::{
    Local, Shop, Templates,
    page::{self, Message, Page},
};

use crate::app::App;

/// What the pages are made of. Without it there are none.
pub struct HostedPages {
    keys: LinkKeys,
    templates: Templates,
    shop: Shop,
    /// Whom a customer may ask.
    reply_to: Option<String>,
    /// Where customers reach the API: what stands before `/o/`, and what browsers call it.
    prefix: String,
    origin: String,
    policy: HeaderValue,
}

impl HostedPages {
    pub fn new(keys: LinkKeys, public_url: &Url, shop: Shop, reply_to: Option<String>) -> Self {
        Self {
            keys,
            templates: Templates::ours(),
            policy: policy(&page::css(&shop)),
            prefix: public_url.path().trim_end_matches('/').to_owned(),
            origin: public_url.origin().ascii_serialization(),
            shop,
            reply_to,
        }
    }

    /// A page, in a language.
    fn render(&self, page: &Page, local: &Local, status: StatusCode) -> Response {
        match self.templates.page(page, local, &self.shop, self.reply_to.as_deref()) {
            Ok(html) => (status, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(%error, "a page cannot be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    fn message(&self, what: Message, back: Option<String>, local: &Local, status: StatusCode) -> Response {
        self.render(&Page::Message { what, back }, local, status)
    }
}

/// Nothing is loaded, run or shown but the page itself, with this one style; its forms go to us alone.
fn policy(css: &str) -> HeaderValue {
    let hash = STANDARD.encode(Sha256::digest(css));
    let mut policy = String::from("default-src 'none'; base-uri 'none'; frame-ancestors 'none'; ");
    let _ = write!(policy, "form-action 'self'; style-src 'sha256-{hash}'"); // to memory: it cannot fail
    HeaderValue::from_str(&policy).expect("it is of ASCII that can be seen")
}

/// The pages. They are no part of the API's document.
pub fn routes(pages: Arc<HostedPages>) -> Router<App> {
    Router::new()
        .route("/o/{token}", get(order_page::show))
        .route("/o/{token}/pay", post(act::pay).get(act::back))
        .route("/o/{token}/play", post(act::play).get(act::back))
        .route("/o/{token}/cancel", get(act::ask_to_cancel).post(act::cancel))
        .route("/o/{token}/unsubscribe", get(act::ask_to_unsubscribe).post(act::unsubscribe))
        .layer(middleware::map_response_with_state(pages, guard))
}

async fn guard(State(pages): State<Arc<HostedPages>>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, pages.policy.clone());
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let robots = HeaderName::from_static("x-robots-tag");
    headers.insert(robots, HeaderValue::from_static("noindex, nofollow"));
    response
}
