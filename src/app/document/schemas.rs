//! What schemas say of fields that may be missing and of fields that may be null.

use std::collections::{BTreeMap, BTreeSet};

use aide::openapi::{OpenApi, ParameterSchemaOrContent, SchemaObject};
use schemars::Schema;
use serde::Serialize;
use serde_json::Value;

use super::{SCHEMAS, each_schema, member_mut, operations_mut, parameters_mut};

/// Schemas by their names.
type Named = BTreeMap<String, SchemaObject>;

/// Puts a document together from the requests of one, in which types are described as they are read, and the
/// answers of the other, in which they are described as they are written.
pub fn finish(document: &mut OpenApi, mut written: OpenApi) {
    each_schema(&mut written, missing_is_not_null);
    parameters_are_not_null(document);

    let asked = named(document);
    let mut asks = BTreeSet::new();
    for (_, operation) in operations_mut(document) {
        references(&asked, &operation.parameters, &mut asks);
        references(&asked, &operation.request_body, &mut asks);
    }
    let names = names_of_answers(&asked, &asks, &named(&written));
    rename(&mut written, &names);

    let mut schemas: Named = asked.into_iter().filter(|(name, _)| asks.contains(name)).collect();
    schemas.extend(named(&written));
    let mut answers: BTreeMap<_, _> =
        operations_mut(&mut written).map(|(name, operation)| (name, operation.responses.take())).collect();
    for (name, operation) in operations_mut(document) {
        operation.responses = answers.remove(&name).flatten();
    }
    document.components.get_or_insert_default().schemas = schemas.into_iter().collect();
}

/// Only schemas that something refers to.
pub fn keep_used(document: &mut OpenApi) {
    let all = named(document);
    let mut used = BTreeSet::new();
    references(&all, &document.paths, &mut used);
    let components = document.components.get_or_insert_default();
    references(&all, &components.responses, &mut used);
    components.schemas.retain(|name, _| used.contains(name));
}

fn named(document: &OpenApi) -> Named {
    let schemas = document.components.iter().flat_map(|components| &components.schemas);
    schemas.map(|(name, schema)| (name.clone(), schema.clone())).collect()
}

/// Adds the name of every schema that a part of a document refers to, directly or through others.
fn references(schemas: &Named, part: &impl Serialize, found: &mut BTreeSet<String>) {
    let part = serde_json::to_value(part).expect("a document is JSON");
    let mut open = vec![&part];
    let mut referred = Vec::new();
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                referred.extend(members.get("$ref").and_then(Value::as_str).and_then(name_of));
                open.extend(members.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    for name in referred {
        if let (true, Some(schema)) = (found.insert(name.to_owned()), schemas.get(name)) {
            references(schemas, schema, found);
        }
    }
}

fn name_of(reference: &str) -> Option<&str> {
    reference.strip_prefix(SCHEMAS)
}

/// New names for schemas of answers that read otherwise in requests, themselves or in what they refer to.
fn names_of_answers(asked: &Named, asks: &BTreeSet<String>, written: &Named) -> BTreeMap<String, String> {
    let shared = || written.iter().filter(|(name, _)| asks.contains(*name));
    let mut other: BTreeSet<&str> = shared()
        .filter(|(name, schema)| asked.get(*name) != Some(schema))
        .map(|(name, _)| name.as_str())
        .collect();
    for (name, schema) in shared() {
        let mut inside = BTreeSet::new();
        references(written, schema, &mut inside);
        if inside.iter().any(|inside| asked.get(inside) != written.get(inside)) {
            other.insert(name);
        }
    }
    other.into_iter().map(|name| (name.to_owned(), format!("Shown{name}"))).collect()
}

fn rename(document: &mut OpenApi, names: &BTreeMap<String, String>) {
    each_schema(document, |schema| {
        let name = schema.get("$ref").and_then(Value::as_str).and_then(name_of);
        if let Some(new) = name.and_then(|name| names.get(name)) {
            schema.insert("$ref".to_owned(), format!("{SCHEMAS}{new}").into());
        }
    });
    let schemas = &mut document.components.get_or_insert_default().schemas;
    *schemas = std::mem::take(schemas)
        .into_iter()
        .map(|(name, schema)| (names.get(&name).cloned().unwrap_or(name), schema))
        .collect();
}

/// A query string and a path have no null.
fn parameters_are_not_null(document: &mut OpenApi) {
    for (_, operation) in operations_mut(document) {
        for parameter in parameters_mut(operation) {
            if let ParameterSchemaOrContent::Schema(schema) = &mut parameter.format {
                let mut value = schema.json_schema.clone().to_value();
                drop_null(&mut value);
                schema.json_schema = value.try_into().expect("an object stays one");
            }
        }
    }
}

/// A field that may be missing is left out where it would be null. (`Nullable` is the one type that is written
/// both ways, and says so with `oneOf`.)
fn missing_is_not_null(schema: &mut Schema) {
    let required: BTreeSet<String> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let Some(Value::Object(fields)) = member_mut(schema, "properties") else { return };
    fields.iter_mut().filter(|(name, _)| !required.contains(*name)).for_each(|(_, field)| drop_null(field));
}

/// The schema without the null that `Option` adds.
fn drop_null(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(mut choices)) = schema.remove("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        match choices.as_slice() {
            [Value::Object(only)] if schema.is_empty() => schema.clone_from(only),
            [_] => drop(schema.insert("allOf".to_owned(), choices.into())),
            _ => drop(schema.insert("anyOf".to_owned(), choices.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn without_null(mut schema: Value) -> Value {
        drop_null(&mut schema);
        schema
    }

    #[test]
    fn null_is_dropped_however_it_is_said() {
        let reference = json!({ "$ref": "#/components/schemas/A" });
        let cases = [
            (json!({ "type": ["string", "null"] }), json!({ "type": "string" })),
            (
                json!({ "type": ["string", "null"], "enum": ["a", null] }),
                json!({ "type": "string", "enum": ["a"] }),
            ),
            (json!({ "anyOf": [reference, { "type": "null" }] }), reference.clone()),
            (
                json!({ "description": "An a.", "anyOf": [reference, { "type": "null" }] }),
                json!({ "description": "An a.", "allOf": [reference] }),
            ),
            (
                json!({ "oneOf": [reference, { "type": "null" }] }),
                json!({ "oneOf": [reference, { "type": "null" }] }),
            ),
        ];
        for (schema, expected) in cases {
            assert_eq!(without_null(schema), expected);
        }
    }

    #[test]
    fn only_a_field_that_may_be_missing_loses_its_null() {
        let nullable = json!({ "type": ["string", "null"] });
        let mut schema: Schema = json!({
            "properties": { "always": nullable, "sometimes": nullable }, "required": ["always"],
        })
        .try_into()
        .expect("a schema");
        missing_is_not_null(&mut schema);
        assert_eq!(schema.as_value()["properties"]["always"], nullable);
        assert_eq!(schema.as_value()["properties"]["sometimes"], json!({ "type": "string" }));
    }
}
