//! How the sandbox says no: `{"error": {code, message}, "payment"?}`.

use axum::{
    Json,
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::json;

use crate::model::Payment;

pub type Answer<T> = Result<T, Refusal>;

#[derive(Debug)]
pub enum Refusal {
    Said {
        status: StatusCode,
        /// Stable, for programs.
        code: &'static str,
        message: String,
        /// The truth, where the refusal is about a payment's state.
        payment: Option<Box<Payment>>,
    },
    /// The connection ends in the middle of the answer.
    HungUp,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::Said { status, code, message: message.into(), payment: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// The key was used before, for something else.
    pub fn key_reused() -> Self {
        let message = "this key was used before, for something else";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", message)
    }

    /// A 409 that shows what the payment is instead.
    pub fn of_payment(code: &'static str, message: impl Into<String>, is: &Payment) -> Self {
        let payment = Some(Box::new(is.clone()));
        Self::Said { status: StatusCode::CONFLICT, code, message: message.into(), payment }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Said { status, code, message, payment } => {
                let mut body = json!({"error": {"code": code, "message": message}});
                if let Some(payment) = payment {
                    body["payment"] = json!(payment);
                }
                (status, Json(body)).into_response()
            }
            Self::HungUp => {
                let cut = stream::once(async { Err::<&'static str, _>(std::io::Error::other("hung up")) });
                Body::from_stream(cut).into_response()
            }
        }
    }
}
