//! Worked examples of the reference on credits and commits: what stands in a ledger, what is left, and what is billed.

use serde_json::json;

use crate::balances::{bill, credit, overview, paid, postpaid, prepaid, segments};
use crate::desk::{Desk, number, t, text};

const YEAR: [&str; 12] = [
    "2024-01", "2024-02", "2024-03", "2024-04", "2024-05", "2024-06", "2024-07", "2024-08", "2024-09",
    "2024-10", "2024-11", "2024-12",
];

#[tokio::test]
async fn credits_e1_a_credit_from_draft_to_expiry() {
    let desk = Desk::of_cents("2026-03-01", "2026-03-01").await;
    let product = desk.api.fixed_product("Credits").await;
    desk.contract("2026-03-01", json!({})).await;
    desk.credit(credit(&product, "Grant", &[(25_000, "2026-03-01", "2026-04-01")], json!({}))).await;
    desk.uses("2026-03", 9000).await;
    let start = "2026-03-01 CREDIT_SEGMENT_START 25000";
    assert_eq!(desk.ledger("Grant").await, [start, "2026-04-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -9000"]);
    assert_eq!(desk.left("Grant").await, "16000");
    let finalized = || json!({ "invoice_inclusion_mode": "FINALIZED" });
    assert_eq!(
        (desk.net(json!({})).await.as_str(), desk.net(finalized()).await.as_str()),
        ("16000", "25000")
    );

    desk.clock("2026-03-31").await;
    desk.n("2026-03-30", 8350).await;
    desk.clock("2026-04-01").await;
    let ended = |drawn: &str, expired: &str| {
        [
            start.to_owned(),
            format!("2026-04-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -{drawn}"),
            format!("2026-04-01 CREDIT_EXPIRATION -{expired}"),
        ]
    };
    assert_eq!(desk.ledger("Grant").await, ended("17350", "7650"));
    assert_eq!(desk.left("Grant").await, "0");
    desk.clock("2026-04-01 12:00").await;
    desk.n("2026-03-31", 400).await;
    assert_eq!(desk.ledger("Grant").await, ended("17750", "7250"), "inside the grace period");
    desk.close("2026-03-01", "2026-04-02").await;
    desk.n("2026-03-31", 1000).await;
    assert_eq!(desk.ledger("Grant").await, ended("17750", "7250"), "frozen");
    assert_eq!((desk.net(json!({})).await.as_str(), desk.net(finalized()).await.as_str()), ("0", "0"));
}

#[tokio::test]
async fn credits_e2_a_prepaid_commit_of_two_segments_and_overage() {
    let desk = Desk::of_cents("2026-01-01", "2026-01-01").await;
    let product = desk.api.fixed_product("Commit").await;
    let grants = [(600_000, "2026-01-01", "2026-04-01"), (400_000, "2026-04-01", "2026-07-01")];
    let more = json!({ "invoice_schedule": paid(&[(900_000, "2026-01-01")]) });
    desk.contract("2026-01-01", json!({ "commits": [prepaid(&product, "Half year", &grants, more)] })).await;
    desk.api.work().await;
    assert_eq!(desk.scheduled().await, ["SCHEDULED FINALIZED 2026-01-01 900000"]);
    assert_eq!(desk.one("Half year").await["cost_basis"], json!(0.9));
    let used = [150_000, 210_000, 190_000, 260_000, 180_000, 50_000];
    let months = ["2026-01", "2026-02", "2026-03", "2026-04", "2026-05", "2026-06"];
    let left = ["450000", "240000", "50000", "140000", "0", "0"];
    let totals = ["0", "0", "0", "0", "40000", "50000"];
    for (((month, used), left), total) in months.into_iter().zip(used).zip(left).zip(totals) {
        desk.uses(month, used).await;
        assert_eq!(desk.left("Half year").await, left, "{month}");
        assert_eq!(desk.total(&format!("{month}-01")).await, total, "{month}");
    }
    desk.clock("2026-07-02").await;
    for (month, total) in months.into_iter().zip(totals) {
        let invoice = desk.invoice(&format!("{month}-01")).await;
        assert_eq!((&invoice["status"], invoice["total"].to_string().as_str()), (&json!("FINALIZED"), total));
    }
    assert_eq!(
        desk.ledger("Half year").await,
        [
            "2026-01-01 PREPAID_COMMIT_SEGMENT_START 600000",
            "2026-02-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -150000",
            "2026-03-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -210000",
            "2026-04-01 PREPAID_COMMIT_SEGMENT_START 400000",
            "2026-04-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -190000",
            "2026-04-01 PREPAID_COMMIT_EXPIRATION -50000",
            "2026-05-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -260000",
            "2026-06-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -140000",
        ]
    );
}

