//! Which transactions are new: exactly, whatever the timestamp of a repeat says and whichever server it reaches.
//!
//! A row that may conflict costs PostgreSQL twice what one costs that may not (it is written in two steps, and the key is
//! looked for once more: 3.1 against 1.5 µs). So the keys that did not come a moment ago ([`super::recent_keys`]) are
//! written as if they were new, and a flush in which one is not begins again and is careful; so are the next ones.
//!
//! Refused, 2026-11-20 and 2026-11-30: COPY in the hope that all keys are new, and another way when it fails at a repeat. Its
//! rows cost PostgreSQL a third less in the first measurement and a third more in the second, and it takes three trips to
//! the server more, of which the driver sends the last two messages one after the other without `TCP_NODELAY`: each flush
//! then waits 40 ms for a delayed acknowledgement.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::BACKDATING;
use super::codec::Facts;
use super::fact::transaction_key;
use super::log::Place;
use super::recent_keys::RecentKeys;
use super::screen::Screens;
use crate::id::EnvironmentId;
use crate::time::Instant;

/// So many flushes after one in which an old key was taken for new do not guess.
const CAREFUL_FLUSHES: usize = 256;

/// Keys that events bring.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Sorted and distinct.
    pub keys: &'a [Uuid],
    /// The position in the flush of the first event of each.
    pub positions: &'a [usize],
    /// When the event of each was found young enough. A hold counts until then, however long the event waits: a repeat
    /// that comes at the end of the hold would else count as new when it is too old to be accepted.
    pub checked_at: &'a [Instant],
}

impl Asked<'_> {
    fn checked_at(&self, key: Uuid) -> Instant {
        self.checked_at[self.index(key)]
    }

    /// The batch that takes the key.
    fn batch_at(&self, place: &Place, key: Uuid) -> i64 {
        place.batch_of(self.positions[self.index(key)])
    }

    fn index(&self, key: Uuid) -> usize {
        self.keys.binary_search(&key).expect("only what is asked is found")
    }
}

/// Which transactions are new.
pub trait DedupStore {
    /// Takes the keys that are new or whose hold is over for the batches at `place`, and answers the others. Of
    /// concurrent callers exactly one gets a key; the others wait until it commits or rolls back.
    ///
    /// After an error that [`is_wrong_guess`] the transaction has failed; another one looks these keys up.
    fn admit(
        &self,
        db: &mut PgConnection,
        place: &Place,
        asked: Asked<'_>,
    ) -> impl Future<Output = Result<HashSet<Uuid>, sqlx::Error>> + Send;
}

/// Keys in a table for each slot, the sealed ones behind filters.
#[derive(Clone, Default)]
pub struct SlottedKeys {
    screens: Screens,
    recent: RecentKeys,
    /// How many of the next flushes do not guess.
    careful: Arc<AtomicUsize>,
}

impl SlottedKeys {
    #[must_use]
    pub fn new(screens: Screens) -> Self {
        Self { screens, ..Self::default() }
    }
}

impl DedupStore for SlottedKeys {
    async fn admit(
        &self,
        db: &mut PgConnection,
        place: &Place,
        asked: Asked<'_>,
    ) -> Result<HashSet<Uuid>, sqlx::Error> {
        let keys = asked.keys;
        let (mut slots, mut suspects) = self.screens.suspects(&place.sealed, keys);
        let known = self.recent.note(keys);
        slots.extend(known.iter().map(|_| place.slot));
        suspects.extend(known);
        let (mut repeats, mut taken_over) = (HashSet::new(), HashSet::new());
        for holder in holders(db, place, &slots, &suspects).await? {
            if is_held(db, place, &holder, asked.checked_at(holder.key)).await? {
                repeats.insert(holder.key);
            } else if holder.slot == place.slot {
                let is_taken = take_over(db, place, &holder, asked).await?;
                let kept = if is_taken { &mut taken_over } else { &mut repeats };
                kept.insert(holder.key);
            }
        }
        let is_fresh = |key: &&Uuid| !repeats.contains(*key) && !taken_over.contains(*key);
        let fresh: Vec<Uuid> = keys.iter().filter(is_fresh).copied().collect();
        if self.careful.load(Ordering::Relaxed) == 0 {
            insert_new(db, place, &fresh, asked).await.inspect_err(|error| {
                if is_wrong_guess(error) {
                    self.careful.store(CAREFUL_FLUSHES, Ordering::Relaxed);
                }
            })?;
        } else {
            let unguessed = insert(db, place, &fresh, asked).await?;
            let careful = self.careful.load(Ordering::Relaxed).saturating_sub(1);
            self.careful
                .store(if unguessed.is_empty() { careful } else { CAREFUL_FLUSHES }, Ordering::Relaxed);
            repeats.extend(unguessed);
        }
        Ok(repeats)
    }
}

