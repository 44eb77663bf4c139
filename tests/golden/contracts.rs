//! Statement calendars of the contracts reference, through to their invoices.

use serde_json::{Value, json};

use crate::desk::{Desk, charge, recurring, statements, t, text};

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

/// The items of each of a contract's charges as `date amount`.
async fn items(desk: &Desk, contract: &str) -> Vec<Vec<String>> {
    let body = json!({ "customer_id": desk.customer, "contract_id": contract });
    let contract = desk.api.post("/v2/contracts/get", body).await.data();
    let item = |item: &Value| {
        format!("{} {}", &item["timestamp"].as_str().expect("an instant")[..10], item["amount"])
    };
    let items = |charge: &Value| {
        charge["schedule"]["schedule_items"].as_array().expect("items").iter().map(item).collect()
    };
    contract["scheduled_charges"].as_array().expect("charges").iter().map(items).collect()
}

/// Invoices as `type status date total`, where the date is that of their end.
async fn overview(desk: &Desk) -> Vec<String> {
    let one = |invoice: &Value| {
        let text = |field: &str| invoice[field].as_str().expect("text").to_owned();
        let (kind, status, end) = (text("type"), text("status"), text("end_timestamp"));
        format!("{kind} {status} {} {}", &end[..10], invoice["total"])
    };
    desk.api.invoices(&desk.customer).await.iter().map(one).collect()
}

#[tokio::test]
async fn contracts_17_distribution() {
    let desk = Desk::at("2026-01-01").await;
    let fee = desk.api.fixed_product("Fee").await;
    let over_three =
        |distribution| recurring(&fee, "MONTHLY", distribution, 100_000, "2026-01-01", "2026-04-01");
    let charges = ["EACH", "divided", "Divided_Rounded"].map(over_three);
    let contract = desk.contract("2026-01-01", json!({ "scheduled_charges": charges })).await;
    let third = "33333.33333333333333333333";
    assert_eq!(
        items(&desk, &contract).await,
        [
            ["2026-01-01 100000", "2026-02-01 100000", "2026-03-01 100000"].map(str::to_owned),
            [
                format!("2026-01-01 {third}"),
                format!("2026-02-01 {third}"),
                "2026-03-01 33333.33333333333333333334".to_owned()
            ],
            ["2026-01-01 33333", "2026-02-01 33333", "2026-03-01 33334"].map(str::to_owned),
        ]
    );
    desk.clock("2026-03-15").await;
    let scheduled =
        desk.api.get(&format!("/v1/customers/{}/invoices?type=SCHEDULED", desk.customer)).await.data();
    let scheduled = scheduled.as_array().expect("a list");
    assert_eq!(
        text(&scheduled[2]),
        [
            "Fee 1 × 100000 = 100000",
            "Fee 1 × 33333.33333333333333333334 = 33333.33333333333333333334",
            "Fee 1 × 33334 = 33334",
            "total 166667.33333333333333333334",
        ]
    );
    let totals: Vec<String> = scheduled.iter().map(|invoice| invoice["total"].to_string()).collect();
    let first = "166666.33333333333333333333";
    assert_eq!(totals, [first, first, "166667.33333333333333333334"], "they sum to 500000 exactly");
    scheduled.iter().for_each(crate::desk::adds_up);
}

/// The worked example has a recurring commit where this has a charge: what rides is its payment.
/// The total of a contract's usage invoice that starts on a date.
async fn total_of(desk: &Desk, contract: &str, start: &str) -> String {
    let invoices = desk.api.invoices(&desk.customer).await;
    let is_it = |invoice: &&Value| {
        let starts = invoice["start_timestamp"].as_str().is_some_and(|text| text.starts_with(start));
        invoice["contract_id"] == contract && starts
    };
    invoices.iter().find(is_it).expect("an invoice")["total"].to_string()
}

fn filtered(key: &str, values: &[&str]) -> Value {
    json!({ "usage_filter": { "group_key": key, "group_values": values } })
}

