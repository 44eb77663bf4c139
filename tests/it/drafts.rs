//! What reading an invoice reads.

use serde_json::json;

use crate::support::{Api, Metric};

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
