//! `openapi/README.md` and `openapi/openapi.json` say what is built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// Method and path, such as `GET /v1/customers`.
type Operation = String;

/// What the compatibility table says of each operation: its document and its status.
fn table() -> BTreeMap<Operation, (String, String)> {
    let page = fs::read_to_string("openapi/README.md").expect("openapi/README.md");
    let mut table = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let operation = cells[0].trim_matches('`').to_owned();
        let status = cells[2].to_owned();
        assert!(["same", "different", "missing"].contains(&status.as_str()), "{line}");
        assert!(status != "different" || !cells[3].is_empty(), "a difference says why: {line}");
        let twice = table.insert(operation, (cells[1].to_owned(), status));
        assert!(twice.is_none(), "listed twice: {line}");
    }
    assert!(table.len() > 100, "the table is where this test looks");
    table
}

fn operations(document: &Value) -> BTreeSet<Operation> {
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "post", "put", "patch", "delete"] {
            if item[method].is_object() {
                operations.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    operations
}

fn own_document() -> Value {
    serde_json::to_value(upbeat::app::openapi()).expect("the document is JSON")
}

#[test]
fn the_table_says_which_operations_are_built() {
    let built = operations(&own_document());
    for (operation, (_, status)) in table() {
        assert_eq!(status != "missing", built.contains(&operation), "{operation} is {status} in the table");
    }
}

#[test]
fn what_is_built_is_in_the_table_or_our_own() {
    let table = table();
    let unlisted: Vec<Operation> = operations(&own_document())
        .into_iter()
        .filter(|operation| !table.contains_key(operation) && !is_own(operation))
        .collect();
    assert_eq!(unlisted, Vec::<Operation>::new());
}

/// Paths that the published document cannot have.
fn is_own(operation: &str) -> bool {
    operation.contains(" /sandbox/") || operation.contains(" /v1/upbeat/")
}

#[test]
fn missing_operations_answer_501() {
    let listed: BTreeSet<Operation> = table()
        .into_iter()
        .filter(|(_, (_, status))| status == "missing")
        .map(|(operation, _)| operation)
        .collect();
    let answered: BTreeSet<Operation> =
        upbeat::app::MISSING.iter().map(|(method, path)| format!("{method} {path}")).collect();
    assert_eq!(listed, answered);
}

#[test]
fn the_committed_document_is_the_one_of_the_code() {
    let committed =
        fs::read_to_string("openapi/openapi.json").expect("openapi/openapi.json; run `make openapi`");
    let committed: Value = serde_json::from_str(&committed).expect("JSON");
    assert!(committed == own_document(), "openapi/openapi.json is not of this code; run `make openapi`");
}

/// The published documents, where this checkout has them beside it; the tests that need them pass without.
fn published(name: &str) -> Option<Value> {
    let shared = std::env::var_os("UPBEAT_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let text = fs::read_to_string(shared.join("spec").join(name)).ok()?;
    Some(serde_json::from_str(&text).expect("JSON"))
}

#[test]
fn the_table_has_every_published_operation() {
    let (Some(main), Some(plans)) =
        (published("metronome-openapi.json"), published("metronome-openapi-plans.json"))
    else {
        eprintln!(
            "the published documents are not beside this checkout: the table is not compared with them"
        );
        return;
    };
    let table = table();
    let of_document = |name: &str| -> BTreeSet<Operation> {
        table
            .iter()
            .filter(|(_, (document, _))| document == name)
            .map(|(operation, _)| operation.clone())
            .collect()
    };
    assert_eq!(of_document("main"), operations(&main));
    let beyond_main: BTreeSet<Operation> =
        operations(&plans).difference(&operations(&main)).cloned().collect();
    assert_eq!(of_document("plans"), beyond_main);
}
