//! Examples of the pricing reference about shares of other products' spend, and what else must hold of them.

use serde_json::{Value, json};

use upbeat::access::{self, EnvironmentKind};
use upbeat::invoice::verify_invoices;

use crate::desk::{Desk, number, t, text, tiers};
use crate::support::Rates;

/// Compute, which lists at 60 and costs this contract 50, and Storage at 10, both in June.
struct Cloud {
    desk: Desk,
    compute: String,
    storage: String,
}

impl Cloud {
    async fn new() -> Self {
        let desk = Desk::at("2026-06-20").await;
        let compute = desk.product("Compute", "SUM", json!({ "tags": ["cloud"] })).await;
        let storage = desk.product("Storage", "SUM", json!({ "tags": ["cloud", "disk"] })).await;
        desk.flat(&compute, "2026-06-01", "60").await;
        desk.flat(&storage, "2026-06-01", "10").await;
        Self { desk, compute, storage }
    }

    /// A composite with this rate.
    async fn composite(&self, name: &str, fields: Value, rate: Value) -> String {
        let mut product = fields;
        product["name"] = json!(name);
        product["type"] = json!("COMPOSITE");
        let product = self.desk.api.post("/v1/contract-pricing/products/create", product).await.id();
        self.desk.rate(&product, "2026-06-01", rate).await;
        product
    }

    async fn contract(&self, more: Value) -> String {
        let mut terms = more;
        let fixed = json!({
            "starting_at": t("2026-06-01"), "type": "OVERWRITE", "product_id": self.compute,
            "overwrite_rate": { "rate_type": "FLAT", "price": 50 },
        });
        match terms["overrides"].as_array_mut() {
            Some(overrides) => overrides.push(fixed),
            None => terms["overrides"] = json!([fixed]),
        }
        self.desk.contract("2026-06-01", terms).await
    }

    async fn june(&self) -> Vec<String> {
        text(&self.desk.close("2026-06-01", "2026-07-02").await)
    }
}

fn percentage(fraction: &str, more: Value) -> Value {
    let mut rate = json!({ "rate_type": "PERCENTAGE", "price": number(fraction) });
    rate.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    rate
}

fn of(members: &[&String]) -> Value {
    json!({ "composite_product_ids": members })
}

/// Every event counts for both products: 10,000 units cost 500,000 and 100,000.
const BOTH: i64 = 10_000;

#[tokio::test]
async fn pricing_e17_a_share_of_what_the_contract_pays() {
    let cloud = Cloud::new().await;
    cloud.composite("Support", of(&[&cloud.compute, &cloud.storage]), percentage("0.1", json!({}))).await;
    cloud.contract(json!({})).await;
    cloud.desk.n("2026-06-02", BOTH).await;
    assert_eq!(
        cloud.june().await,
        [
            "Compute 06-01..07-01 10000 × 50 = 500000",
            "Storage 06-01..07-01 10000 × 10 = 100000",
            "Support 06-01..07-01 600000 × 0.1 = 60000",
            "total 660000",
        ]
    );
    let line = &cloud.desk.invoice("2026-06-01").await["line_items"][2];
    assert_eq!((&line["type"], &line["product_type"]), (&json!("usage"), &json!("CompositeProductListItem")));
}

#[tokio::test]
async fn pricing_e17_a_share_of_list_prices() {
    let cloud = Cloud::new().await;
    let rate = percentage("0.1", json!({ "use_list_prices": true }));
    cloud.composite("Support", of(&[&cloud.compute, &cloud.storage]), rate).await;
    cloud.contract(json!({})).await;
    cloud.desk.n("2026-06-02", BOTH).await;
    assert_eq!(cloud.june().await[2..], ["Support 06-01..07-01 700000 × 0.1 = 70000", "total 670000"]);
}

