//! The movable clock.

use serde_json::json;

use crate::support::Api;
use crate::world::refuse;

#[tokio::test]
async fn the_clock_freezes_moves_forward_and_runs_again() {
    let api = Api::new().await;
    let clock = async || api.get("/sandbox/clock").await.data();
    assert_eq!(clock().await["frozen"], json!(false));
    let moved = api.post("/sandbox/clock", json!({ "now": "2020-01-01T05:30:00.5+05:30" })).await.data();
    assert_eq!(moved, json!({ "now": "2020-01-01T00:00:00.500Z", "frozen": true }));
    assert_eq!(clock().await, moved);
    api.move_clock("2020-01-02T00:00:00").await;
    assert_eq!(clock().await["now"], json!("2020-01-02T00:00:00Z"));
    let live = api.post("/sandbox/clock", json!({ "live": true })).await.data();
    assert_eq!(live["frozen"], json!(false));
    assert_eq!(clock().await["frozen"], json!(false));
}

#[tokio::test]
async fn the_clock_goes_back_only_while_nothing_is_billable() {
    let api = Api::at("2026-03-10T00:00:00Z").await;
    api.move_clock("2026-03-09T00:00:00Z").await;
    api.move_clock("1970-01-01T00:00:00Z").await;
    api.move_clock("2026-03-10T00:00:00Z").await;
    api.customer("acct").await;
    refuse(&api, "/sandbox/clock", vec![(json!({ "now": "2026-03-09T23:59:59Z" }), "now:")]).await;
    api.move_clock("2026-03-10T00:00:00Z").await;
}

#[tokio::test]
async fn a_clock_ahead_of_the_real_one_does_not_run_again() {
    let api = Api::new().await;
    api.customer("acct").await;
    let tomorrow = api.app.clock.now() + chrono::TimeDelta::days(1);
    api.move_clock(&tomorrow.to_rfc3339()).await;
    refuse(&api, "/sandbox/clock", vec![(json!({ "live": true }), "now:")]).await;
}

#[tokio::test]
async fn a_metric_or_an_event_holds_the_clock_as_well() {
    let back = || json!({ "now": "2026-03-09T00:00:00Z" });
    let api = Api::at("2026-03-10T00:00:00Z").await;
    api.post("/v1/billable-metrics/create", json!({ "name": "m", "aggregation_type": "COUNT" })).await.id();
    refuse(&api, "/sandbox/clock", vec![(back(), "now:")]).await;
    let api = Api::at("2026-03-10T00:00:00Z").await;
    api.event("nobody", "2026-03-10T00:00:00Z", json!({})).await;
    refuse(&api, "/sandbox/clock", vec![(back(), "now:")]).await;
}

#[tokio::test]
async fn a_move_says_one_thing() {
    let api = Api::new().await;
    let cases = [
        json!({}),
        json!({ "now": "2026-03-10T00:00:00Z", "live": true }),
        json!({ "live": false }),
        json!({ "now": "tomorrow" }),
        json!({ "now": 7 }),
        json!({ "now": "9999-01-01T00:00:00Z" }),
        json!({ "now": "1969-12-31T23:59:59Z" }),
    ];
    for body in cases {
        refuse(&api, "/sandbox/clock", vec![(body, "now")]).await;
    }
    refuse(&api, "/sandbox/clock", vec![(json!({ "live": "yes" }), "live:")]).await;
}

#[tokio::test]
async fn a_frozen_clock_dates_everything() {
    let api = Api::at("2001-02-03T04:05:06Z").await;
    let id = api.customer("acct").await;
    let shown = api.get(&format!("/v1/customers/{id}")).await.data();
    assert_eq!(
        (&shown["created_at"], &shown["updated_at"]),
        (&json!("2001-02-03T04:05:06Z"), &shown["created_at"])
    );
    api.event("acct", "2001-02-03T04:05:06Z", json!({})).await;
    let late = json!([{
        "transaction_id": "t", "customer_id": "acct", "event_type": "use", "timestamp": "2026-01-01T00:00:00Z",
    }]);
    refuse(&api, "/v1/ingest", vec![(late, "[0].timestamp:")]).await;
}

#[tokio::test]
async fn a_live_clock_may_run_on_while_much_work_is_done() {
    let api = Api::new().await;
    let customer = api.customer("acct").await;
    let rates = api.rate_card().await;
    let weekly = json!({ "usage_statement_schedule": { "frequency": "WEEKLY" } });
    api.contract(&customer, &rates, "2012-01-01T00:00:00Z", weekly).await;
    let began = api.app.clock.now();
    let moved = api.post("/sandbox/clock", json!({ "live": true })).await.data();
    assert_eq!(moved["frozen"], json!(false));
    assert!(api.app.clock.now() - began > chrono::TimeDelta::seconds(1), "long enough to tell");
    let invoices = api.get(&format!("/v1/customers/{customer}/invoices?status=FINALIZED")).await.data();
    assert!(!invoices.as_array().expect("a list").is_empty());
}
