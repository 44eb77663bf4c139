//! Customers and their ingest aliases.

use std::slice::from_ref;

use serde_json::{Value, json};

use crate::support::{Answer, Api, Metric};
use crate::world::{NOW, World, refuse};

async fn set_aliases(api: &Api, customer: &str, aliases: Value) -> Answer {
    api.post(&format!("/v1/customers/{customer}/setIngestAliases"), json!({ "ingest_aliases": aliases }))
        .await
}

async fn get(api: &Api, customer: &str) -> Value {
    api.get(&format!("/v1/customers/{customer}")).await.data()
}

#[tokio::test]
async fn a_customer_is_shown_as_it_was_made() {
    let api = Api::at(NOW).await;
    let body = json!({
        "name": "Acme", "ingest_aliases": ["b", "a", "b"], "customer_config": { "salesforce_account_id": "sf-1" },
    });
    let made = api.post("/v1/customers", body).await.data();
    let id = made["id"].as_str().expect("an id").to_owned();
    let expected = json!({
        "id": id, "external_id": "b", "ingest_aliases": ["b", "a"], "name": "Acme", "custom_fields": {},
    });
    assert_eq!(made, expected);
    let shown = get(&api, &id).await;
    let expected = json!({
        "id": id, "external_id": "b", "ingest_aliases": ["b", "a"], "name": "Acme", "custom_fields": {},
        "customer_config": { "salesforce_account_id": "sf-1" }, "created_at": NOW, "updated_at": NOW,
        "archived_at": null, "current_billable_status": { "value": "billable", "effective_at": null },
    });
    assert_eq!(shown, expected);
    assert_eq!(api.get("/v1/customers").await.data(), json!([shown]));
}

