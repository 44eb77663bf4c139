//! What an invoice tells of itself adds up to it.

use serde_json::{Value, json};
use upbeat::money::{Decimal, parse_decimal};

use crate::balances::{credit, short};
use crate::desk::{Desk, number, t, tiers};

/// What is told of the invoice whose period starts on this date.
async fn explained(desk: &Desk, start: &str) -> (Value, Value) {
    let invoice = desk.invoice(start).await;
    let id = invoice["id"].as_str().expect("an id");
    let path = format!("/v1/upbeat/customers/{}/invoices/{id}/explain", desk.customer);
    let explanation = desk.api.get(&path).await.data();
    adds_up(&invoice, &explanation);
    (invoice, explanation)
}

/// Every line is explained once, with its own numbers, and the explanations sum to the invoice.
fn adds_up(invoice: &Value, explanation: &Value) {
    let lines = invoice["line_items"].as_array().expect("lines");
    let mut is_explained = vec![false; lines.len()];
    let number = |value: &Value| parse_decimal(&value.to_string()).expect("a number");
    let mut total = Decimal::default();
    for one in explanation["explanations"].as_array().expect("explanations") {
        if one["credit_type"] == invoice["credit_type"] {
            total += number(&one["total"]);
        }
        let told = one["lines"].as_array().expect("lines");
        if one["basis"]["type"] == "USAGE" {
            let quantities = told.iter().filter(|line| !line["quantity"].is_null());
            let of_lines: Decimal = quantities.map(|line| number(&line["quantity"])).sum();
            let pieces = one["basis"]["pieces"].as_array().expect("pieces").iter();
            let of_pieces: Decimal = pieces.map(|piece| number(&piece["quantity"])).sum();
            assert_eq!([of_lines, of_pieces].each_ref(), [&number(&one["basis"]["quantity"]); 2], "{one}");
        }
        let owed = told.iter().filter(|line| {
            let line = &lines[usize::try_from(line["line_item"].as_u64().expect("a place")).expect("small")];
            line["type"] != "applied_commit_or_credit" || line["commit_type"] != "PostpaidCommit"
        });
        let owed: Decimal = owed.map(|line| number(&line["total"])).sum();
        assert_eq!(number(&one["total"]), owed, "{one}");
        for told in one["lines"].as_array().expect("lines") {
            let place = usize::try_from(told["line_item"].as_u64().expect("a place")).expect("small");
            assert!(!std::mem::replace(&mut is_explained[place], true), "line {place} is told once");
            for field in ["quantity", "unit_price", "total"] {
                assert_eq!(told[field], lines[place][field], "{field} of line {place}");
            }
        }
    }
    assert!(is_explained.into_iter().all(|is_explained| is_explained), "{explanation}");
    assert_eq!((total, &explanation["total"]), (number(&invoice["total"]), &invoice["total"]));
}

/// What is told of the balances beside each explanation of the invoice whose period starts on a date: what each pays for how many
/// units, or why it pays for none.
pub async fn considered(desk: &Desk, start: &str) -> Vec<String> {
    let (_, explanation) = explained(desk, start).await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let of_balance = |balance: &Value| {
        let name = format!("{} {}", text(&balance["name"]), text(&balance["access_type"]));
        match balance.get("drawn") {
            Some(drawn) => format!("{name}: {} for {}", short(&drawn["amount"]), short(&drawn["quantity"])),
            None => format!("{name}: {}", text(&balance["skipped"])),
        }
    };
    let of_lines = |one: &Value| {
        let balances = one["balances"].as_array().expect("balances");
        balances.iter().map(of_balance).collect::<Vec<_>>().join(", ")
    };
    explanation["explanations"].as_array().expect("explanations").iter().map(of_lines).collect()
}

