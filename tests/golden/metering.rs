//! Examples of the metering reference, and what else must hold of quantities.

use serde_json::{Value, json};

use crate::desk::{Desk, adds_up, number, quantities, statements, t, text, tiers, usage};
use crate::support::Api;

/// A request to make a metric; answers its id.
async fn metric(api: &Api, body: Value) -> String {
    api.post("/v1/billable-metrics/create", body).await.id()
}

fn event(id: &str, customer: &str, at: &str, properties: Value) -> Value {
    json!({
        "transaction_id": id, "customer_id": customer, "event_type": "use", "timestamp": t(at),
        "properties": properties,
    })
}

async fn set_aliases(api: &Api, customer: &str, aliases: &[&str]) -> u16 {
    let path = format!("/v1/customers/{customer}/setIngestAliases");
    api.post(&path, json!({ "ingest_aliases": aliases })).await.status.as_u16()
}

#[tokio::test]
async fn metering_a_exact_sums() {
    let desk = Desk::at("2026-03-10").await;
    let sum = desk.metric("SUM", &[]).await;
    let all = desk.metric("COUNT", &[]).await;
    let with_n = metric(
        &desk.api,
        json!({
            "name": "with n", "aggregation_type": "COUNT", "event_type_filter": { "in_values": ["use"] },
            "property_filters": [{ "name": "n", "exists": true }],
        }),
    )
    .await;
    for value in [json!("0.1"), json!("0.2"), number("0.3"), json!("1e1"), json!("abc")] {
        desk.n("2026-03-09", value).await;
    }
    desk.event("2026-03-09", json!({})).await;
    for (metric, expected) in [(&sum, "10.6"), (&all, "6"), (&with_n, "5")] {
        assert_eq!(desk.usage(metric, "NONE", "2026-03-09", "2026-03-10").await, [expected]);
    }
}

#[tokio::test]
async fn metering_b_dedup_and_the_replay_gap() {
    let desk = Desk::at("2026-03-10 12:00").await;
    let other = desk.api.customer("other").await;
    let sum = desk.metric("SUM", &[]).await;
    let days = async |customer: &str| {
        usage(&desk.api, customer, &sum, "NONE", "2026-03-01", "2026-05-01").await.remove(0)
    };
    let send = async |event: Value| desk.api.post("/v1/ingest", json!([event])).await.status.as_u16();
    let first = event("n7_100", "acme", "2026-03-10 11:58", json!({ "n": 5 }));
    let ahead = event("ahead", "acme", "2026-03-11 12:00", json!({ "n": 70 }));
    assert_eq!((send(first.clone()).await, send(ahead.clone()).await), (200, 200));

    desk.clock("2026-03-12").await;
    assert_eq!(send(event("n7_100", "other", "2026-03-11", json!({ "n": 9 }))).await, 200);
    assert_eq!((days(&desk.customer).await, days(&other).await), ("75".to_owned(), "null".to_owned()));

    desk.clock("2026-04-13 11:59").await;
    assert_eq!(send(event("n7_100", "other", "2026-04-13", json!({ "n": 9 }))).await, 200);
    assert_eq!(days(&other).await, "null", "the id is held for 34 days");

    desk.clock("2026-04-13 12:01").await;
    assert_eq!(send(first).await, 400, "34 days and 3 minutes old");
    assert_eq!(send(ahead.clone()).await, 200, "33 days and 1 minute old");
    assert_eq!(days(&desk.customer).await, "75", "held until 34 days after its timestamp");
    assert_eq!(send(event("n7_100", "other", "2026-04-13", json!({ "n": 9 }))).await, 200);
    assert_eq!(days(&other).await, "9", "the id is free again");

    desk.clock("2026-04-14 12:01").await;
    assert_eq!(send(ahead).await, 400, "no gap");
    assert_eq!(days(&desk.customer).await, "75");
}

#[tokio::test]
async fn metering_c_timestamp_bounds() {
    let desk = Desk::at("2026-05-20").await;
    let sum = desk.metric("SUM", &[]).await;
    let cases = [
        ("2026-04-16T00:00:00Z", 200, 1),
        ("2026-04-15T23:59:59Z", 400, 2),
        ("2026-05-21T00:00:00Z", 200, 4),
        ("2026-05-21T00:00:01Z", 400, 8),
        ("2026-05-20T02:00:00+05:30", 200, 16),
        ("2026-05-20", 400, 32),
        ("2026-05-20T00:00:00", 400, 64),
    ];
    for (timestamp, status, n) in cases {
        let mut event = event(timestamp, "acme", "2026-05-20", json!({ "n": n }));
        event["timestamp"] = json!(timestamp);
        assert_eq!(desk.api.post("/v1/ingest", json!([event])).await.status.as_u16(), status, "{timestamp}");
    }
    assert_eq!(desk.usage(&sum, "NONE", "2026-04-01", "2026-06-01").await, ["21"]);
    assert_eq!(desk.usage(&sum, "DAY", "2026-05-19", "2026-05-22").await, ["16", "null", "4"]);
}