/// A promise of 1,200,000 for the first quarter with 200,000 prepaid in front of it.
async fn promise() -> Desk {
    let desk = Desk::of_cents("2026-01-01", "2026-01-01").await;
    let product = desk.api.fixed_product("Commit").await;
    let commits = json!([
        postpaid(&product, "Promise", (1_200_000, "2026-01-01", "2026-04-01"), "2026-04-01", json!({})),
        prepaid(&product, "Prepaid", &[(200_000, "2026-01-01", "2026-04-01")], json!({})),
    ]);
    desk.contract("2026-01-01", json!({ "commits": commits })).await;
    desk
}

const PROMISED: [&str; 3] = [
    "2026-01-01 POSTPAID_COMMIT_INITIAL_BALANCE 1200000",
    "2026-02-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -150000",
    "2026-03-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -420000",
];

#[tokio::test]
async fn credits_e5_a_postpaid_commit_behind_a_prepaid_one() {
    let desk = promise().await;
    let draft = |total: &str| [format!("SCHEDULED DRAFT 2026-04-01 {total}")];
    assert_eq!(desk.scheduled().await, draft("1200000"));
    desk.uses("2026-01", 350_000).await;
    assert_eq!(
        desk.bill("2026-01-01").await,
        [
            "Units 01-01..02-01 200000 × 1 = 200000 (PREPAID)",
            "Prepaid applied 01-01..02-01 = -200000 (PREPAID)",
            "Units 01-01..02-01 150000 × 1 = 150000 (POSTPAID)",
            "Promise applied 01-01..02-01 = -150000 (POSTPAID)",
            "total 150000",
        ]
    );
    assert_eq!(
        (desk.scheduled().await, desk.left("Promise").await.as_str()),
        (draft("1050000").into(), "1050000")
    );
    desk.uses("2026-02", 420_000).await;
    assert_eq!(
        (desk.total("2026-02-01").await.as_str(), desk.scheduled().await),
        ("420000", draft("630000").into())
    );
    desk.uses("2026-03", 300_000).await;
    assert_eq!(
        (desk.total("2026-03-01").await.as_str(), desk.scheduled().await),
        ("300000", draft("330000").into())
    );
    desk.clock("2026-04-01 23:59").await;
    assert_eq!(desk.scheduled().await, draft("330000"), "it waits for the last usage invoice");
    desk.clock("2026-04-02").await;
    let promise = desk.one("Promise").await;
    let true_ups = desk.listed("type=SCHEDULED").await;
    assert_eq!(overview(&true_ups), ["SCHEDULED FINALIZED 2026-04-01 330000"]);
    let line = &true_ups[0]["line_items"][0];
    for (field, expected) in [
        ("type", json!("commit_purchase")),
        ("product_type", json!("FixedProductListItem")),
        ("commit_type", json!("PostpaidCommit")),
        ("commit_id", promise["id"].clone()),
        ("postpaid_commit", json!({ "id": promise["id"] })),
        ("quantity", json!(1)),
        ("total", json!(330_000)),
    ] {
        assert_eq!(line[field], expected, "{field}");
    }
    let closed = [
        "2026-04-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -300000",
        "2026-04-01 POSTPAID_COMMIT_TRUEUP -330000",
    ];
    assert_eq!(desk.ledger("Promise").await, [&PROMISED[..], &closed].concat());
    assert_eq!(
        desk.ledger("Prepaid").await,
        [
            "2026-01-01 PREPAID_COMMIT_SEGMENT_START 200000",
            "2026-02-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -200000",
        ]
    );
    let mut billed = 0;
    for month in ["2026-01-01", "2026-02-01", "2026-03-01"] {
        billed += desk.invoice(month).await["total"].as_i64().expect("whole cents");
    }
    assert_eq!(billed + 330_000, 1_200_000, "what was promised is paid in arrears");
}

