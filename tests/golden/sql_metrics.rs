//! Metrics that queries count: the examples of the metering reference, and what else must hold of them.

use serde_json::{Value, json};

use upbeat::access::{self, EnvironmentKind};
use upbeat::invoice::verify_invoices;

use crate::balances::{bill, credit, prepaid, with};
use crate::desk::{Desk, number, quantities, t, text, tiers};

/// A metric that a query counts; answers its id.
async fn sql_metric(desk: &Desk, sql: &str) -> String {
    desk.api.post("/v1/billable-metrics/create", json!({ "name": "query", "sql": sql })).await.id()
}

/// Rows of `/v1/usage/groups` as `start group=value: quantity`.
async fn groups(desk: &Desk, metric: &str, window: &str, dates: (&str, &str), key: &[&str]) -> Vec<String> {
    let body = json!({
        "customer_id": desk.customer, "billable_metric_id": metric, "window_size": window,
        "starting_on": t(dates.0), "ending_before": t(dates.1), "group_key": key,
    });
    let rows = desk.api.post("/v1/usage/groups", body).await.data();
    let row = |row: &Value| {
        let group = row["group"].as_object().expect("a group");
        let group: Vec<String> =
            group.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("?"))).collect();
        format!(
            "{} {}: {}",
            &row["starting_on"].as_str().expect("a start")[..10],
            group.join(" "),
            row["value"]
        )
    };
    rows.as_array().expect("rows").iter().map(row).collect()
}

const AVERAGE_OF_DAILY_PEAKS: &str = "
    SELECT AVG(peak) AS value, who, zone
    FROM (SELECT DATE_TRUNC('day', timestamp) AS d, properties.user AS who, properties.zone AS zone,
                 MAX(CAST(properties.gb AS DECIMAL)) AS peak
          FROM events WHERE event_type = 'use' GROUP BY d, who, zone)
    GROUP BY who, zone";

#[tokio::test]
async fn metering_h_average_of_daily_peaks() {
    let desk = Desk::at("2026-01-20").await;
    for (at, user, zone, gb) in [
        ("2026-01-01 08:00", "u1", "fra", "10"),
        ("2026-01-01 09:00", "u1", "fra", "14"),
        ("2026-01-02 08:00", "u1", "fra", "20"),
        ("2026-01-01 10:00", "u2", "nyc", "6"),
        ("2026-01-03 10:00", "u2", "nyc", "2"),
    ] {
        desk.event(at, json!({ "user": user, "zone": zone, "gb": gb })).await;
    }
    // Made after the events came: queries look back.
    let metric = sql_metric(&desk, AVERAGE_OF_DAILY_PEAKS).await;
    let january = ("2026-01-01", "2026-02-01");
    assert_eq!(desk.usage(&metric, "NONE", january.0, january.1).await, ["21"]);
    assert_eq!(desk.usage(&metric, "DAY", "2026-01-01", "2026-01-05").await, ["20", "20", "2", "null"]);
    assert_eq!(
        groups(&desk, &metric, "NONE", january, &["zone"]).await,
        ["2026-01-01 zone=fra: 17", "2026-01-01 zone=nyc: 4"]
    );
    assert_eq!(
        groups(&desk, &metric, "NONE", january, &["zone", "who"]).await,
        ["2026-01-01 who=u1 zone=fra: 17", "2026-01-01 who=u2 zone=nyc: 4"]
    );
    let whole = desk.product_on("Disk", &metric, json!({})).await;
    let by_zone = desk.product_on("By zone", &metric, json!({ "pricing_group_key": ["zone"] })).await;
    desk.flat(&whole, "2026-01-01", "1").await;
    for (zone, price) in [("fra", "2"), ("nyc", "3")] {
        desk.flat_with(&by_zone, "2026-01-01", price, json!({ "pricing_group_values": { "zone": zone } }))
            .await;
    }
    desk.contract("2026-01-01", json!({})).await;
    let invoice = desk.invoice("2026-01-01").await;
    assert_eq!(quantities(&invoice, "Disk"), ["21"]);
    assert_eq!(quantities(&invoice, "By zone"), ["17", "4"]);
    assert_eq!(invoice["total"], 21 + 34 + 12, "{:?}", text(&invoice));
    desk.close("2026-01-01", "2026-02-03").await;
}

const SUM: &str = "SELECT SUM(properties.n) AS value FROM events WHERE event_type = 'use'";

/// A product on a metric of this query.
async fn product(desk: &Desk, name: &str, sql: &str, granularity: &str) -> String {
    let metric = sql_metric(desk, sql).await;
    desk.product_on(name, &metric, json!({ "sql_breakdown_granularity": granularity })).await
}

