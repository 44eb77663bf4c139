//! What is paid for commits, as contracts end, are archived and are joined by others (reference: credits and commits,
//! sections 5 and 10).

use serde_json::{Value, json};

use crate::contract_ends::faults;
use crate::support::{Api, Metric, Rates};

const START: &str = "2026-01-01T00:00:00Z";
const YEAR_END: &str = "2027-01-01T00:00:00Z";

/// A customer with a rate card on which units cost 100, and a FIXED product that names commits.
struct Desk {
    api: Api,
    rates: Rates,
    customer: String,
    fixed: String,
}

impl Desk {
    async fn at(now: &str) -> Self {
        let api = Api::at(now).await;
        let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
        let product = api.product("Units", &metric, json!({})).await;
        let rates = api.rate_card().await;
        api.flat(&rates, &product, START, "100", json!({})).await;
        let customer = api.customer("acme").await;
        let fixed = api.fixed_product("Commitment").await;
        Self { api, rates, customer, fixed }
    }

    fn commit(&self, kind: &str, window: (&str, &str, i64), payments: &[(&str, i64)]) -> Value {
        let (from, until, amount) = window;
        let payment = |(at, amount): &(&str, i64)| json!({ "timestamp": at, "amount": amount });
        json!({
            "type": kind, "product_id": self.fixed, "priority": 1,
            "access_schedule": { "schedule_items": [
                { "starting_at": from, "ending_before": until, "amount": amount },
            ] },
            "invoice_schedule": { "schedule_items": payments.iter().map(payment).collect::<Vec<_>>() },
        })
    }

    async fn contract(&self, more: Value) -> String {
        self.api.contract(&self.customer, &self.rates, START, more).await
    }

    async fn of_customer(&self, mut commit: Value, contract: &str) -> String {
        commit["customer_id"] = json!(self.customer);
        commit["invoice_contract_id"] = json!(contract);
        self.api.post("/v1/contracts/customerCommits/create", commit).await.id()
    }

    async fn use_units(&self, at: &str, count: usize) {
        for _ in 0..count {
            self.api.event("acme", at, json!({})).await;
        }
    }

    async fn scheduled(&self) -> Vec<Value> {
        let path = format!("/v1/customers/{}/invoices?type=SCHEDULED", self.customer);
        self.api.get(&path).await.data().as_array().expect("invoices").clone()
    }

    /// Scheduled invoices as `date status total issued date`.
    async fn shown(&self) -> Vec<String> {
        let date = |value: &Value| value.as_str().expect("an instant")[..10].to_owned();
        let one = |invoice: &Value| {
            let (at, issued) = (date(&invoice["start_timestamp"]), date(&invoice["issued_at"]));
            format!(
                "{at} {} {} issued {issued}",
                invoice["status"].as_str().expect("a status"),
                invoice["total"]
            )
        };
        self.scheduled().await.iter().map(one).collect()
    }

    async fn end(&self, contract: &str, at: &str) {
        let body = json!({ "customer_id": self.customer, "contract_id": contract, "ending_before": at });
        self.api.post("/v1/contracts/updateEndDate", body).await.id();
    }
}

