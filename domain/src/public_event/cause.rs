//! What caused an event, and what of it is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// So much of the headers is kept; what is longer, or too many, is left out.
const MAX_HEADERS: usize = 16;
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 256;
/// What headers are called by that have a secret, say who and where somebody is, are added by proxies, or
/// tell a server to take a request for another one.
const NOT_KEPT: [&str; 26] = [
    "auth",
    "token",
    "secret",
    "key",
    "cookie",
    "password",
    "session",
    "jwt",
    "otp",
    "signature",
    "assertion",
    "principal",
    "user",
    "email",
    "client",
    "remote",
    "addr",
    "forwarded",
    "real-ip",
    "-ip",
    "original",
    "envoy",
    "amz",
    "method",
    "rewrite",
    "override",
];

/// The request that caused an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// W3C Trace Context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Its `x-*` headers, by their names in lower case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

json_in_sql!(Cause);

impl Cause {
    /// What of a request is kept: a few headers of the shop's own, and a place in a trace that is one.
    pub fn kept<'a>(
        traceparent: Option<&str>,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let kept = headers.into_iter().filter(|(name, value)| is_kept(name) && is_plain(value));
        let kept = kept.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            traceparent: traceparent.filter(|text| is_traceparent(text)).map(str::to_owned),
            headers: kept.take(MAX_HEADERS).collect(),
        }
    }

    /// None: nothing is known of it.
    pub fn unless_empty(&self) -> Option<&Self> {
        (self.traceparent.is_some() || !self.headers.is_empty()).then_some(self)
    }
}

/// Names are in lower case.
fn is_kept(name: &str) -> bool {
    let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
    name.starts_with("x-")
        && name.len() <= MAX_NAME
        && is_name
        && !NOT_KEPT.iter().any(|word| name.contains(word))
}

fn is_plain(value: &str) -> bool {
    value.len() <= MAX_VALUE && value.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// W3C Trace Context, 3.2: version, trace, parent and flags. Later versions may say more.
pub fn is_traceparent(text: &str) -> bool {
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let is_id = |text: &str, digits| is_hex(text, digits) && text.bytes().any(|b| b != b'0');
    let mut parts = text.splitn(5, '-');
    let mut part = || parts.next().unwrap_or_default();
    let (version, trace, parent, flags) = (part(), part(), part(), part());
    let is_this_version = version == "00" && parts.next().is_none();
    let is_later_version = is_hex(version, 2) && version != "00" && version != "ff";
    (is_this_version || is_later_version) && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_shops_is_kept_and_nothing_that_says_who_or_opens_something() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let kept = Cause::kept(
            Some(trace),
            [
                ("x-tenant", "north"),
                ("x-request-id", "r-1"),
                ("x-forwarded-for", "192.0.2.1"),
                ("x-real-ip", "192.0.2.1"),
                ("x-api-key", "hf_123"),
                ("x-auth-user", "ann"),
                ("x-http-method-override", "DELETE"),
                ("x-azure-clientip", "192.0.2.1"),
                ("x-nul", "\0"),
                ("accept", "*/*"),
            ],
        );
        assert_eq!(kept.headers.keys().collect::<Vec<_>>(), ["x-request-id", "x-tenant"]);
        assert_eq!(kept.traceparent.as_deref(), Some(trace));
        let long = "v".repeat(MAX_VALUE + 1);
        assert_eq!(Cause::kept(Some("no"), [("x-long", long.as_str())]), Cause::default());
    }

    #[test]
    fn a_traceparent_is_as_the_w3c_writes_it() {
        let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for good in [
            format!("00-{trace}-{parent}-01"),
            format!("00-{trace}-{parent}-ff"),
            format!("cc-{trace}-{parent}-01-what"),
        ] {
            assert!(is_traceparent(&good), "{good}");
        }
        for bad in [
            String::new(),
            "00-zz-yy-01".to_owned(),
            format!("ff-{trace}-{parent}-01"),
            format!("00-{trace}-{parent}-01-what"),
            format!("00-{trace}-{parent}-1"),
            format!("00-{trace}-{parent}"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{trace}{parent}-01"),
        ] {
            assert!(!is_traceparent(&bad), "{bad}");
        }
    }
}
