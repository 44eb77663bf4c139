//! The PostgreSQL that all contenders share.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::time::{Instant, sleep};

use crate::machine;

/// Settings of the cluster, a line each, for a machine that does nothing else. What makes it durable is spelled out
/// though it is what PostgreSQL ships with.
pub fn settings() -> String {
    let shared_buffers = machine::memory_kib() / 4 / 1024;
    format!(
        "fsync = on\n\
         synchronous_commit = on\n\
         full_page_writes = on\n\
         shared_buffers = {shared_buffers}MB\n\
         wal_buffers = 64MB\n\
         max_wal_size = 16GB\n\
         checkpoint_timeout = 30min\n\
         checkpoint_completion_target = 0.9\n\
         commit_delay = 0\n\
         jit = off\n\
         autovacuum_vacuum_scale_factor = 0.02\n\
         autovacuum_vacuum_insert_scale_factor = 0.2\n"
    )
}

/// Log that the server writes with nothing to do, in `quiet_for`.
const QUIET_BYTES: u64 = 256 * 1024;
/// How long work that was put off may take to end: a hundred million events are in segments some minutes after they came.
const SETTLE_MAX: Duration = Duration::from_mins(20);

pub struct Postgres {
    db: PgConnection,
    /// Address without the database, and what follows it.
    server: String,
    socket: String,
    postmaster: u32,
}

impl Postgres {
    /// Connects, and refuses a server whose figures would be worth nothing.
    pub async fn connect(url: &str) -> Self {
        let mut db = PgConnection::connect(url).await.expect("PostgreSQL answers");
        for name in ["fsync", "synchronous_commit", "full_page_writes"] {
            let value: String = sqlx::query_scalar("SELECT current_setting($1)")
                .bind(name)
                .fetch_one(&mut db)
                .await
                .expect("a setting");
            assert_eq!(value, "on", "{name} must be on; `make bench` starts a PostgreSQL of its own");
        }
        // Not every build has lz4; what it has otherwise is slower but small too.
        if db.execute("ALTER SYSTEM SET wal_compression = 'lz4'").await.is_err() {
            db.execute("ALTER SYSTEM SET wal_compression = on").await.expect("every PostgreSQL has it");
        }
        db.execute("SELECT pg_reload_conf()").await.expect("reloaded");
        let backend: i32 =
            sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut db).await.expect("a backend");
        let postmaster = machine::parent(u32::try_from(backend).expect("a process id"));
        let server = url.rsplit_once('/').expect("an address with a database").0.to_owned();
        let mut postgres = Self { db, server, socket: String::new(), postmaster };
        // As a server reaches the PostgreSQL that it runs itself.
        let directories = postgres.text("SELECT current_setting('unix_socket_directories')").await;
        if let Some(directory) = directories.split(',').next().filter(|directory| !directory.is_empty()) {
            postgres.socket = format!("?host={}", directory.trim());
        }
        postgres
    }

    async fn text(&mut self, query: &'static str) -> String {
        sqlx::query_scalar(query).fetch_one(&mut self.db).await.expect("a text")
    }

    pub async fn version(&mut self) -> String {
        self.text("SELECT split_part(current_setting('server_version'), ' ', 1)").await
    }

    pub async fn data_directory(&mut self) -> String {
        self.text("SELECT current_setting('data_directory')").await
    }

    /// A new, empty database; answers its address.
    pub async fn create(&mut self, name: &str) -> String {
        self.drop(name).await;
        let statement = format!("CREATE DATABASE {name} TEMPLATE template0");
        self.db.execute(AssertSqlSafe(statement)).await.expect("a new database");
        format!("{}/{name}{}", self.server, self.socket)
    }

    /// A database like one that nobody is connected to; answers its address.
    pub async fn copy(&mut self, name: &str, original: &str) -> String {
        self.drop(name).await;
        let statement = format!("CREATE DATABASE {name} TEMPLATE {original}");
        self.db.execute(AssertSqlSafe(statement)).await.expect("a copy");
        format!("{}/{name}{}", self.server, self.socket)
    }

    pub async fn drop(&mut self, name: &str) {
        let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        self.db.execute(AssertSqlSafe(statement)).await.expect("dropped");
    }

    pub async fn checkpoint(&mut self) {
        self.db.execute("CHECKPOINT").await.expect("a checkpoint");
    }

    /// Bytes of log that were ever written.
    pub async fn log_bytes(&mut self) -> u64 {
        let bytes: i64 =
            sqlx::query_scalar("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
                .fetch_one(&mut self.db)
                .await
                .expect("a place in the log");
        u64::try_from(bytes).expect("the log begins at 0")
    }

    /// CPU time of the whole server, in microseconds.
    pub fn cpu_micros(&self) -> u64 {
        machine::family_cpu_micros(self.postmaster)
    }

    /// Waits until nothing has been written for a while: work that a server put off counts as its work too.
    pub async fn settle(&mut self, quiet_for: Duration) {
        let give_up = Instant::now() + SETTLE_MAX;
        let mut before = self.log_bytes().await;
        loop {
            sleep(quiet_for).await;
            let now = self.log_bytes().await;
            if now - before < QUIET_BYTES {
                return;
            }
            assert!(
                Instant::now() < give_up,
                "the server still writes {} s after the load",
                SETTLE_MAX.as_secs()
            );
            before = now;
        }
    }
}
