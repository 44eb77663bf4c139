//! What is paid for commits: purchases, instalments, and the true-ups of postpaid ones.

use serde_json::{Value, json};

use crate::desk::{Desk, charge, statements, t};

/// A desk with one product at 100 from the start of 2024, and a FIXED product that names commits.
async fn desk(now: &str) -> (Desk, String) {
    let desk = Desk::at(now).await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2024-01-01", "100").await;
    let fixed = desk.api.fixed_product("Commitment").await;
    (desk, fixed)
}

fn access(items: &[(&str, &str, i64)]) -> Value {
    let item = |(from, until, amount): &(&str, &str, i64)| json!({ "starting_at": t(from), "ending_before": t(until), "amount": amount });
    json!({ "schedule_items": items.iter().map(item).collect::<Vec<_>>() })
}

fn payments(items: &[(&str, i64)]) -> Value {
    let item = |(at, amount): &(&str, i64)| json!({ "timestamp": t(at), "amount": amount });
    json!({ "schedule_items": items.iter().map(item).collect::<Vec<_>>() })
}

fn commit(kind: &str, product: &str, access: Value, payments: Value) -> Value {
    json!({
        "type": kind, "product_id": product, "priority": 100, "access_schedule": access, "invoice_schedule": payments,
    })
}

/// A promise to spend a million in 2024.
fn million(product: &str) -> Value {
    let access = access(&[("2024-01-01", "2025-01-01", 1_000_000)]);
    commit("POSTPAID", product, access, payments(&[("2025-01-01", 1_000_000)]))
}

/// The customer's scheduled invoices, oldest first, as text: `2024-10-01..2024-10-01 FINALIZED issued 2024-10-01 total`.
async fn scheduled(desk: &Desk) -> Vec<String> {
    let invoices = of_type(desk, "SCHEDULED").await;
    let totals = invoices.iter().map(|invoice| invoice["total"].to_string());
    statements(&invoices).into_iter().zip(totals).map(|(header, total)| format!("{header} {total}")).collect()
}

async fn of_type(desk: &Desk, invoice_type: &str) -> Vec<Value> {
    let path = format!("/v1/customers/{}/invoices?type={invoice_type}", desk.customer);
    desk.api.get(&path).await.data().as_array().expect("invoices").clone()
}

/// Lines as `type name quantity × price = total`.
fn lines(invoice: &Value) -> Vec<String> {
    let line = |line: &Value| {
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let price = match line.get("quantity") {
            Some(quantity) => format!(" {quantity} × {} =", line["unit_price"]),
            None => String::new(),
        };
        format!("{} {}{price} {}", text("type"), text("name"), line["total"])
    };
    invoice["line_items"].as_array().expect("lines").iter().map(line).collect()
}

#[tokio::test]
async fn invoicing_w8_credits_e34_a_commit_is_paid_in_instalments() {
    let (desk, fixed) = desk("2024-10-01 09:00").await;
    let access = access(&[("2024-10-01", "2025-10-01", 1_000_000)]);
    let paid = payments(&[("2024-10-01", 400_000), ("2024-11-01", 600_000)]);
    let commit = commit("PREPAID", &fixed, access, paid);
    let fee = desk.api.fixed_product("Fee").await;
    let charges = json!([charge(&fee, &[("2024-11-01", 50_000)])]);
    let contract =
        desk.contract("2024-10-01", json!({ "commits": [commit], "scheduled_charges": charges })).await;
    desk.api.work().await;
    let expected = |second: &str| {
        [
            "2024-10-01..2024-10-01 FINALIZED issued 2024-10-01 400000".to_owned(),
            format!("2024-11-01..2024-11-01 {second} issued 2024-11-01 650000"),
        ]
    };
    assert_eq!(scheduled(&desk).await, expected("DRAFT"));
    let invoices = of_type(&desk, "SCHEDULED").await;
    assert_eq!(lines(&invoices[0]), ["commit_purchase Commitment 1 × 400000 = 400000"]);
    assert_eq!(
        lines(&invoices[1]),
        ["scheduled Fee 1 × 50000 = 50000", "commit_purchase Commitment 1 × 600000 = 600000"]
    );
    let of_contract = json!({ "customer_id": desk.customer, "contract_id": contract });
    let shown = desk.api.post("/v2/contracts/get", of_contract.clone()).await.data();
    let line = &invoices[0]["line_items"][0];
    assert_eq!(line["commit_id"], shown["commits"][0]["id"]);
    assert_eq!((&line["product_id"], &line["product_type"]), (&json!(fixed), &json!("FixedProductListItem")));
    assert_eq!(line["commit_custom_fields"], json!({}));
    for absent in ["scheduled_charge_id", "commit_type", "postpaid_commit", "starting_at"] {
        assert_eq!(line.get(absent), None, "{absent}");
    }
    assert_eq!(
        shown["scheduled_charges"].as_array().map(Vec::len),
        Some(1),
        "payments are of the commit alone"
    );
    let items = &shown["commits"][0]["invoice_schedule"]["schedule_items"];
    assert_eq!((&items[0]["invoice_id"], &items[1]["invoice_id"]), (&invoices[0]["id"], &Value::Null));

    desk.clock("2024-11-01").await;
    assert_eq!(scheduled(&desk).await, expected("FINALIZED"));
    assert_eq!(of_type(&desk, "SCHEDULED").await[1]["id"], invoices[1]["id"], "the draft keeps its id");
    let shown = desk.api.post("/v2/contracts/get", of_contract).await.data();
    let items = &shown["commits"][0]["invoice_schedule"]["schedule_items"];
    assert_eq!(items[1]["invoice_id"], invoices[1]["id"]);
}

