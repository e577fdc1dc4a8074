//! Entries of a timeline, and public events: each type has a schema of its own, and the type tells which it
//! is.

use domain::{event::EventType, public_event::PublicEventType};
use serde_json::{Map, Value, json};

/// Puts the data of each event type into an entry of that type.
pub fn describe_entries(schemas: &mut Map<String, Value>) {
    let entries = EventType::ALL.map(|it| (format!("{it:?}"), it.as_str()));
    describe(schemas, "TimelineEntry", "OrderEvent", &entries);
    let events = PublicEventType::ALL.map(|it| (event_schema(it), it.as_str()));
    describe(schemas, "Event", "EventData", &events);
}

/// What the schema of a public event is called.
pub fn event_schema(of: PublicEventType) -> String {
    format!("{of:?}Event")
}

/// Makes of a schema `whole`, and of one of its data, one for each type: its name, and the word for it.
fn describe(schemas: &mut Map<String, Value>, whole: &str, data: &str, types: &[(String, &str)]) {
    let Some(mut each) = schemas.remove(data) else { return };
    let mut entry = schemas.remove(whole).unwrap_or_default();
    let description = entry["description"].take();
    let (mut one_of, mut mapping) = (Vec::new(), Map::new());
    let each = each["oneOf"].as_array_mut().into_iter().flatten();
    for ((name, word), data) in types.iter().zip(each) {
        let reference = format!("#/components/schemas/{name}");
        entry["properties"]["type"] = json!({"type": "string", "const": word});
        entry["properties"]["data"] = data.take();
        schemas.insert(
            name.clone(),
            json!({
                "type": "object", "properties": entry["properties"], "required": entry["required"],
            }),
        );
        one_of.push(json!({"$ref": reference}));
        mapping.insert((*word).to_owned(), json!(reference));
    }
    let discriminator = json!({"propertyName": "type", "mapping": mapping});
    let entry = json!({"description": description, "oneOf": one_of, "discriminator": discriminator});
    schemas.insert(whole.to_owned(), entry);
}
