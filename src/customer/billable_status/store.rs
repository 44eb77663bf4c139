use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{BillableStatus, StatusInForce};
use crate::id::{CustomerId, EnvironmentId};
use crate::time::Instant;

/// An entry to add.
pub struct NewStatus<'a> {
    pub status: BillableStatus,
    pub effective_at: Instant,
    pub created_at: Instant,
    pub created_by: &'a str,
}

/// Adds an entry, which counts before all earlier ones. The customer is locked, so entries are numbered in the
/// order in which they commit.
pub async fn append(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    entry: &NewStatus<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO billable_status (environment_id, customer_id, status, effective_at, created_at, created_by)
         VALUES ($1, $2, $3, $4, $5, $6)",
        environment_id.0,
        customer_id.0,
        entry.status.as_str(),
        entry.effective_at,
        entry.created_at,
        entry.created_by,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What is in force at an instant, for each customer that has an entry which is effective then.
pub async fn statuses_in_force(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_ids: &[Uuid],
    at: Instant,
) -> Result<BTreeMap<CustomerId, StatusInForce>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT given.id AS "customer_id!: CustomerId", status AS "status!: BillableStatus",
                  effective_at AS "effective_at!"
           -- not looked into by the planner, who would make another plan for each call
           FROM unnest((SELECT $2::uuid[])) AS given (id), LATERAL (
               SELECT status, effective_at FROM billable_status
               WHERE environment_id = $1 AND customer_id = given.id AND effective_at <= $3
               ORDER BY added DESC LIMIT 1) AS in_force"#,
        environment_id.0,
        customer_ids,
        at,
    )
    .fetch_all(db)
    .await?;
    let in_force = rows
        .into_iter()
        .map(|row| (row.customer_id, StatusInForce { status: row.status, effective_at: row.effective_at }));
    Ok(in_force.collect())
}

/// All entries of a customer, in the order in which they count: what was added last comes first.
pub async fn all_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<Vec<StatusInForce>, sqlx::Error> {
    sqlx::query_as!(
        StatusInForce,
        r#"SELECT status AS "status: BillableStatus", effective_at FROM billable_status
           WHERE environment_id = $1 AND customer_id = $2 ORDER BY added DESC"#,
        environment_id.0,
        customer_id.0,
    )
    .fetch_all(db)
    .await
}

/// Customers' statuses, each at the instant beside it, in their order.
pub async fn statuses_at(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    asked: &[(CustomerId, Instant)],
) -> Result<Vec<BillableStatus>, sqlx::Error> {
    let (customers, instants): (Vec<Uuid>, Vec<Instant>) = asked.iter().map(|(id, at)| (id.0, *at)).unzip();
    let statuses = sqlx::query_scalar!(
        r#"SELECT (SELECT status FROM billable_status
                   WHERE environment_id = $1 AND customer_id = given.customer_id AND effective_at <= given.at
                   ORDER BY added DESC LIMIT 1) AS "status: BillableStatus"
           -- not looked into by the planner, who would make another plan for each call
           FROM unnest((SELECT $2::uuid[]), (SELECT $3::timestamptz[])) WITH ORDINALITY
                AS given (customer_id, at, position)
           ORDER BY position"#,
        environment_id.0,
        &customers,
        &instants,
    )
    .fetch_all(db)
    .await?;
    Ok(statuses.into_iter().map(|status| status.unwrap_or(BillableStatus::Billable)).collect())
}
