//! This server's document beside the published one: the same parameters, required fields and enums, unless
//! `openapi/README.md` says otherwise.
//!
//! The published documents are not part of this repository. Where `UPBEAT_SHARED` (`../shared` when unset) does
//! not hold them, the test says so and passes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// One document and a schema in it.
#[derive(Clone, Copy)]
struct Schema<'a> {
    document: &'a Value,
    schema: &'a Value,
}

/// Which way a schema's data goes.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Request,
    Answer,
}

impl<'a> Schema<'a> {
    /// The schema behind references, and behind the null that an optional value may be.
    fn resolved(self) -> Self {
        let mut schema = self.schema;
        loop {
            if let Some(name) = schema["$ref"].as_str() {
                let pointer = name.trim_start_matches('#');
                schema = self.document.pointer(pointer).expect("a reference within the document");
                continue;
            }
            let choices = ["anyOf", "oneOf"].iter().find_map(|word| schema[word].as_array());
            let mut real = choices.into_iter().flatten().filter(|choice| choice["type"] != "null");
            match (real.next(), real.next()) {
                (Some(only), None) => schema = only,
                _ => return Self { schema, ..self },
            }
        }
    }

    /// The fields of an object, those of every part that it is put together from.
    fn fields(self) -> BTreeMap<&'a str, Schema<'a>> {
        let this = self.resolved();
        let own = this.schema["properties"].as_object().into_iter().flatten();
        let mut fields: BTreeMap<&str, Schema<'_>> =
            own.map(|(name, schema)| (name.as_str(), Schema { schema, ..self })).collect();
        for part in this.schema["allOf"].as_array().into_iter().flatten() {
            fields.extend(Schema { schema: part, ..self }.fields());
        }
        fields
    }

