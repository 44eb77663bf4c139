//! A customer and its first contract in one request.

use serde_json::{Value, json};

use crate::support::Api;
use crate::world::{NOW, World, with};

const CREATE: &str = "/v1/composite/createCustomerWithContract";
const START: &str = "2026-03-01T00:00:00Z";

fn good(world: &World) -> Value {
    json!({
        "customer": { "name": "Northwind", "ingest_aliases": ["northwind"] },
        "contract": {
            "name": "First", "starting_at": START, "ending_before": "2027-03-01T00:00:00Z", "rate_card_id": world.card,
            "usage_statement_schedule": { "frequency": "MONTHLY" }, "net_payment_terms_days": 30,
            "uniqueness_key": "first",
        },
    })
}

async fn customers(api: &Api) -> (i64, i64) {
    (api.number("SELECT count(*) FROM customer").await, api.number("SELECT count(*) FROM contract").await)
}

#[tokio::test]
async fn both_are_made_as_if_one_by_one() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    for (entity, key) in [("customer", "tier"), ("contract", "order")] {
        let key = json!({ "entity": entity, "key": key, "enforce_uniqueness": false });
        assert_eq!(api.post("/v1/customFields/addKey", key).await.status, 200);
    }
    let body = with(&good(&world), "/customer/custom_fields", json!({ "tier": "gold" }));
    let body = with(&body, "/contract/custom_fields", json!({ "order": "7" }));
    let made = api.post(CREATE, body).await.data();
    let (customer, contract) =
        (made["customer_id"].as_str().expect("an id"), made["contract_id"].as_str().expect("an id"));
    let expected = json!({
        "customer_id": customer, "customer_name": "Northwind", "ingest_aliases": ["northwind"],
        "custom_fields": { "tier": "gold" }, "contract_id": contract,
    });
    assert_eq!(made, expected);
    let shown = api.get(&format!("/v1/customers/{customer}")).await.data();
    assert_eq!((&shown["name"], &shown["custom_fields"]), (&json!("Northwind"), &json!({ "tier": "gold" })));
    let one = json!({ "customer_id": customer, "contract_id": contract });
    let shown = api.post("/v2/contracts/get", one).await.data();
    assert_eq!((&shown["name"], &shown["rate_card_id"]), (&json!("First"), &json!(world.card)));
    assert_eq!(
        (&shown["custom_fields"], &shown["uniqueness_key"]),
        (&json!({ "order": "7" }), &json!("first"))
    );
    api.event("northwind", "2026-03-05T00:00:00Z", json!({ "model": "small", "tokens": 7 })).await;
    assert_eq!(api.invoice(customer, "2026-03-01").await["total"], 21);
}

#[tokio::test]
async fn neither_is_made_where_one_is_refused() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let good = good(&world);
    let before = customers(&api).await;
    let nobody = json!("00000000-0000-4000-8000-000000000000");
    let cases = [
        (json!({}), 400, "missing field `customer`"),
        (json!({ "customer": { "name": "a" } }), 400, "missing field `contract`"),
        (with(&good, "/customer/name", json!(" ")), 400, "customer.name:"),
        (with(&good, "/customer/ingest_aliases", json!(["acct-1"])), 409, "customer: "),
        (with(&good, "/customer/custom_fields", json!({ "x": "y" })), 400, "customer.custom_fields.x:"),
        (
            with(&good, "/customer/billing_config", json!({ "a": 1 })),
            400,
            "customer.billing_config: is not supported",
        ),
        (crate::world::without(&good, "/contract/starting_at"), 400, "contract: missing field `starting_at`"),
        (with(&good, "/contract/ending_before", json!(START)), 400, "contract.ending_before:"),
        (with(&good, "/contract/net_payment_terms_days", json!(-1)), 400, "contract.net_payment_terms_days:"),
        (with(&good, "/contract/rate_card_id", nobody.clone()), 404, "contract: rate card"),
        (with(&good, "/contract/rate_card_alias", json!("x")), 400, "contract.rate_card_alias:"),
        (with(&good, "/contract/custom_fields", json!({ "x": "y" })), 400, "contract.custom_fields.x:"),
        (with(&good, "/contract/commits", json!([{}])), 400, "contract.commits[0]: missing field `type`"),
        (with(&good, "/contract/package_id", nobody.clone()), 400, "contract.package_id: is not taken here"),
        (
            with(&good, "/contract/package_alias", json!("x")),
            400,
            "contract.package_alias: is not taken here",
        ),
        (with(&good, "/contract/customer_id", nobody), 400, "contract.customer_id: is not taken here"),
        (
            with(&good, "/contract/usage_filter", json!({ "group_key": "", "group_values": ["a"] })),
            400,
            "contract.usage_filter.group_key:",
        ),
    ];
    for (body, status, part) in cases {
        api.post(CREATE, body).await.refused(status, &[part]);
    }
    assert_eq!(customers(&api).await, before);
}

#[tokio::test]
async fn a_uniqueness_key_makes_one_contract_ever() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    api.post(CREATE, good(&world)).await.data();
    let before = customers(&api).await;
    let again = with(&good(&world), "/customer/ingest_aliases", json!(["other"]));
    let answer = api.post(CREATE, again).await;
    answer.refused(409, &["contract: This uniqueness key has already been used."]);
    assert_eq!(answer.header("x-should-retry"), "false");
    assert_eq!(customers(&api).await, before);
}