#[tokio::test]
async fn metering_d_filters() {
    let desk = Desk::at("2026-03-10").await;
    let count = metric(
        &desk.api,
        json!({
            "name": "calls", "aggregation_type": "COUNT", "event_type_filter": { "in_values": ["use"] },
            "property_filters": [
                { "name": "region", "exists": true, "in_values": ["eu", "us"] },
                { "name": "status", "not_in_values": ["500"] },
                { "name": "internal", "exists": false },
            ],
        }),
    )
    .await;
    let mut matched = 0;
    for (properties, matches) in [
        (json!({ "region": "eu", "status": 200 }), true),
        (json!({ "region": "us" }), true),
        (json!({ "region": "eu", "internal": null }), true),
        (json!({ "region": "EU" }), false),
        (json!({ "region": "us " }), false),
        (json!({ "region": "us", "status": "500" }), false),
        (json!({ "region": "us", "internal": "false" }), false),
    ] {
        matched += i32::from(matches);
        desk.event("2026-03-09", properties.clone()).await;
        assert_eq!(
            desk.usage(&count, "NONE", "2026-03-09", "2026-03-10").await,
            [matched.to_string()],
            "after {properties}"
        );
    }
    let mut other_case = event("other case", "acme", "2026-03-09", json!({ "region": "eu" }));
    other_case["event_type"] = json!("Use");
    desk.api.events(json!([other_case])).await;
    assert_eq!(desk.usage(&count, "NONE", "2026-03-09", "2026-03-10").await, ["3"]);
}

#[tokio::test]
async fn metering_e_five_aggregations_of_one_data_set() {
    let desk = Desk::at("2026-03-05").await;
    let cases = [
        ("COUNT", ["2", "1", "null", "2"], "5", ["2", "1", "0", "2"]),
        ("SUM", ["13", "7", "null", "17"], "37", ["13", "7", "0", "17"]),
        ("MAX", ["9", "7", "null", "11"], "11", ["9", "0", "0", "2"]),
        ("UNIQUE", ["2", "1", "null", "2"], "3", ["2", "0", "0", "1"]),
        ("LATEST", ["9", "7", "null", "11"], "11", ["9", "-2", "0", "4"]),
    ];
    let mut metrics = Vec::new();
    for (aggregation, ..) in cases {
        let metric = desk.metric(aggregation, &[]).await;
        let product = desk.product_on(aggregation, &metric, json!({})).await;
        for (day, price) in
            [("2026-03-01", "1"), ("2026-03-02", "2"), ("2026-03-03", "1"), ("2026-03-04", "2")]
        {
            desk.flat(&product, day, price).await;
        }
        metrics.push(metric);
    }
    desk.contract("2026-03-01", json!({})).await;
    for (at, n, user) in [
        ("2026-03-01 08:00", 4, "A"),
        ("2026-03-01 09:00", 9, "B"),
        ("2026-03-02 08:00", 7, "A"),
        ("2026-03-04 08:00", 6, "C"),
        ("2026-03-04 09:00", 11, "A"),
    ] {
        desk.event(at, json!({ "n": n, "user": user })).await;
    }
    let invoice = desk.invoice("2026-03-01").await;
    for (metric, (aggregation, by_day, whole, increments)) in metrics.iter().zip(cases) {
        let usage = async |window| desk.usage(metric, window, "2026-03-01", "2026-03-05").await;
        assert_eq!(usage("DAY").await, by_day, "{aggregation}");
        assert_eq!(usage("NONE").await, [whole], "{aggregation}");
        let body = json!({
            "customer_id": desk.customer, "billable_metric_id": metric, "window_size": "DAY",
            "starting_on": t("2026-03-01"), "ending_before": t("2026-03-05"),
        });
        let page = desk.api.post("/v1/usage/groups", body).await.body;
        let values: Vec<String> = rows(&page).iter().map(|row| row["value"].to_string()).collect();
        assert_eq!(values, by_day, "{aggregation}");
        assert_eq!(quantities(&invoice, aggregation), increments, "{aggregation}");
    }
    assert_eq!(invoice["total"], 8 + 61 + 13 + 4 + 13);
    desk.close("2026-03-01", "2026-04-02").await;
}

#[tokio::test]
async fn metering_f_latest_across_a_rate_change() {
    let desk = Desk::at("2026-03-01").await;
    let metric = desk.metric("LATEST", &[]).await;
    let product = desk.product_on("Seats", &metric, json!({})).await;
    desk.flat(&product, "2026-03-01", "200").await;
    desk.flat(&product, "2026-03-03", "500").await;
    desk.contract("2026-03-01", json!({})).await;
    desk.clock("2026-03-04").await;
    desk.n("2026-03-01 10:00", 12).await;
    desk.n("2026-03-03 10:00", 15).await;
    desk.n("2026-03-02 10:00", 20).await;
    assert_eq!(desk.usage(&metric, "DAY", "2026-03-01", "2026-03-04").await, ["12", "20", "15"]);
    assert_eq!(desk.usage(&metric, "NONE", "2026-03-01", "2026-03-04").await, ["15"]);
    assert_eq!(
        desk.lines("2026-03-01").await,
        ["Seats 03-01..03-03 20 × 200 = 4000", "Seats 03-03..04-01 -5 × 500 = -2500", "total 1500",]
    );
    desk.close("2026-03-01", "2026-04-02").await;
    assert_eq!(desk.lines("2026-04-01").await, ["Seats 04-01..05-01 0 × 500 = 0", "total 0"]);
}

