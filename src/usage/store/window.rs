//! Rollups by window.

use std::collections::HashMap;

use chrono::TimeDelta;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::calc::{Latest, Tally, Windows};
use super::days::{self, Asked};
use super::{Distinct, DistinctCounts, Part, Question, QuestionColumns};
use crate::catalog::billable_metric::AggregationType;
use crate::id::{EnvironmentId, GroupId};
use crate::money::Decimal;

/// Which part: the place of the question, the window and the group.
type Key = (usize, i64, Option<GroupId>);

/// See [`super::RollupStore::parts`].
pub async fn parts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    questions: &[Question],
    windows: &Windows,
) -> Result<Vec<Part>, sqlx::Error> {
    let mut parts = match questions {
        [question] => match parts_by_day(db, environment_id, question, windows).await? {
            Some(parts) => parts,
            None => parts_of_one(db, environment_id, question, windows).await?,
        },
        _ => parts_of_many(db, environment_id, questions, windows).await?,
    };
    let mut latest = latest(db, environment_id, questions, windows).await?;
    for part in &mut parts {
        part.tally.latest = latest.remove(&(part.question, part.window, part.group_id)).map(Box::new);
    }
    Ok(parts)
}

async fn parts_of_many(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    questions: &[Question],
    windows: &Windows,
) -> Result<Vec<Part>, sqlx::Error> {
    let columns = QuestionColumns::of(questions);
    let (origin, hours) = windows.origin_and_hours();
    let rows = sqlx::query!(
        r#"WITH question AS MATERIALIZED (
               SELECT number, number::text::xid AS tag, metric_id, starts_at, ends_at, subjects::uuid[] AS subjects,
                      needs_groups, kept::jsonb AS kept
               FROM unnest($2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::boolean[], $7::text[])
                    WITH ORDINALITY AS given (metric_id, starts_at, ends_at, subjects, needs_groups, kept, number)
           ), part AS (
               SELECT tag, (date_part('epoch', rollup.hour)::bigint - $8) / 3600 / $9 AS "window",
                      CASE WHEN needs_groups THEN group_id END AS group_id,
                      sum(event_count)::bigint AS event_count, sum(total) AS total, max(greatest_value) AS greatest
               FROM question
               CROSS JOIN LATERAL unnest(question.subjects) AS asked (subject_id)
               CROSS JOIN LATERAL (
                   SELECT hour, group_id, event_count, total, greatest_value FROM usage_rollup
                   WHERE usage_rollup.environment_id = $1 AND usage_rollup.subject_id = asked.subject_id
                     AND usage_rollup.billable_metric_id = question.metric_id
                     AND usage_rollup.hour >= question.starts_at AND usage_rollup.hour < question.ends_at
                   -- the planner cannot start elsewhere
                   OFFSET 0
               ) AS rollup
               -- The planner expects few hours and would sort them, which takes most of the time where there are many. A
               -- transaction id can be hashed and not sorted, so it cannot.
               GROUP BY tag, 2, 3
           )
           SELECT number AS "number!", "window" AS "window!", group_id AS "group_id: GroupId",
                  coalesce(known.group_values, '{}') AS "group_values!", event_count AS "event_count!", total, greatest
           FROM part
           JOIN question USING (tag)
           LEFT JOIN LATERAL (
               SELECT group_values FROM usage_group
               WHERE usage_group.environment_id = $1 AND usage_group.billable_metric_id = question.metric_id
                 AND usage_group.id = part.group_id
               OFFSET 0
           ) AS known ON true
           WHERE kept IS NULL OR NOT EXISTS (
               SELECT FROM jsonb_to_recordset(kept) AS kept (place int, texts jsonb)
               WHERE NOT kept.texts ? known.group_values[kept.place])"#,
        environment_id.0,
        &columns.metrics,
        &columns.starts,
        &columns.ends,
        &columns.subjects,
        &columns.need_groups,
        &columns.kept as _,
        origin.timestamp(),
        hours,
    )
    .fetch_all(db)
    .await?;
    let part = rows.into_iter().map(|row| Part {
        question: place(row.number),
        window: row.window,
        group_id: row.group_id,
        group_values: row.group_values,
        tally: tally(row.event_count, row.total, row.greatest),
    });
    Ok(part.collect())
}

