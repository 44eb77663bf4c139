//! Custom fields: keys, values, uniqueness, and where they are shown (reference: platform, section 8).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, Role};

use crate::concurrency::race;
use crate::support::{Api, charge};
use crate::world::{NOW, World};

const SET: &str = "/v1/customFields/setValues";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

async fn add_key(api: &Api, entity: &str, key: &str, unique: bool) {
    let body = json!({ "entity": entity, "key": key, "enforce_uniqueness": unique });
    let answer = api.post("/v1/customFields/addKey", body).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &Value::Null));
    assert!(!answer.headers.contains_key("content-type"));
}

fn values(entity: &str, id: &str, fields: &Value) -> Value {
    json!({ "entity": entity, "entity_id": id, "custom_fields": fields })
}

async fn set(api: &Api, entity: &str, id: &str, fields: Value) {
    let answer = api.post(SET, values(entity, id, &fields)).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &Value::Null), "{entity}");
}

async fn keys(api: &Api, body: Value) -> Vec<(String, String)> {
    let data = api.post("/v1/customFields/listKeys", body).await.data();
    let text = |key: &Value, name: &str| key[name].as_str().expect("text").to_owned();
    data.as_array().expect("a list").iter().map(|key| (text(key, "entity"), text(key, "key"))).collect()
}

async fn of_customer(api: &Api, customer: &str) -> Value {
    api.get(&format!("/v1/customers/{customer}")).await.data()["custom_fields"].clone()
}

#[tokio::test]
async fn keys_are_on_a_list_for_each_type() {
    let api = Api::at(NOW).await;
    add_key(&api, "customer", "account", true).await;
    add_key(&api, "contract", "account", false).await;
    add_key(&api, "customer", "a", false).await;
    let pair = |entity: &str, key: &str| (entity.to_owned(), key.to_owned());
    let all = [pair("contract", "account"), pair("customer", "a"), pair("customer", "account")];
    assert_eq!(keys(&api, json!({})).await, all);
    assert_eq!(keys(&api, json!({ "entities": ["customer"] })).await, all[1..]);
    assert_eq!(keys(&api, json!({ "entities": [] })).await, []);
    let listed = api.post("/v1/customFields/listKeys", json!({ "entities": ["contract"] })).await;
    let row = json!({ "entity": "contract", "key": "account", "enforce_uniqueness": false });
    assert_eq!(listed.body, json!({ "data": [row], "next_page": null }));

    let again = json!({ "entity": "customer", "key": "account", "enforce_uniqueness": false });
    api.post("/v1/customFields/addKey", again).await.refused(409, &["key", "account", "customer"]);
    let removed = json!({ "entity": "customer", "key": "account" });
    assert_eq!(api.post("/v1/customFields/removeKey", removed.clone()).await.status, 200);
    api.post("/v1/customFields/removeKey", removed).await.refused(404, &["key", "account"]);
    assert_eq!(keys(&api, json!({ "entities": ["customer"] })).await, all[1..2]);
}

#[tokio::test]
async fn bad_keys_and_values_are_refused_by_name() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let key = |key: &str| json!({ "entity": "customer", "key": key, "enforce_uniqueness": false });
    let add = "/v1/customFields/addKey";
    assert_eq!(api.post(add, key(&"ü".repeat(100))).await.status, 200);
    api.post(add, key(&"k".repeat(101))).await.refused(400, &["key", "100"]);
    api.post(add, key(" ")).await.refused(400, &["key", "empty"]);
    let planet = json!({ "entity": "planet", "key": "k", "enforce_uniqueness": false });
    api.post(add, planet).await.refused(400, &["entity", "planet"]);
    api.post(add, json!({ "entity": "customer", "key": "k" })).await.refused(400, &["enforce_uniqueness"]);

    add_key(&api, "customer", "k", false).await;
    set(&api, "customer", &customer, json!({ "k": "ü".repeat(200) })).await;
    set(&api, "customer", &customer, json!({})).await;
    for (fields, parts) in [
        (json!({ "k": "v".repeat(201) }), ["custom_fields.k", "200"]),
        (json!({ "k": 7 }), ["custom_fields", "string"]),
        (json!({ "k": null }), ["custom_fields", "string"]),
        (json!({ "k": "new", "other": "x" }), ["custom_fields.other", "is not a custom field key"]),
    ] {
        api.post(SET, values("customer", &customer, &fields)).await.refused(400, &parts);
    }
    assert_eq!(of_customer(&api, &customer).await, json!({ "k": "ü".repeat(200) }), "all or nothing");
    api.post(SET, values("customer", UNKNOWN, &json!({ "k": "v" })))
        .await
        .refused(404, &["customer", UNKNOWN]);
    api.post(SET, values("alert", UNKNOWN, &json!({}))).await.refused(404, &["alert", UNKNOWN]);
    api.post(SET, values("customer", "x", &json!({}))).await.refused(400, &["entity_id"]);
}

