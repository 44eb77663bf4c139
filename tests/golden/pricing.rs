//! Examples of the pricing reference, and what else must hold of prices.

use serde_json::{Value, json};

use crate::desk::{Desk, number, statements, t, text, tiers};
use crate::support::{Metric, Rates, lines};

const THREE_TIERS: [(&str, &str); 3] = [("5", "0"), ("5", "100"), ("", "150")];

fn conversion(operation: &str, factor: &str) -> Value {
    json!({ "operation": operation, "conversion_factor": number(factor) })
}

fn rounding(method: &str, decimals: u32) -> Value {
    json!({ "rounding_method": method, "decimal_places": decimals })
}

/// A card with one product at one price from 1 June, and a contract.
async fn june(product: Value, price: &str) -> (Desk, String) {
    let desk = Desk::at("2026-06-20").await;
    let product = desk.product("Units", "SUM", product).await;
    desk.flat(&product, "2026-06-01", price).await;
    desk.contract("2026-06-01", json!({})).await;
    (desk, product)
}

async fn eur(desk: &Desk) -> Value {
    let units = desk.api.get("/v1/credit-types/list").await.data();
    let euro = units.as_array().expect("a list").iter().find(|unit| unit["name"] == "EUR").expect("the euro");
    euro["id"].clone()
}

#[tokio::test]
async fn pricing_e1_flat_with_conversion() {
    let (desk, _) = june(json!({ "quantity_conversion": conversion("DIVIDE", "1000000") }), "300").await;
    desk.n("2026-06-02", 1_234_567).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        ["Units 06-01..07-01 1.234567 × 300 = 370.3701", "total 370.3701"]
    );
    desk.close("2026-06-01", "2026-07-02").await;
}

#[tokio::test]
async fn pricing_e2_convert_before_rounding() {
    let product = json!({
        "quantity_conversion": conversion("DIVIDE", "60"), "quantity_rounding": rounding("ROUND_UP", 0),
    });
    let (desk, _) = june(product, "2").await;
    desk.n("2026-06-02", 7261).await;
    assert_eq!(desk.lines("2026-06-01").await, ["Units 06-01..07-01 122 × 2 = 244", "total 244"]);
}

#[tokio::test]
async fn pricing_e3_rounding_per_group() {
    let product = json!({
        "quantity_conversion": conversion("DIVIDE", "60"), "quantity_rounding": rounding("ROUND_UP", 0),
        "presentation_group_key": ["project_id"],
    });
    let (desk, _) = june(product, "10").await;
    for project in ["a", "b"] {
        desk.event("2026-06-02", json!({ "n": 90, "project_id": project })).await;
    }
    assert_eq!(
        desk.lines("2026-06-01").await,
        [
            "Units {project_id: a} 06-01..07-01 2 × 10 = 20",
            "Units {project_id: b} 06-01..07-01 2 × 10 = 20",
            "total 40",
        ]
    );
}

#[tokio::test]
async fn pricing_e4_graduated_tiers() {
    let desk = Desk::at("2026-06-20").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.rate(&product, "2026-06-01", tiers(&THREE_TIERS)).await;
    desk.contract("2026-06-01", json!({})).await;
    assert_eq!(desk.lines("2026-06-01").await, ["Units 06-01..07-01 [1] 0 × 0 = 0", "total 0"]);
    desk.n("2026-06-02", 5).await;
    assert_eq!(desk.lines("2026-06-01").await, ["Units 06-01..07-01 [1] 5 × 0 = 0", "total 0"]);
    desk.n("2026-06-02", 5).await;
    assert_eq!(desk.total("2026-06-01").await, "500");
    desk.n("2026-06-02", 2).await;
    let invoice = desk.invoice("2026-06-01").await;
    assert_eq!(
        text(&invoice),
        [
            "Units 06-01..07-01 [1] 5 × 0 = 0",
            "Units 06-01..07-01 [2] 5 × 100 = 500",
            "Units 06-01..07-01 [3] 2 × 150 = 300",
            "total 800",
        ]
    );
    let shown: Vec<&Value> =
        invoice["line_items"].as_array().expect("lines").iter().map(|line| &line["tier"]).collect();
    let tier =
        |level: u32, start: &str, size: Value| json!({ "level": level, "starting_at": start, "size": size });
    assert_eq!(shown, [&tier(1, "0", json!("5")), &tier(2, "5", json!("5")), &tier(3, "10", Value::Null)]);
    desk.close("2026-06-01", "2026-07-02").await;
    desk.n("2026-07-01", 5).await;
    assert_eq!(desk.total("2026-07-01").await, "0", "the counter starts again");
}

#[tokio::test]
async fn pricing_e5_tiers_per_presentation_value() {
    let desk = Desk::at("2026-06-20").await;
    let product = desk.product("Units", "SUM", json!({ "presentation_group_key": ["project"] })).await;
    desk.rate(&product, "2026-06-01", tiers(&THREE_TIERS)).await;
    desk.contract("2026-06-01", json!({})).await;
    assert_eq!(desk.lines("2026-06-01").await, ["total 0"], "with a key, only what was used");
    for (project, n) in [("A", 7), ("B", 6)] {
        desk.event("2026-06-02", json!({ "n": n, "project": project })).await;
    }
    assert_eq!(
        desk.lines("2026-06-01").await,
        [
            "Units {project: A} 06-01..07-01 [1] 5 × 0 = 0",
            "Units {project: A} 06-01..07-01 [2] 2 × 100 = 200",
            "Units {project: B} 06-01..07-01 [1] 5 × 0 = 0",
            "Units {project: B} 06-01..07-01 [2] 1 × 100 = 100",
            "total 300",
        ]
    );
}

#[tokio::test]
async fn pricing_e6_dimensional_with_a_missing_rate() {
    let desk = Desk::at("2026-06-20").await;
    let metric = desk.metric("SUM", &["region"]).await;
    let product = desk.product_on("Units", &metric, json!({ "pricing_group_key": ["region"] })).await;
    for (region, price) in [("us-west", "100"), ("us-east", "120")] {
        desk.flat_with(
            &product,
            "2026-06-01",
            price,
            json!({ "pricing_group_values": { "region": region } }),
        )
        .await;
    }
    desk.contract("2026-06-01", json!({})).await;
    for (region, n) in [("us-west", 3), ("us-east", 2), ("eu", 4), ("US-WEST", 50), ("us-west ", 60)] {
        desk.event("2026-06-02", json!({ "n": n, "region": region })).await;
    }
    let june = desk.close("2026-06-01", "2026-07-02").await;
    assert_eq!(
        text(&june),
        [
            "Units {region: us-east} 06-01..07-01 2 × 120 = 240",
            "Units {region: us-west} 06-01..07-01 3 × 100 = 300",
            "total 540",
        ]
    );
    assert_eq!(desk.usage(&metric, "NONE", "2026-06-01", "2026-07-01").await, ["119"]);
}

