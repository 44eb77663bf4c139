//! Usage filters of contracts (reference: metering, section 13).

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::concurrency::race;
use crate::contract_ends::faults;
use crate::support::{Api, Metric, Rates, lines, product_update};
use crate::world::{NOW, World, refuse, with, without};

const SET: &str = "/v1/contracts/setUsageFilter";
const CREATE: &str = "/v1/contracts/create";
const ADD: &str = "/v1/contract-pricing/rate-cards/addRate";
const UPDATE: &str = "/v1/contract-pricing/products/update";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

fn filter(key: &str, values: &[&str]) -> Value {
    json!({ "group_key": key, "group_values": values })
}

/// A card with the product `Units`, counted by the sum of `n` with the group keys `project` and `user`, at 10.
struct Shop {
    api: Api,
    rates: Rates,
    product: String,
    customer: String,
}

impl Shop {
    async fn open() -> Self {
        let api = Api::at(NOW).await;
        let metric = Metric { aggregation: "SUM", key: Some("n"), groups: &["project", "user"] };
        let metric = api.metric(metric).await;
        let product = api.product("Units", &metric, json!({})).await;
        let rates = api.rate_card().await;
        api.flat(&rates, &product, "2026-01-01T00:00:00Z", "10", json!({})).await;
        let customer = api.customer("acct").await;
        Self { api, rates, product, customer }
    }

    /// A contract from March on.
    async fn contract(&self, more: Value) -> String {
        self.api.contract(&self.customer, &self.rates, "2026-03-01T00:00:00Z", more).await
    }

    async fn filtered(&self, values: &[&str]) -> String {
        self.contract(json!({ "usage_filter": filter("project", values) })).await
    }

    fn body(&self, contract: &str, values: &[&str], from: &str) -> Value {
        json!({
            "customer_id": self.customer, "contract_id": contract, "group_key": "project",
            "group_values": values, "starting_at": from,
        })
    }

