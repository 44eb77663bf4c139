//! Finding events by their transaction id.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use upbeat::access::{self, EnvironmentKind, Role};
use upbeat::postgres::hold_arrivals;

use crate::support::{Answer, Api, Metric};
use crate::world::{refuse, with};

const SEARCH: &str = "/v1/events/search";
const NOW: &str = "2026-03-10T12:00:00Z";

/// Each search goes through a replica of its own, which has its own count of the rate limit.
async fn answer(api: &Api, ids: &[&str]) -> Answer {
    api.replica().post(SEARCH, json!({ "transactionIds": ids })).await
}

async fn search(api: &Api, ids: &[&str]) -> Vec<Value> {
    let answer = answer(api, ids).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body.as_array().expect("a bare list").clone()
}

fn event(id: &str, subject: &str, timestamp: &str) -> Value {
    json!({ "transaction_id": id, "customer_id": subject, "event_type": "use", "timestamp": timestamp })
}

/// One member of each event.
fn all<'a>(events: &'a [Value], member: &str) -> Vec<&'a Value> {
    events.iter().map(|event| &event[member]).collect()
}

#[tokio::test]
async fn an_event_is_shown_with_what_it_matched() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["zone"] }).await;
    let customer = api.customer("acme").await;
    let body = r#"[{"transaction_id":"t1","customer_id":"acme","event_type":"use",
        "timestamp":"2026-03-10T12:30:00.25+02:00","properties":{"n": 0.10, "zone":"fra","deep":{"a": [1.0, null]}}}]"#;
    api.send(Method::POST, "/v1/ingest", Body::from(body)).await;
    let found = search(&api, &["t1"]).await;
    let shown = api.get(&format!("/v1/billable-metrics/{metric}")).await.data();
    let expected = json!({
        "id": found[0]["id"], "transaction_id": "t1", "customer_id": "acme", "event_type": "use",
        "timestamp": "2026-03-10T10:30:00.250Z", "processed_at": NOW, "is_duplicate": false,
        "properties": found[0]["properties"],
        "matched_customer": { "id": customer, "name": "acme" }, "matched_billable_metrics": [shown],
    });
    assert_eq!(found, [expected]);
    assert_eq!(found[0]["properties"].to_string(), r#"{"deep":{"a":[1.0,null]},"n":0.10,"zone":"fra"}"#);
    assert!(found[0]["id"].as_str().is_some_and(|id| id.len() == 36));
    assert_eq!(search(&api, &["t1"]).await, found, "the same at every search, also its id");
}