#[tokio::test]
async fn pricing_e7_price_change_mid_month() {
    let cases: [(&str, [i32; 2], [&str; 3]); 3] = [
        ("SUM", [10, 5], ["U 06-01..06-15 10 × 300 = 3000", "U 06-15..07-01 5 × 400 = 2000", "total 5000"]),
        ("MAX", [10, 13], ["U 06-01..06-15 10 × 300 = 3000", "U 06-15..07-01 3 × 400 = 1200", "total 4200"]),
        (
            "LATEST",
            [10, 0],
            ["U 06-01..06-15 10 × 300 = 3000", "U 06-15..07-01 -10 × 400 = -4000", "total -1000"],
        ),
    ];
    for (aggregation, [before, after], expected) in cases {
        let desk = Desk::at("2026-06-20").await;
        let product = desk.product("U", aggregation, json!({})).await;
        desk.flat(&product, "2026-06-01", "300").await;
        desk.flat(&product, "2026-06-15", "400").await;
        desk.contract("2026-06-01", json!({})).await;
        desk.n("2026-06-03", before).await;
        desk.n("2026-06-16", after).await;
        assert_eq!(text(&desk.close("2026-06-01", "2026-07-02").await), expected, "{aggregation}");
    }
}

#[tokio::test]
async fn pricing_e8_rounding_across_a_change() {
    let (desk, product) = june(json!({ "quantity_rounding": rounding("ROUND_UP", 0) }), "300").await;
    desk.flat(&product, "2026-06-15", "400").await;
    desk.n("2026-06-03", "10.4").await;
    desk.n("2026-06-16", "5.3").await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        ["Units 06-01..06-15 11 × 300 = 3300", "Units 06-15..07-01 5 × 400 = 2000", "total 5300"]
    );
}

#[tokio::test]
async fn pricing_e9_layered_timeline() {
    let desk = Desk::at("2023-12-20").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2024-01-01", "100").await;
    desk.flat(&product, "2025-01-01", "120").await;
    desk.flat_with(&product, "2024-11-01", "80", json!({ "ending_before": t("2024-12-01") })).await;
    let rate_at = async |at: &str| {
        let body = json!({ "rate_card_id": desk.rates.card, "at": t(at) });
        let rates = desk.api.post("/v1/contract-pricing/rate-cards/getRates", body).await.data();
        let date = |value: &Value| value.as_str().map_or("", |text| &text[..10]).to_owned();
        let shown = rates.as_array().expect("rates").iter().map(|rate| {
            format!(
                "{}..{} {}",
                date(&rate["starting_at"]),
                date(&rate["ending_before"]),
                rate["rate"]["price"]
            )
        });
        shown.collect::<Vec<_>>().join("; ")
    };
    for (at, expected) in [
        ("2023-12-31", ""),
        ("2024-01-01", "2024-01-01..2024-11-01 100"),
        ("2024-10-31 23:59:59", "2024-01-01..2024-11-01 100"),
        ("2024-11-01", "2024-11-01..2024-12-01 80"),
        ("2024-12-01", "2024-12-01..2025-01-01 100"),
        ("2025-01-01", "2025-01-01.. 120"),
    ] {
        assert_eq!(rate_at(at).await, expected, "at {at}");
    }
    let schedule = json!({ "rate_card_id": desk.rates.card, "starting_at": t("2024-01-01") });
    let schedule = desk.api.post("/v1/contract-pricing/rate-cards/getRateSchedule", schedule).await.data();
    let shown: Vec<String> = schedule
        .as_array()
        .expect("a schedule")
        .iter()
        .map(|rate| format!("{} {} {}", rate["starting_at"], rate["ending_before"], rate["rate"]["price"]))
        .collect();
    assert_eq!(
        shown,
        [
            "\"2024-01-01T00:00:00Z\" \"2024-11-01T00:00:00Z\" 100",
            "\"2024-11-01T00:00:00Z\" \"2024-12-01T00:00:00Z\" 80",
            "\"2024-12-01T00:00:00Z\" \"2025-01-01T00:00:00Z\" 100",
            "\"2025-01-01T00:00:00Z\" null 120",
        ]
    );

    let schedule =
        json!({ "frequency": "ANNUAL", "day": "CUSTOM_DATE", "billing_anchor_date": t("2024-02-01") });
    desk.contract("2024-02-01", json!({ "usage_statement_schedule": schedule })).await;
    for at in ["2024-03-01", "2024-11-01", "2024-12-01", "2025-01-01"] {
        desk.clock(at).await;
        desk.n(at, 1).await;
    }
    assert_eq!(
        desk.lines("2024-02-01").await,
        [
            "Units 02-01..11-01 1 × 100 = 100",
            "Units 11-01..12-01 1 × 80 = 80",
            "Units 12-01..01-01 1 × 100 = 100",
            "Units 01-01..02-01 1 × 120 = 120",
            "total 400",
        ]
    );
}

#[tokio::test]
async fn pricing_e11_another_currency_counts_whole_units() {
    let desk = Desk::at("2026-06-20").await;
    let euro = eur(&desk).await;
    let card = json!({ "name": "Europe", "fiat_credit_type_id": euro });
    let rates = Rates { card: desk.api.post("/v1/contract-pricing/rate-cards/create", card).await.id() };
    let product = desk.product("Calls", "COUNT", json!({})).await;
    let mut rate = json!({
        "rate_card_id": rates.card, "product_id": product, "starting_at": t("2026-06-01"), "entitled": true,
        "rate_type": "FLAT", "price": number("0.0025"),
    });
    let refused = desk.api.post("/v1/contract-pricing/rate-cards/addRate", rate.clone()).await;
    refused.refused(400, &["credit_type_id"]);
    rate["credit_type_id"] = euro.clone();
    desk.api.post("/v1/contract-pricing/rate-cards/addRate", rate).await.data();
    desk.api.contract(&desk.customer, &rates, &t("2026-06-01"), json!({})).await;
    for batch in 0..10 {
        let call = |number: i32| {
            json!({
                "transaction_id": format!("{batch}-{number}"), "customer_id": "acme", "event_type": "use",
                "timestamp": t("2026-06-02"),
            })
        };
        desk.api.events((0..100).map(call).collect()).await;
    }
    let invoice = desk.close("2026-06-01", "2026-07-02").await;
    assert_eq!(text(&invoice), ["Calls 06-01..07-01 1000 × 0.0025 = 2.5", "total 2.5"]);
    let unit = json!({ "name": "EUR", "id": euro });
    assert_eq!((&invoice["credit_type"], &invoice["line_items"][0]["credit_type"]), (&unit, &unit));
    assert_eq!(invoice["line_items"][0]["list_price"]["credit_type"], unit);
}

