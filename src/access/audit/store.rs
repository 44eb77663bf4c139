use sqlx::{Executor, PgConnection, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::access::origin::Origin;
use crate::casing::wire_enum;
use crate::id::EnvironmentId;
use crate::time::Instant;

wire_enum! {
    /// What became of a change.
    pub enum Outcome {
        Success = "success",
        Failure = "failure",
    }
}

/// Who made a change.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The token's id; unset for due work and the command line.
    pub id: Option<Uuid>,
    pub name: String,
}

/// One line before it is written.
pub struct Entry<'a> {
    pub id: Uuid,
    /// By the environment's clock, like everything that the line is about.
    pub recorded_at: Instant,
    pub actor: Actor,
    pub origin: &'a Origin,
    pub resource_type: &'a str,
    pub resource_id: Option<String>,
    pub action: &'a str,
    pub outcome: Outcome,
    pub description: String,
}

/// Longest description that is kept.
const DESCRIPTION_LENGTH_MAX: usize = 1000;

/// The lock of an environment's audit log, among all advisory locks.
fn lock_key(environment_id: EnvironmentId) -> i64 {
    const AUDIT: i64 = 0x0075_7062_6561_7402;
    let (_, low) = environment_id.0.as_u64_pair();
    low.cast_signed() ^ AUDIT
}

/// Writes a line; the last statement before the commit, as readers wait for the lock that it takes.
pub async fn append(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    entry: &Entry<'_>,
) -> Result<(), sqlx::Error> {
    append_all(db, environment_id, std::slice::from_ref(entry)).await
}

/// [`append`] for several lines.
pub async fn append_all(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    entries: &[Entry<'_>],
) -> Result<(), sqlx::Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let column =
        |of: fn(&Entry<'_>) -> Option<String>| -> Vec<Option<String>> { entries.iter().map(of).collect() };
    let ids: Vec<Uuid> = entries.iter().map(|entry| entry.id).collect();
    let recorded: Vec<Instant> = entries.iter().map(|entry| entry.recorded_at).collect();
    let actors: Vec<Option<Uuid>> = entries.iter().map(|entry| entry.actor.id).collect();
    // The rows, and with them their numbers, are made from what the lock answers: never before it is had.
    sqlx::query!(
        "WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared($2))
         INSERT INTO audit_log (environment_id, id, recorded_at, actor_id, actor_name, request_id, ip, user_agent,
                                resource_type, resource_id, action, status, description)
         SELECT $1::uuid, given.*
         FROM gate, unnest($3::uuid[], $4::timestamptz[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[],
                           $10::text[], $11::text[], $12::text[], $13::text[], $14::text[]) AS given",
        environment_id.0,
        lock_key(environment_id),
        &ids,
        &recorded,
        &actors as _,
        &column(|entry| Some(entry.actor.name.clone())) as _,
        &column(|entry| Some(entry.origin.request_id.clone())) as _,
        &column(|entry| entry.origin.ip.map(|ip| ip.to_string())) as _,
        &column(|entry| entry.origin.user_agent.clone()) as _,
        &column(|entry| Some(entry.resource_type.to_owned())) as _,
        &column(|entry| entry.resource_id.clone()) as _,
        &column(|entry| Some(entry.action.to_owned())) as _,
        &column(|entry| Some(entry.outcome.as_str().to_owned())) as _,
        &column(|entry| Some(in_one_line(&entry.description))) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a caller sent may be in it: line breaks, even the one character that PostgreSQL text cannot hold.
fn in_one_line(description: &str) -> String {
    let letters = description.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    letters.take(DESCRIPTION_LENGTH_MAX).collect()
}

/// A line as it is kept.
#[derive(sqlx::FromRow)]
pub struct AuditRow {
    pub number: i64,
    pub id: Uuid,
    pub recorded_at: Instant,
    pub actor_id: Option<Uuid>,
    pub actor_name: String,
    pub request_id: String,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    pub resource_type: String,
    pub resource_id: Option<String>,
    pub action: String,
    pub status: String,
    pub description: String,
}

/// What a list of lines is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub starting_on: Option<Instant>,
    pub ending_before: Option<Instant>,
    /// Type and id.
    pub resource: Option<(String, String)>,
    pub descending: bool,
    /// Only lines beyond this number, in the direction of the list.
    pub after: Option<i64>,
}

/// The last number that every reader can rely on: each line up to it is there, and no other will come.
pub async fn settled_number(pool: &PgPool, environment_id: EnvironmentId) -> Result<i64, sqlx::Error> {
    let mut gate = pool.begin().await?;
    // Writers queue behind this wait, which is no longer than a commit.
    gate.execute("SET LOCAL lock_timeout = '1s'").await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", lock_key(environment_id)).execute(&mut *gate).await?;
    let last = sqlx::query_scalar!(
        r#"SELECT coalesce(max(number), 0) AS "last!" FROM audit_log WHERE environment_id = $1"#,
        environment_id.0,
    )
    .fetch_one(&mut *gate)
    .await?;
    gate.rollback().await?;
    Ok(last)
}

/// Lines up to `settled`, in the order of their numbers.
pub async fn list(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    filter: &AuditFilter,
    settled: i64,
    limit: usize,
) -> Result<Vec<AuditRow>, sqlx::Error> {
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new("SELECT * FROM audit_log WHERE environment_id = ");
    query.push_bind(environment_id.0).push(" AND number <= ").push_bind(settled);
    if let Some(instant) = filter.starting_on {
        query.push(" AND recorded_at >= ").push_bind(instant);
    }
    if let Some(instant) = filter.ending_before {
        query.push(" AND recorded_at < ").push_bind(instant);
    }
    if let Some((resource_type, resource_id)) = &filter.resource {
        query.push(" AND resource_type = ").push_bind(resource_type);
        query.push(" AND resource_id = ").push_bind(resource_id);
    }
    if let Some(after) = filter.after {
        query.push(if filter.descending { " AND number < " } else { " AND number > " }).push_bind(after);
    }
    query.push(if filter.descending { " ORDER BY number DESC LIMIT " } else { " ORDER BY number LIMIT " });
    query.push_bind(i64::try_from(limit).expect("limits are small"));
    query.build_query_as().fetch_all(db).await
}
