//! An invoice that cannot be calculated says why, and takes nothing else down.

use serde_json::{Value, json};

use crate::support::{Api, Metric, Rates};
use crate::world::beyond_all_bounds;

const NOW: &str = "2026-03-10T12:00:00Z";

/// A customer with two contracts: what one bills cannot be computed, what the other bills can.
struct Two {
    api: Api,
    customer: String,
    failing: String,
    fine: String,
    metric: String,
    product: String,
}

async fn sql_metric(api: &Api, sql: &str) -> String {
    api.post("/v1/billable-metrics/create", json!({ "name": "query", "sql": sql })).await.id()
}

async fn card(api: &Api, metric: &str) -> (Rates, String) {
    let rates = api.rate_card().await;
    let product = api.product("Units", metric, json!({})).await;
    api.flat(&rates, &product, "2026-01-01T00:00:00Z", "2", json!({})).await;
    (rates, product)
}

impl Two {
    async fn new() -> Self {
        let api = Api::at(NOW).await;
        let customer = api.customer("acme").await;
        let metric = sql_metric(&api, &beyond_all_bounds()).await;
        let count = sql_metric(&api, "SELECT COUNT(*) FROM events").await;
        let ((bad, product), (good, _)) = (card(&api, &metric).await, card(&api, &count).await);
        let failing = api.contract(&customer, &bad, "2026-02-20T00:00:00Z", json!({})).await;
        let fine = api.contract(&customer, &good, "2026-03-01T00:00:00Z", json!({})).await;
        for day in 1..=3 {
            api.event("acme", &format!("2026-03-0{day}T12:00:00Z"), json!({ "n": day })).await;
        }
        Self { api, customer, failing, fine, metric, product }
    }

    /// The customer's invoices of one contract.
    async fn invoices(&self, contract: &str) -> Vec<Value> {
        let mut invoices = self.api.invoices(&self.customer).await;
        invoices.retain(|invoice| invoice["contract_id"] == contract);
        invoices
    }

    fn assert_failed(&self, invoice: &Value) {
        assert_eq!((&invoice["status"], &invoice["total"]), (&json!("DRAFT"), &json!(0)), "{invoice}");
        assert_eq!(invoice["line_items"], json!([]));
        assert_eq!(invoice["billable_status"], "billable");
        let reason = invoice["upbeat_failure"]["reason"].as_str().expect("a reason");
        assert!(reason.contains(&self.metric) && reason.contains("cannot be computed"), "{reason}");
    }
}

#[tokio::test]
async fn a_draft_that_cannot_be_calculated_says_why_and_the_others_are_shown() {
    let two = Two::new().await;
    let failing = two.invoices(&two.failing).await;
    assert_eq!(failing.len(), 2, "February, which has no events, and March");
    assert_eq!(failing[0].get("upbeat_failure"), None);
    two.assert_failed(&failing[1]);
    let id = failing[1]["id"].as_str().expect("an id");
    let path = format!("/v1/customers/{}/invoices/{id}", two.customer);
    assert_eq!(two.api.get(&path).await.data(), failing[1]);
    let fine = &two.invoices(&two.fine).await[0];
    assert_eq!((&fine["total"], fine.get("upbeat_failure")), (&json!(6), None));
}

#[tokio::test]
async fn an_invoice_that_cannot_be_calculated_is_put_off_until_it_can() {
    let two = Two::new().await;
    two.api.move_clock("2026-04-10T00:00:00Z").await;
    let fine = &two.invoices(&two.fine).await[0];
    assert_eq!((&fine["status"], &fine["total"]), (&json!("FINALIZED"), &json!(6)));
    let failing = two.invoices(&two.failing).await;
    assert_eq!(failing[0]["status"], "FINALIZED", "February");
    two.assert_failed(&failing[1]);
    assert_eq!(failing[2]["status"], "DRAFT", "April waits for March");

    let attempts =
        "SELECT attempts::bigint FROM due_work WHERE last_error IS NOT NULL AND retry_at IS NOT NULL";
    assert_eq!(two.api.number(attempts).await, 1);
    two.api.work().await;
    assert_eq!(two.api.number(attempts).await, 1, "not tried again before its time");
    let archive = json!({ "customer_id": two.customer, "contract_id": two.failing, "void_invoices": false });
    let refused = two.api.post("/v1/contracts/archive", archive).await;
    refused.refused(400, &["that is due cannot be finalized", &two.metric, "cannot be computed"]);
    two.assert_failed(&two.invoices(&two.failing).await[1]);

    // From the start of the period on another metric counts.
    let count = sql_metric(&two.api, "SELECT SUM(properties.n) FROM events").await;
    let update = json!({
        "product_id": two.product, "starting_at": "2026-03-01T00:00:00Z", "billable_metric_id": count,
    });
    two.api.post("/v1/contract-pricing/products/update", update).await.id();
    two.api.move_clock("2026-04-10T01:00:00Z").await;
    let mended = &two.invoices(&two.failing).await[1];
    assert_eq!((&mended["status"], &mended["total"]), (&json!("FINALIZED"), &json!(12)), "{mended}");
    assert_eq!(mended.get("upbeat_failure"), None);
    assert_eq!(two.api.number("SELECT count(*) FROM due_work WHERE last_error IS NOT NULL").await, 0);
}

