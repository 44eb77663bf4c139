//! Fields as tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use super::text::{attribute, escape, prose};

/// How deep fields are indented; none of the API are deeper.
const DEPTH_MAX: usize = 8;

/// From how many fields on an object that is used in several places has a table of its own.
const OBJECT_MIN: usize = 5;

/// Where schemas are in the document.
const SCHEMAS: &str = "#/components/schemas/";

/// Which way fields go.
#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    Request,
    Answer,
}

/// The schemas of a document.
pub struct Schemas<'a> {
    by_name: BTreeMap<&'a str, &'a Value>,
    /// Those that have a table of their own.
    objects: BTreeMap<&'a str, Way>,
}

/// An object that is used in several places.
pub struct Object<'a> {
    pub name: &'a str,
    pub schema: &'a Value,
    pub way: Way,
}

impl<'a> Schemas<'a> {
    pub fn new(document: &'a Value) -> Self {
        let by_name: BTreeMap<&str, &Value> = members(&document["components"]["schemas"])
            .map(|(name, schema)| (name.as_str(), schema))
            .collect();
        let mut inline = Self { by_name, objects: BTreeMap::new() };
        let mut uses = Vec::new();
        bodies(document).filter(|(_, schema)| name_of(schema).is_none()).for_each(|(_, schema)| {
            // What a body as a whole is made of stands at its operation.
            let parts = members(schema).filter(|(word, _)| *word != "allOf");
            parts.for_each(|(_, part)| names_in(part, &mut uses));
        });
        names_in(&document["components"]["schemas"], &mut uses);
        let asked = inline.asked(document);
        let is_shared = |name: &&&str| uses.iter().filter(|other| other == name).count() > 1;
        let is_large = |name: &&&str| inline.count(inline.by_name.get(**name).copied(), 0) >= OBJECT_MIN;
        let way = |name: &&'a str| (*name, if asked.contains(name) { Way::Request } else { Way::Answer });
        let objects = inline.by_name.keys().filter(is_shared).filter(is_large).map(way).collect();
        inline.objects = objects;
        inline
    }

