//! Worked examples of the reference on credits and commits: schedules of payments, and grants that recur.

use serde_json::{Value, json};

use crate::balances::{
    amount_of, bill, credit, entries, overview, paid, prepaid, recurring_grant, segments, short, with,
};
use crate::desk::{Desk, t};

/// The windows and amounts of all balances of a name.
async fn children(desk: &Desk, name: &str) -> Vec<String> {
    desk.named(name).await.iter().flat_map(segments).collect()
}

/// A contract from 12 January to 16 April 2026 with a recurring credit of 31,000 and more, once it is over.
async fn prorated(more: Value) -> Desk {
    let desk = Desk::of_cents("2026-01-12", "2026-01-01").await;
    let product = desk.api.fixed_product("Credit").await;
    let grant = recurring_grant(&product, "Monthly", 31_000, "2026-01-12", more);
    let terms = json!({ "recurring_credits": [grant], "ending_before": t("2026-04-16") });
    desk.contract("2026-01-12", terms).await;
    desk.clock("2026-04-20").await;
    desk
}

#[tokio::test]
async fn credits_e8_periods_of_the_usage_invoices_are_prorated_at_both_ends() {
    let desk = prorated(json!({})).await;
    assert_eq!(
        children(&desk, "Monthly").await,
        [
            "2026-01-12..2026-02-01 20000",
            "2026-02-01..2026-03-01 31000",
            "2026-03-01..2026-04-01 31000",
            "2026-04-01..2026-04-16 15500",
        ]
    );
}

#[tokio::test]
async fn credits_e8_periods_of_its_own_start_full() {
    let monthly = || json!({ "recurrence_frequency": "MONTHLY" });
    let rounded = json!({
        "proration_rounding": { "access": { "rounding_method": "HALF_UP", "decimal_places": 0 } },
    });
    for (more, last) in [(monthly(), "4133.33…"), (with(monthly(), rounded), "4133")] {
        let desk = prorated(more).await;
        assert_eq!(
            children(&desk, "Monthly").await,
            [
                "2026-01-12..2026-02-12 31000".to_owned(),
                "2026-02-12..2026-03-12 31000".to_owned(),
                "2026-03-12..2026-04-12 31000".to_owned(),
                format!("2026-04-12..2026-04-16 {last}"),
            ]
        );
    }
}

#[tokio::test]
async fn credits_e8_without_proration_every_period_is_full() {
    let desk = prorated(json!({ "proration": "NONE" })).await;
    assert_eq!(
        children(&desk, "Monthly").await,
        [
            "2026-01-12..2026-02-01 31000",
            "2026-02-01..2026-03-01 31000",
            "2026-03-01..2026-04-01 31000",
            "2026-04-01..2026-04-16 31000",
        ]
    );
}

#[tokio::test]
async fn credits_e8_what_lives_two_periods_burns_before_the_next() {
    let desk = Desk::of_cents("2026-01-12", "2026-01-01").await;
    let product = desk.api.fixed_product("Credit").await;
    let twice = json!({ "commit_duration": { "value": 2, "unit": "PERIODS" } });
    let grant = recurring_grant(&product, "Monthly", 31_000, "2026-01-12", twice);
    let terms = json!({ "recurring_credits": [grant], "ending_before": t("2026-04-16") });
    desk.contract("2026-01-12", terms).await;
    desk.uses("2026-03", 40_000).await;
    let monthly = desk.named("Monthly").await;
    let of = |start: &str| {
        let starts = |balance: &&Value| segments(balance)[0].starts_with(start);
        monthly.iter().find(starts).unwrap_or_else(|| panic!("a child that starts on {start}: {monthly:?}"))
    };
    assert_eq!(segments(of("2026-02-01")), ["2026-02-01..2026-04-01 31000"]);
    let deduction = "2026-04-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION";
    assert_eq!(
        entries(of("2026-02-01")),
        ["2026-02-01 CREDIT_SEGMENT_START 31000".to_owned(), format!("{deduction} -31000")]
    );
    assert_eq!(
        entries(of("2026-03-01")),
        ["2026-03-01 CREDIT_SEGMENT_START 31000".to_owned(), format!("{deduction} -9000")]
    );
    assert_eq!(
        entries(of("2026-01-12")),
        ["2026-01-12 CREDIT_SEGMENT_START 20000", "2026-03-01 CREDIT_EXPIRATION -20000"]
    );
}

