//! Rate cards, their aliases and their rates (reference: pricing, sections 4 and 5).

use serde_json::{Value, json};

use crate::support::{Api, Metric, Rates};
use crate::world::{NOW, number, refuse, with, without};

const CREATE: &str = "/v1/contract-pricing/rate-cards/create";
const GET: &str = "/v1/contract-pricing/rate-cards/get";
const ADD_RATE: &str = "/v1/contract-pricing/rate-cards/addRate";
const ADD_RATES: &str = "/v1/contract-pricing/rate-cards/addRates";
const GET_RATES: &str = "/v1/contract-pricing/rate-cards/getRates";

const USD: &str = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";

async fn unit(api: &Api, name: &str) -> String {
    let units = api.get("/v1/credit-types/list").await.data();
    let unit = units.as_array().expect("units").iter().find(|unit| unit["name"] == name).expect("the unit");
    unit["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn pricing_units_are_the_currencies_with_dollars_in_cents() {
    let api = Api::at(NOW).await;
    let units = api.get("/v1/credit-types/list").await.data();
    assert_eq!(units[0], json!({ "id": USD, "name": "USD (cents)", "is_currency": true }));
    assert!(units.as_array().expect("units").iter().all(|unit| unit["is_currency"] == json!(true)));
    let production =
        api.with_token(upbeat::access::EnvironmentKind::Production, upbeat::access::Role::Reader).await;
    assert_eq!(production.get("/v1/credit-types/list").await.data(), units);
}

#[tokio::test]
async fn a_card_is_shown_as_it_was_made() {
    let api = Api::at(NOW).await;
    let euro = unit(&api, "EUR").await;
    let body = json!({
        "name": "Card", "description": "All", "fiat_credit_type_id": euro,
        "credit_type_conversions": [{ "custom_credit_type_id": euro, "fiat_per_custom_credit": 2.50 }],
        "aliases": [{ "name": "std", "starting_at": "2026-01-01T00:00:00Z" }],
    });
    let id = api.post(CREATE, body).await.id();
    let shown = api.post(GET, json!({ "id": id })).await.data();
    let euro = json!({ "id": euro, "name": "EUR" });
    let expected = json!({
        "id": id, "name": "Card", "description": "All", "fiat_credit_type": euro,
        "credit_type_conversions": [{ "custom_credit_type": euro, "fiat_per_custom_credit": "2.5" }],
        "aliases": [{ "name": "std", "starting_at": "2026-01-01T00:00:00Z" }],
        "custom_fields": {}, "created_at": NOW, "created_by": "test token",
    });
    assert_eq!(shown, expected);
    assert_eq!(api.post("/v1/contract-pricing/rate-cards/list", json!({})).await.data(), json!([shown]));
    let plain = api.rate_card().await.card;
    let shown = api.post(GET, json!({ "id": plain })).await.data();
    assert_eq!(shown["fiat_credit_type"], json!({ "id": USD, "name": "USD (cents)" }));
    api.post(GET, json!({ "id": "00000000-0000-4000-8000-000000000000" })).await.refused(404, &["rate card"]);
}

#[tokio::test]
async fn a_card_that_makes_no_sense_is_refused() {
    let api = Api::at(NOW).await;
    let conversion = |unit: &str, price: &str| {
        let conversion = json!({ "custom_credit_type_id": unit, "fiat_per_custom_credit": number(price) });
        json!({ "name": "a", "credit_type_conversions": [conversion] })
    };
    let mut twice = conversion(USD, "1");
    twice["credit_type_conversions"] =
        json!([twice["credit_type_conversions"][0], twice["credit_type_conversions"][0]]);
    let aliases = |aliases: Value| json!({ "name": "a", "aliases": aliases });
    let (one, two) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    let price = "credit_type_conversions[0].fiat_per_custom_credit:";
    refuse(
        &api,
        CREATE,
        vec![
            (json!({ "name": "" }), "name:"),
            (
                json!({ "name": "a", "fiat_credit_type_id": "00000000-0000-4000-8000-000000000000" }),
                "fiat_credit_type_id:",
            ),
            (json!({ "name": "a", "fiat_credit_type_id": "USD" }), "fiat_credit_type_id:"),
            (conversion(USD, "0"), price),
            (conversion(USD, "-1"), price),
            (conversion(USD, "1e400"), price),
            (twice, "credit_type_conversions[1].custom_credit_type_id:"),
            (aliases(json!([{ "name": " " }])), "aliases[0].name:"),
            (aliases(json!([{}])), "aliases[0]: missing field `name`"),
            (
                aliases(json!([{ "name": "x", "starting_at": two, "ending_before": one }])),
                "aliases[0].ending_before:",
            ),
            (
                aliases(json!([{ "name": "x", "starting_at": one, "ending_before": one }])),
                "aliases[0].ending_before:",
            ),
            (aliases(json!([{ "name": "x" }, { "name": "x" }])), "aliases[1]"),
            (
                aliases(json!([{ "name": "x", "starting_at": one }, { "name": "x", "starting_at": two }])),
                "aliases[1]",
            ),
        ],
    )
    .await;
    let touching = json!([
        { "name": "x", "ending_before": one }, { "name": "x", "starting_at": one, "ending_before": two },
        { "name": "x", "starting_at": two }, { "name": "X" },
    ]);
    api.post(CREATE, aliases(touching)).await.id();
}

/// The alias windows of a card as `start..end`.
async fn windows(api: &Api, card: &str) -> Vec<String> {
    let shown = api.post(GET, json!({ "id": card })).await.data();
    let date = |value: &Value| value.as_str().map_or(String::new(), |text| text[..10].to_owned());
    let window =
        |alias: &Value| format!("{}..{}", date(&alias["starting_at"]), date(&alias["ending_before"]));
    shown["aliases"].as_array().expect("aliases").iter().map(window).collect()
}

async fn card_with(api: &Api, start: Option<&str>, end: Option<&str>) -> String {
    let mut alias = json!({ "name": "std" });
    for (field, date) in [("starting_at", start), ("ending_before", end)] {
        if let Some(date) = date {
            alias[field] = json!(format!("{date}T00:00:00Z"));
        }
    }
    api.post(CREATE, json!({ "name": "card", "aliases": [alias] })).await.id()
}

#[tokio::test]
async fn an_alias_is_handed_over_for_the_window_that_is_taken() {
    let api = Api::at(NOW).await;
    let first = card_with(&api, None, None).await;
    assert_eq!(windows(&api, &first).await, [".."]);
    let second = card_with(&api, Some("2026-03-01"), None).await;
    assert_eq!(windows(&api, &first).await, ["..2026-03-01"]);
    let third = card_with(&api, Some("2026-02-01"), Some("2026-04-01")).await;
    assert_eq!(windows(&api, &first).await, ["..2026-02-01"]);
    assert_eq!(windows(&api, &second).await, ["2026-04-01.."]);
    assert_eq!(windows(&api, &third).await, ["2026-02-01..2026-04-01"]);
    let fourth = card_with(&api, Some("2026-02-10"), Some("2026-02-20")).await;
    assert_eq!(windows(&api, &third).await, ["2026-02-01..2026-02-10", "2026-02-20..2026-04-01"]);

    let customer = api.customer("acct").await;
    for (date, card) in [
        ("2025-06-01", &first),
        ("2026-02-01", &third),
        ("2026-02-10", &fourth),
        ("2026-02-20", &third),
        ("2026-04-01", &second),
        ("2030-01-01", &second),
    ] {
        let start = format!("{date}T00:00:00Z");
        let body = json!({ "customer_id": customer, "starting_at": start, "rate_card_alias": "std" });
        let contract = api.post("/v1/contracts/create", body).await.data()["contract"].clone();
        assert_eq!(contract["rate_card_id"], json!(card), "{date}");
    }

    let last = card_with(&api, None, None).await;
    for card in [&first, &second, &third, &fourth] {
        assert!(windows(&api, card).await.is_empty());
    }
    assert_eq!(windows(&api, &last).await, [".."]);
    let contracts = api.post("/v2/contracts/list", json!({ "customer_id": customer })).await.data();
    assert_eq!(contracts[0]["rate_card_id"], json!(first), "a contract stays with its card");
}

/// A card with a product priced by model, and one that is not.
struct Priced {
    api: Api,
    rates: Rates,
    by_model: String,
    plain: String,
}

impl Priced {
    async fn new(body: Value) -> Self {
        let api = Api::at(NOW).await;
        let metric =
            api.metric(Metric { aggregation: "SUM", key: Some("tokens"), groups: &["model", "zone"] }).await;
        let by_model = json!({ "pricing_group_key": ["model", "zone"], "tags": ["ai", "new"] });
        let by_model = api.product("By model", &metric, by_model).await;
        let plain = api.product("Plain", &metric, json!({ "tags": ["old"] })).await;
        let card = api.post(CREATE, body).await.id();
        Self { api, rates: Rates { card }, by_model, plain }
    }

    fn flat(&self) -> Value {
        json!({
            "rate_card_id": self.rates.card, "product_id": self.plain, "starting_at": "2026-01-01T00:00:00Z",
            "entitled": true, "rate_type": "FLAT", "price": 2,
        })
    }

    fn tiered(&self) -> Value {
        let tiers = json!([{ "size": 10, "price": 3 }, { "size": 10, "price": 2 }, { "price": 1 }]);
        with(&with(&without(&self.flat(), "/price"), "/rate_type", json!("TIERED")), "/tiers", tiers)
    }

    fn of_model(&self, model: &str, zone: &str) -> Value {
        let values = json!({ "model": model, "zone": zone });
        with(&with(&self.flat(), "/product_id", json!(self.by_model)), "/pricing_group_values", values)
    }

    async fn rates(&self, more: Value) -> Vec<Value> {
        let mut body = json!({ "rate_card_id": self.rates.card, "at": NOW });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.api.post(GET_RATES, body).await.data().as_array().expect("rates").clone()
    }
}

#[tokio::test]
async fn a_rate_is_answered_as_it_was_added() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let usd = json!({ "id": USD, "name": "USD (cents)" });
    let flat = priced.api.post(ADD_RATE, priced.flat()).await.data();
    assert_eq!(flat, json!({ "rate_type": "FLAT", "price": 2, "credit_type": usd }));
    let tiered = priced.api.post(ADD_RATE, priced.tiered()).await.data();
    let tiers = json!([{ "size": 10, "price": 3 }, { "size": 10, "price": 2 }, { "price": 1 }]);
    assert_eq!(tiered, json!({ "rate_type": "TIERED", "tiers": tiers, "credit_type": usd }));
    let of_model = priced.api.post(ADD_RATE, priced.of_model("a", "b")).await.data();
    assert_eq!(of_model["pricing_group_values"], json!({ "model": "a", "zone": "b" }));
    let quickstart = priced.api.post("/v1/contract-pricing/rate-cards/rates/add", priced.flat()).await.data();
    assert_eq!(quickstart, flat);
}

