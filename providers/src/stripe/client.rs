//! One call to Stripe's API: form in, JSON out.

use http::{HeaderValue, Method, StatusCode, header};
use reqwest::RequestBuilder;
use serde::{Deserialize, de::DeserializeOwned};
use url::{Host, form_urlencoded};

use super::ConfigError;
use crate::{
    Error,
    client::{Answer, HttpClient, send, word},
};

/// The shape of what we send and read. Webhooks come in the version of their endpoint instead, set at
/// Stripe; what we read of them has not changed since 2019.
const VERSION: &str = "2026-10-28.endive";
/// The most that Stripe gives on one page.
pub(super) const PAGE_ITEMS: usize = 100;

const PARAMETER_UNKNOWN: &str = "parameter_unknown";

pub(super) struct Client {
    http: HttpClient,
    authorization: HeaderValue,
}

impl Client {
    pub(super) fn new(base_url: &str, api_key: &str) -> Result<Self, ConfigError> {
        let http = HttpClient::new(base_url).map_err(ConfigError)?;
        let is_loopback = match http.base_url().host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if http.base_url().scheme() != "https" && !is_loopback && !api_key.contains("_test_") {
            return Err(ConfigError("a live key is sent over https only"));
        }
        if api_key.is_empty() {
            return Err(ConfigError("the API key is empty"));
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {api_key}"))
            .map_err(|_| ConfigError("the API key has characters that no key has"))?;
        authorization.set_sensitive(true);
        Ok(Self { http, authorization })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[Pair]) -> Result<T, Error> {
        self.call(self.http.request(Method::GET, self.http.url(path, query))).await
    }

    /// `key` makes a repeat harmless: Stripe does once what it is asked twice with the same.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        fields: &[Pair],
        key: &str,
    ) -> Result<T, Error> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self
            .http
            .request(Method::POST, self.http.url(path, &[]))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("Idempotency-Key", key)
            .body(form);
        self.call(request).await
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let request = request
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header("Stripe-Version", VERSION);
        send(request).await?.checked(refusal)?.read()
    }
}

type Pair = (&'static str, String);

/// What a failed call says. Its `message` is for people, may quote what was sent, and is not passed on.
#[derive(Deserialize)]
struct Failure {
    error: FailureBody,
}

#[derive(Deserialize)]
struct FailureBody {
    r#type: String,
    code: Option<String>,
    param: Option<String>,
    message: Option<String>,
}

/// What a 4xx says, if it says anything.
fn refusal(answer: &Answer) -> Option<Error> {
    // 401 and 403: our key is at fault, and what was asked is right again once the key is.
    let may_pass = matches!(answer.status.as_u16(), 401 | 403 | 409 | 424);
    if may_pass || answer.header("stripe-should-retry") == Some("true") {
        return None;
    }
    let Failure { error } = serde_json::from_slice(&answer.body).ok()?;
    let code = error.code.unwrap_or_else(|| code_of(error.message.as_deref(), &error.r#type));
    match (answer.status, code.as_str()) {
        (StatusCode::NOT_FOUND, "resource_missing") => Some(Error::NotFound),
        // An address that does not exist tells nothing about a payment.
        (StatusCode::NOT_FOUND, _) => None,
        _ => {
            let detail = format!(
                "HTTP {}, parameter {}, request {}",
                answer.status.as_u16(),
                word(error.param.as_deref().unwrap_or("none")),
                answer.request_id()
            );
            Some(Error::Refused { code: word(&code), detail })
        }
    }
}

/// A code for failures without one. Stripe always has a code for these two; the simulator localstripe never.
fn code_of(message: Option<&str>, kind: &str) -> String {
    match message {
        Some("Not Found") => "resource_missing",
        Some(message) if message.starts_with("Unexpected ") => PARAMETER_UNKNOWN,
        _ => kind,
    }
    .to_owned()
}

/// Whether Stripe did not know a parameter, and so did nothing.
pub(super) fn parameter_unknown<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Refused { code, .. }) if code == PARAMETER_UNKNOWN)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::*;

    const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

    fn fail(status: u16, body: &str) -> Error {
        let status = StatusCode::from_u16(status).expect("a status");
        let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static("req_1"))]);
        Answer { status, headers, body: body.into() }.checked(refusal).expect_err("a failure")
    }

    #[test]
    fn failures_are_sorted_by_whether_asking_again_helps() {
        let missing =
            r#"{"error":{"type":"invalid_request_error","code":"resource_missing","param":"intent"}}"#;
        assert!(matches!(fail(404, missing), Error::NotFound));
        let no_such_url =
            r#"{"error":{"type":"invalid_request_error","message":"Unrecognized request URL"}}"#;
        assert!(matches!(fail(404, no_such_url), Error::Unavailable(_)));
        assert!(matches!(fail(404, "<html>"), Error::Unavailable(_)));
        assert!(matches!(fail(400, "<html>"), Error::Unavailable(_)));
        for status in [302, 401, 403, 409, 424, 429, 500, 503] {
            assert!(matches!(fail(status, missing), Error::Unavailable(_)), "{status}");
        }
        let reused = r#"{"error":{"type":"idempotency_error","message":"Keys for idempotent requests..."}}"#;
        assert!(matches!(fail(400, reused), Error::Refused { code, .. } if code == "idempotency_error"));
    }

    #[test]
    fn a_refusal_names_code_and_parameter_and_quotes_nothing() {
        let refusal = r#"{"error":{"type":"invalid_request_error","code":"amount_too_large",
            "param":"amount","message":"jane@example.com may not pay with sk_live_1"}}"#;
        let said = fail(400, refusal).to_string();
        assert_eq!(
            said,
            "the provider refused (amount_too_large): HTTP 400, parameter amount, request req_1"
        );
    }

    #[test]
    fn a_live_key_never_goes_over_plain_http() {
        assert!(Client::new("http://stripe.example", "sk_live_1").is_err());
        assert!(Client::new("http://localhost:8420", "sk_live_1").is_ok());
        assert!(Client::new("http://stripe.example", "sk_test_1").is_ok());
        assert!(Client::new("https://stripe.example/base/", "sk_live_1").is_ok());
        assert!(Client::new("ftp://stripe.example", "sk_test_1").is_err());
        assert!(Client::new("https://stripe.example", "sk\n").is_err());
    }
}