#[tokio::test]
async fn metering_g_group_sums() {
    let desk = Desk::at("2026-03-10").await;
    let metric = desk.metric("MAX", &["region"]).await;
    let by_region = desk.product_on("By region", &metric, json!({ "pricing_group_key": ["region"] })).await;
    let whole = desk.product_on("Whole", &metric, json!({})).await;
    for (region, price) in [("us", "100"), ("eu", "200")] {
        let values = json!({ "pricing_group_values": { "region": region } });
        desk.flat_with(&by_region, "2026-03-01", price, values).await;
    }
    desk.flat(&whole, "2026-03-01", "100").await;
    desk.contract("2026-03-01", json!({})).await;
    for (region, n) in [("us", 10), ("us", 14), ("eu", 9)] {
        desk.event("2026-03-05", json!({ "region": region, "n": n })).await;
    }
    let body = json!({
        "customer_ids": [desk.customer], "window_size": "NONE", "starting_on": t("2026-03-01"),
        "ending_before": t("2026-03-10"),
        "billable_metrics": [{ "id": metric, "group_by": { "key": "region" } }],
    });
    let row = desk.api.post("/v1/usage", body).await.data()[0].clone();
    assert_eq!((&row["value"], &row["groups"]), (&json!(14), &json!({ "eu": 9, "us": 14 })));
    let mut body = json!({
        "customer_id": desk.customer, "billable_metric_id": metric, "window_size": "NONE", "current_period": true,
    });
    let values = async |body: &Value| -> Vec<Value> {
        let page = desk.api.post("/v1/usage/groups", body.clone()).await.body;
        rows(&page).iter().map(|row| row["value"].clone()).collect()
    };
    assert_eq!(values(&body).await, [14]);
    body["group_key"] = json!(["region"]);
    assert_eq!(values(&body).await, [9, 14], "eu, us");
    assert_eq!(
        desk.lines("2026-03-01").await,
        [
            "By region {region: eu} 03-01..04-01 9 × 200 = 1800",
            "By region {region: us} 03-01..04-01 14 × 100 = 1400",
            "Whole 03-01..04-01 14 × 100 = 1400",
            "total 4600",
        ]
    );
}

#[tokio::test]
async fn metering_k_late_alias() {
    let desk = Desk::at("2025-12-01").await;
    let y = desk.api.customer("y").await;
    let x = desk.customer.clone();
    let metric = desk.metric("SUM", &[]).await;
    let product = desk.product_on("Units", &metric, json!({})).await;
    desk.flat(&product, "2025-12-01", "10").await;
    desk.contract("2025-12-01", json!({})).await;
    desk.api.contract(&y, &desk.rates, &t("2025-12-01"), json!({})).await;
    desk.clock("2025-12-20").await;
    desk.n("2025-12-19", 3).await;
    desk.api.event("acct-9", &t("2025-12-19"), json!({ "n": 100 })).await;
    let december = desk.close("2025-12-01", "2026-01-02").await;
    assert_eq!(text(&december), ["Units 12-01..01-01 3 × 10 = 30", "total 30"]);

    desk.api.event("acct-9", &t("2026-01-02"), json!({ "n": 5 })).await;
    let january = async |customer: &str| {
        usage(&desk.api, customer, &metric, "NONE", "2026-01-01", "2026-02-01").await.remove(0)
    };
    assert_eq!(january(&x).await, "null");
    desk.clock("2026-01-05").await;
    assert_eq!(set_aliases(&desk.api, &x, &["acme", "acct-9"]).await, 200);
    assert_eq!(january(&x).await, "5");
    assert_eq!(desk.total("2026-01-01").await, "50");

    desk.clock("2026-01-20").await;
    assert_eq!(set_aliases(&desk.api, &y, &["acct-9"]).await, 409, "X holds it");
    assert_eq!(set_aliases(&desk.api, &x, &[]).await, 200);
    assert_eq!(january(&x).await, "null");
    assert_eq!(set_aliases(&desk.api, &y, &["acct-9"]).await, 200);
    desk.clock("2026-01-21").await;
    desk.api.event("acct-9", &t("2026-01-21"), json!({ "n": 4 })).await;
    assert_eq!((january(&x).await, january(&y).await), ("null".to_owned(), "9".to_owned()));
    desk.api.events(json!([event("sample", "acct-9", "2026-01-21", json!({}))])).await;
    let found = desk.api.post("/v1/events/search", json!({ "transactionIds": ["sample"] })).await.body;
    assert_eq!(found[0]["matched_customer"], json!({ "id": y, "name": "y" }));
    assert_eq!(desk.lines("2026-01-01").await, ["Units 01-01..02-01 0 × 10 = 0", "total 0"]);
    assert_eq!(desk.api.invoice(&y, "2026-01-01").await["total"], 90);
    assert_eq!(desk.invoice("2025-12-01").await, december, "a finalized invoice does not follow an alias");
    assert_eq!(desk.api.invoice(&y, "2025-12-01").await["total"], 0, "nor does the new owner's");
}

