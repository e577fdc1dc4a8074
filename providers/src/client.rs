//! HTTP to a provider, as far as it is the same for all of them: a limit on everything that is awaited or
//! read, no redirects, and what the status of an answer means ([`Answer::checked`]). Each provider signs its
//! requests, reads its answers and knows its own codes.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use reqwest::{RequestBuilder, redirect::Policy};
use serde::de::DeserializeOwned;
use url::Url;

use web::http_client;

use crate::Error;

/// Some providers refuse requests that do not say who they are from.
const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the first byte sent to the last one read. Longer than the sandbox waits for our webhook endpoint,
/// which it does while a direct payment is made.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(120);
/// A full page of a statement has less than a fifth of this.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// About 200,000 lines of a bill.
const MAX_DOWNLOAD_BYTES: usize = 64 * 1024 * 1024;

/// The client of one provider's API.
pub(crate) struct HttpClient {
    http: reqwest::Client,
    base_url: Url,
}

impl HttpClient {
    /// # Errors
    /// What is wrong with the base URL.
    pub fn new(base_url: &str) -> Result<Self, &'static str> {
        let base_url = Url::parse(base_url).map_err(|_| "the base URL is not a URL")?;
        if !matches!(base_url.scheme(), "https" | "http") || base_url.query().is_some() {
            return Err("the base URL is not an http(s) address without a query");
        }
        let builder = http_client()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(Policy::none());
        // Only simulators speak plain HTTP. They are beside us, and no proxy is between.
        let builder = if base_url.scheme() == "http" { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|_| "no HTTP client can be built")?;
        Ok(Self { http, base_url })
    }

    pub const fn base_url(&self) -> &Url {
        &self.base_url
    }

    /// An address below the base URL. The parts of `path` are escaped: an id never becomes another path.
    pub fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base_url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }
}

/// Sends a request. [`Error::Unavailable`] if there is no answer in time and in bounds.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, Error> {
    answer(request, MAX_ANSWER_BYTES).await
}

/// The same for a file, which is larger and takes longer.
pub(crate) async fn download(request: RequestBuilder) -> Result<Answer, Error> {
    answer(request.timeout(DOWNLOAD_TIMEOUT), MAX_DOWNLOAD_BYTES).await
}

/// Reads no more than `max_bytes`, whatever the other side says or does not say about the length.
async fn answer(request: RequestBuilder, max_bytes: usize) -> Result<Answer, Error> {
    let mut response = request.send().await.map_err(no_answer)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > max_bytes {
            return Err(Error::Unavailable(format!("the answer has more than {max_bytes} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body })
}

/// What a provider answered, whatever that is.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer, if it says that what was asked was done. A 4xx is the provider's last word, which
    /// `refusal` reads. All else tells nothing, and the provider is to be asked again: other statuses, a 4xx
    /// that may pass, and one of which `refusal` makes nothing.
    pub fn checked(self, refusal: impl FnOnce(&Self) -> Option<Error>) -> Result<Self, Error> {
        if self.status.is_success() {
            return Ok(self);
        }
        let may_pass = matches!(self.status.as_u16(), 408 | 425 | 429);
        let refused = if self.status.is_client_error() && !may_pass { refusal(&self) } else { None };
        Err(refused.unwrap_or_else(|| Error::Unavailable(self.name())))
    }

    /// The document in it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        // Without serde's words: they quote what they could not read.
        serde_json::from_slice(&self.body)
            .map_err(|_| Error::Unavailable(format!("{}: the answer is not as documented", self.name())))
    }

    /// A header, if it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The provider's own id of the call, for which its support asks.
    pub fn request_id(&self) -> String {
        word(self.header("request-id").unwrap_or("none"))
    }

    fn name(&self) -> String {
        format!("HTTP {}, request {}", self.status.as_u16(), self.request_id())
    }
}

pub(crate) fn unavailable(why: &str) -> Error {
    Error::Unavailable(why.to_owned())
}

/// Why there is no answer, by its first cause: reqwest's own words have the address, which carries ids and,
/// for files, a token.
fn no_answer(error: reqwest::Error) -> Error {
    let kind = match () {
        () if error.is_timeout() => return unavailable("no answer in time"),
        () if error.is_connect() => "no connection",
        () => "the connection broke",
    };
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(before) = cause.source() {
        cause = before;
    }
    Error::Unavailable(format!("{kind}: {cause}"))
}

/// What is fit for a log of a stranger's text.
pub(crate) fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "_-[].".contains(*c)).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_that_can_be_read_is_the_last_word() {
        let class = |status: u16, is_readable: bool| {
            let status = StatusCode::from_u16(status).expect("a status");
            let answer = Answer { status, headers: HeaderMap::new(), body: Vec::new() };
            match answer.checked(|_| is_readable.then_some(Error::NotFound)) {
                Ok(_) => "done",
                Err(Error::Unavailable(_)) => "unavailable",
                Err(_) => "refused",
            }
        };
        assert_eq!([200, 201, 204].map(|status| class(status, true)), ["done"; 3]);
        assert_eq!([400, 402, 404, 409, 422].map(|status| class(status, true)), ["refused"; 5]);
        assert_eq!([400, 404].map(|status| class(status, false)), ["unavailable"; 2]);
        assert_eq!([302, 408, 425, 429, 500, 503].map(|status| class(status, true)), ["unavailable"; 6]);
    }

    #[test]
    fn an_id_never_becomes_another_path() {
        let client = HttpClient::new("http://127.0.0.1:1/base/").expect("a base");
        let url = client.url(&["v1", "../x?y"], &[("a", "b&c".to_owned())]);
        assert_eq!(url.as_str(), "http://127.0.0.1:1/base/v1/..%2Fx%3Fy?a=b%26c");
        for wrong in ["no address", "ftp://a.test", "https://a.test/?b", "mailto:a@b.test"] {
            assert!(HttpClient::new(wrong).is_err(), "{wrong}");
        }
    }
}
