//! Usage that is billed nowhere, and how a user finds it.

use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, list_environments};
use upbeat::usage::verify_rollups;

use crate::support::{Api, Metric, Rates};
use crate::world::{NOW, refuse};

const UNRATED: &str = "/v1/upbeat/usage/unrated";
const CUSTOMERS: &str = "/v1/upbeat/usage/unmatched-customers";
const METRICS: &str = "/v1/upbeat/usage/unmatched-metrics";
const MODEL_DAY: &str = "2026-03-08";

/// A card with tokens by model, of which `gpt-5` has a rate, and a customer on it from March on.
struct Shop {
    api: Api,
    metric: String,
    product: String,
    rates: Rates,
    customer: String,
}

impl Shop {
    async fn empty() -> Self {
        let api = Api::at(NOW).await;
        let metric =
            api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["model", "project"] }).await;
        let product = api.product("Tokens", &metric, json!({ "pricing_group_key": ["model"] })).await;
        let rates = api.rate_card().await;
        let customer = api.customer("acct").await;
        let shop = Self { api, metric, product, rates, customer };
        shop.rate("gpt-5", json!({})).await;
        shop
    }

    async fn open() -> Self {
        let shop = Self::empty().await;
        shop.contract(json!({})).await;
        shop
    }

    async fn rate(&self, model: &str, more: Value) {
        let mut rate = json!({ "pricing_group_values": { "model": model } });
        rate.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.api.flat(&self.rates, &self.product, "2026-01-01T00:00:00Z", "3", rate).await;
    }

    async fn contract(&self, more: Value) -> String {
        self.api.contract(&self.customer, &self.rates, "2026-03-01T00:00:00Z", more).await
    }

    async fn used(&self, subject: &str, model: &str, n: i64) {
        let properties = json!({ "model": model, "project": "p", "n": n });
        self.api.event(subject, &format!("{MODEL_DAY}T09:30:00Z"), properties).await;
    }

    /// `day model events value reason` of each row.
    async fn unrated(&self) -> Vec<String> {
        let rows = walk(&self.api, UNRATED, json!({})).await;
        let row = |row: &Value| {
            assert_eq!(row["customer_id"], self.customer);
            assert_eq!(row["billable_metric_id"], self.metric);
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let day = text(&row["start_timestamp"])[..10].to_owned();
            let (model, reason) = (text(&row["group_values"]["model"]), text(&row["reason"]));
            format!("{day} {model} {} {} {reason}", row["event_count"], row["value"])
        };
        let mut rows: Vec<String> = rows.iter().map(row).collect();
        rows.sort();
        rows
    }

    async fn verified(&self) -> usize {
        let mut db = self.api.app.db.acquire().await.expect("a connection");
        let environments = list_environments(&mut db).await.expect("environments");
        let sandbox = environments.iter().find(|environment| environment.kind == EnvironmentKind::Sandbox);
        drop(db);
        verify_rollups(&self.api.app.db, sandbox.expect("a sandbox").id).await.expect("a recount").len()
    }
}

async fn walk(api: &Api, path: &str, body: Value) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.post(&format!("{path}?next_page={cursor}"), body.clone()).await;
        assert_eq!(page.status, 200, "{path} {body}: {}", page.body);
        rows.extend(page.body["data"].as_array().expect("rows").iter().cloned());
        match page.body["next_page"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return rows,
        }
    }
}

/// `customer day metric events` of what nobody claims.
async fn unclaimed(api: &Api) -> Vec<String> {
    let row = |row: &Value| {
        let day = &row["start_timestamp"].as_str().expect("a start")[..10];
        let metric = row["billable_metric_name"].as_str().unwrap_or("none");
        assert_eq!(row["billable_metric_id"].is_null(), metric == "none");
        format!("{} {day} {metric} {}", row["customer_id"].as_str().expect("a name"), row["event_count"])
    };
    walk(api, CUSTOMERS, json!({})).await.iter().map(row).collect()
}

