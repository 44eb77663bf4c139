//! What no metric counts, and what nobody claims.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::id::{BillableMetricId, EnvironmentId, SubjectId, digest};
use crate::time::{Instant, Period};
use crate::usage::calc::Counts;

/// Rows that are written in one statement.
const ROWS_AT_ONCE: usize = 1000;

/// The identity of a type, which may be longer than an index takes.
fn event_type_key(event_type: &str) -> Uuid {
    digest(&[b"event type", event_type.as_bytes()])
}

/// Adds to what no metric counts. What comes to nothing is forgotten.
pub(super) async fn keep(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    counts: &Counts,
) -> Result<(), sqlx::Error> {
    // In key order, as two writers may share rows.
    let mut rows: BTreeMap<(SubjectId, NaiveDate, Uuid), (&String, i64)> = BTreeMap::new();
    for ((subject_id, day), types) in &counts.unmetered {
        for (event_type, count) in types {
            rows.insert((*subject_id, *day, event_type_key(event_type)), (event_type, *count));
        }
    }
    let rows: Vec<_> = rows.into_iter().collect();
    for rows in rows.chunks(ROWS_AT_ONCE) {
        let subjects: Vec<Uuid> = rows.iter().map(|((subject_id, _, _), _)| subject_id.0).collect();
        let days: Vec<NaiveDate> = rows.iter().map(|((_, day, _), _)| *day).collect();
        let keys: Vec<Uuid> = rows.iter().map(|((_, _, key), _)| *key).collect();
        let types: Vec<String> = rows.iter().map(|(_, (event_type, _))| (*event_type).clone()).collect();
        let counts: Vec<i64> = rows.iter().map(|(_, (_, count))| *count).collect();
        sqlx::query!(
            "INSERT INTO usage_unmetered AS kept (environment_id, subject_id, day, event_type_key, event_type, event_count)
             SELECT $1, subject_id, day, key, event_type, event_count
             FROM unnest($2::uuid[], $3::date[], $4::uuid[], $5::text[], $6::bigint[])
                  AS given (subject_id, day, key, event_type, event_count)
             ON CONFLICT (environment_id, subject_id, day, event_type_key) DO UPDATE SET
                 event_count = kept.event_count + excluded.event_count",
            environment_id.0,
            &subjects,
            &days,
            &keys,
            &types,
            &counts,
        )
        .execute(&mut *db)
        .await?;
        if counts.iter().any(|count| *count < 0) {
            sqlx::query!(
                "DELETE FROM usage_unmetered kept
                 USING unnest($2::uuid[], $3::date[], $4::uuid[]) AS given (subject_id, day, key)
                 WHERE kept.environment_id = $1 AND kept.subject_id = given.subject_id AND kept.day = given.day
                   AND kept.event_type_key = given.key AND kept.event_count = 0",
                environment_id.0,
                &subjects,
                &days,
                &keys,
            )
            .execute(&mut *db)
            .await?;
        }
    }
    Ok(())
}

/// Events of one type that no metric counts.
#[derive(Clone, Debug)]
pub struct UnmeteredRow {
    pub day: NaiveDate,
    pub subject_id: SubjectId,
    pub event_type_key: Uuid,
    /// The string that the events name their customer by.
    pub received: String,
    pub event_type: String,
    pub event_count: i64,
}

impl UnmeteredRow {
    /// Where it stands among all.
    #[must_use]
    pub fn place(&self) -> (NaiveDate, SubjectId, Uuid) {
        (self.day, self.subject_id, self.event_type_key)
    }
}

