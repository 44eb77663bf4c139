//! Bodies, paths and queries that are not what they should be.

use std::convert::Infallible;
use std::fmt::Write;

use axum::body::{Body, Bytes};
use axum::http::Method;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use upbeat::access::Settings;

use crate::gzip;
use crate::support::{Answer, Api};
use crate::world::{NOW, World, number, post_with, refuse, with, without};

const METRICS: &str = "/v1/billable-metrics/create";
const PRODUCTS: &str = "/v1/contract-pricing/products/create";
const ADD_RATE: &str = "/v1/contract-pricing/rate-cards/addRate";
const ADD_RATES: &str = "/v1/contract-pricing/rate-cards/addRates";

fn metric() -> Value {
    json!({
        "name": "Tokens", "aggregation_type": "SUM", "aggregation_key": "tokens",
        "event_type_filter": { "in_values": ["use"] },
        "property_filters": [{ "name": "tokens", "exists": true }, { "name": "model", "exists": true }],
        "group_keys": [["model"]],
    })
}

fn product(world: &World) -> Value {
    json!({
        "name": "Tokens", "type": "USAGE", "billable_metric_id": world.metric,
        "quantity_conversion": { "conversion_factor": 1000, "operation": "DIVIDE" },
        "quantity_rounding": { "rounding_method": "ROUND_UP", "decimal_places": 0 },
    })
}

fn rates(world: &World) -> Value {
    let rate = json!({
        "product_id": world.product, "starting_at": "2026-04-01T00:00:00Z", "entitled": true,
        "rate_type": "TIERED", "tiers": [{ "size": 10, "price": 2 }, { "price": 1 }],
        "pricing_group_values": { "model": "small" },
    });
    json!({ "rate_card_id": world.card, "rates": [rate, rate] })
}

fn contract(world: &World) -> Value {
    json!({
        "customer_id": world.customer, "rate_card_id": world.card, "starting_at": "2026-03-01T00:00:00Z",
        "usage_statement_schedule": { "frequency": "MONTHLY", "day": "CONTRACT_START" },
    })
}

async fn raw(api: &Api, path: &str, body: impl Into<Body>) -> Answer {
    api.send(Method::POST, path, body.into()).await
}

async fn encoded(api: &Api, path: &str, encoding: &str, body: Vec<u8>) -> Answer {
    post_with(api, ("content-encoding", encoding), path, body).await
}

#[tokio::test]
async fn malformed_json_is_400() {
    let api = Api::new().await;
    let bodies: [&[u8]; 12] = [
        b"{",
        b"}",
        b"{\"name\":\"a\"",
        b"{\"name\":\"a\"} x",
        b"{'name':'a'}",
        b"name=a",
        b"\xff\xfe",
        b"{\"name\":\"\xff\"}",
        b"{\"name\":\"a\x01\"}",
        b"{\"name\":\"\\x\"}",
        b"{\"name\":NaN}",
        b"\xef\xbb\xbf{\"name\":\"a\"}",
    ];
    for path in ["/v1/customers", "/v1/ingest", METRICS, "/v2/contracts/get"] {
        for body in bodies {
            let answer = raw(&api, path, body.to_vec()).await;
            let text = String::from_utf8_lossy(body);
            assert_eq!(answer.status, 400, "{path} {text}: {}", answer.body);
            assert!(answer.body["message"].is_string(), "{}", answer.body);
        }
    }
    raw(&api, "/v1/customers", "{\"name\":").await.refused(400, &["not valid JSON", "line 1"]);
    raw(&api, "/v1/customers", "{\"name\":\"a\"} {}").await.refused(400, &["not valid JSON"]);
    assert_eq!(api.get("/v1/customers").await.data(), json!([]));
}

#[tokio::test]
async fn a_body_of_another_type_is_400() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    for operation in world.operations() {
        if operation.method == "GET" || operation.route == "/v1/ingest" {
            continue;
        }
        for body in ["null", "7", "\"text\"", "true"] {
            let method: Method = operation.method.parse().expect("a method");
            let answer = api.send(method, &operation.path, Body::from(body)).await;
            assert_eq!(answer.status, 400, "{} {body}: {}", operation.route, answer.body);
        }
    }
}

