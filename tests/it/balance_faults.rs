//! Commits and credits where contracts, invoices and balances cross each other's ways.

use serde_json::{Value, json};

use crate::contract_ends::faults;
use crate::support::{Api, Metric, Rates};

const LIST: &str = "/v1/contracts/customerBalances/list";

/// A customer whose units cost 1 cent each.
struct Till {
    api: Api,
    rates: Rates,
    fee: String,
    customer: String,
}

impl Till {
    /// Usage carries `n`, the number of units, and `of`, whose usage it is where contracts have usage filters.
    async fn at(now: &str) -> Self {
        let api = Api::at(&format!("{now}T12:00:00Z")).await;
        let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["of"] }).await;
        let product = api.product("Units", &metric, json!({})).await;
        let rates = api.rate_card().await;
        api.flat(&rates, &product, "2025-01-01T00:00:00Z", "1", json!({})).await;
        let fee = api.fixed_product("Fee").await;
        let customer = api.customer("acct").await;
        Self { api, rates, fee, customer }
    }

    async fn contract(&self, from: &str, more: Value) -> String {
        self.api.contract(&self.customer, &self.rates, &format!("{from}T00:00:00Z"), more).await
    }

    /// A contract that bills the usage of one.
    async fn contract_of(&self, of: &str, from: &str) -> String {
        let starting_at = format!("{from}T00:00:00Z");
        let filter = json!({ "group_key": "of", "group_values": [of], "starting_at": starting_at });
        self.contract(from, json!({ "usage_filter": filter })).await
    }

    async fn spend(&self, day: &str, of: &str, cents: i64) {
        self.api.event("acct", &format!("{day}T05:00:00Z"), json!({ "n": cents, "of": of })).await;
    }

    /// What a commit or credit grants: an amount from one day to another.
    fn access(amount: i64, from: &str, to: &str) -> Value {
        json!({ "schedule_items": [{
            "amount": amount, "starting_at": format!("{from}T00:00:00Z"), "ending_before": format!("{to}T00:00:00Z"),
        }] })
    }

    async fn credit(&self, access: Value, contracts: &[&String]) -> String {
        let credit = json!({
            "customer_id": self.customer, "product_id": self.fee, "priority": 1, "access_schedule": access,
            "applicable_contract_ids": contracts,
        });
        self.api.post("/v1/contracts/customerCredits/create", credit).await.id()
    }

    async fn totals(&self) -> Vec<(String, Value)> {
        let invoices = self.api.invoices(&self.customer).await;
        let mut totals: Vec<(String, Value)> = invoices
            .iter()
            .filter(|invoice| invoice["status"] != "VOID")
            .map(|invoice| {
                (invoice["contract_id"].as_str().expect("an id").to_owned(), invoice["total"].clone())
            })
            .collect();
        totals.sort_by_key(|(contract, _)| contract.clone());
        totals
    }

    async fn ledger(&self, id: &str) -> Vec<String> {
        let request = json!({
            "customer_id": self.customer, "id": id, "include_ledgers": true, "include_contract_balances": true,
            "include_archived": true,
        });
        let seen = self.api.post(LIST, request).await.data()[0].clone();
        let line = |entry: &Value| {
            let (day, kind) = (entry["timestamp"].as_str(), entry["type"].as_str());
            format!("{} {} {}", &day.expect("a timestamp")[..10], kind.expect("a type"), entry["amount"])
        };
        seen["ledger"].as_array().expect("a ledger").iter().map(line).collect()
    }

    async fn post(&self, path: &str, mut body: Value) -> Value {
        body["customer_id"] = json!(self.customer);
        self.api.post(path, body).await.data()
    }

    async fn usage_invoice(&self, start: &str) -> Value {
        let invoices = self.api.invoices(&self.customer).await;
        let is_meant = |invoice: &&Value| {
            invoice["type"] == "USAGE"
                && invoice["status"] != "VOID"
                && invoice["start_timestamp"].as_str().expect("a start").starts_with(start)
        };
        invoices.iter().find(is_meant).expect("an invoice").clone()
    }
}

