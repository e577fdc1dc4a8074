//! Forms: read only from pages of ours, and only from this session's.

use std::collections::HashMap;

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts as _, Request},
    http::{HeaderMap, StatusCode},
};
use url::form_urlencoded;

use crate::{Console, documents::Problem, failure::Failure, operator};
use operator::Operator;

/// No form of ours is longer.
const MAX_FORM_BYTES: usize = 64 * 1024;
/// The field that says of which session a form is.
pub const FORM_TOKEN: &str = "form_token";

/// What was filled in.
#[derive(Debug, Default, Clone)]
pub struct Fields(HashMap<String, String>);

impl Fields {
    pub fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// A field without the white space around it; empty if it is not there.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value.trim())
    }

    /// A field that is not empty.
    pub fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// Whether a box is ticked.
    pub fn is_on(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// Those whose names begin so, without that.
    pub fn beginning<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fields = self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value)));
        fields.map(|(name, value)| (name, value.trim()))
    }
}

/// Reads a form that anybody may send from a page of ours.
///
/// # Errors
/// A page that says what is wrong.
pub async fn read(request: Request, console: &Console) -> Result<(HeaderMap, Fields), Failure> {
    let refuse = |problem: Problem| Failure::new(problem, None, console.assets.clone());
    if !operator::is_own(request.headers()) {
        return Err(refuse(foreign()));
    }
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, MAX_FORM_BYTES).await;
    let bytes = bytes.map_err(|_| {
        refuse(Problem::own(StatusCode::PAYLOAD_TOO_LARGE, "This form is too long; nothing was done."))
    })?;
    Ok((parts.headers, Fields::parse(&String::from_utf8_lossy(&bytes))))
}

/// A form of whoever is signed in.
pub struct Form(pub Operator, pub Fields);

impl FromRequest<Console> for Form {
    type Rejection = Failure;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let operator = Operator::from_request_parts(&mut parts, console).await?;
        let (_, fields) = read(Request::from_parts(parts, body), console).await?;
        match operator.has_form_token(fields.text(FORM_TOKEN)) {
            true => Ok(Self(operator, fields)),
            false => Err(operator.fail(foreign())),
        }
    }
}

fn foreign() -> Problem {
    let detail = "This form was not sent from a page of this session. Nothing was done: open the page anew.";
    Problem::own(StatusCode::FORBIDDEN, detail)
}
