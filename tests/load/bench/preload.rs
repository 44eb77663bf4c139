//! A history of transaction ids, so that speed is also measured on a server that has run for weeks.

use chrono::{DateTime, Utc};
use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use ::upbeat::event::slot::KEYS_MAX;

/// Transaction ids in the open slot: so many that it is about to be sealed, but not while it is measured.
pub const LIVE: u64 = SLOT - 4_500_000;
/// Transaction ids in sealed slots.
pub const SEALED: u64 = 75_000_000 - SLOT;

/// Ids of one sealed slot.
const SLOT: u64 = KEYS_MAX.cast_unsigned();

/// Ids of one statement.
const STEP: u64 = 1_000_000;

/// Puts random transaction keys into the sandbox of a migrated database whose server does not run.
///
/// This is the one place of the measurement that knows how Upbeat stores keys. It leaves behind what the server
/// itself would have left: keys in random order in the open slot's table and index, and sealed slots whose filters
/// the server makes when it starts.
pub async fn preload_keys(db: &mut PgConnection, live: u64, sealed: u64, now: DateTime<Utc>) {
    let environment: Uuid = sqlx::query_scalar("SELECT id FROM environment WHERE kind = 'SANDBOX'")
        .fetch_one(&mut *db)
        .await
        .expect("the sandbox");
    let mut left = sealed;
    while left > 0 {
        let keys = left.min(SLOT);
        let slot = open_slot(db, environment, now).await;
        fill(db, slot, keys).await;
        seal(db, slot, now).await;
        left -= keys;
    }
    let slot = open_slot(db, environment, now).await;
    fill(db, slot, live).await;
    db.execute("VACUUM (ANALYZE)").await.expect("a database at rest");
}

/// The slot that is open, made where there is none.
async fn open_slot(db: &mut PgConnection, environment: Uuid, now: DateTime<Utc>) -> i32 {
    sqlx::query(
        "WITH opened AS (
             INSERT INTO event_slot (environment_id, opened_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING slot
         )
         SELECT make_event_slot(slot)::text FROM opened",
    )
    .bind(environment)
    .bind(now)
    .fetch_optional(&mut *db)
    .await
    .expect("a slot");
    sqlx::query_scalar("SELECT slot FROM event_slot WHERE environment_id = $1 AND sealed_at IS NULL")
        .bind(environment)
        .fetch_one(db)
        .await
        .expect("the open slot")
}

async fn fill(db: &mut PgConnection, slot: i32, keys: u64) {
    let mut left = keys;
    while left > 0 {
        let step = left.min(STEP);
        // No batch has the number 0: no search finds any of them.
        sqlx::query(
            "INSERT INTO event_key (slot, key, batch_id) SELECT $1, gen_random_uuid(), 0 FROM generate_series(1, $2)",
        )
        .bind(slot)
        .bind(i64::try_from(step).expect("a step"))
        .execute(&mut *db)
        .await
        .expect("keys");
        left -= step;
    }
}

async fn seal(db: &mut PgConnection, slot: i32, now: DateTime<Utc>) {
    sqlx::query(
        "WITH sealed AS (UPDATE event_slot SET sealed_at = $2 WHERE slot = $1 RETURNING slot)
         SELECT settle_event_slot(slot)::text FROM sealed",
    )
    .bind(slot)
    .bind(now)
    .fetch_one(db)
    .await
    .expect("a sealed slot");
}
