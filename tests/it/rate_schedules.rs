//! A card's rates over time, and many rates at once (reference: pricing, sections 5.1, 5.4 and 5.6).

use serde_json::{Value, json};

use crate::rate_cards::Priced;
use crate::support::Api;
use crate::world::{NOW, refuse, with, without};

const ADD_RATE: &str = "/v1/contract-pricing/rate-cards/addRate";
const ADD_RATES: &str = "/v1/contract-pricing/rate-cards/addRates";
const GET_RATES: &str = "/v1/contract-pricing/rate-cards/getRates";
const GET_SCHEDULE: &str = "/v1/contract-pricing/rate-cards/getRateSchedule";
const SET_ORDER: &str = "/v1/contract-pricing/rate-cards/setRateCardProductsOrder";

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

fn day(date: &str) -> String {
    format!("{date}T00:00:00Z")
}

impl Priced {
    /// Adds a rate of `body` for a window of days; without an end where `to` is empty.
    async fn add(&self, body: Value, from: &str, to: &str, price: i32) {
        let mut body = with(&with(&body, "/starting_at", json!(day(from))), "/price", json!(price));
        if !to.is_empty() {
            body["ending_before"] = json!(day(to));
        }
        self.api.post(ADD_RATE, body).await.data();
    }

    /// The rows of a schedule as `name values start..end price`, with a `-` where it is not entitled.
    async fn schedule(&self, more: Value) -> Vec<String> {
        let mut body = json!({ "rate_card_id": self.rates.card, "starting_at": day("2026-01-01") });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        rows(&self.api.post(GET_SCHEDULE, body).await.data())
    }
}

fn rows(rates: &Value) -> Vec<String> {
    let shown = |value: &Value| value.as_str().map_or(String::new(), |text| text[..10].to_owned());
    let row = |rate: &Value| {
        let values = rate["pricing_group_values"].as_object();
        let values: String =
            values.into_iter().flat_map(|values| values.values().filter_map(Value::as_str)).collect();
        format!(
            "{} {values} {}..{} {}{}",
            rate["product_name"].as_str().expect("a name"),
            shown(&rate["starting_at"]),
            shown(&rate["ending_before"]),
            if rate["entitled"] == json!(false) { "-" } else { "" },
            rate["rate"]["price"],
        )
    };
    rates.as_array().expect("rows").iter().map(row).collect()
}

#[tokio::test]
async fn a_schedule_has_every_stretch_in_its_window_with_its_own_bounds() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    priced.add(priced.flat(), "2026-01-01", "", 1).await;
    priced.add(priced.flat(), "2026-03-01", "2026-04-01", 2).await;
    priced.add(with(&priced.flat(), "/entitled", json!(false)), "2026-06-01", "2026-07-01", 3).await;
    priced.add(priced.flat(), "2026-09-01", "", 9).await;
    priced.add(priced.flat(), "2026-09-01", "", 4).await;
    let all = [
        "Plain  2026-01-01..2026-03-01 1",
        "Plain  2026-03-01..2026-04-01 2",
        "Plain  2026-04-01..2026-06-01 1",
        "Plain  2026-06-01..2026-07-01 -3",
        "Plain  2026-07-01..2026-09-01 1",
        "Plain  2026-09-01.. 4",
    ];
    for (start, end, expected) in [
        ("2025-01-01", "", &all[..]),
        ("2025-01-01", "2026-01-01", &[]),
        ("2025-01-01", "2026-01-02", &all[..1]),
        ("2026-01-01", "2030-01-01", &all[..]),
        ("2026-02-10", "2026-02-20", &all[..1]),
        ("2026-02-28", "2026-03-01", &all[..1]),
        ("2026-02-28", "2026-03-02", &all[..2]),
        ("2026-03-01", "2026-04-01", &all[1..2]),
        ("2026-03-31", "2026-06-30", &all[1..4]),
        ("2026-07-01", "", &all[4..]),
        ("2029-01-01", "", &all[5..]),
    ] {
        let mut window = json!({ "starting_at": day(start) });
        if !end.is_empty() {
            window["ending_before"] = json!(day(end));
        }
        assert_eq!(priced.schedule(window).await, expected, "{start}..{end}");
    }
    let by_the_second =
        json!({ "starting_at": "2026-03-31T23:59:59.5Z", "ending_before": "2026-03-31T23:59:59.6Z" });
    assert_eq!(priced.schedule(by_the_second).await, all[1..2], "a window need not lie on hours");
}

