//! What reading an invoice reads.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json};
use tracing::Event;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::support::{Api, Metric};

thread_local! {
    /// How many statements a test has sent to PostgreSQL, which is one thread.
    static SENT: Cell<usize> = const { Cell::new(0) };
}

/// Counts statements, as sqlx tells of them.
struct Counting;

impl<S: tracing::Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            SENT.set(SENT.get() + 1);
        }
    }
}

/// Waits until everything is counted, and nothing is done in the background any more.
async fn until_quiet(api: &Api) {
    while api.number("SELECT count(*) FROM rollup_pending").await > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut before = None;
    while before.replace(SENT.get()) != Some(SENT.get()) {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// How many statements a first look at a draft takes, where so many products have so many rates, groups and days of usage.
async fn statements_of_a_draft(products: usize, rates: usize, groups: usize, days: usize) -> usize {
    let api = Api::at("2026-03-20T00:00:00Z").await;
    let card = api.rate_card().await;
    let customer = api.customer("acme").await;
    api.contract(&customer, &card, "2026-03-01T00:00:00Z", json!({})).await;
    for number in 0..products {
        let key = format!("n{number}");
        let metric = Metric { aggregation: "SUM", key: Some(&key), groups: &["model"] };
        let metric = api.metric(metric).await;
        let product = api.product(&key, &metric, json!({ "presentation_group_key": ["model"] })).await;
        for day in 1..=rates {
            api.flat(&card, &product, &format!("2026-03-{day:02}T00:00:00Z"), &day.to_string(), json!({}))
                .await;
        }
    }
    let properties = |group: usize| -> Value {
        let counts = (0..products).map(|number| (format!("n{number}"), json!(1)));
        counts.chain([("model".to_owned(), json!(format!("m{group}")))]).collect()
    };
    for day in 1..=days {
        for group in 0..groups {
            api.event("acme", &format!("2026-03-{day:02}T12:00:00Z"), properties(group)).await;
        }
    }
    until_quiet(&api).await;
    let before = SENT.get();
    let draft = api.invoice(&customer, "2026-03-01").await;
    let sent = SENT.get() - before;
    let lines = draft["line_items"].as_array().map(Vec::len);
    assert_eq!(lines, Some(products * groups * rates.min(days)), "{draft}");
    sent
}

#[tokio::test]
async fn a_draft_takes_as_many_queries_whatever_is_sold_and_used() {
    // Nobody else here wants to be told of anything.
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Counting))
        .expect("the first");
    let small = statements_of_a_draft(1, 1, 1, 1).await;
    for (products, rates, groups, days) in [(20, 1, 1, 1), (1, 9, 1, 9), (1, 1, 9, 9), (10, 3, 3, 3)] {
        let many = statements_of_a_draft(products, rates, groups, days).await;
        // A connection may have to be looked after between two of them.
        let is_alike = small > 10 && many.abs_diff(small) < 5;
        assert!(
            is_alike,
            "{small}, and {many} of {products} products, {rates} rates, {groups} groups, {days} days"
        );
    }
}

#[tokio::test]
async fn a_draft_is_made_from_rollups_without_the_events() {
    let api = Api::at("2026-03-20T00:00:00Z").await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    let product = api.product("Units", &metric, json!({})).await;
    let rates = api.rate_card().await;
    api.flat(&rates, &product, "2026-03-01T00:00:00Z", "2", json!({})).await;
    let customer = api.customer("acme").await;
    api.contract(&customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
    for day in 1..=9 {
        api.event("acme", &format!("2026-03-0{day}T12:00:00Z"), json!({ "n": day })).await;
    }
    let before = api.invoice(&customer, "2026-03-01").await;
    assert_eq!(before["total"], json!(90));

    let deleted = sqlx::query("DELETE FROM event_batch").execute(&api.app.db).await.expect("no events");
    assert_eq!(deleted.rows_affected(), 9);
    assert_eq!(api.invoice(&customer, "2026-03-01").await, before);
}

#[tokio::test]
async fn the_longest_numbers_are_priced_finalized_and_read_again() {
    let api = Api::at("2026-03-10T00:00:00Z").await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    let product = api.product("Tiny", &metric, json!({})).await;
    let rates = api.rate_card().await;
    let price = format!("0.{}1234567890123456789012345678", "0".repeat(22));
    api.flat(&rates, &product, "2026-01-01T00:00:00Z", &price, json!({})).await;
    let customer = api.customer("acct").await;
    api.contract(&customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
    let quantity = format!("{}.{}1", "9".repeat(100), "0".repeat(250));
    api.event("acct", "2026-03-05T00:00:00Z", json!({ "n": quantity })).await;
    let draft = api.invoice(&customer, "2026-03-01").await;
    api.move_clock("2026-04-10T00:00:00Z").await;
    let finalized = api.invoice(&customer, "2026-03-01").await;
    assert_eq!(finalized["status"], json!("FINALIZED"));
    assert_eq!((&finalized["total"], &finalized["line_items"]), (&draft["total"], &draft["line_items"]));
}
