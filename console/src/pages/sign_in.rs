//! Signing in, by an API key; and out.

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};

use crate::{
    Console,
    documents::Problem,
    fields::{self, Fields, Form as Sent},
    operator::{cookie, no_cookie},
    render::{Frame, Page, page},
    view::{Field, Form, Section},
};

const ACTION: &str = "/console/sign-in";

pub fn routes() -> Router<Console> {
    Router::new().route(ACTION, get(form).post(sign_in)).route("/console/sign-out", post(sign_out))
}

async fn form(State(console): State<Console>, RawQuery(query): RawQuery) -> Response {
    let next = Fields::parse(&query.unwrap_or_default());
    shown(&console, own_page(next.text("next")), None)
}

/// Only to pages of ours: an address that begins otherwise would lead elsewhere.
fn own_page(next: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_graphic() && c != '\\';
    match next.strip_prefix("/console/") {
        Some(rest) if rest.chars().all(is_plain) && !rest.starts_with('/') => next,
        _ => "/console",
    }
}

fn shown(console: &Console, next: &str, problem: Option<Problem>) -> Response {
    let mut sections: Vec<Section> = problem.map(Section::Problem).into_iter().collect();
    let key = Field::password("key", "API key").required();
    let key = key.hint("Yours alone, made by `holdfast keys create --name ann --scope ...`.");
    sections.push(Section::Form(Form::new(ACTION, "Sign in").with(vec![key]).hide("next", next)));
    if let Some(dev) = &console.settings.dev {
        let form =
            Form::new("/console/sign-in?dev", "Sign in with the dev key").titled("This is `holdfast dev`");
        sections.push(Section::Form(form.hide("key", dev.key.clone()).hide("next", next)));
    }
    page(&Page::new("Sign in", sections), &Frame::of_nobody(&console.assets))
}

async fn sign_in(State(console): State<Console>, request: Request) -> Response {
    let (headers, fields) = match fields::read(request, &console).await {
        Ok(sent) => sent,
        Err(refusal) => return refusal.into_response(),
    };
    let next = own_page(fields.text("next"));
    match console.api.sign_in(fields.text("key")).await {
        Ok(token) => {
            let mut response = Redirect::to(next).into_response();
            response.headers_mut().insert(header::SET_COOKIE, cookie(&headers, &token));
            response
        }
        Err(problem) => {
            let status = problem.status();
            let said = match status {
                StatusCode::UNAUTHORIZED => Problem::own(status, refusal(problem.detail())),
                _ => Problem::from(&problem),
            };
            let mut response = shown(&console, next, Some(said));
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
            "",
        ] {
            assert_eq!(own_page(other), "/console", "{other}");
        }
    }
}
