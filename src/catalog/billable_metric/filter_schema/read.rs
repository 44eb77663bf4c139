//! From a schema to filters.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::allowed::{Allowed, Asked, Part, Values, ask};
use crate::catalog::billable_metric::definition::{EventTypeFilter, PropertyFilter};
use crate::money::{parse_decimal, plain};

/// Longest number in a schema.
const NUMBER_LENGTH_MAX: usize = 100;

/// Keywords that ask nothing of an event.
const ANNOTATIONS: [&str; 8] =
    ["$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"];

/// Fields that every event has, beside its type. `properties` counts among them: left out, it is empty.
const EVENT_FIELDS: [&str; 4] = ["transaction_id", "customer_id", "timestamp", "properties"];

/// What a schema says, as a metric has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    pub event_type_filter: Option<EventTypeFilter>,
    /// By name, one for each property.
    pub property_filters: Vec<PropertyFilter>,
}

/// Translates a schema; the problems, as `path: reason`, where it asks what no filter can say.
pub fn read_schema(schema: &Map<String, Value>) -> Result<Filters, Vec<String>> {
    let mut reader = Reader { problems: Vec::new() };
    let asked = reader.event(schema, "filter");
    if reader.problems.is_empty() { filters(asked) } else { Err(reader.problems) }
}

/// Reads schemas and collects what it cannot translate.
struct Reader {
    problems: Vec<String>,
}

impl Reader {
    /// What the schema of a whole event asks.
    fn event(&mut self, schema: &Map<String, Value>, path: &str) -> Asked {
        let mut asked = Asked::new();
        for (keyword, value) in schema {
            let path = format!("{path}.{keyword}");
            match keyword.as_str() {
                "required" => {
                    for name in self.names(value, &path) {
                        if name != "event_type" && !EVENT_FIELDS.contains(&name.as_str()) {
                            self.refuse(&path, format_args!("no event has a field `{name}`"));
                        }
                    }
                }
                "properties" => self.event_fields(value, &path, &mut asked),
                "not" => {
                    let negated = self.object(value, &path).map(|schema| self.event(schema, &path));
                    self.negate(negated, &path, &mut asked);
                }
                _ => self.other_keyword_of_an_object(keyword, value, &path),
            }
        }
        asked
    }

    /// The schemas of an event's own fields.
    fn event_fields(&mut self, schemas: &Value, path: &str, asked: &mut Asked) {
        for (name, schema) in self.object(schemas, path).into_iter().flatten() {
            let path = format!("{path}.{name}");
            match name.as_str() {
                "event_type" => {
                    let values = self.value(schema, &path, true);
                    ask(asked, Part::EventType, Allowed { absent: true, values });
                }
                "properties" => {
                    let properties = self.object(schema, &path).map(|schema| self.properties(schema, &path));
                    for (part, allowed) in properties.into_iter().flatten() {
                        ask(asked, part, allowed);
                    }
                }
                _ => {
                    self.refuse(&path, "is not supported: only event_type and properties are");
                }
            }
        }
    }

    /// What the schema of an event's properties asks.
    fn properties(&mut self, schema: &Map<String, Value>, path: &str) -> Asked {
        let mut asked = Asked::new();
        for (keyword, value) in schema {
            let path = format!("{path}.{keyword}");
            match keyword.as_str() {
                "required" => {
                    for name in self.names(value, &path) {
                        ask(&mut asked, Part::Property(name), Allowed::PRESENT);
                    }
                }
                "properties" => {
                    for (name, schema) in self.object(value, &path).into_iter().flatten() {
                        let values = self.value(schema, &format!("{path}.{name}"), false);
                        ask(&mut asked, Part::Property(name.clone()), Allowed { absent: true, values });
                    }
                }
                "not" => {
                    let negated = self.object(value, &path).map(|schema| self.properties(schema, &path));
                    self.negate(negated, &path, &mut asked);
                }
                _ => self.other_keyword_of_an_object(keyword, value, &path),
            }
        }
        asked
    }

    /// The values that the schema of one property, or of the event type, lets pass. `is_text`: there are no others
    /// than text anyway.
    fn value(&mut self, schema: &Value, path: &str, is_text: bool) -> Values {
        if let Value::Bool(anything) = schema {
            return if *anything { Values::ANY } else { Values::ANY.negated() };
        }
        let mut values = Values::ANY;
        let is_text = is_text || lists_text(schema);
        for (keyword, value) in self.object(schema, path).into_iter().flatten() {
            let path = format!("{path}.{keyword}");
            let allowed = match keyword.as_str() {
                "const" => Values::Only(self.text(value, &path).into_iter().collect()),
                "enum" => self.list(value, &path),
                "not" => self.value(value, &path, is_text).negated(),
                "type" if is_text && *value == json!("string") => Values::ANY,
                annotation if ANNOTATIONS.contains(&annotation) => Values::ANY,
                _ => {
                    self.refuse(&path, "is not supported; of a property only const, enum and not are");
                    Values::ANY
                }
            };
            values = values.and(allowed);
        }
        values
    }

    /// A negated schema can be said where it speaks of one part: of several, each alone may fail it.
    fn negate(&mut self, negated: Option<Asked>, path: &str, asked: &mut Asked) {
        let Some(negated) = negated else { return };
        let mut parts = negated.into_iter();
        match (parts.next(), parts.next()) {
            (Some((part, allowed)), None) => ask(asked, part, allowed.negated()),
            // No event fails what asks nothing, and none is without a type.
            (None, _) => ask(asked, Part::EventType, Allowed::ANYTHING.negated()),
            (Some(_), Some(_)) => {
                self.refuse(path, "is supported for one property at a time, and this speaks of several");
            }
        }
    }

