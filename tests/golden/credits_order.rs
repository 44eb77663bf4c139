//! Worked examples of the reference on credits and commits: which balance pays for what, in which order and at which price.

use serde_json::{Value, json};

use crate::balances::{bill, credit, paid, postpaid, prepaid, with};
use crate::desk::{Desk, number, t, tiers};
use crate::support::Rates;

/// The lines that apply a balance, as `name amount`, and the total of the invoice.
pub fn applied(invoice: &Value) -> Vec<String> {
    let lines = invoice["line_items"].as_array().expect("lines").iter();
    let lines = lines.filter(|line| line["type"] == "applied_commit_or_credit");
    let one = |line: &Value| {
        let name = line["name"].as_str().expect("a name").strip_suffix(" applied").expect("applied");
        format!("{name} {}", line["total"])
    };
    lines.map(one).chain([format!("total {}", invoice["total"])]).collect()
}

/// What May costs whose 100,000 of usage the balances of the example pay for, of a contract that has `terms` too; at the desk on
/// 1 May.
pub async fn full_order(desk: &Desk, x: &str, fixed: &str, terms: Value) -> Value {
    let start = "2026-05-01";
    let to_june = |amount| [(amount, start, "2026-06-01")];
    let priced = |amount| json!({ "priority": 10, "invoice_schedule": paid(&[(amount, start)]) });
    let of_x = || json!({ "applicable_product_ids": [x] });
    let commits = json!([
        prepaid(fixed, "B", &to_june(12_000), with(priced(12_000), of_x())),
        prepaid(fixed, "C", &[(6000, start, "2027-01-01")], with(json!({ "priority": 10 }), of_x())),
        prepaid(fixed, "E", &to_june(9000), priced(9000)),
        prepaid(fixed, "F", &to_june(4000), with(priced(4000), json!({ "priority": 5 }))),
        postpaid(fixed, "G", (50_000, start, "2026-06-01"), "2026-06-01", json!({ "priority": 1 })),
    ]);
    let a = credit(fixed, "A", &[(8000, start, "2026-07-01")], json!({ "priority": 10 }));
    let contract = desk.contract(start, with(json!({ "commits": commits, "credits": [a] }), terms)).await;
    let d = with(priced(7000), json!({ "invoice_contract_id": contract }));
    desk.commit(prepaid(fixed, "D", &to_june(7000), d)).await;
    desk.uses("2026-05", 100_000).await;
    desk.close("2026-05-01", "2026-06-02").await
}

#[tokio::test]
async fn credits_e3_the_order_of_what_is_not_rolled_over() {
    let desk = Desk::at("2026-05-01").await;
    let x = desk.product("X", "SUM", json!({})).await;
    desk.flat(&x, "2026-01-01", "1").await;
    let fixed = desk.api.fixed_product("Commit").await;
    let may = full_order(&desk, &x, &fixed, json!({})).await;
    let order = ["F -4000", "C -6000", "A -8000", "B -12000", "E -9000", "D -7000", "G -50000"];
    // 4000 more than balances have, and what is promised is to be paid too.
    assert_eq!(applied(&may), [&order[..], &["total 54000"]].concat());
}

