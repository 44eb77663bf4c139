//! Whether a customer's invoices go out, and from when on (reference: contracts, section 2.4).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use upbeat::access::{self, Environment, EnvironmentKind};
use upbeat::error::is_transient;
use upbeat::invoice::{finalize_usage_statements, verify_invoices};
use upbeat::job::{self, DueWork};
use upbeat::usage::begin_settled_snapshot;

use crate::support::{Answer, Api, charge};
use crate::world::{refuse, with, without};

const SET: &str = "/v1/customers/setBillableStatus";

async fn set(api: &Api, customer: &str, status: &str, effective_at: &str) -> Answer {
    let body = json!({ "customer_id": customer, "billable_status": status, "effective_at": effective_at });
    api.post(SET, body).await
}

/// The status that a customer shows now.
async fn current(api: &Api, customer: &str) -> Value {
    api.get(&format!("/v1/customers/{customer}")).await.data()["current_billable_status"].clone()
}

/// Month, status and billable status of every invoice.
async fn statuses(api: &Api, customer: &str) -> Vec<String> {
    let show = |invoice: &Value| {
        let text = |field: &str| invoice[field].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", &text("start_timestamp")[..7], text("status"), text("billable_status"))
    };
    api.invoices(customer).await.iter().map(show).collect()
}

/// A customer on a contract since January.
async fn contracted(api: &Api, alias: &str) -> String {
    let customer = api.customer(alias).await;
    let contract = json!({ "customer_id": customer, "starting_at": "2026-01-01T00:00:00Z" });
    api.post("/v1/contracts/create", contract).await.id();
    customer
}

async fn sandbox(api: &Api) -> Environment {
    let mut db = api.app.db.acquire().await.expect("a connection");
    access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox")
}

async fn assert_verified(api: &Api) {
    let (count, faults) = verify_invoices(&api.app.db, sandbox(api).await.id).await.expect("verified");
    assert!(count > 0 && faults.is_empty(), "{count} invoices: {faults:?}");
}

#[tokio::test]
async fn a_customer_shows_the_status_that_is_in_force_now() {
    let api = Api::at("2026-01-15T00:00:00Z").await;
    let customer = api.customer("acct").await;
    assert_eq!(current(&api, &customer).await, json!({ "value": "billable", "effective_at": null }));

    let answer = set(&api, &customer, "unbillable", "2026-01-10T00:00:00Z").await.data();
    assert_eq!(answer, json!({ "id": customer, "current_billable_status": "unbillable" }));
    let past = json!({ "value": "unbillable", "effective_at": "2026-01-10T00:00:00Z" });
    assert_eq!(current(&api, &customer).await, past);

    let answer = set(&api, &customer, "BILLABLE", "2026-02-01T01:00:00+01:00").await.data();
    assert_eq!(answer["current_billable_status"], "unbillable", "the change is still to come");
    assert_eq!(current(&api, &customer).await, past);
    api.move_clock("2026-02-01T00:00:00Z").await;
    let now = json!({ "value": "billable", "effective_at": "2026-02-01T00:00:00Z" });
    assert_eq!(current(&api, &customer).await, now);
    assert_eq!(api.get("/v1/customers").await.data()[0]["current_billable_status"], now);

    set(&api, &customer, "unbillable", "2026-01-20T00:00:00Z").await.data();
    let last = json!({ "value": "unbillable", "effective_at": "2026-01-20T00:00:00Z" });
    assert_eq!(current(&api, &customer).await, last, "what is set last counts, also before the earlier one");
    let other = api.customer("other").await;
    assert_eq!(current(&api, &other).await["value"], "billable", "nobody else is touched");
}

