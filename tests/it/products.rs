//! Products (reference: pricing, section 3).

use serde_json::{Value, json};
use sqlx::Executor;
use upbeat::access::{self, EnvironmentKind};
use upbeat::invoice::verify_invoices;
use upbeat::usage::verify_rollups;

use crate::support::{Api, Metric, product_update as update};
use crate::world::{NOW, World, number, refuse, with, without};

const CREATE: &str = "/v1/contract-pricing/products/create";
const GET: &str = "/v1/contract-pricing/products/get";
const LIST: &str = "/v1/contract-pricing/products/list";
const UPDATE: &str = "/v1/contract-pricing/products/update";
const ARCHIVE: &str = "/v1/contract-pricing/products/archive";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

async fn shown(api: &Api, product: &str) -> Value {
    api.post(GET, json!({ "id": product })).await.data()
}

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
    let shown = shown(&api, &id).await;
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
        assert_eq!(count(json!({ "archive_filter": filter })).await, Some(2), "{filter}");
    }
    assert_eq!(count(json!({ "archive_filter": "ARCHIVED" })).await, Some(0));
    assert_eq!(count(json!({ "archive_filter": null })).await, Some(2));
    assert_eq!(shown(&api, &world.product).await["archived_at"], Value::Null);
}

#[tokio::test]
async fn a_fixed_product_has_nothing_of_usage() {
    let api = Api::at(NOW).await;
    let fixed = json!({
        "name": "Support", "type": "fixed", "tags": ["care"], "is_refundable": false,
        "netsuite_internal_item_id": "n1",
    });
    let id = api.post(CREATE, fixed).await.id();
    let product = shown(&api, &id).await;
    let state = json!({
        "name": "Support", "tags": ["care"], "is_refundable": false, "netsuite_internal_item_id": "n1",
        "created_at": NOW, "created_by": "test token",
    });
    assert_eq!(
        (&product["type"], &product["initial"], &product["current"]),
        (&json!("FIXED"), &state, &state)
    );
    refuse(
        &api,
        UPDATE,
        vec![
            (update(&id, NOW, json!({ "quantity_conversion": null })), "quantity_conversion:"),
            (update(&id, NOW, json!({ "pricing_group_key": [] })), "pricing_group_key:"),
        ],
    )
    .await;
    let named =
        json!({ "name": "Care", "tags": [], "netsuite_internal_item_id": "n2", "is_refundable": true });
    api.post(UPDATE, update(&id, NOW, named)).await.id();
    assert_eq!(shown(&api, &id).await["current"]["name"], "Care");

    let card = api.rate_card().await.card;
    let rate = json!({
        "rate_card_id": card, "product_id": id, "starting_at": NOW, "entitled": true, "rate_type": "FLAT", "price": 1,
    });
    let add_rate = "/v1/contract-pricing/rate-cards/addRate";
    api.post(add_rate, rate).await.refused(400, &["product_id: ", "FIXED"]);
}