#[tokio::test]
async fn credits_e4_the_order_of_lines_and_a_partly_paid_subscription() {
    let desk = Desk::at("2026-06-01").await;
    let start = "2026-06-01";
    let writes = desk.summed("Writes", "writes", start, "30", json!({})).await;
    desk.flat(&writes, "2026-06-16", "40").await;
    desk.summed("Reads", "reads", start, "12", json!({})).await;
    let archive = desk.summed("Archive", "archive", start, "2", json!({})).await;
    let create = async |body: Value| desk.api.post("/v1/contract-pricing/products/create", body).await.id();
    let platform = create(json!({ "name": "Platform", "type": "SUBSCRIPTION" })).await;
    let fee = json!({ "rate_type": "SUBSCRIPTION", "price": 20_000, "quantity": 1, "is_prorated": true });
    desk.rate(&platform, start, fee).await;
    let share = json!({ "name": "Support", "type": "COMPOSITE", "composite_product_ids": [archive] });
    let support = create(share).await;
    desk.rate(&support, start, json!({ "rate_type": "PERCENTAGE", "price": number("0.5") })).await;
    let fixed = desk.api.fixed_product("Credit").await;
    let grant = credit(&fixed, "Credit", &[(30_000, start, "2026-07-01")], json!({}));
    desk.contract(start, json!({ "credits": [grant] })).await;
    desk.clock("2026-06-20").await;
    desk.event("2026-06-10", json!({ "writes": 300, "reads": 500, "archive": 1000 })).await;
    desk.event("2026-06-17", json!({ "writes": 100 })).await;
    let june = desk.close("2026-06-01", "2026-07-02").await;
    assert_eq!(
        bill(&june),
        [
            "Writes 06-01..06-16 300 × 30 = 9000 (CREDIT)",
            "Credit applied 06-01..06-16 = -9000 (CREDIT)",
            "Writes 06-16..07-01 100 × 40 = 4000 (CREDIT)",
            "Credit applied 06-16..07-01 = -4000 (CREDIT)",
            "Reads 06-01..07-01 500 × 12 = 6000 (CREDIT)",
            "Credit applied 06-01..07-01 = -6000 (CREDIT)",
            "Archive 06-01..07-01 1000 × 2 = 2000 (CREDIT)",
            "Credit applied 06-01..07-01 = -2000 (CREDIT)",
            "Platform 06-01..07-01 0.45 × 20000 = 9000 (CREDIT)",
            "Credit applied 06-01..07-01 = -9000 (CREDIT)",
            "Platform 06-01..07-01 0.55 × 20000 = 11000",
            "Support 06-01..07-01 2000 × 0.5 = 1000",
            "total 12000",
        ]
    );
    assert_eq!(
        desk.ledger("Credit").await,
        ["2026-06-01 CREDIT_SEGMENT_START 30000", "2026-07-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -30000"]
    );
}

/// With less credit the line of 40 is not paid for, although it is the dearest: it starts last.
#[tokio::test]
async fn credits_e4_an_earlier_start_outranks_a_higher_price() {
    let desk = Desk::at("2026-06-01").await;
    let start = "2026-06-01";
    let writes = desk.summed("Writes", "writes", start, "30", json!({})).await;
    desk.flat(&writes, "2026-06-16", "40").await;
    desk.summed("Reads", "reads", start, "12", json!({})).await;
    desk.summed("Archive", "archive", start, "2", json!({})).await;
    let fixed = desk.api.fixed_product("Credit").await;
    let grant = credit(&fixed, "Credit", &[(16_000, start, "2026-07-01")], json!({}));
    desk.contract(start, json!({ "credits": [grant] })).await;
    desk.clock("2026-06-20").await;
    desk.event("2026-06-10", json!({ "writes": 300, "reads": 500, "archive": 1000 })).await;
    desk.event("2026-06-17", json!({ "writes": 100 })).await;
    assert_eq!(
        desk.bill("2026-06-01").await,
        [
            "Writes 06-01..06-16 300 × 30 = 9000 (CREDIT)",
            "Credit applied 06-01..06-16 = -9000 (CREDIT)",
            "Writes 06-16..07-01 100 × 40 = 4000",
            "Reads 06-01..07-01 500 × 12 = 6000 (CREDIT)",
            "Credit applied 06-01..07-01 = -6000 (CREDIT)",
            "Archive 06-01..07-01 500 × 2 = 1000 (CREDIT)",
            "Credit applied 06-01..07-01 = -1000 (CREDIT)",
            "Archive 06-01..07-01 500 × 2 = 1000",
            "total 5000",
        ]
    );
}

/// 2500 units in June at these rates with a commit of 9000 that pays commit rates.
async fn tiered(commit_rate: Option<Value>) -> Vec<String> {
    let desk = Desk::at("2026-06-01").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    let mut rate = tiers(&[("1000", "10"), ("", "8")]);
    if let Some(commit_rate) = commit_rate {
        rate["commit_rate"] = commit_rate;
    }
    desk.rate(&product, "2026-06-01", rate).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let commit = prepaid(
        &fixed,
        "Commit",
        &[(9000, "2026-06-01", "2027-06-01")],
        json!({ "rate_type": "COMMIT_RATE" }),
    );
    desk.contract("2026-06-01", json!({ "commits": [commit] })).await;
    desk.uses("2026-06", 2500).await;
    bill(&desk.close("2026-06-01", "2026-07-02").await)
}