/// Whether a key was taken for new and is not.
#[must_use]
pub fn is_wrong_guess(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| {
        error.is_unique_violation() && error.table().is_some_and(|table| table.starts_with("event_key_"))
    })
}

/// A key that is taken, and the batch of the event that took it.
struct Holder {
    key: Uuid,
    slot: i32,
    batch_id: i64,
    received_at: Instant,
    last_at: Instant,
}

/// Those of the keys that an earlier batch took in the slots named beside them.
async fn holders(
    db: &mut PgConnection,
    place: &Place,
    slots: &[i32],
    keys: &[Uuid],
) -> Result<Vec<Holder>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let taken = sqlx::query!(
        // A lookup for each key, whatever the planner thinks of tables that it has no statistics of.
        r#"SELECT taken.slot, taken.key, taken.batch_id
           FROM unnest($1::int[], $2::uuid[]) AS asked (slot, key)
           CROSS JOIN LATERAL (
               SELECT slot, key, batch_id FROM event_key
               WHERE event_key.slot = asked.slot AND event_key.key = asked.key AND event_key.batch_id <> ALL($3)
               OFFSET 0
           ) AS taken"#,
        slots,
        keys,
        place.batch_ids(),
    )
    .fetch_all(&mut *db)
    .await?;
    // Repeats of one request are in one batch or two.
    let batches: HashSet<(i32, i64)> = taken.iter().map(|row| (row.slot, row.batch_id)).collect();
    let times = times_of_batches(db, place.environment_id, batches).await?;
    let holder = |(slot, key, batch_id)| {
        let missing = || sqlx::Error::Decode("a key's batch is missing".into());
        let (received_at, last_at) = times.get(&(slot, batch_id)).copied().ok_or_else(missing)?;
        Ok(Holder { key, slot, batch_id, received_at, last_at })
    };
    taken.into_iter().map(|row| holder((row.slot, row.key, row.batch_id))).collect()
}

/// When each of the batches was received, and the newest timestamp of its events.
async fn times_of_batches(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    batches: HashSet<(i32, i64)>,
) -> Result<HashMap<(i32, i64), (Instant, Instant)>, sqlx::Error> {
    if batches.is_empty() {
        return Ok(HashMap::new());
    }
    let (slots, batch_ids): (Vec<i32>, Vec<i64>) = batches.into_iter().unzip();
    let rows = sqlx::query!(
        r#"SELECT batch.slot, batch.batch_id, batch.received_at, batch.last_at
           FROM unnest($2::int[], $3::bigint[]) AS asked (slot, batch_id)
           CROSS JOIN LATERAL (
               SELECT slot, batch_id, received_at, last_at FROM event_batch
               WHERE environment_id = $1 AND event_batch.slot = asked.slot AND event_batch.batch_id = asked.batch_id
               OFFSET 0
           ) AS batch"#,
        environment_id.0,
        &slots,
        &batch_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| ((row.slot, row.batch_id), (row.received_at, row.last_at))).collect())
}

