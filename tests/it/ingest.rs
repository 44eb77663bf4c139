//! Events: what is taken, what is refused, what counts once.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Map, Value, json};
use upbeat::access::{EnvironmentKind, Role};

use crate::bodies::scattered;
use crate::support::{Answer, Api, Metric};
use crate::world::{NOW, refuse, with};

fn event(transaction_id: &str, properties: Value) -> Value {
    json!({
        "transaction_id": transaction_id, "customer_id": "acct", "event_type": "use", "timestamp": NOW,
        "properties": properties,
    })
}

/// A server with a SUM of `n`, and the customer `acct`.
struct Meter {
    api: Api,
    metric: String,
    customer: String,
}

impl Meter {
    async fn new() -> Self {
        let api = Api::at(NOW).await;
        let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["model"] }).await;
        let customer = api.customer("acct").await;
        Self { api, metric, customer }
    }

    async fn send(&self, events: Value) -> Answer {
        self.api.post("/v1/ingest", events).await
    }

    /// The usage of the month, by model.
    async fn usage(&self) -> Value {
        let body = json!({
            "customer_ids": [self.customer], "window_size": "NONE",
            "billable_metrics": [{ "id": self.metric, "group_by": { "key": "model" } }],
            "starting_on": "2026-02-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z",
        });
        self.api.post("/v1/usage", body).await.data()[0].clone()
    }

    async fn sum(&self) -> Value {
        self.usage().await["value"].clone()
    }
}

#[tokio::test]
async fn a_request_holds_1_to_100_events() {
    let meter = Meter::new().await;
    let events = |count: usize| -> Value {
        (0..count).map(|index| event(&index.to_string(), json!({ "n": 1, "model": "a" }))).collect()
    };
    refuse(&meter.api, "/v1/ingest", vec![(events(0), "0"), (events(101), "101")]).await;
    for body in [json!({}), json!(null), json!("x"), json!({ "events": [] }), event("t", json!({}))] {
        refuse(&meter.api, "/v1/ingest", vec![(body, "array")]).await;
    }
    assert_eq!(meter.sum().await, Value::Null, "nothing of a refused request counts");
    meter.api.events(events(100)).await;
    assert_eq!(meter.sum().await, json!(100));
}

#[tokio::test]
async fn every_field_of_an_event_is_checked_and_named() {
    let meter = Meter::new().await;
    let good = json!([event("good", json!({ "n": 1, "model": "a" })), event("t", json!({}))]);
    let cases = [
        ("/1/transaction_id", json!(""), "[1].transaction_id:"),
        ("/1/transaction_id", json!("x".repeat(129)), "[1].transaction_id:"),
        ("/1/transaction_id", json!(7), "[1].transaction_id:"),
        ("/1/transaction_id", json!(null), "[1].transaction_id:"),
        ("/1/customer_id", json!(""), "[1].customer_id:"),
        ("/1/customer_id", json!(7), "[1].customer_id:"),
        ("/1/event_type", json!(""), "[1].event_type:"),
        ("/1/event_type", json!({}), "[1].event_type:"),
        ("/1/timestamp", json!("2026-03-10"), "[1].timestamp:"),
        ("/1/timestamp", json!("2026-03-10T12:00:00"), "[1].timestamp:"),
        ("/1/timestamp", json!("10000-01-01T00:00:00Z"), "[1].timestamp:"),
        ("/1/timestamp", json!("1969-12-31T23:59:59Z"), "[1].timestamp:"),
        ("/1/timestamp", json!(1_773_144_000), "[1].timestamp:"),
        ("/1/timestamp", json!("2026-03-11T12:00:00.000001Z"), "[1].timestamp:"),
        ("/1/timestamp", json!("2026-02-04T11:59:59Z"), "[1].timestamp:"),
        ("/1/properties", json!([]), "[1].properties:"),
        ("/1/properties", json!("x"), "[1].properties:"),
        ("/1", json!(7), "[1]"),
        ("/1", json!(null), "[1]"),
        ("/1", json!([]), "[1]"),
    ];
    for (pointer, value, part) in cases {
        refuse(&meter.api, "/v1/ingest", vec![(with(&good, pointer, value), part)]).await;
    }
    assert_eq!(meter.sum().await, Value::Null, "a bad event refuses the good one beside it");
    meter.api.events(good).await;
    assert_eq!(meter.sum().await, json!(1), "and uses up no transaction id");
}