#[tokio::test]
async fn metering_l_usage_filter_schedule() {
    let desk = Desk::at("2026-01-01").await;
    let metric = desk.metric("SUM", &["project"]).await;
    let product = desk.product_on("Units", &metric, json!({})).await;
    desk.flat(&product, "2026-01-01", "10").await;
    let filter = |values: &[&str]| json!({ "group_key": "project", "group_values": values });
    let a = desk.contract("2026-01-01", json!({ "usage_filter": filter(&["p1"]) })).await;
    let b = desk.contract("2026-01-01", json!({ "usage_filter": filter(&["p2", "p3"]) })).await;
    for (contract, values) in [(&a, &["p1", "p2"][..]), (&b, &["p3"])] {
        let mut body = filter(values);
        body["customer_id"] = json!(desk.customer);
        body["contract_id"] = json!(contract);
        body["starting_at"] = json!(t("2026-01-16"));
        let answer = desk.api.post("/v1/contracts/setUsageFilter", body).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &Value::Null));
    }
    desk.clock("2026-01-25").await;
    for (at, project, n) in [
        ("2026-01-08", "p1", 3),
        ("2026-01-10", "p2", 5),
        ("2026-01-20", "p2", 7),
        ("2026-01-21", "p3", 2),
        ("2026-01-22", "p4", 9),
    ] {
        desk.event(at, json!({ "project": project, "n": n })).await;
    }
    let january = async |contract: &str| {
        let invoices = desk.api.invoices(&desk.customer).await;
        let mut own = invoices.into_iter().filter(|invoice| {
            invoice["contract_id"] == contract && invoice["start_timestamp"] == "2026-01-01T00:00:00+00:00"
        });
        own.next().expect("an invoice of January")
    };
    for (now, status) in [("2026-01-26", "DRAFT"), ("2026-02-02", "FINALIZED")] {
        desk.clock(now).await;
        for (contract, line, total) in [
            (&a, "Units 01-01..02-01 10 × 10 = 100", "total 100"),
            (&b, "Units 01-01..02-01 7 × 10 = 70", "total 70"),
        ] {
            let invoice = january(contract).await;
            assert_eq!(invoice["status"], status);
            assert_eq!(text(&invoice), [line, total], "9 units of p4 are billed nowhere");
        }
        assert_eq!(desk.usage(&metric, "NONE", "2026-01-01", "2026-02-01").await, ["26"]);
    }
}

#[tokio::test]
async fn metering_m_grace() {
    let desk = Desk::at("2026-01-01").await;
    let metric = desk.metric("SUM", &[]).await;
    let product = desk.product_on("Units", &metric, json!({})).await;
    desk.flat(&product, "2026-01-01", "10").await;
    desk.contract("2026-01-01", json!({})).await;
    desk.clock("2026-02-01 20:00").await;
    desk.n("2026-01-31 23:59", 1).await;
    desk.n("2026-02-01 00:00", 100).await;
    assert_eq!(
        statements(&desk.api.invoices(&desk.customer).await),
        ["2026-01-01..2026-02-01 DRAFT issued 2026-02-02", "2026-02-01..2026-03-01 DRAFT issued 2026-03-02",]
    );
    let january = desk.close("2026-01-01", "2026-02-02").await;
    assert_eq!(text(&january), ["Units 01-01..02-01 1 × 10 = 10", "total 10"]);

    desk.clock("2026-02-02 01:00").await;
    desk.n("2026-01-31 23:59", 7).await;
    assert_eq!(desk.invoice("2026-01-01").await, january);
    assert_eq!(desk.total("2026-02-01").await, "1000", "it does not roll into the next invoice");
    assert_eq!(desk.usage(&metric, "DAY", "2026-01-31", "2026-02-02").await, ["8", "100"]);
    desk.clock("2026-03-02").await;
    assert_eq!(desk.invoice("2026-01-01").await, january);
    assert_eq!(desk.total("2026-02-01").await, "1000");
}

#[tokio::test]
async fn metering_n_paging() {
    let desk = Desk::at("2026-03-10").await;
    let metric = desk.metric("COUNT", &["zone"]).await;
    let event = |day: i32, zone: i32| {
        let at = format!("2026-03-0{day}");
        event(&format!("{day} {zone}"), "acme", &at, json!({ "zone": format!("z{zone:02}") }))
    };
    for day in 1..=3 {
        desk.api.events((0..50).map(|zone| event(day, zone)).collect()).await;
    }
    let body = json!({
        "customer_id": desk.customer, "billable_metric_id": metric, "window_size": "DAY",
        "starting_on": t("2026-03-01"), "ending_before": t("2026-03-04"), "group_key": ["zone"],
    });
    let first = desk.api.post("/v1/usage/groups?limit=100", body.clone()).await.body;
    let cursor = first["next_page"].as_str().expect("a second page");
    let second = desk.api.post(&format!("/v1/usage/groups?limit=100&next_page={cursor}"), body).await.body;
    assert_eq!((rows(&first).len(), rows(&second).len()), (100, 50));
    assert_eq!(second["next_page"], Value::Null);
    let shown = [rows(&first), rows(&second)].concat();
    let expected: Vec<(String, String)> = (1..=3)
        .flat_map(|day| (0..50).map(move |zone| (t(&format!("2026-03-0{day}")), format!("z{zone:02}"))))
        .collect();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let groups: Vec<(String, String)> =
        shown.iter().map(|row| (text(&row["starting_on"]), text(&row["group"]["zone"]))).collect();
    assert_eq!(groups, expected, "by window, then by group value");
}

/// The rows of a page.
fn rows(page: &Value) -> Vec<Value> {
    page["data"].as_array().expect("rows").clone()
}

#[tokio::test]
async fn metering_q_latest_documented_numbers() {
    let desk = Desk::at("2026-03-05").await;
    let metric = desk.metric("LATEST", &[]).await;
    let product = desk.product_on("Gauge", &metric, json!({})).await;
    for (day, price) in
        [("2026-03-01", "300"), ("2026-03-02", "400"), ("2026-03-03", "300"), ("2026-03-04", "400")]
    {
        desk.flat(&product, day, price).await;
    }
    desk.contract("2026-03-01", json!({})).await;
    desk.n("2026-03-01 08:00", 7).await;
    desk.n("2026-03-02 08:00", 9).await;
    desk.n("2026-03-03 08:00", 10).await;
    desk.n("2026-03-04 08:00", 5).await;
    let invoice = desk.invoice("2026-03-01").await;
    assert_eq!(quantities(&invoice, "Gauge"), ["7", "2", "1", "-5"]);
    assert_eq!(invoice["total"], 2100 + 800 + 300 - 2000);
    assert_eq!(desk.usage(&metric, "DAY", "2026-03-01", "2026-03-05").await, ["7", "9", "10", "5"]);
    assert_eq!(desk.usage(&metric, "NONE", "2026-03-01", "2026-03-05").await, ["5"]);

    let other = desk.api.customer("other").await;
    for (at, n) in [("2026-03-01 08:00", 7), ("2026-03-02 08:00", 8), ("2026-03-03 08:00", 9)] {
        desk.api.event("other", &t(at), json!({ "n": n })).await;
    }
    let of_other = async |window| usage(&desk.api, &other, &metric, window, "2026-03-01", "2026-03-04").await;
    assert_eq!(of_other("DAY").await, ["7", "8", "9"]);
    assert_eq!(of_other("NONE").await, ["9"]);
}

