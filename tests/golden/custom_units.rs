//! Examples of the pricing reference about custom pricing units.

use serde_json::{Value, json};

use crate::balances::{bill, prepaid};
use crate::credits_order::in_unit;
use crate::desk::{Desk, number, t, text};
use crate::support::Rates;

/// A desk whose card counts jobs at 10 credits each and converts a credit at this price, with so many credits prepaid.
async fn credits(currency: Option<&Value>, fiat_per_credit: &str, prepaid_credits: i64) -> (Desk, Value) {
    let mut desk = Desk::at("2026-06-20").await;
    let unit = desk.api.post("/v1/credit-types/create", json!({ "name": "AI credits" })).await.id();
    let mut card = json!({
        "name": "Credits",
        "credit_type_conversions": [
            { "custom_credit_type_id": unit, "fiat_per_custom_credit": number(fiat_per_credit) },
        ],
    });
    if let Some(currency) = currency {
        card["fiat_credit_type_id"] = currency.clone();
    }
    desk.rates = Rates { card: desk.api.post("/v1/contract-pricing/rate-cards/create", card).await.id() };
    let product = desk.product("Jobs", "SUM", json!({})).await;
    desk.rate(&product, "2026-06-01", json!({ "rate_type": "FLAT", "price": 10, "credit_type_id": unit }))
        .await;
    let fixed = desk.api.fixed_product("Pack").await;
    let pack = prepaid(&fixed, "Pack", &[(prepaid_credits, "2026-06-01", "2027-06-01")], json!({}));
    let packs = if prepaid_credits == 0 { json!([]) } else { json!([in_unit(pack, &unit)]) };
    desk.contract("2026-06-01", json!({ "commits": packs })).await;
    (desk, json!({ "name": "AI credits", "id": unit }))
}

#[tokio::test]
async fn pricing_e10_what_is_used_in_a_custom_unit_is_owed_in_the_currency() {
    let (desk, unit) = credits(None, "2", 0).await;
    desk.n("2026-06-02", 35).await;
    let june = desk.close("2026-06-01", "2026-07-02").await;
    assert_eq!(
        text(&june),
        ["Jobs 06-01..07-01 35 × 10 = 350", "AI credits conversion 06-01..07-01 350 × 2 = 700", "total 700",]
    );
    let (used, owed) = (&june["line_items"][0], &june["line_items"][1]);
    assert_eq!(used["credit_type"], unit);
    assert_eq!((&owed["type"], &owed["credit_type"]), (&json!("cpu_conversion"), &june["credit_type"]));
    assert_eq!(owed.get("product_id"), None);
}

#[tokio::test]
async fn pricing_e10_a_prepaid_commit_pays_first_in_either_currency() {
    let desk = Desk::at("2026-06-20").await;
    let units = desk.api.get("/v1/credit-types/list").await.data();
    let franc =
        units.as_array().expect("a list").iter().find(|unit| unit["name"] == "CHF").expect("the franc");
    let franc = &franc["id"];
    for (currency, name, price, total) in
        [(None, "USD (cents)", "2", "700"), (Some(franc), "CHF", "0.02", "7")]
    {
        let (desk, unit) = credits(currency, price, 100).await;
        desk.n("2026-06-02", 45).await;
        let june = desk.close("2026-06-01", "2026-07-02").await;
        assert_eq!(
            bill(&june),
            [
                "Jobs 06-01..07-01 10 × 10 = 100 (PREPAID)".to_owned(),
                "Pack applied 06-01..07-01 = -100 (PREPAID)".to_owned(),
                "Jobs 06-01..07-01 35 × 10 = 350".to_owned(),
                format!("AI credits conversion 06-01..07-01 350 × {price} = {total}"),
                format!("total {total}"),
            ]
        );
        assert_eq!(
            (&june["credit_type"]["name"], &june["line_items"][1]["credit_type"]),
            (&json!(name), &unit)
        );
    }
}

#[tokio::test]
async fn nothing_used_is_nothing_to_convert() {
    let (desk, _) = credits(None, "2", 0).await;
    assert_eq!(desk.lines("2026-06-01").await, ["Jobs 06-01..07-01 0 × 10 = 0", "total 0"]);
    desk.n("2026-06-02", -3).await;
    assert_eq!(
        desk.lines("2026-06-01").await,
        ["Jobs 06-01..07-01 -3 × 10 = -30", "total 0"],
        "only what is owed is converted"
    );
}

/// 9 × 10^99 credits can be on a bill, and what they cost at 10,000,000,000 each cannot.
#[tokio::test]
async fn a_conversion_beyond_any_bill_fails_its_draft_and_names_its_unit() {
    let (desk, _) = credits(None, "1e10", 0).await;
    desk.n("2026-06-02", "9e98").await;
    let invoice = desk.invoice("2026-06-01").await;
    let reason = invoice["upbeat_failure"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("what is due in AI credits"), "{reason}");
    assert_eq!((&invoice["line_items"], &invoice["total"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn an_amount_beyond_any_bill_fails_its_own_draft_and_says_why() {
    let desk = Desk::at("2026-06-20").await;
    let (huge, usual) =
        (desk.product("Huge", "SUM", json!({})).await, desk.product("Usual", "COUNT", json!({})).await);
    desk.flat(&huge, "2026-06-01", "9999999999").await;
    desk.flat(&usual, "2026-05-01", "1").await;
    desk.contract("2026-05-01", json!({})).await;
    desk.event("2026-05-20", json!({})).await;
    desk.n("2026-06-02", "1e99").await;
    let invoices = desk.api.invoices(&desk.customer).await;
    let of = |start: &str| {
        let start = format!("{start}T00:00:00+00:00");
        invoices.iter().find(|invoice| invoice["start_timestamp"] == start.as_str()).expect("an invoice")
    };
    let failed = of("2026-06-01");
    let reason = failed["upbeat_failure"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("`Huge`") && reason.contains(&t("2026-06-01")), "{reason}");
    assert_eq!((&failed["line_items"], &failed["total"]), (&json!([]), &json!(0)));
    assert_eq!(of("2026-05-01")["total"], json!(1));
}