#[tokio::test]
async fn the_edges_of_every_bound_are_inside() {
    let meter = Meter::new().await;
    let good = event("t", json!({}));
    let long_id = "é".repeat(128);
    for (pointer, value) in [
        ("/transaction_id", json!(long_id)),
        ("/timestamp", json!("2026-03-11T12:00:00Z")),
        ("/timestamp", json!("2026-02-04T12:00:00Z")),
        ("/timestamp", json!("2026-03-10T17:30:00.123456789+05:30")),
        ("/properties", json!(null)),
        ("/unknown", json!({ "a": 1 })),
    ] {
        meter.api.events(json!([with(&good, pointer, value)])).await;
    }
    let without_properties =
        json!([{ "transaction_id": "u", "customer_id": "c", "event_type": "e", "timestamp": NOW }]);
    meter.api.events(without_properties).await;
}

#[tokio::test]
async fn all_bad_events_are_named_at_once() {
    let meter = Meter::new().await;
    let mut early = event("early", json!({}));
    early["timestamp"] = json!("2026-01-01T00:00:00Z");
    let mut two_faults = event("", json!({}));
    two_faults["customer_id"] = json!("");
    let mut wrong_type = event("wrong type", json!({}));
    wrong_type["event_type"] = json!(["use"]);
    let mut missing = event("missing", json!({}));
    missing.as_object_mut().expect("an object").remove("timestamp");
    let list = event("list", json!([1]));
    let events = json!([event("good", json!({})), early, two_faults, wrong_type, missing, list]);
    let answer = meter.send(events).await;
    assert_eq!(answer.status, 400);
    insta::assert_json_snapshot!("several_bad_events", answer.body);
}

#[tokio::test]
async fn a_hundred_bad_events_are_all_named() {
    let meter = Meter::new().await;
    let events: Value = (0..100).map(|_| event(&"x".repeat(1000), json!({}))).collect();
    let answer = meter.send(events).await;
    let named: Vec<String> = (0..100).map(|index| format!("[{index}].transaction_id: ")).collect();
    answer.refused(400, &named.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(answer.body.to_string().len() < 10_000, "what is too long is not said again");
}

#[tokio::test]
async fn two_thousand_properties_are_the_most() {
    let meter = Meter::new().await;
    let wide = |count: usize| -> Value {
        let properties: Map<String, Value> =
            (0..count).map(|index| (format!("p{index}"), json!("1"))).collect();
        json!([event(&format!("wide {count}"), properties.into())])
    };
    refuse(&meter.api, "/v1/ingest", vec![(wide(2001), "[0].properties:")]).await;
    meter.api.events(wide(2000)).await;
}

#[tokio::test]
async fn of_repeats_in_one_request_the_first_counts() {
    let meter = Meter::new().await;
    let send = json!([
        event("t", json!({ "n": 5, "model": "a" })),
        event("t", json!({ "n": 9, "model": "b" })),
        event("T", json!({ "n": 1, "model": "a" })),
    ]);
    meter.api.events(send).await;
    let usage = meter.usage().await;
    assert_eq!((&usage["value"], &usage["groups"]), (&json!(6), &json!({ "a": 6 })), "ids differ by case");
}

#[tokio::test]
async fn a_repeat_with_other_content_is_ignored() {
    let meter = Meter::new().await;
    meter.api.events(json!([event("t", json!({ "n": 5, "model": "a" }))])).await;
    let mut other = event("t", json!({ "n": 9, "model": "b" }));
    other["customer_id"] = json!("somebody else");
    other["event_type"] = json!("something else");
    other["timestamp"] = json!("2026-03-09T00:00:00Z");
    meter.api.events(json!([other, event("u", json!({ "n": 1, "model": "a" }))])).await;
    assert_eq!(meter.sum().await, json!(6), "the rest of the request counts");
}

#[tokio::test]
async fn an_id_is_free_again_after_its_window() {
    let meter = Meter::new().await;
    meter.api.events(json!([event("t", json!({ "n": 5, "model": "a" }))])).await;
    let later = |timestamp: &str, n: u8| {
        let mut event = event("t", json!({ "n": n, "model": "a" }));
        event["timestamp"] = json!(timestamp);
        json!([event])
    };
    meter.api.move_clock("2026-04-13T12:00:00Z").await;
    meter.api.events(later("2026-03-31T00:00:00Z", 7)).await;
    assert_eq!(meter.sum().await, json!(5), "34 days later to the second it is still held");
    meter.api.move_clock("2026-04-13T12:00:01Z").await;
    meter.api.events(later("2026-03-31T00:00:00Z", 7)).await;
    assert_eq!(meter.sum().await, json!(12));
}

#[tokio::test]
async fn unknown_customers_and_types_are_not_errors_but_use_up_the_id() {
    let meter = Meter::new().await;
    let mut unknown = event("t", json!({ "n": 5, "model": "a" }));
    unknown["customer_id"] = json!("nobody yet");
    meter.api.events(json!([unknown])).await;
    meter.api.events(json!([event("t", json!({ "n": 5, "model": "a" }))])).await;
    assert_eq!(meter.sum().await, Value::Null);
    let aliases = format!("/v1/customers/{}/setIngestAliases", meter.customer);
    assert_eq!(meter.api.post(&aliases, json!({ "ingest_aliases": ["nobody yet"] })).await.status, 200);
    assert_eq!(meter.sum().await, json!(5), "an alias that is set later attaches what was sent");
}

#[tokio::test]
async fn a_customer_id_works_in_either_casing_and_an_alias_only_as_it_is() {
    let meter = Meter::new().await;
    for (index, subject) in
        [meter.customer.clone(), meter.customer.to_uppercase(), "ACCT".to_owned()].iter().enumerate()
    {
        let mut event = event(&format!("t{index}"), json!({ "n": 1, "model": "a" }));
        event["customer_id"] = json!(subject);
        meter.api.events(json!([event])).await;
    }
    assert_eq!(meter.sum().await, json!(2));
}

#[tokio::test]
async fn numbers_in_any_form_are_exact() {
    let meter = Meter::new().await;
    let values = [
        r#""0.1""#,
        "0.2",
        "1e1",
        r#"" 7 ""#,
        "-0.3",
        r#""abc""#,
        "true",
        "null",
        r#"{"a":1}"#,
        "1e400",
        "1e101",
    ];
    for (index, value) in values.iter().enumerate() {
        let body = format!(
            r#"[{{"transaction_id":"t{index}","customer_id":"acct","event_type":"use","timestamp":"{NOW}",
                "properties":{{"n":{value},"model":"a"}}}}]"#
        );
        let answer = meter.api.send(Method::POST, "/v1/ingest", Body::from(body)).await;
        assert_eq!(answer.status, 200, "{value}: {}", answer.body);
    }
    assert_eq!(meter.sum().await, json!(17));
}

