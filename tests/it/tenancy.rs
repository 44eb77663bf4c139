//! Nothing crosses from one environment to the other.

use axum::body::Body;
use axum::http::Method;
use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, Role};

use crate::support::Api;
use crate::world::{Foreign, NOW, World};

async fn two_environments() -> (Api, World, Api) {
    let sandbox = Api::at(NOW).await;
    let world = World::whole(&sandbox).await;
    let production = sandbox.with_token(EnvironmentKind::Production, Role::Admin).await;
    (sandbox, world, production)
}

#[tokio::test]
async fn every_id_of_the_other_environment_is_missing() {
    let (_, world, production) = two_environments().await;
    for operation in world.operations() {
        let method: Method = operation.method.parse().expect("a method");
        let body =
            if operation.body.is_null() { Body::empty() } else { Body::from(operation.body.to_string()) };
        let name = (operation.method, operation.route);
        if operation.foreign == Foreign::NoId {
            continue;
        }
        let answer = production.send(method, &operation.path, body).await;
        match operation.foreign {
            Foreign::NoId => {}
            Foreign::NotFound => {
                assert_eq!(answer.status, 404, "{name:?}: {}", answer.body);
                answer.refused(404, &["was not found"]);
            }
            Foreign::Field(field) => {
                assert_eq!(answer.status, 400, "{name:?}: {}", answer.body);
                answer.refused(400, &[field]);
            }
            Foreign::Code(code) => {
                assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!(code)), "{name:?}");
            }
        }
    }
}

#[tokio::test]
async fn lists_of_the_other_environment_are_empty() {
    let (_, world, production) = two_environments().await;
    for operation in world.operations() {
        let is_list = operation.foreign == Foreign::NoId && !operation.writes;
        if !is_list
            || operation.route.starts_with("/sandbox")
            || operation.route.contains("credit-types")
            || operation.route == "/v1/services"
        {
            continue;
        }
        let method: Method = operation.method.parse().expect("a method");
        let body =
            if operation.body.is_null() { Body::empty() } else { Body::from(operation.body.to_string()) };
        let answer = production.send(method, &operation.path, body).await;
        let rows = if answer.body.is_array() { answer.body } else { answer.data() };
        assert_eq!(rows, json!([]), "{}", operation.route);
    }
    let path = format!("/v1/customers?customer_ids={}", world.customer);
    assert_eq!(production.get(&path).await.data(), json!([]));
    assert_eq!(production.get("/v1/customers?ingest_alias=acct-1").await.data(), json!([]));
}

#[tokio::test]
async fn own_objects_cannot_be_joined_to_foreign_ones() {
    let (_, world, production) = two_environments().await;
    let own = World::whole(&production).await;
    let contract = json!({
        "customer_id": own.customer, "rate_card_id": world.card, "starting_at": "2026-03-01T00:00:00Z",
    });
    production.post("/v1/contracts/create", contract).await.refused(404, &["rate card"]);
    let rate = json!({
        "rate_card_id": own.card, "product_id": world.product, "starting_at": "2026-03-01T00:00:00Z",
        "entitled": true, "rate_type": "FLAT", "price": 1,
    });
    let add_rate = "/v1/contract-pricing/rate-cards/addRate";
    production.post(add_rate, rate).await.refused(404, &["product"]);
    let order = json!({ "rate_card_id": own.card, "product_order": [world.product] });
    let set_order = "/v1/contract-pricing/rate-cards/setRateCardProductsOrder";
    production.post(set_order, order).await.refused(400, &["product_order[0]"]);
    let moves = json!({ "rate_card_id": own.card, "product_moves": [{ "product_id": world.product, "position": 0 }] });
    let move_products = "/v1/contract-pricing/rate-cards/moveRateCardProducts";
    production.post(move_products, moves).await.refused(400, &["product_moves[0].product_id"]);
    let invoice = format!("/v1/customers/{}/invoices/{}", own.customer, world.invoice);
    production.get(&invoice).await.refused(404, &["invoice"]);
    let of_contract = json!({ "customer_id": own.customer, "contract_id": world.contract });
    production.post("/v1/contracts/get", of_contract.clone()).await.refused(404, &["contract"]);
    let coded = production.post("/v2/contracts/get", of_contract).await;
    assert_eq!((coded.status.as_u16(), &coded.body["code"]), (400, &json!("ContractNotFound")));
    let usage = json!({
        "billable_metrics": [{ "id": world.metric }], "window_size": "NONE",
        "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z",
    });
    production.post("/v1/usage", usage.clone()).await.refused(404, &["billable metric"]);
    let mut by_group = usage;
    for (customer, metric, missing) in
        [(&own.customer, &world.metric, "billable metric"), (&world.customer, &own.metric, "customer")]
    {
        by_group["customer_id"] = json!(customer);
        by_group["billable_metric_id"] = json!(metric);
        production.post("/v1/usage/groups", by_group.clone()).await.refused(404, &[missing]);
    }
}

