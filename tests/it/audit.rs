//! The audit log.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use upbeat::access::audit::{self, Actor, Entry, Outcome};
use upbeat::access::{self, EnvironmentKind, Origin, Peer, Role, WRITES};
use upbeat::id::EnvironmentId;
use uuid::Uuid;

use crate::support::{Answer, Api, Metric};
use crate::world::{NOW, Operation, World};

const AGENT: &str = "Metronome/Python 4.12.0";

/// One page from a token on; the lines and the next token, which is always there.
async fn page(api: &Api, query: &str, token: Option<&str>) -> (Vec<Value>, String) {
    let token = token.map(|token| format!("&next_page={token}")).unwrap_or_default();
    let answer = api.get(&format!("/v1/auditLogs?{query}{token}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    let lines = answer.body["data"].as_array().expect("lines").clone();
    (lines, answer.body["next_page"].as_str().expect("a token, never null").to_owned())
}

/// Every line of a list, by pages of `limit`. Like an SDK it sends the filters again, but dates, which may not be.
async fn walk(api: &Api, query: &str, limit: usize) -> Vec<Value> {
    let (mut lines, mut token) = (Vec::new(), None);
    let undated: Vec<&str> =
        query.split('&').filter(|part| !part.contains("_on=") && !part.contains("_before=")).collect();
    loop {
        let filters = if token.is_none() { query } else { &undated.join("&") };
        let (more, next) = page(api, &format!("{filters}&limit={limit}"), token.as_deref()).await;
        assert!(more.len() <= limit);
        if more.is_empty() {
            return lines;
        }
        lines.extend(more);
        token = Some(next);
    }
}

async fn lines(api: &Api) -> Vec<Value> {
    walk(api, "sort=date_asc", 100).await
}

/// The lines that come while `action` runs.
async fn new_lines<T>(api: &Api, action: impl Future<Output = T>) -> (T, Vec<Value>) {
    let (mut token, mut more) = (None, true);
    while more {
        let (lines, next) = page(api, "limit=100", token.as_deref()).await;
        (token, more) = (Some(next), !lines.is_empty());
    }
    let outcome = action.await;
    (outcome, page(api, "limit=100", token.as_deref()).await.0)
}

/// Sends an operation's request from a known address and with a known program.
async fn send(api: &Api, operation: &Operation, body: Body) -> Answer {
    let method: Method = operation.method.parse().expect("a method");
    let mut request =
        api.builder(method, &operation.path).header("user-agent", AGENT).body(body).expect("a request");
    request.extensions_mut().insert(Peer("203.0.113.9:4711".parse().expect("an address")));
    api.request(request).await
}

fn good_body(operation: &Operation) -> Body {
    if operation.body.is_null() { Body::empty() } else { Body::from(operation.body.to_string()) }
}

/// Resource type and action of an operation, where it is recorded.
fn recorded(operation: &Operation) -> Option<(&'static str, &'static str)> {
    let is_it =
        |write: &&access::WriteOperation| (write.method, write.route) == (operation.method, operation.route);
    WRITES.iter().find(is_it).map(|write| (write.resource_type, write.action))
}

/// What every line of a request that [`send`] sent says.
#[track_caller]
fn tells_the_request(line: &Value, answer: &Answer) {
    assert!(line["id"].as_str().is_some_and(|id| Uuid::parse_str(id).is_ok()), "{line}");
    assert_eq!(line["timestamp"], NOW, "by the environment's clock");
    assert_eq!(
        line["request"],
        json!({ "id": answer.header("x-request-id"), "ip": "203.0.113.9", "user_agent": AGENT })
    );
    assert_eq!(line["actor"]["name"], "test token");
    assert!(line["actor"]["id"].as_str().is_some_and(|id| Uuid::parse_str(id).is_ok()), "{line}");
    let description = line["description"].as_str().expect("words");
    assert!(!description.is_empty() && !description.contains('\n'), "{line}");
}

#[tokio::test]
async fn the_list_of_writes_and_the_world_agree() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let of_the_world: BTreeSet<(&str, &str)> = world
        .operations()
        .iter()
        .filter(|operation| operation.writes && operation.route != "/v1/ingest")
        .map(|operation| (operation.method, operation.route))
        .collect();
    let listed: BTreeSet<(&str, &str)> = WRITES
        .iter()
        .map(|write| (write.method, write.route))
        .filter(|(_, route)| !upbeat::app::SPELLINGS.contains(route))
        .collect();
    let unlike: Vec<_> = of_the_world.symmetric_difference(&listed).collect();
    assert!(unlike.is_empty(), "src/access/operation.rs and tests/it/world.rs disagree: {unlike:?}");
    assert_eq!(WRITES.len(), listed.len() + upbeat::app::SPELLINGS.len(), "one row for each operation");
}

#[tokio::test]
async fn every_change_leaves_one_line_and_reads_and_events_none() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let mut db = api.app.db.acquire().await.expect("a connection");
    let sandbox = access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    drop(db);
    for operation in world.operations() {
        let name = (operation.method, operation.route);
        let (answer, new) = new_lines(&api, send(&api, &operation, good_body(&operation))).await;
        assert_eq!(answer.status, 200, "{name:?}: {}", answer.text);
        // Contracts in the past make work due, which has lines of its own.
        let new: Vec<Value> = new.into_iter().filter(|line| line["actor"]["name"] != "due work").collect();
        let Some((resource_type, action)) = recorded(&operation) else {
            assert_eq!(new, Vec::<Value>::new(), "{name:?}");
            continue;
        };
        assert_eq!(new.len(), 1, "{name:?}: {new:?}");
        let line = &new[0];
        tells_the_request(line, &answer);
        assert_eq!((&line["status"], &line["action"]), (&json!("success"), &json!(action)), "{name:?}");
        let is_type =
            line["resource_type"] == resource_type || line["resource_type"] == operation.body["entity"];
        assert!(is_type, "{name:?}: {line}");
        let id = line["resource_id"].as_str().expect("an id");
        assert!(Uuid::parse_str(id).is_ok_and(|id| !id.is_nil()), "{name:?}: {line}");
        let names = [&operation.path, &operation.body.to_string(), &answer.text, &sandbox.id.to_string()];
        let is_known = names.iter().any(|text| text.contains(id));
        assert!(
            is_known || resource_type == "custom_field_key",
            "{name:?} is about no {id}: {}",
            answer.text
        );
        if let Some(created) = answer.body["data"]["id"].as_str().filter(|_| action == "create") {
            assert_eq!(id, created, "{name:?}");
        }
    }
}

