//! The document of the API, and the page made from it.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{Answer, Api};
use crate::world::{Foreign, NOW, World};

async fn open(api: &Api, path: &str) -> Answer {
    api.request(Request::builder().uri(path).body(Body::empty()).expect("a request")).await
}

/// Method and route of every operation of the document.
fn operations(document: &Value) -> Vec<(String, String)> {
    let mut operations = Vec::new();
    for (route, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "post", "put", "patch", "delete"] {
            if item[method].is_object() {
                operations.push((method.to_uppercase(), route.clone()));
            }
        }
    }
    operations
}

#[tokio::test]
async fn the_document_is_served_without_a_token() {
    let api = Api::new().await;
    let answer = open(&api, "/openapi.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(answer.body["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    let built = serde_json::to_value(upbeat::app::openapi()).expect("the document is JSON");
    assert_eq!(answer.body, built, "what is served is what `upbeat openapi` prints");
}

#[tokio::test]
async fn every_operation_of_the_document_answers() {
    let api = Api::at(NOW).await;
    let document = open(&api, "/openapi.json").await.body;
    for (method, route) in operations(&document) {
        let fill = |part: &str| if part.starts_with('{') { "x" } else { part }.to_owned();
        let path = route.split('/').map(fill).collect::<Vec<_>>().join("/");
        let method: Method = method.parse().expect("a method");
        let answer = api.send(method.clone(), &path, Body::from("7")).await;
        let status = answer.status.as_u16();
        assert!([200, 400].contains(&status), "{method} {route}: {status} {}", answer.body);
    }
}

#[tokio::test]
async fn every_operation_has_an_id_of_its_own_and_words() {
    let document = serde_json::to_value(upbeat::app::openapi()).expect("the document is JSON");
    let mut ids = BTreeSet::new();
    for (method, route) in operations(&document) {
        let operation = &document["paths"][&route][method.to_lowercase()];
        for field in ["summary", "description", "operationId"] {
            assert!(
                operation[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field} of {method} {route}"
            );
        }
        assert!(ids.insert(operation["operationId"].to_string()), "{method} {route}");
        assert!(
            operation["responses"].as_object().is_some_and(|responses| responses.len() >= 2),
            "{method} {route}"
        );
    }
}

/// A new operation is added to `World::operations`, so that authentication and tenancy are tested for it.
#[tokio::test]
async fn the_tests_of_the_frame_know_every_operation() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let document = serde_json::to_value(upbeat::app::openapi()).expect("the document is JSON");
    let documented: BTreeSet<(String, String)> = operations(&document).into_iter().collect();
    let known: BTreeSet<(String, String)> =
        world.operations().iter().map(|known| (known.method.to_owned(), known.route.to_owned())).collect();
    let unknown: Vec<_> = documented.symmetric_difference(&known).collect();
    assert!(unknown.is_empty(), "tests/it/world.rs does not agree with the document: {unknown:?}");
}

