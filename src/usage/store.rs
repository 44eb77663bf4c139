//! The tables of quantities, behind the trait that names what they must do.

mod days;
mod unmetered;
mod window;

pub use unmetered::{
    SubjectDay, UnmeteredRow, subjects_after, subjects_by_id, subjects_with_events, subjects_with_usage,
    unmetered_after, usage_by_day,
};

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use self::days::{Asked, GroupSum};
pub use self::days::{DayNames, named_days};
use super::calc::{Counts, Hour, Latest, Tally, Windows};
use crate::catalog::billable_metric::{AggregationType, BillableMetricRow};
use crate::event::subject_id;
use crate::id::{BillableMetricId, CustomerId, EnvironmentId, GroupId, SubjectId};
use crate::money::Decimal;
use crate::time::{Instant, Period};

/// The usage of one metric under one tuple of group values in one segment of a period.
#[derive(Clone, Debug)]
pub struct Piece {
    pub metric_id: BillableMetricId,
    /// In the order of the metric's group names; pieces of one group share them where they are loaded together.
    pub group_values: Arc<Vec<String>>,
    /// Which segment of the period, from 0.
    pub segment: usize,
    pub tally: Tally,
}

/// What is asked about one metric on behalf of one customer.
#[derive(Clone, Debug)]
pub struct Question {
    pub customer_id: CustomerId,
    pub metric_id: BillableMetricId,
    pub aggregation: AggregationType,
    pub subject_ids: Vec<SubjectId>,
    /// Only usage of these hours.
    pub period: Period,
    /// The places of the group names to split by, from 0, in the order in which their values are to come.
    pub group_places: Vec<usize>,
    /// At a place only these values.
    pub kept_values: Vec<(usize, Vec<String>)>,
}

impl Question {
    /// The customer's usage of the metric in a period, not split. `received` is what events call the customer.
    #[must_use]
    pub fn new(
        environment_id: EnvironmentId,
        customer_id: CustomerId,
        received: &[String],
        metric: &BillableMetricRow,
        period: Period,
    ) -> Self {
        Self {
            customer_id,
            metric_id: metric.id,
            aggregation: metric.definition.aggregation_type,
            subject_ids: received.iter().map(|received| subject_id(environment_id, received)).collect(),
            period,
            group_places: Vec::new(),
            kept_values: Vec::new(),
        }
    }

    fn needs_groups(&self) -> bool {
        !self.group_places.is_empty() || !self.kept_values.is_empty()
    }

    /// Of the values of a group those that the question splits by.
    #[must_use]
    pub fn shown(&self, group_values: &[String]) -> Vec<String> {
        self.group_places.iter().map(|place| group_values[*place].clone()).collect()
    }

    /// Whether usage of a group is asked for.
    #[must_use]
    pub fn keeps(&self, group_values: &[String]) -> bool {
        self.kept_values.iter().all(|(place, texts)| texts.contains(&group_values[*place]))
    }
}

/// A group value that a customer's usage of a metric has.
#[derive(Clone, Debug)]
pub struct GroupValueRow {
    pub customer_id: CustomerId,
    pub metric_id: BillableMetricId,
    pub value: String,
}

/// What the rollups of a question's subjects add up to in one window, of one group where the question needs groups.
#[derive(Clone, Debug)]
pub struct Part {
    /// The question's place among all.
    pub question: usize,
    pub window: i64,
    pub group_id: Option<GroupId>,
    /// In the order of the metric's group names; empty where the question needs no groups.
    pub group_values: Vec<String>,
    /// Without its distinct values.
    pub tally: Tally,
}

/// A value that a question's subjects have in a window under the values of the places that the question splits by.
#[derive(Clone, Debug)]
pub struct Distinct {
    /// The question's place among all.
    pub question: usize,
    pub window: i64,
    pub group_values: Vec<String>,
    pub value: Uuid,
}

/// Of how many distinct values, by the place of the question, the window and the values of the places that it splits by.
pub type DistinctCounts = HashMap<(usize, i64, Vec<String>), i64>;

