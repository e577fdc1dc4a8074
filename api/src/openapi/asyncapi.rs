//! What others are told, for machines: an AsyncAPI 3 document of the topics, and a JSON Schema of each type's
//! data. Both are made of the OpenAPI document, which is made of the types.

use std::collections::BTreeMap;

use domain::public_event::{self, PublicEventType, Topic};
use serde_json::{Map, Value, json};

use super::timeline::event_schema;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// The shape that events of this program have.
const VERSION: i16 = 1;
const IN_OPENAPI: &str = "#/components/schemas/";

/// Where the schema of each type's data is.
pub const SCHEMAS: &str = "/v1/event-schemas/{type}/{version}";

/// The schema of each type's data, by its address.
pub fn data_schemas(openapi: &Value) -> BTreeMap<String, Value> {
    PublicEventType::ALL.into_iter().map(|it| (address(it), data_schema(openapi, it))).collect()
}

fn address(of: PublicEventType) -> String {
    SCHEMAS.replace("{type}", of.as_str()).replace("{version}", &VERSION.to_string())
}

fn data_schema(openapi: &Value, of: PublicEventType) -> Value {
    let mut schema = openapi["components"]["schemas"][event_schema(of)]["properties"]["data"].clone();
    let mut definitions = Map::new();
    define(&mut schema, openapi, "#/$defs/", &mut definitions);
    let mut whole = json!({"$schema": DIALECT, "$id": public_event::data_schema(of, VERSION), "title": of});
    if let (Some(whole), Value::Object(schema)) = (whole.as_object_mut(), schema) {
        whole.extend(schema);
    }
    if !definitions.is_empty() {
        whole["$defs"] = definitions.into();
    }
    whole
}

/// Takes along what a schema refers to, under another prefix.
fn define(value: &mut Value, openapi: &Value, prefix: &str, definitions: &mut Map<String, Value>) {
    let name = value["$ref"].as_str().and_then(|it| it.strip_prefix(IN_OPENAPI)).map(str::to_owned);
    if let Some(name) = name {
        value["$ref"] = json!(format!("{prefix}{name}"));
        if !definitions.contains_key(&name) {
            definitions.insert(name.clone(), Value::Null); // before its own references, which may come back
            let mut definition = openapi["components"]["schemas"][&name].clone();
            define(&mut definition, openapi, prefix, definitions);
            definitions.insert(name, definition);
        }
    }
    match value {
        Value::Object(parts) => parts.values_mut().for_each(|it| define(it, openapi, prefix, definitions)),
        Value::Array(parts) => parts.iter_mut().for_each(|it| define(it, openapi, prefix, definitions)),
        _ => {}
    }
}

/// The AsyncAPI document.
pub fn asyncapi(openapi: &Value) -> Value {
    let mut schemas = Map::new();
    let (mut messages, mut channels, mut operations) = (Map::new(), Map::new(), Map::new());
    for of in PublicEventType::ALL {
        messages.insert(of.to_string(), message(openapi, of, &mut schemas));
    }
    for topic in Topic::ALL {
        let name = topic.as_str();
        let of_topic = PublicEventType::ALL.into_iter().filter(|it| it.topic() == topic);
        let of_topic =
            of_topic.map(|it| (it.to_string(), json!({"$ref": format!("#/components/messages/{it}")})));
        let channel = json!({
            "address": format!("holdfast.{name}"),
            "description": format!("A topic of Kafka. The key of a message is its subject. {}", about(topic)),
            "messages": of_topic.collect::<Map<_, _>>(),
        });
        channels.insert(name.to_owned(), channel);
        let channel = json!({"$ref": format!("#/channels/{name}")});
        operations.insert(format!("publish_{name}"), json!({"action": "send", "channel": channel}));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Holdfast events",
            "version": openapi["info"]["version"],
            "description": "CloudEvents 1.0: binary mode on Kafka, as structured JSON to webhooks and by \
                            `GET /v1/events`. Each is told at least once, in order per subject, never \
                            before it \
                            has happened.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    })
}

const fn about(topic: Topic) -> &'static str {
    match topic {
        Topic::Orders => "What becomes of orders.",
        Topic::Payments => "Money that came, went back or is disputed, and what no rule settled.",
        Topic::Products => "The catalogue, and levels that cross a threshold.",
    }
}

fn message(openapi: &Value, of: PublicEventType, schemas: &mut Map<String, Value>) -> Value {
    let mut payload = openapi["components"]["schemas"][event_schema(of)]["properties"]["data"].clone();
    define(&mut payload, openapi, IN_OPENAPI, schemas);
    let text = json!({"type": "string"});
    let headers = json!({
        "type": "object",
        "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time"],
        "properties": {
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_id": {"type": "string", "pattern": "^evt_[0-9a-f]{32}$"},
            "ce_source": text,
            "ce_type": {"type": "string", "const": of},
            "ce_subject": text,
            "ce_time": {"type": "string", "format": "date-time"},
            "ce_dataschema": text,
            "ce_sequence": {"type": "string", "pattern": "^[0-9]+$"},
            "ce_version": {"type": "string", "pattern": "^[0-9]+$"},
            "traceparent": text,
        },
    });
    json!({
        "name": of, "title": of, "contentType": "application/json", "headers": headers, "payload": payload,
    })
}