#[tokio::test]
async fn pricing_e19_alias_cut_over() {
    let desk = Desk::at("2026-06-20").await;
    let card = async |aliases: Value| {
        let body = json!({ "name": "card", "aliases": aliases });
        Rates { card: desk.api.post("/v1/contract-pricing/rate-cards/create", body).await.id() }
    };
    let product = desk.product("Units", "SUM", json!({})).await;
    let a = card(json!([{ "name": "payg" }])).await;
    let b = card(json!([{ "name": "payg", "starting_at": t("2026-07-01") }])).await;
    desk.api.flat(&a, &product, &t("2026-06-01"), "1", json!({})).await;
    desk.api.flat(&b, &product, &t("2026-06-01"), "1000", json!({})).await;
    let shown = desk.api.post("/v1/contract-pricing/rate-cards/get", json!({ "id": a.card })).await.data();
    assert_eq!(shown["aliases"], json!([{ "name": "payg", "ending_before": t("2026-07-01") }]));
    desk.n("2026-06-20 12:00", 3).await;
    for (start, total) in [("2026-06-30", 70), ("2026-07-01", 70_000)] {
        let customer = desk.api.customer(start).await;
        let body = json!({ "customer_id": customer, "rate_card_alias": "payg", "starting_at": t(start) });
        desk.api.post("/v1/contracts/create", body).await.id();
        desk.clock("2026-07-03").await;
        desk.api.event(start, &t("2026-07-02"), json!({ "n": 70 })).await;
        assert_eq!(
            desk.api.invoice(&customer, "2026-07-01").await["total"],
            total,
            "a contract from {start}"
        );
    }

    // the same hand-over to a card that exists, by an update
    let c = card(json!([])).await;
    desk.api.flat(&c, &product, &t("2026-06-01"), "0", json!({})).await;
    let update =
        json!({ "rate_card_id": c.card, "aliases": [{ "name": "payg", "starting_at": t("2026-08-01") }] });
    desk.api.post("/v1/contract-pricing/rate-cards/update", update).await.id();
    let shown = desk.api.post("/v1/contract-pricing/rate-cards/get", json!({ "id": b.card })).await.data();
    let july = json!({ "name": "payg", "starting_at": t("2026-07-01"), "ending_before": t("2026-08-01") });
    assert_eq!(shown["aliases"], json!([july]));
    let customer = desk.api.customer("later").await;
    for (start, holder) in
        [("2026-06-30", &a), ("2026-07-01", &b), ("2026-07-31 23:00", &b), ("2026-08-01", &c)]
    {
        let body = json!({ "customer_id": customer, "rate_card_alias": "payg", "starting_at": t(start) });
        let created = desk.api.post("/v1/contracts/create", body).await.data();
        assert_eq!(created["contract"]["rate_card_id"], json!(holder.card), "a contract from {start}");
    }
}

#[tokio::test]
async fn pricing_e20_package_dates() {
    let desk = Desk::at("2026-01-15").await;
    let fee = desk.api.fixed_product("Fee").await;
    let offset = |value: i64, unit: &str| json!({ "value": value, "unit": unit });
    let item = |offset: Value| json!({ "unit_price": 1000, "quantity": 1, "date_offset": offset });
    let items = [offset(0, "DAYS"), offset(1, "MONTHS"), offset(2, "MONTHS")].map(item);
    let package = json!({
        "name": "Starter", "rate_card_id": desk.rates.card, "duration": offset(12, "MONTHS"),
        "scheduled_charges": [{ "product_id": fee, "schedule": { "schedule_items": items } }],
        "overrides": [{
            "starting_at_offset": offset(1, "MONTHS"), "duration": offset(1, "MONTHS"), "type": "MULTIPLIER",
            "multiplier": number("0.5"), "override_specifiers": [{ "product_tags": ["ai"] }],
        }],
    });
    let package = desk.api.post("/v1/packages/create", package).await.id();
    let body = json!({ "customer_id": desk.customer, "starting_at": t("2026-01-31"), "package_id": package });
    let contract = desk.api.post("/v1/contracts/create", body).await.data()["contract"].clone();
    assert_eq!(contract["ending_before"], t("2027-01-31"));
    let items = &contract["scheduled_charges"][0]["schedule"]["schedule_items"];
    let dates: Vec<&Value> = items.as_array().expect("items").iter().map(|item| &item["timestamp"]).collect();
    // counted from the start each, never from the one before: the 31st does not drift to the 28th
    assert_eq!(dates, [&t("2026-01-31"), &t("2026-02-28"), &t("2026-03-31")]);
    // a duration is counted on from the start that the offset gives
    let discount = &contract["overrides"][0];
    assert_eq!(
        (&discount["starting_at"], &discount["ending_before"]),
        (&json!(t("2026-02-28")), &json!(t("2026-03-28")))
    );
}

#[tokio::test]
async fn pricing_e21_entitlement() {
    let desk = Desk::at("2026-06-25").await;
    let late = desk.product("Late", "SUM", json!({})).await;
    desk.flat_with(&late, "2026-06-01", "500", json!({ "entitled": false })).await;
    desk.flat(&late, "2026-06-10", "500").await;
    let paused = desk.product("Paused", "SUM", json!({})).await;
    desk.flat(&paused, "2026-06-01", "10").await;
    let off = json!({ "entitled": false, "ending_before": t("2026-06-20") });
    desk.flat_with(&paused, "2026-06-10", "10", off).await;
    desk.contract("2026-06-01", json!({})).await;
    for (at, n) in [("2026-06-05", 4), ("2026-06-10", 6), ("2026-06-19 23:59:59", 100), ("2026-06-20", 1000)]
    {
        desk.n(at, n).await;
    }
    assert_eq!(
        text(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Late 06-10..07-01 1106 × 500 = 553000",
            "Paused 06-01..06-10 4 × 10 = 40",
            "Paused 06-20..07-01 1000 × 10 = 10000",
            "total 563040",
        ]
    );
}

#[tokio::test]
async fn pricing_e22_falling_gauge_without_credits() {
    let cases: [(i32, i32, &str); 2] = [(7, 9, "2900"), (40, 30, "8000")];
    for (first, second, total) in cases {
        let desk = Desk::at("2026-06-20").await;
        let product = desk.product("Gauge", "LATEST", json!({})).await;
        desk.flat(&product, "2026-06-01", "300").await;
        desk.flat(&product, "2026-06-02", "400").await;
        desk.contract("2026-06-01", json!({})).await;
        desk.n("2026-06-01 12:00", first).await;
        desk.n("2026-06-02 12:00", second).await;
        assert_eq!(desk.total("2026-06-01").await, total);
    }
}

#[tokio::test]
async fn pricing_e24_conversion_with_a_presentation_key() {
    let product = json!({
        "quantity_conversion": conversion("DIVIDE", "1000000"), "presentation_group_key": ["user_id"],
    });
    let (desk, _) = june(product, "50").await;
    for (user, n) in [("u1", 1_000_000), ("u1", 1_000_000), ("u1", 3_000_000), ("u2", 5_500_000)] {
        desk.event("2026-06-02", json!({ "n": n, "user_id": user })).await;
    }
    assert_eq!(
        desk.lines("2026-06-01").await,
        [
            "Units {user_id: u1} 06-01..07-01 5 × 50 = 250",
            "Units {user_id: u2} 06-01..07-01 5.5 × 50 = 275",
            "total 525",
        ]
    );
}

#[tokio::test]
async fn pricing_e25_binary_units() {
    let (desk, _) = june(json!({ "quantity_conversion": conversion("DIVIDE", "1024") }), "20").await;
    desk.n("2026-06-02", 5632).await;
    assert_eq!(desk.lines("2026-06-01").await, ["Units 06-01..07-01 5.5 × 20 = 110", "total 110"]);
}