/// Hours that are written in one statement.
const HOURS_AT_ONCE: usize = 500;

/// What work in the background leaves to others after each statement.
const BREATH: Duration = Duration::from_millis(5);

/// Who waits for usage to be counted, in this process.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// While there is one, nothing is counted with pauses.
pub struct Hurry(());

impl Hurry {
    #[must_use]
    pub fn new() -> Self {
        WAITING.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Hurry {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    AtOnce,
    /// With pauses, so that requests on the same processors are not held up.
    Background,
}

/// How often the same usage is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Once, as for an invoice that becomes final.
    Once,
    /// Again and again, in a snapshot: what days add up to is remembered.
    Often,
}

/// Hourly rollups by subject, metric and group values.
pub trait RollupStore {
    /// Adds to the rollups.
    fn apply(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        counts: &Counts,
        pace: Pace,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// The merged usage of the subjects by metric, group values and segment, until `end`.
    fn pieces(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        subject_ids: &[SubjectId],
        metrics: &[SegmentedMetric<'_>],
        end: Instant,
        reading: Reading,
    ) -> impl Future<Output = Result<Vec<Piece>, sqlx::Error>> + Send;

    /// The merged usage by question and window, and by group where a question needs groups. Only windows with events
    /// come back. The transaction is a snapshot.
    fn parts(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        questions: &[Question],
        windows: &Windows,
    ) -> impl Future<Output = Result<Vec<Part>, sqlx::Error>> + Send;

    /// How many distinct values there are, those of `more` among them; of UNIQUE questions only.
    fn count_distinct(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        questions: &[Question],
        windows: &Windows,
        more: &[Distinct],
    ) -> impl Future<Output = Result<DistinctCounts, sqlx::Error>> + Send;

    /// The group values with events, of questions that split by one place each: of each question the first `limit` in
    /// byte order.
    fn group_values(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        questions: &[Question],
        limit: usize,
    ) -> impl Future<Output = Result<Vec<GroupValueRow>, sqlx::Error>> + Send;

    /// The values of one of the metric's groups, in the order of its group names.
    fn values_of_group(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        metric_id: BillableMetricId,
        group_id: GroupId,
    ) -> impl Future<Output = Result<Option<Vec<String>>, sqlx::Error>> + Send;
}

/// Rollups as rows of PostgreSQL.
#[derive(Clone, Copy)]
pub struct PostgresRollups;

/// A metric whose usage is wanted in segments.
#[derive(Clone, Copy, Debug)]
pub struct SegmentedMetric<'a> {
    pub metric_id: BillableMetricId,
    pub aggregation: AggregationType,
    /// The segments' first hours, ascending, all from the same first one on; each segment ends where the next starts.
    pub starts: &'a [Instant],
    /// When it is decided anew which usage is billed, ascending; the same of all metrics.
    pub filter_changes: &'a [Instant],
}

/// Each start of a segment beside its metric, for `unnest`.
#[derive(Default)]
struct SegmentStarts {
    metrics: Vec<Uuid>,
    starts: Vec<Instant>,
}

impl SegmentStarts {
    fn of(metrics: &[SegmentedMetric<'_>]) -> Self {
        let mut columns = Self::default();
        for metric in metrics {
            columns.metrics.extend(std::iter::repeat_n(metric.metric_id.0, metric.starts.len()));
            columns.starts.extend(metric.starts);
        }
        columns
    }
}

/// The columns of counted hours, for `unnest`.
#[derive(Default)]
struct HourColumns {
    subjects: Vec<Uuid>,
    metrics: Vec<Uuid>,
    hours: Vec<Instant>,
    groups: Vec<Uuid>,
    counts: Vec<i64>,
    totals: Vec<Option<Decimal>>,
    greatest: Vec<Option<Decimal>>,
    latest: Vec<Option<Decimal>>,
    latest_at: Vec<Option<Instant>>,
    latest_seqs: Vec<Option<i64>>,
}

impl HourColumns {
    fn of(hours: &[(&Hour, &Tally)]) -> Self {
        let mut columns = Self::default();
        for (hour, tally) in hours {
            columns.subjects.push(hour.subject_id.0);
            columns.metrics.push(hour.metric_id.0);
            columns.hours.push(hour.hour);
            columns.groups.push(hour.group_id.0);
            columns.counts.push(tally.event_count);
            columns.totals.push(tally.total.clone());
            columns.greatest.push(tally.greatest.clone());
            let latest = tally.latest.as_ref();
            columns.latest.push(latest.map(|latest| latest.value.clone()));
            columns.latest_at.push(latest.map(|latest| latest.happened_at));
            columns.latest_seqs.push(latest.map(|latest| latest.seq));
        }
        columns
    }
}

impl RollupStore for PostgresRollups {
    async fn apply(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        counts: &Counts,
        pace: Pace,
    ) -> Result<(), sqlx::Error> {
        if counts.is_empty() {
            return Ok(());
        }
        // In key order, so that two writers that share hours wait for one another and never deadlock.
        let mut hours: Vec<(&Hour, &Tally)> = counts.hours.iter().collect();
        hours.sort_unstable_by_key(|(hour, _)| **hour);
        days::rename(db, environment_id, counts.hours.keys()).await?;
        keep_groups(db, environment_id, counts).await?;
        for hours in hours.chunks(HOURS_AT_ONCE) {
            keep_hours(db, environment_id, hours).await?;
            keep_uniques(db, environment_id, hours).await?;
            if pace == Pace::Background && WAITING.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(BREATH).await;
            }
        }
        unmetered::keep(db, environment_id, counts).await
    }