/// A struct of serde reads a list of its fields as well; a caller who sends one made a mistake.
#[tokio::test]
async fn a_list_in_place_of_an_object_is_400() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let cases = [
        ("/v1/contract-pricing/products/get", json!([world.product])),
        ("/v1/contract-pricing/rate-cards/list", json!([])),
        ("/v1/contract-pricing/products/list", json!(["ALL"])),
        ("/v1/customers", json!(["Acme", [], null, null, null, null, null, null])),
        ("/v1/ingest", json!([["t", "c", "e", NOW, {}]])),
    ];
    for (path, body) in cases {
        let answer = api.post(path, body.clone()).await;
        assert_eq!(answer.status, 400, "{path} {body}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_field_named_twice_is_400() {
    let api = Api::new().await;
    raw(&api, "/v1/customers", r#"{"name":"a","name":"b"}"#).await.refused(400, &["name"]);
}

#[tokio::test]
async fn an_empty_body_is_an_empty_object() {
    let api = Api::new().await;
    for body in ["", " ", "\r\n\t "] {
        for path in ["/v1/contract-pricing/products/list", "/v1/contract-pricing/rate-cards/list"] {
            assert_eq!(raw(&api, path, body).await.data(), json!([]));
        }
        raw(&api, "/v1/customers", body).await.refused(400, &["`name`"]);
        raw(&api, "/v1/ingest", body).await.refused(400, &["array"]);
    }
}

#[tokio::test]
async fn a_body_needs_no_content_type() {
    let api = Api::new().await;
    for content_type in ["", "text/plain", "application/x-www-form-urlencoded"] {
        post_with(&api, ("content-type", content_type), "/v1/customers", r#"{"name":"a"}"#).await.id();
    }
}

#[tokio::test]
async fn a_missing_field_is_named() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let (metric, product, rates, contract) = (metric(), product(&world), rates(&world), contract(&world));
    refuse(&api, "/v1/customers", vec![(json!({}), "`name`")]).await;
    refuse(
        &api,
        METRICS,
        vec![
            (without(&metric, "/name"), "`name`"),
            (without(&metric, "/aggregation_type"), "aggregation_type: is required unless sql is given"),
            (without(&metric, "/property_filters/1/name"), "property_filters[1]: missing field `name`"),
        ],
    )
    .await;
    refuse(
        &api,
        PRODUCTS,
        vec![
            (without(&product, "/name"), "`name`"),
            (without(&product, "/type"), "`type`"),
            (without(&product, "/billable_metric_id"), "billable_metric_id"),
            (
                without(&product, "/quantity_conversion/conversion_factor"),
                "quantity_conversion: missing field `conversion_factor`",
            ),
            (without(&product, "/quantity_conversion/operation"), "`operation`"),
            (without(&product, "/quantity_rounding/decimal_places"), "`decimal_places`"),
            (without(&product, "/quantity_rounding/rounding_method"), "`rounding_method`"),
        ],
    )
    .await;
    refuse(
        &api,
        ADD_RATES,
        vec![
            (without(&rates, "/rate_card_id"), "`rate_card_id`"),
            (without(&rates, "/rates"), "`rates`"),
            (without(&rates, "/rates/1/entitled"), "rates[1]: missing field `entitled`"),
            (without(&rates, "/rates/0/product_id"), "rates[0]: missing field `product_id`"),
            (without(&rates, "/rates/0/starting_at"), "`starting_at`"),
            (without(&rates, "/rates/0/rate_type"), "`rate_type`"),
            (without(&rates, "/rates/1/tiers/0/price"), "rates[1].tiers[0]: missing field `price`"),
        ],
    )
    .await;
    refuse(
        &api,
        "/v1/contracts/create",
        vec![
            (without(&contract, "/customer_id"), "`customer_id`"),
            (without(&contract, "/starting_at"), "`starting_at`"),
            (
                without(&contract, "/usage_statement_schedule/frequency"),
                "usage_statement_schedule: missing field `frequency`",
            ),
        ],
    )
    .await;
    for path in ["/v1/contract-pricing/products/get", "/v1/customers/archive", "/v1/billable-metrics/archive"]
    {
        refuse(&api, path, vec![(json!({}), "`id`")]).await;
    }
    let usage = json!({
        "window_size": "DAY", "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-03-02T00:00:00Z",
    });
    for field in ["window_size", "starting_on", "ending_before"] {
        let part = format!("`{field}`");
        refuse(&api, "/v1/usage", vec![(without(&usage, &format!("/{field}")), part.as_str())]).await;
    }
}

#[tokio::test]
async fn a_wrong_type_is_named_by_its_path() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let (metric, product, rates, contract) = (metric(), product(&world), rates(&world), contract(&world));
    let customer = json!({ "name": "Acme", "ingest_aliases": ["a"], "customer_config": {} });
    refuse(
        &api,
        "/v1/customers",
        vec![
            (with(&customer, "/name", json!(7)), "name:"),
            (with(&customer, "/name", json!(null)), "name:"),
            (with(&customer, "/ingest_aliases", json!("a")), "ingest_aliases:"),
            (with(&customer, "/ingest_aliases/0", json!(7)), "ingest_aliases[0]:"),
            (with(&customer, "/external_id", json!(7)), "external_id:"),
            (
                with(&customer, "/customer_config/salesforce_account_id", json!(7)),
                "customer_config.salesforce",
            ),
        ],
    )
    .await;
    refuse(
        &api,
        METRICS,
        vec![
            (with(&metric, "/aggregation_type", json!(7)), "aggregation_type:"),
            (with(&metric, "/property_filters/0/exists", json!("true")), "property_filters[0].exists:"),
            (with(&metric, "/property_filters/1/in_values", json!("a")), "property_filters[1].in_values:"),
            (with(&metric, "/property_filters/1/in_values", json!([7])), "property_filters[1].in_values[0]:"),
            (with(&metric, "/event_type_filter/in_values/0", json!(7)), "event_type_filter.in_values[0]:"),
            (with(&metric, "/group_keys/0", json!("model")), "group_keys[0]:"),
            (with(&metric, "/group_keys/0/0", json!(7)), "group_keys[0][0]:"),
        ],
    )
    .await;
    refuse(
        &api,
        PRODUCTS,
        vec![
            (with(&product, "/billable_metric_id", json!(7)), "billable_metric_id:"),
            (
                with(&product, "/quantity_rounding/decimal_places", json!(-1)),
                "quantity_rounding.decimal_places:",
            ),
            (
                with(&product, "/quantity_rounding/decimal_places", json!(1.5)),
                "quantity_rounding.decimal_places:",
            ),
            (with(&product, "/is_refundable", json!("yes")), "is_refundable:"),
            (with(&product, "/tags", json!([7])), "tags[0]:"),
            (with(&product, "/pricing_group_key", json!("model")), "pricing_group_key:"),
        ],
    )
    .await;
    refuse(
        &api,
        ADD_RATES,
        vec![
            (with(&rates, "/rates/1/tiers/0/price", json!("2")), "rates[1].tiers[0].price:"),
            (with(&rates, "/rates/1/tiers/0/size", json!({})), "rates[1].tiers[0].size:"),
            (with(&rates, "/rates/0/entitled", json!(1)), "rates[0].entitled:"),
            (
                with(&rates, "/rates/0/pricing_group_values/model", json!(7)),
                "rates[0].pricing_group_values.model:",
            ),
            (with(&rates, "/rates", json!({})), "rates:"),
        ],
    )
    .await;
    refuse(
        &api,
        "/v1/contracts/create",
        vec![
            (with(&contract, "/starting_at", json!(1_772_000_000)), "starting_at:"),
            (with(&contract, "/usage_statement_schedule", json!("MONTHLY")), "usage_statement_schedule:"),
            (
                with(&contract, "/usage_statement_schedule/frequency", json!(1)),
                "usage_statement_schedule.frequency:",
            ),
            (with(&contract, "/net_payment_terms_days", json!("30")), "net_payment_terms_days:"),
            (with(&contract, "/uniqueness_key", json!(7)), "uniqueness_key:"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_unknown_enum_value_names_the_known_ones() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let (metric, product, rates, contract) = (metric(), product(&world), rates(&world), contract(&world));
    let cases = [
        (METRICS, with(&metric, "/aggregation_type", json!("median")), "aggregation_type:", "UNIQUE"),
        (PRODUCTS, with(&product, "/type", json!("THING")), "type:", "USAGE"),
        (
            PRODUCTS,
            with(&product, "/quantity_conversion/operation", json!("ADD")),
            "quantity_conversion.operation:",
            "DIVIDE",
        ),
        (
            PRODUCTS,
            with(&product, "/quantity_rounding/rounding_method", json!("CEIL")),
            "quantity_rounding.rounding_method:",
            "ROUND_HALF_UP",
        ),
        (ADD_RATES, with(&rates, "/rates/1/rate_type", json!("FREE")), "rates[1].rate_type:", "TIERED"),
        (
            "/v1/contracts/create",
            with(&contract, "/usage_statement_schedule/frequency", json!("DAILY")),
            "usage_statement_schedule.frequency:",
            "QUARTERLY",
        ),
        (
            "/v1/contracts/create",
            with(&contract, "/usage_statement_schedule/day", json!("LAST")),
            "usage_statement_schedule.day:",
            "CUSTOM_DATE",
        ),
        (
            "/v1/contracts/create",
            with(&contract, "/multiplier_override_prioritization", json!("x")),
            "multiplier_override_prioritization:",
            "EXPLICIT",
        ),
        ("/v1/contract-pricing/products/list", json!({ "archive_filter": "SOME" }), "archive_filter:", "ALL"),
        (
            "/v1/usage",
            json!({ "window_size": "week", "starting_on": NOW, "ending_before": NOW }),
            "window_size:",
            "HOUR",
        ),
    ];
    for (path, body, field, known) in cases {
        api.post(path, body).await.refused(400, &[field, known]);
    }
    for (query, field) in [("status=OPEN", "status:"), ("type=BILL", "type:"), ("sort=up", "sort:")] {
        let path = format!("/v1/customers/{}/invoices?{query}", world.customer);
        api.get(&path).await.refused(400, &[field]);
    }
}

#[tokio::test]
async fn enums_are_read_in_any_casing_and_answered_in_one() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    for spelling in ["sum", "SUM", "Sum"] {
        let id = api.post(METRICS, with(&metric(), "/aggregation_type", json!(spelling))).await.id();
        let shown = api.get(&format!("/v1/billable-metrics/{id}")).await.data();
        assert_eq!(shown["aggregation_type"], "SUM", "{spelling}");
    }
    for spelling in ["usage", "USAGE", "Usage"] {
        let mut body = with(&product(&world), "/type", json!(spelling));
        body = with(&body, "/quantity_conversion/operation", json!("divide"));
        body = with(&body, "/quantity_rounding/rounding_method", json!("Round_Half_Up"));
        let id = api.post(PRODUCTS, body).await.id();
        let shown = api.post("/v1/contract-pricing/products/get", json!({ "id": id })).await.data();
        assert_eq!(shown["type"], "USAGE", "{spelling}");
        assert_eq!(shown["current"]["quantity_conversion"]["operation"], "DIVIDE");
        assert_eq!(shown["current"]["quantity_rounding"]["rounding_method"], "ROUND_HALF_UP");
    }
    for spelling in ["tiered", "TIERED", "Tiered"] {
        let mut body = rates(&world)["rates"][0].clone();
        body["rate_card_id"] = json!(world.card);
        body["rate_type"] = json!(spelling);
        assert_eq!(api.post(ADD_RATE, body).await.data()["rate_type"], "TIERED", "{spelling}");
    }
    for spelling in ["weekly", "WEEKLY", "Weekly"] {
        let mut body = with(&contract(&world), "/usage_statement_schedule/frequency", json!(spelling));
        body = with(&body, "/usage_statement_schedule/day", json!("first_of_month"));
        body = with(&body, "/multiplier_override_prioritization", json!("explicit"));
        let shown = api.post("/v1/contracts/create", body).await.data()["contract"].clone();
        assert_eq!(shown["usage_statement_schedule"]["frequency"], "WEEKLY", "{spelling}");
        assert_eq!(shown["multiplier_override_prioritization"], "EXPLICIT");
    }
    for query in ["status=draft", "status=DRAFT", "status=Draft", "type=usage", "sort=DATE_DESC"] {
        let path = format!("/v1/customers/{}/invoices?{query}", world.customer);
        assert_eq!(api.get(&path).await.data()[0]["status"], "DRAFT", "{query}");
    }
    for spelling in ["none", "NONE", "None"] {
        let body = json!({
            "window_size": spelling, "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-03-02T00:00:00Z",
        });
        assert_eq!(api.post("/v1/usage", body).await.status, 200, "{spelling}");
    }
}

#[tokio::test]
async fn numbers_are_exact_or_refused() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let flat = |price: &str| {
        json!({
            "rate_card_id": world.card, "product_id": world.product, "starting_at": "2026-04-01T00:00:00Z",
            "entitled": true, "rate_type": "FLAT", "price": number(price),
            "pricing_group_values": { "model": "small" },
        })
    };
    let kept = [
        ("0", "0"),
        ("-0", "0"),
        ("0.1", "0.1"),
        ("1.50", "1.5"),
        ("1e3", "1000"),
        ("15E-4", "0.0015"),
        ("1234567890123456789012345678", "1234567890123456789012345678"),
        ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
    ];
    for (sent, shown) in kept {
        let answer = api.post(ADD_RATE, flat(sent)).await.data();
        assert_eq!(answer["price"].to_string(), shown, "{sent}");
    }
    let too_long =
        ["123456789012345678901234567890", "0.123456789012345678901234567890", "1e400", "1e-400", "1e30"];
    for text in too_long {
        api.post(ADD_RATE, flat(text)).await.refused(400, &["price:"]);
    }
    refuse(&api, ADD_RATE, vec![(flat("-1"), "price:"), (flat("-1e-28"), "price:")]).await;
    for wrong in [json!("1"), json!("abc"), json!([1]), json!(true), json!({ "value": 1 })] {
        refuse(&api, ADD_RATE, vec![(with(&flat("1"), "/price", wrong), "price:")]).await;
    }
    let factor = |text: &str| with(&product(&world), "/quantity_conversion/conversion_factor", number(text));
    for text in ["123456789012345678901234567890", "1e400", "0", "-1"] {
        refuse(&api, PRODUCTS, vec![(factor(text), "quantity_conversion.conversion_factor:")]).await;
    }
    let total = with(&contract(&world), "/total_contract_value", number("123456789012345678901234567890"));
    refuse(&api, "/v1/contracts/create", vec![(total, "total_contract_value:")]).await;
}

#[tokio::test]
async fn a_number_of_a_million_digits_is_refused_at_once() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let digits = "7".repeat(1_000_000);
    for text in [digits.clone(), format!("0.{digits}"), format!("{digits}e-100")] {
        let body = with(&rates(&world), "/rates/0/tiers/0/price", json!("here")).to_string();
        let started = std::time::Instant::now();
        raw(&api, ADD_RATES, body.replace("\"here\"", &text))
            .await
            .refused(400, &["rates[0].tiers[0].price:"]);
        assert!(started.elapsed().as_secs() < 5, "one request holds a thread for {:?}", started.elapsed());
    }
}

/// serde_json reads an object with this one member as a number; on the wire it is an object like any other.
#[tokio::test]
async fn an_object_is_never_a_number() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let body = with(&rates(&world), "/rates/0/tiers/0/price", json!("here")).to_string();
    let body = body.replace("\"here\"", r#"{"$serde_json::private::Number":"2"}"#);
    raw(&api, ADD_RATES, body).await.refused(400, &["rates[0].tiers[0].price"]);
}

#[tokio::test]
async fn timestamps_have_four_digit_years_from_1970() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let at = |text: &str| with(&contract(&world), "/starting_at", json!(text));
    let bad = [
        "1969-12-31T23:00:00Z",
        "10000-01-01T00:00:00Z",
        "+10000-01-01T00:00:00Z",
        "9999-12-31T23:00:00-01:00",
        "1970-01-01T00:00:00+01:00",
        "-2026-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-03-01",
        "2026-03-01T24:00:00Z",
        "yesterday",
        "",
        "1772000000",
        "2026-03-01T00:00:00+25:00",
    ];
    for text in bad {
        refuse(&api, "/v1/contracts/create", vec![(at(text), "starting_at:")]).await;
        let rates = json!({ "rate_card_id": world.card, "at": text });
        refuse(&api, "/v1/contract-pricing/rate-cards/getRates", vec![(rates, "at:")]).await;
        let list = json!({ "customer_id": world.customer, "covering_date": text });
        refuse(&api, "/v2/contracts/list", vec![(list, "covering_date:")]).await;
    }
    for text in ["9999-12-31T23:00:00Z", "9999-12-01T00:00:00Z"] {
        let shown = api.post("/v1/contracts/create", at(text)).await.data()["contract"].clone();
        assert_eq!(shown["starting_at"], json!(text));
    }
}