#[tokio::test]
async fn pricing_e30_a_free_week_and_a_week_off() {
    let desk = Desk::at("2024-09-20").await;
    let free = desk.product("Free week", "SUM", json!({})).await;
    desk.flat(&free, "2024-09-01", "2").await;
    desk.flat_with(&free, "2024-09-01", "0", json!({ "ending_before": t("2024-09-08") })).await;
    let off = desk.product("Week off", "SUM", json!({})).await;
    desk.flat(&off, "2024-09-01", "2").await;
    let week = json!({ "ending_before": t("2024-09-08"), "entitled": false });
    desk.flat_with(&off, "2024-09-01", "2", week).await;
    desk.contract("2024-09-01", json!({})).await;
    desk.n("2024-09-02", 500).await;
    desk.n("2024-09-09", 200).await;
    assert_eq!(
        desk.lines("2024-09-01").await,
        [
            "Free week 09-01..09-08 500 × 0 = 0",
            "Free week 09-08..10-01 200 × 2 = 400",
            "Week off 09-08..10-01 200 × 2 = 400",
            "total 800",
        ]
    );
}

#[tokio::test]
async fn pricing_e32_package_versions() {
    let desk = Desk::at("2023-12-01").await;
    let product = desk.product("Compute", "SUM", json!({})).await;
    desk.flat(&product, "2023-12-01", "100").await;
    let offset = |value: i64, unit: &str| json!({ "value": value, "unit": unit });
    let package = async |name: &str, from: &str, overrides: Value| {
        let body = json!({
            "name": name, "rate_card_id": desk.rates.card, "overrides": overrides,
            "aliases": [{ "name": "N", "starting_at": t(from) }],
        });
        desk.api.post("/v1/packages/create", body).await.id()
    };
    let first = package("2024 Compute", "2024-01-01", json!([])).await;
    let fixed = json!([{
        "starting_at_offset": offset(0, "DAYS"), "type": "OVERWRITE",
        "overwrite_rate": { "rate_type": "FLAT", "price": 120 }, "override_specifiers": [{ "product_id": product }],
    }]);
    let second = package("2025 Compute", "2025-01-01", fixed).await;
    let shown = desk.api.post("/v1/packages/get", json!({ "package_id": first })).await.data();
    let year = json!({ "name": "N", "starting_at": t("2024-01-01"), "ending_before": t("2025-01-01") });
    assert_eq!(shown["aliases"], json!([year]));
    let mut customers = Vec::new();
    for (start, package) in [("2024-12-31", &first), ("2025-01-01", &second)] {
        let customer = desk.api.customer(start).await;
        let body = json!({ "customer_id": customer, "starting_at": t(start), "package_alias": "N" });
        let contract = desk.api.post("/v1/contracts/create", body).await.data()["contract"].clone();
        assert_eq!(contract["package_id"], json!(package));
        customers.push((start, customer));
    }
    // The card is raised from February on.
    desk.flat(&product, "2025-02-01", "130").await;
    for (now, day) in [("2025-01-20", "2025-01-15"), ("2025-02-10", "2025-02-05")] {
        desk.clock(now).await;
        for (start, _) in &customers {
            desk.api.event(start, &t(day), json!({ "n": 1 })).await;
        }
    }
    for ((_, customer), [january, february]) in customers.iter().zip([[100, 130], [120, 120]]) {
        assert_eq!(desk.api.invoice(customer, "2025-01-01").await["total"], january);
        assert_eq!(desk.api.invoice(customer, "2025-02-01").await["total"], february);
    }
}

#[tokio::test]
async fn pricing_e35_free_allotment() {
    let desk = Desk::at("2026-06-20").await;
    let product = desk.product("Calls", "SUM", json!({})).await;
    desk.rate(&product, "2026-06-01", tiers(&[("100", "0"), ("", "25")])).await;
    desk.contract("2026-06-01", json!({})).await;
    desk.n("2026-06-02", 99).await;
    assert_eq!(desk.total("2026-06-01").await, "0");
    desk.n("2026-06-03", 5).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        ["Calls 06-01..07-01 [1] 100 × 0 = 0", "Calls 06-01..07-01 [2] 4 × 25 = 100", "total 100"]
    );
}

#[tokio::test]
async fn pricing_e38_price_grid() {
    let desk = Desk::at("2026-06-20").await;
    let metric = desk.metric("SUM", &["region", "cloud"]).await;
    let prices = [("P1", ["12", "14", "16", "18"]), ("P2", ["18", "22", "20", "24"])];
    for (name, prices) in prices {
        let product =
            desk.product_on(name, &metric, json!({ "pricing_group_key": ["region", "cloud"] })).await;
        let cells = [("r1", "c1"), ("r1", "c2"), ("r2", "c1"), ("r2", "c2")];
        for ((region, cloud), price) in cells.into_iter().zip(prices) {
            let values = json!({ "pricing_group_values": { "region": region, "cloud": cloud } });
            desk.flat_with(&product, "2026-06-01", price, values).await;
        }
    }
    desk.contract("2026-06-01", json!({})).await;
    desk.event("2026-06-02", json!({ "n": 10, "region": "r2", "cloud": "c2" })).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        [
            "P1 {cloud: c2, region: r2} 06-01..07-01 10 × 18 = 180",
            "P2 {cloud: c2, region: r2} 06-01..07-01 10 × 24 = 240",
            "total 420",
        ]
    );
}

#[tokio::test]
async fn a_price_change_on_an_hour_takes_the_event_at_that_instant() {
    let (desk, product) = june(json!({}), "300").await;
    desk.flat(&product, "2026-06-15 05:00", "400").await;
    desk.n("2026-06-15 04:59:59.999999", 1).await;
    desk.n("2026-06-15 05:00", 10).await;
    let invoice = desk.close("2026-06-01", "2026-07-02").await;
    assert_eq!(
        text(&invoice),
        ["Units 06-01..06-15 1 × 300 = 300", "Units 06-15..07-01 10 × 400 = 4000", "total 4300"]
    );
    assert_eq!(invoice["line_items"][1]["starting_at"], "2026-06-15T05:00:00+00:00");
    let half = json!({
        "rate_card_id": desk.rates.card, "product_id": product, "starting_at": t("2026-06-15 05:30"),
        "entitled": true, "rate_type": "FLAT", "price": 1,
    });
    desk.api
        .post("/v1/contract-pricing/rate-cards/addRate", half)
        .await
        .refused(400, &["starting_at", "hour"]);
}

#[tokio::test]
async fn sub_cent_prices_stay_exact() {
    let (desk, product) = june(json!({}), "0.0000123").await;
    desk.flat(&product, "2026-06-15", "88.9").await;
    desk.n("2026-06-02", 7).await;
    desk.n("2026-06-16", "0.001").await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        [
            "Units 06-01..06-15 7 × 0.0000123 = 0.0000861",
            "Units 06-15..07-01 0.001 × 88.9 = 0.0889",
            "total 0.0889861",
        ]
    );
}

#[tokio::test]
async fn a_third_and_ten_million_dollars_add_up_exactly() {
    let desk = Desk::at("2026-06-20").await;
    let third =
        desk.product("Third", "SUM", json!({ "quantity_conversion": conversion("DIVIDE", "3") })).await;
    let whole = desk.product("Whole", "SUM", json!({})).await;
    desk.flat(&third, "2026-06-01", "1").await;
    desk.flat(&whole, "2026-06-01", "1000000000").await;
    desk.contract("2026-06-01", json!({})).await;
    desk.n("2026-06-02", 1).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        [
            "Third 06-01..07-01 0.33333333333333333333 × 1 = 0.33333333333333333333",
            "Whole 06-01..07-01 1 × 1000000000 = 1000000000",
            "total 1000000000.33333333333333333333",
        ]
    );
}

