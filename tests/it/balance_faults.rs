//! Commits and credits where contracts, invoices and balances cross each other's ways.

use serde_json::{Value, json};

use crate::contract_ends::faults;
use crate::support::{Api, Metric, Rates};
use crate::world::{beyond_all_bounds, number};

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
    let edit = json!({
        "customer_id": till.customer, "commit_id": id,
        "invoice_schedule": { "update_schedule_items": [{ "id": removed, "amount": 950 }] },
    });
    let refused = till.api.post("/v2/contracts/commits/edit", edit.clone()).await;
    refused.refused(400, &["invoice_schedule", "removed"]);
    till.verified().await;
    till.post("/v1/contracts/updateEndDate", end("2027-01-01T00:00:00Z")).await;
    assert_eq!(till.api.post("/v2/contracts/commits/edit", edit).await.status, 200, "it is there again");
    assert_eq!(till.scheduled().await, ["DRAFT 2026-01-10 300", "DRAFT 2026-03-10 950"]);
    till.verified().await;
}

impl Till {
    /// A promise of an amount to be spent in January, whose true-up is dated at the given day.
    fn promise(&self, amount: i64, trued_up_on: &str) -> Value {
        json!({
            "type": "POSTPAID", "product_id": self.fee, "name": "Promise",
            "access_schedule": Self::access(amount, "2026-01-01", "2026-02-01"),
            "invoice_schedule": { "schedule_items": [
                { "amount": amount, "timestamp": format!("{trued_up_on}T00:00:00Z") },
            ] },
        })
    }

    /// A commit of the customer's own, billed on a contract.
    async fn own_commit(&self, mut commit: Value, billed_on: &str) -> String {
        commit["customer_id"] = json!(self.customer);
        commit["priority"] = json!(1);
        commit["invoice_contract_id"] = json!(billed_on);
        self.api.post("/v1/contracts/customerCommits/create", commit).await.id()
    }

    /// A commit of the customer's own, whose payment of 30 on 1 January is final on the first of two contracts.
    async fn block_billed_on_one_of_two(&self) -> (String, String, String) {
        let one = self.contract_of("none", "2026-01-01").await;
        let other = self.contract_of("x", "2026-01-01").await;
        let commit = json!({
            "type": "PREPAID", "product_id": self.fee, "name": "Block",
            "access_schedule": Self::access(600, "2026-01-01", "2027-01-01"),
            "invoice_schedule": { "schedule_items": [{ "amount": 30, "timestamp": "2026-01-01T00:00:00Z" }] },
        });
        let id = self.own_commit(commit, &one).await;
        self.api.work().await;
        (id, one, other)
    }

    /// The id of the only commit or credit.
    async fn only_balance(&self) -> String {
        let listed = self.post(LIST, json!({ "include_contract_balances": true })).await;
        assert_eq!(listed.as_array().map(Vec::len), Some(1));
        listed[0]["id"].as_str().expect("an id").to_owned()
    }

    /// The scheduled invoices: `STATUS date total`.
    async fn scheduled(&self) -> Vec<String> {
        let invoices = self.api.invoices(&self.customer).await;
        let scheduled = invoices.iter().filter(|invoice| invoice["type"] == "SCHEDULED");
        let one = |invoice: &Value| {
            let day = &invoice["start_timestamp"].as_str().expect("a date")[..10];
            format!("{} {day} {}", invoice["status"].as_str().expect("a status"), invoice["total"])
        };
        scheduled.map(one).collect()
    }

    /// The id of the scheduled invoice of a status.
    async fn scheduled_id(&self, status: &str) -> Value {
        let invoices = self.api.invoices(&self.customer).await;
        let is_meant = |invoice: &&Value| invoice["type"] == "SCHEDULED" && invoice["status"] == status;
        invoices.iter().find(is_meant).expect("an invoice")["id"].clone()
    }

    async fn edit(&self, commit: &str, mut edit: Value) {
        edit["commit_id"] = json!(commit);
        self.post("/v2/contracts/commits/edit", edit).await;
    }

    async fn refuse_edit(&self, commit: &str, mut edit: Value, parts: &[&str]) {
        edit["commit_id"] = json!(commit);
        edit["customer_id"] = json!(self.customer);
        self.api.post("/v2/contracts/commits/edit", edit).await.refused(400, parts);
    }

    async fn void(&self, id: &Value) {
        self.post("/v1/invoices/void", json!({ "id": id })).await;
    }

    async fn regenerate(&self, id: &Value) {
        self.post("/v1/invoices/regenerate", json!({ "id": id })).await;
    }

    async fn verified(&self) {
        assert_eq!(faults(&self.api).await, [""; 0]);
    }
}

/// What is short of a promise is known when its usage is billed. A true-up whose day comes while a usage invoice is void waits
/// for the one in its place, so nothing is paid twice and no ledger goes below zero.
#[tokio::test]
async fn a_true_up_waits_while_usage_is_void() {
    let till = Till::at("2026-01-05").await;
    till.contract("2026-01-01", json!({ "commits": [till.promise(1000, "2026-03-01")] })).await;
    let id = till.only_balance().await;
    till.spend("2026-01-04", "x", 600).await;
    till.api.move_clock("2026-02-05T00:00:00Z").await;
    assert_eq!(till.scheduled().await, ["DRAFT 2026-03-01 400"]);
    let january = till.usage_invoice("2026-01-01").await["id"].clone();
    till.void(&january).await;
    till.api.move_clock("2026-03-05T00:00:00Z").await;
    assert_eq!(till.scheduled().await, ["DRAFT 2026-03-01 1000"], "it is due, and waits");
    till.verified().await;
    // Other changes of the customer neither bill it nor are stopped by it.
    till.credit(Till::access(1, "2026-05-01", "2026-06-01"), &[]).await;
    till.edit(&id, json!({ "description": "still short" })).await;
    till.api.work().await;
    assert_eq!(till.scheduled().await, ["DRAFT 2026-03-01 1000"]);
    till.verified().await;

    till.regenerate(&january).await;
    till.api.work().await;
    assert_eq!(till.scheduled().await, ["FINALIZED 2026-03-01 400"]);
    assert_eq!(
        till.ledger(&id).await,
        [
            "2026-01-01 POSTPAID_COMMIT_INITIAL_BALANCE 1000",
            "2026-02-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -600",
            "2026-03-01 POSTPAID_COMMIT_TRUEUP -400",
        ]
    );
    till.verified().await;
}