#[tokio::test]
async fn contracts_20_filters() {
    let desk = Desk::at("2026-03-10").await;
    let metric = desk.metric("SUM", &["project_id"]).await;
    let product = desk.product_on("Units", &metric, json!({})).await;
    desk.flat(&product, "2026-03-01", "10").await;
    let p1 = desk.contract("2026-03-01", filtered("project_id", &["p1"])).await;
    let p2 = desk.contract("2026-03-01", filtered("project_id", &["p2"])).await;
    // A group key is a property that every counted event has, so untagged events carry another value.
    for (project, n) in [("p1", 100), ("p2", 50), ("", 7)] {
        desk.event("2026-03-05", json!({ "project_id": project, "n": n })).await;
    }
    assert_eq!(total_of(&desk, &p1, "2026-03-01").await, "1000");
    assert_eq!(total_of(&desk, &p2, "2026-03-01").await, "500");
    let without = desk.contract("2026-03-01", json!({})).await;
    assert_eq!(
        total_of(&desk, &without, "2026-03-01").await,
        "1570",
        "no filter: all of the customer's usage"
    );
    assert_eq!(total_of(&desk, &p2, "2026-03-01").await, "500", "what overlaps is billed twice");
}

#[tokio::test]
async fn contracts_20_filters_of_regions() {
    let desk = Desk::at("2024-10-01").await;
    let metric = desk.metric("SUM", &["region"]).await;
    let product = desk.product_on("Units", &metric, json!({})).await;
    desk.flat(&product, "2024-10-01", "10").await;
    let us = desk.contract("2024-10-01", filtered("region", &["US"])).await;
    let eu = desk.contract("2024-10-01", filtered("region", &["EU"])).await;
    let set = async |contract: &str, values: &[&str]| {
        let body = json!({
            "customer_id": desk.customer, "contract_id": contract, "group_key": "region", "group_values": values,
            "starting_at": t("2025-01-01"),
        });
        assert_eq!(desk.api.post("/v1/contracts/setUsageFilter", body).await.status, 200);
    };
    set(&us, &["US", "EU"]).await;
    desk.clock("2025-01-01 12:00").await;
    for (at, region, n) in [
        ("2024-12-31 23:59:59.999999", "EU", 1),
        ("2024-12-31 23:59:59.999999", "US", 20),
        ("2025-01-01", "EU", 300),
        ("2025-01-01", "US", 4000),
    ] {
        desk.event(at, json!({ "region": region, "n": n })).await;
    }
    let totals = async |start: &str| (total_of(&desk, &us, start).await, total_of(&desk, &eu, start).await);
    let both = |us: &str, eu: &str| (us.to_owned(), eu.to_owned());
    assert_eq!(
        totals("2024-12-01").await,
        both("200", "10"),
        "EU usage of December stays off the US contract"
    );
    assert_eq!(totals("2025-01-01").await, both("43000", "3000"), "until the EU contract is filtered anew");
    set(&eu, &["none"]).await;
    assert_eq!(totals("2025-01-01").await, both("43000", "0"));
    desk.clock("2025-01-02").await;
    assert_eq!(totals("2024-12-01").await, both("200", "10"), "final");
}

#[tokio::test]
async fn contracts_21_charges_on_usage_invoices() {
    let desk = Desk::at("2026-01-01").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-01-01", "100").await;
    let fee = desk.api.fixed_product("Platform fee").await;
    let monthly = recurring(&fee, "MONTHLY", "EACH", 7500, "2026-01-01", "2027-01-01");
    let more = json!({ "scheduled_charges": [monthly], "scheduled_charges_on_usage_invoices": "ALL" });
    desk.contract("2026-01-01", more).await;
    desk.api.work().await;
    let to_come = |first: u32| -> Vec<String> {
        (first..=12).map(|month| format!("SCHEDULED DRAFT 2026-{month:02}-01 7500")).collect()
    };
    let listed = overview(&desk).await;
    assert_eq!(
        listed[..2],
        ["SCHEDULED FINALIZED 2026-01-01 7500", "USAGE DRAFT 2026-02-01 7500"],
        "the first has no usage invoice to ride on"
    );
    assert_eq!(listed[2..], to_come(3), "every later one rides once the invoice of its month is a draft");
    desk.n("2026-01-01", 30).await;
    let draft = desk.api.invoices(&desk.customer).await.remove(1);
    let lines = ["Units 01-01..02-01 30 × 100 = 3000", "Platform fee 1 × 7500 = 7500", "total 10500"];
    assert_eq!(text(&draft), lines);
    desk.clock("2026-02-02").await;
    let finalized = desk.api.invoices(&desk.customer).await.remove(1);
    assert_eq!((text(&finalized), &finalized["status"]), (text(&draft), &json!("FINALIZED")));
    let listed = overview(&desk).await;
    assert_eq!(
        listed[..3],
        [
            "SCHEDULED FINALIZED 2026-01-01 7500",
            "USAGE FINALIZED 2026-02-01 10500",
            "USAGE DRAFT 2026-03-01 7500",
        ]
    );
    assert_eq!(listed[3..], to_come(4));
    desk.clock("2027-02-02").await;
    let overview = overview(&desk).await;
    assert_eq!(overview.len(), 1 + 13 + 1);
    let months: Vec<String> =
        (3..=12).map(|month| format!("USAGE FINALIZED 2026-{month:02}-01 7500")).collect();
    assert_eq!(overview[2..12], months);
    assert_eq!(
        overview[12..],
        ["USAGE FINALIZED 2027-01-01 0", "USAGE FINALIZED 2027-02-01 0", "USAGE DRAFT 2027-03-01 0"],
        "the schedule is over before 2027-01-01"
    );
}