/// Three contracts, of which the first and the second share one credit and the second and the third another one. They are
/// made in the reverse order, in which they are finalized; credits are drawn in the order of their starts.
#[tokio::test]
async fn what_the_third_contract_draws_depends_on_the_first() {
    let till = Till::at("2026-01-05").await;
    let third = till.contract_of("third", "2026-01-03").await;
    let second = till.contract_of("second", "2026-01-02").await;
    let first = till.contract_of("first", "2026-01-01").await;
    till.credit(Till::access(100, "2026-01-01", "2026-03-01"), &[&first, &second]).await;
    till.credit(Till::access(100, "2026-01-01", "2026-04-01"), &[&second, &third]).await;
    for of in ["first", "second", "third"] {
        till.spend("2026-01-04", of, 100).await;
    }
    let drafts = till.totals().await;
    let total = |of: &str| drafts.iter().find(|(contract, _)| contract == of).map(|(_, total)| total.clone());
    assert_eq!(
        [total(&first), total(&second), total(&third)],
        [Some(json!(0)), Some(json!(0)), Some(json!(100))]
    );
    let invoices = till.api.invoices(&till.customer).await;
    for invoice in &invoices {
        let path =
            format!("/v1/customers/{}/invoices/{}", till.customer, invoice["id"].as_str().expect("an id"));
        assert_eq!(till.api.get(&path).await.data()["total"], invoice["total"]);
    }
    till.api.move_clock("2026-02-02T00:00:00Z").await;
    let finals: Vec<Value> = till.api.invoices(&till.customer).await;
    let finals = |of: &str| {
        let own = |invoice: &&Value| invoice["contract_id"] == json!(of) && invoice["status"] == "FINALIZED";
        finals.iter().find(own).map(|invoice| invoice["total"].clone())
    };
    assert_eq!(
        [finals(&first), finals(&second), finals(&third)],
        [Some(json!(0)), Some(json!(0)), Some(json!(100))]
    );
    assert_eq!(faults(&till.api).await, [""; 0]);
}

/// The end of a contract is where its credits end, also on an invoice that goes on beyond it.
#[tokio::test]
async fn a_regenerated_invoice_is_cut_where_the_contract_ends_by_now() {
    let till = Till::at("2026-01-05").await;
    let credit = json!({
        "product_id": till.fee, "name": "Own", "access_schedule": Till::access(1000, "2026-01-01", "2026-07-01"),
    });
    let contract = till.contract("2026-01-01", json!({ "credits": [credit] })).await;
    till.spend("2026-01-04", "x", 100).await;
    till.api.move_clock("2026-01-25T00:00:00Z").await;
    till.spend("2026-01-20", "x", 300).await;
    till.api.move_clock("2026-02-05T00:00:00Z").await;
    let january = till.usage_invoice("2026-01-01").await;
    assert_eq!(january["total"], json!(0));
    let end = json!({ "contract_id": contract, "ending_before": "2026-01-10T00:00:00Z" });
    till.post("/v1/contracts/updateEndDate", end).await;
    till.post("/v1/invoices/void", json!({ "id": january["id"] })).await;
    till.post("/v1/invoices/regenerate", json!({ "id": january["id"] })).await;
    let january = till.usage_invoice("2026-01-01").await;
    assert_eq!(january["total"], json!(300), "{january}");
    assert_eq!(faults(&till.api).await, [""; 0]);
}

/// A promise waits for the contracts that may spend it, and no more for one that is archived.
#[tokio::test]
async fn a_true_up_does_not_wait_for_a_contract_that_is_archived() {
    let till = Till::at("2026-01-05").await;
    let billed = till.contract("2026-01-01", json!({})).await;
    let schedule = json!({ "frequency": "ANNUAL", "day": "FIRST_OF_MONTH" });
    let annual = till.contract("2026-01-01", json!({ "usage_statement_schedule": schedule })).await;
    let commit = json!({
        "type": "POSTPAID", "product_id": till.fee, "priority": 1, "invoice_contract_id": billed,
        "access_schedule": Till::access(1000, "2026-01-01", "2026-02-01"),
        "invoice_schedule": { "schedule_items": [{ "amount": 1000, "timestamp": "2026-02-01T00:00:00Z" }] },
    });
    till.post("/v1/contracts/customerCommits/create", commit).await;
    till.post("/v1/contracts/archive", json!({ "contract_id": annual, "void_invoices": false })).await;
    assert_eq!(faults(&till.api).await, [""; 0]);
    till.api.move_clock("2026-02-03T00:00:00Z").await;
    let invoices = till.api.invoices(&till.customer).await;
    let true_up = invoices.iter().find(|invoice| invoice["type"] == "SCHEDULED").expect("a true-up");
    assert_eq!((&true_up["status"], &true_up["total"]), (&json!("FINALIZED"), &json!(1000)));
}