#[tokio::test]
async fn metering_r_invoicing_w30_preview() {
    let desk = Desk::at("2026-03-10").await;
    let metric = desk.metric("COUNT", &[]).await;
    let product = desk.product_on("Calls", &metric, json!({})).await;
    // Free calls as a first tier that costs nothing.
    desk.rate(&product, "2026-03-01", tiers(&[("100", "0"), ("", "7")])).await;
    desk.contract("2026-03-01", json!({})).await;
    desk.api
        .events((0..99).map(|id| event(&id.to_string(), "acme", "2026-03-09", json!({}))).collect())
        .await;
    let draft = desk.invoice("2026-03-01").await;
    assert_eq!(text(&draft), ["Calls 03-01..04-01 [1] 99 × 0 = 0", "total 0"]);
    let path = format!("/v1/customers/{}/previewEvents", desk.customer);
    let preview = async |mode: &str| {
        let events: Vec<Value> = (0..5).map(|_| json!({ "event_type": "use" })).collect();
        let invoices = desk.api.post(&path, json!({ "events": events, "mode": mode })).await.data();
        assert_eq!((invoices.as_array().map(Vec::len), &invoices[0]["id"]), (Some(1), &draft["id"]));
        adds_up(&invoices[0]);
        text(&invoices[0])
    };
    assert_eq!(
        preview("merge").await,
        ["Calls 03-01..04-01 [1] 100 × 0 = 0", "Calls 03-01..04-01 [2] 4 × 7 = 28", "total 28"],
        "one more free, 4 billable"
    );
    assert_eq!(preview("replace").await, ["Calls 03-01..04-01 [1] 5 × 0 = 0", "total 0"]);
    assert_eq!(desk.invoice("2026-03-01").await, draft, "nothing is kept");
    assert_eq!(desk.usage(&metric, "NONE", "2026-03-01", "2026-03-11").await, ["99"]);
}

#[tokio::test]
async fn one_number_as_text_and_as_number_is_one_group_and_one_quantity() {
    let desk = Desk::at("2026-03-10").await;
    let product = desk.product("Units", "SUM", json!({ "pricing_group_key": ["size"] })).await;
    desk.flat_with(&product, "2026-03-01", "1", json!({ "pricing_group_values": { "size": "2.5" } })).await;
    desk.contract("2026-03-01", json!({})).await;
    desk.event("2026-03-02", json!({ "n": "1.50", "size": "2.5" })).await;
    desk.event("2026-03-02", json!({ "n": number("1.50"), "size": number("2.50") })).await;
    desk.event("2026-03-02", json!({ "n": " 1.5 ", "size": number("25e-1") })).await;
    desk.event("2026-03-02", json!({ "n": "100", "size": "2.50" })).await;
    assert_eq!(desk.lines("2026-03-01").await, ["Units {size: 2.5} 03-01..04-01 4.5 × 1 = 4.5", "total 4.5"]);
}

#[tokio::test]
async fn negative_numbers_correct_a_sum_also_below_zero() {
    let desk = Desk::at("2026-03-10").await;
    let metric = desk.metric("SUM", &[]).await;
    let product = desk.product_on("Units", &metric, json!({})).await;
    desk.flat(&product, "2026-03-01", "7").await;
    desk.contract("2026-03-01", json!({})).await;
    desk.n("2026-03-02", "10.25").await;
    desk.n("2026-03-02", "-4.5").await;
    assert_eq!(desk.lines("2026-03-01").await, ["Units 03-01..04-01 5.75 × 7 = 40.25", "total 40.25"]);
    desk.n("2026-03-03", -6).await;
    assert_eq!(desk.lines("2026-03-01").await, ["Units 03-01..04-01 -0.25 × 7 = -1.75", "total -1.75"]);
    desk.n("2026-03-03", "0.25").await;
    assert_eq!(desk.lines("2026-03-01").await, ["Units 03-01..04-01 0 × 7 = 0", "total 0"]);
    assert_eq!(desk.usage(&metric, "DAY", "2026-03-01", "2026-03-04").await, ["null", "5.75", "-5.75"]);
}

#[tokio::test]
async fn max_and_latest_of_negative_readings_are_negative() {
    let desk = Desk::at("2026-03-10").await;
    for aggregation in ["MAX", "LATEST"] {
        let product = desk.product(aggregation, aggregation, json!({})).await;
        desk.flat(&product, "2026-03-01", "2").await;
    }
    desk.contract("2026-03-01", json!({})).await;
    desk.n("2026-03-02", -3).await;
    desk.n("2026-03-03", -5).await;
    assert_eq!(
        desk.lines("2026-03-01").await,
        ["MAX 03-01..04-01 -3 × 2 = -6", "LATEST 03-01..04-01 -5 × 2 = -10", "total -16"]
    );
}

