//! Contracts (reference: contracts, sections 5 and 6).

use serde_json::{Value, json};

use crate::support::Api;
use crate::world::{NOW, World, number, refuse, with};

const CREATE: &str = "/v1/contracts/create";

async fn world() -> (Api, World, Value) {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let good = json!({ "customer_id": world.customer, "rate_card_id": world.card, "starting_at": "2026-03-01T00:00:00Z" });
    (api, world, good)
}

/// The ids that a list answers.
fn ids(data: &Value) -> Vec<String> {
    let id = |row: &Value| row["id"].as_str().expect("an id").to_owned();
    data.as_array().expect("rows").iter().map(id).collect()
}

#[tokio::test]
async fn a_contract_is_shown_flat_in_v2_and_nested_in_v1() {
    let (api, world, good) = world().await;
    let mut body = good;
    for (field, value) in [
        ("name", json!("First")),
        ("ending_before", json!("2027-03-01T00:00:00Z")),
        ("net_payment_terms_days", json!(30)),
        ("total_contract_value", number("1000.50")),
        ("netsuite_sales_order_id", json!("n")),
        ("salesforce_opportunity_id", json!("s")),
        ("multiplier_override_prioritization", json!("EXPLICIT")),
        ("uniqueness_key", json!("k")),
    ] {
        body[field] = value;
    }
    let made = api.post(CREATE, body).await.data();
    let of_contract = json!({ "customer_id": world.customer, "contract_id": made["id"] });
    let flat = api.post("/v2/contracts/get", of_contract.clone()).await.data();
    assert_eq!(made["contract"], flat, "the answer to create is the contract as v2 shows it");
    let expected = json!({
        "id": made["id"], "customer_id": world.customer, "name": "First", "rate_card_id": world.card,
        "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2027-03-01T00:00:00Z",
        "commits": [], "credits": [], "has_more": { "commits": false, "credits": false },
        "recurring_commits": [], "recurring_credits": [], "overrides": [],
        "scheduled_charges": [], "transitions": [], "usage_filter": [],
        "usage_statement_schedule": { "frequency": "MONTHLY", "billing_anchor_date": "2026-03-01T00:00:00Z" },
        "multiplier_override_prioritization": "EXPLICIT", "net_payment_terms_days": 30,
        "total_contract_value": number("1000.5"), "netsuite_sales_order_id": "n", "salesforce_opportunity_id": "s",
        "custom_fields": {}, "uniqueness_key": "k", "created_at": NOW, "created_by": "test token",
    });
    assert_eq!(flat, expected);
    let nested = api.post("/v1/contracts/get", of_contract).await.data();
    assert_eq!(nested["initial"], nested["current"]);
    for field in
        ["name", "rate_card_id", "starting_at", "ending_before", "usage_statement_schedule", "created_at"]
    {
        assert_eq!(nested["current"][field], flat[field], "{field}");
    }
    assert_eq!((&nested["amendments"], &nested["uniqueness_key"]), (&json!([]), &json!("k")));
}

#[tokio::test]
async fn only_a_customer_and_a_start_are_needed() {
    let (api, world, _) = world().await;
    let least = json!({ "customer_id": world.customer, "starting_at": "2026-03-05T07:00:00Z" });
    let contract = api.post(CREATE, least).await.data()["contract"].clone();
    assert_eq!(contract.get("rate_card_id"), None);
    assert_eq!(contract["multiplier_override_prioritization"], "LOWEST_MULTIPLIER");
    let schedule = json!({ "frequency": "MONTHLY", "billing_anchor_date": "2026-03-01T00:00:00Z" });
    assert_eq!(contract["usage_statement_schedule"], schedule);
    let nulls = json!({
        "customer_id": world.customer, "starting_at": "2026-03-05T07:00:00Z", "ending_before": null,
        "rate_card_id": null, "rate_card_alias": null, "usage_statement_schedule": null, "name": null,
        "uniqueness_key": null, "net_payment_terms_days": null, "total_contract_value": null,
        "multiplier_override_prioritization": null,
    });
    api.post(CREATE, nulls).await.id();
}

