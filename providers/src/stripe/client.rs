//! One call to Stripe's API: form in, JSON out, with a limit on everything.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use reqwest::{RequestBuilder, Response, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use url::{Host, Url, form_urlencoded};

use super::ConfigError;
use crate::Error;

/// The shape of what we send and read. Webhooks come in the version of their endpoint instead, set at
/// Stripe; what we read of them has not changed since 2019.
const VERSION: &str = "2026-10-28.endive";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the first byte sent to the last one read.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// A full page with its expansions has less than a fifth of this.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// The most that Stripe gives on one page.
pub(super) const PAGE_ITEMS: usize = 100;

const PARAMETER_UNKNOWN: &str = "parameter_unknown";

pub(super) struct Client {
    http: reqwest::Client,
    base_url: Url,
    authorization: HeaderValue,
}

impl Client {
    pub(super) fn new(base_url: &str, api_key: &str) -> Result<Self, ConfigError> {
        let base_url = Url::parse(base_url).map_err(|_| ConfigError("the base URL is not a URL"))?;
        let loopback = match base_url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => return Err(ConfigError("the base URL names no host")),
        };
        match base_url.scheme() {
            "https" => {}
            "http" if loopback || api_key.contains("_test_") => {}
            _ => return Err(ConfigError("a live key is sent over https only")),
        }
        if api_key.is_empty() {
            return Err(ConfigError("the API key is empty"));
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {api_key}"))
            .map_err(|_| ConfigError("the API key has characters that no key has"))?;
        authorization.set_sensitive(true);
        let http = http_client(loopback).map_err(|_| ConfigError("no HTTP client"))?;
        Ok(Self { http, base_url, authorization })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, query: &[Pair]) -> Result<T, Error> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.set_query(Some(&form(query)));
        }
        self.send(self.http.get(url)).await
    }

    /// `key` makes a repeat harmless: Stripe does once what it is asked twice with the same.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        fields: &[Pair],
        key: &str,
    ) -> Result<T, Error> {
        let request = self
            .http
            .post(self.url(path))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("Idempotency-Key", key)
            .body(form(fields));
        self.send(request).await
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base_url.clone();
        url.set_path(&format!("{}{path}", self.base_url.path().trim_end_matches('/')));
        url
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let response = request
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header("Stripe-Version", VERSION)
            .send()
            .await
            .map_err(no_answer)?;
        let status = response.status();
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let request_id = word(text("request-id").unwrap_or("none"));
        let again = text("stripe-should-retry") == Some("true");
        let body = limited(response).await?;
        if status.is_success() {
            // Without serde's words: they quote what they could not read.
            return serde_json::from_slice(&body)
                .map_err(|_| Error::Unavailable(format!("the answer to {request_id} is not as documented")));
        }
        Err(failure(status, again, &body, &request_id))
    }
}

type Pair = (&'static str, String);

fn form(pairs: &[Pair]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn http_client(loopback: bool) -> reqwest::Result<reqwest::Client> {
    let builder = crate::http_client()
        .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(CALL_TIMEOUT)
        .redirect(Policy::none());
    if loopback { builder.no_proxy() } else { builder }.build()
}

async fn limited(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Error::Unavailable(format!("the answer has more than {MAX_ANSWER_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Without the address, which carries ids.
fn no_answer(error: reqwest::Error) -> Error {
    let reason = match () {
        () if error.is_timeout() => "no answer in time",
        () if error.is_connect() => "no connection",
        () => "the connection broke",
    };
    Error::Unavailable(reason.to_owned())
}

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

fn failure(status: StatusCode, again: bool, body: &[u8], request_id: &str) -> Error {
    let unavailable = || Error::Unavailable(format!("HTTP {}, request {request_id}", status.as_u16()));
    // 401 and 403: our key is at fault, and what was asked is right again once the key is.
    let passing = matches!(status.as_u16(), 401 | 403 | 408 | 409 | 424 | 425 | 429);
    if again || passing || !status.is_client_error() {
        return unavailable();
    }
    let Ok(Failure { error }) = serde_json::from_slice(body) else { return unavailable() };
    let code = error.code.unwrap_or_else(|| code_of(error.message.as_deref(), &error.r#type));
    match (status, code.as_str()) {
        (StatusCode::NOT_FOUND, "resource_missing") => Error::NotFound,
        // An address that does not exist tells nothing about a payment.
        (StatusCode::NOT_FOUND, _) => unavailable(),
        _ => Error::Refused {
            code: word(&code),
            detail: format!(
                "HTTP {}, parameter {}, request {request_id}",
                status.as_u16(),
                word(error.param.as_deref().unwrap_or("none"))
            ),
        },
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

/// What is fit for a log of a stranger's text.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "_-[].".contains(*c)).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(status: u16, body: &str) -> Error {
        failure(StatusCode::from_u16(status).expect("a status"), false, body.as_bytes(), "req_1")
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