#[tokio::test]
async fn credits_e34_each_of_four_quarters_is_paid_in_full() {
    let (desk, fixed) = desk("2024-10-15").await;
    let mut commit = commit(
        "PREPAID",
        &fixed,
        access(&[("2024-11-01", "2025-11-01", 400_000)]),
        json!({ "recurring_schedule": {
            "starting_at": t("2024-11-01"), "ending_before": t("2025-11-01"), "frequency": "QUARTERLY",
            "amount_distribution": "each", "amount": 100_000,
        } }),
    );
    commit["name"] = json!("Platform commit");
    desk.contract("2024-11-01", json!({ "commits": [commit] })).await;
    let dates = ["2024-11-01", "2025-02-01", "2025-05-01", "2025-08-01"];
    let drafts = dates.map(|date| format!("{date}..{date} DRAFT issued {date} 100000"));
    assert_eq!(scheduled(&desk).await, drafts, "drafts from the day it is added");
    let first = of_type(&desk, "SCHEDULED").await.remove(0);
    assert_eq!(lines(&first), ["commit_purchase Platform commit 1 × 100000 = 100000"]);
}

#[tokio::test]
async fn invoicing_w11_credits_e31_payments_ride_on_the_usage_invoice_that_ends_on_their_day() {
    let (desk, fixed) = desk("2024-01-01 09:00").await;
    let access = access(&[("2024-01-01", "2024-02-01", 10_000), ("2024-02-01", "2024-03-01", 10_000)]);
    let commit = commit("PREPAID", &fixed, access, payments(&[("2024-01-01", 7_500), ("2024-02-01", 7_500)]));
    let more = json!({ "commits": [commit], "scheduled_charges_on_usage_invoices": "ALL" });
    desk.contract("2024-01-01", more).await;
    desk.api.work().await;
    desk.clock("2024-01-11").await;
    desk.n("2024-01-10", 130).await;
    let own = ["2024-01-01..2024-01-01 FINALIZED issued 2024-01-01 7500"];
    assert_eq!(scheduled(&desk).await, own, "no usage invoice ends on the first day");
    let draft = of_type(&desk, "USAGE").await.remove(0);
    assert_eq!(
        lines(&draft),
        [
            "usage Units 100 × 100 = 10000",
            "applied_commit_or_credit Commitment applied -10000",
            "usage Units 30 × 100 = 3000",
            "commit_purchase Commitment 1 × 7500 = 7500",
        ]
    );
    assert_eq!(draft["total"], json!(10_500));
    desk.clock("2024-02-02").await;
    let mut expected = draft;
    expected["status"] = json!("FINALIZED");
    assert_eq!(of_type(&desk, "USAGE").await[0], expected);
    assert_eq!(scheduled(&desk).await, own);
}

