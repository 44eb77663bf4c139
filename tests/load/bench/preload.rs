//! A history of transaction ids, so that speed is also measured on a server that has run for weeks.

use sqlx::{Executor, PgConnection};

/// Transaction ids that are kept where new ones go.
pub const LIVE: u64 = 25_000_000;
/// Transaction ids of earlier weeks, kept in whatever form the storage has for those.
pub const SEALED: u64 = 50_000_000;

/// Keys of one statement.
const STEP: u64 = 1_000_000;

/// Puts random transaction keys into a migrated database whose server does not run.
///
/// This is the one place of the measurement that knows how Upbeat stores keys. It has to leave behind what the
/// server itself would have left: `live` keys where a new event is held against them by an index, `sealed` ones in
/// the form for keys that change no more. Today one table holds both.
pub async fn preload_keys(db: &mut PgConnection, live: u64, sealed: u64) {
    let mut left = live + sealed;
    while left > 0 {
        let step = left.min(STEP);
        sqlx::query(
            "INSERT INTO event_key (environment_id, key, expires_at, subject_id, seq)
             SELECT environment.id, gen_random_uuid(), timestamptz '2100-01-01', environment.id, 0
             FROM environment, generate_series(1, $1) WHERE environment.kind = 'SANDBOX'",
        )
        .bind(i64::try_from(step).expect("a step"))
        .execute(&mut *db)
        .await
        .expect("keys");
        left -= step;
    }
    db.execute("VACUUM (ANALYZE) event_key").await.expect("a table at rest");
}
