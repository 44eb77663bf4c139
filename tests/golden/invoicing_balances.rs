//! Worked invoices of the invoicing reference on which commits and credits pay.

use serde_json::{Value, json};

use crate::balances::{bill, credit, overview, prepaid};
use crate::credits_order::{in_unit, of_tokens};
use crate::desk::{Desk, adds_up, number, t, tiers};

/// API Calls at 250 in September 2024, 120 of them, with this much on the commit.
async fn runs_out() -> (Desk, String) {
    let desk = Desk::at("2024-09-01").await;
    let calls = desk.product("API Calls", "SUM", json!({})).await;
    desk.flat(&calls, "2024-09-01", "250").await;
    let product = desk.api.fixed_product("Commit").await;
    let commit = prepaid(&product, "Annual Prepaid", &[(18_750, "2024-09-01", "2025-09-01")], json!({}));
    desk.contract("2024-09-01", json!({ "commits": [commit] })).await;
    for (day, calls) in [("2024-09-03", 40), ("2024-09-04", 50), ("2024-09-05", 30)] {
        desk.clock("2024-09-20").await;
        desk.n(day, calls).await;
    }
    (desk, calls)
}

const DRAWN: [&str; 2] = [
    "2024-09-01 PREPAID_COMMIT_SEGMENT_START 18750",
    "2024-10-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -18750",
];

#[tokio::test]
async fn invoicing_w2_a_prepaid_commit_runs_out() {
    let (desk, calls) = runs_out().await;
    let september = desk.close("2024-09-01", "2024-10-02").await;
    assert_eq!(
        bill(&september),
        [
            "API Calls 09-01..10-01 75 × 250 = 18750 (PREPAID)",
            "Annual Prepaid applied 09-01..10-01 = -18750 (PREPAID)",
            "API Calls 09-01..10-01 45 × 250 = 11250",
            "total 11250",
        ]
    );
    assert_eq!(desk.ledger("Annual Prepaid").await, DRAWN);
    let commit = desk.one("Annual Prepaid").await;
    let usd = json!({ "id": "2714e483-4ff1-48e4-9e25-ac732e8f24f2", "name": "USD (cents)" });
    let segment = &commit["access_schedule"]["schedule_items"][0]["id"];
    let usage = json!({
        "type": "usage", "name": "API Calls", "product_id": calls, "product_type": "UsageProductListItem",
        "product_tags": [], "product_custom_fields": {}, "quantity": 75, "unit_price": 250, "total": 18_750,
        "credit_type": usd, "starting_at": "2024-09-01T00:00:00+00:00", "ending_before": "2024-10-01T00:00:00+00:00",
        "commit_id": commit["id"], "commit_segment_id": segment, "commit_type": "PrepaidCommit",
        "commit_custom_fields": {}, "applied_commit_or_credit": { "id": commit["id"], "type": "PREPAID", "access_type": "SPEND" },
    });
    let mut applied = usage.clone();
    applied["type"] = json!("applied_commit_or_credit");
    applied["name"] = json!("Annual Prepaid applied");
    applied["total"] = json!(-18_750);
    for field in ["quantity", "unit_price"] {
        applied.as_object_mut().expect("an object").remove(field);
    }
    let mut rest = usage.clone();
    rest["quantity"] = json!(45);
    rest["total"] = json!(11_250);
    for field in
        ["commit_id", "commit_segment_id", "commit_type", "commit_custom_fields", "applied_commit_or_credit"]
    {
        rest.as_object_mut().expect("an object").remove(field);
    }
    let path =
        format!("/v1/customers/{}/invoices/{}", desk.customer, september["id"].as_str().expect("an id"));
    let invoice = desk.api.get(&path).await.data();
    assert_eq!(invoice["line_items"], json!([usage, applied, rest]));
    for (field, expected) in [
        ("type", json!("USAGE")),
        ("status", json!("FINALIZED")),
        ("total", json!(11_250)),
        ("issued_at", json!("2024-10-02T00:00:00+00:00")),
    ] {
        assert_eq!(invoice[field], expected, "{field}");
    }
}