#[tokio::test]
async fn metering_i_sql_granularity() {
    let desk = Desk::at("2026-01-21").await;
    let by_hour = product(&desk, "By hour", SUM, "hour").await;
    let by_period = product(&desk, "By period", SUM, "SERVICE_PERIOD").await;
    for product in [&by_hour, &by_period] {
        desk.flat(product, "2026-01-01", "1").await;
        desk.flat(product, "2026-01-10", "3").await;
    }
    desk.contract("2026-01-01", json!({})).await;
    for (at, n) in [("2026-01-02 05:00", 6), ("2026-01-05 06:00", 9), ("2026-01-20 07:00", 15)] {
        desk.n(at, n).await;
    }
    assert_eq!(
        desk.lines("2026-01-01").await,
        [
            "By hour 01-01..01-10 15 × 1 = 15",
            "By hour 01-10..02-01 15 × 3 = 45",
            "By period 01-01..02-01 30 × 3 = 90",
            "total 150"
        ]
    );
    let invoice = desk.close("2026-01-01", "2026-02-03").await;
    let whole = &invoice["line_items"][2];
    assert_eq!(
        (&whole["starting_at"], &whole["ending_before"]),
        (&json!("2026-01-01T00:00:00+00:00"), &json!("2026-02-01T00:00:00+00:00"))
    );
}

#[tokio::test]
async fn metering_o_sql_granularity_documented_numbers() {
    let desk = Desk::at("2026-01-20").await;
    let by_hour = product(&desk, "By hour", SUM, "HOUR").await;
    let by_period = product(&desk, "By period", SUM, "service_period").await;
    for product in [&by_hour, &by_period] {
        desk.flat(product, "2026-01-01", "10").await;
        desk.flat(product, "2026-01-15", "20").await;
    }
    desk.contract("2026-01-01", json!({})).await;
    for (at, n) in [("2026-01-01 05:00", 5), ("2026-01-02 06:00", 10), ("2026-01-03 07:00", 15)] {
        desk.n(at, n).await;
    }
    let lines = desk.lines("2026-01-01").await;
    assert_eq!(
        lines,
        [
            "By hour 01-01..01-15 30 × 10 = 300",
            "By hour 01-15..02-01 0 × 20 = 0",
            "By period 01-01..02-01 30 × 20 = 600",
            "total 900"
        ]
    );
    desk.close("2026-01-01", "2026-02-03").await;
}

#[tokio::test]
async fn pricing_e34_sql_granularity_in_cents_and_a_swap_of_averages() {
    let desk = Desk::at("2026-03-20").await;
    let by_hour = product(&desk, "By hour", SUM, "HOUR").await;
    let by_period = product(&desk, "By period", SUM, "SERVICE_PERIOD").await;
    for product in [&by_hour, &by_period] {
        desk.flat(product, "2026-03-01", "1000").await;
        desk.flat(product, "2026-03-15", "2000").await;
    }
    desk.contract("2026-03-01", json!({})).await;
    for (at, n) in [("2026-03-01 05:00", 5), ("2026-03-02 06:00", 10), ("2026-03-03 07:00", 15)] {
        desk.n(at, n).await;
    }
    assert_eq!(
        desk.lines("2026-03-01").await,
        [
            "By hour 03-01..03-15 30 × 1000 = 30000",
            "By hour 03-15..04-01 0 × 2000 = 0",
            "By period 03-01..04-01 30 × 2000 = 60000",
            "total 90000"
        ]
    );
    let readings =
        [("2026-03-01", "a", 4), ("2026-03-02", "a", 6), ("2026-03-15", "b", 10), ("2026-03-16", "b", 12)];
    let prices = [("2026-03-01", "1"), ("2026-03-02", "2"), ("2026-03-15", "1"), ("2026-03-16", "2")];
    assert_eq!(swapped("HOUR", "2026-03-15", &readings, &prices).await, ["4", "1", "10", "1"]);
}