/// `type customer day events` of what no metric counts.
async fn unmetered(api: &Api) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let row = |row: &Value| {
        let day = text(&row["start_timestamp"])[..10].to_owned();
        format!("{} {} {day} {}", text(&row["event_type"]), text(&row["customer_id"]), row["event_count"])
    };
    let mut rows: Vec<String> = walk(api, METRICS, json!({})).await.iter().map(row).collect();
    rows.sort();
    rows
}

fn event(id: &str, customer: &str, event_type: &str, at: &str) -> Value {
    json!({
        "transaction_id": id, "customer_id": customer, "event_type": event_type, "timestamp": at,
        "properties": { "n": 1 },
    })
}

#[tokio::test]
async fn a_misspelt_model_is_found_until_it_has_a_rate_that_is_entitled() {
    let shop = Shop::open().await;
    shop.used("acct", "gpt-5", 10).await;
    shop.used("acct", "gpt5", 3).await;
    shop.used("acct", "gpt5", 4).await;
    assert_eq!(shop.unrated().await, ["2026-03-08 gpt5 2 7 NO_RATE"]);
    shop.rate("gpt5", json!({ "entitled": false })).await;
    assert_eq!(shop.unrated().await, ["2026-03-08 gpt5 2 7 NOT_ENTITLED"]);
    shop.rate("gpt5", json!({})).await;
    assert_eq!(shop.unrated().await, [""; 0]);
    let draft = shop.api.invoice(&shop.customer, "2026-03-01").await;
    assert_eq!(draft["total"], 3 * 17);
}

#[tokio::test]
async fn what_a_contract_entitles_or_ends_before_is_told_by_the_hour() {
    let shop = Shop::empty().await;
    shop.used("acct", "gpt-5", 1).await;
    assert_eq!(shop.unrated().await, ["2026-03-08 gpt-5 1 1 NO_CONTRACT"]);
    shop.rate("gpt-5", json!({ "entitled": false })).await;
    let entitled = json!([{
        "starting_at": "2026-03-08T10:00:00Z", "entitled": true,
        "override_specifiers": [{ "product_id": shop.product }],
    }]);
    let ends = json!({ "overrides": entitled, "ending_before": "2026-03-09T00:00:00Z" });
    let contract = shop.contract(ends).await;
    let properties = |n: i64| json!({ "model": "gpt-5", "project": "p", "n": n });
    shop.api.event("acct", "2026-03-08T10:00:00Z", properties(20)).await;
    shop.api.event("acct", "2026-03-09T00:00:00Z", properties(300)).await;
    let expected = ["2026-03-08 gpt-5 1 1 NOT_ENTITLED", "2026-03-09 gpt-5 1 300 NO_CONTRACT"];
    assert_eq!(shop.unrated().await, expected);
    let archive = json!({ "customer_id": shop.customer, "contract_id": contract, "void_invoices": true });
    shop.api.post("/v1/contracts/archive", archive).await.data();
    let expected = ["2026-03-08 gpt-5 2 21 NO_CONTRACT", "2026-03-09 gpt-5 1 300 NO_CONTRACT"];
    assert_eq!(shop.unrated().await, expected);
}

