//! `upbeat verify` notices every number that does not follow from the facts.

use serde_json::{Value, json};

use crate::support::{Billing, Database, Launch, Place, Server, event, execute, texts};

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

/// What was tampered with in these tables goes unnoticed: a list, so that one run shows all.
fn unnoticed(launch: &Launch, database: &Database, tables: &[&str], changes: &[&str]) -> Vec<String> {
    // Whoever tampers does not mind what tables say of each other.
    let tamper = |statements: &str| {
        execute(&database.options(), &format!("SET session_replication_role = replica; {statements}"));
    };
    let each =
        |statement: &dyn Fn(&str) -> String| tables.iter().map(|table| statement(table)).collect::<String>();
    launch.run(&["verify"]).succeeded();
    tamper(&each(&|table| format!("CREATE TABLE honest_{table} AS TABLE {table};")));
    let unnoticed = changes.iter().filter(|change| {
        tamper(change);
        let output = launch.run(&["verify"]);
        tamper(&each(&|table| {
            format!("DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE honest_{table};")
        }));
        output.code == Some(0)
    });
    let unnoticed = unnoticed.map(|change| (*change).to_owned()).collect();
    tamper(&each(&|table| format!("DROP TABLE honest_{table};")));
    launch.run(&["verify"]).succeeded();
    unnoticed
}

/// A customer whose contract with a credit and a recurring one was renewed, and used 21 cents in January and in February, which is
/// final. Answers the new contract.
fn renewed(server: &Server, number: usize) -> Value {
    let client = &server.client;
    let id = |path: &str, body: &Value| json!(client.post(path, body).id());
    let alias = format!("customer-{number}");
    let customer = id("/v1/customers", &json!({ "name": alias, "ingest_aliases": [alias] }));
    let card = client.post("/v1/contract-pricing/rate-cards/list", &json!({})).data()[0]["id"].clone();
    let plan = id("/v1/contract-pricing/products/create", &json!({ "name": "Plan", "type": "FIXED" }));
    let contract = |start: &str, more: Value| {
        let mut contract = json!({
            "customer_id": customer, "rate_card_id": card, "starting_at": start,
            "usage_statement_schedule": { "frequency": "MONTHLY" },
        });
        let terms = contract.as_object_mut().expect("an object");
        terms.extend(more.as_object().expect("an object").clone());
        id("/v1/contracts/create", &contract)
    };
    let payments = json!({ "schedule_items": [
        { "timestamp": "2026-01-10T00:00:00Z", "amount": 5 }, { "timestamp": "2026-12-01T00:00:00Z", "amount": 6 },
    ] });
    let (january, february) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    let credit = json!({
        "product_id": plan, "priority": 1, "rollover_fraction": 0.5,
        "access_schedule": { "schedule_items": [
            { "amount": 1000, "starting_at": january, "ending_before": "2027-01-01T00:00:00Z" },
        ] },
    });
    let recurring = json!({
        "product_id": plan, "priority": 2, "starting_at": january,
        "commit_duration": { "value": 1, "unit": "PERIODS" },
        "access_amount": {
            "unit_price": 90, "quantity": 1, "credit_type_id": "2714e483-4ff1-48e4-9e25-ac732e8f24f2",
        },
    });
    let old = contract(january, json!({ "credits": [credit], "recurring_credits": [recurring] }));
    let mut commit = credit.clone();
    commit["customer_id"] = customer.clone();
    commit["type"] = json!("PREPAID");
    commit["priority"] = json!(9);
    commit["invoice_schedule"] = payments;
    let spend = |at: &str| {
        let events = json!([event(&format!("{alias} {at}"), number, at, 7)]);
        assert_eq!(client.post("/v1/ingest", &events).status, 200);
    };
    let clock = |now: &str| client.post("/sandbox/clock", &json!({ "now": now })).data();
    spend("2026-01-15T00:00:00Z");
    clock("2026-02-03T00:00:00Z");
    let from = json!({ "type": "RENEWAL", "from_contract_id": old });
    let new = contract(february, json!({ "transition": from, "recurring_credits": [recurring] }));
    commit["invoice_contract_id"] = new.clone();
    commit.as_object_mut().expect("an object").remove("rollover_fraction");
    id("/v1/contracts/customerCommits/create", &commit);
    spend("2026-02-02T00:00:00Z");
    clock("2026-03-03T00:00:00Z");
    json!({ "customer_id": customer, "contract_id": new })
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
    assert_eq!(unnoticed(&launch, &database, &["usage_rollup"], &changes), [""; 0]);
    assert_eq!(unnoticed(&launch, &database, &["usage_day"], &["DELETE FROM usage_day"]), [""; 0]);
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
    assert_eq!(unnoticed(&launch, &database, &["invoice"], &changes), [""; 0]);
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
    assert_eq!(unnoticed(&launch, &database, &["invoice"], &changes), [""; 0]);
}

