//! One call to WeChat Pay's API: signs what is asked, and believes only answers that are signed.

#![expect(clippy::disallowed_methods, reason = "signatures are dated by the real time")]

use domain::Timestamp;
use http::{HeaderMap, Method, header};
use reqwest::RequestBuilder;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use super::{
    config::{Config, ConfigError},
    keys::{MerchantKey, PlatformKeys},
    signing::{self, Merchant},
};
use crate::{
    Error,
    client::{Answer, HttpClient, download, send, unavailable},
};

const MAX_DETAIL_CHARS: usize = 200;

pub struct Client {
    http: HttpClient,
    merchant: Merchant,
    platform: PlatformKeys,
}

impl Client {
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let http = HttpClient::new(&config.base_url).map_err(|why| ConfigError(why.to_owned()))?;
        let ids = [&config.merchant_id, &config.merchant_serial];
        if ids.iter().any(|id| id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric())) {
            return Err(ConfigError("merchant id and serial must be letters and digits".to_owned()));
        }
        Ok(Self {
            http,
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

    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, Error> {
        self.call(Method::GET, self.http.url(path, query), String::new()).await?.read()
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, Error> {
        self.command(path, body).await?.read()
    }

    /// A POST whose answer says nothing.
    pub async fn command(&self, path: &[&str], body: &impl Serialize) -> Result<Answer, Error> {
        let body = serde_json::to_string(body).map_err(|_| unavailable("the request cannot be written"))?;
        self.call(Method::POST, self.http.url(path, &[]), body).await
    }

    /// A file. WeChat Pay does not sign files: compare its digest with what a signed answer said.
    pub async fn download(&self, address: &str) -> Result<Vec<u8>, Error> {
        let url = Url::parse(address.trim()).map_err(|_| unavailable("the file has no valid address"))?;
        let request = self.signed(Method::GET, url, String::new())?;
        Ok(download(request).await?.checked(refusal)?.body)
    }

    async fn call(&self, method: Method, url: Url, body: String) -> Result<Answer, Error> {
        let answer = send(self.signed(method, url, body)?).await?.checked(refusal)?;
        self.verify(&answer.headers, &answer.body, Timestamp::now())
            .map_err(|why| Error::Unavailable(format!("the answer is not genuine: {why}")))?;
        Ok(answer)
    }

    fn signed(&self, method: Method, url: Url, body: String) -> Result<RequestBuilder, Error> {
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
            .header(header::AUTHORIZATION, authorization)
            .header(header::ACCEPT, "application/json");
        if let Some(id) = self.platform.public_key_id() {
            request = request.header(signing::SERIAL, id);
        }
        Ok(match body.is_empty() {
            true => request,
            false => request.header(header::CONTENT_TYPE, "application/json").body(body),
        })
    }
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    message: String,
}

/// What a 4xx says, if it has a code. `message` is for people; the fields in `detail` beside it repeat what
/// we sent, so they are not read.
fn refusal(answer: &Answer) -> Option<Error> {
    let Refusal { code, message } = serde_json::from_slice(&answer.body).ok()?;
    Some(match code.as_str() {
        "ORDER_NOT_EXIST" | "ORDERNOTEXIST" | "RESOURCE_NOT_EXISTS" | "REFUNDNOTEXIST" => Error::NotFound,
        "SYSTEM_ERROR"
        | "SYSTEMERROR"
        | "FREQUENCY_LIMITED"
        | "FREQUENCY_LIMIT_EXCEED"
        | "RATELIMIT_EXCEEDED"
        | "BIZERR_NEED_RETRY" => Error::Unavailable(code),
        _ => Error::Refused { code, detail: message.chars().take(MAX_DETAIL_CHARS).collect() },
    })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn refusals_that_may_pass_are_told_from_those_that_stay() {
        let kind = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            match (Answer { status, headers: HeaderMap::new(), body: body.into() }).checked(refusal) {
                Ok(_) => "done",
                Err(Error::Unavailable(_)) => "unavailable",
                Err(Error::Refused { .. }) => "refused",
                Err(Error::NotFound) => "not found",
            }
        };
        assert_eq!(kind(404, r#"{"code":"ORDER_NOT_EXIST","message":"x"}"#), "not found");
        assert_eq!(kind(404, r#"{"code":"RESOURCE_NOT_EXISTS","message":"x"}"#), "not found");
        assert_eq!(kind(404, "<html>"), "unavailable");
        assert_eq!(kind(500, r#"{"code":"SYSTEM_ERROR","message":"x"}"#), "unavailable");
        assert_eq!(kind(500, r#"{"code":"ANY","message":"x"}"#), "unavailable");
        assert_eq!(kind(429, r#"{"code":"FREQUENCY_LIMITED"}"#), "unavailable");
        assert_eq!(kind(403, r#"{"code":"NOT_ENOUGH","message":"x"}"#), "refused");
        assert_eq!(kind(400, r#"{"code":"SYSTEM_ERROR","message":"x"}"#), "unavailable");
        assert_eq!(kind(302, ""), "unavailable");
    }
}
