//! Examples of the pricing reference about overrides, and what else must hold of them.

use serde_json::{Value, json};

use crate::desk::{Desk, number, t, text, tiers};

/// An override from a date on, with more fields.
fn from(date: &str, more: Value) -> Value {
    let mut one = json!({ "starting_at": t(date) });
    one.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    one
}

fn times(date: &str, multiplier: &str, more: Value) -> Value {
    let mut one = from(date, more);
    one["type"] = json!("MULTIPLIER");
    one["multiplier"] = number(multiplier);
    one
}

fn overwrite(date: &str, price: i64, more: Value) -> Value {
    let mut one = from(date, more);
    one["type"] = json!("OVERWRITE");
    one["overwrite_rate"] = json!({ "rate_type": "FLAT", "price": price });
    one
}

fn by_range(date: &str, ranges: &[(&str, &str)], more: Value) -> Value {
    let mut one = from(date, more);
    let range = |(size, multiplier): &(&str, &str)| match *size {
        "" => json!({ "multiplier": number(multiplier) }),
        size => json!({ "size": number(size), "multiplier": number(multiplier) }),
    };
    one["type"] = json!("TIERED");
    one["tiers"] = ranges.iter().map(range).collect();
    one["priority"] = json!(1);
    one
}

fn explicit(overrides: Value) -> Value {
    json!({ "multiplier_override_prioritization": "EXPLICIT", "overrides": overrides })
}

fn lowest(overrides: Value) -> Value {
    json!({ "overrides": overrides })
}

/// The final invoice of June: as the draft was, and once more from what it saw.
async fn june(desk: &Desk) -> Vec<String> {
    text(&desk.close("2026-06-01", "2026-07-02").await)
}

/// What one unit of a product that lists at 100 costs in June under overrides of it.
async fn unit(terms: impl FnOnce(&str) -> Value) -> String {
    let desk = Desk::at("2026-06-20").await;
    let product = desk.product("Units", "SUM", json!({ "tags": ["ai"] })).await;
    desk.flat(&product, "2026-06-01", "100").await;
    desk.contract("2026-06-01", terms(&product)).await;
    desk.n("2026-06-02", 1).await;
    desk.total("2026-06-01").await
}

#[tokio::test]
async fn pricing_e12_overrides_do_not_stack() {
    let start = "2026-06-01";
    let on = |product: &str| json!({ "product_id": product });
    let tag = || json!({ "applicable_product_tags": ["ai"] });
    let nine = |product: &str| times(start, "0.9", on(product));
    let eight = || times(start, "0.8", tag());
    assert_eq!(unit(|product| lowest(json!([nine(product), eight()]))).await, "80");
    let fixed = |product: &str, price| overwrite(start, price, on(product));
    assert_eq!(unit(|product| lowest(json!([nine(product), eight(), fixed(product, 85)]))).await, "85");
    assert_eq!(
        unit(|product| lowest(json!([nine(product), fixed(product, 85), eight(), fixed(product, 95)]))).await,
        "95"
    );
    let with_priority = |mut one: Value, priority: i32| {
        one["priority"] = json!(priority);
        one
    };
    let ranked = |product: &str| json!([with_priority(nine(product), 1), with_priority(eight(), 2)]);
    assert_eq!(unit(|product| explicit(ranked(product))).await, "90");
}

#[tokio::test]
async fn pricing_e12_multipliers_follow_the_list_price_and_overwrites_do_not() {
    let desk = Desk::at("2026-06-20").await;
    let follows = desk.product("Follows", "SUM", json!({})).await;
    let fixed = desk.product("Fixed", "SUM", json!({})).await;
    for product in [&follows, &fixed] {
        desk.flat(product, "2026-06-01", "100").await;
        desk.flat(product, "2026-06-10", "200").await;
    }
    let overrides = json!([
        times("2026-01-01", "0.9", json!({ "product_id": follows })),
        overwrite("2026-01-01", 95, json!({ "product_id": fixed })),
    ]);
    desk.contract("2026-06-01", lowest(overrides)).await;
    desk.n("2026-06-02", 1).await;
    desk.n("2026-06-12", 1).await;
    assert_eq!(
        june(&desk).await,
        [
            "Follows 06-01..06-10 1 × 90 = 90",
            "Follows 06-10..07-01 1 × 180 = 180",
            // The line is cut all the same: its list price changes.
            "Fixed 06-01..06-10 1 × 95 = 95",
            "Fixed 06-10..07-01 1 × 95 = 95",
            "total 460",
        ]
    );
}