#[tokio::test]
async fn the_spellings_of_the_quickstart_leave_the_same_lines() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let (id, new) =
        new_lines(&api, async { api.post("/v1/customers/create", json!({ "name": "x" })).await.id() }).await;
    assert_eq!(
        (&new[0]["resource_type"], &new[0]["action"], &new[0]["resource_id"]),
        (&json!("customer"), &json!("create"), &json!(id))
    );
    let rate = json!({
        "rate_card_id": world.card, "product_id": world.product, "starting_at": "2026-04-01T00:00:00Z",
        "entitled": true, "rate_type": "FLAT", "price": 4, "pricing_group_values": { "model": "small" },
    });
    let path = "/v1/contract-pricing/rate-cards/rates/add";
    let (answer, new) = new_lines(&api, api.post(path, rate)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        (new.len(), &new[0]["action"], &new[0]["resource_id"]),
        (1, &json!("add_rate"), &json!(world.card))
    );
}

#[tokio::test]
async fn every_refused_change_leaves_a_failure_and_no_other_line() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let reader = api.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    let stranger = api.with_bearer("unknown");
    for operation in world.operations() {
        let name = (operation.method, operation.route);
        let recorded = recorded(&operation);
        let refusals = [(&api, Body::from("7"), 400), (&reader, good_body(&operation), 403)];
        for (caller, body, status) in refusals {
            let (answer, new) = new_lines(&api, send(caller, &operation, body)).await;
            let Some((resource_type, action)) = recorded else {
                assert_eq!(new, Vec::<Value>::new(), "{name:?}");
                continue;
            };
            assert_eq!((answer.status.as_u16(), new.len()), (status, 1), "{name:?}: {}", answer.text);
            tells_the_request(&new[0], &answer);
            let said = ["status", "resource_type", "action"].map(|name| new[0][name].clone());
            assert_eq!(said, [json!("failure"), json!(resource_type), json!(action)], "{name:?}");
            assert_eq!(new[0]["description"], answer.body["message"], "why");
        }
        let (answer, new) = new_lines(&api, send(&stranger, &operation, good_body(&operation))).await;
        assert_eq!((answer.status.as_u16(), new), (401, Vec::new()), "{name:?}");
    }
}

