//! Usage of one customer and metric by window and group.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, Role};
use upbeat::money::{Decimal, parse_decimal, zero};

use crate::support::{Answer, Api, Metric};
use crate::world::{number, refuse, with, without};

const GROUPS: &str = "/v1/usage/groups";
const NOW: &str = "2026-03-10T12:00:00Z";

/// A customer `acme`, and a metric on the property `n` (`user` for UNIQUE) that has simple and compound group keys.
struct Usage {
    api: Api,
    customer: String,
    metric: String,
}

/// A metric with the group keys `zone`, `zone + user` and `model + user + zone`.
async fn metric(api: &Api, aggregation: &str) -> String {
    let key = match aggregation {
        "COUNT" => Value::Null,
        "UNIQUE" => json!("seat"),
        _ => json!("n"),
    };
    let mut filters: Vec<Value> =
        ["zone", "user", "model"].map(|name| json!({ "name": name, "exists": true })).to_vec();
    if let Some(key) = key.as_str() {
        filters.push(json!({ "name": key }));
    }
    let body = json!({
        "name": "metric", "aggregation_type": aggregation, "aggregation_key": key, "property_filters": filters,
        "group_keys": [["zone"], ["zone", "user"], ["model", "user", "zone"]],
    });
    api.post("/v1/billable-metrics/create", body).await.id()
}

impl Usage {
    async fn of(aggregation: &str) -> Self {
        let api = Api::at(NOW).await;
        let customer = api.customer("acme").await;
        let metric = metric(&api, aggregation).await;
        Self { api, customer, metric }
    }

    /// An event of `n` units on a day of March, or at an hour of it (`05T17`).
    async fn event(&self, at: &str, zone: &str, user: &str, n: Value) {
        let properties = json!({ "zone": zone, "user": user, "model": "m", "n": n });
        self.api.event("acme", &march(at), properties).await;
    }

    /// A request over days of March.
    fn body(&self, window: &str, from: &str, to: &str, more: Value) -> Value {
        let mut body = json!({
            "customer_id": self.customer, "billable_metric_id": self.metric, "window_size": window,
            "starting_on": march(from), "ending_before": march(to),
        });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    }

    async fn rows(&self, body: Value) -> Vec<String> {
        text(&self.api.post(GROUPS, body).await.data())
    }

    fn current(&self, window: &str) -> Value {
        json!({
            "customer_id": self.customer, "billable_metric_id": self.metric, "window_size": window,
            "current_period": true,
        })
    }

    async fn contract(&self, starting_at: &str, more: Value) -> String {
        let mut body = json!({ "customer_id": self.customer, "starting_at": starting_at });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.api.post("/v1/contracts/create", body).await.id()
    }

    /// Every row, by pages of `limit`.
    async fn walk(&self, body: &Value, limit: usize) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = page(&self.api, body, &format!("limit={limit}&next_page={cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.body);
            let data = page.body["data"].as_array().expect("rows");
            rows.extend(data.iter().cloned());
            match page.body["next_page"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return rows,
            }
            assert_eq!(data.len(), limit);
        }
    }
}

async fn page(api: &Api, body: &Value, query: &str) -> Answer {
    api.send(Method::POST, &format!("{GROUPS}?{query}"), body.to_string().into()).await
}

/// `05`, `05T17` as a moment of March.
fn march(text: &str) -> String {
    match text.split_once('T') {
        Some((day, hour)) => format!("2026-03-{day}T{hour}:00:00Z"),
        None => format!("2026-03-{text}T00:00:00Z"),
    }
}

/// Rows as `05..06 zone=fra user=u1 7`, with hours where they are not midnight.
fn text(data: &Value) -> Vec<String> {
    let at = |value: &Value| {
        let text = &value.as_str().expect("an instant")[8..];
        text.strip_suffix("T00:00:00Z").or(text.strip_suffix(":00:00Z")).expect("on the hour").to_owned()
    };
    let row = |row: &Value| {
        let mut text = format!("{}..{}", at(&row["starting_on"]), at(&row["ending_before"]));
        for (name, value) in row["group"].as_object().into_iter().flatten() {
            let _ = write!(text, " {name}={}", value.as_str().expect("text"));
        }
        format!("{text} {}", row["value"])
    };
    data.as_array().expect("rows").iter().map(row).collect()
}