/// With more windows each of them is not asked for by itself: 27 years of days.
const WINDOWS_MAX: i64 = 10_000;

/// The same of one question from what days add up to; nothing where that does not help.
async fn parts_by_day(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    question: &Question,
    windows: &Windows,
) -> Result<Option<Vec<Part>>, sqlx::Error> {
    let (_, hours) = windows.origin_and_hours();
    if hours < 24 {
        return Ok(None);
    }
    let (metric_id, range) = (question.metric_id, question.period);
    let last_hour = range.end - TimeDelta::hours(1);
    let numbers = windows.containing(range.start)..=windows.containing(last_hour);
    if numbers.end() - numbers.start() > WINDOWS_MAX {
        return Ok(None);
    }
    let asked = numbers.filter_map(|number| {
        let window = windows.at(number);
        Some((number, Asked { metric_id, period: range.clip(window.start, Some(window.end))? }))
    });
    let (numbers, asked): (Vec<i64>, Vec<Asked>) = asked.unzip();
    let Some(sums) = days::sums(db, environment_id, &question.subject_ids, &asked).await? else {
        return Ok(None);
    };
    let mut parts = Vec::new();
    for (window, sums) in numbers.into_iter().zip(sums) {
        let kept = sums.into_values().filter(|sum| question.keeps(&sum.group_values));
        if question.needs_groups() {
            parts.extend(kept.map(|sum| Part {
                question: 0,
                window,
                group_id: Some(sum.group_id),
                group_values: Vec::clone(&sum.group_values),
                tally: sum.tally,
            }));
            continue;
        }
        let tallies = kept.map(|sum| sum.tally).reduce(|mut all, tally| {
            all.merge(&tally);
            all
        });
        let whole = |tally| Part { question: 0, window, group_id: None, group_values: Vec::new(), tally };
        parts.extend(tallies.map(whole));
    }
    Ok(Some(parts))
}

/// The same of one question, which is what most callers have: PostgreSQL takes half the time where it need not ask each
/// row which question it answers.
async fn parts_of_one(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    question: &Question,
    windows: &Windows,
) -> Result<Vec<Part>, sqlx::Error> {
    let one = std::slice::from_ref(question);
    let columns = QuestionColumns::of(one);
    let subjects: Vec<Uuid> = question.subject_ids.iter().map(|id| id.0).collect();
    let (origin, hours) = windows.origin_and_hours();
    let rows = sqlx::query!(
        r#"WITH part AS (
               SELECT CASE WHEN $9 THEN 0 ELSE (date_part('epoch', hour)::bigint - $7) / 3600 / $8 END AS "window",
                      CASE WHEN $6 THEN group_id END AS group_id,
                      sum(event_count)::bigint AS event_count, sum(total) AS total, max(greatest_value) AS greatest
               FROM usage_rollup
               WHERE environment_id = $1 AND subject_id = ANY($2) AND billable_metric_id = $3
                 AND hour >= $4 AND hour < $5
               -- hashed and not sorted, as below
               GROUP BY '0'::text::xid, 1, 2
           )
           SELECT "window" AS "window!", group_id AS "group_id: GroupId",
                  coalesce(known.group_values, '{}') AS "group_values!", event_count AS "event_count!", total, greatest
           FROM part
           LEFT JOIN LATERAL (
               SELECT group_values FROM usage_group
               WHERE usage_group.environment_id = $1 AND usage_group.billable_metric_id = $3
                 AND usage_group.id = part.group_id
               OFFSET 0
           ) AS known ON true
           WHERE $10::text IS NULL OR NOT EXISTS (
               SELECT FROM jsonb_to_recordset($10::text::jsonb) AS kept (place int, texts jsonb)
               WHERE NOT kept.texts ? known.group_values[kept.place])"#,
        environment_id.0,
        &subjects,
        question.metric_id.0,
        question.period.start,
        question.period.end,
        columns.need_groups[0],
        origin.timestamp(),
        hours,
        windows.count() == 1,
        columns.kept[0].as_deref() as _,
    )
    .fetch_all(db)
    .await?;
    let part = rows.into_iter().map(|row| Part {
        question: 0,
        window: row.window,
        group_id: row.group_id,
        group_values: row.group_values,
        tally: tally(row.event_count, row.total, row.greatest),
    });
    Ok(part.collect())
}

