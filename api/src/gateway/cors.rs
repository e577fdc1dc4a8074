//! Which pages in browsers may call the API: those of the origins that are configured, and no others.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use reqwest::Url;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{
    gateway::{
        preflight::ForPages,
        rate_limits::{RATE_LIMIT, RATE_LIMIT_POLICY},
    },
    headers::{REQUEST_ID, TRACEPARENT},
};

/// So long browsers need not ask again before they call. None of them believes more than two hours.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(2 * 3600);

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
static IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// An origin as browsers write it: `https://shop.example`.
#[derive(Debug, Clone)]
pub struct Origin(HeaderValue);

impl Origin {
    /// # Errors
    /// A sentence for who configures it: browsers compare byte by byte, so nothing else would ever match.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Err(
                "`*` would let any page on the internet call with a key that somebody typed into it; \
                        name each origin, such as https://shop.example"
                    .to_owned(),
            );
        }
        let written = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && !text.contains('*'))
            .map(|url| url.origin().ascii_serialization());
        match written {
            Some(written) if written == text => {
                HeaderValue::from_str(text).map(Self).map_err(|error| error.to_string())
            }
            Some(written) => Err(format!("`{text}` must be written as browsers do: {written}")),
            None => Err(format!("`{text}` is no origin; they look like https://shop.example")),
        }
    }
}

/// No cookies and the like: who calls sends a token. A preflight is answered here, without a key.
pub fn layer(origins: &[Origin]) -> ForPages {
    let sent = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        IDEMPOTENCY_KEY.clone(),
        LAST_EVENT_ID.clone(),
        REQUEST_ID.clone(),
        TRACEPARENT.clone(),
        TRACESTATE.clone(),
    ];
    let shown = [
        header::ETAG,
        header::LOCATION,
        header::RETRY_AFTER,
        header::WWW_AUTHENTICATE,
        IDEMPOTENT_REPLAYED.clone(),
        RATE_LIMIT.clone(),
        RATE_LIMIT_POLICY.clone(),
        REQUEST_ID.clone(),
        TRACEPARENT.clone(),
    ];
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().map(|origin| origin.0.clone())))
        .allow_methods(methods)
        .allow_headers(sent)
        .expose_headers(shown)
        .max_age(PREFLIGHT_MAX_AGE);
    ForPages(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for good in ["https://shop.example", "http://127.0.0.1:5173", "https://[::1]:8443"] {
            assert!(Origin::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "shop.example",
            "https://*.shop.example",
            "https://shop.example/",
            "https://Shop.example",
            "https://shop.example:443",
            "https://ann@shop.example",
            "ftp://shop.example",
            "https://shop.example https://other.example",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }
}
