//! Usage reads while what came in is in no rollup yet.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};
use tokio::time::timeout;
use upbeat::access::{EnvironmentKind, list_environments};
use upbeat::usage::{begin_usage_snapshot, verify_rollups};

use crate::support::Api;

const NOW: &str = "2026-03-10T12:00:00Z";
const AGGREGATIONS: [&str; 5] = ["COUNT", "SUM", "MAX", "LATEST", "UNIQUE"];

/// The metrics by aggregation, on group keys of one and of two properties.
async fn metrics(api: &Api) -> Vec<String> {
    let mut metrics = Vec::new();
    for aggregation in AGGREGATIONS {
        let key = if aggregation == "COUNT" { Value::Null } else { json!("n") };
        let body = json!({
            "name": aggregation, "aggregation_type": aggregation, "aggregation_key": key,
            "property_filters": [
                { "name": "zone", "exists": true }, { "name": "user", "exists": true }, { "name": "n" },
            ],
            "group_keys": [["zone"], ["zone", "user"]],
        });
        metrics.push(api.post("/v1/billable-metrics/create", body).await.id());
    }
    metrics
}

/// Events `first..last` of a fixed row of them: two names of one customer and one of another, several in one hour, some
/// without a number, some that repeat one before, and later ones in zones that no earlier one has.
fn events(range: std::ops::Range<u64>) -> Value {
    let event = |number: u64| {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let id = if number % 11 == 10 { number - 7 } else { number };
        let subject = ["acme", "acme-eu", "other"][usize::try_from(mixed % 3).expect("small")];
        let n = match mixed % 7 {
            0 => json!("none"),
            other => json!(format!("{}.{other}", mixed % 13)),
        };
        json!({
            "transaction_id": format!("t{id}"), "customer_id": subject, "event_type": "use",
            "timestamp": format!("2026-03-0{}T{:02}:{:02}:00Z", 5 + mixed % 3, mixed % 4 + 9, mixed % 60),
            "properties": { "zone": format!("z{}", mixed % 2 + number / 20), "user": format!("u{}", mixed % 5), "n": n },
        })
    };
    range.map(event).collect()
}

/// Nobody can write rollups until it ends.
async fn hold_rollups(api: &Api) -> Transaction<'static, Postgres> {
    let mut held = api.app.db.begin().await.expect("a transaction");
    let patient = "SET LOCAL idle_in_transaction_session_timeout = 0";
    sqlx::query(patient).execute(&mut *held).await.expect("a setting");
    sqlx::query("LOCK TABLE usage_rollup IN SHARE MODE").execute(&mut *held).await.expect("a lock");
    held
}

/// The rows of a question, by pages.
async fn walk(api: &Api, path: &str, body: &Value) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.post(&format!("{path}next_page={cursor}"), body.clone()).await;
        assert_eq!(page.status, 200, "{path} {body}: {}", page.body);
        rows.extend(page.body["data"].as_array().expect("rows").iter().cloned());
        match page.body["next_page"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return rows,
        }
    }
}

/// The answers to questions of every kind.
async fn answers(api: &Api, customers: &[String; 2], metrics: &[String]) -> Vec<Vec<Value>> {
    let (from, to) = ("2026-03-05T00:00:00Z", "2026-03-08T00:00:00Z");
    let mut answers = Vec::new();
    for window in ["NONE", "DAY", "HOUR"] {
        for by in
            [json!(null), json!({ "key": "zone" }), json!({ "key": "zone", "values": ["z1", "z3", "z99"] })]
        {
            let asked: Vec<Value> =
                metrics.iter().map(|id| json!({ "id": id, "group_by": by.clone() })).collect();
            let body = json!({
                "customer_ids": customers, "billable_metrics": asked, "window_size": window, "starting_on": from,
                "ending_before": to,
            });
            answers.push(walk(api, "/v1/usage?", &body).await);
        }
        for metric in metrics {
            let body = |key: Value, filters: Value| {
                json!({
                    "customer_id": customers[0], "billable_metric_id": metric, "window_size": window,
                    "starting_on": from, "ending_before": to, "group_key": key, "group_filters": filters,
                })
            };
            for body in [
                body(json!(null), json!({})),
                body(json!(["zone"]), json!({})),
                body(json!(["user", "zone"]), json!({})),
                body(json!(["zone", "user"]), json!({ "zone": ["z2"] })),
            ] {
                answers.push(walk(api, "/v1/usage/groups?limit=3&", &body).await);
            }
        }
        for metric in &metrics[1..] {
            let body = json!({
                "customer_id": customers[0], "seat_metric_id": metric, "usage_type": "latest", "window_size": window,
                "starting_on": from, "ending_before": to,
            });
            answers.push(walk(api, "/v1/usage/seats?", &body).await);
        }
    }
    answers
}