#[tokio::test]
async fn of_many_statements_that_are_due_at_once_only_the_one_to_blame_is_put_off() {
    let two = Two::new().await;
    let count = sql_metric(&two.api, "SELECT SUM(properties.n) FROM events").await;
    let (good, _) = card(&two.api, &count).await;
    // More than are finalized in one transaction.
    for number in 0..100 {
        let alias = format!("many-{number}");
        let customer = two.api.customer(&alias).await;
        two.api.contract(&customer, &good, "2026-03-01T00:00:00Z", json!({})).await;
        two.api.event(&alias, "2026-03-02T12:00:00Z", json!({ "n": number })).await;
    }
    two.api.move_clock("2026-04-10T00:00:00Z").await;
    let of_march = |what: &str| {
        format!(
            "SELECT {what}::bigint FROM invoice WHERE status = 'FINALIZED' AND starts_at = '2026-03-01T00:00:00Z'"
        )
    };
    assert_eq!(two.api.number(&of_march("count(*)")).await, 100 + 1);
    assert_eq!(two.api.number(&of_march("sum(total)")).await, 2 * (0..100).sum::<i64>() + 6);
    two.assert_failed(&two.invoices(&two.failing).await[1]);
    assert_eq!(two.api.number("SELECT count(*) FROM due_work WHERE last_error IS NOT NULL").await, 1);
    let of_due_work = "SELECT count(*) FROM audit_log WHERE actor_name = 'due work' AND action = 'finalize'
                       AND description LIKE '%2026-03-01%2026-04-01%'";
    assert_eq!(two.api.number(of_due_work).await, 100 + 1, "a line of the audit log for each");
}

#[tokio::test]
async fn large_invoices_that_are_due_at_once_are_finalized_in_several_transactions() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["of"] }).await;
    let rates = api.rate_card().await;
    let product = api.product("Units", &metric, json!({ "presentation_group_key": ["of"] })).await;
    api.flat(&rates, &product, "2026-01-01T00:00:00Z", "2", json!({})).await;
    for number in 0..4 {
        let alias = format!("large-{number}");
        let customer = api.customer(&alias).await;
        // Two of each customer, of which the second must wait for the first.
        for _ in 0..2 {
            api.contract(&customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
        }
        for of_batch in 0..8 {
            let event = |n: i64| {
                json!({
                    "transaction_id": format!("{alias}-{of_batch}-{n}"), "customer_id": alias, "event_type": "use",
                    "timestamp": "2026-03-02T12:00:00Z", "properties": { "n": 1, "of": format!("{of_batch}-{n}") },
                })
            };
            let events: Vec<Value> = (0..100).map(event).collect();
            assert_eq!(api.post("/v1/ingest", json!(events)).await.status, 200);
        }
    }
    api.move_clock("2026-04-10T00:00:00Z").await;
    let march = "FROM invoice WHERE status = 'FINALIZED' AND starts_at = '2026-03-01T00:00:00Z'";
    assert_eq!(api.number(&format!("SELECT count(*) {march}")).await, 8);
    assert_eq!(api.number(&format!("SELECT sum(total)::bigint {march}")).await, 8 * 800 * 2);
    let of_transactions = format!("SELECT count(DISTINCT xmin::text) {march}");
    assert!(api.number(&of_transactions).await >= 3, "2,000 lines or a little more in each");
}