/// Fields of some types alone, with a value, and the types that have them.
fn fields_of_types(usage: &Value) -> Vec<(&'static str, Value, &'static [&'static str])> {
    vec![
        ("billable_metric_id", usage["billable_metric_id"].clone(), &["USAGE"]),
        ("pricing_group_key", usage["pricing_group_key"].clone(), &["USAGE"]),
        ("presentation_group_key", usage["presentation_group_key"].clone(), &["USAGE"]),
        ("quantity_conversion", usage["quantity_conversion"].clone(), &["USAGE"]),
        ("quantity_rounding", usage["quantity_rounding"].clone(), &["USAGE"]),
        ("sql_breakdown_granularity", json!("hour"), &["USAGE"]),
        ("netsuite_overage_item_id", json!("n2"), &["USAGE", "COMPOSITE"]),
        ("composite_product_ids", json!([]), &["COMPOSITE"]),
        ("composite_tags", json!(["x"]), &["COMPOSITE"]),
        ("composite_scope", json!("contract"), &["COMPOSITE"]),
        ("exclude_free_usage", json!(false), &["COMPOSITE"]),
        ("include_composite_spend", json!(true), &["COMPOSITE"]),
    ]
}

#[tokio::test]
async fn every_type_has_its_fields_and_no_other() {
    let api = Api::at(NOW).await;
    let usage = good(&api).await;
    let metric = json!({ "billable_metric_id": usage["billable_metric_id"] });
    let tags = json!({ "composite_tags": ["ai"] });
    for (given, shown_as, needs) in [
        ("Usage", "USAGE", metric),
        ("subscription", "SUBSCRIPTION", json!({})),
        ("COMPOSITE", "COMPOSITE", tags),
        ("fixed", "FIXED", json!({})),
        ("PROFESSIONAL_SERVICE", "PRO_SERVICE", json!({})),
        ("professional_service", "PRO_SERVICE", json!({})),
        ("Pro_Service", "PRO_SERVICE", json!({})),
    ] {
        let common = json!({
            "name": "a", "type": given, "tags": ["care"], "is_refundable": false, "netsuite_internal_item_id": "n1",
            "custom_fields": {},
        });
        let body = merged(&common, &needs);
        let id = api.post(CREATE, body.clone()).await.id();
        let product = shown(&api, &id).await;
        let mut state = json!({
            "name": "a", "tags": ["care"], "is_refundable": false, "netsuite_internal_item_id": "n1",
            "created_at": NOW, "created_by": "test token",
        });
        state = merged(&state, &needs);
        if shown_as == "COMPOSITE" {
            state["composite_scope"] = json!("CONTRACT");
        }
        assert_eq!(
            (&product["type"], &product["initial"], &product["current"]),
            (&json!(shown_as), &state, &state)
        );
        for (field, value, types) in fields_of_types(&usage) {
            let create = with(&body, &format!("/{field}"), value.clone());
            let change = update(&id, NOW, json!({ field: value }));
            if types.contains(&shown_as) {
                // What is right of these fields alone is told by other tests; no type is wrong for them.
                for answer in [api.post(CREATE, create).await, api.post(UPDATE, change).await] {
                    let text = answer.body.to_string();
                    assert!(!text.contains("is not for a"), "{field} of {shown_as}: {text}");
                }
                continue;
            }
            let part = format!("{field}: is not for a {shown_as} product");
            refuse(&api, CREATE, vec![(create, &part)]).await;
            if field != "composite_scope" {
                refuse(&api, UPDATE, vec![(change, &part)]).await;
            }
        }
        let changes =
            json!({ "name": "b", "tags": [], "is_refundable": true, "netsuite_internal_item_id": "n3" });
        api.post(UPDATE, update(&id, NOW, changes.clone())).await.id();
        let current = shown(&api, &id).await["current"].clone();
        assert_eq!(merged(&current, &changes), current);
    }
    for given in ["PROSERVICE", "USAGE ", "", "SERVICE"] {
        refuse(&api, CREATE, vec![(json!({ "name": "a", "type": given }), "type: ")]).await;
    }
}

/// The members of both, those of the second where both have one.
fn merged(one: &Value, other: &Value) -> Value {
    let mut merged = one.clone();
    merged.as_object_mut().expect("an object").extend(other.as_object().expect("an object").clone());
    merged
}

#[tokio::test]
async fn updates_are_folded_field_by_field_as_of_now() {
    let api = Api::at("2026-02-20T09:00:00Z").await;
    let good = good(&api).await;
    let id = api.post(CREATE, good.clone()).await.id();
    let thousands = json!({ "name": "1M tokens", "conversion_factor": 1_000_000, "operation": "DIVIDE" });
    let later = json!({ "name": "X", "quantity_conversion": thousands });
    assert_eq!(api.post(UPDATE, update(&id, "2026-03-01T00:00:00Z", later)).await.id(), id);
    api.move_clock("2026-02-20T10:00:00Z").await;
    let earlier = json!({ "name": "Y", "tags": [], "quantity_rounding": null, "is_refundable": null });
    api.post(UPDATE, update(&id, "2026-02-01T02:00:00+02:00", earlier)).await.id();
    api.post(UPDATE, update(&id, "2026-04-01T00:00:00Z", json!({}))).await.id();

    let mut initial = without(&good, "/type");
    initial["created_at"] = json!("2026-02-20T09:00:00Z");
    initial["created_by"] = json!("test token");
    let mut current = initial.clone();
    current["name"] = json!("Y");
    current["tags"] = json!([]);
    current["quantity_rounding"] = Value::Null;
    current["starting_at"] = json!("2026-02-01T00:00:00Z");
    let updates = json!([
        {
            "name": "Y", "tags": [], "quantity_rounding": null, "starting_at": "2026-02-01T00:00:00Z",
            "created_at": "2026-02-20T10:00:00Z", "created_by": "test token",
        },
        {
            "name": "X", "quantity_conversion": thousands, "starting_at": "2026-03-01T00:00:00Z",
            "created_at": "2026-02-20T09:00:00Z", "created_by": "test token",
        },
        {
            "starting_at": "2026-04-01T00:00:00Z", "created_at": "2026-02-20T10:00:00Z", "created_by": "test token",
        },
    ]);
    let product = shown(&api, &id).await;
    assert_eq!((&product["initial"], &product["current"]), (&initial, &current));
    assert_eq!(product["updates"], updates);

    api.move_clock("2026-03-01T00:00:00Z").await;
    current["name"] = json!("X");
    current["quantity_conversion"] = thousands;
    current["starting_at"] = json!("2026-03-01T00:00:00Z");
    let product = shown(&api, &id).await;
    assert_eq!(
        (&product["initial"], &product["current"], &product["updates"]),
        (&initial, &current, &updates)
    );
    assert_eq!(api.post(LIST, json!({})).await.data(), json!([product]));
    api.move_clock("2026-04-01T00:00:00Z").await;
    current["starting_at"] = json!("2026-04-01T00:00:00Z");
    assert_eq!(shown(&api, &id).await["current"], current);
}

#[tokio::test]
async fn an_update_that_makes_no_sense_is_refused_by_field() {
    let api = Api::at(NOW).await;
    let good = good(&api).await;
    let id = api.post(CREATE, good).await.id();
    let plain = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let archived = api.metric(Metric { aggregation: "COUNT", key: None, groups: &["model", "user"] }).await;
    api.post("/v1/billable-metrics/archive", json!({ "id": archived })).await.id();
    let body = |changes: Value| update(&id, "2026-03-10T13:00:00Z", changes);
    let conversion = |factor: &str| {
        body(json!({ "quantity_conversion": { "conversion_factor": number(factor), "operation": "DIVIDE" } }))
    };
    let rounding = |places: Value| {
        body(json!({ "quantity_rounding": { "rounding_method": "ROUND_UP", "decimal_places": places } }))
    };
    refuse(
        &api,
        UPDATE,
        vec![
            (without(&body(json!({})), "/product_id"), "product_id"),
            (without(&body(json!({})), "/starting_at"), "starting_at"),
            (with(&body(json!({})), "/product_id", json!("x")), "product_id:"),
            (update(&id, "2026-03-10T13:30:00Z", json!({})), "starting_at: must be on an hour boundary"),
            (update(&id, "2026-03-10T13:00:00.5Z", json!({})), "starting_at: must be on an hour boundary"),
            (body(json!({ "name": " " })), "name: must not be empty"),
            (body(json!({ "name": 7 })), "name:"),
            (body(json!({ "billable_metric_id": NOBODY })), "billable_metric_id: no billable metric"),
            (body(json!({ "billable_metric_id": archived })), "billable_metric_id: no billable metric"),
            (body(json!({ "billable_metric_id": plain })), "pricing_group_key: `model` is not a group key"),
            (
                body(json!({ "billable_metric_id": plain })),
                "presentation_group_key: `user` is not a group key",
            ),
            (body(json!({ "pricing_group_key": ["zone"] })), "pricing_group_key: `zone`"),
            (body(json!({ "pricing_group_key": ["model", "model"] })), "pricing_group_key: names"),
            (body(json!({ "presentation_group_key": ["Model"] })), "presentation_group_key: `Model`"),
            (conversion("0"), "quantity_conversion.conversion_factor: must be greater"),
            (conversion("-1"), "quantity_conversion.conversion_factor: must be greater"),
            (conversion("\"1\""), "quantity_conversion.conversion_factor:"),
            (rounding(json!(21)), "quantity_rounding.decimal_places: must be at most"),
            (rounding(json!(-1)), "quantity_rounding.decimal_places:"),
            (body(json!({ "quantity_conversion": {} })), "quantity_conversion"),
            (body(json!({ "quantity_conversion": 5 })), "quantity_conversion"),
            (body(json!({ "tags": "ai" })), "tags"),
            (body(json!({ "is_refundable": "yes" })), "is_refundable"),
        ],
    )
    .await;
    assert_eq!(shown(&api, &id).await["updates"], json!([]), "a refusal leaves nothing");
    api.post(UPDATE, update(NOBODY, "2026-03-10T13:00:00Z", json!({}))).await.refused(404, &["product"]);
    let both = json!({ "billable_metric_id": plain, "pricing_group_key": [], "presentation_group_key": [] });
    api.post(UPDATE, body(both)).await.id();
}

#[tokio::test]
async fn every_later_state_must_make_sense_too() {
    let api = Api::at(NOW).await;
    let good = good(&api).await;
    let id = api.post(CREATE, good.clone()).await.id();
    let plain = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let at = |day: u32, changes: Value| update(&id, &format!("2026-04-{day:02}T00:00:00Z"), changes);
    let ungrouped = json!({ "pricing_group_key": [], "presentation_group_key": [] });
    api.post(UPDATE, at(10, ungrouped.clone())).await.id();
    api.post(UPDATE, at(20, json!({ "pricing_group_key": ["user"] }))).await.id();
    // The metric alone would be without `model` and `user` at once, and with the keys gone from the 20th on.
    let swap = json!({ "billable_metric_id": plain });
    refuse(&api, UPDATE, vec![(at(5, swap.clone()), "pricing_group_key: `model` is not a group key")]).await;
    let part =
        "pricing_group_key: `user` is not a group key of the billable metric from 2026-04-20T00:00:00Z on";
    refuse(&api, UPDATE, vec![(at(10, swap.clone()), part), (at(15, swap.clone()), part)]).await;
    refuse(&api, UPDATE, vec![(at(20, swap.clone()), "pricing_group_key: `user`")]).await;
    let back = json!({ "billable_metric_id": good["billable_metric_id"] });
    api.post(UPDATE, at(20, back)).await.id();
    api.post(UPDATE, at(15, swap.clone())).await.id();
    assert_eq!(shown(&api, &id).await["updates"].as_array().map(Vec::len), Some(4));
    let keyed = json!({ "pricing_group_key": ["model"] });
    refuse(&api, UPDATE, vec![(at(12, keyed.clone()), "`model` is not a group key")]).await;
    api.post(UPDATE, at(9, keyed)).await.id();
    api.post(UPDATE, at(21, swap)).await.refused(400, &["pricing_group_key: `user`"]);
}

#[tokio::test]
async fn a_product_may_go_back_to_a_metric_that_was_archived_meanwhile() {
    let api = Api::at(NOW).await;
    let count = || Metric { aggregation: "COUNT", key: None, groups: &[] };
    let (old, new) = (api.metric(count()).await, api.metric(count()).await);
    let id = api.product("P", &old, json!({})).await;
    let other = api.product("Q", &new, json!({})).await;
    api.post(UPDATE, update(&id, "2026-03-12T00:00:00Z", json!({ "billable_metric_id": new }))).await.id();
    for metric in [&old, &new] {
        api.post("/v1/billable-metrics/archive", json!({ "id": metric })).await.id();
    }
    let to_old = json!({ "billable_metric_id": old });
    api.post(UPDATE, update(&id, "2026-03-12T00:00:00Z", to_old.clone())).await.id();
    assert_eq!(shown(&api, &id).await["updates"].as_array().map(Vec::len), Some(2));
    api.post(UPDATE, update(&other, NOW, to_old)).await.refused(400, &["billable_metric_id"]);
}

#[tokio::test]
async fn a_metric_that_a_product_uses_at_any_time_keeps_taking_events() {
    let api = Api::at(NOW).await;
    let count = || Metric { aggregation: "COUNT", key: None, groups: &[] };
    let (past, current, future, lone) = (
        api.metric(count()).await,
        api.metric(count()).await,
        api.metric(count()).await,
        api.metric(count()).await,
    );
    let id = api.product("P", &past, json!({})).await;
    api.post(UPDATE, update(&id, "2026-03-01T00:00:00Z", json!({ "billable_metric_id": current })))
        .await
        .id();
    api.post(UPDATE, update(&id, "2026-05-01T00:00:00Z", json!({ "billable_metric_id": future }))).await.id();
    let customer = api.customer("acct").await;
    for metric in [&past, &current, &future, &lone] {
        api.post("/v1/billable-metrics/archive", json!({ "id": metric })).await.id();
    }
    api.event("acct", NOW, json!({})).await;
    let mut counted = Vec::new();
    for metric in [&past, &current, &future, &lone] {
        let body = json!({
            "customer_ids": [customer], "billable_metrics": [{ "id": metric }], "window_size": "NONE",
            "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z",
        });
        counted.push(api.post("/v1/usage", body).await.data()[0]["value"].clone());
    }
    assert_eq!(counted, [json!(1), json!(1), json!(1), Value::Null]);
    let sandbox = access::list_environments(&mut api.app.db.acquire().await.expect("a connection")).await;
    for environment in sandbox.expect("a list") {
        let differences = verify_rollups(&api.app.db, environment.id).await.expect("a recount");
        assert!(differences.is_empty(), "{differences:?}");
    }
}

#[tokio::test]
async fn archiving_is_for_ever_and_changes_nothing_that_is_sold() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    api.event("acct-1", NOW, json!({ "tokens": 5, "model": "small" })).await;
    let before = api.invoice(&world.customer, "2026-03-01").await;
    assert_eq!(before["total"], 15);
    let archive = async || api.post(ARCHIVE, json!({ "product_id": world.product })).await.data();
    assert_eq!(archive().await, json!({ "id": world.product }));
    api.move_clock("2026-03-11T00:00:00Z").await;
    assert_eq!(archive().await, json!({ "id": world.product }), "again changes nothing");
    let product = shown(&api, &world.product).await;
    assert_eq!(product["archived_at"], json!(NOW));
    let fee = shown(&api, &world.fee).await;
    assert_eq!(api.post(LIST, json!({})).await.data(), json!([fee]));
    assert_eq!(api.post(LIST, json!({ "archive_filter": "ARCHIVED" })).await.data(), json!([product]));
    assert_eq!(api.post(LIST, json!({ "archive_filter": "ALL" })).await.data(), json!([product, fee]));

    let rate = json!({
        "product_id": world.product, "starting_at": NOW, "entitled": true, "rate_type": "FLAT", "price": 1,
        "pricing_group_values": { "model": "small" },
    });
    let rates = json!({ "rate_card_id": world.card, "rates": [rate] });
    let add_rates = "/v1/contract-pricing/rate-cards/addRates";
    api.post(add_rates, rates).await.refused(400, &["rates[0].product_id: ", "archived"]);
    assert_eq!(api.invoice(&world.customer, "2026-03-01").await, before);
    api.event("acct-1", NOW, json!({ "tokens": 2, "model": "small" })).await;
    assert_eq!(api.invoice(&world.customer, "2026-03-01").await["total"], 21);

    let renamed = update(&world.product, "2026-03-01T00:00:00Z", json!({ "name": "Renamed" }));
    api.post(UPDATE, renamed).await.id();
    assert_eq!(api.invoice(&world.customer, "2026-03-01").await["line_items"][0]["name"], "Renamed");
    for body in [json!({}), json!({ "product_id": null }), json!({ "id": world.product })] {
        refuse(&api, ARCHIVE, vec![(body, "product_id")]).await;
    }
    api.post(ARCHIVE, json!({ "product_id": NOBODY })).await.refused(404, &["product"]);
}