#[tokio::test]
async fn a_schedule_has_no_row_where_there_is_no_rate() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    assert!(priced.schedule(json!({})).await.is_empty());
    priced.add(priced.flat(), "2026-01-01", "2026-02-01", 1).await;
    priced.add(priced.flat(), "2026-03-01", "2026-04-01", 2).await;
    assert_eq!(
        priced.schedule(json!({})).await,
        ["Plain  2026-01-01..2026-02-01 1", "Plain  2026-03-01..2026-04-01 2"]
    );
    let gap = json!({ "starting_at": day("2026-02-01"), "ending_before": day("2026-03-01") });
    assert!(priced.schedule(gap).await.is_empty());
}

#[tokio::test]
async fn a_schedule_is_in_the_order_of_products_then_values_then_starts() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    priced.add(priced.of_model("b", "x"), "2026-01-01", "", 1).await;
    priced.add(priced.flat(), "2026-02-01", "", 2).await;
    priced.add(priced.of_model("a", "y"), "2026-05-01", "", 3).await;
    priced.add(priced.of_model("a", "y"), "2026-01-01", "2026-05-01", 4).await;
    priced.add(priced.of_model("a", "x"), "2026-03-01", "", 5).await;
    let by_model = [
        "By model ax 2026-03-01.. 5",
        "By model ay 2026-01-01..2026-05-01 4",
        "By model ay 2026-05-01.. 3",
        "By model bx 2026-01-01.. 1",
    ];
    let plain = ["Plain  2026-02-01.. 2"];
    assert_eq!(priced.schedule(json!({})).await, [&by_model[..], &plain[..]].concat());
    let order = json!({ "rate_card_id": priced.rates.card, "product_order": [priced.plain] });
    priced.api.post(SET_ORDER, order).await.id();
    assert_eq!(priced.schedule(json!({})).await, [&plain[..], &by_model[..]].concat());
}

#[tokio::test]
async fn a_row_of_a_schedule_is_a_row_of_rates() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    priced.api.post(ADD_RATE, priced.of_model("large", "fra")).await.data();
    priced.api.post(ADD_RATE, priced.tiered()).await.data();
    let at = json!({ "rate_card_id": priced.rates.card, "at": NOW });
    let rates = priced.api.post(GET_RATES, at).await.data();
    let body = json!({ "rate_card_id": priced.rates.card, "starting_at": NOW });
    assert_eq!(priced.api.post(GET_SCHEDULE, body).await.data(), rates);
    assert_eq!(
        rates[1]["rate"]["tiers"],
        json!([{ "size": 10, "price": 3 }, { "size": 10, "price": 2 }, { "price": 1 }])
    );
}

