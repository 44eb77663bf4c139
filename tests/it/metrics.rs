//! What a streaming metric may be (reference: metering, section 9).

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Api, Metric, Rates};
use crate::world::{NOW, World, refuse, with, without};

const CREATE: &str = "/v1/billable-metrics/create";

fn good() -> Value {
    json!({
        "name": "Tokens", "aggregation_type": "SUM", "aggregation_key": "tokens",
        "event_type_filter": { "in_values": ["use"], "not_in_values": ["test"] },
        "property_filters": [
            { "name": "tokens", "exists": true }, { "name": "model", "in_values": ["a", "b"] },
            { "name": "zone", "exists": true, "not_in_values": ["x"] }, { "name": "internal", "exists": false },
        ],
        "group_keys": [["model"], ["model", "zone"]],
    })
}

#[tokio::test]
async fn a_metric_is_shown_as_it_was_made() {
    let api = Api::at(NOW).await;
    let id = api.post(CREATE, good()).await.id();
    let mut expected = good();
    expected["id"] = json!(id);
    expected["custom_fields"] = json!({});
    assert_eq!(api.get(&format!("/v1/billable-metrics/{id}")).await.data(), expected);
    let plain = api.post(CREATE, json!({ "name": "All", "aggregation_type": "count" })).await.id();
    let expected = json!({ "id": plain, "name": "All", "aggregation_type": "COUNT", "custom_fields": {} });
    assert_eq!(api.get(&format!("/v1/billable-metrics/{plain}")).await.data(), expected);
    let unknown = "/v1/billable-metrics/00000000-0000-4000-8000-000000000000";
    api.get(unknown).await.refused(404, &["billable metric"]);
}

#[tokio::test]
async fn every_type_but_count_needs_a_filtered_aggregation_key() {
    let api = Api::at(NOW).await;
    for kind in ["SUM", "MAX", "UNIQUE", "LATEST"] {
        let body = with(&good(), "/aggregation_type", json!(kind));
        refuse(
            &api,
            CREATE,
            vec![
                (without(&body, "/aggregation_key"), "aggregation_key"),
                (with(&body, "/aggregation_key", json!(null)), "aggregation_key"),
                (
                    with(&body, "/aggregation_key", json!("bytes")),
                    "The specified aggregation key must be one of the property filter names.",
                ),
                (with(&body, "/aggregation_key", json!("Tokens")), "aggregation_key"),
                (with(&body, "/property_filters", json!(null)), "aggregation_key"),
            ],
        )
        .await;
        api.post(CREATE, body).await.id();
    }
    let count = with(&with(&good(), "/aggregation_type", json!("COUNT")), "/aggregation_key", json!("bytes"));
    api.post(CREATE, count).await.id();
}

#[tokio::test]
async fn filters_that_say_nothing_or_never_match_are_refused() {
    let api = Api::at(NOW).await;
    let good = good();
    refuse(
        &api,
        CREATE,
        vec![
            (with(&good, "/event_type_filter/in_values", json!([])), "event_type_filter.in_values:"),
            (with(&good, "/event_type_filter/not_in_values", json!([])), "event_type_filter.not_in_values:"),
            (with(&good, "/property_filters/1/in_values", json!([])), "property_filters[1].in_values:"),
            (
                with(&good, "/property_filters/2/not_in_values", json!([])),
                "property_filters[2].not_in_values:",
            ),
            (with(&good, "/property_filters/0/name", json!("")), "property_filters[0].name:"),
            (
                with(
                    &good,
                    "/property_filters/3",
                    json!({ "name": "x", "exists": false, "in_values": ["1"] }),
                ),
                "property_filters[3]",
            ),
            (with(&good, "/name", json!(" ")), "name:"),
        ],
    )
    .await;
    for (pointer, nothing) in [
        ("/event_type_filter", json!(null)),
        ("/event_type_filter/in_values", json!(null)),
        ("/property_filters/2/not_in_values", json!(null)),
        ("/property_filters/3/exists", json!(null)),
        ("/group_keys", json!(null)),
        ("/group_keys", json!([])),
    ] {
        api.post(CREATE, with(&good, pointer, nothing)).await.id();
    }
}