    async fn set(&self, contract: &str, values: &[&str], from: &str) {
        let answer = self.api.post(SET, self.body(contract, values, from)).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &Value::Null));
    }

    async fn event(&self, at: &str, properties: Value) {
        self.api.event("acct", at, properties).await;
    }

    /// A contract's invoice whose period starts on a date.
    async fn invoice(&self, contract: &str, start: &str) -> Value {
        let invoices = self.api.invoices(&self.customer).await;
        let is_it = |invoice: &&Value| {
            let starts = invoice["start_timestamp"].as_str().is_some_and(|text| text.starts_with(start));
            invoice["contract_id"] == contract && starts
        };
        invoices.iter().find(is_it).expect("an invoice").clone()
    }

    async fn total(&self, contract: &str, start: &str) -> i64 {
        self.invoice(contract, start).await["total"].as_i64().expect("a whole total")
    }

    async fn get(&self, version: &str, contract: &str) -> Value {
        let body = json!({ "customer_id": self.customer, "contract_id": contract });
        self.api.post(&format!("/{version}/contracts/get"), body).await.data()
    }

    /// A product on the sum of `n` without group keys.
    async fn plain_product(&self) -> String {
        let metric = self.api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
        self.api.product("Plain", &metric, json!({})).await
    }

    /// A product on the newest `n`.
    async fn gauge(&self) -> String {
        let metric = Metric { aggregation: "LATEST", key: Some("n"), groups: &["project"] };
        let metric = self.api.metric(metric).await;
        self.api.product("Gauge", &metric, json!({})).await
    }

    /// A metric of the highest `n` of any event.
    async fn highest(&self) -> String {
        let metric = json!({ "name": "highest", "sql": "SELECT MAX(properties.n) AS value FROM events" });
        self.api.post("/v1/billable-metrics/create", metric).await.id()
    }

    fn rate(&self, product: &str) -> Value {
        json!({
            "rate_card_id": self.rates.card, "product_id": product, "starting_at": "2026-01-01T00:00:00Z",
            "entitled": true, "rate_type": "FLAT", "price": 1,
        })
    }
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_is_refused() {
    let shop = Shop::open().await;
    let contract = shop.contract(json!({ "ending_before": "2026-06-01T00:00:00Z" })).await;
    let good = shop.body(&contract, &["p1"], "2026-04-01T00:00:00Z");
    let change = |field: &str, value: Value| with(&good, &format!("/{field}"), value);
    refuse(
        &shop.api,
        SET,
        vec![
            (change("group_values", json!([])), "group_values: "),
            (change("group_values", json!("p1")), "group_values: "),
            (change("group_values", json!(vec!["p"; 10_001])), "group_values: "),
            (change("group_key", json!("")), "group_key: "),
            (change("group_key", json!("zone")), "group_key: product `Units`"),
            (change("group_key", json!("zone")), "group keys lack `zone`"),
            (change("starting_at", json!("2026-04-01T00:30:00Z")), "starting_at: "),
            (change("starting_at", json!("2026-04-01T00:00:00.000001Z")), "starting_at: "),
            (change("starting_at", json!("2026-02-28T23:00:00Z")), "starting_at: "),
            (change("starting_at", json!("2026-06-01T00:00:00Z")), "starting_at: "),
            (without(&good, "/group_key"), "`group_key`"),
            (without(&good, "/group_values"), "`group_values`"),
            (without(&good, "/starting_at"), "`starting_at`"),
            (without(&good, "/customer_id"), "`customer_id`"),
            (without(&good, "/contract_id"), "`contract_id`"),
        ],
    )
    .await;
    let contract = json!({
        "customer_id": shop.customer, "rate_card_id": shop.rates.card, "starting_at": "2026-03-01T00:00:00Z",
    });
    let made_with = |filter: Value| with(&contract, "/usage_filter", filter);
    refuse(
        &shop.api,
        CREATE,
        vec![
            (made_with(filter("project", &[])), "usage_filter.group_values: "),
            (made_with(filter("zone", &["a"])), "usage_filter.group_key: product `Units`"),
            (made_with(json!({ "group_key": "project" })), "`group_values`"),
            (
                made_with(with(&filter("project", &["a"]), "/starting_at", json!("2026-02-01T00:00:00Z"))),
                "usage_filter.starting_at: ",
            ),
            (
                made_with(with(&filter("project", &["a"]), "/starting_at", json!("2026-03-01T00:01:00Z"))),
                "usage_filter.starting_at: ",
            ),
        ],
    )
    .await;
    assert_eq!(shop.api.number("SELECT count(*) FROM usage_filter").await, 0, "nothing of a refusal is kept");
}

#[tokio::test]
async fn a_filter_is_of_a_contract_that_is_there() {
    let shop = Shop::open().await;
    let contract = shop.contract(json!({})).await;
    let good = shop.body(&contract, &["p1"], "2026-04-01T00:00:00Z");
    let other = shop.api.customer("other").await;
    for (field, id, part) in [
        ("customer_id", UNKNOWN, "customer"),
        ("contract_id", UNKNOWN, "contract"),
        ("customer_id", &*other, "contract"),
    ] {
        let body = with(&good, &format!("/{field}"), json!(id));
        shop.api.post(SET, body).await.refused(404, &[part, "was not found"]);
    }
    let archive = json!({ "customer_id": shop.customer, "contract_id": contract, "void_invoices": true });
    shop.api.post("/v1/contracts/archive", archive).await.data();
    shop.api.post(SET, good).await.refused(400, &["contract_id: ", "archived"]);
}

