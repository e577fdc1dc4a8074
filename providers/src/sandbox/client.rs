//! One call to the sandbox: JSON in, JSON out.

use http::Method;
use reqwest::RequestBuilder;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Error,
    client::{Answer, HttpClient, send},
};

pub(super) struct Client {
    http: HttpClient,
    /// What payers must have.
    key: Option<String>,
}

impl Client {
    pub fn new(base_url: &str) -> Result<Self, String> {
        let http = HttpClient::new(base_url).map_err(|why| format!("the sandbox's URL: {why}"))?;
        match http.base_url().scheme() {
            "http" => Ok(Self { http, key: None }),
            _ => Err("the sandbox's URL must start with http://".to_owned()),
        }
    }

    pub fn with_key(self, key: Option<String>) -> Self {
        Self { key, ..self }
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, Error> {
        call(self.http.request(Method::GET, self.http.url(path, query))).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &Value) -> Result<T, Error> {
        let request = self.http.request(Method::POST, self.http.url(path, &[])).json(body);
        call(match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        })
        .await
    }
}

async fn call<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Error> {
    send(request).await?.checked(refusal)?.read()
}

#[derive(Deserialize)]
struct Refusal {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    message: String,
}

fn refusal(answer: &Answer) -> Option<Error> {
    let Refusal { error } = serde_json::from_slice(&answer.body).ok()?;
    Some(match error.code.as_str() {
        "not_found" => Error::NotFound,
        _ => Error::Refused { code: error.code, detail: error.message },
    })
}
