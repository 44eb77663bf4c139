//! Usage that is committed and in no rollup yet, for readers that do not wait until it is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::Mutex;

use super::calc::{Counter, Counts, groups_by_id};
use super::settle::{count, settle};
use super::store::{Hurry, Piece, Question, SegmentedMetric};
use crate::catalog::billable_metric::CountedMetrics;
use crate::catalog::version::CatalogVersion;
use crate::customer::CustomerState;
use crate::error::ApiError;
use crate::event::{
    BATCHES_AT_ONCE, Note, PendingBatch, PendingUsage, RecentBatches, find_pending, pending_usage,
};
use crate::id::{BillableMetricId, CustomerId, EnvironmentId, SubjectId};
use crate::postgres::begin_snapshot;
use crate::time::Instant;

/// With more batches, or more bytes of them, a reader counts them for good first: which takes longer than looking through
/// them, but the next reader need not, and what it holds in memory stays bounded.
const BATCHES_MAX: usize = 4000;
const BYTES_MAX: usize = 96 << 20;

/// Bytes of batches that a reader decodes beside others: some ten thousand events.
const READ_BYTES_MAX: usize = 1 << 20;

/// Held by a reader that decodes more.
static MANY: Mutex<()> = Mutex::const_new(());

/// What is pending in a snapshot, and what the states of things are called in it.
pub struct Uncounted {
    environment_id: EnvironmentId,
    batches: Vec<Arc<PendingBatch>>,
    catalog: Option<CatalogVersion>,
    /// The customer that was asked about, if there is one.
    customer: Option<(CustomerId, CustomerState)>,
}

/// A snapshot that has every event whose ingest was answered before the call: in its rollups, or in what is answered
/// beside it, and never in both. Whoever reads of one customer asks about it here: what is known of it need not be read again.
pub async fn begin_usage_read(
    pool: &PgPool,
    environment_id: EnvironmentId,
    customer_id: Option<CustomerId>,
    recent: &RecentBatches,
) -> Result<(Transaction<'static, Postgres>, Uncounted), sqlx::Error> {
    let mut is_pinned = false;
    loop {
        let mut snapshot =
            if is_pinned { begin_pinned_snapshot(pool).await? } else { begin_snapshot(pool).await? };
        let mut pending = pending_usage(&mut snapshot, environment_id, customer_id).await?;
        let notes = std::mem::take(&mut pending.notes);
        match look_through(&mut snapshot, environment_id, &notes, recent).await? {
            Look::Found(batches) => {
                return Ok((snapshot, Uncounted::new(environment_id, customer_id, batches, &pending)));
            }
            Look::TooMany => {
                snapshot.rollback().await?;
                settle(pool, environment_id).await?;
            }
            Look::Gone if is_pinned => {
                return Err(sqlx::Error::Decode("a batch whose usage is pending is missing".into()));
            }
            Look::Gone => {
                snapshot.rollback().await?;
                is_pinned = true;
            }
        }
    }
}

/// What a reader sees of the batches whose usage is pending.
enum Look {
    Found(Vec<Arc<PendingBatch>>),
    TooMany,
    /// One was counted meanwhile, and its slot is over.
    Gone,
}

async fn look_through(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    notes: &[Note],
    recent: &RecentBatches,
) -> Result<Look, sqlx::Error> {
    if notes.len() > BATCHES_MAX {
        return Ok(Look::TooMany);
    }
    let (mut found, mut bytes) = (Vec::new(), 0);
    for notes in notes.chunks(BATCHES_AT_ONCE) {
        let Some(batches) = find_pending(db, environment_id, notes, recent).await? else {
            return Ok(Look::Gone);
        };
        bytes += batches.iter().map(|batch| batch.payload_bytes()).sum::<usize>();
        if bytes > BYTES_MAX {
            return Ok(Look::TooMany);
        }
        found.extend(batches);
    }
    Ok(Look::Found(found))
}

/// A snapshot whose batches stay. It locks every slot, which is as much work as two queries: so it is not the usual one.
async fn begin_pinned_snapshot(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    // The first statement after the lock fixes what the snapshot sees.
    pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE event_batch IN ACCESS SHARE MODE")
        .await
}