#[tokio::test]
async fn credits_e5_without_a_true_up_the_rest_lapses() {
    let desk = promise().await;
    desk.uses("2026-01", 350_000).await;
    let promise = desk.one("Promise").await;
    let body = json!({
        "customer_id": desk.customer, "commit_id": promise["id"], "contract_id": promise["contract"]["id"],
    });
    for call in ["first", "once more"] {
        let answer = desk.api.post("/v1/contracts/commits/disableTrueup", body.clone()).await;
        assert_eq!(json!(answer.id()), promise["id"], "{call}");
    }
    assert_eq!(desk.scheduled().await, [""; 0]);
    desk.uses("2026-02", 420_000).await;
    desk.uses("2026-03", 300_000).await;
    desk.clock("2026-04-02").await;
    let closed = [
        "2026-04-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -300000",
        "2026-04-01 POSTPAID_COMMIT_EXPIRATION -330000",
    ];
    assert_eq!(desk.ledger("Promise").await, [&PROMISED[..], &closed].concat());
    assert_eq!(desk.scheduled().await, [""; 0]);
}

#[tokio::test]
async fn credits_e5_what_goes_beyond_the_promise_is_overage() {
    let desk = promise().await;
    for (month, used) in [("2026-01", 350_000), ("2026-02", 420_000), ("2026-03", 700_000)] {
        desk.uses(month, used).await;
    }
    let march = desk.close("2026-03-01", "2026-04-02").await;
    assert_eq!(
        bill(&march),
        [
            "Units 03-01..04-01 630000 × 1 = 630000 (POSTPAID)",
            "Promise applied 03-01..04-01 = -630000 (POSTPAID)",
            "Units 03-01..04-01 70000 × 1 = 70000",
            "total 700000",
        ]
    );
    let closed = ["2026-04-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -630000"];
    assert_eq!(desk.ledger("Promise").await, [&PROMISED[..], &closed].concat());
    assert_eq!(desk.scheduled().await, [""; 0], "nothing is short");
}

/// The example's deduction is of an invoice that is final: what a draft draws follows the entry at once, so that no draft ever
/// draws more than is there.
#[tokio::test]
async fn credits_e11_manual_entries_and_the_floor() {
    let desk = Desk::of_cents("2026-01-01", "2026-01-01").await;
    let product = desk.api.fixed_product("Commit").await;
    desk.contract("2026-01-01", json!({})).await;
    let first = [(50_000, "2026-01-01", "2026-04-01")];
    desk.commit(prepaid(&product, "One", &first, json!({ "priority": 1 }))).await;
    let other = [(7000, "2026-01-01", "2026-06-01")];
    desk.commit(prepaid(&product, "Other", &other, json!({ "priority": 2 }))).await;
    desk.uses("2026-01", 20_000).await;
    assert_eq!(desk.left("One").await, "30000");
    desk.close("2026-01-01", "2026-02-02").await;
    let state = async || (desk.left("One").await, desk.net(json!({})).await);
    let expected = |left: &str, net: &str| (left.to_owned(), net.to_owned());
    assert_eq!(state().await, expected("30000", "37000"));
    desk.write("One", 0, "-40000", json!({})).await;
    assert_eq!(state().await, expected("0", "7000"), "10000 below zero is nothing, and no debt");
    desk.write("One", 0, "25000", json!({ "timestamp": t("2026-03-15") })).await;
    assert_eq!(state().await, expected("15000", "22000"), "the hole is filled first, whatever the date");
    desk.clock("2026-04-02").await;
    assert_eq!(
        desk.ledger("One").await,
        [
            "2026-01-01 PREPAID_COMMIT_SEGMENT_START 50000",
            "2026-01-01 PREPAID_COMMIT_MANUAL -40000",
            "2026-02-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -20000",
            "2026-03-15 PREPAID_COMMIT_MANUAL 25000",
            "2026-04-01 PREPAID_COMMIT_EXPIRATION -15000",
        ]
    );
    assert_eq!(state().await, expected("0", "7000"));
}