#[tokio::test]
async fn without_a_group_key_every_window_is_a_row() {
    let usage = Usage::of("SUM").await;
    usage.event("05T01", "fra", "u1", json!("1.50")).await;
    usage.event("05T23", "nyc", "u1", number("2")).await;
    usage.event("07T00", "fra", "u2", json!(-2)).await;
    usage.event("07T05", "fra", "u2", json!(2)).await;
    usage.event("08T05", "fra", "u2", json!("many")).await;
    usage.event("09T00", "fra", "u2", json!(100)).await;
    for spelling in ["day", "Day", "DAY"] {
        let rows = usage.rows(usage.body(spelling, "05", "09", json!({}))).await;
        assert_eq!(rows, ["05..06 3.5", "06..07 null", "07..08 0", "08..09 0"], "{spelling}");
    }
    for spelling in ["none", "None", "NONE"] {
        let rows = usage.rows(usage.body(spelling, "05", "09", json!({}))).await;
        assert_eq!(rows, ["05..09 3.5"], "{spelling}");
    }
    for spelling in ["hour", "Hour", "HOUR"] {
        let rows = usage.rows(usage.body(spelling, "05", "06", json!({}))).await;
        assert_eq!((rows.len(), rows[0].as_str()), (24, "05..05T01 null"), "{spelling}");
        assert_eq!((rows[1].as_str(), rows[23].as_str()), ("05T01..05T02 1.5", "05T23..06 2"));
    }
    let row = usage.api.post(GROUPS, usage.body("NONE", "05", "06", json!({}))).await.data()[0].clone();
    let expected = json!({
        "starting_on": march("05"), "ending_before": march("06"), "group_key": null, "group_value": null,
        "value": number("3.5"),
    });
    assert_eq!(row, expected, "`group` is left out");
}

#[tokio::test]
async fn a_simple_key_splits_into_groups_with_events() {
    let usage = Usage::of("SUM").await;
    usage.event("05T01", "nyc", "u1", json!(1)).await;
    usage.event("05T02", "fra", "u1", json!(2)).await;
    usage.event("05T03", "fra", "u2", json!(4)).await;
    usage.event("07T03", "nyc", "u2", json!("none")).await;
    let expected = ["05..06 zone=fra 6", "05..06 zone=nyc 1", "07..08 zone=nyc 0"];
    let by_key = usage.body("DAY", "05", "10", json!({ "group_key": ["zone"] }));
    assert_eq!(usage.rows(by_key.clone()).await, expected);
    let by_old_name = usage.body("DAY", "05", "10", json!({ "group_by": { "key": "zone" } }));
    assert_eq!(usage.rows(by_old_name.clone()).await, expected);
    let rows = usage.api.post(GROUPS, by_key).await.data();
    assert_eq!(usage.api.post(GROUPS, by_old_name).await.data(), rows);
    let first = json!({
        "starting_on": march("05"), "ending_before": march("06"), "group_key": "zone", "group_value": "fra",
        "group": { "zone": "fra" }, "value": 6,
    });
    assert_eq!(rows[0], first);
    let of_two =
        usage.body("NONE", "05", "10", json!({ "group_by": { "key": "zone", "values": ["nyc", "x"] } }));
    assert_eq!(usage.rows(of_two).await, ["05..10 zone=nyc 1"]);
}

#[tokio::test]
async fn a_compound_key_splits_by_all_of_its_properties() {
    let usage = Usage::of("COUNT").await;
    for (zone, user) in [("fra", "u2"), ("nyc", "u1"), ("fra", "u1"), ("fra", "u2")] {
        usage.event("05", zone, user, json!(1)).await;
    }
    let by = |names: &[&str]| usage.body("DAY", "05", "06", json!({ "group_key": names }));
    let zone_first = ["05..06 user=u1 zone=fra 1", "05..06 user=u2 zone=fra 2", "05..06 user=u1 zone=nyc 1"];
    assert_eq!(usage.rows(by(&["zone", "user"])).await, zone_first);
    let user_first = ["05..06 user=u1 zone=fra 1", "05..06 user=u1 zone=nyc 1", "05..06 user=u2 zone=fra 2"];
    assert_eq!(
        usage.rows(by(&["user", "zone"])).await,
        user_first,
        "rows sort by the key as it is asked for"
    );
    assert_eq!(usage.rows(by(&["zone", "model", "user"])).await.len(), 3);
    let row = usage.api.post(GROUPS, by(&["zone", "user"])).await.data()[0].clone();
    let expected = json!({
        "starting_on": march("05"), "ending_before": march("06"), "group_key": null, "group_value": null,
        "group": { "zone": "fra", "user": "u1" }, "value": 1,
    });
    assert_eq!(row, expected);
}