/// What no metric counts of the days of a period, without some types, by day; at most `limit` rows after a place.
pub async fn unmetered_after(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    period: Period,
    without: &[String],
    after: Option<(NaiveDate, SubjectId, Uuid)>,
    limit: usize,
) -> Result<Vec<UnmeteredRow>, sqlx::Error> {
    let (day, subject_id, key) = after.unwrap_or((NaiveDate::MIN, SubjectId(Uuid::nil()), Uuid::nil()));
    sqlx::query_as!(
        UnmeteredRow,
        r#"SELECT day, subject_id AS "subject_id: SubjectId", event_type_key, received, event_type, event_count
           FROM usage_unmetered
           JOIN subject ON subject.environment_id = $1 AND subject.id = subject_id
           WHERE usage_unmetered.environment_id = $1 AND day >= $2 AND day < $3 AND event_type <> ALL($4)
             AND (day, subject_id, event_type_key) > ($5, $6, $7)
           ORDER BY day, subject_id, event_type_key LIMIT $8"#,
        environment_id.0,
        period.start.date_naive(),
        period.end.date_naive(),
        without,
        day.max(period.start.date_naive() - chrono::Days::new(1)),
        subject_id.0,
        key,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await
}

/// A string that events name a customer by.
#[derive(Clone, Debug)]
pub struct SubjectRow {
    pub id: SubjectId,
    pub received: String,
}

/// Subjects in the order of their ids, from one on.
pub async fn subjects_after(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    from: SubjectId,
    limit: usize,
) -> Result<Vec<SubjectRow>, sqlx::Error> {
    sqlx::query_as!(
        SubjectRow,
        r#"SELECT id AS "id: SubjectId", received FROM subject
           WHERE environment_id = $1 AND id >= $2 ORDER BY id LIMIT $3"#,
        environment_id.0,
        from.0,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await
}

pub async fn subjects_by_id(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<Vec<SubjectRow>, sqlx::Error> {
    sqlx::query_as!(
        SubjectRow,
        r#"SELECT id AS "id: SubjectId", received FROM subject WHERE environment_id = $1 AND id = ANY($2)"#,
        environment_id.0,
        ids,
    )
    .fetch_all(db)
    .await
}

/// The events of a subject on one day that count for a metric.
#[derive(Clone, Debug)]
pub struct SubjectDay {
    pub subject_id: SubjectId,
    pub day: NaiveDate,
    /// Unset: those that count for none.
    pub metric_id: Option<BillableMetricId>,
    pub event_count: i64,
}

/// How many events the subjects have on each day of a period for each metric, and for none; by subject, day and metric.
pub async fn usage_by_day(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: &[Uuid],
    period: Period,
) -> Result<Vec<SubjectDay>, sqlx::Error> {
    sqlx::query_as!(
        SubjectDay,
        r#"SELECT subject_id AS "subject_id!: SubjectId", day AS "day!",
                  metric_id AS "metric_id: BillableMetricId", sum(event_count)::bigint AS "event_count!"
           FROM (
               SELECT subject_id, (hour AT TIME ZONE 'UTC')::date AS day, billable_metric_id AS metric_id, event_count
               FROM usage_rollup
               WHERE environment_id = $1 AND subject_id = ANY($2) AND hour >= $3 AND hour < $4
               UNION ALL
               SELECT subject_id, day, NULL, event_count FROM usage_unmetered
               WHERE environment_id = $1 AND subject_id = ANY($2) AND day >= $5 AND day < $6
           ) AS counted
           GROUP BY subject_id, day, metric_id ORDER BY subject_id, day, metric_id NULLS FIRST"#,
        environment_id.0,
        subject_ids,
        period.start,
        period.end,
        period.start.date_naive(),
        period.end.date_naive(),
    )
    .fetch_all(db)
    .await
}

/// Those of the subjects that have usage of one of the metrics in a period.
pub async fn subjects_with_usage(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: &[Uuid],
    metric_ids: &[Uuid],
    period: Period,
) -> Result<Vec<SubjectId>, sqlx::Error> {
    let (start, end): (Instant, Instant) = (period.start, period.end);
    sqlx::query_scalar!(
        r#"SELECT given.id AS "id!: SubjectId"
           FROM unnest($2::uuid[]) AS given (id) CROSS JOIN LATERAL (
               SELECT FROM usage_rollup
               WHERE environment_id = $1 AND subject_id = given.id AND billable_metric_id = ANY($3)
                 AND hour >= $4 AND hour < $5
               LIMIT 1
           ) AS used"#,
        environment_id.0,
        subject_ids,
        metric_ids,
        start,
        end,
    )
    .fetch_all(db)
    .await
}

/// Those of the subjects that have events in a period of whole days, whatever counts them.
pub async fn subjects_with_events(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: &[Uuid],
    period: Period,
) -> Result<Vec<SubjectId>, sqlx::Error> {
    let (start, end): (Instant, Instant) = (period.start, period.end);
    sqlx::query_scalar!(
        r#"SELECT id AS "id!: SubjectId" FROM unnest($2::uuid[]) AS given (id)
           WHERE EXISTS (SELECT FROM usage_rollup
                         WHERE environment_id = $1 AND subject_id = given.id AND hour >= $3 AND hour < $4)
              OR EXISTS (SELECT FROM usage_unmetered
                         WHERE environment_id = $1 AND subject_id = given.id AND day >= $5 AND day < $6)"#,
        environment_id.0,
        subject_ids,
        start,
        end,
        start.date_naive(),
        end.date_naive(),
    )
    .fetch_all(db)
    .await
}
