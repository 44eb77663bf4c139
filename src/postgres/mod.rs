//! The database: a given PostgreSQL, or a private one that this process starts.
//!
//! Owns: connecting, migrating, snapshots, the order of arrivals, the private cluster under the data directory, which
//! settings suit.
//! Does not own: any table's meaning.

mod arrival;
mod embedded;
pub mod tuning;

pub use arrival::{begin_arrivals, hold_arrivals, last_arrival, next_arrival, share_arrivals};
pub use embedded::{EmbeddedPostgres, find_binaries};

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::timeout;

use crate::config::Storage;

/// The embedded migrations, run before the server listens.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Oldest supported server, as `server_version_num` counts.
pub const SERVER_VERSION_MIN: i32 = 140_000;

/// Settings of every session.
const SESSION: [(&str, &str); 8] = [
    ("timezone", "UTC"),
    // Whoever waits for a lock sees what was committed before it came free.
    ("default_transaction_isolation", "read committed"),
    ("jit", "off"),
    // A statement is planned when its table may still be empty, and its plan is kept: what would then be read as a whole would be
    // when it has grown.
    ("enable_seqscan", "off"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

const CONNECTIONS_MAX: u32 = 16;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may rest before it is asked whether it is still there.
const ASKED_AFTER: Duration = Duration::from_millis(50);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connected database and, where it is private, the server behind it.
pub struct Database {
    pub pool: PgPool,
    embedded: Option<EmbeddedPostgres>,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("DATABASE_URL is not a PostgreSQL address: it must start with postgres:// or postgresql://")]
    NotPostgres,
    #[error("DATABASE_URL is not a PostgreSQL address")]
    BadUrl(#[source] sqlx::Error),
    #[error("the private PostgreSQL does not run")]
    Embedded(#[from] embedded::EmbeddedError),
    #[error("cannot connect to PostgreSQL at {address}; check DATABASE_URL and that the server runs")]
    Connect {
        address: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("PostgreSQL {0} is too old; 14 or newer is needed")]
    TooOld(String),
    #[error("the migrations failed")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Database {
    /// Connects to `DATABASE_URL`, or starts (or joins) the private cluster.
    pub async fn open(storage: &Storage) -> Result<Self, DatabaseError> {
        let (options, embedded) = if let Some(url) = storage.database_url() {
            (parse_url(url)?, None)
        } else {
            let server = EmbeddedPostgres::start(&storage.data_dir).await?;
            (server.connect_options(), Some(server))
        };
        match connect(options).await {
            Ok(pool) => Ok(Self { pool, embedded }),
            Err(error) => {
                if let Some(server) = embedded {
                    server.stop().await?;
                }
                Err(error)
            }
        }
    }

    /// From now on ends each statement after a while, except in a transaction that [`begin_unhurried`] began. What a request
    /// leaves behind that is given up would else hold its connection, and with it another request, until it ends by itself.
    pub async fn limit_statements(&mut self, limit: Duration) {
        let options = (*self.pool.connect_options()).clone();
        let options = options.options([("statement_timeout", format!("{}ms", limit.as_millis()))]);
        let limited = pool_options(CONNECTIONS_MAX).connect_lazy_with(options);
        std::mem::replace(&mut self.pool, limited).close().await;
    }

    pub async fn migrate(&self) -> Result<(), DatabaseError> {
        Ok(MIGRATIONS.run(&self.pool).await?)
    }

    /// Closes every connection and stops the private server, if this process owns it.
    pub async fn close(self) -> Result<(), DatabaseError> {
        if timeout(CLOSE_TIMEOUT, self.pool.close()).await.is_err() {
            tracing::warn!(
                "statements were still running after {} s and are cut off",
                CLOSE_TIMEOUT.as_secs()
            );
        }
        if let Some(server) = self.embedded {
            server.stop().await?;
        }
        Ok(())
    }
}

fn parse_url(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(DatabaseError::NotPostgres);
    }
    url.parse().map_err(DatabaseError::BadUrl)
}

/// A pool whose sessions speak UTC. A transaction of a process that is paused or cut off ends within minutes
/// and lets go of its locks.
pub async fn connect(options: PgConnectOptions) -> Result<PgPool, DatabaseError> {
    let options = options.application_name("upbeat").options(SESSION);
    let address = format!("{}:{}", options.get_host(), options.get_port());
    let failed = |source| DatabaseError::Connect { address: address.clone(), source };
    let mut first = PgConnection::connect_with(&options).await.map_err(failed)?;
    let (number, version) = server_version(&mut first).await.map_err(failed)?;
    if number < SERVER_VERSION_MIN {
        return Err(DatabaseError::TooOld(version));
    }
    first.close().await.map_err(failed)?;
    pool_options(CONNECTIONS_MAX).connect_with(options).await.map_err(failed)
}

/// A pool of its own beside another, to the same database with the same settings but no limit on statements; it connects
/// when it is used.
#[must_use]
pub fn beside(pool: &PgPool, connections: u32) -> PgPool {
    let options = (*pool.connect_options()).clone().options([("statement_timeout", "0")]);
    pool_options(connections).connect_lazy_with(options)
}

fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // One that was just in use need not be asked whether it is there: that would be a round trip for each request.
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move {
                if state.idle_for > ASKED_AFTER {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

async fn server_version(db: &mut PgConnection) -> Result<(i32, String), sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT current_setting('server_version_num')::int AS "number!",
                  current_setting('server_version') AS "text!""#
    )
    .fetch_one(db)
    .await?;
    Ok((row.number, row.text))
}

/// The versions of the migrations that the database has.
pub async fn applied_migrations(pool: &PgPool) -> Result<BTreeSet<i64>, sqlx::Error> {
    // Not checked at compile time: the migrator makes this table itself.
    let versions =
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success").fetch_all(pool).await?;
    Ok(BTreeSet::from_iter(versions))
}

/// A transaction whose statements take what they need, for work that nobody waits for with a time limit; they may read whole
/// tables.
pub async fn begin_unhurried(
    pool: &PgPool,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    pool.begin_with("BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on").await
}

/// The same as a snapshot, as [`begin_snapshot`].
pub async fn begin_unhurried_snapshot(
    pool: &PgPool,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    pool.begin_with(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on",
    )
    .await
}

/// A transaction in which every statement sees the same instant of the database, for reads that must agree.
pub async fn begin_snapshot(
    pool: &PgPool,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await
}