#[tokio::test]
async fn a_rate_has_the_price_that_its_type_asks_for() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let (flat, tiered) = (priced.flat(), priced.tiered());
    refuse(
        &priced.api,
        ADD_RATE,
        vec![
            (without(&flat, "/price"), "price:"),
            (with(&flat, "/price", json!(null)), "price:"),
            (with(&flat, "/price", json!(-1)), "price:"),
            (with(&flat, "/tiers", json!([{ "price": 1 }])), "tiers:"),
            (without(&tiered, "/tiers"), "tiers:"),
            (with(&tiered, "/tiers", json!([])), "tiers:"),
            (with(&tiered, "/price", json!(1)), "price:"),
            (without(&tiered, "/tiers/0/size"), "tiers[0].size:"),
            (with(&tiered, "/tiers/1/size", json!(null)), "tiers[1].size:"),
            (with(&tiered, "/tiers/1/size", json!(0)), "tiers[1].size:"),
            (with(&tiered, "/tiers/0/size", json!(-5)), "tiers[0].size:"),
            (with(&tiered, "/tiers/2/size", json!(0)), "tiers[2].size:"),
            (with(&tiered, "/tiers/2/price", json!(-1)), "tiers[2].price:"),
            (with(&tiered, "/tiers/0/price", number("1e400")), "tiers[0].price:"),
            (with(&tiered, "/tiers/0/size", number("123456789012345678901234567890")), "tiers[0].size:"),
        ],
    )
    .await;
    let sized = priced.api.post(ADD_RATE, with(&tiered, "/tiers/2/size", json!(7))).await.data();
    assert_eq!(sized["tiers"][2], json!({ "price": 1 }), "the last tier has no end");
    priced.api.post(ADD_RATE, with(&tiered, "/tiers/2/size", json!(null))).await.data();
    priced.api.post(ADD_RATE, with(&flat, "/price", json!(0))).await.data();
    priced.api.post(ADD_RATE, with(&tiered, "/tiers", json!([{ "price": 0 }]))).await.data();
}