#[tokio::test]
async fn invoicing_w5_a_credit_that_starts_inside_the_period() {
    let desk = Desk::at("2026-03-01").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-03-01", "400").await;
    let fixed = desk.api.fixed_product("Credit").await;
    let grant = credit(&fixed, "Credit", &[(10_000, "2026-03-17", "2026-04-01")], json!({}));
    desk.contract("2026-03-01", json!({ "credits": [grant] })).await;
    desk.clock("2026-03-20").await;
    desk.n("2026-03-16 23:59:59.999999", 10).await;
    desk.n("2026-03-17", 80).await;
    assert_eq!(
        bill(&desk.close("2026-03-01", "2026-04-02").await),
        [
            "Units 03-01..03-17 10 × 400 = 4000",
            "Units 03-17..04-01 25 × 400 = 10000 (CREDIT)",
            "Credit applied 03-17..04-01 = -10000 (CREDIT)",
            "Units 03-17..04-01 55 × 400 = 22000",
            "total 26000",
        ]
    );
}

#[tokio::test]
async fn invoicing_w6_one_credit_for_two_products() {
    let desk = Desk::at("2026-03-01").await;
    desk.summed("Storage", "storage", "2026-03-01", "100", json!({})).await;
    desk.summed("Reads", "reads", "2026-03-01", "260", json!({})).await;
    let fixed = desk.api.fixed_product("Credit").await;
    let grant = credit(&fixed, "Credit", &[(6000, "2026-03-01", "2026-04-01")], json!({}));
    desk.contract("2026-03-01", json!({ "credits": [grant] })).await;
    desk.clock("2026-03-20").await;
    desk.event("2026-03-10", json!({ "reads": 20, "storage": 40 })).await;
    assert_eq!(
        bill(&desk.close("2026-03-01", "2026-04-02").await),
        [
            "Storage 03-01..04-01 8 × 100 = 800 (CREDIT)",
            "Credit applied 03-01..04-01 = -800 (CREDIT)",
            "Storage 03-01..04-01 32 × 100 = 3200",
            "Reads 03-01..04-01 20 × 260 = 5200 (CREDIT)",
            "Credit applied 03-01..04-01 = -5200 (CREDIT)",
            "total 3200",
        ],
        "in the order of the card, but the dearest was paid for first"
    );
    assert_eq!(
        desk.ledger("Credit").await,
        ["2026-03-01 CREDIT_SEGMENT_START 6000", "2026-04-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -6000"]
    );
}

/// 300 calls at 2 tokens with this many tokens prepaid and this many cents of credit.
async fn tokens(prepaid_tokens: i64, cents: Option<i64>) -> Vec<String> {
    let (desk, unit) = of_tokens("AI Tokens", 10).await;
    let start = "2026-06-01";
    let calls = desk.product("Calls", "SUM", json!({})).await;
    desk.rate(&calls, start, json!({ "rate_type": "FLAT", "price": 2, "credit_type_id": unit })).await;
    let fixed = desk.api.fixed_product("Pack").await;
    let pack =
        in_unit(prepaid(&fixed, "Token Pack", &[(prepaid_tokens, start, "2027-06-01")], json!({})), &unit);
    let credits: Vec<Value> = cents
        .iter()
        .map(|cents| credit(&fixed, "Dollars", &[(*cents, start, "2027-06-01")], json!({})))
        .collect();
    desk.contract(start, json!({ "commits": [pack], "credits": credits })).await;
    desk.uses("2026-06", 300).await;
    bill(&desk.close("2026-06-01", "2026-07-02").await)
}

