//! Products (reference: pricing, section 3).

use serde_json::{Value, json};

use crate::support::{Api, Metric};
use crate::world::{NOW, World, number, refuse, with, without};

const CREATE: &str = "/v1/contract-pricing/products/create";
const GET: &str = "/v1/contract-pricing/products/get";

async fn good(api: &Api) -> Value {
    let metric =
        api.metric(Metric { aggregation: "SUM", key: Some("tokens"), groups: &["model", "user"] }).await;
    json!({
        "name": "Tokens", "type": "USAGE", "billable_metric_id": metric,
        "pricing_group_key": ["model"], "presentation_group_key": ["user"],
        "quantity_conversion": { "name": "to thousands", "conversion_factor": 1000, "operation": "DIVIDE" },
        "quantity_rounding": { "rounding_method": "ROUND_UP", "decimal_places": 2 },
        "tags": ["ai"], "is_refundable": false, "netsuite_internal_item_id": "n1", "netsuite_overage_item_id": "n2",
    })
}

#[tokio::test]
async fn a_product_is_shown_as_it_was_made() {
    let api = Api::at(NOW).await;
    let good = good(&api).await;
    let id = api.post(CREATE, good.clone()).await.id();
    let shown = api.post(GET, json!({ "id": id })).await.data();
    let mut state = without(&good, "/type");
    state["created_at"] = json!(NOW);
    state["created_by"] = json!("test token");
    let expected = json!({
        "id": id, "type": "USAGE", "archived_at": null, "initial": state, "current": state, "updates": [],
        "custom_fields": {},
    });
    assert_eq!(shown, expected);
    assert_eq!(api.post("/v1/contract-pricing/products/list", json!({})).await.data(), json!([shown]));
    api.post(GET, json!({ "id": "00000000-0000-4000-8000-000000000000" })).await.refused(404, &["product"]);
}

#[tokio::test]
async fn what_may_be_left_out_has_its_default() {
    let api = Api::at(NOW).await;
    let good = good(&api).await;
    let least = json!({ "name": "a", "type": "USAGE", "billable_metric_id": good["billable_metric_id"] });
    let id = api.post(CREATE, least).await.id();
    let state = api.post(GET, json!({ "id": id })).await.data()["current"].clone();
    let expected = json!({
        "name": "a", "billable_metric_id": good["billable_metric_id"], "is_refundable": true, "created_at": NOW,
        "created_by": "test token",
    });
    assert_eq!(state, expected);
    let mut nulls = good.clone();
    for field in [
        "pricing_group_key",
        "presentation_group_key",
        "quantity_conversion",
        "quantity_rounding",
        "tags",
        "is_refundable",
        "netsuite_internal_item_id",
        "netsuite_overage_item_id",
    ] {
        nulls[field] = Value::Null;
    }
    api.post(CREATE, nulls).await.id();
}

#[tokio::test]
async fn a_usage_product_needs_a_live_metric() {
    let api = Api::at(NOW).await;
    let good = good(&api).await;
    let unknown = json!("00000000-0000-4000-8000-000000000000");
    let archived = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    api.post("/v1/billable-metrics/archive", json!({ "id": archived })).await.id();
    refuse(
        &api,
        CREATE,
        vec![
            (without(&good, "/billable_metric_id"), "billable_metric_id:"),
            (with(&good, "/billable_metric_id", json!(null)), "billable_metric_id:"),
            (with(&good, "/billable_metric_id", unknown), "billable_metric_id:"),
            (with(&good, "/billable_metric_id", json!(archived)), "billable_metric_id:"),
        ],
    )
    .await;
}

#[tokio::test]
async fn group_keys_must_be_keys_of_the_metric() {
    let api = Api::at(NOW).await;
    let good = good(&api).await;
    refuse(
        &api,
        CREATE,
        vec![
            (with(&good, "/pricing_group_key", json!(["zone"])), "pricing_group_key: `zone`"),
            (with(&good, "/pricing_group_key", json!(["model", "Model"])), "`Model`"),
            (with(&good, "/pricing_group_key", json!(["tokens"])), "`tokens`"),
            (with(&good, "/presentation_group_key", json!(["zone"])), "presentation_group_key: `zone`"),
            (with(&good, "/pricing_group_key", json!(["model", "model"])), "pricing_group_key:"),
            (with(&good, "/presentation_group_key", json!(["user", "user"])), "presentation_group_key:"),
        ],
    )
    .await;
    for (pricing, presentation) in [
        (json!(["model", "user"]), json!(["model", "user"])),
        (json!(["model"]), json!(["model"])),
        (json!([]), json!([])),
    ] {
        let body = with(&with(&good, "/pricing_group_key", pricing), "/presentation_group_key", presentation);
        api.post(CREATE, body).await.id();
    }
}

#[tokio::test]
async fn conversions_and_roundings_must_make_sense() {
    let api = Api::at(NOW).await;
    let good = good(&api).await;
    let factor = |text: &str| with(&good, "/quantity_conversion/conversion_factor", number(text));
    let places = |value: Value| with(&good, "/quantity_rounding/decimal_places", value);
    refuse(
        &api,
        CREATE,
        vec![
            (factor("0"), "quantity_conversion.conversion_factor:"),
            (factor("-0.001"), "quantity_conversion.conversion_factor:"),
            (places(json!(-1)), "quantity_rounding.decimal_places:"),
            (places(json!(0.5)), "quantity_rounding.decimal_places:"),
            (places(json!("2")), "quantity_rounding.decimal_places:"),
            (places(json!(u64::MAX)), "quantity_rounding.decimal_places:"),
            (places(json!(4_294_967_295_u32)), "quantity_rounding.decimal_places:"),
        ],
    )
    .await;
    for text in ["0.000001", "1e6", "9999999999999999999999999999"] {
        let id = api.post(CREATE, factor(text)).await.id();
        let shown = api.post(GET, json!({ "id": id })).await.data();
        assert!(shown["current"]["quantity_conversion"]["conversion_factor"].is_number());
    }
    api.post(CREATE, places(json!(0))).await.id();
    for blank in ["", "  "] {
        refuse(&api, CREATE, vec![(with(&good, "/name", json!(blank)), "name:")]).await;
    }
}

#[tokio::test]
async fn the_archive_filter_reads_any_casing() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let count = async |body: Value| {
        let data = api.post("/v1/contract-pricing/products/list", body).await.data();
        data.as_array().map(Vec::len)
    };
    for filter in ["NOT_ARCHIVED", "not_archived", "ALL", "all"] {
        assert_eq!(count(json!({ "archive_filter": filter })).await, Some(1), "{filter}");
    }
    assert_eq!(count(json!({ "archive_filter": "ARCHIVED" })).await, Some(0));
    assert_eq!(count(json!({ "archive_filter": null })).await, Some(1));
    let shown = api.post(GET, json!({ "id": world.product })).await.data();
    assert_eq!(shown["archived_at"], Value::Null);
}