#[tokio::test]
async fn a_rate_must_have_the_key_of_the_product_at_some_time_under_it() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["model"] }).await;
    let id = api.product("P", &metric, json!({})).await;
    let keyed = json!({ "pricing_group_key": ["model"] });
    api.post(UPDATE, update(&id, "2026-04-01T00:00:00Z", keyed)).await.id();
    let card = api.rate_card().await.card;
    let add = async |start: &str, end: Value, values: Value| {
        let body = json!({
            "rate_card_id": card, "product_id": id, "starting_at": start, "ending_before": end, "entitled": true,
            "rate_type": "FLAT", "price": 1, "pricing_group_values": values,
        });
        api.post("/v1/contract-pricing/rate-cards/addRate", body).await
    };
    let (march, april, small) = ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", json!({ "model": "small" }));
    for (start, end, values) in [
        (march, Value::Null, json!({})),
        (march, json!(april), json!({})),
        (march, Value::Null, small.clone()),
        (april, Value::Null, small.clone()),
    ] {
        add(start, end, values).await.data();
    }
    add(march, json!(april), small).await.refused(400, &["pricing_group_values: the product has no"]);
    add(april, Value::Null, json!({}))
        .await
        .refused(400, &["pricing_group_values: must have exactly the keys model"]);
    let wrong = json!({ "zone": "a" });
    add(march, Value::Null, wrong).await.refused(400, &["pricing_group_values:"]);
}