#[tokio::test]
async fn pricing_e34_only_a_credit_that_covers_the_last_instant_pays_for_a_whole_period() {
    let desk = Desk::at("2026-03-20").await;
    let by_period = product(&desk, "By period", SUM, "SERVICE_PERIOD").await;
    desk.flat(&by_period, "2026-03-01", "1000").await;
    desk.flat(&by_period, "2026-03-15", "2000").await;
    desk.contract("2026-03-01", json!({})).await;
    for (at, n) in [("2026-03-01 05:00", 5), ("2026-03-02 06:00", 10), ("2026-03-03 07:00", 15)] {
        desk.n(at, n).await;
    }
    let fixed = desk.api.fixed_product("Credit").await;
    let grant = |name: &str, from: &str, until: &str| {
        credit(&fixed, name, &[(10_000, from, until)], json!({ "priority": 1 }))
    };
    desk.credit(grant("Of the usage", "2026-03-01", "2026-03-15")).await;
    desk.credit(grant("Too short", "2026-03-16", "2026-03-31 23:00")).await;
    assert_eq!(desk.total("2026-03-01").await, "60000");
    desk.credit(grant("Of the end", "2026-03-31 23:00", "2026-04-01")).await;
    let mut march = bill(&desk.close("2026-03-01", "2026-04-03").await);
    march.retain(|line| !line.contains(" 0 × "));
    assert_eq!(
        march,
        [
            "By period 03-31..04-01 5 × 2000 = 10000 (CREDIT)",
            "Of the end applied 03-31..04-01 = -10000 (CREDIT)",
            "By period 03-31..04-01 25 × 2000 = 50000",
            "total 50000",
        ]
    );
    let expired = "CREDIT_EXPIRATION -10000";
    for name in ["Of the usage", "Too short"] {
        let ledger = desk.ledger(name).await;
        assert!(ledger.len() == 2 && ledger[1].ends_with(expired), "{name}: {ledger:?}");
    }
}

/// Overrides that begin inside the period: what is counted at its end is priced by them, also while a balance is drawn.
#[tokio::test]
async fn what_a_query_counts_at_the_end_has_the_price_of_the_end_while_it_is_drawn() {
    let desk = Desk::at("2026-03-20").await;
    let by_period = product(&desk, "By period", SUM, "SERVICE_PERIOD").await;
    desk.flat(&by_period, "2026-03-01", "1000").await;
    let fixed = desk.api.fixed_product("Commit").await;
    let from = |date: &str, multiplier: &str, more: Value| {
        let rule = json!({ "starting_at": t(date), "type": "MULTIPLIER", "multiplier": number(multiplier) });
        with(rule, more)
    };
    let of_a = json!({ "is_commit_specific": true, "override_specifiers": [{ "commit_ids": ["a"] }] });
    let grants = [(10_000, "2026-03-01", "2026-04-01")];
    let commits = json!([
        prepaid(&fixed, "A", &grants, json!({ "temporary_id": "a", "priority": 1 })),
        prepaid(&fixed, "B", &grants, json!({ "priority": 2 })),
    ]);
    let overrides = json!([from("2026-03-10", "0.5", of_a), from("2026-03-15", "0.8", json!({}))]);
    desk.contract("2026-03-01", json!({ "commits": commits, "overrides": overrides })).await;
    desk.n("2026-03-02 05:00", 40).await;
    assert_eq!(
        bill(&desk.close("2026-03-01", "2026-04-03").await),
        [
            "By period 03-01..04-01 20 × 500 = 10000 (PREPAID)",
            "A applied 03-01..04-01 = -10000 (PREPAID)",
            "By period 03-01..04-01 12.5 × 800 = 10000 (PREPAID)",
            "B applied 03-01..04-01 = -10000 (PREPAID)",
            "By period 03-01..04-01 7.5 × 800 = 6000",
            "total 6000",
        ]
    );
}

/// The average of `n` over one kind of events.
fn average(kind: &str) -> String {
    format!("SELECT AVG(properties.n) FROM events WHERE properties.kind = '{kind}'")
}

/// A product on the average of kind `a`, which a swap turns into that of kind `b`; what each stretch between two changes
/// of the price adds.
async fn swapped(
    granularity: &str,
    swap: &str,
    readings: &[(&str, &str, i64)],
    prices: &[(&str, &str)],
) -> Vec<String> {
    let desk = Desk::at("2026-03-20").await;
    let product = product(&desk, "Average", &average("a"), granularity).await;
    let later = sql_metric(&desk, &average("b")).await;
    desk.update(&product, swap, json!({ "billable_metric_id": later })).await;
    for (from, price) in prices {
        desk.flat(&product, from, price).await;
    }
    desk.contract("2026-03-01", json!({})).await;
    for (at, kind, n) in readings {
        desk.event(at, json!({ "kind": kind, "n": n })).await;
    }
    let invoice = desk.close("2026-03-01", "2026-04-03").await;
    quantities(&invoice, "Average")
}