/// An edit of another commit while usage is void does not bill a promise that was kept before.
#[tokio::test]
async fn a_promise_that_is_open_again_is_not_billed_before_its_usage() {
    let till = Till::at("2026-01-05").await;
    let other = json!({
        "type": "PREPAID", "product_id": till.fee, "name": "Other",
        "access_schedule": Till::access(10, "2026-06-01", "2026-07-01"),
    });
    let commits = json!({ "commits": [till.promise(1000, "2026-02-01"), other] });
    till.contract("2026-01-01", commits).await;
    let listed = till.post(LIST, json!({ "include_contract_balances": true })).await;
    let other = listed.as_array().expect("commits").iter().find(|one| one["name"] == "Other").expect("it");
    let other = other["id"].as_str().expect("an id").to_owned();
    till.spend("2026-01-04", "x", 1000).await;
    till.api.move_clock("2026-02-05T00:00:00Z").await;
    assert_eq!(till.scheduled().await, [""; 0], "nothing is short");
    let january = till.usage_invoice("2026-01-01").await["id"].clone();
    till.void(&january).await;
    till.edit(&other, json!({ "name": "Another" })).await;
    till.api.work().await;
    assert_eq!(till.scheduled().await, ["DRAFT 2026-02-01 1000"]);
    till.verified().await;
    till.regenerate(&january).await;
    till.api.work().await;
    assert_eq!(till.scheduled().await, [""; 0], "it is kept again");
    till.verified().await;
}

/// What a final true-up bills is not spent once more, and the true-up is made anew when it is known what is.
#[tokio::test]
async fn usage_that_is_billed_anew_spends_what_a_final_true_up_left() {
    let till = Till::at("2026-01-05").await;
    till.contract("2026-01-01", json!({ "commits": [till.promise(1000, "2026-02-01")] })).await;
    let id = till.only_balance().await;
    till.spend("2026-01-04", "x", 600).await;
    till.api.move_clock("2026-02-05T00:00:00Z").await;
    assert_eq!(till.scheduled().await, ["FINALIZED 2026-02-01 400"]);
    let january = till.usage_invoice("2026-01-01").await["id"].clone();
    till.void(&january).await;
    till.spend("2026-01-20", "x", 300).await;
    till.regenerate(&january).await;
    let ledger = |deduction: i64, true_up: i64| {
        [
            "2026-01-01 POSTPAID_COMMIT_INITIAL_BALANCE 1000".to_owned(),
            format!("2026-02-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION {deduction}"),
            format!("2026-02-01 POSTPAID_COMMIT_TRUEUP {true_up}"),
        ]
    };
    assert_eq!(till.ledger(&id).await, ledger(-600, -400), "of 900 only what was left counts");
    assert_eq!(till.usage_invoice("2026-01-01").await["total"], json!(900));
    till.verified().await;

    // In the other order all of it counts: the true-up is void before, and is not made anew before the usage is.
    let true_up = till.scheduled_id("FINALIZED").await;
    till.void(&true_up).await;
    let january = till.usage_invoice("2026-01-01").await["id"].clone();
    till.void(&january).await;
    let held = till.api.post("/v1/invoices/regenerate", json!({ "id": true_up })).await;
    held.refused(400, &["id: ", "usage invoice", january.as_str().expect("an id"), "regenerate that before"]);
    till.regenerate(&january).await;
    till.regenerate(&true_up).await;
    assert_eq!(till.ledger(&id).await, ledger(-900, -100));
    till.verified().await;
}

/// A contract that is longer again spends nothing of a promise that was billed at its end.
#[tokio::test]
async fn a_promise_that_is_billed_is_not_spent_by_a_contract_that_is_longer_again() {
    let till = Till::at("2026-01-05").await;
    let mut promise = till.promise(1000, "2026-12-01");
    promise["access_schedule"] = Till::access(1000, "2026-01-01", "2026-12-01");
    let contract = till.contract("2026-01-01", json!({ "commits": [promise] })).await;
    let id = till.only_balance().await;
    till.spend("2026-01-04", "x", 300).await;
    let end = |at: &str| json!({ "contract_id": contract, "ending_before": format!("{at}T00:00:00Z") });
    till.post("/v1/contracts/updateEndDate", end("2026-02-01")).await;
    till.api.move_clock("2026-02-05T00:00:00Z").await;
    assert_eq!(till.scheduled().await, ["FINALIZED 2026-02-01 700"]);
    till.post("/v1/contracts/updateEndDate", end("2026-12-01")).await;
    till.spend("2026-02-04", "x", 500).await;
    let shown = till.post(LIST, json!({ "include_contract_balances": true, "include_balance": true })).await;
    assert_eq!(shown[0]["balance"], json!(0), "nothing is left of it");
    till.api.move_clock("2026-03-05T00:00:00Z").await;
    assert_eq!(till.usage_invoice("2026-02-01").await["total"], json!(500));
    assert_eq!(
        till.ledger(&id).await,
        [
            "2026-01-01 POSTPAID_COMMIT_INITIAL_BALANCE 1000",
            "2026-02-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -300",
            "2026-02-01 POSTPAID_COMMIT_TRUEUP -700",
        ]
    );
    till.verified().await;
}

