//! The log of everything that was sent, in batches: some for each flush.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use sqlx::PgConnection;
use uuid::Uuid;

use super::codec::{CODEC, Facts, pack};
use super::fact::{Fact, ReceivedEvent, transaction_key};
use super::pending::{Payload, PendingBatch};
use super::screen::Screens;
use super::slot::{self, SealedSlot};
use crate::id::{EnvironmentId, SubjectId};
use crate::time::Instant;

/// Positions within one arrival number.
const POSITIONS: i64 = 1000;

/// Events of one batch, no more than there are positions. A flush is as many batches as it needs, each with an arrival
/// number, as whoever looks for one event reads all of its batch; were they smaller, the strings that name the customers
/// would be kept more often.
const BATCH: usize = 500;

/// Bytes of batches that are looked through on a thread that answers; beyond, it would keep others waiting.
const PICKED_HERE: usize = 512 * 1024;

/// Batches that are read at once.
const BATCHES_READ: usize = 20;

/// The first order of all events that arrive after this number.
#[must_use]
pub fn first_seq_after(number: i64) -> i64 {
    (number + 1) * POSITIONS
}

/// Where and when a flush is kept.
#[derive(Clone, Debug)]
pub struct Place {
    pub environment_id: EnvironmentId,
    /// The open slot.
    pub slot: i32,
    /// The slots whose keys may be repeated, oldest first.
    pub sealed: Vec<SealedSlot>,
    /// Arrival numbers, one for each batch.
    batch_ids: Vec<i64>,
    /// The environment's time.
    pub received_at: Instant,
    /// When the database server was started: another one may not have what this process wrote.
    pub server_started_at: Instant,
}

impl Place {
    /// The place of a flush of `count` events, taken under the lock of arrivals; nothing where no slot is open.
    pub async fn take(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        real_now: Instant,
        count: usize,
    ) -> Result<Option<Self>, sqlx::Error> {
        let arrival = slot::arrive(db, environment_id, count.div_ceil(BATCH)).await?;
        Ok(arrival.slots.open.map(|slot| Self {
            environment_id,
            slot,
            sealed: arrival.slots.sealed,
            batch_ids: arrival.numbers,
            received_at: arrival.frozen_at.unwrap_or(real_now),
            server_started_at: arrival.server_started_at,
        }))
    }

    /// The batches of the flush.
    #[must_use]
    pub fn batch_ids(&self) -> &[i64] {
        &self.batch_ids
    }

    /// The batch of one event of the flush.
    #[must_use]
    pub fn batch_of(&self, position: usize) -> i64 {
        self.batch_ids[position / BATCH]
    }

    /// The order of one event of the flush among all events.
    #[must_use]
    pub fn seq(&self, position: usize) -> i64 {
        let place = i64::try_from(position % BATCH).expect("a batch is small");
        self.batch_of(position) * POSITIONS + place
    }
}

/// Subjects by the strings that events name their customers by.
pub type SubjectsByName<'a> = hashbrown::HashMap<&'a str, SubjectId>;