#[tokio::test]
async fn quantities_beyond_28_digits_are_metered_and_make_no_fault() {
    let meter = Meter::new().await;
    let product = meter.api.product("P", &meter.metric, json!({})).await;
    let rates = meter.api.rate_card().await;
    meter.api.flat(&rates, &product, "2026-03-01T00:00:00Z", "9999999999999999999999999999", json!({})).await;
    meter.api.contract(&meter.customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
    let digits = "1234567890".repeat(5);
    for (index, n) in ["1e100", "1e-100", digits.as_str()].iter().enumerate() {
        meter.api.events(json!([event(&format!("t{index}"), json!({ "n": n, "model": "a" }))])).await;
        assert!(meter.sum().await.is_number());
        let invoice = meter.api.invoice(&meter.customer, "2026-03-01").await;
        assert_eq!(invoice["status"], "DRAFT");
        assert!(invoice["total"].is_number());
    }
    meter.api.move_clock("2026-04-03T00:00:00Z").await;
    let invoice = meter.api.invoice(&meter.customer, "2026-03-01").await;
    let is_shown_as_failed = invoice["status"] == "DRAFT" && invoice["upbeat_failure"]["reason"].is_string();
    assert!(invoice["status"] == "FINALIZED" || is_shown_as_failed, "{invoice}");
}

#[tokio::test]
async fn nul_in_an_event_is_400() {
    let meter = Meter::new().await;
    let good = json!([event("t", json!({ "n": 1, "model": "a" }))]);
    for (pointer, value, part) in [
        ("/0/transaction_id", json!("\0"), "[0].transaction_id"),
        ("/0/customer_id", json!("a\0"), "[0].customer_id"),
        ("/0/event_type", json!("\0a"), "[0].event_type"),
        ("/0/properties/model", json!("a\0b"), "[0].properties.model"),
        ("/0/properties/deep", json!({ "list": [1, "\0"] }), "[0].properties.deep.list[1]"),
        ("/0/properties", json!({ "\0": 1 }), "[0].properties"),
        ("/0/unknown", json!("\0"), "NUL"),
    ] {
        refuse(&meter.api, "/v1/ingest", vec![(with(&good, pointer, value), part)]).await;
    }
    let mut old = event("old", json!({}));
    old["timestamp"] = json!("2025-01-01T00:00:00Z");
    let several =
        json!([event("\0", json!({})), old, event("a", json!({ "a": "\0" })), event("b", json!({}))]);
    meter.send(several).await.refused(400, &["[0].transaction_id", "[1].timestamp", "[2].properties.a"]);
    assert_eq!(meter.usage().await["value"], Value::Null, "nothing of them is kept");
    // A backslash before the same letters is none.
    meter.api.events(json!([event("c", json!({ "n": 1, "model": "\\u0000" }))])).await;
    assert_eq!(meter.usage().await["groups"], json!({ "\\u0000": 1 }));
}

/// serde_json reads the member as JSON of its own: a NUL, and any depth, can hide there.
#[tokio::test]
async fn text_that_looks_like_json_stays_text() {
    let meter = Meter::new().await;
    let body = |id: usize, model: &str| {
        format!(
            r#"[{{"transaction_id":"{id}","customer_id":"acct","event_type":"use","timestamp":"{NOW}",
                "properties":{{"n":1,"model":{{"$serde_json::private::RawValue":{model}}}}}}}]"#
        )
    };
    for (id, model) in [r#""\"a\"""#, r#""not json""#, r#""\"\\u\u0030000\"""#, "7"].iter().enumerate() {
        let answer = meter.api.send(Method::POST, "/v1/ingest", Body::from(body(id, model))).await;
        assert!(answer.status.as_u16() < 500, "{model}: {}", answer.body);
    }
    let groups = meter.usage().await["groups"].clone();
    assert!(
        groups.as_object().is_none_or(|groups| groups.keys().all(|name| name.starts_with('{'))),
        "{groups}"
    );
}