#[tokio::test]
async fn group_keys_need_a_filter_that_requires_the_property() {
    let api = Api::at(NOW).await;
    let good = good();
    refuse(
        &api,
        CREATE,
        vec![
            (
                with(&good, "/group_keys", json!([["user"]])),
                "Group key 'user' does not match one of the property filter names.",
            ),
            (with(&good, "/group_keys", json!([["model", "user"]])), "Group key 'user'"),
            (with(&good, "/group_keys", json!([["internal"]])), "Group key 'internal'"),
            (with(&good, "/property_filters/2/exists", json!(null)), "Group key 'zone'"),
            (with(&good, "/group_keys", json!([[]])), "group_keys[0]"),
            (with(&good, "/group_keys", json!([["model"], ["zone", "zone"]])), "group_keys[1]"),
        ],
    )
    .await;
    let both = with(&good, "/group_keys", json!([["user"], ["team"]]));
    api.post(CREATE, both).await.refused(400, &["'user'", "'team'"]);
}

#[tokio::test]
async fn a_metric_that_breaks_many_rules_names_them_all() {
    let api = Api::at(NOW).await;
    let body = json!({
        "name": "Broken", "aggregation_type": "MAX", "aggregation_key": "bytes",
        "event_type_filter": { "in_values": [] },
        "property_filters": [{ "name": "a", "exists": false, "in_values": ["x"] }, { "name": "" }],
        "group_keys": [["b"], [], ["a", "a"]],
    });
    let answer = api.post(CREATE, body).await;
    assert_eq!(answer.status, 400);
    insta::assert_json_snapshot!("a_broken_metric", answer.body);
}

#[tokio::test]
async fn an_archived_metric_is_hidden_readable_and_takes_no_product() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let archive =
        async || api.post("/v1/billable-metrics/archive", json!({ "id": world.metric })).await.data();
    assert_eq!(archive().await, json!({ "id": world.metric }));
    api.move_clock("2026-03-11T00:00:00Z").await;
    assert_eq!(archive().await, json!({ "id": world.metric }), "again changes nothing");
    let shown = api.get(&format!("/v1/billable-metrics/{}", world.metric)).await.data();
    assert_eq!(shown["archived_at"], json!(NOW));
    assert_eq!(api.get("/v1/billable-metrics").await.data(), json!([]));
    assert_eq!(api.get("/v1/billable-metrics?include_archived=false").await.data(), json!([]));
    let all = api.get("/v1/billable-metrics?include_archived=true").await.data();
    assert_eq!(all, json!([shown]));
    let product = json!({ "name": "p", "type": "USAGE", "billable_metric_id": world.metric });
    api.post("/v1/contract-pricing/products/create", product).await.refused(400, &["billable_metric_id"]);
    let unknown = json!({ "id": "00000000-0000-4000-8000-000000000000" });
    api.post("/v1/billable-metrics/archive", unknown).await.refused(404, &["billable metric"]);
}

#[tokio::test]
async fn products_of_an_archived_metric_keep_metering_and_a_lone_one_stops() {
    let api = Api::at(NOW).await;
    let used = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let lone = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    api.product("P", &used, json!({})).await;
    let customer = api.customer("acct").await;
    for id in [&used, &lone] {
        api.post("/v1/billable-metrics/archive", json!({ "id": id })).await.id();
    }
    api.event("acct", NOW, json!({})).await;
    let value = async |metric: &str| {
        let body = json!({
            "customer_ids": [customer], "billable_metrics": [{ "id": metric }], "window_size": "NONE",
            "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z",
        });
        api.post("/v1/usage", body).await.data()[0]["value"].clone()
    };
    assert_eq!((value(&used).await, value(&lone).await), (json!(1), Value::Null));
}

