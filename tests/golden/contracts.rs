//! Statement calendars of the contracts reference, through to their invoices.

use serde_json::{Value, json};

use crate::desk::{Desk, statements, t, text};

fn schedule(frequency: &str, day: &str) -> Value {
    json!({ "usage_statement_schedule": { "frequency": frequency, "day": day } })
}

fn anchored(frequency: &str, anchor: &str) -> Value {
    json!({
        "usage_statement_schedule":
            { "frequency": frequency, "day": "CUSTOM_DATE", "billing_anchor_date": t(anchor) },
    })
}

/// A contract from `start` on a card with one product at 1, and what its invoices are at `now`, reached in one
/// move.
async fn invoices(created: &str, start: &str, more: Value, now: &str) -> Vec<String> {
    let desk = Desk::at(created).await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2020-01-01", "1").await;
    desk.contract(start, more).await;
    desk.clock(now).await;
    statements(&desk.api.invoices(&desk.customer).await)
}

#[tokio::test]
async fn contracts_1_first_of_month_stub() {
    assert_eq!(
        invoices("2026-01-15", "2026-01-15", json!({}), "2026-02-01 23:59").await,
        ["2026-01-15..2026-02-01 DRAFT issued 2026-02-02", "2026-02-01..2026-03-01 DRAFT issued 2026-03-02",]
    );
    assert_eq!(
        invoices("2026-01-15", "2026-01-15", json!({}), "2026-02-02").await,
        [
            "2026-01-15..2026-02-01 FINALIZED issued 2026-02-02",
            "2026-02-01..2026-03-01 DRAFT issued 2026-03-02",
        ]
    );
}

#[tokio::test]
async fn contracts_2_contract_start_on_the_31st() {
    let more = schedule("MONTHLY", "CONTRACT_START");
    assert_eq!(
        invoices("2026-01-31", "2026-01-31", more, "2026-05-01").await,
        [
            "2026-01-31..2026-02-28 FINALIZED issued 2026-03-01",
            "2026-02-28..2026-03-31 FINALIZED issued 2026-04-01",
            "2026-03-31..2026-04-30 FINALIZED issued 2026-05-01",
            "2026-04-30..2026-05-31 DRAFT issued 2026-06-01",
        ]
    );
}

#[tokio::test]
async fn contracts_3_custom_date_before_the_start() {
    assert_eq!(
        invoices("2024-09-15", "2024-09-15", anchored("MONTHLY", "2024-09-10"), "2024-10-11").await,
        [
            "2024-09-15..2024-10-10 FINALIZED issued 2024-10-11",
            "2024-10-10..2024-11-10 DRAFT issued 2024-11-11",
        ]
    );
}

#[tokio::test]
async fn contracts_4_quarterly_with_an_end() {
    let mut more = schedule("QUARTERLY", "FIRST_OF_MONTH");
    more["ending_before"] = json!(t("2026-09-20"));
    assert_eq!(
        invoices("2026-02-10", "2026-02-10", more, "2027-01-01").await,
        [
            "2026-02-10..2026-05-01 FINALIZED issued 2026-05-02",
            "2026-05-01..2026-08-01 FINALIZED issued 2026-08-02",
            "2026-08-01..2026-09-20 FINALIZED issued 2026-09-21",
        ]
    );
}

#[tokio::test]
async fn contracts_24_import() {
    let more = json!({
        "usage_statement_schedule":
            { "frequency": "MONTHLY", "invoice_generation_starting_at": t("2024-08-01") },
    });
    let desk = Desk::at("2024-08-15").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2024-06-01", "1").await;
    desk.contract("2024-06-01", more).await;
    desk.n("2024-07-31 23:59", 5).await;
    desk.n("2024-08-01", 7).await;
    desk.api.work().await;
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await),
        ["2024-08-01..2024-09-01 DRAFT issued 2024-09-02"]
    );
    assert_eq!(desk.total("2024-08-01").await, "7");
    desk.close("2024-08-01", "2024-09-02").await;
}

#[tokio::test]
async fn generation_may_start_inside_a_period_after_the_end_or_before_the_contract() {
    let from = |generation: &str| {
        json!({
            "ending_before": t("2024-10-01"),
            "usage_statement_schedule":
                { "frequency": "MONTHLY", "invoice_generation_starting_at": t(generation) },
        })
    };
    assert_eq!(
        invoices("2024-08-15", "2024-06-01", from("2024-08-10"), "2024-12-01").await,
        [
            "2024-08-10..2024-09-01 FINALIZED issued 2024-09-02",
            "2024-09-01..2024-10-01 FINALIZED issued 2024-10-02",
        ]
    );
    assert_eq!(invoices("2024-08-15", "2024-06-01", from("2024-10-01"), "2024-12-01").await, [""; 0]);
    assert_eq!(
        invoices("2024-08-15", "2024-08-01", from("2024-01-01"), "2024-12-01").await,
        [
            "2024-08-01..2024-09-01 FINALIZED issued 2024-09-02",
            "2024-09-01..2024-10-01 FINALIZED issued 2024-10-02",
        ]
    );
}

