//! What a contract pays at an instant (reference: pricing, section 8.4).

use serde_json::{Value, json};

use crate::support::{Api, Metric, Rates};
use crate::world::{NOW, number};

const SCHEDULE: &str = "/v1/contracts/getContractRateSchedule";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// A card with three products, in this order: Tokens in two sizes, Storage in tiers, and Off, which is not sold.
struct Shop {
    api: Api,
    customer: String,
    rates: Rates,
    tokens: String,
    storage: String,
    off: String,
}

impl Shop {
    async fn new() -> Self {
        let api = Api::at(NOW).await;
        let metric =
            api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["size", "user"] }).await;
        let rates = api.rate_card().await;
        let more =
            json!({ "pricing_group_key": ["size"], "tags": ["ai"], "presentation_group_key": ["user"] });
        let tokens = api.product("Tokens", &metric, more).await;
        for (size, price) in [("large", "300"), ("small", "100")] {
            let more = json!({ "pricing_group_values": { "size": size }, "commit_rate": { "rate_type": "FLAT", "price": 80 } });
            api.flat(&rates, &tokens, "2026-01-01T00:00:00Z", price, more).await;
        }
        let more = json!({ "pricing_group_values": { "size": "small" } });
        api.flat(&rates, &tokens, "2026-06-01T00:00:00Z", "120", more).await;
        let storage = api.product("Storage", &metric, json!({ "tags": ["disk"] })).await;
        let tiers =
            json!({ "rate_type": "TIERED", "tiers": [{ "size": 15, "price": 100 }, { "price": 60 }] });
        api.rate(&rates, &storage, "2026-01-01T00:00:00Z", tiers).await;
        let off = api.product("Off", &metric, json!({})).await;
        api.flat(&rates, &off, "2026-01-01T00:00:00Z", "5", json!({ "entitled": false })).await;
        let customer = api.customer("acme").await;
        Self { api, customer, rates, tokens, storage, off }
    }

    async fn contract(&self, more: Value) -> String {
        self.api.contract(&self.customer, &self.rates, "2026-03-01T00:00:00Z", more).await
    }

    fn body(&self, contract: &str, more: Value) -> Value {
        let mut body = json!({ "customer_id": self.customer, "contract_id": contract });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    }

    async fn data(&self, contract: &str, more: Value) -> Value {
        self.api.post(SCHEDULE, self.body(contract, more)).await.data()
    }

    async fn rows(&self, contract: &str, more: Value) -> Vec<String> {
        rows(&self.data(contract, more).await)
    }
}

/// `name size start..end list -> override` for each row.
fn rows(data: &Value) -> Vec<String> {
    let day_of = |value: &Value| value.as_str().map_or(String::new(), |text| text[..10].to_owned());
    let price = |rate: &Value| match rate.get("tiers") {
        Some(tiers) => {
            let shown = |tier: &Value| match tier.get("size") {
                Some(size) => format!("{size}@{}", tier["price"]),
                None => format!("@{}", tier["price"]),
            };
            tiers.as_array().expect("tiers").iter().map(shown).collect::<Vec<_>>().join("+")
        }
        None => rate["price"].to_string(),
    };
    let row = |row: &Value| {
        assert_eq!(row["entitled"], true);
        let size = row["pricing_group_values"]["size"].as_str().unwrap_or_default();
        let changed = row.get("override_rate").map(|rate| format!(" -> {}", price(rate))).unwrap_or_default();
        format!(
            "{} {size} {}..{} {}{changed}",
            row["product_name"].as_str().expect("a name"),
            day_of(&row["starting_at"]),
            day_of(&row["ending_before"]),
            price(&row["list_rate"]),
        )
    };
    data.as_array().expect("rows").iter().map(row).collect()
}

