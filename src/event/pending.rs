//! Batches whose usage is not counted yet.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use sqlx::PgConnection;
use uuid::Uuid;

use super::codec::Facts;
use super::fact::subject_id;
use crate::catalog::version::CatalogVersion;
use crate::customer::CustomerState;
use crate::id::{CustomerId, EnvironmentId, SubjectId};

/// Batches that are taken, or read, at once.
pub const BATCHES_AT_ONCE: usize = 50;

/// What is remembered of batches that this process kept: as much as a reader of usage looks through.
const REMEMBERED_BYTES: usize = 96 << 20;

/// A batch whose usage is to be counted.
#[derive(Debug)]
pub struct PendingBatch {
    pub batch_id: i64,
    /// Of the batches of one flush and no other; unset where it was not given.
    mark: Option<Uuid>,
    codec: i16,
    payload: Vec<u8>,
    /// Whose events are in it, sorted, with their places among the customers of its facts.
    subjects: Vec<(SubjectId, usize)>,
}

/// A batch as it is kept.
#[derive(Debug)]
pub(super) struct Payload {
    pub codec: i16,
    pub bytes: Vec<u8>,
}

impl PendingBatch {
    /// `subjects` are those of the customers of its facts, in their order.
    #[must_use]
    pub(super) fn new(
        batch_id: i64,
        mark: Option<Uuid>,
        payload: Payload,
        subjects: impl IntoIterator<Item = SubjectId>,
    ) -> Self {
        let mut subjects: Vec<(SubjectId, usize)> = subjects.into_iter().zip(0..).collect();
        subjects.sort_unstable();
        Self { batch_id, mark, codec: payload.codec, payload: payload.bytes, subjects }
    }

    fn read(environment_id: EnvironmentId, note: &Note, payload: Payload) -> Result<Self, sqlx::Error> {
        let facts = Facts::unpack_of(payload.codec, &payload.bytes, |_| false);
        let facts = facts.map_err(|error| sqlx::Error::Decode(error.into()))?;
        let subjects = facts.customers().map(|received| subject_id(environment_id, received));
        Ok(Self::new(note.batch_id, note.mark, payload, subjects))
    }

    /// Whether an event of one of the subjects is in it.
    #[must_use]
    pub fn has_any(&self, subjects: &[SubjectId]) -> bool {
        subjects.iter().any(|subject| self.places_of(*subject).next().is_some())
    }

    /// The places of a subject among the customers of its facts: one, or several in what a migration wrote.
    fn places_of(&self, subject: SubjectId) -> impl Iterator<Item = usize> {
        let first = self.subjects.partition_point(|(other, _)| *other < subject);
        self.subjects[first..].iter().take_while(move |(other, _)| *other == subject).map(|(_, place)| *place)
    }

    /// Its facts of these subjects alone, with whose they are: the subjects of the customers at these places.
    pub fn facts_of(
        &self,
        environment_id: EnvironmentId,
        subjects: &HashSet<SubjectId>,
    ) -> Result<(Facts, HashMap<usize, SubjectId>), sqlx::Error> {
        let places =
            |subject: &SubjectId| self.places_of(*subject).map(|place| (place, *subject)).collect::<Vec<_>>();
        let subjects: HashMap<usize, SubjectId> = subjects.iter().flat_map(places).collect();
        let facts = Facts::unpack_of(self.codec, &self.payload, |place| subjects.contains_key(&place));
        let facts = facts.map_err(|error| sqlx::Error::Decode(error.into()))?;
        // Events of somebody else would be taken for theirs in silence.
        let customers: Vec<&str> = facts.customers().collect();
        let is_of = |place: usize| customers.get(place).map(|received| subject_id(environment_id, received));
        if subjects.iter().any(|(place, subject)| is_of(*place) != Some(*subject)) {
            let what = "the customers of a batch are not in the order of its facts";
            return Err(sqlx::Error::Decode(what.into()));
        }
        Ok((facts, subjects))
    }

    pub fn facts(&self) -> Result<Facts, sqlx::Error> {
        unpack(self.codec, &self.payload)
    }