#[tokio::test]
async fn credits_e11_what_a_draft_draws_follows_an_entry() {
    let desk = Desk::of_cents("2026-01-01", "2026-01-01").await;
    let product = desk.api.fixed_product("Commit").await;
    desk.contract("2026-01-01", json!({})).await;
    desk.credit(credit(&product, "One", &[(50_000, "2026-01-01", "2026-04-01")], json!({}))).await;
    desk.uses("2026-01", 20_000).await;
    desk.write("One", 0, "-40000", json!({})).await;
    assert_eq!((desk.left("One").await.as_str(), desk.total("2026-01-01").await.as_str()), ("0", "10000"));
    assert_eq!(
        desk.ledger("One").await,
        [
            "2026-01-01 CREDIT_SEGMENT_START 50000",
            "2026-01-01 CREDIT_MANUAL -40000",
            "2026-02-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -10000",
        ]
    );
    desk.write("One", 0, "25000", json!({})).await;
    assert_eq!((desk.left("One").await.as_str(), desk.total("2026-01-01").await.as_str()), ("15000", "0"));
}

#[tokio::test]
async fn credits_e17_ending_early() {
    let desk = Desk::of_cents("2026-01-01", "2026-01-01").await;
    let product = desk.api.fixed_product("Commit").await;
    desk.contract("2026-01-01", json!({})).await;
    let commit =
        desk.commit(prepaid(&product, "Half year", &[(60_000, "2026-01-01", "2026-07-01")], json!({}))).await;
    for month in ["2026-01", "2026-02", "2026-03"] {
        desk.uses(month, 6000).await;
    }
    desk.clock("2026-04-05").await;
    desk.n("2026-04-04", 4000).await;
    let end = async |end: &str| {
        let body =
            json!({ "customer_id": desk.customer, "commit_id": commit, "access_ending_before": t(end) });
        desk.api.post("/v1/contracts/customerCommits/updateEndDate", body).await
    };
    end("2026-08-01").await.refused(400, &["access_ending_before"]);
    assert_eq!(end("2026-04-10").await.id(), commit);
    assert_eq!(desk.left("Half year").await, "38000");
    desk.clock("2026-04-20").await;
    desk.n("2026-04-12", 3500).await;
    let expected = [
        "2026-01-01 PREPAID_COMMIT_SEGMENT_START 60000",
        "2026-02-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -6000",
        "2026-03-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -6000",
        "2026-04-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -6000",
        "2026-04-10 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -4000",
        "2026-04-10 PREPAID_COMMIT_EXPIRATION -38000",
    ];
    assert_eq!(desk.ledger("Half year").await, expected);
    let april = desk.close("2026-04-01", "2026-05-02").await;
    assert_eq!(
        bill(&april),
        [
            "Units 04-01..04-10 4000 × 1 = 4000 (PREPAID)",
            "Half year applied 04-01..04-10 = -4000 (PREPAID)",
            "Units 04-10..05-01 3500 × 1 = 3500",
            "total 3500",
        ]
    );
    assert_eq!(desk.ledger("Half year").await, expected);
    end("2026-08-01").await.refused(400, &["access_ending_before"]);
}

#[tokio::test]
async fn credits_e18_an_edit_in_mid_term() {
    let desk = Desk::of_cents("2025-01-01", "2025-01-01").await;
    let product = desk.api.fixed_product("Commit").await;
    let more = json!({ "invoice_schedule": paid(&[(10_000_000, "2025-01-01")]) });
    let commit = prepaid(&product, "Year", &[(10_000_000, "2025-01-01", "2026-01-01")], more);
    desk.contract("2025-01-01", json!({ "commits": [commit] })).await;
    desk.uses("2025-11", 9_000_000).await;
    desk.clock("2025-12-10").await;
    let purchase = desk.listed("type=SCHEDULED").await;
    assert_eq!(overview(&purchase), ["SCHEDULED FINALIZED 2025-01-01 10000000"]);
    let year = desk.one("Year").await;
    assert_eq!(year["balance"], 1_000_000);
    let body = json!({
        "customer_id": desk.customer, "commit_id": year["id"],
        "access_schedule": { "update_schedule_items": [{
            "id": year["access_schedule"]["schedule_items"][0]["id"],
            "amount": 20_000_000, "ending_before": t("2027-01-01"),
        }] },
        "invoice_schedule": { "add_schedule_items": [{ "timestamp": t("2025-12-10"), "amount": 10_000_000 }] },
    });
    assert_eq!(json!(desk.api.post("/v2/contracts/commits/edit", body).await.id()), year["id"]);
    assert_eq!(desk.left("Year").await, "11000000", "at once");
    assert_eq!(
        desk.ledger("Year").await,
        [
            "2025-01-01 PREPAID_COMMIT_SEGMENT_START 20000000",
            "2025-12-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -9000000",
        ]
    );
    assert_eq!(segments(&desk.one("Year").await), ["2025-01-01..2027-01-01 20000000"]);
    desk.api.work().await;
    let purchases = desk.listed("type=SCHEDULED").await;
    assert_eq!(
        overview(&purchases),
        ["SCHEDULED FINALIZED 2025-01-01 10000000", "SCHEDULED FINALIZED 2025-12-10 10000000"]
    );
    assert_eq!(purchases[0], purchase[0], "the first one is untouched");
}

