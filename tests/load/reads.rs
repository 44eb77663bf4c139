//! How long reads take on a full server.
//!
//! ```text
//! cargo build --release && tests/with-postgres.sh cargo run --release --example reads
//! ```
//!
//! Fills a new database (100,000 customers with a contract each, 2,000 products, 200 rate cards of 500 rates),
//! starts `target/release/upbeat` on it and calls every reading operation at a fixed rate. The time of a request
//! counts from the instant at which it was due, so a server that falls behind cannot hide it.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const ADDRESS: &str = "127.0.0.1:18099";
const TOKEN: &str = "a-token-for-measuring-reads";
const DATABASE: &str = "upbeat_reads";

/// Requests a second, over all operations.
const RATE: u32 = 500;
const SECONDS: u32 = 30;
/// Before them, so that connections are open and plans are made.
const WARM_SECONDS: u32 = 5;
const CONNECTIONS: usize = 32;

/// The data, in SQL: the API would take an hour. Ids are random; every row is as the API makes it.
const FILL: &[(&str, &str)] = &[
    (
        "100,000 customers with two aliases",
        "INSERT INTO customer (environment_id, id, name, salesforce_account_id, created_at, updated_at)
         SELECT $1, gen_random_uuid(), 'Customer ' || n, 'account-' || n, timestamptz '2026-01-01' + n * interval '1 second',
                timestamptz '2026-01-01'
         FROM generate_series(1, 100000) n;
         INSERT INTO ingest_alias (environment_id, alias, customer_id, position)
         SELECT $1, name || ' alias ' || n, id, n FROM customer, generate_series(0, 1) n",
    ),
    (
        "2,000 products with a metric",
        "INSERT INTO billable_metric (environment_id, id, name, aggregation_type, created_at, created_arrival)
         SELECT $1, gen_random_uuid(), 'Metric ' || n, 'COUNT', timestamptz '2026-01-01' + n * interval '1 second', 1
         FROM generate_series(1, 100) n;
         INSERT INTO product (environment_id, id, type, name, billable_metric_id, is_refundable, created_at, created_by)
         SELECT $1, gen_random_uuid(), 'USAGE', 'Product ' || n,
                (SELECT id FROM billable_metric ORDER BY created_at OFFSET n % 100 LIMIT 1), true,
                timestamptz '2026-01-01' + n * interval '1 second', 'load'
         FROM generate_series(1, 2000) n",
    ),
    (
        "200 rate cards of 500 rates",
        "INSERT INTO rate_card (environment_id, id, name, fiat_credit_type_id, created_at, created_by)
         SELECT $1, gen_random_uuid(), 'Card ' || n, '2714e483-4ff1-48e4-9e25-ac732e8f24f2',
                timestamptz '2026-01-01' + n * interval '1 second', 'load'
         FROM generate_series(1, 200) n;
         INSERT INTO rate_card_product (environment_id, rate_card_id, product_id, position, credit_type_id)
         SELECT $1, card.id, product.id, product.row_number, '2714e483-4ff1-48e4-9e25-ac732e8f24f2'
         FROM rate_card card,
              (SELECT id, row_number() OVER (ORDER BY created_at) FROM product ORDER BY created_at LIMIT 500) product;
         INSERT INTO rate (environment_id, rate_card_id, product_id, pricing_group_values, starting_at, entitled,
                           rate_type, price, created_at, created_by)
         SELECT $1, rate_card_id, product_id, '{}', '2026-01-01', true, 'FLAT', position, '2026-01-01', 'load'
         FROM rate_card_product",
    ),
];

/// One reading operation and its requests.
struct Operation {
    name: &'static str,
    is_list: bool,
    requests: Vec<String>,
}