#[tokio::test]
async fn terms_that_make_no_sense_are_refused() {
    let (api, _, good) = world().await;
    refuse(
        &api,
        CREATE,
        vec![
            (with(&good, "/ending_before", json!("2026-03-01T00:00:00Z")), "ending_before:"),
            (with(&good, "/ending_before", json!("2026-02-01T00:00:00Z")), "ending_before:"),
            (with(&good, "/net_payment_terms_days", json!(-1)), "net_payment_terms_days:"),
            (with(&good, "/total_contract_value", json!(-1)), "total_contract_value:"),
            (with(&good, "/uniqueness_key", json!("")), "uniqueness_key:"),
            (with(&good, "/uniqueness_key", json!("x".repeat(129))), "uniqueness_key:"),
        ],
    )
    .await;
    let unknown = json!("00000000-0000-4000-8000-000000000000");
    api.post(CREATE, with(&good, "/customer_id", unknown.clone())).await.refused(404, &["customer"]);
    api.post(CREATE, with(&good, "/rate_card_id", unknown)).await.refused(404, &["rate card"]);
    let mut long_key = with(&good, "/uniqueness_key", json!("é".repeat(128)));
    long_key["net_payment_terms_days"] = json!(0);
    api.post(CREATE, long_key).await.id();
}

/// The invoices of contracts with extreme terms are still read.
#[tokio::test]
async fn payment_terms_of_any_size_make_no_fault() {
    let (api, world, good) = world().await;
    for days in ["1.5", "1e20", "79228162514264337593543950335"] {
        let answer = api.post(CREATE, with(&good, "/net_payment_terms_days", number(days))).await;
        assert!([200, 400].contains(&answer.status.as_u16()), "{days}: {}", answer.body);
    }
    let path = format!("/v1/customers/{}/invoices", world.customer);
    api.get(&path).await.data();
    api.move_clock("2026-05-01T00:00:00Z").await;
    api.get(&path).await.data();
}

#[tokio::test]
async fn a_card_is_named_by_id_or_by_alias_never_both() {
    let (api, world, good) = world().await;
    let aliased =
        json!({ "name": "card", "aliases": [{ "name": "std", "starting_at": "2026-02-01T00:00:00Z" }] });
    let card = api.post("/v1/contract-pricing/rate-cards/create", aliased).await.id();
    refuse(&api, CREATE, vec![(with(&good, "/rate_card_alias", json!("std")), "rate_card_alias")]).await;
    let by_alias = |start: &str, alias: &str| json!({ "customer_id": world.customer, "starting_at": start, "rate_card_alias": alias });
    let contract = api.post(CREATE, by_alias("2026-02-01T00:00:00Z", "std")).await.data()["contract"].clone();
    assert_eq!(contract["rate_card_id"], json!(card));
    for (start, alias) in
        [("2026-01-31T23:00:00Z", "std"), ("2026-03-01T00:00:00Z", "Std"), ("2026-03-01T00:00:00Z", "")]
    {
        api.post(CREATE, by_alias(start, alias)).await.refused(404, &["rate_card_alias: ", "rate card"]);
    }
}