/// A usage invoice that also billed a commit, which was taken back, still bills its usage.
#[tokio::test]
async fn usage_is_billed_again_without_the_commit_that_was_archived() {
    let till = Till::at("2026-01-05").await;
    let commit = json!({
        "type": "PREPAID", "product_id": till.fee, "name": "Block",
        "access_schedule": Till::access(1000, "2026-02-01", "2026-03-01"),
        "invoice_schedule": { "schedule_items": [{ "amount": 700, "timestamp": "2026-02-01T00:00:00Z" }] },
    });
    let terms = json!({ "commits": [commit], "scheduled_charges_on_usage_invoices": "ALL" });
    till.contract("2026-01-01", terms).await;
    till.spend("2026-01-04", "x", 100).await;
    till.api.move_clock("2026-02-05T00:00:00Z").await;
    let january = till.usage_invoice("2026-01-01").await;
    assert_eq!(january["total"], json!(800));
    till.post("/v1/invoices/void", json!({ "id": january["id"] })).await;
    let listed = till.post(LIST, json!({ "include_contract_balances": true })).await;
    till.post("/v2/contracts/commits/archive", json!({ "commit_id": listed[0]["id"] })).await;
    till.post("/v1/invoices/regenerate", json!({ "id": january["id"] })).await;
    assert_eq!(till.usage_invoice("2026-01-01").await["total"], json!(100));
    assert_eq!(faults(&till.api).await, [""; 0]);
}

/// What a preview replaces is the usage that it speaks of: an earlier statement in its grace still draws what it draws.
#[tokio::test]
async fn a_preview_leaves_alone_what_an_earlier_statement_draws() {
    let till = Till::at("2026-01-05").await;
    till.contract("2026-01-01", json!({})).await;
    till.credit(Till::access(1000, "2026-01-01", "2026-04-01"), &[]).await;
    till.spend("2026-01-04", "x", 1000).await;
    till.api.move_clock("2026-02-01T12:00:00Z").await;
    for mode in ["merge", "replace"] {
        let event = json!({ "event_type": "use", "timestamp": "2026-02-01T05:00:00Z", "properties": { "n": 500, "of": "x" } });
        let path = format!("/v1/customers/{}/previewEvents", till.customer);
        let invoices = till.api.post(&path, json!({ "events": [event], "mode": mode })).await.data();
        assert_eq!(invoices.as_array().map(Vec::len), Some(1));
        assert_eq!(invoices[0]["total"], json!(500), "{mode}");
    }
}

/// What was disabled for good is not billed by the way of a void invoice.
#[tokio::test]
async fn a_void_true_up_that_is_disabled_is_not_made_anew() {
    let till = Till::at("2026-01-05").await;
    let commit = json!({
        "type": "POSTPAID", "product_id": till.fee, "name": "Promise",
        "access_schedule": Till::access(1000, "2026-01-01", "2026-02-01"),
        "invoice_schedule": { "schedule_items": [{ "amount": 1000, "timestamp": "2026-02-01T00:00:00Z" }] },
    });
    let contract = till.contract("2026-01-01", json!({ "commits": [commit] })).await;
    let listed = till.post(LIST, json!({ "include_contract_balances": true })).await;
    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    till.api.move_clock("2026-02-05T00:00:00Z").await;
    let invoices = till.api.invoices(&till.customer).await;
    let true_up =
        invoices.iter().find(|invoice| invoice["type"] == "SCHEDULED").expect("a true-up")["id"].clone();
    till.post("/v1/invoices/void", json!({ "id": true_up })).await;
    let disabled = json!({ "commit_id": id, "contract_id": contract });
    till.post("/v1/contracts/commits/disableTrueup", disabled).await;
    let again = json!({ "id": true_up });
    till.api.post("/v1/invoices/regenerate", again).await.refused(400, &["id: "]);
    assert_eq!(
        till.ledger(&id).await,
        ["2026-01-01 POSTPAID_COMMIT_INITIAL_BALANCE 1000", "2026-02-01 POSTPAID_COMMIT_EXPIRATION -1000"]
    );
    assert_eq!(faults(&till.api).await, [""; 0]);
}

