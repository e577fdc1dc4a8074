//! A service behind an HTTP route: each message is a POST.

use std::{fmt::Write as _, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{Client, redirect::Policy};
use url::Url;

use super::{
    retry::{OURS, origin, topic},
    routes::Route,
    runner::{Handler, Verdict},
};
use crate::kafka::Incoming;

const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What a service says is thrown away, and a connection on which more comes than this with it.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Of what is forwarded.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 8 * 1024;

/// What is between two machines, or ours to say.
const NEVER_FORWARDED: [&str; 15] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-kafka-key",
    "x-kafka-topic",
];
/// Only if the route names them.
const SECRET: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

pub(super) struct Service {
    http: Client,
    url: Url,
    headers: Option<Vec<String>>,
}

impl Service {
    pub fn new(route: &Route) -> Result<Self, String> {
        let http = Client::builder()
            .user_agent(USER_AGENT)
            .timeout(route.timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(route.timeout))
            .redirect(Policy::none())
            .pool_max_idle_per_host(route.concurrency);
        let http = http.build().map_err(|error| format!("no HTTP client can be built: {error}"))?;
        Ok(Self { http, url: route.url.clone(), headers: route.headers.clone() })
    }

    fn headers_of(&self, message: &Incoming, attempt: u32) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in message.headers.iter().take(MAX_HEADERS) {
            let Some(value) = value.as_deref().filter(|value| value.len() <= MAX_HEADER_BYTES) else {
                continue;
            };
            let name = name.to_ascii_lowercase();
            let is_ours = name.starts_with(OURS) || NEVER_FORWARDED.contains(&name.as_str());
            // CloudEvents begin with `ce_` in Kafka, and with `ce-` in HTTP.
            let (name, is_wanted) = match name.strip_prefix("ce_") {
                Some(attribute) => (format!("ce-{attribute}"), true),
                None => (name.clone(), self.is_wanted(&name)),
            };
            if is_ours || !is_wanted {
                continue;
            }
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        let content_type = message.header("content-type").unwrap_or("application/octet-stream");
        let idempotency_key = message.header("ce_id").map_or_else(|| origin(message), str::to_owned);
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(header::CONTENT_TYPE, content_type);
        set(HeaderName::from_static("idempotency-key"), &idempotency_key);
        if let Some(key) = &message.key {
            set(HeaderName::from_static("x-kafka-key"), &encoded(key));
        }
        set(HeaderName::from_static("x-kafka-topic"), topic(message));
        set(HeaderName::from_static("x-kafka-attempt"), &attempt.to_string());
        headers
    }

    fn is_wanted(&self, name: &str) -> bool {
        let is_named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        match &self.headers {
            _ if name == "traceparent" || name == "tracestate" => true,
            Some(names) => names.iter().any(is_named),
            None => !SECRET.contains(&name),
        }
    }
}

/// A key, which is any bytes, as a header may have it: what is no visible ASCII, and `%`, is written as `%`
/// and two hexadecimal digits.
fn encoded(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key {
        match byte {
            b'%' => text.push_str("%25"),
            0x21..=0x7e => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "%{byte:02X}"); // a String takes every write
            }
        }
    }
    text
}

impl Handler for Service {
    async fn handle(&self, message: &Incoming, attempt: u32) -> Verdict {
        let body = message.value.clone().unwrap_or_default();
        let request = self.http.post(self.url.clone()).headers(self.headers_of(message, attempt)).body(body);
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_timeout() => {
                return Verdict::Failed("it did not answer in time".to_owned());
            }
            Err(error) if error.is_connect() => return Verdict::Failed("it cannot be reached".to_owned()),
            Err(_) => return Verdict::Failed("it broke off".to_owned()),
        };
        let status = answer.status();
        let mut bytes = 0;
        // Read, so that the connection can be used again.
        while let Ok(Some(chunk)) = answer.chunk().await {
            bytes += chunk.len();
            if bytes > MAX_ANSWER_BYTES {
                break;
            }
        }
        match status.is_success() {
            true => Verdict::Done,
            false => Verdict::Failed(format!("it answered {}", status.as_u16())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_fits_into_a_header() {
        assert_eq!(encoded(b"ord_1/a"), "ord_1/a");
        assert_eq!(encoded("50 % für".as_bytes()), "50%20%25%20f%C3%BCr");
        assert_eq!(encoded(&[0, 0xff]), "%00%FF");
    }
}
