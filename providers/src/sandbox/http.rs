//! One call to the sandbox: sent, answered in time and in bounds, and told apart: done, refused for good,
//! unknown, or nobody knows.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::documents::PaymentDocument;
use crate::{Error, http_client};

/// Longer than the sandbox waits for our webhook endpoint, which it does while a direct payment is made.
const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A page of the statement, with the longest of ids, and more.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Http {
    base: Url,
    client: Client,
    /// What payers must have.
    key: Option<String>,
}

/// An answer that tells.
#[derive(Debug)]
pub(super) enum Answered<T> {
    Done(T),
    Refused { code: String, detail: String, payment: Option<Box<PaymentDocument>> },
}

impl<T> Answered<T> {
    pub fn done(self) -> Result<T, Error> {
        match self {
            Self::Done(value) => Ok(value),
            Self::Refused { code, .. } if code == "not_found" => Err(Error::NotFound),
            Self::Refused { code, detail, .. } => Err(Error::Refused { code, detail }),
        }
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: Reason,
    payment: Option<Box<PaymentDocument>>,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    message: String,
}

impl Http {
    pub fn new(base_url: &str) -> Result<Self, String> {
        let base = Url::parse(base_url).map_err(|error| format!("the sandbox's URL: {error}"))?;
        if base.cannot_be_a_base() || base.scheme() != "http" {
            return Err("the sandbox's URL must start with http://".to_owned());
        }
        let client = http_client()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build();
        Ok(Self { base, client: client.map_err(|error| error.to_string())?, key: None })
    }

    pub fn with_key(self, key: Option<String>) -> Self {
        Self { key, ..self }
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Answered<T>, Error> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        answered(self.client.get(url)).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<Answered<T>, Error> {
        let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        self.post_to(&path, body).await
    }

    pub async fn post_to<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<Answered<T>, Error> {
        let mut request = self.client.post(self.url(path)).json(body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        answered(request).await
    }

    /// The parts of `path` are escaped: an id never becomes another path.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(path);
        }
        url
    }
}

async fn answered<T: DeserializeOwned>(request: RequestBuilder) -> Result<Answered<T>, Error> {
    let response = request.send().await.map_err(unavailable)?;
    let status = response.status();
    let body = body(response).await?;
    let unclear = |error: serde_json::Error| Error::Unavailable(format!("answered {status}: {error}"));
    match status {
        StatusCode::OK | StatusCode::CREATED => {
            serde_json::from_slice(&body).map(Answered::Done).map_err(unclear)
        }
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            let Refusal { error, payment } = serde_json::from_slice(&body).map_err(unclear)?;
            Ok(Answered::Refused { code: error.code, detail: error.message, payment })
        }
        status => Err(Error::Unavailable(format!("answered {status}"))),
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(unavailable)? {
        if body.len() + part.len() > MAX_ANSWER_BYTES {
            return Err(Error::Unavailable(format!("answered more than {MAX_ANSWER_BYTES} bytes")));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

fn unavailable(error: reqwest::Error) -> Error {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    Error::Unavailable(format!("{error}{}", cause.unwrap_or_default()))
}
