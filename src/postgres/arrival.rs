//! The one order in which facts arrive in an environment.
//!
//! Every flush of events takes numbers under a shared lock that it keeps until it commits. Whoever takes the
//! lock alone therefore knows that each number given so far is committed or will never be, and that each later
//! number comes after: metrics come and go there, and invoices see exactly the facts up to a number.

use sqlx::{AssertSqlSafe, Executor, PgConnection, PgPool, Postgres, Transaction};

use crate::id::EnvironmentId;

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

/// A transaction for a flush of events, in which nobody else holds arrivals.
pub async fn begin_arrivals(
    pool: &PgPool,
    environment_id: EnvironmentId,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let key = lock_key(environment_id);
    // In one trip; the key is a number of ours.
    let statement = format!("BEGIN; SELECT pg_advisory_xact_lock_shared({key})");
    pool.begin_with(AssertSqlSafe(statement)).await
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

/// The last number that was given.
pub async fn last_arrival(db: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT last_value AS "arrival!" FROM arrival_seq"#).fetch_one(db).await
}