#[tokio::test]
async fn pricing_group_values_are_those_of_the_product() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let good = priced.of_model("a", "b");
    refuse(
        &priced.api,
        ADD_RATE,
        vec![
            (without(&good, "/pricing_group_values"), "pricing_group_values:"),
            (with(&good, "/pricing_group_values", json!({})), "pricing_group_values:"),
            (without(&good, "/pricing_group_values/zone"), "pricing_group_values:"),
            (with(&good, "/pricing_group_values/user", json!("x")), "pricing_group_values:"),
            (
                with(&good, "/pricing_group_values", json!({ "model": "a", "Zone": "b" })),
                "pricing_group_values:",
            ),
            (with(&priced.flat(), "/pricing_group_values", json!({ "model": "a" })), "pricing_group_values:"),
        ],
    )
    .await;
    priced.api.post(ADD_RATE, good).await.data();
    priced.api.post(ADD_RATE, with(&priced.flat(), "/pricing_group_values", json!({}))).await.data();
}

#[tokio::test]
async fn a_rate_is_in_the_unit_of_its_card() {
    let api = Api::at(NOW).await;
    let euro = unit(&api, "EUR").await;
    let priced = Priced::new(json!({ "name": "card", "fiat_credit_type_id": euro })).await;
    let flat = priced.flat();
    refuse(
        &priced.api,
        ADD_RATE,
        vec![
            (flat.clone(), "credit_type_id:"),
            (with(&flat, "/credit_type_id", json!(null)), "credit_type_id:"),
            (with(&flat, "/credit_type_id", json!(USD)), "credit_type_id:"),
            (
                with(&flat, "/credit_type_id", json!("00000000-0000-4000-8000-000000000000")),
                "credit_type_id:",
            ),
        ],
    )
    .await;
    let added = priced.api.post(ADD_RATE, with(&flat, "/credit_type_id", json!(euro))).await.data();
    assert_eq!(added["credit_type"], json!({ "id": euro, "name": "EUR" }));
    let dollars = Priced::new(json!({ "name": "card" })).await;
    let in_euro = with(&dollars.flat(), "/credit_type_id", json!(euro));
    refuse(&dollars.api, ADD_RATE, vec![(in_euro, "credit_type_id:")]).await;
    dollars.api.post(ADD_RATE, with(&dollars.flat(), "/credit_type_id", json!(USD))).await.data();
}

