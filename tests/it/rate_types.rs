//! Rates of every type, for every type of product (reference: pricing, sections 5.1 to 5.3, 5.6 and 7.1).

use serde_json::{Value, json};

use crate::support::{Api, Metric};
use crate::world::{NOW, number, refuse, with, without};

const CREATE_CARD: &str = "/v1/contract-pricing/rate-cards/create";
const CREATE_PRODUCT: &str = "/v1/contract-pricing/products/create";
const ADD_RATE: &str = "/v1/contract-pricing/rate-cards/addRate";
const ADD_RATES: &str = "/v1/contract-pricing/rate-cards/addRates";
const GET_RATES: &str = "/v1/contract-pricing/rate-cards/getRates";
const GET_SCHEDULE: &str = "/v1/contract-pricing/rate-cards/getRateSchedule";
const MOVE: &str = "/v1/contract-pricing/rate-cards/moveRateCardProducts";
const SET_ORDER: &str = "/v1/contract-pricing/rate-cards/setRateCardProductsOrder";
const USD: &str = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";

/// A card, and a product of each type that it may price.
struct Shop {
    api: Api,
    card: String,
    usage: String,
    seat: String,
    support: String,
}

impl Shop {
    async fn new(card: Value) -> Self {
        let api = Api::at(NOW).await;
        let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
        let usage = api.product("Calls", &metric, json!({ "tags": ["ai"] })).await;
        let create = async |name: &str, kind: &str, more: Value| {
            let mut body = json!({ "name": name, "type": kind });
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            api.post(CREATE_PRODUCT, body).await.id()
        };
        let seat = create("Seat", "SUBSCRIPTION", json!({ "tags": ["people"] })).await;
        let support = create("Support", "COMPOSITE", json!({ "composite_tags": ["ai"] })).await;
        let card = api.post(CREATE_CARD, card).await.id();
        Self { api, card, usage, seat, support }
    }

    fn rate(&self, product: &str, more: Value) -> Value {
        let mut body = json!({
            "rate_card_id": self.card, "product_id": product, "starting_at": "2026-01-01T00:00:00Z", "entitled": true,
        });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    }

    fn flat(&self) -> Value {
        self.rate(&self.usage, json!({ "rate_type": "FLAT", "price": 5 }))
    }

    fn seat(&self, frequency: &str, price: i64) -> Value {
        self.rate(&self.seat, json!({ "rate_type": "FLAT", "price": price, "billing_frequency": frequency }))
    }

    fn legacy(&self) -> Value {
        let terms =
            json!({ "rate_type": "SUBSCRIPTION", "price": 900, "quantity": 2.5, "is_prorated": true });
        self.rate(&self.seat, terms)
    }

    fn percentage(&self, fraction: &str) -> Value {
        self.rate(&self.support, json!({ "rate_type": "PERCENTAGE", "price": number(fraction) }))
    }

    fn tiered_percentage(&self) -> Value {
        let tiers = json!([{ "size": 1_000_000, "price": 0.10 }, { "price": 0.05 }]);
        self.rate(&self.support, json!({ "rate_type": "TIERED_PERCENTAGE", "tiers": tiers }))
    }

    async fn add(&self, rate: Value) -> Value {
        self.api.post(ADD_RATE, rate).await.data()
    }

    async fn rates(&self, selectors: Value) -> Vec<Value> {
        let body = json!({ "rate_card_id": self.card, "at": NOW, "selectors": selectors });
        self.api.post(GET_RATES, body).await.data().as_array().expect("rates").clone()
    }
}