#[tokio::test]
async fn a_line_of_many_digits_is_its_quantity_times_its_price() {
    let (desk, _) = june(json!({ "quantity_conversion": conversion("DIVIDE", "3") }), "0.00000000123").await;
    desk.n("2026-06-02", 1).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        [
            "Units 06-01..07-01 0.33333333333333333333 × 0.00000000123 = 0.0000000004099999999999999999959",
            "total 0.0000000004099999999999999999959",
        ]
    );
}

#[tokio::test]
async fn small_usage_after_huge_usage_is_not_lost() {
    let (desk, product) = june(json!({}), "1").await;
    desk.flat(&product, "2026-06-15", "2").await;
    desk.n("2026-06-02", "1000000000000000000000").await;
    desk.n("2026-06-16", "0.000000001").await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        [
            "Units 06-01..06-15 1000000000000000000000 × 1 = 1000000000000000000000",
            "Units 06-15..07-01 0.000000001 × 2 = 0.000000002",
            "total 1000000000000000000000.000000002",
        ]
    );
}

#[tokio::test]
async fn conversion_then_rounding_is_cumulative_across_a_cut() {
    let product = json!({
        "quantity_conversion": conversion("DIVIDE", "60"), "quantity_rounding": rounding("ROUND_UP", 0),
    });
    let (desk, product) = june(product, "10").await;
    desk.flat(&product, "2026-06-15", "20").await;
    desk.n("2026-06-02", 61).await;
    desk.n("2026-06-16", 59).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        ["Units 06-01..06-15 2 × 10 = 20", "Units 06-15..07-01 0 × 20 = 0", "total 20"],
        "120 seconds are two minutes, however they are cut"
    );
    desk.n("2026-06-16", 1).await;
    assert_eq!(desk.total("2026-06-01").await, "40", "and 121 are three");
}

#[tokio::test]
async fn a_conversion_may_multiply_and_round_to_decimals() {
    let product = |method| {
        json!({
            "quantity_conversion": conversion("MULTIPLY", "0.0000013"), "quantity_rounding": rounding(method, 2),
        })
    };
    for (method, quantity) in [("ROUND_UP", "1.61"), ("ROUND_DOWN", "1.6"), ("ROUND_HALF_UP", "1.6")] {
        let (desk, _) = june(product(method), "100").await;
        desk.n("2026-06-02", 1_234_567).await;
        let total = desk.total("2026-06-01").await;
        assert_eq!(
            desk.lines("2026-06-01").await[0],
            format!("Units 06-01..07-01 {quantity} × 100 = {total}")
        );
    }
}

#[tokio::test]
async fn rounding_below_zero_goes_by_its_name() {
    for (method, quantity) in [("ROUND_UP", "-1"), ("ROUND_DOWN", "-2"), ("ROUND_HALF_UP", "-1")] {
        let (desk, _) = june(json!({ "quantity_rounding": rounding(method, 0) }), "1").await;
        desk.n("2026-06-02", "-1.5").await;
        assert_eq!(desk.total("2026-06-01").await, quantity, "{method}");
    }
}

#[tokio::test]
async fn the_tier_counter_goes_on_across_a_rate_change() {
    let desk = Desk::at("2026-06-20").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.rate(&product, "2026-06-01", tiers(&[("10", "100"), ("", "50")])).await;
    desk.rate(&product, "2026-06-15", tiers(&[("12", "80"), ("", "40")])).await;
    desk.contract("2026-06-01", json!({})).await;
    desk.n("2026-06-02", 8).await;
    desk.n("2026-06-16", 7).await;
    assert_eq!(
        text(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Units 06-01..06-15 [1] 8 × 100 = 800",
            "Units 06-15..07-01 [1] 4 × 80 = 320",
            "Units 06-15..07-01 [2] 3 × 40 = 120",
            "total 1240",
        ]
    );
}

#[tokio::test]
async fn a_correction_walks_the_tiers_down() {
    let desk = Desk::at("2026-06-20").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.rate(&product, "2026-06-01", tiers(&THREE_TIERS)).await;
    desk.contract("2026-06-01", json!({})).await;
    desk.n("2026-06-02", 12).await;
    desk.n("2026-06-16", -4).await;
    assert_eq!(desk.total("2026-06-01").await, "300", "eight units");
    desk.rate(&product, "2026-06-15", tiers(&[("5", "0"), ("5", "200"), ("", "250")])).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        [
            "Units 06-01..06-15 [1] 5 × 0 = 0",
            "Units 06-01..06-15 [2] 5 × 100 = 500",
            "Units 06-01..06-15 [3] 2 × 150 = 300",
            "Units 06-15..07-01 [2] -2 × 200 = -400",
            "Units 06-15..07-01 [3] -2 × 250 = -500",
            "total -100",
        ]
    );
}

#[tokio::test]
async fn tiers_count_converted_and_rounded_units() {
    let desk = Desk::at("2026-06-20").await;
    let product = json!({
        "quantity_conversion": conversion("DIVIDE", "1000"), "quantity_rounding": rounding("ROUND_UP", 0),
    });
    let product = desk.product("Thousands", "SUM", product).await;
    desk.rate(&product, "2026-06-01", tiers(&[("2.5", "10"), ("", "4")])).await;
    desk.contract("2026-06-01", json!({})).await;
    desk.n("2026-06-02", 3001).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        ["Thousands 06-01..07-01 [1] 2.5 × 10 = 25", "Thousands 06-01..07-01 [2] 1.5 × 4 = 6", "total 31",]
    );
}

#[tokio::test]
async fn tiers_are_walked_for_each_pricing_and_presentation_value() {
    let desk = Desk::at("2026-06-20").await;
    let keys = json!({ "pricing_group_key": ["model"], "presentation_group_key": ["team"] });
    let product = desk.product("Units", "SUM", keys).await;
    for (model, price) in [("big", "10"), ("small", "1")] {
        let mut rate = tiers(&[("3", "0"), ("", price)]);
        rate["pricing_group_values"] = json!({ "model": model });
        desk.rate(&product, "2026-06-01", rate).await;
    }
    desk.contract("2026-06-01", json!({})).await;
    for (model, team, n) in [("big", "x", 4), ("big", "y", 3), ("small", "x", 5), ("tiny", "x", 100)] {
        desk.event("2026-06-02", json!({ "model": model, "team": team, "n": n })).await;
    }
    assert_eq!(
        desk.lines("2026-06-01").await,
        [
            "Units {model: big} {team: x} 06-01..07-01 [1] 3 × 0 = 0",
            "Units {model: big} {team: x} 06-01..07-01 [2] 1 × 10 = 10",
            "Units {model: big} {team: y} 06-01..07-01 [1] 3 × 0 = 0",
            "Units {model: small} {team: x} 06-01..07-01 [1] 3 × 0 = 0",
            "Units {model: small} {team: x} 06-01..07-01 [2] 2 × 1 = 2",
            "total 12",
        ]
    );
}

