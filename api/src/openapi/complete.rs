//! What the handlers' own documentation leaves out, because it is the same everywhere: the errors that any
//! request may get, a description of each answer, and what each name means ([`super::meaning`]).

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    SECURITY_SCHEME, flatten,
    meaning::{self, Words},
    timeline,
};

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];
const PROBLEM: &str = "#/components/schemas/Problem";
const PROBLEM_JSON: &str = "application/problem+json";

/// Completes a document that was made from the handlers.
pub fn complete(mut document: Value) -> Value {
    flatten::flatten(&mut document);
    let mut words = Map::new();
    let items = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in items {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method) {
                complete_operation(path, method, operation, &mut words);
            }
        }
    }
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        timeline::describe_entries(schemas);
        for (name, schema) in schemas.iter_mut() {
            complete_schema(name, schema, &mut words);
        }
        schemas.extend(words);
        schemas.sort_keys();
    }
    document
}

fn complete_operation(path: &str, method: &str, operation: &mut Value, words: &mut Map<String, Value>) {
    tidy(operation, "summary");
    let operation_name = text(operation, "operationId");
    let scope = text(&operation["security"][0][SECURITY_SCHEME], 0);
    // Public operations have one requirement, of nothing.
    let wants_caller = operation["security"][0].as_object().is_some_and(|wanted| !wanted.is_empty());
    let has_body = operation.get("requestBody").is_some();
    let mut others = vec![400, 500, 503];
    // A body that may be left out is not `null`.
    if let Some(body) = operation.pointer_mut("/requestBody/content/application~1json/schema")
        && let Some(given) =
            body["oneOf"].as_array().and_then(|of| of.iter().find(|of| of.get("$ref").is_some()))
    {
        *body = given.clone();
    }
    if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
        for parameter in parameters {
            let name = text(parameter, "name");
            // A key may be another request's.
            let is_in_path = parameter["in"] == "path";
            let can_be_unfit = parameter["in"] == "query" || name == "Idempotency-Key";
            others.extend(can_be_unfit.then_some(422));
            tidy(parameter, "description");
            if let Some(schema) = parameter.get_mut("schema") {
                let of = match name.as_str() {
                    "id" if path.contains("/orders/") => "Order",
                    "id" if path.contains("/keys/") => "ApiKey",
                    "id" if path.contains("/webhook-endpoints/") => "WebhookEndpoint",
                    "id" => "ExceptionRecord",
                    "sku" if is_in_path => "Product",
                    _ => "",
                };
                // Handlers read queries as text, to name what is wrong with it.
                match name.as_str() {
                    "limit" | "hours" => schema["type"] = json!("integer"),
                    "include_retired" | "oldest_first" | "newest_first" => schema["type"] = json!("boolean"),
                    "starting_after" => {
                        if let Some(pattern) = meaning::cursor(&operation_name) {
                            schema["pattern"] = json!(pattern);
                        }
                    }
                    _ => {}
                }
                // What is absent is not `null`, either.
                if is(schema, "null") {
                    schema["type"] = json!("string");
                }
                describe(schema, of, &name, words);
            }
        }
    }
    if has_body {
        others.extend([408, 413, 415, 422]);
    }
    if wants_caller {
        others.extend([401, 403, 422, 429]); // no query is read that is not known
    }
    let is_of_strangers =
        ["/v1/accounts", "/v1/sessions", "/.well-known"].iter().any(|begin| path.starts_with(begin));
    if is_of_strangers {
        others.push(429);
    }
    if path.contains('{') && method != "put" {
        others.push(404); // a PUT may make what it names
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for status in others {
        responses.entry(status.to_string()).or_insert_with(problem);
    }
    for (status, response) in responses {
        if status == "403" && !scope.is_empty() {
            let lacks = format!("`scope_missing`: the caller does not have the scope `{scope}`");
            response["description"] = json!(lacks);
        }
        if status == "429" && (wants_caller || is_of_strangers) {
            let said = text(response, "description");
            let others = if said.is_empty() { said } else { format!("{said}; or ") };
            let too_many = "`rate_limited`: this key or customer, or without a key or token this address, \
                            has sent too many requests";
            response["description"] = json!(format!("{others}{too_many}"));
        }
        complete_response(status, response);
    }
}

fn problem() -> Value {
    json!({"content": {PROBLEM_JSON: {"schema": {"$ref": PROBLEM}}}})
}