#[tokio::test]
async fn pricing_e17_a_minimum_takes_the_place_of_less() {
    let cloud = Cloud::new().await;
    let rate = percentage("0.1", json!({ "minimum_config": { "minimum": 50_000 } }));
    cloud.composite("Support", of(&[&cloud.compute, &cloud.storage]), rate).await;
    cloud.contract(json!({})).await;
    assert_eq!(
        cloud.desk.lines("2026-06-01").await[2..],
        ["Support 06-01..07-01 1 × 50000 = 50000", "total 50000"],
        "also of nothing"
    );
    cloud.desk.n("2026-06-02", BOTH / 2).await;
    assert_eq!(
        cloud.desk.lines("2026-06-01").await[2..],
        ["Support 06-01..07-01 1 × 50000 = 50000", "total 350000"]
    );
    cloud.desk.n("2026-06-03", BOTH / 2).await;
    assert_eq!(cloud.june().await[2..], ["Support 06-01..07-01 600000 × 0.1 = 60000", "total 660000"]);
}

#[tokio::test]
async fn pricing_e17_graduated_shares() {
    let cloud = Cloud::new().await;
    let mut rate = tiers(&[("1000000", "0.10"), ("", "0.05")]);
    rate["rate_type"] = json!("TIERED_PERCENTAGE");
    cloud.composite("Support", json!({ "composite_tags": ["cloud"] }), rate).await;
    cloud.contract(json!({})).await;
    cloud.desk.n("2026-06-02", BOTH).await;
    cloud.desk.n("2026-06-03", 2 * BOTH).await;
    assert_eq!(
        cloud.june().await[2..],
        [
            "Support 06-01..07-01 [1] 1000000 × 0.1 = 100000",
            "Support 06-01..07-01 [2] 800000 × 0.05 = 40000",
            "total 1940000",
        ]
    );
}

#[tokio::test]
async fn pricing_e17_a_multiplier_halves_the_share_and_not_the_minimum() {
    let cloud = Cloud::new().await;
    let rate = percentage("0.1", json!({ "minimum_config": { "minimum": 50_000 } }));
    let support = cloud.composite("Support", of(&[&cloud.compute, &cloud.storage]), rate).await;
    let half = json!({
        "starting_at": t("2026-06-01"), "type": "MULTIPLIER", "multiplier": number("0.5"), "product_id": support,
    });
    cloud.contract(json!({ "overrides": [half] })).await;
    cloud.desk.n("2026-06-02", BOTH).await;
    assert_eq!(cloud.june().await[2..], ["Support 06-01..07-01 1 × 50000 = 50000", "total 650000"]);
}

/// Moves the end of the contract into June, finalizes until there and makes it open-ended again: June has two statements.
async fn cut_at(desk: &Desk, contract: &str, end: &str, finalized: &str) {
    desk.end(contract, Some(end)).await;
    desk.clock(finalized).await;
    desk.end(contract, None).await;
}

#[tokio::test]
async fn two_statements_of_a_period_bill_its_minimum_once_also_where_it_changes() {
    let cloud = Cloud::new().await;
    let at_least = |minimum: i64| percentage("0.1", json!({ "minimum_config": { "minimum": minimum } }));
    let support = cloud.composite("Support", of(&[&cloud.storage]), at_least(500)).await;
    cloud.desk.rate(&support, "2026-06-25", at_least(800)).await;
    let contract = cloud.contract(json!({})).await;
    cloud.desk.n("2026-06-02", 100).await;
    cut_at(&cloud.desk, &contract, "2026-06-22", "2026-06-24").await;
    assert_eq!(
        cloud.desk.lines("2026-06-01").await[2..],
        ["Support 06-01..06-22 1 × 500 = 500", "total 6500"]
    );
    assert_eq!(
        cloud.desk.lines("2026-06-22").await[2..],
        ["Support 06-22..07-01 1 × 300 = 300", "total 300"],
        "800 in all"
    );
    cloud.desk.n("2026-06-23", 900).await;
    assert_eq!(
        cloud.desk.lines("2026-06-22").await[2..],
        ["Support 06-22..07-01 1 × 500 = 500", "total 54500"],
        "the shares come to 1000"
    );
}

