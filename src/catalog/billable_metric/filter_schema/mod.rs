//! The legacy way to say which events count: a JSON Schema that an event must match. Pure.
//!
//! What a schema asks of one property is a set: of values a list, or all but a list, and whether the property may
//! be absent. Schemas on one property meet and are negated as such sets, so a filter means what its schema says;
//! what no filter can say is refused with its place, never approximated (our decision).

mod allowed;
mod read;
mod write;

pub use read::read_schema;
pub use write::to_schema;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use serde_json::{Map, Value, json};

    use super::read::Filters;
    use super::*;
    use crate::catalog::billable_metric::{AggregationType, Definition, EventTypeFilter, PropertyFilter};

    fn read(schema: &Value) -> Result<Filters, Vec<String>> {
        read_schema(schema.as_object().expect("an object"))
    }

    fn list_of(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn a_schema_becomes_filters() {
        let schema = json!({
            "type": "object", "$schema": "http://json-schema.org/draft-07/schema",
            "required": ["event_type", "properties"],
            "properties": {
                "event_type": { "type": "string", "const": "call" },
                "properties": {
                    "type": "object", "additionalProperties": true,
                    "required": ["region", "gb", "size"],
                    "not": { "required": ["internal"] },
                    "properties": {
                        "region": { "type": "string", "enum": ["us", "eu"], "description": "where" },
                        "size": { "const": 2.50 },
                        "status": { "not": { "enum": [500, "503", true] } },
                        "zone": { "not": { "const": "x" } },
                        "test": false,
                    },
                },
            },
        });
        let filter = |name: &str, exists, in_values, not_in_values| PropertyFilter {
            name: name.to_owned(),
            exists,
            in_values,
            not_in_values,
        };
        let expected = Filters {
            event_type_filter: Some(EventTypeFilter {
                in_values: Some(list_of(&["call"])),
                not_in_values: None,
            }),
            property_filters: vec![
                filter("gb", Some(true), None, None),
                filter("internal", Some(false), None, None),
                filter("region", Some(true), Some(list_of(&["eu", "us"])), None),
                filter("size", Some(true), Some(list_of(&["2.5"])), None),
                filter("status", None, None, Some(list_of(&["500", "503", "true"]))),
                filter("test", Some(false), None, None),
                filter("zone", None, None, Some(list_of(&["x"]))),
            ],
        };
        assert_eq!(read(&schema), Ok(expected));
        for nothing in [
            json!({}),
            json!({ "not": { "properties": { "event_type": false } } }),
            json!({ "not": { "not": {} } }),
        ] {
            assert_eq!(read(&nothing), Ok(Filters::default()));
        }
    }

    #[test]
    fn what_no_filter_can_say_is_refused_with_its_place() {
        let of_properties = |schema: Value| json!({ "properties": { "properties": schema } });
        let of_property = |schema: Value| of_properties(json!({ "properties": { "a": schema } }));
        let cases = [
            (json!({ "anyOf": [] }), "filter.anyOf: is not supported"),
            (json!({ "type": "array" }), "filter.type: is not supported"),
            (json!({ "required": ["event_type", "size"] }), "filter.required: no event has a field `size`"),
            (json!({ "required": "event_type" }), "filter.required: must be a list of names"),
            (json!({ "properties": [] }), "filter.properties: must be an object"),
            (json!({ "properties": { "timestamp": {} } }), "filter.properties.timestamp: is not supported"),
            (
                json!({ "properties": { "event_type": { "pattern": "^a" } } }),
                "filter.properties.event_type.pattern:",
            ),
            (json!({ "properties": { "event_type": { "enum": [] } } }), "no event can match"),
            (json!({ "not": {} }), "filter: no event can match"),
            (json!({ "not": true }), "filter.not: must be an object"),
            (of_properties(json!({ "minProperties": 1 })), "filter.properties.properties.minProperties:"),
            (
                of_properties(json!({ "additionalProperties": false })),
                "additionalProperties: is not supported",
            ),
            (
                of_properties(json!({ "not": { "required": ["a", "b"] } })),
                "properties.not: is supported for one",
            ),
            (
                of_property(json!({ "type": "number" })),
                "filter.properties.properties.properties.a.type: is not",
            ),
            (of_property(json!({ "type": "string", "not": { "const": "x" } })), "a.type: is not supported"),
            (of_property(json!({ "properties": {} })), "properties.a.properties: is not supported"),
            (of_property(json!({ "enum": "x" })), "a.enum: must be a list of values"),
            (
                of_property(json!({ "enum": ["x", null] })),
                "a.enum[1]: is not supported: a property that is null",
            ),
            (of_property(json!({ "const": { "b": 1 } })), "a.const: is not supported: only text"),
            (of_property(json!({ "const": "x" })), "filter: `a` may be one of a list or absent"),
            (of_properties(json!({ "required": ["a"], "properties": { "a": false } })), "no event can match"),
        ];
        for (schema, part) in cases {
            let problems = read(&schema).expect_err(part);
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:?}");
        }
        let number: Value = serde_json::from_str(&"9".repeat(101)).expect("a number");
        assert!(read(&of_property(json!({ "not": { "const": number } }))).is_err());
        assert_eq!(read(&json!({ "anyOf": [], "oneOf": [] })).map_err(|problems| problems.len()), Err(2));
    }

    /// Whether an event of a type and with values of `a` and `b` matches a schema; as JSON Schema says.
    fn matches_schema(schema: &Value, instance: &Value) -> bool {
        let Some(schema) = schema.as_object() else { return schema == &json!(true) };
        schema.iter().all(|(keyword, value)| match keyword.as_str() {
            "const" => instance == value,
            "enum" => value.as_array().expect("a list").contains(instance),
            "not" => !matches_schema(value, instance),
            "required" => value
                .as_array()
                .expect("names")
                .iter()
                .all(|name| instance.get(name.as_str().expect("a name")).is_some()),
            "properties" => {
                value.as_object().expect("schemas").iter().all(|(name, schema)| {
                    instance.get(name).is_none_or(|value| matches_schema(schema, value))
                })
            }
            _ => true,
        })
    }

    fn matches_filters(filters: &Filters, event: &Value) -> bool {
        let passes =
            |in_values: &Option<Vec<String>>, not_in_values: &Option<Vec<String>>, value: Option<&str>| {
                let is_listed =
                    |list: &Vec<String>| value.is_some_and(|value| list.iter().any(|item| item == value));
                in_values.as_ref().is_none_or(is_listed) && !not_in_values.as_ref().is_some_and(is_listed)
            };
        let event_type = event["event_type"].as_str();
        filters
            .event_type_filter
            .as_ref()
            .is_none_or(|filter| passes(&filter.in_values, &filter.not_in_values, event_type))
            && filters.property_filters.iter().all(|filter| {
                let value = event["properties"].get(&filter.name).and_then(Value::as_str);
                filter.exists.is_none_or(|exists| exists == value.is_some())
                    && passes(&filter.in_values, &filter.not_in_values, value)
            })
    }

    /// Every event over three texts.
    fn events() -> Vec<Value> {
        let texts = ["x", "y", "z"];
        let perhaps = || std::iter::once(None).chain(texts.into_iter().map(Some));
        let mut events = Vec::new();
        for event_type in texts {
            for (a, b) in perhaps().flat_map(|a| perhaps().map(move |b| (a, b))) {
                let properties: Map<String, Value> = [("a", a), ("b", b)]
                    .into_iter()
                    .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))))
                    .collect();
                events.push(json!({ "event_type": event_type, "properties": properties }));
            }
        }
        events
    }

    fn any_value_schema() -> impl Strategy<Value = Value> {
        let text = || prop::sample::select(vec!["x", "y", "z"]);
        let leaf = prop_oneof![
            Just(json!({})),
            any::<bool>().prop_map(Value::Bool),
            text().prop_map(|text| json!({ "const": text })),
            prop::collection::vec(text(), 0..3).prop_map(|texts| json!({ "enum": texts })),
        ];
        leaf.prop_recursive(2, 4, 2, move |inner| {
            prop_oneof![
                inner.clone().prop_map(|schema| json!({ "not": schema })),
                (inner.clone(), prop::collection::vec(text(), 0..3))
                    .prop_map(|(schema, texts)| json!({ "not": schema, "enum": texts })),
            ]
        })
    }

    fn any_positive_properties_schema() -> impl Strategy<Value = Value> {
        let names = || prop::sample::subsequence(vec!["a", "b"], 0..=2);
        (names(), names(), any_value_schema(), any_value_schema()).prop_map(|(required, spoken_of, a, b)| {
            let schema = |name: &&str| if *name == "a" { a.clone() } else { b.clone() };
            let schemas: Map<String, Value> =
                spoken_of.iter().map(|name| ((*name).to_owned(), schema(name))).collect();
            json!({ "required": required, "properties": schemas })
        })
    }

    fn any_positive_schema() -> impl Strategy<Value = Value> {
        (any_value_schema(), any_properties_schema()).prop_map(|(event_type, properties)| {
            json!({ "properties": { "event_type": event_type, "properties": properties } })
        })
    }

    fn any_properties_schema() -> impl Strategy<Value = Value> {
        (any_positive_properties_schema(), prop::option::of(any_positive_properties_schema()))
            .prop_map(|(schema, negated)| and_not(schema, negated))
    }

    fn any_schema() -> impl Strategy<Value = Value> {
        (any_positive_schema(), prop::option::of(any_positive_schema()))
            .prop_map(|(schema, negated)| and_not(schema, negated))
    }

    fn and_not(mut schema: Value, negated: Option<Value>) -> Value {
        if let Some(negated) = negated {
            schema["not"] = negated;
        }
        schema
    }

    proptest! {
        #[test]
        fn filters_mean_what_their_schema_says(schema in any_schema()) {
            match read(&schema) {
                Ok(filters) => for event in events() {
                    prop_assert_eq!(matches_filters(&filters, &event), matches_schema(&schema, &event), "{}", event);
                },
                Err(problems) if problems.iter().all(|problem| problem.contains("no event can match")) => {
                    for event in events() {
                        prop_assert!(!matches_schema(&schema, &event), "{}: {:?}", event, problems);
                    }
                }
                Err(_) => {}
            }
        }

        #[test]
        fn a_mirror_reads_back_as_the_same_filters(schema in any_schema()) {
            if let Ok(filters) = read(&schema) {
                let definition = Definition {
                    aggregation_type: AggregationType::Count,
                    aggregation_key: None,
                    event_type_filter: filters.event_type_filter.clone(),
                    property_filters: Some(filters.property_filters.clone()),
                    group_keys: None,
                };
                prop_assert_eq!(read(&to_schema(&definition)), Ok(filters));
            }
        }
    }
}