/// A customer's own commit does not end with the contract that carries its invoices, and what is owed for it neither.
#[tokio::test]
async fn payments_for_a_commit_of_the_customer_outlive_the_contract_that_bills_them() {
    for riding in [json!({}), json!({ "scheduled_charges_on_usage_invoices": "ALL" })] {
        let till = Till::at("2026-01-05").await;
        let of_contract = json!({
            "type": "PREPAID", "product_id": till.fee, "name": "Of the contract",
            "access_schedule": Till::access(7, "2026-01-01", "2027-01-01"),
            "invoice_schedule": { "schedule_items": [{ "amount": 7, "timestamp": "2026-04-01T00:00:00Z" }] },
        });
        let mut terms = riding;
        terms["commits"] = json!([of_contract]);
        let contract = till.contract("2026-01-01", terms).await;
        let payments = [("2026-01-10", 100), ("2026-03-01", 200), ("2026-06-01", 300)]
            .map(|(day, amount)| json!({ "amount": amount, "timestamp": format!("{day}T00:00:00Z") }));
        let commit = json!({
            "type": "PREPAID", "product_id": till.fee, "name": "Of the customer",
            "access_schedule": Till::access(600, "2026-01-01", "2027-01-01"),
            "invoice_schedule": { "schedule_items": payments },
        });
        let commit = till.own_commit(commit, &contract).await;
        let end = json!({ "contract_id": contract, "ending_before": "2026-02-10T00:00:00Z" });
        till.post("/v1/contracts/updateEndDate", end).await;
        assert_eq!(
            till.scheduled().await,
            ["DRAFT 2026-01-10 100", "DRAFT 2026-03-01 200", "DRAFT 2026-06-01 300"],
            "without that of the contract's own"
        );
        let second = till.contract("2026-02-10", json!({})).await;
        till.api.move_clock("2026-07-05T00:00:00Z").await;
        assert_eq!(
            till.scheduled().await,
            ["FINALIZED 2026-01-10 100", "FINALIZED 2026-03-01 200", "FINALIZED 2026-06-01 300"]
        );
        let invoices = till.api.invoices(&till.customer).await;
        let scheduled = invoices.iter().filter(|invoice| invoice["type"] == "SCHEDULED");
        scheduled.for_each(|invoice| assert_eq!(invoice["contract_id"], json!(contract)));
        till.spend("2026-07-04", "x", 40).await;
        let listed = till.post(LIST, json!({ "id": commit, "include_balance": true })).await;
        assert_eq!(listed[0]["balance"], json!(560), "another contract, {second}, draws it");
        till.verified().await;
    }
}

/// What a contract that is archived was to bill of a customer's promise lapses, unless another contract is to bill it.
#[tokio::test]
async fn a_promise_whose_invoice_contract_is_archived_lapses_or_goes_to_another() {
    let till = Till::at("2026-01-05").await;
    let (mistaken, right) =
        (till.contract_of("none", "2026-01-01").await, till.contract_of("x", "2026-01-01").await);
    let id = till.own_commit(till.promise(1000, "2026-02-01"), &mistaken).await;
    till.spend("2026-01-04", "x", 600).await;
    till.post("/v1/contracts/archive", json!({ "contract_id": mistaken, "void_invoices": true })).await;
    assert_eq!(till.scheduled().await, ["VOID 2026-02-01 1000"], "as it was: without what drafts spend");
    till.verified().await;
    till.api.move_clock("2026-02-05T00:00:00Z").await;
    assert_eq!(till.scheduled().await, ["VOID 2026-02-01 1000"]);
    assert_eq!(
        till.ledger(&id).await,
        [
            "2026-01-01 POSTPAID_COMMIT_INITIAL_BALANCE 1000",
            "2026-02-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -600",
            "2026-02-01 POSTPAID_COMMIT_EXPIRATION -400",
        ]
    );
    till.verified().await;

    till.edit(&id, json!({ "invoice_contract_id": right })).await;
    till.api.work().await;
    let mut scheduled = till.scheduled().await;
    scheduled.sort();
    assert_eq!(scheduled, ["FINALIZED 2026-02-01 400", "VOID 2026-02-01 1000"]);
    assert_eq!(till.ledger(&id).await[2], "2026-02-01 POSTPAID_COMMIT_TRUEUP -400");
    let invoices = till.api.invoices(&till.customer).await;
    let final_one = invoices.iter().find(|one| one["type"] == "SCHEDULED" && one["status"] == "FINALIZED");
    assert_eq!(final_one.expect("it")["contract_id"], json!(right));
    till.verified().await;
}

/// So do the payments of a commit, those that would have ridden on usage invoices too.
#[tokio::test]
async fn payments_that_became_void_with_their_contract_go_to_another() {
    for riding in [json!({}), json!({ "scheduled_charges_on_usage_invoices": "ALL" })] {
        let till = Till::at("2026-01-05").await;
        let mistaken = till.contract("2026-01-01", riding).await;
        let right = till.contract_of("x", "2026-01-01").await;
        let payments = [("2026-01-01", 100), ("2026-02-01", 200), ("2026-03-01", 300)]
            .map(|(day, amount)| json!({ "amount": amount, "timestamp": format!("{day}T00:00:00Z") }));
        let commit = json!({
            "type": "PREPAID", "product_id": till.fee, "name": "Block",
            "access_schedule": Till::access(600, "2026-01-01", "2027-01-01"),
            "invoice_schedule": { "schedule_items": payments },
        });
        let id = till.own_commit(commit, &mistaken).await;
        till.api.work().await;
        let taken_back = till.scheduled_id("FINALIZED").await;
        till.void(&taken_back).await;
        till.api.move_clock("2026-01-06T00:00:00Z").await;
        till.post("/v1/contracts/archive", json!({ "contract_id": mistaken, "void_invoices": true })).await;
        let void = ["VOID 2026-01-01 100", "VOID 2026-02-01 200", "VOID 2026-03-01 300"];
        assert_eq!(till.scheduled().await, void);
        till.verified().await;
        till.edit(&id, json!({ "invoice_contract_id": right })).await;
        till.api.move_clock("2026-02-05T00:00:00Z").await;
        let mut expected = void.to_vec();
        expected.extend(["FINALIZED 2026-02-01 200", "DRAFT 2026-03-01 300"]);
        let mut scheduled = till.scheduled().await;
        scheduled.sort();
        expected.sort_unstable();
        assert_eq!(scheduled, expected, "what was taken back by itself stays so");
        till.verified().await;
    }
}