/// Compute and Storage, which list at these prices from 2024 on.
async fn compute_and_storage(compute: &str, storage: &str) -> Desk {
    let desk = Desk::at("2024-01-01").await;
    desk.summed("Compute", "hours", "2024-01-01", compute, json!({ "tags": ["all"] })).await;
    desk.summed("Storage", "gb", "2024-01-01", storage, json!({ "tags": ["all"] })).await;
    desk
}

#[tokio::test]
async fn credits_e19_invoicing_w24_pricing_e36_a_trial_credit_that_ends_inside_the_period() {
    let desk = compute_and_storage("100", "50").await;
    let product = desk.api.fixed_product("Trial").await;
    let trial = credit(&product, "Trial", &[(50_000, "2024-01-01", "2024-01-16")], json!({}));
    desk.contract("2024-01-01", json!({ "credits": [trial] })).await;
    desk.clock("2024-01-20").await;
    desk.event("2024-01-15 23:59:59.999999", json!({ "hours": 360, "gb": 100 })).await;
    desk.event("2024-01-16", json!({ "hours": 384, "gb": 150 })).await;
    let january = desk.close("2024-01-01", "2024-02-02").await;
    assert_eq!(
        bill(&january),
        [
            "Compute 01-01..01-16 360 × 100 = 36000 (CREDIT)",
            "Trial applied 01-01..01-16 = -36000 (CREDIT)",
            "Compute 01-16..02-01 384 × 100 = 38400",
            "Storage 01-01..01-16 100 × 50 = 5000 (CREDIT)",
            "Trial applied 01-01..01-16 = -5000 (CREDIT)",
            "Storage 01-16..02-01 150 × 50 = 7500",
            "total 45900",
        ]
    );
    assert_eq!(
        desk.ledger("Trial").await,
        [
            "2024-01-01 CREDIT_SEGMENT_START 50000",
            "2024-01-16 CREDIT_AUTOMATED_INVOICE_DEDUCTION -41000",
            "2024-01-16 CREDIT_EXPIRATION -9000",
        ]
    );
}

/// A commit of 1,000,000 for 2024 that is paid on its first day, on a contract with 20 % off.
async fn prepaid_year() -> Desk {
    let desk = compute_and_storage("100", "50").await;
    let product = desk.api.fixed_product("Commit").await;
    let more = json!({ "invoice_schedule": paid(&[(1_000_000, "2024-01-01")]) });
    let off = json!({
        "starting_at": t("2024-01-01"), "type": "MULTIPLIER", "multiplier": number("0.8"),
        "applicable_product_tags": ["all"],
    });
    let commit = prepaid(&product, "Year", &[(1_000_000, "2024-01-01", "2025-01-01")], more);
    desk.contract("2024-01-01", json!({ "commits": [commit], "overrides": [off] })).await;
    desk.api.work().await;
    assert_eq!(desk.scheduled().await, ["SCHEDULED FINALIZED 2024-01-01 1000000"]);
    desk
}

/// Has this much used in a month.
async fn works(desk: &Desk, month: &str, hours: i64, gb: i64) {
    desk.clock(&format!("{month}-20")).await;
    desk.event(&format!("{month}-10"), json!({ "hours": hours, "gb": gb })).await;
}

fn deductions(kind: &str, amounts: &[&str]) -> Vec<String> {
    let ends = YEAR[1..].iter().copied().chain(["2025-01"]);
    let one = |(end, amount): (&str, &&str)| {
        format!("{end}-01 {kind}_COMMIT_AUTOMATED_INVOICE_DEDUCTION -{amount}")
    };
    ends.zip(amounts).map(one).collect()
}

