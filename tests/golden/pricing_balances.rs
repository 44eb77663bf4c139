//! Worked examples of the pricing reference in which commits and credits are drawn.

use serde_json::{Value, json};

use crate::balances::{USD, bill, credit, overview, paid, prepaid, recurring_grant, segments, with};
use crate::credits_order::{in_unit, of_tokens};
use crate::desk::{Desk, number, t};

const LONG: (&str, &str) = ("2026-06-01", "2027-06-01");

/// Units at a price with more fields of the rate, of which so many are used in June, on a contract with a commit called A of
/// an amount; `terms` are what else the commit and the contract say.
async fn june(rate: (&str, Value), units: i64, amount: i64, terms: (Value, Value)) -> Desk {
    let desk = Desk::at("2026-06-01").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat_with(&product, "2026-06-01", rate.0, rate.1).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let commit = prepaid(&fixed, "A", &[(amount, LONG.0, LONG.1)], json!({ "temporary_id": "a" }));
    let commits = json!({ "commits": [with(commit, terms.0)] });
    desk.contract("2026-06-01", with(commits, terms.1)).await;
    desk.uses("2026-06", units).await;
    desk
}

/// A multiplier of everything from June on.
fn times(multiplier: &str, more: Value) -> Value {
    let body =
        json!({ "starting_at": t("2026-06-01"), "type": "MULTIPLIER", "multiplier": number(multiplier) });
    with(body, more)
}

/// What makes an override one of commit A alone.
fn of_a() -> Value {
    json!({ "is_commit_specific": true, "override_specifiers": [{ "commit_ids": ["a"] }] })
}

#[tokio::test]
async fn pricing_e14_a_discount_of_one_commit_beside_that_of_the_contract() {
    let overrides = json!({ "overrides": [times("0.95", json!({})), times("0.8", of_a())] });
    let desk = june(("100", json!({})), 15_000, 1_000_000, (json!({}), overrides)).await;
    assert_eq!(
        bill(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Units 06-01..07-01 12500 × 80 = 1000000 (PREPAID)",
            "A applied 06-01..07-01 = -1000000 (PREPAID)",
            "Units 06-01..07-01 2500 × 95 = 237500",
            "total 237500",
        ]
    );
    assert_eq!(desk.left("A").await, "0");
}

/// June of 20 units at 1,000 on a contract with 20 % off, whose commit pays the commit rate with 10 % off.
async fn at_commit_rate(rate: Value, amount: i64) -> Desk {
    let overrides = json!({ "overrides": [
        times("0.9", with(of_a(), json!({ "target": "COMMIT_RATE" }))),
        times("0.8", json!({})),
    ] });
    june(("1000", rate), 20, amount, (json!({ "rate_type": "COMMIT_RATE" }), overrides)).await
}

#[tokio::test]
async fn pricing_e15_a_commit_rate_with_a_discount() {
    let rate = || json!({ "commit_rate": { "rate_type": "FLAT", "price": 800 } });
    let desk = at_commit_rate(rate(), 7200).await;
    assert_eq!(
        bill(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Units 06-01..07-01 10 × 720 = 7200 (PREPAID)",
            "A applied 06-01..07-01 = -7200 (PREPAID)",
            "Units 06-01..07-01 10 × 800 = 8000",
            "total 8000",
        ]
    );
    let desk = at_commit_rate(rate(), 10_000).await;
    let june = desk.close("2026-06-01", "2026-07-02").await;
    let numbers = |line: usize| {
        ["quantity", "unit_price", "total"].map(|field| june["line_items"][line][field].to_string())
    };
    assert_eq!(numbers(0), ["13.88888888888888888889", "720", "10000"]);
    assert_eq!(june["line_items"][1]["total"], json!(-10_000));
    assert_eq!(numbers(2), ["6.11111111111111111111", "800", "4888.888888888888888888"]);
    assert_eq!(june["line_items"].as_array().map(Vec::len), Some(3));
    assert_eq!(june["total"].to_string(), "4888.888888888888888888");
    assert_eq!(desk.left("A").await, "0");
}

#[tokio::test]
async fn pricing_e16_without_a_commit_rate_the_list_price_and_its_overrides_hold() {
    let desk = at_commit_rate(json!({}), 10_000).await;
    assert_eq!(
        bill(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Units 06-01..07-01 12.5 × 800 = 10000 (PREPAID)",
            "A applied 06-01..07-01 = -10000 (PREPAID)",
            "Units 06-01..07-01 7.5 × 800 = 6000",
            "total 6000",
        ]
    );
}

/// A SUBSCRIPTION product whose rate charges a quantity at a price in every billing period.
async fn seats(desk: &Desk) -> String {
    let body = json!({ "name": "Seats", "type": "SUBSCRIPTION" });
    desk.api.post("/v1/contract-pricing/products/create", body).await.id()
}

