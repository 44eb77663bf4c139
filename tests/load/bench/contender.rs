//! A server with its database, and what that database must hold.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::sleep;

use crate::event::{REQUEST, Random, Source, Totals};
use crate::load::{self, Job, Outcome, Pressure};
use crate::postgres::Postgres;
use crate::process::call;
use crate::server::{Kind, Server, TOKEN};
use crate::upbeat::{Api, Metrics};

/// Longest wait for segments.
const ORDER_MAX: Duration = Duration::from_mins(20);

pub struct Contender {
    kind: Kind,
    pub database_url: String,
    database: String,
    pub customers: Vec<String>,
    /// Upbeat's.
    pub metrics: Option<Metrics>,
    /// What its answers promised.
    pub expected: Totals,
    now: DateTime<Utc>,
}

/// How the load of one run is.
#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub batch: usize,
    pub pressure: Pressure,
    pub warm: Duration,
    pub window: Duration,
    pub resent_per_mille: u64,
    /// Forces a checkpoint into the window.
    pub with_checkpoint: bool,
    /// Waits for work that was put off before it looks what the run has cost.
    pub quiet_for: Option<Duration>,
}

/// What one run showed.
pub struct Run {
    pub load: Outcome,
    pub events_per_second: u64,
    pub server_cpu_micros: u64,
    pub postgres_cpu_micros: u64,
    pub log_bytes: u64,
    pub peak_memory_kib: u64,
}

impl Contender {
    /// On a new database, with as many customers.
    pub async fn new(
        kind: Kind,
        name: &str,
        customers: usize,
        postgres: &mut Postgres,
        now: DateTime<Utc>,
    ) -> Self {
        Self::begun_at(None, kind, name, customers, postgres, now).await
    }

    /// [`Self::new`], with the clock of its sandbox frozen at an instant that is past.
    pub async fn begun_at(
        instant: Option<DateTime<Utc>>,
        kind: Kind,
        name: &str,
        customers: usize,
        postgres: &mut Postgres,
        now: DateTime<Utc>,
    ) -> Self {
        let database = format!("bench_{name}");
        let database_url = postgres.create(&database).await;
        let server = Server::start(kind, &database_url).await;
        let (customers, metrics) = match kind {
            Kind::Naive => {
                let mut random = Random::new();
                ((0..customers).map(|_| random.id().to_string()).collect(), None)
            }
            Kind::Upbeat => {
                let mut api = Api::open(&server.address).await;
                if let Some(instant) = instant {
                    api.move_clock(instant).await;
                }
                let metrics = api.metrics().await;
                (api.customers(customers).await, Some(metrics))
            }
        };
        server.stop().await;
        Self { kind, database_url, database, customers, metrics, expected: Totals::default(), now }
    }

    pub async fn start(&self) -> Server {
        Server::start(self.kind, &self.database_url).await
    }

    /// Events of all customers in the last hour, five models each.
    pub fn source(&self) -> Source {
        source(self.customers.clone(), self.now)
    }

    /// One run from the start of the server to its end, checked.
    pub async fn run(&mut self, postgres: &mut Postgres, load: Load) -> Run {
        let server = self.start().await;
        server.rest().await;
        // Every run begins with the same: nothing left to write of the one before.
        postgres.checkpoint().await;
        let before = (server.cpu_micros(), postgres.cpu_micros(), postgres.log_bytes().await);
        let job = job(&server, load, self.source());
        let sending = async { call::<load::Job, Outcome>("load", &job).await };
        let checkpoint = async {
            if load.with_checkpoint {
                sleep(load.warm + load.window / 3).await;
                postgres.checkpoint().await;
            }
        };
        let (outcome, ()) = tokio::join!(sending, checkpoint);
        self.expected.add(outcome.totals);
        if let Some(quiet_for) = load.quiet_for {
            postgres.settle(quiet_for).await;
        }
        let run = Run {
            events_per_second: outcome.events_in_window * 1000 / millis(load.window),
            server_cpu_micros: server.cpu_micros() - before.0,
            postgres_cpu_micros: postgres.cpu_micros().saturating_sub(before.1),
            log_bytes: postgres.log_bytes().await - before.2,
            peak_memory_kib: server.peak_memory_kib(),
            load: outcome,
        };
        self.check(&server).await;
        server.stop().await;
        run
    }

    /// Every event that was answered with 200 counts, and counts once.
    pub async fn check(&self, server: &Server) {
        let found = match &self.metrics {
            Some(metrics) => {
                Api::open(&server.address).await.totals(&self.customers, metrics, self.now).await
            }
            None => self.stored_by_naive().await,
        };
        assert_eq!(found, self.expected, "{:?}: the usage (left) is not what was acknowledged", self.kind);
    }

    async fn stored_by_naive(&self) -> Totals {
        let mut db = PgConnection::connect(&self.database_url).await.expect("PostgreSQL answers");
        let row: (i64, i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM event),
                    coalesce(sum(event_count) FILTER (WHERE metric = 'requests'), 0)::bigint,
                    coalesce(sum(total) FILTER (WHERE metric = 'tokens'), 0)::bigint,
                    coalesce(max(greatest) FILTER (WHERE metric = 'longest'), 0)::bigint
             FROM rollup",
        )
        .fetch_one(&mut db)
        .await
        .expect("sums");
        assert_eq!(row.0, row.1, "the naive server's rows and rollups agree");
        let number = |value: i64| u64::try_from(value).expect("sums of what counts up");
        Totals { requests: number(row.1), tokens: number(row.2), longest: number(row.3) }
    }

    /// Waits until the server has put everything that came in into segments, as it does in the background. Otherwise that goes
    /// on while something else is measured.
    pub async fn in_order(&self) {
        let mut db = PgConnection::connect(&self.database_url).await.expect("PostgreSQL answers");
        let give_up = Instant::now() + ORDER_MAX;
        let loose = "SELECT count(*) FROM segment_pending";
        while sqlx::query_scalar::<_, i64>(loose).fetch_one(&mut db).await.expect("a count") > 0 {
            assert!(
                Instant::now() < give_up,
                "there are loose batches {} s after the load",
                ORDER_MAX.as_secs()
            );
            sleep(Duration::from_secs(2)).await;
        }
    }

    /// A database at rest after it was filled by hand.
    pub async fn vacuum(&self) {
        vacuum(&self.database_url).await;
    }

    pub async fn drop(self, postgres: &mut Postgres) {
        postgres.drop(&self.database).await;
    }
}

pub async fn vacuum(database_url: &str) {
    let mut db = PgConnection::connect(database_url).await.expect("PostgreSQL answers");
    db.execute("VACUUM ANALYZE").await.expect("vacuumed");
    db.close().await.expect("closed");
}

/// A job for the load process.
pub fn job(server: &Server, load: Load, source: Source) -> Job {
    Job {
        address: server.address.clone(),
        token: TOKEN.to_owned(),
        connections: load.connections,
        batch: load.batch,
        pressure: load.pressure,
        warm_millis: millis(load.warm),
        window_millis: millis(load.window),
        resent_per_mille: load.resent_per_mille,
        source,
    }
}

/// Events of the last hour.
pub fn source(customers: Vec<String>, now: DateTime<Utc>) -> Source {
    Source { event_type: REQUEST.to_owned(), customers, models: 5, newest: now, spread_seconds: 3600 }
}

pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("seconds")
}