/// A price that is added later bills nothing of what is on a final invoice, before that is made anew.
#[tokio::test]
async fn what_a_final_invoice_left_out_stays_in_the_list() {
    let shop = Shop::empty().await;
    let contract = shop.contract(json!({})).await;
    shop.used("acct", "gpt5", 7).await;
    shop.used("acct", "gpt-5", 2).await;
    let left_out = ["2026-03-08 gpt5 1 7 NO_RATE"];
    assert_eq!(shop.unrated().await, left_out);
    shop.api.move_clock("2026-04-02T12:00:00Z").await;
    assert_eq!(shop.unrated().await, left_out, "and final");
    shop.rate("gpt5", json!({})).await;
    assert_eq!(shop.unrated().await, left_out);
    let path = format!("/v1/customers/{}/invoices?status=FINALIZED", shop.customer);
    let invoice = shop.api.get(&path).await.data()[0].clone();
    assert_eq!(invoice["total"], 6);
    shop.api.post("/v1/invoices/void", json!({ "id": invoice["id"] })).await.id();
    assert_eq!(shop.unrated().await, [""; 0], "it is billed as soon as the invoice is made anew");
    shop.api.post("/v1/invoices/regenerate", json!({ "id": invoice["id"] })).await.id();
    assert_eq!(shop.api.get(&path).await.data()[0]["total"], 27);
    assert_eq!(shop.unrated().await, [""; 0]);
    let body = json!({ "customer_id": shop.customer, "contract_id": contract, "void_invoices": false });
    shop.api.post("/v1/contracts/archive", body).await.id();
    assert_eq!(shop.unrated().await, [""; 0], "what is final stays billed");
    let again = shop.api.get(&path).await.data()[0]["id"].clone();
    shop.api.post("/v1/invoices/void", json!({ "id": again })).await.id();
    let nobody = ["2026-03-08 gpt-5 1 2 NO_CONTRACT", "2026-03-08 gpt5 1 7 NO_CONTRACT"];
    assert_eq!(shop.unrated().await, nobody);
}

/// Nor does one that a query counts by; and of two statements of one month, of which one is final, each says what it bills.
#[tokio::test]
async fn what_a_final_invoice_left_out_of_a_query_stays_in_the_list() {
    for granularity in ["HOUR", "SERVICE_PERIOD"] {
        let shop = QueryShop::open(granularity).await;
        let card = shop.card(&[("gpt-5", "01T00", None)]).await;
        shop.called("05T09", "gpt5", 3).await;
        shop.called("05T09", "gpt-5", 1).await;
        let body = json!({ "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-03-07T00:00:00Z" });
        let contract = shop.api.contract(&shop.customer, &card, "2026-03-01T00:00:00Z", body).await;
        shop.api.move_clock("2026-03-12T00:00:00Z").await;
        let final_alone = ["05 gpt5 3 NO_RATE"];
        assert_eq!(shop.told(json!({})).await, final_alone, "{granularity}");
        let open_end = json!({ "customer_id": shop.customer, "contract_id": contract });
        shop.api.post("/v1/contracts/updateEndDate", open_end).await.id();
        shop.called("09T09", "gpt5", 4).await;
        assert_eq!(shop.told(json!({})).await, ["05 gpt5 3 NO_RATE", "09 gpt5 4 NO_RATE"], "{granularity}");
        shop.rate(&card, ("gpt5", "01T00", None), true).await;
        assert_eq!(shop.told(json!({})).await, final_alone, "{granularity}: the rest is billed now");
        assert_eq!(shop.billed().await, 2 + 8, "{granularity}");
    }
}

#[tokio::test]
async fn what_no_filter_passes_and_no_product_counts_is_told_as_such() {
    let shop = Shop::empty().await;
    let filter = json!({ "usage_filter": { "group_key": "project", "group_values": ["p"] } });
    shop.contract(filter).await;
    shop.used("acct", "gpt-5", 1).await;
    let elsewhere = json!({ "model": "gpt-5", "project": "q", "n": 20 });
    shop.api.event("acct", "2026-03-08T11:00:00Z", elsewhere).await;
    assert_eq!(shop.unrated().await, ["2026-03-08 gpt-5 1 20 NO_CONTRACT"]);
    let unsold = shop.api.metric(Metric { aggregation: "UNIQUE", key: Some("user"), groups: &[] }).await;
    let user = json!({ "user": "ada", "model": "gpt-5", "project": "p", "n": 1 });
    shop.api.event("acct", "2026-03-09T11:00:00Z", user).await;
    let body = json!({ "customer_ids": [shop.customer], "billable_metric_ids": [unsold] });
    let rows = walk(&shop.api, UNRATED, body).await;
    let expected = json!([{
        "customer_id": shop.customer, "billable_metric_id": unsold, "billable_metric_name": "metric",
        "group_values": {}, "start_timestamp": "2026-03-09T00:00:00Z", "end_timestamp": "2026-03-10T00:00:00Z",
        "event_count": 1, "value": null, "reason": "NO_CONTRACT",
    }]);
    assert_eq!(json!(rows), expected, "the filter's property is none that the metric knows");
    shop.contract(json!({ "starting_at": "2026-03-05T00:00:00Z" })).await;
    let body = json!({ "billable_metric_ids": [unsold] });
    assert_eq!(walk(&shop.api, UNRATED, body).await[0]["reason"], "NO_PRODUCT");
}