#[tokio::test]
async fn pricing_e13_a_tiered_override_over_a_flat_and_over_a_tiered_list_price() {
    let desk = Desk::at("2026-06-20").await;
    let flat = desk.product("Flat", "SUM", json!({})).await;
    desk.flat(&flat, "2026-06-01", "100").await;
    let tiered = desk.product("Tiered", "SUM", json!({})).await;
    desk.rate(&tiered, "2026-06-01", tiers(&[("15", "100"), ("", "60")])).await;
    let discount = by_range("2026-06-01", &[("10", "0.8"), ("10", "0.7")], json!({}));
    desk.contract("2026-06-01", explicit(json!([discount]))).await;
    desk.n("2026-06-02", 25).await;
    assert_eq!(
        june(&desk).await,
        [
            "Flat 06-01..07-01 [1] 10 × 80 = 800",
            "Flat 06-01..07-01 [2] 10 × 70 = 700",
            "Flat 06-01..07-01 [3] 5 × 100 = 500",
            "Tiered 06-01..07-01 [1] 10 × 80 = 800",
            "Tiered 06-01..07-01 [2] 5 × 70 = 350",
            "Tiered 06-01..07-01 [3] 5 × 42 = 210",
            "Tiered 06-01..07-01 [4] 5 × 60 = 300",
            "total 3660",
        ]
    );
}

#[tokio::test]
async fn pricing_e21_overrides_decide_what_may_be_billed() {
    let desk = Desk::at("2026-06-25").await;
    let late = desk.product("Late", "SUM", json!({})).await;
    desk.flat_with(&late, "2026-06-01", "500", json!({ "entitled": false })).await;
    let paused = desk.product("Paused", "SUM", json!({})).await;
    desk.flat(&paused, "2026-06-01", "10").await;
    let overrides = json!([
        from("2026-06-10", json!({ "entitled": true, "product_id": late })),
        from(
            "2026-06-10",
            json!({
                "entitled": false, "ending_before": t("2026-06-20"), "override_specifiers": [{ "product_id": paused }],
            })
        ),
    ]);
    desk.contract("2026-06-01", lowest(overrides)).await;
    for (at, n) in [("2026-06-05", 4), ("2026-06-10", 6)] {
        desk.n(at, n).await;
    }
    assert_eq!(
        june(&desk).await,
        [
            "Late 06-10..07-01 6 × 500 = 3000",
            "Paused 06-01..06-10 4 × 10 = 40",
            "Paused 06-20..07-01 0 × 10 = 0",
            "total 3040",
        ]
    );
}

#[tokio::test]
async fn pricing_e30_overlapping_discounts() {
    let desk = Desk::at("2025-01-20").await;
    let product = desk.product("Units", "SUM", json!({ "tags": ["ai"] })).await;
    desk.flat(&product, "2024-01-01", "100").await;
    let tag = || json!({ "applicable_product_tags": ["ai"] });
    let overrides = json!([times("2024-01-01", "0.9", tag()), times("2025-01-01", "0.8", tag())]);
    desk.contract("2024-12-01", lowest(overrides)).await;
    desk.n("2024-12-20", 1).await;
    desk.n("2025-01-02", 1).await;
    assert_eq!(desk.total("2024-12-01").await, "90");
    assert_eq!(desk.total("2025-01-01").await, "80");
}