#[tokio::test]
async fn filters_keep_the_values_that_they_name() {
    let usage = Usage::of("COUNT").await;
    for (zone, user) in [("fra", "u1"), ("fra", "u2"), ("nyc", "u1"), ("nyc", "u2"), ("sfo", "u1")] {
        usage.event("05", zone, user, json!(1)).await;
    }
    let by = |filters: Value| {
        usage.body("NONE", "05", "06", json!({ "group_key": ["zone", "user"], "group_filters": filters }))
    };
    let cases: [(Value, &[&str]); 7] = [
        (json!({ "zone": ["sfo"] }), &["user=u1 zone=sfo"]),
        (
            json!({ "zone": ["fra", "sfo", "mars"], "user": ["u1"] }),
            &["user=u1 zone=fra", "user=u1 zone=sfo"],
        ),
        (json!({ "zone": [], "user": ["u2"] }), &["user=u2 zone=fra", "user=u2 zone=nyc"]),
        (json!({ "zone": ["sfo"], "user": ["u2"] }), &[]),
        (json!({ "zone": ["FRA", "fra ", "fr"] }), &[]),
        (json!({ "zone": ["fra", "fra"], "user": ["u1"] }), &["user=u1 zone=fra"]),
        (json!({ "zone": ["fra"], "user": [] }), &["user=u1 zone=fra", "user=u2 zone=fra"]),
    ];
    for (filters, groups) in cases {
        let expected: Vec<String> = groups.iter().map(|group| format!("05..06 {group} 1")).collect();
        assert_eq!(usage.rows(by(filters.clone())).await, expected, "{filters}");
    }
    for nothing in [json!({}), Value::Null] {
        assert_eq!(usage.rows(by(nothing)).await.len(), 5);
    }
    let many: Vec<String> = (0..199).map(|number| number.to_string()).collect();
    assert_eq!(usage.rows(by(json!({ "zone": many, "user": ["u1"] }))).await, [""; 0], "200 are allowed");
}

#[tokio::test]
async fn each_aggregation_is_of_the_group_and_never_of_other_groups() {
    let usage = Usage::of("SUM").await;
    let events = [
        ("05T01", "fra", "u1", 4, "a"),
        ("05T02", "fra", "u2", 9, "b"),
        ("05T03", "fra", "u2", 7, "a"),
        ("05T04", "nyc", "u1", 6, "a"),
    ];
    let metrics = ["COUNT", "SUM", "MAX", "UNIQUE", "LATEST"];
    let expected = [["3", "1", "4"], ["20", "6", "26"], ["9", "6", "9"], ["2", "1", "2"], ["7", "6", "6"]];
    let mut ids = Vec::new();
    for aggregation in metrics {
        ids.push(metric(&usage.api, aggregation).await);
    }
    // of one stream under three names
    let alias = format!("/v1/customers/{}/setIngestAliases", usage.customer);
    usage.api.post(&alias, json!({ "ingest_aliases": ["acme", "acme-2"] })).await;
    let subjects = ["acme", "acme-2", usage.customer.as_str(), "acme"];
    for ((at, zone, user, n, seat), subject) in events.into_iter().zip(subjects) {
        let properties = json!({ "zone": zone, "user": user, "model": "m", "n": n, "seat": seat });
        usage.api.event(subject, &march(at), properties).await;
    }
    for ((id, aggregation), [fra, nyc, whole]) in ids.iter().zip(metrics).zip(expected) {
        let ask = |more: Value| with(&usage.body("NONE", "05", "06", more), "/billable_metric_id", json!(id));
        let rows = usage.rows(ask(json!({ "group_key": ["zone"] }))).await;
        assert_eq!(
            rows,
            [format!("05..06 zone=fra {fra}"), format!("05..06 zone=nyc {nyc}")],
            "{aggregation}"
        );
        assert_eq!(usage.rows(ask(json!({}))).await, [format!("05..06 {whole}")], "{aggregation}");
    }
}