#[tokio::test]
async fn an_alias_that_is_set_later_takes_usage_from_those_that_nobody_claims() {
    let shop = Shop::open().await;
    shop.used("acme-typo", "gpt-5", 5).await;
    shop.used("acct", "gpt-5", 1).await;
    shop.used(&shop.customer.to_uppercase(), "gpt-5", 1).await;
    shop.api.events(json!([event("e", "acme-typo", "unheard", "2026-03-09T00:00:00Z")])).await;
    assert_eq!(unclaimed(&shop.api).await, ["acme-typo 2026-03-08 metric 1", "acme-typo 2026-03-09 none 1"]);
    assert_eq!(unmetered(&shop.api).await, ["unheard acme-typo 2026-03-09 1"]);
    assert_eq!(shop.unrated().await, [""; 0]);
    let path = format!("/v1/customers/{}/setIngestAliases", shop.customer);
    let aliases = json!({ "ingest_aliases": ["acct", "acme-typo"] });
    assert_eq!(shop.api.post(&path, aliases).await.status, 200);
    assert_eq!(unclaimed(&shop.api).await, [""; 0]);
    assert_eq!(unmetered(&shop.api).await, ["unheard acme-typo 2026-03-09 1"], "which is another matter");
    assert_eq!(shop.unrated().await, [""; 0]);
    assert_eq!(shop.api.invoice(&shop.customer, "2026-03-01").await["total"], 3 * 7);
}

#[tokio::test]
async fn events_that_no_metric_counts_are_counted_once_and_recounted() {
    let shop = Shop::open().await;
    let long = "x".repeat(5000);
    shop.api
        .events(json!([
            event("a", "acct", "call", "2026-03-08T00:00:00Z"),
            event("b", "acct", "call", "2026-03-08T23:59:59Z"),
            event("b", "acct", "call", "2026-03-08T23:59:59Z"),
            event("c", "who", &long, "2026-03-09T00:00:00Z"),
            event("d", "who", "use", "2026-03-09T00:00:00Z"),
        ]))
        .await;
    shop.used("acct", "gpt-5", 1).await;
    let shown = &long[..255];
    let expected = [
        "call acct 2026-03-08 2".to_owned(),
        "use who 2026-03-09 1".to_owned(),
        format!("{shown} who 2026-03-09 1"),
    ];
    assert_eq!(unmetered(&shop.api).await, expected);
    assert_eq!(shop.verified().await, 0);
    shop.api.sql("UPDATE usage_unmetered SET event_count = event_count + 1 WHERE event_type = 'call'").await;
    assert_eq!(shop.verified().await, 1);
    shop.api.sql("UPDATE usage_unmetered SET event_count = event_count - 1 WHERE event_type = 'call'").await;
    shop.api.sql("CREATE TABLE kept AS TABLE usage_unmetered; DELETE FROM usage_unmetered").await;
    assert_eq!(shop.verified().await, 2, "a subject's day each");
    shop.api.sql("INSERT INTO usage_unmetered TABLE kept").await;
    assert_eq!(shop.verified().await, 0);
}

