//! Upbeat as its clients see it: metrics and customers to begin with, and what the usage adds up to in the end.

use chrono::{DateTime, Datelike, Days, NaiveTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::event::{REQUEST, SEAT, Totals, model_name};
use crate::http::{Http, get, post};
use crate::server::TOKEN;

/// Connections that make customers.
pub const CONNECTIONS: usize = 8;

/// Whose usage one query adds up.
const CUSTOMERS_OF_A_QUERY: usize = 300;

/// The ids of the metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub requests: String,
    pub tokens: String,
    pub longest: String,
}

/// Prices for three models of one metric.
pub struct Card {
    pub id: String,
    pub products: Vec<String>,
}

pub struct Api {
    address: String,
    http: Http,
}

impl Api {
    pub async fn open(address: &str) -> Self {
        let http = Http::open(address).await.expect("the server listens");
        Self { address: address.to_owned(), http }
    }

    pub async fn post(&mut self, path: &str, body: &Value) -> Value {
        self.http.call(&post(path, TOKEN, body)).await.expect("the server answers").json()
    }

    /// Sends events.
    pub async fn ingest(&mut self, events: &Value) {
        self.http.call(&post("/v1/ingest", TOKEN, events)).await.expect("the server answers").ok();
    }

    pub async fn get(&mut self, path: &str) -> Value {
        self.http.call(&get(path, Some(TOKEN))).await.expect("the server answers").json()
    }

    /// Freezes the clock of the sandbox, when everything that is due by then is done.
    pub async fn move_clock(&mut self, now: DateTime<Utc>) {
        self.post("/sandbox/clock", &json!({ "now": text(now) })).await;
    }

    /// Lets the clock of the sandbox run.
    pub async fn run_clock(&mut self) {
        self.post("/sandbox/clock", &json!({ "live": true })).await;
    }

    /// A rate card with products of the metric, each of which is priced for three of its models.
    pub async fn card(&mut self, metric: &str, products: usize, starting_at: DateTime<Utc>) -> Card {
        let card = json!({ "name": "List" });
        let card = id(&self.post("/v1/contract-pricing/rate-cards/create", &card).await);
        let (mut ids, mut rates) = (Vec::new(), Vec::new());
        for number in 1..=products {
            let product = json!({
                "name": format!("Tokens {number}"), "type": "USAGE", "billable_metric_id": metric,
                "pricing_group_key": ["model"],
            });
            let product = id(&self.post("/v1/contract-pricing/products/create", &product).await);
            rates.extend((0..3).map(|model| {
                json!({
                    "product_id": product, "starting_at": text(starting_at), "entitled": true, "rate_type": "FLAT",
                    "price": number * 10 + model, "pricing_group_values": { "model": model_name(model) },
                })
            }));
            ids.push(product);
        }
        let rates = json!({ "rate_card_id": card, "rates": rates });
        self.post("/v1/contract-pricing/rate-cards/addRates", &rates).await;
        Card { id: card, products: ids }
    }

    /// A product that names what is granted.
    pub async fn fixed_product(&mut self, name: &str) -> String {
        let product = json!({ "name": name, "type": "FIXED" });
        id(&self.post("/v1/contract-pricing/products/create", &product).await)
    }

    /// A contract from the start of the month on; answers the path of the draft.
    pub async fn contract(&mut self, customer: &str, card: &Card, now: DateTime<Utc>) -> String {
        let contract = json!({
            "customer_id": customer, "rate_card_id": card.id, "starting_at": text(month_of(now)),
            "usage_statement_schedule": { "frequency": "MONTHLY" },
        });
        self.post("/v1/contracts/create", &contract).await;
        let invoices = format!("/v1/customers/{customer}/invoices");
        let draft = self.get(&invoices).await;
        let draft = draft["data"][0]["id"].as_str().expect("the draft of the month").to_owned();
        format!("{invoices}/{draft}")
    }

    async fn metric(&mut self, name: &str, aggregation: &str, event_type: &str, key: Option<&str>) -> String {
        let filters: Vec<Value> =
            ["model"].into_iter().chain(key).map(|name| json!({ "name": name, "exists": true })).collect();
        let body = json!({
            "name": name,
            "aggregation_type": aggregation,
            "aggregation_key": key,
            "event_type_filter": { "in_values": [event_type] },
            "property_filters": filters,
            "group_keys": [["model"]],
        });
        id(&self.post("/v1/billable-metrics/create", &body).await)
    }

