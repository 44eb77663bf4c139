//! The one order in which facts arrive in an environment.
//!
//! Every request of events takes a number under a shared lock that it keeps until it commits. Whoever takes the
//! lock alone therefore knows that each number given so far is committed or will never be, and that each later
//! number comes after: metrics come and go there, and invoices see exactly the facts up to a number.

use sqlx::{Executor, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::Mutex;

use super::begin_snapshot;
use crate::id::EnvironmentId;

/// Held while a settled snapshot is taken, which needs two connections: callers that had one each could wait
/// for the second forever.
static TAKING_SNAPSHOT: Mutex<()> = Mutex::const_new(());

/// The lock of an environment's arrivals, among all advisory locks.
fn lock_key(environment_id: EnvironmentId) -> i64 {
    const ARRIVALS: i64 = 0x0075_7062_6561_7401;
    let (_, low) = environment_id.0.as_u64_pair();
    low.cast_signed() ^ ARRIVALS
}

/// Lets nobody hold arrivals until the transaction ends; for a request that brings events.
pub async fn share_arrivals(db: &mut PgConnection, environment_id: EnvironmentId) -> Result<(), sqlx::Error> {
    let key = lock_key(environment_id);
    sqlx::query!("SELECT pg_advisory_xact_lock_shared($1)", key).execute(db).await?;
    Ok(())
}

/// Waits for every request in flight and keeps new ones out until the transaction ends.
///
/// Requests queue behind this wait, so it gives up after a second (`is_transient`) where one request in flight
/// does not end; so does each later wait for a lock in this transaction.
pub async fn hold_arrivals(db: &mut PgConnection, environment_id: EnvironmentId) -> Result<(), sqlx::Error> {
    db.execute("SET LOCAL lock_timeout = '1s'").await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", lock_key(environment_id)).execute(db).await?;
    Ok(())
}

/// The next number; taken under the lock.
pub async fn next_arrival(db: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT nextval('arrival_seq') AS "arrival!""#).fetch_one(db).await
}

/// A snapshot that sees every arrival up to the number answered with it, and none after. Requests are kept out
/// only while it is taken.
pub async fn begin_settled_snapshot(
    pool: &PgPool,
    environment_id: EnvironmentId,
) -> Result<(Transaction<'static, Postgres>, i64), sqlx::Error> {
    let _one_at_a_time = TAKING_SNAPSHOT.lock().await;
    // Both connections before the lock: requests that wait for it may hold all the others.
    let mut snapshot = begin_snapshot(pool).await?;
    let mut gate = pool.begin().await?;
    hold_arrivals(&mut gate, environment_id).await?;
    // The first statement, not the beginning, fixes what the snapshot sees.
    let arrival = sqlx::query_scalar!(r#"SELECT last_value AS "arrival!" FROM arrival_seq"#)
        .fetch_one(&mut *snapshot)
        .await?;
    gate.rollback().await?;
    Ok((snapshot, arrival))
}