#[tokio::test]
async fn what_is_not_counted_yet_is_read_as_if_it_were() {
    let api = Api::at(NOW).await;
    let customers = [api.customer("acme").await, api.customer("other").await];
    let set = json!({ "ingest_aliases": ["acme", "acme-eu"] });
    api.post(&format!("/v1/customers/{}/setIngestAliases", customers[0]), set).await;
    let metrics = metrics(&api).await;
    api.events(events(0..30)).await;
    let environments = list_environments(&mut api.app.db.acquire().await.expect("a connection")).await;
    let sandbox =
        environments.expect("environments").into_iter().find(|it| it.kind == EnvironmentKind::Sandbox);
    let sandbox = sandbox.expect("a sandbox").id;
    begin_usage_snapshot(&api.app.db, sandbox).await.expect("everything is counted");

    let held = hold_rollups(&api).await;
    for start in [30, 70, 110] {
        api.events(events(start..start + 40)).await;
    }
    let here = answers(&api, &customers, &metrics).await;
    // Another process has none of the events in memory.
    let there = answers(&api.replica(), &customers, &metrics).await;
    assert_eq!(api.number("SELECT count(*) FROM rollup_pending").await, 3);
    held.rollback().await.expect("the lock is gone");

    begin_usage_snapshot(&api.app.db, sandbox).await.expect("everything is counted");
    assert_eq!(api.number("SELECT count(*) FROM rollup_pending").await, 0);
    let counted = answers(&api, &customers, &metrics).await;
    for (index, counted) in counted.iter().enumerate() {
        assert_eq!((&here[index], &there[index]), (counted, counted), "question {index}");
    }
    let rows: usize = counted.iter().map(Vec::len).sum();
    let values = counted.iter().flatten().filter(|row| !row["value"].is_null()).count();
    assert!((rows, values) > (500, 300), "{rows} rows, {values} with a value");
    assert_eq!(verify_rollups(&api.app.db, sandbox).await.expect("a recount").len(), 0);
}

/// What of a snapshot's events cannot be read any more is an error, and never left out.
#[tokio::test]
async fn usage_is_not_told_without_a_batch_that_is_gone() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acme").await;
    let metrics = metrics(&api).await;
    let query = json!({ "name": "q", "sql": "SELECT count(*) AS value FROM events" });
    let query = api.post("/v1/billable-metrics/create", query).await.id();
    api.events(events(0..10)).await;
    api.sql("DELETE FROM event_batch").await;
    let replica = api.replica();
    for metric in [&metrics[0], &query] {
        let body = json!({
            "customer_id": customer, "billable_metric_id": metric, "window_size": "NONE",
            "starting_on": "2026-03-05T00:00:00Z", "ending_before": "2026-03-08T00:00:00Z",
        });
        let answer = replica.post("/v1/usage/groups", body).await;
        assert_eq!(answer.status, 500, "{}", answer.body);
    }
}

/// The customer's usage of each metric by the day.
async fn by_day(api: &Api, customer: &str, metrics: &[String]) -> Vec<Value> {
    let metrics: Vec<Value> = metrics.iter().map(|id| json!({ "id": id })).collect();
    let body = json!({
        "customer_ids": [customer], "billable_metrics": metrics, "window_size": "DAY",
        "starting_on": "2026-03-05T00:00:00Z", "ending_before": "2026-03-08T00:00:00Z",
    });
    walk(api, "/v1/usage?", &body).await
}

/// A reader looks through what is pending; where that is too much it is counted first.
#[tokio::test]
async fn a_long_queue_is_read_and_counted_once() {
    const LOOKED_THROUGH: u64 = 4000;
    let api = Api::at(NOW).await;
    let customer = api.customer("acme").await;
    let metrics = metrics(&api).await;
    let held = hold_rollups(&api).await;
    for number in 0..LOOKED_THROUGH {
        api.events(events(number..number + 1)).await;
    }
    let in_time = Duration::from_secs(5);
    let here = timeout(in_time, by_day(&api, &customer, &metrics)).await.expect("a reader waits for nobody");
    let there = by_day(&api.replica(), &customer, &metrics).await;
    assert_eq!(api.number("SELECT count(*) FROM rollup_pending").await, 4000, "nobody counted them");

    // Of nobody who is asked about, but one too many.
    api.events(events(LOOKED_THROUGH..LOOKED_THROUGH + 1)).await;
    let reading = timeout(in_time, by_day(&api, &customer, &metrics));
    assert!(reading.await.is_err(), "the reader counts them first");
    held.rollback().await.expect("the lock is gone");
    let counted = by_day(&api, &customer, &metrics).await;
    assert_eq!((&here, &there), (&counted, &counted));
    let values = counted.iter().filter(|row| !row["value"].is_null()).count();
    assert_eq!((counted.len(), values), (15, 5), "its events are of one day");
    let environments = list_environments(&mut api.app.db.acquire().await.expect("a connection")).await;
    for environment in environments.expect("environments") {
        assert_eq!(verify_rollups(&api.app.db, environment.id).await.expect("a recount").len(), 0);
    }
}