/// A commit may be sent to another contract while its payment is final. Where that becomes void with its contract, the payment goes
/// there at once, not when somebody edits something else.
#[tokio::test]
async fn a_payment_that_becomes_void_goes_where_its_commit_was_sent_before() {
    let till = Till::at("2026-01-05").await;
    let (id, mistaken, right) = till.block_billed_on_one_of_two().await;
    assert_eq!(till.scheduled().await, ["FINALIZED 2026-01-01 30"]);
    till.edit(&id, json!({ "invoice_contract_id": right })).await;
    till.post("/v1/contracts/archive", json!({ "contract_id": mistaken, "void_invoices": true })).await;
    till.api.work().await;
    let scheduled = async || {
        let mut scheduled = till.scheduled().await;
        scheduled.sort();
        scheduled
    };
    let moved = ["FINALIZED 2026-01-01 30", "VOID 2026-01-01 30"];
    assert_eq!(scheduled().await, moved);
    till.verified().await;
    till.edit(&id, json!({ "description": "of no account" })).await;
    till.api.work().await;
    assert_eq!(scheduled().await, moved);

    till.post("/v1/contracts/archive", json!({ "contract_id": right, "void_invoices": false })).await;
    let payment = json!({ "add_schedule_items": [{ "amount": 7, "timestamp": "2026-02-01T00:00:00Z" }] });
    let parts = ["invoice_schedule.add_schedule_items", "is archived"];
    till.refuse_edit(&id, json!({ "invoice_schedule": payment }), &parts).await;
    till.verified().await;
}

/// It does not matter whether its invoice or its contract went first, if they went for one reason: at one instant, or the invoice
/// after the contract.
#[tokio::test]
async fn a_payment_goes_where_its_commit_was_sent_whichever_of_invoice_and_contract_is_first() {
    for is_void_first in [true, false] {
        let till = Till::at("2026-01-05").await;
        let (id, mistaken, right) = till.block_billed_on_one_of_two().await;
        let invoice = till.scheduled_id("FINALIZED").await;
        till.edit(&id, json!({ "invoice_contract_id": right })).await;
        let archived = json!({ "contract_id": mistaken, "void_invoices": false });
        if is_void_first {
            till.void(&invoice).await;
            till.verified().await;
            till.post("/v1/contracts/archive", archived).await;
        } else {
            till.post("/v1/contracts/archive", archived).await;
            till.api.move_clock("2026-01-06T00:00:00Z").await;
            assert_eq!(till.scheduled().await, ["FINALIZED 2026-01-01 30"]);
            till.void(&invoice).await;
        }
        till.verified().await;
        till.api.work().await;
        let mut scheduled = till.scheduled().await;
        scheduled.sort();
        assert_eq!(scheduled, ["FINALIZED 2026-01-01 30", "VOID 2026-01-01 30"], "{is_void_first}");
        till.verified().await;
    }
}

/// Nobody bills what an archived contract would, on whatever date and for whatever price.
#[tokio::test]
async fn a_payment_that_an_archived_contract_would_bill_is_not_changed() {
    let till = Till::at("2026-01-05").await;
    let (id, mistaken, right) = till.block_billed_on_one_of_two().await;
    till.void(&till.scheduled_id("FINALIZED").await).await;
    till.api.move_clock("2026-01-06T00:00:00Z").await;
    till.post("/v1/contracts/archive", json!({ "contract_id": mistaken, "void_invoices": true })).await;
    let listed = till.post(LIST, json!({ "id": id })).await;
    let payment = &listed[0]["invoice_schedule"]["schedule_items"][0]["id"];
    let to = |change: Value| {
        let mut item = json!({ "id": payment });
        item.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        json!({ "update_schedule_items": [item] })
    };
    let parts = ["invoice_schedule.update_schedule_items", "is archived"];
    for change in [json!({ "timestamp": "2026-02-01T00:00:00Z" }), json!({ "unit_price": 7 })] {
        till.refuse_edit(&id, json!({ "invoice_schedule": to(change) }), &parts).await;
    }
    till.edit(&id, json!({ "name": "Stone" })).await;
    till.verified().await;
    let elsewhere = json!({
        "invoice_contract_id": right,
        "invoice_schedule": to(json!({ "timestamp": "2026-02-01T00:00:00Z" })),
    });
    till.edit(&id, elsewhere).await;
    till.api.move_clock("2026-02-02T00:00:00Z").await;
    assert_eq!(till.scheduled().await, ["VOID 2026-01-01 30", "FINALIZED 2026-02-01 30"]);
    till.verified().await;
}

/// What is billed anew is what the commit is called by then.
#[tokio::test]
async fn a_payment_is_billed_anew_under_the_name_that_its_commit_has() {
    let till = Till::at("2026-01-05").await;
    let contract = till.contract_of("x", "2026-01-01").await;
    let commit = json!({
        "type": "PREPAID", "product_id": till.fee, "name": "Old",
        "access_schedule": Till::access(900, "2026-01-01", "2027-01-01"),
        "invoice_schedule": { "schedule_items": [{ "amount": 900, "timestamp": "2026-01-01T00:00:00Z" }] },
    });
    let id = till.own_commit(commit, &contract).await;
    till.api.work().await;
    let bought = till.api.fixed_product("Bought").await;
    till.edit(&id, json!({ "name": "New", "product_id": bought })).await;
    till.verified().await;
    let final_one = till.scheduled_id("FINALIZED").await;
    till.void(&final_one).await;
    till.verified().await;
    till.regenerate(&final_one).await;
    let invoices = till.api.invoices(&till.customer).await;
    let lines = |status: &str| {
        let invoice = invoices.iter().find(|one| one["type"] == "SCHEDULED" && one["status"] == status);
        let line = &invoice.expect("an invoice")["line_items"][0];
        (line["name"].clone(), line["product_id"].clone())
    };
    assert_eq!(lines("VOID"), (json!("Old"), json!(till.fee)));
    assert_eq!(lines("FINALIZED"), (json!("New"), json!(bought)));
    till.verified().await;
}