#[tokio::test]
async fn a_reflow_takes_what_it_counts_from_what_no_metric_counts() {
    let shop = Shop::open().await;
    let events: Value = (0..6)
        .map(|n| event(&format!("{n}"), "acct", "call", &format!("2026-03-0{}T00:00:00Z", 3 + n)))
        .collect();
    shop.api.events(events).await;
    let metric = |name: &str| {
        json!({
            "name": name, "aggregation_type": "COUNT", "event_type_filter": { "in_values": ["call"] },
        })
    };
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        ids.push(shop.api.post("/v1/billable-metrics/create", metric(name)).await.id());
    }
    shop.api.events(json!([event("later", "acct", "call", "2026-03-08T00:00:00Z")])).await;
    assert_eq!(unmetered(&shop.api).await.len(), 6);
    let reflow = async |id: &String, from: &str| {
        let path = format!("/v1/upbeat/billable-metrics/{id}/reflow");
        shop.api.post(&path, json!({ "starting_at": from })).await.data();
    };
    reflow(&ids[0], "2026-03-05T00:00:00Z").await;
    let left = ["call acct 2026-03-03 1", "call acct 2026-03-04 1"];
    assert_eq!(unmetered(&shop.api).await, left);
    assert_eq!(shop.verified().await, 0);
    reflow(&ids[1], "2026-03-04T00:00:00Z").await;
    assert_eq!(unmetered(&shop.api).await, left[..1]);
    reflow(&ids[0], "2026-03-03T00:00:00Z").await;
    assert_eq!(unmetered(&shop.api).await, [""; 0]);
    assert_eq!(shop.verified().await, 0);
}

#[tokio::test]
async fn reflows_of_two_metrics_at_once_take_each_event_once() {
    let shop = Shop::open().await;
    let at = "2026-03-05T00:00:00Z";
    let events: Value = (0..50).map(|n| event(&format!("{n}"), "acct", "call", at)).collect();
    shop.api.events(events).await;
    let mut reflows = Vec::new();
    for number in 0..4 {
        let metric = json!({ "name": format!("m{number}"), "aggregation_type": "COUNT" });
        let id = shop.api.post("/v1/billable-metrics/create", metric).await.id();
        let (api, path) = (shop.api.clone(), format!("/v1/upbeat/billable-metrics/{id}/reflow"));
        reflows.push(tokio::spawn(async move { api.post(&path, json!({ "starting_at": at })).await.data() }));
    }
    for reflow in reflows {
        assert_eq!(reflow.await.expect("an answer")["event_count"], 50);
    }
    assert_eq!(unmetered(&shop.api).await, [""; 0]);
    assert_eq!(shop.verified().await, 0);
}

/// A product that a query counts by model, and a customer without a contract.
struct QueryShop {
    api: Api,
    query: String,
    product: String,
    customer: String,
}

impl QueryShop {
    async fn open(granularity: &str) -> Self {
        let api = Api::at(NOW).await;
        let sql = "SELECT properties.model, SUM(properties.n) AS value FROM events WHERE event_type = 'call' GROUP BY model";
        let query =
            api.post("/v1/billable-metrics/create", json!({ "name": "query", "sql": sql })).await.id();
        let by_model = json!({ "pricing_group_key": ["model"], "sql_breakdown_granularity": granularity });
        let product = api.product("Calls", &query, by_model).await;
        let customer = api.customer("acct").await;
        Self { api, query, product, customer }
    }

    /// A card with rates of 2, each of a model, from and until an hour of March.
    async fn card(&self, rates: &[(&str, &str, Option<&str>)]) -> Rates {
        let card = self.api.rate_card().await;
        for rate in rates {
            self.rate(&card, *rate, true).await;
        }
        card
    }

    async fn rate(&self, card: &Rates, (model, from, until): (&str, &str, Option<&str>), entitled: bool) {
        let mut more = json!({ "pricing_group_values": { "model": model }, "entitled": entitled });
        if let Some(until) = until {
            more["ending_before"] = json!(format!("2026-03-{until}:00:00Z"));
        }
        self.api.flat(card, &self.product, &format!("2026-03-{from}:00:00Z"), "2", more).await;
    }