/// The worked example has a prepaid commit where this has a charge of the same amount.
#[tokio::test]
async fn contracts_27_day_0_purchase_and_quarterly_fee() {
    let desk = Desk::at("2024-11-01").await;
    let [purchase, fee] =
        [desk.api.fixed_product("Prepaid").await, desk.api.fixed_product("Platform fee").await];
    let mut more = schedule("MONTHLY", "CONTRACT_START");
    more["scheduled_charges"] = json!([
        charge(&purchase, &[("2024-11-01", 1_000_000)]),
        recurring(&fee, "QUARTERLY", "EACH", 100_000, "2024-11-01", "2025-11-01"),
    ]);
    desk.contract("2024-11-01", more).await;
    desk.api.work().await;
    assert_eq!(
        overview(&desk).await,
        [
            "SCHEDULED FINALIZED 2024-11-01 1100000",
            "USAGE DRAFT 2024-12-01 0",
            "SCHEDULED DRAFT 2025-02-01 100000",
            "SCHEDULED DRAFT 2025-05-01 100000",
            "SCHEDULED DRAFT 2025-08-01 100000",
        ]
    );
    let first = desk.api.invoices(&desk.customer).await.remove(0);
    assert_eq!(
        text(&first),
        ["Prepaid 1 × 1000000 = 1000000", "Platform fee 1 × 100000 = 100000", "total 1100000"]
    );
    desk.clock("2025-05-01").await;
    let statuses: Vec<String> =
        overview(&desk).await.into_iter().filter(|line| line.starts_with('S')).collect();
    assert_eq!(
        statuses,
        [
            "SCHEDULED FINALIZED 2024-11-01 1100000",
            "SCHEDULED FINALIZED 2025-02-01 100000",
            "SCHEDULED FINALIZED 2025-05-01 100000",
            "SCHEDULED DRAFT 2025-08-01 100000",
        ]
    );
}

/// The statement of the worked example; it has no subscription yet.
#[tokio::test]
async fn contracts_14_cancel_now() {
    let (desk, contract) = billed("2026-04-01", json!({})).await;
    desk.n("2026-04-01", 5).await;
    desk.clock("2026-04-20").await;
    desk.n("2026-04-20", 70).await;
    desk.end(&contract, Some("2026-04-20")).await;
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await),
        ["2026-04-01..2026-04-20 DRAFT issued 2026-04-21"]
    );
    let invoice = desk.close("2026-04-01", "2026-04-21").await;
    assert_eq!(text(&invoice), ["Units 04-01..04-20 5 × 1 = 5", "total 5"]);
    desk.clock("2026-07-01").await;
    assert_eq!(desk.api.invoices(&desk.customer).await, [invoice], "and nothing after");
}

/// A contract on a product at 1 from `start`, where the clock stands.
async fn billed(start: &str, more: Value) -> (Desk, String) {
    let desk = Desk::at(start).await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2020-01-01", "1").await;
    let contract = desk.contract(start, more).await;
    (desk, contract)
}