#[tokio::test]
async fn of_two_readings_at_one_instant_the_later_arrival_is_the_latest() {
    let desk = Desk::at("2026-03-10").await;
    let metric = desk.metric("LATEST", &[]).await;
    let reading = |id: &str, n: Value| event(id, "acme", "2026-03-02 08:00", json!({ "n": n }));
    let latest = async || desk.usage(&metric, "NONE", "2026-03-02", "2026-03-03").await;
    desk.api.events(json!([reading("a", json!(1)), reading("b", json!(2))])).await;
    assert_eq!(latest().await, ["2"]);
    desk.api.events(json!([reading("c", json!(3))])).await;
    assert_eq!(latest().await, ["3"]);
    desk.api.events(json!([reading("d", json!("broken"))])).await;
    assert_eq!(latest().await, ["3"], "what is not a number is no reading");
    desk.n("2026-03-02 07:59:59.999999", 9).await;
    assert_eq!(latest().await, ["3"], "an earlier reading that comes late");
    desk.n("2026-03-02 08:00:00.000001", 8).await;
    assert_eq!(latest().await, ["8"]);
}

#[tokio::test]
async fn matching_events_without_a_number_are_null_for_max_and_latest_and_zero_for_sum() {
    let desk = Desk::at("2026-03-10").await;
    let mut shown = Vec::new();
    let mut metrics = Vec::new();
    for aggregation in ["SUM", "MAX", "LATEST"] {
        metrics.push(desk.metric(aggregation, &[]).await);
    }
    desk.n("2026-03-02", "many").await;
    for metric in &metrics {
        shown.extend(desk.usage(metric, "NONE", "2026-03-02", "2026-03-03").await);
    }
    assert_eq!(shown, ["0", "null", "null"]);
}

#[tokio::test]
async fn a_metric_counts_what_arrives_after_it_was_made_whatever_its_date() {
    let desk = Desk::at("2026-03-10").await;
    desk.n("2026-03-09", 1).await;
    let metric = desk.metric("SUM", &[]).await;
    let product = desk.product_on("Units", &metric, json!({})).await;
    desk.flat(&product, "2026-03-01", "1").await;
    desk.contract("2026-03-01", json!({})).await;
    assert_eq!(desk.total("2026-03-01").await, "0", "not retroactive");
    desk.n("2026-03-02", 20).await;
    desk.clock("2026-03-12").await;
    desk.n("2026-03-03", 300).await;
    assert_eq!(desk.total("2026-03-01").await, "320", "backdated events that arrive later count");
    assert_eq!(desk.usage(&metric, "NONE", "2026-03-01", "2026-03-12").await, ["320"]);
}

#[tokio::test]
async fn an_archived_metric_goes_on_for_its_products_and_for_them_alone() {
    let desk = Desk::at("2026-03-10").await;
    let used = desk.metric("SUM", &[]).await;
    let unused = desk.metric("SUM", &[]).await;
    let product = desk.product_on("Units", &used, json!({})).await;
    desk.flat(&product, "2026-03-01", "1").await;
    desk.contract("2026-03-01", json!({})).await;
    desk.n("2026-03-02", 1).await;
    for metric in [&used, &unused] {
        desk.api.post("/v1/billable-metrics/archive", json!({ "id": metric })).await.data();
    }
    desk.n("2026-03-03", 10).await;
    assert_eq!(desk.total("2026-03-01").await, "11");
    assert_eq!(desk.usage(&used, "NONE", "2026-03-01", "2026-03-10").await, ["11"]);
    assert_eq!(desk.usage(&unused, "NONE", "2026-03-01", "2026-03-10").await, ["1"]);
    let refused = json!({ "name": "late", "type": "USAGE", "billable_metric_id": used });
    desk.api
        .post("/v1/contract-pricing/products/create", refused)
        .await
        .refused(400, &["billable_metric_id"]);
    assert_eq!(text(&desk.close("2026-03-01", "2026-04-02").await)[1], "total 11");
}

#[tokio::test]
async fn huge_sums_are_metered_and_billed_with_every_digit() {
    let desk = Desk::at("2026-03-10").await;
    let metric = desk.metric("SUM", &[]).await;
    let product = desk.product_on("Units", &metric, json!({})).await;
    desk.flat(&product, "2026-03-01", "1000000000").await;
    desk.contract("2026-03-01", json!({})).await;
    desk.n("2026-03-02", "1234567890123456789012345").await;
    desk.n("2026-03-02", "1000000000000000000000000000000000000000.000000000000000000001").await;
    assert_eq!(
        desk.usage(&metric, "NONE", "2026-03-02", "2026-03-03").await,
        ["1000000000000001234567890123456789012345.000000000000000000001"]
    );
    let total = "1000000000000001234567890123456789012345000000000.000000000001";
    for (now, status) in [("2026-03-11", "DRAFT"), ("2026-04-02", "FINALIZED")] {
        desk.clock(now).await;
        let invoice = desk.api.invoice(&desk.customer, "2026-03-01").await;
        assert_eq!(
            (invoice["status"].as_str(), invoice["total"].to_string().as_str()),
            (Some(status), total)
        );
    }
}

#[tokio::test]
async fn what_a_binary_float_leaves_over_does_not_stop_an_invoice() {
    let desk = Desk::at("2026-03-10").await;
    let product = desk.product("Units", "SUM", json!({})).await;
    desk.flat(&product, "2026-03-01", "1").await;
    desk.contract("2026-03-01", json!({})).await;
    desk.n("2026-03-02", 10).await;
    desk.n("2026-03-02", "5.551115123125783e-17").await;
    desk.close("2026-03-01", "2026-04-02").await;
    assert_eq!(desk.total("2026-03-01").await, "10.00000000000000005551115123125783");
}