    fn required(self) -> BTreeSet<&'a str> {
        let this = self.resolved();
        let mut required: BTreeSet<&str> =
            this.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for part in this.schema["allOf"].as_array().into_iter().flatten() {
            required.extend(Schema { schema: part, ..self }.required());
        }
        required
    }

    fn items(self) -> Option<Self> {
        let this = self.resolved();
        this.schema["items"].is_object().then(|| Schema { schema: &this.schema["items"], ..self })
    }

    fn values(self) -> Option<BTreeSet<String>> {
        let values = self.resolved().schema["enum"].as_array()?;
        Some(values.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Documented for named customers of the hosted product only.
    fn is_gated(self) -> bool {
        self.schema["x-mint"].is_object() || self.resolved().schema["x-mint"].is_object()
    }
}

/// Every difference between two schemas, each as the path of a field and what is the matter.
fn compare(
    own: Schema<'_>,
    published: Schema<'_>,
    way: Way,
    path: &str,
    depth: usize,
    found: &mut Vec<String>,
) {
    if depth == 0 || published.is_gated() {
        return;
    }
    if let (Some(own), Some(published)) = (own.values(), published.values()) {
        compare_enums(&own, &published, way, path, found);
    }
    if let (Some(own), Some(published)) = (own.items(), published.items()) {
        compare(own, published, way, path, depth - 1, found);
    }
    let (own_fields, published_fields) = (own.fields(), published.fields());
    let (own_required, published_required) = (own.required(), published.required());
    if own_fields.is_empty() {
        return;
    }
    for (name, field) in &published_fields {
        let path = format!("{path}.{name}");
        let Some(own_field) = own_fields.get(name) else {
            if !field.is_gated() && (way == Way::Request || published_required.contains(name)) {
                found.push(format!("{path}: is not there"));
            }
            continue;
        };
        let (is_required, must_be) = (own_required.contains(name), published_required.contains(name));
        match way {
            Way::Request if is_required && !must_be => found.push(format!("{path}: is required")),
            Way::Request if !is_required && must_be => found.push(format!("{path}: is not required")),
            Way::Answer if must_be && !is_required => {
                found.push(format!("{path}: may be missing"));
            }
            _ => {}
        }
        compare(*own_field, *field, way, &path, depth - 1, found);
    }
    for name in
        own_required.iter().filter(|name| way == Way::Request && !published_fields.contains_key(*name))
    {
        found.push(format!("{path}.{name}: is required"));
    }
}

fn compare_enums(
    own: &BTreeSet<String>,
    published: &BTreeSet<String>,
    way: Way,
    path: &str,
    found: &mut Vec<String>,
) {
    let folded = |values: &BTreeSet<String>| -> BTreeSet<String> {
        values.iter().map(|value| value.to_uppercase()).collect()
    };
    let (own_folded, published_folded) = (folded(own), folded(published));
    for value in own_folded.difference(&published_folded) {
        found.push(format!("{path}: takes {value}"));
    }
    if way == Way::Request {
        for value in published_folded.difference(&own_folded) {
            found.push(format!("{path}: does not take {value}"));
        }
    } else {
        for value in
            own.difference(published).filter(|value| published_folded.contains(&value.to_uppercase()))
        {
            found.push(format!("{path}: answers {value} in another casing"));
        }
    }
}

/// What is different about one operation.
fn compare_operation(
    own: &Value,
    published: &Value,
    own_operation: &Value,
    operation: &Value,
) -> Vec<String> {
    let mut found = Vec::new();
    let parameters = |document: &Value, operation: &Value| -> BTreeMap<String, bool> {
        let list = operation["parameters"].as_array().cloned().unwrap_or_default();
        list.iter()
            .map(|parameter| match parameter["$ref"].as_str() {
                Some(name) => document.pointer(name.trim_start_matches('#')).cloned().unwrap_or_default(),
                None => parameter.clone(),
            })
            .filter(|parameter| {
                !parameter["x-mint"].is_object() && !parameter["schema"]["x-mint"].is_object()
            })
            .filter_map(|parameter| {
                let name = parameter["name"].as_str()?.to_owned();
                Some((name, parameter["required"].as_bool().unwrap_or_default()))
            })
            .collect()
    };
    let (own_parameters, parameters) = (parameters(own, own_operation), parameters(published, operation));
    for (name, is_required) in &parameters {
        match own_parameters.get(name) {
            None => found.push(format!("parameter {name}: is not there")),
            Some(own) if own != is_required => found.push(format!("parameter {name}: required is {own}")),
            Some(_) => {}
        }
    }
    let json = |value: &'static str| format!("/{value}/content/application~1json/schema");
    let pairs = [(Way::Request, "body", json("requestBody")), (Way::Answer, "answer", json("responses/200"))];
    for (way, name, pointer) in pairs {
        match (own_operation.pointer(&pointer), operation.pointer(&pointer)) {
            (Some(one), Some(other)) => {
                let (one, other) =
                    (Schema { document: own, schema: one }, Schema { document: published, schema: other });
                compare(one, other, way, name, 12, &mut found);
            }
            (None, None) => {}
            (None, Some(_)) => found.push(format!("{name}: is not there")),
            (Some(_), None) if way == Way::Request => found.push(format!("{name}: is there")),
            (Some(_), None) => found.push(format!("{name}: is not empty")),
        }
    }
    found
}

/// The differences that `openapi/README.md` lists, each as `METHOD /path field: what`.
fn listed() -> BTreeSet<String> {
    let page = fs::read_to_string("openapi/README.md").expect("openapi/README.md");
    let section = page.split("\n## Differences of the documents\n").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let entry = |line: &str| line.strip_prefix("- `")?.split('`').next().map(str::to_owned);
    section.lines().filter_map(entry).collect()
}

#[test]
fn the_document_agrees_with_the_published_one() {
    let shared = std::env::var_os("UPBEAT_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let file = shared.join("spec/metronome-openapi.json");
    let Ok(text) = fs::read_to_string(&file) else {
        eprintln!("no published document at {}: nothing is compared", file.display());
        return;
    };
    let published: Value = serde_json::from_str(&text).expect("the published document is JSON");
    let own = serde_json::to_value(upbeat::app::openapi()).expect("the document is JSON");
    let mut found = BTreeSet::new();
    for (path, methods) in own["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let theirs = &published["paths"][path][method];
            if theirs.is_object() {
                let differences = compare_operation(&own, &published, operation, theirs);
                let name = format!("{} {path}", method.to_uppercase());
                found.extend(differences.into_iter().map(|difference| format!("{name} {difference}")));
            }
        }
    }
    let listed = listed();
    let unlisted: Vec<&String> = found.difference(&listed).collect();
    let stale: Vec<&String> = listed.difference(&found).collect();
    assert!(
        unlisted.is_empty() && stale.is_empty(),
        "openapi/README.md, section \"Differences of the documents\", does not list:\n{unlisted:#?}\nand lists in \
         vain:\n{stale:#?}"
    );
}