#[tokio::test]
async fn credits_e20_invoicing_w25_a_prepaid_year_that_expires() {
    let desk = prepaid_year().await;
    works(&desk, "2024-01", 1000, 250).await;
    assert_eq!(
        desk.bill("2024-01-01").await,
        [
            "Compute 01-01..02-01 1000 × 80 = 80000 (PREPAID)",
            "Year applied 01-01..02-01 = -80000 (PREPAID)",
            "Storage 01-01..02-01 250 × 40 = 10000 (PREPAID)",
            "Year applied 01-01..02-01 = -10000 (PREPAID)",
            "total 0",
        ]
    );
    assert_eq!(desk.left("Year").await, "910000");
    for (number, month) in (1..).zip(&YEAR[1..]) {
        works(&desk, month, 700, 350).await;
        assert_eq!(desk.left("Year").await, (910_000 - number * 70_000).to_string(), "{month}");
    }
    desk.clock("2025-01-02").await;
    for month in YEAR {
        let invoice = desk.invoice(&format!("{month}-01")).await;
        assert_eq!((&invoice["status"], &invoice["total"]), (&json!("FINALIZED"), &json!(0)), "{month}");
    }
    let mut expected = vec!["2024-01-01 PREPAID_COMMIT_SEGMENT_START 1000000".to_owned()];
    expected.extend(deductions("PREPAID", &[&["90000"][..], &["70000"; 11]].concat()));
    expected.push("2025-01-01 PREPAID_COMMIT_EXPIRATION -140000".to_owned());
    assert_eq!(desk.ledger("Year").await, expected);
    assert_eq!(desk.scheduled().await.len(), 1, "what expires is on no invoice");
}

#[tokio::test]
async fn credits_e21_invoicing_w25_the_same_commit_with_overage() {
    let desk = prepaid_year().await;
    works(&desk, "2024-01", 1000, 250).await;
    for month in &YEAR[1..] {
        works(&desk, month, 1000, 500).await;
        if *month == "2024-10" {
            assert_eq!(desk.left("Year").await, "10000");
        }
    }
    desk.clock("2025-01-02").await;
    let mut totals = Vec::new();
    for month in YEAR {
        totals.push(desk.total(&format!("{month}-01")).await);
    }
    assert_eq!(totals, [&["0"; 10][..], &["90000", "100000"]].concat());
    assert_eq!(
        desk.bill("2024-11-01").await,
        [
            "Compute 11-01..12-01 125 × 80 = 10000 (PREPAID)",
            "Year applied 11-01..12-01 = -10000 (PREPAID)",
            "Compute 11-01..12-01 875 × 80 = 70000",
            "Storage 11-01..12-01 500 × 40 = 20000",
            "total 90000",
        ]
    );
    let mut expected = vec!["2024-01-01 PREPAID_COMMIT_SEGMENT_START 1000000".to_owned()];
    expected.extend(deductions("PREPAID", &[&["90000"][..], &["100000"; 9], &["10000"]].concat()));
    assert_eq!(desk.ledger("Year").await, expected, "nothing in December, and nothing expires");
}