#[tokio::test]
async fn the_last_and_the_first_year_are_read_back() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let contract = json!({
        "customer_id": world.customer, "starting_at": "9999-12-31T23:00:00Z",
        "usage_statement_schedule": {
            "frequency": "ANNUAL", "day": "CUSTOM_DATE", "billing_anchor_date": "1970-01-01T00:00:00Z",
        },
    });
    api.post("/v1/contracts/create", contract).await.id();
    let contract = json!({
        "customer_id": world.customer, "starting_at": "2026-03-01T00:00:00Z",
        "ending_before": "9999-12-31T23:00:00Z",
        "usage_statement_schedule": {
            "frequency": "WEEKLY", "day": "CUSTOM_DATE", "billing_anchor_date": "9999-12-31T23:00:00Z",
        },
    });
    api.post("/v1/contracts/create", contract).await.id();
    let contract = json!({
        "customer_id": world.customer, "starting_at": "1970-01-01T00:00:00Z",
        "usage_statement_schedule": { "frequency": "WEEKLY", "day": "CONTRACT_START" },
    });
    api.post("/v1/contracts/create", contract).await.id();
    for version in ["v1", "v2"] {
        let path = format!("/{version}/contracts/list");
        let listed = api.post(&path, json!({ "customer_id": world.customer })).await.data();
        assert_eq!(listed.as_array().map(Vec::len), Some(4));
    }
    for range in [
        "starting_on=1970-01-01T00:00:00Z&ending_before=9999-12-31T23:59:59Z",
        "starting_on=9999-12-31T00:00:00Z",
    ] {
        let path = format!("/v1/customers/{}/invoices?{range}", world.customer);
        assert_eq!(api.get(&path).await.status, 200, "{range}");
    }
    let rate = json!({
        "rate_card_id": world.card, "product_id": world.product, "starting_at": "1970-01-01T00:00:00Z",
        "ending_before": "9999-12-31T23:00:00Z", "entitled": true, "rate_type": "FLAT", "price": 1,
        "pricing_group_values": { "model": "large" },
    });
    api.post(ADD_RATE, rate).await.data();
    let rates = json!({ "rate_card_id": world.card, "at": "9999-12-31T22:59:59.999999Z" });
    let rates = api.post("/v1/contract-pricing/rate-cards/getRates", rates).await.data();
    assert_eq!(rates.as_array().map(Vec::len), Some(2));
    let usage = json!({
        "customer_ids": [world.customer], "billable_metrics": [{ "id": world.metric }], "window_size": "HOUR",
        "starting_on": "1970-01-01T00:00:00Z", "ending_before": "9999-12-31T00:00:00Z",
    });
    let page = api.post("/v1/usage", usage).await;
    assert_eq!(page.body["data"].as_array().map(Vec::len), Some(1000), "{}", page.body);
}

