//! Recounting rollups from the facts.
//!
//! The recount runs the same counting into temporary tables that stand in front of the real ones in the
//! session, and PostgreSQL compares them exactly; nothing is changed and no writer waits.

use sqlx::{Executor, PgConnection, PgPool};

use super::calc::contribution;
use super::store::{Delta, PostgresRollups, RollupStore};
use crate::catalog::billable_metric::{self, BillableMetricRow};
use crate::event::{Arrival, PostgresEvents, SegmentReader, StoredEvent};
use crate::id::{BillableMetricId, EnvironmentId, SubjectId};
use crate::postgres::begin_snapshot;
use crate::time::Instant;

const EVENTS_AT_ONCE: i64 = 5000;

/// An hour of a subject whose rollup is not what its events add up to.
#[derive(Debug)]
pub struct RollupDifference {
    pub subject_id: SubjectId,
    pub metric_id: BillableMetricId,
    pub hour: Instant,
}

/// Recounts every rollup of an environment from its events; empty when all are right.
pub async fn verify_rollups(
    pool: &PgPool,
    environment_id: EnvironmentId,
) -> Result<Vec<RollupDifference>, sqlx::Error> {
    let mut snapshot = begin_snapshot(pool).await?;
    let metrics = billable_metric::all_metrics(&mut snapshot, environment_id).await?;
    let subjects = PostgresEvents.subjects(&mut snapshot, environment_id).await?;
    shadow_rollups(&mut snapshot).await?;
    for subject_id in subjects {
        recount(&mut snapshot, environment_id, &metrics, subject_id, i64::MAX).await?;
    }
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
    let metrics = billable_metric::all_metrics(db, environment_id).await?;
    shadow_rollups(db).await?;
    for subject_id in subject_ids {
        recount(db, environment_id, &metrics, *subject_id, Arrival::first_seq_after(arrival)).await?;
    }
    Ok(())
}

/// Puts empty temporary tables in front of the rollups until the transaction ends.
///
/// The caller rolls back: PostgreSQL then forgets the temporary schema, and the prepared statements of the
/// connection find the real tables again. After a commit they would keep to what they found here.
async fn shadow_rollups(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    db.execute(
        "CREATE TEMPORARY TABLE usage_rollup (LIKE public.usage_rollup INCLUDING INDEXES) ON COMMIT DROP;
             CREATE TEMPORARY TABLE usage_unique (LIKE public.usage_unique INCLUDING INDEXES) ON COMMIT DROP;
             CREATE TEMPORARY TABLE usage_group (LIKE public.usage_group INCLUDING INDEXES) ON COMMIT DROP",
    )
    .await?;
    Ok(())
}

/// Counts one subject's events into the temporary tables.
async fn recount(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    metrics: &[(BillableMetricRow, bool)],
    subject_id: SubjectId,
    before_seq: i64,
) -> Result<(), sqlx::Error> {
    let mut after = i64::MIN;
    loop {
        let mut events = PostgresEvents.read(db, environment_id, subject_id, after, EVENTS_AT_ONCE).await?;
        events.retain(|event| event.seq < before_seq);
        let Some(last) = events.last() else { return Ok(()) };
        after = last.seq;
        let deltas: Vec<Delta> = events
            .iter()
            .flat_map(|event| metrics.iter().filter_map(move |metric| delta(metric, event)))
            .collect();
        PostgresRollups.apply(db, environment_id, &deltas).await?;
    }
}

/// What the event adds to the metric, if the metric took events when it arrived.
fn delta((metric, is_used): &(BillableMetricRow, bool), event: &StoredEvent) -> Option<Delta> {
    let arrived_after_creation = event.seq >= Arrival::first_seq_after(metric.created_arrival);
    let arrived_before_archive = metric
        .archived_arrival
        .filter(|_| !is_used)
        .is_none_or(|number| event.seq < Arrival::first_seq_after(number));
    if !arrived_after_creation || !arrived_before_archive {
        return None;
    }
    Some(Delta {
        subject_id: event.subject_id,
        metric_id: metric.id,
        aggregation: metric.definition.aggregation_type,
        happened_at: event.timestamp,
        seq: event.seq,
        contribution: contribution(&metric.definition, &event.event_type, &event.properties)?,
    })
}

async fn compare(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Vec<RollupDifference>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"WITH kept AS (SELECT * FROM public.usage_rollup WHERE environment_id = $1),
                counted AS (SELECT * FROM usage_rollup WHERE environment_id = $1),
                kept_unique AS (SELECT * FROM public.usage_unique WHERE environment_id = $1),
                counted_unique AS (SELECT * FROM usage_unique WHERE environment_id = $1)
           SELECT DISTINCT subject_id AS "subject_id!: SubjectId",
                  billable_metric_id AS "metric_id!: BillableMetricId", hour AS "hour!"
           FROM (
               SELECT subject_id, billable_metric_id, hour FROM (TABLE kept EXCEPT TABLE counted) missing
               UNION ALL
               SELECT subject_id, billable_metric_id, hour FROM (TABLE counted EXCEPT TABLE kept) surplus
               UNION ALL
               SELECT subject_id, billable_metric_id, hour FROM (TABLE kept_unique EXCEPT TABLE counted_unique) missing
               UNION ALL
               SELECT subject_id, billable_metric_id, hour FROM (TABLE counted_unique EXCEPT TABLE kept_unique) surplus
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