    async fn contract(&self, card: &Rates, from: &str, until: Option<&str>) {
        let until = until.map(|until| json!({ "ending_before": format!("2026-03-{until}:00:00Z") }));
        let from = format!("2026-03-{from}:00:00Z");
        self.api.contract(&self.customer, card, &from, until.unwrap_or(json!({}))).await;
    }

    async fn called(&self, at: &str, model: &str, n: i64) {
        let mut event = event(&format!("{at} {model}"), "acct", "call", &format!("2026-03-{at}:30:00Z"));
        event["properties"] = json!({ "model": model, "n": n });
        self.api.events(json!([event])).await;
    }

    /// `day model value reason` of each row.
    async fn told(&self, asked: Value) -> Vec<String> {
        let row = |row: &Value| {
            assert_eq!(
                (&row["billable_metric_id"], &row["billable_metric_name"]),
                (&json!(self.query), &json!("query"))
            );
            assert_eq!(row["event_count"], Value::Null);
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let day = text(&row["start_timestamp"])[8..10].to_owned();
            format!("{day} {} {} {}", text(&row["group_values"]["model"]), row["value"], text(&row["reason"]))
        };
        walk(&self.api, UNRATED, asked).await.iter().map(row).collect()
    }

    /// What all usage drafts come to.
    async fn billed(&self) -> u64 {
        let invoices = self.api.invoices(&self.customer).await;
        invoices.iter().map(|invoice| invoice["total"].as_u64().expect("a total")).sum()
    }
}

#[tokio::test]
async fn what_a_query_counts_and_no_contract_bills_is_told_by_the_day() {
    let shop = QueryShop::open("HOUR").await;
    let other = shop.api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    shop.called("08T09", "gpt5", 3).await;
    assert_eq!(shop.told(json!({})).await, [""; 0], "no contract sells it");
    let card = shop.card(&[("gpt-5", "01T00", None)]).await;
    shop.contract(&card, "01T00", None).await;
    shop.called("08T09", "gpt-5", 10).await;
    shop.called("08T20", "gpt5", 4).await;
    shop.called("09T08", "gpt5", 5).await;
    assert_eq!(shop.told(json!({})).await, ["08 gpt5 7 NO_RATE", "09 gpt5 5 NO_RATE"]);
    let only = json!({ "billable_metric_ids": [shop.query], "starting_on": "2026-03-09T00:00:00Z" });
    assert_eq!(shop.told(only).await, ["09 gpt5 5 NO_RATE"]);
    assert_eq!(shop.told(json!({ "billable_metric_ids": [other] })).await, [""; 0]);
    shop.rate(&card, ("gpt5", "08T12", None), false).await;
    let later = ["08 gpt5 3 NO_RATE", "08 gpt5 4 NOT_ENTITLED", "09 gpt5 5 NOT_ENTITLED"];
    assert_eq!(shop.told(json!({})).await, later);
    // Another contract that bills a part.
    let second = shop.card(&[("gpt5", "08T18", None)]).await;
    shop.contract(&second, "01T00", None).await;
    assert_eq!(shop.told(json!({})).await, later[..1]);
    shop.rate(&card, ("gpt5", "01T00", None), true).await;
    assert_eq!(shop.told(json!({})).await, [""; 0]);
}

#[tokio::test]
async fn what_a_query_counts_for_a_whole_period_is_billed_or_not_at_its_end() {
    let shop = QueryShop::open("SERVICE_PERIOD").await;
    let card = shop.card(&[("late", "09T00", None), ("early", "01T00", Some("09T00"))]).await;
    shop.contract(&card, "01T00", None).await;
    shop.called("08T09", "late", 5).await;
    shop.called("08T09", "early", 7).await;
    shop.called("09T09", "early", 3).await;
    assert_eq!(shop.billed().await, 10);
    assert_eq!(shop.told(json!({})).await, ["08 early 7 NO_RATE", "09 early 3 NO_RATE"]);
}