#[tokio::test]
async fn matching_events_without_a_number_have_a_row_without_a_value() {
    for (aggregation, value) in [("MAX", "null"), ("LATEST", "null"), ("SUM", "0")] {
        let usage = Usage::of(aggregation).await;
        usage.event("05", "fra", "u1", json!("broken")).await;
        let body = usage.body("DAY", "05", "07", json!({ "group_key": ["zone"] }));
        assert_eq!(usage.rows(body).await, [format!("05..06 zone=fra {value}")], "{aggregation}");
    }
}

#[tokio::test]
async fn group_values_sort_by_their_bytes() {
    let usage = Usage::of("COUNT").await;
    let zones =
        ["b", "B", "a", "", " ", "é", "z", "a b", "a-b", "ab", "\"{,}\\", "NULL", "\u{1F600}", "10", "9"];
    for zone in zones {
        usage.event("05", zone, "u", json!(1)).await;
    }
    let mut sorted = zones.to_vec();
    sorted.sort_unstable();
    let body = usage.body("NONE", "05", "06", json!({ "group_key": ["zone"] }));
    for limit in [100, 1, 4] {
        let rows = usage.walk(&body, limit).await;
        let shown: Vec<&str> = rows.iter().map(|row| row["group_value"].as_str().expect("text")).collect();
        assert_eq!(shown, sorted, "by {limit}");
    }
    let kept =
        json!({ "group_key": ["zone"], "group_filters": { "zone": ["\"{,}\\", "NULL", "\u{1F600}"] } });
    let rows = usage.rows(usage.body("NONE", "05", "06", kept)).await;
    assert_eq!(rows, ["05..06 zone=\"{,}\\ 1", "05..06 zone=NULL 1", "05..06 zone=\u{1F600} 1"]);
}

#[tokio::test]
async fn pages_hold_rows_of_many_windows_and_skip_the_empty_ones() {
    let usage = Usage::of("COUNT").await;
    for (at, zone) in [("01", "a"), ("01", "b"), ("04T07", "a"), ("04T07", "c"), ("09T23", "b")] {
        usage.event(at, zone, "u", json!(1)).await;
    }
    for window in ["HOUR", "DAY"] {
        let mut body = usage.body(window, "01", "10", json!({ "group_key": ["zone"] }));
        body["starting_on"] = json!("1970-01-01T00:00:00Z");
        body["ending_before"] = json!("9999-12-31T00:00:00Z");
        let whole = usage.walk(&body, 100).await;
        let zones: Vec<&Value> = whole.iter().map(|row| &row["group_value"]).collect();
        assert_eq!(zones, ["a", "b", "a", "c", "b"], "{window}");
        for limit in 1..=5 {
            assert_eq!(usage.walk(&body, limit).await, whole, "{window} by {limit}");
        }
    }
    let by_day = usage.body("DAY", "01", "10", json!({}));
    let whole = usage.walk(&by_day, 100).await;
    assert_eq!(text(&json!(whole)).concat().matches("null").count(), 6);
    for limit in 1..=9 {
        assert_eq!(usage.walk(&by_day, limit).await, whole, "by {limit}");
    }
}

#[tokio::test]
async fn a_cursor_is_short_and_tells_no_group_value() {
    let usage = Usage::of("COUNT").await;
    for zone in ["x".repeat(100_000), "y".repeat(100_000)] {
        usage.event("05", &zone, "u", json!(1)).await;
    }
    let body = usage.body("NONE", "05", "06", json!({ "group_key": ["zone"] }));
    let first = page(&usage.api, &body, "limit=1").await;
    let cursor = first.body["next_page"].as_str().expect("a next page");
    assert!(cursor.len() < 300, "{cursor}");
    assert_eq!(usage.walk(&body, 1).await.len(), 2);
}

#[tokio::test]
async fn a_walk_goes_on_where_it_was_while_events_arrive() {
    let usage = Usage::of("COUNT").await;
    for zone in ["b", "d"] {
        usage.event("05", zone, "u", json!(1)).await;
    }
    let body = usage.body("DAY", "05", "06", json!({ "group_key": ["zone"] }));
    let first = page(&usage.api, &body, "limit=1").await;
    let cursor = first.body["next_page"].as_str().expect("a next page").to_owned();
    for zone in ["a", "b", "c"] {
        usage.event("05", zone, "u", json!(1)).await;
    }
    let rest = page(&usage.api, &body, &format!("next_page={cursor}")).await;
    assert_eq!(text(&rest.body["data"]), ["05..06 zone=c 1", "05..06 zone=d 1"]);
}