#[tokio::test]
async fn without_overrides_it_is_what_the_card_sells_inside_the_term() {
    let shop = Shop::new().await;
    let contract = shop.contract(json!({ "ending_before": "2026-09-01T00:00:00Z" })).await;
    assert_eq!(
        shop.rows(&contract, json!({})).await,
        [
            "Tokens large 2026-03-01..2026-09-01 300",
            "Tokens small 2026-03-01..2026-06-01 100",
            "Storage  2026-03-01..2026-09-01 15@100+@60",
        ]
    );
    let later = json!({ "at": "2026-07-01T00:00:00Z", "selectors": [{ "product_tags": ["ai"] }] });
    assert_eq!(
        shop.rows(&contract, later).await,
        ["Tokens large 2026-03-01..2026-09-01 300", "Tokens small 2026-06-01..2026-09-01 120"]
    );
    for outside in ["2026-02-28T23:59:59Z", "2026-09-01T00:00:00Z"] {
        assert_eq!(shop.data(&contract, json!({ "at": outside })).await, json!([]), "{outside}");
    }
    let row = &shop.data(&contract, json!({})).await[1];
    let usd = json!({ "id": "2714e483-4ff1-48e4-9e25-ac732e8f24f2", "name": "USD (cents)" });
    let expected = json!({
        "rate_card_id": shop.rates.card, "product_id": shop.tokens, "product_name": "Tokens", "product_tags": ["ai"],
        "product_custom_fields": {}, "pricing_group_values": { "size": "small" },
        "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-06-01T00:00:00Z", "entitled": true,
        "list_rate": {
            "rate_type": "FLAT", "price": 100, "pricing_group_values": { "size": "small" }, "credit_type": usd,
        },
        "commit_rate": { "rate_type": "FLAT", "price": 80 },
    });
    assert_eq!(row, &expected);
}

#[tokio::test]
async fn overrides_change_prices_and_cut_the_time() {
    let shop = Shop::new().await;
    let contract = shop
        .contract(json!({
            "multiplier_override_prioritization": "EXPLICIT",
            "overrides": [
                {
                    "starting_at": "2026-01-01T00:00:00Z", "ending_before": "2026-05-01T00:00:00Z", "type": "MULTIPLIER",
                    "multiplier": 0.5, "priority": 1, "applicable_product_tags": ["ai"],
                },
                // It loses everywhere, so it cuts nothing.
                {
                    "starting_at": "2026-03-05T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z", "type": "MULTIPLIER",
                    "multiplier": 0.1, "priority": 2, "applicable_product_tags": ["ai"],
                },
                {
                    "starting_at": "2026-03-09T00:00:00Z", "type": "OVERWRITE",
                    "overwrite_rate": { "rate_type": "FLAT", "price": 7 },
                    "override_specifiers": [{ "product_id": shop.tokens, "pricing_group_values": { "size": "large" } }],
                },
                {
                    "starting_at": "2026-03-01T00:00:00Z", "type": "TIERED", "priority": 1,
                    "tiers": [{ "size": 10, "multiplier": 0.8 }, { "size": 10, "multiplier": 0.7 }],
                    "product_id": shop.storage,
                },
                { "starting_at": "2026-03-10T00:00:00Z", "entitled": true, "product_id": shop.off },
                // Neither changes a whole line.
                {
                    "starting_at": "2026-03-01T00:00:00Z", "type": "MULTIPLIER", "multiplier": 0, "priority": 0.1,
                    "override_specifiers": [{ "presentation_group_values": { "user": "u" } }],
                },
                {
                    "starting_at": "2026-03-01T00:00:00Z", "type": "MULTIPLIER", "multiplier": 0, "priority": 0.1,
                    "is_commit_specific": true,
                },
            ],
        }))
        .await;
    assert_eq!(
        shop.rows(&contract, json!({})).await,
        [
            "Tokens large 2026-03-09.. 300 -> 7",
            "Tokens small 2026-03-01..2026-05-01 100 -> 50",
            "Storage  2026-03-01.. 15@100+@60 -> 10@80+5@70+5@42+@60",
            "Off  2026-03-10.. 5",
        ]
    );
    assert_eq!(
        shop.rows(
            &contract,
            json!({ "at": "2026-03-08T00:00:00Z", "selectors": [{ "product_tags": ["ai"] }] })
        )
        .await,
        ["Tokens large 2026-03-01..2026-03-09 300 -> 150", "Tokens small 2026-03-01..2026-05-01 100 -> 50"]
    );
    let small = json!({ "product_id": shop.tokens, "partial_pricing_group_values": { "size": "small" } });
    assert_eq!(
        shop.rows(&contract, json!({ "at": "2026-05-01T00:00:00Z", "selectors": [small] })).await,
        ["Tokens small 2026-05-01..2026-06-01 100"]
    );
    let off = json!({ "at": "2026-03-09T23:00:00Z", "selectors": [{ "product_id": shop.off }] });
    assert_eq!(shop.data(&contract, off).await, json!([]), "what is not entitled is not shown");
}

