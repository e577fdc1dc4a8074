//! Errors as RFC 9457 `application/problem+json`. One type at the edge; `code` is stable.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{Date, Invalid, order::Status, returns::Run};
use serde::Serialize;
use serde_json::{Map, Value, json};
use store::stays::Night;
use utoipa::ToSchema;

/// What a client gets to see of an error. `request_id` is added on the way out.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    more: Map<String, Value>,
    retry_after_s: Option<u32>,
}

/// The documented shape of every error.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// `urn:holdfast:problem:` and the code.
    r#type: String,
    /// The meaning of the status.
    title: String,
    status: u16,
    /// What went wrong this time, for a person.
    detail: String,
    /// Stable, for a program.
    code: String,
    request_id: String,
    /// With `invalid_request`: each field that broke a rule.
    errors: Option<Vec<FieldError>>,
    /// With `insufficient_stock`: each SKU that fell short.
    shortages: Option<Vec<ShortageDocument>>,
    /// With `order_not_...` and `exception_not_applicable`: where the order stands.
    current_status: Option<String>,
    /// With `capacity_below_sold`: the nights of which more is held and sold.
    nights: Option<Vec<NightDocument>>,
    /// With `check_in_code_wrong`: how many more codes can be tried.
    attempts_left: Option<i32>,
    /// With `check_in_too_early`: when the stay begins.
    opens_at: Option<String>,
    /// With `cancellation_closed`: until when the order could be cancelled.
    closed_at: Option<String>,
    /// With `precondition_failed`: the `ETag` of the product now, null if there is none.
    current_etag: Option<String>,
    /// With `refund_exceeds_captured`: what can still go back, in minor units.
    refundable: Option<i64>,
    /// With `restock_exceeds_sold`: what can still come back, of each SKU that was named.
    returnable: Option<Vec<ReturnDocument>>,
}

#[derive(Serialize, ToSchema)]
pub struct FieldError {
    /// As the client wrote it: `lines[2].quantity`.
    field: String,
    message: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Shortage)]
pub struct ShortageDocument {
    sku: String,
    /// Of a stay: which of its nights.
    night: Option<String>,
    requested: i64,
    available: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = NightTaken)]
pub struct NightDocument {
    #[schema(value_type = String, format = Date)]
    date: Date,
    held: i64,
    sold: i64,
}

/// What comes back, or can.
#[derive(Serialize, ToSchema)]
#[schema(as = ReturnedItem)]
pub struct ReturnDocument {
    sku: String,
    /// Of what is sold by the night: which nights.
    #[serde(skip_serializing_if = "Option::is_none")]
    stay: Option<NightsDocument>,
    /// Pieces, or rooms in each night.
    quantity: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Nights)]
struct NightsDocument {
    #[schema(value_type = String, format = Date)]
    from: Date,
    /// The last night ends on this day.
    #[schema(value_type = String, format = Date)]
    to: Date,
}

impl From<Run> for ReturnDocument {
    fn from(run: Run) -> Self {
        let stay = run.stay.map(|(from, to)| NightsDocument { from, to });
        Self { sku: run.sku.to_string(), stay, quantity: run.quantity }
    }
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), more: Map::new(), retry_after_s: None }
    }

    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.more.insert(name.to_owned(), json!(value));
        self
    }

    /// The code that a guest showed is not the order's.
    pub fn wrong_code(attempts_left: i32) -> Self {
        let detail = format!("This is not the code of this order; {attempts_left} attempts are left.");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "check_in_code_wrong", detail)
            .with("attempts_left", attempts_left)
    }

    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This address does not take that method.",
        )
    }

    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 422 with every field that broke a rule.
    pub fn invalid(errors: Vec<Invalid>) -> Self {
        let detail = match errors.as_slice() {
            [one] => one.to_string(),
            many => format!("{} fields are not as they should be.", many.len()),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail).with("errors", json!(errors))
    }

    pub fn unauthorized() -> Self {
        let detail = "Send your API key as `Authorization: Bearer <key>`.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// The order's status forbids what was asked.
    pub fn wrong_status(code: &'static str, status: Status) -> Self {
        Self::new(StatusCode::CONFLICT, code, format!("The order is {status}."))
            .with("current_status", json!(status))
    }

    /// Something we need is away; nothing was done, and asking again may help.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        Self { retry_after_s: Some(2), ..problem }
    }

    pub fn timeout() -> Self {
        Self::unavailable("timeout", "The request took too long and was given up.")
    }

    pub fn internal() -> Self {
        let detail = "Something went wrong on our side; it is in the log under this request id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// What it says, without the frame of an answer.
    pub fn summary(&self) -> Value {
        let mut summary = self.more.clone();
        summary.insert("code".into(), json!(self.code));
        summary.insert("detail".into(), json!(self.detail));
        summary.insert("status".into(), json!(self.status.as_u16()));
        Value::Object(summary)
    }

    /// The finished answer.
    pub fn render(&self, request_id: &str) -> Response {
        let mut body = self.more.clone();
        body.insert("type".into(), json!(format!("urn:holdfast:problem:{}", self.code)));
        body.insert("title".into(), json!(self.status.canonical_reason()));
        body.insert("status".into(), json!(self.status.as_u16()));
        body.insert("detail".into(), json!(self.detail));
        body.insert("code".into(), json!(self.code));
        body.insert("request_id".into(), json!(request_id));
        let json = HeaderValue::from_static("application/problem+json");
        let body = Value::Object(body).to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, json)], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
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