fn seat_rate(price: i64, quantity: i64) -> Value {
    json!({ "rate_type": "SUBSCRIPTION", "price": price, "quantity": quantity, "is_prorated": true })
}

/// With the rate type that charges by itself: a contract has no subscriptions yet.
#[tokio::test]
async fn pricing_e18_a_subscription_keeps_its_price_for_the_period() {
    let desk = Desk::at("2026-03-05").await;
    let product = seats(&desk).await;
    desk.rate(&product, "2026-01-01", seat_rate(2000, 7)).await;
    desk.rate(&product, "2026-03-10", seat_rate(2500, 7)).await;
    desk.contract("2026-03-01", json!({})).await;
    desk.clock("2026-03-20").await;
    let march = desk.close("2026-03-01", "2026-04-02").await;
    assert_eq!(bill(&march), ["Seats 03-01..04-01 7 × 2000 = 14000", "total 14000"]);
    let april = desk.close("2026-04-01", "2026-05-02").await;
    assert_eq!(bill(&april), ["Seats 04-01..05-01 7 × 2500 = 17500", "total 17500"]);
}

/// 7 at 300 and then 2 more at 400: a commit from the second day on knows nothing of the 7.
#[tokio::test]
async fn pricing_e22_a_commit_covers_what_came_while_it_is_valid() {
    let desk = Desk::at("2026-06-01").await;
    let product = desk.product("Gauge", "LATEST", json!({})).await;
    desk.flat(&product, "2026-06-01", "300").await;
    desk.flat(&product, "2026-06-02", "400").await;
    let fixed = desk.api.fixed_product("Commit").await;
    let commit = prepaid(&fixed, "A", &[(10_000, "2026-06-02", LONG.1)], json!({}));
    desk.contract("2026-06-01", json!({ "commits": [commit] })).await;
    desk.clock("2026-06-20").await;
    desk.n("2026-06-01 12:00", 7).await;
    desk.n("2026-06-02 12:00", 9).await;
    assert_eq!(
        bill(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Gauge 06-01..06-02 7 × 300 = 2100",
            "Gauge 06-02..07-01 2 × 400 = 800 (PREPAID)",
            "A applied 06-02..07-01 = -800 (PREPAID)",
            "total 2100",
        ]
    );
    assert_eq!(desk.left("A").await, "9200");
}

#[tokio::test]
async fn pricing_e28_one_price_while_anything_is_drawn() {
    let desk = Desk::at("2026-06-01").await;
    let input = desk.summed("Input", "input", "2026-06-01", "100", json!({})).await;
    let output = desk.summed("Output", "output", "2026-06-01", "200", json!({})).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let commit = prepaid(&fixed, "A", &[(300_000, LONG.0, LONG.1)], json!({}));
    let overwrite = |product: &str, price: &str| {
        json!({
            "starting_at": t("2026-06-01"), "type": "OVERWRITE", "is_commit_specific": true, "product_id": product,
            "overwrite_rate": { "rate_type": "FLAT", "price": number(price) },
        })
    };
    let overrides = json!([overwrite(&input, "75"), overwrite(&output, "88.9")]);
    desk.contract("2026-06-01", json!({ "commits": [commit], "overrides": overrides })).await;
    desk.clock("2026-06-20").await;
    desk.event("2026-06-10", json!({ "input": 4500 })).await;
    let covered =
        ["Input 06-01..07-01 4000 × 75 = 300000 (PREPAID)", "A applied 06-01..07-01 = -300000 (PREPAID)"];
    let no_output = "Output 06-01..07-01 0 × 200 = 0";
    assert_eq!(
        desk.bill("2026-06-01").await,
        [&covered[..], &["Input 06-01..07-01 500 × 100 = 50000", no_output, "total 50000"]].concat()
    );
    // A credit of the customer that comes later.
    let grants = [(30_000, "2026-06-01", "2026-07-01"), (8890, "2026-07-01", "2026-08-01")];
    desk.credit(credit(&fixed, "Later", &grants, json!({ "priority": 101 }))).await;
    assert_eq!(
        bill(&desk.close("2026-06-01", "2026-07-02").await),
        [
            &covered[..],
            &[
                "Input 06-01..07-01 400 × 75 = 30000 (CREDIT)",
                "Later applied 06-01..07-01 = -30000 (CREDIT)",
                "Input 06-01..07-01 100 × 100 = 10000",
                no_output,
                "total 10000",
            ]
        ]
        .concat()
    );
    desk.clock("2026-07-20").await;
    desk.event("2026-07-10", json!({ "output": 101 })).await;
    assert_eq!(
        desk.bill("2026-07-01").await,
        [
            "Input 07-01..08-01 0 × 100 = 0",
            "Output 07-01..08-01 100 × 88.9 = 8890 (CREDIT)",
            "Later applied 07-01..08-01 = -8890 (CREDIT)",
            "Output 07-01..08-01 1 × 200 = 200",
            "total 200",
        ]
    );
}

