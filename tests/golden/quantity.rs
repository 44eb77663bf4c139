//! Commits and credits of units: what is drawn of them is counted in units of usage, whatever a unit costs.

use serde_json::{Value, json};
use upbeat::access::{self, EnvironmentKind};
use upbeat::invoice::verify_invoices;

use crate::balances::{bill, credit, entries, paid, prepaid, recurring_grant, segments, short, with};
use crate::credits_order::{in_unit, of_tokens};
use crate::desk::{Desk, number, t, tiers};
use crate::explanations::considered;

/// Makes the amounts of a commit or credit units of usage.
fn of_units(mut balance: Value) -> Value {
    balance["access_schedule"]["access_type"] = json!("QUANTITY");
    balance
}

/// The lines of an invoice and its total, as `bill` has them; a line that applies a balance of units says how many it takes, which
/// are those of the line before it.
fn told(invoice: &Value) -> Vec<String> {
    let mut all = bill(invoice);
    for (number, line) in invoice["line_items"].as_array().expect("lines").iter().enumerate() {
        let applied = &line["applied_commit_or_credit"];
        assert_eq!(applied.is_null(), applied["access_type"].is_null(), "{line}");
        if line["type"] == "applied_commit_or_credit" && applied["access_type"] == "QUANTITY" {
            let covered = &invoice["line_items"][number - 1];
            assert_eq!(line["quantity_consumed"], covered["quantity"], "{line}");
            all[number] = format!("{} takes {}", all[number], short(&line["quantity_consumed"]));
        } else {
            assert_eq!(line.get("quantity_consumed"), None, "{line}");
        }
    }
    all
}

/// The net balances of money and of units.
async fn nets(desk: &Desk) -> [String; 2] {
    [desk.net(json!({})).await, desk.net(json!({ "access_type": "QUANTITY" })).await]
}

/// Checks that the final invoices, of which there are some, follow from the facts.
async fn verified(desk: &Desk) {
    let mut db = desk.api.app.db.acquire().await.expect("a connection");
    let sandbox = access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    drop(db);
    let (count, faults) = verify_invoices(&desk.api.app.db, sandbox.id).await.expect("a check");
    assert!(count > 0 && faults.is_empty(), "{count} {faults:?}");
}

/// A desk with one product at a price from a date on, and a FIXED product that names commits and credits.
async fn selling(start: &str, price: &str) -> (Desk, String, String) {
    let desk = Desk::at(start).await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, start, price).await;
    let fixed = desk.api.fixed_product("Commit").await;
    (desk, product, fixed)
}

#[tokio::test]
async fn a_line_is_covered_up_to_the_units_that_are_left_whatever_a_unit_costs() {
    for (price, covered, rest) in [("7", "210", "105"), ("0.5", "15", "7.5"), ("250", "7500", "3750")] {
        let (desk, _, fixed) = selling("2026-03-01", price).await;
        let grant = of_units(credit(&fixed, "Grant", &[(30, "2026-03-01", "2026-04-01")], json!({})));
        desk.contract("2026-03-01", json!({ "credits": [grant] })).await;
        desk.uses("2026-03", 12).await;
        assert_eq!(nets(&desk).await, ["0", "18"], "{price}");
        desk.uses("2026-03", 33).await;
        let march = desk.close("2026-03-01", "2026-04-02").await;
        assert_eq!(
            told(&march),
            [
                format!("Units 03-01..04-01 30 × {price} = {covered} (CREDIT)"),
                format!("Grant applied 03-01..04-01 = -{covered} (CREDIT) takes 30"),
                format!("Units 03-01..04-01 15 × {price} = {rest}"),
                format!("total {rest}"),
            ]
        );
        let grant = desk.one("Grant").await;
        let applied = json!({ "id": grant["id"], "type": "CREDIT", "access_type": "QUANTITY" });
        for line in [0_usize, 1] {
            let line = &march["line_items"][line];
            assert_eq!((&line["commit_id"], &line["applied_commit_or_credit"]), (&grant["id"], &applied));
        }
        assert_eq!(
            entries(&grant),
            ["2026-03-01 CREDIT_SEGMENT_START 30", "2026-04-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -30"]
        );
        verified(&desk).await;
    }
}