#[tokio::test]
async fn an_earlier_end_removes_payments_and_bills_what_is_short_there() {
    let desk = Desk::at("2026-01-10T00:00:00Z").await;
    let prepaid = desk.commit(
        "PREPAID",
        (START, YEAR_END, 50),
        &[("2026-02-01T00:00:00Z", 20), ("2026-04-01T00:00:00Z", 30)],
    );
    let postpaid = desk.commit("POSTPAID", (START, YEAR_END, 10_000), &[("2027-01-15T00:00:00Z", 10_000)]);
    let contract = desk.contract(json!({ "commits": [prepaid, postpaid] })).await;
    assert_eq!(
        desk.shown().await,
        [
            "2026-02-01 DRAFT 20 issued 2026-02-01",
            "2026-04-01 DRAFT 30 issued 2026-04-01",
            "2027-01-15 DRAFT 10000 issued 2027-01-15",
        ]
    );
    let id = desk.scheduled().await[2]["id"].clone();
    desk.use_units("2026-01-05T00:00:00Z", 7).await;
    // The prepaid commit pays for half a unit first.
    assert_eq!(desk.shown().await[2], "2027-01-15 DRAFT 9350 issued 2027-01-15");
    desk.end(&contract, "2026-03-15T00:00:00Z").await;
    assert_eq!(
        desk.shown().await,
        ["2026-02-01 DRAFT 20 issued 2026-02-01", "2026-03-15 DRAFT 9350 issued 2026-03-16"]
    );
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
    desk.api.move_clock("2026-03-16T00:00:00Z").await;
    assert_eq!(
        desk.shown().await,
        ["2026-02-01 FINALIZED 20 issued 2026-02-01", "2026-03-15 FINALIZED 9350 issued 2026-03-16"]
    );
    assert_eq!(desk.scheduled().await[1]["id"], id, "wherever it moves it is one invoice");
    desk.api.move_clock("2027-03-01T00:00:00Z").await;
    assert_eq!(desk.shown().await.len(), 2, "it is billed once");
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_later_end_gives_the_time_to_spend_back() {
    let desk = Desk::at("2026-01-10T00:00:00Z").await;
    let postpaid = desk.commit("POSTPAID", (START, YEAR_END, 100), &[(YEAR_END, 100)]);
    let contract = desk.contract(json!({ "commits": [postpaid] })).await;
    desk.end(&contract, "2026-02-15T00:00:00Z").await;
    assert_eq!(desk.shown().await, ["2026-02-15 DRAFT 100 issued 2026-02-16"]);
    desk.end(&contract, "2026-06-01T00:00:00Z").await;
    assert_eq!(desk.shown().await, ["2026-06-01 DRAFT 100 issued 2026-06-02"]);
    desk.end(&contract, "2028-01-01T00:00:00Z").await;
    assert_eq!(desk.shown().await, ["2027-01-01 DRAFT 100 issued 2027-01-02"]);
    desk.api.move_clock("2026-12-31T00:00:00Z").await;
    assert_eq!(desk.shown().await, ["2027-01-01 DRAFT 100 issued 2027-01-02"], "nothing was due on the way");
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
}

/// What may be drawn again is paid for again.
#[tokio::test]
async fn a_later_end_brings_back_the_payments_for_what_may_be_drawn_again() {
    let desk = Desk::at("2026-01-10T00:00:00Z").await;
    let dates = [START, "2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z"];
    let prepaid =
        desk.commit("PREPAID", (START, "2026-07-01T00:00:00Z", 300), &dates.map(|date| (date, 100)));
    let charge = json!([{
        "product_id": desk.fixed,
        "schedule": { "schedule_items": [{ "timestamp": "2026-03-01T00:00:00Z", "amount": 7 }] },
    }]);
    let contract = desk.contract(json!({ "commits": [prepaid], "scheduled_charges": charge })).await;
    desk.api.work().await;
    let paid = "2026-01-01 FINALIZED 100 issued 2026-01-01";
    desk.end(&contract, "2026-02-15T00:00:00Z").await;
    assert_eq!(desk.shown().await, [paid]);
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
    desk.end(&contract, "2026-04-15T00:00:00Z").await;
    let march = "2026-03-01 DRAFT 100 issued 2026-03-01";
    assert_eq!(desk.shown().await, [paid, march], "the charge stays away");
    let reopen = json!({ "customer_id": desk.customer, "contract_id": contract });
    desk.api.post("/v1/contracts/updateEndDate", reopen).await.id();
    assert_eq!(desk.shown().await, [paid, march, "2026-05-01 DRAFT 100 issued 2026-05-01"]);
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
    desk.api.move_clock("2026-05-02T00:00:00Z").await;
    assert_eq!(desk.shown().await.len(), 3);
    assert!(desk.shown().await.iter().all(|line| line.contains("FINALIZED 100")));
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_contract_that_is_archived_takes_its_payments_along_as_void_invoices() {
    let desk = Desk::at("2026-01-10T00:00:00Z").await;
    let prepaid = desk.commit(
        "PREPAID",
        ("2026-03-01T00:00:00Z", YEAR_END, 50),
        &[(START, 20), ("2026-04-01T00:00:00Z", 30)],
    );
    let postpaid = desk.commit("POSTPAID", (START, YEAR_END, 1000), &[(YEAR_END, 1000)]);
    let contract = desk.contract(json!({ "commits": [prepaid, postpaid] })).await;
    desk.use_units("2026-01-05T00:00:00Z", 3).await;
    desk.api.move_clock("2026-02-10T00:00:00Z").await;
    let body = json!({ "customer_id": desk.customer, "contract_id": contract, "void_invoices": false });
    desk.api.post("/v1/contracts/archive", body).await.id();
    let expected = [
        "2026-01-01 FINALIZED 20 issued 2026-01-01",
        "2026-04-01 VOID 30 issued 2026-04-01",
        "2027-01-01 VOID 700 issued 2027-01-02",
    ];
    assert_eq!(desk.shown().await, expected);
    desk.api.move_clock("2027-03-01T00:00:00Z").await;
    assert_eq!(desk.shown().await, expected, "nothing is due any more");
    assert_eq!(desk.api.number("SELECT count(*) FROM due_work").await, 0);
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_agreed_after_its_date_is_invoiced_comes_onto_another_invoice() {
    let desk = Desk::at("2026-01-10T00:00:00Z").await;
    let on = |amount| desk.commit("PREPAID", (START, YEAR_END, amount), &[("2026-01-05T00:00:00Z", amount)]);
    let contract = desk.contract(json!({ "commits": [on(10)] })).await;
    desk.api.work().await;
    for amount in [20, 30] {
        desk.of_customer(on(amount), &contract).await;
        desk.api.work().await;
    }
    let mut shown = desk.shown().await;
    shown.sort();
    assert_eq!(shown, [10, 20, 30].map(|amount| format!("2026-01-05 FINALIZED {amount} issued 2026-01-05")));
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_true_up_of_a_customer_waits_for_every_contract_that_may_spend_it() {
    let desk = Desk::at("2026-01-10T00:00:00Z").await;
    let billed = desk.contract(json!({ "ending_before": "2026-02-01T00:00:00Z" })).await;
    let until = "2026-02-15T00:00:00Z";
    let commit =
        desk.of_customer(desk.commit("POSTPAID", (START, until, 1000), &[(until, 1000)]), &billed).await;
    assert_eq!(desk.shown().await, ["2026-02-15 DRAFT 1000 issued 2026-02-15"], "the contract ends before");
    let more = json!({ "usage_statement_schedule": { "frequency": "QUARTERLY" } });
    desk.api.contract(&desk.customer, &desk.rates, "2026-02-01T00:00:00Z", more).await;
    assert_eq!(desk.shown().await, ["2026-02-15 DRAFT 1000 issued 2026-05-02"]);
    desk.use_units("2026-01-05T00:00:00Z", 2).await;
    desk.api.move_clock("2026-02-20T00:00:00Z").await;
    desk.use_units("2026-02-14T00:00:00Z", 3).await;
    desk.use_units("2026-02-16T00:00:00Z", 1).await;
    assert_eq!(desk.shown().await, ["2026-02-15 DRAFT 500 issued 2026-05-02"]);
    desk.api.move_clock("2026-05-02T00:00:00Z").await;
    assert_eq!(desk.shown().await, ["2026-02-15 FINALIZED 500 issued 2026-05-02"]);
    let invoice = desk.scheduled().await.remove(0);
    assert_eq!(invoice["contract_id"], json!(billed));
    assert_eq!(invoice["line_items"][0]["postpaid_commit"], json!({ "id": commit }));
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
}

#[tokio::test]
async fn several_true_ups_of_one_date_are_several_invoices() {
    let desk = Desk::at("2026-01-10T00:00:00Z").await;
    let until = "2026-02-01T00:00:00Z";
    let postpaid = |amount| desk.commit("POSTPAID", (START, until, amount), &[(until, amount)]);
    desk.contract(json!({ "commits": [postpaid(100), postpaid(200)] })).await;
    desk.use_units("2026-01-05T00:00:00Z", 1).await;
    assert_eq!(desk.shown().await, ["2026-02-01 DRAFT 200 issued 2026-02-02"], "the first is spent");
    desk.api.move_clock(until).await;
    assert_eq!(desk.shown().await, ["2026-02-01 DRAFT 200 issued 2026-02-02"]);
    desk.api.move_clock("2026-02-02T00:00:00Z").await;
    assert_eq!(desk.shown().await, ["2026-02-01 FINALIZED 200 issued 2026-02-02"]);
    // The promise that was kept may be open again if its usage is voided; until then nothing is due.
    assert_eq!(desk.api.number("SELECT count(*) FROM due_work WHERE kind = 'settle_true_up'").await, 0);
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
}

#[tokio::test]
async fn lists_and_pages_have_a_true_up_in_its_place() {
    let desk = Desk::at("2026-01-10T00:00:00Z").await;
    let until = "2026-02-01T00:00:00Z";
    let postpaid = desk.commit("POSTPAID", (START, until, 700), &[(until, 700)]);
    let prepaid = desk.commit("PREPAID", (until, YEAR_END, 1), &[("2026-02-01T12:00:00Z", 1), (YEAR_END, 2)]);
    desk.contract(json!({ "commits": [postpaid, prepaid] })).await;
    let path = format!("/v1/customers/{}/invoices", desk.customer);
    let whole = desk.api.get(&path).await.data();
    let totals = |invoices: &Value| -> Vec<i64> {
        invoices
            .as_array()
            .expect("invoices")
            .iter()
            .map(|one| one["total"].as_i64().expect("cents"))
            .collect()
    };
    let by_issue = totals(&whole);
    let of_an_instant = [[1, 700, 0, 2], [1, 0, 700, 2]];
    assert!(of_an_instant.iter().any(|order| by_issue == order), "the true-up is in its place: {by_issue:?}");
    let mut paged = Vec::new();
    let mut next = String::new();
    loop {
        let page = desk.api.get(&format!("{path}?limit=1&sort=date_desc{next}")).await.body;
        paged.extend(page["data"].as_array().expect("invoices").clone());
        let Some(cursor) = page["next_page"].as_str() else { break };
        next = format!("&next_page={cursor}");
    }
    paged.reverse();
    assert_eq!(json!(paged), whole);
    for query in ["status=FINALIZED", "ending_before=2026-02-01T00:00:00Z&type=SCHEDULED"] {
        let none = desk.api.get(&format!("{path}?{query}")).await.data();
        assert_eq!(none, json!([]), "{query}");
    }
}

#[tokio::test]
async fn what_a_true_up_was_made_of_is_checked() {
    let desk = Desk::at("2026-01-10T00:00:00Z").await;
    let until = "2026-02-01T00:00:00Z";
    let postpaid = desk.commit("POSTPAID", (START, until, 700), &[(until, 700)]);
    desk.contract(json!({ "commits": [postpaid] })).await;
    desk.api.sql("DELETE FROM due_work WHERE kind = 'settle_true_up'").await;
    let found = faults(&desk.api).await;
    assert!(found.len() == 1 && found[0].ends_with("would not be finalized when it is due"), "{found:?}");
    desk.end_and_back().await;
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
    desk.api.move_clock("2026-02-02T00:00:00Z").await;
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
    desk.api.sql("UPDATE balance_version SET terms = jsonb_set(terms, '{segments,0,amount}', '701')").await;
    let found = faults(&desk.api).await;
    assert!(found.iter().any(|fault| fault.contains("a total of 700, but the facts give 701")), "{found:?}");
}

#[tokio::test]
async fn a_purchase_says_the_custom_fields_of_its_commit_and_is_explained() {
    let desk = Desk::at("2026-01-10T00:00:00Z").await;
    let key = json!({ "entity": "commit", "key": "deal", "enforce_uniqueness": false });
    assert_eq!(desk.api.post("/v1/customFields/addKey", key).await.status.as_u16(), 200);
    let until = "2026-02-01T00:00:00Z";
    let mut prepaid = desk.commit("PREPAID", (START, until, 5), &[(START, 5)]);
    prepaid["custom_fields"] = json!({ "deal": "d-1" });
    let mut postpaid = desk.commit("POSTPAID", (START, until, 700), &[(until, 700)]);
    postpaid["custom_fields"] = json!({ "deal": "d-2" });
    desk.contract(json!({ "commits": [prepaid, postpaid] })).await;
    desk.api.move_clock("2026-02-02T00:00:00Z").await;
    for (invoice, deal) in desk.scheduled().await.iter().zip(["d-1", "d-2"]) {
        let line = &invoice["line_items"][0];
        assert_eq!(line["commit_custom_fields"], json!({ "deal": deal }));
        let id = invoice["id"].as_str().expect("an id");
        let path = format!("/v1/upbeat/customers/{}/invoices/{id}/explain", desk.customer);
        let explained = desk.api.get(&path).await.data();
        assert_eq!(explained["explanations"][0]["basis"]["commit_id"], line["commit_id"], "{explained}");
    }
}

impl Desk {
    /// Moves the only contract's end and opens it again.
    async fn end_and_back(&self) {
        let contracts = json!({ "customer_id": self.customer });
        let contract = self.api.post("/v2/contracts/list", contracts).await.data()[0]["id"].clone();
        self.end(contract.as_str().expect("an id"), "2026-06-01T00:00:00Z").await;
    }
}
