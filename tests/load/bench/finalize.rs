//! Invoices that become final: many contracts whose month and grace are over, and a server that finds them so.
//!
//! Every contract has a customer of its own, a month of usage of five products, a credit and a prepaid commit that pay for
//! some of it, and one invoice that is due. All of that is made through the API of a server without a worker, so that
//! nothing becomes final before it is to be measured; the clock is the real one. Each round then starts a server, worker
//! and API in one process as in production, on a copy of the database. The time is that from its start until the last
//! invoice is final, and the CPU time all that the server and PostgreSQL use in it. In the end each customer must have
//! one invoice, final and of the right total.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Days, Months, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::contender::vacuum;
use crate::http::{Http, get};
use crate::report::{Column, FINALIZED, FINALIZED_LOG_BYTES, FINALIZED_POSTGRES_CPU, FINALIZED_SERVER_CPU};
use crate::scenario::Bench;
use crate::server::{Kind, Server};
use crate::upbeat::{Api, CONNECTIONS, id, midnight, text};

/// The second is for the comparison: twice as many invoices take twice as long.
const CONTRACTS: [usize; 2] = [10_000, 2_500];

const PRODUCTS: usize = 5;
/// Of each product, in each contract.
const EVENTS: usize = 4;
/// Of a request.
const BATCH: usize = 100;

/// In cents: what a contract is given, and what it has bought.
const CREDIT: usize = 500;
const COMMIT: usize = 1000;

/// One of so many invoices is looked at closely.
const SAMPLE: usize = 100;

/// Seldom, as the answer costs the server some queries.
const POLL: Duration = Duration::from_millis(100);
const FINALIZE_TIMEOUT: Duration = Duration::from_mins(10);

/// Contracts that have an invoice due each.
struct Book {
    database: String,
    /// In the order of their numbers.
    customers: Arc<Vec<String>>,
}