#[tokio::test]
async fn a_change_that_fails_half_way_leaves_a_failure_and_no_success() {
    let api = Api::at(NOW).await;
    api.customer("taken").await;
    // 409 after the customer's row was written
    let taken = json!({ "name": "x", "ingest_aliases": ["free", "taken"] });
    let (answer, new) = new_lines(&api, api.post("/v1/customers", taken)).await;
    answer.refused(409, &["taken"]);
    assert_eq!((new.len(), &new[0]["status"]), (1, &json!("failure")));
    assert!(new[0]["description"].as_str().is_some_and(|text| text.contains("taken")), "{new:?}");
    // 404
    let unknown = json!({ "id": "00000000-0000-4000-8000-000000000000" });
    let (answer, new) = new_lines(&api, api.post("/v1/customers/archive", unknown)).await;
    answer.refused(404, &[]);
    assert_eq!((new.len(), &new[0]["status"]), (1, &json!("failure")));
    // 500, at the last statement
    api.sql("ALTER TABLE ingest_alias RENAME TO elsewhere").await;
    let (answer, new) =
        new_lines(&api, api.post("/v1/customers", json!({ "name": "x", "ingest_aliases": ["a"] }))).await;
    answer.refused(500, &[]);
    assert_eq!((new.len(), &new[0]["status"]), (1, &json!("failure")));
    assert!(!new[0].to_string().contains("ingest_alias\""), "no cause: {new:?}");
    assert_eq!(api.number("SELECT count(*) FROM customer").await, 1);
}

#[tokio::test]
async fn a_line_and_its_change_commit_together() {
    let api = Api::at(NOW).await;
    api.customer("before").await;
    api.sql("ALTER TABLE audit_log RENAME COLUMN description TO elsewhere").await;
    api.post("/v1/customers", json!({ "name": "x" })).await.refused(500, &[]);
    assert_eq!(api.number("SELECT count(*) FROM customer").await, 1, "no change without its line");
    api.sql("ALTER TABLE audit_log RENAME COLUMN elsewhere TO description").await;
    api.post("/v1/customers", json!({ "name": "x" })).await.id();
}

#[tokio::test]
async fn a_repeat_leaves_no_line_and_a_key_with_other_parameters_a_failure() {
    let api = Api::at(NOW).await;
    let path = "/v1/customers";
    api.keyed("k", path, json!({ "name": "a" })).await.id();
    let taken = json!({ "name": "b", "uniqueness_key": 7 });
    let (_, new) = new_lines(&api, api.keyed("k", path, json!({ "name": "a" }))).await;
    assert_eq!(new, Vec::<Value>::new());
    let (answer, new) = new_lines(&api, api.keyed("k", path, taken)).await;
    answer.refused(409, &[]);
    assert_eq!((new.len(), &new[0]["status"]), (1, &json!("failure")));
    // the repeat of a refusal
    let unknown = json!({ "id": "00000000-0000-4000-8000-000000000000" });
    let archive = "/v1/customers/archive";
    let (_, new) = new_lines(&api, api.keyed("gone", archive, unknown.clone())).await;
    assert_eq!(new.len(), 1);
    let (answer, new) = new_lines(&api, api.keyed("gone", archive, unknown)).await;
    assert_eq!((answer.status.as_u16(), new), (404, Vec::new()));
}

#[tokio::test]
async fn what_a_caller_sends_stays_in_one_line() {
    let api = Api::at(NOW).await;
    let (_, new) = new_lines(&api, api.post("/v1/customers", json!({ "name": "a\nb\u{7f}\tc" }))).await;
    assert_eq!(new[0]["description"], "Created customer a b  c");
    let (answer, new) = new_lines(&api, api.post("/v1/customers/%00%0A/setIngestAliases", json!({}))).await;
    answer.refused(400, &["customer_id"]);
    assert_eq!((new.len(), &new[0]["status"]), (1, &json!("failure")));
    assert!(!new[0]["description"].as_str().expect("words").contains('\n'));
    let long = api.post("/v1/customers/archive", json!({ "id": "x".repeat(100_000) })).await;
    long.refused(400, &["id"]);
    let last = lines(&api).await.pop().expect("a line");
    assert!(last["description"].as_str().is_some_and(|text| text.len() <= 1000));
}

