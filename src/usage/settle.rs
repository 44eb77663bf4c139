//! Usage that is noted as pending becomes rollups, exactly once, and nobody reads without it.
//!
//! A large flush only notes that its usage is to be counted. Whoever counts takes the note away in the transaction that
//! changes the rollups: the roller of any process, or a reader that cannot wait.

use std::time::Duration;

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::{Mutex, Notify};

use super::calc::{Counter, Counts};
use super::store::{PostgresRollups, RollupStore};
use crate::access::{App, list_environments};
use crate::catalog::billable_metric;
use crate::event::{PendingUsage, pending_batches, still_pending, subject_id, take_pending_usage};
use crate::id::EnvironmentId;
use crate::postgres::{begin_snapshot, hold_arrivals, last_arrival};
use crate::telemetry::causes;

/// Held while a settled snapshot is taken, which needs several connections: callers that had one each could wait
/// for the next forever.
static TAKING_SNAPSHOT: Mutex<()> = Mutex::const_new(());

/// Longest wait between two looks for usage that another process left behind.
const POLL: Duration = Duration::from_secs(1);

/// Wait after much was counted, so that the next round counts more at once: the cost is in the hours that are touched.
/// A reader does not wait for the round but counts itself.
const ROUND: Duration = Duration::from_secs(1);

/// Events of a round from which on there is load.
const LOAD_EVENTS: usize = 5000;

/// Counts what is pending, round after round, for ever.
pub async fn roll(app: App, ready: std::sync::Arc<Notify>) {
    while !app.db.is_closed() {
        match roll_all(&app).await {
            Ok(events) if events >= LOAD_EVENTS => tokio::time::sleep(ROUND).await,
            Ok(_) => {
                tokio::select! {
                    () = ready.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
            Err(error) => {
                if !app.db.is_closed() {
                    tracing::error!(cause = causes(&error), "usage is not counted");
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

async fn roll_all(app: &App) -> Result<usize, sqlx::Error> {
    let mut events = 0;
    let environments = list_environments(&mut *app.db.acquire().await?).await?;
    for environment in environments {
        loop {
            let counted = roll_some(&mut *app.db.acquire().await?, environment.id).await?;
            events += counted;
            if counted == 0 {
                break;
            }
        }
    }
    Ok(events)
}

/// Counts the oldest pending usage of an environment; answers of how many events, 0 when nothing is pending any more.
async fn roll_some(db: &mut PgConnection, environment_id: EnvironmentId) -> Result<usize, sqlx::Error> {
    let mut transaction = sqlx::Connection::begin(db).await?;
    let pending = take_pending_usage(&mut transaction, environment_id).await?;
    if pending.is_empty() {
        return Ok(0);
    }
    let metrics = billable_metric::all_metrics(&mut transaction, environment_id).await?;
    let reflows = billable_metric::reflows(&mut transaction, environment_id).await?;
    let counter = Counter::new(environment_id, metrics, &reflows);
    let (events, counts) = tokio::task::spawn_blocking(move || count(environment_id, &counter, &pending))
        .await
        .map_err(|error| sqlx::Error::Decode(error.into()))??;
    PostgresRollups.apply(&mut transaction, environment_id, &counts).await?;
    transaction.commit().await?;
    Ok(events)
}

fn count(
    environment_id: EnvironmentId,
    counter: &Counter,
    pending: &[PendingUsage],
) -> Result<(usize, Counts), sqlx::Error> {
    let decode = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
    let mut counts = Counts::default();
    let mut events = 0;
    for batch in pending {
        let facts = batch.facts()?;
        let subjects: Vec<_> =
            facts.customers().map(|received| subject_id(environment_id, received)).collect();
        for (customer, fact) in facts.iter() {
            events += 1;
            if !fact.is_duplicate {
                counter
                    .count(subjects[customer], &fact, &mut counts)
                    .map_err(|error| decode(error.into()))?;
            }
        }
    }
    Ok((events, counts))
}

/// Counts everything that was committed before the call.
pub async fn settle(pool: &PgPool, environment_id: EnvironmentId) -> Result<(), sqlx::Error> {
    let mut db = pool.acquire().await?;
    let mut left = pending_batches(&mut db, environment_id).await?;
    while !left.is_empty() {
        // Rows that another one counts are waited for.
        roll_some(&mut db, environment_id).await?;
        left = still_pending(&mut db, environment_id, &left).await?;
    }
    Ok(())
}

/// A snapshot in which the rollups have every event whose ingest was answered before the call.
pub async fn begin_usage_snapshot(
    pool: &PgPool,
    environment_id: EnvironmentId,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    settle(pool, environment_id).await?;
    begin_snapshot(pool).await
}

/// A snapshot that sees every arrival up to the number answered with it, and none after, and the usage of each in the
/// rollups. Flushes are kept out only while it is taken.
pub async fn begin_settled_snapshot(
    pool: &PgPool,
    environment_id: EnvironmentId,
) -> Result<(Transaction<'static, Postgres>, i64), sqlx::Error> {
    // Most of it while events may still come.
    settle(pool, environment_id).await?;
    let _one_at_a_time = TAKING_SNAPSHOT.lock().await;
    // All connections before the lock: flushes that wait for it may hold others.
    let mut snapshot = begin_snapshot(pool).await?;
    let mut gate = pool.begin().await?;
    let mut counting = pool.acquire().await?;
    hold_arrivals(&mut gate, environment_id).await?;
    while !pending_batches(&mut counting, environment_id).await?.is_empty() {
        roll_some(&mut counting, environment_id).await?;
    }
    // The first statement, not the beginning, fixes what the snapshot sees.
    let arrival = last_arrival(&mut snapshot).await?;
    gate.rollback().await?;
    Ok((snapshot, arrival))
}