#[tokio::test]
async fn three_statements_of_a_period_bill_a_legacy_subscription_once_to_the_last_digit() {
    let desk = Desk::at("2026-06-10").await;
    let fields = json!({ "name": "Base fee", "type": "SUBSCRIPTION" });
    let product = desk.api.post("/v1/contract-pricing/products/create", fields).await.id();
    let rate = json!({ "rate_type": "SUBSCRIPTION", "price": 1000, "quantity": 1, "is_prorated": true });
    desk.rate(&product, "2026-01-01", rate).await;
    let contract = desk.contract("2026-06-01", json!({})).await;
    cut_at(&desk, &contract, "2026-06-11", "2026-06-13").await;
    cut_at(&desk, &contract, "2026-06-21", "2026-06-23").await;
    let mut totals = Vec::new();
    for start in ["2026-06-01", "2026-06-11", "2026-06-21"] {
        totals.push(desk.total(start).await);
    }
    let third = "333.33333333333333333333";
    assert_eq!(totals, [third, "333.33333333333333333334", third], "thirds that sum to 1000");
}

#[tokio::test]
async fn a_share_that_changes_is_of_what_was_spent_under_it() {
    let cloud = Cloud::new().await;
    let support = cloud.composite("Support", of(&[&cloud.storage]), percentage("0.1", json!({}))).await;
    cloud.desk.rate(&support, "2026-06-11", percentage("0.2", json!({}))).await;
    cloud.contract(json!({})).await;
    cloud.desk.n("2026-06-02", 100).await;
    cloud.desk.n("2026-06-12", 10).await;
    assert_eq!(
        cloud.june().await,
        [
            "Compute 06-01..07-01 110 × 50 = 5500",
            "Storage 06-01..07-01 110 × 10 = 1100",
            "Support 06-01..06-11 1000 × 0.1 = 100",
            "Support 06-11..07-01 100 × 0.2 = 20",
            "total 6720",
        ]
    );
}

#[tokio::test]
async fn composites_of_composites_are_of_what_the_members_come_to() {
    let cloud = Cloud::new().await;
    let support = cloud.composite("Support", of(&[&cloud.storage]), percentage("0.1", json!({}))).await;
    let mut fields = of(&[&cloud.storage, &support]);
    fields["include_composite_spend"] = json!(true);
    cloud.composite("Fee", fields, percentage("0.01", json!({}))).await;
    cloud.contract(json!({})).await;
    cloud.desk.n("2026-06-02", 100).await;
    assert_eq!(
        cloud.june().await[2..],
        ["Support 06-01..07-01 1000 × 0.1 = 100", "Fee 06-01..07-01 1100 × 0.01 = 11", "total 6111",]
    );
}

#[tokio::test]
async fn a_share_of_the_customer_is_billed_once_on_its_first_contract() {
    let cloud = Cloud::new().await;
    let mut fields = of(&[&cloud.storage]);
    fields["composite_scope"] = json!("CUSTOMER");
    cloud.composite("Support", fields, percentage("0.1", json!({}))).await;
    // Both contracts bill all usage in full, and Support is of both.
    let later = cloud.desk.contract("2026-06-11", json!({})).await;
    let first = cloud.contract(json!({})).await;
    cloud.desk.n("2026-06-02", 100).await;
    cloud.desk.n("2026-06-12", 10).await;
    cloud.desk.clock("2026-07-02").await;
    let invoices = cloud.desk.api.invoices(&cloud.desk.customer).await;
    let of_contract = |contract: &str| {
        let own = |invoice: &&Value| {
            invoice["contract_id"] == contract && invoice["end_timestamp"] == "2026-07-01T00:00:00+00:00"
        };
        text(invoices.iter().find(own).expect("an invoice"))
    };
    assert_eq!(
        of_contract(&first),
        [
            "Compute 06-01..07-01 110 × 50 = 5500",
            "Storage 06-01..07-01 110 × 10 = 1100",
            "Support 06-01..07-01 1200 × 0.1 = 120",
            "total 6720",
        ]
    );
    assert_eq!(
        of_contract(&later),
        ["Compute 06-11..07-01 10 × 60 = 600", "Storage 06-11..07-01 10 × 10 = 100", "total 700"]
    );
}