#[tokio::test]
async fn credits_e6_commit_rates_with_tiers_share_the_position() {
    assert_eq!(
        tiered(Some(tiers(&[("1000", "7"), ("", "5")]))).await,
        [
            "Units 06-01..07-01 [1] 1000 × 7 = 7000 (PREPAID)",
            "Commit applied 06-01..07-01 = -7000 (PREPAID)",
            "Units 06-01..07-01 [2] 400 × 5 = 2000 (PREPAID)",
            "Commit applied 06-01..07-01 = -2000 (PREPAID)",
            "Units 06-01..07-01 [2] 1100 × 8 = 8800",
            "total 8800",
        ]
    );
}

#[tokio::test]
async fn credits_e6_without_a_commit_rate_the_list_price_is_paid() {
    assert_eq!(
        tiered(None).await,
        [
            "Units 06-01..07-01 [1] 900 × 10 = 9000 (PREPAID)",
            "Commit applied 06-01..07-01 = -9000 (PREPAID)",
            "Units 06-01..07-01 [1] 100 × 10 = 1000",
            "Units 06-01..07-01 [2] 1500 × 8 = 12000",
            "total 13000",
        ]
    );
}

/// A desk whose card converts a token at this price, and the id of the token.
pub async fn of_tokens(name: &str, fiat_per_token: i64) -> (Desk, String) {
    let mut desk = Desk::at("2026-06-01").await;
    let unit = desk.api.post("/v1/credit-types/create", json!({ "name": name })).await.id();
    let conversion = json!({ "custom_credit_type_id": unit, "fiat_per_custom_credit": fiat_per_token });
    let card = json!({ "name": "Tokens", "credit_type_conversions": [conversion] });
    desk.rates = Rates { card: desk.api.post("/v1/contract-pricing/rate-cards/create", card).await.id() };
    (desk, unit)
}

/// A prepaid commit in a unit of its own.
pub fn in_unit(mut commit: Value, unit: &str) -> Value {
    commit["access_schedule"]["credit_type_id"] = json!(unit);
    commit
}

#[tokio::test]
async fn credits_e7_a_custom_unit_and_cents() {
    let (desk, unit) = of_tokens("Tokens", 4).await;
    let start = "2026-06-01";
    for (name, key, price) in [("Model A", "a", "3"), ("Model B", "b", "2")] {
        let product = desk.summing(name, key, json!({})).await;
        let price = json!({ "rate_type": "FLAT", "price": number(price), "credit_type_id": unit });
        desk.rate(&product, start, price).await;
    }
    desk.summed("Storage", "storage", start, "100", json!({})).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let tokens = in_unit(prepaid(&fixed, "Pack", &[(1000, start, "2027-06-01")], json!({})), &unit);
    let dollars = credit(&fixed, "Dollars", &[(1000, start, "2027-06-01")], json!({}));
    desk.contract(start, json!({ "commits": [tokens], "credits": [dollars] })).await;
    desk.clock("2026-06-20").await;
    desk.event("2026-06-10", json!({ "a": 300, "b": 200, "storage": 6 })).await;
    let june = desk.close("2026-06-01", "2026-07-02").await;
    assert_eq!(
        bill(&june),
        [
            "Model A 06-01..07-01 300 × 3 = 900 (PREPAID)",
            "Pack applied 06-01..07-01 = -900 (PREPAID)",
            "Model B 06-01..07-01 50 × 2 = 100 (PREPAID)",
            "Pack applied 06-01..07-01 = -100 (PREPAID)",
            "Model B 06-01..07-01 150 × 2 = 300",
            "Storage 06-01..07-01 6 × 100 = 600 (CREDIT)",
            "Dollars applied 06-01..07-01 = -600 (CREDIT)",
            "Tokens conversion 06-01..07-01 100 × 4 = 400 (CREDIT)",
            "Dollars applied 06-01..07-01 = -400 (CREDIT)",
            "Tokens conversion 06-01..07-01 200 × 4 = 800",
            "total 800",
        ]
    );
    assert_eq!(
        desk.ledger("Pack").await,
        [
            "2026-06-01 PREPAID_COMMIT_SEGMENT_START 1000",
            "2026-07-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -1000",
        ]
    );
    assert_eq!(
        desk.ledger("Dollars").await,
        ["2026-06-01 CREDIT_SEGMENT_START 1000", "2026-07-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -1000"]
    );
}

