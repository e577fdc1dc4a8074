//! Who is signed in: the session's cookie, and the proof that a form is of this session.

use api::{Caller, Unknown};
use axum::{
    extract::{FromRequestParts, OriginalUri},
    http::{Extensions, HeaderMap, HeaderValue, Method, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::api_key::Scope;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::{Console, documents::Problem, failure::Failure, render::Frame};

/// By TLS, the browser itself sees to it that nobody but this very host has set it.
const SECURE_COOKIE: &str = "__Host-holdfast-console";
const COOKIE: &str = "holdfast-console";
const ATTRIBUTES: &str = "Path=/; HttpOnly; SameSite=Strict";
/// What a session's token signs, so that it is of use for nothing else.
const FORMS: &[u8] = b"holdfast console forms";

type Token = [u8; 32];

/// Whether the browser comes by TLS, as far as we can know: it ends before us. What stands first is told of
/// the browser's own stretch of the way. Who says so wrongly keeps a cookie from nobody but itself.
fn is_secure(headers: &HeaderMap) -> bool {
    let first = |name: &str| headers.get(name)?.to_str().ok()?.split(',').next();
    let by_name = first("x-forwarded-proto").map(str::trim);
    let of_pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("proto").then(|| value.trim().trim_matches('"').to_owned())
    };
    let by_pair = first("forwarded").and_then(|element| element.split(';').find_map(of_pair));
    [by_name, by_pair.as_deref()].into_iter().flatten().any(|proto| proto.eq_ignore_ascii_case("https"))
}

const fn cookie_name(is_secure: bool) -> &'static str {
    if is_secure { SECURE_COOKIE } else { COOKIE }
}

/// `Set-Cookie` that begins a session.
pub fn cookie(headers: &HeaderMap, token: &Token) -> HeaderValue {
    let is_secure = is_secure(headers);
    let (name, secure) = (cookie_name(is_secure), if is_secure { "; Secure" } else { "" });
    let value = BASE64_URL_SAFE_NO_PAD.encode(token);
    HeaderValue::try_from(format!("{name}={value}; {ATTRIBUTES}{secure}")).expect("it is ASCII")
}

/// `Set-Cookie` that ends one.
pub fn no_cookie(headers: &HeaderMap) -> HeaderValue {
    let is_secure = is_secure(headers);
    let (name, secure) = (cookie_name(is_secure), if is_secure { "; Secure" } else { "" });
    HeaderValue::try_from(format!("{name}=; Max-Age=0; {ATTRIBUTES}{secure}")).expect("it is ASCII")
}

/// The token that came with a request. None also if there are two: one of them was planted.
pub fn token(headers: &HeaderMap) -> Option<Token> {
    let name = cookie_name(is_secure(headers));
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(it, _)| *it == name).map(|(_, value)| value);
    let value = values.next().filter(|_| values.next().is_none())?;
    BASE64_URL_SAFE_NO_PAD.decode(value).ok()?.try_into().ok()
}

/// Whether a form was sent by a page of ours. Browsers say so; where a page was served without TLS some say
/// only its origin.
pub fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) if site != "same-origin" => false,
        (site, Some(origin)) => {
            let host = text("host").unwrap_or_default();
            // Behind a proxy that names us otherwise the browser's own word is enough.
            site.is_some() && origin != "null" || origin.split_once("://").is_some_and(|(_, of)| of == host)
        }
        (site, None) => site.is_some(),
    }
}

/// Whoever is signed in, on one request.
pub struct Operator {
    pub(crate) console: Console,
    pub caller: Caller,
    token: Token,
    path: String,
}

impl Operator {
    pub fn may(&self, scope: Scope) -> bool {
        self.caller.has(scope)
    }

    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// What stands in each form of this session.
    pub fn form_token(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(form_mac(&self.token))
    }

    pub fn has_form_token(&self, text: &str) -> bool {
        let given = BASE64_URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        form_mac(&self.token).as_slice().ct_eq(&given).into()
    }

    /// What stands around a page.
    pub fn frame(&self) -> Frame {
        Frame::of_operator(self, &self.path)
    }

    pub fn fail(&self, problem: Problem) -> Failure {
        Failure::new(problem, Some(self.frame()), self.console.assets.clone())
    }
}

fn form_mac(token: &Token) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(token).expect("a key of HMAC has any length");
    mac.update(FORMS);
    mac.finalize().into_bytes().into()
}

impl FromRequestParts<Console> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Failure> {
        find(parts, console, true).await
    }
}

/// Whoever is signed in and only looks on: what an open page asks for by itself. It does not keep the session
/// from ending when nothing is done in it.
pub struct Watcher(pub Operator);

impl FromRequestParts<Console> for Watcher {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Failure> {
        find(parts, console, false).await.map(Self)
    }
}