#[tokio::test]
async fn setting_a_status_updates_the_customer_and_is_recorded() {
    let api = Api::at("2026-01-15T00:00:00Z").await;
    let customer = api.customer("acct").await;
    api.move_clock("2026-01-16T00:00:00Z").await;
    set(&api, &customer, "unbillable", "2026-03-01T00:00:00Z").await.data();
    let shown = api.get(&format!("/v1/customers/{customer}")).await.data();
    assert_eq!(shown["updated_at"], "2026-01-16T00:00:00Z");
    let path = format!("/v1/auditLogs?resource_type=customer&resource_id={customer}&sort=date_desc");
    let line = api.get(&path).await.data()[0].clone();
    assert_eq!((&line["action"], &line["status"]), (&json!("set_billable_status"), &json!("success")));
    let description = line["description"].as_str().expect("a description");
    assert!(description.contains("unbillable") && description.contains("2026-03-01"), "{description}");
}

#[tokio::test]
async fn invoices_carry_the_status_of_their_periods_start() {
    let api = Api::at("2026-01-15T00:00:00Z").await;
    let customer = contracted(&api, "acct").await;
    assert_eq!(statuses(&api, &customer).await, ["2026-01 DRAFT billable"]);
    set(&api, &customer, "unbillable", "2026-02-01T00:00:00Z").await.data();
    set(&api, &customer, "billable", "2026-03-01T00:00:00.000001Z").await.data();
    assert_eq!(statuses(&api, &customer).await, ["2026-01 DRAFT billable"]);
    api.move_clock("2026-04-20T00:00:00Z").await;
    let expected = [
        "2026-01 FINALIZED billable",
        "2026-02 FINALIZED unbillable",
        "2026-03 FINALIZED unbillable",
        "2026-04 DRAFT billable",
    ];
    assert_eq!(statuses(&api, &customer).await, expected);
    for listed in api.invoices(&customer).await {
        let path = format!("/v1/customers/{customer}/invoices/{}", listed["id"].as_str().expect("an id"));
        assert_eq!(api.get(&path).await.data()["billable_status"], listed["billable_status"]);
    }
    assert_verified(&api).await;
}

#[tokio::test]
async fn a_draft_changes_at_once_and_back_and_nothing_else_of_it() {
    let api = Api::at("2026-01-15T00:00:00Z").await;
    let customer = contracted(&api, "acct").await;
    let before = api.invoice(&customer, "2026-01-01").await;
    set(&api, &customer, "unbillable", "2026-01-01T00:00:00Z").await.data();
    let unbillable = api.invoice(&customer, "2026-01-01").await;
    assert_eq!(unbillable, with(&before, "/billable_status", json!("unbillable")));
    set(&api, &customer, "billable", "2025-01-01T00:00:00Z").await.data();
    assert_eq!(api.invoice(&customer, "2026-01-01").await, before);
}

#[tokio::test]
async fn a_finalized_invoice_is_out_of_reach() {
    let api = Api::at("2026-01-15T00:00:00Z").await;
    let customer = contracted(&api, "acct").await;
    api.move_clock("2026-03-20T00:00:00Z").await;
    let finalized = ["2026-01 FINALIZED billable", "2026-02 FINALIZED billable", "2026-03 DRAFT billable"];
    assert_eq!(statuses(&api, &customer).await, finalized);
    for reaching in ["2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z", "1970-01-01T00:00:00Z"] {
        let answer = set(&api, &customer, "unbillable", reaching).await;
        answer.refused(400, &["effective_at:", "after 2026-02-01T00:00:00Z", "finalized"]);
    }
    assert_eq!(statuses(&api, &customer).await, finalized);
    assert_eq!(current(&api, &customer).await["value"], "billable", "nothing was kept");
    set(&api, &customer, "unbillable", "2026-02-01T00:00:00.000001Z").await.data();
    assert_eq!(
        statuses(&api, &customer).await,
        ["2026-01 FINALIZED billable", "2026-02 FINALIZED billable", "2026-03 DRAFT unbillable"]
    );
    assert_verified(&api).await;
}

