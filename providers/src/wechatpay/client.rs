//! HTTP to WeChat Pay: signs what is asked, believes only answers that are signed, and sorts errors.

#![expect(clippy::disallowed_methods, reason = "signatures are dated by the real time")]

use std::time::Duration;

use domain::Timestamp;
use http::{HeaderMap, Method, StatusCode};
use reqwest::{RequestBuilder, Response, Url, redirect::Policy};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    config::{Config, ConfigError},
    keys::{MerchantKey, PlatformKeys},
    signing::{self, Merchant},
};
use crate::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(120);
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// About 200,000 lines of a bill.
const MAX_DOWNLOAD_BYTES: usize = 64 * 1024 * 1024;
const MAX_DETAIL_CHARS: usize = 200;
/// WeChat Pay refuses requests that do not say who they are from.
const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"));

pub struct Client {
    http: reqwest::Client,
    base_url: Url,
    merchant: Merchant,
    platform: PlatformKeys,
}

impl Client {
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let base_url = Url::parse(&config.base_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "https" | "http") && url.query().is_none())
            .ok_or_else(|| ConfigError("the base URL is not an http(s) address".to_owned()))?;
        let ids = [&config.merchant_id, &config.merchant_serial];
        if ids.iter().any(|id| id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric())) {
            return Err(ConfigError("merchant id and serial must be letters and digits".to_owned()));
        }
        Ok(Self {
            http: http_client()?,
            base_url,
            merchant: Merchant {
                id: config.merchant_id.clone(),
                serial: config.merchant_serial.clone(),
                key: MerchantKey::parse(&config.merchant_key)?,
            },
            platform: PlatformKeys::parse(&config.platform_keys)?,
        })
    }

    pub fn merchant(&self) -> &Merchant {
        &self.merchant
    }

    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), String> {
        signing::verify(&self.platform, headers, body, now)
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, Error> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        read(&self.call(Method::GET, url, String::new()).await?)
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, Error> {
        read(&self.command(path, body).await?)
    }

    /// A POST whose answer says nothing.
    pub async fn command(&self, path: &[&str], body: &impl Serialize) -> Result<Vec<u8>, Error> {
        let body = serde_json::to_string(body).map_err(|_| unavailable("the request cannot be written"))?;
        self.call(Method::POST, self.url(path)?, body).await
    }

    /// A file. WeChat Pay does not sign files: compare its digest with what a signed answer said.
    pub async fn download(&self, address: &str) -> Result<Vec<u8>, Error> {
        let url = Url::parse(address.trim()).map_err(|_| unavailable("the file has no valid address"))?;
        let request = self.request(Method::GET, url, String::new())?.timeout(DOWNLOAD_TIMEOUT);
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status();
        let body = limited(response, MAX_DOWNLOAD_BYTES).await?;
        match status {
            StatusCode::OK => Ok(body),
            _ => Err(refusal(status, &body)),
        }
    }

    async fn call(&self, method: Method, url: Url, body: String) -> Result<Vec<u8>, Error> {
        let request = self.request(method, url, body)?.timeout(ANSWER_TIMEOUT);
        let response = request.send().await.map_err(no_answer)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = limited(response, MAX_ANSWER_BYTES).await?;
        if status.is_success() {
            self.verify(&headers, &body, Timestamp::now())
                .map_err(|why| Error::Unavailable(format!("the answer is not genuine: {why}")))?;
        }
        match status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(body),
            _ => Err(refusal(status, &body)),
        }
    }

    fn request(&self, method: Method, url: Url, body: String) -> Result<RequestBuilder, Error> {
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let authorization = self
            .merchant
            .authorization(method.as_str(), &target, Timestamp::now(), &body)
            .map_err(|_| unavailable("the request cannot be signed"))?;
        let mut request = self
            .http
            .request(method, url)
            .header(http::header::AUTHORIZATION, authorization)
            .header(http::header::ACCEPT, "application/json");
        if let Some(id) = self.platform.public_key_id() {
            request = request.header(signing::SERIAL, id);
        }
        Ok(match body.is_empty() {
            true => request,
            false => request.header(http::header::CONTENT_TYPE, "application/json").body(body),
        })
    }

    fn url(&self, path: &[&str]) -> Result<Url, Error> {
        let mut url = self.base_url.clone();
        url.path_segments_mut()
            .map_err(|()| unavailable("the base URL has no path"))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }
}

fn http_client() -> Result<reqwest::Client, ConfigError> {
    crate::http_client()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::none())
        .build()
        .map_err(|error| ConfigError(format!("no HTTP client: {error}")))
}

/// Reads no more than `max_bytes`, whatever the other side says or does not say about the length.
async fn limited(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > max_bytes {
            return Err(Error::Unavailable(format!("the answer has more than {max_bytes} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Without serde's words: they quote what they could not read.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|_| unavailable("the answer is not as documented"))
}

pub fn unavailable(why: &str) -> Error {
    Error::Unavailable(why.to_owned())
}

/// Without the address: it carries ids and, for files, a token.
fn no_answer(error: reqwest::Error) -> Error {
    let kind = if error.is_timeout() { "no answer in time" } else { "no connection" };
    Error::Unavailable(format!("{kind}: {}", error.without_url()))
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    message: String,
}

/// What an answer other than 200 and 204 means. `message` is for people; the fields in `detail` beside it
/// repeat what we sent, so they are not read.
fn refusal(status: StatusCode, body: &[u8]) -> Error {
    let Ok(Refusal { code, message }) = serde_json::from_slice(body) else {
        return Error::Unavailable(format!("status {} without a code", status.as_u16()));
    };
    match code.as_str() {
        "ORDER_NOT_EXIST" | "ORDERNOTEXIST" | "RESOURCE_NOT_EXISTS" | "REFUNDNOTEXIST" => Error::NotFound,
        "SYSTEM_ERROR"
        | "SYSTEMERROR"
        | "FREQUENCY_LIMITED"
        | "FREQUENCY_LIMIT_EXCEED"
        | "RATELIMIT_EXCEEDED"
        | "BIZERR_NEED_RETRY" => Error::Unavailable(code),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Error::Unavailable(code),
        _ => Error::Refused { code, detail: message.chars().take(MAX_DETAIL_CHARS).collect() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_that_may_pass_are_told_from_those_that_stay() {
        let kind =
            |status: u16, body: &str| match refusal(StatusCode::from_u16(status).unwrap(), body.as_bytes()) {
                Error::Unavailable(_) => "unavailable",
                Error::Refused { .. } => "refused",
                Error::NotFound => "not found",
            };
        assert_eq!(kind(404, r#"{"code":"ORDER_NOT_EXIST","message":"x"}"#), "not found");
        assert_eq!(kind(404, r#"{"code":"RESOURCE_NOT_EXISTS","message":"x"}"#), "not found");
        assert_eq!(kind(404, "<html>"), "unavailable");
        assert_eq!(kind(500, r#"{"code":"SYSTEM_ERROR","message":"x"}"#), "unavailable");
        assert_eq!(kind(500, r#"{"code":"ANY","message":"x"}"#), "unavailable");
        assert_eq!(kind(429, r#"{"code":"FREQUENCY_LIMITED"}"#), "unavailable");
        assert_eq!(kind(403, r#"{"code":"NOT_ENOUGH","message":"x"}"#), "refused");
        assert_eq!(kind(302, ""), "unavailable");
    }
}