#[tokio::test]
async fn invoicing_w9_a_custom_pricing_unit() {
    let covered =
        ["Calls 06-01..07-01 120 × 2 = 240 (PREPAID)", "Token Pack applied 06-01..07-01 = -240 (PREPAID)"];
    let rest = "Calls 06-01..07-01 180 × 2 = 360";
    assert_eq!(
        tokens(240, None).await,
        [covered[0], covered[1], rest, "AI Tokens conversion 06-01..07-01 360 × 10 = 3600", "total 3600"]
    );
    assert_eq!(
        tokens(240, Some(1600)).await,
        [
            covered[0],
            covered[1],
            rest,
            "AI Tokens conversion 06-01..07-01 160 × 10 = 1600 (CREDIT)",
            "Dollars applied 06-01..07-01 = -1600 (CREDIT)",
            "AI Tokens conversion 06-01..07-01 200 × 10 = 2000",
            "total 2000",
        ]
    );
    assert_eq!(
        tokens(600, None).await,
        [
            "Calls 06-01..07-01 300 × 2 = 600 (PREPAID)",
            "Token Pack applied 06-01..07-01 = -600 (PREPAID)",
            "total 0",
        ]
    );
}

#[tokio::test]
async fn invoicing_w12_a_composite_and_a_credit() {
    let desk = Desk::at("2026-06-01").await;
    let compute = desk.summed("Compute", "compute", "2026-06-01", "30", json!({})).await;
    let storage = desk.summed("Storage", "storage", "2026-06-01", "25", json!({})).await;
    let body = json!({ "name": "Support", "type": "COMPOSITE", "composite_product_ids": [compute, storage] });
    let support = desk.api.post("/v1/contract-pricing/products/create", body).await.id();
    desk.rate(&support, "2026-06-01", json!({ "rate_type": "PERCENTAGE", "price": number("0.1") })).await;
    let fixed = desk.api.fixed_product("Credit").await;
    let grant = credit(&fixed, "Credit", &[(42_000, "2026-06-01", "2026-07-01")], json!({}));
    desk.contract("2026-06-01", json!({ "credits": [grant] })).await;
    desk.clock("2026-06-20").await;
    desk.event("2026-06-10", json!({ "compute": 1000, "storage": 400 })).await;
    assert_eq!(
        bill(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Compute 06-01..07-01 1000 × 30 = 30000 (CREDIT)",
            "Credit applied 06-01..07-01 = -30000 (CREDIT)",
            "Storage 06-01..07-01 400 × 25 = 10000 (CREDIT)",
            "Credit applied 06-01..07-01 = -10000 (CREDIT)",
            "Support 06-01..07-01 20000 × 0.1 = 2000 (CREDIT)",
            "Credit applied 06-01..07-01 = -2000 (CREDIT)",
            "Support 06-01..07-01 20000 × 0.1 = 2000",
            "total 2000",
        ]
    );
}

/// A value that was `first` and then became `second`, at prices before and after 17 March, with a credit from a date on.
async fn gauge(prices: [&str; 2], values: [i64; 2], amount: i64, from: &str) -> Vec<String> {
    let desk = Desk::at("2026-03-01").await;
    let product = desk.product("Gauge", "LATEST", json!({})).await;
    desk.flat(&product, "2026-03-01", prices[0]).await;
    desk.flat(&product, "2026-03-17", prices[1]).await;
    let fixed = desk.api.fixed_product("Credit").await;
    let grant = credit(&fixed, "Credit", &[(amount, from, "2026-04-01")], json!({}));
    desk.contract("2026-03-01", json!({ "credits": [grant] })).await;
    desk.clock("2026-03-20").await;
    desk.n("2026-03-10", values[0]).await;
    desk.n("2026-03-18", values[1]).await;
    bill(&desk.close("2026-03-01", "2026-04-02").await)
}