#[tokio::test]
async fn credits_e22_invoicing_w7_and_w26_a_postpaid_year() {
    let desk = Desk::at("2024-01-01").await;
    let units = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&units, "2024-01-01", "100").await;
    let product = desk.api.fixed_product("Commit").await;
    let promise =
        postpaid(&product, "Promise", (1_000_000, "2024-01-01", "2025-01-01"), "2025-01-01", json!({}));
    let more = json!({ "commits": [promise], "ending_before": t("2025-01-01") });
    desk.contract("2024-01-01", more).await;
    let draft = |left: i64| [format!("SCHEDULED DRAFT 2025-01-01 {left}")];
    assert_eq!(desk.scheduled().await, draft(1_000_000));
    for (number, month) in (1..).zip(YEAR) {
        desk.uses(month, 800).await;
        assert_eq!(desk.scheduled().await, draft(1_000_000 - number * 80_000), "{month}");
    }
    desk.clock("2025-01-01 23:59").await;
    assert_eq!(desk.scheduled().await, draft(40_000));
    let december = desk.close("2024-12-01", "2025-01-02").await;
    assert_eq!(
        bill(&december),
        [
            "Units 12-01..01-01 800 × 100 = 80000 (POSTPAID)",
            "Promise applied 12-01..01-01 = -80000 (POSTPAID)",
            "total 80000",
        ]
    );
    for month in YEAR {
        assert_eq!(desk.total(&format!("{month}-01")).await, "80000", "{month}");
    }
    let true_ups = desk.listed("type=SCHEDULED").await;
    assert_eq!(overview(&true_ups), ["SCHEDULED FINALIZED 2025-01-01 40000"]);
    assert_eq!(text(&true_ups[0]), ["Promise 1 × 40000 = 40000", "total 40000"]);
    let mut expected = vec!["2024-01-01 POSTPAID_COMMIT_INITIAL_BALANCE 1000000".to_owned()];
    expected.extend(deductions("POSTPAID", &["80000"; 12]));
    expected.push("2025-01-01 POSTPAID_COMMIT_TRUEUP -40000".to_owned());
    assert_eq!(desk.ledger("Promise").await, expected);
}

#[tokio::test]
async fn credits_e22_invoicing_w26_nine_tenths_of_a_promise() {
    let desk = Desk::of_cents("2026-01-01", "2026-01-01").await;
    let product = desk.api.fixed_product("Commit").await;
    let promise =
        postpaid(&product, "Promise", (1_000_000, "2026-01-01", "2026-02-01"), "2026-02-01", json!({}));
    desk.contract("2026-01-01", json!({ "commits": [promise] })).await;
    desk.uses("2026-01", 900_000).await;
    desk.clock("2026-02-02").await;
    assert_eq!(desk.scheduled().await, ["SCHEDULED FINALIZED 2026-02-01 100000"]);
}

#[tokio::test]
async fn credits_e22_what_prepaid_takes_does_not_count_toward_a_promise() {
    let desk = Desk::of_cents("2026-01-01", "2026-01-01").await;
    let product = desk.api.fixed_product("Commit").await;
    let commits = json!([
        postpaid(&product, "Promise", (40_000, "2026-01-01", "2026-04-01"), "2026-04-01", json!({})),
        prepaid(&product, "Prepaid", &[(40_000, "2026-01-01", "2026-04-01")], json!({})),
    ]);
    desk.contract("2026-01-01", json!({ "commits": commits })).await;
    desk.uses("2026-01", 50_000).await;
    assert_eq!(
        (desk.left("Prepaid").await, desk.left("Promise").await, desk.total("2026-01-01").await),
        ("0".into(), "30000".into(), "10000".into())
    );
}

#[tokio::test]
async fn credits_e23_invoicing_w29_a_paid_commit_and_a_reward() {
    let desk = Desk::of_cents("2024-09-01", "2024-09-01").await;
    let product = desk.api.fixed_product("Commit").await;
    desk.contract("2024-09-01", json!({})).await;
    desk.commit(prepaid(&product, "Paid", &[(10_000, "2024-09-01", "2025-09-01")], json!({}))).await;
    let reward = credit(&product, "Reward", &[(500, "2024-10-01", "2024-11-01")], json!({ "priority": 1 }));
    desk.credit(reward).await;
    desk.uses("2024-09", 6500).await;
    assert_eq!(desk.ledger("Reward").await, [""; 0], "it has not started");
    desk.uses("2024-10", 2000).await;
    let check = async |when: &str| {
        assert_eq!(
            desk.ledger("Paid").await,
            [
                "2024-09-01 PREPAID_COMMIT_SEGMENT_START 10000",
                "2024-10-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -6500",
                "2024-11-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -1500",
            ],
            "{when}"
        );
        assert_eq!(
            desk.ledger("Reward").await,
            ["2024-10-01 CREDIT_SEGMENT_START 500", "2024-11-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -500"],
            "{when}"
        );
        assert_eq!((desk.left("Paid").await.as_str(), desk.left("Reward").await.as_str()), ("2000", "0"));
        assert_eq!(desk.net(json!({})).await, "2000", "{when}");
    };
    check("as a draft").await;
    desk.clock("2024-11-03").await;
    check("as a final one").await;
}

