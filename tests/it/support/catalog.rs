//! Shorthand for what most tests need: a metric, a product, a rate card, a customer on a contract, events,
//! invoices.

use serde_json::{Value, json};

use super::Api;

/// A streaming metric on events of type `use`.
pub struct Metric<'a> {
    /// Such as `SUM`.
    pub aggregation: &'a str,
    /// The aggregated property; none for COUNT.
    pub key: Option<&'a str>,
    /// Properties that each are a group key.
    pub groups: &'a [&'a str],
}

/// A rate card under construction.
pub struct Rates {
    pub card: String,
}

impl Api {
    /// Creates the metric and answers its id.
    pub async fn metric(&self, metric: Metric<'_>) -> String {
        let names = metric.groups.iter().copied().chain(metric.key);
        let filters: Vec<Value> = names.map(|name| json!({ "name": name, "exists": true })).collect();
        let mut body = json!({
            "name": "metric",
            "aggregation_type": metric.aggregation,
            "event_type_filter": { "in_values": ["use"] },
        });
        if let Some(key) = metric.key {
            body["aggregation_key"] = json!(key);
        }
        if !filters.is_empty() {
            body["property_filters"] = json!(filters);
        }
        if !metric.groups.is_empty() {
            body["group_keys"] = metric.groups.iter().map(|name| json!([name])).collect();
        }
        self.post("/v1/billable-metrics/create", body).await.id()
    }

    /// Creates a USAGE product with more fields and answers its id.
    pub async fn product(&self, name: &str, metric_id: &str, more: Value) -> String {
        let mut body = json!({ "name": name, "type": "USAGE", "billable_metric_id": metric_id });
        merge(&mut body, more);
        self.post("/v1/contract-pricing/products/create", body).await.id()
    }

    /// Creates a FIXED product and answers its id.
    pub async fn fixed_product(&self, name: &str) -> String {
        let body = json!({ "name": name, "type": "FIXED" });
        self.post("/v1/contract-pricing/products/create", body).await.id()
    }

    /// Creates a rate card in USD.
    pub async fn rate_card(&self) -> Rates {
        Rates {
            card: self.post("/v1/contract-pricing/rate-cards/create", json!({ "name": "card" })).await.id(),
        }
    }

    /// Adds an entitled flat rate with more fields.
    pub async fn flat(&self, rates: &Rates, product: &str, starting_at: &str, price: &str, more: Value) {
        let price: Value = serde_json::from_str(price).expect("a JSON number");
        let mut body = json!({ "rate_type": "FLAT", "price": price });
        merge(&mut body, more);
        self.rate(rates, product, starting_at, body).await;
    }

    /// Adds an entitled rate.
    pub async fn rate(&self, rates: &Rates, product: &str, starting_at: &str, more: Value) {
        let mut body = json!({ "rate_card_id": rates.card, "product_id": product, "starting_at": starting_at, "entitled": true });
        merge(&mut body, more);
        self.post("/v1/contract-pricing/rate-cards/addRate", body).await.data();
    }

    /// Creates a customer with one ingest alias and answers its id.
    pub async fn customer(&self, alias: &str) -> String {
        self.post("/v1/customers", json!({ "name": alias, "ingest_aliases": [alias] })).await.id()
    }

    /// Creates a contract on the card with more fields and answers its id.
    pub async fn contract(&self, customer: &str, rates: &Rates, starting_at: &str, more: Value) -> String {
        let mut body =
            json!({ "customer_id": customer, "rate_card_id": rates.card, "starting_at": starting_at });
        merge(&mut body, more);
        self.post("/v1/contracts/create", body).await.id()
    }

    /// Sends one event of type `use`; the transaction id is made from everything else.
    pub async fn event(&self, subject: &str, timestamp: &str, properties: Value) {
        let transaction_id = self.app.ids.next::<uuid::Uuid>().to_string();
        self.events(json!([{
            "transaction_id": transaction_id, "customer_id": subject, "event_type": "use", "timestamp": timestamp,
            "properties": properties,
        }]))
        .await;
    }

    /// Sends events as they are.
    pub async fn events(&self, events: Value) {
        let answer = self.post("/v1/ingest", events).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &Value::Null));
    }

    /// All invoices of the customer, by issue date.
    pub async fn invoices(&self, customer: &str) -> Vec<Value> {
        let answer =
            self.get(&format!("/v1/customers/{customer}/invoices?include_list_prices=true")).await.data();
        answer.as_array().expect("a list").clone()
    }

    /// The one invoice whose period starts at `start` (a date).
    pub async fn invoice(&self, customer: &str, start: &str) -> Value {
        let invoices = self.invoices(customer).await;
        let starts = |invoice: &&Value| {
            invoice["start_timestamp"].as_str().is_some_and(|text| text.starts_with(start))
        };
        let found: Vec<&Value> = invoices.iter().filter(starts).collect();
        assert_eq!(found.len(), 1, "invoices that start on {start}: {found:?}");
        found[0].clone()
    }
}

/// A charge on these dates with these amounts.
pub fn charge(product: &str, items: &[(&str, i64)]) -> Value {
    let item = |(at, amount): &(&str, i64)| json!({ "timestamp": at, "amount": amount });
    json!({ "product_id": product, "schedule": { "schedule_items": items.iter().map(item).collect::<Vec<_>>() } })
}

/// The lines of an invoice as text: `name {group values} start..end [tier] quantity × unit price = total`.
pub fn lines(invoice: &Value) -> Vec<String> {
    let date = |value: &Value| value.as_str().map(|text| text[5..10].to_owned()).unwrap_or_default();
    let values = |value: &Value| match value.as_object() {
        Some(values) => {
            let pairs: Vec<String> = values
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or("null")))
                .collect();
            format!(" {{{}}}", pairs.join(", "))
        }
        None => String::new(),
    };
    let tier = |value: &Value| match value["level"].as_u64() {
        Some(level) => format!(" [{level}]"),
        None => String::new(),
    };
    let dates = |line: &Value| match line.get("starting_at") {
        Some(start) => format!(" {}..{}", date(start), date(&line["ending_before"])),
        None => String::new(),
    };
    let line = |line: &Value| {
        format!(
            "{}{}{}{}{} {} × {} = {}",
            line["name"].as_str().unwrap_or_default(),
            values(&line["pricing_group_values"]),
            values(&line["presentation_group_values"]),
            dates(line),
            tier(&line["tier"]),
            line["quantity"],
            line["unit_price"],
            line["total"],
        )
    };
    invoice["line_items"].as_array().expect("lines").iter().map(line).collect()
}

/// The body of an update of a product from an hour on.
pub fn product_update(product: &str, starting_at: &str, changes: Value) -> Value {
    let mut body = json!({ "product_id": product, "starting_at": starting_at });
    merge(&mut body, changes);
    body
}

fn merge(body: &mut Value, more: Value) {
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
}
