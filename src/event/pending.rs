//! Batches whose usage is not counted yet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use sqlx::PgConnection;

use super::codec::Facts;
use super::fact::subject_id;
use crate::id::{EnvironmentId, SubjectId};

/// Batches that are taken at once.
const BATCHES_AT_ONCE: i64 = 300;

/// Batches that are read from the database at once.
const BATCHES_READ: usize = 50;

/// What is remembered of batches that this process kept.
const REMEMBERED_BYTES: usize = 32 << 20;

/// A batch whose usage is to be counted.
#[derive(Debug)]
pub struct PendingBatch {
    pub batch_id: i64,
    codec: i16,
    payload: Vec<u8>,
    /// Whose events are in it, sorted.
    subjects: Vec<SubjectId>,
}

impl PendingBatch {
    #[must_use]
    pub(super) fn new(batch_id: i64, codec: i16, payload: Vec<u8>, mut subjects: Vec<SubjectId>) -> Self {
        subjects.sort_unstable();
        subjects.dedup();
        Self { batch_id, codec, payload, subjects }
    }

    fn read(
        environment_id: EnvironmentId,
        batch_id: i64,
        codec: i16,
        payload: Vec<u8>,
    ) -> Result<Self, sqlx::Error> {
        let facts = unpack(codec, &payload)?;
        let subjects = facts.customers().map(|received| subject_id(environment_id, received)).collect();
        Ok(Self::new(batch_id, codec, payload, subjects))
    }

    /// Whether an event of one of the subjects is in it.
    #[must_use]
    pub fn has_any(&self, subjects: &[SubjectId]) -> bool {
        subjects.iter().any(|subject| self.subjects.binary_search(subject).is_ok())
    }

    pub fn facts(&self) -> Result<Facts, sqlx::Error> {
        unpack(self.codec, &self.payload)
    }

    fn size_bytes(&self) -> usize {
        self.payload.len() + self.subjects.len() * size_of::<SubjectId>() + size_of::<Self>()
    }
}

fn unpack(codec: i16, payload: &[u8]) -> Result<Facts, sqlx::Error> {
    Facts::unpack(codec, payload).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// The last batches that this process committed or read: whoever counts them need not ask the database, which alone says
/// whether they are pending.
#[derive(Clone, Default)]
pub struct RecentBatches(Arc<Mutex<Remembered>>);

#[derive(Default)]
struct Remembered {
    batches: HashMap<i64, Arc<PendingBatch>>,
    /// Oldest first.
    order: VecDeque<i64>,
    bytes: usize,
}

impl RecentBatches {
    /// Remembers a batch that was committed.
    pub fn keep(&self, batch: Arc<PendingBatch>) {
        let mut remembered = self.lock();
        let (id, size) = (batch.batch_id, batch.size_bytes());
        if remembered.batches.insert(id, batch).is_some() {
            return;
        }
        remembered.order.push_back(id);
        remembered.bytes += size;
        while remembered.bytes > REMEMBERED_BYTES
            && let Some(oldest) = remembered.order.pop_front()
            && let Some(oldest) = remembered.batches.remove(&oldest)
        {
            remembered.bytes -= oldest.size_bytes();
        }
    }

    fn get(&self, ids: impl Iterator<Item = i64>) -> Vec<Arc<PendingBatch>> {
        let remembered = self.lock();
        ids.filter_map(|id| remembered.batches.get(&id).cloned()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().expect("no thread panics while it holds the batches")
    }
}

/// Takes the oldest batches whose usage is pending, none newer than `up_to`; answers no batch when none is. If the
/// transaction does not commit, they are pending again. Batches that another transaction took are waited for.
pub async fn take_pending_usage(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    up_to: i64,
    recent: &RecentBatches,
) -> Result<Vec<Arc<PendingBatch>>, sqlx::Error> {
    let taken = sqlx::query!(
        "DELETE FROM rollup_pending pending USING (
             SELECT batch_id FROM rollup_pending
             WHERE environment_id = $1 AND batch_id <= $2 ORDER BY batch_id LIMIT $3 FOR UPDATE
         ) next
         WHERE pending.environment_id = $1 AND pending.batch_id = next.batch_id
         RETURNING pending.batch_id, pending.slot",
        environment_id.0,
        up_to,
        BATCHES_AT_ONCE,
    )
    .fetch_all(&mut *db)
    .await?;
    let places = taken.into_iter().map(|row| (row.batch_id, row.slot)).collect();
    find(db, environment_id, places, recent).await
}

/// The batches whose usage is pending.
pub async fn pending_usage(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    recent: &RecentBatches,
) -> Result<Vec<Arc<PendingBatch>>, sqlx::Error> {
    let pending =
        sqlx::query!("SELECT batch_id, slot FROM rollup_pending WHERE environment_id = $1", environment_id.0)
            .fetch_all(&mut *db)
            .await?;
    let places = pending.into_iter().map(|row| (row.batch_id, row.slot)).collect();
    find(db, environment_id, places, recent).await
}

/// The batches, remembered or read. Those that had to be read are remembered.
async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    mut places: HashMap<i64, i32>,
    recent: &RecentBatches,
) -> Result<Vec<Arc<PendingBatch>>, sqlx::Error> {
    let mut found = recent.get(places.keys().copied());
    for batch in &found {
        places.remove(&batch.batch_id);
    }
    let unknown: Vec<(i64, i32)> = places.into_iter().collect();
    for places in unknown.chunks(BATCHES_READ) {
        let (ids, slots): (Vec<i64>, Vec<i32>) = places.iter().copied().unzip();
        let rows = sqlx::query!(
            "SELECT batch.batch_id, batch.codec, batch.payload
             FROM unnest($2::bigint[], $3::int[]) AS given (batch_id, slot)
             CROSS JOIN LATERAL (
                 SELECT batch_id, codec, payload FROM event_batch
                 WHERE environment_id = $1 AND event_batch.slot = given.slot AND event_batch.batch_id = given.batch_id
                 OFFSET 0
             ) AS batch",
            environment_id.0,
            &ids,
            &slots,
        )
        .fetch_all(&mut *db)
        .await?;
        for row in rows {
            let batch = PendingBatch::read(environment_id, row.batch_id, row.codec, row.payload)?;
            let batch = Arc::new(batch);
            recent.keep(batch.clone());
            found.push(batch);
        }
    }
    Ok(found)
}

/// The numbers of the batches whose usage is pending.
pub async fn pending_batches(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!("SELECT batch_id FROM rollup_pending WHERE environment_id = $1", environment_id.0)
        .fetch_all(db)
        .await
}

/// Those of the batches whose usage is still pending.
pub async fn still_pending(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    batch_ids: &[i64],
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT batch_id FROM rollup_pending WHERE environment_id = $1 AND batch_id = ANY($2)",
        environment_id.0,
        batch_ids,
    )
    .fetch_all(db)
    .await
}
