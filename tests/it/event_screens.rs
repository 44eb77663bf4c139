//! Ids in sealed slots, told from new ones by a server that has the filters of the slots.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Postgres, Transaction};
use upbeat::access::{Environment, EnvironmentKind, find_environment};
use upbeat::event::upkeep;
use upbeat::usage::verify_rollups;

use crate::support::{Api, Metric};

/// When each of the slots is opened; the last one stays open.
const DAYS: [&str; 3] = ["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"];

/// Sessions that wait for a look at keys.
const LOOKS: &str = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
                     WHERE datname = current_database() AND relation::regclass::text LIKE 'event_key%' AND NOT granted";

fn event(number: u32, timestamp: &str, n: i64) -> Value {
    json!({
        "transaction_id": number.to_string(), "customer_id": "acct", "event_type": "use", "timestamp": timestamp,
        "properties": { "n": n },
    })
}

async fn send(server: &Api, events: &[Value]) {
    for batch in events.chunks(100) {
        server.events(json!(batch)).await;
    }
}

/// A sandbox with a SUM of `n`, and 700 uses of one by the customer `acct`: 300 in each of two sealed slots, and 100 in
/// the open one.
struct Meter {
    api: Api,
    metric: String,
    customer: String,
}

impl Meter {
    async fn start() -> Self {
        let api = Api::at(DAYS[0]).await;
        let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
        let customer = api.customer("acct").await;
        let meter = Self { api, metric, customer };
        for (day, numbers) in DAYS.into_iter().zip([0..300, 300..600, 600..700]) {
            meter.api.move_clock(day).await;
            upkeep(&meter.api.app, &meter.environment().await).await.expect("in order");
            let events: Vec<Value> = numbers.map(|number| event(number, day, 1)).collect();
            send(&meter.api, &events).await;
        }
        let sealed = "SELECT count(*) FROM event_slot WHERE sealed_at IS NOT NULL";
        assert_eq!(meter.api.number(sealed).await, 2);
        meter
    }

    async fn environment(&self) -> Environment {
        let mut db = self.api.app.db.acquire().await.expect("a connection");
        find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox")
    }