#[tokio::test]
async fn invoicing_w13_a_falling_value_and_a_total_below_zero() {
    assert_eq!(
        gauge(["200", "250"], [30, 22], 5000, "2026-03-01").await,
        [
            "Gauge 03-01..03-17 25 × 200 = 5000 (CREDIT)",
            "Credit applied 03-01..03-17 = -5000 (CREDIT)",
            "Gauge 03-01..03-17 5 × 200 = 1000",
            "Gauge 03-17..04-01 -8 × 250 = -2000",
            "total -1000",
        ],
        "the credit is not saved for netting"
    );
}

#[tokio::test]
async fn invoicing_w23_pricing_e22_a_latest_value_and_a_credit() {
    assert_eq!(
        gauge(["300", "400"], [40, 120], 10_000, "2026-03-17").await,
        [
            "Gauge 03-01..03-17 40 × 300 = 12000",
            "Gauge 03-17..04-01 25 × 400 = 10000 (CREDIT)",
            "Credit applied 03-17..04-01 = -10000 (CREDIT)",
            "Gauge 03-17..04-01 55 × 400 = 22000",
            "total 34000",
        ]
    );
    assert_eq!(
        gauge(["300", "400"], [40, 30], 10_000, "2026-03-01").await,
        [
            "Gauge 03-01..03-17 33.33… × 300 = 10000 (CREDIT)",
            "Credit applied 03-01..03-17 = -10000 (CREDIT)",
            "Gauge 03-01..03-17 6.66… × 300 = 2000",
            "Gauge 03-17..04-01 -10 × 400 = -4000",
            "total -2000",
        ]
    );
}

#[tokio::test]
async fn invoicing_w15_void_and_regenerate() {
    let (desk, calls) = runs_out().await;
    let wrong = desk.close("2024-09-01", "2024-10-02").await;
    assert_eq!(desk.left("Annual Prepaid").await, "0");
    desk.void(&wrong).await;
    let mut void = wrong.clone();
    void["status"] = json!("VOID");
    let path = |invoice: &Value| {
        let id = invoice["id"].as_str().expect("an id");
        format!("/v1/customers/{}/invoices/{id}?include_list_prices=true", desk.customer)
    };
    assert_eq!(desk.api.get(&path(&wrong)).await.data(), void, "its lines are kept");
    assert_eq!(desk.left("Annual Prepaid").await, "18750");
    let canceled = "2024-10-01 PREPAID_COMMIT_CANCELED 18750";
    let mut ledger = desk.ledger("Annual Prepaid").await;
    ledger.sort();
    let mut expected = vec![DRAWN[0], DRAWN[1], canceled];
    expected.sort_unstable();
    assert_eq!(ledger, expected);

    desk.flat(&calls, "2024-09-01", "200").await;
    let right = desk.regenerate(&wrong).await;
    assert_eq!(
        bill(&right),
        [
            "API Calls 09-01..10-01 93.75 × 200 = 18750 (PREPAID)",
            "Annual Prepaid applied 09-01..10-01 = -18750 (PREPAID)",
            "API Calls 09-01..10-01 26.25 × 200 = 5250",
            "total 5250",
        ]
    );
    assert_ne!(right["id"], wrong["id"]);
    assert_eq!(
        (&right["regenerated_from_invoice_id"], &right["status"], &right["start_timestamp"]),
        (&wrong["id"], &json!("FINALIZED"), &wrong["start_timestamp"])
    );
    assert_eq!(desk.api.get(&path(&wrong)).await.data(), void);
    let mut both = overview(&desk.listed("status=FINALIZED").await);
    both.extend(overview(&desk.listed("status=VOID").await));
    assert_eq!(both, ["USAGE FINALIZED 2024-10-01 5250", "USAGE VOID 2024-10-01 11250"]);
    assert_eq!(desk.left("Annual Prepaid").await, "0");
    let commit = desk.one("Annual Prepaid").await;
    let of_invoices: Vec<(&str, &Value)> = commit["ledger"]
        .as_array()
        .expect("a ledger")
        .iter()
        .filter(|entry| entry.get("invoice_id").is_some())
        .map(|entry| (entry["type"].as_str().expect("a type"), &entry["invoice_id"]))
        .collect();
    for expected in [
        ("PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", &wrong["id"]),
        ("PREPAID_COMMIT_CANCELED", &wrong["id"]),
        ("PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", &right["id"]),
    ] {
        assert!(of_invoices.contains(&expected), "{expected:?} in {of_invoices:?}");
    }
    assert_eq!(of_invoices.len(), 3);
}