#[tokio::test]
async fn a_year_from_31_january_in_one_move() {
    let desk = Desk::at("2026-01-31").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-01-01", "100").await;
    desk.contract("2026-01-31", schedule("MONTHLY", "CONTRACT_START")).await;
    desk.n("2026-01-31 12:00", 3).await;
    desk.clock("2027-02-01").await;
    let invoices = desk.api.invoices(&desk.customer).await;
    assert_eq!(
        statements(&invoices),
        [
            "2026-01-31..2026-02-28 FINALIZED issued 2026-03-01",
            "2026-02-28..2026-03-31 FINALIZED issued 2026-04-01",
            "2026-03-31..2026-04-30 FINALIZED issued 2026-05-01",
            "2026-04-30..2026-05-31 FINALIZED issued 2026-06-01",
            "2026-05-31..2026-06-30 FINALIZED issued 2026-07-01",
            "2026-06-30..2026-07-31 FINALIZED issued 2026-08-01",
            "2026-07-31..2026-08-31 FINALIZED issued 2026-09-01",
            "2026-08-31..2026-09-30 FINALIZED issued 2026-10-01",
            "2026-09-30..2026-10-31 FINALIZED issued 2026-11-01",
            "2026-10-31..2026-11-30 FINALIZED issued 2026-12-01",
            "2026-11-30..2026-12-31 FINALIZED issued 2027-01-01",
            "2026-12-31..2027-01-31 FINALIZED issued 2027-02-01",
            "2027-01-31..2027-02-28 DRAFT issued 2027-03-01",
        ]
    );
    assert_eq!(text(&invoices[0]), ["Units 01-31..02-28 3 × 100 = 300", "total 300"]);
    assert!(invoices[1..].iter().all(|invoice| invoice["total"] == 0));
}