#[tokio::test]
async fn the_first_event_of_an_id_counts_in_a_request_and_among_requests_at_once() {
    let desk = Desk::at("2026-03-10").await;
    let metric = desk.metric("SUM", &[]).await;
    let sum = async || desk.usage(&metric, "NONE", "2026-03-09", "2026-03-10").await;
    let one = |id: &str, n: i32| event(id, "acme", "2026-03-09", json!({ "n": n }));
    desk.api.events(json!([one("a", 1), one("a", 2), one("b", 10)])).await;
    assert_eq!(sum().await, ["11"]);
    let replica = desk.api.replica();
    let request = json!([one("c", 100), one("d", 1000)]);
    tokio::join!(
        desk.api.events(request.clone()),
        replica.events(request.clone()),
        desk.api.events(request.clone()),
        replica.events(request.clone()),
    );
    assert_eq!(sum().await, ["1111"]);
}

#[tokio::test]
async fn a_bad_event_refuses_its_request_and_uses_up_no_id() {
    let desk = Desk::at("2026-03-10").await;
    let metric = desk.metric("SUM", &[]).await;
    let good = event("good", "acme", "2026-03-09", json!({ "n": 1 }));
    let mut bad = event("bad", "acme", "2026-03-09", json!({ "n": 10 }));
    bad["event_type"] = json!("");
    let answer = desk.api.post("/v1/ingest", json!([good, bad])).await;
    answer.refused(400, &["[1].event_type"]);
    assert_eq!(desk.usage(&metric, "NONE", "2026-03-09", "2026-03-10").await, ["null"]);
    bad["event_type"] = json!("use");
    desk.api.events(json!([good, bad])).await;
    assert_eq!(desk.usage(&metric, "NONE", "2026-03-09", "2026-03-10").await, ["11"]);
}

#[tokio::test]
async fn peaks_users_and_readings_start_again_with_each_period() {
    let desk = Desk::at("2026-01-15").await;
    for aggregation in ["MAX", "UNIQUE", "LATEST"] {
        let product = desk.product(aggregation, aggregation, json!({})).await;
        desk.flat(&product, "2026-01-01", "1").await;
    }
    desk.contract("2026-01-01", json!({})).await;
    desk.event("2026-01-10", json!({ "n": 9, "user": "a" })).await;
    desk.event("2026-01-11", json!({ "n": 8, "user": "b" })).await;
    desk.close("2026-01-01", "2026-02-03").await;
    desk.event("2026-02-02", json!({ "n": 5, "user": "a" })).await;
    assert_eq!(
        desk.lines("2026-01-01").await,
        [
            "MAX 01-01..02-01 9 × 1 = 9",
            "UNIQUE 01-01..02-01 2 × 1 = 2",
            "LATEST 01-01..02-01 8 × 1 = 8",
            "total 19"
        ]
    );
    assert_eq!(
        desk.lines("2026-02-01").await,
        [
            "MAX 02-01..03-01 5 × 1 = 5",
            "UNIQUE 02-01..03-01 1 × 1 = 1",
            "LATEST 02-01..03-01 5 × 1 = 5",
            "total 11"
        ]
    );
}

#[tokio::test]
async fn several_aliases_and_the_id_are_one_stream() {
    let desk = Desk::at("2026-03-10").await;
    for aggregation in ["COUNT", "MAX", "UNIQUE", "LATEST"] {
        let product = desk.product(aggregation, aggregation, json!({})).await;
        desk.flat(&product, "2026-03-01", "1").await;
    }
    desk.contract("2026-03-01", json!({})).await;
    assert_eq!(set_aliases(&desk.api, &desk.customer, &["acme", "acme-eu"]).await, 200);
    for (subject, at, n, user) in [
        ("acme", "2026-03-02", 4, "a"),
        ("acme-eu", "2026-03-03", 7, "a"),
        (desk.customer.as_str(), "2026-03-04", 2, "b"),
        ("ACME", "2026-03-05", 50, "c"),
    ] {
        desk.api.event(subject, &t(at), json!({ "n": n, "user": user })).await;
    }
    let invoice = desk.invoice("2026-03-01").await;
    let quantity = |name| quantities(&invoice, name).remove(0);
    assert_eq!(["COUNT", "MAX", "UNIQUE", "LATEST"].map(quantity), ["3", "7", "2", "2"]);
}

#[tokio::test]
async fn usage_needs_no_contract_and_lists_what_was_used() {
    let desk = Desk::at("2026-03-10").await;
    let metric = desk.metric("SUM", &["zone"]).await;
    desk.metric("MAX", &["zone"]).await;
    desk.api.customer("idle").await;
    desk.event("2026-03-08 23:59:59.999999", json!({ "n": 1, "zone": "b" })).await;
    desk.event("2026-03-09", json!({ "n": 2, "zone": "a" })).await;
    desk.event("2026-03-09 01:30", json!({ "n": 4, "zone": "b" })).await;
    let ask = async |body: Value| desk.api.post("/v1/usage", body).await.data();
    let days =
        json!({ "window_size": "DAY", "starting_on": t("2026-03-08"), "ending_before": t("2026-03-10") });
    assert_eq!(
        ask(days.clone()).await.as_array().map(Vec::len),
        Some(4),
        "two metrics, two days, no idle customer"
    );
    let mut grouped = days.clone();
    grouped["billable_metrics"] =
        json!([{ "id": metric, "group_by": { "key": "zone", "values": ["b", "c"] } }]);
    let rows = ask(grouped).await;
    assert_eq!((&rows[0]["value"], &rows[0]["groups"]), (&json!(1), &json!({ "b": 1, "c": null })));
    assert_eq!((&rows[1]["value"], &rows[1]["groups"]), (&json!(6), &json!({ "b": 4, "c": null })));
    let mut nobody = days;
    nobody["customer_ids"] = json!([]);
    assert_eq!(ask(nobody).await, json!([]));
    let hours = desk.usage(&metric, "HOUR", "2026-03-09", "2026-03-10").await;
    assert_eq!((hours.len(), &hours[..3]), (24, &["2".to_owned(), "4".to_owned(), "null".to_owned()][..]));
}