#[tokio::test]
async fn usage_before_the_first_rate_and_in_a_gap_is_not_billed() {
    let desk = Desk::at("2026-06-25").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat_with(&product, "2026-06-05", "10", json!({ "ending_before": t("2026-06-10") })).await;
    desk.flat(&product, "2026-06-20", "20").await;
    desk.contract("2026-06-01", json!({})).await;
    for (at, n) in [("2026-06-04", 1), ("2026-06-05", 20), ("2026-06-10", 300), ("2026-06-20", 4000)] {
        desk.n(at, n).await;
    }
    assert_eq!(
        desk.lines("2026-06-01").await,
        ["Units 06-05..06-10 20 × 10 = 200", "Units 06-20..07-01 4000 × 20 = 80000", "total 80200"]
    );
}

#[tokio::test]
async fn a_backdated_rate_changes_drafts_and_no_finalized_invoice() {
    let desk = Desk::at("2026-05-10").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-05-01", "10").await;
    desk.contract("2026-05-01", json!({})).await;
    desk.n("2026-05-05", 1).await;
    let may = desk.close("2026-05-01", "2026-06-20").await;
    desk.n("2026-06-05", 2).await;
    desk.n("2026-06-15", 3).await;
    assert_eq!(desk.total("2026-06-01").await, "50");
    desk.flat(&product, "2026-05-01", "11").await;
    assert_eq!(desk.total("2026-06-01").await, "55");
    desk.flat(&product, "2026-06-10", "100").await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        ["Units 06-01..06-10 2 × 11 = 22", "Units 06-10..07-01 3 × 100 = 300", "total 322"]
    );
    assert_eq!(desk.invoice("2026-05-01").await, may);
    desk.close("2026-06-01", "2026-07-02").await;
}

#[tokio::test]
async fn list_prices_come_where_they_are_asked_for() {
    let desk = Desk::at("2026-06-20").await;
    let flat = desk.product("Flat", "SUM", json!({ "pricing_group_key": ["zone"] })).await;
    desk.flat_with(&flat, "2026-06-01", "2.50", json!({ "pricing_group_values": { "zone": "fra" } })).await;
    let tiered = desk.product("Tiered", "SUM", json!({})).await;
    desk.rate(&tiered, "2026-06-01", tiers(&[("10", "3"), ("7", "2")])).await;
    desk.contract("2026-06-01", json!({})).await;
    desk.event("2026-06-02", json!({ "n": 4, "zone": "fra" })).await;
    let unit = json!({ "name": "USD (cents)", "id": "2714e483-4ff1-48e4-9e25-ac732e8f24f2" });
    for status in ["DRAFT", "FINALIZED"] {
        let path = format!("/v1/customers/{}/invoices?starting_on={}", desk.customer, t("2026-06-01"));
        let plain = desk.api.get(&format!("{path}&status={status}")).await.data();
        let with = desk.api.get(&format!("{path}&status={status}&include_list_prices=true")).await.data();
        for line in plain[0]["line_items"].as_array().expect("lines") {
            assert_eq!(line.get("list_price"), None);
        }
        assert_eq!(lines(&plain[0]), lines(&with[0]));
        assert_eq!(
            with[0]["line_items"][0]["list_price"],
            json!({
                "rate_type": "FLAT", "price": number("2.5"), "credit_type": unit,
                "pricing_group_values": { "zone": "fra" },
            })
        );
        assert_eq!(
            with[0]["line_items"][1]["list_price"],
            json!({ "rate_type": "TIERED", "tiers": [{ "size": 10, "price": 3 }, { "price": 2 }], "credit_type": unit })
        );
        desk.clock("2026-07-02").await;
    }
}

#[tokio::test]
async fn one_metric_may_be_sold_as_several_products() {
    let desk = Desk::at("2026-06-20").await;
    let metric = desk.metric("SUM", &["model", "team"]).await;
    let plain = desk.product_on("Plain", &metric, json!({})).await;
    let by_model = desk.product_on("By model", &metric, json!({ "pricing_group_key": ["model"] })).await;
    let by_team = desk.product_on("By team", &metric, json!({ "presentation_group_key": ["team"] })).await;
    let rounded =
        json!({ "quantity_rounding": rounding("ROUND_UP", 0), "presentation_group_key": ["team", "model"] });
    let both = desk.product_on("Both", &metric, rounded).await;
    desk.flat(&plain, "2026-06-01", "1").await;
    desk.flat_with(&by_model, "2026-06-01", "2", json!({ "pricing_group_values": { "model": "m" } })).await;
    desk.flat(&by_team, "2026-06-01", "3").await;
    desk.flat(&both, "2026-06-01", "4").await;
    desk.contract("2026-06-01", json!({})).await;
    for (model, team, n) in [("m", "a", "0.5"), ("m", "b", "0.25"), ("k", "a", "1.5")] {
        desk.event("2026-06-02", json!({ "model": model, "team": team, "n": n })).await;
    }
    assert_eq!(
        text(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Plain 06-01..07-01 2.25 × 1 = 2.25",
            "By model {model: m} 06-01..07-01 0.75 × 2 = 1.5",
            "By team {team: a} 06-01..07-01 2 × 3 = 6",
            "By team {team: b} 06-01..07-01 0.25 × 3 = 0.75",
            "Both {model: k, team: a} 06-01..07-01 2 × 4 = 8",
            "Both {model: m, team: a} 06-01..07-01 1 × 4 = 4",
            "Both {model: m, team: b} 06-01..07-01 1 × 4 = 4",
            "total 26.5",
        ]
    );
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await)[0],
        "2026-06-01..2026-07-01 FINALIZED issued 2026-07-02"
    );
}

#[tokio::test]
async fn the_same_price_again_does_not_split_a_line() {
    let (desk, product) = june(json!({}), "300").await;
    desk.flat(&product, "2026-06-15", "300").await;
    desk.n("2026-06-02", 1).await;
    desk.n("2026-06-16", 2).await;
    assert_eq!(desk.lines("2026-06-01").await, ["Units 06-01..07-01 3 × 300 = 900", "total 900"]);
}

#[tokio::test]
async fn a_price_of_more_than_28_digits_is_refused() {
    let (desk, product) = june(json!({}), "1").await;
    let body = |price: &str| {
        json!({
            "rate_card_id": desk.rates.card, "product_id": product, "starting_at": t("2026-06-01"), "entitled": true,
            "rate_type": "FLAT", "price": number(price),
        })
    };
    for price in ["1e30", "0.12345678901234567890123456789", "-1"] {
        let answer = desk.api.post("/v1/contract-pricing/rate-cards/addRate", body(price)).await;
        answer.refused(400, &["price"]);
    }
    let added = desk.api.post("/v1/contract-pricing/rate-cards/addRate", body("1.25e-3")).await.data();
    assert_eq!(added["price"], number("0.00125"));
}