#[tokio::test]
async fn values_are_merged_and_deleted_by_key() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    for key in ["a", "b", "c"] {
        add_key(&api, "customer", key, false).await;
    }
    set(&api, "customer", &customer, json!({ "a": "1", "b": "2" })).await;
    set(&api, "customer", &customer, json!({ "b": "3", "c": "4" })).await;
    assert_eq!(of_customer(&api, &customer).await, json!({ "a": "1", "b": "3", "c": "4" }));
    let delete = json!({ "entity": "customer", "entity_id": customer, "keys": ["a", "c", "nothing"] });
    assert_eq!(api.post("/v1/customFields/deleteValues", delete).await.status, 200);
    assert_eq!(of_customer(&api, &customer).await, json!({ "b": "3" }));
    let listed = api.get("/v1/customers").await.data();
    assert_eq!(listed[0]["custom_fields"], json!({ "b": "3" }));
}

#[tokio::test]
async fn a_removed_key_takes_its_values_with_it() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    add_key(&api, "customer", "k", true).await;
    set(&api, "customer", &customer, json!({ "k": "v" })).await;
    api.post("/v1/customFields/removeKey", json!({ "entity": "customer", "key": "k" })).await;
    assert_eq!(of_customer(&api, &customer).await, json!({}));
    api.post(SET, values("customer", &customer, &json!({ "k": "v" })))
        .await
        .refused(400, &["custom_fields.k"]);
    add_key(&api, "customer", "k", false).await;
    assert_eq!(of_customer(&api, &customer).await, json!({}));
}

#[tokio::test]
async fn every_object_shows_its_fields_from_creation_on() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    for entity in
        ["customer", "billable_metric", "contract_product", "rate_card", "contract", "scheduled_charge"]
    {
        add_key(&api, entity, "k", false).await;
    }
    let fields = json!({ "k": "v" });
    let with_fields = |mut body: Value| {
        body["custom_fields"] = fields.clone();
        body
    };
    let created = api.post("/v1/customers", with_fields(json!({ "name": "Acme" }))).await.data();
    assert_eq!(created["custom_fields"], fields);
    let customer = created["id"].as_str().expect("an id").to_owned();
    let named = api.post(&format!("/v1/customers/{customer}/setName"), json!({ "name": "New" })).await.data();
    assert_eq!(named["custom_fields"], fields);

    let metric = json!({ "name": "m", "aggregation_type": "COUNT" });
    let metric = api.post("/v1/billable-metrics/create", with_fields(metric)).await.id();
    for path in [
        format!("/v1/billable-metrics/{metric}"),
        "/v1/billable-metrics?limit=1".to_owned(),
        format!("/v1/customers/{customer}/billable-metrics?limit=1"),
    ] {
        let data = api.get(&path).await.data();
        assert_eq!(data.get(0).unwrap_or(&data)["custom_fields"], fields, "{path}");
    }

    let product = with_fields(json!({ "name": "p", "type": "USAGE", "billable_metric_id": metric }));
    let product = api.post("/v1/contract-pricing/products/create", product).await.id();
    let got = api.post("/v1/contract-pricing/products/get", json!({ "id": product })).await.data();
    assert_eq!(got["custom_fields"], fields);
    let products = api.post("/v1/contract-pricing/products/list", json!({})).await.data();
    let listed = products.as_array().expect("a list").iter().find(|one| one["id"] == json!(product));
    assert_eq!(listed.expect("the product")["custom_fields"], fields);

    let card =
        api.post("/v1/contract-pricing/rate-cards/create", with_fields(json!({ "name": "c" }))).await.id();
    let got = api.post("/v1/contract-pricing/rate-cards/get", json!({ "id": card })).await.data();
    assert_eq!(got["custom_fields"], fields);
    let rates = crate::support::Rates { card: card.clone() };
    api.flat(&rates, &product, "2026-01-01T00:00:00Z", "3", json!({})).await;
    let at = json!({ "rate_card_id": card, "at": NOW });
    let rate = api.post("/v1/contract-pricing/rate-cards/getRates", at).await.data();
    assert_eq!(rate[0]["product_custom_fields"], fields);
    let from = json!({ "rate_card_id": card, "starting_at": NOW });
    let rate = api.post("/v1/contract-pricing/rate-cards/getRateSchedule", from).await.data();
    assert_eq!(rate[0]["product_custom_fields"], fields);

    let fee = api.fixed_product("Fee").await;
    let contract = with_fields(json!({
        "customer_id": world.customer, "starting_at": "2026-03-01T00:00:00Z",
        "scheduled_charges": [with_fields(charge(&fee, &[("2026-04-01T00:00:00Z", 5)]))],
    }));
    let contract = api.post("/v1/contracts/create", contract).await.data();
    let of_contract = json!({ "customer_id": world.customer, "contract_id": contract["id"] });
    let first = api.post("/v1/contracts/get", of_contract.clone()).await.data();
    let second = api.post("/v2/contracts/get", of_contract).await.data();
    for shown in [&contract["contract"], &second] {
        assert_eq!(shown["custom_fields"], fields);
        assert_eq!(shown["scheduled_charges"][0]["custom_fields"], fields);
    }
    assert_eq!(first["custom_fields"], fields);
    assert_eq!(first["initial"]["scheduled_charges"][0]["custom_fields"], fields);
    assert_eq!(first["current"]["scheduled_charges"][0]["custom_fields"], fields);
}

