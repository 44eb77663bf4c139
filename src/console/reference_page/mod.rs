//! `/docs`: the API reference, made from the OpenAPI document when the server starts.
//!
//! Owns: how the document is laid out for reading: without scripts or any outside asset, on paper too. Does not
//! own: a word of the document (see `app`).

mod fields;
mod request;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use aide::openapi::{OpenApi, Tag};
use serde_json::Value;

use fields::{Schemas, Way, members};
use text::{attribute, escape, prose, slug};

const STYLE: &str = include_str!("style.css");

const JSON: &str = "application/json";

/// What holds for every operation.
const INTRODUCTION: &str = include_str!("introduction.html");

/// The part of the API that a tag names.
struct Part<'a> {
    name: &'a str,
    description: &'a str,
    operations: Vec<Operation<'a>>,
}

struct Operation<'a> {
    method: String,
    route: &'a str,
    /// As the document has it.
    value: &'a Value,
}

/// The page: what holds everywhere, the operations by tag, and the objects that several of them share.
#[must_use]
pub fn reference_page(document: &OpenApi) -> String {
    let value = serde_json::to_value(document).expect("the document is JSON");
    let schemas = Schemas::new(&value);
    let parts = parts(document, &value);
    let info = |name: &str| prose(value["info"][name].as_str().unwrap_or_default());
    let title = format!("{} API", info("title"));
    let introduction = INTRODUCTION.replace("{errors}", &errors(&value));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body id=\"top\">\n{}<main>\n<h1>{title}</h1>\n\
         <p>{}. Version {}. This page as data: the <a href=\"/openapi.json\">OpenAPI document</a>.</p>\n{introduction}",
        contents(&title, &introduction, &parts, &schemas),
        info("summary"),
        info("version"),
    );
    for part in &parts {
        let (id, name, description) =
            (attribute(&slug(part.name)), escape(part.name), prose(part.description));
        let _ = write!(page, "<section id=\"{id}\">\n<h2>{name}</h2>\n<p>{description}</p>\n");
        part.operations.iter().for_each(|operation| article(&schemas, operation, &mut page));
        page.push_str("</section>\n");
    }
    page.push_str(
        "<section id=\"objects\">\n<h2>Objects</h2>\n<p>What several operations take or answer.</p>\n",
    );
    for object in schemas.objects() {
        let (id, name) = (attribute(object.name), escape(object.name));
        let table = schemas.table(object.schema, object.way);
        let description = prose(object.schema["description"].as_str().unwrap_or_default());
        let _ = write!(
            page,
            "<article id=\"object-{id}\">\n<h3>{name}</h3>\n<div class=\"fields\">\n<p>{description}</p>\n{table}\n</div>\n</article>\n"
        );
    }
    page + "</section>\n</main>\n</body>\n</html>\n"
}

/// The operations by tag, both in the order of the document.
fn parts<'a>(document: &'a OpenApi, value: &'a Value) -> Vec<Part<'a>> {
    let part = |tag: &'a Tag| Part {
        name: &tag.name,
        description: tag.description.as_deref().unwrap_or_default(),
        operations: document
            .operations()
            .filter(|(_, _, operation)| operation.tags.contains(&tag.name))
            .map(|(route, method, _)| Operation {
                method: method.to_uppercase(),
                route,
                value: &value["paths"][route][method],
            })
            .collect(),
    };
    document.tags.iter().map(part).collect()
}

/// Every section, operation and object, with a link to it.
fn contents(title: &str, introduction: &str, parts: &[Part<'_>], schemas: &Schemas<'_>) -> String {
    let mut list = format!("<nav aria-label=\"Contents\">\n<p><a href=\"#top\">{title}</a></p>\n<ul>\n");
    for heading in introduction.split("<h2 id=\"").skip(1) {
        let heading = heading.split("</h2>").next().unwrap_or_default();
        if let Some((id, words)) = heading.split_once("\">") {
            let _ = writeln!(list, "<li><a href=\"#{id}\">{words}</a></li>");
        }
    }
    for part in parts {
        let _ = write!(
            list,
            "<li><a href=\"#{}\">{}</a>\n<ul>\n",
            attribute(&slug(part.name)),
            escape(part.name)
        );
        for operation in &part.operations {
            let _ =
                writeln!(list, "<li><a href=\"#{}\">{}</a></li>", operation.id(), operation.text("summary"));
        }
        list.push_str("</ul></li>\n");
    }
    list.push_str("<li><a href=\"#objects\">Objects</a>\n<ul>\n");
    for object in schemas.objects() {
        let (id, name) = (attribute(object.name), escape(object.name));
        let _ = writeln!(list, "<li><a href=\"#object-{id}\">{name}</a></li>");
    }
    list + "</ul></li>\n</ul>\n</nav>\n"
}

impl Operation<'_> {
    fn text(&self, name: &str) -> String {
        prose(self.value[name].as_str().unwrap_or_default())
    }

    fn id(&self) -> String {
        attribute(self.value["operationId"].as_str().unwrap_or_default())
    }

    /// The least role that may call.
    fn role(&self) -> &str {
        let roles = self.value["security"][0].as_object().and_then(|requirement| requirement.values().next());
        roles.and_then(|roles| roles[0].as_str()).unwrap_or_default()
    }
}