#[tokio::test]
async fn rates_show_the_product_as_it_is_at_their_instant() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let changes = json!({ "name": "Renamed", "tags": ["new"] });
    api.post(UPDATE, update(&world.product, "2026-04-01T00:00:00Z", changes)).await.id();
    let rates = async |at: &str, selectors: Value| {
        let body = json!({ "rate_card_id": world.card, "at": at, "selectors": selectors });
        let rates = api.post("/v1/contract-pricing/rate-cards/getRates", body).await.data();
        let rates = rates.as_array().expect("rates").iter();
        rates.map(|rate| json!([rate["product_name"], rate["product_tags"]])).collect::<Vec<_>>()
    };
    assert_eq!(rates("2026-03-31T23:59:59Z", json!([])).await, [json!(["Tokens", []])]);
    assert_eq!(rates("2026-04-01T00:00:00Z", json!([])).await, [json!(["Renamed", ["new"]])]);
    let new = json!([{ "product_tags": ["new", "x"] }]);
    assert_eq!(rates("2026-03-31T23:59:59Z", new.clone()).await, Vec::<Value>::new());
    assert_eq!(rates("2026-04-01T00:00:00Z", new).await.len(), 1);
}

#[tokio::test]
async fn verify_recomputes_an_invoice_with_the_updates_and_the_instant_that_it_saw() {
    let api = Api::at("2026-02-20T00:00:00Z").await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    let rates = api.rate_card().await;
    let mut products = Vec::new();
    for name in ["A", "B"] {
        let product = api.product(name, &metric, json!({ "tags": ["old"] })).await;
        api.flat(&rates, &product, "2026-02-01T00:00:00Z", "1", json!({})).await;
        products.push(product);
    }
    let customer = api.customer("acct").await;
    api.contract(&customer, &rates, "2026-02-01T00:00:00Z", json!({})).await;
    api.event("acct", "2026-02-19T00:00:00Z", json!({ "n": 60 })).await;
    let minutes = json!({ "quantity_conversion": { "conversion_factor": 60, "operation": "DIVIDE" } });
    api.post(UPDATE, update(&products[1], "2026-02-01T00:00:00Z", minutes)).await.id();
    api.post(UPDATE, update(&products[0], "2026-03-02T00:00:00Z", json!({ "tags": ["due"] }))).await.id();
    api.post(UPDATE, update(&products[1], "2026-03-02T01:00:00Z", json!({ "tags": ["too late"] })))
        .await
        .id();
    api.move_clock("2026-03-05T00:00:00Z").await;
    let february = api.invoice(&customer, "2026-02-01").await;
    assert_eq!((&february["status"], &february["total"]), (&json!("FINALIZED"), &json!(61)));
    let tags: Vec<&Value> =
        february["line_items"].as_array().expect("lines").iter().map(|line| &line["product_tags"]).collect();
    assert_eq!(tags, [&json!(["due"]), &json!(["old"])], "as of the instant of finalization");

    let mut db = api.app.db.acquire().await.expect("a connection");
    let sandbox = access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    drop(db);
    let faults = async || verify_invoices(&api.app.db, sandbox.id).await.expect("a recount").1.len();
    assert_eq!(faults().await, 0);
    for (product, changes) in [
        (0, json!({ "name": "Renamed", "tags": ["backdated"] })),
        (1, json!({ "quantity_conversion": null })),
        (0, json!({ "quantity_conversion": { "conversion_factor": 7, "operation": "MULTIPLY" } })),
    ] {
        api.post(UPDATE, update(&products[product], "2026-02-01T00:00:00Z", changes)).await.id();
        assert_eq!(faults().await, 0);
    }
    assert_eq!(api.invoice(&customer, "2026-02-01").await, february);
    let order = "UPDATE rate_card_product SET position = -position";
    sqlx::query(order).execute(&api.app.db).await.expect("another order of products");
    assert_eq!(faults().await, 0, "the order of products on the card says nothing about an amount");
    for forged in ["NULL", "1", "seen_product_update + 1"] {
        let update =
            format!("UPDATE invoice SET seen_product_update = {forged} WHERE starts_at = '2026-02-01'");
        let mut db = api.app.db.begin().await.expect("a transaction");
        let seen: Option<i64> = sqlx::query_scalar("SELECT seen_product_update FROM invoice")
            .fetch_one(&mut *db)
            .await
            .expect("one invoice");
        db.execute(sqlx::AssertSqlSafe(update)).await.expect("the invoice is changed");
        db.commit().await.expect("the change");
        assert_eq!(faults().await, 1, "{forged} is not {seen:?}");
        let back = sqlx::query("UPDATE invoice SET seen_product_update = $1").bind(seen);
        back.execute(&api.app.db).await.expect("the invoice is mended");
    }
    assert_eq!(faults().await, 0);
}
