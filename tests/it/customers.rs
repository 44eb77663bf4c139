//! Customers and their ingest aliases.

use std::fmt::Write;
use std::slice::from_ref;

use serde_json::{Value, json};

use crate::support::{Answer, Api, Metric};
use crate::world::{NOW, World, refuse, with};

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
    let beyond = format!("{}x", " ".repeat(160));
    for blank in ["", " ", "\t\n", "\u{a0}", &beyond] {
        refuse(&api, "/v1/customers", vec![(json!({ "name": blank }), "name:")]).await;
    }
}

#[tokio::test]
async fn a_customer_is_renamed_by_the_rules_of_its_creation() {
    let api = Api::at(NOW).await;
    let body = json!({ "name": "Old", "ingest_aliases": ["b", "a"] });
    let customer = api.post("/v1/customers", body).await.id();
    let path = format!("/v1/customers/{customer}/setName");
    let renamed = api.post(&path, json!({ "name": " New " })).await.data();
    let expected = json!({
        "id": customer, "external_id": "b", "ingest_aliases": ["b", "a"], "name": " New ", "custom_fields": {},
    });
    assert_eq!(renamed, expected);
    assert_eq!(get(&api, &customer).await["name"], " New ");
    assert_eq!(api.get("/v1/customers").await.data()[0]["name"], " New ");
    for letter in ["x", "é", "😀"] {
        for (count, kept) in [(160, 160), (161, 160), (1000, 160)] {
            let renamed = api.post(&path, json!({ "name": letter.repeat(count) })).await.data();
            assert_eq!(renamed["name"], json!(letter.repeat(kept)));
            assert_eq!(get(&api, &customer).await["name"], renamed["name"]);
        }
    }
    let beyond = format!("{}x", "\u{a0}".repeat(160));
    refuse(
        &api,
        &path,
        vec![
            (json!({}), "`name`"),
            (json!({ "name": null }), "name:"),
            (json!({ "name": 7 }), "name:"),
            (json!({ "name": "" }), "name:"),
            (json!({ "name": " \t" }), "name:"),
            (json!({ "name": beyond }), "name:"),
        ],
    )
    .await;
    let name = json!({ "name": "a" });
    let unknown = "00000000-0000-4000-8000-000000000000";
    api.post(&format!("/v1/customers/{unknown}/setName"), name.clone())
        .await
        .refused(404, &["customer", unknown]);
    api.post("/v1/customers/x/setName", name).await.refused(400, &["customer_id:"]);
}

/// What is kept of the flag that no answer shows.
async fn stripe_draft(api: &Api, customer: &str) -> Option<bool> {
    sqlx::query_scalar("SELECT leave_stripe_invoices_in_draft FROM customer WHERE id = $1::uuid")
        .bind(customer)
        .fetch_one(&api.app.db)
        .await
        .expect("the customer")
}

#[tokio::test]
async fn a_configuration_changes_by_the_fields_that_are_sent() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let path = format!("/v1/customers/{customer}/updateConfig");
    let account = |id: &str| Some(id.to_owned());
    let steps = [
        (json!({}), None, None),
        (json!({ "salesforce_account_id": "sf-1" }), account("sf-1"), None),
        (json!({ "leave_stripe_invoices_in_draft": true }), account("sf-1"), Some(true)),
        (json!({ "leave_stripe_invoices_in_draft": false }), account("sf-1"), Some(false)),
        (json!({ "salesforce_account_id": null }), None, Some(false)),
        (
            json!({ "salesforce_account_id": "sf-2", "leave_stripe_invoices_in_draft": null }),
            account("sf-2"),
            None,
        ),
        (json!({ "unknown": 1 }), account("sf-2"), None),
    ];
    for (body, account, draft) in steps {
        let answer = api.post(&path, body.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &Value::Null), "{body}");
        assert_eq!(
            (&answer.headers["content-length"], answer.headers.get("content-type")),
            (&"0".parse().expect("a header"), None)
        );
        assert_eq!(
            get(&api, &customer).await["customer_config"],
            json!({ "salesforce_account_id": account })
        );
        assert_eq!(stripe_draft(&api, &customer).await, draft, "{body}");
    }
    let found = api.get("/v1/customers?salesforce_account_ids=sf-2").await.data();
    assert_eq!(found[0]["id"], json!(customer));
    refuse(
        &api,
        &path,
        vec![
            (json!({ "salesforce_account_id": 1 }), "salesforce_account_id:"),
            (
                json!({ "salesforce_account_id": "é".repeat(256) }),
                "salesforce_account_id: must have at most 255",
            ),
            (json!({ "leave_stripe_invoices_in_draft": "yes" }), "leave_stripe_invoices_in_draft:"),
        ],
    )
    .await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    api.post(&format!("/v1/customers/{unknown}/updateConfig"), json!({}))
        .await
        .refused(404, &["customer", unknown]);
}