/// A draft, a preview and the final invoice say the same.
#[tokio::test]
async fn units_and_money_share_a_line_in_the_order_of_their_priorities() {
    let free =
        ["Units 03-01..04-01 30 × 10 = 300 (CREDIT)", "Free applied 03-01..04-01 = -300 (CREDIT) takes 30"];
    let money = ["Units 03-01..04-01 50 × 10 = 500 (PREPAID)", "Money applied 03-01..04-01 = -500 (PREPAID)"];
    let rest = ["Units 03-01..04-01 20 × 10 = 200", "total 200"];
    for (of_free, of_money, after_20, expected, reasons) in [
        (1, 2, ["500", "10"], [free, money, rest], "Free QUANTITY: 300 for 30, Money SPEND: 500 for 50"),
        (2, 1, ["300", "30"], [money, free, rest], "Money SPEND: 500 for 50, Free QUANTITY: 300 for 30"),
    ] {
        let (desk, _, fixed) = selling("2026-03-01", "10").await;
        let (of_free, of_money) = (json!({ "priority": of_free }), json!({ "priority": of_money }));
        let free = of_units(credit(&fixed, "Free", &[(30, "2026-03-01", "2026-05-01")], of_free));
        let money = prepaid(&fixed, "Money", &[(500, "2026-03-01", "2026-05-01")], of_money);
        desk.contract("2026-03-01", json!({ "credits": [free], "commits": [money] })).await;
        assert_eq!(nets(&desk).await, ["500", "30"]);
        desk.uses("2026-03", 20).await;
        assert_eq!(nets(&desk).await, after_20);

        let event = json!({ "event_type": "use", "timestamp": t("2026-03-15"), "properties": { "n": 80 } });
        let preview = format!("/v1/customers/{}/previewEvents", desk.customer);
        let preview = desk.api.post(&preview, json!({ "events": [event], "mode": "merge" })).await.data();
        desk.n("2026-03-15", 80).await;
        let drafts = desk.api.get(&format!("/v1/customers/{}/invoices", desk.customer)).await.data();
        assert_eq!(preview, drafts, "the preview is the draft");
        assert_eq!(told(&preview[0]), expected.concat());
        assert_eq!(considered(&desk, "2026-03-01").await, [reasons]);
        assert_eq!(told(&desk.close("2026-03-01", "2026-04-02").await), expected.concat());
        assert_eq!(considered(&desk, "2026-03-01").await, [reasons], "and of the final one");
        assert_eq!(nets(&desk).await, ["0", "0"]);
        verified(&desk).await;
    }
}

/// June of a product with this rate, of which so many units are used, on a contract with a commit of so many units that is called
/// A; `terms` are what else the commit and the contract say. Answers its final invoice and what is left.
async fn june(rate: Value, used: i64, units: i64, terms: (Value, Value)) -> Vec<String> {
    let desk = Desk::at("2026-06-01").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.rate(&product, "2026-06-01", rate).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let commit = prepaid(&fixed, "A", &[(units, "2026-06-01", "2027-06-01")], json!({ "temporary_id": "a" }));
    let commits = json!({ "commits": [of_units(with(commit, terms.0))] });
    desk.contract("2026-06-01", with(commits, terms.1)).await;
    desk.uses("2026-06", used).await;
    let mut june = told(&desk.close("2026-06-01", "2026-07-02").await);
    june.push(format!("left {}", desk.left("A").await));
    verified(&desk).await;
    june
}

#[tokio::test]
async fn the_units_of_the_dearest_tier_are_covered_first() {
    let rising = tiers(&[("10", "10"), ("", "20")]);
    assert_eq!(
        june(rising, 20, 15, (json!({}), json!({}))).await,
        [
            "Units 06-01..07-01 [1] 5 × 10 = 50 (PREPAID)",
            "A applied 06-01..07-01 = -50 (PREPAID) takes 5",
            "Units 06-01..07-01 [1] 5 × 10 = 50",
            "Units 06-01..07-01 [2] 10 × 20 = 200 (PREPAID)",
            "A applied 06-01..07-01 = -200 (PREPAID) takes 10",
            "total 50",
            "left 0",
        ]
    );
    let falling = tiers(&[("10", "20"), ("", "10")]);
    assert_eq!(
        june(falling, 20, 15, (json!({}), json!({}))).await,
        [
            "Units 06-01..07-01 [1] 10 × 20 = 200 (PREPAID)",
            "A applied 06-01..07-01 = -200 (PREPAID) takes 10",
            "Units 06-01..07-01 [2] 5 × 10 = 50 (PREPAID)",
            "A applied 06-01..07-01 = -50 (PREPAID) takes 5",
            "Units 06-01..07-01 [2] 5 × 10 = 50",
            "total 50",
            "left 0",
        ]
    );
}