    async fn pieces(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        subject_ids: &[SubjectId],
        metrics: &[SegmentedMetric<'_>],
        end: Instant,
        reading: Reading,
    ) -> Result<Vec<Piece>, sqlx::Error> {
        let Some(start) = metrics.iter().filter_map(|metric| metric.starts.first()).min().copied() else {
            return Ok(Vec::new());
        };
        let by_day = match reading {
            Reading::Often => pieces_by_day(db, environment_id, subject_ids, metrics, end).await?,
            Reading::Once => None,
        };
        let subjects: Vec<Uuid> = subject_ids.iter().map(|id| id.0).collect();
        let period = Period { start, end };
        let counted = match by_day {
            Some(counted) => counted,
            None => pieces_by_hour(db, environment_id, &subjects, metrics, period).await?,
        };
        let mut latest = latest_of_segments(db, environment_id, &subjects, metrics, period).await?;
        let mut pieces: Vec<Piece> = Vec::with_capacity(counted.len());
        for (group_id, mut piece) in counted {
            piece.tally.latest = latest.remove(&(piece.metric_id, group_id, piece.segment)).map(Box::new);
            pieces.push(piece);
        }
        let is_unique = |metric: &&SegmentedMetric<'_>| metric.aggregation == AggregationType::Unique;
        let uniques: Vec<SegmentedMetric<'_>> = metrics.iter().filter(is_unique).copied().collect();
        if !uniques.is_empty() {
            pieces.extend(unique_pieces(db, environment_id, &subjects, &uniques, period).await?);
        }
        Ok(pieces)
    }

    async fn parts(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        questions: &[Question],
        windows: &Windows,
    ) -> Result<Vec<Part>, sqlx::Error> {
        window::parts(db, environment_id, questions, windows).await
    }

    async fn count_distinct(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        questions: &[Question],
        windows: &Windows,
        more: &[Distinct],
    ) -> Result<DistinctCounts, sqlx::Error> {
        window::count_distinct(db, environment_id, questions, windows, more).await
    }

    async fn group_values(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        questions: &[Question],
        limit: usize,
    ) -> Result<Vec<GroupValueRow>, sqlx::Error> {
        let columns = QuestionColumns::of(questions);
        sqlx::query_as!(
            GroupValueRow,
            r#"WITH question AS MATERIALIZED (
                   SELECT customer_id, metric_id, starts_at, ends_at, subjects::uuid[] AS subjects,
                          (places::int[])[1] AS place
                   FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[])
                        AS given (customer_id, metric_id, starts_at, ends_at, subjects, places)
               )
               SELECT question.customer_id AS "customer_id!: CustomerId",
                      question.metric_id AS "metric_id!: BillableMetricId", seen.value AS "value!"
               FROM question
               CROSS JOIN LATERAL (
                   SELECT DISTINCT usage_group.group_values[question.place] COLLATE "C" AS value
                   FROM unnest(question.subjects) AS asked (subject_id)
                   CROSS JOIN LATERAL (
                       SELECT DISTINCT usage_rollup.group_id FROM usage_rollup
                       WHERE usage_rollup.environment_id = $1 AND usage_rollup.subject_id = asked.subject_id
                         AND usage_rollup.billable_metric_id = question.metric_id
                         AND usage_rollup.hour >= question.starts_at AND usage_rollup.hour < question.ends_at
                   ) AS rollup
                   JOIN usage_group ON usage_group.environment_id = $1
                        AND usage_group.billable_metric_id = question.metric_id
                        AND usage_group.id = rollup.group_id
                   ORDER BY 1 LIMIT $8
               ) AS seen"#,
            environment_id.0,
            &columns.customers,
            &columns.metrics,
            &columns.starts,
            &columns.ends,
            &columns.subjects,
            &columns.places,
            i64::try_from(limit).expect("limits are small"),
        )
        .fetch_all(db)
        .await
    }