    /// One of each kind, grouped by model: a COUNT, a SUM and a MAX.
    pub async fn metrics(&mut self) -> Metrics {
        Metrics {
            requests: self.metric("Requests", "COUNT", REQUEST, None).await,
            tokens: self.metric("Tokens", "SUM", REQUEST, Some("tokens")).await,
            longest: self.metric("Longest request", "MAX", REQUEST, Some("duration_ms")).await,
        }
    }

    /// One that counts events of its own type, for many groups.
    pub async fn seats(&mut self) -> String {
        self.metric("Active seats", "COUNT", SEAT, None).await
    }

    /// The ids of new customers.
    pub async fn customers(&self, count: usize) -> Vec<String> {
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|first| {
                let address = self.address.clone();
                tokio::spawn(async move {
                    let mut api = Self::open(&address).await;
                    let mut ids = Vec::new();
                    for number in (first..count).step_by(CONNECTIONS) {
                        let body = json!({ "name": format!("Customer {number}") });
                        ids.push(id(&api.post("/v1/customers", &body).await));
                    }
                    ids
                })
            })
            .collect();
        let mut ids = Vec::new();
        for task in tasks {
            ids.extend(task.await.expect("customers"));
        }
        ids
    }

    /// What the usage of the customers adds up to.
    pub async fn totals(&mut self, customers: &[String], metrics: &Metrics, now: DateTime<Utc>) -> Totals {
        let mut totals = Totals::default();
        for some in customers.chunks(CUSTOMERS_OF_A_QUERY) {
            self.add_totals(&mut totals, some, metrics, now).await;
        }
        totals
    }

    async fn add_totals(
        &mut self,
        totals: &mut Totals,
        customers: &[String],
        metrics: &Metrics,
        now: DateTime<Utc>,
    ) {
        let Metrics { requests, tokens, longest } = metrics;
        let body = usage_of(customers, &[requests, tokens, longest], now);
        let mut path = "/v1/usage".to_owned();
        loop {
            let page = self.post(&path, &body).await;
            // A customer whom no event named has nothing to show.
            let rows = page["data"].as_array().expect("rows").iter().filter(|row| !row["value"].is_null());
            for row in rows {
                let value = row["value"].as_u64().unwrap_or_else(|| panic!("a whole number: {row}"));
                match row["billable_metric_id"].as_str().expect("an id") {
                    id if id == requests => totals.requests += value,
                    id if id == tokens => totals.tokens += value,
                    _ => totals.longest = totals.longest.max(value),
                }
            }
            match page["next_page"].as_str() {
                Some(next) => path = format!("/v1/usage?next_page={next}"),
                None => return,
            }
        }
    }
}

/// As requests have it.
pub fn text(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The start of the day.
pub fn midnight(instant: DateTime<Utc>) -> DateTime<Utc> {
    instant.date_naive().and_time(NaiveTime::MIN).and_utc()
}

/// The start of the month.
pub fn month_of(instant: DateTime<Utc>) -> DateTime<Utc> {
    midnight(instant).with_day(1).expect("every month has a first day")
}

pub fn id(answer: &Value) -> String {
    answer["data"]["id"].as_str().unwrap_or_else(|| panic!("an object with an id: {answer}")).to_owned()
}

/// The range of days that holds every event of the run.
fn days(now: DateTime<Utc>) -> (String, String) {
    let midnight = midnight(now);
    // A run may go on past midnight.
    (text(midnight - Days::new(31)), text(midnight + Days::new(2)))
}

/// `POST /v1/usage` in one window over the month.
pub fn usage_of(customers: &[String], metrics: &[&String], now: DateTime<Utc>) -> Value {
    let (starting_on, ending_before) = days(now);
    let metrics: Vec<Value> = metrics.iter().map(|id| json!({ "id": id })).collect();
    json!({
        "customer_ids": customers,
        "billable_metrics": metrics,
        "window_size": "NONE",
        "starting_on": starting_on,
        "ending_before": ending_before,
    })
}

/// `POST /v1/usage/groups` for one customer and metric, in one window over the month.
pub fn groups_of(customer: &str, metric: &str, now: DateTime<Utc>) -> Value {
    let (starting_on, ending_before) = days(now);
    json!({
        "customer_id": customer,
        "billable_metric_id": metric,
        "window_size": "NONE",
        "starting_on": starting_on,
        "ending_before": ending_before,
        "group_key": ["model"],
    })
}