#[tokio::test]
async fn metering_j_sql_metric_swap() {
    let readings = [
        ("2026-03-01 05:00", "a", 8),
        ("2026-03-03 05:00", "a", 12),
        ("2026-03-11 05:00", "b", 30),
        ("2026-03-12", "b", 34),
    ];
    let prices = [("2026-03-01", "1"), ("2026-03-03", "2"), ("2026-03-11", "1"), ("2026-03-12", "2")];
    assert_eq!(swapped("HOUR", "2026-03-10", &readings, &prices).await, ["8", "2", "0", "30", "2"]);
    assert_eq!(swapped("SERVICE_PERIOD", "2026-03-10", &readings, &prices).await, ["42"]);
}

#[tokio::test]
async fn metering_p_sql_swap_documented_numbers() {
    let readings = [
        ("2026-03-01 05:00", "a", 4),
        ("2026-03-02 05:00", "a", 6),
        ("2026-03-15 05:00", "b", 10),
        ("2026-03-16", "b", 12),
    ];
    let prices = [("2026-03-01", "1"), ("2026-03-02", "2"), ("2026-03-15", "1"), ("2026-03-16", "2")];
    assert_eq!(swapped("HOUR", "2026-03-15", &readings, &prices).await, ["4", "1", "10", "1"]);
    assert_eq!(swapped("SERVICE_PERIOD", "2026-03-15", &readings, &prices).await, ["16"]);
}

#[tokio::test]
async fn a_finalized_quantity_of_a_query_stays_and_is_verified() {
    let desk = Desk::at("2026-01-21").await;
    let product = product(&desk, "Average", &average("a"), "HOUR").await;
    desk.flat(&product, "2026-01-01", "1").await;
    desk.contract("2026-01-01", json!({})).await;
    desk.event("2026-01-20", json!({ "kind": "a", "n": 8 })).await;
    let january = desk.close("2026-01-01", "2026-02-03").await;
    assert_eq!(january["total"], 8);
    desk.event("2026-01-25", json!({ "kind": "a", "n": 2 })).await;
    assert_eq!(desk.invoice("2026-01-01").await, january, "what came later is not billed");
    let mut db = desk.api.app.db.acquire().await.expect("a connection");
    let sandbox = access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    let (count, faults) = verify_invoices(&desk.api.app.db, sandbox.id).await.expect("a check");
    assert_eq!((count, faults.len()), (1, 0), "{faults:?}");
    for facts in ["event_segment", "segment_pending"] {
        desk.api.sql(&format!("DELETE FROM {facts}")).await;
    }
    let (_, faults) = verify_invoices(&desk.api.app.db, sandbox.id).await.expect("a check");
    assert_eq!(faults.len(), 1, "facts that are gone: {faults:?}");
}

#[tokio::test]
async fn a_query_sees_the_events_that_the_usage_filter_of_their_time_lets_pass() {
    let desk = Desk::at("2026-01-21").await;
    let by_hour = product(&desk, "By hour", &average("a"), "HOUR").await;
    let by_period = product(&desk, "By period", &average("a"), "SERVICE_PERIOD").await;
    for product in [&by_hour, &by_period] {
        desk.flat(product, "2026-01-01", "1").await;
        desk.flat(product, "2026-01-10", "3").await;
    }
    let first = json!({ "group_key": "project", "group_values": ["p1", "7"] });
    let contract = desk.contract("2026-01-01", json!({ "usage_filter": first })).await;
    for (at, project, n) in [
        ("2026-01-02", json!("p1"), 4),
        ("2026-01-03", json!("p2"), 100),
        ("2026-01-05", json!(7), 8),
        ("2026-01-06", Value::Null, 50),
        ("2026-01-09 23:59:59.999999", json!("p2"), 70),
        ("2026-01-10", json!("p2"), 18),
        ("2026-01-12", json!("p1"), 60),
        ("2026-01-15", json!("p2"), 10),
    ] {
        desk.event(at, json!({ "kind": "a", "n": n, "project": project })).await;
    }
    let next = json!({
        "customer_id": desk.customer, "contract_id": contract, "group_key": "project", "group_values": ["p2"],
        "starting_at": t("2026-01-10"),
    });
    desk.api.post("/v1/contracts/setUsageFilter", next).await;
    // The average of 4 and 8, and then of 4, 8, 18 and 10.
    assert_eq!(
        desk.lines("2026-01-01").await,
        [
            "By hour 01-01..01-10 6 × 1 = 6",
            "By hour 01-10..02-01 4 × 3 = 12",
            "By period 01-01..02-01 10 × 3 = 30",
            "total 48"
        ]
    );
    desk.close("2026-01-01", "2026-02-03").await;
}