#[tokio::test]
async fn every_step_from_the_event_to_the_line_is_told() {
    let desk = Desk::at("2026-06-20").await;
    let product = json!({
        "pricing_group_key": ["region"],
        "quantity_conversion": { "operation": "DIVIDE", "conversion_factor": 10 },
        "quantity_rounding": { "rounding_method": "ROUND_UP", "decimal_places": 0 },
    });
    let product = desk.product("Units", "SUM", product).await;
    let mut rate = tiers(&[("5", "100"), ("", "60")]);
    rate["pricing_group_values"] = json!({ "region": "eu" });
    desk.rate(&product, "2026-06-01", rate).await;
    let multiplier = |value: &str, target: Value| {
        let mut one =
            json!({ "starting_at": t("2026-06-01"), "type": "MULTIPLIER", "multiplier": number(value) });
        one.as_object_mut().expect("an object").extend(target.as_object().expect("an object").clone());
        one
    };
    let overrides = json!([
        multiplier("0.9", json!({ "product_id": product })),
        multiplier("0.5", json!({ "override_specifiers": [{ "pricing_group_values": { "region": "eu" } }] })),
    ]);
    let contract = desk.contract("2026-06-01", json!({ "overrides": overrides })).await;
    desk.event("2026-06-02 05:30", json!({ "n": 41, "region": "eu" })).await;
    desk.event("2026-06-02 05:59", json!({ "n": 2, "region": "eu" })).await;
    desk.event("2026-06-09 00:00", json!({ "n": 30, "region": "eu" })).await;

    let (_, draft) = explained(&desk, "2026-06-01").await;
    let one = &draft["explanations"][0];
    let usage = &one["basis"];
    assert_eq!(
        (&usage["type"], &usage["before"], &usage["quantity"]),
        (&json!("USAGE"), &json!(0), &json!(8))
    );
    let pieces = json!([
        { "starting_at": t("2026-06-02 05:00"), "ending_before": t("2026-06-02 06:00"), "metered": 43, "quantity": 5 },
        { "starting_at": t("2026-06-09"), "ending_before": t("2026-06-09 01:00"), "metered": 73, "quantity": 3 },
    ]);
    assert_eq!(usage["pieces"], pieces);
    assert_eq!(usage["billable_metric_id"], draft["billable_metrics"][0]["id"]);
    let contracts = desk
        .api
        .post("/v2/contracts/get", json!({ "customer_id": desk.customer, "contract_id": contract }))
        .await
        .data();
    let ids: Vec<&Value> =
        contracts["overrides"].as_array().expect("overrides").iter().map(|one| &one["id"]).collect();
    let price = &one["price"];
    assert_eq!(price["overrides"], json!([{ "id": ids[1], "type": "MULTIPLIER" }]));
    assert_eq!(
        price["beaten_overrides"],
        json!([{ "id": ids[0], "type": "MULTIPLIER", "reason": "MULTIPLIER" }])
    );
    assert_eq!(price["list_rate"]["tiers"][0]["price"], json!(100));
    assert_eq!(price["rate"]["tiers"][0]["price"], json!(50));
    let lines: Vec<String> = one["lines"]
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| {
            format!(
                "[{}] {} × {} = {}",
                line["rate_tier"], line["quantity"], line["unit_price"], line["total"]
            )
        })
        .collect();
    assert_eq!(lines, ["[1] 5 × 50 = 250", "[2] 3 × 30 = 90"]);

    // Later, of the final invoice, the same is told, whatever came since.
    desk.close("2026-06-01", "2026-07-02").await;
    desk.event("2026-06-10", json!({ "n": 1000, "region": "eu" })).await;
    let late = json!({ "rate_type": "FLAT", "price": 1, "pricing_group_values": { "region": "eu" } });
    desk.rate(&product, "2026-06-01", late).await;
    let (_, told) = explained(&desk, "2026-06-01").await;
    assert_eq!(told["explanations"], draft["explanations"]);
    assert_eq!(told["status"], "FINALIZED");
}