#[tokio::test]
async fn without_an_address_or_a_program_the_line_has_none() {
    let api = Api::at(NOW).await;
    let ((), new) = new_lines(&api, async { drop(api.customer("acct").await) }).await;
    assert_eq!(new[0]["request"].as_object().map(serde_json::Map::len), Some(1), "only its id: {new:?}");
    let agent = "x".repeat(16_000);
    let request = api.builder(Method::POST, "/v1/customers").header("user-agent", agent);
    let request = request.body(Body::from(r#"{"name": "x"}"#)).expect("a request");
    let (answer, new) = new_lines(&api, api.request(request)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(new[0]["request"]["user_agent"].as_str().map(str::len), Some(512));
}

#[tokio::test]
async fn what_due_work_finalizes_is_in_the_log() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let finalized = async || {
        let mut lines = lines(&api).await;
        lines.retain(|line| line["action"] == "finalize");
        lines
    };
    assert_eq!(finalized().await, Vec::<Value>::new());
    api.move_clock("2026-04-20T00:00:00Z").await;
    let lines = finalized().await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let expected = json!({
        "id": lines[0]["id"], "timestamp": "2026-04-02T00:00:00Z",
        "actor": { "id": "due work", "name": "due work" },
        "request": { "id": format!("finalize_usage_statement {}", world.contract) },
        "resource_type": "invoice", "resource_id": world.invoice, "action": "finalize", "status": "success",
        "description": "Finalized the invoice of 2026-03-01T00:00:00Z to 2026-04-01T00:00:00Z",
    });
    assert_eq!(lines[0], expected);
    // What was due long ago happens now.
    let start = json!({ "customer_id": world.customer, "starting_at": "2026-01-01T00:00:00Z", "ending_before": "2026-03-01T00:00:00Z" });
    api.post("/v1/contracts/create", start).await.id();
    api.work().await;
    let times: Vec<Value> = finalized().await[1..].iter().map(|line| line["timestamp"].clone()).collect();
    assert_eq!(times, ["2026-04-20T00:00:00Z", "2026-04-20T00:00:00Z"]);
    assert_eq!(api.number("SELECT count(*) FROM invoice").await, 3);
}

#[tokio::test]
async fn one_step_that_finalizes_two_invoices_leaves_two_lines() {
    let api = Api::at("2026-01-10T00:00:00Z").await;
    let customer = api.customer("acct").await;
    let fee = api.fixed_product("Fee").await;
    let units = api.get("/v1/credit-types/list").await.data();
    let charges: Vec<Value> = ["USD (cents)", "EUR"]
        .iter()
        .map(|name| {
            let unit =
                units.as_array().expect("units").iter().find(|unit| unit["name"] == *name).expect("a unit");
            json!({
                "product_id": fee,
                "schedule": {
                    "credit_type_id": unit["id"],
                    "schedule_items": [{ "timestamp": "2026-02-01T00:00:00Z", "amount": 7 }],
                },
            })
        })
        .collect();
    let contract = json!({ "customer_id": customer, "starting_at": "2026-01-01T00:00:00Z", "scheduled_charges": charges });
    let contract = api.post("/v1/contracts/create", contract).await.id();
    api.move_clock("2026-02-01T12:00:00Z").await;
    let lines = walk(&api, "", 100).await;
    let of_the_step: Vec<&Value> = lines.iter().filter(|line| line["action"] == "finalize").collect();
    assert_eq!(of_the_step.len(), 2, "{of_the_step:?}");
    for line in &of_the_step {
        assert_eq!(line["request"]["id"], format!("finalize_scheduled_invoice {contract}"));
    }
    assert_ne!(of_the_step[0]["resource_id"], of_the_step[1]["resource_id"]);
    let ids: BTreeSet<String> = lines.iter().map(|line| line["id"].to_string()).collect();
    assert_eq!(ids.len(), lines.len(), "each line has an id of its own");
}

#[tokio::test]
async fn pages_go_both_ways_and_hold_every_line_once() {
    let api = Api::at(NOW).await;
    for number in 0..7 {
        api.customer(&number.to_string()).await;
        api.move_clock(&format!("2026-03-11T0{number}:00:00Z")).await;
    }
    let oldest_first = lines(&api).await;
    assert_eq!(oldest_first.len(), 15);
    // The first is of a clock that was not set yet.
    let times: Vec<&str> = oldest_first[1..].iter().filter_map(|line| line["timestamp"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let mut newest_first = oldest_first.clone();
    newest_first.reverse();
    for limit in [1, 2, 14, 15, 16, 100] {
        assert_eq!(walk(&api, "", limit).await, oldest_first, "by {limit}");
        assert_eq!(walk(&api, "sort=date_desc", limit).await, newest_first, "by {limit}");
    }
    for sort in ["DATE_DESC", "Date_Desc"] {
        assert_eq!(page(&api, &format!("sort={sort}&limit=1"), None).await.0, newest_first[..1]);
    }
    assert_eq!(page(&api, "", None).await.0.len(), 15, "up to 100 when nothing is said");
}

#[tokio::test]
async fn a_limit_out_of_range_is_400() {
    let api = Api::new().await;
    for limit in ["0", "101", "-1", "abc", "1e9", "1000000000", "1.5", "", "18446744073709551616"] {
        api.get(&format!("/v1/auditLogs?limit={limit}")).await.refused(400, &["limit:"]);
    }
    api.get("/v1/auditLogs?sort=newest").await.refused(400, &["sort:"]);
    api.get("/v1/auditLogs?starting_on=yesterday").await.refused(400, &["starting_on:"]);
    api.get("/v1/auditLogs?ending_before=7").await.refused(400, &["ending_before:"]);
}

#[tokio::test]
async fn dates_include_their_start_and_exclude_their_end() {
    let api = Api::at("2026-03-01T00:00:00Z").await;
    for (alias, next) in
        [("a", "2026-03-02T00:00:00Z"), ("b", "2026-03-03T00:00:00Z"), ("c", "2026-03-04T00:00:00Z")]
    {
        api.customer(alias).await;
        api.move_clock(next).await;
    }
    let made = async |query: &str| -> String {
        let lines = walk(&api, query, 2).await;
        let created = lines.iter().filter(|line| line["action"] == "create");
        let names =
            created.map(|line| line["description"].as_str().expect("words").replace("Created customer ", ""));
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(made("starting_on=2026-03-02T00:00:00Z").await, "b c");
    assert_eq!(made("ending_before=2026-03-02T00:00:00Z").await, "a");
    assert_eq!(made("starting_on=2026-03-02T00:00:00Z&ending_before=2026-03-03T00:00:00Z").await, "b");
    assert_eq!(made("starting_on=2026-03-02T01:00:00%2B01:00&ending_before=2026-03-03T00:00:00").await, "b");
    assert_eq!(made("starting_on=2026-03-02T00:00:00.000001Z").await, "c");
    assert_eq!(made("starting_on=2026-03-02T00:00:00Z&sort=date_desc").await, "c b");
    assert_eq!(made("starting_on=2026-03-03T00:00:00Z&ending_before=2026-03-01T00:00:00Z").await, "");
    let (_, token) = page(&api, "starting_on=2026-03-02T00:00:00Z&limit=1", None).await;
    for date in ["starting_on", "ending_before"] {
        let path = format!("/v1/auditLogs?next_page={token}&{date}=2026-03-02T00:00:00Z");
        api.get(&path).await.refused(400, &[date, "next_page"]);
    }
}

#[tokio::test]
async fn lines_of_one_object_are_found_by_type_and_id() {
    let api = Api::at(NOW).await;
    let (one, other) = (api.customer("one").await, api.customer("other").await);
    api.post("/v1/customers/archive", json!({ "id": one })).await.id();
    let query = format!("resource_type=customer&resource_id={one}");
    for limit in [1, 100] {
        let actions: Vec<Value> =
            walk(&api, &query, limit).await.iter().map(|line| line["action"].clone()).collect();
        assert_eq!(actions, ["create", "archive"]);
    }
    assert_eq!(walk(&api, &format!("resource_type=contract&resource_id={one}"), 100).await.len(), 0);
    assert_eq!(walk(&api, &format!("resource_type=customer&resource_id={other}"), 100).await.len(), 1);
    api.get("/v1/auditLogs?resource_type=customer").await.refused(400, &["resource_id:"]);
    api.get(&format!("/v1/auditLogs?resource_id={one}")).await.refused(400, &["resource_type:"]);
    // A token goes on with its filters; it does not take others.
    let (lines, token) = page(&api, &format!("{query}&limit=1"), None).await;
    assert_eq!(lines.len(), 1);
    assert_eq!(page(&api, "", Some(&token)).await.0[0]["action"], "archive");
    let with_other = format!("/v1/auditLogs?resource_type=customer&resource_id={other}&next_page={token}");
    api.get(&with_other).await.refused(400, &["next_page"]);
    api.get(&format!("/v1/auditLogs?sort=date_desc&next_page={token}")).await.refused(400, &["next_page"]);
}

#[tokio::test]
async fn a_token_of_no_lines_later_yields_them() {
    let api = Api::new().await;
    let (none, token) = page(&api, "", None).await;
    assert_eq!(none, Vec::<Value>::new());
    let (none, token) = page(&api, "", Some(&token)).await;
    assert_eq!(none, Vec::<Value>::new());
    let id = api.customer("acct").await;
    let (lines, next) = page(&api, "", Some(&token)).await;
    assert_eq!((lines.len(), &lines[0]["resource_id"]), (1, &json!(id)));
    assert_eq!(page(&api, "", Some(&next)).await.0.len(), 0);
    assert_eq!(page(&api, "", Some(&token)).await.0, lines, "the same token, the same lines");
    let second = api.customer("more").await;
    assert_eq!(page(&api, "", Some(&next)).await.0[0]["resource_id"], json!(second));
    // also with filters
    let query = "resource_type=customer&resource_id=00000000-0000-4000-8000-000000000000";
    let (none, token) = page(&api, query, None).await;
    assert_eq!(none.len(), 0);
    assert_eq!(page(&api, query, Some(&token)).await.0.len(), 0);
}

#[tokio::test]
async fn newest_first_ends() {
    let api = Api::new().await;
    let (none, of_nothing) = page(&api, "sort=date_desc", None).await;
    assert_eq!(none.len(), 0);
    api.customer("a").await;
    let (lines, token) = page(&api, "sort=date_desc", None).await;
    assert_eq!(lines.len(), 1);
    api.customer("b").await;
    for token in [of_nothing, token] {
        let (none, next) = page(&api, "sort=date_desc", Some(&token)).await;
        assert_eq!(none.len(), 0, "what comes later is not older");
        assert_eq!(page(&api, "", Some(&next)).await.0.len(), 0);
    }
}

#[tokio::test]
async fn a_token_is_of_this_list_and_environment() {
    let api = Api::new().await;
    for alias in ["a", "b"] {
        api.customer(alias).await;
    }
    let (_, token) = page(&api, "limit=1", None).await;
    let production = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    production.get(&format!("/v1/auditLogs?next_page={token}")).await.refused(400, &["next_page"]);
    let customers =
        api.get("/v1/customers?limit=1").await.body["next_page"].as_str().expect("a token").to_owned();
    let (half, longer) = (&token[..token.len() / 2], format!("{token}AAAA"));
    for bad in [customers.as_str(), half, longer.as_str(), "abc", "null", "%20"] {
        api.get(&format!("/v1/auditLogs?next_page={bad}")).await.refused(400, &["next_page"]);
    }
    api.get(&format!("/v1/customers?next_page={token}")).await.refused(400, &["next_page"]);
    assert_eq!(page(&api, "", Some("")).await.0.len(), 2, "an empty token is the first page");
}

#[tokio::test]
async fn the_other_environment_sees_nothing() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let production = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    assert_eq!(lines(&production).await, Vec::<Value>::new());
    let query = format!("resource_type=customer&resource_id={}", world.customer);
    assert_eq!(walk(&production, &query, 100).await, Vec::<Value>::new());
    let (id, sandbox_lines) = new_lines(&api, production.customer("acct")).await;
    assert_eq!(sandbox_lines, Vec::<Value>::new());
    assert_eq!(lines(&production).await[0]["resource_id"], json!(id));
}

async fn sandbox_id(api: &Api) -> EnvironmentId {
    let mut db = api.app.db.acquire().await.expect("a connection");
    access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox").id
}

/// A line that is written and not committed.
async fn uncommitted_line(
    api: &Api,
    environment_id: EnvironmentId,
) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut transaction = api.app.db.begin().await.expect("a transaction");
    let entry = Entry {
        id: api.app.ids.next(),
        recorded_at: api.app.clock.now(),
        actor: Actor { id: None, name: "late".to_owned() },
        origin: &Origin::default(),
        resource_type: "test",
        resource_id: None,
        action: "commit_late",
        outcome: Outcome::Success,
        description: "late".to_owned(),
    };
    audit::append(&mut transaction, environment_id, &entry).await.expect("a line");
    transaction
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_line_that_commits_late_is_waited_for() {
    let api = Api::at(NOW).await;
    let (_, token) = page(&api, "", None).await;
    let late = uncommitted_line(&api, sandbox_id(&api).await).await;
    api.customer("later").await;
    let poll = {
        let (api, token) = (api.clone(), token.clone());
        tokio::spawn(async move { page(&api, "", Some(&token)).await.0 })
    };
    api.until_waiting(1).await;
    late.commit().await.expect("committed");
    let lines = poll.await.expect("a page");
    let actions: Vec<&str> = lines.iter().filter_map(|line| line["action"].as_str()).collect();
    assert_eq!(actions, ["commit_late", "create"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_line_that_never_commits_is_not_waited_for_long_and_nothing_is_skipped() {
    let api = Api::at(NOW).await;
    let (_, token) = page(&api, "", None).await;
    let stuck = uncommitted_line(&api, sandbox_id(&api).await).await;
    api.customer("acct").await;
    let answer = api.get(&format!("/v1/auditLogs?next_page={token}")).await;
    answer.refused(503, &["try again"]);
    assert_eq!(answer.header("retry-after"), "1");
    let production = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    assert_eq!(lines(&production).await.len(), 0, "another environment's log is open");
    api.customer("more").await;
    stuck.rollback().await.expect("gone");
    assert_eq!(page(&api, "", Some(&token)).await.0.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_number_is_drawn_only_under_the_lock() {
    let api = Api::at(NOW).await;
    let (_, low) = sandbox_id(&api).await.0.as_u64_pair();
    let key = low.cast_signed() ^ 0x0075_7062_6561_7402;
    let drawn = "SELECT last_value FROM audit_log_number_seq";
    let before = api.number(drawn).await;
    let mut reader = api.app.db.begin().await.expect("a transaction");
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(key).execute(&mut *reader).await.expect("the lock");
    let change = {
        let api = api.clone();
        tokio::spawn(async move { api.customer("acct").await })
    };
    api.until_waiting(1).await;
    assert_eq!(api.number(drawn).await, before);
    reader.rollback().await.expect("gone");
    change.await.expect("a customer");
    assert_eq!(api.number(drawn).await, before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_poller_beside_many_writers_sees_every_line_once() {
    const WRITERS: usize = 8;
    const CHANGES: usize = 25;
    let api = Api::at(NOW).await;
    let (_, mut token) = page(&api, "", None).await;
    let replicas = [api.clone(), api.replica()];
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let api = replicas[writer % 2].clone();
        writers.spawn(async move {
            for change in 0..CHANGES {
                // Every fifth is refused: lines of refusals come by another way.
                let name = if change % 5 == 0 { json!(7) } else { json!(format!("{writer} {change}")) };
                api.post("/v1/customers", json!({ "name": name })).await;
            }
        });
    }
    let mut seen: Vec<String> = Vec::new();
    let mut polls_without_end = 0;
    while seen.len() < WRITERS * CHANGES && polls_without_end < 200 {
        let answer = replicas[1].get(&format!("/v1/auditLogs?limit=7&next_page={token}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body["next_page"].as_str().expect("a token").clone_into(&mut token);
        let lines = answer.body["data"].as_array().expect("lines");
        seen.extend(lines.iter().map(|line| line["id"].as_str().expect("an id").to_owned()));
        if lines.is_empty() {
            polls_without_end += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    writers.join_all().await;
    assert_eq!(page(&api, "", Some(&token)).await.0.len(), 0, "nothing came behind the poller's back");
    assert_eq!(seen.len(), WRITERS * CHANGES);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "once each");
    let in_order: Vec<String> = walk(&api, "", 100).await[1..]
        .iter()
        .map(|line| line["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(seen, in_order, "and in the order in which they stay");
}

#[tokio::test]
async fn a_reader_may_read_the_log() {
    let api = Api::at(NOW).await;
    api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let reader = api.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    assert_eq!(lines(&reader).await, lines(&api).await);
}