#[tokio::test]
async fn a_timestamp_without_an_offset_is_utc_except_in_events() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    for (sent, shown) in [
        ("2026-03-05T07:00:00", "2026-03-05T07:00:00Z"),
        ("2026-03-05T07:00:00.000", "2026-03-05T07:00:00Z"),
        ("2026-03-05T07:00:00+05:00", "2026-03-05T02:00:00Z"),
        ("2026-03-05T07:00:00.000000000-00:00", "2026-03-05T07:00:00Z"),
    ] {
        let body = with(&contract(&world), "/starting_at", json!(sent));
        let shown_at = api.post("/v1/contracts/create", body).await.data()["contract"]["starting_at"].clone();
        assert_eq!(shown_at, json!(shown), "{sent}");
    }
    let event = json!([{
        "transaction_id": "t", "customer_id": "c", "event_type": "e", "timestamp": "2026-03-10T07:00:00",
    }]);
    refuse(&api, "/v1/ingest", vec![(event, "[0].timestamp:")]).await;
}

#[tokio::test]
async fn terms_and_prices_change_on_the_hour_only() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    for text in [
        "2026-04-01T00:30:00Z",
        "2026-04-01T00:00:01Z",
        "2026-04-01T00:00:00.001Z",
        "2026-04-01T00:00:00+05:30",
    ] {
        let contract = contract(&world);
        let mut custom = with(&contract, "/usage_statement_schedule/day", json!("CUSTOM_DATE"));
        custom["usage_statement_schedule"]["billing_anchor_date"] = json!(text);
        refuse(
            &api,
            "/v1/contracts/create",
            vec![
                (with(&contract, "/starting_at", json!(text)), "starting_at: must be on an hour"),
                (with(&contract, "/ending_before", json!(text)), "ending_before: must be on an hour"),
                (custom, "usage_statement_schedule.billing_anchor_date: must be on an hour"),
                (
                    with(&contract, "/usage_statement_schedule/invoice_generation_starting_at", json!(text)),
                    "usage_statement_schedule.invoice_generation_starting_at: must be on an hour",
                ),
            ],
        )
        .await;
        let rates = rates(&world);
        refuse(
            &api,
            ADD_RATES,
            vec![
                (
                    with(&rates, "/rates/1/starting_at", json!(text)),
                    "rates[1].starting_at: must be on an hour",
                ),
                (
                    with(&rates, "/rates/1/ending_before", json!(text)),
                    "rates[1].ending_before: must be on an hour",
                ),
            ],
        )
        .await;
    }
    let half_past = with(&contract(&world), "/starting_at", json!("2026-04-01T05:30:00+05:30"));
    api.post("/v1/contracts/create", half_past).await.id();
}

