//! Seats that events report (reference: metering, section 12.3).

use serde_json::{Value, json};

use crate::support::{Api, Metric};
use crate::world::{NOW, World, number, refuse, with, without};

const SEATS: &str = "/v1/usage/seats";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

async fn metric(api: &Api, aggregation: &str) -> String {
    api.metric(Metric { aggregation, key: Some("n"), groups: &["team"] }).await
}

fn ask(customer: &str, metric: &str, usage_type: &str, window: &str) -> Value {
    json!({
        "customer_id": customer, "seat_metric_id": metric, "usage_type": usage_type, "window_size": window,
        "starting_on": "2026-03-05T00:00:00Z", "ending_before": "2026-03-09T00:00:00Z",
    })
}

async fn values(api: &Api, body: Value) -> Vec<Value> {
    let rows = api.post(SEATS, body).await.data();
    rows.as_array().expect("rows").iter().map(|row| row["value"].clone()).collect()
}

#[tokio::test]
async fn the_highest_and_the_newest_count_come_of_any_metric_that_reads_a_property() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    api.event("acct", "2026-03-05T08:00:00Z", json!({ "n": 99, "team": "a" })).await;
    let mut metrics = Vec::new();
    for aggregation in ["SUM", "MAX", "UNIQUE", "LATEST"] {
        metrics.push(metric(&api, aggregation).await);
    }
    let set = json!({ "ingest_aliases": ["acct", "acct-eu"] });
    api.post(&format!("/v1/customers/{customer}/setIngestAliases"), set).await;
    for (subject, at, n) in [
        ("acct", "2026-03-08T23:59:59.999999Z", json!(number("1e1"))),
        ("acct", "2026-03-05T09:00:00Z", json!("12.50")),
        ("acct", "2026-03-05T10:00:00Z", json!(7)),
        ("acct-eu", "2026-03-05T10:00:00Z", json!(8)),
        ("acct", "2026-03-05T09:59:59Z", json!("many")),
        ("acct", "2026-03-07T00:00:00Z", json!("none")),
        ("acct", "2026-03-08T01:00:00Z", json!(-3)),
        ("acct", "2026-03-09T00:00:00Z", json!(1000)),
        ("acct", "2026-03-04T23:59:59.999999Z", json!(2000)),
        ("somebody", "2026-03-06T00:00:00Z", json!(3000)),
    ] {
        api.event(subject, at, json!({ "n": n, "team": "a" })).await;
    }
    api.event("acct", "2026-03-06T00:00:00Z", json!({ "n": 4000 })).await;
    for metric in &metrics {
        let of = async |usage_type, window| values(&api, ask(&customer, metric, usage_type, window)).await;
        assert_eq!(of("max", "DAY").await, [number("12.5"), json!(null), json!(null), json!(10)]);
        assert_eq!(of("Latest", "day").await, [json!(8), json!(null), json!(null), json!(10)]);
        assert_eq!(of("MAX", "NONE").await, [number("12.5")]);
        assert_eq!(of("latest", "none").await, [json!(10)]);
        let hours = of("LATEST", "Hour").await;
        assert_eq!((hours.len(), &hours[8..11]), (96, &[json!(null), number("12.5"), json!(8)][..]));
    }
}