#[tokio::test]
async fn credits_e24_what_no_token_pays_for_is_converted() {
    let (desk, unit) = of_tokens("Compute tokens", 2).await;
    let start = "2026-06-01";
    let product = desk.product("Compute", "SUM", json!({})).await;
    desk.rate(&product, start, json!({ "rate_type": "FLAT", "price": 1, "credit_type_id": unit })).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let pack = in_unit(prepaid(&fixed, "Pack", &[(100, start, "2027-06-01")], json!({})), &unit);
    desk.contract(start, json!({ "commits": [pack] })).await;
    desk.uses("2026-06", 450).await;
    assert_eq!(
        desk.bill("2026-06-01").await,
        [
            "Compute 06-01..07-01 100 × 1 = 100 (PREPAID)",
            "Pack applied 06-01..07-01 = -100 (PREPAID)",
            "Compute 06-01..07-01 350 × 1 = 350",
            "Compute tokens conversion 06-01..07-01 350 × 2 = 700",
            "total 700",
        ]
    );
}

/// One and Two at these prices, with fields of the rates, from June on.
async fn pair(one: &str, two: &str, more: [Value; 2]) -> (Desk, [String; 2]) {
    let desk = Desk::at("2026-06-01").await;
    let mut ids = Vec::new();
    for ((name, key, price), more) in [("One", "one", one), ("Two", "two", two)].into_iter().zip(more) {
        let product = desk.summing(name, key, json!({ "tags": ["all"] })).await;
        desk.flat_with(&product, "2026-06-01", price, more).await;
        ids.push(product);
    }
    let ids = ids.try_into().expect("two");
    (desk, ids)
}

/// Has this much of each used in a month and answers its invoice.
async fn month(desk: &Desk, month: &str, one: i64, two: i64) -> Vec<String> {
    desk.clock(&format!("{month}-20")).await;
    desk.event(&format!("{month}-10"), json!({ "one": one, "two": two })).await;
    desk.bill(&format!("{month}-01")).await
}

fn times(multiplier: &str, more: Value) -> Value {
    let body =
        json!({ "starting_at": t("2026-06-01"), "type": "MULTIPLIER", "multiplier": number(multiplier) });
    with(body, more)
}

const LONG: (&str, &str) = ("2026-06-01", "2027-06-01");

#[tokio::test]
async fn credits_e25_a_multiplier_for_one_commit_takes_the_place_of_the_contracts() {
    let (desk, _) = pair("100", "200", [json!({}), json!({})]).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let a = prepaid(&fixed, "A", &[(1_000_000, LONG.0, LONG.1)], json!({ "temporary_id": "a" }));
    let overrides = json!([
        times("0.95", json!({ "applicable_product_tags": ["all"] })),
        times("0.8", json!({ "is_commit_specific": true, "override_specifiers": [{ "commit_ids": ["a"] }] })),
    ]);
    desk.contract("2026-06-01", json!({ "commits": [a], "overrides": overrides })).await;
    assert_eq!(
        month(&desk, "2026-06", 5000, 2500).await,
        [
            "One 06-01..07-01 5000 × 80 = 400000 (PREPAID)",
            "A applied 06-01..07-01 = -400000 (PREPAID)",
            "Two 06-01..07-01 2500 × 160 = 400000 (PREPAID)",
            "A applied 06-01..07-01 = -400000 (PREPAID)",
            "total 0",
        ],
        "and neither 76 nor 152"
    );
    assert_eq!(
        month(&desk, "2026-07", 2000, 2000).await,
        [
            "One 07-01..08-01 2000 × 95 = 190000",
            "Two 07-01..08-01 1250 × 160 = 200000 (PREPAID)",
            "A applied 07-01..08-01 = -200000 (PREPAID)",
            "Two 07-01..08-01 750 × 190 = 142500",
            "total 332500",
        ]
    );
}

