//! Worked invoices of the invoicing reference, and what else must hold of invoices.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::desk::{Desk, charge, statements, t, text, tiers};
use crate::support::lines;

/// A product at a price, and a monthly contract, both from `start`; the clock stands at `now`.
async fn simple(now: &str, start: &str, price: &str) -> (Desk, String) {
    let desk = Desk::at(now).await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, start, price).await;
    desk.contract(start, json!({})).await;
    (desk, product)
}

/// One page of the customer's invoices as the query asks.
async fn page(desk: &Desk, query: &str) -> Value {
    let answer = desk.api.get(&format!("/v1/customers/{}/invoices?{query}", desk.customer)).await;
    assert_eq!(answer.status.as_u16(), 200, "{query}: {}", answer.body);
    answer.body
}

async fn listed(desk: &Desk, query: &str) -> Vec<Value> {
    page(desk, query).await["data"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn invoicing_w1_pay_as_you_go_with_a_pricing_key() {
    let desk = Desk::at("2024-09-20").await;
    let tokens = desk.product("Tokens", "SUM", json!({ "pricing_group_key": ["type"] })).await;
    for (kind, price) in [("input", "10"), ("output", "30")] {
        desk.flat_with(&tokens, "2024-09-01", price, json!({ "pricing_group_values": { "type": kind } }))
            .await;
    }
    for (kind, n) in [("input", 1000), ("output", 200)] {
        desk.event("2024-09-10", json!({ "type": kind, "n": n })).await;
    }
    let body = json!({ "name": "unused", "aggregation_type": "COUNT", "event_type_filter": { "in_values": ["store"] } });
    let unused = desk.api.post("/v1/billable-metrics/create", body).await.id();
    let storage = desk.product_on("Storage", &unused, json!({})).await;
    desk.flat(&storage, "2024-09-01", "5").await;
    desk.contract("2024-09-01", json!({})).await;
    let invoice = desk.close("2024-09-01", "2024-10-02").await;
    assert_eq!(
        text(&invoice),
        [
            "Tokens {type: input} 09-01..10-01 1000 × 10 = 10000",
            "Tokens {type: output} 09-01..10-01 200 × 30 = 6000",
            "Storage 09-01..10-01 0 × 5 = 0",
            "total 16000",
        ]
    );
    for (field, expected) in [
        ("type", json!("USAGE")),
        ("issued_at", json!("2024-10-02T00:00:00+00:00")),
        ("start_timestamp", json!("2024-09-01T00:00:00+00:00")),
        ("end_timestamp", json!("2024-10-01T00:00:00+00:00")),
        ("external_invoice", Value::Null),
        ("billable_status", json!("billable")),
        ("credit_type", json!({ "id": "2714e483-4ff1-48e4-9e25-ac732e8f24f2", "name": "USD (cents)" })),
    ] {
        assert_eq!(invoice.get(field), Some(&expected), "{field}");
    }
    assert_eq!((invoice.get("subtotal"), invoice.get("created_at")), (None, None));
    let line = &invoice["line_items"][0];
    assert_eq!((&line["type"], &line["product_type"]), (&json!("usage"), &json!("UsageProductListItem")));
    assert_eq!((line.get("presentation_group_values"), line.get("id")), (None, None));

    let skipping = listed(&desk, "skip_zero_qty_line_items=true&status=FINALIZED").await.remove(0);
    assert_eq!((lines(&skipping).len(), &skipping["total"]), (2, &json!(16000)), "the storage line vanishes");
    let by_id =
        format!("/v1/customers/{}/invoices/{}", desk.customer, invoice["id"].as_str().expect("an id"));
    let by_id = desk.api.get(&format!("{by_id}?skip_zero_qty_line_items=true")).await.data();
    assert_eq!(by_id, skipping);
}

#[tokio::test]
async fn invoicing_w3_tiers() {
    let desk = Desk::at("2026-03-20").await;
    let product = desk.product("Uses", "COUNT", json!({})).await;
    desk.rate(&product, "2026-03-01", tiers(&[("5", "0"), ("5", "100"), ("", "150")])).await;
    desk.contract("2026-03-01", json!({})).await;
    for (count, total) in (1..=12).zip([0, 0, 0, 0, 0, 100, 200, 300, 400, 500, 650, 800]) {
        desk.event("2026-03-05", json!({})).await;
        assert_eq!(desk.total("2026-03-01").await, total.to_string(), "after {count}");
    }
    assert_eq!(
        text(&desk.close("2026-03-01", "2026-04-02").await),
        [
            "Uses 03-01..04-01 [1] 5 × 0 = 0",
            "Uses 03-01..04-01 [2] 5 × 100 = 500",
            "Uses 03-01..04-01 [3] 2 × 150 = 300",
            "total 800",
        ]
    );
}

#[tokio::test]
async fn invoicing_w3_tiers_by_project() {
    let desk = Desk::at("2026-03-20").await;
    let product = desk.product("Uses", "COUNT", json!({ "presentation_group_key": ["project_id"] })).await;
    desk.rate(&product, "2026-03-01", tiers(&[("5", "0"), ("5", "100"), ("", "150")])).await;
    desk.contract("2026-03-01", json!({})).await;
    for project in ["a", "b", "a", "b", "a", "b", "a", "b", "a", "b", "a", "b", "a"] {
        desk.event("2026-03-05", json!({ "project_id": project })).await;
    }
    assert_eq!(
        text(&desk.close("2026-03-01", "2026-04-02").await),
        [
            "Uses {project_id: a} 03-01..04-01 [1] 5 × 0 = 0",
            "Uses {project_id: a} 03-01..04-01 [2] 2 × 100 = 200",
            "Uses {project_id: b} 03-01..04-01 [1] 5 × 0 = 0",
            "Uses {project_id: b} 03-01..04-01 [2] 1 × 100 = 100",
            "total 300",
        ]
    );
}

#[tokio::test]
async fn invoicing_w4_rate_change_mid_period() {
    let (desk, product) = simple("2026-03-20", "2026-03-01", "300").await;
    desk.flat(&product, "2026-03-17", "400").await;
    desk.n("2026-03-16 23:59:59.999999", 40).await;
    desk.n("2026-03-17", 20).await;
    assert_eq!(
        text(&desk.close("2026-03-01", "2026-04-02").await),
        ["Units 03-01..03-17 40 × 300 = 12000", "Units 03-17..04-01 20 × 400 = 8000", "total 20000"]
    );
}

#[tokio::test]
async fn invoicing_w13_and_w23_falling_latest_without_credits() {
    let cases = [
        ("200", "250", 30, 22, ["30 × 200 = 6000", "-8 × 250 = -2000"], "4000"),
        ("300", "400", 40, 30, ["40 × 300 = 12000", "-10 × 400 = -4000"], "8000"),
        ("300", "400", 7, 9, ["7 × 300 = 2100", "2 × 400 = 800"], "2900"),
        ("300", "400", 40, 120, ["40 × 300 = 12000", "80 × 400 = 32000"], "44000"),
        ("200", "250", 4, 0, ["4 × 200 = 800", "-4 × 250 = -1000"], "-200"),
    ];
    for (before, after, first, second, expected, total) in cases {
        let desk = Desk::at("2026-03-20").await;
        let product = desk.product("Gauge", "LATEST", json!({})).await;
        desk.flat(&product, "2026-03-01", before).await;
        desk.flat(&product, "2026-03-17", after).await;
        desk.contract("2026-03-01", json!({})).await;
        desk.n("2026-03-10", first).await;
        desk.n("2026-03-18", second).await;
        let [one, other] = expected;
        assert_eq!(
            text(&desk.close("2026-03-01", "2026-04-02").await),
            [
                format!("Gauge 03-01..03-17 {one}"),
                format!("Gauge 03-17..04-01 {other}"),
                format!("total {total}"),
            ]
        );
    }
}

#[tokio::test]
async fn invoicing_w33_two_tiers() {
    let desk = Desk::at("2026-03-20").await;
    let product = desk.product("Calls", "SUM", json!({})).await;
    desk.rate(&product, "2026-03-01", tiers(&[("10000", "1"), ("", "0.5")])).await;
    desk.contract("2026-03-01", json!({})).await;
    desk.n("2026-03-05", 15_000).await;
    assert_eq!(
        desk.lines("2026-03-01").await,
        [
            "Calls 03-01..04-01 [1] 10000 × 1 = 10000",
            "Calls 03-01..04-01 [2] 5000 × 0.5 = 2500",
            "total 12500"
        ]
    );
}

#[tokio::test]
async fn a_period_takes_the_event_at_its_start_and_not_the_one_at_its_end() {
    let (desk, _) = simple("2026-03-02", "2026-03-01", "1").await;
    desk.n("2026-02-28 23:59:59.999999", 1).await;
    desk.n("2026-03-01", 10).await;
    desk.clock("2026-04-01 12:00").await;
    desk.n("2026-03-31 23:59:59.999999", 100).await;
    desk.n("2026-04-01", 1000).await;
    assert_eq!(
        (desk.total("2026-03-01").await, desk.total("2026-04-01").await),
        ("110".into(), "1000".into())
    );
    desk.close("2026-03-01", "2026-04-02").await;
    assert_eq!(
        (desk.total("2026-03-01").await, desk.total("2026-04-01").await),
        ("110".into(), "1000".into())
    );
}

#[tokio::test]
async fn an_event_counts_until_the_instant_of_finalization() {
    let (desk, _) = simple("2026-03-01", "2026-03-01", "1").await;
    desk.clock("2026-04-01 23:59:59").await;
    desk.n("2026-03-20", 1).await;
    assert_eq!(desk.invoice("2026-03-01").await["status"], "DRAFT");
    let march = desk.close("2026-03-01", "2026-04-02").await;
    assert_eq!(march["total"], 1);
    desk.n("2026-03-20", 10).await;
    assert_eq!(desk.invoice("2026-03-01").await, march);
}

#[tokio::test]
async fn products_stand_in_the_order_of_the_card_and_lines_by_time_and_values() {
    let desk = Desk::at("2026-03-20").await;
    let z = desk.product("Z", "SUM", json!({ "pricing_group_key": ["zone"] })).await;
    let a = desk.product("A", "SUM", json!({})).await;
    for zone in ["b", "a"] {
        let values = json!({ "pricing_group_values": { "zone": zone } });
        desk.flat_with(&z, "2026-03-01", "1", values.clone()).await;
        desk.flat_with(&z, "2026-03-10", "2", values).await;
    }
    desk.flat(&a, "2026-03-01", "5").await;
    desk.contract("2026-03-01", json!({})).await;
    for (at, zone) in [("2026-03-12", "b"), ("2026-03-12", "a"), ("2026-03-02", "b"), ("2026-03-02", "a")] {
        desk.event(at, json!({ "zone": zone, "n": 1 })).await;
    }
    assert_eq!(
        desk.lines("2026-03-01").await,
        [
            "Z {zone: a} 03-01..03-10 1 × 1 = 1",
            "Z {zone: b} 03-01..03-10 1 × 1 = 1",
            "Z {zone: a} 03-10..04-01 1 × 2 = 2",
            "Z {zone: b} 03-10..04-01 1 × 2 = 2",
            "A 03-01..04-01 4 × 5 = 20",
            "total 26",
        ]
    );
}

#[tokio::test]
async fn a_product_without_keys_always_has_its_line_and_one_with_keys_what_was_used() {
    let desk = Desk::at("2026-03-20").await;
    for (name, keys) in [
        ("Plain", json!({})),
        ("Priced", json!({ "pricing_group_key": ["zone"] })),
        ("Shown", json!({ "presentation_group_key": ["zone"] })),
    ] {
        let product = desk.product(name, "SUM", keys).await;
        let values =
            if name == "Priced" { json!({ "pricing_group_values": { "zone": "a" } }) } else { json!({}) };
        desk.flat_with(&product, "2026-03-01", "3", values.clone()).await;
        desk.flat_with(&product, "2026-03-11", "4", values).await;
    }
    desk.contract("2026-03-01", json!({})).await;
    let plain = ["Plain 03-01..03-11 0 × 3 = 0", "Plain 03-11..04-01 0 × 4 = 0"];
    assert_eq!(desk.lines("2026-03-01").await, [plain[0], plain[1], "total 0"]);
    desk.event("2026-03-12", json!({ "zone": "a", "n": 0 })).await;
    assert_eq!(
        desk.lines("2026-03-01").await,
        [
            plain[0],
            plain[1],
            "Priced {zone: a} 03-11..04-01 0 × 4 = 0",
            "Shown {zone: a} 03-11..04-01 0 × 4 = 0",
            "total 0",
        ]
    );
    assert_eq!(lines(&listed(&desk, "skip_zero_qty_line_items=true").await[0]), [""; 0]);
    let finalized = desk.close("2026-03-01", "2026-04-02").await;
    assert_eq!(finalized["total"], 0, "an invoice of nothing is finalized too");
}

#[tokio::test]
async fn a_scheduled_update_shows_in_the_draft_before_it_starts() {
    let desk = Desk::at("2026-03-10").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-03-01", "3").await;
    desk.contract("2026-03-01", json!({})).await;
    let changes = json!({ "name": "Thousands", "quantity_conversion": { "operation": "DIVIDE", "conversion_factor": 1000 } });
    desk.update(&product, "2026-03-20", changes).await;
    desk.n("2026-03-05", 5).await;
    let before = "Units 03-01..03-20 5 × 3 = 15";
    assert_eq!(desk.lines("2026-03-01").await, [before, "Thousands 03-20..04-01 0 × 3 = 0", "total 15"]);
    desk.clock("2026-03-25").await;
    desk.n("2026-03-24", 7000).await;
    assert_eq!(
        text(&desk.close("2026-03-01", "2026-04-02").await),
        [before, "Thousands 03-20..04-01 7 × 3 = 21", "total 36"]
    );
    desk.clock("2026-04-02 12:00").await;
    assert_eq!(desk.lines("2026-04-01").await, ["Thousands 04-01..05-01 0 × 3 = 0", "total 0"]);
}

#[tokio::test]
async fn two_contracts_of_one_customer_both_bill() {
    let (desk, _) = simple("2026-03-10", "2026-03-01", "10").await;
    desk.contract("2026-03-05", json!({ "name": "second" })).await;
    desk.n("2026-03-02", 1).await;
    desk.n("2026-03-06", 10).await;
    let totals = async || {
        let invoices = desk.api.invoices(&desk.customer).await;
        let one = |invoice: &Value| {
            let start = invoice["start_timestamp"].as_str().expect("a start")[..10].to_owned();
            format!("{start} {} {}", invoice["status"].as_str().expect("a status"), invoice["total"])
        };
        invoices.iter().map(one).collect::<BTreeSet<String>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(totals().await, ["2026-03-01 DRAFT 110", "2026-03-05 DRAFT 100"]);
    desk.clock("2026-04-02").await;
    assert_eq!(
        totals().await,
        ["2026-03-01 FINALIZED 110", "2026-03-05 FINALIZED 100", "2026-04-01 DRAFT 0"]
    );
    assert_eq!(desk.api.invoices(&desk.customer).await.len(), 4, "each contract has an open draft");
}

#[tokio::test]
async fn an_alias_moves_drafts_of_both_customers_and_no_finalized_invoice() {
    let (desk, _) = simple("2026-02-20", "2026-02-01", "1").await;
    let other = desk.api.customer("other").await;
    desk.api.contract(&other, &desk.rates, &t("2026-02-01"), json!({})).await;
    desk.n("2026-02-10", 5).await;
    desk.clock("2026-03-03").await;
    desk.n("2026-03-02", 70).await;
    let before = desk.invoice("2026-02-01").await;
    let others_before = desk.api.invoice(&other, "2026-02-01").await;
    assert_eq!((&before["total"], &others_before["total"]), (&json!(5), &json!(0)));
    for (customer, aliases) in [(&desk.customer, json!([])), (&other, json!(["other", "acme"]))] {
        let path = format!("/v1/customers/{customer}/setIngestAliases");
        let answer = desk.api.post(&path, json!({ "ingest_aliases": aliases })).await;
        assert_eq!(answer.status.as_u16(), 200);
    }
    assert_eq!(desk.total("2026-03-01").await, "0");
    assert_eq!(desk.api.invoice(&other, "2026-03-01").await["total"], 70);
    assert_eq!(desk.invoice("2026-02-01").await, before);
    assert_eq!(desk.api.invoice(&other, "2026-02-01").await, others_before);
    desk.clock("2026-04-02").await;
    assert_eq!(desk.total("2026-03-01").await, "0");
    assert_eq!(desk.api.invoice(&other, "2026-03-01").await["total"], 70);
}

#[tokio::test]
async fn a_backdated_contract_has_all_its_invoices_finalized_in_the_order_of_their_dates() {
    let desk = Desk::at("2026-01-15").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-01-01", "10").await;
    desk.n("2026-01-10", 1).await;
    desk.clock("2026-02-15").await;
    desk.n("2026-02-10", 2).await;
    desk.clock("2026-03-15").await;
    desk.n("2026-03-10", 3).await;
    desk.clock("2026-04-15").await;
    desk.n("2026-04-10", 4).await;
    desk.contract("2026-01-01", json!({})).await;
    let drafts = desk.api.invoices(&desk.customer).await;
    assert_eq!(drafts.len(), 4);
    desk.api.work().await;
    let mut invoices = desk.api.invoices(&desk.customer).await;
    assert_eq!(
        statements(&invoices),
        [
            "2026-01-01..2026-02-01 FINALIZED issued 2026-02-02",
            "2026-02-01..2026-03-01 FINALIZED issued 2026-03-02",
            "2026-03-01..2026-04-01 FINALIZED issued 2026-04-02",
            "2026-04-01..2026-05-01 DRAFT issued 2026-05-02",
        ]
    );
    let totals: Vec<&Value> = invoices.iter().map(|invoice| &invoice["total"]).collect();
    assert_eq!(totals, [10, 20, 30, 40]);
    for invoice in &mut invoices {
        invoice["status"] = json!("DRAFT");
    }
    assert_eq!(invoices, drafts, "they are what the drafts were");
    desk.api.work().await;
    assert_eq!(desk.api.invoices(&desk.customer).await.len(), 4, "once");
}

#[tokio::test]
async fn two_backdated_contracts_mix_by_date() {
    let (desk, _) = simple("2026-03-20", "2026-01-01", "10").await;
    let weekly = json!({ "usage_statement_schedule": { "frequency": "WEEKLY", "day": "CONTRACT_START" } });
    desk.contract("2026-02-25", weekly).await;
    desk.api.work().await;
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await),
        [
            "2026-01-01..2026-02-01 FINALIZED issued 2026-02-02",
            "2026-02-01..2026-03-01 FINALIZED issued 2026-03-02",
            "2026-02-25..2026-03-04 FINALIZED issued 2026-03-05",
            "2026-03-04..2026-03-11 FINALIZED issued 2026-03-12",
            "2026-03-11..2026-03-18 FINALIZED issued 2026-03-19",
            "2026-03-18..2026-03-25 DRAFT issued 2026-03-26",
            "2026-03-01..2026-04-01 DRAFT issued 2026-04-02",
        ]
    );
}

#[tokio::test]
async fn the_list_filters_sorts_and_pages_over_drafts_and_finalized_ones() {
    let (desk, product) = simple("2026-04-20", "2026-01-01", "10").await;
    let weekly = json!({ "usage_statement_schedule": { "frequency": "WEEKLY", "day": "CONTRACT_START" } });
    let second = desk.contract("2026-03-01", weekly).await;
    let same_days = desk.contract("2026-01-01", json!({})).await;
    desk.n("2026-04-10", 3).await;
    desk.api.work().await;
    let all = listed(&desk, "").await;
    let ids = |invoices: &[Value]| -> Vec<String> {
        invoices.iter().map(|invoice| invoice["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(all.len(), 2 * 4 + 8);
    assert_eq!(ids(&all).iter().collect::<BTreeSet<_>>().len(), all.len(), "no duplicates");
    let issued: Vec<&str> =
        all.iter().map(|invoice| invoice["issued_at"].as_str().expect("a date")).collect();
    assert!(issued.is_sorted(), "{issued:?}");

    let mut backwards = all.clone();
    backwards.reverse();
    for (sort, expected) in [("date_asc", &all), ("DATE_DESC", &backwards)] {
        for limit in [1, 2, 3, 5, 16, 100] {
            let mut seen = Vec::new();
            let mut cursor = String::new();
            loop {
                let page = page(&desk, &format!("sort={sort}&limit={limit}&next_page={cursor}")).await;
                let data = page["data"].as_array().expect("a list");
                assert!(data.len() == limit || page["next_page"].is_null(), "only the last page is short");
                seen.extend(data.clone());
                match page["next_page"].as_str() {
                    Some(next) => next.clone_into(&mut cursor),
                    None => break,
                }
            }
            assert_eq!(&seen, expected, "{sort} by {limit}");
        }
    }

    let keep = |test: &dyn Fn(&Value) -> bool| -> Vec<String> {
        ids(&all.iter().filter(|invoice| test(invoice)).cloned().collect::<Vec<_>>())
    };
    let is = |field: &'static str, value: &'static str| move |invoice: &Value| invoice[field] == value;
    let usd = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";
    let in_march = |invoice: &Value| {
        let at = |field: &str| invoice[field].as_str().expect("an instant")[..10].to_owned();
        at("start_timestamp").as_str() >= "2026-03-01" && at("end_timestamp").as_str() <= "2026-04-01"
    };
    let dates = format!("starting_on={}&ending_before={}", t("2026-03-01"), t("2026-04-01"));
    let cases: Vec<(String, Vec<String>)> = vec![
        ("status=DRAFT".into(), keep(&is("status", "DRAFT"))),
        ("status=finalized".into(), keep(&is("status", "FINALIZED"))),
        ("status=VOID".into(), Vec::new()),
        ("type=USAGE".into(), ids(&all)),
        ("type=SCHEDULED".into(), Vec::new()),
        (format!("credit_type_id={usd}"), ids(&all)),
        (format!("contract_id={second}"), keep(&|invoice| invoice["contract_id"] == second.as_str())),
        (
            format!("contract_id={same_days}&status=DRAFT"),
            keep(&|invoice| invoice["contract_id"] == same_days.as_str() && invoice["status"] == "DRAFT"),
        ),
        (dates, keep(&in_march)),
    ];
    for (query, expected) in &cases {
        assert_eq!(&ids(&listed(&desk, query).await), expected, "{query}");
    }
    assert_eq!(cases[0].1.len(), 3, "one draft of each contract");
    assert_eq!(cases[8].1.len(), 2 + 4, "March of two contracts and four weeks");

    for query in ["status=PAID", "type=PLAN_ARREARS", "limit=0", "limit=101", "sort=upwards", "next_page=x"] {
        let answer = desk.api.get(&format!("/v1/customers/{}/invoices?{query}", desk.customer)).await;
        assert_eq!(answer.status.as_u16(), 400, "{query}");
    }
    let cursor = page(&desk, "limit=1").await["next_page"].as_str().expect("a cursor").to_owned();
    let elsewhere = format!("/v1/customers/{}/invoices?status=DRAFT&next_page={cursor}", desk.customer);
    desk.api.get(&elsewhere).await.refused(400, &["next_page"]);
    desk.flat(&product, "2026-04-01", "11").await;
    let april = listed(&desk, "status=DRAFT&sort=date_desc&limit=1").await;
    assert_eq!(april[0]["total"], 33);
}

#[tokio::test]
async fn a_page_goes_on_while_drafts_become_final() {
    let (desk, _) = simple("2026-01-01", "2026-01-01", "10").await;
    desk.clock("2026-04-01 12:00").await;
    let first = page(&desk, "limit=2").await;
    let cursor = first["next_page"].as_str().expect("a cursor").to_owned();
    desk.clock("2026-04-03").await;
    let rest = page(&desk, &format!("limit=100&next_page={cursor}")).await;
    let mut both = first["data"].as_array().expect("a list").clone();
    both.extend(rest["data"].as_array().expect("a list").clone());
    assert_eq!(
        statements(&both),
        [
            "2026-01-01..2026-02-01 FINALIZED issued 2026-02-02",
            "2026-02-01..2026-03-01 FINALIZED issued 2026-03-02",
            "2026-03-01..2026-04-01 FINALIZED issued 2026-04-02",
            "2026-04-01..2026-05-01 DRAFT issued 2026-05-02",
        ]
    );
}

#[tokio::test]
async fn an_invoice_is_its_customers_alone() {
    let (desk, _) = simple("2026-03-10", "2026-03-01", "10").await;
    let other = desk.api.customer("other").await;
    let id = desk.invoice("2026-03-01").await["id"].as_str().expect("an id").to_owned();
    for status in ["DRAFT", "FINALIZED"] {
        let path = |customer: &str| format!("/v1/customers/{customer}/invoices/{id}");
        assert_eq!(desk.api.get(&path(&desk.customer)).await.data()["status"], status);
        desk.api.get(&path(&other)).await.refused(404, &[]);
        desk.clock("2026-04-02").await;
    }
    assert_eq!(desk.api.invoices(&other).await, Vec::<Value>::new());
    let nobody = "/v1/customers/00000000-0000-4000-8000-000000000000/invoices";
    desk.api.get(nobody).await.refused(404, &[]);
}

#[tokio::test]
async fn archiving_a_customer_removes_its_drafts_and_voids_its_invoices() {
    let (desk, _) = simple("2026-02-20", "2026-02-01", "10").await;
    desk.n("2026-02-10", 4).await;
    let february = desk.close("2026-02-01", "2026-03-10").await;
    desk.api.post("/v1/customers/archive", json!({ "id": desk.customer })).await.data();
    desk.clock("2026-05-01").await;
    let mut left = desk.api.invoices(&desk.customer).await;
    assert_eq!(statements(&left), ["2026-02-01..2026-03-01 VOID issued 2026-03-02"]);
    left[0]["status"] = json!("FINALIZED");
    assert_eq!(left[0], february, "lines and total are kept");
}

#[tokio::test]
async fn without_a_rate_card_there_is_an_invoice_without_lines() {
    let desk = Desk::at("2026-03-10").await;
    let body =
        json!({ "customer_id": desk.customer, "starting_at": t("2026-03-01"), "net_payment_terms_days": 30 });
    desk.api.post("/v1/contracts/create", body).await.id();
    let invoice = desk.close("2026-03-01", "2026-04-02").await;
    assert_eq!(text(&invoice), ["total 0"]);
    assert_eq!(invoice["net_payment_terms_days"], 30);
}

/// The type, status, date and total of each invoice.
fn overview(invoices: &[Value]) -> Vec<String> {
    let one = |invoice: &Value| {
        let text = |field: &str| invoice[field].as_str().expect("text").to_owned();
        let (kind, status, end) = (text("type"), text("status"), text("end_timestamp"));
        format!("{kind} {status} {} {}", &end[..10], invoice["total"])
    };
    invoices.iter().map(one).collect()
}

/// The worked example of payment in instalments with charges in place of a commit's payments; with a commit it is among the
/// examples of commits.
#[tokio::test]
async fn invoicing_w8_charges_on_the_dates_of_instalments() {
    let desk = Desk::at("2024-10-01 09:00").await;
    let commit = desk.api.fixed_product("Annual Prepaid").await;
    let fee = desk.api.fixed_product("Fee").await;
    let mut platform_fee = charge(&fee, &[("2024-11-01", 50_000)]);
    platform_fee["name"] = json!("Platform fee");
    let more = json!({ "net_payment_terms_days": 30, "scheduled_charges": [
        charge(&commit, &[("2024-10-01", 400_000)]), charge(&commit, &[("2024-11-01", 600_000)]), platform_fee,
    ] });
    let contract = desk.contract("2024-10-01", more).await;
    desk.api.work().await;
    let scheduled = listed(&desk, "type=SCHEDULED").await;
    assert_eq!(
        overview(&scheduled),
        ["SCHEDULED FINALIZED 2024-10-01 400000", "SCHEDULED DRAFT 2024-11-01 650000"]
    );
    assert_eq!(text(&scheduled[0]), ["Annual Prepaid 1 × 400000 = 400000", "total 400000"]);
    let draft = &scheduled[1];
    assert_eq!(
        text(draft),
        ["Annual Prepaid 1 × 600000 = 600000", "Platform fee 1 × 50000 = 50000", "total 650000"]
    );
    let usd = json!({ "id": "2714e483-4ff1-48e4-9e25-ac732e8f24f2", "name": "USD (cents)" });
    let view = json!({ "customer_id": desk.customer, "contract_id": contract });
    let charges = desk.api.post("/v2/contracts/get", view.clone()).await.data()["scheduled_charges"].clone();
    let line = |charge: usize, product: &str, name: &str, amount: i64| {
        json!({
            "type": "scheduled", "name": name, "quantity": 1, "unit_price": amount, "total": amount,
            "credit_type": usd, "product_id": product, "product_type": "FixedProductListItem", "product_tags": [],
            "product_custom_fields": {}, "scheduled_charge_custom_fields": {}, "scheduled_charge_id": charges[charge]["id"],
        })
    };
    let expected = json!({
        "id": draft["id"], "customer_id": desk.customer, "contract_id": contract, "type": "SCHEDULED", "status": "DRAFT",
        "credit_type": usd, "start_timestamp": "2024-11-01T00:00:00+00:00",
        "end_timestamp": "2024-11-01T00:00:00+00:00", "issued_at": "2024-11-01T00:00:00+00:00", "total": 650_000,
        "line_items": [
            line(1, &commit, "Annual Prepaid", 600_000), line(2, &fee, "Platform fee", 50_000),
        ],
        "net_payment_terms_days": 30, "billable_status": "billable", "external_invoice": null, "custom_fields": {},
        "customer_custom_fields": {}, "contract_custom_fields": {},
    });
    assert_eq!(draft, &expected, "start, end and issue are one instant");

    let path = format!("/v1/customers/{}/invoices/{}", desk.customer, draft["id"].as_str().expect("an id"));
    assert_eq!(desk.api.get(&path).await.data(), expected);
    desk.clock("2024-10-31 23:59:59.999999").await;
    assert_eq!(desk.api.get(&path).await.data(), expected);
    desk.clock("2024-11-01").await;
    let mut finalized = expected;
    finalized["status"] = json!("FINALIZED");
    assert_eq!(desk.api.get(&path).await.data(), finalized, "without any grace, with the id of the draft");
    let charges = desk.api.post("/v2/contracts/get", view).await.data()["scheduled_charges"].clone();
    for charge in [1, 2] {
        assert_eq!(charges[charge]["schedule"]["schedule_items"][0]["invoice_id"], finalized["id"]);
    }
}

#[tokio::test]
async fn invoicing_w21_two_scheduled_drafts_and_a_contract_cut_short() {
    let desk = Desk::at("2024-11-01").await;
    let fee = desk.api.fixed_product("Platform fee").await;
    let items: Vec<(&str, i64)> =
        ["2024-11-01", "2025-02-01", "2025-05-01", "2025-08-01"].map(|date| (date, 100_000)).into();
    let contract = desk.contract("2024-11-01", json!({ "scheduled_charges": [charge(&fee, &items)] })).await;
    desk.clock("2025-03-10").await;
    let finalized = ["SCHEDULED FINALIZED 2024-11-01 100000", "SCHEDULED FINALIZED 2025-02-01 100000"];
    assert_eq!(
        overview(&listed(&desk, "type=SCHEDULED").await),
        [
            finalized[0],
            finalized[1],
            "SCHEDULED DRAFT 2025-05-01 100000",
            "SCHEDULED DRAFT 2025-08-01 100000"
        ]
    );
    desk.end(&contract, Some("2025-04-15")).await;
    assert_eq!(overview(&listed(&desk, "type=SCHEDULED").await), finalized);
    let drafts = async || statements(&listed(&desk, "status=DRAFT").await);
    assert_eq!(drafts().await, ["2025-03-01..2025-04-01 DRAFT issued 2025-04-02"]);
    desk.clock("2025-04-02").await;
    assert_eq!(drafts().await, ["2025-04-01..2025-04-15 DRAFT issued 2025-04-16"]);
    desk.clock("2025-04-16").await;
    assert_eq!(drafts().await, [""; 0]);
    assert_eq!(overview(&listed(&desk, "type=SCHEDULED").await), finalized);
}

#[tokio::test]
async fn invoicing_g1_and_g2_prices_and_grouping() {
    let desk = Desk::at("2026-01-01").await;
    let fee = desk.api.fixed_product("Fee").await;
    let euro = "EUR";
    let units = desk.api.get("/v1/credit-types/list").await.data();
    let unit = |name: &str| {
        let units = units.as_array().expect("units");
        units.iter().find(|unit| unit["name"] == name).expect("the unit")["id"].clone()
    };
    let priced = |unit_id: Option<Value>, at: &str, price: &str, quantity: &str| {
        let item = json!({
            "timestamp": t(at), "unit_price": crate::desk::number(price), "quantity": crate::desk::number(quantity),
        });
        json!({ "product_id": fee, "schedule": { "credit_type_id": unit_id, "schedule_items": [item] } })
    };
    let more = json!({ "scheduled_charges": [
        priced(None, "2026-02-01", "0.1", "3"),
        priced(Some(unit(euro)), "2026-02-01", "19.99", "12"),
        priced(Some(unit("USD (cents)")), "2026-02-01", "-250", "1.5"),
        priced(None, "2026-02-01 00:00:00.000001", "7", "0"),
        priced(Some(unit(euro)), "2026-02-01", "1", "0.01"),
    ] });
    desk.contract("2026-01-01", more).await;
    let drafts = |invoices: Vec<Value>| -> Vec<Vec<String>> {
        invoices.iter().filter(|invoice| invoice["type"] == "SCHEDULED").map(text).collect()
    };
    let mut seen = drafts(desk.api.invoices(&desk.customer).await);
    let last = seen.pop();
    seen.sort();
    assert_eq!(
        seen,
        [
            vec!["Fee 12 × 19.99 = 239.88", "Fee 0.01 × 1 = 0.01", "total 239.89"],
            vec!["Fee 3 × 0.1 = 0.3", "Fee 1.5 × -250 = -375", "total -374.7"],
        ],
        "one for each currency, with the charges in their order"
    );
    assert_eq!(last.expect("a third"), ["Fee 0 × 7 = 0", "total 0"], "another instant is another invoice");
    let euros = listed(&desk, &format!("credit_type_id={}", unit(euro).as_str().expect("an id"))).await;
    assert_eq!((euros.len(), &euros[0]["credit_type"]["name"]), (1, &json!(euro)));
    desk.clock("2026-02-02").await;
    let finalized = listed(&desk, "type=SCHEDULED&status=FINALIZED").await;
    assert_eq!(finalized.len(), 3);
    let skipping = listed(&desk, "type=SCHEDULED&skip_zero_qty_line_items=true").await;
    assert_eq!((lines(&skipping[2]), &skipping[2]["total"]), (vec![], &json!(0)));
}

#[tokio::test]
async fn scheduled_drafts_are_paged_and_filtered_like_all_invoices() {
    let desk = Desk::at("2026-03-10").await;
    let fee = desk.api.fixed_product("Fee").await;
    let monthly = |from| crate::desk::recurring(&fee, "MONTHLY", "EACH", 10, from, "2027-01-01");
    desk.contract(
        "2026-01-01",
        json!({ "scheduled_charges": [monthly("2026-01-01"), monthly("2026-01-31")] }),
    )
    .await;
    let other = json!({
        "scheduled_charges": [monthly("2026-02-01")], "scheduled_charges_on_usage_invoices": "ALL",
        "ending_before": t("2026-06-01"),
    });
    let riding = desk.contract("2026-02-01", other).await;
    desk.api.work().await;
    let all = listed(&desk, "limit=100").await;
    // two schedules of twelve months, three statements; and one invoice at the start of the second contract, its
    // statements, its charges that will ride on statements to come, and those of the months after its end
    assert_eq!(all.len(), 24 + 3 + 1 + 2 + 2 + 6);
    let issued: Vec<&str> =
        all.iter().map(|invoice| invoice["issued_at"].as_str().expect("a date")).collect();
    assert!(issued.is_sorted(), "{issued:?}");
    let mut backwards = all.clone();
    backwards.reverse();
    for (sort, expected) in [("date_asc", &all), ("date_desc", &backwards)] {
        for limit in [1, 7, 36] {
            let mut seen = Vec::new();
            let mut cursor = String::new();
            loop {
                let page = page(&desk, &format!("sort={sort}&limit={limit}&next_page={cursor}")).await;
                seen.extend(page["data"].as_array().expect("a list").clone());
                match page["next_page"].as_str() {
                    Some(next) => next.clone_into(&mut cursor),
                    None => break,
                }
            }
            assert_eq!(&seen, expected, "{sort} by {limit}");
        }
    }
    for invoice in &all {
        let id = invoice["id"].as_str().expect("an id");
        assert_eq!(
            &desk.api.get(&format!("/v1/customers/{}/invoices/{id}", desk.customer)).await.data(),
            invoice
        );
    }
    let count = async |query: &str| listed(&desk, &format!("{query}&limit=100")).await.len();
    assert_eq!((count("type=SCHEDULED").await, count("type=USAGE").await), (33, 5));
    assert_eq!(count("type=SCHEDULED&status=FINALIZED").await, 6);
    assert_eq!(count(&format!("type=SCHEDULED&contract_id={riding}")).await, 9);
    let from_to =
        |from: &str, to: &str| format!("type=SCHEDULED&starting_on={}&ending_before={}", t(from), t(to));
    let before = async |end: &str| count(&from_to("2026-04-30", end)).await;
    assert_eq!(
        (before("2026-04-30").await, before("2026-05-01").await, before("2026-05-01 00:00:00.000001").await),
        (0, 1, 3),
        "an instant is before its bound, and at its start"
    );
    desk.clock("2026-12-31").await;
    assert_eq!(count(&from_to("2026-04-30", "2026-05-01")).await, 1, "of stored ones too");
    assert_eq!(count("type=SCHEDULED&status=DRAFT").await, 0);
    assert_eq!(count("type=SCHEDULED").await, 31);
}

#[tokio::test]
async fn archiving_a_contract_cancels_what_is_to_come() {
    for void_invoices in [false, true] {
        let desk = Desk::at("2026-02-20").await;
        let product = desk.product("Units", "SUM", json!({})).await;
        desk.flat(&product, "2026-01-01", "10").await;
        desk.n("2026-02-10", 4).await;
        let fee = desk.api.fixed_product("Fee").await;
        let dates = [("2026-02-10", 1), ("2026-03-20", 2), ("2026-04-01", 3), ("2026-12-01", 4)];
        let more = json!({
            "scheduled_charges": [charge(&fee, &dates)], "scheduled_charges_on_usage_invoices": "ALL",
            "ending_before": t("2026-10-15"),
        });
        let contract = desk.contract("2026-02-01", more).await;
        desk.contract("2026-02-01", json!({ "name": "stays" })).await;
        desk.clock("2026-03-10").await;
        let body = |void_invoices: bool| {
            json!({
                "customer_id": desk.customer, "contract_id": contract, "void_invoices": void_invoices,
            })
        };
        let before = listed(&desk, &format!("contract_id={contract}")).await;
        assert_eq!(
            overview(&before),
            [
                "SCHEDULED FINALIZED 2026-02-10 1",
                "USAGE FINALIZED 2026-03-01 40",
                "SCHEDULED DRAFT 2026-03-20 2",
                "USAGE DRAFT 2026-04-01 3",
                "SCHEDULED DRAFT 2026-12-01 4",
            ]
        );
        assert_eq!(desk.api.post("/v1/contracts/archive", body(void_invoices)).await.id(), contract);
        let kept = if void_invoices { "VOID" } else { "FINALIZED" };
        let expected = [
            format!("SCHEDULED {kept} 2026-02-10 1"),
            format!("USAGE {kept} 2026-03-01 40"),
            "SCHEDULED VOID 2026-03-20 2".to_owned(),
            "SCHEDULED VOID 2026-12-01 4".to_owned(),
        ];
        let after = listed(&desk, &format!("contract_id={contract}")).await;
        assert_eq!(overview(&after), expected, "the usage draft is gone with the charge on it");
        for (was, is) in [(0, 0), (1, 1), (2, 2), (4, 3)] {
            let mut voided = before[was].clone();
            voided["status"] = after[is]["status"].clone();
            assert_eq!(after[is], voided, "lines, totals and ids are kept");
        }
        desk.clock("2027-01-01").await;
        assert_eq!(overview(&listed(&desk, &format!("contract_id={contract}")).await), expected);
        desk.api.post("/v1/contracts/archive", body(true)).await.refused(400, &["contract_id", "archived"]);
        let others = listed(&desk, "status=FINALIZED&type=USAGE&limit=100").await;
        let others = others.iter().filter(|invoice| invoice["contract_id"] != contract.as_str()).count();
        assert_eq!(others, 10, "the other contract goes on");
    }
}

#[tokio::test]
async fn archiving_a_customer_voids_what_is_to_come_too() {
    let desk = Desk::at("2026-02-20").await;
    let fee = desk.api.fixed_product("Fee").await;
    let dates = [("2026-02-10", 1), ("2026-12-01", 2)];
    desk.contract("2026-02-01", json!({ "scheduled_charges": [charge(&fee, &dates)] })).await;
    desk.clock("2026-03-10").await;
    desk.api.post("/v1/customers/archive", json!({ "id": desk.customer })).await.id();
    let expected = ["SCHEDULED VOID 2026-02-10 1", "USAGE VOID 2026-03-01 0", "SCHEDULED VOID 2026-12-01 2"];
    assert_eq!(overview(&desk.api.invoices(&desk.customer).await), expected);
    desk.clock("2027-01-10").await;
    assert_eq!(overview(&desk.api.invoices(&desk.customer).await), expected);
}