#[tokio::test]
async fn a_bad_field_at_creation_makes_nothing() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let fee = api.fixed_product("Fee").await;
    let mut bad_charge = charge(&fee, &[("2026-04-01T00:00:00Z", 5)]);
    bad_charge["custom_fields"] = json!({ "k": "v" });
    let contract = json!({ "customer_id": world.customer, "starting_at": "2026-03-01T00:00:00Z" });
    let (mut with_own, mut with_charge) = (contract.clone(), contract);
    with_own["custom_fields"] = json!({ "k": "v" });
    with_charge["scheduled_charges"] = json!([bad_charge]);
    let field = json!({ "k": "v" });
    for (path, body) in [
        ("/v1/customers", json!({ "name": "a", "custom_fields": field })),
        (
            "/v1/billable-metrics/create",
            json!({ "name": "a", "aggregation_type": "COUNT", "custom_fields": field }),
        ),
        (
            "/v1/contract-pricing/products/create",
            json!({ "name": "a", "type": "FIXED", "custom_fields": field }),
        ),
        ("/v1/contract-pricing/rate-cards/create", json!({ "name": "a", "custom_fields": field })),
        ("/v1/contracts/create", with_own),
        ("/v1/contracts/create", with_charge),
    ] {
        api.post(path, body).await.refused(400, &["custom_fields.k", "is not a custom field key"]);
    }
    assert_eq!(api.get("/v1/customers").await.data().as_array().map(Vec::len), Some(1));
    let contracts = api.post("/v2/contracts/list", json!({ "customer_id": world.customer })).await.data();
    assert_eq!(contracts.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn invoices_show_what_they_name_and_keep_it_when_finalized() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let fee = api.fixed_product("Fee").await;
    let contract = json!({
        "customer_id": world.customer, "starting_at": "2026-03-01T00:00:00Z",
        "scheduled_charges": [charge(&fee, &[("2026-03-20T00:00:00Z", 5)])],
    });
    let contract = api.post("/v1/contracts/create", contract).await.data();
    let charge = contract["contract"]["scheduled_charges"][0]["id"].as_str().expect("an id").to_owned();
    let contract = contract["id"].as_str().expect("an id").to_owned();
    for entity in ["customer", "contract", "contract_product", "scheduled_charge", "invoice"] {
        add_key(&api, entity, "k", false).await;
    }
    set(&api, "customer", &world.customer, json!({ "k": "customer" })).await;
    set(&api, "contract", &contract, json!({ "k": "contract" })).await;
    set(&api, "contract_product", &fee, json!({ "k": "product" })).await;
    set(&api, "scheduled_charge", &charge, json!({ "k": "charge" })).await;
    let path = format!("/v1/customers/{}/invoices", world.customer);
    let scheduled = |list: Value| {
        let invoices = list.as_array().expect("a list").clone();
        invoices.into_iter().find(|invoice| invoice["type"] == "SCHEDULED").expect("a scheduled invoice")
    };
    let draft = scheduled(api.get(&path).await.data());
    let id = draft["id"].as_str().expect("an id").to_owned();
    set(&api, "invoice", &id, json!({ "k": "invoice" })).await;
    set(&api, "invoice", &world.invoice, json!({ "k": "usage draft" })).await;
    let check = |invoice: &Value, own: &str, status: &str| {
        assert_eq!(invoice["status"], status);
        assert_eq!(invoice["custom_fields"], json!({ "k": own }));
        assert_eq!(invoice["customer_custom_fields"], json!({ "k": "customer" }));
        assert_eq!(invoice["contract_custom_fields"], json!({ "k": "contract" }));
        assert_eq!(invoice["line_items"][0]["product_custom_fields"], json!({ "k": "product" }));
        assert_eq!(invoice["line_items"][0]["scheduled_charge_custom_fields"], json!({ "k": "charge" }));
    };
    check(&scheduled(api.get(&path).await.data()), "invoice", "DRAFT");
    check(&api.get(&format!("{path}/{id}")).await.data(), "invoice", "DRAFT");
    let usage = api.get(&format!("{path}/{}", world.invoice)).await.data();
    assert_eq!(usage["custom_fields"], json!({ "k": "usage draft" }));

    api.move_clock("2026-03-21T00:00:00Z").await;
    for (entity, id) in [
        ("customer", &world.customer),
        ("contract", &contract),
        ("contract_product", &fee),
        ("scheduled_charge", &charge),
        ("invoice", &id),
    ] {
        set(&api, entity, id, json!({ "k": "later" })).await;
    }
    check(&api.get(&format!("{path}/{id}")).await.data(), "later", "FINALIZED");
    check(&scheduled(api.get(&path).await.data()), "later", "FINALIZED");
    let environment =
        upbeat::access::list_environments(&mut api.app.db.acquire().await.expect("a connection"))
            .await
            .expect("environments");
    for environment in environment {
        let (_, faults) =
            upbeat::invoice::verify_invoices(&api.app.db, environment.id).await.expect("a verification");
        assert!(faults.is_empty(), "{faults:?}");
    }
}