#[tokio::test]
async fn an_end_that_moves_back_and_forth_bills_every_day_once() {
    let (desk, contract) = billed("2026-04-01", json!({})).await;
    for day in ["03", "14"] {
        desk.clock(&format!("2026-04-{day}")).await;
        desk.n(&format!("2026-04-{day}"), 1).await;
    }
    desk.end(&contract, Some("2026-04-15")).await;
    desk.clock("2026-04-16").await;
    assert_eq!(desk.invoice("2026-04-01").await["status"], "FINALIZED");
    for day in ["15", "16"] {
        desk.n(&format!("2026-04-{day}"), 10).await;
    }
    assert_eq!(desk.api.invoices(&desk.customer).await.len(), 1, "after the end nothing is billed");
    desk.end(&contract, Some("2026-06-10")).await;
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await),
        [
            "2026-04-01..2026-04-15 FINALIZED issued 2026-04-16",
            "2026-04-15..2026-05-01 DRAFT issued 2026-05-02",
        ],
        "the rest of the month is a statement of its own"
    );
    assert_eq!(desk.total("2026-04-15").await, "20");
    desk.clock("2026-05-20").await;
    desk.n("2026-05-20", 100).await;
    desk.end(&contract, None).await;
    desk.clock("2026-07-03").await;
    let invoices = desk.api.invoices(&desk.customer).await;
    assert_eq!(
        statements(&invoices),
        [
            "2026-04-01..2026-04-15 FINALIZED issued 2026-04-16",
            "2026-04-15..2026-05-01 FINALIZED issued 2026-05-02",
            "2026-05-01..2026-06-01 FINALIZED issued 2026-06-02",
            "2026-06-01..2026-07-01 FINALIZED issued 2026-07-02",
            "2026-07-01..2026-08-01 DRAFT issued 2026-08-02",
        ]
    );
    let totals: Vec<&Value> = invoices.iter().map(|invoice| &invoice["total"]).collect();
    assert_eq!(totals, [&json!(2), &json!(20), &json!(100), &json!(0), &json!(0)]);
}

#[tokio::test]
async fn an_end_before_finalized_invoices_leaves_them_and_bills_on_from_there() {
    let (desk, contract) = billed("2026-01-01", json!({})).await;
    desk.n("2026-01-01", 3).await;
    desk.clock("2026-03-10").await;
    let before = desk.api.invoices(&desk.customer).await;
    desk.end(&contract, Some("2026-01-20")).await;
    assert_eq!(
        desk.api.invoices(&desk.customer).await,
        before[..2],
        "January and February stay, March is gone"
    );
    desk.clock("2026-03-20").await;
    desk.end(&contract, Some("2026-02-10")).await;
    assert_eq!(desk.api.invoices(&desk.customer).await, before[..2]);
    desk.end(&contract, Some("2026-03-15")).await;
    desk.api.work().await;
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await)[2..],
        ["2026-03-01..2026-03-15 FINALIZED issued 2026-03-16"],
        "its grace is over"
    );
    desk.end(&contract, None).await;
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await)[3..],
        ["2026-03-15..2026-04-01 DRAFT issued 2026-04-02"]
    );
}

#[tokio::test]
async fn an_end_in_the_grace_of_the_last_statement_cuts_it() {
    let (desk, contract) = billed("2026-03-01", json!({})).await;
    desk.n("2026-03-01", 3).await;
    desk.clock("2026-03-31 06:00").await;
    desk.n("2026-03-31", 40).await;
    desk.clock("2026-04-01 06:00").await;
    assert_eq!(desk.total("2026-03-01").await, "43");
    desk.end(&contract, Some("2026-03-31")).await;
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await),
        ["2026-03-01..2026-03-31 DRAFT issued 2026-04-01"]
    );
    desk.api.work().await;
    let invoice = desk.invoice("2026-03-01").await;
    assert_eq!((&invoice["status"], &invoice["total"]), (&json!("FINALIZED"), &json!(3)));
}

