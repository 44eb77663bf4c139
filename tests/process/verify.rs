//! `upbeat verify` notices every number that does not follow from the facts.

use serde_json::json;

use crate::support::{Billing, Database, Launch, Place, event, execute, texts};

/// Two customers, each with a finalized January of 21 cents and a draft February.
fn billed(launch: &Launch) {
    let server = launch.serve();
    let billing = Billing::set_up(&server.client, "2026-01-15T00:00:00Z", "2026-01-01T00:00:00Z", 2);
    for number in 0..2 {
        let events = json!([event(&format!("e{number}"), number, "2026-01-15T00:00:00Z", 7)]);
        assert_eq!(server.client.post("/v1/ingest", &events).status, 200);
    }
    server.client.post("/sandbox/clock", &json!({ "now": "2026-02-03T00:00:00Z" })).data();
    assert_eq!(billing.statements(&server.client, 0)[0].2, "21");
    server.stop();
}

/// What was tampered with goes unnoticed: a list, so that one run shows all.
fn unnoticed(launch: &Launch, database: &Database, table: &str, changes: &[&str]) -> Vec<String> {
    launch.run(&["verify"]).succeeded();
    execute(&database.options(), &format!("CREATE TABLE honest AS TABLE {table}"));
    let unnoticed = changes.iter().filter(|change| {
        execute(&database.options(), change);
        let output = launch.run(&["verify"]);
        execute(&database.options(), &format!("DELETE FROM {table}; INSERT INTO {table} TABLE honest"));
        output.code == Some(0)
    });
    let unnoticed = unnoticed.map(|change| (*change).to_owned()).collect();
    execute(&database.options(), "DROP TABLE honest");
    launch.run(&["verify"]).succeeded();
    unnoticed
}

#[test]
fn verify_notices_a_tampered_rollup() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    billed(&launch);
    let changes = [
        "UPDATE usage_rollup SET total = total + 1 WHERE ctid = (SELECT min(ctid) FROM usage_rollup)",
        "UPDATE usage_rollup SET event_count = event_count + 1",
        "UPDATE usage_rollup SET hour = hour + interval '1 hour'",
        "DELETE FROM usage_rollup",
    ];
    assert_eq!(unnoticed(&launch, &database, "usage_rollup", &changes), [""; 0]);
    assert_eq!(unnoticed(&launch, &database, "usage_day", &["DELETE FROM usage_day"]), [""; 0]);
    execute(&database.options(), changes[0]);
    launch.run(&["verify"]).failed(&["the rollup of metric", "do not follow from the facts"]);
}

#[test]
fn verify_notices_a_tampered_invoice() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    billed(&launch);
    let documents = texts(&database.options(), "SELECT document::text FROM invoice");
    assert!(documents.len() == 2 && documents[0].contains("\"total\""), "{documents:?}");
    let changes = [
        // the sum alone
        "UPDATE invoice SET document = jsonb_set(document::jsonb, '{total}', '22')::json
         WHERE ctid = (SELECT min(ctid) FROM invoice)",
        // everything in agreement with itself
        "UPDATE invoice SET total = 24, document = jsonb_set(jsonb_set(jsonb_set(document::jsonb, '{total}', '24'),
             '{line_items,0,total}', '24'), '{line_items,0,quantity}', '8')::json",
        "UPDATE invoice SET total = 0, document = jsonb_set(jsonb_set(document::jsonb, '{total}', '0'),
             '{line_items}', '[]')::json",
    ];
    assert_eq!(unnoticed(&launch, &database, "invoice", &changes), [""; 0]);
    execute(&database.options(), changes[0]);
    launch.run(&["verify"]).failed(&["sandbox: invoice ", "do not follow from the facts"]);
}

#[test]
fn verify_notices_invoice_columns_that_differ_from_the_document() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    billed(&launch);
    let changes = [
        "UPDATE invoice SET total = total + 1",
        "UPDATE invoice SET starts_at = starts_at + interval '1 day'",
        "UPDATE invoice SET issued_at = issued_at + interval '1 year'",
    ];
    assert_eq!(unnoticed(&launch, &database, "invoice", &changes), [""; 0]);
}

#[test]
fn verify_notices_an_invoice_that_is_missing() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    billed(&launch);
    let changes = ["DELETE FROM invoice WHERE ctid = (SELECT min(ctid) FROM invoice)"];
    assert_eq!(unnoticed(&launch, &database, "invoice", &changes), [""; 0]);
}

#[test]
fn verify_does_not_mind_usage_that_came_late() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    billed(&launch);
    let server = launch.serve();
    let late = json!([event("late", 0, "2026-01-20T00:00:00Z", 1)]);
    assert_eq!(server.client.post("/v1/ingest", &late).status, 200);
    launch.run(&["verify"]).succeeded();
    execute(&database.options(), "UPDATE usage_rollup SET total = total + 1");
    launch.run(&["verify"]).failed(&["do not follow from the facts"]);
    server.stop();
}