#[tokio::test]
async fn a_unique_value_is_held_by_one_object_archived_or_not() {
    let api = Api::at(NOW).await;
    add_key(&api, "customer", "k", true).await;
    let (first, second) = (api.customer("first").await, api.customer("second").await);
    set(&api, "customer", &first, json!({ "k": "v" })).await;
    set(&api, "customer", &first, json!({ "k": "v" })).await;
    let taken = api.post(SET, values("customer", &second, &json!({ "k": "v" }))).await;
    taken.refused(409, &["custom_fields", "k"]);
    assert_eq!(taken.headers["x-should-retry"], "false");
    let body = json!({ "name": "third", "custom_fields": { "k": "v" } });
    api.post("/v1/customers", body).await.refused(409, &["custom_fields"]);

    api.post("/v1/customers/archive", json!({ "id": first })).await.data();
    api.post(SET, values("customer", &second, &json!({ "k": "v" }))).await.refused(409, &["custom_fields"]);
    set(&api, "customer", &first, json!({ "k": "other" })).await;
    set(&api, "customer", &second, json!({ "k": "v" })).await;
    // another type is another list
    add_key(&api, "rate_card", "k", true).await;
    let card = api.rate_card().await.card;
    set(&api, "rate_card", &card, json!({ "k": "v" })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_who_want_a_unique_value_one_has_it() {
    let api = Api::at(NOW).await;
    add_key(&api, "customer", "a", true).await;
    add_key(&api, "customer", "b", true).await;
    let mut requests = Vec::new();
    for index in 0..50 {
        let customer = api.customer(&format!("acct {index}")).await;
        requests.push((SET.to_owned(), values("customer", &customer, &json!({ "a": "v", "b": "w" }))));
    }
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 1), (409, 49)]));
    let customers = api.get("/v1/customers").await.data();
    let holders =
        customers.as_array().expect("a list").iter().filter(|one| one["custom_fields"] != json!({}));
    assert_eq!(holders.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_that_is_removed_meanwhile_leaves_no_value() {
    let api = Api::at(NOW).await;
    add_key(&api, "customer", "k", false).await;
    let mut requests = Vec::new();
    for index in 0..30 {
        let customer = api.customer(&format!("acct {index}")).await;
        requests.push((SET.to_owned(), values("customer", &customer, &json!({ "k": "v" }))));
    }
    let removal = json!({ "entity": "customer", "key": "k" });
    requests.insert(15, ("/v1/customFields/removeKey".to_owned(), removal));
    let statuses = race(&api, requests).await;
    assert!(statuses.keys().all(|status| [200, 400].contains(status)), "{statuses:?}");
    for customer in api.get("/v1/customers").await.data().as_array().expect("a list") {
        assert_eq!(customer["custom_fields"], json!({}));
    }
}

#[tokio::test]
async fn nothing_of_it_crosses_to_the_other_environment() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    add_key(&api, "customer", "k", true).await;
    set(&api, "customer", &customer, json!({ "k": "v" })).await;
    let production = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    assert_eq!(keys(&production, json!({})).await, []);
    add_key(&production, "customer", "k", true).await;
    let foreign = production.post(SET, values("customer", &customer, &json!({ "k": "v" }))).await;
    foreign.refused(404, &["customer"]);
    let own = production.customer("acct").await;
    set(&production, "customer", &own, json!({ "k": "v" })).await;
}