#[tokio::test]
async fn a_year_in_one_move_is_the_year_in_many() {
    let mut seen = Vec::new();
    for steps in
        [vec!["2027-01-10"], vec!["2026-02-01", "2026-02-02", "2026-05-17 13:00", "2026-12-31", "2027-01-10"]]
    {
        let desk = Desk::at("2026-01-05").await;
        let product = desk.product("Units", "SUM", json!({})).await;
        desk.flat(&product, "2026-01-01", "100").await;
        desk.flat(&product, "2026-01-17", "130").await;
        desk.contract("2026-01-01", json!({})).await;
        desk.n("2026-01-05 08:00", "1.5").await;
        for step in steps {
            desk.clock(step).await;
        }
        let invoices = desk.api.invoices(&desk.customer).await;
        seen.push(invoices.iter().map(text).chain([statements(&invoices)]).collect::<Vec<_>>());
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn weeks_from_the_contracts_start_keep_its_hour() {
    let more = schedule("WEEKLY", "CONTRACT_START");
    assert_eq!(
        invoices("2026-03-04 13:00", "2026-03-04 13:00", more, "2026-03-19 13:00").await,
        [
            "2026-03-04T13..2026-03-11T13 FINALIZED issued 2026-03-12T13",
            "2026-03-11T13..2026-03-18T13 FINALIZED issued 2026-03-19T13",
            "2026-03-18T13..2026-03-25T13 DRAFT issued 2026-03-26T13",
        ]
    );
}

#[tokio::test]
async fn weeks_from_the_first_and_from_a_date_to_come() {
    assert_eq!(
        invoices("2026-03-10", "2026-03-10", schedule("WEEKLY", "FIRST_OF_MONTH"), "2026-03-16").await,
        [
            "2026-03-10..2026-03-15 FINALIZED issued 2026-03-16",
            "2026-03-15..2026-03-22 DRAFT issued 2026-03-23",
        ]
    );
    assert_eq!(
        invoices("2026-03-02", "2026-03-02", anchored("WEEKLY", "2026-03-18"), "2026-03-05").await,
        [
            "2026-03-02..2026-03-04 FINALIZED issued 2026-03-05",
            "2026-03-04..2026-03-11 DRAFT issued 2026-03-12",
        ]
    );
}

#[tokio::test]
async fn a_monthly_anchor_to_come_on_a_31st_counts_backwards() {
    assert_eq!(
        invoices("2026-01-10", "2026-01-10", anchored("MONTHLY", "2026-08-31"), "2026-04-01").await,
        [
            "2026-01-10..2026-01-31 FINALIZED issued 2026-02-01",
            "2026-01-31..2026-02-28 FINALIZED issued 2026-03-01",
            "2026-02-28..2026-03-31 FINALIZED issued 2026-04-01",
            "2026-03-31..2026-04-30 DRAFT issued 2026-05-01",
        ]
    );
}

#[tokio::test]
async fn years_from_a_leap_day() {
    let more = schedule("ANNUAL", "CONTRACT_START");
    assert_eq!(
        invoices("2024-02-29", "2024-02-29", more, "2028-03-01").await,
        [
            "2024-02-29..2025-02-28 FINALIZED issued 2025-03-01",
            "2025-02-28..2026-02-28 FINALIZED issued 2026-03-01",
            "2026-02-28..2027-02-28 FINALIZED issued 2027-03-01",
            "2027-02-28..2028-02-29 FINALIZED issued 2028-03-01",
            "2028-02-29..2029-02-28 DRAFT issued 2029-03-01",
        ]
    );
}

#[tokio::test]
async fn years_from_the_first_of_the_contracts_month() {
    assert_eq!(
        invoices("2025-03-15", "2025-03-15", schedule("ANNUAL", "FIRST_OF_MONTH"), "2026-03-02").await,
        [
            "2025-03-15..2026-03-01 FINALIZED issued 2026-03-02",
            "2026-03-01..2027-03-01 DRAFT issued 2027-03-02",
        ]
    );
}

#[tokio::test]
async fn a_contract_that_ends_bills_until_that_instant() {
    let desk = Desk::at("2026-04-01").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-04-01", "10").await;
    desk.contract("2026-04-01 09:00", json!({ "ending_before": t("2026-04-20 15:00") })).await;
    desk.clock("2026-04-20 16:00").await;
    for (at, n) in [
        ("2026-04-01 08:59:59.999999", 1),
        ("2026-04-01 09:00", 20),
        ("2026-04-20 14:59:59.999999", 300),
        ("2026-04-20 15:00", 4000),
    ] {
        desk.n(at, n).await;
    }
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await),
        ["2026-04-01T09..2026-04-20T15 DRAFT issued 2026-04-21T15"]
    );
    let invoice = desk.close("2026-04-01", "2026-04-21 15:00").await;
    assert_eq!(text(&invoice), ["Units 04-01..04-20 320 × 10 = 3200", "total 3200"]);
    desk.clock("2026-08-01").await;
    assert_eq!(desk.api.invoices(&desk.customer).await, [invoice], "and nothing after");
}

#[tokio::test]
async fn an_end_on_a_boundary_leaves_no_empty_statement() {
    let more = json!({ "ending_before": t("2026-03-01") });
    assert_eq!(
        invoices("2026-01-01", "2026-01-01", more, "2026-06-01").await,
        [
            "2026-01-01..2026-02-01 FINALIZED issued 2026-02-02",
            "2026-02-01..2026-03-01 FINALIZED issued 2026-03-02",
        ]
    );
}

#[tokio::test]
async fn a_contract_to_come_has_no_draft_before_it_starts() {
    let desk = Desk::at("2026-01-10").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-01-01", "1").await;
    desk.contract("2026-03-05", json!({})).await;
    desk.clock("2026-03-04 23:59").await;
    desk.n("2026-03-04 23:59:59", 1).await;
    desk.n("2026-03-05 12:00", 10).await;
    assert_eq!(desk.api.invoices(&desk.customer).await, Vec::<Value>::new());
    desk.clock("2026-03-05").await;
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await),
        ["2026-03-05..2026-04-01 DRAFT issued 2026-04-02"]
    );
    assert_eq!(desk.total("2026-03-05").await, "10");
    assert_eq!(text(&desk.close("2026-03-05", "2026-04-02").await)[1], "total 10");
}

#[tokio::test]
async fn quarterly_tiers_count_the_quarter() {
    let desk = Desk::at("2026-01-10").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.rate(&product, "2026-01-01", crate::desk::tiers(&[("10", "100"), ("", "50")])).await;
    desk.contract("2026-01-01", schedule("QUARTERLY", "FIRST_OF_MONTH")).await;
    desk.n("2026-01-09", 8).await;
    desk.clock("2026-02-10").await;
    desk.n("2026-02-09", 8).await;
    assert_eq!(
        text(&desk.close("2026-01-01", "2026-04-02").await),
        ["Units 01-01..04-01 [1] 10 × 100 = 1000", "Units 01-01..04-01 [2] 6 × 50 = 300", "total 1300"]
    );
}
