//! Usage of many customers by window.

use serde_json::{Value, json};

use crate::support::{Api, Metric};
use crate::world::{refuse, with};

const NOW: &str = "2026-03-10T12:00:00Z";
const USAGE: &str = "/v1/usage";

fn query(customers: &[&String], metric: &Value, window: &str, from: &str, to: &str) -> Value {
    json!({
        "customer_ids": customers, "billable_metrics": [metric], "window_size": window,
        "starting_on": format!("{from}T00:00:00Z"), "ending_before": format!("{to}T00:00:00Z"),
    })
}

/// Every row, page by page.
async fn walk(api: &Api, body: &Value) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.post(&format!("{USAGE}?next_page={cursor}"), body.clone()).await.body;
        rows.extend(page["data"].as_array().expect("rows").iter().cloned());
        match page["next_page"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn every_page_has_the_values_of_its_own_windows() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["zone"] }).await;
    let mut customers = Vec::new();
    for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
        customers.push(api.customer(name).await);
        for day in 4..9 {
            let timestamp = format!("2026-03-0{day}T07:30:00Z");
            api.event(name, &timestamp, json!({ "n": 100 * index + day, "zone": format!("z{day}") })).await;
        }
    }
    customers.sort();
    let by_zone = json!({ "id": metric, "group_by": { "key": "zone" } });
    // 3 × 696 rows: pages end in the middle of a customer, and one holds the end of one and the start of another
    let body = query(&customers.iter().collect::<Vec<_>>(), &by_zone, "HOUR", "2026-02-09", "2026-03-10");
    let rows = walk(&api, &body).await;
    assert_eq!(rows.len(), 3 * 29 * 24);
    let mut seen = 0;
    for row in &rows {
        let groups = row["groups"].as_object().expect("groups");
        let zones: Vec<&String> = groups.keys().collect();
        assert_eq!(zones, ["z4", "z5", "z6", "z7", "z8"], "every value of the range, on every page");
        let shown: Vec<&Value> = groups.values().filter(|value| !value.is_null()).collect();
        match &row["value"] {
            Value::Null => assert_eq!(shown, [&Value::Null; 0]),
            value => {
                seen += 1;
                assert_eq!(shown, [value]);
                assert!(
                    row["start_timestamp"].as_str().expect("an instant").ends_with("T07:00:00Z"),
                    "{row}"
                );
            }
        }
    }
    assert_eq!(seen, 15);
    let order: Vec<_> =
        rows.iter().map(|row| (row["customer_id"].as_str(), row["start_timestamp"].as_str())).collect();
    assert!(order.is_sorted());
}

#[tokio::test]
async fn a_walk_goes_on_where_each_customer_and_metric_is_one_row() {
    let api = Api::at(NOW).await;
    let mut metrics = Vec::new();
    for _ in 0..30 {
        metrics
            .push(json!({ "id": api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await }));
    }
    let mut customers = Vec::new();
    for number in 0..70 {
        customers.push(api.customer(&format!("customer-{number}")).await);
    }
    let body = json!({
        "customer_ids": customers, "billable_metrics": metrics, "window_size": "NONE",
        "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-03-02T00:00:00Z",
    });
    // Three pages: the second begins behind a row that was the last one of its customer and metric.
    let rows = walk(&api, &body).await;
    assert_eq!(rows.len(), 30 * 70);
    let order: Vec<_> =
        rows.iter().map(|row| (row["customer_id"].as_str(), row["billable_metric_id"].as_str())).collect();
    assert!(order.is_sorted_by(|first, second| first < second), "each once");
}

#[tokio::test]
async fn of_many_group_values_the_first_200_in_byte_order_are_shown() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &["zone"] }).await;
    let customer = api.customer("acme").await;
    let zones: Vec<String> = (0..201).map(|number| format!("Z{number:03}")).chain(["a".to_owned()]).collect();
    let event = |zone: &String| {
        json!({
            "transaction_id": zone, "customer_id": "acme", "event_type": "use", "timestamp": "2026-03-09T00:00:00Z",
            "properties": { "zone": zone },
        })
    };
    for batch in zones.chunks(100) {
        api.events(batch.iter().map(event).collect()).await;
    }
    let groups = async |group_by: Value| {
        let metric = json!({ "id": metric, "group_by": group_by });
        let body = query(&[&customer], &metric, "DAY", "2026-03-09", "2026-03-11");
        let rows = api.post(USAGE, body).await.data();
        assert_eq!(
            (&rows[0]["value"], &rows[1]["value"]),
            (&json!(202), &Value::Null),
            "the whole aggregate"
        );
        rows[0]["groups"].as_object().expect("groups").clone()
    };
    let shown = groups(json!({ "key": "zone" })).await;
    let names: Vec<&String> = shown.keys().collect();
    assert_eq!(names, zones[..200].iter().collect::<Vec<_>>());
    let asked = groups(json!({ "key": "zone", "values": ["a", "Z200", "mars", "a"] })).await;
    assert_eq!(Value::from(asked), json!({ "Z200": 1, "a": 1, "mars": null }));
}