/// Answers of the store become client errors; faults are logged here, once, with their chain.
impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        use store::Error;
        match error {
            Error::NotFound => Self::not_found("not_found", "There is nothing with this id."),
            Error::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "This Idempotency-Key was used before with another request.",
            ),
            Error::Invalid(errors) => Self::invalid(errors),
            Error::Shortage(shortages) => Self::new(
                StatusCode::CONFLICT,
                "insufficient_stock",
                "There is not enough stock for this order; nothing was held.",
            )
            .with("shortages", json!(shortages)),
            Error::TooManyWaiting => Self {
                retry_after_s: Some(1),
                ..Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_changes",
                    "Too many changes of this order are waiting; nothing was done. Try again.",
                )
            },
            Error::Busy => {
                Self::unavailable("busy", "Too many orders are waiting; nothing was done. Try again.")
            }
            Error::ReportsBusy => {
                Self::unavailable("busy", "Too many reports are running; nothing was done. Try again.")
            }
            Error::Stale(version) => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "precondition_failed",
                "The product is not as your If-Match or If-None-Match expects; nothing was done.",
            )
            .with("current_etag", json!(version.map(|version| format!("\"{version}\"")))),
            Error::AlreadyResolved => Self::new(
                StatusCode::CONFLICT,
                "exception_resolved",
                "Somebody has decided about this exception before.",
            ),
            Error::NotApplicable { why, status } => {
                let problem = Self::new(StatusCode::CONFLICT, "exception_not_applicable", why);
                match status {
                    Some(status) => problem.with("current_status", json!(status)),
                    None => problem,
                }
            }
            Error::BeyondCaptured(refundable) => Self::new(
                StatusCode::CONFLICT,
                "refund_exceeds_captured",
                format!("At most {refundable} minor units can still go back."),
            )
            .with("refundable", json!(refundable)),
            Error::BeyondSold(returnable) => Self::new(
                StatusCode::CONFLICT,
                "restock_exceeds_sold",
                "That is more than was sold and is still there; nothing was done.",
            )
            .with("returnable", returnable.into_iter().map(ReturnDocument::from).collect::<Vec<_>>()),
            Error::NotAStay => Self::new(
                StatusCode::CONFLICT,
                "product_not_a_stay",
                "This product is not sold by the night.",
            ),
            Error::NotGoods => Self::new(
                StatusCode::CONFLICT,
                "product_not_goods",
                "This product is sold by the night: its stock is the capacity of its nights.",
            ),
            Error::CapacityBelowSold(nights) => {
                let taken = |night: &Night| NightDocument {
                    date: night.date,
                    held: night.level.held,
                    sold: night.sold(),
                };
                let detail = "More of these nights is held and sold already; nothing was changed.";
                Self::new(StatusCode::CONFLICT, "capacity_below_sold", detail)
                    .with("nights", nights.iter().map(taken).collect::<Vec<_>>())
            }
            Error::BelowHeld => Self::new(
                StatusCode::CONFLICT,
                "stock_below_held",
                "That would leave less stock than is held for orders.",
            ),
            fault if fault.is_outage() => {
                tracing::error!(error = %fault, "the database does not answer");
                Self::unavailable("database_unavailable", "The database does not answer; nothing was done.")
            }
            fault => {
                tracing::error!(error = %fault, "request failed");
                Self::internal()
            }
        }
    }
}
