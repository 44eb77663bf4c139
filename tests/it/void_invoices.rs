//! Voiding finalized invoices and making them anew (reference: invoicing, sections 3 and 10).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::concurrency::race;
use crate::contract_ends::faults;
use crate::support::{Api, Metric, Rates, charge, lines};

const VOID: &str = "/v1/invoices/void";
const REGENERATE: &str = "/v1/invoices/regenerate";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

/// Tokens at 250 each since January, and a customer on a contract since February with 75 of them in that month.
struct Shop {
    api: Api,
    product: String,
    rates: Rates,
    customer: String,
    contract: String,
}

impl Shop {
    /// At the tenth of February.
    async fn open(more: Value) -> Self {
        let api = Api::at("2026-02-10T12:00:00Z").await;
        let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
        let product = api.product("Tokens", &metric, json!({})).await;
        let rates = api.rate_card().await;
        api.flat(&rates, &product, "2026-01-01T00:00:00Z", "250", json!({})).await;
        let customer = api.customer("acct").await;
        let contract = api.contract(&customer, &rates, "2026-02-01T00:00:00Z", more).await;
        api.event("acct", "2026-02-09T00:00:00Z", json!({ "n": 75 })).await;
        Self { api, product, rates, customer, contract }
    }

    /// A shop whose February is finalized, and its invoice; at the fifth of March.
    async fn after_february(more: Value) -> (Self, String) {
        let shop = Self::open(more).await;
        shop.api.move_clock("2026-03-05T00:00:00Z").await;
        let february = shop.usage_invoices().await.remove(0);
        assert_eq!((&february["status"], &february["total"]), (&json!("FINALIZED"), &json!(18750)));
        let id = text(&february, "id");
        (shop, id)
    }

    async fn usage_invoices(&self) -> Vec<Value> {
        let invoices = self.api.invoices(&self.customer).await;
        invoices.into_iter().filter(|invoice| invoice["type"] == "USAGE").collect()
    }

    async fn invoice(&self, id: &str) -> Value {
        self.api.get(&format!("/v1/customers/{}/invoices/{id}", self.customer)).await.data()
    }

    async fn void(&self, id: &str) {
        assert_eq!(self.api.post(VOID, json!({ "id": id })).await.data(), json!({ "id": id }));
    }

    async fn regenerate(&self, id: &str) -> String {
        self.api.post(REGENERATE, json!({ "id": id })).await.id()
    }

    async fn refused(&self, path: &str, id: &str, parts: &[&str]) {
        self.api.post(path, json!({ "id": id })).await.refused(400, parts);
    }

    /// A correction of the price from the first of February on.
    async fn price(&self, price: &str) {
        self.api.flat(&self.rates, &self.product, "2026-02-01T00:00:00Z", price, json!({})).await;
    }

    /// How many lines are explained.
    async fn explained(&self, id: &str) -> usize {
        let path = format!("/v1/upbeat/customers/{}/invoices/{id}/explain", self.customer);
        let explanation = self.api.get(&path).await.data();
        assert_eq!(explanation["invoice_id"], json!(id));
        explanation["explanations"].as_array().expect("a list").len()
    }