pub(super) fn tally(event_count: i64, total: Option<Decimal>, greatest: Option<Decimal>) -> Tally {
    Tally { event_count, total, greatest, ..Tally::default() }
}

/// The newest values, of questions about metrics that keep them. (In a statement of their own, because finding them
/// takes a sort of all hours.)
async fn latest(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    questions: &[Question],
    windows: &Windows,
) -> Result<HashMap<Key, Latest>, sqlx::Error> {
    let (places, asked) = of_type(questions, AggregationType::Latest);
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let columns = QuestionColumns::of(&asked);
    let (origin, hours) = windows.origin_and_hours();
    let rows = sqlx::query!(
        r#"WITH question AS MATERIALIZED (
               SELECT number, metric_id, starts_at, ends_at, subjects::uuid[] AS subjects, needs_groups
               FROM unnest($2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::boolean[])
                    WITH ORDINALITY AS given (metric_id, starts_at, ends_at, subjects, needs_groups, number)
           ), newest AS (
               SELECT number, (date_part('epoch', rollup.hour)::bigint - $7) / 3600 / $8 AS "window",
                      CASE WHEN needs_groups THEN group_id END AS group_id, latest_value, latest_at, latest_seq
               FROM question
               CROSS JOIN LATERAL unnest(question.subjects) AS asked (subject_id)
               CROSS JOIN LATERAL (
                   SELECT hour, group_id, latest_value, latest_at, latest_seq FROM usage_rollup
                   WHERE usage_rollup.environment_id = $1 AND usage_rollup.subject_id = asked.subject_id
                     AND usage_rollup.billable_metric_id = question.metric_id
                     AND usage_rollup.hour >= question.starts_at AND usage_rollup.hour < question.ends_at
                     AND latest_at IS NOT NULL
                   OFFSET 0
               ) AS rollup
           )
           SELECT DISTINCT ON (number, "window", group_id)
                  number AS "number!", "window" AS "window!", group_id AS "group_id: GroupId",
                  latest_value AS "value!", latest_at AS "happened_at!", latest_seq AS "seq!"
           FROM newest ORDER BY number, "window", group_id, latest_at DESC, latest_seq DESC"#,
        environment_id.0,
        &columns.metrics,
        &columns.starts,
        &columns.ends,
        &columns.subjects,
        &columns.need_groups,
        origin.timestamp(),
        hours,
    )
    .fetch_all(db)
    .await?;
    let newest = rows.into_iter().map(|row| {
        let latest = Latest { happened_at: row.happened_at, seq: row.seq, value: row.value };
        ((places[place(row.number)], row.window, row.group_id), latest)
    });
    Ok(newest.collect())
}