#[tokio::test]
async fn external_id_is_the_first_alias_or_the_id() {
    let api = Api::at(NOW).await;
    let cases = [
        (json!({ "name": "a" }), None, json!([])),
        (json!({ "name": "a", "external_id": "e1" }), Some("e1"), json!(["e1"])),
        (
            json!({ "name": "a", "external_id": "e2", "ingest_aliases": ["x"] }),
            Some("e2"),
            json!(["e2", "x"]),
        ),
        (
            json!({ "name": "a", "external_id": "e3", "ingest_aliases": ["y", "e3"] }),
            Some("y"),
            json!(["y", "e3"]),
        ),
    ];
    for (body, external_id, aliases) in cases {
        let made = api.post("/v1/customers", body).await.data();
        let id = made["id"].as_str().expect("an id").to_owned();
        assert_eq!(
            (&made["external_id"], &made["ingest_aliases"]),
            (&json!(external_id.unwrap_or(&id)), &aliases)
        );
    }
    let held = api.get("/v1/customers?ingest_alias=e1").await.data();
    let id = held[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(set_aliases(&api, &id, json!([])).await.status, 200);
    assert_eq!(get(&api, &id).await["external_id"], json!(id));
    refuse(
        &api,
        "/v1/customers",
        vec![
            (json!({ "name": "a", "external_id": "" }), "external_id:"),
            (json!({ "name": "a", "external_id": "x".repeat(129) }), "external_id:"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_name_is_cut_at_160_characters_and_never_blank() {
    let api = Api::at(NOW).await;
    for letter in ["x", "é", "漢", "😀"] {
        for (count, kept) in [(1, 1), (160, 160), (161, 160), (1 << 18, 160)] {
            let id = api.post("/v1/customers", json!({ "name": letter.repeat(count) })).await.id();
            assert_eq!(get(&api, &id).await["name"], json!(letter.repeat(kept)));
        }
    }
    for blank in ["", " ", "\t\n", "\u{a0}"] {
        refuse(&api, "/v1/customers", vec![(json!({ "name": blank }), "name:")]).await;
    }
}

#[tokio::test]
async fn an_alias_has_1_to_128_characters() {
    let api = Api::at(NOW).await;
    let customer = api.customer("own").await;
    let path = format!("/v1/customers/{customer}/setIngestAliases");
    for good in ["x", " ", "é".repeat(128).as_str(), "😀".repeat(128).as_str(), "A", "a", "a ", "%00", "a,b"]
    {
        assert_eq!(set_aliases(&api, &customer, json!([good])).await.status, 200, "{good}");
        assert_eq!(get(&api, &customer).await["ingest_aliases"], json!([good]));
    }
    for bad in ["", "é".repeat(129).as_str(), "x".repeat(1 << 20).as_str()] {
        refuse(&api, &path, vec![(json!({ "ingest_aliases": ["ok", bad] }), "ingest_aliases[1]:")]).await;
        let body = json!({ "name": "a", "ingest_aliases": [bad] });
        refuse(&api, "/v1/customers", vec![(body, "ingest_aliases[0]:")]).await;
    }
    refuse(&api, &path, vec![(json!({}), "`ingest_aliases`")]).await;
}

#[tokio::test]
async fn a_customer_has_at_most_two_thousand_aliases() {
    let api = Api::at(NOW).await;
    let customer = api.customer("own").await;
    let aliases = |count: usize| -> Value { (0..count).map(|index| json!(format!("a{index}"))).collect() };
    assert_eq!(set_aliases(&api, &customer, aliases(2000)).await.status, 200);
    set_aliases(&api, &customer, aliases(2001)).await.refused(400, &["ingest_aliases", "2000"]);
    assert_eq!(get(&api, &customer).await["ingest_aliases"].as_array().map(Vec::len), Some(2000));
    let body = json!({ "name": "a", "ingest_aliases": (0..2001).map(|index| format!("b{index}")).collect::<Vec<_>>() });
    refuse(&api, "/v1/customers", vec![(body, "ingest_aliases")]).await;
}

#[tokio::test]
async fn aliases_are_replaced_as_a_whole_and_again_without_harm() {
    let api = Api::at(NOW).await;
    let customer = api.customer("a").await;
    for (set, held) in [
        (json!(["b", "c", "b"]), json!(["b", "c"])),
        (json!(["b", "c"]), json!(["b", "c"])),
        (json!(["c", "b"]), json!(["c", "b"])),
        (json!([]), json!([])),
        (json!([]), json!([])),
    ] {
        assert_eq!(set_aliases(&api, &customer, set).await.status, 200);
        assert_eq!(get(&api, &customer).await["ingest_aliases"], held);
    }
    let unknown = "00000000-0000-4000-8000-000000000000";
    set_aliases(&api, unknown, json!([])).await.refused(404, &["customer", unknown]);
}

#[tokio::test]
async fn an_alias_of_another_customer_is_409_and_changes_nothing() {
    let api = Api::at(NOW).await;
    let holder = api.customer("taken").await;
    let other = api.customer("other").await;
    set_aliases(&api, &other, json!(["new", "taken"])).await.refused(409, &["taken"]);
    assert_eq!(get(&api, &other).await["ingest_aliases"], json!(["other"]));
    let create = json!({ "name": "x", "ingest_aliases": ["new", "taken"] });
    api.post("/v1/customers", create).await.refused(409, &["taken"]);
    api.post("/v1/customers", json!({ "name": "x", "external_id": "taken" })).await.refused(409, &["taken"]);
    assert_eq!(
        api.get("/v1/customers").await.data().as_array().map(Vec::len),
        Some(2),
        "no customer was made"
    );
    assert_eq!(api.get("/v1/customers?ingest_alias=new").await.data(), json!([]), "no alias was kept");
    assert_eq!(set_aliases(&api, &holder, json!(["taken"])).await.status, 200, "its own is no conflict");
}

#[tokio::test]
async fn an_archived_customer_keeps_its_aliases_taken() {
    let api = Api::at(NOW).await;
    let archived = api.customer("taken").await;
    api.post("/v1/customers/archive", json!({ "id": archived })).await.id();
    let other = api.customer("other").await;
    set_aliases(&api, &other, json!(["taken"])).await.refused(409, &["taken"]);
    api.post("/v1/customers", json!({ "name": "x", "ingest_aliases": ["taken"] }))
        .await
        .refused(409, &["taken"]);
}

#[tokio::test]
async fn the_id_of_another_customer_is_no_alias() {
    let api = Api::at(NOW).await;
    let (one, other) = (api.customer("one").await, api.customer("other").await);
    for spelling in [one.clone(), one.to_uppercase()] {
        set_aliases(&api, &other, json!([spelling])).await.refused(409, &[&one]);
        api.post("/v1/customers", json!({ "name": "x", "ingest_aliases": [spelling] }))
            .await
            .refused(409, &[&one]);
    }
    assert_eq!(set_aliases(&api, &one, json!([one])).await.status, 200, "its own is");
    let nobody = "00000000-0000-4000-8000-000000000000";
    assert_eq!(set_aliases(&api, &other, json!([nobody])).await.status, 200, "and nobody's");
}

#[tokio::test]
async fn an_alias_moves_in_two_steps_and_its_usage_with_it() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    let product = api.product("P", &metric, json!({})).await;
    let rates = api.rate_card().await;
    api.flat(&rates, &product, "2026-03-01T00:00:00Z", "2", json!({})).await;
    let (from, to) = (api.customer("moving").await, api.customer("to").await);
    for customer in [&from, &to] {
        api.contract(customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
    }
    api.event("moving", "2026-03-09T00:00:00Z", json!({ "n": 5 })).await;
    let totals = async || {
        let total = async |customer: &str| api.invoice(customer, "2026-03-01").await["total"].clone();
        (total(&from).await, total(&to).await)
    };
    assert_eq!(totals().await, (json!(10), json!(0)));
    set_aliases(&api, &to, json!(["moving"])).await.refused(409, &["moving"]);
    assert_eq!(set_aliases(&api, &from, json!([])).await.status, 200);
    assert_eq!(totals().await, (json!(0), json!(0)), "between the steps it is nobody's");
    assert_eq!(set_aliases(&api, &to, json!(["moving"])).await.status, 200);
    assert_eq!(totals().await, (json!(0), json!(10)));
}

#[tokio::test]
async fn archiving_ends_a_customer_its_contracts_and_its_invoices() {
    let api = Api::at("2026-02-15T00:00:00Z").await;
    let customer = api.customer("acct").await;
    let rates = api.rate_card().await;
    let contract = api.contract(&customer, &rates, "2026-01-01T00:00:00Z", json!({})).await;
    let statuses = async || -> Vec<String> {
        api.invoices(&customer).await.iter().map(|invoice| invoice["status"].to_string()).collect()
    };
    assert_eq!(statuses().await.len(), 2);
    api.work().await;
    assert_eq!(statuses().await, ["\"FINALIZED\"", "\"DRAFT\""]);
    let draft = api.invoice(&customer, "2026-02-01").await["id"].as_str().expect("an id").to_owned();

    assert_eq!(
        api.post("/v1/customers/archive", json!({ "id": customer })).await.data(),
        json!({ "id": customer })
    );
    assert_eq!(statuses().await, ["\"VOID\""], "drafts are gone");
    api.get(&format!("/v1/customers/{customer}/invoices/{draft}")).await.refused(404, &["invoice"]);
    let shown = get(&api, &customer).await;
    assert_eq!(
        (&shown["archived_at"], &shown["updated_at"]),
        (&json!("2026-02-15T00:00:00Z"), &shown["archived_at"])
    );
    let of_contract = json!({ "customer_id": customer, "contract_id": contract });
    let shown = api.post("/v2/contracts/get", of_contract).await.data();
    assert_eq!(shown["archived_at"], json!("2026-02-15T00:00:00Z"));

    assert_eq!(api.get("/v1/customers").await.data(), json!([]));
    let archived = api.get("/v1/customers?only_archived=true").await.data();
    assert_eq!(archived[0]["id"], json!(customer));
    api.move_clock("2026-05-01T00:00:00Z").await;
    assert_eq!(statuses().await, ["\"VOID\""], "nothing is made later");
}

#[tokio::test]
async fn an_archived_customer_takes_no_changes_but_gives_aliases_up() {
    let api = Api::at(NOW).await;
    let customer = api.post("/v1/customers", json!({ "name": "x", "ingest_aliases": ["a", "b"] })).await.id();
    let rates = api.rate_card().await;
    api.post("/v1/customers/archive", json!({ "id": customer })).await.id();
    api.post("/v1/customers/archive", json!({ "id": customer })).await.refused(400, &["archived"]);
    set_aliases(&api, &customer, json!(["a", "b", "c"])).await.refused(400, &["archived"]);
    set_aliases(&api, &customer, json!(["c"])).await.refused(400, &["archived"]);
    let contract = json!({ "customer_id": customer, "rate_card_id": rates.card, "starting_at": NOW });
    api.post("/v1/contracts/create", contract).await.refused(400, &["customer_id:", "archived"]);
    assert_eq!(set_aliases(&api, &customer, json!(["b"])).await.status, 200);
    assert_eq!(set_aliases(&api, &customer, json!([])).await.status, 200);
    api.customer("a").await;
    api.post("/v1/customers/archive", json!({ "id": "00000000-0000-4000-8000-000000000000" }))
        .await
        .refused(404, &["customer"]);
}

#[tokio::test]
async fn filters_narrow_together_and_match_exactly() {
    let api = Api::at(NOW).await;
    let one =
        json!({ "name": "1", "ingest_aliases": ["a"], "customer_config": { "salesforce_account_id": "S" } });
    let one = api.post("/v1/customers", one).await.id();
    let two = api.customer("b").await;
    let found = async |query: &str| -> Vec<String> {
        let data = api.get(&format!("/v1/customers?{query}")).await.data();
        let id = |row: &Value| row["id"].as_str().expect("an id").to_owned();
        data.as_array().expect("rows").iter().map(id).collect()
    };
    assert_eq!(found("ingest_alias=a").await, from_ref(&one));
    assert!(found("ingest_alias=A").await.is_empty());
    assert!(found("ingest_alias=a%20").await.is_empty());
    assert_eq!(found("salesforce_account_ids=S,T").await, from_ref(&one));
    assert_eq!(
        found(&format!("customer_ids={two},00000000-0000-4000-8000-000000000000")).await,
        from_ref(&two)
    );
    assert!(found(&format!("customer_ids={two}&ingest_alias=a")).await.is_empty());
    assert!(found("only_archived=true").await.is_empty());
    assert_eq!(found("only_archived=false").await, [one, two]);
}

#[tokio::test]
async fn the_quickstart_spelling_makes_customers_too() {
    let api = Api::at(NOW).await;
    let id = api.post("/v1/customers/create", json!({ "name": "a" })).await.id();
    assert_eq!(get(&api, &id).await["name"], "a");
    refuse(&api, "/v1/customers/create", vec![(json!({}), "`name`")]).await;
}

#[tokio::test]
async fn an_invoice_of_a_customer_is_found_by_its_id() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let path = format!("/v1/customers/{}/invoices/{}", world.customer, world.invoice);
    let mut listed = api.invoice(&world.customer, "2026-03-01").await;
    let shown = api.get(&format!("{path}?include_list_prices=true")).await.data();
    assert_eq!(shown, listed);
    listed["id"] = json!("00000000-0000-4000-8000-000000000000");
    let unknown =
        format!("/v1/customers/{}/invoices/{}", world.customer, listed["id"].as_str().expect("an id"));
    api.get(&unknown).await.refused(404, &["invoice"]);
    api.get(&format!("{path}?skip_zero_qty_line_items=maybe"))
        .await
        .refused(400, &["skip_zero_qty_line_items"]);
}
