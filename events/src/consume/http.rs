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
}

/// What a message's request says; `named` are those that the route asks for.
fn headers_of(message: &Incoming, attempt: u32, named: Option<&[String]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let all = message.headers.iter().filter_map(|(name, value)| {
        let value = value.as_deref().filter(|value| value.len() <= MAX_HEADER_BYTES)?;
        Some((name.to_ascii_lowercase(), value))
    });
    // However many others there are, these have their place.
    let (first, others): (Vec<_>, Vec<_>) = all.partition(|(name, _)| is_first(name));
    let others = others.into_iter().filter(|(name, _)| {
        !name.starts_with(OURS) && !NEVER_FORWARDED.contains(&name.as_str()) && is_wanted(name, named)
    });
    for (name, value) in first.into_iter().chain(others).take(MAX_HEADERS) {
        // CloudEvents begin with `ce_` in Kafka, and with `ce-` in HTTP.
        let (name, value) = match name.strip_prefix("ce_") {
            Some(attribute) => (format!("ce-{attribute}"), HeaderValue::try_from(encoded(value, b"\"%"))),
            None => (name, HeaderValue::from_bytes(value)),
        };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), value) {
            headers.append(name, value);
        }
    }
    let content_type = message.header("content-type").unwrap_or("application/octet-stream");
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, content_type);
    set(HeaderName::from_static("idempotency-key"), &idempotency_key(message));
    if let Some(key) = &message.key {
        set(HeaderName::from_static("x-kafka-key"), &encoded(key, b"%"));
    }
    set(HeaderName::from_static("x-kafka-topic"), topic(message));
    set(HeaderName::from_static("x-kafka-attempt"), &attempt.to_string());
    headers
}

fn is_wanted(name: &str, named: Option<&[String]>) -> bool {
    let is_named = |pattern: &String| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    match named {
        Some(names) => names.iter().any(is_named),
        None => !SECRET.contains(&name),
    }
}

/// What tells a service which event it is, and what it belongs to.
fn is_first(name: &str) -> bool {
    name.starts_with("ce_") || name == "traceparent" || name == "tracestate"
}

/// The event's id, if it has one that a header can have as it is; if not, where it was at first.
fn idempotency_key(message: &Incoming) -> String {
    let is_good = |id: &&str| {
        !id.is_empty() && id.len() <= MAX_HEADER_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    message.header("ce_id").filter(is_good).map_or_else(|| origin(message), str::to_owned)
}

/// Any bytes, as a header may have them: what is no visible ASCII, and each of `special`, is written as `%`
/// and two hexadecimal digits.
fn encoded(bytes: &[u8], special: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte.is_ascii_graphic() && !special.contains(byte) {
            true => text.push(char::from(*byte)),
            false => {
                let _ = write!(text, "%{byte:02X}"); // a String takes every write
            }
        }
    }
    text
}

impl Handler for Service {
    async fn handle(&self, message: &Incoming, attempt: u32) -> Verdict {
        let body = message.value.clone().unwrap_or_default();
        let request = self
            .http
            .post(self.url.clone())
            .headers(headers_of(message, attempt, self.headers.as_deref()))
            .body(body);
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

    use crate::kafka::Partition;

    fn message(headers: Vec<(String, &[u8])>) -> Incoming {
        Incoming {
            partition: Partition { topic: "t".to_owned(), number: 1 },
            offset: 7,
            key: None,
            value: None,
            headers: headers.into_iter().map(|(name, value)| (name, Some(value.to_vec()))).collect(),
            timestamp: 0,
        }
    }

    #[test]
    fn any_key_fits_into_a_header() {
        assert_eq!(encoded(b"ord_1/a\"", b"%"), "ord_1/a\"");
        assert_eq!(encoded("50 % für \"".as_bytes(), b"\"%"), "50%20%25%20f%C3%BCr%20%22");
        assert_eq!(encoded(&[0, 0xff], b"%"), "%00%FF");
    }

    #[test]
    fn every_message_has_an_idempotency_key() {
        for (id, key) in
            [(&b"evt_1"[..], "evt_1"), (b"", "t-1-7"), ("ü".as_bytes(), "t-1-7"), (b"a b", "t-1-7")]
        {
            assert_eq!(idempotency_key(&message(vec![("ce_id".to_owned(), id)])), key);
        }
        assert_eq!(idempotency_key(&message(Vec::new())), "t-1-7");
    }

    #[test]
    fn what_tells_the_event_has_its_place_whatever_else_comes() {
        let mut all: Vec<_> = (0..2 * MAX_HEADERS).map(|n| (format!("x-{n}"), &b"1"[..])).collect();
        all.push(("ce_subject".to_owned(), "für \"a\"".as_bytes()));
        all.push(("traceparent".to_owned(), b"00-a"));
        let headers = headers_of(&message(all), 1, None);
        assert_eq!(headers["ce-subject"], "f%C3%BCr%20%22a%22");
        assert_eq!(headers["traceparent"], "00-a");
        assert!(headers.contains_key("x-97") && !headers.contains_key("x-98"));
    }
}
