//! From filters to a schema.

use serde_json::{Map, Value, json};

use super::allowed::{Allowed, Asked, Part, Values, ask};
use crate::catalog::billable_metric::definition::Definition;

/// The schema that says what a definition's filters say.
#[must_use]
pub fn to_schema(definition: &Definition) -> Value {
    let mut asked = Asked::new();
    if let Some(filter) = &definition.event_type_filter {
        let values = values(filter.in_values.as_deref(), filter.not_in_values.as_deref());
        ask(&mut asked, Part::EventType, Allowed { absent: true, values });
    }
    for filter in definition.property_filters.iter().flatten() {
        let listed = values(filter.in_values.as_deref(), filter.not_in_values.as_deref());
        let allowed = Allowed { absent: filter.in_values.is_none(), values: listed };
        ask(&mut asked, Part::Property(filter.name.clone()), allowed);
        if let Some(exists) = filter.exists {
            let presence = if exists { Allowed::PRESENT } else { Allowed::PRESENT.negated() };
            ask(&mut asked, Part::Property(filter.name.clone()), presence);
        }
    }
    written(&asked)
}

/// What `in_values` and `not_in_values` of a filter let pass.
fn values(in_values: Option<&[String]>, not_in_values: Option<&[String]>) -> Values {
    let set = |values: &[String]| values.iter().cloned().collect();
    let only = in_values.map_or(Values::ANY, |values| Values::Only(set(values)));
    only.and(Values::AllBut(set(not_in_values.unwrap_or_default())))
}

/// The schema of what is asked.
fn written(asked: &Asked) -> Value {
    let mut event = Map::new();
    let (mut required, mut schemas) = (Vec::new(), Map::new());
    for (part, allowed) in asked {
        let schema = written_values(&allowed.values);
        match part {
            Part::EventType => event.extend(schema.map(|schema| ("event_type".to_owned(), schema))),
            Part::Property(name) => {
                required.extend(Some(name.clone()).filter(|_| !allowed.absent));
                schemas.extend(schema.map(|schema| (name.clone(), schema)));
            }
        }
    }
    let mut properties = Map::new();
    if !required.is_empty() {
        properties.insert("required".to_owned(), json!(required));
    }
    if !schemas.is_empty() {
        properties.insert("properties".to_owned(), json!(schemas));
    }
    if !properties.is_empty() {
        properties.insert("type".to_owned(), json!("object"));
        event.insert("properties".to_owned(), json!(properties));
    }
    let mut schema = Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("required".to_owned(), json!(["event_type"])),
    ]);
    if !event.is_empty() {
        schema.insert("properties".to_owned(), json!(event));
    }
    Value::Object(schema)
}

/// The schema of values; nothing where any will do.
fn written_values(values: &Values) -> Option<Value> {
    match values {
        Values::Only(values) if values.is_empty() => Some(json!({ "not": {} })),
        Values::Only(values) => Some(json!({ "enum": values })),
        Values::AllBut(values) if values.is_empty() => None,
        Values::AllBut(values) => Some(json!({ "not": { "enum": values } })),
    }
}