/// What the document says of roles and of unknown ids is what other tests see the server do.
#[tokio::test]
async fn roles_and_unknown_ids_are_as_they_are_served() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let document = serde_json::to_value(upbeat::app::openapi()).expect("the document is JSON");
    for known in world.operations() {
        let name = format!("{} {}", known.method, known.route);
        let operation = &document["paths"][known.route][known.method.to_lowercase()];
        let role = if known.writes { "writer" } else { "reader" };
        assert_eq!(operation["security"], json!([{ "bearerAuth": [role] }]), "{name}");
        let is_not_found = known.foreign == Foreign::NotFound;
        assert_eq!(operation["responses"]["404"].is_object(), is_not_found, "404 of {name}");
        for status in ["401", "403", "429"] {
            assert!(operation["responses"][status].is_object(), "{status} of {name}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_tag_is_explained() {
    let document = serde_json::to_value(upbeat::app::openapi()).expect("the document is JSON");
    let mut open = vec![&document];
    let mut count = 0;
    while let Some(value) = open.pop() {
        if let Some(reference) = value["$ref"].as_str() {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
            count += 1;
        }
        open.extend(value.as_object().into_iter().flat_map(|members| members.values()));
        open.extend(value.as_array().into_iter().flatten());
    }
    assert!(count > 100, "the references are where this test looks: {count}");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let explained: BTreeSet<String> =
        document["tags"].as_array().expect("tags").iter().map(|tag| text(&tag["name"])).collect();
    let used: BTreeSet<String> = operations(&document)
        .iter()
        .map(|(method, route)| text(&document["paths"][route][method.to_lowercase()]["tags"][0]))
        .collect();
    assert_eq!(explained, used, "src/app/document/head.rs has another list of tags");
}

/// Null and missing are told apart, as the server does.
#[test]
fn answers_say_what_is_always_there_and_what_may_be_null() {
    let document = serde_json::to_value(upbeat::app::openapi()).expect("the document is JSON");
    let schema = |name: &str| &document["components"]["schemas"][name];
    let is_required = |name: &str, field: &str| {
        schema(name)["required"].as_array().expect("a list").contains(&json!(field))
    };
    let text = |name: &str, field: &str| schema(name)["properties"][field].to_string();
    for (name, field) in [("CustomerDetail", "archived_at"), ("Invoice", "external_invoice")] {
        assert!(is_required(name, field) && text(name, field).contains("null"), "{name}.{field}");
    }
    for (name, field) in [("ContractV2", "archived_at"), ("LineItem", "list_price")] {
        assert!(!is_required(name, field) && !text(name, field).contains("null"), "{name}.{field}");
    }
    // An update of a product may take a conversion away, or not speak of it.
    let (name, field) = ("ProductUpdate", "quantity_conversion");
    assert!(!is_required(name, field) && text(name, field).contains("null"), "{name}.{field}");
}

#[test]
fn a_body_is_required_unless_nothing_in_it_is() {
    let document = serde_json::to_value(upbeat::app::openapi()).expect("the document is JSON");
    let is_required = |route: &str| document["paths"][route]["post"]["requestBody"]["required"] == true;
    for route in ["/v1/customers", "/v1/ingest", "/v2/contracts/get", "/sandbox/clock"] {
        assert!(is_required(route), "{route}");
    }
    for route in ["/v1/contract-pricing/products/list", "/v1/customers/{customer_id}/updateConfig"] {
        assert!(!is_required(route), "{route}");
    }
}

/// A comment tells maintainers more than a reader needs.
#[test]
fn descriptions_are_for_readers() {
    let document = serde_json::to_string(&upbeat::app::openapi()).expect("the document is JSON");
    for remark in ["(schema `", "our decision", "(inferred", "(published", "(documentation", "[`"] {
        assert!(!document.contains(remark), "{remark}");
    }
}

#[tokio::test]
async fn the_page_shows_every_operation_without_any_outside_asset() {
    let api = Api::new().await;
    let answer = open(&api, "/docs").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    let page = answer.body.as_str().expect("text");
    let document = open(&api, "/openapi.json").await.body;
    for (method, route) in operations(&document) {
        let operation = &document["paths"][&route][method.to_lowercase()];
        let id = operation["operationId"].as_str().expect("an id");
        let start = page.find(&format!("<article id=\"{id}\">")).expect(id);
        let end = start + page[start..].find("</article>").expect("its end");
        let article = &page[start..end];
        assert!(page[..start].contains(&format!("<a href=\"#{id}\">")), "{id} is not in the contents");
        assert!(article.contains(&format!("<b>{method}</b> <code>{route}</code>")), "{id}");
        let first = route.split('{').next().expect("a path");
        assert!(article.contains(&format!("\"$UPBEAT{first}")), "the request of {id}");
        let is_answered = operation["responses"]["200"]["content"].is_object();
        assert_eq!(article.contains("<h4>Its answer</h4>"), is_answered, "the answer of {id}");
    }
    let lower = page.to_lowercase();
    for outside in ["src=", "href=\"http", "href=\"//", "url(", "@import", "<script", "<link"] {
        assert!(!lower.contains(outside), "{outside}");
    }
    assert!(page.len() < 600_000, "{} bytes", page.len());
}

#[tokio::test]
async fn the_page_is_well_formed() {
    let page = open(&Api::new().await, "/docs").await.body;
    let page = page.as_str().expect("text");
    let mut elements = Vec::new();
    let (mut ids, mut links) = (BTreeSet::new(), Vec::new());
    let body = page.strip_prefix("<!doctype html>\n").expect("a page of today");
    let (before, style) = body.split_once("<style>").expect("a style");
    let (_, after) = style.split_once("</style>").expect("the style's end");
    let text = format!("{before}{after}");
    let mut parts = text.split('<');
    assert_eq!(parts.next(), Some(""));
    for part in parts {
        let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("an open tag: {part}"));
        assert!(!text.contains('>'), "a loose `>`: {part}");
        for entity in text.split('&').skip(1).chain(tag.split('&').skip(1)) {
            let name = entity.split(';').next().expect("a name");
            assert!(["amp", "lt", "gt", "quot"].contains(&name), "a loose `&`: {part}");
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(elements.pop(), Some(name), "{part}");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        for attribute in attributes.split_inclusive("\" ").filter(|attribute| !attribute.is_empty()) {
            let (key, value) = attribute.trim_end().split_once("=\"").expect("a quoted attribute");
            let value = value.strip_suffix('"').expect("a closed attribute");
            match key {
                "id" => assert!(ids.insert(value), "two of {value}"),
                "href" => links.push(value),
                _ => {}
            }
        }
        if !["meta", "br"].contains(&name) {
            elements.push(name);
        }
    }
    assert_eq!(elements, Vec::<&str>::new());
    let loose: Vec<_> = links
        .iter()
        .filter(|link| {
            **link != "/openapi.json" && !link.strip_prefix('#').is_some_and(|id| ids.contains(id))
        })
        .collect();
    assert!(loose.is_empty(), "{loose:?}");
    assert!(ids.len() > 50, "the page is where this test looks");
}
