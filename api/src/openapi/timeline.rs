//! The entries of a timeline: each event type has a schema of its own, and the type tells which it is.

use domain::event::EventType;
use serde_json::{Map, Value, json};

/// Puts the data of each event type into an entry of that type.
pub fn describe_entries(schemas: &mut Map<String, Value>) {
    let Some(mut events) = schemas.remove("OrderEvent") else { return };
    let mut entry = schemas.remove("TimelineEntry").unwrap_or_default();
    let description = entry["description"].take();
    let (mut one_of, mut mapping) = (Vec::new(), Map::new());
    let data = events["oneOf"].as_array_mut().into_iter().flatten();
    for (event_type, data) in EventType::ALL.into_iter().zip(data) {
        let name = format!("{event_type:?}");
        let reference = format!("#/components/schemas/{name}");
        entry["properties"]["type"] = json!({"type": "string", "const": event_type});
        entry["properties"]["data"] = data.take();
        schemas.insert(
            name,
            json!({
                "type": "object", "properties": entry["properties"], "required": entry["required"],
            }),
        );
        one_of.push(json!({"$ref": reference}));
        mapping.insert(event_type.to_string(), json!(reference));
    }
    let discriminator = json!({"propertyName": "type", "mapping": mapping});
    let entry = json!({"description": description, "oneOf": one_of, "discriminator": discriminator});
    schemas.insert("TimelineEntry".to_owned(), entry);
}