/// What takes part in a renewal is what is open just before it, also where an edit opens it after the renewal was agreed.
#[tokio::test]
async fn what_an_edit_opens_before_a_renewal_is_taken_over() {
    let till = Till::at("2026-01-05").await;
    let credit = json!({
        "product_id": till.fee, "name": "Trial", "priority": 1, "rollover_fraction": 1,
        "access_schedule": Till::access(100, "2026-01-01", "2026-01-20"),
    });
    let old = till.contract("2026-01-01", json!({ "credits": [credit] })).await;
    let id = till.only_balance().await;
    let transition = json!({ "transition": { "type": "RENEWAL", "from_contract_id": old } });
    till.contract("2026-02-01", transition).await;
    let segment = till.post(LIST, json!({ "id": id, "include_contract_balances": true })).await[0]
        ["access_schedule"]["schedule_items"][0]["id"]
        .clone();
    let longer = json!({
        "credit_id": id,
        "access_schedule": {
            "update_schedule_items": [{ "id": segment, "ending_before": "2026-12-01T00:00:00Z" }],
            "add_schedule_items": [{
                "amount": 50, "starting_at": "2026-01-06T00:00:00Z", "ending_before": "2026-06-01T00:00:00Z",
            }],
        },
    });
    till.post("/v2/contracts/credits/edit", longer).await;
    till.spend("2026-01-04", "x", 30).await;
    till.api.move_clock("2026-02-05T00:00:00Z").await;
    let ledger = till.ledger(&id).await;
    let taken: Vec<&String> = ledger.iter().filter(|line| line.contains("ROLLOVER")).collect();
    assert_eq!(taken, ["2026-02-01 CREDIT_ROLLOVER -70", "2026-02-01 CREDIT_ROLLOVER -50"], "{ledger:?}");
    till.verified().await;
    till.api.move_clock("2026-03-05T00:00:00Z").await;
    till.verified().await;
}

/// What is paid for a commit, of which all payments were removed, is billed as before when there are payments again.
#[tokio::test]
async fn payments_that_come_back_are_in_the_same_currency_and_invoiced_as_before() {
    let till = Till::at("2026-01-05").await;
    let contract = till.contract("2026-01-01", json!({})).await;
    let euro = "0170e490-67d8-5e37-92ae-618de5e95d1d";
    let commit = json!({
        "type": "PREPAID", "product_id": till.fee, "name": "Block",
        "access_schedule": Till::access(600, "2026-01-01", "2027-01-01"),
        "invoice_schedule": {
            "do_not_invoice": true, "credit_type_id": euro,
            "schedule_items": [{ "amount": 100, "timestamp": "2026-02-01T00:00:00Z" }],
        },
    });
    let id = till.own_commit(commit, &contract).await;
    let schedule = async || {
        let listed = till.post(LIST, json!({ "id": id })).await;
        listed[0].get("invoice_schedule").cloned().unwrap_or_default()
    };
    let before = schedule().await;
    let payment = before["schedule_items"][0]["id"].clone();
    till.edit(&id, json!({ "invoice_schedule": { "remove_schedule_items": [{ "id": payment }] } })).await;
    assert_eq!(schedule().await, Value::Null, "given away");
    let again = json!({ "add_schedule_items": [{ "amount": 250, "timestamp": "2026-02-01T00:00:00Z" }] });
    till.edit(&id, json!({ "invoice_schedule": again })).await;
    let after = schedule().await;
    assert_eq!((&after["do_not_invoice"], &after["credit_type"]["id"]), (&json!(true), &json!(euro)));
    assert_eq!(after["schedule_items"][0]["amount"], json!(250));
    // Its payments may end as well.
    let ended = json!({ "commit_id": id, "invoices_ending_before": "2026-01-06T00:00:00Z" });
    till.post("/v1/contracts/customerCommits/updateEndDate", ended).await;
    assert_eq!(schedule().await, Value::Null);
    till.edit(&id, json!({ "invoice_schedule": again })).await;
    assert_eq!(schedule().await["do_not_invoice"], json!(true));
    till.api.move_clock("2026-02-05T00:00:00Z").await;
    assert_eq!(till.scheduled().await, [""; 0]);
    till.verified().await;
}

