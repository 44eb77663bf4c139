//! A metric may count what came before it.

use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, find_environment};
use upbeat::event::upkeep;
use upbeat::usage::verify_rollups;

use crate::support::{Api, Metric};
use crate::world::refuse;

async fn sum(api: &Api, customer: &str, metric: &str) -> Value {
    let body = json!({
        "customer_ids": [customer], "window_size": "NONE", "billable_metrics": [{ "id": metric }],
        "starting_on": "2026-01-01T00:00:00Z", "ending_before": "2027-01-01T00:00:00Z",
    });
    api.post("/v1/usage", body).await.data()[0]["value"].clone()
}

async fn reflow(api: &Api, metric: &str, starting_at: &str) -> (String, i64) {
    let path = format!("/v1/upbeat/billable-metrics/{metric}/reflow");
    let answer = api.post(&path, json!({ "starting_at": starting_at })).await.data();
    assert_eq!(answer["billable_metric_id"], json!(metric));
    let from = answer["starting_at"].as_str().expect("an instant").to_owned();
    (from, answer["event_count"].as_i64().expect("a count"))
}

async fn agrees(api: &Api) {
    let mut db = api.app.db.acquire().await.expect("a connection");
    let sandbox = find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    drop(db);
    let differences = verify_rollups(&api.app.db, sandbox.id).await;
    assert!(differences.as_ref().is_ok_and(Vec::is_empty), "{differences:?}");
}

#[tokio::test]
async fn a_metric_counts_earlier_events_from_the_instant_that_is_asked_for() {
    let api = Api::at("2026-03-09T00:00:00Z").await;
    let customer = api.customer("acct").await;
    for day in 1..=8 {
        api.event("acct", &format!("2026-03-0{day}T12:30:00Z"), json!({ "n": 10_i64.pow(day - 1) })).await;
    }
    // Half of the events are in segments by now.
    let mut db = api.app.db.acquire().await.expect("a connection");
    let sandbox = find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    drop(db);
    upkeep(&api.app, &sandbox).await.expect("in order");
    for day in 1..=8 {
        api.event("acct", &format!("2026-03-0{day}T12:45:00Z"), json!({ "n": 10_i64.pow(day - 1) })).await;
    }
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    let other = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    api.event("acct", "2026-03-01T00:00:00Z", json!({ "n": 5 })).await;
    assert_eq!(sum(&api, &customer, &metric).await, json!(5));

    assert_eq!(reflow(&api, &metric, "2026-03-06T12:40:00Z").await, ("2026-03-06T12:40:00Z".to_owned(), 5));
    assert_eq!(
        sum(&api, &customer, &metric).await,
        json!(22_100_005),
        "one of the sixth day, two of later ones"
    );
    assert_eq!(reflow(&api, &metric, "2026-03-06T12:40:00Z").await.1, 0, "asking again changes nothing");
    let later = reflow(&api, &metric, "2026-03-08T00:00:00Z").await;
    assert_eq!(later, ("2026-03-06T12:40:00Z".to_owned(), 0), "a later instant takes nothing back");
    assert_eq!(reflow(&api, &metric, "2026-01-01T00:00:00Z").await.1, 11);
    assert_eq!(sum(&api, &customer, &metric).await, json!(22_222_227));
    assert_eq!(sum(&api, &customer, &other).await, json!(1), "other metrics stay");
    agrees(&api).await;

    api.event("acct", "2026-03-02T00:00:00Z", json!({ "n": 1 })).await;
    assert_eq!(sum(&api, &customer, &metric).await, json!(22_222_228));
    agrees(&api).await;
}

