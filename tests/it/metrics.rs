//! What a streaming metric may be (reference: metering, section 9).

use serde_json::{Value, json};

use crate::support::{Api, Metric};
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