#[tokio::test]
async fn a_custom_anchor_goes_with_a_custom_date_only() {
    let (api, _, good) = world().await;
    let anchor = "usage_statement_schedule.billing_anchor_date:";
    let schedule = |schedule: Value| with(&good, "/usage_statement_schedule", schedule);
    let date = "2026-02-10T00:00:00Z";
    refuse(
        &api,
        CREATE,
        vec![
            (schedule(json!({ "frequency": "MONTHLY", "day": "CUSTOM_DATE" })), anchor),
            (schedule(json!({ "frequency": "MONTHLY", "billing_anchor_date": date })), anchor),
            (
                schedule(
                    json!({ "frequency": "MONTHLY", "day": "CONTRACT_START", "billing_anchor_date": date }),
                ),
                anchor,
            ),
            (
                schedule(
                    json!({ "frequency": "MONTHLY", "day": "FIRST_OF_MONTH", "billing_anchor_date": date }),
                ),
                anchor,
            ),
            (schedule(json!({ "day": "FIRST_OF_MONTH" })), "`frequency`"),
            (schedule(json!({})), "`frequency`"),
        ],
    )
    .await;
    for (sent, frequency, anchor) in [
        (json!({ "frequency": "QUARTERLY" }), "QUARTERLY", "2026-03-01T00:00:00Z"),
        (json!({ "frequency": "ANNUAL", "day": "CONTRACT_START" }), "ANNUAL", "2026-03-05T00:00:00Z"),
        (json!({ "frequency": "WEEKLY", "day": "CUSTOM_DATE", "billing_anchor_date": date }), "WEEKLY", date),
    ] {
        let body = with(&schedule(sent), "/starting_at", json!("2026-03-05T00:00:00Z"));
        let shown = api.post(CREATE, body).await.data()["contract"]["usage_statement_schedule"].clone();
        assert_eq!(shown, json!({ "frequency": frequency, "billing_anchor_date": anchor }));
    }
}

/// The starts and ends of the customer's invoices.
async fn periods(api: &Api, customer: &str) -> Vec<String> {
    let date = |value: &Value| value.as_str().expect("an instant")[..10].to_owned();
    let period = |invoice: &Value| {
        format!("{}..{}", date(&invoice["start_timestamp"]), date(&invoice["end_timestamp"]))
    };
    api.invoices(customer).await.iter().map(period).collect()
}

#[tokio::test]
async fn every_statement_since_the_start_has_its_invoice() {
    let api = Api::at(NOW).await;
    for (more, expected) in [
        (json!({}), vec!["2026-01-15..2026-02-01", "2026-02-01..2026-03-01", "2026-03-01..2026-04-01"]),
        (
            json!({ "usage_statement_schedule": { "frequency": "MONTHLY", "day": "CONTRACT_START" } }),
            vec!["2026-01-15..2026-02-15", "2026-02-15..2026-03-15"],
        ),
        (
            json!({ "usage_statement_schedule": {
                "frequency": "MONTHLY", "day": "CUSTOM_DATE", "billing_anchor_date": "2025-08-31T00:00:00Z",
            } }),
            vec!["2026-01-15..2026-01-31", "2026-01-31..2026-02-28", "2026-02-28..2026-03-31"],
        ),
        (
            json!({ "ending_before": "2026-02-10T00:00:00Z" }),
            vec!["2026-01-15..2026-02-01", "2026-02-01..2026-02-10"],
        ),
        (
            json!({ "usage_statement_schedule": {
                "frequency": "MONTHLY", "invoice_generation_starting_at": "2026-02-20T00:00:00Z",
            } }),
            vec!["2026-02-20..2026-03-01", "2026-03-01..2026-04-01"],
        ),
        (json!({ "starting_at": "2026-04-01T00:00:00Z" }), vec![]),
    ] {
        let customer = api.post("/v1/customers", json!({ "name": "x" })).await.id();
        let rates = api.rate_card().await;
        api.contract(&customer, &rates, "2026-01-15T00:00:00Z", more.clone()).await;
        assert_eq!(periods(&api, &customer).await, expected, "{more}");
        api.work().await;
        assert_eq!(periods(&api, &customer).await, expected, "{more}, after the worker");
    }
}