fn article(schemas: &Schemas<'_>, operation: &Operation<'_>, page: &mut String) {
    let (id, value) = (operation.id(), operation.value);
    let answer = &value["responses"]["200"];
    let _ = write!(
        page,
        "<article id=\"{id}\">\n<h3><a href=\"#{id}\">{}</a></h3>\n\
         <p class=\"route\"><b>{}</b> <code>{}</code> <small>{}</small></p>\n\
         <div class=\"fields\">\n<p>{}</p>\n{}{}{}{}</div>\n",
        operation.text("summary"),
        operation.method,
        escape(operation.route),
        escape(operation.role()),
        operation.text("description"),
        titled("Parameters", &schemas.parameters(value)),
        body(schemas, "Request", &value["requestBody"], Way::Request),
        body(schemas, "Answer", answer, Way::Answer),
        errors_of(&value["responses"]),
    );
    let _ = write!(
        page,
        "<div class=\"example\">\n<h4>Example</h4>\n<pre>{}</pre>\n",
        request::command(&operation.method, operation.route, value)
    );
    let example = &answer["content"][JSON]["example"];
    if !example.is_null() {
        let example = serde_json::to_string_pretty(example).expect("an example is JSON");
        let _ = writeln!(page, "<h4>Its answer</h4>\n<pre>{}</pre>", escape(&example));
    }
    page.push_str("</div>\n</article>\n");
}

fn titled(heading: &str, table: &str) -> String {
    if table.is_empty() { String::new() } else { format!("<h4>{heading}</h4>\n{table}\n") }
}

/// The fields of a request or an answer.
fn body<'a>(schemas: &Schemas<'a>, heading: &str, body: &'a Value, way: Way) -> String {
    let schema = &body["content"][JSON]["schema"];
    if !schema.is_object() {
        let words = body["description"].as_str().map(|words| format!("<p>{}</p>", prose(words)));
        return titled(heading, &words.unwrap_or_default());
    }
    let heading =
        if schema["items"].is_object() { format!("{heading}: a list of") } else { heading.to_owned() };
    let words = schemas.words(schema).map(|words| format!("<p>{}</p>\n", prose(words))).unwrap_or_default();
    titled(&heading, &format!("{words}{}", schemas.table(schema, way)))
}

/// The errors of an operation by their status; those that it does not share with others in words.
fn errors_of(responses: &Value) -> String {
    let errors = members(responses).filter(|(status, _)| *status != "200" && *status != "default");
    let errors = errors.map(|(status, error)| match error["description"].as_str() {
        Some(words) => format!("{} ({})", escape(status), prose(words.trim_end_matches('.'))),
        None => escape(status),
    });
    format!(
        "<p class=\"errors\"><a href=\"#errors\">Errors</a>: {}</p>\n",
        errors.collect::<Vec<_>>().join(", ")
    )
}

/// What the errors mean that operations share, by their status.
fn errors(document: &Value) -> String {
    let mut meanings: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let operations = members(&document["paths"]).flat_map(|(_, item)| members(item));
    for (status, error) in operations.flat_map(|(_, operation)| members(&operation["responses"])) {
        let shared = error["$ref"].as_str().and_then(|name| document.pointer(name.trim_start_matches('#')));
        if let Some(words) = shared.and_then(|shared| shared["description"].as_str()) {
            meanings.entry(status).or_default().insert(words);
        }
    }
    let mut rows = String::new();
    for (status, words) in meanings {
        let status = if status == "default" { "others" } else { status };
        let words: Vec<String> = words.into_iter().map(prose).collect();
        let _ = write!(rows, "<tr><td>{}</td><td>{}</td></tr>", escape(status), words.join("<br>"));
    }
    format!("<table class=\"statuses\">{rows}</table>")
}