/// What the contracts have in common.
struct Terms {
    card: String,
    /// The product that names what is granted.
    grant: String,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Bench {
    pub async fn finalize(&mut self) {
        let mut books = Vec::new();
        for contracts in CONTRACTS {
            books.push(self.book(contracts * self.plan.contracts_per_mille / 1000).await);
        }
        for _ in 0..self.plan.rounds {
            for (size, book) in books.iter().enumerate() {
                self.finalize_all(size, book).await;
            }
        }
        for book in books {
            self.postgres.drop(&book.database).await;
        }
    }

    async fn book(&mut self, contracts: usize) -> Book {
        let start = Instant::now();
        let database = format!("bench_finalize_{contracts}");
        let database_url = self.postgres.create(&database).await;
        let server = Server::start_without_worker(&database_url).await;
        let terms = Arc::new(Terms::create(&mut Api::open(&server.address).await, self.now).await);
        let tasks = each_connection(&server, |mut api, first| {
            let terms = terms.clone();
            tokio::spawn(async move {
                let mut customers = Vec::new();
                for number in (first..contracts).step_by(CONNECTIONS) {
                    customers.push((number, terms.contract(&mut api, number).await));
                }
                terms.usage(&mut api, &customers).await;
                customers
            })
        });
        let mut customers = Vec::new();
        for task in tasks.await {
            customers.extend(task.await.expect("contracts"));
        }
        customers.sort_unstable();
        println!("  {contracts} contracts made in {} ms", start.elapsed().as_millis());
        // The usage is counted before: only what becomes final is measured.
        self.postgres.settle(self.plan.quiet_for).await;
        server.stop().await;
        vacuum(&database_url).await;
        Book { database, customers: Arc::new(customers.into_iter().map(|(_, id)| id).collect()) }
    }

    async fn finalize_all(&mut self, size: usize, book: &Book) {
        let invoices = book.customers.len() as u64;
        let database = "bench_finalize_round";
        let database_url = self.postgres.copy(database, &book.database).await;
        self.postgres.checkpoint().await;
        let before = (self.postgres.cpu_micros(), self.postgres.log_bytes().await);
        let start = Instant::now();
        let server = Server::start(Kind::Upbeat, &database_url).await;
        wait_for(&server, invoices).await;
        let micros = start.elapsed().as_micros();
        let cpu = (server.cpu_micros(), self.postgres.cpu_micros().saturating_sub(before.0));
        let log_bytes = self.postgres.log_bytes().await - before.1;
        println!(
            "  {invoices} invoices in {} ms; CPU: server {} ms, PostgreSQL {} ms; {} MB of the server",
            micros / 1000,
            cpu.0 / 1000,
            cpu.1 / 1000,
            server.peak_memory_kib() * 1024 / 1_000_000,
        );
        let micros = u64::try_from(micros).expect("minutes");
        let ours = Column::Upbeat;
        self.report.add(FINALIZED[size], ours, invoices * 1_000_000 / micros);
        self.report.add(FINALIZED_SERVER_CPU[size], ours, cpu.0 * 1000 / invoices);
        self.report.add(FINALIZED_POSTGRES_CPU[size], ours, cpu.1 * 1000 / invoices);
        self.report.add(FINALIZED_LOG_BYTES[size], ours, log_bytes / invoices);
        check(&server, &book.customers).await;
        server.stop().await;
        self.postgres.drop(database).await;
    }
}

impl Terms {
    /// Five metrics with a product each, on one card; of a month that ended two days ago.
    async fn create(api: &mut Api, now: DateTime<Utc>) -> Self {
        let end = midnight(now) - Days::new(2);
        let start = end - Months::new(1);
        let card = json!({ "name": "List" });
        let card = id(&api.post("/v1/contract-pricing/rate-cards/create", &card).await);
        let mut rates = Vec::new();
        for number in 0..PRODUCTS {
            let metric = json!({
                "name": format!("Metric {number}"), "aggregation_type": "SUM", "aggregation_key": "quantity",
                "event_type_filter": { "in_values": [event_type(number)] },
                "property_filters": [{ "name": "quantity", "exists": true }],
            });
            let metric = id(&api.post("/v1/billable-metrics/create", &metric).await);
            let product =
                json!({ "name": format!("Product {number}"), "type": "USAGE", "billable_metric_id": metric });
            let product = id(&api.post("/v1/contract-pricing/products/create", &product).await);
            rates.push(json!({
                "product_id": product, "starting_at": text(start), "entitled": true, "rate_type": "FLAT",
                "price": price(number),
            }));
        }
        let rates = json!({ "rate_card_id": card, "rates": rates });
        api.post("/v1/contract-pricing/rate-cards/addRates", &rates).await;
        let grant = api.fixed_product("Prepaid").await;
        Self { card, grant, start, end }
    }

    /// A customer with a contract; answers the customer.
    async fn contract(&self, api: &mut Api, number: usize) -> String {
        let granted = |amount: usize, priority: usize| {
            let segment = json!({
                "amount": amount, "starting_at": text(self.start), "ending_before": text(self.start + Months::new(12)),
            });
            json!({
                "type": "PREPAID", "product_id": self.grant, "priority": priority,
                "access_schedule": { "schedule_items": [segment] },
            })
        };
        let body = json!({
            "customer": { "name": format!("Customer {number}") },
            "contract": {
                "rate_card_id": self.card, "starting_at": text(self.start),
                "usage_statement_schedule": {
                    "frequency": "MONTHLY", "day": "CUSTOM_DATE", "billing_anchor_date": text(self.end),
                },
                "credits": [granted(CREDIT, 1)],
                "commits": [granted(COMMIT, 2)],
            },
        });
        let made = api.post("/v1/composite/createCustomerWithContract", &body).await;
        made["data"]["customer_id"].as_str().unwrap_or_else(|| panic!("a customer: {made}")).to_owned()
    }