#[tokio::test]
async fn the_units_are_as_many_at_the_price_that_is_paid_while_they_are_drawn() {
    let at_commit_rate = || (json!({ "rate_type": "COMMIT_RATE" }), json!({}));
    let flat = json!({
        "rate_type": "FLAT", "price": 1000, "commit_rate": { "rate_type": "FLAT", "price": 800 },
    });
    assert_eq!(
        june(flat, 20, 12, at_commit_rate()).await,
        [
            "Units 06-01..07-01 12 × 800 = 9600 (PREPAID)",
            "A applied 06-01..07-01 = -9600 (PREPAID) takes 12",
            "Units 06-01..07-01 8 × 1000 = 8000",
            "total 8000",
            "left 0",
        ]
    );
    let mut tiered = tiers(&[("1000", "10"), ("", "8")]);
    tiered["commit_rate"] = tiers(&[("1000", "7"), ("", "5")]);
    assert_eq!(
        june(tiered, 2500, 1400, at_commit_rate()).await,
        [
            "Units 06-01..07-01 [1] 1000 × 7 = 7000 (PREPAID)",
            "A applied 06-01..07-01 = -7000 (PREPAID) takes 1000",
            "Units 06-01..07-01 [2] 400 × 5 = 2000 (PREPAID)",
            "A applied 06-01..07-01 = -2000 (PREPAID) takes 400",
            "Units 06-01..07-01 [2] 1100 × 8 = 8800",
            "total 8800",
            "left 0",
        ]
    );
    let times = |multiplier: &str, more: Value| {
        let body =
            json!({ "starting_at": t("2026-06-01"), "type": "MULTIPLIER", "multiplier": number(multiplier) });
        with(body, more)
    };
    let of_a = json!({ "is_commit_specific": true, "override_specifiers": [{ "commit_ids": ["a"] }] });
    let overrides = json!({ "overrides": [times("0.95", json!({})), times("0.8", of_a)] });
    assert_eq!(
        june(json!({ "rate_type": "FLAT", "price": 100 }), 15, 10, (json!({}), overrides)).await,
        [
            "Units 06-01..07-01 10 × 80 = 800 (PREPAID)",
            "A applied 06-01..07-01 = -800 (PREPAID) takes 10",
            "Units 06-01..07-01 5 × 95 = 475",
            "total 475",
            "left 0",
        ]
    );
}

#[tokio::test]
async fn what_is_free_either_way_takes_no_units() {
    let none = || (json!({}), json!({}));
    assert_eq!(
        june(json!({ "rate_type": "FLAT", "price": 0 }), 20, 15, none()).await,
        ["Units 06-01..07-01 20 × 0 = 0", "total 0", "left 15"]
    );
    assert_eq!(
        june(tiers(&[("10", "0"), ("", "3")]), 30, 40, none()).await,
        [
            "Units 06-01..07-01 [1] 10 × 0 = 0",
            "Units 06-01..07-01 [2] 20 × 3 = 60 (PREPAID)",
            "A applied 06-01..07-01 = -60 (PREPAID) takes 20",
            "total 0",
            "left 20",
        ]
    );
    let free_while_drawn = json!({
        "rate_type": "FLAT", "price": 100, "commit_rate": { "rate_type": "FLAT", "price": 0 },
    });
    assert_eq!(
        june(free_while_drawn, 40, 30, (json!({ "rate_type": "COMMIT_RATE" }), json!({}))).await,
        [
            "Units 06-01..07-01 30 × 0 = 0 (PREPAID)",
            "A applied 06-01..07-01 = 0 (PREPAID) takes 30",
            "Units 06-01..07-01 10 × 100 = 1000",
            "total 1000",
            "left 0",
        ],
        "what is free only while they are drawn does"
    );
}