/// See [`super::RollupStore::count_distinct`].
pub async fn count_distinct(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    questions: &[Question],
    windows: &Windows,
    more: &[Distinct],
) -> Result<DistinctCounts, sqlx::Error> {
    let (places, asked) = of_type(questions, AggregationType::Unique);
    if asked.is_empty() {
        return Ok(DistinctCounts::new());
    }
    let columns = QuestionColumns::of(&asked);
    let more = DistinctColumns::of(more, &places);
    let (origin, hours) = windows.origin_and_hours();
    let rows = sqlx::query!(
        r#"WITH question AS MATERIALIZED (
               SELECT number, metric_id, starts_at, ends_at, subjects::uuid[] AS subjects, places::int[] AS places,
                      needs_groups, kept::jsonb AS kept
               FROM unnest($2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::boolean[],
                           $8::text[])
                    WITH ORDINALITY
                    AS given (metric_id, starts_at, ends_at, subjects, places, needs_groups, kept, number)
           ), seen AS (
               SELECT number, (date_part('epoch', hour)::bigint - $9) / 3600 / $10 AS "window",
                      CASE WHEN needs_groups THEN known.shown ELSE '{}' END AS shown, value_digest
               FROM question
               CROSS JOIN LATERAL unnest(question.subjects) AS asked (subject_id)
               CROSS JOIN LATERAL (
                   SELECT hour, group_id, value_digest FROM usage_unique
                   WHERE usage_unique.environment_id = $1 AND usage_unique.subject_id = asked.subject_id
                     AND usage_unique.billable_metric_id = question.metric_id
                     AND usage_unique.hour >= question.starts_at AND usage_unique.hour < question.ends_at
                   OFFSET 0
               ) AS rollup
               LEFT JOIN LATERAL (
                   SELECT group_values, ARRAY(SELECT group_values[place]
                                              FROM unnest(question.places) WITH ORDINALITY AS shown (place, position)
                                              ORDER BY position) AS shown
                   FROM usage_group
                   WHERE needs_groups AND usage_group.environment_id = $1
                     AND usage_group.billable_metric_id = question.metric_id AND usage_group.id = rollup.group_id
                   -- so that a group is made once (and remembered), not for each of its values
                   OFFSET 0
               ) AS known ON true
               WHERE kept IS NULL OR NOT EXISTS (
                   SELECT FROM jsonb_to_recordset(kept) AS kept (place int, texts jsonb)
                   WHERE NOT kept.texts ? known.group_values[kept.place])
               UNION ALL
               SELECT number, "window", ARRAY(SELECT jsonb_array_elements_text(shown::jsonb)), value_digest
               FROM unnest($11::bigint[], $12::bigint[], $13::text[], $14::uuid[])
                    AS more (number, "window", shown, value_digest)
           )
           SELECT number AS "number!", "window" AS "window!", shown AS "shown!",
                  count(DISTINCT value_digest) AS "count!"
           FROM seen GROUP BY number, "window", shown"#,
        environment_id.0,
        &columns.metrics,
        &columns.starts,
        &columns.ends,
        &columns.subjects,
        &columns.places,
        &columns.need_groups,
        &columns.kept as _,
        origin.timestamp(),
        hours,
        &more.questions,
        &more.windows,
        &more.group_values,
        &more.values,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| ((places[place(row.number)], row.window, row.shown), row.count)).collect())
}

/// Values for `unnest`.
#[derive(Default)]
struct DistinctColumns {
    questions: Vec<i64>,
    windows: Vec<i64>,
    /// Lists as JSON.
    group_values: Vec<String>,
    values: Vec<Uuid>,
}

impl DistinctColumns {
    /// `places` are those of the questions that are asked, which are numbered from 1.
    fn of(values: &[Distinct], places: &[usize]) -> Self {
        let numbers: HashMap<usize, i64> = places.iter().copied().zip(1..).collect();
        let mut columns = Self::default();
        for distinct in values {
            columns.questions.push(numbers[&distinct.question]);
            columns.windows.push(distinct.window);
            let texts = serde_json::to_string(&distinct.group_values).expect("strings are JSON");
            columns.group_values.push(texts);
            columns.values.push(distinct.value);
        }
        columns
    }
}

/// The questions about metrics of a type, and their places among all.
fn of_type(questions: &[Question], aggregation: AggregationType) -> (Vec<usize>, Vec<Question>) {
    let asked = questions.iter().enumerate().filter(|(_, question)| question.aggregation == aggregation);
    asked.map(|(place, question)| (place, question.clone())).unzip()
}

/// From a number that PostgreSQL counted to a place.
fn place(number: i64) -> usize {
    usize::try_from(number - 1).expect("numbers count from 1")
}
