//! How requests are read. One extractor each for bodies, paths, queries and the idempotency key, so
//! that every kind of bad input is answered in one shape.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::BytesRejection},
    http::{StatusCode, header, request::Parts},
};
use domain::{Invalid, OrderId, stock::Sku};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use store::Idempotency;

use crate::Problem;

/// A JSON body. Unknown fields are refused by the types themselves.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
        let is_json = content_type.is_some_and(|value| {
            value.to_str().is_ok_and(|text| text.split(';').next().is_some_and(is_json))
        });
        let bytes = body(request, state).await?;
        if !is_json && !bytes.is_empty() {
            let detail = "Send the body as `Content-Type: application/json`.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        parse(&bytes).map(Self)
    }
}

fn is_json(media_type: &str) -> bool {
    let media_type = media_type.trim().to_ascii_lowercase();
    media_type == "application/json" || media_type.ends_with("+json")
}

/// A JSON body that may be left out.
pub struct OptionalJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = body(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        parse(&bytes).map(Self)
    }
}

/// The raw body, within the size limit.
pub async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            format!("A body may have at most {} bytes.", crate::MAX_BODY_BYTES),
        ),
        _ => Problem::bad_request("unreadable_body", "The body could not be read to its end."),
    })
}

/// Text that is not JSON is a 400; JSON that is not what we asked for, a 422 that names the field.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let path = if path == "." { missing(&error).unwrap_or_default() } else { path };
        match error.classify() {
            serde_json::error::Category::Data => {
                Problem::invalid(vec![Invalid::new(path, without_position(&error))])
            }
            _ => Problem::bad_request("malformed_json", format!("The body is not JSON: {error}.")),
        }
    })?;
    deserializer
        .end()
        .map_err(|error| Problem::bad_request("malformed_json", format!("The body is not JSON: {error}.")))?;
    Ok(value)
}

/// "missing field `reason`": what is not there has no place of its own.
fn missing(error: &serde_json::Error) -> Option<String> {
    Some(error.to_string().strip_prefix("missing field `")?.split('`').next()?.to_owned())
}

/// The field is named already; "at line 1 column 52" would only distract.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// The id in the path. What is not an id names no order.
pub struct OrderPath(pub OrderId);

impl<S: Send + Sync> FromRequestParts<S> for OrderPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_segment(parts, state).await;
        let id: OrderId = text.and_then(|text| text.parse().ok()).ok_or_else(order_not_found)?;
        tracing::Span::current().record("order_id", tracing::field::display(id));
        Ok(Self(id))
    }
}

pub fn order_not_found() -> Problem {
    Problem::not_found("order_not_found", "There is no order with this id.")
}

/// An order's id in the path, and then the id of something of it.
pub struct OrderPartPath<T>(pub OrderId, pub T);

impl<S: Send + Sync, T: std::str::FromStr> FromRequestParts<S> for OrderPartPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<(String, String)>::from_request_parts(parts, state).await;
        let (order, part) = path.map_err(|_| order_not_found())?.0;
        let order: OrderId = order.parse().map_err(|_| order_not_found())?;
        tracing::Span::current().record("order_id", tracing::field::display(order));
        let part =
            part.parse().map_err(|_| Problem::not_found("not_found", "There is nothing with this id."))?;
        Ok(Self(order, part))
    }
}

/// The SKU in the path, or what is wrong with it.
pub struct SkuPath(pub Result<Sku, Invalid>);

impl SkuPath {
    /// For reads: what cannot be a SKU names no product.
    pub fn existing(self) -> Result<Sku, Problem> {
        self.0.map_err(|_| product_not_found())
    }
}

pub fn product_not_found() -> Problem {
    Problem::not_found("product_not_found", "There is no product with this SKU.")
}

impl<S: Send + Sync> FromRequestParts<S> for SkuPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_segment(parts, state).await.unwrap_or_default();
        Ok(Self(Sku::parse(&text)))
    }
}

/// `None` for a segment that is not UTF-8.
async fn path_segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> Option<String> {
    axum::extract::Path::<String>::from_request_parts(parts, state).await.ok().map(|path| path.0)
}

/// The query string. Its types hold plain strings, parsed by the handler so that errors name the field.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(query) => Ok(Self(query.0)),
            Err(rejection) => Err(bad_query(&rejection.body_text()).into()),
        }
    }
}

/// "Failed to deserialize query string: foo: unknown field `foo`", as the library says it.
fn bad_query(text: &str) -> Invalid {
    let mut parts = text.splitn(3, ": ").skip(1);
    match (parts.next(), parts.next()) {
        (Some(field), Some(message)) => Invalid::new(field, message),
        _ => Invalid::new("query", text),
    }
}

/// The `Idempotency-Key` header, if it was sent.
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(Self(None));
        };
        let valid = |text: &&str| {
            !text.is_empty() && text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        };
        let key = value.to_str().ok().filter(valid).ok_or_else(|| {
            Problem::bad_request(
                "idempotency_key_invalid",
                "An Idempotency-Key has 1-255 printable ASCII characters.",
            )
        })?;
        Ok(Self(Some(key.to_owned())))
    }
}

impl IdempotencyKey {
    pub fn required(self) -> Result<String, Problem> {
        self.0.ok_or_else(|| {
            Problem::bad_request(
                "idempotency_key_required",
                "Send an Idempotency-Key header, new for each order.",
            )
        })
    }
}

/// Which request this is: the key, and a hash of what was asked for, as we understood it.
pub fn idempotency(key: String, request: &impl Serialize) -> Idempotency {
    // Requests are plain data with string keys; they always serialise.
    let canonical = serde_json::to_vec(request).unwrap_or_default();
    Idempotency { key, request_hash: Sha256::digest(canonical).to_vec() }
}