/// The customer's invoice of a contract for the statement that ends on this date, as text; `None` where it failed.
async fn of_contract(desk: &Desk, contract: &str, end: &str) -> (Vec<String>, Option<String>) {
    let end = format!("{end}T00:00:00+00:00");
    let invoices = desk.api.invoices(&desk.customer).await;
    let own =
        |invoice: &&Value| invoice["contract_id"] == contract && invoice["end_timestamp"] == end.as_str();
    let invoice = invoices.iter().find(own).expect("an invoice");
    (text(invoice), invoice["upbeat_failure"]["reason"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn a_share_of_the_customer_goes_on_where_the_first_contract_ends() {
    let cloud = Cloud::new().await;
    let mut fields = of(&[&cloud.storage]);
    fields["composite_scope"] = json!("CUSTOMER");
    cloud.composite("Support", fields, percentage("0.1", json!({}))).await;
    cloud.desk.contract("2026-06-01", json!({ "ending_before": t("2026-06-25") })).await;
    let renewal = cloud.desk.contract("2026-06-05", json!({})).await;
    cloud.desk.n("2026-06-20", 100).await;
    cloud.desk.clock("2026-06-29").await;
    cloud.desk.n("2026-06-28", 50).await;
    let (lines, _) = of_contract(&cloud.desk, &renewal, "2026-07-01").await;
    assert_eq!(
        lines,
        [
            "Compute 06-05..07-01 150 × 60 = 9000",
            "Storage 06-05..07-01 150 × 10 = 1500",
            "Support 06-25..07-01 500 × 0.1 = 50",
            "total 10550",
        ]
    );
}

/// The statement of the other contract goes on beyond the end of the one that bills the share: what is used then is not in it.
#[tokio::test]
async fn a_share_of_the_customer_is_of_its_own_time_whatever_the_calendars_are() {
    let cloud = Cloud::new().await;
    let mut fields = of(&[&cloud.storage]);
    fields["composite_scope"] = json!("CUSTOMER");
    cloud.composite("Support", fields, percentage("0.1", json!({}))).await;
    let first = cloud.desk.contract("2026-06-01", json!({ "ending_before": t("2026-06-20") })).await;
    let second = cloud.desk.contract("2026-06-05", json!({})).await;
    cloud.desk.n("2026-06-10", 20).await;
    cloud.desk.clock("2026-06-29").await;
    cloud.desk.n("2026-06-25", 40).await;
    let (lines, _) = of_contract(&cloud.desk, &first, "2026-06-20").await;
    assert_eq!(lines[2], "Support 06-01..06-20 400 × 0.1 = 40");
    let (lines, _) = of_contract(&cloud.desk, &second, "2026-07-01").await;
    assert_eq!(lines[2], "Support 06-20..07-01 400 × 0.1 = 40");
}

/// A credit that pays for the share from some day on pays for what all contracts spend from then on.
#[tokio::test]
async fn a_share_of_the_customer_is_paid_for_from_the_day_on_which_a_credit_begins() {
    for (from, to, total) in [("2026-06-15", "2026-07-01", "1220"), ("2026-06-01", "2026-06-15", "1220")] {
        let cloud = Cloud::new().await;
        let mut fields = of(&[&cloud.storage]);
        fields["composite_scope"] = json!("CUSTOMER");
        let support = cloud.composite("Support", fields, percentage("0.1", json!({}))).await;
        let first = cloud.contract(json!({})).await;
        cloud.desk.contract("2026-06-01", json!({})).await;
        cloud.desk.n("2026-06-05", 10).await;
        cloud.desk.n("2026-06-20", 10).await;
        let fee = cloud.desk.api.fixed_product("Fee").await;
        let credit = json!({
            "customer_id": cloud.desk.customer, "product_id": fee, "priority": 1, "applicable_product_ids": [support],
            "access_schedule": { "schedule_items": [{ "amount": 100_000, "starting_at": t(from), "ending_before": t(to) }] },
        });
        cloud.desk.api.post("/v1/contracts/customerCredits/create", credit).await.id();
        let (lines, _) = of_contract(&cloud.desk, &first, "2026-07-01").await;
        // Of 400 in all, 200 each half: 20 are paid, and 20 due.
        assert_eq!(lines.last().map(String::as_str), Some(format!("total {total}").as_str()), "{lines:?}");
    }
}

#[tokio::test]
async fn a_share_of_the_customer_is_not_lost_where_the_first_contract_does_not_sell_it() {
    let cloud = Cloud::new().await;
    let mut fields = of(&[&cloud.storage]);
    fields["composite_scope"] = json!("CUSTOMER");
    let support = cloud.composite("Support", fields, percentage("0.1", json!({}))).await;
    let off = json!({ "starting_at": t("2026-06-01"), "entitled": false, "product_id": support });
    cloud.desk.contract("2026-06-01", json!({ "overrides": [off] })).await;
    let second = cloud.desk.contract("2026-06-02", json!({})).await;
    cloud.desk.n("2026-06-10", 100).await;
    let (lines, _) = of_contract(&cloud.desk, &second, "2026-07-01").await;
    assert_eq!(lines[2..], ["Support 06-02..07-01 2000 × 0.1 = 200", "total 7200"]);
}

#[tokio::test]
async fn a_share_of_another_currency_is_no_amount_of_this_one() {
    let cloud = Cloud::new().await;
    let mut fields = json!({ "composite_tags": ["cloud"] });
    fields["composite_scope"] = json!("CUSTOMER");
    cloud.composite("Support", fields, percentage("0.1", json!({}))).await;
    let first = cloud.desk.contract("2026-06-01", json!({})).await;
    let units = cloud.desk.api.get("/v1/credit-types/list").await.data();
    let euro = units.as_array().expect("a list").iter().find(|unit| unit["name"] == "EUR").expect("the euro");
    let card = json!({ "name": "Europe", "fiat_credit_type_id": euro["id"] });
    let rates =
        Rates { card: cloud.desk.api.post("/v1/contract-pricing/rate-cards/create", card).await.id() };
    let rate = json!({ "rate_type": "FLAT", "price": 1, "credit_type_id": euro["id"] });
    cloud.desk.api.rate(&rates, &cloud.storage, &t("2026-06-01"), rate).await;
    cloud.desk.api.contract(&cloud.desk.customer, &rates, &t("2026-06-02"), json!({})).await;
    cloud.desk.n("2026-06-10", 100).await;
    let (_, failure) = of_contract(&cloud.desk, &first, "2026-07-01").await;
    let reason = failure.expect("a reason");
    assert!(reason.contains("`Support`") && reason.contains("EUR"), "{reason}");
}

#[tokio::test]
async fn a_share_of_the_customer_stays_as_it_was_finalized() {
    let cloud = Cloud::new().await;
    let mut fields = of(&[&cloud.storage]);
    fields["composite_scope"] = json!("CUSTOMER");
    cloud.composite("Support", fields, percentage("0.1", json!({}))).await;
    let first = cloud.contract(json!({})).await;
    let second = cloud.desk.contract("2026-06-02", json!({})).await;
    cloud.desk.n("2026-06-10", 100).await;
    cloud.desk.clock("2026-07-02").await;
    let before = of_contract(&cloud.desk, &first, "2026-07-01").await;
    assert_eq!(before.0[2..], ["Support 06-01..07-01 2000 × 0.1 = 200", "total 6200"]);
    let other = json!({ "customer_id": cloud.desk.customer, "contract_id": second, "void_invoices": false });
    cloud.desk.api.post("/v1/contracts/archive", other).await.id();
    let mut db = cloud.desk.api.app.db.acquire().await.expect("a connection");
    let sandbox = access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    let (_, faults) = verify_invoices(&cloud.desk.api.app.db, sandbox.id).await.expect("a check");
    assert!(faults.is_empty(), "{faults:?}");
}

#[tokio::test]
async fn an_override_by_range_prices_a_legacy_subscription_by_its_quantity() {
    let desk = Desk::at("2026-06-20").await;
    let fields = json!({ "name": "Base fee", "type": "SUBSCRIPTION" });
    let product = desk.api.post("/v1/contract-pricing/products/create", fields).await.id();
    let rate = json!({ "rate_type": "SUBSCRIPTION", "price": 1000, "quantity": 3, "is_prorated": true });
    desk.rate(&product, "2026-01-01", rate).await;
    let by_range = json!({
        "starting_at": t("2026-06-01"), "type": "TIERED", "priority": 1, "product_id": product,
        "tiers": [{ "size": 2, "multiplier": number("0.5") }],
    });
    let explicit = json!({ "multiplier_override_prioritization": "EXPLICIT", "overrides": [by_range] });
    desk.contract("2026-06-01", explicit).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        [
            "Base fee 06-01..07-01 [1] 2 × 500 = 1000",
            "Base fee 06-01..07-01 [2] 1 × 1000 = 1000",
            "total 2000",
        ]
    );
    let replaced = json!({
        "starting_at": t("2026-07-01"), "type": "OVERWRITE", "product_id": product,
        "overwrite_rate": { "rate_type": "SUBSCRIPTION", "price": 700, "quantity": 1, "is_prorated": true },
    });
    desk.contract("2026-07-01", json!({ "overrides": [replaced] })).await;
    desk.clock("2026-07-03").await;
    let invoices = desk.api.invoices(&desk.customer).await;
    let july = invoices.iter().filter(|invoice| invoice["start_timestamp"] == "2026-07-01T00:00:00+00:00");
    let totals: Vec<&Value> = july.map(|invoice| &invoice["total"]).collect();
    assert!(totals.contains(&&json!(700)), "{totals:?}");
}

#[tokio::test]
async fn a_legacy_subscription_charges_every_contract_and_prorates() {
    let desk = Desk::at("2026-06-20").await;
    let fields = json!({ "name": "Base fee", "type": "SUBSCRIPTION" });
    let product = desk.api.post("/v1/contract-pricing/products/create", fields).await.id();
    let rate = |price: i64| json!({ "rate_type": "SUBSCRIPTION", "price": price, "quantity": 2, "is_prorated": true });
    desk.rate(&product, "2026-01-01", rate(3000)).await;
    // A change inside a billing period waits for the next one.
    desk.rate(&product, "2026-06-25", rate(4000)).await;
    desk.contract("2026-06-16", json!({})).await;
    let june = desk.close("2026-06-16", "2026-07-02").await;
    assert_eq!(text(&june), ["Base fee 06-16..07-01 2 × 1500 = 3000", "total 3000"]);
    let line = &june["line_items"][0];
    assert_eq!(
        (&line["type"], &line["product_type"], &line["is_prorated"]),
        (&json!("subscription"), &json!("SubscriptionProductListItem"), &json!(true))
    );
    assert_eq!(desk.lines("2026-07-01").await, ["Base fee 07-01..08-01 2 × 4000 = 8000", "total 8000"]);
}