#[tokio::test]
async fn a_rate_names_a_card_a_product_and_a_time_that_exist() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let unknown = json!("00000000-0000-4000-8000-000000000000");
    let flat = priced.flat();
    let answer = priced.api.post(ADD_RATE, with(&flat, "/rate_card_id", unknown.clone())).await;
    answer.refused(404, &["rate card"]);
    priced.api.post(ADD_RATE, with(&flat, "/product_id", unknown)).await.refused(404, &["product"]);
    let start = "2026-01-01T00:00:00Z";
    refuse(
        &priced.api,
        ADD_RATE,
        vec![
            (with(&flat, "/ending_before", json!(start)), "ending_before:"),
            (with(&flat, "/ending_before", json!("2025-01-01T00:00:00Z")), "ending_before:"),
        ],
    )
    .await;
    assert!(priced.rates(json!({})).await.is_empty(), "nothing of it was kept");
    priced.api.post(ADD_RATE, with(&flat, "/ending_before", json!(null))).await.data();
}

#[tokio::test]
async fn many_rates_are_added_in_order_or_not_at_all() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let rate = |price: i32| without(&with(&priced.flat(), "/price", json!(price)), "/rate_card_id");
    let many = |rates: Vec<Value>| json!({ "rate_card_id": priced.rates.card, "rates": rates });
    refuse(
        &priced.api,
        ADD_RATES,
        vec![
            (many(vec![]), "rates:"),
            (many(vec![rate(1), rate(-2)]), "rates[1].price:"),
            (
                many(vec![rate(1), with(&rate(2), "/pricing_group_values", json!({ "a": "b" }))]),
                "rates[1].pricing",
            ),
            (
                many(vec![without(&with(&priced.tiered(), "/tiers/0/size", json!(0)), "/rate_card_id")]),
                "rates[0].tiers[0].size:",
            ),
        ],
    )
    .await;
    let unknown = with(&rate(1), "/product_id", json!("00000000-0000-4000-8000-000000000000"));
    priced.api.post(ADD_RATES, many(vec![rate(1), unknown])).await.refused(404, &["product"]);
    assert!(priced.rates(json!({})).await.is_empty());
    let answer = priced.api.post(ADD_RATES, many(vec![rate(1), rate(2), rate(3)])).await.data();
    assert_eq!(answer, json!({ "id": priced.rates.card }));
    let rates = priced.rates(json!({})).await;
    assert_eq!((rates.len(), &rates[0]["rate"]["price"]), (1, &json!(3)), "the last one is in force");
}