/// A payment on a void invoice may change: another price or name is what is billed when the invoice is made anew.
#[tokio::test]
async fn what_is_changed_of_a_payment_on_a_void_invoice_is_billed_when_it_is_regenerated() {
    for riding in [json!({}), json!({ "scheduled_charges_on_usage_invoices": "ALL" })] {
        let till = Till::at("2026-01-05").await;
        let commit = json!({
            "type": "PREPAID", "product_id": till.fee, "name": "Block",
            "access_schedule": Till::access(1000, "2026-02-01", "2026-03-01"),
            "invoice_schedule": { "schedule_items": [{ "amount": 700, "timestamp": "2026-02-01T00:00:00Z" }] },
        });
        let mut terms = riding;
        terms["commits"] = json!([commit]);
        till.contract("2026-01-01", terms).await;
        let id = till.only_balance().await;
        let payment = async || {
            let listed = till.post(LIST, json!({ "include_contract_balances": true })).await;
            listed[0]["invoice_schedule"]["schedule_items"][0].clone()
        };
        till.api.move_clock("2026-02-05T00:00:00Z").await;
        let first = payment().await;
        let (item, invoice) = (first["id"].clone(), first["invoice_id"].clone());
        let update = |amount: i64| json!({ "invoice_schedule": { "update_schedule_items": [{ "id": item, "amount": amount }] } });
        let remove = json!({ "invoice_schedule": { "remove_schedule_items": [{ "id": item }] } });
        till.refuse_edit(&id, update(650), &["update_schedule_items[0].id", "finalized"]).await;
        till.void(&invoice).await;
        till.refuse_edit(&id, remove, &["remove_schedule_items[0].id", "void"]).await;
        for amount in [650, 600] {
            till.edit(&id, update(amount)).await;
            assert_eq!(payment().await["amount"], json!(amount));
        }
        till.edit(&id, json!({ "name": "Smaller block" })).await;
        till.verified().await;
        till.regenerate(&invoice).await;
        let path =
            |id: &Value| format!("/v1/customers/{}/invoices/{}", till.customer, id.as_str().expect("an id"));
        let billed = async |id: &Value| {
            let invoice = till.api.get(&path(id)).await.data();
            let lines = invoice["line_items"].as_array().expect("lines").clone();
            let line =
                lines.iter().find(|line| line["type"] == "commit_purchase").expect("a payment").clone();
            format!("{} {} {}", invoice["status"].as_str().expect("a status"), line["name"], line["total"])
        };
        let second = payment().await["invoice_id"].clone();
        assert_eq!(billed(&second).await, r#"FINALIZED "Smaller block" 600"#);
        assert_eq!(billed(&invoice).await, r#"VOID "Block" 700"#, "as it was");
        till.verified().await;
        till.void(&second).await;
        till.edit(&id, update(550)).await;
        till.regenerate(&second).await;
        let third = payment().await["invoice_id"].clone();
        assert_eq!(billed(&third).await, r#"FINALIZED "Smaller block" 550"#);
        assert_eq!(billed(&second).await, r#"VOID "Smaller block" 600"#);
        till.verified().await;
        till.api.move_clock("2026-04-05T00:00:00Z").await;
        till.verified().await;
    }
}

/// With another date it is on no void invoice any more, and is billed on that date.
#[tokio::test]
async fn a_payment_on_a_void_invoice_that_gets_another_date_is_billed_then() {
    let till = Till::at("2026-01-05").await;
    let payments = json!([
        { "amount": 700, "timestamp": "2026-01-01T00:00:00Z" }, { "amount": 50, "timestamp": "2026-01-01T00:00:00Z" },
    ]);
    let commit = json!({
        "type": "PREPAID", "product_id": till.fee, "name": "Block",
        "access_schedule": Till::access(1000, "2026-02-01", "2026-03-01"),
        "invoice_schedule": { "schedule_items": payments },
    });
    till.contract("2026-01-01", json!({ "commits": [commit] })).await;
    till.api.work().await;
    let id = till.only_balance().await;
    let items = async || {
        let listed = till.post(LIST, json!({ "include_contract_balances": true })).await;
        listed[0]["invoice_schedule"]["schedule_items"].clone()
    };
    let before = items().await;
    let invoice = before[0]["invoice_id"].clone();
    till.void(&invoice).await;
    let update = |item: &Value, amount: i64| {
        let item = json!({ "id": item["id"], "timestamp": "2026-02-15T00:00:00Z", "amount": amount });
        json!({ "invoice_schedule": { "update_schedule_items": [item] } })
    };
    till.edit(&id, update(&before[0], 710)).await;
    assert_eq!(items().await[0]["invoice_id"], Value::Null);
    assert_eq!(till.scheduled().await, ["VOID 2026-01-01 750", "DRAFT 2026-02-15 710"]);
    till.regenerate(&invoice).await;
    let shown = ["VOID 2026-01-01 750", "FINALIZED 2026-01-01 50", "DRAFT 2026-02-15 710"];
    let mut scheduled = till.scheduled().await;
    scheduled.sort();
    let mut expected = shown.to_vec();
    expected.sort_unstable();
    assert_eq!(scheduled, expected, "the rest is made anew");
    till.verified().await;

    let standing = till.scheduled_id("FINALIZED").await;
    till.void(&standing).await;
    till.edit(&id, update(&before[1], 60)).await;
    till.api
        .post("/v1/invoices/regenerate", json!({ "id": invoice }))
        .await
        .refused(400, &["id: ", "other dates"]);
    till.api.move_clock("2026-02-16T00:00:00Z").await;
    let scheduled = till.scheduled().await;
    assert!(scheduled.contains(&"FINALIZED 2026-02-15 770".to_owned()), "{scheduled:?}");
    assert_eq!(scheduled.len(), 3);
    till.verified().await;
}

/// A void true-up that gets another date is billed anew on that date, by what is short then.
#[tokio::test]
async fn a_void_true_up_that_gets_another_date_is_billed_then() {
    let till = Till::at("2026-01-05").await;
    till.contract("2026-01-01", json!({ "commits": [till.promise(1000, "2026-02-01")] })).await;
    let id = till.only_balance().await;
    till.spend("2026-01-04", "x", 600).await;
    till.api.move_clock("2026-02-05T00:00:00Z").await;
    let listed = till.post(LIST, json!({ "include_contract_balances": true })).await;
    let item = listed[0]["invoice_schedule"]["schedule_items"][0]["id"].clone();
    let true_up = till.scheduled_id("FINALIZED").await;
    till.void(&true_up).await;
    let update = json!([{ "id": item, "timestamp": "2026-03-01T00:00:00Z" }]);
    till.edit(&id, json!({ "invoice_schedule": { "update_schedule_items": update } })).await;
    assert_eq!(till.scheduled().await, ["VOID 2026-02-01 400", "DRAFT 2026-03-01 400"]);
    let draft = till.scheduled_id("DRAFT").await;
    till.api.post("/v1/invoices/void", json!({ "id": draft })).await.refused(400, &["draft"]);
    till.verified().await;
    till.api
        .post("/v1/invoices/regenerate", json!({ "id": true_up }))
        .await
        .refused(400, &["id: ", "other dates"]);
    till.api.move_clock("2026-03-01T00:00:00Z").await;
    assert_eq!(till.scheduled().await, ["VOID 2026-02-01 400", "FINALIZED 2026-03-01 400"]);
    assert_eq!(till.scheduled_id("FINALIZED").await, draft);
    assert_eq!(till.ledger(&id).await[2], "2026-03-01 POSTPAID_COMMIT_TRUEUP -400");
    till.verified().await;
}

/// What other contracts use counts for a share of the customer's whole spend at what it costs where nothing pays for it.
#[tokio::test]
async fn a_share_of_the_whole_spend_is_of_others_at_list_prices() {
    let till = Till::at("2026-01-05").await;
    let metric = till.api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["of"] }).await;
    let product = till.api.product("Calls", &metric, json!({})).await;
    let start = "2025-01-01T00:00:00Z";
    let while_drawn = json!({ "commit_rate": { "rate_type": "FLAT", "price": 8 } });
    let rates = till.api.rate_card().await;
    till.api.flat(&rates, &product, start, "10", while_drawn).await;
    let support = json!({
        "name": "Support", "type": "COMPOSITE", "composite_product_ids": [product], "composite_scope": "CUSTOMER",
    });
    let support = till.api.post("/v1/contract-pricing/products/create", support).await.id();
    let share = json!({
        "rate_card_id": rates.card, "product_id": support, "starting_at": start, "entitled": true,
        "rate_type": "PERCENTAGE", "price": number("0.1"),
    });
    till.api.post("/v1/contract-pricing/rate-cards/addRate", share).await;
    let contract_of = async |of: &str, from: &str, more: Value| {
        let mut terms = more;
        let starting_at = format!("{from}T00:00:00Z");
        terms["usage_filter"] =
            json!({ "group_key": "of", "group_values": [of], "starting_at": starting_at });
        till.api.contract(&till.customer, &rates, &starting_at, terms).await
    };
    let commit = json!({
        "type": "PREPAID", "product_id": till.fee, "rate_type": "COMMIT_RATE", "applicable_product_ids": [product],
        "access_schedule": Till::access(1000, "2026-01-01", "2027-01-01"),
    });
    let first = contract_of("first", "2026-01-01", json!({ "commits": [commit] })).await;
    let second = contract_of("second", "2026-01-02", json!({ "commits": [commit] })).await;
    for of in ["first", "second"] {
        till.spend("2026-01-04", of, 10).await;
    }
    till.api.move_clock("2026-02-05T00:00:00Z").await;
    let totals = till.totals().await;
    let january = |of: &str| -> Vec<Value> {
        let own = totals.iter().filter(|(contract, total)| contract == of && *total != json!(0));
        own.map(|(_, total)| total.clone()).collect()
    };
    assert_eq!(january(&first), [json!(18)], "a tenth of 80 of its own and 100 of the other's");
    assert!(january(&second).is_empty());
    till.verified().await;
}

/// A true-up comes after the usage that may spend its commit, also where that cannot be computed for a while.
#[tokio::test]
async fn a_true_up_waits_for_a_statement_that_cannot_be_computed() {
    let api = Api::at("2026-01-05T12:00:00Z").await;
    let customer = api.customer("acct").await;
    let query = async |sql: &str| {
        api.post("/v1/billable-metrics/create", json!({ "name": "query", "sql": sql })).await.id()
    };
    let failing = query(&beyond_all_bounds()).await;
    let rates = api.rate_card().await;
    let product = api.product("Units", &failing, json!({})).await;
    api.flat(&rates, &product, "2025-01-01T00:00:00Z", "1", json!({})).await;
    let fee = api.fixed_product("Fee").await;
    let till = Till { api, rates, fee, customer };
    till.contract("2026-01-01", json!({ "commits": [till.promise(1000, "2026-02-01")] })).await;
    let id = till.only_balance().await;
    for day in 1..=3 {
        till.spend(&format!("2026-01-0{day}"), "x", 100).await;
    }
    till.api.move_clock("2026-02-10T00:00:00Z").await;
    assert!(till.usage_invoice("2026-01-01").await["upbeat_failure"].is_object());
    assert_eq!(till.scheduled().await, ["DRAFT 2026-02-01 1000"], "a draft that fails spends nothing");
    let held = "SELECT count(*) FROM due_work WHERE kind = 'settle_true_up' AND retry_at IS NOT NULL
                AND last_error LIKE '%before the true-up is not finalized%'";
    assert_eq!(till.api.number(held).await, 1);
    assert_eq!(till.ledger(&id).await, ["2026-01-01 POSTPAID_COMMIT_INITIAL_BALANCE 1000"]);

    let summed = {
        let sum = json!({ "name": "query", "sql": "SELECT SUM(properties.n) AS value FROM events" });
        till.api.post("/v1/billable-metrics/create", sum).await.id()
    };
    let mended = json!({
        "product_id": product, "starting_at": "2026-01-01T00:00:00Z", "billable_metric_id": summed,
    });
    till.api.post("/v1/contract-pricing/products/update", mended).await.id();
    till.api.move_clock("2026-02-10T02:00:00Z").await;
    assert_eq!(till.usage_invoice("2026-01-01").await["total"], json!(300));
    assert_eq!(till.scheduled().await, ["FINALIZED 2026-02-01 700"]);
    assert_eq!(
        till.ledger(&id).await,
        [
            "2026-01-01 POSTPAID_COMMIT_INITIAL_BALANCE 1000",
            "2026-02-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -300",
            "2026-02-01 POSTPAID_COMMIT_TRUEUP -700",
        ]
    );
    assert_eq!(till.api.number("SELECT count(*) FROM due_work WHERE last_error IS NOT NULL").await, 0);
    till.verified().await;
}

/// A promise of 1,000 over January, and where it is billed.
fn promise(till: &Till, billed_at: &str) -> Value {
    json!({
        "type": "POSTPAID", "product_id": till.fee, "name": "Promise", "priority": 1,
        "access_schedule": Till::access(1000, "2026-01-10", "2026-02-01"),
        "invoice_schedule": { "schedule_items": [{ "amount": 1000, "timestamp": billed_at }] },
    })
}

/// What was short of a promise and is billed is promised no more: usage that is billed anew spends what is left beside it.
#[tokio::test]
async fn usage_that_is_billed_anew_spends_no_promise_that_was_billed_as_short() {
    let till = Till::at("2026-01-05").await;
    let commit = promise(&till, "2026-02-01T00:00:00Z");
    till.contract("2026-01-01", json!({ "commits": [commit] })).await;
    let listed = till.post(LIST, json!({ "include_contract_balances": true })).await;
    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    till.api.move_clock("2026-01-20T00:00:00Z").await;
    till.spend("2026-01-14", "x", 600).await;
    till.api.move_clock("2026-02-03T00:00:00Z").await;
    let january = till.usage_invoice("2026-01-01").await;
    till.spend("2026-01-15", "x", 300).await;
    till.post("/v1/invoices/void", json!({ "id": january["id"] })).await;
    till.post("/v1/invoices/regenerate", json!({ "id": january["id"] })).await;
    assert_eq!(till.usage_invoice("2026-01-01").await["total"], json!(900));
    assert_eq!(
        till.ledger(&id).await,
        [
            "2026-01-10 POSTPAID_COMMIT_INITIAL_BALANCE 1000",
            "2026-02-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -600",
            "2026-02-01 POSTPAID_COMMIT_TRUEUP -400",
        ]
    );
    assert_eq!(faults(&till.api).await, [""; 0]);
}

/// Where usage that spent a promise is billed anew for less, what is short of it is more: that is billed as the true-up is made anew.
#[tokio::test]
async fn a_true_up_is_made_anew_where_usage_turns_out_to_spend_less() {
    let till = Till::at("2026-01-05").await;
    let commit = promise(&till, "2026-02-01T00:00:00Z");
    till.contract("2026-01-01", json!({ "commits": [commit] })).await;
    let id = till.only_balance().await;
    till.api.move_clock("2026-01-20T00:00:00Z").await;
    till.spend("2026-01-14", "x", 600).await;
    till.api.move_clock("2026-02-03T00:00:00Z").await;
    let january = till.usage_invoice("2026-01-01").await;
    till.credit(Till::access(200, "2026-01-01", "2026-02-01"), &[]).await;
    till.void(&january["id"]).await;
    till.regenerate(&january["id"]).await;
    let ledger = |trued_up: i64| {
        [
            "2026-01-10 POSTPAID_COMMIT_INITIAL_BALANCE 1000".to_owned(),
            "2026-02-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -400".to_owned(),
            format!("2026-02-01 POSTPAID_COMMIT_TRUEUP -{trued_up}"),
        ]
    };
    assert_eq!(till.ledger(&id).await, ledger(400));
    let trued_up = till.scheduled_id("FINALIZED").await;
    till.void(&trued_up).await;
    till.regenerate(&trued_up).await;
    assert_eq!(till.ledger(&id).await, ledger(600));
    let mut scheduled = till.scheduled().await;
    scheduled.sort();
    assert_eq!(scheduled, ["FINALIZED 2026-02-01 600", "VOID 2026-02-01 400"]);
    till.verified().await;
}

/// The rest of a promise lapses with the contract that was to bill it.
#[tokio::test]
async fn a_promise_lapses_with_the_contract_that_was_to_bill_it() {
    let till = Till::at("2026-01-05").await;
    let contract = till.contract("2026-01-01", json!({})).await;
    let mut commit = promise(&till, "2026-03-01T00:00:00Z");
    commit["invoice_contract_id"] = json!(contract);
    let id = till.post("/v1/contracts/customerCommits/create", commit).await["id"].clone();
    till.post("/v1/contracts/archive", json!({ "contract_id": contract, "void_invoices": true })).await;
    till.api.move_clock("2026-03-05T00:00:00Z").await;
    assert_eq!(
        till.ledger(id.as_str().expect("an id")).await,
        ["2026-01-10 POSTPAID_COMMIT_INITIAL_BALANCE 1000", "2026-02-01 POSTPAID_COMMIT_EXPIRATION -1000"]
    );
    assert_eq!(faults(&till.api).await, [""; 0]);
}

/// Where a contract turns out to have ended before it promised anything, nothing of the promise stays open.
#[tokio::test]
async fn nothing_is_open_of_a_promise_that_its_contract_left_no_time_for() {
    let till = Till::at("2026-01-05").await;
    let commit = promise(&till, "2026-03-01T00:00:00Z");
    let contract = till.contract("2026-01-01", json!({ "commits": [commit] })).await;
    let listed = till.post(LIST, json!({ "include_contract_balances": true })).await;
    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    till.api.move_clock("2026-01-20T00:00:00Z").await;
    till.spend("2026-01-14", "x", 300).await;
    till.api.move_clock("2026-02-03T00:00:00Z").await;
    let end = json!({ "contract_id": contract, "ending_before": "2026-01-05T00:00:00Z" });
    till.post("/v1/contracts/updateEndDate", end).await;
    till.api.move_clock("2026-03-05T00:00:00Z").await;
    assert_eq!(
        till.ledger(&id).await,
        [
            "2026-01-10 POSTPAID_COMMIT_INITIAL_BALANCE 1000",
            "2026-01-10 POSTPAID_COMMIT_EXPIRATION -700",
            "2026-02-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -300",
        ]
    );
    assert_eq!(faults(&till.api).await, [""; 0]);
}

/// Of two contracts that share a commit, the one that starts first draws its own recurring credit before it, also where that is
/// made late and the other one is finalized before: the commit is left for the other.
#[tokio::test]
async fn what_another_contract_is_granted_late_leaves_it_what_they_share() {
    let till = Till::at("2026-01-05").await;
    // Made first, so finalized first; it starts second, so it draws second.
    let second = till.contract_of("second", "2026-01-02").await;
    let filter =
        json!({ "group_key": "of", "group_values": ["first"], "starting_at": "2026-01-01T00:00:00Z" });
    let daily = json!({
        "product_id": till.fee, "name": "Daily", "priority": 1, "starting_at": "2026-01-01T00:00:00Z",
        "access_amount": { "unit_price": 60, "quantity": 1, "credit_type_id": "2714e483-4ff1-48e4-9e25-ac732e8f24f2" },
        "commit_duration": { "value": 1, "unit": "PERIODS" }, "recurrence_frequency": "DAILY",
    });
    let terms = json!({ "usage_filter": filter, "recurring_credits": [daily] });
    let first = till.contract("2026-01-01", terms).await;
    let shared = json!({
        "customer_id": till.customer, "type": "PREPAID", "product_id": till.fee, "priority": 5,
        "access_schedule": Till::access(60, "2026-02-01", "2026-03-01"),
    });
    till.api.post("/v1/contracts/customerCommits/create", shared).await.id();
    till.api.move_clock("2026-02-20T00:00:00Z").await;
    // Nobody makes what is granted from here on.
    till.api.sql("DELETE FROM due_work WHERE kind = 'create_recurring_balances'").await;
    till.api.move_clock("2026-02-25T12:00:00Z").await;
    for of in ["first", "second"] {
        till.spend("2026-02-25", of, 60).await;
    }
    till.api.move_clock("2026-03-05T00:00:00Z").await;
    let invoices = till.api.invoices(&till.customer).await;
    for contract in [&first, &second] {
        let is_february = |invoice: &&Value| {
            invoice["contract_id"] == json!(contract)
                && invoice["start_timestamp"].as_str().is_some_and(|start| start.starts_with("2026-02"))
        };
        let february = invoices.iter().find(is_february).expect("February's");
        assert_eq!((&february["status"], &february["total"]), (&json!("FINALIZED"), &json!(0)), "{february}");
    }
    assert_eq!(faults(&till.api).await, [""; 0]);
}
