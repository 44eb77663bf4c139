//! How events are kept over time: slots of transaction ids, segments of facts, usage that is counted later.

use serde_json::{Value, json};
use upbeat::access::{Environment, EnvironmentKind, find_environment};
use upbeat::event::upkeep;
use upbeat::postgres::hold_arrivals;
use upbeat::usage::verify_rollups;

use crate::support::{Answer, Api, Metric};

/// A sandbox with a SUM of `n`, and the customer `acct`.
struct Meter {
    api: Api,
    metric: String,
    customer: String,
}

impl Meter {
    async fn at(now: &str) -> Self {
        let api = Api::at(now).await;
        let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
        let customer = api.customer("acct").await;
        Self { api, metric, customer }
    }

    async fn environment(&self) -> Environment {
        let mut db = self.api.app.db.acquire().await.expect("a connection");
        find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox")
    }

    async fn upkeep(&self) {
        upkeep(&self.api.app, &self.environment().await).await.expect("in order");
    }

    async fn send(&self, id: &str, timestamp: &str, n: i64) {
        let event = json!([{
            "transaction_id": id, "customer_id": "acct", "event_type": "use", "timestamp": timestamp,
            "properties": { "n": n },
        }]);
        assert_eq!(self.api.post("/v1/ingest", event).await.status, 200);
    }

    /// All that was ever used.
    async fn sum(&self) -> Value {
        let body = json!({
            "customer_ids": [self.customer], "window_size": "NONE", "billable_metrics": [{ "id": self.metric }],
            "starting_on": "2026-01-01T00:00:00Z", "ending_before": "2027-01-01T00:00:00Z",
        });
        self.api.post("/v1/usage", body).await.data()[0]["value"].clone()
    }

    async fn found(&self, id: &str) -> Vec<Value> {
        let answer = self.api.post("/v1/events/search", json!({ "transactionIds": [id] })).await;
        answer.body.as_array().expect("a list").clone()
    }

    async fn slots(&self) -> i64 {
        self.api.number("SELECT count(*) FROM event_slot").await
    }

    /// Rollups are what the facts add up to.
    async fn agrees(&self) {
        let differences = verify_rollups(&self.api.app.db, self.environment().await.id).await;
        assert!(differences.as_ref().is_ok_and(Vec::is_empty), "{differences:?}");
    }
}

#[tokio::test]
async fn an_id_is_held_across_sealed_slots_and_free_again_after_34_days() {
    let meter = Meter::at("2026-03-01T00:00:00Z").await;
    meter.send("early", "2026-03-01T00:00:00Z", 1).await;
    meter.send("ahead", "2026-03-02T00:00:00Z", 10).await;
    meter.upkeep().await;
    assert_eq!(meter.slots().await, 1, "a young slot stays open");

    meter.api.move_clock("2026-03-02T12:00:00Z").await;
    meter.upkeep().await;
    assert_eq!(meter.slots().await, 2, "after a day the slot is sealed");
    meter.send("early", "2026-03-02T12:00:00Z", 100).await;
    meter.send("other", "2026-03-02T12:00:00Z", 1000).await;
    assert_eq!(meter.sum().await, json!(1011));
    assert_eq!(meter.found("early").await.len(), 2, "the repeat is kept");

    // Held until the end of the 34th day after the arrival of `early`, and after the timestamp of `ahead`.
    meter.api.move_clock("2026-04-04T00:00:00Z").await;
    meter.send("early", "2026-04-04T00:00:00Z", 100).await;
    assert_eq!(meter.sum().await, json!(1011));
    meter.api.move_clock("2026-04-04T00:00:01Z").await;
    meter.send("early", "2026-04-04T00:00:00Z", 100).await;
    meter.send("early", "2026-04-04T00:00:01Z", 100).await;
    meter.send("ahead", "2026-04-04T00:00:00Z", 10_000).await;
    assert_eq!(meter.sum().await, json!(1111), "one is free and the other is not");
    meter.api.move_clock("2026-04-05T00:00:00Z").await;
    meter.send("ahead", "2026-04-05T00:00:00Z", 10_000).await;
    assert_eq!(meter.sum().await, json!(1111));
    meter.api.move_clock("2026-04-05T00:00:01Z").await;
    meter.send("ahead", "2026-04-05T00:00:00Z", 10_000).await;
    assert_eq!(meter.sum().await, json!(11_111));
    meter.agrees().await;
}

