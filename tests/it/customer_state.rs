//! What a server remembers of a customer is never older than the customer.

use serde_json::{Value, json};

use crate::support::{Api, Metric, Rates, charge};
use crate::world::with;

/// The tables that hold what is a customer's own.
const TABLES: [&str; 10] = [
    "balance",
    "balance_draw",
    "billable_status",
    "contract",
    "contract_override",
    "ingest_alias",
    "invoice",
    "scheduled_charge",
    "scheduled_charge_item",
    "usage_filter",
];

/// Two customers whose units cost 2 cents each.
struct Shop {
    api: Api,
    metric: String,
    product: String,
    fee: String,
    rates: Rates,
    customer: String,
    contract: String,
    other: String,
}

impl Shop {
    async fn open() -> Self {
        let api = Api::at("2026-03-20T00:00:00Z").await;
        let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["of"] }).await;
        let product = api.product("Units", &metric, json!({})).await;
        let fee = api.fixed_product("Fee").await;
        let rates = api.rate_card().await;
        api.flat(&rates, &product, "2026-01-01T00:00:00Z", "2", json!({})).await;
        let customer = api.customer("acme").await;
        let contract = api.contract(&customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
        let other = api.customer("other").await;
        api.contract(&other, &rates, "2026-03-01T00:00:00Z", json!({})).await;
        for subject in ["acme", "acme too", "other"] {
            api.event(subject, "2026-03-02T00:00:00Z", json!({ "n": 10, "of": "a" })).await;
            api.event(subject, "2026-03-03T00:00:00Z", json!({ "n": 5, "of": "b" })).await;
        }
        Self { api, metric, product, fee, rates, customer, contract, other }
    }

    /// All that is worked out of a customer.
    async fn look(&self, customer: &str) -> Value {
        let api = &self.api;
        let invoices = api.invoices(customer).await;
        let mut singly = Vec::new();
        for invoice in &invoices {
            let id = invoice["id"].as_str().expect("an id");
            singly.push(
                api.get(&format!("/v1/customers/{customer}/invoices/{id}?include_list_prices=true"))
                    .await
                    .data(),
            );
        }
        assert_eq!(singly, invoices);
        let of_customer = json!({ "customer_id": customer });
        let whole = json!({
            "customer_id": customer, "include_balance": true, "include_ledgers": true,
            "include_contract_balances": true,
        });
        let range = json!({
            "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z", "window_size": "NONE",
        });
        let usage = with(&range, "/customer_ids", json!([customer]));
        let usage = with(&usage, "/billable_metrics", json!([{ "id": self.metric }]));
        let groups = with(&range, "/customer_id", json!(customer));
        let groups = with(&groups, "/billable_metric_id", json!(self.metric));
        let groups = with(&groups, "/group_key", json!(["of"]));
        let mut seen = vec![json!(invoices)];
        for (path, body) in [
            ("/v1/contracts/customerBalances/getNetBalance", of_customer),
            ("/v1/contracts/customerBalances/list", whole),
            ("/v1/usage", usage),
            ("/v1/usage/groups", groups),
        ] {
            seen.push(api.post(path, body).await.data());
        }
        json!(seen)
    }

    /// Has the server know nothing of what it remembered.
    async fn forget(&self) {
        self.api.sql("UPDATE customer SET holds = holds + 1").await;
        self.api.sql("UPDATE catalog_version SET version = gen_random_uuid()").await;
    }

    /// Posts a change, which makes a difference to what is seen of one of the customers; what the server remembers from before it
    /// makes none.
    async fn change(&self, path: &str, body: Value) -> Value {
        let customers = [&self.customer, &self.other];
        let mut before = Vec::new();
        for customer in customers {
            before.push(self.look(customer).await);
        }
        let answer = self.api.post(path, body).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.body);
        self.check(path, &before).await;
        answer.data()
    }

    async fn check(&self, change: &str, before: &[Value]) {
        let customers = [&self.customer, &self.other];
        let mut after = Vec::new();
        for customer in customers {
            after.push(self.look(customer).await);
        }
        assert_ne!(before, after, "{change} is seen");
        self.forget().await;
        for (customer, remembered) in customers.into_iter().zip(after) {
            assert_eq!(self.look(customer).await, remembered, "{change}");
        }
    }

    async fn states(&self) -> Vec<(String, String)> {
        let rows = sqlx::query_as("SELECT id::text, state::text FROM customer ORDER BY id");
        rows.fetch_all(&self.api.app.db).await.expect("names")
    }

    fn of_contract(&self, more: Value) -> Value {
        let mut body = json!({ "customer_id": self.customer, "contract_id": self.contract });
        for (name, value) in more.as_object().expect("fields") {
            body[name] = value.clone();
        }
        body
    }
}

