//! Worked examples of the reference on credits and commits: what a renewal rolls over.

use serde_json::{Value, json};

use crate::balances::{
    amount_of, bill, entries, overview, paid, postpaid, prepaid, recurring_grant, segments,
};
use crate::credits_order::{applied, full_order, in_unit, of_tokens};
use crate::desk::{Desk, number, t};

/// The terms of a renewal of a contract.
fn renewal(of: &str) -> Value {
    json!({ "type": "RENEWAL", "from_contract_id": of })
}

#[tokio::test]
async fn credits_e3_the_full_order() {
    let desk = Desk::at("2026-01-01").await;
    let x = desk.product("X", "SUM", json!({})).await;
    desk.flat(&x, "2026-01-01", "1").await;
    let fixed = desk.api.fixed_product("Commit").await;
    let rolled = |priority: i64| json!({ "priority": priority, "rollover_fraction": 1 });
    let commits = json!([
        prepaid(&fixed, "R1", &[(10_000, "2026-01-01", "2027-01-01")], rolled(50)),
        postpaid(&fixed, "R2", (5000, "2026-01-01", "2027-01-01"), "2027-01-01", rolled(90)),
    ]);
    let old = desk.contract("2026-01-01", json!({ "commits": commits })).await;
    desk.clock("2026-05-01").await;
    let may = full_order(&desk, &x, &fixed, json!({ "transition": renewal(&old) })).await;
    let order = [
        "R2 -5000",
        "R1 -10000",
        "F -4000",
        "C -6000",
        "A -8000",
        "B -12000",
        "E -9000",
        "D -7000",
        "G -39000",
    ];
    assert_eq!(applied(&may), [&order[..], &["total 44000"]].concat());
    assert_eq!(bill(&may).len(), 2 * order.len() + 1, "all is paid for by something");
    let closing = |entry: &String| entry.starts_with("2026-06-01 POSTPAID_COMMIT_TRUEUP");
    let ledger = desk.ledger("G").await;
    let closed: Vec<&String> = ledger.iter().filter(|entry| closing(entry)).collect();
    assert_eq!(closed, ["2026-06-01 POSTPAID_COMMIT_TRUEUP -11000"]);
}

/// A commit of 1,000,000 for 2026 of which a fifth may be rolled over and this much is used, renewed for 2027.
async fn capped(used: i64) -> Desk {
    let desk = Desk::of_cents("2026-01-01", "2026-01-01").await;
    let product = desk.api.fixed_product("Commit").await;
    let more = json!({ "rollover_fraction": number("0.2") });
    let commit = prepaid(&product, "Commit", &[(1_000_000, "2026-01-01", "2027-01-01")], more);
    let old = desk.contract("2026-01-01", json!({ "commits": [commit] })).await;
    desk.uses("2026-06", used).await;
    desk.clock("2026-12-20").await;
    let new = json!({ "transition": renewal(&old), "ending_before": t("2028-01-01") });
    let new = desk.contract("2027-01-01", new).await;
    desk.clock("2027-01-10").await;
    let both = desk.named("Commit").await;
    assert_eq!(both.len(), 2);
    assert_eq!(
        (&both[1]["rolled_over_from"], &both[1]["contract"]),
        (&json!({ "commit_id": both[0]["id"], "contract_id": old }), &json!({ "id": new }))
    );
    let rolled = both[0]["ledger"].as_array().expect("a ledger").iter();
    let rolled: Vec<&Value> = rolled.filter(|entry| entry["type"] == "PREPAID_COMMIT_ROLLOVER").collect();
    assert_eq!((rolled.len(), &rolled[0]["new_contract_id"]), (1, &json!(new)));
    desk
}

#[tokio::test]
async fn credits_e10_a_rollover_has_a_cap() {
    let desk = capped(650_000).await;
    let both = desk.named("Commit").await;
    assert_eq!(
        entries(&both[0]),
        [
            "2026-01-01 PREPAID_COMMIT_SEGMENT_START 1000000",
            "2026-07-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -650000",
            "2027-01-01 PREPAID_COMMIT_ROLLOVER -200000",
            "2027-01-01 PREPAID_COMMIT_EXPIRATION -150000",
        ]
    );
    assert_eq!(entries(&both[1]), ["2027-01-01 PREPAID_COMMIT_SEGMENT_START 200000"]);
    assert_eq!((&both[0]["balance"], &both[1]["balance"]), (&json!(0), &json!(200_000)));
}

#[tokio::test]
async fn credits_e10_below_the_cap_all_is_rolled_over() {
    let both = capped(880_000).await.named("Commit").await;
    assert_eq!(
        entries(&both[0]),
        [
            "2026-01-01 PREPAID_COMMIT_SEGMENT_START 1000000",
            "2026-07-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -880000",
            "2027-01-01 PREPAID_COMMIT_ROLLOVER -120000",
        ]
    );
    assert_eq!(entries(&both[1]), ["2027-01-01 PREPAID_COMMIT_SEGMENT_START 120000"]);
}