#[tokio::test]
async fn a_schedule_is_narrowed_by_selectors() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    priced.add(priced.flat(), "2026-01-01", "", 1).await;
    for (model, zone) in [("b", "x"), ("a", "y"), ("a", "x")] {
        priced.add(priced.of_model(model, zone), "2026-01-01", "", 1).await;
    }
    let found = async |selectors: Value| {
        let rows = priced.schedule(json!({ "selectors": selectors })).await;
        let name = |row: &String| match row.split("  ").next() {
            Some("Plain") => "plain".to_owned(),
            _ => row.split(' ').nth(2).expect("values").to_owned(),
        };
        rows.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    let (plain, by_model) = (&priced.plain, &priced.by_model);
    for (selectors, expected) in [
        (json!([]), "plain ax ay bx"),
        (json!(null), "plain ax ay bx"),
        (json!([{}]), "plain ax ay bx"),
        (json!([{ "product_id": plain }]), "plain"),
        (json!([{ "product_id": NOBODY }]), ""),
        (json!([{ "product_id": NOBODY }, { "product_id": plain }]), "plain"),
        (json!([{ "pricing_group_values": { "model": "a", "zone": "x" } }]), "ax"),
        (json!([{ "pricing_group_values": { "model": "a" } }]), ""),
        (json!([{ "pricing_group_values": {} }]), "plain"),
        (json!([{ "partial_pricing_group_values": { "model": "a" } }]), "ax ay"),
        (json!([{ "partial_pricing_group_values": { "model": "a", "zone": "y" } }]), "ay"),
        (json!([{ "product_id": plain, "partial_pricing_group_values": { "model": "a" } }]), ""),
        (json!([{ "product_id": by_model, "partial_pricing_group_values": { "zone": "y" } }]), "ay"),
        (json!([{ "product_id": plain }, { "partial_pricing_group_values": { "model": "b" } }]), "plain bx"),
        (json!([{ "billing_frequency": "monthly" }]), ""),
        // tags are no field of these selectors, unlike those of getRates
        (json!([{ "product_id": plain, "product_tags": ["none"] }]), "plain"),
    ] {
        assert_eq!(found(selectors.clone()).await, expected, "{selectors}");
    }
}

#[tokio::test]
async fn a_schedule_that_makes_no_sense_is_refused() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let good = json!({ "rate_card_id": priced.rates.card, "starting_at": NOW });
    refuse(
        &priced.api,
        GET_SCHEDULE,
        vec![
            (without(&good, "/rate_card_id"), "`rate_card_id`"),
            (without(&good, "/starting_at"), "`starting_at`"),
            (with(&good, "/rate_card_id", json!("x")), "rate_card_id:"),
            (with(&good, "/starting_at", json!("soon")), "starting_at:"),
            (with(&good, "/ending_before", json!("soon")), "ending_before:"),
            (with(&good, "/ending_before", json!(NOW)), "ending_before: must be after starting_at"),
            (
                with(&good, "/ending_before", json!(day("2026-01-01"))),
                "ending_before: must be after starting_at",
            ),
            (with(&good, "/selectors", json!({})), "selectors:"),
            (with(&good, "/selectors", json!([{}, { "product_id": "x" }])), "selectors[1].product_id:"),
            (
                with(&good, "/selectors", json!([{ "pricing_group_values": [] }])),
                "selectors[0].pricing_group_values:",
            ),
            (
                with(&good, "/selectors", json!([{ "billing_frequency": "DAILY" }])),
                "selectors[0].billing_frequency:",
            ),
        ],
    )
    .await;
    let of_nobody = with(&good, "/rate_card_id", json!(NOBODY));
    priced.api.post(GET_SCHEDULE, of_nobody).await.refused(404, &["rate card", NOBODY]);
    priced.api.post(GET_SCHEDULE, with(&good, "/ending_before", json!(null))).await.data();
}