#[tokio::test]
async fn an_end_in_a_later_statement_changes_no_draft_until_then() {
    let more = schedule("QUARTERLY", "FIRST_OF_MONTH");
    let (desk, contract) = billed("2026-01-01", more).await;
    desk.end(&contract, Some("2026-04-10 07:00")).await;
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await),
        ["2026-01-01..2026-04-01 DRAFT issued 2026-04-02"]
    );
    desk.clock("2026-06-01").await;
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await)[1..],
        ["2026-04-01T00..2026-04-10T07 FINALIZED issued 2026-04-11T07"].map(|text| text.replace("T00.", "."))
    );
}

#[tokio::test]
async fn generation_that_starts_after_the_end_begins_where_the_end_moves() {
    let more = json!({
        "ending_before": t("2026-02-01"),
        "usage_statement_schedule": { "frequency": "MONTHLY", "invoice_generation_starting_at": t("2026-03-10") },
    });
    let (desk, contract) = billed("2026-01-01", more).await;
    desk.clock("2026-04-05").await;
    assert_eq!(desk.api.invoices(&desk.customer).await, Vec::<Value>::new());
    desk.end(&contract, None).await;
    desk.api.work().await;
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await),
        [
            "2026-03-10..2026-04-01 FINALIZED issued 2026-04-02",
            "2026-04-01..2026-05-01 DRAFT issued 2026-05-02",
        ]
    );
}

#[tokio::test]
async fn an_earlier_end_removes_the_charges_from_then_on_for_good() {
    let desk = Desk::at("2026-01-01").await;
    let fee = desk.api.fixed_product("Fee").await;
    let monthly = recurring(&fee, "MONTHLY", "EACH", 100, "2026-01-01", "2027-01-01");
    let contract = desk.contract("2026-01-01", json!({ "scheduled_charges": [monthly] })).await;
    desk.clock("2026-02-15").await;
    desk.end(&contract, Some("2026-04-01")).await;
    let left = [
        "SCHEDULED FINALIZED 2026-01-01 100",
        "SCHEDULED FINALIZED 2026-02-01 100",
        "SCHEDULED DRAFT 2026-03-01 100",
    ];
    let scheduled = async || -> Vec<String> {
        overview(&desk).await.into_iter().filter(|line| line.starts_with('S')).collect()
    };
    assert_eq!(scheduled().await, left, "one that is dated at the end goes too");
    assert_eq!(items(&desk, &contract).await, [["2026-01-01 100", "2026-02-01 100", "2026-03-01 100"]]);
    desk.end(&contract, Some("2026-12-01")).await;
    assert_eq!(scheduled().await, left, "a later end brings nothing back");
    desk.end(&contract, Some("2026-01-15")).await;
    assert_eq!(scheduled().await, left[..2], "what is finalized stays");
    desk.clock("2026-06-01").await;
    assert_eq!(scheduled().await, left[..2]);
}

#[tokio::test]
async fn a_charge_at_the_end_stays_if_it_rides_on_the_last_statement() {
    let riding = |fee: &str, dates: &[(&str, i64)]| json!({ "scheduled_charges": [charge(fee, dates)], "scheduled_charges_on_usage_invoices": "all" });
    let desk = Desk::at("2026-04-01").await;
    let fee = desk.api.fixed_product("Fee").await;
    let dates = [("2026-04-15", 1), ("2026-04-15 00:01", 20), ("2026-04-20", 300), ("2026-05-01", 4000)];
    let contract = desk.contract("2026-04-01", riding(&fee, &dates)).await;
    assert_eq!(
        overview(&desk).await,
        [
            "SCHEDULED DRAFT 2026-04-15 1",
            "SCHEDULED DRAFT 2026-04-15 20",
            "SCHEDULED DRAFT 2026-04-20 300",
            "USAGE DRAFT 2026-05-01 4000",
        ]
    );
    desk.end(&contract, Some("2026-04-15")).await;
    assert_eq!(overview(&desk).await, ["USAGE DRAFT 2026-04-15 1"]);
    desk.end(&contract, Some("2026-05-01")).await;
    assert_eq!(
        overview(&desk).await,
        ["SCHEDULED DRAFT 2026-04-15 1", "USAGE DRAFT 2026-05-01 0"],
        "without its statement it has an invoice of its own again"
    );
    desk.end(&contract, Some("2026-04-15")).await;
    desk.clock("2026-04-16").await;
    assert_eq!(overview(&desk).await, ["USAGE FINALIZED 2026-04-15 1"]);
    assert_eq!(items(&desk, &contract).await, [["2026-04-15 1"]]);
}