#[tokio::test]
async fn credits_e9_payments_that_recur() {
    let drafts = |totals: [&str; 2], last: &str| {
        let [first, second] = totals;
        [
            format!("SCHEDULED FINALIZED 2026-01-01 {first}"),
            format!("SCHEDULED DRAFT 2026-02-01 {second}"),
            format!("SCHEDULED DRAFT 2026-03-01 {last}"),
        ]
    };
    for (distribution, expected) in [
        ("EACH", drafts(["100000"; 2], "100000")),
        ("DIVIDED", drafts(["33333.33…"; 2], "33333.33…")),
        ("DIVIDED_ROUNDED", drafts(["33333"; 2], "33334")),
    ] {
        let desk = Desk::of_cents("2026-01-01", "2026-01-01").await;
        let product = desk.api.fixed_product("Commit").await;
        let schedule = json!({ "recurring_schedule": {
            "starting_at": t("2026-01-01"), "ending_before": t("2026-04-01"), "frequency": "MONTHLY",
            "amount_distribution": distribution, "amount": 100_000,
        } });
        let grants = [(100_000, "2026-01-01", "2026-04-01")];
        let commit = prepaid(&product, "Commit", &grants, json!({ "invoice_schedule": schedule }));
        desk.contract("2026-01-01", json!({ "commits": [commit] })).await;
        desk.api.work().await;
        assert_eq!(desk.scheduled().await, expected, "{distribution}");
    }
}

#[tokio::test]
async fn credits_e31_invoicing_w11_commit_charges_on_usage_invoices() {
    let desk = Desk::at("2026-01-01").await;
    let units = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&units, "2026-01-01", "100").await;
    let product = desk.api.fixed_product("Commit").await;
    let more = json!({ "invoice_amount": amount_of(7500) });
    let grant = recurring_grant(&product, "Monthly", 10_000, "2026-01-01", more);
    let terms = json!({ "recurring_commits": [grant], "scheduled_charges_on_usage_invoices": "ALL" });
    desk.contract("2026-01-01", terms).await;
    desk.api.work().await;
    let first = "SCHEDULED FINALIZED 2026-01-01 7500";
    assert_eq!(overview(&desk.listed("type=SCHEDULED&status=FINALIZED").await), [first]);
    desk.uses("2026-01", 130).await;
    desk.clock("2026-02-01").await;
    let january = desk.close("2026-01-01", "2026-02-02").await;
    assert_eq!(
        bill(&january),
        [
            "Units 01-01..02-01 100 × 100 = 10000 (PREPAID)",
            "Monthly applied 01-01..02-01 = -10000 (PREPAID)",
            "Units 01-01..02-01 30 × 100 = 3000",
            "Monthly 1 × 7500 = 7500",
            "total 10500",
        ]
    );
    assert_eq!(january["issued_at"], "2026-02-02T00:00:00+00:00");
    let purchase = &january["line_items"][3];
    assert_eq!((&purchase["type"], purchase["commit_id"].is_string()), (&json!("commit_purchase"), true));
    let of_february = &desk.named("Monthly").await[1];
    assert_eq!(
        (segments(of_february), &of_february["id"]),
        (vec!["2026-02-01..2026-03-01 10000".to_owned()], &purchase["commit_id"])
    );
    desk.uses("2026-02", 100).await;
    desk.clock("2026-03-01").await;
    assert_eq!(
        bill(&desk.close("2026-02-01", "2026-03-02").await)[2..],
        ["Monthly 1 × 7500 = 7500", "total 7500"],
        "and every later one likewise"
    );
    assert_eq!(overview(&desk.listed("type=SCHEDULED&status=FINALIZED").await), [first]);
}

#[tokio::test]
async fn credits_e33_a_recurring_credit_that_ends() {
    let desk = Desk::of_cents("2025-10-01", "2025-10-01").await;
    let product = desk.api.fixed_product("Credit").await;
    let grant =
        recurring_grant(&product, "Monthly", 1000, "2025-10-01", json!({ "ending_before": t("2026-01-01") }));
    desk.contract("2025-10-01", json!({ "recurring_credits": [grant] })).await;
    desk.clock("2026-02-10").await;
    assert_eq!(
        children(&desk, "Monthly").await,
        ["2025-10-01..2025-11-01 1000", "2025-11-01..2025-12-01 1000", "2025-12-01..2026-01-01 1000",]
    );
}

