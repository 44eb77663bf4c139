//! More events at once than may wait.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use upbeat::access::{EnvironmentKind, Settings, find_environment};
use upbeat::postgres::hold_arrivals;
use upbeat::usage::verify_rollups;

use crate::support::{Answer, Api, Metric};

const NOW: &str = "2026-03-10T12:00:00Z";

/// Of nine requests of this length six find room, as the queue takes 64 MiB.
const LENGTH: usize = 10_000_000;

/// Sends an event that counts, and one that only takes room.
async fn send(api: &Api, number: u32) -> Answer {
    let event = |id: String, event_type: &str, properties: Value| {
        json!({
            "transaction_id": id, "customer_id": "acct", "event_type": event_type, "timestamp": NOW,
            "properties": properties,
        })
    };
    let counts = event(format!("t{number}"), "use", json!({ "n": 1_i64 << number }));
    let long = event(format!("long {number}"), "note", json!({ "text": "?" })).to_string();
    let body = format!("[{counts},{}]", long.replace('?', &"e".repeat(LENGTH)));
    api.send(Method::POST, "/v1/ingest", Body::from(body)).await
}

/// Which of the events that count are found, and whether each is a repeat.
async fn found(api: &Api) -> Vec<(String, bool)> {
    let ids: Vec<String> = (0..9).map(|number| format!("t{number}")).collect();
    let answer = api.post("/v1/events/search", json!({ "transactionIds": ids })).await;
    let found = |event: &Value| {
        let id = event["transaction_id"].as_str().expect("an id");
        (id.to_owned(), event["is_duplicate"].as_bool().expect("true or false"))
    };
    answer.body.as_array().expect("a list").iter().map(found).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_finds_the_queue_full_is_refused_as_a_whole_and_taken_when_it_comes_again() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    let customer = api.customer("acct").await;
    let sum = async || {
        let body = json!({
            "customer_ids": [customer], "billable_metrics": [{ "id": metric }], "window_size": "NONE",
            "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z",
        });
        api.post("/v1/usage", body).await.data()[0]["value"].clone()
    };
    // Its bodies always find room.
    let server = api.replica_with(Settings { body_room_bytes: 1 << 30, ..Settings::default() });
    let mut held = api.app.db.begin().await.expect("a transaction");
    let sandbox = find_environment(&mut held, EnvironmentKind::Sandbox).await.expect("the sandbox").id;
    hold_arrivals(&mut held, sandbox).await.expect("the lock");
    let mut running = JoinSet::new();
    for number in 0..9 {
        let server = server.clone();
        running.spawn(async move { (number, send(&server, number).await) });
    }
    // Until the lock is free, nobody is answered who waits.
    let mut refused = Vec::new();
    while refused.len() < 3 {
        let (number, answer) = running.join_next().await.expect("a request").expect("an answer");
        answer.refused(429, &["more requests waiting than it can hold", "again later"]);
        assert_eq!(answer.header("retry-after"), "1");
        refused.push(number);
    }
    assert_eq!(server.get("/v1/customers").await.status, 200, "reads go on");
    held.rollback().await.expect("the lock is free");
    let mut kept = Vec::new();
    for (number, answer) in running.join_all().await {
        assert_eq!(answer.status, 200, "{number}: {}", answer.body);
        kept.push(number);
    }
    kept.sort_unstable();
    let once: Vec<(String, bool)> = kept.iter().map(|number| (format!("t{number}"), false)).collect();
    assert_eq!((once.len(), found(&api).await), (6, once));
    assert_eq!(api.number("SELECT count(*) FROM event_key").await, 12);
    assert_eq!(api.number("SELECT sum(event_count) FROM event_batch").await, 12);
    assert_eq!(sum().await, json!(kept.iter().map(|number| 1_i64 << number).sum::<i64>()));

    for number in refused.iter().chain(&kept[..1]) {
        let answer = send(&server, *number).await;
        assert_eq!(answer.status, 200, "{number}: {}", answer.body);
    }
    let mut times: Vec<(String, bool)> = (0..9).map(|number| (format!("t{number}"), false)).collect();
    times.push((format!("t{}", kept[0]), true));
    times.sort();
    assert_eq!(found(&api).await, times);
    assert_eq!(api.number("SELECT sum(event_count) FROM event_batch").await, 20);
    assert_eq!(sum().await, json!(511));
    let differences = verify_rollups(&api.app.db, sandbox).await;
    assert!(differences.as_ref().is_ok_and(Vec::is_empty), "{differences:?}");
}