/// The log of everything that was sent.
pub trait EventLog {
    /// Keeps the events of one flush, repeats marked, and notes their usage as pending. `subjects` are those of their
    /// customers, `new_subjects` such of them as may have no row yet; `mark` is of this flush and no other.
    fn append(
        &self,
        db: &mut PgConnection,
        place: &Place,
        facts: &[Fact<'_>],
        subjects: &SubjectsByName<'_>,
        new_subjects: &[(SubjectId, &str)],
        mark: Uuid,
    ) -> impl Future<Output = Result<Vec<PendingBatch>, sqlx::Error>> + Send;

    /// The events of these transaction ids that are dated `since` or later, in no order: of each id those that count,
    /// and the first `repeats_max` of its repeats. `screens` spare looking into slots that do not hold an id.
    fn find(
        &self,
        db: &mut PgConnection,
        screens: &Screens,
        environment_id: EnvironmentId,
        transaction_ids: &[String],
        since: Instant,
        repeats_max: usize,
    ) -> impl Future<Output = Result<Vec<ReceivedEvent>, sqlx::Error>> + Send;
}

/// Batches as rows of PostgreSQL, by slot.
#[derive(Clone, Copy)]
pub struct BatchLog;

impl EventLog for BatchLog {
    async fn append(
        &self,
        db: &mut PgConnection,
        place: &Place,
        facts: &[Fact<'_>],
        subjects: &SubjectsByName<'_>,
        new_subjects: &[(SubjectId, &str)],
        mark: Uuid,
    ) -> Result<Vec<PendingBatch>, sqlx::Error> {
        let batches = facts.chunks(BATCH);
        let counts: Vec<i32> =
            batches.clone().map(|facts| i32::try_from(facts.len()).expect("a batch is small")).collect();
        let last_at = |facts: &[Fact<'_>]| facts.iter().map(|fact| fact.timestamp).max();
        let last_at: Vec<Instant> =
            batches.clone().map(|facts| last_at(facts).expect("a batch has events")).collect();
        let (payloads, customers): (Vec<Vec<u8>>, Vec<Vec<&str>>) =
            batches.map(pack).map(|packed| (packed.payload, packed.customers)).unzip();
        let repeats = facts.iter().enumerate().filter(|(_, fact)| fact.is_duplicate);
        let (repeats, repeat_batches): (Vec<Uuid>, Vec<i64>) = repeats
            .map(|(position, fact)| {
                (transaction_key(place.environment_id, fact.transaction_id), place.batch_of(position))
            })
            .unzip();
        let (ids, received): (Vec<Uuid>, Vec<String>) =
            new_subjects.iter().map(|(id, received)| (id.0, (*received).to_owned())).unzip();
        sqlx::query!(
            "WITH batch AS (
                 INSERT INTO event_batch (slot, batch_id, environment_id, received_at, last_at, event_count, codec,
                                          payload)
                 SELECT $1, batch_id, $3, $4, last_at, event_count, $7, payload
                 FROM unnest($2::bigint[], $5::timestamptz[], $6::int[], $8::bytea[])
                      AS given (batch_id, last_at, event_count, payload)
             ), segment AS (
                 INSERT INTO segment_pending (environment_id, batch_id, slot)
                 SELECT $3, batch_id, $1 FROM unnest($2::bigint[]) AS given (batch_id)
             ), rollup AS (
                 INSERT INTO rollup_pending (environment_id, batch_id, slot, mark)
                 SELECT $3, batch_id, $1, $13 FROM unnest($2::bigint[]) AS given (batch_id)
             ), repeat AS (
                 INSERT INTO event_repeat (slot, key, batch_id)
                 SELECT $1, key, batch_id FROM unnest($9::uuid[], $10::bigint[]) AS given (key, batch_id)
             )
             INSERT INTO subject (environment_id, id, received)
             SELECT $3, id, received FROM unnest($11::uuid[], $12::text[]) AS given (id, received) ORDER BY id
             ON CONFLICT (environment_id, id) DO NOTHING",
            place.slot,
            place.batch_ids(),
            place.environment_id.0,
            place.received_at,
            &last_at,
            &counts,
            CODEC,
            &payloads,
            &repeats,
            &repeat_batches,
            &ids,
            &received,
            mark,
        )
        .execute(db)
        .await?;
        let batches = place.batch_ids().iter().zip(payloads).zip(customers);
        let pending = batches.map(|((batch_id, bytes), customers)| {
            let subjects = customers.into_iter().map(|received| subjects[received]);
            PendingBatch::new(*batch_id, Some(mark), Payload { codec: CODEC, bytes }, subjects)
        });
        Ok(pending.collect())
    }

    async fn find(
        &self,
        db: &mut PgConnection,
        screens: &Screens,
        environment_id: EnvironmentId,
        transaction_ids: &[String],
        since: Instant,
        repeats_max: usize,
    ) -> Result<Vec<ReceivedEvent>, sqlx::Error> {
        let (mut payloads, others) =
            batches_of(db, screens, environment_id, transaction_ids, repeats_max).await?;
        let mut others = others.chunks(BATCHES_READ);
        let mut left: HashMap<&str, usize> =
            transaction_ids.iter().map(|id| (id.as_str(), repeats_max)).collect();
        let wanted: Arc<HashSet<String>> = Arc::new(transaction_ids.iter().cloned().collect());
        let mut found = Vec::new();
        while !payloads.is_empty() {
            for event in pick(payloads, wanted.clone(), since).await? {
                if event.is_duplicate {
                    let left =
                        left.get_mut(event.transaction_id.as_str()).expect("only wanted ones are picked");
                    let Some(less) = left.checked_sub(1) else { continue };
                    *left = less;
                }
                found.push(event);
            }
            payloads = match others.next() {
                Some(batches) => read_payloads(db, environment_id, batches).await?,
                None => Vec::new(),
            };
        }
        Ok(found)
    }
}

/// The batches that hold events of these ids, in the order of arrival: of the first ones codec and payload, of the
/// others slot and number.
async fn batches_of(
    db: &mut PgConnection,
    screens: &Screens,
    environment_id: EnvironmentId,
    transaction_ids: &[String],
    repeats_max: usize,
) -> Result<(Vec<(i16, Vec<u8>)>, Vec<(i32, i64)>), sqlx::Error> {
    let keys: Vec<Uuid> = transaction_ids.iter().map(|id| transaction_key(environment_id, id)).collect();
    let screened = screens.screened(environment_id);
    let (suspect_slots, suspects) = screens.suspects(&screened, &keys);
    let (slots, sealed_at): (Vec<i32>, Vec<Instant>) =
        screened.into_iter().map(|screened| (screened.slot, screened.sealed_at)).unzip();
    let rows = sqlx::query!(
        // One trip to the database: which slots there are it knows itself, and those without a filter are asked.
        r#"WITH of_environment AS (
               SELECT slot, sealed_at FROM event_slot WHERE environment_id = $1
           ), asked AS (
               SELECT unscreened.slot, given.key FROM of_environment AS unscreened
               CROSS JOIN unnest($2::uuid[]) AS given (key)
               WHERE NOT EXISTS (
                   SELECT FROM unnest($5::int[], $6::timestamptz[]) AS screened (slot, sealed_at)
                   WHERE screened.slot = unscreened.slot AND screened.sealed_at = unscreened.sealed_at
               )
               UNION ALL
               SELECT slot, key FROM unnest($7::int[], $8::uuid[]) AS suspect (slot, key)
           ), place AS (
               SELECT taken.slot, taken.batch_id FROM asked
               CROSS JOIN LATERAL (
                   SELECT slot, batch_id FROM event_key
                   WHERE event_key.slot = asked.slot AND event_key.key = asked.key
                   OFFSET 0
               ) AS taken
               UNION
               SELECT repeat.slot, repeat.batch_id FROM unnest($2::uuid[]) AS given (key)
               CROSS JOIN LATERAL (
                   SELECT of_slot.slot, of_slot.batch_id FROM of_environment
                   CROSS JOIN LATERAL (
                       SELECT slot, batch_id FROM event_repeat
                       WHERE event_repeat.slot = of_environment.slot AND event_repeat.key = given.key
                       ORDER BY batch_id LIMIT $3
                   ) AS of_slot
                   ORDER BY of_slot.batch_id LIMIT $3
               ) AS repeat
           ), numbered AS (
               SELECT slot, batch_id, row_number() OVER (ORDER BY batch_id) AS number FROM place
           )
           SELECT numbered.slot AS "slot!", numbered.batch_id AS "batch_id!", number <= $4 AS "is_first!",
                  batch.codec AS "codec?", batch.payload AS "payload?"
           FROM numbered
           LEFT JOIN LATERAL (
               SELECT codec, payload FROM event_batch
               WHERE environment_id = $1 AND event_batch.slot = numbered.slot
                 AND event_batch.batch_id = numbered.batch_id AND numbered.number <= $4
               OFFSET 0
           ) AS batch ON true
           ORDER BY number"#,
        environment_id.0,
        &keys,
        i64::try_from(repeats_max).expect("limits are small"),
        i64::try_from(BATCHES_READ).expect("a small number"),
        &slots,
        &sealed_at,
        &suspect_slots,
        &suspects,
    )
    .fetch_all(db)
    .await?;
    let (mut first, mut others) = (Vec::new(), Vec::new());
    for row in rows {
        match (row.codec, row.payload) {
            _ if !row.is_first => others.push((row.slot, row.batch_id)),
            (Some(codec), Some(payload)) => first.push((codec, payload)),
            _ => {}
        }
    }
    Ok((first, others))
}

/// The events of these ids that are dated `since` or later.
async fn pick(
    payloads: Vec<(i16, Vec<u8>)>,
    wanted: Arc<HashSet<String>>,
    since: Instant,
) -> Result<Vec<ReceivedEvent>, sqlx::Error> {
    // A thread of its own takes longer to come than a little takes to be read.
    if payloads.iter().map(|(_, payload)| payload.len()).sum::<usize>() <= PICKED_HERE {
        return pick_from(&payloads, &wanted, since);
    }
    let picked = tokio::task::spawn_blocking(move || pick_from(&payloads, &wanted, since));
    picked.await.map_err(|error| sqlx::Error::Decode(error.into()))?
}

fn pick_from(
    payloads: &[(i16, Vec<u8>)],
    wanted: &HashSet<String>,
    since: Instant,
) -> Result<Vec<ReceivedEvent>, sqlx::Error> {
    let mut picked = Vec::new();
    for (codec, payload) in payloads {
        let facts = Facts::unpack_only(*codec, payload, wanted);
        let facts = facts.map_err(|error| sqlx::Error::Decode(error.into()))?;
        let facts = facts.iter().map(|(_, fact)| fact);
        picked.extend(facts.filter(|fact| fact.timestamp >= since).map(ReceivedEvent::from));
    }
    Ok(picked)
}

/// Codec and payload of the batches of these slots and numbers, in the same order.
async fn read_payloads(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    batches: &[(i32, i64)],
) -> Result<Vec<(i16, Vec<u8>)>, sqlx::Error> {
    let (slots, ids): (Vec<i32>, Vec<i64>) = batches.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"SELECT batch.codec, batch.payload
           FROM unnest($2::int[], $3::bigint[]) WITH ORDINALITY AS given (slot, batch_id, place)
           CROSS JOIN LATERAL (
               SELECT codec, payload FROM event_batch
               WHERE environment_id = $1 AND event_batch.slot = given.slot AND event_batch.batch_id = given.batch_id
               OFFSET 0
           ) AS batch
           ORDER BY place"#,
        environment_id.0,
        &slots,
        &ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.codec, row.payload)).collect())
}