#[tokio::test]
async fn a_uniqueness_key_makes_one_contract_ever() {
    let (api, world, good) = world().await;
    let keyed = with(&good, "/uniqueness_key", json!("k"));
    api.post(CREATE, keyed.clone()).await.id();
    let other = api.customer("other").await;
    for again in
        [keyed.clone(), with(&keyed, "/customer_id", json!(other)), with(&keyed, "/name", json!("x"))]
    {
        let answer = api.post(CREATE, again).await;
        assert_eq!(answer.status, 409);
        assert_eq!(answer.body, json!({ "message": "This uniqueness key has already been used." }));
    }
    assert_eq!(api.post("/v1/contracts/list", json!({ "customer_id": other })).await.data(), json!([]));
    api.post(CREATE, with(&keyed, "/uniqueness_key", json!("K"))).await.id();
    api.post("/v1/customers/archive", json!({ "id": world.customer })).await.id();
    api.post(CREATE, with(&keyed, "/customer_id", json!(other))).await.refused(409, &[]);
}

#[tokio::test]
async fn a_refused_contract_uses_up_no_key() {
    let (api, _, good) = world().await;
    let keyed = with(&good, "/uniqueness_key", json!("k"));
    let unknown = json!("00000000-0000-4000-8000-000000000000");
    api.post(CREATE, with(&keyed, "/rate_card_id", unknown)).await.refused(404, &[]);
    api.post(CREATE, with(&keyed, "/ending_before", good["starting_at"].clone())).await.refused(400, &[]);
    api.post(CREATE, keyed).await.id();
}

#[tokio::test]
async fn lists_are_by_start_and_then_by_creation() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let rates = api.rate_card().await;
    let mut made = Vec::new();
    for month in ["03", "01", "02", "01"] {
        made.push(api.contract(&customer, &rates, &format!("2026-{month}-01T00:00:00Z"), json!({})).await);
    }
    let expected = [&made[1], &made[3], &made[2], &made[0]].map(String::clone);
    for version in ["v1", "v2"] {
        let listed =
            api.post(&format!("/{version}/contracts/list"), json!({ "customer_id": customer })).await;
        assert_eq!(ids(&listed.clone().data()), expected, "{version}");
        assert_eq!(listed.body.get("cursor"), Some(&Value::Null), "{version}");
    }
}

#[tokio::test]
async fn lists_narrow_by_start_or_by_a_covered_date() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let rates = api.rate_card().await;
    let ended = json!({ "ending_before": "2026-02-01T00:00:00Z" });
    let ended = api.contract(&customer, &rates, "2026-01-01T00:00:00Z", ended).await;
    api.contract(&customer, &rates, "2026-02-01T00:00:00Z", json!({})).await;
    for version in ["v1", "v2"] {
        let path = format!("/{version}/contracts/list");
        let name = |id: &String| if *id == ended { "ended" } else { "open" };
        let list = async |field: &str, at: &str| -> Vec<&str> {
            let data = api.post(&path, json!({ "customer_id": customer, field: at })).await.data();
            ids(&data).iter().map(name).collect()
        };
        assert_eq!(list("starting_at", "2026-01-01T00:00:00Z").await, ["ended", "open"]);
        assert_eq!(list("starting_at", "2026-01-01T00:00:01Z").await, ["open"]);
        assert!(list("covering_date", "2025-12-31T23:59:59Z").await.is_empty());
        assert_eq!(list("covering_date", "2026-01-01T00:00:00Z").await, ["ended"]);
        assert_eq!(list("covering_date", "2026-01-31T23:59:59Z").await, ["ended"]);
        assert_eq!(list("covering_date", "2026-02-01T00:00:00Z").await, ["open"]);
        let both = json!({ "customer_id": customer, "starting_at": NOW, "covering_date": NOW });
        api.post(&path, both).await.refused(400, &["covering_date"]);
        refuse(&api, &path, vec![(json!({}), "`customer_id`")]).await;
    }
    let unknown = json!({ "customer_id": "00000000-0000-4000-8000-000000000000" });
    api.post("/v1/contracts/list", unknown).await.refused(404, &["customer"]);
}