#[tokio::test]
async fn credits_e27_an_upgrade_inside_a_month() {
    let desk = Desk::of_cents("2026-01-01", "2026-01-01").await;
    let product = desk.api.fixed_product("Plan").await;
    let plan = recurring_grant(&product, "Plan", 1000, "2026-01-01", json!({ "rollover_fraction": 1 }));
    let old = desk.contract("2026-01-01", json!({ "recurring_credits": [plan] })).await;
    desk.clock("2026-01-20").await;
    desk.n("2026-01-10", 800).await;
    let more = json!({
        "invoice_amount": amount_of(2000), "commit_duration": { "value": 2, "unit": "PERIODS" }, "priority": 1,
    });
    let upgrade = recurring_grant(&product, "Upgrade", 3000, "2026-01-21", more);
    let terms = json!({ "recurring_commits": [upgrade], "transition": renewal(&old) });
    desk.contract("2026-01-21", terms).await;
    desk.clock("2026-01-27").await;
    desk.n("2026-01-25", 300).await;
    let mut plans = desk.named("Plan").await;
    // February's was made ahead, and is archived: nothing of it can be drawn.
    plans.retain(|plan| plan["ledger"].is_array());
    assert_eq!(plans.len(), 2, "{plans:?}");
    assert_eq!(
        entries(&plans[0]),
        [
            "2026-01-01 CREDIT_SEGMENT_START 1000",
            "2026-01-21 CREDIT_AUTOMATED_INVOICE_DEDUCTION -800",
            "2026-01-21 CREDIT_ROLLOVER -200",
        ]
    );
    assert_eq!(plans[1]["rolled_over_from"]["credit_id"], plans[0]["id"]);
    assert_eq!(
        entries(&plans[1]),
        ["2026-01-21 CREDIT_SEGMENT_START 200", "2026-02-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -200"],
        "it burns first"
    );
    let first = segments(&desk.named("Upgrade").await[0]);
    assert_eq!(first, ["2026-01-21..2026-03-01 1064.51…"]);
    assert_eq!(desk.total("2026-01-21").await, "0");
    desk.clock("2026-03-05").await;
    assert_eq!(
        desk.named("Upgrade").await.iter().flat_map(segments).collect::<Vec<_>>()[..3],
        ["2026-01-21..2026-03-01 1064.51…", "2026-02-01..2026-04-01 3000", "2026-03-01..2026-05-01 3000"]
    );
    assert_eq!(
        overview(&desk.listed("type=SCHEDULED&status=FINALIZED").await),
        [
            "SCHEDULED FINALIZED 2026-01-21 709.67…",
            "SCHEDULED FINALIZED 2026-02-01 2000",
            "SCHEDULED FINALIZED 2026-03-01 2000",
        ]
    );
}

#[tokio::test]
async fn credits_e28_a_renewal_below_the_cap_that_ends_early() {
    let desk = Desk::at("2025-01-01").await;
    let a = desk.summed("A", "a", "2025-01-01", "1", json!({})).await;
    let b = desk.summed("B", "b", "2025-01-01", "1", json!({})).await;
    let product = desk.api.fixed_product("Commit").await;
    let more = json!({ "rollover_fraction": number("0.5"), "applicable_product_ids": [a], "priority": 200 });
    let commit = prepaid(&product, "Old", &[(10_000_000, "2025-01-01", "2026-01-01")], more);
    let old = desk.contract("2025-01-01", json!({ "commits": [commit] })).await;
    desk.clock("2025-06-20").await;
    desk.event("2025-06-10", json!({ "a": 9_000_000 })).await;
    desk.clock("2026-01-01").await;
    let more = json!({
        "priority": 101, "applicable_product_ids": [a, b], "invoice_schedule": paid(&[(20_000_000, "2026-01-01")]),
    });
    let commit = prepaid(&product, "New", &[(20_000_000, "2026-01-01", "2027-01-01")], more);
    let terms = json!({
        "commits": [commit], "transition": renewal(&old), "ending_before": t("2027-01-01"),
    });
    let new = desk.contract("2026-01-01", terms).await;
    desk.clock("2026-01-20").await;
    desk.event("2026-01-10", json!({ "a": 500_000, "b": 300_000 })).await;
    let both = desk.named("Old").await;
    assert_eq!(
        entries(&both[0]),
        [
            "2025-01-01 PREPAID_COMMIT_SEGMENT_START 10000000",
            "2025-07-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -9000000",
            "2026-01-01 PREPAID_COMMIT_ROLLOVER -1000000",
        ]
    );
    assert_eq!(both[1]["applicable_product_ids"], json!([a]));
    let cost_basis = [&both[0]["cost_basis"], &both[1]["cost_basis"], &desk.one("New").await["cost_basis"]];
    assert_eq!(cost_basis, [&json!(0), &json!(0), &json!(1)], "what is taken over has that of its origin");
    assert_eq!(
        bill(&desk.close("2026-01-01", "2026-02-02").await),
        [
            "A 01-01..02-01 500000 × 1 = 500000 (PREPAID)",
            "Old applied 01-01..02-01 = -500000 (PREPAID)",
            "B 01-01..02-01 300000 × 1 = 300000 (PREPAID)",
            "New applied 01-01..02-01 = -300000 (PREPAID)",
            "total 0",
        ]
    );
    assert_eq!(desk.scheduled().await, ["SCHEDULED FINALIZED 2026-01-01 20000000"]);
    desk.end(&new, Some("2026-03-01")).await;
    desk.clock("2026-03-03").await;
    assert_eq!(
        entries(&desk.named("Old").await[1]),
        [
            "2026-01-01 PREPAID_COMMIT_SEGMENT_START 1000000",
            "2026-02-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -500000",
            "2026-03-01 PREPAID_COMMIT_EXPIRATION -500000",
        ]
    );
    assert_eq!(
        desk.ledger("New").await,
        [
            "2026-01-01 PREPAID_COMMIT_SEGMENT_START 20000000",
            "2026-02-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -300000",
            "2026-03-01 PREPAID_COMMIT_EXPIRATION -19700000",
        ]
    );
    assert_eq!(desk.scheduled().await, ["SCHEDULED FINALIZED 2026-01-01 20000000"], "nothing is paid back");
    assert_eq!(desk.net(json!({})).await, "0");
}

