//! What a number is: the same for a JSON number and a string, for streaming metrics and for SQL.

use serde_json::{Value, json};
use upbeat::event::parse_properties;
use upbeat::money::Decimal;

use crate::support::{Api, Metric};
use crate::world::number;

/// Texts, and the number that they are; none where they are no number.
fn corpus() -> Vec<(String, Option<String>)> {
    let fixed: [(&str, Option<&str>); 57] = [
        ("0", Some("0")),
        ("-0", Some("0")),
        ("00", Some("0")),
        ("007", Some("7")),
        ("0.1", Some("0.1")),
        (".1", Some("0.1")),
        ("-.5", Some("-0.5")),
        ("+.5e1", Some("5")),
        ("2.50", Some("2.5")),
        ("1.000", Some("1")),
        ("1e1", Some("10")),
        ("1E1", Some("10")),
        ("1e+1", Some("10")),
        ("1e-1", Some("0.1")),
        ("1e00001", Some("10")),
        ("1e-00", Some("1")),
        ("0e5", Some("0")),
        ("0.00e-7", Some("0")),
        ("1e0100", None),
        (" 7 ", Some("7")),
        ("\t7\n", Some("7")),
        ("\r\n7\u{c}", Some("7")),
        ("\u{b}7", None),
        ("\u{a0}7", None),
        ("\u{2003}7", None),
        ("7 7", None),
        ("- 7", None),
        ("1e101", None),
        ("1e-101", None),
        ("1e400", None),
        ("1e99999999999999999999", None),
        ("1e", None),
        ("e1", None),
        ("1e1.5", None),
        ("1e 1", None),
        ("5.", None),
        ("5.e1", None),
        (".", None),
        ("", None),
        (" ", None),
        ("-", None),
        ("+", None),
        ("--1", None),
        ("+-1", None),
        ("1.2.3", None),
        ("1,000", None),
        ("1_000", None),
        ("0x10", None),
        ("0b1", None),
        ("NaN", None),
        ("Infinity", None),
        ("-inf", None),
        ("true", None),
        ("null", None),
        ("\u{664}\u{662}", None),
        ("\u{ff17}", None),
        ("\u{2212}7", None),
    ];
    let mut corpus: Vec<(String, Option<String>)> =
        fixed.into_iter().map(|(text, is)| (text.to_owned(), is.map(str::to_owned))).collect();
    // 1e0100 is a hundred after a zero that says nothing.
    corpus.iter_mut().find(|(text, _)| text == "1e0100").expect("it is there").1 =
        Some(format!("1{}", "0".repeat(100)));
    let digits = |count: usize| "1234567890".repeat(count.div_ceil(10))[..count].to_owned();
    for count in [28, 100, 199, 200, 201, 300, 999, 1_000] {
        corpus.push((digits(count), Some(digits(count))));
    }
    for count in [200, 300, 990] {
        let fraction = digits(count).trim_end_matches('0').to_owned();
        corpus.push((format!("-0.{}", digits(count)), Some(format!("-0.{fraction}"))));
        corpus.push((format!("0.{}e-100", digits(count)), Some(format!("0.{}{fraction}", "0".repeat(100)))));
        corpus
            .push((format!("{}e100", digits(count)), Some(format!("{}{}", digits(count), "0".repeat(100)))));
    }
    corpus.push(("1e100".to_owned(), Some(format!("1{}", "0".repeat(100)))));
    corpus.push(("1e-100".to_owned(), Some(format!("0.{}1", "0".repeat(99)))));
    corpus
}

#[tokio::test]
async fn rust_and_sql_read_the_same_numbers() {
    let api = Api::new().await;
    for (text, expected) in corpus() {
        let properties = json!({ "a": text }).to_string();
        let properties = parse_properties(&properties).expect("properties");
        assert_eq!(properties.get("a").and_then(|value| value.as_number()), expected, "{text:?} in Rust");
        let sql: Option<String> = sqlx::query_scalar("SELECT trim_scale(metric_number($1))::text")
            .bind(&text)
            .fetch_one(&api.app.db)
            .await
            .expect("never an error");
        assert_eq!(sql, expected, "{text:?} in SQL");
    }
}

#[tokio::test]
async fn every_form_of_a_number_counts_the_same_everywhere() {
    let api = Api::at("2026-03-10T00:00:00Z").await;
    let customer = api.customer("acme").await;
    let streaming = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    let sql = |sql: &str| json!({ "name": "query", "sql": sql });
    let direct = sql("SELECT SUM(properties.n) FROM events");
    let direct = api.post("/v1/billable-metrics/create", direct).await.id();
    // As a text through a subquery, and back.
    let through =
        sql("SELECT SUM(CAST(CAST(m AS DECIMAL) AS VARCHAR)) FROM (SELECT properties.n AS m FROM events)");
    let through = api.post("/v1/billable-metrics/create", through).await.id();
    let mut expected = Vec::new();
    for (place, (text, is)) in corpus().into_iter().enumerate() {
        let day = format!("2026-03-{:02}", 1 + place % 9);
        let hour = format!("{day}T{:02}:00:00Z", place / 9);
        let mut forms = vec![json!(text)];
        let is_json = serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_number());
        forms.extend(is_json.then(|| number(&text)));
        for (form, n) in forms.iter().enumerate() {
            let event = json!([{
                "transaction_id": format!("{place} {form}"), "customer_id": "acme", "event_type": "use",
                "timestamp": hour, "properties": { "n": n },
            }]);
            api.events(event).await;
        }
        let value =
            is.map(|is| is.parse::<Decimal>().expect("a decimal") * Decimal::from(forms.len() as u64));
        expected.push((hour, value));
    }
    for metric in [streaming, direct, through] {
        let body = json!({
            "customer_ids": [customer], "billable_metrics": [{ "id": metric }], "window_size": "HOUR",
            "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-03-10T00:00:00Z",
        });
        let rows = api.post("/v1/usage", body).await.data();
        for (hour, value) in &expected {
            let row = rows.as_array().expect("rows").iter().find(|row| row["start_timestamp"] == json!(hour));
            let shown = row.expect("a row for the hour")["value"].to_string();
            let value = value.as_ref().map_or("0".to_owned(), upbeat::money::plain);
            assert_eq!(shown, value, "{hour} of {metric}");
        }
    }
}

#[tokio::test]
async fn a_number_that_is_too_long_is_refused_by_name() {
    let api = Api::at("2026-03-10T00:00:00Z").await;
    let event = |n: Value| {
        json!([{
            "transaction_id": "e", "customer_id": "acme", "event_type": "use",
            "timestamp": "2026-03-09T00:00:00Z", "properties": { "id": "a", "n": n },
        }])
    };
    let long = "7".repeat(1_001);
    for n in [json!(long), number(&long), json!(format!(" -{long} "))] {
        let refused = api.post("/v1/ingest", event(n)).await;
        refused.refused(400, &["[0].properties", "`n` is a number of more than 1000 characters"]);
    }
    // A text of digits and something else is no number.
    api.events(event(json!(format!("{long}x")))).await;
}
