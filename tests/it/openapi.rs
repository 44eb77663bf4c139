//! The document of the API, and the page made from it.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;

use crate::support::{Answer, Api};
use crate::world::{NOW, World};

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
    let world = World::new(&api).await;
    let document = serde_json::to_value(upbeat::app::openapi()).expect("the document is JSON");
    let documented: BTreeSet<(String, String)> = operations(&document).into_iter().collect();
    let known: BTreeSet<(String, String)> =
        world.operations().iter().map(|known| (known.method.to_owned(), known.route.to_owned())).collect();
    let unknown: Vec<_> = documented.symmetric_difference(&known).collect();
    assert!(unknown.is_empty(), "tests/it/world.rs does not agree with the document: {unknown:?}");
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
        let heading = format!("<span class=\"method\">{method}</span>{route}</code>");
        assert!(page.contains(&heading), "{method} {route} is not on the page");
    }
    let lower = page.to_lowercase();
    for outside in
        ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "url(", "@import", "<script", "<link"]
    {
        assert!(!lower.contains(outside), "{outside}");
    }
}
