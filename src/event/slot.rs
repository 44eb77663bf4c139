//! Slots: stretches of time whose keys and batches lie in tables of their own.
//!
//! The open slot's index of keys must stay small: random keys touch a different page each, and after every checkpoint
//! the first touch of each page is written whole. So a slot is sealed when it is large or old, and the keys of sealed
//! slots are looked for only where a filter in memory says that one may be there ([`super::screen`]).
//!
//! Refused, 2026-11-20: slots that all environments share. A sandbox's clock stands or leaps, so what is old enough
//! to go is a question of the environment's own time.

use chrono::TimeDelta;
use sqlx::PgConnection;

use super::batch::{BACKDATING, FUTURE_DATING};
use crate::access::environment_now;
use crate::id::EnvironmentId;
use crate::postgres::hold_arrivals;
use crate::time::Instant;

/// When a slot is sealed: 16 million keys and their index are 1.6 GB, which the cache of a small server still holds. After a
/// checkpoint each page of the index is written whole when it is first touched, which random keys do within a million
/// events: at 25 million keys (2026-11-30) that was 0.8 GB, and events came in at 0.5 to 0.8 times the speed of an empty
/// slot, as the disk went. Smaller slots would leave more filters to ask.
pub const KEYS_MAX: i64 = 16_000_000;
const AGE_MAX: TimeDelta = TimeDelta::hours(24);

/// Longest that events wait between the check that they are young enough and their arrival; more than any request is
/// given.
pub const WAITING_MAX: TimeDelta = TimeDelta::hours(2);

/// A slot that takes no more keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
pub struct SealedSlot {
    pub slot: i32,
    pub sealed_at: Instant,
}

impl SealedSlot {
    /// When none of its ids is held and none of its events can be found any more: they came before it was sealed and
    /// are dated at most a day later. A repeat that was young enough then may still wait.
    fn is_over(&self, now: Instant) -> bool {
        self.sealed_at + FUTURE_DATING + BACKDATING + WAITING_MAX < now
    }
}

/// The slots of an environment.
#[derive(Clone, Debug)]
pub struct Slots {
    pub open: Option<i32>,
    /// Oldest first.
    pub sealed: Vec<SealedSlot>,
}

/// What a flush finds when it arrives.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// New numbers.
    pub numbers: Vec<i64>,
    pub slots: Slots,
    /// Where the environment's clock stands.
    pub frozen_at: Option<Instant>,
    /// When the database server was started that the flush reached.
    pub server_started_at: Instant,
}

/// The arrival of a flush that needs `count` numbers; under the lock of arrivals, and in one trip to the database.
pub async fn arrive(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    count: usize,
) -> Result<Arrival, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT ARRAY(SELECT nextval('arrival_seq') FROM generate_series(1, $2)) AS "numbers!",
                  (SELECT frozen_at FROM environment WHERE id = $1) AS frozen_at,
                  pg_postmaster_start_time() AS "server_started_at!",
                  (SELECT slot FROM event_slot WHERE environment_id = $1 AND sealed_at IS NULL) AS open,
                  ARRAY(SELECT slot FROM event_slot WHERE environment_id = $1 AND sealed_at IS NOT NULL
                        ORDER BY slot) AS "sealed!",
                  ARRAY(SELECT sealed_at FROM event_slot WHERE environment_id = $1 AND sealed_at IS NOT NULL
                        ORDER BY slot) AS "sealed_at!""#,
        environment_id.0,
        i32::try_from(count).expect("a flush is small"),
    )
    .fetch_one(db)
    .await?;
    let sealed = row.sealed.into_iter().zip(row.sealed_at);
    let sealed = sealed.map(|(slot, sealed_at)| SealedSlot { slot, sealed_at }).collect();
    Ok(Arrival {
        numbers: row.numbers,
        slots: Slots { open: row.open, sealed },
        frozen_at: row.frozen_at,
        server_started_at: row.server_started_at,
    })
}

/// The slots that take no more keys.
pub async fn sealed(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Vec<SealedSlot>, sqlx::Error> {
    sqlx::query_as!(
        SealedSlot,
        r#"SELECT slot, sealed_at AS "sealed_at!" FROM event_slot
           WHERE environment_id = $1 AND sealed_at IS NOT NULL"#,
        environment_id.0,
    )
    .fetch_all(db)
    .await
}

/// Opens a slot where none is open; the caller commits. Another one that does the same is waited for.
pub async fn open(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"WITH opened AS (
               INSERT INTO event_slot (environment_id, opened_at) VALUES ($1, $2)
               ON CONFLICT DO NOTHING RETURNING slot
           )
           SELECT make_event_slot(slot)::text AS made FROM opened"#,
        environment_id.0,
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}

/// Seals the open slot and opens the next, where the open one is large or old; answers whether it was. The caller
/// commits; no event can arrive until then.
pub async fn rotate(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    now: Instant,
    real_now: Instant,
) -> Result<bool, sqlx::Error> {
    let current = sqlx::query!(
        r#"SELECT slot, opened_at, event_slot_keys(slot) AS "keys!" FROM event_slot
           WHERE environment_id = $1 AND sealed_at IS NULL"#,
        environment_id.0,
    )
    .fetch_optional(&mut *db)
    .await?;
    let is_due = |keys, opened_at| keys > KEYS_MAX || keys > 0 && now - opened_at >= AGE_MAX;
    let Some(current) = current.filter(|slot| is_due(slot.keys, slot.opened_at)) else { return Ok(false) };
    hold_arrivals(db, environment_id).await?;
    // Read again: a sandbox's clock may have moved, and events with it, before arrivals were held.
    let now = environment_now(db, environment_id, real_now).await?;
    let sealed = sqlx::query_scalar!(
        r#"WITH sealed AS (
               UPDATE event_slot SET sealed_at = $3 WHERE environment_id = $1 AND slot = $2 AND sealed_at IS NULL
               RETURNING slot
           )
           SELECT settle_event_slot(slot)::text AS settled FROM sealed"#,
        environment_id.0,
        current.slot,
        now,
    )
    .fetch_optional(&mut *db)
    .await?;
    if sealed.is_some() {
        open(db, environment_id, now).await?;
    }
    Ok(sealed.is_some())
}

/// Drops the slots that are over; answers which. What counts in them must be in segments. The caller commits.
pub async fn retire(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    now: Instant,
) -> Result<Vec<i32>, sqlx::Error> {
    let sealed = sqlx::query_as!(
        SealedSlot,
        r#"SELECT slot, sealed_at AS "sealed_at!" FROM event_slot
           WHERE environment_id = $1 AND sealed_at IS NOT NULL
             AND NOT EXISTS (SELECT FROM segment_pending pending
                             WHERE pending.environment_id = $1 AND pending.slot = event_slot.slot)
             AND NOT EXISTS (SELECT FROM rollup_pending pending
                             WHERE pending.environment_id = $1 AND pending.slot = event_slot.slot)"#,
        environment_id.0,
    )
    .fetch_all(&mut *db)
    .await?;
    let over: Vec<i32> = sealed.iter().filter(|slot| slot.is_over(now)).map(|slot| slot.slot).collect();
    if over.is_empty() {
        return Ok(over);
    }
    hold_arrivals(db, environment_id).await?;
    sqlx::query!(
        r#"WITH gone AS (DELETE FROM event_slot WHERE environment_id = $1 AND slot = ANY($2) RETURNING slot)
           SELECT drop_event_slot(slot)::text AS dropped FROM gone"#,
        environment_id.0,
        &over,
    )
    .fetch_all(db)
    .await?;
    Ok(over)
}