#[tokio::test]
async fn keys_and_names_are_taken_in_one_environment_only() {
    let (sandbox, world, production) = two_environments().await;
    // an alias, and another environment's customer id as an alias
    let own = production.customer("acct-1").await;
    production
        .post(&format!("/v1/customers/{own}/setIngestAliases"), json!({ "ingest_aliases": [world.customer] }))
        .await
        .refused_never();
    // a uniqueness key
    for (api, customer) in [(&sandbox, &world.customer), (&production, &own)] {
        let body =
            json!({ "customer_id": customer, "starting_at": "2026-03-01T00:00:00Z", "uniqueness_key": "k" });
        api.post("/v1/contracts/create", body).await.id();
    }
    // the alias of a rate card
    let cards = "/v1/contract-pricing/rate-cards";
    let mut ids = Vec::new();
    for api in [&sandbox, &production] {
        let body = json!({ "name": "card", "aliases": [{ "name": "standard" }] });
        ids.push(api.post(&format!("{cards}/create"), body).await.id());
    }
    let update = json!({ "rate_card_id": ids[1], "aliases": [{ "name": "standard" }] });
    production.post(&format!("{cards}/update"), update).await.id();
    let held = sandbox.post(&format!("{cards}/get"), json!({ "id": ids[0] })).await.data();
    assert_eq!(held["aliases"], json!([{ "name": "standard" }]), "the other environment took nothing away");
}

#[tokio::test]
async fn one_transaction_id_counts_once_in_each_environment() {
    let sandbox = Api::new().await;
    let production = sandbox.with_token(EnvironmentKind::Production, Role::Admin).await;
    let now = sandbox.app.clock.now();
    let text = |instant: chrono::DateTime<chrono::Utc>| instant.to_rfc3339_opts(SecondsFormat::Secs, true);
    for api in [&sandbox, &production] {
        let metric =
            api.post("/v1/billable-metrics/create", json!({ "name": "m", "aggregation_type": "COUNT" }));
        let metric = metric.await.id();
        let customer = api.customer("acct").await;
        api.events(json!([{
            "transaction_id": "t", "customer_id": "acct", "event_type": "use", "timestamp": text(now),
        }]))
        .await;
        let day = |days| format!("{}T00:00:00Z", (now + TimeDelta::days(days)).date_naive());
        let rows = api
            .post(
                "/v1/usage",
                json!({
                    "customer_ids": [customer], "billable_metrics": [{ "id": metric }], "window_size": "NONE",
                    "starting_on": day(-1), "ending_before": day(2),
                }),
            )
            .await
            .data();
        assert_eq!(rows[0]["value"], json!(1));
    }
}

#[tokio::test]
async fn a_cursor_of_the_other_environment_is_400() {
    let (sandbox, _, production) = two_environments().await;
    sandbox.customer("acct-2").await;
    let page = sandbox.get("/v1/customers?limit=1").await;
    let cursor = page.body["next_page"].as_str().expect("a next page").to_owned();
    let path = format!("/v1/customers?limit=1&next_page={cursor}");
    assert_eq!(sandbox.get(&path).await.status, 200);
    production.get(&path).await.refused(400, &["next_page"]);
}

/// Reads better than an assertion in the middle of a story.
trait RefusedNever {
    fn refused_never(&self);
}

impl RefusedNever for crate::support::Answer {
    #[track_caller]
    fn refused_never(&self) {
        assert_eq!((self.status.as_u16(), &self.body), (200, &Value::Null));
    }
}