#[tokio::test]
async fn shares_minimums_units_and_charges_are_told() {
    let desk = Desk::at("2026-06-20").await;
    let unit = desk.api.post("/v1/credit-types/create", json!({ "name": "Tokens" })).await.id();
    let conversion = json!({ "custom_credit_type_id": unit, "fiat_per_custom_credit": 3 });
    let update = json!({ "rate_card_id": desk.rates.card, "add_credit_type_conversions": [conversion] });
    desk.api.post("/v1/contract-pricing/rate-cards/update", update).await.id();
    let plain = desk.product("Plain", "SUM", json!({})).await;
    desk.flat(&plain, "2026-06-01", "10").await;
    let tokens = desk.product("In tokens", "COUNT", json!({})).await;
    desk.rate(&tokens, "2026-06-01", json!({ "rate_type": "FLAT", "price": 2, "credit_type_id": unit }))
        .await;
    for (name, minimum) in [("Share", None), ("At least", Some(500))] {
        let fields = json!({ "name": name, "type": "COMPOSITE", "composite_product_ids": [plain] });
        let composite = desk.api.post("/v1/contract-pricing/products/create", fields).await.id();
        let mut rate = json!({ "rate_type": "PERCENTAGE", "price": number("0.1") });
        if let Some(minimum) = minimum {
            rate["minimum_config"] = json!({ "minimum": minimum });
        }
        desk.rate(&composite, "2026-06-01", rate).await;
    }
    let fee = desk.api.fixed_product("Fee").await;
    let charges = json!([crate::desk::charge(&fee, &[("2026-07-01", 700)])]);
    desk.contract(
        "2026-06-01",
        json!({ "scheduled_charges": charges, "scheduled_charges_on_usage_invoices": "ALL" }),
    )
    .await;
    desk.n("2026-06-02", 100).await;
    for _ in 0..2 {
        let (invoice, told) = explained(&desk, "2026-06-01").await;
        assert_eq!(invoice["total"], json!(1000 + 100 + 500 + 6 + 700));
        let kinds: Vec<&Value> = told["explanations"]
            .as_array()
            .expect("explanations")
            .iter()
            .map(|one| &one["basis"]["type"])
            .collect();
        assert_eq!(kinds, ["USAGE", "USAGE", "SPEND", "MINIMUM", "UNIT_CONVERSION", "SCHEDULED_CHARGE"]);
        let spend = &told["explanations"][2]["basis"];
        assert_eq!(spend["members"], json!([{ "product_id": plain, "spend": 1000 }]));
        desk.clock("2026-07-02").await;
    }
}

/// Every balance that a contract's usage may draw is told of, in the order of drawing, with why it pays or does not; of a final
/// invoice as of its draft.
#[tokio::test]
async fn why_each_balance_pays_or_does_not_is_told_in_the_order_of_drawing() {
    let desk = Desk::at("2026-06-25").await;
    let units = desk.product("Units", "SUM", json!({})).await;
    let free = desk.product("Free", "SUM", json!({})).await;
    desk.flat(&units, "2026-06-01", "2").await;
    desk.flat(&free, "2026-06-01", "0").await;
    let grant = desk.api.fixed_product("Grant").await;
    let one = |name: &str, amount: i64, from: &str, priority: i64, products: Value| {
        let more = json!({ "priority": priority, "applicable_product_ids": products });
        credit(&grant, name, &[(amount, from, "2026-07-01")], more)
    };
    let credits = json!([
        one("After", 100, "2026-06-01", 5, json!([])),
        one("Payer", 100, "2026-06-01", 4, json!([])),
        one("Empty", 0, "2026-06-01", 3, json!([])),
        one("Later", 100, "2026-06-20", 2, json!([])),
        one("Elsewhere", 100, "2026-06-01", 1, json!([free])),
    ]);
    desk.contract("2026-06-01", json!({ "credits": credits })).await;
    desk.n("2026-06-02", 10).await;
    let of_units = |later: &str, empty: &str, payer: &str, after: &str| {
        let all = [
            ("Elsewhere", "OTHER_USAGE"),
            ("Later", later),
            ("Empty", empty),
            ("Payer", payer),
            ("After", after),
        ];
        all.map(|(name, told)| format!("{name} SPEND: {told}")).join(", ")
    };
    let of_free = |later: &str| {
        of_units(later, "NOTHING_DUE", "NOTHING_DUE", "NOTHING_DUE").replace("OTHER_USAGE", "NOTHING_DUE")
    };
    let expected = [
        of_units("OTHER_TIME", "NOTHING_LEFT", "20 for 10", "PAID_ALREADY"),
        of_units("NOTHING_DUE", "NOTHING_DUE", "NOTHING_DUE", "NOTHING_DUE"),
        of_free("OTHER_TIME"),
        of_free("NOTHING_DUE"),
    ];
    assert_eq!(considered(&desk, "2026-06-01").await, expected, "of both products before and after the 20th");
    desk.clock("2026-07-03").await;
    assert_eq!(considered(&desk, "2026-06-01").await, expected, "final");
}