/// A promise that was kept is open again where what kept it is void, and what is short then is billed.
#[tokio::test]
async fn a_promise_that_was_kept_is_billed_where_less_is_spent_in_the_end() {
    let till = Till::at("2026-01-05").await;
    let commit = json!({
        "type": "POSTPAID", "product_id": till.fee, "name": "Promise",
        "access_schedule": Till::access(1000, "2026-01-01", "2026-02-01"),
        "invoice_schedule": { "schedule_items": [{ "amount": 1000, "timestamp": "2026-02-01T00:00:00Z" }] },
    });
    till.contract("2026-01-01", json!({ "commits": [commit] })).await;
    let listed = till.post(LIST, json!({ "include_contract_balances": true })).await;
    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    till.spend("2026-01-04", "x", 1000).await;
    till.api.move_clock("2026-02-03T00:00:00Z").await;
    let scheduled = async || {
        let invoices = till.api.invoices(&till.customer).await;
        let scheduled = invoices.into_iter().filter(|invoice| invoice["type"] == "SCHEDULED");
        scheduled.map(|invoice| format!("{} {}", invoice["status"], invoice["total"])).collect::<Vec<_>>()
    };
    assert_eq!(scheduled().await, [""; 0], "nothing is short");
    assert_eq!(faults(&till.api).await, [""; 0]);

    let january = till.usage_invoice("2026-01-01").await;
    till.post("/v1/invoices/void", json!({ "id": january["id"] })).await;
    assert_eq!(scheduled().await, [r#""DRAFT" 1000"#]);
    assert_eq!(faults(&till.api).await, [""; 0]);
    till.spend("2026-01-20", "x", -400).await;
    till.post("/v1/invoices/regenerate", json!({ "id": january["id"] })).await;
    till.api.work().await;
    assert_eq!(scheduled().await, [r#""FINALIZED" 400"#]);
    assert_eq!(
        till.ledger(&id).await,
        [
            "2026-01-01 POSTPAID_COMMIT_INITIAL_BALANCE 1000",
            "2026-02-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -600",
            "2026-02-01 POSTPAID_COMMIT_TRUEUP -400",
        ]
    );
    assert_eq!(faults(&till.api).await, [""; 0]);
}

/// A payment that the end of its contract took away is changed by no edit, which says so.
#[tokio::test]
async fn a_payment_that_an_end_removed_is_not_changed_in_vain() {
    let till = Till::at("2026-01-05").await;
    let payments = json!({ "schedule_items": [
        { "amount": 300, "timestamp": "2026-01-10T00:00:00Z" }, { "amount": 900, "timestamp": "2026-03-10T00:00:00Z" },
    ] });
    let commit = json!({
        "type": "PREPAID", "product_id": till.fee, "name": "Block",
        "access_schedule": Till::access(1200, "2026-01-01", "2027-01-01"), "invoice_schedule": payments,
    });
    let contract = till.contract("2026-01-01", json!({ "commits": [commit] })).await;
    let listed = till.post(LIST, json!({ "include_contract_balances": true })).await;
    let (id, removed) = (&listed[0]["id"], &listed[0]["invoice_schedule"]["schedule_items"][1]["id"]);
    let end = |at: &str| json!({ "contract_id": contract, "ending_before": at });
    till.post("/v1/contracts/updateEndDate", end("2026-02-10T00:00:00Z")).await;
    till.post("/v1/contracts/updateEndDate", end("2027-01-01T00:00:00Z")).await;
    let edit = json!({
        "customer_id": till.customer, "commit_id": id,
        "invoice_schedule": { "update_schedule_items": [{ "id": removed, "amount": 950 }] },
    });
    till.api.post("/v2/contracts/commits/edit", edit).await.refused(400, &["invoice_schedule", "removed"]);
}
