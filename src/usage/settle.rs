//! Usage that is pending becomes rollups, exactly once, and nobody reads without it.
//!
//! A flush only notes that its usage is to be counted, because the cost is in the hours that are touched, not in the
//! events. Whoever counts takes the note away in the transaction that changes the rollups: the roller of any process, or
//! a reader that needs everything in the rollups. Other readers add what is pending to what they read
//! ([`super::uncounted`]).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::{Mutex, Notify};

use super::calc::{Counter, Counts};
use super::store::{Hurry, Pace, PostgresRollups, RollupStore};
use super::unmatched::{self, Arrived};
use crate::access::{App, list_environments};
use crate::catalog::billable_metric::CountedMetrics;
use crate::event::{
    PendingBatch, RecentBatches, find_pending, pending_batches, still_pending, subject_id, take_pending_usage,
};
use crate::id::{EnvironmentId, SubjectId};
use crate::postgres::{begin_snapshot, begin_unhurried_snapshot, hold_arrivals, last_arrival};
use crate::telemetry::causes;

/// Held while a settled snapshot is taken, which needs several connections: callers that had one each could wait
/// for the next forever.
static TAKING_SNAPSHOT: Mutex<()> = Mutex::const_new(());

/// Longest wait between two looks for usage that another process left behind.
const POLL: Duration = Duration::from_secs(1);

/// With so many rows to write, or so many batches counted, a transaction takes no more of them. The more it takes, the fewer
/// rows change for each event, so that whoever counts catches up however much came in.
const ROWS_MAX: usize = 250_000;
const BATCHES_MAX: usize = 2000;

/// With more batches in one transaction counting is behind: then two count side by side, without pauses. While it keeps up
/// it takes one processor at most, and lets requests in between.
const BATCHES_BEHIND: usize = 500;

/// Wait after each round: the more events are counted together, the fewer rows change for each.
const ROUND: Duration = Duration::from_millis(600);