#[tokio::test]
async fn every_type_of_rate_is_answered_and_read_as_it_was_added() {
    let shop = Shop::new(json!({ "name": "card" })).await;
    let usd = json!({ "id": USD, "name": "USD (cents)" });
    let tiers = json!([{ "size": 10, "price": 3 }, { "price": 1 }]);
    let shown = |rate: Value| {
        let mut rate = rate;
        rate["credit_type"] = usd.clone();
        rate
    };
    let minimum = json!({ "minimum_config": { "minimum": 500.25 } });
    for (rate, expected) in [
        (shop.flat(), shown(json!({ "rate_type": "FLAT", "price": 5 }))),
        (
            with(
                &with(&without(&shop.flat(), "/price"), "/rate_type", json!("tiered")),
                "/tiers",
                tiers.clone(),
            ),
            shown(json!({ "rate_type": "TIERED", "tiers": tiers })),
        ),
        (shop.seat("monthly", 2000), shown(json!({ "rate_type": "FLAT", "price": 2000 }))),
        (
            shop.legacy(),
            shown(json!({ "rate_type": "SUBSCRIPTION", "price": 900, "quantity": 2.5, "is_prorated": true })),
        ),
        (shop.percentage("0.1"), shown(json!({ "rate_type": "PERCENTAGE", "price": 0.1 }))),
        (shop.percentage("1.5"), shown(json!({ "rate_type": "PERCENTAGE", "price": 1.5 }))),
        (shop.percentage("0"), shown(json!({ "rate_type": "PERCENTAGE", "price": 0 }))),
        (
            with(&shop.percentage("0.1"), "/minimum_config", minimum["minimum_config"].clone()),
            shown(
                json!({ "rate_type": "PERCENTAGE", "price": 0.1, "minimum_config": { "minimum": 500.25 } }),
            ),
        ),
        (
            with(&shop.percentage("0.1"), "/use_list_prices", json!(true)),
            shown(json!({ "rate_type": "PERCENTAGE", "price": 0.1, "use_list_prices": true })),
        ),
        (
            with(&shop.percentage("0.1"), "/use_list_prices", json!(false)),
            shown(json!({ "rate_type": "PERCENTAGE", "price": 0.1 })),
        ),
        (
            with(&shop.tiered_percentage(), "/minimum_config", json!({ "minimum": 0 })),
            shown(json!({
                "rate_type": "TIERED_PERCENTAGE", "tiers": [{ "size": 1_000_000, "price": 0.1 }, { "price": 0.05 }],
                "minimum_config": { "minimum": 0 },
            })),
        ),
        (
            with(
                &with(&shop.tiered_percentage(), "/use_list_prices", json!(true)),
                "/tiers/1/size",
                json!(3),
            ),
            shown(json!({
                "rate_type": "TIERED_PERCENTAGE", "tiers": [{ "size": 1_000_000, "price": 0.1 }, { "price": 0.05 }],
                "use_list_prices": true,
            })),
        ),
    ] {
        assert_eq!(shop.add(rate.clone()).await, expected, "{rate}");
        let product = rate["product_id"].clone();
        let rows = shop.rates(json!([{ "product_id": product }])).await;
        let is_flat_seat = rate.get("billing_frequency").is_some();
        let row = rows.iter().find(|row| row.get("billing_frequency").is_some() == is_flat_seat);
        let row = row.expect("the rate");
        assert_eq!(row["rate"], expected, "{rate}");
        assert_eq!(row.get("billing_frequency"), is_flat_seat.then_some(&json!("MONTHLY")));
        assert!(row.get("commit_rate").is_none());
    }
}

