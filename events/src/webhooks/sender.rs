//! Sending: one request with a limit on everything that is awaited or read.

use std::{error::Error as _, sync::Arc, time::Duration};

use domain::{SignedDuration, Timestamp, webhook::ANSWER_KEPT};
use http::{HeaderMap, header::RETRY_AFTER};
use opentelemetry::{global, propagation::Injector};
use reqwest::redirect::Policy;
use store::webhook_endpoints::Target;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{
    Message, Networks,
    address::{Refused, Resolver, Unknown},
    message::TRACEPARENT,
};

const USER_AGENT: &str = concat!("Holdfast-Webhooks/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the first byte sent to the last one read.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The status is there: so long is waited for the beginning of what follows.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// No host has a bound of its own: many endpoints may be at one, and no more connections are open than
/// requests were under way at once.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a receiver said.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status, or in one word why there is none: `address_refused`, `name_unknown`, `no_connection`,
    /// `timeout`, `connection_broke`.
    pub status: Result<u16, &'static str>,
    /// How the body begins.
    pub body: Option<String>,
    pub retry_after: Option<SignedDuration>,
}

impl Answer {
    const fn none(why: &'static str) -> Self {
        Self { status: Err(why), body: None, retry_after: None }
    }
}

/// The one client of all endpoints.
pub struct Sender {
    http: reqwest::Client,
    networks: Networks,
}

impl Sender {
    /// # Errors
    /// If the system has no client for it.
    pub fn new(networks: Networks) -> Result<Self, reqwest::Error> {
        let resolver = Resolver::of_system(networks.clone());
        Self::resolving(networks, resolver)
    }

    pub(super) fn resolving(networks: Networks, resolver: Resolver) -> Result<Self, reqwest::Error> {
        let http = web::http_client()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(Policy::none())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .dns_resolver(Arc::new(resolver))
            // A proxy would resolve names by itself.
            .no_proxy()
            .build()?;
        Ok(Self { http, networks })
    }

    pub const fn networks(&self) -> &Networks {
        &self.networks
    }

    /// Sends a message to an endpoint, signed now, within the current span.
    pub async fn send(&self, target: &Target, message: &Message, now: Timestamp) -> Answer {
        // An address that stands in the URL is looked up nowhere. What is allowed may be less than it was.
        let Ok(url) = self.networks.check(&target.url) else { return Answer::none("address_refused") };
        let secrets = [Some(target.secret.as_str()), target.previous_secret.as_deref()];
        let mut headers = message.signed(secrets.into_iter().flatten(), now);
        // The receiver goes on in the trace behind this delivery; if traces go nowhere, behind the cause.
        global::get_text_map_propagator(|it| {
            it.inject_context(&Span::current().context(), &mut Trace(&mut headers))
        });
        let request = self.http.post(url).headers(headers).body(message.body.clone());
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Answer::none(why(&error)),
        };
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers(), now);
        let body = tokio::time::timeout(BODY_TIMEOUT, beginning(&mut response)).await;
        Answer { status: Ok(status), body: body.ok().filter(|body| !body.is_empty()), retry_after }
    }
}

struct Trace<'a>(&'a mut HeaderMap);

impl Injector for Trace<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (true, Ok(value)) = (key == TRACEPARENT, value.parse()) {
            self.0.insert(TRACEPARENT, value);
        }
    }
}

/// How a body begins, as text that a database can hold. What follows is not read.
async fn beginning(response: &mut reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() <= ANSWER_KEPT {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend(chunk.iter().take(ANSWER_KEPT + 1 - bytes.len())),
            _ => break,
        }
    }
    bytes.truncate(ANSWER_KEPT);
    text(&bytes)
}

/// A character that was cut in the middle is left out, and none stands there that no database takes.
fn text(bytes: &[u8]) -> String {
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    };
    String::from_utf8_lossy(whole).replace('\0', "\u{fffd}")
}

fn why(error: &reqwest::Error) -> &'static str {
    let mut cause = error.source();
    while let Some(it) = cause {
        match () {
            () if it.is::<Refused>() => return "address_refused",
            () if it.is::<Unknown>() => return "name_unknown",
            () => cause = it.source(),
        }
    }
    match () {
        () if error.is_timeout() => "timeout",
        () if error.is_connect() => "no_connection",
        () => "connection_broke",
    }
}

/// In seconds, or as a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(SignedDuration::from_secs(seconds.into()));
    }
    let date = Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()?;
    Some(date.duration_since(now)).filter(SignedDuration::is_positive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_answer_is_text() {
        assert_eq!(text("gr\u{fc}n".as_bytes()), "gr\u{fc}n");
        assert_eq!(text(&"gr\u{fc}n".as_bytes()[..3]), "gr");
        assert_eq!(text(b"a\0b\xffc"), "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn a_wish_for_time_is_seconds_or_a_date() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now).map(|wanted| wanted.as_secs())
        };
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("Tue, 14 Nov 2023 22:14:20 GMT"), Some(60));
        for none in ["Tue, 14 Nov 2023 22:00:00 GMT", "-5", "soon", "99999999999"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused_unless_its_network_is_named() {
        let send = async |networks: Networks| {
            let (id, secret) =
                ("whe_01920000000070008000000000000000".parse().unwrap(), "whsec_x".to_owned());
            let target = Target { id, url: "http://localhost:1/".to_owned(), secret, previous_secret: None };
            let message = Message::test(id, 7, Timestamp::UNIX_EPOCH);
            Sender::new(networks).unwrap().send(&target, &message, Timestamp::UNIX_EPOCH).await.status
        };
        assert_eq!(send(Networks::default()).await, Err("address_refused"));
        assert_eq!(send(Networks::loopback()).await, Err("no_connection"));
    }
}