/// Counts what is pending, round after round, for ever.
pub async fn roll(app: App, recent: RecentBatches, ready: Arc<Notify>) {
    while !app.db.is_closed() {
        if let Err(error) = roll_all(&app, &recent).await
            && !app.db.is_closed()
        {
            tracing::error!(cause = causes(&error), "usage is not counted");
        }
        tokio::time::sleep(ROUND).await;
        tokio::select! {
            () = ready.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Counts what is pending when the round begins.
async fn roll_all(app: &App, recent: &RecentBatches) -> Result<(), sqlx::Error> {
    let environments = list_environments(&mut *app.reserved_db.acquire().await?).await?;
    for environment in environments {
        // One that cannot be counted is no reason to leave the others.
        if let Err(error) = roll_environment(app, environment.id, recent).await
            && !app.db.is_closed()
        {
            tracing::error!(%environment.id, cause = causes(&error), "usage is not counted");
        }
    }
    Ok(())
}

async fn roll_environment(
    app: &App,
    environment_id: EnvironmentId,
    recent: &RecentBatches,
) -> Result<(), sqlx::Error> {
    let mut db = app.reserved_db.acquire().await?;
    let pending = pending_batches(&mut db, environment_id).await?;
    let Some(newest) = pending.into_iter().max() else { return Ok(()) };
    while roll_some(&mut db, environment_id, newest, recent, Pace::Background).await? {}
    Ok(())
}

/// Counts the oldest pending usage of an environment up to a batch that came before the call; false where nothing is
/// pending any more.
async fn roll_some(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    up_to: i64,
    recent: &RecentBatches,
    pace: Pace,
) -> Result<bool, sqlx::Error> {
    let mut transaction = sqlx::Connection::begin(db).await?;
    // Before the notes: they are of what came before, and a metric that is made meanwhile counts none of it.
    let all = CountedMetrics::load(&mut transaction, environment_id).await?;
    let counter = Arc::new(Counter::new(environment_id, all.metrics, &all.reflows));
    let (mut one, mut other) = (Counted::default(), Counted::default());
    let mut batches = 0;
    while batches < BATCHES_MAX && one.counts.rows() + other.counts.rows() < ROWS_MAX {
        let notes = take_pending_usage(&mut transaction, environment_id, up_to).await?;
        if notes.is_empty() {
            break;
        }
        // Without it the usage of its events would be lost in silence.
        let missing = || sqlx::Error::Decode("a batch whose usage is pending is missing".into());
        let pending = find_pending(&mut transaction, environment_id, &notes, recent).await?;
        let mut pending = pending.ok_or_else(missing)?;
        batches += pending.len();
        let is_behind = batches > BATCHES_BEHIND;
        let second = if is_behind { pending.split_off(pending.len() / 2) } else { Vec::new() };
        (one, other) = tokio::try_join!(
            one.add(environment_id, counter.clone(), pending),
            other.add(environment_id, counter.clone(), second),
        )?;
    }
    if batches == 0 {
        return Ok(false);
    }
    let Counted { counts, arrived } = one.merge(other);
    let pace = if batches > BATCHES_BEHIND { Pace::AtOnce } else { pace };
    PostgresRollups.apply(&mut transaction, environment_id, &counts, pace).await?;
    transaction.commit().await?;
    unmatched::record(db, environment_id, &counts, arrived).await;
    Ok(true)
}

/// What events add up to, and how many came for each subject.
#[derive(Default)]
struct Counted {
    counts: Counts,
    arrived: Arrived,
}

impl Counted {
    /// With the events of these batches, on a thread that may take long.
    async fn add(
        mut self,
        environment_id: EnvironmentId,
        counter: Arc<Counter>,
        pending: Vec<Arc<PendingBatch>>,
    ) -> Result<Self, sqlx::Error> {
        if pending.is_empty() {
            return Ok(self);
        }
        let counting = tokio::task::spawn_blocking(move || {
            count_all(environment_id, &counter, &pending, &mut self.counts, &mut self.arrived)?;
            Ok(self)
        });
        counting.await.map_err(|error| sqlx::Error::Decode(error.into()))?
    }

    fn merge(mut self, other: Self) -> Self {
        self.counts.merge(other.counts);
        for (subject_id, events) in other.arrived {
            *self.arrived.entry(subject_id).or_default() += events;
        }
        self
    }
}

/// Adds what all the events add up to, those that no metric counts among them, and how many came for each subject.
fn count_all(
    environment_id: EnvironmentId,
    counter: &Counter,
    pending: &[Arc<PendingBatch>],
    counts: &mut Counts,
    arrived: &mut Arrived,
) -> Result<(), sqlx::Error> {
    for batch in pending {
        let facts = batch.facts()?;
        let subjects = facts.customers().map(|received| (subject_id(environment_id, received), 0));
        let mut subjects: Vec<(SubjectId, u64)> = subjects.collect();
        for (customer, fact) in facts.iter().filter(|(_, fact)| !fact.is_duplicate) {
            let (subject_id, events) = &mut subjects[customer];
            *events += 1;
            let read = counter.count(*subject_id, &fact, counts);
            if !read.map_err(|error| sqlx::Error::Decode(error.into()))? {
                counts.add_unmetered(*subject_id, &fact, 1);
            }
        }
        for (subject_id, events) in subjects {
            *arrived.entry(subject_id).or_default() += events;
        }
    }
    Ok(())
}

/// What the events of these subjects add up to.
pub(super) fn count(
    environment_id: EnvironmentId,
    counter: &Counter,
    pending: &[Arc<PendingBatch>],
    subjects: &HashSet<SubjectId>,
) -> Result<Counts, sqlx::Error> {
    let mut counts = Counts::default();
    for batch in pending {
        let (facts, subjects) = batch.facts_of(environment_id, subjects)?;
        for (customer, fact) in facts.iter().filter(|(_, fact)| !fact.is_duplicate) {
            let read = counter.count(subjects[&customer], &fact, &mut counts);
            read.map_err(|error| sqlx::Error::Decode(error.into()))?;
        }
    }
    Ok(counts)
}

/// Counts everything that was committed before the call.
pub async fn settle(pool: &PgPool, environment_id: EnvironmentId) -> Result<(), sqlx::Error> {
    let _hurry = Hurry::new();
    let mut db = pool.acquire().await?;
    let mut left = pending_batches(&mut db, environment_id).await?;
    let Some(newest) = left.iter().copied().max() else { return Ok(()) };
    while !left.is_empty() {
        // Rows that another one counts are waited for.
        roll_some(&mut db, environment_id, newest, &RecentBatches::default(), Pace::AtOnce).await?;
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
    let _hurry = Hurry::new();
    // Most of it while events may still come.
    settle(pool, environment_id).await?;
    let _one_at_a_time = TAKING_SNAPSHOT.lock().await;
    // All connections before the lock: flushes that wait for it may hold others.
    let mut snapshot = begin_unhurried_snapshot(pool).await?;
    let mut gate = pool.begin().await?;
    let mut counting = pool.acquire().await?;
    hold_arrivals(&mut gate, environment_id).await?;
    while !pending_batches(&mut counting, environment_id).await?.is_empty() {
        roll_some(&mut counting, environment_id, i64::MAX, &RecentBatches::default(), Pace::AtOnce).await?;
    }
    // The first statement, not the beginning, fixes what the snapshot sees.
    let arrival = last_arrival(&mut snapshot).await?;
    gate.rollback().await?;
    Ok((snapshot, arrival))
}