/// Sends events that wait for their arrival while the sandbox's clock is set.
async fn send_while_the_clock_is_set(meter: &Meter, event: Value, now: &str) -> Answer {
    let environment_id = meter.environment().await.id;
    let mut gate = meter.api.app.db.begin().await.expect("a transaction");
    hold_arrivals(&mut gate, environment_id).await.expect("the lock");
    let api = meter.api.clone();
    let request = tokio::spawn(async move { api.post("/v1/ingest", json!([event])).await });
    let waits = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
                 WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted";
    while meter.api.number(waits).await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let set = format!("UPDATE environment SET frozen_at = '{now}' WHERE id = '{environment_id}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *gate).await.expect("the clock");
    gate.commit().await.expect("arrivals go on");
    request.await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_that_waits_while_its_hold_ends_is_a_repeat() {
    for is_sealed in [false, true] {
        let meter = Meter::at("2026-03-01T00:00:00Z").await;
        meter.send("t", "2026-03-01T00:00:00Z", 1).await;
        meter.api.move_clock("2026-04-04T00:00:00Z").await;
        if is_sealed {
            meter.upkeep().await;
        }
        let repeat = json!({
            "transaction_id": "t", "customer_id": "acct", "event_type": "use",
            "timestamp": "2026-03-01T00:00:00Z", "properties": { "n": 1 },
        });
        let answer = send_while_the_clock_is_set(&meter, repeat.clone(), "2026-04-04T00:30:00Z").await;
        assert_eq!(answer.status, 200, "it was young enough when it came");
        assert_eq!(meter.sum().await, json!(1));
        meter.api.post("/v1/ingest", json!([repeat])).await.refused(400, &["more than 34 days"]);
        meter.send("t", "2026-04-04T00:30:00Z", 10).await;
        assert_eq!(meter.sum().await, json!(11), "the id is free again");
        meter.agrees().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_wait_while_the_clock_is_set_far_ahead_are_sent_again() {
    let meter = Meter::at("2026-03-01T00:00:00Z").await;
    meter.send("t", "2026-03-01T00:00:00Z", 1).await;
    let event = |id: &str| {
        json!({
            "transaction_id": id, "customer_id": "acct", "event_type": "use", "timestamp": "2026-03-01T00:00:00Z",
            "properties": { "n": 1 },
        })
    };
    for (id, now) in [("t", "2026-03-02T00:00:00Z"), ("u", "2026-03-03T00:00:00Z")] {
        let answer = send_while_the_clock_is_set(&meter, event(id), now).await;
        answer.refused(503, &["clock", "again"]);
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert_eq!(meter.found("t").await.len(), 1, "nothing of it was kept");
    assert_eq!(meter.found("u").await.len(), 0);
    for _ in 0..2 {
        meter.api.events(json!([event("t"), event("u")])).await;
    }
    assert_eq!(meter.sum().await, json!(2));
    meter.agrees().await;
}

#[tokio::test]
async fn a_slot_that_is_over_is_dropped_and_its_facts_stay() {
    let meter = Meter::at("2026-03-01T00:00:00Z").await;
    meter.send("a", "2026-03-01T00:00:00Z", 1).await;
    meter.api.move_clock("2026-03-03T00:00:00Z").await;
    meter.upkeep().await;
    meter.send("b", "2026-03-03T00:00:00Z", 10).await;
    meter.api.move_clock("2026-04-07T02:00:00Z").await;
    meter.upkeep().await;
    assert_eq!(meter.slots().await, 3, "35 days and two hours after it was sealed nothing is over yet");
    meter.api.move_clock("2026-04-07T02:00:01Z").await;
    meter.upkeep().await;
    assert_eq!(meter.slots().await, 2);
    assert_eq!(meter.api.number("SELECT count(*) FROM event_batch").await, 1);
    assert_eq!(meter.api.number("SELECT sum(event_count) FROM event_segment").await, 2);
    assert_eq!(meter.sum().await, json!(11));
    meter.agrees().await;
    meter.send("a", "2026-04-07T00:00:00Z", 100).await;
    assert_eq!(meter.sum().await, json!(111));
}

#[tokio::test]
async fn facts_are_in_few_segments_and_each_once() {
    let meter = Meter::at("2026-03-09T00:00:00Z").await;
    for number in 0..70_i64 {
        meter.send(&format!("t{number}"), &format!("2026-03-0{}T12:00:00Z", 1 + number % 2), 1).await;
        meter.send("repeated", "2026-03-01T00:00:00Z", 1000).await;
        if number % 3 > 0 {
            meter.upkeep().await;
        }
    }
    assert!(meter.api.number("SELECT count(*) FROM segment_pending").await > 0, "some are still to come");
    meter.agrees().await;
    meter.upkeep().await;
    meter.agrees().await;
    assert_eq!(meter.api.number("SELECT sum(event_count) FROM event_segment").await, 71);
    let segments = meter.api.number("SELECT count(*) FROM event_segment").await;
    assert!((2..20).contains(&segments), "{segments} segments of 71 events");
    assert_eq!(meter.sum().await, json!(1070));
}

#[tokio::test]
async fn an_environment_has_its_own_slots() {
    let meter = Meter::at("2026-03-01T00:00:00Z").await;
    let production = meter.api.with_token(EnvironmentKind::Production, upbeat::access::Role::Admin).await;
    meter.send("same", "2026-03-01T00:00:00Z", 1).await;
    let now = meter.api.app.clock.now().to_rfc3339();
    let event =
        json!([{ "transaction_id": "same", "customer_id": "acct", "event_type": "use", "timestamp": now }]);
    for _ in 0..2 {
        assert_eq!(production.post("/v1/ingest", event.clone()).await.status, 200);
    }
    assert_eq!(meter.slots().await, 2);
    let found = production.post("/v1/events/search", json!({ "transactionIds": ["same"] })).await;
    assert_eq!(found.body.as_array().map(Vec::len), Some(2), "its own event and its repeat");
    assert_eq!(meter.found("same").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_requests_at_once_are_counted_before_they_are_read() {
    let meter = Meter::at("2026-03-09T00:00:00Z").await;
    let batch = |request: usize| -> Value {
        let event = |number: usize| {
            json!({
                // Every request repeats half of the one before it.
                "transaction_id": format!("t{}", request * 50 + number), "customer_id": "acct", "event_type": "use",
                "timestamp": format!("2026-03-0{}T12:00:00Z", 1 + number % 5), "properties": { "n": 1 },
            })
        };
        (0..100).map(event).collect()
    };
    for round in 1..=3 {
        let requests = (0..60).map(|request| {
            let (api, body) = (meter.api.clone(), batch(request + 60 * round));
            tokio::spawn(async move { api.post("/v1/ingest", body).await.status })
        });
        let requests: Vec<_> = requests.collect();
        for request in requests {
            assert_eq!(request.await.expect("an answer"), 200);
        }
        let expected = 60 * 50 * round + 50;
        assert_eq!(meter.sum().await, json!(expected));
    }
    meter.upkeep().await;
    meter.agrees().await;
}
