//! Whether a value is as a schema of the document says.

use serde_json::Value;

/// Every difference between the value and the schema, a field that the schema does not know included.
pub fn differences(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(document, schema, value, "", &mut found);
    found
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(name) => {
            let target = document.pointer(name.trim_start_matches('#'));
            resolve(document, target.expect("a reference within the document"))
        }
        None => schema,
    }
}

fn compare(document: &Value, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let schema = resolve(document, schema);
    for word in ["anyOf", "oneOf"] {
        let Some(choices) = schema[word].as_array() else { continue };
        let fits = |choice: &&Value| differences(document, choice, value).is_empty();
        let count = choices.iter().filter(fits).count();
        if count == 0 || word == "oneOf" && count > 1 {
            found.push(format!("{path}: {value} is {count} of {word}"));
        }
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        found.push(format!("{path}: {value} is not in {values:?}"));
    }
    if !has_type(&schema["type"], value) {
        found.push(format!("{path}: {value} is not {}", schema["type"]));
    }
    match value {
        Value::Object(_) => compare_object(document, schema, value, path, found),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                compare(document, &schema["items"], item, &format!("{path}[{index}]"), found);
            }
        }
        Value::String(text) => compare_text(schema, text, path, found),
        Value::Number(number) => {
            let [value, least, most] =
                [Some(number), schema["minimum"].as_number(), schema["maximum"].as_number()]
                    .map(|number| number.map(|number| number.to_string().parse::<f64>().expect("a number")));
            if value < least || most.is_some_and(|most| value > Some(most)) {
                found.push(format!("{path}: {number} is out of range"));
            }
        }
        _ => {}
    }
}

fn has_type(types: &Value, value: &Value) -> bool {
    let is = |kind: &str| match value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "boolean",
        Value::Number(number) => {
            kind == "number" || kind == "integer" && !number.to_string().contains(['.', 'e', 'E'])
        }
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    };
    match types {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

fn compare_text(schema: &Value, text: &str, path: &str, found: &mut Vec<String>) {
    let is_well_formed = match schema["format"].as_str() {
        Some("uuid") => text.parse::<uuid::Uuid>().is_ok(),
        Some("date-time") => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        _ => true,
    };
    let length = text.chars().count() as u64;
    let is_long_enough = schema["minLength"].as_u64().is_none_or(|least| length >= least);
    if !is_well_formed || !is_long_enough || schema["maxLength"].as_u64().is_some_and(|most| length > most) {
        found.push(format!("{path}: `{text}` is not {schema}"));
    }
}

/// The parts that an object is put together from, each without references.
fn parts<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let schema = resolve(document, schema);
    let inner = schema["allOf"].as_array().into_iter().flatten();
    inner.flat_map(|part| parts(document, part)).chain([schema]).collect()
}

fn compare_object(document: &Value, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let parts = parts(document, schema);
    for part in &parts {
        for name in part["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.get(name).is_none() {
                found.push(format!("{path}.{name}: is missing"));
            }
        }
    }
    let is_map = parts.iter().all(|part| part["properties"].is_null());
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let fields: Vec<&Value> = parts.iter().filter_map(|part| part["properties"].get(name)).collect();
        for field in &fields {
            compare(document, field, value, &path, found);
        }
        let others = parts.iter().map(|part| &part["additionalProperties"]).find(|others| !others.is_null());
        match others {
            _ if !fields.is_empty() => {}
            Some(Value::Bool(true)) => {}
            Some(others) if others.is_object() => compare(document, others, value, &path, found),
            None if is_map => {}
            _ => found.push(format!("{path}: is not in the document")),
        }
    }
}