#[tokio::test]
async fn nul_is_refused_wherever_it_is() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let cases = [
        ("/v1/customers", json!({ "name": "a\0b" }), "name:"),
        ("/v1/customers", json!({ "name": "a", "ingest_aliases": ["a", "b\0"] }), "ingest_aliases[1]:"),
        ("/v1/customers", json!({ "name": "a", "unknown\0": 1 }), "NUL"),
        (METRICS, with(&metric(), "/property_filters/0/name", json!("\0")), "property_filters[0].name:"),
        (PRODUCTS, with(&product(&world), "/tags", json!(["\0"])), "tags[0]:"),
        (
            ADD_RATES,
            with(&rates(&world), "/rates/1/pricing_group_values/model", json!("\0")),
            "rates[1].pricing_group_values.model:",
        ),
        ("/v1/contracts/create", with(&contract(&world), "/name", json!("\0")), "name:"),
    ];
    for (path, body, part) in cases {
        api.post(path, body).await.refused(400, &[part]);
    }
    for path in [
        "/v1/customers?ingest_alias=a%00b",
        "/v1/customers?salesforce_account_ids=a,%00",
        "/v1/customers?x=%00",
    ] {
        api.get(path).await.refused(400, &["NUL"]);
    }
    for path in ["/v1/customers/%00", "/v1/billable-metrics/%00"] {
        api.get(path).await.refused(400, &["is not an id (UUID)"]);
    }
    let key = api.get("/v1/customers?ingest_alias%00=a").await;
    assert!(key.status.as_u16() < 500, "{}", key.body);
    let aliases = json!({ "ingest_aliases": ["\\u0000"] });
    let set = api.post(&format!("/v1/customers/{}/setIngestAliases", world.customer), aliases).await;
    assert_eq!(set.status, 200, "a backslash before u0000 is text: {}", set.body);
    raw(&api, "/v1/customers", b"{\"name\":\"a\0b\"}".to_vec()).await.refused(400, &[]);
}

