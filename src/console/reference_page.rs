//! `/docs`: the API reference, made from the OpenAPI document when the server starts.

use std::collections::BTreeMap;
use std::fmt::Write;

use aide::openapi::OpenApi;
use serde_json::Value;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem}\
h2{border-bottom:1px solid #8884;margin-top:3rem}\
details{border:1px solid #8884;border-radius:6px;margin:.5rem 0;padding:.5rem .75rem}\
summary{cursor:pointer}\
code{font:14px ui-monospace,monospace}\
.method{display:inline-block;font-weight:600;width:3.5rem}\
table{border-collapse:collapse;width:100%}\
td{border-top:1px solid #8884;padding:.25rem .5rem .25rem 0;vertical-align:top}\
td:first-child{white-space:nowrap}\
small{opacity:.7}";

/// How deep nested fields are shown.
const DEPTH_MAX: usize = 4;

/// The page: operations by tag, each with its parameters, the fields of its body and of its answer.
#[must_use]
pub fn reference_page(document: &OpenApi) -> String {
    let document = serde_json::to_value(document).expect("the document is JSON");
    let mut by_tag: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, operations) in members(&document["paths"]) {
        for (method, operation) in members(operations).filter(|(_, operation)| operation.is_object()) {
            let tag = operation["tags"][0].as_str().unwrap_or("Other");
            by_tag.entry(tag).or_default().push(section(&document, method, path, operation));
        }
    }
    let title = escape(document["info"]["title"].as_str().unwrap_or_default());
    let intro = escape(document["info"]["description"].as_str().unwrap_or_default());
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} API</title><style>{STYLE}</style>\
         <h1>{title} API</h1><p>{intro}</p><p><a href=\"/openapi.json\">OpenAPI document</a></p>"
    );
    for (tag, sections) in by_tag {
        let _ = write!(page, "<h2>{}</h2>{}", escape(tag), sections.concat());
    }
    page.push_str("</html>");
    page
}

fn section(document: &Value, method: &str, path: &str, operation: &Value) -> String {
    let text = |name: &str| escape(operation[name].as_str().unwrap_or_default());
    let mut section = format!(
        "<details><summary><code><span class=\"method\">{}</span>{}</code> — {}</summary><p>{}</p>",
        method.to_uppercase(),
        escape(path),
        text("summary"),
        text("description"),
    );
    let parameters: String = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| parameter(document, one))
        .collect();
    if !parameters.is_empty() {
        let _ = write!(section, "<h4>Parameters</h4><table>{parameters}</table>");
    }
    let schema = |content: &Value| content["content"]["application/json"]["schema"].clone();
    let body = schema(&operation["requestBody"]);
    let request = fields(document, &body, 0);
    if !request.is_empty() {
        let of_list = if body["items"].is_object() { ": a list of" } else { "" };
        let _ = write!(section, "<h4>Request{of_list}</h4><table>{request}</table>");
    }
    let response = fields(document, &schema(&operation["responses"]["200"]), 0);
    if !response.is_empty() {
        let _ = write!(section, "<h4>Answer</h4><table>{response}</table>");
    }
    section.push_str("</details>");
    section
}

fn parameter(document: &Value, parameter: &Value) -> String {
    let text = |value: &Value| escape(value.as_str().unwrap_or_default());
    let required = parameter["required"].as_bool().unwrap_or_default();
    let about = parameter["description"].as_str().or_else(|| parameter["schema"]["description"].as_str());
    row(
        0,
        &text(&parameter["name"]),
        &type_of(document, &parameter["schema"]),
        required,
        about.unwrap_or_default(),
    )
}

/// A row for each field of an object schema, nested ones indented.
fn fields(document: &Value, schema: &Value, depth: usize) -> String {
    let schema = resolve(document, schema);
    if schema["items"].is_object() {
        return fields(document, &schema["items"], depth);
    }
    let parts = ["allOf", "anyOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
    let mut rows: String = parts.map(|part| fields(document, part, depth)).collect();
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in members(&schema["properties"]) {
        let target = resolve(document, field);
        let about =
            field["description"].as_str().or_else(|| target["description"].as_str()).unwrap_or_default();
        rows +=
            &row(depth, &escape(name), &type_of(document, target), required.contains(&name.as_str()), about);
        if depth < DEPTH_MAX {
            rows += &fields(document, field, depth + 1);
        }
    }
    rows
}

fn row(depth: usize, name: &str, kind: &str, required: bool, about: &str) -> String {
    let indent = "&emsp;".repeat(depth);
    let required = if required { " · required" } else { "" };
    format!(
        "<tr><td>{indent}<code>{name}</code></td><td><small>{kind}{required}</small> {}</td></tr>",
        escape(about)
    )
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|reference| document.pointer(reference.trim_start_matches('#'))) {
        Some(target) => resolve(document, target),
        None => schema,
    }
}

/// The type in words, values of an enum spelled out.
fn type_of(document: &Value, schema: &Value) -> String {
    let schema = resolve(document, schema);
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
        }
        _ => vec!["object"],
    };
    if schema["items"].is_object() {
        return format!("list of {}", type_of(document, &schema["items"]));
    }
    let values: Vec<&str> =
        schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let format = schema["format"].as_str().map(|format| format!(" ({format})")).unwrap_or_default();
    let range = match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        _ => String::new(),
    };
    let kind = kinds.join(" or ");
    if values.is_empty() { escape(&format!("{kind}{format}{range}")) } else { escape(&values.join(" | ")) }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