#[tokio::test]
async fn credits_e24_invoicing_w22_pricing_e23_partly_covered_lines() {
    for (name, units, amount, expected) in [
        ("GB", 10, 400, ["4 × 100 = 400", "-400", "6 × 100 = 600", "600"]),
        ("Tokens", 80, 5000, ["50 × 100 = 5000", "-5000", "30 × 100 = 3000", "3000"]),
    ] {
        let desk = Desk::at("2026-03-01").await;
        let product = desk.product(name, "SUM", json!({})).await;
        desk.flat(&product, "2026-03-01", "100").await;
        let fixed = desk.api.fixed_product("Commit").await;
        let commit = prepaid(&fixed, "Prepaid", &[(amount, "2026-03-01", "2027-03-01")], json!({}));
        desk.contract("2026-03-01", json!({ "commits": [commit] })).await;
        desk.uses("2026-03", units).await;
        let [covered, applied, due, total] = expected;
        assert_eq!(
            bill(&desk.close("2026-03-01", "2026-04-02").await),
            [
                format!("{name} 03-01..04-01 {covered} (PREPAID)"),
                format!("Prepaid applied 03-01..04-01 = {applied} (PREPAID)"),
                format!("{name} 03-01..04-01 {due}"),
                format!("total {total}"),
            ]
        );
    }
}

/// Reads at 1000 and Writes at 500, and a commit for Reads from February on.
#[tokio::test]
async fn credits_e29_invoicing_w27_a_commit_made_wider_in_march() {
    let desk = Desk::at("2026-02-01").await;
    let reads = desk.summed("Reads", "reads", "2026-02-01", "1000", json!({})).await;
    let writes = desk.summed("Writes", "writes", "2026-02-01", "500", json!({})).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let of_reads = json!({ "applicable_product_ids": [reads] });
    let commit = prepaid(&fixed, "Commit", &[(100_000, "2026-02-01", "2027-02-01")], of_reads);
    desk.contract("2026-02-01", json!({ "commits": [commit] })).await;
    desk.clock("2026-02-20").await;
    desk.event("2026-02-10", json!({ "reads": 10, "writes": 10 })).await;
    let february = desk.close("2026-02-01", "2026-03-02").await;
    assert_eq!(
        bill(&february),
        [
            "Reads 02-01..03-01 10 × 1000 = 10000 (PREPAID)",
            "Commit applied 02-01..03-01 = -10000 (PREPAID)",
            "Writes 02-01..03-01 10 × 500 = 5000",
            "total 5000",
        ]
    );
    desk.clock("2026-03-05").await;
    desk.event("2026-03-03", json!({ "reads": 3, "writes": 2 })).await;
    assert_eq!(desk.total("2026-03-01").await, "1000");
    let id = desk.id_of("Commit").await;
    let body =
        json!({ "customer_id": desk.customer, "commit_id": id, "applicable_product_ids": [reads, writes] });
    assert_eq!(desk.api.post("/v2/contracts/commits/edit", body).await.id(), id);
    assert_eq!(
        desk.bill("2026-03-01").await,
        [
            "Reads 03-01..04-01 3 × 1000 = 3000 (PREPAID)",
            "Commit applied 03-01..04-01 = -3000 (PREPAID)",
            "Writes 03-01..04-01 2 × 500 = 1000 (PREPAID)",
            "Commit applied 03-01..04-01 = -1000 (PREPAID)",
            "total 0",
        ],
        "for the whole period"
    );
    assert_eq!(desk.invoice("2026-02-01").await["total"], 5000);
    assert_eq!(desk.left("Commit").await, "86000");

    desk.void(&february).await;
    let again = desk.regenerate(&february).await;
    assert_eq!(
        (&again["regenerated_from_invoice_id"], &again["status"]),
        (&february["id"], &json!("FINALIZED"))
    );
    assert_eq!(
        bill(&again),
        [
            "Reads 02-01..03-01 10 × 1000 = 10000 (PREPAID)",
            "Commit applied 02-01..03-01 = -10000 (PREPAID)",
            "Writes 02-01..03-01 10 × 500 = 5000 (PREPAID)",
            "Commit applied 02-01..03-01 = -5000 (PREPAID)",
            "total 0",
        ]
    );
    assert_eq!(desk.left("Commit").await, "81000");
}
