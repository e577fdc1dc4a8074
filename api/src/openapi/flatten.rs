//! Objects that serde flattens into others. They are one object in JSON, and so they are in the document:
//! client generators make little of `allOf`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

type Schemas = Map<String, Value>;

/// Makes one object of each `allOf`, and leaves out the schemas that stand nowhere else.
pub fn flatten(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object().cloned() else { return };
    let mut merged = BTreeSet::new();
    flatten_within(&mut document["components"]["schemas"], &schemas, &mut merged);
    let text = document.to_string();
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| {
            !merged.contains(name) || text.contains(&format!("\"#/components/schemas/{name}\""))
        });
    }
}

fn flatten_within(value: &mut Value, schemas: &Schemas, merged: &mut BTreeSet<String>) {
    if value.get("allOf").is_some() {
        let Members { properties, required } = members(value, schemas, merged);
        let mut object = json!({"type": "object", "properties": properties, "required": required});
        if let Some(description) = value.get("description") {
            object["description"] = description.clone();
        }
        *value = object;
    }
    match value {
        Value::Object(parts) => {
            parts.values_mut().for_each(|part| flatten_within(part, schemas, merged));
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| flatten_within(part, schemas, merged)),
        _ => {}
    }
}

/// What an object may have, and what of it it always has.
#[derive(Default)]
struct Members {
    properties: Map<String, Value>,
    required: BTreeSet<String>,
}

/// The members of an object, wherever they are declared.
fn members(schema: &Value, schemas: &Schemas, merged: &mut BTreeSet<String>) -> Members {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        merged.insert(name.to_owned());
        return schemas.get(name).map_or_else(Members::default, |of| members(of, schemas, merged));
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return parts.iter().fold(Members::default(), |mut all, part| {
            let part = members(part, schemas, merged);
            all.properties.extend(part.properties);
            all.required.extend(part.required);
            all
        });
    }
    if let Some(alternatives) = schema["oneOf"].as_array() {
        let all: Vec<_> = alternatives.iter().map(|one| members(one, schemas, merged)).collect();
        return one_of(all);
    }
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let names = schema["required"].as_array().into_iter().flatten();
    let required = names.filter_map(Value::as_str).map(str::to_owned).collect();
    described(Members { properties, required }, &schema["description"])
}

/// What is said of an object with a single member is said of that.
fn described(mut members: Members, description: &Value) -> Members {
    let mut properties = members.properties.values_mut();
    if let (Some(only), None, true) = (properties.next(), properties.next(), description.is_string()) {
        only["description"] = description.clone();
    }
    members
}

/// An object that is one of several always has only what all of them have.
fn one_of(all: Vec<Members>) -> Members {
    let required = all.iter().map(|one| one.required.clone());
    let required = required.reduce(|some, others| &some & &others).unwrap_or_default();
    Members { properties: all.into_iter().flat_map(|one| one.properties).collect(), required }
}