/// 100 credits for each of 4 seats in every month, and then a thousand more at a lower price; the seats themselves are
/// subscriptions of contracts, which there are none of yet.
#[tokio::test]
async fn pricing_e33_credits_of_seats_and_a_top_up() {
    let (desk, unit) = of_tokens("AI credits", 100).await;
    for (name, key, price) in [("A", "a", 12), ("B", "b", 5), ("C", "c", 7)] {
        let product = desk.summing(name, key, json!({})).await;
        let rate = json!({ "rate_type": "FLAT", "price": price, "credit_type_id": unit });
        desk.rate(&product, "2026-06-01", rate).await;
    }
    let fixed = desk.api.fixed_product("AI credits").await;
    let of_seats = json!({
        "priority": 1, "access_amount": { "unit_price": 100, "quantity": 4, "credit_type_id": unit },
    });
    let grant = recurring_grant(&fixed, "Seats", 0, "2026-06-01", of_seats);
    let contract = desk.contract("2026-06-01", json!({ "recurring_credits": [grant] })).await;
    let used = json!({ "a": 20, "b": 20, "c": 10 });
    desk.clock("2026-06-20").await;
    desk.event("2026-06-10", used.clone()).await;
    assert_eq!(
        bill(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "A 06-01..07-01 20 × 12 = 240 (CREDIT)",
            "Seats applied 06-01..07-01 = -240 (CREDIT)",
            "B 06-01..07-01 18 × 5 = 90 (CREDIT)",
            "Seats applied 06-01..07-01 = -90 (CREDIT)",
            "B 06-01..07-01 2 × 5 = 10",
            "C 06-01..07-01 10 × 7 = 70 (CREDIT)",
            "Seats applied 06-01..07-01 = -70 (CREDIT)",
            "AI credits conversion 06-01..07-01 10 × 100 = 1000",
            "total 1000",
        ]
    );
    let sold = json!({ "invoice_contract_id": contract, "invoice_schedule": paid(&[(8000, "2026-07-02")]) });
    let top_up = prepaid(&fixed, "Top-up", &[(1000, "2026-07-01", "2027-07-01")], sold);
    desk.commit(in_unit(top_up, &unit)).await;
    desk.clock("2026-07-20").await;
    desk.event("2026-07-10", used).await;
    assert_eq!(desk.scheduled().await, ["SCHEDULED FINALIZED 2026-07-02 8000"]);
    assert_eq!(
        bill(&desk.close("2026-07-01", "2026-08-02").await),
        [
            "A 07-01..08-01 20 × 12 = 240 (CREDIT)",
            "Seats applied 07-01..08-01 = -240 (CREDIT)",
            "B 07-01..08-01 18 × 5 = 90 (CREDIT)",
            "Seats applied 07-01..08-01 = -90 (CREDIT)",
            "B 07-01..08-01 2 × 5 = 10 (PREPAID)",
            "Top-up applied 07-01..08-01 = -10 (PREPAID)",
            "C 07-01..08-01 10 × 7 = 70 (CREDIT)",
            "Seats applied 07-01..08-01 = -70 (CREDIT)",
            "total 0",
        ],
        "at the same prices, and the month's own credits first"
    );
    assert_eq!(desk.left("Top-up").await, "990");
}

/// With the rate type that charges by itself, whose seats are not rounded.
#[tokio::test]
async fn pricing_e37_a_seat_of_a_part_of_a_month() {
    let desk = Desk::at("2026-01-20").await;
    let product = seats(&desk).await;
    desk.rate(&product, "2026-01-01", seat_rate(2900, 3)).await;
    desk.contract("2026-01-11", json!({})).await;
    let january = desk.close("2026-01-11", "2026-02-02").await;
    let line = &january["line_items"][0];
    assert_eq!(line["quantity"], json!(3));
    for (value, digits) in [(&line["unit_price"], "1964.516129032258"), (&january["total"], "5893.548387")] {
        assert!(value.to_string().starts_with(digits), "{value} begins with {digits}");
    }
}