#[tokio::test]
async fn rates_are_read_at_an_instant_with_the_bounds_of_their_stretch() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let add = async |start: &str, end: Value, price: i32, entitled: bool| {
        let mut body = with(&priced.flat(), "/starting_at", json!(start));
        body["ending_before"] = end;
        body["price"] = json!(price);
        body["entitled"] = json!(entitled);
        priced.api.post(ADD_RATE, body).await.data();
    };
    add("2026-01-01T00:00:00Z", Value::Null, 1, true).await;
    add("2026-03-01T00:00:00Z", json!("2026-04-01T00:00:00Z"), 2, true).await;
    add("2026-06-01T00:00:00Z", Value::Null, 3, false).await;
    let at = async |at: &str| {
        let rates = priced.rates(json!({ "at": at })).await;
        let text = |value: &Value| value.as_str().map_or(String::new(), |text| text[..10].to_owned());
        let row = |rate: &Value| {
            let (start, end) = (text(&rate["starting_at"]), text(&rate["ending_before"]));
            format!("{start}..{end} {} {}", rate["rate"]["price"], rate["entitled"])
        };
        rates.iter().map(row).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(at("2025-12-31T23:59:59Z").await, "");
    assert_eq!(at("2026-01-01T00:00:00Z").await, "2026-01-01..2026-03-01 1 true");
    assert_eq!(at("2026-03-31T23:59:59Z").await, "2026-03-01..2026-04-01 2 true");
    assert_eq!(at("2026-04-01T00:00:00Z").await, "2026-04-01..2026-06-01 1 true");
    assert_eq!(at("2026-06-01T00:00:00Z").await, "2026-06-01.. 3 false");
}