#[tokio::test]
async fn forged_positions_are_refused() {
    let usage = Usage::of("COUNT").await;
    for zone in ["a", "b"] {
        usage.event("05", zone, "u", json!(1)).await;
    }
    let grouped = usage.body("DAY", "05", "07", json!({ "group_key": ["zone"] }));
    let ungrouped = usage.body("DAY", "05", "07", json!({}));
    let cursor = |body: Value| {
        let api = usage.api.clone();
        async move { page(&api, &body, "limit=1").await.body["next_page"].as_str().expect("more").to_owned() }
    };
    let (of_groups, of_windows) = (cursor(grouped.clone()).await, cursor(ungrouped.clone()).await);
    let nobody = "00000000-0000-0000-0000-000000000000";
    let known = position(&of_groups)["group_id"].clone();
    let forged = [
        (&grouped, &of_groups, "group_id", json!(nobody)),
        (&grouped, &of_groups, "group_id", Value::Null),
        (&grouped, &of_groups, "group_id", json!("a")),
        (&grouped, &of_groups, "starting_on", json!("2026-03-07T00:00:00Z")),
        (&grouped, &of_groups, "starting_on", json!("2026-03-05T01:00:00Z")),
        (&grouped, &of_groups, "starting_on", json!("2026-03-04T00:00:00Z")),
        (&grouped, &of_groups, "starting_on", json!("+200000-01-01T00:00:00Z")),
        (&grouped, &of_groups, "began_at", json!("-200000-01-01T00:00:00Z")),
        (&ungrouped, &of_windows, "group_id", known),
        (&ungrouped, &of_windows, "starting_on", json!("2026-03-06T00:00:01Z")),
    ];
    for (body, cursor, field, value) in forged {
        let mut changed = position(cursor);
        changed[field] = value.clone();
        let bytes = URL_SAFE_NO_PAD.decode(cursor).expect("base64");
        let forged = URL_SAFE_NO_PAD.encode([&bytes[..8], changed.to_string().as_bytes()].concat());
        let answer = page(&usage.api, body, &format!("next_page={forged}")).await;
        assert_eq!(answer.status, 400, "{field} {value}: {}", answer.body);
        answer.refused(400, &["next_page"]);
    }
}

fn position(cursor: &str) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).expect("base64");
    serde_json::from_slice(&bytes[8..]).expect("a position")
}

#[tokio::test]
async fn the_current_period_is_cut_at_its_ends() {
    let usage = Usage::of("SUM").await;
    let schedule = json!({
        "frequency": "WEEKLY", "day": "CUSTOM_DATE", "billing_anchor_date": "2026-03-06T17:00:00Z",
    });
    let terms = json!({ "usage_statement_schedule": schedule, "ending_before": "2026-03-12T05:00:00Z" });
    usage.contract("2026-03-01T00:00:00Z", terms).await;
    for (at, n) in [("06T16", 1), ("06T17", 2), ("06T23", 4), ("07T00", 8), ("11T04", 16)] {
        usage.event(at, "fra", "u", json!(n)).await;
    }
    let days = [
        "06T17..07 6",
        "07..08 8",
        "08..09 null",
        "09..10 null",
        "10..11 null",
        "11..12 16",
        "12..12T05 null",
    ];
    assert_eq!(usage.rows(usage.current("DAY")).await, days);
    assert_eq!(usage.rows(usage.current("NONE")).await, ["06T17..12T05 30"]);
    let hours = usage.walk(&usage.current("HOUR"), 100).await;
    assert_eq!(hours.len(), 5 * 24 + 12);
    assert_eq!((&hours[0]["value"], &hours[6]["value"]), (&json!(2), &json!(4)));
    let grouped = with(&usage.current("DAY"), "/group_key", json!(["zone"]));
    let by_zone = ["06T17..07 zone=fra 6", "07..08 zone=fra 8", "11..12 zone=fra 16"];
    assert_eq!(usage.rows(grouped.clone()).await, by_zone);
    assert_eq!(text(&json!(usage.walk(&grouped, 1).await)), by_zone);
    assert_eq!(text(&json!(usage.walk(&usage.current("DAY"), 1).await)), days);
}