#[tokio::test]
async fn archived_contracts_are_listed_only_when_asked_for() {
    let (api, world, _) = world().await;
    api.post("/v1/customers/archive", json!({ "id": world.customer })).await.id();
    for version in ["v1", "v2"] {
        let path = format!("/{version}/contracts/list");
        assert_eq!(api.post(&path, json!({ "customer_id": world.customer })).await.data(), json!([]));
        let all = json!({ "customer_id": world.customer, "include_archived": true });
        let listed = api.post(&path, all).await.data();
        assert_eq!(ids(&listed), std::slice::from_ref(&world.contract));
        assert_eq!(listed[0]["archived_at"], json!(NOW));
    }
}

#[tokio::test]
async fn as_of_date_shows_what_was_known_then() {
    let (api, world, _) = world().await;
    api.move_clock("2026-03-20T00:00:00Z").await;
    api.post("/v1/customers/archive", json!({ "id": world.customer })).await.id();
    let get = async |at: &str| {
        let body = json!({ "customer_id": world.customer, "contract_id": world.contract, "as_of_date": at });
        api.post("/v2/contracts/get", body).await
    };
    let before = get("2026-03-10T11:59:59Z").await;
    assert_eq!((before.status.as_u16(), &before.body["code"]), (400, &json!("ContractNotFound")));
    assert_eq!(get(NOW).await.data().get("archived_at"), None);
    assert_eq!(get("2026-03-19T23:59:59Z").await.data().get("archived_at"), None);
    assert_eq!(get("2026-03-20T00:00:00Z").await.data()["archived_at"], json!("2026-03-20T00:00:00Z"));
    assert_eq!(get("2030-01-01T00:00:00").await.data()["archived_at"], json!("2026-03-20T00:00:00Z"));
    let mut with_ledgers = json!({
        "customer_id": world.customer, "contract_id": world.contract, "as_of_date": NOW, "include_ledgers": true,
    });
    let answer = api.post("/v2/contracts/get", with_ledgers.clone()).await;
    answer.refused(400, &["as_of_date"]);
    assert_eq!(answer.body["code"], "BadRequest");
    with_ledgers["as_of_date"] = Value::Null;
    with_ledgers["include_balance"] = json!(true);
    api.post("/v2/contracts/get", with_ledgers).await.data();
}

#[tokio::test]
async fn contracts_of_one_customer_each_have_their_invoices() {
    let (api, world, good) = world().await;
    api.post(CREATE, good).await.id();
    let invoices = api.invoices(&world.customer).await;
    assert_eq!(invoices.len(), 2);
    assert_ne!(invoices[0]["contract_id"], invoices[1]["contract_id"]);
    let path = format!("/v1/customers/{}/invoices?contract_id={}", world.customer, world.contract);
    assert_eq!(ids(&api.get(&path).await.data()), [world.invoice]);
}

#[tokio::test]
async fn an_archived_card_takes_no_contract_and_no_rate() {
    let (api, world, good) = world().await;
    // there is no operation for it yet
    sqlx::query("UPDATE rate_card SET archived_at = created_at")
        .execute(&api.app.db)
        .await
        .expect("archived");
    refuse(&api, CREATE, vec![(good, "rate_card_id:")]).await;
    let rate = json!({
        "rate_card_id": world.card, "product_id": world.product, "starting_at": NOW, "entitled": true,
        "rate_type": "FLAT", "price": 1, "pricing_group_values": { "model": "a" },
    });
    refuse(&api, "/v1/contract-pricing/rate-cards/addRate", vec![(rate, "rate_card_id:")]).await;
    assert_eq!(api.post("/v1/contract-pricing/rate-cards/list", json!({})).await.data(), json!([]));
    api.post("/v1/contract-pricing/rate-cards/get", json!({ "id": world.card })).await.data();
    assert_eq!(api.invoice(&world.customer, "2026-03-01").await["status"], "DRAFT", "contracts on it go on");
}