#[tokio::test]
async fn every_change_of_a_customer_is_seen_by_the_next_reading() {
    let shop = Shop::open().await;
    let Shop { api, customer, contract, fee, rates, .. } = &shop;
    let aliases = |customer: &str| format!("/v1/customers/{customer}/setIngestAliases");
    shop.change(&aliases(customer), json!({ "ingest_aliases": ["acme", "acme too"] })).await;
    // From the other one.
    shop.change(&aliases(&shop.other), json!({ "ingest_aliases": [] })).await;
    shop.change(&aliases(customer), json!({ "ingest_aliases": ["acme", "acme too", "other"] })).await;
    let status = json!({
        "customer_id": customer, "billable_status": "unbillable", "effective_at": "2026-03-01T00:00:00Z",
    });
    shop.change("/v1/customers/setBillableStatus", status).await;

    let access = |amount: i64| {
        json!({ "schedule_items": [{
            "amount": amount, "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-05-01T00:00:00Z",
        }] })
    };
    let credit = json!({
        "customer_id": customer, "product_id": fee, "priority": 1, "access_schedule": access(7),
    });
    let credit = shop.change("/v1/contracts/customerCredits/create", credit).await["id"].clone();
    let listed = json!({ "customer_id": customer, "id": credit });
    let balances = api.post("/v1/contracts/customerBalances/list", listed).await.data();
    let segment = balances[0]["access_schedule"]["schedule_items"][0]["id"].clone();
    let entry = json!({
        "id": credit, "customer_id": customer, "segment_id": segment, "amount": -2, "reason": "goodwill",
    });
    shop.change("/v1/contracts/addManualBalanceLedgerEntry", entry).await;
    let commit = json!({
        "customer_id": customer, "product_id": fee, "type": "POSTPAID", "access_schedule": access(100), "priority": 2,
        "invoice_contract_id": contract,
        "invoice_schedule": { "schedule_items": [{ "timestamp": "2026-05-01T00:00:00Z", "amount": 100 }] },
    });
    shop.change("/v1/contracts/customerCommits/create", commit).await;
    let end = json!({
        "customer_id": customer, "credit_id": credit, "access_ending_before": "2026-04-20T00:00:00Z",
    });
    shop.change("/v1/contracts/customerCredits/updateEndDate", end).await;
    let filter = json!({ "group_key": "of", "group_values": ["a"], "starting_at": "2026-03-01T00:00:00Z" });
    shop.change("/v1/contracts/setUsageFilter", shop.of_contract(filter)).await;
    let end = shop.of_contract(json!({ "ending_before": "2026-03-28T00:00:00Z" }));
    shop.change("/v1/contracts/updateEndDate", end).await;
    let second = json!({
        "customer_id": customer, "rate_card_id": rates.card, "starting_at": "2026-03-10T00:00:00Z",
        "usage_filter": { "group_key": "of", "group_values": ["b"], "starting_at": "2026-03-10T00:00:00Z" },
        "overrides": [{
            "type": "OVERWRITE", "starting_at": "2026-03-10T00:00:00Z", "product_id": shop.product,
            "overwrite_rate": { "rate_type": "FLAT", "price": 9 },
        }],
        "scheduled_charges": [charge(fee, &[("2026-03-25T00:00:00Z", 300)])],
    });
    let second = shop.change("/v1/contracts/create", second).await["id"].clone();
    let archive = json!({ "customer_id": customer, "contract_id": second, "void_invoices": true });
    shop.change("/v1/contracts/archive", archive).await;

    let key = json!({ "entity": "customer", "key": "account", "enforce_uniqueness": false });
    api.post("/v1/customFields/addKey", key).await;
    let value = json!({ "entity": "customer", "entity_id": customer, "custom_fields": { "account": "17" } });
    let answer = api.post("/v1/customFields/setValues", value).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    let invoices = api.invoices(customer).await;
    let draft = invoices.iter().find(|invoice| invoice["status"] == "DRAFT").expect("a draft");
    assert_eq!(draft["customer_custom_fields"], json!({ "account": "17" }));
}

