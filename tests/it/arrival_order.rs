//! Usage is the same in whatever order its events arrive, and however many of them at a time.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};
use upbeat::access::{EnvironmentKind, find_environment};
use upbeat::id::EnvironmentId;
use upbeat::usage::{begin_usage_snapshot, verify_rollups};

use crate::support::{Api, Metric};

const NOW: &str = "2026-03-10T12:00:00Z";

const METRICS: [(&str, Option<&str>); 5] = [
    ("COUNT", None),
    ("SUM", Some("n")),
    ("MAX", Some("n")),
    ("UNIQUE", Some("user")),
    ("LATEST", Some("level")),
];

/// Events of one customer, and fewer moments at which they happen.
const EVENTS: usize = 40;
const MOMENTS: usize = 25;

/// What happens in one minute of three days. The level is that of the minute: of several events at one time the newest
/// would be the one that arrives last.
struct Event {
    minute: i64,
    level: i64,
    n: i64,
    user: u8,
    zone: u8,
}

impl Event {
    fn number(&self) -> Option<i64> {
        (self.n % 7 != 0).then_some(self.n)
    }

    fn sent(&self, subject: &str, id: usize) -> Value {
        let (day, hour, minute) = (5 + self.minute / 1440, self.minute / 60 % 24, self.minute % 60);
        let n = match self.number() {
            None => json!("none"),
            Some(n) if n % 2 == 0 => json!(n),
            Some(n) => json!(n.to_string()),
        };
        json!({
            "transaction_id": format!("{subject} {id}"), "customer_id": subject, "event_type": "use",
            "timestamp": format!("2026-03-{day:02}T{hour:02}:{minute:02}:00Z"),
            "properties": {
                "n": n, "level": self.level, "user": format!("u{}", self.user), "zone": format!("z{}", self.zone),
            },
        })
    }
}

/// What the metrics come to.
fn totals(events: &[Event]) -> [Value; 5] {
    let numbers: Vec<i64> = events.iter().filter_map(Event::number).collect();
    let users: BTreeSet<u8> = events.iter().map(|event| event.user).collect();
    let newest = events.iter().max_by_key(|event| event.minute).expect("an event");
    let sum: i64 = numbers.iter().sum();
    [json!(events.len()), json!(sum), json!(numbers.iter().max()), json!(users.len()), json!(newest.level)]
}

async fn settle(api: &Api, sandbox: EnvironmentId) {
    begin_usage_snapshot(&api.app.db, sandbox).await.expect("everything is counted");
}

/// Lets nobody write rollups.
async fn hold_rollups(api: &Api) -> Transaction<'static, Postgres> {
    let mut held = api.app.db.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE usage_rollup IN SHARE MODE").execute(&mut *held).await.expect("the lock");
    held
}

/// The rows of the one page that answers, without the customer's id.
async fn rows(api: &Api, path: &str, body: Value) -> Vec<Value> {
    let page = api.post(path, body).await;
    assert_eq!((page.status.as_u16(), &page.body["next_page"]), (200, &Value::Null), "{}", page.body);
    let mut rows = page.body["data"].as_array().expect("rows").clone();
    for row in &mut rows {
        row.as_object_mut().expect("a row").remove("customer_id");
    }
    rows
}

/// The rows of each question; those of all three days come first.
async fn answers(api: &Api, customer: &str, metrics: &[String]) -> Vec<Vec<Value>> {
    let (from, to) = ("2026-03-05T00:00:00Z", "2026-03-08T00:00:00Z");
    let mut answers = Vec::new();
    for window in ["NONE", "DAY", "HOUR"] {
        let asked: Vec<Value> =
            metrics.iter().map(|id| json!({ "id": id, "group_by": { "key": "zone" } })).collect();
        let body = json!({
            "customer_ids": [customer], "billable_metrics": asked, "window_size": window, "starting_on": from,
            "ending_before": to,
        });
        answers.push(rows(api, "/v1/usage", body).await);
        for metric in metrics {
            let body = json!({
                "customer_id": customer, "billable_metric_id": metric, "window_size": window, "starting_on": from,
                "ending_before": to, "group_key": ["zone"],
            });
            answers.push(rows(api, "/v1/usage/groups", body).await);
        }
    }
    answers
}

#[tokio::test]
async fn usage_is_the_same_in_whatever_order_its_events_arrive() {
    let api = Api::at(NOW).await;
    let mut db = api.app.db.acquire().await.expect("a connection");
    let sandbox = find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox").id;
    drop(db);
    let mut metrics = Vec::new();
    for (aggregation, key) in METRICS {
        metrics.push(api.metric(Metric { aggregation, key, groups: &["zone"] }).await);
    }
    let moments = prop::collection::btree_map(0_i64..3 * 1440, -50_i64..50, MOMENTS);
    let events = prop::collection::vec((0..MOMENTS, -500_i64..500, 0_u8..6, 0_u8..3), EVENTS);
    let order = || Just((0..EVENTS).collect::<Vec<usize>>()).prop_shuffle();
    let cases = (moments, events, order(), order());
    let mut runner = TestRunner::deterministic();
    for round in 0..4 {
        let (moments, drawn, of_batches, of_singles) = cases.new_tree(&mut runner).expect("a case").current();
        let moments: Vec<(i64, i64)> = moments.into_iter().collect();
        let event = |(moment, n, user, zone): (usize, i64, u8, u8)| {
            let (minute, level) = moments[moment];
            Event { minute, level, n, user, zone }
        };
        let mut events: Vec<Event> = drawn.into_iter().map(event).collect();
        events.sort_by_key(|event| event.minute);
        let subjects = ["sorted", "in batches", "one by one"].map(|name| format!("{name} {round}"));
        let mut customers = Vec::new();
        for subject in &subjects {
            customers.push(api.customer(subject).await);
        }
        let [sorted, in_batches, one_by_one] = &subjects;

        api.events(events.iter().zip(0..).map(|(event, id)| event.sent(sorted, id)).collect()).await;
        for batch in of_batches.chunks(7) {
            api.events(batch.iter().map(|id| events[*id].sent(in_batches, *id)).collect()).await;
            settle(&api, sandbox).await;
        }
        let held = hold_rollups(&api).await;
        for id in of_singles {
            api.events(json!([events[id].sent(one_by_one, id)])).await;
        }
        assert_eq!(api.number("SELECT count(*) FROM rollup_pending").await, 40);
        let uncounted = answers(&api, &customers[2], &metrics).await;
        held.rollback().await.expect("the lock is gone");
        settle(&api, sandbox).await;

        let expected = answers(&api, &customers[0], &metrics).await;
        let value = |metric: &String| {
            let row = expected[0].iter().find(|row| row["billable_metric_id"] == *metric).expect("a row");
            row["value"].clone()
        };
        assert_eq!(metrics.iter().map(value).collect::<Vec<_>>(), totals(&events), "round {round}");
        assert!(expected.iter().all(|rows| !rows.is_empty()), "round {round}");
        let others = [
            answers(&api, &customers[1], &metrics).await,
            uncounted,
            answers(&api, &customers[2], &metrics).await,
        ];
        for (question, rows) in expected.iter().enumerate() {
            let others = others.each_ref().map(|answers| &answers[question]);
            assert_eq!(others, [rows; 3], "round {round}, question {question}");
        }
        let differences = verify_rollups(&api.app.db, sandbox).await;
        assert!(differences.as_ref().is_ok_and(Vec::is_empty), "round {round}: {differences:?}");
    }
}