    fn other_keyword_of_an_object(&mut self, keyword: &str, value: &Value, path: &str) {
        let asks_nothing = match keyword {
            "type" => *value == json!("object"),
            "additionalProperties" => *value == json!(true),
            _ => ANNOTATIONS.contains(&keyword),
        };
        if !asks_nothing {
            self.refuse(path, "is not supported; only required, properties and not are");
        }
    }

    fn object<'a>(&mut self, value: &'a Value, path: &str) -> Option<&'a Map<String, Value>> {
        let object = value.as_object();
        if object.is_none() {
            self.refuse(path, "must be an object");
        }
        object
    }

    fn names(&mut self, value: &Value, path: &str) -> Vec<String> {
        let names: Option<Vec<String>> = value
            .as_array()
            .and_then(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
        if names.is_none() {
            self.refuse(path, "must be a list of names");
        }
        names.unwrap_or_default()
    }

    fn list(&mut self, value: &Value, path: &str) -> Values {
        let Some(items) = value.as_array() else {
            self.refuse(path, "must be a list of values");
            return Values::ANY;
        };
        let texts = items.iter().enumerate();
        Values::Only(texts.filter_map(|(index, item)| self.text(item, &format!("{path}[{index}]"))).collect())
    }

    /// A value as filters compare it: the text of a string, a number or a boolean.
    fn text(&mut self, value: &Value, path: &str) -> Option<String> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(is_true) => Some(is_true.to_string()),
            Value::Number(number) => {
                let text = number.to_string();
                let number = Some(text).filter(|text| text.len() <= NUMBER_LENGTH_MAX);
                let number = number.and_then(|text| parse_decimal(&text).ok());
                if number.is_none() {
                    self.refuse(
                        path,
                        format_args!("is longer than {NUMBER_LENGTH_MAX} characters or digits"),
                    );
                }
                number.map(|number| plain(&number))
            }
            Value::Null => {
                self.refuse(path, "is not supported: a property that is null counts as absent");
                None
            }
            Value::Array(_) | Value::Object(_) => {
                self.refuse(path, "is not supported: only text, numbers and booleans can be compared");
                None
            }
        }
    }

    fn refuse(&mut self, path: &str, reason: impl std::fmt::Display) {
        self.problems.push(format!("{path}: {reason}"));
    }
}

/// Whether the schema of a value lists the values itself, and only text.
fn lists_text(schema: &Value) -> bool {
    let only_text = |values: &Vec<Value>| values.iter().all(Value::is_string);
    schema.get("const").is_some_and(Value::is_string)
        || schema.get("enum").and_then(Value::as_array).is_some_and(only_text)
}

/// The filters that ask the same; problems where there are none.
fn filters(asked: Asked) -> Result<Filters, Vec<String>> {
    let mut filters = Filters::default();
    let mut problems = Vec::new();
    for (part, allowed) in asked {
        let result = match part {
            Part::EventType => {
                event_type_filter(allowed.values).map(|filter| filters.event_type_filter = Some(filter))
            }
            Part::Property(name) => {
                property_filter(name, allowed).map(|filter| filters.property_filters.push(filter))
            }
        };
        problems.extend(result.err());
    }
    if problems.is_empty() { Ok(filters) } else { Err(problems) }
}

/// The types are listed, or some are left out.
fn event_type_filter(values: Values) -> Result<EventTypeFilter, String> {
    let none = EventTypeFilter { in_values: None, not_in_values: None };
    match values {
        Values::Only(types) if types.is_empty() => {
            Err("filter: no event can match, because no event_type does, or `not` refuses every event"
                .to_owned())
        }
        Values::Only(types) => Ok(EventTypeFilter { in_values: Some(list(types)), ..none }),
        Values::AllBut(types) => Ok(EventTypeFilter { not_in_values: listed(types), ..none }),
    }
}

fn property_filter(name: String, allowed: Allowed) -> Result<PropertyFilter, String> {
    let presence =
        |exists| PropertyFilter { name: name.clone(), exists, in_values: None, not_in_values: None };
    match (allowed.absent, allowed.values) {
        (true, Values::Only(values)) if values.is_empty() => Ok(presence(Some(false))),
        (true, Values::Only(_)) => Err(format!(
            "filter: `{name}` may be one of a list or absent, which is not supported; add it to `required`"
        )),
        (true, Values::AllBut(values)) => {
            Ok(PropertyFilter { not_in_values: listed(values), ..presence(None) })
        }
        (false, Values::Only(values)) if values.is_empty() => {
            Err(format!("filter: no event can match, because nothing that `{name}` can be does"))
        }
        (false, Values::Only(values)) => {
            Ok(PropertyFilter { in_values: Some(list(values)), ..presence(Some(true)) })
        }
        (false, Values::AllBut(values)) => {
            Ok(PropertyFilter { not_in_values: listed(values), ..presence(Some(true)) })
        }
    }
}

fn list(values: BTreeSet<String>) -> Vec<String> {
    values.into_iter().collect()
}

/// The list, which a filter leaves out where it is empty.
fn listed(values: BTreeSet<String>) -> Option<Vec<String>> {
    Some(list(values)).filter(|values| !values.is_empty())
}