#[tokio::test]
async fn units_are_those_of_any_product_that_a_balance_is_for() {
    let desk = Desk::at("2026-06-01").await;
    let start = "2026-06-01";
    let reads = desk.summed("Reads", "reads", start, "12", json!({})).await;
    desk.summed("Writes", "writes", start, "30", json!({})).await;
    let fixed = desk.api.fixed_product("Credit").await;
    let of_reads = json!({ "applicable_product_ids": [reads] });
    let credits = json!([
        of_units(credit(&fixed, "Open", &[(100, start, "2026-07-01")], json!({}))),
        of_units(credit(&fixed, "Narrow", &[(10, start, "2026-07-01")], of_reads)),
    ]);
    desk.contract(start, json!({ "credits": credits })).await;
    desk.clock("2026-06-20").await;
    desk.event("2026-06-10", json!({ "reads": 50, "writes": 80 })).await;
    assert_eq!(
        told(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Reads 06-01..07-01 10 × 12 = 120 (CREDIT)",
            "Narrow applied 06-01..07-01 = -120 (CREDIT) takes 10",
            "Reads 06-01..07-01 20 × 12 = 240 (CREDIT)",
            "Open applied 06-01..07-01 = -240 (CREDIT) takes 20",
            "Reads 06-01..07-01 20 × 12 = 240",
            "Writes 06-01..07-01 80 × 30 = 2400 (CREDIT)",
            "Open applied 06-01..07-01 = -2400 (CREDIT) takes 80",
            "total 240",
        ],
        "the dearest first"
    );
    verified(&desk).await;
}

#[tokio::test]
async fn units_pay_for_usage_and_for_nothing_else() {
    let desk = Desk::at("2026-06-01").await;
    let start = "2026-06-01";
    let writes = desk.summed("Writes", "writes", start, "30", json!({})).await;
    let create = async |body: Value| desk.api.post("/v1/contract-pricing/products/create", body).await.id();
    let platform = create(json!({ "name": "Platform", "type": "SUBSCRIPTION" })).await;
    let fee = json!({ "rate_type": "SUBSCRIPTION", "price": 20_000, "quantity": 1, "is_prorated": true });
    desk.rate(&platform, start, fee).await;
    for (name, rate) in [
        ("Support", json!({ "rate_type": "PERCENTAGE", "price": number("0.5") })),
        (
            "At least",
            json!({ "rate_type": "PERCENTAGE", "price": number("0.1"), "minimum_config": { "minimum": 1500 } }),
        ),
    ] {
        let composite =
            create(json!({ "name": name, "type": "COMPOSITE", "composite_product_ids": [writes] })).await;
        desk.rate(&composite, start, rate).await;
    }
    let fixed = desk.api.fixed_product("Credit").await;
    let grant = of_units(credit(&fixed, "Grant", &[(1000, start, "2027-06-01")], json!({})));
    desk.contract(start, json!({ "credits": [grant] })).await;
    desk.clock("2026-06-20").await;
    desk.event("2026-06-10", json!({ "writes": 300 })).await;
    assert_eq!(
        told(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Writes 06-01..07-01 300 × 30 = 9000 (CREDIT)",
            "Grant applied 06-01..07-01 = -9000 (CREDIT) takes 300",
            "Platform 06-01..07-01 1 × 20000 = 20000",
            "Support 06-01..07-01 9000 × 0.5 = 4500",
            "At least 06-01..07-01 1 × 1500 = 1500",
            "total 26000",
        ],
        "a share is of what the units would cost"
    );
    let not_usage = "Grant QUANTITY: NOT_USAGE";
    assert_eq!(
        considered(&desk, "2026-06-01").await,
        ["Grant QUANTITY: 9000 for 300", not_usage, not_usage, not_usage]
    );
    assert_eq!(desk.left("Grant").await, "700");
    verified(&desk).await;
}

