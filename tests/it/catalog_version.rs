//! What a server remembers of the catalog is never older than the catalog.

use serde_json::{Value, json};

use crate::support::{Api, Metric, Rates, lines, product_update};

/// The tables that terms and the counting of usage are made of, and which custom fields there may be.
const TABLES: [&str; 10] = [
    "billable_metric",
    "credit_type",
    "custom_field_key",
    "metric_reflow",
    "product",
    "product_update",
    "rate",
    "rate_card",
    "rate_card_conversion",
    "rate_card_product",
];

/// A customer with a draft of one product at 2 cents.
struct Shop {
    api: Api,
    product: String,
    rates: Rates,
    customer: String,
}

impl Shop {
    async fn open() -> Self {
        let api = Api::at("2026-03-20T00:00:00Z").await;
        let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
        let product = api.product("Units", &metric, json!({})).await;
        let rates = api.rate_card().await;
        api.flat(&rates, &product, "2026-03-01T00:00:00Z", "2", json!({})).await;
        let customer = api.customer("acme").await;
        api.contract(&customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
        api.event("acme", "2026-03-02T00:00:00Z", json!({ "n": 10 })).await;
        Self { api, product, rates, customer }
    }

    async fn lines(&self) -> Vec<String> {
        lines(&self.api.invoice(&self.customer, "2026-03-01").await)
    }

    async fn names(&self) -> Vec<(String, String)> {
        let rows =
            sqlx::query_as("SELECT environment_id::text, version::text FROM catalog_version ORDER BY 1");
        rows.fetch_all(&self.api.app.db).await.expect("names")
    }
}

#[tokio::test]
async fn every_change_of_the_catalog_is_seen_by_the_next_reading() {
    let shop = Shop::open().await;
    let Shop { api, product, rates, .. } = &shop;
    assert_eq!(shop.lines().await, ["Units 03-01..04-01 10 × 2 = 20"]);

    api.flat(rates, product, "2026-03-01T00:00:00Z", "3", json!({})).await;
    assert_eq!(shop.lines().await, ["Units 03-01..04-01 10 × 3 = 30"]);

    let renamed = product_update(product, "2026-03-01T00:00:00Z", json!({ "name": "Pieces" }));
    api.post("/v1/contract-pricing/products/update", renamed).await.data();
    assert_eq!(shop.lines().await, ["Pieces 03-01..04-01 10 × 3 = 30"]);

    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let calls = api.product("Calls", &metric, json!({})).await;
    api.flat(rates, &calls, "2026-03-01T00:00:00Z", "1", json!({})).await;
    // An event that no rollup has yet.
    api.event("acme", "2026-03-03T00:00:00Z", json!({ "n": 1 })).await;
    let of_both = ["Pieces 03-01..04-01 11 × 3 = 33", "Calls 03-01..04-01 1 × 1 = 1"];
    assert_eq!(shop.lines().await, of_both);

    let reflow = format!("/v1/upbeat/billable-metrics/{metric}/reflow");
    api.post(&reflow, json!({ "starting_at": "2026-03-01T00:00:00Z" })).await.data();
    let of_both = ["Pieces 03-01..04-01 11 × 3 = 33", "Calls 03-01..04-01 2 × 1 = 2"];
    assert_eq!(shop.lines().await, of_both);

    let order = json!({ "rate_card_id": rates.card, "product_order": [calls, product] });
    api.post("/v1/contract-pricing/rate-cards/setRateCardProductsOrder", order).await.data();
    assert_eq!(shop.lines().await, [of_both[1], of_both[0]]);

    // What is final was made of the last of these.
    api.move_clock("2026-04-03T00:00:00Z").await;
    assert_eq!(shop.lines().await, [of_both[1], of_both[0]]);
}

#[tokio::test]
async fn a_change_of_any_of_its_tables_gives_the_catalog_another_name_and_nothing_else_does() {
    let shop = Shop::open().await;
    let Shop { api, rates, .. } = &shop;
    let unit = json!({ "name": "credits" });
    let unit = api.post("/v1/credit-types/create", unit).await.id();
    let priced = json!({
        "name": "other",
        "credit_type_conversions": [{ "custom_credit_type_id": unit, "fiat_per_custom_credit": 5 }],
    });
    api.post("/v1/contract-pricing/rate-cards/create", priced).await.id();
    let renamed = product_update(&shop.product, "2026-03-01T00:00:00Z", json!({ "name": "Pieces" }));
    api.post("/v1/contract-pricing/products/update", renamed).await.data();
    let key = json!({ "entity": "customer", "key": "account", "enforce_uniqueness": false });
    assert_eq!(api.post("/v1/customFields/addKey", key).await.status, 200);
    api.sql("INSERT INTO metric_reflow SELECT environment_id, id, 1, now() FROM billable_metric").await;

    let mut names = vec![shop.names().await];
    for table in TABLES {
        api.sql(&format!("UPDATE {table} SET environment_id = environment_id")).await;
        names.push(shop.names().await);
    }
    api.sql("DELETE FROM metric_reflow").await;
    names.push(shop.names().await);
    for pair in names.windows(2) {
        assert_ne!(pair[0], pair[1]);
    }

    let last = names.pop().expect("some");
    assert_eq!(last.len(), 1, "one environment has a catalog");
    api.sql("BEGIN; UPDATE rate SET price = 1; ROLLBACK").await;
    let other = api.customer("other").await;
    api.contract(&other, rates, "2026-03-01T00:00:00Z", json!({})).await;
    api.event("other", "2026-03-04T00:00:00Z", json!({ "n": 1 })).await;
    api.move_clock("2026-04-03T00:00:00Z").await;
    assert_eq!(shop.names().await, last);
}

#[tokio::test]
async fn readings_beside_changes_see_one_state_or_the_next() {
    let shop = Shop::open().await;
    let Shop { api, product, rates, .. } = &shop;
    let (old, new) = ("Units 03-01..04-01 10 × 2 = 20", "Units 03-01..04-01 10 × 3 = 30");
    let reading = async {
        let mut seen: Vec<Vec<String>> = Vec::new();
        for _ in 0..20 {
            let both = futures_util::future::join_all((0..4).map(|_| shop.lines())).await;
            seen.extend(both);
        }
        seen
    };
    let writing = async {
        for price in ["3", "2", "3", "2", "3"] {
            api.flat(rates, product, "2026-03-01T00:00:00Z", price, json!({})).await;
        }
    };
    let (seen, ()) = tokio::join!(reading, writing);
    assert!(seen.iter().all(|lines| *lines == [old] || *lines == [new]), "{seen:?}");
    assert_eq!(shop.lines().await, [new]);
}

#[tokio::test]
async fn rates_that_are_added_at_the_same_time_are_all_added() {
    let shop = Shop::open().await;
    let Shop { api, product, rates, .. } = &shop;
    let add = |price: usize| {
        let body = json!({
            "rate_card_id": rates.card, "product_id": product, "starting_at": "2026-03-01T00:00:00Z", "entitled": true,
            "rate_type": "FLAT", "price": price,
        });
        api.post("/v1/contract-pricing/rate-cards/addRate", body)
    };
    for answer in futures_util::future::join_all((0..16).map(add)).await {
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    }
    assert_eq!(api.number("SELECT count(*) FROM rate").await, 17);
    let newest: Value = serde_json::from_str(
        &sqlx::query_scalar::<_, String>("SELECT price::text FROM rate ORDER BY added DESC LIMIT 1")
            .fetch_one(&api.app.db)
            .await
            .expect("the rate that was added last"),
    )
    .expect("a number");
    let total = api.invoice(&shop.customer, "2026-03-01").await["total"].clone();
    assert_eq!(total.as_i64(), newest.as_i64().map(|price| price * 10));
}