#[test]
fn verify_notices_an_invoice_that_is_missing() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    billed(&launch);
    let changes = ["DELETE FROM invoice WHERE ctid = (SELECT min(ctid) FROM invoice)"];
    assert_eq!(unnoticed(&launch, &database, &["invoice"], &changes), [""; 0]);
}

#[test]
fn verify_notices_tampered_commits_and_credits() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    let server = launch.serve();
    Billing::set_up(&server.client, "2026-01-15T00:00:00Z", "2026-01-01T00:00:00Z", 0);
    renewed(&server, 0);
    server.stop();
    let changes = [
        // the row alone
        "UPDATE balance SET terms = jsonb_set(terms, '{segments,0,amount}', '1001') WHERE terms ? 'rollover_fraction'",
        "UPDATE balance SET archived_at = created_at WHERE recurring_id IS NOT NULL",
        "UPDATE balance SET ends_at = ends_at - interval '1 day' WHERE origin_id IS NOT NULL",
        "UPDATE balance SET added = added - 1 WHERE origin_id IS NOT NULL",
        // in agreement with its versions: what was left, and what a recurring one made
        "UPDATE balance SET terms = jsonb_set(terms, '{segments,0,amount}', '501') WHERE origin_id IS NOT NULL;
         UPDATE balance_version SET terms = balance.terms FROM balance
         WHERE balance_id = id AND origin_id IS NOT NULL AND balance_version.added = balance.added",
        "UPDATE balance SET terms = jsonb_set(terms, '{segments,0,amount}', '91') WHERE recurring_id IS NOT NULL;
         UPDATE balance_version SET terms = balance.terms FROM balance
         WHERE balance_id = id AND recurring_id IS NOT NULL",
        // altogether
        "DELETE FROM balance WHERE recurring_id IS NOT NULL",
        "DELETE FROM balance_version",
        "DELETE FROM balance_draw",
        "UPDATE balance_draw SET dated_at = dated_at + interval '1 month'",
        "UPDATE recurring_grant SET granted_until = granted_until + interval '1 month'",
        "UPDATE recurring_grant SET granted_until = '2026-01-01'",
        "UPDATE recurring_grant SET terms = jsonb_set(terms, '{access,unit_price}', '80')",
        "DELETE FROM due_work WHERE kind = 'create_recurring_balances'",
        // what is paid
        "UPDATE scheduled_charge_item SET unit_price = 1, amount = quantity WHERE invoice_id IS NULL",
        "UPDATE scheduled_charge_item SET dated_at = dated_at + interval '1 hour' WHERE invoice_id IS NULL",
        "UPDATE scheduled_charge_item SET removed_at = dated_at WHERE invoice_id IS NULL",
        "DELETE FROM scheduled_charge_item WHERE invoice_id IS NULL",
    ];
    let tables = [
        "balance",
        "balance_version",
        "balance_draw",
        "recurring_grant",
        "due_work",
        "scheduled_charge_item",
    ];
    assert_eq!(unnoticed(&launch, &database, &tables, &changes), [""; 0]);
    execute(&database.options(), changes[0]);
    launch.run(&["verify"]).failed(&["is not what its newest version says", "do not follow from the facts"]);
}

#[test]
fn verify_notices_what_an_archived_contract_keeps_of_what_it_took_over() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    let server = launch.serve();
    Billing::set_up(&server.client, "2026-01-15T00:00:00Z", "2026-01-01T00:00:00Z", 0);
    let mut archived = renewed(&server, 0);
    archived["void_invoices"] = json!(false);
    server.client.post("/v1/contracts/archive", &archived).data();
    server.stop();
    let keeps = texts(
        &database.options(),
        "SELECT terms #>> '{segments,0,amount}' FROM balance WHERE origin_id IS NOT NULL",
    );
    assert_eq!(keeps, ["21"]);
    let changes = [
        "UPDATE balance SET terms = jsonb_set(terms, '{segments,0,amount}', '22') WHERE origin_id IS NOT NULL;
         UPDATE balance_version SET terms = balance.terms FROM balance
         WHERE balance_id = id AND origin_id IS NOT NULL AND balance_version.added = balance.added",
    ];
    assert_eq!(unnoticed(&launch, &database, &["balance", "balance_version"], &changes), [""; 0]);
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