    /// The names of all schemas that requests are made of.
    fn asked(&self, document: &'a Value) -> BTreeSet<&'a str> {
        let mut open = Vec::new();
        let requests = bodies(document).filter(|(way, _)| *way == Way::Request);
        requests.for_each(|(_, schema)| names_in(schema, &mut open));
        let mut asked = BTreeSet::new();
        while let Some(name) = open.pop() {
            if let (true, Some(schema)) = (asked.insert(name), self.by_name.get(name)) {
                names_in(schema, &mut open);
            }
        }
        asked
    }

    /// The objects that have a table of their own.
    pub fn objects(&self) -> impl Iterator<Item = Object<'a>> {
        let object =
            |(name, way): (&&'a str, &Way)| Some(Object { name, schema: self.by_name.get(name)?, way: *way });
        self.objects.iter().filter_map(object)
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        match name_of(schema).and_then(|name| self.by_name.get(name)) {
            Some(target) => self.resolve(target),
            None => schema,
        }
    }

    /// How many rows an object has, with those inside of it.
    fn count(&self, schema: Option<&'a Value>, depth: usize) -> usize {
        let fields = schema.filter(|_| depth < DEPTH_MAX).map(|schema| self.fields(schema));
        fields.into_iter().flatten().map(|field| 1 + self.count(self.inside(field.schema), depth + 1)).sum()
    }

    /// The fields of an object, those of every part that it is put together from, required ones first.
    fn fields(&self, schema: &'a Value) -> Vec<Field<'a>> {
        let schema = self.resolve(schema);
        let parts = schema["allOf"].as_array().into_iter().flatten();
        let mut fields: Vec<Field<'_>> = parts.flat_map(|part| self.fields(part)).collect();
        let required: BTreeSet<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        fields.extend(members(&schema["properties"]).map(|(name, schema)| Field {
            name,
            schema,
            is_required: required.contains(name.as_str()),
        }));
        fields.sort_by_key(|field| (!field.is_required, field.name));
        fields
    }

    /// The object inside of a field, of a list or of a map, unless it has a table of its own.
    fn inside(&self, schema: &'a Value) -> Option<&'a Value> {
        if name_of(schema).is_some_and(|name| self.objects.contains_key(name)) {
            return None;
        }
        let schema = self.resolve(schema);
        if schema["properties"].is_object() {
            return Some(schema);
        }
        let content = ["items", "additionalProperties"].map(|word| &schema[word]);
        let content = content.into_iter().filter(|content| content.is_object());
        let found = content.chain(choices(schema)).find_map(|content| self.inside(content));
        found.or_else(|| Some(schema).filter(|schema| schema["type"] == "object"))
    }

    /// A table of fields, nested ones indented; empty where there are none.
    pub fn table(&self, schema: &'a Value, way: Way) -> String {
        let mut rows = String::new();
        let resolved = self.resolve(schema);
        let schema = if resolved["items"].is_object() { &resolved["items"] } else { schema };
        self.rows(schema, way, 0, &mut rows);
        in_table(&rows)
    }

    fn rows(&self, schema: &'a Value, way: Way, depth: usize, rows: &mut String) {
        for field in self.fields(schema) {
            let mark = match (way, field.is_required) {
                (Way::Request, true) => "required",
                (Way::Answer, false) => "may be missing",
                _ => "",
            };
            let words = self.words(field.schema);
            row(depth, field.name, mark, &self.kind(field.schema, way), words, rows);
            if let Some(inside) = self.inside(field.schema).filter(|_| depth < DEPTH_MAX) {
                self.rows(inside, way, depth + 1, rows);
            }
        }
    }

    /// A table of the parameters in path and query.
    pub fn parameters(&self, operation: &'a Value) -> String {
        let mut rows = String::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default();
            let mark = if parameter["required"] == true { "required" } else { "" };
            let place = parameter["in"].as_str().unwrap_or_default();
            let kind = format!("{}, in the {place}", self.kind(&parameter["schema"], Way::Request));
            let words = parameter["description"].as_str().or_else(|| self.words(&parameter["schema"]));
            row(0, name, mark, &kind, words, &mut rows);
        }
        in_table(&rows)
    }

    /// What is said of a field, or else of its type.
    pub fn words(&self, schema: &'a Value) -> Option<&'a str> {
        let own = schema["description"].as_str();
        own.or_else(|| self.inside(schema)?["description"].as_str())
    }

    /// The type in words, as HTML; the values of an enum spelled out. In a request null is the same as leaving a
    /// field out and not worth a word, except where `oneOf` says that it is something else.
    fn kind(&self, schema: &'a Value, way: Way) -> String {
        if let Some(name) = name_of(schema).filter(|name| self.objects.contains_key(name)) {
            return format!("<a href=\"#object-{}\">{}</a>", attribute(name), escape(name));
        }
        let schema = self.resolve(schema);
        let kind = self.kind_but_null(schema, way);
        let shows_null = way == Way::Answer || schema["oneOf"].is_array();
        if shows_null && is_nullable(schema) { format!("{kind} or null") } else { kind }
    }

    fn kind_but_null(&self, schema: &'a Value, way: Way) -> String {
        let values = schema["enum"].as_array().into_iter().flatten().filter(|value| !value.is_null());
        let values: Vec<String> = values.map(code).collect();
        if !values.is_empty() {
            return values.join(" | ");
        }
        for (word, of) in [("items", "list of"), ("additionalProperties", "map of")] {
            if schema[word].is_object() {
                return format!("{of} {}", self.kind(&schema[word], way));
            }
        }
        let choices = choices(schema).filter(|choice| choice["type"] != "null");
        let choices: Vec<String> = choices.map(|choice| self.kind(choice, way)).collect();
        if !choices.is_empty() {
            return choices.join(" or ");
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => {
                kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
            }
            _ => vec!["any JSON"],
        };
        let kinds = kinds.into_iter().map(|kind| match (kind, schema["format"].as_str()) {
            ("string", Some("uuid")) => "UUID",
            ("string", Some("date-time")) => "time",
            (kind, _) => kind,
        });
        kinds.collect::<Vec<_>>().join(" or ") + &bounds(schema)
    }
}

fn is_nullable(schema: &Value) -> bool {
    let types = schema["type"].as_array().into_iter().flatten();
    types.chain(choices(schema).map(|choice| &choice["type"])).any(|kind| kind == "null")
}

struct Field<'a> {
    name: &'a str,
    schema: &'a Value,
    is_required: bool,
}

/// The smallest and the largest value or length.
fn bounds(schema: &Value) -> String {
    let number = |word: &str| schema[word].as_number().map(ToString::to_string);
    match [("minimum", "maximum", ""), ("minLength", "maxLength", " characters")]
        .map(|(least, most, unit)| (number(least), number(most), unit))
        .into_iter()
        .find(|(_, most, _)| most.is_some())
    {
        Some((Some(least), Some(most), unit)) => format!(", {least} to {most}{unit}"),
        Some((None, Some(most), unit)) => format!(", at most {most}{unit}"),
        _ => String::new(),
    }
}

/// The schemas of which one holds, or all where a field adds words to its type.
fn choices(schema: &Value) -> impl Iterator<Item = &Value> {
    ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|word| schema[word].as_array()).flatten()
}

/// The schemas of all requests and answers.
fn bodies(document: &Value) -> impl Iterator<Item = (Way, &Value)> {
    let operations = members(&document["paths"]).flat_map(|(_, item)| members(item));
    operations.flat_map(|(_, operation)| {
        let answer = &operation["responses"]["200"];
        [(Way::Request, &operation["requestBody"]), (Way::Answer, answer)]
            .map(|(way, body)| (way, &body["content"]["application/json"]["schema"]))
    })
}

/// Adds the name of every schema that is referred to, as often as it is.
fn names_in<'a>(value: &'a Value, names: &mut Vec<&'a str>) {
    names.extend(name_of(value));
    match value {
        Value::Object(members) => members.values().for_each(|value| names_in(value, names)),
        Value::Array(items) => items.iter().for_each(|value| names_in(value, names)),
        _ => {}
    }
}

fn name_of(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix(SCHEMAS)
}

fn in_table(rows: &str) -> String {
    if rows.is_empty() { String::new() } else { format!("<table>{rows}</table>") }
}

fn row(depth: usize, name: &str, mark: &str, kind: &str, words: Option<&str>, rows: &mut String) {
    let class = if depth == 0 { String::new() } else { format!(" class=\"d{depth}\"") };
    let mark = if mark.is_empty() { String::new() } else { format!(" <em>{mark}</em>") };
    let name = escape(name);
    let words = prose(words.unwrap_or_default());
    let _ = write!(rows, "<tr{class}><td><code>{name}</code>{mark}</td><td>{kind}</td><td>{words}</td></tr>");
}

fn code(value: &Value) -> String {
    match value {
        Value::String(text) => format!("<code>{}</code>", escape(text)),
        other => escape(&other.to_string()),
    }
}

pub fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
