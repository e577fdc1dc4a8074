//! What the headers of any request may be.

use std::net::Ipv6Addr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header, uri::Authority};

use domain::public_event::is_traceparent;

use crate::error::Problem;

pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A header that is there once, as text.
pub fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}

/// RFC 9112, 3.2: one `Host`, which is one. Two are how requests are smuggled past a proxy that reads the
/// other. HTTP/2 has `:authority` in its place (RFC 9113, 8.3.1), and whoever sends both sends the same.
pub fn check_host(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let is_authority =
        |host: &str| !host.contains('@') && host.parse::<Authority>().is_ok_and(|it| is_place(&it));
    if version < Version::HTTP_11 && !headers.contains_key(header::HOST) {
        return Ok(());
    }
    let host = only(headers, &header::HOST);
    let authority = uri.authority().filter(|_| version == Version::HTTP_2).map(Authority::as_str);
    let is_one = match authority {
        Some(authority) => !headers.contains_key(header::HOST) || host == Some(authority),
        None => true,
    };
    match is_one && authority.or(host).is_some_and(is_authority) {
        true => Ok(()),
        false => {
            Err(Problem::bad_request("host_invalid", "Send one Host header, such as `shop.example:8080`."))
        }
    }
}

/// An address in brackets is one, and a port that is given is a number.
fn is_place(authority: &Authority) -> bool {
    let host = authority.host();
    let port = authority.as_str().get(host.len()..).and_then(|rest| rest.strip_prefix(':'));
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok())
        && literal.is_none_or(|literal| literal.parse::<Ipv6Addr>().is_ok())
}

/// The caller's id if it is a decent one, else a new one.
pub fn request_id(headers: &HeaderMap) -> String {
    let decent = |text: &&str| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    let given = only(headers, &REQUEST_ID).filter(decent);
    given.map_or_else(|| format!("req_{}", uuid::Uuid::new_v4().simple()), str::to_owned)
}

/// The caller's place in a trace, if that is one.
pub fn traceparent(headers: &HeaderMap) -> Option<HeaderValue> {
    only(headers, &TRACEPARENT).filter(|text| is_traceparent(text))?;
    headers.get(&TRACEPARENT).cloned()
}

/// The method as a label of figures: a stranger can invent any number of others.
pub fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER", // as OpenTelemetry calls them
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_host() {
        let check = |version, hosts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_static(host));
            }
            check_host(version, &Uri::from_static("/"), &headers).is_ok()
        };
        for good in ["shop.example", "127.0.0.1:8080", "[::1]:8080", "localhost"] {
            assert!(check(Version::HTTP_11, &[good]), "{good}");
        }
        assert!(check(Version::HTTP_10, &[]));
        let bad: [&[&str]; 9] = [
            &[],
            &["a.example", "a.example"],
            &[""],
            &["a b"],
            &["ann@a.example"],
            &["a.example/x"],
            &["a:abc"],
            &["a:99999"],
            &["[zz]"],
        ];
        for bad in bad {
            assert!(!check(Version::HTTP_11, bad), "{bad:?}");
        }
        let of_http2 = |uri: &'static str, host: Option<&'static str>| {
            let host = host.map(|host| (header::HOST, HeaderValue::from_static(host)));
            check_host(Version::HTTP_2, &Uri::from_static(uri), &host.into_iter().collect()).is_ok()
        };
        assert!(of_http2("http://a.example/", None));
        assert!(of_http2("http://a.example/", Some("a.example")));
        assert!(of_http2("/", Some("a.example")));
        assert!(!of_http2("/", None));
        assert!(!of_http2("http://a.example/", Some("b.example")));
        assert!(!of_http2("http://ann@a.example/", None));
    }
}