#[tokio::test]
async fn rates_of_one_request_are_added_in_its_order_or_not_at_all() {
    let (desk, product) = june(json!({}), "1").await;
    let rate = |from: &str, price: Value| {
        json!({
            "product_id": product, "starting_at": t(from), "entitled": true, "rate_type": "FLAT", "price": price,
        })
    };
    let add = async |rates: Value| {
        let body = json!({ "rate_card_id": desk.rates.card, "rates": rates });
        desk.api.post("/v1/contract-pricing/rate-cards/addRates", body).await
    };
    add(json!([rate("2026-06-10", json!(5)), rate("2026-06-10", json!(7))])).await.data();
    add(json!([rate("2026-06-01", json!(1000)), rate("2026-06-02", json!(-1))]))
        .await
        .refused(400, &["rates[1].price"]);
    desk.n("2026-06-02", 1).await;
    desk.n("2026-06-12", 1).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        ["Units 06-01..06-10 1 × 1 = 1", "Units 06-10..07-01 1 × 7 = 7", "total 8"]
    );
}

#[tokio::test]
async fn pricing_3_4_an_update_made_later_that_starts_earlier() {
    let desk = Desk::at("2026-01-10").await;
    let product = desk.product("Initial", "SUM", json!({})).await;
    desk.flat(&product, "2026-01-01", "1").await;
    desk.contract("2026-01-01", json!({})).await;
    let quarterly = json!({ "usage_statement_schedule": { "frequency": "QUARTERLY" }, "name": "quarterly" });
    desk.contract("2026-01-01", quarterly).await;
    desk.update(&product, "2026-03-01", json!({ "name": "X" })).await;
    desk.update(&product, "2026-02-01", json!({ "name": "Y" })).await;
    desk.clock("2026-03-20").await;
    let invoices = desk.api.invoices(&desk.customer).await;
    let mut shown: Vec<String> = invoices.iter().flat_map(lines).collect();
    shown.sort();
    assert_eq!(
        shown,
        [
            "Initial 01-01..02-01 0 × 1 = 0",
            "X 01-01..04-01 0 × 1 = 0",
            "X 03-01..04-01 0 × 1 = 0",
            "Y 02-01..03-01 0 × 1 = 0",
        ],
        "each with the name of its last instant"
    );
}

#[tokio::test]
async fn a_conversion_that_begins_mid_period_splits_there() {
    let (desk, product) = june(json!({}), "300").await;
    desk.n("2026-06-03", 7).await;
    desk.n("2026-06-15 04:59:59", 2).await;
    desk.n("2026-06-15 05:00", 2500).await;
    desk.update(&product, "2026-06-15 05:00", json!({ "quantity_conversion": conversion("DIVIDE", "1000") }))
        .await;
    let june = desk.close("2026-06-01", "2026-07-02").await;
    assert_eq!(
        text(&june),
        ["Units 06-01..06-15 9 × 300 = 2700", "Units 06-15..07-01 2.5 × 300 = 750", "total 3450"]
    );
    assert_eq!(june["line_items"][1]["starting_at"], "2026-06-15T05:00:00+00:00");
    assert_eq!(desk.lines("2026-07-01").await, ["Units 07-01..08-01 0 × 300 = 0", "total 0"]);
}

#[tokio::test]
async fn a_conversion_that_is_removed_or_another_one_follows_the_same_formula() {
    let (desk, product) = june(json!({ "quantity_conversion": conversion("DIVIDE", "60") }), "10").await;
    for (at, n) in [("2026-06-05", 120), ("2026-06-12", 5), ("2026-06-20", 30)] {
        desk.n(at, n).await;
    }
    desk.update(&product, "2026-06-10", json!({ "quantity_conversion": null })).await;
    desk.update(&product, "2026-06-20", json!({ "quantity_conversion": conversion("MULTIPLY", "2") })).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        [
            "Units 06-01..06-10 2 × 10 = 20",
            "Units 06-10..06-20 5 × 10 = 50",
            "Units 06-20..07-01 60 × 10 = 600",
            "total 670",
        ]
    );
}

#[tokio::test]
async fn a_rounding_that_begins_mid_period_does_not_bill_a_fraction_twice() {
    let (desk, product) = june(json!({}), "300").await;
    desk.n("2026-06-03", "10.4").await;
    desk.n("2026-06-16", "5.3").await;
    desk.update(&product, "2026-06-15", json!({ "quantity_rounding": rounding("ROUND_UP", 0) })).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        ["Units 06-01..06-15 10.4 × 300 = 3120", "Units 06-15..07-01 5 × 300 = 1500", "total 4620"],
        "from ceil(10.4) to ceil(15.7)"
    );
    desk.update(&product, "2026-06-15", json!({ "quantity_rounding": null })).await;
    assert_eq!(desk.lines("2026-06-01").await, ["Units 06-01..07-01 15.7 × 300 = 4710", "total 4710"]);
}

#[tokio::test]
async fn a_metric_swap_bills_what_the_new_one_counts_from_then_on() {
    let cases: [(&str, [&str; 2]); 4] = [
        ("SUM", ["10 × 10 = 100", "12 × 10 = 120"]),
        ("COUNT", ["2 × 10 = 20", "2 × 10 = 20"]),
        ("MAX", ["6 × 10 = 60", "2 × 10 = 20"]),
        ("LATEST", ["6 × 10 = 60", "-9 × 10 = -90"]),
    ];
    for (aggregation, [before, after]) in cases {
        let desk = Desk::at("2026-03-20").await;
        let old = desk.metric(aggregation, &[]).await;
        let key = Some("m").filter(|_| aggregation != "COUNT");
        let groups: &[&str] = if key.is_none() { &["m"] } else { &[] };
        let new = desk.api.metric(Metric { aggregation, key, groups }).await;
        let product = desk.product_on("U", &old, json!({})).await;
        desk.flat(&product, "2026-03-01", "10").await;
        desk.contract("2026-03-01", json!({})).await;
        desk.n("2026-03-01", 4).await;
        desk.n("2026-03-02", 6).await;
        let other = async |at: &str, m: i32| desk.event(at, json!({ "m": m })).await;
        if aggregation != "COUNT" {
            other("2026-03-03", 10).await;
        }
        desk.update(&product, "2026-03-15", json!({ "billable_metric_id": new })).await;
        other("2026-03-15", 11 + i32::from(aggregation == "MAX")).await;
        other("2026-03-16", 1).await;
        // What only the old metric counts bills nothing more.
        desk.n("2026-03-17", 1000).await;
        assert_eq!(
            desk.lines("2026-03-01").await[..2],
            [format!("U 03-01..03-15 {before}"), format!("U 03-15..04-01 {after}")],
            "{aggregation}"
        );
        desk.close("2026-03-01", "2026-04-02").await;
    }
}

#[tokio::test]
async fn a_metric_swap_to_unique_bills_values_that_are_new_in_the_period() {
    let desk = Desk::at("2026-03-20").await;
    let product = desk.product("Seats", "COUNT", json!({})).await;
    let unique = desk.metric("UNIQUE", &[]).await;
    desk.flat(&product, "2026-03-01", "10").await;
    desk.contract("2026-03-01", json!({})).await;
    desk.update(&product, "2026-03-10", json!({ "billable_metric_id": unique })).await;
    for (at, user) in
        [("02", "ann"), ("03", "ann"), ("09", "bob"), ("10", "ann"), ("11", "cleo"), ("12", "cleo")]
    {
        desk.event(&format!("2026-03-{at}"), json!({ "user": user })).await;
    }
    assert_eq!(
        text(&desk.close("2026-03-01", "2026-04-02").await),
        ["Seats 03-01..03-10 3 × 10 = 30", "Seats 03-10..04-01 1 × 10 = 10", "total 40"],
        "ann and bob were seen before"
    );
}