#[tokio::test]
async fn tiers_and_both_granularities_in_one_period() {
    let desk = Desk::at("2026-01-21").await;
    let product = product(&desk, "Units", SUM, "HOUR").await;
    let steps = tiers(&[("10", "5"), ("10", "3"), ("", "1")]);
    desk.rate(&product, "2026-01-01", steps).await;
    desk.update(&product, "2026-01-10", json!({ "sql_breakdown_granularity": "SERVICE_PERIOD" })).await;
    desk.update(&product, "2026-01-20", json!({ "sql_breakdown_granularity": "HOUR" })).await;
    desk.contract("2026-01-01", json!({})).await;
    for (at, n) in [("2026-01-02", 4), ("2026-01-15", 7), ("2026-01-16", 6), ("2026-01-20 05:00", 8)] {
        desk.n(at, n).await;
    }
    // First what is charged where it was used, 4 and 8; at the end of the period the 13 that were put off.
    assert_eq!(
        desk.lines("2026-01-01").await,
        [
            "Units 01-01..01-10 [1] 4 × 5 = 20",
            "Units 01-10..02-01 [2] 8 × 3 = 24",
            "Units 01-10..02-01 [3] 5 × 1 = 5",
            "Units 01-20..02-01 [1] 6 × 5 = 30",
            "Units 01-20..02-01 [2] 2 × 3 = 6",
            "total 85"
        ]
    );
    desk.close("2026-01-01", "2026-02-03").await;
}

#[tokio::test]
async fn groups_of_a_query_that_are_null_are_shown_without_a_value() {
    let desk = Desk::at("2026-01-21").await;
    let metric = sql_metric(
        &desk,
        "SELECT SUM(properties.n) AS value, properties.zone, properties.user FROM events GROUP BY zone, user",
    )
    .await;
    let product = desk.product_on("Units", &metric, json!({ "presentation_group_key": ["zone"] })).await;
    let priced = desk.product_on("Priced", &metric, json!({ "pricing_group_key": ["zone"] })).await;
    desk.flat(&product, "2026-01-01", "1").await;
    desk.flat_with(&priced, "2026-01-01", "2", json!({ "pricing_group_values": { "zone": "fra" } })).await;
    desk.contract("2026-01-01", json!({})).await;
    desk.event("2026-01-02", json!({ "n": 3, "zone": "fra", "user": "a" })).await;
    desk.event("2026-01-02", json!({ "n": 4, "zone": "fra", "user": "b" })).await;
    desk.event("2026-01-02", json!({ "n": 5 })).await;
    let lines = desk.lines("2026-01-01").await;
    assert_eq!(
        lines,
        [
            "Units 01-01..02-01 5 × 1 = 5",
            "Units {zone: fra} 01-01..02-01 7 × 1 = 7",
            "Priced {zone: fra} 01-01..02-01 7 × 2 = 14",
            "total 26"
        ]
    );
}

/// What lacks a value of the pricing group key has no rate, also where the product was priced without a key before; what was counted
/// before is priced without one.
#[tokio::test]
async fn a_null_pricing_value_has_no_rate_of_a_smaller_key() {
    for (granularity, before) in [("HOUR", "01-01..01-15"), ("SERVICE_PERIOD", "01-01..02-01")] {
        let desk = Desk::at("2026-01-21").await;
        let metric =
            sql_metric(&desk, "SELECT SUM(properties.n) AS value, properties.zone FROM events GROUP BY zone")
                .await;
        let product =
            desk.product_on("Units", &metric, json!({ "sql_breakdown_granularity": granularity })).await;
        desk.flat(&product, "2026-01-01", "100").await;
        let keyed =
            json!({ "product_id": product, "starting_at": t("2026-01-15"), "pricing_group_key": ["zone"] });
        desk.api.post("/v1/contract-pricing/products/update", keyed).await.id();
        desk.flat_with(&product, "2026-01-15", "7", json!({ "pricing_group_values": { "zone": "fra" } }))
            .await;
        desk.contract("2026-01-01", json!({})).await;
        desk.event("2026-01-10", json!({ "n": 5 })).await;
        desk.event("2026-01-20", json!({ "n": 4 })).await;
        desk.event("2026-01-20", json!({ "n": 3, "zone": "fra" })).await;
        let lines = desk.lines("2026-01-01").await;
        let expected = [
            format!("Units {before} 5 × 100 = 500"),
            "Units {zone: fra} 01-15..02-01 3 × 7 = 21".to_owned(),
            "total 521".to_owned(),
        ];
        assert_eq!(lines, expected, "{granularity}");
        let unrated = desk.api.post("/v1/upbeat/usage/unrated", json!({})).await.data();
        let told: Vec<String> = unrated
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| format!("{} {}", row["reason"], row["value"]))
            .collect();
        assert_eq!(told, ["\"NO_RATE\" 4"], "{granularity}");
    }
}