#[tokio::test]
async fn filters_are_shown_with_their_times() {
    let shop = Shop::open().await;
    let plain = shop.contract(json!({})).await;
    assert_eq!(shop.get("v2", &plain).await["usage_filter"], json!([]));
    assert_eq!(shop.get("v1", &plain).await["current"].get("usage_filter"), None);

    let contract = shop
        .contract(json!({
            "usage_filter": filter("project", &["p1"]), "ending_before": "2026-09-01T00:00:00Z",
        }))
        .await;
    let shown =
        |key: &str, values: &[&str], from: &str| with(&filter(key, values), "/starting_at", json!(from));
    let first = shown("project", &["p1"], "2026-03-01T00:00:00Z");
    let alone = json!({ "initial": first, "current": first, "updates": [] });
    let nested = shop.get("v1", &contract).await;
    assert_eq!((&nested["initial"]["usage_filter"], &nested["current"]["usage_filter"]), (&alone, &alone));

    shop.api.move_clock("2026-03-11T00:00:00Z").await;
    shop.set(&contract, &["p3"], "2026-05-01T00:00:00Z").await;
    shop.api.move_clock("2026-03-12T00:00:00Z").await;
    shop.set(&contract, &["p2"], "2026-03-05T00:00:00Z").await;
    shop.set(&contract, &["p2", "p4"], "2026-03-05T00:00:00Z").await;
    let second = shown("project", &["p2", "p4"], "2026-03-05T00:00:00Z");
    let third = shown("project", &["p3"], "2026-05-01T00:00:00Z");
    let nested = shop.get("v1", &contract).await;
    assert_eq!(
        nested["current"]["usage_filter"],
        json!({ "initial": first, "current": second, "updates": [second, third] })
    );
    assert_eq!(nested["initial"]["usage_filter"], alone, "as it was agreed first");
    let ending = |filter: &Value, end: &str| with(filter, "/ending_before", json!(end));
    let segments = json!([
        ending(&first, "2026-03-05T00:00:00Z"),
        ending(&second, "2026-05-01T00:00:00Z"),
        ending(&third, "2026-09-01T00:00:00Z"),
    ]);
    assert_eq!(shop.get("v2", &contract).await["usage_filter"], segments);
    let as_of = json!({
        "customer_id": shop.customer, "contract_id": contract, "as_of_date": "2026-03-11T12:00:00Z",
    });
    let known = shop.api.post("/v2/contracts/get", as_of).await.data();
    let known_first = ending(&first, "2026-05-01T00:00:00Z");
    assert_eq!(known["usage_filter"], json!([known_first, ending(&third, "2026-09-01T00:00:00Z")]));

    let open = shop.filtered(&["p1"]).await;
    assert_eq!(shop.get("v2", &open).await["usage_filter"], json!([first]), "open-ended");
}