#[tokio::test]
async fn a_grouped_customer_without_usage_has_no_groups() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &["zone"] }).await;
    let customer = api.customer("acme").await;
    let by_zone = json!({ "id": metric, "group_by": { "key": "zone" } });
    let body = query(&[&customer], &by_zone, "NONE", "2026-03-09", "2026-03-11");
    let rows = api.post(USAGE, body.clone()).await.data();
    assert_eq!((&rows[0]["value"], &rows[0]["groups"]), (&Value::Null, &json!({})));
    let ungrouped = with(&body, "/billable_metrics/0", json!({ "id": metric }));
    assert_eq!(api.post(USAGE, ungrouped).await.data()[0].get("groups"), None);
}

#[tokio::test]
async fn archived_customers_and_metrics_are_shown_where_they_are_named() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let kept = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let customer = api.customer("acme").await;
    api.event("acme", "2026-03-09T00:00:00Z", json!({})).await;
    api.post("/v1/billable-metrics/archive", json!({ "id": metric })).await.id();
    let body = query(&[&customer], &json!({ "id": metric }), "NONE", "2026-03-09", "2026-03-10");
    let metrics = async |body: &Value| -> Vec<Value> {
        let rows = api.post(USAGE, body.clone()).await.data();
        rows.as_array().expect("rows").iter().map(|row| row["billable_metric_id"].clone()).collect()
    };
    let all_metrics = with(&body, "/billable_metrics", Value::Null);
    let all_customers = with(&all_metrics, "/customer_ids", Value::Null);
    assert_eq!(metrics(&body).await, [json!(metric)]);
    assert_eq!(metrics(&all_metrics).await, [json!(kept)]);
    assert_eq!(metrics(&all_customers).await, [json!(kept)]);
    api.post("/v1/customers/archive", json!({ "id": customer })).await.id();
    assert_eq!(metrics(&all_metrics).await, [json!(kept)], "the customer is named");
    assert_eq!(metrics(&all_customers).await, [Value::Null; 0]);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &["zone"] }).await;
    let customer = api.customer("acme").await;
    let by_zone = json!({ "id": metric, "group_by": { "key": "zone" } });
    let good = query(&[&customer], &by_zone, "NONE", "2026-03-09", "2026-03-11");
    let group_by = |value: Value| with(&good, "/billable_metrics/0/group_by", value);
    let many: Vec<String> = (0..201).map(|number| number.to_string()).collect();
    let at = "billable_metrics[0].group_by";
    let cases = [
        (group_by(json!({ "key": "user" })), format!("{at}.key: `user`")),
        (group_by(json!({ "key": "" })), format!("{at}.key:")),
        (group_by(json!({ "key": ["zone"] })), format!("{at}.key:")),
        (group_by(json!({ "values": ["a"] })), format!("{at}: missing field `key`")),
        (group_by(json!({ "key": "zone", "values": [] })), format!("{at}.values: must hold 1 to 200")),
        (group_by(json!({ "key": "zone", "values": many })), format!("{at}.values: must hold 1 to 200")),
        (
            group_by(json!({ "key": "zone", "values": ["a", ""] })),
            format!("{at}.values[1]: must not be empty"),
        ),
        (
            with(&good, "/billable_metrics", json!([by_zone, { "id": metric }])),
            "billable_metrics[1].id: is named twice".to_owned(),
        ),
        (
            with(&good, "/ending_before", good["starting_on"].clone()),
            "ending_before: must be at least".to_owned(),
        ),
        (
            with(&good, "/starting_on", json!("2026-03-09T01:00:00Z")),
            "starting_on: must be midnight".to_owned(),
        ),
        (
            with(&good, "/ending_before", json!("2026-03-11T00:00:01Z")),
            "ending_before: must be midnight".to_owned(),
        ),
        (with(&good, "/window_size", json!("month")), "window_size:".to_owned()),
    ];
    for (body, part) in cases {
        refuse(&api, USAGE, vec![(body, part.as_str())]).await;
    }
    let unknown = "11111111-2222-4333-8444-555555555555";
    for (pointer, what) in [("/customer_ids/0", "customer"), ("/billable_metrics/0/id", "billable metric")] {
        api.post(USAGE, with(&good, pointer, json!(unknown))).await.refused(404, &[what, unknown]);
    }
    for (list, rows) in [("customer_ids", 0), ("billable_metrics", 0)] {
        let answer = api.post(USAGE, with(&good, &format!("/{list}"), json!([]))).await.data();
        assert_eq!(answer.as_array().map(Vec::len), Some(rows), "an empty list is nothing: {list}");
    }
}
