//! How bodies and paths are read. One extractor each, so that every kind of bad input is answered in one
//! shape.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header, request::Parts},
};
use domain::{Invalid, OrderId, Timestamp, stock::Sku};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use store::orders;
use web::json;

use crate::{
    app::App,
    auth::{Caller, Customer},
    bodies::{self, body},
    error::Problem,
    headers::only,
};

/// A JSON body. Unknown fields are refused by the types themselves.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        parse(&json_body(request).await?).map(Self)
    }
}

/// A JSON body that may be left out.
pub struct OptionalJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = json_body(request).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        parse(&bytes).map(Self)
    }
}

/// The body, which says that it is JSON, or is empty.
async fn json_body(request: Request) -> Result<Bytes, Problem> {
    let unsupported =
        |detail| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail);
    let is_json = only(request.headers(), &header::CONTENT_TYPE).is_some_and(is_json);
    let is_encoded = request.headers().contains_key(header::CONTENT_ENCODING)
        && !only(request.headers(), &header::CONTENT_ENCODING)
            .is_some_and(|encoding| encoding.trim().eq_ignore_ascii_case("identity"));
    // Customers and strangers take no place from the shop.
    let is_shops = request.extensions().get::<Caller>().is_some_and(|caller| caller.customer().is_none());
    let places = if is_shops { &bodies::WITH_KEY } else { &bodies::OF_STRANGERS };
    let bytes = body(request, places).await?;
    match bytes.is_empty() {
        false if !is_json => Err(unsupported("Send the body as `Content-Type: application/json`.")),
        false if is_encoded => Err(unsupported("Send the body without a `Content-Encoding`.")),
        _ => Ok(bytes),
    }
}

/// A media type of JSON, in the one encoding that JSON has.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    let is_json = parts.next().is_some_and(|it| {
        it == "application/json"
            || it.split_once('/').is_some_and(|(kind, subtype)| {
                let suffixed = subtype.strip_suffix("+json");
                is_token(kind) && suffixed.is_some_and(is_token)
            })
    });
    let charsets =
        parts.filter_map(|it| it.strip_prefix("charset=").map(|set| set.trim_matches('"').to_owned()));
    is_json && charsets.into_iter().all(|set| set == "utf-8" || set == "utf8")
}

/// Text that is not JSON is a 400; JSON that is not what we asked for, a 422 that names the field.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    json::read(bytes).map_err(|error| match error {
        json::Error::Malformed(why) => {
            Problem::bad_request("malformed_json", format!("The body is not JSON: {why}."))
        }
        json::Error::Invalid { field, message } => Invalid::new(field, message).into(),
    })
}

pub const NOT_A_TIME: &str = "must be an RFC 3339 time such as 2026-07-01T12:00:00Z";
const NO_SUCH_TIME: &str = "must be a time that there is, from the year 0 to 9999-12-30";

/// For what may be left out and is not null: `serde` would take the one for the other.
pub fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// A time in a body.
pub fn time<'de, D: Deserializer<'de>>(text: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(text)?;
    parse_time(&text).map_err(serde::de::Error::custom)
}

/// RFC 3339 knows no time before it, and PostgreSQL none long before.
const YEAR_0: i64 = -62_167_219_200;

/// A time as RFC 3339 writes it. The library reads more of ISO 8601.
pub fn parse_time(text: &str) -> Result<Timestamp, &'static str> {
    let form = text.bytes().map(|b| if b.is_ascii_digit() { b'0' } else { b.to_ascii_uppercase() });
    let form: Vec<u8> = form.collect();
    let (second, rest) = form.split_at_checked(19).ok_or(NOT_A_TIME)?;
    let digits = match rest {
        [b'.', fraction @ ..] => fraction.iter().take_while(|b| **b == b'0').count(),
        _ => 0,
    };
    let offset = if digits > 0 { &rest[1 + digits..] } else { rest };
    if second != b"0000-00-00T00:00:00" || !matches!(offset, b"Z" | b"+00:00" | b"-00:00") {
        return Err(NOT_A_TIME);
    }
    // Nobody has a clock that tells what follows the ninth digit.
    let spare = digits.saturating_sub(9);
    let end = 19 + if digits > 0 { 1 + digits } else { 0 };
    let time = [&text[..end - spare], &text[end..]].concat().parse();
    time.ok().filter(|time: &Timestamp| time.as_second() >= YEAR_0).ok_or(NO_SUCH_TIME)
}

/// The id in the path. What is not an id names no order.
pub struct OrderPath(pub OrderId);

impl FromRequestParts<App> for OrderPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let text = path_segment(parts, app).await;
        let id: OrderId = text.and_then(|text| text.parse().ok()).ok_or_else(order_not_found)?;
        tracing::Span::current().record("order_id", tracing::field::display(id));
        own(parts, app, id).await?;
        Ok(Self(id))
    }
}

/// The one way to an order by its id: a customer has only their own, and there are no others for them.
async fn own(parts: &mut Parts, app: &App, order: OrderId) -> Result<(), Problem> {
    let caller = Caller::from_request_parts(parts, app).await?;
    match caller.customer() {
        Some(Customer { id, account, .. }) => {
            let account = account.map(|(account, _)| account);
            match orders::is_of(&app.db, order, id, account).await? {
                true => Ok(()),
                false => Err(order_not_found()),
            }
        }
        None => Ok(()),
    }
}

pub fn order_not_found() -> Problem {
    Problem::not_found("order_not_found", "There is no order with this id.")
}

/// An order's id in the path, and then the id of something of it.
pub struct OrderPartPath<T>(pub OrderId, pub T);

impl<T: std::str::FromStr + Send> FromRequestParts<App> for OrderPartPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let path = axum::extract::Path::<(String, String)>::from_request_parts(parts, app).await;
        let (order, part) = path.map_err(|_| order_not_found())?.0;
        let order: OrderId = order.parse().map_err(|_| order_not_found())?;
        tracing::Span::current().record("order_id", tracing::field::display(order));
        own(parts, app, order).await?;
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