#[tokio::test]
async fn credits_e25_prices_for_whatever_is_drawn() {
    for (kind, shown) in [("commits", "PREPAID"), ("credits", "CREDIT")] {
        let (desk, [one, two]) = pair("100", "200", [json!({}), json!({})]).await;
        let fixed = desk.api.fixed_product("Commit").await;
        let grants = [(300_000, LONG.0, LONG.1)];
        let balance = match kind {
            "commits" => prepaid(&fixed, "A", &grants, json!({})),
            _ => credit(&fixed, "A", &grants, json!({})),
        };
        let overwrite = |product: &str, price: &str| {
            json!({
                "starting_at": t("2026-06-01"), "type": "OVERWRITE", "product_id": product, "is_commit_specific": true,
                "overwrite_rate": { "rate_type": "FLAT", "price": number(price) },
            })
        };
        let overrides = json!([overwrite(&one, "75"), overwrite(&two, "88.9")]);
        desk.contract("2026-06-01", json!({ kind: [balance], "overrides": overrides })).await;
        assert_eq!(
            month(&desk, "2026-06", 2222, 1500).await,
            [
                format!("One 06-01..07-01 2222 × 75 = 166650 ({shown})"),
                format!("A applied 06-01..07-01 = -166650 ({shown})"),
                format!("Two 06-01..07-01 1500 × 88.9 = 133350 ({shown})"),
                format!("A applied 06-01..07-01 = -133350 ({shown})"),
                "total 0".to_owned(),
            ]
        );
        assert_eq!(
            month(&desk, "2026-07", 10, 10).await,
            ["One 07-01..08-01 10 × 100 = 1000", "Two 07-01..08-01 10 × 200 = 2000", "total 3000"]
        );
    }
}

#[tokio::test]
async fn credits_e25_invoicing_w20_pricing_e26_a_commit_rate() {
    let desk = Desk::at("2026-06-01").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    let commit_rate = json!({ "commit_rate": { "rate_type": "FLAT", "price": 800 } });
    desk.flat_with(&product, "2026-06-01", "1000", commit_rate).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let more = json!({ "rate_type": "COMMIT_RATE", "invoice_schedule": paid(&[(8000, "2026-06-01")]) });
    let commit = prepaid(&fixed, "Commit", &[(10_000, LONG.0, LONG.1)], more);
    desk.contract("2026-06-01", json!({ "commits": [commit] })).await;
    desk.uses("2026-06", 20).await;
    assert_eq!(
        bill(&desk.close("2026-06-01", "2026-07-02").await),
        [
            "Units 06-01..07-01 12.5 × 800 = 10000 (PREPAID)",
            "Commit applied 06-01..07-01 = -10000 (PREPAID)",
            "Units 06-01..07-01 7.5 × 1000 = 7500",
            "total 7500",
        ]
    );
}

#[tokio::test]
async fn invoicing_w20_the_same_commit_at_the_list_rate() {
    let desk = Desk::at("2026-06-01").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    let commit_rate = json!({ "commit_rate": { "rate_type": "FLAT", "price": 800 } });
    desk.flat_with(&product, "2026-06-01", "1000", commit_rate).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let commit = prepaid(&fixed, "Commit", &[(10_000, LONG.0, LONG.1)], json!({}));
    desk.contract("2026-06-01", json!({ "commits": [commit] })).await;
    desk.uses("2026-06", 20).await;
    assert_eq!(
        desk.bill("2026-06-01").await,
        [
            "Units 06-01..07-01 10 × 1000 = 10000 (PREPAID)",
            "Commit applied 06-01..07-01 = -10000 (PREPAID)",
            "Units 06-01..07-01 10 × 1000 = 10000",
            "total 10000",
        ]
    );
}

#[tokio::test]
async fn credits_e25_pricing_e27_overrides_of_each_of_two_rates() {
    let commit_rate = |price: i64| json!({ "commit_rate": { "rate_type": "FLAT", "price": price } });
    let (desk, _) = pair("1000", "2000", [commit_rate(800), commit_rate(1900)]).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let more = json!({ "rate_type": "COMMIT_RATE", "temporary_id": "a" });
    let a = prepaid(&fixed, "A", &[(24_300, LONG.0, LONG.1)], more);
    let overrides = json!([
        times(
            "0.9",
            json!({
                "is_commit_specific": true, "target": "COMMIT_RATE", "override_specifiers": [{ "commit_ids": ["a"] }],
            })
        ),
        times("0.8", json!({ "target": "LIST_RATE", "applicable_product_tags": ["all"] })),
    ]);
    desk.contract("2026-06-01", json!({ "commits": [a], "overrides": overrides })).await;
    assert_eq!(
        month(&desk, "2026-06", 10, 10).await,
        [
            "One 06-01..07-01 10 × 720 = 7200 (PREPAID)",
            "A applied 06-01..07-01 = -7200 (PREPAID)",
            "Two 06-01..07-01 10 × 1710 = 17100 (PREPAID)",
            "A applied 06-01..07-01 = -17100 (PREPAID)",
            "total 0",
        ]
    );
    assert_eq!(
        month(&desk, "2026-07", 10, 10).await,
        ["One 07-01..08-01 10 × 800 = 8000", "Two 07-01..08-01 10 × 1600 = 16000", "total 24000"]
    );
}