#[tokio::test]
async fn what_contracts_bill_of_a_day_in_parts_is_told_by_the_hour() {
    let shop = QueryShop::open("HOUR").await;
    let sells = shop.card(&[("x", "01T00", None)]).await;
    shop.contract(&sells, "01T00", Some("08T12")).await;
    let does_not = shop.card(&[("y", "01T00", None)]).await;
    shop.contract(&does_not, "08T12", None).await;
    shop.called("08T05", "x", 5).await;
    shop.called("08T15", "x", 7).await;
    assert_eq!(shop.billed().await, 10);
    assert_eq!(shop.told(json!({})).await, ["08 x 7 NO_RATE"]);
    // From then on a third one bills it, beside it.
    let afternoon = shop.card(&[("x", "08T12", None)]).await;
    shop.contract(&afternoon, "01T00", None).await;
    assert_eq!(shop.billed().await, 10 + 14);
    assert_eq!(shop.told(json!({})).await, [""; 0]);
}

/// A customer of whom a query finds too much to answer by the day at once, and others behind it.
#[tokio::test]
async fn a_customer_with_too_much_for_a_query_keeps_nobody_else_from_being_listed() {
    let shop = QueryShop::open("SERVICE_PERIOD").await;
    let card = shop.card(&[("x", "01T00", None)]).await;
    shop.contract(&card, "01T00", None).await;
    let long = "m".repeat(9_000);
    let heavy: Vec<Value> = (0..2_500)
        .map(|number| {
            let mut event = event(&format!("h{number}"), "acct", "call", "2026-03-08T05:00:00Z");
            event["properties"] = json!({ "model": format!("{long}{number}"), "n": 1 });
            event
        })
        .collect();
    for events in heavy.chunks(20) {
        shop.api.events(json!(events)).await;
    }
    shop.called("09T05", "x", 1).await;
    let other = shop.api.customer("other").await;
    shop.api.contract(&other, &card, "2026-03-01T00:00:00Z", json!({})).await;
    let mut event = event("of other", "other", "call", "2026-03-09T05:00:00Z");
    event["properties"] = json!({ "model": "misspelt", "n": 7 });
    shop.api.events(json!([event])).await;
    assert_eq!(shop.billed().await, 2, "its own draft can be calculated");
    let rows = walk(&shop.api, UNRATED, json!({})).await;
    assert_eq!(rows.len(), 2_501);
    assert!(rows.iter().any(|row| row["customer_id"] == json!(other) && row["value"] == 7));
}

#[tokio::test]
async fn types_that_a_metric_in_sql_names_are_not_listed() {
    let shop = Shop::open().await;
    let at = "2026-03-08T00:00:00Z";
    shop.api.events(json!([event("a", "acct", "call", at), event("b", "acct", "ping", at)])).await;
    let sql = |text: &str| json!({ "name": "query", "sql": text });
    let calls = sql("SELECT COUNT(*) AS value FROM events WHERE event_type IN ('call', 'other')");
    let calls = shop.api.post("/v1/billable-metrics/create", calls).await.id();
    assert_eq!(unmetered(&shop.api).await, ["ping acct 2026-03-08 1"]);
    let all = sql("SELECT COUNT(*) AS value FROM events");
    let all = shop.api.post("/v1/billable-metrics/create", all).await.id();
    assert_eq!(unmetered(&shop.api).await, [""; 0]);
    shop.api.post("/v1/billable-metrics/archive", json!({ "id": all })).await.id();
    shop.api.post("/v1/billable-metrics/archive", json!({ "id": calls })).await.id();
    assert_eq!(unmetered(&shop.api).await.len(), 2);
}