#[tokio::test]
async fn group_keys_that_change_group_what_follows() {
    let desk = Desk::at("2026-06-25").await;
    let metric = desk.metric("SUM", &["region", "team"]).await;
    let product = desk.product_on("Units", &metric, json!({})).await;
    desk.flat(&product, "2026-06-01", "1").await;
    desk.contract("2026-06-01", json!({})).await;
    for at in ["2026-06-02", "2026-06-12", "2026-06-22"] {
        for (region, team, n) in [("eu", "a", 1), ("eu", "b", 20), ("us", "a", 300)] {
            desk.event(at, json!({ "region": region, "team": team, "n": n })).await;
        }
    }
    desk.update(&product, "2026-06-10", json!({ "presentation_group_key": ["team"] })).await;
    let priced = json!({ "pricing_group_key": ["region"], "presentation_group_key": [] });
    desk.update(&product, "2026-06-20", priced).await;
    let plain = "Units 06-01..06-10 321 × 1 = 321";
    let by_team = ["Units {team: a} 06-10..06-20 301 × 1 = 301", "Units {team: b} 06-10..06-20 20 × 1 = 20"];
    assert_eq!(
        desk.lines("2026-06-01").await,
        [plain, by_team[0], by_team[1], "total 642"],
        "no rate has a region yet"
    );
    let eu = json!({ "pricing_group_values": { "region": "eu" } });
    desk.flat_with(&product, "2026-06-01", "10", eu).await;
    assert_eq!(
        text(&desk.close("2026-06-01", "2026-07-02").await),
        [plain, by_team[0], by_team[1], "Units {region: eu} 06-20..07-01 21 × 10 = 210", "total 852",]
    );
}

#[tokio::test]
async fn the_tier_counter_goes_on_across_a_product_change() {
    let desk = Desk::at("2026-06-20").await;
    let keys = json!({ "presentation_group_key": ["project"] });
    let product = desk.product("Units", "SUM", keys).await;
    desk.rate(&product, "2026-06-01", tiers(&THREE_TIERS)).await;
    desk.contract("2026-06-01", json!({})).await;
    for (at, project, n) in [("02", "A", 4), ("02", "B", 7), ("16", "A", 80), ("16", "C", 60)] {
        desk.event(&format!("2026-06-{at}"), json!({ "project": project, "n": n })).await;
    }
    desk.update(&product, "2026-06-15", json!({ "quantity_conversion": conversion("DIVIDE", "10") })).await;
    assert_eq!(
        text(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Units {project: A} 06-01..06-15 [1] 4 × 0 = 0",
            "Units {project: B} 06-01..06-15 [1] 5 × 0 = 0",
            "Units {project: B} 06-01..06-15 [2] 2 × 100 = 200",
            "Units {project: A} 06-15..07-01 [1] 1 × 0 = 0",
            "Units {project: A} 06-15..07-01 [2] 5 × 100 = 500",
            "Units {project: A} 06-15..07-01 [3] 2 × 150 = 300",
            "Units {project: C} 06-15..07-01 [1] 5 × 0 = 0",
            "Units {project: C} 06-15..07-01 [2] 1 × 100 = 100",
            "total 1100",
        ],
        "A is at 4 and goes to 12; C begins at 0"
    );
}

#[tokio::test]
async fn a_price_and_a_product_that_change_together_cut_once() {
    let (desk, product) = june(json!({ "quantity_conversion": conversion("DIVIDE", "1000") }), "300").await;
    desk.flat(&product, "2026-06-15", "250000").await;
    desk.update(&product, "2026-06-15", json!({ "quantity_conversion": conversion("DIVIDE", "1000000") }))
        .await;
    desk.n("2026-06-03", 2000).await;
    desk.n("2026-06-16", 3_000_000).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        ["Units 06-01..06-15 2 × 300 = 600", "Units 06-15..07-01 3 × 250000 = 750000", "total 750600"]
    );
}

#[tokio::test]
async fn names_and_tags_and_what_holds_already_split_no_line() {
    let product = json!({ "quantity_conversion": conversion("DIVIDE", "60"), "tags": ["old"] });
    let (desk, product) = june(product, "10").await;
    desk.n("2026-06-02", 60).await;
    desk.n("2026-06-18", 90).await;
    let line = |name: &str| [format!("{name} 06-01..07-01 2.5 × 10 = 25"), "total 25".to_owned()];
    assert_eq!(desk.lines("2026-06-01").await, line("Units"));
    for changes in [
        json!({}),
        json!({ "quantity_conversion": conversion("DIVIDE", "60.0"), "quantity_rounding": null }),
        json!({ "quantity_conversion": { "name": "minutes", "operation": "divide", "conversion_factor": 60 } }),
        json!({ "pricing_group_key": [], "presentation_group_key": [] }),
        json!({ "tags": ["new"], "netsuite_internal_item_id": "n1", "is_refundable": false }),
    ] {
        desk.update(&product, "2026-06-10", changes).await;
        assert_eq!(desk.lines("2026-06-01").await, line("Units"));
    }
    let invoice = desk.invoice("2026-06-01").await;
    assert_eq!(invoice["line_items"][0]["product_tags"], json!(["new"]));
    assert_eq!(invoice["line_items"][0]["netsuite_item_id"], json!("n1"));
    desk.update(&product, "2026-06-25", json!({ "name": "Minutes", "tags": ["newest"] })).await;
    assert_eq!(desk.lines("2026-06-01").await, line("Minutes"), "the name of the line's last instant");
    let tags = async || desk.invoice("2026-06-01").await["line_items"][0]["product_tags"].clone();
    assert_eq!(tags().await, json!(["new"]), "the tags of now");
    desk.clock("2026-06-25").await;
    assert_eq!(tags().await, json!(["newest"]));
    desk.update(&product, "2026-07-01", json!({ "name": "July" })).await;
    assert_eq!(text(&desk.close("2026-06-01", "2026-07-02").await), line("Minutes"));
}

#[tokio::test]
async fn a_backdated_update_changes_drafts_and_no_finalized_invoice() {
    let desk = Desk::at("2026-05-10").await;
    let product = desk.product("Units", "SUM", json!({ "tags": ["old"] })).await;
    desk.flat(&product, "2026-05-01", "10").await;
    desk.contract("2026-05-01", json!({})).await;
    desk.n("2026-05-05", 100).await;
    let may = desk.close("2026-05-01", "2026-06-20").await;
    desk.n("2026-06-05", 200).await;
    assert_eq!(desk.total("2026-06-01").await, "2000");
    let changes =
        json!({ "quantity_conversion": conversion("DIVIDE", "100"), "name": "Hundreds", "tags": ["new"] });
    desk.update(&product, "2026-05-01", changes).await;
    assert_eq!(desk.lines("2026-06-01").await, ["Hundreds 06-01..07-01 2 × 10 = 20", "total 20"]);
    assert_eq!(desk.invoice("2026-05-01").await, may);
    desk.close("2026-06-01", "2026-07-02").await;
}