#[tokio::test]
async fn a_customer_is_made_with_its_configuration() {
    let api = Api::at(NOW).await;
    for (config, account, draft) in [
        (json!(null), Value::Null, None),
        (json!({}), Value::Null, None),
        (json!({ "salesforce_account_id": null, "leave_stripe_invoices_in_draft": null }), Value::Null, None),
        (
            json!({ "salesforce_account_id": "S", "leave_stripe_invoices_in_draft": true }),
            json!("S"),
            Some(true),
        ),
        (json!({ "leave_stripe_invoices_in_draft": false }), Value::Null, Some(false)),
    ] {
        let body = json!({ "name": "a", "customer_config": config });
        let customer = api.post("/v1/customers", body).await.id();
        let shown = get(&api, &customer).await;
        assert_eq!(shown["customer_config"], json!({ "salesforce_account_id": account }));
        assert_eq!(stripe_draft(&api, &customer).await, draft, "{config}");
    }
    let longest = "\u{10ffff}".repeat(255);
    let body = json!({ "name": "a", "customer_config": { "salesforce_account_id": longest } });
    api.post("/v1/customers", body.clone()).await.id();
    let field = "/customer_config/salesforce_account_id";
    let too_long = with(&body, field, json!("x".repeat(256)));
    let flag = json!({ "name": "a", "customer_config": { "leave_stripe_invoices_in_draft": 1 } });
    refuse(
        &api,
        "/v1/customers",
        vec![
            (too_long, "customer_config.salesforce_account_id: must have at most 255"),
            (flag, "customer_config.leave_stripe_invoices_in_draft:"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_customer_is_updated_when_something_of_it_changes() {
    let api = Api::at("2026-03-01T00:00:00Z").await;
    let customer = api.customer("acct").await;
    let path = |call: &str| format!("/v1/customers/{customer}/{call}");
    // each sent twice: the second time it changes nothing
    let writes = [
        (path("setName"), json!({ "name": "New" })),
        (path("setIngestAliases"), json!({ "ingest_aliases": ["a", "b"] })),
        (path("setIngestAliases"), json!({ "ingest_aliases": ["b", "a"] })),
        (path("updateConfig"), json!({ "salesforce_account_id": "sf-1" })),
        (path("updateConfig"), json!({ "leave_stripe_invoices_in_draft": true })),
        (path("updateConfig"), json!({ "salesforce_account_id": null })),
    ];
    let mut expected = "2026-03-01T00:00:00Z".to_owned();
    for (day, (path, body)) in (2..).zip(writes) {
        assert_eq!(get(&api, &customer).await["updated_at"], json!(expected));
        expected = format!("2026-03-{day:02}T00:00:00Z");
        api.move_clock(&expected).await;
        assert_eq!(api.post(&path, body.clone()).await.status, 200, "{path}");
        assert_eq!(get(&api, &customer).await["updated_at"], json!(expected), "{path} {body}");
        api.move_clock(&format!("2026-03-{day:02}T12:00:00Z")).await;
        assert_eq!(api.post(&path, body.clone()).await.status, 200, "{path}");
        assert_eq!(get(&api, &customer).await["updated_at"], json!(expected), "{path} {body}, again");
    }
    let shown = get(&api, &customer).await;
    assert_eq!((&shown["created_at"], &shown["name"]), (&json!("2026-03-01T00:00:00Z"), &json!("New")));
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
    let path = format!("/v1/customers/{customer}/setIngestAliases");
    let others = |count: usize| (0..count).map(|index| format!("b{index}")).collect::<Vec<_>>();
    refuse(&api, &path, vec![(json!({ "ingest_aliases": vec!["same"; 2001] }), "ingest_aliases: ")]).await;
    refuse(
        &api,
        "/v1/customers",
        vec![
            (json!({ "name": "a", "ingest_aliases": others(2001) }), "ingest_aliases: "),
            (json!({ "name": "a", "ingest_aliases": vec!["same"; 2001] }), "ingest_aliases: "),
            (
                json!({ "name": "a", "ingest_aliases": others(2000), "external_id": "one more" }),
                "external_id: ",
            ),
        ],
    )
    .await;
    let listed = json!({ "name": "a", "ingest_aliases": others(2000), "external_id": "b1999" });
    assert_eq!(api.post("/v1/customers", listed).await.data()["external_id"], "b0");
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
    let answer = set_aliases(&api, &other, json!(["new", "taken"])).await;
    answer.refused(409, &["ingest_aliases:", "`taken`", &holder]);
    assert_eq!(answer.headers["x-should-retry"], "false");
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
    set_aliases(&api, &customer, json!(["c"])).await.refused(400, &["ingest_aliases:", "archived"]);
    for (call, body) in [
        ("setName", json!({ "name": "y" })),
        ("updateConfig", json!({})),
        ("updateConfig", json!({ "salesforce_account_id": "S" })),
    ] {
        api.post(&format!("/v1/customers/{customer}/{call}"), body)
            .await
            .refused(400, &["customer_id:", "archived"]);
    }
    assert_eq!(get(&api, &customer).await["name"], "x");
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

/// One of the customers that lists are narrowed to.
struct Listed {
    id: String,
    alias: String,
    account: Option<&'static str>,
    is_archived: bool,
}

/// Customers in the order of a list: some made together, some archived, most of one account.
async fn many_customers(api: &Api) -> Vec<Listed> {
    let mut customers = Vec::new();
    for index in 0..40_usize {
        let account = [Some("big"), Some("big"), Some("small"), None, Some("big")][index % 5];
        let alias = format!("alias {index}");
        let body = json!({
            "name": "x", "ingest_aliases": [alias], "customer_config": { "salesforce_account_id": account },
        });
        let id = api.post("/v1/customers", body).await.id();
        customers.push(Listed { id, alias, account, is_archived: index % 7 == 3 });
        if index % 4 == 0 {
            api.move_clock(&format!("2026-03-10T12:{index:02}:30Z")).await;
        }
    }
    for customer in customers.iter().filter(|customer| customer.is_archived) {
        api.post("/v1/customers/archive", json!({ "id": customer.id })).await.id();
    }
    customers
}

#[tokio::test]
async fn every_combination_of_filters_and_pages_lists_what_a_plain_search_finds() {
    let api = Api::at(NOW).await;
    let customers = many_customers(&api).await;
    let some: Vec<&str> = customers.iter().step_by(3).rev().map(|customer| customer.id.as_str()).collect();
    let unknown = "00000000-0000-4000-8000-000000000000";
    let id_lists = [None, Some([some.as_slice(), &[unknown, some[0]]].concat()), Some(vec![unknown])];
    let account_lists: [Option<&[&str]>; 5] =
        [None, Some(&["big"]), Some(&["small", "big", "small"]), Some(&["BIG"]), Some(&["small", "x"])];
    let aliases = [None, Some("alias 9"), Some("alias 10"), Some("alias"), Some("nobody's")];
    let mut found_some = 0;
    for ids in &id_lists {
        for accounts in account_lists {
            for alias in aliases {
                for only_archived in [false, true] {
                    let is_found = |customer: &&Listed| {
                        customer.is_archived == only_archived
                            && ids.as_ref().is_none_or(|ids| ids.contains(&customer.id.as_str()))
                            && accounts.is_none_or(|accounts| {
                                customer.account.is_some_and(|account| accounts.contains(&account))
                            })
                            && alias.is_none_or(|alias| customer.alias == alias)
                    };
                    let expected: Vec<&str> =
                        customers.iter().filter(is_found).map(|customer| customer.id.as_str()).collect();
                    found_some += usize::from(!expected.is_empty());
                    let mut query = format!("/v1/customers?only_archived={only_archived}");
                    let lists = [("customer_ids", ids.as_deref()), ("salesforce_account_ids", accounts)];
                    for (name, values) in lists.into_iter().filter_map(|(name, values)| Some((name, values?)))
                    {
                        let _ = write!(query, "&{name}={}", values.join(","));
                    }
                    if let Some(alias) = alias {
                        let _ = write!(query, "&ingest_alias={}", alias.replace(' ', "%20"));
                    }
                    for limit in [3, 100] {
                        assert_eq!(walk(&api, &query, limit).await, expected, "{query} by {limit}");
                    }
                }
            }
        }
    }
    assert!(found_some > 15, "{found_some} combinations find something");
}

/// The ids of all pages.
async fn walk(api: &Api, query: &str, limit: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let mut next = String::new();
    loop {
        let page = api.get(&format!("{query}&limit={limit}&next_page={next}")).await.body;
        let rows = page["data"].as_array().expect("rows");
        ids.extend(rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()));
        match page["next_page"].as_str() {
            Some(cursor) => cursor.clone_into(&mut next),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_list_of_customers_is_named() {
    let api = Api::at(NOW).await;
    for (query, field) in [
        ("customer_ids=x", "customer_ids"),
        ("only_archived=maybe", "only_archived:"),
        ("limit=0", "limit:"),
        ("limit=101", "limit:"),
        ("next_page=x", "next_page:"),
    ] {
        api.get(&format!("/v1/customers?{query}")).await.refused(400, &[field]);
    }
    api.get("/v1/customers/x").await.refused(400, &["customer_id:"]);
    let unknown = "00000000-0000-4000-8000-000000000000";
    api.get(&format!("/v1/customers/{unknown}")).await.refused(404, &["customer", unknown]);
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