#[tokio::test]
async fn a_charge_rides_in_the_currency_of_its_statement_alone_and_on_its_day() {
    let desk = Desk::at("2026-01-10").await;
    let fee = desk.api.fixed_product("Fee").await;
    let units = desk.api.get("/v1/credit-types/list").await.data();
    let euro = units.as_array().expect("units").iter().find(|unit| unit["name"] == "EUR").expect("EUR")["id"]
        .clone();
    let mut in_euro = charge(&fee, &[("2026-02-01", 7)]);
    in_euro["schedule"]["credit_type_id"] = euro;
    let dollars = charge(
        &fee,
        &[
            ("2026-01-31 23:59:59.999999", 1),
            ("2026-02-01", 20),
            ("2026-02-01 23:59:59.999999", 300),
            ("2026-02-02", 4000),
        ],
    );
    let more =
        json!({ "scheduled_charges": [dollars, in_euro], "scheduled_charges_on_usage_invoices": "ALL" });
    desk.contract("2026-01-10", more).await;
    let drafts = [
        "SCHEDULED DRAFT 2026-01-31 1",
        "SCHEDULED DRAFT 2026-02-01 7",
        "SCHEDULED DRAFT 2026-02-02 4000",
        "USAGE DRAFT 2026-02-01 320",
    ];
    let mut seen = overview(&desk).await;
    seen.sort();
    assert_eq!(seen, drafts);
    desk.clock("2026-02-03").await;
    let mut seen = overview(&desk).await;
    seen.retain(|line| !line.contains("2026-03-01"));
    seen.sort();
    assert_eq!(seen, drafts.map(|line| line.replace("DRAFT", "FINALIZED")));
}

#[tokio::test]
async fn backdated_charges_are_finalized_at_once_in_the_order_of_their_dates() {
    let desk = Desk::at("2026-03-10").await;
    let fee = desk.api.fixed_product("Fee").await;
    let dates = [("2026-04-01", 1), ("2026-02-01", 2), ("2025-12-24", 3), ("2026-03-10", 4)];
    let more =
        json!({ "scheduled_charges": [charge(&fee, &dates)], "scheduled_charges_on_usage_invoices": "ALL" });
    desk.contract("2026-01-01", more).await;
    desk.api.work().await;
    assert_eq!(
        overview(&desk).await,
        [
            "SCHEDULED FINALIZED 2025-12-24 3",
            "USAGE FINALIZED 2026-02-01 2",
            "USAGE FINALIZED 2026-03-01 0",
            "SCHEDULED FINALIZED 2026-03-10 4",
            "USAGE DRAFT 2026-04-01 1",
        ]
    );
}

#[tokio::test]
async fn charges_need_no_rate_card_and_no_usage_statement() {
    let desk = Desk::at("2026-01-01").await;
    let fee = desk.api.fixed_product("Fee").await;
    let mut body = json!({
        "customer_id": desk.customer, "starting_at": t("2026-02-01"), "ending_before": t("2026-02-02"),
        "scheduled_charges": [charge(&fee, &[("2026-01-15", 5), ("2026-06-01", 7)])], "net_payment_terms_days": 30,
    });
    body["scheduled_charges"][0]["name"] = json!("Set-up");
    desk.api.post("/v1/contracts/create", body).await.id();
    assert_eq!(overview(&desk).await, ["SCHEDULED DRAFT 2026-01-15 5", "SCHEDULED DRAFT 2026-06-01 7"]);
    desk.clock("2026-07-01").await;
    assert_eq!(
        overview(&desk).await,
        [
            "SCHEDULED FINALIZED 2026-01-15 5",
            "USAGE FINALIZED 2026-02-02 0",
            "SCHEDULED FINALIZED 2026-06-01 7"
        ],
        "before and after the term too: a date that somebody wrote is a date"
    );
    let first = desk.api.invoices(&desk.customer).await.remove(0);
    assert_eq!(text(&first), ["Set-up 1 × 5 = 5", "total 5"]);
    assert_eq!(first["net_payment_terms_days"], 30);
}