#[tokio::test]
async fn only_the_name_of_a_metric_changes() {
    let api = Api::at(NOW).await;
    let id = api.post(CREATE, good()).await.id();
    let path = format!("/v1/billable-metrics/{id}");
    let before = api.get(&path).await.data();
    assert_eq!(put(&api, &path, json!({ "name": "Renamed" })).await.data(), json!({ "id": id }));
    assert_eq!(api.get(&path).await.data(), with(&before, "/name", json!("Renamed")));
    assert_eq!(api.get("/v1/billable-metrics").await.data()[0]["name"], "Renamed");
    for (body, parts) in [
        (json!({}), ["`name`", "missing"]),
        (json!({ "name": null }), ["name:", "string"]),
        (json!({ "name": 7 }), ["name:", "string"]),
        (json!({ "name": " " }), ["name:", "empty"]),
        (json!({ "name": "x", "group_keys": [["a"]] }), ["group_keys:", "only `name`"]),
        (
            json!({ "name": "x", "sql": null, "custom_fields": {} }),
            ["custom_fields, sql:", "cannot be changed"],
        ),
        (json!({ "aggregation_type": "COUNT" }), ["aggregation_type:", "cannot be changed"]),
    ] {
        put(&api, &path, body).await.refused(400, &parts);
    }
    api.send(Method::PUT, &path, Body::from(r#"{"name":"a","name":"b"}"#)).await.refused(400, &["name"]);
    assert_eq!(api.get(&path).await.data()["name"], "Renamed");
    let unknown = "00000000-0000-4000-8000-000000000000";
    let missing = format!("/v1/billable-metrics/{unknown}");
    put(&api, &missing, json!({ "name": "x" })).await.refused(404, &["billable metric", unknown]);
    put(&api, "/v1/billable-metrics/x", json!({ "name": "x" })).await.refused(400, &["billable_metric_id:"]);

    api.post("/v1/billable-metrics/archive", json!({ "id": id })).await.id();
    put(&api, &path, json!({ "name": "Old" })).await.id();
    let shown = api.get(&path).await.data();
    assert_eq!((&shown["name"], &shown["archived_at"]), (&json!("Old"), &json!(NOW)), "an archived one too");
}

async fn put(api: &Api, path: &str, body: Value) -> Answer {
    api.send(Method::PUT, path, Body::from(body.to_string())).await
}

const LEGACY: &str = "/v1/billable-metrics";

fn legacy() -> Value {
    json!({
        "name": "Tokens", "aggregate": "Sum", "aggregate_key": "tokens", "group_keys": ["zone", "model"],
        "filter": {
            "$schema": "http://json-schema.org/draft-07/schema", "type": "object", "required": ["event_type"],
            "properties": {
                "event_type": { "const": "use" },
                "properties": {
                    "type": "object", "required": ["model", "zone"], "not": { "required": ["internal"] },
                    "properties": { "model": { "enum": ["b", "a", 1.50] }, "status": { "not": { "const": 500 } } },
                },
            },
        },
    })
}

#[tokio::test]
async fn a_metric_by_schema_is_one_of_filters() {
    let api = Api::at(NOW).await;
    let answer = api.post(LEGACY, legacy()).await.data();
    let id = answer["id"].as_str().expect("an id").to_owned();
    assert_eq!(answer, json!({ "id": id }));
    let expected = json!({
        "id": id, "name": "Tokens", "aggregation_type": "SUM", "aggregation_key": "tokens",
        "event_type_filter": { "in_values": ["use"] },
        "property_filters": [
            { "name": "internal", "exists": false }, { "name": "model", "exists": true, "in_values": ["1.5", "a", "b"] },
            { "name": "status", "not_in_values": ["500"] }, { "name": "zone", "exists": true }, { "name": "tokens" },
        ],
        "group_keys": [["zone"], ["model"]], "custom_fields": {},
    });
    assert_eq!(api.get(&format!("/v1/billable-metrics/{id}")).await.data(), expected);
    let all = json!({ "name": "All", "aggregate": "count", "aggregate_key": "ignored", "filter": {} });
    let id = api.post(LEGACY, all).await.id();
    let expected = json!({ "id": id, "name": "All", "aggregation_type": "COUNT", "custom_fields": {} });
    assert_eq!(api.get(&format!("/v1/billable-metrics/{id}")).await.data(), expected);
}

#[tokio::test]
async fn a_metric_by_schema_counts_what_the_schema_matches() {
    let api = Api::at(NOW).await;
    let metric = api.post(LEGACY, legacy()).await.id();
    let customer = api.customer("acct").await;
    for properties in [
        json!({ "tokens": 1, "model": "a", "zone": "x" }),
        json!({ "tokens": 2, "model": 1.5, "zone": "x", "status": "200" }),
        json!({ "tokens": 4, "model": "a", "zone": "x", "internal": null }),
        json!({ "tokens": 8, "model": "c", "zone": "x" }),
        json!({ "tokens": 16, "model": "a" }),
        json!({ "tokens": 32, "model": "a", "zone": "x", "status": 500 }),
        json!({ "tokens": 64, "model": "a", "zone": "x", "internal": "no" }),
        json!({ "model": "a", "zone": "x" }),
    ] {
        api.event("acct", NOW, properties).await;
    }
    let body = json!({
        "customer_ids": [customer], "billable_metrics": [{ "id": metric }], "window_size": "NONE",
        "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z",
    });
    assert_eq!(api.post("/v1/usage", body).await.data()[0]["value"], json!(7));
}

#[tokio::test]
async fn what_is_wrong_with_a_metric_by_schema_is_named() {
    let api = Api::at(NOW).await;
    let good = legacy();
    let types: Vec<String> = (0..1001).map(|index| index.to_string()).collect();
    refuse(
        &api,
        LEGACY,
        vec![
            (without(&good, "/name"), "`name`"),
            (with(&good, "/name", json!("")), "name:"),
            (without(&good, "/aggregate"), "`aggregate`"),
            (with(&good, "/aggregate", json!("avg")), "aggregate:"),
            (without(&good, "/filter"), "`filter`"),
            (with(&good, "/filter", json!("x")), "filter:"),
            (with(&good, "/filter", json!([])), "filter:"),
            (without(&good, "/aggregate_key"), "aggregate_key: is required for SUM"),
            (with(&good, "/aggregate_key", json!("")), "aggregate_key:"),
            (with(&good, "/group_keys", json!([["zone"]])), "group_keys[0]:"),
            (
                with(&good, "/group_keys", json!(["zone", "status"])),
                "group_keys[1]: `status` must be in filter.",
            ),
            (
                with(&good, "/group_keys", json!(["zone", "zone"])),
                "group_keys[1]: names `zone` a second time",
            ),
            (with(&good, "/filter/anyOf", json!([{}])), "filter.anyOf: is not supported"),
            (
                with(&good, "/filter/properties/properties/properties/status", json!({ "minimum": 1 })),
                "filter.properties.properties.properties.status.minimum: is not supported",
            ),
            (
                with(&good, "/filter/properties/properties/properties/status", json!({ "const": "ok" })),
                "filter: `status` may be one of a list or absent",
            ),
            (
                with(&good, "/filter/properties/event_type", json!({ "enum": types })),
                "event_type_filter.in_values: at most 1000",
            ),
        ],
    )
    .await;
    assert_eq!(api.get(LEGACY).await.data(), json!([]), "nothing was made");
}

#[tokio::test]
async fn a_customers_metrics_say_everything_twice() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let full = api.post(CREATE, good()).await.id();
    let plain = api.post(CREATE, json!({ "name": "All", "aggregation_type": "COUNT" })).await.id();
    let path = format!("/v1/customers/{customer}/billable-metrics");
    let answer = api.get(&path).await;
    let mut mirrored = api.get(&format!("/v1/billable-metrics/{full}")).await.data();
    mirrored["group_by"] = json!(["model", "zone"]);
    mirrored["aggregate"] = json!("sum");
    mirrored["aggregate_keys"] = json!(["tokens"]);
    mirrored["filter"] = json!({
        "type": "object", "required": ["event_type"],
        "properties": {
            "event_type": { "enum": ["use"] },
            "properties": {
                "type": "object", "required": ["model", "tokens", "zone"],
                "properties": {
                    "internal": { "not": {} }, "model": { "enum": ["a", "b"] }, "zone": { "not": { "enum": ["x"] } },
                },
            },
        },
    });
    let counts = json!({
        "id": plain, "name": "All", "aggregation_type": "COUNT", "custom_fields": {}, "aggregate": "count",
        "filter": { "type": "object", "required": ["event_type"] },
    });
    assert_eq!(answer.body, json!({ "data": [counts, mirrored], "next_page": null }), "newest first");

    let again = json!({
        "name": "Again", "aggregate": mirrored["aggregate"], "aggregate_key": "tokens",
        "filter": mirrored["filter"],
    });
    let again = api.post(LEGACY, again).await.id();
    assert_eq!(api.get(&path).await.data()[0]["filter"], mirrored["filter"], "{again} is the same");
}

#[tokio::test]
async fn a_customers_metrics_are_all_or_those_that_its_contracts_price() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let lone = api.post(CREATE, json!({ "name": "lone", "aggregation_type": "COUNT" })).await.id();
    let path = format!("/v1/customers/{}/billable-metrics", world.customer);
    let ids = async |path: &str| -> Vec<String> {
        let data = api.get(path).await.data();
        let id = |row: &Value| row["id"].as_str().expect("an id").to_owned();
        data.as_array().expect("rows").iter().map(id).collect()
    };
    let current = format!("{path}?on_current_plan=true");
    assert_eq!(ids(&path).await, [lone.clone(), world.metric.clone()]);
    assert_eq!(ids(&format!("{path}?on_current_plan=false")).await.len(), 2);
    assert_eq!(ids(&current).await, std::slice::from_ref(&world.metric));
    let without_contract = api.customer("other").await;
    let of_other = format!("/v1/customers/{without_contract}/billable-metrics");
    assert_eq!(ids(&of_other).await.len(), 2);
    assert_eq!(ids(&format!("{of_other}?on_current_plan=true")).await, Vec::<String>::new());

    // contracts that are over, or still to come, or without a card
    let rates = Rates { card: world.card.clone() };
    let over = json!({ "ending_before": "2026-03-10T12:00:00Z" });
    api.contract(&without_contract, &rates, "2026-03-01T00:00:00Z", over).await;
    api.contract(&without_contract, &rates, "2026-03-10T13:00:00Z", json!({})).await;
    let bare = json!({ "customer_id": without_contract, "starting_at": "2026-03-01T00:00:00Z" });
    api.post("/v1/contracts/create", bare).await.id();
    assert_eq!(ids(&format!("{of_other}?on_current_plan=true")).await, Vec::<String>::new());
    api.move_clock("2026-03-10T13:00:00Z").await;
    assert_eq!(ids(&format!("{of_other}?on_current_plan=true")).await, std::slice::from_ref(&world.metric));

    for id in [&lone, &world.metric] {
        api.post("/v1/billable-metrics/archive", json!({ "id": id })).await.id();
    }
    assert_eq!(ids(&path).await, Vec::<String>::new());
    assert_eq!(ids(&format!("{path}?include_archived=true")).await, [lone, world.metric.clone()]);
    assert_eq!(ids(&current).await, Vec::<String>::new());
    assert_eq!(ids(&format!("{current}&include_archived=true")).await, std::slice::from_ref(&world.metric));

    api.post("/v1/customers/archive", json!({ "id": world.customer })).await.id();
    assert_eq!(ids(&format!("{current}&include_archived=true")).await, Vec::<String>::new());
    for (query, field) in [
        ("limit=0", "limit:"),
        ("on_current_plan=x", "on_current_plan:"),
        ("include_archived=x", "include_archived:"),
        ("next_page=x", "next_page:"),
    ] {
        api.get(&format!("{path}?{query}")).await.refused(400, &[field]);
    }
    let unknown = "00000000-0000-4000-8000-000000000000";
    let missing = format!("/v1/customers/{unknown}/billable-metrics");
    api.get(&missing).await.refused(404, &["customer", unknown]);
}