    async fn verified(&self) {
        assert_eq!(faults(&self.api).await, [""; 0]);
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{field} of {value}")).to_owned()
}

/// The invoice but for what tells it from the one that it stands in for.
fn bare(mut invoice: Value) -> Value {
    for field in ["id", "status", "issued_at", "regenerated_from_invoice_id"] {
        invoice.as_object_mut().expect("an object").remove(field);
    }
    invoice
}

#[tokio::test]
async fn only_finalized_invoices_become_void_and_only_void_ones_are_regenerated() {
    let (shop, february) = Shop::after_february(json!({})).await;
    for path in [VOID, REGENERATE] {
        shop.api.post(path, json!({ "id": UNKNOWN })).await.refused(404, &["invoice", UNKNOWN]);
        shop.api.post(path, json!({})).await.refused(400, &["`id`"]);
        shop.api.post(path, json!({ "id": "x" })).await.refused(400, &["id: "]);
    }
    let march = text(&shop.usage_invoices().await[1], "id");
    shop.refused(VOID, &march, &["id: ", "draft"]).await;
    shop.refused(REGENERATE, &march, &["id: ", "draft"]).await;
    shop.refused(REGENERATE, &february, &["id: ", "finalized"]).await;

    let product = shop.api.fixed_product("Fee").await;
    let later = json!({
        "customer_id": shop.customer, "starting_at": "2026-03-01T00:00:00Z",
        "scheduled_charges": [charge(&product, &[("2026-06-01T00:00:00Z", 5)])],
    });
    shop.api.post("/v1/contracts/create", later).await.id();
    let invoices = shop.api.invoices(&shop.customer).await;
    let scheduled =
        invoices.iter().find(|invoice| invoice["type"] == "SCHEDULED").expect("a scheduled draft");
    shop.refused(VOID, &text(scheduled, "id"), &["id: ", "draft"]).await;
    shop.refused(REGENERATE, &text(scheduled, "id"), &["id: ", "draft"]).await;

    shop.void(&february).await;
    shop.refused(VOID, &february, &["id: ", "void already"]).await;
    shop.verified().await;
}

#[tokio::test]
async fn a_void_invoice_keeps_its_lines_and_is_listed_as_void() {
    let (shop, february) = Shop::after_february(json!({})).await;
    let before = shop.invoice(&february).await;
    shop.void(&february).await;
    let mut expected = before;
    expected["status"] = json!("VOID");
    assert_eq!(shop.invoice(&february).await, expected);
    for (status, count) in [("VOID", 1), ("FINALIZED", 0)] {
        let path = format!("/v1/customers/{}/invoices?status={status}", shop.customer);
        assert_eq!(shop.api.get(&path).await.data().as_array().map(Vec::len), Some(count), "{status}");
    }
    assert_eq!(shop.explained(&february).await, 1);
    shop.verified().await;
}

#[tokio::test]
async fn with_nothing_changed_the_new_invoice_is_like_the_void_one() {
    let (shop, february) = Shop::after_february(json!({ "net_payment_terms_days": 30 })).await;
    shop.void(&february).await;
    let new = shop.regenerate(&february).await;
    assert_ne!(new, february);
    let (old, new) = (shop.invoice(&february).await, shop.invoice(&new).await);
    assert_eq!(bare(old.clone()), bare(new.clone()));
    assert_eq!((&old["status"], &new["status"]), (&json!("VOID"), &json!("FINALIZED")));
    assert_eq!(old.get("regenerated_from_invoice_id"), None);
    assert_eq!(new["regenerated_from_invoice_id"], json!(february));
    assert_eq!(old["issued_at"], json!("2026-03-02T00:00:00+00:00"));
    assert_eq!(new["issued_at"], json!("2026-03-05T00:00:00+00:00"), "now");
    shop.verified().await;
}

/// W15 of the reference, without a commit: a wrong price, and usage that came after the invoice was final.
#[tokio::test]
async fn usage_and_prices_are_those_of_now() {
    let (shop, february) = Shop::after_february(json!({})).await;
    let before = shop.invoice(&february).await;
    shop.price("200").await;
    shop.api.event("acct", "2026-02-28T00:00:00Z", json!({ "n": 25 })).await;
    assert_eq!(shop.invoice(&february).await, before, "final");
    shop.void(&february).await;
    let new = shop.regenerate(&february).await;
    let invoice = shop.invoice(&new).await;
    assert_eq!(lines(&invoice), ["Tokens 02-01..03-01 100 × 200 = 20000"]);
    assert_eq!(invoice["total"], json!(20000));
    assert_eq!(shop.invoice(&february).await["line_items"], before["line_items"]);
    // What comes later changes neither, and both can be told.
    shop.price("1").await;
    shop.api.event("acct", "2026-02-28T01:00:00Z", json!({ "n": 1000 })).await;
    assert_eq!(shop.invoice(&new).await, invoice);
    assert_eq!((shop.explained(&february).await, shop.explained(&new).await), (1, 1));
    shop.verified().await;
    // March goes on as it would have.
    shop.api.event("acct", "2026-03-04T00:00:00Z", json!({ "n": 2 })).await;
    shop.api.move_clock("2026-04-03T00:00:00Z").await;
    let totals: Vec<Value> =
        shop.usage_invoices().await.iter().map(|invoice| invoice["total"].clone()).collect();
    assert_eq!(totals, [json!(18750), json!(20000), json!(2), json!(0)]);
    shop.verified().await;
}

#[tokio::test]
async fn one_invoice_at_most_stands_for_a_period() {
    let (shop, first) = Shop::after_february(json!({})).await;
    shop.void(&first).await;
    let second = shop.regenerate(&first).await;
    shop.refused(REGENERATE, &first, &["id: ", &second, "not void"]).await;
    shop.refused(REGENERATE, &second, &["id: ", "finalized"]).await;
    shop.void(&second).await;
    let third = shop.regenerate(&second).await;
    shop.refused(REGENERATE, &first, &["id: ", &third, "not void"]).await;
    shop.refused(REGENERATE, &second, &["id: ", &third, "not void"]).await;
    shop.void(&third).await;
    let fourth = shop.regenerate(&first).await;
    shop.refused(REGENERATE, &third, &["id: ", &fourth, "not void"]).await;
    let of_february: Vec<Value> = shop
        .usage_invoices()
        .await
        .into_iter()
        .filter(|invoice| text(invoice, "start_timestamp").starts_with("2026-02"))
        .collect();
    let from: BTreeMap<String, (Value, Value)> = of_february
        .iter()
        .map(|invoice| {
            let from = invoice.get("regenerated_from_invoice_id").cloned().unwrap_or_default();
            (text(invoice, "id"), (invoice["status"].clone(), from))
        })
        .collect();
    let (void, finalized) = (json!("VOID"), json!("FINALIZED"));
    let expected = BTreeMap::from([
        (first.clone(), (void.clone(), Value::Null)),
        (second.clone(), (void.clone(), json!(first))),
        (third, (void, json!(second))),
        (fourth, (finalized, json!(first))),
    ]);
    assert_eq!(from, expected);
    shop.verified().await;
}

/// Two scheduled charges: one that rides on the usage invoice, one on an invoice of its own.
#[tokio::test]
async fn scheduled_charges_go_onto_the_new_invoice() {
    let shop = Shop::open(json!({})).await;
    let fee = shop.api.fixed_product("Fee").await;
    let customer = shop.api.customer("other").await;
    let terms = json!({
        "scheduled_charges_on_usage_invoices": "ALL",
        "scheduled_charges":
            [charge(&fee, &[("2026-02-05T00:00:00Z", 30), ("2026-03-01T00:00:00Z", 70), ("2026-04-05T00:00:00Z", 90)])],
    });
    let contract = shop.api.contract(&customer, &shop.rates, "2026-02-01T00:00:00Z", terms).await;
    shop.api.move_clock("2026-03-05T00:00:00Z").await;
    let shop = Shop { customer, contract, ..shop };
    let invoices = shop.api.invoices(&shop.customer).await;
    let find = |kind: &str| {
        let is_it = |invoice: &&Value| invoice["type"] == kind && invoice["status"] == "FINALIZED";
        invoices.iter().find(is_it).map(|invoice| text(invoice, "id")).expect("an invoice")
    };
    let (own, usage) = (find("SCHEDULED"), find("USAGE"));
    let update = json!({ "product_id": fee, "starting_at": "2026-01-01T00:00:00Z", "name": "Set-up" });
    shop.api.post("/v1/contract-pricing/products/update", update).await.id();
    let on = async || -> Vec<Value> {
        let body = json!({ "customer_id": shop.customer, "contract_id": shop.contract });
        let contract = shop.api.post("/v2/contracts/get", body).await.data();
        let items = contract["scheduled_charges"][0]["schedule"]["schedule_items"].clone();
        items.as_array().expect("items").iter().map(|item| item["invoice_id"].clone()).collect()
    };
    assert_eq!(on().await, [json!(own), json!(usage), Value::Null]);
    for id in [&own, &usage] {
        shop.void(id).await;
    }
    assert_eq!(on().await, [json!(own), json!(usage), Value::Null], "void or not");
    let (new_own, new_usage) = (shop.regenerate(&own).await, shop.regenerate(&usage).await);
    assert_eq!(on().await, [json!(new_own), json!(new_usage), Value::Null]);
    for (old, new, total) in [(&own, &new_own, 30), (&usage, &new_usage, 70)] {
        let (old, new) = (shop.invoice(old).await, shop.invoice(new).await);
        assert_eq!(old["total"], json!(total));
        assert_eq!(new["total"], json!(total));
        let name = |invoice: &Value| {
            let lines = invoice["line_items"].as_array().expect("lines");
            lines.last().expect("a line")["name"].clone()
        };
        assert_eq!((name(&old), name(&new)), (json!("Fee"), json!("Set-up")));
        for field in ["start_timestamp", "end_timestamp", "type", "contract_id"] {
            assert_eq!(old[field], new[field], "{field}");
        }
        assert_eq!(new["issued_at"], json!("2026-03-05T00:00:00+00:00"));
    }
    shop.verified().await;
    // Again, from the void one that has no items any more.
    shop.void(&new_own).await;
    let newest = shop.regenerate(&own).await;
    assert_eq!(on().await, [json!(newest), json!(new_usage), Value::Null]);
    assert_eq!(shop.invoice(&newest).await["total"], json!(30));
    shop.api.move_clock("2026-05-05T00:00:00Z").await;
    shop.verified().await;
}

/// The period is the void invoice's, wherever the contract ends by now: what is behind its end stays with the one that
/// billed it.
#[tokio::test]
async fn an_end_that_moved_changes_no_period() {
    let (shop, february) = Shop::after_february(json!({})).await;
    let end = json!({
        "customer_id": shop.customer, "contract_id": shop.contract, "ending_before": "2026-02-05T00:00:00Z",
    });
    shop.api.post("/v1/contracts/updateEndDate", end).await.id();
    shop.void(&february).await;
    let new = shop.regenerate(&february).await;
    assert_eq!(bare(shop.invoice(&new).await), bare(shop.invoice(&february).await));
    shop.verified().await;
}

#[tokio::test]
async fn what_an_archived_contract_billed_can_be_void_and_not_be_made_anew() {
    for void_invoices in [false, true] {
        let (shop, february) = Shop::after_february(json!({})).await;
        let body = json!({
            "customer_id": shop.customer, "contract_id": shop.contract, "void_invoices": void_invoices,
        });
        shop.api.post("/v1/contracts/archive", body).await.id();
        if void_invoices {
            shop.refused(VOID, &february, &["void already"]).await;
        } else {
            shop.void(&february).await;
        }
        shop.refused(REGENERATE, &february, &["id: ", "archived"]).await;
        shop.verified().await;
    }
    let (shop, february) = Shop::after_february(json!({})).await;
    shop.void(&february).await;
    let new = shop.regenerate(&february).await;
    shop.api.post("/v1/customers/archive", json!({ "id": shop.customer })).await.id();
    assert_eq!(shop.invoice(&new).await["status"], json!("VOID"));
    shop.refused(VOID, &new, &["void already"]).await;
    shop.refused(REGENERATE, &new, &["id: ", "archived"]).await;
    shop.verified().await;
}

/// Whether an invoice is final does not depend on how far a worker has come.
#[tokio::test]
async fn what_is_due_is_final_before_it_becomes_void() {
    let shop = Shop::open(json!({})).await;
    let customer = shop.api.customer("late").await;
    shop.api.contract(&customer, &shop.rates, "2025-12-01T00:00:00Z", json!({})).await;
    let drafts = shop.api.invoices(&customer).await;
    assert_eq!(drafts[0]["status"], json!("DRAFT"), "nobody has worked yet");
    let december = text(&drafts[0], "id");
    shop.void(&december).await;
    let new = shop.regenerate(&december).await;
    assert_ne!(new, december);
    shop.verified().await;
}

#[tokio::test]
async fn a_repeat_with_one_key_makes_one_invoice() {
    let (shop, february) = Shop::after_february(json!({})).await;
    let body = json!({ "id": february });
    for key in ["void", "void"] {
        assert_eq!(shop.api.keyed(key, VOID, body.clone()).await.id(), february);
    }
    let new = shop.api.keyed("new", REGENERATE, body.clone()).await.id();
    assert_eq!(shop.api.keyed("new", REGENERATE, body.clone()).await.id(), new);
    shop.api.keyed("other", REGENERATE, body).await.refused(400, &[&new]);
    assert_eq!(shop.usage_invoices().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_wins() {
    let (shop, february) = Shop::after_february(json!({})).await;
    for path in [VOID, REGENERATE] {
        let requests = (0..8).map(|_| (path.to_owned(), json!({ "id": february })));
        assert_eq!(race(&shop.api, requests).await, BTreeMap::from([(200, 1), (400, 7)]), "{path}");
    }
    assert_eq!(shop.usage_invoices().await.len(), 3);
    shop.verified().await;
}

/// Invoices of one customer that are made anew at once, while events come in.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_are_made_anew_at_once() {
    let shop = Shop::open(json!({})).await;
    let customer = shop.api.customer("long").await;
    shop.api.contract(&customer, &shop.rates, "2025-09-01T00:00:00Z", json!({})).await;
    shop.api.work().await;
    let shop = Shop { customer, ..shop };
    let invoices = shop.usage_invoices().await;
    let finalized = invoices.iter().filter(|invoice| invoice["status"] == "FINALIZED");
    let ids: Vec<String> = finalized.map(|invoice| text(invoice, "id")).collect();
    assert_eq!(ids.len(), 5);
    for path in [VOID, REGENERATE] {
        let requests = ids.iter().map(|id| (path.to_owned(), json!({ "id": id })));
        assert_eq!(race(&shop.api, requests).await, BTreeMap::from([(200, 5)]), "{path}");
    }
    assert_eq!(shop.usage_invoices().await.len(), 11);
    shop.verified().await;
}

async fn execute(api: &Api, sql: &'static str) -> u64 {
    sqlx::query(sql).execute(&api.app.db).await.expect("a statement").rows_affected()
}

/// The draws in the order in which they were made, each with its amount and whether it is of that invoice.
async fn draws(api: &Api, invoice: &str) -> Vec<String> {
    let sql = "SELECT amount || ' ' || (invoice_id::text = $1) FROM balance_draw ORDER BY added";
    sqlx::query_scalar(sql).bind(invoice).fetch_all(&api.app.db).await.expect("draws")
}

/// W15 of the reference: what an invoice drew is back when it is void, and drawn anew for the one in its place.
#[tokio::test]
async fn what_was_drawn_is_given_back_and_drawn_anew() {
    let shop = Shop::open(json!({})).await;
    let commit = json!({
        "customer_id": shop.customer, "product_id": shop.api.fixed_product("Commit").await, "priority": 1,
        "type": "PREPAID",
        "access_schedule": { "schedule_items": [
            { "amount": 18750, "starting_at": "2026-02-01T00:00:00Z", "ending_before": "2027-02-01T00:00:00Z" },
        ] },
    });
    shop.api.post("/v1/contracts/customerCommits/create", commit).await.id();
    let balance = async || {
        let body = json!({ "customer_id": shop.customer, "include_balance": true });
        shop.api.post("/v1/contracts/customerCommits/list", body).await.data()[0]["balance"].clone()
    };
    shop.api.event("acct", "2026-02-09T01:00:00Z", json!({ "n": 45 })).await;
    shop.api.move_clock("2026-03-05T00:00:00Z").await;
    let february = shop.usage_invoices().await.remove(0);
    assert_eq!(february["total"], json!(11250), "75 of 120 are covered");
    let february = text(&february, "id");
    assert_eq!(balance().await, json!(0));
    shop.verified().await;

    shop.void(&february).await;
    assert_eq!(balance().await, json!(18750));
    assert_eq!(draws(&shop.api, &february).await, ["-18750 true", "18750 true"]);
    shop.verified().await;

    shop.price("200").await;
    let new = shop.regenerate(&february).await;
    assert_eq!(shop.invoice(&new).await["total"], json!(5250), "93.75 of 120 are covered");
    assert_eq!(balance().await, json!(0));
    assert_eq!(draws(&shop.api, &new).await, ["-18750 false", "18750 false", "-18750 true"]);
    assert_eq!(shop.invoice(&february).await["total"], json!(11250));
    shop.verified().await;

    let body = json!({ "customer_id": shop.customer, "contract_id": shop.contract, "void_invoices": true });
    shop.api.post("/v1/contracts/archive", body).await.id();
    assert_eq!(balance().await, json!(18750), "archiving gives back as well");
    assert_eq!(draws(&shop.api, &new).await.len(), 4, "and nothing twice");
    shop.verified().await;
    let last = "DELETE FROM balance_draw WHERE added = (SELECT max(added) FROM balance_draw)";
    assert_eq!(execute(&shop.api, last).await, 1);
    let found = faults(&shop.api).await;
    assert!(found.iter().any(|fault| fault.contains("what is kept as drawn")), "{found:?}");
}

#[tokio::test]
async fn verify_finds_what_contradicts() {
    let (shop, february) = Shop::after_february(json!({})).await;
    shop.void(&february).await;
    let new = shop.regenerate(&february).await;
    shop.verified().await;
    let found = async |sql: &'static str, undo: &'static str, words: &str| {
        assert_eq!(execute(&shop.api, sql).await, 1, "{sql}");
        let found = faults(&shop.api).await;
        assert!(
            found.iter().any(|fault| fault.contains(&new) && fault.contains(words)),
            "{words}: {found:?}"
        );
        assert_eq!(execute(&shop.api, undo).await, 1, "{undo}");
        shop.verified().await;
    };
    found(
        "UPDATE invoice SET generation = 2 WHERE generation = 1",
        "UPDATE invoice SET generation = 1 WHERE generation = 2",
        "is missing",
    )
    .await;
    found(
        "UPDATE invoice SET original_id = NULL, generation = 0 WHERE generation = 1",
        "UPDATE invoice SET generation = 1, original_id = (SELECT id FROM invoice WHERE status = 'VOID')
         WHERE status = 'FINALIZED'",
        "columns that do not say",
    )
    .await;
    found(
        "UPDATE invoice SET issued_at = issued_at + interval '1 day' WHERE generation = 1",
        "UPDATE invoice SET issued_at = issued_at - interval '1 day' WHERE generation = 1",
        "columns that do not say",
    )
    .await;
}
