//! Databases of the test PostgreSQL, and SQL from tests.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use upbeat::event::Facts;

use super::Place;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A new, empty database that ends with the test.
pub struct Database {
    pub name: String,
    pub url: String,
    server: String,
}

impl Database {
    pub fn new() -> Self {
        let server = std::env::var("UPBEAT_TEST_DATABASE_URL").expect(
            "UPBEAT_TEST_DATABASE_URL names a PostgreSQL; run the tests with `make test` or tests/with-postgres.sh",
        );
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("process_{}_{number}", std::process::id());
        let (host, _) = server.rsplit_once('/').expect("an address with a database");
        let url = format!("{host}/{name}");
        execute(&options(&server), &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        execute(&options(&server), &format!("CREATE DATABASE {name}"));
        Self { name, url, server }
    }

    pub fn options(&self) -> PgConnectOptions {
        options(&self.url)
    }

    /// The address with a password, which the test PostgreSQL does not ask for.
    pub fn url_with_password(&self, password: &str) -> String {
        self.url.replacen('@', &format!(":{password}@"), 1)
    }

    /// Host and port.
    pub fn address(&self) -> String {
        let (_, rest) = self.url.split_once('@').expect("an address with a user");
        rest.split('/').next().unwrap_or_default().to_owned()
    }

    /// The same database at another host and port.
    pub fn url_through(&self, address: &str) -> String {
        self.url.replacen(&self.address(), address, 1)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        execute(&options(&self.server), &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

impl Place {
    /// The private PostgreSQL of the usual data directory.
    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.data().join("socket"))
            .username("upbeat")
            .database("upbeat")
    }
}

fn options(url: &str) -> PgConnectOptions {
    url.parse().expect("UPBEAT_TEST_DATABASE_URL is a PostgreSQL address")
}

/// Runs statements.
pub fn execute(options: &PgConnectOptions, statements: &str) {
    block_on(async {
        let mut db = PgConnection::connect_with(options).await.expect("PostgreSQL answers");
        db.execute(AssertSqlSafe(statements.to_owned()))
            .await
            .unwrap_or_else(|error| panic!("{statements}: {error}"));
        db.close().await.expect("the connection closes");
    });
}

/// The one text column that a query answers.
pub fn texts(options: &PgConnectOptions, query: &str) -> Vec<String> {
    block_on(async {
        let mut db = PgConnection::connect_with(options).await.expect("PostgreSQL answers");
        let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
        let rows = query.fetch_all(&mut db).await.expect("the query is right");
        db.close().await.expect("the connection closes");
        rows
    })
}

/// The transaction ids of all events that are kept and count.
pub fn kept_transactions(options: &PgConnectOptions) -> Vec<String> {
    let batches: Vec<(i16, Vec<u8>)> = block_on(async {
        let mut db = PgConnection::connect_with(options).await.expect("PostgreSQL answers");
        let query = sqlx::query_as("SELECT codec, payload FROM event_batch");
        let rows = query.fetch_all(&mut db).await.expect("the query is right");
        db.close().await.expect("the connection closes");
        rows
    });
    let kept = |(codec, payload): &(i16, Vec<u8>)| {
        let facts = Facts::unpack(*codec, payload).expect("a payload");
        let counting = facts.iter().filter(|(_, fact)| !fact.is_duplicate);
        counting.map(|(_, fact)| fact.transaction_id.to_owned()).collect::<Vec<_>>()
    };
    batches.iter().flat_map(kept).collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}