#[tokio::main]
async fn main() {
    let url = std::env::var("UPBEAT_TEST_DATABASE_URL").expect("run under tests/with-postgres.sh");
    let options: PgConnectOptions = url.parse().expect("a PostgreSQL address");
    let mut server = PgConnection::connect_with(&options).await.expect("PostgreSQL answers");
    server.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {DATABASE}"))).await.expect("dropped");
    server.execute(AssertSqlSafe(format!("CREATE DATABASE {DATABASE}"))).await.expect("created");
    let url = format!("{}/{DATABASE}", url.rsplit_once('/').expect("a database in the address").0);
    let upbeat = Upbeat::start(&url).await;
    let mut db = PgConnection::connect_with(&options.database(DATABASE)).await.expect("the new database");
    fill(&mut db).await;
    let operations = Arc::new(operations(&mut db).await);
    println!("{RATE} requests a second for {SECONDS} s, over {} operations", operations.len());
    measure(operations.clone(), WARM_SECONDS).await;
    let mut times = measure(operations.clone(), SECONDS).await;

    println!("\n{:<44} {:>7} {:>9} {:>9} {:>9}", "operation", "count", "p50 ms", "p99 ms", "max ms");
    let mut missed = 0;
    for (operation, times) in operations.iter().zip(&mut times) {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        let bound = Duration::from_millis(if operation.is_list { 20 } else { 5 });
        let verdict = if at(99) < bound { "" } else { "  over its bound" };
        missed += usize::from(at(99) >= bound);
        let millis = |time: Duration| format!("{}.{:02}", time.as_millis(), time.as_micros() % 1000 / 10);
        println!(
            "{:<44} {:>7} {:>9} {:>9} {:>9}{verdict}",
            operation.name,
            times.len(),
            millis(at(50)),
            millis(at(99)),
            millis(at(100)),
        );
    }
    drop(upbeat);
    assert_eq!(missed, 0, "operations over their bound (5 ms for one object, 20 ms for a page)");
}

/// The server under measurement; it ends with this value.
struct Upbeat(Child);