#[tokio::test]
async fn half_a_surrogate_pair_is_refused() {
    let api = Api::at(NOW).await;
    for text in [r"\ud800", r"\udc00", r"\ud800x", r"\ud800\ud800", r"\ud83d\u0041"] {
        let body = format!(r#"{{"name":"{text}"}}"#);
        raw(&api, "/v1/customers", body).await.refused(400, &[]);
        let body = format!(r#"{{"name":"a","ingest_aliases":["{text}"]}}"#);
        raw(&api, "/v1/customers", body).await.refused(400, &[]);
    }
    let id = raw(&api, "/v1/customers", r#"{"name":"\ud83d\ude00"}"#).await.id();
    assert_eq!(api.get(&format!("/v1/customers/{id}")).await.data()["name"], "😀");
}

#[tokio::test]
async fn a_megabyte_of_text_is_kept_or_refused_but_never_a_fault() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    // not of one letter only, because PostgreSQL would squeeze that
    let long = scattered(1 << 20);
    let cases = [
        ("/v1/customers", json!({ "name": "a", "customer_config": { "salesforce_account_id": long } })),
        ("/v1/customers", json!({ "name": "a", "ingest_aliases": [long] })),
        (METRICS, with(&metric(), "/name", json!(long))),
        (METRICS, with(&metric(), "/event_type_filter/in_values/0", json!(long))),
        (PRODUCTS, with(&product(&world), "/name", json!(long))),
        (PRODUCTS, with(&product(&world), "/tags", json!([long]))),
        ("/v1/contract-pricing/rate-cards/create", json!({ "name": long, "description": long })),
        ("/v1/contract-pricing/rate-cards/create", json!({ "name": "a", "aliases": [{ "name": long }] })),
        (ADD_RATES, with(&rates(&world), "/rates/1/pricing_group_values/model", json!(long))),
        ("/v1/contracts/create", with(&contract(&world), "/name", json!(long))),
        ("/v1/contracts/create", with(&contract(&world), "/salesforce_opportunity_id", json!(long))),
        ("/v1/contracts/create", with(&contract(&world), "/uniqueness_key", json!(long))),
        (
            "/v1/contracts/create",
            with(&without(&contract(&world), "/rate_card_id"), "/rate_card_alias", json!(long)),
        ),
    ];
    let mut faults = Vec::new();
    for (index, (path, body)) in cases.into_iter().enumerate() {
        let answer = api.post(path, body).await;
        if answer.status.as_u16() >= 500 {
            faults.push((index, path));
        }
    }
    assert_eq!(faults, []);
    let path = format!("/v1/customers?salesforce_account_ids={}", &long[..60_000]);
    assert_eq!(api.get(&path).await.data(), json!([]));
}

/// Text that cannot be squeezed much.
pub fn scattered(length: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let _ = write!(text, "{state:016x}");
    }
    text
}

#[tokio::test]
async fn a_body_over_ten_mebibytes_is_413() {
    let api = Api::new().await;
    let big = |bytes: usize| format!("{{\"name\":\"{}\"}}", "x".repeat(bytes));
    raw(&api, "/v1/customers", big((10 << 20) - 11)).await.id();
    for path in ["/v1/customers", "/v1/ingest", "/v2/contracts/get"] {
        let answer = raw(&api, path, big((10 << 20) - 10)).await;
        answer.refused(413, &["10485760"]);
        raw(&api, path, big(11 << 20)).await.refused(413, &["10485760"]);
    }
}

/// Bodies that begin and do not end.
fn endless(bytes: usize) -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (send, receive) = mpsc::unbounded_channel();
    send.send(Bytes::from(vec![b' '; bytes])).expect("somebody reads");
    let frames = stream::unfold(receive, async |mut receive: mpsc::UnboundedReceiver<Bytes>| {
        let next = receive.recv().await?;
        Some((Ok::<_, Infallible>(next), receive))
    });
    (send, Body::from_stream(frames.fuse()))
}