#[tokio::test]
async fn credits_e34_invoicing_w8_payment_in_instalments() {
    let desk = Desk::of_cents("2024-10-01 09:00", "2024-10-01").await;
    let product = desk.api.fixed_product("Commit").await;
    let fee = desk.api.fixed_product("Fee").await;
    let more = json!({ "invoice_schedule": paid(&[(400_000, "2024-10-01"), (600_000, "2024-11-01")]) });
    let commit = prepaid(&product, "Annual Prepaid", &[(1_000_000, "2024-10-01", "2025-10-01")], more);
    let mut platform_fee = crate::desk::charge(&fee, &[("2024-11-01", 50_000)]);
    platform_fee["name"] = json!("Platform fee");
    let terms = json!({ "commits": [commit], "scheduled_charges": [platform_fee] });
    let contract = desk.contract("2024-10-01", terms).await;
    desk.api.work().await;
    assert_eq!(desk.left("Annual Prepaid").await, "1000000", "all of it can be used from the first day on");
    let invoices = desk.listed("type=SCHEDULED").await;
    assert_eq!(
        overview(&invoices),
        ["SCHEDULED FINALIZED 2024-10-01 400000", "SCHEDULED DRAFT 2024-11-01 650000"]
    );
    let year = desk.one("Annual Prepaid").await;
    let usd = json!({ "id": crate::balances::USD, "name": "USD (cents)" });
    let purchase = |amount: i64| {
        json!({
            "type": "commit_purchase", "name": "Annual Prepaid", "product_id": product,
            "product_type": "FixedProductListItem", "product_tags": [], "product_custom_fields": {}, "quantity": 1,
            "unit_price": amount, "total": amount, "credit_type": usd, "commit_id": year["id"],
            "commit_custom_fields": {},
        })
    };
    assert_eq!(invoices[0]["line_items"], json!([purchase(400_000)]));
    let lines = invoices[1]["line_items"].as_array().expect("lines");
    assert_eq!(lines.len(), 2);
    assert!(lines.contains(&purchase(600_000)), "{lines:?}");
    let of_fee = lines.iter().find(|line| line["type"] == "scheduled").expect("the fee");
    assert_eq!((&of_fee["name"], &of_fee["total"]), (&json!("Platform fee"), &json!(50_000)));
    for invoice in &invoices {
        for field in ["end_timestamp", "issued_at"] {
            assert_eq!(invoice[field], invoice["start_timestamp"], "{field}");
        }
        assert_eq!(invoice["contract_id"], contract.as_str());
    }
    desk.clock("2024-11-01").await;
    let mut finalized = invoices[1].clone();
    finalized["status"] = json!("FINALIZED");
    assert_eq!(desk.listed("type=SCHEDULED").await[1], finalized, "without any grace");
    let items = desk.one("Annual Prepaid").await["invoice_schedule"]["schedule_items"].clone();
    for (number, invoice) in invoices.iter().enumerate() {
        assert_eq!(items[number]["invoice_id"], invoice["id"]);
    }
}

#[tokio::test]
async fn credits_e34_quarterly_payments() {
    let desk = Desk::of_cents("2024-10-20", "2024-10-01").await;
    let product = desk.api.fixed_product("Commit").await;
    let schedule = json!({ "recurring_schedule": {
        "starting_at": t("2024-11-01"), "ending_before": t("2025-11-01"), "frequency": "QUARTERLY",
        "amount_distribution": "EACH", "amount": 100_000,
    } });
    let grants = [(400_000, "2024-11-01", "2025-11-01")];
    let commit = prepaid(&product, "Commit", &grants, json!({ "invoice_schedule": schedule }));
    desk.contract("2024-11-01", json!({ "commits": [commit] })).await;
    let dates = ["2024-11-01", "2025-02-01", "2025-05-01", "2025-08-01"];
    assert_eq!(desk.scheduled().await, dates.map(|date| format!("SCHEDULED DRAFT {date} 100000")));
}

#[tokio::test]
async fn credits_e34_a_discount_on_a_commit_moves_no_price() {
    let desk = Desk::of_cents("2024-10-01", "2024-10-01").await;
    let product = desk.api.fixed_product("Commit").await;
    let more = json!({ "invoice_schedule": paid(&[(800_000, "2024-10-01")]), "priority": 10 });
    let commit = prepaid(&product, "Commit", &[(1_000_000, "2024-10-01", "2025-10-01")], more);
    let free = credit(&product, "Free", &[(100, "2024-10-01", "2025-10-01")], json!({ "priority": 10 }));
    desk.contract("2024-10-01", json!({ "commits": [commit], "credits": [free] })).await;
    desk.uses("2024-10", 1000).await;
    assert_eq!(
        desk.bill("2024-10-01").await,
        [
            "Units 10-01..11-01 100 × 1 = 100 (CREDIT)",
            "Free applied 10-01..11-01 = -100 (CREDIT)",
            "Units 10-01..11-01 900 × 1 = 900 (PREPAID)",
            "Commit applied 10-01..11-01 = -900 (PREPAID)",
            "total 0",
        ],
        "it costs something, so what is free goes first"
    );
    let commit = desk.one("Commit").await;
    assert_eq!((short(&commit["balance"]).as_str(), &commit["cost_basis"]), ("999100", &json!(0.8)));
}