#[tokio::test]
async fn a_row_for_each_window_page_by_page() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    for aggregation in ["MAX", "SUM"] {
        let metric = metric(&api, aggregation).await;
        for day in 5..9 {
            let at = format!("2026-03-0{day}T12:00:00Z");
            api.event("acct", &at, json!({ "n": day, "team": "a" })).await;
        }
        let body = ask(&customer, &metric, "max", "DAY");
        let mut rows = Vec::new();
        let mut cursor = String::new();
        for page in 0..2 {
            let path = format!("{SEATS}?limit=3&next_page={cursor}");
            let answer = api.post(&path, body.clone()).await.body;
            rows.extend(answer["data"].as_array().expect("rows").clone());
            assert_eq!(answer["next_page"].is_string(), page == 0, "{answer}");
            cursor = answer["next_page"].as_str().unwrap_or_default().to_owned();
            if page == 0 {
                let other = with(&body, "/usage_type", json!("latest"));
                api.post(&format!("{SEATS}?next_page={cursor}"), other).await.refused(400, &["next_page: "]);
            }
        }
        let row = |day: i32| {
            json!({
                "starting_on": format!("2026-03-0{day}T00:00:00Z"),
                "ending_before": format!("2026-03-0{}T00:00:00Z", day + 1), "value": day,
            })
        };
        assert_eq!(rows, (5..9).map(row).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn the_current_period_is_that_of_the_contract() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let properties = json!({ "tokens": 5, "model": "small" });
    api.event("acct-1", "2026-03-02T00:00:00Z", properties).await;
    let body = json!({
        "customer_id": world.customer, "seat_metric_id": world.metric, "usage_type": "max", "window_size": "NONE",
        "current_period": true,
    });
    let rows = api.post(SEATS, body.clone()).await.data();
    let expected = json!([{
        "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z", "value": 5,
    }]);
    assert_eq!(rows, expected);
    let other = api.customer("other").await;
    let refused = |field: &str, value: Value| with(&body, &format!("/{field}"), value);
    refuse(
        &api,
        SEATS,
        vec![
            (refused("customer_id", json!(other)), "current_period: "),
            (refused("starting_on", json!("2026-03-01T00:00:00Z")), "current_period: "),
            (refused("current_period", json!(false)), "starting_on: "),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let seats = metric(&api, "MAX").await;
    let count = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let query = json!({ "name": "query", "sql": "SELECT MAX(properties.n) AS value FROM events" });
    let query = api.post("/v1/billable-metrics/create", query).await.id();
    let good = ask(&customer, &seats, "max", "DAY");
    let change = |field: &str, value: Value| with(&good, &format!("/{field}"), value);
    refuse(
        &api,
        SEATS,
        vec![
            (change("seat_metric_id", json!(count)), "seat_metric_id: "),
            (change("seat_metric_id", json!(query)), "seat_metric_id: "),
            (change("usage_type", json!("sum")), "usage_type: "),
            (change("window_size", json!("week")), "window_size: "),
            (change("starting_on", json!("2026-03-05T01:00:00Z")), "starting_on: "),
            (change("ending_before", json!("2026-03-05T00:00:00Z")), "ending_before: "),
            (without(&good, "/usage_type"), "`usage_type`"),
            (without(&good, "/window_size"), "`window_size`"),
            (without(&good, "/seat_metric_id"), "`seat_metric_id`"),
            (without(&good, "/customer_id"), "`customer_id`"),
        ],
    )
    .await;
    for field in ["customer_id", "seat_metric_id"] {
        api.post(SEATS, change(field, json!(UNKNOWN))).await.refused(404, &["was not found"]);
    }
}

#[tokio::test]
async fn an_archived_metric_reports_what_it_took() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let metric = metric(&api, "SUM").await;
    api.event("acct", "2026-03-05T08:00:00Z", json!({ "n": 3, "team": "a" })).await;
    api.post("/v1/billable-metrics/archive", json!({ "id": metric })).await.data();
    api.event("acct", "2026-03-05T09:00:00Z", json!({ "n": 4, "team": "a" })).await;
    assert_eq!(values(&api, ask(&customer, &metric, "max", "NONE")).await, [json!(3)]);
}

#[tokio::test]
async fn a_repeat_reports_nothing() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let metric = metric(&api, "SUM").await;
    for n in [3, 9] {
        api.events(json!([{
            "transaction_id": "t", "customer_id": "acct", "event_type": "use",
            "timestamp": "2026-03-05T08:00:00Z", "properties": { "n": n, "team": "a" },
        }]))
        .await;
    }
    assert_eq!(values(&api, ask(&customer, &metric, "max", "NONE")).await, [json!(3)]);
}

#[tokio::test]
async fn nobody_bought_seats_of_a_plan() {
    let api = Api::new().await;
    let customer = api.customer("acct").await;
    let of = async |customer: &str| api.get(&format!("/v1/customers/{customer}/purchasedSeats")).await;
    assert_eq!(of(&customer).await.body, json!({ "data": [] }));
    of(UNKNOWN).await.refused(404, &["customer", "was not found"]);
}