#[tokio::test]
async fn what_is_final_or_void_is_seen_by_the_next_reading() {
    let shop = Shop::open().await;
    let Shop { api, customer, fee, .. } = &shop;
    let credit = json!({
        "customer_id": customer, "product_id": fee, "priority": 1, "access_schedule": { "schedule_items": [{
            "amount": 25, "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-06-01T00:00:00Z",
        }] },
    });
    shop.change("/v1/contracts/customerCredits/create", credit).await;
    let before = [shop.look(customer).await, shop.look(&shop.other).await];
    api.move_clock("2026-04-03T00:00:00Z").await;
    shop.check("finalization", &before).await;
    let invoices = api.invoices(customer).await;
    let march = invoices.iter().find(|invoice| invoice["status"] == "FINALIZED").expect("an invoice");
    shop.change("/v1/invoices/void", json!({ "id": march["id"] })).await;
    shop.change("/v1/invoices/regenerate", json!({ "id": march["id"] })).await;
}

#[tokio::test]
async fn a_change_of_any_of_its_tables_gives_a_customer_another_state_and_no_other_customer() {
    let shop = Shop::open().await;
    let Shop { api, customer, fee, .. } = &shop;
    let terms = json!({
        "customer_id": customer, "rate_card_id": shop.rates.card, "starting_at": "2026-02-01T00:00:00Z",
        "usage_filter": { "group_key": "of", "group_values": ["a"], "starting_at": "2026-02-01T00:00:00Z" },
        "overrides": [{
            "type": "MULTIPLIER", "starting_at": "2026-02-01T00:00:00Z", "product_id": shop.product, "multiplier": 0.5,
        }],
        "scheduled_charges": [charge(fee, &[("2026-02-02T00:00:00Z", 300)])],
        "credits": [{ "product_id": fee, "priority": 1, "access_schedule": { "schedule_items": [{
            "amount": 25, "starting_at": "2026-02-01T00:00:00Z", "ending_before": "2026-06-01T00:00:00Z",
        }] } }],
    });
    api.post("/v1/contracts/create", terms).await.id();
    let status = json!({
        "customer_id": customer, "billable_status": "unbillable", "effective_at": "2026-03-01T00:00:00Z",
    });
    api.post("/v1/customers/setBillableStatus", status).await;
    api.move_clock("2026-04-03T00:00:00Z").await;

    let mut names = vec![shop.states().await];
    for table in TABLES {
        let own = format!("WHERE customer_id = '{customer}'");
        assert!(api.number(&format!("SELECT count(*) FROM {table} {own}")).await > 0, "{table}");
        api.sql(&format!("UPDATE {table} SET environment_id = environment_id {own}")).await;
        names.push(shop.states().await);
    }
    for pair in names.windows(2) {
        for (before, after) in pair[0].iter().zip(&pair[1]) {
            assert_eq!(before.0, after.0);
            assert_eq!(before.1 == after.1, before.0 != *customer, "{pair:?}");
        }
    }

    let last = names.pop().expect("some");
    api.sql("BEGIN; UPDATE contract SET name = 'other'; ROLLBACK").await;
    api.event("acme", "2026-04-02T00:00:00Z", json!({ "n": 1 })).await;
    shop.look(customer).await;
    assert_eq!(shop.states().await, last);
}