impl Uncounted {
    fn new(
        environment_id: EnvironmentId,
        customer_id: Option<CustomerId>,
        batches: Vec<Arc<PendingBatch>>,
        PendingUsage { catalog, customer, .. }: &PendingUsage,
    ) -> Self {
        Self { environment_id, batches, catalog: *catalog, customer: customer_id.zip(*customer) }
    }

    /// The state of the catalog in the snapshot.
    #[must_use]
    pub fn catalog(&self) -> Option<CatalogVersion> {
        self.catalog
    }

    /// The customer that was asked about, and its state in the snapshot; unset where there is no such customer.
    #[must_use]
    pub fn customer(&self) -> Option<(CustomerId, CustomerState)> {
        self.customer
    }

    /// The state of the customer that was asked about; 404 where there is none.
    pub fn state_of(&self, customer_id: CustomerId) -> Result<CustomerState, ApiError> {
        let state = self.customer.filter(|(id, _)| *id == customer_id).map(|(_, state)| state);
        state.ok_or_else(|| ApiError::not_found("customer", customer_id))
    }

    /// Whether any of it is of these subjects.
    #[must_use]
    pub fn is_of_any(&self, subjects: &[SubjectId]) -> bool {
        self.batches.iter().any(|batch| batch.has_any(subjects))
    }

    /// What it adds to the answers of the questions, and more of the same subjects and metrics.
    pub async fn counts(&self, db: &mut PgConnection, questions: &[Question]) -> Result<Counts, sqlx::Error> {
        let subjects = questions.iter().flat_map(|question| question.subject_ids.iter().copied());
        let metrics = questions.iter().map(|question| question.metric_id);
        self.counts_of(db, subjects.collect(), metrics.collect()).await
    }

    /// What it adds to [`super::RollupStore::pieces`].
    pub async fn pieces(
        &self,
        db: &mut PgConnection,
        subject_ids: &[SubjectId],
        metrics: &[SegmentedMetric<'_>],
        end: Instant,
    ) -> Result<Vec<Piece>, sqlx::Error> {
        let starts: HashMap<BillableMetricId, &[Instant]> =
            metrics.iter().map(|metric| (metric.metric_id, metric.starts)).collect();
        let subjects = subject_ids.iter().copied().collect();
        let counts = self.counts_of(db, subjects, starts.keys().copied().collect()).await?;
        let groups = groups_by_id(&counts);
        let pieces = counts.hours.iter().filter_map(|(hour, tally)| {
            let begun = starts[&hour.metric_id].partition_point(|start| *start <= hour.hour);
            let segment = begun.checked_sub(1).filter(|_| hour.hour < end)?;
            let group_values = Arc::new(groups[&(hour.metric_id, hour.group_id)].to_vec());
            Some(Piece { metric_id: hour.metric_id, group_values, segment, tally: tally.clone() })
        });
        Ok(pieces.collect())
    }

    async fn counts_of(
        &self,
        db: &mut PgConnection,
        subjects: HashSet<SubjectId>,
        named: HashSet<BillableMetricId>,
    ) -> Result<Counts, sqlx::Error> {
        let listed: Vec<SubjectId> = subjects.iter().copied().collect();
        let batches = self.batches.iter().filter(|batch| batch.has_any(&listed));
        let batches: Vec<Arc<PendingBatch>> = batches.cloned().collect();
        if batches.is_empty() {
            return Ok(Counts::default());
        }
        // Many are decoded by one reader at a time, and the counting for good makes haste: else readers keep it from the
        // processor, and each of them has all of it to decode again.
        let bytes: usize = batches.iter().map(|batch| batch.payload_bytes()).sum();
        let _haste = if bytes > READ_BYTES_MAX { Some((MANY.lock().await, Hurry::new())) } else { None };
        let all = CountedMetrics::of(db, self.environment_id, self.catalog).await?;
        let metrics = all.metrics.iter().filter(|(metric, _)| named.contains(&metric.id)).cloned();
        let counter = Counter::new(self.environment_id, metrics.collect(), &all.reflows);
        let environment_id = self.environment_id;
        let counts =
            tokio::task::spawn_blocking(move || count(environment_id, &counter, &batches, &subjects));
        counts.await.map_err(|error| sqlx::Error::Decode(error.into()))?
    }
}