#[tokio::test]
async fn scheduled_invoices_go_by_their_issue() {
    let api = Api::at("2026-01-15T00:00:00Z").await;
    let customer = api.customer("acct").await;
    let fee = api.fixed_product("Fee").await;
    let contract = json!({
        "customer_id": customer, "starting_at": "2026-01-01T00:00:00Z",
        "scheduled_charges": [charge(&fee, &[("2026-02-05T00:00:00Z", 5), ("2026-02-20T00:00:00Z", 7)])],
    });
    api.post("/v1/contracts/create", contract).await.id();
    api.move_clock("2026-02-10T00:00:00Z").await;
    let scheduled = async || -> Vec<String> {
        let data = api.get(&format!("/v1/customers/{customer}/invoices?type=SCHEDULED")).await.data();
        let show = |invoice: &Value| format!("{} {}", invoice["status"], invoice["billable_status"]);
        data.as_array().expect("invoices").iter().map(show).collect()
    };
    for reaching in ["2026-02-01T00:00:00Z", "2026-02-05T00:00:00Z"] {
        let answer = set(&api, &customer, "unbillable", reaching).await;
        answer.refused(400, &["effective_at:", "after 2026-02-05T00:00:00Z"]);
    }
    set(&api, &customer, "unbillable", "2026-02-05T00:00:01Z").await.data();
    assert_eq!(scheduled().await, [r#""FINALIZED" "billable""#, r#""DRAFT" "unbillable""#]);
    assert_eq!(
        api.invoice(&customer, "2026-02-01").await["billable_status"],
        "billable",
        "by its period's start"
    );
    api.move_clock("2026-03-10T00:00:00Z").await;
    assert_eq!(scheduled().await, [r#""FINALIZED" "billable""#, r#""FINALIZED" "unbillable""#]);
    assert_verified(&api).await;
}

#[tokio::test]
async fn a_void_invoice_is_in_nobodys_way_and_still_follows_from_the_facts() {
    let api = Api::at("2026-01-15T00:00:00Z").await;
    let customer = contracted(&api, "acct").await;
    api.move_clock("2026-03-20T00:00:00Z").await;
    let february = api.invoice(&customer, "2026-02-01").await;
    api.post("/v1/invoices/void", json!({ "id": february["id"] })).await.data();
    set(&api, &customer, "unbillable", "2026-01-01T00:00:00Z").await.refused(400, &["2026-01-01"]);
    set(&api, &customer, "unbillable", "2026-02-01T00:00:00Z").await.data();
    assert_eq!(
        statuses(&api, &customer).await,
        ["2026-01 FINALIZED billable", "2026-02 VOID billable", "2026-03 DRAFT unbillable"]
    );
    assert_verified(&api).await;
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let api = Api::at("2026-01-15T00:00:00Z").await;
    let customer = api.customer("acct").await;
    let good = json!({
        "customer_id": customer, "billable_status": "unbillable", "effective_at": "2026-01-01T00:00:00Z",
    });
    refuse(
        &api,
        SET,
        vec![
            (without(&good, "/customer_id"), "`customer_id`"),
            (without(&good, "/billable_status"), "`billable_status`"),
            (without(&good, "/effective_at"), "`effective_at`"),
            (with(&good, "/customer_id", json!("x")), "customer_id:"),
            (with(&good, "/billable_status", json!("free")), "billable_status:"),
            (with(&good, "/billable_status", Value::Null), "billable_status:"),
            (with(&good, "/effective_at", json!("2026-01-01")), "effective_at:"),
            (with(&good, "/effective_at", Value::Null), "effective_at:"),
        ],
    )
    .await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    set(&api, unknown, "unbillable", "2026-01-01T00:00:00Z").await.refused(404, &["customer", unknown]);
    api.post("/v1/customers/archive", json!({ "id": customer })).await.id();
    api.post(SET, good).await.refused(400, &["customer_id:", "archived"]);
}

/// What a worker does before it finalizes: the snapshot, and the work that is due.
async fn begin_step(api: &Api) -> (sqlx::Transaction<'static, sqlx::Postgres>, Vec<DueWork>, i64) {
    let environment = sandbox(api).await;
    let (mut snapshot, arrival) =
        begin_settled_snapshot(&api.app.db, environment.id).await.expect("a snapshot");
    let now = environment.frozen_at.expect("a frozen clock");
    let work =
        job::take(&mut snapshot, environment.id, now, api.app.clock.now(), 1, None).await.expect("a look");
    assert_eq!(work.len(), 1, "a statement is due");
    (snapshot, work, arrival)
}

/// January is past its grace, and not finalized.
async fn due(api: &Api, alias: &str) -> String {
    let customer = contracted(api, alias).await;
    assert_eq!(statuses(api, &customer).await[0], "2026-01 DRAFT billable");
    customer
}

#[tokio::test]
async fn finalizing_on_an_older_snapshot_gives_way_to_a_change_of_the_customer() {
    let api = Api::at("2026-02-10T00:00:00Z").await;
    let customer = due(&api, "acct").await;
    let (mut snapshot, work, arrival) = begin_step(&api).await;
    api.post(&format!("/v1/customers/{customer}/setName"), json!({ "name": "New" })).await.data();
    let error =
        finalize_usage_statements(&mut snapshot, &work, arrival).await.expect_err("an older snapshot");
    assert!(is_transient(&error), "{error}");
    drop(snapshot);
    api.work().await;
    assert_eq!(statuses(&api, &customer).await[0], "2026-01 FINALIZED billable");
    assert_verified(&api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_status_waits_for_an_invoice_that_is_being_finalized() {
    let api = Api::at("2026-02-10T00:00:00Z").await;
    let customer = due(&api, "acct").await;
    let (mut snapshot, work, arrival) = begin_step(&api).await;
    finalize_usage_statements(&mut snapshot, &work, arrival).await.expect("finalized");
    let mut waits = {
        let (api, customer) = (api.clone(), customer.clone());
        tokio::spawn(async move { set(&api, &customer, "unbillable", "2026-01-01T00:00:00Z").await })
    };
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waits).await;
    assert!(early.is_err(), "it must wait, and answered {early:?}");
    snapshot.commit().await.expect("committed");
    waits.await.expect("an answer").refused(400, &["effective_at:", "finalized"]);
    assert_eq!(statuses(&api, &customer).await[0], "2026-01 FINALIZED billable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_archive_waits_for_an_invoice_that_is_being_finalized() {
    let api = Api::at("2026-02-10T00:00:00Z").await;
    let customer = due(&api, "acct").await;
    let (mut snapshot, work, arrival) = begin_step(&api).await;
    let archives = {
        let (api, customer) = (api.clone(), customer.clone());
        tokio::spawn(async move { api.post("/v1/customers/archive", json!({ "id": customer })).await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    finalize_usage_statements(&mut snapshot, &work, arrival).await.expect("finalized");
    snapshot.commit().await.expect("committed");
    archives.await.expect("an answer").id();
    api.work().await;
    assert_eq!(statuses(&api, &customer).await, ["2026-01 VOID billable"]);
}

/// Many customers whose January is finalized while it is set unbillable: whatever wins, invoice and answer agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_status_and_a_finalization_at_once_never_disagree() {
    const CUSTOMERS: usize = 60;
    let api = Api::at("2026-02-10T00:00:00Z").await;
    let mut customers = Vec::new();
    for index in 0..CUSTOMERS {
        customers.push(due(&api, &format!("acct {index}")).await);
    }
    let replica = api.replica();
    let mut workers = JoinSet::new();
    for api in [api.clone(), replica.clone()] {
        workers.spawn(async move { api.work().await });
    }
    // From the end, while the workers come from the start: the first ones are too early, the last ones too late.
    let mut requests = JoinSet::new();
    for (index, customer) in customers.iter().cloned().enumerate() {
        let api = if index % 2 == 0 { api.clone() } else { replica.clone() };
        requests.spawn(async move {
            tokio::time::sleep(Duration::from_millis(index as u64 * 5)).await;
            let answer = set(&api, &customer, "unbillable", "2026-01-01T00:00:00Z").await;
            (customer, answer.status.as_u16())
        });
    }
    let answers: BTreeMap<String, u16> = requests.join_all().await.into_iter().collect();
    workers.join_all().await;
    api.work().await;
    for (customer, status) in &answers {
        let billable = match status {
            200 => "unbillable",
            400 => "billable",
            other => panic!("{customer} was answered {other}"),
        };
        assert_eq!(statuses(&api, customer).await[0], format!("2026-01 FINALIZED {billable}"));
    }
    assert_verified(&api).await;
}
