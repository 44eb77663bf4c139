use sqlx::PgConnection;
use uuid::Uuid;

use crate::id::{CustomerId, EnvironmentId};
use crate::time::Instant;

/// One step that is due.
#[derive(Clone, Debug)]
pub struct DueWork {
    pub environment_id: EnvironmentId,
    pub kind: String,
    pub subject_id: Uuid,
    pub customer_id: CustomerId,
    pub due_at: Instant,
    pub attempts: i32,
    /// The environment's time at which it is done.
    pub now: Instant,
}

/// Sets when a subject's step of this kind is due, replacing what was set before.
pub async fn schedule(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    kind: &str,
    subject_id: Uuid,
    customer_id: CustomerId,
    due_at: Instant,
) -> Result<(), sqlx::Error> {
    schedule_all(db, environment_id, kind, &[(subject_id, customer_id, due_at)]).await
}

/// [`schedule`] for several subjects.
pub async fn schedule_all(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    kind: &str,
    due: &[(Uuid, CustomerId, Instant)],
) -> Result<(), sqlx::Error> {
    if due.is_empty() {
        return Ok(());
    }
    let subjects: Vec<Uuid> = due.iter().map(|(subject, _, _)| *subject).collect();
    let customers: Vec<Uuid> = due.iter().map(|(_, customer, _)| customer.0).collect();
    let instants: Vec<Instant> = due.iter().map(|(_, _, due_at)| *due_at).collect();
    sqlx::query!(
        "INSERT INTO due_work (environment_id, kind, subject_id, customer_id, due_at)
         SELECT $1, $2, given.* FROM unnest($3::uuid[], $4::uuid[], $5::timestamptz[]) AS given
         ON CONFLICT (environment_id, kind, subject_id)
         DO UPDATE SET due_at = excluded.due_at, attempts = 0, last_error = NULL, retry_at = NULL",
        environment_id.0,
        kind,
        &subjects,
        &customers,
        &instants,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Locks what is due for a subject until the transaction ends. Whoever changes the subject does this before locking
/// the subject itself, as a worker holds the step first.
pub async fn lock(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    kinds: &[&str],
    subject_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT kind FROM due_work WHERE environment_id = $1 AND kind = ANY($2) AND subject_id = $3
         ORDER BY kind FOR UPDATE",
        environment_id.0,
        kinds as _,
        subject_id,
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// When a subject's step of this kind is due, if it is.
pub async fn due_at(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    kind: &str,
    subject_id: Uuid,
) -> Result<Option<Instant>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT due_at FROM due_work WHERE environment_id = $1 AND kind = $2 AND subject_id = $3",
        environment_id.0,
        kind,
        subject_id,
    )
    .fetch_optional(db)
    .await
}

/// Nothing of this kind is due for the subject any more.
pub async fn remove(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    kind: &str,
    subject_id: Uuid,
) -> Result<(), sqlx::Error> {
    remove_all(db, environment_id, kind, &[subject_id]).await
}

/// [`remove`] for several subjects.
pub async fn remove_all(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    kind: &str,
    subject_ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    if subject_ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "DELETE FROM due_work WHERE environment_id = $1 AND kind = $2 AND subject_id = ANY($3)",
        environment_id.0,
        kind,
        subject_ids,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The earliest step that is due at `now` and that no other worker holds, of customers for whom nothing is due before: another
/// worker may be at what it waits for, as a true-up does for statements, and a statement for those of a contract that was
/// renewed. Where it finalizes a usage statement, with others that do and are due at the same instant, at most so many in all.
/// Of one kind `only`, where that is given. Locked until the transaction ends.
///
/// (As they are written, both parts are read in the order of an index and end as soon as they have enough, once the table has
/// statistics; with the `OFFSET`s the planner makes no join of what is to be looked up for each row. Ten thousand statements that
/// are due at one instant are a hundred and fifty looks, none of which is to sort all that are left.)
pub async fn take(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    now: Instant,
    real_now: Instant,
    at_most: i64,
    only: Option<&str>,
) -> Result<Vec<DueWork>, sqlx::Error> {
    sqlx::query_as!(
        DueWork,
        r#"WITH first AS MATERIALIZED (
               SELECT due_at, kind FROM due_work
               WHERE environment_id = $1 AND due_at <= $2 AND (retry_at IS NULL OR retry_at <= $3)
                 AND ($5::text IS NULL OR kind = $5)
                 AND NOT EXISTS (
                     SELECT FROM due_work earlier
                     WHERE earlier.environment_id = $1 AND earlier.customer_id = due_work.customer_id
                       AND (earlier.due_at, earlier.kind) < (due_work.due_at, due_work.kind)
                       AND (earlier.retry_at IS NULL OR earlier.retry_at <= $3) OFFSET 0)
               ORDER BY due_at, kind, subject_id LIMIT 1 FOR UPDATE SKIP LOCKED
           )
           SELECT environment_id AS "environment_id: EnvironmentId", kind, subject_id,
                  customer_id AS "customer_id: CustomerId", due_at, attempts, greatest(due_at, $2) AS "now!"
           FROM due_work
           WHERE environment_id = $1 AND due_at = (SELECT due_at FROM first) AND kind = (SELECT kind FROM first)
             AND (retry_at IS NULL OR retry_at <= $3)
             AND NOT EXISTS (
                 SELECT FROM due_work earlier
                 WHERE earlier.environment_id = $1 AND earlier.customer_id = due_work.customer_id
                   AND (earlier.due_at, earlier.kind) < (due_work.due_at, due_work.kind)
                   AND (earlier.retry_at IS NULL OR earlier.retry_at <= $3) OFFSET 0)
           ORDER BY subject_id LIMIT CASE WHEN (SELECT kind FROM first) = $6 THEN $4::bigint ELSE 1 END
           FOR UPDATE SKIP LOCKED"#,
        environment_id.0,
        now,
        real_now,
        at_most,
        only,
        super::kind::FINALIZE_USAGE_STATEMENT,
    )
    .fetch_all(db)
    .await
}

/// Like [`take`], but waits for steps that another worker holds: for a clock at `now` that moves to `target` and may not
/// pass them.
pub async fn take_and_wait(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    target: Instant,
    real_now: Instant,
    now: Instant,
    at_most: i64,
) -> Result<Vec<DueWork>, sqlx::Error> {
    sqlx::query_as!(
        DueWork,
        r#"WITH first AS MATERIALIZED (
               SELECT due_at, kind FROM due_work
               WHERE environment_id = $1 AND due_at <= $2 AND (retry_at IS NULL OR retry_at <= $3)
               ORDER BY due_at, kind, subject_id LIMIT 1 FOR UPDATE
           )
           SELECT environment_id AS "environment_id: EnvironmentId", kind, subject_id,
                  customer_id AS "customer_id: CustomerId", due_at, attempts, greatest(due_at, $4) AS "now!"
           FROM due_work
           WHERE environment_id = $1 AND due_at = (SELECT due_at FROM first) AND kind = (SELECT kind FROM first)
             AND (retry_at IS NULL OR retry_at <= $3)
           ORDER BY subject_id LIMIT CASE WHEN (SELECT kind FROM first) = $6 THEN $5::bigint ELSE 1 END FOR UPDATE"#,
        environment_id.0,
        target,
        real_now,
        now,
        at_most,
        super::kind::FINALIZE_USAGE_STATEMENT,
    )
    .fetch_all(db)
    .await
}