/// Whether a repeat of the key may still be young enough to be accepted: until 34 days after the later of the event's
/// arrival and its timestamp, as an event dated ahead could otherwise be replayed while it is young.
async fn is_held(
    db: &mut PgConnection,
    place: &Place,
    holder: &Holder,
    now: Instant,
) -> Result<bool, sqlx::Error> {
    if now <= holder.received_at + BACKDATING {
        return Ok(true);
    }
    if now > holder.received_at.max(holder.last_at) + BACKDATING {
        return Ok(false);
    }
    // Some event of the batch is dated ahead; perhaps this one.
    let batch = sqlx::query!(
        "SELECT codec, payload FROM event_batch WHERE environment_id = $1 AND slot = $2 AND batch_id = $3",
        place.environment_id.0,
        holder.slot,
        holder.batch_id,
    )
    .fetch_one(db)
    .await?;
    let facts =
        Facts::unpack(batch.codec, &batch.payload).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let is_it = |id: &str| transaction_key(place.environment_id, id) == holder.key;
    let event =
        facts.iter().map(|(_, fact)| fact).find(|fact| !fact.is_duplicate && is_it(fact.transaction_id));
    Ok(event.is_some_and(|event| now <= event.timestamp.max(event.received_at) + BACKDATING))
}

/// Writes the keys into the open slot, in which there is none of them.
async fn insert_new(
    db: &mut PgConnection,
    place: &Place,
    keys: &[Uuid],
    asked: Asked<'_>,
) -> Result<(), sqlx::Error> {
    let batches: Vec<i64> = keys.iter().map(|key| asked.batch_at(place, *key)).collect();
    // Keys come sorted and PostgreSQL takes them as they come, so two writers that share some wait for one another and
    // do not deadlock. (If they ever do, the one that gives way is tried again. To have them sorted once more costs.)
    sqlx::query!(
        "INSERT INTO event_key (slot, key, batch_id)
         SELECT $1, key, batch_id FROM unnest($2::uuid[], $3::bigint[]) AS given (key, batch_id)",
        place.slot,
        keys,
        &batches,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes those of the keys into the open slot that are not held there; answers the others.
async fn insert(
    db: &mut PgConnection,
    place: &Place,
    keys: &[Uuid],
    asked: Asked<'_>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let batches: Vec<i64> = keys.iter().map(|key| asked.batch_at(place, *key)).collect();
    // In their order, as above.
    let admitted = sqlx::query!(
        "INSERT INTO event_key (slot, key, batch_id)
         SELECT $1, key, batch_id FROM unnest($2::uuid[], $3::bigint[]) AS given (key, batch_id)
         ON CONFLICT DO NOTHING",
        place.slot,
        keys,
        &batches,
    )
    .execute(&mut *db)
    .await?;
    if admitted.rows_affected() == keys.len() as u64 {
        return Ok(Vec::new());
    }
    let taken = holders(db, place, &vec![place.slot; keys.len()], keys).await?;
    if taken.len() as u64 + admitted.rows_affected() != keys.len() as u64 {
        return Err(sqlx::Error::Decode("a key is neither new nor another batch's".into()));
    }
    let mut repeats = Vec::new();
    for holder in &taken {
        if is_held(db, place, holder, asked.checked_at(holder.key)).await?
            || !take_over(db, place, holder, asked).await?
        {
            repeats.push(holder.key);
        }
    }
    Ok(repeats)
}

/// Gives the key of a hold that is over to the new batch, unless another writer was faster.
async fn take_over(
    db: &mut PgConnection,
    place: &Place,
    holder: &Holder,
    asked: Asked<'_>,
) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query!(
        "UPDATE event_key SET batch_id = $3 WHERE slot = $1 AND key = $2 AND batch_id = $4",
        place.slot,
        holder.key,
        asked.batch_at(place, holder.key),
        holder.batch_id,
    )
    .execute(db)
    .await?;
    Ok(taken.rows_affected() == 1)
}