/// Of 900 tokens units pay for 300 and tokens for 150: 450 are converted, of which money pays for 200.
#[tokio::test]
async fn what_units_cover_in_a_custom_unit_is_not_converted() {
    let (desk, unit) = of_tokens("Tokens", 4).await;
    let start = "2026-06-01";
    let model = desk.summing("Model", "a", json!({})).await;
    desk.rate(&model, start, json!({ "rate_type": "FLAT", "price": 3, "credit_type_id": unit })).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let gifts = [(100, start, "2026-07-01"), (100, "2026-07-01", "2026-08-01")];
    let gift = of_units(credit(&fixed, "Gift", &gifts, json!({ "priority": 1 })));
    let pack = prepaid(&fixed, "Pack", &[(150, start, "2027-06-01")], json!({ "priority": 2 }));
    let dollars = credit(&fixed, "Dollars", &[(800, start, "2027-06-01")], json!({ "priority": 3 }));
    let terms = json!({ "commits": [in_unit(pack, &unit)], "credits": [gift, dollars] });
    desk.contract(start, terms).await;
    desk.clock("2026-06-20").await;
    desk.event("2026-06-10", json!({ "a": 300 })).await;
    assert_eq!(
        told(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Model 06-01..07-01 100 × 3 = 300 (CREDIT)",
            "Gift applied 06-01..07-01 = -300 (CREDIT) takes 100",
            "Model 06-01..07-01 50 × 3 = 150 (PREPAID)",
            "Pack applied 06-01..07-01 = -150 (PREPAID)",
            "Model 06-01..07-01 150 × 3 = 450",
            "Tokens conversion 06-01..07-01 200 × 4 = 800 (CREDIT)",
            "Dollars applied 06-01..07-01 = -800 (CREDIT)",
            "Tokens conversion 06-01..07-01 250 × 4 = 1000",
            "total 1000",
        ]
    );
    assert_eq!(
        considered(&desk, "2026-06-01").await,
        [
            "Gift QUANTITY: 300 for 100, Pack SPEND: 150 for 50, Dollars SPEND: OTHER_UNIT",
            "Gift QUANTITY: NOT_USAGE, Pack SPEND: OTHER_UNIT, Dollars SPEND: 800 for 200",
        ]
    );
    desk.clock("2026-07-20").await;
    desk.event("2026-07-10", json!({ "a": 40 })).await;
    assert_eq!(
        told(&desk.close("2026-07-01", "2026-08-02").await),
        [
            "Model 07-01..08-01 40 × 3 = 120 (CREDIT)",
            "Gift applied 07-01..08-01 = -120 (CREDIT) takes 40",
            "total 0",
        ],
        "nothing is left to convert"
    );
    assert_eq!(
        desk.ledger("Gift").await,
        [
            "2026-06-01 CREDIT_SEGMENT_START 100",
            "2026-07-01 CREDIT_SEGMENT_START 100",
            "2026-07-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -100",
            "2026-08-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -40",
            "2026-08-01 CREDIT_EXPIRATION -60",
        ]
    );
    verified(&desk).await;
}

#[tokio::test]
async fn usage_is_cut_where_the_time_of_units_begins_and_ends() {
    let (desk, _, fixed) = selling("2026-06-01", "2").await;
    let grants = [(100, "2026-06-10", "2026-06-20"), (80, "2026-06-20", "2026-07-01")];
    let grant = of_units(credit(&fixed, "Grant", &grants, json!({})));
    desk.contract("2026-06-01", json!({ "credits": [grant] })).await;
    desk.clock("2026-06-28").await;
    for (at, n) in [
        ("2026-06-09 23:59:59.999999", 40),
        ("2026-06-10", 30),
        ("2026-06-19 23:59:59.999999", 120),
        ("2026-06-20", 60),
    ] {
        desk.n(at, n).await;
    }
    assert_eq!((desk.left("Grant").await, nets(&desk).await), ("20".into(), ["0", "20"].map(str::to_owned)));
    assert_eq!(
        told(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Units 06-01..06-10 40 × 2 = 80",
            "Units 06-10..06-20 100 × 2 = 200 (CREDIT)",
            "Grant applied 06-10..06-20 = -200 (CREDIT) takes 100",
            "Units 06-10..06-20 50 × 2 = 100",
            "Units 06-20..07-01 60 × 2 = 120 (CREDIT)",
            "Grant applied 06-20..07-01 = -120 (CREDIT) takes 60",
            "total 180",
        ]
    );
    assert_eq!(
        desk.ledger("Grant").await,
        [
            "2026-06-10 CREDIT_SEGMENT_START 100",
            "2026-06-20 CREDIT_SEGMENT_START 80",
            "2026-06-20 CREDIT_AUTOMATED_INVOICE_DEDUCTION -100",
            "2026-07-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -60",
            "2026-07-01 CREDIT_EXPIRATION -20",
        ],
        "no units flow from one segment to the next"
    );
    verified(&desk).await;
}