impl Upbeat {
    async fn start(url: &str) -> Self {
        let child = Command::new("target/release/upbeat")
            .args(["serve", "--listen", ADDRESS])
            .env("DATABASE_URL", url)
            .env("UPBEAT_BOOTSTRAP_TOKEN", TOKEN)
            .env("UPBEAT_LOG", "error")
            .stdout(Stdio::null())
            .spawn()
            .expect("target/release/upbeat is built");
        let upbeat = Self(child);
        for _ in 0..100 {
            if is_ready().await.unwrap_or(false) {
                return upbeat;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the server is not ready");
    }
}

/// Whether the server listens and its database is migrated.
async fn is_ready() -> std::io::Result<bool> {
    let mut stream = BufReader::new(TcpStream::connect(ADDRESS).await?);
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: upbeat\r\nconnection: close\r\n\r\n").await?;
    let mut status = String::new();
    stream.read_line(&mut status).await?;
    Ok(status.contains(" 200 "))
}

impl Drop for Upbeat {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn fill(db: &mut PgConnection) {
    let environment: uuid::Uuid = sqlx::query_scalar("SELECT id FROM environment WHERE kind = 'SANDBOX'")
        .fetch_one(&mut *db)
        .await
        .expect("the sandbox");
    for (what, statements) in FILL {
        for statement in statements.split(';') {
            let statement = statement.replace("$1", &format!("'{environment}'::uuid"));
            db.execute(AssertSqlSafe(statement)).await.expect(what);
        }
        println!("{what}");
    }
    // The columns of a contract are as the API fills them: copied from one that it made.
    let customer = first(db, "customer").await;
    let card = first(db, "rate_card").await;
    let body =
        json!({ "customer_id": customer, "rate_card_id": card, "starting_at": "2026-11-01T00:00:00Z" });
    let mut connection = Http::open().await;
    let created = connection.call(&post("/v1/contracts/create", &body)).await;
    assert!(created["data"]["id"].is_string(), "{created}");
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(attname) FROM pg_attribute
         WHERE attrelid = 'contract'::regclass AND attnum > 0 AND NOT attisdropped
           AND attname NOT IN ('environment_id', 'customer_id', 'id') AND attgenerated = '' AND attidentity = ''",
    )
    .fetch_all(&mut *db)
    .await
    .expect("the columns of contract");
    let columns = columns.join(", ");
    let copied: Vec<String> = columns.split(", ").map(|column| format!("model.{column}")).collect();
    let statement = format!(
        "INSERT INTO contract (environment_id, customer_id, id, {columns})
         SELECT customer.environment_id, customer.id, gen_random_uuid(), {}
         FROM customer, (SELECT * FROM contract LIMIT 1) model WHERE customer.id <> '{customer}'",
        copied.join(", "),
    );
    db.execute(AssertSqlSafe(statement)).await.expect("contracts");
    println!("100,000 contracts");
    // A database at rest: otherwise the run measures autovacuum and the writing back of what was just filled in.
    db.execute("VACUUM ANALYZE").await.expect("vacuumed");
    db.execute("CHECKPOINT").await.expect("written");
}

async fn first(db: &mut PgConnection, table: &str) -> String {
    ids(db, table, 1).await.remove(0)
}

async fn ids(db: &mut PgConnection, table: &str, count: usize) -> Vec<String> {
    let query = format!("SELECT id::text FROM {table} ORDER BY md5(id::text) LIMIT {count}");
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(db).await.expect("ids")
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: upbeat\r\nauthorization: Bearer {TOKEN}\r\n\r\n")
}

fn post(path: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: upbeat\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

async fn operations(db: &mut PgConnection) -> Vec<Operation> {
    let customers = ids(db, "customer", 300).await;
    let products = ids(db, "product", 300).await;
    let cards = ids(db, "rate_card", 200).await;
    let metrics = ids(db, "billable_metric", 100).await;
    let contracts: Vec<(String, String)> =
        sqlx::query("SELECT customer_id::text, id::text FROM contract ORDER BY md5(id::text) LIMIT 300")
            .fetch_all(&mut *db)
            .await
            .expect("contracts")
            .into_iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect();
    let mut connection = Http::open().await;
    let deep_pages = deep_pages(&mut connection).await;
    let one = |name, requests| Operation { name, is_list: false, requests };
    let list = |name, requests| Operation { name, is_list: true, requests };
    let each = |ids: &[String], make: &dyn Fn(&String) -> String| ids.iter().map(make).collect::<Vec<_>>();
    let by_id = |ids: &[String], path: &'static str| each(ids, &|id| post(path, &json!({ "id": id })));
    let of_contract = |path: &'static str| -> Vec<String> {
        let body = |(customer, id): &(String, String)| json!({ "customer_id": customer, "contract_id": id });
        contracts.iter().map(|contract| post(path, &body(contract))).collect()
    };
    let of_customer = |path: &'static str| each(&customers, &|id| post(path, &json!({ "customer_id": id })));
    vec![
        one("GET customer", each(&customers, &|id| get(&format!("/v1/customers/{id}")))),
        one("GET billable metric", each(&metrics, &|id| get(&format!("/v1/billable-metrics/{id}")))),
        one("get product", by_id(&products, "/v1/contract-pricing/products/get")),
        one("get rate card", by_id(&cards, "/v1/contract-pricing/rate-cards/get")),
        one("get contract, v1", of_contract("/v1/contracts/get")),
        one("get contract, v2", of_contract("/v2/contracts/get")),
        list("list customers", vec![get("/v1/customers")]),
        list("list customers, any page", deep_pages),
        list(
            "list customers by alias",
            (1..300)
                .map(|n| get(&format!("/v1/customers?ingest_alias=Customer%20{n}%20alias%201")))
                .collect(),
        ),
        list(
            "list customers by 100 ids",
            customers
                .chunks(100)
                .map(|ids| get(&format!("/v1/customers?customer_ids={}", ids.join("%2C"))))
                .collect(),
        ),
        list(
            "list customers by account",
            (1..300)
                .map(|n| get(&format!("/v1/customers?salesforce_account_ids=account-{}", n * 300)))
                .collect(),
        ),
        list(
            "list customers by 100 accounts",
            (1..300)
                .map(|n| {
                    let accounts: Vec<String> =
                        (0..100).map(|k| format!("account-{}", n * 300 + k)).collect();
                    get(&format!("/v1/customers?salesforce_account_ids={}", accounts.join("%2C")))
                })
                .collect(),
        ),
        list(
            "list customers by ids and account",
            customers
                .chunks(100)
                .map(|ids| {
                    let ids = ids.join("%2C");
                    get(&format!("/v1/customers?customer_ids={ids}&salesforce_account_ids=account-300"))
                })
                .collect(),
        ),
        list("list archived customers", vec![get("/v1/customers?only_archived=true")]),
        list("list billable metrics", vec![get("/v1/billable-metrics")]),
        list(
            "list metrics of a customer's contracts",
            each(&customers, &|id| get(&format!("/v1/customers/{id}/billable-metrics?on_current_plan=true"))),
        ),
        list("list products", vec![post("/v1/contract-pricing/products/list", &json!({}))]),
        list("list rate cards", vec![post("/v1/contract-pricing/rate-cards/list", &json!({}))]),
        list(
            "get rates, 100 of 500",
            each(&cards, &|id| {
                let body = json!({ "rate_card_id": id, "at": "2026-03-01T00:00:00Z" });
                post("/v1/contract-pricing/rate-cards/getRates", &body)
            }),
        ),
        list(
            "get rate schedule, 100 of 500",
            each(&cards, &|id| {
                let body = json!({ "rate_card_id": id, "starting_at": "2026-03-01T00:00:00Z" });
                post("/v1/contract-pricing/rate-cards/getRateSchedule", &body)
            }),
        ),
        list("list contracts, v1", of_customer("/v1/contracts/list")),
        list("list contracts, v2", of_customer("/v2/contracts/list")),
        list("audit log", vec![get("/v1/auditLogs")]),
        list("custom field keys", vec![post("/v1/customFields/listKeys", &json!({}))]),
    ]
}

/// A walk far into the list of customers.
async fn deep_pages(connection: &mut Http) -> Vec<String> {
    let mut requests = Vec::new();
    let mut path = "/v1/customers".to_owned();
    for _ in 0..500 {
        let request = get(&path);
        let page = connection.call(&request).await;
        requests.push(request);
        let Some(next) = page["next_page"].as_str() else { break };
        path = format!("/v1/customers?next_page={next}");
    }
    requests
}

/// Calls the operations in turn at the fixed rate; answers the times of each.
async fn measure(operations: Arc<Vec<Operation>>, seconds: u32) -> Vec<Vec<Duration>> {
    let (jobs, queue) = mpsc::unbounded_channel::<(usize, Instant)>();
    let queue = Arc::new(tokio::sync::Mutex::new(queue));
    let (results, mut measured) = mpsc::unbounded_channel();
    for _ in 0..CONNECTIONS {
        let (operations, queue, results) = (operations.clone(), queue.clone(), results.clone());
        tokio::spawn(async move {
            let mut connection = Http::open().await;
            let mut turn = 0;
            loop {
                let next = queue.lock().await.recv().await;
                let Some((index, due)) = next else { break };
                turn += 1;
                let requests = &operations[index].requests;
                connection.call(&requests[(turn * 7919 + index) % requests.len()]).await;
                let _ = results.send((index, due.elapsed()));
            }
        });
    }
    drop(results);
    let count = operations.len();
    // A thread of its own, for the runtime's timer is late by up to a millisecond.
    thread::spawn(move || {
        let start = Instant::now();
        for number in 0..RATE * seconds {
            let due = start + Duration::from_secs(1) * number / RATE;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            jobs.send((number as usize % count, due)).expect("connections wait for jobs");
        }
    });
    let mut times = vec![Vec::new(); operations.len()];
    while let Some((index, time)) = measured.recv().await {
        times[index].push(time);
    }
    times
}

/// A connection that is kept open.
struct Http(BufReader<TcpStream>);

impl Http {
    async fn open() -> Self {
        let stream = TcpStream::connect(ADDRESS).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP connection");
        Self(BufReader::new(stream))
    }

    /// The JSON of a 200; anything else ends the measurement.
    async fn call(&mut self, request: &str) -> Value {
        self.0.get_mut().write_all(request.as_bytes()).await.expect("the request goes out");
        let mut status = String::new();
        self.0.read_line(&mut status).await.expect("a status line");
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.expect("a header");
            let line = line.trim().to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("the body");
        assert!(status.contains(" 200 "), "{status} {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("JSON")
    }
}