#[tokio::test]
async fn the_current_period_is_of_the_contract_that_runs_now() {
    let usage = Usage::of("COUNT").await;
    let none = ["current_period", "no contract"];
    let current = usage.current("NONE");
    usage.api.post(GROUPS, current.clone()).await.refused(400, &none);
    usage.contract("2026-01-01T00:00:00Z", json!({ "ending_before": "2026-03-10T12:00:00Z" })).await;
    usage.contract("2026-03-10T13:00:00Z", json!({})).await;
    usage.api.post(GROUPS, current.clone()).await.refused(400, &none);
    let contract_start = |frequency: &str| json!({ "usage_statement_schedule": { "frequency": frequency, "day": "CONTRACT_START" } });
    usage.contract("2026-03-08T00:00:00Z", contract_start("MONTHLY")).await;
    assert_eq!(usage.rows(current.clone()).await, ["08..08 null"], "8 March to 8 April");
    usage.contract("2026-03-05T00:00:00Z", contract_start("WEEKLY")).await;
    assert_eq!(usage.rows(current.clone()).await, ["05..12 null"], "of two the one that started first");
    usage.api.post("/v1/customers/archive", json!({ "id": usage.customer })).await.id();
    usage.api.post(GROUPS, current).await.refused(400, &none);
}

#[tokio::test]
async fn before_its_statements_a_contract_has_the_periods_of_its_calendar() {
    let usage = Usage::of("COUNT").await;
    let schedule = json!({
        "frequency": "MONTHLY", "day": "FIRST_OF_MONTH", "invoice_generation_starting_at": "2026-03-15T00:00:00Z",
    });
    usage.contract("2026-02-20T00:00:00Z", json!({ "usage_statement_schedule": schedule })).await;
    assert_eq!(usage.rows(usage.current("NONE")).await, ["01..15 null"]);
    usage.api.move_clock("2026-03-15T00:00:00Z").await;
    assert_eq!(usage.rows(usage.current("NONE")).await, ["15..01 null"]);
}