    /// Bytes of its events as they are kept.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    fn size_bytes(&self) -> usize {
        self.payload.len() + self.subjects.len() * size_of::<(SubjectId, usize)>() + size_of::<Self>()
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
        let id = batch.batch_id;
        remembered.bytes += batch.size_bytes();
        match remembered.batches.insert(id, batch) {
            Some(other) => remembered.bytes -= other.size_bytes(),
            None => remembered.order.push_back(id),
        }
        while remembered.bytes > REMEMBERED_BYTES
            && let Some(oldest) = remembered.order.pop_front()
            && let Some(oldest) = remembered.batches.remove(&oldest)
        {
            remembered.bytes -= oldest.size_bytes();
        }
    }

    /// The batches of those of the notes that are remembered.
    fn get(&self, notes: &[Note]) -> Vec<Arc<PendingBatch>> {
        let remembered = self.lock();
        let known = notes.iter().filter_map(|note| {
            let batch = remembered.batches.get(&note.batch_id)?;
            (note.mark.is_some() && batch.mark == note.mark).then(|| batch.clone())
        });
        known.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().expect("no thread panics while it holds the batches")
    }
}

/// That the usage of a batch is pending.
#[derive(Clone, Copy, Debug)]
pub struct Note {
    pub batch_id: i64,
    slot: i32,
    mark: Option<Uuid>,
}

/// Takes the notes of the oldest batches whose usage is pending, none newer than `up_to`; answers no note when none is. If
/// the transaction does not commit, they are pending again. Those that another transaction took are waited for.
pub async fn take_pending_usage(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    up_to: i64,
) -> Result<Vec<Note>, sqlx::Error> {
    sqlx::query_as!(
        Note,
        "DELETE FROM rollup_pending pending USING (
             SELECT batch_id FROM rollup_pending
             WHERE environment_id = $1 AND batch_id <= $2 ORDER BY batch_id LIMIT $3 FOR UPDATE
         ) next
         WHERE pending.environment_id = $1 AND pending.batch_id = next.batch_id
         RETURNING pending.batch_id, pending.slot, pending.mark",
        environment_id.0,
        up_to,
        i64::try_from(BATCHES_AT_ONCE).expect("a small number"),
    )
    .fetch_all(db)
    .await
}

/// What a snapshot sees that a reader of usage wants to know first.
pub struct PendingUsage {
    /// The batches whose usage is pending.
    pub notes: Vec<Note>,
    pub catalog: Option<CatalogVersion>,
    /// Of the customer that is asked about; unset where there is none.
    pub customer: Option<CustomerState>,
}

pub async fn pending_usage(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: Option<CustomerId>,
) -> Result<PendingUsage, sqlx::Error> {
    // As columns: hundreds of rows would cost more to hand over than to find.
    let columns = sqlx::query!(
        r#"SELECT coalesce(array_agg(batch_id), '{}') AS "batch_ids!", coalesce(array_agg(slot), '{}') AS "slots!",
                  coalesce(array_agg(mark), '{}') AS "marks!: Vec<Option<Uuid>>",
                  (SELECT version FROM catalog_version WHERE environment_id = $1) AS catalog,
                  (SELECT state FROM customer WHERE environment_id = $1 AND id = $2) AS customer
           FROM rollup_pending WHERE environment_id = $1"#,
        environment_id.0,
        customer_id.map(|id| id.0) as Option<Uuid>,
    )
    .fetch_one(db)
    .await?;
    let notes = columns.batch_ids.into_iter().zip(columns.slots).zip(columns.marks);
    Ok(PendingUsage {
        notes: notes.map(|((batch_id, slot), mark)| Note { batch_id, slot, mark }).collect(),
        catalog: columns.catalog.map(CatalogVersion),
        customer: columns.customer.map(CustomerState),
    })
}

/// The batches of at most [`BATCHES_AT_ONCE`] notes, remembered or read; nothing where one is not there any more. Those that had
/// to be read are remembered.
pub async fn find_pending(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    notes: &[Note],
    recent: &RecentBatches,
) -> Result<Option<Vec<Arc<PendingBatch>>>, sqlx::Error> {
    let mut found = recent.get(notes);
    if found.len() == notes.len() {
        return Ok(Some(found));
    }
    let known: HashSet<i64> = found.iter().map(|batch| batch.batch_id).collect();
    let unknown: Vec<Note> = notes.iter().filter(|note| !known.contains(&note.batch_id)).copied().collect();
    let mut payloads = read(db, environment_id, &unknown).await?;
    for note in &unknown {
        let Some(payload) = payloads.remove(&note.batch_id) else { return Ok(None) };
        let batch = Arc::new(PendingBatch::read(environment_id, note, payload)?);
        recent.keep(batch.clone());
        found.push(batch);
    }
    Ok(Some(found))
}

async fn read(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    notes: &[Note],
) -> Result<HashMap<i64, Payload>, sqlx::Error> {
    let (ids, slots): (Vec<i64>, Vec<i32>) = notes.iter().map(|note| (note.batch_id, note.slot)).unzip();
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
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.batch_id, Payload { codec: row.codec, bytes: row.payload })).collect())
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