/// The customer's earliest step that is due at `now`, locked until the transaction ends; waits for a worker that
/// holds it. Steps that wait for another try are taken as well.
pub async fn take_of_customer(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    now: Instant,
) -> Result<Option<DueWork>, sqlx::Error> {
    sqlx::query_as!(
        DueWork,
        r#"SELECT environment_id AS "environment_id: EnvironmentId", kind, subject_id,
                  customer_id AS "customer_id: CustomerId", due_at, attempts, $3::timestamptz AS "now!"
           FROM due_work WHERE environment_id = $1 AND customer_id = $2 AND due_at <= $3 AND kind = ANY($4)
           ORDER BY due_at, kind, subject_id LIMIT 1 FOR UPDATE"#,
        environment_id.0,
        customer_id.0,
        now,
        super::kind::OF_CUSTOMER as _,
    )
    .fetch_optional(db)
    .await
}

/// Whether anything is due for the customer at `now`, held by a worker or not.
pub async fn is_due_for(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    now: Instant,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM due_work WHERE environment_id = $1 AND customer_id = $2 AND due_at <= $3
                          AND kind = ANY($4)) AS "due!""#,
        environment_id.0,
        customer_id.0,
        now,
        super::kind::OF_CUSTOMER as _,
    )
    .fetch_one(db)
    .await
}

/// Keeps a failed step, with its reason, for another try; unless another worker has done it in the meantime.
pub async fn put_off(
    db: &mut PgConnection,
    work: &DueWork,
    reason: &str,
    retry_at: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE due_work SET attempts = attempts + 1, last_error = $4, retry_at = $5
         WHERE environment_id = $1 AND kind = $2 AND subject_id = $3 AND due_at = $6 AND attempts = $7",
        work.environment_id.0,
        work.kind,
        work.subject_id,
        reason,
        retry_at,
        work.due_at,
        work.attempts,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many steps failed and wait for another try.
pub async fn count_failed(db: &mut PgConnection, environment_id: EnvironmentId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM due_work WHERE environment_id = $1 AND last_error IS NOT NULL"#,
        environment_id.0,
    )
    .fetch_one(db)
    .await
}

/// Whether anything is due at `now`, held by another worker or not.
pub async fn is_any_due(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    now: Instant,
    real_now: Instant,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM due_work WHERE environment_id = $1 AND due_at <= $2
                          AND (retry_at IS NULL OR retry_at <= $3)) AS "any!""#,
        environment_id.0,
        now,
        real_now,
    )
    .fetch_one(db)
    .await
}

/// Lets everything that failed and is due until `until` be tried again at once.
pub async fn retry_now(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    until: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE due_work SET retry_at = NULL WHERE environment_id = $1 AND due_at <= $2 AND retry_at IS NOT NULL",
        environment_id.0,
        until,
    )
    .execute(db)
    .await?;
    Ok(())
}
