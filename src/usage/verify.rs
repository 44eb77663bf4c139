//! Recounting rollups from the facts.
//!
//! The recount runs the same counting into temporary tables that stand in front of the real ones in the
//! session, and PostgreSQL compares them exactly; nothing is changed and no writer waits.

use sqlx::{Executor, PgConnection, PgPool};

use super::calc::{Counter, Counts};
use super::settle::begin_settled_snapshot;
use super::store::{Pace, PostgresRollups, RollupStore};
use crate::catalog::billable_metric;
use crate::event::{Scope, SegmentReader, Segments, first_seq_after};
use crate::id::{BillableMetricId, EnvironmentId, SubjectId};
use crate::time::Instant;

/// An hour of a subject whose rollup is not what its events add up to.
#[derive(Debug)]
pub struct RollupDifference {
    pub subject_id: SubjectId,
    /// Unset: of the events that no metric counts, by the day.
    pub metric_id: Option<BillableMetricId>,
    pub hour: Instant,
}

/// Recounts every rollup of an environment from its events; empty when all are right.
pub async fn verify_rollups(
    pool: &PgPool,
    environment_id: EnvironmentId,
) -> Result<Vec<RollupDifference>, sqlx::Error> {
    let (mut snapshot, arrival) = begin_settled_snapshot(pool, environment_id).await?;
    recount(&mut snapshot, environment_id, None, arrival).await?;
    let differences = compare(&mut snapshot, environment_id).await?;
    snapshot.rollback().await?;
    Ok(differences)
}

/// Recounts the subjects' rollups from facts up to an arrival into temporary tables, which every later
/// statement of the transaction reads instead of the real ones.
pub async fn recount_as_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: &[SubjectId],
    arrival: i64,
) -> Result<(), sqlx::Error> {
    recount(db, environment_id, Some(subject_ids.to_vec()), arrival).await
}

/// Puts empty temporary tables in front of the rollups until the transaction ends.
///
/// The caller rolls back: PostgreSQL then forgets the temporary schema, and the prepared statements of the
/// connection find the real tables again. After a commit they would keep to what they found here.
async fn shadow_rollups(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    db.execute(
        "CREATE TEMPORARY TABLE usage_rollup (LIKE public.usage_rollup INCLUDING INDEXES) ON COMMIT DROP;
             CREATE TEMPORARY TABLE usage_unique (LIKE public.usage_unique INCLUDING INDEXES) ON COMMIT DROP;
             CREATE TEMPORARY TABLE usage_day (LIKE public.usage_day INCLUDING INDEXES) ON COMMIT DROP;
             CREATE TEMPORARY TABLE usage_group (LIKE public.usage_group INCLUDING INDEXES) ON COMMIT DROP;
             CREATE TEMPORARY TABLE usage_unmetered (LIKE public.usage_unmetered INCLUDING INDEXES) ON COMMIT DROP",
    )
    .await?;
    Ok(())
}

/// Counts the events of the subjects, or of all, up to an arrival into the temporary tables.
async fn recount(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: Option<Vec<SubjectId>>,
    arrival: i64,
) -> Result<(), sqlx::Error> {
    let metrics = billable_metric::all_metrics(db, environment_id).await?;
    let mut reflows = billable_metric::reflows(db, environment_id).await?;
    reflows.retain(|reflow| reflow.arrival <= arrival);
    let counter = Counter::new(environment_id, metrics, &reflows);
    shadow_rollups(db).await?;
    let scope = Scope { environment_id, subject_ids, period: None, seqs: i64::MIN..first_seq_after(arrival) };
    let mut bookmark = None;
    while let Some((page, last)) = Segments.read(db, &scope, bookmark).await? {
        bookmark = Some(last);
        let mut counts = Counts::default();
        for facts in &page {
            for (subject_id, fact) in scope.facts(facts) {
                let read = counter.count(subject_id, &fact, &mut counts);
                if !read.map_err(|error| sqlx::Error::Decode(error.into()))? {
                    counts.add_unmetered(subject_id, &fact, 1);
                }
            }
        }
        PostgresRollups.apply(db, environment_id, &counts, Pace::AtOnce).await?;
    }
    Ok(())
}

async fn compare(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Vec<RollupDifference>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"WITH kept AS (SELECT * FROM public.usage_rollup WHERE environment_id = $1),
                counted AS (SELECT * FROM usage_rollup WHERE environment_id = $1),
                kept_unique AS (SELECT * FROM public.usage_unique WHERE environment_id = $1),
                counted_unique AS (SELECT * FROM usage_unique WHERE environment_id = $1),
                kept_unmetered AS (SELECT * FROM public.usage_unmetered WHERE environment_id = $1),
                counted_unmetered AS (SELECT * FROM usage_unmetered WHERE environment_id = $1)
           SELECT DISTINCT subject_id AS "subject_id!: SubjectId",
                  billable_metric_id AS "metric_id: BillableMetricId", hour AS "hour!"
           FROM (
               SELECT subject_id, billable_metric_id, hour FROM (TABLE kept EXCEPT TABLE counted) missing
               UNION ALL
               SELECT subject_id, billable_metric_id, hour FROM (TABLE counted EXCEPT TABLE kept) surplus
               UNION ALL
               SELECT subject_id, billable_metric_id, hour FROM (TABLE kept_unique EXCEPT TABLE counted_unique) missing
               UNION ALL
               SELECT subject_id, billable_metric_id, hour FROM (TABLE counted_unique EXCEPT TABLE kept_unique) surplus
               UNION ALL
               SELECT subject_id, NULL, day::timestamp AT TIME ZONE 'UTC'
               FROM (TABLE kept_unmetered EXCEPT TABLE counted_unmetered) missing
               UNION ALL
               SELECT subject_id, NULL, day::timestamp AT TIME ZONE 'UTC'
               FROM (TABLE counted_unmetered EXCEPT TABLE kept_unmetered) surplus
               UNION ALL
               -- Readers find the usage of a day by its name.
               SELECT subject_id, billable_metric_id, hour FROM kept
               WHERE NOT EXISTS (SELECT FROM public.usage_day named
                                 WHERE named.environment_id = $1 AND named.subject_id = kept.subject_id
                                   AND named.day = (kept.hour AT TIME ZONE 'UTC')::date)
           ) difference
           ORDER BY 1, 2, 3"#,
        environment_id.0,
    )
    .fetch_all(db)
    .await?;
    let difference = rows.into_iter().map(|row| RollupDifference {
        subject_id: row.subject_id,
        metric_id: row.metric_id,
        hour: row.hour,
    });
    Ok(difference.collect())
}