/// What is paid for them is money all the same.
#[tokio::test]
async fn a_ledger_of_units_is_written_and_expires_in_units() {
    let (desk, _, fixed) = selling("2026-01-01", "20").await;
    let more = json!({ "invoice_schedule": paid(&[(1500, "2026-01-01")]) });
    let pack = of_units(prepaid(&fixed, "Pack", &[(100, "2026-01-01", "2026-04-01")], more));
    desk.contract("2026-01-01", json!({ "commits": [pack] })).await;
    desk.uses("2026-01", 40).await;
    assert_eq!(desk.scheduled().await, ["SCHEDULED FINALIZED 2026-01-01 1500"]);
    assert_eq!(desk.left("Pack").await, "60");
    assert_eq!(desk.close("2026-01-01", "2026-02-02").await["total"], 0);
    desk.write("Pack", 0, "25", json!({ "timestamp": t("2026-02-05") })).await;
    assert_eq!(desk.left("Pack").await, "85");
    desk.write("Pack", 0, "-10.5", json!({ "timestamp": t("2026-02-06") })).await;
    assert_eq!(nets(&desk).await, ["0", "74.5"]);
    desk.uses("2026-02", 30).await;
    assert_eq!(desk.close("2026-02-01", "2026-03-02").await["total"], 0);
    assert_eq!(desk.left("Pack").await, "44.5");
    desk.clock("2026-04-02").await;
    assert_eq!(
        desk.ledger("Pack").await,
        [
            "2026-01-01 PREPAID_COMMIT_SEGMENT_START 100",
            "2026-02-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -40",
            "2026-02-05 PREPAID_COMMIT_MANUAL 25",
            "2026-02-06 PREPAID_COMMIT_MANUAL -10.5",
            "2026-03-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -30",
            "2026-04-01 PREPAID_COMMIT_EXPIRATION -44.5",
        ]
    );
    assert_eq!(nets(&desk).await, ["0", "0"]);
    verified(&desk).await;
}

/// At another price the new invoice takes as many units.
#[tokio::test]
async fn a_void_invoice_gives_its_units_back() {
    let (desk, product, fixed) = selling("2026-03-01", "250").await;
    let pack = of_units(prepaid(&fixed, "Pack", &[(30, "2026-03-01", "2027-03-01")], json!({})));
    desk.contract("2026-03-01", json!({ "commits": [pack] })).await;
    desk.uses("2026-03", 45).await;
    let wrong = desk.close("2026-03-01", "2026-04-02").await;
    assert_eq!((desk.left("Pack").await.as_str(), &wrong["total"]), ("0", &json!(3750)));
    desk.void(&wrong).await;
    assert_eq!(desk.left("Pack").await, "30");
    verified(&desk).await;

    desk.flat(&product, "2026-03-01", "200").await;
    let right = desk.regenerate(&wrong).await;
    assert_eq!(
        told(&right),
        [
            "Units 03-01..04-01 30 × 200 = 6000 (PREPAID)",
            "Pack applied 03-01..04-01 = -6000 (PREPAID) takes 30",
            "Units 03-01..04-01 15 × 200 = 3000",
            "total 3000",
        ]
    );
    assert_eq!(
        desk.ledger("Pack").await,
        [
            "2026-03-01 PREPAID_COMMIT_SEGMENT_START 30",
            "2026-04-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -30",
            "2026-04-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -30",
            "2026-04-01 PREPAID_COMMIT_CANCELED 30",
        ]
    );
    assert_eq!(desk.left("Pack").await, "0");
    verified(&desk).await;
}