/// All rows of a list, by pages of `limit`.
async fn walk(api: &Api, path: &str, body: &Value, limit: usize) -> Vec<Value> {
    let (mut all, mut query) = (Vec::new(), format!("?limit={limit}"));
    loop {
        let page = api.post(&format!("{path}{query}"), body.clone()).await;
        assert_eq!(page.status, 200, "{}", page.body);
        all.extend(page.body["data"].as_array().expect("rows").iter().cloned());
        match page.body["next_page"].as_str() {
            Some(next) => query = format!("?limit={limit}&next_page={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn a_card_of_many_rates_is_read_by_pages() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let rate = |model: usize, start: &str, price: usize| {
        let rate = with(&priced.of_model(&format!("{model:03}"), "x"), "/price", json!(price));
        without(&with(&rate, "/starting_at", json!(day(start))), "/rate_card_id")
    };
    // for each of 125 combinations, from the last to the first: a change in June, a price from January on that
    // covers it, and the change once more
    let of_model = |model: usize| {
        [rate(model, "2026-06-01", 2), rate(model, "2026-01-01", 1), rate(model, "2026-06-01", 1000 + model)]
    };
    let mut rates: Vec<Value> = (0..125).rev().flat_map(of_model).collect();
    rates.push(without(&priced.flat(), "/rate_card_id"));
    priced.api.post(ADD_RATES, json!({ "rate_card_id": priced.rates.card, "rates": rates })).await.id();
    let stretches = |model: usize| {
        [
            format!("By model {model:03}x 2026-01-01..2026-06-01 1"),
            format!("By model {model:03}x 2026-06-01.. {}", 1000 + model),
        ]
    };
    let expected: Vec<String> =
        (0..125).flat_map(stretches).chain(["Plain  2026-01-01.. 2".to_owned()]).collect();
    let schedule = json!({ "rate_card_id": priced.rates.card, "starting_at": day("2025-01-01") });
    for limit in [1, 7, 100] {
        let walked = walk(&priced.api, GET_SCHEDULE, &schedule, limit).await;
        assert_eq!(rows(&json!(walked)), expected, "by {limit}");
    }
    let at = json!({ "rate_card_id": priced.rates.card, "at": NOW });
    for limit in [1, 7, 100] {
        let walked = walk(&priced.api, GET_RATES, &at, limit).await;
        assert_eq!(walked.len(), 126, "by {limit}");
        assert!(rows(&json!(walked)).is_sorted());
    }
}

#[tokio::test]
async fn ten_thousand_rates_of_one_request_are_added_in_its_order() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let rate = |number: usize| {
        let of_model = without(&priced.of_model(&format!("{:02}", number % 100), "x"), "/rate_card_id");
        match number {
            // one product comes first with its second rate
            1 => with(&without(&priced.flat(), "/rate_card_id"), "/price", json!(number)),
            _ if number.is_multiple_of(7) => {
                let tiered = without(&with(&of_model, "/rate_type", json!("TIERED")), "/price");
                with(&tiered, "/tiers", json!([{ "size": 5, "price": number }, { "price": 1 }]))
            }
            _ if number.is_multiple_of(5) => {
                let bounded = with(&of_model, "/ending_before", json!(day("2026-02-01")));
                with(&bounded, "/price", json!(number))
            }
            _ => with(&of_model, "/price", json!(number)),
        }
    };
    let many = |rates: Vec<Value>| json!({ "rate_card_id": priced.rates.card, "rates": rates });
    let count_before = many((0..10_001).map(rate).collect());
    priced.api.post(ADD_RATES, count_before).await.refused(400, &["rates: at most 10000"]);
    let bad = with(&rate(9_999), "/price", json!(-1));
    let mut rates: Vec<Value> = (0..10_000).map(rate).collect();
    rates[9_999] = bad;
    priced.api.post(ADD_RATES, many(rates.clone())).await.refused(400, &["rates[9999].price:"]);
    rates[9_999] = without(&rate(9_999), "/entitled");
    priced.api.post(ADD_RATES, many(rates.clone())).await.refused(400, &["rates[9999]: ", "`entitled`"]);
    assert!(priced.schedule(json!({})).await.is_empty(), "all or none");

    rates[9_999] = rate(9_999);
    priced.api.post(ADD_RATES, many(rates)).await.id();
    let added: Vec<i64> = sqlx::query_scalar(
        "SELECT coalesce(price, (tiers -> 0 ->> 'price')::numeric)::bigint FROM rate ORDER BY added",
    )
    .fetch_all(&priced.api.app.db)
    .await
    .expect("the rates");
    assert_eq!(added, (0..10_000).collect::<Vec<i64>>());

    let at = json!({ "rate_card_id": priced.rates.card, "at": NOW });
    let shown = walk(&priced.api, GET_RATES, &at, 100).await;
    assert_eq!(shown.len(), 101);
    assert_eq!(shown[100]["product_name"], "Plain", "products in the order in which they come first");
    for (model, row) in shown[..100].iter().enumerate() {
        // the last one in the request that still runs
        let last = (0..10_000).rev().find(|number| {
            number % 100 == model && *number != 1 && (number.is_multiple_of(7) || !number.is_multiple_of(5))
        });
        let last = last.expect("a rate without an end");
        let price =
            if last.is_multiple_of(7) { &row["rate"]["tiers"][0]["price"] } else { &row["rate"]["price"] };
        assert_eq!(price, &json!(last), "model {model}");
    }
}