    /// The events of these customers, each in an hour of its own.
    async fn usage(&self, api: &mut Api, customers: &[(usize, String)]) {
        let event = |number: usize, customer: &str, product: usize, turn: usize| {
            let age =
                TimeDelta::hours(i64::try_from(turn * 120 + product * 7 + number % 5 + 1).expect("days"));
            json!({
                "transaction_id": format!("{customer} {product} {turn}"), "customer_id": customer,
                "event_type": event_type(product), "timestamp": text(self.end - age),
                "properties": { "quantity": quantity(number).to_string(), "region": "eu-central-1" },
            })
        };
        let of_customer = |(number, customer): &(usize, String)| {
            let products = (0..PRODUCTS).flat_map(|product| (0..EVENTS).map(move |turn| (product, turn)));
            products.map(|(product, turn)| event(*number, customer, product, turn)).collect::<Vec<Value>>()
        };
        for some in customers.chunks(BATCH / (PRODUCTS * EVENTS)) {
            let events: Vec<Value> = some.iter().flat_map(of_customer).collect();
            api.ingest(&json!(events)).await;
        }
    }
}

fn event_type(product: usize) -> String {
    format!("use_{product}")
}

/// In cents.
fn price(product: usize) -> usize {
    10 * (product + 1)
}

/// Of each event of a customer.
fn quantity(customer: usize) -> usize {
    1 + customer % 9
}

/// What a customer uses, in cents.
fn used(customer: usize) -> usize {
    quantity(customer) * EVENTS * (0..PRODUCTS).map(price).sum::<usize>()
}

/// What is left to be paid for it.
fn total(customer: usize) -> usize {
    used(customer).saturating_sub(CREDIT + COMMIT)
}

/// A task for every connection, with its number.
async fn each_connection<T>(
    server: &Server,
    task: impl Fn(Api, usize) -> JoinHandle<T>,
) -> Vec<JoinHandle<T>> {
    let mut tasks = Vec::new();
    for number in 0..CONNECTIONS {
        tasks.push(task(Api::open(&server.address).await, number));
    }
    tasks
}

/// Waits until the server has made so many invoices final.
async fn wait_for(server: &Server, invoices: u64) {
    let give_up = Instant::now() + FINALIZE_TIMEOUT;
    let mut http = Http::open(&server.address).await.expect("the server listens");
    let metrics = get("/metrics", None);
    loop {
        let answer = http.call(&metrics).await.expect("the server answers");
        let answer = String::from_utf8_lossy(answer.ok());
        let number = |name| {
            let line = answer.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or_default()
        };
        let done = number("upbeat_invoices_finalized_total ");
        if done >= invoices {
            return;
        }
        assert!(Instant::now() < give_up, "{done} of {invoices} invoices are final");
        sleep(POLL).await;
    }
}

/// Every customer has one invoice that is final, of what it used less what was paid for.
async fn check(server: &Server, customers: &Arc<Vec<String>>) {
    let tasks = each_connection(server, |mut api, first| {
        let customers = customers.clone();
        tokio::spawn(async move {
            for number in (first..customers.len()).step_by(CONNECTIONS) {
                check_customer(&mut api, &customers[number], number).await;
            }
        })
    });
    for task in tasks.await {
        task.await.expect("every invoice is right");
    }
}

async fn check_customer(api: &mut Api, customer: &str, number: usize) {
    let answer = api.get(&format!("/v1/customers/{customer}/invoices?status=FINALIZED")).await;
    let invoices = answer["data"].as_array().expect("a list");
    assert_eq!(invoices.len(), 1, "one invoice: {answer}");
    let invoice = &invoices[0];
    assert_eq!(invoice["status"], "FINALIZED", "{invoice}");
    assert_eq!(invoice["total"], json!(total(number)), "{invoice}");
    if !number.is_multiple_of(SAMPLE) {
        return;
    }
    let lines = invoice["line_items"].as_array().expect("lines");
    let cents = |line: &Value| line["total"].as_i64().expect("whole cents");
    let positive: i64 = lines.iter().map(cents).filter(|cents| *cents > 0).sum();
    assert_eq!(usize::try_from(positive), Ok(used(number)), "all usage is on it: {invoice}");
    let products = (0..PRODUCTS).filter(|product| {
        let name = format!("Product {product}");
        lines.iter().any(|line| line["name"].as_str().is_some_and(|shown| shown.starts_with(&name)))
    });
    assert_eq!(products.count(), PRODUCTS, "a line of each product: {invoice}");
    let asked = json!({ "customer_id": customer });
    let left = api.post("/v1/contracts/customerBalances/getNetBalance", &asked).await;
    let expected = (CREDIT + COMMIT).saturating_sub(used(number));
    assert_eq!(left["data"]["balance"], json!(expected), "what is left of the credit and the commit");
}