#[tokio::test]
async fn pages_hold_every_row_once() {
    let shop = Shop::open().await;
    let event = |n: usize| {
        json!({
            "transaction_id": format!("t{n}"), "customer_id": if n.is_multiple_of(2) { "acct" } else { "nobody" },
            "event_type": if n % 4 < 2 { "use".to_owned() } else { format!("type {n}") },
            "timestamp": format!("2026-03-0{}T0{}:00:00Z", 1 + n % 9, n % 7),
            "properties": { "model": format!("m{n}"), "project": "p", "n": 1 },
        })
    };
    let all: Vec<Value> = (0..4500).map(event).collect();
    for events in all.chunks(100) {
        shop.api.events(json!(events)).await;
    }
    let unrated = shop.unrated().await;
    assert_eq!(unrated.len(), 1125);
    assert!(unrated.windows(2).all(|pair| pair[0] != pair[1]));
    let unmetered = unmetered(&shop.api).await;
    assert_eq!(unmetered.len(), 2250);
    assert!(unmetered.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(unclaimed(&shop.api).await.len(), 18);
    let first = shop.api.post(UNRATED, json!({})).await;
    assert_eq!(first.body["data"].as_array().map(Vec::len), Some(1000));
    let cursor = first.body["next_page"].as_str().expect("a next page").to_owned();
    let other = json!({ "customer_ids": [shop.customer] });
    shop.api.post(&format!("{UNRATED}?next_page={cursor}"), other).await.refused(400, &["next_page"]);
    let body = json!({ "starting_on": "2026-03-02T00:00:00Z", "ending_before": "2026-03-03T00:00:00Z" });
    let days = walk(&shop.api, UNRATED, body.clone()).await;
    assert!(!days.is_empty() && days.iter().all(|row| row["start_timestamp"] == "2026-03-02T00:00:00Z"));
    let days = walk(&shop.api, METRICS, body).await;
    assert!(!days.is_empty() && days.iter().all(|row| row["start_timestamp"] == "2026-03-02T00:00:00Z"));
    assert_eq!(walk(&shop.api, UNRATED, json!({ "customer_ids": [] })).await.len(), 0);
    assert_eq!(walk(&shop.api, UNRATED, json!({ "billable_metric_ids": [] })).await.len(), 0);
}

#[tokio::test]
async fn every_subject_that_nobody_claims_is_found_among_many() {
    let api = Api::at(NOW).await;
    let names: Vec<String> = (0..700).map(|n| format!("name {n}")).collect();
    for names in names[..600].chunks(100) {
        let made = names.iter().map(|name| api.customer(name));
        futures_util::future::join_all(made).await;
    }
    let at = "2026-03-08T00:00:00Z";
    let all: Vec<Value> = names.iter().map(|name| event(name, name, "call", at)).collect();
    for events in all.chunks(100) {
        api.events(json!(events)).await;
    }
    let mut found = unclaimed(&api).await;
    let mut expected: Vec<String> =
        names[600..].iter().map(|name| format!("{name} 2026-03-08 none 1")).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn bad_questions_are_refused() {
    let shop = Shop::open().await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    for path in [UNRATED, CUSTOMERS, METRICS] {
        refuse(
            &shop.api,
            path,
            vec![
                (json!({ "starting_on": "2026-03-01T01:00:00Z" }), "starting_on"),
                (json!({ "ending_before": "2026-03-01T01:00:00Z" }), "ending_before"),
                (
                    json!({ "starting_on": "2026-03-02T00:00:00Z", "ending_before": "2026-03-02T00:00:00Z" }),
                    "ending_before",
                ),
                (
                    json!({ "starting_on": "2025-03-02T00:00:00Z", "ending_before": "2026-03-02T00:00:00Z" }),
                    "100 days",
                ),
            ],
        )
        .await;
        shop.api.post(&format!("{path}?next_page=x"), json!({})).await.refused(400, &["next_page"]);
    }
    let missing = shop.api.post(UNRATED, json!({ "customer_ids": [unknown] })).await;
    missing.refused(404, &["customer"]);
    let missing = shop.api.post(UNRATED, json!({ "billable_metric_ids": [unknown] })).await;
    missing.refused(404, &["billable metric"]);
}