#[tokio::test]
async fn a_row_of_rates_has_every_field_of_the_reference() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    priced.api.post(ADD_RATE, priced.of_model("large", "fra")).await.data();
    let values = json!({ "model": "large", "zone": "fra" });
    let expected = json!({
        "product_id": priced.by_model, "product_name": "By model", "product_tags": ["ai", "new"],
        "product_custom_fields": {}, "pricing_group_values": values, "starting_at": "2026-01-01T00:00:00Z",
        "entitled": true,
        "rate": {
            "rate_type": "FLAT", "price": 2, "pricing_group_values": values,
            "credit_type": { "id": USD, "name": "USD (cents)" },
        },
    });
    assert_eq!(priced.rates(json!({})).await, [expected]);
}

#[tokio::test]
async fn selectors_are_alternatives_whose_conditions_all_hold() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    priced.api.post(ADD_RATE, priced.flat()).await.data();
    for (model, zone) in [("b", "x"), ("a", "y"), ("a", "x")] {
        priced.api.post(ADD_RATE, priced.of_model(model, zone)).await.data();
    }
    let found = async |selectors: Value| {
        let rates = priced.rates(json!({ "selectors": selectors })).await;
        let name = |rate: &Value| match rate["pricing_group_values"].as_object() {
            Some(values) => values.values().filter_map(Value::as_str).collect::<Vec<_>>().concat(),
            None => "plain".to_owned(),
        };
        rates.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    let (plain, by_model) = (&priced.plain, &priced.by_model);
    for (selectors, expected) in [
        (json!([]), "plain ax ay bx"),
        (json!([{}]), "plain ax ay bx"),
        (json!([{ "product_id": plain }]), "plain"),
        (json!([{ "product_id": "00000000-0000-4000-8000-000000000000" }]), ""),
        (json!([{ "product_tags": ["new", "none"] }]), "ax ay bx"),
        (json!([{ "product_tags": [] }]), ""),
        (json!([{ "pricing_group_values": { "model": "a", "zone": "x" } }]), "ax"),
        (json!([{ "pricing_group_values": { "model": "a" } }]), ""),
        (json!([{ "partial_pricing_group_values": { "model": "a" } }]), "ax ay"),
        (json!([{ "partial_pricing_group_values": { "model": "A" } }]), ""),
        (json!([{ "partial_pricing_group_values": { "model": "a", "zone": "y" } }]), "ay"),
        (json!([{ "product_id": plain, "product_tags": ["ai"] }]), ""),
        (json!([{ "product_id": by_model, "partial_pricing_group_values": { "zone": "y" } }]), "ay"),
        (json!([{ "product_id": plain }, { "partial_pricing_group_values": { "model": "b" } }]), "plain bx"),
        (json!([{ "billing_frequency": "MONTHLY" }]), ""),
    ] {
        assert_eq!(found(selectors.clone()).await, expected, "{selectors}");
    }
    refuse(
        &priced.api,
        GET_RATES,
        vec![
            (json!({ "rate_card_id": priced.rates.card }), "`at`"),
            (json!({ "at": NOW }), "`rate_card_id`"),
            (
                json!({ "rate_card_id": priced.rates.card, "at": NOW, "selectors": [{}, { "product_id": "x" }] }),
                "selectors[1].product_id:",
            ),
        ],
    )
    .await;
    let unknown = json!({ "rate_card_id": "00000000-0000-4000-8000-000000000000", "at": NOW });
    priced.api.post(GET_RATES, unknown).await.refused(404, &["rate card"]);
}