#[tokio::test]
async fn each_event_goes_by_the_filter_at_its_time_and_before_the_first_by_none() {
    let shop = Shop::open().await;
    let contract = shop.contract(json!({})).await;
    for (at, project, n) in [
        ("2026-03-04T23:59:59.999999Z", Some("x"), 1),
        ("2026-03-05T00:00:00Z", Some("p1"), 20),
        ("2026-03-05T00:00:00Z", Some("x"), 300),
        ("2026-03-06T00:59:59.999999Z", Some("p1"), 4000),
        ("2026-03-06T01:00:00Z", Some("p1"), 50_000),
        ("2026-03-06T01:00:00Z", Some("p2"), 600_000),
        ("2026-03-06T02:00:00Z", Some("P2"), 7_000_000),
    ] {
        shop.event(at, json!({ "n": n, "project": project, "user": "u" })).await;
    }
    assert_eq!(shop.total(&contract, "2026-03-01").await, 76_543_210);
    shop.set(&contract, &["p1"], "2026-03-05T00:00:00Z").await;
    shop.set(&contract, &["p2"], "2026-03-06T01:00:00Z").await;
    let invoice = shop.invoice(&contract, "2026-03-01").await;
    assert_eq!(lines(&invoice), ["Units 03-01..04-01 604021 × 10 = 6040210"], "one price, one line");
    shop.set(&contract, &["p1", "p2"], "2026-03-06T01:00:00Z").await;
    assert_eq!(shop.total(&contract, "2026-03-01").await, 6_540_210);
    shop.api.move_clock("2026-04-02T00:00:00Z").await;
    let finalized = shop.invoice(&contract, "2026-03-01").await;
    assert_eq!((&finalized["status"], &finalized["total"]), (&json!("FINALIZED"), &json!(6_540_210)));
    assert_eq!(faults(&shop.api).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_finalized_invoice_stays_whatever_filter_is_set_for_its_time() {
    let shop = Shop::open().await;
    let contract = shop.filtered(&["p1"]).await;
    shop.event("2026-03-09T00:00:00Z", json!({ "n": 3, "project": "p1", "user": "u" })).await;
    shop.event("2026-03-09T00:00:00Z", json!({ "n": 5, "project": "p2", "user": "u" })).await;
    shop.api.move_clock("2026-04-10T00:00:00Z").await;
    shop.event("2026-04-09T00:00:00Z", json!({ "n": 7, "project": "p2", "user": "u" })).await;
    let march = shop.invoice(&contract, "2026-03-01").await;
    assert_eq!((&march["status"], &march["total"]), (&json!("FINALIZED"), &json!(30)));
    assert_eq!(shop.total(&contract, "2026-04-01").await, 0);

    shop.set(&contract, &["p2"], "2026-03-01T00:00:00Z").await;
    assert_eq!(shop.invoice(&contract, "2026-03-01").await, march);
    assert_eq!(shop.total(&contract, "2026-04-01").await, 70, "drafts follow");
    assert_eq!(faults(&shop.api).await, Vec::<String>::new(), "and March is recomputed from what it saw");
    shop.api.move_clock("2026-05-02T00:00:00Z").await;
    assert_eq!(shop.total(&contract, "2026-04-01").await, 70);
    assert_eq!(faults(&shop.api).await, Vec::<String>::new());
    shop.api.sql("UPDATE usage_filter SET group_values = '{p9}' WHERE is_initial").await;
    assert_eq!(faults(&shop.api).await.len(), 1, "a filter that was tampered with is found");
}

#[tokio::test]
async fn what_is_due_is_final_before_a_filter_is_set() {
    let shop = Shop::open().await;
    let contract = shop.filtered(&["p1"]).await;
    shop.event("2026-03-09T00:00:00Z", json!({ "n": 3, "project": "p1", "user": "u" })).await;
    // The clock moves without a worker, as it does for a server whose worker is behind.
    shop.api.sql("UPDATE environment SET frozen_at = '2026-04-02T00:00:00Z' WHERE kind = 'SANDBOX'").await;
    shop.set(&contract, &["p2"], "2026-03-01T00:00:00Z").await;
    let march = shop.invoice(&contract, "2026-03-01").await;
    assert_eq!((&march["status"], &march["total"]), (&json!("FINALIZED"), &json!(30)));
}

#[tokio::test]
async fn filters_go_with_pricing_and_presentation_keys_and_tiers() {
    let api = Api::at(NOW).await;
    let metric = Metric { aggregation: "SUM", key: Some("n"), groups: &["model", "project", "user"] };
    let metric = api.metric(metric).await;
    let keys = json!({ "pricing_group_key": ["model"], "presentation_group_key": ["user"] });
    let product = api.product("Tokens", &metric, keys).await;
    let rates = api.rate_card().await;
    let tiers = json!({
        "rate_type": "TIERED", "tiers": [{ "size": 5, "price": 10 }, { "price": 1 }],
        "pricing_group_values": { "model": "small" },
    });
    api.rate(&rates, &product, "2026-01-01T00:00:00Z", tiers).await;
    let customer = api.customer("acct").await;
    let mut contracts = Vec::new();
    for project in ["p1", "p2"] {
        let more = json!({ "usage_filter": filter("project", &[project]) });
        contracts.push(api.contract(&customer, &rates, "2026-03-01T00:00:00Z", more).await);
    }
    for (project, user, n) in [("p1", "ada", 4), ("p2", "ada", 6), ("p1", "bob", 7), ("p3", "ada", 100)] {
        let properties = json!({ "n": n, "project": project, "user": user, "model": "small" });
        api.event("acct", "2026-03-09T00:00:00Z", properties).await;
    }
    let invoices = api.invoices(&customer).await;
    let of = |contract: &String| {
        let own = invoices.iter().find(|invoice| invoice["contract_id"] == *contract);
        lines(own.expect("an invoice"))
    };
    assert_eq!(
        of(&contracts[0]),
        [
            "Tokens {model: small} {user: ada} 03-01..04-01 [1] 4 × 10 = 40",
            "Tokens {model: small} {user: bob} 03-01..04-01 [1] 5 × 10 = 50",
            "Tokens {model: small} {user: bob} 03-01..04-01 [2] 2 × 1 = 2",
        ]
    );
    assert_eq!(
        of(&contracts[1]),
        [
            "Tokens {model: small} {user: ada} 03-01..04-01 [1] 5 × 10 = 50",
            "Tokens {model: small} {user: ada} 03-01..04-01 [2] 1 × 1 = 1",
        ]
    );
}

#[tokio::test]
async fn maxima_and_users_are_those_of_the_filtered_events() {
    let api = Api::at(NOW).await;
    let rates = api.rate_card().await;
    for (aggregation, key) in [("COUNT", None), ("MAX", Some("n")), ("UNIQUE", Some("user"))] {
        let metric = api.metric(Metric { aggregation, key, groups: &["project"] }).await;
        let product = api.product(aggregation, &metric, json!({})).await;
        api.flat(&rates, &product, "2026-01-01T00:00:00Z", "1", json!({})).await;
    }
    let customer = api.customer("acct").await;
    let more = json!({ "usage_filter": filter("project", &["p1"]) });
    let contract = api.contract(&customer, &rates, "2026-03-01T00:00:00Z", more).await;
    let body = json!({
        "customer_id": customer, "contract_id": contract, "group_key": "project", "group_values": ["p2"],
        "starting_at": "2026-03-05T00:00:00Z",
    });
    assert_eq!(api.post(SET, body).await.status, 200);
    for (day, project, n, user) in [
        (2, "p1", 9, "a"),
        (3, "p2", 50, "b"),
        (6, "p2", 7, "a"),
        (6, "p2", 8, "c"),
        (7, "p1", 60, "d"),
        // Seen before where it was not counted.
        (8, "p2", 1, "b"),
    ] {
        let at = format!("2026-03-0{day}T00:00:00Z");
        api.event("acct", &at, json!({ "n": n, "project": project, "user": user })).await;
    }
    assert_eq!(
        lines(&api.invoice(&customer, "2026-03-01").await),
        ["COUNT 03-01..04-01 4 × 1 = 4", "MAX 03-01..04-01 9 × 1 = 9", "UNIQUE 03-01..04-01 3 × 1 = 3"]
    );
}

#[tokio::test]
async fn newest_values_and_filters_exclude_each_other() {
    let shop = Shop::open().await;
    let gauge = shop.gauge().await;
    let filtered = shop.filtered(&["p1"]).await;
    shop.api
        .post(ADD, shop.rate(&gauge))
        .await
        .refused(400, &["product_id: ", &filtered, "`Gauge`", "LATEST"]);
    let many =
        json!({ "rate_card_id": shop.rates.card, "rates": [shop.rate(&shop.product), shop.rate(&gauge)] });
    let answer = shop.api.post("/v1/contract-pricing/rate-cards/addRates", many).await;
    answer.refused(400, &["rates[1].product_id: ", "LATEST"]);
    let metric =
        shop.api.metric(Metric { aggregation: "LATEST", key: Some("n"), groups: &["project"] }).await;
    let swap = |at: &str| product_update(&shop.product, at, json!({ "billable_metric_id": metric }));
    shop.api
        .post(UPDATE, swap("2026-08-01T00:00:00Z"))
        .await
        .refused(400, &["billable_metric_id: ", &filtered, "LATEST"]);

    let other = Shop { rates: shop.api.rate_card().await, ..shop };
    other.api.post(ADD, other.rate(&gauge)).await.data();
    let plain = other.contract(json!({})).await;
    let body = other.body(&plain, &["p1"], "2026-04-01T00:00:00Z");
    other.api.post(SET, body).await.refused(400, &["group_key: ", "`Gauge`", "LATEST", "`project`"]);
    let body = json!({
        "customer_id": other.customer, "rate_card_id": other.rates.card, "starting_at": "2026-03-01T00:00:00Z",
        "usage_filter": filter("project", &["p1"]),
    });
    other.api.post(CREATE, body).await.refused(400, &["usage_filter.group_key: ", "`Gauge`", "LATEST"]);
}

#[tokio::test]
async fn the_card_of_a_filtered_contract_takes_only_what_the_filter_can_split() {
    let shop = Shop::open().await;
    let plain = shop.plain_product().await;
    let filtered = shop.filtered(&["p1"]).await;
    let refused = [&*filtered, "product `Plain`", "lack `project`"];
    shop.api.post(ADD, shop.rate(&plain)).await.refused(400, &refused);
    shop.api.post(ADD, shop.rate(&shop.product)).await.data();
    let metric = shop.api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["user"] }).await;
    let swap = |at: &str| product_update(&shop.product, at, json!({ "billable_metric_id": metric }));
    shop.api.post(UPDATE, swap("2026-08-01T00:00:00Z")).await.refused(400, &["lack `project`"]);
    // What is changed for a time that the contract does not reach is no contradiction.
    let end = json!({
        "customer_id": shop.customer, "contract_id": filtered, "ending_before": "2026-08-01T00:00:00Z",
    });
    shop.api.post("/v1/contracts/updateEndDate", end.clone()).await.id();
    shop.api.post(UPDATE, swap("2026-08-01T00:00:00Z")).await.id();
    shop.api.post(UPDATE, swap("2026-07-31T23:00:00Z")).await.refused(400, &["lack `project`"]);
    for longer in [json!("2026-08-01T01:00:00Z"), Value::Null] {
        let body = with(&end, "/ending_before", longer);
        let answer = shop.api.post("/v1/contracts/updateEndDate", body).await;
        answer.refused(400, &["ending_before: ", "product `Units`", "lack `project`"]);
    }
    // Nor is what is changed for a contract that is archived.
    let archive = json!({ "customer_id": shop.customer, "contract_id": filtered, "void_invoices": true });
    shop.api.post("/v1/contracts/archive", archive).await.data();
    shop.api.post(ADD, shop.rate(&plain)).await.data();
    // Another contract on this card takes no filter now; the first product that is in the way is named.
    let contract = shop.contract(json!({})).await;
    let set = shop.body(&contract, &["p1"], "2026-04-01T00:00:00Z");
    shop.api.post(SET, set).await.refused(400, &["group_key: ", "product `Units` at 2026-08-01T00:00:00Z"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_filter_and_a_product_that_exclude_each_other_one_comes_in() {
    let shop = Shop::open().await;
    let gauge = shop.gauge().await;
    for _ in 0..8 {
        let shop = Shop { rates: shop.api.rate_card().await, ..shop.again() };
        shop.api.post(ADD, shop.rate(&shop.product)).await.data();
        let contract = shop.contract(json!({})).await;
        let requests = [
            (SET.to_owned(), shop.body(&contract, &["p1"], "2026-04-01T00:00:00Z")),
            (ADD.to_owned(), shop.rate(&gauge)),
        ];
        assert_eq!(race(&shop.api, requests).await, BTreeMap::from([(200, 1), (400, 1)]));
    }
}

#[tokio::test]
async fn a_repeat_under_a_key_is_one_filter_and_the_audit_log_tells_it() {
    let shop = Shop::open().await;
    let contract = shop.contract(json!({})).await;
    let body = shop.body(&contract, &["p1"], "2026-04-01T00:00:00Z");
    for _ in 0..2 {
        let answer = shop.api.keyed("k", SET, body.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &Value::Null));
    }
    assert_eq!(shop.api.number("SELECT count(*) FROM usage_filter").await, 1);
    let log = shop.api.get("/v1/auditLogs?sort=date_desc&limit=1").await.data();
    assert_eq!(
        (&log[0]["resource_type"], &log[0]["resource_id"], &log[0]["action"]),
        (&json!("contract"), &json!(contract), &json!("set_usage_filter"))
    );
}

#[tokio::test]
async fn a_contract_without_a_card_may_have_a_filter() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let body = json!({
        "customer_id": world.customer, "starting_at": "2026-03-01T00:00:00Z",
        "usage_filter": filter("anything", &["p1"]),
    });
    api.post(CREATE, body).await.id();
}

/// A product on the highest `n` of any event, at 1.
async fn peak(shop: &Shop, rates: &Rates) -> String {
    let product = shop.api.product("Peak", &shop.highest().await, json!({})).await;
    shop.api.flat(rates, &product, "2026-01-01T00:00:00Z", "1", json!({})).await;
    product
}

#[tokio::test]
async fn what_queries_count_goes_by_the_filters_too() {
    let shop = Shop::open().await;
    peak(&shop, &shop.rates).await;
    let (first, second) = (shop.filtered(&["p1"]).await, shop.filtered(&["p2"]).await);
    let event = async |at: &str, project: &str, n: i64| {
        shop.event(at, json!({ "n": n, "project": project, "user": "u" })).await;
    };
    for (at, project, n) in [
        ("2026-03-02T00:00:00Z", "p1", 3),
        ("2026-03-03T00:00:00Z", "p2", 9),
        ("2026-03-04T00:00:00Z", "p1", 5),
        ("2026-03-04T00:00:00Z", "p3", 40),
    ] {
        event(at, project, n).await;
    }
    let lines_of = async |contract: &str| lines(&shop.invoice(contract, "2026-03-01").await);
    assert_eq!(lines_of(&first).await, ["Units 03-01..04-01 8 × 10 = 80", "Peak 03-01..04-01 5 × 1 = 5"]);
    assert_eq!(lines_of(&second).await, ["Units 03-01..04-01 9 × 10 = 90", "Peak 03-01..04-01 9 × 1 = 9"]);

    shop.set(&first, &["p2"], "2026-03-06T00:00:00Z").await;
    event("2026-03-07T00:00:00Z", "p2", 7).await;
    event("2026-03-07T00:00:00Z", "p1", 100).await;
    let march = ["Units 03-01..04-01 15 × 10 = 150", "Peak 03-01..04-01 7 × 1 = 7"];
    assert_eq!(lines_of(&first).await, march, "the highest of 3, 5 and 7");
    shop.api.move_clock("2026-04-02T00:00:00Z").await;
    assert_eq!(lines_of(&first).await, march);
    assert_eq!(faults(&shop.api).await, Vec::<String>::new());

    shop.set(&first, &["p1"], "2026-03-01T00:00:00Z").await;
    event("2026-03-20T00:00:00Z", "p1", 1000).await;
    event("2026-03-20T00:00:00Z", "p2", 2000).await;
    assert_eq!(lines_of(&first).await, march, "finalized");
    assert_eq!(faults(&shop.api).await, Vec::<String>::new(), "and recomputed from what it saw");
}

#[tokio::test]
async fn any_property_of_events_tells_apart_what_queries_count() {
    let shop = Shop::open().await;
    let rates = shop.api.rate_card().await;
    peak(&shop, &rates).await;
    let more = json!({ "usage_filter": filter("zone", &["eu"]) });
    let contract = shop.api.contract(&shop.customer, &rates, "2026-03-01T00:00:00Z", more).await;
    for properties in [json!({ "n": 2, "zone": "eu" }), json!({ "n": 50, "zone": "EU" }), json!({ "n": 60 })]
    {
        shop.event("2026-03-02T00:00:00Z", properties).await;
    }
    assert_eq!(shop.total(&contract, "2026-03-01").await, 2);

    // A streaming product that may not be counted through the filter may when a query counts it.
    let plain = shop.plain_product().await;
    let rate = with(&shop.rate(&plain), "/rate_card_id", json!(rates.card));
    shop.api.post(ADD, rate.clone()).await.refused(400, &["has a usage filter", "group keys lack `zone`"]);
    let swap = json!({ "billable_metric_id": shop.highest().await });
    shop.api.post(UPDATE, product_update(&plain, "2026-01-01T00:00:00Z", swap)).await.id();
    shop.api.post(ADD, rate).await.data();
    assert_eq!(shop.total(&contract, "2026-03-01").await, 4);
}

/// Who gets which project from an hour of the month on.
type Deal = (i64, [usize; 4]);

#[tokio::test]
async fn contracts_that_share_out_all_projects_bill_all_usage_once() {
    let shop = Shop::open().await;
    // The same once more, counted by a query; of maxima and of users as well, which cost nothing.
    let query = async |name: &str, value: &str| {
        let sql = format!("SELECT {value} AS value FROM events");
        let metric = json!({ "name": name, "sql": sql });
        let metric = shop.api.post("/v1/billable-metrics/create", metric).await.id();
        shop.api.product(name, &metric, json!({ "sql_breakdown_granularity": "HOUR" })).await
    };
    let counted = async |name: &str, aggregation: &'static str, key: &'static str| {
        let metric = shop.api.metric(Metric { aggregation, key: Some(key), groups: &["project"] }).await;
        shop.api.product(name, &metric, json!({})).await
    };
    let units = [shop.product.clone(), query("Units by query", "SUM(properties.n)").await];
    let others = [
        counted("Peak", "MAX", "n").await,
        query("Peak by query", "MAX(properties.n)").await,
        counted("Users", "UNIQUE", "user").await,
        query("Users by query", "COUNT(DISTINCT properties.user)").await,
    ];
    for product in &others {
        shop.api.flat(&shop.rates, product, "2026-01-01T00:00:00Z", "0", json!({})).await;
    }
    shop.api.flat(&shop.rates, &units[1], "2026-01-01T00:00:00Z", "10", json!({})).await;
    for product in units.iter().chain(&others[2..]) {
        let is_unit = units.contains(product);
        let price = |price: &'static str| if is_unit { price } else { "0" };
        shop.api.flat(&shop.rates, product, "2026-03-04T00:00:00Z", price("11"), json!({})).await;
        shop.api.flat(&shop.rates, product, "2026-03-06T00:00:00Z", price("10"), json!({})).await;
    }
    let projects = ["p0", "p1", "p2", "p3"];
    let deals = prop::collection::vec((0_i64..240, prop::array::uniform4(0_usize..3)), 1..5);
    let events = prop::collection::vec((0_i64..240, 0_usize..4, 1_i64..1000), 1..20);
    let user = |n: i64| format!("u{}", n % 3);
    let mut runner = TestRunner::deterministic();
    let hour = |number: i64| format!("2026-03-{:02}T{:02}:00:00Z", number / 24 + 1, number % 24);
    for round in 0..6 {
        let drawn = (deals.clone(), events.clone()).new_tree(&mut runner).expect("a case").current();
        let (mut deals, events): (Vec<Deal>, Vec<(i64, usize, i64)>) = drawn;
        deals[0].0 = 0;
        let subject = format!("acct {round}");
        let shop = Shop { customer: shop.api.customer(&subject).await, ..shop.again() };
        for owner in 0..3 {
            let values = |(_, owners): &Deal| -> Vec<&str> {
                let own = projects.iter().zip(owners).filter(|(_, of)| **of == owner).map(|(name, _)| *name);
                own.chain(["nothing"]).collect()
            };
            let contract = shop.filtered(&values(&deals[0])).await;
            for deal in &deals[1..] {
                shop.set(&contract, &values(deal), &hour(deal.0)).await;
            }
        }
        let sent = events.iter().zip(0..).map(|((at, project, n), number)| {
            json!({
                "transaction_id": format!("{round} {number}"), "customer_id": subject, "event_type": "use",
                "timestamp": hour(*at), "properties": { "n": n, "project": projects[*project], "user": user(*n) },
            })
        });
        shop.api.events(sent.collect()).await;
        let price = |at: &i64| if (72..120).contains(at) { 11 } else { 10 };
        let expected: i64 = events.iter().map(|(at, _, n)| n * price(at) * 2).sum();
        let invoices = shop.api.invoices(&shop.customer).await;
        let billed: i64 = invoices.iter().map(|invoice| invoice["total"].as_i64().expect("whole")).sum();
        assert_eq!((invoices.len(), billed), (3, expected), "{deals:?} {events:?}");
        for invoice in &invoices {
            let (queried, streaming): (Vec<String>, Vec<String>) =
                lines(invoice).into_iter().partition(|line| line.contains(" by query"));
            let sorted = |mut lines: Vec<String>| {
                lines.sort();
                lines
            };
            let queried = queried.iter().map(|line| line.replace(" by query", "")).collect();
            assert_eq!(sorted(streaming), sorted(queried), "{deals:?} {events:?}");
        }
    }
}

impl Shop {
    /// The same shop once more.
    fn again(&self) -> Self {
        Self {
            api: self.api.clone(),
            rates: Rates { card: self.rates.card.clone() },
            product: self.product.clone(),
            customer: self.customer.clone(),
        }
    }
}