    async fn values_of_group(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        metric_id: BillableMetricId,
        group_id: GroupId,
    ) -> Result<Option<Vec<String>>, sqlx::Error> {
        sqlx::query_scalar!(
            "SELECT group_values FROM usage_group WHERE environment_id = $1 AND billable_metric_id = $2 AND id = $3",
            environment_id.0,
            metric_id.0,
            group_id.0,
        )
        .fetch_optional(db)
        .await
    }
}

/// Pieces with their groups, in the order of metric, group and segment; without newest and distinct values.
type Counted = Vec<(GroupId, Piece)>;

/// The pieces of a period, added up from hours.
async fn pieces_by_hour(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subjects: &[Uuid],
    metrics: &[SegmentedMetric<'_>],
    period: Period,
) -> Result<Counted, sqlx::Error> {
    let starts = SegmentStarts::of(metrics);
    let rows = sqlx::query!(
        r#"WITH segmented AS MATERIALIZED (
               SELECT metric_id, array_agg(start ORDER BY start) AS starts
               FROM unnest($3::uuid[], $4::timestamptz[]) AS given (metric_id, start) GROUP BY metric_id
           ), part AS (
               SELECT metric_id, group_id, width_bucket(hour, segmented.starts) AS segment,
                      sum(event_count)::bigint AS event_count, sum(total) AS total, max(greatest_value) AS greatest
               FROM segmented
               CROSS JOIN LATERAL (
                   SELECT hour, group_id, event_count, total, greatest_value FROM usage_rollup
                   WHERE environment_id = $1 AND subject_id = ANY($2) AND billable_metric_id = segmented.metric_id
                     AND hour >= $5 AND hour < $6
                   -- the planner cannot start elsewhere
                   OFFSET 0
               ) AS rollup
               -- hashed and not sorted, as in `window`
               GROUP BY '0'::text::xid, 1, 2, 3
           )
           SELECT metric_id AS "metric_id!: BillableMetricId", group_id AS "group_id!: GroupId",
                  known.group_values AS "group_values!", segment - 1 AS "segment!",
                  event_count AS "event_count!", total, greatest
           FROM part
           CROSS JOIN LATERAL (
               SELECT group_values FROM usage_group
               WHERE usage_group.environment_id = $1 AND usage_group.billable_metric_id = part.metric_id
                 AND usage_group.id = part.group_id
               OFFSET 0
           ) AS known
           ORDER BY metric_id, group_id, segment"#,
        environment_id.0,
        subjects,
        &starts.metrics,
        &starts.starts,
        period.start,
        period.end,
    )
    .fetch_all(db)
    .await?;
    let mut counted = Counted::with_capacity(rows.len());
    for row in rows {
        let tally = window::tally(row.event_count, row.total, row.greatest);
        let (metric_id, segment) = (row.metric_id, place_of_segment(row.segment));
        let group_values = match counted.last() {
            Some((group_id, last)) if *group_id == row.group_id && last.metric_id == metric_id => {
                Arc::clone(&last.group_values)
            }
            _ => Arc::new(row.group_values),
        };
        counted.push((row.group_id, Piece { metric_id, group_values, segment, tally }));
    }
    Ok(counted)
}

/// The pieces from what days add up to; nothing where that does not help.
async fn pieces_by_day(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: &[SubjectId],
    metrics: &[SegmentedMetric<'_>],
    end: Instant,
) -> Result<Option<Counted>, sqlx::Error> {
    let (mut places, mut asked) = (Vec::new(), Vec::new());
    for SegmentedMetric { metric_id, starts, .. } in metrics {
        let ends = starts.iter().skip(1).copied().chain([end]);
        for (segment, (start, end)) in starts.iter().copied().zip(ends).enumerate() {
            if let Some(period) = Period::new(start, end) {
                places.push(segment);
                asked.push(Asked { metric_id: *metric_id, period });
            }
        }
    }
    let Some(sums) = days::sums(db, environment_id, subject_ids, &asked).await? else { return Ok(None) };
    let mut counted = Counted::new();
    for ((segment, Asked { metric_id, .. }), sums) in places.into_iter().zip(asked).zip(sums) {
        counted.extend(sums.into_values().map(|sum| {
            let GroupSum { group_id, group_values, tally } = sum;
            (group_id, Piece { metric_id, group_values, segment, tally })
        }));
    }
    counted.sort_by_key(|(group_id, piece)| (piece.metric_id, *group_id, piece.segment));
    Ok(Some(counted))
}

/// Keeps other reflows of the environment out until the transaction ends: two that see the same event in no metric would
/// both take it from those that none counts.
pub async fn hold_reflows(db: &mut PgConnection, environment_id: EnvironmentId) -> Result<(), sqlx::Error> {
    const REFLOWS: i64 = 0x0075_7062_6561_7403;
    let (_, low) = environment_id.0.as_u64_pair();
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", low.cast_signed() ^ REFLOWS).execute(db).await?;
    Ok(())
}

/// The columns of questions, for `unnest`, which takes no lists of lists: they are text within.
#[derive(Default)]
struct QuestionColumns {
    customers: Vec<Uuid>,
    metrics: Vec<Uuid>,
    starts: Vec<Instant>,
    ends: Vec<Instant>,
    /// Lists as PostgreSQL writes them.
    subjects: Vec<String>,
    /// Lists as PostgreSQL writes them; places count from 1 there.
    places: Vec<String>,
    need_groups: Vec<bool>,
    /// Lists of `place` and `texts` as JSON.
    kept: Vec<Option<String>>,
}

impl QuestionColumns {
    fn of(questions: &[Question]) -> Self {
        let mut columns = Self::default();
        for question in questions {
            columns.customers.push(question.customer_id.0);
            columns.metrics.push(question.metric_id.0);
            columns.starts.push(question.period.start);
            columns.ends.push(question.period.end);
            columns.subjects.push(array(&question.subject_ids));
            let places: Vec<usize> = question.group_places.iter().map(|place| place + 1).collect();
            columns.places.push(array(&places));
            columns.need_groups.push(question.needs_groups());
            let kept = question
                .kept_values
                .iter()
                .map(|(place, texts)| json!({ "place": place + 1, "texts": texts }));
            let kept: Vec<serde_json::Value> = kept.collect();
            columns.kept.push((!kept.is_empty()).then(|| serde_json::Value::from(kept).to_string()));
        }
        columns
    }
}

/// A list of ids or numbers as PostgreSQL writes it.
fn array(items: &[impl ToString]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("{{{}}}", items.join(","))
}

async fn keep_hours(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    hours: &[(&Hour, &Tally)],
) -> Result<(), sqlx::Error> {
    let columns = HourColumns::of(hours);
    sqlx::query!(
        "INSERT INTO usage_rollup AS kept
             (environment_id, subject_id, billable_metric_id, hour, group_id, event_count, total, greatest_value,
              latest_value, latest_at, latest_seq)
         SELECT $1, subject_id, metric_id, hour, group_id, event_count, total, greatest, latest, latest_at, latest_seq
         FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::uuid[], $6::bigint[], $7::numeric[], $8::numeric[],
                     $9::numeric[], $10::timestamptz[], $11::bigint[])
              AS given (subject_id, metric_id, hour, group_id, event_count, total, greatest, latest, latest_at,
                        latest_seq)
         ON CONFLICT (environment_id, subject_id, billable_metric_id, hour, group_id) DO UPDATE SET
             event_count = kept.event_count + excluded.event_count,
             total = coalesce(kept.total + excluded.total, kept.total, excluded.total),
             greatest_value = greatest(kept.greatest_value, excluded.greatest_value),
             latest_value = CASE WHEN kept.latest_at IS NULL
                                      OR (excluded.latest_at, excluded.latest_seq) > (kept.latest_at, kept.latest_seq)
                                 THEN excluded.latest_value ELSE kept.latest_value END,
             latest_seq = CASE WHEN kept.latest_at IS NULL
                                      OR (excluded.latest_at, excluded.latest_seq) > (kept.latest_at, kept.latest_seq)
                               THEN excluded.latest_seq ELSE kept.latest_seq END,
             latest_at = greatest(kept.latest_at, excluded.latest_at)",
        environment_id.0,
        &columns.subjects,
        &columns.metrics,
        &columns.hours,
        &columns.groups,
        &columns.counts,
        &columns.totals as _,
        &columns.greatest as _,
        &columns.latest as _,
        &columns.latest_at as _,
        &columns.latest_seqs as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn keep_uniques(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    hours: &[(&Hour, &Tally)],
) -> Result<(), sqlx::Error> {
    let values: Vec<(&Hour, Uuid)> = hours
        .iter()
        .flat_map(|(hour, tally)| tally.uniques.iter().map(move |value| (*hour, *value)))
        .collect();
    if values.is_empty() {
        return Ok(());
    }
    let subjects: Vec<Uuid> = values.iter().map(|(hour, _)| hour.subject_id.0).collect();
    let metrics: Vec<Uuid> = values.iter().map(|(hour, _)| hour.metric_id.0).collect();
    let starts: Vec<Instant> = values.iter().map(|(hour, _)| hour.hour).collect();
    let groups: Vec<Uuid> = values.iter().map(|(hour, _)| hour.group_id.0).collect();
    let digests: Vec<Uuid> = values.iter().map(|(_, value)| *value).collect();
    sqlx::query!(
        "INSERT INTO usage_unique (environment_id, subject_id, billable_metric_id, hour, group_id, value_digest)
         SELECT $1, subject_id, metric_id, hour, group_id, value_digest
         FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::uuid[], $6::uuid[])
              AS given (subject_id, metric_id, hour, group_id, value_digest)
         ON CONFLICT DO NOTHING",
        environment_id.0,
        &subjects,
        &metrics,
        &starts,
        &groups,
        &digests,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Remembers which values a group id stands for.
async fn keep_groups(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    counts: &Counts,
) -> Result<(), sqlx::Error> {
    let groups: BTreeMap<(BillableMetricId, GroupId), &Vec<String>> = counts
        .groups
        .iter()
        .flat_map(|(metric, groups)| groups.iter().map(|(values, id)| ((*metric, *id), values)))
        .collect();
    if groups.is_empty() {
        return Ok(());
    }
    let metrics: Vec<Uuid> = groups.keys().map(|(metric, _)| metric.0).collect();
    let ids: Vec<Uuid> = groups.keys().map(|(_, group)| group.0).collect();
    let values: Vec<String> =
        groups.values().map(|values| serde_json::to_string(values).expect("strings are JSON")).collect();
    sqlx::query!(
        "INSERT INTO usage_group (environment_id, billable_metric_id, id, group_values)
         SELECT $1, metric_id, id, ARRAY(SELECT jsonb_array_elements_text(values::jsonb))
         FROM unnest($2::uuid[], $3::uuid[], $4::text[]) AS given (metric_id, id, values)
         ORDER BY metric_id, id
         ON CONFLICT (environment_id, billable_metric_id, id) DO NOTHING",
        environment_id.0,
        &metrics,
        &ids,
        &values,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The newest values by metric, group and segment, of metrics that keep them. (In a statement of their own, because
/// finding them takes a sort of all hours.)
async fn latest_of_segments(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subjects: &[Uuid],
    metrics: &[SegmentedMetric<'_>],
    period: Period,
) -> Result<HashMap<(BillableMetricId, GroupId, usize), Latest>, sqlx::Error> {
    let keeps_them = |metric: &&SegmentedMetric<'_>| metric.aggregation == AggregationType::Latest;
    let asked: Vec<SegmentedMetric<'_>> = metrics.iter().filter(keeps_them).copied().collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let starts = SegmentStarts::of(&asked);
    let rows = sqlx::query!(
        r#"WITH segmented AS MATERIALIZED (
               SELECT metric_id, array_agg(start ORDER BY start) AS starts
               FROM unnest($3::uuid[], $4::timestamptz[]) AS given (metric_id, start) GROUP BY metric_id
           ), newest AS (
               SELECT metric_id, group_id, width_bucket(hour, segmented.starts) AS segment,
                      latest_value, latest_at, latest_seq
               FROM segmented
               CROSS JOIN LATERAL (
                   SELECT hour, group_id, latest_value, latest_at, latest_seq FROM usage_rollup
                   WHERE environment_id = $1 AND subject_id = ANY($2) AND billable_metric_id = segmented.metric_id
                     AND hour >= $5 AND hour < $6 AND latest_at IS NOT NULL
                   OFFSET 0
               ) AS rollup
           )
           SELECT DISTINCT ON (metric_id, group_id, segment)
                  metric_id AS "metric_id!: BillableMetricId", group_id AS "group_id!: GroupId",
                  segment - 1 AS "segment!", latest_value AS "value!", latest_at AS "happened_at!", latest_seq AS "seq!"
           FROM newest ORDER BY metric_id, group_id, segment, latest_at DESC, latest_seq DESC"#,
        environment_id.0,
        subjects,
        &starts.metrics,
        &starts.starts,
        period.start,
        period.end,
    )
    .fetch_all(db)
    .await?;
    let newest = rows.into_iter().map(|row| {
        let latest = Latest { happened_at: row.happened_at, seq: row.seq, value: row.value };
        ((row.metric_id, row.group_id, place_of_segment(row.segment)), latest)
    });
    Ok(newest.collect())
}

fn place_of_segment(segment: i32) -> usize {
    usize::try_from(segment).expect("hours before the first segment are filtered out")
}

/// The distinct values by metric, group values and the segment in which each was first seen since it was last decided which
/// usage is billed: where it was seen before that, it may not have been.
async fn unique_pieces(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subjects: &[Uuid],
    metrics: &[SegmentedMetric<'_>],
    period: Period,
) -> Result<Vec<Piece>, sqlx::Error> {
    let metric_ids: Vec<Uuid> = metrics.iter().map(|metric| metric.metric_id.0).collect();
    let filter_changes = metrics.first().map(|metric| metric.filter_changes).unwrap_or_default();
    let starts = SegmentStarts::of(metrics);
    let rows = sqlx::query!(
        r#"WITH segmented AS MATERIALIZED (
               SELECT metric_id, array_agg(start ORDER BY start) AS starts
               FROM unnest($4::uuid[], $5::timestamptz[]) AS given (metric_id, start) GROUP BY metric_id
           )
           SELECT billable_metric_id AS "metric_id: BillableMetricId", group_values, value_digest,
                  width_bucket(min(hour), segmented.starts) - 1 AS "segment!"
           FROM usage_unique
           JOIN usage_group USING (environment_id, billable_metric_id)
           JOIN segmented ON segmented.metric_id = billable_metric_id
           WHERE environment_id = $1 AND subject_id = ANY($2) AND billable_metric_id = ANY($3)
             AND hour >= $6 AND hour < $7 AND usage_group.id = usage_unique.group_id
           GROUP BY billable_metric_id, group_id, group_values, value_digest, segmented.starts,
                    width_bucket(hour, $8::timestamptz[])"#,
        environment_id.0,
        subjects,
        &metric_ids,
        &starts.metrics,
        &starts.starts,
        period.start,
        period.end,
        filter_changes,
    )
    .fetch_all(db)
    .await?;
    let piece = rows.into_iter().map(|row| Piece {
        metric_id: row.metric_id,
        group_values: Arc::new(row.group_values),
        segment: usize::try_from(row.segment).expect("hours before the first segment are filtered out"),
        tally: Tally { uniques: [row.value_digest].into(), ..Tally::default() },
    });
    Ok(piece.collect())
}

/// The pairs of customer and metric with any usage in the range, in order from `from` on; at most `limit`.
/// Where no ids are named, active ones only.
pub async fn pairs_with_usage(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_ids: Option<&[Uuid]>,
    metric_ids: Option<&[Uuid]>,
    range: Period,
    from: Option<(CustomerId, BillableMetricId)>,
    limit: usize,
) -> Result<Vec<(CustomerId, BillableMetricId)>, sqlx::Error> {
    let (from_customer, from_metric) = from.map(|(customer, metric)| (customer.0, metric.0)).unzip();
    let rows = sqlx::query!(
        r#"WITH bound AS (
               SELECT subject.id AS subject_id, alias.customer_id FROM ingest_alias alias
               JOIN subject ON subject.environment_id = $1 AND subject.received = alias.alias
               WHERE alias.environment_id = $1 AND ($2::uuid[] IS NULL OR alias.customer_id = ANY($2))
               UNION
               SELECT subject.id, customer.id FROM customer
               JOIN subject ON subject.environment_id = $1 AND subject.received = customer.id::text
               WHERE customer.environment_id = $1 AND ($2 IS NULL OR customer.id = ANY($2))
               UNION
               SELECT subject.id, customer.id FROM customer
               JOIN subject ON subject.environment_id = $1 AND subject.received = upper(customer.id::text)
               WHERE customer.environment_id = $1 AND ($2 IS NULL OR customer.id = ANY($2))
           )
           SELECT DISTINCT bound.customer_id AS "customer_id!: CustomerId",
                  rollup.billable_metric_id AS "metric_id!: BillableMetricId"
           FROM bound
           JOIN customer ON customer.environment_id = $1 AND customer.id = bound.customer_id
           JOIN usage_rollup rollup ON rollup.environment_id = $1 AND rollup.subject_id = bound.subject_id
                AND rollup.hour >= $4 AND rollup.hour < $5
           JOIN billable_metric metric ON metric.environment_id = $1 AND metric.id = rollup.billable_metric_id
           WHERE ($2 IS NOT NULL OR customer.archived_at IS NULL)
             AND ($3::uuid[] IS NULL AND metric.archived_at IS NULL OR rollup.billable_metric_id = ANY($3))
             AND ($6::uuid IS NULL OR (bound.customer_id, rollup.billable_metric_id) >= ($6, $7::uuid))
           ORDER BY 1, 2 LIMIT $8"#,
        environment_id.0,
        customer_ids,
        metric_ids,
        range.start,
        range.end,
        from_customer as Option<Uuid>,
        from_metric as Option<Uuid>,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.customer_id, row.metric_id)).collect())
}
