//! Errors as RFC 9457 `application/problem+json`. One type at the edge; `code` is stable.

mod of_store;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{Invalid, SignedDuration, api_key::Scope, order::Status};
use serde::{Serialize, Serializer};
use serde_json::json;
use utoipa::ToSchema;

use crate::{details::Details, gateway::rate_limits::Group};

/// How a client is told that its token is not good.
const INVALID_TOKEN: &str = "Bearer error=\"invalid_token\"";

/// What a client gets to see of an error. Its `request_id` is added on the way out.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ProblemSummary)]
pub struct Problem {
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    /// Stable, for a program.
    code: &'static str,
    /// What went wrong this time, for a person.
    detail: String,
    #[serde(flatten)]
    details: Option<Details>,
    #[serde(skip)]
    retry_after_s: Option<u32>,
    #[serde(skip)]
    challenge: Option<&'static str>,
}

/// The documented shape of every error.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// `urn:holdfast:problem:` and the code.
    r#type: String,
    /// The meaning of the status.
    title: &'static str,
    request_id: String,
    #[serde(flatten)]
    problem: Problem,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn as_number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), details: None, retry_after_s: None, challenge: None }
    }

    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What went wrong, for a person.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn with(self, details: Details) -> Self {
        Self { details: Some(details), ..self }
    }

    fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub fn unauthorized() -> Self {
        let detail = "Send your API key or access token as `Authorization: Bearer <key or token>`.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// Whoever has the key may know what became of it.
    pub fn key_ended(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    pub fn scope_missing(scope: Scope) -> Self {
        let detail = format!("You do not have the scope `{scope}`.");
        Self::new(StatusCode::FORBIDDEN, "scope_missing", detail).with(Details::Scope(scope))
    }

    /// A token that is not good. RFC 6750 says in which words a client is told so.
    pub fn invalid_token(detail: &str) -> Self {
        Self { challenge: Some(INVALID_TOKEN), ..Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail) }
    }

    /// The account was erased since its token was issued.
    pub fn account_gone() -> Self {
        Self::invalid_token("There is no such account any more.")
    }

    /// Of a route for customers alone.
    pub fn account_required() -> Self {
        let detail = "This is for those who are signed in with an account.";
        Self::new(StatusCode::FORBIDDEN, "account_required", detail)
    }

    pub fn invalid_credentials() -> Self {
        let detail = "There is no account with this address and password.";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_credentials", detail)
    }

    pub fn email_not_verified() -> Self {
        let detail = "The address is not verified yet: enter the code that was mailed to it.";
        Self::new(StatusCode::FORBIDDEN, "email_not_verified", detail)
    }

    pub fn wrong_password() -> Self {
        Self::new(StatusCode::FORBIDDEN, "wrong_password", "This is not your current password.")
    }

    pub fn code_invalid() -> Self {
        let detail = "This code is not good, or not any more. Ask for another one.";
        Self::unprocessable("code_invalid", detail)
    }

    pub fn refresh_token_invalid() -> Self {
        let detail = "This refresh token is not good, or not any more. Sign in again.";
        Self::new(StatusCode::UNAUTHORIZED, "refresh_token_invalid", detail)
    }

    pub fn too_many_attempts(wait: SignedDuration) -> Self {
        let seconds = u32::try_from(wait.as_secs() + 1).unwrap_or(1);
        let detail = "There were too many attempts. Try again later.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail).retry_after(seconds)
    }

    pub fn keys_unavailable() -> Self {
        let detail = "Whether the API key is good cannot be known while the database does not answer.";
        Self::unavailable("database_unavailable", detail)
    }

    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub fn method_not_allowed() -> Self {
        let detail = "This address does not take that method.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// Something of an order that is not there.
    pub fn nothing() -> Self {
        Self::not_found("not_found", "There is nothing with this id.")
    }

    /// The order's status forbids what was asked.
    pub fn wrong_status(code: &'static str, status: Status) -> Self {
        Self::conflict(code, format!("The order is {status}.")).with(Details::CurrentStatus(status))
    }

    /// 422 with every field that broke a rule.
    pub fn invalid(errors: Vec<Invalid>) -> Self {
        let detail = match errors.as_slice() {
            // Of all of it, and of no field.
            [Invalid { field, message }] if field.is_empty() => format!("The body {message}."),
            [one] => one.to_string(),
            many => format!("{} fields are not as they should be.", many.len()),
        };
        Self::unprocessable("invalid_request", detail).with(Details::Errors(errors))
    }

    /// The code that a guest showed is not the order's.
    pub fn wrong_code(attempts_left: i32) -> Self {
        let detail = format!("This is not the code of this order; {attempts_left} attempts are left.");
        Self::unprocessable("check_in_code_wrong", detail).with(Details::AttemptsLeft(attempts_left))
    }

    /// An `Idempotency-Key` that is another request's.
    pub fn key_reused() -> Self {
        let detail = "This Idempotency-Key was used before with another request.";
        Self::unprocessable("idempotency_key_reused", detail)
    }

    fn too_many_changes() -> Self {
        let detail = "Too many changes of this order are waiting; nothing was done. Try again.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_changes", detail).retry_after(1)
    }

    pub fn rate_limited(group: Group, wait_s: u32) -> Self {
        let detail =
            format!("Too many requests ({}); nothing was done. Come again in {wait_s} s.", group.name());
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(wait_s)
    }

    /// The product is at another version than the client expects.
    pub fn stale(version: Option<i32>) -> Self {
        let detail = "The product is not as your If-Match or If-None-Match expects; nothing was done.";
        let etag = version.map(|version| format!("\"{version}\""));
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
            .with(Details::CurrentEtag(etag))
    }

    fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    pub fn internal() -> Self {
        let detail = "Something went wrong on our side; it is in the log under this request id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// It was there, and is no more.
    pub fn gone(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, code, detail)
    }

    /// Something we need is away; nothing was done, and asking again may help.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(2)
    }

    pub fn timeout() -> Self {
        Self::unavailable("timeout", "The request took too long and was given up.")
    }

    /// The finished answer.
    pub fn render(self, request_id: String) -> Response {
        let (status, retry_after_s) = (self.status, self.retry_after_s);
        let challenge = self.challenge.unwrap_or("Bearer");
        let document = ProblemDocument {
            r#type: format!("urn:holdfast:problem:{}", self.code),
            title: status.canonical_reason().unwrap_or_default(),
            request_id,
            problem: self,
        };
        let json = HeaderValue::from_static("application/problem+json");
        let body = json!(document).to_string();
        let mut response = (status, [(header::CONTENT_TYPE, json)], body).into_response();
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static(challenge);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Carries the problem to [`crate::request::frame`], which knows the request id and renders it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Vec<Invalid>> for Problem {
    fn from(errors: Vec<Invalid>) -> Self {
        Self::invalid(errors)
    }
}

impl From<Invalid> for Problem {
    fn from(error: Invalid) -> Self {
        Self::invalid(vec![error])
    }
}