#[tokio::test]
async fn invoicing_w7_w26_credits_e22_what_is_short_of_a_postpaid_commit_is_billed_after_the_last_usage_invoice()
 {
    let (desk, fixed) = desk("2024-01-01").await;
    let contract = desk.contract("2024-01-01", json!({ "commits": [million(&fixed)] })).await;
    let at =
        |status: &str, total: i64| vec![format!("2025-01-01..2025-01-01 {status} issued 2025-01-02 {total}")];
    assert_eq!(scheduled(&desk).await, at("DRAFT", 1_000_000), "from the day it is added");
    let id = of_type(&desk, "SCHEDULED").await[0]["id"].clone();
    for month in 1..=12_u32 {
        desk.n(&format!("2024-{month:02}-01"), 800).await;
        let left = 1_000_000 - 80_000 * i64::from(month);
        assert_eq!(scheduled(&desk).await, at("DRAFT", left), "the draft of month {month} counts");
        let next = if month == 12 { "2025-01-01".to_owned() } else { format!("2024-{:02}-01", month + 1) };
        desk.clock(&next).await;
    }
    desk.clock("2025-01-01 23:59").await;
    assert_eq!(scheduled(&desk).await, at("DRAFT", 40_000), "not before December's grace is over");
    let draft = of_type(&desk, "SCHEDULED").await.remove(0);
    desk.clock("2025-01-02").await;
    let usage = of_type(&desk, "USAGE").await;
    let totals: Vec<&Value> =
        usage.iter().filter(|one| one["status"] == "FINALIZED").map(|one| &one["total"]).collect();
    assert_eq!(totals, [&json!(80_000); 12], "what is applied to a postpaid commit is due");
    assert_eq!(scheduled(&desk).await, at("FINALIZED", 40_000));
    let invoice = of_type(&desk, "SCHEDULED").await.remove(0);
    let mut expected = draft;
    expected["status"] = json!("FINALIZED");
    assert_eq!((&invoice, &invoice["id"]), (&expected, &id), "the final invoice is the draft");
    assert_eq!(lines(&invoice), ["commit_purchase Commitment 1 × 40000 = 40000"]);
    let line = &invoice["line_items"][0];
    assert_eq!(line["commit_type"], "PostpaidCommit");
    assert_eq!(line["postpaid_commit"]["id"], line["commit_id"]);
    let path = format!("/v1/customers/{}/invoices/{}", desk.customer, id.as_str().expect("an id"));
    assert_eq!(desk.api.get(&path).await.data(), invoice);
    let shown = desk
        .api
        .post("/v2/contracts/get", json!({ "customer_id": desk.customer, "contract_id": contract }))
        .await
        .data();
    assert_eq!(shown["commits"][0]["invoice_schedule"]["schedule_items"][0]["invoice_id"], id);
}

#[tokio::test]
async fn invoicing_w26_nine_hundred_thousand_of_a_million_leave_a_hundred() {
    let (desk, fixed) = desk("2024-01-01").await;
    desk.contract("2024-01-01", json!({ "commits": [million(&fixed)] })).await;
    desk.clock("2024-12-16").await;
    desk.n("2024-12-15", 9_000).await;
    desk.clock("2025-01-02").await;
    assert_eq!(scheduled(&desk).await, ["2025-01-01..2025-01-01 FINALIZED issued 2025-01-02 100000"]);
}

#[tokio::test]
async fn credits_e22_usage_that_prepaid_value_pays_is_not_spent_on_the_promise() {
    let (desk, fixed) = desk("2024-01-01").await;
    let month = |amount| access(&[("2024-01-01", "2024-02-01", amount)]);
    let prepaid = commit("PREPAID", &fixed, month(40_000), payments(&[("2024-01-01", 40_000)]));
    let postpaid = commit("POSTPAID", &fixed, month(40_000), payments(&[("2024-02-01", 40_000)]));
    desk.contract("2024-01-01", json!({ "commits": [postpaid, prepaid] })).await;
    desk.n("2024-01-01", 500).await;
    desk.clock("2024-02-02").await;
    assert_eq!(of_type(&desk, "USAGE").await[0]["total"], json!(10_000));
    assert_eq!(
        scheduled(&desk).await,
        [
            "2024-01-01..2024-01-01 FINALIZED issued 2024-01-01 40000",
            "2024-02-01..2024-02-01 FINALIZED issued 2024-02-02 30000",
        ]
    );
}

#[tokio::test]
async fn a_promise_that_is_kept_leaves_no_invoice() {
    let (desk, fixed) = desk("2024-01-01").await;
    let kept = access(&[("2024-01-01", "2024-02-01", 40_000)]);
    let commit = commit("POSTPAID", &fixed, kept, payments(&[("2024-02-01", 40_000)]));
    desk.contract("2024-01-01", json!({ "commits": [commit] })).await;
    desk.n("2024-01-01", 399).await;
    assert_eq!(scheduled(&desk).await, ["2024-02-01..2024-02-01 DRAFT issued 2024-02-02 100"]);
    desk.n("2024-01-01", 2).await;
    assert_eq!(scheduled(&desk).await, Vec::<String>::new());
    desk.clock("2024-02-02").await;
    assert_eq!(scheduled(&desk).await, Vec::<String>::new());
    assert_eq!(of_type(&desk, "USAGE").await[0]["total"], json!(40_100), "what is over is ordinary overage");
}