/// What may be rolled over is a part of each segment, and only of the one that is open at the renewal.
#[tokio::test]
async fn credits_e28_three_years_of_one_commit() {
    let desk = Desk::of_cents("2023-01-01", "2023-01-01").await;
    let product = desk.api.fixed_product("Commit").await;
    let grants = [
        (5_000_000, "2023-01-01", "2024-01-01"),
        (20_000_000, "2024-01-01", "2025-01-01"),
        (25_000_000, "2025-01-01", "2026-01-01"),
    ];
    let more = json!({
        "rollover_fraction": number("0.25"),
        "invoice_schedule": paid(&[(25_000_000, "2023-01-01"), (25_000_000, "2024-01-01")]),
    });
    let commit = prepaid(&product, "Commit", &grants, more);
    let old = desk.contract("2023-01-01", json!({ "commits": [commit] })).await;
    desk.clock("2026-01-01").await;
    let new = json!({ "transition": renewal(&old), "ending_before": t("2027-01-01") });
    desk.contract("2026-01-01", new).await;
    desk.clock("2026-01-05").await;
    let both = desk.named("Commit").await;
    assert_eq!(
        entries(&both[0]),
        [
            "2023-01-01 PREPAID_COMMIT_SEGMENT_START 5000000",
            "2024-01-01 PREPAID_COMMIT_SEGMENT_START 20000000",
            "2024-01-01 PREPAID_COMMIT_EXPIRATION -5000000",
            "2025-01-01 PREPAID_COMMIT_SEGMENT_START 25000000",
            "2025-01-01 PREPAID_COMMIT_EXPIRATION -20000000",
            "2026-01-01 PREPAID_COMMIT_ROLLOVER -6250000",
            "2026-01-01 PREPAID_COMMIT_EXPIRATION -18750000",
        ]
    );
    assert_eq!(segments(&both[1]), ["2026-01-01..2027-01-01 6250000"]);
}

/// Tokens roll over as tokens, and what is paid for them does not move.
#[tokio::test]
async fn credits_e10_in_a_unit_of_its_own() {
    let (desk, unit) = of_tokens("Tokens", 4).await;
    let model = desk.summing("Model", "a", json!({})).await;
    let price = json!({ "rate_type": "FLAT", "price": 3, "credit_type_id": unit });
    desk.rate(&model, "2026-06-01", price).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let more =
        json!({ "rollover_fraction": number("0.2"), "invoice_schedule": paid(&[(4000, "2026-06-01")]) });
    let pack = in_unit(prepaid(&fixed, "Pack", &[(1000, "2026-06-01", "2026-07-01")], more), &unit);
    let old = desk.contract("2026-06-01", json!({ "commits": [pack] })).await;
    desk.clock("2026-06-20").await;
    desk.event("2026-06-10", json!({ "a": 200 })).await;
    desk.contract("2026-07-01", json!({ "transition": renewal(&old) })).await;
    desk.clock("2026-07-10").await;
    desk.event("2026-07-05", json!({ "a": 100 })).await;
    let packs = desk.named("Pack").await;
    assert_eq!(
        entries(&packs[0]),
        [
            "2026-06-01 PREPAID_COMMIT_SEGMENT_START 1000",
            "2026-07-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -600",
            "2026-07-01 PREPAID_COMMIT_ROLLOVER -200",
            "2026-07-01 PREPAID_COMMIT_EXPIRATION -200",
        ]
    );
    assert_eq!(packs[1]["access_schedule"]["credit_type"], json!({ "id": unit, "name": "Tokens" }));
    assert_eq!(segments(&packs[1]), ["2026-07-01..2026-07-31 200"]);
    // 100 tokens more than were rolled over, at 4 cents each.
    assert_eq!(desk.close("2026-07-01", "2026-08-02").await["total"], json!(400));
    assert_eq!(desk.scheduled().await, ["SCHEDULED FINALIZED 2026-06-01 4000"]);
}