fn complete_response(status: &str, response: &mut Value) {
    let code = status.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
    if text(response, "description").is_empty() {
        response["description"] = json!(code.and_then(|code| meaning_of(&code)).unwrap_or("An answer"));
    }
    // Problems have a media type of their own, which handlers would have to repeat at each of their errors.
    let content = &mut response["content"];
    if content["application/json"]["schema"]["$ref"] == PROBLEM {
        *response = json!({"description": response["description"], "headers": response["headers"],
                           "content": problem()["content"]});
    }
    let headers = match status {
        "429" if response["content"][PROBLEM_JSON].is_object() => json!({
            "Retry-After": retry_after(),
            "RateLimit": {"description": "`\"writes\";r=0;t=1`: one more after `t` seconds",
                          "schema": {"type": "string"}},
            "RateLimit-Policy": {"description": "`\"writes\";q=30000;w=60`: `q` requests in `w` seconds",
                                 "schema": {"type": "string"}}
        }),
        "503" if response["content"][PROBLEM_JSON].is_object() => json!({"Retry-After": retry_after()}),
        "401" => json!({"WWW-Authenticate": {"schema": {"type": "string"}}}),
        _ => Value::Null,
    };
    if response["headers"].is_null() && !headers.is_null() {
        response["headers"] = headers;
    }
    if let Some(response) = response.as_object_mut() {
        response.retain(|_, value| !value.is_null());
    }
}

fn retry_after() -> Value {
    json!({"description": "Seconds", "schema": {"type": "integer", "minimum": 0}})
}

/// For an answer of which the handler says nothing more.
fn meaning_of(status: &StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        200 => "As asked",
        201 => "Created",
        400 => "The request cannot be read: `malformed_json`, or a header is not as it should be",
        401 => "`unauthorized`: the API key or token is missing or wrong, has expired or was revoked",
        403 => "`account_required`: only for those who are signed in with an account",
        404 => "There is nothing with this name",
        408 => "`request_timeout`: the body came too slowly",
        413 => "`payload_too_large`",
        414 | 431 => "The address, or a header, is too long to be read; no problem document",
        415 => "`unsupported_media_type`: the body is not sent as JSON",
        422 => "`invalid_request`: each field that broke a rule is named",
        500 => "`internal_error`: it is in the log under the request's id",
        503 => "Something is away or busy; nothing was done, try again",
        _ => return status.canonical_reason(),
    })
}

fn complete_schema(name: &str, schema: &mut Value, words: &mut Map<String, Value>) {
    tidy(schema, "description");
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (property, of) in properties {
        // A page's documents are those that a read of one gives.
        if let (Some(item), "data") = (name.strip_prefix("List_"), property.as_str()) {
            *of = json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{item}")}});
        }
        if let (Some(always), "object") = (always(of), property.as_str()) {
            of["const"] = json!(always);
        }
        match of.get("properties") {
            Some(_) => complete_schema(name, of, words),
            None => describe(of, name, property, words),
        }
    }
}

/// "Always `order`."
fn always(property: &Value) -> Option<String> {
    Some(text(property, "description").strip_prefix("Always `")?.strip_suffix("`.")?.to_owned())
}

/// Merges what a name means into what its type says.
fn describe(schema: &mut Value, of: &str, name: &str, words: &mut Map<String, Value>) {
    tidy(schema, "description");
    for one in schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        tidy(one, "description");
    }
    if schema.get("const").is_some() {
        return;
    }
    // Anything may be in it, as opposed to nothing.
    if is(schema, "object") && schema.get("properties").is_none() {
        schema["additionalProperties"] = json!(true);
    }
    if let (true, Some(Words { name, words: list })) = (is(schema, "string"), meaning::words(of, name)) {
        words.insert(name.to_owned(), json!({"type": "string", "enum": list}));
        refer(schema, name);
        return;
    }
    let kind = ["integer", "array", "string"].into_iter().find(|kind| is(schema, kind));
    merge(schema, kind.and_then(|kind| meaning::of(of, name, kind)));
    if let Some(items) = schema.get_mut("items") {
        merge(items, meaning::item(of, name));
    }
}

/// Adds what is not said yet.
fn merge(schema: &mut Value, more: Option<Value>) {
    for (key, value) in more.as_ref().and_then(Value::as_object).cloned().unwrap_or_default() {
        if schema.get(&key).is_none() {
            schema[key] = value;
        }
    }
}

/// Makes a schema that of these words.
fn refer(schema: &mut Value, words: &str) {
    let of_words = json!({"$ref": format!("#/components/schemas/{words}")});
    let mut refers = match is(schema, "null") {
        true => json!({"oneOf": [{"type": "null"}, of_words]}),
        false => of_words,
    };
    for key in ["description", "default"] {
        if let Some(value) = schema.get(key) {
            refers[key] = value.clone();
        }
    }
    *schema = refers;
}

fn is(schema: &Value, wanted: &str) -> bool {
    match &schema["type"] {
        Value::Array(types) => types.iter().any(|it| it == wanted),
        one => one == wanted,
    }
}

/// Lines end where the source code's do; in the document they would end in the middle of a sentence.
fn tidy(of: &mut Value, key: &str) {
    if let Some(Value::String(text)) = of.get_mut(key) {
        *text = text.split("\n\n").map(|it| it.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
    }
}

fn text(of: &Value, key: impl serde_json::value::Index) -> String {
    of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