/// Units that cost nothing but while a commit of 10,000 is drawn; the overrides are of their product.
async fn free_afterwards(
    units: i64,
    rate: Value,
    commit: Value,
    overrides: impl FnOnce(&str) -> Value,
) -> Vec<String> {
    let desk = Desk::at("2026-06-01").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat_with(&product, "2026-06-01", "0", rate).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let commit = prepaid(&fixed, "Commit", &[(10_000, LONG.0, LONG.1)], commit);
    let terms = json!({ "commits": [commit], "overrides": overrides(&product) });
    desk.contract("2026-06-01", terms).await;
    desk.uses("2026-06", units).await;
    bill(&desk.close("2026-06-01", "2026-07-02").await)
}

#[tokio::test]
async fn credits_e25_invoicing_w35_pricing_e29_no_overage_is_ever_billed() {
    for (units, rest) in [(120, "20"), (130, "30")] {
        let expected = [
            "Units 06-01..07-01 100 × 100 = 10000 (PREPAID)",
            "Commit applied 06-01..07-01 = -10000 (PREPAID)",
            &format!("Units 06-01..07-01 {rest} × 0 = 0"),
            "total 0",
        ];
        let commit_rate = json!({ "commit_rate": { "rate_type": "FLAT", "price": 100 } });
        let at_commit_rate = json!({ "rate_type": "COMMIT_RATE" });
        assert_eq!(free_afterwards(units, commit_rate, at_commit_rate, |_| json!([])).await, expected);
        let overwrite = |product: &str| {
            json!([{
                "starting_at": t("2026-06-01"), "type": "OVERWRITE", "is_commit_specific": true,
                "override_specifiers": [{ "product_id": product, "commit_ids": ["c"] }],
                "overwrite_rate": { "rate_type": "FLAT", "price": 100 },
            }])
        };
        let named = json!({ "temporary_id": "c" });
        assert_eq!(free_afterwards(units, json!({}), named, overwrite).await, expected);
    }
}

#[tokio::test]
async fn credits_e26_six_prepaid_commits() {
    let desk = Desk::at("2025-09-01").await;
    let start = "2025-09-01";
    let keys = || json!({ "presentation_group_key": ["region"] });
    let reads = desk.summed("Reads", "reads", start, "260", keys()).await;
    desk.summed("Storage", "storage", start, "100", keys()).await;
    let fixed = desk.api.fixed_product("Commit").await;
    let paid_for = || json!({ "invoice_schedule": paid(&[(1000, start)]) });
    let commit = |name: &str, amount: i64, end: &str, more: Value| {
        prepaid(&fixed, name, &[(amount, start, end)], with(json!({ "priority": 100 }), more))
    };
    let region = json!({ "region": "us-east" });
    let specifiers = json!({ "specifiers": [
        { "product_id": reads, "presentation_group_values": region }, { "presentation_group_values": region },
    ] });
    // In the opposite order, so that nothing comes out right by the order in which they were made.
    let commits = json!([
        commit("F", 3600, "2025-10-01", paid_for()),
        commit("E", 2600, "2026-10-01", with(paid_for(), specifiers.clone())),
        commit("D", 2600, "2025-10-01", with(paid_for(), specifiers)),
        commit("C", 2600, "2026-10-01", with(paid_for(), json!({ "applicable_product_ids": [reads] }))),
        commit("B", 2600, "2026-10-01", json!({})),
        commit("A", 2600, "2026-10-01", with(paid_for(), json!({ "priority": 50 }))),
    ]);
    desk.contract(start, json!({ "commits": commits })).await;
    desk.clock("2025-09-20").await;
    desk.event("2025-09-10", json!({ "reads": 60, "storage": 40, "region": "us-east" })).await;
    let september = desk.close("2025-09-01", "2025-10-02").await;
    assert_eq!(
        applied(&september),
        ["A -2600", "B -2600", "C -2600", "D -2600", "E -2600", "F -2600", "F -1000", "total 3000",],
        "and Reads at 260 before Storage at 100"
    );
    assert_eq!(
        bill(&september)[12..],
        [
            "Storage {region: us-east} 09-01..10-01 10 × 100 = 1000 (PREPAID)",
            "F applied 09-01..10-01 = -1000 (PREPAID)",
            "Storage {region: us-east} 09-01..10-01 30 × 100 = 3000",
            "total 3000",
        ]
    );
}