#[tokio::test]
async fn a_walk_over_the_current_period_ends_in_the_period_that_it_began_in() {
    for more in [json!({}), json!({ "group_key": ["zone"] })] {
        let usage = Usage::of("COUNT").await;
        // Where the first rows lie, another contract ran that started earlier.
        usage.contract("2026-02-01T00:00:00Z", json!({ "ending_before": "2026-03-07T00:00:00Z" })).await;
        let terms = json!({ "usage_statement_schedule": { "frequency": "WEEKLY", "day": "CONTRACT_START" } });
        usage.contract("2026-03-05T00:00:00Z", terms).await;
        for at in ["04", "05", "09"] {
            usage.event(at, "a", "u", json!(1)).await;
        }
        let mut body = usage.current("DAY");
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let whole = usage.walk(&body, 100).await;
        assert_eq!(whole[0]["starting_on"], march("05"));
        let first = page(&usage.api, &body, "limit=1").await;
        let cursor = first.body["next_page"].as_str().expect("a next page").to_owned();
        usage.api.move_clock("2026-03-13T00:00:00Z").await;
        usage.event("13", "a", "u", json!(1)).await;
        let rest = page(&usage.api, &body, &format!("next_page={cursor}")).await;
        assert_eq!(rest.body["data"].as_array().expect("rows"), &whole[1..]);
        assert_eq!(rest.body["next_page"], Value::Null);
        assert_eq!(usage.walk(&body, 100).await.iter().filter(|row| row["value"] == json!(1)).count(), 1);
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let usage = Usage::of("COUNT").await;
    let good = usage.body("DAY", "05", "07", json!({ "group_key": ["zone"] }));
    assert_eq!(usage.rows(good.clone()).await, [""; 0]);
    let filter = |name: &str, values: Value| with(&good, "/group_filters", json!({ name: values }));
    let by = |group_by: Value| with(&without(&good, "/group_key"), "/group_by", group_by);
    let many: Vec<String> = (0..201).map(|number| number.to_string()).collect();
    let in_two_lists = json!({ "zone": many[..100], "user": many[..101] });
    let two_keys = with(&with(&good, "/group_key", json!(["zone", "user"])), "/group_filters", in_two_lists);
    let current = with(&good, "/current_period", json!(true));
    let dates = ["starting_on", "ending_before"];
    let undated = without(&without(&good, "/starting_on"), "/ending_before");
    let mut cases = vec![
        (with(&good, "/window_size", json!("week")), "window_size:"),
        (with(&good, "/customer_id", json!("x")), "customer_id:"),
        (with(&good, "/billable_metric_id", json!("x")), "billable_metric_id:"),
        (undated.clone(), "starting_on: is required unless current_period"),
        (with(&undated, "/current_period", json!(false)), "starting_on: is required"),
        (with(&undated, "/current_period", Value::Null), "starting_on: is required"),
        (without(&good, "/starting_on"), "starting_on: is required"),
        (without(&good, "/ending_before"), "ending_before: is required"),
        (with(&good, "/ending_before", json!(march("05"))), "ending_before: must be at least one day after"),
        (with(&good, "/ending_before", json!(march("04"))), "ending_before: must be at least one day after"),
        (with(&good, "/starting_on", json!("2026-03-05")), "starting_on:"),
        (current.clone(), "current_period: cannot be combined"),
        (without(&current, "/starting_on"), "current_period: cannot be combined"),
        (without(&current, "/ending_before"), "current_period: cannot be combined"),
        (with(&undated, "/current_period", json!("yes")), "current_period:"),
        (with(&good, "/group_key", json!("zone")), "group_key:"),
        (with(&good, "/group_key", json!([])), "group_key: must name"),
        (with(&good, "/group_key", json!([""])), "group_key: `` is not"),
        (with(&good, "/group_key", json!(["zone", "zone"])), "group_key: names a property twice"),
        (with(&good, "/group_key", json!(["user"])), "group_key: `user` is not a group key"),
        (with(&good, "/group_key", json!(["Zone"])), "group_key: `Zone` is not a group key"),
        (
            with(&good, "/group_key", json!(["zone", "model"])),
            "group_key: `zone`, `model` is not a group key",
        ),
        (with(&good, "/group_key", json!(["zone", "user", "x"])), "group_key:"),
        (with(&good, "/group_by", json!({ "key": "zone" })), "group_by: cannot be combined with group_key"),
        (by(json!({})), "group_by: missing field `key`"),
        (by(json!({ "key": "user" })), "group_by.key: `user` is not a group key"),
        (by(json!({ "key": "zone", "values": [] })), "group_by.values: must hold 1 to 200"),
        (by(json!({ "key": "zone", "values": many })), "group_by.values: must hold 1 to 200"),
        (by(json!({ "key": "zone", "values": ["a", ""] })), "group_by.values[1]: must not be empty"),
        (by(json!({ "key": "zone", "values": [1] })), "group_by.values[0]:"),
        (
            with(&by(json!({ "key": "zone" })), "/group_filters", json!({ "zone": [] })),
            "group_filters: `zone`",
        ),
        (filter("user", json!(["a"])), "group_filters: `user` is not in group_key"),
        (filter("user", json!([])), "group_filters: `user` is not in group_key"),
        (with(&without(&good, "/group_key"), "/group_filters", json!({ "zone": ["a"] })), "group_filters:"),
        (filter("zone", json!(many)), "group_filters: at most 200 values in all"),
        (two_keys, "group_filters: at most 200 values in all"),
        (filter("zone", json!(["a", ""])), "group_filters.zone[1]: must not be empty"),
        (filter("zone", json!("a")), "group_filters.zone:"),
        (with(&good, "/group_filters", json!([])), "group_filters:"),
    ];
    for field in ["customer_id", "billable_metric_id", "window_size"] {
        cases.push((without(&good, &format!("/{field}")), field));
    }
    for field in dates {
        for instant in ["2026-03-04T01:00:00Z", "2026-03-04T00:00:00.5Z", "2026-03-04T00:00:00+02:00"] {
            cases.push((with(&good, &format!("/{field}"), json!(instant)), field));
        }
    }
    refuse(&usage.api, GROUPS, cases).await;
    let midnight_elsewhere = with(&good, "/starting_on", json!("2026-03-05T02:00:00+02:00"));
    assert_eq!(usage.rows(midnight_elsewhere).await, [""; 0], "an offset may spell midnight UTC");
}

#[tokio::test]
async fn unknown_ids_are_404_and_archived_ones_are_read() {
    let usage = Usage::of("COUNT").await;
    usage.event("05", "a", "u", json!(1)).await;
    let good = usage.body("DAY", "05", "06", json!({ "group_key": ["zone"] }));
    let unknown = "11111111-2222-4333-8444-555555555555";
    for (field, what) in [("customer_id", "customer"), ("billable_metric_id", "billable metric")] {
        let body = with(&good, &format!("/{field}"), json!(unknown));
        usage.api.post(GROUPS, body).await.refused(404, &[what, unknown]);
    }
    usage.api.post("/v1/billable-metrics/archive", json!({ "id": usage.metric })).await.id();
    usage.api.post("/v1/customers/archive", json!({ "id": usage.customer })).await.id();
    assert_eq!(usage.rows(good.clone()).await, ["05..06 zone=a 1"]);
    let reader = usage.api.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    assert_eq!(text(&reader.post(GROUPS, good).await.data()), ["05..06 zone=a 1"], "a reader may ask");
}

#[tokio::test]
async fn a_metric_without_group_keys_has_no_groups() {
    let usage = Usage::of("COUNT").await;
    let plain = usage.api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let body = with(&usage.body("DAY", "05", "06", json!({})), "/billable_metric_id", json!(plain));
    assert_eq!(usage.rows(body.clone()).await, ["05..06 null"]);
    let grouped = with(&body, "/group_key", json!(["zone"]));
    usage.api.post(GROUPS, grouped).await.refused(400, &["group_key: `zone`"]);
}

/// Sums by the start of their window.
fn sums(rows: &[Value]) -> BTreeMap<String, Decimal> {
    let mut sums = BTreeMap::new();
    for row in rows {
        if row["value"].is_null() {
            continue;
        }
        let value = parse_decimal(&row["value"].to_string()).expect("a number");
        let sum = sums.entry(row["starting_on"].to_string()).or_insert_with(zero);
        *sum += value;
    }
    sums
}

#[tokio::test]
async fn groups_of_counts_and_sums_add_up_to_the_whole() {
    let zone = prop::sample::select(vec!["a", "b", "B", "é", ""]);
    let user = prop::sample::select(vec!["u1", "u2", "u3"]);
    let model = prop::sample::select(vec!["m", "n"]);
    let event = (0_i64..9 * 24, zone, user, model, -1_000_000_i64..1_000_000, 0_u32..4, 0_usize..3);
    let events = prop::collection::vec(event, 200);
    let mut runner = TestRunner::deterministic();
    for _ in 0..2 {
        let usage = Usage::of("SUM").await;
        let count = metric(&usage.api, "COUNT").await;
        let alias = format!("/v1/customers/{}/setIngestAliases", usage.customer);
        usage.api.post(&alias, json!({ "ingest_aliases": ["acme", "acme-2"] })).await;
        let subjects = ["acme", "acme-2", usage.customer.as_str()];
        let events = events.new_tree(&mut runner).expect("a strategy").current();
        let sent: Vec<Value> = events
            .iter()
            .enumerate()
            .map(|(id, (hour, zone, user, model, mantissa, exponent, subject))| {
                let (day, hour) = (1 + hour / 24, hour % 24);
                json!({
                    "transaction_id": id.to_string(), "customer_id": subjects[*subject], "event_type": "use",
                    "timestamp": march(&format!("{day:02}T{hour:02}")),
                    "properties": {
                        "zone": zone, "user": user, "model": model, "n": format!("{mantissa}e-{exponent}"),
                    },
                })
            })
            .collect();
        for batch in sent.chunks(100) {
            usage.api.events(json!(batch)).await;
        }
        for metric in [&usage.metric, &count] {
            for window in ["HOUR", "DAY", "NONE"] {
                let body =
                    with(&usage.body(window, "01", "10", json!({})), "/billable_metric_id", json!(metric));
                let whole = usage.walk(&body, 100).await;
                for key in [&["zone"][..], &["user", "zone"], &["zone", "user", "model"]] {
                    let body = with(&body, "/group_key", json!(key));
                    let rows = usage.walk(&body, 37).await;
                    assert_eq!(sums(&rows), sums(&whole), "{window} by {key:?}");
                }
            }
        }
    }
}
