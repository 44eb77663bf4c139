//! The API quickstart, word for word: from nothing to the first finalized invoice.

use serde_json::{Value, json};

use crate::support::{Api, lines};

/// Everything that the quickstart page sets up; answers the customer.
async fn quickstart(api: &Api) -> String {
    api.post(
        "/v1/billable-metrics/create",
        json!({
            "name": "API Calls", "aggregation_type": "count", "event_type_filter": { "in_values": ["api_call"] },
        }),
    )
    .await
    .id();
    let metric = api
        .post(
            "/v1/billable-metrics/create",
            json!({
                "name": "Input Tokens",
                "aggregation_type": "sum",
                "aggregation_key": "input_tokens",
                "event_type_filter": { "in_values": ["llm_request"] },
                "property_filters": [
                    { "name": "model", "exists": true },
                    { "name": "input_tokens", "exists": true },
                    { "name": "user_id", "exists": true },
                ],
                "group_keys": [["model"], ["user_id"]],
            }),
        )
        .await
        .id();
    let product = api
        .post(
            "/v1/contract-pricing/products/create",
            json!({
                "name": "Input Tokens", "type": "usage", "billable_metric_id": metric,
                "pricing_group_key": ["model"], "presentation_group_key": ["user_id"],
            }),
        )
        .await
        .id();
    let card =
        api.post("/v1/contract-pricing/rate-cards/create", json!({ "name": "Standard Pricing" })).await.id();
    for (model, price) in [("gpt-5", "1.50"), ("gpt-5-mini", "0.30")] {
        let price: Value = serde_json::from_str(price).expect("a JSON number");
        api.post(
            "/v1/contract-pricing/rate-cards/rates/add",
            json!({
                "rate_card_id": card, "product_id": product, "starting_at": "2026-03-01T00:00:00Z",
                "rate_type": "flat", "price": price, "entitled": true, "pricing_group_values": { "model": model },
            }),
        )
        .await
        .data();
    }
    let customer = api
        .post(
            "/v1/customers/create",
            json!({ "name": "Test Customer", "ingest_aliases": ["my-internal-customer-id"] }),
        )
        .await
        .id();
    api.post(
        "/v1/contracts/create",
        json!({
            "customer_id": customer, "rate_card_id": card, "starting_at": "2026-03-01T00:00:00Z",
            "usage_statement_schedule": { "frequency": "MONTHLY" },
        }),
    )
    .await
    .id();
    api.events(json!([
        {
            "transaction_id": "test-001", "customer_id": customer, "event_type": "llm_request",
            "timestamp": "2026-03-09T12:00:00Z",
            "properties": { "model": "gpt-5", "input_tokens": "1500", "user_id": "user_1" },
        },
        {
            "transaction_id": "test-002", "customer_id": customer, "event_type": "llm_request",
            "timestamp": "2026-03-09T12:01:00Z",
            "properties": { "model": "gpt-5-mini", "input_tokens": "800", "user_id": "user_2" },
        },
    ]))
    .await;
    customer
}

#[tokio::test]
async fn ends_at_a_finalized_invoice_with_the_right_numbers() {
    let api = Api::at("2026-03-09T15:00:00Z").await;
    let customer = quickstart(&api).await;

    let draft = api.invoice(&customer, "2026-03-01").await;
    assert_eq!(draft["status"], "DRAFT");
    assert_eq!(draft["total"], json!(2490));
    assert_eq!(
        lines(&draft),
        [
            "Input Tokens {model: gpt-5} {user_id: user_1} 03-01..04-01 1500 × 1.5 = 2250",
            "Input Tokens {model: gpt-5-mini} {user_id: user_2} 03-01..04-01 800 × 0.3 = 240",
        ]
    );

    api.move_clock("2026-04-02T01:00:00Z").await;
    let mut finalized = api.invoice(&customer, "2026-03-01").await;
    assert_eq!(finalized["status"], "FINALIZED");
    finalized["status"] = json!("DRAFT");
    assert_eq!(finalized, draft, "the final invoice is the draft");
    let next = api.invoice(&customer, "2026-04-01").await;
    assert_eq!((&next["status"], &next["total"]), (&json!("DRAFT"), &json!(0)));
}