#[tokio::test]
async fn a_product_that_a_contract_takes_out_of_sale_is_not_shown() {
    let shop = Shop::new().await;
    let week = json!({
        "starting_at": "2026-03-08T00:00:00Z", "ending_before": "2026-03-15T00:00:00Z", "entitled": false,
        "override_specifiers": [{ "product_id": shop.tokens, "pricing_group_values": { "size": "large" } }],
    });
    let contract = shop.contract(json!({ "overrides": [week] })).await;
    let tokens = |at: &str| json!({ "at": at, "selectors": [{ "product_id": shop.tokens }] });
    assert_eq!(
        shop.rows(&contract, tokens("2026-03-10T00:00:00Z")).await,
        ["Tokens small 2026-03-01..2026-06-01 100"]
    );
    assert_eq!(
        shop.rows(&contract, tokens("2026-03-15T00:00:00Z")).await[0],
        "Tokens large 2026-03-15.. 300"
    );
}

#[tokio::test]
async fn pages_go_on_where_they_ended_and_at_the_same_instant() {
    let shop = Shop::new().await;
    let half = json!({ "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-03-11T00:00:00Z",
                       "type": "MULTIPLIER", "multiplier": number("0.5") });
    let contract = shop.contract(json!({ "overrides": [half] })).await;
    let all = shop.rows(&contract, json!({})).await;
    let (mut next, mut paged) = (String::new(), Vec::new());
    for page in 0.. {
        let path = format!("{SCHEDULE}?limit=1{next}");
        let answer = shop.api.post(&path, shop.body(&contract, json!({}))).await;
        paged.extend(rows(&answer.body["data"]));
        match answer.body["next_page"].as_str() {
            Some(cursor) => next = format!("&next_page={cursor}"),
            None => break,
        }
        assert!(page < 10, "the pages end");
        // The first page was of then, whatever the time is by now.
        shop.api.move_clock(&format!("2026-03-{}T00:00:00Z", 12 + page)).await;
    }
    assert_eq!(paged, all);
    let other = shop.contract(json!({})).await;
    let answer = shop.api.post(&format!("{SCHEDULE}?limit=1"), shop.body(&other, json!({}))).await;
    let cursor = answer.body["next_page"].as_str().expect("more").to_owned();
    let stolen =
        shop.api.post(&format!("{SCHEDULE}?next_page={cursor}"), shop.body(&contract, json!({}))).await;
    stolen.refused(400, &["next_page"]);
}

#[tokio::test]
async fn a_contract_without_a_card_has_no_rates_and_an_unknown_one_is_404() {
    let shop = Shop::new().await;
    let cardless = json!({ "customer_id": shop.customer, "starting_at": "2026-03-01T00:00:00Z" });
    let cardless = shop.api.post("/v1/contracts/create", cardless).await.id();
    assert_eq!(shop.data(&cardless, json!({})).await, json!([]));
    shop.api.post(SCHEDULE, shop.body(NOBODY, json!({}))).await.refused(404, &["contract", NOBODY]);
    let of_nobody = json!({ "customer_id": NOBODY, "contract_id": cardless });
    shop.api.post(SCHEDULE, of_nobody).await.refused(404, &["contract"]);
    let body = shop.body(&cardless, json!({ "at": "noon" }));
    shop.api.post(SCHEDULE, body).await.refused(400, &["at: "]);
}