#[tokio::test]
async fn a_type_of_product_has_its_types_of_rates_and_no_other() {
    let shop = Shop::new(json!({ "name": "card" })).await;
    let tiers = json!([{ "price": 1 }]);
    let types = [
        ("FLAT", json!({ "price": 1 })),
        ("TIERED", json!({ "tiers": tiers })),
        ("PERCENTAGE", json!({ "price": 1 })),
        ("TIERED_PERCENTAGE", json!({ "tiers": tiers })),
        ("SUBSCRIPTION", json!({ "price": 1, "quantity": 1, "is_prorated": true })),
    ];
    for (product, name, allowed) in [
        (&shop.usage, "USAGE", ["FLAT", "TIERED"]),
        (&shop.seat, "SUBSCRIPTION", ["FLAT", "SUBSCRIPTION"]),
        (&shop.support, "COMPOSITE", ["PERCENTAGE", "TIERED_PERCENTAGE"]),
    ] {
        for (rate_type, terms) in &types {
            let mut rate =
                with(&shop.rate(product, terms.clone()), "/rate_type", json!(rate_type.to_lowercase()));
            if name == "SUBSCRIPTION" && *rate_type == "FLAT" {
                rate["billing_frequency"] = json!("WEEKLY");
            }
            if allowed.contains(rate_type) {
                shop.add(rate).await;
                continue;
            }
            let part =
                format!("rate_type: {rate_type} is not for a {name} product; {} are", allowed.join(" and "));
            refuse(&shop.api, ADD_RATE, vec![(rate.clone(), &part)]).await;
            let many = json!({ "rate_card_id": shop.card, "rates": [shop.flat(), rate] });
            refuse(&shop.api, ADD_RATES, vec![(many, &format!("rates[1].{part}"))]).await;
        }
    }
    for (kind, name) in [("FIXED", "FIXED"), ("PROFESSIONAL_SERVICE", "PRO_SERVICE")] {
        let product = shop.api.post(CREATE_PRODUCT, json!({ "name": "a", "type": kind })).await.id();
        for (rate_type, terms) in &types {
            let rate = with(&shop.rate(&product, terms.clone()), "/rate_type", json!(rate_type));
            let part = format!("product_id: a {name} product has no rates; contracts price it");
            refuse(&shop.api, ADD_RATE, vec![(rate, &part)]).await;
        }
    }
}

#[tokio::test]
async fn a_field_of_another_type_of_rate_is_refused_by_name() {
    let shop = Shop::new(json!({ "name": "card" })).await;
    let (flat, seat, legacy) = (shop.flat(), shop.seat("MONTHLY", 5), shop.legacy());
    let (percentage, tiered) = (shop.percentage("0.1"), shop.tiered_percentage());
    let minimum = json!({ "minimum": 1 });
    let commit = json!({ "rate_type": "FLAT", "price": 1 });
    let alone = without(&with(&flat, "/commit_rate", commit.clone()), "/rate_type");
    shop.api.post(ADD_RATE, alone).await.refused(400, &["missing field `rate_type`"]);
    let cases = vec![
        (
            with(&flat, "/billing_frequency", json!("MONTHLY")),
            "billing_frequency: is only for a FLAT rate of a SUB",
        ),
        (with(&legacy, "/billing_frequency", json!("MONTHLY")), "billing_frequency: is only"),
        (with(&percentage, "/billing_frequency", json!("MONTHLY")), "billing_frequency: is only"),
        (
            without(&seat, "/billing_frequency"),
            "billing_frequency: is required for a FLAT rate of a SUBSCRIPTION",
        ),
        (with(&seat, "/billing_frequency", json!(null)), "billing_frequency: is required"),
        (with(&seat, "/billing_frequency", json!("DAILY")), "billing_frequency:"),
        (with(&flat, "/quantity", json!(1)), "quantity: is not for FLAT, only for SUBSCRIPTION"),
        (with(&seat, "/quantity", json!(0)), "quantity: is not for FLAT"),
        (with(&percentage, "/quantity", json!(1)), "quantity: is not for PERCENTAGE"),
        (with(&flat, "/is_prorated", json!(true)), "is_prorated: is not for FLAT, only for SUBSCRIPTION"),
        (with(&tiered, "/is_prorated", json!(false)), "is_prorated: is not for TIERED_PERCENTAGE"),
        (
            with(&flat, "/minimum_config", minimum.clone()),
            "minimum_config: is not for FLAT, only for PERCENTAGE and",
        ),
        (with(&seat, "/minimum_config", minimum.clone()), "minimum_config: is not for FLAT"),
        (with(&legacy, "/minimum_config", minimum), "minimum_config: is not for SUBSCRIPTION"),
        (with(&flat, "/use_list_prices", json!(true)), "use_list_prices: is not for FLAT"),
        (with(&legacy, "/use_list_prices", json!(true)), "use_list_prices: is not for SUBSCRIPTION"),
        (without(&with(&flat, "/commit_rate", commit.clone()), "/price"), "price: "),
        (with(&seat, "/commit_rate", commit.clone()), "commit_rate: is only for USAGE products"),
        (with(&legacy, "/commit_rate", commit.clone()), "commit_rate: is only for USAGE products"),
        (
            with(&percentage, "/commit_rate", commit),
            "commit_rate: is only for USAGE products, not for COMPOSITE",
        ),
        (
            with(&percentage, "/pricing_group_values", json!({ "a": "b" })),
            "pricing_group_values: the product has no",
        ),
        (
            with(&seat, "/pricing_group_values", json!({ "a": "b" })),
            "pricing_group_values: the product has no",
        ),
    ];
    let many = cases.iter().map(|(rate, part)| {
        let body =
            json!({ "rate_card_id": shop.card, "rates": [shop.flat(), without(rate, "/rate_card_id")] });
        (body, format!("rates[1].{part}"))
    });
    let many: Vec<(Value, String)> = many.collect();
    refuse(&shop.api, ADD_RATE, cases).await;
    refuse(&shop.api, ADD_RATES, many.iter().map(|(body, part)| (body.clone(), part.as_str())).collect())
        .await;
    assert!(shop.rates(json!([])).await.is_empty());
    shop.add(with(&flat, "/use_list_prices", json!(false))).await;
}