#[tokio::test]
async fn bodies_that_come_at_once_have_a_room_together_and_no_more() {
    let api = Api::at(NOW).await;
    let api = api.replica_with(Settings { body_room_bytes: 3 << 20, ..Settings::default() });
    let event =
        |id: &str| json!([{ "transaction_id": id, "customer_id": "c", "event_type": "e", "timestamp": NOW }]);
    let mut open = Vec::new();
    for path in ["/v1/ingest", "/v1/customers"] {
        let (send, body) = endless(1 << 20);
        let api = api.clone();
        open.push((send, tokio::spawn(async move { api.send(Method::POST, path, body).await })));
    }
    let large = format!("{}{}", event("large"), " ".repeat(2 << 20));
    let refused = async || raw(&api, "/v1/ingest", large.clone()).await;
    while refused().await.status == 200 {
        tokio::task::yield_now().await;
    }
    let answer = refused().await;
    answer.refused(429, &["again"]);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(encoded(&api, "/v1/ingest", "gzip", gzip::stored(large.as_bytes())).await.status, 429);
    assert_eq!(
        raw(&api, "/v1/ingest", event("small").to_string()).await.status,
        200,
        "there is room for small ones"
    );
    assert_eq!(api.get("/v1/customers").await.status, 200);

    for (send, answer) in open {
        drop(send);
        assert_eq!(answer.await.expect("an answer").status, 400);
    }
    for _ in 0..10 {
        assert_eq!(raw(&api, "/v1/ingest", large.clone()).await.status, 200, "what was taken is given back");
        let (send, body) = endless(2 << 20);
        drop(send);
        assert_eq!(api.send(Method::POST, "/v1/customers", body).await.status, 400, "also after a refusal");
    }
}

#[tokio::test]
async fn a_gzip_body_is_read() {
    let api = Api::at(NOW).await;
    let name = "é".repeat(100_000);
    let body = gzip::stored(json!({ "name": name }).to_string().as_bytes());
    let id = encoded(&api, "/v1/customers", "gzip", body).await.id();
    let shown = api.get(&format!("/v1/customers/{id}")).await.data();
    assert_eq!(shown["name"].as_str().map(|name| name.chars().count()), Some(160));
    let events = json!([{ "transaction_id": "t", "customer_id": "c", "event_type": "e", "timestamp": NOW }]);
    let body = gzip::stored(events.to_string().as_bytes());
    assert_eq!(encoded(&api, "/v1/ingest", "gzip", body).await.status, 200);
}

