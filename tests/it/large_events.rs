//! Events of megabytes, which fill the memory long before their number says so.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use upbeat::access::{Environment, EnvironmentKind, find_environment};
use upbeat::event::upkeep;
use upbeat::usage::verify_rollups;

use crate::support::Api;

const NOW: &str = "2026-03-10T12:00:00Z";
const LENGTH: usize = 6_000_000;

async fn send(api: &Api, number: u32) {
    let event = json!([{
        "transaction_id": format!("t{number}"), "customer_id": "acct", "event_type": "use", "timestamp": NOW,
        "properties": { "n": 1_u64 << number, "text": "?" },
    }]);
    let body = event.to_string().replace('?', &"e".repeat(LENGTH));
    let answer = api.send(Method::POST, "/v1/ingest", Body::from(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

async fn environment(api: &Api) -> Environment {
    let mut db = api.app.db.acquire().await.expect("a connection");
    find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_are_made_and_merged_of_as_many_as_the_memory_takes() {
    let api = Api::at(NOW).await;
    let sandbox = environment(&api).await;
    let metric = json!({ "name": "query", "sql": "SELECT SUM(properties.n) AS value FROM events" });
    let metric = api.post("/v1/billable-metrics/create", metric).await.id();
    let customer = api.customer("acct").await;
    let holds = async |events: u32| {
        assert_eq!(api.number("SELECT count(*) FROM segment_pending").await, 0);
        assert_eq!(api.number("SELECT sum(event_count) FROM event_segment").await, i64::from(events));
        let body = json!({
            "customer_ids": [customer], "billable_metrics": [{ "id": metric }], "window_size": "NONE",
            "starting_on": "2026-03-10T00:00:00Z", "ending_before": "2026-03-11T00:00:00Z",
        });
        let sum = api.post("/v1/usage", body).await.data()[0]["value"].clone();
        assert_eq!(sum, json!((1_u64 << events) - 1), "each event is there once");
    };
    // Each in a segment of its own, until there are many.
    for number in 0..9 {
        send(&api, number).await;
        upkeep(&api.app, &sandbox).await.expect("in order");
    }
    holds(9).await;
    assert_eq!(api.number("SELECT count(*) FROM event_segment").await, 2, "eight are one");
    // More than are unpacked at once.
    for number in 9..22 {
        send(&api, number).await;
    }
    upkeep(&api.app, &sandbox).await.expect("in order");
    holds(22).await;
    let found: Value = api.post("/v1/events/search", json!({ "transactionIds": ["t3", "t21"] })).await.body;
    assert_eq!(found.as_array().map(Vec::len), Some(2));
    let differences = verify_rollups(&api.app.db, sandbox.id).await;
    assert!(differences.as_ref().is_ok_and(Vec::is_empty), "{differences:?}");
}