#[tokio::test]
async fn shares_of_spend_have_a_price_or_tiers_that_make_sense() {
    let shop = Shop::new(json!({ "name": "card" })).await;
    let (percentage, tiered) = (shop.percentage("0.1"), shop.tiered_percentage());
    let minimum = |text: &str| with(&percentage, "/minimum_config", json!({ "minimum": number(text) }));
    refuse(
        &shop.api,
        ADD_RATE,
        vec![
            (without(&percentage, "/price"), "price: is required for PERCENTAGE"),
            (with(&percentage, "/price", json!(-0.1)), "price: must not be negative"),
            (with(&percentage, "/price", json!("10%")), "price:"),
            (with(&percentage, "/tiers", json!([{ "price": 1 }])), "tiers: are not for PERCENTAGE"),
            (minimum("-0.01"), "minimum_config.minimum: must not be negative"),
            (minimum("1e400"), "minimum_config.minimum:"),
            (with(&percentage, "/minimum_config", json!({})), "minimum_config"),
            (with(&percentage, "/minimum_config", json!(5)), "minimum_config"),
            (without(&tiered, "/tiers"), "tiers: are required for TIERED_PERCENTAGE"),
            (with(&tiered, "/tiers", json!([])), "tiers: must not be empty"),
            (with(&tiered, "/price", json!(1)), "price: is not for TIERED_PERCENTAGE"),
            (without(&tiered, "/tiers/0/size"), "tiers[0].size: is required"),
            (with(&tiered, "/tiers/0/size", json!(0)), "tiers[0].size: must be greater than 0"),
            (with(&tiered, "/tiers/1/price", json!(-1)), "tiers[1].price: must not be negative"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_legacy_subscription_has_a_price_a_quantity_and_proration() {
    let shop = Shop::new(json!({ "name": "card" })).await;
    let legacy = shop.legacy();
    refuse(
        &shop.api,
        ADD_RATE,
        vec![
            (without(&legacy, "/price"), "price: is required for SUBSCRIPTION"),
            (with(&legacy, "/price", json!(-1)), "price: must not be negative"),
            (with(&legacy, "/tiers", json!([{ "price": 1 }])), "tiers: are not for SUBSCRIPTION"),
            (without(&legacy, "/quantity"), "quantity: is required for SUBSCRIPTION"),
            (with(&legacy, "/quantity", json!(-1)), "quantity: must not be negative"),
            (without(&legacy, "/is_prorated"), "is_prorated: must be true for SUBSCRIPTION"),
            (with(&legacy, "/is_prorated", json!(false)), "is_prorated: must be true for SUBSCRIPTION"),
        ],
    )
    .await;
    shop.add(with(&legacy, "/quantity", json!(0))).await;
}

#[tokio::test]
async fn a_commit_rate_is_flat_or_tiered_beside_any_list_rate_of_usage() {
    let shop = Shop::new(json!({ "name": "card" })).await;
    let flat = shop.flat();
    let (of_80, tiers) =
        (json!({ "rate_type": "FLAT", "price": 4 }), json!([{ "size": 5, "price": 2 }, { "price": 1 }]));
    let tiered = json!({ "rate_type": "TIERED", "tiers": tiers });
    let with_commit = |commit: &Value| with(&flat, "/commit_rate", commit.clone());
    refuse(
        &shop.api,
        ADD_RATE,
        vec![
            (with_commit(&json!({})), "commit_rate: missing field `rate_type`"),
            (with_commit(&json!({ "price": 4 })), "commit_rate: missing field `rate_type`"),
            (with_commit(&json!(4)), "commit_rate:"),
            (with_commit(&json!({ "rate_type": "FLAT" })), "commit_rate.price: is required for FLAT"),
            (with_commit(&with(&of_80, "/price", json!(-1))), "commit_rate.price: must not be negative"),
            (with_commit(&with(&of_80, "/tiers", tiers.clone())), "commit_rate.tiers: are not for FLAT"),
            (with_commit(&without(&tiered, "/tiers")), "commit_rate.tiers: are required for TIERED"),
            (
                with_commit(&with(&tiered, "/tiers/0/size", json!(0))),
                "commit_rate.tiers[0].size: must be greater",
            ),
            (with_commit(&with(&tiered, "/price", json!(1))), "commit_rate.price: is not for TIERED"),
            (
                with_commit(&json!({ "rate_type": "PERCENTAGE", "price": 0.5 })),
                "commit_rate.rate_type: a commit rate is FLAT or TIERED",
            ),
            (
                with_commit(&json!({ "rate_type": "SUBSCRIPTION", "price": 1 })),
                "commit_rate.rate_type: a commit",
            ),
            (with_commit(&json!({ "rate_type": "TIERED_PERCENTAGE" })), "commit_rate.rate_type: a commit"),
            (
                with_commit(&json!({ "rate_type": "CUSTOM" })),
                "commit_rate.rate_type: `CUSTOM` is not supported",
            ),
            (
                with_commit(&with(&of_80, "/minimum_config", json!({ "minimum": 1 }))),
                "commit_rate.minimum_config: is not for FLAT",
            ),
        ],
    )
    .await;
    let in_many = json!({
        "rate_card_id": shop.card, "rates": [without(&with_commit(&json!({ "rate_type": "FLAT" })), "/rate_card_id")],
    });
    refuse(&shop.api, ADD_RATES, vec![(in_many, "rates[0].commit_rate.price:")]).await;
    assert!(shop.rates(json!([])).await.is_empty());

    let usd = json!({ "id": USD, "name": "USD (cents)" });
    let list_tiers = json!([{ "size": 10, "price": 3 }, { "price": 1 }]);
    let list_tiered =
        with(&with(&without(&flat, "/price"), "/rate_type", json!("TIERED")), "/tiers", list_tiers.clone());
    for (list, list_shown) in [
        (&flat, json!({ "rate_type": "FLAT", "price": 5, "credit_type": usd })),
        (&list_tiered, json!({ "rate_type": "TIERED", "tiers": list_tiers, "credit_type": usd })),
    ] {
        for commit in [&of_80, &tiered] {
            let added = shop.add(with(list, "/commit_rate", commit.clone())).await;
            assert_eq!(added, with(&list_shown, "/commit_rate", commit.clone()));
            let rows = shop.rates(json!([])).await;
            assert_eq!((&rows[0]["rate"], &rows[0]["commit_rate"]), (&list_shown, commit));
        }
    }
    let sized = with(&flat, "/commit_rate", with(&tiered, "/tiers/1/size", json!(9)));
    assert_eq!(shop.add(sized).await["commit_rate"], tiered, "the last tier has no end");
    shop.add(flat).await;
    assert!(shop.rates(json!([])).await[0].get("commit_rate").is_none(), "an entry is the whole rate");
}

#[tokio::test]
async fn each_billing_frequency_has_a_timeline_of_its_own() {
    let shop = Shop::new(json!({ "name": "card" })).await;
    for (frequency, price) in [("annual", 20_000), ("WEEKLY", 600), ("Monthly", 2_000), ("quarterly", 5_500)]
    {
        shop.add(shop.seat(frequency, price)).await;
    }
    // The frequency of one documentation page, for what the API calls ANNUAL.
    shop.add(shop.seat("yearly", 21_000)).await;
    let june = with(&shop.seat("MONTHLY", 2_500), "/starting_at", json!("2026-06-01T00:00:00Z"));
    shop.add(june).await;
    shop.add(shop.legacy()).await;
    shop.add(shop.flat()).await;
    let row = |row: &Value| {
        let frequency = row["billing_frequency"].as_str().unwrap_or("-");
        format!("{} {frequency} {}", row["product_name"].as_str().expect("a name"), row["rate"]["price"])
    };
    let found = async |selectors: Value| shop.rates(selectors).await.iter().map(row).collect::<Vec<_>>();
    let all = [
        "Seat - 900",
        "Seat MONTHLY 2000",
        "Seat QUARTERLY 5500",
        "Seat ANNUAL 21000",
        "Seat WEEKLY 600",
        "Calls - 5",
    ];
    assert_eq!(found(json!([])).await, all);
    for spelling in ["MONTHLY", "Monthly", "monthly"] {
        assert_eq!(found(json!([{ "billing_frequency": spelling }])).await, all[1..2]);
    }
    for (selectors, expected) in [
        (json!([{ "billing_frequency": "annual" }, { "billing_frequency": "Weekly" }]), vec![all[3], all[4]]),
        (json!([{ "billing_frequency": "QUARTERLY", "product_id": shop.usage }]), vec![]),
        (json!([{ "billing_frequency": "QUARTERLY", "product_tags": ["people", "x"] }]), vec![all[2]]),
        (json!([{ "billing_frequency": "QUARTERLY", "pricing_group_values": {} }]), vec![all[2]]),
        (json!([{ "billing_frequency": "QUARTERLY", "partial_pricing_group_values": { "a": "b" } }]), vec![]),
        (json!([{ "billing_frequency": null, "product_id": shop.seat }]), all[..5].to_vec()),
    ] {
        assert_eq!(found(selectors.clone()).await, expected, "{selectors}");
    }
    let schedule = async |selectors: Value, limit: usize| {
        let body = json!({ "rate_card_id": shop.card, "starting_at": NOW, "selectors": selectors });
        let (mut rows, mut query) = (Vec::new(), format!("?limit={limit}"));
        loop {
            let page = shop.api.post(&format!("{GET_SCHEDULE}{query}"), body.clone()).await;
            rows.extend(page.body["data"].as_array().expect("rows").iter().map(row));
            match page.body["next_page"].as_str() {
                Some(next) => query = format!("?limit={limit}&next_page={next}"),
                None => return rows,
            }
        }
    };
    let mut over_time: Vec<&str> = all.to_vec();
    over_time.insert(2, "Seat MONTHLY 2500");
    for limit in [1, 2, 100] {
        assert_eq!(schedule(json!([]), limit).await, over_time, "by {limit}");
    }
    assert_eq!(schedule(json!([{ "billing_frequency": "monthly" }]), 1).await, over_time[1..3]);
    let page = json!({ "rate_card_id": shop.card, "at": NOW });
    let first = shop.api.post(&format!("{GET_RATES}?limit=2"), page.clone()).await;
    let next = first.body["next_page"].as_str().expect("more").to_owned();
    let second = shop.api.post(&format!("{GET_RATES}?limit=2&next_page={next}"), page).await.data();
    assert_eq!(second.as_array().expect("rates").iter().map(row).collect::<Vec<_>>(), all[2..4]);
}

#[tokio::test]
async fn what_is_not_entitled_is_read_with_the_rest() {
    let shop = Shop::new(json!({ "name": "card" })).await;
    for rate in [shop.seat("MONTHLY", 1), shop.percentage("0.2"), shop.flat()] {
        shop.add(with(&rate, "/entitled", json!(false))).await;
    }
    let entitled: Vec<Value> =
        shop.rates(json!([])).await.iter().map(|row| row["entitled"].clone()).collect();
    assert_eq!(entitled, [json!(false), json!(false), json!(false)]);
}

#[tokio::test]
async fn shares_of_spend_take_no_unit_and_the_rest_that_of_the_card() {
    let api = Api::at(NOW).await;
    let units = api.get("/v1/credit-types/list").await.data();
    let euro = units.as_array().expect("units").iter().find(|unit| unit["name"] == "EUR").expect("the euro")
        ["id"]
        .clone();
    let shop = Shop::new(json!({ "name": "card", "fiat_credit_type_id": euro })).await;
    let in_euro = json!({ "id": euro, "name": "EUR" });
    for unit in [json!(null), json!(USD), euro.clone(), json!("00000000-0000-4000-8000-000000000000")] {
        for rate in [shop.percentage("0.1"), shop.tiered_percentage()] {
            assert_eq!(shop.add(with(&rate, "/credit_type_id", unit.clone())).await["credit_type"], in_euro);
        }
    }
    for rate in [shop.seat("MONTHLY", 5), shop.legacy()] {
        let part = "credit_type_id: must be";
        refuse(
            &shop.api,
            ADD_RATE,
            vec![(rate.clone(), part), (with(&rate, "/credit_type_id", json!(USD)), part)],
        )
        .await;
        assert_eq!(shop.add(with(&rate, "/credit_type_id", euro.clone())).await["credit_type"], in_euro);
    }
}

#[tokio::test]
async fn a_product_keeps_the_unit_of_its_first_rate_on_a_card() {
    let shop = Shop::new(json!({ "name": "card" })).await;
    let api = &shop.api;
    let [credits, tokens, gone] = ["credits", "tokens", "gone"].map(|name| json!({ "name": name }));
    let (credits, tokens, gone) = (
        api.post("/v1/credit-types/create", credits).await.id(),
        api.post("/v1/credit-types/create", tokens).await.id(),
        api.post("/v1/credit-types/create", gone).await.id(),
    );
    let converted =
        [&credits, &gone].map(|unit| json!({ "custom_credit_type_id": unit, "fiat_per_custom_credit": 2 }));
    let update = json!({ "rate_card_id": shop.card, "add_credit_type_conversions": converted });
    api.post("/v1/contract-pricing/rate-cards/update", update).await.id();
    let part = "credit_type_id: must be";
    let in_unit = |rate: Value, unit: &str| with(&rate, "/credit_type_id", json!(unit));

    refuse(api, ADD_RATE, vec![(in_unit(shop.flat(), &tokens), part)]).await;
    let shown = json!({ "id": credits, "name": "credits" });
    assert_eq!(shop.add(in_unit(shop.flat(), &credits)).await["credit_type"], shown);
    let later = with(&shop.flat(), "/starting_at", json!("2026-06-01T00:00:00Z"));
    let other = format!("credit_type_id: must be {credits} (credits), the unit of the product's other rates");
    refuse(
        api,
        ADD_RATE,
        vec![
            (later.clone(), &other),
            (in_unit(later.clone(), USD), &other),
            (in_unit(later.clone(), &gone), &other),
        ],
    )
    .await;
    shop.add(in_unit(later, &credits)).await;

    // Within one request too, and each product by itself.
    let seat = |unit: &str| without(&in_unit(shop.seat("MONTHLY", 5), unit), "/rate_card_id");
    let many = |rates: Value| json!({ "rate_card_id": shop.card, "rates": rates });
    let part = format!(
        "rates[1].credit_type_id: must be {USD} (USD (cents)), the unit of the product's other rates"
    );
    refuse(api, ADD_RATES, vec![(many(json!([seat(USD), seat(&credits)])), &part)]).await;
    api.post(ADD_RATES, many(json!([seat(&credits), seat(&credits)]))).await.id();
    shop.add(in_unit(shop.legacy(), &credits)).await;
    let commit = json!({ "rate_type": "FLAT", "price": 1 });
    shop.add(with(&in_unit(shop.flat(), &credits), "/commit_rate", commit)).await;
    shop.add(in_unit(shop.percentage("0.1"), &tokens)).await;
    let shown: Vec<Value> =
        shop.rates(json!([])).await.iter().map(|row| row["rate"]["credit_type"]["name"].clone()).collect();
    assert_eq!(shown, [json!("credits"), json!("credits"), json!("credits"), json!("USD (cents)")]);

    // On another card the same product has another unit; an archived unit takes no new rate and keeps what it has.
    let card = api.post(CREATE_CARD, json!({ "name": "dollars" })).await.id();
    shop.add(with(&shop.flat(), "/rate_card_id", json!(card))).await;
    api.post("/v1/credit-types/archive", json!({ "id": credits })).await.id();
    refuse(api, ADD_RATE, vec![(in_unit(shop.flat(), &credits), "credit_type_id: ")]).await;
    refuse(api, ADD_RATE, vec![(shop.flat(), &other)]).await;
    assert_eq!(
        shop.rates(json!([{ "product_id": shop.usage }])).await[0]["rate"]["credit_type"]["name"],
        "credits"
    );
}

#[tokio::test]
async fn products_of_every_type_have_a_place_on_the_card() {
    let shop = Shop::new(json!({ "name": "card" })).await;
    let many = [shop.flat(), shop.percentage("0.1"), shop.seat("MONTHLY", 1)];
    let many: Vec<Value> = many.iter().map(|rate| without(rate, "/rate_card_id")).collect();
    shop.api.post(ADD_RATES, json!({ "rate_card_id": shop.card, "rates": many })).await.id();
    shop.add(shop.seat("ANNUAL", 9)).await;
    let order = async || {
        let rows = shop.rates(json!([])).await;
        let names: Vec<String> =
            rows.iter().map(|row| row["product_name"].as_str().expect("a name").to_owned()).collect();
        names.join(" ")
    };
    assert_eq!(order().await, "Calls Support Seat Seat");
    let moves =
        json!([{ "product_id": shop.seat, "position": 0 }, { "product_id": shop.usage, "position": 9 }]);
    shop.api.post(MOVE, json!({ "rate_card_id": shop.card, "product_moves": moves })).await.id();
    assert_eq!(order().await, "Seat Seat Support Calls");
    let set = json!({ "rate_card_id": shop.card, "product_order": [shop.support] });
    shop.api.post(SET_ORDER, set).await.id();
    assert_eq!(order().await, "Support Seat Seat Calls");
}