#[tokio::test]
async fn invoicing_w19_an_override_beside_the_list_price() {
    let desk = Desk::at("2026-03-20").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-03-01", "100").await;
    let off = json!({
        "starting_at": t("2026-03-01"), "type": "MULTIPLIER", "multiplier": number("0.8"), "product_id": product,
    });
    desk.contract("2026-03-01", json!({ "overrides": [off] })).await;
    desk.n("2026-03-10", 50).await;
    let march = desk.close("2026-03-01", "2026-04-02").await;
    assert_eq!(bill(&march), ["Units 03-01..04-01 50 × 80 = 4000", "total 4000"]);
    let list_price = &march["line_items"][0]["list_price"];
    assert_eq!(
        (&list_price["rate_type"], &list_price["price"], &list_price["credit_type"]["name"]),
        (&json!("FLAT"), &json!(100), &json!("USD (cents)"))
    );
    let plain = desk.listed("type=USAGE&status=FINALIZED").await;
    assert_eq!(plain[0]["line_items"][0].get("list_price"), None, "only where it is asked for");
}

/// A thousand free calls and then 2 each, of which 998 are used, with this much of a credit.
async fn nearly_used_up(amount: i64) -> Desk {
    let desk = Desk::at("2026-03-10").await;
    let calls = desk.product("Calls", "SUM", json!({})).await;
    desk.rate(&calls, "2026-03-01", tiers(&[("1000", "0"), ("", "2")])).await;
    let fixed = desk.api.fixed_product("Credit").await;
    let grant = credit(&fixed, "Credit", &[(amount, "2026-03-01", "2026-04-01")], json!({}));
    desk.contract("2026-03-01", json!({ "credits": [grant] })).await;
    desk.n("2026-03-09", 998).await;
    desk
}

/// What ten more calls would make of the draft.
async fn preview(desk: &Desk, mode: &str) -> Vec<String> {
    let events: Vec<Value> =
        (0..10).map(|_| json!({ "event_type": "use", "properties": { "n": 1 } })).collect();
    let path = format!("/v1/customers/{}/previewEvents", desk.customer);
    let invoices = desk.api.post(&path, json!({ "events": events, "mode": mode })).await.data();
    adds_up(&invoices[0]);
    bill(&invoices[0])
}

#[tokio::test]
async fn invoicing_w18_a_preview() {
    let desk = nearly_used_up(0).await;
    assert_eq!(
        preview(&desk, "merge").await,
        ["Calls 03-01..04-01 [1] 1000 × 0 = 0", "Calls 03-01..04-01 [2] 8 × 2 = 16", "total 16"]
    );
    assert_eq!(preview(&desk, "replace").await, ["Calls 03-01..04-01 [1] 10 × 0 = 0", "total 0"]);
}

#[tokio::test]
async fn invoicing_w18_a_preview_draws_a_credit_and_keeps_nothing() {
    let desk = nearly_used_up(10).await;
    assert_eq!(
        preview(&desk, "merge").await,
        [
            "Calls 03-01..04-01 [1] 1000 × 0 = 0",
            "Calls 03-01..04-01 [2] 5 × 2 = 10 (CREDIT)",
            "Credit applied 03-01..04-01 = -10 (CREDIT)",
            "Calls 03-01..04-01 [2] 3 × 2 = 6",
            "total 6",
        ]
    );
    assert_eq!((desk.left("Credit").await.as_str(), desk.total("2026-03-01").await.as_str()), ("10", "0"));
}