#[tokio::test]
async fn numbers_from_the_largest_to_the_smallest_keep_every_digit() {
    let desk = Desk::at("2026-03-10").await;
    let metric = desk.metric("SUM", &[]).await;
    for n in ["1e100", "-1e-100", "1e101", "1e-101"] {
        desk.n("2026-03-09", n).await;
    }
    let expected = format!("{}.{}", "9".repeat(100), "9".repeat(100));
    assert_eq!(desk.usage(&metric, "NONE", "2026-03-09", "2026-03-10").await, [expected]);
}

#[tokio::test]
async fn a_user_in_two_zones_is_one_user_and_one_in_each_zone() {
    let desk = Desk::at("2026-03-10").await;
    let metric = desk.metric("UNIQUE", &["zone"]).await;
    let whole = desk.product_on("Whole", &metric, json!({})).await;
    let zones = desk.product_on("Zones", &metric, json!({ "presentation_group_key": ["zone"] })).await;
    for product in [&whole, &zones] {
        desk.flat(product, "2026-03-01", "10").await;
        desk.flat(product, "2026-03-05", "20").await;
    }
    desk.contract("2026-03-01", json!({})).await;
    for (at, user, zone) in [("2026-03-02", "a", "x"), ("2026-03-06", "a", "y"), ("2026-03-06", "b", "x")] {
        desk.event(at, json!({ "user": user, "zone": zone })).await;
    }
    desk.event("2026-03-07", json!({ "user": "a", "zone": "x" })).await;
    assert_eq!(
        desk.lines("2026-03-01").await,
        [
            "Whole 03-01..03-05 1 × 10 = 10",
            "Whole 03-05..04-01 1 × 20 = 20",
            "Zones {zone: x} 03-01..03-05 1 × 10 = 10",
            "Zones {zone: x} 03-05..04-01 1 × 20 = 20",
            "Zones {zone: y} 03-05..04-01 1 × 20 = 20",
            "total 80",
        ]
    );
    assert_eq!(desk.usage(&metric, "DAY", "2026-03-06", "2026-03-08").await, ["2", "1"]);
}

#[tokio::test]
async fn odd_texts_are_group_values_like_any() {
    let desk = Desk::at("2026-03-10").await;
    let product = desk.product("Units", "SUM", json!({ "presentation_group_key": ["zone"] })).await;
    desk.flat(&product, "2026-03-01", "1").await;
    desk.contract("2026-03-01", json!({})).await;
    let odd = ["", " ", "\"quoted\" \\ {a,b}", "NULL", "ü\u{1F600}\n\t"];
    for zone in odd {
        desk.event("2026-03-02", json!({ "n": 1, "zone": zone })).await;
    }
    desk.event("2026-03-02", json!({ "n": 10, "zone": null })).await;
    desk.event("2026-03-02", json!({ "n": 1, "zone": true })).await;
    desk.event("2026-03-02", json!({ "n": 1, "zone": { "a": [1, "x"] } })).await;
    let invoice = desk.invoice("2026-03-01").await;
    let mut shown: Vec<&str> = invoice["line_items"]
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| line["presentation_group_values"]["zone"].as_str().expect("a value"))
        .collect();
    let mut expected: Vec<&str> = odd.into_iter().chain(["true", r#"{"a":[1,"x"]}"#]).collect();
    shown.sort_unstable();
    expected.sort_unstable();
    assert_eq!(shown, expected);
    assert_eq!(invoice["total"], 7);
}

#[tokio::test]
async fn no_text_of_an_event_is_a_server_fault() {
    let desk = Desk::at("2026-03-10").await;
    desk.metric("SUM", &["zone"]).await;
    let whole = event("t", "acme", "2026-03-02", json!({ "n": 1, "zone": "z" }));
    for (number, (field, value)) in [
        ("transaction_id", json!("a\0b")),
        ("customer_id", json!("a\0b")),
        ("event_type", json!("a\0b")),
        ("properties", json!({ "n": 1, "zone": "a\0b" })),
        ("properties", json!({ "n": 1, "zone": "z", "a\0b": 1 })),
        ("properties", json!({ "n": "1\0", "zone": "z" })),
        ("properties", json!({ "n": 1, "zone": "z".repeat(100_000) })),
        ("customer_id", json!("c".repeat(100_000))),
        ("event_type", json!("e".repeat(100_000))),
    ]
    .into_iter()
    .enumerate()
    {
        let mut event = whole.clone();
        event["transaction_id"] = json!(number.to_string());
        event[field] = value;
        let status = desk.api.post("/v1/ingest", json!([event])).await.status.as_u16();
        assert!(status == 200 || status == 400, "{field}, case {number}: {status}");
    }
}