#[tokio::test]
async fn pricing_e30_a_trial_week_by_overrides() {
    let desk = Desk::at("2024-09-20").await;
    let free = desk.product("Free week", "SUM", json!({})).await;
    let off = desk.product("Week off", "SUM", json!({})).await;
    for product in [&free, &off] {
        desk.flat(product, "2024-09-01", "2").await;
    }
    let week = |product: &str| json!({ "product_id": product, "ending_before": t("2024-09-08") });
    let mut nothing = from("2024-09-01", week(&off));
    nothing["entitled"] = json!(false);
    desk.contract("2024-09-01", lowest(json!([times("2024-09-01", "0", week(&free)), nothing]))).await;
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
async fn pricing_e31_targeting() {
    let desk = Desk::at("2026-06-20").await;
    let regional =
        desk.product("Regional", "SUM", json!({ "pricing_group_key": ["region", "hardware"] })).await;
    let places = [("af-south-1", "gpu"), ("af-south-1", "cpu"), ("uaenorth", "gpu"), ("us-east-1", "gpu")];
    for (region, hardware) in places {
        let values = json!({ "pricing_group_values": { "region": region, "hardware": hardware } });
        desk.flat_with(&regional, "2026-06-01", "100", values).await;
    }
    let shared =
        desk.product("Shared", "SUM", json!({ "presentation_group_key": ["cluster", "resource"] })).await;
    desk.flat(&shared, "2026-06-01", "100").await;
    let region = |name| json!({ "pricing_group_values": { "region": name } });
    let pair = json!({ "presentation_group_values": { "cluster": "43145", "resource": "5436436" } });
    let overrides = json!([
        times(
            "2026-06-01",
            "0.7",
            json!({ "override_specifiers": [region("af-south-1"), region("uaenorth")] })
        ),
        times("2026-06-01", "0.8", json!({ "override_specifiers": [pair] })),
    ]);
    desk.contract("2026-06-01", lowest(overrides)).await;
    for (region, hardware) in places {
        desk.event("2026-06-02", json!({ "n": 1, "region": region, "hardware": hardware })).await;
    }
    for (resource, n) in [("5436436", 100), ("1", 50)] {
        desk.event("2026-06-02", json!({ "n": n, "cluster": "43145", "resource": resource })).await;
    }
    assert_eq!(
        june(&desk).await,
        [
            "Regional {hardware: cpu, region: af-south-1} 06-01..07-01 1 × 70 = 70",
            "Regional {hardware: gpu, region: af-south-1} 06-01..07-01 1 × 70 = 70",
            "Regional {hardware: gpu, region: uaenorth} 06-01..07-01 1 × 70 = 70",
            "Regional {hardware: gpu, region: us-east-1} 06-01..07-01 1 × 100 = 100",
            "Shared {cluster: 43145, resource: 1} 06-01..07-01 50 × 100 = 5000",
            "Shared {cluster: 43145, resource: 5436436} 06-01..07-01 100 × 80 = 8000",
            "total 13310",
        ]
    );
}

#[tokio::test]
async fn pricing_e31_a_tiered_override_with_an_end() {
    let desk = Desk::at("2026-06-20").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-06-01", "100").await;
    let discount = by_range("2026-06-01", &[("5", "0.9")], json!({}));
    desk.contract("2026-06-01", explicit(json!([discount]))).await;
    desk.n("2026-06-02", 8).await;
    assert_eq!(
        june(&desk).await,
        ["Units 06-01..07-01 [1] 5 × 90 = 450", "Units 06-01..07-01 [2] 3 × 100 = 300", "total 750"]
    );
}

#[tokio::test]
async fn beyond_a_tiered_override_with_an_end_the_next_one_prices() {
    let desk = Desk::at("2026-06-20").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-06-01", "100").await;
    let first = by_range("2026-06-01", &[("5", "0.5")], json!({}));
    let next = times("2026-06-01", "0.9", json!({ "priority": 2 }));
    desk.contract("2026-06-01", explicit(json!([next, first]))).await;
    desk.n("2026-06-02", 8).await;
    assert_eq!(
        june(&desk).await,
        ["Units 06-01..07-01 [1] 5 × 50 = 250", "Units 06-01..07-01 [2] 3 × 90 = 270", "total 520"]
    );
}

#[tokio::test]
async fn a_commit_specific_override_prices_nothing_without_commits() {
    let free = |product: &str| {
        times("2026-06-01", "0", json!({ "product_id": product, "is_commit_specific": true }))
    };
    assert_eq!(unit(|product| lowest(json!([free(product)]))).await, "100");
}
