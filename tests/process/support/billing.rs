//! Customers on contracts, their events and their invoices.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::Client;

/// One price, in cents for each unit of the property `amount`.
const PRICE: u64 = 3;

/// A sandbox with customers `customer-0`, `customer-1`, ... on monthly contracts over one metered product.
pub struct Billing {
    pub customers: Vec<String>,
}

impl Billing {
    /// Freezes the clock at `now` and sets everything up; contracts start at `contracts_start`.
    pub fn set_up(client: &Client, now: &str, contracts_start: &str, customers: usize) -> Self {
        client.post("/sandbox/clock", &json!({ "now": now })).data();
        let metric = client
            .post(
                "/v1/billable-metrics/create",
                &json!({
                    "name": "amount", "aggregation_type": "SUM", "aggregation_key": "amount",
                    "event_type_filter": { "in_values": ["use"] },
                    "property_filters": [{ "name": "amount", "exists": true }],
                }),
            )
            .id();
        let product = client
            .post(
                "/v1/contract-pricing/products/create",
                &json!({ "name": "Usage", "type": "USAGE", "billable_metric_id": metric }),
            )
            .id();
        let card = client.post("/v1/contract-pricing/rate-cards/create", &json!({ "name": "card" })).id();
        client
            .post(
                "/v1/contract-pricing/rate-cards/addRate",
                &json!({
                    "rate_card_id": card, "product_id": product, "starting_at": contracts_start, "entitled": true,
                    "rate_type": "FLAT", "price": PRICE,
                }),
            )
            .data();
        let customers = (0..customers)
            .map(|number| {
                let alias = format!("customer-{number}");
                let customer =
                    client.post("/v1/customers", &json!({ "name": alias, "ingest_aliases": [alias] })).id();
                client
                    .post(
                        "/v1/contracts/create",
                        &json!({
                            "customer_id": customer, "rate_card_id": card, "starting_at": contracts_start,
                            "usage_statement_schedule": { "frequency": "MONTHLY" },
                        }),
                    )
                    .id();
                customer
            })
            .collect();
        Self { customers }
    }

    /// Every invoice of one customer.
    #[track_caller]
    pub fn invoices(&self, client: &Client, number: usize) -> Vec<Value> {
        let (mut invoices, mut next) = (Vec::new(), String::new());
        loop {
            let page =
                client.get(&format!("/v1/customers/{}/invoices?limit=100{next}", self.customers[number]));
            invoices.extend(page.data().as_array().expect("a list").iter().cloned());
            match page.json()["next_page"].as_str() {
                Some(cursor) => next = format!("&next_page={cursor}"),
                None => return invoices,
            }
        }
    }

    /// Start (as a month), status and total of every invoice of one customer, in time order.
    #[track_caller]
    pub fn statements(&self, client: &Client, number: usize) -> Vec<(String, String, String)> {
        let mut statements: Vec<_> = self
            .invoices(client, number)
            .iter()
            .map(|invoice| {
                let text = |name: &str| invoice[name].as_str().unwrap_or_default().to_owned();
                (text("start_timestamp")[..7].to_owned(), text("status"), invoice["total"].to_string())
            })
            .collect();
        statements.sort();
        statements
    }

    /// The total of the one invoice of that month that is expected for this much usage.
    pub fn total(amount: u64) -> String {
        (amount * PRICE).to_string()
    }
}

/// An event that adds `amount` to a customer's usage.
pub fn event(transaction_id: &str, number: usize, timestamp: &str, amount: u64) -> Value {
    json!({
        "transaction_id": transaction_id, "customer_id": format!("customer-{number}"), "event_type": "use",
        "timestamp": timestamp, "properties": { "amount": amount },
    })
}

/// An instant from its text.
#[track_caller]
pub fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_utc()
}