/// 20 of the 31 days of January.
#[tokio::test]
async fn a_recurring_credit_grants_a_part_of_its_units_for_a_part_of_a_month() {
    let desk = Desk::at("2026-01-12").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-01-01", "3").await;
    let fixed = desk.api.fixed_product("Credit").await;
    let units = json!({ "access_amount": { "unit_price": 10, "quantity": 31, "access_type": "QUANTITY" } });
    let grant = recurring_grant(&fixed, "Monthly", 0, "2026-01-12", units);
    desk.contract("2026-01-12", json!({ "recurring_credits": [grant] })).await;
    desk.clock("2026-01-20").await;
    desk.n("2026-01-15", 250).await;
    let monthly = desk.named("Monthly").await;
    assert_eq!(
        monthly.iter().flat_map(segments).collect::<Vec<_>>(),
        ["2026-01-12..2026-02-01 200", "2026-02-01..2026-03-01 310"]
    );
    for balance in &monthly {
        let access = &balance["access_schedule"];
        assert_eq!((&access["access_type"], access.get("credit_type")), (&json!("QUANTITY"), None));
    }
    assert_eq!(
        told(&desk.close("2026-01-12", "2026-02-02").await),
        [
            "Units 01-12..02-01 200 × 3 = 600 (CREDIT)",
            "Monthly applied 01-12..02-01 = -600 (CREDIT) takes 200",
            "Units 01-12..02-01 50 × 3 = 150",
            "total 150",
        ]
    );
    desk.uses("2026-02", 100).await;
    assert_eq!(nets(&desk).await, ["0", "210"]);
    desk.close("2026-02-01", "2026-03-02").await;
    assert_eq!(
        entries(&desk.named("Monthly").await[1]),
        [
            "2026-02-01 CREDIT_SEGMENT_START 310",
            "2026-03-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -100",
            "2026-03-01 CREDIT_EXPIRATION -210",
        ]
    );
    verified(&desk).await;
}

/// Half of 100 may be taken over of the 70 that are left.
#[tokio::test]
async fn a_renewal_takes_units_over_as_units() {
    let (desk, _, fixed) = selling("2026-01-01", "7").await;
    let more = json!({ "rollover_fraction": number("0.5") });
    let pack = of_units(prepaid(&fixed, "Pack", &[(100, "2026-01-01", "2027-01-01")], more));
    let old = desk.contract("2026-01-01", json!({ "commits": [pack] })).await;
    desk.uses("2026-06", 30).await;
    desk.clock("2026-12-20").await;
    let transition = json!({ "type": "RENEWAL", "from_contract_id": old });
    let terms = json!({ "transition": transition, "ending_before": t("2028-01-01") });
    desk.contract("2027-01-01", terms).await;
    desk.uses("2027-01", 60).await;
    assert_eq!(
        told(&desk.close("2027-01-01", "2027-02-02").await),
        [
            "Units 01-01..02-01 50 × 7 = 350 (PREPAID)",
            "Pack applied 01-01..02-01 = -350 (PREPAID) takes 50",
            "Units 01-01..02-01 10 × 7 = 70",
            "total 70",
        ]
    );
    let packs = desk.named("Pack").await;
    assert_eq!(packs.len(), 2);
    assert_eq!(
        entries(&packs[0]),
        [
            "2026-01-01 PREPAID_COMMIT_SEGMENT_START 100",
            "2026-07-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -30",
            "2027-01-01 PREPAID_COMMIT_ROLLOVER -50",
            "2027-01-01 PREPAID_COMMIT_EXPIRATION -20",
        ]
    );
    assert_eq!(
        entries(&packs[1]),
        [
            "2027-01-01 PREPAID_COMMIT_SEGMENT_START 50",
            "2027-02-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -50",
        ]
    );
    let access = &packs[1]["access_schedule"];
    assert_eq!((&access["access_type"], access.get("credit_type")), (&json!("QUANTITY"), None));
    assert_eq!(packs[1]["rolled_over_from"]["commit_id"], packs[0]["id"]);
    verified(&desk).await;
}