#[tokio::test]
async fn drafts_change_and_final_invoices_stay() {
    let api = Api::at("2026-02-20T00:00:00Z").await;
    let customer = api.customer("acct").await;
    api.event("acct", "2026-02-19T12:00:00Z", json!({ "n": 3 })).await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    let product = api.product("Units", &metric, json!({})).await;
    let rates = api.rate_card().await;
    api.flat(&rates, &product, "2026-01-01T00:00:00Z", "2", json!({})).await;
    api.contract(&customer, &rates, "2026-02-01T00:00:00Z", json!({})).await;
    api.event("acct", "2026-02-20T00:00:00Z", json!({ "n": 100 })).await;
    api.move_clock("2026-03-10T00:00:00Z").await;
    assert_eq!(api.invoice(&customer, "2026-02-01").await["total"], json!(200));
    reflow(&api, &metric, "2026-02-01T00:00:00Z").await;
    assert_eq!(sum(&api, &customer, &metric).await, json!(103));
    assert_eq!(api.invoice(&customer, "2026-02-01").await["total"], json!(200), "it is final");
    let invoices = upbeat::invoice::verify_invoices(&api.app.db, sandbox(&api).await).await;
    assert!(invoices.expect("verified").1.is_empty(), "what was final then follows from what was known then");
    agrees(&api).await;
}

async fn sandbox(api: &Api) -> upbeat::id::EnvironmentId {
    let mut db = api.app.db.acquire().await.expect("a connection");
    find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox").id
}

#[tokio::test]
async fn rows_that_somebody_counts_into_are_waited_for() {
    let api = Api::at("2026-03-09T00:00:00Z").await;
    let customer = api.customer("acct").await;
    api.event("acct", "2026-03-01T12:30:00Z", json!({ "n": 1 })).await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    api.event("acct", "2026-03-01T12:45:00Z", json!({ "n": 10 })).await;
    agrees(&api).await;
    let mut counting = api.app.db.begin().await.expect("a transaction");
    let held = sqlx::raw_sql("SELECT FROM usage_rollup FOR UPDATE").fetch_all(&mut *counting).await;
    assert_eq!(held.expect("the rows").len(), 1);
    let (waiting, metric_id) = (api.clone(), metric.clone());
    let reflowed = tokio::spawn(async move { reflow(&waiting, &metric_id, "2026-03-01T00:00:00Z").await });
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert!(!reflowed.is_finished());
    counting.rollback().await.expect("the rows are free");
    assert_eq!(reflowed.await.expect("an answer").1, 1);
    assert_eq!(sum(&api, &customer, &metric).await, json!(11));
    agrees(&api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reflows_beside_arriving_events_count_each_once() {
    let api = Api::at("2026-03-09T00:00:00Z").await;
    let customer = api.customer("acct").await;
    let event = |number: u32| {
        json!([{
            "transaction_id": format!("t{number}"), "customer_id": "acct", "event_type": "use",
            "timestamp": format!("2026-03-0{}T12:00:00Z", 1 + number % 8), "properties": { "n": 1 },
        }])
    };
    for number in 0..20 {
        api.events(event(number)).await;
    }
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    let sender = {
        let api = api.clone();
        tokio::spawn(async move {
            for number in 20..120 {
                api.events(event(number)).await;
            }
        })
    };
    let reflows = (0..6).map(|number| {
        let (api, metric) = (api.clone(), metric.clone());
        tokio::spawn(
            async move { reflow(&api, &metric, &format!("2026-03-0{}T00:00:00Z", 6 - number)).await.1 },
        )
    });
    let reflows: Vec<_> = reflows.collect();
    let mut applied = 0;
    for reflow in reflows {
        applied += reflow.await.expect("an answer");
    }
    sender.await.expect("all are kept");
    assert_eq!(applied, 20, "each earlier event was added by one of them");
    assert_eq!(sum(&api, &customer, &metric).await, json!(120));
    agrees(&api).await;
}

#[tokio::test]
async fn what_cannot_be_applied_is_refused() {
    let api = Api::at("2026-03-09T00:00:00Z").await;
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let path = format!("/v1/upbeat/billable-metrics/{metric}/reflow");
    let bodies = vec![
        (json!({}), "`starting_at`"),
        (json!({ "starting_at": "yesterday" }), "starting_at"),
        (json!({ "starting_at": null }), "starting_at"),
    ];
    refuse(&api, &path, bodies).await;
    let since = json!({ "starting_at": "2026-03-01T00:00:00Z" });
    let unknown = format!("/v1/upbeat/billable-metrics/{}/reflow", uuid::Uuid::nil());
    api.post(&unknown, since.clone()).await.refused(404, &["billable metric"]);
    api.post("/v1/billable-metrics/archive", json!({ "id": metric })).await.id();
    api.post(&path, since).await.refused(400, &["archived"]);
}
