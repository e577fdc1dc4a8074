//! Signing in, by an API key; and out.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};

use super::notice;
use crate::{
    Console,
    documents::Problem,
    fields::{self, Fields, Form as Sent},
    operator::{cookie, no_cookie, signed_in, token},
    render::{Frame, Page, page},
    view::{Field, Form, Section},
};

const ACTION: &str = "/console/sign-in";
/// Of `holdfast dev` alone.
const DEV_ACTION: &str = "/console/dev/sign-in";
const SAID: [(&str, &str); 1] = [(
    "ended",
    "Your session has ended. If you have sent a form since then, nothing was done: sign in again.",
)];
const NOT_HERE: &str = "The key of dev signs in only on the machine where it runs, at localhost. \
                        From elsewhere a key has to be shown.";

pub fn routes() -> Router<Console> {
    Router::new().route(ACTION, get(form).post(sign_in)).route("/console/sign-out", post(sign_out))
}

/// Of `holdfast dev` alone.
pub fn dev_routes() -> Router<Console> {
    Router::new().route(DEV_ACTION, post(sign_in_here))
}

/// Whoever is signed in already goes on.
async fn form(State(console): State<Console>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let asked = Fields::parse(parts.uri.query().unwrap_or_default());
    let next = own_page(asked.text("next"));
    if signed_in(&parts.headers, &parts.extensions, &console).await.is_some() {
        return Redirect::to(next).into_response();
    }
    let is_here = is_here(&parts.headers, &parts.extensions);
    shown(&console, next, is_here, notice(&asked, &SAID))
}

/// Whether it is somebody on this very machine, by a name that nobody else can give it: another name may be
/// that of a page elsewhere that leads here (DNS rebinding), and a proxy beside us may speak for anybody.
fn is_here(headers: &HeaderMap, extensions: &Extensions) -> bool {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    let is_near = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    let is_passed_on = headers.contains_key(header::FORWARDED) || headers.contains_key("x-forwarded-for");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    is_near && !is_passed_on && is_own_name(host)
}

fn is_own_name(host: &str) -> bool {
    let is_port = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// Only to pages of ours: an address that begins otherwise would lead elsewhere.
fn own_page(next: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_graphic() && c != '\\';
    match next.strip_prefix("/console/") {
        // Nor to where they come from.
        Some(rest) if rest.starts_with("sign-") => "/console",
        Some(rest) if rest.chars().all(is_plain) && !rest.starts_with('/') => next,
        _ => "/console",
    }
}

fn shown(console: &Console, next: &str, is_here: bool, before: Option<Section>) -> Response {
    let mut sections: Vec<Section> = before.into_iter().collect();
    let key = Field::password("key", "API key").required();
    let key = key.hint("Yours alone, made by `holdfast keys create --name ann --scope ...`.");
    sections.push(Section::Form(Form::new(ACTION, "Sign in").with(vec![key]).hide("next", next)));
    if is_here && console.settings.dev.is_some() {
        // The key stays here: whoever reads this page does not have it.
        let form = Form::new(DEV_ACTION, "Sign in with the dev key").titled("This is `holdfast dev`");
        sections.push(Section::Form(form.hide("next", next)));
    }
    page(&Page::new("Sign in", sections), &Frame::of_nobody(&console.assets))
}

async fn sign_in(State(console): State<Console>, request: Request) -> Response {
    let is_here = is_here(request.headers(), request.extensions());
    let (headers, fields) = match fields::read(request, &console).await {
        Ok(sent) => sent,
        Err(refusal) => return refusal.into_response(),
    };
    begin(&console, &headers, fields.text("key"), own_page(fields.text("next")), is_here).await
}

/// By the key that the server has itself.
async fn sign_in_here(State(console): State<Console>, request: Request) -> Response {
    let is_here = is_here(request.headers(), request.extensions());
    let (headers, fields) = match fields::read(request, &console).await {
        Ok(sent) => sent,
        Err(refusal) => return refusal.into_response(),
    };
    let next = own_page(fields.text("next"));
    match console.settings.dev.as_ref().filter(|_| is_here) {
        Some(dev) => begin(&console, &headers, &dev.key, next, is_here).await,
        None => {
            let status = StatusCode::FORBIDDEN;
            let problem = Section::Problem(Problem::own(status, NOT_HERE));
            let mut response = shown(&console, next, is_here, Some(problem));
            *response.status_mut() = status;
            response
        }
    }
}

/// Begins a session, and ends the one whose cookie came along: nobody has that any more.
async fn begin(console: &Console, headers: &HeaderMap, key: &str, next: &str, is_here: bool) -> Response {
    match console.api.sign_in(key).await {
        Ok(begun) => {
            if let Some(before) = token(headers)
                && console.api.sign_out(&before).await.is_err()
            {
                tracing::warn!("the session before could not be ended: it ends by itself");
            }
            let mut response = Redirect::to(next).into_response();
            response.headers_mut().insert(header::SET_COOKIE, cookie(headers, &begun));
            response
        }
        Err(problem) => {
            let status = problem.status();
            let said = match status {
                StatusCode::UNAUTHORIZED => Problem::own(status, refusal(problem.detail())),
                _ => Problem::from(&problem),
            };
            let mut response = shown(console, next, is_here, Some(Section::Problem(said)));
            *response.status_mut() = status;
            if status == StatusCode::UNAUTHORIZED {
                // RFC 9110 wants one; browsers know none of this name, and show the page.
                let scheme = HeaderValue::from_static("Form");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            }
            response
        }
    }
}

/// Whoever had a good key learns what has become of it.
fn refusal(detail: &str) -> String {
    match detail.contains("expired") || detail.contains("revoked") {
        true => detail.to_owned(),
        false => "This is no API key of this shop.".to_owned(),
    }
}

async fn sign_out(State(console): State<Console>, headers: HeaderMap, Sent(operator, _): Sent) -> Response {
    if let Err(problem) = console.api.sign_out(operator.token()).await {
        return operator.fail((&problem).into()).into_response();
    }
    let mut response = Redirect::to(ACTION).into_response();
    response.headers_mut().insert(header::SET_COOKIE, no_cookie(&headers));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_signs_in_stays_here() {
        for own in ["/console/orders/ord_1?done=cancel", "/console/today"] {
            assert_eq!(own_page(own), own);
        }
        for other in [
            "https://a.example",
            "//a.example",
            "/console//a",
            "/docs",
            "/console/\\a",
            "/console/a\r\nb",
            "/console/sign-in?next=%2Fconsole%2Fsign-in",
            "/console/sign-out",
            "",
        ] {
            assert_eq!(own_page(other), "/console", "{other}");
        }
    }

    #[test]
    fn this_machine_has_names_that_nobody_else_gives_it() {
        for own in ["localhost", "LocalHost:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]"] {
            assert!(is_own_name(own), "{own}");
        }
        for other in
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "192.0.2.1", "[::2]"]
        {
            assert!(!is_own_name(other), "{other}");
        }
    }
}