#[tokio::test]
async fn corrupt_gzip_is_400() {
    let api = Api::at(NOW).await;
    let whole = gzip::stored(br#"{"name":"a"}"#);
    let mut wrong_sum = whole.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    let mut wrong_block = whole.clone();
    wrong_block[12] ^= 0xff;
    let cases = [
        b"{\"name\":\"a\"}".to_vec(),
        whole[..whole.len() - 9].to_vec(),
        whole[..5].to_vec(),
        wrong_sum,
        wrong_block,
    ];
    for (index, body) in cases.into_iter().enumerate() {
        let answer = encoded(&api, "/v1/customers", "gzip", body).await;
        assert_eq!(answer.status, 400, "{index}: {}", answer.body);
        assert!(answer.body["message"].is_string());
    }
    assert_eq!(api.get("/v1/customers").await.data(), json!([]));
    for encoding in ["br", "deflate", "zstd", "nonsense", "gzip, gzip"] {
        let answer = encoded(&api, "/v1/customers", encoding, whole.clone()).await;
        answer.refused(400, &["Content-Encoding", encoding]);
    }
}

#[tokio::test]
async fn gzip_has_several_names_and_may_have_several_members() {
    let api = Api::at(NOW).await;
    let body = |id: &str| {
        let event = json!({ "transaction_id": id, "customer_id": "c", "event_type": "e", "timestamp": NOW });
        json!([event]).to_string()
    };
    for (index, encoding) in ["gzip", "GZIP", "x-gzip", " Gzip "].iter().enumerate() {
        let packed = gzip::stored(body(&index.to_string()).as_bytes());
        assert_eq!(encoded(&api, "/v1/ingest", encoding, packed).await.status, 200, "{encoding}");
    }
    assert_eq!(encoded(&api, "/v1/ingest", "identity", body("plain").into_bytes()).await.status, 200);
    let text = body("in two members");
    let (one, other) = text.split_at(20);
    let members = [gzip::stored(one.as_bytes()), gzip::stored(other.as_bytes())].concat();
    assert_eq!(encoded(&api, "/v1/ingest", "gzip", members).await.status, 200);
    // What follows a whole member is not lost in silence.
    let two = [gzip::stored(body("first").as_bytes()), gzip::stored(body("second").as_bytes())].concat();
    encoded(&api, "/v1/ingest", "gzip", two).await.refused(400, &["trailing characters"]);
    let garbage = [gzip::stored(body("third").as_bytes()), b"garbage".to_vec()].concat();
    encoded(&api, "/v1/ingest", "gzip", garbage).await.refused(400, &["cannot be read"]);
    let ids = ["0", "1", "2", "3", "plain", "in two members", "first", "second", "third"];
    let found = api.post("/v1/events/search", json!({ "transactionIds": ids })).await.body;
    assert_eq!(found.as_array().map(Vec::len), Some(6), "{found}");
}

#[tokio::test]
async fn a_gzip_bomb_is_413() {
    let api = Api::at(NOW).await;
    let (small, length) = gzip::blanks(1 << 20);
    assert!(small.len() * 100 < length, "squeezed");
    encoded(&api, "/v1/customers", "gzip", small).await.refused(400, &["`name`"]);
    for bytes in [11 << 20, 200 << 20] {
        let (bomb, _) = gzip::blanks(bytes);
        encoded(&api, "/v1/ingest", "gzip", bomb).await.refused(413, &["10485760"]);
    }
}

#[tokio::test]
async fn deep_nesting_never_breaks_the_server() {
    let api = Api::at(NOW).await;
    for depth in [100, 1000, 1_000_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for (path, body) in [
            ("/v1/customers", format!(r#"{{"name":"a","unknown":{deep}}}"#)),
            ("/v1/customers", format!(r#"{{"name":"a","custom_fields":{deep}}}"#)),
            ("/v1/customers", format!(r#"{{"name":"a\u0000","unknown":{deep}}}"#)),
            ("/v1/customers", deep.clone()),
            ("/v1/ingest", deep.clone()),
        ] {
            let answer = raw(&api, path, body).await;
            assert!(answer.status.as_u16() < 500, "{path} {depth}: {}", answer.body);
        }
    }
    assert_eq!(api.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_malformed_id_is_400_in_path_query_and_body() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    for bad in [
        "abc",
        "7",
        "00000000-0000-4000-8000-00000000000",
        "zzzzzzzz-0000-4000-8000-000000000000",
        "%ff",
        "%20",
    ] {
        for (path, field) in [
            (format!("/v1/customers/{bad}"), "customer_id"),
            (format!("/v1/customers/{bad}/invoices"), "customer_id"),
            (format!("/v1/customers/{}/invoices/{bad}", world.customer), "invoice_id"),
            (format!("/v1/billable-metrics/{bad}"), "billable_metric_id"),
            (format!("/v1/customers?customer_ids={bad}"), "customer_ids"),
            (format!("/v1/customers?customer_ids={},{bad}", world.customer), "customer_ids"),
            (format!("/v1/customers/{}/invoices?contract_id={bad}", world.customer), "contract_id"),
            (format!("/v1/customers/{}/invoices?credit_type_id={bad}", world.customer), "credit_type_id"),
        ] {
            let answer = api.get(&path).await;
            assert_eq!(answer.status, 400, "{path}: {}", answer.body);
            answer.refused(400, &[field]);
        }
        let cases = [
            ("/v1/customers/archive", json!({ "id": bad }), "id:"),
            ("/v1/contract-pricing/products/get", json!({ "id": bad }), "id:"),
            ("/v1/contracts/create", with(&contract(&world), "/customer_id", json!(bad)), "customer_id:"),
            (ADD_RATES, with(&rates(&world), "/rates/1/product_id", json!(bad)), "rates[1].product_id:"),
            (
                "/v1/usage",
                json!({
                    "customer_ids": [world.customer, bad], "window_size": "DAY",
                    "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-03-02T00:00:00Z",
                }),
                "customer_ids[1]:",
            ),
        ];
        for (path, body, part) in cases {
            api.post(path, body).await.refused(400, &[part]);
        }
    }
    let path = format!("/v1/customers/{bad}/setIngestAliases", bad = "abc");
    api.post(&path, json!({ "ingest_aliases": [] })).await.refused(400, &["customer_id"]);
}

#[tokio::test]
async fn ids_are_read_in_any_casing_and_answered_in_lower_case() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let shout = world.customer.to_uppercase();
    assert_eq!(api.get(&format!("/v1/customers/{shout}")).await.data()["id"], json!(world.customer));
    let listed = api.post("/v1/contracts/list", json!({ "customer_id": shout })).await.data();
    assert_eq!(listed[0]["customer_id"], json!(world.customer));
}

#[tokio::test]
async fn unknown_fields_and_parameters_are_ignored() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    for operation in world.operations() {
        let method: Method = operation.method.parse().expect("a method");
        let path = format!("{}?unknown=1&webhook_notification_id=x", operation.path);
        let mut body = operation.body.clone();
        let closed = [
            "/v1/contract-pricing/rate-cards/list",
            "/v1/packages/archive",
            "/v1/packages/list",
            "/v1/customers/{customer_id}/previewEvents",
        ];
        let closed = closed.contains(&operation.route) || operation.method == "PUT";
        match &mut body {
            Value::Object(members) if !closed => {
                members.insert("unknown".to_owned(), json!({ "a": [1, null] }));
            }
            Value::Array(items) => items[0]["unknown"] = json!({ "a": [1, null] }),
            _ => {}
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = api.send(method, &path, body).await;
        assert_eq!(answer.status, 200, "{}: {}", operation.route, answer.body);
    }
}

#[tokio::test]
async fn listing_rate_cards_refuses_unknown_fields() {
    let api = Api::new().await;
    let path = "/v1/contract-pricing/rate-cards/list";
    refuse(&api, path, vec![(json!({ "include_archived": true }), "include_archived")]).await;
}

#[tokio::test]
async fn a_json_body_on_a_get_is_ignored() {
    let api = Api::new().await;
    let request = api.send(Method::GET, "/v1/customers", Body::from("{")).await;
    assert_eq!(request.data(), json!([]));
}
