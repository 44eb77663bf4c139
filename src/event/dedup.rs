//! Which transactions are new: exactly, whatever the timestamp of a repeat says and whichever server it reaches.
//!
//! A row that may conflict costs PostgreSQL twice what one costs that may not (it is written in two steps, and the key is
//! looked for once more: 3.1 against 1.5 µs). So keys are written as if all were new, and a flush in which one is not
//! begins again and is careful; so are the next ones.
//!
//! Refused, 2026-11-20: COPY in the hope that all keys are new, and another way when it fails at a repeat. Its rows cost
//! PostgreSQL a third less, but it takes three trips to the server more, and the driver sends its last two messages one
//! after the other without `TCP_NODELAY`: each flush then waits 40 ms for a delayed acknowledgement.

use std::collections::HashSet;
use std::future::Future;

use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::BACKDATING;
use super::codec::Facts;
use super::fact::transaction_key;
use super::log::Place;
use super::screen::Screens;
use crate::time::Instant;

/// Which transactions are new.
pub trait DedupStore {
    /// Takes the keys that are new or whose hold is over for the batch at `place`, and answers the others. Of
    /// concurrent callers exactly one gets a key; the others wait until it commits or rolls back. Keys must be sorted
    /// and distinct. Where all are expected to be new and one is not, the error [`is_taken`] and the transaction has
    /// failed.
    fn admit(
        &self,
        db: &mut PgConnection,
        place: &Place,
        keys: &[Uuid],
        expected: Expected,
    ) -> impl Future<Output = Result<HashSet<Uuid>, sqlx::Error>> + Send;
}

/// Keys in a table for each slot, the sealed ones behind filters.
#[derive(Clone, Default)]
pub struct SlottedKeys {
    pub screens: Screens,
}

impl DedupStore for SlottedKeys {
    async fn admit(
        &self,
        db: &mut PgConnection,
        place: &Place,
        keys: &[Uuid],
        expected: Expected,
    ) -> Result<HashSet<Uuid>, sqlx::Error> {
        let (slots, suspects) = self.screens.suspects(&place.sealed, keys);
        let mut repeats = HashSet::new();
        for holder in holders(db, place, &slots, &suspects).await? {
            if is_held(db, place, &holder).await? {
                repeats.insert(holder.key);
            }
        }
        let fresh: Vec<Uuid> = keys.iter().filter(|key| !repeats.contains(*key)).copied().collect();
        match expected {
            Expected::New => insert_new(db, place, &fresh).await?,
            Expected::Repeats => repeats.extend(insert(db, place, &fresh).await?),
        }
        Ok(repeats)
    }
}

/// What keys are thought to be before they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// All of them new to the open slot.
    New,
    Repeats,
}

/// Whether keys were expected to be new and one was not.
#[must_use]
pub fn is_taken(error: &sqlx::Error) -> bool {
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
    sqlx::query_as!(
        Holder,
        // A lookup for each key, whatever the planner thinks of tables that it has no statistics of: it once joined every
        // key with every batch, and a flush of repeats took seconds.
        r#"SELECT taken.key, taken.slot, taken.batch_id, batch.received_at, batch.last_at
           FROM unnest($2::int[], $3::uuid[]) AS asked (slot, key)
           CROSS JOIN LATERAL (
               SELECT key, slot, batch_id FROM event_key
               WHERE event_key.slot = asked.slot AND event_key.key = asked.key AND event_key.batch_id <> $4
               OFFSET 0
           ) AS taken
           CROSS JOIN LATERAL (
               SELECT received_at, last_at FROM event_batch
               WHERE environment_id = $1 AND event_batch.slot = taken.slot AND event_batch.batch_id = taken.batch_id
               OFFSET 0
           ) AS batch"#,
        place.environment_id.0,
        slots,
        keys,
        place.batch_id(),
    )
    .fetch_all(db)
    .await
}

/// Whether a repeat of the key may still be young enough to be accepted: until 34 days after the later of the event's
/// arrival and its timestamp, as an event dated ahead could otherwise be replayed while it is young.
async fn is_held(db: &mut PgConnection, place: &Place, holder: &Holder) -> Result<bool, sqlx::Error> {
    let now = place.received_at;
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
async fn insert_new(db: &mut PgConnection, place: &Place, keys: &[Uuid]) -> Result<(), sqlx::Error> {
    // In the order of the keys, so that two writers that share some wait for one another and never deadlock.
    sqlx::query!(
        "INSERT INTO event_key (slot, key, batch_id)
         SELECT $1, key, $2 FROM unnest($3::uuid[]) AS given (key) ORDER BY key",
        place.slot,
        place.batch_id(),
        keys,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes those of the keys into the open slot that are not held there; answers the others.
async fn insert(db: &mut PgConnection, place: &Place, keys: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    // In their order, as above.
    let admitted = sqlx::query!(
        "INSERT INTO event_key (slot, key, batch_id)
         SELECT $1, key, $2 FROM unnest($3::uuid[]) AS given (key) ORDER BY key
         ON CONFLICT DO NOTHING",
        place.slot,
        place.batch_id(),
        keys,
    )
    .execute(&mut *db)
    .await?;
    if admitted.rows_affected() == keys.len() as u64 {
        return Ok(Vec::new());
    }
    let taken = holders(db, place, &vec![place.slot; keys.len()], keys).await?;
    if taken.len() as u64 + admitted.rows_affected() != keys.len() as u64 {
        return Err(sqlx::Error::Protocol("a key is neither new nor another batch's".to_owned()));
    }
    let mut repeats = Vec::new();
    for holder in &taken {
        if is_held(db, place, holder).await? || !take_over(db, place, holder).await? {
            repeats.push(holder.key);
        }
    }
    Ok(repeats)
}

/// Gives the key of a hold that is over to the new batch, unless another writer was faster.
async fn take_over(db: &mut PgConnection, place: &Place, holder: &Holder) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query!(
        "UPDATE event_key SET batch_id = $3 WHERE slot = $1 AND key = $2 AND batch_id = $4",
        place.slot,
        holder.key,
        place.batch_id(),
        holder.batch_id,
    )
    .execute(db)
    .await?;
    Ok(taken.rows_affected() == 1)
}