    async fn execute(&self, statement: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&self.api.app.db).await;
        done.expect("a valid statement");
    }

    /// Lets nobody look at the keys of sealed slots.
    async fn hold_sealed(&self) -> Transaction<'static, Postgres> {
        let mut held = self.api.app.db.begin().await.expect("a transaction");
        let sealed = "SELECT slot FROM event_slot WHERE sealed_at IS NOT NULL ORDER BY slot";
        let sealed: Vec<i32> = sqlx::query_scalar(sealed).fetch_all(&mut *held).await.expect("slots");
        for slot in sealed {
            let lock = format!("LOCK TABLE event_key_{slot} IN ACCESS EXCLUSIVE MODE");
            sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *held).await.expect("the lock");
        }
        held
    }

    /// Sends the event while nobody can look at the keys of sealed slots; answers whether it waits until one can.
    async fn is_looked_for(&self, server: &Api, event: Value) -> bool {
        let held = self.hold_sealed().await;
        let server = server.clone();
        let request = tokio::spawn(async move { server.post("/v1/ingest", json!([event])).await.status });
        let waits = loop {
            if request.is_finished() {
                break false;
            }
            if self.api.number(LOOKS).await > 0 {
                break true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        held.rollback().await.expect("the lock is gone");
        assert_eq!(request.await.expect("an answer"), 200);
        waits
    }

    /// A server that was started now, when it has the filters of both slots: it does not look there for what is new.
    async fn filtered(&self, now: &str) -> Api {
        let server = self.api.replica();
        for attempt in 0..100 {
            let new = json!({
                "transaction_id": format!("new {attempt}"), "customer_id": "nobody", "event_type": "use",
                "timestamp": now, "properties": { "n": 1 },
            });
            if !self.is_looked_for(&server, new).await {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("new ids are looked for in sealed slots");
    }

    /// All that was ever used.
    async fn sum(&self) -> Value {
        let body = json!({
            "customer_ids": [self.customer], "window_size": "NONE", "billable_metrics": [{ "id": self.metric }],
            "starting_on": "2026-01-01T00:00:00Z", "ending_before": "2027-01-01T00:00:00Z",
        });
        self.api.post("/v1/usage", body).await.data()[0]["value"].clone()
    }

    /// Rollups are what the facts add up to.
    async fn agrees(&self) {
        let differences = verify_rollups(&self.api.app.db, self.environment().await.id).await;
        assert!(differences.as_ref().is_ok_and(Vec::is_empty), "{differences:?}");
    }
}

/// The ids that a server finds, and whether each is of a repeat.
async fn found(server: &Api, ids: &[String]) -> Vec<(String, bool)> {
    let answer = server.post("/v1/events/search", json!({ "transactionIds": ids })).await;
    let found = |event: &Value| {
        let id = event["transaction_id"].as_str().expect("an id");
        (id.to_owned(), event["is_duplicate"].as_bool().expect("true or false"))
    };
    answer.body.as_array().expect("a list").iter().map(found).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_are_found_through_the_filters_of_their_slots() {
    let meter = Meter::start().await;
    let now = DAYS[2];
    let server = meter.filtered(now).await;
    let alone = [101, 501];
    for number in alone {
        assert!(meter.is_looked_for(&server, event(number, now, 1000)).await, "{number} may be there");
    }
    // Half of what was sent, and new ones between.
    let pairs = (0..700).step_by(2).zip(700..1050);
    let mixed: Vec<Value> =
        pairs.flat_map(|(old, new)| [event(old, now, 1000), event(new, now, 1)]).collect();
    send(&server, &mixed).await;
    assert_eq!(meter.sum().await, json!(1050));
    assert_eq!(meter.api.number("SELECT count(*) FROM event_repeat").await, 352);

    let sample: Vec<u32> = alone.into_iter().chain((0..1050).step_by(11)).collect();
    let is_repeated = |number: u32| alone.contains(&number) || number < 700 && number.is_multiple_of(2);
    let mut expected = Vec::new();
    for number in &sample {
        expected.push((number.to_string(), false));
        if is_repeated(*number) {
            expected.push((number.to_string(), true));
        }
    }
    let ids: Vec<String> = sample.iter().map(u32::to_string).collect();
    assert_eq!(found(&server, &ids).await, expected);
    let just_started = meter.api.replica();
    assert_eq!(found(&just_started, &ids).await, expected);
    meter.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_whose_hold_is_over_is_new_though_a_filter_has_it() {
    let meter = Meter::start().await;
    // The ids of the first slot are free since a second, those of the second are held for a day.
    let now = "2026-04-04T00:00:01Z";
    meter.api.move_clock(now).await;
    let server = meter.filtered(now).await;
    assert!(meter.is_looked_for(&server, event(0, now, 1000)).await, "it may be there");
    assert_eq!(meter.sum().await, json!(1700));
    let again: Vec<Value> = (0..50).chain(300..350).map(|number| event(number, now, 1000)).collect();
    for _ in 0..2 {
        send(&server, &again).await;
        assert_eq!(meter.sum().await, json!(50_700));
    }
    meter.agrees().await;
}

/// A database that lost its last commits may seal a slot once more, with other ids than the filter was made of. Here the
/// ids of the open slot come into a sealed one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_speaks_for_the_sealing_that_it_was_made_of() {
    let meter = Meter::start().await;
    let server = meter.filtered(DAYS[2]).await;
    assert_eq!(meter.sum().await, json!(700));
    for table in ["event_key", "event_batch"] {
        let sealed = "SELECT min(slot) FROM event_slot WHERE sealed_at IS NOT NULL";
        let open = "SELECT slot FROM event_slot WHERE sealed_at IS NULL";
        meter.execute(&format!("UPDATE {table} SET slot = ({sealed}) WHERE slot = ({open})")).await;
    }
    let ids = [10, 610].map(|number: u32| number.to_string());
    let both: Vec<(String, bool)> = ids.iter().cloned().map(|id| (id, false)).collect();
    assert_eq!(found(&meter.api.replica(), &ids).await, both, "a server without filters asks all slots");
    assert_eq!(found(&server, &ids).await, both[..1], "the filter says no");
    meter.execute("UPDATE event_slot SET sealed_at = sealed_at + interval '1 microsecond'").await;
    assert_eq!(found(&server, &ids).await, both, "and is not asked");
}
