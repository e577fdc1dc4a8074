use serde_json::Value;

use super::*;
use crate::{operations, webhooks};

/// The document as it is published.
const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

fn document() -> Value {
    let public = accounts::public_routes().merge(webhooks::routes()).merge(operations::routes());
    let parts = routes(true, true).into_parts().0.merge(public).split_for_parts();
    complete::complete(json!(parts.1))
}

/// Every operation by its address.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &'_ Value)| {
        let methods = item.as_object().expect("methods").keys().cloned();
        methods.map(|method| (path.clone(), method)).collect::<Vec<_>>()
    };
    let all: Vec<_> = paths.iter().flat_map(of_path).collect();
    all.into_iter()
        .map(|(path, method)| (format!("{method} {path}"), &document["paths"][path][method]))
        .collect()
}

/// Set `HOLDFAST_UPDATE_OPENAPI=1` to write it anew.
#[test]
#[expect(clippy::disallowed_methods, reason = "a developer's switch")]
fn the_published_document_is_this_one() {
    let text = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
    if std::env::var_os("HOLDFAST_UPDATE_OPENAPI").is_some() {
        std::fs::write(PUBLISHED, &text).expect("docs/ can be written");
    }
    let published = std::fs::read_to_string(PUBLISHED).unwrap_or_default();
    assert!(
        published == text,
        "docs/openapi.json is another one: HOLDFAST_UPDATE_OPENAPI=1 cargo test -p api openapi"
    );
}

/// As it is published, too.
#[test]
#[expect(clippy::disallowed_methods, reason = "a developer's switch")]
fn the_published_document_of_events_is_this_one() {
    let published = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/asyncapi.json");
    let text = serde_json::to_string_pretty(&asyncapi::asyncapi(&document())).expect("JSON") + "\n";
    if std::env::var_os("HOLDFAST_UPDATE_OPENAPI").is_some() {
        std::fs::write(published, &text).expect("docs/ can be written");
    }
    let said = std::fs::read_to_string(published).unwrap_or_default();
    assert!(
        said == text,
        "docs/asyncapi.json is another one: HOLDFAST_UPDATE_OPENAPI=1 cargo test -p api openapi"
    );
}

#[test]
fn operations_have_names_of_their_own_and_answers_are_described() {
    let document = document();
    let mut names = std::collections::BTreeSet::new();
    for (address, operation) in operations(&document) {
        let name = operation["operationId"].as_str().expect("a name");
        assert!(names.insert(name.to_owned()), "{address}: {name} is another one's");
        for (status, response) in operation["responses"].as_object().expect("responses") {
            assert!(response["description"].as_str().is_some_and(|it| !it.is_empty()), "{address} {status}");
        }
        let mut expected = vec!["400", "500", "503"];
        let security = operation["security"].as_array().expect("a scope, or that there is none");
        if security != &[json!({})] {
            let of = |scheme| security.iter().find_map(|it| it.get(scheme)).and_then(Value::as_array);
            let (key, token) = (of(SECURITY_SCHEME), of(CUSTOMER_SCHEME));
            assert!(key.is_none_or(|scopes| scopes.len() == 1), "{address} wants {security:?}");
            assert!(key.is_some() || token.is_some(), "{address} wants {security:?}");
            assert_eq!(security.len(), key.iter().count() + token.iter().count(), "{address}");
            expected.extend(["401", "403"]);
        }
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let is_key = |parameter: &Value| parameter["name"] == "Idempotency-Key";
        expected.extend(parameters.into_iter().any(is_key).then_some("422"));
        for status in expected {
            assert!(operation["responses"][status].is_object(), "{address} {status}");
        }
    }
}

/// A new field of a request cannot be without bounds.
#[test]
fn what_a_request_may_hold_is_bounded() {
    let document = document();
    let mut unbounded = Vec::new();
    let mut requests = Vec::new();
    for (address, operation) in operations(&document) {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        requests.extend(body.as_str().map(str::to_owned));
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            look(
                &parameter["schema"],
                &format!("{address}: {}", parameter["name"]),
                &mut requests,
                &mut unbounded,
            );
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    while let Some(name) = requests.pop() {
        let name = name.rsplit('/').next().expect("a name").to_owned();
        if !seen.insert(name.clone()) {
            continue;
        }
        let properties = document["components"]["schemas"][&name]["properties"].as_object();
        for (property, schema) in properties.into_iter().flatten() {
            look(schema, &format!("{name}.{property}"), &mut requests, &mut unbounded);
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
    assert_eq!(unbounded, [""; 0]);
}

/// Notes what has no bounds, and which other schemas it leads to.
fn look(schema: &Value, place: &str, leads_to: &mut Vec<String>, unbounded: &mut Vec<String>) {
    if schema["items"].is_object() {
        look(&schema["items"], &format!("{place}[]"), leads_to, unbounded);
    }
    for of in [schema].into_iter().chain(schema["oneOf"].as_array().into_iter().flatten()) {
        leads_to.extend(of["$ref"].as_str().map(str::to_owned));
    }
    let has = |keys: &[&str]| keys.iter().any(|key| !schema[key].is_null());
    let is = |wanted: &str| schema["type"] == wanted || schema["type"][0] == wanted;
    let bounded = match () {
        () if is("string") => has(&["enum", "const", "pattern", "maxLength", "format"]),
        () if is("integer") => has(&["maximum"]),
        () if is("array") => has(&["maxItems"]),
        () => true,
    };
    if !bounded {
        unbounded.push(place.to_owned());
    }
}