#[tokio::test]
async fn json_within_json_within_json_does_not_exhaust_the_stack() {
    let meter = Meter::new().await;
    let mut nested = "1".to_owned();
    for _ in 0..18 {
        let text =
            serde_json::to_string(&format!("{}{nested}{}", "[".repeat(120), "]".repeat(120))).expect("text");
        nested = format!(r#"{{"$serde_json::private::RawValue":{text}}}"#);
    }
    assert!(nested.len() < 9 << 20, "below the limit: {}", nested.len());
    let body = format!(
        r#"[{{"transaction_id":"t","customer_id":"acct","event_type":"use","timestamp":"{NOW}",
            "properties":{{"n":1,"model":{nested}}}}}]"#
    );
    let answer = meter.api.send(Method::POST, "/v1/ingest", Body::from(body)).await;
    assert!(answer.status.as_u16() < 500, "{}", answer.status);
}

#[tokio::test]
async fn half_a_surrogate_pair_in_an_event_is_400() {
    let meter = Meter::new().await;
    for field in ["transaction_id", "customer_id", "event_type"] {
        let body = with(&json!([event("t", json!({}))]), &format!("/0/{field}"), json!("here")).to_string();
        let body = body.replace("\"here\"", r#""\ud800""#);
        let answer = meter.api.send(Method::POST, "/v1/ingest", Body::from(body)).await;
        answer.refused(400, &["[0]"]);
    }
    for properties in [r#"{"model":"\ud800"}"#, r#"{"\udc00":1}"#, r#"{"a":["\ud83d"]}"#] {
        let body = json!([event("t", json!("here"))]).to_string().replace("\"here\"", properties);
        let answer = meter.api.send(Method::POST, "/v1/ingest", Body::from(body)).await;
        answer.refused(400, &["[0].properties"]);
    }
}

#[tokio::test]
async fn any_json_is_a_property_and_deep_json_no_fault() {
    let meter = Meter::new().await;
    let properties =
        json!({ "n": 1, "model": { "a": [1, "x", null] }, "list": [], "none": null, "flag": true });
    meter.api.events(json!([event("any", properties)])).await;
    assert_eq!(meter.usage().await["groups"], json!({ "{\"a\":[1,\"x\",null]}": 1 }));
    for depth in [100, 1000, 1_000_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = json!([event(&format!("deep {depth}"), json!({ "n": 1, "model": "here" }))]).to_string();
        let body = body.replace("\"here\"", &deep);
        let answer = meter.api.send(Method::POST, "/v1/ingest", Body::from(body)).await;
        let expected = if depth == 100 { 200 } else { 400 };
        assert_eq!(answer.status.as_u16(), expected, "{depth}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_megabyte_in_any_text_of_an_event_is_kept() {
    let meter = Meter::new().await;
    let long = scattered(1 << 20);
    let mut long_subject = event("subject", json!({ "n": 1, "model": "a" }));
    long_subject["customer_id"] = json!(long);
    let mut long_type = event("type", json!({ "n": 1, "model": "a" }));
    long_type["event_type"] = json!(long);
    meter.api.events(json!([long_subject])).await;
    meter.api.events(json!([long_type])).await;
    meter.api.events(json!([event("group", json!({ "n": 2, "model": long }))])).await;
    let usage = meter.usage().await;
    assert_eq!((&usage["value"], &usage["groups"][&long]), (&json!(2), &json!(2)));
    let product = meter.api.product("P", &meter.metric, json!({ "presentation_group_key": ["model"] })).await;
    let rates = meter.api.rate_card().await;
    meter.api.flat(&rates, &product, "2026-03-01T00:00:00Z", "3", json!({})).await;
    meter.api.contract(&meter.customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
    assert_eq!(meter.api.invoice(&meter.customer, "2026-03-01").await["total"], json!(6));
    meter.api.move_clock("2026-04-03T00:00:00Z").await;
    assert_eq!(meter.api.invoice(&meter.customer, "2026-03-01").await["status"], "FINALIZED");
}

#[tokio::test]
async fn an_idempotency_key_plays_no_part() {
    let meter = Meter::new().await;
    let send = |id: &str| {
        let body = json!([event(id, json!({ "n": 1, "model": "a" }))]).to_string();
        crate::world::post_with(&meter.api, ("idempotency-key", "k"), "/v1/ingest", body)
    };
    assert_eq!(send("t").await.status, 200);
    let repeat = send("t").await;
    assert_eq!((repeat.status.as_u16(), &repeat.body), (200, &serde_json::Value::Null));
    assert!(!repeat.headers.contains_key("content-type"));
    assert_eq!(send("u").await.status, 200);
    assert_eq!(meter.sum().await, json!(2));
}

#[tokio::test]
async fn events_of_an_archived_customer_are_taken() {
    let meter = Meter::new().await;
    meter.api.post("/v1/customers/archive", json!({ "id": meter.customer })).await.id();
    meter.api.events(json!([event("t", json!({ "n": 1, "model": "a" }))])).await;
}

#[tokio::test]
async fn a_reader_may_not_ingest() {
    let meter = Meter::new().await;
    let reader = meter.api.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    reader.post("/v1/ingest", json!([event("t", json!({}))])).await.refused(403, &["reader"]);
}

#[tokio::test]
async fn usage_asks_for_midnights_known_ids_and_simple_keys() {
    let meter = Meter::new().await;
    let good = json!({
        "customer_ids": [meter.customer], "window_size": "DAY",
        "billable_metrics": [{ "id": meter.metric, "group_by": { "key": "model", "values": ["a"] } }],
        "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-03-03T00:00:00Z",
    });
    let many: Vec<String> = (0..201).map(|index| index.to_string()).collect();
    refuse(
        &meter.api,
        "/v1/usage",
        vec![
            (with(&good, "/starting_on", json!("2026-03-01T01:00:00Z")), "starting_on:"),
            (with(&good, "/ending_before", json!("2026-03-03T00:00:00+01:00")), "ending_before:"),
            (with(&good, "/ending_before", json!("2026-03-01T00:00:00Z")), "ending_before:"),
            (with(&good, "/ending_before", json!("2026-02-01T00:00:00Z")), "ending_before:"),
            (
                with(&good, "/billable_metrics/0/group_by/key", json!("n")),
                "billable_metrics[0].group_by.key:",
            ),
            (
                with(&good, "/billable_metrics/0/group_by/values", json!([])),
                "billable_metrics[0].group_by.values:",
            ),
            (
                with(&good, "/billable_metrics/0/group_by/values", json!(many)),
                "billable_metrics[0].group_by.values:",
            ),
        ],
    )
    .await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (pointer, what) in [("/customer_ids/0", "customer"), ("/billable_metrics/0/id", "billable metric")] {
        let answer = meter.api.post("/v1/usage", with(&good, pointer, json!(unknown))).await;
        answer.refused(404, &[what, unknown]);
    }
    for list in ["/customer_ids", "/billable_metrics"] {
        assert_eq!(
            meter.api.post("/v1/usage", with(&good, list, json!([]))).await.data(),
            json!([]),
            "none is none"
        );
    }
    let rows = meter.api.post("/v1/usage", good).await.data();
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "named pairs come without usage too");
    assert_eq!((&rows[0]["value"], &rows[0]["groups"]), (&Value::Null, &json!({ "a": null })));
}