async fn find(parts: &Parts, console: &Console, does_something: bool) -> Result<Operator, Failure> {
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    let path = uri.path_and_query().map_or("/console", |it| it.as_str()).to_owned();
    // What an open page asks for is no page to come back to.
    let is_page = does_something && parts.method == Method::GET && path != "/console";
    let next = is_page.then_some(path.as_str());
    let is_form = parts.method == Method::POST;
    let Some(token) = token(&parts.headers) else {
        return Err(Failure::instead(to_sign_in(next, is_form)));
    };
    let found = match does_something {
        true => console.api.session(&token, &parts.extensions).await,
        false => console.api.look_on(&token, &parts.extensions).await,
    };
    match found {
        Ok(caller) => Ok(Operator { console: console.clone(), caller, token, path }),
        Err(Unknown::Nobody(stranger)) => {
            let mut response = to_sign_in(next, true);
            response.headers_mut().insert(header::SET_COOKIE, no_cookie(&parts.headers));
            response.extensions_mut().insert(stranger);
            Err(Failure::instead(response))
        }
        Err(Unknown::TooMany(refusal)) => Err(Failure::instead(*refusal)),
        // Nobody can say who that is.
        Err(Unknown::Problem(problem)) => Err(Failure::new((&problem).into(), None, console.assets.clone())),
    }
}

/// Who is signed in, for a page that anybody may see.
pub async fn signed_in(headers: &HeaderMap, extensions: &Extensions, console: &Console) -> Option<Caller> {
    console.api.look_on(&token(headers)?, extensions).await.ok()
}

/// Signed in, they find the page again. What a form would have done is not done, which is said there: by a
/// word in the address.
fn to_sign_in(next: Option<&str>, has_ended: bool) -> Response {
    let next = next.map(|path| format!("next={}", utf8_percent_encode(path, NON_ALPHANUMERIC)));
    let ended = has_ended.then(|| "done=ended".to_owned());
    let said: Vec<String> = next.into_iter().chain(ended).collect();
    let query = if said.is_empty() { String::new() } else { format!("?{}", said.join("&")) };
    Redirect::to(&format!("/console/sign-in{query}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn forms_come_from_our_own_pages() {
        let own = |pairs: &[(&'static str, &'static str)]| is_own(&headers(pairs));
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(own(&[("host", "a.example:80"), ("origin", "http://a.example:80")]));
        assert!(own(&[
            ("host", "inner"),
            ("origin", "https://a.example"),
            ("sec-fetch-site", "same-origin")
        ]));
        for bad in [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "cross-site"), ("host", "a"), ("origin", "http://a")],
            &[("host", "a.example"), ("origin", "http://b.example")],
            &[("host", "a.example"), ("origin", "null")],
            &[("host", "a.example"), ("origin", "http://a.example:81")],
        ] {
            assert!(!own(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_cookie_is_read_again_and_by_tls_only_the_one_that_the_host_has_set() {
        let token = [7; 32];
        for (told, name) in [(&[][..], COOKIE), (&[("x-forwarded-proto", "https")], SECURE_COOKIE)] {
            let told = headers(told);
            let set = cookie(&told, &token);
            let set = set.to_str().unwrap();
            assert!(
                set.starts_with(&format!("{name}=")) && set.contains("HttpOnly; SameSite=Strict"),
                "{set}"
            );
            assert_eq!(set.ends_with("; Secure"), !told.is_empty());
            let mut back = told.clone();
            let sent = format!("other=1; {}", set.split(';').next().unwrap());
            back.insert(header::COOKIE, HeaderValue::try_from(sent).unwrap());
            assert_eq!(super::token(&back), Some(token));
            back.append(header::COOKIE, HeaderValue::try_from(format!("{name}=x")).unwrap());
            assert_eq!(super::token(&back), None, "two of them");
        }
        for (name, value, is_secure) in [
            ("x-forwarded-proto", "HTTPS, http", true),
            ("x-forwarded-proto", "http, https", false),
            ("forwarded", "for=\"[2001:db8::1]:4711\";proto=\"https\", for=10.0.0.1;proto=http", true),
            ("forwarded", "for=192.0.2.1; Proto=https", true),
            ("forwarded", "for=192.0.2.1;proto=http, proto=https", false),
            ("forwarded", "for=\"proto=https\"", false),
        ] {
            assert_eq!(super::is_secure(&headers(&[(name, value)])), is_secure, "{name}: {value}");
        }
        let plain = HeaderValue::try_from(format!("{COOKIE}={}", BASE64_URL_SAFE_NO_PAD.encode(token)));
        let mut planted = headers(&[("x-forwarded-proto", "https")]);
        planted.insert(header::COOKIE, plain.unwrap());
        assert_eq!(super::token(&planted), None);
    }
}