#[tokio::test]
async fn an_event_that_nobody_and_nothing_takes_is_shown_so() {
    let api = Api::at(NOW).await;
    api.events(json!([event("t1", "nobody", NOW)])).await;
    let found = search(&api, &["t1", "unknown"]).await;
    let expected = json!([{
        "id": found[0]["id"], "transaction_id": "t1", "customer_id": "nobody", "event_type": "use", "timestamp": NOW,
        "processed_at": NOW, "is_duplicate": false, "properties": {}, "matched_billable_metrics": [],
    }]);
    assert_eq!(Value::from(found), expected);
    assert_eq!(search(&api, &["unknown", "", &"x".repeat(500)]).await, [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_of_a_large_flush_are_found_whichever_batch_they_are_in() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let customer = api.customer("acme").await;
    let environments =
        access::list_environments(&mut api.app.db.acquire().await.expect("a connection")).await;
    let mut held = api.app.db.begin().await.expect("a transaction");
    for environment in environments.expect("a list") {
        hold_arrivals(&mut held, environment.id).await.expect("the lock");
    }
    let mut requests = JoinSet::new();
    for request in 0..30 {
        // The last one repeats the one before it.
        let first = 100 * request.min(28);
        let events = (first..first + 100).map(|number| event(&format!("t{number}"), "acme", NOW));
        let (api, events) = (api.clone(), events.collect::<Value>());
        requests.spawn(async move { api.post("/v1/ingest", events).await.status });
    }
    // Flushes are under way, and the other requests wait to be one.
    api.until_waiting(3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    held.rollback().await.expect("the lock is free");
    assert!(requests.join_all().await.iter().all(|status| *status == 200));
    assert!(api.number("SELECT count(*) FROM event_batch WHERE event_count = 500").await >= 2);
    assert_eq!(api.number("SELECT count(*) FROM event_key").await, 2900);
    let usage = json!({
        "customer_ids": [customer], "billable_metrics": [{ "id": metric }], "window_size": "NONE",
        "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z",
    });
    assert_eq!(api.post("/v1/usage", usage).await.data()[0]["value"], json!(2900));

    let ids: Vec<String> = (0..2900).step_by(29).map(|number| format!("t{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut times = 0;
    for ids in ids.chunks(10) {
        let found = search(&api, ids).await;
        let originals = found.iter().filter(|event| event["is_duplicate"] == json!(false));
        let originals: Vec<&str> = originals.filter_map(|event| event["transaction_id"].as_str()).collect();
        assert_eq!(originals, ids);
        times += found.len();
    }
    let repeated = ids.iter().filter(|id| id[1..].parse::<u32>().expect("a number") >= 2800).count();
    assert_eq!(times, ids.len() + repeated);
}

#[tokio::test]
async fn repeats_follow_their_original_and_match_nothing() {
    let api = Api::at(NOW).await;
    api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    api.customer("acme").await;
    let properties = |n: i32| json!({ "n": n });
    let numbered = |n: i32, subject: &str| with(&event("t", subject, NOW), "/properties", properties(n));
    api.events(json!([numbered(1, "acme"), numbered(2, "acme")])).await;
    api.move_clock("2026-03-10T13:00:00Z").await;
    api.events(json!([numbered(3, "other"), event("u", "acme", NOW)])).await;
    api.move_clock("2026-03-10T14:00:00Z").await;
    api.events(json!([numbered(4, "acme")])).await;
    let found = search(&api, &["u", "t"]).await;
    assert_eq!(all(&found, "transaction_id"), ["u", "t", "t", "t", "t"], "in the order of the request");
    assert_eq!(all(&found[1..], "properties"), [1, 2, 3, 4].map(properties).iter().collect::<Vec<_>>());
    assert_eq!(all(&found, "is_duplicate"), [false, false, true, true, true]);
    assert_eq!(all(&found[1..], "customer_id"), ["acme", "acme", "other", "acme"]);
    let times = [NOW, NOW, "2026-03-10T13:00:00Z", "2026-03-10T14:00:00Z"];
    assert_eq!(all(&found[1..], "processed_at"), times);
    for event in &found {
        let is_original = event["is_duplicate"] == json!(false);
        for member in ["matched_customer", "matched_billable_metrics"] {
            assert_eq!(event.get(member).is_some(), is_original, "{member}: {event}");
        }
    }
    let mut ids: Vec<String> = all(&found, "id").into_iter().map(Value::to_string).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5, "each has an id of its own");
    assert_eq!(search(&api, &["t", "u", "t"]).await.len(), 5, "an id that is named twice is found once");
}

#[tokio::test]
async fn events_of_the_last_34_days_are_found() {
    let api = Api::at("2026-03-10T00:00:00Z").await;
    api.events(json!([
        event("old", "acme", "2026-02-04T00:00:00Z"),
        event("young", "acme", "2026-02-04T00:00:01Z"),
        event("ahead", "acme", "2026-03-11T00:00:00Z"),
    ]))
    .await;
    let ids = ["old", "young", "ahead"];
    assert_eq!(all(&search(&api, &ids).await, "transaction_id"), ids, "34 days old and a day ahead");
    api.events(json!([event("young", "acme", "2026-02-04T00:00:00Z")])).await;
    api.move_clock("2026-03-10T00:00:01Z").await;
    let found = search(&api, &ids).await;
    assert_eq!(
        all(&found, "transaction_id"),
        ["young", "ahead"],
        "a second later; the repeat by its own timestamp"
    );
    assert_eq!(all(&found, "is_duplicate"), [false, false]);
    api.move_clock("2026-03-10T00:00:02Z").await;
    assert_eq!(all(&search(&api, &ids).await, "transaction_id"), ["ahead"]);
}

#[tokio::test]
async fn an_id_that_was_used_again_shows_its_new_event() {
    let api = Api::at(NOW).await;
    api.events(json!([event("t", "first", NOW)])).await;
    api.move_clock("2026-04-13T12:00:01Z").await;
    api.events(json!([event("t", "second", "2026-04-13T12:00:00Z")])).await;
    api.events(json!([event("t", "third", "2026-04-13T12:00:00Z")])).await;
    let found = search(&api, &["t"]).await;
    assert_eq!(all(&found, "customer_id"), ["second", "third"]);
    assert_eq!(all(&found, "is_duplicate"), [false, true]);
}

#[tokio::test]
async fn the_customer_is_the_one_that_the_subject_means_now() {
    let api = Api::at(NOW).await;
    let (x, y) = (api.customer("x").await, api.customer("y").await);
    let upper = x.to_uppercase();
    let mixed = format!("{}{}", &upper[..18], &x[18..]);
    assert!(mixed != upper && mixed != x, "ids have letters on both sides");
    let subjects = [x.as_str(), upper.as_str(), mixed.as_str(), "x", "X", "y", "z"];
    let ids: Vec<String> = (0..subjects.len()).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for (id, subject) in ids.iter().zip(subjects) {
        api.events(json!([event(id, subject, NOW)])).await;
    }
    let owners = async || -> Vec<Value> {
        let found = search(&api, &ids).await;
        found.iter().map(|event| event["matched_customer"]["name"].clone()).collect()
    };
    let nobody = Value::Null;
    assert_eq!(
        owners().await,
        [json!("x"), json!("x"), nobody.clone(), json!("x"), nobody.clone(), json!("y"), nobody]
    );
    for (customer, aliases) in [(&x, json!([])), (&y, json!(["z", "x", "X"]))] {
        let path = format!("/v1/customers/{customer}/setIngestAliases");
        assert_eq!(api.post(&path, json!({ "ingest_aliases": aliases })).await.status, 200);
    }
    let nobody = Value::Null;
    let expected = [json!("x"), json!("x"), nobody.clone(), json!("y"), json!("y"), nobody, json!("y")];
    assert_eq!(owners().await, expected, "an alias takes its past events along");
    for customer in [&x, &y] {
        api.post("/v1/customers/archive", json!({ "id": customer })).await.id();
    }
    assert_eq!(owners().await, expected, "archived customers are matched");
}

#[tokio::test]
async fn every_active_metric_whose_filters_pass_is_listed() {
    let api = Api::at(NOW).await;
    let make = async |name: &str, more: Value| {
        let mut body = json!({ "name": name, "aggregation_type": "COUNT" });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        api.post("/v1/billable-metrics/create", body).await.id()
    };
    make("all", json!({})).await;
    make("calls", json!({ "event_type_filter": { "in_values": ["call"] } })).await;
    make("eu", json!({ "property_filters": [{ "name": "region", "in_values": ["eu"] }] })).await;
    make("us", json!({ "property_filters": [{ "name": "region", "in_values": ["us"] }] })).await;
    let archived = make("archived", json!({})).await;
    api.product("uses it", &archived, json!({})).await;
    api.post("/v1/billable-metrics/archive", json!({ "id": archived })).await.id();
    api.events(json!([with(&event("t", "nobody", NOW), "/properties", json!({ "region": "eu" }))])).await;
    make("late", json!({})).await;
    let found = search(&api, &["t"]).await;
    let metrics = found[0]["matched_billable_metrics"].as_array().expect("metrics");
    assert_eq!(all(metrics, "name"), ["late", "eu", "all"], "newest first, like their list");
    let listed = api.get("/v1/billable-metrics").await.data();
    for metric in metrics {
        assert!(listed.as_array().is_some_and(|listed| listed.contains(metric)), "in full: {metric}");
    }
}

#[tokio::test]
async fn of_one_id_a_thousand_repeats_are_shown() {
    let api = Api::at(NOW).await;
    let batch: Vec<Value> = (0..100).map(|_| event("t", "acme", NOW)).collect();
    for _ in 0..11 {
        api.events(json!(batch)).await;
    }
    let found = search(&api, &["t"]).await;
    assert_eq!(found.len(), 1001);
    assert_eq!(found.iter().filter(|event| event["is_duplicate"] == json!(false)).count(), 1);
    assert_eq!(found[0]["is_duplicate"], json!(false));
}

#[tokio::test]
async fn an_environment_finds_its_own_events() {
    let sandbox = Api::new().await;
    let production = sandbox.with_token(EnvironmentKind::Production, Role::Admin).await;
    let now = sandbox.app.clock.now().to_rfc3339();
    let customer = sandbox.customer("acme").await;
    sandbox.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    sandbox
        .events(json!([event("t", "acme", &now), event("t", "acme", &now), event("u", &customer, &now)]))
        .await;
    assert_eq!(search(&production, &["t", "u"]).await, [Value::Null; 0]);
    production.events(json!([event("t", "acme", &now), event("u", &customer, &now)])).await;
    let found = search(&production, &["t", "u"]).await;
    assert_eq!(all(&found, "is_duplicate"), [false, false]);
    for event in &found {
        assert_eq!((event.get("matched_customer"), &event["matched_billable_metrics"]), (None, &json!([])));
    }
    let ids =
        |events: &[Value]| -> Vec<String> { events.iter().map(|event| event["id"].to_string()).collect() };
    let of_sandbox = search(&sandbox, &["t", "u"]).await;
    assert_eq!(of_sandbox.len(), 3);
    assert!(ids(&of_sandbox).iter().all(|id| !ids(&found).contains(id)));
    let reader = sandbox.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    assert_eq!(answer(&reader, &["t", "u"]).await.body, json!(of_sandbox), "a reader may search");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let api = Api::at(NOW).await;
    let many = |count: usize| -> Vec<String> { (0..count).map(|number| number.to_string()).collect() };
    let cases = [
        (json!({}), "transactionIds"),
        (json!({ "transaction_ids": ["t"] }), "missing field `transactionIds`"),
        (json!({ "transactionIds": null }), "transactionIds:"),
        (json!({ "transactionIds": "t" }), "transactionIds:"),
        (json!({ "transactionIds": [7] }), "transactionIds[0]:"),
        (json!({ "transactionIds": [] }), "transactionIds: must hold 1 to 100"),
        (json!({ "transactionIds": many(101) }), "transactionIds: must hold 1 to 100"),
    ];
    for case in cases {
        refuse(&api.replica(), SEARCH, vec![case]).await;
    }
    let hundred = many(100);
    let hundred: Vec<&str> = hundred.iter().map(String::as_str).collect();
    assert_eq!(search(&api, &hundred).await, [Value::Null; 0]);
}