/// The roundings of one seat, on what a recurring commit grants and costs: three seats are 6,000, 5,700 and 5,895.
#[tokio::test]
async fn pricing_e37_the_price_of_a_part_of_a_month_is_rounded() {
    for (method, places, seat) in [("HALF_UP", -2, 2000), ("FLOOR", -2, 1900), ("HALF_UP", 0, 1965)] {
        let desk = Desk::of_cents("2026-01-11", "2026-01-01").await;
        let fixed = desk.api.fixed_product("Seat").await;
        let amount = json!({ "unit_price": 2900, "quantity": 1, "credit_type_id": crate::balances::USD });
        let rounding = json!({ "rounding_method": method, "decimal_places": places });
        let more = json!({
            "invoice_amount": amount, "proration_rounding": { "access": rounding, "invoice": rounding },
        });
        let grant = recurring_grant(&fixed, "Seat", 2900, "2026-01-11", more);
        desk.contract("2026-01-11", json!({ "recurring_commits": [grant] })).await;
        desk.clock("2026-01-12").await;
        let granted: Vec<String> = desk.named("Seat").await.iter().flat_map(segments).collect();
        assert_eq!(
            granted,
            [format!("2026-01-11..2026-02-01 {seat}"), "2026-02-01..2026-03-01 2900".to_owned()],
            "{method} {places}"
        );
        let bought = overview(&desk.listed("type=SCHEDULED&status=FINALIZED").await);
        assert_eq!(bought, [format!("SCHEDULED FINALIZED 2026-01-11 {seat}")], "{method} {places}");
    }
}

/// Starter lasts a year; its fee of 1,000 is paid every month of it, and the first three months each come with a credit of 1,000.
#[tokio::test]
async fn pricing_e32_contracts_25_a_package_with_a_credit_for_its_first_months() {
    let desk = Desk::of_cents("2025-10-01", "2025-10-01").await;
    let fixed = desk.api.fixed_product("Starter").await;
    let length = |value: i64, unit: &str| json!({ "value": value, "unit": unit });
    let month =
        |months: i64| json!({ "unit_price": 1000, "quantity": 1, "date_offset": length(months, "MONTHS") });
    let starter = json!({
        "name": "Starter", "rate_card_id": desk.rates.card, "duration": length(12, "MONTHS"),
        "scheduled_charges": [{
            "product_id": fixed, "schedule": { "schedule_items": (0..12).map(month).collect::<Vec<_>>() },
        }],
        // The published sample says no quantity, so it is 1.
        "recurring_credits": [{
            "product_id": fixed, "name": "Allowance", "priority": 1, "commit_duration": { "value": 1 },
            "access_amount": { "unit_price": 1000, "credit_type_id": USD },
            "starting_at_offset": length(0, "DAYS"), "duration": length(3, "MONTHS"),
        }],
    });
    let starter = desk.api.post("/v1/packages/create", starter).await.id();
    let body = json!({ "customer_id": desk.customer, "starting_at": t("2025-10-01"), "package_id": starter });
    let contract = desk.api.post("/v1/contracts/create", body).await.data()["contract"].clone();
    assert_eq!(contract["ending_before"], t("2026-10-01"));
    assert_eq!(contract["recurring_credits"][0]["ending_before"], t("2026-01-01"));

    desk.uses("2025-10", 600).await;
    assert_eq!(
        bill(&desk.close("2025-10-01", "2025-11-02").await),
        [
            "Units 10-01..11-01 600 × 1 = 600 (CREDIT)",
            "Allowance applied 10-01..11-01 = -600 (CREDIT)",
            "total 0",
        ]
    );
    // Nothing is left over for another month.
    desk.uses("2025-11", 1500).await;
    assert_eq!(
        bill(&desk.close("2025-11-01", "2025-12-02").await),
        [
            "Units 11-01..12-01 1000 × 1 = 1000 (CREDIT)",
            "Allowance applied 11-01..12-01 = -1000 (CREDIT)",
            "Units 11-01..12-01 500 × 1 = 500",
            "total 500",
        ]
    );
    desk.uses("2026-01", 300).await;
    assert_eq!(
        bill(&desk.close("2026-01-01", "2026-02-02").await),
        ["Units 01-01..02-01 300 × 1 = 300", "total 300"]
    );
    desk.clock("2026-11-05").await;
    let grants: Vec<String> = desk.named("Allowance").await.iter().flat_map(segments).collect();
    assert_eq!(
        grants,
        ["2025-10-01..2025-11-01 1000", "2025-11-01..2025-12-01 1000", "2025-12-01..2026-01-01 1000"]
    );
    let mut fees = desk.scheduled().await;
    fees.sort();
    let dates = ["2025-10", "2025-11", "2025-12"].into_iter().map(str::to_owned);
    let dates = dates.chain((1..10).map(|month| format!("2026-{month:02}")));
    let expected: Vec<String> = dates.map(|date| format!("SCHEDULED FINALIZED {date}-01 1000")).collect();
    assert_eq!(fees, expected);
}
