//! Query strings: what an operation does not know, or is told twice, is an error that names it, as in a body.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{Method, Uri, request::Parts},
    middleware::Next,
    response::Response,
};
use domain::Invalid;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, Parameter, ParameterIn},
};
use web::json;

use crate::error::Problem;

/// The query string. Its types hold plain strings, parsed by the handler so that errors name the field.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        readable(&parts.uri)?;
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(query) => Ok(Self(query.0)),
            Err(rejection) => Err(bad(&rejection.body_text()).into()),
        }
    }
}

fn readable(uri: &Uri) -> Result<(), Invalid> {
    match percent_decode_str(uri.query().unwrap_or_default()).decode_utf8() {
        Ok(_) => Ok(()),
        Err(_) => Err(Invalid::new("query", "must be UTF-8, percent-encoded")),
    }
}

/// "Failed to deserialize query string: foo: unknown field `foo`", as the library says it; of a field that is
/// there twice it says nothing before.
fn bad(text: &str) -> Invalid {
    let said = text.split_once(": ").map_or(text, |(_, said)| said);
    let message = said.split_once(": ").map_or(said, |(_, message)| message);
    let field = message.split('`').nth(1).filter(|_| message.contains(" field `"));
    let field = field.or_else(|| said.split_once(": ").map(|(field, _)| field));
    Invalid::new(field.unwrap_or("query"), json::in_words_of_json(message))
}

/// The operations that know parameters.
pub struct Known(BTreeSet<(Method, String)>);

impl Known {
    pub fn new(document: &OpenApi) -> Arc<Self> {
        let mut known = BTreeSet::new();
        for (path, item) in &document.paths.paths {
            let methods = [
                (Method::GET, &item.get),
                (Method::PUT, &item.put),
                (Method::POST, &item.post),
                (Method::DELETE, &item.delete),
            ];
            for (method, operation) in methods {
                if operation.as_ref().is_some_and(has_parameters) {
                    known.insert((method, path.clone()));
                }
            }
        }
        Arc::new(Self(known))
    }
}

fn has_parameters(operation: &Operation) -> bool {
    let is_in_query =
        |it: &RefOr<Parameter>| matches!(it, RefOr::T(it) if it.parameter_in == ParameterIn::Query);
    operation.parameters.iter().flatten().any(is_in_query)
}

/// Refuses parameters of an operation that has none; where it has some, [`Query`] knows which.
pub async fn refuse_unknown(
    State(known): State<Arc<Known>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let operation = (method.clone(), path.as_str().to_owned());
    let first = request.uri().query().and_then(|query| query.split('&').find(|it| !it.is_empty()));
    match first {
        Some(parameter) if !known.0.contains(&operation) => {
            readable(request.uri())?;
            let name = parameter.split('=').next().unwrap_or_default();
            Err(Invalid::new(name, "is not known here").into())
        }
        _ => Ok(next.run(request).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let said = |text: &str| bad(&format!("Failed to deserialize query string: {text}")).to_string();
        assert_eq!(
            said("foo: unknown field `foo`, expected `limit` or `q`"),
            "foo: is not known here; known are `limit`, `q`"
        );
        assert_eq!(said("duplicate field `limit`"), "limit: `limit` stands there twice");
        assert_eq!(said("what"), "query: what");
    }
}
