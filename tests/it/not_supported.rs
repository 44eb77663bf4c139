//! What is not built yet says so: operations by 501, fields by 400. Nothing is ignored in silence.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, Role};
use upbeat::app::MISSING;

use crate::support::Api;
use crate::world::{NOW, World, with};

/// A path of the route, with some id for each of its parameters.
fn path_of(route: &str) -> String {
    let fill = |part: &str| {
        if part.starts_with('{') { "00000000-0000-4000-8000-000000000000" } else { part }.to_owned()
    };
    route.split('/').map(fill).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn an_operation_that_is_not_built_is_501_by_name() {
    let api = Api::new().await;
    let reader = api.with_token(EnvironmentKind::Production, Role::Reader).await;
    assert!(!MISSING.is_empty());
    for (method, route) in MISSING {
        for (api, body) in [(&api, "{}"), (&api, ""), (&reader, "not JSON")] {
            let method: Method = method.parse().expect("a method");
            let answer = api.send(method, &path_of(route), Body::from(body)).await;
            assert_eq!(answer.status, 501, "{route}: {}", answer.body);
        }
        let answer = api.send(method.parse().expect("a method"), &path_of(route), Body::empty()).await;
        answer.refused(501, &[&format!("{method} {route}"), "not supported"]);
        assert_eq!(answer.body.as_object().map(serde_json::Map::len), Some(1), "{}", answer.body);
    }
}

#[tokio::test]
async fn an_operation_that_is_not_built_wants_a_token_too() {
    let api = Api::new().await;
    for (method, route) in MISSING {
        let request =
            Request::builder().method(*method).uri(path_of(route)).body(Body::empty()).expect("a request");
        assert_eq!(api.request(request).await.status, 401, "{method} {route}");
    }
}

/// Sends the body with each field, asked for in several ways and then for nothing.
async fn refuses_fields(api: &Api, path: &str, good: &Value, at: &str, fields: &[&str]) {
    let asks = [json!("x"), json!(1), json!(true), json!([1]), json!([{}]), json!({ "a": null })];
    let shown = at.trim_start_matches('/').replace("/0", "[0]").replace("/1", "[1]");
    for field in fields {
        let name = if shown.is_empty() { (*field).to_owned() } else { format!("{shown}.{field}") };
        for value in &asks {
            let answer = api.post(path, with(good, &format!("{at}/{field}"), value.clone())).await;
            assert_eq!(answer.status, 400, "{path} {field} {value}: {}", answer.body);
            answer.refused(400, &[&format!("{name}: "), "not supported"]);
        }
    }
    for nothing in [json!(null), json!(false), json!([]), json!({})] {
        let mut body = good.clone();
        for field in fields {
            body = with(&body, &format!("{at}/{field}"), nothing.clone());
        }
        let answer = api.post(path, body).await;
        assert_eq!(answer.status, 200, "{path} {nothing}: {}", answer.body);
    }
}

#[tokio::test]
async fn fields_of_a_customer_that_are_not_supported_are_refused() {
    let api = Api::new().await;
    let fields = [
        "customer_billing_provider_configurations",
        "customer_revenue_system_configurations",
        "billing_config",
    ];
    for path in ["/v1/customers", "/v1/customers/create"] {
        refuses_fields(&api, path, &json!({ "name": "a" }), "", &fields).await;
    }
}

#[tokio::test]
async fn fields_of_a_metric_that_are_not_supported_are_refused() {
    let api = Api::new().await;
    let legacy = json!({ "name": "a", "aggregate": "COUNT", "filter": {} });
    refuses_fields(&api, "/v1/billable-metrics", &legacy, "", &["group_values"]).await;
}

#[tokio::test]
async fn fields_of_a_rate_that_are_not_supported_are_refused() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let mut rate = json!({
        "product_id": world.product, "starting_at": "2026-04-01T00:00:00Z", "entitled": true, "rate_type": "FLAT",
        "price": 4, "pricing_group_values": { "model": "small" },
    });
    let fields = ["custom_rate"];
    let many = json!({ "rate_card_id": world.card, "rates": [rate, rate] });
    refuses_fields(&api, "/v1/contract-pricing/rate-cards/addRates", &many, "/rates/1", &fields).await;
    rate["rate_card_id"] = json!(world.card);
    for path in ["/v1/contract-pricing/rate-cards/addRate", "/v1/contract-pricing/rate-cards/rates/add"] {
        refuses_fields(&api, path, &rate, "", &fields).await;
    }
    for kind in ["CUSTOM", "custom"] {
        let path = "/v1/contract-pricing/rate-cards/addRates";
        let answer = api.post(path, with(&many, "/rates/1/rate_type", json!(kind))).await;
        answer.refused(400, &["rates[1].rate_type: ", "not supported", kind]);
    }
}

#[tokio::test]
async fn fields_of_a_contract_that_are_not_supported_are_refused() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let good = json!({ "customer_id": world.customer, "starting_at": "2026-03-01T00:00:00Z" });
    let fields = [
        "discounts",
        "professional_services",
        "reseller_royalties",
        "hierarchy_configuration",
        "subscriptions",
        "billing_provider_configuration",
        "revenue_system_configuration",
        "spend_threshold_configuration",
        "prepaid_balance_threshold_configuration",
        "spend_trackers",
    ];
    refuses_fields(&api, "/v1/contracts/create", &good, "", &fields).await;
}

#[tokio::test]
async fn fields_of_a_package_that_are_not_supported_are_refused() {
    let api = Api::new().await;
    let fields = [
        "subscriptions",
        "billing_provider",
        "delivery_method",
        "spend_threshold_configuration",
        "prepaid_balance_threshold_configuration",
        "spend_trackers",
    ];
    refuses_fields(&api, "/v1/packages/create", &json!({ "name": "a" }), "", &fields).await;
}
